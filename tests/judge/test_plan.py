"""`plan` says beforehand how long a step will take, and when a policy can never be proven."""

import msgspec
import pytest

from analyzers.judge import CountsError, Settings
from analyzers.judge.power import plan
from tests.judge.worlds import FAILURES

TRAFFIC = {"canary_share": 0.1, "requests_per_interval": 2000, "baseline_rate": 0.005, "settings": Settings()}


def test_the_plan_is_what_the_judge_then_needs():
    """Half an hour or so to promotion at 2,000 requests a minute, severe faults in two minutes."""
    found = plan(FAILURES, **{**TRAFFIC, "settings": Settings(horizon=500)})
    assert 20 <= found.safe.median <= 45
    assert found.safe.median < found.safe.p90
    two, five, twenty = found.faults
    assert [two.rate, five.rate, twenty.rate] == pytest.approx([0.01, 0.025, 0.1])
    assert twenty.harmful.median == 2 < five.harmful.median < two.harmful.median
    assert found == plan(FAILURES, **{**TRAFFIC, "settings": Settings(horizon=500)}), (
        "the same seed gives the same plan"
    )


def test_more_traffic_and_a_larger_share_are_faster():
    slow = plan(FAILURES, **TRAFFIC, faults=())
    assert plan(FAILURES, **{**TRAFFIC, "requests_per_interval": 20_000}, faults=()).safe.median < slow.safe.median
    assert plan(FAILURES, **{**TRAFFIC, "canary_share": 0.5}, faults=()).safe.median < slow.safe.median


def test_what_cannot_be_proven_at_that_traffic_is_said_with_what_to_change():
    found = plan(FAILURES, **{**TRAFFIC, "requests_per_interval": 60})
    assert found.safe.median is None
    assert "promote_when: unrefuted" in found.safe.reason
    assert "tolerance" in found.safe.reason


def test_no_worse_at_all_can_never_be_proven_and_the_plan_says_so():
    strict = msgspec.structs.replace(FAILURES, points=0.0, ratio=1.0)
    assert "merely equal" in plan(strict, **TRAFFIC).safe.reason


def test_where_everything_is_tolerated_the_plan_promises_nothing():
    found = plan(FAILURES, **{**TRAFFIC, "baseline_rate": 0.8})
    assert found.safe.median is None
    assert "failures tolerates 100 % at a baseline of 80.0000%" in found.safe.reason


def test_a_fault_within_tolerance_is_not_promised_to_be_found():
    found = plan(FAILURES, **{**TRAFFIC, "baseline_rate": 0.0005}, faults=(2,))
    assert found.faults[0].harmful.median is None
    assert "within the tolerance" in found.faults[0].harmful.reason


def test_a_ceiling_must_be_proven_too():
    """0.6 % absolute, a baseline of 0.5 %: the tolerance of 0.825 % is proven long before."""
    capped, asked = msgspec.structs.replace(FAILURES, ceiling=0.006), {**TRAFFIC, "faults": ()}
    assert plan(FAILURES, **asked).safe.median is not None
    assert plan(capped, **asked).safe.median is None
    assert plan(capped, **asked).boundary == 0.006
    half = {**asked, "canary_share": 0.5}
    assert plan(FAILURES, **half).safe.median < plan(capped, **half).safe.median < 120


def test_a_ceiling_below_the_baseline_or_just_above_it_is_said():
    below = plan(msgspec.structs.replace(FAILURES, ceiling=0.004), **TRAFFIC, faults=())
    assert "a higher ceiling" in below.safe.reason
    above = plan(msgspec.structs.replace(FAILURES, ceiling=0.0052), **TRAFFIC, faults=())
    assert above.safe.within_horizon == 0
    assert int(above.safe.reason.split("takes about ")[1].split(")")[0]) > 5000


def test_a_ceiling_finds_a_fault_that_the_tolerance_hardly_finds():
    """1.3 times a baseline of 10 % is hardly beyond the tolerance of 12.7 %, and far beyond 11 %."""
    asked = {**TRAFFIC, "baseline_rate": 0.1, "faults": (1.2, 1.3)}
    capped, alone = msgspec.structs.replace(FAILURES, ceiling=0.11), {"points": 0.11, "ratio": 0.0}
    within, beyond = plan(FAILURES, **asked).faults
    assert "within the tolerance" in within.harmful.reason
    assert "it would take about" in beyond.harmful.reason
    first, second = plan(capped, **asked).faults
    only = plan(msgspec.structs.replace(FAILURES, **alone), **asked).faults[1]
    assert second.harmful.median < first.harmful.median <= 120
    assert only.harmful.median < second.harmful.median, "a ceiling has but its part of alpha"


def test_indicators_that_share_alpha_take_longer_to_find_a_fault():
    alone, many = (
        plan(FAILURES, **TRAFFIC, faults=(3,), horizon=60, indicators=number).faults[0].harmful for number in (1, 20)
    )
    assert many.median > alone.median + 3


def test_a_smaller_beta_takes_longer_to_prove():
    sure, unsure = (
        plan(FAILURES, **{**TRAFFIC, "settings": Settings(horizon=500, beta=beta)}, faults=()) for beta in (0.0001, 0.2)
    )
    assert unsure.safe.median < sure.safe.median / 2


@pytest.mark.parametrize("rate", [0.0, 1.0])
def test_a_baseline_that_never_or_always_fails_has_a_plan(rate):
    found = plan(FAILURES, **{**TRAFFIC, "baseline_rate": rate}, faults=(2,))
    assert (found.safe.median is None) == (rate == 1.0)
    assert found.faults[0].harmful.median is None


def test_the_watch_has_no_plan():
    assert "no concurrent baseline" in plan(FAILURES, **{**TRAFFIC, "canary_share": 1.0}).safe.reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"canary_share": 10}, "canary_share is 10"),
        ({"baseline_rate": float("nan")}, "baseline_rate is nan"),
        ({"requests_per_interval": 0}, "requests_per_interval is 0"),
        ({"indicators": 0}, "indicators is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"settings": Settings(alpha=0.7)}, "alpha is 0.7"),
    ],
)
def test_impossible_traffic_is_refused_by_name(change, says):
    with pytest.raises(CountsError, match=says):
        plan(FAILURES, **{**TRAFFIC, **change})
