"""Seconds to import each requirement of the deployed function, and beside which number they stand.

python -m benchmarks.import_seconds [--python PYTHON] [--check]
PYTHON is one that has requirements.txt installed (default: this one; the file's numbers are Python 3.13's).
--check: exit code 1 when one takes more than twice what requirements.txt says, and a fifth of a second more.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).resolve().parent.parent / "requirements.txt"
LINE = re.compile(r"^(?P<name>[A-Za-z0-9-]+)[^#]*#\s*(?P<seconds>\d+\.\d+)")
MODULES = {"PyYAML": "yaml"}  # where the module is not the name with dots
REPEATED = 5
PROGRAM = "import time; began = time.perf_counter(); import {}; print(time.perf_counter() - began)"


def module_of(name: str) -> str:
    """The module that a requirement is for.

    >>> module_of("azure-data-tables")
    'azure.data.tables'
    """
    return MODULES.get(name, name.replace("-", "."))


def stated() -> dict[str, float]:
    """Seconds as requirements.txt tells them, by requirement."""
    found = map(LINE.match, REQUIREMENTS.read_text(encoding="utf-8").splitlines())
    return {one["name"]: float(one["seconds"]) for one in found if one is not None}


def seconds(module: str, python: str) -> float:
    """The quickest of some imports in processes of their own: what the import itself costs."""
    command = [python, "-c", PROGRAM.format(module)]
    runs = [subprocess.run(command, check=True, capture_output=True, text=True) for _ in range(REPEATED)]
    return min(float(one.stdout) for one in runs)


def main() -> int:
    """Measure and print; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    slower = False
    for name, told in stated().items():
        taken = seconds(module_of(name), asked.python)
        too_long = taken > 2 * told + 0.2
        slower |= too_long
        print(f"{name:<26}{taken:6.2f} s, stated {told:g}{'  SLOWER' if too_long else ''}")
    return int(slower and asked.check)


if __name__ == "__main__":
    sys.exit(main())
