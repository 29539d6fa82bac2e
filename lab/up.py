"""The world, kept running for a person: what `canary` needs to reach it is in a file to source."""

import shlex
import sys
import time
from pathlib import Path

import requests
from rich.console import Console
from rich.text import Text

from lab.screen import Screen
from lab.world import Lab

FILE = "env"
POLL_SECONDS = 0.5


def up(lab: Lab, console: Console) -> None:
    """Say how to reach the lab, then show what happens in it, until the keyboard ends it."""
    file = shell_file(lab)
    console.print(Text(f"The lab runs: blue 1.0.0 is live, {lab.setup.rate:g} requests a second; Ctrl-C ends it."))
    console.print(Text("In another terminal, here:"))
    console.print(Text(f"  . {file}"), soft_wrap=True)
    console.print(Text("  canary doctor --send-test; canary status; canary start checkout 0.9.0"))
    screen = Screen(console, lab)
    with screen.drawing():
        try:
            while True:
                screen.look(_newest(lab))
                time.sleep(POLL_SECONDS)
        except KeyboardInterrupt:
            return


def shell_file(lab: Lab) -> Path:
    """A file that a shell can source: `canary` itself, and the settings with which it speaks to this lab."""
    commands = Path(sys.executable).parent  # a terminal that has just been opened does not know .venv/bin
    lines = [f"export PATH={shlex.quote(str(commands))}:$PATH"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in lab.shell.items()]
    file = lab.folder / FILE
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


def _newest(lab: Lab) -> dict[str, object] | None:
    try:
        return lab.newest()
    except requests.RequestException:  # the host is being restarted
        return None
