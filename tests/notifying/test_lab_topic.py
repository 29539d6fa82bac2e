"""The lab's Event Grid topic: strict when published to, at least once when it delivers."""

import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
import requests
from aiohttp import web
from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import ClientAuthenticationError
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridEvent, EventGridPublisherClient

from lab.event_grid import Subscription, Topic, Trouble
from lab.serving import Serving
from tests.notifying.conftest import identity

GRID = {
    "id": "1",
    "subject": "s",
    "eventType": "T",
    "eventTime": "2026-11-24T05:28:00Z",
    "dataVersion": "1",
    "data": {},
}
CLOUD = {"id": "1", "source": "/s", "type": "T", "specversion": "1.0", "data": {}}
BATCH = "application/cloudevents-batch+json"


@pytest.fixture
def endpoint(serving: Serving, topic: Topic) -> str:
    return f"{serving.serve(topic.app())}/api/events"


@pytest.fixture
def publish(endpoint: str, topic: Topic) -> Callable[..., requests.Response]:
    def post(body: Any, content_type: str = "application/json", version: str = "2018-01-01") -> requests.Response:
        headers = {"content-type": content_type, "aeg-sas-key": topic.key}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return requests.post(f"{endpoint}?api-version={version}", data=data, headers=headers, timeout=5)

    return post


def test_the_real_client_publishes_both_schemas_with_key_and_token(endpoint: str, topic: Topic) -> None:
    for credential in (AzureKeyCredential(topic.key), identity()):
        client = EventGridPublisherClient(endpoint, credential)
        client.send(EventGridEvent(subject="s", event_type="T", data={"a": 1}, data_version="1"), retry_total=0)
        client.send([CloudEvent(source="/s", type="T", data={"a": 1})] * 2, retry_total=0)
    assert [event.get("eventType") or event["type"] for event in topic.events] == ["T"] * 6
    assert topic.events[0]["topic"]


@pytest.mark.parametrize("credential", [AzureKeyCredential("wrong")])
def test_a_wrong_key_is_refused(endpoint: str, topic: Topic, credential: AzureKeyCredential) -> None:
    client = EventGridPublisherClient(endpoint, credential)
    with pytest.raises(ClientAuthenticationError):
        client.send(CloudEvent(source="/s", type="T"), retry_total=0)
    assert requests.post(f"{endpoint}?api-version=2018-01-01", json=[GRID], timeout=5).status_code == 401
    assert topic.events == []


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"junk", "application/json"),
        ({}, "application/json"),
        ([], "application/json"),
        (["x"], "application/json"),
        ([GRID], "text/plain"),
        ([GRID], BATCH),
        ([CLOUD], "application/json"),
        ([GRID | {"eventTime": "yesterday"}], "application/json"),
        ([GRID | {"topic": "mine"}], "application/json"),
        ([GRID | {"id": 7}], "application/json"),
        ([{name: value for name, value in GRID.items() if name != "data"}], "application/json"),
        ([CLOUD | {"specversion": "0.3"}], BATCH),
        ([CLOUD | {"data_base64": "eA=="}], BATCH),
        ([CLOUD | {"time": "yesterday"}], BATCH),
        ([CLOUD, {}], BATCH),
        ([CLOUD], "application/cloudevents+json"),
    ],
)
def test_a_wrong_shape_is_refused_whole(
    publish: Callable[..., requests.Response], topic: Topic, body: Any, content_type: str
) -> None:
    answer = publish(body, content_type)
    assert answer.status_code == 400
    assert answer.json()["error"]["code"] == "BadRequest"
    assert topic.events == []


def test_limits_and_version_are_checked(publish: Callable[..., requests.Response], topic: Topic) -> None:
    assert publish([GRID | {"data": "x" * 1024 * 1024}]).status_code == 413
    assert publish([GRID], version="2019-01-01").status_code == 400
    assert publish(CLOUD, "application/cloudevents+json").status_code == 200
    assert len(topic.events) == 1


def test_subscribers_get_what_they_asked_for(publish: Callable[..., requests.Response], topic: Topic) -> None:
    some: list[Any] = []
    everything: list[Any] = []
    topic.subscribe(Subscription(name="some", to=some.append, types=frozenset({"T"})))
    topic.subscribe(Subscription(name="all", to=everything.append))
    publish([GRID, GRID | {"id": "2", "eventType": "U"}])
    publish([CLOUD], BATCH)
    assert topic.settle(5)
    assert sorted(event.get("eventType") or event["type"] for event in some) == ["T", "T"]
    assert len(everything) == 3


def test_what_is_not_taken_comes_again_until_it_is(publish: Callable[..., requests.Response], topic: Topic) -> None:
    topic.retries = (0.01, 0.01, 0.01)
    calls: list[str] = []

    def third_time(event: Any) -> None:
        calls.append(event["id"])
        if len(calls) < 3:
            raise RuntimeError("not yet")

    topic.subscribe(Subscription(name="s", to=third_time))
    publish([GRID])
    assert topic.settle(5)
    assert calls == ["1"] * 3
    assert topic.dead == []


def test_what_nobody_takes_is_a_dead_letter(publish: Callable[..., requests.Response], topic: Topic) -> None:
    topic.retries = (0.01,)

    def never(event: Any) -> None:
        raise RuntimeError("no")

    topic.subscribe(Subscription(name="s", to=never))
    publish([GRID])
    assert topic.settle(5)
    (letter,) = topic.dead
    assert (letter.subscription, letter.attempts, letter.reason) == ("s", 2, "RuntimeError: no")


@pytest.mark.parametrize(
    ("status", "deliveries", "dead"),
    [(200, 1, 0), (204, 1, 0), (202, 1, 0), (500, 3, 1), (404, 3, 1), *[(one, 1, 1) for one in (400, 401, 403, 413)]],
)
def test_a_url_is_called_as_azure_calls_it(
    serving: Serving, publish: Callable[..., requests.Response], topic: Topic, status: int, deliveries: int, dead: int
) -> None:
    topic.retries = (0.01, 0.01)
    got: list[tuple[str, Any]] = []

    async def hook(request: web.Request) -> web.Response:
        assert request.headers["aeg-event-type"] == "Notification"
        got.append((request.content_type, await request.json()))
        return web.Response(status=status)

    app = web.Application()
    app.router.add_post("/hook", hook)
    topic.subscribe(Subscription(name="s", to=f"{serving.serve(app)}/hook"))
    publish([GRID])
    assert topic.settle(5)
    publish(CLOUD, "application/cloudevents+json")
    assert topic.settle(5)
    assert [kind for kind, _ in got] == ["application/json"] * deliveries + [
        "application/cloudevents+json"
    ] * deliveries
    assert isinstance(got[0][1], list)
    assert got[-1][1]["specversion"] == "1.0"
    assert len(topic.dead) == 2 * dead


def test_duplicates_and_disorder_on_request(serving: Serving) -> None:
    topic = Topic(Trouble(copies=2, shuffled=True, late_seconds=0.02, seed=3))
    endpoint = f"{serving.serve(topic.app())}/api/events"
    got: list[str] = []
    lock = threading.Lock()

    def take(event: Any) -> None:
        with lock:
            got.append(event["id"])

    topic.subscribe(Subscription(name="s", to=take))
    ids = [str(number) for number in range(10)]
    client = EventGridPublisherClient(endpoint, AzureKeyCredential(topic.key))
    client.send([CloudEvent(source="/s", type="T", id=one) for one in ids], retry_total=0)
    assert topic.settle(5)
    assert sorted(got) == sorted(ids * 2)
    assert got != sorted(got)
