"""What is counted: the rows that the gateway could have split, by role, instance, operation and interval."""

import math
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzers.judge.counts import REST, Role, Row
from lab.log_analytics import AppRequest
from rollouts.observation import Counted, Failed, Scope


def test_rows_are_counted_by_role_instance_operation_and_interval(world):
    world.add("shop-green", 10, times=3, ItemCount=2)
    world.add("shop-green", 70, AppRoleInstance="other", OperationName="POST /pay", ResultCode="500")
    world.add("shop-blue", 70, times=2)
    assert world.rows(world.scope()) == [
        Row(Role.CANARY, world.start, "shop-green-1", "GET /", 3, 6, 0, (0,)),
        Row(Role.BASELINE, world.start + 60, "shop-blue-1", "GET /", 2, 2, 0, (0,)),
        Row(Role.CANARY, world.start + 60, "other", "POST /pay", 1, 1, 0, (1,)),
    ]


@pytest.mark.parametrize(
    ("code", "success", "bad"),
    [
        ("200", True, "neither"),
        ("500", True, "failures"),  # a trigger that answers 500 by itself is a success to its host
        ("503", False, "failures"),
        ("401", False, "rejected"),  # the host says failed; the version may be right to refuse
        ("404", False, "rejected"),
        ("499", True, "rejected"),
        ("200", False, "failures"),
        ("0", False, "failures"),
        ("", False, "failures"),
        ("", True, "neither"),
        ("", None, "neither"),
        ("Faulted", False, "failures"),
        ("302", True, "neither"),
    ],
)
def test_a_request_is_failed_or_rejected_or_neither(world, code, success, bad):
    world.add("shop-green", ResultCode=code, Success=success)
    (row,) = world.rows(world.scope(indicators=(world.failures, world.rejected)))
    assert row.bad == (int(bad == "failures"), int(bad == "rejected"))


def test_a_latency_threshold_is_crossed_only_above_it(world):
    for duration in (799.0, 800.0, 800.1):
        world.add("shop-green", DurationMs=duration)
    (row,) = world.rows(world.scope(indicators=(world.slower,)))
    assert row.bad == (1,)


def test_a_quantile_allows_the_canary_its_slowdown(world):
    for role in ("shop-green", "shop-blue"):
        for duration in (99.0, 101.0, 119.0, 121.0):
            world.add(role, DurationMs=duration)
    baseline, canary = world.rows(world.scope(indicators=(world.p95,), thresholds_ms={"p95": 100.0}))
    assert (baseline.bad, canary.bad) == ((3,), (1,))


def test_without_its_threshold_a_quantile_counts_nothing_bad(world):
    world.add("shop-green", DurationMs=900_000.0)
    (row,) = world.rows(world.scope(indicators=(world.p95,)))
    assert row.bad == (0,)


def test_an_unknown_instance_is_cold_from_its_first_row_on(world):
    for at in (5, 34.9, 35, 100):
        world.add("shop-green", at, DurationMs=900.0, ResultCode="500")
    scope = world.scope(
        cold_seconds=30, indicators=(world.failures, world.p95, world.slower), thresholds_ms={"p95": 100.0}
    )
    first, second = world.rows(scope)
    assert (first.rows, first.cold, first.bad) == (3, 2, (3, 1, 3)), "only p95 is warm_only"
    assert (second.rows, second.cold, second.bad) == (1, 0, (1, 1, 1))


def test_a_known_instance_is_as_old_as_it_is_known_to_be(world):
    world.add("shop-green", 5)
    world.add("shop-green", 5, AppRoleInstance="young")
    scope = world.scope(cold_seconds=30, instances={"shop-green-1": world.start - 60, "young": world.start - 20})
    old, young = world.rows(scope)
    assert (old.cold, young.cold) == (0, 1)


def test_the_first_appearance_of_each_instance_is_told(world):
    world.add("shop-green", 47.5)
    world.add("shop-blue", 70)
    found = world.look(world.scope(instances={"shop-blue-1": world.start - 600, "gone": 5}))["r1"]
    assert found.first_seen == {
        "shop-green-1": world.start + 47,
        "shop-blue-1": world.start - 600,
        "gone": 5,
    }


def test_the_largest_operations_and_the_critical_ones_have_names_the_others_are_rest(world):
    for operation, times in (("GET /a", 5), ("GET /b", 4), ("GET /c", 3), ("get /PAY", 1), ("GET /d", 1)):
        world.add("shop-blue", times=times - 1, OperationName=operation)
        world.add("shop-green", OperationName=operation)
    rows = world.rows(world.scope(operations=2, critical_operations=("GET /pay", "never seen")))
    assert {row.operation for row in rows} == {"GET /a", "GET /b", "GET /pay", REST}
    assert sum(row.rows for row in rows if row.operation == REST) == 4


def test_an_operation_without_a_name_takes_the_rows_name(world):
    world.add("shop-green", OperationName="", Name="GET /cart")
    world.add("shop-green", 1, OperationName="", Name="", AppRoleInstance="")
    first, second = world.rows(world.scope())
    assert (first.operation, second.operation, second.instance) == ("GET /cart", "unknown", "unknown")


@pytest.mark.parametrize(
    "url",
    [
        "",  # timers and queues
        "https://shop.example/api/health",
        "https://shop.example/api/Health/live?deep=1",
        "/api/health/",
        "https://shop.example/internal/jobs",
    ],
)
def test_what_the_gateway_could_not_have_split_is_not_counted(world, url):
    world.add("shop-green", Url=url)
    assert world.rows(world.scope(excluded_routes=("/api/health", "internal/"))) == []


@pytest.mark.parametrize("path", ["/api/healthcare", "/v2/api/health", "", "/?next=/api/health"])
def test_an_excluded_route_ends_at_a_slash(world, path):
    world.add("shop-green", Url=f"https://shop.example{path}")
    assert len(world.rows(world.scope())) == 1


def test_a_scope_sees_its_own_window_only(world):
    for at in (-0.001, 0, 59.999, 60):
        world.add("shop-green", at)
    (row,) = world.rows(world.scope(until=world.start + 60))
    assert row.rows == 2


def test_a_role_is_found_whatever_its_letter_case(world):
    world.add("Shop-GREEN")
    (row,) = world.rows(world.scope())
    assert row.role is Role.CANARY


def test_a_role_may_stand_in_two_scopes(world):
    world.add("shop-green", times=2)
    history = world.scope(rollout="history", canary_role="", baseline_role="shop-green", interval_seconds=300)
    found = world.look(world.scope(), history)
    assert [(row.role, row.rows) for row in found["r1"].rows.list()] == [(Role.CANARY, 2)]
    assert [(row.role, row.rows) for row in found["history"].rows.list()] == [(Role.BASELINE, 2)]
    assert len(world.logs.queries) == 1


def test_no_rows_are_an_answer_without_rows(world):
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Counted)
    assert (len(found.rows), found.ignored) == (0, 0)


@pytest.mark.parametrize("duration", [None, -1.0, 3_600_001.0, 1e300, math.nan, math.inf, -math.inf])
def test_a_row_without_a_duration_is_not_judged_for_latency_but_its_failure_is(world, duration):
    world.add("shop-green", DurationMs=duration, ResultCode="500")
    found = world.look(world.scope(indicators=(world.failures, world.slower)))["r1"]
    (row,) = found.rows.list()
    assert (row.rows, row.cold, row.bad, found.ignored) == (1, 1, (1, 0), 1)


def test_a_row_from_the_future_is_ignored_and_shown(world):
    world.add("shop-green")
    world.add("shop-green", 3600 + 61, times=2, ResultCode="500")
    world.add("shop-green", 3600 + 30)  # within the skew of two clocks: simply not asked for yet
    found = world.look(world.scope())["r1"]
    assert [row.rows for row in found.rows.list()] == [1]
    assert found.ignored == 2


@pytest.mark.parametrize("count", [None, 0, -7])
def test_a_row_stands_for_one_request_at_least(world, count):
    world.add("shop-green", ItemCount=count)
    (row,) = world.rows(world.scope())
    assert (row.rows, row.requests) == (1, 1)


def test_names_are_data_whatever_they_hold(world):
    names = ['"] | take 0 //', "back\\slash\\", "zeile\nzwei", "工具-🚀", "' or true", "tab\there", "%s{0}$1"]
    for name in names:
        world.add(name, AppRoleInstance=name, OperationName=name)
    scopes = [
        world.scope(rollout=name, canary_role=name, critical_operations=(name,), instances={name: 5}) for name in names
    ]
    for name, found in world.look(*scopes).items():
        assert [(row.instance, row.operation) for row in found.rows.list()] == [(name, name)]


def test_a_name_that_no_query_can_hold_fails_its_scope_alone(world):
    world.add("shop-green", AppRoleInstance="nul\0byte")
    found = world.look(world.scope(instances={"nul\0byte": 5}), world.scope(rollout="r2", baseline_role="bell\a"))
    assert len(found["r1"].rows) == 1, "an instance's name comes from telemetry: nobody can mend it"
    assert isinstance(found["r2"], Failed)
    assert found["r2"].permanent
    assert "bell" in found["r2"].detail


def test_one_name_for_both_slots_is_refused(world):
    found = world.look(world.scope(canary_role="Shop-Blue"))["r1"]
    assert isinstance(found, Failed)
    assert found.permanent
    assert "WEBSITE_CLOUD_ROLENAME" in found.detail


def test_fifty_rollouts_take_one_query(world):
    for number in range(50):
        world.add(f"s{number}-green", 10, times=number + 1)
        world.add(f"s{number}-blue", 10, ResultCode="500")
    scopes = [
        world.scope(
            rollout=f"r{number}",
            canary_role=f"s{number}-green",
            baseline_role=f"s{number}-blue",
            interval_seconds=60 + number % 3,
            indicators=(world.failures, world.p95, world.slower)[: 1 + number % 3],
            thresholds_ms={"p95": 10.0},
            excluded_routes=("/api/health", "/preview", "/api/warmup")[: number % 4],
            instances={f"instance-{number}-{n:032x}": world.start - 60 for n in range(6)},
        )
        for number in range(50)
    ]
    found = world.look(*scopes)
    assert len(world.logs.queries) == 1
    for number in range(50):
        rows = {row.role: row for row in found[f"r{number}"].rows.list()}
        assert rows[Role.CANARY].rows == number + 1
        assert rows[Role.CANARY].bad == (0, number + 1, 0)[: 1 + number % 3]
        assert rows[Role.BASELINE].bad[0] == 1


SECOND = 1_000_000  # microseconds
BASE = 1_700_000_040
ROLES = ["shop-green", "Shop-Green", "shop-blue", "SHOP-BLUE", "cart", "stranger", ""]
row_columns = st.fixed_dictionaries(
    {
        "at": st.integers(-30 * SECOND, 200 * SECOND) | st.sampled_from([0, 60 * SECOND, 4000 * SECOND]),
        "AppRoleName": st.sampled_from(ROLES),
        "AppRoleInstance": st.sampled_from(["a", "b", "known", "", "ü\n🚀"]),
        "OperationName": st.sampled_from(["GET /a", "GET /b", "get /B", "GET /c", "", REST]),
        "Name": st.sampled_from(["", "named"]),
        "Url": st.sampled_from(
            ["https://h/api/x", "https://h/API/Health?q", "/api/health/live", "", "not a url", "http://h"]
        ),
        "Success": st.sampled_from([True, False, None]),
        "ResultCode": st.sampled_from(["200", "404", "499", "500", "0", "", "abc", "-1", "99999999999"]),
        "DurationMs": st.sampled_from([None, -1.0, 0.0, 99.0, 150.0, 900.0, 3.6e6, 3.7e6, 1e300, math.nan, math.inf]),
        "ItemCount": st.sampled_from([None, 0, -5, 1, 7]),
    }
)
scope_fields = st.fixed_dictionaries(
    {
        "since": st.sampled_from([BASE, BASE + 60]),
        "until": st.sampled_from([BASE + 120, BASE + 181]),
        "interval_seconds": st.sampled_from([1, 7, 60]),
        "operations": st.integers(0, 3),
        "critical_operations": st.sampled_from([(), ("GET /B",)]),
        "excluded_routes": st.sampled_from([(), ("/api/health",), ("/", "/x")]),
        "cold_seconds": st.sampled_from([0, 30]),
        "instances": st.sampled_from([{}, {"known": BASE - 3600, "a": BASE + 50}]),
        "thresholds_ms": st.sampled_from([{}, {"p95": 100.0}]),
    }
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(columns=st.lists(row_columns, max_size=40), fields=st.lists(scope_fields, min_size=2, max_size=2))
def test_the_counts_are_those_of_a_slow_obvious_count(world, columns, fields):
    world.logs.clear()
    for one in columns:
        moment = datetime.fromtimestamp(BASE, UTC).timestamp() * SECOND + one["at"]
        started = datetime.fromtimestamp(moment // SECOND, UTC).replace(microsecond=int(moment % SECOND))
        rest = {name: value for name, value in one.items() if name != "at"}
        world.logs.record(AppRequest(TimeGenerated=started, **rest))
    indicators = (world.failures, world.rejected, world.p95, world.slower)
    scopes = [
        world.scope(rollout="one", indicators=indicators, **fields[0]),
        world.scope(rollout="two", canary_role="cart", indicators=indicators[::-1], **fields[1]),
    ]
    found = world.look(*scopes)
    for scope in scopes:
        counted = found[scope.rollout]
        assert isinstance(counted, Counted), counted
        rows, ignored = obvious(columns, scope, BASE + 3600)
        assert sorted(counted.rows.list(), key=repr) == sorted(rows, key=repr)
        assert counted.ignored == ignored


def obvious(columns: list[dict[str, Any]], scope: Scope, now: int) -> tuple[list[Row], int]:
    """Row by row, in Python, microseconds since BASE."""
    roles = {scope.canary_role.lower(): Role.CANARY, scope.baseline_role.lower(): Role.BASELINE}
    start, end = (scope.since - BASE) * SECOND, (scope.until - BASE) * SECOND
    ignored = 0
    asked = []
    for row in columns:
        if row["AppRoleName"].lower() not in roles or not row["Url"] or excluded(row["Url"], scope):
            continue
        if row["at"] >= (now + 60 - BASE) * SECOND:
            ignored += 1
        elif start <= row["at"] < end:
            asked.append(row)
    births = {name: (seen - BASE) * SECOND for name, seen in scope.instances.items()}
    traffic: Counter[str] = Counter()
    for row in asked:
        instance = row["AppRoleInstance"] or "unknown"
        births[instance] = min(births.get(instance, row["at"]), row["at"])
        traffic[operation(row)] += max(1, row["ItemCount"] or 1)
    largest = sorted(traffic, key=lambda name: (-traffic[name], name))[: scope.operations]
    critical = {name.lower(): name for name in scope.critical_operations}
    counts: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0] * (3 + len(scope.indicators)))
    for row in asked:
        role, instance = roles[row["AppRoleName"].lower()], row["AppRoleInstance"] or "unknown"
        name = operation(row)
        label = critical.get(name.lower(), name if name in largest else REST)
        duration = row["DurationMs"]
        timed = duration is not None and 0 <= duration <= 3.6e6
        warm = timed and row["at"] >= births[instance] + scope.cold_seconds * SECOND
        second = BASE + row["at"] // SECOND
        line = counts[role, second - second % scope.interval_seconds, instance, label]
        ignored += not timed
        line[0] += 1
        line[1] += max(1, row["ItemCount"] or 1)
        line[2] += not warm
        for place, indicator in enumerate(scope.indicators, 3):
            line[place] += is_bad(row, indicator.name, role, scope, timed) and (warm or not indicator.warm_only)
    return [Row(*key, *line[:3], tuple(line[3:])) for key, line in counts.items()], ignored


def excluded(url: str, scope: Scope) -> bool:
    path = urlsplit(url).path.lower().rstrip("/") + "/"
    return any(path.startswith(route.rstrip("/") + "/") for route in scope.excluded_routes)


def operation(row: dict[str, Any]) -> str:
    return row["OperationName"] or row["Name"] or "unknown"


def is_bad(row: dict[str, Any], name: str, role: Role, scope: Scope, timed: bool) -> bool:
    code = int(row["ResultCode"]) if row["ResultCode"].lstrip("-").isdigit() else 0
    if code >= 2**31:
        code = 0  # no int: as good as none
    if name == "rejected":
        return 400 <= code < 500
    if name == "failures":
        return code >= 500 or (row["Success"] is False and not 400 <= code < 500)
    limit = 800.0 if name == "slow" else scope.thresholds_ms.get("p95")
    if limit is None or not timed:
        return False
    return row["DurationMs"] > limit * (1.2 if name == "p95" and role is Role.CANARY else 1)
