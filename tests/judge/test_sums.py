"""What is summed from the rows: which intervals, which requests, whose."""

import msgspec
import numpy as np
import pytest

from analyzers.judge import Role, Row, Rows, Segment, Settings, judge
from analyzers.judge.counts import REST
from analyzers.judge.look import Look
from analyzers.judge.tally import Grouping, Tally
from tests.judge.worlds import BEGIN, FAILURES, SLOW, counts

replace = msgspec.structs.replace
SETTINGS = Settings()


def test_an_interval_is_settled_when_its_end_is():
    counted = counts(minutes=20)
    for seconds, looks in ((0, 10), (59, 10), (60, 11)):
        seen = replace(counted, settled_until=BEGIN + 600 + seconds)
        assert judge(seen, (FAILURES,), SETTINGS).step_looks == looks


def test_an_indicator_is_judged_from_the_interval_on_that_begins_then():
    counted = replace(counts(minutes=20), judged_from=(BEGIN + 600,))
    stored = sum(row.rows for row in counted.rows.list() if row.role is Role.CANARY and row.interval >= BEGIN + 600)
    assert judge(counted, (FAILURES,), SETTINGS).indicators[0].canary.requests == stored


def test_cold_requests_count_unless_warm_ones_alone_are_asked_for():
    counted = counts(minutes=10)
    rows = [replace(row, cold=row.rows // 2, bad=(0,)) for row in counted.rows.list()]
    seen = replace(counted, rows=Rows.of(rows, 1), history=Rows.empty(1))
    stored, cold = (sum(getattr(row, name) for row in rows if row.role is Role.BASELINE) for name in ("rows", "cold"))
    for indicator, judged in ((FAILURES, stored), (SLOW, stored - cold)):
        side = judge(seen, (indicator,), SETTINGS).indicators[0].baseline
        assert (side.requests, side.cold) == (judged, cold)


def test_the_history_is_the_baselines_by_operation_and_without_cold_ones():
    history = [
        Row(Role.BASELINE, BEGIN - 120, "a", "GET /", 100, 100, 10, (5,)),
        Row(Role.BASELINE, BEGIN - 60, "a", "GET /list", 40, 40, 0, (2,)),
        Row(Role.CANARY, BEGIN - 180, "b", "GET /", 900, 900, 0, (800,)),
    ]
    counted = replace(counts(minutes=2), history=Rows.of(history, 1))
    for indicator, first in ((FAILURES, 100), (SLOW, 90)):
        tally = Tally(counted, (indicator,))
        whole = tally.streams(tally.span([0]))
        assert (whole.prior_bad.item(), whole.prior.item()) == (7, first + 40)
        each = tally.streams(tally.span([0]), Grouping("operation", ("GET /", "GET /list")))
        assert each.prior.ravel().tolist() == [first, 40]
        assert each.prior_bad.ravel().tolist() == [5, 2]
        assert tally.history_length == 2


class TestOperations:
    def named(self, *traffic: tuple[str, int]) -> Tally:
        rows = [Row(Role.BASELINE, BEGIN, "a", name, stored, stored, 0, (0,)) for name, stored in traffic]
        return Tally(replace(counts(minutes=2), rows=Rows.of(rows, 1), history=Rows.empty(1)), (FAILURES,))

    def test_the_ten_largest_are_told_apart_and_the_critical_ones_and_never_the_rest(self):
        tally = self.named((REST, 5000), *((f"GET /{number}", 100 - number) for number in range(12)))
        largest = tuple(f"GET /{number}" for number in range(10))
        assert tally.operations(()) == largest
        assert tally.operations(("GET /11", "GET /3")) == ("GET /3", "GET /11", *largest[:3], *largest[4:], "GET /10")

    def test_one_alone_is_the_total_unless_there_is_a_rest(self):
        assert self.named(("GET /", 10)).operations(()) == ()
        assert self.named(("GET /", 10), (REST, 5)).operations(()) == ("GET /",)

    def test_the_history_tells_too(self):
        past = Rows.of([Row(Role.BASELINE, BEGIN - 60, "a", "GET /old", 50, 50, 0, (0,))], 1)
        tally = self.named(("GET /", 10))
        assert Tally(replace(tally.counts, history=past), (FAILURES,)).operations(()) == ("GET /old", "GET /")


class TestWhoServed:
    def test_instances_of_an_earlier_step_do_not_check_this_one(self):
        """Three in the first step, one in the second: nothing can be left out of the proof."""
        many, one = counts(minutes=10, instances=3), counts(minutes=60)
        at = BEGIN + 600
        spans = (Segment(start=BEGIN, end=at, share=10, step=0), Segment(start=at, end=None, share=10, step=1))
        rows = many.rows.between(BEGIN, at) + one.rows.between(at, one.now)
        look = Look(replace(one, rows=rows, segments=spans), (FAILURES,), SETTINGS)
        assert look.safe()[0].reaches
        assert look.safe()[0].without_worst is None
        assert len(look.tally.serving(look.all_judged, Role.BASELINE)) == 3

    def test_an_instance_without_a_request_served_nothing(self):
        idle = [Row(Role.CANARY, BEGIN, f"idle-{number}", "GET /", 0, 0, 0, (0,)) for number in range(3)]
        counted = counts(minutes=5)
        look = Look(replace(counted, rows=counted.rows + Rows.of(idle, 1)), (FAILURES,), SETTINGS)
        assert look.tally.serving(look.all_judged, Role.CANARY) == ("canary-0",)


def test_a_span_that_ends_later_than_now_has_but_what_has_begun():
    counted = counts(minutes=10)
    planned = (Segment(start=BEGIN, end=BEGIN + 3600, share=10, step=0),)
    assert judge(replace(counted, segments=planned), (FAILURES,), SETTINGS).looks == 10


@pytest.mark.parametrize("minute", [-1, 20, 45])
def test_rows_between_the_spans_count_nowhere(minute):
    """Before the first, in a transition, after the last: shown, not judged."""
    counted = counts(minutes=40)
    spans = (
        Segment(start=BEGIN, end=BEGIN + 1200, share=10, step=0),
        Segment(start=BEGIN + 1260, end=None, share=10, step=0),
    )
    clean = replace(counted, segments=spans, rows=Rows.of([
        row for row in counted.rows.list() if row.interval != BEGIN + minute * 60
    ], 1))  # fmt: skip
    wild = Rows.of([Row(role, BEGIN + minute * 60, "x", "GET /", 9000, 9000, 0, (9000,)) for role in Role], 1)
    verdicts = [judge(one, (FAILURES,), SETTINGS) for one in (clean, replace(clean, rows=clean.rows + wild))]
    for one, other in zip(verdicts[0].indicators, verdicts[1].indicators, strict=True):
        assert np.array_equal((one.harm, one.safe, one.canary.bad), (other.harm, other.safe, other.canary.bad))
