"""Leases: who may deploy to the idle slot, what was deployed, and which versions were seen where."""

import hashlib

from rollouts.errors import Refused
from rollouts.observation import Slot
from rollouts.rollout import Rollout
from storing import keys
from storing.contract import ANY, Delete, Put
from storing.entries import Deployment, Introduced, Lease, Reached, SeenVersion, Stored
from storing.shelf import Shelf, encode, touched


class Leases(Shelf):
    """One lease a service at most."""

    def lease(self, service: str) -> Stored[Lease] | None:
        """The lease as it was taken, over or not; None = nobody has one."""
        return self._read(keys.partition(service), keys.LEASE, Lease)

    def take_lease(self, service: str, owner: str, slot: Slot, until: float, now: float) -> Lease:
        """`owner` may deploy to `slot` until `until`; taking one's own again renews it.

        Refused names the owner who has it, or the rollout that runs, at its gate too: it would bring traffic to
        a slot that is deployed to. Conflict when a start or another lease came in between.
        """
        partition = keys.partition(service)
        head, held = self._head(service), self.lease(service)
        if held and held.value.owner != owner and held.value.holds(now):
            left = int(held.value.expires_at - now)
            raise Refused(
                f"{service}: {held.value.slot} is leased by {held.value.owner} for another {left} s: "
                f"deploy after that, or ask {held.value.owner} to announce or to give it back (target --release)"
            )
        name = hashlib.sha256(f"{service} {owner} {slot} {now}".encode()).hexdigest()[:16]
        lease = Lease(id=name, owner=owner, slot=slot, taken_at=now, expires_at=until)
        running = (
            self._read(partition, keys.rollout(head.value.rollout), Rollout) if head and head.value.rollout else None
        )
        if running is not None and not running.value.closed:
            raise Refused(
                f"{service}: {running.value.id} is in phase {running.value.phase} ({running.value.share} % for "
                f"{running.value.canary}): wait for its end, or preempt it"
            )
        self.store.commit(partition, [touched(head), Put(keys.LEASE, encode(lease), held.etag if held else None)])
        return lease

    def release_lease(self, service: str, owner: str, now: float) -> bool:
        """`owner` will not deploy after all. False when there is no lease to give back.

        Refused when it is another's. Conflict when it was taken or consumed in between.
        """
        held = self.lease(service)
        if held is None or not held.value.holds(now):
            return False
        if held.value.owner != owner:
            raise Refused(
                f"{service}: the lease on {held.value.slot} is {held.value.owner}'s, not {owner}'s: only its owner "
                "gives it back"
            )
        self.store.commit(keys.partition(service), [Delete(keys.LEASE, held.etag)])
        return True

    def deployment(self, service: str, deployment_id: str) -> str | None:
        """The id of the rollout that this deployment started; None = none yet."""
        found = self._read(keys.partition(service), keys.deployment(deployment_id), Deployment)
        return found.value.rollout if found else None

    def seen(self, service: str, version: str) -> SeenVersion | None:
        """How far `version` came; None = never seen."""
        found = self._read(keys.partition(service), keys.seen(version), SeenVersion)
        return found.value if found else None

    def mark_seen(self, service: str, version: str, status: Reached, at: float) -> None:
        """Remember a version that stands on a slot; what a rollout found out about it is kept."""
        known = self.seen(service, version)
        if known is None or (known.rollout is None and known.status != status):
            mark = SeenVersion(version=version, status=status, at=at)
            self.store.commit(keys.partition(service), [seen_mark(mark)])

    def introduced(self, service: str) -> bool:
        """True once both slots were looked at before anything was started."""
        return self.store.get(keys.partition(service), keys.INTRODUCED) is not None

    def introduce(self, service: str, at: float) -> None:
        """What stands on both slots now was there before us: no rollout starts because of it."""
        self.store.commit(keys.partition(service), [Put(keys.INTRODUCED, encode(Introduced(at=at)), ANY)])


def seen_mark(version: SeenVersion) -> Put:
    """The write that remembers a version."""
    return Put(keys.seen(version.version), encode(version), ANY)
