"""`canary doctor` looks at everything over real HTTP, writes nothing, and says what mends what is bad."""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from lab.arm import Arm, Break, Fault
from lab.log_analytics import AppRequest, LogAnalytics
from lab.serving import Serving
from lab.tokens import Tokens
from tests.cli.conftest import Api, Canary

GUID = "00000000-0000-0000-0000-000000000000"
APIM = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ApiManagement/service/gateway"
POLICY = """
services:
  checkout:
    api_management: {apim}
    pool: green-blue-pool
    workspace: {guid}
    slots:
      blue: {{backend: blue-backend, url: "{blue}", role_name: checkout-blue}}
      green: {{backend: green-backend, url: "{green}", role_name: checkout-green}}
"""


@dataclass
class Ward:
    """A healthy service; what a test spoils."""

    arm: Arm
    logs: LogAnalytics
    health: dict[str, web.Response | dict[str, str]]
    policy: Path


@pytest.fixture
def ward(secure: Serving, identity: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ward]:
    arm, logs, health = Arm(), LogAnalytics(time.time), {"blue": {"version": "1"}, "green": {"version": "2"}}
    urls = {}
    for slot in ("blue", "green"):

        async def answer(_request: web.Request, slot: str = slot) -> web.Response:
            return web.json_response(health[slot]) if health[slot] else web.Response(status=503)

        app = web.Application()
        app.router.add_get("/api/health", answer)
        urls[slot] = secure.serve(app, tls=False)
        arm.backend(APIM, f"{slot}-backend")
        row = AppRequest(
            TimeGenerated=datetime.fromtimestamp(time.time() - 120, UTC),
            AppRoleName=f"checkout-{slot}",
            AppRoleInstance="one",
            Url=f"https://{slot}.example/api/health",
            OperationName="GET /api/health",
            DurationMs=5.0,
        )
        logs.record(row)
    arm.pool(APIM, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(APIM, "current-slot-name", "blue")
    policy = tmp_path / "canary.yaml"
    policy.write_text(POLICY.format(apim=APIM, guid=GUID, **urls), encoding="utf-8")
    monkeypatch.setenv("CANARY_POLICY", str(policy))
    monkeypatch.setenv("ARM_URL", secure.serve(arm.app()))
    monkeypatch.setenv("LOGS_URL", secure.serve(logs.application()))
    monkeypatch.delenv("CANARY_URL", raising=False)
    yield Ward(arm, logs, health, policy)
    assert [one.method for one in arm.requests() if one.method != "GET"] == []


def test_a_healthy_service_is_all_ok(ward: Ward, canary: Canary) -> None:
    """One line a check, exit code 0; what could not be asked says so."""
    result = canary("doctor")
    assert result.exit_code == 0, result.output
    lines = {line[21:38].strip(): line for line in result.stdout.splitlines()}
    assert list(lines) == [
        *("policy", "function app", "pool", "marker"),
        *("health blue", "health green", "telemetry"),
    ]
    assert [line.split()[0] for line in lines.values()] == ["ok", "skipped", "ok", "ok", "ok", "ok", "ok"]
    assert "blue 100 / green 0" in lines["pool"]
    assert "version 2" in lines["health green"]
    assert "blue 1 / green 1 rows" in lines["telemetry"]


def test_the_function_app_is_asked_where_it_is_known(ward: Ward, api: Api, canary: Canary) -> None:
    """Does it answer, and is this file the policy in force?"""
    api.answers("GET", "/api/health", {"ok": True, "version": "0.1.0"})
    api.answers("GET", "/api/config", {"source": "pushed", "yaml": ward.policy.read_text(encoding="utf-8")})
    assert canary("doctor").exit_code == 0
    api.answers("GET", "/api/config", {"source": "packaged", "yaml": "services: {}"})
    result = canary("doctor")
    assert result.exit_code == 1
    assert "canary config push" in result.stdout


def bad(canary: Canary) -> dict[str, str]:
    """The bad checks of a run, which must end with 1 when there are any."""
    result = canary("doctor", "checkout", "--json")
    told = json.loads(result.stdout)
    found = {one["check"]: one["detail"] for one in told["checks"] if one["state"] == "bad"}
    assert (result.exit_code, told["ok"]) == ((1, False) if found else (0, True))
    assert len(told["checks"]) == 7
    return found


def test_session_affinity_is_bad(ward: Ward, canary: Canary) -> None:
    """Clients are split then, not requests."""
    affinity = {"sessionId": {"source": "cookie", "name": "who"}}
    ward.arm.pool(APIM, "green-blue-pool", {"blue-backend": 100, "green-backend": 0}, sessionAffinity=affinity)
    assert "affinity" in bad(canary)["pool"]


def test_a_pool_with_another_member_is_bad(ward: Ward, canary: Canary) -> None:
    """Its weights would not be two shares."""
    ward.arm.backend(APIM, "red-backend")
    ward.arm.pool(APIM, "green-blue-pool", {"blue-backend": 50, "green-backend": 0, "red-backend": 50})
    assert "red-backend" in bad(canary)["pool"]


def test_a_missing_role_names_the_permission(ward: Ward, canary: Canary) -> None:
    """403 on the marker alone: the other checks still run."""
    ward.arm.break_with(Fault(kind=Break.STATUS, path="namedValues", status=403, code="AuthorizationFailed"))
    found = bad(canary)
    assert list(found) == ["marker"]
    assert "Microsoft.ApiManagement/service/namedValues/read" in found["marker"]


def test_a_marker_that_names_a_slot_without_traffic_is_bad(ward: Ward, canary: Canary) -> None:
    """Weights and marker must agree."""
    ward.arm.set_value(f"{APIM}/namedValues/current-slot-name", "green")
    assert "0 %" in bad(canary)["marker"]


def test_a_slot_that_is_down_or_tells_no_version_is_bad(ward: Ward, canary: Canary) -> None:
    """The gate would never open."""
    ward.health["blue"] = {}
    ward.health["green"] = {"status": "fine"}
    found = bad(canary)
    assert "503" in found["health blue"]
    assert "version" in found["health green"]


def test_a_slot_without_rows_is_bad(ward: Ward, canary: Canary) -> None:
    """A role name that nobody has would make every canary unobserved."""
    text = ward.policy.read_text(encoding="utf-8")
    ward.policy.write_text(text.replace("role_name: checkout-green", "role_name: chekout-green"), encoding="utf-8")
    found = bad(canary)
    assert list(found) == ["telemetry"]
    assert "green (role_name chekout-green)" in found["telemetry"]


def test_an_unknown_service_or_a_bad_policy_is_bad_input(ward: Ward, canary: Canary) -> None:
    """Nothing is looked at then."""
    assert canary("doctor", "basket").exit_code == 2
    ward.policy.write_text("services: {}", encoding="utf-8")
    assert canary("doctor").exit_code == 2
