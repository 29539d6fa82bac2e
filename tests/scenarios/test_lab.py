"""Scenarios in the real lab: real HTTP, real SDK clients, the analyzer in a process of its own. Seconds, not minutes.

What is about the controller alone is proved on virtual time (tests/simulation); here stands what only the
real protocols can show. A failing run is replayed by the command in its message.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest

from lab.log_analytics import Ingestion
from lab.run import Options, Result, Run
from lab.scenarios import SCENARIOS, setup_of
from lab.world import Lab, overridden

pytestmark = pytest.mark.lab
QUICK = {
    "bake": "1s",
    "watch": "2s",
    "history": "10s",
    "gate": {"path": "/api/health", "successes": 1, "deadline": "30s", "timeout": "3s"},
    "indicators": {"failures": {"points": 20, "ratio": 1.5}, "rejected": "off", "p95": "off"},
    "limits": {"blind": "2s", "unobserved": "3s", "one_instance": "3s"},
    "expert": {"interval": "1s", "settle": "1s", "propagation": "1s", "cold": "1s"},
}
PROMPT = Ingestion(delay_seconds=0.1, jitter_seconds=0.1)  # so that an interval is settled after a second
LATENCY = {
    "slow": {"slower_than": "600ms", "points": 6, "ratio": 1.5},
    "failures": "off",
    "rejected": "off",
    "p95": "off",
}


def play(name: str, folder: Path, *, errors: float | None = None, **changes: object) -> Result:
    """One scenario with quick durations; the seed and the command that replays it are printed."""
    chosen = SCENARIOS[name]
    options = Options(
        seed=int(os.environ.get("CANARY_SEED", "7")),
        rate=300.0,
        canary_errors=errors,
        history=2.0,
        policy=overridden(QUICK, changes),
    )
    print(f"seed {options.seed}; replay: CANARY_SEED={options.seed} pytest {__file__} -k {name}")
    setup = msgspec.structs.replace(setup_of(chosen, options), ingestion=PROMPT)
    with Lab(folder, setup) as lab:
        run = Run(lab, options, errors=chosen.errors, slowdown=chosen.slowdown)
        chosen.play(run)
        result = run.result(name)
        incidents = lab.ask("GET", "incidents")["incidents"]
    assert not [one for one in incidents if one["kind"] in ("invariant", "poison")], incidents
    return result


def test_good_is_promoted_and_its_cards_say_so(tmp_path):
    result = play("good", tmp_path)
    assert (result.outcome, result.phase, result.shares) == ("promoted", "closed", [10, 50, 100])
    assert result.final_weights == {"blue": 0, "green": 100}
    assert (result.canary, result.marker) == ("green", "green")
    assert [one["kind"] for one in result.notices] == ["started", "raised", "raised", "switched", "promoted"]
    assert result.started_by == "event:Canary.DeploymentCompleted"


def test_errors_are_rolled_back_and_the_marker_stays(tmp_path):
    result = play("errors", tmp_path, errors=40.0)
    assert (result.outcome, result.shares[0], result.shares[-1]) == ("rolled_back", 10, 0)
    assert result.final_weights == {"blue": 100, "green": 0}
    assert result.marker == "blue"
    assert any("indicators.failures.points" in one for one in result.reasons)


def test_rejected_is_rolled_back(tmp_path):
    result = play("rejected", tmp_path)
    assert (result.outcome, result.final_weights) == ("rolled_back", {"blue": 100, "green": 0})


def test_slow_is_rolled_back(tmp_path):
    result = play("slow", tmp_path, indicators=LATENCY)
    assert (result.outcome, result.final_weights) == ("rolled_back", {"blue": 100, "green": 0})


@pytest.mark.parametrize("name", ["throttled", "stale-write", "crash", "duplicate-events"])
def test_what_goes_wrong_between_us_and_azure_does_not_lose_a_good_rollout(tmp_path, name):
    result = play(name, tmp_path)
    assert (result.outcome, result.shares) == ("promoted", [10, 50, 100])
    assert result.marker == "green"


def test_requests_without_rows_are_rolled_back(tmp_path):
    result = play("unobserved", tmp_path)
    assert result.outcome == "rolled_back"
    assert result.final_weights == {"blue": 100, "green": 0}


@pytest.mark.parametrize("name", ["broken-health", "wrong-version"])
def test_what_is_not_up_never_gets_traffic(tmp_path, name):
    result = play(name, tmp_path, gate={"deadline": "6s"})
    assert (result.outcome, result.shares) == ("rejected", [])
    assert result.final_weights == {"blue": 100, "green": 0}


def test_a_death_after_promotion_goes_straight_back(tmp_path):
    result = play("dies-after-promotion", tmp_path, watch="20s")
    assert (result.outcome, result.shares) == ("rolled_back", [10, 50, 100, 0])
    assert result.marker == "blue"


def test_drift_is_held_and_left_as_the_person_set_it(tmp_path):
    result = play("drift", tmp_path)
    assert (result.outcome, result.hold) == (None, "drift")
    assert result.final_weights == {"blue": 70, "green": 30}


def test_a_telemetry_outage_is_held_and_then_promoted(tmp_path):
    result = play("telemetry-outage", tmp_path, steps=[10, 100])
    assert result.outcome == "promoted"
    assert any("(blind)" in one for one in result.reasons)


def test_deploying_to_the_live_slot_is_held(tmp_path):
    result = play("deploy-to-live", tmp_path)
    assert (result.outcome, result.hold) == (None, "deployed_to_live")
    assert result.final_weights == {"blue": 100, "green": 0}


def test_a_refused_rollback_is_told_as_not_carried_out_and_then_done(tmp_path):
    result = play("cannot-write", tmp_path, errors=40.0)
    kinds = [one["kind"] for one in result.notices]
    assert result.outcome == "rolled_back"
    assert kinds.index("not_carried_out") < kinds.index("rolled_back")


def test_mode_observe_writes_nothing(tmp_path):
    result = play("observe", tmp_path, errors=40.0)
    assert result.outcome is None
    assert result.notices == []
    assert any("Would roll back" in one for one in result.reasons)


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_nothing_is_left_when_the_lab_ends_or_dies(tmp_path, how):
    """Ctrl-C, or a crash: the host ends with its lab, and its port is free again."""
    code = (
        "import sys, time, pathlib\n"
        "from lab.world import Lab, Setup\n"
        "with Lab(pathlib.Path(sys.argv[1]), Setup(rate=20.0)) as lab:\n"
        "    print(lab.host.pid, lab.host.url.rsplit(':', 1)[1], flush=True)\n"
        "    time.sleep(60)\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=root,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    pid, port = (int(word) for word in process.stdout.readline().split())
    process.send_signal(how)
    process.wait(20)
    process.stdout.close()
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and _runs(pid):
        time.sleep(0.05)
    assert not _runs(pid), "the host outlived its lab"
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
