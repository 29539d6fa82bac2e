"""Windows far longer than a tick: days of history, an outage of hours. They are stored in pieces, none is lost."""

from lab.simulation import Simulation
from rollouts import limits
from rollouts.observation import Slot
from rollouts.rollout import Phase
from tests.simulation.endings import LONG


def test_a_history_longer_than_one_tick_stores_is_stored_by_several(policy, tmp_path):
    simulation = Simulation(policy.replace("history: 20s", "history: 6000s"), seed=7, rate=30, folder=tmp_path)
    simulation.run(1)
    begins = simulation.now
    for start in range(int(begins) - 6000, int(begins), 60):  # a row in each of a hundred chunks
        simulation.now = float(start)
        simulation._traffic()
    simulation.now = begins
    simulation.deploy(Slot.GREEN, "1.1")
    simulation.announce("1.1", slot=Slot.GREEN)
    simulation.run(2)
    rollout = simulation.rollout
    assert rollout.settled_until < simulation.now - limits.SETTLE_INTERVALS
    simulation.run(27, lambda: simulation.rollout.phase is Phase.STEP)
    assert simulation.rollout.phase is Phase.STEP, simulation.rollout.reason
    assert simulation.world.records.incidents(5) == []
    stored = simulation.world.records.counts("checkout", rollout.id, len(rollout.pin.indicators))
    assert len(set(stored.interval.tolist())) >= 100, "every minute of the history is there"


def test_a_workspace_that_does_not_answer_is_asked_once_a_tick(begun):
    """Each question may wait for half a minute: together they must end before the host ends the tick."""
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.telemetry.outage_until = simulation.now + 100
    before = simulation.telemetry.queries
    simulation.run(5)
    assert (simulation.rollout.phase, simulation.telemetry.queries - before) == (Phase.STEP, 5)
    simulation.telemetry.outage_until = 0.0
    simulation.run(2)
    rollout = simulation.rollout
    indicators = len(rollout.pin.indicators)
    assert simulation.world.records.same_hours("checkout", rollout.id, indicators) is not None, "asked once it answers"


def test_late_in_a_tick_nothing_more_is_asked_of_the_telemetry(begun, monkeypatch):
    """Something took its time: what can wait for the next tick waits, so that the host does not end this one."""

    def late(*, always):
        monkeypatch.setattr(limits, "TELEMETRY_SECONDS", 0 if always else 90)

    def same_hours():
        rollout = simulation.rollout
        return simulation.world.records.same_hours("checkout", rollout.id, len(rollout.pin.indicators))

    simulation = begun()
    late(always=True)
    simulation.run(5)
    assert (simulation.rollout.phase, simulation.rollout.thresholds_ms) == (Phase.GATE, {})
    late(always=False)
    simulation.run(1)
    assert "p95" in simulation.rollout.thresholds_ms, "asked when there is time again"
    late(always=True)
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(3)
    assert simulation.rollout.verdict is not None, "the counts are asked first, and judged"
    assert same_hours() is None
    late(always=False)
    simulation.run(1)
    assert same_hours() is not None
