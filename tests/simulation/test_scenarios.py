"""What the product promises, on virtual time: each scenario ends as the table in the documentation says."""

import re

import pytest

from controller import requests
from controller.tick import tick_message
from lab.simulation import Behaviour, PoolFault, Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Misconfigured, Refused
from rollouts.observation import Slot, Weights
from rollouts.rollout import Announcement, HoldReason, Outcome, Phase

SITES = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Web/sites"
BAD = Behaviour(late_failures=0.11)
LONG = 300


def held(simulation: Simulation, reason: HoldReason) -> bool:
    rollout = simulation.rollout
    return rollout is not None and rollout.hold is not None and rollout.hold.reason is reason


def ends(simulation: Simulation, outcome: Outcome, intervals: int = LONG) -> None:
    simulation.run(intervals, simulation.closed)
    rollout = simulation.rollout
    assert rollout.closed, f"has not settled after {intervals} intervals: {rollout.phase}, {rollout.reason}"
    assert rollout.outcome is outcome, rollout.reason
    live = Slot.GREEN if outcome is Outcome.PROMOTED else Slot.BLUE
    assert simulation.pool.weights == Weights.of(live, 100)
    assert simulation.marker.live is live


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


def test_a_broken_health_url_is_rejected_without_traffic(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].healthy = False
    ends(simulation, Outcome.REJECTED)
    assert simulation.pool.writes == []
    assert simulation.rollout.shares == ()


def test_the_wrong_version_is_rejected_without_traffic(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    ends(simulation, Outcome.REJECTED)
    assert simulation.pool.writes == []
    assert "1.0.9" in simulation.rollout.reason
    assert "it never got traffic" in simulation.rollout.reason


def test_what_a_gate_found_instead_starts_only_when_it_is_announced(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    ends(simulation, Outcome.REJECTED)
    simulation.run(15)  # three lookouts
    assert simulation.rollout.version == "1.1"
    simulation.announce("1.0.9", slot=Slot.GREEN)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.version == "1.0.9"


def test_wrong_code_does_not_start_by_itself_when_a_person_ends_its_gate(begun):
    simulation = begun()
    simulation.apps[Slot.GREEN].version = "1.0.9"
    simulation.run(1)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(15)
    assert (simulation.rollout.version, simulation.rollout.outcome) == ("1.1", Outcome.ABORTED)


def test_a_gate_with_another_hands_weights_does_not_say_that_nothing_had_traffic(begun):
    simulation = begun()
    simulation.run(1)
    simulation.pool.set(Weights.of(Slot.GREEN, 20))
    simulation.run(LONG, lambda: simulation.rollout.outcome is not None)
    assert simulation.rollout.outcome is Outcome.REJECTED
    assert "is rejected, we gave it no traffic, another hand gave it 20 %" in simulation.rollout.ending


def test_a_newer_version_supersedes_and_is_promoted_itself(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.deploy(Slot.GREEN, "1.2")
    simulation.run(LONG, lambda: simulation.rollout.version == "1.2")
    first = simulation.world.records.rollouts("checkout", 2)[1]
    assert first.outcome is Outcome.SUPERSEDED
    assert first.shares == (10, 0)
    ends(simulation, Outcome.PROMOTED)


def test_an_announced_newer_version_keeps_what_its_pipeline_said(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.deploy(Slot.GREEN, "1.2")
    simulation.announce("1.2", slot=Slot.GREEN, link="https://pipelines/82")
    simulation.run(LONG, lambda: simulation.rollout.version == "1.2")
    assert simulation.rollout.link == "https://pipelines/82"
    assert simulation.rollout.deployment_id == "run-1.2"
    ends(simulation, Outcome.PROMOTED)


def test_drift_is_held_and_never_fought(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    theirs = Weights.of(Slot.GREEN, 30)
    simulation.pool.set(theirs)
    simulation.run(20)
    assert held(simulation, HoldReason.DRIFT)
    assert simulation.pool.weights == theirs


def test_drift_can_be_adopted(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.run(5)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ADOPT, actor="ada"))
    assert simulation.rollout.share == 30
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 30, 50, 100)


def test_drift_can_be_reasserted(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.run(5)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.REASSERT, actor="ada"))
    simulation.run(2)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 10)
    ends(simulation, Outcome.PROMOTED)


def test_a_person_who_sets_the_canary_to_0_aborts(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.shares == (10,))
    simulation.pool.set(Weights.of(Slot.GREEN, 0))
    ends(simulation, Outcome.ABORTED)
    assert simulation.kinds()[-1] == "aborted"


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


def test_deploying_to_the_live_slot_is_held_and_moves_nothing(begun):
    simulation = begun()
    simulation.run(LONG, simulation.closed)
    simulation.deploy(Slot.GREEN, "1.2")  # green is live now
    simulation.announce("1.2", slot=Slot.GREEN)
    writes = len(simulation.pool.writes)
    simulation.run(20)
    assert held(simulation, HoldReason.DEPLOYED_TO_LIVE)
    assert len(simulation.pool.writes) == writes
    with pytest.raises(Refused, match="`canary abort` closes the record"):  # "aborted" beside 100 % would be no 0
        requests.act(simulation.world, "checkout", Command(kind=CommandKind.SHIFT, actor="ada", share=0))
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(5)
    assert simulation.rollout.closed
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 100)
    assert simulation.told[-1][1].text.endswith("aborted: abort by ada. green keeps its 100 %")
    assert simulation.marker.live is Slot.GREEN


def test_the_end_of_a_record_on_the_live_slot_writes_over_nobody(begun):
    """It moves nothing, so it knows nothing better than the hand that moved the weights meanwhile."""
    simulation = begun()
    simulation.run(LONG, simulation.closed)
    simulation.announce("1.2", slot=Slot.GREEN)  # green is live now
    simulation.run(2)
    theirs = Weights.of(Slot.GREEN, 70)
    simulation.pool.set(theirs)
    writes = len(simulation.pool.writes)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(5)
    assert (simulation.pool.weights, len(simulation.pool.writes)) == (theirs, writes)
    assert held(simulation, HoldReason.DRIFT)


def test_approval_is_waited_for(begun, policy):
    simulation = begun(policy=policy.replace("    bake: 3s", "    bake: 3s\n    approvals: [50]"))
    simulation.run(100, lambda: held(simulation, HoldReason.APPROVAL))
    assert held(simulation, HoldReason.APPROVAL)
    simulation.run(20)
    assert simulation.rollout.shares == (10,)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.APPROVE, actor="ada"))
    ends(simulation, Outcome.PROMOTED)


def test_signals_told_twice_and_out_of_order_start_one_rollout(begun):
    simulation = begun()
    site = f"{SITES.upper()}/Checkout-Green"
    blob = "/blobServices/default/containers/green-packages/blobs/released-package.zip"
    for _ in range(2):
        simulation.signal("Microsoft.Resources.ResourceWriteSuccess", site)
        simulation.signal("Microsoft.Storage.BlobCreated", blob)
        simulation.announce("1.1", slot=Slot.GREEN)
        simulation.run(3)
    ends(simulation, Outcome.PROMOTED)
    simulation.announce("1.1", slot=Slot.GREEN)
    simulation.signal("Microsoft.Resources.ResourceWriteSuccess", site)
    simulation.run(20)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1


def test_a_retag_of_a_rolled_back_version_starts_nothing(begun):
    simulation = begun(BAD)
    ends(simulation, Outcome.ROLLED_BACK)
    site = f"{SITES}/checkout-green"
    simulation.signal("Microsoft.Resources.ResourceWriteSuccess", site)
    simulation.run(20)
    simulation.announce("1.1", slot=Slot.GREEN, deployment="run-again")
    simulation.run(5)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1
    assert "retry" in simulation.world.records.incidents(1)[0].detail
    simulation.announce("1.1", slot=Slot.GREEN, deployment="run-again", retry=True)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 2


def test_the_event_of_a_rollout_that_has_ended_told_once_more_is_no_incident(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.announce("1.1", slot=Slot.GREEN)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1
    assert simulation.world.records.incidents(10) == []


def test_a_version_that_was_live_before_we_came_starts_only_on_a_retry(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.announce("1.0", slot=Slot.BLUE)
    [incident] = simulation.world.records.incidents(10)
    assert "version 1.0 was seen before (live)" in incident.detail
    assert simulation.rollout.version == "1.1"
    simulation.announce("1.0", slot=Slot.BLUE, retry=True)
    assert simulation.rollout.version == "1.0"


def test_a_version_on_its_way_that_another_deployment_announces_goes_on(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.announce("1.1", slot=Slot.GREEN, deployment="run-again")
    ends(simulation, Outcome.PROMOTED)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1


def test_what_is_announced_for_the_baseline_of_a_rollout_ends_nothing(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.announce("1.2", slot=Slot.BLUE)
    [incident] = simulation.world.records.incidents(10)
    assert f"1.2 was announced for blue, the baseline of {simulation.rollout.id}" in incident.detail
    ends(simulation, Outcome.PROMOTED)


def test_an_unannounced_version_starts_by_itself_but_not_what_stood_there_at_first_sight(begun, tmp_path):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.run(20)  # blue still holds 1.0, which was live: nothing starts
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1
    simulation.deploy(Slot.BLUE, "1.2")
    simulation.run(20, lambda: simulation.rollout.version == "1.2")
    assert simulation.rollout.started_by == "lookout"
    simulation.run(LONG, simulation.closed)
    assert simulation.rollout.outcome is Outcome.PROMOTED
    assert simulation.marker.live is Slot.BLUE


def test_what_was_deployed_to_the_live_slot_is_no_news_when_people_have_moved_on(policy, tmp_path):
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.BLUE, "1.3")
    simulation.run(10)
    simulation.pool.set(Weights.of(Slot.GREEN, 100))
    simulation.marker.live = Slot.GREEN
    simulation.run(20)
    assert simulation.rollout is None


@pytest.mark.parametrize("next_version", [None, "1.2"])
def test_a_service_that_begins_with_an_announcement_knows_both_its_versions(policy, tmp_path, next_version):
    """No look came before it: what was live then is no news on the idle slot, and what comes there afterwards is."""
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.deploy(Slot.GREEN, "1.1")
    simulation.announce("1.1", slot=Slot.GREEN)
    simulation.run(LONG, lambda: simulation.rollout.closed)
    if next_version is not None:
        simulation.deploy(Slot.BLUE, next_version)
    simulation.run(20)
    assert simulation.rollout.version == (next_version or "1.1")


def test_a_refused_rollback_is_told_as_not_carried_out_and_done_later(begun):
    simulation = begun(Behaviour(onset=0, late_failures=0.11))
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    simulation.pool.refuse_until = simulation.now + 40
    simulation.run(35)
    assert simulation.rollout.phase is Phase.CLOSING
    assert "not_carried_out" in simulation.kinds()
    loudest = next(notice for _, notice in simulation.told if notice.kind == "not_carried_out")
    assert "The decision that waits for this write: " in loudest.text, (
        "its sentence says 'is rolled back', and it is not"
    )
    p95 = next(one for one in loudest.lines if one.indicator == "p95")
    assert re.fullmatch(r"slower than \d+ ms \(canary \d+ ms\)", p95.bad)
    assert "green had 10 % when the pool was last read" in loudest.text
    assert "rolled_back" not in simulation.kinds()
    ends(simulation, Outcome.ROLLED_BACK)
    assert simulation.kinds().index("not_carried_out") < simulation.kinds().index("rolled_back")


@pytest.mark.parametrize(
    "faults",
    [
        [PoolFault.THROTTLED] * 2,
        [PoolFault.APPLIED],
        [PoolFault.STALE],
        [PoolFault.STALE, PoolFault.APPLIED, PoolFault.THROTTLED],
    ],
)
def test_throttled_lost_and_stale_writes_are_survived(begun, faults):
    simulation = begun()
    simulation.pool.faults = list(faults)
    ends(simulation, Outcome.PROMOTED)
    assert simulation.rollout.shares == (10, 50, 100)
    assert not simulation.pool.faults


def test_mode_observe_writes_nothing_and_records_the_verdict(begun, policy):
    simulation = begun(BAD, policy=policy.replace("mode: act", "mode: observe"))
    simulation.run(10)
    simulation.pool.set(Weights.of(Slot.GREEN, 10))  # people move the traffic themselves
    simulation.run(60)
    assert simulation.pool.writes == []
    assert simulation.marker.writes == []
    assert simulation.told == []
    sentences = [one.sentence for one in simulation.world.records.decisions("checkout", simulation.rollout.id)]
    assert any("Would roll back" in one for one in sentences), sentences


def test_off_stops_every_write_within_one_tick(begun):
    simulation = begun(BAD)
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    writes = len(simulation.pool.writes)
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=True)
    simulation.run(40)
    assert len(simulation.pool.writes) == writes
    assert "advice" in simulation.kinds()
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=False)
    ends(simulation, Outcome.ROLLED_BACK)


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


def test_an_abort_in_the_gate_is_told_at_the_next_look_and_is_no_incident(begun):
    simulation = begun()
    simulation.run(1)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(1)
    assert simulation.closed()
    assert simulation.kinds()[-1] == "aborted"
    assert simulation.world.records.incidents(10) == []


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


@pytest.mark.parametrize("side", ["pool", "marker"])
def test_what_cannot_be_read_is_held_and_no_write_is_said_to_have_failed(begun, monkeypatch, side):
    """Nothing is decided and nothing is to be written: "decided, NOT carried out" would be a false alarm at night."""
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,) and simulation.rollout.segments)

    def read(*_: object) -> None:
        raise Misconfigured("it says teal")

    with monkeypatch.context() as broken:
        broken.setattr(getattr(simulation, side), "read", read)
        simulation.run(10)
        assert held(simulation, HoldReason.POOL_UNREADABLE if side == "pool" else HoldReason.MARKER_UNKNOWN)
    assert simulation.kinds()[-1] == "held"
    assert "not_carried_out" not in simulation.kinds()
    ends(simulation, Outcome.PROMOTED)


def test_a_marker_that_cannot_be_read_does_not_make_the_pool_look_unwritten(begun, monkeypatch):
    """The loudest card names what is missing, and the traffic that users have."""
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))

    def read(*_: object) -> None:
        raise Misconfigured("it says teal")

    monkeypatch.setattr(simulation.marker, "read", read)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(5)
    loudest = next(notice for _, notice in simulation.told if notice.kind == "not_carried_out")
    assert loudest.text.startswith("Decided, NOT carried out: current-slot-name blue. 2 attempts failed: ")
    assert loudest.weights == simulation.pool.weights == Weights.of(Slot.GREEN, 0)
    assert "current-slot-name blue is decided but NOT carried out" in simulation.rollout.reason


def test_in_mode_advise_every_card_says_what_to_type_and_none_that_something_was_done(begun, policy):
    """The gate moves nothing there: "more traffic" beside 0 % would be a lie."""
    simulation = begun(Behaviour(late_failures=0.2), policy=policy.replace("mode: act", "mode: advise"))
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(2)
    simulation.pool.set(Weights.of(Slot.GREEN, 10))
    simulation.run(LONG, lambda: simulation.kinds().count("advice") == 2)
    told = [notice for _, notice in simulation.told if notice.kind != "started"]
    assert [(one.kind, one.weights.share(Slot.GREEN), one.command) for one in told] == [
        ("advice", 0, "canary shift checkout 10 --slot green --direct"),
        ("advice", 10, "canary shift checkout 0 --slot green --direct"),
    ]
    assert "would give green 10 % (mode advise)" in told[0].text
    assert "Would roll back to 0 (mode advise)" in told[1].text
    assert simulation.pool.writes == []


def test_an_abort_while_canary_off_is_in_force_says_what_keeps_it(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=True)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(3)
    notice = simulation.told[-1][1]
    assert (notice.kind, notice.command) == ("held", "canary on checkout")
    assert "0 % for green is decided, and `canary off` keeps it from being written" in notice.text
    assert notice.weights == Weights.of(Slot.GREEN, 10)
    requests.switch(simulation.world, None, requests.Who(actor="ada"), off=False)
    ends(simulation, Outcome.ABORTED)


def test_a_pause_does_not_protect_a_harmful_version(begun):
    simulation = begun(Behaviour(onset=20, late_failures=0.11))
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.PAUSE, actor="ada", reason="lunch"))
    ends(simulation, Outcome.ROLLED_BACK)


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


def test_target_leases_the_idle_slot_and_is_refused_during_a_rollout(begun, tmp_path):
    simulation = begun()
    who = requests.Who(actor="pipeline-81")
    with pytest.raises(requests.Refused, match="--preempt"):
        requests.target(simulation.world, "checkout", who)
    ends(simulation, Outcome.PROMOTED)
    found = requests.target(simulation.world, "checkout", who)
    assert (found.slot, found.url) == (Slot.BLUE, "https://127.0.0.1:1/blue")
    with pytest.raises(requests.Refused, match="pipeline-81"):
        requests.target(simulation.world, "checkout", requests.Who(actor="pipeline-82"))
    simulation.deploy(Slot.BLUE, "1.2")
    simulation.run(20)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1, "no traffic moves to a leased slot"
    simulation.announce("1.2", slot=Slot.BLUE)
    assert simulation.world.records.lease("checkout") is None
    simulation.run(LONG, simulation.closed)
    assert simulation.marker.live is Slot.BLUE


def test_target_gives_no_slot_that_has_any_traffic(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.pool.set(Weights.of(Slot.BLUE, 1))
    with pytest.raises(requests.Refused, match="blue should be idle, but the pool green-blue-pool gives it 1 %"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run 7"))


def test_a_lease_is_given_back_by_its_owner(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    one, other = requests.Who(actor="run 7"), requests.Who(actor="run 8")
    requests.target(simulation.world, "checkout", one)
    with pytest.raises(requests.Refused, match="run 7's"):
        requests.release(simulation.world, "checkout", other)
    assert requests.release(simulation.world, "checkout", one)
    assert not requests.release(simulation.world, "checkout", one)
    assert requests.target(simulation.world, "checkout", other).slot is Slot.BLUE


def test_target_says_whether_asking_again_helps(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    simulation.pool.unreadable_until = simulation.now + 60
    with pytest.raises(requests.Unavailable, match="the pool could not be read, nothing may be deployed"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run 7"))
    simulation.marker.unknown = True
    with pytest.raises(requests.Misconfigured, match=r"which slot is live is unknown.*'teal'"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run 7"))
    assert simulation.world.records.lease("checkout") is None


def test_the_marker_is_never_written_before_the_pool_gives_that_slot_everything(begun, monkeypatch):
    """To 100 and back after promotion, also while API Management refuses the weights for some time."""
    simulation = begun()
    given, write = [], simulation.marker.write

    def watched(service, marker, live, etag):
        given.append((live, simulation.pool.weights.share(live)))
        return write(service, marker, live, etag)

    monkeypatch.setattr(simulation.marker, "write", watched)
    simulation.run(LONG, lambda: simulation.rollout.shares == (10, 50))
    simulation.pool.faults = [PoolFault.THROTTLED] * 3
    ends(simulation, Outcome.PROMOTED)
    simulation.pool.faults = [PoolFault.THROTTLED] * 3
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ROLLBACK, actor="ada"))
    ends(simulation, Outcome.ROLLED_BACK)
    assert given == [(Slot.GREEN, 100), (Slot.BLUE, 100)]


def test_preempt_brings_the_share_to_0_before_the_lease(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10, 50))
    found = requests.target(simulation.world, "checkout", requests.Who(actor="hotfix"), preempt=True)
    assert found.slot is Slot.GREEN
    assert simulation.pool.weights == Weights.of(Slot.BLUE, 100)
    assert simulation.rollout.outcome is Outcome.ABORTED


def test_preempt_gives_no_lease_while_its_share_0_is_not_read_back(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    simulation.pool.refuse_until = simulation.now + 60
    with pytest.raises(requests.Refused, match="is decided, but its share 0 is not read back yet"):
        requests.target(simulation.world, "checkout", requests.Who(actor="hotfix"), preempt=True)
    assert simulation.rollout.outcome is Outcome.ABORTED
    assert simulation.world.records.lease("checkout") is None


@pytest.mark.parametrize("seconds", [0.0, -5.0, 86401.0, float("nan")])
def test_a_lease_lasts_at_most_a_day(begun, seconds):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    with pytest.raises(requests.Refused, match="give a number above 0 and at most 86400"):
        requests.target(simulation.world, "checkout", requests.Who(actor="run 7"), seconds=seconds)


def test_what_a_person_starts_needs_no_word_of_a_retry(begun):
    simulation = begun(BAD)
    ends(simulation, Outcome.ROLLED_BACK)
    told = Announcement(service="checkout", slot=None, version="1.1", deployment_id="again", by="person:ada")
    assert requests.start(simulation.world, told).deployment_id == "again"


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


@pytest.mark.parametrize("end", ["abort", "zero", "a newer version"])
@pytest.mark.parametrize("harm", ["judged", "dead"])
def test_whoever_ends_a_harmful_version_it_starts_again_only_on_a_retry(begun, policy, end, harm):
    """As after a rollback: `rollback: ask` has left the end to a person, or to the next deployment."""
    simulation = begun(
        BAD if harm == "judged" else None, policy=policy.replace("    bake", "    rollback: ask\n    bake")
    )
    simulation.run(LONG, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.apps[Slot.GREEN].healthy = harm == "judged"
    simulation.run(LONG, lambda: held(simulation, HoldReason.ROLLBACK_ASKED))
    match end:
        case "abort":
            requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
        case "zero":
            simulation.pool.set(Weights.of(Slot.GREEN, 0))
        case _:
            simulation.announce("1.2", slot=Slot.GREEN)
    simulation.run(2)
    simulation.run(LONG, lambda: simulation.rollout.closed)
    ended = len(simulation.world.records.rollouts("checkout", 9))
    simulation.deploy(Slot.GREEN, "1.1")
    simulation.announce("1.1", slot=Slot.GREEN, deployment="run-again")
    assert len(simulation.world.records.rollouts("checkout", 9)) == ended
    [incident] = [one for one in simulation.world.records.incidents(9) if one.kind == "bad_event"]
    assert "1.1 was seen before (harmful)" in incident.detail
    simulation.announce("1.1", slot=Slot.GREEN, deployment="run-retry", retry=True)
    assert simulation.rollout.deployment_id == "run-retry"


def test_a_changed_baseline_is_held(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    simulation.apps[Slot.BLUE].version = "0.8"
    simulation.run(3)
    assert held(simulation, HoldReason.BASELINE_CHANGED)


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
