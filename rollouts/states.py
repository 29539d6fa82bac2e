"""The state machine as data: one table, one function that reads it, one error for what is not in it.

A rollout goes gate -> step 1..n -> switch -> watch -> closing -> closed. `closing` is the honest name for
an end that is decided while pool and marker are not yet read back as decided: a rollback that cannot be
written stays there, and says so. `docs/` draws its diagram from this table.

Conflicts between rules are ranked where they are judged (rule.py); here every move is either legal or not.
"""

from enum import StrEnum

from rollouts.errors import InvariantBroken
from rollouts.rollout import Outcome, Phase


class Event(StrEnum):
    """What can happen to a rollout."""

    GATE_PASSED = "gate_passed"  # healthy, right version, warmed up, and the way back exists
    GATE_EXPIRED = "gate_expired"
    RAISED = "raised"  # SAFE (or unrefuted): the next judged share
    LOWERED = "lowered"  # a shared fault after our own raise: one share back, once
    PROVEN = "proven"  # SAFE at the last judged share: go to 100
    SWITCHED = "switched"  # pool at 100 and marker moved, both read back
    SUSPECTED = "suspected"  # in the watch: back to the last judged share, where the paired test decides
    WATCHED = "watched"  # the watch is over
    HARM = "harm"  # proven worse, or its probe is dead, or unobserved too long
    EXPIRED = "expired"  # a limit whose policy says: back to 0
    NEW_VERSION = "new_version"  # on the canary slot
    ZEROED = "zeroed"  # a person set the canary's weight to 0
    ADOPTED = "adopted"  # a share below 100 that a person set, in the pool or by `shift`
    PROMOTE = "promote"  # a person
    ROLL_BACK = "roll_back"  # a person
    ABORT = "abort"  # a person, or a pipeline that preempts
    CARRIED_OUT = "carried_out"  # pool and marker read back as the end wants them


_STEP = (Phase.STEP, None)
_SWITCH = (Phase.SWITCH, None)
_WATCH = (Phase.WATCH, None)
_PROMOTED = (Phase.CLOSING, Outcome.PROMOTED)
_ROLLED_BACK = (Phase.CLOSING, Outcome.ROLLED_BACK)
_REJECTED = (Phase.CLOSING, Outcome.REJECTED)
_SUPERSEDED = (Phase.CLOSING, Outcome.SUPERSEDED)
_ABORTED = (Phase.CLOSING, Outcome.ABORTED)

TABLE: dict[Phase, dict[Event, tuple[Phase, Outcome | None]]] = {
    Phase.GATE: {
        Event.GATE_PASSED: _STEP,
        Event.GATE_EXPIRED: _REJECTED,
        Event.EXPIRED: _ABORTED,
        Event.NEW_VERSION: _SUPERSEDED,
        Event.ABORT: _ABORTED,
    },
    Phase.STEP: {
        Event.RAISED: _STEP,
        Event.LOWERED: _STEP,
        Event.ADOPTED: _STEP,
        Event.PROVEN: _SWITCH,
        Event.PROMOTE: _SWITCH,
        Event.HARM: _ROLLED_BACK,
        Event.ROLL_BACK: _ROLLED_BACK,
        Event.EXPIRED: _ABORTED,
        Event.NEW_VERSION: _SUPERSEDED,
        Event.ZEROED: _ABORTED,
        Event.ABORT: _ABORTED,
    },
    Phase.SWITCH: {
        Event.SWITCHED: _WATCH,
        Event.ADOPTED: _STEP,
        Event.HARM: _ROLLED_BACK,
        Event.ROLL_BACK: _ROLLED_BACK,
        Event.NEW_VERSION: _SUPERSEDED,
        Event.ZEROED: _ABORTED,
        Event.ABORT: _ABORTED,
    },
    Phase.WATCH: {
        Event.WATCHED: _PROMOTED,
        Event.PROMOTE: _PROMOTED,
        Event.SUSPECTED: _STEP,
        Event.ADOPTED: _STEP,
        Event.HARM: _ROLLED_BACK,
        Event.ROLL_BACK: _ROLLED_BACK,
        Event.ZEROED: _ABORTED,
        Event.ABORT: _ABORTED,
    },
    Phase.CLOSING: {
        Event.CARRIED_OUT: (Phase.CLOSED, None),
        Event.ROLL_BACK: _ROLLED_BACK,
        Event.ABORT: _ABORTED,
    },
    Phase.CLOSED: {},
}


def move(rollout_id: str, phase: Phase, event: Event) -> tuple[Phase, Outcome | None]:
    """The phase after `event` and the outcome it decides (None = none yet, or as it was).

    >>> move("r1", Phase.STEP, Event.HARM)
    (<Phase.CLOSING: 'closing'>, <Outcome.ROLLED_BACK: 'rolled_back'>)

    Raises InvariantBroken for a move that the table does not hold; nothing is changed then.
    """
    try:
        return TABLE[phase][event]
    except KeyError:
        raise InvariantBroken(f"rollout {rollout_id}: {event} is not possible in phase {phase}") from None


def possible(phase: Phase, event: Event) -> bool:
    """Whether the table holds that move."""
    return event in TABLE[phase]
