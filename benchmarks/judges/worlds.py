"""The traffic that every judge sees: seeded, counted in minutes, the same for all of them.

The tolerance is the policy's (0.2 points and ratio 1.25; p95: slowdown 20 %, 1 point, ratio 1). A case is
`tolerated` when the canary is within it, for the whole rollout: rolling it back is false. All others are faults.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

Floats = NDArray[np.float64]
Minutes = NDArray[np.int64]

BASE = 0.005  # the baseline's failures: an ordinary service, well inside a 99 % objective
POINTS, RATIO = 0.002, 1.25
MARGIN = POINTS + RATIO * BASE
OBJECTIVE = 0.01 / BASE  # 99 % success, the example of both Argo's and Flagger's pages, in units of the base rate
SLOWDOWN, SLOW_POINTS = 0.2, 0.01
SIGMA = 0.8  # of lognormal latencies
QUANTILE = 0.95
# So much slower, 1 point more than the baseline's 5 % is beyond 1.2 T: 29 %.
P95_MARGIN = float((1 + SLOWDOWN) * np.exp(SIGMA * (norm.ppf(QUANTILE) - norm.ppf(QUANTILE - SLOW_POINTS))))
RATES = (60, 200, 2_000, 20_000)  # requests a minute, both slots
HISTORY = 60  # minutes of the baseline before the rollout
LATE = 40  # healthy minutes before a late fault
OUTAGE = slice(20, 25)


class Case(NamedTuple):
    """One kind of rollout."""

    name: str
    tolerated: bool
    factor: float = 1.0  # failures: the canary's rate over the base rate; latency: its slowness
    latency: bool = False
    late: bool = False
    outage: bool = False
    dispersion: int | None = None  # k of beta-binomial minutes; None = coin flips

    @property
    def usual_threshold(self) -> float:
        """Where a fixed threshold is put, in units of the base rate or of the usual p95."""
        return 1 + SLOWDOWN if self.latency else OBJECTIVE

    @property
    def same_threshold(self) -> float:
        """A fixed threshold that asks the policy's own question; only who knows the base rate can set it."""
        return 1 + SLOWDOWN if self.latency else MARGIN / BASE

    @property
    def tolerance(self) -> tuple[float, float]:
        """(points, ratio) of the judged counts."""
        return (SLOW_POINTS, 1.0) if self.latency else (POINTS, RATIO)


CASES = (
    Case("no difference", tolerated=True),
    Case("at the margin", tolerated=True, factor=MARGIN / BASE),
    Case("x2", tolerated=False, factor=2),
    Case("x5", tolerated=False, factor=5),
    Case("x20", tolerated=False, factor=20),
    Case("late fault, x5 from minute 40", tolerated=False, factor=5, late=True),
    Case("shared outage, 30 % for 5 minutes", tolerated=True, outage=True),
    Case("p95 +25 %", tolerated=True, factor=1.25, latency=True),
    Case("p95 at the margin", tolerated=True, factor=P95_MARGIN, latency=True),
    Case("p95 +100 %", tolerated=False, factor=2.0, latency=True),
    Case("overdispersed (k 200), no difference", tolerated=True, dispersion=200),
    Case("overdispersed (k 200), at the margin", tolerated=True, factor=MARGIN / BASE, dispersion=200),
    Case("overdispersed (k 200), x5", tolerated=False, factor=5, dispersion=200),
)


class Traffic(NamedTuple):
    """Minutes of many rollouts at one share; shape (rollouts, minutes) everywhere but in `scale`."""

    canary: Minutes  # requests
    canary_bad: Minutes  # by the policy's definition: latency beyond (1 + slowdown) T
    canary_bad_alike: Minutes  # by the baseline's own definition: latency beyond T
    baseline: Minutes
    baseline_bad: Minutes
    canary_value: Floats  # a dashboard's number: rate over the base rate, or p95 over the usual one; NaN: no request
    baseline_value: Floats
    past: Minutes  # baseline requests before the rollout, (rollouts, HISTORY)
    past_bad: Minutes

    def pick(self, minutes: NDArray[np.bool_], other: "Traffic") -> "Traffic":
        """These counts where `minutes`, the other share's elsewhere; the history is the same."""
        mixed = (np.where(minutes, mine, theirs) for mine, theirs in zip(self[:7], other[:7], strict=True))
        return Traffic(*mixed, self.past, self.past_bad)

    def cut(self, minutes: slice) -> "Traffic":
        """Some of the minutes."""
        return Traffic(*(part[:, minutes] for part in self[:7]), self.past, self.past_bad)


class World(NamedTuple):
    """What one case's traffic is drawn from; `of` names the seed's parts, so that no cell depends on another."""

    case: Case
    rpm: int
    rollouts: int
    minutes: int
    seed: tuple[int, ...]

    def at(self, *shares: float) -> list[Traffic]:
        """The same requests at each share: one history, one sequence of minutes, another split."""
        rng = np.random.default_rng(self.seed)
        sent = rng.poisson(self.rpm, (self.rollouts, self.minutes))
        past = rng.poisson(self.rpm, (self.rollouts, HISTORY))
        draw = self._latencies if self.case.latency else self._failures
        return draw(rng, sent, past, shares)

    def _failures(
        self, rng: np.random.Generator, sent: Minutes, past: Minutes, shares: tuple[float, ...]
    ) -> list[Traffic]:
        case = self.case
        base, faulty = np.full(self.minutes, BASE), np.full(self.minutes, BASE * case.factor)
        if case.late:
            faulty[:LATE] = BASE
        if case.outage:
            base[OUTAGE] = faulty[OUTAGE] = 0.3
        past_bad = self._flips(rng, past, np.full(HISTORY, BASE))
        made = []
        for share in shares:
            canary = rng.binomial(sent, share)
            baseline = sent - canary
            bad, baseline_bad = self._flips(rng, canary, faulty), self._flips(rng, baseline, base)
            values = (_rate(bad, canary) / BASE, _rate(baseline_bad, baseline) / BASE)
            made.append(Traffic(canary, bad, bad, baseline, baseline_bad, *values, past, past_bad))
        return made

    def _flips(self, rng: np.random.Generator, requests: Minutes, rate: Floats) -> Minutes:
        rates = np.broadcast_to(rate, requests.shape)
        if self.case.dispersion is not None:
            rates = rng.beta(self.case.dispersion * rates, self.case.dispersion * (1 - rates))
        return rng.binomial(requests, rates)

    def _latencies(
        self, rng: np.random.Generator, sent: Minutes, past: Minutes, shares: tuple[float, ...]
    ) -> list[Traffic]:
        """Only what judges look at is drawn: each minute's p95 (an order statistic) and the counts beyond T."""
        whole = past.sum(axis=1)
        rank = _rank(whole)
        found = rng.beta(rank, whole - rank + 1)[:, None]  # of the past's p95, in the baseline's distribution
        threshold = norm.ppf(found)  # log T in standard deviations
        past_bad = rng.binomial(past, np.broadcast_to(1 - found, past.shape))
        allowed, slower = np.log(1 + SLOWDOWN) / SIGMA, np.log(self.case.factor) / SIGMA
        made = []
        for share in shares:
            canary = rng.binomial(sent, share)
            baseline = sent - canary
            mine = _minutes(rng, canary, (norm.cdf(threshold - slower), norm.cdf(threshold + allowed - slower)))
            theirs = _minutes(rng, baseline, (found, np.ones_like(found)))
            values = [
                np.exp(SIGMA * (norm.ppf(p95) + shift - norm.ppf(QUANTILE)))
                for p95, shift in ((mine[0], slower), (theirs[0], 0.0))
            ]
            made.append(Traffic(canary, mine[2], mine[1], baseline, theirs[1], *values, past, past_bad))
        return made


def _rate(bad: Minutes, requests: Minutes) -> Floats:
    return np.where(requests > 0, bad / np.maximum(requests, 1), np.nan)


def _rank(requests: Minutes) -> Minutes:
    return np.ceil(QUANTILE * requests).astype(np.int64)


def _minutes(
    rng: np.random.Generator, requests: Minutes, limits: tuple[Floats, Floats]
) -> tuple[Floats, Minutes, Minutes]:
    """Each minute's p95 and its counts beyond two limits (low, high), all as uniform quantiles; NaN: no request.

    The p95 is the k-th of n uniforms, Beta(k, n - k + 1); given it, the n - k above and the k - 1 below are uniform.
    """
    low, high = (np.broadcast_to(one, requests.shape) for one in limits)
    some = requests > 0
    rank = np.where(some, _rank(requests), 1)
    p95 = rng.beta(rank, np.where(some, requests - rank + 1, 1))
    beyond = np.zeros((2, *requests.shape), dtype=np.int64)
    for number, (start, end) in ((requests - rank, (p95, 1.0)), (rank - 1, (0.0, p95))):
        width = np.maximum(end - start, 1e-300)
        over_high = np.clip((end - np.maximum(high, start)) / width, 0.0, 1.0)
        over_low = np.clip((end - np.maximum(low, start)) / width, 0.0, 1.0)
        counted = rng.binomial(np.where(some, number, 0), over_high)
        rest = np.clip((over_low - over_high) / np.maximum(1 - over_high, 1e-300), 0.0, 1.0)
        beyond[1] += counted
        beyond[0] += counted + rng.binomial(np.where(some, number, 0) - counted, rest)
    beyond += some & (p95 > np.stack((low, high)))
    return np.where(some, p95, np.nan), beyond[0], beyond[1]
