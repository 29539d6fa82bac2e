"""What cannot be judged is a named error with the place and the value, and never a verdict."""

import msgspec
import numpy as np
import pytest

from analyzers.judge import CountsError, Row, Rows, Segment, Settings, first_crossings, judge
from tests.judge.worlds import BEGIN, FAILURES, SLOW, counts

replace = msgspec.structs.replace
GOOD = counts(minutes=5, history=3)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"alpha": 0.0}, "alpha is 0.0, must be between 0 and 0.5"),
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"beta": float("nan")}, "beta is nan"),
        ({"beta": -0.1}, "beta is -0.1"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 2.5}, "horizon is 2.5, must be a whole number"),
        ({"horizon": True}, "horizon is True"),
        ({"stale_seconds": 0}, "stale_seconds is 0"),
        ({"stale_seconds": float("nan")}, "stale_seconds is nan"),
    ],
)
def test_settings_that_promise_nothing_are_refused(settings, says):
    with pytest.raises(CountsError, match=says):
        judge(GOOD, (FAILURES,), Settings(**settings))


@pytest.mark.parametrize(
    ("tolerance", "says"),
    [
        ({"points": 1.0}, "failures: points is 1.0, must be from 0 to below 1"),
        ({"points": float("nan")}, "failures: points is nan"),
        ({"points": -0.01}, "failures: points is -0.01"),
        ({"ratio": float("inf")}, "failures: ratio is inf"),
        ({"ratio": -1.0}, "failures: ratio is -1.0"),
        ({"points": 0.0, "ratio": 0.0}, "points and ratio are both 0"),
        ({"ceiling": 1.0}, "failures: ceiling is 1.0"),
        ({"ceiling": 0.0}, "failures: ceiling is 0.0"),
    ],
)
def test_tolerances_that_allow_everything_or_nothing_are_refused(tolerance, says):
    with pytest.raises(CountsError, match=says):
        judge(GOOD, (replace(FAILURES, **tolerance),), Settings())


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"interval_seconds": 0}, "interval_seconds is 0"),
        ({"interval_seconds": 7}, "segments|interval"),
        ({"judged_from": ()}, "judged_from has 0 values for 1 indicators"),
        ({"history": Rows.empty(2)}, "history count 2 indicators, the policy has 1"),
        ({"segments": (Segment(start=BEGIN, end=None, share=0, step=0),)}, r"segments\[0\]: share is 0"),
        ({"segments": (Segment(start=BEGIN, end=None, share=101, step=0),)}, r"segments\[0\]: share is 101"),
        ({"segments": (Segment(start=BEGIN + 1, end=None, share=9, step=0),)}, r"segments\[0\].*multiples of"),
        ({"segments": (Segment(start=BEGIN, end=BEGIN + 30, share=9, step=0),)}, r"segments\[0\].*multiples of"),
        ({"segments": (Segment(start=BEGIN, end=BEGIN - 60, share=9, step=0),)}, r"segments\[0\]: ends at"),
        ({"segments": (Segment(start=0, end=None, share=9, step=0),)}, r"segments\[0\]: more than 200000 intervals"),
        (
            {"segments": tuple(Segment(start=BEGIN, end=BEGIN + 60, share=9, step=n) for n in range(2))},
            r"segments\[1\]: starts at",
        ),
        (
            {"segments": tuple(Segment(start=BEGIN + n * 60, end=None, share=9, step=n) for n in range(2))},
            r"segments\[1\]: starts at",
        ),
    ],
)
def test_counts_that_contradict_themselves_are_refused(change, says):
    with pytest.raises(CountsError, match=says):
        judge(replace(GOOD, **change), (FAILURES,), Settings())


def test_more_bad_rows_than_warm_ones_are_refused():
    cold = Rows.of([Row("canary", BEGIN, "a", "GET /", 10, 10, 6, (5,))], 1)
    with pytest.raises(CountsError, match=r"row 0: bad\[0\] is 5, more than its 4 warm rows"):
        judge(replace(GOOD, rows=cold), (SLOW,), Settings())


def test_an_interval_off_the_grid_is_refused():
    off = Rows.of([Row("canary", BEGIN + 1, "a", "GET /", 10, 10, 0, (5,))], 1)
    with pytest.raises(CountsError, match=r"row 0: interval is .* multiple of"):
        judge(replace(GOOD, rows=off), (FAILURES,), Settings())


def test_no_indicators_and_doubled_ones_are_refused():
    with pytest.raises(CountsError, match="no indicators"):
        judge(GOOD, (), Settings())
    with pytest.raises(CountsError, match="'failures' is there twice"):
        judge(GOOD, (FAILURES, FAILURES), Settings())


ASKED = {"points": 0.005, "ratio": 1.25, "alpha": 0.01, "beta": 0.01}
TWO = np.full((2, 3), 10)


def changed(array, where, value):
    other = array.astype(float)
    other[where] = value
    return other


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ((TWO, changed(TWO, (1, 2), 11), TWO, TWO), "canary, rollout 1, minute 3: 11 bad of 10 requests"),
        ((TWO, TWO, TWO, changed(TWO, (0, 0), 12)), "baseline, rollout 0, minute 1: 12 bad of 10"),
        ((changed(TWO, (0, 1), -1), TWO, TWO, TWO), "canary requests, rollout 0, minute 2: .*-1.0"),
        (
            (changed(TWO, (0, 1), 2.0**53), TWO, TWO, TWO),
            "canary requests, rollout 0, minute 2: .*must be a whole number",
        ),
        ((TWO, changed(TWO, (0, 1), np.nan), TWO, TWO), "canary bad, rollout 0, minute 2: .*nan"),
        ((TWO, changed(TWO, (0, 1), 0.5), TWO, TWO), "canary bad, rollout 0, minute 2: .*0.5"),
        ((TWO, TWO, TWO[:, :2], TWO), r"baseline requests: shape \(2, 2\), must be \(2, 3\)"),
        ((TWO, TWO[:1], TWO, TWO), r"canary bad: shape \(1, 3\), must be \(2, 3\)"),
        (([[1], [1, 2]], TWO, TWO, TWO), "canary requests: not a rectangular array"),
        ((TWO[0], TWO, TWO, TWO), "canary requests: 1 dimensions, must have 2"),
    ],
)
def test_arrays_that_cannot_be_are_refused_with_rollout_and_minute(arrays, says):
    with pytest.raises(CountsError, match=says):
        first_crossings(*arrays, **ASKED)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"alpha": 0.5}, "alpha is 0.5"),
        ({"beta": 0}, "beta is 0"),
        ({"points": 1.0}, "points is 1.0"),
        ({"indicators": 0}, "indicators is 0"),
        ({"horizon": 0}, "horizon is 0"),
        ({"horizon": 2.5}, "horizon is 2.5"),
        ({"indicators": True}, "indicators is True"),
        ({"indicators": 1.5}, "indicators is 1.5"),
        ({"history": (TWO[:1], TWO[:1])}, r"history requests: shape \(1, 3\)"),
        ({"history": (TWO, TWO + 1)}, "history, rollout 0, minute 1: 11 bad of 10"),
        ({"canary_instances": (TWO, TWO)}, "canary_instances requests: 2 dimensions, must have 3"),
        (
            {"baseline_instances": (np.full((2, 2, 3), 6), np.full((2, 2, 3), 5))},
            "baseline_instances requests, rollout 0, minute 1: the instances sum to 12, the total is 10",
        ),
        (
            {"canary_instances": (np.full((2, 2, 3), 5), np.full((2, 2, 3), 4))},
            "canary_instances bad, rollout 0, minute 1: the instances sum to 8, the total is 10",
        ),
        (
            {"canary_instances": (np.full((2, 2, 4), 5), np.full((2, 2, 4), 5))},
            r"canary_instances requests: shape \(2, 2, 4\), must be \(2, instances, 3\)",
        ),
        (
            {"canary_instances": (np.array([[[4], [6]]] * 2) + 0 * np.ones(3), np.full((2, 2, 3), 5))},
            "canary_instances, rollout 0, instance 0, minute 1: 5 bad of 4 requests",
        ),
    ],
)
def test_questions_that_cannot_be_answered_are_refused(change, says):
    with pytest.raises(CountsError, match=says):
        first_crossings(TWO, TWO, TWO, TWO, **{**ASKED, **change})


def test_no_minutes_are_no_crossings():
    none = np.zeros((3, 0))
    harm, safe = first_crossings(none, none, none, none, **ASKED)
    assert harm.tolist() == safe.tolist() == [0, 0, 0]


def test_all_and_nothing_are_legal():
    """Every request bad, none at all, a tolerance of nothing: numbers, not errors."""
    nothing = np.zeros((2, 3))
    for bad in (TWO, nothing):
        for requests in (TWO, nothing):
            harm, safe = first_crossings(requests, np.minimum(bad, requests), TWO, bad, **{**ASKED, "points": 0})
            assert harm.shape == safe.shape == (2,)
