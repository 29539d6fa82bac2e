"""Two instances at once: a slow tick still writes what a person, or another tick, has ended in the meantime."""

import pytest

from controller import requests
from controller.tick import tick
from lab.simulation import Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Refused
from rollouts.limits import LATE_WRITE_SECONDS
from rollouts.observation import Slot, Weights
from rollouts.rollout import Outcome, Phase


def gate_is_good(simulation: Simulation) -> bool:
    """The gate waits for nothing but the warm-up: its first share is one tick away."""
    return simulation.rollout.gate_successes >= 3


def end_meanwhile(simulation: Simulation, written: str) -> None:
    """Another instance aborts, and carries that out, just before a tick of this one writes the pool or the marker."""
    part = getattr(simulation, written)
    write = part.write

    def slow(*asked):
        part.write = write
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
        tick(simulation.world, ["checkout"])
        return write(*asked)

    part.write = slow


@pytest.mark.parametrize(("written", "before"), [("pool", 0), ("marker", 50)])
def test_a_write_that_arrives_after_the_end_is_undone(begun, written, before):
    simulation = begun()
    simulation.run(300, lambda: simulation.pool.weights.share(Slot.GREEN) == before and gate_is_good(simulation))
    end_meanwhile(simulation, written)
    simulation.run(60, lambda: simulation.rollout.outcome is Outcome.ABORTED)
    simulation.run(3)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 0), simulation.rollout.reason
    assert simulation.marker.live is Slot.BLUE, simulation.rollout.reason
    assert simulation.rollout.hold is None, "it is our own write, nobody's drift"
    simulation.run(LATE_WRITE_SECONDS, simulation.closed)
    assert simulation.rollout.closed, simulation.rollout.reason
    assert simulation.kinds()[-1] == "aborted"


def test_the_end_waits_for_a_late_write_only_where_one_may_come(begun):
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(3)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    tick(simulation.world, ["checkout"])
    assert simulation.rollout.closed, simulation.rollout.reason


@pytest.mark.parametrize("ticks", [1, requests.ACT_ATTEMPTS])
def test_a_person_does_not_lose_to_ticks_that_write_in_between_unless_they_never_end(begun, monkeypatch, ticks):
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    save, between = simulation.world.records.save, [None] * ticks

    def after_a_tick(stored, decision):
        if between:
            between.pop()
            with monkeypatch.context() as own:
                own.setattr(simulation.world.records, "save", save)
                simulation.step()
        return save(stored, decision)

    monkeypatch.setattr(simulation.world.records, "save", after_a_tick)
    abort = Command(kind=CommandKind.ABORT, actor="ada")
    if ticks == requests.ACT_ATTEMPTS:
        with pytest.raises(Refused, match="abort came between other writes 10 times: nothing was changed, ask again"):
            requests.act(simulation.world, "checkout", abort)
        assert simulation.rollout.outcome is None
    else:
        assert requests.act(simulation.world, "checkout", abort).rollout.outcome is Outcome.ABORTED


def test_target_is_not_given_while_a_late_write_may_bring_traffic_to_it(begun):
    simulation = begun()
    simulation.run(60, lambda: gate_is_good(simulation))
    end_meanwhile(simulation, "pool")
    simulation.run(60, lambda: simulation.rollout.outcome is Outcome.ABORTED)
    with pytest.raises(requests.Refused, match="may still arrive"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run-9"), preempt=True)


def test_target_gives_no_slot_to_a_second_pipeline_whose_rollout_just_began(policy, tmp_path):
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.GREEN, "1.1")
    read = simulation.pool.read

    def meanwhile(*asked):
        simulation.pool.read = read
        simulation.announce("1.1", slot=Slot.GREEN)
        return read(*asked)

    simulation.pool.read = meanwhile
    with pytest.raises(requests.Refused, match="is in phase gate"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run-9"))
    assert simulation.world.records.lease("checkout") is None
