"""Every request that is sent is one of the published REST definition's, in method, path, api-version and body."""

import json
import re
from pathlib import Path

import pytest

from rollouts.observation import Slot, Weights

PINNED = json.loads((Path(__file__).parent / "rest_2024_05_01.json").read_text())
KINDS = {
    "string": lambda value: isinstance(value, str) and value,
    "string or null": lambda value: value is None or isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "strings": lambda value: isinstance(value, list) and all(isinstance(item, str) for item in value),
    "0..100 or null": lambda value: value is None or (type(value) is int and 0 <= value <= 100),
    "arm id": lambda value: isinstance(value, str) and value.startswith("/subscriptions/"),
}


def operation(request):
    """The published operation that this request is; None = it is none."""
    for name, published in PINNED["operations"].items():
        template = re.escape(PINNED["service"] + published["path"]).replace(r"\{", "{").replace(r"\}", "}")
        if published["method"] == request.method and re.fullmatch(re.sub("{[^}]+}", "[^/]+", template), request.path):
            return name
    return None


def problems(request):
    """What about the request is not as published."""
    name = operation(request)
    if name is None:
        return [f"{request.method} {request.path} is no published operation"]
    published = PINNED["operations"][name]
    found = [] if request.api_version == "2024-05-01" else [f"api-version {request.api_version}"]
    if bool(request.if_match) != published.get("if_match", False):
        found.append(f"If-Match {request.if_match}")
    if "body" in published:
        found += [f"top level field {key}" for key in request.body if key != "properties"]
        found += wrong("properties", request.body.get("properties"), published["body"]["properties"])
    elif request.body is not None:
        found.append("a body")
    return found


def wrong(where, value, fields):
    if not isinstance(value, dict):
        return [f"{where} is no object"]
    found = [f"{where}.{key} is unknown" for key in value if key not in fields]
    for key, field in fields.items():
        place = f"{where}.{key}"
        if key not in value:
            found += [f"{place} is missing"] if field.get("required") else []
        elif "fields" in field:
            found += wrong(place, value[key], field["fields"])
        elif "items" in field:
            short = not isinstance(value[key], list) or len(value[key]) < field["least"]
            found += [f"{place} is too short"] if short else []
            found += [line for item in value[key] for line in wrong(place, item, field["items"])]
        elif not (value[key] in field["one_of"] if "one_of" in field else KINDS[field["type"]](value[key])):
            found.append(f"{place} is {value[key]!r}")
    return found


def test_every_request_of_a_rollout_is_a_published_one(world):
    pool = world.read()
    for share in (10, 50, 100, 0):
        pool = world.write(Weights.of(Slot.GREEN, share), pool.etag)
    marker = world.read_marker()
    marker = world.write_marker(Slot.GREEN, marker.etag)
    world.write_marker(Slot.BLUE, marker.etag)
    requests = [request for request in world.arm.requests() if "/operation" not in request.path]
    assert [line for request in requests for line in problems(request)] == []
    assert {operation(request) for request in requests} == set(PINNED["operations"])


@pytest.mark.parametrize("name", PINNED["operations"])
def test_the_pinned_definition_is_the_sdks(name):
    from azure.mgmt.apimanagement.operations import _backend_operations as backends
    from azure.mgmt.apimanagement.operations import _named_value_operations as named_values

    builders = {
        "Backend_Get": backends.build_get_request,
        "Backend_CreateOrUpdate": backends.build_create_or_update_request,
        "NamedValue_Get": named_values.build_get_request,
        "NamedValue_Update": named_values.build_update_request,
    }
    words = {"resource_group_name": "rg", "service_name": "apim", "subscription_id": "sub"}
    words["backend_id" if name.startswith("Backend") else "named_value_id"] = "one"
    words |= {"if_match": "tag"} if PINNED["operations"][name].get("if_match") else {}
    request = builders[name](**words)
    published = PINNED["operations"][name]
    filled = {"subscriptionId": "sub", "resourceGroupName": "rg", "serviceName": "apim"}
    path = (PINNED["service"] + published["path"]).format(**filled, backendId="one", namedValueId="one")
    assert (request.method, request.url) == (published["method"], f"{path}?api-version=2024-05-01")
