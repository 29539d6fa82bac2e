"""A stand-in for the Log Analytics query API: runs the KQL that it is sent, on the rows that it was given.

Rows become visible to queries only after their ingestion delay, slow requests later than fast ones; sampling
keeps one row in so many and says so in ItemCount; faults are switches. The KQL itself is run by kql_engine.py.
"""

import asyncio
import heapq
import random
import re
import threading
from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
from aiohttp import web

from lab.kql_engine import AppRequest, Engine, QueryError, Table
from lab.tokens import wrong

AUDIENCE = "https://api.loganalytics.io"
# Codes and messages of the engine beneath (learn.microsoft.com/azure/data-explorer/kusto/concepts/errorsinnativecode).
TOO_MANY = (
    "-2133196797",
    "The results of this query exceed the set limit of 64000000 bytes, so not all records were returned"
    " (E_QUERY_RESULT_SET_TOO_LARGE, 0x80DA0003)",
)
LOST = ("-2133196800", "Failed to load a data shard (E_EXTENT_LOAD_FAILED, 0x80DA0000)")
KEPT_QUERIES = 1000


class Faults(msgspec.Struct, kw_only=True):
    """What goes wrong, until it is switched off again."""

    outage: bool = False  # 503 to everything
    timeout: bool = False  # 504: the query took too long
    busy_seconds: float = 0.0  # a query takes so long; 504 where the request's `Prefer: wait` ends before
    hang_seconds: float = 0.0  # no answer for so long
    throttle: int = 0  # so many requests get a 429
    retry_after: str | None = "1"  # their Retry-After; None = they have none
    partial: bool = False  # 200, half of the rows, and an error
    most_rows: int | None = None  # 200 with so many rows, and the error that there are more; None = no limit
    forbidden: bool = False  # 403: the identity lacks the role
    stale: bool = False  # nothing newer becomes visible
    semantic: str | None = None  # a text that no query may hold: 400
    dropped_roles: frozenset[str] = frozenset()  # AppRoleNames whose rows vanish


class Ingestion(msgspec.Struct, frozen=True, kw_only=True):
    """How rows come in."""

    delay_seconds: float = 1.0  # from the request's end to its visibility, at least
    jitter_seconds: float = 0.5  # and at most so much more, evenly spread
    sampling: int = 1  # keep one row in so many


class LoggedQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A query that was asked, for tests and for the curious."""

    at: float
    workspace: str
    text: str
    timespan: str | None
    status: int
    rows: int
    translate_ms: float
    run_ms: float


class _Question(msgspec.Struct):
    """The body of a request."""

    query: str
    timespan: str | None = None


class LogAnalytics:
    """One workspace's rows and the API in front of them. `record` may be called from any thread."""

    def __init__(
        self,
        clock: Callable[[], float],
        *,
        workspaces: Iterable[str] | None = None,
        ingestion: Ingestion | None = None,
        seed: int = 0,
    ) -> None:
        self.faults = Faults()
        self.ingestion = ingestion or Ingestion()
        self.queries: deque[LoggedQuery] = deque(maxlen=KEPT_QUERIES)
        self._clock = clock
        self._workspaces = None if workspaces is None else frozenset(workspaces)  # None = any is known
        self._random = random.Random(seed)
        self._pending: list[tuple[float, int, AppRequest]] = []  # heap: visible at, order of arrival
        self._arrivals = 0
        self._recording = threading.Lock()
        self._engine = Engine()

    def record(self, row: AppRequest) -> None:
        """Take a row at the end of its request: sampled, delayed, lost if its role is dropped."""
        with self._recording:
            if row.AppRoleName in self.faults.dropped_roles:
                return
            if self.ingestion.sampling > 1:
                if self._random.randrange(self.ingestion.sampling):
                    return
                row = msgspec.structs.replace(row, ItemCount=(row.ItemCount or 1) * self.ingestion.sampling)
            delay = self.ingestion.delay_seconds + self.ingestion.jitter_seconds * self._random.random()
            self._arrivals += 1
            heapq.heappush(self._pending, (self._ended(row) + delay, self._arrivals, row))

    def _ended(self, row: AppRequest) -> float:
        """When the app sent the row: the request's end, or now where the row's own times are absurd."""
        now = self._clock()
        if row.TimeGenerated is None:
            return now
        ended = row.TimeGenerated.timestamp() + max(0.0, row.DurationMs or 0.0) / 1000
        return ended if now - 86_400 < ended < now + 60 else now

    def clear(self) -> None:
        """Forget all rows, visible or not."""
        with self._recording:
            self._pending.clear()
        self._engine.clear()

    def query(self, text: str, timespan: str | None = None) -> Table:
        """Run `text` on the rows that are visible now; QueryError when it cannot be run."""
        self._ingest()
        return self._engine.run(text, _window(timespan, self._clock()))

    def _ingest(self) -> None:
        """Give the engine the rows whose time has come."""
        if self.faults.stale:
            return
        now = self._clock()
        due: list[AppRequest] = []
        with self._recording:
            while self._pending and self._pending[0][0] <= now:
                due.append(heapq.heappop(self._pending)[2])
        if due:
            self._engine.insert(due)

    def application(self) -> web.Application:
        """The API, to be served."""
        app = web.Application(client_max_size=16 * 1024 * 1024)
        app.router.add_post("/v1/workspaces/{workspace}/query", self._serve)
        return app

    async def _serve(self, request: web.Request) -> web.Response:
        workspace = request.match_info["workspace"]
        text, timespan = _question(await request.read())
        response = _refused_token(request.headers.get("Authorization"))
        prefer = request.headers.get("Prefer", "")
        response = response or await self._faulty(text, workspace, prefer)
        table: Table | None = None
        if response is None:
            response, table = await self._answer(text, timespan, prefer)
        self.queries.append(
            LoggedQuery(
                at=self._clock(),
                workspace=workspace,
                text=text,
                timespan=timespan,
                status=response.status,
                rows=len(table.rows) if table else 0,
                translate_ms=table.translate_ms if table else 0.0,
                run_ms=table.run_ms if table else 0.0,
            )
        )
        return response

    async def _faulty(self, text: str, workspace: str, prefer: str) -> web.Response | None:
        """What the faults make of the request; None = nothing is wrong with it."""
        faults = self.faults
        if faults.hang_seconds:
            await asyncio.sleep(faults.hang_seconds)
        if faults.busy_seconds:
            await asyncio.sleep(min(faults.busy_seconds, _waited_for(prefer)))
        if faults.throttle > 0:
            faults.throttle -= 1
            headers = {"Retry-After": faults.retry_after} if faults.retry_after is not None else {}
            return _error(429, "ThrottledError", "The request rate is too high", headers=headers)
        if faults.outage:
            return _error(503, "ServiceUnavailable", "The service is temporarily unavailable")
        if faults.timeout or faults.busy_seconds > _waited_for(prefer):
            return _error(504, "GatewayTimeout", "The query execution timed out")
        if faults.forbidden:
            message = "The provided credentials have insufficient access to perform the requested operation"
            return _error(403, "InsufficientAccessError", message)
        if self._workspaces is not None and workspace not in self._workspaces:
            return _error(404, "WorkspaceNotFoundError", f"The workspace {workspace} could not be found")
        if not text:
            return _bad_argument(QueryError("SyntaxError", "SYN0001", "The body holds no query"))
        if faults.semantic is not None and faults.semantic in text:
            inner = QueryError("SemanticError", "SEM0100", f"Failed to resolve {faults.semantic!r}")
            return _bad_argument(inner)
        return None

    async def _answer(self, text: str, timespan: str | None, prefer: str) -> tuple[web.Response, Table | None]:
        try:
            table = await asyncio.to_thread(self.query, text, timespan)
        except QueryError as error:
            return _bad_argument(error), None
        most = self.faults.most_rows
        too_many = most is not None and len(table.rows) > most
        rows = table.rows[: len(table.rows) // 2] if self.faults.partial else table.rows[:most]
        columns = [{"name": name, "type": kind} for name, kind in table.columns]
        body: dict[str, Any] = {"tables": [{"name": "PrimaryResult", "columns": columns, "rows": rows}]}
        if "include-statistics=true" in prefer:
            body["statistics"] = {"query": {"executionTime": table.run_ms / 1000}}
        if self.faults.partial or too_many:
            body["error"] = _partial(TOO_MANY if too_many else LOST)
        return web.json_response(body), table


def _window(timespan: str | None, now: float) -> tuple[datetime, datetime]:
    """The request's timespan: start/end, start/duration or a duration that ends now; None = unbounded."""
    if not timespan:
        return datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    first, _, second = timespan.partition("/")
    try:
        if not second:
            end = datetime.fromtimestamp(now, UTC)
            return end - _duration(first), end
        start = datetime.fromisoformat(first)
        return start, start + _duration(second) if second.startswith("P") else datetime.fromisoformat(second)
    except ValueError as error:
        raise QueryError("SemanticError", "BadTimespan", f"timespan {timespan!r}: {error}") from error


def _duration(text: str) -> timedelta:
    """The ISO durations that clients send: PT300.0S, PT5M, P1D."""
    found = re.fullmatch(r"P(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:([\d.]+)S)?)?", text)
    if found is None:
        raise ValueError(f"{text!r} is no duration of days, hours, minutes and seconds")
    days, hours, minutes, seconds = (float(part or 0) for part in found.groups())
    return timedelta(days=days, hours=hours, minutes=minutes, seconds=seconds)


def _question(body: bytes) -> tuple[str, str | None]:
    """The query and the timespan of a request's body; no text where the body is not that of a query."""
    try:
        asked = msgspec.json.decode(body, type=_Question)
    except msgspec.MsgspecError:
        return "", None
    return asked.query, asked.timespan


def _waited_for(prefer: str) -> float:
    """Seconds that the service works on a query: those of `Prefer: wait`, 180 without, 600 at most."""
    found = re.search(r"\bwait=(\d+)", prefer)
    return min(float(found[1]), 600.0) if found else 180.0


def _refused_token(authorization: str | None) -> web.Response | None:
    """401 unless the bearer token was issued for this API; None when it was."""
    reason = wrong(authorization, AUDIENCE)
    return None if reason is None else _error(401, "InvalidTokenError", f"The token is not valid: {reason}")


def _partial(reason: tuple[str, str]) -> dict[str, Any]:
    """The error beside a part of an answer: what it is about lies two levels deeper."""
    inner = {"code": reason[0], "message": reason[1], "severity": 2, "severityName": "Error"}
    told = {"code": "EngineError", "message": "Something went wrong processing your query on the server."}
    message = "There were some errors when processing your query."
    return {"code": "PartialError", "message": message, "details": [told | {"innererror": inner}]}


def _bad_argument(error: QueryError) -> web.Response:
    innermost = {"code": error.code, "message": str(error)}
    middle = {"code": error.kind, "message": f"A {error.kind} occurred.", "innererror": innermost}
    return _error(400, "BadArgumentError", "The request had some invalid properties", inner=middle)


def _error(
    status: int,
    code: str,
    message: str,
    *,
    inner: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> web.Response:
    error: dict[str, Any] = {"code": code, "message": message, "correlationId": "lab"}
    if inner is not None:
        error["innererror"] = inner
    return web.json_response({"error": error}, status=status, headers=headers)
