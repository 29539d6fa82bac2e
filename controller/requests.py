"""What people and pipelines ask for over HTTP: each recorded with actor and reason, each idempotent or refused.

A request decides and stores; the tick that it wakes carries out. Only `target --preempt` waits for the read-back.
"""

import msgspec

from controller import intake
from controller.config import load
from controller.observe import glance, probe, probe_slot, read_marker, read_pool
from controller.tick import tick
from controller.world import World
from rollouts import limits
from rollouts.command import Command, CommandKind, command, shift_after
from rollouts.errors import CanaryError, Conflict, Misconfigured, NotFound, PolicyError, Refused, Unavailable
from rollouts.observation import Failed, Mode, Observation, Slot
from rollouts.places import moved
from rollouts.policy import Policy, ServicePolicy
from rollouts.returning import begin_return, return_to_baseline
from rollouts.rollout import Announcement, Outcome, Rollout
from rollouts.states import Event, possible
from storing.entries import Stored

LEASE_SECONDS = 3600  # a pipeline's deployment, with a wide margin
ACT_ATTEMPTS = 10  # ticks of many instances may write at once, each only once an interval
MAX_LEASE_SECONDS = 24 * 3600


class Who(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, and why: the Entra principal where App Service authentication is on, else the claimed name."""

    actor: str
    reason: str = ""


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to deploy now."""

    slot: Slot
    url: str
    expires_at: float
    lease: str


class Pushed(msgspec.Struct, frozen=True, kw_only=True):
    """A policy that is in force now, and what of it a person should look at."""

    version: int
    warnings: list[str]


class Done(msgspec.Struct, frozen=True, kw_only=True):
    """What a command came to: the rollout as it is stored now, and what is said of it."""

    rollout: Rollout
    sentence: str


def act(world: World, service: str, asked: Command) -> Done:
    """Carry a command to the service's rollout; Refused and NotFound say why not.

    A tick may write in between: then the command looks again, so that a person never loses to a timer.
    """
    for _ in range(ACT_ATTEMPTS):
        try:
            return _act(world, service, asked)
        except Conflict:
            continue
    raise Refused(
        f"{service}: {asked.kind} came between other writes {ACT_ATTEMPTS} times: nothing was changed, ask again"
    )


def _act(world: World, service: str, asked: Command) -> Done:
    stored = world.records.newest(service)
    if stored is None:
        intake.service_policy(world, service)
        raise NotFound(f"{service} has no rollout: there is nothing to {asked.kind}; `canary start` begins one")
    seen = glance(world, stored.value, world.now())
    if asked.kind is CommandKind.RESUME:  # is the cause of the hold gone?
        seen = msgspec.structs.replace(seen, probes=probe(world, stored.value.pin))
    stored = world.records.newest(service) or stored  # the look took time: decide on what is stored by now
    if stored.value.closed and asked.kind is CommandKind.SHIFT:
        instead = shift_after(stored.value, asked, seen)
        if instead is None:
            return Done(rollout=stored.value, sentence=f"so already, and no rollout of {service} is active")
        asked = instead
    if stored.value.closed and asked.kind is CommandKind.ROLLBACK:
        return _return(world, stored.value, asked, seen)
    decision = command(stored.value, asked, seen, world.now())
    return Done(rollout=world.records.save(stored, decision).value, sentence=decision.sentence)


def _return(world: World, newest: Rollout, asked: Command, seen: Observation) -> Done:
    """`rollback` after closing: a record of its own."""
    now, service = world.now(), newest.service
    history = [newest]
    if newest.outcome is not Outcome.PROMOTED:
        kept = world.records.rollouts(service, limits.RETURN_ROLLOUTS)
        history += [one for one in kept if one.id != newest.id]
    record = return_to_baseline(history, asked, intake.new_id(service, f"rollback-of-{newest.id}", now), now)
    seen = msgspec.structs.replace(seen, probes=probe(world, record.pin))
    decision = begin_return(record, newest, asked, seen, now)
    return Done(rollout=world.records.create(decision).value, sentence=decision.sentence)


def start(world: World, told: Announcement) -> Rollout:
    """Start a rollout of a version that a person names; `retry` is implied.

    Refused while another one is judged and is all that its slot answers: a slip of the finger would end it.
    """
    current = world.records.newest(told.service)
    if current is not None and possible(current.value.phase, Event.NEW_VERSION):
        _refuse_unseen(world, current.value, told)
    return intake.announce(world, msgspec.structs.replace(told, retry=True))


def _refuse_unseen(world: World, rollout: Rollout, told: Announcement) -> None:
    slot, version = rollout.canary, rollout.version
    if told.version == version or world.records.deployment(told.service, told.deployment_id) is not None:
        return
    if probe_slot(world, rollout.pin, slot).version == version:
        raise Refused(
            f"{slot} answers {version}, not {told.version}, and {rollout.id} judges it ({rollout.phase}, "
            f"{rollout.share} %): start {told.version} once it is deployed to {slot}. `canary abort {told.service}` "
            f"ends the rollout of {version}"
        )


def target(world: World, service: str, who: Who, *, seconds: float = LEASE_SECONDS, preempt: bool = False) -> Target:
    """Which slot may be deployed to now, leased to `who`.

    Refused while a rollout or another lease is active; Unavailable or Misconfigured while pool or marker cannot
    be read.
    """
    policy = intake.service_policy(world, service)
    if not 0 < seconds <= MAX_LEASE_SECONDS:
        raise Refused(f"target: seconds is {seconds:g}: give a number above 0 and at most {MAX_LEASE_SECONDS}")
    current = world.records.newest(service)
    if current is not None and not current.value.closed:
        if not preempt:
            raise Refused(
                f"{service}: {current.value.id} is in phase {current.value.phase} ({current.value.version} on "
                f"{current.value.canary}): wait for its end, or use --preempt for a hotfix"
            )
        _preempt(world, current, who)
    marker, pool = read_marker(world, policy.pin), read_pool(world, policy.pin)
    if isinstance(marker, Failed):
        raise _unseen(f"{service}: which slot is live is unknown, nothing may be deployed", marker)
    if isinstance(pool, Failed):
        raise _unseen(f"{service}: the pool could not be read, nothing may be deployed", pool)
    idle = marker.live.other
    if (share := pool.weights.share(idle)) != 0:
        raise Refused(
            f"{service}: {idle} should be idle, but the pool {policy.pin.pool} gives it {share} %: set its weight to 0 "
            f"(`canary shift {service} 0 --slot {idle} --direct`) before anything is deployed to it"
        )
    now = world.now()
    lease = world.records.take_lease(service, who.actor, idle, now + seconds, now)
    return Target(slot=idle, url=policy.pin.slots[idle].url, expires_at=lease.expires_at, lease=lease.id)


def release(world: World, service: str, who: Who) -> bool:
    """Give a lease back: the deployment will not come. False when there is none; Refused when it is another's."""
    intake.service_policy(world, service)
    return world.records.release_lease(service, who.actor, world.now())


def _unseen(said: str, seen: Failed) -> CanaryError:
    """What could not be read, as the error that tells whether asking again helps."""
    text = f"{said}: {seen.detail}"
    return Misconfigured(text) if seen.permanent else Unavailable(text, retry_at=seen.retry_at)


def _preempt(world: World, current: Stored[Rollout], who: Who) -> None:
    """Share 0, read back, then the lease."""
    service = current.value.service
    reason = f"preempted{': ' + who.reason if who.reason else ''}"
    act(world, service, Command(kind=CommandKind.ABORT, actor=who.actor, reason=reason))
    tick(world, [service])
    after = world.records.newest(service)
    if after is not None and not after.value.closed:
        raise Refused(
            f"{service}: preempting {after.value.id} is decided, but its share 0 is not read back yet "
            f"({after.value.reason}): ask again in a minute"
        )


def set_mode(world: World, service: str, mode: Mode, who: Who) -> str:
    """Put a mode before the policy's own for a service; what that means for the rollout that runs."""
    intake.service_policy(world, service)
    world.records.set_mode(service, mode, actor=who.actor, reason=who.reason, at=world.now())
    said, newest = f"{service}: mode {mode}", world.records.newest(service)
    if mode is Mode.ACT or newest is None or newest.value.closed or not any(newest.value.shares[-1:]):
        return said
    rollout = newest.value
    return (
        f"{said}. {rollout.version} ({rollout.id}, {rollout.outcome or rollout.phase}) keeps the "
        f"{rollout.shares[-1]} % that {rollout.canary} has, whatever is found or decided already: "
        f"`canary shift {service} 0 --slot {rollout.canary} --direct` takes it out"
    )


def switch(world: World, service: str | None, who: Who, *, off: bool) -> None:
    """Stop (or allow again) every write, for one service or for all."""
    if service is not None:
        intake.service_policy(world, service)
    world.records.set_switch(service, off=off, actor=who.actor, reason=who.reason, at=world.now())


def push_config(world: World, text: str, who: Who) -> Pushed:
    """Put a policy in force, if it is good; PolicyError holds every problem, and the last good one stays.

    Another place than before, or one that cannot be seen, is told and not refused: its roles may come after it.
    """
    try:
        policy = load(text)
    except PolicyError as error:
        world.records.refused_policy(text, error.problems, who.actor, world.now())
        world.records.record_incident("bad_policy", f"pushed by {who.actor}: {error}", world.now())
        raise
    before = _pushed_before(world)
    version = world.records.push_policy(text, who.actor, world.now())
    changed = moved(before, policy) if before else {}
    there = [one for name, one in policy.services.items() if changed.get(name, True)]
    unseen = world.each(lambda one: _out_of_sight(world, one), there)
    other = [line for lines in changed.values() for line in lines]
    return Pushed(version=version, warnings=[*other, *filter(None, unseen)])


def _pushed_before(world: World) -> Policy | None:
    """The policy that was pushed last; None = there is none, or this version cannot read it."""
    pushed = world.records.policy()
    try:
        return load(pushed.yaml) if pushed else None
    except PolicyError:
        return None


def _out_of_sight(world: World, service: ServicePolicy) -> str:
    """Why a service's traffic cannot be looked at with the function app's rights; "" = it can."""
    pin = service.pin
    for key, found in (("pool", read_pool(world, pin)), ("marker", read_marker(world, pin))):
        if isinstance(found, Failed):
            return f"services.{service.name}.{key} cannot be read by the function app: {found.detail}"
    return ""
