"""The simulated adapters keep the contracts of the real ones: each claim is tried on both.

The real ones speak over https to the lab's stand-ins, as in Azure; what the simulation proves of the controller
on virtual time is worth as much as its adapters are alike.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from azure.identity import ManagedIdentityCredential

from analyzers.app_insights import AppInsights
from analyzers.judge.counts import Row
from analyzers.judge.indicators import Indicator, IndicatorKind
from controller.seams import MarkerShifter, PoolShifter, Prober, TelemetrySource
from lab.arm import Arm, Break, Fault
from lab.chat import Chat, Kind, broken
from lab.log_analytics import AppRequest, Ingestion, LogAnalytics
from lab.serving import Authority, Serving
from lab.simulated_telemetry import INSTANCES, OPERATIONS, SLOTS
from lab.simulation import START, Behaviour, PoolFault, Simulation
from lab.simulation import Chat as SimulatedChat
from lab.tokens import Tokens
from notifying.channels import open_channel
from notifying.outbox import Sender
from rollouts.errors import Conflict, Misconfigured, Unavailable
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Counted, Failed, Quantiles, Scope, Slot, Weights
from rollouts.policy import Channel
from shifting import health
from shifting.arm import ArmClients
from shifting.marker import Marker
from shifting.pool import Pool
from tests.simulation.conftest import POLICY

SERVICE = "/subscriptions/s/resourceGroups/rg/providers/Microsoft.ApiManagement/service/apim"
BACKENDS = {Slot.BLUE: "blue-backend", Slot.GREEN: "green-backend"}
POOL, MARKER = "green-blue-pool", "current-slot-name"
TEN, THIRTY = Weights.of(Slot.GREEN, 10), Weights.of(Slot.GREEN, 30)
WORKSPACE = "w1"
SIDES = ("azure", "simulation")


@pytest.fixture(scope="module")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    authority = Authority(tmp_path_factory.mktemp("authority"))
    with pytest.MonkeyPatch.context() as patch, Serving(authority) as running:
        patch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
        tokens = Tokens()
        for name, value in tokens.environment(running.serve(tokens.app(), tls=False)).items():
            patch.setenv(name, value)
        yield running


@pytest.fixture
def simulation(tmp_path: Path) -> Iterator[Simulation]:
    made = Simulation(POLICY, seed=5, rate=400, folder=tmp_path)
    yield made
    made.world.records.close()


@dataclass
class ManagementSide:
    """API Management as one side has it, and the ways in which it can fail."""

    pool: PoolShifter
    marker: MarkerShifter
    somebody_sets: Callable[[Weights], None]
    refuse: Callable[[], float]  # until when, epoch seconds
    fall_silent: Callable[[], None]  # reads fail
    answer_no_more_after_a_write: Callable[[], None]
    spoil_the_marker: Callable[[], None]
    truth: Callable[[], tuple[Weights, Slot]]


def azure_management(serving: Serving) -> ManagementSide:
    clock, arm = [1_000_000.0], Arm(operation_seconds=0.0, now=lambda: clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    for backend in BACKENDS.values():
        arm.backend(SERVICE, backend)
    pool = arm.pool(SERVICE, POOL, {"blue-backend": 100, "green-backend": 0})
    marker = arm.named_value(SERVICE, MARKER, "blue")
    clients = ArmClients(
        serving.serve(arm.app()), ManagedIdentityCredential, now=lambda: clock[0], sleep=sleep, poll_seconds=0.1
    )

    def sets(weights: Weights) -> None:
        arm.set_weights(pool, {"blue-backend": weights.blue, "green-backend": weights.green})

    def refuse() -> float:
        for method in ("PUT", "PATCH"):
            arm.break_with(Fault(Break.STATUS, method, status=429, retry_after="60"))
        return clock[0] + 60

    def silent() -> None:
        arm.break_with(Fault(Break.STATUS, "GET", status=503))

    def silent_after_a_write() -> None:
        arm.break_with(Fault(Break.MEDDLE, "PUT", meddle=silent))

    def truth() -> tuple[Weights, Slot]:
        found = arm.weights(pool)
        return Weights(blue=found["blue-backend"] or 0, green=found["green-backend"] or 0), Slot(arm.value(marker))

    return ManagementSide(
        pool=Pool(clients),
        marker=Marker(clients),
        somebody_sets=sets,
        refuse=refuse,
        fall_silent=silent,
        answer_no_more_after_a_write=silent_after_a_write,
        spoil_the_marker=lambda: arm.set_value(marker, "teal"),
        truth=truth,
    )


def simulated_management(simulation: Simulation) -> ManagementSide:
    pool, marker = simulation.pool, simulation.marker

    def refuse() -> float:
        pool.refuse_until = simulation.now + 60
        return pool.refuse_until

    return ManagementSide(
        pool=pool,
        marker=marker,
        somebody_sets=pool.set,
        refuse=refuse,
        fall_silent=lambda: setattr(pool, "unreadable_until", simulation.now + 60),
        answer_no_more_after_a_write=lambda: pool.faults.append(PoolFault.APPLIED),
        spoil_the_marker=lambda: setattr(marker, "unknown", True),
        truth=lambda: (pool.weights, marker.live),
    )


@pytest.fixture(params=SIDES)
def management(request: pytest.FixtureRequest, serving: Serving, simulation: Simulation) -> ManagementSide:
    return azure_management(serving) if request.param == "azure" else simulated_management(simulation)


def write(side: ManagementSide, weights: Weights, etag: str) -> Any:
    return side.pool.write(SERVICE, POOL, BACKENDS, weights, etag)


def test_a_write_is_read_back_and_read_again_alike(management: ManagementSide) -> None:
    before = management.pool.read(SERVICE, POOL, BACKENDS)
    assert before.weights == Weights.of(Slot.BLUE, 100)
    written = write(management, TEN, before.etag)
    assert written.weights == TEN
    assert written.etag != before.etag
    assert management.pool.read(SERVICE, POOL, BACKENDS) == written
    assert management.truth()[0] == TEN


def test_a_stale_etag_is_a_conflict_and_the_other_hands_weights_stay(management: ManagementSide) -> None:
    stale = management.pool.read(SERVICE, POOL, BACKENDS).etag
    management.somebody_sets(THIRTY)
    with pytest.raises(Conflict):
        write(management, TEN, stale)
    assert management.truth()[0] == THIRTY


def test_weights_that_are_there_already_are_not_written_whatever_the_etag(management: ManagementSide) -> None:
    stale = management.pool.read(SERVICE, POOL, BACKENDS).etag
    management.somebody_sets(TEN)
    now = management.pool.read(SERVICE, POOL, BACKENDS)
    assert write(management, TEN, stale) == now
    assert management.pool.read(SERVICE, POOL, BACKENDS) == now


def test_throttled_writes_say_until_when_and_change_nothing(management: ManagementSide) -> None:
    pool, marker = management.pool.read(SERVICE, POOL, BACKENDS), management.marker.read(SERVICE, MARKER)
    until = management.refuse()
    with pytest.raises(Unavailable) as caught:
        write(management, TEN, pool.etag)
    assert caught.value.retry_at == until
    with pytest.raises(Unavailable):
        management.marker.write(SERVICE, MARKER, Slot.GREEN, marker.etag)
    assert management.truth() == (Weights.of(Slot.BLUE, 100), Slot.BLUE)


def test_a_write_without_an_answer_may_have_been_applied(management: ManagementSide) -> None:
    etag = management.pool.read(SERVICE, POOL, BACKENDS).etag
    management.answer_no_more_after_a_write()
    with pytest.raises(Unavailable):
        write(management, TEN, etag)
    assert management.truth()[0] == TEN


def test_a_pool_that_cannot_be_read_is_unavailable(management: ManagementSide) -> None:
    management.fall_silent()
    with pytest.raises(Unavailable):
        management.pool.read(SERVICE, POOL, BACKENDS)


def test_the_marker_is_written_read_back_and_guarded_by_its_etag(management: ManagementSide) -> None:
    before = management.marker.read(SERVICE, MARKER)
    assert before.live is Slot.BLUE
    written = management.marker.write(SERVICE, MARKER, Slot.GREEN, before.etag)
    assert written.live is Slot.GREEN
    assert management.marker.read(SERVICE, MARKER) == written
    with pytest.raises(Conflict):
        management.marker.write(SERVICE, MARKER, Slot.BLUE, before.etag)
    assert management.marker.write(SERVICE, MARKER, Slot.GREEN, before.etag) == written, "it is so already"
    assert management.truth()[1] is Slot.GREEN


def test_a_marker_with_another_value_is_misconfigured(management: ManagementSide) -> None:
    management.spoil_the_marker()
    with pytest.raises(Misconfigured, match="teal"):
        management.marker.read(SERVICE, MARKER)


@dataclass
class SlotSide:
    """Green as one side has it."""

    prober: Prober
    url: str
    answer: Callable[[bool], None]  # healthy or not, as version 2.0


@pytest.fixture(params=SIDES)
def green(request: pytest.FixtureRequest, serving: Serving, simulation: Simulation) -> SlotSide:
    if request.param == "simulation":

        def simulated(healthy: bool) -> None:
            simulation.deploy(Slot.GREEN, "2.0")
            simulation.apps[Slot.GREEN].healthy = healthy

        return SlotSide(simulation.prober, "https://127.0.0.1:1/green", simulated)
    told = [True]

    async def handle(_request: web.Request) -> web.Response:
        return web.json_response({"version": "2.0"}, status=200 if told[0] else 503)

    app = web.Application()
    app.router.add_get("/{path:.*}", handle)
    ticks = iter(range(1, 1000))
    prober = health.Prober(timer=lambda: float(next(ticks)))
    return SlotSide(prober, serving.serve(app), lambda healthy: told.__setitem__(0, healthy))


@pytest.mark.parametrize("healthy", [True, False])
def test_a_probe_tells_health_and_version_and_never_raises(green: SlotSide, healthy: bool) -> None:
    green.answer(healthy)
    probe = green.prober.probe(green.url, "/api/health", 5.0, preview=False, slot=None)
    assert probe.healthy is healthy
    assert (probe.version == "2.0") is healthy
    assert ("2.0" if healthy else "503") in probe.detail
    assert green.prober.warm_up(green.url, "/api/warmup", 3, 5.0, preview=False, slot=None) is healthy


INDICATORS = (
    Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.02, ratio=1.25),
    Indicator(name="rejected", kind=IndicatorKind.REJECTED, points=0.02, ratio=1.5),
    Indicator(name="slow", kind=IndicatorKind.SLOWER_THAN, points=0.02, ratio=1.25, threshold_ms=300),
    Indicator(name="p95", kind=IndicatorKind.QUANTILE, points=0.02, ratio=1, quantile=0.95, slowdown=0.2),
)
SECONDS = 12  # of traffic
INGESTED = START + SECONDS + 60  # the slowest request has ended, and its row is there


@dataclass
class TelemetrySide:
    """The same traffic, as one side tells of it."""

    source: TelemetrySource
    pass_to: Callable[[float], None]  # epoch seconds
    fail: Callable[[], None]


def scope(since: float = START, seconds: int = SECONDS) -> Scope:
    return Scope(
        rollout="r1",
        canary_role="checkout-green",
        baseline_role="checkout-blue",
        since=int(since),
        until=int(since) + seconds,
        interval_seconds=1,
        indicators=INDICATORS,
        thresholds_ms={"p95": 400.0},
        critical_operations=("POST /pay",),
        operations=10,
        excluded_routes=("/api/health",),
        cold_seconds=0,
        instances={},
    )


def as_requests(simulation: Simulation) -> Iterator[AppRequest]:
    """The simulation's traffic, request by request, as the slots' hosts would tell it to Application Insights."""
    count = round(1 / simulation.telemetry.keep)
    for minute in simulation.telemetry.minutes:
        for index in range(len(minute.rows)):
            role = f"checkout-{SLOTS[minute.rows.slot[index]]}"
            code = int(minute.rows.code[index])
            yield AppRequest(
                TimeGenerated=datetime.fromtimestamp(minute.start + index / (len(minute.rows) + 1), UTC),
                AppRoleName=role,
                AppRoleInstance=f"{role}-{minute.rows.instance[index]}",
                OperationName=OPERATIONS[minute.rows.operation[index]],
                Url="https://shop.example/api/hello",
                ResultCode=str(code),
                Success=code < 400,
                DurationMs=float(minute.rows.latency_ms[index]),
                ItemCount=count,
            )


def traffic(simulation: Simulation, keep: float = 1.0) -> Simulation:
    """Some seconds of both slots: green fails, rejects and is slow."""
    simulation.telemetry.keep = keep
    simulation.deploy(Slot.GREEN, "2.0", Behaviour(failures=0.05, rejected=0.03, slowdown=2.0))
    simulation.pool.set(THIRTY)
    simulation.run(SECONDS)
    return simulation


def sides(simulation: Simulation, serving: Serving) -> dict[str, TelemetrySide]:
    """Both, told of the same requests."""
    clock = [START]
    delay = Ingestion(delay_seconds=simulation.telemetry.delay_seconds, jitter_seconds=0)
    logs = LogAnalytics(lambda: clock[0], workspaces=[WORKSPACE], ingestion=delay)
    for one in as_requests(simulation):
        logs.record(one)
    azure = AppInsights(serving.serve(logs.application()), ManagedIdentityCredential, sleep=lambda _seconds: None)
    return {
        "azure": TelemetrySide(
            azure, lambda now: clock.__setitem__(0, now), lambda: setattr(logs.faults, "outage", True)
        ),
        "simulation": TelemetrySide(
            simulation.telemetry,
            lambda now: setattr(simulation, "now", now),
            lambda: setattr(simulation.telemetry, "outage_until", INGESTED + 60),
        ),
    }


def counted(side: TelemetrySide, asked: Scope, now: float = INGESTED) -> list[Row]:
    side.pass_to(now)
    found = side.source.counts(WORKSPACE, [asked], now)[asked.rollout]
    assert isinstance(found, Counted), found
    return sorted(found.rows.list(), key=lambda row: (row.interval, row.role, row.instance, row.operation))


@pytest.mark.parametrize("keep", [1.0, 0.5])
def test_the_same_requests_are_the_same_rows(simulation: Simulation, serving: Serving, keep: float) -> None:
    both = sides(traffic(simulation, keep), serving)
    azure, simulated = (counted(both[name], scope()) for name in SIDES)
    assert azure == simulated
    assert len(azure) > SECONDS * INSTANCES
    assert all(sum(row.bad[index] for row in azure) for index in range(len(INDICATORS))), "each indicator saw some"


def test_only_the_window_is_counted(simulation: Simulation, serving: Serving) -> None:
    both = sides(traffic(simulation), serving)
    azure, simulated = (counted(both[name], scope(START + 3, 5)) for name in SIDES)
    assert azure == simulated
    assert {row.interval for row in azure} == set(range(int(START) + 3, int(START) + 8))


@pytest.mark.parametrize("name", SIDES)
def test_a_row_is_not_counted_before_it_is_ingested(simulation: Simulation, serving: Serving, name: str) -> None:
    """What is not there yet is no row of zero either: its second is absent."""
    side = sides(traffic(simulation), serving)[name]
    last = START + SECONDS - 1
    assert max(row.interval for row in counted(side, scope(), last + 0.9)) < last
    assert max(row.interval for row in counted(side, scope())) == last


def test_the_quantiles_are_the_baselines_own(simulation: Simulation, serving: Serving) -> None:
    both = sides(traffic(simulation), serving)
    for side in both.values():
        side.pass_to(INGESTED)
    azure, simulated = (both[name].source.quantiles(WORKSPACE, scope(), [0.5, 0.95]) for name in SIDES)
    assert isinstance(azure, Quantiles)
    assert isinstance(simulated, Quantiles)
    assert azure.requests == simulated.requests > 1000
    for quantile in (0.5, 0.95):
        assert np.isclose(azure.milliseconds[quantile], simulated.milliseconds[quantile], rtol=0.02)


@pytest.mark.parametrize("name", SIDES)
def test_an_outage_is_a_failure_and_never_no_rows(simulation: Simulation, serving: Serving, name: str) -> None:
    side = sides(traffic(simulation), serving)[name]
    side.pass_to(INGESTED)
    side.fail()
    assert isinstance(side.source.counts(WORKSPACE, [scope()], INGESTED)["r1"], Failed)
    assert isinstance(side.source.quantiles(WORKSPACE, scope(), [0.95]), Failed)


@dataclass
class ChannelSide:
    """One channel, and what arrived in it."""

    channel: Sender
    fall_silent: Callable[[], None]
    arrived: Callable[[], int]


@pytest.fixture(params=SIDES)
def channel(request: pytest.FixtureRequest, serving: Serving, simulation: Simulation) -> ChannelSide:
    if request.param == "simulation":
        return ChannelSide(
            SimulatedChat(simulation, "team"),
            lambda: setattr(simulation, "chat_down_until", simulation.now + 60),
            lambda: len(simulation.told),
        )
    chat = Chat()
    settings = chat.environment(serving.serve(chat.app()))
    opened = open_channel(
        Channel(name="team", kind="teams", url_setting="TEAMS_WEBHOOK_URL"), settings, ManagedIdentityCredential
    )
    return ChannelSide(opened, lambda: chat.play(Kind.TEAMS, *[broken(503)] * 5), lambda: len(chat.taken()))


def test_a_notice_arrives_or_is_unavailable(channel: ChannelSide) -> None:
    notice = Notice(
        id="r1-1-started",
        kind=NoticeKind.STARTED,
        service="checkout",
        rollout="r1",
        version="2.0",
        canary=Slot.GREEN,
        at=START,
        text="begins",
        channels=("team",),
    )
    channel.channel.send(notice)
    assert channel.arrived() == 1
    channel.fall_silent()
    with pytest.raises(Unavailable):
        channel.channel.send(notice)
    assert channel.arrived() == 1
