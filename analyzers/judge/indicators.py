"""What is compared: indicators, each a ratio of bad requests, and the tolerance between the two slots.

Every indicator is one kind of number, so the judge needs counts only (shared with the policy, which
names indicators in YAML). Fractions are fractions here (0.005); the YAML speaks of points (0.5).
"""

from enum import StrEnum

import msgspec


class IndicatorKind(StrEnum):
    """How a request becomes bad."""

    FAILURES = "failures"  # result code >= 500, or Success is false
    REJECTED = "rejected"  # result code 400 to 499
    SLOWER_THAN = "slower_than"  # it took longer than `threshold_ms`
    QUANTILE = "quantile"  # baseline: longer than T; canary: longer than (1 + slowdown) T
    QUERY = "query"  # an own KQL query counted it


class Indicator(msgspec.Struct, frozen=True, kw_only=True):
    """One comparison and its tolerance: the canary may be bad at a rate of `points + ratio * baseline`.

    >>> Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25).boundary(0.01)
    0.0175
    """

    name: str
    kind: IndicatorKind
    points: float  # fraction, 0 <= points < 1; the YAML's 0.5 is 0.005 here
    ratio: float  # factor, >= 0
    ceiling: float | None = None  # fraction; an absolute limit for the canary. None = no limit
    warm_only: bool = False  # judge only rows of instances past `cold_seconds` (latency)
    threshold_ms: float | None = None  # slower_than only
    quantile: float | None = None  # quantile only: 0.95
    slowdown: float | None = None  # quantile only: 0.20
    query: str | None = None  # query only: KQL that returns the pinned row shape

    def boundary(self, baseline_rate: float) -> float:
        """The worst tolerated canary rate (a fraction, never above 1) at this baseline rate."""
        return min(1.0, self.points + self.ratio * baseline_rate)
