"""One stand-in for Log Analytics over real https, and the real client in front of it."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from azure.core.credentials import AccessToken

from analyzers.app_insights import AppInsights
from analyzers.judge.counts import Row
from analyzers.judge.indicators import Indicator, IndicatorKind
from lab.log_analytics import AppRequest, Ingestion, LogAnalytics
from lab.serving import Authority, Serving
from lab.tokens import make
from rollouts.observation import Counted, Failed, Scope

START = 1_700_000_040  # a whole minute; all tests' rows lie after it
WORKSPACE = "a-workspace"


class Credential:
    """Issues tokens for whatever audience is asked for, as a managed identity does."""

    def __init__(self) -> None:
        self.scopes: list[str] = []
        self.audience: str | None = None  # None = the one that was asked for

    def get_token(self, *scopes: str, **_: Any) -> AccessToken:
        self.scopes += scopes
        expires = int(time.time()) + 3600
        return AccessToken(make(self.audience or scopes[0].removesuffix("/.default"), expires=expires), expires)


class World:
    """Rows on one side, the source on the other, `now` in between."""

    start = START
    workspace = WORKSPACE
    failures = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.005, ratio=1.25)
    rejected = Indicator(name="rejected", kind=IndicatorKind.REJECTED, points=0.01, ratio=1.5)
    slower = Indicator(name="slow", kind=IndicatorKind.SLOWER_THAN, points=0.01, ratio=1.25, threshold_ms=800)
    p95 = Indicator(
        name="p95", kind=IndicatorKind.QUANTILE, points=0.01, ratio=1, quantile=0.95, slowdown=0.2, warm_only=True
    )

    def __init__(self, url: str, logs: LogAnalytics, clock: list[float]) -> None:
        self.url = url
        self.logs = logs
        self.clock = clock
        self.sleeps: list[float] = []
        self.credential = Credential()
        self.source = AppInsights(url, lambda: self.credential, sleep=self.sleeps.append)

    def add(self, role: str, at: float = 0.0, times: int = 1, **columns: Any) -> None:
        """`times` rows of `role`, `at` seconds after START."""
        row: dict[str, Any] = {
            "TimeGenerated": datetime.fromtimestamp(START + at, UTC),
            "AppRoleName": role,
            "AppRoleInstance": f"{role}-1",
            "OperationName": "GET /",
            "Url": "https://shop.example/api/cart",
            "DurationMs": 50.0,
        }
        for _ in range(times):
            self.logs.record(AppRequest(**(row | columns)))

    def look(self, *scopes: Scope, now: float | None = None) -> dict[str, Counted | Failed]:
        """Count at `now`, by default an hour after START."""
        self.clock[0] = START + 80_000.0  # whatever was recorded is there by now
        return self.source.counts(WORKSPACE, scopes, START + 3600 if now is None else now)

    def rows(self, one: Scope) -> list[Row]:
        """The rows of one scope, which must have been counted, in order."""
        found = self.look(one)[one.rollout]
        assert isinstance(found, Counted), found
        return sorted(found.rows.list(), key=lambda row: (row.interval, row.role, row.instance, row.operation))

    @staticmethod
    def own(query: str, *, warm_only: bool = False) -> Indicator:
        """An indicator `declined` of kind query."""
        return Indicator(
            name="declined",
            kind=IndicatorKind.QUERY,
            points=0.01,
            ratio=1.25,
            query=query,
            warm_only=warm_only,
        )

    @staticmethod
    def scope(**fields: Any) -> Scope:
        """One rollout of `shop`: canary shop-green, baseline shop-blue, five minutes."""
        plain: dict[str, Any] = {
            "rollout": "r1",
            "canary_role": "shop-green",
            "baseline_role": "shop-blue",
            "since": START,
            "until": START + 300,
            "interval_seconds": 60,
            "indicators": (World.failures,),
            "thresholds_ms": {},
            "critical_operations": (),
            "operations": 10,
            "excluded_routes": ("/api/health",),
            "cold_seconds": 0,
            "instances": {},
        }
        return Scope(**(plain | fields))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def world(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    clock = [float(START)]
    logs = LogAnalytics(
        lambda: clock[0],
        workspaces=[WORKSPACE],
        ingestion=Ingestion(delay_seconds=0, jitter_seconds=0),
    )
    with Serving(authority) as serving:
        yield World(serving.serve(logs.application()), logs, clock)
