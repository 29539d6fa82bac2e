"""Back to the old version: after a promotion, where a person must be asked, and where it is gone."""

import pytest

from controller import requests
from lab.simulation import Behaviour
from rollouts.command import Command, CommandKind
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.endings import BAD, LONG, ends, held


def test_rollback_after_promotion_is_a_record_of_its_own(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada", reason="numbers"))
    ends(simulation, Outcome.ROLLED_BACK)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 2
    assert "blue answers version 1.0" in simulation.rollout.reason


def test_a_rollback_after_promotion_brings_nobody_to_other_code(begun):
    """The next deployment is on the old slot already, before it is announced or found: it never was at a gate."""
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.deploy(Slot.BLUE, "1.2")
    with pytest.raises(requests.Refused, match=r"blue answers version 1\.2 now: 1\.0, which 1.1 replaced, is gone"):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    simulation.apps[Slot.BLUE].healthy = False
    done = requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    assert "checkout 1.1 is rolled back" in done.sentence
    assert "blue did not answer its probe: 503" in done.sentence


def test_a_version_that_is_announced_and_never_comes_leaves_the_way_back_open(begun):
    """The fix of a promoted version is announced, its deployment fails, and the one before it still stands there."""
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.announce("1.2", slot=Slot.BLUE)
    simulation.run(LONG, simulation.closed)
    assert (simulation.rollout.version, simulation.rollout.outcome) == ("1.2", Outcome.REJECTED)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    ends(simulation, Outcome.ROLLED_BACK)
    assert (simulation.rollout.version, simulation.rollout.canary) == ("1.1", Slot.GREEN)
    with pytest.raises(requests.Refused, match=r"was not promoted, and 1\.1 was rolled back already"):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))


def test_a_version_that_came_to_the_old_slot_and_went_is_no_way_back(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.deploy(Slot.BLUE, "1.2", Behaviour(late_failures=0.11))
    simulation.announce("1.2", slot=Slot.BLUE)
    simulation.run(LONG, simulation.closed)
    assert (simulation.rollout.version, simulation.rollout.outcome) == ("1.2", Outcome.ROLLED_BACK)
    with pytest.raises(
        requests.Refused, match=r"blue got 1\.2 .* since 1\.1 was promoted: there is nothing to take back"
    ):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))


def test_a_rollback_means_the_version_that_has_traffic_and_says_so_where_there_is_none(begun):
    """The lookout has begun one on the other slot while a person looks at the one that was promoted."""
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.deploy(Slot.BLUE, "1.2")
    simulation.run(LONG, lambda: simulation.rollout.version == "1.2")
    with pytest.raises(requests.Refused, match=r"1\.2 is at its gate on blue and was given no traffic"):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    done = requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    assert done.sentence.startswith("checkout 1.2 is rolled back")


def test_resume_of_another_version_on_the_live_slot_is_refused_until_it_is_the_judged_one(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.WATCH)
    simulation.apps[Slot.GREEN].version = "1.2"
    simulation.run(1)
    resume = Command(kind=CommandKind.RESUME, actor="ada")
    with pytest.raises(requests.Refused, match=r"green now answers version 1\.2.*Type canary rollback checkout"):
        requests.act(simulation.world, "checkout", resume)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.PAUSE, actor="ada"))
    done = requests.act(simulation.world, "checkout", resume)
    assert "resume by ada. Still held (canary_changed): green now answers version 1.2" in done.sentence
    simulation.apps[Slot.GREEN].version = "1.1"
    requests.act(simulation.world, "checkout", resume)
    simulation.run(1)
    assert simulation.rollout.hold is None


def test_ask_first_holds_instead_of_rolling_back(begun, policy):
    simulation = begun(BAD, policy=policy.replace("    bake: 3s", "    bake: 3s\n    rollback: ask"))
    simulation.run(60)
    assert held(simulation, HoldReason.ROLLBACK_ASKED)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    with pytest.raises(requests.Refused, match="HARMFUL"):
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.PROMOTE, actor="ada"))
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    ends(simulation, Outcome.ROLLED_BACK)


def test_an_event_that_says_rollback_ask_is_asked_about_whatever_the_policy_says(begun):
    """A migration that the old version cannot bear: its pipeline knows, the policy does not."""
    simulation = begun(BAD)
    simulation.deploy(Slot.GREEN, "1.2", BAD)
    simulation.announce("1.2", slot=Slot.GREEN, rollback="ask", link="https://ci/82")
    simulation.run(LONG, lambda: held(simulation, HoldReason.ROLLBACK_ASKED))
    assert (simulation.rollout.version, simulation.pool.weights) == ("1.2", Weights.of(Slot.GREEN, 10))
    assert "Not rolled back by itself: the deployment event says rollback: ask" in simulation.rollout.reason
    assert simulation.told[-1][1].link == "https://ci/82"


def test_a_changed_baseline_is_held(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    simulation.apps[Slot.BLUE].version = "0.8"
    simulation.run(3)
    assert held(simulation, HoldReason.BASELINE_CHANGED)
