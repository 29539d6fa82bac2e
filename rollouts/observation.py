"""What one tick saw: values made by the adapters, read by `decide`. No adapter is known here."""

from enum import StrEnum

import msgspec

from analyzers.judge.counts import Rows
from analyzers.judge.indicators import Indicator


class Mode(StrEnum):
    """How far Flex Canary may go for a service."""

    OBSERVE = "observe"  # judge and record
    ADVISE = "advise"  # and tell, with what it would have done
    ACT = "act"  # and move traffic


class Slot(StrEnum):
    """A function app behind the pool."""

    BLUE = "blue"
    GREEN = "green"

    @property
    def other(self) -> "Slot":
        """The slot beside this one."""
        return Slot.GREEN if self is Slot.BLUE else Slot.BLUE


class Weights(msgspec.Struct, frozen=True):
    """Percent of the traffic for each slot; sums to 100."""

    blue: int
    green: int

    @classmethod
    def of(cls, slot: Slot, share: int) -> "Weights":
        """`share` percent for `slot`, the rest for the other.

        >>> Weights.of(Slot.GREEN, 10)
        Weights(blue=90, green=10)
        """
        return cls(blue=share, green=100 - share) if slot is Slot.BLUE else cls(blue=100 - share, green=share)

    def share(self, slot: Slot) -> int:
        """Percent that `slot` gets."""
        return self.blue if slot is Slot.BLUE else self.green


class PoolReading(msgspec.Struct, frozen=True, kw_only=True):
    """The pool as API Management showed it."""

    weights: Weights  # normalised to percent: relative weights 1 and 3 are 25 and 75
    etag: str
    session_affinity: bool = False  # True breaks the judge's unit of randomisation: said, never ignored


class MarkerReading(msgspec.Struct, frozen=True, kw_only=True):
    """The named value `current-slot-name` as API Management showed it."""

    live: Slot
    etag: str


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a slot's health URL."""

    healthy: bool
    version: str | None  # None = it answered without one, or not at all
    detail: str  # what was seen, without secrets: "200 version 1.4.2", "503", "no answer in 5 s", "302 to ..."
    seconds: float | None = None  # time to answer; None without an answer


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """An observation that did not come: never mistaken for a calm one."""

    what: str  # "pool", "marker", "telemetry"
    detail: str  # what, where, what to do
    retry_at: float | None = None  # epoch seconds
    permanent: bool = False  # True: somebody must mend something (403, a missing pool, a semantic error)


class Scope(msgspec.Struct, frozen=True, kw_only=True):
    """What to count for one rollout: the question put to a telemetry source."""

    rollout: str
    canary_role: str  # AppRoleName of the canary's function app; "" = count the baseline alone (history)
    baseline_role: str
    since: int  # epoch seconds, start of the first interval wanted (the unsettled tail)
    until: int  # epoch seconds, exclusive
    interval_seconds: int
    indicators: tuple[Indicator, ...]
    thresholds_ms: dict[str, float]  # pinned T per quantile indicator; an absent one counts nothing bad
    critical_operations: tuple[str, ...]
    operations: int  # how many operations by traffic are told apart; the others are "rest"
    excluded_routes: tuple[str, ...]  # Url path prefixes: health, warm-up, preview, and the policy's
    cold_seconds: int
    instances: dict[str, int]  # instances known from before `since`: name -> first seen, epoch seconds


class Counted(msgspec.Struct, frozen=True, kw_only=True):
    """Telemetry answered in full. `rows` may be empty: that is an answer too, and never a zero rate."""

    rows: Rows
    ignored: int = 0  # impossible rows (null or negative duration, a time in the future): shown
    first_seen: dict[str, int] = {}  # instance -> first appearance, epoch seconds: the next Scope.instances


class Quantiles(msgspec.Struct, frozen=True, kw_only=True):
    """The baseline's own latency quantiles over a window, for pinning T."""

    milliseconds: dict[float, float]  # quantile (0.95) -> T
    requests: int  # warm requests they were estimated from


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """What is current rather than pinned: the policy of the day and the switches."""

    mode: Mode
    off: bool = False  # `canary off`: no writes at all
    storm: str = ""  # why raising is stopped in this workspace; "" = it is not
    approvals: tuple[int, ...] = ()
    channels: tuple[str, ...] = ()


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that one tick saw of one rollout's world."""

    pool: PoolReading | Failed
    marker: MarkerReading | Failed
    telemetry: Counted | Failed | None  # rows since the settled ones; None = not asked for
    probes: dict[Slot, Probe]  # both slots, each tick
    standing: Standing
    asked_at: float | None = None  # epoch seconds when this look began, before the telemetry was asked; None = `now`
    stored: Rows | None = None  # settled rows from the store; None = none yet
    same_hours: Rows | None = None  # baseline in the same hours of past days; None = none
    quantiles: Quantiles | Failed | None = None  # for T; None = not asked for
    warmed: bool | None = None  # did the warm-up requests succeed; None = not sent in this tick
