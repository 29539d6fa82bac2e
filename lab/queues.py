"""Storage queues in one SQLite file: messages survive the death of the process that holds them.

Visibility, dequeue counts and pop receipts work as in Azure Queue Storage.
"""

import sqlite3
import uuid
from pathlib import Path

import msgspec

LIFE_SECONDS = 7 * 24 * 3600  # Azure's default time to live
SCHEMA = """
CREATE TABLE IF NOT EXISTS messages (
  number INTEGER PRIMARY KEY AUTOINCREMENT, id TEXT NOT NULL, queue TEXT NOT NULL, body TEXT NOT NULL,
  inserted REAL NOT NULL, visible REAL NOT NULL, dequeued INTEGER NOT NULL DEFAULT 0, receipt TEXT);
CREATE INDEX IF NOT EXISTS by_queue ON messages (queue, visible);
"""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """A message as its receiver holds it; `receipt` proves that nobody has received it since."""

    id: str
    queue: str
    body: str
    inserted: float  # epoch seconds
    visible: float  # epoch seconds: when others can see it again
    dequeue_count: int
    receipt: str


class Queues:
    """All queues of one storage account. `path` None = in memory, lost with the process."""

    def __init__(self, path: Path | None = None) -> None:
        self._base = sqlite3.connect(path or ":memory:", isolation_level=None, check_same_thread=False, timeout=10)
        self._base.execute("PRAGMA journal_mode=WAL")
        self._base.execute("PRAGMA synchronous=OFF")  # survives a killed process; not a fallen machine
        self._base.executescript(SCHEMA)

    def close(self) -> None:
        """Let go of the file."""
        self._base.close()

    def put(self, queue: str, body: str, now: float, *, delay: float = 0.0) -> None:
        """Add a message that becomes visible after `delay` seconds."""
        self._base.execute(
            "INSERT INTO messages (id, queue, body, inserted, visible) VALUES (?, ?, ?, ?, ?)",
            (str(uuid.uuid4()), queue, body, now, now + delay),
        )

    def receive(self, queue: str, now: float, *, limit: int, lease: float) -> list[Message]:
        """Up to `limit` visible messages, the oldest first, hidden from others for `lease` seconds."""
        self._base.execute("DELETE FROM messages WHERE inserted < ?", (now - LIFE_SECONDS,))
        rows = self._base.execute(
            "UPDATE messages SET dequeued = dequeued + 1, visible = ?, receipt = hex(randomblob(8)) "
            "WHERE number IN "
            "(SELECT number FROM messages WHERE queue = ? AND visible <= ? ORDER BY number LIMIT ?) "
            "RETURNING number, id, queue, body, inserted, visible, dequeued, receipt",
            (now + lease, queue, now, limit),
        ).fetchall()
        return [
            Message(id=i, queue=q, body=b, inserted=t, visible=v, dequeue_count=n, receipt=r)
            for _, i, q, b, t, v, n, r in sorted(rows)
        ]

    def delete(self, message: Message) -> bool:
        """Remove it; False when the lease ran out and somebody else received it."""
        return self._changed("DELETE FROM messages WHERE id = ? AND receipt = ?", message.id, message.receipt)

    def show_again(self, message: Message, at: float) -> bool:
        """Move the moment at which others see it; False when somebody else received it."""
        return self._changed(
            "UPDATE messages SET visible = ? WHERE id = ? AND receipt = ?", at, message.id, message.receipt
        )

    def next_visible(self, queue: str) -> float | None:
        """When the next message can be received, epoch seconds; None = the queue is empty."""
        found: float | None = self._base.execute(
            "SELECT min(visible) FROM messages WHERE queue = ?", (queue,)
        ).fetchone()[0]
        return found

    def bodies(self, queue: str) -> list[str]:
        """What is in the queue, visible or not, the oldest first."""
        found = self._base.execute("SELECT body FROM messages WHERE queue = ? ORDER BY number", (queue,))
        return [body for (body,) in found]

    def _changed(self, statement: str, *values: object) -> bool:
        return self._base.execute(statement, values).rowcount == 1
