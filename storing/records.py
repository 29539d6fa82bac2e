"""The state as the controller sees it: typed, with everything that belongs together in one transaction.

Nothing is locked. Each write is a compare-and-swap on what was read; who loses raises Conflict, stops, and
reads again at the next tick. Three orders of writing make that enough:
- A rollout, its decision, its notices and its counts change in one transaction, or not at all.
- A service is made active BEFORE its rollout is created, and inactive only by an ETag read before it was
  found idle; creating and resting both write the service's head. So no rollout is left without ticks.
- Taking a lease writes the head, and none is taken while a rollout runs. So no start overlooks a lease.
"""

from collections.abc import Sequence

from rollouts import limits
from rollouts.decision import Decision
from rollouts.errors import Conflict, InvariantBroken, Refused
from rollouts.rollout import Phase, Rollout
from storing import keys
from storing.contract import ANY, Delete, Put
from storing.entries import Active, DecisionRecord, Deployment, Harm, Head, Reached, SeenVersion, Stored
from storing.leases import Leases, seen_mark
from storing.orders import Orders
from storing.outbox import Outbox, outgoing
from storing.series import Series
from storing.shelf import encode, touched

DELETED_AT_ONCE = 100
KEPT_ROLLOUTS = 100  # of a service; older ones go, with their decisions and counts, when it comes to rest


class Records(Series, Outbox, Leases, Orders):
    """Everything that survives the process."""

    def active(self) -> list[str]:
        """Services that need ticks. One small read when nothing runs."""
        return [one.service for one in self.active_services()]

    def active_services(self) -> list[Active]:
        """The same with their workspaces."""
        return [one.value for one in self._read_all(keys.ACTIVE, "", Active)]

    def activate(self, service: str, workspace: str) -> None:
        """Give `service` ticks from now on."""
        record = Active(service=service, workspace=workspace)
        self.store.commit(keys.ACTIVE, [Put(keys.escaped(service), encode(record), ANY)])

    def deactivate(self, service: str) -> bool:
        """Rest, if its rollout is closed and its outbox empty. False = there is still something to do."""
        active = self.store.get(keys.ACTIVE, keys.escaped(service))
        if active is None:
            return True
        head = self._head(service)
        if self.current(service) is not None or not self.outbox_empty(service):
            return False
        try:
            self.store.commit(keys.partition(service), [touched(head)])
            self.store.commit(keys.ACTIVE, [Delete(active.key, active.etag)])
        except Conflict:  # somebody starts just now
            return False
        self.prune(service, KEPT_ROLLOUTS)
        return True

    def storm(self, workspace: str, now: float) -> str:
        """Why raising is stopped in a workspace: many services turned harmful at once; "" = it is not."""
        since = now - limits.STORM_SECONDS
        harmed = [one.value for one in self._read_all(keys.harm(workspace), "", Harm)]
        recent = sorted(one.service for one in harmed if one.at > since)
        if len(recent) < limits.STORM_SERVICES:
            return ""
        return (
            f"{len(recent)} services of this workspace turned harmful within {limits.STORM_SECONDS} s "
            f"(STORM_SERVICES {limits.STORM_SERVICES}): {', '.join(recent[:10])}. Rather the world than the versions"
        )

    def rollout(self, service: str, rollout_id: str) -> Stored[Rollout] | None:
        """The rollout with this id."""
        found = self._read(keys.partition(service), keys.rollout(rollout_id), Rollout)
        return found if found and found.value.id == rollout_id else None

    def find(self, rollout_id: str) -> Stored[Rollout] | None:
        """The rollout with this id, of whichever service; None also for what is no id."""
        service = keys.service_of(rollout_id)
        return self.rollout(service, rollout_id) if service else None

    def current(self, service: str) -> Stored[Rollout] | None:
        """The rollout that still needs ticks: not closed, or closed with notices waiting."""
        newest = self.newest(service)
        if newest is None or (newest.value.closed and self.outbox_empty(service)):
            return None
        return newest

    def newest(self, service: str) -> Stored[Rollout] | None:
        """The rollout that started last, closed or not."""
        head = self._head(service)
        if head is None or head.value.rollout is None:
            return None
        return self.rollout(service, head.value.rollout)

    def rollouts(self, service: str, limit: int) -> list[Rollout]:
        """The newest first."""
        found = self._read_all(keys.partition(service), keys.ROLLOUT, Rollout, limit)
        return [one.value for one in found]

    def decisions(self, service: str, rollout_id: str) -> list[DecisionRecord]:
        """Everything that was decided and recorded, in order."""
        found = self._read_all(keys.partition(service), keys.decisions(rollout_id), DecisionRecord)
        return [one.value for one in found]

    def create(self, decision: Decision) -> Stored[Rollout]:
        """Start a rollout. It takes the service's lease on its slot with it.

        Conflict when another rollout of the service is not closed, when its deployment id started one
        already, or when somebody else wrote in between. Refused when it brings traffic to a leased slot.
        """
        rollout = decision.rollout
        service = rollout.service
        head = self._head(service)
        running = self.newest(service)
        if running and not running.value.closed:
            raise Conflict(f"{service}: {running.value.id} is not closed, a second rollout cannot start")
        if earlier := self.deployment(service, rollout.deployment_id):
            raise Conflict(f"{service}: deployment {rollout.deployment_id!r} started {earlier} already")
        held = self.lease(service)
        taken = held is not None and held.value.slot is rollout.baseline and held.value.holds(decision.at)
        if held and taken and rollout.phase is Phase.CLOSING:
            raise Refused(
                f"{service}: {held.value.slot} is leased by {held.value.owner}, who may be deploying to it just now: "
                f"no traffic goes there before it is announced or given back (target --release)"
            )
        self.activate(service, rollout.pin.workspace)  # after the head was read: see the module's second order
        mark = Deployment(id=rollout.deployment_id, rollout=rollout.id, version=rollout.version, at=rollout.started_at)
        writes: list[Put | Delete] = [
            Put(keys.HEAD, encode(Head(rollout=rollout.id)), head.etag if head else None),
            Put(keys.rollout(rollout.id), encode(rollout), None),
            Put(keys.deployment(rollout.deployment_id), encode(mark), None),
            _seen(rollout, Reached.STARTED, decision.at),
            *self._of_decision(decision),
        ]
        if held and held.value.slot is rollout.canary:
            writes.append(Delete(keys.LEASE, held.etag))
        return self._committed(rollout, writes)

    def save(self, stored: Stored[Rollout], decision: Decision) -> Stored[Rollout]:
        """Store what was decided: the rollout, its record, its notices and the counts that became final."""
        before, rollout = stored.value, decision.rollout
        if (before.id, before.service) != (rollout.id, rollout.service):
            raise InvariantBroken(f"{before.id}: the decision is about {rollout.id}")
        if before.closed and not rollout.closed:
            raise InvariantBroken(f"{before.id}: it is closed, a decision cannot open it again")
        if rollout.decisions != before.decisions + decision.recorded:
            raise InvariantBroken(
                f"{before.id}: decision {rollout.decisions} was made after decision {before.decisions}, "
                f"recorded {decision.recorded}"
            )
        writes: list[Put | Delete] = [
            Put(keys.rollout(rollout.id), encode(rollout), stored.etag),
            *self._of_decision(decision),
        ]
        if rollout.closed and not before.closed and rollout.outcome is not None:
            came_to = Reached.HARMFUL if rollout.proven_harmful else Reached(rollout.outcome)
            writes.append(_seen(rollout, came_to, decision.at))
        if rollout.harmful_at is not None and before.harmful_at is None:
            harm = Harm(service=rollout.service, at=rollout.harmful_at)
            # Before the decision: a storm seen once too often holds, one overlooked raises.
            self.store.commit(keys.harm(rollout.pin.workspace), [Put(keys.escaped(rollout.service), encode(harm), ANY)])
        return self._committed(rollout, writes)

    def prune(self, service: str, keep: int) -> int:
        """Remove closed rollouts beyond the `keep` newest, with all that belongs to them; how many."""
        partition = keys.partition(service)
        old = [one for one in self.rollouts(service, keep + DELETED_AT_ONCE)[keep:] if one.closed]
        for rollout in old:
            for prefix in (keys.counts, keys.same_hours, keys.decisions, keys.told):
                while found := self.store.scan(partition, prefix(rollout.id), limit=DELETED_AT_ONCE):
                    self.store.commit(partition, [Delete(one.key, ANY) for one in found])
            self.store.commit(partition, [Delete(keys.rollout(rollout.id), ANY)])
        return len(old)

    def _of_decision(self, decision: Decision) -> list[Put]:
        """Writes that belong to a decision beside the rollout itself."""
        rollout = decision.rollout
        writes = []
        if decision.recorded:
            record = DecisionRecord(
                number=rollout.decisions,
                at=decision.at,
                phase_before=decision.phase_before,
                phase=rollout.phase,
                share_before=decision.share_before,
                share=rollout.share,
                sentence=decision.sentence,
                kind=decision.kind,
                verdict=decision.verdict,
                hold=decision.hold,
                outcome=decision.outcome,
            )
            writes.append(Put(keys.decision(rollout.id, rollout.decisions), encode(record), None))
        writes += outgoing(rollout.service, decision.notices, decision.at)
        if decision.settled is not None:
            writes += self._appended(rollout, decision.settled)
        return writes

    def _committed(self, rollout: Rollout, writes: Sequence[Put | Delete]) -> Stored[Rollout]:
        etags = self.store.commit(keys.partition(rollout.service), writes)
        return Stored(rollout, etags[keys.rollout(rollout.id)])


def _seen(rollout: Rollout, status: Reached, at: float) -> Put:
    return seen_mark(SeenVersion(version=rollout.version, status=status, at=at, rollout=rollout.id))
