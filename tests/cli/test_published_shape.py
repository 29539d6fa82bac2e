"""What `canary doctor` asks of function apps is published, and so is every answer of the stand-in.

Source: Azure REST API specifications (github.com/Azure/azure-rest-api-specs, MIT licence), Microsoft.Web 2024-04-01,
WebApps.json and CommonDefinitions.json: WebApps_Get, WebApps_ListFunctions, WebApps_ListApplicationSettings; the part
that is read, as JSON Schema. The requests to API Management are validated in tests/shifting.
"""

import re
import time
from typing import Any

import pytest
from azure.identity import ManagedIdentityCredential
from jsonschema import Draft202012Validator

from cli.resources import Resources
from lab.arm import Arm
from lab.serving import Serving
from lab.tokens import Tokens
from lab.web_apps import HTTP, WebApp
from rollouts.errors import CanaryError
from tests.recording import Exchange, recorded

SITE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.Web/sites/checkout-blue"
VERSION = "2024-04-01"
TEXT = {"type": "string", "minLength": 1}


def resource(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """A ProxyOnlyResource of this type."""
    return {
        "type": "object",
        "required": ["id", "type", "properties"],
        "properties": {"id": TEXT, "name": TEXT, "kind": TEXT, "type": {"const": kind}, "properties": properties},
        "additionalProperties": False,
    }


FUNCTION = {
    "type": "object",
    "properties": {
        "config": {"type": "object"},  # any JSON: function.json, as the host made it
        "files": {"type": "object"},
        "isDisabled": {"type": "boolean"},
        "language": {"type": "string"},
        "invoke_url_template": {"type": "string"},
        "name": {"type": "string"},  # not in the definition; the service sends it
    },
    "additionalProperties": False,
}
RUNTIME = {
    "type": "object",
    "properties": {
        "name": {"enum": ["dotnet-isolated", "node", "java", "powershell", "python", "custom"]},
        "version": TEXT,
    },
}
FLEX = {
    "type": ["object", "null"],
    "properties": {
        "deployment": {"type": "object"},
        "runtime": RUNTIME,
        "scaleAndConcurrency": {"type": "object", "properties": {"instanceMemoryMB": {"type": "integer"}}},
    },
    "additionalProperties": False,
}
SHOWN = {"type": "object", "properties": {"state": TEXT, "sku": TEXT, "functionAppConfig": FLEX}}
ANSWERS: dict[tuple[str, str], dict[str, Any]] = {
    ("GET", ""): {
        "type": "object",
        "required": ["id", "name", "type", "location", "properties"],
        "properties": {"type": {"const": "Microsoft.Web/sites"}, "location": TEXT, "properties": SHOWN},
    },
    ("GET", "/functions"): {
        "type": "object",
        "required": ["value"],
        "properties": {
            "value": {"type": "array", "items": resource("Microsoft.Web/sites/functions", FUNCTION)},
            "nextLink": {"type": ["string", "null"]},
        },
        "additionalProperties": False,
    },
    ("POST", "/config/appsettings/list"): resource(
        "Microsoft.Web/sites/config", {"type": "object", "additionalProperties": {"type": "string"}}
    ),
}
ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {"type": "object", "required": ["code", "message"], "properties": {"code": TEXT, "message": TEXT}}
    },
}


def problems(one: Exchange) -> list[str]:
    """What about an exchange is not as published."""
    path = re.fullmatch(r"/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Web/sites/[^/]+(.*)", one.path)
    schema = ANSWERS.get((one.method, path[1])) if path else None
    if schema is None:
        return [f"{one.method} {one.path} is no published operation"]
    found = [] if one.query.get("api-version") == VERSION else [f"api-version {one.query.get('api-version')}"]
    found += [] if one.headers.get("authorization") == "Bearer" else ["no bearer token"]
    found += [] if one.body is None else ["a body"]
    answer = schema if one.status == 200 else ERROR
    return found + [
        f"{error.json_path}: {error.message}" for error in Draft202012Validator(answer).iter_errors(one.answer)
    ]


@pytest.fixture
def exchanges(secure: Serving, identity: Tokens) -> tuple[Arm, Resources, list[Exchange]]:
    arm = Arm()
    app = arm.app()
    kept = recorded(app)
    return arm, Resources(secure.serve(app), ManagedIdentityCredential, time.time), kept


@pytest.mark.parametrize("sku", [None, "FlexConsumption"])
@pytest.mark.parametrize("flex", [True, False])
def test_what_is_read_of_a_site_is_published(
    exchanges: tuple[Arm, Resources, list[Exchange]], flex: bool, sku: str | None
) -> None:
    arm, resources, kept = exchanges
    triggers = {"pay": "queueTrigger", "hello": HTTP, "sweep": "timerTrigger"}
    arm.web_apps.site(SITE, WebApp(flex=flex, sku=sku, page=2, functions=triggers, settings={"SLOT_NAME": "blue"}))
    assert resources.site(SITE).flex is (flex or sku is not None)
    assert resources.triggers(SITE) == triggers
    assert resources.settings(SITE) == {"SLOT_NAME": "blue"}
    assert [line for one in kept for line in problems(one)] == []
    assert {(one.method, one.path.removeprefix(SITE)) for one in kept} == set(ANSWERS)
    assert len(kept) == 4  # functions come on two pages


def test_a_site_that_is_not_there_is_said_as_published(exchanges: tuple[Arm, Resources, list[Exchange]]) -> None:
    _, resources, kept = exchanges
    for read in (resources.site, resources.triggers, resources.settings):
        with pytest.raises(CanaryError, match="404"):
            read(SITE)
    assert [line for one in kept for line in problems(one)] == []


def test_the_check_sees_what_is_wrong(exchanges: tuple[Arm, Resources, list[Exchange]]) -> None:
    arm, resources, kept = exchanges
    arm.web_apps.site(SITE)
    resources.site(SITE)
    (one,) = kept
    assert problems(one) == []
    one.query["api-version"] = "2015-08-01"
    one.answer["properties"]["functionAppConfig"]["runtime"]["name"] = "snake"
    del one.answer["location"]
    assert len(problems(one)) == 3
