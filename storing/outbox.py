"""The outbox: notices that were stored with their decision and wait to be sent, each once per channel."""

from collections.abc import Sequence

from msgspec.structs import replace

from rollouts.notice import Notice
from storing import keys
from storing.contract import ANY, Delete, Put
from storing.entries import Outgoing
from storing.shelf import Shelf, decode, encode


class Outbox(Shelf):
    """Notices of a service: waiting, sent, given up."""

    def outbox(self, service: str) -> list[Outgoing]:
        """What is still to be sent, one for each notice and channel, in the order of the decisions."""
        partition = keys.partition(service)
        records = self.store.scan(partition, keys.OUT)
        return [replace(decode(partition, record, Outgoing), etag=record.etag) for record in records]

    def outbox_empty(self, service: str) -> bool:
        """True when nothing waits."""
        return not self.store.scan(keys.partition(service), keys.OUT, limit=1)

    def claim(self, entry: Outgoing, until: float) -> Outgoing:
        """Take `entry` for sending: nobody else does before `until`. Conflict when somebody did."""
        return self._rewritten(replace(entry, attempts=entry.attempts + 1, retry_at=until))

    def failed(self, entry: Outgoing, error: str, retry_at: float) -> Outgoing:
        """The attempt failed; the next one is due at `retry_at`."""
        return self._rewritten(replace(entry, error=error, retry_at=retry_at))

    def sent(self, entry: Outgoing, at: float) -> None:
        """It was delivered: out of the outbox, kept with the rollout."""
        self._told(replace(entry, sent_at=at, error=None, retry_at=None))

    def gave_up(self, entry: Outgoing, error: str, at: float) -> None:
        """It will not be delivered: out of the outbox, kept with its error."""
        self._told(replace(entry, failed_at=at, error=error, retry_at=None))

    def notices(self, service: str, rollout_id: str) -> list[Outgoing]:
        """Everything told, given up or still waiting about a rollout, in the order of the decisions."""
        told = [one.value for one in self._read_all(keys.partition(service), keys.told(rollout_id), Outgoing)]
        known = {one.key for one in told}
        waiting = [one for one in self.outbox(service) if one.notice.rollout == rollout_id and one.key not in known]
        return sorted(told + waiting, key=lambda one: one.key)

    def _rewritten(self, entry: Outgoing) -> Outgoing:
        put = Put(entry.key, encode(replace(entry, etag="")), entry.etag)
        return replace(entry, etag=self.store.commit(keys.partition(entry.service), [put])[entry.key])

    def _told(self, entry: Outgoing) -> None:
        kept = keys.told(entry.notice.rollout) + entry.key.removeprefix(keys.OUT)
        writes: list[Put | Delete] = [Delete(entry.key, entry.etag), Put(kept, encode(replace(entry, etag="")), ANY)]
        self.store.commit(keys.partition(entry.service), writes)


def outgoing(service: str, notices: Sequence[Notice], at: float) -> list[Put]:
    """Writes that put `notices` into the outbox of `service`, for each of their channels."""
    puts: list[Put] = []
    for notice in notices:
        for channel in notice.channels:
            key = keys.out(at, len(puts), notice.id, channel)
            entry = Outgoing(service=service, key=key, channel=channel, notice=notice, queued_at=at)
            puts.append(Put(key, encode(entry), ANY))
    return puts
