"""Both stores against a dictionary: whatever is done in whatever order, all three answer alike."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from azure.identity import ManagedIdentityCredential
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from rollouts.errors import Conflict
from storing.contract import ANY, Delete, Put, Store
from storing.opening import open_store
from tests.storing.conftest import Azure, table_name

KEYS = ["a", "a-", "a-1", "a-2", "b'c", "~"]
PARTITIONS = ["p", "q"]
BODIES = st.binary(max_size=40) | st.sampled_from([0, 65536, 65537]).map(bytes)

# What a write is told about what is there: nothing, anything, what is there now, what was there before.
Guard = str
WRITES = st.lists(
    st.tuples(st.sampled_from(KEYS), st.none() | BODIES, st.sampled_from(["none", "any", "now", "now", "old"])),
    min_size=1,
    max_size=5,
    unique_by=lambda one: one[0],
)


class Model(RuleBasedStateMachine):
    """A dictionary of bodies; beside it, for each store, the ETags now and before."""

    stores: ClassVar[list[Store]]

    def __init__(self) -> None:
        super().__init__()
        self.space = table_name()  # partitions of its own: the stores are shared by all runs
        self.bodies: dict[tuple[str, str], bytes] = {}
        self.now: list[dict[tuple[str, str], str]] = [{} for _ in self.stores]
        self.old: list[dict[tuple[str, str], str]] = [{} for _ in self.stores]

    @rule(partition=st.sampled_from(PARTITIONS), asked=WRITES)
    def commit(self, partition: str, asked: list[tuple[str, bytes | None, Guard]]) -> None:
        known = [one for one in asked if self._possible(partition, one)]
        lost = any(self._loses(partition, key, guard) for key, _, guard in known)
        for number, store in enumerate(self.stores):
            writes = [self._write(number, partition, one) for one in known]
            try:
                etags = store.commit(f"{self.space}-{partition}", writes)
            except Conflict:
                assert lost, f"store {number} lost {known}"
                continue
            assert not lost, f"store {number} did not lose {known}"
            assert set(etags) == {key for key, body, _ in known if body is not None}
            for key, body, _ in known:
                place = (partition, key)
                if place in self.now[number]:
                    self.old[number][place] = self.now[number].pop(place)
                if body is not None:
                    self.now[number][place] = etags[key]
        if not lost:
            for key, body, _ in known:
                self.bodies.pop((partition, key), None)
                if body is not None:
                    self.bodies[partition, key] = body

    @rule(
        partition=st.sampled_from(PARTITIONS),
        prefix=st.sampled_from(["", "a", "a-", "b'", "c", "~"]),
        after=st.sampled_from(["", *KEYS]),
        limit=st.none() | st.integers(0, 4),
    )
    def scan(self, partition: str, prefix: str, after: str, limit: int | None) -> None:
        held = sorted(key for place, key in self.bodies if place == partition)
        wanted = [key for key in held if key.startswith(prefix) and key > after][:limit]
        for number, store in enumerate(self.stores):
            found = store.scan(f"{self.space}-{partition}", prefix, after=after, limit=limit)
            assert [(one.key, one.body) for one in found] == [(key, self.bodies[partition, key]) for key in wanted]
            assert [one.etag for one in found] == [self.now[number][partition, key] for key in wanted]

    def teardown(self) -> None:
        """Everything is as it was put."""
        for store in self.stores:
            found = {
                (partition, one.key): one.body
                for partition in PARTITIONS
                for one in store.scan(f"{self.space}-{partition}")
            }
            assert found == self.bodies

    def _possible(self, partition: str, one: tuple[str, bytes | None, Guard]) -> bool:
        key, body, guard = one
        place = (partition, key)
        match guard:
            case "none":
                return body is not None  # there is no removal of nothing
            case "now":
                return place in self.bodies
            case "old":
                return place in self.old[0]
            case _:
                return True

    def _loses(self, partition: str, key: str, guard: Guard) -> bool:
        return guard == "old" or (guard == "none" and (partition, key) in self.bodies)

    def _write(self, number: int, partition: str, one: tuple[str, bytes | None, Guard]) -> Put | Delete:
        key, body, guard = one
        place = (partition, key)
        etag = {
            "none": None,
            "any": ANY,
            "now": self.now[number].get(place),
            "old": self.old[number].get(place),
        }[guard]
        if body is None:
            assert etag is not None
            return Delete(key, etag)
        return Put(key, body, etag)


@pytest.fixture
def both(in_azure: Azure, tmp_path: Path) -> Iterator[list[Store]]:
    urls = [f"sqlite:///{tmp_path}/state.db", in_azure.url]
    table = table_name()
    stores = [open_store(url, table, ManagedIdentityCredential) for url in urls]
    yield stores
    for store in stores:
        store.close()


def test_both_stores_are_a_dictionary_with_compare_and_swap(both: list[Store]) -> None:
    class Both(Model):
        stores: ClassVar[list[Store]] = both

    quick = settings(
        max_examples=15,
        stateful_step_count=15,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    run_state_machine_as_test(Both, settings=quick)
