"""An Event Grid topic for one machine: takes events in both schemas and delivers them at least once.

Publishing is as strict as Azure's (key or token, shape, size). Delivery tries again until it is answered with
success, then keeps what nobody took as dead letters. On request it delivers twice, late, and out of order.
"""

import asyncio
import json
import random
import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import aiohttp
import msgspec
from aiohttp import web

from lab import tokens

API_VERSION = "2018-01-01"
AUDIENCE = "https://eventgrid.azure.net"
MAX_BYTES = 1024 * 1024  # of one publish
EVENT_GRID = "application/json"
CLOUD_EVENT = "application/cloudevents+json"
CLOUD_EVENTS = "application/cloudevents-batch+json"
RETRIES = (0.1, 0.3, 1.0, 3.0, 5.0)  # seconds; Azure: 10 s, 30 s, 1 min, 5 min, ...
NOT_AGAIN = ("400", "401", "403", "413")  # a webhook that answers so is not called again
ANSWER_SECONDS = 30.0  # Azure waits no longer for an answer

Json = dict[str, Any]
Subscriber = Callable[[Json], None] | str


class Trouble(msgspec.Struct, frozen=True, kw_only=True):
    """What Event Grid may do to any event, done on purpose."""

    copies: int = 1  # deliveries of each event
    late_seconds: float = 0.0  # each delivery waits up to so long, at random
    shuffled: bool = False  # events of one publish are delivered in any order
    seed: int = 0


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """Who gets which events: a function (raising means not taken) or a URL (200 to 204 means taken)."""

    name: str
    to: Subscriber
    types: frozenset[str] | None = None  # None = all


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An event that nobody took."""

    subscription: str
    event: Json
    attempts: int
    reason: str


class Topic:
    """One topic. `events` holds everything that was published, `dead` what was given up.

    A topic of Azure takes one schema, that of its inputSchema: `takes` may be narrowed to it. As it is made, this one
    stands for the system topics too, which deliver in Event Grid's.
    """

    def __init__(self, trouble: Trouble | None = None) -> None:
        self.key = secrets.token_urlsafe(32)
        self.trouble = trouble or Trouble()
        self.events: list[Json] = []
        self.dead: list[DeadLetter] = []
        self.faults: list[tuple[int, dict[str, str]]] = []  # status and headers instead of taking the next publish
        self.retries = RETRIES
        self.takes = frozenset({EVENT_GRID, CLOUD_EVENT, CLOUD_EVENTS})  # content types
        self._random = random.Random(self.trouble.seed)
        self._subscriptions: list[Subscription] = []
        self._running: set[asyncio.Task[None]] = set()
        self._quiet = threading.Condition()
        self._open = 0

    def app(self) -> web.Application:
        """Serve it with https: clients send a key or a token. The topic's endpoint is `<url>/api/events`."""
        app = web.Application(client_max_size=2 * MAX_BYTES)
        app.router.add_post("/api/events", self._publish)
        app.on_shutdown.append(self._stop)
        return app

    def subscribe(self, subscription: Subscription) -> None:
        """From now on; events published before are not delivered."""
        self._subscriptions.append(subscription)

    def settle(self, seconds: float) -> bool:
        """Wait until every delivery is done or dead. False = the time is over."""
        with self._quiet:
            return self._quiet.wait_for(lambda: self._open == 0, seconds)

    async def _publish(self, request: web.Request) -> web.Response:
        if self.faults:
            status, headers = self.faults.pop(0)
            return _error(status, HTTPStatus(status).phrase.replace(" ", ""), "switched on in the lab", headers)
        if (refusal := self._refusal(request)) is not None:
            return _error(401, "Unauthorized", refusal)
        if request.query.get("api-version") != API_VERSION:
            return _error(400, "BadRequest", f"api-version must be {API_VERSION}")
        raw = await request.read()
        if len(raw) > MAX_BYTES:
            return _error(413, "PayloadTooLarge", f"{len(raw)} bytes, at most {MAX_BYTES}")
        if request.content_type not in self.takes:
            wanted = "EventGridEvent" if EVENT_GRID in self.takes else "CloudEventV10"
            return _error(400, "BadRequest", f"This resource is configured for '{wanted}' schema.")
        try:
            events = read(raw, request.content_type)
        except ValueError as error:
            return _error(400, "BadRequest", str(error))
        self.events += events
        self._deliver_all(events)
        return web.Response()

    def _refusal(self, request: web.Request) -> str | None:
        given = request.headers.get("aeg-sas-key")
        if given is not None:
            return None if secrets.compare_digest(given, self.key) else "the key is wrong"
        return tokens.wrong(request.headers.get("Authorization"), AUDIENCE)

    def _deliver_all(self, events: list[Json]) -> None:
        due = [(subscription, event) for event in events for subscription in self._subscriptions
               for _ in range(self.trouble.copies) if _wants(subscription, event)]  # fmt: skip
        if self.trouble.shuffled:
            self._random.shuffle(due)
        with self._quiet:
            self._open += len(due)
        for subscription, event in due:
            late = self._random.uniform(0.0, self.trouble.late_seconds)
            task = asyncio.get_running_loop().create_task(self._deliver(subscription, event, late))
            self._running.add(task)
            task.add_done_callback(self._running.discard)

    async def _deliver(self, subscription: Subscription, event: Json, late: float) -> None:
        try:
            if late:
                await asyncio.sleep(late)
            reason = ""
            for attempt, wait in enumerate((*self.retries, None), start=1):
                try:
                    reason = await _hand_over(subscription, event)
                except (aiohttp.ClientError, TimeoutError, OSError) as error:
                    reason = f"{type(error).__name__}: {error}"
                if not reason:
                    return
                if wait is None or reason.startswith(NOT_AGAIN):
                    letter = DeadLetter(subscription=subscription.name, event=event, attempts=attempt, reason=reason)
                    self.dead.append(letter)
                    return
                await asyncio.sleep(wait)
        finally:
            with self._quiet:
                self._open -= 1
                self._quiet.notify_all()

    async def _stop(self, _: web.Application) -> None:
        for task in list(self._running):
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def _hand_over(subscription: Subscription, event: Json) -> str:
    """One delivery; why it was not taken, or ""."""
    if not isinstance(subscription.to, str):
        try:
            await asyncio.wait_for(asyncio.to_thread(subscription.to, event), ANSWER_SECONDS)
        except Exception as error:  # noqa: BLE001  # whatever the subscriber raises means: not taken
            return f"{type(error).__name__}: {error}"
        return ""
    cloud = "specversion" in event
    headers = {
        "content-type": CLOUD_EVENT if cloud else EVENT_GRID,
        "aeg-event-type": "Notification",
        "aeg-subscription-name": subscription.name,
    }
    body = json.dumps(event if cloud else [event])
    timeout = aiohttp.ClientTimeout(total=ANSWER_SECONDS)
    async with (
        aiohttp.ClientSession(timeout=timeout) as session,
        session.post(subscription.to, data=body, headers=headers, ssl=False) as answer,
    ):
        return "" if 200 <= answer.status <= 204 else f"{answer.status} {await answer.text()}"


def read(raw: bytes, content_type: str) -> list[Json]:
    """The events of a publish, as they are delivered; ValueError names the event and the field."""
    try:
        body = json.loads(raw)
    except ValueError as error:
        raise ValueError(f"the body is no JSON: {error}") from error
    if content_type == CLOUD_EVENT:
        body = [body]
    if not isinstance(body, list) or not body:
        raise ValueError("the body must be a list of events")
    check = _event_grid_event if content_type == EVENT_GRID else _cloud_event
    return [check(number, event) for number, event in enumerate(body)]


def _event_grid_event(number: int, event: Any) -> Json:
    given = _fields(number, event, ("id", "subject", "eventType", "eventTime", "dataVersion"))
    _time(number, "eventTime", given["eventTime"])
    if "data" not in given:
        raise ValueError(f"event {number}: data is required")
    if "topic" in given:
        raise ValueError(f"event {number}: topic is set by Event Grid, leave it out")
    return {**given, "topic": "/subscriptions/lab/topics/lab", "metadataVersion": "1"}


def _cloud_event(number: int, event: Any) -> Json:
    given = _fields(number, event, ("id", "source", "type", "specversion"))
    if given["specversion"] != "1.0":
        raise ValueError(f"event {number}: specversion must be 1.0")
    if "time" in given:
        _time(number, "time", given["time"])
    if "data" in given and "data_base64" in given:
        raise ValueError(f"event {number}: data and data_base64 exclude each other")
    return given


def _fields(number: int, event: Any, names: tuple[str, ...]) -> Json:
    given: Json = event if isinstance(event, dict) else {}
    for name in names:
        if not isinstance(given.get(name), str) or not given[name]:
            raise ValueError(f"event {number}: {name} must be a text")
    return dict(given)


def _time(number: int, name: str, value: Any) -> None:
    try:
        datetime.fromisoformat(str(value))
    except ValueError as error:
        raise ValueError(f"event {number}: {name} must be a time such as 2026-11-24T05:28:00Z") from error


def _wants(subscription: Subscription, event: Json) -> bool:
    kind = event.get("eventType") or event.get("type")
    return subscription.types is None or kind in subscription.types


def _error(status: int, code: str, message: str, headers: dict[str, str] | None = None) -> web.Response:
    body = {"error": {"code": code, "message": f"{message} ({uuid4()})", "details": []}}
    return web.json_response(body, status=status, headers=headers)
