"""Our queries as Microsoft's own parser and binder of Kusto reads them: the lab translates only a part of KQL."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from analyzers import app_insights_kql
from analyzers.app_insights_lines import OWN_COLUMNS
from analyzers.judge.indicators import Indicator, IndicatorKind
from lab.kql_engine import COLUMNS
from rollouts.observation import Scope
from tests.npm import NpmMissingError, installed

VERSION = "12.4.1"
ALERTS_AND_CHARTS = Path(__file__).parents[2] / "bicep" / "queries"
TYPES = {
    "TIMESTAMP": "DateTime",
    "BOOLEAN": "Bool",
    "DOUBLE": "Real",
    "INTEGER": "Int",
    "JSON": "Dynamic",
    "VARCHAR": "String",
}
TABLES = {
    "AppRequests": {name: TYPES[kind] for name, kind in COLUMNS.items()},
    "AppTraces": {"TimeGenerated": "DateTime", "Message": "String", "Properties": "Dynamic", "ItemCount": "Int"},
}
OWN = """
AppRequests
| where TimeGenerated >= _startTime and TimeGenerated < _endTime and AppRoleName in~ (_roles)
| summarize rows = count(), bad = countif(Properties.declined == "true")
    by role_name = AppRoleName, instance = AppRoleInstance, operation = OperationName,
       interval = bin(TimeGenerated, _interval)
"""


def read(queries: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Per query: `mistakes`, and `columns` of its answer as (name, type)."""
    try:
        package = installed("@kusto/language-service-next", VERSION, "the tests of KQL")
    except NpmMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NOT RUN: {missing}")
    asked = json.dumps({"tables": TABLES, "queries": queries})
    program = Path(__file__).with_name("kusto.js")
    done = subprocess.run(
        ["node", str(program), str(package)], input=asked, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = json.loads(done.stdout)
    return found


def ours(scope: Scope, plain: Indicator, *more: Indicator) -> dict[str, str]:
    """Every text that is sent to Log Analytics, for one and for several rollouts, with all that a policy may ask."""
    whole = replace(
        scope,
        indicators=(plain, *more),
        thresholds_ms={"p95": 123.4},
        critical_operations=("POST /pay", 'we"ird\\ \nname'),
        cold_seconds=60,
        instances={"green-1": scope.since, 'blue"2': scope.since},
    )
    until = float(scope.until)
    return {
        "one rollout": app_insights_kql.counting([whole], until),
        "two rollouts": app_insights_kql.counting([whole, replace(scope, rollout="r2", excluded_routes=())], until),
        "quantiles": app_insights_kql.quantiles(replace(whole, canary_role=""), [0.5, 0.95]),
        "own": app_insights_kql.own(whole, replace(plain, kind=IndicatorKind.QUERY, query=OWN)),
    }


def test_kusto_reads_every_query_that_is_sent_and_tells_what_is_wrong_in_a_bad_one(world):
    alerts = {path.stem: path.read_text(encoding="utf-8") for path in ALERTS_AND_CHARTS.glob("*.kql")}
    bad = {"bad": "AppRequests | where Rolename == 1 | extend x = coalesce(ItemCount, true)"}
    answers = read(ours(world.scope(), world.failures, world.rejected, world.slower, world.p95) | alerts | bad)
    assert len(answers.pop("bad")["mistakes"]) == 2
    assert {name: one["mistakes"] for name, one in answers.items()} == {name: [] for name in answers}
    for name in ("one rollout", "two rollouts"):
        types = dict(answers[name]["columns"])
        assert set(types.values()) == {"string", "long"}, types  # strings, and whole numbers
        assert [column for column in types if column.startswith("slow_")] == ["slow_1", "slow_2"]
    assert [name for name, _ in answers["own"]["columns"]] == list(OWN_COLUMNS)
    assert alerts
