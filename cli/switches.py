"""`canary off`, `canary on` and `canary mode`: how far Flex Canary may go."""

from typing import Annotated

import typer

from cli.ending import ends
from cli.options import Actor, AsJson, Reason, Service, SomeService, Url
from cli.remote import Remote
from cli.screen import Screen
from rollouts.observation import Mode


@ends
def off(
    actor: Actor, service: SomeService = None, reason: Reason = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Stop all writes to Azure within one tick (one service, or all)."""
    answer = Remote(url).post("off", service=service, actor=actor, reason=reason)
    _told(answer, f"{service or 'all services'}: off; weights stay as they are until `canary on`", as_json=as_json)


@ends
def on(
    actor: Actor, service: SomeService = None, reason: Reason = None, url: Url = None, as_json: AsJson = False
) -> None:
    """Allow writes again (one service, or all)."""
    answer = Remote(url).post("on", service=service, actor=actor, reason=reason)
    _told(answer, f"{service or 'all services'}: on", as_json=as_json)


@ends
def mode(
    service: Service,
    to: Annotated[Mode, typer.Argument(help="observe: judge and record; advise: and tell; act: and move traffic.")],
    actor: Actor,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Set how far Flex Canary may go for a service."""
    answer = Remote(url).post("services", service, "mode", mode=to.value, actor=actor, reason=reason)
    _told(answer, f"{service}: mode {to.value}", as_json=as_json)


def _told(answer: dict[str, object], text: str, *, as_json: bool) -> None:
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result(answer)
    else:
        screen.line(str(answer.get("sentence") or text))
