"""The two promises, simulated over ALL looks: false rollbacks within alpha, false promotions within beta.

Counts of crossings are held against an exact binomial bound. ROLLOUTS is chosen so that a judge that errs
twice as often as promised fails (test_a_judge_that_errs_twice_as_often_as_promised_fails says so).
"""

import numpy as np
import pytest
from scipy.stats import binom

from analyzers.judge import first_crossings

ALPHA = BETA = 0.05  # larger than production's: errors are counted, so they must be frequent enough
ROLLOUTS, MINUTES = 700, 60
POINTS, RATIO = 0.002, 1.25
SEED = 20_240


def allowed(promise: float, rollouts: int = ROLLOUTS) -> int:
    """The most crossings that a judge that keeps its promise shows, in 998 of 1,000 runs of a test."""
    return int(binom.ppf(0.998, rollouts, promise))


def boundary(rate):
    return POINTS + RATIO * np.asarray(rate)


def flips(rng, requests, rate, k=None):
    """Bad requests: coin flips, or beta-binomial with k (the smaller, the more an interval differs)."""
    rate = np.broadcast_to(rate, requests.shape)
    if k is not None:
        rate = rng.beta(np.maximum(k * rate, 1e-9), np.maximum(k * (1 - rate), 1e-9))
    return rng.binomial(requests, rate)


def world(
    canary, baseline, *, rpm=2000, share=0.1, k=None, seed=0, rollouts=ROLLOUTS, minutes=MINUTES, history=60, kept=1.0
):
    """first_crossings' arguments for rollouts whose rates are constants or arrays over the minutes."""
    rng = np.random.default_rng(SEED + seed)
    sent = rng.poisson(rpm, (rollouts, minutes))
    to_canary = rng.binomial(sent, share)
    kept_canary, kept_baseline = rng.binomial(to_canary, kept), rng.binomial(sent - to_canary, kept)
    past = rng.poisson(rpm * kept, (rollouts, history))
    before = np.broadcast_to(baseline, minutes)[0]
    counts = (
        kept_canary, flips(rng, kept_canary, canary, k), kept_baseline, flips(rng, kept_baseline, baseline, k)
    )  # fmt: skip
    return counts, (past, flips(rng, past, before, k))


def crossings(counts, history, **changes):
    asked = {"points": POINTS, "ratio": RATIO, "alpha": ALPHA, "beta": BETA, "history": history, **changes}
    harm_minute, safe_minute = first_crossings(*counts, **asked)
    return int((harm_minute > 0).sum()), int((safe_minute > 0).sum())


def test_a_judge_that_errs_twice_as_often_as_promised_fails():
    assert binom.cdf(allowed(ALPHA), ROLLOUTS, 2 * ALPHA) < 0.05


DRIFT = 0.01 * (1 + 0.8 * np.sin(np.arange(MINUTES) / 9))
JUMP = np.where(np.arange(MINUTES) < 25, 0.004, 0.03)
OUTAGE = np.where((np.arange(MINUTES) >= 20) & (np.arange(MINUTES) < 25), 0.3, 0.005)
WORLDS = {
    "at the margin, 0.1 %": (0.001, {}),
    "at the margin, 2 %": (0.02, {}),
    "at the margin, 60 requests a minute": (0.02, {"rpm": 60}),
    "at the margin, 20,000 requests a minute": (0.005, {"rpm": 20_000}),
    "at the margin, half of the traffic": (0.01, {"share": 0.5}),
    "at the margin, 1 % canary share": (0.01, {"share": 0.01}),
    "at the margin, without a history": (0.01, {"history": 0}),
    "a common rate that drifts": (DRIFT, {}),
    "a common rate that jumps": (JUMP, {}),
    "an outage of both": (OUTAGE, {}),
    "a rate of 60 %": (0.6, {"rpm": 200}),
    "no failures at all but the tolerance": (0.0, {}),
    "one row in ten is kept": (0.01, {"kept": 0.1}),
    "overdispersed, k = 1000": (0.01, {"k": 1000}),
}


@pytest.mark.parametrize("name", WORLDS)
def test_a_canary_at_the_margin_is_rolled_back_at_most_alpha_and_promoted_at_most_beta(name):
    """The worst that is tolerated, and the best that is not: the boundary itself, looked at every minute."""
    baseline, changes = WORLDS[name]
    harmful, safe = crossings(*world(boundary(baseline), baseline, seed=list(WORLDS).index(name), **changes))
    assert harmful <= allowed(ALPHA)
    assert safe <= allowed(BETA)


@pytest.mark.parametrize("rpm", [60, 2000, 20_000])
@pytest.mark.parametrize("rate", [0.0, 0.001, 0.02, 0.5, 0.999, 1.0])
def test_a_canary_without_a_difference_is_hardly_ever_rolled_back(rate, rpm):
    harmful, _ = crossings(*world(rate, rate, rpm=rpm, rollouts=300, seed=50))
    assert harmful <= 1


@pytest.mark.parametrize("k", [200, 1000])
@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01, 0.05])
def test_overdispersed_minutes_at_high_traffic_cost_at_most_twice_the_promises(k, rate):
    """Beta-binomial minutes at the margin, 20,000 requests a minute: 200 is as if 201 requests told anything."""
    counts, history = world(boundary(rate), rate, rpm=20_000, k=k, seed=60)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.01, 0.05])
def test_without_a_history_too(rate):
    """k = 200, and nothing known beforehand, be failures rare or frequent."""
    counts, history = world(boundary(rate), rate, rpm=20_000, k=200, history=0, seed=62)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("k", [8, 35, 110, 370, 1000])
def test_bursts_between_the_strengths_that_are_thought_possible_are_no_worse(k):
    """The posterior is over a few correlations; the true one lies between two of them, or beyond the last."""
    counts, history = world(boundary(0.01), 0.01, rpm=20_000, k=k, seed=66)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("before", [0.004, 0.03])
def test_bursts_of_a_service_whose_level_jumps_are_no_worse(before):
    """From 0.4 to 3 % in both slots after 25 minutes, and the other way round: the level is that of late."""
    rate = np.where(np.arange(MINUTES) < 25, before, 0.034 - before)
    counts, history = world(boundary(rate), rate, rpm=20_000, k=200, seed=67)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("rate", [0.001, 0.005])
def test_ten_minutes_of_history_are_enough(rate):
    """k = 200 at 20,000 requests a minute, rare failures too."""
    counts, history = world(boundary(rate), rate, rpm=20_000, k=200, history=10, seed=64)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("size", [2, 3, 5])
@pytest.mark.parametrize(("rate", "rpm"), [(0.005, 2000), (0.001, 20_000)])
def test_retries_in_clusters_cost_at_most_twice_the_promises(size, rate, rpm):
    """A failing request is sent again and fails again: `size` failures for each, in both slots."""
    rng = np.random.default_rng(SEED + size)
    sent, past = rng.poisson(rpm, (ROLLOUTS, 2 * MINUTES)), rng.poisson(rpm, (ROLLOUTS, 60))
    canary = rng.binomial(sent, 0.1)

    def bad(requests, rate):
        return np.minimum(size * rng.poisson(requests * rate / size), requests)

    counts = (canary, bad(canary, boundary(rate)), sent - canary, bad(sent - canary, rate))
    harmful, safe = crossings(counts, (past, bad(past, rate)), alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("rate", [0.003, 0.01])
def test_stronger_bursts_keep_the_promise_after_an_hour_of_history(rate):
    """k = 50: as if 51 requests told anything."""
    counts, history = world(boundary(rate), rate, rpm=20_000, k=50, seed=63)
    harmful, safe = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.02)
    assert safe <= allowed(0.02)


@pytest.mark.parametrize("k", [50, 200, 1000])
def test_overdispersed_minutes_without_a_difference_roll_back_at_most_alpha(k):
    counts, history = world(0.01, 0.01, rpm=20_000, k=k, seed=61)
    harmful, _ = crossings(counts, history, alpha=0.01, beta=0.01)
    assert harmful <= allowed(0.01)


def ill_instances(hours_between: float, seed: int, rollouts: int = 400, minutes: int = 120, each: float = 20.0):
    """Ten instances a slot; one falls ill once in `hours_between` and fails 30 % for 8 minutes, both slots alike."""
    rng = np.random.default_rng(SEED + seed)
    slots = []
    for mean in (each, each * 9):
        begins = rng.random((rollouts, 10, minutes + 60)) < 1 / (60 * hours_between)
        ill = np.zeros_like(begins)
        for late in range(8):
            ill[..., late:] |= begins[..., : begins.shape[-1] - late]
        requests = rng.poisson(mean, begins.shape)
        slots.append((requests, rng.binomial(requests, np.where(ill, 0.3, 0.005))))
    return slots


@pytest.mark.parametrize("each", [20.0, 200.0])
def test_an_instance_that_falls_ill_is_not_a_bad_version(each):
    """Once in two days: at most 3 % of healthy two-hour rollouts; without leaving one out it is ten times that."""
    (requests, bad), (baseline, baseline_bad) = ill_instances(48, seed=70, each=each)
    counts = (requests[..., 60:], bad[..., 60:], baseline[..., 60:], baseline_bad[..., 60:])
    past = (baseline[..., :60].sum(1), baseline_bad[..., :60].sum(1))
    totals = [part.sum(axis=1) for part in counts]
    asked = {"alpha": 0.01, "beta": 0.01}
    checked, _ = crossings(
        totals, past, canary_instances=counts[:2], baseline_instances=counts[2:], **asked
    )  # fmt: skip
    unchecked, _ = crossings(totals, past, **asked)
    assert checked <= allowed(0.03, 400)
    assert unchecked > 2 * checked + 20


def test_latency_that_follows_the_hours_is_nobodys_fault():
    """Both slots slow down together over the day: the share of slow requests rises from 5 to 20 % and falls again."""
    rate = 0.05 + 0.15 * np.sin(np.linspace(0, np.pi, MINUTES)) ** 2
    counts, history = world(rate, rate, rpm=2000, seed=80)
    harmful, _ = crossings(counts, history, points=0.01, ratio=1.0)
    assert harmful <= 2


def test_minutes_without_canary_requests_say_nothing():
    counts, history = world(boundary(0.05), 0.05, rpm=30, share=0.02, seed=81)
    assert (counts[0] == 0).mean() > 0.5
    harmful, safe = crossings(counts, history)
    assert harmful <= allowed(ALPHA)
    assert safe <= allowed(BETA)


@pytest.mark.parametrize("rate", [0.0, 0.02, 1.0])
def test_minutes_without_baseline_requests_say_nothing_whatever_the_canary_does(rate):
    """What the baseline would have done in them is unknown: nothing is compared with its past."""
    counts, history = world(rate, 0.005, rpm=2000, rollouts=20, seed=84)
    alone = (*counts[:2], *(np.zeros_like(one) for one in counts[2:]))
    assert crossings(alone, history) == (0, 0)


def test_a_baseline_that_logs_only_its_failures_makes_a_canary_neither_harmful_nor_safe():
    counts, history = world(1.0, 1.0, rpm=200, rollouts=200, seed=82)
    assert crossings(counts, history) == (0, 0)


def test_a_day_of_looks_keeps_the_promise():
    """1,440 looks, alpha 5 %: no single minute decides, and the whole day errs no more than promised."""
    counts, history = world(boundary(0.005), 0.005, rpm=500, rollouts=200, minutes=1440, seed=83)
    harmful, _ = crossings(counts, history)
    assert harmful <= allowed(ALPHA, 200)


def test_three_indicators_together_keep_the_promise():
    """Each at its margin, each at alpha / 3: a rollout errs when any does."""
    erred = np.zeros(ROLLOUTS, dtype=bool)
    for number, rate in enumerate((0.001, 0.01, 0.05)):
        counts, history = world(boundary(rate), rate, seed=90 + number)
        harm_minute, _ = first_crossings(
            *counts, points=POINTS, ratio=RATIO, alpha=ALPHA, beta=BETA, indicators=3, history=history
        )
        erred |= harm_minute > 0
    assert erred.sum() <= allowed(ALPHA)
