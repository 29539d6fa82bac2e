"""Settings of the function app: endpoints and names from the environment, secrets by the name of their setting."""

from collections.abc import Mapping
from typing import Self

import msgspec

from rollouts.errors import Misconfigured


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """Read once, at the first use. Only endpoints and durations differ between Azure and the lab."""

    state_url: str  # https://<account>.table.core.windows.net, or sqlite:///<absolute path>
    state_table: str = "canary"
    arm_url: str = "https://management.azure.com"
    logs_url: str = "https://api.loganalytics.io"
    arm_poll_seconds: float = 2.0  # between polls of a long-running named value write
    identity_client_id: str | None = None  # of the user-assigned identity; None = the system-assigned one
    policy_path: str = "canary.yaml"  # the packaged file, used until one is pushed
    slot_audience: str | None = None  # api://<client id> that slots behind Entra admit; None = they ask for no token
    preview_key: str | None = None  # secret header of the preview route; None = no preview route

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Self:
        """From the app settings; Misconfigured names every missing one and says what to write."""
        if not environment.get("STATE_URL"):
            raise Misconfigured(
                "STATE_URL is not set: write the storage account's table endpoint "
                "(https://<account>.table.core.windows.net) or sqlite:///<path> into the app settings"
            )
        names = {
            "state_url": "STATE_URL",
            "state_table": "STATE_TABLE",
            "arm_url": "ARM_URL",
            "logs_url": "LOGS_URL",
            "identity_client_id": "AZURE_CLIENT_ID",
            "policy_path": "CANARY_POLICY",
            "slot_audience": "SLOT_AUDIENCE",
            "preview_key": "PREVIEW_KEY",
        }
        given: dict[str, object] = {field: environment[name] for field, name in names.items() if environment.get(name)}
        if poll := environment.get("ARM_POLL_SECONDS"):
            try:
                given["arm_poll_seconds"] = float(poll)
            except ValueError as error:
                raise Misconfigured(f"ARM_POLL_SECONDS is {poll!r}: write a number of seconds, such as 2") from error
        return cls(**given)  # type: ignore[arg-type]  # the names are the fields' own
