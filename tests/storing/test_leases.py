"""Leases: one owner at a time, none while a rollout runs, and no start overlooks one."""

import pytest

from rollouts.errors import Conflict, Refused
from rollouts.observation import Slot
from rollouts.rollout import Outcome, Phase
from storing.contract import Store
from storing.records import Records
from tests.storing.examples import START, Interrupting, decision, next_of, rollout


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


def test_a_second_owner_is_refused_with_the_firsts_name(records: Records) -> None:
    lease = records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    with pytest.raises(Refused, match="green is leased by pipeline 7 for another 540 s"):
        records.take_lease("checkout", "pipeline 8", Slot.GREEN, START + 900, START + 60)
    held = records.lease("checkout")
    assert held is not None
    assert held.value == lease
    records.take_lease("other", "pipeline 8", Slot.GREEN, START + 900, START + 60)


def test_ones_own_lease_is_renewed_and_an_old_one_taken_over(records: Records) -> None:
    records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    assert records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 900, START + 60).expires_at == START + 900
    lease = records.take_lease("checkout", "pipeline 8", Slot.BLUE, START + 2000, START + 900)
    assert (lease.owner, lease.slot) == ("pipeline 8", Slot.BLUE)
    assert lease.holds(START + 1999)
    assert not lease.holds(START + 2000)


def test_of_two_who_take_it_at_once_one_wins(opened) -> None:  # type: ignore[no-untyped-def]
    one, other = Records(opened()), Records(opened())
    seen = other.lease("checkout")
    assert seen is None
    one.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    other.lease = lambda service: None  # type: ignore[method-assign]  # as read before the other took it
    with pytest.raises(Conflict):
        other.take_lease("checkout", "pipeline 8", Slot.GREEN, START + 600, START)


def test_only_its_owner_gives_a_lease_back(records: Records) -> None:
    records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    with pytest.raises(Refused, match="the lease on green is pipeline 7's, not pipeline 8's"):
        records.release_lease("checkout", "pipeline 8", START + 60)
    assert records.release_lease("checkout", "pipeline 7", START + 60)
    assert not records.release_lease("checkout", "pipeline 7", START + 60)
    assert records.lease("checkout") is None


def test_a_lease_that_is_over_is_nobodys(records: Records) -> None:
    records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    assert not records.release_lease("checkout", "pipeline 8", START + 600)


def test_a_rollback_brings_no_traffic_to_a_leased_slot(records: Records) -> None:
    """Somebody may be deploying to the old slot just now; a lease that is over stands in nobody's way."""
    records.take_lease("checkout", "pipeline 7", Slot.BLUE, START + 600, START)
    back = rollout(phase=Phase.CLOSING, outcome=Outcome.ROLLED_BACK)
    with pytest.raises(Refused, match="blue is leased by pipeline 7"):
        records.create(decision(back, START + 60))
    assert records.newest("checkout") is None
    assert records.create(decision(back, START + 600)).value == back


@pytest.mark.parametrize(
    ("phase", "share"), [(Phase.GATE, 0), (Phase.STEP, 10), (Phase.WATCH, 100), (Phase.CLOSING, 0)]
)
def test_nothing_is_leased_while_a_rollout_runs(records: Records, phase: Phase, share: int) -> None:
    """At its gate neither: its first share would go to the slot that is deployed to by then."""
    stored = records.create(decision(rollout()))
    stored = records.save(stored, next_of(stored.value, phase=phase, share=share))
    with pytest.raises(Refused, match=rf"checkout-20261124T052800.* is in phase {phase} \({share} % for green\)"):
        records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    records.save(stored, next_of(stored.value, phase=Phase.CLOSED, share=0, outcome=Outcome.ABORTED))
    records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)


def test_a_lease_taken_while_a_rollout_starts_is_not_overlooked(store: Store) -> None:
    """The start, which saw no lease, is lost, whichever slot the lease is for."""
    records = Records(store)
    lease = lambda: records.take_lease("checkout", "pipeline 7", Slot.BLUE, START + 600, START)  # noqa: E731
    starting = Records(Interrupting(store, lambda partition: partition == "active", lease))
    with pytest.raises(Conflict):
        starting.create(decision(rollout()))
    assert records.current("checkout") is None


def test_a_rollout_that_starts_while_a_lease_is_taken_is_not_overlooked(store: Store) -> None:
    records = Records(store)
    leasing = Records(
        Interrupting(store, lambda partition: partition == "s-checkout", lambda: records.create(decision(rollout())))
    )
    with pytest.raises(Conflict):
        leasing.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    assert records.lease("checkout") is None
