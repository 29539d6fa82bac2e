"""`canary doctor` against a lab that a person keeps running, from another terminal's environment."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app

pytestmark = pytest.mark.lab
ROOT = Path(__file__).resolve().parents[2]
END_SECONDS = 20.0


@contextmanager
def lab_up(ending: signal.Signals) -> Iterator[dict[str, str]]:
    """`canary lab up`, and what the file that it names sets. The signal ends it, and it takes all with it."""
    command = [sys.executable, "-c", "from cli.main import run; run()", "lab", "up", "--rate", "50"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            file = next(line.split(". ", 1)[1].strip() for line in process.stdout if line.startswith("  . /"))
            sourced = subprocess.run(
                ["bash", "-c", f". '{file}' && env -0"], capture_output=True, text=True, check=True, env={}
            )
            yield dict(line.split("=", 1) for line in sourced.stdout.split("\0") if "=" in line)
            process.send_signal(ending)
            process.stdout.read()
            assert process.wait(END_SECONDS) == 0
            assert not Path(file).parent.exists()
        finally:
            process.kill()


@pytest.fixture
def lab() -> Iterator[dict[str, str]]:
    """A lab that the keyboard ends."""
    with lab_up(signal.SIGINT) as shell:
        yield shell


@pytest.mark.parametrize("ending", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminal_that_is_closed_ends_it_as_the_keyboard_does(ending: signal.Signals) -> None:
    with lab_up(ending) as shell:
        assert shell["CANARY_URL"]


def test_everything_is_there_and_the_chat_hears_of_it(lab: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    assert shutil.which("canary", path=lab["PATH"]), "in a terminal that never heard of .venv"
    for name in lab.keys() - {"PATH", "PWD", "SHLVL", "_"}:
        monkeypatch.setenv(name, lab[name])
    deadline = time.monotonic() + END_SECONDS  # until rows of the idle slot arrive
    while CliRunner().invoke(app, ["doctor"]).exit_code != 0 and time.monotonic() < deadline:
        pass
    result = CliRunner().invoke(app, ["doctor", "--send-test", "--json"])
    assert result.exit_code == 0, result.output
    found = {one["check"]: one["state"] for one in json.loads(result.stdout)["checks"]}
    assert found.pop("kept requests") in ("ok", "skipped")  # the idle slot may have too few rows yet
    assert (set(found.values()), len(found)) == ({"ok"}, 18), result.output
    for secret in ("CANARY_KEY", "TEAMS_WEBHOOK_URL", "SLACK_WEBHOOK_URL", "IDENTITY_HEADER", "CANARY_TOPIC_KEY"):
        assert lab[secret] not in result.output
