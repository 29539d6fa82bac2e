"""Rollouts, decisions and notices as the tests of the state need them."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

from msgspec.structs import replace

from analyzers.judge.counts import Role, Row, Rows
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.verdict import IndicatorEvidence, Side, Verdict, VerdictKind
from rollouts.decision import Decision
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Slot
from rollouts.policy import Gate, HoldLimits, Pin, SlotConfig
from rollouts.rollout import Rollout
from storing.contract import Delete, Put, Record, Store

START = 1_795_498_080.0  # 2026-11-24 05:28:00, a whole minute
FAILURES = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25)


def pin(**changes: Any) -> Pin:
    slots = {
        slot: SlotConfig(backend=f"{slot}-backend", url=f"https://{slot}.example", role_name=f"checkout-{slot}")
        for slot in Slot
    }
    given: dict[str, Any] = {
        "api_management": "/subscriptions/1/resourceGroups/g/providers/Microsoft.ApiManagement/service/a",
        "pool": "green-blue-pool",
        "marker": "current-slot-name",
        "workspace": "w1",
        "slots": slots,
        "steps": (10, 50, 100),
        "bake_seconds": 600,
        "deadline_seconds": 7200,
        "watch_seconds": 1800,
        "history_seconds": 3600,
        "indicators": (FAILURES,),
        "gate": Gate(),
        "limits": HoldLimits(),
    }
    return Pin(**(given | changes))


def rollout(service: str = "checkout", started_at: float = START, **changes: Any) -> Rollout:
    stamp = datetime.fromtimestamp(started_at, UTC).strftime("%Y%m%dT%H%M%S")
    given: dict[str, Any] = {
        "id": f"{service}-{stamp}-ab12cd",
        "service": service,
        "version": "1.4.2",
        "deployment_id": f"run-{stamp}",
        "canary": Slot.GREEN,
        "started_at": started_at,
        "started_by": "event:Canary.DeploymentCompleted",
        "pin": pin(),
        "phase_since": started_at,
        "marker": Slot.BLUE,
        "decisions": 1,
    }
    return Rollout(**(given | changes))


def notice(of: Rollout, number: int, kind: NoticeKind = NoticeKind.RAISED, **changes: Any) -> Notice:
    given: dict[str, Any] = {
        "id": f"{of.id}-{number}-{kind}",
        "kind": kind,
        "service": of.service,
        "rollout": of.id,
        "version": of.version,
        "canary": of.canary,
        "at": of.started_at,
        "text": f"decision {number}",
        "channels": ("team", "audit"),
    }
    return Notice(**(given | changes))


def decision(after: Rollout, at: float = START, **changes: Any) -> Decision:
    given: dict[str, Any] = {
        "rollout": after,
        "at": at,
        "phase_before": after.phase,
        "share_before": 0,
        "kind": None,
        "sentence": f"decision {after.decisions}",
    }
    return Decision(**(given | changes))


def next_of(before: Rollout, at: float = START, notices: int = 0, **changes: Any) -> Decision:
    """A recorded decision that changes `before`, with notices."""
    after = replace(before, decisions=before.decisions + 1, **changes)
    told = tuple(notice(after, after.decisions, kind) for kind in list(NoticeKind)[:notices])
    return decision(after, at, notices=told, outcome=after.outcome)


def rows(start: float, intervals: int, seconds: int = 60, instances: int = 1) -> Rows:
    made = [
        Row(
            role,
            int(start) + seconds * number,
            f"i{instance}",
            "GET /",
            rows=90,
            requests=90,
            cold=0,
            bad=(number % 3,),
        )
        for role in Role
        for number in range(intervals)
        for instance in range(instances)
    ]
    return Rows.of(made, 1)


def verdict() -> Verdict:
    side = Side(bad=1, requests=100, rate=0.01, displayed_requests=100, cold=0)
    evidence = IndicatorEvidence(
        name="failures",
        canary=side,
        baseline=side,
        boundary=0.0175,
        harm=float("-inf"),
        harm_limit=5.3,
        harm_without_worst_instance=None,
        safe=None,
        safe_limit=4.6,
        difference_low=None,
        difference_high=None,
        requests_needed=None,
        seconds_needed=None,
    )
    return Verdict(
        kind=VerdictKind.UNDECIDED,
        indicators=(evidence,),
        alpha=0.01,
        beta=0.01,
        looks=1,
        step_looks=1,
        share=10,
        one_sample=False,
    )


class Interrupting:
    """A store in which something happens just before the write that `when` picks."""

    def __init__(self, store: Store, when: Callable[[str], bool], what: Callable[[], object]) -> None:
        self._store, self._when, self._what = store, when, what
        self.get, self.close = store.get, store.close

    def scan(self, partition: str, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[Record]:
        return self._store.scan(partition, prefix, after=after, limit=limit)

    def commit(self, partition: str, writes: Sequence[Put | Delete]) -> dict[str, str]:
        if self._when(partition):
            self._when = lambda _: False
            self._what()
        return self._store.commit(partition, writes)
