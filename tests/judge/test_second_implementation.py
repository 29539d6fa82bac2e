"""Every evidence value agrees with a second, slow, obvious implementation, and with scipy where scopes meet."""

import numpy as np
import pytest
from mpmath import mp, mpf
from scipy.optimize import minimize_scalar
from scipy.stats import binom, binomtest

from analyzers.judge import dispersion, evidence
from analyzers.judge.dispersion import Correlation, correlation
from analyzers.judge.evidence import Starts, Streams, Tolerance, harm, log_upper, reduced, safe
from analyzers.judge.judging import _wilson
from analyzers.judge.projection import log_e, project
from tests.judge import obvious


def cases(number: int, seed: int):
    rng = np.random.default_rng(seed)
    for _ in range(number):
        n_c, n_b = int(10 ** rng.uniform(0, 4)), int(10 ** rng.uniform(0, 4.5))
        p_b, p_c = 10 ** rng.uniform(-4, -0.1), 10 ** rng.uniform(-4, -0.05)
        a = float(rng.choice([0.0, 10 ** rng.uniform(-4, -0.7)]))
        rho = float(rng.choice([1e-5, 0.3, 1.0, 1.25, 2.5]))
        if a + rho * p_b < 0.999:
            yield n_c, n_b, p_c, p_b, a, rho


def test_the_closed_form_is_the_maximum_that_a_search_finds():
    for n_c, n_b, p_c, p_b, a, rho in cases(60, seed=1):
        q_c, q_b = project((n_c, n_b), (p_c, p_b), a, rho)
        slow_c, slow_b = obvious.projection(n_c, n_b, *map(mpf, (p_c, p_b, a, rho)))
        assert float(q_b) == pytest.approx(float(slow_b), rel=1e-7, abs=2e-12), (n_c, n_b, p_c, p_b, a, rho)
        assert float(q_c) == pytest.approx(float(slow_c), rel=1e-7, abs=2e-12)


def test_the_closed_form_agrees_with_scipys_bounded_search():
    for n_c, n_b, p_c, p_b, a, rho in cases(100, seed=2):

        def loss(x, case=(n_c, n_b, p_c, p_b, a, rho)):
            n_c, n_b, p_c, p_b, a, rho = case
            y = a + rho * x
            return -(
                n_c * (p_c * np.log(y) + (1 - p_c) * np.log1p(-y)) + n_b * (p_b * np.log(x) + (1 - p_b) * np.log1p(-x))
            )

        _q_c, q_b = project((n_c, n_b), (p_c, p_b), a, rho)
        bounds = (1e-12, min(1.0, (1 - a) / rho) - 1e-12)
        found = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-13})
        assert loss(float(q_b)) <= found.fun + 1e-9 * abs(found.fun)


def test_an_e_value_is_a_ratio_of_scipys_binomial_likelihoods():
    rng = np.random.default_rng(3)
    for n_c, n_b, p_c, p_b, a, rho in cases(100, seed=3):
        f_c, f_b = rng.integers(0, n_c + 1), rng.integers(0, n_b + 1)
        q_c, q_b = project((n_c, n_b), (p_c, p_b), a, rho)
        ratio = (
            binom.logpmf(f_c, n_c, p_c) - binom.logpmf(f_c, n_c, q_c)
            + binom.logpmf(f_b, n_b, p_b) - binom.logpmf(f_b, n_b, q_b)
        )  # fmt: skip
        assert float(log_e((f_c, n_c, f_b, n_b), (p_c, p_b), a, rho)) == pytest.approx(ratio, rel=1e-8, abs=1e-6)


def rollout(seed: int, minutes: int = 6):
    rng = np.random.default_rng(seed)
    n_c, n_b = rng.integers(0, 60, minutes), rng.integers(0, 400, minutes)
    p_b = rng.choice([0.002, 0.02, 0.3])
    f_c, f_b = rng.binomial(n_c, min(1, p_b * rng.choice([1, 3, 10]))), rng.binomial(n_b, p_b)
    return [tuple(map(int, row)) for row in zip(f_c, n_c, f_b, n_b, strict=True)]


def streams(minutes, prior=(0, 0)) -> Streams:
    f_c, n_c, f_b, n_b = np.array(minutes, dtype=float).T
    none = np.zeros_like(f_c)
    return Streams(
        f_c,
        n_c,
        f_b,
        n_b,
        np.array([float(prior[0])]),
        np.array([float(prior[1])]),
        Correlation(none, none),
    )


@pytest.mark.parametrize("seed", range(12))
def test_harm_agrees_with_the_obvious_recursion(seed):
    minutes, prior = rollout(seed), (3, 900) if seed % 2 else (0, 0)
    a, rho = (0.005, 1.25) if seed % 3 else (0.0, 1.0)
    limit, horizon = float(np.log(300)), 4 if seed % 2 else 40  # all of the prior is spent, or most of it is not
    fast = harm(streams(minutes, prior), Tolerance(np.array(a), np.array(rho)), Starts.of(6, horizon, limit))[-1]
    slow = obvious.harm(
        minutes, mpf(a), mpf(rho), mpf(limit), horizon, prior=prior,
        factors=[mpf(one) for one in evidence.HARM_FACTORS],
        weights=[mpf(one) for one in evidence.HARM_WEIGHTS], caps=[mpf(one) for one in evidence.HARM_CAPS],
        first=mpf(evidence.FIRST_START),
    )  # fmt: skip
    assert fast == pytest.approx(float(mp.log(slow)), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(12))
def test_safety_agrees_with_the_obvious_product(seed):
    minutes, prior = rollout(seed), (3, 900) if seed % 2 else (0, 0)
    a, rho = (0.005, 1.25) if seed % 3 else (0.01, 0.5)
    fast = safe(streams(minutes, prior), Tolerance(np.array(a), np.array(rho)))[-1]
    slow = obvious.safe(
        minutes, mpf(a), mpf(rho), prior=prior,
        halfways=[mpf(one) for one in evidence.SAFE_HALFWAYS], weights=[mpf(one) for one in evidence.SAFE_WEIGHTS],
    )  # fmt: skip
    assert fast == pytest.approx(float(mp.log(slow)), rel=1e-7, abs=1e-7)


@pytest.mark.parametrize("seed", range(8))
def test_the_correlation_agrees_with_the_obvious_posterior(seed):
    """Coin flips and bursts, rare failures and frequent ones, a minute without requests, more than RECENT of them."""
    rng = np.random.default_rng(seed)
    # The last minute is one from which on something new is believed.
    minutes, rate = (28, 0.02) if seed == 0 else (6, [0.002, 0.02, 0.3][seed % 3])
    n_c, n_b = rng.integers(30, 60, minutes), rng.integers(300, 500, minutes)
    n_b[3] = n_c[4] = 0 if seed % 2 else 40
    rates = rng.beta(5 * rate, 5 * (1 - rate), (2, minutes)) if seed % 4 else np.full((2, minutes), rate)
    bad_c, bad_b = rng.binomial(n_c, rates[0]), rng.binomial(n_b, rates[1])
    fast = correlation((bad_c.astype(float), bad_b.astype(float)), (n_c.astype(float), n_b.astype(float)))
    likely = [min(1, (dispersion.LIKELY / one) ** 2) for one in dispersion.CORRELATIONS]
    flips = dispersion.COIN_FLIPS
    on_canary, on_baseline = obvious.effects(
        [(mpf(int(f)), int(n)) for f, n in zip(bad_c, n_c, strict=True)],
        [(mpf(int(f)), int(n)) for f, n in zip(bad_b, n_b, strict=True)],
        [mpf(one) for one in dispersion.CORRELATIONS],
        prior=[flips, *((1 - flips) * one / sum(likely) for one in likely)],
        clustered=dispersion.CLUSTERED, power=dispersion.PAIR, unruly=dispersion.UNRULY, recent=dispersion.RECENT,
    )  # fmt: skip
    others_c, others_b = n_c[n_c > 0].mean() - 1, n_b[n_b > 0].mean() - 1
    clusters, icc = fast.clusters[-1], fast.icc[-1]
    assert clusters + others_b * icc == pytest.approx(float(on_baseline), rel=1e-3, abs=1e-6)
    assert clusters + others_c * icc == pytest.approx(float(on_canary), rel=1e-3, abs=1e-6)


def test_each_slots_counts_are_divided_by_its_own_design_effect():
    """11 and 101 requests that are alike to a tenth tell as much as 5.5 and 101 / 11; clusters weigh on both."""
    ten = np.full(1, 0.1)
    unquiet = streams([(4, 11, 22, 101)])._replace(correlation=Correlation(ten, 0 * ten))
    assert np.ravel(reduced(unquiet)) == pytest.approx([4 / 2, 11 / 2, 22 / 11, 101 / 11])
    clusters = unquiet._replace(correlation=Correlation(0 * ten, 30 * ten))
    assert np.ravel(reduced(clusters)) == pytest.approx([4 / 4, 11 / 4, 22 / 4, 101 / 4])


def test_the_upper_bound_is_the_rate_at_which_chernoffs_bound_is_the_limit():
    for bad, requests in ((0, 10), (3, 500), (90, 100), (100, 100)):
        upper = float(log_upper(bad, requests, np.log(200)))
        rate = bad / requests
        apart = sum(
            weight * np.log(weight / requests / against)
            for weight, against in ((bad, upper), (requests - bad, 1 - upper))
            if weight
        )
        assert upper == pytest.approx(1.0, abs=1e-9) if rate == 1 else apart == pytest.approx(np.log(200), rel=1e-6)
        assert float(binom.cdf(bad, requests, upper)) <= 1 / 200 or rate == 1


def test_the_interval_for_display_is_scipys_wilson_interval():
    for bad, requests in ((0, 10), (3, 500), (100, 100)):
        interval = binomtest(bad, requests).proportion_ci(confidence_level=0.95, method="wilson")
        assert _wilson(bad, requests) == pytest.approx((interval.low, interval.high), abs=2e-5)
