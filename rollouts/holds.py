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
    person: tuple[str, ...] = ("canary resume {service}",)  # what a person types to end it, or about it: one of these

    def limit_seconds(self, limits: HoldLimits) -> int | None:
        """The limit in force; None = none."""
        return None if self.limit is None else int(getattr(limits, self.limit))

    def typed(self, *, service: str, share: int | str, slot: str) -> str:
        """What a person types, as it is typed; `share` is the percent that `slot` should get.

        >>> HOLDS[HoldReason.DRIFT].typed(service="checkout", share=10, slot="green")
        'canary adopt checkout, or canary reassert checkout'
        """
        return ", or ".join(one.format(service=service, share=share, slot=slot) for one in self.person)


HOLDS: dict[HoldReason, HoldRule] = {
    HoldReason.BLIND: HoldRule(
        ends=Ends.BY_ITSELF,
        quiet_intervals=None,
        limit="blind_seconds",
        then=Then.AS_POLICY_SAYS,
        person=("canary abort {service}",),
    ),
    HoldReason.UNOBSERVED: HoldRule(
        ends=Ends.BY_ITSELF, limit="unobserved_seconds", then=Then.ROLLS_BACK, person=("canary abort {service}",)
    ),
    HoldReason.SHARED: HoldRule(ends=Ends.BY_ITSELF, person=("canary abort {service}",)),
    HoldReason.BASELINE_WORSE: HoldRule(ends=Ends.BY_ITSELF, person=("canary promote {service}",)),
    HoldReason.ONE_INSTANCE: HoldRule(
        ends=Ends.BY_ITSELF,
        quiet_intervals=2,
        limit="one_instance_seconds",
        then=Then.ROLLS_BACK,
        person=("canary rollback {service}",),
    ),
    HoldReason.APPROVAL: HoldRule(
        ends=Ends.BY_A_PERSON, limit="approval_seconds", then=Then.GOES_TO_ZERO, person=("canary approve {service}",)
    ),
    HoldReason.DEADLINE: HoldRule(
        ends=Ends.BY_A_PERSON, proof_resumes=True, person=("canary promote {service}", "canary resume {service}")
    ),
    HoldReason.DRIFT: HoldRule(ends=Ends.BY_ITSELF, person=("canary adopt {service}", "canary reassert {service}")),
    HoldReason.POOL_UNREADABLE: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person=("canary doctor {service}",)),
    HoldReason.MARKER_UNKNOWN: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person=("canary doctor {service}",)),
    HoldReason.CANNOT_WRITE: HoldRule(
        ends=Ends.BY_ITSELF, reminder_seconds=900, person=("canary shift {service} {share} --slot {slot} --direct",)
    ),
    HoldReason.BASELINE_CHANGED: HoldRule(
        ends=Ends.BY_A_PERSON,
        person=("canary abort {service}", "canary resume {service}", "canary promote {service}"),
    ),
    HoldReason.BASELINE_DOWN: HoldRule(ends=Ends.BY_ITSELF, quiet_intervals=2, person=("canary abort {service}",)),
    HoldReason.CANARY_CHANGED: HoldRule(
        ends=Ends.BY_A_PERSON, person=("canary rollback {service}", "canary promote {service}")
    ),
    HoldReason.ROLLBACK_ASKED: HoldRule(
        ends=Ends.BY_A_PERSON, reminder_seconds=600, person=("canary rollback {service}",)
    ),
    HoldReason.DEPLOYED_TO_LIVE: HoldRule(ends=Ends.BY_A_PERSON, person=("canary abort {service}",)),
    HoldReason.STORM: HoldRule(ends=Ends.BY_ITSELF, person=("canary off {service}",)),
    HoldReason.MODE: HoldRule(
        ends=Ends.BY_ITSELF,
        reminder_seconds=900,
        person=("canary shift {service} {share} --slot {slot} --direct", "canary mode {service} act"),
    ),
    HoldReason.OFF: HoldRule(ends=Ends.BY_ITSELF, reminder_seconds=24 * 3600, person=("canary on {service}",)),
}
