"""`canary plan`: how long will each step of a policy take at this traffic, and what can never be proven?"""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated

import msgspec
import typer

from analyzers.judge import Indicator, IndicatorKind
from analyzers.judge.counts import CountsError
from analyzers.judge.power import INTERVALS_MAX, Plan, Plans, Waiting, plan_all
from analyzers.judge.power import plan as simulated
from cli.adapters import Adapters
from cli.check import read_policy
from cli.ending import BadInput, ends
from cli.measured import Traffic, from_rollout, from_workspace
from cli.options import AsJson, PolicyFile, Url, rollout_id, service_name
from cli.remote import Remote
from cli.replay import service_of
from cli.screen import Screen
from controller.views import plain
from rollouts.decide import settings
from rollouts.policy import Pin
from rollouts.policy_file import leaves
from rollouts.policy_file.leaves import duration_text

FAULTS = (2.0, 5.0, 20.0)
# What is assumed of an indicator whose rate nobody gave; said wherever it is used.
ASSUMED_RATE = 0.01
# Wider tolerances and larger first shares that are tried when a step cannot be proven.
WIDER = (1.5, 2.0, 3.0, 5.0, 10.0)
LARGER = (20, 25, 50)
POINTS_MOST = 0.1  # ten points: nobody means more


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """What to expect of one judged share, in minutes from its first judged interval; None = not before the deadline."""

    share: int  # percent
    promotion: Waiting  # in minutes, bake and settle included
    slowest: str | None  # the indicator that takes longest; None = none is waited for
    plans: tuple[Plan, ...]
    together: Waiting  # in intervals, until all indicators are SAFE
    advice: tuple[str, ...] = ()


@ends
def plan(
    *,
    policy: PolicyFile = "canary.yaml",
    service: Annotated[
        str | None,
        typer.Option("--service", help="Whose policy; needed when the file has several.", callback=service_name),
    ] = None,
    rpm: Annotated[float | None, typer.Option("--rpm", help="Requests a minute, both slots together.")] = None,
    errors: Annotated[
        str | None, typer.Option("--errors", metavar="PERCENT", help="What fails now, such as 0.5%.")
    ] = None,
    rate: Annotated[
        list[str] | None,
        typer.Option("--rate", metavar="NAME=PERCENT", help="The same for another indicator: rejected=2%. Repeatable."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option("--like", metavar="ROLLOUT", help="Traffic as measured before this rollout.", callback=rollout_id),
    ] = None,
    measure: Annotated[
        bool,
        typer.Option("--measure", help="Traffic of the live slot now, as its workspace shows it (your own rights)."),
    ] = False,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Say how long the steps will take, and how soon faults are found. Simulated with the judge itself."""
    _, parsed = read_policy(policy)
    chosen = service_of(parsed, service, policy)
    given = dict(_given(one, chosen.pin) for one in rate or [])
    if errors is not None:
        if "failures" in given:
            raise BadInput("--errors and --rate failures both say how often it fails: give one of them")
        given["failures"] = _percent("--errors", errors)
    traffic = _traffic(chosen.pin, rpm, given, _measured(chosen.pin, like, url, measure=measure))
    try:
        steps = tuple(steps_of(chosen.pin, traffic))
    except CountsError as error:
        raise BadInput(str(error)) from error
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result({"service": chosen.name, "traffic": plain(traffic), "steps": plain(steps)})
        return
    show(screen, chosen.pin, traffic, steps)


def steps_of(pin: Pin, traffic: Traffic) -> Iterator[Step]:
    """Each judged share of the policy."""
    for share in pin.steps[:-1]:
        found = _plans(pin, traffic, share, pin.deadline_seconds, FAULTS)
        unproven = pin.promote_when == "unrefuted"
        slowest = max(found.plans, key=lambda one: (one.safe.median is None, one.safe.median or 0))
        promotion = _unrefuted(pin, traffic, share) if unproven else _proven(pin, found.together)
        yield Step(
            share=share,
            promotion=promotion,
            slowest=None if unproven else slowest.indicator,
            plans=found.plans,
            together=found.together,
            advice=() if promotion.median is not None else tuple(_advice(pin, traffic, share, found.plans)),
        )


def _plans(pin: Pin, traffic: Traffic, share: int, deadline: int, faults: tuple[float, ...] = ()) -> Plans:
    """All indicators, as if the step had until `deadline` (seconds)."""
    return plan_all(
        pin.indicators,
        canary_share=share / 100,
        requests_per_interval=traffic.rpm * pin.interval_seconds / 60,
        baseline_rates=[traffic.rates[one.name] for one in pin.indicators],
        settings=settings(pin),
        faults=faults,
        horizon=max(1, deadline // pin.interval_seconds),
    )


def _plan(pin: Pin, one: Indicator, traffic: Traffic, share: int, deadline: int) -> Plan:
    """One indicator's proof alone, as if the step had until `deadline` (seconds)."""
    return simulated(
        one,
        canary_share=share / 100,
        requests_per_interval=traffic.rpm * pin.interval_seconds / 60,
        baseline_rate=traffic.rates[one.name],
        settings=settings(pin),
        indicators=len(pin.indicators),
        faults=(),
        horizon=max(1, deadline // pin.interval_seconds),
    )


def _unrefuted(pin: Pin, traffic: Traffic, share: int) -> Waiting:
    """When the step is over where nothing must be proven: the bake, the requests, and the settle time of the rows."""
    enough = pin.min_requests / (traffic.rpm * share / 100)
    waited = math.ceil(max(pin.bake_seconds / 60, enough) + pin.settle_seconds / 60)
    return Waiting(median=waited, p90=waited, within_horizon=1.0)


def _proven(pin: Pin, together: Waiting) -> Waiting:
    """When the step is over if nothing is wrong: all proofs, the bake, and the settle time of the rows."""
    settle, bake = pin.settle_seconds / 60, pin.bake_seconds / 60

    def minutes(intervals: int | None) -> int | None:
        return None if intervals is None else math.ceil(max(intervals * pin.interval_seconds / 60 + settle, bake))

    return msgspec.structs.replace(together, median=minutes(together.median), p90=minutes(together.p90))


def _advice(pin: Pin, traffic: Traffic, share: int, plans: Sequence[Plan]) -> Iterator[str]:
    """What would make the step provable, tried with the same simulation; one sentence each."""
    late = {found.indicator: found for found in plans if found.safe.median is None}
    longest = max(INTERVALS_MAX * pin.interval_seconds, pin.deadline_seconds)
    for one in pin.indicators:
        if found := late.get(one.name):
            yield _higher(one, found) if found.boundary == one.ceiling else _wider(pin, one, traffic, share)
            yield _larger(pin, one, traffic, share)
            yield _longer(pin, one.name, _plan(pin, one, traffic, share, longest).safe, longest)
    if not late:
        yield _longer(pin, "all together", _plans(pin, traffic, share, longest).together, longest)
    yield (
        "promote_when: unrefuted: promoted when nothing speaks against it after bake"
        f" ({duration_text(pin.bake_seconds)}) and {pin.min_requests} canary requests; harm is still rolled back,"
        " equality is not proven"
    )


def _higher(one: Indicator, found: Plan) -> str:
    return (
        f"{one.name}, a higher ceiling: indicators.{one.name}.ceiling is {100 * found.boundary:g}%, the baseline at"
        f" {100 * found.baseline_rate:g}%"
    )


def _wider(pin: Pin, one: Indicator, traffic: Traffic, share: int) -> str:
    key = f"indicators.{one.name}.points"
    tried = [min(POINTS_MOST, max(one.points, 0.002) * factor) for factor in WIDER]
    for points in tried:
        found = _plan(pin, msgspec.structs.replace(one, points=points), traffic, share, pin.deadline_seconds).safe
        if found.median is not None:
            return (
                f"{one.name}, a wider tolerance: {key}: {100 * points:g} (now {100 * one.points:g}): {_in(pin, found)}"
            )
    return f"{one.name}: a wider tolerance alone is not enough: not even {key}: {100 * tried[-1]:g}"


def _larger(pin: Pin, one: Indicator, traffic: Traffic, share: int) -> str:
    for larger in (wide for wide in LARGER if wide > share):
        found = _plan(pin, one, traffic, larger, pin.deadline_seconds).safe
        if found.median is not None:
            return f"{one.name}, a larger step: {larger} instead of {share} in `steps`: {_in(pin, found)}"
    return f"{one.name}: a larger step alone is not enough: not even {LARGER[-1]} %"


def _longer(pin: Pin, name: str, found: Waiting, most: int) -> str:
    """`found`: the same proof with `most` seconds for it."""
    if found.median is None:
        return f"{name}: more time alone is not enough: not even {duration_text(most)}"
    needed = found.median * pin.interval_seconds + pin.settle_seconds
    return f"{name}, more time: a `deadline` above {duration_text(needed)} (now {duration_text(pin.deadline_seconds)})"


def _in(pin: Pin, found: Waiting) -> str:
    return f"proven in about {duration_text((found.median or 0) * pin.interval_seconds)}"


# Traffic, given or measured


def _traffic(pin: Pin, rpm: float | None, given: Mapping[str, float], measured: Traffic | None) -> Traffic:
    rpm = rpm if rpm is not None else measured.rpm if measured is not None else None
    if rpm is None:
        raise BadInput(
            "how much traffic is there? Write --rpm with requests a minute, --like with a rollout's id, or --measure"
        )
    if not 0 < rpm < 1e8:
        raise BadInput(f"--rpm is {rpm:g}: write requests a minute, above 0 and below 100,000,000")
    rates, assumed = {}, []
    for one in pin.indicators:
        if one.name in given:
            rates[one.name] = given[one.name]
        elif measured is not None and one.name in measured.rates:
            rates[one.name] = measured.rates[one.name]
        elif one.kind is IndicatorKind.QUANTILE and one.quantile is not None:
            rates[one.name] = 1 - one.quantile  # by definition: T is the baseline's own quantile
        else:
            rates[one.name] = ASSUMED_RATE
            assumed.append(one.name)
    return Traffic(rpm=rpm, rates=rates, assumed=tuple(assumed))


def _given(text: str, pin: Pin) -> tuple[str, float]:
    name, _, value = text.partition("=")
    known = [one.name for one in pin.indicators]
    if name not in known or not value:
        raise BadInput(f"--rate {text[:60]}: write NAME=PERCENT, NAME one of {', '.join(known)}")
    return name, _percent(f"--rate {name}", value)


def _percent(option: str, text: str) -> float:
    try:
        return leaves.percent("0", "100", example="0.5%", open_low=False).read(text)
    except leaves.Unfit as unfit:
        raise BadInput(f"{option}: got {text[:40]}: {unfit}") from unfit


def _measured(pin: Pin, like: str | None, url: str | None, *, measure: bool) -> Traffic | None:
    """What a stored rollout or the workspace shows; None when neither was asked."""
    if like is not None and measure:
        raise BadInput("--like and --measure both say what the traffic is: give one of them")
    if like is not None:
        return from_rollout(Remote(url).get("rollouts", like, "counts"), pin)
    return from_workspace(pin, Adapters(), time.time()) if measure else None


# What is shown


def show(screen: Screen, pin: Pin, traffic: Traffic, steps: Sequence[Step]) -> None:
    """One table, then each step in words."""
    rows = [row for step in steps for row in _rows(pin, traffic, step)]
    heading = (
        "step",
        "indicator",
        "baseline",
        "tolerated",
        "proven in",
        *(f"x{factor:g} found in" for factor in FAULTS),
    )
    screen.table(heading, rows, title=f"{traffic.rpm:,.6g} requests a minute; median / 90 % of 200 simulated rollouts")
    for step in steps:
        for line, style in _words(pin, traffic, step):
            screen.line(line, style=style)
    if traffic.assumed:
        screen.aside(
            f"assumed {ASSUMED_RATE:.0%} bad for {', '.join(traffic.assumed)}:"
            f" write --rate {traffic.assumed[0]}=PERCENT"
        )


def _rows(pin: Pin, traffic: Traffic, step: Step) -> Iterator[tuple[str, ...]]:
    """One for each indicator, and one for all of them: each must be proven, and one that is found is enough."""
    for found in step.plans:
        yield (
            f"{step.share} %",
            found.indicator,
            f"{found.baseline_rate:.3%}{' (assumed)' if found.indicator in traffic.assumed else ''}",
            f"{found.boundary:.3%}",
            _span(pin, found.safe),
            *(_span(pin, fault.harmful) for fault in found.faults),
        )
    if len(step.plans) > 1:
        yield (f"{step.share} %", "all together", "", "", _span(pin, step.together), *("" for _ in FAULTS))


def _words(pin: Pin, traffic: Traffic, step: Step) -> Iterator[tuple[str, str]]:
    if step.promotion.median is not None:
        ninety = f", 90 % of the rollouts by {step.promotion.p90} min" if step.promotion.p90 is not None else ""
        of = f" of {len(step.plans)}, and all must be proven" if len(step.plans) > 1 else ""
        why = f"{step.slowest} is the slowest{of}" if step.slowest else f"unrefuted, {pin.min_requests} requests"
        yield (
            f"{step.share} %: promoted after about {step.promotion.median} min when nothing is wrong{ninety}"
            f" ({why}; bake {duration_text(pin.bake_seconds)} and settle {duration_text(pin.settle_seconds)} included)",
            "green",
        )
    else:
        alone = "" if any(one.safe.median is None for one in step.plans) else ", all indicators together,"
        yield (
            f"{step.share} %: CANNOT be proven{alone} within the deadline of {duration_text(pin.deadline_seconds)} at"
            f" {traffic.rpm:,.6g} requests a minute; at the deadline: {pin.at_deadline}. For each indicator named, any"
            " one of:",
            "bold red",
        )
        for sentence in step.advice:
            yield f"  - {sentence}", ""
    for found in step.plans:
        for fault in found.faults:
            if fault.harmful.reason:
                yield (
                    f"{step.share} %: {found.indicator} x{fault.factor:g} is not rolled back: {fault.harmful.reason}",
                    "yellow",
                )


def _span(pin: Pin, waiting: Waiting) -> str:
    if waiting.median is None:
        return "never"
    part = pin.interval_seconds / 60
    ninety = "-" if waiting.p90 is None else f"{math.ceil(waiting.p90 * part)}"
    return f"{math.ceil(waiting.median * part)} / {ninety} min"
