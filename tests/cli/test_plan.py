"""`canary plan` says beforehand how long each step takes, and plainly what can never be proven."""

import json
import re
import shutil
from pathlib import Path

import pytest

from tests.cli.conftest import Api, Canary

ROOT = Path(__file__).parents[2]


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    """The repository's own policy with the failures alone: a plan in a second."""
    path = Path(shutil.copy(ROOT / "canary.yaml", tmp_path))
    change(path, "      rejected: {points: 1, ratio: 1.5}", "      rejected: off")
    change(path, "      p95: {quantile: 95%, slowdown: 20%, points: 1, ratio: 1.0}", "      p95: off")
    change(path, "      checkout-slo: {slower_than: 800ms, points: 1, ratio: 1.25}", "")
    return path


def change(path: Path, was: str, becomes: str) -> None:
    text = path.read_text("utf-8")
    assert was in text
    path.write_text(text.replace(was, becomes), encoding="utf-8")


def test_each_step_says_when_it_is_promoted_and_when_faults_are_rolled_back(canary: Canary, policy: Path) -> None:
    """The judge's floors at 2,000 requests a minute: proven within the hour, x20 in two minutes."""
    done = canary("plan", "--policy", str(policy), "--rpm", "2000", "--errors", "0.5%", "--json")
    assert done.exit_code == 0, done.output
    first, second = json.loads(done.stdout)["steps"]
    assert (first["share"], second["share"]) == (10, 50)
    assert 10 <= second["promotion"]["median"] <= first["promotion"]["median"] <= 60
    two, five, twenty = first["plans"][0]["faults"]
    assert "within the tolerance" in two["harmful"]["reason"]
    assert twenty["harmful"]["median"] == 2 < five["harmful"]["median"]
    shown = canary("plan", "--policy", str(policy), "--rpm", "2000", "--errors", "0.5%").stdout
    assert f"10 %: promoted after about {first['promotion']['median']} min" in shown
    assert "bake 10m and settle 4m included" in shown


def test_bake_and_settle_are_part_of_it(canary: Canary, policy: Path) -> None:
    """A proof in two minutes still waits for the bake of ten."""
    done = canary("plan", "--policy", str(policy), "--rpm", "50000", "--errors", "0.5%", "--json")
    promotion = json.loads(done.stdout)["steps"][0]["promotion"]
    assert promotion["median"] == 10
    done = canary("plan", "--policy", str(policy), "--rpm", "1000", "--errors", "0.5%", "--json")
    step = json.loads(done.stdout)["steps"][0]
    assert step["promotion"]["median"] == step["plans"][0]["safe"]["median"] + 4 > 10


def test_all_indicators_must_be_proven_and_each_has_its_own_line(canary: Canary) -> None:
    """The whole policy of the repository: the last of them decides, not the slowest one's middle."""
    asked = (
        "plan",
        "--policy",
        str(ROOT / "canary.yaml"),
        "--rpm",
        "2000",
        "--errors",
        "0.5%",
        "--rate",
        "rejected=2%",
    )
    step = json.loads(canary(*asked, "--json").stdout)["steps"][0]
    alone = {one["indicator"]: one["safe"]["median"] for one in step["plans"]}
    assert list(alone) == ["failures", "rejected", "p95", "checkout-slo"]
    assert step["slowest"] == max(alone, key=alone.__getitem__)
    assert step["together"]["median"] >= max(alone.values())
    assert step["promotion"]["median"] == step["together"]["median"] + 4
    assert step["promotion"]["p90"] == step["together"]["p90"] + 4
    lines = canary(*asked).stdout.splitlines()
    (together,) = [line for line in lines if line.startswith("10 %  all together")]
    assert f"{step['together']['median']} / {step['together']['p90']} min" in together
    assert any("(p95 is the slowest of 4, and all must be proven; bake 10m" in line for line in lines)


def test_each_alone_in_time_may_be_too_late_together(canary: Canary, policy: Path) -> None:
    """Then more time for all is what helps: the deadline lies between the slowest one's middle and that of all."""
    more = [f"      slo{n}: {{slower_than: {800 + n}ms, points: 0.5, ratio: 1.25}}\n" for n in range(4)]
    change(policy, "      failures: {", f"{''.join(more)}      failures: {{")
    rates = [part for n in range(4) for part in ("--rate", f"slo{n}=0.5%")]
    asked = ("plan", "--policy", str(policy), "--rpm", "2000", "--errors", "0.5%", *rates)
    step = json.loads(canary(*asked, "--json").stdout)["steps"][0]
    slowest = max(one["safe"]["median"] for one in step["plans"])
    assert slowest + 1 < step["together"]["median"]
    change(policy, "deadline: 2h", f"deadline: {slowest + 1}m")
    shown = canary(*asked).stdout
    assert f"10 %: CANNOT be proven, all indicators together, within the deadline of {slowest + 1}m" in shown
    told = re.search(rf"- all together, more time: a `deadline` above (\d+)m \(now {slowest + 1}m\)", shown)
    assert told is not None
    assert abs(int(told[1]) - (step["together"]["median"] + 4)) <= 4, "drawn anew: within what 200 rollouts tell"


def test_what_can_never_be_proven_is_said_with_every_way_out(canary: Canary, policy: Path) -> None:
    """At 60 requests a minute: wider, larger, longer, or unrefuted, each tried with the same simulation."""
    done = canary("plan", "--policy", str(policy), "--rpm", "60", "--errors", "0.5%")
    assert done.exit_code == 0, done.output
    assert (
        "10 %: CANNOT be proven within the deadline of 2h at 60 requests a minute; at the deadline: hold" in done.stdout
    )
    assert "failures, a wider tolerance: indicators.failures.points:" in done.stdout
    assert "a larger step: 25 instead of 10" in done.stdout or "a larger step: 50 instead of 10" in done.stdout
    assert "failures, more time: a `deadline` above" in done.stdout
    assert "promote_when: unrefuted" in done.stdout


def test_the_ways_out_work(canary: Canary, policy: Path) -> None:
    """The wider tolerance that it names makes the step provable, and unrefuted promotes by requests."""
    asked = ("plan", "--policy", str(policy), "--rpm", "60", "--errors", "0.5%", "--json")
    advice = json.loads(canary(*asked).stdout)["steps"][0]["advice"]
    points = advice[0].split("points: ")[1].split(" ")[0]
    change(policy, "failures: {points: 0.5", f"failures: {{points: {points}")
    assert json.loads(canary(*asked).stdout)["steps"][0]["promotion"]["median"] <= 120 + 4
    change(policy, "promote_when: proven", "promote_when: unrefuted")
    promotion = json.loads(canary(*asked).stdout)["steps"][0]["promotion"]
    assert promotion["median"] == 21, "100 canary requests at 6 a minute are 17 minutes, and 4 to settle"


def test_no_worse_at_all_can_never_be_proven(canary: Canary, policy: Path) -> None:
    change(policy, "failures: {points: 0.5, ratio: 1.25}", "failures: {points: 0, ratio: 1}")
    done = canary("plan", "--policy", str(policy), "--rpm", "2000", "--errors", "0.5%")
    assert "CANNOT be proven" in done.stdout


def test_a_ceiling_is_part_of_the_plan(canary: Canary, policy: Path) -> None:
    """0.6 % absolute at 0.5 %: not wider, but higher."""
    change(policy, "failures: {points: 0.5, ratio: 1.25}", "failures: {points: 0.5, ratio: 1.25, ceiling: 0.6%}")
    done = canary("plan", "--policy", str(policy), "--rpm", "2000", "--errors", "0.5%")
    assert "10 %: CANNOT be proven within the deadline" in done.stdout
    assert "a higher ceiling: indicators.failures.ceiling is 0.6%, the baseline at 0.5%" in done.stdout
    assert "a wider tolerance" not in done.stdout


def test_a_rate_that_nobody_gave_is_assumed_and_said(canary: Canary) -> None:
    """A quantile's rate is known by definition, the others' are not."""
    given = ("--rate", "rejected=2%")
    done = canary("plan", "--policy", str(ROOT / "canary.yaml"), "--rpm", "20000", "--errors", "0.5%", *given)
    assert done.exit_code == 0, done.output
    assert "assumed 1% bad for checkout-slo" in done.stderr
    assert "2.000%" in done.stdout
    assert "5.000%" in done.stdout


def test_traffic_is_measured_from_a_stored_rollout(canary: Canary, api: Api, policy: Path) -> None:
    """Ten minutes of 1,200 requests, 0.5 % of them bad."""
    rows = [["baseline", 60 * minute, "a", "GET /", 1200, 1200, 0, [6]] for minute in range(10)]
    indicator = {"name": "failures", "kind": "failures", "points": 0.005, "ratio": 1.25}
    api.answers(
        "GET", "/api/rollouts/checkout-1/counts",
        {"rollout": "checkout-1", "indicators": [indicator], "counted": {"interval_seconds": 60}, "history": rows},
        {"rollout": "checkout-1", "indicators": [indicator], "counted": {"interval_seconds": 60}, "history": []},
    )  # fmt: skip
    done = canary("plan", "--policy", str(policy), "--like", "checkout-1", "--json")
    assert json.loads(done.stdout)["traffic"] == {"rpm": 1200.0, "rates": {"failures": 0.005}, "assumed": []}
    empty = canary("plan", "--policy", str(policy), "--like", "checkout-1")
    assert (empty.exit_code, "has no history" in empty.stderr) == (2, True)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "how much traffic is there?"),
        (("--rpm", "0"), "--rpm is 0"),
        (("--rpm", "nan"), "--rpm is nan"),
        (("--rpm", "100", "--errors", "0.5"), "--errors: got 0.5: write a percent"),
        (("--rpm", "100", "--errors", "100%"), "--errors"),
        (("--rpm", "100", "--errors", "1%", "--rate", "failures=2%"), "give one of them"),
        (("--rpm", "100", "--rate", "slow=1%"), "NAME one of failures"),
        (("--rpm", "100", "--service", "basket"), "basket: "),
    ],
)
def test_what_cannot_be_is_named(canary: Canary, policy: Path, options: tuple[str, ...], says: str) -> None:
    done = canary("plan", "--policy", str(policy), *options)
    assert done.exit_code == 2
    assert says in done.stderr
