"""The counts that the judge reads: rows of the pinned shape, kept in columns.

One row is what one slot's instance did for one operation in one interval. Rows are added, cut by time,
packed for storage; the judge sums them into arrays of intervals. Nothing here knows statistics.
"""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self

import msgspec


class Role(StrEnum):
    """The part that a slot plays in one rollout, fixed for the rollout's life."""

    CANARY = "canary"
    BASELINE = "baseline"


class Row(msgspec.Struct, frozen=True, array_like=True):
    """One line of telemetry: the pinned shape that every source returns."""

    role: Role
    interval: int  # start of the interval, epoch seconds, a multiple of the interval's length
    instance: str
    operation: str
    rows: int  # stored rows: the unit of inference
    requests: int  # sum of ItemCount: the unit of display
    cold: int  # rows served by an instance in the first `cold_seconds` of its life
    bad: tuple[int, ...]  # rows per indicator, in the policy's order; warm rows only where warm_only


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """A judged span of one share: whole intervals from `start` (epoch seconds) to `end` (exclusive)."""

    start: int
    end: int | None  # None = still running
    share: int  # percent that the canary should get; 100 = the watch, no concurrent baseline
    step: int  # index into the policy's steps: promotion evidence begins anew with each


class Rows:
    """Rows in columns; immutable, addable."""

    @classmethod
    def empty(cls, indicators: int) -> Self:
        raise NotImplementedError

    @classmethod
    def of(cls, rows: Iterable[Row], indicators: int) -> Self:
        """Check and take `rows`; CountsError names the row and the value that cannot be."""
        raise NotImplementedError

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        raise NotImplementedError

    def pack(self) -> bytes:
        """Compact bytes for storage (tens of KiB for an hour)."""
        raise NotImplementedError

    def __add__(self, other: Self) -> Self:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def between(self, start: int, end: int) -> Self:
        """The rows of intervals that start in [start, end), epoch seconds."""
        raise NotImplementedError

    def instances(self) -> dict[tuple[Role, str], int]:
        """First interval (epoch seconds) in which each instance was seen."""
        raise NotImplementedError

    def list(self) -> list[Row]:
        raise NotImplementedError


class Counts(msgspec.Struct, frozen=True, kw_only=True):
    """All that is known of one rollout's traffic at one instant: the judge's input."""

    interval_seconds: int
    now: int  # epoch seconds of this look
    settled_until: int  # epoch seconds: every row of an interval that ended before is there
    rows: Rows  # both roles, since the first share
    history: Rows  # baseline before the rollout; empty for a new service
    same_hours: Rows  # baseline in the same hours of past days; empty where there are none
    segments: tuple[Segment, ...]  # judged spans in order; intervals between them are shown, not judged
    judged_from: tuple[int | None, ...]  # per indicator, epoch seconds; None = not yet (T is missing)
    unavailable: str | None = None  # why the last query brought nothing; None = it answered


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The promises and limits of one judgement, pinned with the rollout's policy."""

    alpha: float = 0.01  # a rollout within tolerance is rolled back, over its whole life
    beta: float = 0.01  # a step whose canary is beyond the tolerance is promoted
    horizon: int = 120  # intervals in which a fault may begin: all deadlines and the watch
    critical_operations: Sequence[str] = ()  # judged one by one whatever their traffic
    stale_seconds: int = 300  # no row of either slot for so long (beyond settle): BLIND
