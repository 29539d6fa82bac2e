"""`canary`: the command line. Thin: it speaks HTTP to the function app and keeps no state."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Final

import typer

from cli.acts import abort, adopt, approve, pause, promote, reassert, resume, rollback
from cli.announce import announce
from cli.check import check
from cli.config import config
from cli.doctor.command import doctor
from cli.ending import MEANINGS
from cli.lab import lab
from cli.plan import plan
from cli.replay import replay
from cli.schema import schema
from cli.shift import shift
from cli.start import start
from cli.status import show, status
from cli.switches import mode, off, on
from cli.target import target
from cli.wait import wait
from controller.api import VERSION

EXIT_CODES = "Exit codes:\n\n" + "\n\n".join(f"{code.value}  {meaning}" for code, meaning in MEANINGS.items())
PANELS: Final[Mapping[str, Sequence[Callable[..., None]]]] = {
    "Look": (status, show, wait, doctor),
    "Pipelines": (target, announce, start),
    "Acts": (pause, resume, approve, promote, abort, rollback, adopt, reassert, shift, mode, off, on),
    "Policy": (check, schema, plan, replay),
}

app = typer.Typer(
    name="canary",
    help="Flex Canary: automatic canary analysis for Azure Functions behind API Management.",
    epilog=EXIT_CODES,
    no_args_is_help=True,
    add_completion=False,
    context_settings={"help_option_names": ["--help", "-h"]},
    pretty_exceptions_enable=False,
    rich_markup_mode="rich" if sys.stdout.isatty() and sys.stderr.isatty() else None,  # no frames in a pipe
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(VERSION)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """What belongs to no command."""


for panel, commands in PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.add_typer(config, name="config", rich_help_panel="Policy")
app.add_typer(lab, name="lab", rich_help_panel="Try it")


def run() -> None:
    """The console script."""
    app()
