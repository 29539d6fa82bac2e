"""The contract of every state store: small records in partitions, written in transactions, guarded by ETags.

Both stores obey the limits of Azure Tables, so that nothing works in the lab and fails in Azure.
"""

from collections.abc import Sequence
from typing import Protocol

import msgspec

MAX_BODY_BYTES = 64 * 1024 * 12  # Tables: 64 KiB a property, 1 MiB an entity; the body is split over 12 of them
MAX_WRITES = 100  # operations of one entity-group transaction
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024  # a transaction's payload
MAX_KEY_CHARACTERS = 512  # 1 KiB in UTF-16
FORBIDDEN_IN_KEYS = "/\\#?%"  # and all but printable ASCII, so that both stores sort alike


class Record(msgspec.Struct, frozen=True):
    """One stored record."""

    key: str
    body: bytes
    etag: str


class Put(msgspec.Struct, frozen=True):
    """Write one record: insert (etag None), replace what was read (etag), or whatever is there (ANY)."""

    key: str
    body: bytes
    etag: str | None


class Delete(msgspec.Struct, frozen=True):
    """Remove one record: exactly what was read (etag), or whatever is there (ANY; a missing one is fine)."""

    key: str
    etag: str


ANY = "*"


class Store(Protocol):
    """Where state lives. Raises Conflict (somebody wrote first), Unavailable (it does not answer now)."""

    def get(self, partition: str, key: str) -> Record | None:
        """The record, or None."""

    def scan(self, partition: str, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[Record]:
        """Records whose key starts with `prefix` and sorts after `after`, in key order."""

    def commit(self, partition: str, writes: Sequence[Put | Delete]) -> dict[str, str]:
        """All or nothing; the new ETag of every key put. At most MAX_WRITES, one write a key."""

    def close(self) -> None:
        """Let go of connections."""
