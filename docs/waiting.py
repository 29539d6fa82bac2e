"""How long the judge takes, in the tables of tuning.md: simulated by `analyzers.judge.power.plan`, from its seed."""

from collections.abc import Iterable

from analyzers.judge.counts import Settings
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.power import Waiting, plan

INDICATORS = 3  # that share alpha
RATIO = 1.25
HOURS = "2 h"  # the plan's horizon


def _waits(waiting: Waiting) -> str:
    """Median and ninetieth percentile, minutes."""
    if waiting.median is None:
        return f"not in {HOURS}"
    return f"{waiting.median}" + (f" ({waiting.p90})" if waiting.p90 is not None else "")


def _planned(baseline: float, points: float, requests: float, share: float, *, ratio: float = RATIO) -> list[str]:
    """The boundary, then minutes until nothing wrong is proven, until five and until twenty times are found."""
    failures = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=points, ratio=ratio)
    found = plan(
        failures,
        canary_share=share,
        requests_per_interval=requests,
        baseline_rate=baseline,
        settings=Settings(),
        indicators=INDICATORS,
        faults=(5, 20),
    )
    faults = ["within" if fault.rate <= found.boundary else _waits(fault.harmful) for fault in found.faults]
    return [f"{100 * found.boundary:.4g} %", _waits(found.safe), *faults]


def tolerances() -> Iterable[list[str]]:
    """A line for each baseline and `points`, at 2,000 requests a minute and 10 %."""
    for baseline, points in (
        (0.1, 0.2), (0.1, 0.5), (0.5, 0.2), (0.5, 0.5), (0.5, 1), (0.5, 2), (2, 0.2), (2, 0.5), (2, 1),
    ):  # fmt: skip
        preset = "**" if (baseline, points) == (0.5, 0.5) else ""
        yield [f"{baseline} %", f"{preset}{points}{preset}", *_planned(baseline / 100, points / 100, 2000, 0.1)]


def traffic() -> Iterable[list[str]]:
    """A line for each number of requests a minute, at 10 and at 50 %."""
    for requests in (60, 200, 2000, 20_000):
        yield [f"{requests:,}", *(cell for share in (0.1, 0.5) for cell in _planned(0.005, 0.005, requests, share)[1:])]


def low_traffic() -> Iterable[list[str]]:
    """A line for each number of requests a minute, with the tolerance and the first share of the preset."""
    for requests in (20, 60, 200):
        yield [f"{requests:,}", *_planned(0.005, 0.02, requests, 0.25, ratio=1.5)[1:]]
