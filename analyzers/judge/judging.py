"""The judgement: the first verdict that holds, in the order of VerdictKind, with every number behind it."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from analyzers.judge.checks import check
from analyzers.judge.counts import Counts, Role, Settings
from analyzers.judge.evidence import leaves_room, past_rate, reduced, safe_rates
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.look import INSTANCES_MIN, Finding, Look
from analyzers.judge.projection import log_e
from analyzers.judge.verdict import IndicatorEvidence, Side, Verdict, VerdictKind

# The interval for display: two-sided 95 %.
DISPLAY_Z = 1.96
# More intervals than this are no forecast: "cannot be said".
NEEDED_MAX = 100_000


class Ruling(NamedTuple):
    """The kind of a verdict, and what explains it."""

    kind: VerdictKind
    why: str = ""
    indicator: str | None = None
    operation: str | None = None
    instance: str | None = None
    severe: bool = False


class Found(NamedTuple):
    """What the costly tests said, per indicator."""

    harm: list[Finding]
    watch: list[Finding] | None  # None outside the watch
    safe: list[Finding]


def judge(counts: Counts, indicators: Sequence[Indicator], settings: Settings) -> Verdict:
    """What the counts say of the canary at `counts.now`: a Verdict with every number behind it.

    Harm is looked for in everything ingested; safety only in intervals that ended by `settled_until`.
    Nothing is concluded from silence. CountsError names the value that cannot be.
    """
    check(counts, indicators, settings)
    look = Look(counts, indicators, settings)
    found = Found(look.harm(), look.watch_harm() if look.one_sample else None, look.safe())
    ruling = _ruling(look, found)
    canary, baseline = (float(look.step_traffic[role].rows.sum()) for role in Role)
    role = Role.BASELINE if ruling.kind is VerdictKind.SAFE else Role.CANARY
    return Verdict(
        kind=ruling.kind,
        indicators=tuple(_evidence(look, found, number) for number in range(len(indicators))),
        alpha=settings.alpha,
        beta=settings.beta,
        looks=look.all_judged.intervals,
        step_looks=look.settled.intervals,
        share=look.current.share if look.current is not None else None,
        one_sample=look.one_sample,
        severe=ruling.severe,
        indicator=ruling.indicator,
        operation=ruling.operation,
        instance=ruling.instance,
        instances_checked=len(look.tally.serving(look.all_judged, role)) >= INSTANCES_MIN,
        observed_share=canary / (canary + baseline) if canary + baseline else None,
        why=ruling.why,
    )


def _ruling(look: Look, found: Found) -> Ruling:
    """The first that holds. No kind follows from the absence of another but UNDECIDED."""
    return (
        _harmful(look, found)
        or _blind(look)
        or _unobserved(look)
        or _baseline_worse(look)
        or _shared(look)
        or _one_instance(look, found)
        or _safe(look, found)
        or _undecided(look, found)
    )


def _harmful(look: Look, found: Found) -> Ruling | None:
    harmful = _strongest(found.harm)
    if harmful is not None:
        # In the watch, what the concurrent test or the ceiling says needs no second trial.
        number, one = harmful
        name = look.indicators[number].name
        return Ruling(VerdictKind.HARMFUL, indicator=name, operation=one.operation, severe=look.one_sample)
    suspected = _strongest(found.watch or [])
    if suspected is None:
        return None
    number, one = suspected
    return Ruling(
        VerdictKind.HARMFUL,
        why="compared with the baseline as it was before the switch",
        indicator=look.indicators[number].name,
        operation=one.operation,
    )


def _strongest(findings: list[Finding]) -> tuple[int, Finding] | None:
    held = [(number, one) for number, one in enumerate(findings) if one.holds]
    return max(held, key=lambda pair: pair[1].evidence) if held else None


def _blind(look: Look) -> Ruling | None:
    counts = look.counts
    if counts.unavailable is not None:
        return Ruling(VerdictKind.BLIND, why=f"the telemetry did not answer: {counts.unavailable}")
    if look.current is None:
        return None
    seen = counts.rows.interval[counts.rows.counts[:, 0] > 0]
    began = counts.segments[0].start
    last = max(int(seen.max()) + counts.interval_seconds, began) if len(seen) else began
    silent = counts.settled_until - last
    if silent >= look.settings.stale_seconds:
        return Ruling(
            VerdictKind.BLIND,
            why=f"no row of either slot in {silent} seconds of settled telemetry (allowed: less than"
            f" {look.settings.stale_seconds})",
        )
    if look.missing(Role.BASELINE) >= look.limit:
        return Ruling(
            VerdictKind.BLIND,
            why=f"the baseline's rows are missing: it has far fewer than its {100 - look.current.share} %"
            " of the traffic",
        )
    return None


def _unobserved(look: Look) -> Ruling | None:
    if look.current is None or look.missing(Role.CANARY) < look.limit:
        return None
    return Ruling(
        VerdictKind.UNOBSERVED,
        why=f"the canary has far fewer rows than its {look.current.share} % of the traffic: requests may be failing"
        " without leaving a row",
    )


def _baseline_worse(look: Look) -> Ruling | None:
    if look.one_sample:
        return None
    # A quantile holds the slots to different thresholds: an equal baseline is bad more often by construction.
    worse = [
        number
        for number, one in enumerate(look.baseline_worse())
        if one.holds and look.lasts(one) and look.indicators[number].kind is not IndicatorKind.QUANTILE
    ]
    return Ruling(VerdictKind.BASELINE_WORSE, indicator=look.indicators[worse[0]].name) if worse else None


def _shared(look: Look) -> Ruling | None:
    evidence = look.shared()
    number = int(np.argmax(evidence))
    if evidence[number] < look.watch_limit:
        return None
    return Ruling(
        VerdictKind.SHARED,
        why="the baseline is beyond the tolerance of its own history",
        indicator=look.indicators[number].name,
    )


def _one_instance(look: Look, found: Found) -> Ruling | None:
    for findings in (found.harm, found.watch or []):
        for number, one in enumerate(findings):
            if look.lasts(one):
                return Ruling(
                    VerdictKind.ONE_INSTANCE,
                    indicator=look.indicators[number].name,
                    operation=one.operation,
                    instance=one.instance,
                )
    return None


def _safe(look: Look, found: Found) -> Ruling | None:
    judged = all(since is not None for since in look.counts.judged_from)
    if look.one_sample or not judged or not all(one.holds for one in found.safe):
        return None
    if not look.fully_observed():  # what left no row may have failed: unproven, whether or not UNOBSERVED fired
        return None
    return Ruling(VerdictKind.SAFE)


def _undecided(look: Look, found: Found) -> Ruling:
    if look.current is None:
        return Ruling(VerdictKind.UNDECIDED, why="no judged interval has begun")
    if look.one_sample:
        return Ruling(VerdictKind.UNDECIDED, why="nothing speaks against the canary")
    if all(one.reaches for one in found.safe):
        names = sorted({one.instance for one in found.safe if not one.holds and one.instance})
        if names:
            return Ruling(
                VerdictKind.UNDECIDED,
                why=f"not proven yet: without the baseline's instance {names[0]} the evidence is not there",
            )
    return Ruling(VerdictKind.UNDECIDED)


def _evidence(look: Look, found: Found, number: int) -> IndicatorEvidence:
    indicator = look.indicators[number]
    canary, baseline = (_side(look, number, role) for role in (Role.CANARY, Role.BASELINE))
    boundary = indicator.boundary(baseline.rate) if baseline.rate is not None else None
    one = found.harm[number]
    if found.watch is not None:
        boundary = min(1.0, float(look.watch_tolerance().points[number, 0, 0]))
        one = one if one.holds else found.watch[number]
    low, high = _difference(canary, baseline, indicator)
    note = _note(look, number, canary, boundary)
    safe = found.safe[number].evidence if not look.one_sample and look.counts.judged_from[number] is not None else None
    needed = _needed(look, number, found.safe[number]) if safe is not None else None
    return IndicatorEvidence(
        name=indicator.name,
        canary=canary,
        baseline=baseline,
        boundary=boundary,
        harm=one.evidence,
        harm_limit=one.limit,
        harm_without_worst_instance=one.without_worst,
        safe=safe,
        safe_limit=look.safe_limit,
        difference_low=low,
        difference_high=high,
        requests_needed=needed[0] if needed else None,
        seconds_needed=needed[1] if needed else None,
        note=note,
    )


def _side(look: Look, number: int, role: Role) -> Side:
    step = look.step_total
    bad, requests = (step.canary_bad, step.canary) if role is Role.CANARY else (step.baseline_bad, step.baseline)
    traffic = look.step_traffic[role]
    number_bad, judged = int(bad[number].sum()), int(requests[number].sum())
    return Side(
        bad=number_bad,
        requests=judged,
        rate=number_bad / judged if judged else None,
        displayed_requests=int(traffic.sent.sum()),
        cold=int(traffic.cold.sum()),
    )


def _note(look: Look, number: int, canary: Side, boundary: float | None) -> str | None:
    indicator = look.indicators[number]
    if look.counts.judged_from[number] is None:
        return "not judged yet: no history for T"
    if look.one_sample:
        return "no concurrent baseline: compared with the baseline as it was before the switch"
    if canary.requests == 0 and canary.cold > 0 and indicator.warm_only:
        return "no warm requests yet"
    if boundary is not None and boundary >= 1:
        return (
            f"neither harmful nor proven: {indicator.points:.2%} + {indicator.ratio:g} x the baseline's rate tolerates"
            " 100 %; a lower ratio leaves room"
        )
    if indicator.points == 0 and indicator.ratio <= 1:
        return "cannot be proven while the canary is merely equal: the tolerance is 0 points and ratio 1"
    return None


def _difference(canary: Side, baseline: Side, indicator: Indicator) -> tuple[float | None, float | None]:
    """Canary rate minus boundary, 95 %, from two Wilson intervals (Newcombe, Stat. Med. 17 (1998), method 10)."""
    if canary.rate is None or baseline.rate is None:
        return None, None
    low_c, high_c = _wilson(canary.bad, canary.requests)
    low_b, high_b = _wilson(baseline.bad, baseline.requests)
    middle = canary.rate - indicator.points - indicator.ratio * baseline.rate
    down = np.hypot(canary.rate - low_c, indicator.ratio * (high_b - baseline.rate))
    up = np.hypot(high_c - canary.rate, indicator.ratio * (baseline.rate - low_b))
    return float(middle - down), float(middle + up)


def _wilson(bad: int, requests: int) -> tuple[float, float]:
    z2, rate = DISPLAY_Z**2, bad / requests
    middle = (rate + z2 / (2 * requests)) / (1 + z2 / requests)
    spread = DISPLAY_Z / (1 + z2 / requests) * np.sqrt(rate * (1 - rate) / requests + z2 / (4 * requests**2))
    return float(middle - spread), float(middle + spread)


def _needed(look: Look, number: int, safe: Finding) -> tuple[int, int] | None:
    """(canary requests, seconds) until SAFE, were the rates and the traffic of this step to go on.

    Where a baseline instance must be left out, they are those without it.
    """
    if not look.settled.intervals:
        return None
    held = safe.evidence if safe.without_worst is None else safe.without_worst
    if held >= look.safe_limit:
        return 0, 0
    seen = look.step_settled if safe.instance is None else look.settled_without((safe.instance,))
    one, tolerance = look.only(seen, number)
    bad_c, canary, bad_b, baseline = (float(part.mean()) for part in reduced(one))
    if canary <= 0 or baseline <= 0:
        return None
    rate = past_rate(one.baseline_bad, one.baseline, one.prior_bad, one.prior)[..., -1:]
    if not leaves_room(rate, tolerance).all():
        return None
    rates = safe_rates(rate, tolerance)
    growth = float(log_e((bad_c, canary, bad_b, baseline), (rates, rate), *tolerance).max())
    intervals = np.ceil((look.safe_limit - held) / growth) if growth > 0 else np.inf
    if intervals > NEEDED_MAX:
        return None
    return int(np.ceil(intervals * one.canary.mean())), int(intervals * look.counts.interval_seconds)
