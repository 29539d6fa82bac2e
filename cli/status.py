"""`canary status` and `canary show`: what is going on, and one rollout with its evidence."""

from itertools import pairwise
from typing import Annotated

import typer

from cli.ending import ends
from cli.options import AsJson, RolloutId, SomeService, Url
from cli.remote import Answer, Remote
from cli.screen import STYLES, Screen, moment
from cli.telling import decision_line, evidence, says_the_same, share_of, state_of
from rollouts.errors import NotFound

RECENT = 5  # rollouts that `status SERVICE` lists: today's and yesterday's


@ends
def status(service: SomeService = None, url: Url = None, as_json: AsJson = False) -> None:
    """Show all services, or one with its newest rollouts."""
    remote, screen = Remote(url), Screen(as_json=as_json)
    services: list[Answer] = remote.get("services").get("services", [])
    if service is None:
        incidents: list[Answer] = remote.get("incidents").get("incidents", [])
        if as_json:
            screen.result({"services": services, "incidents": incidents})
            return
        _services(screen, services)
        _incidents(screen, incidents)
        return
    found = next((one for one in services if one.get("service") == service), None)
    if found is None:
        known = ", ".join(str(one.get("service")) for one in services) or "none"
        raise NotFound(f"{service}: the policy in force has no such service; it has {known}")
    rollouts: list[Answer] = remote.get("rollouts", service=service, limit=RECENT).get("rollouts", [])
    if as_json:
        screen.result({"service": found, "rollouts": rollouts})
        return
    _services(screen, [found])
    if not rollouts:
        screen.line("no rollout yet")
        return
    rows = [[*map(one.get, ("id", "version", "canary")), share_of(one), *_ending(one)] for one in rollouts]
    screen.table(("rollout", "version", "canary", "share", "state", "started", "why"), rows)


@ends
def show(
    rollout: RolloutId,
    last: Annotated[int, typer.Option("--last", min=1, max=1000, help="How many of its decisions.")] = 20,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Show one rollout: state, evidence, decisions, messages."""
    answer, screen = Remote(url).get("rollouts", rollout), Screen(as_json=as_json)
    if as_json:
        screen.result(answer)
        return
    one: Answer = answer.get("rollout", {})
    screen.facts(
        {
            "rollout": one.get("id"),
            "service": one.get("service"),
            "version": one.get("version"),
            "canary": one.get("canary"),
            "state": state_of(one),
            "share": share_of(one),
            "started": f"{moment(one.get('started_at'))} by {one.get('started_by')}",
            "closed": moment(one["closed_at"]) if one.get("closed_at") else None,
            "link": one.get("link"),
            "why": one.get("sentence"),
        }
    )
    decisions: list[Answer] = answer.get("decisions", [])
    if verdict := one.get("verdict") or _newest_verdict(decisions):
        evidence(screen, verdict)
    for before, decision in pairwise(({}, *decisions[-last:])):
        if not says_the_same(before, decision):
            screen.line(decision_line(decision), style=STYLES.get(str(decision.get("kind")), ""))
    rows = [
        (moment(notice.get("sent_at")), notice.get("channel"), notice.get("kind"), notice.get("error") or "sent")
        for notice in answer.get("notices", [])
        if notice.get("sent_at") or notice.get("error")
    ]
    if rows:
        screen.table(("sent", "channel", "kind", "result"), rows, title="messages")


def _newest_verdict(decisions: list[Answer]) -> Answer | None:
    return next((one["verdict"] for one in reversed(decisions) if one.get("verdict")), None)


def _services(screen: Screen, services: list[Answer]) -> None:
    rows = []
    for one in services:
        lease = one.get("lease") or {}
        rows.append(
            (
                one.get("service"),
                "off" if one.get("off") else one.get("mode"),
                one.get("live") or "unknown",
                one.get("rollout"),
                one.get("version"),
                one.get("phase"),
                share_of(one),
                one.get("hold") or ("paused" if one.get("paused") else None),
                f"{lease.get('owner')} on {lease.get('slot')} until {moment(lease.get('expires_at'))}"
                if lease
                else None,
            )
        )
    screen.table(("service", "mode", "live", "rollout", "version", "phase", "share", "hold", "lease"), rows)
    for one in services:
        if why := one.get("live_unknown"):
            screen.line(f"{one.get('service')}: which slot is live is unknown: {why}", style="yellow")
        for order, what in (("off_set", "off"), ("mode_set", f"mode {one.get('mode')}")):
            if by := one.get(order):
                reason = f": {by['reason']}" if by.get("reason") else ""
                screen.line(f"{one.get('service')}: {what} since {moment(by.get('at'))} by {by.get('actor')}{reason}")


def _incidents(screen: Screen, incidents: list[Answer]) -> None:
    if incidents:
        rows = [(moment(one.get("at")), one.get("kind"), one.get("detail")) for one in incidents]
        screen.table(("at", "kind", "what"), rows, title="incidents")


def _ending(one: Answer) -> list[object]:
    return [state_of(one), moment(one.get("started_at")), one.get("sentence")]
