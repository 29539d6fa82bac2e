"""How a command ends: the exit codes, and the one place where an error becomes a message and a code."""

import functools
from collections.abc import Callable
from enum import IntEnum
from typing import ParamSpec

import typer

from cli.screen import Screen
from rollouts.errors import CanaryError, NotFound, PolicyError, Unavailable

P = ParamSpec("P")


class ExitCode(IntEnum):
    """What a pipeline reads; printed by `canary --help`."""

    OK = 0
    REFUSED = 1
    BAD_INPUT = 2
    HELD = 3
    UNREACHABLE = 4
    STOPPED = 130  # Typer's own, for a command without an answer: a lab that Ctrl-C ended


MEANINGS = {
    ExitCode.OK: "done; for wait: promoted",
    ExitCode.REFUSED: "refused, or ended badly: rolled back, rejected, superseded, aborted",
    ExitCode.BAD_INPUT: "bad input: an option, a name, a policy file, a key",
    ExitCode.HELD: "held, or the time to wait is over, or stopped by the keyboard",
    ExitCode.UNREACHABLE: "the function app or Azure cannot be reached, or cannot answer now",
    ExitCode.STOPPED: "a lab was stopped by the keyboard",
}


class BadInput(CanaryError):
    """What was typed, or is in a file or the environment, cannot be used; the message says what to write."""


class StillWaiting(CanaryError):
    """The rollout is held, or the time that was given to wait is over."""


def code_of(error: CanaryError) -> ExitCode:
    """The exit code of an error, by whose fault it is."""
    match error:
        case BadInput() | PolicyError() | NotFound():
            return ExitCode.BAD_INPUT
        case StillWaiting():
            return ExitCode.HELD
        case Unavailable():
            return ExitCode.UNREACHABLE
        case _:  # Refused, Conflict, Misconfigured: asking again changes nothing by itself
            return ExitCode.REFUSED


def ends(command: Callable[P, None]) -> Callable[P, None]:
    """A command whose errors end it with a message and the documented code, never with a traceback."""

    @functools.wraps(command)
    def ending(*args: P.args, **kwargs: P.kwargs) -> None:
        screen = Screen(as_json=bool(kwargs.get("as_json", False)))
        try:
            command(*args, **kwargs)
        except CanaryError as error:
            code = code_of(error)
            problems = error.problems if isinstance(error, PolicyError) else []
            screen.error(str(error), problems=problems, code=code)
            raise typer.Exit(code) from error
        except KeyboardInterrupt:
            screen.error("stopped by the keyboard; what was asked for before goes on", code=ExitCode.HELD)
            raise typer.Exit(ExitCode.HELD) from None

    return ending
