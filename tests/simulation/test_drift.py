"""Weights that a person set: held, adopted, reasserted, and taken for an end at 0."""

from controller import requests
from rollouts.command import Command, CommandKind
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.endings import LONG, ends, held


def test_drift_is_held_and_never_fought(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    theirs = Weights.of(Slot.GREEN, 30)
    simulation.pool.set(theirs)
    simulation.run(20)
    assert held(simulation, HoldReason.DRIFT)
    assert simulation.pool.weights == theirs


def test_drift_can_be_adopted(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.run(5)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ADOPT, actor="ada"))
    assert simulation.rollout.share == 30
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 30, 50, 100)


def test_drift_can_be_reasserted(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.run(5)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.REASSERT, actor="ada"))
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    ends(simulation, Outcome.PROMOTED)


def test_a_person_who_sets_the_canary_to_0_aborts(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 0))
    ends(simulation, Outcome.ABORTED)
    assert simulation.kinds()[-1] == "aborted"
