"""What cannot be judged is refused here, by name and value, before any number is made of it."""

import math
from collections.abc import Sequence

from analyzers.judge.counts import Counts, CountsError, Settings
from analyzers.judge.indicators import Indicator


def check_settings(settings: Settings) -> None:
    """Error rates in (0, 0.5), at least one interval."""
    for name, value in (("alpha", settings.alpha), ("beta", settings.beta)):
        check_error_rate(name, value)
    if isinstance(settings.horizon, bool) or not isinstance(settings.horizon, int) or settings.horizon < 1:
        raise CountsError(f"horizon is {settings.horizon!r}, must be a whole number of intervals, at least 1")
    if not settings.stale_seconds > 0:
        raise CountsError(f"stale_seconds is {settings.stale_seconds!r}, must be above 0")


def check_error_rate(name: str, value: float) -> None:
    """alpha and beta: more than 0, less than a coin flip."""
    if not 0 < value < 0.5:  # NaN fails too
        raise CountsError(f"{name} is {value!r}, must be between 0 and 0.5 (0.01 is 1 %)")


def check_tolerance(name: str, points: float, ratio: float, ceiling: float | None = None) -> None:
    """A tolerance that refuses something: 0 points and ratio 1 is legal, 100 % is not."""
    if not 0 <= points < 1:
        raise CountsError(f"{name}: points is {points!r}, must be from 0 to below 1 (0.005 is half a point)")
    if not (ratio >= 0 and math.isfinite(ratio)):
        raise CountsError(f"{name}: ratio is {ratio!r}, must be 0 or more and finite")
    if points == 0 and ratio == 0:
        raise CountsError(f"{name}: points and ratio are both 0: no bad request would be tolerated at all")
    if ceiling is not None and not 0 < ceiling < 1:
        raise CountsError(f"{name}: ceiling is {ceiling!r}, must be between 0 and 1 (0.2 is 20 %)")


def check(counts: Counts, indicators: Sequence[Indicator], settings: Settings) -> None:
    """Everything about one judgement but the rows themselves (Rows and Tally check those)."""
    check_settings(settings)
    if not indicators:
        raise CountsError("no indicators: there is nothing to judge by")
    names = [one.name for one in indicators]
    for name in names:
        if names.count(name) > 1:
            raise CountsError(f"indicator {name!r} is there twice")
    for one in indicators:
        check_tolerance(one.name, one.points, one.ratio, one.ceiling)
    if len(counts.judged_from) != len(indicators):
        raise CountsError(f"judged_from has {len(counts.judged_from)} values for {len(indicators)} indicators")
    if not counts.interval_seconds >= 1:
        raise CountsError(f"interval_seconds is {counts.interval_seconds!r}, must be at least 1")
    _check_segments(counts)


def _check_segments(counts: Counts) -> None:
    before = None
    for index, one in enumerate(counts.segments):
        if one.start % counts.interval_seconds or (one.end or 0) % counts.interval_seconds:
            raise CountsError(
                f"segments[{index}]: {one.start} to {one.end} are not multiples of interval_seconds"
                f" ({counts.interval_seconds})"
            )
        if not 1 <= one.share <= 100:
            raise CountsError(f"segments[{index}]: share is {one.share}, must be from 1 to 100")
        if one.end is not None and one.end < one.start:
            raise CountsError(f"segments[{index}]: ends at {one.end}, before it starts at {one.start}")
        if index and (before is None or one.start < before):
            raise CountsError(f"segments[{index}]: starts at {one.start}, before the one before it ends ({before})")
        before = one.end
