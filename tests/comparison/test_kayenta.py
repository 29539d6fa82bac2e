"""Kayenta's judge, re-implemented: its statistic is scipy's, its rule is the published one."""

import numpy as np
import pytest
from scipy.stats import mannwhitneyu, norm

from benchmarks.judges import kayenta
from benchmarks.judges.worlds import Traffic


def traffic(canary: np.ndarray, baseline: np.ndarray) -> Traffic:
    """Only the dashboards' values matter here."""
    nothing = np.zeros_like(canary, dtype=np.int64)
    return Traffic(nothing, nothing, nothing, nothing, nothing, canary, baseline, nothing, nothing)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("ties", [False, True])
def test_the_statistic_is_scipys(seed: int, ties: bool) -> None:
    """With continuity correction and tie correction, two-sided."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(0.4, 1, 25), rng.normal(0, 1, 31)
    if ties:
        x, y = np.round(x), np.round(y)
    expected = mannwhitneyu(x, y, use_continuity=True, method="asymptotic", alternative="two-sided").pvalue
    assert 2 * norm.sf(abs(kayenta.statistic(x, y))) == pytest.approx(expected, rel=1e-9)


def test_all_tied_values_classify_nothing() -> None:
    """Kayenta raises there and gives the metric no classification."""
    assert np.isnan(kayenta.statistic(np.zeros(10), np.zeros(10)))
    assert not kayenta.high(np.zeros(10), np.zeros(10))


def test_five_separated_minutes_are_just_enough_and_four_are_not() -> None:
    """By hand: n = m = 5, U = 25: z = (12.5 - 0.5) / sqrt(25 * 11 / 12) = 2.507 > 2.326; n = 4: 7.5 / 3.46 = 2.17."""
    x, y = np.arange(5) + 100.0, np.arange(5) + 0.5
    assert kayenta.statistic(x, y) == pytest.approx(2.5068, abs=1e-4)
    assert kayenta.high(x, y)
    assert kayenta.statistic(x[:4], y[:4]) == pytest.approx(7.5 / np.sqrt(12), abs=1e-9)
    assert not kayenta.high(x[:4], y[:4])


def test_the_tolerance_is_a_quarter_of_the_hodges_lehmann_estimate() -> None:
    """Significant, but the interval's lower end is below a quarter of the estimate: not HIGH."""
    rng = np.random.default_rng(3)
    y = rng.normal(0, 1, 60)
    x = rng.permutation(y) + 0.42
    estimate = kayenta.hodges_lehmann(x, y)
    assert estimate == pytest.approx(np.median([a - b for a in x for b in y]))
    limit = norm.ppf(0.99)
    assert kayenta.statistic(x, y) < limit or kayenta.statistic(x - 0.25 * estimate, y) < limit
    assert not kayenta.high(x, y)
    assert kayenta.high(x + 1, y)


def test_outliers_need_both_fences() -> None:
    """Fewer than 100 values never have one; among 150, the far one goes and the near ones stay."""
    values = np.concatenate((np.arange(149.0) % 7, [1000.0]))
    assert len(kayenta.without_outliers(values[-50:])) == 50
    assert kayenta.without_outliers(values).max() == 6
    assert len(kayenta.without_outliers(values)) == 149


def test_minutes_without_a_request_are_left_out() -> None:
    """NaN is no value."""
    x, y = np.arange(6) + 100.0, np.arange(6) + 0.5
    x[2] = np.nan
    assert kayenta.high(x, y)
    assert not kayenta.high(np.full(6, np.nan), y)


@pytest.mark.parametrize("rounded", [None, 1])
def test_looking_each_minute_is_the_same_judge_over_and_over(rounded: int | None) -> None:
    """The batched search against `high` at every look, with ties and with missing minutes."""
    rng = np.random.default_rng(5)
    x, y = rng.normal(0.5, 1, (8, 110)), rng.normal(0, 1, (8, 110))
    if rounded is not None:
        x, y = np.round(x, rounded), np.round(y, rounded)
    x[rng.random(x.shape) < 0.05] = np.nan
    slowly = [
        next((look for look in range(1, 111) if kayenta.high(a[:look], b[:look])), 0) for a, b in zip(x, y, strict=True)
    ]
    assert kayenta.every_interval(traffic(x, y)).tolist() == slowly
    assert max(slowly) > 5
    looks = kayenta.statistics(x, y)
    seen = ~np.isnan(x[0, :40])
    assert looks[0, 39] == pytest.approx(kayenta.statistic(x[0, :40][seen], y[0, :40]))
    assert (kayenta.once(traffic(x, y)) > 0).tolist() == [kayenta.high(a, b) for a, b in zip(x, y, strict=True)]
