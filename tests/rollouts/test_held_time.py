"""A hold's time: counted once, told at the rhythm of its row."""

from msgspec.structs import replace

from rollouts.draft import Draft
from rollouts.holds import HOLDS
from rollouts.notice import NoticeKind
from rollouts.observation import MarkerReading, Mode, Observation, PoolReading, Slot, Standing, Weights
from rollouts.rollout import Hold, HoldReason, Phase, Rollout
from rollouts.rule import Ruling, unheld_from
from tests.storing.examples import START, rollout

STEP: Rollout = rollout(phase=Phase.STEP, share=10, clock_from=START)
GOES_ON = Ruling(why="not proven yet")


def held(reason: HoldReason) -> Ruling:
    return Ruling(hold=reason, why="it is so")


def after(before: Rollout, ruling: Ruling, now: float) -> Draft:
    seen = Observation(
        pool=PoolReading(weights=Weights.of(Slot.GREEN, 10), etag="1"),
        marker=MarkerReading(live=Slot.BLUE, etag="1"),
        telemetry=None,
        probes={},
        standing=Standing(mode=Mode.ACT, channels=("team",)),
    )
    draft = Draft(before, before, seen, now)
    draft.apply(ruling)
    return draft


def test_time_held_stops_the_clock_once_although_a_look_in_between_saw_nothing() -> None:
    """100 s unobserved, 10 s without a pool, 50 s unobserved again: the clock is 160 s later, not 260."""
    began = START + 500
    of = STEP
    for seconds, reason in (
        (0, HoldReason.UNOBSERVED),
        (100, HoldReason.POOL_UNREADABLE),
        (110, HoldReason.UNOBSERVED),
    ):
        of = after(of, held(reason), began + seconds).rollout
    assert of.hold is not None
    assert of.hold.since == began + 10, "its limit: unseen time does not count"
    of = after(of, GOES_ON, began + 160).rollout
    assert (of.hold, of.clock_from) == (None, START + 160)


def test_a_hold_that_goes_on_is_told_again_once_for_each_reminder() -> None:
    """Not at every look once the first reminder is due."""
    reason, rhythm = HoldReason.SHARED, HOLDS[HoldReason.SHARED].reminder_seconds
    of, told = STEP, []
    for seconds in range(0, 3 * rhythm, 600):
        draft = after(of, held(reason), START + seconds)
        of = draft.rollout
        told += [(seconds, one.kind) for one in draft.notices]
    assert told == [(0, NoticeKind.HELD), (rhythm, NoticeKind.REMINDER), (2 * rhythm, NoticeKind.REMINDER)]


def test_a_hold_that_nobody_heard_of_ends_without_a_word() -> None:
    """And one that was told ends with how long it was."""
    quiet = after(after(STEP, held(HoldReason.POOL_UNREADABLE), START).rollout, GOES_ON, START + 60)
    assert quiet.notices == []
    loud = after(after(STEP, held(HoldReason.SHARED), START).rollout, GOES_ON, START + 600)
    [notice] = loud.notices
    assert (notice.kind, notice.text.endswith("goes on, it was held for 10 min (shared)")) == (NoticeKind.RESUMED, True)


def test_a_clock_that_began_under_a_hold_is_not_moved_into_the_future() -> None:
    of = replace(STEP, hold=Hold(reason=HoldReason.SHARED, since=START - 300, detail="it is so"))
    assert unheld_from(of, START + 100) == START + 100


def test_a_decision_is_named_after_the_first_thing_that_it_tells() -> None:
    draft = after(STEP, GOES_ON, START)
    draft.tell(NoticeKind.ALARM, "the way back is gone")
    draft.apply(held(HoldReason.SHARED))
    decision = draft.decision(settled=False)
    assert [one.kind for one in decision.notices] == [NoticeKind.ALARM, NoticeKind.HELD]
    assert decision.kind is NoticeKind.ALARM
