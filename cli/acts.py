"""A person's acts on the rollout of a service: pause, resume, approve, promote, abort, adopt, reassert, rollback.

The function app decides; each command sends one act with actor and reason and prints what was decided.
"""

from typing import Annotated

import typer

from cli.ending import ends
from cli.options import Actor, AsJson, Reason, Service, Url, duration, seconds
from cli.remote import Remote
from cli.screen import Screen
from cli.telling import share_of, state_of


class Act:
    """One act on its way: what is sent, and how the answer is shown."""

    def __init__(self, name: str, service: str, *, url: str | None, as_json: bool) -> None:
        self._path = ("services", service, name)
        self._remote, self._screen = Remote(url), Screen(as_json=as_json)

    def send(self, **body: object) -> None:
        """POST it and show the decision."""
        answer = self._remote.post(*self._path, **body)
        if self._screen.as_json:
            self._screen.result(answer)
            return
        rollout = answer.get("rollout") or {}
        if sentence := answer.get("sentence"):
            self._screen.line(str(sentence))
        self._screen.line(f"{rollout.get('id')}: {state_of(rollout)}, share {share_of(rollout)}", style="dim")
        if rollout.get("read_back") not in (None, rollout.get("share")):
            self._screen.aside(f"stored, not carried out yet: canary status {self._path[1]}")


@ends
def pause(
    service: Service,
    actor: Actor,
    span: Annotated[
        str | None,
        typer.Option("--for", help="How long; limits.pause when left out.", callback=lambda s: s and duration(s)),
    ] = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Do not raise the share for a while; harm is still acted on."""
    minutes = None if span is None else max(1, round(seconds(span) / 60))
    Act("pause", service, url=url, as_json=as_json).send(minutes=minutes, actor=actor, reason=reason)


@ends
def resume(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """End a pause or a hold that a person may end."""
    Act("resume", service, url=url, as_json=as_json).send(actor=actor, reason=reason)


@ends
def approve(
    service: Service,
    actor: Actor,
    share: Annotated[
        int | None, typer.Option("--share", min=1, max=100, help="Which share; the one that waits when left out.")
    ] = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Approve the share that waits for a person."""
    Act("approve", service, url=url, as_json=as_json).send(share=share, actor=actor, reason=reason)


@ends
def promote(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """Go to 100 % now, without the proof. Harm refuses it. In the watch: promote at once."""
    Act("promote", service, url=url, as_json=as_json).send(actor=actor, reason=reason)


@ends
def abort(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """End the rollout: share 0."""
    Act("abort", service, url=url, as_json=as_json).send(actor=actor, reason=reason)


@ends
def adopt(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """Drift: take the weights that a person set, and go on from there."""
    Act("adopt", service, url=url, as_json=as_json).send(actor=actor, reason=reason)


@ends
def reassert(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """Drift: set the rollout's own weights again."""
    Act("reassert", service, url=url, as_json=as_json).send(actor=actor, reason=reason)


@ends
def rollback(service: Service, actor: Actor, reason: Reason = None, url: Url = None, as_json: AsJson = False) -> None:
    """Go back to the old version, also after the rollout was closed."""
    Act("rollback", service, url=url, as_json=as_json).send(actor=actor, reason=reason)
