"""A slot answers as a function app of several instances, leaves Application Insights' rows, and breaks on demand."""

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.clock import VirtualClock
from lab.log_analytics import AppRequest
from lab.serving import Authority, Serving
from lab.slots import HealthFault, Shape, SlotApp

START = 1_800_000_000.0
WARM = Shape(instances=3, restart_seconds=3.0, cold_seconds=0.0)


class Slot:
    """A served slot on a clock of the test's, and the rows that it left."""

    def __init__(self, serving: Serving, shape: Shape = WARM) -> None:
        self.rows: list[AppRequest] = []
        self.clock = VirtualClock(START)
        self.app = SlotApp("green", "checkout-green", self.rows.append, shape=shape, seed=1, clock=self.clock)
        self.app.serve(serving)
        self.session = requests.Session()
        self.session.trust_env = False

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.session.get(self.app.url + path, timeout=5, allow_redirects=False, **more)


@pytest.fixture(scope="module")
def serving() -> Iterator[Serving]:
    with Serving() as running:
        yield running


@pytest.fixture
def slot(serving: Serving) -> Iterator[Slot]:
    made = Slot(serving)
    with made.app:
        made.app.deploy("1.0.0")
        yield made
    made.session.close()


class TestTelemetry:
    def test_a_request_leaves_the_row_of_application_insights(self, slot: Slot) -> None:
        assert slot.get("/api/items/7?x=1").json()["slot"] == "green"
        (row,) = slot.rows
        assert row.TimeGenerated is not None
        assert (row.TimeGenerated.timestamp(), row.DurationMs) == (START, 0.0)
        assert (row.Name, row.OperationName, row.Url) == ("items", "items", f"{slot.app.url}/api/items/7?x=1")
        assert (row.Success, row.ResultCode, row.ItemCount) == (True, "200", 1)
        assert (row.AppRoleName, row.AppVersion) == ("checkout-green", "1.0.0")
        assert row.AppRoleInstance in slot.app.instances()
        assert len(row.OperationId) == 32

    def test_all_instances_serve(self, slot: Slot) -> None:
        for _ in range(40):
            slot.get("/api/hello")
        assert {row.AppRoleInstance for row in slot.rows} == set(slot.app.instances())
        assert len(slot.app.instances()) == 3

    def test_a_returned_500_says_success_and_an_exception_says_failure(self, slot: Slot) -> None:
        slot.app.behave(FAIL_PERCENT=100)
        codes = {slot.get("/api/hello").status_code for _ in range(20)}
        assert codes == {500}
        assert {(row.Success, row.ResultCode) for row in slot.rows} == {(True, "500"), (False, "500")}

    def test_an_unknown_route_leaves_no_row(self, slot: Slot) -> None:
        assert slot.get("/api/nowhere").status_code == 404
        assert slot.rows == []

    def test_the_time_of_a_row_is_the_start_and_the_wait_is_its_duration(self, serving: Serving) -> None:
        rows: list[AppRequest] = []
        with SlotApp("blue", "checkout-blue", rows.append, shape=WARM) as app:
            app.serve(serving)
            app.deploy("1.0.0", SLOW_MS=100)
            before = time.time()
            assert requests.get(f"{app.url}/api/hello", timeout=5).ok
            after = time.time()
        assert rows[0].TimeGenerated is not None
        duration_ms = rows[0].DurationMs or 0.0
        assert duration_ms > 50
        assert before <= rows[0].TimeGenerated.timestamp() <= after - duration_ms / 1000 + 0.001


class TestFaults:
    def test_a_crash_is_a_502_without_a_row(self, slot: Slot) -> None:
        slot.app.crash_percent = 100
        assert slot.get("/api/hello").status_code == 502
        assert slot.rows == []

    def test_a_dead_slot_refuses_and_answers_again_at_the_same_url(self, slot: Slot) -> None:
        url = slot.app.url
        assert slot.get("/api/hello").ok
        slot.app.die()
        with pytest.raises(requests.ConnectionError):
            slot.get("/api/hello")
        slot.app.revive()
        assert slot.app.url == url
        assert slot.get("/api/hello").ok

    def test_one_instance_is_sick(self, slot: Slot) -> None:
        slot.app.behave(instance=1, FAIL_PERCENT=100)
        for _ in range(60):
            slot.get("/api/hello")
        failed = {row.AppRoleInstance for row in slot.rows if row.ResultCode == "500"}
        good = {row.AppRoleInstance for row in slot.rows if row.ResultCode == "200"}
        assert failed == {slot.app.instances()[1]}
        assert good == set(slot.app.instances()) - failed

    def test_settings_change_in_place_without_new_instances(self, slot: Slot) -> None:
        names = slot.app.instances()
        slot.app.behave(REJECT_PERCENT=100)
        assert slot.get("/api/hello").status_code == 401
        slot.app.behave(REJECT_PERCENT=0)
        assert slot.get("/api/hello").status_code == 200
        assert slot.app.instances() == names

    @pytest.mark.parametrize(
        ("fault", "status"), [(HealthFault.HTML, 200), (HealthFault.REDIRECT, 302), (HealthFault.UNAVAILABLE, 503)]
    )
    def test_health_answers_something_else(self, slot: Slot, fault: HealthFault, status: int) -> None:
        slot.app.health_fault = fault
        answer = slot.get("/api/health")
        assert answer.status_code == status
        assert "version" not in answer.text
        assert slot.get("/api/hello").ok
        slot.app.health_fault = None
        assert slot.get("/api/health").json()["version"] == "1.0.0"

    def test_health_hangs_until_the_fault_is_over(self, slot: Slot) -> None:
        slot.app.health_fault = HealthFault.HANG
        with pytest.raises(requests.Timeout):
            slot.session.get(f"{slot.app.url}/api/health", timeout=0.2)
        slot.app.health_fault = None
        assert slot.get("/api/health").ok


class TestDeployments:
    def versions(self, slot: Slot) -> set[str]:
        return {slot.get("/api/health").json()["version"] for _ in range(30)}

    def test_old_and_new_answer_while_it_restarts_and_then_only_the_new(self, slot: Slot) -> None:
        old = set(slot.app.instances())
        assert slot.app.deploy("2.0.0", FAIL_PERCENT=1) == START + 3.0
        assert self.versions(slot) == {"1.0.0"}
        slot.clock.advance(1.5)
        assert self.versions(slot) == {"1.0.0", "2.0.0"}
        slot.clock.advance(1.5)
        assert self.versions(slot) == {"2.0.0"}
        assert len(slot.app.instances()) == 3
        assert not old & set(slot.app.instances())

    def test_a_deployment_during_a_deployment_ends_with_the_last(self, slot: Slot) -> None:
        slot.app.deploy("2.0.0")
        slot.clock.advance(1.5)
        slot.app.deploy("3.0.0")
        slot.clock.advance(3.0)
        assert self.versions(slot) == {"3.0.0"}
        assert len(slot.app.instances()) == 3

    def test_settings_of_the_old_deployment_are_forgotten(self, slot: Slot) -> None:
        slot.app.deploy("2.0.0", REJECT_PERCENT=100)
        slot.clock.advance(3.0)
        assert slot.get("/api/hello").status_code == 401
        slot.app.deploy("3.0.0")
        slot.clock.advance(3.0)
        assert slot.get("/api/hello").status_code == 200

    def test_nothing_deployed_is_503(self, serving: Serving) -> None:
        empty = Slot(serving)
        with empty.app:
            assert empty.get("/api/health").status_code == 503

    def test_the_first_request_of_an_instance_waits_for_its_start(self, serving: Serving) -> None:
        rows: list[AppRequest] = []
        with SlotApp("blue", "blue", rows.append, shape=Shape(instances=1, cold_seconds=0.2)) as app:
            app.serve(serving)
            app.deploy("1.0.0")
            for _ in range(3):
                requests.get(f"{app.url}/api/hello", timeout=5)
        durations = [row.DurationMs or 0 for row in rows]
        assert durations[0] >= 200
        assert min(durations[1:]) < 150


def test_waits_overlap_and_cost_no_thread(serving: Serving) -> None:
    """Twelve requests that wait 300 ms each are done in far less than 12 x 300 ms."""
    slot = Slot(serving)
    with slot.app:
        slot.app.deploy("1.0.0", SLOW_MS=300)
        began = time.monotonic()
        with ThreadPoolExecutor(12) as pool:
            answers = list(pool.map(lambda _: requests.get(f"{slot.app.url}/api/hello", timeout=5), range(12)))
        assert all(answer.ok for answer in answers)
        assert time.monotonic() - began < 2.5


def test_it_serves_https_with_the_authority(serving: Serving, authority: Authority, tmp_path: Path) -> None:
    with SlotApp("blue", "blue", lambda row: None, shape=WARM) as app:
        url = app.serve(serving, authority)
        app.deploy("1.0.0")
        session = requests.Session()
        session.trust_env = False
        assert session.get(f"{url}/api/health", timeout=5, verify=str(authority.ca_file)).json()["version"] == "1.0.0"
        session.close()
