"""The whole world on one machine: stand-ins that speak Azure's protocols, two slots under traffic, and the host.

Production code runs unchanged in a process of its own; what differs from Azure is in its environment alone:
endpoints, a certificate authority and the token endpoint that every function app has.
"""

import json
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import msgspec
import requests

from controller.config import load
from lab.arm import Arm
from lab.chat import Chat, Kind, Post
from lab.event_grid import Subscription, Topic, Trouble
from lab.gateway import Backend, Gateway, Rules, members_of
from lab.host_process import HostProcess
from lab.indexing import index
from lab.log_analytics import Ingestion, LogAnalytics
from lab.serving import Authority, Serving
from lab.slots import SlotApp
from lab.stopping import Stopping
from lab.tokens import Tokens
from lab.traffic import Traffic
from lab.web_apps import HTTP, WebApp
from rollouts.observation import Slot, Weights
from sample_function.function_app import build

ROOT = Path(__file__).resolve().parent.parent
SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/lab"
API_MANAGEMENT = f"{GROUP}/providers/Microsoft.ApiManagement/service/lab-apim"
SITE = f"{GROUP}/providers/Microsoft.Web/sites/checkout-"
WORKSPACE = "11111111-1111-1111-1111-111111111111"
POOL, MARKER, SERVICE = "green-blue-pool", "current-slot-name", "checkout"
KEY = "lab-function-key"
EVENT_WAIT_SECONDS = 10.0
SHELL = (  # settings of the function app that the command line reads, too
    *("ARM_URL", "LOGS_URL", "ARM_POLL_SECONDS", "IDENTITY_ENDPOINT", "IDENTITY_HEADER", "REQUESTS_CA_BUNDLE"),
    *("CANARY_POLICY", "PREVIEW_KEY", "TEAMS_WEBHOOK_URL", "SLACK_WEBHOOK_URL", "WEBHOOK_URL", "WEBHOOK_URL_SECRET"),
)
KEPT_WHOLE = {  # app settings of both slots, as bicep/slot.bicep writes them
    "AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__isEnabled": "true",
    "AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__excludedTypes": "Request;Exception",
}
SWITCH_SECONDS = 0.0005  # between threads: a query in DuckDB must not keep callers waiting


class Setup(msgspec.Struct, frozen=True, kw_only=True):
    """How the world is set up. Rates are a second."""

    seed: int = 1
    rate: float = 320.0
    base_errors: float = 0.4  # percent of the requests that every version fails
    slow_ms: float = 300.0  # median time to answer: long against the stalls of a busy machine
    ingestion: Ingestion = Ingestion(delay_seconds=0.6, jitter_seconds=0.6)
    trouble: Trouble = Trouble()
    policy: Mapping[str, Any] = {}  # overrides of the service in the lab's policy, by key
    channels: tuple[str, ...] = ("teams",)
    first_version: str = "1.0.0"
    idle_version: str = "0.9.0"


class Lab(Stopping):
    """The world. As a context manager it is started and always ended: ports free, no process left."""

    def __init__(self, folder: Path, setup: Setup) -> None:
        self.folder = folder
        self.setup = setup
        self.authority = Authority(folder / "certificates")
        self.control = Serving(self.authority)  # what Azure answers
        self.data = Serving(self.authority)  # what users see
        self.arm, self.tokens, self.chat = Arm(operation_seconds=0.1), Tokens(), Chat()
        self.topic = Topic(setup.trouble)
        self.logs = LogAnalytics(time.time, workspaces=[WORKSPACE], ingestion=setup.ingestion, seed=setup.seed)
        self.slots = {
            slot: SlotApp(slot, f"checkout-{slot}", self.logs.record, seed=setup.seed)
            for slot in (Slot.BLUE, Slot.GREEN)
        }
        self._ids = {"pool": "", "marker": ""}
        self._settings: dict[str, str] = {}  # of the function app: where everything is
        self._gateway: Gateway | None = None
        self._traffic: Traffic | None = None
        self._host: HostProcess | None = None
        self._stopping = threading.Lock()
        self.topic_url = ""

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def start(self) -> None:
        """Everything up: blue live with the first version, green idle, callers calling, the host ready."""
        sys.setswitchinterval(SWITCH_SECONDS)
        slot_urls = {slot: app.serve(self.data) for slot, app in self.slots.items()}
        self._begin_azure(slot_urls)
        for slot, version in ((Slot.BLUE, self.setup.first_version), (Slot.GREEN, self.setup.idle_version)):
            self.deploy(slot, version)
        backends = {f"{slot}-backend": Backend(slot, url) for slot, url in slot_urls.items()}
        self._gateway = Gateway(
            lambda: members_of(self.arm.properties(self._ids["pool"])),
            backends,
            seed=self.setup.seed,
            rules=Rules(propagation_seconds=0.3, preview_key="lab-preview"),
        )
        self._traffic = Traffic(self._gateway.serve(self.data), rate=self.setup.rate, seed=self.setup.seed)
        self._traffic.start(self.data)
        self._begin_host(slot_urls)

    def _begin_azure(self, slot_urls: Mapping[Slot, str]) -> None:
        functions = dict.fromkeys((one.name for one in index(build({}, random.Random()), {})), HTTP)
        for slot, url in slot_urls.items():
            self.arm.backend(API_MANAGEMENT, f"{slot}-backend", {"url": url, "protocol": "http", "type": "Single"})
            settings = {"SLOT_NAME": slot.value, **KEPT_WHOLE}
            self.arm.web_apps.site(f"{SITE}{slot}", WebApp(functions=functions, settings=settings))
        self._ids["pool"] = self.arm.pool(API_MANAGEMENT, POOL, {"blue-backend": 100, "green-backend": 0})
        self._ids["marker"] = self.arm.named_value(API_MANAGEMENT, MARKER, Slot.BLUE)

    def _begin_host(self, slot_urls: Mapping[Slot, str]) -> None:
        urls = {
            "ARM_URL": self.control.serve(self.arm.app()),
            "LOGS_URL": self.control.serve(self.logs.application()),
        }
        self.topic_url = f"{self.control.serve(self.topic.app())}/api/events"
        policy = self.folder / "canary.yaml"
        text = policy_text(slot_urls, self.setup)
        load(text)  # a policy with errors is told here, not by a host that stays silent
        policy.write_text(text, encoding="utf-8")
        self._settings = {
            **urls,
            **self.tokens.environment(self.control.serve(self.tokens.app(), tls=False)),
            **self.chat.environment(self.control.serve(self.chat.app())),
            "REQUESTS_CA_BUNDLE": str(self.authority.ca_file),
            "SSL_CERT_FILE": str(self.authority.ca_file),
            "STATE_URL": f"sqlite:///{self.folder / 'state.sqlite'}",
            "CANARY_POLICY": str(policy),
            "TICK_SCHEDULE": "* * * * * *",
            "LOOKOUT_SCHEDULE": "*/3 * * * * *",
            "ARM_POLL_SECONDS": "0.1",
            "AzureWebJobsStorage": "lab",
        }
        folder = self.folder / "host"
        self._host = HostProcess(ROOT, self.authority, folder=folder, environment=self._settings, key=KEY)
        self._host.start()
        webhook = f"{self.host.url}/runtime/webhooks/eventgrid?functionName=on_deployment&code={KEY}"
        self.topic.subscribe(Subscription(name="analyzer", to=webhook))

    def stop(self) -> None:
        """Everything down, in the order in which nobody complains. Safe to call twice."""
        with self._stopping:
            if self._host is not None:
                self._host.stop()
            for part in (self._traffic, self._gateway, *self.slots.values()):
                if part is not None:
                    part.stop()
            self.data.stop()
            self.control.stop()

    @property
    def shell(self) -> dict[str, str]:
        """The environment in which `canary` speaks to this world, as a person with all rights would."""
        return {
            **{name: self._settings[name] for name in SHELL if name in self._settings},
            "CANARY_URL": self.host.url,
            "CANARY_KEY": KEY,
            "CANARY_TOPIC": self.topic_url,
            "CANARY_TOPIC_KEY": self.topic.key,
        }

    @property
    def host(self) -> HostProcess:
        """The process that runs function_app.py."""
        if self._host is None:
            raise RuntimeError("the lab is not started yet")
        return self._host

    @property
    def traffic(self) -> Traffic:
        """The callers."""
        if self._traffic is None:
            raise RuntimeError("the lab is not started yet")
        return self._traffic

    def deploy(self, slot: Slot, version: str, **settings: str | float) -> None:
        """New code on a slot; settings as the sample function reads them."""
        given: dict[str, str | float] = {"FAIL_PERCENT": self.setup.base_errors, "SLOW_MS": self.setup.slow_ms}
        self.slots[slot].deploy(version, **(given | settings))

    def announce(
        self, version: str, slot: Slot, *, deployment: str | None = None, cloud: bool = False, **data: object
    ) -> None:
        """The pipeline's event, published to the topic in Event Grid's schema or as a CloudEvent."""
        told = {"service": SERVICE, "slot": slot, "version": version, "deploymentId": deployment or f"run-{version}"}
        self.publish("Canary.DeploymentCompleted", SERVICE, told | data, cloud=cloud)

    def publish(self, kind: str, subject: str, data: object, *, cloud: bool = False) -> None:
        """Any event, over the topic's HTTP endpoint."""
        at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        common = {"id": f"event-{time.time_ns()}", "subject": subject, "data": data}
        if cloud:
            body: Any = [{**common, "specversion": "1.0", "type": kind, "source": "/pipelines/lab", "time": at}]
            content = "application/cloudevents-batch+json; charset=utf-8"
        else:
            body = [{**common, "eventType": kind, "eventTime": at, "dataVersion": "1"}]
            content = "application/json; charset=utf-8"
        answer = requests.post(
            self.topic_url,
            params={"api-version": "2018-01-01"},
            data=json.dumps(body),
            headers={"content-type": content, "aeg-sas-key": self.topic.key},
            verify=str(self.authority.ca_file),
            timeout=EVENT_WAIT_SECONDS,
        )
        answer.raise_for_status()

    def set_weights(self, weights: Weights) -> None:
        """A person's hand in the portal."""
        self.arm.set_weights(self._ids["pool"], {"blue-backend": weights.blue, "green-backend": weights.green})

    def set_marker(self, value: str) -> None:
        """A person's hand on the named value."""
        self.arm.set_value(self._ids["marker"], value)

    def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """The analyzer's HTTP API, as a person's command asks it; HTTPError for 4xx and 5xx."""
        answer = requests.request(
            method,
            f"{self.host.url}/api/{path}",
            json=body,
            headers={"x-functions-key": KEY},
            verify=str(self.authority.ca_file),
            timeout=EVENT_WAIT_SECONDS,
        )
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def weights(self) -> Weights:
        """As ARM stores them."""
        found = self.arm.weights(self._ids["pool"])
        return Weights(blue=found["blue-backend"] or 0, green=found["green-backend"] or 0)

    def live(self) -> str:
        """What the marker says."""
        return self.arm.value(self._ids["marker"])

    def newest(self) -> dict[str, Any] | None:
        """The newest rollout's summary; None = there is none."""
        found: list[dict[str, Any]] = self.ask("GET", f"rollouts?service={SERVICE}&limit=1")["rollouts"]
        return found[0] if found else None

    def messages(self) -> list[Post]:
        """Cards and messages that people saw."""
        return self.chat.taken()


def policy_text(slot_urls: Mapping[Slot, str], setup: Setup) -> str:
    """The lab's policy: production's, but for tolerances and durations that a demo of two minutes can prove."""
    service: dict[str, Any] = {
        "preset": "standard",
        "mode": "act",
        "api_management": API_MANAGEMENT,
        "pool": POOL,
        "marker": MARKER,
        "workspace": WORKSPACE,
        "slots": {
            slot: {
                "backend": f"{slot}-backend",
                "url": url,
                "role_name": f"checkout-{slot}",
                "site": f"{SITE}{slot}",
                "deployment_container": f"packages-{slot}",
            }
            for slot, url in slot_urls.items()
        },
        "steps": [10, 50, 100],
        "bake": "3s",
        "deadline": "90s",
        "watch": "15s",
        "history": "20s",
        "gate": {
            "path": "/api/health",
            "successes": 3,
            "deadline": "20s",
            "timeout": "2s",
            "warm_up": {"path": "/api/warmup", "requests": 6},
        },
        "indicators": {
            "failures": {"points": 2, "ratio": 1.25},
            "rejected": "off",
            "p95": {"quantile": "95%", "slowdown": "20%", "points": 2, "ratio": 1.0},
        },
        "limits": {"blind": "8s", "unobserved": "8s", "one_instance": "15s"},
        "notify": list(setup.channels),
        "expert": {"interval": "1s", "settle": "3s", "propagation": "1s", "cold": "1s"},
    }
    channels = {
        "teams": {"kind": Kind.TEAMS, "url_setting": "TEAMS_WEBHOOK_URL"},
        "slack": {"kind": Kind.SLACK, "url_setting": "SLACK_WEBHOOK_URL"},
        "webhook": {"kind": Kind.WEBHOOK, "url_setting": "WEBHOOK_URL"},
    }
    tree = {"channels": channels, "services": {SERVICE: overridden(service, setup.policy)}}
    return json.dumps(tree, indent=2)  # JSON is YAML


def overridden(service: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """`service` with `changes`; mappings are merged key by key, as deep as they go."""
    found = dict(service)
    for key, value in changes.items():
        known = found.get(key)
        found[key] = overridden(known, value) if isinstance(known, dict) and isinstance(value, dict) else value
    return found
