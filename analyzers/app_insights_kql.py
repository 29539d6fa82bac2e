"""The KQL that counts requests in Application Insights: text made from scopes, and nothing else.

One query counts for all scopes of a workspace: whatever differs between them (roles, windows, thresholds,
routes, instances) travels in `datatable` literals, so the text keeps one shape and one pass over AppRequests
answers everybody. Only KQL that Log Analytics and the lab's engine both run is used.
"""

import json
import unicodedata
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from analyzers.judge.counts import REST
from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.observation import Scope

ROW_LIMIT = 50_000  # rows of one answer; the API ends at 500,000 and 64 MB, decoding takes 30 microseconds a row
CHARACTER_LIMIT = 200_000  # of one query: a group of scopes whose text is longer is asked in two
NAME_LIMIT = 200  # characters of an instance's or operation's name: longer ones are cut
SKEW_SECONDS = 60  # a row later than our clock by more than this is from the future
AHEAD_SECONDS = 2 * 86_400  # how far to look for such rows: ingestion replaces times over a day ahead
DURATION_LIMIT_MS = 3_600_000.0  # the front end cuts a request off after 230 s: an hour is no duration
NEVER_MS = 1e15  # a threshold that no request exceeds: for indicators that are not judged yet
UNKNOWN = "unknown"
LATENCY = (IndicatorKind.SLOWER_THAN, IndicatorKind.QUANTILE)
_ESCAPES = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quotable(text: str) -> bool:
    """True when `text` can be written as a KQL string: no control characters but tab and line ends.

    >>> quotable("checkout-grün"), quotable("null\\0byte")
    (True, False)
    """
    return all(char in _ESCAPES or unicodedata.category(char) not in {"Cc", "Cs", "Zl", "Zp"} for char in text)


def quoted(text: str) -> str:
    """`text` as a KQL string literal; ValueError when it is not `quotable`.

    >>> print(quoted('a"b' + chr(92)))
    "a\\"b\\\\"
    """
    if not quotable(text):
        raise ValueError(f"{text!r} holds a character that a KQL string cannot")
    return '"' + "".join(_ESCAPES.get(char, char) for char in text) + '"'


def instant(seconds: float) -> str:
    """Epoch seconds as a KQL datetime literal.

    >>> instant(0)
    'datetime(1970-01-01T00:00:00.000000Z)'
    """
    return f"datetime({datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S.%fZ})"


def span(scopes: Sequence[Scope], now: float | None = None) -> tuple[datetime, datetime]:
    """The time span to send beside the text: the scopes' windows, and the future where `now` is given."""
    end = max(scope.until for scope in scopes)
    if now is not None:
        end = max(end, int(now) + AHEAD_SECONDS)
    start = datetime.fromtimestamp(min(scope.since for scope in scopes), UTC)
    return start, datetime.fromtimestamp(end, UTC)


def latency(scope: Scope) -> tuple[Indicator, ...]:
    """The indicators that compare durations, in the policy's order: `slow_1`, `slow_2`, ... of the answer."""
    return tuple(indicator for indicator in scope.indicators if indicator.kind in LATENCY)


def counting(scopes: Sequence[Scope], now: float) -> str:
    """KQL that answers one line per (scope, role, instance, operation, interval), at most ROW_LIMIT lines.

    scope: index into `scopes`. role: "canary" or "baseline". interval: epoch seconds, -1 for rows from the
    future. seen: epoch seconds of the instance's first appearance. rows, requests (sum of ItemCount), cold,
    ignored, failures, rejected, warm_failures, warm_rejected, slow_1 ... : sums over the line's rows.

    A row without a usable duration says nothing about latency: it is counted with the cold ones, which
    latency does not judge, and in `ignored`; its result code still counts.
    """
    slow = max((len(latency(scope)) for scope in scopes), default=0)
    columns = "".join(
        f",\n    slow_{n} = countif(timed and duration > limit_{n} and (warm or not(warm_only_{n})))"
        for n in range(1, slow + 1)
    )
    return f"""{_requests(scopes, now)}
let largest = requests
| where not(future)
| summarize traffic = sum(items) by scope, named, operation
| sort by scope asc, traffic desc, operation asc
| summarize operations = make_list(operation, 1000) by scope, named
| mv-expand with_itemindex=place operation = operations to typeof(string)
| where place < named
| project scope, operation, chosen = true;
requests
| lookup kind=leftouter largest on scope, operation
| extend match = tolower(operation)
| lookup kind=leftouter (critical | extend match = tolower(label)) on scope, match
| extend operation = case(future, "", isnotempty(label), label, isnotnull(chosen), operation, "{REST}")
| extend instance = iif(future, "", instance)
| summarize rows = count(), requests = sum(items), cold = countif(not(warm and timed)),
    ignored = countif(future or not(timed)), seen = min(seen),
    failures = countif(failed), rejected = countif(refused),
    warm_failures = countif(failed and warm and timed),
    warm_rejected = countif(refused and warm and timed){columns}
    by scope, role, instance, operation, interval
| extend seen = datetime_diff("second", seen, datetime(1970-01-01))
| take {ROW_LIMIT}"""


def quantiles(scope: Scope, wanted: Sequence[float]) -> str:
    """KQL that answers one line: `requests`, the warm baseline rows of the window, and `q_1`, `q_2`, ... in ms."""
    columns = "".join(
        f", q_{n} = percentile(duration, {round(quantile * 100, 6)!r})" for n, quantile in enumerate(wanted, 1)
    )
    return f"""{_requests([scope], None)}
requests
| where role == "baseline" and warm and timed
| summarize requests = count(){columns}"""


def own(scope: Scope, indicator: Indicator) -> str:
    """The policy's own query, with names for what it must not hard-code, and a limit on its answer.

    Before it: _startTime, _endTime (datetime), _interval (timespan), _roles (dynamic: both AppRoleNames).
    """
    roles = json.dumps([name for name in (scope.canary_role, scope.baseline_role) if name], ensure_ascii=False)
    text = (indicator.query or "").strip().removesuffix(";")
    return f"""let _startTime = {instant(scope.since)};
let _endTime = {instant(scope.until)};
let _interval = {scope.interval_seconds}s;
let _roles = dynamic({roles});
{text}
| take {ROW_LIMIT}"""


def _requests(scopes: Sequence[Scope], now: float | None) -> str:
    """`requests`: each request that the gateway could have split, once per scope that asks for its role."""
    routes = max((len(scope.excluded_routes) for scope in scopes), default=0)
    slow = max((len(latency(scope)) for scope in scopes), default=0)
    split = "".join(f"\n| where not(path startswith route_{n})" for n in range(1, routes + 1))
    start, end = (min(s.since for s in scopes), max(s.until for s in scopes)) if scopes else (0, 0)
    future = f"TimeGenerated >= {instant(now + SKEW_SECONDS)}" if now is not None else "false"
    return f"""let slots = datatable({_slot_columns(routes, slow)})[
{_slot_rows(scopes, routes, slow)}];
let known = datatable(scope:long, instance:string, at:datetime)[
{_known_rows(scopes)}];
let critical = datatable(scope:long, label:string)[
{_critical_rows(scopes)}];
let matching = materialize(AppRequests
| where (TimeGenerated >= {instant(start)} and TimeGenerated < {instant(end)}) or {future}
| where AppRoleName in~ ({_role_names(scopes)})
| where isnotempty(Url)
| project TimeGenerated, name = tolower(AppRoleName), future = {future},
    instance = substring(iif(isempty(AppRoleInstance), "{UNKNOWN}", AppRoleInstance), 0, {NAME_LIMIT}),
    operation = substring(case(isnotempty(OperationName), OperationName, isnotempty(Name), Name, "{UNKNOWN}"),
        0, {NAME_LIMIT}),
    path = strcat(extract(@"^(?:[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*)?([^?#]*)", 1, Url), "/"),
    items = iif(ItemCount > 1, tolong(ItemCount), long(1)),
    duration = coalesce(DurationMs, real(-1)), code = coalesce(toint(ResultCode), int(0)),
    success = coalesce(Success, true)
| lookup kind=inner (slots | extend name = tolower(role_name)) on name
| where future or (TimeGenerated >= since and TimeGenerated < until){split});
let births = union (matching | where not(future) | project scope, instance, at = TimeGenerated), known
| summarize seen = min(at) by scope, instance;
let requests = matching
| lookup kind=leftouter births on scope, instance
| extend timed = duration >= 0.0 and duration <= {DURATION_LIMIT_MS!r} and not(future),
    warm = TimeGenerated >= seen + cold_seconds * 1s and not(future),
    second = datetime_diff("second", TimeGenerated, datetime(1970-01-01)),
    refused = code >= 400 and code < 500
| extend interval = iif(future, long(-1), second - second % seconds),
    failed = code >= 500 or (not(success) and not(refused));"""


def _slot_columns(routes: int, slow: int) -> str:
    columns = ["scope:long", "role:string", "role_name:string", "since:datetime", "until:datetime"]
    columns += ["seconds:long", "cold_seconds:long", "named:long"]
    columns += [f"route_{n}:string" for n in range(1, routes + 1)]
    for n in range(1, slow + 1):
        columns += [f"limit_{n}:real", f"warm_only_{n}:bool"]
    return ", ".join(columns)


def _slot_rows(scopes: Sequence[Scope], routes: int, slow: int) -> str:
    lines = []
    for number, scope in enumerate(scopes):
        excluded = [quoted(_route(route)) for route in scope.excluded_routes]
        excluded += [quoted("?")] * (routes - len(excluded))  # no path starts with a question mark
        window = [instant(scope.since), instant(scope.until)]
        lengths = [str(scope.interval_seconds), str(scope.cold_seconds), str(scope.operations)]
        for role, name in (("canary", scope.canary_role), ("baseline", scope.baseline_role)):
            if not name:
                continue
            cells = [str(number), quoted(role), quoted(name), *window, *lengths, *excluded]
            limits = [_limit(scope, one, canary=role == "canary") for one in latency(scope)]
            limits += [(NEVER_MS, False)] * (slow - len(limits))
            for limit, warm_only in limits:
                cells += [f"real({limit:.6f})", "true" if warm_only else "false"]
            lines.append(", ".join(cells))
    return ",\n".join(lines)


def _known_rows(scopes: Sequence[Scope]) -> str:
    """Instances whose name cannot be quoted are left out: their first row in the window stands for them."""
    return ",\n".join(
        f"{number}, {quoted(name[:NAME_LIMIT])}, {instant(seen)}"
        for number, scope in enumerate(scopes)
        for name, seen in sorted(scope.instances.items())
        if quotable(name)
    )


def _critical_rows(scopes: Sequence[Scope]) -> str:
    return ",\n".join(
        f"{number}, {quoted(name[:NAME_LIMIT])}"
        for number, scope in enumerate(scopes)
        for name in dict.fromkeys(scope.critical_operations)
    )


def _role_names(scopes: Sequence[Scope]) -> str:
    names = {name for scope in scopes for name in (scope.canary_role, scope.baseline_role) if name}
    return ", ".join(quoted(name) for name in sorted(names)) or quoted("")


def _route(route: str) -> str:
    """A route excludes itself and what lies below it: /api/health, not /api/healthcare."""
    return "/" + route.partition("?")[0].strip("/") + "/" if route.strip("/") else "/"


def _limit(scope: Scope, indicator: Indicator, *, canary: bool) -> tuple[float, bool]:
    """Milliseconds beyond which a request is bad, and whether only warm rows are judged."""
    if indicator.kind is IndicatorKind.SLOWER_THAN:
        limit = indicator.threshold_ms
    else:
        limit = scope.thresholds_ms.get(indicator.name)
        if limit is not None and canary:
            limit *= 1 + (indicator.slowdown or 0.0)
    return (NEVER_MS if limit is None else float(limit)), indicator.warm_only


def interval_of(moment: datetime, seconds: int) -> int:
    """Start of the interval that holds `moment`, epoch seconds."""
    whole = (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return whole - whole % seconds
