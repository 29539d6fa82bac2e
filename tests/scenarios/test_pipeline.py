"""A pipeline's commands against the whole lab, as it types them: target, announce, wait, and a person's shift."""

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from cli.main import app
from lab.run import Options, Run
from lab.scenarios import SCENARIOS, setup_of
from lab.world import KEY, Lab, overridden
from rollouts.observation import Slot, Weights
from tests.scenarios.test_lab import PROMPT, QUICK

pytestmark = pytest.mark.lab
VERSION = "1.1.0"
DONE, ENDED_BADLY, HELD, UNREACHABLE = 0, 1, 3, 4  # exit codes, as documented
Canary = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Run]:
    """The lab, with two steps: enough for a rollout, a watch and a way back; `request.param` changes the policy."""
    options = Options(
        seed=int(os.environ.get("CANARY_SEED", "7")),
        rate=300.0,
        history=2.0,
        policy=overridden(QUICK, {"steps": [50, 100], "watch": "3s", **getattr(request, "param", {})}),
    )
    print(f"seed {options.seed}; replay: CANARY_SEED={options.seed} pytest {__file__}")
    good = SCENARIOS["good"]
    with Lab(tmp_path, msgspec.structs.replace(setup_of(good, options), ingestion=PROMPT)) as lab:
        yield Run(lab, options, errors=good.errors, slowdown=good.slowdown)


@pytest.fixture
def canary(run: Run, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """The command line on a pipeline's agent or a person's desk, with all rights."""
    for name, value in {**run.lab.shell, "CANARY_ACTOR": "ada"}.items():
        monkeypatch.setenv(name, value)

    def typed(*line: str) -> Result:
        result = CliRunner().invoke(app, list(line))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert KEY not in result.output
        assert run.lab.topic.key not in result.output
        return result

    return typed


def test_a_pipeline_deploys_announces_waits_and_a_person_takes_it_back(run: Run, canary: Canary) -> None:
    slot = canary("target", "checkout", "--owner", "run 7").stdout.strip()
    assert slot == "green"
    second = canary("target", "checkout", "--owner", "run 8")
    assert (second.exit_code, "green is leased by run 7" in second.stderr) == (1, True)
    run.keep(2.0)  # so much history the policy wants
    run.lab.deploy(Slot.GREEN, VERSION)
    told = ("--service", "checkout", "--version", VERSION, "--slot", slot, "--deployment-id", "run-7")
    assert [canary("announce", *told).exit_code for _ in range(2)] == [0, 0]
    run.until("begun", lambda one: one["phase"] in ("gate", "step"))
    refused = canary("target", "checkout", "--owner", "run 8")
    assert (refused.exit_code, "--preempt for a hotfix" in refused.stderr) == (1, True)
    run.until("watch", lambda one: one["phase"] == "watch")
    assert "is in phase watch" in canary("target", "checkout", "--owner", "run 8").stderr
    waited = canary("wait", "--service", "checkout", "--deployment-id", "run-7", "--poll", "0.2")
    assert waited.exit_code == 0, waited.output
    assert "50 %" in waited.stdout
    found = run.lab.ask("GET", "rollouts?service=checkout")["rollouts"]
    assert [one["outcome"] for one in found] == ["promoted"], "announced twice, one rollout"

    assert canary("shift", "checkout", "0", "--reason", "numbers").exit_code == DONE
    back = run.lab.ask("GET", "rollouts?service=checkout&limit=1")["rollouts"][0]["id"]
    assert canary("wait", back, "--poll", "0.2").exit_code == ENDED_BADLY
    assert (run.lab.weights(), run.lab.live()) == (Weights(blue=100, green=0), "blue")
    assert canary("shift", "checkout", "0").stdout.startswith("so already")


def test_where_it_is_not_clear_nothing_may_be_deployed(run: Run, canary: Canary) -> None:
    run.lab.set_weights(Weights(blue=70, green=30))
    drifted = canary("target", "checkout", "--owner", "run 7")
    assert drifted.exit_code == 1
    assert "green should be idle, but the pool green-blue-pool gives it 30 %" in drifted.stderr
    run.lab.set_weights(Weights(blue=100, green=0))
    run.lab.set_marker("teal")
    unknown = canary("target", "checkout", "--owner", "run 7")
    assert unknown.exit_code == UNREACHABLE
    assert "which slot is live is unknown" in unknown.stderr
    assert "'teal'" in unknown.stderr
    run.lab.set_marker("blue")
    assert canary("target", "checkout", "--owner", "run 7").stdout == "green\n"
    given = canary("target", "checkout", "--owner", "run 7", "--release")
    assert (given.exit_code, given.stdout) == (0, "checkout: given back\n")


@pytest.mark.parametrize("run", [{"bake": "60s"}], indirect=True, ids=["a long step"])
def test_a_person_sets_shares_and_a_hotfix_ends_what_another_hand_disturbed(run: Run, canary: Canary) -> None:
    begun = announced(run, canary)
    set_by_hand = canary("shift", "checkout", "30", "--reason", "a smaller group")
    assert set_by_hand.exit_code == DONE
    assert "50 -> 30 % for green. shift by ada (claimed): a smaller group" in set_by_hand.stdout
    run.until("30 %", lambda one: one["shares"] == [50, 30])
    run.until(
        "a card",
        lambda _: any("shift by ada (claimed): a smaller group" in str(one.body) for one in run.lab.messages()),
    )
    assert "30 % for green is so already\n" in canary("shift", "checkout", "30").stdout

    run.lab.set_weights(Weights(blue=60, green=40))
    run.until("drift", lambda one: one["hold"] == "drift")
    held = canary("wait", begun, "--poll", "0.2", "--patience", "1s")
    assert (held.exit_code, "is held (drift)" in held.stderr) == (HELD, True)
    refused = canary("shift", "checkout", "60")
    assert (refused.exit_code, "the pool does not hold what" in refused.stderr) == (ENDED_BADLY, True)

    hotfix = canary("target", "checkout", "--owner", "run 9", "--preempt", "--reason", "hotfix")
    assert (hotfix.exit_code, hotfix.stdout) == (DONE, "green\n"), hotfix.output
    assert run.lab.weights() == Weights(blue=100, green=0), "read back before the lease was given"
    ended = canary("wait", begun, "--poll", "0.2")
    assert (ended.exit_code, "aborted" in ended.stderr) == (ENDED_BADLY, True)
    assert "preempted: hotfix" in canary("show", begun).stdout


@pytest.mark.parametrize("run", [{"bake": "60s"}], indirect=True, ids=["a long step"])
def test_past_the_analyzer_100_and_back_to_0_leave_no_rollout_behind(run: Run, canary: Canary) -> None:
    """What --direct writes is a person's hand: 0 ends the rollout that runs, and both ways may be repeated."""
    begun = announced(run, canary)
    assert canary("shift", "checkout", "0", "--direct").exit_code == DONE
    aborted = run.until("closed", lambda one: one["phase"] == "closed")
    assert (aborted["id"], aborted["outcome"]) == (begun, "aborted")
    for share, live in (("100", "green"), ("0", "blue")):
        for _ in range(2):
            assert canary("shift", "checkout", share, "--slot", "green", "--direct").exit_code == DONE
            assert (run.lab.weights().share(Slot(live)), run.lab.live()) == (100, live)
    assert len(run.lab.ask("GET", "rollouts?service=checkout")["rollouts"]) == 1


def announced(run: Run, canary: Canary) -> str:
    """A good version on green, announced, at its first share; the rollout's id."""
    run.keep(2.0)  # so much history the policy wants
    run.lab.deploy(Slot.GREEN, VERSION)
    told = ("--service", "checkout", "--version", VERSION, "--slot", "green", "--deployment-id", "run-7")
    assert canary("announce", *told).exit_code == DONE
    return str(run.until("50 %", lambda one: one["shares"] == [50])["id"])
