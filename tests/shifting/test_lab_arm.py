"""The lab's ARM and identity are no friendlier than the published ones: what they should refuse, they refuse."""

import time

import pytest
import requests

from lab import tokens
from lab.arm import AUDIENCE, Arm, Break, Fault, Operations

VERSION = "api-version=2024-05-01"


def bearer(audience=AUDIENCE, expires=None):
    made = tokens.make(audience, expires=int(time.time()) + 600 if expires is None else expires)
    return {"Authorization": f"Bearer {made}"}


def ask(world, method, path, *, query=VERSION, headers=None, **words):
    given = bearer() | (headers or {})
    return requests.request(method, f"{world.url}{path}?{query}", headers=given, timeout=5, **words)


def code(response):
    return response.status_code, response.json()["error"]["code"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": ""},
        {"Authorization": "Bearer x"},
        {"Authorization": "Bearer a.b.c"},
        {"Authorization": "Basic bWU6d29yZA=="},
        bearer("https://storage.azure.com"),
        bearer(expires=1),
    ],
)
def test_a_token_that_is_not_for_it_is_401(world, headers):
    answer = ask(world, "GET", world.pool_id, headers=headers)
    assert code(answer) == (401, "AuthenticationFailed")
    assert "WWW-Authenticate" in answer.headers


@pytest.mark.parametrize("query", ["", "api-version=2019-01-01"])
def test_an_api_version_is_required_and_known(world, query):
    assert ask(world, "GET", world.pool_id, query=query).status_code == 400


def test_paths_are_not_case_sensitive(world):
    assert ask(world, "GET", world.pool_id.upper()).json()["id"] == world.pool_id


def test_a_pools_get_shows_null_url_and_protocol_and_an_etag(world):
    answer = ask(world, "GET", world.pool_id)
    properties = answer.json()["properties"]
    assert (properties["url"], properties["protocol"], properties["title"]) == (None, None, None)
    assert answer.headers["ETag"] == ask(world, "HEAD", world.pool_id).headers["ETag"]


def put(world, properties, etag=None, path=None):
    headers = {"If-Match": etag} if etag else {}
    return ask(world, "PUT", path or world.pool_id, headers=headers, json={"properties": properties})


def test_an_update_without_or_with_a_stale_if_match_is_refused(world):
    properties = world.arm.properties(world.pool_id)
    assert put(world, properties).status_code == 400
    assert code(put(world, properties, '"old"')) == (412, "PreconditionFailed")
    assert put(world, properties, world.arm.etag(world.pool_id)).status_code == 200
    assert put(world, properties, "*").status_code == 200


def test_a_put_forgets_what_it_leaves_out_and_changes_the_etag(world):
    world.arm.set_properties(world.pool_id, world.arm.properties(world.pool_id) | {"azureRegion": "westeurope"})
    before = world.arm.etag(world.pool_id)
    bare = {key: value for key, value in world.arm.properties(world.pool_id).items() if key != "azureRegion"}
    put(world, bare, before)
    assert "azureRegion" not in world.arm.properties(world.pool_id)
    assert world.arm.etag(world.pool_id) != before


def changed(world, **member):
    properties = world.arm.properties(world.pool_id)
    properties["pool"]["services"][0] |= member
    return properties


@pytest.mark.parametrize(
    "member",
    [{"weight": 101}, {"weight": -1}, {"weight": 1.5}, {"weight": "9"}, {"priority": 200}, {"id": "blue-backend"}],
)
def test_a_pools_members_are_checked(world, member):
    assert code(put(world, changed(world, **member), "*")) == (400, "ValidationError")


def test_a_pool_takes_no_url_no_pool_and_no_empty_list(world):
    properties = world.arm.properties(world.pool_id)
    assert code(put(world, properties | {"url": "https://x.example"}, "*"))[0] == 400
    assert code(put(world, changed(world, id=world.pool_id), "*"))[0] == 400
    assert code(put(world, {"type": "Pool", "pool": {"services": []}}, "*"))[0] == 400


@pytest.mark.parametrize("body", ["", "[]", "{", '{"properties": 3}'])
def test_a_body_that_is_none_is_400(world, body):
    assert ask(world, "PUT", world.pool_id, headers={"If-Match": "*"}, data=body).status_code == 400


def test_a_named_values_put_names_its_operation_and_applies_at_its_end(world):
    answer = ask(
        world,
        "PUT",
        world.marker_id,
        headers={"If-Match": "*"},
        json={"properties": {"displayName": "current-slot-name", "value": "green"}},
    )
    assert answer.status_code == 201
    assert world.arm.value(world.marker_id) == "blue"
    status = answer.headers["Azure-AsyncOperation"]
    assert requests.get(status, headers=bearer(), timeout=5).json()["status"] == "InProgress"
    world.time.sleep(1)
    assert requests.get(status, headers=bearer(), timeout=5).json()["status"] == "Succeeded"
    assert world.arm.value(world.marker_id) == "green"


def test_a_secrets_value_is_not_in_its_get(world):
    world.arm.named_value(world.service, "key", "hush-hush", secret=True)
    assert "hush-hush" not in ask(world, "GET", f"{world.service}/namedValues/key").text


def test_an_unknown_resource_type_method_or_operation_is_refused(world):
    assert ask(world, "GET", f"{world.service}/gateways/one").status_code == 404
    assert ask(world, "GET", f"{world.service}/tenant/operationResults/none").status_code == 404
    assert ask(world, "DELETE", world.pool_id).status_code == 405


def test_the_log_holds_requests_and_never_a_token(world):
    put(world, world.arm.properties(world.pool_id), "*")
    (request,) = world.arm.requests("PUT", "green-blue-pool")
    assert (request.api_version, request.if_match, request.status) == ("2024-05-01", "*", 200)
    assert "Bearer" not in repr(world.arm.requests())


def test_a_fault_acts_on_its_method_and_path_as_often_as_told(world):
    world.arm.break_with(Fault(Break.STATUS, "GET", "backends", times=2, status=503))
    assert ask(world, "GET", world.marker_id).status_code == 200
    assert [ask(world, "GET", world.pool_id).status_code for _ in range(3)] == [503, 503, 200]


def test_a_fault_lasts_until_it_is_mended(world):
    kept = world.arm.break_with(Fault(Break.STATUS, "GET", "namedValues", status=500))
    gone = world.arm.break_with(Fault(Break.STATUS, "GET", "backends", status=503))
    assert ask(world, "GET", world.pool_id).status_code == 503
    world.arm.mend(gone)
    assert ask(world, "GET", world.pool_id).status_code == 200
    assert ask(world, "GET", world.marker_id).status_code == 500
    world.arm.mend(kept)
    assert ask(world, "GET", world.marker_id).status_code == 200


def test_a_person_sets_weights_and_the_etag_changes(world):
    before = world.arm.etag(world.pool_id)
    world.arm.set_weights(world.pool_id, {"green-backend": 30})
    assert world.arm.weights(world.pool_id) == {"blue-backend": 100, "green-backend": 30}
    assert world.arm.etag(world.pool_id) != before


def test_the_default_arm_runs_on_the_machines_clock():
    arm = Arm()
    assert (arm.operations, arm.operation_seconds) == (Operations.MET, 0.05)


@pytest.mark.parametrize(
    ("header", "query", "status"),
    [
        ("right", "api-version=2019-08-01&resource=https://management.azure.com", 200),
        ("wrong", "api-version=2019-08-01&resource=https://management.azure.com", 401),
        ("right", "api-version=2019-08-01", 400),
        ("right", "resource=https://management.azure.com", 400),
    ],
)
def test_the_identity_endpoint_checks_header_version_and_resource(serving, header, query, status):
    identity = tokens.Tokens()
    url = identity.environment(serving.serve(identity.app(), tls=False))["IDENTITY_ENDPOINT"]
    sent = {"X-IDENTITY-HEADER": identity.header if header == "right" else "wrong"}
    answer = requests.get(f"{url}?{query}", headers=sent, timeout=5)
    assert answer.status_code == status
    if status == 200:
        assert tokens.wrong(f"Bearer {answer.json()['access_token']}", AUDIENCE) is None
        assert answer.json()["access_token"].count(".") == 2
        assert int(answer.json()["expires_on"]) > time.time()
