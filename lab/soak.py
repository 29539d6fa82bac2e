"""The soak: `good`, `errors` and `slow` in the lab, 20 seeds each, two at once.

Prints one line for each run and a last line with the sums; exit 1 when any ended otherwise than it should.
"""

import argparse
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from lab.run import NotReachedError, Options, Result, Run
from lab.scenarios import SCENARIOS, setup_of
from lab.world import Lab

SOAKED = ("good", "errors", "slow")
SHORTER = {"history": "10s", "watch": "8s"}  # what is waited for, not what is proven


def play(name: str, options: Options) -> Result | str:
    """One run: its result, or where it got stuck."""
    chosen = SCENARIOS[name]
    with (
        tempfile.TemporaryDirectory(prefix="canary-soak-") as folder,
        Lab(Path(folder), setup_of(chosen, options)) as lab,
    ):
        run = Run(lab, options, errors=chosen.errors, slowdown=chosen.slowdown)
        try:
            chosen.play(run)
        except NotReachedError as error:
            return str(error)
        return run.result(name)


def line(name: str, seed: int, found: Result | str, *, good: bool) -> str:
    """What is said of one run; a failed one with the command that replays it."""
    said = f"{found.outcome} in {found.seconds:g} s, shares {found.shares}" if isinstance(found, Result) else found
    return f"ok     {name} seed {seed}: {said}" if good else f"FAILED {name} seed {seed}: {said}   {replay(name, seed)}"


def replay(name: str, seed: int) -> str:
    """The command that plays it again."""
    return f"replay: canary lab run {name} --seed {seed}"


def main(arguments: list[str]) -> int:
    """The command line: --seeds says how many, --first where they begin."""
    parser = argparse.ArgumentParser(prog="python -m lab.soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many of each scenario")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--at-once", type=int, default=2, help="runs at once: one for each core")
    asked = parser.parse_args(arguments)
    seeds = range(asked.first, asked.first + asked.seeds)
    wanted = [(name, Options(seed=seed, history=8.0, policy=SHORTER)) for name in SOAKED for seed in seeds]
    failed = 0
    with ProcessPoolExecutor(asked.at_once, mp_context=get_context("spawn")) as processes:
        results = processes.map(play, *zip(*wanted, strict=True))
        for (name, options), found in zip(wanted, results, strict=True):
            good = isinstance(found, Result) and found.outcome == SCENARIOS[name].ends
            failed += not good
            print(line(name, options.seed, found, good=good), flush=True)
    print(f"{len(wanted) - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
