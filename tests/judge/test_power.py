"""Power floors: how soon faults are found and good versions proven, against the information limit.

No test that keeps alpha is faster, on average, than log(1/alpha) / (information a minute).
"""

import numpy as np
import pytest

from analyzers.judge import first_crossings
from analyzers.judge.projection import project
from tests.judge.test_promises import ill_instances, world


def information_limit(baseline, canary, rpm, *, points=0.002, ratio=1.25, share=0.1, alpha=0.01):
    """Minutes: log(1/alpha) / (n_c KL(p_c, q_c) + n_b KL(p_b, q_b))."""

    def apart(p, q):
        return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))

    requests = rpm * share, rpm * (1 - share)
    q_c, q_b = project(requests, (canary, baseline), points, ratio)
    return float(np.log(1 / alpha) / (requests[0] * apart(canary, q_c) + requests[1] * apart(baseline, q_b)))


def minutes_to(baseline, canary, rpm, *, minutes=120, rollouts=250, seed=0, **asked):
    counts, history = world(canary, baseline, rpm=rpm, minutes=minutes, rollouts=rollouts, seed=200 + seed)
    found = first_crossings(*counts, points=0.002, ratio=1.25, alpha=0.01, beta=0.01, history=history, **asked)
    return [np.where(one == 0, 10 * minutes, one) for one in found]


@pytest.mark.parametrize(
    ("baseline", "canary", "rpm"),
    [(0.001, 0.01, 2000), (0.01, 0.02, 2000), (0.02, 0.04, 2000), (0.01, 0.05, 200), (0.001, 0.005, 20_000)],
)
def test_the_mean_time_to_rollback_is_within_1_6_times_the_information_limit(baseline, canary, rpm):
    """Four standard errors of the simulation allowed on top."""
    limit = information_limit(baseline, canary, rpm)
    assert limit > 5
    harm, _ = minutes_to(baseline, canary, rpm, minutes=int(6 * limit) + 60)
    assert harm.mean() <= 1.6 * limit + 4 * harm.std() / np.sqrt(len(harm))


@pytest.mark.parametrize(
    ("baseline", "canary", "rpm"), [(0.01, 0.0165, 20_000), (0.02, 0.03, 20_000), (0.1, 0.15, 2000)]
)
def test_a_fault_just_beyond_the_boundary_is_found_within_twice_the_information_limit(baseline, canary, rpm):
    """A seventh, a ninth and a fifth beyond it: no alternative far from the boundary speaks for those."""
    limit = information_limit(baseline, canary, rpm)
    harm, _ = minutes_to(baseline, canary, rpm, minutes=int(6 * limit), rollouts=150)
    assert np.minimum(harm, 6 * limit).mean() <= 2 * limit


@pytest.mark.parametrize(
    ("baseline", "canary", "rpm"), [(0.001, 0.1, 2000), (0.005, 0.1, 500), (0.02, 0.4, 500), (0.005, 0.5, 60)]
)
def test_a_severe_fault_is_found_in_two_minutes(baseline, canary, rpm):
    harm, _ = minutes_to(baseline, canary, rpm, minutes=20)
    assert np.median(harm) <= 2
    assert harm.min() >= 2, "and no single minute decides"


def test_a_fault_that_begins_after_forty_healthy_minutes_is_found():
    rate = np.where(np.arange(120) < 40, 0.005, 0.02)
    harm, _ = minutes_to(0.005, rate, 2000)
    assert np.median(harm) <= 52
    assert (harm > 40).mean() > 0.99


@pytest.mark.parametrize(("rate", "rpm"), [(0.001, 2000), (0.005, 2000), (0.02, 2000), (0.001, 20_000), (0.02, 20_000)])
def test_the_median_promotion_without_a_difference_is_within_twice_its_limit(rate, rpm):
    _, safe = minutes_to(rate, rate, rpm)
    assert np.median(safe) <= 2 * information_limit(rate, rate, rpm, alpha=0.01)


@pytest.mark.parametrize(("factor", "within"), [(4, 10), (20, 2)])
def test_a_version_bug_on_all_of_ten_instances_is_found(factor, within):
    rng = np.random.default_rng(5)
    requests, baseline = rng.poisson(20, (150, 10, 40)), rng.poisson(180, (150, 10, 40))
    bad, baseline_bad = rng.binomial(requests, 0.005 * factor), rng.binomial(baseline, 0.005)
    past = rng.poisson(1800, (150, 60))
    past_bad = rng.binomial(past, 0.005)
    harm, _ = first_crossings(
        requests.sum(1), bad.sum(1), baseline.sum(1), baseline_bad.sum(1), points=0.002, ratio=1.25, alpha=0.01,
        beta=0.01, history=(past, past_bad), canary_instances=(requests, bad),
        baseline_instances=(baseline, baseline_bad),
    )  # fmt: skip
    assert np.median(np.where(harm == 0, 99, harm)) <= within


def test_a_sick_baseline_instance_does_not_make_a_bad_canary_look_good():
    """The canary is beyond tolerance; one baseline instance of ten fails wholly and lifts the baseline's rate."""
    (requests, _), (baseline, _) = ill_instances(1e9, seed=3, rollouts=60, minutes=60)
    rng = np.random.default_rng(6)
    requests, baseline = requests[..., 60:], baseline[..., 60:]
    rates = np.full((1, 10, 1), 0.005)
    rates[0, 3] = 0.5
    bad, baseline_bad = rng.binomial(requests, 0.03), rng.binomial(baseline, rates)
    asked = {"points": 0.002, "ratio": 1.25, "alpha": 0.01, "beta": 0.01}
    totals = [part.sum(axis=1) for part in (requests, bad, baseline, baseline_bad)]
    _, fooled = first_crossings(*totals, **asked)
    _, safe = first_crossings(*totals, baseline_instances=(baseline, baseline_bad), **asked)
    assert (fooled > 0).mean() > 0.9
    assert (safe > 0).mean() <= 0.02
