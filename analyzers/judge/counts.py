"""The counts that the judge reads: rows of the pinned shape, kept in columns.

One row is what one slot's instance did for one operation in one interval. Rows are added, cut by time,
packed for storage; the judge sums them into arrays of intervals. Nothing here knows statistics.
"""

import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Self

import msgspec
import numpy as np
from numpy.typing import NDArray

REST = "rest"  # the operation that stands for all that are not told apart: never judged by itself
PACKED_VERSION = 1
PACKED_LIMIT = 64 * 1024 * 1024  # unpacked bytes: damaged storage must not exhaust the memory

Integers = NDArray[np.int64]


class CountsError(ValueError):
    """Counts that cannot be: names the row (or column), the value and what must hold instead."""


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


class _Packed(msgspec.Struct, frozen=True, array_like=True):
    """The stored form of Rows: names once, every column in the narrowest type that holds it."""

    version: int
    indicators: int
    size: int
    instances: tuple[str, ...]
    operations: tuple[str, ...]
    columns: tuple[tuple[str, int, bytes], ...]  # (dtype, smallest value, values minus it), one per column


class Rows:
    """Rows in columns; immutable, addable.

    Adding sums: rows of one key in both operands count twice, so cut overlapping spans with `between`.

    >>> row = Row(Role.CANARY, 60, "a", "GET /", rows=10, requests=10, cold=0, bad=(1,))
    >>> rows = Rows.of([row], indicators=1)
    >>> (rows + Rows.unpack(rows.pack())).list() == [row, row]
    True
    """

    __slots__ = ("counts", "indicators", "instance", "instance_names", "interval", "operation",
                 "operation_names", "role")  # fmt: skip

    indicators: int
    role: NDArray[np.int8]  # 0 canary, 1 baseline
    interval: Integers
    instance: Integers  # index into instance_names
    operation: Integers  # index into operation_names
    counts: Integers  # (rows, requests, cold, bad of each indicator), one line per row
    instance_names: tuple[str, ...]
    operation_names: tuple[str, ...]

    def __init__(
        self,
        keys: tuple[NDArray[np.int8], Integers, Integers, Integers],
        counts: Integers,
        names: tuple[tuple[str, ...], tuple[str, ...]],
    ) -> None:
        """For this module only: use `of`, `empty` and `unpack`, which check."""
        self.role, self.interval, self.instance, self.operation = keys
        self.counts = counts
        self.indicators = counts.shape[1] - 3
        self.instance_names, self.operation_names = names

    @classmethod
    def empty(cls, indicators: int) -> Self:
        """No rows, of `indicators` indicators."""
        none = np.zeros(0, dtype=np.int64)
        keys = (np.zeros(0, dtype=np.int8), none, none, none)
        return cls(keys, np.zeros((0, 3 + indicators), dtype=np.int64), ((), ()))

    @classmethod
    def of(cls, rows: Iterable[Row], indicators: int) -> Self:
        """Check and take `rows`; CountsError names the row and the value that cannot be."""
        taken = list(rows)
        if not taken:
            return cls.empty(indicators)
        for number, row in enumerate(taken):
            _check_row(number, row, indicators)
        seen: dict[tuple[str, int, str, str], int] = {}
        for number, row in enumerate(taken):
            first = seen.setdefault((row.role, row.interval, row.instance, row.operation), number)
            if first != number:
                raise CountsError(
                    f"row {number} repeats row {first}: {row.role} {row.interval} {row.instance!r}"
                    f" {row.operation!r} was counted twice; give each key once"
                )
        instance_names, instance = _coded([row.instance for row in taken])
        operation_names, operation = _coded([row.operation for row in taken])
        role = np.array([row.role == Role.BASELINE for row in taken], dtype=np.int8)
        interval = np.array([row.interval for row in taken], dtype=np.int64)
        counts = np.array([(row.rows, row.requests, row.cold, *row.bad) for row in taken], dtype=np.int64)
        return cls((role, interval, instance, operation), counts, (instance_names, operation_names))

    @classmethod
    def unpack(cls, data: bytes) -> Self:
        """The rows that `pack` wrote; CountsError when the bytes are not those of rows."""
        try:
            inflate = zlib.decompressobj()
            raw = inflate.decompress(data, PACKED_LIMIT)
            if not inflate.eof:
                raise CountsError(f"packed rows: not complete, or more than {PACKED_LIMIT} bytes")
            packed = msgspec.msgpack.decode(raw, type=_Packed)
            if packed.version != PACKED_VERSION:
                raise CountsError(f"packed rows: version {packed.version}, this code reads {PACKED_VERSION}")
            columns = [_widened(column, packed.size) for column in packed.columns]
        except (zlib.error, msgspec.DecodeError, TypeError, OverflowError) as error:
            raise CountsError(f"packed rows: not what Rows.pack wrote ({error})") from error
        if len(columns) != 7 + packed.indicators or packed.indicators < 0:
            raise CountsError(f"packed rows: {len(columns)} columns for {packed.indicators} indicators")
        role, interval, instance, operation = columns[:4]
        for name, codes, limit in (
            ("role", role, 2),
            ("instance", instance, len(packed.instances)),
            ("operation", operation, len(packed.operations)),
        ):
            if codes.size and (codes.min() < 0 or codes.max() >= limit):
                raise CountsError(f"packed rows: {name} {codes.max()} is none of {limit}")
        counts = np.stack(columns[4:], axis=1) if columns[4:] else np.zeros((0, 3), dtype=np.int64)
        keys = (role.astype(np.int8), interval, instance, operation)
        rows = cls(keys, counts, (packed.instances, packed.operations))
        rows._check_counts()
        return rows

    def pack(self) -> bytes:
        """Compact bytes for storage (tens of KiB for an hour), in an order of their own."""
        order = np.lexsort((self.operation, self.instance, self.role, self.interval))
        columns = (self.role, self.interval, self.instance, self.operation, *self.counts.T)
        packed = _Packed(
            version=PACKED_VERSION,
            indicators=self.indicators,
            size=len(self),
            instances=self.instance_names,
            operations=self.operation_names,
            columns=tuple(_narrowed(column[order].astype(np.int64)) for column in columns),
        )
        return zlib.compress(msgspec.msgpack.encode(packed), 6)

    def __add__(self, other: Self) -> Self:
        if self.indicators != other.indicators:
            raise CountsError(f"rows of {self.indicators} and of {other.indicators} indicators cannot be added")
        instance_names, instance = _joined(self.instance_names, other.instance_names)
        operation_names, operation = _joined(self.operation_names, other.operation_names)
        keys = (
            np.concatenate((self.role, other.role)),
            np.concatenate((self.interval, other.interval)),
            np.concatenate((self.instance, instance[other.instance])),
            np.concatenate((self.operation, operation[other.operation])),
        )
        counts = np.concatenate((self.counts, other.counts))
        return type(self)(keys, counts, (instance_names, operation_names))

    def __len__(self) -> int:
        return len(self.interval)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Rows):
            return NotImplemented
        mine, theirs = (sorted(map(msgspec.structs.astuple, rows.list())) for rows in (self, other))
        return self.indicators == other.indicators and mine == theirs

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"<Rows: {len(self)} of {self.indicators} indicators>"

    def between(self, start: int, end: int) -> Self:
        """The rows of intervals that start in [start, end), epoch seconds."""
        kept = (self.interval >= start) & (self.interval < end)
        keys = (self.role[kept], self.interval[kept], self.instance[kept], self.operation[kept])
        return type(self)(keys, self.counts[kept], (self.instance_names, self.operation_names))

    def instances(self) -> dict[tuple[Role, str], int]:
        """First interval (epoch seconds) in which each instance was seen."""
        first: dict[tuple[Role, str], int] = {}
        latest_first = np.argsort(self.interval, kind="stable")[::-1]
        for number in latest_first:
            role = Role.BASELINE if self.role[number] else Role.CANARY
            first[role, self.instance_names[self.instance[number]]] = int(self.interval[number])
        return first

    def list(self) -> list[Row]:
        """The rows one by one, in the order in which they were given or stored."""
        roles = (Role.CANARY, Role.BASELINE)
        keys = zip(
            self.role.tolist(), self.interval.tolist(), self.instance.tolist(), self.operation.tolist(),
            self.counts.tolist(), strict=True,
        )  # fmt: skip
        return [
            Row(roles[role], interval, self.instance_names[instance], self.operation_names[operation],
                counts[0], counts[1], counts[2], tuple(counts[3:]))
            for role, interval, instance, operation, counts in keys
        ]  # fmt: skip

    def _check_counts(self) -> None:
        stored, bad = self.counts[:, 0], self.counts[:, 3:]
        wrong = (self.counts < 0).any(axis=1) | (self.counts[:, 2] > stored) | (bad > stored[:, None]).any(axis=1)
        if wrong.any():
            number = int(np.argmax(wrong))
            raise CountsError(f"row {number}: counts {self.counts[number].tolist()} cannot be")


def _check_row(number: int, row: Row, indicators: int) -> None:
    if row.role not in (Role.CANARY, Role.BASELINE):
        raise CountsError(f"row {number}: role {row.role!r}, must be 'canary' or 'baseline'")
    if len(row.bad) != indicators:
        raise CountsError(f"row {number}: bad has {len(row.bad)} values, must be {indicators} (one per indicator)")
    whole = {"interval": row.interval, "rows": row.rows, "requests": row.requests, "cold": row.cold}
    whole.update({f"bad[{index}]": value for index, value in enumerate(row.bad)})
    for name, value in whole.items():
        if isinstance(value, bool) or not isinstance(value, int | np.integer):
            raise CountsError(f"row {number}: {name} is {value!r}, must be a whole number")
        if not 0 <= value < 2**53:
            raise CountsError(f"row {number}: {name} is {value}, must be from 0 to 2^53")
    for name, value in whole.items():
        if (name.startswith("bad") or name == "cold") and value > row.rows:
            raise CountsError(f"row {number}: {name} is {value}, more than its {row.rows} rows")


def _coded(values: list[str]) -> tuple[tuple[str, ...], Integers]:
    names = {name: code for code, name in enumerate(dict.fromkeys(values))}
    return tuple(names), np.array([names[value] for value in values], dtype=np.int64)


def _joined(names: tuple[str, ...], others: tuple[str, ...]) -> tuple[tuple[str, ...], Integers]:
    codes = {name: code for code, name in enumerate(dict.fromkeys((*names, *others)))}
    return tuple(codes), np.array([codes[name] for name in others], dtype=np.int64)


def _narrowed(column: Integers) -> tuple[str, int, bytes]:
    lowest = int(column.min()) if column.size else 0
    values = column - lowest
    highest = int(values.max()) if column.size else 0
    dtype = next(dtype for dtype in ("<u1", "<u2", "<u4", "<i8") if highest <= np.iinfo(dtype).max)
    return dtype, lowest, values.astype(dtype).tobytes()


def _widened(column: tuple[str, int, bytes], size: int) -> Integers:
    dtype, lowest, data = column
    if dtype not in ("<u1", "<u2", "<u4", "<i8") or len(data) != size * np.dtype(dtype).itemsize:
        raise CountsError(f"packed rows: a column of {len(data)} bytes of type {dtype!r} for {size} rows")
    return np.frombuffer(data, dtype=dtype).astype(np.int64) + lowest


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
