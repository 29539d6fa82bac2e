"""`canary replay` judges a file's or a stored rollout's counts again, and names what cannot be."""

import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from analyzers.judge import CountsError
from cli import counts_file
from cli.ending import BadInput
from controller import api as http
from lab.simulation import Behaviour, Simulation
from rollouts.observation import Slot
from tests.cli.conftest import Api, Canary
from tests.simulation.conftest import POLICY as SIMULATED

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The repository's own policy, to be changed."""
    return Path(shutil.copy(ROOT / "canary.yaml", tmp_path))


def written(folder: Path, *, rate: float, minutes: int = 60, history: int = 0, seed: int = 1) -> Path:
    """2,000 requests a minute, 10 % of them the canary's, which fails at `rate`; the baseline at 0.5 %."""
    rng = np.random.default_rng(seed)
    lines = ["minute,slot,requests,failures"]
    for minute in range(1 - history, minutes + 1):
        sent = int(rng.poisson(2_000))
        canary = int(rng.binomial(sent, 0.1)) if minute > 0 else 0
        if minute > 0:
            lines.append(f"{minute},canary,{canary},{rng.binomial(canary, rate)}")
        lines.append(f"{minute},baseline,{sent - canary},{rng.binomial(sent - canary, 0.005)}")
    file = folder / "counts.csv"
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return file


class TestAFile:
    def test_a_fault_is_harmful_and_each_minute_is_told(self, canary: Canary, policy: Path, tmp_path: Path) -> None:
        done = canary("replay", str(written(tmp_path, rate=0.05)), "--policy", str(policy))
        assert done.exit_code == 0, done.output
        lines = done.stdout.splitlines()
        assert sum(line.startswith("minute ") for line in lines) == 60
        assert lines[-1] == "final: harmful"
        assert "first safe: never" in lines
        assert "not judged, the file has no column: rejected, p95, checkout-slo" in done.stderr

    def test_a_good_canary_is_safe_and_json_says_the_same(self, canary: Canary, policy: Path, tmp_path: Path) -> None:
        file = str(written(tmp_path, rate=0.005))
        said = json.loads(canary("replay", file, "--policy", str(policy), "--json").stdout)
        assert said["final"]["kind"] == "safe"
        assert said["first"]["harmful"] is None
        assert len(said["looks"]) == 60
        assert said["final"]["share"] == 10
        found = said["final"]["indicators"][0]
        assert found["name"] == "failures"
        assert found["safe"] >= found["safe_limit"]
        text = canary("replay", file, "--policy", str(policy)).stdout
        assert f"first safe: {said['first']['safe']}" in text

    def test_another_tolerance_gives_another_answer(self, canary: Canary, policy: Path, tmp_path: Path) -> None:
        """1.2 % against 0.5 %: beyond 0.2 points, within 2."""
        file = str(written(tmp_path, rate=0.015, minutes=90))
        finals = []
        for points in ("0.2", "2"):
            text = (
                (ROOT / "canary.yaml")
                .read_text("utf-8")
                .replace("failures: {points: 0.5", f"failures: {{points: {points}")
            )
            policy.write_text(text, encoding="utf-8")
            finals.append(json.loads(canary("replay", file, "--policy", str(policy), "--json").stdout)["final"]["kind"])
        assert finals == ["harmful", "safe"]

    def test_leading_minutes_of_the_baseline_alone_are_its_history(
        self, canary: Canary, policy: Path, tmp_path: Path
    ) -> None:
        counted = counts_file.read(str(written(tmp_path, rate=0.005, minutes=5, history=30)))
        assert (len(counted.history), len(counted.rows), counted.first) == (30, 10, 1)
        done = canary("replay", str(tmp_path / "counts.csv"), "--policy", str(policy))
        assert done.stdout.startswith("minute 1 "), done.output

    def test_a_canary_that_falls_silent_is_never_safe(self, canary: Canary, policy: Path, tmp_path: Path) -> None:
        lines = written(tmp_path, rate=0.005).read_text("utf-8").splitlines()
        silent = [
            ",".join([*line.split(",")[:2], "0", "0"]) if ",canary," in line and int(line.split(",")[0]) > 30 else line
            for line in lines
        ]
        (tmp_path / "counts.csv").write_text("\n".join(silent), encoding="utf-8")
        done = canary("replay", str(tmp_path / "counts.csv"), "--policy", str(policy), "--share", "10")
        assert done.stdout.splitlines()[-1] == "final: unobserved"

    def test_it_is_the_judges_own_answer(self, canary: Canary, policy: Path, tmp_path: Path) -> None:
        """The first crossing is that of `first_crossings` on the same counts."""
        from analyzers.judge import first_crossings

        file = written(tmp_path, rate=0.03, seed=4)
        cells = [line.split(",") for line in file.read_text("utf-8").splitlines()[1:]]
        parts = [
            [[int(cell[column]) for cell in cells if cell[1] == slot]]
            for slot in ("canary", "baseline")
            for column in (2, 3)
        ]
        harm, _ = first_crossings(*parts, points=0.005, ratio=1.25, alpha=0.01, beta=0.01, horizon=270)
        said = json.loads(canary("replay", str(file), "--policy", str(policy), "--json").stdout)
        # The judge mixes operations (here one, all) with the total: its limit is met a little later, never sooner.
        first = int(said["first"]["harmful"].split()[1])
        assert int(harm[0]) <= first <= int(harm[0]) + 3


HEAD = "minute,slot,requests,failures"
BAD = {
    "more bad than requests": (f"{HEAD}\n1,canary,10,11\n1,baseline,90,0", "row 2: failures is 11, more than its 10"),
    "negative": (f"{HEAD}\n1,canary,10,-1\n1,baseline,90,0", "row 2: failures is -1"),
    "negative requests": (f"{HEAD}\n1,canary,-10,0\n1,baseline,90,0", "row 2: requests is -10"),
    "nan": (f"{HEAD}\n1,canary,10,nan\n1,baseline,90,0", "row 2: failures is 'nan', must be a whole number"),
    "a fraction": (f"{HEAD}\n1,canary,10.5,0\n1,baseline,90,0", "row 2: requests is '10.5'"),
    "ragged": (f"{HEAD}\n1,canary,10\n1,baseline,90,0", "row 2: has 3 values, the heading has 4"),
    "an unknown slot": (f"{HEAD}\n1,blue,10,0\n1,baseline,90,0", "row 2: slot is 'blue', must be canary (the new"),
    "a duplicate": (f"{HEAD}\n1,canary,10,0\n1,canary,10,0\n1,baseline,90,0", "row 3: repeats row 2: minute 1"),
    "unordered": (
        f"{HEAD}\n2,canary,1,0\n2,baseline,9,0\n1,canary,1,0\n1,baseline,9,0", "row 4: minute is 1, after minute 2"
    ),
    "a gap": (f"{HEAD}\n1,canary,1,0\n1,baseline,9,0\n3,canary,1,0\n3,baseline,9,0", "minute 2 is missing"),
    "a slot without a row": (
        f"{HEAD}\n1,canary,1,0\n1,baseline,9,0\n2,baseline,9,0", "row 4: minute 2 has no row of slot canary"
    ),
    "no canary": (f"{HEAD}\n1,baseline,9,0", "no row has slot canary"),
    "no rows": (HEAD, "has no rows"),
    "nothing": ("", "is empty"),
    "no slot column": ("minute,requests,failures\n1,2,3", "column 'slot' is missing"),
    "semicolons": (HEAD.replace(",", ";"), "write minute,slot,requests and the indicators' names, with commas between"),
    "no indicator": ("minute,slot,requests\n1,canary,3", "no column of bad requests"),
    "a column twice": (f"{HEAD},failures\n1,canary,1,0,0", "column 'failures' is there twice"),
    "an indicator the policy does not know": (
        "minute,slot,requests,slow\n1,canary,1,0\n1,baseline,9,0",
        "column 'slow' is no indicator of checkout: the policy has failures",
    ),
}  # fmt: skip


class TestBadInput:
    @pytest.mark.parametrize("name", BAD)
    def test_it_is_named_with_row_and_value(self, canary: Canary, policy: Path, tmp_path: Path, name: str) -> None:
        text, says = BAD[name]
        (tmp_path / "counts.csv").write_text(text, encoding="utf-8")
        done = canary("replay", str(tmp_path / "counts.csv"), "--policy", str(policy))
        assert done.exit_code == 2
        assert says in done.stderr
        assert "counts.csv" in done.stderr or name == "an indicator the policy does not know"

    @pytest.mark.parametrize(
        ("was", "becomes", "says"),
        [
            ("alpha: 1%", "alpha: 50%", "alpha"),
            ("failures: {points: 0.5", "failures: {points: 100", "points"),
            ("failures: {points: 0.5, ratio: 1.25}", "failures: {points: 0, ratio: 0}", "ratio"),
        ],
    )
    def test_impossible_promises_and_tolerances_are_refused(
        self, canary: Canary, policy: Path, tmp_path: Path, was: str, becomes: str, says: str
    ) -> None:
        policy.write_text(policy.read_text("utf-8").replace(was, becomes), encoding="utf-8")
        done = canary("replay", str(written(tmp_path, rate=0.01, minutes=2)), "--policy", str(policy))
        assert done.exit_code == 2
        assert says in done.stderr

    @pytest.mark.parametrize("text", ["services:\n\tcheckout: {}", "", "- a", b"\xff"])
    def test_of_two_files_the_broken_one_is_named(
        self, canary: Canary, policy: Path, tmp_path: Path, text: str | bytes
    ) -> None:
        policy.write_bytes(text if isinstance(text, bytes) else text.encode())
        done = canary("replay", str(written(tmp_path, rate=0.01, minutes=2)), "--policy", str(policy))
        assert done.exit_code == 2
        assert done.stderr.startswith(f"error: {policy}"), done.stderr

    def test_no_worse_at_all_is_legal_and_says_what_it_costs(
        self, canary: Canary, policy: Path, tmp_path: Path
    ) -> None:
        text = policy.read_text("utf-8").replace(
            "failures: {points: 0.5, ratio: 1.25}", "failures: {points: 0, ratio: 1}"
        )
        policy.write_text(text, encoding="utf-8")
        done = canary("replay", str(written(tmp_path, rate=0.005, minutes=5)), "--policy", str(policy))
        assert done.exit_code == 0, done.output
        assert "cannot be proven while the canary is merely equal" in done.stdout

    def test_a_file_that_is_not_there(self, canary: Canary, policy: Path) -> None:
        done = canary("replay", "nowhere.csv", "--policy", str(policy))
        assert (done.exit_code, "nowhere.csv" in done.stderr) == (2, True)

    @given(st.text(alphabet="0123456789,-\n\r\"' abcanryselinuq.é", max_size=300))
    def test_whatever_the_text_it_is_counts_or_a_named_refusal(self, text: str) -> None:
        for whole in (text, f"{HEAD}\n{text}"):
            try:
                counted = counts_file.parse(whole, "counts.csv")
            except (BadInput, CountsError):
                continue
            assert counted.end > counted.start >= counts_file.MINUTE_SECONDS


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Simulation:
    """A good version, promoted, with its counts in the store."""
    world = Simulation(SIMULATED, seed=3, folder=tmp_path_factory.mktemp("simulated"))
    world.run(25)
    world.deploy(Slot.GREEN, "1.4.2", Behaviour())
    world.announce("1.4.2", slot=Slot.GREEN)
    world.run(400, until=world.closed)
    return world


def stored_counts(simulated: Simulation) -> dict[str, Any]:
    """The endpoint's answer."""
    asked = http.Request(params={"rollout": simulated.rollout.id}, query={}, body=b"", principal=None)
    answer = http.handled(http.counts, lambda: simulated.world, asked)
    assert answer.status == 200, answer.body
    found: dict[str, Any] = msgspec.json.decode(answer.body)
    return found


SLOW = "      slow: {slower_than: 800ms, points: 1, ratio: 1.25}"


class TestAStoredRollout:
    def replayed(self, canary: Canary, scripted: Api, simulated: Simulation, policy: str, folder: Path) -> object:
        scripted.answers("GET", "/api/rollouts/checkout-1/counts", stored_counts(simulated))
        (folder / "canary.yaml").write_text(policy, encoding="utf-8")
        return canary("replay", "checkout-1", "--policy", str(folder / "canary.yaml"), "--json")

    def test_under_its_own_policy_it_is_promoted_again(
        self, canary: Canary, api: Api, simulated: Simulation, tmp_path: Path
    ) -> None:
        done = self.replayed(canary, api, simulated, SIMULATED, tmp_path)
        assert done.exit_code == 0, done.output
        said = json.loads(done.stdout)
        kinds = [look["verdict"]["kind"] for look in said["looks"]]
        assert simulated.rollout.outcome == "promoted"
        assert "safe" in kinds
        assert "harmful" not in kinds
        assert [look["verdict"]["share"] for look in said["looks"]][-1] == 100

    def test_a_tighter_tolerance_would_have_proven_less(
        self, canary: Canary, api: Api, simulated: Simulation, tmp_path: Path
    ) -> None:
        tight = SIMULATED.replace("failures: {points: 2,", "failures: {points: 0.01,")
        done = self.replayed(canary, api, simulated, tight, tmp_path)
        own = json.loads(self.replayed(canary, api, simulated, SIMULATED, tmp_path).stdout)
        safe = [
            sum(look["verdict"]["kind"] == "safe" for look in one["looks"]) for one in (json.loads(done.stdout), own)
        ]
        assert safe[0] < safe[1]

    @pytest.mark.parametrize(
        "change",
        [
            ("slowdown: 20%", "slowdown: 30%", "p95: slowdown was 0.2, the file says 0.3"),
            ("quantile: 95%", "quantile: 99%", "p95: quantile was 0.95"),
            ("      rejected:", f"{SLOW}\n      rejected:", "slow was not counted"),
            ("cold: 1s", "cold: 2s", "cold_seconds was 1"),
            ("critical_operations: [POST /pay]", "critical_operations: [GET /x]", "GET /x was not counted apart"),
        ],
    )  # fmt: skip
    def test_what_changes_the_counting_needs_the_telemetry_again(
        self, canary: Canary, api: Api, simulated: Simulation, tmp_path: Path, change: tuple[str, str, str]
    ) -> None:
        was, becomes, says = change
        done = self.replayed(canary, api, simulated, SIMULATED.replace(was, becomes), tmp_path)
        assert done.exit_code == 1
        assert "the telemetry must be asked again" in done.stderr
        assert says in done.stderr

    def test_fewer_indicators_are_answered_from_what_is_stored(
        self, canary: Canary, api: Api, simulated: Simulation, tmp_path: Path
    ) -> None:
        fewer = SIMULATED.replace("p95: {quantile: 95%, slowdown: 20%, points: 2, ratio: 1.0}", "p95: off")
        said = json.loads(self.replayed(canary, api, simulated, fewer, tmp_path).stdout)
        assert [one["name"] for one in said["final"]["indicators"]] == ["failures", "rejected"]

    def test_an_indicator_keeps_its_own_counts_whatever_stands_before_it(
        self, canary: Canary, api: Api, simulated: Simulation, tmp_path: Path
    ) -> None:
        without = SIMULATED.replace("failures: {points: 2, ratio: 1.25}", "failures: off")
        found = []
        for policy in (SIMULATED, without):
            said = json.loads(self.replayed(canary, api, simulated, policy, tmp_path).stdout)
            found.append({one["name"]: one["baseline"]["bad"] for one in said["looks"][7]["verdict"]["indicators"]})
        assert found[0] == {"failures": found[0]["failures"], **found[1]}
        assert len(set(found[0].values())) == 3

    def test_the_history_is_what_the_baseline_did_before_the_first_share(self, simulated: Simulation) -> None:
        said = stored_counts(simulated)
        first = said["segments"][0]["start"]
        assert len(said["history"]) > 0
        assert "baseline" in {row[0] for row in said["history"]}
        assert max(row[1] for row in said["history"]) < first <= min(row[1] for row in said["rows"])
        assert {row[0] for row in said["rows"]} == {"baseline", "canary"}

    def test_a_rollout_that_is_not_there_is_said(self, simulated: Simulation) -> None:
        asked = http.Request(params={"rollout": "checkout-nothing"}, query={}, body=b"", principal=None)
        assert http.handled(http.counts, lambda: simulated.world, asked).status == 404
