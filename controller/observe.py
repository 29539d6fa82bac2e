"""Looking at the world for a group of rollouts: one telemetry query, one read of pool and marker each, two probes.

Whatever cannot be seen becomes Failed, with what and where; nothing here decides.
"""

import logging

import msgspec

from analyzers.judge.counts import Rows
from controller.world import World
from rollouts import limits
from rollouts.ask import Questions, questions
from rollouts.errors import Conflict, Misconfigured, NotFound, PolicyError, Unavailable
from rollouts.observation import (
    Counted,
    Failed,
    MarkerReading,
    Mode,
    Observation,
    PoolReading,
    Probe,
    Quantiles,
    Slot,
    Standing,
)
from rollouts.policy import Pin, Policy
from rollouts.rollout import Rollout
from rollouts.witness import past_baseline

log = logging.getLogger(__name__)

_CANNOT = (Unavailable, Misconfigured, Conflict, NotFound)


def policy_in_force(world: World) -> Policy | None:
    """None = no policy can be read, pushed or packaged: rollouts that run go on, and back, as they are pinned."""
    try:
        return world.policy()
    except (PolicyError, Misconfigured) as error:
        log.error("no policy can be read; what runs goes on with what it began with: %s", error)  # noqa: TRY400
        return None


def observe(
    world: World, rollouts: list[Rollout], policy: Policy | None, now: float
) -> dict[str, Observation | Exception]:
    """What one tick sees of each rollout, by id; or the error that looking at this one, and no other, met."""
    asked = {one.id: questions(one, now) for one in rollouts}
    telemetry = count(world, rollouts, asked, now)
    current = standings(world, rollouts, policy, now)

    def look(rollout: Rollout) -> tuple[str, Observation | Exception]:
        try:
            return rollout.id, seen(rollout, asked[rollout.id])
        except Exception as error:  # noqa: BLE001  # raised again where this rollout's turn comes
            return rollout.id, error

    def late() -> bool:
        return world.now() - now > limits.TELEMETRY_SECONDS

    def seen(rollout: Rollout, question: Questions) -> Observation:
        found = telemetry.get(rollout.id)
        return Observation(
            pool=read_pool(world, rollout.pin),
            marker=read_marker(world, rollout.pin),
            telemetry=found,
            probes=probe(world, rollout.pin),
            standing=current[rollout.id],
            asked_at=now,
            stored=world.records.counts(rollout.service, rollout.id, len(rollout.pin.indicators)),
            same_hours=_same_hours(world, rollout, question, now, ask=isinstance(found, Counted) and not late()),
            quantiles=None if late() else _quantiles(world, rollout, question),
            warmed=_warm_up(world, rollout) if question.warm_up else None,
        )

    return dict(world.each(look, rollouts))


def glance(world: World, rollout: Rollout, now: float) -> Observation:
    """Pool, marker and what is current: all that a person's command needs, without asking the telemetry."""
    return Observation(
        pool=read_pool(world, rollout.pin),
        marker=read_marker(world, rollout.pin),
        telemetry=None,
        probes={},
        standing=standings(world, [rollout], policy_in_force(world), now)[rollout.id],
    )


def standings(world: World, rollouts: list[Rollout], policy: Policy | None, now: float) -> dict[str, Standing]:
    """What is current rather than pinned, by rollout id."""
    storms = {one: world.records.storm(one, now) for one in {each.pin.workspace for each in rollouts}}
    switches, modes = world.records.off_switches(), world.records.modes()
    current = {}
    for one in rollouts:
        chosen = modes.get(one.service)
        found = standing(policy, one, off=bool({"", one.service} & switches), storm=storms[one.pin.workspace])
        current[one.id] = msgspec.structs.replace(found, mode=chosen.mode) if chosen else found
    return current


def count(
    world: World, rollouts: list[Rollout], asked: dict[str, Questions], now: float
) -> dict[str, Counted | Failed]:
    """One query for each workspace of the group."""
    found: dict[str, Counted | Failed] = {}
    for workspace in dict.fromkeys(one.pin.workspace for one in rollouts):
        scopes = [
            scope for one in rollouts if one.pin.workspace == workspace and (scope := asked[one.id].counts) is not None
        ]
        if scopes:
            found |= world.telemetry.counts(workspace, scopes, now)
    return found


def standing(policy: Policy | None, rollout: Rollout, *, off: bool, storm: str) -> Standing:
    """What is current for the rollout's service; where no file says so any more it goes on as it stood last."""
    current = policy.services.get(rollout.service) if policy else None
    if current is None or current.stands_in:
        return msgspec.structs.replace(rollout.standing or Standing(mode=Mode.ACT), off=off, storm=storm)
    return Standing(mode=current.mode, off=off, storm=storm, approvals=current.approvals, channels=current.channels)


def read_pool(world: World, pin: Pin) -> PoolReading | Failed:
    """The weights now, or why not."""
    try:
        return world.pool.read(pin.api_management, pin.pool, pin.backends)
    except _CANNOT as error:
        return failed("pool", error)


def read_marker(world: World, pin: Pin) -> MarkerReading | Failed:
    """The live slot now, or why not."""
    try:
        return world.marker.read(pin.api_management, pin.marker)
    except _CANNOT as error:
        return failed("marker", error)


def failed(what: str, error: Exception) -> Failed:
    """An adapter's error as an observation that did not come."""
    return Failed(
        what=what,
        detail=str(error),
        retry_at=error.retry_at if isinstance(error, Unavailable) else None,
        permanent=isinstance(error, Misconfigured),
    )


def probe(world: World, pin: Pin) -> dict[Slot, Probe]:
    """Both slots' health, each tick."""
    return {slot: probe_slot(world, pin, slot) for slot in (Slot.BLUE, Slot.GREEN)}


def probe_slot(world: World, pin: Pin, slot: Slot) -> Probe:
    """One slot's health, directly or through the gateway's preview route."""
    gate = pin.gate
    preview = gate.via == "gateway"
    return world.prober.probe(_url(pin, slot), gate.path, gate.timeout_seconds, preview=preview, slot=slot)


def _url(pin: Pin, slot: Slot) -> str:
    return pin.gate.gateway_url if pin.gate.via == "gateway" and pin.gate.gateway_url else pin.slots[slot].url


def _warm_up(world: World, rollout: Rollout) -> bool:
    gate = rollout.pin.gate
    return gate.warm_up_path is None or world.prober.warm_up(
        _url(rollout.pin, rollout.canary),
        gate.warm_up_path,
        gate.warm_up_requests,
        gate.timeout_seconds,
        preview=gate.via == "gateway",
        slot=rollout.canary,
    )


def _same_hours(world: World, rollout: Rollout, question: Questions, now: float, *, ask: bool) -> Rows | None:
    """The baseline of yesterday's same hours: asked once, then from the store; None = not to be had now.

    Not to `ask` a workspace that has just not answered, nor late in a tick: it must end before the host ends it.
    """
    if question.same_hours is None:
        return None
    indicators = len(rollout.pin.indicators)
    stored = world.records.same_hours(rollout.service, rollout.id, indicators)
    if stored is not None or not ask:
        return stored
    found = world.telemetry.counts(rollout.pin.workspace, [question.same_hours], now).get(rollout.id)
    if not isinstance(found, Counted):
        return None
    rows = past_baseline(found.rows, indicators)
    world.records.keep_same_hours(rollout, rows)
    return rows


def _quantiles(world: World, rollout: Rollout, question: Questions) -> Quantiles | Failed | None:
    if question.quantiles is None:
        return None
    return world.telemetry.quantiles(rollout.pin.workspace, question.quantiles, question.levels)


def replace_readings(seen: Observation, pool: PoolReading | Failed, marker: MarkerReading | Failed) -> Observation:
    """The same look with pool and marker read anew."""
    return msgspec.structs.replace(seen, pool=pool, marker=marker)
