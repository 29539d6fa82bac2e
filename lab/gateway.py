"""API Management for one machine: sends each request to a member of the pool by the weights that are in force.

New weights take effect after `propagation_seconds`, as they do at a regional gateway. The preview route opens by a
secret header and leads to the slot that the caller names, whatever the weights are. `x-slot` tells who answered.
"""

import asyncio
import hmac
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import aiohttp
import msgspec
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from lab.clock import Clock, wall
from lab.door import Door
from lab.serving import Authority, Serving
from lab.stopping import Stopping

PREVIEW_KEY = "x-canary-preview"
PREVIEW_SLOT = "x-canary-slot"
HOP_BY_HOP = frozenset(
    {"connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "host", "content-length"}
    | {PREVIEW_KEY, PREVIEW_SLOT}
)
CONNECTIONS = 200  # after a stall the backlog waits for these: opening a thousand more would prolong the stall
LOOKS_EACH_DELAY = 10  # at the weights, while `propagation_seconds` pass


class Member(msgspec.Struct, frozen=True):
    """One member of the pool, as the pool's body has it."""

    backend: str
    weight: int
    priority: int = 1


class Backend(msgspec.Struct, frozen=True):
    """Where a member leads: the slot's name (for the preview route) and its URL without a trailing slash."""

    slot: str
    url: str


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """How the gateway is set up."""

    propagation_seconds: float = 0.0  # from the write of new weights until requests follow them
    preview_key: str | None = None  # secret header of the preview route; None = there is no such route
    backend_seconds: float = 30.0  # until a silent slot becomes a 504


DEFAULT_RULES = Rules()


def members_of(pool: Mapping[str, Any]) -> tuple[Member, ...]:
    """The members in the `properties` of a pool's body. No weights at all is round robin: evenly.

    >>> members_of({"type": "Pool", "pool": {"services": [{"id": "/x/backends/blue-backend", "weight": 90}]}})
    (Member(backend='blue-backend', weight=90, priority=1),)
    """
    return tuple(
        Member(item["id"].rsplit("/", 1)[-1], _given(item, "weight"), _given(item, "priority"))
        for item in pool["pool"]["services"]
    )


def _given(item: Mapping[str, Any], key: str) -> int:
    value = item.get(key)
    return 1 if value is None else int(value)


def choose(members: Sequence[Member], draw: float) -> str | None:
    """The backend for a `draw` from [0, 1): by weight, in the best priority that has any; None = nobody.

    >>> pool = [Member("blue", 90), Member("green", 10), Member("spare", 50, priority=2)]
    >>> choose(pool, 0.0), choose(pool, 0.89), choose(pool, 0.91)
    ('blue', 'blue', 'green')
    >>> choose([Member("blue", 0), Member("green", 0)], 0.5) is None
    True
    """
    open_members = [member for member in members if member.weight > 0]
    if not open_members:
        return None
    best = min(member.priority for member in open_members)
    group = [member for member in open_members if member.priority == best]
    left = draw * sum(member.weight for member in group)
    for member in group:
        left -= member.weight
        if left < 0:
            return member.backend
    return group[-1].backend


class Gateway(Stopping):
    """`members` tells the pool as stored; `backends` leads from a backend's name to its slot.

    `log`, where given, gets one row of ApiManagementGatewayLogs for each request.
    """

    def __init__(
        self,
        members: Callable[[], Sequence[Member]],
        backends: Mapping[str, Backend],
        *,
        seed: int = 0,
        rules: Rules = DEFAULT_RULES,
        log: Callable[[dict[str, Any]], None] | None = None,
        clock: Clock = wall,
    ) -> None:
        self._members = members
        self._backends = dict(backends)
        self._slots = {backend.slot: backend for backend in backends.values()}
        self._generator = random.Random(f"{seed}/gateway")
        self._rules = rules
        self._log = log
        self._clock = clock
        self._in_force: tuple[Member, ...] = tuple(members())
        self._coming: list[tuple[float, tuple[Member, ...]]] = []  # what was stored, and when it takes effect
        self._serving: Serving | None = None
        self._door: Door | None = None
        self._session: aiohttp.ClientSession | None = None
        self._looking: asyncio.Task[None] | None = None  # None = weights are in force at once

    def serve(self, serving: Serving, authority: Authority | None = None) -> str:
        """Answer on loopback, https when there is an authority (see SlotApp.serve), and return the URL.

        Backends are trusted whatever their certificate: what is tried here is not the way to a slot.
        """
        self._serving = serving
        serving.run(self._begin())
        self._door = Door(serving, self._answer, authority)
        return self._door.open()

    def stop(self) -> None:
        """Free the port and the connections. Safe to call twice."""
        if self._serving is None:
            return
        if self._door is not None:
            self._door.close()
        self._serving.run(self._end())
        self._serving = None

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        if self._door is None:
            raise RuntimeError("the gateway is not served yet: call serve first")
        return self._door.url

    @property
    def in_force(self) -> tuple[Member, ...]:
        """The members by which requests are being sent now."""
        return self._in_force

    async def _begin(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=False, keepalive_timeout=30)
        timeout = aiohttp.ClientTimeout(total=self._rules.backend_seconds)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=timeout, auto_decompress=False, cookie_jar=aiohttp.DummyCookieJar()
        )
        if self._rules.propagation_seconds > 0:
            self._looking = asyncio.create_task(self._look())

    async def _end(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
        if self._session is not None:
            await self._session.close()

    async def _look(self) -> None:
        while True:
            self._weigh()
            await asyncio.sleep(max(self._rules.propagation_seconds / LOOKS_EACH_DELAY, 0.01))

    def _weigh(self) -> None:
        """Take over what has been stored for `propagation_seconds`, in the order in which it was stored."""
        now = time.monotonic()
        stored = tuple(self._members())
        if stored != (self._coming[-1][1] if self._coming else self._in_force):
            self._coming.append((now + self._rules.propagation_seconds, stored))
        while self._coming and self._coming[0][0] <= now:
            self._in_force = self._coming.pop(0)[1]

    def _backend(self, request: web.BaseRequest) -> Backend | None:
        given = request.headers.get(PREVIEW_KEY)
        key = self._rules.preview_key
        if given is not None and key is not None and hmac.compare_digest(given.encode(), key.encode()):
            return self._slots.get(request.headers.get(PREVIEW_SLOT, ""))
        if self._looking is None:
            self._weigh()
        name = choose(self._in_force, self._generator.random())
        return self._backends.get(name) if name is not None else None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        began, at = time.perf_counter(), self._clock()
        backend = self._backend(request)
        if backend is None:
            answer, backend_ms = web.Response(status=503, text="no backend of the pool takes requests"), None
        else:
            answer = await self._forward(request, backend)
            backend_ms = (time.perf_counter() - began) * 1000
        if self._log is not None:
            self._log(self._row(request, backend, answer.status, at, backend_ms))
        return answer

    async def _forward(self, request: web.BaseRequest, backend: Backend) -> web.Response:
        """The slot's answer; 500 when it refuses the connection and 504 when it keeps silent, as the gateway says."""
        if self._session is None:
            raise RuntimeError("the gateway is not served: call serve first")
        headers = CIMultiDict((k, v) for k, v in request.headers.items() if k.lower() not in HOP_BY_HOP)
        body = await request.read() if request.can_read_body else None
        url = URL(backend.url + request.raw_path, encoded=True)
        try:
            async with self._session.request(
                request.method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                content = await answer.read()
                kept = CIMultiDict((k, v) for k, v in answer.headers.items() if k.lower() not in HOP_BY_HOP)
                kept["x-slot"] = backend.slot
                return web.Response(status=answer.status, body=content, headers=kept)
        except TimeoutError:
            return web.Response(status=504, headers={"x-slot": backend.slot}, text="the backend did not answer")
        except aiohttp.ClientError:
            return web.Response(status=500, headers={"x-slot": backend.slot}, text="the backend cannot be reached")

    def _row(
        self, request: web.BaseRequest, backend: Backend | None, status: int, at: float, backend_ms: float | None
    ) -> dict[str, Any]:
        return {
            "TimeGenerated": at,
            "Method": request.method,
            "Url": str(request.url),
            "BackendUrl": None if backend is None else backend.url + request.raw_path,
            "BackendTime": backend_ms,
            "TotalTime": (self._clock() - at) * 1000,
            "BackendResponseCode": None if backend is None else status,
            "ResponseCode": status,
            "IsRequestSuccess": status < 400,
        }
