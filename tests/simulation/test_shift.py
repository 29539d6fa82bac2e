"""A share by a person's word, on virtual time: set, read back and judged from there, or refused with the reason."""

import math

import pytest

from controller import requests
from lab.simulation import Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Refused
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.endings import BAD, LONG, ends, held


def act(simulation: Simulation, kind: CommandKind, share: int | None = None, slot: Slot | None = None) -> requests.Done:
    asked = Command(kind=kind, actor="ada", reason="numbers", share=share, slot=slot)
    return requests.act(simulation.world, "checkout", asked)


def shift(simulation: Simulation, share: int, slot: Slot | None = None) -> str:
    """What is said of it."""
    return act(simulation, CommandKind.SHIFT, share, slot).sentence


def at(simulation: Simulation, *shares: int) -> Simulation:
    simulation.run(LONG, lambda: simulation.rollout.shares == shares)
    assert simulation.rollout.shares == shares, simulation.rollout.reason
    return simulation


def test_a_share_by_hand_is_set_read_back_and_judged_from_there(begun):
    simulation = at(begun(), 10)
    assert "10 -> 30 % for green. shift by ada: numbers" in shift(simulation, 30)
    assert "30 % for green is so already decided; the pool still gives it 10 %" in shift(simulation, 30)
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 30)
    assert simulation.rollout.hold is None
    assert shift(simulation, 70, slot=Slot.BLUE).endswith("30 % for green is so already")
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 30, 50, 100)
    said = [one.sentence for one in simulation.world.records.decisions("checkout", simulation.rollout.id)]
    assert sum("shift by ada: numbers" in one for one in said) == 1, "recorded once, with actor and reason"


@pytest.mark.parametrize(
    ("share", "shares"), [(5, (10, 5, 10, 50, 100)), (10, (10, 50, 100)), (49, (10, 49, 50, 100)), (70, (10, 70, 100))]
)
def test_the_next_step_is_the_first_one_above_the_share(begun, share, shares):
    simulation = at(begun(), 10)
    shift(simulation, share)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == shares


def test_a_lower_share_by_hand_is_proven_again(begun):
    simulation = at(begun(), 10, 50)
    shift(simulation, 10)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 50, 10, 50, 100)


def test_from_the_watch_a_share_goes_back_to_where_both_are_compared(begun):
    simulation = at(begun(), 10, 50, 100)
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.WATCH)
    assert "100 % for green is so already" in shift(simulation, 100), "promote would end the watch"
    assert simulation.rollout.phase is Phase.WATCH
    shift(simulation, 30)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 50, 100, 30, 50, 100)


def test_shift_to_0_aborts_and_to_100_promotes(begun):
    simulation = at(begun(), 10)
    shift(simulation, 100)
    simulation.run(2)
    assert simulation.rollout.phase is Phase.WATCH
    assert simulation.marker.live is Slot.GREEN
    assert "is aborted: shift by ada: numbers. Share set to 0" in shift(simulation, 0)
    assert "0 % for green is so already decided; the pool still gives it 100 %" in shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)
    assert "so already" in shift(simulation, 0)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1


def test_an_end_that_is_decided_can_still_be_turned_to_0(begun):
    simulation = at(begun(), 10, 50, 100)
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.WATCH)
    act(simulation, CommandKind.PROMOTE)
    assert simulation.rollout.phase is Phase.CLOSING
    with pytest.raises(Refused, match="an end is an end"):
        shift(simulation, 30)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)


def test_in_the_gate_0_ends_it_and_nothing_else_can_be_set(begun):
    simulation = begun()
    for share in (10, 100):
        with pytest.raises(Refused, match="in phase gate"):
            shift(simulation, share)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)
    assert simulation.pool.writes == []


def test_harm_refuses_a_raise_and_never_a_lower_share(begun, policy):
    simulation = begun(BAD, policy=policy.replace("    bake: 3s", "    bake: 3s\n    rollback: ask"))
    simulation.run(LONG, lambda: held(simulation, HoldReason.ROLLBACK_ASKED))
    for share in (50, 100):
        with pytest.raises(Refused, match="HARMFUL"):
            shift(simulation, share)
    with pytest.raises(Refused, match="from 0 to 100"):
        shift(simulation, 101)
    shift(simulation, 5)
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 5)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)


@pytest.mark.parametrize("noticed", [False, True], ids=["before a tick saw it", "held for drift"])
def test_another_hand_refuses_a_raise_and_never_a_lower_share(begun, noticed):
    simulation = at(begun(), 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    if noticed:
        simulation.run(2)
        assert held(simulation, HoldReason.DRIFT)
    for share in (50, 100):
        with pytest.raises(Refused, match="the pool does not hold what the rollout wants"):
            shift(simulation, share)
    assert "10 -> 20 %" in shift(simulation, 20), "above what the rollout wants, below what the other hand gave"
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 20)
    assert simulation.rollout.hold is None


def test_the_rollouts_own_share_against_another_hand(begun):
    """Restored from a higher one; not over a lower one, which somebody may have set in alarm."""
    simulation = at(begun(), 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    shift(simulation, 10)
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 3))
    with pytest.raises(Refused, match="the pool does not hold what the rollout wants"):
        shift(simulation, 10)


@pytest.mark.parametrize("kind", [CommandKind.SHIFT, CommandKind.PROMOTE])
def test_a_marker_that_another_hand_moved_refuses_a_raise(begun, kind):
    simulation = at(begun(), 10)
    simulation.marker.live, simulation.marker.revision = Slot.GREEN, 9
    with pytest.raises(Refused, match="current-slot-name says green, the rollout wants blue"):
        act(simulation, kind, 50)
    simulation.marker.unknown = True
    with pytest.raises(Refused, match=r"nothing that can be read .*'teal'"):
        act(simulation, kind, 50)


@pytest.mark.parametrize("kind", [CommandKind.SHIFT, CommandKind.ABORT, CommandKind.ROLLBACK])
def test_0_wins_over_another_hand(begun, kind):
    """Pool and marker go back from wherever they are; what a hand sets after that is drift again."""
    simulation = at(begun(), 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.marker.live, simulation.marker.revision = Slot.GREEN, 9
    simulation.run(2)
    assert held(simulation, HoldReason.DRIFT)
    act(simulation, kind, 0)
    ends(simulation, Outcome.ROLLED_BACK if kind is CommandKind.ROLLBACK else Outcome.ABORTED)


def test_harm_wins_over_another_hand(begun):
    """A harmful version does not keep its users because somebody moved a weight."""
    simulation = at(begun(BAD), 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.marker.writes == []


@pytest.mark.parametrize("unread", ["pool", "marker"])
def test_harm_wins_over_a_hand_that_could_not_be_seen_when_it_was_found(begun, unread):
    simulation = at(begun(BAD), 10)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.marker.live, simulation.marker.revision = Slot.GREEN, 9
    if unread == "pool":
        simulation.pool.unreadable_until = math.inf
    else:
        simulation.marker.unknown = True
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.CLOSING)
    simulation.pool.unreadable_until, simulation.marker.unknown = 0.0, False
    ends(simulation, Outcome.ROLLED_BACK)


def test_a_limit_alone_does_not_win_over_another_hand(begun, policy):
    """Nobody approved in time, and nothing speaks against the version: what a person set stays."""
    policy = policy.replace("one_instance: 10s}", "one_instance: 10s, approval: 1m}\n    approvals: [50]")
    simulation = begun(policy=policy)
    simulation.run(LONG, lambda: held(simulation, HoldReason.APPROVAL))
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.run(120)
    assert (simulation.rollout.outcome, simulation.pool.weights.share(Slot.GREEN)) == (Outcome.ABORTED, 30)
    assert held(simulation, HoldReason.DRIFT)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)


def test_a_raise_that_is_not_written_when_harm_is_found_is_never_written(begun, policy):
    """Where a person is asked before going back, the version keeps what it has."""
    simulation = at(begun(BAD, policy=policy.replace("    bake: 3s", "    bake: 3s\n    rollback: ask")), 10)
    simulation.pool.refuse_until = simulation.now + 20
    shift(simulation, 50)
    simulation.run(LONG, lambda: held(simulation, HoldReason.ROLLBACK_ASKED))
    simulation.run(30)
    assert simulation.now > simulation.pool.refuse_until
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    act(simulation, CommandKind.ROLLBACK)
    ends(simulation, Outcome.ROLLED_BACK)


def test_a_hand_that_moves_while_an_end_is_carried_out_is_drift(begun):
    simulation = at(begun(), 10)
    simulation.pool.refuse_until = simulation.now + 5
    shift(simulation, 0)
    simulation.run(2)
    simulation.pool.set(Weights.of(Slot.GREEN, 40))
    simulation.run(10)
    assert held(simulation, HoldReason.DRIFT)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 40)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)


def test_where_people_hold_the_weights_nothing_is_shifted(begun, policy):
    """Nor ended while the canary has traffic that nobody would take away; 0 by their hand ends it."""
    simulation = begun(policy=policy.replace("mode: act", "mode: advise"))
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.pool.set(Weights.of(Slot.GREEN, 10))
    simulation.run(3)
    for share in (5, 30, 100, 0):
        with pytest.raises(Refused, match=r"mode advise leaves the weights to people.*`canary shift .* --direct`"):
            shift(simulation, share)
    assert not simulation.rollout.closed
    simulation.pool.set(Weights.of(Slot.GREEN, 0))
    ends(simulation, Outcome.ABORTED)
    assert simulation.pool.writes == []


def test_off_refuses_a_raise_that_would_come_later(begun):
    simulation = at(begun(), 10)
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=True)
    for kind in (CommandKind.SHIFT, CommandKind.PROMOTE):
        with pytest.raises(Refused, match="`canary off` is in force"):
            act(simulation, kind, 50)
    shift(simulation, 5)
    simulation.run(3)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=False)
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 5)


def test_after_a_promotion_0_for_the_canary_is_its_rollback(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    assert "so already" in shift(simulation, 100)
    assert "so already" in shift(simulation, 0, slot=Slot.BLUE)
    with pytest.raises(Refused, match=r"nobody would watch 30 %: `canary start checkout VERSION --slot green`.*direct"):
        shift(simulation, 70, slot=Slot.BLUE)
    assert "rollback by ada after promotion: numbers" in shift(simulation, 0)
    ends(simulation, Outcome.ROLLED_BACK)
    assert "so already" in shift(simulation, 0), "the same command again does not go the other way"
    assert len(simulation.world.records.rollouts("checkout", 10)) == 2


def test_after_an_end_so_already_is_what_was_read_not_what_was_stored(begun):
    simulation = at(begun(), 10)
    shift(simulation, 0)
    ends(simulation, Outcome.ABORTED)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    with pytest.raises(Refused, match=r"green has 30 %.*`canary shift checkout 0 --slot green --direct`"):
        shift(simulation, 0)
    simulation.pool.unreadable_until = simulation.now + 60
    with pytest.raises(Refused, match="the pool could not be read"):
        shift(simulation, 0)


def test_a_rollback_never_brings_traffic_to_a_slot_that_is_deployed_to(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    who = requests.Who(actor="run 7")
    assert requests.target(simulation.world, "checkout", who).slot is Slot.BLUE
    for kind in (CommandKind.SHIFT, CommandKind.ROLLBACK):
        with pytest.raises(Refused, match="blue is leased by run 7"):
            act(simulation, kind, 0)
    assert requests.release(simulation.world, "checkout", who)
    shift(simulation, 0)
    ends(simulation, Outcome.ROLLED_BACK)


def test_a_command_says_what_it_did_not_what_was_said_before(begun):
    simulation = at(begun(), 10)
    assert act(simulation, CommandKind.PAUSE).sentence.startswith("pause by ada: numbers, for ")
    assert act(simulation, CommandKind.RESUME).sentence == "resume by ada: numbers"


def test_a_raise_by_hand_that_does_harm_is_rolled_back(begun):
    simulation = at(begun(BAD), 10)
    shift(simulation, 50)
    ends(simulation, Outcome.ROLLED_BACK)
