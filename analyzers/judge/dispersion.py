"""How much real intervals vary more than coin flips: the intra-interval correlation of baseline requests.

Requests of one interval share its conditions (a slow database, a retry burst), so n of them tell less than
n coin flips. The correlation is estimated from consecutive baseline intervals, history first, and used from
the next interval on; only differences count, so a level that drifts is not noise.
"""

from statistics import NormalDist

import numpy as np

from analyzers.judge.projection import Floats

# The largest squared differences are left out, two in sixty pairs: an outage jumps up once and down once.
DROPPED = 1 / 30
_Z = NormalDist().inv_cdf(1 - DROPPED / 2)
# What is left of the mean of chi-squared(1) without its largest: (1 - d - 2 z phi(z)) / (1 - d).
KEPT_MEAN = (1 - DROPPED - 2 * _Z * NormalDist().pdf(_Z)) / (1 - DROPPED)
# Below so many bad requests a pair, differences are discrete and rare: nothing is left out.
FEW_BAD = 5.0
# Few pairs can look calm by luck: the upper 60 % bound of the variance is used, not the estimate.
CAUTION = NormalDist().inv_cdf(0.6)
# Before the first pair: as if 300 requests told as much as any number of them; three pairs are needed to
# believe in more correlation than this.
UNKNOWN, FIRST_MOST, FIRST_PAIRS = 1 / 300, 0.005, 3
# The estimate is renewed after each of the first ten pairs, then whenever a third more has been seen.
EVERY_PAIR_UNTIL, GROWTH = 10, 4 / 3
# At so many pairs, all intervals so far are weighed anew with what is known by then. A history of an hour has
# passed them all.
REVISIONS = (2, 4, 6, 9, 13, 20, 30)


def differences(bad: Floats, requests: Floats) -> tuple[Floats, Floats]:
    """(squared difference, its expectation under coin flips) of each consecutive pair; NaN without requests.

    (p_i - p_{i-1})^2 / (1/n_i + 1/n_{i-1}) against p (1 - p), p the pair's pooled rate.
    """
    n1, n2, f1, f2 = requests[..., 1:], requests[..., :-1], bad[..., 1:], bad[..., :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        pooled = (f1 + f2) / (n1 + n2)
        squared = (f1 / n1 - f2 / n2) ** 2 / (1 / n1 + 1 / n2)
    both = (n1 > 0) & (n2 > 0)
    return np.where(both, squared, np.nan), np.where(both, pooled * (1 - pooled), np.nan)


def inflation(squared: Floats, expected: Floats, bad_per_pair: Floats) -> Floats:
    """Upper bound of the variance inflation over the pairs (last axis); 1 under coin flips, never below.

    The ratio of the sums, not the mean of the ratios: a burst raises its own pair's expectation and would
    hide itself.
    """
    number = np.isfinite(squared).sum(axis=-1)
    dropped = np.where(bad_per_pair < FEW_BAD, 0.0, DROPPED)
    kept = (1 - dropped) * number
    ordered = np.sort(squared, axis=-1)  # NaN last
    weight = np.clip(kept[..., None] - np.arange(squared.shape[-1]), 0.0, 1.0)
    mean = (np.where(weight > 0, ordered, 0.0) * weight).sum(axis=-1) / np.maximum(kept, 1e-9)
    mean /= np.where(dropped > 0, KEPT_MEAN, 1.0)
    level = np.nansum(expected, axis=-1) / np.maximum(number, 1)
    # Wilson and Hilferty's cube root of chi-squared: the lower 40 % quantile of its mean.
    pairs = np.maximum(number, 1)
    quantile = (1 - 2 / (9 * pairs) - CAUTION * np.sqrt(2 / (9 * pairs))) ** 3
    return np.where(level > 0, np.maximum(mean / np.maximum(level, 1e-300) / quantile, 1.0), 1.0)


def correlation(
    bad: Floats, requests: Floats, history_bad: Floats | None = None, history: Floats | None = None
) -> Floats:
    """The correlation known before each interval, from baseline pairs that ended before it; shape as `bad`."""
    intervals = bad.shape[-1]
    past = 0 if history is None else history.shape[-1]
    if history is not None and history_bad is not None:
        bad, requests = np.concatenate((history_bad, bad), -1), np.concatenate((history, requests), -1)
    squared, expected = differences(bad, requests)
    usable = np.isfinite(squared)
    result = np.full((*bad.shape[:-1], intervals), UNKNOWN)
    position = past
    while position < past + intervals:
        pairs = max(position - 1, 0)  # those whose later interval lies before `position`
        grown = position + 1 if pairs < EVERY_PAIR_UNTIL else max(position + 1, int(pairs * GROWTH) + 1)
        upto = min(grown, past + intervals)
        if pairs:
            used = usable[..., :pairs]
            number = used.sum(axis=-1)
            per_pair = bad[..., : pairs + 1].sum(axis=-1) / np.maximum(number, 1)
            m = inflation(squared[..., :pairs], expected[..., :pairs], per_pair)
            mean = (requests[..., 1 : pairs + 1] * used).sum(axis=-1) / np.maximum(number, 1)
            found = np.where(mean > 1, (m - 1) / np.maximum(mean - 1, 1e-9), 0.0)
            found = np.minimum(found, np.where(number < FIRST_PAIRS, FIRST_MOST, 1.0))
            result[..., position - past : upto - past] = np.where(number > 0, found, UNKNOWN)[..., None]
        position = upto
    return result


def revisions(intervals: int, history: int) -> list[tuple[int, int]]:
    """Spans of looks [from, to) that weigh every interval before `from` with the correlation known at `from`.

    >>> revisions(12, 0), revisions(12, 60)
    ([(0, 3), (3, 5), (5, 7), (7, 10), (10, 12)], [(0, 12)])
    """
    begins = [0] + [pairs + 1 - history for pairs in REVISIONS if 0 < pairs + 1 - history < intervals]
    return list(zip(begins, [*begins[1:], intervals], strict=True))


def revised(known: Floats, first: int) -> Floats:
    """`known` per interval, with what was known before interval `first` replaced by what is known there."""
    if not first:
        return known
    return np.concatenate(
        (np.broadcast_to(known[..., first : first + 1], known[..., :first].shape), known[..., first:]), -1
    )
