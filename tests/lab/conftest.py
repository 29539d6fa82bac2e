"""Fixtures of the lab's own tests: a certificate authority, a wait for a condition, a host of the test app."""

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.host_process import HostProcess
from lab.serving import Authority

EVERY_TRIGGER = Path(__file__).parent / "apps" / "every_trigger"
FAR_AWAY = "0 0 0 1 1 *"  # a schedule that does not come up in a test
FUNCTION_KEY = "function-key-of-the-test"
WEBHOOK = "https://chat.example/hook/very-secret"


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def until() -> Callable[..., Any]:
    """Wait for a condition: returns its first true value, or fails with what it was called."""

    def wait(condition: Callable[[], Any], what: str, seconds: float = 10.0) -> Any:
        limit = time.monotonic() + seconds
        while not (value := condition()):
            assert time.monotonic() < limit, f"not in {seconds:g} s: {what}"
            time.sleep(0.01)
        return value

    return wait


@pytest.fixture(scope="session")
def is_running() -> Callable[[int], bool]:
    """Whether a process runs; one that ended and that nobody has waited for does not."""

    def running(pid: int) -> bool:
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
        state = Path(f"/proc/{pid}/stat")
        return not (state.exists() and state.read_text().rsplit(")", 1)[1].split()[0] == "Z")

    return running


class TestHost:
    """The test app in a host process, and what its functions wrote down."""

    __test__ = False

    def __init__(self, folder: Path, authority: Authority, *, beat: str = FAR_AWAY, key: str | None = FUNCTION_KEY):
        self.seen_file = folder / "seen"
        settings = {
            "SEEN": str(self.seen_file),
            "WORK_QUEUE": "work",
            "BEAT": beat,
            "TEAMS_WEBHOOK_URL": WEBHOOK,
        }
        self.process = HostProcess(
            EVERY_TRIGGER, authority, folder=folder, environment=settings, key=key, lease_seconds=1.0
        )
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = str(authority.ca_file)

    def seen(self, function: str) -> list[dict[str, Any]]:
        if not self.seen_file.exists():
            return []
        rows = [json.loads(line) for line in self.seen_file.read_text().splitlines() if line.endswith("}")]
        return [row for row in rows if row["function"] == function]

    def call(self, method: str, path: str, *, key: str | None = FUNCTION_KEY, **more: Any) -> requests.Response:
        headers = {**({"x-functions-key": key} if key else {}), **more.pop("headers", {})}
        return self.session.request(method, f"{self.process.url}{path}", headers=headers, timeout=10, **more)


@pytest.fixture
def new_host(tmp_path: Path, authority: Authority) -> Iterator[Callable[..., TestHost]]:
    """Makes hosts of the test app that end with the test."""
    made: list[TestHost] = []

    def make(**more: Any) -> TestHost:
        host = TestHost(tmp_path / f"host-{len(made)}", authority, **more)
        made.append(host)
        host.process.start()
        return host

    yield make
    for host in made:
        host.process.stop()
        host.session.close()


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, authority: Authority) -> Iterator[TestHost]:
    """One host for the tests that leave it as they found it."""
    shared = TestHost(tmp_path_factory.mktemp("host"), authority)
    with shared.process:
        yield shared
    shared.session.close()
