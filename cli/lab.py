"""`canary lab`: the whole world on this machine. Imported only when it is asked for."""

import signal
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from cli.ending import BadInput, ExitCode, ends

lab = typer.Typer(name="lab", help="Try Flex Canary on this machine, without Azure.", no_args_is_help=True)

Seed = Annotated[int, typer.Option("--seed", help="Seed of whatever is drawn: traffic and faults.")]

PACKAGES = ("aiohttp", "croniter", "duckdb", "duckdb_kql", "trustme")  # requirements/lab.txt
ROOT = Path(__file__).resolve().parent.parent
CLONE = "in a clone of Flex Canary, `make setup` (or `pip install -e '.[lab]'`) and run it from there"


@lab.callback()
@ends
def _begin() -> None:
    for ending in (signal.SIGTERM, signal.SIGHUP):  # the terminal was closed: as Ctrl-C, take everything with it
        signal.signal(ending, signal.default_int_handler)
    if missing := [name for name in PACKAGES if find_spec(name) is None]:
        raise BadInput(f"the lab needs {', '.join(missing)}: {CLONE}")
    if not (ROOT / "host.json").is_file():
        raise BadInput(f"the lab runs the function app as it is deployed, and {ROOT} has no host.json: {CLONE}")


@lab.command("list")
def list_scenarios() -> None:
    """The scenarios that `canary lab run` knows, and how each ends."""
    from lab.scenarios import SCENARIOS

    table = Table("scenario", "what happens", "ends")
    for one in SCENARIOS.values():
        table.add_row(one.name, one.about, one.ends)
    Console().print(table)


@lab.command("demo")
def demo_command(seed: Seed = 1) -> None:
    """A good version goes to 100 %, a bad one back to 0. Under 150 seconds; exit 0 only if both did."""
    from lab.demo import demo

    if not demo(Console(width=None if sys.stdout.isatty() else 120), seed=seed):
        raise typer.Exit(ExitCode.REFUSED)


@lab.command("up")
def up_command(
    seed: Seed = 1,
    rate: Annotated[float, typer.Option("--rate", min=0, max=2000, help="Requests a second.")] = 100,
) -> None:
    """Keep the world running until Ctrl-C. Prints how the other commands reach it."""
    from lab.up import up
    from lab.world import Lab, Setup

    setup = Setup(seed=seed, rate=rate, channels=("teams", "slack", "webhook"))
    with tempfile.TemporaryDirectory(prefix="canary-lab-") as folder, Lab(Path(folder), setup) as world:
        up(world, Console())


@lab.command("run")
def run_command(
    scenario: Annotated[str, typer.Argument(help="A name from `canary lab list`.")],
    *,
    seed: Seed = 1,
    rate: Annotated[float | None, typer.Option("--rate", min=0, max=2000, help="Requests a second.")] = None,
    base_errors: Annotated[
        float | None, typer.Option("--base-errors", min=0, max=100, help="Percent that every version fails.")
    ] = None,
    canary_errors: Annotated[
        float | None, typer.Option("--canary-errors", min=0, max=100, help="Percent that the new version fails.")
    ] = None,
    canary_slowdown: Annotated[
        float | None, typer.Option("--canary-slowdown", min=0.1, max=100, help="Factor on its time to answer.")
    ] = None,
    onset: Annotated[
        float | None, typer.Option("--onset", min=0, help="Seconds from its first traffic to its faults.")
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="The last line of the output is one JSON object.")] = False,
) -> None:
    """Play one scenario over real HTTP. Exit 0 when it came to where it should."""
    from lab.run import NotReachedError, Options, Run
    from lab.scenarios import SCENARIOS, setup_of
    from lab.screen import Screen
    from lab.world import Lab

    chosen = SCENARIOS.get(scenario)
    if chosen is None:
        raise typer.BadParameter(f"{scenario!r} is no scenario: use one of {', '.join(SCENARIOS)}")
    options = Options(
        seed=seed,
        rate=rate,
        base_errors=base_errors,
        canary_errors=canary_errors,
        canary_slowdown=canary_slowdown,
        onset=onset,
    )
    console = Console(stderr=json)
    with (
        tempfile.TemporaryDirectory(prefix="canary-lab-") as folder,
        Lab(Path(folder), setup_of(chosen, options)) as world,
    ):
        screen = Screen(console, world)
        run = Run(world, options, errors=chosen.errors, slowdown=chosen.slowdown, watch=screen.look)
        reached = True
        with screen.drawing():
            try:
                chosen.play(run)
            except NotReachedError as error:
                reached = False
                console.print(f"seed {seed}: {error}", style="red")
        result = run.result(scenario)
    if json:
        sys.stdout.write(msgspec.json.encode(result).decode() + "\n")
    if not reached:
        raise typer.Exit(ExitCode.REFUSED)
