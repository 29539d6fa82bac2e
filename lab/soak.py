"""The soak: `good`, `errors` and `slow` in the lab, 20 seeds each, one after the other.

Prints one line for each run and a last line with the sums; exit 1 when any ended otherwise than it should.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from lab.run import NotReachedError, Options, Result, Run
from lab.scenarios import SCENARIOS, setup_of
from lab.world import Lab

SOAKED = ("good", "errors", "slow")


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


def main(arguments: list[str]) -> int:
    """The command line: --seeds says how many, --first where they begin."""
    parser = argparse.ArgumentParser(prog="python -m lab.soak", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20, help="how many of each scenario")
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    asked = parser.parse_args(arguments)
    failed = 0
    for name in SOAKED:
        for seed in range(asked.first, asked.first + asked.seeds):
            found = play(name, Options(seed=seed))
            good = isinstance(found, Result) and found.outcome == SCENARIOS[name].ends
            failed += not good
            said = (
                f"{found.outcome} in {found.seconds:g} s, shares {found.shares}" if isinstance(found, Result) else found
            )
            replay = "" if good else f"   replay: canary lab run {name} --seed {seed}"
            print(f"{'ok    ' if good else 'FAILED'} {name} seed {seed}: {said}{replay}", flush=True)
    print(f"{len(SOAKED) * asked.seeds - failed} passed, {failed} failed", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
