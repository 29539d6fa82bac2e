"""Azure Resource Manager for one machine: backends, pools and named values of API Management, and function apps.

It refuses what the published REST definition refuses (arm_rules.py), keeps fields that it does not know, forgets
those that a PUT leaves out, and changes an ETag with every write. What goes wrong is switched on by `break_with`.
"""

import asyncio
import copy
import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from aiohttp import web

from lab import tokens, web_apps
from lab.arm_rules import (
    RefusalError,
    Resource,
    check_etag,
    check_pool,
    check_version,
    error_answer,
    properties_of,
    shown_as,
)

AUDIENCE = "https://management.azure.com"
API_VERSIONS = ("2024-05-01",)
PATH = re.compile(
    r"(?P<service>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.ApiManagement/service/[^/]+)"
    r"(?:/(?P<kind>backends|namedValues|tenant/operationResults)/(?P<name>[^/]+))?",
    re.IGNORECASE,
)


class Break(StrEnum):
    """What happens instead of, or after, the work of a request."""

    STATUS = "status"  # refused with `status`; nothing is applied
    STATUS_AFTER = "status_after"  # applied, then answered with `status` all the same
    DROP = "drop"  # the connection ends without an answer; nothing is applied
    DROP_AFTER = "drop_after"  # applied, then the connection ends without an answer
    HANG = "hang"  # no answer for `seconds`; nothing is applied
    HANG_AFTER = "hang_after"  # applied, then no answer for `seconds`
    JUNK = "junk"  # 200 with a page of HTML, as a proxy in between would answer
    MEDDLE = "meddle"  # somebody else writes first (`meddle`); then the request is handled as usual
    OPERATION = "operation"  # accepted, and the long-running operation ends Failed without having written
    STUCK = "stuck"  # accepted, and the long-running operation never ends


class Operations(StrEnum):
    """How a named value's PATCH is answered: three ways are published, the fourth is what people have met.

    (Azure/azure-sdk-for-python issue 40909, hashicorp/terraform-provider-azurerm 30217, Azure/apiops-cli 148)
    """

    ASYNC = "async"  # 202 with Azure-AsyncOperation and Location
    LOCATION = "location"  # 202 with Location alone
    AT_ONCE = "at_once"  # 200 with the resource: there is no operation
    MET = "met"  # 200 with both headers; what Azure-AsyncOperation names shows the resource, and no status


@dataclass(frozen=True)
class Fault:
    """What to break: requests of `method` ("" = any) whose path or query holds `path`, the next `times` of them."""

    kind: Break
    method: str = ""
    path: str = ""
    times: int | None = None  # None = until it is mended
    status: int = 503
    code: str = "ServiceUnavailable"
    message: str = "switched on in the lab"
    retry_after: str | None = None  # the header as it is sent; None = no header
    seconds: float = 30.0
    meddle: Callable[[], None] | None = None  # None = the resource is written as it is, so its ETag changes


@dataclass(frozen=True)
class Request:
    """One request as it arrived, without its token."""

    method: str
    path: str
    api_version: str
    if_match: str | None
    body: Any  # parsed JSON; None = there was none
    status: int | None  # None = no answer was given


@dataclass
class _Operation:
    resource: str
    due: float  # epoch seconds
    properties: dict[str, Any] | None  # None = it fails
    final: str  # where its result is


@dataclass
class _Switched:
    fault: Fault
    left: int | None
    number: int


class Arm:
    """The state and its server. Every method may be called from any thread, while it serves or before."""

    def __init__(
        self,
        *,
        operation_seconds: float = 0.05,
        operations: Operations = Operations.MET,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.operation_seconds = operation_seconds
        self.operations = operations
        self.web_apps = web_apps.WebApps()
        self.tier = "Developer"  # of every API Management service
        self._now = now
        self._lock = threading.RLock()
        self._resources: dict[str, Resource] = {}
        self._operations: dict[str, _Operation] = {}
        self._faults: list[_Switched] = []
        self._requests: list[Request] = []
        self._count = 0

    def app(self) -> web.Application:
        """Serve it with https: the SDK sends no token over plain http."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._handle)
        return app

    def backend(self, service: str, name: str, properties: Mapping[str, Any] | None = None) -> str:
        """Make or replace a single backend; returns its ARM id."""
        given = properties or {"url": f"https://{name}.example", "protocol": "http", "type": "Single"}
        return self._put(f"{service}/backends/{name}", given)

    def pool(self, service: str, name: str, weights: Mapping[str, int | None], **extra: Any) -> str:
        """Make or replace a pool of backends with these weights (None = without one); returns its ARM id.

        `extra` are further fields of `properties.pool`, such as those of later api-versions.
        """
        members: list[dict[str, Any]] = [
            {"id": f"{service}/backends/{member}"} | ({} if weight is None else {"weight": weight, "priority": 1})
            for member, weight in weights.items()
        ]
        inner = {"services": members} | extra
        return self._put(f"{service}/backends/{name}", {"type": "Pool", "pool": inner})

    def named_value(self, service: str, name: str, value: str, *, secret: bool = False) -> str:
        """Make or replace a named value; returns its ARM id."""
        return self._put(f"{service}/namedValues/{name}", {"displayName": name, "value": value, "secret": secret})

    def set_properties(self, arm_id: str, properties: Mapping[str, Any]) -> None:
        """Replace a resource's properties with anything, however wrong."""
        self._put(arm_id, properties)

    def set_weights(self, pool: str, weights: Mapping[str, int]) -> None:
        """A person changes weights in the portal: by backend name; the others keep theirs."""
        with self._lock:
            properties = copy.deepcopy(self._found(pool).properties)
            for member in properties["pool"]["services"]:
                name = member["id"].rsplit("/", 1)[-1]
                member["weight"] = weights.get(name, member.get("weight"))
            self._put(pool, properties)

    def set_value(self, named_value: str, value: str) -> None:
        """A person changes a named value in the portal."""
        with self._lock:
            self._put(named_value, self._found(named_value).properties | {"value": value})

    def delete(self, arm_id: str) -> None:
        """A person deletes it."""
        with self._lock:
            del self._resources[arm_id.lower()]

    def weights(self, pool: str) -> dict[str, int | None]:
        """By backend name, as stored."""
        return {
            member["id"].rsplit("/", 1)[-1]: member.get("weight")
            for member in self.properties(pool)["pool"]["services"]
        }

    def value(self, named_value: str) -> str:
        """The named value's value, as stored."""
        return str(self.properties(named_value)["value"])

    def properties(self, arm_id: str) -> dict[str, Any]:
        """A copy of a resource's properties, as stored."""
        with self._lock:
            self._settle()
            return copy.deepcopy(self._found(arm_id).properties)

    def etag(self, arm_id: str) -> str:
        """The resource's ETag now."""
        with self._lock:
            self._settle()
            return self._found(arm_id).etag

    def requests(self, method: str = "", path: str = "") -> list[Request]:
        """What arrived so far, in order: of this method ("" = any), with `path` in its path."""
        with self._lock:
            return [
                request
                for request in self._requests
                if method in ("", request.method) and path.lower() in request.path.lower()
            ]

    def break_with(self, fault: Fault) -> int:
        """Switch a fault on; the number mends it. Of several that fit a request, the first switched on acts."""
        with self._lock:
            self._count += 1
            self._faults.append(_Switched(fault, fault.times, self._count))
            return self._count

    def mend(self, number: int | None = None) -> None:
        """Switch a fault off; None = all of them."""
        with self._lock:
            self._faults = [fault for fault in self._faults if number not in (None, fault.number)]

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        text = await request.text()
        fault = self._take(request.method, request.path_qs)
        kind = fault.kind if fault else None
        answer: web.Response | None = None
        if fault and kind is Break.MEDDLE:
            self._meddle(fault, request.path)
        if kind not in (Break.STATUS, Break.DROP, Break.HANG, Break.JUNK):
            answer = self._work(request, text, kind)
        silent = kind in (Break.DROP, Break.DROP_AFTER, Break.HANG, Break.HANG_AFTER)
        if fault and kind in (Break.STATUS, Break.STATUS_AFTER):
            headers = {} if fault.retry_after is None else {"Retry-After": fault.retry_after}
            answer = error_answer(RefusalError(fault.status, fault.code, fault.message, headers))
        elif kind is Break.JUNK:
            answer = web.Response(text="<html><body>Welcome</body></html>", content_type="text/html")
        self._note(request, text, None if silent or answer is None else answer.status)
        if fault and kind in (Break.HANG, Break.HANG_AFTER):
            await _until_it_leaves(request, fault.seconds)
        if silent or answer is None:
            if request.transport is not None:
                request.transport.abort()
            return web.Response()  # goes nowhere: the connection has ended
        return answer

    def _take(self, method: str, path: str) -> Fault | None:
        with self._lock:
            for switched in self._faults:
                fault = switched.fault
                if fault.method in ("", method) and fault.path.lower() in path.lower():
                    if switched.left is not None:
                        switched.left -= 1
                        if switched.left <= 0:
                            self._faults.remove(switched)
                    return fault
            return None

    def _meddle(self, fault: Fault, path: str) -> None:
        if fault.meddle is not None:
            fault.meddle()
            return
        with self._lock:
            self._put(path, self._found(path).properties)

    def _note(self, request: web.Request, text: str, status: int | None) -> None:
        try:
            body = json.loads(text) if text else None
        except ValueError:
            body = text
        with self._lock:
            self._requests.append(
                Request(
                    request.method,
                    request.path,
                    request.query.get("api-version", ""),
                    request.headers.get("If-Match"),
                    body,
                    status,
                )
            )

    def _work(self, request: web.Request, text: str, kind: Break | None) -> web.Response:
        try:
            self._authenticate(request)
            if (site := web_apps.PATH.fullmatch(request.path)) is not None:
                return self._web_app(request, site.groupdict())
            words = self._admitted(request)
            if not words["kind"]:
                return self._service(words["service"])
            with self._lock:
                self._settle()
                if words["kind"].lower() == "tenant/operationresults":
                    return self._status(words["name"])
                if request.method == "GET" and (number := request.query.get("asyncId")) is not None:
                    return self._result(number)
                return self._resource(request, words, text, kind)
        except RefusalError as refusal:
            return error_answer(refusal)

    def _authenticate(self, request: web.Request) -> None:
        reason = tokens.wrong(request.headers.get("Authorization"), AUDIENCE)
        if reason is not None:
            challenge = {"WWW-Authenticate": f'Bearer authorization_uri="https://login.example", error="{reason}"'}
            raise RefusalError(401, "AuthenticationFailed", f"Authentication failed: {reason}.", challenge)

    def _web_app(self, request: web.Request, words: dict[str, str]) -> web.Response:
        check_version(request, web_apps.API_VERSIONS)
        found = self.web_apps.answer(request.method, words, request.url)
        if found is None:
            name = words["name"]
            message = f"The Resource 'Microsoft.Web/sites/{name}' under resource group was not found."
            raise RefusalError(404, "ResourceNotFound", message)
        return web.json_response(found)

    def _admitted(self, request: web.Request) -> dict[str, str]:
        check_version(request, API_VERSIONS)
        words = PATH.fullmatch(request.path)
        if words is None:
            raise RefusalError(404, "InvalidResourceType", "The resource type could not be found.")
        return words.groupdict("")

    def _service(self, path: str) -> web.Response:
        kind = "Microsoft.ApiManagement/service"
        shown = {"id": path, "name": path.rsplit("/", 1)[1], "type": kind, "location": "West Europe"}
        said = {"publisherName": "Lab", "publisherEmail": "lab@example.com", "provisioningState": "Succeeded"}
        return web.json_response(shown | {"sku": {"name": self.tier, "capacity": 1}, "properties": said})

    def _resource(self, request: web.Request, words: dict[str, str], text: str, kind: Break | None) -> web.Response:
        path = request.path
        found = self._resources.get(path.lower())
        if request.method in ("GET", "HEAD"):
            return self._shown(self._known(found, words), empty=request.method == "HEAD")
        if request.method not in ("PUT", "PATCH"):
            raise RefusalError(405, "MethodNotAllowed", "The lab's ARM knows GET, HEAD, PUT and PATCH.")
        if request.method == "PATCH":
            found = self._known(found, words)
        check_etag(request.headers.get("If-Match"), found)
        given = properties_of(text)
        properties = given if request.method == "PUT" or found is None else found.properties | given
        at_once = request.method == "PATCH" and self.operations is Operations.AT_ONCE
        if words["kind"].lower() == "namedvalues" and not at_once:
            return self._begin(request, path, properties, kind)
        if properties.get("type") == "Pool":
            check_pool(words["service"], properties, self._resources)
        self._put(path, properties)
        return self._shown(self._resources[path.lower()], status=201 if found is None else 200)

    def _begin(self, request: web.Request, path: str, properties: dict[str, Any], kind: Break | None) -> web.Response:
        """A named value is written by an operation: PUT names it by Azure-AsyncOperation, PATCH by Location.

        Both URLs are shaped like those of the definition's examples (ApiManagementUpdateNamedValue.json).
        """
        self._count += 1
        number = f"op{self._count}"
        due = float("inf") if kind is Break.STUCK else self._now() + self.operation_seconds
        written = None if kind is Break.OPERATION else properties
        self._operations[number] = _Operation(path.lower(), due, written, path)
        service = f"{request.url.origin()}{path[: path.lower().index('/namedvalues/')]}"
        status = f"{service}/tenant/operationResults/{number}?api-version={API_VERSIONS[0]}"
        result = f"{request.url.origin()}{path}?api-version={API_VERSIONS[0]}&asyncId={number}&asyncCode=200"
        body = shown_as(Resource(path, properties | {"provisioningState": "InProgress"}, etag=""))
        if request.method == "PATCH" and self.operations is Operations.MET:
            watched = f"{request.url.origin()}{path}?api-version={API_VERSIONS[0]}&azure-asyncId={number}"
            headers = {"Location": result, "Azure-AsyncOperation": watched, "ETag": self._resources[path.lower()].etag}
            return web.json_response(body, headers=headers)
        if request.method == "PATCH":
            named = {} if self.operations is Operations.LOCATION else {"Azure-AsyncOperation": status}
            return web.Response(status=202, headers={"Location": result} | named)
        return web.json_response(body, status=201, headers={"Azure-AsyncOperation": status})

    def _status(self, number: str) -> web.Response:
        """What Azure-AsyncOperation names: always 200, the state is in the body."""
        operation = self._operation(number)
        if operation.due > self._now():
            return web.json_response({"id": number, "status": "InProgress"})
        if operation.properties is None:
            error = {"code": "OperationFailed", "message": "switched on in the lab"}
            return web.json_response({"id": number, "status": "Failed", "error": error})
        return web.json_response({"id": number, "status": "Succeeded"})

    def _result(self, number: str) -> web.Response:
        """What Location names: 202 while it runs, then the resource or the error itself."""
        operation = self._operation(number)
        if operation.due > self._now():
            return web.Response(status=202)
        if operation.properties is None:
            raise RefusalError(409, "OperationFailed", "switched on in the lab")
        return self._shown(self._resources[operation.resource])

    def _operation(self, number: str) -> _Operation:
        if number not in self._operations:
            raise RefusalError(404, "ResourceNotFound", "There is no such operation.")
        return self._operations[number]

    def _settle(self) -> None:
        """Write what operations were due to write; each writes once."""
        for operation in self._operations.values():
            if operation.properties is not None and operation.final and operation.due <= self._now():
                self._put(operation.final, operation.properties)
                operation.final = ""

    def _shown(self, resource: Resource, *, status: int = 200, empty: bool = False) -> web.Response:
        headers = {"ETag": resource.etag}
        if empty:
            return web.Response(status=status, headers=headers)
        return web.json_response(shown_as(resource), status=status, headers=headers)

    def _known(self, found: Resource | None, words: dict[str, str]) -> Resource:
        if found is None:
            raise RefusalError(404, "ResourceNotFound", f"{words['kind'].capitalize()} not found.")
        return found

    def _put(self, path: str, properties: Mapping[str, Any]) -> str:
        with self._lock:
            self._count += 1
            known = self._resources.get(path.lower())
            kept = known.path if known else path
            etag = f'"AAAAAAAA{self._count:06X}="'
            self._resources[path.lower()] = Resource(kept, copy.deepcopy(dict(properties)), etag)
            return kept

    def _found(self, arm_id: str) -> Resource:
        return self._resources[arm_id.lower()]


async def _until_it_leaves(request: web.Request, seconds: float) -> None:
    """Say nothing for so long, or until the other side has closed the connection."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends and request.transport is not None and not request.transport.is_closing():
        await asyncio.sleep(0.02)
