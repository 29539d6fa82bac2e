"""At the gate: what never comes, what came instead, and what the gate says of it."""

from controller import requests
from rollouts.command import Command, CommandKind
from rollouts.observation import Slot, Weights
from rollouts.rollout import Outcome
from tests.simulation.endings import LONG, ends


def test_a_broken_health_url_is_rejected_without_traffic(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].healthy = False
    ends(simulation, Outcome.REJECTED)
    assert simulation.pool.writes == []
    assert simulation.rollout.shares == ()


def test_the_wrong_version_is_rejected_without_traffic(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    ends(simulation, Outcome.REJECTED)
    assert simulation.pool.writes == []
    assert "1.0.9" in simulation.rollout.reason
    assert "it never got traffic" in simulation.rollout.reason


def test_what_a_gate_found_instead_starts_only_when_it_is_announced(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    ends(simulation, Outcome.REJECTED)
    simulation.run(15)  # three lookouts
    assert simulation.rollout.version == "1.1"
    simulation.announce("1.0.9", slot=Slot.GREEN)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.version == "1.0.9"


def test_wrong_code_does_not_start_by_itself_when_a_person_ends_its_gate(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    simulation.run(1)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(15)
    assert (simulation.rollout.version, simulation.rollout.outcome) == ("1.1", Outcome.ABORTED)


def test_a_gate_with_another_hands_weights_does_not_say_that_nothing_had_traffic(begun):
    simulation = begun()
    simulation.run(1)
    simulation.pool.set(Weights.of(Slot.GREEN, 20))
    simulation.run(LONG, lambda: simulation.rollout.outcome is not None)
    assert simulation.rollout.outcome is Outcome.REJECTED
    assert "is rejected, we gave it no traffic, another hand gave it 20 %" in simulation.rollout.ending


def test_an_abort_in_the_gate_is_told_at_the_next_look_and_is_no_incident(begun):
    simulation = begun()
    simulation.run(1)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(1)
    assert simulation.closed()
    assert simulation.kinds()[-1] == "aborted"
    assert simulation.world.records.incidents(10) == []
