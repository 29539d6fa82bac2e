"""Which slot may be deployed to: leases, preemption, refusals."""

import pytest

from controller import requests
from rollouts.observation import Slot, Weights
from rollouts.rollout import Outcome
from tests.simulation.endings import LONG, ends


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
