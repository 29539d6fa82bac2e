"""After the switch the canary is alone: what it is compared with, and what of it is found."""

import msgspec
import numpy as np
import pytest

from analyzers.judge import Counts, Role, Row, Rows, Settings, VerdictKind, judge
from tests.judge.worlds import BEGIN, FAILURES, counts, switched

replace = msgspec.structs.replace
SETTINGS = Settings()
TRAFFIC = (("GET /", 0.9), ("POST /pay", 0.1))


def jump(number: int, before: float, after: float, at: int) -> np.ndarray:
    return np.where(np.arange(number) < at, before, after)


def bursts(seed: int, rate: float, number: int, k: int = 200) -> np.ndarray:
    """A rate per minute that varies as beta(k rate, k (1 - rate))."""
    return np.random.default_rng(seed).beta(k * rate, k * (1 - rate), number)


def changed(counted: Counts, change) -> Counts:
    """The canary's rows after minute 31 as `change` makes them."""
    rng = np.random.default_rng(7)
    rows = [
        change(row, rng) if row.role is Role.CANARY and row.interval > BEGIN + 31 * 60 else row
        for row in counted.rows.list()
    ]
    return replace(counted, rows=Rows.of(rows, 1))


def failing(row: Row, rng: np.random.Generator, rate: float) -> Row:
    return replace(row, bad=(int(rng.binomial(row.rows, rate)),))


def test_a_sick_instance_is_told_there_too():
    watched = switched(counts(minutes=45, instances=4), 30)
    ill = changed(watched, lambda row, rng: failing(row, rng, 0.5) if row.instance == "canary-2" else row)
    verdict = judge(ill, (FAILURES,), SETTINGS)
    assert (verdict.kind, verdict.instance, verdict.one_sample) == (VerdictKind.ONE_INSTANCE, "canary-2", True)


def test_a_broken_operation_is_found_there_too():
    watched = switched(counts(minutes=40, operations=(("GET /", 0.996), ("POST /pay", 0.004))), 30)
    ill = changed(watched, lambda row, rng: failing(row, rng, 1.0) if row.operation == "POST /pay" else row)
    verdict = judge(ill, (FAILURES,), SETTINGS)
    assert (verdict.kind, verdict.operation, verdict.severe) == (VerdictKind.HARMFUL, "POST /pay", False)


def test_an_operation_that_always_failed_more_is_compared_with_itself():
    def usual(operation, _instance):
        return 0.2 if operation == "POST /pay" else 0.005

    watched = switched(counts(minutes=60, canary=(usual,), baseline=(usual,), history=0, operations=TRAFFIC), 30)
    assert judge(watched, (FAILURES,), SETTINGS).kind is VerdictKind.UNDECIDED


def test_the_baseline_is_known_from_its_history_and_from_the_steps():
    """Either is enough; both together give the nearest bound."""
    found = {}
    for name, history, at in (("history", 60, 1), ("steps", 0, 30), ("both", 60, 30)):
        watched = switched(counts(minutes=at + 20, canary=(jump(at + 20, 0.005, 0.02, at + 1),), history=history), at)
        verdict = judge(watched, (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.HARMFUL, name
        found[name] = verdict.indicators[0].boundary
    assert found["both"] < found["history"] < found["steps"] < 0.02
    assert found["both"] > 0.002 + 1.25 * 0.005, "a bound, not an estimate"


def test_the_bound_is_multiplied_by_the_ratio():
    watched = switched(counts(minutes=40), 30)
    once, twice = (
        judge(watched, (replace(FAILURES, ratio=ratio),), SETTINGS).indicators[0].boundary for ratio in (1.0, 2.0)
    )
    assert twice - 0.002 == pytest.approx(2 * (once - 0.002))


def test_of_the_same_hours_only_what_is_higher_counts():
    watched = switched(counts(minutes=40, baseline=(0.02,), canary=(0.02,)), 30)
    own = judge(watched, (FAILURES,), SETTINGS).indicators[0].boundary
    bounds = {}
    for rate in (0.002, 0.1):
        hours = counts(9, baseline=(rate,)).history
        bounds[rate] = judge(replace(watched, same_hours=hours), (FAILURES,), SETTINGS).indicators[0].boundary
    assert bounds[0.002] == own
    assert bounds[0.1] > 0.002 + 1.25 * 0.1


def test_an_operation_that_past_days_did_not_have_is_not_excused_by_them():
    watched = switched(counts(minutes=40, operations=TRAFFIC), 30)
    hours = counts(9, operations=TRAFFIC[:1]).history
    ill = changed(watched, lambda row, rng: failing(row, rng, 0.06) if row.operation == "POST /pay" else row)
    assert judge(replace(ill, same_hours=hours), (FAILURES,), SETTINGS).operation == "POST /pay"


class TestBursts:
    """At the margin, 20,000 requests of each slot a minute, as if 201 told anything: ten times as unquiet as coins."""

    def world(self, seed: int, minutes: int = 60) -> Counts:
        rates = [bursts(10 * seed + part, rate, minutes) for part, rate in enumerate((0.0145, 0.01))]
        past = bursts(10 * seed + 2, 0.01, 60)
        counted = counts(seed, minutes=minutes, rpm=40_000, share=50, canary=(rates[0],), baseline=(rates[1],))
        rng = np.random.default_rng(seed)
        history = [
            replace(row, bad=(int(rng.binomial(row.rows, past[at])),)) for at, row in enumerate(counted.history.list())
        ]
        return switched(replace(counted, history=Rows.of(history, 1)), 30)

    def test_they_are_not_the_versions_fault(self):
        """Looked at after every minute, hardly one of three rollouts with a false alarm."""
        alarmed = 0
        for seed in range(3):
            world = self.world(seed)
            looks = (replace(world, now=BEGIN + minute * 60) for minute in range(32, 61))
            alarmed += any(judge(look, (FAILURES,), SETTINGS).kind is VerdictKind.HARMFUL for look in looks)
        assert alarmed <= 1

    def test_they_widen_the_bound_of_the_past_and_of_the_same_hours(self):
        world = self.world(1)
        calm = switched(counts(minutes=60, rpm=40_000, share=50, canary=(0.01,), baseline=(0.01,)), 30)
        bounds = [judge(one, (FAILURES,), SETTINGS).indicators[0].boundary for one in (world, calm)]
        assert bounds[0] > 1.1 * bounds[1]
        hours = counts(5, rpm=20_000, baseline=(0.05,)).history
        bounds = [
            judge(replace(one, same_hours=hours), (FAILURES,), SETTINGS).indicators[0].boundary for one in (world, calm)
        ]
        assert bounds[0] > 1.05 * bounds[1]


def test_what_the_ceiling_says_is_shown_with_the_ceilings_limit():
    watched = switched(counts(canary=(jump(60, 0.005, 0.6, 35),), minutes=60), 30)
    verdict = judge(watched, (replace(FAILURES, ceiling=0.2),), SETTINGS)
    assert verdict.severe
    found = verdict.indicators[0]
    assert found.harm >= found.harm_limit == pytest.approx(np.log(1 / 0.01))
