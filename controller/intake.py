"""From signals to rollouts: what starts one, what only wakes, what is recorded and left alone. Idempotent.

Many signals tell of one deployment, each with another id, some late, some twice. An announcement starts a
rollout of its version once; everything else makes us read the idle slot's version, and only a version never
seen there before starts one: production is never silently downgraded.
"""

import hashlib
import logging
from datetime import UTC, datetime

from msgspec.structs import replace

from controller import signals
from controller.observe import glance, policy_in_force, probe_slot, read_marker, read_pool
from controller.world import World
from rollouts.command import supersede
from rollouts.decide import FirstLook, begin
from rollouts.errors import CanaryError, Conflict, NotFound, Refused, Unavailable
from rollouts.explain import duration
from rollouts.observation import Failed, MarkerReading, Slot
from rollouts.policy import ServicePolicy
from rollouts.rollout import Announcement, Outcome, Rollout
from rollouts.states import Event, possible
from storing.entries import Reached, Stored

log = logging.getLogger(__name__)

_NEEDS_RETRY = (Reached.LIVE, Reached.HARMFUL, Reached.PROMOTED, Reached.ROLLED_BACK)  # never again by accident


def receive(world: World, event: signals.Arrived) -> tuple[str, ...]:
    """Take one event; returns the services to tick now. What cannot be used is recorded and visible."""
    try:
        signal = signals.read(event, world.policy())
        match signal:
            case Announcement():
                announce(world, signal)
                return (signal.service,)
            case signals.Wake():
                for service in signal.services:
                    lookout(world, service)
                return signal.services
            case signals.Unknown():
                world.records.record_incident("unknown_event", signal.why, world.now())
                return ()
    except (Refused, NotFound) as error:
        log.warning("event %s: %s", event.id, error)
        world.records.record_incident("bad_event", str(error), world.now())
        return ()


def announce(world: World, told: Announcement) -> Rollout:
    """Start the rollout of an announced version, or return the one that this deployment started already.

    Refused: the version was live, rolled back or proven harmful and `retry` is not set, or another rollout is in
    the way.
    """
    service = service_policy(world, told.service)
    known = world.records.deployment(told.service, told.deployment_id)
    if known is not None and (stored := world.records.find(known)) is not None:
        return stored.value
    marker = read_marker(world, service.pin)
    if isinstance(marker, Failed):
        raise Unavailable(f"{told.service}: which slot is live is unknown: {marker.detail}", retry_at=marker.retry_at)
    slot = told.slot or marker.live.other
    current = world.records.newest(told.service)
    if current is not None:
        _refuse_overtaken(current.value, told, slot)
        if not current.value.closed:
            return _beside(world, current, told, slot)
    _refuse_known_version(world, told)
    return _start(world, service, told, slot, marker)


def _beside(world: World, current: Stored[Rollout], told: Announcement, slot: Slot) -> Rollout:
    """A rollout is under way: the same deployment told again, a newer one on its slot, or one too many."""
    rollout = current.value
    if slot is not rollout.canary:
        raise Refused(
            f"{told.service}: {told.version} was announced for {slot}, the baseline of {rollout.id}: "
            "deploy where `canary target` says, after that rollout has ended"
        )
    if told.version == rollout.version:
        return rollout
    waiting = replace(rollout, successor=told)
    seen = glance(world, rollout, world.now())
    if possible(rollout.phase, Event.NEW_VERSION):
        decision = supersede(waiting, told.version, seen, world.now())
        return world.records.save(current, decision).value
    raise Refused(
        f"{told.service}: {told.version} was announced for {slot}, which is live in {rollout.id} ({rollout.phase}): "
        "nothing is shifted; end that rollout first (`canary rollback` or wait for its watch)"
    )


def lookout(world: World, service: str) -> Rollout | None:
    """Read the idle slot's version; one never seen there before starts a rollout. None = nothing to start.

    At the first sight of a service nothing starts: what stands on both slots then is where we came in.
    """
    policy = service_policy(world, service)
    current = world.records.newest(service)
    if current is not None and not current.value.closed:
        return None
    if (lease := world.records.lease(service)) is not None and lease.value.holds(world.now()):
        return None  # a pipeline is deploying there: its announcement starts the rollout
    marker = read_marker(world, policy.pin)
    if isinstance(marker, Failed):
        log.warning("%s: no lookout, the live slot is unknown: %s", service, marker.detail)
        return None
    idle = marker.live.other
    introduced = world.records.introduced(service)
    _remember_live(world, policy, marker.live)
    found = probe_slot(world, policy.pin, idle)
    if not found.healthy or found.version is None:
        return None
    if not introduced:
        world.records.mark_seen(service, found.version, Reached.IDLE, world.now())
        world.records.introduce(service, world.now())
        return None
    if world.records.seen(service, found.version) is not None:
        return None
    told = Announcement(
        service=service,
        slot=idle,
        version=found.version,
        deployment_id=f"seen-{idle}-{found.version}-{int(world.now())}",
        by="lookout",
    )
    return _start(world, policy, told, idle, marker)


def lookout_all(world: World) -> list[str]:
    """Look at every service of the policy that has no rollout; the services in which one started."""
    started = []
    policy = policy_in_force(world)
    for service in sorted(policy.services) if policy else ():
        try:
            if lookout(world, service) is not None:
                started.append(service)
        except CanaryError as error:  # of one service: the others are looked at
            log.warning("%s: no lookout: %s", service, error)
    return started


def follow(world: World, closed: Rollout) -> None:
    """After an end: the version that superseded it starts its own gate."""
    if closed.outcome is not Outcome.SUPERSEDED:
        return
    try:
        if closed.successor is not None:
            announce(world, closed.successor)
        else:
            lookout(world, closed.service)
    except (Refused, NotFound) as error:
        world.records.record_incident("bad_event", str(error), world.now())


def service_policy(world: World, service: str) -> ServicePolicy:
    """The current policy of a service; NotFound names those that there are."""
    services = world.policy().services
    if service not in services:
        raise NotFound(f"service {service[:80]!r} is not in the policy: name one of {', '.join(sorted(services))}")
    return services[service]


def _refuse_overtaken(newest: Rollout, told: Announcement, slot: Slot) -> None:
    """Events arrive in any order: an announcement older than that of the newest rollout on its slot is out of date."""
    last = newest.announced_at if newest.announced_at is not None else newest.started_at
    if told.at is None or told.at >= last or slot is not newest.canary or told.version == newest.version:
        return
    raise Refused(
        f"{told.service}: {told.version} was announced for {slot} {duration(last - told.at)} before {newest.version} "
        f"({newest.id}) was, and came later: an older deployment. Announce it again if it stands on {slot} now "
        "(is its pipeline's clock slow?)"
    )


def _refuse_known_version(world: World, told: Announcement) -> None:
    seen = world.records.seen(told.service, told.version)
    if seen is None or told.retry or seen.status not in _NEEDS_RETRY:
        return
    raise Refused(
        f"{told.service}: version {told.version} was seen before ({seen.status}): announce it with retry: true "
        "(`canary announce --retry`) or `canary start`, if it shall really go out again"
    )


def _start(world: World, service: ServicePolicy, told: Announcement, slot: Slot, marker: MarkerReading) -> Rollout:
    """Create the rollout; its slot's lease is consumed with it."""
    now = world.now()
    pool = read_pool(world, service.pin)
    look = FirstLook(canary=slot, marker=marker, pool=pool, now=now)
    _remember_live(world, service, marker.live)
    world.records.introduce(told.service, now)
    decision = begin(told, service, new_id(told.service, told.deployment_id, now), look)
    try:
        return world.records.create(decision).value
    except Conflict:
        # The same deployment, told at the same time to another instance: that one started it.
        known = world.records.deployment(told.service, told.deployment_id)
        stored = world.records.find(known) if known is not None else None
        if stored is None:
            raise
        return stored.value


def new_id(service: str, deployment_id: str, now: float) -> str:
    """The id of a record: its service, the time of its start (UTC), and a digest of the deployment.

    >>> new_id("checkout", "run-81", 1795498111.25)
    'checkout-20261124T052831-775501'
    """
    digest = hashlib.sha256(f"{service}/{deployment_id}".encode()).hexdigest()[:6]
    return f"{service}-{datetime.fromtimestamp(now, UTC).strftime('%Y%m%dT%H%M%S')}-{digest}"


def _remember_live(world: World, service: ServicePolicy, live: Slot) -> None:
    """Remember the live slot's version: when it stands on the idle slot one day, it is nothing new."""
    probe = probe_slot(world, service.pin, live)
    if probe.healthy and probe.version:
        world.records.mark_seen(service.name, probe.version, Reached.LIVE, world.now())
