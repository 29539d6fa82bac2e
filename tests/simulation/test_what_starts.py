"""Which signals start a rollout, which only wake, and what needs a retry."""

import pytest

from controller import requests
from lab.simulation import Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Refused
from rollouts.observation import Slot, Weights
from rollouts.rollout import Announcement, HoldReason, Outcome, Phase
from tests.simulation.endings import BAD, LONG, ends, held

SITES = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.Web/sites"


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
    simulation.run(3)
    assert (simulation.pool.weights, simulation.rollout.write_failures) == (theirs, 0)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(5)
    assert (simulation.pool.weights, len(simulation.pool.writes)) == (theirs, writes)
    assert held(simulation, HoldReason.DRIFT)


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


def test_what_a_person_starts_needs_no_word_of_a_retry(begun):
    simulation = begun(BAD)
    ends(simulation, Outcome.ROLLED_BACK)
    told = Announcement(service="checkout", slot=None, version="1.1", deployment_id="again", by="person:ada")
    assert requests.start(simulation.world, told).deployment_id == "again"


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
