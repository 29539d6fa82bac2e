"""Every query that is sent is the published REST definition's, and so is every answer of the stand-in.

Source: Azure REST API specifications (github.com/Azure/azure-rest-api-specs, MIT licence), specification/
operationalinsights/data-plane, Microsoft.OperationalInsights v1, OperationalInsights.json, operation Query_Post:
the part that Flex Canary uses, as JSON Schema. Cells of a row are JSON values of the column's type; the definition
calls them strings, the service's documentation shows numbers and booleans. `Prefer` is from that documentation, too.
"""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from analyzers.app_insights import AppInsights
from lab.log_analytics import Ingestion, LogAnalytics
from lab.serving import Authority, Serving
from rollouts.observation import Failed
from tests.recording import Exchange, recorded
from tests.telemetry.conftest import START, WORKSPACE, Credential, World
from tests.telemetry.test_own_query import DECLINED

PATH = r"/v1/workspaces/[^/]+/query"
QUESTION = {
    "type": "object",
    "required": ["query"],
    "properties": {
        "query": {"type": "string", "minLength": 1},
        "timespan": {"type": ["string", "null"], "pattern": r"^\d{4}-\d\d-\d\dT[^/]+/\d{4}-\d\d-\d\dT"},
        "workspaces": {"type": ["array", "null"], "items": {"type": "string"}},
    },
    "additionalProperties": False,
}
COLUMN = {
    "type": "object",
    "required": ["name", "type"],
    "properties": {"name": {"type": "string"}, "type": {"enum": ["string", "long", "int", "real", "bool", "datetime"]}},
}
ANSWER = {
    "type": "object",
    "required": ["tables"],
    "properties": {
        "tables": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["name", "columns", "rows"],
                "properties": {
                    "name": {"type": "string"},
                    "columns": {"type": "array", "items": COLUMN},
                    "rows": {"type": "array", "items": {"type": "array"}},
                },
            },
        }
    },
}
ERROR: dict[str, Any] = {
    "$defs": {
        "info": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "details": {"type": "array"},
                "innererror": {"$ref": "#/$defs/info"},
            },
        }
    },
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"$ref": "#/$defs/info"}},
}


def problems(one: Exchange) -> list[str]:
    """What about an exchange is not as published."""
    found = [] if one.method == "POST" and re.fullmatch(PATH, one.path) else [f"{one.method} {one.path}"]
    found += [f"query parameter {name}" for name in one.query]
    found += [] if one.headers.get("authorization") == "Bearer" else ["no bearer token"]
    wishes = one.headers.get("prefer", "").split(",")
    found += [f"Prefer: {wish}" for wish in wishes if not re.fullmatch(r"wait=\d+|include-\w+=true", wish)]
    found += [] if one.content_type.startswith("application/json") else [f"content type {one.content_type!r}"]
    found += [error.message for error in Draft202012Validator(QUESTION).iter_errors(one.body)]
    answer = ANSWER if one.status == 200 else ERROR
    return found + [error.message for error in Draft202012Validator(answer).iter_errors(one.answer)]


@pytest.fixture
def exchanges(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[World, list[Exchange]]]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    clock = [float(START)]
    no_delay = Ingestion(delay_seconds=0, jitter_seconds=0)
    logs = LogAnalytics(lambda: clock[0], workspaces=[WORKSPACE], ingestion=no_delay)
    app = logs.application()
    kept = recorded(app)
    with Serving(authority) as serving:
        yield World(serving.serve(app), logs, clock), kept


def test_every_query_of_a_rollout_is_a_published_one(exchanges: tuple[World, list[Exchange]]) -> None:
    world, kept = exchanges
    world.add("shop-green", 10, times=3, ItemCount=2)
    world.add("shop-blue", 70, times=2, DurationMs=900.0)
    own = world.own(DECLINED)
    indicators = (world.failures, world.rejected, world.slower, world.p95)
    plain = world.scope(indicators=indicators, thresholds_ms={"p95": 100.0}, instances={"shop-blue-1": START - 600})
    world.look(plain, world.scope(rollout="r2"))
    world.look(world.scope(rollout="r3", indicators=(world.failures, own)))
    world.source.quantiles(WORKSPACE, plain, [0.5, 0.95])
    assert len(kept) >= 4
    assert [line for one in kept for line in problems(one)] == []


@pytest.mark.parametrize(
    ("fault", "status"),
    [({"forbidden": True}, 403), ({"throttle": 9}, 429), ({"outage": True}, 503), ({"timeout": True}, 504)],
)
def test_what_goes_wrong_is_said_as_published(
    exchanges: tuple[World, list[Exchange]], fault: dict[str, Any], status: int
) -> None:
    world, kept = exchanges
    for name, value in fault.items():
        setattr(world.logs.faults, name, value)
    assert isinstance(world.look(world.scope())["r1"], Failed)
    assert {one.status for one in kept} == {status}
    assert [line for one in kept for line in problems(one)] == []


def test_an_unknown_workspace_and_a_wrong_column_are_said_as_published(
    exchanges: tuple[World, list[Exchange]],
) -> None:
    world, kept = exchanges
    world.source.counts("another", [world.scope()], START + 3600)
    world.logs.faults.semantic = "AppRequests"
    world.look(world.scope())
    assert {one.status for one in kept} == {404, 400}
    assert [line for one in kept for line in problems(one)] == []


def test_the_check_sees_what_is_wrong(exchanges: tuple[World, list[Exchange]]) -> None:
    world, kept = exchanges
    source = AppInsights(f"{world.url}/v2", Credential, sleep=lambda _seconds: None)
    world.look(world.scope())
    (good,) = kept
    assert problems(good) == []
    good.body["retries"] = 3
    good.answer["tables"][0]["columns"][0]["type"] = "varchar"
    assert len(problems(good)) == 2
    assert isinstance(source.counts(WORKSPACE, [world.scope()], START + 3600)["r1"], Failed)
