"""From counted requests to a verdict. Pure: the standard library, msgspec and numpy."""

from analyzers.judge.counts import Counts, CountsError, Role, Row, Rows, Segment, Settings
from analyzers.judge.crossings import first_crossings
from analyzers.judge.indicators import Indicator, IndicatorKind
from analyzers.judge.judging import judge
from analyzers.judge.verdict import IndicatorEvidence, Side, Verdict, VerdictKind

__all__ = [
    "Counts",
    "CountsError",
    "Indicator",
    "IndicatorEvidence",
    "IndicatorKind",
    "Role",
    "Row",
    "Rows",
    "Segment",
    "Settings",
    "Side",
    "Verdict",
    "VerdictKind",
    "first_crossings",
    "judge",
]
