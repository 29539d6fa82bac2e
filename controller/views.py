"""What people see of the state: plain values for JSON. Secrets are never in them, because none are stored."""

import math
from typing import Any

import msgspec

from controller.observe import read_marker
from controller.world import World
from rollouts import limits
from rollouts.ask import history_start
from rollouts.decision import Decision
from rollouts.observation import MarkerReading, Mode
from rollouts.policy import ServicePolicy
from rollouts.rollout import Announcement, Rollout
from storing.entries import ModeSet, Switch


def summary(rollout: Rollout) -> dict[str, Any]:
    """One line of a list."""
    return {
        "id": rollout.id,
        "service": rollout.service,
        "version": rollout.version,
        "deployment_id": rollout.deployment_id,
        "canary": rollout.canary,
        "phase": rollout.phase,
        "share": rollout.share,
        "read_back": _read_back(rollout),
        "shares": rollout.shares,
        "outcome": rollout.outcome,
        "hold": rollout.hold.reason if rollout.hold else None,
        "paused": rollout.pause.reason if rollout.pause else None,
        "started_at": rollout.started_at,
        "started_by": rollout.started_by,
        "closed_at": rollout.closed_at,
        "sentence": rollout.reason,
        "successor": _named(rollout.successor),
    }


def _read_back(rollout: Rollout) -> int | None:
    """Percent that the pool gave the canary when it was last read; None = it was not read yet."""
    if rollout.shares:
        return rollout.shares[-1]
    return rollout.pool_seen.weights.share(rollout.canary) if rollout.pool_seen else None


def _named(successor: Announcement | None) -> dict[str, str] | None:
    """What begins after this rollout's end; its rollout is found by the deployment id."""
    if successor is None:
        return None
    return {"version": successor.version, "deployment_id": successor.deployment_id}


def detail(world: World, rollout: Rollout) -> dict[str, Any]:
    """Everything about one rollout."""
    told = world.records.notices(rollout.service, rollout.id)
    return {
        "rollout": {
            **summary(rollout),
            "link": rollout.link,
            "commit": rollout.commit,
            "marker": rollout.marker_seen.live if rollout.marker_seen else None,
            "weights": rollout.pool_seen.weights if rollout.pool_seen else None,
            "session_affinity": rollout.pool_seen.session_affinity if rollout.pool_seen else None,
            "segments": rollout.segments,
            "thresholds_ms": rollout.thresholds_ms,
            "verdict": rollout.verdict,
            "steps": rollout.pin.steps,
        },
        "decisions": world.records.decisions(rollout.service, rollout.id)[-limits.HISTORY_DECISIONS :],
        "notices": [
            {
                "id": one.notice.id,
                "channel": one.channel,
                "kind": one.notice.kind,
                "text": one.notice.text,
                "at": one.notice.at,
                "sent_at": one.sent_at,
                "error": one.error,
            }
            for one in told
        ],
    }


def counts(world: World, rollout: Rollout) -> dict[str, Any]:
    """Every settled count of one rollout in the pinned row shape, and what decided how it was counted."""
    pin = rollout.pin
    rows = world.records.counts(rollout.service, rollout.id, len(pin.indicators))
    same_hours = world.records.same_hours(rollout.service, rollout.id, len(pin.indicators))
    start = history_start(rollout)
    end = rollout.settled_until if rollout.settled_until is not None else start
    first = rollout.segments[0].start if rollout.segments else end
    return {
        "rollout": rollout.id,
        "service": rollout.service,
        "settled_until": rollout.settled_until,
        "segments": rollout.segments,
        "judged_from": rollout.judged_from,
        "thresholds_ms": rollout.thresholds_ms,
        "indicators": pin.indicators,
        "counted": {
            "interval_seconds": pin.interval_seconds,
            "cold_seconds": pin.cold_seconds,
            "operations": pin.operations,
            "critical_operations": pin.critical_operations,
            "excluded_routes": pin.excluded_routes,
        },
        "same_hours": same_hours.list() if same_hours is not None else [],
        "history": rows.between(start, first).list(),
        "rows": rows.between(first, end).list(),
    }


def service(world: World, name: str) -> dict[str, Any]:
    """One service: who is live, what runs, who holds the lease."""
    policy = world.policy().services[name]
    newest = world.records.newest(name)
    running = newest.value if newest is not None and not newest.value.closed else None
    marker = read_marker(world, policy.pin)
    chosen = world.records.modes().get(name)
    off = next((one for of in (name, None) if (one := world.records.switch(of)) is not None and one.off), None)
    shown = summary(running) if running else {}
    return {
        "service": name,
        "mode": chosen.mode if chosen else _mode(policy, running),
        "mode_set": _by(chosen),
        "off": off is not None,
        "off_set": _by(off),
        "live": marker.live if isinstance(marker, MarkerReading) else None,
        "live_unknown": None if isinstance(marker, MarkerReading) else marker.detail,
        "rollout": running.id if running else None,
        **{key: shown.get(key) for key in ("version", "phase", "share", "read_back", "hold", "paused", "sentence")},
        "lease": _lease(world, name),
    }


def _by(order: Switch | ModeSet | None) -> dict[str, Any] | None:
    """Who ordered it, why and when; None = nobody did."""
    return None if order is None else {"actor": order.actor, "reason": order.reason, "at": order.at}


def _lease(world: World, service: str) -> dict[str, Any] | None:
    """Who may deploy to the idle slot, and until when; None = nobody has it now."""
    lease = world.records.lease(service)
    if lease is None or not lease.value.holds(world.now()):
        return None
    return {"owner": lease.value.owner, "slot": lease.value.slot, "expires_at": lease.value.expires_at}


def _mode(policy: ServicePolicy, running: Rollout | None) -> Mode:
    """The mode in force: what runs keeps its own where a policy only stands in."""
    kept = running.standing if running is not None and policy.stands_in else None
    return kept.mode if kept is not None else policy.mode


def logged(decision: Decision) -> str:
    """A decision as the workbook and the alerts read it from the log: one JSON object."""
    rollout = decision.rollout
    shown = {
        "service": rollout.service,
        "rollout": rollout.id,
        "version": rollout.version,
        "phase": rollout.phase,
        "share": rollout.share,
        "verdict": decision.verdict.kind if decision.verdict else None,
        "hold": decision.hold,
        "reason": decision.hold,
        "outcome": decision.outcome,
        "sentence": decision.sentence,
    }
    return msgspec.json.encode(shown).decode()


def plain(value: Any) -> Any:
    """The value for JSON, which knows no infinity: an unbounded evidence is null there."""
    built = msgspec.to_builtins(value)
    return _finite(built)


def _finite(value: Any) -> Any:
    match value:
        case float() if not math.isfinite(value):
            return None
        case dict():
            return {key: _finite(one) for key, one in value.items()}
        case list() | tuple():
            return [_finite(one) for one in value]
        case _:
            return value
