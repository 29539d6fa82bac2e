"""The command line against the real function app in the lab's host: what both sides say is the same API.

Azure is the lab's ARM and an empty workspace; the slots are two health URLs. Nothing gets beyond the gate.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiohttp import web

from lab.arm import Arm
from lab.host_process import HostProcess
from lab.log_analytics import LogAnalytics
from lab.serving import Authority, Serving
from lab.tokens import Tokens
from tests.cli.conftest import KEY, Canary

ROOT = Path(__file__).parents[2]
GUID = "00000000-0000-0000-0000-000000000000"
APIM = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ApiManagement/service/gateway"
PACKAGES = ("analyzers", "controller", "notifying", "rollouts", "shifting", "storing", "function_app.py")
POLICY = """
services:
  checkout:
    api_management: {apim}
    pool: green-blue-pool
    workspace: {guid}
    slots:
      blue: {{backend: blue-backend, url: "{blue}", role_name: blue}}
      green: {{backend: green-backend, url: "{green}", role_name: green}}
    indicators: {{p95: off}}
    gate: {{deadline: 10m, successes: 100}}
    expert: {{interval: 1s, settle: 2s}}
"""

pytestmark = pytest.mark.lab


@dataclass
class FunctionApp:
    """Where it is, what it packaged, and the API Management that it moves."""

    url: str
    policy: Path
    arm: Arm


def slot(version: str) -> web.Application:
    """An app that is healthy and tells its version."""
    app = web.Application()

    async def health(_request: web.Request) -> web.Response:
        return web.json_response({"version": version})

    app.router.add_get("/api/health", health)
    return app


@pytest.fixture(scope="module")
def function_app(
    secure: Serving, authority: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FunctionApp]:
    folder = tmp_path_factory.mktemp("deployed")
    for name in PACKAGES:
        (folder / name).symlink_to(ROOT / name)
    (folder / "host.json").write_text('{"version": "2.0"}', encoding="utf-8")
    blue, green = (secure.serve(slot(version), tls=False) for version in ("1.0.0", "1.4.2"))
    policy = folder / "canary.yaml"
    policy.write_text(POLICY.format(apim=APIM, guid=GUID, blue=blue, green=green), encoding="utf-8")
    arm, tokens = Arm(), Tokens()
    for name in ("blue", "green"):
        arm.backend(APIM, f"{name}-backend")
    arm.pool(APIM, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(APIM, "current-slot-name", "blue")
    state = tmp_path_factory.mktemp("state")
    environment = {
        **tokens.environment(secure.serve(tokens.app(), tls=False)),
        "ARM_URL": secure.serve(arm.app()),
        "ARM_POLL_SECONDS": "0.05",
        "AzureWebJobsStorage": "lab",
        "CANARY_POLICY": str(policy),
        "LOGS_URL": secure.serve(LogAnalytics(time.time).application()),
        "LOOKOUT_SCHEDULE": "0 0 0 1 1 *",
        "REQUESTS_CA_BUNDLE": str(authority.ca_file),
        "STATE_URL": f"sqlite:///{state / 'state.sqlite'}",
        "TICK_SCHEDULE": "* * * * * *",
    }
    with HostProcess(folder, authority, folder=state, environment=environment, key=KEY) as host:
        assert host.url
        yield FunctionApp(host.url, policy, arm)


@pytest.fixture
def command(function_app: FunctionApp, authority: Authority, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """The command line with its environment, as on a pipeline's agent."""
    monkeypatch.setenv("CANARY_URL", function_app.url)
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("CANARY_ACTOR", "ada")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    return canary


def acted(command: Canary, *line: str) -> None:
    """An act never loses to a tick, which here comes every second."""
    done = command(*line)
    assert done.exit_code == 0, done.output


def test_a_deployment_from_target_to_abort(function_app: FunctionApp, command: Canary) -> None:
    """Lease, start, the acts on it, and an ending that `wait` reports."""
    assert command("target", "checkout", "--owner", "run 7").stdout == "green\n"
    second = command("target", "checkout", "--owner", "run 8")
    assert second.exit_code == 1
    assert "run 7" in second.stderr
    assert "run 7 on green" in command("status").stdout

    started = command(
        "start", "checkout", "1.4.2", "--deployment-id", "run 7", "--link", "https://ci.example/7", "--json"
    )
    assert started.exit_code == 0, started.output
    rollout = json.loads(started.stdout)["rollout"]["id"]
    assert rollout in command("status", "checkout").stdout
    busy = command("target", "checkout", "--owner", "run 9")
    assert busy.exit_code == 1
    assert rollout in busy.stderr

    acted(command, "pause", "checkout", "--for", "5m", "--reason", "lunch")
    assert "paused" in command("status", "checkout").stdout
    acted(command, "resume", "checkout")
    assert command("promote", "checkout").exit_code == 1
    acted(command, "abort", "checkout", "--reason", "enough")
    waited = command("wait", "--service", "checkout", "--deployment-id", "run 7", "--poll", "0.1", "--timeout", "60s")
    assert (waited.exit_code, "aborted" in waited.stderr) == (1, True), waited.output
    shown = command("show", rollout).stdout
    assert "https://ci.example/7" in shown
    assert "ada" in shown
    assert function_app.arm.weights(f"{APIM}/backends/green-blue-pool") == {"blue-backend": 100, "green-backend": 0}


def test_the_switches_and_the_mode_show_in_status(command: Canary) -> None:
    """Off, on, and how far it may go."""
    for line, mode in (
        (("off",), "off"),
        (("on",), "act"),
        (("mode", "checkout", "observe"), "observe"),
        (("off", "checkout"), "off"),
        (("on", "checkout"), "observe"),
        (("mode", "checkout", "act"), "act"),
    ):
        assert command(*line).exit_code == 0
        assert json.loads(command("status", "checkout", "--json").stdout)["service"][
            "mode" if mode != "off" else "off"
        ] in (
            mode,
            True,
        )
    assert command("mode", "basket", "act").exit_code == 2
    assert command("off", "basket").exit_code == 2


def test_a_policy_goes_there_and_comes_back(function_app: FunctionApp, command: Canary, tmp_path: Path) -> None:
    """Packaged first, then what was pushed, byte for byte; a bad one changes nothing."""
    assert "packaged" in command("config", "show").stderr
    changed = function_app.policy.read_text(encoding="utf-8") + "    bake: 20s # longer\n"
    file = tmp_path / "canary.yaml"
    file.write_text(changed, encoding="utf-8")
    pushed = command("config", "push", str(file), "--reason", "try")
    assert "version 1 is in force" in pushed.stdout
    assert pushed.stderr == "", "everything is where it was, and can be seen"
    back = command("config", "show")
    assert back.stdout == changed
    assert "version 1, pushed by ada" in back.stderr
    file.write_text(changed.replace("20s", "3d"), encoding="utf-8")
    assert command("config", "push", str(file)).exit_code == 2
    assert command("config", "show").stdout == changed
    elsewhere = APIM.replace("service/gateway", "service/staging")
    file.write_text(changed.replace(APIM, elsewhere), encoding="utf-8")
    result = command("config", "push", str(file))
    assert result.exit_code == 0, "its roles may come after it"
    told = " ".join(result.stderr.split())
    assert f"services.checkout.api_management is {elsewhere}; until now it was {APIM}" in told
    assert "services.checkout.pool cannot be read by the function app: " in told
    assert "'staging'" in told
    file.write_text(changed, encoding="utf-8")
    assert command("config", "push", str(file)).exit_code == 0


def test_what_is_not_there_is_said(command: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Unknown rollouts, and a wrong key."""
    assert command("show", "checkout-nothing").exit_code == 2
    monkeypatch.setenv("CANARY_KEY", "wrong")
    refused = command("status")
    assert refused.exit_code == 2
    assert "CANARY_KEY" in refused.stderr
