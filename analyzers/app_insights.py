"""Counts requests in Application Insights (AppRequests of a Log Analytics workspace).

Every question ends in counts, whole, or in `Failed` with what to do: a partial answer, a throttled or broken
query is never a count of zero. One query answers all scopes of a workspace; where the service refuses it, the
group is halved until the scope that breaks it stands alone, so that it blinds nobody else.

What an own query (an indicator of kind `query`) must return, one line per group of requests:
    role_name (string): AppRoleName        instance (string): AppRoleInstance
    operation (string): OperationName      interval (datetime): start of the interval
    rows (long): stored rows               bad (long): how many of them are bad
It may use the names _startTime, _endTime, _interval and _roles (see app_insights_kql.own), for example
    AppRequests
    | where TimeGenerated >= _startTime and TimeGenerated < _endTime and AppRoleName in~ (_roles)
    | summarize rows = count(), bad = countif(Properties.declined == "true")
        by role_name = AppRoleName, instance = AppRoleInstance, operation = OperationName,
           interval = bin(TimeGenerated, _interval)
Its `bad` counts against the rows of the main query at the same place. Bad rows beyond those (of excluded
routes, of other tables) are ignored and shown; where no line meets any counted row, the scope has Failed.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING

import msgspec
from tenacity import RetryCallState, Retrying, retry_if_exception_type

from analyzers import app_insights_kql as kql
from analyzers.app_insights_lines import Line, MisshapenError, by_scope, check_own, counted, dated, first_seen, whole
from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.limits import LOOK_SECONDS
from rollouts.observation import Counted, Failed, Quantiles, Scope

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import HttpResponseError
    from azure.monitor.query import LogsQueryClient

AUDIENCE = "https://api.loganalytics.io"  # of the token; the client's default would be the endpoint's own
ATTEMPTS = 3  # per query
WAIT_SECONDS = 8.0  # of all waits of one look: a tick must end before the next begins
OWN_AT_ONCE = 10  # own queries under way
OWN_FIRST_SECONDS = 5.0  # the first goes ahead so long: where the service says no to it, the others are not asked
OWN_PARTS = 8  # windows in which an own query is asked whose answer would be cut
QUERIES_LIMIT = 32  # per look: to find two broken scopes of fifty takes 23, three 30
READ_SECONDS = 30.0  # until a query that does not answer is given up; so much of a look is left for the common one
LEAST_SECONDS = 0.1  # for which a query is worth asking
SOONER_SECONDS = 5.0  # so long before, the service itself ends the query: it tells, and works on for nobody
CONNECT_SECONDS = 5.0
DETAIL_LIMIT = 300  # characters of the service's own message in ours
# In the error of a partial answer: E_RUNAWAY_QUERY, E_QUERY_RESULT_SET_TOO_LARGE, E_LOW_MEMORY_CONDITION of Kusto.
TOO_MUCH = ("80DA0001", "80DA0003", "80DA0007")

# The client reads an answer without checking it: lines of another length, values of another kind, endless nesting.
_UNCHECKED = (LookupError, TypeError, ValueError, AttributeError, RecursionError)

Span = tuple[datetime, datetime]


class _AgainError(Exception):
    """The service says no for now; `after` is its Retry-After in seconds, None when it named none."""

    def __init__(self, detail: str, after: float | None = None) -> None:
        super().__init__(detail)
        self.after = after


class _BrokenError(Exception):
    """The service refuses this very text: a smaller one may pass."""


class _CutError(_BrokenError):
    """The answer has as many lines as an answer may have, or more bytes than the service gives: there may be more."""


class _RefusedError(Exception):
    """No text will do better: a missing role, an unknown workspace (permanent), a partial answer (not)."""

    def __init__(self, detail: str, *, permanent: bool) -> None:
        super().__init__(detail)
        self.permanent = permanent


class _SpentError(_RefusedError):
    """The seconds of the look are over: nothing more is asked in it."""

    def __init__(self) -> None:
        super().__init__("the seconds of this look at the workspace are spent; asked at the next tick", permanent=False)


class AppInsights:
    """The telemetry source over the Log Analytics query API (controller.seams.TelemetrySource)."""

    def __init__(
        self,
        logs_url: str,
        credential_factory: "Callable[[], TokenCredential]",
        *,
        sleep: Callable[[float], None] = time.sleep,
        timer: Callable[[], float] = time.monotonic,
        read_seconds: float = READ_SECONDS,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._logs_url = logs_url
        self._credential_factory = credential_factory
        self._sleep = sleep
        self._timer = timer
        self._read_seconds = read_seconds
        self._look_seconds = look_seconds
        self._client: LogsQueryClient | None = None  # None = nothing was asked yet

    def counts(self, workspace: str, scopes: Sequence[Scope], now: float) -> dict[str, Counted | Failed]:
        """One query for all scopes; by rollout id. A broken scope is found by halving and fails alone."""
        look = self._look(workspace, now)
        sound: list[Scope] = []
        for scope in scopes:
            problem = _problem(scope)
            if problem is None:
                sound.append(scope)
            else:
                look.outcomes[scope.rollout] = _failed(problem, permanent=True)
        own = look.own(sound, now)  # first: what is judged later is no less
        sound = [scope for scope in sound if scope.rollout not in look.outcomes]
        for scope, lines in look.lines(sound, now):
            look.outcomes[scope.rollout] = counted(scope, lines, own[scope.rollout])
        return look.outcomes

    def quantiles(self, workspace: str, scope: Scope, quantiles: Sequence[float]) -> Quantiles | Failed:
        """The baseline's own latency quantiles over [since, until), warm rows only; none without rows."""
        alone = msgspec.structs.replace(scope, canary_role="")
        problem = _problem(alone)
        if problem is not None:
            return _failed(problem, permanent=True)
        try:
            lines = self._look(workspace, None).ask(kql.quantiles(alone, quantiles), kql.span([alone]))
            requests = whole(lines[0], "requests") if lines else 0
            found = {q: lines[0][f"q_{n}"] for n, q in enumerate(quantiles, 1)} if requests else {}
        except _AgainError as error:
            return _failed(str(error))
        except _RefusedError as error:
            return _failed(str(error), permanent=error.permanent)
        except (_BrokenError, MisshapenError, KeyError) as error:
            return _failed(f"the quantiles of {scope.baseline_role}: {error}", permanent=True)
        milliseconds = {q: float(value) for q, value in found.items() if isinstance(value, int | float)}
        return Quantiles(milliseconds=milliseconds, requests=requests)

    def _look(self, workspace: str, now: float | None) -> "_Look":
        until = self._timer() + self._look_seconds

        def once(text: str, span: Span, kept: float) -> list[Line]:
            seconds = min(self._read_seconds, until - self._timer() - kept * self._read_seconds)
            if seconds < LEAST_SECONDS:
                raise _SpentError
            return self._once(workspace, text, span, seconds)

        return _Look(once, self._sleep, now)

    def _once(self, workspace: str, text: str, span: Span, seconds: float) -> list[Line]:
        """One request, for at most so many seconds: the whole answer, or the error that says what to do next."""
        from azure.core import exceptions as azure
        from azure.monitor.query import LogsQueryPartialResult

        where = f"workspace {workspace}"
        try:
            answer = self._connected().query_workspace(
                workspace,
                text,
                timespan=span,
                server_timeout=max(1, int(seconds - SOONER_SECONDS)),
                read_timeout=seconds,
            )
        except azure.HttpResponseError as error:
            if error.response is None:  # from the credential: the API was not asked at all
                raise _RefusedError(
                    f"{where}: no token ({_short(error)}): check the function app's managed identity and"
                    " AZURE_CLIENT_ID",
                    permanent=True,
                ) from error
            raise _translated(error, workspace) from error
        except azure.ServiceResponseTimeoutError as error:
            raise _RefusedError(
                f"{where}: no answer in {seconds:.2g} s; asked again at the next tick", permanent=False
            ) from error
        except azure.AzureError as error:
            raise _AgainError(f"{where}: {self._logs_url} was not reached ({_short(error)})") from error
        except _UNCHECKED as error:
            raise _RefusedError(f"{where}: the answer is not that of a log query", permanent=False) from error
        if isinstance(answer, LogsQueryPartialResult):
            lacking = _lacking(answer.partial_error)
            told = f"{where}: only a part of the answer came ({lacking}); a part is not counted"
            raise _CutError(told) if any(code in lacking for code in TOO_MUCH) else _RefusedError(told, permanent=False)
        if not answer.tables:
            raise _RefusedError(f"{where}: the answer holds no table", permanent=False)
        table = answer.tables[0]
        try:
            return [dict(zip(table.columns, row, strict=True)) for row in table.rows]
        except _UNCHECKED as error:
            raise _RefusedError(f"{where}: a line has more or fewer values than columns", permanent=False) from error

    def _connected(self) -> "LogsQueryClient":
        if self._client is None:
            from azure.monitor.query import LogsQueryClient

            self._client = LogsQueryClient(
                self._credential_factory(),
                endpoint=self._logs_url,
                audience=AUDIENCE,
                retry_total=0,
                connection_timeout=CONNECT_SECONDS,
            )
        return self._client


class _Look:
    """One look at a workspace: its queries, the seconds it waited, and what became of each scope."""

    def __init__(
        self,
        once: Callable[[str, Span, float], list[Line]],
        sleep: Callable[[float], None],
        now: float | None,
    ) -> None:
        self._once = once  # the third: how many further queries must find their time after it
        self._sleep = sleep
        self._wait_seconds = WAIT_SECONDS  # that are left
        self._now = now  # None = nobody asks when to come back
        self._waited = 0.0
        self._given_up: _AgainError | None = None  # the service said no until the budget was spent
        self._queries = 0  # of the common text
        self._slow: dict[str, str] = {}  # by rollout, its own query that is under way or was not answered
        self._pausing = Lock()  # own queries wait beside each other, from one budget
        self.outcomes: dict[str, Counted | Failed] = {}

    def ask(self, text: str, span: Span, kept: float = 0) -> list[Line]:
        """The whole answer; waits and asks again while the service says "for now" and the budget lasts.

        The time of `kept` further queries is left untouched.
        """
        if self._given_up is not None:
            raise self._given_up
        retrying = Retrying(
            retry=retry_if_exception_type(_AgainError),
            stop=lambda state: state.attempt_number >= ATTEMPTS or _wait(state) > self._wait_seconds,
            wait=_wait,
            sleep=self._pause,
            reraise=True,
        )
        try:
            lines: list[Line] = retrying(self._once, text, span, kept)
        except _AgainError as error:
            self._given_up = error
            raise
        if len(lines) >= kql.ROW_LIMIT:
            raise _CutError(
                f"the answer has {kql.ROW_LIMIT} lines or more and would be cut: count fewer operations"
                " (expert.operations, critical_operations) or take a longer expert.interval"
            )
        return lines

    def _pause(self, seconds: float) -> None:
        with self._pausing:
            self._wait_seconds -= seconds
            self._waited += seconds
        self._sleep(seconds)

    def own(self, scopes: Sequence[Scope], now: float) -> dict[str, dict[str, list[Line]]]:
        """The answers of all own queries, by rollout and indicator; a failure is noted as its scope's outcome.

        Scopes wait beside each other, and at each interval another one leads: whoever hangs holds up nobody for long.
        """
        answers: dict[str, dict[str, list[Line]]] = {scope.rollout: {} for scope in scopes}
        asking = [scope for scope in scopes if any(one.kind is IndicatorKind.QUERY for one in scope.indicators)]
        turn = int(now // asking[0].interval_seconds) % len(asking) if asking else 0
        asking = asking[turn:] + asking[:turn]
        with ThreadPoolExecutor(OWN_AT_ONCE) as threads:
            under_way = [threads.submit(self._own_of, scope, answers[scope.rollout]) for scope in asking[:1]]
            wait(under_way, OWN_FIRST_SECONDS)
            under_way += [threads.submit(self._own_of, scope, answers[scope.rollout]) for scope in asking[1:]]
        for one in under_way:
            one.result()
        return answers

    def _own_of(self, scope: Scope, answers: dict[str, list[Line]]) -> None:
        """Fill in the answers to a scope's own queries; the first that fails ends it."""
        for indicator in (one for one in scope.indicators if one.kind is IndicatorKind.QUERY):
            name = f"indicators.{indicator.name}.query"
            before = ", ".join(list(self._slow.values())[:3])
            self._slow[scope.rollout] = f"{name} of {scope.rollout}"
            try:
                answers[indicator.name] = self._own(scope, indicator)
            except (_BrokenError, MisshapenError) as error:
                return self._note([scope], f"{name}: {error}", permanent=True)
            except _AgainError as error:
                return self._note([scope], str(error), after=error.after)
            except _SpentError as error:
                return self._note([scope], f"{name}: not asked: {error}. Others took them: {before}")
            except _RefusedError as error:
                return self._note([scope], f"{name}: {error}", permanent=error.permanent)
            del self._slow[scope.rollout]
        return None

    def _own(self, scope: Scope, indicator: Indicator, parts: int = OWN_PARTS) -> list[Line]:
        """The answer to an own query; of a window whose answer would be cut, from two windows, or more."""
        try:
            lines = self.ask(kql.own(scope, indicator), kql.span([scope]), kept=1)
        except _CutError:
            if parts == 1 or scope.until - scope.since < 2 * scope.interval_seconds:
                raise
            return [line for half in _in_halves(scope) for line in self._own(half, indicator, parts // 2)]
        check_own(indicator, lines)
        return lines

    def lines(self, scopes: Sequence[Scope], now: float) -> Iterator[tuple[Scope, list[Line]]]:
        """Each scope with its lines of the common query; scopes that have none Failed in `outcomes`."""
        groups = [list(scopes)] if scopes else []
        while groups:
            group = groups.pop()
            text = kql.counting(group, now)
            if len(text) > kql.CHARACTER_LIMIT and len(group) > 1:
                groups += _halves(group)
                continue
            try:
                yield from self._common(group, text, now)
            except _AgainError as error:
                self._note(group, str(error), after=error.after)
            except _RefusedError as error:
                self._note(group, str(error), permanent=error.permanent)
            except MisshapenError as error:
                self._note(group, str(error), permanent=True)
            except _BrokenError as error:
                if len(group) > 1 and (len(group) < len(scopes) or self._blames_a_scope(group, now)):
                    groups += _halves(group)
                else:
                    self._note(group, str(error), permanent=True)

    def _common(self, group: Sequence[Scope], text: str, now: float) -> list[tuple[Scope, list[Line]]]:
        """The answer to one common text; of a scope alone whose answer would be cut, from two windows, or more."""
        if self._queries >= QUERIES_LIMIT:
            spent = f"{self._queries} queries were spent on answers that were refused or cut: asked at the next tick"
            raise _RefusedError(spent, permanent=False)
        self._queries += 1
        try:
            return by_scope(group, self.ask(text, kql.span(group, now)))
        except _CutError:
            if len(group) > 1 or group[0].until - group[0].since < 2 * group[0].interval_seconds:
                raise
            return [(group[0], self._in_two(group[0], now))]

    def _in_two(self, scope: Scope, now: float) -> list[Line]:
        """The lines of a window that is too long for one answer, as after an outage of the telemetry."""
        first, second = _in_halves(scope)
        [(_, lines)] = self._common([first], kql.counting([first], now), now)
        lines = [line for line in lines if dated(line)]  # rows from the future are told by both
        known = first_seen(scope.instances, lines)
        second = msgspec.structs.replace(second, instances=known)
        [(_, later)] = self._common([second], kql.counting([second], now), now)
        return lines + later

    def _blames_a_scope(self, group: Sequence[Scope], now: float) -> bool:
        """False when even the question about no scope is refused: then halving cannot help."""
        try:
            self.ask(kql.counting([], now), kql.span(group, now))
        except _BrokenError:
            return False
        except (_AgainError, _RefusedError):
            return True  # the halves will be told the same
        return True

    def _note(
        self, scopes: Sequence[Scope], detail: str, *, permanent: bool = False, after: float | None = None
    ) -> None:
        retry_at = None if after is None or self._now is None else self._now + self._waited + after
        for scope in scopes:
            self.outcomes[scope.rollout] = _failed(detail, permanent=permanent, retry_at=retry_at)


def _wait(state: RetryCallState) -> float:
    """Seconds until the next attempt: the service's own wish, else 0.5, 1, 2."""
    error = state.outcome.exception() if state.outcome else None
    after = error.after if isinstance(error, _AgainError) else None
    return float(0.5 * 2 ** (state.attempt_number - 1)) if after is None else after


def _failed(detail: str, *, permanent: bool = False, retry_at: float | None = None) -> Failed:
    return Failed(what="telemetry", detail=detail, permanent=permanent, retry_at=retry_at)


def _halves(group: list[Scope]) -> list[list[Scope]]:
    middle = len(group) // 2
    return [group[middle:], group[:middle]]


def _in_halves(scope: Scope) -> tuple[Scope, Scope]:
    """The scope's window, of two intervals or more, as two."""
    half = (scope.until - scope.since) // scope.interval_seconds // 2 * scope.interval_seconds
    middle = scope.since + half
    return msgspec.structs.replace(scope, until=middle), msgspec.structs.replace(scope, since=middle)


def _problem(scope: Scope) -> str | None:
    """Why the scope cannot be asked at all; None when it can."""
    if not scope.baseline_role:
        return "slots.*.role_name is empty: write the AppRoleName of the function app"
    if scope.canary_role.lower() == scope.baseline_role.lower():
        return (
            f"both slots have the role_name {scope.baseline_role!r}: their rows cannot be told apart; give each"
            " function app its own WEBSITE_CLOUD_ROLENAME"
        )
    for text in (scope.canary_role, scope.baseline_role, *scope.critical_operations, *scope.excluded_routes):
        if not kql.quotable(text):
            return f"{text!r} holds a control character: no query can name it; write it without"
    if scope.until <= scope.since or scope.interval_seconds < 1:
        return f"the window from {scope.since} to {scope.until} holds no interval of {scope.interval_seconds} s"
    return None


def _translated(error: "HttpResponseError", workspace: str) -> Exception:
    """What an HTTP error of the query API means for us."""
    status = error.status_code or 0
    detail = f"workspace {workspace}: {status} {_innermost(error)}"
    if status in (401, 403):
        return _RefusedError(
            f"{detail}; give the function app's identity the role 'Log Analytics Data Reader' on the workspace",
            permanent=True,
        )
    if status == 404:
        return _RefusedError(f"{detail}; check services.*.workspace (the workspace id, a guid)", permanent=True)
    if status == 504:  # the query took too long: asked again at once it would take as long again
        return _RefusedError(f"{detail}; asked again at the next tick", permanent=False)
    if status in (408, 429) or status >= 500:
        return _AgainError(detail, _retry_after(error))
    if status in (400, 413):
        if "resolve" in detail and "'AppRequests'" in detail:  # a workspace knows the table once it got rows for it
            detail += (
                "; no request was ever stored there: is services.*.workspace the workspace of the slots'"
                " Application Insights?"
            )
        return _BrokenError(detail)
    return _RefusedError(detail, permanent=False)


def _retry_after(error: "HttpResponseError") -> float | None:
    """Seconds that the service asks to wait; None when it does not say, or not so that it can be read."""
    headers = getattr(error.response, "headers", {})
    text = headers.get("Retry-After", "").strip()
    if text.isdigit():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - parsedate_to_datetime(headers["Date"])).total_seconds())
    except (KeyError, ValueError, TypeError):
        return None


def _innermost(error: "HttpResponseError") -> str:
    """The service's most telling message: errors lie in each other, the innermost names the column."""
    found = error.error
    if found is None:
        return _cut(error.reason or "")
    parts = [f"{found.code}: {found.message}"]
    inner = getattr(found, "innererror", None)
    while isinstance(inner, dict):
        parts.append(f"{inner.get('code', '')}: {inner.get('message', '')}")
        inner = inner.get("innererror")
    return _cut(parts[0] if len(parts) == 1 else f"{found.code}: {parts[-1]}")


def _lacking(error: object) -> str:
    """Why an answer is partial. The error's own message says nothing; the innermost one of its first detail does."""
    told, details = str(getattr(error, "message", "")), getattr(error, "details", None)
    inner = details[0] if isinstance(details, list) and details else None
    while isinstance(inner, Mapping):
        told, inner = str(inner.get("message") or told), inner.get("innererror")
    return _cut(told)


def _short(error: object) -> str:
    return _cut(str(getattr(error, "message", None) or error))


def _cut(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= DETAIL_LIMIT else line[:DETAIL_LIMIT] + "..."
