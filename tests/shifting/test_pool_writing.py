"""Weights are written under If-Match, survive a bad network, never fight somebody else, and are read back."""

import pytest

from lab.arm import Break, Fault
from rollouts.errors import Conflict, InvariantBroken, Misconfigured, Unavailable
from rollouts.observation import Slot, Weights

TEN = Weights.of(Slot.GREEN, 10)


def puts(world):
    return world.arm.requests("PUT")


def test_a_write_is_get_put_get_and_answers_what_was_read_back(world):
    before = world.arm.etag(world.pool_id)
    reading = world.write(TEN, before)
    assert [request.method for request in world.arm.requests()] == ["GET", "PUT", "GET"]
    assert (reading.weights, reading.etag) == (TEN, world.arm.etag(world.pool_id))
    assert reading.etag != before
    assert world.arm.weights(world.pool_id) == {"blue-backend": 90, "green-backend": 10}


def test_the_put_carries_the_etag_and_only_the_two_weights_change(world):
    before = world.arm.etag(world.pool_id)
    held = world.arm.properties(world.pool_id)
    world.write(TEN, before)
    (put,) = puts(world)
    assert (put.path, put.api_version, put.if_match) == (world.pool_id, "2024-05-01", before)
    for member, weight in zip(held["pool"]["services"], (90, 10), strict=True):
        member["weight"] = weight
    assert put.body == {"properties": held}, "the null title of a GET is no title"


def test_fields_that_the_sdk_does_not_know_survive_a_write(world):
    weights = {"blue-backend": 100, "green-backend": 0}
    affinity = {"sessionId": {"source": "cookie", "name": "sid"}}
    world.arm.pool(world.service, world.pool_name, weights, sessionAffinity=affinity)
    held = world.arm.properties(world.pool_id)
    held |= {"azureRegion": "westeurope", "description": "two slots"}
    held["pool"]["services"][0]["preferredCarbonEmission"] = "Low"
    world.arm.set_properties(world.pool_id, held)
    world.write(TEN, world.arm.etag(world.pool_id))
    kept = world.arm.properties(world.pool_id)
    assert (kept["azureRegion"], kept["description"]) == ("westeurope", "two slots")
    assert kept["pool"]["sessionAffinity"] == affinity
    assert kept["pool"]["services"][0]["preferredCarbonEmission"] == "Low"
    assert kept["pool"]["services"][0]["priority"] == 1


def test_members_keep_their_order_and_each_gets_its_own_weight(world):
    world.arm.pool(world.service, world.pool_name, {"green-backend": 0, "blue-backend": 100})
    world.write(TEN, world.arm.etag(world.pool_id))
    assert list(world.arm.weights(world.pool_id).items()) == [("green-backend", 10), ("blue-backend", 90)]


@pytest.mark.parametrize("weights", [Weights(blue=90, green=20), Weights(blue=-10, green=110), Weights(0, 0)])
def test_weights_that_are_no_split_are_our_own_bug_and_are_never_sent(world, weights):
    with pytest.raises(InvariantBroken, match="do not sum to 100"):
        world.write(weights, world.arm.etag(world.pool_id))
    assert world.arm.requests() == []


def test_fractions_are_never_sent(world):
    with pytest.raises(InvariantBroken):
        world.write(Weights(blue=99.5, green=0.5), world.arm.etag(world.pool_id))
    assert world.arm.requests() == []


def test_a_stale_etag_is_a_conflict_and_the_other_ones_weights_stay(world):
    stale = world.arm.etag(world.pool_id)
    world.arm.set_weights(world.pool_id, {"blue-backend": 70, "green-backend": 30})
    with pytest.raises(Conflict, match="green-blue-pool"):
        world.write(TEN, stale)
    assert puts(world) == []
    assert world.arm.weights(world.pool_id) == {"blue-backend": 70, "green-backend": 30}


def test_a_write_between_read_and_write_is_a_conflict_not_an_overwrite(world):
    def somebody():
        world.arm.set_weights(world.pool_id, {"blue-backend": 70, "green-backend": 30})

    world.arm.break_with(Fault(Break.MEDDLE, "PUT", times=1, meddle=somebody))
    with pytest.raises(Conflict, match="somebody else wrote first"):
        world.write(TEN, world.arm.etag(world.pool_id))
    assert [request.status for request in puts(world)] == [412]
    assert world.arm.weights(world.pool_id) == {"blue-backend": 70, "green-backend": 30}


def test_a_412_whose_weights_are_ours_is_our_own_write(world):
    def somebody():
        world.arm.set_weights(world.pool_id, {"blue-backend": 90, "green-backend": 10})

    world.arm.break_with(Fault(Break.MEDDLE, "PUT", times=1, meddle=somebody))
    assert world.write(TEN, world.arm.etag(world.pool_id)).weights == TEN


def test_a_pool_that_already_holds_the_weights_is_not_written(world):
    stale = world.arm.etag(world.pool_id)
    world.arm.set_weights(world.pool_id, {"blue-backend": 90, "green-backend": 10})
    assert world.write(TEN, stale).weights == TEN
    assert puts(world) == []


@pytest.mark.parametrize("kind", [Break.STATUS_AFTER, Break.DROP_AFTER, Break.HANG_AFTER])
def test_a_write_that_was_applied_without_an_answer_is_found_and_not_sent_again(world, kind):
    world.arm.break_with(Fault(kind, "PUT", times=1, seconds=2))
    assert world.write(TEN, world.arm.etag(world.pool_id), timeout_seconds=0.3).weights == TEN
    assert len(puts(world)) == 1


@pytest.mark.parametrize("kind", [Break.STATUS, Break.DROP, Break.HANG])
def test_a_write_that_was_not_applied_is_sent_again_with_the_same_etag(world, kind):
    etag = world.arm.etag(world.pool_id)
    world.arm.break_with(Fault(kind, "PUT", times=1, seconds=2))
    assert world.write(TEN, etag, timeout_seconds=0.3).weights == TEN
    assert [request.if_match for request in puts(world)] == [etag, etag]
    assert world.time.slept == [0.5]


def test_a_write_that_failed_is_not_sent_again_over_somebody_elses(world):
    def somebody():
        world.arm.break_with(Fault(Break.MEDDLE, "GET", times=1))

    world.arm.break_with(Fault(Break.STATUS, "PUT", times=1, status=503))
    world.arm.break_with(Fault(Break.MEDDLE, "GET", times=1, meddle=somebody))
    with pytest.raises(Conflict, match="somebody else wrote first"):
        world.write(TEN, world.arm.etag(world.pool_id))
    assert len(puts(world)) == 1


def test_throttling_is_waited_for_as_long_as_it_says(world):
    world.arm.break_with(Fault(Break.STATUS, "PUT", times=1, status=429, retry_after="3"))
    assert world.write(TEN, world.arm.etag(world.pool_id)).weights == TEN
    assert world.time.slept == [3.0]


def test_throttling_beyond_the_budget_is_unavailable_and_says_until_when(world):
    world.arm.break_with(Fault(Break.STATUS, "PUT", status=429, retry_after="60"))
    with pytest.raises(Unavailable, match="429") as caught:
        world.write(TEN, world.arm.etag(world.pool_id))
    assert caught.value.retry_at == world.time.at + 60
    assert world.time.slept == []
    assert len(puts(world)) == 1


def test_refused_for_a_while_is_unavailable_after_three_attempts_and_works_when_it_ends(world):
    etag = world.arm.etag(world.pool_id)
    fault = world.arm.break_with(Fault(Break.STATUS, "PUT", status=503))
    with pytest.raises(Unavailable, match="503") as caught:
        world.write(TEN, etag)
    assert len(puts(world)) == 3
    assert caught.value.retry_at is None
    assert world.arm.weights(world.pool_id) == {"blue-backend": 100, "green-backend": 0}
    world.arm.mend(fault)
    assert world.write(TEN, etag).weights == TEN


def test_403_names_the_action_and_the_role(world):
    world.arm.break_with(Fault(Break.STATUS, "PUT", status=403, code="AuthorizationFailed"))
    with pytest.raises(Misconfigured) as caught:
        world.write(TEN, world.arm.etag(world.pool_id))
    assert "Microsoft.ApiManagement/service/backends/write" in str(caught.value)
    assert "AuthorizationFailed" in str(caught.value)
    assert "custom role 'Flex Canary traffic" in str(caught.value)
    assert len(puts(world)) == 1


def test_a_busy_service_is_unavailable_and_a_lock_is_misconfigured(world):
    etag = world.arm.etag(world.pool_id)
    world.arm.break_with(Fault(Break.STATUS, "PUT", times=3, status=409, code="ServiceBusy"))
    with pytest.raises(Unavailable, match="ServiceBusy"):
        world.write(TEN, etag)
    world.arm.break_with(Fault(Break.STATUS, "PUT", times=1, status=409, code="ScopeLocked"))
    with pytest.raises(Misconfigured, match="Remove the resource lock"):
        world.write(TEN, etag)


@pytest.mark.parametrize("kind", [Break.STATUS, Break.STATUS_AFTER])
def test_a_management_endpoint_that_was_not_reached_is_looked_after_and_asked_again(world, kind):
    """ARM says so with 422, as if the request were wrong; a gateway that is updated says it for minutes."""
    world.arm.break_with(Fault(kind, "PUT", times=1, status=422, code="ManagementApiRequestFailed"))
    assert world.write(TEN, world.arm.etag(world.pool_id)).weights == TEN
    assert [put.status for put in puts(world)] == ([422, 200] if kind is Break.STATUS else [422])
    world.arm.break_with(Fault(Break.STATUS, "GET", status=422, code="ManagementApiRequestFailed"))
    with pytest.raises(Unavailable, match="422"):
        world.read()


def test_a_read_back_that_differs_is_returned_as_it_was_read(world):
    def somebody():
        world.arm.set_weights(world.pool_id, {"blue-backend": 40, "green-backend": 60})

    def after_the_write():
        if world.arm.requests("PUT"):
            somebody()

    world.arm.break_with(Fault(Break.MEDDLE, "GET", times=2, meddle=after_the_write))
    assert world.write(TEN, world.arm.etag(world.pool_id)).weights == Weights(blue=40, green=60)


def test_a_read_back_that_fails_once_is_asked_again(world):
    def then_fail():
        world.arm.break_with(Fault(Break.STATUS, "GET", times=1, status=500))

    world.arm.break_with(Fault(Break.MEDDLE, "PUT", times=1, meddle=then_fail))
    assert world.write(TEN, world.arm.etag(world.pool_id)).weights == TEN
    assert [request.status for request in world.arm.requests()] == [200, 200, 500, 200]


def test_a_bad_request_repeats_what_arm_said(world):
    world.arm.break_with(Fault(Break.STATUS, "PUT", status=400, code="ValidationError", message="Url is not supported"))
    with pytest.raises(Misconfigured, match=r"400 \(ValidationError: Url is not supported\)"):
        world.write(TEN, world.arm.etag(world.pool_id))


def test_a_long_explanation_is_cut(world):
    world.arm.break_with(Fault(Break.STATUS, "PUT", status=400, message="why " * 1000))
    with pytest.raises(Misconfigured) as caught:
        world.write(TEN, world.arm.etag(world.pool_id))
    assert len(str(caught.value)) < 500


def test_a_pool_deleted_in_the_middle_is_misconfigured(world):
    etag = world.arm.etag(world.pool_id)
    world.arm.break_with(Fault(Break.MEDDLE, "PUT", times=1, meddle=lambda: world.arm.delete(world.pool_id)))
    with pytest.raises(Misconfigured, match="404"):
        world.write(TEN, etag)


def test_a_token_outage_is_unavailable_and_says_what_to_switch_on(world, identity):
    identity.header, right = "another", identity.header
    try:
        with pytest.raises(Unavailable, match="managed identity"):
            world.read()
    finally:
        identity.header = right


def test_a_refused_token_is_misconfigured(world):
    world.arm.break_with(Fault(Break.STATUS, status=401, code="InvalidAuthenticationTokenTenant"))
    with pytest.raises(Misconfigured, match=r"401 .*tenant"):
        world.read()


def test_nobody_listening_is_unavailable(world):
    world.url = "https://127.0.0.1:9"
    with pytest.raises(Unavailable, match="no connection to ARM"):
        world.read()
