"""Many services at once, over adapters in memory: what a tick costs when nothing waits for the network."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec
import numpy as np

from analyzers.judge.counts import Role, Row, Rows
from controller import intake, signals
from controller.config import load
from controller.tick import tick
from controller.world import World
from rollouts import limits
from rollouts.notice import Notice
from rollouts.observation import (
    Counted,
    Failed,
    MarkerReading,
    PoolReading,
    Probe,
    Quantiles,
    Scope,
    Slot,
    Weights,
)
from rollouts.rollout import Phase
from storing.records import Records
from storing.sqlite import SqliteStore

START = 1_700_000_040.0
INSTANCES, OPERATIONS = 3, 4
REQUESTS = 12  # a minute for each instance and operation: 144 a slot, about 200,000 a day
WARM_MINUTES = 30  # judged minutes before the measured ticks
SERVICE = """
  {name}:
    preset: standard
    api_management: {group}/providers/Microsoft.ApiManagement/service/gateway
    pool: {name}-pool
    marker: {name}-slot
    workspace: 00000000-0000-0000-0000-000000000000
    bake: 2h
    deadline: 4h
    slots:
      blue: {{backend: {name}-blue, url: "https://{name}-blue.example", role_name: {name}-blue}}
      green: {{backend: {name}-green, url: "https://{name}-green.example", role_name: {name}-green}}
    gate: {{path: /api/health, successes: 1}}
    indicators:
      failures: {{points: 0.5, ratio: 1.25}}
      rejected: {{points: 1, ratio: 1.5}}
      slo: {{slower_than: 800ms, points: 1, ratio: 1.25}}
      p95: off
    notify: [team]
"""
GROUP = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg"
CHANNELS = "channels:\n  team: {kind: webhook, url_setting: TEAM_WEBHOOK_URL}\nservices:"


class Fleet:
    """`size` services, each with a rollout under way; every adapter's half of the world is here."""

    def __init__(self, size: int) -> None:
        self.names = [f"service-{number:03}" for number in range(size)]
        policy = load(CHANNELS + "".join(SERVICE.format(name=name, group=GROUP) for name in self.names))
        self.now = START
        self.weights = dict.fromkeys((f"{name}-pool" for name in self.names), Weights.of(Slot.BLUE, 100))
        self.told = 0
        store = SqliteStore(Path(tempfile.mkdtemp(prefix="canary-bench-")) / "state.db", "canary")
        self.world = World(
            now=lambda: self.now,
            records=Records(store),
            policy=lambda: policy,
            packaged=lambda: "",
            telemetry=_Telemetry(),
            pool=_Pool(self.weights),
            marker=_Marker(),
            prober=_Prober(),
            channel=lambda _channel: _Channel(self),
        )

    def begin(self) -> None:
        """Start every rollout, pass the gates, and let them gather WARM_MINUTES of counts in five-minute ticks."""
        for name in self.names:
            data = {"service": name, "version": "2.0", "deploymentId": f"run-{name}"}
            event = signals.Arrived(type=signals.DEPLOYMENT_COMPLETED, id=name, subject=name, data=data)
            intake.receive(self.world, event)
        for _ in range(2):
            self.tick(60)
        for _ in range(WARM_MINUTES // 5):
            self.tick(300)
        phases = {one.value.phase for name in self.names if (one := self.world.records.newest(name)) is not None}
        if phases != {Phase.STEP}:
            raise RuntimeError(f"the rollouts stand at {sorted(phases)}: a tick of the steps was to be measured")

    def tick(self, seconds: float) -> None:
        """One tick of every group, `seconds` after the last."""
        self.now += seconds
        for first in range(0, len(self.names), limits.GROUP_SERVICES):
            tick(self.world, self.names[first : first + limits.GROUP_SERVICES], self.now)


class _Telemetry:
    """Both slots alike, at the share of the first step; drawn from the scope's own name and time."""

    def counts(self, _workspace: str, scopes: Sequence[Scope], now: float) -> dict[str, Counted | Failed]:
        return {one.rollout: self._counted(one, now) for one in scopes}

    def quantiles(self, _workspace: str, _scope: Scope, quantiles: Sequence[float]) -> Quantiles | Failed:
        return Quantiles(milliseconds=dict.fromkeys(quantiles, 500.0), requests=100_000)

    def _counted(self, scope: Scope, now: float) -> Counted:
        random = np.random.default_rng(scope.since)
        roles = [(Role.CANARY, scope.canary_role, 0.1), (Role.BASELINE, scope.baseline_role, 0.9)]
        width = len(scope.indicators)
        rows = []
        for start in range(scope.since, min(scope.until, int(now)), scope.interval_seconds):
            for role, name, share in roles:
                if not name:
                    continue
                counts = random.poisson(2 * REQUESTS * share, (INSTANCES, OPERATIONS))
                bad = random.binomial(np.repeat(counts[..., None], width, axis=2), 0.004)
                rows += [
                    Row(
                        role,
                        start,
                        f"{name}-{i}",
                        f"GET /{o}",
                        int(counts[i, o]),
                        int(counts[i, o]),
                        0,
                        tuple(bad[i, o].tolist()),
                    )
                    for i in range(INSTANCES)
                    for o in range(OPERATIONS)
                ]
        return Counted(rows=Rows.of(rows, width))


class _Pool:
    def __init__(self, weights: dict[str, Weights]) -> None:
        self._weights = weights

    def read(self, _service: str, pool: str, _backends: dict[Slot, str]) -> PoolReading:
        return PoolReading(weights=self._weights[pool], etag="1")

    def write(self, _service: str, pool: str, _backends: dict[Slot, str], weights: Weights, etag: str) -> PoolReading:
        self._weights[pool] = weights
        return PoolReading(weights=weights, etag=etag)


class _Marker:
    def read(self, _service: str, _marker: str) -> MarkerReading:
        return MarkerReading(live=Slot.BLUE, etag="1")

    def write(self, _service: str, _marker: str, live: Slot, etag: str) -> MarkerReading:
        return MarkerReading(live=live, etag=etag)


class _Prober:
    def probe(self, url: str, *_path_and_timeout: object, **_way: object) -> Probe:
        return Probe(healthy=True, version="2.0" if "green" in url else "1.0", detail="200", seconds=0.02)

    def warm_up(self, *_what: object, **_way: object) -> bool:
        return True


class _Channel:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet

    def send(self, _notice: Notice) -> None:
        self._fleet.told += 1


class Cost(msgspec.Struct, frozen=True):
    """Of one tick of all groups."""

    wall_ms: float
    cpu_seconds: float
    peak_mb: float  # of the whole process


def measured(size: int, clock: Callable[[], float], cpu: Callable[[], float], peak: Callable[[], float]) -> Cost:
    """The second of two ticks, a minute apart, of `size` rollouts in the middle of their first step."""
    fleet = Fleet(size)
    fleet.begin()
    fleet.tick(60)
    began, worked = clock(), cpu()
    fleet.tick(60)
    cost = Cost((clock() - began) * 1000, cpu() - worked, peak())
    fleet.world.records.close()
    return cost
