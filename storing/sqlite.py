"""The store in one SQLite file: the embedded default of the lab. Same limits as Azure Tables.

Several threads and several processes may use one file at once: write-ahead logging, one writer at a time,
the others wait up to BUSY_SECONDS. A transaction that was committed survives the death of the process.
"""

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

from rollouts.errors import Conflict, Misconfigured, Unavailable
from storing.contract import ANY, Delete, Put, Record
from storing.limits import check_commit, check_key, end_of

BUSY_SECONDS = 10.0  # a commit takes milliseconds: who waits longer has met a hung process

READ = "select key, body, etag from records where store = ? and partition = ? and key = ?"
READ_ETAG = "select etag from records where store = ? and partition = ? and key = ?"
WRITE = "insert or replace into records values (?, ?, ?, ?, ?)"
REMOVE = "delete from records where store = ? and partition = ? and key = ?"
READ_MANY = """
select key, body, etag from records where store = ? and partition = ?
and key >= ? and key > ? and (? is null or key < ?) order by key limit ?
"""
SCHEMA = """
create table if not exists records (
    store text not null, partition text not null, key text not null, body blob not null, etag text not null,
    primary key (store, partition, key)
)
"""


class SqliteStore:
    """Records in `path`; `table` keeps several stores in one file apart."""

    def __init__(self, path: Path, table: str) -> None:
        self._path = path
        self._table = table
        self._lock = threading.Lock()  # one connection, used by one thread at a time
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._translated():
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            self._prepare()

    def _prepare(self) -> None:
        # The change to WAL needs the file for itself and does not wait by itself: take the write lock first,
        # so that processes that start together queue up.
        if self._connection.execute("pragma journal_mode").fetchone()[0] != "wal":
            self._connection.execute("pragma locking_mode = normal")
            self._connection.execute("pragma journal_mode = wal")
        # A killed process loses nothing; only a power cut may lose the last commits, whole ones.
        self._connection.execute("pragma synchronous = normal")
        with self._transaction():
            self._connection.execute(SCHEMA)

    def get(self, partition: str, key: str) -> Record | None:
        """The record, or None."""
        check_key(partition, "partition")
        check_key(key)
        with self._lock, self._translated():
            row = self._connection.execute(READ, (self._table, partition, key)).fetchone()
        return Record(*row) if row else None

    def scan(self, partition: str, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[Record]:
        """Records whose key starts with `prefix` and sorts after `after`, in key order."""
        check_key(partition, "partition")
        end = end_of(prefix)
        with self._lock, self._translated():
            rows = self._connection.execute(
                READ_MANY,
                (self._table, partition, prefix, after, end, end, -1 if limit is None else limit),
            ).fetchall()
        return [Record(*row) for row in rows]

    def commit(self, partition: str, writes: Sequence[Put | Delete]) -> dict[str, str]:
        """All or nothing; the new ETag of every key put."""
        check_commit(partition, writes)
        if not writes:
            return {}
        with self._lock, self._translated(), self._transaction():
            return {write.key: etag for write in writes if (etag := self._apply(partition, write)) is not None}

    def _apply(self, partition: str, write: Put | Delete) -> str | None:
        where = (self._table, partition, write.key)
        found = self._connection.execute(READ_ETAG, where).fetchone()
        held = found[0] if found else None
        if write.etag not in (ANY, held):
            raise Conflict(f"{partition} {write.key}: somebody wrote it first")
        if isinstance(write, Delete):
            self._connection.execute(REMOVE, where)
            return None
        etag = uuid4().hex  # never reused, not even by a record that was deleted and made again
        self._connection.execute(WRITE, (*where, write.body, etag))
        return etag

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._connection.execute("begin immediate")
        try:
            yield
        except BaseException:
            if self._connection.in_transaction:  # SQLite ends one itself where the disk is full
                self._connection.execute("rollback")
            raise
        self._connection.execute("commit")

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise Unavailable(f"SQLite {self._path}: {error}; the next tick tries again") from error
        except sqlite3.DatabaseError as error:
            raise Misconfigured(
                f"SQLite {self._path}: {error}; name a new file in STATE_URL, or restore this one"
            ) from error
