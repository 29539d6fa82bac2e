"""From rows to arrays of judged intervals: sums per indicator, by role, instance and operation."""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers.judge.counts import REST, Counts, CountsError, Integers, Role, Rows
from analyzers.judge.dispersion import correlation, revised, revisions
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
    """Some judged intervals, in order: what one test looks at."""

    starts: Integers  # epoch seconds
    ends_settled: NDArray[np.bool_]  # every row of the interval is there

    @property
    def intervals(self) -> int:
        """How many."""
        return len(self.starts)


class Tally:
    """One look's counts, ready to be summed over any span; checks what cannot be."""

    def __init__(self, counts: Counts, indicators: Sequence[Indicator]) -> None:
        self.counts = counts
        self.indicators = indicators
        self.warm_only = np.array([one.warm_only for one in indicators])
        self._check_rows(counts.rows, "rows")
        self._check_rows(counts.history, "history")
        self._check_rows(counts.same_hours, "same_hours")

    def _check_rows(self, rows: Rows, name: str) -> None:
        if rows.indicators != len(self.indicators):
            raise CountsError(f"{name} count {rows.indicators} indicators, the policy has {len(self.indicators)}")
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

    def span(self, segments: Sequence[int]) -> Span:
        """The intervals of these segments (by index) that have begun."""
        step, now = self.counts.interval_seconds, self.counts.now
        pieces = []
        for index in segments:
            segment = self.counts.segments[index]
            end = now if segment.end is None else min(segment.end, now)
            if (end - segment.start) // step > INTERVALS_MAX:
                raise CountsError(f"segments[{index}]: more than {INTERVALS_MAX} intervals, from {segment.start}")
            pieces.append(np.arange(segment.start, end, step, dtype=np.int64))
        starts = np.concatenate(pieces) if pieces else np.zeros(0, dtype=np.int64)
        return Span(starts, starts + step <= self.counts.settled_until)

    def judged(self, rows: Rows) -> tuple[Floats, Floats]:
        """(bad, requests) of every row, shape (indicators, rows): rows of inference, warm where asked."""
        bad = rows.counts[:, 3:].T.astype(np.float64)
        requests = rows.counts[:, 0] - self.warm_only[:, None] * rows.counts[:, 2]
        return bad, requests.astype(np.float64)

    def streams(self, span: Span, grouping: "Grouping | None" = None) -> Streams:
        """Sums over the span, shape (indicators, groups, intervals); one group of everything without one.

        The history of the same group is the prior; the correlation is that of the whole baseline.
        """
        canary_bad, canary = self.summed(span, Role.CANARY, grouping)
        baseline_bad, baseline = self.summed(span, Role.BASELINE, grouping)
        prior_bad, prior = self.before(self.counts.history, grouping)
        return Streams(canary_bad, canary, baseline_bad, baseline, prior_bad, prior, self.correlation(span))

    def summed(self, span: Span, role: Role, grouping: "Grouping | None" = None) -> tuple[Floats, Floats]:
        """(bad, requests) of one role, shape (indicators, groups, intervals)."""
        rows = self.counts.rows
        group, number = (np.zeros(len(rows), dtype=np.int64), 1) if grouping is None else grouping.of(rows)
        position = np.searchsorted(span.starts, rows.interval)
        position = np.minimum(position, max(span.intervals - 1, 0))
        chosen = (group >= 0) & (rows.role == (0 if role is Role.CANARY else 1))
        chosen &= (span.starts[position] == rows.interval) if span.intervals else False
        key = group[chosen] * span.intervals + position[chosen]
        since = self._since_judged(rows)
        shape = (len(self.indicators), number, span.intervals)
        bad, requests = (
            _binned((values * since)[:, chosen], key, number * span.intervals).reshape(shape)
            for values in self.judged(rows)
        )
        return bad, requests

    def before(self, rows: Rows, grouping: "Grouping | None" = None) -> tuple[Floats, Floats]:
        """Baseline (bad, requests) over all of `rows`, shape (indicators, groups, 1)."""
        group, number = (np.zeros(len(rows), dtype=np.int64), 1) if grouping is None else grouping.of(rows)
        chosen = (rows.role == 1) & (group >= 0)
        bad, requests = (_binned(values[:, chosen], group[chosen], number)[..., None] for values in self.judged(rows))
        return bad, requests

    def correlation(self, span: Span, ahead: int = 0) -> Floats:
        """Intra-interval correlation of the whole baseline, shape (indicators, 1, intervals + ahead).

        As this look weighs them: intervals before the last revision with what was known at it.
        """
        bad, requests = self.summed(span, Role.BASELINE)
        past_bad, past = self._history
        wide = ((0, 0), (0, ahead))
        known = correlation(np.pad(bad[:, 0], wide), np.pad(requests[:, 0], wide), past_bad, past)
        first, _end = revisions(span.intervals + ahead, self.history_length)[-1]
        return revised(known, first)[:, None]

    @property
    def history_length(self) -> int:
        """Intervals of history with and without rows, from its first to its last."""
        return int(self._history[0].shape[1])

    @cached_property
    def _history(self) -> tuple[Floats, Floats]:
        rows, step = self.counts.history, self.counts.interval_seconds
        baseline = rows.role == 1
        if not baseline.any():
            return (np.zeros((len(self.indicators), 0)),) * 2
        last = int(rows.interval[baseline].max())
        position = HISTORY_MAX - 1 - (last - rows.interval) // step
        chosen = baseline & (position >= 0)
        first = int(position[chosen].min())
        bad, requests = (
            _binned(values[:, chosen], position[chosen] - first, HISTORY_MAX - first) for values in self.judged(rows)
        )
        return bad, requests

    def traffic(self, span: Span) -> tuple[Floats, Floats, Floats, Floats]:
        """Per interval: canary rows, canary requests as sent, baseline rows, baseline requests as sent."""
        rows = self.counts.rows
        position = np.minimum(np.searchsorted(span.starts, rows.interval), max(span.intervals - 1, 0))
        inside = (span.starts[position] == rows.interval) if span.intervals else np.zeros(len(rows), dtype=bool)
        canary, baseline = (
            _binned(rows.counts[inside & (rows.role == role), :2].T.astype(np.float64),
                    position[inside & (rows.role == role)], span.intervals)
            for role in (0, 1)
        )  # fmt: skip
        return canary[0], canary[1], baseline[0], baseline[1]

    def cold(self, span: Span, role: Role) -> int:
        """Rows of young instances of one role in the span."""
        rows = self.counts.rows
        inside = np.isin(rows.interval, span.starts) & (rows.role == (0 if role is Role.CANARY else 1))
        return int(rows.counts[inside, 2].sum())

    def serving(self, span: Span, role: Role) -> tuple[str, ...]:
        """Instances of one role with rows in the span."""
        rows = self.counts.rows
        inside = np.isin(rows.interval, span.starts) & (rows.role == (0 if role is Role.CANARY else 1))
        codes = np.unique(rows.instance[inside & (rows.counts[:, 0] > 0)])
        return tuple(rows.instance_names[code] for code in codes)

    def operations(self, critical: Sequence[str]) -> tuple[str, ...]:
        """The operations judged by themselves: critical ones and the largest, by traffic, never by errors.

        Empty when there is but one operation: it is the total.
        """
        names: dict[str, int] = {}
        for rows in (self.counts.rows, self.counts.history):
            sums = np.bincount(rows.operation, rows.counts[:, 0], len(rows.operation_names))
            for name, stored in zip(rows.operation_names, sums.tolist(), strict=True):
                names[name] = names.get(name, 0) + int(stored)
        ranked = sorted((name for name in names if names[name] and name != REST), key=lambda name: -names[name])
        chosen = [name for name in ranked if name in critical]
        chosen += [name for name in ranked if name not in critical][:LARGEST_OPERATIONS]
        return tuple(chosen) if len(chosen) > 1 or REST in names else ()

    def _since_judged(self, rows: Rows) -> NDArray[np.bool_]:
        never = np.iinfo(np.int64).max
        begins = np.array([never if since is None else since for since in self.counts.judged_from])
        return rows.interval >= begins[:, None]


class Grouping(NamedTuple):
    """Rows by operation or by instance name; those of no group count nowhere."""

    by: str  # "operation" or "instance"
    names: tuple[str, ...]
    only: tuple[str, str] | None = None  # (by, name): only rows that also carry this name

    def of(self, rows: Rows) -> tuple[Integers, int]:
        """The group of each row (-1 = none), and the number of groups."""
        group = _codes(rows, self.by, self.names)
        if self.only is not None:
            group = np.where(_codes(rows, self.only[0], (self.only[1],)) == 0, group, -1)
        return group, len(self.names)


def _codes(rows: Rows, by: str, names: tuple[str, ...]) -> Integers:
    known = {name: code for code, name in enumerate(names)}
    own = rows.operation_names if by == "operation" else rows.instance_names
    table = np.array([*(known.get(name, -1) for name in own), -1], dtype=np.int64)
    return table[rows.operation if by == "operation" else rows.instance]


def _binned(values: Floats, key: Integers, number: int) -> Floats:
    """Sums of each line of `values` by `key`, shape (lines, number)."""
    if not values.size:
        return np.zeros((values.shape[0], number))
    return np.stack([np.bincount(key, line, number) for line in values])
