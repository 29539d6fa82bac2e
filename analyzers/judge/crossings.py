"""Many rollouts at once: in which minute does each first reach a limit? The same tests as `judge`, batched."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.judge.checks import check_error_rate, check_tolerance
from analyzers.judge.counts import CountsError
from analyzers.judge.dispersion import Correlation, correlation, revised, revisions
from analyzers.judge.evidence import Starts, Streams, Tolerance, harm, safe
from analyzers.judge.look import INSTANCES_MIN
from analyzers.judge.projection import Floats

Minutes = NDArray[np.int64]
Pair = tuple[ArrayLike, ArrayLike]

# Cells (alternatives x rollouts x minutes) worked on at once are about ten times this: it stays in the cache.
CELLS = 8_000


class Instances(NamedTuple):
    """Counts per instance, shape (rollouts, instances, minutes)."""

    requests: Floats
    bad: Floats


def first_crossings(  # noqa: PLR0913 (pinned: tools outside build on this signature)
    canary_requests: ArrayLike,
    canary_bad: ArrayLike,
    baseline_requests: ArrayLike,
    baseline_bad: ArrayLike,
    *,
    points: float,
    ratio: float,
    alpha: float,
    beta: float,
    indicators: int = 1,
    horizon: int | None = None,
    history: Pair | None = None,
    canary_instances: Pair | None = None,
    baseline_instances: Pair | None = None,
) -> tuple[Minutes, Minutes]:
    """(harm_minute, safe_minute): the first minute, from 1, in which each rollout crosses; 0 = never.

    Whole numbers of shape (rollouts, minutes), looked at after every minute. `points` is a fraction (0.002 is
    0.2 points); `indicators` is how many share alpha; `horizon` the minutes in which a fault may begin (None:
    those given); `history` = (requests, bad) of baseline minutes before the rollout, (rollouts, minutes);
    `canary_instances` and `baseline_instances` = (requests, bad), (rollouts, instances, minutes), for the
    leave-one-out rule. CountsError names the rollout, the minute and the value that cannot be.

    >>> harm_minute, safe_minute = first_crossings(
    ...     [[200] * 10], [[20] * 10], [[1800] * 10], [[9] * 10], points=0.005, ratio=1.25, alpha=0.01, beta=0.01)
    >>> int(harm_minute[0]), int(safe_minute[0])
    (2, 0)
    """
    check_tolerance("tolerance", points, ratio)
    check_error_rate("alpha", alpha)
    check_error_rate("beta", beta)
    for name, whole in (("indicators", indicators), ("horizon", 1 if horizon is None else horizon)):
        if isinstance(whole, bool) or not isinstance(whole, int | np.integer) or whole < 1:
            raise CountsError(f"{name} is {whole!r}, must be a whole number, at least 1")
    canary = _counted("canary", canary_requests, canary_bad, None)
    baseline = _counted("baseline", baseline_requests, baseline_bad, canary.requests.shape)
    rollouts, minutes = canary.requests.shape
    past = Instances(np.zeros((rollouts, 0)), np.zeros((rollouts, 0)))
    if history is not None:
        past = _counted("history", *history, (rollouts, None))
    parts = [
        None if pair is None else _parts(name, pair, total)
        for name, pair, total in (
            ("canary_instances", canary_instances, canary),
            ("baseline_instances", baseline_instances, baseline),
        )
    ]
    limits = float(np.log(indicators / alpha)), float(np.log(1 / beta))
    harm_minute, safe_minute = np.zeros(rollouts, dtype=np.int64), np.zeros(rollouts, dtype=np.int64)
    if not minutes:
        return harm_minute, safe_minute
    starts = Starts.of(minutes, horizon or minutes, limits[0])
    test = Test(Tolerance(np.array(points), np.array(ratio)), starts, limits)
    size = max(1, CELLS // (minutes + past.requests.shape[1]))
    for first in range(0, rollouts, size):
        rows = slice(first, first + size)
        streams = _streams(canary, baseline, past, rows)
        canary_parts, baseline_parts = (
            None if one is None else Instances(one.requests[rows], one.bad[rows]) for one in parts
        )
        harm_minute[rows] = test.harm_minutes(streams, canary_parts)
        safe_minute[rows] = test.safe_minutes(streams, baseline_parts)
    return harm_minute, safe_minute


class Test(NamedTuple):
    """Tolerance, starts and limits (harm, safe) that all rollouts share."""

    tolerance: Tolerance
    starts: Starts
    limits: tuple[float, float]

    def harm(self, streams: Streams) -> Floats:
        """Evidence of harm at each look."""
        return self._looks(streams, lambda seen: harm(seen, self.tolerance, self.starts.cut(seen.canary.shape[-1])))

    def safe(self, streams: Streams) -> Floats:
        """Evidence of safety at each look."""
        return self._looks(streams, lambda seen: safe(seen, self.tolerance))

    def _looks(self, streams: Streams, test: Callable[[Streams], Floats]) -> Floats:
        looks = []
        for first, end in revisions(streams.canary.shape[-1]):
            seen = streams.cut(slice(end))
            looks.append(test(seen._replace(correlation=revised(seen.correlation, first)))[..., first:])
        return np.concatenate(looks, axis=-1)

    def harm_minutes(self, streams: Streams, parts: Instances | None) -> Minutes:
        """First minute at the limit, with any single canary instance left out too where three have served."""
        over = self.harm(streams) >= self.limits[0]
        if parts is not None:
            for number in np.nonzero(over.any(axis=-1))[0].tolist():
                left = _one(streams, number)
                left = left._replace(
                    canary_bad=left.canary_bad - parts.bad[number], canary=left.canary - parts.requests[number]
                )
                over[number] &= _holds(self.harm(left), parts.requests[number], self.limits[0])
        return _first(over)

    def safe_minutes(self, streams: Streams, parts: Instances | None) -> Minutes:
        """The mirror: with any single baseline instance left out too."""
        over = self.safe(streams) >= self.limits[1]
        if parts is not None:
            for number in np.nonzero(over.any(axis=-1))[0].tolist():
                left = _one(streams, number)
                left = left._replace(
                    baseline_bad=left.baseline_bad - parts.bad[number],
                    baseline=left.baseline - parts.requests[number],
                )
                over[number] &= _holds(self.safe(left), parts.requests[number], self.limits[1])
        return _first(over)


def _streams(canary: Instances, baseline: Instances, past: Instances, rows: slice) -> Streams:
    return Streams(
        canary.bad[rows],
        canary.requests[rows],
        baseline.bad[rows],
        baseline.requests[rows],
        past.bad[rows].sum(axis=-1, keepdims=True),
        past.requests[rows].sum(axis=-1, keepdims=True),
        correlation(
            (canary.bad[rows], baseline.bad[rows]),
            (canary.requests[rows], baseline.requests[rows]),
            past.bad[rows],
            past.requests[rows],
        ),
    )


def _one(streams: Streams, number: int) -> Streams:
    """One rollout as shape (1, minutes), to be spread over its instances."""
    canary_bad, canary, baseline_bad, baseline, prior_bad, prior = (part[number][None] for part in streams[:6])
    known = Correlation(*(part[number][None] for part in streams.correlation))
    return Streams(canary_bad, canary, baseline_bad, baseline, prior_bad, prior, known)


def _holds(without: Floats, requests: Floats, limit: float) -> NDArray[np.bool_]:
    """Per minute: fewer than three instances have served (unchecked), or the weakest evidence is enough.

    An instance that has not served yet leaves everything in when left out: it cannot be the weakest.
    """
    served = (np.cumsum(requests, axis=-1) > 0).sum(axis=0)
    held: NDArray[np.bool_] = (served < INSTANCES_MIN) | (without.min(axis=0) >= limit)
    return held


def _first(over: NDArray[np.bool_]) -> Minutes:
    return np.where(over.any(axis=-1), over.argmax(axis=-1) + 1, 0).astype(np.int64)


def _counted(name: str, requests: ArrayLike, bad: ArrayLike, shape: tuple[int, int | None] | None) -> Instances:
    arrays = _whole(f"{name} requests", requests, 2), _whole(f"{name} bad", bad, 2)
    for what, one in zip(("requests", "bad"), arrays, strict=True):
        wanted = arrays[0].shape if shape is None or shape[1] is None else shape
        if one.shape != wanted or (shape is not None and one.shape[0] != shape[0]):
            rollouts = shape[0] if shape is not None else wanted[0]
            raise CountsError(f"{name} {what}: shape {one.shape}, must be {(rollouts, wanted[1])} (rollouts, minutes)")
    _compare(name, arrays[0], arrays[1])
    return Instances(*arrays)


def _parts(name: str, pair: Pair, total: Instances) -> Instances:
    requests, bad = _whole(f"{name} requests", pair[0], 3), _whole(f"{name} bad", pair[1], 3)
    for what, one, whole in (("requests", requests, total.requests), ("bad", bad, total.bad)):
        if one.shape != requests.shape or (one.shape[0], one.shape[2]) != whole.shape:
            raise CountsError(
                f"{name} {what}: shape {one.shape}, must be ({whole.shape[0]}, instances, {whole.shape[1]})"
                " (rollouts, instances, minutes)"
            )
        apart = one.sum(axis=1) != whole
        if apart.any():
            rollout, minute = (int(at[0]) for at in np.nonzero(apart))
            raise CountsError(
                f"{name} {what}, rollout {rollout}, minute {minute + 1}: the instances sum to"
                f" {one.sum(axis=1)[rollout, minute]:.0f}, the total is {whole[rollout, minute]:.0f}"
            )
    _compare(name, requests, bad)
    return Instances(requests, bad)


def _whole(name: str, values: ArrayLike, dimensions: int) -> Floats:
    try:
        array = np.asarray(values, dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise CountsError(f"{name}: not a rectangular array of numbers ({error})") from error
    if array.ndim != dimensions:
        raise CountsError(f"{name}: {array.ndim} dimensions, must have {dimensions}")
    wrong = ~((array >= 0) & (array < 2**53) & (array == np.floor(array)))
    if wrong.any():
        where = tuple(int(at[0]) for at in np.nonzero(wrong))
        raise CountsError(f"{name}, {_place(where)}: {array[where]!r}, must be a whole number, 0 or more")
    return array


def _compare(name: str, requests: Floats, bad: Floats) -> None:
    wrong = bad > requests
    if wrong.any():
        where = tuple(int(at[0]) for at in np.nonzero(wrong))
        raise CountsError(f"{name}, {_place(where)}: {bad[where]:.0f} bad of {requests[where]:.0f} requests")


def _place(where: tuple[int, ...]) -> str:
    inside = f", instance {where[1]}" if len(where) == 3 else ""
    return f"rollout {where[0]}{inside}, minute {where[-1] + 1}"
