"""Edges of decide and witness: each test fails when one decisive line of them is broken."""

import json
import re

import pytest

from analyzers.judge.counts import Role, Row, Rows
from analyzers.judge.verdict import VerdictKind
from controller import requests
from controller.tick import tick
from lab.simulation import Behaviour, Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import Conflict, Misconfigured, Unavailable
from rollouts.observation import Counted, Slot, Weights
from rollouts.rollout import HoldReason, Outcome, Phase

BAD = Behaviour(late_failures=0.11)


def until(simulation: Simulation, phase: Phase) -> Simulation:
    simulation.run(300, lambda: simulation.rollout.phase is phase)
    assert simulation.rollout.phase is phase, simulation.rollout.reason
    return simulation


def test_in_the_watch_a_lost_way_back_is_told_once_and_then_asked_about(begun):
    simulation = until(begun(), Phase.WATCH)
    simulation.deploy(Slot.BLUE, "2.0")
    simulation.run(4)
    assert simulation.kinds().count("alarm") == 1
    assert simulation.rollout.hold is None, "what is live is good so far: it is promoted by itself"
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 100)
    simulation.apps[Slot.GREEN].healthy = False
    simulation.run(6)
    assert simulation.rollout.hold is not None, simulation.rollout.reason
    assert simulation.rollout.hold.reason is HoldReason.ROLLBACK_ASKED
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 100)


def test_what_cannot_be_written_is_told_once_for_each_target(begun):
    simulation = until(begun(BAD), Phase.STEP)
    simulation.run(3)
    simulation.pool.refuse_until = simulation.now + 40
    simulation.run(30)
    assert simulation.rollout.write_failures > 5
    assert simulation.kinds().count("not_carried_out") == 1
    simulation.run(60, simulation.closed)
    assert simulation.rollout.outcome is Outcome.ROLLED_BACK


@pytest.mark.parametrize("error", [Misconfigured("403: assign the role"), Conflict("412")])
def test_a_write_that_is_forbidden_or_overtaken_is_counted_and_told_like_any_other(begun, monkeypatch, error):
    simulation = until(begun(BAD), Phase.STEP)
    simulation.run(3)

    def write(*_: object) -> None:
        raise error

    monkeypatch.setattr(simulation.pool, "write", write)
    simulation.run(40, lambda: simulation.rollout.phase is Phase.CLOSING)
    simulation.run(3)
    [notice] = [one for _, one in simulation.told if one.kind == "not_carried_out"]
    assert f"2 attempts failed: {error}" in notice.text


def test_a_slot_is_looked_at_as_its_gate_says(begun, policy, monkeypatch):
    """Path, patience and count are the policy's; the warm-up goes to the canary alone."""
    gate = "{path: /api/live, timeout: 3s, successes: 3, deadline: 30s, warm_up: {path: /api/hello, requests: 5}}"
    simulation = begun(policy=re.sub(r"gate: .*", f"gate: {gate}", policy))
    probed, warmed = [], []
    probe = simulation.prober.probe
    monkeypatch.setattr(simulation.prober, "probe", lambda *where, **how: probed.append(where) or probe(*where, **how))
    monkeypatch.setattr(
        simulation.prober, "warm_up", lambda *where, **how: warmed.append((*where, how["slot"])) or True
    )
    until(simulation, Phase.STEP)
    slots = {f"https://127.0.0.1:1/{slot}" for slot in Slot}
    assert set(probed) == {(url, "/api/live", 3.0) for url in slots}
    assert warmed == [("https://127.0.0.1:1/green", "/api/hello", 5, 3.0, Slot.GREEN)]


def test_a_private_slot_is_looked_at_through_the_preview_route(begun, policy, monkeypatch):
    through = "via: gateway, gateway_url: https://apim.example/preview, path: /api/health"
    simulation = begun(policy=policy.replace("path: /api/health", through))
    asked = set()
    probe, warm_up = simulation.prober.probe, simulation.prober.warm_up

    def watched(what, done):
        def ask(url, *rest, preview, slot):
            asked.add((what, url, preview, slot))
            return done(url, *rest, preview=preview, slot=slot)

        return ask

    monkeypatch.setattr(simulation.prober, "probe", watched("probe", probe))
    monkeypatch.setattr(simulation.prober, "warm_up", watched("warm-up", warm_up))
    until(simulation, Phase.STEP)
    route = "https://apim.example/preview"
    assert asked == {
        ("probe", route, True, Slot.BLUE),
        ("probe", route, True, Slot.GREEN),
        ("warm-up", route, True, Slot.GREEN),
    }


def test_of_yesterday_only_the_slot_that_served_is_kept(begun, monkeypatch):
    """As the baseline's, whichever it was: the other one had a stray request or none."""
    simulation = begun()
    counts = simulation.telemetry.counts
    yesterday = [
        Row(Role.CANARY, int(simulation.now) - 86_400, "green-1", "GET /", 90, 90, 0, (1, 0, 0)),
        Row(Role.BASELINE, int(simulation.now) - 86_400, "blue-1", "GET /", 2, 2, 0, (2, 0, 0)),
    ]

    def counted(workspace, scopes, now):
        if scopes[0].since < now - 80_000:
            return {scopes[0].rollout: Counted(rows=Rows.of(yesterday, 3))}
        return counts(workspace, scopes, now)

    monkeypatch.setattr(simulation.telemetry, "counts", counted)
    until(simulation, Phase.STEP)
    simulation.run(2)
    [kept] = simulation.world.records.same_hours("checkout", simulation.rollout.id, 3).list()
    assert (kept.role, kept.instance, kept.requests) == (Role.BASELINE, "green-1", 90)


def test_a_new_target_has_all_its_attempts_before_it_is_told_as_not_carried_out(begun):
    simulation = begun()
    simulation.run(120, lambda: simulation.rollout.shares == (10,))
    simulation.pool.refuse_until = simulation.now + 300
    simulation.run(120, lambda: simulation.rollout.write_failures > 1)
    assert simulation.rollout.share == 50
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    assert (simulation.rollout.share, simulation.rollout.write_failures) == (0, 0)


def test_a_shared_fault_after_our_raise_is_remembered_as_answered(begun):
    simulation = begun()
    simulation.run(120, lambda: simulation.rollout.shares == (10, 50))
    simulation.common_failures = 0.3
    simulation.run(30, lambda: simulation.rollout.share == 10)
    assert simulation.rollout.share == 10, simulation.rollout.reason
    assert simulation.rollout.lowered_for_shared


def test_a_gate_counts_only_answers_with_a_way_back(begun):
    simulation = begun()
    simulation.apps[Slot.BLUE].healthy = False
    simulation.run(5)
    assert simulation.rollout.gate_successes == 0
    simulation.run(60, simulation.closed)
    assert simulation.rollout.outcome is Outcome.REJECTED
    assert "the way back is not healthy" in simulation.rollout.reason


def test_two_dead_slots_are_no_harm_of_the_canary(begun):
    simulation = until(begun(), Phase.STEP)
    for app in simulation.apps.values():
        app.healthy = False
    simulation.run(6)
    assert simulation.rollout.phase is Phase.STEP, simulation.rollout.reason
    assert simulation.rollout.canary_failures == 0


def test_a_share_is_judged_from_the_first_whole_interval_after_its_propagation(begun, policy):
    simulation = until(begun(policy=policy.replace("propagation: 1s", "propagation: 5s")), Phase.STEP)
    [span] = simulation.rollout.segments
    assert span.start >= simulation.rollout.phase_since + 5


def test_a_share_moved_by_hand_ends_its_span_where_it_was_last_seen(begun):
    simulation = until(begun(), Phase.STEP)
    simulation.run(4)
    seen = simulation.rollout.looked_at
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.telemetry.outage_until = simulation.now + 5
    simulation.step()
    assert simulation.rollout.segments[0].end <= seen, "what came after may have been split by either share"


def test_a_marker_that_another_hand_moved_stays_drift_at_every_look(begun):
    simulation = until(begun(), Phase.STEP)
    simulation.run(2)
    simulation.marker.live, simulation.marker.revision = Slot.GREEN, 9
    for _ in range(4):
        simulation.step()
        assert simulation.rollout.hold is not None, simulation.rollout.reason
        assert simulation.rollout.hold.reason is HoldReason.DRIFT
    assert simulation.marker.writes == []


def test_a_marker_that_goes_back_right_after_our_switch_is_another_hand(begun):
    """What was read back is known from that moment on, not from the next look on."""
    simulation = until(begun(), Phase.WATCH)
    assert simulation.marker.writes == [Slot.GREEN]
    simulation.marker.live, simulation.marker.revision = Slot.BLUE, 9
    simulation.run(3)
    assert simulation.rollout.hold is not None, simulation.rollout.reason
    assert simulation.rollout.hold.reason is HoldReason.DRIFT
    assert simulation.marker.writes == [Slot.GREEN]


def test_a_service_counts_for_a_storm_when_it_first_turned_harmful(begun, policy):
    policy = policy.replace("    bake: 3s", "    bake: 3s\n    rollback: ask")
    simulation = until(begun(BAD, policy=policy), Phase.STEP)
    simulation.run(60, lambda: bool(simulation.rollout.harmful_at))
    first = simulation.rollout.harmful_at
    assert simulation.rollout.verdict.kind is VerdictKind.HARMFUL
    simulation.run(20)
    assert simulation.rollout.harmful_at == first


def test_a_pool_that_is_not_read_back_as_written_keeps_the_marker_where_it_is(begun):
    """A hand between our write of 100 % and its read-back: the marker would name a slot that serves a part."""
    simulation = begun()
    simulation.run(200, lambda: simulation.rollout.shares == (10, 50))
    write = simulation.pool.write

    def overtaken(*asked):
        write(*asked)
        simulation.pool.set(Weights.of(Slot.GREEN, 30))
        return simulation.pool.read(*asked[:3])

    simulation.pool.write = overtaken
    until(simulation, Phase.SWITCH)
    simulation.run(3)
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 30)
    assert simulation.marker.writes == []


def test_a_hand_that_only_the_second_read_shows_is_not_written_over(begun):
    """The look could not read the pool; what is read right before the write is held to the same question."""
    simulation = begun()
    simulation.run(120, lambda: simulation.rollout.shares == (10,))
    simulation.pool.refuse_until = simulation.now + 300
    simulation.run(120, lambda: simulation.rollout.write_failures == 1)
    simulation.pool.set(Weights.of(Slot.GREEN, 30))
    simulation.pool.refuse_until = 0.0
    read, reads = simulation.pool.read, []

    def first_fails(*asked):
        reads.append(asked)
        if len(reads) == 1:
            raise Unavailable("no answer")
        return read(*asked)

    simulation.pool.read = first_fails
    simulation.step()
    assert len(reads) == 2
    assert simulation.pool.weights == Weights.of(Slot.GREEN, 30)


def test_messages_that_piled_up_are_served_by_one_look(begun):
    simulation = until(begun(), Phase.STEP)
    looked = simulation.rollout.ticked_at
    simulation.now += 1
    for asked_at in (looked - 60, looked - 1, looked):
        tick(simulation.world, ["checkout"], asked_at)
    assert simulation.rollout.ticked_at == looked
    tick(simulation.world, ["checkout"], looked + 0.5)
    assert simulation.rollout.ticked_at > looked


def test_every_decision_is_logged_with_what_it_came_to(begun, caplog):
    """The workbook reads these lines: the phase after the decision, and no line where nothing was decided."""
    caplog.set_level("INFO", logger="controller.tick")
    simulation = until(begun(BAD), Phase.STEP)
    simulation.run(300, simulation.closed)
    logged = [one.message for one in caplog.records if one.message.startswith("canary.decision ")]
    told = [json.loads(one.removeprefix("canary.decision ")) for one in logged]
    stored = simulation.world.records.decisions("checkout", simulation.rollout.id)
    assert [(one["phase"], one["share"]) for one in told] == [
        (one.phase, one.share) for one in stored if one.number > 1
    ], "the first was made by the announcement"
    assert (told[-1]["outcome"], told[-1]["phase"]) == ("rolled_back", "closed")
