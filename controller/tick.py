"""One tick: observe -> decide -> save -> converge -> announce, for a group of services of one workspace.

Level-triggered: a tick reads the world again, whatever woke it. Killing the process between any two lines
loses nothing and does nothing twice: what is decided is stored before it is done, what was done is read back
before it is told, and the next tick goes on from what is stored.
"""

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from controller import groups, views
from controller.intake import follow
from controller.observe import failed, observe, policy_in_force, read_marker, read_pool, replace_readings
from controller.world import World
from notifying.outbox import drain
from rollouts.decide import decide, overdue, read_back, write_failed
from rollouts.decision import Decision
from rollouts.errors import CanaryError, Conflict, InvariantBroken, Misconfigured, Refused, Unavailable
from rollouts.observation import Failed, MarkerReading, Observation, PoolReading
from rollouts.policy import Policy
from rollouts.rollout import Rollout
from rollouts.target import marker_is_ours, pool_is_ours, wants_write
from storing.entries import Reached, Stored

log = logging.getLogger(__name__)


def tick(world: World, services: list[str], asked_at: float | None = None) -> None:
    """Bring every named service one look further. One service's trouble never stops the others.

    `asked_at` (epoch seconds) is when the tick was asked for: a rollout that was decided on since is left
    alone, so that messages that piled up are not worked off one by one. None = look whatever was looked at.
    """
    policy, now = policy_in_force(world), world.now()
    stored: dict[str, Stored[Rollout] | None] = {}
    for service in services:
        with _apart(world, service):
            stored[service] = world.records.newest(service)
    active = [one for one in stored.values() if one and not one.value.closed and not _served(one.value, asked_at)]
    seen = observe(world, [one.value for one in active], policy, now) if active else {}
    active.sort(key=lambda one: _unseen(seen[one.value.id]))  # whose API Management hangs has its turn last
    for one in active:  # all of them, before any channel is waited for
        with _apart(world, one.value.service):
            stored[one.value.service] = advance(world, one, seen[one.value.id])
    if policy is None:  # nobody knows where the channels are: what there is to tell waits
        return
    for service, after in stored.items():
        with _apart(world, service):
            announce(world, service, after.value if after else None, policy)


@contextmanager
def _apart(world: World, service: str) -> Iterator[None]:
    """Whatever goes wrong for `service` is said and kept; the others go on."""
    try:
        yield
    except Conflict as lost:
        log.info("%s: somebody else decided first, this tick stops: %s", service, lost)
    except Unavailable as away:
        log.warning("%s: frozen until the other side answers: %s", service, away)
    except InvariantBroken as broken:
        log.error("%s: frozen, weights untouched, this is a bug of ours: %s", service, broken)  # noqa: TRY400
        world.records.record_incident("invariant", f"{service}: {broken}", world.now())
    except CanaryError as error:
        log.error("%s: %s", service, error)  # noqa: TRY400  # the message says all, a trace says less
        world.records.record_incident("tick", f"{service}: {error}", world.now())
    except Exception as error:  # noqa: BLE001  # a bug that one service meets must not freeze the others
        where = traceback.extract_tb(error.__traceback__)[-1]
        # Only our own errors are known to hold no secret: of this one its type and place.
        told = f"{type(error).__name__} in {where.name} ({Path(where.filename).name}, line {where.lineno})"
        log.error("%s: frozen, weights untouched, this is a bug of ours: %s", service, told)  # noqa: TRY400
        world.records.record_incident("invariant", f"{service}: {told}", world.now())


def tick_message(world: World, message: bytes) -> None:
    """Tick what a queue message asks for; one that is none of ours is recorded, not tried again."""
    try:
        asked = groups.read(message)
    except Refused as error:
        log.warning("%s", error)
        world.records.record_incident("bad_message", str(error), world.now())
        return
    tick(world, asked.services, asked.asked_at)


def _served(rollout: Rollout, asked_at: float | None) -> bool:
    return asked_at is not None and rollout.ticked_at is not None and rollout.ticked_at >= asked_at


def _unseen(seen: Observation | Exception) -> bool:
    """Whether pool or marker could not be read: to try again may take as long as all others together."""
    return isinstance(seen, Exception) or isinstance(seen.pool, Failed) or isinstance(seen.marker, Failed)


def advance(world: World, stored: Stored[Rollout], seen: Observation | Exception) -> Stored[Rollout]:
    """decide, save, converge; raises what looking at it raised."""
    if isinstance(seen, Exception):
        raise seen
    decision = decide(stored.value, seen, world.now())
    remember_found(world, decision.rollout, seen)
    return converge(world, save(world, stored, decision), seen)


def remember_found(world: World, rollout: Rollout, seen: Observation) -> None:
    """A gate that found other code than was announced has seen it there: no lookout starts it afterwards.

    Only an announcement or a person does. What takes the place of the announced version once it was there is news.
    """
    found = seen.probes.get(rollout.canary)
    if rollout.shares or rollout.arrived or found is None or not found.healthy or found.version is None:
        return
    if world.records.seen(rollout.service, found.version) is None:
        world.records.mark_seen(rollout.service, found.version, Reached.IDLE, world.now())


def save(world: World, stored: Stored[Rollout], decision: Decision) -> Stored[Rollout]:
    """By compare-and-swap, with the notices and the settled counts, in one transaction. Conflict = stop."""
    after = world.records.save(stored, decision)
    if decision.recorded:
        log.info("canary.decision %s", views.logged(decision))
    if overdue(decision.rollout, decision.at):
        log.warning("canary.overdue %s", views.logged(decision))
    return after


def converge(world: World, stored: Stored[Rollout], seen: Observation) -> Stored[Rollout]:
    """Make pool and marker what the stored rollout says: the pool first, read back, then the marker.

    One that this tick has closed was read back by its own look.
    """
    rollout = stored.value
    if rollout.closed:
        return stored
    if wants_write(rollout, seen.standing, seen.pool, seen.marker):
        pool = None
        try:
            pool = write_pool(world, rollout, seen)
            marker = write_marker(world, rollout, seen, pool)
        except (Unavailable, Misconfigured, Conflict) as error:
            unknown = replace_readings(seen, pool or failed("pool", error), failed("marker", error))
            return save(world, stored, write_failed(rollout, unknown, str(error), world.now()))
        seen = replace_readings(seen, pool, marker)
    decision = read_back(rollout, seen, world.now())
    return save(world, stored, decision) if decision.rollout != rollout else stored


def write_pool(world: World, rollout: Rollout, seen: Observation) -> PoolReading:
    """The pool as the rollout wants it, read back. A pool that could not be observed is read again first."""
    pin = rollout.pin
    pool = seen.pool if isinstance(seen.pool, PoolReading) else read_pool(world, pin)
    if not isinstance(pool, PoolReading):
        raise Unavailable(pool.detail, retry_at=pool.retry_at)
    if pool.weights == rollout.weights:
        return pool
    if not pool_is_ours(rollout, pool):
        raise Conflict(f"{pin.pool} was changed by somebody else meanwhile: {pool.weights}")
    return world.pool.write(pin.api_management, pin.pool, pin.backends, rollout.weights, pool.etag)


def write_marker(world: World, rollout: Rollout, seen: Observation, pool: PoolReading) -> MarkerReading:
    """The marker as the rollout wants it, once the pool was read back as wanted."""
    pin = rollout.pin
    marker = seen.marker if isinstance(seen.marker, MarkerReading) else read_marker(world, pin)
    if not isinstance(marker, MarkerReading):
        raise Unavailable(marker.detail, retry_at=marker.retry_at)
    if marker.live is rollout.marker or pool.weights != rollout.weights:
        return marker
    if not marker_is_ours(rollout, marker):
        raise Conflict(f"{pin.marker} was changed by somebody else meanwhile: {marker.live}")
    return world.marker.write(pin.api_management, pin.marker, rollout.marker, marker.etag)


def announce(world: World, service: str, rollout: Rollout | None, policy: Policy) -> None:
    """Drain the outbox; a service rests when its rollout is closed, what follows is begun, and everything is told."""
    drain(world.records, service, policy.channels, world.channel, world.now())
    if rollout is not None and rollout.closed:
        follow(world, rollout)
    world.records.deactivate(service)
