"""The process is killed after every single effect of a tick, in every kind of tick: nothing is lost or done twice."""

from pathlib import Path

import pytest

from lab.simulation import Behaviour, Simulation
from rollouts.observation import Slot, Weights
from rollouts.rollout import Phase

BAD = Behaviour(late_failures=0.11)


def told(simulation: Simulation) -> list[str]:
    """Kinds in the order of first telling: a crash between sending and noting may send one twice."""
    seen: dict[str, str] = {}
    for _, notice in simulation.told:
        seen.setdefault(notice.id, str(notice.kind))
    return list(seen.values())


def outcome(simulation: Simulation) -> tuple[object, ...]:
    """What must not depend on crashes."""
    simulation.run(400, simulation.closed)
    rollout = simulation.rollout
    assert rollout.closed, f"has not settled: {rollout.phase}, {rollout.reason}"
    moved = [one.share(Slot.GREEN) for one in simulation.pool.writes]
    return rollout.outcome, moved, list(simulation.marker.writes), simulation.pool.weights, simulation.marker.live


MOMENTS = {
    "the start": (None, lambda one: one.rollout is not None and one.rollout.gate_successes >= 1),
    "the first share": (None, lambda one: one.rollout.gate_successes >= 3 and one.rollout.warmed is False),
    "the raise to 50": (None, lambda one: one.pool.writes == [Weights.of(Slot.GREEN, 10)] and _proven_soon(one)),
    "the rollback": (BAD, lambda one: one.rollout.phase is Phase.STEP and _harm_soon(one)),
    "the switch": (None, lambda one: len(one.pool.writes) == 2 and _proven_soon(one)),
    "the end of the watch": (None, lambda one: one.rollout.phase is Phase.WATCH),
}


def _next(simulation: Simulation, folder: Path) -> Simulation:
    twin = simulation.fork(folder)
    twin.step()
    return twin


def _proven_soon(simulation: Simulation) -> bool:
    twin = _next(simulation, simulation.store_file.parent / "ahead")
    return len(twin.pool.writes) > len(simulation.pool.writes)


def _harm_soon(simulation: Simulation) -> bool:
    twin = _next(simulation, simulation.store_file.parent / "ahead")
    return twin.rollout.phase in (Phase.CLOSING, Phase.CLOSED)


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_crash_after_any_effect_recovers_to_the_same_end(begun, tmp_path, moment):
    behaviour, reached = MOMENTS[moment]
    simulation = begun(behaviour)
    simulation.run(120, lambda: reached(simulation))
    assert reached(simulation), f"{moment} was not reached"
    undisturbed = simulation.fork(tmp_path / "undisturbed")
    before = undisturbed.effects
    undisturbed.step()
    effects = undisturbed.effects - before
    expected, kinds = outcome(undisturbed), told(undisturbed)
    assert effects >= 5, "a tick that touches so little proves nothing"
    for effect in range(1, effects + 1):
        twin = simulation.fork(tmp_path / f"crash-{effect}")
        twin.crash_at = twin.effects + effect
        assert outcome(twin) == expected, f"killed at effect {effect} of {effects} of {moment}"
        assert told(twin) == kinds, f"killed at effect {effect} of {effects} of {moment}"
        twin.world.records.close()
