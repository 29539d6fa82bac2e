"""The sequential tests: evidence of harm, evidence of safety, and evidence that fades when a trouble ends.

All evidence is the natural logarithm of an e-process: under the null the chance that it ever reaches
log(1 / alpha) is at most alpha, however often one looks (Ville's inequality; Ramdas, Grunwald, Vovk, Shafer,
"Game-theoretic statistics and safe anytime-valid inference", arXiv:2210.01948v2, section 2). All intervals
are computed at once: alternatives depend on cumulative sums of the past only.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.judge.dispersion import Correlation
from analyzers.judge.projection import RATE_MIN, Floats, log_e, within

# Harm alternatives p_c* = 1 - (1 - bound)^factor, from hardly worse to wholly broken, and their prior. Few, so that
# each keeps a good share of it (a share of 1/4 costs 1.4 of the 4.6 nats of alpha 1 %); gross faults need little.
# Chosen for the slowest fault: those of more than five minutes all take about 1.45 to 1.6 times the information limit
# (benchmarks/judge_power.py). An alternative that follows the canary's own past gains nothing beside them.
HARM_FACTORS = (1.12, 1.3, 1.7, 2.8, 6.0, 18.0)
HARM_WEIGHTS = (0.14, 0.19, 0.17, 0.27, 0.2, 0.03)
# The most that one interval may tell, nats. A fault just beyond the boundary never tells so much in one: what
# does is a burst, and the alternative nearest to it, which calm intervals hardly refute, would add up bursts far
# apart.
HARM_CAPS = (2.5, np.inf, np.inf, np.inf, np.inf, np.inf)
# Promotion: "no difference", and half-way between it and the boundary.
SAFE_HALFWAYS = (0.0, 0.5)
SAFE_WEIGHTS = (0.8, 0.2)
# Most of the prior says that a fault is there from the first interval: a deployment is when faults begin.
FIRST_START = 0.65
# Missing rows: the share halved is the null, the alternatives are fractions of it.
MISSING_FRACTIONS = (0.8, 0.5, 0.2, 0.02)
# What is believed of the baseline before anything was seen: half a bad request in fifty.
PRIOR_BAD, PRIOR_REQUESTS = 0.5, 50.0


class Streams(NamedTuple):
    """Paired counts of intervals, shape (..., intervals): one stream, or many at once."""

    canary_bad: Floats
    canary: Floats  # requests
    baseline_bad: Floats
    baseline: Floats
    prior_bad: Floats  # shape (..., 1): baseline counts from before the first interval
    prior: Floats
    correlation: Correlation  # (..., intervals) each: known before the interval

    def mirrored(self) -> "Streams":
        """Canary and baseline in each other's place."""
        return self._replace(
            canary_bad=self.baseline_bad, canary=self.baseline,
            baseline_bad=self.canary_bad, baseline=self.canary,
        )  # fmt: skip

    def cut(self, intervals: slice) -> "Streams":
        """Some of the intervals; the prior stays what it was."""
        return self._replace(
            canary_bad=self.canary_bad[..., intervals], canary=self.canary[..., intervals],
            baseline_bad=self.baseline_bad[..., intervals], baseline=self.baseline[..., intervals],
            correlation=Correlation(*(one[..., intervals] for one in self.correlation)),
        )  # fmt: skip


class Tolerance(NamedTuple):
    """The boundary p_c = points + ratio p_b, shape (..., 1) or scalars; ratio 0 is an absolute limit."""

    points: Floats
    ratio: Floats


class Starts(NamedTuple):
    """When a fault may begin: the prior over its first interval, and the cap that follows from it."""

    log_weights: Floats  # per interval
    log_unspent: Floats  # log of the mass that starts after each interval
    cap: float  # most that one interval may add to the log evidence

    @classmethod
    def of(cls, intervals: int, horizon: int, limit: float) -> "Starts":
        """FIRST_START on the first interval, the rest uniform over the horizon; `limit` = log(k / alpha).

        The cap: no single interval decides, two saturated ones do, even when the fault begins late.

        >>> round(Starts.of(120, 120, np.log(100)).cap, 2)
        4.94
        """
        late = (1 - FIRST_START) / (horizon - 1) if horizon > 1 else 0.0
        weights = np.where(np.arange(intervals) < horizon, late, 0.0)
        weights[:1] = FIRST_START if horizon > 1 else 1.0
        unspent = np.maximum(1.0 - np.cumsum(weights), 0.0)
        unspent[unspent < 1e-12] = 0.0  # what rounding left
        cap = limit - np.log(weights[0]) - 0.1 if intervals else limit
        if late > 0:
            cap = min((limit - np.log(late)) / 2, cap)
        with np.errstate(divide="ignore"):
            return cls(np.log(weights), np.log(unspent), float(cap))

    def cut(self, intervals: int) -> "Starts":
        """The first intervals."""
        return self._replace(log_weights=self.log_weights[:intervals], log_unspent=self.log_unspent[:intervals])


def reduced(streams: Streams) -> tuple[Floats, Floats, Floats, Floats]:
    """Counts divided by each slot's design effect: overdispersed requests tell less.

    Kish, "Survey Sampling" (1965), section 5.4.
    """
    canary, baseline = (streams.correlation.effect(one) for one in (streams.canary, streams.baseline))
    return (
        streams.canary_bad / canary,
        streams.canary / canary,
        streams.baseline_bad / baseline,
        streams.baseline / baseline,
    )


def past_rate(bad: Floats, requests: Floats, prior_bad: Floats, prior: Floats) -> Floats:
    """The rate estimated from everything before each interval."""
    before_bad = np.cumsum(bad, axis=-1) - bad + prior_bad
    before = np.cumsum(requests, axis=-1) - requests + prior
    return within((before_bad + PRIOR_BAD) / (before + PRIOR_REQUESTS), RATE_MIN, 1 - RATE_MIN)


def leaves_room(baseline_rate: Floats, tolerance: Tolerance) -> NDArray[np.bool_]:
    """Where not everything is tolerated: elsewhere neither harm nor safety can be told."""
    return tolerance.points + tolerance.ratio * baseline_rate < 1 - RATE_MIN


def harm_intervals(streams: Streams, tolerance: Tolerance, cap: float) -> Floats:
    """Log e-values of every interval for each harm alternative, shape (alternatives, ..., intervals)."""
    baseline_rate = past_rate(streams.baseline_bad, streams.baseline, streams.prior_bad, streams.prior)
    bound = within(tolerance.points + tolerance.ratio * baseline_rate, RATE_MIN, None)
    possible = leaves_room(baseline_rate, tolerance)
    good = 1 - np.where(possible, bound, 0.5)
    factors, most = (np.array(one).reshape((-1,) + (1,) * good.ndim) for one in (HARM_FACTORS, HARM_CAPS))
    rates = within(1 - good**factors, RATE_MIN, 1 - RATE_MIN)
    values = log_e(
        reduced(streams),
        (rates, baseline_rate),
        tolerance.points,
        tolerance.ratio,
    )
    capped: Floats = np.where(possible, np.minimum(values, np.minimum(most, cap)), 0.0)
    return capped


def since_any_start(log_e_values: Floats, starts: Starts) -> Floats:
    """Mixed over the fault's first interval and over the alternatives (axis 0).

    R_t = (R_{t-1} + w_t) e_t for each alternative; evidence = their weighted mean plus the mass not yet spent.
    Lai, IEEE Trans. Inf. Theory 44 (1998); Shin, Ramdas, Rinaldo, "E-detectors", arXiv:2203.03532v4.
    """
    total = np.cumsum(log_e_values, axis=-1)
    begun = np.logaddexp.accumulate(starts.log_weights - (total - log_e_values), axis=-1)
    mixed = mixed_over(total + begun)
    evidence: Floats = np.logaddexp(mixed, starts.log_unspent)
    return evidence


def harm(streams: Streams, tolerance: Tolerance, starts: Starts) -> Floats:
    """Log evidence after each interval that the canary is worse than tolerated."""
    return since_any_start(harm_intervals(streams, tolerance, starts.cap), starts)


def safe(streams: Streams, tolerance: Tolerance) -> Floats:
    """Log evidence after each interval that the canary is within the tolerance: the mirror of `harm`.

    No restarts and no cap: all intervals of the step must speak together. Those in which everything is tolerated
    say nothing.
    """
    baseline_rate = past_rate(streams.baseline_bad, streams.baseline, streams.prior_bad, streams.prior)
    rates = safe_rates(baseline_rate, tolerance)
    values = log_e(
        reduced(streams),
        (rates, baseline_rate),
        tolerance.points,
        tolerance.ratio,
    )
    values = np.where(leaves_room(baseline_rate, tolerance), values, 0.0)
    weights = np.log(np.array(SAFE_WEIGHTS)).reshape((-1,) + (1,) * baseline_rate.ndim)
    return _log_sum(np.cumsum(values, axis=-1) + weights)


def safe_rates(baseline_rate: Floats, tolerance: Tolerance) -> Floats:
    """The canary's rates under the promotion alternatives, shape (alternatives, ...)."""
    bound = within(tolerance.points + tolerance.ratio * baseline_rate, RATE_MIN, 1 - RATE_MIN)
    equal = np.minimum(baseline_rate, bound)  # a tolerance below "no difference" leaves nothing to prove
    return np.stack([equal + halfway * (bound - equal) for halfway in SAFE_HALFWAYS])


def fading(log_e_values: Floats, starts: Starts, limit: float) -> float:
    """Evidence of one stream (alternatives, intervals) now, forgetting what lies beyond the limit.

    After each interval no alternative keeps more than brings the mixture to the limit, so that a few calm
    intervals end the alarm; the harm alternative nearest to the boundary, which calm intervals hardly refute,
    is left out. Cutting and leaving out only lower an e-process: the promise of `since_any_start` holds.
    """
    log_weights = alternative_weights(log_e_values.shape[0])
    if len(log_weights) == len(HARM_WEIGHTS):
        log_weights, log_e_values = log_weights[1:], log_e_values[1:]
    log_r = np.full(len(log_weights), -np.inf)
    for interval in range(log_e_values.shape[1]):
        begun = np.logaddexp(log_r, starts.log_weights[interval])
        log_r = np.minimum(begun + log_e_values[:, interval], limit - log_weights)
    return float(np.logaddexp.reduce(log_r + log_weights)) if log_e_values.shape[1] else 0.0


def mixed_over(values: Floats) -> Floats:
    """log of the weighted mean of exp(values) over the alternatives, axis 0."""
    shaped = alternative_weights(values.shape[0]).reshape((-1,) + (1,) * (values.ndim - 1))
    return _log_sum(values + shaped)


def alternative_weights(number: int) -> Floats:
    """log prior of the alternatives: harm's, or equal ones for any other number of them."""
    weights = np.array(HARM_WEIGHTS) if number == len(HARM_WEIGHTS) else np.ones(number)
    logs: Floats = np.log(weights / weights.sum())
    return logs


def log_upper(bad: ArrayLike, requests: ArrayLike, limit: float) -> Floats:
    """Upper confidence bound of a rate at error exp(-limit): n KL(f/n, u) = limit, by bisection.

    Chernoff's bound inverted; 1 without requests.
    """
    f, n = np.asarray(bad, dtype=np.float64), np.asarray(requests, dtype=np.float64)
    rate = np.where(n > 0, f / np.maximum(n, 1e-300), 1.0)
    low, high = within(rate, RATE_MIN, 1 - RATE_MIN), np.ones_like(rate)
    for _ in range(50):
        middle = (low + high) / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            apart = _xlog(f, rate / middle) + _xlog(n - f, (1 - rate) / (1 - middle))
        near = apart < limit
        low, high = np.where(near, middle, low), np.where(near, high, middle)
    return high


def _xlog(weight: Floats, value: Floats) -> Floats:
    return np.where(weight > 0, weight * np.log(np.where(weight > 0, value, 1.0)), 0.0)


def _log_sum(values: Floats) -> Floats:
    """np.logaddexp.reduce over axis 0, at half its cost."""
    high = values.max(axis=0)
    total: Floats = high + np.log(np.exp(values - high).sum(axis=0))
    return total
