"""Callers: an open loop of requests at a given rate, whatever the answers are, and a count of the answers."""

import asyncio
import random
from collections import Counter
from collections.abc import Sequence

import aiohttp
import msgspec
from yarl import URL

from lab.serving import Serving
from lab.stopping import Stopping

CONNECTIONS = 200  # after a stall the backlog waits for these: opening a thousand more would prolong the stall
BEHIND_SECONDS = 1.0  # callers that a stalled machine is late for are not made up for beyond this


class Operation(msgspec.Struct, frozen=True):
    """One kind of request; `weight` is its part in the mix. `{number}` in the path becomes a number."""

    method: str
    path: str
    weight: float
    body: bytes | None = None


MIX = (
    Operation("GET", "/api/hello", 40.0),
    Operation("GET", "/api/items/{number}", 34.5),
    Operation("GET", "/api/search?q=canary", 20.0),
    Operation("POST", "/api/orders", 5.0, b'{"item": 7}'),
    Operation("POST", "/api/pay", 0.5, b'{"amount": 12.5}'),
)


class Answer(msgspec.Struct, frozen=True):
    """What is counted of an answer."""

    slot: str | None  # None = no slot answered
    status: int | None  # None = no answer at all


class Traffic(Stopping):
    """Sends `rate` requests a second to `url` from `start` to `stop`; `rate` may be changed at any time.

    At most `in_flight` wait for an answer at once; who would be one more is counted in `shed` instead.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        seed: int = 0,
        mix: Sequence[Operation] = MIX,
        in_flight: int = 1000,
        timeout_seconds: float = 10.0,
    ) -> None:
        self.rate = rate
        self.answers: Counter[Answer] = Counter()
        self.shed = 0
        self._url = url
        self._generator = random.Random(f"{seed}/traffic")
        self._mix = list(mix)
        self._weights = [operation.weight for operation in mix]
        self._in_flight = in_flight
        self._timeout = aiohttp.ClientTimeout(total=timeout_seconds)
        self._serving: Serving | None = None  # None = not running
        self._session: aiohttp.ClientSession | None = None
        self._calling: asyncio.Task[None] | None = None
        self._calls: set[asyncio.Task[None]] = set()

    def start(self, serving: Serving) -> None:
        """Begin to send."""
        self._serving = serving
        serving.run(self._begin())

    def stop(self) -> None:
        """Send no more and let go of what waits for an answer. Safe to call twice."""
        if self._serving is not None:
            self._serving.run(self._end())
            self._serving = None

    async def _begin(self) -> None:
        connector = aiohttp.TCPConnector(limit=CONNECTIONS, ssl=False, keepalive_timeout=30)
        self._session = aiohttp.ClientSession(
            connector=connector, timeout=self._timeout, cookie_jar=aiohttp.DummyCookieJar()
        )
        self._calling = asyncio.create_task(self._call_on(self._session))

    async def _end(self) -> None:
        tasks = [*self._calls, *([self._calling] if self._calling else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _call_on(self, session: aiohttp.ClientSession) -> None:
        """Arrivals are independent of each other and of the answers: exponential gaps."""
        clock = asyncio.get_running_loop().time
        due = clock()
        while True:
            if self.rate <= 0:
                await asyncio.sleep(0.05)
                due = clock()
                continue
            due = max(due + self._generator.expovariate(self.rate), clock() - BEHIND_SECONDS)
            if (wait := due - clock()) > 0:
                await asyncio.sleep(wait)
            if len(self._calls) >= self._in_flight:
                self.shed += 1
                continue
            task = asyncio.create_task(self._call(session, *self._next()))
            self._calls.add(task)
            task.add_done_callback(self._calls.discard)

    def _next(self) -> tuple[Operation, str]:
        operation = self._generator.choices(self._mix, self._weights)[0]
        return operation, operation.path.replace("{number}", str(self._generator.randrange(1000)))

    async def _call(self, session: aiohttp.ClientSession, operation: Operation, path: str) -> None:
        headers = {"content-type": "application/json"} if operation.body else None
        try:
            async with session.request(
                operation.method, URL(self._url + path, encoded=True), data=operation.body, headers=headers
            ) as answer:
                await answer.read()
                seen = Answer(answer.headers.get("x-slot"), answer.status)
        except (aiohttp.ClientError, TimeoutError):
            seen = Answer(None, None)
        self.answers[seen] += 1
