"""The simulated traffic and its telemetry: requests as arrays, and the counts that a source would make of them."""

from collections.abc import Sequence
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from analyzers.judge.counts import Role, Row, Rows
from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.errors import CanaryError
from rollouts.observation import Counted, Failed, Quantiles, Scope, Slot

OPERATIONS = ("GET /hello", "GET /items", "POST /pay")
INSTANCES = 3
SLOTS = (Slot.BLUE, Slot.GREEN)
NO_ROW = 0  # the code of a request that failed without leaving a row

Whole = NDArray[np.int64]
Chosen = NDArray[np.bool_]


class Requests(msgspec.Struct, frozen=True, kw_only=True):
    """Requests to one slot or to both, one array position each."""

    slot: Whole  # index into SLOTS
    instance: Whole
    operation: Whole  # index into OPERATIONS
    latency_ms: NDArray[np.float64]
    code: Whole  # 200, 401, 500 or NO_ROW

    def chosen(self, which: Chosen) -> "Requests":
        """Those at the positions that are true."""
        return Requests(**{name: getattr(self, name)[which] for name in self.__struct_fields__})

    def __add__(self, more: "Requests") -> "Requests":
        return Requests(
            **{name: np.concatenate((getattr(self, name), getattr(more, name))) for name in self.__struct_fields__}
        )

    def __len__(self) -> int:
        return len(self.code)


class Minute(msgspec.Struct, frozen=True, kw_only=True):
    """The rows of one interval, and when a query finds them."""

    start: int  # epoch seconds
    rows: Requests
    visible_at: float  # epoch seconds


class Sim(Protocol):
    """What the telemetry needs of the world around it."""

    now: float  # epoch seconds

    def effect(self, name: str, /) -> None:
        """The world is touched: here the process may be killed."""


class SimulatedTelemetry:
    """Requests by the weights in force, as rows, once they are ingested (controller.seams.TelemetrySource)."""

    def __init__(self, sim: Sim) -> None:
        self.sim = sim
        self.minutes: list[Minute] = []
        self.delay_seconds = 1.0
        self.outage_until = 0.0
        self.keep = 1.0  # fraction of rows that sampling keeps
        self.queries = 0

    def counts(self, _workspace: str, scopes: Sequence[Scope], now: float) -> dict[str, Counted | Failed]:
        self.sim.effect("telemetry.counts")
        self.queries += 1
        if now < self.outage_until:
            return {one.rollout: Failed(what="telemetry", detail="the workspace answers 503") for one in scopes}
        return {one.rollout: Counted(rows=self._rows(one, now)) for one in scopes}

    def quantiles(self, _workspace: str, scope: Scope, quantiles: Sequence[float]) -> Quantiles | Failed:
        self.sim.effect("telemetry.quantiles")
        if self.sim.now < self.outage_until:
            return Failed(what="telemetry", detail="the workspace answers 503")
        slot = _slot(scope.baseline_role)
        taken = [one.rows.latency_ms[one.rows.slot == slot] for one in self._window(scope, self.sim.now)]
        latencies = np.concatenate(taken) if taken else np.empty(0)
        found = {one: float(np.quantile(latencies, one)) for one in quantiles} if len(latencies) else {}
        return Quantiles(milliseconds=found, requests=len(latencies))

    def _window(self, scope: Scope, now: float) -> list[Minute]:
        return [one for one in self.minutes if scope.since <= one.start < scope.until and one.visible_at <= now]

    def _rows(self, scope: Scope, now: float) -> Rows:
        rows = []
        for minute in self._window(scope, now):
            for role, name in ((Role.CANARY, scope.canary_role), (Role.BASELINE, scope.baseline_role)):
                rows += self._cells(scope, minute, role, name)
        return Rows.of(rows, len(scope.indicators))

    def _cells(self, scope: Scope, minute: Minute, role: Role, name: str) -> list[Row]:
        """One row for each instance and operation of a role that had requests in this interval."""
        mine = minute.rows.chosen(minute.rows.slot == _slot(name))
        if not len(mine):
            return []
        width = len(OPERATIONS)
        cell = mine.instance * width + mine.operation
        size = INSTANCES * width
        every = np.bincount(cell, minlength=size)
        bad = [np.bincount(cell[_bad(one, role, scope, mine)], minlength=size) for one in scope.indicators]
        return [
            Row(
                role=role,
                interval=minute.start,
                instance=f"{name}-{index // width}",
                operation=OPERATIONS[index % width],
                rows=int(every[index]),
                requests=round(int(every[index]) / self.keep),
                cold=0,
                bad=tuple(int(one[index]) for one in bad),
            )
            for index in range(size)
            if every[index]
        ]


def _slot(role_name: str) -> int:
    return SLOTS.index(Slot.BLUE if "blue" in role_name else Slot.GREEN)


def _bad(one: Indicator, role: Role, scope: Scope, mine: Requests) -> Chosen:
    """Which of a role's requests the indicator calls bad."""
    bad = np.zeros(len(mine), bool)
    match one.kind:
        case IndicatorKind.FAILURES:
            bad = mine.code >= 500
        case IndicatorKind.REJECTED:
            bad = (mine.code >= 400) & (mine.code < 500)
        case IndicatorKind.SLOWER_THAN:
            bad = mine.latency_ms > (one.threshold_ms or 0.0)
        case IndicatorKind.QUANTILE:
            threshold = scope.thresholds_ms.get(one.name)
            if threshold is not None:
                bad = mine.latency_ms > threshold * (1 + (one.slowdown or 0.0) if role is Role.CANARY else 1.0)
        case IndicatorKind.QUERY:
            raise CanaryError("the simulation has no own queries")
    return bad
