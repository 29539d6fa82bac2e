"""The same world without HTTP, on virtual time: production code decides, only the adapters are simulated.

Hours of a rollout pass in a second, every draw comes from one seed, and the process can be killed after any
single effect. The adapters here are held to the contracts of the real ones by tests/simulation/test_contracts.py.
"""

import copy
import sqlite3
import tempfile
from collections.abc import Callable, Sequence
from enum import StrEnum
from pathlib import Path

import msgspec
import numpy as np

from controller import intake, signals
from controller.config import load
from controller.tick import tick
from controller.world import World, in_order
from lab.simulated_telemetry import INSTANCES, NO_ROW, OPERATIONS, SLOTS, Minute, Requests, SimulatedTelemetry
from rollouts.errors import CanaryError, Conflict, Misconfigured, Unavailable
from rollouts.notice import Notice
from rollouts.observation import MarkerReading, PoolReading, Probe, Slot, Weights
from rollouts.policy import Policy
from rollouts.rollout import Rollout
from storing.contract import Delete, Put, Record
from storing.records import Records
from storing.sqlite import SqliteStore

START = 1_700_000_040.0  # a whole minute; any would do
MIX = (0.6, 0.395, 0.005)  # POST /pay is the critical route with half a percent of the traffic
EFFECT_SECONDS = 0.001  # of every touch of the world: two looks at the clock in one tick are never the same moment
SIGMA = 0.8  # of the lognormal latency
MEDIAN_MS = 120.0


class Crash(BaseException):
    """The process is killed here. Not an Exception: nothing may catch it."""


class PoolFault(StrEnum):
    """What goes wrong with one write of the pool."""

    APPLIED = "applied"  # it is applied, and its answer is lost
    THROTTLED = "throttled"  # 429
    STALE = "stale"  # somebody else wrote first: 412


class Behaviour(msgspec.Struct, frozen=True, kw_only=True):
    """How one version answers. Rates are fractions."""

    failures: float = 0.004
    rejected: float = 0.002
    slowdown: float = 1.0  # factor on the latency
    onset: float = 0.0  # seconds after the version's first traffic until the faults below begin
    late_failures: float = 0.0
    vanished: float = 0.0  # requests that fail without leaving a row
    broken_operation: str | None = None
    sick_instance: float = 0.0  # failure rate of the first instance alone


class App(msgspec.Struct, kw_only=True):
    """One slot's function app."""

    version: str
    behaviour: Behaviour
    healthy: bool = True
    health_detail: str = ""
    first_traffic: float | None = None


class SimulatedPool:
    """The pool, with the faults of a pool."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.weights = Weights.of(Slot.BLUE, 100)
        self.revision = 1
        self.writes: list[Weights] = []
        self.faults: list[PoolFault] = []  # of the next writes, one each
        self.refuse_until = 0.0
        self.unreadable_until = 0.0

    def read(self, _service: str, _pool: str, _backends: dict[Slot, str]) -> PoolReading:
        self.sim.effect("pool.read")
        if self.sim.now < self.unreadable_until:
            raise Unavailable("the pool does not answer")
        return PoolReading(weights=self.weights, etag=str(self.revision))

    def write(self, _service: str, _pool: str, _backends: dict[Slot, str], weights: Weights, etag: str) -> PoolReading:
        self.sim.effect("pool.write")
        if self.weights == weights:
            return PoolReading(weights=self.weights, etag=str(self.revision))
        if self.sim.now < self.refuse_until:
            raise Unavailable("429 Too Many Requests", retry_at=self.refuse_until)
        fault = self.faults.pop(0) if self.faults else None
        if fault is PoolFault.THROTTLED:
            raise Unavailable("429 Too Many Requests", retry_at=self.sim.now + 1)
        if fault is PoolFault.STALE or etag != str(self.revision):
            self.revision += 1
            raise Conflict("412 Precondition Failed")
        self.set(weights)
        self.writes.append(weights)
        self.sim.effect("pool.written")
        if fault is PoolFault.APPLIED:
            raise Unavailable("no answer in 30 s")
        return PoolReading(weights=self.weights, etag=str(self.revision))

    def set(self, weights: Weights) -> None:
        """Anybody's hand."""
        self.weights = weights
        self.revision += 1


class SimulatedMarker:
    """The named value."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim
        self.live = Slot.BLUE
        self.revision = 1
        self.writes: list[Slot] = []
        self.unknown = False

    def read(self, _service: str, marker: str) -> MarkerReading:
        self.sim.effect("marker.read")
        if self.unknown:
            raise Misconfigured(f"{marker} holds 'teal': write blue or green into it")
        return MarkerReading(live=self.live, etag=str(self.revision))

    def write(self, _service: str, _marker: str, live: Slot, etag: str) -> MarkerReading:
        self.sim.effect("marker.write")
        if self.live is live:
            return MarkerReading(live=self.live, etag=str(self.revision))
        if self.sim.now < self.sim.pool.refuse_until:
            raise Unavailable("429 Too Many Requests", retry_at=self.sim.pool.refuse_until)
        if etag != str(self.revision):
            raise Conflict("412 Precondition Failed")
        self.live, self.revision = live, self.revision + 1
        self.writes.append(live)
        self.sim.effect("marker.written")
        return MarkerReading(live=live, etag=str(self.revision))


class SimulatedProber:
    """Health URLs: the last part of a slot's URL is its name."""

    def __init__(self, sim: "Simulation") -> None:
        self.sim = sim

    def probe(self, url: str, _path: str, _timeout_seconds: float, *, preview: bool, slot: Slot | None) -> Probe:
        self.sim.effect("probe")
        app = self.sim.apps[slot if preview and slot is not None else Slot(url.rsplit("/", 1)[-1])]
        if not app.healthy:
            return Probe(healthy=False, version=None, detail=app.health_detail or "503")
        return Probe(healthy=True, version=app.version, detail=f"200 version {app.version}", seconds=0.02)

    def warm_up(
        self, url: str, path: str, requests: int, timeout_seconds: float, *, preview: bool, slot: Slot | None
    ) -> bool:
        self.sim.effect("warm_up")
        return requests > 0 and self.probe(url, path, timeout_seconds, preview=preview, slot=slot).healthy


class Chat:
    """One channel: keeps what it was sent."""

    def __init__(self, sim: "Simulation", name: str) -> None:
        self.sim = sim
        self.name = name

    def send(self, notice: Notice) -> None:
        self.sim.effect("channel.send")
        if self.sim.now < self.sim.chat_down_until:
            raise Unavailable("the channel answers 503")
        self.sim.told.append((self.name, notice))


class Simulation:
    """A service `checkout` on blue (live, 1.0) and green, with traffic, a clock and a controller."""

    def __init__(self, policy: str, *, seed: int, rate: float = 300.0, folder: Path | None = None) -> None:
        self.random = np.random.default_rng(seed)
        self.now = START
        self.rate = rate  # requests an interval
        self.store_file = (folder or Path(tempfile.mkdtemp(prefix="canary-"))) / "state.sqlite"
        self.policy: Policy = load(policy)
        self.apps = {
            Slot.BLUE: App(version="1.0", behaviour=Behaviour()),
            Slot.GREEN: App(version="0.9", behaviour=Behaviour()),
        }
        self.pool, self.marker = SimulatedPool(self), SimulatedMarker(self)
        self.telemetry, self.prober = SimulatedTelemetry(self), SimulatedProber(self)
        self.told: list[tuple[str, Notice]] = []
        self.chat_down_until = 0.0
        self.common_failures = 0.0  # of both slots: a shared outage
        self.later: list[tuple[float, Callable[[], None]]] = []
        self.effects = 0
        self.spent = 0.0  # seconds that the effects of this interval took so far
        self.crash_at: int | None = None  # kill the process at this effect; None = never
        self.world = self._boot()

    @property
    def interval(self) -> int:
        """Seconds."""
        return next(iter(self.policy.services.values())).pin.interval_seconds

    def effect(self, _name: str) -> None:
        """Every touch of the world: where a crash may come."""
        self.effects += 1
        self.spent += EFFECT_SECONDS
        if self.crash_at is not None and self.effects == self.crash_at:
            raise Crash

    def _boot(self) -> World:
        records = _Watched(SqliteStore(self.store_file, "canary"), self)
        return World(
            now=lambda: self.now + self.spent,
            records=Records(records),
            policy=lambda: self.policy,
            packaged=lambda: "",
            telemetry=self.telemetry,
            pool=self.pool,
            marker=self.marker,
            prober=self.prober,
            channel=lambda channel: Chat(self, channel.name),
            each=in_order,
        )

    def restart(self) -> None:
        """The process is gone: a new one finds what is stored, and nothing else."""
        self.world.records.close()
        self.world = self._boot()

    def fork(self, folder: Path) -> "Simulation":
        """The same world once more, to go on differently: same state, same luck."""
        if self.later:
            raise CanaryError("a simulation with planned actions cannot be forked: they belong to this one")
        folder.mkdir(parents=True, exist_ok=True)
        twin: Simulation = copy.deepcopy(self, {id(self.world): None})
        twin.store_file = folder / "state.sqlite"
        with sqlite3.connect(self.store_file) as source, sqlite3.connect(twin.store_file) as target:
            source.backup(target)
        twin.world = twin._boot()
        return twin

    def at(self, seconds: float, action: Callable[[], None]) -> None:
        """Do `action` that many seconds from now."""
        self.later.append((self.now + seconds, action))

    def deploy(self, slot: Slot, version: str, behaviour: Behaviour | None = None) -> None:
        """New code on a slot."""
        self.apps[slot] = App(version=version, behaviour=behaviour or Behaviour())

    def announce(
        self,
        version: str,
        *,
        slot: Slot | None = None,
        deployment: str | None = None,
        at: float | None = None,
        **data: object,
    ) -> None:
        """The pipeline's event, through the intake."""
        told = {"service": "checkout", "version": version, "deploymentId": deployment or f"run-{version}", **data}
        if slot is not None:
            told["slot"] = slot
        self.signal(signals.DEPLOYMENT_COMPLETED, "checkout", told, at=at)

    def signal(self, kind: str, subject: str, data: object = None, *, at: float | None = None) -> None:
        """Any event, through the intake."""
        event = signals.Arrived(type=kind, id=f"e-{self.effects}", subject=subject, data=data, at=at)
        self._alive(lambda: intake.receive(self.world, event))

    def step(self) -> None:
        """One interval: traffic, what was planned, the tick, sometimes the lookout."""
        self._traffic()
        self.now, self.spent = self.now + self.interval, 0.0
        for due in [one for one in self.later if one[0] <= self.now]:
            self.later.remove(due)
            due[1]()
        self._alive(self._tick)

    def _tick(self) -> None:
        active = self.world.records.active()
        if active:
            tick(self.world, active)
        if round(self.now - START) % (5 * self.interval) == 0:
            intake.lookout_all(self.world)

    def _alive(self, work: Callable[[], object]) -> None:
        try:
            work()
        except Crash:
            self.restart()

    def run(self, intervals: int, until: Callable[[], bool] | None = None) -> int:
        """Steps until `until` holds or the intervals are over; how many were made."""
        for made in range(intervals):
            if until is not None and until():
                return made
            self.step()
        return intervals

    @property
    def rollout(self) -> Rollout | None:
        """The newest rollout, as stored; None = there was none yet."""
        stored = self.world.records.newest("checkout")
        return stored.value if stored else None

    def closed(self) -> bool:
        """Whether the newest rollout is closed and everything told."""
        rollout = self.rollout
        return rollout is not None and rollout.closed and not self.world.records.active()

    def kinds(self) -> list[str]:
        """Kinds of the notices told, in order."""
        return [str(notice.kind) for _, notice in self.told]

    def _traffic(self) -> None:
        total = int(self.random.poisson(self.rate))
        green = int((self.random.random(total) < self.pool.weights.green / 100).sum())
        sent = self._answers(Slot.BLUE, total - green) + self._answers(Slot.GREEN, green)
        kept = (sent.code != NO_ROW) & (self.random.random(total) < self.telemetry.keep)
        visible_at = self.now + self.interval + self.telemetry.delay_seconds
        self.telemetry.minutes.append(Minute(start=int(self.now), rows=sent.chosen(kept), visible_at=visible_at))

    def _answers(self, slot: Slot, count: int) -> Requests:
        """How a slot answers `count` requests of this interval."""
        app, draw = self.apps[slot], self.random
        if count and app.first_traffic is None:
            app.first_traffic = self.now
        how = app.behaviour
        ill = app.first_traffic is not None and self.now - app.first_traffic >= how.onset
        instance = draw.integers(0, INSTANCES, count)
        operation = draw.choice(len(OPERATIONS), count, p=MIX)
        latency = draw.lognormal(np.log(MEDIAN_MS), SIGMA, count) * (how.slowdown if ill else 1.0)
        failing = np.full(count, 1 - (1 - how.failures) * (1 - self.common_failures))
        if ill:
            failing = np.maximum(failing, how.late_failures)
            failing[instance == 0] = np.maximum(failing[instance == 0], how.sick_instance)
            if how.broken_operation is not None:
                failing[operation == OPERATIONS.index(how.broken_operation)] = 1.0
        luck = draw.random(count)
        code = np.where(luck < failing, 500, np.where(luck > 1 - how.rejected, 401, 200))
        if ill and how.vanished:
            code[draw.random(count) < how.vanished] = NO_ROW
        side = np.full(count, SLOTS.index(slot))
        return Requests(slot=side, instance=instance, operation=operation, latency_ms=latency, code=code)


class _Watched:
    """The store, with every access an effect of its own: before it and after it a crash may come."""

    def __init__(self, store: SqliteStore, sim: Simulation) -> None:
        self._store = store
        self._sim = sim

    def get(self, partition: str, key: str) -> Record | None:
        return self._store.get(partition, key)

    def scan(self, partition: str, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[Record]:
        return self._store.scan(partition, prefix, after=after, limit=limit)

    def commit(self, partition: str, writes: Sequence[Put | Delete]) -> dict[str, str]:
        self._sim.effect("store.commit")
        etags = self._store.commit(partition, writes)
        self._sim.effect("store.committed")
        return etags

    def close(self) -> None:
        self._store.close()
