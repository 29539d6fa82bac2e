"""What bad values get: one line each, that names path, value and what to write instead."""

from collections.abc import Callable
from typing import Any

import pytest

from rollouts.policy_file.parse import parse
from tests.policy import trees

Refusal = Callable[[object], list[str]]
TOLERANCE = {"points": 0.5, "ratio": 1.25}

REFUSED: list[tuple[str, Any, str, str]] = [
    # path, value, where it is said, what is said
    ("steps", [50, 10, 100], "steps", "increasing"),
    ("steps", [10, 10, 100], "steps[1]", "already"),
    ("steps", [10, 50], "steps", "end with 100"),
    ("steps", [], "steps", "end with 100"),
    ("steps", [100], "steps", "below 100"),
    ("steps", [0, 100], "steps[0]", "1 to 100"),
    ("steps", [10, 101], "steps[1]", "1 to 100"),
    ("steps", [-5, 100], "steps[0]", "1 to 100"),
    ("steps", [10.5, 100], "steps[0]", "whole number"),
    ("steps", [True, 100], "steps[0]", "whole number"),
    ("steps", "10, 50, 100", "steps", "list"),
    ("steps", list(range(1, 30)), "steps", "at most 20"),
    ("bake", 10, "bake", "unit"),
    ("bake", "10", "bake", "unit"),
    ("bake", "-10m", "bake", "unit"),
    ("bake", "10 minutes", "bake", "unit"),
    ("bake", "0s", "bake", "1s to 7d"),
    ("bake", "90s", "bake", "multiple of the interval"),
    ("bake", "3h", "bake", "must fit into deadline"),
    ("bake", None, "bake", "remove the line"),
    ("bake", "1.5s", "bake", "whole seconds"),
    ("deadline", "150s", "deadline", "multiple"),
    ("deadline", "5m", "deadline", "fit"),
    ("deadline", "99999999d", "deadline", "7d"),
    ("watch", "4m", "watch", "after its end"),
    ("history", "5m", "history", "10 intervals"),
    ("mode", "atc", "mode", "observe, advise, act"),
    ("preset", "medium", "preset", "careful, standard, low-traffic"),
    ("promote_when", "always", "promote_when", "proven, unrefuted"),
    ("at_deadline", "promote", "at_deadline", "hold, rollback"),
    ("rollback", "no", "rollback", "auto, ask"),
    ("min_requests", 0, "min_requests", "1 to"),
    ("min_requests", -1, "min_requests", "1 to"),
    ("approvals", [25], "approvals[0]", "10, 50, 100"),
    ("approvals", [50, 50], "approvals[1]", "already"),
    ("api_management", "gateway", "api_management", "ARM id"),
    ("api_management", trees.APIM.replace("ApiManagement/service", "Web/sites"), "api_management", "ARM id"),
    ("api_management", trees.REMOVED, "api_management", "add api_management"),
    ("pool", trees.REMOVED, "pool", "add pool"),
    ("pool", "<name>", "pool", "name of the backend pool"),
    ("workspace", trees.REMOVED, "workspace", "add workspace"),
    ("workspace", "my-workspace", "workspace", "GUID"),
    ("marker", "", "marker", "named value"),
    ("slots", trees.REMOVED, "slots.blue", "describe this slot"),
    ("slots.green", trees.REMOVED, "slots.green", "backend, url, role_name"),
    ("slots.red", {}, "slots.red", "unknown key"),
    ("slots.blue", "blue-backend", "slots.blue", "mapping"),
    ("slots.blue.url", "http://checkout.example.com", "slots.blue.url", "https://"),
    ("slots.blue.url", "checkout.example.com", "slots.blue.url", "base URL"),
    ("slots.blue.url", "https://user:secret@example.com", "slots.blue.url", "without user"),
    ("slots.blue.url", "https://example.com?code=abc", "slots.blue.url", "app settings"),
    ("slots.blue.url", "https://exam ple.com", "slots.blue.url", "base URL"),
    ("slots.blue.url", "https://[", "slots.blue.url", "base URL"),
    ("slots.blue.url", "https://example.com:99999", "slots.blue.url", "base URL"),
    ("slots.blue.site", trees.APIM, "slots.blue.site", "function app"),
    ("slots.green.url", "https://checkout-blue.azurewebsites.net/", "slots.green.url", "uses it already"),
    ("slots.green.backend", "Checkout-Blue", "slots.green.backend", "uses it already"),
    ("slots.green.role_name", "checkout-blue", "slots.green.role_name", "told apart"),
    ("indicators.failures", {"points": -1, "ratio": 1}, "indicators.failures.points", "0 to below 100"),
    ("indicators.failures", {"points": 101, "ratio": 1}, "indicators.failures.points", "0 to below 100"),
    ("indicators.failures", {"points": 100, "ratio": 1}, "indicators.failures.points", "every request to fail"),
    ("indicators.failures", {"points": "0.5%", "ratio": 1}, "indicators.failures.points", "without %"),
    ("indicators.failures", {"points": float("nan"), "ratio": 1}, "indicators.failures.points", "0 to below 100"),
    ("indicators.failures", {"points": 10, "ratio": 50}, "indicators.failures", "tolerates 100 %"),
    ("indicators.failures", {"points": 99, "ratio": 1}, "indicators.failures", "tolerates 100 %"),
    ("indicators.failures", {"points": 0, "ratio": 0.9}, "indicators.failures", "better than a baseline"),
    ("indicators.failures", {"points": 0.5, "ratio": 0.25}, "indicators.failures", "1.25 = a quarter more"),
    ("indicators.failures", {"points": 0, "ratio": 0}, "indicators.failures", "better than a baseline"),
    ("indicators.failures", {"points": 0, "ratio": -1}, "indicators.failures.ratio", "factor from 0"),
    ("indicators.failures", {**TOLERANCE, "ceiling": 20}, "indicators.failures.ceiling", "with its sign"),
    ("indicators.failures", {**TOLERANCE, "ceiling": "100%"}, "indicators.failures.ceiling", "below 100%"),
    ("indicators.failures", {**TOLERANCE, "slower_than": "1s"}, "indicators.failures.slower_than", "another name"),
    ("indicators.failures", 5, "indicators.failures", "mapping"),
    ("indicators.failures", 0, "indicators.failures", "mapping"),
    ("indicators.own", TOLERANCE, "indicators.own", "exactly one of"),
    ("indicators.own", {"slower_than": "1s"}, "indicators.own.points", "add points"),
    ("indicators.own", {**TOLERANCE, "slower_than": "1s", "query": "T"}, "indicators.own", "exactly one of"),
    ("indicators.own", {**TOLERANCE, "slower_than": 800}, "indicators.own.slower_than", "unit"),
    ("indicators.own", {**TOLERANCE, "quantile": "95%"}, "indicators.own.slowdown", "add slowdown"),
    ("indicators.own", {**TOLERANCE, "quantile": "0%", "slowdown": "20%"}, "indicators.own.quantile", "above 0%"),
    ("indicators.own", {**TOLERANCE, "quantile": "100%", "slowdown": "20%"}, "indicators.own.quantile", "below 100%"),
    ("indicators.own", {**TOLERANCE, "quantile": 0.95, "slowdown": "20%"}, "indicators.own.quantile", "sign"),
    ("indicators.own", {**TOLERANCE, "quantile": "95%", "slowdown": "-5%"}, "indicators.own.slowdown", "from 0%"),
    ("indicators.own", {**TOLERANCE, "slower_than": "1s", "slowdown": "20%"}, "indicators.own.slowdown", "quantile"),
    ("indicators.own", {"points": 0, "ratio": 2, "quantile": "50%", "slowdown": "0%"}, "indicators.own", "50 % bad"),
    ("indicators.own", {**TOLERANCE, "query": "  "}, "indicators.own.query", "KQL"),
    ("indicators.own", {**TOLERANCE, "query": ".drop table T"}, "indicators.own.query", "management command"),
    ("indicators.own", "off", "indicators.own", "no such indicator"),
    ("indicators.2nd", TOLERANCE, "indicators.2nd", "a letter"),
    ("indicators", dict.fromkeys(("failures", "rejected", "p95"), "off"), "indicators", "leave at least one"),
    ("critical_operations", ["POST /pay", "POST /pay"], "critical_operations[1]", "already"),
    ("critical_operations", ["POST /pay", "Post /Pay"], "critical_operations[1]", "already"),  # counted twice over
    ("excluded_routes", ["internal"], "excluded_routes[0]", "begins with /"),
    ("excluded_routes", ["/"], "excluded_routes[0]", "nothing would be judged"),
    ("gate.deadline", "2m", "gate.deadline", "3 successes"),
    ("gate.successes", 0, "gate.successes", "1 to 100"),
    ("gate.successes", 99, "gate.deadline", "99 successes"),
    ("gate.path", "api/health", "gate.path", "begins with /"),
    ("gate.via", "proxy", "gate.via", "direct, gateway"),
    ("gate.via", "gateway", "gate.gateway_url", "add gateway_url"),
    ("gate.gateway_url", "https://gateway.example.com/preview", "gate.gateway_url", "via: gateway"),
    ("gate.timeout", "5m", "gate.timeout", "30s"),
    ("gate.warm_up", {"requests": 5}, "gate.warm_up.path", "add path"),
    ("gate.warm_up", {"path": "/w", "requests": 0}, "gate.warm_up.requests", "1 to 1000"),
    ("gate.warm_up", 5, "gate.warm_up", "mapping"),
    ("limits.blind", "15", "limits.blind", "unit"),
    ("limits.at_blind", "promote", "limits.at_blind", "hold, rollback"),
    ("expert.alpha", "0%", "expert.alpha", "above 0%"),
    ("expert.alpha", "50%", "expert.alpha", "below 50%"),
    ("expert.beta", 0.01, "expert.beta", "sign"),
    ("expert.interval", "0s", "expert.interval", "1s to 5m"),
    ("deadline", "7d", "deadline", "at most 20000"),
    ("expert.settle", "1m", "expert.settle", "3m of ingestion"),
    ("expert.operations", 0, "expert.operations", "1 to 50"),
    ("notify", ["tame"], "notify[0]", "write one of team"),
    ("notify", "team", "notify", "list"),
    ("deadine", "2h", "deadine", "did you mean deadline?"),
    ("expert.propogation", "10s", "expert.propogation", "did you mean propagation?"),
    ("zzz", 1, "zzz", "remove it"),
]


@pytest.mark.parametrize(("path", "value", "where", "said"), REFUSED)
def test_a_bad_value_is_refused_where_it_stands(refusal: Refusal, path: str, value: Any, where: str, said: str) -> None:
    """The line begins with the path, holds what was got, and says what to write."""
    problems = refusal(trees.spoiled(path, value))
    told = [line for line in problems if line.startswith(f"services.checkout.{where}: got ")]
    assert any(said in line for line in told), problems
    assert all(line.count(": ") >= 2 for line in problems)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("indicators.failures", {"points": 0, "ratio": 1}),  # "no worse at all": legal, and costs requests
        ("indicators.failures", {"points": 0.2}),  # the ratio stays the preset's
        ("indicators.failures", "off"),
        ("indicators.failures", False),  # what YAML 1.1 makes of off
        ("indicators.p95", {"slower_than": "800ms", "points": 1, "ratio": 1.25}),
        ("slots.blue.url", "http://127.0.0.1:7071"),
        ("slots.blue.url", "http://localhost:7071/"),
        ("steps", [1, 2, 100]),
        ("approvals", [100]),
        ("gate.gateway_url", None),
        ("gate.warm_up", None),
        ("expert.settle", "5m"),
    ],
)
def test_legal_values_are_taken(path: str, value: Any) -> None:
    """Nothing that the format allows is refused."""
    parse(trees.spoiled(path, value))


def test_all_problems_come_in_one_pass(refusal: Refusal) -> None:
    """A file with five mistakes needs one look, not five."""
    tree = trees.spoiled("bake", 10)
    checkout = tree["services"]["checkout"]
    checkout |= {"steps": [50, 10], "mode": "atc", "notify": ["nobody"], "wach": "30m"}
    said = "\n".join(refusal(tree))
    assert all(f"services.checkout.{name}" in said for name in ("bake", "steps", "mode", "notify[0]", "wach"))


def test_a_refused_value_brings_no_second_problem(refusal: Refusal) -> None:
    """What depends on a broken value is not judged by a guess."""
    assert len(refusal(trees.spoiled("deadline", "2 hours"))) == 1
    assert len(refusal(trees.spoiled("slots.blue", 7))) == 1


@pytest.mark.parametrize("secret", ["https://hooks.slack.com/services/T0/B0/XYZ", "xoxb-123/XYZ", "https://a.b/XYZ"])
def test_a_webhook_written_in_clear_is_refused_without_repeating_it(refusal: Refusal, secret: str) -> None:
    """Errors end in logs of pipelines: the URL must not be in them, wherever it was pasted."""
    for place in (
        {"channels": {"team": {"kind": "slack", "url_setting": secret}}},
        {"channels": {"team": {"kind": "slack", "url": secret}}},
        {"channels": {"team": secret}},
        {"channels": {secret: {"kind": "slack", "url_setting": "S"}}},
    ):
        problems = refusal(place | {"services": {"checkout": trees.service()}})
        assert problems
        assert "XYZ" not in "\n".join(problems)
    assert "XYZ" not in "\n".join(refusal(trees.spoiled("notify", [secret])))
    assert "XYZ" not in "\n".join(refusal(trees.spoiled(secret.replace(".", "-"), 1)))


def test_whatever_stands_in_place_of_a_settings_name_is_not_repeated(refusal: Refusal) -> None:
    """A key has no shape that could be told from a slip."""
    problems = refusal(
        {
            "channels": {"team": {"kind": "slack", "url_setting": "a plain KEY"}},
            "services": {"checkout": trees.service()},
        }
    )
    assert "KEY" not in "\n".join(problems)


def test_two_services_must_not_share_what_is_one_services_own(refusal: Refusal) -> None:
    """Pool, marker, backends, role names and URLs belong to one service, whatever the letter case."""
    twin = trees.service()
    said = refusal({"services": {"checkout": trees.service(), "basket": twin}})
    for name in ("pool", "marker", "slots.blue.backend", "slots.blue.url", "slots.blue.role_name"):
        assert any(
            line.startswith(f"services.basket.{name}:") and f"services.checkout.{name} uses it already" in line
            for line in said
        ), (name, said)


def test_names_may_repeat_behind_another_gateway_and_workspace() -> None:
    """Two regions are two gateways: their pools may be called the same."""
    other = trees.service(
        api_management=trees.APIM.replace("gateway", "gateway2"),
        workspace="99999999-2222-3333-4444-555555555555",
    )
    for slot in ("blue", "green"):
        other["slots"][slot]["url"] = f"https://other-{slot}.azurewebsites.net"
    assert set(parse({"services": {"checkout": trees.service(), "other": other}}).services) == {"checkout", "other"}


def test_at_most_twenty_indicators(refusal: Refusal) -> None:
    """Each indicator takes its part of alpha."""
    many = {f"slo-{n}": {"slower_than": f"{n + 1}s", "points": 1, "ratio": 1} for n in range(18)}
    assert any("at most 20" in line for line in refusal(trees.spoiled("indicators", many)))


@pytest.mark.parametrize(
    "tree", [None, 5, "services", [], [{"services": {}}], {}, {"services": None}, {"services": []}]
)
def test_a_file_of_another_shape_is_refused(refusal: Refusal, tree: object) -> None:
    """Whatever is no mapping of services says what is expected."""
    assert refusal(tree)


@pytest.mark.parametrize("name", ["Checkout", "", "1st", "a b", "-x", "x" * 51, "a/b", 7, None])
def test_a_service_name_that_cannot_be_a_key_is_refused(refusal: Refusal, name: object) -> None:
    """Names of services are keys of records and parts of addresses."""
    assert any("lower-case letter" in line for line in refusal({"services": {name: trees.service()}}))
