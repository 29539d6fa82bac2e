"""How the tests of the simulated world wait for an end or a hold."""

from lab.simulation import Behaviour, Simulation
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome

BAD = Behaviour(late_failures=0.11)
LONG = 300  # intervals in which any rollout comes to its end


def held(simulation: Simulation, reason: HoldReason) -> bool:
    """Whether the newest rollout is held for that reason."""
    rollout = simulation.rollout
    return rollout is not None and rollout.hold is not None and rollout.hold.reason is reason


def ends(simulation: Simulation, outcome: Outcome, intervals: int = LONG) -> None:
    """Run on until everything is closed and told: the outcome, and pool and marker as it wants them."""
    simulation.run(intervals, simulation.closed)
    rollout = simulation.rollout
    assert rollout.closed, f"has not settled after {intervals} intervals: {rollout.phase}, {rollout.reason}"
    assert rollout.outcome is outcome, rollout.reason
    live = Slot.GREEN if outcome is Outcome.PROMOTED else Slot.BLUE
    assert simulation.pool.weights == Weights.of(live, 100)
    assert simulation.marker.live is live
