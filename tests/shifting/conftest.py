"""The real SDK clients against the lab's ARM and token endpoint, over https on loopback."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from azure.identity import ManagedIdentityCredential

from lab.arm import Arm
from lab.serving import Authority, Serving
from lab.tokens import Tokens
from rollouts.observation import Slot
from shifting.arm import ArmClients
from shifting.marker import Marker
from shifting.pool import Pool

SERVICE = (
    "/subscriptions/11111111-0000-0000-0000-000000000000/resourceGroups/rg-canary"
    "/providers/Microsoft.ApiManagement/service/apim-shop"
)


@dataclass
class Time:
    """A clock that moves when somebody sleeps; `slept` lists for how long."""

    at: float = 1_000_000.0
    slept: list[float] = field(default_factory=list)

    def now(self) -> float:
        return self.at

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.at += seconds


@dataclass
class World:
    """One API Management service in the lab's ARM, and the adapters under test that speak to it."""

    arm: Arm
    url: str
    time: Time
    service: str = SERVICE
    backends: dict[Slot, str] = field(default_factory=lambda: {Slot.BLUE: "blue-backend", Slot.GREEN: "green-backend"})
    pool_name: str = "green-blue-pool"
    pool_id: str = f"{SERVICE}/backends/green-blue-pool"
    marker_name: str = "current-slot-name"
    marker_id: str = f"{SERVICE}/namedValues/current-slot-name"

    def clients(self, *, timeout_seconds: float = 5.0) -> ArmClients:
        """Real clients with a managed identity; polls do not really wait."""
        return ArmClients(
            self.url,
            ManagedIdentityCredential,
            now=self.time.now,
            sleep=self.time.sleep,
            poll_seconds=1.0,
            timeout_seconds=timeout_seconds,
        )

    def read(self):
        return Pool(self.clients()).read(self.service, self.pool_name, self.backends)

    def write(self, weights, etag, *, timeout_seconds=5.0):
        adapter = Pool(self.clients(timeout_seconds=timeout_seconds))
        return adapter.write(self.service, self.pool_name, self.backends, weights, etag)

    def read_marker(self):
        return Marker(self.clients()).read(self.service, self.marker_name)

    def write_marker(self, live, etag, *, timeout_seconds=5.0):
        adapter = Marker(self.clients(timeout_seconds=timeout_seconds))
        return adapter.write(self.service, self.marker_name, live, etag)


@pytest.fixture(scope="session")
def serving(tmp_path_factory) -> Iterator[Serving]:
    """One loop and one certificate for the folder's tests; the CA is trusted by REQUESTS_CA_BUNDLE alone."""
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with pytest.MonkeyPatch.context() as patch, Serving(authority) as running:
        patch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
        patch.delenv("CURL_CA_BUNDLE", raising=False)
        patch.delenv("SSL_CERT_FILE", raising=False)
        yield running


@pytest.fixture(scope="session")
def identity(serving) -> Iterator[Tokens]:
    """A managed identity: the environment of a function app that has one."""
    tokens = Tokens()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in tokens.environment(serving.serve(tokens.app(), tls=False)).items():
            patch.setenv(name, value)
        assert os.environ["IDENTITY_HEADER"] == tokens.header
        yield tokens


@pytest.fixture
def world(serving, identity) -> World:
    """Blue serves: pool 100/0, marker blue. The pool has fields that the SDK's models do not know."""
    time = Time()
    arm = Arm(operation_seconds=0.5, now=time.now)
    for name in ("blue-backend", "green-backend", "red-backend"):
        arm.backend(SERVICE, name)
    arm.pool(SERVICE, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(SERVICE, "current-slot-name", "blue")
    return World(arm, serving.serve(arm.app()), time)
