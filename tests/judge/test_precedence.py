"""Where two verdicts are due at once, the one that asks for more care is given."""

import msgspec
import numpy as np

from analyzers.judge import Counts, Role, Rows, Segment, Settings, VerdictKind, judge
from analyzers.judge.look import Look
from tests.judge.worlds import BEGIN, FAILURES, REJECTED, counts, only, switched

replace = msgspec.structs.replace


SETTINGS = Settings()


def kind(counted: Counts, indicators=(FAILURES,), settings=SETTINGS) -> VerdictKind:
    return judge(counted, indicators, settings).kind


def sick(counted: Counts, instance: str, begin: int, rate: float) -> Counts:
    """The same, but one instance fails at `rate` from minute `begin` on."""
    rng = np.random.default_rng(1)
    rows = [
        replace(row, bad=(int(rng.binomial(row.rows, rate)), *row.bad[1:]))
        if row.instance == instance and row.interval >= BEGIN + begin * 60
        else row
        for row in counted.rows.list()
    ]
    return replace(counted, rows=Rows.of(rows, counted.rows.indicators))


def jump(number: int, before: float, after: float, at: int, until: int | None = None) -> np.ndarray:
    clock = np.arange(number)
    return np.where((clock >= at) & (clock < (until or number)), after, before)


def without_canary(counted: Counts, begin: int) -> Counts:
    """No canary row from minute `begin` on."""
    return only(counted, lambda row: row.role is Role.BASELINE or row.interval < BEGIN + begin * 60)


def test_blindness_outranks_what_was_not_observed():
    lost = without_canary(counts(minutes=60, rpm=6000), 30)
    assert kind(lost) is VerdictKind.UNOBSERVED
    assert kind(replace(lost, unavailable="time-out")) is VerdictKind.BLIND


def test_what_was_not_observed_outranks_a_worse_baseline():
    """A canary that leaves no rows must not look like the better one."""
    worse = counts(minutes=60, rpm=6000, baseline=(jump(60, 0.005, 0.1, at=10),))
    assert kind(worse) is VerdictKind.BASELINE_WORSE
    assert kind(without_canary(worse, 40)) is VerdictKind.UNOBSERVED


def test_a_shared_outage_outranks_one_instance():
    rate = jump(34, 0.005, 0.1, at=30)
    outage = counts(canary=(rate,), baseline=(rate,), minutes=34, instances=4)
    assert kind(sick(outage, "canary-1", 30, 1.0)) is VerdictKind.SHARED
    assert kind(sick(counts(minutes=34, instances=4), "canary-1", 30, 1.0)) is VerdictKind.ONE_INSTANCE


def test_one_sick_instance_outranks_a_proof_of_what_was_before():
    """Proven in the settled intervals; what came since speaks against one instance."""
    counted = sick(counts(minutes=60, instances=4), "canary-1", 56, 0.6)
    verdict = judge(counted, (FAILURES,), Settings())
    assert verdict.indicators[0].safe >= verdict.indicators[0].safe_limit
    assert verdict.kind is VerdictKind.ONE_INSTANCE


def test_the_strongest_of_two_harms_is_named():
    weaker, stronger = (0.03, 0.3), (0.3, 0.06)
    for rates, name in ((weaker, "rejected"), (stronger, "failures")):
        verdict = judge(counts(canary=rates, baseline=(0.005, 0.01), minutes=15), (FAILURES, REJECTED), Settings())
        assert all(one.harm >= one.harm_limit for one in verdict.indicators)
        assert (verdict.kind, verdict.indicator) == (VerdictKind.HARMFUL, name)


class TestSilence:
    """Rows of twenty minutes, then none; 300 seconds are allowed."""

    def silent(self, seconds: int) -> Counts:
        until = BEGIN + 1200
        return replace(counts(minutes=20), now=until + seconds + 60, settled_until=until + seconds)

    def test_it_is_blindness_from_the_second_on_that_the_limit_names(self):
        assert kind(self.silent(299)) is not VerdictKind.BLIND
        assert kind(self.silent(300)) is VerdictKind.BLIND

    def test_rows_that_count_nothing_do_not_end_it(self):
        counted = self.silent(300)
        empty = [replace(row, interval=BEGIN + 1440, rows=0, requests=0, bad=(0,)) for row in counted.rows.list()[:1]]
        assert kind(replace(counted, rows=counted.rows + Rows.of(empty, 1))) is VerdictKind.BLIND

    def test_it_begins_with_the_first_share_whatever_was_seen_before(self):
        """The last rows are from ten minutes before the canary got anything: not blind two minutes after."""
        early = [replace(row, interval=BEGIN - 600) for row in counts(minutes=1).rows.list()]
        counted = replace(counts(minutes=3, settle=1), rows=Rows.of(early, 1))
        assert kind(counted) is VerdictKind.UNDECIDED


class TestMissingRows:
    def test_they_keep_alpha_not_beta(self):
        """Between the two limits it is no alarm yet, however many false promotions are allowed."""
        eager = Settings(beta=0.49)
        between = 0
        for last in range(3, 15):
            seen = without_canary(counts(minutes=last, rpm=30, settle=0), 0)
            look = Look(seen, (FAILURES,), eager)
            if look.safe_limit < look.missing(Role.CANARY) < look.limit:
                between += 1
                assert kind(seen, settings=eager) is not VerdictKind.UNOBSERVED
        assert between

    def test_a_share_that_is_nearly_halved_is_not_called_missing(self):
        rng = np.random.default_rng(3)
        rows = []
        for row in counts(minutes=60, rpm=6000).rows.list():
            stored = int(rng.binomial(row.rows, 0.49)) if row.role is Role.CANARY else row.rows
            rows.append(replace(row, rows=stored, requests=stored, bad=(min(stored, row.bad[0]),)))
        assert kind(replace(counts(minutes=60, rpm=6000), rows=Rows.of(rows, 1))) is not VerdictKind.UNOBSERVED

    def test_three_minutes_of_ten_are_no_alarm_yet(self):
        lost = without_canary(counts(minutes=40, rpm=6000, settle=0), 37)
        assert kind(lost) is not VerdictKind.UNOBSERVED

    def test_one_minute_does_not_decide_and_two_do(self):
        for minutes, found in ((1, VerdictKind.UNDECIDED), (2, VerdictKind.UNOBSERVED)):
            assert kind(without_canary(counts(minutes=minutes, rpm=60_000, settle=0), 0)) is found

    def test_a_canary_with_few_requests_is_looked_at_for_longer(self):
        """Six a minute, none for half an hour."""
        assert kind(without_canary(counts(minutes=60, rpm=60, settle=0), 30)) is VerdictKind.UNOBSERVED

    def test_each_share_is_held_to_its_own(self):
        """Raised from 10 to 50 %, and nothing of that has settled: what came before is not less than half of 50 %."""
        raised = BEGIN + 1800
        spans = (Segment(start=BEGIN, end=raised, share=10, step=0), Segment(start=raised, end=None, share=50, step=1))
        seen = replace(counts(minutes=32, rpm=6000), segments=spans, settled_until=raised)
        assert kind(seen) is not VerdictKind.UNOBSERVED

    def test_a_canary_that_is_sampled_more_is_not_missing(self):
        """One row stands for ten requests: few rows, but all of the requests."""
        rows = []
        for row in counts(minutes=60, rpm=20_000).rows.list():
            stored = row.rows // 10 if row.role is Role.CANARY else row.rows
            rows.append(replace(row, rows=stored, requests=10 * stored, bad=(stored // 200,)))
            rows[-1] = rows[-1] if row.role is Role.CANARY else replace(rows[-1], requests=row.rows)
        assert kind(replace(counts(minutes=60), rows=Rows.of(rows, 1))) is VerdictKind.SAFE


class TestAWorseBaseline:
    def test_it_is_found_after_hours_of_health_as_soon_as_ever(self):
        wide = (replace(FAILURES, points=0.01),)
        ill = counts(minutes=110, baseline=(jump(110, 0.005, 0.1, at=100),), settle=0)
        assert kind(ill, wide) is VerdictKind.BASELINE_WORSE

    def test_it_is_over_when_it_recovers(self):
        ill = counts(minutes=40, baseline=(jump(40, 0.005, 0.2, at=10, until=14),))
        assert judge(replace(ill, now=BEGIN + 840), (FAILURES,), Settings()).kind is VerdictKind.BASELINE_WORSE
        assert kind(ill) is not VerdictKind.BASELINE_WORSE

    def test_a_version_that_mends_an_old_fault_shows_the_baseline_as_the_worse_one(self):
        """The history is the baseline's: what it says of the canary's rate is soon outweighed."""
        assert kind(counts(minutes=30, canary=(0.005,), baseline=(0.05,))) is VerdictKind.BASELINE_WORSE

    def test_after_the_switch_there_is_no_baseline_that_could_be_worse_or_share_an_outage(self):
        for canary, found in ((0.005, VerdictKind.BASELINE_WORSE), (0.2, VerdictKind.SHARED)):
            bad = jump(36, 0.005, 0.2, at=26, until=30)
            counted = counts(minutes=36, rpm=6000, baseline=(bad,), canary=(jump(36, 0.005, canary, at=26, until=30),))
            assert kind(replace(counted, now=BEGIN + 1800)) is found
            assert kind(switched(counted, 30)) is VerdictKind.UNDECIDED


def test_the_watch_is_a_part_of_its_own_even_under_the_same_step():
    """One step at 10 % and then at 100 %: what is shown is of the watch alone."""
    counted = counts(minutes=40)
    spans = (
        Segment(start=BEGIN, end=BEGIN + 1800, share=10, step=1),
        Segment(start=BEGIN + 1800, end=None, share=100, step=1),
    )
    verdict = judge(replace(counted, segments=spans), (FAILURES,), Settings())
    assert (verdict.looks, verdict.step_looks, verdict.one_sample) == (40, 6, True)
