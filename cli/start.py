"""`canary start`: begin a rollout of the version on the idle slot, without an event."""

from typing import Annotated

import typer

from cli.ending import ends
from cli.options import Actor, AsJson, Reason, Service, Url
from cli.remote import Remote
from cli.screen import Screen
from cli.telling import state_of
from cli.wait import wait_for
from rollouts.observation import Slot


@ends
def start(
    service: Service,
    version: Annotated[str, typer.Argument(help="The version that the idle slot's health URL answers.")],
    *,
    actor: Actor,
    slot: Annotated[Slot | None, typer.Option("--slot", help="The idle slot when left out.")] = None,
    deployment_id: Annotated[
        str | None, typer.Option("--deployment-id", help="The same id never starts a second rollout.")
    ] = None,
    link: Annotated[str | None, typer.Option("--link", help="URL of the pipeline's run, for the card.")] = None,
    commit: Annotated[str | None, typer.Option("--commit", help="The commit that was built.")] = None,
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Start a rollout of a version, also of one that was rolled back."""
    answer = Remote(url).post(
        *("services", service, "start"),
        version=version,
        slot=slot and slot.value,
        deployment_id=deployment_id,
        link=link,
        commit=commit,
        actor=actor,
        reason=reason,
    )
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result(answer)
        return
    rollout = answer.get("rollout", {})
    screen.line(f"{rollout.get('id')}  {rollout.get('version')} on {rollout.get('canary')}: {state_of(rollout)}")
    if successor := rollout.get("successor"):
        screen.line(f"{successor['version']} begins when that has ended")
        screen.aside(f"follow it: {wait_for(service, successor['version'], successor['deployment_id'])}")
    else:
        screen.aside(f"follow it: canary wait {rollout.get('id')}")
