"""Settled counts in chunks: an hour of one-minute intervals each, packed.

A chunk covers CHUNK_INTERVALS intervals. What does not fit into one record goes on in the next part.
"""

from analyzers.judge.counts import Rows
from rollouts import limits
from rollouts.errors import InvariantBroken
from rollouts.rollout import Rollout
from storing import keys
from storing.contract import ANY, MAX_BODY_BYTES, Put, Record
from storing.shelf import Shelf

CHUNK_INTERVALS = 60
MAX_CHUNKS = 60  # written at once: with what else a decision writes, within one transaction

if limits.SETTLE_INTERVALS > (MAX_CHUNKS - 1) * CHUNK_INTERVALS:  # what settles at once may begin within a chunk
    raise AssertionError("limits: SETTLE_INTERVALS must fit into MAX_CHUNKS chunks of CHUNK_INTERVALS")


class Series(Shelf):
    """The settled counts of a rollout: they will not change any more."""

    def counts(self, service: str, rollout_id: str, indicators: int) -> Rows:
        """All settled rows of a rollout, the baseline's history included; empty = none yet."""
        return self._rows(service, keys.counts(rollout_id), indicators)

    def same_hours(self, service: str, rollout_id: str, indicators: int) -> Rows | None:
        """The baseline in the same hours of past days; None = not stored yet."""
        prefix = keys.same_hours(rollout_id)
        if not self.store.scan(keys.partition(service), prefix, limit=1):
            return None
        return self._rows(service, prefix, indicators)

    def keep_same_hours(self, rollout: Rollout, rows: Rows) -> None:
        """Store them, once: whoever comes second writes the same."""
        prefix = keys.same_hours(rollout.id)
        puts = [
            Put(keys.chunk(prefix, start, 0), piece.pack(), ANY)
            for start, piece in _chunks(rows, CHUNK_INTERVALS * rollout.pin.interval_seconds)
        ]
        nothing = Put(keys.chunk(prefix, 0, 0), rows.between(0, 0).pack(), ANY)  # empty is an answer, too
        self.store.commit(keys.partition(rollout.service), puts or [nothing])

    def _rows(self, service: str, prefix: str, indicators: int) -> Rows:
        rows = Rows.empty(indicators)
        for record in self.store.scan(keys.partition(service), prefix):
            rows = rows + Rows.unpack(record.body)
        return rows

    def _appended(self, rollout: Rollout, rows: Rows) -> list[Put]:
        """Writes that add `rows` to the stored chunks, each guarded by the ETag of what it adds to."""
        prefix = keys.counts(rollout.id)
        partition = keys.partition(rollout.service)
        puts = []
        for start, piece in _chunks(rows, CHUNK_INTERVALS * rollout.pin.interval_seconds):
            parts = self.store.scan(partition, keys.chunk(prefix, start, 0)[:-2])
            puts.append(_added(piece, parts, prefix, start))
        return puts


def _added(piece: Rows, parts: list[Record], prefix: str, start: int) -> Put:
    """`piece` added to the last part of its chunk, or as a new part when the last one is full."""
    if parts:
        last = parts[-1]
        body = (Rows.unpack(last.body) + piece).pack()
        if len(body) <= MAX_BODY_BYTES:
            return Put(last.key, body, last.etag)
    return Put(keys.chunk(prefix, start, len(parts)), piece.pack(), None)


def _chunks(rows: Rows, seconds: int) -> list[tuple[int, Rows]]:
    """`rows` cut into chunks of `seconds`, by the start of each; chunks without rows are left out."""
    starts = sorted({int(start) for start in rows.interval // seconds * seconds})
    chunks = [(start, rows.between(start, start + seconds)) for start in starts]
    if len(chunks) > MAX_CHUNKS:
        raise InvariantBroken(f"{len(chunks)} chunks of counts settled at once, {MAX_CHUNKS} are the most expected")
    return chunks
