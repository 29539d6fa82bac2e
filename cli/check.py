"""`canary check`: is a policy file right? Every problem in one pass, nothing is asked of any server."""

from pathlib import Path
from typing import Annotated

import typer

from cli.ending import BadInput, ends
from cli.options import AsJson
from cli.screen import Screen
from controller.config import MAX_BYTES, load
from rollouts.errors import PolicyError
from rollouts.policy import Policy, ServicePolicy
from rollouts.policy_file.leaves import duration_text


def read_policy(file: str) -> tuple[str, Policy]:
    """The file's text and what it means; PolicyError with every problem, BadInput when it cannot be read."""
    try:
        with Path(file).open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise BadInput(f"{file}: {error.strerror or 'cannot be read'}: write the path of a canary.yaml") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if len(data) <= MAX_BYTES:
            raise PolicyError([f"{file}: got a byte that is not UTF-8 at {error.start}: save it as UTF-8"]) from error
        text = data.decode("utf-8", "replace")  # cut in the middle of a character; `load` refuses the length
    return text, load(text, file)


@ends
def check(
    file: Annotated[str, typer.Argument(help="The policy file.")] = "canary.yaml", as_json: AsJson = False
) -> None:
    """Check a policy file: every error at once (exit code 2)."""
    _, policy = read_policy(file)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result({"ok": True, "services": sorted(policy.services), "channels": sorted(policy.channels)})
        return
    screen.table(
        ("service", "preset", "mode", "steps", "bake", "deadline", "watch", "promote_when", "indicators"),
        [_row(service) for service in policy.services.values()],
    )
    screen.line(f"{file} is right: {len(policy.services)} service(s), {len(policy.channels)} channel(s)", style="green")


def _row(service: ServicePolicy) -> tuple[object, ...]:
    pin = service.pin
    return (
        service.name,
        service.preset,
        service.mode.value,
        " ".join(map(str, pin.steps)),
        duration_text(pin.bake_seconds),
        duration_text(pin.deadline_seconds),
        duration_text(pin.watch_seconds),
        pin.promote_when,
        " ".join(one.name for one in pin.indicators),
    )
