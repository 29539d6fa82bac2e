"""The sentence that explains a decision: one text for card, page and command line.

Every sentence holds both numbers and the name of the knob, then what follows.
"""

from collections.abc import Mapping

from analyzers.judge.indicators import Indicator
from analyzers.judge.verdict import IndicatorEvidence, Side, Verdict, VerdictKind
from rollouts.notice import Line
from rollouts.policy import Pin


def percent(fraction: float | None) -> str:
    """A fraction as people read it.

    >>> percent(0.0775), percent(0.00012), percent(None)
    ('7.75 %', '0.012 %', 'unknown')
    """
    if fraction is None:
        return "unknown"
    digits = 2 if abs(fraction) >= 0.001 or fraction == 0 else 3
    text = f"{100 * fraction:.{digits}f}".rstrip("0").rstrip(".")
    return f"{text or '0'} %"


def duration(seconds: float) -> str:
    """Seconds as people write them.

    >>> duration(42), duration(600), duration(5400), duration(9000), duration(90000)
    ('42 s', '10 min', '90 min', '2 h 30 min', '1 d 1 h')
    """
    whole = round(seconds)
    if whole < 120:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 120:
        return f"{minutes} min" + (f" {rest} s" if rest and minutes < 10 else "")
    hours, minutes = divmod(minutes, 60)
    if hours < 25:
        return f"{hours} h" + (f" {minutes} min" if minutes else "")
    days, hours = divmod(hours, 24)
    return f"{days} d" + (f" {hours} h" if hours else "")


def to_come(pin: Pin, step: int) -> str:
    """What follows a step's share (`step` is its index; -1 = a share below the first) when nobody does anything."""
    share = pin.steps[step + 1]
    proof = (
        "when it is proven no worse"
        if pin.promote_when == "proven"
        else f"when nothing speaks against it in {pin.min_requests} requests (promote_when: unrefuted)"
    )
    return (
        f"Next: {share} % {proof}, not before {duration(pin.bake_seconds)} (bake); neither proven nor refuted in "
        f"{duration(pin.deadline_seconds)} (deadline): {pin.at_deadline}"
    )


def counted(side: Side) -> str:
    """Bad of all, and the rate: "31/400 (7.75 %)"."""
    return f"{side.bad}/{side.requests} ({percent(side.rate)})" if side.requests else "no requests"


def tolerance(indicator: Indicator) -> str:
    """The tolerance with the names of its knobs."""
    name = f"indicators.{indicator.name}"
    return f"{name}.points {100 * indicator.points:g}, {name}.ratio {indicator.ratio:g}"


def comparison(one: IndicatorEvidence, indicator: Indicator) -> str:
    """Both slots side by side, with what would have been tolerated."""
    return (
        f"{one.name}: canary {counted(one.canary)} bad against baseline {counted(one.baseline)}, "
        f"tolerated {percent(one.boundary)} ({tolerance(indicator)})"
    )


def evidence(value: float | None, limit: float) -> str:
    """Evidence against its limit, in natural logarithms: "12.3 of 5.3"."""
    return f"{value:.1f} of {limit:.1f}" if value is not None else f"none yet of {limit:.1f}"


def bad_means(indicator: Indicator, threshold_ms: float | None) -> str:
    """What a bad request of a latency indicator is; "" where the name says it, or T is not pinned yet (None).

    >>> from analyzers.judge.indicators import IndicatorKind
    >>> p95 = Indicator(name="p95", kind=IndicatorKind.QUANTILE, points=0.01, ratio=1.0, quantile=0.95, slowdown=0.2)
    >>> bad_means(p95, 812.0)
    'slower than 812 ms (canary 974 ms)'
    """
    if indicator.threshold_ms is not None:
        return f"slower than {indicator.threshold_ms:.0f} ms"
    if threshold_ms is None or indicator.slowdown is None:
        return ""
    return f"slower than {threshold_ms:.0f} ms (canary {threshold_ms * (1 + indicator.slowdown):.0f} ms)"


def lines(verdict: Verdict | None, pin: Pin, thresholds_ms: Mapping[str, float]) -> tuple[Line, ...]:
    """The card's table: one line for each indicator. `thresholds_ms` is the pinned T of each quantile indicator."""
    if verdict is None:
        return ()
    means = {one.name: bad_means(one, thresholds_ms.get(one.name)) for one in pin.indicators}
    return tuple(
        Line(
            indicator=one.name,
            canary=counted(one.canary),
            baseline=counted(one.baseline),
            tolerated=percent(one.boundary),
            harm=evidence(one.harm, one.harm_limit),
            safe="not asked, no baseline beside it" if verdict.one_sample else evidence(one.safe, one.safe_limit),
            bad=means.get(one.name, ""),
        )
        for one in verdict.indicators
    )


def verdict_sentence(verdict: Verdict, pin: Pin) -> str:
    """What the judge says, in one or two sentences that can be read alone."""
    named = {one.name: one for one in pin.indicators}
    decisive = verdict.evidence(verdict.indicator) if verdict.indicator else None
    compared = comparison(decisive, named[decisive.name]) if decisive else ""
    where = f" in operation {verdict.operation}" if verdict.operation else ""
    match verdict.kind:
        case VerdictKind.HARMFUL:
            strength = evidence(decisive.harm, decisive.harm_limit) if decisive else "over the limit"
            return (
                f"{compared}: worse than tolerated{where}, evidence {strength} (expert.alpha {percent(verdict.alpha)})"
            )
        case VerdictKind.SAFE:
            return "; ".join(_safe(one) for one in verdict.indicators) + f" (expert.beta {percent(verdict.beta)})"
        case VerdictKind.UNDECIDED:
            return verdict.why or _undecided(verdict)
        case VerdictKind.BASELINE_WORSE:
            return f"{compared}: the baseline is the worse one, beyond the tolerance"
        case VerdictKind.ONE_INSTANCE:
            return (
                f"{compared}: the harm sits in one instance, {verdict.instance}; without it the evidence is not there"
            )
        case VerdictKind.SHARED:
            return f"{compared}: the baseline itself left its history, the canary is not worse. {verdict.why}".rstrip()
        case VerdictKind.BLIND | VerdictKind.UNOBSERVED:
            return verdict.why


def _safe(one: IndicatorEvidence) -> str:
    return (
        f"{one.name} canary {counted(one.canary)}, baseline {counted(one.baseline)}, "
        f"evidence {evidence(one.safe, one.safe_limit)}"
    )


def _undecided(verdict: Verdict) -> str:
    waiting = [one for one in verdict.indicators if one.safe is None or one.safe < one.safe_limit]
    if not waiting:
        return "nothing is judged yet"
    parts = []
    for one in waiting:
        text = _safe(one)
        if one.note:
            text += f" ({one.note})"
        elif one.requests_needed is not None and one.seconds_needed is not None:
            text += f", about {one.requests_needed} more requests ({duration(one.seconds_needed)})"
        parts.append(text)
    return "not proven yet: " + "; ".join(parts)
