"""The numbers behind a verdict are what they are called."""

import msgspec
import numpy as np
import pytest
from scipy.stats import binomtest

from analyzers.judge import Counts, Indicator, Role, Row, Rows, Segment, Settings, VerdictKind, judge
from analyzers.judge.look import Look
from tests.judge.worlds import BEGIN, FAILURES, REJECTED, counts

replace = msgspec.structs.replace
SETTINGS = Settings()


def judged(counted: Counts, indicators: tuple[Indicator, ...] = (FAILURES,), settings: Settings = SETTINGS):
    return judge(counted, indicators, settings)


def failing(counted: Counts, instance: str, rates: tuple[float, ...], begin: int = 0) -> Counts:
    """One instance fails at these rates, one per indicator, from minute `begin` on."""
    rng = np.random.default_rng(1)

    def ill(row: Row) -> Row:
        if row.instance != instance or row.interval < BEGIN + begin * 60:
            return row
        return replace(row, bad=tuple(int(rng.binomial(row.rows, rate)) for rate in rates))

    return replace(counted, rows=Rows.of([ill(row) for row in counted.rows.list()], counted.rows.indicators))


def test_each_promise_has_its_own_limit():
    verdict = judged(counts(minutes=5), settings=Settings(alpha=0.001, beta=0.05))
    found = verdict.indicators[0]
    assert (verdict.alpha, verdict.beta) == (0.001, 0.05)
    assert (found.harm_limit, found.safe_limit) == pytest.approx((np.log(1 / 0.001), np.log(1 / 0.05)))


def test_harm_beside_a_baseline_is_not_severe():
    """Severe means: back at once, without asking the concurrent test. Here it has answered."""
    assert not judged(counts(canary=(0.5,), minutes=6), (replace(FAILURES, ceiling=0.2),)).severe


@pytest.mark.parametrize("ratio", [1.0, 2.5])
def test_the_interval_for_display_is_newcombes_with_the_ratio(ratio):
    """Method 10 of 1998, from scipy's Wilson intervals of both rates."""
    found = judged(counts(2, minutes=9, canary=(0.02,)), (replace(FAILURES, ratio=ratio),)).indicators[0]
    one, other = (
        binomtest(side.bad, side.requests).proportion_ci(confidence_level=0.95, method="wilson")
        for side in (found.canary, found.baseline)
    )
    apart = found.canary.rate - found.boundary
    down = np.hypot(found.canary.rate - one.low, ratio * (other.high - found.baseline.rate))
    up = np.hypot(one.high - found.canary.rate, ratio * (found.baseline.rate - other.low))
    assert (found.difference_low, found.difference_high) == pytest.approx((apart - down, apart + up), abs=1e-6)


def test_a_longer_horizon_costs_a_late_fault_its_part_of_the_prior():
    rate = np.where(np.arange(40) < 36, 0.005, 0.035)
    late = counts(canary=(rate,), minutes=40)
    day, hours = (judged(late, settings=Settings(horizon=horizon)).indicators[0].harm for horizon in (1440, 120))
    assert hours - day == pytest.approx(np.log(1439 / 119), abs=0.3)


class TestInstances:
    def mixed(self, canary: int, baseline: int) -> Counts:
        """Proven in an hour, with so many instances of each slot."""
        parts = [counts(minutes=60, instances=number) for number in (canary, baseline)]
        rows = [row for part, role in zip(parts, Role, strict=True) for row in part.rows.list() if row.role is role]
        return replace(parts[0], rows=Rows.of(rows, 1))

    @pytest.mark.parametrize(("canary", "baseline", "checked"), [(1, 3, True), (3, 1, False), (3, 2, False)])
    def test_a_proof_is_checked_by_the_baselines(self, canary, baseline, checked):
        verdict = judged(self.mixed(canary, baseline))
        assert (verdict.kind, verdict.instances_checked) == (VerdictKind.SAFE, checked)

    def test_three_are_enough_to_tell_one_sick_one(self):
        well = counts(4, minutes=20, instances=3)
        verdict = judged(failing(well, "canary-1", (0.6,), begin=10))
        assert (verdict.kind, verdict.instance) == (VerdictKind.ONE_INSTANCE, "canary-1")

    @pytest.mark.parametrize(("instances", "proven"), [(2, True), (3, False)])
    def test_of_three_one_sick_baseline_instance_proves_nothing(self, instances, proven):
        """A canary at 3 % against 0.5 % and an instance that fails half: of two, none can be left out."""
        ill = failing(counts(minutes=60, canary=(0.03,), instances=instances), "baseline-1", (0.5,))
        found = Look(ill, (FAILURES,), SETTINGS).safe()[0]
        assert found.reaches
        assert (found.holds, found.without_worst is None) == (proven, proven)

    def test_what_is_not_proven_without_one_names_it_and_promises_no_end(self):
        """The second indicator rests on a sick instance, the first on none: no number of requests proves it."""

        def sick(_operation, instance):
            return 0.5 if instance == "baseline-3" else 0.01

        counted = counts(minutes=90, canary=(0.005, 0.05), baseline=(0.005, sick), instances=4)
        verdict = judged(counted, (FAILURES, REJECTED))
        assert verdict.kind is VerdictKind.UNDECIDED
        assert "baseline-3" in verdict.why
        assert verdict.evidence("failures").requests_needed == 0
        assert verdict.evidence("rejected").requests_needed is None


class TestOperations:
    TRAFFIC = (("GET /", 0.6), ("GET /list", 0.3), ("POST /pay", 0.1))

    def test_half_of_the_evidence_is_the_totals_and_each_operation_has_its_part_of_the_rest(self):
        """However many of them look suspicious: to choose by errors would cost the promise."""

        def canary(operation, _instance):
            return 0.5 if operation == "POST /pay" else 0.005

        found = Look(counts(canary=(canary,), minutes=6, operations=self.TRAFFIC), (FAILURES,), SETTINGS).harm()[0]
        weights = {one.operation: float(np.exp(one.log_weight)) for one in found.terms}
        assert weights == pytest.approx({None: 0.5, "POST /pay": 0.5 / 3})

    def test_one_broken_on_all_instances_is_the_versions_fault_and_on_one_is_not(self):
        def everywhere(operation, _instance):
            return 1.0 if operation == "POST /pay" else 0.005

        def once(operation, instance):
            return 1.0 if operation == "POST /pay" and instance.endswith("-2") else 0.005

        traffic = (("GET /", 0.96), ("POST /pay", 0.04))
        wide = (replace(FAILURES, points=0.02),)
        found = [
            judged(counts(canary=(rate,), minutes=12, instances=4, operations=traffic), wide)
            for rate in (everywhere, once)
        ]
        assert [(one.kind, one.operation) for one in found] == [
            (VerdictKind.HARMFUL, "POST /pay"),
            (VerdictKind.ONE_INSTANCE, "POST /pay"),
        ]
        assert found[1].instance == "canary-2"


def test_a_ceiling_of_one_indicator_is_none_of_anothers():
    high = counts(minutes=60, canary=(0.005, 0.6), baseline=(0.005, 0.6))
    assert judged(high, (replace(FAILURES, ceiling=0.2), REJECTED)).kind is VerdictKind.SAFE


def test_what_the_baseline_did_in_earlier_steps_is_known_in_the_next():
    counted = counts(minutes=40)
    spans = (
        Segment(start=BEGIN, end=BEGIN + 1800, share=10, step=0),
        Segment(start=BEGIN + 1800, end=None, share=10, step=1),
    )
    look = Look(replace(counted, segments=spans), (FAILURES,), SETTINGS)
    before = [row for row in counted.rows.list() if row.role is Role.BASELINE and row.interval < BEGIN + 1800]
    before += counted.history.list()
    assert float(look.step_total.prior.squeeze()) == sum(row.rows for row in before)
    assert float(look.step_total.prior_bad.squeeze()) == sum(row.bad[0] for row in before)


class TestWhatIsNeeded:
    def test_it_is_counted_in_requests_as_they_come_however_little_they_tell(self):
        """Without a history a minute's requests tell as much as a third of them; as many come as come."""
        found = judged(counts(1, minutes=6, history=0, settle=0)).indicators[0]
        assert found.requests_needed == pytest.approx(found.seconds_needed / 60 * 200, rel=0.1)

    def test_what_would_take_months_cannot_be_said(self):
        narrow = (replace(FAILURES, points=1e-6, ratio=1.0),)
        found = judged(counts(minutes=20, rpm=20, share=50, settle=0), narrow).indicators[0]
        assert (found.requests_needed, found.seconds_needed) == (None, None)

    def test_cold_rows_are_no_reason_where_all_are_judged(self):
        """An indicator that is judged from later on: no requests, but not for want of warm ones."""
        rows = [replace(row, cold=row.rows) for row in counts(minutes=3).rows.list()]
        later = replace(counts(minutes=3), rows=Rows.of(rows, 1), judged_from=(BEGIN + 600,))
        found = judged(later).indicators[0]
        assert (found.canary.requests, found.note) == (0, None)
