"""Blue and green: the sample function as function apps of several instances, with telemetry and with faults.

A slot loads sample_function's `function_app.py` once for each instance and answers over HTTP through
azure-functions' own converters. Each invocation leaves the row that Application Insights would hold.
"""

import asyncio
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from enum import StrEnum

import msgspec
from aiohttp import web

from lab.clock import Clock, wall
from lab.door import Door
from lab.host_http import Route, request_datum, response, route_of
from lab.indexing import Indexed, index
from lab.kql_engine import AppRequest
from lab.serving import Authority, Serving
from lab.stopping import Stopping
from sample_function.function_app import build

HEALTH = "/api/health"
NEVER = float("inf")
Setting = str | float


class HealthFault(StrEnum):
    """What the health URL does instead of answering."""

    HTML = "html"  # 200 with a page, as a proxy in front of a stopped app gives
    REDIRECT = "redirect"  # 302 to a login page
    HANG = "hang"  # no answer while the fault lasts
    UNAVAILABLE = "unavailable"  # 503


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """How a slot is run."""

    instances: int = 3
    restart_seconds: float = 1.0  # a deployment's: old instances go and new ones come one by one, in equal steps
    cold_seconds: float = 0.2  # what the first request of an instance waits


DEFAULT_SHAPE = Shape()


class Result(msgspec.Struct, frozen=True):
    """Of one invocation. The host says success to a 500 that the code returns, and failure to an exception."""

    success: bool
    answer: web.Response


class Instance:
    """One running copy of a version. It takes requests from `since` to `until`, epoch seconds."""

    def __init__(self, name: str, settings: Mapping[str, str], generator: random.Random, since: float) -> None:
        self.name = name
        self.since = since
        self.until = NEVER
        self.warm_at: float | None = None  # None = no request has woken it yet
        self._generator = generator
        self.settings: dict[str, str] = {}
        self.routes: list[tuple[Route, Indexed]] = []
        self.load(settings)

    def load(self, settings: Mapping[str, str]) -> None:
        """Load function_app.py with these app settings."""
        functions = index(build(settings, self._generator), settings)
        self.settings = dict(settings)
        self.routes = [(route_of(function, "api"), function) for function in functions]


class SlotApp(Stopping):
    """One slot. Its methods may be called from any thread; `record` is called on the serving loop.

    `crash_percent`: requests that end in a 502 and leave no row. `health_fault`: what is wrong with the health
    URL; None = nothing.
    """

    def __init__(
        self,
        slot: str,
        role_name: str,
        record: Callable[[AppRequest], None],
        *,
        shape: Shape = DEFAULT_SHAPE,
        seed: int = 0,
        clock: Clock = wall,
    ) -> None:
        self.slot = slot
        self.role_name = role_name
        self.crash_percent = 0.0
        self.health_fault: HealthFault | None = None
        self.version = ""  # of the last deployment
        self._record = record
        self._shape = shape
        self._seed = seed
        self._clock = clock
        self._generator = random.Random(f"{seed}/{slot}")
        self._deployments = 0
        self._instances: tuple[Instance, ...] = ()
        self._door: Door | None = None  # None = not served yet
        self._threads = ThreadPoolExecutor(4, f"{slot}-function")

    def serve(self, serving: Serving, authority: Authority | None = None) -> str:
        """Answer on loopback, https when there is an authority, and return the URL.

        Traffic wants plain http: with https, a burst of new connections (400 requests a second on a busy machine)
        costs so many handshakes that it never catches up.
        """
        self._door = Door(serving, self._answer, authority)
        return self._door.open()

    def stop(self) -> None:
        """Free the port and the threads. Safe to call twice."""
        self.die()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        if self._door is None:
            raise RuntimeError(f"the slot {self.slot} is not served yet: call serve first")
        return self._door.url

    def die(self) -> None:
        """Refuse connections, as an app that is stopped."""
        if self._door is not None:
            self._door.close()

    def revive(self) -> None:
        """Answer again, at the same URL."""
        if self._door is not None:
            self._door.open()

    def deploy(self, version: str, **settings: Setting) -> float:
        """Replace code and settings; returns when the last old instance goes, epoch seconds."""
        now = self._clock()
        self._deployments += 1
        self.version = version
        given = {"APP_VERSION": version, "SLOT_NAME": self.slot, **_strings(settings)}
        running = [instance for instance in self._instances if instance.until > now]
        wait = self._shape.restart_seconds if running else 0.0  # the first deployment replaces nothing
        fresh = []
        for number in range(self._shape.instances):
            since = now + wait * (number + 1) / self._shape.instances
            name = f"{self.slot}-{self._deployments}-{number}"
            fresh.append(Instance(name, given, random.Random(f"{self._seed}/{name}"), since))
        for number, instance in enumerate(running):
            instance.until = min(instance.until, now + wait * (number + 1) / len(running))
        self._instances = (*running, *fresh)
        return now + wait

    def behave(self, *, instance: int | None = None, **settings: Setting) -> None:
        """Change settings without a restart, as when a dependency breaks: of all instances, or of one alone."""
        now = self._clock()
        running = [each for each in self._instances if each.until > now]
        for each in running if instance is None else [running[instance]]:
            each.load({**each.settings, **_strings(settings)})

    def instances(self) -> list[str]:
        """Names of those that take requests now."""
        return [instance.name for instance in self._taking(self._clock())]

    def _taking(self, now: float) -> list[Instance]:
        return [instance for instance in self._instances if instance.since <= now < instance.until]

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path == HEALTH and self.health_fault is not None:
            return await self._sick_health()
        if self.crash_percent and request.path != HEALTH and self._generator.random() * 100 < self.crash_percent:
            return web.Response(status=502, text="the worker process ended")
        now = self._clock()
        taking = self._taking(now)
        if not taking:
            return web.Response(status=503, text="nothing is deployed to this slot")
        instance = taking[int(self._generator.random() * len(taking))]
        for route, function in instance.routes:
            parameters = route.match(request.method, request.path)
            if parameters is not None:
                return await self._run(request, parameters, instance, function)
        return web.Response(status=404)

    async def _run(
        self, request: web.BaseRequest, parameters: dict[str, str], instance: Instance, function: Indexed
    ) -> web.Response:
        began = self._clock()
        url = f"{self.url}{request.rel_url}"
        body = await request.read() if request.can_read_body else b""
        await self._wake(instance, began)
        datum = request_datum(request, body, parameters, url)
        try:
            returned, _ = await function.invoke(datum, {}, self._threads)
            result = Result(True, response(returned))
        except Exception:  # noqa: BLE001  # whatever the sample function raises is a failed request
            result = Result(False, web.Response(status=500))
        self._record(self._row(function, url, instance, began, result))
        return result.answer

    def _row(self, function: Indexed, url: str, instance: Instance, began: float, result: Result) -> AppRequest:
        return AppRequest(
            TimeGenerated=datetime.fromtimestamp(began, UTC),
            AppRoleName=self.role_name,
            AppRoleInstance=instance.name,
            AppVersion=instance.settings["APP_VERSION"],
            Name=function.name,
            OperationName=function.name,
            OperationId=f"{self._generator.getrandbits(128):032x}",
            Id=f"{self._generator.getrandbits(64):016x}",
            Url=url,
            Success=result.success,
            ResultCode=str(result.answer.status),
            DurationMs=(self._clock() - began) * 1000,
        )

    async def _wake(self, instance: Instance, now: float) -> None:
        """The first request of an instance starts it; those that come meanwhile wait as well."""
        if instance.warm_at is None:
            instance.warm_at = now + self._shape.cold_seconds
        if instance.warm_at > now:
            await asyncio.sleep(instance.warm_at - now)

    async def _sick_health(self) -> web.Response:
        match self.health_fault:
            case HealthFault.HTML:
                return web.Response(
                    text="<html><body>Your app is up and running.</body></html>", content_type="text/html"
                )
            case HealthFault.REDIRECT:
                return web.Response(status=302, headers={"location": "https://login.example/"})
            case HealthFault.HANG:
                while self.health_fault is HealthFault.HANG:
                    await asyncio.sleep(0.1)
        return web.Response(status=503, text="Service Unavailable")


def _strings(settings: Mapping[str, Setting]) -> dict[str, str]:
    return {name: str(value) for name, value in settings.items()}
