"""Every request to ARM is one of the published REST definition's, and so is every answer of the stand-in.

Requests: method, path, api-version, If-Match, body. Answers: body, ETag, the URLs of a long-running operation.
"""

import json
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from cli.resources import Resources
from lab.arm import Arm, Break, Fault, Operations
from rollouts.errors import Conflict, Misconfigured, Unavailable
from rollouts.observation import Slot, Weights
from tests.recording import recorded
from tests.shifting.conftest import SERVICE, Time, World

PINNED = json.loads((Path(__file__).parent / "rest_2024_05_01.json").read_text())
VERSION = "2024-05-01"
OPERATION = "/tenant/operationResults/"
UNASKED = {"operation"}  # what Azure-AsyncOperation names: Location is asked where both are given


@pytest.fixture
def exchanges(serving, identity):
    """The adapters under test, and what went over the wire."""
    time = Time()
    arm = Arm(operation_seconds=0.5, now=time.now)
    app = arm.app()
    kept = recorded(app)
    for name in ("blue-backend", "green-backend"):
        arm.backend(SERVICE, name)
    arm.pool(SERVICE, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(SERVICE, "current-slot-name", "blue")
    return World(arm, serving.serve(app), time), kept


def operation(one):
    """The published operation that this request is; None = it is none."""
    for name, published in PINNED["operations"].items():
        template = re.escape(PINNED["service"] + published["path"]).replace(r"\{", "{").replace(r"\}", "}")
        if published["method"] == one.method and re.fullmatch(re.sub("{[^}]+}", "[^/]+", template), one.path):
            return name
    return None


def wrong(schema, value):
    """What about a value is not as the schema of this name says; None is the schema of no body."""
    if schema is None:
        return [] if value is None else ["a body"]
    validator = Draft202012Validator({"$ref": f"#/$defs/{schema}", "$defs": PINNED["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(value)]


def problems(one):
    """What about an exchange is not as published."""
    name = operation(one)
    if name is None:
        return [f"{one.method} {one.path} is no published operation"]
    published = PINNED["operations"][name]
    found = [] if one.query.get("api-version") == VERSION else [f"api-version {one.query.get('api-version')}"]
    found += [] if one.headers.get("authorization") == "Bearer" else ["no bearer token"]
    if ("if-match" in one.headers) != published.get("if_match", False):
        found.append(f"If-Match {one.headers.get('if-match')}")
    if "body" in published and one.content_type != "application/json":
        found.append(f"content type {one.content_type!r}")
    return found + wrong(published.get("body"), one.body) + answered(one, published)


def answered(one, published):
    """What about the answer is not as published."""
    status = str(one.status)
    found = [] if one.answer_headers.get("etag") or status not in published.get("etag", ()) else ["no ETag"]
    if status in published.get("location", ()):
        location = rf"https://[^/]+{re.escape(one.path)}\?api-version={VERSION}&asyncId=\w+&asyncCode=200"
        found += [] if re.fullmatch(location, one.answer_headers["location"]) else [one.answer_headers["location"]]
        watched = one.answer_headers.get("azure-asyncoperation")
        service = one.path.partition("/namedValues/")[0]
        found += [] if watched is None or f"{service}{OPERATION}" in watched else [watched]
    return found + wrong(published["answers"].get(status, "error"), one.answer)


def test_every_request_of_a_rollout_is_a_published_one(exchanges):
    world, kept = exchanges
    pool = world.read()
    for share in (10, 50, 100, 0):
        pool = world.write(Weights.of(Slot.GREEN, share), pool.etag)
    marker = world.read_marker()
    for operations, live in zip(Operations, (Slot.GREEN, Slot.BLUE) * 2, strict=True):
        world.arm.operations = operations
        marker = world.write_marker(live, marker.etag)
    assert Resources(world.url, world.clients()._credential, world.time.now).tier(SERVICE) == "Developer"
    assert [line for one in kept for line in problems(one)] == []
    assert {operation(one) for one in kept} == set(PINNED["operations"]) - UNASKED


@pytest.mark.parametrize(
    "fault",
    [
        Fault(Break.STATUS, status=403, code="AuthorizationFailed"),
        Fault(Break.STATUS_AFTER, status=500, code="InternalServerError"),
        Fault(Break.OPERATION),
        Fault(Break.MEDDLE),
    ],
    ids=lambda fault: fault.kind,
)
def test_what_goes_wrong_is_asked_and_said_as_published(exchanges, fault):
    world, kept = exchanges
    (pool, marker) = (world.read(), world.read_marker())
    for operations in Operations:
        world.arm.operations = operations
        for method in ("PUT", "PATCH"):
            world.arm.break_with(replace(fault, method=method))
        with suppress(Conflict, Misconfigured, Unavailable):
            world.write(Weights.of(Slot.GREEN, 10), pool.etag)
        with suppress(Conflict, Misconfigured, Unavailable):
            world.write_marker(Slot.GREEN, marker.etag)
        world.arm.mend()
    assert any(one.status >= 400 or (one.answer or {}).get("status") == "Failed" for one in kept)
    assert [line for one in kept for line in problems(one)] == []


def test_what_is_not_there_is_said_as_published(exchanges):
    world, kept = exchanges
    world.arm.delete(world.marker_id)
    world.arm.delete(world.pool_id)
    for read in (world.read, world.read_marker):
        with pytest.raises(Misconfigured, match="404"):
            read()
    assert {one.status for one in kept} == {404}
    assert [line for one in kept for line in problems(one)] == []


def test_the_check_sees_what_is_wrong(exchanges):
    world, kept = exchanges
    world.write(Weights.of(Slot.GREEN, 10), world.read().etag)
    (put,) = (one for one in kept if one.method == "PUT")
    assert problems(put) == []
    put.query["api-version"] = "2022-08-01"
    del put.headers["if-match"], put.answer_headers["etag"]
    put.body["properties"]["pool"]["services"][0]["weight"] = 101
    put.body["properties"]["url"] = "https://blue.example"
    put.answer["properties"]["weights"] = [10, 90]
    assert len(problems(put)) == 6


@pytest.mark.parametrize("name", [name for name in PINNED["operations"] if name != "operation"])
def test_the_pinned_definition_is_the_sdks(name):
    from azure.mgmt.apimanagement.operations import _api_management_service_operations as services
    from azure.mgmt.apimanagement.operations import _backend_operations as backends
    from azure.mgmt.apimanagement.operations import _named_value_operations as named_values

    builders = {
        "ApiManagementService_Get": services.build_get_request,
        "Backend_Get": backends.build_get_request,
        "Backend_CreateOrUpdate": backends.build_create_or_update_request,
        "NamedValue_Get": named_values.build_get_request,
        "NamedValue_Update": named_values.build_update_request,
    }
    words = {"resource_group_name": "rg", "service_name": "apim", "subscription_id": "sub"}
    words |= {"backend_id": "one"} if name.startswith("Backend") else {}
    words |= {"named_value_id": "one"} if name.startswith("Named") else {}
    words |= {"if_match": "tag"} if PINNED["operations"][name].get("if_match") else {}
    request = builders[name](**words)
    published = PINNED["operations"][name]
    filled = {"subscriptionId": "sub", "resourceGroupName": "rg", "serviceName": "apim"}
    path = (PINNED["service"] + published["path"]).format(**filled, backendId="one", namedValueId="one")
    assert (request.method, request.url) == (published["method"], f"{path}?api-version=2024-05-01")
