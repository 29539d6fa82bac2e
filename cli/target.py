"""`canary target`: which slot may be deployed to now, with a lease on it."""

import time
from collections.abc import Callable
from typing import Annotated

import typer

from cli.ending import StillWaiting, ends
from cli.options import AsJson, Reason, Service, Url, duration, lease_time, seconds, whoami, whose_run
from cli.remote import Answer, Remote
from cli.screen import Screen, moment
from rollouts.errors import Refused, Unavailable

POLL_SECONDS = 10.0  # a rollout ends minutes later; ten seconds more do not matter to a pipeline


@ends
def target(
    service: Service,
    *,
    owner: Annotated[
        str,
        typer.Option(
            "--owner",
            help="Whose lease it is.",
            default_factory=whose_run,
            show_default="the pipeline's run, or who runs it",
        ),
    ],
    lease: Annotated[
        str, typer.Option("--for", help="How long the lease lasts, at most 24h.", callback=lease_time)
    ] = "30m",
    wait: Annotated[bool, typer.Option("--wait", help="While another holds it, ask again.")] = False,
    timeout: Annotated[
        str, typer.Option("--timeout", help="How long to wait (exit code 3).", callback=duration)
    ] = "2h",
    preempt: Annotated[
        bool, typer.Option("--preempt", help="End the rollout that runs (share 0, read back): for a hotfix.")
    ] = False,
    release: Annotated[
        bool, typer.Option("--release", help="Give the lease back: the deployment failed or will not come.")
    ] = False,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Tell which slot to deploy to, and lease it to you. Standard output is the slot's name alone."""
    remote, screen = Remote(url), Screen(as_json=as_json)
    if release:
        _release(remote, service, owner, reason, screen)
        return
    until = time.monotonic() + seconds(timeout)

    def ask() -> Answer:
        return remote.post(
            *("services", service, "target"),
            owner=owner,
            seconds=seconds(lease),
            preempt=preempt or None,
            actor=whoami(),
            reason=reason,
        )

    answer = _patiently(ask, until, screen) if wait else ask()
    if as_json:
        screen.result(answer)
        return
    screen.aside(f"{answer.get('url')} is yours ({owner}) until {moment(answer.get('expires_at'))}")
    screen.raw(str(answer.get("slot")))


def _release(remote: Remote, service: str, owner: str, reason: str | None, screen: Screen) -> None:
    answer = remote.post("services", service, "release", owner=owner, actor=whoami(), reason=reason)
    if screen.as_json:
        screen.result(answer)
        return
    screen.line(f"{service}: {'given back' if answer.get('released') else 'nobody has a lease'}")


def _patiently(ask: Callable[[], Answer], until: float, screen: Screen) -> Answer:
    """Ask until it is granted; what stands in the way is told once per change."""
    told = ""
    while True:
        try:
            return ask()
        except (Refused, Unavailable) as error:
            left = until - time.monotonic()
            if left <= 0:
                if isinstance(error, Unavailable):
                    raise
                raise StillWaiting(f"not free in time: {error}") from error
            if str(error) != told:
                told = str(error)
                screen.aside(f"waiting: {told}")
            time.sleep(min(POLL_SECONDS, left))
