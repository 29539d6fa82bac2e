"""Time in which nothing is seen, or both slots are ill, neither proves nor condemns; a slow look loses no row."""

import json

import msgspec
import pytest

from controller import requests
from lab.simulation import Behaviour, Simulation
from rollouts.command import Command, CommandKind
from rollouts.rollout import Outcome, Phase

LATE = "    bake: 3s\n    deadline: 20s\n    at_deadline: rollback"


def blind(simulation: Simulation, intervals: int) -> None:
    """Requests go on and leave no row: the telemetry answers, with nothing."""
    for _ in range(intervals):
        simulation.step()
        simulation.telemetry.minutes.pop()


def test_a_watch_that_was_blind_is_watched_again_before_it_promotes(begun):
    simulation = begun()
    simulation.run(300, lambda: simulation.rollout.phase is Phase.WATCH)
    blind(simulation, 14)
    held = simulation.rollout.hold
    assert held is not None, simulation.rollout.reason
    assert held.reason == "blind"
    simulation.run(300, lambda: simulation.rollout.phase is not Phase.WATCH)
    seen = simulation.rollout.phase_since - simulation.rollout.pin.settle_seconds - held.since
    assert simulation.rollout.outcome is Outcome.PROMOTED
    assert seen > 9, f"promoted after {seen:g} s of sight (watch 15 s)"


@pytest.mark.parametrize("why", ["shared", "blind"])
def test_an_outage_longer_than_the_deadline_rolls_nothing_back(begun, policy, why):
    simulation = begun(policy=policy.replace("    bake: 3s\n    deadline: 60s", LATE), rate=60)
    simulation.run(40, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(6)
    if why == "shared":
        simulation.common_failures = 0.3
    else:
        simulation.telemetry.outage_until = simulation.now + 40
    simulation.run(38)
    assert simulation.rollout.hold is not None, simulation.rollout.reason
    assert simulation.rollout.hold.reason == why
    simulation.common_failures = simulation.telemetry.outage_until = 0.0
    simulation.run(60, lambda: simulation.rollout.hold is None)
    assert simulation.rollout.phase is Phase.STEP, simulation.rollout.reason


def test_what_arrives_while_a_slow_look_goes_on_is_counted_by_a_later_one(begun):
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(5)
    probe, asked = simulation.prober.probe, simulation.now + 1

    def slow(*where, **how):
        simulation.now += 5
        return probe(*where, **how)

    simulation.prober.probe = slow
    simulation.step()
    assert simulation.rollout.ticked_at > asked + 9, "the look was slow"
    assert simulation.rollout.settled_until <= asked - simulation.rollout.pin.settle_seconds


@pytest.mark.parametrize("blip", ["telemetry", "pool"])
def test_a_limit_is_reached_although_a_look_in_between_sees_nothing(begun, blip):
    simulation = begun(Behaviour(vanished=1.0))
    simulation.run(60, lambda: simulation.rollout.hold is not None and simulation.rollout.hold.reason == "unobserved")
    began, looks = simulation.now, 0
    while simulation.rollout.phase is Phase.STEP and looks < 40:
        looks += 1
        if looks % 4 == 0 and blip == "telemetry":
            simulation.telemetry.outage_until = simulation.now + 1.5
        elif looks % 4 == 0:
            simulation.pool.unreadable_until = simulation.now + 1.5
        simulation.step()
    assert simulation.rollout.outcome is Outcome.ROLLED_BACK
    assert "limits.unobserved" in simulation.rollout.ending
    assert 10 < simulation.now - began < 25, "ten seconds of sight (limits.unobserved), blips apart"
    assert simulation.kinds().count("held") == 1, "and it is told once"


@pytest.mark.parametrize("behind", [3, 30])
def test_two_instances_whose_clocks_differ_come_to_the_same_end(begun, behind):
    """Every second tick is made by an instance whose clock is that many intervals behind."""
    simulation = begun()
    tick, ticks = simulation._tick, 0

    def ticked() -> None:
        nonlocal ticks
        ticks += 1
        slow = behind if ticks % 2 else 0
        world = simulation.world
        simulation.world = msgspec.structs.replace(world, now=lambda: simulation.now - slow)
        try:
            tick()
        finally:
            simulation.world = world

    simulation._tick = ticked
    simulation.run(600, simulation.closed)
    assert simulation.rollout.outcome is Outcome.PROMOTED, simulation.rollout.reason
    assert simulation.world.records.incidents(5) == []


def test_a_hold_is_logged_as_overdue_from_its_limit_on_and_not_once_it_has_ended(begun, caplog):
    """The alert reads that line: a hold that nothing ends by itself must not be forgotten by everybody."""
    caplog.set_level("WARNING", logger="controller.tick")
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.telemetry.outage_until = simulation.now + 60
    simulation.run(30, lambda: simulation.rollout.hold is not None)
    limit = simulation.rollout.pin.limits.blind_seconds

    def logged() -> int:
        return sum(one.message.startswith("canary.overdue ") for one in caplog.records)

    simulation.run(limit - 1)
    assert logged() == 0
    simulation.run(3)
    assert logged() > 0
    told = json.loads(caplog.records[-1].message.removeprefix("canary.overdue "))
    assert (told["service"], told["rollout"], told["reason"]) == ("checkout", simulation.rollout.id, "blind")
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(3)
    assert simulation.rollout.closed
    so_far = logged()
    simulation.run(3)
    assert logged() == so_far
