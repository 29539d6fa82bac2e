"""`canary doctor`: is everything there that a rollout needs? One line a check, all of them, exit code 0 or 1.

It looks with the rights of whoever runs it, through the controller's own adapters: what they refuse here they
would refuse there. One thing is written: the pool, as it is.
"""

from typing import Annotated

import msgspec
import typer

from cli.adapters import Adapters
from cli.check import read_policy
from cli.doctor import sites, telemetry, traffic, whole
from cli.doctor.finding import Finding, State
from cli.ending import ends
from cli.options import AsJson, PolicyFile, SomeService, Url, duration, seconds
from cli.screen import Screen
from rollouts.errors import NotFound, Refused


@ends
def doctor(
    service: SomeService = None,
    *,
    window: Annotated[
        str, typer.Option("--window", help="How far back telemetry is looked for.", callback=duration)
    ] = "60m",
    read_only: Annotated[
        bool, typer.Option("--read-only", help="Do not try whether the pool may be written (with its own weights).")
    ] = False,
    send_test: Annotated[bool, typer.Option("--send-test", help="Send a test message to each channel.")] = False,
    policy: PolicyFile = "canary.yaml",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that a rollout needs. No weight changes, and nothing is started.

    Configuration, function app, channels; pool, marker, health, telemetry; and the two apps, side by side.
    """
    text, read = read_policy(policy)
    if service is not None and service not in read.services:
        raise NotFound(f"{service}: {policy} has no such service; it has {', '.join(read.services)}")
    screen, found = Screen(as_json=as_json), list[Finding]()
    adapters = Adapters()
    app = whole.FunctionApp(url)
    checks = [*whole.checks(read, text, policy, app, adapters, send_test=send_test)]
    for one in read.services.values():
        if service in (None, one.name):
            checks += traffic.checks(one, adapters, app, read_only=read_only)
            checks += telemetry.checks(one, adapters, seconds(window))
            checks += sites.checks(one, adapters)
    widths = [max(len(check.service) for check in checks), max(len(check.name) for check in checks)]
    for check in checks:
        finding = check.made()
        found.append(finding)
        if not as_json:
            names = [finding.service.ljust(widths[0]), finding.check.ljust(widths[1])]
            screen.finding(finding.state.value, names, finding.detail, command=finding.command)
    bad = [one for one in found if one.state is State.BAD]
    if as_json:
        screen.result({"ok": not bad, "checks": msgspec.to_builtins(found)})
        if bad:
            raise typer.Exit(1)
    elif bad:
        raise Refused(f"{len(bad)} of {len(found)} checks are bad: {', '.join(_told(one) for one in bad)}")


def _told(finding: Finding) -> str:
    return finding.check if finding.service == whole.WHOLE else f"{finding.check} of {finding.service}"
