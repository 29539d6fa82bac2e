"""The notice: a message about a decision that was stored, with all that a card shows and no secrets."""

from enum import StrEnum

import msgspec

from rollouts.observation import Slot, Weights


class NoticeKind(StrEnum):
    """What a notice is about; each has its own colour and title on the card."""

    STARTED = "started"
    RAISED = "raised"  # more traffic
    LOWERED = "lowered"  # less traffic, not yet an end
    SWITCHED = "switched"  # at 100, the marker moved
    PROMOTED = "promoted"
    ROLLED_BACK = "rolled_back"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    ABORTED = "aborted"
    HELD = "held"
    REMINDER = "reminder"  # still held
    RESUMED = "resumed"
    PAUSED = "paused"
    NOT_CARRIED_OUT = "not_carried_out"  # decided, but the write failed twice
    ALARM = "alarm"  # something a person must look at now
    ADVICE = "advice"  # what it would have done
    RECORD = "record"  # a person's act, for the channel


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One indicator on a card: both numbers, and the evidence against both limits."""

    indicator: str
    canary: str  # "31/400 (7.8 %)"
    baseline: str  # "38/4100 (0.9 %)"
    tolerated: str  # "1.7 %"
    harm: str  # "12.3 of 5.3"
    safe: str
    bad: str = ""  # what a bad request is, where the name does not say: "slower than 812 ms (canary 974 ms)"


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One message. Weights and live are what was read back, never what is only wanted."""

    id: str  # "<rollout>-<decision number>-<kind>": the same notice is never two messages
    kind: NoticeKind
    service: str
    rollout: str
    version: str
    canary: Slot
    at: float  # epoch seconds
    text: str  # the sentence: the same on card and CLI
    channels: tuple[str, ...]  # names of channels, current at the time of the decision
    weights: Weights | None = None  # None = unknown
    live: Slot | None = None  # None = unknown
    lines: tuple[Line, ...] = ()
    link: str | None = None
    command: str | None = None  # what a person may type next
