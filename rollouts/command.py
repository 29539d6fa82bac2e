"""What a person or a pipeline may ask of a rollout: each command a decision, or Refused with the reason.

`abort`, `rollback` and a lower share always win, whatever holds or pauses; HARMFUL refuses a higher one.
"""

from enum import StrEnum

import msgspec
from msgspec.structs import replace

from analyzers.judge.verdict import VerdictKind
from rollouts.decision import Decision
from rollouts.draft import Draft
from rollouts.errors import Refused
from rollouts.explain import duration
from rollouts.holds import HOLDS, Ends
from rollouts.notice import NoticeKind
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading, Slot
from rollouts.rollout import HoldReason, Outcome, Pause, Phase, Rollout
from rollouts.states import Event, possible
from rollouts.target import pool_is_ours


class CommandKind(StrEnum):
    """The verbs."""

    PAUSE = "pause"
    RESUME = "resume"
    APPROVE = "approve"
    PROMOTE = "promote"
    ABORT = "abort"
    ADOPT = "adopt"
    REASSERT = "reassert"
    ROLLBACK = "rollback"
    SHIFT = "shift"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """One request, with who made it and why; the actor is stored as claimed or as authenticated."""

    kind: CommandKind
    actor: str
    reason: str = ""
    minutes: float | None = None  # pause: how long; None = limits.pause
    share: int | None = None  # approve: which share; None = the one that waits. shift: percent for the slot
    slot: Slot | None = None  # shift: whose share; None = that of the newest rollout's canary


def command(rollout: Rollout, asked: Command, seen: Observation, now: float) -> Decision:
    """The decision that `asked` leads to at `now` (epoch seconds). Refused names what stands against it."""
    if rollout.phase is Phase.CLOSED:
        raise Refused(f"{rollout.id} is closed ({rollout.outcome}): {rollout.reason}{_instead(rollout, asked.kind)}")
    draft = Draft(rollout, rollout, seen, now)
    said = f"{asked.kind} by {asked.actor}" + (f": {asked.reason}" if asked.reason else "")
    match asked.kind:
        case CommandKind.PAUSE:
            _pause(draft, asked, said)
        case CommandKind.RESUME:
            _resume(draft, said)
        case CommandKind.APPROVE:
            _approve(draft, asked, said)
        case CommandKind.PROMOTE:
            _promote(draft, said)
        case CommandKind.ABORT:
            _end(draft, Event.ABORT, said)
        case CommandKind.ROLLBACK:
            _end(draft, Event.ROLL_BACK, said)
        case CommandKind.ADOPT:
            _adopt(draft, said)
        case CommandKind.REASSERT:
            _reassert(draft, said)
        case CommandKind.SHIFT:
            _shift(draft, asked, said)
    return draft.decision(settled=False)


def _instead(closed: Rollout, asked: CommandKind) -> str:
    """What to type instead, once the rollout has ended; "" = nothing does what was meant."""
    promoted = closed.outcome is Outcome.PROMOTED
    if asked is CommandKind.ABORT and promoted:
        return f"; `canary rollback {closed.service}` goes back"
    if asked in (CommandKind.RESUME, CommandKind.APPROVE, CommandKind.PROMOTE) and not promoted:
        return f"; `canary start {closed.service} {closed.version}` begins it again"
    return ""


def supersede(rollout: Rollout, version: str, seen: Observation, now: float) -> Decision:
    """An announcement names a newer version on the canary slot: share 0, the newer one follows."""
    draft = Draft(rollout, rollout, seen, now)
    draft.act(Event.NEW_VERSION, f"version {version} was announced for {rollout.canary}")
    return draft.decision(settled=False)


def shift_after(closed: Rollout, asked: Command, seen: Observation) -> Command | None:
    """What `shift` asks for once the newest rollout is closed: its rollback; None = pool and marker are so already.

    The share is of the slot that had the canary then. Refused where nobody would watch the traffic that is asked for.
    """
    service, canary, pool, marker = closed.service, closed.canary, seen.pool, seen.marker
    share = _canary_share(closed, asked)
    live = {100: (canary,), 0: (canary.other,)}.get(share, tuple(Slot))
    given = isinstance(pool, PoolReading) and pool.weights.share(canary) == share
    if given and isinstance(marker, MarkerReading) and marker.live in live:
        return None
    if share == 0 and closed.outcome is Outcome.PROMOTED:
        return replace(asked, kind=CommandKind.ROLLBACK)
    if isinstance(pool, Failed):
        raise Refused(f"shift: no rollout of {service} is active, and the pool could not be read: {pool.detail}")
    raise Refused(
        f"shift: {canary} has {pool.weights.share(canary)} %, and no rollout of {service} is active, so nobody would "
        f"watch {share} %: `canary start {service} VERSION --slot {canary}` begins one for the version that stands "
        f"there, and `canary shift {service} {share} --slot {canary} --direct` writes past Flex Canary"
    )


def _canary_share(rollout: Rollout, asked: Command) -> int:
    if asked.share is None or not 0 <= asked.share <= 100:
        raise Refused(f"shift: share is {asked.share}: give a whole number from 0 to 100")
    return asked.share if asked.slot in (None, rollout.canary) else 100 - asked.share


def _end(draft: Draft, event: Event, said: str) -> None:
    """An end by a person's word. An end that is decided already keeps its outcome: harm is no mere abort."""
    rollout = draft.rollout
    if rollout.phase is not Phase.GATE:
        can_be_taken_back(draft)
    if rollout.phase is not Phase.CLOSING or rollout.outcome is Outcome.PROMOTED:
        _event(draft, event, said)
        return
    draft.take_as_known()
    if rollout.hold is not None and rollout.hold.reason is HoldReason.DRIFT:
        draft.end_hold()
    pool = draft.seen.pool
    has = f"{pool.weights.share(rollout.canary)} %" if isinstance(pool, PoolReading) else f"unknown: {pool.detail}"
    draft.sentence = f"{said}: {rollout.outcome} is decided already; {rollout.canary} has {has}"


def can_be_taken_back(draft: Draft) -> None:
    """Refused where the canary has traffic that nobody would take away: a closed rollout must not keep any."""
    rollout, pool, mode = draft.rollout, draft.seen.pool, draft.seen.standing.mode
    has = pool.weights.share(rollout.canary) if isinstance(pool, PoolReading) else rollout.share
    if mode is not Mode.ACT and has > 0:
        raise Refused(
            f"{rollout.id}: mode {mode} leaves the weights to people, and {rollout.canary} has {has} %: "
            f"`canary shift {rollout.service} 0 --slot {rollout.canary} --direct` takes it out, now"
        )


def _event(draft: Draft, event: Event, said: str) -> None:
    rollout = draft.rollout
    if rollout.phase is Phase.GATE and event is Event.ROLL_BACK:
        raise Refused(
            f"{rollout.id}: {rollout.version} is at its gate on {rollout.canary} and was given no traffic, there is "
            f"nothing to take back. `canary abort {rollout.service}` ends it; then deploy the version that shall serve "
            f"instead of that on {rollout.baseline} where `canary target {rollout.service}` says"
        )
    if not possible(rollout.phase, event):
        raise Refused(
            f"{rollout.id} is in phase {rollout.phase}: {event} is not possible there; `canary abort` ends it"
        )
    draft.act(event, said)


def _pause(draft: Draft, asked: Command, said: str) -> None:
    seconds = asked.minutes * 60 if asked.minutes is not None else draft.rollout.pin.limits.pause_seconds
    if not 0 < seconds <= 30 * 86400:
        raise Refused(f"pause: minutes is {asked.minutes}: give a number above 0 and at most 43200 (30 days)")
    pause = Pause(
        actor=asked.actor, reason=asked.reason or "no reason given", since=draft.now, until=draft.now + seconds
    )
    draft.rollout = replace(draft.rollout, pause=pause)
    draft.sentence = f"{said}, for {duration(seconds)}. Harm is still acted on"
    draft.tell(NoticeKind.PAUSED, draft.sentence, command=f"canary resume {draft.rollout.service}")


def _ends_by_resume(rollout: Rollout, seen: Observation) -> bool:
    """Whether `resume` ends the hold; any other hold would be back at the next look."""
    if rollout.hold is None or HOLDS[rollout.hold.reason].ends is not Ends.BY_A_PERSON:
        return False
    canary = seen.probes.get(rollout.canary)
    match rollout.hold.reason:
        case HoldReason.DEPLOYED_TO_LIVE | HoldReason.APPROVAL:
            return False
        case HoldReason.ROLLBACK_ASKED:
            return not rollout.proven_harmful
        case HoldReason.CANARY_CHANGED:
            return canary is not None and canary.healthy and canary.version == rollout.version
        case _:
            return True


def _resume(draft: Draft, said: str) -> None:
    rollout = draft.rollout
    if rollout.pause is None and rollout.hold is None:
        raise Refused(f"{rollout.id} is neither paused nor held: {rollout.reason}")
    ends = _ends_by_resume(rollout, draft.seen)
    if rollout.pause is None and rollout.hold is not None and not ends:
        reason = rollout.hold.reason
        typed = HOLDS[reason].typed(service=rollout.service, share=rollout.share, slot=rollout.canary)
        raise Refused(f"resume does not end this: {rollout.reason}. Type {typed}")
    if rollout.hold is not None and rollout.hold.reason is HoldReason.BASELINE_CHANGED:
        # The person accepts what is there now as the way back.
        draft.rollout = replace(draft.rollout, baseline_version=None)
    late = rollout.hold is not None and rollout.hold.reason is HoldReason.DEADLINE
    if ends:
        draft.end_hold()
    elif rollout.hold is not None:
        said += f". Still held ({rollout.hold.reason}): {rollout.hold.detail}"
    if late:  # more time is what the person gives
        draft.rollout = replace(draft.rollout, clock_from=draft.now)
    draft.rollout = replace(draft.rollout, pause=None)
    draft.sentence = said
    draft.tell(NoticeKind.RESUMED, said)


def _approve(draft: Draft, asked: Command, said: str) -> None:
    rollout, steps = draft.rollout, draft.rollout.pin.steps
    upcoming = steps[0] if rollout.phase is Phase.GATE else steps[min(rollout.step + 1, len(steps) - 1)]
    share = asked.share if asked.share is not None else upcoming
    if share not in steps:
        raise Refused(f"approve: {share} is not one of the steps {list(steps)}")
    draft.rollout = replace(rollout, approved=tuple(dict.fromkeys((*rollout.approved, share))))
    if rollout.hold is not None and rollout.hold.reason is HoldReason.APPROVAL and share == upcoming:
        draft.end_hold()
    draft.sentence = f"{share} % approved: {said}"
    draft.tell(NoticeKind.RECORD, draft.sentence)


def _promote(draft: Draft, said: str) -> None:
    rollout = draft.rollout
    if not possible(rollout.phase, Event.PROMOTE):
        raise Refused(f"{rollout.id} is in phase {rollout.phase}: only a step or the watch can be promoted by hand")
    _harmless(draft)
    if rollout.phase is Phase.STEP:
        _undisturbed(draft)
        draft.tell(NoticeKind.RECORD, f"{said}: from {rollout.share} to 100 % without waiting for the proof")
    draft.act(Event.PROMOTE, said)


def _harmless(draft: Draft) -> None:
    """Refused on harm: a harmful version gains no share, whoever asks."""
    rollout = draft.rollout
    if rollout.verdict is not None and rollout.verdict.kind is VerdictKind.HARMFUL:
        raise Refused(f"{rollout.id} is HARMFUL and gets no more than its {rollout.share} %: {rollout.reason}")


def _undisturbed(draft: Draft) -> None:
    """Refused while we may not write, and while pool or marker do not say what the rollout wants."""
    rollout, pool, marker = draft.rollout, draft.seen.pool, draft.seen.marker
    _must_be_ours(draft)
    if draft.seen.standing.off:
        raise Refused(f"{rollout.id}: `canary off` is in force, no weight is written: `canary on` first, or --direct")
    if not isinstance(pool, PoolReading) or pool.weights != rollout.weights:
        raise Refused(f"{rollout.id}: the pool does not hold what the rollout wants; adopt, reassert or wait first")
    if not isinstance(marker, MarkerReading) or marker.live is not rollout.marker:
        said = marker.live if isinstance(marker, MarkerReading) else f"nothing that can be read ({marker.detail})"
        raise Refused(
            f"{rollout.id}: {rollout.pin.marker} says {said}, the rollout wants {rollout.marker}; reassert or wait"
        )


def _must_be_ours(draft: Draft) -> None:
    """Refused where the mode leaves the weights to people."""
    rollout, mode = draft.rollout, draft.seen.standing.mode
    if mode is not Mode.ACT:
        raise Refused(
            f"{rollout.id}: mode {mode} leaves the weights to people: `canary shift {rollout.service} SHARE --slot "
            f"{rollout.canary} --direct`, "
            f"or `canary mode {rollout.service} act` first"
        )


def _adopt(draft: Draft, said: str) -> None:
    rollout, pool = draft.rollout, draft.seen.pool
    if not isinstance(pool, PoolReading):
        raise Refused(f"adopt: the pool could not be read: {pool.detail}")
    share = pool.weights.share(rollout.canary)
    if share == rollout.share:
        raise Refused(f"adopt: the pool already holds what the rollout wants, {share} % for {rollout.canary}")
    if share == 0:
        _event(draft, Event.ZEROED, said)
        return
    if share == 100:
        raise Refused(
            f"adopt: the pool gives {rollout.canary} 100 %: use `canary promote` after `canary reassert`, so that "
            "the marker and the watch follow"
        )
    if not possible(rollout.phase, Event.ADOPTED):
        raise Refused(f"adopt: {rollout.id} is in phase {rollout.phase}; `canary reassert` or `canary abort`")
    if share > rollout.share:
        _harmless(draft)
    draft.adopted = share
    draft.act(Event.ADOPTED, said)


def _reassert(draft: Draft, said: str) -> None:
    rollout, pool = draft.rollout, draft.seen.pool
    if not isinstance(pool, PoolReading):
        raise Refused(f"reassert: the pool could not be read: {pool.detail}")
    if rollout.hold is None or rollout.hold.reason is not HoldReason.DRIFT:
        raise Refused(f"reassert: {rollout.id} is not held for drift: {rollout.reason}")
    draft.take_as_known()
    draft.end_hold()
    draft.sentence = f"{said}: {rollout.share} % for {rollout.canary} again"
    draft.tell(NoticeKind.RECORD, draft.sentence)


def _shift(draft: Draft, asked: Command, said: str) -> None:
    """A share by a person's word: 0 aborts, 100 promotes; a share between is judged anew from there."""
    rollout = draft.rollout
    if rollout.hold is not None and rollout.hold.reason is HoldReason.DEPLOYED_TO_LIVE:
        raise Refused(f"shift: {rollout.reason}; `canary abort` closes the record")
    share = _canary_share(rollout, asked)
    if share == rollout.share and (share or rollout.phase is Phase.CLOSING) and _another_hand(draft) is None:
        draft.sentence = f"{said}: {share} % for {rollout.canary} is so already" + _not_there_yet(draft)
    elif share == 0:
        _end(draft, Event.ABORT, said)
    elif share == 100 and rollout.share == 100:
        raise Refused(f"{rollout.id}: the pool does not hold what the rollout wants; reassert first")
    elif share == 100:
        _promote(draft, said)
    else:
        _set_share(draft, share, said)


def _another_hand(draft: Draft) -> int | None:
    """The share that somebody else gave the canary; None = the pool holds what we know of, or cannot be read."""
    rollout, pool = draft.rollout, draft.seen.pool
    if isinstance(pool, Failed) or pool_is_ours(rollout, pool):
        return None
    return pool.weights.share(rollout.canary)


def _not_there_yet(draft: Draft) -> str:
    """Why a share that is decided is not in place; "" = the pool gives it."""
    rollout, pool = draft.rollout, draft.seen.pool
    if isinstance(pool, Failed):
        return f" what the rollout wants, but the pool could not be read: {pool.detail}"
    has = pool.weights.share(rollout.canary)
    return "" if has == rollout.share else f" decided; the pool still gives it {has} %"


def _set_share(draft: Draft, share: int, said: str) -> None:
    """Adopt a share from 1 to 99; a higher one than the pool gives is a raise, a lower one is always allowed."""
    rollout = draft.rollout
    if not possible(rollout.phase, Event.ADOPTED):
        raise Refused(
            f"shift: {rollout.id} is in phase {rollout.phase}, where nothing but 0 can be set; the gate comes first, "
            "and an end is an end"
        )
    _must_be_ours(draft)
    theirs = _another_hand(draft)
    if share > rollout.share:
        _harmless(draft)
    if share > (rollout.share if theirs is None else theirs):
        _undisturbed(draft)
        draft.rollout = replace(rollout, raised_at=draft.now)
    draft.take_as_known()
    draft.adopted = share
    draft.act(Event.ADOPTED, said)
