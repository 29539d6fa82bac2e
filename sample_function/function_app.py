"""The sample service: a small shop whose app settings make it fail, reject or slow down on purpose.

APP_VERSION and SLOT_NAME say what it is; FAIL_PERCENT, REJECT_PERCENT and SLOW_MS what it does to its callers, and
FAIL_ROUTE which route alone fails. Nonsense in a setting is told by /api/health, with what to write instead.
A pipeline writes the version into version.txt in the package, so that code and version change in one deployment.
"""

import asyncio
import json
import logging
import os
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import azure.functions as func

log = logging.getLogger("shop")
ROUTES = ("hello", "items", "search", "orders", "pay")
SLOTS = ("blue", "green")
SLOWEST_MS = 60_000.0
SPREAD = 0.2  # of the logarithm of a wait: most lie within 40 % of SLOW_MS, as in a real service

Work = Callable[[func.HttpRequest], tuple[int, dict[str, Any]]]
Handler = Callable[[func.HttpRequest], Awaitable[func.HttpResponse]]


class SettingsError(Exception):
    """App settings that make no sense: every one of them, with what to write."""


@dataclass(frozen=True)
class Behaviour:
    """What the app settings ask for."""

    version: str
    slot: str
    fail_percent: float
    reject_percent: float
    slow_ms: float  # median wait before an answer; 0 = none
    fail_route: str | None  # FAIL_PERCENT is meant for this route alone; None = for all

    @classmethod
    def read(cls, settings: Mapping[str, str]) -> "Behaviour":
        """From the app settings; SettingsError names every setting that is wrong.

        >>> Behaviour.read({"APP_VERSION": "1.4.2", "SLOT_NAME": "green", "FAIL_PERCENT": "2.5"}).fail_percent
        2.5
        """
        problems: list[str] = []
        version = settings.get("APP_VERSION", "").strip()
        if not version:
            problems.append("APP_VERSION is not set: write the version of this deployment, such as 1.4.2")
        slot = settings.get("SLOT_NAME", "").strip().lower()
        if slot not in SLOTS:
            problems.append(f"SLOT_NAME is {slot!r}: write blue or green")
        route = settings.get("FAIL_ROUTE", "").strip().strip("/") or None
        if route is not None and route not in ROUTES:
            problems.append(f"FAIL_ROUTE is {route!r}: write one of {', '.join(ROUTES)}")
        behaviour = cls(
            version=version,
            slot=slot,
            fail_percent=_number(settings, "FAIL_PERCENT", 100.0, problems),
            reject_percent=_number(settings, "REJECT_PERCENT", 100.0, problems),
            slow_ms=_number(settings, "SLOW_MS", SLOWEST_MS, problems),
            fail_route=route,
        )
        if problems:
            raise SettingsError("; ".join(problems))
        return behaviour


def _number(settings: Mapping[str, str], name: str, most: float, problems: list[str]) -> float:
    text = settings.get(name, "").strip() or "0"
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 <= value <= most:  # catches nan as well
        problems.append(f"{name} is {text!r}: write a number from 0 to {most:g}")
        return 0.0
    return value


def build(settings: Mapping[str, str], generator: random.Random) -> func.FunctionApp:
    """The app for these settings; `generator` decides which requests fail, are rejected and how long they take.

    Everything is anonymous: API Management is the door, and the analyzer reads /api/health without a key.
    """
    app = func.FunctionApp(http_auth_level=func.AuthLevel.ANONYMOUS)
    try:
        behaviour: Behaviour | SettingsError = Behaviour.read(settings)
    except SettingsError as error:
        behaviour = error
    _add(app, "hello", "hello", "GET", _operation(behaviour, generator, "hello", _hello))
    _add(app, "items", "items/{id}", "GET", _operation(behaviour, generator, "items", _item))
    _add(app, "search", "search", "GET", _operation(behaviour, generator, "search", _search))
    _add(app, "orders", "orders", "POST", _operation(behaviour, generator, "orders", _order))
    _add(app, "pay", "pay", "POST", _operation(behaviour, generator, "pay", _pay))
    _add(app, "health", "health", "GET", _plain(behaviour))
    _add(app, "warmup", "warmup", "GET", _plain(behaviour))
    return app


def _add(app: func.FunctionApp, name: str, route: str, method: str, handler: Handler) -> None:
    async def handle(req: func.HttpRequest) -> func.HttpResponse:
        return await handler(req)

    app.function_name(name)(app.route(route=route, methods=[method])(handle))


def _plain(behaviour: Behaviour | SettingsError) -> Handler:
    """Health and warm-up: they tell of the settings, and neither fail nor wait on purpose."""

    async def handle(req: func.HttpRequest) -> func.HttpResponse:  # the trigger's binding
        if isinstance(behaviour, SettingsError):
            return _answer(503, {"status": "wrong app settings", "error": str(behaviour)})
        return _answer(200, {"status": "ok"}, behaviour)

    return handle


def _operation(behaviour: Behaviour | SettingsError, generator: random.Random, name: str, work: Work) -> Handler:
    """`work` behind the waits, failures and rejections that the settings ask for, logged as one line of JSON."""

    async def handle(req: func.HttpRequest) -> func.HttpResponse:
        if isinstance(behaviour, SettingsError):
            return _answer(500, {"error": str(behaviour)})
        began = time.perf_counter()
        if behaviour.slow_ms:
            await asyncio.sleep(behaviour.slow_ms * generator.lognormvariate(0.0, SPREAD) / 1000)
        status, body = _fate(behaviour, generator, name) or work(req)
        if log.isEnabledFor(logging.INFO):
            milliseconds = round((time.perf_counter() - began) * 1000, 1)
            line = {"operation": name, "method": req.method, "status": status, "milliseconds": milliseconds}
            log.info(json.dumps({**line, "version": behaviour.version, "slot": behaviour.slot}))
        return _answer(status, body, behaviour)

    return handle


def _fate(behaviour: Behaviour, generator: random.Random, name: str) -> tuple[int, dict[str, Any]] | None:
    """A rejection, a failure (half are exceptions, half 500s that the code returns), or None: do the work."""
    if generator.random() * 100 < behaviour.reject_percent:
        return 401, {"error": "rejected on purpose (REJECT_PERCENT)"}
    if behaviour.fail_route in (None, name) and generator.random() * 100 < behaviour.fail_percent:
        if generator.random() < 0.5:
            raise RuntimeError("failed on purpose (FAIL_PERCENT)")
        return 500, {"error": "failed on purpose (FAIL_PERCENT)"}
    return None


def _answer(status: int, body: dict[str, Any], behaviour: Behaviour | None = None) -> func.HttpResponse:
    headers = {}
    if behaviour is not None:
        headers = {"x-version": behaviour.version, "x-slot": behaviour.slot}
        body = {"version": behaviour.version, "slot": behaviour.slot, **body}
    return func.HttpResponse(json.dumps(body), status_code=status, headers=headers, mimetype="application/json")


def _hello(req: func.HttpRequest) -> tuple[int, dict[str, Any]]:
    return 200, {"message": f"Hello, {req.params.get('name', 'world')}"}


def _item(req: func.HttpRequest) -> tuple[int, dict[str, Any]]:
    number = req.route_params.get("id", "")
    if not number.isdecimal():
        return 404, {"error": f"there is no item {number!r}: items have numbers"}
    return 200, {"id": int(number), "name": f"Item {number}", "price": 1 + int(number) % 100}


def _search(req: func.HttpRequest) -> tuple[int, dict[str, Any]]:
    query = req.params.get("q", "")
    return 200, {"query": query, "items": [len(query) + number for number in range(3)]}


def _order(req: func.HttpRequest) -> tuple[int, dict[str, Any]]:
    order = _json(req)
    if not isinstance(order.get("item"), int):
        return 400, {"error": 'an order is {"item": <number>}'}
    return 201, {"order": order["item"]}


def _pay(req: func.HttpRequest) -> tuple[int, dict[str, Any]]:
    payment = _json(req)
    amount = payment.get("amount")
    if not isinstance(amount, int | float) or amount <= 0:
        return 400, {"error": 'a payment is {"amount": <positive number>}'}
    return 200, {"paid": amount}


def _json(req: func.HttpRequest) -> dict[str, Any]:
    try:
        decoded = req.get_json()
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}


def packaged_version(folder: Path) -> dict[str, str]:
    """APP_VERSION from version.txt of the package; nothing where there is none."""
    file = folder / "version.txt"
    return {"APP_VERSION": file.read_text().strip()} if file.is_file() else {}


app = build({**packaged_version(Path(__file__).parent), **os.environ}, random.Random())
