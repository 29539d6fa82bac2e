"""The KQL of alerts and workbook, run on rows: each alert fires when it should, and only then."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb_kql
import pytest

from tests.infrastructure.reading import BICEP

NOW = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
REQUESTS = (
    "TimeGenerated TIMESTAMP, Name VARCHAR, Success BOOLEAN, OperationId VARCHAR, ResultCode VARCHAR, Url VARCHAR, "
    "ItemCount INTEGER, DurationMs DOUBLE, AppRoleName VARCHAR"
)


def ago(minutes: float) -> datetime:
    """A time before NOW, as the workspace stores it."""
    return (NOW - timedelta(minutes=minutes)).replace(tzinfo=None)


def run(name: str, minutes: float) -> tuple[datetime, str, bool]:
    """One run of a function that succeeded."""
    return (ago(minutes), name, True)


def failed(name: str, minutes: float) -> tuple[datetime, str, bool]:
    """One run of a function that failed."""
    return (ago(minutes), name, False)


def ask(
    query: str,
    runs: Sequence[tuple[datetime, str, bool]] = (),
    lines: Sequence[tuple[datetime, str]] = (),
    requests: Sequence[tuple[Any, ...]] = (),
) -> list[dict[str, Any]]:
    """The rows that a query of bicep/queries answers."""
    connection = duckdb_kql.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"CREATE TABLE AppRequests ({REQUESTS})")
    connection.execute("CREATE TABLE AppTraces (TimeGenerated TIMESTAMP, Message VARCHAR)")
    for one in runs:
        connection.execute("INSERT INTO AppRequests (TimeGenerated, Name, Success) VALUES (?, ?, ?)", list(one))
    for line in lines:
        connection.execute("INSERT INTO AppTraces VALUES (?, ?)", list(line))
    for request in requests:
        connection.execute(
            "INSERT INTO AppRequests (TimeGenerated, AppRoleName, Success, ResultCode, Url, ItemCount, DurationMs) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            list(request),
        )
    text = (BICEP / "queries" / f"{query}.kql").read_text()
    answer = duckdb_kql.execute(connection, text, query_now=NOW)
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


TIMER_LIVES = [run("on_tick_timer", minute) for minute in range(30)]
TIMER_DIED = [run("on_tick_timer", minute) for minute in range(12, 40)]
DEAD = {
    "the timer lives, ticks fail": (TIMER_LIVES + [failed("on_tick", minute) for minute in range(12)], []),
    "the timer says active, no tick runs": (TIMER_LIVES, [(ago(minute), "canary.active 1") for minute in range(12)]),
    "all of it died in the middle of a rollout": (
        TIMER_DIED + [run("on_tick", minute) for minute in range(12, 20)],
        [],
    ),
}
WELL = {
    "ticks succeed": (TIMER_LIVES + [run("on_tick", minute) for minute in range(20)], [(ago(1), "canary.active 1")]),
    "some ticks fail, one succeeded lately": (
        [*TIMER_LIVES, failed("on_tick", 1), failed("on_tick", 2), run("on_tick", 3)],
        [],
    ),
    "the last rollout ended, the timer goes on": (
        TIMER_LIVES + [run("on_tick", minute) for minute in range(15, 20)],
        [],
    ),
    "all of it died while nothing ran": (TIMER_DIED + [run("on_tick", minute) for minute in range(30, 40)], []),
    "nothing was ever deployed": ([], []),
}


@pytest.mark.parametrize("case", DEAD)
def test_a_dead_analyzer_is_noticed_while_a_rollout_is_active(case: str) -> None:
    """Whoever of timer, queue and tick has stopped."""
    assert len(ask("dead-analyzer", *DEAD[case])) == 1


@pytest.mark.parametrize("case", WELL)
def test_a_living_or_idle_analyzer_wakes_nobody(case: str) -> None:
    """Otherwise the alert is soon ignored."""
    assert ask("dead-analyzer", *WELL[case]) == []


def test_silence_is_noticed_even_when_nothing_runs() -> None:
    """The next deployment would not be seen."""
    assert len(ask("silent-analyzer", [run("on_tick_timer", 16)])) == 1
    assert len(ask("silent-analyzer")) == 1
    assert ask("silent-analyzer", [run("on_tick_timer", 14)]) == []


def test_poison_is_noticed() -> None:
    """Each message that was given up on."""
    assert len(ask("poison", [run("on_poison", 2), run("on_tick", 1)])) == 1


def test_an_overdue_hold_is_noticed_with_its_rollout() -> None:
    """The row names who is held and why."""
    line = "canary.overdue " + json.dumps({"service": "checkout", "rollout": "r1", "reason": "approval"})
    (row,) = ask("overdue", lines=[(ago(2), line), (ago(1), "canary.active 1")])
    assert (row["service"], row["rollout"], row["reason"]) == ("checkout", "r1", "approval")


DECISION = {
    "service": "checkout",
    "rollout": "r1",
    "phase": "step",
    "share": 10,
    "verdict": "safe",
    "hold": None,
    "outcome": None,
    "sentence": "1.4.2 gets 50 %: the canary is proven no worse",
}


def test_charts_read_the_decisions_as_they_are_logged() -> None:
    """Share over time, verdicts, and the table with the sentence of the card."""
    lines = [(ago(5), "canary.decision " + json.dumps(DECISION)), (ago(4), "somebody else's line")]
    (weight,) = ask("weights", lines=lines)
    assert (weight["share"], weight["service"]) == (10, "checkout")
    (verdict,) = ask("verdicts", lines=lines)
    assert (verdict["verdict"], verdict["decisions"]) == ("safe", 1)
    (decision,) = ask("decisions", lines=lines)
    assert decision["sentence"] == DECISION["sentence"]
    assert not decision["hold"]


def test_charts_of_the_slots_count_requests_not_rows() -> None:
    """ItemCount of each row; rows without a URL are timers and queues, and the analyzer's probes are not requests."""
    minute = ago(3).replace(second=5)
    rows = [
        (minute, "blue", True, "200", "https://x/a", 8, 100.0),
        (minute, "blue", True, "500", "https://x/a", 2, 900.0),
        (minute, "green", False, "200", "https://x/a", 1, 50.0),
        (minute, "green", False, "200", "", 100, 1.0),
        (minute, "green", True, "200", "https://x/api/health?deep=1", 100, 1.0),
        (minute, "green", True, "200", "https://x/api/warmup", 100, 1.0),
        (minute, "red", True, "200", "https://x/api/healthcare", 1, 7.0),
    ]
    percent = {row["AppRoleName"]: row["percent"] for row in ask("errors", requests=rows)}
    assert percent == {"blue": 20.0, "green": 100.0, "red": 0.0}
    slow = {row["AppRoleName"]: row["p95_ms"] for row in ask("p95", requests=rows)}
    assert slow.keys() == {"blue", "green", "red"}
    assert (slow["green"], slow["red"]) == (50.0, 7.0)


def test_no_row_that_alerts_and_charts_read_is_sampled_away() -> None:
    """Twenty a second and instance are kept of what is not excluded: a busy tick logs more."""
    read = "\n".join(file.read_text(encoding="utf-8") for file in (BICEP / "queries").glob("*.kql"))
    needed = {kind for table, kind in (("AppTraces", "Trace"), ("AppRequests", "Request")) if table in read}
    host = json.loads((BICEP.parent / "host.json").read_text(encoding="utf-8"))
    kept = host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"].split(";")
    assert needed == {"Trace", "Request"} and needed <= set(kept)


def test_every_query_is_asked_here_and_used_in_bicep() -> None:
    """A query that nothing loads is dead."""
    loaded = (BICEP / "modules/alerts.bicep").read_text() + (BICEP / "modules/workbook.bicep").read_text()
    for path in (BICEP / "queries").glob("*.kql"):
        assert f"queries/{path.name}'" in loaded
