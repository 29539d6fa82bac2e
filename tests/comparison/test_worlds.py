"""The simulated traffic is what the page says, and the same for everybody."""

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.judges import worlds
from benchmarks.judges.worlds import BASE, CASES, SIGMA, Case, World


def world(name: str, rpm: int = 2_000, rollouts: int = 150) -> World:
    case = next(one for one in CASES if one.name == name)
    return World(case, rpm, rollouts, 100, (1, rpm))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_the_same_seed_is_the_same_traffic_and_no_count_is_impossible(case: Case) -> None:
    made = World(case, 60, 20, 100, (2,))
    first, again = made.at(0.1, 0.5), made.at(0.1, 0.5)
    for mine, theirs in zip(first, again, strict=True):
        assert all(np.array_equal(a, b, equal_nan=True) for a, b in zip(mine, theirs, strict=True))
    low, high = first
    assert np.array_equal(low.canary + low.baseline, high.canary + high.baseline), "one sequence of requests"
    for one in first:
        assert (one.canary_bad <= one.canary_bad_alike).all()
        assert (one.canary_bad_alike <= one.canary).all()
        assert (one.baseline_bad <= one.baseline).all()
        assert np.array_equal(np.isnan(one.canary_value), one.canary == 0)


def test_rates_are_those_of_the_case() -> None:
    [equal], [five], [late] = (world(name).at(0.1) for name in ("no difference", "x5", "late fault, x5 from minute 40"))
    assert equal.canary.sum() / (equal.canary + equal.baseline).sum() == pytest.approx(0.1, abs=0.001)
    assert equal.canary_bad.sum() / equal.canary.sum() == pytest.approx(BASE, rel=0.05)
    assert five.canary_bad.sum() / five.canary.sum() == pytest.approx(5 * BASE, rel=0.03)
    assert late.canary_bad[:, :40].sum() / late.canary[:, :40].sum() == pytest.approx(BASE, rel=0.06)
    assert late.canary_bad[:, 40:].sum() / late.canary[:, 40:].sum() == pytest.approx(5 * BASE, rel=0.03)


def test_an_overdispersed_minute_varies_as_a_beta_binomial_does() -> None:
    """Variance n p (1 - p) (1 + (n - 1) / (k + 1)), about 9.6 times a coin's at n = 1,800 and k = 200 per slot."""
    [made] = world("overdispersed (k 200), no difference").at(0.1)
    n = made.baseline.mean()
    inflated = 1 + (n - 1) / 201
    assert made.baseline_bad.var() / (n * BASE * (1 - BASE)) == pytest.approx(inflated, rel=0.1)


def test_latencies_are_lognormal_and_counts_agree_with_the_p95_of_their_minute() -> None:
    """Against drawing every single request: the rates beyond T and 1.2 T, and the p95's spread."""
    [made] = world("p95 +100 %").at(0.1)
    beyond = {limit: float(norm.sf(norm.ppf(0.95) + (np.log(limit) - np.log(2)) / SIGMA)) for limit in (1.0, 1.2)}
    assert made.canary_bad_alike.sum() / made.canary.sum() == pytest.approx(beyond[1.0], rel=0.01)
    assert made.canary_bad.sum() / made.canary.sum() == pytest.approx(beyond[1.2], rel=0.01)
    assert made.baseline_bad.sum() / made.baseline.sum() == pytest.approx(0.05, rel=0.01)
    rng = np.random.default_rng(8)
    single = rng.lognormal(0, SIGMA, (3_000, 200)) * 2 / np.exp(SIGMA * norm.ppf(0.95))
    p95 = np.sort(single, axis=1)[:, int(np.ceil(0.95 * 200)) - 1]
    assert np.median(made.canary_value) == pytest.approx(np.median(p95), rel=0.03)
    assert made.canary_value.std() == pytest.approx(p95.std(), rel=0.1)
    some = made.canary_value > 1.2
    share = made.canary_bad / made.canary
    assert share[some].min() > 0.04, "a p95 beyond 1.2 T has its 5 % beyond it"


def test_the_p95_margin_is_at_the_policys_boundary() -> None:
    [made] = world("p95 at the margin").at(0.1)
    rate = made.canary_bad.sum() / made.canary.sum()
    assert rate == pytest.approx(0.05 + worlds.SLOW_POINTS, rel=0.02)
