"""Many services tick together: what one of them meets, and how long it takes, is nothing to the others."""

import msgspec
import pytest

from controller import intake, requests
from controller.tick import tick
from lab.simulation import Behaviour, Simulation
from rollouts.errors import Unavailable
from rollouts.observation import Slot
from rollouts.rollout import Phase
from storing import keys
from storing.contract import ANY, Put
from tests.storing.examples import decision, next_of, pin, rollout


@pytest.fixture
def pair(tmp_path, policy) -> Simulation:
    """Services `basket` and `checkout` in one workspace, each with version 1.1 at its gate."""
    basket = policy[policy.index("  checkout:") :].replace("checkout", "basket").replace("127.0.0.1:1/", "127.0.0.1:2/")
    for slot in Slot:
        basket = basket.replace(f"{slot}-backend", f"basket-{slot}").replace(f"{slot}-packages", f"basket-{slot}")
    basket = basket.replace("green-blue-pool", "basket-pool\n    marker: basket-slot")
    simulation = Simulation(policy + basket, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.GREEN, "1.1", Behaviour(late_failures=0.11))
    for service in ("basket", "checkout"):
        told = {"service": service, "version": "1.1", "deploymentId": f"run-{service}", "slot": "green"}
        simulation.signal("Canary.DeploymentCompleted", service, told)
    assert simulation.world.records.active() == ["basket", "checkout"]
    return simulation


def test_off_for_one_service_stops_the_writes_of_no_other(pair):
    """And every write of its own."""
    requests.switch(pair.world, "basket", requests.Who(actor="ada"), off=True)
    pair.run(40, lambda: bool(pair.world.records.newest("checkout").value.shares))
    basket, checkout = (pair.world.records.newest(one).value for one in ("basket", "checkout"))
    assert checkout.shares == (10,)
    assert (basket.shares, basket.hold.reason) == ((), "off")


def test_many_services_that_turn_harmful_at_once_stop_every_raise_and_no_rollback(pair):
    """Three of one workspace within ten minutes: rather the world than the versions."""
    workspace = pair.world.policy().services["checkout"].pin.workspace
    pair.apps[Slot.GREEN].behaviour = Behaviour()
    pair.run(40, lambda: pair.world.records.newest("checkout").value.shares == (10,))
    for service in ("a", "b", "c"):
        stored = pair.world.records.create(decision(rollout(service, pair.now, pin=pin(workspace=workspace))))
        pair.world.records.save(stored, next_of(stored.value, harmful_at=pair.now))
        pair.world.records.deactivate(service)
    pair.run(40)
    raising = pair.world.records.newest("checkout").value
    assert (raising.shares, raising.hold.reason) == ((10,), "storm"), raising.reason
    assert "3 services" in raising.reason
    pair.apps[Slot.GREEN].healthy = False
    pair.run(10)
    assert pair.world.records.newest("checkout").value.shares == (10, 0)


def spoil(simulation: Simulation, part: str) -> None:
    """Break what `basket` meets: its stored record, its stored counts, or an adapter in a way that nobody foresaw."""
    rollout = simulation.world.records.newest("basket").value
    place = {"rollout": keys.rollout(rollout.id), "counts": keys.chunk(keys.counts(rollout.id), 0, 0)}
    if part in place:
        simulation.world.records.store.commit(keys.partition("basket"), [Put(place[part], b"junk", ANY)])
        return
    probe = simulation.prober.probe

    def buggy(url, *rest, **how):
        if "127.0.0.1:2" in url:
            raise IndexError("https://basket.example/?code=secret")
        return probe(url, *rest, **how)

    simulation.prober.probe = buggy


@pytest.mark.parametrize("part", ["rollout", "counts", "probe"])
def test_what_is_broken_for_one_service_stops_no_other(pair, part):
    spoil(pair, part)
    tick(pair.world, ["basket", "checkout"])
    checkout = pair.world.records.newest("checkout").value
    assert checkout.gate_successes == 1, checkout.reason
    [incident] = pair.world.records.incidents(10)
    assert (incident.kind, incident.detail.split(":")[0]) == ("invariant", "basket")
    assert "secret" not in incident.detail


def test_the_service_whose_pool_does_not_answer_has_its_turn_last(pair):
    """What it waits for again must not eat the tick's time before the others were decided on."""
    read, save, turns = pair.pool.read, pair.world.records.save, []

    def unreadable(service, pool, backends):
        if pool == "basket-pool":
            raise Unavailable("no answer in 20 s")
        return read(service, pool, backends)

    def saved(stored, decision):
        turns.append(stored.value.service)
        return save(stored, decision)

    pair.pool.read, pair.world.records.save = unreadable, saved
    tick(pair.world, ["basket", "checkout"])
    assert list(dict.fromkeys(turns)) == ["checkout", "basket"]


def test_a_look_at_idle_slots_skips_the_service_that_cannot_be_read(pair):
    spoil(pair, "rollout")
    intake.lookout_all(pair.world)


def test_no_channel_is_waited_for_before_every_service_has_moved_its_traffic(pair):
    phases: list[list[Phase]] = []

    class Slow:
        def send(self, _notice):
            phases.append([pair.world.records.newest(one).value.phase for one in ("basket", "checkout")])

    pair.world = msgspec.structs.replace(pair.world, channel=lambda _channel: Slow())
    pair.run(60, lambda: phases[-1:] == [[Phase.STEP, Phase.STEP]])
    assert [Phase.STEP, Phase.GATE] not in phases


def test_a_notice_goes_out_although_what_follows_cannot_begin_yet(begun):
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(3)
    simulation.deploy(Slot.GREEN, "1.2")
    simulation.announce("1.2", slot=Slot.GREEN)
    real, first = simulation.marker.read, simulation.rollout.id

    def unreadable(*asked):
        if simulation.world.records.newest("checkout").value.closed:
            raise Unavailable("the marker does not answer")
        return real(*asked)

    simulation.marker.read = unreadable
    simulation.run(3)
    assert simulation.rollout.id == first
    assert simulation.kinds()[-1] == "superseded"
    simulation.marker.read = real
    simulation.run(3)
    assert simulation.rollout.version == "1.2", "and it begins when it can"
