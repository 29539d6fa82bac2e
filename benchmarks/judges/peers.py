"""The rest of the field, from its public descriptions: each takes Traffic and says when it would roll back.

A function returns the one-based minute of its rollback per rollout (0 = never), looked at after every minute.
None of them proves safety: they promote by the clock, when the analysis ends without a rollback.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from benchmarks.judges.worlds import Floats, Minutes, Traffic

Z_ALPHA = 0.05
GROWTHBOOK_ALPHA, GROWTHBOOK_TUNING = 0.05, 5_000  # its defaults
FLAGGER_THRESHOLD = 5  # the value of its documentation's examples; the code falls back to 1
ARGO_FAILURE_LIMIT = 0  # the default


def argo(traffic: Traffic, threshold: float, failure_limit: int = ARGO_FAILURE_LIMIT) -> Minutes:
    """Argo Rollouts' background analysis: one measurement an interval of the canary alone against a fixed threshold.

    The run fails when MORE than failureLimit measurements failed, in all, not in a row (analysis/analysis.go,
    assessMetricStatus: `failed > failureLimit`; https://argo-rollouts.readthedocs.io/en/stable/features/analysis/).
    A minute without requests gives no measurement: an error, which counts only when more than four come in a row.
    """
    failed = np.cumsum(traffic.canary_value > threshold, axis=1)  # NaN is not above anything
    return first(failed > failure_limit)


def flagger(traffic: Traffic, threshold: float, checks: int = FLAGGER_THRESHOLD) -> Minutes:
    """Flagger's canary analysis: a check an interval of the canary alone against a fixed thresholdRange.

    Rolled back when `threshold` checks have failed, in all (https://docs.flagger.app/usage/how-it-works: "max
    number of failed metric checks before rollback"; pkg/controller/scheduler.go, advanceCanary). No values found
    is a failed check, too.
    """
    failed = np.cumsum((traffic.canary_value > threshold) | np.isnan(traffic.canary_value), axis=1)
    return first(failed >= checks)


def z_test(traffic: Traffic, alpha: float = Z_ALPHA, tolerance: tuple[float, float] | None = None) -> Minutes:
    """A two-proportion z-test on all counts so far, one-sided, repeated every minute: peeking.

    Pooled variance (any textbook: Fleiss, Levin, Paik, "Statistical Methods for Rates and Proportions", 3rd ed.,
    section 3.2). With a tolerance (points, ratio) the difference is p_c - points - ratio p_b, with each slot's own
    variance.
    """
    n_c, n_b, f_c, f_b = _so_far(traffic, alike=tolerance is None)
    with np.errstate(divide="ignore", invalid="ignore"):
        if tolerance is None:
            pooled = (f_c + f_b) / (n_c + n_b)
            z = (f_c / n_c - f_b / n_b) / np.sqrt(pooled * (1 - pooled) * (1 / n_c + 1 / n_b))
        else:
            estimate, variance = _difference(n_c, n_b, (f_c, f_b), tolerance)
            z = estimate / np.sqrt(variance)
    return first(z > norm.isf(alpha))


def growthbook(
    traffic: Traffic, alpha: float = GROWTHBOOK_ALPHA, tolerance: tuple[float, float] | None = None
) -> Minutes:
    """GrowthBook's sequential test of a safe rollout's guardrail: one-sided, difference of means above 0.

    The asymptotic confidence sequence of Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, "Time-uniform central
    limit theory", arXiv:2103.06476v7, equation 134, rho from equation 161 at N* = 5,000
    (packages/stats/gbstats/frequentist/tests.py; https://docs.growthbook.io/statistics/sequential). With a
    tolerance (points, ratio) the tested difference is p_c - points - ratio p_b. It needs variance in both slots.
    """
    n_c, n_b, f_c, f_b = _so_far(traffic, alike=tolerance is None)
    estimate, variance = _difference(n_c, n_b, (f_c, f_b), tolerance or (0.0, 1.0))
    n = n_c + n_b
    with np.errstate(invalid="ignore"):
        over = estimate > growthbook_halfwidth(variance * n, n, alpha)
    return first(over & (f_c > 0) & (f_b > 0) & (f_c < n_c) & (f_b < n_b))


def growthbook_halfwidth(s2: Floats, n: Floats, alpha: float, tuning: float = GROWTHBOOK_TUNING) -> Floats:
    """One-sided half width; `s2` is the variance of one of n requests' worth of difference."""
    log = np.log(2 * alpha)
    rho2 = (-2 * log + np.log(-2 * log + 1)) / tuning
    with np.errstate(divide="ignore", invalid="ignore"):
        width = s2 * 2 * (n * rho2 + 1) / (n**2 * rho2) * np.log1p(np.sqrt(n * rho2 + 1) / (2 * alpha))
    return np.sqrt(width)


def first(over: NDArray[np.bool_]) -> Minutes:
    """One-based minute of the first True; 0 = none."""
    return np.where(over.any(axis=1), over.argmax(axis=1) + 1, 0).astype(np.int64)


def _so_far(traffic: Traffic, *, alike: bool) -> tuple[Floats, Floats, Floats, Floats]:
    """Cumulative requests and bad ones; `alike`: both slots held to one and the same latency."""
    bad = traffic.canary_bad_alike if alike else traffic.canary_bad
    parts = (traffic.canary, traffic.baseline, bad, traffic.baseline_bad)
    n_c, n_b, f_c, f_b = (np.cumsum(part, axis=1).astype(np.float64) for part in parts)
    return n_c, n_b, f_c, f_b


def _difference(
    n_c: Floats, n_b: Floats, bad: tuple[Floats, Floats], tolerance: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Estimate of p_c - points - ratio p_b, and its variance (Bessel-corrected, as a t-test has it)."""
    points, ratio = tolerance
    with np.errstate(divide="ignore", invalid="ignore"):
        p_c, p_b = bad[0] / n_c, bad[1] / n_b
        variance = p_c * (1 - p_c) / (n_c - 1) + ratio**2 * p_b * (1 - p_b) / (n_b - 1)
    return p_c - points - ratio * p_b, variance
