"""What the state holds beside rollouts: small frozen records. Times are epoch seconds."""

from enum import StrEnum
from typing import Generic, TypeVar

import msgspec

from analyzers.judge.verdict import Verdict
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import Mode, Slot
from rollouts.rollout import HoldReason, Outcome, Phase

T_co = TypeVar("T_co", covariant=True)


class Stored(msgspec.Struct, Generic[T_co], frozen=True):
    """A value as it was read, with the ETag that a compare-and-swap needs."""

    value: T_co
    etag: str


class Active(msgspec.Struct, frozen=True, kw_only=True):
    """A service that needs ticks."""

    service: str
    workspace: str  # services of one workspace are looked at together


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The newest rollout of a service."""

    rollout: str | None  # its id; None = there was none yet


class DecisionRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A decision as it was stored, with the evidence that it was based on."""

    number: int
    at: float
    phase_before: Phase
    phase: Phase
    share_before: int
    share: int  # percent
    sentence: str
    kind: NoticeKind | None  # None = no notice went out about it
    verdict: Verdict | None  # None = there was nothing to judge
    hold: HoldReason | None
    outcome: Outcome | None


class Deployment(msgspec.Struct, frozen=True, kw_only=True):
    """A deployment id that started a rollout: it never starts a second."""

    id: str
    rollout: str
    version: str
    at: float


class Reached(StrEnum):
    """How far a version came."""

    IDLE = "idle"  # it stood on the idle slot before any rollout of it
    LIVE = "live"  # it served before any rollout of it
    STARTED = "started"  # its rollout runs
    HARMFUL = "harmful"  # proven worse, whoever ended its rollout and how
    PROMOTED = Outcome.PROMOTED.value
    ROLLED_BACK = Outcome.ROLLED_BACK.value
    REJECTED = Outcome.REJECTED.value
    SUPERSEDED = Outcome.SUPERSEDED.value
    ABORTED = Outcome.ABORTED.value


class SeenVersion(msgspec.Struct, frozen=True, kw_only=True):
    """A version that was seen, and how far it came."""

    version: str
    status: Reached
    at: float
    rollout: str | None = None  # None = it came without one


class Introduced(msgspec.Struct, frozen=True, kw_only=True):
    """Both slots of a service were looked at: what stood there then was no deployment that we missed."""

    at: float


class Harm(msgspec.Struct, frozen=True, kw_only=True):
    """A service of a workspace that turned harmful."""

    service: str
    at: float


class Lease(msgspec.Struct, frozen=True, kw_only=True):
    """Who may deploy to the idle slot, and until when."""

    id: str
    owner: str
    slot: Slot
    taken_at: float
    expires_at: float

    def holds(self, now: float) -> bool:
        """False once it is over."""
        return now < self.expires_at


class Outgoing(msgspec.Struct, frozen=True, kw_only=True):
    """One notice for one channel, on its way or told."""

    service: str
    key: str
    channel: str
    notice: Notice
    queued_at: float
    etag: str = ""  # as read; empty in the stored form
    attempts: int = 0
    retry_at: float | None = None  # None = at once
    error: str | None = None  # of the last attempt; None = none failed
    sent_at: float | None = None
    failed_at: float | None = None  # given up; None = not


class StoredPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that was pushed."""

    version: int  # 1, 2, 3, ...
    yaml: str
    actor: str
    at: float


class RefusedPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that could not come into force."""

    yaml: str
    problems: tuple[str, ...]
    source: str  # who pushed it, or "packaged"
    at: float


class Switch(msgspec.Struct, frozen=True, kw_only=True):
    """`canary off` or `canary on`."""

    service: str | None  # None = everything
    off: bool
    actor: str
    reason: str
    at: float


class ModeSet(msgspec.Struct, frozen=True, kw_only=True):
    """A mode that a person set; it goes before the policy's."""

    service: str
    mode: Mode
    actor: str
    reason: str
    at: float


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """Something that was not understood, kept for people: a poison message, an unknown event."""

    at: float
    kind: str
    detail: str
