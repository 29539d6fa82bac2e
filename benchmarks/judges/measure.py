"""Every judge on every case: how often it errs, how long it takes, how many bad responses users received."""

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.stats import binom

from benchmarks.judges import kayenta, ours, peers
from benchmarks.judges.worlds import BASE, CASES, LATE, RATES, Case, Floats, Minutes, Traffic, World

SHARES = (0.1, 0.5)
ANALYSIS = 120  # minutes: the default policy's deadline of a step, and everybody's clock
FIRST_STEP = 60  # of them at the first share, on the ladder, for those who go by the clock
PLANS = ("10 %", "10/50/100")
OURS = "Flex Canary"
SEED = 20_261
# Whether a peer keeps alpha is asked of more rollouts than its speed: 1.4 % in 4,000 is then more than 1 %.
PROMISE_ROLLOUTS, PROMISE_SEED = 4_000, 11
# A promise is broken when so many errors would be seen in less than one run of a hundred.
DOUBT = 0.99
TUNING_SEED = 7
THRESHOLDS = {False: (1.65, 2.0, 3.0, 4.0, 6.0, 10.0, 20.0), True: (1.05, 1.2, 1.35, 1.5, 1.75, 2.0)}
FAILURE_LIMITS = (0, 1, 2, 3, 5, 8, 12, 20, 40, 60, 70, 80, 90)


class Tuned(NamedTuple):
    """A threshold judge set by somebody who knows the base rate, the traffic and the fault to come."""

    threshold: float
    failure_limit: int


class Setting(NamedTuple):
    """What the judges of one cell need beside the traffic."""

    case: Case
    tuned: Tuned
    same: Tuned  # the policy's own boundary, with a failure limit that keeps alpha there


Judge = Callable[[Traffic, Setting], Minutes]
PEERS: dict[str, Judge] = {
    "Argo Rollouts": lambda t, s: peers.argo(t, s.case.usual_threshold),
    "Argo Rollouts, tuned": lambda t, s: peers.argo(t, *s.tuned),
    "Flagger": lambda t, s: peers.flagger(t, s.case.usual_threshold),
    "Flagger, tuned": lambda t, s: peers.flagger(t, s.tuned.threshold, s.tuned.failure_limit + 1),
    "Kayenta, once": lambda t, _: kayenta.once(t),
    "Kayenta, each minute": lambda t, _: kayenta.every_interval(t),
    "z-test, each minute": lambda t, _: peers.z_test(t),
    "GrowthBook": lambda t, _: peers.growthbook(t),
}
# Asked the policy's own question: its tolerance, alpha 1 %.
SAME: dict[str, Judge] = {
    "threshold, same question": lambda t, s: peers.argo(t, *s.same),
    "Kayenta, same question": lambda t, s: kayenta.shifted(t, *_value_tolerance(s.case)),
    "z-test, same question": lambda t, s: peers.z_test(t, ours.ALPHA, s.case.tolerance),
    "GrowthBook, same question": lambda t, s: peers.growthbook(t, ours.ALPHA, s.case.tolerance),
}


def measured(rollouts: int, rates: tuple[int, ...], say: Callable[[str], None]) -> dict[str, Any]:
    """All cells, and where a peer that keeps its promise was sooner."""
    began = time.process_time()
    cells: list[dict[str, Any]] = []
    harm: dict[tuple[str, str, int, str], Floats] = {}
    tunings, promises = [], []
    for rpm in rates:
        for plan in PLANS:
            tuned = {latency: _tuned(plan, rpm, latency=latency) for latency in (False, True)}
            tunings += [{"plan": plan, "rpm": rpm, "latency": key, "tuned": list(a), "same": list(b)}
                        for key, (a, b) in tuned.items()]  # fmt: skip
            for number, case in enumerate(CASES):
                low, high = World(case, rpm, rollouts, 2 * ANALYSIS, (SEED, number, rpm)).at(*SHARES)
                setting = Setting(case, *tuned[case.latency])
                for judge, ended, bad in _judged(plan, setting, low, high):
                    cells.append({"plan": plan, "case": case.name, "rpm": rpm, "judge": judge,
                                  **_summary(case, ended, bad)})  # fmt: skip
                    harm[plan, case.name, rpm, judge] = _minutes_to(case, ended.rolled_back)
            promises += _promises(plan, rpm, tuned, PROMISE_ROLLOUTS if rollouts >= FULL_ROLLOUTS else rollouts)
            say(f"{rpm} requests a minute, {plan}: done after {time.process_time() - began:.0f} s")
    return {
        "rollouts": rollouts,
        "seed": SEED,
        "cells": cells,
        "tuned": tunings,
        "promises": promises,
        "exceptions": list(_exceptions(cells, harm, promises)),
    }


def _judged(plan: str, setting: Setting, low: Traffic, high: Traffic) -> Iterator[tuple[str, ours.Ended, Minutes]]:
    """Each judge's ending, and the canary's bad responses of the minutes that it let happen."""
    case, first = setting.case, low.cut(slice(ANALYSIS))
    if plan == PLANS[0]:
        yield OURS, ours.one_share(case, first), first.canary_bad
        clocked = first
    else:
        ended, own = ours.ladder(case, low, high)
        yield OURS, ended, own.canary_bad
        clocked = _by_the_clock(first, high.cut(slice(ANALYSIS)))
    for name, judge in (PEERS | SAME).items():
        harm = judge(clocked, setting)
        yield name, ours.Ended(harm, np.where(harm == 0, ANALYSIS, 0)), clocked.canary_bad


def _by_the_clock(low: Traffic, high: Traffic) -> Traffic:
    return low.pick(np.broadcast_to(np.arange(ANALYSIS) < FIRST_STEP, low.canary.shape), high)


def _clocked(plan: str, world: World) -> Traffic:
    """What a judge that goes by the clock sees in a world of ANALYSIS minutes."""
    low, high = world.at(*SHARES)
    return low if plan == PLANS[0] else _by_the_clock(low, high)


def _first(traffic: Traffic, rollouts: int) -> Traffic:
    return Traffic(*(part[:rollouts] for part in traffic))


def _value_tolerance(case: Case) -> tuple[float, float]:
    """The boundary for dashboards' values, which are in units of the base rate, or of the usual p95."""
    return (0.0, case.usual_threshold) if case.latency else (case.tolerance[0] / BASE, case.tolerance[1])


def _tuned(plan: str, rpm: int, *, latency: bool) -> tuple[Tuned, Tuned]:
    """The fastest threshold and failure limit that roll back at most 1 % of equal canaries; and at the boundary."""

    equal, margin, fault = (
        _clocked(plan, World(case, rpm, 400, ANALYSIS, (TUNING_SEED, rpm))) for case in TUNED_ON[latency]
    )
    same_threshold = TUNED_ON[latency][1].same_threshold
    most = ours.ALPHA
    best: tuple[float, Tuned] = (np.inf, Tuned(THRESHOLDS[latency][-1], FAILURE_LIMITS[-1]))
    for threshold in THRESHOLDS[latency]:
        for limit in FAILURE_LIMITS:
            if (peers.argo(equal, threshold, limit) > 0).mean() <= most:
                found = peers.argo(fault, threshold, limit)
                best = min(best, (float(np.where(found > 0, found, ANALYSIS).mean()), Tuned(threshold, limit)))
    kept = [one for one in range(ANALYSIS) if (peers.argo(margin, same_threshold, one) > 0).mean() <= most]
    return best[1], Tuned(same_threshold, kept[0] if kept else ANALYSIS)


def _on(name: str) -> Case:
    return next(one for one in CASES if one.name == name)


# Per kind of indicator: equal, at the boundary, and the fault that the oracle tunes for.
TUNED_ON = {
    False: (_on("no difference"), _on("at the margin"), _on("x5")),
    True: (Case("p95 equal", tolerated=True, latency=True), _on("p95 at the margin"), _on("p95 +100 %")),
}


def _minutes_to(case: Case, rolled_back: Minutes) -> Floats:
    """Minutes from the fault's beginning to the rollback; infinite without one, or with one before the fault."""
    begin = LATE if case.late else 0
    return np.where(rolled_back > begin, rolled_back - begin, np.inf)


def _summary(case: Case, ended: ours.Ended, bad: Minutes) -> dict[str, Any]:
    """One cell. Fractions are of all rollouts; a median is None when more than half never came to it."""
    waited = _minutes_to(case, ended.rolled_back)
    early = (ended.rolled_back > 0) & (case.tolerated | np.isinf(waited))
    promoted = np.where(ended.promoted > 0, ended.promoted, np.inf)
    missed = (ended.rolled_back == 0) & ((ended.promoted > 0) | case.late)
    last = np.where(ended.rolled_back > 0, ended.rolled_back, np.where(ended.promoted > 0, ended.promoted, ANALYSIS))
    received = np.take_along_axis(np.cumsum(bad, axis=1), np.minimum(last, bad.shape[1])[:, None] - 1, axis=1)
    return {
        "false_rollbacks": None if not (case.tolerated or case.late) else round(float(early.mean()), 4),
        "missed": None if case.tolerated else round(float(missed.mean()), 4),
        "rollback": None if case.tolerated else _quantiles(waited),
        "promotion": _quantiles(promoted) if case.tolerated else None,
        "bad_responses": None if case.tolerated else round(float(received.mean()), 1),
    }


def _quantiles(waited: Floats) -> list[float | None]:
    """[median, ninetieth percentile], as minutes that were reached; None = not reached by so many."""
    ordered = np.sort(waited)
    found = [float(ordered[int(np.ceil(part * len(ordered))) - 1]) for part in (0.5, 0.9)]
    return [None if np.isinf(one) else one for one in found]


def _promises(plan: str, rpm: int, tuned: dict[bool, tuple[Tuned, Tuned]], rollouts: int) -> Iterator[dict[str, Any]]:
    """False rollbacks of the judges that were asked the policy's question, in many rollouts of each tolerated case."""
    for number, case in enumerate(CASES):
        if not case.tolerated:
            continue
        traffic = _clocked(plan, World(case, rpm, rollouts, ANALYSIS, (PROMISE_SEED, number, rpm)))
        setting = Setting(case, *tuned[case.latency])
        for name, judge in SAME.items():
            # Kayenta's judge is a hundred times slower: its first rollouts must do.
            some = traffic if "Kayenta" not in name else _first(traffic, FULL_ROLLOUTS)
            false = int((judge(some, setting) > 0).sum())
            yield {"plan": plan, "rpm": rpm, "case": case.name, "judge": name,
                   "rollouts": len(some.canary), "false": false}  # fmt: skip


def allowed(rollouts: int) -> float:
    """The largest fraction of false rollbacks that a judge which keeps alpha shows."""
    return float(binom.ppf(DOUBT, rollouts, ours.ALPHA)) / rollouts


def keeps(promises: list[dict[str, Any]], plan: str, rpm: int, judge: str, case: Case) -> bool:
    """Whether a judge kept alpha in every tolerated case of the fault's own kind of world."""
    alike = [one.name for one in CASES if one.tolerated and one.latency == case.latency
             and one.dispersion == case.dispersion]  # fmt: skip
    return all(
        one["false"] <= allowed(one["rollouts"]) * one["rollouts"]
        for one in promises
        if (one["plan"], one["rpm"], one["judge"]) == (plan, rpm, judge) and one["case"] in alike
    )


def _exceptions(
    cells: list[dict[str, Any]], harm: dict[tuple[str, str, int, str], Floats], promises: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Where a peer asked the same question keeps alpha and is sooner on the same rollouts, by two standard errors."""
    bad = {(one["plan"], one["case"], one["rpm"], one["judge"]): one["bad_responses"] for one in cells}
    for (plan, name, rpm, judge), theirs in harm.items():
        case = _on(name)
        if judge not in SAME or case.tolerated or not keeps(promises, plan, rpm, judge, case):
            continue
        mine = np.minimum(harm[plan, name, rpm, OURS], ANALYSIS)
        gained = mine - np.minimum(theirs, ANALYSIS)
        if gained.mean() > 2 * gained.std() / np.sqrt(len(gained)) and gained.mean() >= 0.05:
            yield {
                "plan": plan,
                "case": name,
                "rpm": rpm,
                "judge": judge,
                "minutes": [round(float(np.minimum(theirs, ANALYSIS).mean()), 1), round(float(mine.mean()), 1)],
                "bad_responses": [bad[plan, name, rpm, judge], bad[plan, name, rpm, OURS]],
            }


QUICK_ROLLOUTS, QUICK_RATES = 60, (200, 2_000)
FULL_ROLLOUTS, FULL_RATES = 600, RATES
