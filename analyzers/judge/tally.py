"""From rows to arrays of judged intervals: sums per indicator, by role, instance and operation.

Rows are placed on the grid of judged intervals once; every sum is a binning of those, every span a cut of it.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers.judge.counts import REST, Counts, CountsError, Integers, Role, Rows, Segment
from analyzers.judge.dispersion import Correlation, correlation, revised, revisions
from analyzers.judge.evidence import Streams
from analyzers.judge.indicators import Indicator
from analyzers.judge.projection import Floats

# More judged intervals than this are a mistake (a day of seconds is 86,400), not a rollout.
INTERVALS_MAX = 200_000
# Baseline intervals before the rollout that the correlation is estimated from: a day of minutes is plenty.
HISTORY_MAX = 1_440
# The operations with the most traffic that are judged beside the critical ones.
LARGEST_OPERATIONS = 10


class Span(NamedTuple):
    """Some of the judged intervals, in order: what one test looks at."""

    columns: Integers  # positions on the grid

    @property
    def intervals(self) -> int:
        """How many."""
        return len(self.columns)

    def of(self, grid: Floats) -> Floats:
        """These intervals of arrays over the grid (last axis); a view where they follow one another."""
        if not len(self.columns):
            return grid[..., :0]
        first, last = int(self.columns[0]), int(self.columns[-1])
        follow = last - first + 1 == len(self.columns)
        part: Floats = grid[..., first : last + 1] if follow else grid[..., self.columns]
        return part


class Grouping(NamedTuple):
    """Rows by operation or by instance name; those of no group count nowhere."""

    by: str  # "operation" or "instance"
    names: tuple[str, ...]
    only: tuple[str, str] | None = None  # (by, name): only rows that also carry this name


class Placed(NamedTuple):
    """The rows of one role that lie in judged intervals."""

    column: Integers  # position on the grid
    instance: Integers
    operation: Integers
    values: Floats  # (rows, requests as sent, cold, then bad and requests of each indicator), one line each


class Traffic(NamedTuple):
    """What one role got in each interval of a span, judged or not yet: rows, requests as sent, cold rows."""

    rows: Floats
    sent: Floats
    cold: Floats


class Tally:
    """One look's counts, ready to be summed over any span; checks what cannot be."""

    def __init__(self, counts: Counts, indicators: Sequence[Indicator]) -> None:
        self.counts = counts
        self.indicators = indicators
        self.warm_only = np.array([one.warm_only for one in indicators])
        for name in ("rows", "history", "same_hours"):
            self._check(getattr(counts, name), name)
        pieces = [self._starts(index, segment) for index, segment in enumerate(counts.segments)]
        self.starts = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
        sizes = [len(one) for one in pieces]
        self._ends = np.cumsum(sizes, dtype=np.int64)
        self.settled = self.starts + counts.interval_seconds <= counts.settled_until
        self._binned: dict[tuple[Role, Grouping | None], Floats] = {}

    def _check(self, rows: Rows, name: str) -> None:
        if rows.indicators != len(self.indicators):
            raise CountsError(f"{name} count {rows.indicators} indicators, the policy has {len(self.indicators)}")
        if self.warm_only.any():
            warm = rows.counts[:, 0] - rows.counts[:, 2]
            wrong = (rows.counts[:, 3:] > warm[:, None]) & self.warm_only
            if wrong.any():
                number, indicator = (int(at[0]) for at in np.nonzero(wrong))
                raise CountsError(
                    f"{name}, row {number}: bad[{indicator}] is {rows.counts[number, 3 + indicator]}, more than its"
                    f" {warm[number]} warm rows ({self.indicators[indicator].name} judges warm rows only)"
                )
        off = rows.interval % self.counts.interval_seconds != 0
        if off.any():
            number = int(np.argmax(off))
            raise CountsError(
                f"{name}, row {number}: interval is {rows.interval[number]}, must be a multiple of"
                f" interval_seconds ({self.counts.interval_seconds})"
            )

    def _starts(self, index: int, segment: Segment) -> Integers:
        end = self.counts.now if segment.end is None else min(segment.end, self.counts.now)
        if (end - segment.start) // self.counts.interval_seconds > INTERVALS_MAX:
            raise CountsError(f"segments[{index}]: more than {INTERVALS_MAX} intervals, from {segment.start}")
        return np.arange(segment.start, end, self.counts.interval_seconds, dtype=np.int64)

    def span(self, segments: Sequence[int]) -> Span:
        """The intervals of these segments (by index) that have begun."""
        ends = self._ends
        pieces = [np.arange(ends[index - 1] if index else 0, ends[index]) for index in segments]
        return Span(np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64))

    def settled_part(self, span: Span) -> Span:
        """Its intervals of which every row is there."""
        return Span(span.columns[self.settled[span.columns]])

    @cached_property
    def _placed(self) -> dict[Role, Placed]:
        rows = self.counts.rows
        column = np.searchsorted(self.starts, rows.interval)
        inside = np.zeros(len(rows), dtype=bool)
        if len(self.starts):
            inside = self.starts[np.minimum(column, len(self.starts) - 1)] == rows.interval
        never = np.iinfo(np.int64).max
        begins = np.array([never if since is None else since for since in self.counts.judged_from])
        placed = {}
        for role, code in ((Role.CANARY, 0), (Role.BASELINE, 1)):
            chosen = np.nonzero(inside & (rows.role == code))[0]
            lines = rows.counts[chosen].T.astype(np.float64)
            since = rows.interval[chosen] >= begins[:, None]
            judged = (lines[0] - self.warm_only[:, None] * lines[2]) * since
            values = np.concatenate((lines[:3], lines[3:] * since, judged))
            placed[role] = Placed(column[chosen], rows.instance[chosen], rows.operation[chosen], values)
        return placed

    def _bins(self, role: Role, grouping: Grouping | None) -> Floats:
        """Every line of `Placed.values` summed, shape (lines, groups, intervals of the grid)."""
        known = self._binned.get((role, grouping))
        if known is not None:
            return known
        placed, size = self._placed[role], len(self.starts)
        key, values, number = placed.column, placed.values, 1
        if grouping is not None:
            group = self._groups(placed, grouping)
            chosen = np.nonzero(group >= 0)[0]
            number = len(grouping.names)
            key, values = group[chosen] * size + placed.column[chosen], placed.values[:, chosen]
        bins = _binned(values, key, number * size).reshape(len(values), number, size)
        self._binned[role, grouping] = bins
        return bins

    def _groups(self, placed: Placed, grouping: Grouping) -> Integers:
        rows = self.counts.rows
        group: Integers = _table(rows, grouping.by, grouping.names)[getattr(placed, grouping.by)]
        if grouping.only is not None:
            by, name = grouping.only
            group = np.where(_table(rows, by, (name,))[getattr(placed, by)] == 0, group, -1)
        return group

    def streams(self, span: Span, grouping: Grouping | None = None) -> Streams:
        """Sums over the span, shape (indicators, groups, intervals); one group of everything without one.

        The history of the same group is the prior; the unrest is that of the whole slots.
        """
        canary_bad, canary = self.summed(span, Role.CANARY, grouping)
        baseline_bad, baseline = self.summed(span, Role.BASELINE, grouping)
        prior_bad, prior = self.before(self.counts.history, grouping)
        return Streams(canary_bad, canary, baseline_bad, baseline, prior_bad, prior, self.correlation(span))

    def summed(self, span: Span, role: Role, grouping: Grouping | None = None) -> tuple[Floats, Floats]:
        """(bad, requests) of one role, shape (indicators, groups, intervals)."""
        bins, k = self._bins(role, grouping)[3:], len(self.indicators)
        return span.of(bins[:k]), span.of(bins[k:])

    def traffic(self, span: Span, role: Role) -> Traffic:
        """What one role got in each interval of the span."""
        rows, sent, cold = span.of(self._bins(role, None)[:3, 0])
        return Traffic(rows, sent, cold)

    def serving(self, span: Span, role: Role) -> tuple[str, ...]:
        """Instances of one role with rows in the span."""
        placed = self._placed[role]
        wanted = np.zeros(len(self.starts), dtype=bool)
        wanted[span.columns] = True
        served = wanted[placed.column] & (placed.values[0] > 0)
        codes = np.nonzero(np.bincount(placed.instance[served]))[0]
        return tuple(self.counts.rows.instance_names[code] for code in codes)

    def before(self, rows: Rows, grouping: Grouping | None = None) -> tuple[Floats, Floats]:
        """Baseline (bad, requests) over all of `rows`, shape (indicators, groups, 1)."""
        group, number = np.zeros(len(rows), dtype=np.int64), 1
        if grouping is not None:
            group = _table(rows, grouping.by, grouping.names)[getattr(rows, grouping.by)]
            number = len(grouping.names)
        chosen = np.nonzero((rows.role == 1) & (group >= 0))[0]
        bad, requests = self._judged(rows, chosen)
        key = group[chosen]
        return _binned(bad, key, number)[..., None], _binned(requests, key, number)[..., None]

    def _judged(self, rows: Rows, chosen: Integers) -> tuple[Floats, Floats]:
        lines = rows.counts[chosen].T.astype(np.float64)
        return lines[3:], lines[0] - self.warm_only[:, None] * lines[2]

    def correlation(self, span: Span, ahead: int = 0) -> Correlation:
        """What is known of the slots' unrest as wholes, shape (indicators, 1, intervals + ahead) each.

        As this look weighs them: intervals before the last revision with what was known at it.
        """
        none = np.zeros((len(self.indicators), ahead))
        (canary_bad, canary), (bad, requests) = (
            [np.concatenate((part[:, 0], none), -1) if ahead else part[:, 0] for part in self.summed(span, role)]
            for role in (Role.CANARY, Role.BASELINE)
        )
        known = correlation((canary_bad, bad), (canary, requests), *self._history)
        first, _end = revisions(span.intervals + ahead)[-1]
        return Correlation(*(one[:, None] for one in revised(known, first)))

    @property
    def history_length(self) -> int:
        """Intervals of history with and without rows, from its first to its last."""
        return int(self._history[0].shape[1])

    @cached_property
    def _history(self) -> tuple[Floats, Floats]:
        rows, step = self.counts.history, self.counts.interval_seconds
        if not (rows.role == 1).any():
            return (np.zeros((len(self.indicators), 0)),) * 2
        last = int(rows.interval[rows.role == 1].max())
        position = HISTORY_MAX - 1 - (last - rows.interval) // step
        chosen = np.nonzero((rows.role == 1) & (position >= 0))[0]
        first = int(position[chosen].min())
        bad, requests = self._judged(rows, chosen)
        key, number = position[chosen] - first, HISTORY_MAX - first
        return _binned(bad, key, number), _binned(requests, key, number)

    def operations(self, critical: Sequence[str]) -> tuple[str, ...]:
        """The operations judged by themselves: critical ones and the largest, by traffic, never by errors.

        Empty when there is but one operation: it is the total.
        """
        names: dict[str, float] = {}
        for rows in (self.counts.rows, self.counts.history):
            sums = np.bincount(rows.operation, rows.counts[:, 0], len(rows.operation_names))
            for name, stored in zip(rows.operation_names, sums.tolist(), strict=True):
                names[name] = names.get(name, 0.0) + stored
        ranked = sorted((name for name in names if names[name] and name != REST), key=lambda name: (-names[name], name))
        chosen = [name for name in ranked if name in critical]
        chosen += [name for name in ranked if name not in critical][:LARGEST_OPERATIONS]
        return tuple(chosen) if len(chosen) > 1 or REST in names else ()


def _table(rows: Rows, by: str, names: tuple[str, ...]) -> Integers:
    """The group of each of the rows' own names (operation or instance); -1 = none."""
    known = {name: code for code, name in enumerate(names)}
    own = rows.operation_names if by == "operation" else rows.instance_names
    return np.array([known.get(name, -1) for name in own], dtype=np.int64)


def _binned(values: Floats, key: NDArray[np.int64], number: int) -> Floats:
    """Sums of each line of `values` by `key`, shape (lines, number)."""
    lines = len(values)
    keys = key + number * np.arange(lines)[:, None]
    sums = np.bincount(keys.ravel(), values.ravel(), lines * number)
    return sums.astype(np.float64, copy=False).reshape(lines, number)  # floats already, which its types do not know
