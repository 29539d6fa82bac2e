"""Writes that fail, get lost or may not be made, and what is said of them."""

import re

import pytest

from controller import requests
from lab.simulation import Behaviour, PoolFault
from rollouts.command import Command, CommandKind
from rollouts.errors import Misconfigured
from rollouts.observation import Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase
from tests.simulation.endings import BAD, LONG, ends, held


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
