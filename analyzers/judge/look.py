"""One look at one rollout: every test on its counts, computed when and where the counts come near.

Sums are in `tally`, tests in `evidence`; here they are put to the counts. Which verdict follows is decided
in `judging`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from analyzers.judge.counts import Counts, Role, Segment, Settings
from analyzers.judge.evidence import (
    MISSING_FRACTIONS,
    Starts,
    Streams,
    Tolerance,
    fading,
    harm,
    harm_intervals,
    log_upper,
    past_rate,
    safe,
    since_any_start,
)
from analyzers.judge.indicators import Indicator
from analyzers.judge.projection import Floats
from analyzers.judge.tally import Grouping, Span, Tally

# Weight of the total beside its operations, and of an absolute ceiling beside the tolerance: a broken
# operation or a broken ceiling is gross, and gross harm can afford a small weight.
TOTAL_WEIGHT = 0.5
CEILING_WEIGHT = 0.1
# Leaving one out needs two others that can disagree with it.
INSTANCES_MIN = 3
# Bad requests above the boundary, in the worst recent stretch, before a costly test is worth its time:
# fewer cannot carry evidence against any limit.
NEAR_EXCESS = 2.0
# Leave-one-out is shown, not only decided, when the evidence is so near to its limit (nats).
NEAR_LIMIT = 1.0
# The baseline is out of its history NOW only when its last intervals, pooled, are above the bound.
RECENT_INTERVALS = 3
# What is over fades from a little above the limit, so that rounding does not decide (nats).
SLACK = 0.01
# Missing rows are looked for in this many settled intervals of the current segment, the newest.
MISSING_INTERVALS = 240


class Finding(NamedTuple):
    """What was found against one role on one indicator."""

    evidence: float  # nats
    without_worst: float | None = None  # smallest evidence with one instance left out; None = unchecked
    instance: str | None = None  # whose absence makes it smallest
    operation: str | None = None  # the operation that carries it; None = the total
    current: float | None = None  # evidence that forgets what is over; None = below the limit anyway
    ceiling: float = -np.inf  # what the absolute limit alone contributes

    def lasts(self, limit: float) -> bool:
        """At the limit, and not over."""
        return self.evidence >= limit and self.current is not None and self.current >= limit

    def holds(self, limit: float) -> bool:
        """At the limit, with any single instance left out too."""
        return self.evidence >= limit and (self.without_worst is None or self.without_worst >= limit)


class Term(NamedTuple):
    """One e-process of an indicator's mixture: the total, one operation, or the ceiling."""

    log_weight: float
    operation: str | None
    streams: Streams  # shape (1, intervals)
    tolerance: Tolerance  # shape (1, 1)
    span: Span
    evidence: float


class Look:
    """All evidence of one look; built once per call of `judge`."""

    def __init__(self, counts: Counts, indicators: Sequence[Indicator], settings: Settings) -> None:
        self.counts, self.indicators, self.settings = counts, indicators, settings
        self.tally = Tally(counts, indicators)
        self.limit = float(np.log(len(indicators) / settings.alpha))
        self.safe_limit = float(np.log(1 / settings.beta))
        begun = [index for index, one in enumerate(counts.segments) if one.start < counts.now]
        self.current: Segment | None = counts.segments[begun[-1]] if begun else None
        step = [index for index in begun if self.current and counts.segments[index].step == self.current.step]
        paired = [index for index in begun if counts.segments[index].share < 100]
        self.one_sample = self.current is not None and self.current.share == 100
        self.paired = self.tally.span(paired)
        self.all_judged = self.tally.span(begun)
        self.step = self.tally.span(step)
        self.segment = self.tally.span(begun[-1:])
        column = (len(indicators), 1, 1)
        self.tolerance = Tolerance(
            np.array([one.points for one in indicators]).reshape(column),
            np.array([one.ratio for one in indicators]).reshape(column),
        )

    @cached_property
    def total(self) -> Streams:
        """All paired intervals, shape (indicators, 1, intervals)."""
        return self.tally.streams(self.paired)

    @cached_property
    def lasting_correlation(self) -> Floats:
        """The correlation after everything seen, shape (indicators, 1, 1)."""
        return self.tally.correlation(self.paired, ahead=1)[..., -1:]

    @cached_property
    def step_total(self) -> Streams:
        """The judged intervals of the current step, unsettled ones too; what came before is prior."""
        if self.one_sample:
            streams = self.tally.streams(self.step)
            wide = np.broadcast_to(self.lasting_correlation, streams.canary.shape)
            return streams._replace(correlation=wide)
        first = self.paired.intervals - self.step.intervals
        before_bad = self.total.baseline_bad[..., :first].sum(axis=-1, keepdims=True)
        before = self.total.baseline[..., :first].sum(axis=-1, keepdims=True)
        cut = self.total.cut(slice(first, None))
        return cut._replace(prior_bad=cut.prior_bad + before_bad, prior=cut.prior + before)

    # Harm, and its mirror

    def harm(self) -> list[Finding]:
        """Per indicator, the concurrent evidence (and the ceiling's) that the canary is worse."""
        return self._findings(self.total, self.paired, self.tolerance, Role.CANARY)

    def baseline_worse(self) -> list[Finding]:
        """The mirror of `harm`: canary and baseline in each other's place."""
        mirrored = self.total.mirrored()
        scale = np.minimum(1.0, 200 / np.maximum(mirrored.prior, 1.0))  # the history is not the canary's own
        mirrored = mirrored._replace(prior_bad=mirrored.prior_bad * scale, prior=mirrored.prior * scale)
        return self._findings(mirrored, self.paired, self.tolerance, Role.BASELINE)

    def watch_harm(self) -> list[Finding]:
        """Per indicator, the evidence of the watch: the canary against the baseline as it was."""
        return self._findings(self.step_total, self.step, self.watch_tolerance(), Role.CANARY)

    def watch_tolerance(self, grouping: Grouping | None = None) -> Tolerance:
        """a + rho u as an absolute limit: u bounds the baseline before the switch and in the same hours.

        alpha is split between u and the test.
        """
        limit = self.limit + np.log(2)
        own_bad, own = self.tally.before(self.counts.history, grouping)
        seen_bad, seen = self.tally.summed(self.paired, Role.BASELINE, grouping)
        before_bad, before = own_bad + seen_bad.sum(-1, keepdims=True), own + seen.sum(-1, keepdims=True)
        same_bad, same = self.tally.before(self.counts.same_hours, grouping)
        intervals = max(self.paired.intervals + self.tally.history_length, 1)
        effect = 1 + np.maximum(before / intervals - 1, 0) * self.lasting_correlation
        upper = log_upper(before_bad / effect, before / effect, limit)
        upper = np.where(same > 0, np.maximum(upper, log_upper(same_bad / effect, same / effect, limit)), upper)
        points = self.tolerance.points + self.tolerance.ratio * upper
        return Tolerance(points, np.zeros_like(points))

    def _findings(self, total: Streams, span: Span, tolerance: Tolerance, role: Role) -> list[Finding]:
        if not span.intervals:
            return [Finding(0.0) for _ in self.indicators]
        one_sample = span is self.step and self.one_sample
        starts = self._starts(span, one_sample)
        if role is Role.BASELINE and not near(total, tolerance).any():
            return [Finding(0.0) for _ in self.indicators]
        evidence = harm(total, tolerance, starts)[:, 0, -1]
        terms = [
            [Term(0.0, None, _picked(total, one), _row(tolerance, one), span, float(evidence[one]))]
            for one in range(len(self.indicators))
        ]
        if role is Role.CANARY:
            self._add_operations(terms, span, one_sample)
            if not one_sample:
                self._add_ceilings(terms)
        return [self._finding(number, one, role) for number, one in enumerate(terms)]

    def _starts(self, span: Span, one_sample: bool = False) -> Starts:
        limit = self.limit + (np.log(2) if one_sample else 0.0)
        return Starts.of(span.intervals, self.settings.horizon, limit)

    def _add_operations(self, terms: list[list[Term]], span: Span, one_sample: bool) -> None:
        """Half of the weight to the operations; those that are nowhere near carry nothing."""
        names = self.operations
        if not names:
            return
        grouping = Grouping("operation", names)
        streams = self.tally.streams(span, grouping)
        tolerance = self.tolerance
        if one_sample:
            tolerance = self.watch_tolerance(grouping)
            streams = streams._replace(correlation=np.broadcast_to(self.lasting_correlation, (len(terms), 1, 1)))
        for one in terms:
            one[0] = one[0]._replace(log_weight=float(np.log(TOTAL_WEIGHT)))
        log_weight = float(np.log((1 - TOTAL_WEIGHT) / len(names)))
        starts = self._starts(span, one_sample)
        for number, group in np.argwhere(near(streams, tolerance)).tolist():
            picked, row = _picked(streams, number, group), _row(tolerance, number, group)
            evidence = float(harm(picked, row, starts)[0, -1])
            terms[number].append(Term(log_weight, names[group], picked, row, span, evidence))

    def _add_ceilings(self, terms: list[list[Term]]) -> None:
        """The absolute limit, over steps and watch alike: it needs no baseline."""
        for number, indicator in enumerate(self.indicators):
            if indicator.ceiling is None:
                continue
            whole = self.ceiling_streams(number, self.all_judged)
            row = Tolerance(np.array([[indicator.ceiling]]), np.zeros((1, 1)))
            evidence = float(harm(whole, row, self._starts(self.all_judged))[0, -1])
            shrunk = [one._replace(log_weight=one.log_weight + np.log1p(-CEILING_WEIGHT)) for one in terms[number]]
            ceiling = Term(float(np.log(CEILING_WEIGHT)), None, whole, row, self.all_judged, evidence)
            terms[number] = [*shrunk, ceiling]

    def ceiling_streams(self, number: int, span: Span) -> Streams:
        """The canary of one indicator alone, shape (1, intervals)."""
        bad, requests = (part[number] for part in self.tally.summed(span, Role.CANARY))
        none = np.zeros_like(bad)
        wide = np.broadcast_to(self.lasting_correlation[number], bad.shape)
        return Streams(bad, requests, none, none, none[:, :1], none[:, :1], wide)

    def _finding(self, number: int, terms: list[Term], role: Role) -> Finding:
        values = np.array([one.log_weight + one.evidence for one in terms])
        evidence = float(np.logaddexp.reduce(values))
        strongest = terms[int(np.argmax(values))]
        ceilings = [value for one, value in zip(terms, values, strict=True) if one.span is self.all_judged]
        ceiling = float(ceilings[0]) if ceilings and self.indicators[number].ceiling is not None else -np.inf
        found = Finding(evidence, operation=strongest.operation, ceiling=ceiling)
        limit = self.limit + (np.log(2) if strongest.span is self.step and self.one_sample else 0.0)
        if evidence < limit - NEAR_LIMIT:
            return found
        carrying = [one for one, value in zip(terms, values, strict=True) if value >= limit - 2 * NEAR_LIMIT]
        if evidence >= limit:
            found = found._replace(current=self._current(carrying, limit))
        names = self.tally.serving(strongest.span, role)
        if len(names) < INSTANCES_MIN:
            return found
        left = [one.log_weight + self._without_each(number, one, names, role) for one in carrying]
        without = np.logaddexp.reduce(np.stack(left), axis=0) if left else np.full(len(names), -np.inf)
        worst = int(np.argmin(without))
        return found._replace(without_worst=float(without[worst]), instance=names[worst])

    def _current(self, terms: list[Term], limit: float) -> float:
        """The evidence of these terms as it is now: a trouble that ended fades within a few intervals."""
        now = []
        for one in terms:
            starts = self._starts(one.span, one.span is self.step and self.one_sample)
            values = harm_intervals(one.streams, one.tolerance, starts.cap)[:, 0]
            now.append(one.log_weight + fading(values, starts, limit + SLACK - one.log_weight))
        return float(np.logaddexp.reduce(now)) if now else -np.inf

    def _without_each(self, number: int, term: Term, names: tuple[str, ...], role: Role) -> Floats:
        """The term's evidence without each instance of the role that is under suspicion."""
        only = None if term.operation is None else ("operation", term.operation)
        bad, requests = self.tally.summed(term.span, role, Grouping("instance", names, only))
        streams = term.streams._replace(
            canary_bad=term.streams.canary_bad - bad[number], canary=term.streams.canary - requests[number]
        )
        one_sample = term.span is self.step and self.one_sample
        return harm(streams, term.tolerance, self._starts(term.span, one_sample))[:, -1]

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """Judged one by one."""
        return self.tally.operations(self.settings.critical_operations)

    # Safety

    def safe(self) -> list[Finding]:
        """Per indicator, the evidence that the canary is within tolerance, over the step's settled intervals."""
        settled = int(self.step.ends_settled.sum())
        if self.one_sample or not settled:
            return [Finding(0.0) for _ in self.indicators]
        streams = self.settled(settled)
        evidence = safe(streams, self.tolerance)[:, 0, -1]
        evidence = np.minimum(evidence, self._below_ceilings(settled))
        found = [Finding(float(value)) for value in evidence]
        if (evidence < self.safe_limit).any():
            return found
        span = Span(self.step.starts[:settled], self.step.ends_settled[:settled])
        names = self.tally.serving(span, Role.BASELINE)
        if len(names) < INSTANCES_MIN:
            return found
        bad, requests = self.tally.summed(span, Role.BASELINE, Grouping("instance", names))
        left = streams._replace(baseline_bad=streams.baseline_bad - bad, baseline=streams.baseline - requests)
        without = np.minimum(safe(left, self.tolerance)[..., -1], evidence[:, None])
        return [
            one._replace(without_worst=float(row.min()), instance=names[int(np.argmin(row))])
            for one, row in zip(found, without, strict=True)
        ]

    def settled(self, intervals: int) -> Streams:
        """The first `intervals` of the current step."""
        return self.step_total.cut(slice(intervals))

    def _below_ceilings(self, settled: int) -> Floats:
        below = np.full(len(self.indicators), np.inf)
        for number, indicator in enumerate(self.indicators):
            if indicator.ceiling is not None:
                whole = self.ceiling_streams(number, Span(self.step.starts[:settled], self.step.ends_settled))
                own = past_rate(whole.canary_bad, whole.canary, whole.prior_bad, whole.prior)
                row = Tolerance(np.array([[indicator.ceiling]]), np.zeros((1, 1)))
                believed = np.clip(own.mean(), None, indicator.ceiling / 2)
                prior = whole._replace(prior_bad=whole.prior_bad + believed * 1e6, prior=whole.prior + 1e6)
                below[number] = safe(prior, row)[0, -1]
        return below

    # Traffic and the world

    def shared(self) -> list[float]:
        """Per indicator, the evidence that the baseline left its own history, now; 0 where it did not."""
        found = [0.0 for _ in self.indicators]
        history_bad, history = self.total.prior_bad, self.total.prior
        if not self.paired.intervals or self.one_sample or not (history > 0).any():
            return found
        effect = 1 + np.maximum(history / max(self.tally.history_length, 1) - 1, 0) * self.lasting_correlation
        upper = log_upper(history_bad / effect, history / effect, self.limit + np.log(2))
        same_bad, same = self.tally.before(self.counts.same_hours)
        same_upper = log_upper(same_bad / effect, same / effect, self.limit + np.log(2))
        upper = np.where(same > 0, np.maximum(upper, same_upper), upper)
        points = self.tolerance.points + self.tolerance.ratio * upper
        tolerance = Tolerance(points, np.zeros_like(points))
        mirrored = self.total.mirrored()
        recent = (mirrored.canary_bad - points * mirrored.canary)[..., -RECENT_INTERVALS:].sum(axis=-1)
        suspects = near(mirrored, tolerance) & (recent > 0) & (history[..., 0] > 0)
        starts = self._starts(self.paired, one_sample=True)
        for number in np.nonzero(suspects[:, 0])[0].tolist():
            values = harm_intervals(_picked(mirrored, number), _row(tolerance, number), starts.cap)
            if since_any_start(values, starts)[0, -1] >= self.limit + np.log(2):
                found[number] = fading(values[:, 0], starts, self.limit + np.log(2) + SLACK)
        return found

    def fully_observed(self) -> bool:
        """Whether the canary has at least half of its share of the step's settled rows."""
        settled = Span(self.step.starts[self.step.ends_settled], self.step.ends_settled[self.step.ends_settled])
        canary, _, baseline, _ = self.tally.traffic(settled)
        rows = float(canary.sum() + baseline.sum())
        return self.current is not None and rows > 0 and float(canary.sum()) / rows >= self.current.share / 200

    def missing(self, role: Role) -> float:
        """Evidence that less than half of the role's share of the rows arrives, now, in this segment.

        Its share halved is the null; cut at the limit, so that it ends when rows come back.
        """
        settled = int(self.segment.ends_settled.sum())
        if self.current is None or not settled:
            return 0.0
        newest = slice(max(0, settled - MISSING_INTERVALS), settled)
        span = Span(self.segment.starts[newest], self.segment.ends_settled[newest])
        canary, canary_sent, baseline, baseline_sent = self.tally.traffic(span)
        share = self.current.share / 100
        if role is Role.BASELINE:
            canary, baseline, canary_sent, baseline_sent = baseline, canary, baseline_sent, canary_sent
            share = 1 - share
        recent = slice(-10, None)
        sent = canary_sent[recent].sum() + baseline_sent[recent].sum()
        if share <= 0 or sent <= 0 or canary_sent[recent].sum() / sent >= share / 2:
            return 0.0
        null = share / 2
        rates = null * np.array(MISSING_FRACTIONS)[:, None]
        values = canary * np.log(rates / null) + baseline * np.log((1 - rates) / (1 - null))
        starts = Starts.of(span.intervals, max(span.intervals, 2), self.limit)
        return fading(np.minimum(values, starts.cap), starts, self.limit + SLACK)


def near(streams: Streams, tolerance: Tolerance) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Where bad requests exceed the boundary, in the worst stretch that ends now, by a few; shape (..., groups)."""
    baseline = past_rate(streams.baseline_bad, streams.baseline, streams.prior_bad, streams.prior)
    excess = np.cumsum(streams.canary_bad - (tolerance.points + tolerance.ratio * baseline) * streams.canary, axis=-1)
    lowest = np.minimum(excess.min(axis=-1), 0.0)
    near_now: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = excess[..., -1] - lowest >= NEAR_EXCESS
    return near_now


def _picked(streams: Streams, number: int, group: int = 0) -> Streams:
    """One stream as shape (1, intervals); parts that are shared by all groups follow."""
    parts = [part[number, min(group, part.shape[1] - 1)][None] for part in streams]
    return Streams(*parts)


def _row(tolerance: Tolerance, number: int, group: int = 0) -> Tolerance:
    points, ratio = (part[number, min(group, part.shape[1] - 1)][None] for part in tolerance)
    return Tolerance(points, ratio)
