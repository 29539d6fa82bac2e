"""From what was seen to what will be done: `decide` is the one entry, and it is pure.

decide = witness (take in) -> judge -> rule (precedence) -> Draft.apply (table, sentence, notices).
The same rollout, observation and now give the same decision, for ever: replay depends on it.
"""

import msgspec
from msgspec.structs import replace

from analyzers.judge import judge
from analyzers.judge.counts import Settings
from analyzers.judge.verdict import VerdictKind
from rollouts import limits
from rollouts.decision import Decision
from rollouts.draft import Draft, typed
from rollouts.holds import HOLDS
from rollouts.notice import NoticeKind
from rollouts.observation import Failed, MarkerReading, Observation, PoolReading, Slot, Standing
from rollouts.policy import Pin, ServicePolicy
from rollouts.rollout import JUDGED, Announcement, HoldReason, Phase, Rollout
from rollouts.rule import Ruling, closing, rule, switched
from rollouts.target import missing
from rollouts.witness import counts, read_marker, read_pool, witness


class FirstLook(msgspec.Struct, frozen=True, kw_only=True):
    """What was seen when a rollout began."""

    canary: Slot
    marker: MarkerReading
    pool: PoolReading | Failed
    now: float


def begin(told: Announcement, service: ServicePolicy, rollout_id: str, look: FirstLook) -> Decision:
    """A new rollout at its gate, with the notice that says so. On the live slot it is held from the start."""
    canary, live = look.canary, look.marker.live
    pin = service.pin
    standing = Standing(mode=service.mode, approvals=service.approvals, channels=service.channels)
    rollout = Rollout(
        id=rollout_id,
        service=told.service,
        version=told.version,
        deployment_id=told.deployment_id,
        canary=canary,
        started_at=look.now,
        started_by=told.by,
        announced_at=told.at,
        pin=pin,
        standing=standing,
        link=told.link,
        commit=told.commit,
        ask_before_rollback=told.ask_before_rollback,
        phase_since=look.now,
        marker=live,
        marker_seen=look.marker,
        share=100 if canary is live else 0,
    )
    seen = Observation(pool=look.pool, marker=look.marker, telemetry=None, probes={}, standing=standing)
    draft = Draft(rollout, rollout, seen, look.now)
    draft.sentence = f"{told.service} {told.version} begins on {canary}: gate, then {list(pin.steps)} % ({told.by})"
    if isinstance(look.pool, PoolReading) and look.pool.session_affinity:
        draft.sentence += (
            f". Session affinity is on in {pin.pool}: errors of one client fall into one slot, and expert.alpha is "
            "not kept (2 to 3 times as many false rollbacks); switch it off for the rollout"
        )
    if service.non_http == "accepted":
        draft.sentence += (
            ". Its queues and timers, if it has any, run in both slots already, whatever the weights say "
            "(non_http: accepted)"
        )
    if service.stands_in:
        draft.sentence += f". {service.stands_in}"
    draft.rollout = replace(rollout, reason=draft.sentence)
    if canary is live:
        why = (
            f"{told.version} was deployed to {canary}, which is live: nothing can be shifted, every user has it already"
        )
        draft.apply(Ruling(hold=HoldReason.DEPLOYED_TO_LIVE, why=why))
    else:
        draft.tell(NoticeKind.STARTED, draft.sentence)
    return draft.decision(settled=False)


def decide(rollout: Rollout, seen: Observation, now: float) -> Decision:
    """What to do about `rollout` at `now` (epoch seconds), given what this tick saw.

    Raises InvariantBroken when the result would break a promise; nothing is changed then.
    """
    looked = witness(rollout, seen, now)
    verdict = None
    if looked.phase in JUDGED:
        verdict = judge(counts(looked, seen, now), looked.pin.indicators, settings(looked.pin))
    looked = replace(looked, verdict=verdict or looked.verdict, ticked_at=now)
    if verdict is not None and verdict.kind is VerdictKind.HARMFUL and looked.harmful_at is None:
        looked = replace(looked, harmful_at=now)
    draft = Draft(rollout, looked, seen, now)
    draft.release()
    draft.notice_lost_way_back()
    draft.apply(rule(looked, seen, verdict, now))
    draft.remember_attempt()
    return draft.decision(settled=True)


def read_back(rollout: Rollout, seen: Observation, now: float) -> Decision:
    """After converge: take in the pool and the marker as read back; finish a switch or an end."""
    looked = rollout
    if isinstance(seen.pool, PoolReading):
        looked = read_pool(looked, seen.pool, now)
    if isinstance(seen.marker, MarkerReading):
        looked = read_marker(looked, seen.marker)
    draft = Draft(rollout, looked, seen, now)
    draft.release()
    if looked.phase is Phase.SWITCH:
        draft.apply(switched(looked, seen))
    elif looked.phase is Phase.CLOSING:
        draft.apply(closing(looked, seen, now))
    return draft.decision(settled=False)


def write_failed(rollout: Rollout, seen: Observation, error: str, now: float) -> Decision:
    """A write was refused or got no answer: count it, and say so loudly at the second time."""
    failures = rollout.write_failures + 1
    looked = replace(rollout, write_failures=failures, write_error=error[: limits.DETAIL_CHARACTERS])
    draft = Draft(rollout, looked, seen, now)
    if failures == limits.WRITE_FAILURES:
        draft.tell(
            NoticeKind.NOT_CARRIED_OUT,
            f"Decided, NOT carried out: {missing(rollout, seen.pool)}. {_left(rollout, seen.pool)}"
            f"{failures} attempts failed: {looked.write_error}. It is tried again at every tick. "
            f"The decision that waits for this write: {rollout.reason}",
            command=typed(HoldReason.CANNOT_WRITE, rollout),
        )
    return draft.decision(settled=False)


def _left(rollout: Rollout, pool: PoolReading | Failed) -> str:
    """What users still have where the pool is what could not be written; "" = that is read, or was never."""
    if isinstance(pool, PoolReading) or not rollout.shares:
        return ""
    return f"{rollout.canary} had {rollout.shares[-1]} % when the pool was last read. "


def overdue(rollout: Rollout, now: float) -> bool:
    """Whether the rollout is held for longer than its hold's limit allows, and nothing ended it."""
    if rollout.hold is None:
        return False
    limit = HOLDS[rollout.hold.reason].limit_seconds(rollout.pin.limits)
    return limit is not None and now - rollout.hold.since > limit


def settings(pin: Pin) -> Settings:
    """The judge's settings that a pin asks for."""
    return Settings(
        alpha=pin.alpha,
        beta=pin.beta,
        horizon=pin.horizon,
        critical_operations=pin.critical_operations,
        stale_seconds=5 * pin.interval_seconds,
    )
