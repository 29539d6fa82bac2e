"""What the product promises, on virtual time: each scenario ends as the table in the documentation says."""

import pytest

from controller import requests
from controller.tick import tick_message
from lab.simulation import Behaviour
from rollouts.command import Command, CommandKind
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.endings import BAD, LONG, ends, held


def test_good_goes_10_50_100_and_is_promoted(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 50, 100)
    assert simulation.kinds() == ["started", "raised", "raised", "switched", "promoted"]
    promoted = simulation.told[-1][1]
    assert {one.safe for one in promoted.lines} == {"not asked, no baseline beside it"}, "nothing is still to come"


@pytest.mark.parametrize(
    "behaviour",
    [
        BAD,
        Behaviour(rejected=1.0),
        Behaviour(slowdown=2.5),
    ],
    ids=["errors", "rejected", "slow"],
)
def test_bad_goes_back_to_0_and_the_marker_never_moves(begun, behaviour):
    simulation = begun(behaviour)
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.marker.writes == []
    assert simulation.rollout.shares[-1] == 0
    assert simulation.kinds()[-1] == "rolled_back"


def test_one_broken_critical_operation_with_half_a_percent_of_the_traffic_is_rolled_back(begun):
    simulation = begun(Behaviour(broken_operation="POST /pay"), rate=1000)
    ends(simulation, Outcome.ROLLED_BACK)
    assert "worse than tolerated in operation POST /pay" in simulation.rollout.reason


def test_late_fault_is_found_after_healthy_steps(begun):
    simulation = begun(Behaviour(onset=25, late_failures=0.11))
    ends(simulation, Outcome.ROLLED_BACK)


def test_fault_after_promotion_goes_back_to_50_and_then_to_0(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.WATCH)
    simulation.apps[Slot.GREEN].behaviour = Behaviour(failures=0.11)
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.rollout.shares[:4] == (10, 50, 100, 50)
    assert simulation.rollout.shares[-1] == 0
    assert simulation.marker.writes == [Slot.GREEN, Slot.BLUE]


def test_death_after_promotion_goes_straight_back(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.WATCH)
    simulation.apps[Slot.GREEN].healthy = False
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.rollout.shares == (10, 50, 100, 0)


def test_requests_without_rows_are_never_safe_and_end_at_0(begun):
    simulation = begun(Behaviour(vanished=0.9))
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.rollout.shares == (10, 0)
    assert "limits.unobserved" in simulation.rollout.reason


def test_a_shared_outage_is_held_and_goes_on_by_itself(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.common_failures = 0.3
    simulation.run(60, lambda: held(simulation, HoldReason.SHARED))
    assert held(simulation, HoldReason.SHARED), simulation.rollout.reason
    simulation.run(10)
    assert not simulation.rollout.closed
    simulation.common_failures = 0.0
    ends(simulation, Outcome.PROMOTED, 600)


def test_a_shared_outage_soon_after_our_own_raise_goes_back_one_share_once(begun):
    """The canary may be what exhausts the shared thing; the card says so, and what comes next."""
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10, 50))
    simulation.common_failures = 0.3
    simulation.run(60, lambda: "lowered" in simulation.kinds())
    lowered = simulation.told[-1][1]
    assert lowered.weights == simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    assert "own history. It began within 10 min of our own raise: back one share, once. Next: 50 % when" in lowered.text
    simulation.run(30)
    assert held(simulation, HoldReason.SHARED), simulation.rollout.reason
    assert (simulation.rollout.shares, simulation.kinds().count("lowered")) == ((10, 50, 10), 1)
    simulation.common_failures = 0.0
    ends(simulation, Outcome.PROMOTED, 600)


def test_a_telemetry_outage_is_held_and_goes_on_by_itself(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.telemetry.outage_until = simulation.now + 20
    simulation.run(15)
    assert held(simulation, HoldReason.BLIND)
    assert "held" in simulation.kinds()
    ends(simulation, Outcome.PROMOTED)
    assert "resumed" in simulation.kinds()


def test_no_traffic_never_promotes(begun):
    simulation = begun(rate=0)
    simulation.run(200)
    assert simulation.rollout.shares == (10,)
    assert held(simulation, HoldReason.BLIND)
    assert simulation.marker.writes == []


def test_a_sick_instance_is_held_before_it_counts_against_the_version(begun):
    simulation = begun(Behaviour(sick_instance=0.3))
    simulation.run(60, lambda: held(simulation, HoldReason.ONE_INSTANCE))
    assert held(simulation, HoldReason.ONE_INSTANCE)
    assert "checkout-green-0" in simulation.rollout.reason


def test_approval_is_waited_for(begun, policy):
    simulation = begun(policy=policy.replace("    bake: 3s", "    bake: 3s\n    approvals: [50]"))
    simulation.run(100, lambda: held(simulation, HoldReason.APPROVAL))
    assert held(simulation, HoldReason.APPROVAL)
    simulation.run(20)
    assert simulation.rollout.shares == (10,)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.APPROVE, actor="ada"))
    ends(simulation, Outcome.PROMOTED)


def test_low_traffic_is_promoted_unrefuted_with_a_minimum_of_requests(begun, policy):
    changed = policy.replace("    bake: 3s", "    bake: 10s\n    promote_when: unrefuted\n    min_requests: 20")
    simulation = begun(policy=changed, rate=40)
    ends(simulation, Outcome.PROMOTED, 400)


def test_harmful_refuses_promote_and_abort_always_wins(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.PAUSE, actor="ada", reason="lunch"))
    simulation.run(40)
    assert simulation.rollout.shares == (10,)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    ends(simulation, Outcome.ABORTED)


@pytest.mark.parametrize(
    ("promote_when", "proof"),
    [
        ("proven", "when it is proven no worse"),
        ("unrefuted", "when nothing speaks against it in 100 requests (promote_when: unrefuted)"),
    ],
)
def test_a_card_that_needs_nobody_says_what_comes_next(begun, policy, promote_when, proof):
    """With the names of the settings: which share, when at the earliest, and what if it is never proven."""
    changed = policy.replace("    bake: 3s", f"    bake: 3s\n    rollback: ask\n    promote_when: {promote_when}")
    simulation = begun(policy=changed)
    ends(simulation, Outcome.PROMOTED)
    told = {str(notice.kind): notice.text for _, notice in reversed(simulation.told)}
    late = "not before 3 s (bake); neither proven nor refuted in 60 s (deadline): hold"
    assert told["raised"].endswith(f". Next: 50 % {proof}, {late}")
    assert told["switched"].endswith(". Next: promoted in 15 s (watch); until then harm is asked about (rollback: ask)")
    assert "Next" not in told["promoted"]


def test_a_pause_does_not_protect_a_harmful_version(begun):
    simulation = begun(Behaviour(onset=20, late_failures=0.11))
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.PAUSE, actor="ada", reason="lunch"))
    ends(simulation, Outcome.ROLLED_BACK)


def test_a_closed_rollout_says_how_it_ended_and_not_what_stood_in_its_way(begun):
    simulation = begun(BAD)
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    simulation.pool.refuse_until = simulation.now + 40
    ends(simulation, Outcome.ROLLED_BACK)
    assert "is rolled back" in simulation.rollout.reason
    assert "NOT carried out" not in simulation.rollout.reason


def test_resume_gives_a_late_step_its_time_once_more(begun, policy):
    simulation = begun(policy=policy.replace("deadline: 60s", "deadline: 20s"), rate=40)
    simulation.run(100, lambda: held(simulation, HoldReason.DEADLINE))
    assert held(simulation, HoldReason.DEADLINE), simulation.rollout.reason
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.RESUME, actor="ada"))
    simulation.run(10)
    assert not held(simulation, HoldReason.DEADLINE)


def test_late_telemetry_is_waited_for(begun, policy):
    simulation = begun(policy=policy.replace("settle: 2s", "settle: 8s"))
    simulation.telemetry.delay_seconds = 6.0
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 50, 100)


def test_sampled_telemetry_promotes_on_the_rows_that_it_keeps(begun):
    simulation = begun()
    simulation.telemetry.keep = 0.5
    ends(simulation, Outcome.PROMOTED)
    side = next(one for one in simulation.rollout.verdict.indicators if one.name == "failures").canary
    assert side.displayed_requests == pytest.approx(2 * side.requests, rel=0.05)


def test_a_message_that_is_none_of_ours_is_recorded_and_not_tried_again(begun):
    simulation = begun()
    for junk in (b"", b"\xff\x00", b"{}", b'{"services": "checkout"}', b"[" * 2000):
        tick_message(simulation.world, junk)
    assert {one.kind for one in simulation.world.records.incidents(10)} == {"bad_message"}
