"""`canary plan --measure` takes the traffic from the live slot's own telemetry, over real HTTP."""

import json
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lab.arm import Arm
from lab.log_analytics import AppRequest, LogAnalytics
from lab.serving import Serving
from lab.tokens import Tokens
from tests.cli.conftest import Canary

GUID = "00000000-0000-0000-0000-000000000000"
APIM = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ApiManagement/service/gateway"
POLICY = f"""
services:
  checkout:
    api_management: {APIM}
    pool: green-blue-pool
    workspace: {GUID}
    history: 15m
    slots:
      blue: {{backend: blue-backend, url: "https://blue.example", role_name: checkout-blue}}
      green: {{backend: green-backend, url: "https://green.example", role_name: checkout-green}}
    indicators:
      failures: {{points: 10, ratio: 1.25}}
      rejected: off
      p95: {{quantile: 95%, slowdown: 20%, points: 10, ratio: 1.0}}
"""
MINUTES = 15


@pytest.fixture
def logs(secure: Serving, identity: Tokens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LogAnalytics:
    """A gateway whose marker says green, and an empty workspace."""
    arm, logs = Arm(), LogAnalytics(time.time)
    for slot in ("blue", "green"):
        arm.backend(APIM, f"{slot}-backend")
    arm.pool(APIM, "green-blue-pool", {"blue-backend": 0, "green-backend": 100})
    arm.named_value(APIM, "current-slot-name", "green")
    (tmp_path / "canary.yaml").write_text(POLICY, encoding="utf-8")
    monkeypatch.setenv("CANARY_POLICY", str(tmp_path / "canary.yaml"))
    monkeypatch.setenv("ARM_URL", secure.serve(arm.app()))
    monkeypatch.setenv("LOGS_URL", secure.serve(logs.application()))
    monkeypatch.delenv("CANARY_URL", raising=False)
    return logs


def requests(slot: str, *, ago: float, number: int, failing: int = 0, path: str = "/api/orders") -> list[AppRequest]:
    """Of one slot, `ago` minutes back."""
    return [
        AppRequest(
            TimeGenerated=datetime.fromtimestamp(time.time() - 60 * ago, UTC),
            AppRoleName=f"checkout-{slot}",
            AppRoleInstance="one",
            Url=f"https://{slot}.example{path}",
            OperationName=f"GET {path}",
            DurationMs=5.0,
            ResultCode="500" if at < failing else "200",
            Success=at >= failing,
        )
        for at in range(number)
    ]


def test_traffic_is_what_the_live_slot_gets_now(logs: LogAnalytics, canary: Canary) -> None:
    """Twenty requests in each of its fifteen minutes, one of them bad; probes and what has not settled do not count."""
    for minute in range(MINUTES):
        for row in requests("green", ago=5.5 + minute, number=20, failing=1):
            logs.record(row)
    for ago, slot, path in ((6.5, "blue", "/api/health"), (0.5, "green", "/api/orders"), (90, "green", "/api/orders")):
        for row in requests(slot, ago=ago, number=50, failing=50, path=path):
            logs.record(row)
    done = canary("plan", "--measure", "--json")
    assert done.exit_code == 0, done.output
    traffic = json.loads(done.stdout)["traffic"]
    assert traffic["rpm"] == pytest.approx(20, rel=0.08), "the first and the last minute may be cut by the clock"
    assert traffic["rates"]["failures"] == pytest.approx(0.05)
    assert traffic["rates"]["p95"] == pytest.approx(0.05), "by definition: T is not pinned before a rollout"
    given = json.loads(canary("plan", "--measure", "--errors", "2%", "--json").stdout)["traffic"]
    assert given["rates"]["failures"] == 0.02, "what is given wins"


def test_a_canarys_faults_are_not_the_baselines(logs: LogAnalytics, canary: Canary) -> None:
    """In a rollout both slots' requests are the traffic; only the live one's failures are its rate."""
    for minute in range(MINUTES):
        for row in [
            *requests("green", ago=5.5 + minute, number=18),
            *requests("blue", ago=5.5 + minute, number=2, failing=2),
        ]:
            logs.record(row)
    traffic = json.loads(canary("plan", "--measure", "--json").stdout)["traffic"]
    assert traffic["rpm"] == pytest.approx(20, rel=0.08)
    assert traffic["rates"]["failures"] == 0


def test_silence_is_not_a_calm_service(logs: LogAnalytics, canary: Canary) -> None:
    """No row of the live slot plans nothing, whatever the other one did."""
    for row in requests("blue", ago=6.5, number=20):
        logs.record(row)
    done = canary("plan", "--measure")
    assert done.exit_code == 1
    assert "no request of green, the live slot (role_name checkout-green), in 15m" in done.stderr


def test_like_and_measure_exclude_each_other(logs: LogAnalytics, canary: Canary) -> None:
    done = canary("plan", "--measure", "--like", "checkout-1")
    assert (done.exit_code, "give one of them" in done.stderr) == (2, True)
