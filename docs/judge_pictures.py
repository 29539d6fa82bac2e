"""The pictures of docs/judge.md, drawn by running the judge on seeded traffic.

python -m docs.judge_pictures          writes docs/pictures/judge-*.svg
python -m docs.judge_pictures --check  writes nothing; exit code 1 when one is stale
"""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from analyzers.judge import first_crossings
from analyzers.judge.crossings import Test
from analyzers.judge.dispersion import correlation
from analyzers.judge.evidence import Starts, Streams, Tolerance
from benchmarks.judges.peers import z_test
from benchmarks.judges.worlds import Traffic
from docs.charts import COLOURS, Axis, Panel, figure

PICTURES = Path(__file__).resolve().parent / "pictures"
POINTS, RATIO, ALPHA, BASE, SHARE = 0.005, 1.25, 0.01, 0.005, 0.1  # the standard preset's failures
ROLLOUTS, MINUTES, HISTORY = 300, 120, 60
SEED = 20_262
OURS, PEEKING = COLOURS[0], COLOURS[1]
RATES = ((200, COLOURS[4]), (2_000, COLOURS[0]), (20_000, COLOURS[2]))


def traffic(rpm: float, canary_rate: float, *, rollouts: int = ROLLOUTS, seed: int = 0) -> Traffic:
    """Rollouts whose baseline fails at BASE."""
    rng = np.random.default_rng((SEED, seed))
    sent, past = rng.poisson(rpm, (rollouts, MINUTES)), rng.poisson(rpm, (rollouts, HISTORY))
    canary = rng.binomial(sent, SHARE)
    baseline = sent - canary
    bad, baseline_bad = rng.binomial(canary, canary_rate), rng.binomial(baseline, BASE)
    nothing = np.zeros(sent.shape)
    return Traffic(canary, bad, bad, baseline, baseline_bad, nothing, nothing, past, rng.binomial(past, BASE))


def crossings(seen: Traffic, points: float = POINTS) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Minutes of HARMFUL and of SAFE."""
    return first_crossings(
        seen.canary, seen.canary_bad, seen.baseline, seen.baseline_bad, points=points, ratio=RATIO,
        alpha=ALPHA, beta=ALPHA, history=(seen.past, seen.past_bad),
    )  # fmt: skip


def peeking() -> str:
    """A test that was made for one look, looked at every minute, beside one that was made for it."""
    seen = traffic(2_000, BASE, rollouts=2_000)
    looks = np.arange(1, MINUTES + 1)
    x = Axis("minutes, each with a look", 0, MINUTES, (0, 20, 40, 60, 80, 100, 120))
    y = Axis("rolled back so far, %", 0, 40, (0, 10, 20, 30, 40))
    panel = Panel((80, 50), (560, 240), x, y, "A version that is no different, 2,000 requests a minute")
    for found, colour, label, lift in (
        (z_test(seen), PEEKING, "z-test at 5 %, repeated", -10),
        (crossings(seen)[0], OURS, "Flex Canary, alpha 1 %", -10),
    ):
        share = [100 * float(((found > 0) & (found <= look)).mean()) for look in looks]
        panel.line([(0, 0), *zip(looks.tolist(), share, strict=True)], colour)
        panel.label(MINUTES, share[-1], label, colour, lift)
    return figure((680, 360), "False alarms of a repeated test", [panel])


def evidence() -> str:
    """Both evidences of one good and one bad rollout, minute by minute."""
    panels = []
    for number, (title, rate, seed) in enumerate(
        (("0.5 %, as the baseline", BASE, 5), ("2.5 %, five times it", 0.025, 5))
    ):
        harm, safe = _evidence(traffic(2_000, rate, rollouts=1, seed=seed))
        x = Axis("minutes", 0, 30, (0, 10, 20, 30))
        y = Axis("evidence, nats", -4, 10, (-4, 0, 4, 8))
        panel = Panel((70 + number * 370, 50), (300, 240), x, y, f"canary fails {title}")
        panel.line([(0, np.log(1 / ALPHA)), (30, np.log(1 / ALPHA))], "#52606d", dashed=True)
        for values, colour in ((harm, COLOURS[1]), (safe, COLOURS[2])):
            panel.line([(0, 0.0), *((minute + 1, value) for minute, value in enumerate(values[:30]))], colour)
        panels.append(panel)
    legend = [(COLOURS[1], "harm: at the dashed line, rolled back"), (COLOURS[2], "safe: at the dashed line, promoted")]
    return figure((760, 380), "The evidence of a good and of a bad canary", panels, legend)


def _evidence(seen: Traffic) -> tuple[list[float], list[float]]:
    counts = [part.astype(np.float64) for part in (seen.canary_bad, seen.canary, seen.baseline_bad, seen.baseline)]
    past_bad, past = seen.past_bad.astype(np.float64), seen.past.astype(np.float64)
    known = correlation((counts[0], counts[2]), (counts[1], counts[3]), past_bad, past)
    before = (past_bad.sum(axis=-1, keepdims=True), past.sum(axis=-1, keepdims=True))
    limit = float(np.log(1 / ALPHA))
    test = Test(Tolerance(np.array(POINTS), np.array(RATIO)), Starts.of(MINUTES, MINUTES, limit), (limit, limit))
    streams = Streams(*counts, *before, known)
    return test.harm(streams)[0].tolist(), test.safe(streams)[0].tolist()


def waiting() -> str:
    """How long rollbacks and promotions take: by the fault's size, and by the tolerance."""
    x = Axis("the canary fails so many times as often", 2, 50, (2, 5, 10, 20, 50), log=True)
    y = Axis("minutes, median", 1, 120, (1, 2, 5, 10, 20, 50, 120), log=True)
    rollback = Panel((70, 50), (300, 240), x, y, "until a fault is rolled back")
    for rpm, colour in RATES:
        points = [
            (factor, _median(crossings(traffic(rpm, factor * BASE))[0])) for factor in (2.5, 3, 4, 5, 7, 10, 20, 50)
        ]
        rollback.line([one for one in points if one[1] < MINUTES], colour)
    x = Axis("tolerance, points", 0.1, 3, (0.1, 0.2, 0.5, 1, 2, 3), log=True)
    promotion = Panel((440, 50), (300, 240), x, y, "until an equal canary is promoted")
    for rpm, colour in RATES:
        seen = traffic(rpm, BASE)
        points = [
            (100 * one, _median(crossings(seen, one)[1])) for one in (0.001, 0.002, 0.003, 0.005, 0.01, 0.02, 0.03)
        ]
        promotion.line([one for one in points if one[1] < MINUTES], colour)
    legend = [(colour, f"{rpm:,} requests a minute") for rpm, colour in RATES]
    return figure((780, 380), "How long the judge takes", [rollback, promotion], legend)


def _median(found: NDArray[np.int64]) -> float:
    return float(np.median(np.where(found > 0, found, 10 * MINUTES)))


MADE: dict[str, Callable[[], str]] = {
    "judge-peeking.svg": peeking,
    "judge-evidence.svg": evidence,
    "judge-waiting.svg": waiting,
}


def main() -> int:
    """Write the pictures, or tell which are stale."""
    parser = argparse.ArgumentParser(prog="python -m docs.judge_pictures", description="Draw the judge's pictures.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a picture is stale")
    asked = parser.parse_args()
    made = {PICTURES / name: draw() for name, draw in MADE.items()}
    stale = [path for path, svg in made.items() if not path.is_file() or path.read_text(encoding="utf-8") != svg]
    for path in stale:
        if asked.check:
            sys.stderr.write(f"docs/pictures/{path.name} is stale: run python -m docs.judge_pictures\n")
        else:
            path.write_text(made[path], encoding="utf-8")
    return 1 if asked.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
