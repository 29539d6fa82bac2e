"""The stand-in behaves as the service does: rows come late, sampled or not at all, and answers are its own."""

import math
import time
from datetime import UTC, datetime

import duckdb_kql
import pytest
import requests

from lab.log_analytics import AppRequest, Ingestion, LogAnalytics
from lab.tokens import make

NOW = 1_700_000_000.0


def row(at=0.0, **columns):
    plain = {"TimeGenerated": datetime.fromtimestamp(NOW + at, UTC), "AppRoleName": "r", "AppRoleInstance": "i"}
    return AppRequest(**(plain | columns))


def visible(logs):
    return logs.query("AppRequests | count").rows[0][0]


def test_a_row_is_visible_only_after_its_request_and_its_delay():
    clock = [NOW]
    logs = LogAnalytics(lambda: clock[0], ingestion=Ingestion(delay_seconds=2, jitter_seconds=0))
    logs.record(row(DurationMs=100.0))
    logs.record(row(DurationMs=5000.0))
    seen = []
    for second in (0, 2, 2.2, 6.9, 7):
        clock[0] = NOW + second
        seen.append(visible(logs))
    assert seen == [0, 0, 1, 1, 2], "the slow request comes later"


def test_a_sampled_row_stands_for_those_that_were_not_kept():
    logs = LogAnalytics(lambda: NOW, ingestion=Ingestion(delay_seconds=0, jitter_seconds=0, sampling=4), seed=1)
    for _ in range(400):
        logs.record(row())
    kept, sent = logs.query("AppRequests | summarize count(), sum(ItemCount)").rows[0]
    assert 70 < kept < 130
    assert sent == 4 * kept


def test_rows_of_a_dropped_role_vanish():
    logs = LogAnalytics(lambda: NOW, ingestion=Ingestion(delay_seconds=0, jitter_seconds=0))
    logs.faults.dropped_roles = frozenset({"gone"})
    logs.record(row(AppRoleName="gone"))
    logs.record(row())
    assert visible(logs) == 1


def test_the_rows_have_the_services_columns_and_types():
    logs = LogAnalytics(lambda: NOW, ingestion=Ingestion(delay_seconds=0, jitter_seconds=0))
    logs.record(row(Properties={"declined": True}))
    types = dict(logs.query("AppRequests").columns)
    assert types["TimeGenerated"] == "datetime"
    assert types["ResultCode"] == types["AppRoleName"] == "string"
    assert (types["DurationMs"], types["ItemCount"], types["Success"]) == ("real", "int", "bool")
    assert types["Properties"] == "dynamic"


def test_the_same_query_at_another_time_is_not_translated_again(monkeypatch):
    translated = []
    to_sql = duckdb_kql.to_sql
    monkeypatch.setattr(duckdb_kql, "to_sql", lambda text, **how: translated.append(text) or to_sql(text, **how))
    logs = LogAnalytics(lambda: NOW)
    text = "let again = datatable(a:long)[{0}]; again | extend at = datetime(2024-01-0{0})"
    answers = [logs.query(text.format(n)) for n in (1, 2)]
    assert [answer.rows for answer in answers] == [
        [[1, "2024-01-01T00:00:00.000000Z"]],
        [[2, "2024-01-02T00:00:00.000000Z"]],
    ]
    assert len(translated) == 1


@pytest.fixture
def post(world):
    """POST to the API by hand."""

    def send(query, timespan=None, prefer="", audience="https://api.loganalytics.io"):
        token = make(audience, expires=int(time.time()) + 60)
        return requests.post(
            f"{world.url}/v1/workspaces/{world.workspace}/query",
            json={"query": query, "timespan": timespan},
            headers={"Authorization": f"Bearer {token}", "Prefer": prefer},
            timeout=5,
        )

    return send


def test_the_timespan_of_the_request_cuts_the_rows(world, post):
    for at in (0, 60, 120):
        world.add("r", at)
    world.clock[0] = world.start + 150.0
    spans = ["2023-11-14T22:14:00Z/2023-11-14T22:15:00Z", "2023-11-14T22:14:00Z/PT90S", "PT100S", None]
    counts = [post("AppRequests | count", span).json()["tables"][0]["rows"][0][0] for span in spans]
    assert counts == [1, 2, 2, 3]
    assert post("AppRequests", "yesterday").status_code == 400


def test_values_are_written_as_the_service_writes_them(world, post):
    for order, number in enumerate((math.nan, math.inf, -math.inf, 1.5, None)):
        world.add("r", DurationMs=number, Id=str(order))
    world.clock[0] += 1
    rows = post("AppRequests | sort by Id asc | project DurationMs, TimeGenerated").json()["tables"][0]["rows"]
    assert [one[0] for one in rows] == ["NaN", "Infinity", "-Infinity", 1.5, None]
    assert rows[0][1] == "2023-11-14T22:14:00.000000Z"


def test_statistics_come_only_when_they_are_preferred(post):
    assert "statistics" not in post("print 1").json()
    assert "statistics" in post("print 1", prefer="wait=30,include-statistics=true").json()


def test_a_token_for_another_api_is_refused(post):
    assert post("print 1", audience="https://management.azure.com").status_code == 401


def test_an_error_names_its_kind_in_the_depths(post):
    body = post("AppRequests | where Nothing == 1").json()["error"]
    assert (body["code"], body["innererror"]["code"]) == ("BadArgumentError", "SemanticError")
    body = post("AppRequests | where").json()["error"]
    assert (body["code"], body["innererror"]["code"]) == ("BadArgumentError", "SyntaxError")


def test_every_query_is_logged(world, post):
    post("print 1", "PT5M")
    (logged,) = world.logs.queries
    assert (logged.text, logged.timespan, logged.status, logged.rows) == ("print 1", "PT5M", 200, 1)


def test_a_body_that_is_no_query_is_refused(world, post):
    for data in (b"", b"[]", b"{}", b"\xff"):
        token = make("https://api.loganalytics.io", expires=int(time.time()) + 60)
        answer = requests.post(
            f"{world.url}/v1/workspaces/{world.workspace}/query",
            data=data,
            headers={"Authorization": f"Bearer {token}"},
            timeout=5,
        )
        assert answer.status_code == 400
