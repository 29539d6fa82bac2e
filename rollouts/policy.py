"""The policy as the controller uses it: resolved, in seconds and fractions. policy_file reads it.

`Pin` is what a rollout keeps for its life; the rest of a ServicePolicy stays current.
"""

from typing import Literal

import msgspec

from analyzers.judge.indicators import Indicator
from rollouts.observation import Mode, Slot

# The words of canary.yaml, in the order in which they are offered.
PresetName = Literal["careful", "standard", "low-traffic"]
ChannelKind = Literal["teams", "slack", "webhook", "event_grid"]
Via = Literal["direct", "gateway"]
PromoteWhen = Literal["proven", "unrefuted"]
WhenOver = Literal["hold", "rollback"]  # what follows a deadline, or a time without telemetry
Rollback = Literal["auto", "ask"]
NonHttp = Literal["refused", "accepted"]


class SlotConfig(msgspec.Struct, frozen=True, kw_only=True):
    """One function app behind the pool."""

    backend: str  # the pool member's backend name: blue-backend
    url: str  # https://app.azurewebsites.net, no trailing slash
    role_name: str  # AppRoleName in the telemetry
    site: str | None = None  # ARM id of the function app, to recognise ARM writes; None = not mapped
    deployment_container: str | None = None  # blob container of its packages, to recognise BlobCreated


class Gate(msgspec.Struct, frozen=True, kw_only=True):
    """What must hold before any traffic."""

    path: str = "/api/health"
    successes: int = 3  # ticks in a row
    deadline_seconds: int = 900
    via: Via = "direct"
    gateway_url: str | None = None  # via gateway: the preview route's URL; the header's secret is a setting
    timeout_seconds: float = 5.0
    warm_up_path: str | None = None  # None = no warm-up requests
    warm_up_requests: int = 10


class HoldLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long the bounded holds may last, seconds, and what then."""

    blind_seconds: int = 900
    at_blind: WhenOver = "hold"
    unobserved_seconds: int = 600
    one_instance_seconds: int = 600
    approval_seconds: int = 72 * 3600  # then share 0: a weekend's forgotten approval
    pause_seconds: int = 24 * 3600  # a pause that named no expiry


class Pin(msgspec.Struct, frozen=True, kw_only=True):
    """What a rollout keeps for its whole life, whatever happens to the file."""

    api_management: str  # ARM id of the API Management service
    pool: str  # backend name of the pool
    marker: str  # name of the named value
    workspace: str  # Log Analytics workspace id (customer id)
    slots: dict[Slot, SlotConfig]
    steps: tuple[int, ...]  # percent, increasing, the last is 100
    bake_seconds: int
    deadline_seconds: int  # per judged step
    watch_seconds: int
    history_seconds: int  # the baseline's window before the rollout
    indicators: tuple[Indicator, ...]
    gate: Gate
    limits: HoldLimits
    promote_when: PromoteWhen = "proven"
    min_requests: int = 100  # canary rows that `unrefuted` asks for
    at_deadline: WhenOver = "hold"
    rollback: Rollback = "auto"
    critical_operations: tuple[str, ...] = ()
    excluded_routes: tuple[str, ...] = ()  # beside the gate's and warm-up's paths
    alpha: float = 0.01
    beta: float = 0.01
    interval_seconds: int = 60
    settle_seconds: int = 240  # ingestion delay plus the slowest judged request
    propagation_seconds: int = 10  # until every gateway instance uses new weights
    cold_seconds: int = 30
    operations: int = 10  # told apart by traffic

    @property
    def backends(self) -> dict[Slot, str]:
        """Names of the slots' backends in the pool."""
        return {slot: config.backend for slot, config in self.slots.items()}

    @property
    def horizon(self) -> int:
        """Intervals in which a fault may begin: all deadlines and the watch."""
        judged = len(self.steps) - 1
        return max(1, (judged * self.deadline_seconds + self.watch_seconds) // self.interval_seconds)


class Channel(msgspec.Struct, frozen=True, kw_only=True):
    """Where notices go. The URL or key is a setting of the function app, named here, never written here."""

    name: str
    kind: ChannelKind
    url_setting: str  # name of the app setting that holds the URL (event_grid: the topic's endpoint)


class ServicePolicy(msgspec.Struct, frozen=True, kw_only=True):
    """One service: what is pinned at the start of a rollout, and what stays current."""

    name: str
    preset: PresetName
    mode: Mode
    approvals: tuple[int, ...]  # shares (of steps) that a person must approve before they are set
    channels: tuple[str, ...]
    pin: Pin
    non_http: NonHttp = "refused"  # functions that weights do not govern
    stands_in: str = ""  # why the packaged file speaks here instead of the pushed one; "" = it does not


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """The whole file, resolved."""

    services: dict[str, ServicePolicy]
    channels: dict[str, Channel]


def standing_in(packaged: Policy, why: str) -> Policy:
    """The packaged policy in place of a pushed one that cannot be read; `why` says so. Mode `act` becomes `advise`.

    The pushed policy may have said `observe`: nobody can tell. Rollouts that run keep the mode that they had.
    """
    return msgspec.structs.replace(
        packaged,
        services={
            name: msgspec.structs.replace(one, mode=Mode.ADVISE if one.mode is Mode.ACT else one.mode, stands_in=why)
            for name, one in packaged.services.items()
        },
    )
