"""Typed reading and writing on a store: what records.py and its parts have in common."""

from collections.abc import Hashable
from functools import cache
from typing import Any, TypeVar, cast

import msgspec

from rollouts.errors import InvariantBroken
from storing import keys
from storing.contract import Put, Record, Store
from storing.entries import Head, Stored

T = TypeVar("T")

# MessagePack, not JSON: a verdict's logarithm may be infinite, which JSON cannot say.
encode = msgspec.msgpack.Encoder().encode


@cache
def _decoder(kind: Hashable) -> "msgspec.msgpack.Decoder[Any]":
    return msgspec.msgpack.Decoder(cast(Any, kind))


def decode(partition: str, record: Record, kind: type[T]) -> T:
    """The value in `record`; InvariantBroken when this version cannot read it."""
    try:
        value: T = _decoder(cast(Hashable, kind)).decode(record.body)
    except msgspec.DecodeError as error:
        raise InvariantBroken(
            f"record {record.key} of {partition} is not a {kind.__name__} that this version can read ({error}): "
            "was it written by a newer version?"
        ) from error
    return value


class Shelf:
    """A store whose bodies are msgspec structs."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def close(self) -> None:
        """Let go of connections."""
        self.store.close()

    def _read(self, partition: str, key: str, kind: type[T]) -> Stored[T] | None:
        record = self.store.get(partition, key)
        return None if record is None else Stored(decode(partition, record, kind), record.etag)

    def _read_all(self, partition: str, prefix: str, kind: type[T], limit: int | None = None) -> list[Stored[T]]:
        records = self.store.scan(partition, prefix, limit=limit)
        return [Stored(decode(partition, record, kind), record.etag) for record in records]

    def _head(self, service: str) -> Stored[Head] | None:
        return self._read(keys.partition(service), keys.HEAD, Head)


def touched(head: Stored[Head] | None) -> Put:
    """Write the head as it was read: whoever does so excludes everybody else who does."""
    value = head.value if head else Head(rollout=None)
    return Put(keys.HEAD, encode(value), head.etag if head else None)
