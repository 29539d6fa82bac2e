"""The marker is blue or green, is written as a long-running operation, and is read back."""

import pytest

from lab.arm import Break, Fault, Operations
from rollouts.errors import Conflict, Misconfigured, Unavailable
from rollouts.observation import Slot


def patches(world):
    return world.arm.requests("PATCH")


def test_the_live_slot_and_the_etag_are_read(world):
    reading = world.read_marker()
    assert (reading.live, reading.etag) == (Slot.BLUE, world.arm.etag(world.marker_id))
    (request,) = world.arm.requests()
    assert (request.method, request.path, request.api_version) == ("GET", world.marker_id, "2024-05-01")


@pytest.mark.parametrize("value", ["Blue", "GREEN", "red", "", "blue ", "@(context.Slot)"])
def test_any_other_value_is_misconfigured_and_shown(world, value):
    world.arm.set_value(world.marker_id, value)
    with pytest.raises(Misconfigured) as caught:
        world.read_marker()
    assert f"holds {value!r}" in str(caught.value)
    assert "exactly 'blue' or 'green', in lower case" in str(caught.value)


def test_a_long_value_is_not_shown_whole(world):
    world.arm.set_value(world.marker_id, "x" * 4096)
    with pytest.raises(Misconfigured) as caught:
        world.read_marker()
    assert len(str(caught.value)) < 300


def test_a_secret_is_misconfigured_and_its_value_not_shown(world):
    world.arm.set_properties(world.marker_id, {"displayName": "m", "secret": True, "value": "hush-hush"})
    with pytest.raises(Misconfigured, match="it is a secret") as caught:
        world.read_marker()
    assert "hush-hush" not in str(caught.value)


@pytest.mark.parametrize("properties", [{}, {"value": None}, {"value": ["blue"]}, {"value": {"is": "blue"}}])
def test_a_malformed_marker_is_misconfigured(world, properties):
    world.arm.set_properties(world.marker_id, properties)
    with pytest.raises(Misconfigured, match="current-slot-name"):
        world.read_marker()


@pytest.mark.parametrize(
    ("operations", "answered"), [(Operations.ASYNC, 202), (Operations.LOCATION, 202), (Operations.MET, 200)]
)
def test_a_write_patches_the_value_alone_waits_and_reads_back(world, operations, answered):
    before = world.arm.etag(world.marker_id)
    world.arm.operations = operations
    world.arm.operation_seconds = 1.5
    reading = world.write_marker(Slot.GREEN, before)
    assert (reading.live, reading.etag) == (Slot.GREEN, world.arm.etag(world.marker_id))
    (patch,) = patches(world)
    assert (patch.path, patch.api_version, patch.if_match) == (world.marker_id, "2024-05-01", before)
    assert patch.body == {"properties": {"value": "green"}}
    assert patch.status == answered
    assert [poll.status for poll in world.arm.requests("GET", world.marker_id)] == [202, 202, 200, 200]
    assert world.time.slept == [1.0, 1.0]
    assert world.arm.requests()[-1].path == world.marker_id


def test_a_write_that_is_answered_at_once_needs_no_waiting(world):
    world.arm.operations = Operations.AT_ONCE
    assert world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id)).live is Slot.GREEN
    assert [request.method for request in world.arm.requests()] == ["PATCH", "GET"]
    assert world.time.slept == []


def test_other_fields_of_the_named_value_survive(world):
    held = {"displayName": "current-slot-name", "value": "blue", "tags": ["canary"], "newer": {"field": 1}}
    world.arm.set_properties(world.marker_id, held)
    world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id))
    assert world.arm.properties(world.marker_id) == held | {"value": "green"}


@pytest.mark.parametrize("operations", [Operations.ASYNC, Operations.LOCATION, Operations.MET])
def test_an_operation_that_fails_is_unavailable_and_not_repeated(world, operations):
    world.arm.operations = operations
    world.arm.break_with(Fault(Break.OPERATION, "PATCH"))
    with pytest.raises(Unavailable, match="OperationFailed"):
        world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id))
    assert len(patches(world)) == 1
    assert world.arm.value(world.marker_id) == "blue"


def test_an_operation_that_never_ends_is_given_up_within_the_limit(world):
    world.arm.break_with(Fault(Break.STUCK, "PATCH"))
    with pytest.raises(Unavailable, match="still runs after 30 s"):
        world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id))
    assert sum(world.time.slept) == 30
    assert len(patches(world)) == 1


def test_a_stale_etag_is_a_conflict(world):
    stale = world.arm.etag(world.marker_id)
    world.arm.set_properties(world.marker_id, world.arm.properties(world.marker_id) | {"tags": ["new"]})
    with pytest.raises(Conflict, match="current-slot-name"):
        world.write_marker(Slot.GREEN, stale)
    assert world.arm.value(world.marker_id) == "blue"


def test_a_412_whose_value_is_ours_is_our_own_write(world):
    stale = world.arm.etag(world.marker_id)
    world.arm.set_value(world.marker_id, "green")
    assert world.write_marker(Slot.GREEN, stale).live is Slot.GREEN


@pytest.mark.parametrize("kind", [Break.STATUS, Break.DROP, Break.HANG])
def test_a_write_that_was_not_accepted_is_sent_again(world, kind):
    world.arm.break_with(Fault(kind, "PATCH", times=1, seconds=2))
    reading = world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id), timeout_seconds=0.3)
    assert reading.live is Slot.GREEN
    assert len(patches(world)) == 2


@pytest.mark.parametrize("kind", [Break.STATUS_AFTER, Break.DROP_AFTER, Break.HANG_AFTER])
def test_a_write_that_was_applied_without_an_answer_is_found(world, kind):
    world.arm.operation_seconds = 0.0
    world.arm.break_with(Fault(kind, "PATCH", times=1, seconds=2))
    reading = world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id), timeout_seconds=0.3)
    assert reading.live is Slot.GREEN
    assert len(patches(world)) == 1


def test_a_poll_that_fails_ends_in_looking_at_the_marker_itself(world):
    world.arm.operation_seconds = 0.0
    world.arm.break_with(Fault(Break.STATUS, "GET", "&asyncId=", times=1, status=500))
    assert world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id)).live is Slot.GREEN
    assert len(patches(world)) == 1


def test_a_poll_that_is_forbidden_names_its_own_action(world):
    world.arm.break_with(Fault(Break.STATUS, "GET", "&asyncId=", status=403, code="AuthorizationFailed"))
    with pytest.raises(Unavailable, match=r"accepted.*/operationresults/read and .*/tenant/operationResults/read"):
        world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id))


def test_403_names_the_action_and_the_role(world):
    world.arm.break_with(Fault(Break.STATUS, "PATCH", status=403, code="AuthorizationFailed"))
    with pytest.raises(Misconfigured) as caught:
        world.write_marker(Slot.GREEN, world.arm.etag(world.marker_id))
    assert "Microsoft.ApiManagement/service/namedValues/write" in str(caught.value)
    assert "custom role" in str(caught.value)


def test_a_marker_that_is_not_there_names_the_policys_key(world):
    world.arm.delete(world.marker_id)
    with pytest.raises(Misconfigured, match=r"404.*`marker`"):
        world.read_marker()
