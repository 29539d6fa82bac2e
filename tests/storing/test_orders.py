"""Policies, switches, modes and incidents: what people order and must see."""

import pytest

from rollouts.errors import Conflict, Refused
from rollouts.observation import Mode
from storing.contract import Put, Store
from storing.records import Records
from tests.storing.examples import START, Interrupting

MAX_INCIDENTS = 5  # instead of 200


@pytest.fixture
def records(store: Store) -> Records:
    return Records(store)


def test_the_newest_pushed_policy_is_in_force(records: Records) -> None:
    assert records.policy() is None
    for version in range(1, 13):
        assert records.push_policy(f"services: {{}} # {version}", "ada", START + version) == version
    policy = records.policy()
    assert policy is not None
    assert (policy.version, policy.yaml, policy.actor, policy.at) == (12, "services: {} # 12", "ada", START + 12)


def test_two_who_push_at_once_are_both_kept(store: Store) -> None:
    theirs = lambda: Records(store).push_policy("theirs", "eve", START)  # noqa: E731
    records = Records(Interrupting(store, lambda partition: partition == "policy", theirs))
    assert records.push_policy("mine", "ada", START) == 2
    policy = records.policy()
    assert policy is not None
    assert policy.yaml == "mine"


def test_a_policy_that_cannot_be_stored_is_refused_with_both_numbers(records: Records) -> None:
    with pytest.raises(Refused, match="has 800000 bytes, at most 782336"):
        records.push_policy("x" * 800_000, "ada", START)
    records.push_policy("é" * 390_000, "ada", START)
    policy = records.policy()
    assert policy is not None
    assert len(policy.yaml) == 390_000


def test_a_refused_policy_is_new_once(records: Records) -> None:
    assert records.refused_policy("services: 1", ["services: got 1"], "ada", START)
    assert not records.refused_policy("services: 1", ["services: got 1"], "packaged", START + 60)
    assert records.refused_policy("services: 2", ["services: got 2"], "ada", START)
    assert records.policy() is None


def test_off_is_for_a_service_or_for_everything(records: Records) -> None:
    assert records.off_switches() == frozenset()
    records.set_switch("checkout", off=True, actor="ada", reason="night", at=START)
    assert records.off_switches() == {"checkout"}
    records.set_switch(None, off=True, actor="ada", reason="storm", at=START)
    assert records.off_switches() == {"checkout", ""}
    records.set_switch("checkout", off=False, actor="ada", reason="day", at=START)
    assert records.off_switches() == {""}
    everything, checkout = records.switch(None), records.switch("checkout")
    assert everything is not None
    assert (everything.off, everything.reason) == (True, "storm")
    assert checkout is not None
    assert (checkout.off, checkout.actor) == (False, "ada")
    assert records.switch("other") is None


def test_a_mode_set_by_a_person_is_kept_until_another_is_set(records: Records) -> None:
    assert records.modes() == {}
    records.set_mode("checkout", Mode.ADVISE, actor="ada", reason="try", at=START)
    records.set_mode("a/b", Mode.OBSERVE, actor="ada", reason="try", at=START)
    assert {name: one.mode for name, one in records.modes().items()} == {"checkout": Mode.ADVISE, "a/b": Mode.OBSERVE}
    records.set_mode("checkout", Mode.ACT, actor="bob", reason="good", at=START + 60)
    kept = records.modes()["checkout"]
    assert (kept.mode, kept.actor, kept.reason, kept.at) == (Mode.ACT, "bob", "good", START + 60)


def test_incidents_are_the_newest_first_and_capped(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storing.orders.MAX_INCIDENTS", MAX_INCIDENTS)
    for number in range(MAX_INCIDENTS + 4):
        records.record_incident("unknown_event", f"event {number}", START + number)
    newest = records.incidents(3)
    assert [one.detail for one in newest] == [f"event {MAX_INCIDENTS + 3 - number}" for number in range(3)]
    assert len(records.incidents(10_000)) == MAX_INCIDENTS
    assert len(records.store.scan("incidents")) == MAX_INCIDENTS


def test_an_incident_is_whatever_came(records: Records) -> None:
    for detail in ("", "a/b#c?\n\x00", "x" * 1_000_000, "\udc80"):
        records.record_incident("poison", detail.encode("utf-8", "replace").decode(), START)
    assert len(records.incidents(9)) == 4
    assert max(len(one.detail) for one in records.incidents(9)) == 2000
    with pytest.raises(Conflict):
        records.store.commit("incidents", [Put(records.store.scan("incidents")[0].key, b"", None)])
