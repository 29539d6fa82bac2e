"""The state machine: every (phase, event) pair is either in the table or refused with one named error."""

import itertools

import pytest

from rollouts.errors import InvariantBroken
from rollouts.rollout import Outcome, Phase
from rollouts.states import TABLE, Event, move, possible

ENDS = {
    Event.GATE_EXPIRED: Outcome.REJECTED,
    Event.HARM: Outcome.ROLLED_BACK,
    Event.ROLL_BACK: Outcome.ROLLED_BACK,
    Event.EXPIRED: Outcome.ABORTED,
    Event.ZEROED: Outcome.ABORTED,
    Event.ABORT: Outcome.ABORTED,
    Event.NEW_VERSION: Outcome.SUPERSEDED,
    Event.WATCHED: Outcome.PROMOTED,
}


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, Event)))
def test_every_pair_is_a_move_or_one_named_error(phase, event):
    if possible(phase, event):
        after, outcome = move("r1", phase, event)
        assert (outcome is not None) == (after is Phase.CLOSING), "an end, and only an end, decides an outcome"
        if event in ENDS:
            assert outcome is ENDS[event]
    else:
        with pytest.raises(InvariantBroken, match=f"rollout r1: {event} is not possible in phase {phase}"):
            move("r1", phase, event)


def test_every_phase_has_a_row_and_closed_is_final():
    assert set(TABLE) == set(Phase)
    assert TABLE[Phase.CLOSED] == {}


def test_abort_is_possible_in_every_open_phase():
    assert all(possible(phase, Event.ABORT) for phase in Phase if phase is not Phase.CLOSED)


def test_harm_is_acted_on_wherever_there_is_traffic():
    assert all(possible(phase, Event.HARM) for phase in (Phase.STEP, Phase.SWITCH, Phase.WATCH))


def test_nothing_reaches_100_but_by_proof_or_a_person():
    reaching = {event for phase in TABLE for event, (after, _) in TABLE[phase].items() if after is Phase.SWITCH}
    assert reaching == {Event.PROVEN, Event.PROMOTE}


def test_only_a_read_back_closes():
    closing = {(phase, event) for phase in TABLE for event, (after, _) in TABLE[phase].items() if after is Phase.CLOSED}
    assert closing == {(Phase.CLOSING, Event.CARRIED_OUT)}


def test_every_phase_is_reachable_from_the_gate():
    seen, todo = {Phase.GATE}, [Phase.GATE]
    while todo:
        for after, _ in TABLE[todo.pop()].values():
            if after not in seen:
                seen.add(after)
                todo.append(after)
    assert seen == set(Phase)
