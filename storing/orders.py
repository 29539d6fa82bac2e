"""What people order: policies that were pushed, the off switch, modes; and incidents that they must see."""

from collections.abc import Sequence

from rollouts.errors import Conflict, Refused
from rollouts.observation import Mode
from storing import keys
from storing.contract import ANY, MAX_BODY_BYTES, Delete, Put
from storing.entries import Incident, ModeSet, RefusedPolicy, StoredPolicy, Switch
from storing.shelf import Shelf, encode

PUSH_ATTEMPTS = 5  # two people who push at once are served one after the other
MAX_INCIDENTS = 200
INCIDENTS_REMOVED_AT_ONCE = 50
KEPT_CHARACTERS = 2000  # of an incident, or of a policy that was refused
SPARE_BYTES = 4096  # beside the text of a policy: actor and time


class Orders(Shelf):
    """Orders are not part of any rollout."""

    def push_policy(self, yaml: str, actor: str, at: float) -> int:
        """Store a policy as the newest one; its version."""
        size = len(yaml.encode("utf-8", "surrogatepass"))
        if size > MAX_BODY_BYTES - SPARE_BYTES:
            raise Refused(
                f"the policy has {size} bytes, at most {MAX_BODY_BYTES - SPARE_BYTES} can be stored: split it"
            )
        for _ in range(PUSH_ATTEMPTS):
            newest = self.policy()
            version = newest.version + 1 if newest else 1
            pushed = StoredPolicy(version=version, yaml=yaml, actor=actor[:200], at=at)
            try:
                self.store.commit(keys.POLICY, [Put(keys.version(version), encode(pushed), None)])
            except Conflict:
                continue
            return version
        raise Conflict(f"the policy was pushed by others {PUSH_ATTEMPTS} times in between: look at it and push again")

    def policy(self) -> StoredPolicy | None:
        """The newest policy that was pushed; None = none, the packaged file is in force."""
        found = self._read_all(keys.POLICY, keys.VERSION, StoredPolicy, limit=1)
        return found[0].value if found else None

    def refused_policy(self, yaml: str, problems: Sequence[str], source: str, at: float) -> bool:
        """Record a policy that cannot come into force. True the first time: then, and only then, tell."""
        refused = RefusedPolicy(yaml=yaml[:KEPT_CHARACTERS], problems=tuple(problems)[:50], source=source[:200], at=at)
        try:
            self.store.commit(keys.POLICY, [Put(keys.refused(yaml), encode(refused), None)])
        except Conflict:
            return False
        return True

    def switch(self, service: str | None) -> Switch | None:
        """The off switch of `service`, or of everything (None); None = never touched."""
        found = self._read(keys.SWITCHES, keys.off(service), Switch)
        return found.value if found else None

    def set_switch(self, service: str | None, *, off: bool, actor: str, reason: str, at: float) -> None:
        """Turn a service, or everything (None), off or on."""
        switch = Switch(service=service, off=off, actor=actor, reason=reason, at=at)
        self.store.commit(keys.SWITCHES, [Put(keys.off(service), encode(switch), ANY)])

    def off_switches(self) -> frozenset[str]:
        """Services that are off; "" among them when everything is. One read."""
        found = [one.value for one in self._read_all(keys.SWITCHES, keys.OFF, Switch)]
        return frozenset(switch.service or "" for switch in found if switch.off)

    def set_mode(self, service: str, mode: Mode, *, actor: str, reason: str, at: float) -> None:
        """Set a mode that goes before the policy's."""
        set_by = ModeSet(service=service, mode=mode, actor=actor, reason=reason, at=at)
        self.store.commit(keys.SWITCHES, [Put(keys.mode(service), encode(set_by), ANY)])

    def modes(self) -> dict[str, ModeSet]:
        """Modes that people set, by service; the others have the policy's. One read."""
        return {one.value.service: one.value for one in self._read_all(keys.SWITCHES, keys.MODE, ModeSet)}

    def record_incident(self, kind: str, detail: str, at: float) -> None:
        """Keep an incident for people; of the same one at the same time once, the newest MAX_INCIDENTS in all."""
        cut = detail[:KEPT_CHARACTERS]
        incident = Incident(at=at, kind=kind, detail=cut)
        writes: list[Put | Delete] = [Put(keys.incident(at, kind, cut), encode(incident), ANY)]
        self.store.commit(keys.INCIDENTS, writes)
        kept = self.store.scan(keys.INCIDENTS, limit=MAX_INCIDENTS + INCIDENTS_REMOVED_AT_ONCE)
        self.store.commit(keys.INCIDENTS, [Delete(one.key, ANY) for one in kept[MAX_INCIDENTS:]])

    def incidents(self, limit: int) -> list[Incident]:
        """The newest incidents first."""
        return [one.value for one in self._read_all(keys.INCIDENTS, "", Incident, min(limit, MAX_INCIDENTS))]
