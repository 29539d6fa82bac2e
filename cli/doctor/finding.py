"""One check and what it found."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from cli.credential import NotSignedIn
from rollouts.errors import CanaryError, Forbidden

SIGN_IN = "sign-in"  # the check that says why nobody is signed in


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    BAD = "bad"
    SKIPPED = "skipped"  # it could not be asked; says what to set


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    service: str  # "-" = of the whole
    check: str
    state: State
    detail: str
    command: str | None = None  # what mends it, to be pasted; None = no single command does


class Skipped(CanaryError):
    """A check that cannot be made here; the message says what it would need."""

    def __init__(self, message: str, *, command: str | None = None) -> None:
        super().__init__(message)
        self.command = command


class Lacking(Forbidden):
    """A right is missing, and this command gives it."""

    def __init__(self, message: str, command: str) -> None:
        super().__init__(message)
        self.command = command


class Check(msgspec.Struct, frozen=True):
    """Something to look at: what was seen, or a CanaryError that says what is wrong and what mends it."""

    service: str
    name: str
    look: Callable[[], str]
    right: Callable[[], str] | None = None  # tells the command that gives the right it needs, after a 403

    def made(self) -> Finding:
        """Look; whatever happens is a finding."""
        try:
            return self._found(State.OK, self.look())
        except Skipped as error:
            return self._found(State.SKIPPED, str(error), error.command)
        except NotSignedIn as error:
            if self.name == SIGN_IN:
                return self._found(State.BAD, str(error))
            return self._found(State.SKIPPED, f"nobody is signed in to Azure: see {SIGN_IN}")
        except Lacking as error:
            return self._found(State.BAD, str(error), error.command)
        except Forbidden as error:
            return self._found(State.BAD, str(error), self.right() if self.right else None)
        except CanaryError as error:
            return self._found(State.BAD, str(error))
        except Exception as error:  # noqa: BLE001  # a bug in one check must not silence the others
            # Only our own errors are known to hold no secret, so this one is named and not shown.
            return self._found(State.BAD, f"{type(error).__name__}: a bug in this check; please report it")

    def _found(self, state: State, detail: str, command: str | None = None) -> Finding:
        return Finding(service=self.service, check=self.name, state=state, detail=detail, command=command)


def assignment(who: str, role: str, scope: str) -> str:
    """The command that assigns a role to `who` (an object id); `scope` is an ARM id, or $(a command that finds it)."""
    return f"az role assignment create --assignee {who} --role '{role}' --scope \"{scope}\""
