"""One look at one rollout: every test on its counts, computed when and where the counts come near.

Sums are in `tally`, tests in `evidence`; here they are put to the counts. Which verdict follows is decided
in `judging`.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

import numpy as np

from analyzers.judge.counts import Counts, Role, Segment, Settings
from analyzers.judge.dispersion import Correlation
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
from analyzers.judge.tally import Grouping, Span, Tally, Traffic

# Weight of the total beside its operations, and of an absolute ceiling beside the tolerance: a broken
# operation or a broken ceiling is gross, and gross harm can afford a small weight.
TOTAL_WEIGHT = 0.5
CEILING_WEIGHT = 0.1
# Leaving one out needs two others that can disagree with it.
INSTANCES_MIN = 3
# Bad requests above the boundary, in the worst recent stretch, before a costly test is worth its time:
# fewer cannot carry evidence against any limit.
NEAR_EXCESS = 2.0
# Leaving instances out is tried on the strongest terms of a mixture; dropping the others only lowers evidence.
LEFT_OUT_TERMS = 2
# Leave-one-out is shown, not only decided, when the evidence is so near to its limit (nats).
NEAR_LIMIT = 1.0
# The baseline is out of its history NOW only when its last intervals, pooled, are above the bound.
RECENT_INTERVALS = 3
# What is over fades from so far above its limit (nats): two to four calm intervals end an alarm, and one lucky
# interval does not interrupt it.
SLACK = 1.0
# Missing rows are looked for in this many settled intervals of the current segment, the newest; and they are
# missing NOW only when the last few show it.
MISSING_INTERVALS, MISSING_NOW = 240, 10


class Term(NamedTuple):
    """One e-process of an indicator's mixture: the total, one operation, or the ceiling."""

    log_weight: float
    operation: str | None
    streams: Streams  # shape (1, intervals)
    tolerance: Tolerance  # shape (1, 1)
    span: Span
    evidence: float

    @property
    def weighed(self) -> float:
        """What it brings to the mixture."""
        return self.log_weight + self.evidence


class Finding(NamedTuple):
    """What was found against one role on one indicator."""

    evidence: float  # nats
    limit: float  # nats
    terms: tuple[Term, ...] = ()  # strongest first
    without_worst: float | None = None  # smallest evidence with one instance left out; None = unchecked
    instance: str | None = None  # whose absence makes it smallest

    @property
    def operation(self) -> str | None:
        """The operation that carries it; None = the total."""
        return self.terms[0].operation if self.terms else None

    @property
    def reaches(self) -> bool:
        """At the limit, as long as nothing is left out."""
        return self.evidence >= self.limit

    @property
    def holds(self) -> bool:
        """At the limit, with any single instance left out too."""
        return self.reaches and (self.without_worst is None or self.without_worst >= self.limit)


class Look:
    """All evidence of one look; built once per call of `judge`."""

    def __init__(self, counts: Counts, indicators: Sequence[Indicator], settings: Settings) -> None:
        self.counts, self.indicators, self.settings = counts, indicators, settings
        self.tally = Tally(counts, indicators)
        self.limit = float(np.log(len(indicators) / settings.alpha))
        self.watch_limit = self.limit + float(np.log(2))  # alpha is split between the bound u and the test
        self.safe_limit = float(np.log(1 / settings.beta))
        begun = [index for index, one in enumerate(counts.segments) if one.start < counts.now]
        self.current: Segment | None = counts.segments[begun[-1]] if begun else None
        self.one_sample = self.current is not None and self.current.share == 100
        self.paired = self.tally.span([index for index in begun if counts.segments[index].share < 100])
        self.all_judged = self.tally.span(begun)
        self.step = self.tally.span(self._of_this_step(begun))
        self.settled = self.tally.settled_part(self.step)
        self.segment = self.tally.span(begun[-1:])
        column = (len(indicators), 1, 1)
        self.tolerance = Tolerance(
            np.array([one.points for one in indicators]).reshape(column),
            np.array([one.ratio for one in indicators]).reshape(column),
        )

    def _of_this_step(self, begun: list[int]) -> list[int]:
        """The last segments, as long as they belong to the same step, all with or all without a baseline."""
        own: list[int] = []
        for index in reversed(begun):
            one = self.counts.segments[index]
            if self.current is None or one.step != self.current.step or (one.share == 100) != self.one_sample:
                break
            own.insert(0, index)
        return own

    @cached_property
    def total(self) -> Streams:
        """All paired intervals, shape (indicators, 1, intervals)."""
        return self.tally.streams(self.paired)

    @cached_property
    def lasting_correlation(self) -> Correlation:
        """The correlation after everything seen, shape (indicators, 1, 1) each."""
        return Correlation(*(one[..., -1:] for one in self.tally.correlation(self.paired, ahead=1)))

    @cached_property
    def step_total(self) -> Streams:
        """The judged intervals of the current step, unsettled ones too; what came before is prior."""
        if self.one_sample:
            return self.without_baseline(self.tally.streams(self.step), self.step)
        first = self.paired.intervals - self.step.intervals
        before_bad = self.total.baseline_bad[..., :first].sum(axis=-1, keepdims=True)
        before = self.total.baseline[..., :first].sum(axis=-1, keepdims=True)
        cut = self.total.cut(slice(first, None))
        return cut._replace(prior_bad=cut.prior_bad + before_bad, prior=cut.prior + before)

    @cached_property
    def step_traffic(self) -> dict[Role, Traffic]:
        """Rows of both roles in the current step, whether judged or not."""
        return {role: self.tally.traffic(self.step, role) for role in Role}

    @cached_property
    def step_settled(self) -> Streams:
        """The settled intervals of the current step: what safety is proven on."""
        return self.step_total.cut(slice(self.settled.intervals))

    def without_baseline(self, streams: Streams, span: Span) -> Streams:
        """One-sample form: the canary alone, with the unrest that both slots had before each interval."""
        none = np.zeros_like(streams.canary)
        before = np.searchsorted(self.paired.columns, span.columns)
        known = (
            np.concatenate(parts, -1) for parts in zip(self.total.correlation, self.lasting_correlation, strict=True)
        )
        wide = Correlation(*(one[..., before] for one in known))
        return streams._replace(baseline_bad=none, baseline=none, correlation=wide)

    # Harm, and its mirror

    def harm(self) -> list[Finding]:
        """Per indicator, the concurrent evidence (and the ceiling's) that the canary is worse."""
        terms = self._totals(self.total, self.tolerance, self.paired, self.limit)
        if self.operations:
            grouping = Grouping("operation", self.operations)
            self._add_operations(terms, self.tally.streams(self.paired, grouping), self.tolerance, self.paired)
        self._add_ceilings(terms)
        return [self._finding(number, one, Role.CANARY, self.limit) for number, one in enumerate(terms)]

    def watch_harm(self) -> list[Finding]:
        """Per indicator, the evidence of the watch: the canary against the baseline as it was."""
        terms = self._totals(self.step_total, self.watch_tolerance(), self.step, self.watch_limit)
        if self.operations:
            grouping = Grouping("operation", self.operations)
            streams = self.without_baseline(self.tally.streams(self.step, grouping), self.step)
            self._add_operations(terms, streams, self.watch_tolerance(grouping), self.step)
        return [self._finding(number, one, Role.CANARY, self.watch_limit) for number, one in enumerate(terms)]

    def baseline_worse(self) -> list[Finding]:
        """The mirror of `harm`: canary and baseline in each other's place."""
        mirrored = self.total.mirrored()
        scale = np.minimum(1.0, 200 / np.maximum(mirrored.prior, 1.0))  # the history is not the canary's own
        mirrored = mirrored._replace(prior_bad=mirrored.prior_bad * scale, prior=mirrored.prior * scale)
        if not self.paired.intervals or not near(mirrored, self.tolerance).any():
            return []
        terms = self._totals(mirrored, self.tolerance, self.paired, self.limit)
        return [self._finding(number, one, Role.BASELINE, self.limit) for number, one in enumerate(terms)]

    def watch_tolerance(self, grouping: Grouping | None = None) -> Tolerance:
        """a + rho u as an absolute limit: u bounds the baseline before the switch and in the same hours."""
        own_bad, own = self.tally.before(self.counts.history, grouping)
        seen_bad, seen = self.tally.summed(self.paired, Role.BASELINE, grouping)
        before_bad, before = own_bad + seen_bad.sum(-1, keepdims=True), own + seen.sum(-1, keepdims=True)
        intervals = self.paired.intervals + self.tally.history_length
        return self._above_past(before_bad, before, intervals, grouping)

    def _above_past(self, bad: Floats, requests: Floats, intervals: int, grouping: Grouping | None) -> Tolerance:
        """The tolerance above the upper bound of a past rate, or of the same hours' where that is higher."""
        same_bad, same = self.tally.before(self.counts.same_hours, grouping)
        effect = self.lasting_correlation.effect(requests / max(intervals, 1))
        upper = log_upper(bad / effect, requests / effect, self.watch_limit)
        if same.any():
            same_upper = log_upper(same_bad / effect, same / effect, self.watch_limit)
            upper = np.where(same > 0, np.maximum(upper, same_upper), upper)
        points = self.tolerance.points + self.tolerance.ratio * upper
        return Tolerance(points, np.zeros_like(points))

    def _totals(self, total: Streams, tolerance: Tolerance, span: Span, limit: float) -> list[list[Term]]:
        evidence = np.zeros(len(self.indicators))
        if span.intervals:
            evidence = harm(total, tolerance, self._starts(span, limit))[:, 0, -1]
        numbers = range(len(self.indicators))
        return [
            [Term(0.0, None, *_picked(total, tolerance, [(one, 0)]), span, float(evidence[one]))] for one in numbers
        ]

    def _starts(self, span: Span, limit: float) -> Starts:
        return Starts.of(span.intervals, self.settings.horizon, limit)

    def _add_operations(self, terms: list[list[Term]], streams: Streams, tolerance: Tolerance, span: Span) -> None:
        """Half of the weight to the operations; those that are nowhere near carry nothing."""
        for one in terms:
            one[0] = one[0]._replace(log_weight=float(np.log(TOTAL_WEIGHT)))
        close = [] if not span.intervals else [(int(n), int(g)) for n, g in np.argwhere(near(streams, tolerance))]
        if not close:
            return
        limit = self.watch_limit if span is self.step and self.one_sample else self.limit
        evidence = harm(*_picked(streams, tolerance, close), self._starts(span, limit))[:, -1]
        log_weight = float(np.log((1 - TOTAL_WEIGHT) / len(self.operations)))
        for (number, group), value in zip(close, evidence.tolist(), strict=True):
            picked = _picked(streams, tolerance, [(number, group)])
            terms[number].append(Term(log_weight, self.operations[group], *picked, span, value))

    def _add_ceilings(self, terms: list[list[Term]]) -> None:
        """The absolute limit, over steps and watch alike: it needs no baseline."""
        for number, indicator in enumerate(self.indicators):
            if indicator.ceiling is None or not self.all_judged.intervals:
                continue
            whole = self.without_baseline(self.tally.streams(self.all_judged), self.all_judged)
            row = Tolerance(np.full((1, 1), indicator.ceiling), np.zeros((1, 1)))
            picked, _ = _picked(whole, self.tolerance, [(number, 0)])
            evidence = float(harm(picked, row, self._starts(self.all_judged, self.limit))[0, -1])
            shrunk = [one._replace(log_weight=one.log_weight + np.log1p(-CEILING_WEIGHT)) for one in terms[number]]
            terms[number] = [*shrunk, Term(float(np.log(CEILING_WEIGHT)), None, picked, row, self.all_judged, evidence)]

    def _finding(self, number: int, terms: list[Term], role: Role, limit: float) -> Finding:
        evidence = float(np.logaddexp.reduce([one.weighed for one in terms]))
        strongest = sorted(terms, key=lambda one: -one.weighed)
        found = Finding(evidence, limit, tuple(strongest))
        if evidence < limit - NEAR_LIMIT:
            return found
        names = self.tally.serving(strongest[0].span, role)
        if len(names) < INSTANCES_MIN:
            return found
        without = np.full(len(names), -np.inf)
        for one in strongest[:LEFT_OUT_TERMS]:
            without = np.logaddexp(without, self._without_each(number, one, names, role, limit))
            if without.min() >= limit:
                break
        worst = int(np.argmin(without))
        return found._replace(without_worst=float(without[worst]), instance=names[worst])

    def _without_each(self, number: int, term: Term, names: tuple[str, ...], role: Role, limit: float) -> Floats:
        """What the term brings without each instance of the role that is under suspicion."""
        if not term.span.intervals:
            return np.full(len(names), term.weighed)
        only = None if term.operation is None else ("operation", term.operation)
        bad, requests = self.tally.summed(term.span, role, Grouping("instance", names, only))
        left = term.streams._replace(
            canary_bad=term.streams.canary_bad - bad[number], canary=term.streams.canary - requests[number]
        )
        evidence: Floats = term.log_weight + harm(left, term.tolerance, self._starts(term.span, limit))[:, -1]
        return evidence

    def lasts(self, found: Finding) -> bool:
        """At the limit, and not over: a trouble that ended fades within a few intervals."""
        if not found.reaches:
            return False
        now = []
        for one in found.terms[:LEFT_OUT_TERMS]:
            starts = self._starts(one.span, found.limit)
            values = harm_intervals(one.streams, one.tolerance, starts.cap)[:, 0]
            now.append(one.log_weight + fading(values, starts, found.limit + SLACK - one.log_weight))
        return bool(np.logaddexp.reduce(now) >= found.limit)

    def only(self, streams: Streams, number: int) -> tuple[Streams, Tolerance]:
        """One indicator's total and tolerance, shape (1, intervals)."""
        return _picked(streams, self.tolerance, [(number, 0)])

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """Judged one by one."""
        return self.tally.operations(self.settings.critical_operations)

    # Safety

    def safe(self) -> list[Finding]:
        """Per indicator, the evidence that the canary is within tolerance, over the step's settled intervals."""
        if self.one_sample or not self.settled.intervals:
            return [Finding(0.0, self.safe_limit) for _ in self.indicators]
        streams = self.step_settled
        evidence = np.minimum(safe(streams, self.tolerance)[:, 0, -1], self._below_ceilings(streams))
        found = [Finding(float(value), self.safe_limit) for value in evidence]
        if not all(one.reaches for one in found):
            return found
        names = self.tally.serving(self.settled, Role.BASELINE)
        if len(names) < INSTANCES_MIN:
            return found
        without = np.minimum(safe(self.settled_without(names), self.tolerance)[..., -1], evidence[:, None])
        return [
            one._replace(without_worst=float(row.min()), instance=names[int(np.argmin(row))])
            for one, row in zip(found, without, strict=True)
        ]

    def settled_without(self, names: tuple[str, ...]) -> Streams:
        """`step_settled` without each of these baseline instances, shape (indicators, names, intervals)."""
        bad, requests = self.tally.summed(self.settled, Role.BASELINE, Grouping("instance", names))
        whole = self.step_settled
        return whole._replace(baseline_bad=whole.baseline_bad - bad, baseline=whole.baseline - requests)

    def _below_ceilings(self, streams: Streams) -> Floats:
        """Evidence that the canary is below its absolute limit; infinite where there is none."""
        ceilings = np.array([np.inf if one.ceiling is None else one.ceiling for one in self.indicators])
        if np.isinf(ceilings).all():
            return ceilings
        limits = np.where(np.isinf(ceilings), 0.5, ceilings)[:, None, None]
        below = safe(streams, Tolerance(limits, np.zeros_like(limits)))[:, 0, -1]
        return np.where(np.isinf(ceilings), np.inf, below)

    # Traffic and the world

    def shared(self) -> list[float]:
        """Per indicator, the evidence that the baseline left its own history, now; 0 where it did not."""
        found = [0.0 for _ in self.indicators]
        history_bad, history = self.total.prior_bad, self.total.prior
        if not self.paired.intervals or self.one_sample or not (history > 0).any():
            return found
        mirrored = self.total.mirrored()
        if not near(mirrored, self._above_rate(history_bad, history)).any():
            return found
        tolerance = self._above_past(history_bad, history, self.tally.history_length, None)
        points = tolerance.points
        recent = (mirrored.canary_bad - points * mirrored.canary)[..., -RECENT_INTERVALS:].sum(axis=-1)
        suspects = near(mirrored, tolerance) & (recent > 0) & (history[..., 0] > 0)
        starts = self._starts(self.paired, self.watch_limit)
        for number in np.nonzero(suspects[:, 0])[0].tolist():
            values = harm_intervals(*_picked(mirrored, tolerance, [(number, 0)]), starts.cap)
            if since_any_start(values, starts)[0, -1] >= self.watch_limit:
                found[number] = fading(values[:, 0], starts, self.watch_limit + SLACK)
        return found

    def _above_rate(self, bad: Floats, requests: Floats) -> Tolerance:
        """The tolerance above a past rate itself: never above `_above_past`, and cheap."""
        points = self.tolerance.points + self.tolerance.ratio * (bad / np.maximum(requests, 1.0))
        return Tolerance(points, np.zeros_like(points))

    def fully_observed(self) -> bool:
        """Whether at least half of the canary's share of the step's settled requests left rows."""
        canary, baseline = (float(self.tally.traffic(self.settled, role).sent.sum()) for role in Role)
        sent = canary + baseline
        return self.current is not None and sent > 0 and canary / sent >= self.current.share / 200

    def missing(self, role: Role) -> float:
        """Evidence that less than half of the role's share of the rows arrives, now, in this segment.

        Its share halved is the null; cut at the limit, so that it ends when rows come back.
        """
        settled = self.tally.settled_part(self.segment)
        if self.current is None or not settled.intervals:
            return 0.0
        span = Span(settled.columns[-MISSING_INTERVALS:])
        own, others = self.tally.traffic(span, Role.CANARY), self.tally.traffic(span, Role.BASELINE)
        share = self.current.share / 100
        if role is Role.BASELINE:
            own, others, share = others, own, 1 - share
        sent = own.sent[-MISSING_NOW:].sum(), others.sent[-MISSING_NOW:].sum()
        if share <= 0 or sum(sent) <= 0 or sent[0] / sum(sent) >= share / 2:
            return 0.0
        null = share / 2
        rates = null * np.array(MISSING_FRACTIONS)[:, None]
        values = own.rows * np.log(rates / null) + others.rows * np.log((1 - rates) / (1 - null))
        starts = Starts.of(span.intervals, max(span.intervals, 2), self.limit)
        return fading(np.minimum(values, starts.cap), starts, self.limit + SLACK)


def near(streams: Streams, tolerance: Tolerance) -> "np.ndarray[tuple[int, ...], np.dtype[np.bool_]]":
    """Where bad requests exceed the boundary, in the worst stretch that ends now, by a few; shape (..., groups)."""
    baseline = past_rate(streams.baseline_bad, streams.baseline, streams.prior_bad, streams.prior)
    excess = np.cumsum(streams.canary_bad - (tolerance.points + tolerance.ratio * baseline) * streams.canary, axis=-1)
    lowest = np.minimum(excess.min(axis=-1), 0.0)
    near_now: np.ndarray[tuple[int, ...], np.dtype[np.bool_]] = excess[..., -1] - lowest >= NEAR_EXCESS
    return near_now


def _picked(streams: Streams, tolerance: Tolerance, chosen: list[tuple[int, int]]) -> tuple[Streams, Tolerance]:
    """Streams and tolerance of (indicator, group) pairs, shape (pairs, intervals); shared parts follow."""

    def part(whole: Floats) -> Floats:
        shared = whole.shape[1] == 1
        if len(chosen) == 1:  # a view: thrice as fast, and the common case
            number, group = chosen[0]
            return whole[number : number + 1, 0 if shared else group]
        numbers = [number for number, _ in chosen]
        taken: Floats = whole[numbers, 0 if shared else [group for _, group in chosen]]
        return taken

    canary_bad, canary, baseline_bad, baseline, prior_bad, prior = map(part, streams[:6])
    known = Correlation(*map(part, streams.correlation))
    cut = Streams(canary_bad, canary, baseline_bad, baseline, prior_bad, prior, known)
    return cut, Tolerance(part(tolerance.points), part(tolerance.ratio))
