"""From the lines of an answer of Application Insights to counts: pure. What has not the pinned shape is refused."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from analyzers import app_insights_kql as kql
from analyzers.judge.counts import REST, Role, Row, Rows
from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.observation import Counted, Failed, Scope

OWN_COLUMNS = ("role_name", "instance", "operation", "interval", "rows", "bad")

Line = dict[str, Any]  # one line of an answer, by column
Place = tuple[Role, int, str, str]  # role, interval, instance, operation: what a Row counts


class MisshapenError(Exception):
    """The answer does not have the columns or values that were asked for."""


def whole(line: Line, column: str) -> int:
    """A count out of an answer; MisshapenError names the column and what is there."""
    if column not in line:
        raise MisshapenError(f"the answer has no column {column!r}; it has {', '.join(line)}")
    value = line[column]
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise MisshapenError(f"column {column!r} holds {value!r}: it must be a whole number, not negative")
    return value


def by_scope(group: Sequence[Scope], lines: Sequence[Line]) -> list[tuple[Scope, list[Line]]]:
    """The lines of each scope of a group: their column `scope` is its place in it."""
    sorted_out: list[list[Line]] = [[] for _ in group]
    for line in lines:
        number = whole(line, "scope")
        if number >= len(group):
            raise MisshapenError(f"column 'scope' holds {number}: only {len(group)} were asked for")
        sorted_out[number].append(line)
    return list(zip(group, sorted_out, strict=True))


def counted(scope: Scope, lines: Sequence[Line], own: dict[str, list[Line]]) -> Counted | Failed:
    """The pinned shape out of one scope's lines."""
    try:
        ignored = sum(whole(line, "ignored") for line in lines)
        present = [line for line in lines if dated(line)]
        bad: dict[str, Counter[Place]] = {}
        for indicator in scope.indicators:
            if indicator.kind is IndicatorKind.QUERY:
                bad[indicator.name], left = _merged(scope, indicator, present, own[indicator.name])
                ignored += left
        rows = Rows.of((_row(scope, line, bad) for line in present), len(scope.indicators))
        seen = first_seen(scope.instances, present)
    except (MisshapenError, KeyError, TypeError, ValueError) as error:
        return Failed(what="telemetry", detail=f"the answer cannot be counted: {error}", permanent=True)
    return Counted(rows=rows, ignored=ignored, first_seen=seen)


def first_seen(known: dict[str, int], lines: Sequence[Line]) -> dict[str, int]:
    """`known` with the instances of `lines`: name -> first appearance, epoch seconds."""
    seen = dict(known)
    for line in lines:
        name = str(line["instance"])
        seen[name] = min(whole(line, "seen"), seen.get(name, whole(line, "seen")))
    return seen


def dated(line: Line) -> bool:
    """False for rows from the future, whose interval is -1."""
    at = line.get("interval")
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise MisshapenError(f"column 'interval' holds {at!r}: it must be a number")
    return at >= 0


def _place(line: Line) -> Place:
    return (Role(line["role"]), whole(line, "interval"), str(line["instance"]), str(line["operation"]))


def _row(scope: Scope, line: Line, own: dict[str, Counter[Place]]) -> Row:
    place = _place(line)
    slow = iter(range(1, len(scope.indicators) + 1))
    bad: list[int] = []
    for indicator in scope.indicators:
        warm = "warm_" if indicator.warm_only else ""
        match indicator.kind:
            case IndicatorKind.FAILURES:
                bad.append(whole(line, f"{warm}failures"))
            case IndicatorKind.REJECTED:
                bad.append(whole(line, f"{warm}rejected"))
            case IndicatorKind.SLOWER_THAN | IndicatorKind.QUANTILE:
                bad.append(whole(line, f"slow_{next(slow)}"))
            case IndicatorKind.QUERY:
                bad.append(own[indicator.name][place])
    role, interval, instance, operation = place
    counts = (whole(line, "rows"), whole(line, "requests"), whole(line, "cold"))
    return Row(role, interval, instance, operation, *counts, tuple(bad))


def check_own(indicator: Indicator, lines: Sequence[Line]) -> None:
    """Refuse an own query's answer without OWN_COLUMNS, or with more bad rows than rows."""
    for line in lines:
        missing = [column for column in OWN_COLUMNS if column not in line]
        if missing:
            raise MisshapenError(f"the answer lacks {', '.join(missing)}: return {', '.join(OWN_COLUMNS)}")
        if whole(line, "bad") > whole(line, "rows"):
            raise MisshapenError(f"bad is {line['bad']}, more than its {line['rows']} rows: {indicator.name}")
        if not isinstance(line["interval"], datetime):
            raise MisshapenError(f"column 'interval' holds {line['interval']!r}: return bin(TimeGenerated, _interval)")


def _merged(
    scope: Scope, indicator: Indicator, present: Sequence[Line], own: Sequence[Line]
) -> tuple[Counter[Place], int]:
    """Bad rows by place, none with more than it has rows; and how many found no row to count against."""
    room = Counter(
        {_place(line): whole(line, "rows") - (whole(line, "cold") if indicator.warm_only else 0) for line in present}
    )
    labels = {operation.lower(): operation for operation in scope.critical_operations}
    roles = {scope.canary_role.lower(): Role.CANARY, scope.baseline_role.lower(): Role.BASELINE}
    bad: Counter[Place] = Counter()
    left, met = 0, not own or not present
    for line in own:
        role = roles.get(str(line["role_name"]).lower())
        if role is None:
            continue
        interval = kql.interval_of(line["interval"], scope.interval_seconds)
        name = str(line["operation"])[: kql.NAME_LIMIT] or kql.UNKNOWN
        instance = str(line["instance"])[: kql.NAME_LIMIT] or kql.UNKNOWN
        place = (role, interval, instance, labels.get(name.lower(), name))
        if place not in room:
            place = (role, interval, instance, REST)
        met = met or place in room
        taken = min(whole(line, "bad"), room[place] - bad[place])
        bad[place] += taken
        left += whole(line, "bad") - taken
    if not met:
        raise MisshapenError(
            f"indicators.{indicator.name}.query: none of its {len(own)} lines meets a counted request; return"
            " AppRoleName, AppRoleInstance, OperationName and bin(TimeGenerated, _interval) unchanged"
        )
    return bad, left
