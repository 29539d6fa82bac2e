"""How much real intervals vary more than coin flips: what pairs of consecutive intervals tell of it.

Requests of one interval share its conditions (a slow database), or their failures come in clusters (retries), so
n of them tell less than n coin flips. How much less is a posterior over a few strengths, known before each interval
from pairs that ended before it. A pair tells how its bad requests fell on its two intervals, given their sum: a
level that drifts is not noise.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers.judge.projection import Floats, within

Integers = NDArray[np.int64]

# The correlations that are thought possible beside none at all (coin flips), and how likely beforehand: all equally up
# to LIKELY (at which any number of requests tells no more than 67), from there falling with the square. The likelihood
# is smooth, so it is computed for every other one, ASKED. The priors, here and below, were chosen together, on errors
# at the boundary and minutes to rollback (benchmarks/judge_power.py).
CORRELATIONS: Floats = 1e-4 * 2.0 ** np.arange(11.0)
ASKED = CORRELATIONS[::2]
COIN_FLIPS, LIKELY = 2 / 3, 0.015
# How likely, where minutes do vary more, it is that failures come in clusters, which weigh on both slots equally; else
# requests of one minute are alike, which weighs on each slot by its size.
CLUSTERED = 0.5
# The share of pairs that follow no rule: an outage jumps up once and down once, and is no burst.
UNRULY = 1 / 40
# Consecutive pairs share an interval: three tell as much as two (von Neumann, Annals of Mathematical Statistics
# 12 (1941)).
PAIR = 2 / 3
# The level around which intervals vary is that of so many, with half a bad request beforehand.
RECENT, PRIOR_BAD = 20, 0.5
# Two sizes of interval tell clusters from requests that are alike when one is this much larger.
LARGER = 1.25
# At so many pairs of the rollout, all its intervals so far are weighed anew with what is known by then.
REVISIONS = (2, 4, 6, 9, 13, 20, 30, 45, 70)
# Cells (correlations x streams x pairs) worked on at once: they stay in the cache.
CELLS = 2_600


class Correlation(NamedTuple):
    """What is known before each interval, shape (..., intervals): n requests tell as much as n / (1 + c + (n - 1) icc).

    Kish, "Survey Sampling" (1965), section 5.4.
    """

    icc: Floats  # requests of one interval are alike
    clusters: Floats  # c: failures come in clusters

    def effect(self, requests: Floats) -> Floats:
        """The design effect 1 + c + (n - 1) icc on so many requests of an interval, at most n."""
        others = np.maximum(requests - 1, 0)
        found: Floats = 1 + np.minimum(self.clusters + others * self.icc, others)
        return found


class Pairs(NamedTuple):
    """Consecutive intervals of one slot, shape (..., intervals - 1): how their bad requests fell on the two.

    Where bad requests are frequent, the rarer of good and bad is counted, over 1 - p: coin flips then vary as much
    as their mean, whatever p is.
    """

    before: Floats
    after: Floats
    share: Floats  # of the first interval's requests in those of both
    both: NDArray[np.bool_]  # both have requests
    rare: Floats  # the level around which they vary: rare ones in the last RECENT intervals
    requests: Floats  # of all there
    others: Floats  # requests of an interval but one, on average so far: of every interval, the first too

    @classmethod
    def of(cls, bad: Floats, requests: Floats) -> "Pairs":
        """From counts, shape (..., intervals)."""
        recent_bad, recent = _recent(bad)[..., 1:], _recent(requests)[..., 1:]
        turned = recent_bad > recent / 2
        rare = np.where(turned, recent - recent_bad, recent_bad)
        frequent = 1 - (rare + PRIOR_BAD) / (recent + 1)
        first, second = requests[..., :-1], requests[..., 1:]
        before = np.where(turned, first - bad[..., :-1], bad[..., :-1]) / frequent
        after = np.where(turned, second - bad[..., 1:], bad[..., 1:]) / frequent
        both = (first > 0) & (second > 0)
        share = np.where(both, first / np.maximum(first + second, 1), 0.5)
        return cls(before, after, share, both, rare, recent, _others(requests))

    def over_coin_flips(self, possible: Floats) -> Floats:
        """Log likelihood of each correlation over that of coin flips, (possible, ..., intervals - 1).

        Given their sum, the bad requests of two intervals are binomial under coin flips, and beta-binomial where
        each interval's rate is gamma: Robinson and Smyth, "Small-sample estimation of negative binomial
        dispersion", Biostatistics 9 (2008). A pair of UNRULY ones may split in any way: the shape of both
        intervals together is 2. 0 where an interval has no requests.
        """
        flips = self.before * np.log(self.share) + self.after * np.log1p(-self.share)
        unruly = self._split(np.array(2.0)) + np.log(UNRULY / (1 - UNRULY))
        neither = _log_add(flips, unruly)
        at_once = max(1, CELLS // max(1, self.both.size))
        ratio = np.empty(np.broadcast_shapes(possible.shape, self.both.shape))
        for first in range(0, len(possible), at_once):
            some = slice(first, first + at_once)
            ratio[some] = _log_add(self._bursts(possible[some]), unruly) - neither
        return np.where(self.both, ratio, 0.0)

    def _bursts(self, possible: Floats) -> Floats:
        """Log likelihood of each correlation, the same constant left out as of coin flips."""
        more = PRIOR_BAD * self.others[..., 1:] * possible  # of the level, too, requests tell no more
        odds = (self.rare + PRIOR_BAD + more) / (self.requests - self.rare + PRIOR_BAD + more)
        return self._split(odds * (2 / possible))

    def _split(self, shape: Floats) -> Floats:
        """log B(before + a, after + b) / B(a, b), where a and b are the shape's parts by `share`."""
        a, sum_of_both = shape * self.share, self.before + self.after
        (apart, first), (rest, second) = _log_rising(a, self.before), _log_rising(shape - a, self.after)
        together, third = _log_rising(shape, sum_of_both)
        split: Floats = apart + rest - together + np.log(first * second / third)
        return split


def correlation(
    bad: tuple[Floats, Floats],
    requests: tuple[Floats, Floats],
    history_bad: Floats | None = None,
    history: Floats | None = None,
) -> Correlation:
    """What is known before each interval; counts are (canary, baseline), the history is the baseline's.

    Both slots' pairs speak of one service: the canary's few tell failures in clusters from requests that are alike,
    and make up for a baseline that was calm by luck. A calm history outweighs them.
    """
    (canary_bad, baseline_bad), (canary, baseline) = bad, requests
    intervals = canary.shape[-1]
    if not intervals:
        return Correlation(np.zeros(canary.shape), np.zeros(canary.shape))
    past = 0
    if history is not None and history_bad is not None:
        past = history.shape[-1]
        baseline_bad = np.concatenate((history_bad, baseline_bad), -1)
        baseline = np.concatenate((history, baseline), -1)
    looks = _renewals(intervals)
    alike = ASKED.reshape((-1,) + (1,) * canary.ndim)
    canaries, baselines = Pairs.of(canary_bad, canary), Pairs.of(baseline_bad, baseline)
    others_c, others_b = canaries.others, baselines.others[..., past:]
    clusters = alike * (np.maximum(others_b, 1) / np.maximum(others_c, 1))[..., 1:]
    either = np.concatenate((np.broadcast_to(alike, clusters.shape), clusters))
    baseline_told = _before(baselines.over_coin_flips(alike), looks + past)
    canary_told = _before(canaries.over_coin_flips(either), looks)
    posterior = _with_those_between(baseline_told + canary_told) + _log_prior(canary.ndim)
    found = _believed(posterior, others_c[..., looks], others_b[..., looks])
    spans = np.diff([*looks.tolist(), intervals])
    return Correlation(*(np.repeat(one, spans, axis=-1) for one in found))


def _believed(posterior: Floats, others_c: Floats, others_b: Floats) -> Correlation:
    """The posterior's mean, and so that of each slot's design effect.

    Requests divided by it tell no more than is told on average: 1 / effect is convex. Where clusters cannot be told
    from requests that are alike, they are taken for these, which weigh less on a part of the slot.
    """
    weights = np.exp(posterior - posterior.max(axis=(0, 1)))
    weights /= weights.sum(axis=(0, 1))
    alike, clustered = np.einsum("c,kc...->k...", CORRELATIONS, weights[:, 1:])
    clusters = np.where(others_b > LARGER * others_c, clustered, 0.0)
    return Correlation(alike + clustered - clusters, clusters * others_b)


def _others(requests: Floats) -> Floats:
    """Requests of an interval but one, on average over those with any up to and with each."""
    mean = requests.cumsum(axis=-1) / np.maximum((requests > 0).cumsum(axis=-1), 1)
    return within(mean - 1, 0.0, None)


def _log_prior(dimensions: int) -> Floats:
    """Of coin flips and of each of CORRELATIONS, shape (2, 1 + correlations, ...): alike, and as clusters."""
    likely = np.minimum(1, (LIKELY / CORRELATIONS) ** 2)
    prior = np.concatenate(([COIN_FLIPS], (1 - COIN_FLIPS) * likely / likely.sum()))
    logs: Floats = np.log(np.stack(((1 - CLUSTERED) * prior, CLUSTERED * prior)))
    return logs.reshape(logs.shape + (1,) * dimensions)


def _before(told: Floats, looks: Integers) -> Floats:
    """What pairs that ended before each look tell together, shape (kinds, 1 + asked, ..., looks); of coin flips 0."""
    kinds = told.shape[0] // len(ASKED)
    sums = np.zeros((kinds, 1 + len(ASKED), *told.shape[1:-1], len(looks)))
    some = looks > 1  # of two intervals before a look, one pair has ended
    pairs = told.cumsum(axis=-1)[..., looks[some] - 2]
    sums[:, 1:, ..., some] = PAIR * pairs.reshape(kinds, len(ASKED), *pairs.shape[1:])
    return sums


def _with_those_between(asked: Floats) -> Floats:
    """From the log likelihood of coin flips and of ASKED (axis 1), that of all CORRELATIONS.

    Those between lie on the cubic through four (as the first of them, coin flips), the last on a parabola.

    >>> _with_those_between(np.array([[0.0, 1.0, 4.0, 9.0, 16.0]])).tolist()
    [[0.0, 1.0, 2.25, 4.0, 6.25, 9.0, 12.25, 16.0]]
    """
    whole = np.empty((len(asked), 2 * asked.shape[1] - 2, *asked.shape[2:]))
    whole[:, 0], whole[:, 1::2] = asked[:, 0], asked[:, 1:]
    whole[:, 2:-2:2] = (9 * (asked[:, 1:-2] + asked[:, 2:-1]) - asked[:, :-3] - asked[:, 3:]) / 16
    whole[:, -2] = (6 * asked[:, -2] + 3 * asked[:, -1] - asked[:, -3]) / 8
    return whole


def _renewals(intervals: int) -> Integers:
    """The intervals from which on something new is believed: each of the first, then a quarter more each time.

    >>> _renewals(30).tolist()[6:]
    [6, 7, 8, 10, 12, 15, 18, 22, 27]
    """
    looks = [0]
    while (following := looks[-1] + max(1, looks[-1] // 4)) < intervals:
        looks.append(following)
    return np.array(looks)


def _recent(counts: Floats) -> Floats:
    """Sums of the last RECENT intervals up to and with each."""
    sums = counts.cumsum(axis=-1)
    sums[..., RECENT:] -= sums[..., :-RECENT].copy()
    return sums


def _log_rising(x: Floats, more: Floats) -> tuple[Floats, Floats]:
    """(logarithm, factor) of Gamma(x + more) / Gamma(x) e^more for x > 0 and more >= 0, to 1e-3.

    Burnside's formula (Messenger of Mathematics 46 (1917)) at x + 2; the factors below it are returned apart, so that
    the caller takes one logarithm of several.

    >>> log, factor = _log_rising(np.array(0.5), np.array(4.0))
    >>> round(float(np.exp(log - 4) * factor), 2)  # 0.5 x 1.5 x 2.5 x 3.5
    6.56
    """
    low, top = x + 1.5, x + more
    high = top + 1.5
    log: Floats = high * np.log(high) - low * np.log(low) + (1 / low - 1 / high) / 24
    return log, x * (x + 1) / (top * (top + 1))


def _log_add(a: Floats, b: Floats) -> Floats:
    """np.logaddexp, at a third of its cost."""
    high = np.maximum(a, b)
    found: Floats = high + np.log1p(np.exp(np.minimum(a, b) - high))
    return found


def revisions(intervals: int) -> list[tuple[int, int]]:
    """Spans of looks [from, to) that weigh every interval before `from` with the correlation known at `from`.

    >>> revisions(12)
    [(0, 3), (3, 5), (5, 7), (7, 10), (10, 12)]
    """
    begins = [0] + [pairs + 1 for pairs in REVISIONS if pairs + 1 < intervals]
    return list(zip(begins, [*begins[1:], intervals], strict=True))


def revised(known: Correlation, first: int) -> Correlation:
    """`known` per interval, with what was known before interval `first` replaced by what is known there."""
    return Correlation(*(_from(one, first) for one in known)) if first else known


def _from(known: Floats, first: int) -> Floats:
    early = np.broadcast_to(known[..., first : first + 1], known[..., :first].shape)
    return np.concatenate((early, known[..., first:]), -1)
