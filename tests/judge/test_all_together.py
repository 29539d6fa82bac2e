"""A step is promoted when all indicators are SAFE: the plan says when that is, beside each one's own time."""

import pytest

from analyzers.judge.counts import CountsError, Settings
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.power import Plans, plan, plan_all


def planned(count: int, horizon: int | None = None) -> Plans:
    """So many indicators that are alike, at 2,000 requests an interval."""
    alike = [Indicator(name=f"one{n}", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25) for n in range(count)]
    return plan_all(
        alike,
        canary_share=0.1,
        requests_per_interval=2000,
        baseline_rates=[0.005] * count,
        settings=Settings(),
        faults=(),
        horizon=horizon,
    )


def test_one_indicator_alone_is_all_of_them() -> None:
    found = planned(1)
    (only,) = found.plans
    assert found.together == only.safe
    alone = plan(
        Indicator(name="one0", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25),
        canary_share=0.1,
        requests_per_interval=2000,
        baseline_rate=0.005,
        settings=Settings(),
        faults=(),
    )
    assert only == alone


def test_all_together_take_longer_than_the_slowest_alone() -> None:
    """In a rollout in which one is quick another is slow: the last of four decides."""
    found = planned(4)
    alone = [one.safe.median or 0 for one in found.plans]
    assert found.together.median is not None
    assert found.together.median > max(alone)
    assert found.together.p90 is not None
    assert found.together.p90 >= max(one.safe.p90 or 0 for one in found.plans)


def test_the_indicators_are_drawn_independently() -> None:
    """So three of them are all in time as often as the product says: 200 rollouts, three standard errors."""
    found = planned(3, horizon=12)
    product = 1.0
    for one in found.plans:
        assert 0.3 < one.safe.within_horizon < 0.9
        product *= one.safe.within_horizon
    assert abs(found.together.within_horizon - product) < 3 * (product * (1 - product) / 200) ** 0.5
    assert found.together.within_horizon < min(one.safe.within_horizon for one in found.plans)


def test_where_one_can_never_be_proven_all_together_cannot() -> None:
    tight = Indicator(name="tight", kind=IndicatorKind.FAILURES, points=0.0, ratio=1.0)
    wide = Indicator(name="wide", kind=IndicatorKind.FAILURES, points=0.02, ratio=1.0)
    found = plan_all(
        [wide, tight],
        canary_share=0.1,
        requests_per_interval=2000,
        baseline_rates=[0.005, 0.005],
        settings=Settings(),
        faults=(),
    )
    assert found.plans[0].safe.within_horizon == 1.0
    assert (found.together.median, found.together.within_horizon) == (None, 0.0)


@pytest.mark.parametrize("rate", [-0.1, 1.5])
def test_a_rate_that_is_none_is_refused(rate: float) -> None:
    one = Indicator(name="one", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25)
    with pytest.raises(CountsError, match="baseline_rate is"):
        plan_all([one], canary_share=0.1, requests_per_interval=10, baseline_rates=[rate], settings=Settings())
