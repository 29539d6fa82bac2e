"""What the judge says: one value that repeats its inputs and can be read alone.

Unknown is None, never a calm number. Evidence and limits are natural logarithms of e-values.
"""

from enum import StrEnum

import msgspec


class VerdictKind(StrEnum):
    """In order of precedence (JUDGE): the first that holds is what the judge says."""

    HARMFUL = "harmful"  # the canary is worse than the baseline by more than the tolerance
    BLIND = "blind"  # the query failed, is stale, or has no rows of either slot
    UNOBSERVED = "unobserved"  # far fewer canary rows than its share
    BASELINE_WORSE = "baseline_worse"  # the mirror of HARMFUL
    SHARED = "shared"  # the baseline left its own history; the canary is not worse
    ONE_INSTANCE = "one_instance"  # the harm sits in one instance of the canary
    SAFE = "safe"  # shown to be not worse by more than the tolerance, on every indicator
    UNDECIDED = "undecided"  # neither yet


class Side(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of one role behind one indicator, over the judged intervals of the current step."""

    bad: int  # rows
    requests: int  # rows judged (warm ones only, for latency)
    rate: float | None  # bad / requests; None without requests
    displayed_requests: int  # sum of ItemCount: what users sent, sampled telemetry scaled up
    cold: int  # rows of young instances, shown apart


class IndicatorEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the judge knows of one indicator."""

    name: str
    canary: Side
    baseline: Side
    boundary: float | None  # points + ratio * baseline rate, a fraction; None without baseline requests
    harm: float  # log evidence that the canary is worse than tolerated
    harm_limit: float  # log(k / alpha): HARMFUL at or above
    harm_without_worst_instance: float | None  # the smallest leave-one-out evidence; None = unchecked
    safe: float | None  # log evidence that the canary is within tolerance; None when it cannot be tested
    safe_limit: float  # log(1 / beta): SAFE at or above
    difference_low: float | None  # interval of canary rate - boundary, a fraction, for display only
    difference_high: float | None
    requests_needed: int | None  # more canary requests until SAFE at today's rates; None = cannot be said
    seconds_needed: int | None  # the same at today's traffic
    note: str | None = None  # why it cannot be judged: "no warm requests", "no history for T", ...


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What the judge says of one rollout at one instant, with every number behind it."""

    kind: VerdictKind
    indicators: tuple[IndicatorEvidence, ...]
    alpha: float
    beta: float
    looks: int  # judged intervals over the whole rollout: how often it was looked at
    step_looks: int  # judged and settled intervals of the current step
    share: int | None  # percent, of the current segment; None before any traffic
    one_sample: bool  # True in the watch: no concurrent baseline
    severe: bool = False  # HARMFUL beyond doubt without a concurrent baseline (ceiling): roll back directly
    indicator: str | None = None  # which indicator decided; None = all, or none
    operation: str | None = None  # the operation whose own evidence carries the harm
    instance: str | None = None  # ONE_INSTANCE: which
    instances_checked: bool = False  # False: fewer than three instances served, leave-one-out impossible
    observed_share: float | None = None  # fraction of rows that the canary had in the judged intervals
    why: str = ""  # one plain sentence for kinds that need one (BLIND, UNOBSERVED, SHARED, ...)

    def evidence(self, name: str) -> IndicatorEvidence | None:
        """The evidence of the indicator `name`, None when it is not judged."""
        return next((one for one in self.indicators if one.name == name), None)
