"""What good policies become: seconds, fractions and presets."""

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.judge.indicators import IndicatorKind
from rollouts.errors import PolicyError
from rollouts.observation import Mode, Slot
from rollouts.policy_file.parse import parse
from rollouts.policy_file.presets import PRESETS
from tests.policy import trees

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["10m", "95%", "off", "act", "standard", "https://a.example", "/api", "0s", "1e9", trees.APIM])
)
NAMES = st.sampled_from(
    [
        *("services", "channels", "checkout", "slots", "blue", "green", "url", "backend", "role_name", "pool", "steps"),
        *("bake", "deadline", "gate", "expert", "indicators", "failures", "p95", "points", "ratio", "quantile"),
        *("limits", "notify", "team", "kind", "url_setting", "settle", "interval"),
    ]
) | st.text(max_size=8)
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.integers(), inner, max_size=5),
    max_leaves=25,
)
SERVICE_KEYS = st.dictionaries(NAMES | st.sampled_from(sorted(PRESETS["standard"])), TREES, max_size=6)


def test_the_preset_fills_what_is_left_out() -> None:
    """The least file gets the standard preset, in seconds and fractions."""
    checkout = parse(trees.spoiled("preset", "standard")).services["checkout"]
    pin = checkout.pin
    assert (checkout.mode, checkout.preset, checkout.approvals, checkout.channels) == (Mode.ACT, "standard", (), ())
    assert (pin.steps, pin.bake_seconds, pin.deadline_seconds, pin.watch_seconds) == ((10, 50, 100), 600, 7200, 1800)
    assert (pin.alpha, pin.beta, pin.interval_seconds, pin.settle_seconds) == (0.01, 0.01, 60, 240)
    assert (pin.gate.timeout_seconds, pin.gate.deadline_seconds, pin.limits.approval_seconds) == (5.0, 900, 259200)
    failures, rejected, p95 = pin.indicators
    assert (failures.kind, failures.points, failures.ratio) == (IndicatorKind.FAILURES, 0.005, 1.25)
    assert (rejected.kind, rejected.points, rejected.ratio) == (IndicatorKind.REJECTED, 0.01, 1.5)
    assert (p95.kind, p95.quantile, p95.slowdown, p95.warm_only) == (IndicatorKind.QUANTILE, 0.95, 0.2, True)
    assert pin.slots[Slot.BLUE].url == "https://checkout-blue.azurewebsites.net"


@pytest.mark.parametrize("preset", PRESETS)
def test_every_preset_is_a_legal_policy(preset: str) -> None:
    """Naming a preset and nothing else is enough."""
    assert parse(trees.spoiled("preset", preset)).services["checkout"].preset == preset


def test_a_slow_threshold_lengthens_settle() -> None:
    """Rows of a request that may take two minutes come two minutes later."""
    own = {"slower_than": "2m", "points": 1, "ratio": 1}
    assert parse(trees.spoiled("indicators.own", own)).services["checkout"].pin.settle_seconds == 300


def test_the_lab_on_loopback_may_settle_in_seconds() -> None:
    """Nothing is ingested on loopback; anywhere else two seconds are refused."""
    tree = trees.spoiled("expert", {"interval": "1s", "settle": "2s"})
    with pytest.raises(PolicyError, match="ingestion"):
        parse(tree)
    for port, slot in enumerate(("blue", "green")):
        tree["services"]["checkout"]["slots"][slot]["url"] = f"http://127.0.0.1:{7071 + port}"
    assert parse(tree).services["checkout"].pin.settle_seconds == 2


def test_an_indicator_keeps_the_presets_other_keys_unless_it_is_another_kind() -> None:
    """`p95: {slowdown: 10%}` stays a quantile; `p95: {slower_than: ...}` is a new indicator."""
    (p95,) = (one for one in _indicators({"p95": {"slowdown": "10%"}}) if one.name == "p95")
    assert (p95.quantile, p95.slowdown, p95.points) == (0.95, 0.1, 0.01)
    (p95,) = (one for one in _indicators({"p95": {"slower_than": "1s", "points": 2, "ratio": 1}}) if one.name == "p95")
    assert (p95.kind, p95.threshold_ms, p95.quantile) == (IndicatorKind.SLOWER_THAN, 1000.0, None)


def test_off_removes_an_indicator_and_new_ones_come_last() -> None:
    """The order is the preset's, then the file's."""
    own = {"slower_than": "1s", "points": 1, "ratio": 1}
    assert [one.name for one in _indicators({"own": own, "rejected": "off"})] == ["failures", "p95", "own"]


def _indicators(written: object) -> tuple[trees.Any, ...]:
    return parse(trees.spoiled("indicators", written)).services["checkout"].pin.indicators


@settings(max_examples=150, deadline=None)
@given(TREES)
def test_any_tree_is_a_policy_or_a_policy_error(tree: object) -> None:
    """No input brings another exception, and every problem has path, value and advice."""
    try:
        parse(tree)
    except PolicyError as error:
        assert error.problems
        for problem in error.problems:
            path, _, rest = problem.partition(": got ")
            assert path
            assert ": " in rest, problem
            assert "\n" not in problem


@settings(max_examples=150, deadline=None)
@given(SERVICE_KEYS, TREES)
def test_a_service_spoiled_at_random_is_refused_or_resolved(keys: dict[str, object], channels: object) -> None:
    """Below a legal service, too; a tree that is accepted is accepted again, with the same policy."""
    tree = {"channels": channels, "services": {"checkout": trees.service() | keys}}
    try:
        first = parse(tree)
    except PolicyError:
        return
    assert parse(tree) == first
    assert msgspec.json.decode(msgspec.json.encode(first), type=type(first)) == first


@pytest.mark.parametrize("slot", Slot)
@pytest.mark.parametrize("key", ["backend", "url", "role_name"])
def test_the_advice_for_a_slot_names_that_slot(slot: Slot, key: str) -> None:
    """Typed as it stands, blue's name in green would be the next error: both slots would be one app."""
    with pytest.raises(PolicyError) as refused:
        parse(trees.spoiled(f"slots.{slot}.{key}", trees.REMOVED))
    [problem] = refused.value.problems
    assert f"add {key}: " in problem
    assert slot in problem.rpartition("add ")[2]
    assert slot.other not in problem.rpartition("add ")[2]
