"""How much minutes vary more than coin flips: not overlooked where it matters, not imagined where it is not."""

import numpy as np
import pytest

from analyzers.judge.dispersion import (
    DOUBT_HARM,
    REVISIONS,
    Correlation,
    correlation,
    doubt,
    kept_mean,
    revised,
    spread,
)

REQUESTS = 18_000  # a minute


def minutes(
    rate: float, k: int | None, number: int, rollouts: int = 400, seed: int = 1
) -> tuple[np.ndarray, np.ndarray]:
    """(bad, requests) of baseline minutes, shape (rollouts, minutes); k None: coin flips."""
    rng = np.random.default_rng(seed)
    requests = rng.poisson(REQUESTS, (rollouts, number))
    rates = np.full(requests.shape, rate) if k is None else rng.beta(k * rate, k * (1 - rate), requests.shape)
    return rng.binomial(requests, rates).astype(float), requests.astype(float)


def alone(bad: np.ndarray, requests: np.ndarray) -> Correlation:
    """What the baseline's minutes say when the canary's are as large: there are no two sizes to tell apart."""
    return correlation((bad, bad), (requests, requests))


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.05])
def test_coin_flips_are_recognised_after_an_hour(rate):
    """Four in five rollouts then weigh requests for what they are; the rest for little less."""
    found = alone(*minutes(rate, None, 62)).harm[:, -1]
    effect = 1 + (REQUESTS - 1) * found
    assert np.mean(effect < 1.01) >= 0.75
    assert np.quantile(effect, 0.99) < 3


@pytest.mark.parametrize(
    ("rate", "k"), [(0.001, 200), (0.001, 1000), (0.005, 50), (0.005, 200), (0.05, 50), (0.05, 1000)]
)
def test_bursts_are_seldom_taken_for_less_than_half_of_what_they_are(rate, k):
    """An hour of minutes, from gamma-like rates of shape 0.2 to 50: the middle estimate is above the truth."""
    found = alone(*minutes(rate, k, 62)).harm[:, -1]
    truth = 1 / (k + 1)
    assert np.mean(found < truth / 2) <= 0.07
    assert np.median(found) >= truth


def test_one_outage_of_the_baseline_is_not_a_burst():
    """A jump up and a jump down are two of sixty pairs: left out."""
    bad, requests = minutes(0.005, None, 62)
    bad[:, 30:35] = np.round(0.3 * requests[:, 30:35])
    assert np.median(1 + (REQUESTS - 1) * alone(bad, requests).harm[:, -1]) < 1.5


def test_safety_believes_in_bursts_sooner_than_harm():
    """At every look, from few minutes to many."""
    for k in (None, 200):
        found = alone(*minutes(0.005, k, 40))
        assert (found.safe >= found.harm).all()
        assert (found.safe > found.harm).any()


def test_nothing_is_known_of_an_interval_from_itself():
    """What is known before a minute does not change with that minute's counts, of either slot: the bet stays fair."""
    bad, requests = minutes(0.005, 200, 20, rollouts=50)
    bad_c, requests_c = (part // 9 for part in minutes(0.005, 200, 20, rollouts=50, seed=2))
    before = correlation((bad_c, bad), (requests_c, requests))
    for at in (1, 5, 19):
        wild, wild_c = bad.copy(), bad_c.copy()
        wild[:, at], wild_c[:, at] = requests[:, at], requests_c[:, at]
        after = correlation((wild_c, wild), (requests_c, requests))
        for one, other in zip(before, after, strict=True):
            assert np.array_equal(one[:, : at + 1], other[:, : at + 1])


@pytest.mark.parametrize("size", [2, 5])
def test_failures_in_clusters_weigh_on_the_canary_as_they_do_on_the_baseline(size):
    """A request that is sent `size` times fails as often: so many requests tell as much as one, in either slot."""
    rng = np.random.default_rng(3)
    requests_c, requests = rng.poisson(2000.0, (400, 60)), rng.poisson(18_000.0, (400, 60))
    bad_c, bad = (size * rng.poisson(part * 0.005 / size).astype(float) for part in (requests_c, requests))
    found = correlation((bad_c, bad), (requests_c.astype(float), requests.astype(float)))
    for icc, clusters in ((found.harm, found.clusters_harm), (found.safe, found.clusters_safe)):
        for each in (2000, 18_000):
            effect = 1 + clusters[:, -1] + (each - 1) * icc[:, -1]
            assert 0.75 * size < np.median(effect) < 1.6 * size


@pytest.mark.parametrize("k", [50, 200])
def test_bursts_weigh_on_the_larger_slot(k):
    """The other shape: requests of one minute are alike, and a tenth as many of them tell as much."""
    bad, requests = minutes(0.01, k, 60)
    rng = np.random.default_rng(4)
    requests_c = rng.poisson(2000, requests.shape)
    bad_c = rng.binomial(requests_c, rng.beta(k * 0.01, k * 0.99, requests.shape))
    found = correlation((bad_c.astype(float), bad), (requests_c.astype(float), requests))
    for each in (2000, 18_000):
        effect = np.median(1 + found.clusters_harm[:, -1] + (each - 1) * found.harm[:, -1])
        assert 0.8 < effect / (1 + (each - 1) / (k + 1)) < 2.5


def test_minutes_without_requests_are_no_pairs():
    """Gaps change neither the number of pairs that are told apart nor what the others say."""
    bad, requests = minutes(0.005, 200, 40, rollouts=20)
    bad[:, 7] = requests[:, 7] = 0
    seen = spread(bad, requests, [39])
    assert (seen.pairs == 37).all()
    together = np.delete(bad, 7, axis=1), np.delete(requests, 7, axis=1)
    squared = ((together[0][:, 1:] / together[1][:, 1:] - together[0][:, :-1] / together[1][:, :-1]) ** 2) / (
        1 / together[1][:, 1:] + 1 / together[1][:, :-1]
    )
    slow = []
    for row in np.delete(squared, 6, axis=1):  # the pair across the gap
        kept = np.sort(row)
        weight = np.clip(37 * (1 - 2 / 39) - np.arange(37), 0, 1)
        slow.append((kept * weight).sum() / weight.sum())
    level = seen.level[:, 0]
    assert seen.ratio[:, 0] * level * kept_mean(2 / 39) == pytest.approx(slow)


def test_a_few_rare_failures_are_no_reason_for_doubt():
    """Three failures in ten minutes differ from minute to minute as coin flips do."""
    rng = np.random.default_rng(2)
    requests = np.full((2000, 10), 300.0)
    bad = rng.binomial(300, 0.001, requests.shape).astype(float)
    assert np.mean(doubt(spread(bad, requests, [9]))[:, 0] > DOUBT_HARM) < 0.25


def test_what_is_known_later_weighs_what_came_before():
    known = alone(*minutes(0.005, 200, 12, rollouts=3))
    first = REVISIONS[2] + 1
    for one, again in zip(known, revised(known, first), strict=True):
        assert (again[:, :first] == one[:, first : first + 1]).all()
        assert np.array_equal(again[:, first:], one[:, first:])
    assert revised(known, 0) is known
