"""What the HTTP API answers to people and pipelines: status, sentence, when to ask again, and who ticks now."""

import json
from typing import Any

import pytest

from controller import api
from controller.requests import Who, release, target
from lab.simulation import Simulation
from rollouts.errors import Misconfigured, Unavailable
from rollouts.observation import Slot
from rollouts.rollout import Outcome
from tests.simulation.endings import BAD, LONG, ends


def post(
    simulation: Simulation, path: str, *, principal: str | None = None, **body: Any
) -> tuple[int, dict[str, Any], tuple[str, ...]]:
    """Status, JSON and the services that tick, of a POST to services/checkout/{path}."""
    asked = api.Request(
        params={"service": "checkout", "command": path},
        query={},
        body=json.dumps({"actor": "ada", "reason": "numbers"} | body).encode(),
        principal=principal,
    )
    answer = api.handled(api.command, lambda: simulation.world, asked)
    return answer.status, json.loads(answer.body), answer.wake


def test_a_shift_is_said_and_carried_out_by_the_tick_that_it_wakes(begun):
    simulation = begun()
    simulation.run(LONG, lambda: simulation.rollout.shares == (10,))
    status, answer, wake = post(simulation, "shift", share=30, principal="ada@contoso.com")
    assert (status, wake) == (200, ("checkout",))
    assert answer["sentence"].endswith("10 -> 30 % for green. shift by ada@contoso.com: numbers"), "not a claimed name"
    assert (answer["rollout"]["share"], simulation.pool.weights.share(Slot.GREEN)) == (30, 10)
    assert answer["rollout"]["read_back"] == 10
    status, answer, _ = post(simulation, "shift", share=30)
    assert (status, "so already decided" in answer["sentence"]) == (200, True)


def test_a_pause_is_shown_with_its_reason(begun):
    simulation = begun()
    _, answer, _ = post(simulation, "pause", minutes=5)
    assert answer["rollout"]["paused"] == "numbers"
    _, answer, _ = post(simulation, "resume")
    assert answer["rollout"]["paused"] is None


@pytest.mark.parametrize("bad", [{"share": "30"}, {"share": 30.5}, {"share": 30, "slot": "teal"}, {"share": [30]}])
def test_what_is_no_share_and_no_slot_is_bad_input(begun, bad):
    simulation = begun()
    status, answer, _ = post(simulation, "shift", **bad)
    assert (status, "the request's body" in answer["error"]) == (400, True)


@pytest.mark.parametrize("bad", [{}, {"share": 101}, {"share": -1}])
def test_a_share_that_cannot_be_is_refused(begun, bad):
    status, answer, _ = post(begun(), "shift", **bad)
    assert (status, "give a whole number from 0 to 100" in answer["error"]) == (409, True)


def test_the_rollouts_of_a_service_that_is_none_are_not_an_empty_list(begun):
    """A pipeline with a misspelt name would wait for hours."""
    simulation = begun()
    answers = {}
    for service in ("checkout", "chekout"):
        asked = api.Request(params={}, query={"service": service}, body=b"", principal=None)
        answers[service] = api.handled(api.rollouts, lambda: simulation.world, asked)
    assert len(json.loads(answers["checkout"].body)["rollouts"]) == 1
    assert answers["chekout"].status == 404
    assert "name one of checkout" in json.loads(answers["chekout"].body)["error"]


def test_a_start_that_ends_another_rollout_names_what_follows(begun):
    simulation = begun()
    simulation.deploy(Slot.GREEN, "1.2")
    answer = post(simulation, "start", version="1.2", deployment_id="run 8")[1]["rollout"]
    assert (answer["version"], answer["outcome"]) == ("1.1", "superseded")
    assert answer["successor"] == {"version": "1.2", "deployment_id": "run 8"}
    simulation.run(2)
    assert (simulation.rollout.version, simulation.rollout.deployment_id) == ("1.2", "run 8")


def test_a_mistyped_start_ends_no_rollout(begun):
    simulation = begun()
    simulation.run(4)
    before = simulation.rollout
    status, answer, _ = post(simulation, "start", version="1.11")
    assert status == 409
    assert f"green answers 1.1, not 1.11, and {before.id} judges it (step, 10 %)" in answer["error"]
    assert simulation.rollout == before
    assert post(simulation, "start", version="1.1")[1]["rollout"]["id"] == before.id


def test_a_start_that_is_sent_twice_is_one_start(begun):
    """Whatever stands on the slot by then, and whichever rollout runs: a lost answer is asked for again."""
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    first = post(simulation, "start", version="1.2", deployment_id="run 8")[1]["rollout"]["id"]
    assert post(simulation, "start", version="1.2", deployment_id="run 8")[1]["rollout"]["id"] == first
    post(simulation, "abort")
    simulation.run(3)
    simulation.deploy(Slot.BLUE, "1.3")
    simulation.announce("1.3", slot=Slot.BLUE)
    simulation.run(3)
    again = post(simulation, "start", version="1.2", deployment_id="run 8")
    assert (again[0], again[1]["rollout"]["id"]) == (200, first)
    assert simulation.rollout.version == "1.3"


def test_after_an_end_a_version_may_be_started_before_it_is_deployed(begun):
    """The old one that still stands there is judged by nobody: the gate waits for the new one."""
    simulation = begun(BAD)
    ends(simulation, Outcome.ROLLED_BACK)
    status, answer, _ = post(simulation, "start", version="1.2")
    assert (status, answer["rollout"]["version"], answer["rollout"]["phase"]) == (200, "1.2", "gate")


def test_what_users_have_is_told_beside_what_is_wanted(begun):
    """Also of the record that takes a promoted version back, before anything is written."""
    simulation = begun()
    assert post(simulation, "pause")[1]["rollout"]["read_back"] is None
    post(simulation, "resume")
    ends(simulation, Outcome.PROMOTED)
    taken = post(simulation, "rollback")[1]["rollout"]
    assert (taken["phase"], taken["share"], taken["read_back"]) == ("closing", 0, 100)


@pytest.mark.parametrize("path", ["target", "release"])
@pytest.mark.parametrize("owner", ["", "  "])
def test_a_lease_has_an_owner(tmp_path, policy, path, owner):
    """Two pipelines whose variable is not set would both be told that the slot is theirs."""
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    status, answer, _ = post(simulation, path, owner=owner)
    assert (status, "owner is blank: write who deploys" in answer["error"]) == (400, True)
    assert simulation.world.records.lease("checkout") is None


@pytest.mark.parametrize("version", ["", "a b", "-1", "x" * 129])
def test_a_rollout_starts_of_a_version_that_an_event_may_name(begun, version):
    simulation = begun()
    status, answer, _ = post(simulation, "start", version=version)
    assert (status, "write letters, digits and . _ + - (at most 128)" in answer["error"]) == (400, True)
    assert (simulation.rollout.version, simulation.rollout.outcome) == ("1.1", None)


def test_without_any_rollout_a_shift_says_how_to_begin_one(tmp_path, policy):
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    status, answer, _ = post(simulation, "shift", share=30)
    assert (status, "`canary start` begins one" in answer["error"]) == (404, True)


@pytest.mark.parametrize(
    ("error", "retry_at"),
    [
        (Unavailable("429 Too Many Requests", retry_at=1_700_000_123.0), 1_700_000_123.0),
        (Unavailable("no answer in 10 s"), None),
        (Misconfigured("403: the role lacks backends/read"), None),
    ],
    ids=["throttled", "away", "a role is missing"],
)
@pytest.mark.parametrize("side", ["pool", "marker"])
def test_target_is_unavailable_while_pool_or_marker_cannot_be_read(begun, monkeypatch, side, error, retry_at):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)

    def read(*_: object) -> None:
        raise error

    monkeypatch.setattr(getattr(simulation, side), "read", read)
    status, answer, _ = post(simulation, "target", owner="run 7")
    assert status == 503
    assert str(error) in answer["error"]
    assert answer.get("retry_at") == retry_at
    assert simulation.world.records.lease("checkout") is None


def test_a_lease_is_given_back_over_http_by_its_owner_alone(begun):
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    assert post(simulation, "target", owner="run 7")[0] == 200
    status, answer, _ = post(simulation, "release", owner="run 8")
    assert (status, "run 7's, not run 8's" in answer["error"]) == (409, True)
    assert post(simulation, "release")[0] == 400, "no owner"
    assert post(simulation, "release", owner="run 7")[:2] == (200, {"service": "checkout", "released": True})
    assert post(simulation, "release", owner="run 7")[:2] == (200, {"service": "checkout", "released": False})


def test_a_lease_that_is_given_back_lets_the_looks_at_the_idle_slot_go_on(begun):
    """They wait for an announcement while a pipeline holds it: after a failed one a version may be there."""
    simulation = begun()
    ends(simulation, Outcome.PROMOTED)
    target(simulation.world, "checkout", Who(actor="run 7"))
    simulation.deploy(Slot.BLUE, "1.2")
    simulation.signal("Microsoft.Storage.BlobCreated", "/blobServices/default/containers/blue-packages/blobs/p.zip")
    simulation.run(3)
    assert simulation.rollout.version == "1.1"
    assert release(simulation.world, "checkout", Who(actor="run 7"))
    simulation.signal("Microsoft.Storage.BlobCreated", "/blobServices/default/containers/blue-packages/blobs/p.zip")
    simulation.run(3)
    assert simulation.rollout.version == "1.2"


LONGER = {"deployment_id": "d" * 201, "link": "l" * 501, "commit": "c" * 501}


@pytest.mark.parametrize("field", LONGER)
def test_what_would_be_stored_and_told_is_as_short_as_in_an_event(policy, tmp_path, field):
    simulation = Simulation(policy, seed=7, folder=tmp_path)
    simulation.run(25)
    status, answer, _ = post(simulation, "start", version="1.1", **{field: LONGER[field]})
    assert (status, f"$.{field}" in answer["error"]) == (400, True), answer
    assert post(simulation, "target", owner="o" * 201)[0] == 400
    assert post(simulation, "start", version="1.1", **{field: LONGER[field][1:]})[0] == 200


@pytest.mark.parametrize("work", [api.command, api.rollouts, api.rollout])
def test_a_name_that_no_key_can_hold_is_not_found_and_no_bug_of_ours(begun, work):
    name = "s" * 600
    asked = api.Request(
        params={"service": name, "command": "abort", "rollout": f"{name}-20261124T052831-be1fb2"},
        query={"service": name},
        body=b"",
        principal=None,
    )
    answer = api.handled(work, lambda: begun().world, asked)
    assert (answer.status, b"has 600 characters" in answer.body or b"has 623" in answer.body) == (404, True)
