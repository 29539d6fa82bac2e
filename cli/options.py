"""Options and arguments that several commands share: the same name, help and rule everywhere."""

import getpass
import os
import re
from typing import Annotated

import typer

from cli.remote import URL_SETTING
from rollouts.policy_file import leaves

ROLLOUT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")


def service_name(value: str | None) -> str | None:
    """A service's name, as canary.yaml allows it."""
    if value is not None and not re.fullmatch(leaves.SERVICE_PATTERN, value):
        raise typer.BadParameter(
            f"{leaves.shown(value)} is no service's name: write lower-case letters, digits and -, such as checkout"
        )
    return value


def rollout_id(value: str | None) -> str | None:
    """A rollout's id, as `canary status` prints it."""
    if value is not None and not ROLLOUT_ID.fullmatch(value):
        raise typer.BadParameter(f"{leaves.shown(value)} is no rollout's id: copy it from `canary status`")
    return value


def duration(value: str) -> str:
    """A duration in the words of canary.yaml; kept as text, `seconds` converts it."""
    return _within(value, "0s", "30d")


def lease_time(value: str) -> str:
    """What the function app accepts as the length of a lease."""
    return _within(value, "1s", "24h")


def _within(value: str, low: str, high: str) -> str:
    try:
        leaves.seconds(low, high, example="30m").read(value)
    except leaves.Unfit as unfit:
        raise typer.BadParameter(f"got {leaves.shown(value)}: {unfit}") from unfit
    return value


def seconds(value: str) -> int:
    """Seconds of a duration that `duration` let through."""
    return leaves.seconds("0s", "30d", example="30m").read(value)


def whoami() -> str:
    """Who acts, as claimed: the pipeline's person where one is named, else this machine's user."""
    for name in ("CANARY_ACTOR", "GITHUB_ACTOR", "BUILD_REQUESTEDFOR"):
        if value := os.environ.get(name):
            return value
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a user's name
        return "unknown"


def whose_run() -> str:
    """Whose lease it is: the pipeline's run where there is one, else the person."""
    if run := os.environ.get("GITHUB_RUN_ID"):
        return f"github {os.environ.get('GITHUB_REPOSITORY', '')} run {run}".replace("  ", " ")
    if build := os.environ.get("BUILD_BUILDID"):
        return f"azure-pipelines {os.environ.get('SYSTEM_TEAMPROJECT', '')} build {build}".replace("  ", " ")
    return whoami()


Service = Annotated[str, typer.Argument(help="Name of the service in canary.yaml.", callback=service_name)]
SomeService = Annotated[
    str | None, typer.Argument(help="Name of the service; all when left out.", callback=service_name)
]
RolloutId = Annotated[str, typer.Argument(help="The rollout's id, from `canary status`.", callback=rollout_id)]
Url = Annotated[
    str | None,
    typer.Option("--url", envvar=URL_SETTING, help="The function app; its key is read from CANARY_KEY only."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of text.")]
Actor = Annotated[
    str, typer.Option("--actor", help="Who acts, for the record.", default_factory=whoami, show_default="who runs it")
]
Reason = Annotated[str | None, typer.Option("--reason", help="Why, for the record and the chat.")]
PolicyFile = Annotated[str, typer.Option("--policy", envvar="CANARY_POLICY", help="The policy file.")]
