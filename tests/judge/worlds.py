"""Simulated traffic for the judge's tests: seeded, counted as a telemetry source would count it."""

from collections.abc import Sequence

import numpy as np

from analyzers.judge import Counts, Indicator, IndicatorKind, Role, Row, Rows, Segment

FAILURES = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.002, ratio=1.25)
REJECTED = Indicator(name="rejected", kind=IndicatorKind.REJECTED, points=0.01, ratio=1.5)
SLOW = Indicator(name="slow", kind=IndicatorKind.SLOWER_THAN, points=0.01, ratio=1.25, warm_only=True)


def rows(
    role: Role,
    start: int,
    requests: np.ndarray,
    rates: Sequence[float | np.ndarray],
    rng: np.random.Generator,
    *,
    instances: int = 1,
    operations: Sequence[tuple[str, float]] = (("GET /", 1.0),),
    step: int = 60,
) -> list[Row]:
    """Rows of one role: `requests` per interval, spread over instances and operations; one rate per indicator."""
    made = []
    weights = np.repeat([weight for _, weight in operations], instances) / instances
    for index, number in enumerate(requests):
        cells = rng.multinomial(number, weights / weights.sum())
        for cell, count in enumerate(cells):
            if not count:
                continue
            bad = tuple(int(rng.binomial(count, rate[index] if np.ndim(rate) else rate)) for rate in rates)
            operation = operations[cell // instances][0]
            instance = f"{role}-{cell % instances}"
            made.append(Row(role, start + index * step, instance, operation, int(count), int(count), 0, bad))
    return made


def counts(
    seed: int = 0,
    *,
    minutes: int = 30,
    rpm: int = 2000,
    share: int = 10,
    canary: Sequence[float | np.ndarray] = (0.005,),
    baseline: Sequence[float | np.ndarray] = (0.005,),
    history: int = 60,
    settle: int = 4,
    step: int = 60,
    **spread,
) -> Counts:
    """A rollout in its first step, looked at when `minutes` intervals of it have passed."""
    rng = np.random.default_rng(seed)
    begin = 1_000_000 * step
    total = rng.poisson(rpm, minutes)
    to_canary = rng.binomial(total, share / 100)
    k = len(canary)
    live = rows(Role.CANARY, begin, to_canary, canary, rng, step=step, **spread)
    live += rows(Role.BASELINE, begin, total - to_canary, baseline, rng, step=step, **spread)
    past_rates = [rate[0] if np.ndim(rate) else rate for rate in baseline]
    past = rows(Role.BASELINE, begin - history * step, rng.poisson(rpm, history), past_rates, rng, step=step, **spread)
    return Counts(
        interval_seconds=step,
        now=begin + minutes * step,
        settled_until=begin + (minutes - settle) * step,
        rows=Rows.of(live, k),
        history=Rows.of(past, k),
        same_hours=Rows.empty(k),
        segments=(Segment(start=begin, end=None, share=share, step=0),),
        judged_from=(begin - history * step,) * k,
    )
