"""The real Python worker engine indexes the deployable tree, and every trigger answers when Azure does not."""

import copy
import http.server
import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.config import load
from rollouts.decide import FirstLook, begin
from rollouts.observation import MarkerReading, PoolReading, Slot, Weights
from rollouts.rollout import Announcement
from storing.records import Records
from storing.sqlite import SqliteStore
from tests.worker.conftest import Deployed, alone

DEAD = "127.0.0.1:9"  # nothing listens on the discard port
QUEUE = ("canary-ticks", "AzureWebJobsStorage")
HTTP = {
    "health": ("GET", "health", "ANONYMOUS"),
    "services": ("GET", "services", "FUNCTION"),
    "rollouts": ("GET", "rollouts", "FUNCTION"),
    "rollout": ("GET", "rollouts/{rollout}", "FUNCTION"),
    "counts": ("GET", "rollouts/{rollout}/counts", "FUNCTION"),
    "incidents": ("GET", "incidents", "FUNCTION"),
    "config": ("GET", "config", "FUNCTION"),
    "push_config": ("PUT", "config", "FUNCTION"),
    "command": ("POST", "services/{service}/{command}", "FUNCTION"),
    "off": ("POST", "off", "FUNCTION"),
    "on": ("POST", "on", "FUNCTION"),
}
OTHERS = {
    "on_deployment": ("eventGridTrigger", {}),
    "on_tick_timer": ("timerTrigger", {"schedule": "%TICK_SCHEDULE%"}),
    "on_lookout_timer": ("timerTrigger", {"schedule": "%LOOKOUT_SCHEDULE%"}),
    "on_tick": ("queueTrigger", {"queueName": "canary-ticks", "connection": "AzureWebJobsStorage"}),
    "on_poison": ("queueTrigger", {"queueName": "canary-ticks-poison", "connection": "AzureWebJobsStorage"}),
}
WAKES = {"on_deployment", "on_tick_timer", "on_lookout_timer", "command", "off", "on"}
TIMER = {"Schedule": {"AdjustForDST": True}, "ScheduleStatus": {}, "IsPastDue": False}
SITE = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/checkout/providers/Microsoft.Web/sites/"
DEPLOYMENT = {"service": "checkout", "slot": "green", "version": "1.4.2", "deploymentId": "run-1"}


def event_grid(kind: str, data: object, subject: str = "checkout") -> dict[str, object]:
    """An event in Event Grid's schema."""
    parts = {"id": "e1", "topic": "/topics/t", "subject": subject, "eventType": kind, "data": data}
    return parts | {"eventTime": "2026-01-01T10:00:00Z", "dataVersion": "1", "metadataVersion": "1"}


def cloud(kind: str, data: object, subject: str = "checkout") -> dict[str, object]:
    """The same as a CloudEvent."""
    parts = {"specversion": "1.0", "id": "c1", "source": "/pipelines/deploy", "type": kind, "subject": subject}
    return parts | {"time": "2026-01-01T10:00:00Z", "datacontenttype": "application/json", "data": data}


def http_call(name: str, body: str = "", **params: str) -> dict[str, object]:
    """A request as the host hands it over."""
    method, route, _ = HTTP[name]
    url = f"http://localhost/api/{route.format(**params) if params else route}"
    return {"method": method, "url": url, "body": body, "params": params, "headers": {"content-type": "text/plain"}}


def told_elsewhere(form: Callable[..., dict[str, object]]) -> dict[str, object]:
    """A deployment whose time is written in the local time of its sender."""
    event = form("Canary.DeploymentCompleted", DEPLOYMENT)
    return event | {"eventTime" if "eventTime" in event else "time": "2026-01-01T15:30:00+05:30"}


BOTH = [event_grid, cloud]
CALLS: dict[str, tuple[str, Any]] = {
    "health": ("health", http_call("health")),
    "tick timer": ("on_tick_timer", TIMER),
    "lookout timer": ("on_lookout_timer", TIMER),
    **{
        f"{form.__name__}: deployment": ("on_deployment", form("Canary.DeploymentCompleted", DEPLOYMENT))
        for form in BOTH
    },
    **{
        f"{form.__name__}: bad": ("on_deployment", form("Canary.DeploymentCompleted", {"slot": "teal"}))
        for form in BOTH
    },
    **{
        f"{form.__name__}: site": (
            "on_deployment",
            form("Microsoft.Resources.ResourceWriteSuccess", {}, f"{SITE}checkout-green"),
        )
        for form in BOTH
    },
    **{f"{form.__name__}: unknown": ("on_deployment", form(f"Contoso.{form.__name__}", {})) for form in BOTH},
    **{f"{form.__name__}: local time": ("on_deployment", told_elsewhere(form)) for form in BOTH},
    "tick": ("on_tick", f'{{"workspace": "w", "services": ["basket"], "asked_at": {time.time() + 3600}}}'),
    "poison": ("on_poison", '{"services": ["basket"]}'),
    "services": ("services", http_call("services")),
    "rollouts": ("rollouts", http_call("rollouts")),
    "no rollout": ("rollout", http_call("rollout", rollout="r1")),
    "no counts": ("counts", http_call("counts", rollout="r1")),
    "config": ("config", http_call("config")),
    "bad config": ("push_config", http_call("push_config", "services: 7")),
    "target": ("command", http_call("command", '{"owner": "pipeline"}', command="target", service="checkout")),
    "release": ("command", http_call("command", '{"owner": "pipeline"}', command="release", service="checkout")),
    "no owner": ("command", http_call("command", "{}", command="target", service="checkout")),
    "start": ("command", http_call("command", '{"version": "1.4.2"}', command="start", service="checkout")),
    "no service": ("command", http_call("command", '{"version": "1.4.2"}', command="start", service="nobody")),
    "mode": ("command", http_call("command", '{"mode": "advise"}', command="mode", service="checkout")),
    "abort": ("command", http_call("command", "{}", service="checkout", command="abort")),
    "no command": ("command", http_call("command", "{}", service="checkout", command="explode")),
    "off": ("off", http_call("off", "{}")),
    "on": ("on", http_call("on", "not JSON")),
    "incidents": ("incidents", http_call("incidents")),
}
STATUSES = {
    **dict.fromkeys(("health", "rollouts", "config", "mode", "off", "incidents", "release"), 200),
    **dict.fromkeys(("bad config", "no owner", "on"), 400),
    **dict.fromkeys(("no rollout", "no service", "no command", "abort"), 404),
    **dict.fromkeys(("start", "target"), 503),
}


class Identity(http.server.BaseHTTPRequestHandler):
    """A managed identity that gives a token to everybody: what fails is Azure."""

    def do_GET(self) -> None:
        body = json.dumps({"access_token": "a.b.c", "expires_on": str(int(time.time()) + 3600), "token_type": "Bearer"})
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the standard library's name
        """Silent."""


@pytest.fixture(scope="session")
def identity() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Identity)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/msi/token"
    server.shutdown()
    thread.join()
    server.server_close()


def policy_text(packaged: str) -> str:
    """The packaged policy with a second service, every address of it dead."""
    given = yaml.safe_load(packaged)
    for slot in given["services"]["checkout"]["slots"].values():
        slot["url"] = f"https://{DEAD}/{slot['backend']}"
    basket = copy.deepcopy(given["services"]["checkout"]) | {"pool": "basket-pool", "marker": "basket-slot-name"}
    for slot in basket["slots"].values():
        slot |= {"site": None, "deployment_container": None, "role_name": f"basket-{slot['backend']}"}
        slot["backend"] = f"basket-{slot['backend']}"
        slot["url"] = f"https://{DEAD}/{slot['backend']}"
    given["services"]["basket"] = basket
    return yaml.safe_dump(given)


def begin_rollout(state: Path, policy: str) -> None:
    """A rollout of the second service, begun while Azure still answered."""
    store = SqliteStore(state, "canary")
    told = Announcement(service="basket", slot=Slot.GREEN, version="2.0.0", deployment_id="run-0", by="test")
    look = FirstLook(
        canary=Slot.GREEN,
        marker=MarkerReading(live=Slot.BLUE, etag="1"),
        pool=PoolReading(weights=Weights.of(Slot.BLUE, 100), etag="1"),
        now=time.time(),
    )
    Records(store).create(begin(told, load(policy).services["basket"], "basket-1", look))
    store.close()


def told_by_the_engine(folder: Path, package: Path, deployed: Deployed, identity: str) -> str:
    """What the engine indexed, and what each call gave, from one process of it."""
    policy = folder / "policy.yaml"
    policy.write_text(policy_text((package / "canary.yaml").read_text(encoding="utf-8")), encoding="utf-8")
    begin_rollout(folder / "state.db", policy.read_text(encoding="utf-8"))
    environment = {
        "STATE_URL": f"sqlite:///{folder}/state.db",
        "CANARY_POLICY": str(policy),
        "ARM_URL": f"https://{DEAD}",
        "LOGS_URL": f"https://{DEAD}",
        "IDENTITY_ENDPOINT": identity,
        "IDENTITY_HEADER": "identity-key",
        "TEAMS_WEBHOOK_URL": f"https://{DEAD}/webhook-key",
    }
    calls = [{"function": function, "payload": payload} for function, payload in CALLS.values()]
    return deployed.work(package, calls, environment)


@pytest.fixture(scope="session")
def done(package: Path, deployed: Deployed, identity: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The same answer for all pytest workers: one of them asks the engine."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "worker-engine"
    folder.mkdir(exist_ok=True)
    with alone(folder):
        kept = folder / "answer.json"
        if not kept.exists():
            kept.write_text(told_by_the_engine(folder, package, deployed, identity), encoding="utf-8")
        answer: dict[str, Any] = json.loads(kept.read_text(encoding="utf-8"))
    assert "broken" not in answer, answer["broken"]
    answer["calls"] = dict(zip(CALLS, answer["calls"], strict=True))
    return answer


def test_every_function_is_indexed_with_its_trigger(done: dict[str, Any]) -> None:
    """The list is the whole app: routes, schedules and queues as bicep, the command line and the docs name them."""
    triggers = {
        name: next(one for one in bindings if one["type"].endswith("Trigger"))
        for name, bindings in done["functions"].items()
    }
    routes = {
        name: (one["methods"][0], one["route"], str(one["authLevel"]).upper())
        for name, one in triggers.items()
        if one["type"] == "httpTrigger"
    }
    assert routes == HTTP
    for name, (kind, settings) in OTHERS.items():
        assert triggers[name]["type"] == kind
        assert settings.items() <= triggers[name].items()
    assert set(triggers) == {*HTTP, *OTHERS}


def test_no_two_routes_match_one_request() -> None:
    """Of two that do, Azure's host takes the function whose name comes first, not the literal one."""
    for one, other in itertools.combinations(HTTP.values(), 2):
        parts = [route.split("/") for _, route, _ in (one, other)]
        told_apart = one[0] != other[0] or len(parts[0]) != len(parts[1])
        assert told_apart or any(a != b and "{" not in a + b for a, b in zip(*parts, strict=True)), (one, other)


def test_whatever_wakes_writes_to_the_queue_of_ticks(done: dict[str, Any]) -> None:
    queues = {
        name: [(one["queueName"], one["connection"]) for one in bindings if one["type"] == "queue"]
        for name, bindings in done["functions"].items()
    }
    assert queues == {name: [QUEUE] if name in WAKES else [] for name in queues}


@pytest.mark.parametrize(("name", "status"), STATUSES.items())
def test_http_answers_with_a_status_and_a_reason(done: dict[str, Any], name: str, status: int) -> None:
    """Never an exception: 400, 404 and 503 say what is wrong; what needs no Azure is answered."""
    call = done["calls"][name]
    assert call["ok"], call
    body = json.loads(call["returned"]["body"])
    assert (call["returned"]["status"], "error" in body) == (status, status >= 400), body


@pytest.mark.parametrize("form", [one.__name__ for one in BOTH])
def test_a_deployment_is_told_again_while_azure_is_away(done: dict[str, Any], form: str) -> None:
    """The invocation fails, so that Event Grid delivers the event again, and says which slot cannot be read."""
    call = done["calls"][f"{form}: deployment"]
    assert not call["ok"]
    assert "checkout: which slot is live is unknown" in call["error"] + call["trace"]


@pytest.mark.parametrize("form", [one.__name__ for one in BOTH])
def test_an_event_with_another_offset_than_utc_does_not_reach_us(done: dict[str, Any], form: str) -> None:
    """azure-functions cannot read its time, and gives no function the event itself: docs/api.md says what follows.

    Reads it one day, that sentence can go.
    """
    call = done["calls"][f"{form}: local time"]
    assert not call["ok"]
    assert "time data '2026-01-01T15:30:00+05:30' does not match format" in call["error"] + call["trace"]


@pytest.mark.parametrize(
    "name", [one for one in CALLS if one.endswith((": bad", ": unknown", ": site", "timer", "tick"))]
)
def test_nothing_else_fails(done: dict[str, Any], name: str) -> None:
    """What cannot be used is recorded, what cannot be reached is left for the next tick: no retries for nothing."""
    assert done["calls"][name]["ok"], done["calls"][name]


def test_the_timer_sends_the_active_service_to_tick(done: dict[str, Any]) -> None:
    """One message in the form that `on_tick` reads."""
    (message,) = json.loads(done["calls"]["tick timer"]["outputs"]["ticks"]["value"])
    sent = json.loads(message)
    assert sent["services"] == ["basket"]
    assert set(sent) == set(json.loads(CALLS["tick"][1]))


def test_a_tick_without_azure_is_remembered(done: dict[str, Any]) -> None:
    """The rollout stays at its gate, says what cannot be reached, and keeps its share."""
    body = json.loads(done["calls"]["rollouts"]["returned"]["body"])
    (one,) = body["rollouts"]
    assert (one["service"], one["phase"], one["share"], one["outcome"]) == ("basket", "gate", 0, None)


def test_what_cannot_be_used_is_visible(done: dict[str, Any]) -> None:
    """Bad and unknown events in both schemas, and the poisoned message."""
    body = json.loads(done["calls"]["incidents"]["returned"]["body"])
    kinds = sorted(one["kind"] for one in body["incidents"])
    assert kinds == ["bad_event", "bad_event", "bad_policy", "poison", "unknown_event", "unknown_event"]


def test_no_secret_is_told(done: dict[str, Any]) -> None:
    told = json.dumps(done["calls"])
    assert "webhook-key" not in told
    assert "identity-key" not in told


def test_nothing_of_the_workshop_is_loaded(done: dict[str, Any]) -> None:
    assert done["foreign"] == []
