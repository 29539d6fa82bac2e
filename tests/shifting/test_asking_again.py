"""How often and how long ARM is asked, what Retry-After means, and what a closing budget does."""

import time
from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arm import Break, Fault
from rollouts.errors import Misconfigured, Unavailable
from shifting.arm import BUDGET_SECONDS, LONGEST_RETRY_AFTER_SECONDS, ApiManagement, Asked, retry_after_seconds
from shifting.pool import Pool


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_a_read_is_asked_three_times_and_no_more(world, status):
    world.arm.break_with(Fault(Break.STATUS, status=status, retry_after=None))
    with pytest.raises(Unavailable, match=str(status)) as caught:
        world.read()
    assert len(world.arm.requests()) == 3
    assert world.time.slept == [0.5, 1.0]
    assert caught.value.retry_at is None
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("kind", [Break.STATUS, Break.DROP, Break.JUNK])
def test_a_read_survives_two_failures(world, kind):
    world.arm.break_with(Fault(kind, times=2))
    assert world.read().weights.blue == 100
    assert len(world.arm.requests()) == 3


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_what_a_person_must_mend_is_asked_once(world, status):
    world.arm.break_with(Fault(Break.STATUS, status=status))
    with pytest.raises(Misconfigured):
        world.read()
    assert len(world.arm.requests()) == 1


def test_the_sdk_does_not_retry_behind_our_back(world):
    world.arm.break_with(Fault(Break.STATUS, times=1, status=429, retry_after="90"))
    with pytest.raises(Unavailable):
        world.read()
    assert len(world.arm.requests()) == 1


def test_slow_answers_use_the_budget_up(world):
    world.arm.break_with(Fault(Break.STATUS, status=503))
    clients = world.clients()

    def slowly():
        world.time.at += BUDGET_SECONDS
        return clients.client(ApiManagement.parse(world.service)).backend.get("rg-canary", "apim-shop", world.pool_name)

    with pytest.raises(Unavailable):
        clients.read(slowly, Asked("read the pool", "action", "pool"))
    assert len(world.arm.requests()) == 1
    assert world.time.slept == []


def test_silence_ends_at_the_limit_of_one_call(world):
    world.arm.break_with(Fault(Break.HANG, seconds=8))
    started = time.monotonic()
    clients = world.clients(timeout_seconds=0.2)
    with pytest.raises(Unavailable, match="no whole answer"):
        Pool(clients).read(world.service, world.pool_name, world.backends)
    assert time.monotonic() - started < 4
    assert len(world.arm.requests()) == 3


def test_retry_after_as_a_date_is_understood(world):
    world.arm.break_with(
        Fault(Break.STATUS, times=1, status=503, retry_after=formatdate(world.time.at + 4, usegmt=True))
    )
    world.read()
    assert world.time.slept == [4.0]


def test_a_header_that_says_nothing_is_as_none(world):
    world.arm.break_with(Fault(Break.STATUS, times=1, status=503, retry_after="soon"))
    world.read()
    assert world.time.slept == [0.5]


@given(st.text(st.characters(codec="latin-1")) | st.floats().map(str) | st.integers().map(str))
def test_any_header_is_a_sane_wait_or_none(header):
    seconds = retry_after_seconds(header, 1_000_000.0)
    assert seconds is None or 0 <= seconds <= LONGEST_RETRY_AFTER_SECONDS


@given(st.text())
def test_any_arm_id_is_parsed_or_refused(arm_id):
    try:
        service = ApiManagement.parse(arm_id)
    except Misconfigured as error:
        assert "write api_management as /subscriptions/" in str(error)
    else:
        assert "" not in (service.subscription, service.resource_group, service.name)


def test_one_client_serves_a_subscription_and_is_made_at_the_first_use(world):
    clients = world.clients()
    service = ApiManagement.parse(world.service)
    assert clients.client(service) is clients.client(service)
    other = ApiManagement.parse(world.service.replace("11111111-", "22222222-"))
    assert clients.client(other) is not clients.client(service)
