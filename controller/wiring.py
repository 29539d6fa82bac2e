"""From settings to adapters, once per process. The only clock and the only credential are made here.

Everything heavy is imported at its first use: an idle tick loads neither azure.mgmt nor azure.monitor.
"""

import os
import time
from collections.abc import Callable, Mapping
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from controller.config import load
from controller.seams import MarkerShifter, PoolShifter, Prober, TelemetrySource
from controller.settings import Settings
from controller.world import World
from notifying.outbox import Sender
from rollouts.errors import Misconfigured, PolicyError
from rollouts.policy import Channel, Policy, standing_in
from storing.opening import open_store
from storing.records import Records

if TYPE_CHECKING:
    from azure.identity import ManagedIdentityCredential

    from shifting.arm import ArmClients


class Wiring:
    """The adapters that the settings ask for, each made when it is first needed."""

    def __init__(self, environment: Mapping[str, str], root: Path) -> None:
        self._environment = environment
        self._root = root  # where the packaged policy lies
        self.settings = Settings.read(environment)
        self.now = time.time
        self._parsed: tuple[str, Policy] | None = None  # the text last parsed, and what it meant

    @cached_property
    def credential(self) -> "ManagedIdentityCredential":
        """The function app's own identity: no key, no secret."""
        from azure.identity import ManagedIdentityCredential

        return ManagedIdentityCredential(client_id=self.settings.identity_client_id)

    @cached_property
    def world(self) -> World:
        """The controller's world, over the real adapters."""
        return World(
            now=self.now,
            records=self.records,
            policy=self.policy,
            packaged=self.packaged,
            telemetry=_Lazy(self._telemetry),
            pool=_Lazy(self._pool),
            marker=_Lazy(self._marker),
            prober=_Lazy(self._prober),
            channel=self.channel,
        )

    @cached_property
    def records(self) -> Records:
        """The state."""
        return Records(open_store(self.settings.state_url, self.settings.state_table, lambda: self.credential))

    def policy(self) -> Policy:
        """The policy in force: the newest pushed one, else the packaged file.

        A pushed policy that this version cannot read any more is told as an incident, once; the packaged one stands in
        for it, and moves no traffic by itself.
        """
        pushed = self.records.policy()
        if pushed is None:
            return self._parse(self.packaged())
        try:
            return self._parse(pushed.yaml)
        except PolicyError as error:
            source = f"pushed version {pushed.version}"
            why = (
                f"The policy that was pushed (version {pushed.version}) cannot be read by this version: "
                f"{error.problems[0]}. The packaged one stands in for it, at most in mode advise, and what runs goes "
                "on as it was: push a good one (canary config push)"
            )
            if self.records.refused_policy(pushed.yaml, error.problems, source, time.time()):
                self.records.record_incident("bad_policy", why, time.time())
            return standing_in(self._parse(self.packaged()), why)

    def packaged(self) -> str:
        """The text of the packaged policy."""
        path = self._root / self.settings.policy_path
        try:
            return path.read_text(encoding="utf-8")
        except OSError as error:
            raise Misconfigured(
                f"the policy file {self.settings.policy_path} cannot be read ({error.strerror}): package canary.yaml "
                "beside function_app.py, or name it in CANARY_POLICY"
            ) from error

    def _parse(self, text: str) -> Policy:
        if self._parsed is None or self._parsed[0] != text:
            self._parsed = (text, load(text))
        return self._parsed[1]

    def channel(self, channel: Channel) -> Sender:
        """The adapter of one channel; Misconfigured names the setting that is missing."""
        from notifying.channels import open_channel

        return open_channel(channel, self._environment, lambda: self.credential)

    def _telemetry(self) -> TelemetrySource:
        from analyzers.app_insights import AppInsights

        return AppInsights(self.settings.logs_url, lambda: self.credential)

    @cached_property
    def _arm(self) -> "ArmClients":
        from shifting.arm import ArmClients

        return ArmClients(
            self.settings.arm_url,
            lambda: self.credential,
            now=time.time,
            sleep=time.sleep,
            poll_seconds=self.settings.arm_poll_seconds,
        )

    def _pool(self) -> PoolShifter:
        from shifting.pool import Pool

        return Pool(self._arm)

    def _marker(self) -> MarkerShifter:
        from shifting.marker import Marker

        return Marker(self._arm)

    def _prober(self) -> Prober:
        from shifting.health import Prober as SlotProber

        audience = self.settings.slot_audience
        token = (lambda: self.credential.get_token(f"{audience}/.default").token) if audience else None
        return SlotProber(timer=time.monotonic, preview_key=self.settings.preview_key, token=token)


class _Lazy:
    """An adapter that is made, and its SDK imported, at the first call of one of its methods."""

    def __init__(self, make: Callable[[], object]) -> None:
        self._make = cache(make)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._make(), name)


@cache
def wired() -> Wiring:
    """The wiring of this process."""
    return Wiring(os.environ, Path(__file__).resolve().parent.parent)
