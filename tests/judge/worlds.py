"""Simulated traffic for the judge's tests: seeded, counted as a telemetry source would count it."""

from collections.abc import Callable, Sequence

import msgspec
import numpy as np

from analyzers.judge import Counts, Indicator, IndicatorKind, Role, Row, Rows, Segment

FAILURES = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.002, ratio=1.25)
REJECTED = Indicator(name="rejected", kind=IndicatorKind.REJECTED, points=0.01, ratio=1.5)
SLOW = Indicator(name="slow", kind=IndicatorKind.SLOWER_THAN, points=0.01, ratio=1.25, warm_only=True)
BEGIN = 1_000_000 * 60  # epoch seconds of the first judged interval


def rows(
    role: Role,
    start: int,
    requests: np.ndarray,
    rates: Sequence[float | np.ndarray | Callable[[str, str], float]],
    rng: np.random.Generator,
    *,
    instances: int = 1,
    operations: Sequence[tuple[str, float]] = (("GET /", 1.0),),
) -> list[Row]:
    """Rows of one role: `requests` per minute, spread over instances and operations.

    One rate per indicator: a number, one per minute, or a function of (operation, instance).
    """
    made = []
    weights = np.repeat([weight for _, weight in operations], instances) / instances
    for minute, number in enumerate(requests):
        cells = rng.multinomial(number, weights / weights.sum())
        for cell, count in enumerate(cells.tolist()):
            if not count:
                continue
            operation, instance = operations[cell // instances][0], f"{role}-{cell % instances}"
            bad = tuple(int(rng.binomial(count, _rate(rate, minute, operation, instance))) for rate in rates)
            made.append(Row(role, start + minute * 60, instance, operation, count, count, 0, bad))
    return made


def _rate(rate, minute: int, operation: str, instance: str) -> float:
    if callable(rate):
        return rate(operation, instance)
    return float(rate[minute]) if np.ndim(rate) else rate


def counts(
    seed: int = 0,
    *,
    minutes: int = 30,
    rpm: int = 2000,
    share: int = 10,
    canary: Sequence = (0.005,),
    baseline: Sequence = (0.005,),
    history: int = 60,
    settle: int = 4,
    **spread,
) -> Counts:
    """A rollout in its first step, looked at when `minutes` minutes of it have passed."""
    rng = np.random.default_rng(seed)
    total = rng.poisson(rpm, minutes)
    to_canary = rng.binomial(total, share / 100)
    k = len(canary)
    live = rows(Role.CANARY, BEGIN, to_canary, canary, rng, **spread)
    live += rows(Role.BASELINE, BEGIN, total - to_canary, baseline, rng, **spread)
    before = [rate[0] if np.ndim(rate) else rate for rate in baseline]
    past = rows(Role.BASELINE, BEGIN - history * 60, rng.poisson(rpm, history), before, rng, **spread)
    return Counts(
        interval_seconds=60,
        now=BEGIN + minutes * 60,
        settled_until=BEGIN + (minutes - settle) * 60,
        rows=Rows.of(live, k),
        history=Rows.of(past, k),
        same_hours=Rows.empty(k),
        segments=(Segment(start=BEGIN, end=None, share=share, step=0),),
        judged_from=(BEGIN - history * 60,) * k,
    )


def only(counted: Counts, keep: Callable[[Row], bool]) -> Counts:
    """The same counts without the rows that `keep` refuses."""
    kept = [row for row in counted.rows.list() if keep(row)]
    return msgspec.structs.replace(counted, rows=Rows.of(kept, counted.rows.indicators))


def switched(counted: Counts, minute: int) -> Counts:
    """The same traffic, but all to the canary from `minute` on (one minute of transition is not judged)."""
    at = BEGIN + minute * 60
    segments = (
        Segment(start=BEGIN, end=at, share=counted.segments[0].share, step=0),
        Segment(start=at + 60, end=None, share=100, step=1),
    )
    without = only(counted, lambda row: row.role is Role.CANARY or row.interval < at)
    return msgspec.structs.replace(without, segments=segments)
