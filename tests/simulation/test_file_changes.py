"""The policy changes while a rollout runs: what the file no longer says, the rollout remembers."""

import msgspec
import pytest

from lab.simulation import Behaviour, Simulation
from rollouts.observation import Slot, Weights
from rollouts.policy import Policy
from rollouts.rollout import Phase


def remove(simulation: Simulation) -> None:
    """The service leaves the file."""
    left = Policy(services={}, channels=simulation.policy.channels)
    simulation.world = msgspec.structs.replace(simulation.world, policy=lambda: left)


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_a_service_that_leaves_the_file_stays_in_the_mode_that_it_had(begun, policy, mode):
    simulation = begun(policy=policy.replace("mode: act", f"mode: {mode}"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.pool.set(Weights.of(Slot.GREEN, 10))
    simulation.run(3)
    remove(simulation)
    simulation.run(60)
    assert simulation.rollout.verdict.kind == "safe"
    assert simulation.pool.writes == []
    assert simulation.marker.writes == []


def test_a_service_that_leaves_the_file_still_tells_its_channels_how_it_ended(begun):
    simulation = begun(Behaviour(late_failures=0.11))
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    remove(simulation)
    simulation.run(100, simulation.closed)
    assert simulation.kinds()[-1] == "rolled_back"
