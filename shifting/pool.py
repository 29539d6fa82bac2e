"""The backend pool's weights: read as percent, written with If-Match, read back.

The pool travels as raw JSON, because a read-modify-write through the SDK's models drops the fields that are
newer than the models. Only the two weights change; everything else goes back as it came.
"""

import copy
import json
from collections.abc import Iterable
from typing import IO, Any, cast

from rollouts.errors import Conflict, InvariantBroken, Misconfigured
from rollouts.observation import PoolReading, Slot, Weights
from shifting.arm import ApiManagement, ArmClients, Asked, Raw, keep_raw

READ = "Microsoft.ApiManagement/service/backends/read"
WRITE = "Microsoft.ApiManagement/service/backends/write"


class Pool:
    """Reads and writes the weights of backend pools (controller.seams.PoolShifter)."""

    def __init__(self, arm: ArmClients) -> None:
        self._arm = arm

    def read(self, api_management: str, pool: str, backends: dict[Slot, str]) -> PoolReading:
        """The weights now, in percent (see `percent`), with the ETag.

        Misconfigured when it is not exactly the two backends in one priority group, or gives traffic to none.
        """
        service = ApiManagement.parse(api_management)
        asked = _asked("read", READ, service, pool)
        return _reading(self._arm.read(lambda: self._get(service, pool), asked), pool, backends)

    def write(
        self, api_management: str, pool: str, backends: dict[Slot, str], weights: Weights, etag: str
    ) -> PoolReading:
        """Set the weights if the pool is still at `etag`; the answer is what was read back afterwards.

        A read-back that differs from `weights` is returned as it was read: the caller decides. If the pool
        already holds `weights` nothing is sent: it was an earlier write of ours. Conflict when somebody else
        wrote first.
        """
        _check(weights)
        service = ApiManagement.parse(api_management)
        raw = self._arm.read(lambda: self._get(service, pool), _asked("read", READ, service, pool))
        seen = _reading(raw, pool, backends)
        if seen.weights == weights:
            return seen
        asked = _asked("write", WRITE, service, pool)
        if seen.etag != etag:
            raise Conflict(f"{asked.what}: it was changed since it was read; read again at the next tick")
        body = _with(raw, pool, backends, weights)
        return self._arm.write(
            lambda: self._put(service, pool, body, etag),
            lambda: _reading(self._get(service, pool), pool, backends),
            asked,
            ours=lambda reading: reading.weights == weights,
            etag=etag,
        )

    def rewrite(self, api_management: str, pool: str, backends: dict[Slot, str]) -> PoolReading:
        """Write the pool as it is, with If-Match, and read it back: is the right to write there?

        Asked once and never again: an answer that gets lost is Unavailable, and nothing has changed.
        """
        service = ApiManagement.parse(api_management)
        raw = self._arm.read(lambda: self._get(service, pool), _asked("read", READ, service, pool))
        _reading(raw, pool, backends)
        asked = _asked("write", WRITE, service, pool)
        self._arm.once(lambda: self._put(service, pool, _body(raw.body), raw.etag), asked)
        return self.read(api_management, pool, backends)

    def _get(self, service: ApiManagement, pool: str) -> Raw:
        operations = self._arm.client(service).backend
        return cast(Raw, operations.get(service.resource_group, service.name, pool, cls=keep_raw))

    def _put(self, service: ApiManagement, pool: str, body: bytes, etag: str) -> None:
        operations = self._arm.client(service).backend
        operations.create_or_update(
            service.resource_group,
            service.name,
            pool,
            cast("IO[bytes]", body),  # typed as a stream; bytes are sent as they are
            if_match=etag,
        )


def percent(blue: int, green: int) -> Weights:
    """Relative weights from 0 to 100 as percent: sums to 100, zero stays zero, non-zero never becomes zero.

    Rounded to the nearest whole percent; a tie goes to blue. The smallest share, 1 of 101, still rounds to 1, so
    nobody who gets traffic is shown with none. Both zero is no split, refused by the caller.

    >>> percent(1, 3), percent(0, 7), percent(1, 100)
    (Weights(blue=25, green=75), Weights(blue=0, green=100), Weights(blue=1, green=99))
    """
    total = blue + green
    share = (200 * blue + total) // (2 * total)
    return Weights(blue=share, green=100 - share)


def _check(weights: Weights) -> None:
    pair = (weights.blue, weights.green)
    whole = all(isinstance(weight, int) and 0 <= weight <= 100 for weight in pair)
    if not whole or sum(pair) != 100:
        raise InvariantBroken(f"weights {pair[0]!r} and {pair[1]!r} do not sum to 100 percent: nothing was sent")


def _reading(raw: Raw, pool: str, backends: dict[Slot, str]) -> PoolReading:
    members = _members(raw.body, pool, backends)
    affinity = raw.body["properties"]["pool"].get("sessionAffinity") is not None
    blue, green = (_weight(members[slot], pool) for slot in (Slot.BLUE, Slot.GREEN))
    if blue is None and green is None:
        # No weights at all is round robin: "By default, requests are distributed evenly across the backends
        # in the pool" (learn.microsoft.com/azure/api-management/backends, load-balanced pool).
        blue = green = 1
    if blue is None or green is None:
        raise _mend(pool, "only one of its members has a weight, and what the other then gets is not documented")
    if blue + green == 0:
        raise _mend(pool, "both weights are 0, so it sends traffic nowhere")
    if not raw.etag:
        raise _mend(pool, "ARM showed it without an ETag, so it cannot be written safely")
    return PoolReading(weights=percent(blue, green), etag=raw.etag, session_affinity=affinity)


def _members(body: dict[str, Any], pool: str, backends: dict[Slot, str]) -> dict[Slot, dict[str, Any]]:
    """The pool's members by slot: exactly the two backends, each once, in one priority group."""
    properties = body.get("properties")
    if not isinstance(properties, dict) or str(properties.get("type")).lower() != "pool":
        raise _mend(pool, "it is not a backend of type Pool")
    inner = properties.get("pool")
    services = inner.get("services") if isinstance(inner, dict) else None
    if not isinstance(services, list) or not all(
        isinstance(service, dict) and isinstance(service.get("id"), str) for service in services
    ):
        raise _mend(pool, "its list of members (pool.services, each with an id) cannot be read")
    names = [service["id"].rstrip("/").rsplit("/", 1)[-1] for service in services]
    lowered = [name.lower() for name in names]
    missing = [name for name in backends.values() if name.lower() not in lowered]
    if missing:
        raise _mend(pool, f"{_list(missing)} is not a member; its members are {_list(names)}")
    if len(services) != len(backends):
        raise _mend(
            pool,
            f"its members are {_list(names)}, and there must be no other than {_list(backends.values())}",
        )
    members = {slot: services[lowered.index(name.lower())] for slot, name in backends.items()}
    if len({json.dumps(member.get("priority")) for member in members.values()}) > 1:
        raise _mend(pool, "its members differ in priority, so weights do not split the traffic between them")
    return members


def _weight(member: dict[str, Any], pool: str) -> int | None:
    """None = the member has no weight."""
    weight = member.get("weight")
    if weight is None or (isinstance(weight, int) and not isinstance(weight, bool) and 0 <= weight <= 100):
        return weight
    raise _mend(pool, f"the weight {weight!r} is not a whole number from 0 to 100")


def _with(raw: Raw, pool: str, backends: dict[Slot, str], weights: Weights) -> bytes:
    """The PUT's body: the properties as read, with our weights."""
    body = copy.deepcopy(raw.body)
    for slot, member in _members(body, pool, backends).items():
        member["weight"] = weights.share(slot)
    return _body(body)


def _body(body: dict[str, Any]) -> bytes:
    # A GET shows as null what a pool has not (title, url, protocol); a pool's PUT refuses to be given url or protocol.
    properties = {name: value for name, value in body["properties"].items() if value is not None}
    return json.dumps({"properties": properties}).encode()


def _mend(pool: str, wrong: str) -> Misconfigured:
    return Misconfigured(
        f"backend pool {pool!r}: {wrong}. In API Management, give it exactly the slots' two backends "
        "(services.<name>.slots.<slot>.backend), same priority, weights from 0 to 100 that are not both 0"
    )


def _list(names: Iterable[str]) -> str:
    return " and ".join(repr(name) for name in names)


def _asked(verb: str, action: str, service: ApiManagement, pool: str) -> Asked:
    return Asked(f"{verb} the backend pool {pool!r} of API Management {service.name!r}", action, "pool")
