"""The demo: a good version goes 10 -> 50 -> 100 %, then a bad one goes back to 0, each told by an event."""

import tempfile
from pathlib import Path

from rich.console import Console

from lab.run import NotReachedError, Options, Run
from lab.screen import Screen
from lab.world import Lab, Setup
from rollouts.observation import Slot, Weights

HISTORY_SECONDS = 14.0  # of traffic before the first deployment
BAD_PERCENT = 11.0


def demo(console: Console, *, seed: int) -> bool:
    """Play both; True only when the first was promoted and the second rolled back, as ARM shows it."""
    with tempfile.TemporaryDirectory(prefix="canary-demo-") as folder, Lab(Path(folder), Setup(seed=seed)) as lab:
        screen = Screen(console, lab)
        with screen.drawing():
            try:
                return _good(lab, screen, seed) and _bad(lab, screen, seed)
            except NotReachedError as error:
                console.print(f"[red]{error}[/red]")
                return False


def _run(lab: Lab, screen: Screen, seed: int) -> Run:
    run = Run(lab, Options(seed=seed), errors=None, slowdown=None, watch=screen.look)
    run.forget()
    return run


def _good(lab: Lab, screen: Screen, seed: int) -> bool:
    run = _run(lab, screen, seed)
    screen.say(f"blue 1.0.0 is live, {lab.setup.rate:g} requests a second; its history is growing")
    run.keep(HISTORY_SECONDS)
    screen.say("1.1.0 is deployed to green; the pipeline publishes Canary.DeploymentCompleted (Event Grid schema)")
    lab.deploy(Slot.GREEN, "1.1.0")
    lab.announce("1.1.0", Slot.GREEN)
    run.until_closed()
    result = run.result("good")
    good = result.outcome == "promoted" and lab.weights() == Weights.of(Slot.GREEN, 100) and lab.live() == Slot.GREEN
    screen.look(None)
    screen.say(_ended("1.1.0", result.outcome, result.shares, lab))
    return good


def _bad(lab: Lab, screen: Screen, seed: int) -> bool:
    run = _run(lab, screen, seed)
    screen.say(f"1.2.0, which fails {BAD_PERCENT:g} % of its requests, is deployed to blue; this time a CloudEvent")
    lab.deploy(Slot.BLUE, "1.2.0", FAIL_PERCENT=BAD_PERCENT)
    lab.announce("1.2.0", Slot.BLUE, cloud=True)
    run.until_closed()
    result = run.result("errors")
    good = result.outcome == "rolled_back" and lab.weights() == Weights.of(Slot.GREEN, 100) and lab.live() == Slot.GREEN
    screen.look(None)
    screen.say(_ended("1.2.0", result.outcome, result.shares, lab))
    return good


def _ended(version: str, outcome: str | None, shares: list[int], lab: Lab) -> str:
    weights = lab.weights()
    path = " -> ".join(str(share) for share in (0, *shares))
    return (
        f"[bold]{version} ended {outcome}[/bold]: share {path} %; the pool gives blue {weights.blue} %, "
        f"green {weights.green} %; {lab.live()} is live"
    )
