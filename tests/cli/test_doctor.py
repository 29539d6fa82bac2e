"""`canary doctor` looks at everything over real HTTP, changes nothing, and says what mends what is bad."""

import io
import json
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from aiohttp import web

from cli.doctor.sites import SAMPLING
from cli.screen import Screen
from lab.arm import Arm, Break, Fault
from lab.chat import Chat, shown
from lab.log_analytics import AppRequest, LogAnalytics
from lab.serving import Serving
from lab.tokens import PRINCIPAL, Tokens
from lab.web_apps import HTTP, WebApp
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
      blue: {{backend: blue-backend, url: "{blue}", role_name: checkout-blue, site: {site}blue}}
      green: {{backend: green-backend, url: "{green}", role_name: checkout-green, site: {site}green}}
channels:
  team: {{kind: teams, url_setting: TEAMS_WEBHOOK_URL}}
"""
SITE = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.Web/sites/checkout-"
CHECKS = [
    *("policy", "sign-in", "function app", "chat team", "tier", "pool", "pool write", "marker"),
    *("health blue", "health green", "telemetry", "kept requests", "plan", "triggers", "settings", "logging"),
]
HELD = ["function app", "chat team"]  # skipped: nothing says where they are


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
        for _ in range(25):
            logs.record(row)
        arm.web_apps.site(f"{SITE}{slot}", WebApp(settings={"SLOT_NAME": slot, "PAYMENT_KEY": "hush-hush"}))
    arm.pool(APIM, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(APIM, "current-slot-name", "blue")
    policy = tmp_path / "canary.yaml"
    policy.write_text(POLICY.format(apim=APIM, guid=GUID, site=SITE, **urls), encoding="utf-8")
    monkeypatch.setenv("CANARY_POLICY", str(policy))
    monkeypatch.setenv("ARM_URL", secure.serve(arm.app()))
    monkeypatch.setenv("LOGS_URL", secure.serve(logs.application()))
    monkeypatch.delenv("CANARY_URL", raising=False)
    monkeypatch.delenv("TEAMS_WEBHOOK_URL", raising=False)
    yield Ward(arm, logs, health, policy)
    assert {one.path for one in arm.requests("PUT")} <= {f"{APIM}/backends/green-blue-pool"}
    assert arm.requests("PATCH") == []


def test_a_healthy_service_is_all_ok(ward: Ward, canary: Canary) -> None:
    """One line a check, exit code 0; what could not be asked says so."""
    before = ward.arm.properties(f"{APIM}/backends/green-blue-pool")
    result = canary("doctor")
    assert result.exit_code == 0, result.output
    lines = {line[17:30].strip(): line for line in result.stdout.splitlines()}
    assert list(lines) == CHECKS
    assert [name for name, line in lines.items() if line.startswith("skipped")] == HELD
    assert all(line.startswith("ok") for name, line in lines.items() if name not in HELD)
    assert "blue 100 / green 0" in lines["pool"]
    assert "version 2" in lines["health green"]
    assert "blue 25 / green 25 rows" in lines["telemetry"]
    assert "2 functions, all HTTP" in lines["triggers"]
    assert "hush-hush" not in result.output
    (put,) = ward.arm.requests("PUT")
    assert put.if_match is not None
    assert ward.arm.properties(f"{APIM}/backends/green-blue-pool")["pool"] == before["pool"]


def test_a_critical_operation_that_no_request_had_is_named(ward: Ward, canary: Canary) -> None:
    """A route in place of the function's name meets no row, and nothing would ever be judged by it."""
    text = ward.policy.read_text(encoding="utf-8").replace(
        "    pool: green-blue-pool", "    critical_operations: [POST /pay, get /API/health]\n    pool: green-blue-pool"
    )
    ward.policy.write_text(text, encoding="utf-8")
    result = canary("doctor")
    assert result.exit_code == 0, result.output
    (line,) = (line for line in result.stdout.splitlines() if line[17:30].strip() == "telemetry")
    assert "25 rows; none of the critical POST /pay (" in line


def test_what_is_asked_of_azure_is_published(ward: Ward, canary: Canary) -> None:
    """Operations of Microsoft.ApiManagement 2024-05-01 and of Microsoft.Web 2024-04-01 (WebApps.json), by name."""
    operations = {
        "ApiManagementService_Get": ("GET", APIM, "2024-05-01"),
        "Backend_Get": ("GET", f"{APIM}/backends/green-blue-pool", "2024-05-01"),
        "Backend_CreateOrUpdate": ("PUT", f"{APIM}/backends/green-blue-pool", "2024-05-01"),
        "NamedValue_Get": ("GET", f"{APIM}/namedValues/current-slot-name", "2024-05-01"),
    }
    for slot in ("blue", "green"):
        operations |= {
            f"WebApps_Get {slot}": ("GET", f"{SITE}{slot}", "2024-04-01"),
            f"WebApps_ListFunctions {slot}": ("GET", f"{SITE}{slot}/functions", "2024-04-01"),
            f"WebApps_ListApplicationSettings {slot}": ("POST", f"{SITE}{slot}/config/appsettings/list", "2024-04-01"),
        }
    assert canary("doctor").exit_code == 0
    assert {(one.method, one.path, one.api_version) for one in ward.arm.requests()} == set(operations.values())


def test_read_only_writes_nothing(ward: Ward, canary: Canary) -> None:
    result = canary("doctor", "--read-only")
    assert (result.exit_code, ward.arm.requests("PUT")) == (0, [])
    assert "--read-only: whether the pool may be written was not tried" in result.stdout


def test_the_function_app_is_asked_where_it_is_known(ward: Ward, api: Api, canary: Canary) -> None:
    """Does it answer, and is this file the policy in force?"""
    api.answers("GET", "/api/health", {"ok": True, "version": "0.1.0"})
    lease = {"owner": "run 7", "slot": "green", "expires_at": 1}
    services = [{"service": "checkout", "phase": "step", "lease": None}, {"service": "basket", "lease": lease}]
    api.answers("GET", "/api/services", {"services": services})
    api.answers("GET", "/api/config", {"source": "pushed", "yaml": ward.policy.read_text(encoding="utf-8")})
    healthy = canary("doctor")
    assert healthy.exit_code == 0
    assert "rollouts: checkout step; leases: basket by run 7" in healthy.stdout
    api.answers("GET", "/api/config", {"source": "packaged", "yaml": "services: {}"})
    result = canary("doctor")
    assert result.exit_code == 1
    assert "canary config push" in result.stdout
    refused = ["pushed version 3: services.checkout.stpes (line 9): got a key that nobody knows"]
    held = {"source": "packaged", "yaml": ward.policy.read_text(encoding="utf-8"), "refused": refused}
    api.answers("GET", "/api/config", held)
    result = canary("doctor")
    assert result.exit_code == 1
    assert "pushed version 3: services.checkout.stpes" in "".join(result.stdout.split("\n"))


def rows(ward: Ward, slot: str, count: int, **columns: object) -> None:
    """More rows of a slot."""
    for _ in range(count):
        ward.logs.record(
            AppRequest(
                TimeGenerated=datetime.fromtimestamp(time.time() - 120, UTC),
                AppRoleName=f"checkout-{slot}",
                AppRoleInstance="one",
                Url="https://shop.example/api/cart",
                OperationName="GET /api/cart",
                DurationMs=5.0,
                **columns,  # type: ignore[arg-type]
            )
        )


def said(finding: dict[str, str]) -> str:
    """What is wrong, and the command that mends it."""
    return f"{finding['detail']}: {finding['command']}" if finding["command"] else finding["detail"]


def bad(canary: Canary) -> dict[str, str]:
    """The bad checks of a run, which must end with 1 when there are any."""
    result = canary("doctor", "checkout", "--json")
    told = json.loads(result.stdout)
    found = {one["check"]: said(one) for one in told["checks"] if one["state"] == "bad"}
    assert (result.exit_code, told["ok"]) == ((1, False) if found else (0, True))
    assert [one["check"] for one in told["checks"]] == CHECKS
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
    give = f"--assignee {PRINCIPAL} --role 'Flex Canary traffic (gateway)' --scope"
    assert found["marker"].endswith(f'az role assignment create {give} "{APIM}"')


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


@pytest.mark.parametrize("status", [401, 403])
def test_a_slot_that_admits_others_only_says_what_it_wants(
    ward: Ward, canary: Canary, secure: Serving, monkeypatch: pytest.MonkeyPatch, status: int
) -> None:
    """Apps behind Entra are the normal case."""

    async def shut(_request: web.Request) -> web.Response:
        return web.Response(status=status)

    app = web.Application()
    app.router.add_get("/api/health", shut)
    text = ward.policy.read_text(encoding="utf-8")
    ward.policy.write_text(re.sub(r"(green-backend, url: )[^,]*", rf'\1"{secure.serve(app)}"', text), encoding="utf-8")
    assert "set SLOT_AUDIENCE" in bad(canary)["health green"]
    monkeypatch.setenv("SLOT_AUDIENCE", "api://slots")
    assert f"does not admit {PRINCIPAL}" in bad(canary)["health green"]


def test_a_slot_without_rows_is_bad(ward: Ward, canary: Canary) -> None:
    """A role name that nobody has would make every canary unobserved."""
    text = ward.policy.read_text(encoding="utf-8")
    ward.policy.write_text(text.replace("role_name: checkout-green", "role_name: chekout-green"), encoding="utf-8")
    found = bad(canary)
    assert list(found) == ["telemetry"]
    assert "green (role_name chekout-green)" in found["telemetry"]


RIGHTS = {
    "pool": (Fault(kind=Break.STATUS, path="backends", status=403), "Flex Canary traffic (gateway)", APIM),
    "pool write": (Fault(kind=Break.STATUS, method="PUT", status=403), "Flex Canary traffic (gateway)", APIM),
    "plan": (Fault(kind=Break.STATUS, path="sites/checkout-green", status=403), "Reader", f"{SITE}green"),
    "triggers": (Fault(kind=Break.STATUS, path="green/functions", status=403), "Reader", f"{SITE}green"),
}


@pytest.mark.parametrize("check", RIGHTS)
def test_each_missing_right_comes_with_the_command_that_gives_it(ward: Ward, canary: Canary, check: str) -> None:
    fault, role, scope = RIGHTS[check]
    ward.arm.break_with(fault)
    given = f"az role assignment create --assignee {PRINCIPAL} --role '{role}' --scope \"{scope}\""
    assert bad(canary)[check].endswith(given)


def test_a_right_that_is_missing_on_both_apps_comes_with_a_command_for_each(ward: Ward, canary: Canary) -> None:
    ward.arm.break_with(Fault(kind=Break.STATUS, path="sites/checkout-", status=403))
    assert bad(canary)["plan"].count("az role assignment create") == 2


def test_the_right_to_list_settings_may_be_missing(ward: Ward, canary: Canary) -> None:
    """It shows secrets, and no rollout needs it."""
    ward.arm.break_with(Fault(kind=Break.STATUS, method="POST", status=403))
    result = canary("doctor")
    assert result.exit_code == 0
    (line,) = [one for one in result.stdout.splitlines() if one.startswith("skipped checkout settings")]
    assert f"--role 'Website Contributor' --scope \"{SITE}blue\"" in line
    assert "Microsoft.Web/sites/config/list/action" in line


def test_a_missing_right_on_the_workspace_too(ward: Ward, canary: Canary) -> None:
    ward.logs.faults.forbidden = True
    found = bad(canary)
    assert list(found) == ["telemetry", "kept requests"]
    mine = f"[?customerId=='{GUID}'].id"
    scope = f'"$(az monitor log-analytics workspace list --query "{mine}" --output tsv)"'
    assert found["telemetry"].endswith(f"--role 'Log Analytics Data Reader' --scope {scope}")


def test_nobody_signed_in_is_told_what_to_type(
    ward: Ward, canary: Canary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once; what needs no Azure is still looked at, the rest is not asked."""
    monkeypatch.delenv("IDENTITY_ENDPOINT")
    monkeypatch.setenv("PATH", str(tmp_path))  # a machine without the Azure CLI
    found = bad(canary)
    assert list(found) == ["sign-in"]
    assert "az login" in found["sign-in"]
    lines = canary("doctor").stdout.splitlines()
    assert sum(line.startswith("skipped") and "see sign-in" in line for line in lines) == len(CHECKS) - 4 - len(HELD)
    assert ward.arm.requests() == []


def test_an_identity_that_gets_no_token_is_told_so(ward: Ward, canary: Canary, identity: Tokens) -> None:
    identity.header = "another"
    assert "managed identity" in bad(canary)["sign-in"]


def test_a_subscription_of_another_tenant_is_told_so(ward: Ward, canary: Canary) -> None:
    refused = Fault(kind=Break.STATUS, path="backends", status=404, code="SubscriptionNotFound")
    ward.arm.break_with(refused)
    assert "az login --tenant" in bad(canary)["pool"]
    ward.arm.mend()
    ward.arm.break_with(Fault(kind=Break.STATUS, path="backends", status=401, code="InvalidAuthenticationTokenTenant"))
    assert "az login --tenant" in bad(canary)["pool"]


def test_the_pool_is_left_to_a_rollout_that_runs(ward: Ward, api: Api, canary: Canary) -> None:
    """Our write would cost the controller's own a tick."""
    api.answers("GET", "/api/health", {"ok": True, "version": "0.1.0"})
    api.answers("GET", "/api/services", {"services": [{"service": "checkout", "phase": "step", "lease": None}]})
    api.answers("GET", "/api/config", {"source": "pushed", "yaml": ward.policy.read_text(encoding="utf-8")})
    result = canary("doctor")
    assert (result.exit_code, ward.arm.requests("PUT")) == (0, [])
    assert "a rollout runs (phase step)" in result.stdout
    api.answers("GET", "/api/services", {"services": [{"service": "checkout", "phase": "closed", "lease": None}]})
    assert canary("doctor").exit_code == 0
    assert len(ward.arm.requests("PUT")) == 1


def test_a_rollout_that_cannot_write_is_the_answer_whether_the_pool_may_be_written(
    ward: Ward, api: Api, canary: Canary
) -> None:
    """Just then one asks; the pool is left to it all the same."""
    told = "0 % for green is decided but NOT carried out after 2 attempts: 403 AuthorizationFailed"
    held = {"service": "checkout", "phase": "closing", "hold": "cannot_write", "sentence": told, "lease": None}
    api.answers("GET", "/api/health", {"ok": True, "version": "0.1.0"})
    api.answers("GET", "/api/services", {"services": [held]})
    api.answers("GET", "/api/config", {"source": "pushed", "yaml": ward.policy.read_text(encoding="utf-8")})
    result = canary("doctor")
    assert (result.exit_code, ward.arm.requests("PUT")) == (1, [])
    assert "the rollout that runs tries, and cannot: 0 % for green is decided but NOT carried out" in result.stdout


def test_a_pool_that_somebody_else_writes_is_not_overwritten(ward: Ward, canary: Canary) -> None:
    """If-Match: a person's new weights win."""
    pool = f"{APIM}/backends/green-blue-pool"
    weights = {"blue-backend": 70, "green-backend": 30}
    meddle = Fault(kind=Break.MEDDLE, method="PUT", times=1, meddle=lambda: ward.arm.set_weights(pool, weights))
    ward.arm.break_with(meddle)
    assert "412" in bad(canary)["pool write"]
    assert ward.arm.weights(pool) == weights


def test_a_pool_that_changes_right_after_is_told(ward: Ward, canary: Canary) -> None:
    """What is read back is compared with what was there."""
    pool = f"{APIM}/backends/green-blue-pool"

    def then() -> None:
        change = partial(ward.arm.set_weights, pool, {"blue-backend": 70, "green-backend": 30})
        ward.arm.break_with(Fault(kind=Break.MEDDLE, method="GET", path=pool, times=1, meddle=change))

    ward.arm.break_with(Fault(kind=Break.MEDDLE, method="PUT", times=1, meddle=then))
    assert "held blue 100 / green 0 and now holds blue 70 / green 30" in bad(canary)["pool write"]


@pytest.mark.parametrize(("tier", "told"), [("Consumption", None), ("PremiumV2", None), ("Bronze", "Bronze is not")])
def test_a_tier_without_pools_is_bad(ward: Ward, canary: Canary, tier: str, told: str | None) -> None:
    ward.arm.tier = tier
    found = bad(canary)
    assert (told in found["tier"]) if told else found == {}


def test_a_tier_that_cannot_be_read_is_skipped(ward: Ward, canary: Canary) -> None:
    ward.arm.break_with(Fault(kind=Break.STATUS, path="service/gateway", status=403, times=1))
    assert bad(canary) == {}


def test_a_proxy_in_between_is_bad_and_all_checks_run(ward: Ward, canary: Canary) -> None:
    ward.arm.break_with(Fault(kind=Break.JUNK, path="sites/"))
    found = bad(canary)
    assert list(found) == ["plan", "triggers", "settings", "logging"]
    assert all("ARM_URL" in detail for detail in found.values())


def test_a_bug_in_one_check_silences_none(ward: Ward, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, and its text, which may hold a secret, is not shown."""

    def broken(*_: object) -> str:
        raise KeyError("hush-hush")

    monkeypatch.setattr("cli.resources.Resources.tier", broken)
    found = bad(canary)
    assert list(found) == ["tier"]
    assert "KeyError" in found["tier"]
    assert "hush" not in found["tier"]


def test_failures_alone_mean_a_log_level_and_unlike_rows_unlike_sampling(ward: Ward, canary: Canary) -> None:
    rows(ward, "green", 30, ItemCount=3)
    assert "of green for 2.1" in bad(canary)["kept requests"]
    ward.logs.clear()
    rows(ward, "blue", 30)
    rows(ward, "green", 30, ResultCode="500", Success=False)
    assert "all 30 rows of green are failures" in bad(canary)["kept requests"]
    ward.logs.clear()
    rows(ward, "blue", 5)
    rows(ward, "green", 5)
    assert bad(canary) == {}
    assert "fewer than 20 rows of blue and green" in canary("doctor").stdout


def test_an_app_of_another_plan_is_bad(ward: Ward, canary: Canary) -> None:
    ward.arm.web_apps.site(f"{SITE}green", WebApp(flex=False))
    assert "green (checkout-green)" in bad(canary)["plan"]
    ward.arm.web_apps.site(f"{SITE}green", WebApp(sku="FlexConsumption"))
    assert "plan" not in bad(canary)
    ward.arm.web_apps.site(f"{SITE}green", WebApp(sku="Dynamic"))
    assert "green (checkout-green)" in bad(canary)["plan"]


def test_other_triggers_are_refused_until_the_policy_accepts_them(ward: Ward, canary: Canary) -> None:
    """Weights do not govern them."""
    ward.arm.web_apps.site(f"{SITE}green").functions = {"hello": HTTP, "sweep": "timerTrigger", "pay": "queueTrigger"}
    found = bad(canary)
    assert "green: pay (queueTrigger), sweep (timerTrigger)" in found["triggers"]
    assert "non_http: accepted" in found["triggers"]
    text = ward.policy.read_text(encoding="utf-8")
    ward.policy.write_text(text.replace("    pool:", "    non_http: accepted\n    pool:"), encoding="utf-8")
    assert "triggers" not in bad(canary)
    assert "accepted (non_http): green: pay" in canary("doctor").stdout


def test_a_function_that_is_switched_off_does_not_count_and_none_at_all_is_bad(ward: Ward, canary: Canary) -> None:
    app = ward.arm.web_apps.site(f"{SITE}green", WebApp(functions={"hello": HTTP, "sweep": "timerTrigger"}))
    app.disabled = frozenset({"sweep"})
    assert "triggers" not in bad(canary)
    app.functions = {}
    assert "green lists no function" in bad(canary)["triggers"]


def test_functions_are_read_to_the_last_page(ward: Ward, canary: Canary) -> None:
    """And no page elsewhere gets the token."""
    app = ward.arm.web_apps.site(f"{SITE}green", WebApp(page=1))
    app.functions = {"hello": HTTP, "health": HTTP, "sweep": "timerTrigger"}
    assert "sweep (timerTrigger)" in bad(canary)["triggers"]
    app.elsewhere = "https://elsewhere.example/functions"
    assert "not at ARM_URL" in bad(canary)["triggers"]


def test_settings_that_differ_are_named_and_never_shown(ward: Ward, canary: Canary) -> None:
    other = {"SLOT_NAME": "green", "PAYMENT_KEY": "s3cret", "FAIL_PERCENT": "11"}
    ward.arm.web_apps.site(f"{SITE}green").settings = other
    found = bad(canary)["settings"]
    assert "differ: PAYMENT_KEY; in one slot only: FAIL_PERCENT" in found
    assert "s3cret" not in canary("doctor").output


def test_settings_that_belong_to_one_slot_may_differ(ward: Ward, canary: Canary) -> None:
    """Colour, version, identities, the host's own storage, and what Azure writes."""
    names = (
        *("SLOT_NAME", "APP_VERSION", "AZURE_CLIENT_ID", "APPLICATIONINSIGHTS_AUTHENTICATION_STRING"),
        *("AzureWebJobsStorage", "AzureWebJobsStorage__blobServiceUri", "AzureWebJobsStorage__clientId"),
        *("DEPLOYMENT_STORAGE_CONNECTION_STRING", "WEBSITE_CLOUD_ROLENAME", "WEBSITE_INSTANCE_ID"),
    )
    for slot in ("blue", "green"):
        ward.arm.web_apps.site(f"{SITE}{slot}").settings = {name: f"{slot}-{name}" for name in names}
    assert bad(canary) == {}
    ward.arm.web_apps.site(f"{SITE}green").settings["APPLICATIONINSIGHTS_CONNECTION_STRING"] = "elsewhere"
    assert "APPLICATIONINSIGHTS_CONNECTION_STRING" in bad(canary)["settings"]


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"AzureFunctionsJobHost__logging__logLevel__Host.Results": "Warning"}, "Host.Results above Information"),
        ({f"{SAMPLING}excludedTypes": "Trace;Event"}, "requests would be sampled"),
        ({f"{SAMPLING}isEnabled": "true", f"{SAMPLING}excludedTypes": "Trace"}, "requests would be sampled"),
    ],
)
def test_settings_that_drop_or_sample_requests_are_bad(
    ward: Ward, canary: Canary, settings: dict[str, str], told: str
) -> None:
    for slot in ("blue", "green"):
        ward.arm.web_apps.site(f"{SITE}{slot}").settings = settings
    assert told in bad(canary)["logging"]


def test_without_the_sites_the_apps_are_not_looked_at(ward: Ward, canary: Canary) -> None:
    text = ward.policy.read_text(encoding="utf-8")
    ward.policy.write_text(re.sub(", site: [^}]*", "", text), encoding="utf-8")
    result = canary("doctor")
    assert result.exit_code == 0
    assert result.stdout.count("write slots.blue.site and slots.green.site") == 4


def test_a_test_message_goes_to_each_channel(
    ward: Ward, secure: Serving, canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through the sender of the function app; without the setting it is named."""
    result = canary("doctor", "--send-test")
    assert result.exit_code == 1
    assert "TEAMS_WEBHOOK_URL is not set here: read -rs" in result.stdout
    chat = Chat()
    secret = chat.environment(secure.serve(chat.app()))["TEAMS_WEBHOOK_URL"]
    monkeypatch.setenv("TEAMS_WEBHOOK_URL", secret)
    result = canary("doctor", "--send-test")
    assert result.exit_code == 0, result.output
    assert secret not in result.output
    (post,) = chat.taken()
    assert "canary doctor test: a person acted" in shown(post)
    assert "A test message" in shown(post)


def test_an_unknown_service_or_a_bad_policy_is_bad_input(ward: Ward, canary: Canary) -> None:
    """Nothing is looked at then."""
    assert canary("doctor", "basket").exit_code == 2
    ward.policy.write_text("services: {}", encoding="utf-8")
    assert canary("doctor").exit_code == 2


def test_a_command_can_be_copied_from_a_narrow_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detail keeps its column; the command is one line, however long."""

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stdout", terminal)
    command = f"az role assignment create --assignee {PRINCIPAL} --role 'Reader' --scope \"{SITE}blue\""
    Screen(as_json=False).finding(
        "bad", ["checkout", "plan   "], "no right to do it, in more words than fit", command=command
    )
    first, second, third = re.sub(r"\x1b\[[0-9;]*m", "", terminal.getvalue()).splitlines()
    assert first.startswith("bad     checkout plan    no right")
    assert second.startswith(" " * 25)
    assert third.strip() == command
