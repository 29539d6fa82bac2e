"""`canary wait`: follow a rollout and end as it ends."""

import shlex
import time
from typing import Annotated

import typer

from cli.ending import BadInput, StillWaiting, ends
from cli.options import AsJson, Url, duration, rollout_id, seconds, service_name
from cli.remote import Answer, Remote
from cli.screen import STYLES, Screen
from cli.telling import decision_line, hold_of, says_the_same, state_of
from rollouts.errors import Refused, Unavailable

OUTAGE_SECONDS = 300.0  # the function app may be re-deployed while a pipeline waits
NEWEST = 10  # rollouts of a service that are looked through


@ends
def wait(
    rollout: Annotated[str | None, typer.Argument(help="The rollout's id.", callback=rollout_id)] = None,
    *,
    service: Annotated[
        str | None,
        typer.Option(
            "--service", help="Follow this service's rollout instead, once there is one.", callback=service_name
        ),
    ] = None,
    version: Annotated[str | None, typer.Option("--version", help="Only a rollout of this version.")] = None,
    deployment_id: Annotated[
        str | None, typer.Option("--deployment-id", help="Only the rollout of this deployment.")
    ] = None,
    timeout: Annotated[str, typer.Option("--timeout", help="How long to wait in all.", callback=duration)] = "6h",
    patience: Annotated[
        str, typer.Option("--patience", help="How long one hold may last before this gives up.", callback=duration)
    ] = "1m",
    poll: Annotated[float, typer.Option("--poll", min=0.1, max=300, help="Seconds between two looks.")] = 5.0,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Stream a rollout's steps and end as it ends.

    Exit code 0: promoted. 1: any other end. 3: held, or the time to wait is over.
    With --service alone it follows the rollout that runs, or the next that begins.
    """
    if (rollout is None) == (service is None):
        raise BadInput("wait for what? Write a rollout's id or --service, one of them")
    following = Following(Remote(url), Screen(as_json=as_json), poll=poll, until=time.monotonic() + seconds(timeout))
    chosen = rollout or following.find(str(service), version=version, deployment_id=deployment_id)
    following.follow(chosen, patience=seconds(patience))


def wait_for(service: str, version: str, deployment_id: str) -> str:
    """The command that follows a deployment whose rollout may not have begun yet.

    >>> wait_for("checkout", "1.4.2", "run 7")
    "canary wait --service checkout --version 1.4.2 --deployment-id 'run 7'"
    """
    return shlex.join(["canary", "wait", "--service", service, "--version", version, "--deployment-id", deployment_id])


class Following:
    """Looking again and again, within a time, through short outages of the function app."""

    def __init__(self, remote: Remote, screen: Screen, *, poll: float, until: float) -> None:
        self._remote, self._screen = remote, screen
        self._poll, self._until = poll, until
        self._answered = time.monotonic()

    def find(self, service: str, *, version: str | None, deployment_id: str | None) -> str:
        """The id of the newest rollout that is meant; without version and deployment id, one that runs."""
        told = False
        while True:
            answer = self._look("rollouts", service=service, limit=NEWEST)
            for one in (answer or {}).get("rollouts", []):
                if _meant(one, version, deployment_id):
                    return str(one["id"])
            if not told:
                told = True
                self._screen.aside(f"waiting for a rollout of {service} to begin")
            self._pause(f"no rollout of {service} began in time: was it announced, and is the slot's version new?")

    def follow(self, rollout: str, *, patience: float) -> None:
        """Print each decision once; end when it is closed, or held longer than `patience`."""
        seen: Answer = {}
        held, held_at = None, 0.0
        while True:
            if answer := self._look("rollouts", rollout):
                one: Answer = answer["rollout"]
                seen = self._stream(answer.get("decisions", []), seen)
                if _closed(one):
                    self._end(one)
                    return
                hold = hold_of(one)
                if hold != held:
                    held, held_at = hold, time.monotonic()
                if hold and time.monotonic() - held_at >= patience:
                    self._stopped(one, f"{rollout}: {one.get('sentence') or f'held ({hold}), see canary show'}")
            self._pause(f"{rollout} has not ended in time; it goes on: canary show {rollout}")

    def _look(self, *path: str, **query: object) -> Answer | None:
        """One answer; None while the function app is away for less than OUTAGE_SECONDS."""
        try:
            answer = self._remote.get(*path, **query)
        except Unavailable as error:
            if time.monotonic() - self._answered > OUTAGE_SECONDS:
                raise
            self._screen.aside(f"no answer, looking again: {error}")
            return None
        self._answered = time.monotonic()
        return answer

    def _pause(self, over: str) -> None:
        left = self._until - time.monotonic()
        if left <= 0:
            raise StillWaiting(over)
        time.sleep(min(self._poll, left))

    def _stream(self, decisions: list[Answer], seen: Answer) -> Answer:
        """Tell what was decided after `seen`; the newest decision."""
        for decision in decisions:
            if int(decision.get("number", 0)) <= int(seen.get("number", 0)):
                continue
            if self._screen.as_json:
                self._screen.result({"decision": decision})
            elif not says_the_same(seen, decision):
                self._screen.line(decision_line(decision), style=STYLES.get(str(decision.get("kind")), ""))
            seen = decision
        return seen

    def _stopped(self, one: Answer, why: str) -> None:
        if self._screen.as_json:
            self._screen.result(_summary(one))
        raise StillWaiting(why)

    def _end(self, one: Answer) -> None:
        if self._screen.as_json:
            self._screen.result(_summary(one))
        outcome = str(one.get("outcome"))
        said = f"{one.get('version')} of {one.get('service')}: {outcome}"
        if outcome != "promoted":
            raise Refused(f"{said}. {one.get('sentence') or ''}".strip())
        if not self._screen.as_json:
            self._screen.line(said, style=STYLES[outcome])


def _meant(one: Answer, version: str | None, deployment_id: str | None) -> bool:
    if version is None and deployment_id is None:
        return not _closed(one)
    return version in (None, one.get("version")) and deployment_id in (None, one.get("deployment_id"))


def _closed(one: Answer) -> bool:
    return one.get("phase") == "closed"


def _summary(one: Answer) -> dict[str, object]:
    names = ("id", "service", "version", "canary", "phase", "share", "outcome", "closed_at")
    return {name: one.get(name) for name in names} | {"hold": hold_of(one), "state": state_of(one)}
