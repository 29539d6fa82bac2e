"""How much minutes vary more than coin flips: not overlooked where it matters, not imagined where it is not."""

import numpy as np
import pytest

from analyzers.judge.dispersion import (
    ASKED,
    REVISIONS,
    Correlation,
    Pairs,
    correlation,
    revised,
)

REQUESTS, CANARY = 18_000, 2_000  # a minute


def minutes(
    rate: float, k: int | None, number: int, rollouts: int = 300, seed: int = 1, each: int = REQUESTS
) -> tuple[np.ndarray, np.ndarray]:
    """(bad, requests) of one slot's minutes, shape (rollouts, minutes); k None: coin flips."""
    rng = np.random.default_rng(seed)
    requests = rng.poisson(each, (rollouts, number))
    rates = np.full(requests.shape, rate) if k is None else rng.beta(k * rate, k * (1 - rate), requests.shape)
    return rng.binomial(requests, rates).astype(float), requests.astype(float)


def known(rate: float, k: int | None, number: int, history: int = 60) -> Correlation:
    """What is known of a slot of each size, `history` minutes of the baseline before it."""
    bad, requests = minutes(rate, k, history + number)
    bad_c, requests_c = minutes(rate, k, number, seed=2, each=CANARY)
    return correlation(
        (bad_c, bad[:, history:]), (requests_c, requests[:, history:]), bad[:, :history], requests[:, :history]
    )


def effect(found: Correlation, each: int) -> np.ndarray:
    """By how much so many requests tell less after the last minute."""
    return 1 + found.clusters[:, -1] + (each - 1) * found.icc[:, -1]


@pytest.mark.parametrize("rate", [0.001, 0.005, 0.05, 0.5, 0.99])
def test_coin_flips_are_recognised_after_an_hour(rate):
    """Frequent failures, too: as many good requests as bad ones would tell."""
    found = known(rate, None, 10)
    assert np.median(effect(found, CANARY)) < 1.05
    assert np.quantile(effect(found, CANARY), 0.95) < 1.6


@pytest.mark.parametrize(
    ("rate", "k"), [(0.001, 200), (0.001, 1000), (0.005, 50), (0.005, 200), (0.05, 50), (0.05, 1000), (0.4, 200)]
)
def test_bursts_are_seldom_taken_for_less_than_half_of_what_they_are(rate, k):
    """An hour of minutes, from gamma-like rates of shape 0.2 to 80: the middle estimate is near the truth."""
    found = known(rate, k, 10)
    truth = 1 + (REQUESTS - 1) / (k + 1)
    assert np.mean(effect(found, REQUESTS) < truth / 2) <= 0.05
    assert 0.6 * truth < np.median(effect(found, REQUESTS)) < 2.5 * truth


def test_what_is_rare_and_what_is_frequent_are_mirror_images():
    """Good and bad requests in each other's place vary alike."""
    bad, requests = minutes(0.03, 200, 30, rollouts=20)
    bad_c, requests_c = minutes(0.03, 200, 30, rollouts=20, seed=2, each=CANARY)
    found = correlation((bad_c, bad), (requests_c, requests))
    mirrored = correlation((requests_c - bad_c, requests - bad), (requests_c, requests))
    for one, other in zip(found, mirrored, strict=True):
        assert other == pytest.approx(one)


def test_one_outage_of_the_baseline_is_not_a_burst():
    """A jump up and a jump down are two pairs of sixty that follow no rule."""
    bad, requests = minutes(0.005, None, 62)
    calm = correlation((bad, bad), (requests, requests))
    bad[:, 30:35] = np.round(0.3 * requests[:, 30:35])
    found = correlation((bad, bad), (requests, requests))
    assert np.median(effect(found, CANARY)) < 1.1 * np.median(effect(calm, CANARY))


def test_a_level_that_rises_and_falls_is_not_a_burst():
    """Eight times as many failures at noon as at night, over two hours."""
    rng = np.random.default_rng(5)
    rate = 0.002 * 8 ** np.sin(np.linspace(0, np.pi, 120))
    requests = rng.poisson(REQUESTS, (300, 120))
    bad = rng.binomial(requests, rate).astype(float)
    bad_c, requests_c = bad // 9, requests // 9.0
    found = correlation((bad_c, bad), (requests_c, requests.astype(float)))
    assert np.median(effect(found, CANARY)) < 1.1


def test_without_any_history_bursts_are_thought_possible_until_the_contrary_is_shown():
    """At first a canary's 2,000 requests count as a few hundred; twenty calm minutes later as what they are."""
    found = known(0.005, None, 21, history=0)
    at_first = 1 + found.clusters[:, 0] + (CANARY - 1) * found.icc[:, 0]
    assert (at_first > 4).all()
    assert np.median(effect(found, CANARY)) < 1.5


def test_a_canary_that_comes_and_goes_is_not_excused_by_its_own_bursts_beside_a_calm_history():
    """One wholly broken minute in three: the baseline's calm hour says that bursts are not the service's."""
    bad, requests = minutes(0.005, None, 90)
    bad_c, requests_c = minutes(0.005, None, 30, seed=2, each=CANARY)
    bad_c[:, ::3] = np.round(0.5 * requests_c[:, ::3])
    found = correlation((bad_c, bad[:, 60:]), (requests_c, requests[:, 60:]), bad[:, :60], requests[:, :60])
    assert np.median(effect(found, CANARY)) < 1.1


def test_nothing_is_known_of_an_interval_from_itself():
    """What is known before a minute does not change with that minute's bad requests, of either slot."""
    bad, requests = minutes(0.005, 200, 20, rollouts=50)
    bad_c, requests_c = minutes(0.005, 200, 20, rollouts=50, seed=2, each=CANARY)
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
    requests_c, requests = rng.poisson(float(CANARY), (400, 60)), rng.poisson(float(REQUESTS), (400, 60))
    bad_c, bad = (size * rng.poisson(part * 0.005 / size).astype(float) for part in (requests_c, requests))
    found = correlation((bad_c, bad), (requests_c.astype(float), requests.astype(float)))
    for each in (CANARY, REQUESTS):
        assert 0.6 * size < np.median(effect(found, each)) < 2.5 * size


@pytest.mark.parametrize("k", [50, 200])
def test_bursts_weigh_on_the_larger_slot(k):
    """The other shape: requests of one minute are alike, and a tenth as many of them tell as much."""
    found = known(0.01, k, 60)
    for each in (CANARY, REQUESTS):
        assert 0.6 < np.median(effect(found, each)) / (1 + (each - 1) / (k + 1)) < 2.5


@pytest.mark.parametrize("k", [50, 200])
def test_slots_of_one_size_tell_nothing_of_clusters(k):
    """Both shapes weigh alike on them: taken for clusters, they would weigh on each operation and instance as much."""
    bad, requests = minutes(0.01, k, 80)
    bad_c, requests_c = minutes(0.01, k, 20, seed=2)
    found = correlation((bad_c, bad[:, 60:]), (requests_c, requests[:, 60:]), bad[:, :60], requests[:, :60])
    assert (found.clusters == 0).all()
    assert (found.icc > 0).any()


def test_requests_tell_at_least_as_much_as_one_of_them():
    assert Correlation(np.array([0.9]), np.array([50.0])).effect(np.array([10.0, 1.0, 0.0])).tolist() == [10, 1, 1]


def test_minutes_without_requests_are_no_pairs():
    """Neither the pair before a gap nor the one after it tells anything; the others tell what they would."""
    bad, requests = minutes(0.005, 200, 15, rollouts=20)
    possible = ASKED[:, None, None]
    whole = Pairs.of(bad, requests).over_coin_flips(possible)
    bad[:, 14] = requests[:, 14] = 0
    gap = Pairs.of(bad, requests).over_coin_flips(possible)
    assert (gap[..., 13] == 0).all()
    assert np.array_equal(gap[..., :13], whole[..., :13])


def test_coin_flips_are_the_likelier_the_more_calm_minutes_there_are():
    told = Pairs.of(*minutes(0.005, None, 30)).over_coin_flips(ASKED[:, None, None])
    assert (told.mean(axis=1).max(axis=-1) < 0).all()


def test_what_is_known_later_weighs_what_came_before():
    found = known(0.005, 200, 12, history=0)
    first = REVISIONS[2] + 1
    for one, again in zip(found, revised(found, first), strict=True):
        assert (again[:, :first] == one[:, first : first + 1]).all()
        assert np.array_equal(again[:, first:], one[:, first:])
    assert revised(found, 0) is found
