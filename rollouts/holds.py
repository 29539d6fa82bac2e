"""The hold table: for each reason who ends it, whether proof resumes it, how long it may last, what then."""

from enum import StrEnum

import msgspec

from rollouts.policy import HoldLimits
from rollouts.rollout import HoldReason


class Ends(StrEnum):
    """Who ends a hold."""

    BY_ITSELF = "by itself"  # when its cause is gone
    BY_A_PERSON = "by a person"  # latched: its cause may be gone, a person still has to say so


class Then(StrEnum):
    """What happens when a hold outlasts its limit."""

    STAYS = "stays"
    ROLLS_BACK = "rolls back"
    GOES_TO_ZERO = "goes to 0"  # outcome aborted: nothing was proven against the version
    AS_POLICY_SAYS = "as limits.at_blind says"


class HoldRule(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table; `limit` names the field of HoldLimits, None = no limit."""

    ends: Ends
    proof_resumes: bool = False  # a later SAFE goes on without a person
    quiet_intervals: int | None = 0  # a hold that ends sooner is recorded, not told; None = quiet until its limit
    reminder_seconds: int = 3600
    limit: str | None = None
    then: Then = Then.STAYS
    person: str = "canary resume"  # what a person types to end it, or about it

    def limit_seconds(self, limits: HoldLimits) -> int | None:
        """The limit in force; None = none."""
        return None if self.limit is None else int(getattr(limits, self.limit))


HOLDS: dict[HoldReason, HoldRule] = {
    HoldReason.BLIND: HoldRule(
        ends=Ends.BY_ITSELF,
        quiet_intervals=None,
        limit="blind_seconds",
        then=Then.AS_POLICY_SAYS,
        person="canary abort",
    ),
    HoldReason.UNOBSERVED: HoldRule(
        ends=Ends.BY_ITSELF, limit="unobserved_seconds", then=Then.ROLLS_BACK, person="canary abort"
    ),
    HoldReason.SHARED: HoldRule(ends=Ends.BY_ITSELF, person="canary abort"),
    HoldReason.BASELINE_WORSE: HoldRule(ends=Ends.BY_ITSELF, person="canary promote"),
    HoldReason.ONE_INSTANCE: HoldRule(
        ends=Ends.BY_ITSELF,
        quiet_intervals=2,
        limit="one_instance_seconds",
        then=Then.ROLLS_BACK,
        person="canary rollback",
    ),
    HoldReason.APPROVAL: HoldRule(
        ends=Ends.BY_A_PERSON, limit="approval_seconds", then=Then.GOES_TO_ZERO, person="canary approve"
    ),
    HoldReason.DEADLINE: HoldRule(ends=Ends.BY_A_PERSON, proof_resumes=True, person="canary promote"),
    HoldReason.DRIFT: HoldRule(ends=Ends.BY_ITSELF, person="canary adopt (or reassert)"),
    HoldReason.POOL_UNREADABLE: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person="canary doctor"),
    HoldReason.MARKER_UNKNOWN: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person="canary doctor"),
    HoldReason.CANNOT_WRITE: HoldRule(ends=Ends.BY_ITSELF, reminder_seconds=900, person="canary shift --direct"),
    HoldReason.BASELINE_CHANGED: HoldRule(ends=Ends.BY_A_PERSON, person="canary abort (or promote)"),
    HoldReason.BASELINE_DOWN: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person="canary abort"),
    HoldReason.CANARY_CHANGED: HoldRule(ends=Ends.BY_A_PERSON, person="canary rollback (or promote)"),
    HoldReason.ROLLBACK_ASKED: HoldRule(ends=Ends.BY_A_PERSON, reminder_seconds=600, person="canary rollback"),
    HoldReason.DEPLOYED_TO_LIVE: HoldRule(ends=Ends.BY_A_PERSON, person="canary abort"),
    HoldReason.STORM: HoldRule(ends=Ends.BY_ITSELF, person="canary off"),
    HoldReason.OFF: HoldRule(ends=Ends.BY_ITSELF, reminder_seconds=24 * 3600, person="canary on"),
}
