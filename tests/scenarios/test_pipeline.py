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
ROLLED_BACK = 1
Canary = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Run]:
    """The lab, with two steps: enough for a rollout, a watch and a way back."""
    options = Options(
        seed=int(os.environ.get("CANARY_SEED", "7")),
        rate=300.0,
        history=2.0,
        policy=overridden(QUICK, {"steps": [50, 100], "watch": "3s"}),
    )
    print(f"seed {options.seed}; replay: CANARY_SEED={options.seed} pytest {__file__}")
    good = SCENARIOS["good"]
    with Lab(tmp_path, msgspec.structs.replace(setup_of(good, options), ingestion=PROMPT)) as lab:
        yield Run(lab, options, errors=good.errors, slowdown=good.slowdown)


@pytest.fixture
def canary(run: Run, monkeypatch: pytest.MonkeyPatch) -> Canary:
    """The command line on a pipeline's agent: the function app's URL and key, the topic's endpoint and key."""
    for name, value in {
        "CANARY_URL": run.lab.host.url,
        "CANARY_KEY": KEY,
        "CANARY_TOPIC": run.lab.topic_url,
        "CANARY_TOPIC_KEY": run.lab.topic.key,
        "CANARY_ACTOR": "ada",
        "REQUESTS_CA_BUNDLE": str(run.lab.authority.ca_file),
    }.items():
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
    run.deploy(Slot.GREEN, VERSION)
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

    assert canary("shift", "checkout", "0", "--slot", "green", "--reason", "numbers").exit_code == 0
    back = run.lab.ask("GET", "rollouts?service=checkout&limit=1")["rollouts"][0]["id"]
    assert canary("wait", back, "--poll", "0.2").exit_code == ROLLED_BACK
    assert (run.lab.weights(), run.lab.live()) == (Weights(blue=100, green=0), "blue")


def test_where_it_is_not_clear_nothing_may_be_deployed(run: Run, canary: Canary) -> None:
    run.lab.set_weights(Weights(blue=70, green=30))
    drifted = canary("target", "checkout", "--owner", "run 7")
    assert drifted.exit_code == 1
    assert "green should be idle, but the pool green-blue-pool gives it 30 %" in drifted.stderr
    run.lab.set_weights(Weights(blue=100, green=0))
    run.lab.set_marker("teal")
    unknown = canary("target", "checkout", "--owner", "run 7")
    assert unknown.exit_code == 4
    assert "which slot is live is unknown" in unknown.stderr
    assert "'teal'" in unknown.stderr
    run.lab.set_marker("blue")
    assert canary("target", "checkout", "--owner", "run 7").stdout == "green\n"
    given = canary("target", "checkout", "--owner", "run 7", "--release")
    assert (given.exit_code, given.stdout) == (0, "checkout: given back\n")
