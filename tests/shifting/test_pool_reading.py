"""What the pool holds is read as percent, or it is said what must be mended."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.arm import Break, Fault
from rollouts.errors import Misconfigured, Unavailable
from rollouts.observation import Weights
from shifting.pool import Pool, percent

RELATIVE = st.integers(0, 100)


def test_one_get_with_the_pinned_api_version_shows_weights_and_etag(world):
    reading = world.read()
    assert (reading.weights, reading.session_affinity) == (Weights(blue=100, green=0), False)
    assert reading.etag == world.arm.etag(world.pool_id)
    (request,) = world.arm.requests()
    assert (request.method, request.path, request.api_version) == ("GET", world.pool_id, "2024-05-01")


def test_the_token_asked_for_is_the_management_endpoints(world, identity):
    world.read()
    assert identity.asked[-1] == ("https://management.azure.com", None)


@pytest.mark.parametrize(
    ("held", "read"),
    [
        ({"blue-backend": 3, "green-backend": 1}, Weights(blue=75, green=25)),
        ({"green-backend": 1, "blue-backend": 3}, Weights(blue=75, green=25)),
        ({"blue-backend": 0, "green-backend": 7}, Weights(blue=0, green=100)),
        ({"blue-backend": 100, "green-backend": 1}, Weights(blue=99, green=1)),
        ({"blue-backend": None, "green-backend": None}, Weights(blue=50, green=50)),
    ],
)
def test_weights_are_relative_and_read_as_percent(world, held, read):
    world.arm.pool(world.service, world.pool_name, held)
    assert world.read().weights == read


@given(RELATIVE, RELATIVE)
def test_percent_sums_to_100_and_no_weight_appears_or_vanishes(blue, green):
    if blue + green == 0:
        return
    weights = percent(blue, green)
    assert weights.blue + weights.green == 100
    assert (weights.blue == 0, weights.green == 0) == (blue == 0, green == 0)
    assert abs(weights.blue - 100 * blue / (blue + green)) <= 0.5


@given(RELATIVE)
def test_percents_are_read_as_they_are(blue):
    assert percent(blue, 100 - blue) == Weights(blue=blue, green=100 - blue)


@given(RELATIVE, st.integers(1, 100), RELATIVE)
def test_more_weight_is_never_less_share(blue, green, more):
    assert percent(min(blue + more, 100), green).blue >= percent(blue, green).blue


def test_members_are_matched_by_the_last_segment_in_any_letter_case(world):
    held = world.arm.properties(world.pool_id)
    for member in held["pool"]["services"]:
        member["id"] = member["id"].upper()
    world.arm.set_properties(world.pool_id, held)
    assert world.read().weights == Weights(blue=100, green=0)


def test_session_affinity_is_seen_in_the_raw_json(world):
    affinity = {"sessionId": {"source": "cookie", "name": "sid"}}
    weights = {"blue-backend": 90, "green-backend": 10}
    world.arm.pool(world.service, world.pool_name, weights, sessionAffinity=affinity)
    assert world.read().session_affinity is True
    world.arm.pool(world.service, world.pool_name, weights, sessionAffinity=None)
    assert world.read().session_affinity is False


def member(world, name, **fields):
    return {"id": f"{world.service}/backends/{name}", **fields}


def pool_of(*services):
    return {"type": "Pool", "pool": {"services": list(services)}}


def missing(world):
    return pool_of(member(world, "blue-backend", weight=1), member(world, "red-backend", weight=1))


def lone(world):
    return pool_of(member(world, "blue-backend", weight=1))


def third(world):
    return pool_of(*(member(world, f"{name}-backend", weight=1) for name in ("blue", "green", "red")))


def twice(world):
    return pool_of(*(member(world, f"{name}-backend", weight=1) for name in ("blue", "green", "green")))


def zero(world):
    return pool_of(*(member(world, f"{name}-backend", weight=0) for name in ("blue", "green")))


def half(world):
    return pool_of(member(world, "blue-backend", weight=100), member(world, "green-backend"))


def priorities(world):
    return pool_of(
        member(world, "blue-backend", weight=50, priority=1),
        member(world, "green-backend", weight=50, priority=2),
    )


def over(world):
    return pool_of(member(world, "blue-backend", weight=101), member(world, "green-backend", weight=1))


def negative(world):
    return pool_of(member(world, "blue-backend", weight=-1), member(world, "green-backend", weight=1))


def single(world):
    return {"type": "Single", "url": "https://blue.example", "protocol": "http"}


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (missing, "'green-backend' is not a member; its members are 'blue-backend' and 'red-backend'"),
        (lone, "'green-backend' is not a member"),
        (third, "its members are 'blue-backend' and 'green-backend' and 'red-backend'"),
        (twice, "its members are 'blue-backend' and 'green-backend' and 'green-backend'"),
        (zero, "both weights are 0"),
        (half, "only one of its members has a weight"),
        (priorities, "differ in priority"),
        (over, "the weight 101 is not a whole number from 0 to 100"),
        (negative, "the weight -1 is not"),
        (single, "not a backend of type Pool"),
    ],
)
def test_a_pool_that_cannot_be_steered_says_what_where_and_what_to_do(world, wrong, says):
    world.arm.set_properties(world.pool_id, wrong(world))
    with pytest.raises(Misconfigured) as caught:
        world.read()
    assert says in str(caught.value)
    assert "green-blue-pool" in str(caught.value)
    assert "give it exactly the slots' two backends" in str(caught.value)


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"type": "Pool"},
        {"type": "Pool", "pool": None},
        {"type": "Pool", "pool": {"services": None}},
        {"type": "Pool", "pool": {"services": [{"weight": 3}]}},
        {"type": "Pool", "pool": {"services": [None, None]}},
        {"type": "Pool", "pool": {"services": "blue-backend"}},
        {"type": "Pool", "pool": "blue-backend"},
        {"type": "Pool", "pool": {"services": [{"id": "blue-backend", "weight": "heavy"}]}},
        {"type": "Pool", "pool": {"services": [{"id": 7}, {"id": "x"}]}},
        {"type": ["Pool"], "pool": {"services": []}},
    ],
)
def test_a_malformed_pool_is_misconfigured_and_nothing_else(world, properties):
    world.arm.set_properties(world.pool_id, properties)
    with pytest.raises(Misconfigured, match="green-blue-pool"):
        world.read()


def test_a_weight_that_is_a_fraction_or_a_word_is_refused(world):
    for weight in (0.5, "50", True):
        held = pool_of(member(world, "blue-backend", weight=weight), member(world, "green-backend", weight=1))
        world.arm.set_properties(world.pool_id, held)
        with pytest.raises(Misconfigured):
            world.read()


def test_a_pool_that_is_not_there_names_the_policys_key(world):
    with pytest.raises(Misconfigured, match=r"'no-pool' of API Management 'apim-shop': 404.*`pool`"):
        Pool(world.clients()).read(world.service, "no-pool", world.backends)


def test_an_arm_id_that_is_none_is_misconfigured_before_anything_is_sent(world):
    with pytest.raises(Misconfigured, match="'apim-shop' is not the ARM id of an API Management service"):
        Pool(world.clients()).read("apim-shop", world.pool_name, world.backends)
    assert world.arm.requests() == []


def test_a_page_of_html_is_unavailable_not_an_empty_pool(world):
    world.arm.break_with(Fault(Break.JUNK))
    with pytest.raises(Unavailable, match="not JSON"):
        world.read()


def test_credentials_in_a_backends_body_never_reach_a_message(world):
    body = single(world) | {"credentials": {"header": {"x-functions-key": ["hush-hush"]}}}
    world.arm.set_properties(world.pool_id, body)
    with pytest.raises(Misconfigured) as caught:
        world.read()
    assert "hush-hush" not in str(caught.value)
