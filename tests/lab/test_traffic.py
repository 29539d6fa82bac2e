"""Callers do not wait for answers, count what they get, and leave when told."""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from lab.door import Door
from lab.serving import Serving
from lab.traffic import MIX, Answer, Operation, Traffic


@pytest.fixture
def serving() -> Iterator[Serving]:
    with Serving() as running:
        yield running


class Target:
    """Answers after `wait` seconds with `status`, and remembers the requests."""

    def __init__(self, serving: Serving) -> None:
        self.wait = 0.0
        self.status = 200
        self.paths: list[str] = []
        self.door = Door(serving, self.answer)
        self.door.open()

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.paths.append(f"{request.method} {request.path}")
        await asyncio.sleep(self.wait)
        return web.Response(status=self.status, headers={"x-slot": "green"})


@pytest.fixture
def target(serving: Serving) -> Iterator[Target]:
    made = Target(serving)
    yield made
    made.door.close()


def test_the_rate_holds_however_slow_the_answers_are(serving: Serving, target: Target) -> None:
    """An open loop: at 100 a second, answers that take a second do not thin the requests out."""
    target.wait = 1.0
    with Traffic(target.door.url, rate=100) as traffic:
        traffic.start(serving)
        time.sleep(1.0)
        assert 40 <= len(target.paths) <= 140  # 100 expected, standard deviation 10
    assert traffic.shed == 0


def test_answers_are_counted_by_slot_and_status(serving: Serving, target: Target, until: Callable[..., Any]) -> None:
    with Traffic(target.door.url, rate=300) as traffic:
        traffic.start(serving)
        until(lambda: traffic.answers[Answer("green", 200)], "good answers")
        target.status = 503
        until(lambda: traffic.answers[Answer("green", 503)], "bad answers")
        target.door.close()
        until(lambda: traffic.answers[Answer(None, None)], "no answers")


def test_the_mix_is_kept(serving: Serving, target: Target, until: Callable[..., Any]) -> None:
    mix = (Operation("GET", "/a/{number}", 1.0), Operation("POST", "/b", 3.0, b"{}"))
    with Traffic(target.door.url, rate=500, mix=mix) as traffic:
        traffic.start(serving)
        until(lambda: len(target.paths) >= 200, "200 requests")
    posts = sum(path == "POST /b" for path in target.paths)
    assert 0.6 < posts / len(target.paths) < 0.9
    assert all(path.startswith("GET /a/") and path[7:].isdecimal() for path in target.paths if path != "POST /b")


def test_the_default_mix_has_one_critical_route_at_half_a_percent() -> None:
    assert sum(operation.weight for operation in MIX) == 100
    assert [operation.weight for operation in MIX if operation.path == "/api/pay"] == [0.5]


def test_who_would_wait_beyond_the_limit_is_shed(serving: Serving, target: Target, until: Callable[..., Any]) -> None:
    target.wait = 60.0
    with Traffic(target.door.url, rate=300, in_flight=10) as traffic:
        traffic.start(serving)
        until(lambda: traffic.shed >= 20, "shed callers")
        assert len(target.paths) <= 10


def test_it_pauses_goes_on_and_stops(serving: Serving, target: Target, until: Callable[..., Any]) -> None:
    traffic = Traffic(target.door.url, rate=0)
    traffic.start(serving)
    time.sleep(0.15)
    assert target.paths == []
    traffic.rate = 300
    until(lambda: target.paths, "requests after the pause")
    traffic.stop()
    seen = len(target.paths)
    time.sleep(0.1)
    assert len(target.paths) == seen
    traffic.stop()


def test_the_same_seed_sends_the_same_requests(serving: Serving, target: Target, until: Callable[..., Any]) -> None:
    def paths(seed: int) -> list[str]:
        target.paths.clear()
        with Traffic(target.door.url, rate=200, seed=seed) as traffic:
            traffic.start(serving)
            until(lambda: len(target.paths) >= 40, "40 requests")
        return list(target.paths)

    first, again, other = paths(1), paths(1), paths(2)
    assert Counter(first[:20]) <= Counter(again[:40])  # they may overtake each other a little
    assert not Counter(other[:20]) <= Counter(again[:40])


def test_it_costs_little(serving: Serving, target: Target) -> None:
    """Waiting for the next caller is sleeping: an idle second takes a small part of a second of CPU."""
    with Traffic(target.door.url, rate=1) as traffic:
        traffic.start(serving)
        before = time.process_time()
        time.sleep(0.5)
        assert time.process_time() - before < 0.1
