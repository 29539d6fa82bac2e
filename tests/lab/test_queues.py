"""Queues keep Azure Queue Storage's promises: leases, counts, receipts, and survival of the process."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from lab.queues import LIFE_SECONDS, Queues

NOW = 1_800_000_000.0


@pytest.fixture
def queues(tmp_path: Path) -> Iterator[Queues]:
    made = Queues(tmp_path / "queues.sqlite")
    yield made
    made.close()


def test_a_received_message_is_hidden_until_its_lease_ends_and_counted(queues: Queues) -> None:
    queues.put("q", "a", NOW)
    (first,) = queues.receive("q", NOW, limit=10, lease=30)
    assert (first.body, first.dequeue_count) == ("a", 1)
    assert queues.receive("q", NOW + 29.9, limit=10, lease=30) == []
    assert queues.next_visible("q") == NOW + 30
    (second,) = queues.receive("q", NOW + 30, limit=10, lease=30)
    assert (second.id, second.dequeue_count) == (first.id, 2)


def test_who_lost_the_lease_can_neither_delete_nor_prolong(queues: Queues) -> None:
    queues.put("q", "a", NOW)
    (first,) = queues.receive("q", NOW, limit=1, lease=1)
    (second,) = queues.receive("q", NOW + 1, limit=1, lease=1)
    assert not queues.delete(first)
    assert not queues.show_again(first, NOW)
    assert queues.delete(second)
    assert queues.next_visible("q") is None


def test_the_oldest_come_first_and_queues_are_apart(queues: Queues) -> None:
    for body in ("a", "b", "c"):
        queues.put("q", body, NOW)
    queues.put("other", "x", NOW)
    assert [m.body for m in queues.receive("q", NOW, limit=2, lease=30)] == ["a", "b"]
    assert [m.body for m in queues.receive("q", NOW, limit=2, lease=30)] == ["c"]
    assert queues.bodies("other") == ["x"]


def test_a_delayed_message_comes_later(queues: Queues) -> None:
    queues.put("q", "a", NOW, delay=5)
    assert queues.receive("q", NOW + 4, limit=1, lease=30) == []
    assert len(queues.receive("q", NOW + 5, limit=1, lease=30)) == 1


def test_old_messages_expire(queues: Queues) -> None:
    queues.put("q", "a", NOW)
    assert queues.receive("q", NOW + LIFE_SECONDS + 1, limit=1, lease=30) == []
    assert queues.bodies("q") == []


def test_messages_are_there_for_the_next_process(tmp_path: Path) -> None:
    first = Queues(tmp_path / "q")
    first.put("q", "a", NOW)
    second = Queues(tmp_path / "q")
    assert second.bodies("q") == ["a"]
    first.close()
    second.close()
