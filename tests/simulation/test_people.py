"""One seeded world in which people type every command at any time, others move weights and marker, and writes fail.

Nothing unsafe happens meanwhile, and at the end one word suffices: 0 takes the version out from wherever it is.
Replay a failing seed with: CANARY_SEED=<seed> make test PYTEST_ARGS="tests/simulation/test_people.py"
"""

import os

import numpy as np
import pytest

from analyzers.judge.verdict import VerdictKind
from controller import requests
from lab.simulation import Behaviour, Crash, PoolFault, Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Refused
from rollouts.limits import LATE_WRITE_SECONDS
from rollouts.observation import Slot, Weights
from tests.simulation.test_swarm import Watcher, behaviour, calm

SEEDS = [int(os.environ["CANARY_SEED"])] if "CANARY_SEED" in os.environ else list(range(1, 9))
BUSY = 300  # intervals with people and faults
SETTLING = 40 + LATE_WRITE_SECONDS  # and then for one end
KINDS = [*CommandKind, *[CommandKind.SHIFT] * 20]


class Raises:
    """Every write of ours, against what the pool held before and what was known of the version then."""

    def __init__(self, simulation: Simulation) -> None:
        self.simulation = simulation
        self.rollout = ""
        self.written = 0
        self.harmful = False
        self.share = 0

    def look(self) -> None:
        """No write of ours raises a version that was HARMFUL before and still is."""
        sim, rollout = self.simulation, self.simulation.rollout
        share = sim.pool.weights.share(rollout.canary)
        harmful = not rollout.closed and bool(rollout.verdict) and rollout.verdict.kind is VerdictKind.HARMFUL
        ours, self.written = len(sim.pool.writes) > self.written, len(sim.pool.writes)
        if harmful and self.harmful and rollout.id == self.rollout and ours:
            assert share <= self.share, f"a harmful version was raised from {self.share} to {share} %"
        self.rollout, self.harmful, self.share = rollout.id, harmful, share


def typed(simulation: Simulation, asked: Command) -> None:
    """One command; refused is an answer, killed in the middle is one too, an error of ours is not."""
    try:
        requests.act(simulation.world, "checkout", asked)
    except Refused:
        return
    except Crash:
        simulation.restart()


def meddle(simulation: Simulation, draw: np.random.Generator, watcher: Watcher) -> None:
    """What people and the world do in this interval; two of three are calm."""
    sim, active = simulation, not simulation.rollout.closed
    match int(draw.integers(0, 30)):
        case 0 | 1 | 2 | 3:
            share = int(draw.choice([0, 5, 10, 30, 50, 50, 70, 70, 100]))
            slot = [None, None, Slot.GREEN, Slot.BLUE][int(draw.integers(0, 4))]
            kind = KINDS[int(draw.integers(0, len(KINDS)))]
            typed(sim, Command(kind=kind, actor="ada", share=share, slot=slot, minutes=1.0))
        case 4 if active:
            sim.pool.set(Weights.of(sim.rollout.canary, int(draw.choice([0, 5, 30, 70]))))
            watcher.moved_by_hand = True
        case 5 if active and draw.random() < 0.3:
            sim.marker.live, sim.marker.revision = sim.marker.live.other, sim.marker.revision + 1
            watcher.moved_by_hand = True
        case 6:
            sim.pool.faults.append(PoolFault(draw.choice(["throttled", "applied", "stale"])))
        case 7:
            sim.pool.refuse_until = sim.now + float(draw.integers(1, 6))
        case 8:
            sim.pool.unreadable_until = sim.now + float(draw.integers(1, 6))
        case 10 | 11 | 12 if not active:
            version = f"1.{len(sim.world.records.rollouts('checkout', 100)) + 1}"
            sim.deploy(sim.marker.live.other, version, behaviour(draw))
            sim.announce(version, slot=sim.marker.live.other)
        case 9:
            sim.crash_at = sim.effects + int(draw.integers(1, 40))


@pytest.mark.parametrize("seed", SEEDS)
def test_whatever_people_type_nothing_unsafe_happens_and_0_ends_it(begun, policy, seed):
    draw = np.random.default_rng(seed)
    if seed % 2:  # a harmful version then keeps its share until a person says so
        policy = policy.replace("    bake: 3s", "    bake: 3s\n    rollback: ask")
    simulation = begun(Behaviour(late_failures=0.11), seed=seed, policy=policy)
    watcher, raises = Watcher(simulation), Raises(simulation)
    for _ in range(BUSY):
        meddle(simulation, draw, watcher)
        simulation.step()
        watcher.look()
        raises.look()
    calm(simulation)
    if not simulation.rollout.closed:
        typed(simulation, Command(kind=CommandKind.SHIFT, actor="ada", share=0))
    simulation.run(SETTLING, lambda: simulation.rollout.closed)
    rollout = simulation.rollout
    assert rollout.closed, f"seed {seed}: not ended: {rollout.phase}, {rollout.share} %: {rollout.reason}"
    assert simulation.pool.weights == Weights.of(simulation.marker.live, 100), f"seed {seed}: {rollout.reason}"
    assert len(simulation.world.records.rollouts("checkout", 100)) > 2, "too calm to show anything"
    incidents = [one for one in simulation.world.records.incidents(50) if one.kind in ("invariant", "tick")]
    assert not incidents, f"seed {seed}: {incidents}"
