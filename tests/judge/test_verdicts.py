"""Every verdict is given where it is due, in the order of precedence, and never by omission."""

import msgspec
import numpy as np
import pytest

from analyzers.judge import Counts, Role, Row, Rows, Segment, Settings, VerdictKind, judge
from analyzers.judge.look import Look
from tests.judge.worlds import BEGIN, FAILURES, REJECTED, SLOW, counts, only, switched

SETTINGS = Settings()
replace = msgspec.structs.replace


def kind(counted: Counts, indicators=(FAILURES,), settings=SETTINGS) -> VerdictKind:
    return judge(counted, indicators, settings).kind


def minutes(number: int, before: float, after: float, at: int, until: int | None = None) -> np.ndarray:
    """A rate per minute that changes at minute `at` (and back at `until`)."""
    clock = np.arange(number)
    return np.where((clock >= at) & (clock < (until or number)), after, before)


class TestHarmful:
    def test_a_worse_canary_is_harmful_and_the_verdict_can_be_read_alone(self):
        verdict = judge(counts(canary=(0.03,), minutes=12), (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.indicator, verdict.share) == (VerdictKind.HARMFUL, "failures", 10)
        assert (verdict.looks, verdict.step_looks, verdict.alpha, verdict.beta) == (12, 8, 0.01, 0.01)
        found = verdict.evidence("failures")
        assert found.harm >= found.harm_limit == pytest.approx(np.log(1 / 0.01))
        assert found.safe < 0 < found.difference_low
        assert found.canary.rate == found.canary.bad / found.canary.requests
        assert found.boundary == pytest.approx(0.002 + 1.25 * found.baseline.rate)

    def test_harm_is_looked_for_in_intervals_that_are_not_settled(self):
        counted = counts(canary=(minutes(20, 0.005, 0.2, at=17),), minutes=20, settle=4)
        assert kind(counted) is VerdictKind.HARMFUL

    def test_any_indicator_is_enough_and_each_has_its_part_of_alpha(self):
        verdict = judge(counts(canary=(0.005, 0.2), baseline=(0.005, 0.01), minutes=10), (FAILURES, REJECTED), SETTINGS)
        assert (verdict.kind, verdict.indicator) == (VerdictKind.HARMFUL, "rejected")
        assert [one.harm_limit for one in verdict.indicators] == pytest.approx([np.log(2 / 0.01)] * 2)

    def test_it_outranks_a_telemetry_that_went_blind(self):
        counted = replace(counts(canary=(0.1,), minutes=10), unavailable="time-out")
        assert kind(counted) is VerdictKind.HARMFUL

    def test_evidence_runs_on_through_the_steps_while_promotion_begins_anew(self):
        counted = counts(canary=(0.0095,), minutes=60)
        halves = (
            Segment(start=BEGIN, end=BEGIN + 1800, share=10, step=0),
            Segment(start=BEGIN + 1800, end=None, share=10, step=1),
        )
        whole, halved = (judge(one, (FAILURES,), SETTINGS) for one in (counted, replace(counted, segments=halves)))
        assert whole.indicators[0].harm == pytest.approx(halved.indicators[0].harm)
        assert halved.step_looks == 26
        assert halved.indicators[0].canary.requests < whole.indicators[0].canary.requests

    def test_intervals_between_segments_are_not_judged(self):
        counted = counts(canary=(minutes(23, 0.005, 0.5, at=20),), minutes=23)
        gap = (
            Segment(start=BEGIN, end=BEGIN + 20 * 60, share=10, step=0),
            Segment(start=BEGIN + 23 * 60, end=None, share=10, step=0),
        )
        assert kind(counted) is VerdictKind.HARMFUL
        assert kind(replace(counted, segments=gap)) is not VerdictKind.HARMFUL

    def test_a_ceiling_is_absolute_however_bad_the_baseline_is(self):
        capped = replace(FAILURES, ceiling=0.2)
        outage = counts(canary=(0.4,), baseline=(0.4,), minutes=10)
        assert kind(outage) is not VerdictKind.HARMFUL
        assert kind(outage, (capped,)) is VerdictKind.HARMFUL

    @pytest.mark.parametrize("canary", [1.0, 0.9, 0.5])
    def test_where_everything_is_tolerated_nothing_is_harmful_or_proven_and_it_is_said(self, canary):
        """A baseline that logs only its failures, or nearly: whatever the canary does."""
        verdict = judge(counts(canary=(canary,), baseline=(0.95,), minutes=20), (FAILURES,), SETTINGS)
        indicator = verdict.indicators[0]
        assert verdict.kind not in (VerdictKind.HARMFUL, VerdictKind.SAFE)
        assert indicator.safe == pytest.approx(0, abs=1e-12)
        assert "neither harmful nor proven" in indicator.note
        assert "1.25 x" in indicator.note
        assert indicator.requests_needed is None


class TestOperations:
    TRAFFIC = (("GET /", 0.9), ("GET /list", 0.096), ("POST /pay", 0.004))

    def broken(self, share: float, seed: int, minutes: int = 60):
        """One operation of this share of the traffic fails wholly on the canary."""
        traffic = (("GET /", 0.9), ("GET /list", 0.1 - share), ("POST /pay", share))

        def canary(operation, _instance):
            return 1.0 if operation == "POST /pay" else 0.005

        return counts(seed, canary=(canary,), minutes=minutes, operations=traffic)

    def test_a_broken_operation_is_harmful_however_small_its_traffic(self):
        verdict = judge(self.broken(0.004, seed=1), (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.operation) == (VerdictKind.HARMFUL, "POST /pay")

    def test_a_broken_operation_with_0_4_percent_of_2000_a_minute_is_found_within_an_hour(self):
        """At least 95 % of runs: 20 of 20 here, or 19."""
        found = sum(kind(self.broken(0.004, seed)) is VerdictKind.HARMFUL for seed in range(20))
        assert found >= 19

    @pytest.mark.parametrize(("share", "within"), [(0.02, 10), (0.002, 100)])
    def test_the_larger_the_sooner(self, share, within):
        found = [kind(self.broken(share, seed, within)) is VerdictKind.HARMFUL for seed in range(6)]
        assert sum(found) >= 5

    def test_healthy_operations_share_one_alpha(self):
        """Each at its margin: crossing any of eleven processes is not eleven errors."""
        operations = tuple((f"GET /{number}", 1 / (number + 1)) for number in range(10))
        settings = Settings(alpha=0.05, horizon=30)
        at_margin = [
            counts(seed, canary=(0.0145,), baseline=(0.01,), minutes=30, history=30, operations=operations)
            for seed in range(40)
        ]
        assert sum(kind(one, settings=settings) is VerdictKind.HARMFUL for one in at_margin) <= 6

    def test_the_parts_of_one_evidence_never_weigh_more_than_one(self):
        """Ten operations broken at once, and the ceiling: a weighted mean of e-processes is one, a sum is not."""
        operations = tuple((f"GET /{number}", 0.1) for number in range(10))
        counted = counts(canary=(0.5,), minutes=6, operations=operations)
        capped = (replace(FAILURES, ceiling=0.2),)
        terms = Look(counted, capped, SETTINGS).harm()[0].terms
        assert len(terms) == 12
        assert sum(np.exp(one.log_weight) for one in terms) == pytest.approx(1.0)
        weighed = np.logaddexp.reduce([one.weighed for one in terms])
        assert judge(counted, capped, SETTINGS).indicators[0].harm == pytest.approx(weighed)

    def test_a_critical_operation_is_judged_whatever_its_traffic(self):
        traffic = (*((f"GET /{number}", 0.09) for number in range(11)), ("POST /pay", 0.003))

        def canary(operation, _instance):
            return 1.0 if operation == "POST /pay" else 0.005

        counted = counts(3, canary=(canary,), minutes=60, operations=traffic)
        assert kind(counted) is not VerdictKind.HARMFUL
        found = judge(counted, (FAILURES,), Settings(critical_operations=("POST /pay",)))
        assert (found.kind, found.operation) == (VerdictKind.HARMFUL, "POST /pay")


class TestInstances:
    def sick(self, role: Role, *, last: int = 20, until: int = 20, seed: int = 4) -> Counts:
        """Four instances a slot; the second of one role fails 60 % from minute 10 to `until`."""
        well = counts(seed, minutes=last, instances=4)
        rng = np.random.default_rng(seed)

        def ill(row: Row) -> Row:
            sick = row.role is role and row.instance.endswith("-1")
            if not sick or not BEGIN + 600 <= row.interval < BEGIN + until * 60:
                return row
            return replace(row, bad=(int(rng.binomial(row.rows, 0.6)),))

        return replace(well, rows=Rows.of([ill(row) for row in well.rows.list()], 1))

    def test_one_sick_canary_instance_is_not_a_bad_version(self):
        verdict = judge(self.sick(Role.CANARY), (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.instance) == (VerdictKind.ONE_INSTANCE, "canary-1")
        assert verdict.instances_checked
        found = verdict.indicators[0]
        assert found.harm >= found.harm_limit > found.harm_without_worst_instance

    def test_it_ends_soon_after_the_instance_recovers(self):
        assert kind(self.sick(Role.CANARY, last=24)) is not VerdictKind.HARMFUL
        assert kind(self.sick(Role.CANARY, last=24, until=18)) is not VerdictKind.ONE_INSTANCE

    def test_a_fault_of_all_instances_is_the_versions(self):
        verdict = judge(counts(canary=(0.05,), minutes=15, instances=4), (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.HARMFUL
        assert verdict.indicators[0].harm_without_worst_instance >= verdict.indicators[0].harm_limit

    def test_with_two_instances_it_is_unchecked_and_said(self):
        verdict = judge(counts(canary=(0.05,), minutes=15, instances=2), (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.HARMFUL
        assert not verdict.instances_checked
        assert verdict.indicators[0].harm_without_worst_instance is None

    def test_one_sick_baseline_instance_is_not_a_bad_baseline(self):
        assert kind(self.sick(Role.BASELINE)) is not VerdictKind.BASELINE_WORSE


class TestBlind:
    def test_a_query_that_failed_says_why(self):
        verdict = judge(replace(counts(minutes=40), unavailable="429 from workspace"), (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.BLIND
        assert "429 from workspace" in verdict.why

    def test_no_data_never_promotes(self):
        silent = only(counts(minutes=90), lambda _row: False)
        verdict = judge(silent, (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.BLIND
        assert verdict.observed_share is None
        assert verdict.indicators[0].canary.rate is None

    def test_rows_that_stopped_are_stale(self):
        """Proven safe at minute 40, silent since: nothing is concluded from silence."""
        until = BEGIN + 60 * 60
        assert kind(counts(minutes=90)) is VerdictKind.SAFE
        assert kind(only(counts(minutes=90), lambda row: row.interval < until)) is VerdictKind.BLIND

    def test_just_after_a_raise_no_rows_are_not_blindness_yet(self):
        early = only(counts(minutes=5), lambda _row: False)
        assert kind(early) is VerdictKind.UNDECIDED

    def test_nothing_began_yet(self):
        counted = replace(counts(minutes=5), segments=())
        verdict = judge(counted, (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.share, verdict.looks) == (VerdictKind.UNDECIDED, None, 0)

    def test_a_baseline_whose_rows_vanish_is_blindness(self):
        vanished = only(counts(minutes=60), lambda row: row.role is Role.CANARY or row.interval < BEGIN + 1800)
        verdict = judge(vanished, (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.BLIND
        assert "baseline" in verdict.why


class TestUnobserved:
    def vanishing(self, part: float, seed: int = 0) -> Counts:
        """From minute 30 on, only this part of the canary's rows arrives."""
        rng = np.random.default_rng(seed)
        counted = counts(seed, minutes=60, rpm=6000)
        thinned = []
        for row in counted.rows.list():
            kept = row
            if row.role is Role.CANARY and row.interval >= BEGIN + 1800:
                stored = int(rng.binomial(row.rows, part))
                bad = int(rng.hypergeometric(row.bad[0], row.rows - row.bad[0], stored)) if stored else 0
                kept = replace(row, rows=stored, requests=stored, bad=(bad,))
            thinned.append(kept)
        return replace(counted, rows=Rows.of(thinned, 1))

    @pytest.mark.parametrize("part", [0.0, 0.05, 0.3])
    def test_a_canary_whose_rows_vanish_is_unobserved_and_never_safe(self, part):
        verdict = judge(self.vanishing(part), (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.UNOBSERVED
        assert "10 %" in verdict.why

    def test_from_the_first_minute_on(self):
        """Rows of the baseline only: requests may be failing without leaving a row."""
        assert kind(only(counts(minutes=15), lambda row: row.role is Role.BASELINE)) is VerdictKind.UNOBSERVED

    def test_a_little_less_than_its_share_is_no_alarm(self):
        assert kind(self.vanishing(0.75)) is VerdictKind.SAFE

    def test_a_step_of_which_most_left_no_rows_is_not_safe_even_when_they_are_back(self):
        """Half an hour without the canary's rows, then proof in what came: what left no row may have failed."""
        late = only(counts(minutes=60, rpm=6000), lambda row: row.role is Role.BASELINE or row.interval >= BEGIN + 2200)
        verdict = judge(late, (FAILURES,), SETTINGS)
        assert verdict.indicators[0].safe >= verdict.indicators[0].safe_limit
        assert verdict.observed_share < 0.05
        assert verdict.kind is VerdictKind.UNDECIDED

    def test_it_ends_when_the_rows_come_back(self):
        gap = only(
            counts(minutes=60, rpm=6000),
            lambda row: row.role is Role.BASELINE or not BEGIN + 1200 <= row.interval < BEGIN + 2100,
        )
        assert kind(replace(gap, settled_until=BEGIN + 2100)) is VerdictKind.UNOBSERVED
        assert kind(gap) is VerdictKind.SAFE


class TestTheBaseline:
    def test_a_worse_baseline_is_the_mirror_of_harm(self):
        verdict = judge(counts(baseline=(minutes(40, 0.005, 0.1, at=10),), minutes=40), (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.indicator) == (VerdictKind.BASELINE_WORSE, "failures")

    def test_an_outage_of_both_is_shared_and_ends_with_it(self):
        rate = minutes(60, 0.005, 0.3, at=30, until=36)
        assert kind(counts(canary=(rate[:34],), baseline=(rate[:34],), minutes=34)) is VerdictKind.SHARED
        assert kind(counts(canary=(rate,), baseline=(rate,), minutes=60)) is VerdictKind.SAFE

    def test_without_a_history_nothing_is_called_shared(self):
        rate = minutes(34, 0.005, 0.3, at=30)
        counted = counts(canary=(rate,), baseline=(rate,), minutes=34, history=0)
        assert kind(counted) in (VerdictKind.SAFE, VerdictKind.UNDECIDED)

    def test_the_same_hours_of_past_days_excuse_a_usual_rush(self):
        rate = minutes(34, 0.005, 0.05, at=24)
        counted = counts(canary=(rate,), baseline=(rate,), minutes=34)
        usual = replace(counted, same_hours=counts(9, baseline=(0.05,), history=60).history)
        assert kind(counted) is VerdictKind.SHARED
        assert kind(usual) is not VerdictKind.SHARED


class TestSafe:
    def test_a_canary_without_a_difference_is_proven(self):
        verdict = judge(counts(minutes=60, instances=3), (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.SAFE
        found = verdict.indicators[0]
        assert found.safe >= found.safe_limit == pytest.approx(np.log(1 / 0.01))
        assert (found.requests_needed, found.seconds_needed) == (0, 0)
        assert found.difference_high < 0
        assert verdict.instances_checked

    def test_only_settled_intervals_prove(self):
        counted = counts(minutes=60)
        assert kind(counted) is VerdictKind.SAFE
        assert kind(replace(counted, settled_until=BEGIN + 300)) is VerdictKind.UNDECIDED

    def test_every_indicator_must_be_proven(self):
        """The second is at its margin: not harmful, and never proven."""
        counted = counts(canary=(0.005, 0.025), baseline=(0.005, 0.01), minutes=60)
        assert kind(counted, (FAILURES, REJECTED)) is VerdictKind.UNDECIDED

    def test_an_indicator_that_is_not_judged_yet_makes_it_impossible(self):
        counted = counts(canary=(0.005, 0.01), baseline=(0.005, 0.01), minutes=60)
        verdict = judge(replace(counted, judged_from=(BEGIN, None)), (FAILURES, REJECTED), SETTINGS)
        assert verdict.kind is VerdictKind.UNDECIDED
        assert verdict.evidence("rejected").safe is None
        assert "no history for T" in verdict.evidence("rejected").note

    def test_an_indicator_is_judged_from_its_own_time_on(self):
        """The first half hour of the slow indicator does not count: T was not pinned yet."""
        early = minutes(60, 0.9, 0.05, at=30)
        counted = counts(canary=(early,), baseline=(0.05,), minutes=60)
        assert kind(counted, (SLOW,)) is VerdictKind.HARMFUL
        assert kind(replace(counted, judged_from=(BEGIN + 1800,)), (SLOW,)) is VerdictKind.SAFE

    def test_zero_observations_are_never_safe(self):
        for seed in range(3):
            empty = only(counts(seed, minutes=60), lambda row: row.role is Role.BASELINE)
            assert kind(empty) is not VerdictKind.SAFE
            assert kind(only(empty, lambda _row: False)) is not VerdictKind.SAFE

    def test_a_ceiling_must_be_proven_too(self):
        low = replace(FAILURES, ceiling=0.0051)
        assert kind(counts(minutes=60), (low,)) is VerdictKind.UNDECIDED
        assert kind(counts(minutes=60), (replace(FAILURES, ceiling=0.2),)) is VerdictKind.SAFE

    def test_cold_rows_do_not_count_where_warm_ones_are_judged(self):
        """All canary rows are cold: latency knows nothing, and says so."""
        counted = counts(minutes=60)
        cold = [
            replace(row, cold=row.rows, bad=(0,)) if row.role is Role.CANARY else row for row in counted.rows.list()
        ]
        verdict = judge(replace(counted, rows=Rows.of(cold, 1)), (SLOW,), SETTINGS)
        assert verdict.kind is VerdictKind.UNDECIDED
        found = verdict.indicators[0]
        assert (found.canary.requests, found.canary.rate, found.note) == (0, None, "no warm requests yet")
        assert found.canary.cold == found.canary.displayed_requests > 0


class TestUndecided:
    def test_it_says_how_much_is_still_needed(self):
        verdict = judge(counts(1, minutes=20), (FAILURES,), SETTINGS)
        found = verdict.indicators[0]
        assert verdict.kind is VerdictKind.UNDECIDED
        assert found.requests_needed > 0
        assert found.seconds_needed % 60 == 0
        assert found.requests_needed == pytest.approx(found.seconds_needed / 60 * 200, rel=0.1)

    def test_the_forecast_comes_true(self):
        """Thirty rollouts look again when they said it would be enough: half are proven by then, or nearly."""
        ratios = []
        for seed in range(30):
            early = judge(counts(seed, minutes=16), (FAILURES,), SETTINGS).indicators[0]
            if not early.seconds_needed:
                continue
            later = counts(seed, minutes=16 + early.seconds_needed // 60)
            ratios.append(judge(later, (FAILURES,), SETTINGS).indicators[0].safe / early.safe_limit)
        assert 0.6 < np.median(ratios) < 2

    def test_no_worse_at_all_is_legal_and_says_what_it_costs(self):
        strict = replace(FAILURES, points=0.0, ratio=1.0)
        verdict = judge(counts(minutes=60), (strict,), SETTINGS)
        assert verdict.kind is VerdictKind.UNDECIDED
        assert "cannot be proven while the canary is merely equal" in verdict.indicators[0].note
        assert kind(counts(canary=(0.05,), minutes=20), (strict,)) is VerdictKind.HARMFUL


class TestTheWatch:
    def test_a_good_version_is_watched_without_a_verdict_against_it(self):
        verdict = judge(switched(counts(minutes=60), 30), (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.one_sample, verdict.share) == (VerdictKind.UNDECIDED, True, 100)
        assert verdict.indicators[0].safe is None
        assert "no concurrent baseline" in verdict.indicators[0].note

    def test_a_fault_after_the_switch_is_suspicion_not_severe(self):
        counted = switched(counts(canary=(minutes(60, 0.005, 0.05, at=35),), minutes=60), 30)
        verdict = judge(counted, (FAILURES,), SETTINGS)
        assert (verdict.kind, verdict.one_sample, verdict.severe) == (VerdictKind.HARMFUL, True, False)
        assert verdict.indicators[0].harm_limit == pytest.approx(np.log(2 / 0.01))

    def test_above_the_ceiling_it_is_severe(self):
        counted = switched(counts(canary=(minutes(60, 0.005, 0.6, at=35),), minutes=60), 30)
        verdict = judge(counted, (replace(FAILURES, ceiling=0.2),), SETTINGS)
        assert (verdict.kind, verdict.severe) == (VerdictKind.HARMFUL, True)

    def test_back_at_the_last_share_the_concurrent_test_decides_alone(self):
        """What the watch suspected is not carried over: side by side the canary is no worse."""
        counted = counts(minutes=90, rpm=6000, canary=(minutes(90, 0.005, 0.04, at=35, until=60),))
        at = BEGIN + 1800
        segments = (
            Segment(start=BEGIN, end=at, share=10, step=0),
            Segment(start=at + 60, end=at + 1800, share=100, step=1),
            Segment(start=at + 1800, end=None, share=10, step=2),
        )
        counted = replace(counted, segments=segments)
        assert kind(replace(counted, now=at + 1800)) is VerdictKind.HARMFUL
        verdict = judge(counted, (FAILURES,), SETTINGS)
        assert verdict.kind is VerdictKind.SAFE
        assert not verdict.one_sample

    def test_all_traffic_from_the_first_minute_knows_only_the_ceiling(self):
        """steps: [100]: no baseline was ever concurrent; four instances, all far above the limit."""
        whole = counts(canary=(0.6,), minutes=12, instances=4)
        alone = only(
            replace(whole, segments=(Segment(start=BEGIN, end=None, share=100, step=0),)),
            lambda row: row.role is Role.CANARY,
        )
        verdict = judge(replace(alone, history=Rows.empty(1)), (replace(FAILURES, ceiling=0.2),), SETTINGS)
        assert (verdict.kind, verdict.severe) == (VerdictKind.HARMFUL, True)
        assert kind(replace(alone, history=Rows.empty(1))) is VerdictKind.UNDECIDED

    def test_a_canary_that_falls_silent_is_blindness(self):
        counted = switched(counts(minutes=60), 30)
        assert kind(only(counted, lambda row: row.interval < BEGIN + 2400)) is VerdictKind.BLIND


def test_seconds_are_intervals_too():
    """The same rollout in one-second intervals gives the same evidence."""
    counted = counts(minutes=40)

    def squeezed(rows: Rows) -> Rows:
        return Rows.of([replace(row, interval=row.interval // 60) for row in rows.list()], 1)

    seconds = replace(
        counted,
        interval_seconds=1,
        now=counted.now // 60,
        settled_until=counted.settled_until // 60,
        rows=squeezed(counted.rows),
        history=squeezed(counted.history),
        segments=(Segment(start=BEGIN // 60, end=None, share=10, step=0),),
        judged_from=(counted.judged_from[0] // 60,),
    )
    by_minute, by_second = (judge(one, (FAILURES,), Settings(stale_seconds=5)) for one in (counted, seconds))
    assert by_minute.kind is by_second.kind
    assert by_minute.indicators[0].harm == by_second.indicators[0].harm
