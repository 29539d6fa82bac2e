"""What every store promises, whichever it is."""

from collections.abc import Callable

import pytest

from rollouts.errors import Conflict, InvariantBroken
from storing.contract import ANY, MAX_BODY_BYTES, MAX_WRITES, Delete, Put, Store


def test_what_was_put_is_read_back_with_its_etag(store: Store) -> None:
    etags = store.commit("p", [Put("a", b"one", None)])
    record = store.get("p", "a")
    assert record is not None
    assert (record.key, record.body, record.etag) == ("a", b"one", etags["a"])


@pytest.mark.parametrize("size", [0, 1, 65536, 65537, MAX_BODY_BYTES])
def test_every_size_up_to_the_limit_survives(store: Store, size: int) -> None:
    body = bytes(range(256)) * (size // 256) + bytes(size % 256)
    store.commit("p", [Put("a", body, None)])
    record = store.get("p", "a")
    assert record is not None
    assert record.body == body
    assert [one.body for one in store.scan("p")] == [body]


def test_a_shorter_body_leaves_nothing_of_the_longer_one(store: Store) -> None:
    store.commit("p", [Put("a", b"x" * 200_000, None)])
    store.commit("p", [Put("a", b"y", ANY)])
    record = store.get("p", "a")
    assert record is not None
    assert record.body == b"y"


def test_nothing_is_none_and_an_empty_scan(store: Store) -> None:
    assert store.get("p", "a") is None
    assert store.scan("p") == []
    assert store.commit("p", []) == {}


def test_an_insert_never_replaces(store: Store) -> None:
    store.commit("p", [Put("a", b"one", None)])
    with pytest.raises(Conflict):
        store.commit("p", [Put("a", b"two", None)])


@pytest.mark.parametrize("write", [Put("a", b"mine", "?"), Delete("a", "?")])
def test_who_read_before_another_wrote_loses(store: Store, write: Put | Delete) -> None:
    """Compare-and-swap, for replacing and for removing, each write with an ETag never used before."""
    old = store.commit("p", [Put("a", b"one", None)])["a"]
    seen = {old}
    for body in (b"two", b"three", b"one"):
        current = store.get("p", "a")
        assert current is not None
        seen.add(store.commit("p", [Put("a", body, current.etag)])["a"])
    assert len(seen) == 4
    stale = Put("a", b"mine", old) if isinstance(write, Put) else Delete("a", old)
    with pytest.raises(Conflict):
        store.commit("p", [stale])
    record = store.get("p", "a")
    assert record is not None
    assert record.body == b"one"


def test_a_record_made_again_is_another_record(store: Store) -> None:
    old = store.commit("p", [Put("a", b"one", None)])["a"]
    store.commit("p", [Delete("a", old)])
    store.commit("p", [Put("a", b"one", None)])
    with pytest.raises(Conflict):
        store.commit("p", [Put("a", b"two", old)])


@pytest.mark.parametrize("write", [Put("gone", b"x", "?"), Delete("gone", "?")])
def test_what_is_gone_is_neither_replaced_nor_removed(store: Store, write: Put | Delete) -> None:
    etag = store.commit("p", [Put("gone", b"one", None)])["gone"]
    store.commit("p", [Delete("gone", etag)])
    again = Put("gone", b"x", etag) if isinstance(write, Put) else Delete("gone", etag)
    with pytest.raises(Conflict):
        store.commit("p", [again])


def test_any_writes_over_whatever_is_there_and_over_nothing(store: Store) -> None:
    store.commit("p", [Put("a", b"one", ANY)])
    etags = store.commit("p", [Put("a", b"two", ANY), Delete("never", ANY), Delete("nor this", ANY)])
    assert list(etags) == ["a"]
    assert [(one.key, one.body, one.etag) for one in store.scan("p")] == [("a", b"two", etags["a"])]
    assert store.commit("p", [Delete("a", ANY), Delete("never", ANY)]) == {}
    assert store.commit("p", [Delete("a", ANY)]) == {}
    assert store.scan("p") == []


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_transaction_is_all_or_nothing(store: Store, place: int) -> None:
    """One lost compare anywhere in it, and nothing of the others is seen."""
    store.commit("p", [Put("taken", b"theirs", None), Put("old", b"old", None)])
    before = store.scan("p")
    writes: list[Put | Delete] = [Put("new", b"mine", None), Delete("old", ANY)]
    writes.insert(place, Put("taken", b"mine", None))
    with pytest.raises(Conflict):
        store.commit("p", writes)
    assert store.scan("p") == before


def test_partitions_do_not_see_each_other(store: Store) -> None:
    store.commit("p", [Put("a", b"one", None)])
    store.commit("q", [Put("a", b"two", None)])
    assert [one.body for one in store.scan("p")] == [b"one"]
    assert [one.body for one in store.scan("q")] == [b"two"]


def test_a_scan_is_in_key_order_within_its_prefix(store: Store) -> None:
    keys = ["a", "a-", "a-1", "a-10", "a-2", "a-~", "a-~z", "a.", "aA", "b", "A", "a 'quoted' & all"]
    store.commit("p", [Put(key, b"", None) for key in keys])
    assert [one.key for one in store.scan("p")] == sorted(keys)
    assert [one.key for one in store.scan("p", "a-")] == ["a-", "a-1", "a-10", "a-2", "a-~", "a-~z"]
    assert [one.key for one in store.scan("p", "a-~")] == ["a-~", "a-~z"]
    assert [one.key for one in store.scan("p", "a-", after="a-10", limit=2)] == ["a-2", "a-~"]
    assert [one.key for one in store.scan("p", "a '")] == ["a 'quoted' & all"]
    assert store.scan("p", "a-", limit=0) == []


def test_a_scan_goes_on_over_the_servers_pages(store: Store) -> None:
    for start in range(0, 1100, 100):
        store.commit("p", [Put(f"{number:05d}", b"", None) for number in range(start, start + 100)])
    assert [int(one.key) for one in store.scan("p")] == list(range(1100))
    assert len(store.scan("p", limit=1050)) == 1050


@pytest.mark.parametrize("key", ["", "a/b", "a\\b", "a#b", "a?b", "a%b", "a\nb", "ä", "k" * 513])
def test_keys_that_azure_cannot_keep_are_refused(store: Store, key: str) -> None:
    with pytest.raises(InvariantBroken):
        store.commit("p", [Put(key, b"", None)])
    with pytest.raises(InvariantBroken):
        store.get("p", key)
    with pytest.raises(InvariantBroken):
        store.commit(key, [Put("a", b"", None)])


def test_the_longest_key_is_kept(store: Store) -> None:
    store.commit("p" * 512, [Put("k" * 512, b"x", None)])
    assert [len(one.key) for one in store.scan("p" * 512)] == [512]


def test_what_is_beyond_azures_limits_is_refused_before_it_is_sent(store: Store) -> None:
    with pytest.raises(InvariantBroken, match=f"{MAX_BODY_BYTES + 1} bytes"):
        store.commit("p", [Put("a", bytes(MAX_BODY_BYTES + 1), None)])
    with pytest.raises(InvariantBroken, match="101 writes"):
        store.commit("p", [Put(str(number), b"", None) for number in range(MAX_WRITES + 1)])
    with pytest.raises(InvariantBroken, match="twice"):
        store.commit("p", [Put("a", b"", None), Delete("a", ANY)])
    with pytest.raises(InvariantBroken, match="as sent"):
        store.commit("p", [Put(str(number), bytes(MAX_BODY_BYTES), None) for number in range(5)])
    with pytest.raises(InvariantBroken, match="empty ETag"):
        store.commit("p", [Put("a", b"", "")])
    assert store.scan("p") == []


def test_a_hundred_writes_and_three_megabytes_fit(store: Store) -> None:
    store.commit("p", [Put(f"{number:03d}", b"x", None) for number in range(MAX_WRITES)])
    assert len(store.scan("p")) == MAX_WRITES
    store.commit("q", [Put(str(number), bytes(MAX_BODY_BYTES), None) for number in range(3)])
    assert [len(one.body) for one in store.scan("q")] == [MAX_BODY_BYTES] * 3


def test_a_store_opened_again_has_everything(opened: Callable[[], Store]) -> None:
    etag = opened().commit("p", [Put("a", b"one", None)])["a"]
    other = opened()
    other.commit("p", [Put("a", b"two", etag)])
    record = opened().get("p", "a")
    assert record is not None
    assert record.body == b"two"
