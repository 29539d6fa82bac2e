"""Kayenta's NetflixACAJudge on one metric: Mann-Whitney on the minutes' values, with its tolerance.

From kayenta-judge (NetflixACAJudge.scala, MannWhitneyClassifier.scala) and kayenta-mannwhitney (MannWhitney.scala,
after R's wilcox.test): values are error rates or p95s, one a minute; NaN removed; outliers beyond Tukey's fences
(factor 3) AND beyond the 1st and 99th percentile removed; HIGH when the lower end of the 98 % confidence interval
of the shift is above 0.25 times the Hodges-Lehmann estimate. The metric's direction is "increase". No data, and
values that are all tied, classify nothing.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from benchmarks.judges.worlds import Floats, Minutes, Traffic

TOLERANCE = 0.25
CONFIDENCE = 0.98
IQR_FACTOR = 3.0
# Below 100 values the 99th percentile is the largest one: nothing can be an outlier.
OUTLIERS_FROM = 100
# Looks that may come to HIGH are found on the untouched values; with outliers removed a z may grow a little.
SLACK = 0.5


def high(canary: Floats, baseline: Floats, tolerance: float = TOLERANCE, confidence: float = CONFIDENCE) -> bool:
    """Whether the canary's values are classified HIGH."""
    x, y = (without_outliers(values[~np.isnan(values)]) for values in (canary, baseline))
    if not len(x) or not len(y):
        return False
    limit = float(norm.ppf(1 - (1 - confidence) / 2))
    if not statistic(x, y) > limit:  # the lower end lies above 0 exactly then: the statistic falls with the shift
        return False
    bound = tolerance * abs(hodges_lehmann(x, y))
    return statistic(x - bound, y) > limit


def statistic(x: Floats, y: Floats) -> float:
    """Mann-Whitney's z with continuity correction and ties, positive when x is larger; NaN when all are tied."""
    n, m = len(x), len(y)
    both = np.concatenate((x, y))
    difference = rankdata(both)[:n].sum() - n * (n + 1) / 2 - n * m / 2
    _, ties = np.unique(both, return_counts=True)
    variance = n * m / 12 * ((n + m + 1) - (ties**3 - ties).sum() / ((n + m) * (n + m - 1)))
    if variance <= 0:
        return float("nan")
    return float((difference - 0.5 * np.sign(difference)) / np.sqrt(variance))


def hodges_lehmann(x: Floats, y: Floats) -> float:
    """The median of all differences: where the statistic is 0."""
    return float(np.median(x[:, None] - y[None, :]))


def without_outliers(values: Floats) -> Floats:
    """Values within the wider of both fences; percentiles as Apache Commons Math has them, at p (n + 1)."""
    if len(values) < OUTLIERS_FROM:
        return values
    p01, p25, p75, p99 = np.percentile(values, [1, 25, 75, 99], method="weibull")
    spread = IQR_FACTOR * (p75 - p25)
    return values[(values >= min(p01, p25 - spread)) & (values <= max(p99, p75 + spread))]


def once(traffic: Traffic) -> Minutes:
    """One look, at the end of the analysis."""
    minutes = traffic.canary_value.shape[1]
    looked = [high(x, y) for x, y in zip(traffic.canary_value, traffic.baseline_value, strict=True)]
    return np.where(looked, minutes, 0).astype(np.int64)


def every_interval(traffic: Traffic, tolerance: float = TOLERANCE) -> Minutes:
    """A look after every minute at all minutes so far; the first HIGH rolls back."""
    x, y = traffic.canary_value, traffic.baseline_value
    limit = float(norm.ppf(1 - (1 - CONFIDENCE) / 2))
    near = statistics(x, y) > limit - np.where(np.arange(x.shape[1]) + 1 < OUTLIERS_FROM, 1e-9, SLACK)
    found = np.zeros(len(x), dtype=np.int64)
    for rollout in np.nonzero(near.any(axis=1))[0].tolist():
        for look in np.nonzero(near[rollout])[0].tolist():
            if high(x[rollout, : look + 1], y[rollout, : look + 1], tolerance):
                found[rollout] = look + 1
                break
    return found


def shifted(traffic: Traffic, points: float, ratio: float) -> Minutes:
    """The same test asked the policy's question: the baseline's values moved to the boundary, no own tolerance."""
    boundary = points + ratio * traffic.baseline_value
    return every_interval(traffic._replace(baseline_value=boundary), tolerance=0.0)


def statistics(x: Floats, y: Floats) -> Floats:
    """`statistic` of the first t minutes, for every t at once; shape (rollouts, minutes)."""
    return np.concatenate([_statistics(x[at : at + 50], y[at : at + 50]) for at in range(0, len(x), 50)])


def _statistics(x: Floats, y: Floats) -> Floats:
    n, m = (np.cumsum(~np.isnan(values), axis=1) for values in (x, y))
    wins = (x[:, :, None] > y[:, None, :]) + 0.5 * (x[:, :, None] == y[:, None, :])
    u = np.diagonal(np.cumsum(np.cumsum(wins, axis=1), axis=2), axis1=1, axis2=2)
    # A value that has v equals among the earlier ones adds 3 v^2 + 3 v to the sum of (ties^3 - ties).
    equal = x[:, :, None] == y[:, None, :]
    v_x = _earlier(x[:, :, None] == x[:, None, :]) + _earlier(equal)
    v_y = _earlier(y[:, :, None] == y[:, None, :]) + _earlier(equal.swapaxes(1, 2), with_own=True)
    ties = np.cumsum(3 * (v_x**2 + v_x) + 3 * (v_y**2 + v_y), axis=1)
    total = n + m
    with np.errstate(divide="ignore", invalid="ignore"):
        variance = n * m / 12 * ((total + 1) - ties / (total * (total - 1)))
        difference = u - n * m / 2
        return (difference - 0.5 * np.sign(difference)) / np.sqrt(variance)


def _earlier(equal: NDArray[np.bool_], *, with_own: bool = False) -> Floats:
    """How many values before minute t (or up to it) equal the one of minute t."""
    return np.tril(equal, 0 if with_own else -1).sum(axis=2).astype(np.float64)
