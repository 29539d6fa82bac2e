"""The sample service says what it is, and fails, rejects and slows down as its app settings ask."""

import asyncio
import json
import logging
import random
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import requests
from azure.functions.meta import Datum
from hypothesis import given
from hypothesis import strategies as st

from lab.host_process import HostProcess
from lab.indexing import Indexed, index
from lab.serving import Authority
from sample_function.function_app import ROUTES, Behaviour, SettingsError, build

FOLDER = Path(__file__).parents[2] / "sample_function"
GOOD = {"APP_VERSION": "1.4.2", "SLOT_NAME": "green"}


class Shop:
    """The app, invoked through azure-functions' converters."""

    def __init__(self, *, seed: int = 1, **settings: str) -> None:
        given = {**GOOD, **settings}
        self.functions = {f.name: f for f in index(build(given, random.Random(seed)), given)}

    def call(self, name: str, *, body: Any = None, params: dict[str, str] | None = None) -> tuple[int, dict[str, Any]]:
        """Status and body; 500 without a body when the handler raises."""
        try:
            answer = asyncio.run(self.invoke(self.functions[name], body, params or {}))
        except RuntimeError:
            return 500, {}
        return int(answer["status_code"].value), json.loads(answer["body"].value)

    async def invoke(self, function: Indexed, body: Any, params: dict[str, str]) -> Any:
        text = b"" if body is None else json.dumps(body).encode()
        request = {
            "method": Datum("GET", "string"),
            "url": Datum("https://shop.example/api/x", "string"),
            "headers": {},
            "query": {},
            "params": {key: Datum(value, "string") for key, value in params.items()},
            "body": Datum(text, "bytes"),
        }
        with ThreadPoolExecutor(1) as threads:
            answer, _ = await function.invoke(Datum(request, "http"), {}, threads)
        return answer.value

    def statuses(self, name: str, calls: int) -> Counter[int]:
        async def many() -> Counter[int]:
            seen: Counter[int] = Counter()
            for _ in range(calls):
                try:
                    seen[int((await self.invoke(self.functions[name], None, {}))["status_code"].value)] += 1
                except RuntimeError:
                    seen[-1] += 1  # an exception, which the host answers with 500
            return seen

        return asyncio.run(many())


class TestAnswers:
    @pytest.mark.parametrize(
        ("name", "body", "params", "status", "part"),
        [
            ("hello", None, {}, 200, {"message": "Hello, world"}),
            ("items", None, {"id": "7"}, 200, {"id": 7}),
            ("items", None, {"id": "seven"}, 404, {}),
            ("search", None, {}, 200, {"query": ""}),
            ("orders", {"item": 3}, {}, 201, {"order": 3}),
            ("orders", None, {}, 400, {}),
            ("pay", {"amount": 12.5}, {}, 200, {"paid": 12.5}),
            ("pay", {"amount": -1}, {}, 400, {}),
            ("pay", [1], {}, 400, {}),
            ("health", None, {}, 200, {"status": "ok"}),
            ("warmup", None, {}, 200, {"status": "ok"}),
        ],
    )
    def test_every_answer_has_the_version_and_the_slot(
        self, name: str, body: Any, params: dict[str, str], status: int, part: dict[str, Any]
    ) -> None:
        got, answer = Shop().call(name, body=body, params=params)
        assert got == status
        assert {"version": "1.4.2", "slot": "green", **part}.items() <= answer.items()

    def test_a_request_is_logged_as_one_line_of_json(self, caplog: pytest.LogCaptureFixture) -> None:
        with caplog.at_level(logging.INFO, "shop"):
            Shop().call("pay", body={"amount": 1})
        (line,) = [json.loads(record.getMessage()) for record in caplog.records if record.name == "shop"]
        assert line.pop("milliseconds") >= 0
        expected = {"operation": "pay", "method": "GET", "status": 200, "version": "1.4.2", "slot": "green"}
        assert line == expected


class TestOnPurpose:
    def test_fail_percent_fails_that_part_half_by_exception_and_half_by_a_500(self) -> None:
        seen = Shop(FAIL_PERCENT="20").statuses("hello", 2000)
        assert set(seen) == {200, 500, -1}
        assert 320 <= seen[500] + seen[-1] <= 480  # 400 expected, standard deviation 18
        assert 150 <= seen[500] <= 250

    def test_reject_percent_rejects_with_401(self) -> None:
        seen = Shop(REJECT_PERCENT="20").statuses("hello", 2000)
        assert set(seen) == {200, 401}
        assert 320 <= seen[401] <= 480

    def test_fail_route_restricts_failures_to_one_route(self) -> None:
        shop = Shop(FAIL_PERCENT="100", FAIL_ROUTE="/pay")
        assert set(shop.statuses("pay", 20)) <= {500, -1}
        assert set(shop.statuses("hello", 20)) == {200}

    def test_slow_ms_makes_every_answer_wait_about_that_long(self) -> None:
        shop = Shop(SLOW_MS="40")
        began = time.monotonic()
        assert shop.statuses("hello", 5) == {200: 5}
        assert 0.1 < time.monotonic() - began < 3.0

    def test_health_and_warm_up_never_fail_on_purpose(self) -> None:
        shop = Shop(FAIL_PERCENT="100", REJECT_PERCENT="100", SLOW_MS="60000")
        assert shop.call("health")[0] == 200
        assert shop.call("warmup")[0] == 200

    def test_the_same_generator_gives_the_same_fate(self) -> None:
        first, again, other = (Shop(seed=seed, FAIL_PERCENT="50") for seed in (1, 1, 2))
        fates = [[shop.call("hello")[0] for _ in range(30)] for shop in (first, again, other)]
        assert fates[0] == fates[1] != fates[2]


class TestNonsense:
    @pytest.mark.parametrize(
        ("settings", "told"),
        [
            ({"APP_VERSION": " "}, "APP_VERSION is not set: write the version"),
            ({"SLOT_NAME": "red"}, "SLOT_NAME is 'red': write blue or green"),
            ({"FAIL_PERCENT": "many"}, "FAIL_PERCENT is 'many': write a number from 0 to 100"),
            ({"FAIL_PERCENT": "-1"}, "FAIL_PERCENT is '-1'"),
            ({"REJECT_PERCENT": "101"}, "REJECT_PERCENT is '101'"),
            ({"SLOW_MS": "nan"}, "SLOW_MS is 'nan': write a number from 0 to 60000"),
            ({"FAIL_ROUTE": "cart"}, f"FAIL_ROUTE is 'cart': write one of {', '.join(ROUTES)}"),
        ],
    )
    def test_health_tells_what_is_wrong_and_nothing_is_served(self, settings: dict[str, str], told: str) -> None:
        shop = Shop(**settings)
        status, body = shop.call("health")
        assert status == 503
        assert told in body["error"]
        assert "version" not in body
        assert shop.call("hello")[0] == 500

    def test_every_wrong_setting_is_named_at_once(self) -> None:
        with pytest.raises(SettingsError) as refusal:
            Behaviour.read({"SLOT_NAME": "x", "FAIL_PERCENT": "x", "REJECT_PERCENT": "x", "SLOW_MS": "x"})
        for name in ("APP_VERSION", "SLOT_NAME", "FAIL_PERCENT", "REJECT_PERCENT", "SLOW_MS"):
            assert name in str(refusal.value)

    @given(st.dictionaries(st.sampled_from(["FAIL_PERCENT", "REJECT_PERCENT", "SLOW_MS", "FAIL_ROUTE"]), st.text()))
    def test_any_text_is_read_or_refused_by_name(self, settings: dict[str, str]) -> None:
        try:
            behaviour = Behaviour.read({**GOOD, **settings})
        except SettingsError as error:
            assert any(name in str(error) for name in settings)
        else:
            assert 0 <= behaviour.fail_percent <= 100
            assert 0 <= behaviour.reject_percent <= 100
            assert 0 <= behaviour.slow_ms <= 60_000


def test_the_folder_runs_in_a_functions_host(tmp_path: Path, authority: Authority) -> None:
    """As it is deployed: function_app.py, host.json and app settings, nothing from the repository."""
    settings = {**GOOD, "REJECT_PERCENT": "100"}
    with HostProcess(FOLDER, authority, folder=tmp_path, environment=settings) as host:
        session = requests.Session()
        session.trust_env = False
        session.verify = str(authority.ca_file)
        health = session.get(f"{host.url}/api/health", timeout=5)
        assert (health.status_code, health.json()["version"]) == (200, "1.4.2")
        assert (health.headers["x-version"], health.headers["x-slot"]) == ("1.4.2", "green")
        assert session.post(f"{host.url}/api/pay", json={"amount": 1}, timeout=5).status_code == 401
        session.close()


def test_request_telemetry_is_never_sampled() -> None:
    host = json.loads((FOLDER / "host.json").read_text())
    sampling = host["logging"]["applicationInsights"]["samplingSettings"]
    assert "Request" in sampling["excludedTypes"].split(";")
    assert host["logging"]["logLevel"]["Host.Results"] == "Information"  # at Error, good requests leave no row
