"""What is not one service's: the policy, the function app, the channels."""

import os
import time
from collections.abc import Iterator
from functools import partial

from cli.credential import credential
from cli.doctor.finding import Check, Skipped, assignment
from cli.remote import KEY_SETTING, URL_SETTING, Remote
from notifying.channels import open_channel
from rollouts.errors import Refused
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Slot
from rollouts.policy import Channel, Policy

WHOLE = "-"


def checks(policy: Policy, text: str, file: str, url: str | None, *, send_test: bool) -> Iterator[Check]:
    """Policy file, function app, policy in force, one check for each channel."""
    yield Check(WHOLE, "policy", lambda: f"{file} is right")
    yield Check(WHOLE, "function app", partial(_function_app, url))
    if url:
        yield Check(WHOLE, "policy in force", partial(_in_force, url, text, file))
    for channel in policy.channels.values():
        right = assignment("EventGrid Data Sender", "<the topic's resource id>")
        yield Check(WHOLE, f"chat {channel.name}", partial(_send, channel, send_test=send_test), right)


def _function_app(url: str | None) -> str:
    if not url:
        raise Skipped(f"set {URL_SETTING} and {KEY_SETTING} to ask the function app")
    remote = Remote(url)
    version = remote.get("health").get("version")
    services = remote.get("services").get("services") or []
    running = [one for one in services if one.get("phase") not in (None, "closed")]
    active = [f"{one.get('service')} {one.get('phase')}" for one in running]
    leases = [f"{one.get('service')} by {one['lease'].get('owner')}" for one in services if one.get("lease")]
    busy = f"rollouts: {', '.join(active) or 'none'}; leases: {', '.join(leases) or 'none'}"
    return f"answers, version {version}. {busy}"


def _in_force(url: str, text: str, file: str) -> str:
    held = Remote(url).get("config")
    if held.get("yaml") != text:
        raise Refused(f"{file} is not what is in force ({held.get('source')}): canary config push {file}")
    return f"{held.get('source')}, the same as {file}"


def _send(channel: Channel, *, send_test: bool) -> str:
    """A message that says what it is; the URL comes from the setting here, as it does in the function app."""
    if not send_test:
        raise Skipped(f"--send-test sends a message to it (needs {channel.url_setting} here)")
    now = time.time()
    notice = Notice(
        id=f"doctor-{channel.name}-{int(now)}",
        kind=NoticeKind.RECORD,
        service="canary doctor",
        rollout="",
        version="",
        canary=Slot.GREEN,
        at=now,
        text="A test message: this channel will tell of rollouts. Nothing has happened and nothing is to be done.",
        channels=(channel.name,),
    )
    open_channel(channel, os.environ, credential).send(notice)
    return f"{channel.kind}: a test message was taken"
