"""How much real intervals vary more than coin flips: the intra-interval correlation of baseline requests.

Requests of one interval share its conditions (a slow database, a retry burst), so n of them tell less than
n coin flips. The correlation is estimated from consecutive baseline intervals, history first, and used from
the next interval on; only differences count, so a level that drifts is not noise.
"""

from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from analyzers.judge.projection import Floats, within

# The largest squared differences are left out, two in sixty pairs, and two in thirty: an outage jumps up once
# and down once.
DROPPED, OUTAGE_PAIRS, OUTAGE_FROM = 1 / 30, 2, 30
# Below so many bad requests a pair, differences are discrete and rare: nothing is left out.
FEW_BAD = 5.0
# Rare failures that come in bursts make most intervals calm and a few wild: the mean hangs on those few. With
# the excess kurtosis t of an interval's rate, a mean without 1 / 30 of the pairs keeps 1 / (1 + t / TAIL_KEPT) of
# itself, and pairs tell as much as 1 / (1 + t / TAIL_PAIRS) of them would: both fitted on gamma rates, shape 0.05
# to 1,000.
TAIL_KEPT, TAIL_PAIRS, TAIL_MOST = 36.0, 12.0, 60.0
# The tail follows from the correlation, and the correlation from the tail: so many rounds.
ROUNDS = 3
# Consecutive pairs share an interval: three tell as much as two (von Neumann, as in `differences`).
PAIR = 2 / 3
# A spread is believed to be more than coin flips from this many standard deviations on, fully one later. Safety
# believes it sooner: a promotion can wait, a rollback must not.
DOUBT_HARM, DOUBT_SAFE = 1.3, 0.5
# Few pairs can look calm by luck: an upper bound is used, not the estimate. CAUTION standard deviations above
# it, and up to CAREFUL more with at most FEW_PAIRS pairs whose spread is believed in.
CAUTION, CAREFUL, FEW_PAIRS = NormalDist().inv_cdf(0.6), 1.75, 10.0
# Before the first pair: as if 300 requests told as much as any number of them; three pairs are needed to
# believe in more correlation than FIRST_MOST.
UNKNOWN, FIRST_MOST, FIRST_PAIRS = 1 / 300, 0.02, 3
# The estimate is renewed after each of the first ten pairs, then whenever a third more has been seen.
EVERY_PAIR_UNTIL, GROWTH = 10, 4 / 3
# With a history, the canary's own pairs are few for long: theirs is renewed at these, and half as many more.
OWN_FROM, OWN_GROWTH = 3, 1.5
# At so many pairs, all intervals so far are weighed anew with what is known by then. A history of an hour has
# passed them all.
REVISIONS = (2, 4, 6, 9, 13, 20, 30)


class Correlation(NamedTuple):
    """What is known before each interval, shape (..., intervals): n requests tell as much as n / (1 + c + (n - 1) icc).

    Requests of one interval are alike (icc), and failures come in clusters of some size, such as retries (c).
    """

    harm: Floats  # icc, as evidence of harm is weighed
    safe: Floats  # icc, as evidence of safety is: believed sooner
    clusters_harm: Floats  # c
    clusters_safe: Floats


class Spread(NamedTuple):
    """What the pairs up to some intervals show, shape (..., looks): squared differences against coin flips'."""

    ratio: Floats  # mean squared difference over its expectation; 1 under coin flips
    pairs: Floats  # with requests in both intervals
    level: Floats  # p (1 - p)
    requests: Floats  # mean of an interval
    left_out: Floats  # share of the pairs, those with the largest differences


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


def spread(bad: Floats, requests: Floats, looks: list[int]) -> Spread:
    """The squared differences of the first 1, 2, ... pairs, as `looks` says, against their expectation.

    The ratio of the sums, not the mean of the ratios: a burst raises its own pair's expectation and would
    hide itself.
    """
    squared, expected = differences(bad, requests)
    usable = np.isfinite(squared)
    last = np.array(looks) - 1
    pairs = usable.cumsum(axis=-1)[..., last].astype(np.float64)
    number = np.maximum(pairs, 1)
    squared, expected = np.where(usable, squared, 0.0), np.where(usable, expected, 0.0)
    shares = np.array([max(DROPPED, OUTAGE_PAIRS / one) if one >= OUTAGE_FROM else DROPPED for one in looks])
    left_out = np.where(bad.cumsum(axis=-1)[..., last + 1] / number >= FEW_BAD, shares, 0.0)
    total = squared.cumsum(axis=-1)[..., last]
    for look, first in enumerate(looks):
        if left_out[..., look].any():
            # Pairs without requests are zeros in front: the largest are at the end whatever their number.
            weight = within(first - (left_out * pairs)[..., look, None] - np.arange(first), 0.0, 1.0)
            total[..., look] = (np.sort(squared[..., :first], axis=-1) * weight).sum(axis=-1)
    level = expected.cumsum(axis=-1)[..., last] / number
    mean_requests = (requests[..., 1:] * usable).cumsum(axis=-1)[..., last] / number
    mean = total / np.maximum((1 - left_out) * pairs, 1e-9)
    kept = np.where(left_out > 0, [kept_mean(one) for one in shares.tolist()], 1.0)
    return Spread(mean / np.maximum(level, 1e-300) / kept, pairs, level, mean_requests, left_out)


def kept_mean(left_out: float) -> float:
    """What is left of the mean of chi-squared(1) without its largest: (1 - d - 2 z phi(z)) / (1 - d).

    >>> round(kept_mean(1 / 30), 3)
    0.817
    """
    z = NormalDist().inv_cdf(1 - left_out / 2)
    return (1 - left_out - 2 * z * NormalDist().pdf(z)) / (1 - left_out)


def doubt(seen: Spread) -> Floats:
    """How far each spread is beyond what coin flips explain, in standard deviations.

    Wilson and Hilferty's cube root of chi-squared; rare coin flips have a tail of their own.
    """
    tail = within(1 / np.maximum(seen.level * seen.requests, 1e-9), None, TAIL_MOST)
    width = 2 / (9 * _freedom(seen, tail))
    beyond: Floats = (np.cbrt(seen.ratio) - (1 - width)) / np.sqrt(width)
    return beyond


def upper(seen: Spread, caution: Floats) -> Floats:
    """Upper bound of the correlation, `caution` standard deviations above its estimate; shape as `caution`.

    The lower quantile of chi-squared's mean (Wilson and Hilferty), with the tail that this correlation brings:
    6 icc (1 - 2p)^2 / (p (1 - p)), the excess kurtosis of a beta rate.
    """
    level, others = np.maximum(seen.level, 1e-300), np.maximum(seen.requests - 1, 1e-9)
    lost = np.sqrt(seen.left_out / DROPPED) / TAIL_KEPT
    tail = np.zeros_like(caution)
    found = tail
    for _ in range(ROUNDS):
        width = 2 / (9 * _freedom(seen, tail))
        quantile = np.maximum(1 - width - caution * np.sqrt(width), 0.2) ** 3
        inflation = seen.ratio * (1 + tail * lost) / quantile
        found = within((inflation - 1) / others, 0.0, 0.5)
        tail = within(6 * found * (1 - 4 * seen.level) / level, 0.0, TAIL_MOST)
    return found


def _freedom(seen: Spread, tail: Floats) -> Floats:
    """Degrees of freedom of the mean squared difference."""
    return np.maximum(np.maximum(seen.pairs, 1) * PAIR / (1 + tail / TAIL_PAIRS), 0.3)


def believed(seen: Spread) -> Floats:
    """The correlation, shape (2, ...): for harm and for safety; 0 as long as coin flips explain the spread."""
    thresholds = np.array([DOUBT_HARM, DOUBT_SAFE]).reshape((2,) + (1,) * seen.ratio.ndim)
    belief = within(doubt(seen) - thresholds, 0.0, 1.0)
    careful = CAREFUL * np.minimum(1.0, FEW_PAIRS / np.maximum(seen.pairs, 1))
    found = belief * upper(seen, CAUTION + careful * belief)
    found = np.minimum(found, np.where(seen.pairs < FIRST_PAIRS, FIRST_MOST, 1.0))
    found = np.where((seen.level > 0) & (seen.requests > 1), found, 0.0)
    return np.where(seen.pairs > 0, found, UNKNOWN)


def clustered(found: Floats, baseline: Spread, canary: Spread) -> tuple[Floats, Floats]:
    """(icc, c) from the correlation that explains the baseline's spread alone, shape (2, ...) each.

    Two sizes of interval tell the two apart: a correlation weighs on the larger one, clusters weigh on both alike.
    The canary's own spread says where between them its inflation lies. Before it has shown enough pairs, safety
    takes the most that can be (a promotion can wait), harm the geometric mean, or the least where all will soon be
    weighed anew (`revisions`).
    """
    if not found.any():
        return found, found
    others_b, others_c = np.maximum(baseline.requests - 1, 0.0), np.maximum(canary.requests - 1, 0.0)
    least, most = others_c * found, others_b * found
    middle = np.where(baseline.pairs > REVISIONS[-1], np.sqrt((1 + least[0]) * (1 + most[0])) - 1, least[0])
    shown = others_c * upper(canary, np.full_like(canary.pairs, CAUTION))
    own = np.where(canary.pairs >= OWN_FROM, shown, np.stack((middle, most[1])))
    inflation = np.maximum(np.minimum(own, most), least)
    apart = others_b - others_c
    told = (apart > 0.25 * others_c) & (baseline.pairs > 0)
    icc = np.where(told, (most - inflation) / np.maximum(apart, 1e-9), found)
    return icc, np.where(told, inflation - others_c * icc, 0.0)


def correlation(
    bad: tuple[Floats, Floats],
    requests: tuple[Floats, Floats],
    history_bad: Floats | None = None,
    history: Floats | None = None,
) -> Correlation:
    """What is known before each interval, from pairs that ended before it; counts are (canary, baseline)."""
    both_bad, both = np.stack(bad), np.stack(requests)
    intervals = both.shape[-1]
    past = 0 if history is None else history.shape[-1]
    if history is not None and history_bad is not None:  # the canary had no requests then
        both_bad = np.concatenate((np.stack((np.zeros_like(history), history_bad)), both_bad), -1)
        both = np.concatenate((np.stack((np.zeros_like(history), history)), both), -1)
    result = np.full((*both.shape[:-1], intervals), UNKNOWN)
    clusters = np.zeros_like(result)
    begins = _renewals(intervals, past)
    if begins:
        seen = spread(both_bad, both, [one - 1 for one in begins])
        canary, baseline = (Spread(*(part[slot] for part in seen)) for slot in (0, 1))
        found, c = clustered(believed(baseline), baseline, canary)
        spans = np.diff([*begins, past + intervals])
        result[..., begins[0] - past :] = np.repeat(found, spans, axis=-1)
        clusters[..., begins[0] - past :] = np.repeat(c, spans, axis=-1)
    return Correlation(*result, *clusters)


def _renewals(intervals: int, past: int) -> list[int]:
    """From which intervals on the estimate is a new one: as pairs of both slots grow, and as the canary's own do.

    Of all intervals before one, all but the first are pairs that ended before: from two on, there are some.
    """
    begins, position = {max(past, 2)}, max(past, 2)
    while position < past + intervals:
        begins.add(position)
        pairs = position - 1
        position += 1 if pairs < EVERY_PAIR_UNTIL else max(1, int(pairs * GROWTH) + 1 - position)
    own = OWN_FROM + 1
    while past and own < intervals:
        begins.add(past + own)
        own = int(own * OWN_GROWTH) + 1
    return sorted(one for one in begins if one < past + intervals)


def revisions(intervals: int, history: int) -> list[tuple[int, int]]:
    """Spans of looks [from, to) that weigh every interval before `from` with the correlation known at `from`.

    >>> revisions(12, 0), revisions(12, 60)
    ([(0, 3), (3, 5), (5, 7), (7, 10), (10, 12)], [(0, 12)])
    """
    begins = [0] + [pairs + 1 - history for pairs in REVISIONS if 0 < pairs + 1 - history < intervals]
    return list(zip(begins, [*begins[1:], intervals], strict=True))


def revised(known: Correlation, first: int) -> Correlation:
    """`known` per interval, with what was known before interval `first` replaced by what is known there."""
    return Correlation(*(_from(one, first) for one in known)) if first else known


def _from(known: Floats, first: int) -> Floats:
    early = np.broadcast_to(known[..., first : first + 1], known[..., :first].shape)
    return np.concatenate((early, known[..., first:]), -1)
