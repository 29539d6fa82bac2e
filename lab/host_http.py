"""What the host serves over HTTP: HTTP triggers by their route templates, and the Event Grid webhook."""

import asyncio
import hmac
import json
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from aiohttp import web
from azure.functions.meta import Datum

from lab.indexing import Indexed

log = logging.getLogger("lab.host")
MAX_BODY_BYTES = 100 * 1024 * 1024
PARAMETER = re.compile(r"\{(?P<star>\*?)(?P<name>\w+)(?::(?P<constraint>\w+))?(?P<optional>\?)?\}")
CONSTRAINTS = {None: r"[^/]+", "int": r"-?\d+", "alpha": r"[A-Za-z]+", "guid": r"[0-9A-Fa-f-]{36}"}
DEFAULT_METHODS = frozenset({"GET", "POST"})

Invoke = Callable[[Indexed, Datum, Mapping[str, Datum]], Awaitable[Datum | None]]


class Route:
    """One HTTP trigger's route template.

    >>> Route("api", "rollouts/{id}", None).match("GET", "/api/rollouts/7")
    {'id': '7'}
    >>> Route("api", "rollouts/{id:int}", None).match("GET", "/api/rollouts/x") is None
    True
    """

    def __init__(self, prefix: str, template: str, methods: frozenset[str] | None) -> None:
        path = f"/{prefix}/{template.strip('/')}" if prefix else f"/{template.strip('/')}"
        self.methods = methods or DEFAULT_METHODS
        self._pattern = re.compile(_pattern(path), re.IGNORECASE)

    def match(self, method: str, path: str) -> dict[str, str] | None:
        """The route's parameters, or None when this is not its request."""
        found = self._pattern.fullmatch(path) if method in self.methods else None
        return None if found is None else {k: v for k, v in found.groupdict().items() if v is not None}


def _pattern(path: str) -> str:
    pieces, end = [], 0
    for parameter in PARAMETER.finditer(path):
        literal, name, constraint = path[end : parameter.start()], parameter["name"], parameter["constraint"]
        if constraint not in CONSTRAINTS:
            raise ValueError(f"route {path}: the constraint {constraint!r} is not known to this host")
        group = f"(?P<{name}>{'.*' if parameter['star'] else CONSTRAINTS[constraint]})"
        optional = parameter["optional"] or parameter["star"]
        if optional and literal.endswith("/"):
            pieces.append(f"{re.escape(literal[:-1])}(?:/{group})?")
        else:
            pieces.append(re.escape(literal) + group)
        end = parameter.end()
    return "".join(pieces) + re.escape(path[end:]) + "/?"


def request_datum(request: web.BaseRequest, body: bytes, parameters: Mapping[str, str], url: str) -> Datum:
    """An HTTP request as the host sends it to a worker."""

    def strings(values: Mapping[str, str]) -> dict[str, Datum]:
        return {key: Datum(value, "string") for key, value in values.items()}

    return Datum(
        {
            "method": Datum(request.method, "string"),
            "url": Datum(url, "string"),
            "headers": strings(request.headers),
            "query": strings(request.query),
            "params": strings(parameters),
            "body": Datum(body, "bytes"),
        },
        "http",
    )


def response(datum: Datum | None) -> web.Response:
    """What a handler returned, as an HTTP response; nothing is 204."""
    if datum is None:
        return web.Response(status=204)
    if datum.type != "http":
        return web.Response(text=str(datum.value))
    value = datum.value
    answer = web.Response(status=int(value["status_code"].value), body=value["body"].value)
    for name, header in value["headers"].items():
        if name.lower() != "content-length":
            answer.headers[name] = header.value
    for cookie in value["cookies"] or ():
        for morsel in cookie.values():
            answer.headers.add("Set-Cookie", morsel.OutputString())
    return answer


class Front:
    """The HTTP side of the host. `key` None = every caller may call everything."""

    def __init__(self, functions: list[Indexed], prefix: str, key: str | None, invoke: Invoke) -> None:
        self._key = key
        self._invoke = invoke
        self._events = {f.name.lower(): f for f in functions if f.kind == "eventGridTrigger"}
        # As Azure's host does (FunctionMetadataManager, WebJobsRouteBuilder): the first that matches in the order of
        # the functions' names; a literal route does not win over a parameter (azure-functions-host issue 9876).
        named = sorted(functions, key=lambda f: f.name.upper())
        self._routes = [(route_of(f, prefix), f) for f in named if f.kind == "httpTrigger"]

    def application(self) -> web.Application:
        """The aiohttp application to serve."""
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_route("*", "/runtime/webhooks/{extension:(?i:eventgrid)}", self._event_grid)
        app.router.add_route("*", "/{path:.*}", self._http)
        return app

    async def _http(self, request: web.Request) -> web.Response:
        for route, function in self._routes:
            parameters = route.match(request.method, request.path)
            if parameters is None:
                continue
            if str(function.trigger.get("authLevel", "function")).lower() != "anonymous" and not self._allowed(request):
                return web.Response(status=401)
            body = await request.read()
            try:
                return response(
                    await self._invoke(function, request_datum(request, body, parameters, str(request.url)), {})
                )
            except Exception:  # noqa: BLE001  # the handler's own, logged by the host
                return web.Response(status=500)
        return web.Response(status=404)

    def _allowed(self, request: web.Request) -> bool:
        given = request.headers.get("x-functions-key") or request.query.get("code") or ""
        return self._key is None or hmac.compare_digest(given.encode(), self._key.encode())

    async def _event_grid(self, request: web.Request) -> web.Response:
        """202: every event was handled; 500: one was not (Event Grid tries again); 4xx: it never will be."""
        if not self._allowed(request):
            return web.Response(status=401)
        function = self._events.get(request.query.get("functionName", "").lower())
        if function is None:
            return web.Response(status=404, text="functionName names no Event Grid function of this app")
        if request.method == "OPTIONS":  # CloudEvents: abuse protection of the HTTP webhook specification
            origin = request.headers.get("WebHook-Request-Origin", "*")
            return web.Response(headers={"WebHook-Allowed-Origin": origin, "WebHook-Allowed-Rate": "*"})
        kind = request.headers.get("aeg-event-type")
        if kind is None and request.content_type.startswith("application/cloudevents"):
            kind = "Notification"
        if kind == "Unsubscribe":
            return web.Response(status=202)
        if kind not in ("Notification", "SubscriptionValidation"):
            return web.Response(status=400, text="the header aeg-event-type is neither Notification nor a handshake")
        events = _events(await request.read())
        if events is None:
            return web.Response(status=400, text="the body is neither an event nor a list of events")
        if kind == "SubscriptionValidation":
            return _handshake(events)
        return await self._deliver(function, events)

    async def _deliver(self, function: Indexed, events: list[dict[str, Any]]) -> web.Response:
        calls = [self._invoke(function, Datum(json.dumps(event), "json"), {}) for event in events]
        results = await asyncio.gather(*calls, return_exceptions=True)
        failed = sum(isinstance(result, Exception) for result in results)
        if failed:
            return web.Response(status=500, text=f"{function.name} failed on {failed} of {len(events)} events")
        return web.Response(status=202)


def route_of(function: Indexed, prefix: str) -> Route:
    """The route of an HTTP trigger."""
    methods = function.trigger.get("methods")
    return Route(
        prefix,
        str(function.trigger["route"]),
        frozenset(str(m).upper() for m in methods) if methods else None,
    )


def _events(body: bytes) -> list[dict[str, Any]] | None:
    """One CloudEvent, or a list of either schema; None when it is something else."""
    try:
        decoded = json.loads(body)
    except ValueError:
        return None
    events = decoded if isinstance(decoded, list) else [decoded]
    return events if events and all(isinstance(event, dict) for event in events) else None


def _handshake(events: list[dict[str, Any]]) -> web.Response:
    data = events[0].get("data")
    code = data.get("validationCode") if isinstance(data, dict) else None
    if not isinstance(code, str):
        return web.Response(status=400, text="the validation event has no data.validationCode")
    return web.json_response({"validationResponse": code})
