"""The outbox: stored with the decision, in order, each entry sent by one at a time, kept afterwards."""

import pytest

from rollouts.errors import Conflict
from storing.contract import Store
from storing.records import Records
from tests.storing.examples import START, decision, next_of, notice, rollout


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


def test_entries_come_in_the_order_of_decisions(records: Records) -> None:
    stored = records.create(decision(rollout()))
    for minute in (1, 2, 10, 100):
        stored = records.save(stored, next_of(stored.value, START + 60 * minute, notices=2))
    numbers = [entry.notice.id for entry in records.outbox("checkout") if entry.channel == "team"]
    assert numbers == [
        f"{stored.value.id}-{number}-{kind}" for number in (2, 3, 4, 5) for kind in ("started", "raised")
    ]


def test_a_sent_notice_leaves_the_outbox_and_stays_with_its_rollout(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, notices=1))
    first, second = records.outbox("checkout")
    records.sent(first, START + 5)
    assert [one.key for one in records.outbox("checkout")] == [second.key]
    assert not records.outbox_empty("checkout")
    records.gave_up(second, "answered 404", START + 9)
    assert records.outbox_empty("checkout")
    kept = records.notices("checkout", stored.value.id)
    assert [(one.channel, one.sent_at, one.failed_at, one.error) for one in kept] == [
        ("team", START + 5, None, None),
        ("audit", None, START + 9, "answered 404"),
    ]
    assert records.notices("checkout", "another") == []


def test_waiting_notices_are_shown_with_their_error(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, notices=1))
    entry = records.outbox("checkout")[0]
    failed = records.failed(records.claim(entry, START + 60), "answered 503", START + 30)
    assert (failed.attempts, failed.retry_at) == (1, START + 30)
    shown = records.notices("checkout", stored.value.id)[0]
    assert shown == failed
    assert (shown.error, shown.sent_at) == ("answered 503", None)
    records.sent(failed, START + 31)
    assert records.notices("checkout", stored.value.id)[0].error is None, "it was delivered after all"


def test_one_at_a_time_sends_an_entry(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, notices=1))
    entry = records.outbox("checkout")[0]
    records.claim(entry, START + 60)
    for late in (
        lambda: records.claim(entry, START),
        lambda: records.failed(entry, "", START),
        lambda: records.sent(entry, START),
    ):
        with pytest.raises(Conflict):
            late()


def test_a_notice_for_nobody_waits_for_nobody(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, decision(next_of(stored.value).rollout, notices=(notice(stored.value, 2, channels=()),)))
    assert records.outbox_empty("checkout")
