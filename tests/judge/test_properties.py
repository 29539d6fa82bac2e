"""What must hold whatever was counted: never NaN, order irrelevant, worse never lowers harm, and one code path."""

import math

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.judge import Counts, Role, Row, Rows, Segment, Settings, VerdictKind, first_crossings, judge
from tests.judge.worlds import BEGIN, FAILURES, REJECTED, SLOW, counts

replace = msgspec.structs.replace
INDICATORS = (FAILURES, REJECTED, replace(SLOW, ceiling=0.6))


@st.composite
def rollouts(draw) -> Counts:
    """Small rollouts of any shape: silent minutes, all bad, one instance or four, with and without history."""
    minutes = draw(st.integers(1, 8))

    def listed(role: Role, start: int, number: int) -> list[Row]:
        made = []
        for minute in range(number):
            for instance in range(draw(st.integers(0, 4))):
                stored = draw(st.sampled_from([0, 1, 3, 50, 4000]))
                cold = draw(st.integers(0, min(2, stored)))
                parts = [draw(st.sampled_from([0.0, 0.01, 0.5, 1.0])) for _ in INDICATORS]
                bad = tuple(int((stored - cold) * part) for part in parts)
                operation = draw(st.sampled_from(["GET /", "POST /pay", "rest"]))
                made.append(Row(role, start + minute * 60, str(instance), operation, stored, stored, cold, bad))
        return made

    live = listed(Role.CANARY, BEGIN, minutes) + listed(Role.BASELINE, BEGIN, minutes)
    past = listed(Role.BASELINE, BEGIN - 180, draw(st.integers(0, 3)))
    share = draw(st.sampled_from([1, 10, 50, 100]))
    return Counts(
        interval_seconds=60,
        now=BEGIN + minutes * 60,
        settled_until=BEGIN + draw(st.integers(0, minutes)) * 60,
        rows=Rows.of(live, 3),
        history=Rows.of(past, 3),
        same_hours=Rows.empty(3),
        segments=(Segment(start=BEGIN, end=None, share=share, step=0),),
        judged_from=(BEGIN - 180,) * 3,
    )


def numbers(value):
    if isinstance(value, msgspec.Struct):
        value = msgspec.structs.astuple(value)
    if isinstance(value, tuple):
        return [number for part in value for number in numbers(part)]
    return [value] if isinstance(value, float) else []


@settings(max_examples=120, deadline=None)
@given(rollouts())
def test_a_verdict_holds_no_nan_and_no_infinity_and_silence_is_never_safe(counted):
    verdict = judge(counted, INDICATORS, Settings())
    assert all(math.isfinite(number) for number in numbers(verdict))
    for one in verdict.indicators:
        if verdict.kind is VerdictKind.SAFE:
            assert one.canary.requests > 0
            assert one.baseline.requests > 0
        assert (one.canary.rate is None) == (one.canary.requests == 0)


@settings(max_examples=60, deadline=None)
@given(rollouts(), st.permutations(range(3)))
def test_the_order_of_indicators_is_irrelevant(counted, order):
    def shuffled(rows: Rows) -> Rows:
        return Rows.of([replace(row, bad=tuple(row.bad[at] for at in order)) for row in rows.list()], 3)

    other = replace(counted, rows=shuffled(counted.rows), history=shuffled(counted.history))
    verdict = judge(counted, INDICATORS, Settings())
    again = judge(other, [INDICATORS[at] for at in order], Settings())
    assert verdict.kind is again.kind
    for one in verdict.indicators:
        assert again.evidence(one.name).harm == pytest.approx(one.harm, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(rollouts(), st.integers(0, 2))
def test_turning_a_good_canary_request_of_the_newest_minute_bad_never_lowers_harm(counted, indicator):
    listed = counted.rows.list()
    newest = BEGIN + (counted.now - BEGIN) - 60
    for at, row in enumerate(listed):
        if row.role is Role.CANARY and row.interval == newest and row.bad[indicator] < row.rows - row.cold:
            worse = tuple(bad + (number == indicator) for number, bad in enumerate(row.bad))
            listed[at] = replace(row, bad=worse)
            break
    after = judge(replace(counted, rows=Rows.of(listed, 3)), INDICATORS, Settings()).indicators[indicator]
    before = judge(counted, INDICATORS, Settings()).indicators[indicator]
    if after.harm_limit == before.harm_limit:
        # The cubic's root is good to 3.5e-7, which is what a rate of 100 % shows of it.
        assert after.harm >= before.harm - 1e-6


def test_nor_does_it_under_a_ceiling():
    """What is known of bursts before the newest minute is not learned from it: not worse by a minute that is."""
    counted = counts(3, minutes=6, canary=(0.4,), baseline=(0.4,), rpm=200, history=0)
    listed = counted.rows.list()
    at = next(at for at, row in enumerate(listed) if row.role is Role.CANARY and row.interval == counted.now - 60)
    harm = []
    for bad in range(listed[at].rows + 1):
        listed[at] = replace(listed[at], bad=(bad,))
        seen = replace(counted, rows=Rows.of(listed, 1))
        harm.append(judge(seen, (replace(FAILURES, ceiling=0.2),), Settings()).indicators[0].harm)
    assert harm == sorted(harm)
    assert harm[-1] > harm[0] + 1


@settings(max_examples=40, deadline=None)
@given(rollouts(), st.integers(2, 50))
def test_how_many_requests_a_sampled_row_stands_for_leaves_the_verdict(counted, scale):
    scaled = Rows.of([replace(row, requests=row.requests * scale) for row in counted.rows.list()], 3)
    one, other = (judge(each, INDICATORS, Settings()) for each in (counted, replace(counted, rows=scaled)))
    assert (one.kind, one.why, one.indicator) == (other.kind, other.why, other.indicator)
    assert [each.harm for each in one.indicators] == [each.harm for each in other.indicators]
    assert other.indicators[0].canary.displayed_requests == scale * one.indicators[0].canary.displayed_requests


@settings(max_examples=60, deadline=None)
@given(rollouts())
def test_the_same_counts_give_the_same_verdict_in_whatever_order_the_rows_came(counted):
    backwards = replace(counted, rows=Rows.of(counted.rows.list()[::-1], 3))
    assert judge(counted, INDICATORS, Settings()) == judge(backwards, INDICATORS, Settings())


def arrays(counted: Counts, minutes: int, start: int = BEGIN, rows: Rows | None = None):
    """(requests, bad) of both roles, shape (1, minutes), and per instance."""
    found = {}
    for role in Role:
        names = sorted({row.instance for row in counted.rows.list() if row.role is role})
        requests, bad = np.zeros((1, len(names), minutes)), np.zeros((1, len(names), minutes))
        for row in (counted.rows if rows is None else rows).list():
            if row.role is role:
                requests[0, names.index(row.instance), (row.interval - start) // 60] += row.rows
                bad[0, names.index(row.instance), (row.interval - start) // 60] += row.bad[0]
        found[role] = requests, bad
    return found


@pytest.mark.parametrize("history", [0, 12, 60])
@pytest.mark.parametrize(("rate", "instances"), [(0.02, 1), (0.05, 4), (0.005, 4)])
def test_first_crossings_and_the_judge_are_one(rate, instances, history):
    """Look after look, the judge becomes harmful in the very minute that first_crossings names, and safe too."""
    minutes = 60
    whole = counts(7, minutes=minutes, canary=(rate,), instances=instances, history=history, settle=0)
    found = arrays(whole, minutes)
    past = arrays(whole, history, BEGIN - history * 60, whole.history)[Role.BASELINE]
    totals = [part.sum(axis=1) for role in Role for part in found[role]]
    harm_minute, safe_minute = first_crossings(
        *totals, points=FAILURES.points, ratio=FAILURES.ratio, alpha=0.01, beta=0.01, horizon=120,
        history=tuple(part.sum(axis=1) for part in past) if history else None,
        canary_instances=found[Role.CANARY], baseline_instances=found[Role.BASELINE],
    )  # fmt: skip
    first = {VerdictKind.HARMFUL: 0, VerdictKind.SAFE: 0}
    for minute in range(1, minutes + 1):
        until = BEGIN + minute * 60
        seen = replace(whole, now=until, settled_until=until, rows=whole.rows.between(BEGIN, until))
        kind = judge(seen, (FAILURES,), Settings()).kind
        if kind in first and not first[kind]:
            first[kind] = minute
    assert (harm_minute[0], safe_minute[0]) == (first[VerdictKind.HARMFUL], first[VerdictKind.SAFE])
    assert harm_minute[0] or safe_minute[0]
