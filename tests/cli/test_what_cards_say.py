"""What a card tells a person to type can be typed, and does what the card says."""

import re
import shlex
from pathlib import Path

import pytest
from typer.main import get_command

from cli.main import app
from cli.shift import Direct
from lab.simulation import Behaviour, Simulation
from rollouts.holds import HOLDS
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.conftest import POLICY

ROOT = Path(__file__).parents[2]
LONG = 300


def parsed(line: str) -> dict[str, object]:
    """The parameters of a command line; a usage error where it cannot be typed."""
    program, name, *words = shlex.split(line)
    assert program == "canary"
    command = get_command(app).commands[name]  # type: ignore[attr-defined]
    given: dict[str, object] = command.make_context(name, words).params
    return given


@pytest.mark.parametrize("reason", HoldReason)
def test_every_command_of_a_hold_can_be_typed(reason: HoldReason) -> None:
    """One or more, each whole: copied from a card at night it must run."""
    for line in HOLDS[reason].typed(service="checkout", share=30, slot="green").split(", or "):
        assert parsed(line)["service"] == "checkout"


def test_every_command_of_the_sources_names_the_slot_that_it_moves_directly() -> None:
    """Without --slot it is the share of the slot that is not live: after the switch, of the old one."""
    texts = [*ROOT.glob("docs/*.md"), *ROOT.glob("rollouts/*.py"), *ROOT.glob("controller/*.py")]
    found = [
        line
        for text in texts
        for line in re.findall(r"canary shift [a-z{<][^\s`]* [^`\n]*?--direct", text.read_text(encoding="utf-8"))
    ]
    assert len(found) > 5
    assert not [line for line in found if "--slot" not in line and "SHARE" not in line]


@pytest.mark.parametrize("phase", [Phase.STEP, Phase.WATCH], ids=["before the switch", "after the switch"])
def test_the_break_glass_command_of_a_rollback_that_cannot_be_written_brings_the_old_version_back(
    tmp_path: Path, phase: Phase
) -> None:
    """The loudest card of all: typed as it stands, users are on the old version, and the analyzer finds it done."""
    simulation = Simulation(POLICY, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.GREEN, "1.1")
    simulation.announce("1.1", slot=Slot.GREEN)
    simulation.run(LONG, lambda: simulation.rollout.phase is phase)
    simulation.run(2)
    simulation.pool.refuse_until = simulation.now + LONG
    simulation.apps[Slot.GREEN].behaviour = Behaviour(failures=0.9)
    simulation.apps[Slot.GREEN].healthy = False
    simulation.run(LONG, lambda: "not_carried_out" in simulation.kinds())
    assert simulation.pool.weights.share(Slot.GREEN) > 0

    told = next(one for _, one in simulation.told if one.kind == "not_carried_out")
    given = parsed(str(told.command))
    simulation.pool.refuse_until = 0.0  # not with a person's own rights
    pin = simulation.rollout.pin
    Direct(pin, simulation.pool, simulation.marker).shift(int(str(given["share"])), Slot(str(given["slot"])))
    assert (simulation.pool.weights, simulation.marker.live) == (Weights.of(Slot.BLUE, 100), Slot.BLUE)
    simulation.run(5)
    assert (simulation.rollout.closed, simulation.rollout.outcome) == (True, Outcome.ROLLED_BACK)
