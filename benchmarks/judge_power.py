"""How sharp the judge is: `python -m benchmarks.judge_power [--quick] [--json FILE]` measures and prints it.

Tolerance 0.2 points and ratio 1.25, 10 % canary share, alpha = beta = 1 %, one indicator, an hour of history
unless a row says otherwise. The information limit is log(1/alpha) / (n_c KL(p_c, q_c) + n_b KL(p_b, q_b)):
no test with this alpha is faster on average.
"""

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np

from analyzers.judge import (
    Counts,
    Indicator,
    IndicatorKind,
    Role,
    Row,
    Rows,
    Segment,
    Settings,
    VerdictKind,
    first_crossings,
    judge,
)
from analyzers.judge.projection import project

POINTS, RATIO, SHARE, ALPHA = 0.002, 1.25, 0.1, 0.01
FAILURES = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=POINTS, ratio=RATIO)
SEED = 4

# baseline rate, canary rate, requests a minute
FAULTS = [
    (0.001, 0.01, 2000), (0.01, 0.02, 2000), (0.02, 0.04, 2000), (0.01, 0.05, 200), (0.001, 0.02, 500),
    (0.001, 0.005, 20_000), (0.02, 0.1, 60), (0.01, 0.02, 20_000), (0.01, 0.05, 2000), (0.005, 0.02, 2000),
    (0.01, 0.0165, 20_000), (0.02, 0.03, 20_000), (0.1, 0.15, 2000),  # just beyond the boundary
]  # fmt: skip
SEVERE = [(0.001, 0.1, 2000), (0.005, 0.1, 500), (0.02, 0.4, 500), (0.005, 0.5, 60)]
EQUAL = [(0.001, 2000), (0.005, 2000), (0.02, 2000), (0.001, 20_000), (0.005, 20_000), (0.02, 20_000)]


def limit(baseline: float, canary: float, rpm: float) -> float:
    """The information limit, minutes."""

    def apart(p: float, q: float) -> float:
        return float(p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q)))

    requests = rpm * SHARE, rpm * (1 - SHARE)
    q_c, q_b = project(requests, (canary, baseline), POINTS, RATIO)
    return float(np.log(1 / ALPHA) / (requests[0] * apart(canary, q_c) + requests[1] * apart(baseline, q_b)))


def simulate(  # noqa: PLR0913 (every argument names one property of the simulated world)
    canary: Any, baseline: float, rpm: float, *, rollouts: int, minutes: int = 120, history: int = 60, k: int = 0,
    clusters: int = 0,
) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """First crossings; `canary` is a rate or one per minute; k > 0: beta-binomial minutes; or failures in clusters."""
    rng = np.random.default_rng(SEED)

    def bad(requests: np.ndarray, rate: Any) -> np.ndarray:
        rates = np.broadcast_to(rate, requests.shape)
        if clusters:
            return np.minimum(clusters * rng.poisson(requests * rates / clusters), requests)
        return rng.binomial(requests, rng.beta(k * rates, k * (1 - rates)) if k else rates)

    sent = rng.poisson(rpm, (rollouts, minutes))
    to_canary = rng.binomial(sent, SHARE)
    past = rng.poisson(rpm, (rollouts, history))
    return first_crossings(
        to_canary, bad(to_canary, canary), sent - to_canary, bad(sent - to_canary, baseline),
        points=POINTS, ratio=RATIO, alpha=ALPHA, beta=ALPHA, history=(past, bad(past, baseline)),
    )  # fmt: skip


def summary(crossed: np.ndarray, horizon: int) -> dict[str, float]:
    """Mean, median and ninetieth percentile; a rollout that never crossed counts as its horizon."""
    waited = np.where(crossed == 0, horizon, crossed)
    return {
        "mean": round(float(waited.mean()), 2),
        "median": float(np.median(waited)),
        "p90": float(np.percentile(waited, 90)),
        "never": round(float((crossed == 0).mean()), 4),
    }


def rollback(rollouts: int) -> list[dict[str, Any]]:
    """Minutes to rollback, fault from minute 1, with and without a history."""
    table = []
    for baseline, canary, rpm in FAULTS + SEVERE:
        least = limit(baseline, canary, rpm)
        minutes = int(max(60, 8 * least))
        row: dict[str, Any] = {"baseline": baseline, "canary": canary, "rpm": rpm, "limit": round(least, 2)}
        for name, history in (("history", 60), ("no history", 0)):
            harm, _ = simulate(canary, baseline, rpm, rollouts=rollouts, minutes=minutes, history=history)
            found = summary(harm, minutes)
            row[name] = {**found, "of limit": round(found["mean"] / least, 2)}
        table.append(row)
    return table


def late(rollouts: int) -> list[dict[str, Any]]:
    """Minutes after a fault that begins at minute 40."""
    table = []
    for baseline, canary, rpm in ((0.005, 0.02, 2000), (0.01, 0.05, 2000), (0.001, 0.1, 2000)):
        rate = np.where(np.arange(120) < 40, baseline, canary)
        harm, _ = simulate(rate, baseline, rpm, rollouts=rollouts)
        after = summary(np.maximum(harm - 40, 0), 80)
        table.append({"baseline": baseline, "canary": canary, "rpm": rpm, **after})
    return table


def promotion(rollouts: int) -> list[dict[str, Any]]:
    """Minutes to promotion without a difference."""
    table = []
    for rate, rpm in EQUAL:
        least = limit(rate, rate, rpm)
        row: dict[str, Any] = {"rate": rate, "rpm": rpm, "limit": round(least, 2)}
        for name, history in (("history", 60), ("no history", 0)):
            _, safe = simulate(rate, rate, rpm, rollouts=rollouts, minutes=240, history=history)
            found = summary(safe, 240)
            row[name] = {**found, "median of limit": round(found["median"] / least, 2)}
        table.append(row)
    return table


def dispersed(rollouts: int) -> list[dict[str, Any]]:
    """False rollbacks and promotions exactly at the margin, beta-binomial minutes; percent of two-hour rollouts."""
    return [
        {"k": k or "coin flips", "rpm": rpm, "rate": rate, **_at_the_margin(rate, rpm, rollouts, k=k)}
        for k, rpm, rate in (
            (0, 2000, 0.01), (0, 20_000, 0.001), (1000, 20_000, 0.01), (200, 20_000, 0.001), (200, 20_000, 0.005),
            (200, 20_000, 0.01), (200, 20_000, 0.05), (200, 2000, 0.01), (50, 20_000, 0.01), (50, 2000, 0.01),
        )
    ]  # fmt: skip


def clustered(rollouts: int) -> list[dict[str, Any]]:
    """The same where failures come in clusters: a failing request is sent again, and fails again."""
    return [
        {"failures at once": size, "rpm": rpm, "rate": rate, **_at_the_margin(rate, rpm, rollouts, clusters=size)}
        for size, rate, rpm in ((2, 0.005, 2000), (3, 0.005, 2000), (3, 0.001, 20_000), (5, 0.02, 2000))
    ]


def _at_the_margin(rate: float, rpm: float, rollouts: int, *, k: int = 0, clusters: int = 0) -> dict[str, Any]:
    """Percent of errors with and without a history."""
    found = {}
    for name, history in (("history", 60), ("no history", 0)):
        harm, safe = simulate(
            POINTS + RATIO * rate, rate, rpm, rollouts=rollouts, history=history, k=k, clusters=clusters
        )
        found[name] = {
            "rollbacks %": round(100 * float((harm > 0).mean()), 2),
            "promotions %": round(100 * float((safe > 0).mean()), 2),
        }
    return found


def instances(rollouts: int) -> list[dict[str, Any]]:
    """Ten instances a slot; an ill one fails 30 % for 8 minutes, both slots alike; and a bug on all of them."""
    table = []
    for rpm in (2000, 20_000):
        for hours in (168, 48, 10):
            harm = _ill(rpm, hours, 1.0, rollouts)
            table.append({"rpm": rpm, "ill once in hours": hours, "rollbacks %": 100 * float((harm > 0).mean())})
        for factor in (4.0, 20.0):
            harm = _ill(rpm, None, factor, rollouts // 2)
            table.append({"rpm": rpm, "bug x": factor, **summary(harm, 120)})
    return table


def _ill(rpm: float, hours: float | None, factor: float, rollouts: int) -> np.ndarray:
    rng = np.random.default_rng(SEED)

    def slot(each: float, rate: float) -> tuple[np.ndarray, np.ndarray]:
        ill = np.zeros((rollouts, 10, 180), dtype=bool)
        if hours is not None:
            begins = rng.random(ill.shape) < 1 / (60 * hours)
            for after in range(8):
                ill[..., after:] |= begins[..., : 180 - after]
        requests = rng.poisson(each, ill.shape)
        return requests, rng.binomial(requests, np.where(ill, np.maximum(rate, 0.3), rate))

    canary, baseline = slot(rpm * SHARE / 10, 0.005 * factor), slot(rpm * (1 - SHARE) / 10, 0.005)
    past = tuple(part[..., :60].sum(axis=1) for part in baseline)
    now = [part[..., 60:] for part in (*canary, *baseline)]
    harm, _ = first_crossings(
        *(part.sum(axis=1) for part in now), points=POINTS, ratio=RATIO, alpha=ALPHA, beta=ALPHA, history=past,
        canary_instances=tuple(now[:2]), baseline_instances=tuple(now[2:]),
    )  # fmt: skip
    return harm


def counted(seed: int, minutes: int, operations: dict[str, float], broken: str = "", instances: int = 1) -> Counts:
    """One rollout at 2,000 requests a minute; `broken` fails wholly on the canary."""
    rng, begin = np.random.default_rng(seed), 60_000_000

    def rows(role: Role, start: int, number: int, mean: float) -> list[Row]:
        made = []
        for minute in range(number):
            for name, part in operations.items():
                rate = 1.0 if role is Role.CANARY and name == broken else 0.005
                for instance in range(instances):
                    stored = int(rng.poisson(mean * part / instances))
                    bad = (int(rng.binomial(stored, rate)),)
                    made.append(Row(role, start + minute * 60, f"{role}-{instance}", name, stored, stored, 0, bad))
        return made

    live = rows(Role.CANARY, begin, minutes, 200) + rows(Role.BASELINE, begin, minutes, 1800)
    return Counts(
        interval_seconds=60,
        now=begin + minutes * 60,
        settled_until=begin + (minutes - 4) * 60,
        rows=Rows.of(live, 1),
        history=Rows.of(rows(Role.BASELINE, begin - 3600, 60, 2000), 1),
        same_hours=Rows.empty(1),
        segments=(Segment(start=begin, end=None, share=10, step=0),),
        judged_from=(begin - 3600,),
    )


def operation(rollouts: int) -> list[dict[str, Any]]:
    """Percent of rollouts in which a fully broken operation is harmful at the end of the time."""
    table = []
    for part, minutes in ((0.02, 10), (0.004, 60), (0.002, 120)):
        traffic = {"GET /": 0.9, "GET /list": 0.1 - part, "POST /pay": part}
        kinds = [
            judge(counted(seed, minutes, traffic, "POST /pay"), (FAILURES,), Settings()).kind
            for seed in range(rollouts)
        ]
        found = 100 * sum(kind is VerdictKind.HARMFUL for kind in kinds) / rollouts
        table.append({"operation's traffic": part, "minutes": minutes, "found %": found})
    return table


def speed() -> list[dict[str, Any]]:
    """Milliseconds of CPU for one judgement (three indicators), the median of twenty; and rollouts a second."""
    three = tuple(
        Indicator(name=name, kind=IndicatorKind.FAILURES, points=0.005, ratio=RATIO) for name in ("a", "b", "c")
    )
    ten = {f"GET /{number}": 1 / (number + 1) / 2.93 for number in range(10)}
    table = []
    for name, one in (
        ("120 minutes", counted(1, 120, {"GET /": 1.0}, instances=3)),
        ("120 minutes, ten instances and operations", counted(1, 120, ten, instances=10)),
        ("the same, harmful everywhere", counted(1, 120, ten, "GET /0", instances=10)),
        ("1,440 minutes", counted(1, 1440, {"GET /": 1.0})),
    ):
        wide, settings = _tripled(one), Settings(horizon=2000 if len(one.rows) == 2880 else 120)
        times = []
        for _ in range(20):
            began = time.process_time()
            judge(wide, three, settings)
            times.append(time.process_time() - began)
        table.append({"judge": name, "ms": round(1000 * float(np.median(times)), 2)})
    began = time.process_time()
    simulate(0.005, 0.005, 2000, rollouts=1000, history=0)
    table.append({"first_crossings": "1,000 x 120 minutes", "a second": round(1000 / (time.process_time() - began))})
    return table


def _tripled(one: Counts) -> Counts:
    """The same rows with three equal indicators."""

    def wide(rows: Rows) -> Rows:
        listed = [
            Row(r.role, r.interval, r.instance, r.operation, r.rows, r.requests, r.cold, r.bad * 3) for r in rows.list()
        ]
        return Rows.of(listed, 3)

    return Counts(
        interval_seconds=60, now=one.now, settled_until=one.settled_until, rows=wide(one.rows),
        history=wide(one.history), same_hours=Rows.empty(3), segments=one.segments, judged_from=one.judged_from * 3,
    )  # fmt: skip


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a quarter of the rollouts")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    asked = parser.parse_args()
    rollouts = 250 if asked.quick else 1000
    figures: dict[str, list[dict[str, Any]]] = {}
    for title, measure in (
        ("minutes to rollback, fault from minute 1", rollback),
        ("minutes after a fault that begins at minute 40", late),
        ("minutes to promotion without a difference", promotion),
        ("errors exactly at the margin, overdispersed minutes", dispersed),
        ("errors exactly at the margin, failures in clusters", clustered),
        ("ten instances a slot", instances),
        ("a fully broken operation at 2,000 requests a minute", lambda number: operation(number // 10)),
        ("speed", lambda _number: speed()),
    ):
        figures[title] = measure(rollouts)
        print(f"\n{title}")
        for row in figures[title]:
            print("  " + "  ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    if asked.json is not None:
        asked.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
