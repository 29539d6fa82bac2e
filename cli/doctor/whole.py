"""What is not one service's: the policy, the function app, the channels."""

import os
import time
from collections.abc import Iterator, Mapping
from functools import cached_property, partial
from typing import Any

from cli.adapters import Adapters
from cli.credential import IDENTITY_SETTING, credential
from cli.doctor.finding import SIGN_IN, Check, Skipped, assignment
from cli.remote import KEY_SETTING, URL_SETTING, Remote
from notifying.channels import open_channel
from rollouts.errors import CanaryError, Refused
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Slot
from rollouts.policy import Channel, Policy

WHOLE = "-"


class FunctionApp:
    """The analyzer, asked once for what runs; `url` None = nothing says where it is."""

    def __init__(self, url: str | None) -> None:
        self.url = url

    @cached_property
    def services(self) -> list[dict[str, Any]]:
        """Of each service: what runs, who holds a lease."""
        return list(Remote(self.url).get("services").get("services") or [])

    def answers(self) -> str:
        """Its version, and what is going on."""
        if not self.url:
            raise Skipped(f"set {URL_SETTING} and {KEY_SETTING} to ask the function app")
        version = Remote(self.url).get("health").get("version")
        active = [f"{one.get('service')} {one.get('phase')}" for one in self.services if _runs(one)]
        leases = [f"{one.get('service')} by {one['lease'].get('owner')}" for one in self.services if one.get("lease")]
        busy = f"rollouts: {', '.join(active) or 'none'}; leases: {', '.join(leases) or 'none'}"
        return f"answers, version {version}. {busy}"

    def running(self, service: str) -> Mapping[str, Any] | None:
        """The service as the app tells it while it has a rollout; None = none runs, or there is nobody to ask."""
        if not self.url:
            return None
        try:
            return next((one for one in self.services if one.get("service") == service and _runs(one)), None)
        except CanaryError:  # told by the check of the function app itself
            return None


def _runs(service: Mapping[str, Any]) -> bool:
    return service.get("phase") not in (None, "closed")


def checks(
    policy: Policy, text: str, file: str, app: FunctionApp, adapters: Adapters, *, send_test: bool
) -> Iterator[Check]:
    """Policy file, sign-in, function app, policy in force, one check for each channel."""
    yield Check(WHOLE, "policy", lambda: f"{file} is right")
    yield Check(WHOLE, SIGN_IN, partial(_sign_in, adapters))
    yield Check(WHOLE, "function app", app.answers)
    if app.url:
        yield Check(WHOLE, "policy in force", partial(_in_force, app.url, text, file))
    for channel in policy.channels.values():
        topic = "<the topic's resource id>"
        right = partial(_give, adapters, "EventGrid Data Sender", topic)
        yield Check(WHOLE, f"chat {channel.name}", partial(_send, channel, send_test=send_test), right)


def _give(adapters: Adapters, role: str, scope: str) -> str:
    return assignment(adapters.object_id(), role, scope)


def _sign_in(adapters: Adapters) -> str:
    """All other checks of Azure are made with the rights of this one."""
    caller = adapters.caller
    name = caller.get("upn") or caller.get("preferred_username") or caller.get("appid") or caller.get("oid")
    kind = "managed identity" if os.environ.get(IDENTITY_SETTING) else "az login"
    return f"{kind}: {name or 'the token does not say who'}, tenant {caller.get('tid', 'unknown')}"


def _in_force(url: str, text: str, file: str) -> str:
    held = Remote(url).get("config")
    if refused := held.get("refused"):
        raise Refused(
            f"the function app cannot read the policy that was pushed, the packaged one stands in for it, at most in "
            f"mode advise ({refused[0]}): canary config push {file}"
        )
    if held.get("yaml") != text:
        raise Refused(f"{file} is not what is in force ({held.get('source')}): canary config push {file}")
    return f"{held.get('source')}, the same as {file}"


def _send(channel: Channel, *, send_test: bool) -> str:
    """A message that says what it is; the URL comes from the setting here, as it does in the function app."""
    if not send_test:
        raise Skipped(f"--send-test sends a message to it (needs {channel.url_setting} here)")
    setting = channel.url_setting
    if not os.environ.get(setting):
        raise Refused(
            f"{setting} is not set here: read -rs {setting} && export {setting} (its value is the function app's "
            "setting of that name)"
        )
    now = time.time()
    notice = Notice(
        id=f"doctor-{channel.name}-{int(now)}",
        kind=NoticeKind.RECORD,
        service="canary doctor",
        rollout="none",
        version="test",
        canary=Slot.GREEN,
        at=now,
        text="A test message: this channel will tell of rollouts. Nothing has happened and nothing is to be done.",
        channels=(channel.name,),
    )
    open_channel(channel, os.environ, credential).send(notice)
    return f"{channel.kind}: a test message was taken"
