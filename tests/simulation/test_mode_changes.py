"""The mode becomes `advise` or `observe` in the middle: nothing moves any more, and nothing is said that is not so."""

import pytest

from controller import requests
from lab.simulation import Behaviour, Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Refused
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Mode, Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase

BAD = Behaviour(late_failures=0.11)
GIVEN_UP = 200  # intervals


def mode(simulation: Simulation, to: Mode) -> str:
    return requests.set_mode(simulation.world, "checkout", to, requests.Who(actor="ada"))


def until_written(simulation: Simulation, writes: int) -> None:
    """To the moment in which that many writes of ours are there, and the next one is refused."""
    simulation.run(GIVEN_UP, lambda: len(simulation.pool.writes) == writes)
    simulation.pool.refuse_until = simulation.now + GIVEN_UP


def told(simulation: Simulation, kind: NoticeKind) -> list[Notice]:
    return [notice for _, notice in simulation.told if notice.kind is kind]


def rolling_back(begun) -> Simulation:
    simulation = begun(BAD)
    until_written(simulation, 1)
    simulation.run(GIVEN_UP, lambda: simulation.rollout.phase is Phase.CLOSING)
    return simulation


@pytest.mark.parametrize("to", [Mode.ADVISE, Mode.OBSERVE])
def test_a_rollback_that_is_left_to_people_is_held_and_never_told_as_done(begun, to):
    simulation = rolling_back(begun)
    said = mode(simulation, to)
    assert "green has" in said and "canary shift checkout 0 --slot green --direct" in said
    simulation.pool.refuse_until = 0
    simulation.run(5)
    rollout = simulation.rollout
    assert (rollout.phase, rollout.hold and rollout.hold.reason) == (Phase.CLOSING, HoldReason.MODE)
    assert f"0 % for green, current-slot-name blue is decided but NOT carried out: mode {to}" in rollout.reason
    assert "green has 10 %" in rollout.reason
    assert simulation.pool.weights == Weights(blue=90, green=10)
    assert not told(simulation, NoticeKind.ROLLED_BACK)
    if to is Mode.ADVISE:
        [card] = [one for one in told(simulation, NoticeKind.HELD) if "(mode)" in one.text]
        assert card.command == "canary shift checkout 0 --slot green --direct, or canary mode checkout act"
    with pytest.raises(Refused, match="takes it out, now"):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))


def test_a_mode_warns_of_the_traffic_that_is_left_to_people_and_of_none_where_there_is_none(begun):
    simulation = begun(BAD)
    until_written(simulation, 1)
    assert "keeps the 10 % that green has" in mode(simulation, Mode.ADVISE)
    assert mode(simulation, Mode.ACT) == "checkout: mode act"
    simulation.pool.refuse_until = 0
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.telemetry.outage_until = simulation.now + GIVEN_UP
    simulation.pool.set(Weights(blue=100, green=0))
    simulation.marker.unknown = True  # the end waits for it
    simulation.run(2)
    assert not simulation.rollout.closed
    assert mode(simulation, Mode.ADVISE) == "checkout: mode advise"


def test_a_rollback_that_a_person_carries_out_ends_as_decided(begun):
    simulation = rolling_back(begun)
    mode(simulation, Mode.ADVISE)
    simulation.run(2)
    simulation.pool.set(Weights(blue=100, green=0))
    simulation.run(2)
    assert (simulation.rollout.phase, simulation.rollout.outcome) == (Phase.CLOSED, Outcome.ROLLED_BACK)
    assert told(simulation, NoticeKind.ROLLED_BACK)


def test_back_in_act_the_rollback_goes_on(begun):
    simulation = rolling_back(begun)
    mode(simulation, Mode.ADVISE)
    simulation.run(2)
    simulation.pool.refuse_until = 0
    mode(simulation, Mode.ACT)
    simulation.run(3)
    assert simulation.pool.weights == Weights(blue=100, green=0)
    assert simulation.rollout.outcome is Outcome.ROLLED_BACK and simulation.rollout.closed


def test_a_raise_that_was_not_written_any_more_is_not_told(begun):
    simulation = begun()
    until_written(simulation, 1)
    simulation.run(GIVEN_UP, lambda: simulation.rollout.share == 50)
    mode(simulation, Mode.ADVISE)
    simulation.run(3)
    assert simulation.rollout.share == 10
    assert not [one for one in told(simulation, NoticeKind.RAISED) if "-> 50 %" in one.text]


def test_a_switch_that_was_not_written_becomes_a_step_that_is_advised_on(begun):
    simulation = begun()
    until_written(simulation, 2)
    simulation.run(GIVEN_UP, lambda: simulation.rollout.phase is Phase.SWITCH)
    mode(simulation, Mode.ADVISE)
    simulation.run(2)
    assert (simulation.rollout.phase, simulation.rollout.share) == (Phase.STEP, 50)
    [card] = told(simulation, NoticeKind.RECORD)
    assert "50 % as before for green. the switch was not carried out, and mode advise leaves it to people" in card.text
    assert "Next:" not in card.text
    simulation.run(GIVEN_UP, lambda: bool(told(simulation, NoticeKind.ADVICE)))
    assert "Would go to 100 % and move the marker" in told(simulation, NoticeKind.ADVICE)[-1].text


def test_a_switch_whose_marker_is_left_to_people_is_held_and_goes_on_in_act(begun):
    simulation = begun()
    until_written(simulation, 2)
    simulation.run(GIVEN_UP, lambda: simulation.rollout.phase is Phase.SWITCH)
    simulation.pool.set(Weights(blue=0, green=100))  # our write arrived, its answer did not
    mode(simulation, Mode.ADVISE)
    simulation.run(2)
    assert simulation.rollout.phase is Phase.SWITCH
    assert "current-slot-name green is decided but NOT carried out: mode advise" in simulation.rollout.reason
    simulation.pool.refuse_until = 0
    mode(simulation, Mode.ACT)
    simulation.run(3)
    assert simulation.marker.live is Slot.GREEN and simulation.rollout.phase is Phase.WATCH


@pytest.mark.parametrize("to", [Mode.OBSERVE, Mode.ADVISE])
@pytest.mark.parametrize("late", [0, 1, 5])
def test_a_switch_by_people_is_seen_through_however_late_the_marker_follows_the_weights(begun, policy, to, late):
    """Weights first, then the marker: the order of `canary shift --direct`, and of every script."""
    simulation = begun(policy=policy.replace("mode: act", f"mode: {to}"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.pool.set(Weights(blue=90, green=10))
    simulation.run(5)
    simulation.pool.set(Weights(blue=0, green=100))
    simulation.run(late)
    if late:
        assert "current-slot-name green is decided but NOT carried out" in simulation.rollout.reason
    simulation.marker.live = Slot.GREEN
    simulation.run(GIVEN_UP, simulation.closed)
    assert simulation.rollout.outcome is Outcome.PROMOTED, simulation.rollout.reason
    assert (simulation.pool.writes, simulation.marker.writes) == ([], [])


def test_a_switch_by_people_that_they_take_back_is_a_step_again(begun, policy):
    simulation = begun(policy=policy.replace("mode: act", "mode: advise"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.pool.set(Weights(blue=0, green=100))
    simulation.run(3)
    assert simulation.rollout.phase is Phase.SWITCH
    simulation.pool.set(Weights(blue=90, green=10))
    simulation.run(2)
    assert (simulation.rollout.phase, simulation.rollout.share) == (Phase.STEP, 10), simulation.rollout.reason
    assert simulation.rollout.marker is Slot.BLUE
