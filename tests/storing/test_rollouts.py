"""Rollouts in the state: one transaction a decision, one winner, nothing left without ticks."""

import pytest
from msgspec.structs import replace

from rollouts.errors import Conflict, InvariantBroken
from rollouts.notice import NoticeKind
from rollouts.observation import Slot
from rollouts.rollout import Outcome, Phase
from storing import keys
from storing.contract import ANY, Put, Store
from storing.entries import Reached
from storing.records import Records
from tests.storing.examples import START, Interrupting, decision, next_of, notice, rollout, rows, verdict


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


def closed(records: Records, service: str = "checkout") -> None:
    """End the service's rollout and empty its outbox."""
    stored = records.newest(service)
    assert stored is not None
    end = next_of(stored.value, phase=Phase.CLOSED, outcome=Outcome.PROMOTED)
    records.save(stored, end)
    for entry in records.outbox(service):
        records.sent(entry, START)


def test_a_rollout_is_created_with_everything_that_belongs_to_it(records: Records) -> None:
    first = rollout()
    stored = records.create(decision(first, notices=(notice(first, 1, NoticeKind.STARTED),)))
    assert stored.value == first
    for found in (records.current("checkout"), records.find(first.id), records.rollout("checkout", first.id)):
        assert found == stored
    assert [one.sentence for one in records.decisions("checkout", first.id)] == ["decision 1"]
    assert [one.channel for one in records.outbox("checkout")] == ["team", "audit"]
    assert records.deployment("checkout", first.deployment_id) == first.id
    seen = records.seen("checkout", "1.4.2")
    assert seen is not None
    assert (seen.status, seen.rollout) == ("started", first.id)
    assert records.active() == ["checkout"]
    assert [one.workspace for one in records.active_services()] == ["w1"]


def test_nothing_is_there_before_anything_was(records: Records) -> None:
    assert records.active() == []
    assert records.current("checkout") is None
    assert records.rollouts("checkout", 10) == []
    assert records.outbox_empty("checkout")
    assert records.seen("checkout", "1.4.2") is None
    assert records.deployment("checkout", "run") is None


@pytest.mark.parametrize("name", ["", "x", "checkout", "checkout-1-2", "../../x", "a/b-20261124T052800-ab", "ä" * 600])
def test_what_is_no_rollouts_id_is_not_found(records: Records, name: str) -> None:
    records.create(decision(rollout()))
    assert records.find(name) is None


def test_one_deployment_id_starts_one_rollout(records: Records) -> None:
    records.create(decision(rollout()))
    closed(records)
    again = rollout(started_at=START + 60, deployment_id=rollout().deployment_id)
    with pytest.raises(Conflict, match=r"run-20261124T052800.*started checkout-20261124T052800"):
        records.create(decision(again))
    records.create(decision(rollout(started_at=START + 60)))


def test_a_service_has_one_rollout_at_a_time(records: Records) -> None:
    records.create(decision(rollout()))
    with pytest.raises(Conflict, match="is not closed"):
        records.create(decision(rollout(started_at=START + 60)))
    records.create(decision(rollout("other")))


def test_of_two_starts_at_once_one_wins(store: Store) -> None:
    theirs = rollout(started_at=START + 1)
    mine = Records(
        Interrupting(store, lambda partition: partition == "active", lambda: Records(store).create(decision(theirs)))
    )
    with pytest.raises(Conflict):
        mine.create(decision(rollout()))
    newest = mine.newest("checkout")
    assert newest is not None
    assert newest.value == theirs
    assert [one.id for one in mine.rollouts("checkout", 9)] == [theirs.id]


def test_deployment_ids_and_versions_may_be_any_text(records: Records) -> None:
    odd = rollout(deployment_id="a/b#c?%\n ä" * 50, version="1.0+build/7 #\\")
    records.create(decision(odd))
    assert records.deployment("checkout", odd.deployment_id) == odd.id
    assert records.seen("checkout", odd.version) is not None


def test_a_decision_is_stored_whole(records: Records) -> None:
    stored = records.create(decision(rollout()))
    made = replace(next_of(stored.value, START + 60, notices=2, share=10, phase=Phase.STEP), verdict=verdict())
    saved = records.save(stored, made)
    assert records.current("checkout") == saved
    assert saved.value.share == 10
    last = records.decisions("checkout", saved.value.id)[-1]
    assert (last.number, last.share, last.phase, last.sentence) == (2, 10, Phase.STEP, "decision 2")
    assert last.verdict == verdict(), "an evidence of minus infinity is kept as it is"
    assert [(one.notice.kind, one.channel) for one in records.outbox("checkout")] == [
        (NoticeKind.STARTED, "team"),
        (NoticeKind.STARTED, "audit"),
        (NoticeKind.RAISED, "team"),
        (NoticeKind.RAISED, "audit"),
    ]


def test_a_decision_on_an_old_reading_is_lost_whole(records: Records) -> None:
    old = records.create(decision(rollout()))
    records.save(old, next_of(old.value, share=10))
    before = records.store.scan("s-checkout")
    with pytest.raises(Conflict):
        records.save(old, replace(next_of(old.value, notices=2, share=50), settled=rows(START, 3)))
    assert records.store.scan("s-checkout") == before


def test_what_is_not_worth_a_row_is_saved_without_one(records: Records) -> None:
    stored = records.create(decision(rollout()))
    looked = replace(stored.value, gate_successes=1)
    records.save(stored, decision(looked, recorded=False))
    current = records.current("checkout")
    assert current is not None
    assert current.value.gate_successes == 1
    assert len(records.decisions("checkout", looked.id)) == 1


def test_a_decision_that_cannot_follow_is_our_bug(records: Records) -> None:
    stored = records.create(decision(rollout()))
    with pytest.raises(InvariantBroken, match="decision 1 was made after decision 1"):
        records.save(stored, decision(stored.value))
    with pytest.raises(InvariantBroken, match="the decision is about"):
        records.save(stored, next_of(rollout("other")))
    end = records.save(stored, next_of(stored.value, phase=Phase.CLOSED, outcome=Outcome.ABORTED))
    with pytest.raises(InvariantBroken, match="is closed"):
        records.save(end, next_of(end.value, phase=Phase.STEP))


@pytest.mark.parametrize("outcome", list(Outcome))
def test_how_it_ended_is_remembered_of_the_version(records: Records, outcome: Outcome) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, phase=Phase.CLOSED, outcome=outcome))
    seen = records.seen("checkout", "1.4.2")
    assert seen is not None
    assert seen.status == outcome.value


def test_what_a_rollout_found_out_is_not_forgotten_by_looking(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, phase=Phase.CLOSED, outcome=Outcome.ROLLED_BACK))
    records.mark_seen("checkout", "1.4.2", Reached.LIVE, START + 60)
    records.mark_seen("checkout", "1.4.1", Reached.IDLE, START)
    records.mark_seen("checkout", "1.4.1", Reached.LIVE, START + 60)
    assert [seen.status for name in ("1.4.2", "1.4.1") if (seen := records.seen("checkout", name))] == [
        "rolled_back",
        "live",
    ]


def test_a_service_is_introduced_once(records: Records) -> None:
    assert not records.introduced("checkout")
    records.introduce("checkout", START)
    records.introduce("checkout", START + 1)
    assert records.introduced("checkout")
    assert not records.introduced("other")


def test_rollouts_are_listed_newest_first(records: Records) -> None:
    for days in (3, 0, 30, 1):
        records.create(decision(rollout(started_at=START + days * 86400)))
        closed(records)
    starts = [one.started_at for one in records.rollouts("checkout", 3)]
    assert starts == [START + days * 86400 for days in (30, 3, 1)]
    newest = records.newest("checkout")
    assert newest is not None
    assert newest.value.started_at == START + 86400, "the newest is the one that was created last"


def test_a_closed_rollout_needs_ticks_until_its_outbox_is_empty(records: Records) -> None:
    stored = records.create(decision(rollout()))
    records.save(stored, next_of(stored.value, notices=1, phase=Phase.CLOSED, outcome=Outcome.PROMOTED))
    assert records.current("checkout") is not None
    assert not records.deactivate("checkout")
    for entry in records.outbox("checkout"):
        records.sent(entry, START)
    assert records.current("checkout") is None
    assert records.deactivate("checkout")
    assert records.active() == []
    assert records.deactivate("checkout"), "resting twice is resting"


def test_a_running_service_does_not_rest(records: Records) -> None:
    records.create(decision(rollout()))
    assert not records.deactivate("checkout")
    assert records.active() == ["checkout"]


@pytest.mark.parametrize("before", ["s-checkout", "active"])
def test_a_start_while_the_service_comes_to_rest_is_not_left_without_ticks(store: Store, before: str) -> None:
    """Whichever write it comes in front of, the new rollout has ticks, or its start is told to try again."""
    records = Records(store)
    records.create(decision(rollout()))
    closed(records)
    new = rollout(started_at=START + 60)
    resting = Records(Interrupting(store, lambda partition: partition == before, lambda: records.create(decision(new))))
    assert not resting.deactivate("checkout")
    assert records.active() == ["checkout"]
    current = records.current("checkout")
    assert current is not None
    assert current.value == new


@pytest.mark.parametrize("before", ["s-checkout", "active"])
def test_a_rest_while_a_rollout_starts_leaves_no_rollout_without_ticks(store: Store, before: str) -> None:
    records = Records(store)
    records.create(decision(rollout()))
    closed(records)
    starting = Records(
        Interrupting(store, lambda partition: partition == before, lambda: records.deactivate("checkout"))
    )
    try:
        starting.create(decision(rollout(started_at=START + 60)))
    except Conflict:
        assert records.current("checkout") is None
    else:
        assert records.active() == ["checkout"]


def test_services_that_turned_harmful_together_are_a_storm(records: Records) -> None:
    for number, service in enumerate(["a", "b", "c"]):
        stored = records.create(decision(rollout(service)))
        assert records.storm("w1", START + 100) == ""
        harmful = next_of(stored.value, harmful_at=START + number)
        stored = records.save(stored, harmful)
        records.save(stored, next_of(stored.value, share=0))
    assert "3 services" in records.storm("w1", START + 100)
    assert records.storm("w2", START + 100) == ""
    assert records.storm("w1", START + 601) == "", "the first is ten minutes ago"


def test_settled_counts_grow_by_the_hour_and_come_back_whole(records: Records) -> None:
    stored = records.create(decision(rollout()))
    whole = rows(START, 200)
    for start in range(0, 200, 25):
        piece = whole.between(int(START) + start * 60, int(START) + (start + 25) * 60)
        stored = records.save(stored, replace(next_of(stored.value), settled=piece))
    assert records.counts("checkout", stored.value.id, 1) == whole
    chunks = [one.key for one in records.store.scan("s-checkout", "counts-")]
    assert len(chunks) == 4, "200 minutes from 05:28 lie in four hours"


def test_no_counts_are_no_rows(records: Records) -> None:
    stored = records.create(decision(rollout()))
    assert len(records.counts("checkout", stored.value.id, 1)) == 0
    records.save(stored, replace(next_of(stored.value), settled=rows(START, 0)))
    assert len(records.counts("checkout", stored.value.id, 1)) == 0


def test_a_full_chunk_goes_on_in_another_record(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = records.create(decision(rollout()))
    whole = rows(START, 30, instances=4)
    monkeypatch.setattr("storing.series.MAX_BODY_BYTES", len(whole.pack()) - 1)
    for start in range(0, 30, 5):
        piece = whole.between(int(START) + start * 60, int(START) + (start + 5) * 60)
        stored = records.save(stored, replace(next_of(stored.value), settled=piece))
    assert len(records.store.scan("s-checkout", "counts-")) > 1
    assert records.counts("checkout", stored.value.id, 1) == whole


def test_a_chunk_in_parts_fills_its_newest_part(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = records.create(decision(rollout()))
    whole = rows(START, 30, instances=4)
    monkeypatch.setattr("storing.series.MAX_BODY_BYTES", len(whole.pack()) // 2)
    for start in range(30):
        piece = whole.between(int(START) + start * 60, int(START) + (start + 1) * 60)
        stored = records.save(stored, replace(next_of(stored.value), settled=piece))
    parts = len(records.store.scan("s-checkout", "counts-"))
    assert 1 < parts <= 15, "two pieces or more in each; not one record for each that the first has no room for"
    assert records.counts("checkout", stored.value.id, 1) == whole


def test_more_than_one_transaction_can_hold_is_our_bug(records: Records) -> None:
    stored = records.create(decision(rollout()))
    with pytest.raises(InvariantBroken, match="62 chunks of counts settled at once, 60 are the most"):
        records.save(stored, replace(next_of(stored.value), settled=rows(START, 61 * 60)))


@pytest.mark.parametrize("stored_minutes", [0, 10])
def test_counts_that_another_hand_wrote_meanwhile_are_not_overwritten(store: Store, stored_minutes: int) -> None:
    """An hour that was begun, and one that was not: the look that read it before loses whole."""
    records, whole = Records(store), rows(START, 20)
    stored = records.create(decision(rollout()))
    middle = int(START) + 60 * stored_minutes
    if stored_minutes:
        stored = records.save(stored, replace(next_of(stored.value), settled=whole.between(int(START), middle)))
    hour = keys.chunk(keys.counts(stored.value.id), int(START) // 3600 * 3600, 0)
    theirs = Put(hour, rows(START, 15).pack(), ANY)
    late = Records(Interrupting(store, "s-checkout".__eq__, lambda: store.commit("s-checkout", [theirs])))
    with pytest.raises(Conflict):
        late.save(stored, replace(next_of(stored.value), settled=whole.between(middle, int(START) + 1200)))
    assert records.counts("checkout", stored.value.id, 1) == rows(START, 15)
    newest = records.newest("checkout")
    assert newest is not None
    assert newest.etag == stored.etag


def test_the_same_hours_of_past_days_are_stored_once(records: Records) -> None:
    first = rollout()
    assert records.same_hours("checkout", first.id, 1) is None
    past = rows(START - 86400, 90) + rows(START - 7 * 86400, 90)
    records.keep_same_hours(first, past)
    records.keep_same_hours(first, past)
    assert records.same_hours("checkout", first.id, 1) == past
    records.keep_same_hours(rollout("new"), rows(START, 0))
    nothing = records.same_hours("new", rollout("new").id, 1)
    assert nothing is not None
    assert len(nothing) == 0, "none is an answer, not a question to ask again"


def test_pruning_keeps_the_newest_and_what_is_open(records: Records) -> None:
    for days in range(4):
        stored = records.create(decision(rollout(started_at=START + days * 86400)))
        records.save(stored, replace(next_of(stored.value, notices=2), settled=rows(START, 5)))
        if days < 3:
            closed(records)
    assert records.prune("checkout", 2) == 2
    kept = [one.id for one in records.rollouts("checkout", 9)]
    assert kept == [rollout(started_at=START + days * 86400).id for days in (3, 2)]
    assert records.decisions("checkout", rollout().id) == []
    assert records.notices("checkout", rollout().id) == []
    assert len(records.counts("checkout", rollout().id, 1)) == 0
    assert records.prune("checkout", 0) == 1, "the open one stays"
    assert records.current("checkout") is not None
    assert records.deployment("checkout", rollout().deployment_id) == rollout().id, "still never a second"


def test_a_service_that_comes_to_rest_keeps_a_bounded_history(
    records: Records, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("storing.records.KEPT_ROLLOUTS", 2)
    for days in range(4):
        records.create(decision(rollout(started_at=START + days * 86400)))
        closed(records)
        assert records.deactivate("checkout")
    assert len(records.rollouts("checkout", 9)) == 2


def test_a_record_of_a_newer_version_is_said_not_guessed(records: Records) -> None:
    records.store.commit("s-checkout", [Put("lease", b"\x81\xa2id\x01", None)])
    with pytest.raises(InvariantBroken, match="newer version"):
        records.lease("checkout")


def test_of_two_looks_that_recorded_nothing_the_second_is_lost_too(records: Records) -> None:
    """No decision's number tells them apart then: the rollout's own ETag does."""
    read = records.create(decision(rollout()))
    quiet = lambda seen: decision(replace(read.value, gate_successes=seen), recorded=False)  # noqa: E731
    records.save(read, quiet(1))
    with pytest.raises(Conflict):
        records.save(read, quiet(2))
    newest = records.newest("checkout")
    assert newest is not None
    assert newest.value.gate_successes == 1


def test_a_lease_goes_with_the_start_that_it_was_taken_for(records: Records) -> None:
    records.take_lease("checkout", "pipeline 7", Slot.GREEN, START + 600, START)
    records.create(decision(rollout()))
    assert records.lease("checkout") is None
    closed(records)
    records.take_lease("checkout", "pipeline 8", Slot.BLUE, START + 600, START)
    records.create(decision(rollout(started_at=START + 60)))
    assert records.lease("checkout") is not None, "a lease on the other slot is another's"
