"""A file of counts for `canary replay`: minute, slot, requests, and a column of bad requests for each indicator.

Leading minutes that have rows of the baseline alone are its history. Every other minute has one row of each slot,
in any order within the minute; a minute without requests is written with 0.
"""

import csv
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from analyzers.judge import Role, Row, Rows
from cli.ending import BadInput

FIXED = ("minute", "slot", "requests")
MAX_BYTES = 64 * 1024 * 1024
MAX_MINUTES = 10_000  # a week
MINUTE_SECONDS = 60
OPERATION = "all"  # the file does not tell operations or instances apart


class Line(NamedTuple):
    """One row of the file."""

    number: int  # in the file, the heading is row 1
    minute: int
    role: Role
    requests: int
    bad: tuple[int, ...]


class Counted(msgspec.Struct, frozen=True):
    """What a file holds. Times are epoch seconds of an epoch of its own: only differences mean anything."""

    indicators: tuple[str, ...]
    history: Rows
    rows: Rows
    first: int  # the minute in which both slots begin
    start: int  # and its time
    end: int  # of the last minute


def read(file: str) -> Counted:
    """The counts in `file`; BadInput names the row and the value that cannot be."""
    path = Path(file)
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BadInput(f"{file}: more than {MAX_BYTES} bytes: replay fewer minutes")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or 'cannot be read'}: write the path of a file of counts") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{file}: byte {error.start} is not UTF-8: save it as UTF-8") from error
    return parse(text, file)


def parse(text: str, file: str) -> Counted:
    """The counts in the text of `file`.

    >>> parse("minute,slot,requests,failures\\n1,canary,100,3\\n1,baseline,900,9\\n", "counts.csv").indicators
    ('failures',)
    """
    try:
        table = list(csv.reader(text.splitlines(), strict=True))
    except csv.Error as error:
        raise BadInput(f"{file}: not comma-separated values ({error})") from error
    if not table:
        raise BadInput(f"{file}: is empty: its first row must be {','.join(FIXED)} and the indicators' names")
    heading = [name.strip() for name in table[0]]
    indicators = _indicators(heading, file)
    lines = [
        _line(number, [cell.strip() for cell in cells], heading, file)
        for number, cells in enumerate(table[1:], start=2)
        if any(cell.strip() for cell in cells)
    ]
    if not lines:
        raise BadInput(f"{file}: has no rows: there is nothing to judge")
    minutes = _in_order(lines, file)
    before = 0
    while before < len(minutes) and [one.role for one in minutes[before]] == [Role.BASELINE]:
        before += 1
    if before == len(minutes):
        raise BadInput(f"{file}: no row has slot canary: there is nothing to judge")
    _check_pairs(minutes[before:], file)
    # Far enough from zero that the history has times, too.
    start = (len(minutes) + 1) * MINUTE_SECONDS
    first = minutes[before][0].minute
    return Counted(
        indicators,
        _rows(minutes[:before], start - first * MINUTE_SECONDS, len(indicators)),
        _rows(minutes[before:], start - first * MINUTE_SECONDS, len(indicators)),
        first,
        start,
        start + (len(minutes) - before) * MINUTE_SECONDS,
    )


def _indicators(heading: Sequence[str], file: str) -> tuple[str, ...]:
    for name in heading:
        if heading.count(name) > 1:
            raise BadInput(f"{file}, row 1: column {name!r} is there twice")
        if not name:
            raise BadInput(f"{file}, row 1: column {heading.index(name) + 1} has no name")
    missing = [name for name in FIXED if name not in heading]
    if missing:
        raise BadInput(
            f"{file}, row 1: got {','.join(heading)[:200]}: column {missing[0]!r} is missing: write {','.join(FIXED)}"
            " and the indicators' names, with commas between"
        )
    indicators = tuple(name for name in heading if name not in FIXED)
    if not indicators:
        raise BadInput(f"{file}, row 1: no column of bad requests: add one named as an indicator, such as failures")
    return indicators


def _line(number: int, cells: Sequence[str], heading: Sequence[str], file: str) -> Line:
    where = f"{file}, row {number}"
    if len(cells) != len(heading):
        raise BadInput(f"{where}: has {len(cells)} values, the heading has {len(heading)}")
    named = dict(zip(heading, cells, strict=True))
    slot = named["slot"]
    if slot not in tuple(Role):
        raise BadInput(f"{where}: slot is {slot[:50]!r}, must be canary (the new version's) or baseline")
    minute = _whole(where, "minute", named["minute"], signed=True)
    requests = _whole(where, "requests", named["requests"])
    bad = tuple(_whole(where, name, value) for name, value in named.items() if name not in FIXED)
    for name, value in zip((one for one in heading if one not in FIXED), bad, strict=True):
        if value > requests:
            raise BadInput(f"{where}: {name} is {value}, more than its {requests} requests")
    return Line(number, minute, Role(slot), requests, bad)


def _whole(where: str, name: str, text: str, *, signed: bool = False) -> int:
    if not re.fullmatch(r"-?[0-9]{1,15}", text, re.ASCII):
        raise BadInput(f"{where}: {name} is {text[:50]!r}, must be a whole number")
    value = int(text)
    if value < 0 and not signed:
        raise BadInput(f"{where}: {name} is {value}, must be 0 or more")
    return value


def _in_order(lines: Iterable[Line], file: str) -> list[list[Line]]:
    """The rows by minute; minutes rise by one, and a slot has one row in each."""
    minutes: list[list[Line]] = []
    for line in lines:
        where = f"{file}, row {line.number}"
        last = minutes[-1][0].minute if minutes else None
        if last is not None and line.minute < last:
            raise BadInput(f"{where}: minute is {line.minute}, after minute {last}: sort the rows by minute")
        if last is not None and line.minute > last + 1:
            raise BadInput(
                f"{where}: minute is {line.minute}, after minute {last}: minute {last + 1} is missing;"
                " write it with 0 requests"
            )
        if line.minute != last:
            minutes.append([])
            if len(minutes) > MAX_MINUTES:
                raise BadInput(f"{where}: more than {MAX_MINUTES} minutes: replay fewer")
        twin = next((one for one in minutes[-1] if one.role is line.role), None)
        if twin is not None:
            raise BadInput(f"{where}: repeats row {twin.number}: minute {line.minute}, slot {line.role}")
        minutes[-1].append(line)
    return minutes


def _check_pairs(minutes: Sequence[Sequence[Line]], file: str) -> None:
    for rows in minutes:
        if len(rows) < len(Role):
            other = next(role for role in Role if role is not rows[0].role)
            raise BadInput(
                f"{file}, row {rows[0].number}: minute {rows[0].minute} has no row of slot {other};"
                " write it with 0 requests"
            )


def _rows(minutes: Sequence[Sequence[Line]], shift: int, indicators: int) -> Rows:
    """Minutes without a request leave no row, as in the telemetry."""
    made = [
        Row(one.role, shift + one.minute * MINUTE_SECONDS, one.role, OPERATION, one.requests, one.requests, 0, one.bad)
        for rows in minutes
        for one in rows
        if one.requests
    ]
    return Rows.of(made, indicators)
