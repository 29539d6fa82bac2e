"""One check and what it found."""

from collections.abc import Callable
from enum import StrEnum

import msgspec

from rollouts.errors import CanaryError, Forbidden


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


class Skipped(CanaryError):
    """A check that cannot be made here; the message says what it would need."""


class Check(msgspec.Struct, frozen=True):
    """Something to look at: what was seen, or a CanaryError that says what is wrong and what mends it."""

    service: str
    name: str
    look: Callable[[], str]
    right: str = ""  # the command that gives the right it needs, told after a 403

    def made(self) -> Finding:
        """Look; whatever happens is a finding."""
        try:
            return self._found(State.OK, self.look())
        except Skipped as error:
            return self._found(State.SKIPPED, str(error))
        except Forbidden as error:
            return self._found(State.BAD, f"{error}. {self.right}" if self.right else str(error))
        except CanaryError as error:
            return self._found(State.BAD, str(error))

    def _found(self, state: State, detail: str) -> Finding:
        return Finding(service=self.service, check=self.name, state=state, detail=detail)


def assignment(role: str, scope: str) -> str:
    """The command that gives a role."""
    return f"Give it: az role assignment create --assignee <object id> --role {role!r} --scope {scope}"
