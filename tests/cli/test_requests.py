"""Each command sends one documented request and shows what was answered."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import KEY, Api, Canary

ROOT = Path(__file__).parents[2]
ROLLOUT = {
    "id": "checkout-1",
    "service": "checkout",
    "version": "1.4.2",
    "canary": "green",
    "phase": "step",
    "share": 10,
    "outcome": None,
    "hold": None,
    "paused": None,
    "started_at": 1_700_000_000.0,
    "started_by": "event:Canary.DeploymentCompleted",
    "closed_at": None,
    "sentence": "10 % since 12:00: not yet proven.",
}
SERVICE = {
    "service": "checkout",
    "mode": "act",
    "off": False,
    "live": "blue",
    "rollout": "checkout-1",
    "version": "1.4.2",
    "phase": "step",
    "share": 10,
    "hold": "drift",
    "lease": {"owner": "run 7", "slot": "green", "expires_at": 1_700_000_000},
}
ACTED = {"rollout": ROLLOUT, "sentence": "Done as asked."}
WHO = {"actor": "ada"}

SENT: list[tuple[list[str], str, str, dict[str, Any], dict[str, Any], str]] = [
    # command line, method, path, body sent, answer, shown
    (["resume", "checkout"], "POST", "services/checkout/resume", WHO, ACTED, "Done as asked."),
    (["promote", "checkout"], "POST", "services/checkout/promote", WHO, ACTED, "Done as asked."),
    (["abort", "checkout"], "POST", "services/checkout/abort", WHO, ACTED, "checkout-1: step, share 10 %"),
    (["adopt", "checkout"], "POST", "services/checkout/adopt", WHO, ACTED, "Done as asked."),
    (["reassert", "checkout"], "POST", "services/checkout/reassert", WHO, ACTED, "Done as asked."),
    (["rollback", "checkout"], "POST", "services/checkout/rollback", WHO, ACTED, "Done as asked."),
    (["pause", "checkout"], "POST", "services/checkout/pause", WHO, ACTED, "Done as asked."),
    (
        ["pause", "checkout", "--for", "2h", "--reason", "lunch", "--actor", "bob"],
        "POST",
        "services/checkout/pause",
        {"actor": "bob", "reason": "lunch", "minutes": 120},
        ACTED,
        "Done as asked.",
    ),
    (
        ["approve", "checkout", "--share", "50"],
        "POST",
        "services/checkout/approve",
        WHO | {"share": 50},
        ACTED,
        "Done as asked.",
    ),
    (
        ["start", "checkout", "1.4.2", "--slot", "green", "--deployment-id", "d1", "--link", "https://ci/1"],
        "POST",
        "services/checkout/start",
        WHO | {"version": "1.4.2", "slot": "green", "deployment_id": "d1", "link": "https://ci/1"},
        {"rollout": ROLLOUT},
        "checkout-1  1.4.2 on green: step",
    ),
    (
        ["start", "checkout", "1.4.3", "--deployment-id", "run 8"],
        "POST",
        "services/checkout/start",
        WHO | {"version": "1.4.3", "deployment_id": "run 8"},
        {"rollout": ROLLOUT | {"outcome": "superseded", "successor": {"version": "1.4.3", "deployment_id": "run 8"}}},
        "1.4.3 begins when that has ended",
    ),
    (["shift", "checkout", "30"], "POST", "services/checkout/shift", WHO | {"share": 30}, ACTED, "Done as asked."),
    (
        ["shift", "checkout", "0", "--slot", "green"],
        "POST",
        "services/checkout/shift",
        WHO | {"share": 0, "slot": "green"},
        ACTED,
        "Done as asked.",
    ),
    (
        ["target", "checkout", "--owner", "run 7", "--release"],
        "POST",
        "services/checkout/release",
        WHO | {"owner": "run 7"},
        {"service": "checkout", "released": True},
        "checkout: given back",
    ),
    (["mode", "checkout", "observe"], "POST", "services/checkout/mode", WHO | {"mode": "observe"}, {}, "mode observe"),
    (["off"], "POST", "off", WHO, {}, "all services: off"),
    (["off", "checkout"], "POST", "off", WHO | {"service": "checkout"}, {}, "checkout: off"),
    (["on"], "POST", "on", WHO, {}, "all services: on"),
    (
        ["target", "checkout", "--owner", "run 7", "--for", "10m", "--preempt"],
        "POST",
        "services/checkout/target",
        WHO | {"owner": "run 7", "seconds": 600, "preempt": True},
        {"slot": "green", "url": "https://green", "expires_at": 1_700_000_000, "lease": "l1"},
        "green",
    ),
]


@pytest.mark.parametrize(("line", "method", "path", "body", "answer", "shown"), SENT, ids=lambda v: str(v)[:40])
def test_a_command_is_one_request(
    *,
    api: Api,
    canary: Canary,
    line: list[str],
    method: str,
    path: str,
    body: dict[str, Any],
    answer: dict[str, Any],
    shown: str,
) -> None:
    """Method, address, key, body; then the answer in words, or with --json as it came."""
    api.answers(method, f"/api/{path}", answer)
    result = canary(*line)
    assert (result.exit_code, api.requests) == (0, [(method, f"/api/{path}", body)])
    assert api.headers[0]["x-functions-key"] == KEY
    assert shown in result.stdout
    assert json.loads(canary(*line, "--json").stdout) == answer


def test_status_tells_who_switched_a_service_off_and_who_set_its_mode(api: Api, canary: Canary) -> None:
    """And why, and when: at night the person to ask is not the one who reads."""
    ordered = {
        "off": True,
        "off_set": {"actor": "ada", "reason": "certificates", "at": 1_700_000_000},
        "mode_set": {"actor": "bob (claimed)", "reason": "", "at": 1_700_000_060},
    }
    api.answers("GET", "/api/services", {"services": [SERVICE | ordered]})
    api.answers("GET", "/api/incidents", {"incidents": []})
    lines = canary("status").stdout.splitlines()
    assert lines[-2:] == [
        "checkout: off since 2023-11-14 22:13:20Z by ada: certificates",
        "checkout: mode act since 2023-11-14 22:14:20Z by bob (claimed)",
    ]


def test_target_prints_the_slot_alone_for_a_pipeline(api: Api, canary: Canary) -> None:
    """SLOT=$(canary target checkout) works; the sentence goes to standard error."""
    api.answers("POST", "/api/services/checkout/target", {"slot": "green", "url": "https://g", "expires_at": 1})
    result = canary("target", "checkout")
    assert result.stdout == "green\n"
    assert "https://g is yours (ada)" in result.stderr


def test_target_waits_until_the_slot_is_free(api: Api, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in the way is told once, and then the slot."""
    monkeypatch.setattr("cli.target.POLL_SECONDS", 0.01)
    busy = (409, {"error": "checkout-1 is in phase step"})
    api.answers("POST", "/api/services/checkout/target", busy, busy, {"slot": "green", "url": "u", "expires_at": 1})
    result = canary("target", "checkout", "--wait")
    assert (result.exit_code, result.stdout, len(api.requests)) == (0, "green\n", 3)
    assert result.stderr.count("checkout-1 is in phase step") == 1


def test_target_that_is_not_free_in_time_is_held(api: Api, canary: Canary) -> None:
    """Exit code 3, with the reason."""
    api.answers("POST", "/api/services/checkout/target", (409, {"error": "busy"}))
    result = canary("target", "checkout", "--wait", "--timeout", "0s")
    assert result.exit_code == 3
    assert "busy" in result.stderr


def test_status_shows_services_and_incidents(api: Api, canary: Canary) -> None:
    """One look at everything: what runs, who holds what, what went wrong."""
    api.answers("GET", "/api/services", {"services": [SERVICE, SERVICE | {"service": "basket", "off": True}]})
    api.answers(
        "GET", "/api/incidents", {"incidents": [{"at": 1_700_000_000, "kind": "poison", "detail": "a\x1b[31mb"}]}
    )
    result = canary("status")
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[0].split() == ["service", "mode", "live", "rollout", "version", "phase", "share", "hold", "lease"]
    assert lines[1].split()[:8] == ["checkout", "act", "blue", "checkout-1", "1.4.2", "step", "10", "%"]
    assert "run 7 on green until 2023-11-14 22:13:20Z" in lines[1]
    assert lines[2].split()[:2] == ["basket", "off"]
    assert "poison" in result.stdout
    assert "\x1b" not in result.stdout
    assert set(json.loads(canary("status", "--json").stdout)) == {"services", "incidents"}


def test_status_shows_a_pause_and_why_live_is_unknown(api: Api, canary: Canary) -> None:
    """Nothing that keeps a rollout from moving is left to be guessed."""
    unknown = {"live": None, "live_unknown": "read the named value 'current-slot-name': 404"}
    paused = SERVICE | {"hold": None, "paused": "incident on payments", "lease": None}
    api.answers("GET", "/api/services", {"services": [paused, SERVICE | unknown]})
    api.answers("GET", "/api/incidents", {"incidents": []})
    lines = canary("status").stdout.splitlines()
    assert lines[1].split()[-2:] == ["paused", "-"]
    assert lines[2].split()[2] == "unknown"
    assert lines[3] == f"checkout: which slot is live is unknown: {unknown['live_unknown']}"


def test_status_of_one_service_lists_its_newest_rollouts(api: Api, canary: Canary) -> None:
    """And a service that the policy does not have is bad input, with the names that it has."""
    held = ROLLOUT | {"id": "checkout-0", "hold": "drift"}
    api.answers("GET", "/api/services", {"services": [SERVICE]})
    api.answers("GET", "/api/rollouts", {"rollouts": [ROLLOUT, held]})
    result = canary("status", "checkout")
    assert api.requests[-1][1] == "/api/rollouts?service=checkout&limit=5"
    assert "held (drift)" in result.stdout
    unknown = canary("status", "chekout")
    assert unknown.exit_code == 2
    assert "it has checkout" in unknown.stderr


@pytest.mark.parametrize("columns", [40, 60, 80, 200])
def test_a_terminal_of_any_width_shows_every_id_whole(
    api: Api, canary: Canary, monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    """An id that is cut cannot be typed into `canary show`; where a table does not fit, rows are names and values."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    name = "checkout-20261124T065948-78ccc7"
    sentence = "not proven yet: failures canary 0/187 (0 %), baseline 5/1710 (0.29 %), evidence 2.5 of 4.6"
    api.answers("GET", "/api/services", {"services": [SERVICE | {"rollout": name}]})
    api.answers("GET", "/api/rollouts", {"rollouts": [ROLLOUT | {"id": name, "sentence": sentence}]})
    said = re.sub(r"\x1b\[[0-9;]*m", "", canary("status", "checkout").stdout)
    assert (said.count(name), said.count("…")) == (2, 0)
    assert max(map(len, said.splitlines())) <= columns or columns == 40
    assert ("────" in said) == (columns == 200)


def test_what_is_decided_is_not_told_as_done(api: Api, canary: Canary) -> None:
    """A rollback that cannot be written: users have 10 %, whatever is wanted."""
    ending = ROLLOUT | {"phase": "closing", "outcome": "rolled_back", "share": 0, "read_back": 10}
    held = ending | {"hold": "cannot_write"}
    api.answers("GET", "/api/services", {"services": [SERVICE | {"share": 0, "read_back": 10}]})
    api.answers("GET", "/api/rollouts", {"rollouts": [ending, held]})
    service, first, second = (canary("status", "checkout").stdout.splitlines()[row] for row in (1, 3, 4))
    assert "10 % (wants 0 %)" in service
    assert "10 % (wants 0 %)  closing (rolled_back)" in first
    assert "held (cannot_write)" in second
    api.answers("POST", "/api/services/checkout/abort", {"rollout": ending, "sentence": "Decided."})
    said = canary("abort", "checkout")
    assert "checkout-1: closing (rolled_back), share 10 % (wants 0 %)" in said.stdout
    assert "stored, not carried out yet: canary status checkout" in said.stderr


def test_a_service_without_rollouts_says_so(api: Api, canary: Canary) -> None:
    api.answers("GET", "/api/services", {"services": [SERVICE]})
    api.answers("GET", "/api/rollouts", {"rollouts": []})
    assert canary("status", "checkout").stdout.splitlines()[-1] == "no rollout yet"


def test_show_tells_evidence_decisions_and_messages(api: Api, canary: Canary) -> None:
    """Both counts, what is tolerated, the evidence against both limits; unknown is a dash."""
    side = {"bad": 31, "requests": 400, "rate": 0.0775}
    evidence = {
        "name": "failures",
        "canary": side,
        "baseline": {"bad": 0, "requests": 0, "rate": None},
        "boundary": None,
        "harm": 12.3,
        "harm_limit": 5.3,
        "safe": None,
        "safe_limit": 4.6,
        "note": "no history for T",
    }
    decision = {
        "number": 1,
        "at": 1_700_000_000.5,
        "phase": "step",
        "share": 0,
        "sentence": "Share set to 0.",
        "kind": "held",
    }
    api.answers(
        "GET",
        "/api/rollouts/checkout-1",
        {
            "rollout": ROLLOUT | {"verdict": {"kind": "harmful", "why": "", "indicators": [evidence]}},
            "decisions": [decision, decision | {"number": 2}, decision | {"number": 3, "sentence": "Closed."}],
            "notices": [{"channel": "team", "kind": "held", "sent_at": None, "error": "429 of the channel team"}],
        },
    )
    result = canary("show", "checkout-1")
    assert "verdict: harmful" in result.stdout
    row = next(line for line in result.stdout.splitlines() if line.startswith("failures"))
    assert "31/400 (7.75 %)" in row
    assert "0/0 (-)" in row
    assert "12.3 of 5.3" in row
    assert result.stdout.count("2023-11-14 22:13:20Z  step      0 %  Share set to 0.") == 1, "read back as decided"
    assert "429 of the channel team" in result.stdout
    assert "Share set to 0." not in canary("show", "checkout-1", "--last", "1").stdout


def test_config_push_sends_the_file_as_it_is(api: Api, canary: Canary) -> None:
    """The YAML travels byte for byte, comments and all; actor and reason go with it."""
    api.answers("PUT", "/api/config", {"version": 7})
    result = canary("config", "push", str(ROOT / "canary.yaml"), "--reason", "wider p95")
    (method, path, body) = api.requests[0]
    assert (method, path) == ("PUT", "/api/config?actor=ada&reason=wider+p95")
    assert body == (ROOT / "canary.yaml").read_text(encoding="utf-8")
    assert "version 7 is in force: checkout" in result.stdout
    assert result.stderr == ""
    api.answers("PUT", "/api/config", {"version": 8, "warnings": ["services.checkout.pool is a; until now it was b"]})
    result = canary("config", "push", str(ROOT / "canary.yaml"))
    assert (result.exit_code, result.stderr) == (0, "services.checkout.pool is a; until now it was b\n")


def test_config_show_prints_the_yaml_alone(api: Api, canary: Canary) -> None:
    """So that `canary config show > canary.yaml` is the file."""
    held = {"version": 7, "pushed_at": 1_700_000_000, "actor": "ada", "source": "pushed", "yaml": "services: {}\n"}
    api.answers("GET", "/api/config", held)
    result = canary("config", "show")
    assert result.stdout == "services: {}\n"
    assert "version 7, pushed by ada at 2023-11-14 22:13:20Z" in result.stderr
    api.answers("GET", "/api/config", {"version": None, "source": "packaged", "yaml": "services: {}\n"})
    assert "packaged with the function app; none was pushed" in canary("config", "show").stderr
