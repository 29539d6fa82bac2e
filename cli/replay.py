"""`canary replay`: what would this policy have said of these counts, minute by minute?"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import msgspec
import typer

from analyzers.judge import Counts, CountsError, Indicator, Row, Rows, Segment, Verdict, VerdictKind, judge
from cli import counts_file
from cli.check import read_policy
from cli.ending import BadInput, ends
from cli.options import ROLLOUT_ID, AsJson, PolicyFile, Url, service_name
from cli.remote import Answer, Remote
from cli.screen import STYLES, Screen, moment
from cli.telling import evidence
from controller.views import plain
from rollouts.decide import settings
from rollouts.errors import NotFound, Refused
from rollouts.policy import Pin, Policy, ServicePolicy

# What decides how a request is counted: stored counts know no other value of it.
COUNTED_BY = ("kind", "quantile", "slowdown", "threshold_ms", "query", "warm_only")


class Replay(msgspec.Struct, frozen=True, kw_only=True):
    """What is judged again, and what must be said beside it."""

    counts: Counts  # everything, as known at the end
    indicators: tuple[Indicator, ...]
    pin: Pin
    said: tuple[str, ...]
    first_minute: int | None  # as the file numbers its minutes; None = a stored rollout, shown by the clock

    def looks(self) -> Iterator[tuple[int, Verdict]]:
        """The verdict at the end of each judged interval, all of its rows being there."""
        whole, step = self.counts, self.counts.interval_seconds
        if not whole.segments:
            return
        last = max((int(at) + step for at in whole.rows.interval), default=whole.segments[0].start + step)
        for now in range(whole.segments[0].start + step, max(last, whole.now) + 1, step):
            begun = tuple(one for one in whole.segments if one.start < now)
            until = msgspec.structs.replace(
                whole, now=now, settled_until=now, segments=begun, rows=whole.rows.between(whole.segments[0].start, now)
            )
            yield now, judge(until, self.indicators, settings(self.pin))

    def label(self, now: int) -> str:
        """The look at `now` in words."""
        if self.first_minute is None:
            return moment(now)
        begun = self.counts.segments[0].start
        return f"minute {self.first_minute + (now - begun) // self.counts.interval_seconds - 1}"


@ends
def replay(
    what: Annotated[str, typer.Argument(help="A file of counts (minute,slot,requests,<indicator>...), or a rollout.")],
    policy: PolicyFile = "canary.yaml",
    service: Annotated[
        str | None,
        typer.Option("--service", help="Whose policy; needed when the file has several.", callback=service_name),
    ] = None,
    share: Annotated[
        int | None,
        typer.Option("--share", min=1, max=99, help="Percent the canary should have had. [default: as counted]"),
    ] = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Judge the counts of a rollout or a file again, under a policy. Moves nothing."""
    _, parsed = read_policy(policy)
    try:
        if Path(what).is_file() or not ROLLOUT_ID.fullmatch(what) or what.endswith(".csv"):
            replayed = of_file(counts_file.read(what), service_of(parsed, service, policy), share)
        else:
            replayed = of_rollout(Remote(url).get("rollouts", what, "counts"), parsed, service, policy)
        looks = list(replayed.looks())
    except CountsError as error:
        raise BadInput(f"{what}: {error}") from error
    if not looks:
        raise BadInput(f"{what}: no interval was judged: the rollout never got traffic, or nothing has settled yet")
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result(as_object(replayed, looks))
        return
    show(screen, replayed, looks)


def service_of(policy: Policy, name: str | None, file: str) -> ServicePolicy:
    """The service that is meant."""
    known = ", ".join(policy.services)
    if name is None:
        if len(policy.services) != 1:
            raise BadInput(f"{file} has several services: write --service with one of {known}")
        return next(iter(policy.services.values()))
    if name not in policy.services:
        raise NotFound(f"{name}: {file} has no such service; it has {known}")
    return policy.services[name]


def of_file(counted: counts_file.Counted, service: ServicePolicy, share: int | None) -> Replay:
    """A file's counts under a service's policy: one step, everything settled."""
    by_name = {one.name: one for one in service.pin.indicators}
    unknown = [name for name in counted.indicators if name not in by_name]
    if unknown:
        raise BadInput(f"column {unknown[0]!r} is no indicator of {service.name}: the policy has {', '.join(by_name)}")
    indicators = tuple(by_name[name] for name in counted.indicators)
    left = [name for name in by_name if name not in counted.indicators]
    said = [f"not judged, the file has no column: {', '.join(left)}"] if left else []
    given = share if share is not None else _share(counted.rows, service.pin)
    said.append(f"share {given} %{'' if share is not None else ' (as counted; --share says what it should have been)'}")
    none = Rows.empty(len(indicators))
    counts = Counts(
        interval_seconds=counts_file.MINUTE_SECONDS,
        now=counted.end,
        settled_until=counted.end,
        rows=counted.rows,
        history=counted.history,
        same_hours=none,
        segments=(Segment(start=counted.start, end=None, share=given, step=0),),
        judged_from=(0,) * len(indicators),  # from the first row on: nothing waits for T
    )
    pin = msgspec.structs.replace(service.pin, interval_seconds=counts_file.MINUTE_SECONDS)
    return Replay(counts=counts, indicators=indicators, pin=pin, said=tuple(said), first_minute=counted.first)


def _share(rows: Rows, pin: Pin) -> int:
    """Percent of the requests that the canary had; the policy's first step where it had none."""
    canary, total = int(rows.counts[rows.role == 0, 0].sum()), int(rows.counts[:, 0].sum())
    return min(99, max(1, round(100 * canary / total))) if canary else pin.steps[0]


def of_rollout(answer: Answer, policy: Policy, name: str | None, file: str) -> Replay:
    """A stored rollout's counts under a policy; Refused where the telemetry would have to be asked again."""
    service = service_of(policy, name or str(answer.get("service")), file)
    pin = service.pin
    try:
        stored = msgspec.convert(answer.get("indicators"), tuple[Indicator, ...])
        spans = msgspec.convert(answer.get("segments"), tuple[Segment, ...])
        judged_from = msgspec.convert(answer.get("judged_from"), tuple[int | None, ...])
        history, rows, same_hours = (
            Rows.of(msgspec.convert(answer.get(part, []), list[Row]), len(stored))
            for part in ("history", "rows", "same_hours")
        )
        counted: dict[str, Any] = msgspec.convert(answer.get("counted"), dict[str, Any])
        settled_until = msgspec.convert(answer.get("settled_until"), int | None)
    except msgspec.ValidationError as error:
        raise BadInput(f"the function app's counts are not those of this version of canary: {error}") from error
    problems = [*_other_counting(stored, pin), *_other_rows(counted, pin)]
    if problems:
        raise Refused(
            "stored counts cannot answer this, the telemetry must be asked again, with a rollout under the new"
            f" policy: {'; '.join(problems)}"
        )
    numbers = [[one.name for one in stored].index(one.name) for one in pin.indicators]
    first = spans[0].start if spans else 0
    counts = Counts(
        interval_seconds=int(counted["interval_seconds"]),
        now=settled_until or first,
        settled_until=settled_until or first,
        rows=_columns(rows, numbers),
        history=_columns(history, numbers),
        same_hours=_columns(same_hours, numbers),
        segments=spans,
        judged_from=tuple(judged_from[number] if judged_from else None for number in numbers),
    )
    said = ("each look as if all its rows had been there; the real ones wait for the settle time",)
    return Replay(counts=counts, indicators=pin.indicators, pin=pin, said=said, first_minute=None)


def _other_counting(stored: Sequence[Indicator], pin: Pin) -> Iterator[str]:
    """Indicators that the stored counts know nothing of, or count otherwise."""
    by_name = {one.name: one for one in stored}
    for one in pin.indicators:
        known = by_name.get(one.name)
        if known is None:
            yield f"{one.name} was not counted (counted were {', '.join(by_name)})"
            continue
        for field in COUNTED_BY:
            was, now = getattr(known, field), getattr(one, field)
            if was != now:
                yield f"{one.name}: {field} was {was}, the file says {now}"


def _other_rows(counted: dict[str, Any], pin: Pin) -> Iterator[str]:
    """Settings that decide which rows there are."""
    for field in ("interval_seconds", "cold_seconds", "excluded_routes"):
        was, now = counted.get(field), getattr(pin, field)
        if (list(was) if isinstance(was, list | tuple) else was) != (list(now) if isinstance(now, tuple) else now):
            yield f"{field} was {was}, the file says {now}"
    missing = [one for one in pin.critical_operations if one not in counted.get("critical_operations", [])]
    if missing:
        yield f"critical_operations: {', '.join(missing)} was not counted apart"


def _columns(rows: Rows, numbers: Sequence[int]) -> Rows:
    """The rows with the indicators that are wanted, in that order."""
    picked = [msgspec.structs.replace(row, bad=tuple(row.bad[number] for number in numbers)) for row in rows.list()]
    return Rows.of(picked, len(numbers))


def as_object(replayed: Replay, looks: Sequence[tuple[int, Verdict]]) -> dict[str, Any]:
    """Every look and the last one, for machines."""
    made = [{"look": replayed.label(now), "at": now, "verdict": plain(verdict)} for now, verdict in looks]
    firsts = {kind.value: _first(replayed, looks, kind) for kind in (VerdictKind.HARMFUL, VerdictKind.SAFE)}
    return {"said": list(replayed.said), "looks": made, "first": firsts, "final": made[-1]["verdict"]}


def show(screen: Screen, replayed: Replay, looks: Sequence[tuple[int, Verdict]]) -> None:
    """One line a look, then the last verdict with its evidence."""
    for sentence in replayed.said:
        screen.aside(sentence)
    width = max(len(replayed.label(now)) for now, _ in looks)
    for now, verdict in looks:
        parts = "  ".join(
            f"{one.name} {one.canary.bad}/{one.canary.requests} harm {one.harm:.1f}/{one.harm_limit:.1f}"
            f" safe {'-' if one.safe is None else f'{one.safe:.1f}'}/{one.safe_limit:.1f}"
            for one in verdict.indicators
        )
        line = f"{replayed.label(now).ljust(width)}  {verdict.kind.value.ljust(14)}  {parts}"
        screen.line(line, style=STYLES.get(verdict.kind.value, ""))
    final = looks[-1][1]
    evidence(screen, plain(final))
    for kind in (VerdictKind.HARMFUL, VerdictKind.SAFE):
        found = _first(replayed, looks, kind)
        screen.line(f"first {kind.value}: {found or 'never'}")
    screen.line(f"final: {final.kind.value}", style=STYLES.get(final.kind.value, ""))


def _first(replayed: Replay, looks: Sequence[tuple[int, Verdict]], kind: VerdictKind) -> str | None:
    return next((replayed.label(now) for now, verdict in looks if verdict.kind is kind), None)
