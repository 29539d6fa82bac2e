"""The stand-in host fires an app's functions as Azure's host does, and ends when it should."""

import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests

from lab.host_process import HostProcess, HostStartError
from lab.indexing import IndexingError, index
from lab.queues import Queues
from lab.serving import Authority

EVENT = {
    "id": "1",
    "topic": "/subscriptions/s",
    "subject": "checkout",
    "eventType": "Canary.DeploymentCompleted",
    "eventTime": "2026-11-23T10:00:00Z",
    "data": {"slot": "green"},
    "dataVersion": "1",
}
CLOUD_EVENT = {
    "specversion": "1.0",
    "id": "1",
    "source": "/pipelines/deploy",
    "type": "Canary.DeploymentCompleted",
    "time": "2026-11-23T10:00:00Z",
    "data": {"slot": "blue"},
}
WEBHOOK_PATH = "/runtime/webhooks/eventgrid?functionName=event"
NOTIFICATION = {"aeg-event-type": "Notification"}


class TestHttp:
    def test_a_handler_gets_the_route_the_query_and_the_body_as_azure_types(self, host: Any) -> None:
        answer = host.call("POST", "/api/echo/abc/7?x=1", data="hello")
        assert answer.status_code == 201
        assert answer.headers["x-word"] == "w"
        assert answer.headers["content-type"] == "application/json"
        seen = answer.json()
        assert seen["type"] == "azure.functions.http"
        assert (seen["route"], seen["query"], seen["body"]) == (
            {"word": "abc", "number": "7"},
            {"x": "1"},
            "hello",
        )
        assert seen["url"].startswith("https://127.0.0.1:")

    def test_optional_and_constrained_parameters(self, host: Any) -> None:
        assert host.call("GET", "/api/echo/abc").json()["route"] == {"word": "abc"}
        assert host.call("GET", "/api/echo/abc/x").status_code == 404

    def test_of_two_routes_the_one_of_the_first_function_name_wins_literal_or_not(self, host: Any) -> None:
        assert host.call("GET", "/api/echo/fixed").json()["route"] == {"word": "fixed"}, "echo before fixed"
        assert host.call("GET", "/api/open").text == "open", "any before open_to_all, and of another method"

    def test_a_method_that_is_not_declared_is_not_found(self, host: Any) -> None:
        assert host.call("DELETE", "/api/echo/abc").status_code == 404

    def test_a_handler_that_returns_nothing_answers_204(self, host: Any) -> None:
        assert host.call("GET", "/api/returns_without_binding").status_code == 204

    @pytest.mark.parametrize("key", [None, "wrong"])
    def test_a_function_needs_its_key_and_an_anonymous_one_does_not(self, host: Any, key: str | None) -> None:
        assert host.call("GET", "/api/echo/abc", key=key).status_code == 401
        assert host.call("GET", "/api/open", key=key).text == "open"

    def test_the_key_may_be_in_the_query(self, host: Any) -> None:
        assert host.call("GET", "/api/echo/abc?code=function-key-of-the-test", key=None).status_code == 201

    def test_a_failure_is_500_and_logged_by_name_without_the_secret(self, host: Any) -> None:
        assert host.call("GET", "/api/breaks").status_code == 500
        log = host.process.log_file.read_text()
        assert "function breaks failed" in log
        assert "no luck with <TEAMS_WEBHOOK_URL>" in log
        assert "very-secret" not in log

    def test_functions_run_in_parallel(self, host: Any, until: Callable[..., Any]) -> None:
        with pytest.raises(requests.Timeout):
            host.session.get(f"{host.process.url}/api/slow?code=function-key-of-the-test", timeout=0.05)
        assert host.call("GET", "/api/echo/abc").elapsed.total_seconds() < 5


class TestEventGrid:
    def deliver(self, host: Any, body: Any, headers: dict[str, str] | None = None) -> requests.Response:
        return host.call("POST", WEBHOOK_PATH, data=json.dumps(body), headers=headers or NOTIFICATION)

    def test_both_schemas_reach_the_handler(self, host: Any) -> None:
        before = len(host.seen("event"))
        assert self.deliver(host, [EVENT]).status_code == 202
        assert self.deliver(host, [CLOUD_EVENT]).status_code == 202
        cloud = {"content-type": "application/cloudevents+json"}
        assert self.deliver(host, CLOUD_EVENT, cloud).status_code == 202
        seen = host.seen("event")[before:]
        assert [row["schema"] for row in seen] == ["event grid", "cloud events", "cloud events"]
        assert {row["kind"] for row in seen} == {"Canary.DeploymentCompleted"}
        assert [row["data"]["slot"] for row in seen] == ["green", "blue", "blue"]

    def test_the_answer_is_500_when_one_event_of_the_batch_fails(self, host: Any) -> None:
        before = len(host.seen("event"))
        answer = self.deliver(host, [EVENT, {**EVENT, "data": {"fail": True}}])
        assert answer.status_code == 500
        assert "1 of 2" in answer.text
        assert len(host.seen("event")) == before + 2

    def test_the_validation_handshake(self, host: Any) -> None:
        validation = [{**EVENT, "data": {"validationCode": "abc-123"}}]
        answer = self.deliver(host, validation, {"aeg-event-type": "SubscriptionValidation"})
        assert (answer.status_code, answer.json()) == (200, {"validationResponse": "abc-123"})

    def test_the_cloud_events_handshake(self, host: Any) -> None:
        answer = host.call("OPTIONS", WEBHOOK_PATH, headers={"WebHook-Request-Origin": "eventgrid.azure.net"})
        assert answer.headers["WebHook-Allowed-Origin"] == "eventgrid.azure.net"

    @pytest.mark.parametrize("body", ["", "junk" * 250_000, "[]", "[1]", "null", '"text"'])
    def test_junk_is_refused_for_good(self, host: Any, body: str) -> None:
        assert host.call("POST", WEBHOOK_PATH, data=body, headers=NOTIFICATION).status_code == 400

    def test_wrong_key_unknown_function_and_unknown_kind(self, host: Any) -> None:
        assert host.call("POST", WEBHOOK_PATH, key=None, headers=NOTIFICATION).status_code == 401
        other = "/runtime/webhooks/EventGrid?functionName=nobody"
        assert host.call("POST", other, headers=NOTIFICATION).status_code == 404
        assert self.deliver(host, [EVENT], {"aeg-event-type": "Other"}).status_code == 400


class TestQueues:
    def test_outputs_become_messages_and_failures_become_poison(
        self, new_host: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        """Three tries (host.json), then the poison queue with its own trigger; others are handled once."""
        host = new_host()
        host.call("POST", "/api/send", json={"many": ["a", "bad"], "one": '{"k": 1}'})
        until(lambda: host.seen("poisoned"), "the poison message")
        rows = host.seen("work")
        assert [row["tries"] for row in rows if row["text"] == "bad"] == [1, 2, 3]
        assert sorted(row["text"] for row in rows if row["text"] != "bad") == [
            "a",
            "from the start",
            '{"k": 1}',
        ]
        assert all(row["type"] == "QueueMessage" and row["inserted"] for row in rows)
        assert host.seen("poisoned") == [{"function": "poisoned", "text": "bad"}]

    def test_a_message_survives_a_kill_and_comes_back_after_its_lease(
        self, new_host: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        host = new_host()
        host.call("POST", "/api/send", json={"many": [], "one": "hang"})
        until(lambda: [r for r in host.seen("work") if r["text"] == "hang"], "the first try")
        url, first = host.process.url, host.process.pid
        assert host.process.restart() == url
        assert host.process.pid not in (None, first)
        tries = until(lambda: [r["tries"] for r in host.seen("work") if r["text"] == "hang"][1:], "the second try")
        assert tries == [2]

    def test_a_long_run_keeps_its_lease(self, new_host: Callable[..., Any], until: Callable[..., Any]) -> None:
        host = new_host()
        host.call("POST", "/api/send", json={"many": [], "one": "hang"})
        until(lambda: [r for r in host.seen("work") if r["text"] == "hang"], "the first try")
        time.sleep(1.5)  # the lease is one second
        assert [r["tries"] for r in host.seen("work") if r["text"] == "hang"] == [1]

    def test_a_message_of_another_process_is_found(
        self, new_host: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        host = new_host()
        queues = Queues(host.process.queue_file)
        queues.put("work", "from outside", time.time())
        queues.close()
        until(lambda: [r for r in host.seen("work") if r["text"] == "from outside"], "the message from outside")


class TestTimers:
    def test_a_timer_fires_by_the_second_and_never_overlaps_itself(
        self, new_host: Callable[..., Any], until: Callable[..., Any]
    ) -> None:
        host = new_host(beat="*/1 * * * * *")
        rows = until(lambda: host.seen("beat")[1:] and host.seen("beat"), "two beats")
        assert {row["overlapping"] for row in rows} == {1}

    def test_run_on_startup_and_a_return_binding(self, host: Any, until: Callable[..., Any]) -> None:
        until(lambda: [r for r in host.seen("work") if r["text"] == "from the start"], "the run at the start")


class TestEnding:
    def test_sigterm_ends_it_within_a_second_even_while_a_function_hangs(self, new_host: Callable[..., Any]) -> None:
        host = new_host()
        with pytest.raises(requests.Timeout):
            host.session.get(f"{host.process.url}/api/slow?code=function-key-of-the-test", timeout=0.1)
        began = time.monotonic()
        host.process.stop()
        assert time.monotonic() - began < 2.0
        port = int(host.process.url.rsplit(":", 1)[1])
        with socket.socket() as free:
            free.bind(("127.0.0.1", port))

    def test_a_kill_from_another_thread_ends_what_it_was_doing(self, new_host: Callable[..., Any]) -> None:
        """As a stand-in does that kills the host at the moment at which it sees a certain request."""
        host = new_host()
        url, process = host.process.url, host.process
        killing = threading.Timer(0.2, process.kill)
        killing.start()
        with pytest.raises(requests.ConnectionError):
            host.call("GET", "/api/slow")
        killing.join()
        assert process.pid is None
        assert process.start() == url
        assert host.call("GET", "/api/open").ok

    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
    def test_it_does_not_outlive_its_parent(
        self,
        tmp_path: Path,
        until: Callable[..., Any],
        is_running: Callable[[int], bool],
        number: signal.Signals,
    ) -> None:
        parent = tmp_path / "parent.py"
        app = Path(__file__).parent / "apps" / "every_trigger"
        parent.write_text(
            textwrap.dedent(f"""
            import sys, time
            from pathlib import Path
            from lab.host_process import HostProcess
            from lab.serving import Authority
            here = Path({str(tmp_path)!r})
            settings = {{"SEEN": str(here / "seen"), "WORK_QUEUE": "work", "BEAT": "0 0 0 1 1 *"}}
            app = Path({str(app)!r})
            host = HostProcess(app, Authority(here / "ca"), folder=here / "host", environment=settings)
            host.start()
            print(host.pid, flush=True)
            time.sleep(60)
            """)
        )
        root = str(Path(__file__).parents[2])
        with subprocess.Popen(
            [sys.executable, str(parent)],
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": root},
        ) as process:
            child = int(process.stdout.readline())
            assert is_running(child)
            process.send_signal(number)
            process.wait(5)
        until(lambda: not is_running(child), "the end of the host", 3)


class TestRefusals:
    """An app that Azure would not index is refused at once, with what is wrong."""

    def start(self, tmp_path: Path, authority: Authority, code: str, host_json: str = '{"version": "2.0"}') -> str:
        app = tmp_path / "app"
        app.mkdir()
        (app / "function_app.py").write_text(textwrap.dedent(code))
        (app / "host.json").write_text(host_json)
        process = HostProcess(app, authority, folder=tmp_path / "host", environment={})
        with pytest.raises(HostStartError) as refusal:
            process.start()
        assert process.pid is None
        return str(refusal.value)

    APP = "import azure.functions as func\napp = func.FunctionApp()\n"

    def test_an_error_at_import(self, tmp_path: Path, authority: Authority) -> None:
        assert "ZeroDivisionError" in self.start(tmp_path, authority, self.APP + "1 / 0")

    def test_a_setting_that_is_missing(self, tmp_path: Path, authority: Authority) -> None:
        code = '@app.timer_trigger(arg_name="t", schedule="%TICK%")\ndef tick(t): ...\n'
        assert "add TICK to the app settings" in self.start(tmp_path, authority, self.APP + code)

    def test_a_schedule_that_is_none(self, tmp_path: Path, authority: Authority) -> None:
        code = '@app.timer_trigger(arg_name="t", schedule="every minute")\ndef tick(t): ...\n'
        assert "'every minute'" in self.start(tmp_path, authority, self.APP + code)

    def test_a_parameter_that_is_not_bound(self, tmp_path: Path, authority: Authority) -> None:
        code = '@app.route(route="x")\ndef x(request): ...\n'
        assert "function x" in self.start(tmp_path, authority, self.APP + code)

    @pytest.mark.parametrize(
        ("annotation", "refused"),
        [
            ("func.Out[list[str]]", True),
            ("func.Out[typing.List[str]]", False),
            ("func.Out[str]", False),
            ("func.Out[str | bytes]", True),
            ("func.Out[dict]", True),
            ("str", True),
            ("list", True),
        ],
    )
    def test_an_output_annotation_that_the_worker_refuses(self, annotation: str, refused: bool) -> None:
        """Each was tried with azure-functions-runtime 1.3.0."""
        names: dict[str, Any] = {}
        exec(  # noqa: S102  # an app of its own for each annotation
            self.APP
            + "import typing\n"
            + '@app.timer_trigger(arg_name="t", schedule="* * * * * *")\n'
            + '@app.queue_output(arg_name="o", queue_name="q", connection="c")\n'
            + f"def send(t: func.TimerRequest, o: {annotation}) -> None: ...\n",
            names,
        )
        if refused:
            with pytest.raises(IndexingError, match="function send: the worker refuses the annotation"):
                index(names["app"], {})
        else:
            assert [function.name for function in index(names["app"], {})] == ["send"]

    @pytest.mark.parametrize(
        ("annotation", "refused"),
        [("func.EventGridEvent", False), ("func.CloudEvent", False), ("func.EventGridEvent | func.CloudEvent", True)],
    )
    def test_a_trigger_annotation_that_the_worker_refuses(self, annotation: str, refused: bool) -> None:
        names: dict[str, Any] = {}
        code = f'@app.event_grid_trigger(arg_name="e")\ndef on(e: {annotation}) -> None: ...\n'
        exec(self.APP + code, names)  # noqa: S102
        if refused:
            with pytest.raises(IndexingError, match="of e; write the trigger's own class"):
                index(names["app"], {})
        else:
            assert len(index(names["app"], {})) == 1

    @pytest.mark.parametrize(
        ("annotation", "refused"),
        [("None", True), ("dict", True), ("str | None", True), ("str", False), ("func.HttpResponse", False)],
    )
    def test_a_return_annotation_that_the_worker_refuses(self, annotation: str, refused: bool) -> None:
        names: dict[str, Any] = {}
        code = f'@app.route(route="x")\ndef x(req: func.HttpRequest) -> {annotation}: ...\n'
        exec(self.APP + code, names)  # noqa: S102
        if refused:
            with pytest.raises(IndexingError, match="function x: the worker refuses the return annotation"):
                index(names["app"], {})
        else:
            assert len(index(names["app"], {})) == 1

    def test_a_host_json_with_nonsense(self, tmp_path: Path, authority: Authority) -> None:
        code = '@app.route(route="x")\ndef x(req): ...\n'
        nonsense = '{"version": "2.0", "extensions": {"queues": {"batchSize": 99}}}'
        assert "batchSize is 99; write a whole number from 1 to 32" in self.start(
            tmp_path, authority, self.APP + code, nonsense
        )
