"""How long a step will take: simulated with the very tests that will judge it. For `canary plan`.

A rule of thumb cannot know the price of many looks, of several indicators and of an unknown baseline; a few
hundred simulated rollouts do.
"""

from collections.abc import Sequence

import msgspec
import numpy as np

from analyzers.judge.checks import check_settings, check_tolerance
from analyzers.judge.counts import CountsError, Settings
from analyzers.judge.crossings import first_crossings
from analyzers.judge.indicators import Indicator
from analyzers.judge.look import CEILING_WEIGHT
from analyzers.judge.projection import project

# Enough for a median within a few percent, and a ninetieth percentile within ten.
ROLLOUTS = 200
# Baseline intervals before the rollout that the judge may learn from, as the default history of 60 minutes.
HISTORY = 60
# Longer than this is not simulated: it is no plan for a rollout.
INTERVALS_MAX = 1_440


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """Intervals until something is proven; None = not within the horizon in at least so many rollouts."""

    median: int | None
    p90: int | None
    within_horizon: float  # fraction of the simulated rollouts in which it is proven within the horizon
    reason: str | None = None  # why not, in plain words; None = it can be proven


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault of `factor` times the baseline's rate, and how long until it is HARMFUL."""

    factor: float
    rate: float  # fraction
    harmful: Waiting


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of one indicator at one share. Intervals count from the step's first judged one.

    What comes on top, per policy: bake, settle (for SAFE), and the other indicators (plan_all).
    """

    indicator: str
    canary_share: float  # fraction
    requests_per_interval: float  # both slots
    baseline_rate: float  # fraction
    boundary: float  # fraction: the worst tolerated canary rate, a ceiling included
    horizon: int  # intervals that were looked at
    safe: Waiting  # when nothing is wrong
    faults: tuple[Fault, ...]


class Plans(msgspec.Struct, frozen=True, kw_only=True):
    """One step, judged by all indicators: promoted when all are SAFE, rolled back as soon as one is HARMFUL."""

    plans: tuple[Plan, ...]
    together: Waiting  # when nothing is wrong: until all are SAFE


def plan(  # noqa: PLR0913 (an entry point: every argument is a name in the policy or a number of the traffic)
    indicator: Indicator,
    *,
    canary_share: float,
    requests_per_interval: float,
    baseline_rate: float,
    settings: Settings,
    indicators: int = 1,
    faults: tuple[float, ...] = (2, 5, 20),
    horizon: int | None = None,
    seed: int = 0,
) -> Plan:
    """Intervals to SAFE when nothing is wrong, and to HARMFUL for each fault factor, at this traffic.

    `canary_share` and `baseline_rate` are fractions, `indicators` how many share alpha, `horizon` how many
    intervals the step may take (None: the settings' horizon, which covers the whole rollout).

    >>> from analyzers.judge.indicators import IndicatorKind
    >>> failures = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25)
    >>> found = plan(failures, canary_share=0.1, requests_per_interval=2000, baseline_rate=0.005, settings=Settings())
    >>> found.safe.median < 20, found.faults[2].harmful.median
    (True, 2)
    """
    looked = min(settings.horizon if horizon is None else horizon, INTERVALS_MAX)
    world = World(indicator, canary_share, requests_per_interval, baseline_rate, settings, indicators, looked, seed)
    return world.plan(world.safe_at(), faults)


def plan_all(  # noqa: PLR0913 (an entry point: every argument is a name in the policy or a number of the traffic)
    indicators: Sequence[Indicator],
    *,
    canary_share: float,
    requests_per_interval: float,
    baseline_rates: Sequence[float],
    settings: Settings,
    faults: tuple[float, ...] = (2, 5, 20),
    horizon: int | None = None,
) -> Plans:
    """The same of all indicators of a policy, each with its baseline's rate, and of all of them together.

    Their bad requests are drawn independently of each other. Where one slow or failing request is bad for several
    of them, all are SAFE a little sooner than that.

    >>> from analyzers.judge.indicators import IndicatorKind
    >>> named = [Indicator(name=name, kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25) for name in "ab"]
    >>> asked = {"canary_share": 0.1, "requests_per_interval": 2000, "settings": Settings(), "faults": ()}
    >>> found = plan_all(named, baseline_rates=[0.005, 0.005], **asked)
    >>> found.together.median >= max(one.safe.median for one in found.plans)
    True
    """
    looked = min(settings.horizon if horizon is None else horizon, INTERVALS_MAX)
    shared = (settings, len(indicators), looked)
    worlds = [
        World(one, canary_share, requests_per_interval, rate, *shared, seed)
        for seed, (one, rate) in enumerate(zip(indicators, baseline_rates, strict=True))
    ]
    proofs = [one.safe_at() for one in worlds]
    last = np.where(np.all(proofs, axis=0), np.max(proofs, axis=0), 0)
    plans = tuple(one.plan(proof, faults) for one, proof in zip(worlds, proofs, strict=True))
    return Plans(plans=plans, together=_waiting(last))


class World(msgspec.Struct, frozen=True):
    """The traffic that is simulated, and how it is judged."""

    indicator: Indicator
    canary_share: float
    requests: float  # per interval, both slots
    baseline_rate: float
    settings: Settings
    indicators: int
    horizon: int
    seed: int

    def __post_init__(self) -> None:
        """CountsError names what cannot be."""
        check_settings(self.settings)
        one = self.indicator
        check_tolerance(one.name, one.points, one.ratio, one.ceiling)
        for name, value in (("canary_share", self.canary_share), ("baseline_rate", self.baseline_rate)):
            if not 0 <= value <= 1:
                raise CountsError(f"{name} is {value!r}, must be a fraction from 0 to 1")
        if not 0 < self.requests < 1e9:
            raise CountsError(f"requests_per_interval is {self.requests!r}, must be above 0 and below 1e9")
        for name, number in (("indicators", self.indicators), ("horizon", self.horizon)):
            if number < 1:
                raise CountsError(f"{name} is {number!r}, must be at least 1")

    def plan(self, proof: np.ndarray, faults: tuple[float, ...]) -> Plan:
        """What to expect of the indicator; `proof` is what safe_at gave."""
        return Plan(
            indicator=self.indicator.name,
            canary_share=self.canary_share,
            requests_per_interval=self.requests,
            baseline_rate=self.baseline_rate,
            boundary=self.boundary,
            horizon=self.horizon,
            safe=self._to_safe(proof),
            faults=tuple(self.fault(factor) for factor in faults),
        )

    @property
    def tolerances(self) -> tuple[tuple[float, float], ...]:
        """(points, ratio) of what the canary must keep: the tolerance, and the ceiling where there is one."""
        own, ceiling = (self.indicator.points, self.indicator.ratio), self.indicator.ceiling
        return (own,) if ceiling is None else (own, (ceiling, 0.0))

    @property
    def boundary(self) -> float:
        """The worst canary rate that is tolerated."""
        return min(1.0, *(points + ratio * self.baseline_rate for points, ratio in self.tolerances))

    def safe_at(self) -> np.ndarray:
        """The interval in which each simulated rollout is first SAFE, canary and baseline alike; 0 = never."""
        return np.zeros(ROLLOUTS, np.int64) if self._hopeless() else self._simulated(self.baseline_rate)[1]

    def _hopeless(self) -> str | None:
        """Why it can never be SAFE; None = it can."""
        name, boundary = self.indicator.name, self.boundary
        if self.canary_share in (0.0, 1.0):
            return "there is no concurrent baseline at this share: nothing is proven, only watched"
        if boundary <= self.baseline_rate:
            return (
                f"a canary that is merely equal cannot be proven: {name} tolerates {boundary:.4%} at a baseline of"
                f" {self.baseline_rate:.4%}; give it points, a ratio above 1, or a higher ceiling"
            )
        if boundary >= 1:
            return (
                f"{name} tolerates 100 % at a baseline of {self.baseline_rate:.4%}: nothing can be told; a lower ratio"
                " leaves room"
            )
        return self._too_little() if self._needed() > 3 * self.horizon else None

    def _to_safe(self, proof: np.ndarray) -> Waiting:
        if why := self._hopeless():
            return _never(why)
        found = _waiting(proof)
        return found if found.median is not None else msgspec.structs.replace(found, reason=self._too_little())

    def _needed(self) -> float:
        return max(self.limit(self.baseline_rate, self.settings.beta, one) for one in self.tolerances)

    def fault(self, factor: float) -> Fault:
        """Until HARMFUL, when the canary fails `factor` times as often."""
        rate, boundary = min(1.0, factor * self.baseline_rate), self.boundary
        if self.canary_share in (0.0, 1.0):
            waiting = _never("there is no concurrent baseline at this share")
        elif rate <= boundary:
            waiting = _never(f"{rate:.4%} is within the tolerance of {boundary:.4%}: it is not meant to be rolled back")
        else:
            beyond = [one for one in self.tolerances if rate > one[0] + one[1] * self.baseline_rate]
            needed = min(self.limit(rate, self.settings.alpha / self.indicators, one) for one in beyond)
            if needed > 3 * self.horizon:
                waiting = _never(f"it would take about {needed:.0f} intervals, {self.horizon} are looked at")
            else:
                harm, _ = self._simulated(rate)
                waiting = _waiting(harm)
                if waiting.median is None:
                    why = f"in most rollouts it takes longer than {self.horizon} intervals"
                    waiting = msgspec.structs.replace(waiting, reason=why)
        return Fault(factor=factor, rate=rate, harmful=waiting)

    def limit(self, canary_rate: float, error: float, tolerance: tuple[float, float]) -> float:
        """Intervals that no test with this error rate can beat on average: log(1/error) / information."""
        requests = self.requests * self.canary_share, self.requests * (1 - self.canary_share)
        canary, baseline = (float(np.clip(rate, 1e-12, 1 - 1e-12)) for rate in (canary_rate, self.baseline_rate))
        q_c, q_b = project(requests, (canary, baseline), *tolerance)
        gained = requests[0] * _apart(canary, float(q_c)) + requests[1] * _apart(baseline, float(q_b))
        return float(np.log(1 / error) / gained) if gained > 0 else float("inf")

    def _too_little(self) -> str:
        return (
            f"{self.indicator.name} cannot be proven in {self.horizon} intervals at"
            f" {self.requests * self.canary_share:.4g} canary requests each (it takes about {self._needed():.0f}):"
            f" a wider tolerance than {self.boundary:.4%}, a larger share, more time, or promote_when: unrefuted"
        )

    def _simulated(self, canary_rate: float) -> tuple[np.ndarray, np.ndarray]:
        """First crossings (harm, safe), 0 = never; with a ceiling the first harm of both, and the last proof.

        Each of both has its part of alpha, as in the judge, whose mixture of them is never later.
        """
        rng = np.random.default_rng(self.seed)
        sent = rng.poisson(self.requests, (ROLLOUTS, self.horizon))
        canary = rng.binomial(sent, self.canary_share)
        past = rng.poisson(self.requests, (ROLLOUTS, HISTORY))
        counts = (
            canary, rng.binomial(canary, canary_rate), sent - canary,
            rng.binomial(sent - canary, self.baseline_rate),
        )  # fmt: skip
        history = (past, rng.binomial(past, self.baseline_rate))
        parts = (1.0,) if len(self.tolerances) == 1 else (1 - CEILING_WEIGHT, CEILING_WEIGHT)
        found = [
            first_crossings(
                *counts,
                points=points,
                ratio=ratio,
                alpha=self.settings.alpha * part,
                beta=self.settings.beta,
                indicators=self.indicators,
                horizon=self.settings.horizon,
                history=history,
            )
            for (points, ratio), part in zip(self.tolerances, parts, strict=True)
        ]
        harm, safe = (np.stack(one) for one in zip(*found, strict=True))
        first = np.where(harm == 0, np.iinfo(np.int64).max, harm).min(axis=0)
        return np.where(harm.any(axis=0), first, 0), np.where(safe.all(axis=0), safe.max(axis=0), 0)


def _apart(p: float, q: float) -> float:
    """KL divergence of two coin flips, nats."""
    return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))


def _never(reason: str) -> Waiting:
    return Waiting(median=None, p90=None, within_horizon=0.0, reason=reason)


def _waiting(crossed: np.ndarray) -> Waiting:
    """Median and ninetieth percentile of first crossings (0 = never)."""
    ordered = np.sort(np.where(crossed == 0, np.iinfo(np.int64).max, crossed))
    median, p90 = (int(ordered[int(np.ceil(part * len(ordered))) - 1]) for part in (0.5, 0.9))
    never = np.iinfo(np.int64).max
    return Waiting(
        median=None if median == never else median,
        p90=None if p90 == never else p90,
        within_horizon=float((crossed > 0).mean()),
    )
