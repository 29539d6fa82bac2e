"""The controller's own adapters, for commands that work without the function app: shift --direct and doctor."""

import os
import re
import time
from functools import cached_property
from typing import TYPE_CHECKING

from cli.credential import NotSignedIn, claims, credential
from cli.ending import BadInput
from cli.resources import SCOPE, Resources
from controller.seams import MarkerShifter, Prober, TelemetrySource
from controller.settings import Settings
from rollouts.errors import Misconfigured
from shifting.arm import ArmClients

if TYPE_CHECKING:
    from shifting.pool import Pool


class Adapters:
    """Made when first used; endpoints from the same environment variables as the function app's."""

    @cached_property
    def settings(self) -> Settings:
        """Endpoints. The state is the function app's own: these commands have none."""
        try:
            return Settings.read({**os.environ, "STATE_URL": "none"})
        except Misconfigured as error:
            raise BadInput(str(error)) from error

    @cached_property
    def caller(self) -> dict[str, str]:
        """The claims of the Azure token of whoever runs this (oid, tid, upn ...); NotSignedIn without one."""
        told = claims(credential().get_token(SCOPE).token)
        return {name: value for name, value in told.items() if isinstance(value, str)}

    def object_id(self) -> str:
        """The caller's, as `az role assignment create --assignee` takes it; a placeholder where nothing says it."""
        try:
            told = self.caller.get("oid", "")
        except NotSignedIn:
            told = ""
        return told if re.fullmatch(r"[0-9A-Fa-f-]{36}", told) else "<principal>"

    @cached_property
    def pool(self) -> "Pool":
        """Backend pools."""
        from shifting.pool import Pool

        return Pool(self._arm)

    @cached_property
    def marker(self) -> MarkerShifter:
        """Named values."""
        from shifting.marker import Marker

        return Marker(self._arm)

    @cached_property
    def prober(self) -> Prober:
        """Health URLs."""
        from shifting.health import Prober as SlotProber

        audience = self.settings.slot_audience
        token = (lambda: credential().get_token(f"{audience}/.default").token) if audience else None
        return SlotProber(timer=time.monotonic, preview_key=self.settings.preview_key, token=token)

    @cached_property
    def telemetry(self) -> TelemetrySource:
        """Application Insights, through its workspace."""
        from analyzers.app_insights import AppInsights

        return AppInsights(self.settings.logs_url, credential)

    @cached_property
    def resources(self) -> Resources:
        """Function apps, and API Management's tier."""
        return Resources(self.settings.arm_url, credential, time.time)

    @cached_property
    def _arm(self) -> ArmClients:
        poll = self.settings.arm_poll_seconds
        return ArmClients(self.settings.arm_url, credential, now=time.time, sleep=time.sleep, poll_seconds=poll)
