"""A decision that would break a promise is none: nothing is stored, nothing is written."""

from typing import Any

import pytest
from msgspec.structs import replace

from analyzers.judge.verdict import VerdictKind
from rollouts.draft import Draft
from rollouts.errors import InvariantBroken
from rollouts.observation import MarkerReading, Mode, Observation, PoolReading, Slot, Standing, Weights
from rollouts.rollout import Outcome, Phase, Rollout
from rollouts.rule import drift
from tests.storing.examples import START, rollout, verdict

STEP: Rollout = rollout(phase=Phase.STEP, share=10)
CLOSED: Rollout = rollout(phase=Phase.CLOSED, outcome=Outcome.REJECTED)
HARMFUL = replace(verdict(), kind=VerdictKind.HARMFUL)


def seen(mode: Mode = Mode.ACT, live: Slot = Slot.BLUE) -> Observation:
    pool, marker = PoolReading(weights=Weights.of(Slot.GREEN, 0), etag="1"), MarkerReading(live=live, etag="1")
    return Observation(pool=pool, marker=marker, telemetry=None, probes={}, standing=Standing(mode=mode))


@pytest.mark.parametrize(
    ("before", "changes", "promise"),
    [
        (STEP, {"share": 101}, "share 101 is outside 0..100"),
        (STEP, {"share": -1}, "share -1 is outside 0..100"),
        (STEP, {"share": 11, "verdict": HARMFUL}, r"a harmful version would gain share \(10 -> 11\)"),
        (STEP, {"share": 0, "marker": Slot.GREEN}, "the marker would name green, which has weight 0"),
        (CLOSED, {"reason": "another one"}, "it is closed, and would change"),
    ],
)
def test_what_must_never_be_is_refused_before_it_is_stored(
    before: Rollout, changes: dict[str, Any], promise: str
) -> None:
    with pytest.raises(InvariantBroken, match=promise):
        Draft(before, replace(before, **changes), seen(), START).decision(settled=False)


@pytest.mark.parametrize("mode", [Mode.OBSERVE, Mode.ADVISE])
def test_what_people_give_a_harmful_version_is_theirs(mode: Mode) -> None:
    after = replace(STEP, share=50, verdict=HARMFUL)
    assert Draft(STEP, after, seen(mode), START).decision(settled=False).rollout.share == 50


def test_a_share_that_changed_is_a_decision_of_the_record() -> None:
    """Also where people moved it, and nothing else did."""
    decision = Draft(STEP, replace(STEP, share=50), seen(Mode.OBSERVE), START).decision(settled=False)
    assert (decision.recorded, decision.share_before, decision.rollout.share) == (True, 10, 50)
    assert decision.rollout.decisions == STEP.decisions + 1
    quiet = Draft(STEP, replace(STEP, ticked_at=START), seen(), START).decision(settled=False)
    assert (quiet.recorded, quiet.rollout.decisions) == (False, STEP.decisions)


def test_a_marker_on_the_canary_after_an_end_is_ours_only_while_a_switch_may_still_arrive() -> None:
    ending = rollout(phase=Phase.CLOSING, outcome=Outcome.ROLLED_BACK, marker_seen=seen().marker)
    found = seen(live=Slot.GREEN)
    assert drift(ending, found) is not None
    assert drift(replace(ending, reached_at=START), found) is None


def test_the_first_share_explains_no_marker_on_the_canary() -> None:
    raising = replace(STEP, share=0, reached_at=START, marker_seen=seen().marker)
    assert drift(raising, seen(live=Slot.GREEN)) is not None
