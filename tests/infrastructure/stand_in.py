"""Commands of a test's own in the place of az, azd, curl and canary."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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


def run(
    script: Path, *arguments: str, folder: Path, answers: Mapping[str, Any], environment: Mapping[str, str]
) -> "tuple[subprocess.CompletedProcess[str], list[str]]":
    """One run of a shell script that finds the commands of `folder`/bin before any other; and its journal's lines.

    The stand-ins read ANSWERS, a file of JSON, and append their calls to the file JOURNAL, new for each run.
    """
    (folder / "answers").write_text(json.dumps(answers))
    journal = folder / f"journal-{len(list(folder.iterdir()))}"
    done = subprocess.run(
        [shutil.which("bash") or "bash", str(script), *arguments],
        env={
            "PATH": f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}",
            "JOURNAL": str(journal),
            "ANSWERS": str(folder / "answers"),
            "TMPDIR": str(folder),
            **environment,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    return done, journal.read_text().splitlines() if journal.exists() else []
