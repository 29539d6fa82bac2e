"""What a look takes in: the shares, their spans, T, the instances, and what is asked for at all."""

from typing import Any

from msgspec.structs import replace

from analyzers.judge.counts import Rows
from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts import limits
from rollouts.ask import history_start, questions
from rollouts.observation import (
    Counted,
    Failed,
    MarkerReading,
    Mode,
    Observation,
    PoolReading,
    Probe,
    Quantiles,
    Slot,
    Standing,
    Weights,
)
from rollouts.policy import Gate
from rollouts.rollout import Outcome, Phase, Rollout
from rollouts.rule import drift
from rollouts.witness import counts, read_pool, witness
from tests.storing.examples import FAILURES, START, pin, rollout, rows

P95 = Indicator(name="p95", kind=IndicatorKind.QUANTILE, points=0.01, ratio=1.0, quantile=0.95, slowdown=0.2)


def looked(of: Rollout, now: float, **changes: Any) -> Observation:
    given: dict[str, Any] = {
        "pool": PoolReading(weights=of.weights, etag="1"),
        "marker": MarkerReading(live=of.marker, etag="1"),
        "telemetry": Counted(rows=Rows.empty(len(of.pin.indicators))),
        "probes": {},
        "standing": Standing(mode=Mode.ACT),
        "asked_at": now,
    }
    return Observation(**(given | changes))


def probe(version: str | None) -> Probe:
    return Probe(healthy=True, version=version, detail="200")


def moved(of: Rollout, share: int, now: float) -> Rollout:
    """Looked at when the share is new, and some intervals later."""
    there = PoolReading(weights=Weights.of(Slot.GREEN, share), etag="1")
    return read_pool(read_pool(of, there, now), there, now + 240)


def test_weights_that_drift_without_end_do_not_grow_the_record_without_end() -> None:
    drifting = rollout(phase=Phase.STEP, share=10)
    for look in range(3 * limits.MAX_SHARES_KEPT):
        drifting = moved(drifting, 10 + look % 2, START + 300 * look)
    assert len(drifting.shares) == limits.MAX_SHARES_KEPT
    assert len(drifting.segments) == limits.MAX_SEGMENTS_KEPT
    assert drifting.shares[-1] == drifting.segments[-1].share == 11


def test_a_share_that_is_visited_again_is_another_visit() -> None:
    """The judge looks at each visit for itself: the second time at 10 % is not the first."""
    visited = rollout(phase=Phase.STEP, share=10)
    for look, share in enumerate((10, 50, 10)):
        visited = moved(visited, share, START + 600 * look)
    assert [(one.share, one.step) for one in visited.segments] == [(10, 0), (50, 1), (10, 2)]


def test_a_latency_whose_t_comes_late_is_judged_from_then_on() -> None:
    """What was counted before there was a T says nothing bad of anybody: it must not be read as fast."""
    watched = rollout(pin=pin(indicators=(FAILURES, P95)), phase=Phase.STEP, share=10)
    start, later = history_start(watched), START + 90.0
    few = Quantiles(milliseconds={0.95: 800.0}, requests=limits.T_REQUESTS - 1)
    watched = witness(watched, looked(watched, START, quantiles=few), START)
    assert (watched.thresholds_ms, watched.judged_from) == ({}, (start, None))
    enough = replace(few, requests=limits.T_REQUESTS)
    watched = witness(watched, looked(watched, later, quantiles=enough), later)
    assert (watched.thresholds_ms, watched.judged_from) == ({"p95": 800.0}, (start, int(START) + 120))
    slower = replace(enough, milliseconds={0.95: 900.0})
    assert witness(watched, looked(watched, later, quantiles=slower), later) == watched, "pinned for its life"


def test_an_instance_is_cold_only_where_it_was_first_seen() -> None:
    known = rollout(phase=Phase.STEP, share=10, instances={"a": 60})
    told = Counted(rows=Rows.empty(1), first_seen={"a": 600, "b": 660})
    assert witness(known, looked(known, START, telemetry=told), START).instances == {"a": 60, "b": 660}


def test_yesterday_is_asked_once_there_is_something_to_compare_with_it() -> None:
    """At the gate T is not pinned, and what is kept of yesterday is kept for the whole rollout."""
    gate = rollout(pin=pin(indicators=(FAILURES, P95)))
    assert questions(gate, START).same_hours is None
    step = replace(gate, phase=Phase.STEP, share=10, thresholds_ms={"p95": 800.0})
    asked = questions(step, START).same_hours
    assert asked is not None
    assert (asked.since, asked.thresholds_ms) == (START - 86_400, {"p95": 800.0})
    assert asked.until - asked.since == 2 * 7200 + 1800, "the hours that it may take"
    fine = questions(replace(step, pin=replace(step.pin, interval_seconds=1)), START).same_hours
    assert fine is not None
    assert fine.until - fine.since == limits.SETTLE_INTERVALS, "no more rows than are kept in one transaction"


def test_the_judge_gets_yesterday_the_settled_and_the_new() -> None:
    step = moved(rollout(phase=Phase.STEP, share=10), 10, START)
    [span] = step.segments
    settled, tail, yesterday = rows(span.start, 3), rows(span.start + 180, 2), rows(START - 86_400, 4)
    now = span.start + 300.0
    seen = looked(step, now, telemetry=Counted(rows=tail), stored=settled, same_hours=yesterday)
    given = counts(step, seen, now)
    assert given.same_hours == yesterday
    assert given.unavailable is None
    assert len(given.rows) == len(settled) + len(tail)


def test_the_gate_counts_only_the_announced_version() -> None:
    """No version is not the right one; what breaks the row begins it again."""
    right, old = probe("1.4.2"), probe("1.4.1")
    for wrong in (probe("1.4.3"), probe(None), replace(right, healthy=False)):
        gate = rollout()
        counted = []
        for canary in (right, right, wrong, right):
            gate = witness(gate, looked(gate, START, probes={Slot.GREEN: canary, Slot.BLUE: old}), START)
            counted.append(gate.gate_successes)
        assert counted == [1, 2, 0, 1]
        assert gate.arrived
        assert gate.baseline_version == "1.4.1"
    nothing = witness(rollout(), looked(rollout(), START, probes={Slot.GREEN: probe(None), Slot.BLUE: old}), START)
    assert not nothing.arrived


def test_the_way_back_is_the_version_that_was_there_first() -> None:
    """Else the one that takes its place would be taken for it."""
    of = rollout()
    for version in (None, "1.4.1", "1.4.9"):
        of = witness(of, looked(of, START, probes={Slot.GREEN: probe("1.4.2"), Slot.BLUE: probe(version)}), START)
    assert of.baseline_version == "1.4.1"


def test_failed_probes_count_in_a_row_and_the_canarys_only_beside_a_baseline_that_answers() -> None:
    dead = Probe(healthy=False, version=None, detail="503")
    of, counted = rollout(phase=Phase.STEP, share=10), []
    for canary, baseline in ((dead, True), (dead, False), (dead, True), (probe("1.4.2"), False), (dead, True)):
        probes = {Slot.GREEN: canary, Slot.BLUE: probe("1.4.1") if baseline else dead}
        of = witness(of, looked(of, START, probes=probes), START)
        counted.append((of.canary_failures, of.baseline_failures))
    assert counted == [(1, 0), (1, 1), (2, 0), (0, 1), (1, 0)]


def test_what_is_no_work_of_the_service_is_never_judged() -> None:
    """The probes and the warm-up requests are ours, and the policy's routes are its own word."""
    gate = Gate(path="/api/health", warm_up_path="/api/warm")
    asked = questions(rollout(pin=pin(gate=gate, excluded_routes=("/internal", "/api/health"))), START).counts
    assert asked is not None
    assert asked.excluded_routes == ("/api/health", "/api/warm", "/internal")


def test_t_is_asked_before_the_first_counts() -> None:
    """Rows that are counted without T say nothing of it, and are stored as they were counted."""
    first = rollout(pin=pin(indicators=(FAILURES, P95)))
    asked = questions(first, START)
    assert (asked.counts, asked.levels) == (None, (0.95,))
    assert asked.quantiles is not None
    later = questions(replace(first, judged_from=(0, None)), START)
    assert later.counts is not None
    assert later.quantiles is not None
    pinned = questions(replace(first, judged_from=(0, 0), thresholds_ms={"p95": 800.0}), START)
    assert pinned.counts is not None
    assert (pinned.quantiles, pinned.levels) == (None, ())


def test_what_could_not_be_read_when_the_end_was_decided_is_known_once_it_is_read() -> None:
    """The first weights and the first marker are gone back from; what moves after that is another hand."""
    end = rollout(phase=Phase.CLOSING, outcome=Outcome.ROLLED_BACK, unread=("pool", "marker"))
    there, live = PoolReading(weights=Weights.of(Slot.GREEN, 30), etag="1"), MarkerReading(live=Slot.GREEN, etag="1")
    found = looked(end, START, pool=there, marker=live)
    assert drift(end, found) is None
    known = witness(end, found, START)
    assert (known.unread, known.marker_seen) == ((), live)
    assert drift(known, found) is None
    moved_on = looked(end, START, pool=PoolReading(weights=Weights.of(Slot.GREEN, 60), etag="2"), marker=live)
    assert drift(known, moved_on) is not None


def test_a_telemetry_that_was_not_asked_or_did_not_answer_is_no_calm_one() -> None:
    step = moved(rollout(phase=Phase.STEP, share=10), 10, START)
    for telemetry, why in ((None, "the telemetry was not asked"), (Failed(what="telemetry", detail="503"), "503")):
        assert counts(step, looked(step, START, telemetry=telemetry), START).unavailable == why


def test_a_t_of_nothing_is_none() -> None:
    """Everybody would be slower than 0 ms."""
    of = rollout(pin=pin(indicators=(FAILURES, P95)), phase=Phase.STEP, share=10)
    nothing = Quantiles(milliseconds={0.95: 0.0}, requests=limits.T_REQUESTS)
    assert witness(of, looked(of, START, quantiles=nothing), START).thresholds_ms == {}


def test_dead_under_traffic_is_proven_harmful_at_the_third_probe_and_dead_without_traffic_never() -> None:
    for shares, failures, harmful in (((10,), 3, True), ((10,), 2, False), ((), 3, False), ((10, 0), 3, True)):
        dying = rollout(phase=Phase.STEP, share=10, shares=shares, canary_failures=failures)
        assert dying.proven_harmful is harmful
