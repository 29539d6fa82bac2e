"""An indicator may be the team's own KQL: its bad rows are merged, its faults are its rollout's alone."""

import asyncio
import time

import pytest
from msgspec.structs import replace

from analyzers import app_insights, app_insights_kql
from analyzers.judge.counts import REST
from rollouts.observation import Counted, Failed

DECLINED = """
AppRequests
| where TimeGenerated >= _startTime and TimeGenerated < _endTime and AppRoleName in~ (_roles)
| summarize rows = count(), bad = countif(Properties.declined == "true")
    by role_name = AppRoleName, instance = AppRoleInstance, operation = OperationName,
       interval = bin(TimeGenerated, _interval)  // ends in a comment
"""


def declined(world, role, times, at=0.0, **columns):
    world.add(role, at, times=times, Properties={"declined": "true"}, **columns)


def test_the_bad_rows_of_an_own_query_stand_beside_the_others(world):
    world.add("Shop-Green", times=4, ResultCode="500", AppRoleInstance="g")
    declined(world, "Shop-Green", 3, AppRoleInstance="g")
    declined(world, "shop-blue", 2, 70)
    scope = world.scope(indicators=(world.failures, world.own(DECLINED)))
    canary, baseline = world.rows(scope)
    assert (canary.rows, canary.bad) == (7, (4, 3))
    assert (baseline.rows, baseline.bad) == (2, (0, 2))
    assert len(world.logs.queries) == 2


def test_operations_that_are_not_told_apart_are_rest_in_both(world):
    world.add("shop-green", times=5, OperationName="GET /large")
    declined(world, "shop-green", 1, OperationName="GET /small")
    declined(world, "shop-green", 2, OperationName="post /PAY")
    rows = world.rows(world.scope(indicators=(world.own(DECLINED),), operations=1, critical_operations=("POST /pay",)))
    assert {row.operation: row.bad for row in rows} == {"GET /large": (0,), REST: (1,), "POST /pay": (2,)}


def test_bad_rows_of_requests_that_are_not_judged_are_ignored_and_shown(world):
    declined(world, "shop-green", 1)
    declined(world, "shop-green", 3, Url="/api/health")
    found = world.look(world.scope(indicators=(world.own(DECLINED),)))["r1"]
    assert isinstance(found, Counted)
    assert [row.bad for row in found.rows.list()] == [(1,)]
    assert found.ignored == 3


def test_no_place_gets_more_bad_rows_than_it_has_rows(world):
    declined(world, "shop-green", 2, OperationName="GET /a")
    declined(world, "shop-green", 2, OperationName="GET /b", Url="/api/health")
    found = world.look(world.scope(indicators=(world.own(DECLINED),), operations=0))["r1"]
    assert isinstance(found, Counted), found
    assert [(row.operation, row.rows, row.bad) for row in found.rows.list()] == [(REST, 2, (2,))]
    assert found.ignored == 2


def test_a_warm_only_own_indicator_counts_at_most_the_warm_rows(world):
    declined(world, "shop-green", 1, 5)
    declined(world, "shop-green", 2, 50)
    (row,) = world.rows(world.scope(indicators=(world.own(DECLINED, warm_only=True),), cold_seconds=30))
    assert (row.rows, row.cold, row.bad) == (3, 1, (2,))


def test_an_own_query_without_rows_is_an_answer(world):
    world.add("shop-green")
    (row,) = world.rows(world.scope(indicators=(world.own(DECLINED.replace("_endTime", "_startTime")),)))
    assert row.bad == (0,)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("AppRequests | where Nothing == 1", "Nothing"),
        ("AppRequests | where", "SYN"),
        ("NoSuchTable | take 5", "NoSuchTable"),
        (DECLINED.replace("bad = ", "worse = "), "lacks bad"),
        (DECLINED.replace("bad = countif(", "bad = 1 + countif("), "more than its 4 rows"),
        (DECLINED.replace("interval = bin(TimeGenerated, _interval)", "interval = 5"), "_interval"),
        (DECLINED.replace("instance = AppRoleInstance", "instance = OperationName"), "none of its 1 lines"),
    ],
)
def test_a_broken_own_query_fails_its_rollout_alone_and_says_which(world, query, told):
    declined(world, "shop-green", 4)
    found = world.look(world.scope(indicators=(world.failures, world.own(query))), world.scope(rollout="sound"))
    assert isinstance(found["sound"], Counted)
    assert isinstance(found["r1"], Failed)
    assert found["r1"].permanent
    assert "indicators.declined.query" in found["r1"].detail
    assert told in found["r1"].detail


def test_own_queries_are_asked_beside_each_other(world, monkeypatch):
    """One after the other, those of a group whose workspace hangs took longer than a function may run."""
    met, others = asyncio.Barrier(5), world.logs._faulty
    asked = []

    async def together(text, *asked_with):
        if "_roles" in text:
            asked.append(text)
            if len(asked) > 1:  # the first goes ahead: where the service says no to it, no other is asked
                await met.wait()
        return await others(text, *asked_with)

    monkeypatch.setattr(world.logs, "_faulty", together)
    source = app_insights.AppInsights(world.url, lambda: world.credential, read_seconds=10)
    declined(world, "shop-green", 2)
    world.source = source
    found = world.look(*(world.scope(rollout=f"r{n}", indicators=(world.own(DECLINED),)) for n in range(6)))
    assert [[row.bad for row in one.rows.list()] for one in found.values()] == [[(2,)]] * 6


HANGS = f"{DECLINED}// hangs"


def hang(world, monkeypatch):
    """Own queries that say so do not answer; returns every own query that is asked, in order."""
    others, asked = world.logs._faulty, []

    async def slow(text, *asked_with):
        if "_roles" in text:
            asked.append(text)
            if "hangs" in text:
                await asyncio.sleep(5)
        return await others(text, *asked_with)

    monkeypatch.setattr(world.logs, "_faulty", slow)
    monkeypatch.setattr(app_insights, "OWN_FIRST_SECONDS", 0.1)
    return asked


def test_own_queries_that_hang_leave_a_look_its_time_for_the_common_one(world, monkeypatch):
    """Fifty of them, thirty seconds each, took longer than anything else in a tick; now they have what is left over."""
    asked = hang(world, monkeypatch)
    world.source = app_insights.AppInsights(world.url, lambda: world.credential, read_seconds=1.0, look_seconds=2.2)
    slow = [world.scope(rollout=f"slow{n}", indicators=(world.own(HANGS),)) for n in range(50)]
    began = time.monotonic()
    found = world.look(*slow, world.scope(rollout="plain"))
    assert time.monotonic() - began < 4.5
    assert isinstance(found["plain"], Counted)
    told = [found[one.rollout] for one in slow]
    assert {(type(one), one.permanent) for one in told} == {(Failed, False)}
    name = "indicators.declined.query: "
    unanswered = [one.detail for one in told if f"{name}workspace a-workspace: no answer in" in one.detail]
    not_asked = [one.detail for one in told if f"{name}not asked: the seconds of this look" in one.detail]
    assert len(unanswered) == len(asked) >= app_insights.OWN_AT_ONCE
    assert len(unanswered) + len(not_asked) == 50
    assert all("Others took them: indicators.declined.query of slow" in one for one in not_asked)


def test_a_service_whose_own_queries_hang_keeps_no_other_from_being_counted(world, monkeypatch):
    asked = hang(world, monkeypatch)
    world.source = app_insights.AppInsights(world.url, lambda: world.credential, read_seconds=3.0, look_seconds=6.1)
    several = tuple(replace(world.own(HANGS), name=f"own{n}") for n in range(20))
    slow = world.scope(rollout="slow", indicators=several)
    sound = [world.scope(rollout=f"sound{n}", indicators=(world.own(DECLINED),)) for n in range(5)]
    found = world.look(slow, *sound, now=world.start + 3600 + 240)
    assert "hangs" in asked[0], "it leads at this interval"
    assert [name for name, one in found.items() if isinstance(one, Failed)] == ["slow"]
    assert sum("hangs" in text for text in asked) == 1, "its rollout is blind already, no other answer would help"


def test_another_service_leads_at_each_interval(world, monkeypatch):
    """So that where there is no time for all, everybody has a turn."""
    asked = hang(world, monkeypatch)
    named = [replace(world.own(f"{DECLINED}// number {n}"), name="own") for n in range(3)]
    scopes = [world.scope(rollout=f"r{n}", indicators=(one,)) for n, one in enumerate(named)]
    first = []
    for minute in range(4):
        asked.clear()
        world.look(*scopes, now=world.start + 3600 + 60 * minute)
        first.append(int(asked[0].partition("// number ")[2][0]))
    assert first == [first[0], (first[0] + 1) % 3, (first[0] + 2) % 3, first[0]]


def test_an_own_answer_that_would_be_cut_is_asked_in_parts_and_wholly_counted(world, monkeypatch):
    for minute in range(5):
        for n in range(3):
            declined(world, "shop-green", 1, 60 * minute + n, OperationName=f"GET /{n}")
    scope = world.scope(indicators=(world.own(DECLINED),), operations=10)
    whole = world.rows(scope)
    assert sum(row.bad[0] for row in whole) == 15
    monkeypatch.setattr(app_insights_kql, "ROW_LIMIT", 7)
    assert world.rows(scope) == whole
    for n in range(9):
        declined(world, "shop-green", 1, 240 + n, OperationName=f"POST /{n}")
    found = world.look(world.scope(indicators=(world.own(DECLINED),), operations=0))["r1"]
    assert isinstance(found, Failed), "one minute of it has too many lines"
    assert "indicators.declined.query: the answer has 7 lines or more" in found.detail
