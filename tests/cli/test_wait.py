"""`canary wait` streams each decision once and ends as the rollout ends."""

import json
from typing import Any

import pytest

from tests.cli.conftest import Api, Canary


def seen(number: int, **more: Any) -> dict[str, Any]:
    """A rollout with its first `number` decisions."""
    rollout = {
        "id": "r1",
        "service": "checkout",
        "version": "2",
        "phase": "step",
        "share": 10,
        "outcome": None,
        "hold": None,
    }
    decisions = [
        {"number": n, "at": 1_700_000_000 + n, "phase": "step", "share": 10, "sentence": f"decision {n}", "kind": None}
        for n in range(1, number + 1)
    ]
    return {"rollout": rollout | more, "decisions": decisions, "notices": []}


def closed(outcome: str, number: int = 3) -> dict[str, Any]:
    return seen(number, phase="closed", outcome=outcome, sentence="That was it.")


def wait(canary: Canary, *more: str) -> Any:
    return canary("wait", *more, "--poll", "0.1")


def test_every_decision_is_printed_once(api: Api, canary: Canary) -> None:
    """Looking again repeats nothing."""
    api.answers("GET", "/api/rollouts/r1", seen(1), seen(1), seen(3), closed("promoted"))
    result = wait(canary, "r1")
    assert result.exit_code == 0
    assert [result.stdout.count(f"decision {n}") for n in (1, 2, 3)] == [1, 1, 1]
    assert result.stdout.splitlines()[-1] == "2 of checkout: promoted"


def test_a_decision_and_its_reading_back_are_one_line(api: Api, canary: Canary) -> None:
    """Two records with one sentence look as if it was done twice; a machine is given both."""
    twice = seen(3)
    for decision in twice["decisions"][1:]:
        decision["sentence"] = "0 -> 10 % for green."
    api.answers("GET", "/api/rollouts/r1", seen(1), twice, closed("promoted", 0))
    assert wait(canary, "r1").stdout.count("0 -> 10 % for green.") == 1
    api.answers("GET", "/api/rollouts/r1", twice, closed("promoted", 0))
    assert wait(canary, "r1", "--json").stdout.count("0 -> 10 % for green.") == 2


@pytest.mark.parametrize(
    ("outcome", "code"), [("promoted", 0), ("rolled_back", 1), ("rejected", 1), ("superseded", 1), ("aborted", 1)]
)
def test_the_exit_code_is_the_outcome(api: Api, canary: Canary, outcome: str, code: int) -> None:
    """Only promoted is good."""
    api.answers("GET", "/api/rollouts/r1", closed(outcome))
    result = wait(canary, "r1")
    assert (result.exit_code, outcome in result.output) == (code, True)


def test_a_hold_that_lasts_ends_the_waiting(api: Api, canary: Canary) -> None:
    """Exit code 3, and why it is held."""
    api.answers("GET", "/api/rollouts/r1", seen(1, hold="drift", sentence="x 2 is held (drift): 30 %."))
    result = wait(canary, "r1", "--patience", "0s")
    assert result.exit_code == 3
    assert result.stderr == "error: r1: x 2 is held (drift): 30 %.\n"


def test_a_hold_that_passes_does_not(api: Api, canary: Canary) -> None:
    """Telemetry that was late for a moment is no reason to fail a pipeline."""
    api.answers("GET", "/api/rollouts/r1", seen(1, hold="blind"), seen(1, hold="blind"), closed("promoted"))
    assert wait(canary, "r1", "--patience", "1m").exit_code == 0


def test_time_over_is_held(api: Api, canary: Canary) -> None:
    """Exit code 3; the rollout itself goes on."""
    api.answers("GET", "/api/rollouts/r1", seen(1))
    result = wait(canary, "r1", "--timeout", "0s")
    assert result.exit_code == 3
    assert "it goes on" in result.stderr


def test_a_short_outage_of_the_function_app_is_waited_out(api: Api, canary: Canary) -> None:
    """It may be deployed itself while a pipeline waits."""
    api.answers(
        "GET", "/api/rollouts/r1", (503, {"error": "starting"}), seen(1), (502, "bad gateway"), closed("promoted")
    )
    result = wait(canary, "r1")
    assert result.exit_code == 0
    assert "starting" in result.stderr


def test_a_long_outage_is_unreachable(api: Api, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4."""
    monkeypatch.setattr("cli.wait.OUTAGE_SECONDS", 0.0)
    api.answers("GET", "/api/rollouts/r1", (503, {"error": "state cannot be reached"}))
    assert wait(canary, "r1").exit_code == 4


def test_an_unknown_rollout_is_bad_input(api: Api, canary: Canary) -> None:
    """It is not waited for."""
    api.answers("GET", "/api/rollouts/r1", (404, {"error": "rollout 'r1' is not stored"}))
    assert wait(canary, "r1").exit_code == 2


def test_with_a_service_it_waits_for_the_next_rollout_never_for_an_old_one(api: Api, canary: Canary) -> None:
    """Yesterday's promotion must not end today's pipeline."""
    old, new = {"id": "r0", "version": "1", "phase": "closed"}, {"id": "r1", "version": "2", "phase": "gate"}
    api.answers("GET", "/api/rollouts", {"rollouts": [old]}, {"rollouts": [old]}, {"rollouts": [new, old]})
    api.answers("GET", "/api/rollouts/r1", closed("promoted"))
    result = wait(canary, "--service", "checkout")
    assert result.exit_code == 0
    assert ("GET", "/api/rollouts/r0", "") not in api.requests


def test_version_and_deployment_tell_rollouts_apart(api: Api, canary: Canary) -> None:
    """A retry of a version that was rolled back is another rollout with another deployment."""
    first, second = ({"id": f"r{n}", "version": "2", "phase": "closed", "deployment_id": f"d{n}"} for n in (0, 1))
    api.answers("GET", "/api/rollouts", {"rollouts": [second, first, {"id": "rx", "version": "1", "phase": "closed"}]})
    api.answers("GET", "/api/rollouts/r0", closed("rolled_back"))
    api.answers("GET", "/api/rollouts/r1", closed("promoted"))
    line = ("--service", "checkout", "--version", "2", "--deployment-id")
    assert (wait(canary, *line, "d1").exit_code, wait(canary, *line, "d0").exit_code) == (0, 1)
    assert wait(canary, "--service", "checkout", "--version", "9", "--timeout", "0s").exit_code == 3


def test_json_is_one_object_a_line(api: Api, canary: Canary) -> None:
    """Decisions as they come, the ending last; for a machine that reads along."""
    api.answers("GET", "/api/rollouts/r1", seen(1), closed("promoted", 2))
    lines = [json.loads(line) for line in wait(canary, "r1", "--json").stdout.splitlines()]
    assert [line["decision"]["number"] for line in lines[:2]] == [1, 2]
    assert (lines[2]["outcome"], lines[2]["state"]) == ("promoted", "promoted")
