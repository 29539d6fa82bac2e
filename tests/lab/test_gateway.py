"""The gateway sends requests where the pool's weights say, when they are in force, and forwards them whole."""

import asyncio
import json
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import requests
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st

from lab.arm import Arm
from lab.door import Door
from lab.gateway import Backend, Gateway, Member, Rules, choose, members_of
from lab.serving import Serving

KEY = "preview-key-of-the-test"


class Pool:
    """Two backends that tell what they were asked, and a gateway before them."""

    def __init__(self, serving: Serving, **more: Any) -> None:
        self.members = [Member("blue-backend", 100), Member("green-backend", 0)]
        self.doors = {slot: Door(serving, self.answering(slot)) for slot in ("blue", "green")}
        backends = {f"{slot}-backend": Backend(slot, door.open()) for slot, door in self.doors.items()}
        members = more.pop("members", lambda: self.members)
        self.gateway = Gateway(members, backends, seed=3, **more)
        self.url = self.gateway.serve(serving)
        self.session = requests.Session()
        self.session.trust_env = False

    def answering(self, slot: str) -> Callable[[web.BaseRequest], Any]:
        async def answer(request: web.BaseRequest) -> web.Response:
            if request.path == "/hang":
                await self.released.wait()
            seen = {
                "slot": slot,
                "method": request.method,
                "path": request.raw_path,
                "headers": dict(request.headers),
                "body": (await request.read()).decode(),
            }
            status = 418 if request.path == "/teapot" else 200
            return web.Response(status=status, text=json.dumps(seen), headers={"x-own": "kept"})

        return answer

    def ask(self, path: str = "/", method: str = "GET", **more: Any) -> requests.Response:
        return self.session.request(method, self.url + path, timeout=5, allow_redirects=False, **more)

    def stop(self) -> None:
        self.session.close()
        self.gateway.stop()
        for door in self.doors.values():
            door.close()


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as running:
        yield running


@pytest.fixture
def new_pool(serving: Serving) -> Iterator[Callable[..., Pool]]:
    made: list[Pool] = []

    def make(**more: Any) -> Pool:
        made.append(Pool(serving, **more))
        return made[-1]

    yield make
    for pool in made:
        pool.stop()


class TestChoice:
    @given(st.lists(st.tuples(st.integers(0, 100), st.integers(0, 5)), max_size=6), st.floats(0, 1, exclude_max=True))
    def test_only_members_with_weight_in_the_best_priority_are_chosen(
        self, pool: list[tuple[int, int]], draw: float
    ) -> None:
        members = [Member(str(n), weight, priority) for n, (weight, priority) in enumerate(pool)]
        able = [member for member in members if member.weight]
        chosen = choose(members, draw)
        if not able:
            assert chosen is None
        else:
            best = min(member.priority for member in able)
            assert chosen in {member.backend for member in able if member.priority == best}

    @given(st.integers(0, 100), st.integers(0, 100))
    def test_each_gets_its_part(self, blue: int, green: int) -> None:
        """Of 1000 evenly spread draws, to within one; weights are relative: 3 and 1 is a legal pool."""
        seen = Counter(choose([Member("b", blue), Member("g", green)], (n + 0.5) / 1000) for n in range(1000))
        if blue + green:
            assert abs(seen["b"] - 1000 * blue / (blue + green)) <= 1
            assert seen["b"] + seen["g"] == 1000
        else:
            assert seen == {None: 1000}


class TestWeights:
    def test_requests_follow_the_weights(self, new_pool: Callable[..., Pool]) -> None:
        pool = new_pool()
        pool.members = [Member("blue-backend", 3), Member("green-backend", 1)]
        seen = Counter(pool.ask().headers["x-slot"] for _ in range(400))
        assert 70 <= seen["green"] <= 130  # 100 expected, standard deviation 8.7

    def test_weight_0_receives_nothing(self, new_pool: Callable[..., Pool]) -> None:
        pool = new_pool()
        assert {pool.ask().json()["slot"] for _ in range(100)} == {"blue"}

    def test_new_weights_are_in_force_after_the_propagation_and_not_before(
        self, new_pool: Callable[..., Pool], until: Callable[..., Any]
    ) -> None:
        pool = new_pool(rules=Rules(propagation_seconds=0.3))
        pool.members = [Member("blue-backend", 0), Member("green-backend", 100)]
        assert {pool.ask().json()["slot"] for _ in range(20)} == {"blue"}
        until(lambda: pool.gateway.in_force == tuple(pool.members), "the new weights without any request", 2)
        assert {pool.ask().json()["slot"] for _ in range(20)} == {"green"}

    def test_of_two_writes_the_last_stays_in_force(
        self, new_pool: Callable[..., Pool], until: Callable[..., Any]
    ) -> None:
        pool = new_pool(rules=Rules(propagation_seconds=0.1))
        for green in (10, 50, 100):
            pool.members = [Member("blue-backend", 100 - green), Member("green-backend", green)]
            pool.ask()
        until(lambda: pool.gateway.in_force == tuple(pool.members), "the last weights", 2)
        time.sleep(0.15)
        assert {pool.ask().json()["slot"] for _ in range(20)} == {"green"}

    def test_without_a_backend_the_answer_is_503(self, new_pool: Callable[..., Pool]) -> None:
        pool = new_pool()
        pool.members = [Member("blue-backend", 0), Member("green-backend", 0)]
        assert pool.ask().status_code == 503
        pool.members = []
        assert pool.ask().status_code == 503
        pool.members = [Member("purple-backend", 100)]
        assert pool.ask().status_code == 503


class TestPreview:
    RULES = Rules(preview_key=KEY)

    def test_the_secret_header_leads_to_the_named_slot_whatever_the_weights(
        self, new_pool: Callable[..., Pool]
    ) -> None:
        pool = new_pool(rules=self.RULES)
        answer = pool.ask(headers={"x-canary-preview": KEY, "x-canary-slot": "green"})
        assert answer.json()["slot"] == "green"
        assert KEY not in answer.text

    @pytest.mark.parametrize("headers", [{"x-canary-preview": "wrong"}, {}])
    def test_without_it_the_weights_decide(self, new_pool: Callable[..., Pool], headers: dict[str, str]) -> None:
        pool = new_pool(rules=self.RULES)
        assert pool.ask(headers={**headers, "x-canary-slot": "green"}).json()["slot"] == "blue"

    def test_without_a_key_there_is_no_preview_route(self, new_pool: Callable[..., Pool]) -> None:
        assert new_pool().ask(headers={"x-canary-preview": "", "x-canary-slot": "green"}).json()["slot"] == "blue"

    def test_an_unknown_slot_is_503(self, new_pool: Callable[..., Pool]) -> None:
        pool = new_pool(rules=self.RULES)
        assert pool.ask(headers={"x-canary-preview": KEY, "x-canary-slot": "red"}).status_code == 503


class TestForwarding:
    def test_method_path_query_body_and_headers_arrive_and_the_answer_returns_whole(
        self, new_pool: Callable[..., Pool]
    ) -> None:
        pool = new_pool()
        answer = pool.ask("/api/a%2Fb?q=%C3%BC&r=1", "PUT", data="hällo".encode(), headers={"x-caller": "me"})
        seen = answer.json()
        assert (seen["method"], seen["path"], seen["body"]) == ("PUT", "/api/a%2Fb?q=%C3%BC&r=1", "hällo")
        assert seen["headers"]["x-caller"] == "me"
        assert answer.headers["x-own"] == "kept"
        assert pool.ask("/teapot").status_code == 418

    def test_a_dead_backend_is_500_and_a_silent_one_504(self, new_pool: Callable[..., Pool]) -> None:
        pool = new_pool(rules=Rules(backend_seconds=0.2))
        pool.released = asyncio.Event()
        assert (pool.ask("/hang").status_code, pool.ask("/").status_code) == (504, 200)
        pool.doors["blue"].close()
        answer = pool.ask("/")
        assert (answer.status_code, answer.headers["x-slot"]) == (500, "blue")

    def test_the_log_tells_the_backend_by_its_url(self, new_pool: Callable[..., Pool]) -> None:
        rows: list[dict[str, Any]] = []
        pool = new_pool(log=rows.append)
        pool.ask("/teapot?x=1")
        (row,) = rows
        assert row["BackendUrl"] == f"{pool.doors['blue'].url}/teapot?x=1"
        assert (row["BackendResponseCode"], row["ResponseCode"], row["IsRequestSuccess"]) == (418, 418, False)
        assert 0 < row["BackendTime"] <= row["TotalTime"] + 1


def test_the_port_is_free_after_stop(new_pool: Callable[..., Pool]) -> None:
    pool = new_pool()
    pool.ask()
    pool.stop()
    with socket.socket() as free:
        free.bind(("127.0.0.1", int(pool.url.rsplit(":", 1)[1])))


def test_the_gateway_follows_the_pool_that_is_stored_in_arm(new_pool: Callable[..., Pool]) -> None:
    service = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ApiManagement/service/apim"
    arm = Arm()
    for slot in ("blue", "green"):
        arm.backend(service, f"{slot}-backend")
    stored = arm.pool(service, "pool", {"blue-backend": 100, "green-backend": 0})
    pool = new_pool(members=lambda: members_of(arm.properties(stored)))
    assert {pool.ask().json()["slot"] for _ in range(20)} == {"blue"}
    arm.set_weights(stored, {"blue-backend": 0, "green-backend": 1})
    assert {pool.ask().json()["slot"] for _ in range(20)} == {"green"}


def test_a_pool_without_weights_is_round_robin() -> None:
    services = [{"id": "/x/backends/blue"}, {"id": "/x/backends/green", "weight": None, "priority": None}]
    assert members_of({"pool": {"services": services}}) == (Member("blue", 1, 1), Member("green", 1, 1))
