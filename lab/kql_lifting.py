"""Lifts literals out of KQL text, so that queries that differ in nothing else share one translation.

`datetime(...)` becomes a declared query parameter, `datatable(...)[...]` a table of that name. What is not
understood stays where it is: the text is then translated as it came.
"""

import re
import zlib
from datetime import datetime
from typing import Any

import msgspec

_STRING = r"""@"(?:[^"]|"")*"|@'(?:[^']|'')*'|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_MOMENT = r"\bdatetime\(\s*(\d{4}-\d\d-\d\d(?:[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,7})?)?)?Z?)\s*\)"
_TOKEN = re.compile(rf"(?P<skip>{_STRING}|//[^\n]*)|(?P<moment>{_MOMENT})|(?P<table>\bdatatable\s*\()", re.DOTALL)
_HEADER = re.compile(r"\s*([A-Za-z_]\w*\s*:\s*[a-z]+(?:\s*,\s*[A-Za-z_]\w*\s*:\s*[a-z]+)*)\s*\)\s*\[")
_CELL = re.compile(
    rf"\s*(?:(?P<string>{_STRING})|(?P<moment>{_MOMENT})|(?P<null>[a-z]+\(null\))"
    r"|(?P<bool>true|false)|(?:[a-z]+\()?(?P<number>-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?)\)?)\s*(?P<end>[,\]])",
    re.DOTALL,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t"}
TYPES = {
    "string": "VARCHAR",
    "long": "BIGINT",
    "int": "INTEGER",
    "real": "DOUBLE",
    "double": "DOUBLE",
    "bool": "BOOLEAN",
    "datetime": "TIMESTAMP",
}


class LiteralTable(msgspec.Struct, frozen=True):
    """A datatable: its columns (name, KQL type) and its rows."""

    columns: list[tuple[str, str]]
    rows: list[tuple[Any, ...]]


class Lifted(msgspec.Struct, frozen=True):
    """The text that is left, and what it now names."""

    text: str
    moments: dict[str, datetime]  # naive UTC, by parameter
    tables: dict[str, LiteralTable]


def lift(text: str) -> Lifted:
    """Take the literals out of `text`.

    >>> lifted = lift("T | where At >= datetime(2024-01-01) and Name == 'datetime(2024-01-01)'")
    >>> lifted.text
    "declare query_parameters(moment_0:datetime);\\nT | where At >= moment_0 and Name == 'datetime(2024-01-01)'"
    """
    if re.match(r"\s*declare\b", text):
        return Lifted(text, {}, {})
    moments: dict[str, datetime] = {}
    names: dict[datetime, str] = {}
    tables: dict[str, LiteralTable] = {}
    parts: list[str] = []
    at = 0
    while (token := _TOKEN.search(text, at)) is not None:
        parts.append(text[at : token.start()])
        at = token.end()
        if token["moment"] is not None:
            moment = _moment(token["moment"])
            name = names.setdefault(moment, f"moment_{len(names)}")
            moments[name] = moment
            parts.append(name)
        elif token["table"] is not None and (found := _table(text, at)) is not None:
            table, at = found
            name = f"lifted_{len(tables)}_{zlib.crc32(repr(table.columns).encode()):08x}"
            tables[name] = table
            parts.append(name)
        else:
            parts.append(token[0])
    parts.append(text[at:])
    declared = ", ".join(f"{name}:datetime" for name in moments)
    head = f"declare query_parameters({declared});\n" if declared else ""
    return Lifted(head + "".join(parts), moments, tables)


def _table(text: str, at: int) -> tuple[LiteralTable, int] | None:
    """The datatable whose header begins at `at`, and where it ends; None when it is not understood."""
    header = _HEADER.match(text, at)
    if header is None:
        return None
    pairs = (column.partition(":") for column in header[1].split(","))
    columns = [(name.strip(), kind.strip()) for name, _, kind in pairs]
    if any(kind not in TYPES for _, kind in columns):
        return None
    at = header.end()
    cells: list[Any] = []
    if (empty := re.compile(r"\s*\]").match(text, at)) is not None:
        return LiteralTable(columns, []), empty.end()
    while True:
        cell = _CELL.match(text, at)
        if cell is None:
            return None
        cells.append(_value(cell, columns[len(cells) % len(columns)][1]))
        at = cell.end()
        if cell["end"] == "]":
            break
    if len(cells) % len(columns):
        return None
    width = len(columns)
    return LiteralTable(columns, [tuple(cells[n : n + width]) for n in range(0, len(cells), width)]), at


def _value(cell: re.Match[str], kind: str) -> Any:
    if cell["null"] is not None:
        return None
    if cell["string"] is not None:
        return _unquoted(cell["string"])
    if cell["moment"] is not None:
        return _moment(cell["moment"])
    if cell["bool"] is not None:
        return cell["bool"] == "true"
    return float(cell["number"]) if kind in ("real", "double") else int(float(cell["number"]))


def _moment(literal: str) -> datetime:
    inside = literal.partition("(")[2].strip(") \t\n").removesuffix("Z")
    whole, _, fraction = inside.partition(".")
    return datetime.fromisoformat(f"{whole}.{fraction[:6]:0<6}" if fraction else whole)


def _unquoted(literal: str) -> str:
    if literal.startswith("@"):
        quote = literal[1]
        return literal[2:-1].replace(quote * 2, quote)
    return re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), literal[1:-1], flags=re.DOTALL)
