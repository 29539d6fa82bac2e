"""KQL on one machine: queries are translated by duckdb-kql and run by DuckDB, on the rows of AppRequests.

To translate costs 0.1 s, so the translation is kept per query, with what changes from one look to the next
(datetime literals, the contents of datatables) lifted out of the text.
"""

import json
import math
import threading
import time
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import duckdb
import duckdb_kql
import msgspec

from lab.kql_lifting import TYPES, LiteralTable, lift

KEPT_TRANSLATIONS = 64


class AppRequest(msgspec.Struct, kw_only=True):
    """One row of AppRequests: a request that a function app says it served."""

    TimeGenerated: datetime | None  # start of the request, aware
    AppRoleName: str
    AppRoleInstance: str
    Name: str = ""
    Url: str = ""
    Success: bool | None = True
    ResultCode: str = "200"
    DurationMs: float | None = 0.0
    ItemCount: int | None = 1
    OperationName: str = ""
    OperationId: str = ""
    Id: str = ""
    ParentId: str = ""
    AppVersion: str = ""
    SyntheticSource: str = ""
    PerformanceBucket: str = ""
    SDKVersion: str = ""
    ClientType: str = "PC"
    Properties: dict[str, Any] | None = None


_TYPES = {
    "TimeGenerated": "TIMESTAMP",
    "Success": "BOOLEAN",
    "DurationMs": "DOUBLE",
    "ItemCount": "INTEGER",
    "Properties": "JSON",
}
COLUMNS = {name: _TYPES.get(name, "VARCHAR") for name in AppRequest.__struct_fields__}


class QueryError(Exception):
    """A query that cannot be run: `kind` is SyntaxError or SemanticError, as the service says it."""

    def __init__(self, kind: str, code: str, message: str) -> None:
        super().__init__(message)
        self.kind, self.code = kind, code


class Table(msgspec.Struct, frozen=True):
    """An answer."""

    columns: list[tuple[str, str]]  # name, Kusto type
    rows: list[list[Any]]
    translate_ms: float
    run_ms: float


class Engine:
    """DuckDB with the rows, and the KQL in front of it."""

    def __init__(self) -> None:
        self._connection = duckdb_kql.connect()
        self._connection.execute("SET threads = 1")
        columns = ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        self._connection.execute(f"CREATE TABLE stored ({columns})")
        self._connection.execute(
            'CREATE VIEW "AppRequests" AS SELECT * FROM stored'
            " WHERE \"TimeGenerated\" >= getvariable('span_start') AND \"TimeGenerated\" < getvariable('span_end')"
        )
        self._filled: dict[str, list[tuple[Any, ...]]] = {}  # temporary tables, as they were last filled
        self._lock = threading.Lock()

    def insert(self, rows: list[AppRequest]) -> None:
        """One statement for all of them: 10 microseconds a row."""
        values = [[_stored(name, getattr(row, name)) for row in rows] for name in COLUMNS]
        select = ", ".join(f"unnest(${n}::{kind}[])" for n, kind in enumerate(COLUMNS.values(), 1))
        with self._lock:
            self._connection.execute(f"INSERT INTO stored SELECT {select}", values)

    def clear(self) -> None:
        """Remove all rows."""
        with self._lock:
            self._connection.execute("DELETE FROM stored")

    def run(self, text: str, window: tuple[datetime, datetime]) -> Table:
        """Translate (or remember) and execute."""
        with self._lock:
            started = time.perf_counter()
            sql, parameters = self._translated(text)
            translated = time.perf_counter()
            self._connection.execute("SET VARIABLE span_start = $1::TIMESTAMP", [window[0].replace(tzinfo=None)])
            self._connection.execute("SET VARIABLE span_end = $1::TIMESTAMP", [window[1].replace(tzinfo=None)])
            try:
                found = self._connection.execute(sql, parameters or None)
                columns = [(name, _kusto_type(str(kind))) for name, kind, *_ in found.description or ()]
                fetched = found.fetchall()
            except duckdb.Error as error:
                raise QueryError("SemanticError", "SEM0001", str(error)) from error
        rows = [[_json(value) for value in row] for row in fetched]
        return Table(columns, rows, (translated - started) * 1000, (time.perf_counter() - translated) * 1000)

    def _translated(self, text: str) -> tuple[str, dict[str, Any]]:
        lifted = lift(text)
        for name, table in lifted.tables.items():
            self._fill(name, table)
        schemas = tuple((name, *(column for column, _ in table.columns)) for name, table in lifted.tables.items())
        known = _translate(lifted.text, schemas)
        sql = str(known)
        slots = {one.name: one.slot for one in known.declarations if f"${one.slot}" in sql}  # an unused let
        return sql, {slots[name]: value for name, value in lifted.moments.items() if name in slots}

    def _fill(self, name: str, table: LiteralTable) -> None:
        """Make the temporary table that stands for a datatable, if it does not hold just that already."""
        if self._filled.get(name) == table.rows:
            return
        columns = ", ".join(f'"{column}" {TYPES[kind]}' for column, kind in table.columns)
        self._connection.execute(f'CREATE OR REPLACE TEMP TABLE "{name}" ({columns})')
        if table.rows:
            select = ", ".join(f"unnest(${n}::{TYPES[kind]}[])" for n, (_, kind) in enumerate(table.columns, 1))
            values = [list(column) for column in zip(*table.rows, strict=True)]
            self._connection.execute(f'INSERT INTO "{name}" SELECT {select}', values)
        self._filled[name] = table.rows


@lru_cache(maxsize=KEPT_TRANSLATIONS)
def _translate(text: str, schemas: tuple[tuple[str, ...], ...]) -> Any:
    """DuckDB's SQL for `text`, which may name AppRequests and the tables (name, column, ...) of `schemas`."""
    schema = {"AppRequests": list(COLUMNS)} | {name: columns for name, *columns in schemas}
    try:
        return duckdb_kql.to_sql(text, schema=schema, allow_write=False)
    except duckdb_kql.KqlSyntaxError as error:
        raise QueryError("SyntaxError", "SYN0002", str(error)) from error
    except duckdb_kql.KqlError as error:
        raise QueryError("SemanticError", "SEM0001", str(error)) from error


def _stored(name: str, value: Any) -> Any:
    """A value as DuckDB takes it. KQL has no null strings: they are empty."""
    kind = COLUMNS[name]
    if kind == "VARCHAR":
        return value or ""
    if value is None:
        return None
    if kind == "TIMESTAMP":
        return value.astimezone(UTC).replace(tzinfo=None)
    return json.dumps(value) if kind == "JSON" else value


def _kusto_type(kind: str) -> str:
    names = {"BIGINT": "long", "HUGEINT": "long", "INTEGER": "int", "DOUBLE": "real", "BOOLEAN": "bool"}
    names |= {"TIMESTAMP": "datetime", "VARCHAR": "string", "INTERVAL": "timespan", "UUID": "guid"}
    return names.get(kind, "real" if kind.startswith("DECIMAL") else "dynamic")


def _json(value: Any) -> Any:
    """A value as the service writes it."""
    if isinstance(value, float) and (not math.isfinite(value)):
        return "NaN" if math.isnan(value) else ("Infinity" if value > 0 else "-Infinity")
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%dT%H:%M:%S.%f") + "Z"
    if isinstance(value, list | dict):
        return json.dumps(value)
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
