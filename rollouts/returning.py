"""`rollback` after closing: a record of its own that brings the traffic back to the version that was replaced.

What stands on the old slot is known by the version that its health URL answers, and by the rollouts since.
"""

from collections.abc import Sequence

from rollouts.command import Command, can_be_taken_back
from rollouts.decision import Decision
from rollouts.draft import Draft
from rollouts.errors import Refused
from rollouts.observation import Observation, Probe
from rollouts.rollout import Outcome, Phase, Rollout
from rollouts.states import Event


def return_to_baseline(history: Sequence[Rollout], asked: Command, record_id: str, now: float) -> Rollout:
    """The record that takes the newest promotion of `history` (the newest first, all closed) back.

    Rollouts after it are no obstacle where nobody ever saw their version on the old slot; Refused says what is.
    """
    newest = history[0]
    at = next((i for i, one in enumerate(history) if one.outcome is Outcome.PROMOTED), None)
    if at is None:
        raise _nothing_to_take_back(newest, "and no promotion before it is kept")
    promoted, since = history[at], history[:at]
    if why := _obstacle(promoted, since):
        raise _nothing_to_take_back(newest, why)
    return Rollout(
        id=record_id,
        service=promoted.service,
        version=promoted.version,
        deployment_id=_record_of(promoted),
        canary=promoted.canary,
        started_at=now,
        started_by=f"person:{asked.actor}",
        pin=newest.pin,
        standing=newest.standing,
        phase=Phase.CLOSING,
        phase_since=now,
        outcome=Outcome.ROLLED_BACK,
        share=100,
        marker=promoted.canary,
        baseline_version=promoted.baseline_version,
        pool_seen=promoted.pool_seen,
        marker_seen=promoted.marker_seen,
        link=promoted.link,
        commit=promoted.commit,
    )


def begin_return(record: Rollout, newest: Rollout, asked: Command, seen: Observation, now: float) -> Decision:
    """The first decision of such a record: all traffic back to the old slot, as `seen` found it.

    `newest` is the rollout before it. Where that is another than the promoted one, Refused unless the old slot
    answers that it still has the version that was replaced.
    """
    draft = Draft(record, record, seen, now)
    can_be_taken_back(draft)
    probe = seen.probes[record.baseline]
    said = f"rollback by {asked.actor} after promotion" + (f": {asked.reason}" if asked.reason else "")
    said += f". {_old_version(record, probe)}"
    if newest.outcome is not Outcome.PROMOTED:
        _must_be_there(record, newest, probe)
        said += f"; {newest.version} ({newest.id}, {newest.outcome}) never came there"
    draft.act(Event.ROLL_BACK, said)
    return draft.decision(settled=False)


def _record_of(promoted: Rollout) -> str:
    """What stands for a deployment's id in the record: a promotion is taken back once."""
    return f"rollback-of-{promoted.id}"


def _obstacle(promoted: Rollout, since: Sequence[Rollout]) -> str:
    """What the rollouts after a promotion did to its way back; "" = nothing."""
    slot = promoted.baseline
    for one in since:
        if one.deployment_id == _record_of(promoted):
            return f"and {promoted.version} was rolled back already ({one.id})"
        if one.canary is promoted.canary:
            return f"and {one.version} came to {one.canary}, which is live, since {promoted.version} was promoted"
        if one.arrived:
            return f"and {slot} got {one.version} ({one.id}) since {promoted.version} was promoted"
    return ""


def _nothing_to_take_back(newest: Rollout, why: str) -> Refused:
    service = newest.service
    has = f"{newest.share} % of the" if newest.share else "no"
    return Refused(
        f"{newest.id} ended {newest.outcome}: {newest.version} has {has} traffic and was not promoted, {why}: there is "
        f"nothing to take back. Deploy the version that shall serve where `canary target {service}` says; where it "
        f"stands on the other slot already, `canary start {service} VERSION` begins it"
    )


def _old_version(record: Rollout, probe: Probe) -> str:
    """What the old slot answers. Refused where that is other code: it never was at a gate, let alone live."""
    service, slot, known = record.service, record.baseline, record.baseline_version
    if not probe.healthy:
        return f"{slot} did not answer its probe: {probe.detail}"
    if known is not None and probe.version not in (known, None):
        raise Refused(
            f"{slot} answers version {probe.version} now: {known}, which {record.version} replaced, is gone. Deploy it "
            f"again where `canary target {service}` says; `canary shift {service} 100 --slot {slot} --direct` gives "
            f"{probe.version} all the traffic at once"
        )
    return f"{slot} answers version {probe.version or 'unknown'}"


def _must_be_there(record: Rollout, newest: Rollout, probe: Probe) -> None:
    """Refused unless the old slot proves that it has the replaced version: something was to be deployed there since."""
    service, slot, known = record.service, record.baseline, record.baseline_version
    if probe.healthy and probe.version is not None and probe.version == known:
        return
    answers = f"answers version {probe.version or 'unknown'}" if probe.healthy else f"does not answer: {probe.detail}"
    raise Refused(
        f"{newest.version} ({newest.id}, {newest.outcome}) was to stand on {slot} since {record.version} was promoted, "
        f"and {slot} {answers}: that {known or 'the version'} which {record.version} replaced is still there cannot be "
        f"proven. Deploy it again where `canary target {service}` says; `canary shift {service} 100 --slot {slot} "
        f"--direct` gives what stands there all the traffic at once"
    )
