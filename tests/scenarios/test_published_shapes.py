"""All that a whole rollout sends to Azure, by the function app and by a pipeline's commands, is published."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from aiohttp import web
from typer.testing import CliRunner

import tests.cli.test_published_shape as sites
import tests.notifying.test_published_shape as events
import tests.shifting.test_published_shape as management
import tests.telemetry.test_published_shape as queries
from cli.main import app as command_line
from lab.run import Options, Run
from lab.scenarios import SCENARIOS, setup_of
from lab.world import Lab, overridden
from rollouts.observation import Slot
from tests.recording import Exchange, recorded
from tests.scenarios.test_lab import PROMPT, QUICK

pytestmark = pytest.mark.lab


def kept_of(holder: Any, maker: str, monkeypatch: pytest.MonkeyPatch) -> list[Exchange]:
    """What goes over the wire of a stand-in that is not served yet."""
    make: Callable[[], web.Application] = getattr(holder, maker)
    made = make()
    monkeypatch.setattr(holder, maker, lambda: made)
    return recorded(made)


def problems_of_arm(one: Exchange) -> list[str]:
    """Of whichever provider the request is."""
    return sites.problems(one) if "/Microsoft.Web/" in one.path else management.problems(one)


def test_a_whole_rollout_is_asked_and_answered_as_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """doctor, announce, the rollout itself, and the way back past the analyzer."""
    options = Options(seed=7, rate=300.0, history=2.0, policy=overridden(QUICK, {"steps": [50, 100]}))
    good = SCENARIOS["good"]
    lab = Lab(tmp_path, msgspec.structs.replace(setup_of(good, options), ingestion=PROMPT))
    arm = kept_of(lab.arm, "app", monkeypatch)
    logs = kept_of(lab.logs, "application", monkeypatch)
    topic = kept_of(lab.topic, "app", monkeypatch)
    with lab:
        for name, value in lab.shell.items():
            monkeypatch.setenv(name, value)

        def canary(*line: str) -> int:
            return CliRunner().invoke(command_line, list(line)).exit_code

        run = Run(lab, options, errors=good.errors, slowdown=good.slowdown)
        run.keep(2.0)
        run.lab.deploy(Slot.GREEN, "1.1.0")
        told = ("--service", "checkout", "--version", "1.1.0", "--slot", "green", "--deployment-id", "run-7")
        assert canary("announce", *told) == 0
        assert run.until("closed", lambda one: one["phase"] == "closed")["outcome"] == "promoted"
        assert canary("doctor") == 0
        assert canary("shift", "checkout", "0", "--slot", "green", "--direct") == 0
    assert [line for one in arm for line in problems_of_arm(one)] == []
    assert [line for one in logs for line in queries.problems(one)] == []
    assert [line for one in topic for line in events.problems(one)] == []
    managed = {management.operation(one) for one in arm if "/Microsoft.Web/" not in one.path}
    assert managed == set(management.PINNED["operations"]) - management.UNASKED
    assert {one.path for one in arm if "/Microsoft.Web/" in one.path}
    assert logs and topic
