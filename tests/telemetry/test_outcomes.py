"""What is not an answer is never a count: every refusal becomes a named outcome, with what to do."""

import pytest
from aiohttp import web
from azure.core.exceptions import ClientAuthenticationError

from analyzers import app_insights, app_insights_kql
from analyzers.app_insights import AppInsights
from lab.serving import Serving
from rollouts.observation import Counted, Failed, Quantiles


def many(world, number):
    """Scopes r0, r1, ... with a row of the canary each."""
    scopes = []
    for n in range(number):
        world.add(f"s{n:02}-green")
        scopes.append(world.scope(rollout=f"r{n}", canary_role=f"s{n:02}-green", baseline_role=f"s{n:02}-blue"))
    return scopes


def failed(found):
    return sorted(rollout for rollout, outcome in found.items() if isinstance(outcome, Failed))


def test_a_throttled_query_waits_as_long_as_it_is_told_and_then_counts(world):
    world.logs.faults.throttle = 1
    world.logs.faults.retry_after = "3"
    assert isinstance(world.look(world.scope())["r1"], Counted)
    assert world.sleeps == [3.0]


def test_a_wait_beyond_the_budget_is_left_to_the_next_tick(world):
    world.logs.faults.throttle = 5
    world.logs.faults.retry_after = "45"
    found = world.look(world.scope(), world.scope(rollout="r2"), now=world.start + 1000)
    assert failed(found) == ["r1", "r2"]
    assert found["r1"].retry_at == world.start + 1045
    assert not found["r1"].permanent
    assert "429 ThrottledError" in found["r1"].detail
    assert (world.sleeps, len(world.logs.queries)) == ([], 1)


def test_throttling_without_a_wish_backs_off_and_gives_up(world):
    world.logs.faults.throttle = 99
    world.logs.faults.retry_after = None
    found = world.look(world.scope())
    assert failed(found) == ["r1"]
    assert (world.sleeps, len(world.logs.queries)) == ([0.5, 1.0], 3)


def test_a_wish_may_be_a_date(world):
    world.logs.faults.throttle = 1
    world.logs.faults.retry_after = "Fri, 31 Dec 2100 23:59:59 GMT"
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert found.retry_at > world.start + 3600 + 365 * 86_400


@pytest.mark.parametrize(("fault", "code", "asked"), [("outage", "503", 3), ("timeout", "504", 1)])
def test_an_outage_is_tried_again_and_a_query_that_took_too_long_is_not(world, fault, code, asked):
    """A second query of the same length would make a tick twice as long, and the service no less busy."""
    setattr(world.logs.faults, fault, True)
    scopes = many(world, 3)
    found = world.look(*scopes)
    assert failed(found) == ["r0", "r1", "r2"]
    assert code in found["r0"].detail
    assert not found["r0"].permanent
    assert len(world.logs.queries) == asked
    setattr(world.logs.faults, fault, False)
    assert failed(world.look(*scopes)) == []


def test_the_service_ends_a_query_before_we_stop_listening(world):
    """It would work on for nobody, and the next tick would find it busier."""
    world.logs.faults.busy_seconds = 60
    source = AppInsights(world.url, lambda: world.credential, sleep=world.sleeps.append, read_seconds=2.0)
    found = source.counts(world.workspace, [world.scope()], world.start)["r1"]
    assert isinstance(found, Failed)
    assert "504 GatewayTimeout" in found.detail
    assert (world.sleeps, len(world.logs.queries)) == ([], 1)


def test_after_giving_up_no_further_query_of_the_look_is_asked(world):
    own = world.own("AppRequests | take 0 | project role_name = '', instance = '', operation = ''")
    world.logs.faults.outage = True
    found = world.look(*(world.scope(rollout=f"r{n}", indicators=(own,)) for n in range(5)))
    assert len(failed(found)) == 5
    assert len(world.logs.queries) == 3


def test_a_query_that_does_not_answer_is_given_up(world):
    world.logs.faults.hang_seconds = 5
    source = AppInsights(world.url, lambda: world.credential, sleep=world.sleeps.append, read_seconds=0.2)
    found = source.counts(world.workspace, [world.scope()], world.start)["r1"]
    assert isinstance(found, Failed)
    assert "no answer in 0.2 s" in found.detail
    assert world.sleeps == []


def test_an_unreachable_service_is_an_outage(world):
    source = AppInsights("https://127.0.0.1:9", lambda: world.credential, sleep=world.sleeps.append)
    found = source.counts(world.workspace, [world.scope()], world.start)["r1"]
    assert isinstance(found, Failed)
    assert "was not reached" in found.detail
    assert not found.permanent
    assert len(world.sleeps) == 2


def test_a_partial_answer_is_never_counted(world):
    world.add("shop-green", times=4)
    world.logs.faults.partial = True
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert "only a part of the answer came (Failed to load a data shard" in found.detail
    assert not found.permanent
    assert len(world.logs.queries) == 1


def test_a_workspace_without_requests_names_the_knob(world):
    """Log Analytics knows a table once it holds rows: another workspace, or apps that never sent any."""
    world.logs.faults.semantic = "AppRequests"
    found = world.look(world.scope(), world.scope(rollout="r2"))
    assert failed(found) == ["r1", "r2"]
    assert found["r1"].permanent
    assert "SEM0100" in found["r1"].detail
    assert "is services.*.workspace the workspace of the slots' Application Insights?" in found["r1"].detail
    assert len(world.logs.queries) == 2, "the common query, and the one that blames no scope"


def test_a_missing_role_is_named(world):
    world.logs.faults.forbidden = True
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert found.permanent
    assert "Log Analytics Data Reader" in found.detail
    assert len(world.logs.queries) == 1


def test_the_token_is_asked_for_the_api_and_not_for_the_endpoint(world):
    world.look(world.scope())
    assert world.credential.scopes == ["https://api.loganalytics.io/.default"]


def test_a_token_for_somebody_else_is_a_permanent_failure(world):
    world.credential.audience = "https://management.azure.com"
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert found.permanent
    assert "401" in found.detail


def test_without_an_identity_the_failure_names_it(world):
    class Nobody:
        def get_token(self, *_, **__):
            raise ClientAuthenticationError("no managed identity endpoint found")

    source = AppInsights(world.url, Nobody, sleep=world.sleeps.append)
    found = source.counts(world.workspace, [world.scope()], world.start)["r1"]
    assert isinstance(found, Failed)
    assert found.permanent
    assert "AZURE_CLIENT_ID" in found.detail


def test_an_unknown_workspace_is_named(world):
    found = world.source.counts("no-such", [world.scope()], world.start)["r1"]
    assert isinstance(found, Failed)
    assert found.permanent
    assert "no-such" in found.detail
    assert "services.*.workspace" in found.detail


def test_a_broken_scope_is_found_by_halving_and_fails_alone(world):
    world.logs.faults.semantic = "s13-green"
    found = world.look(*many(world, 50))
    assert failed(found) == ["r13"]
    assert found["r13"].permanent
    assert "SEM0100" in found["r13"].detail
    assert sum(len(one.rows) for one in found.values() if isinstance(one, Counted)) == 49
    # the group, the question about nobody, and two halves for each of 50, 25, 12 or 13, 6 or 7, 3 and 2
    assert len(world.logs.queries) <= 2 + 2 * 6


def test_where_everything_is_refused_two_queries_are_enough(world):
    world.logs.faults.semantic = "AppRequests"
    found = world.look(*many(world, 50))
    assert len(failed(found)) == 50
    assert found["r7"].permanent
    assert len(world.logs.queries) == 2


def test_halving_is_bounded(world):
    world.logs.faults.semantic = "-green"
    found = world.look(*many(world, 50))
    assert len(failed(found)) == 50
    assert len(world.logs.queries) == app_insights.QUERIES_LIMIT + 1
    assert "32 queries" in found["r49"].detail
    assert not found["r49"].permanent


def test_a_scope_with_too_many_lines_is_refused_with_advice_and_the_others_are_counted(world, monkeypatch):
    monkeypatch.setattr(app_insights_kql, "ROW_LIMIT", 8)
    scopes = many(world, 5)
    for n in range(9):
        world.add("s03-green", OperationName=f"GET /{n}")  # in one minute
    found = world.look(*scopes)
    assert failed(found) == ["r3"]
    assert found["r3"].permanent
    assert "8 lines or more" in found["r3"].detail
    assert "expert.operations" in found["r3"].detail


def test_a_window_too_long_for_one_answer_is_asked_in_parts_and_wholly_counted(world, monkeypatch):
    for minute in range(5):
        for n in range(3):
            world.add("shop-green", at=60 * minute + n, OperationName=f"GET /{n}", AppRoleInstance=f"i{minute // 2}")
    world.add("shop-blue", at=4000)  # from the future, as seen an hour after the start
    scope = world.scope(cold_seconds=30)
    whole = world.look(scope)["r1"]
    monkeypatch.setattr(app_insights_kql, "ROW_LIMIT", 7)
    parts = world.look(scope, world.scope(rollout="r2", canary_role="tea-green", baseline_role="tea-blue"))
    assert sorted(parts["r1"].rows.list(), key=repr) == sorted(whole.rows.list(), key=repr)
    assert (parts["r1"].first_seen, parts["r1"].ignored) == (whole.first_seen, whole.ignored)
    assert isinstance(parts["r2"], Counted)


def test_what_the_service_cuts_is_asked_in_parts_like_what_we_would_cut(world):
    """It answers 200 with the rows that fit: of a group of many services none would ever be counted."""
    for minute in range(5):
        for n in range(3):
            world.add("shop-green", at=60 * minute + n, OperationName=f"GET /{n}")
    scopes = [*many(world, 3), world.scope(rollout="busy")]
    whole = world.look(*scopes)
    world.logs.faults.most_rows = 7
    parts = world.look(*scopes)
    assert failed(parts) == []
    assert {name: sorted(one.rows.list(), key=repr) for name, one in parts.items()} == {
        name: sorted(one.rows.list(), key=repr) for name, one in whole.items()
    }
    world.logs.faults.most_rows = 2
    lost = world.look(*scopes)
    assert failed(lost) == ["busy"], "one minute of it has three lines"
    assert "0x80DA0003" in lost["busy"].detail


def test_a_window_in_parts_is_counted_wholly_or_not_at_all(world, monkeypatch):
    for minute in range(5):
        for n in range(3):
            world.add("shop-green", at=60 * minute + n, OperationName=f"GET /{n}")
    for n in range(9):
        world.add("shop-green", at=240 + n, OperationName=f"POST /{n}")
    monkeypatch.setattr(app_insights_kql, "ROW_LIMIT", 8)
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed), "one minute of it has too many lines"
    assert "expert.operations" in found.detail


def test_a_text_that_grows_too_long_is_asked_in_parts(world, monkeypatch):
    scopes = many(world, 4)
    monkeypatch.setattr(app_insights_kql, "CHARACTER_LIMIT", len(app_insights_kql.counting(scopes[:2], 0.0)))
    assert failed(world.look(*scopes)) == []
    assert len(world.logs.queries) == 2


def test_stale_telemetry_is_an_answer_without_the_newest_rows(world):
    world.logs.faults.stale = True
    world.add("shop-green")
    assert len(world.look(world.scope())["r1"].rows) == 0
    world.logs.faults.stale = False
    assert len(world.look(world.scope())["r1"].rows) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"rows": -1},
        {"rows": "many"},
        {"cold": None},
        {"scope": 7},
        {"role": "spare"},
        {"failures": 99},
        {"rows": True},
        {"interval": None},
        {"failures": None},
    ],
)
def test_an_answer_of_another_shape_is_not_counted(world, monkeypatch, change):
    world.add("shop-green")
    spoilt = ", ".join(f"{name} = {kql(value)}" for name, value in change.items())
    counting = app_insights_kql.counting
    monkeypatch.setattr(app_insights_kql, "counting", lambda *of: f"{counting(*of)}\n| extend {spoilt}")
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert found.permanent


def kql(value):
    return "long(null)" if value is None else repr(value).replace("True", "true")


def test_an_answer_without_a_column_is_not_counted(world, monkeypatch):
    world.add("shop-green")
    counting = app_insights_kql.counting
    monkeypatch.setattr(app_insights_kql, "counting", lambda *of: f"{counting(*of)}\n| project-away cold")
    found = world.look(world.scope())["r1"]
    assert isinstance(found, Failed)
    assert "'cold'" in found.detail


@pytest.mark.parametrize(
    "body",
    [
        "<html>a proxy</html>",
        "null",
        '{"tables": null}',
        '{"tables": [{"name": "t", "columns": [{"name": "scope", "type": "long"}], "rows": [[0, 1]]}]}',
        '{"tables": [{"name": "t", "columns": [{"name": "scope", "type": "long"}], "rows": [[]]}]}',
        '{"tables": [{"name": "t", "columns": [{"name": "scope", "type": "long"}], "rows": [7]}]}',
        "[" * 100_000,
    ],
    ids=["html", "null", "no table", "long line", "short line", "no line", "endless nesting"],
)
def test_a_body_that_is_no_answer_is_a_failure_and_never_an_error_of_ours(authority, world, body):
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(text=body, content_type="application/json")

    app = web.Application()
    app.router.add_post("/{path:.*}", answer)
    with Serving(authority) as serving:
        source = AppInsights(serving.serve(app), lambda: world.credential, sleep=world.sleeps.append)
        found = source.counts(world.workspace, [world.scope()], world.start + 3600.0)["r1"]
        assert isinstance(found, Failed)
        assert not found.permanent
        assert isinstance(source.quantiles(world.workspace, world.scope(), (0.95,)), Failed)


def test_quantiles_are_those_of_the_baselines_warm_rows(world):
    for n in range(1, 101):
        world.add("shop-blue", 100, DurationMs=float(n))
        world.add("shop-green", 100, DurationMs=5000.0)
    world.add("shop-blue", 2, AppRoleInstance="cold", DurationMs=9000.0)
    world.add("shop-blue", 100, DurationMs=-1.0)
    world.add("shop-blue", 100, DurationMs=8000.0, Url="/api/health")
    world.clock[0] += 3600
    scope = world.scope(cold_seconds=30, instances={"shop-blue-1": world.start - 60})
    found = world.source.quantiles(world.workspace, scope, [0.5, 0.95, 0.999])
    assert isinstance(found, Quantiles)
    assert found.requests == 100
    assert abs(found.milliseconds[0.5] - 50) <= 1
    assert abs(found.milliseconds[0.95] - 95) <= 1
    assert found.milliseconds[0.999] == 100


def test_without_rows_there_is_no_quantile(world):
    assert world.source.quantiles(world.workspace, world.scope(), [0.95]) == Quantiles(milliseconds={}, requests=0)


@pytest.mark.parametrize("fault", ["outage", "partial", "forbidden", "timeout"])
def test_quantiles_fail_as_counts_do(world, fault):
    setattr(world.logs.faults, fault, True)
    world.add("shop-blue", times=3)
    found = world.source.quantiles(world.workspace, world.scope(), [0.95])
    assert isinstance(found, Failed)
    assert found.permanent == (fault == "forbidden")
