"""A Functions host for one app, as a process of its own: HTTP, Event Grid, timers and queues on loopback.

    python -m lab.host --app FOLDER --cert CERT --key KEY [--port P] [--queue FILE] [--lease SECONDS]

Prints `READY <url>` when it takes requests. SIGTERM and Ctrl-C end it within a second; with --with-parent so
does the end of standard input. LAB_HOST_KEY in the environment is the function key that callers must show.
"""

import argparse
import asyncio
import contextlib
import json
import logging
import os
import re
import signal
import ssl
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import web
from azure.functions.meta import Datum

from lab import schedules
from lab.clock import Clock, wall
from lab.host_config import HostConfig
from lab.host_http import Front
from lab.indexing import Indexed, Output, index, load
from lab.queues import Message, Queues
from lab.serving import LOOPBACK

log = logging.getLogger("lab.host")
SECRET_NAME = re.compile(r"KEY|SECRET|TOKEN|PASSWORD|WEBHOOK|CONNECTION|IDENTITY_HEADER", re.IGNORECASE)
SHORTEST_SECRET = 6  # characters; hiding every "1" would hide the log
POISON = "-poison"
LOOK_AGAIN_SECONDS = 1.0  # at the queue file, for messages that another process put there
STOP_SECONDS = 0.7  # for running invocations, when told to stop


class Scrubbing(logging.Formatter):
    """Writes the setting's name where a secret setting's value would have stood, tracebacks included."""

    def __init__(self, settings: Mapping[str, str]) -> None:
        super().__init__("%(asctime)s %(levelname)s %(name)s: %(message)s")
        secret = {v: k for k, v in settings.items() if SECRET_NAME.search(k) and len(v) >= SHORTEST_SECRET}
        self._secrets = sorted(secret.items(), key=lambda pair: -len(pair[0]))

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        for value, name in self._secrets:
            text = text.replace(value, f"<{name}>")
        return text


class Host:
    """One app's functions and what makes them run."""

    def __init__(
        self, functions: list[Indexed], config: HostConfig, queues: Queues, *, lease: float, clock: Clock
    ) -> None:
        self._functions = functions
        self._config = config
        self._queues = queues
        self._lease = lease
        self._clock = clock
        self._threads = ThreadPoolExecutor(min(32, (os.cpu_count() or 1) + 4), "function")  # the worker's default
        self._arrived = {f.trigger["queueName"]: asyncio.Event() for f in functions if f.kind == "queueTrigger"}
        for function in functions:
            if function.kind == "timerTrigger":
                schedules.check(function.trigger["schedule"])

    async def invoke(self, function: Indexed, datum: Datum, metadata: Mapping[str, Datum]) -> Datum | None:
        """Run it and send its queue outputs. A failure is logged with the function's name and raised."""
        began = time.monotonic()
        try:
            answer, outputs = await function.invoke(datum, metadata, self._threads)
            for output in outputs:
                self._send(function, output)
        except Exception as error:
            milliseconds = (time.monotonic() - began) * 1000
            log.exception("function %s failed after %.0f ms: %s", function.name, milliseconds, type(error).__name__)
            raise
        return answer

    def background(self) -> list[Any]:
        """Coroutines that run until cancelled: every timer and every queue listener."""
        timers = [self._timer(f) for f in self._functions if f.kind == "timerTrigger"]
        return timers + [self._listen(f) for f in self._functions if f.kind == "queueTrigger"]

    def _send(self, function: Indexed, output: Output) -> None:
        if output.binding["type"] != "queue":
            raise TypeError(f"function {function.name}: this host has no output binding {output.binding['type']!r}")
        queue = output.binding["queueName"]
        for body in _bodies(output.datum):
            self._queues.put(queue, body, self._clock())
        if queue in self._arrived:
            self._arrived[queue].set()

    async def _timer(self, function: Indexed) -> None:
        """One run at a time: the next occurrence is reckoned when the last run has ended."""
        if function.trigger.get("runOnStartup"):
            await self._fire(function, self._clock())
        while True:
            due = schedules.following(function.trigger["schedule"], self._clock())
            while (left := due - self._clock()) > 0:
                await asyncio.sleep(left)
            await self._fire(function, due)

    async def _fire(self, function: Indexed, due: float) -> None:
        following = schedules.following(function.trigger["schedule"], max(due, self._clock()))
        status = {"Last": _iso(due), "Next": _iso(following), "LastUpdated": _iso(self._clock())}
        body = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": status, "IsPastDue": False}
        await self._attempt(function, Datum(json.dumps(body), "json"), {})

    async def _attempt(self, function: Indexed, datum: Datum, metadata: Mapping[str, Datum]) -> bool:
        try:
            await self.invoke(function, datum, metadata)
        except Exception:  # noqa: BLE001  # logged in invoke; a timer and a queue go on
            return False
        return True

    async def _listen(self, function: Indexed) -> None:
        queue, config = function.trigger["queueName"], self._config
        running: set[asyncio.Task[None]] = set()
        arrived = self._arrived[queue]
        try:
            while True:
                arrived.clear()
                got: list[Message] = []
                if len(running) <= config.new_batch_threshold:
                    got = self._queues.receive(queue, self._clock(), limit=config.batch_size, lease=self._lease)
                for message in got:
                    task = asyncio.create_task(self._handle(function, message))
                    running.add(task)
                    task.add_done_callback(running.discard)
                    task.add_done_callback(lambda _: arrived.set())
                if not got:
                    await self._until_next(queue, arrived)
        finally:
            for task in running:
                task.cancel()

    async def _until_next(self, queue: str, arrived: asyncio.Event) -> None:
        wait = min(LOOK_AGAIN_SECONDS, self._config.max_polling_interval)
        visible = self._queues.next_visible(queue)
        now = self._clock()
        if visible is not None and visible > now:
            wait = min(wait, visible - now)
        try:
            await asyncio.wait_for(arrived.wait(), max(wait, 0.001))
        except TimeoutError:
            return

    async def _handle(self, function: Indexed, message: Message) -> None:
        """Delete after success; else show it again, and after the last try move it to the poison queue."""
        keeper = asyncio.create_task(self._keep(message))
        try:
            done = await self._attempt(function, Datum(message.body, "string"), _metadata(message))
        finally:
            keeper.cancel()
        now = self._clock()
        if done:
            self._queues.delete(message)
        elif message.queue.endswith(POISON):
            log.error("queue %s: message %s stays hidden until its lease ends", message.queue, message.id)
        elif message.dequeue_count >= self._config.max_dequeue_count:
            self._poison(message, now)
        else:
            self._queues.show_again(message, now + self._config.visibility_timeout)

    def _poison(self, message: Message, now: float) -> None:
        poison = message.queue + POISON
        log.error(
            "queue %s: message %s moved to %s after %d tries",
            message.queue,
            message.id,
            poison,
            message.dequeue_count,
        )
        self._queues.put(poison, message.body, now)
        self._queues.delete(message)
        if poison in self._arrived:
            self._arrived[poison].set()

    async def _keep(self, message: Message) -> None:
        """Prolong the lease while the function runs; after a kill nobody does, and the message comes back."""
        while True:
            await asyncio.sleep(self._lease / 2)
            self._queues.show_again(message, self._clock() + self._lease)


def _bodies(datum: Datum) -> list[str]:
    """The host sends a JSON array as one message for each element, anything else as one message."""
    text = datum.value.decode() if isinstance(datum.value, bytes) else str(datum.value)
    try:
        decoded = json.loads(text)
    except ValueError:
        return [text]
    if datum.type == "json" and isinstance(decoded, dict):
        return [_body(decoded)]
    return [_body(item) for item in decoded] if isinstance(decoded, list) else [text]


def _body(item: Any) -> str:
    if isinstance(item, dict) and set(item) == {"id", "body"}:  # a func.QueueMessage
        return str(item["body"])
    return item if isinstance(item, str) else json.dumps(item)


def _metadata(message: Message) -> dict[str, Datum]:
    def text(value: object) -> Datum:
        return Datum(json.dumps(value), "json")

    return {
        "Id": Datum(message.id, "string"),
        "PopReceipt": Datum(message.receipt, "string"),
        "DequeueCount": text(message.dequeue_count),
        "InsertionTime": text(_iso(message.inserted)),
        "ExpirationTime": text(_iso(message.inserted + 7 * 24 * 3600)),
        "NextVisibleTime": text(_iso(message.visible)),
    }


def _iso(epoch: float) -> str:
    return datetime.fromtimestamp(epoch, UTC).isoformat()


class Options(msgspec.Struct, frozen=True, kw_only=True):
    """The command line, read."""

    app: Path
    port: int
    cert: Path
    key: Path
    queue: Path | None
    lease: float
    with_parent: bool


def _options(arguments: list[str]) -> Options:
    parser = argparse.ArgumentParser(prog="python -m lab.host", description=__doc__)
    parser.add_argument("--app", type=Path, required=True, help="folder of function_app.py and host.json")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one")
    parser.add_argument("--cert", type=Path, required=True, help="certificate for https, PEM")
    parser.add_argument("--key", type=Path, required=True, help="its private key, PEM")
    parser.add_argument("--queue", type=Path, default=None, help="SQLite file of the queues; without it: in memory")
    parser.add_argument("--lease", type=float, default=600.0, help="seconds until a killed host's message comes back")
    parser.add_argument("--with-parent", action="store_true", help="end when standard input ends")
    given = parser.parse_args(arguments)
    return Options(
        app=given.app.resolve(),
        port=given.port,
        cert=given.cert.resolve(),
        key=given.key.resolve(),
        queue=given.queue.resolve() if given.queue else None,
        lease=given.lease,
        with_parent=given.with_parent,
    )


def _watch_parent(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    """Standard input is a pipe that only the parent holds open: when the parent is gone, so are we."""

    def wait() -> None:
        while os.read(0, 4096):
            pass
        loop.call_soon_threadsafe(stop.set)
        time.sleep(2 * STOP_SECONDS)  # the loop may be stuck: nothing outlives its parent
        os._exit(1)

    threading.Thread(target=wait, name="parent", daemon=True).start()


async def _serve(options: Options, functions: list[Indexed], key: str | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.with_parent:
        _watch_parent(loop, stop)
    config = HostConfig.read(options.app)
    queues = Queues(options.queue)
    host = Host(functions, config, queues, lease=options.lease, clock=wall)
    front = Front(functions, config.route_prefix, key, host.invoke)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    runner = web.AppRunner(front.application(), access_log=None, shutdown_timeout=STOP_SECONDS)
    await runner.setup()
    await web.TCPSite(runner, LOOPBACK, options.port, ssl_context=context).start()
    tasks = [asyncio.create_task(work) for work in host.background()]
    print(f"READY https://{LOOPBACK}:{runner.addresses[0][1]}", flush=True)
    os.dup2(2, 1)  # what functions print belongs to the log
    ended = asyncio.create_task(stop.wait())
    done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runner.cleanup(), 2 * STOP_SECONDS)
    queues.close()
    for task in done - {ended}:
        task.result()  # a timer or a listener never ends by itself: show why


def main(arguments: list[str]) -> int:
    """Index, serve until told to stop. 2 = the app cannot be indexed."""
    options = _options(arguments)
    key = os.environ.pop("LAB_HOST_KEY", None)
    settings = dict(os.environ)
    handler = logging.StreamHandler()
    handler.setFormatter(Scrubbing({**settings, **({"LAB_HOST_KEY": key} if key else {})}))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("azure").setLevel(logging.WARNING)
    os.chdir(options.app)
    try:
        functions = index(load(options.app), settings)
        asyncio.run(_serve(options, functions, key))
    except Exception:  # whatever the app raises when it is imported
        log.exception("the host of %s ends", options.app)
        return 2
    return 0


if __name__ == "__main__":
    code = main(sys.argv[1:])
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)  # a handler that hangs in its thread must not keep the process
