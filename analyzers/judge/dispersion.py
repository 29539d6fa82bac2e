"""How much real intervals vary more than coin flips: the intra-interval correlation of baseline requests.

Requests of one interval share its conditions (a slow database, a retry burst), so n of them tell less than
n coin flips. The correlation is estimated from consecutive baseline intervals and used from the next one on.
"""

import numpy as np

from analyzers.judge.projection import Floats

# Mean of the lowest 90 % of chi-squared(1): a level that jumps once (an outage) must not count as noise.
KEPT, KEPT_MEAN = 0.9, 0.623
# Pairs with fewer bad (or good) requests are discrete: their plain mean is exactly 1 under coin flips, and
# they cannot hold outliers.
FEW = 10
# The estimate is renewed after each of the first ten pairs, then whenever a quarter more has been seen.
EVERY_PAIR_UNTIL, GROWTH = 10, 1.25
# Fewer pairs than this say nothing.
PAIRS_MIN = 2


def pair_excess(bad: Floats, requests: Floats) -> tuple[Floats, Floats]:
    """(z2, total) of each consecutive pair: squared standardised difference, and its rarer kind's count.

    z2 = (p_i - p_{i-1})^2 / (p (1 - p) (1/n_i + 1/n_{i-1})); NaN where a pair cannot be compared.
    """
    n1, n2, f1, f2 = requests[..., 1:], requests[..., :-1], bad[..., 1:], bad[..., :-1]
    with np.errstate(divide="ignore", invalid="ignore"):
        n, f = n1 + n2, f1 + f2
        p = f / n
        z2 = (f1 / n1 - f2 / n2) ** 2 / (p * (1 - p) * (1 / n1 + 1 / n2))
    rarer = np.minimum(f, n - f)
    z2 = np.where((n1 > 0) & (n2 > 0) & (rarer > 0), z2, np.nan)
    return z2, rarer


def inflation(z2: Floats, rarer: Floats) -> Floats:
    """Variance inflation m over the pairs (last axis): 1 under coin flips, NaN when too few pairs."""
    usable = np.isfinite(z2)
    many, few = usable & (rarer >= FEW), usable & (rarer < FEW)
    number_many, number_few = many.sum(axis=-1), few.sum(axis=-1)
    ordered = np.sort(np.where(many, z2, np.inf), axis=-1)
    rank = np.arange(ordered.shape[-1])
    kept = KEPT * number_many[..., None]
    weight = np.clip(kept - rank, 0.0, 1.0)
    low_sum = (np.where(weight > 0, ordered, 0.0) * weight).sum(axis=-1) / (KEPT * KEPT_MEAN)
    few_sum = np.where(few, z2, 0.0).sum(axis=-1)
    number = number_many + number_few
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(number >= PAIRS_MIN, (low_sum + few_sum) / number, np.nan)


def correlation(
    bad: Floats, requests: Floats, history_bad: Floats | None = None, history: Floats | None = None
) -> Floats:
    """The correlation to use at each interval, from baseline pairs that ended before it; shape as `bad`."""
    intervals = bad.shape[-1]
    past = 0 if history is None else history.shape[-1]
    if history is not None and history_bad is not None and past:
        bad, requests = np.concatenate((history_bad, bad), -1), np.concatenate((history, requests), -1)
    z2, rarer = pair_excess(bad, requests)
    usable = np.isfinite(z2)
    result = np.zeros((*bad.shape[:-1], intervals))
    position = past
    while position < past + intervals:
        pairs = max(position - 1, 0)  # pairs whose later interval lies before `position`
        grown = position + 1 if pairs < EVERY_PAIR_UNTIL else max(position + 1, int(pairs * GROWTH) + 1)
        upto = min(grown, past + intervals)
        if pairs:
            m = inflation(z2[..., :pairs], rarer[..., :pairs])
            with np.errstate(invalid="ignore", divide="ignore"):
                used = usable[..., :pairs]
                mean = (requests[..., 1 : pairs + 1] * used).sum(-1) / used.sum(-1)
                icc = np.where(mean > 1, (m - 1) / (mean - 1), 0.0)
            result[..., position - past : upto - past] = np.clip(np.nan_to_num(icc), 0.0, 1.0)[..., None]
        position = upto
    return result
