"""`canary config`: put a policy in force without a deployment, and see the one that is."""

from typing import Annotated

import typer

from cli.check import read_policy
from cli.ending import ends
from cli.options import Actor, AsJson, Reason, Url
from cli.remote import Remote
from cli.screen import Screen, moment

config = typer.Typer(no_args_is_help=True, help="The policy in force: push a file, show what is there.")


@config.command("push")
@ends
def push(
    actor: Actor,
    file: Annotated[str, typer.Argument(help="The policy file.")] = "canary.yaml",
    reason: Reason = None,
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check a policy file here, then put it in force. Rollouts that run keep what they started with.

    Told, not refused: a service whose gateway, workspace or apps are others than in the policy pushed before, and one
    whose pool or marker the function app cannot read.
    """
    text, policy = read_policy(file)
    answer, screen = Remote(url).put_text("config", text=text, actor=actor, reason=reason), Screen(as_json=as_json)
    if as_json:
        screen.result(answer)
        return
    screen.line(f"version {answer.get('version')} is in force: {', '.join(policy.services)}", style="green")
    for warning in answer.get("warnings") or []:
        screen.aside(str(warning), style="yellow")


@config.command("show")
@ends
def show(url: Url = None, as_json: AsJson = False) -> None:
    """Print the policy in force; standard output is the YAML alone."""
    answer, screen = Remote(url).get("config"), Screen(as_json=as_json)
    if as_json:
        screen.result(answer)
        return
    if answer.get("version") is None:
        for problem in answer.get("refused") or ["none was pushed"]:
            screen.aside(f"packaged with the function app; {problem}")
    else:
        who = f" by {answer['actor']}" if answer.get("actor") else ""
        screen.aside(f"version {answer['version']}, pushed{who} at {moment(answer.get('pushed_at'))}")
    screen.raw(str(answer.get("yaml", "")))
