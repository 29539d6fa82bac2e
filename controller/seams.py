"""What the controller asks of the world, and no more. Adapters match these by shape; none imports this file.

Adapters raise Conflict, Unavailable and Misconfigured (rollouts.errors), with their library's error chained.
What delivers a notice is a notifying.outbox.Sender.
"""

from collections.abc import Sequence
from typing import Protocol

from rollouts.observation import Counted, Failed, MarkerReading, PoolReading, Probe, Quantiles, Scope, Slot, Weights


class TelemetrySource(Protocol):
    """Counts requests. Never answers zero for a question that it could not ask."""

    def counts(self, workspace: str, scopes: Sequence[Scope], now: float) -> dict[str, Counted | Failed]:
        """One query for all scopes; by rollout id. A broken scope is found by bisecting and fails alone."""

    def quantiles(self, workspace: str, scope: Scope, quantiles: Sequence[float]) -> Quantiles | Failed:
        """The baseline's own latency quantiles over [since, until), warm rows only."""


class PoolShifter(Protocol):
    """Reads and writes the weights of one backend pool."""

    def read(self, api_management: str, pool: str, backends: dict[Slot, str]) -> PoolReading:
        """The weights now, in percent, with the ETag."""

    def write(
        self, api_management: str, pool: str, backends: dict[Slot, str], weights: Weights, etag: str
    ) -> PoolReading:
        """Set the weights if the pool is still at `etag`; the answer is what was read back afterwards."""


class MarkerShifter(Protocol):
    """Reads and writes the named value that says which slot is live."""

    def read(self, api_management: str, marker: str) -> MarkerReading:
        """The live slot, with the ETag."""

    def write(self, api_management: str, marker: str, live: Slot, etag: str) -> MarkerReading:
        """Set it if it is still at `etag`, wait for the operation; the answer is what was read back."""


class Prober(Protocol):
    """Looks at a slot through its health URL. Never raises: an unreachable slot is an answer.

    `preview` asks through the gateway's preview route (gate.via: gateway), which `slot` names.
    """

    def probe(self, url: str, path: str, timeout_seconds: float, *, preview: bool, slot: Slot | None) -> Probe:
        """One GET."""

    def warm_up(
        self, url: str, path: str, requests: int, timeout_seconds: float, *, preview: bool, slot: Slot | None
    ) -> bool:
        """Send `requests` GETs; True when all were answered below 500."""
