"""`make bench`: what a start, an idle tick, a tick and a judgement cost, beside what they may cost.

python -m benchmarks.bench [--json FILE]   (default: benchmarks/results/bench.json)
Starts and ticks are wall clock unless they say CPU, judgements are CPU; each figure is the median of its repetitions.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
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
    first_crossings,
    judge,
)

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "bench.json"
REPEATED = 5
HEAVY = ("azure.mgmt", "azure.monitor")  # the two SDKs that an idle tick must not load
INDEX = """
import time
began = time.perf_counter()
import function_app
count = len(function_app.app.get_functions())
print(time.perf_counter() - began, count)
"""
IDLE = """
import json, sys, time
import azure.functions as func
import function_app
class Ticks:
    value = None
    def set(self, value):
        self.value = value
handlers = {one.get_function_name(): one.get_user_function() for one in function_app.app.get_functions()}
ticks = Ticks()
def tick():
    began = time.perf_counter()
    handlers["on_tick_timer"](None, ticks)
    return time.perf_counter() - began
first, second = tick(), tick()
print(json.dumps({"first": first, "second": second, "sent": ticks.value, "modules": sorted(sys.modules)}))
"""
FLEET = """
import resource, sys, time
from benchmarks.fleet import measured
unit = 1024 if sys.platform != "darwin" else 1024 ** 2
cost = measured(int(sys.argv[1]), time.perf_counter, time.process_time,
                lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit)
print(cost.wall_ms, cost.cpu_seconds, cost.peak_mb)
"""


def fresh(program: str, *arguments: str, environment: dict[str, str] | None = None) -> str:
    """What `program` prints in a Python process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT,
        env=os.environ | (environment or {}),
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout


def index_seconds() -> float:
    """Import and index function_app.py, the interpreter's own start not counted."""
    return statistics.median(float(fresh(INDEX).split()[0]) for _ in range(REPEATED))


def idle_tick() -> dict[str, Any]:
    """The tick timer in a fresh process with an empty state: seconds of the first and of the next, modules loaded."""
    with tempfile.TemporaryDirectory() as folder:
        settings = {"STATE_URL": f"sqlite:///{folder}/state.db", "CANARY_POLICY": "canary.yaml"}
        found: dict[str, Any] = json.loads(fresh(IDLE, environment=settings).splitlines()[-1])
    return found


def loaded_heavily(modules: list[str]) -> list[str]:
    """Modules of the SDKs that only a working tick needs."""
    return [one for one in modules if one.startswith(HEAVY)]


def counts_of(intervals: int, *, instances: int, operations: int, canary_rate: float) -> Counts:
    """Counts of a first step, three indicators; `instances` a slot and `operations`, told apart."""
    random = np.random.default_rng(7)
    start, history = 60_000, 60

    def rows(role: Role, first: int, last: int, requests: float, rate: float) -> list[Row]:
        cells = instances * operations
        drawn = random.poisson(requests / cells, (last - first, instances, operations))
        bad = random.binomial(np.repeat(drawn[..., None], 3, axis=3), rate)
        return [
            Row(
                role,
                start + 60 * (first + m),
                f"{role}-{i}",
                f"GET /{o}",
                n := int(drawn[m, i, o]),
                n,
                0,
                tuple(bad[m, i, o].tolist()),
            )
            for m in range(last - first)
            for i in range(instances)
            for o in range(operations)
        ]

    both = rows(Role.CANARY, 0, intervals, 200, canary_rate) + rows(Role.BASELINE, 0, intervals, 1800, 0.005)
    end = start + 60 * intervals
    return Counts(
        interval_seconds=60,
        now=end,
        settled_until=end,
        rows=Rows.of(both, 3),
        history=Rows.of(rows(Role.BASELINE, -history, 0, 2000, 0.005), 3),
        same_hours=Rows.empty(3),
        segments=(Segment(start=start, end=None, share=10, step=0),),
        judged_from=(start, start, start),
    )


INDICATORS = [
    Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25),
    Indicator(name="rejected", kind=IndicatorKind.REJECTED, points=0.01, ratio=1.5),
    Indicator(name="slo", kind=IndicatorKind.SLOWER_THAN, threshold_ms=800, points=0.01, ratio=1.25),
]


def milliseconds(work: Callable[[], object], repetitions: int) -> float:
    """CPU, median of `repetitions`, after one that is not counted."""
    work()
    taken = []
    for _ in range(repetitions):
        began = time.process_time()
        work()
        taken.append(time.process_time() - began)
    return statistics.median(taken) * 1000


def judge_ms(intervals: int, *, instances: int = 3, operations: int = 1, canary_rate: float = 0.005) -> float:
    """One call."""
    counts = counts_of(intervals, instances=instances, operations=operations, canary_rate=canary_rate)
    settings = Settings(horizon=max(120, intervals))
    return milliseconds(lambda: judge(counts, INDICATORS, settings), 30)


def crossings_per_second() -> float:
    """Rollouts of 120 minutes, in one batch."""
    random = np.random.default_rng(7)
    size = (2000, 120)
    canary, baseline = random.poisson(200, size), random.poisson(1800, size)
    bad = random.binomial(canary, 0.005), random.binomial(baseline, 0.005)
    began = time.process_time()
    first_crossings(canary, bad[0], baseline, bad[1], points=0.005, ratio=1.25, alpha=0.01, beta=0.01)
    return size[0] / (time.process_time() - began)


def figures() -> list[dict[str, Any]]:
    """Each with its unit and, where there is one, its target (at most; at least for rates)."""
    idle = idle_tick()
    found = [
        figure("import and index function_app.py, fresh process", index_seconds(), "s", 0.7),
        figure("first idle tick of a process", idle["first"], "s"),
        figure("idle tick after it", idle["second"], "s"),
        figure("modules of azure.mgmt and azure.monitor in it", len(loaded_heavily(idle["modules"])), "modules", 0),
    ]
    for size in (1, 50, 500):
        wall, cpu, peak = map(float, fresh(FLEET, str(size)).split())
        most = size == 500
        found += [
            figure(f"tick of {size} active rollouts", wall, "ms"),
            figure(f"tick of {size} active rollouts, CPU", cpu, "s", 10 if most else None),
            figure(f"tick of {size} active rollouts, peak memory", peak, "MB", 300 if most else None),
        ]
    return [
        *found,
        figure("judge, 120 intervals, 3 indicators", judge_ms(120), "ms", 3),
        figure("judge, ten instances and ten operations", judge_ms(120, instances=10, operations=10), "ms", 20),
        figure(
            "judge, the same at the edge of harm",
            judge_ms(120, instances=10, operations=10, canary_rate=0.014),
            "ms",
            20,
        ),
        figure("judge, 1,440 intervals", judge_ms(1440), "ms", 25),
        figure("first_crossings, rollouts of 120 minutes", crossings_per_second(), "a second", 1000, at_least=True),
    ]


def figure(
    name: str, value: float, unit: str, target: float | None = None, *, at_least: bool = False
) -> dict[str, Any]:
    """One line of the result; `met` is None where there is no target."""
    met = None if target is None else (value >= target if at_least else value <= target)
    return {"name": name, "value": float(f"{value:.3g}"), "unit": unit, "target": target, "met": met}


def shown(one: dict[str, Any]) -> str:
    """As a line of text."""
    target = "" if one["target"] is None else f"target {one['target']:g}, {'met' if one['met'] else 'MISSED'}"
    return f"{one['name']:<52}{one['value']:>10g} {one['unit']:<9} {target}".rstrip()


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE")
    target: Path = parser.parse_args().json
    found = figures()
    for one in found:
        print(shown(one))
    machine = {"python": platform.python_version(), "cores": os.cpu_count(), "system": platform.system()}
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps({"machine": machine, "figures": found}, indent=2) + "\n", encoding="utf-8")
    print(f"written to {target}")


if __name__ == "__main__":
    main()
