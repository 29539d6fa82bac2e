"""Events come in no order, hours late and twice: an old one moves nothing that a newer one began."""

import json

import pytest
from azure.functions.eventgrid import EventGridEventInConverter
from azure.functions.meta import Datum

from controller import signals
from controller.config import load
from lab.simulation import Simulation
from rollouts.observation import Slot
from rollouts.rollout import Announcement, Outcome, Phase

TYPE = signals.DEPLOYMENT_COMPLETED


@pytest.fixture
def announced(tmp_path, policy) -> Simulation:
    """Version 1.2 was deployed to green after 1.1, and its event came first."""
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.GREEN, "1.2")
    simulation.announce("1.2", slot=Slot.GREEN, at=simulation.now)
    return simulation


def told_late(simulation: Simulation, version: str = "1.1", seconds: float = 30.0) -> None:
    """The event of another deployment to green, published that long before the first one."""
    at = simulation.rollout.announced_at - seconds
    simulation.announce(version, slot=Slot.GREEN, deployment=f"late-{version}", at=at)


def test_an_older_announcement_does_not_supersede_the_rollout_of_a_newer_one(announced):
    announced.run(60, lambda: announced.rollout.phase is Phase.STEP)
    told_late(announced)
    announced.run(400, announced.closed)
    assert (announced.rollout.version, announced.rollout.outcome) == ("1.2", Outcome.PROMOTED)
    [incident] = announced.world.records.incidents(10)
    assert incident.kind == "bad_event"
    assert "announced for green 30 s before 1.2" in incident.detail


def test_an_older_announcement_starts_nothing_after_a_newer_one_was_promoted(announced):
    announced.run(400, announced.closed)
    told_late(announced, seconds=3600.0)
    announced.run(20)
    assert announced.rollout.version == "1.2", "1.1 is not on the live slot, whatever its late event says"
    assert announced.kinds()[-1] == "promoted"


def test_a_newer_announcement_supersedes_as_ever(announced):
    announced.run(60, lambda: announced.rollout.phase is Phase.STEP)
    announced.deploy(Slot.GREEN, "1.3")
    told_late(announced, "1.3", seconds=-10.0)
    announced.run(400, announced.closed)
    assert (announced.rollout.version, announced.rollout.outcome) == ("1.3", Outcome.PROMOTED)


def test_a_newer_version_whose_pipeline_has_a_slow_clock_is_found_on_its_slot(announced):
    announced.run(60, lambda: announced.rollout.phase is Phase.STEP)
    announced.deploy(Slot.GREEN, "1.3")
    told_late(announced, "1.3", seconds=10.0)
    announced.run(400, announced.closed)
    assert (announced.rollout.version, announced.rollout.outcome) == ("1.3", Outcome.PROMOTED)


def test_of_two_announcements_of_one_moment_the_one_that_comes_later_goes_on(announced):
    announced.run(60, lambda: announced.rollout.phase is Phase.STEP)
    announced.deploy(Slot.GREEN, "1.3")
    told_late(announced, "1.3", seconds=0.0)
    assert announced.rollout.successor.version == "1.3"


def test_an_announcement_that_came_late_is_as_old_as_it_says(tmp_path, policy):
    """1.2 was on its way for a minute; 1.3 was published after it, and before it came."""
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    simulation.deploy(Slot.GREEN, "1.3")
    simulation.announce("1.2", slot=Slot.GREEN, at=simulation.now - 60)
    told_late(simulation, "1.3", seconds=-30.0)
    assert simulation.rollout.successor.version == "1.3"


def test_an_older_announcement_of_the_version_that_runs_or_of_the_other_slot_is_no_incident(announced):
    told_late(announced, "1.2")
    announced.run(400, announced.closed)
    announced.deploy(Slot.BLUE, "1.3")
    announced.announce("1.3", slot=Slot.BLUE, at=announced.rollout.announced_at - 30)
    assert announced.rollout.version == "1.3"
    assert announced.world.records.incidents(10) == []


def test_one_deployment_told_to_two_instances_at_once_starts_one_rollout(tmp_path, policy, monkeypatch):
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    create = simulation.world.records.create

    def after_the_other(decision):
        monkeypatch.undo()
        simulation.announce("1.2", slot=Slot.GREEN)
        return create(decision)

    monkeypatch.setattr(simulation.world.records, "create", after_the_other)
    simulation.announce("1.2", slot=Slot.GREEN)
    assert len(simulation.world.records.rollouts("checkout", 10)) == 1
    assert simulation.world.records.incidents(10) == []


@pytest.mark.parametrize(
    "envelope",
    [
        {"eventType": TYPE, "topic": "t", "dataVersion": "1", "eventTime": "2026-11-23T10:00:00Z"},
        {"type": TYPE, "specversion": "1.0", "source": "/ci", "time": "2026-11-23T10:00:00.0000000Z"},
    ],
    ids=["event grid", "cloud event"],
)
def test_the_time_of_an_announcement_is_that_at_which_it_was_published(policy, envelope):
    told = {"service": "checkout", "version": "1.2", "deploymentId": "run-1"}
    body = json.dumps({"id": "1", "subject": "checkout", "data": told, **envelope})
    event = EventGridEventInConverter.decode(Datum(body, "json"), trigger_metadata={})
    read = signals.read(signals.arrived(event), load(policy))
    assert isinstance(read, Announcement)
    assert read.at == 1_795_428_000.0
