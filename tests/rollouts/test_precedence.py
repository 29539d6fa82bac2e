"""Which rule wins: every pair of causes that can meet in one look, and the edges of each rule."""

import itertools
from typing import Any

import pytest
from msgspec.structs import replace

from analyzers.judge.counts import Segment
from analyzers.judge.verdict import Verdict, VerdictKind
from rollouts import limits
from rollouts.draft import Draft
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading, Probe, Slot, Standing, Weights
from rollouts.policy import HoldLimits
from rollouts.rollout import Hold, HoldReason, Pause, Phase, Rollout
from rollouts.rule import Ruling, rule
from rollouts.states import Event
from rollouts.target import wants_write
from tests.storing.examples import START, pin, rollout, verdict

BEGAN = int(START) + 600
LATER = BEGAN + 100_000.0  # long after bake, deadline and watch
SAFE, HARMFUL, UNDECIDED, SHARED = VerdictKind.SAFE, VerdictKind.HARMFUL, VerdictKind.UNDECIDED, VerdictKind.SHARED


def pool(share: int) -> PoolReading:
    return PoolReading(weights=Weights.of(Slot.GREEN, share), etag="1")


def marker(live: Slot) -> MarkerReading:
    return MarkerReading(live=live, etag="1")


def answers(version: str) -> Probe:
    return Probe(healthy=True, version=version, detail=f"200 version {version}")


def said(kind: VerdictKind, *, severe: bool = False) -> Verdict:
    numbers: dict[str, Any] = {"alpha": 0.01, "beta": 0.01, "looks": 9, "step_looks": 9, "share": 10}
    return Verdict(kind=kind, indicators=(), one_sample=False, severe=severe, **numbers)


def at(phase: Phase, share: int, live: Slot = Slot.BLUE, **changes: Any) -> Rollout:
    """A rollout to which nothing has happened, at `share` since BEGAN."""
    step = {0: 0, 10: 0, 50: 1}.get(share, 2)
    given: dict[str, Any] = {
        "phase": phase,
        "share": share,
        "step": step,
        "marker": live,
        "pool_seen": pool(share),
        "marker_seen": marker(live),
        "arrived": True,
        "gate_successes": 99,
        "settled_until": BEGAN,
        "baseline_version": "1.4.1",
        "segments": (Segment(start=BEGAN, end=None, share=share, step=step),) if share else (),
        "clock_from": float(BEGAN),
    }
    return rollout(**(given | changes))


def seen(of: Rollout, **changes: Any) -> Observation:
    """Everything as `of` wants it."""
    given: dict[str, Any] = {
        "pool": pool(of.share),
        "marker": marker(of.marker),
        "telemetry": None,
        "probes": {Slot.GREEN: answers("1.4.2"), Slot.BLUE: answers("1.4.1")},
        "standing": Standing(mode=Mode.ACT),
    }
    return Observation(**(given | changes))


def ruled(of: Rollout, kind: VerdictKind = SAFE, now: float = LATER, *, severe: bool = False, **sees: Any) -> Ruling:
    return rule(of, seen(of, **sees), said(kind, severe=severe), now)


def held(reason: HoldReason) -> dict[str, Any]:
    return {"hold": Hold(reason=reason, since=LATER - 1, detail="it was so")}


# name: (changes of the rollout, of what is seen, verdict, what comes of it), the first wins; docs/architecture.md
CAUSES: dict[str, tuple[dict[str, Any], dict[str, Any], VerdictKind | None, Event | HoldReason]] = {
    "zeroed": ({}, {"pool": pool(0)}, None, Event.ZEROED),
    "newer version": ({}, {"probes": {Slot.GREEN: answers("1.4.3")}}, None, Event.NEW_VERSION),
    "dead": ({"canary_failures": limits.PROBE_FAILURES}, {}, None, Event.HARM),
    "harmful": ({}, {}, HARMFUL, Event.HARM),
    "latched": (held(HoldReason.APPROVAL), {}, None, HoldReason.APPROVAL),
    "pool unread": ({}, {"pool": Failed(what="pool", detail="503")}, None, HoldReason.POOL_UNREADABLE),
    "marker unread": ({}, {"marker": Failed(what="marker", detail="teal")}, None, HoldReason.MARKER_UNKNOWN),
    "pool moved": ({}, {"pool": pool(30)}, None, HoldReason.DRIFT),
    "marker moved": ({}, {"marker": marker(Slot.GREEN)}, None, HoldReason.DRIFT),
    "shared": ({}, {}, SHARED, HoldReason.SHARED),
    "baseline changed": ({"baseline_version": "1.3.9"}, {}, None, HoldReason.BASELINE_CHANGED),
    "cannot write": ({"write_failures": limits.WRITE_FAILURES}, {}, None, HoldReason.CANNOT_WRITE),
    "storm": ({}, {"standing": Standing(mode=Mode.ACT, storm="many")}, SAFE, HoldReason.STORM),
    "proven": ({}, {}, SAFE, Event.RAISED),
}
PAIRS = [
    (first, second)
    for first, second in itertools.combinations(CAUSES, 2)
    if not any(CAUSES[first][part].keys() & CAUSES[second][part].keys() for part in (0, 1))
    and None in (CAUSES[first][2], CAUSES[second][2])
]


@pytest.mark.parametrize(("first", "second"), PAIRS)
def test_of_two_causes_the_first_in_the_order_wins(first: str, second: str) -> None:
    before, sees, kind, expected = CAUSES[first]
    also, beside, other, _ = CAUSES[second]
    ruling = ruled(at(Phase.STEP, 10, **before, **also), kind or other or UNDECIDED, **sees, **beside)
    assert expected in (ruling.event, ruling.hold), ruling.why


def test_the_order_has_every_pair_that_can_meet() -> None:
    assert len(PAIRS) > 60


@pytest.mark.parametrize(
    ("failures", "event"), [(limits.PROBE_FAILURES - 1, Event.RAISED), (limits.PROBE_FAILURES, Event.HARM)]
)
def test_the_third_failed_probe_in_a_row_is_harm(failures: int, event: Event) -> None:
    assert ruled(at(Phase.STEP, 10, canary_failures=failures)).event is event


def test_a_0_that_was_known_when_a_person_said_go_on_is_no_new_0() -> None:
    assert ruled(at(Phase.STEP, 10), pool=pool(0)).event is Event.ZEROED
    assert ruled(at(Phase.STEP, 10, attempted=(0,)), pool=pool(0)).event is None


@pytest.mark.parametrize("moved", [{"pool": pool(30)}, {"marker": marker(Slot.GREEN)}])
def test_under_drift_nothing_is_written_and_nothing_counts_as_a_failed_write(moved: dict[str, Any]) -> None:
    drifting = at(Phase.STEP, 10, **held(HoldReason.DRIFT))
    sees = seen(drifting, **moved)
    assert not wants_write(drifting, sees.standing, sees.pool, sees.marker)
    assert wants_write(replace(drifting, hold=None), sees.standing, sees.pool, sees.marker)


@pytest.mark.parametrize("harm", [{"kind": HARMFUL}, {"canary_failures": limits.PROBE_FAILURES}])
@pytest.mark.parametrize(
    "obstacle",
    [{"baseline_failures": limits.PROBE_FAILURES}, {"rollback_possible": False}, {"ask_before_rollback": True}],
)
def test_nothing_goes_back_by_itself_to_where_it_may_not_stand(harm: dict[str, Any], obstacle: dict[str, Any]) -> None:
    changes = {name: value for name, value in harm.items() if name != "kind"}
    ruling = ruled(at(Phase.STEP, 10, **obstacle, **changes), harm.get("kind", SAFE))
    assert ruling.hold is HoldReason.ROLLBACK_ASKED


def test_in_the_watch_the_judge_alone_is_a_suspicion_and_a_ceiling_or_a_death_goes_straight_back() -> None:
    watched = at(Phase.WATCH, 100, Slot.GREEN)
    dead = replace(watched, canary_failures=limits.PROBE_FAILURES)
    assert ruled(watched, HARMFUL).event is Event.SUSPECTED
    assert ruled(watched, HARMFUL, severe=True).event is Event.HARM
    assert ruled(dead, HARMFUL).event is Event.HARM
    assert ruled(dead, SAFE).event is Event.HARM


def test_a_shared_fault_goes_back_one_share_once_and_only_soon_after_our_raise() -> None:
    raised = at(Phase.STEP, 50, raised_at=LATER - limits.RAISE_MEMORY_SECONDS)
    assert ruled(raised, SHARED).event is Event.LOWERED
    assert ruled(replace(raised, raised_at=LATER - limits.RAISE_MEMORY_SECONDS - 1), SHARED).hold is HoldReason.SHARED
    assert ruled(replace(raised, lowered_for_shared=True), SHARED).hold is HoldReason.SHARED
    assert ruled(at(Phase.STEP, 10, raised_at=LATER), SHARED).hold is HoldReason.SHARED, "there is no lower share"
    assert ruled(at(Phase.WATCH, 100, Slot.GREEN, raised_at=LATER), SHARED).hold is HoldReason.SHARED


def test_a_switch_is_done_only_when_the_marker_names_the_canary() -> None:
    observed = Standing(mode=Mode.OBSERVE)
    assert ruled(at(Phase.SWITCH, 100, Slot.BLUE), standing=observed).event is None
    assert ruled(at(Phase.SWITCH, 100, Slot.GREEN), standing=observed).event is Event.SWITCHED


def test_what_is_proven_is_baked_first() -> None:
    bake = pin().bake_seconds
    assert ruled(at(Phase.STEP, 10), now=BEGAN + bake - 1).event is None
    assert ruled(at(Phase.STEP, 10), now=BEGAN + bake).event is Event.RAISED
    assert ruled(at(Phase.STEP, 50), now=BEGAN + bake).event is Event.PROVEN


def test_unrefuted_asks_for_requests_of_the_canary() -> None:
    unrefuted = at(Phase.STEP, 10, pin=replace(pin(), promote_when="unrefuted"))
    assert ruled(unrefuted, UNDECIDED, now=BEGAN + pin().bake_seconds).event is None
    few = replace(unrefuted, pin=replace(unrefuted.pin, min_requests=0))
    assert ruled(few, UNDECIDED, now=BEGAN + pin().bake_seconds).event is Event.RAISED
    [one] = verdict().indicators
    quiet = replace(one, canary=replace(one.canary, requests=0), baseline=replace(one.baseline, requests=9000))
    for requests, event in ((99, None), (100, Event.RAISED)):
        counted = replace(quiet, canary=replace(one.canary, requests=requests))
        told = replace(verdict(), kind=UNDECIDED, indicators=(quiet, counted))  # one indicator counts the fewer
        assert rule(unrefuted, seen(unrefuted), told, BEGAN + pin().bake_seconds).event is event


@pytest.mark.parametrize("kind", [VerdictKind.UNOBSERVED, VerdictKind.BASELINE_WORSE])
def test_what_is_worse_than_waiting_goes_before_an_approval(kind: VerdictKind) -> None:
    assert ruled(at(Phase.STEP, 10, **held(HoldReason.APPROVAL)), kind).hold == kind.value


def test_the_gate_opens_when_everything_is_there_and_not_before() -> None:
    gate = at(Phase.GATE, 0, gate_successes=pin().gate.successes, warmed=True)
    at_once = gate.started_at + 1
    assert ruled(gate, now=at_once).event is Event.GATE_PASSED
    assert ruled(replace(gate, gate_successes=pin().gate.successes - 1), now=at_once).event is None
    assert ruled(replace(gate, settled_until=None), now=at_once).event is None, "the history is not read yet"
    warming = replace(gate, warmed=False, pin=replace(gate.pin, gate=replace(gate.pin.gate, warm_up_path="/warm")))
    assert ruled(warming, now=at_once).event is None
    assert ruled(gate, now=at_once, pool=pool(20)).hold is HoldReason.DRIFT, "another hand gave it traffic"
    assert ruled(gate, now=at_once, standing=Standing(mode=Mode.ACT, storm="many")).hold is HoldReason.STORM
    assert ruled(gate, now=at_once, standing=Standing(mode=Mode.ACT, off=True)).hold is HoldReason.OFF
    late = gate.started_at + gate.pin.gate.deadline_seconds
    assert ruled(replace(gate, gate_successes=0), now=late).event is None
    assert ruled(replace(gate, gate_successes=0), now=late + 1).event is Event.GATE_EXPIRED


def test_an_answer_without_a_version_is_no_other_version() -> None:
    """A health URL that lost its version takes nobody's way back away, and ends nothing."""
    silent = Probe(healthy=True, version=None, detail="200 without a version")
    for phase, share, live in ((Phase.STEP, 10, Slot.BLUE), (Phase.WATCH, 100, Slot.GREEN)):
        of = at(phase, share, live)
        for slot, other in ((Slot.GREEN, answers("1.4.1")), (Slot.BLUE, answers("1.4.2"))):
            probes = {slot: silent, slot.other: other}
            ruling = ruled(of, UNDECIDED, now=BEGAN + 1, probes=probes)
            assert (ruling.event, ruling.hold) == (None, None), ruling.why
            draft = Draft(of, of, seen(of, probes=probes), LATER)
            draft.notice_lost_way_back()
            assert draft.rollout.rollback_possible


@pytest.mark.parametrize(
    ("failures", "hold"), [(limits.PROBE_FAILURES - 1, None), (limits.PROBE_FAILURES, HoldReason.BASELINE_DOWN)]
)
def test_the_third_failed_probe_of_the_way_back_holds(failures: int, hold: HoldReason | None) -> None:
    assert ruled(at(Phase.STEP, 10, baseline_failures=failures)).hold is hold


def test_each_share_is_approved_for_itself() -> None:
    asked = Standing(mode=Mode.ACT, approvals=(10, 50))
    assert ruled(at(Phase.STEP, 10, approved=(10,)), standing=asked).hold is HoldReason.APPROVAL
    assert ruled(at(Phase.STEP, 10, approved=(50,)), standing=asked).event is Event.RAISED


def test_the_first_share_after_a_change_of_the_mode_waits_like_any_other() -> None:
    """The gate was passed under advice: what a person or a switch says against the share counts now."""
    waiting = at(Phase.STEP, 0)
    assert ruled(waiting).event is Event.RAISED
    assert ruled(waiting, standing=Standing(mode=Mode.ACT, approvals=(10,))).hold is HoldReason.APPROVAL
    assert ruled(waiting, standing=Standing(mode=Mode.ACT, off=True)).hold is HoldReason.OFF
    paused = replace(waiting, pause=Pause(actor="ada", reason="lunch", since=BEGAN, until=LATER + 1))
    assert ruled(paused).event is None


def test_a_pause_keeps_the_watch_open_until_it_ends() -> None:
    """Promoted is what nobody goes back from by itself."""
    watched = at(Phase.WATCH, 100, Slot.GREEN)
    paused = replace(watched, pause=Pause(actor="ada", reason="lunch", since=BEGAN, until=LATER))
    assert ruled(paused, now=LATER - 1).event is None
    assert "paused by ada: lunch" in ruled(paused, now=LATER - 1).why
    assert ruled(paused, now=LATER).event is Event.WATCHED


def test_a_gate_that_ends_because_nothing_could_be_read_says_what() -> None:
    gate = at(Phase.GATE, 0, warmed=True)
    late = gate.started_at + gate.pin.gate.deadline_seconds + 1
    ruling = ruled(gate, now=late, pool=Failed(what="pool", detail="403: assign the role"))
    assert ruling.event is Event.GATE_EXPIRED
    assert ruling.why.endswith("403: assign the role")


def test_a_gate_that_waits_for_the_history_says_what_could_not_be_read() -> None:
    gate = at(Phase.GATE, 0, warmed=True, settled_until=None)
    for unread in (
        {"telemetry": Failed(what="telemetry", detail="403")},
        {"quantiles": Failed(what="T", detail="403")},
    ):
        assert ruled(gate, now=gate.started_at, **unread).why == "the baseline's history could not be read: 403"


@pytest.mark.parametrize("at_blind", ["hold", "rollback"])
def test_the_deadline_ends_as_its_own_word_says(at_blind: str) -> None:
    """Not as that of blindness; exactly at the deadline there is still time."""
    for at_deadline, hold, event in (("hold", HoldReason.DEADLINE, None), ("rollback", None, Event.HARM)):
        said_so = replace(pin(at_deadline=at_deadline), limits=HoldLimits(at_blind=at_blind))
        late = at(Phase.STEP, 10, pin=said_so)
        in_time = ruled(late, UNDECIDED, now=BEGAN + said_so.deadline_seconds)
        assert (in_time.hold, in_time.event) == (None, None)
        ruling = ruled(late, UNDECIDED, now=BEGAN + said_so.deadline_seconds + 1)
        assert (ruling.hold, ruling.event) == (hold, event)
        assert "not proven within 2 h at 10 % (deadline)" in ruling.why


@pytest.mark.parametrize("at_deadline", ["hold", "rollback"])
def test_blindness_ends_as_its_own_word_says(at_deadline: str) -> None:
    for at_blind, event in (("hold", None), ("rollback", Event.HARM)):
        said_so = replace(pin(at_deadline=at_deadline), limits=HoldLimits(at_blind=at_blind, blind_seconds=900))
        blind = Hold(reason=HoldReason.BLIND, since=LATER - 901, detail="503")
        assert ruled(at(Phase.STEP, 10, pin=said_so, hold=blind), VerdictKind.BLIND).event is event
        on_time = replace(blind, since=LATER - 900)
        assert ruled(at(Phase.STEP, 10, pin=said_so, hold=on_time), VerdictKind.BLIND).hold is HoldReason.BLIND


@pytest.mark.parametrize(
    ("reason", "kind", "knob", "event"),
    [
        (HoldReason.UNOBSERVED, VerdictKind.UNOBSERVED, "unobserved", Event.HARM),
        (HoldReason.ONE_INSTANCE, VerdictKind.ONE_INSTANCE, "one_instance", Event.HARM),
        (HoldReason.APPROVAL, SAFE, "approval", Event.EXPIRED),
    ],
)
def test_a_hold_that_outlasts_its_own_limit_ends_as_its_row_says(
    reason: HoldReason, kind: VerdictKind, knob: str, event: Event
) -> None:
    """A forgotten approval proves nothing against the version: it goes to 0 and is not rolled back."""
    own = replace(HoldLimits(), **{f"{knob}_seconds": 300})  # every other limit is longer
    for lasted, after in ((300, None), (301, event)):
        holding = Hold(reason=reason, since=LATER - lasted, detail="it is so")
        [one] = verdict().indicators
        told = replace(verdict(), kind=kind, indicators=(one,), indicator=one.name)
        of = at(Phase.STEP, 10, hold=holding, pin=pin(limits=own))
        ruling = rule(of, seen(of), told, LATER)
        assert ruling.event is after
    assert f"(for 5 min 1 s, limits.{knob} 5 min)" in ruling.why


def test_what_is_proven_after_its_deadline_goes_on_without_a_person() -> None:
    late = at(Phase.STEP, 10, **held(HoldReason.DEADLINE))
    assert ruled(late, SAFE).event is Event.RAISED
    assert ruled(late, UNDECIDED).hold is HoldReason.DEADLINE
