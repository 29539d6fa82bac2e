"""Commands of a test's own in the place of az, azd, curl and canary."""

import sys
from collections.abc import Sequence
from pathlib import Path

# A `#!` line takes no path with a space in it: sh starts this Python, and Python reads those two lines as a string.
FIRST_LINES = f"""#!/bin/sh
'''exec' "{sys.executable}" -SE "$0" "$@"
' '''
"""


def put(folder: Path, names: Sequence[str], code: str) -> None:
    """Make `folder` with one command for each name, all of which run the Python `code`."""
    folder.mkdir()
    for name in names:
        (folder / name).write_text(FIRST_LINES + code)
        (folder / name).chmod(0o755)
