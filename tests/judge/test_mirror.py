"""The mirror of harm is not drawn where the two slots are held to different thresholds."""

from analyzers.judge import judge
from analyzers.judge.counts import Counts, Role, Row, Rows, Segment, Settings
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.verdict import VerdictKind

P95 = Indicator(
    name="p95", kind=IndicatorKind.QUANTILE, points=0.02, ratio=1.0, warm_only=True, quantile=0.95, slowdown=0.2
)


def test_an_equal_baseline_is_not_called_worse_by_a_quantile():
    """Of a narrow latency 5 % exceed T, and hardly any exceed 1.2 T: that says nothing against the baseline."""
    rows = [
        Row(role, minute * 60, f"{role}-0", "all", 1000, 1000, 0, (bad,))
        for minute in range(30)
        for role, bad in ((Role.CANARY, 5), (Role.BASELINE, 50))
    ]
    counts = Counts(
        interval_seconds=60,
        now=1800,
        settled_until=1800,
        rows=Rows.of(rows, 1),
        history=Rows.empty(1),
        same_hours=Rows.empty(1),
        segments=(Segment(start=0, end=None, share=50, step=0),),
        judged_from=(0,),
    )
    assert judge(counts, [P95], Settings()).kind is VerdictKind.SAFE
