"""The precedence of everything that may happen in a tick, highest first: one event, one hold, or neither.

A rule reads the rollout as witnessed, the observation and the verdict; it changes nothing. The order: a person's
zero, a newer version, harm (by probe or verdict), latched holds, what cannot be read, drift, the judge's holds, a
missing way back, writes that fail or are under way, and last of all progress (past pauses, switches and approvals).
"""

import msgspec

from analyzers.judge.verdict import Verdict, VerdictKind
from rollouts import limits
from rollouts.explain import duration, percent, verdict_sentence
from rollouts.holds import HOLDS, Ends, Then
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading
from rollouts.rollout import HoldReason, Phase, Rollout
from rollouts.states import Event
from rollouts.target import in_place, marker_is_ours, missing, pool_is_ours


class Ruling(msgspec.Struct, frozen=True, kw_only=True):
    """What a tick comes to: an event of the state machine, or a hold, or neither; and why."""

    why: str
    event: Event | None = None
    hold: HoldReason | None = None


def rule(rollout: Rollout, seen: Observation, verdict: Verdict | None, now: float) -> Ruling:
    """The first rule that speaks wins."""
    match rollout.phase:
        case Phase.GATE:
            return _gate(rollout, seen, now)
        case Phase.STEP | Phase.SWITCH | Phase.WATCH:
            if verdict is None:
                return Ruling(why="not judged")
            return _judged(rollout, seen, verdict, now)
        case Phase.CLOSING:
            return closing(rollout, seen, now)
        case Phase.CLOSED:
            return Ruling(why=rollout.reason)


def closing(rollout: Rollout, seen: Observation, now: float) -> Ruling:
    """The end is decided: is the world as it wants it, and will it stay so?"""
    if in_place(rollout, seen.pool, seen.marker):
        if left := rollout.late_write_seconds(now):
            return Ruling(why=f"{rollout.ending}. A write from before the end may still arrive, for {duration(left)}")
        return Ruling(event=Event.CARRIED_OUT, why=rollout.ending)
    if blocked := left_to_people(rollout, seen) or drift(rollout, seen) or cannot_write(rollout, seen):
        return blocked
    if seen.standing.off:
        return Ruling(
            hold=HoldReason.OFF,
            why=f"{rollout.share} % for {rollout.canary} is decided, and `canary off` keeps it from being written",
        )
    return Ruling(why=rollout.ending)


def left_to_people(rollout: Rollout, seen: Observation) -> Ruling | None:
    """What was decided in mode `act` stays unwritten in any other mode: that is said, not waited for."""
    mode = seen.standing.mode
    if mode is Mode.ACT:
        return None
    pool = seen.pool
    has = f"{pool.weights.share(rollout.canary)} %" if isinstance(pool, PoolReading) else f"unknown: {pool.detail}"
    return Ruling(
        hold=HoldReason.MODE,
        why=f"{missing(rollout, pool)} is decided but NOT carried out: mode {mode} leaves it to people, and "
        f"{rollout.canary} has {has}",
    )


def drift(rollout: Rollout, seen: Observation) -> Ruling | None:
    """A person moved something: neither our target nor our last read-back. Never fought."""
    if seen.standing.mode is not Mode.ACT:
        return None
    if isinstance(seen.pool, PoolReading) and not pool_is_ours(rollout, seen.pool):
        found = seen.pool.weights.share(rollout.canary)
        return Ruling(
            hold=HoldReason.DRIFT,
            why=f"the pool gives {rollout.canary} {found} %, the rollout wants {rollout.share} %, and we did not "
            "write that: adopt theirs with `canary adopt`, restore ours with `canary reassert`",
        )
    if isinstance(seen.marker, MarkerReading) and not marker_is_ours(rollout, seen.marker):
        return Ruling(
            hold=HoldReason.DRIFT,
            why=f"{rollout.pin.marker} says {seen.marker.live}, the rollout wants {rollout.marker}, and we did "
            "not write that: `canary reassert` restores ours",
        )
    return None


def cannot_write(rollout: Rollout, seen: Observation) -> Ruling | None:
    """The target cannot be written: said after the second failed attempt, tried again at every tick."""
    if rollout.write_failures < limits.WRITE_FAILURES:
        return None
    return Ruling(
        hold=HoldReason.CANNOT_WRITE,
        why=f"{missing(rollout, seen.pool)} is decided but NOT carried out after {rollout.write_failures} attempts: "
        f"{rollout.write_error}",
    )


def unreadable(seen: Observation) -> Ruling | None:
    """Pool or marker did not answer, or hold what cannot be understood."""
    if isinstance(seen.pool, Failed):
        return Ruling(hold=HoldReason.POOL_UNREADABLE, why=seen.pool.detail)
    if isinstance(seen.marker, Failed):
        return Ruling(hold=HoldReason.MARKER_UNKNOWN, why=seen.marker.detail)
    return None


def _gate(rollout: Rollout, seen: Observation, now: float) -> Ruling:
    pin, canary = rollout.pin, seen.probes.get(rollout.canary)
    if rollout.hold is not None and rollout.hold.reason is HoldReason.DEPLOYED_TO_LIVE:
        return Ruling(hold=rollout.hold.reason, why=rollout.hold.detail)
    if canary is not None and canary.healthy and rollout.arrived and canary.version not in (rollout.version, None):
        return Ruling(
            event=Event.NEW_VERSION,
            why=f"{rollout.canary} now answers version {canary.version} instead of {rollout.version}",
        )
    blocked = unreadable(seen) or drift(rollout, seen)
    waited = now - rollout.phase_since
    if blocked is None and _gate_open(rollout):
        standing = _standing(rollout, seen, now, share=pin.steps[0])
        if standing is not None and standing.hold is not None:
            return _expired(rollout, standing.hold, standing.why, now) or standing
        return standing or Ruling(
            event=Event.GATE_PASSED,
            why=f"{rollout.canary} answered version {rollout.version} {rollout.gate_successes} times in a row "
            f"(gate.successes {pin.gate.successes})",
        )
    if waited > pin.gate.deadline_seconds:
        return Ruling(
            event=Event.GATE_EXPIRED,
            why=f"after {duration(waited)} (gate.deadline {duration(pin.gate.deadline_seconds)}) "
            + (blocked.why if blocked else _gate_waits(rollout, seen)),
        )
    return blocked or Ruling(why=_gate_waits(rollout, seen))


def _gate_open(rollout: Rollout) -> bool:
    warm = rollout.warmed or rollout.pin.gate.warm_up_path is None
    return rollout.gate_successes >= rollout.pin.gate.successes and warm and rollout.settled_until is not None


def _gate_waits(rollout: Rollout, seen: Observation) -> str:
    pin = rollout.pin
    canary, baseline = seen.probes.get(rollout.canary), seen.probes.get(rollout.baseline)
    if canary is None or baseline is None:
        return "the slots were not probed yet"
    if not canary.healthy:
        return f"{rollout.canary} at {pin.gate.path} is not healthy: {canary.detail}"
    if canary.version != rollout.version:
        return f"{rollout.canary} answers version {canary.version or 'unknown'}, expected {rollout.version}"
    if not baseline.healthy:
        return f"the way back is not healthy: {rollout.baseline} at {pin.gate.path}: {baseline.detail}"
    if rollout.gate_successes < pin.gate.successes:
        return f"{rollout.gate_successes} of {pin.gate.successes} healthy answers in a row (gate.successes)"
    if rollout.settled_until is None:
        why = seen.telemetry.detail if isinstance(seen.telemetry, Failed) else "it was not asked yet"
        if isinstance(seen.quantiles, Failed):
            why = seen.quantiles.detail
        return f"the baseline's history could not be read: {why}"
    if seen.warmed is None:
        return f"warming up with {pin.gate.warm_up_requests} requests to {pin.gate.warm_up_path} (gate.warm_up)"
    return f"warm-up requests to {pin.gate.warm_up_path} were not all answered, they are sent again (gate.warm_up)"


def _judged(rollout: Rollout, seen: Observation, verdict: Verdict, now: float) -> Ruling:
    """Step, switch and watch: the rules in order, each None or a ruling."""
    return (
        _zeroed(rollout, seen)
        or _new_version(rollout, seen)
        or _harm(rollout, seen, verdict)
        or _latched(rollout, verdict, now)
        or unreadable(seen)
        or drift(rollout, seen)
        or _verdict_hold(rollout, verdict, now)
        or _baseline(rollout, seen)
        or cannot_write(rollout, seen)
        or _under_way(rollout, seen)
        or _progress(rollout, seen, verdict, now)
    )


def _zeroed(rollout: Rollout, seen: Observation) -> Ruling | None:
    if not isinstance(seen.pool, PoolReading) or seen.pool.weights.share(rollout.canary) != 0:
        return None
    observed = seen.standing.mode is not Mode.ACT and any(rollout.shares[:-1])
    by_hand = rollout.pool_seen is not None and rollout.pool_seen.weights.share(rollout.canary) > 0
    if not (observed or (by_hand and 0 not in rollout.attempted)):
        return None
    return Ruling(event=Event.ZEROED, why=f"somebody set {rollout.canary} to 0 % in {rollout.pin.pool}")


def _new_version(rollout: Rollout, seen: Observation) -> Ruling | None:
    canary = seen.probes.get(rollout.canary)
    if canary is None or not canary.healthy or canary.version in (rollout.version, None):
        return None
    changed = f"{rollout.canary} now answers version {canary.version} instead of {rollout.version}"
    if rollout.phase is Phase.WATCH:
        return Ruling(
            hold=HoldReason.CANARY_CHANGED,
            why=f"{changed}, while it is live: weights stay, look at the deployment",
        )
    return Ruling(event=Event.NEW_VERSION, why=changed)


def _harm(rollout: Rollout, seen: Observation, verdict: Verdict) -> Ruling | None:
    """The canary is worse, by its probe or by the judge."""
    dead = rollout.canary_failures >= limits.PROBE_FAILURES
    harmful = verdict.kind is VerdictKind.HARMFUL
    if not dead and not harmful:
        return None
    if dead:
        probe = seen.probes.get(rollout.canary)
        why = f"{rollout.canary} failed {rollout.canary_failures} probes in a row while {rollout.baseline} answered" + (
            f": {probe.detail}" if probe else ""
        )
    else:
        why = verdict_sentence(verdict, rollout.pin)
    if obstacle := _ask_first(rollout):
        return Ruling(hold=HoldReason.ROLLBACK_ASKED, why=f"{why}. Not rolled back by itself: {obstacle}")
    if rollout.phase is Phase.WATCH and harmful and not dead and not verdict.severe:
        return Ruling(event=Event.SUSPECTED, why=why)
    return Ruling(event=Event.HARM, why=why)


def _ask_first(rollout: Rollout) -> str:
    """Why a person must say so before traffic goes back; "" = nothing stands in the way."""
    if rollout.ask_before_rollback:
        return "the deployment event says rollback: ask"
    if rollout.pin.rollback == "ask":
        return "the policy says rollback: ask"
    if not rollout.rollback_possible:
        return f"{rollout.baseline} no longer holds version {rollout.baseline_version}"
    if rollout.baseline_failures >= limits.PROBE_FAILURES:
        return f"{rollout.baseline} failed {rollout.baseline_failures} probes in a row, it may not bear the traffic"
    return ""


def _latched(rollout: Rollout, verdict: Verdict, now: float) -> Ruling | None:
    """A hold that only a person ends, or its limit, or (where its row says so) proof."""
    hold = rollout.hold
    if hold is None or HOLDS[hold.reason].ends is not Ends.BY_A_PERSON:
        return None
    if HOLDS[hold.reason].proof_resumes and verdict.kind is VerdictKind.SAFE:
        return None
    if hold.reason is HoldReason.APPROVAL and verdict.kind in _OVERRIDES_APPROVAL:
        return None
    return _expired(rollout, hold.reason, hold.detail, now) or Ruling(hold=hold.reason, why=hold.detail)


_OVERRIDES_APPROVAL = (VerdictKind.UNOBSERVED, VerdictKind.BASELINE_WORSE, VerdictKind.ONE_INSTANCE)


def _expired(rollout: Rollout, reason: HoldReason, why: str, now: float) -> Ruling | None:
    """What a hold turns into when it outlasts its limit."""
    row, held = HOLDS[reason], rollout.hold
    limit = row.limit_seconds(rollout.pin.limits)
    if held is None or held.reason is not reason or limit is None or now - held.since <= limit:
        return None
    knob = f"limits.{row.limit.removesuffix('_seconds')} {duration(limit)}" if row.limit else ""
    lasted = f"{why} (for {duration(now - held.since)}, {knob})"
    match row.then:
        case Then.ROLLS_BACK:
            return _back(rollout, lasted)
        case Then.GOES_TO_ZERO:
            return Ruling(event=Event.EXPIRED, why=lasted)
        case Then.AS_POLICY_SAYS:
            return _back(rollout, lasted) if rollout.pin.limits.at_blind == "rollback" else None
        case Then.STAYS:
            return None


def _back(rollout: Rollout, why: str) -> Ruling:
    if obstacle := _ask_first(rollout):
        return Ruling(hold=HoldReason.ROLLBACK_ASKED, why=f"{why}. Not rolled back by itself: {obstacle}")
    return Ruling(event=Event.HARM, why=why)


def _verdict_hold(rollout: Rollout, verdict: Verdict, now: float) -> Ruling | None:
    """The verdicts that stop a rollout without ending it."""
    held = {
        VerdictKind.BLIND: HoldReason.BLIND,
        VerdictKind.UNOBSERVED: HoldReason.UNOBSERVED,
        VerdictKind.BASELINE_WORSE: HoldReason.BASELINE_WORSE,
        VerdictKind.SHARED: HoldReason.SHARED,
        VerdictKind.ONE_INSTANCE: HoldReason.ONE_INSTANCE,
    }
    reason = held.get(verdict.kind)
    if reason is None:
        return None
    why = verdict_sentence(verdict, rollout.pin)
    if reason is HoldReason.SHARED and _our_raise_did_it(rollout, now):
        ours = f"It began within {duration(limits.RAISE_MEMORY_SECONDS)} of our own raise: back one share, once"
        return Ruling(event=Event.LOWERED, why=f"{why.rstrip('.')}. {ours}")
    return _expired(rollout, reason, why, now) or Ruling(hold=reason, why=why)


def _our_raise_did_it(rollout: Rollout, now: float) -> bool:
    """A shared fault soon after our raise: the canary may be exhausting something shared."""
    return (
        rollout.phase is Phase.STEP
        and rollout.step > 0
        and not rollout.lowered_for_shared
        and rollout.raised_at is not None
        and now - rollout.raised_at <= limits.RAISE_MEMORY_SECONDS
    )


def _baseline(rollout: Rollout, seen: Observation) -> Ruling | None:
    """The way back: another version on it, or no answer from it."""
    probe = seen.probes.get(rollout.baseline)
    known = rollout.baseline_version
    if probe is not None and probe.healthy and known is not None and probe.version not in (known, None):
        changed = (
            f"{rollout.baseline} now answers version {probe.version} instead of {known}: the rollback target is gone"
        )
        if rollout.phase is not Phase.WATCH:
            return Ruling(hold=HoldReason.BASELINE_CHANGED, why=changed)
    if rollout.baseline_failures >= limits.PROBE_FAILURES:
        detail = probe.detail if probe else "no answer"
        return Ruling(
            hold=HoldReason.BASELINE_DOWN,
            why=f"{rollout.baseline} failed {rollout.baseline_failures} probes in a row: {detail}",
        )
    return None


def _under_way(rollout: Rollout, seen: Observation) -> Ruling | None:
    """Our own write is not read back yet: nothing more is decided on top of it."""
    if isinstance(seen.pool, PoolReading) and seen.pool.weights != rollout.weights:
        found = seen.pool.weights.share(rollout.canary)
        return Ruling(why=f"waiting for the pool: {rollout.canary} has {found} %, {rollout.share} % are wanted")
    if rollout.phase is Phase.SWITCH:
        return switched(rollout, seen)
    if rollout.phase is Phase.STEP and seen.standing.mode is not Mode.ACT and rollout.share == 100:
        return Ruling(event=Event.PROMOTE, why=f"somebody gave {rollout.canary} 100 % (mode {seen.standing.mode})")
    return None


def switched(rollout: Rollout, seen: Observation) -> Ruling:
    """The switch is done when pool and marker were read back, and both name the canary."""
    if in_place(rollout, seen.pool, seen.marker) and rollout.marker is rollout.canary:
        return Ruling(event=Event.SWITCHED, why=rollout.reason)
    if seen.standing.mode is not Mode.ACT and rollout.share < 100:
        why = f"the switch was not carried out, and mode {seen.standing.mode} leaves it to people"
        return Ruling(event=Event.ADOPTED, why=why)
    if blocked := left_to_people(rollout, seen):
        return blocked
    return Ruling(why=f"waiting for {rollout.pin.marker} to say {rollout.canary}")


def _standing(rollout: Rollout, seen: Observation, now: float, *, share: int) -> Ruling | None:
    """What a person, a switch or the workspace says before the canary may get `share` percent."""
    if rollout.pause is not None and now < rollout.pause.until:
        return Ruling(why=f"paused by {rollout.pause.actor}: {rollout.pause.reason}")
    if seen.standing.off:
        return Ruling(hold=HoldReason.OFF, why="`canary off` is in force: no weight is written")
    if seen.standing.storm:
        return Ruling(hold=HoldReason.STORM, why=seen.standing.storm)
    if share in seen.standing.approvals and share not in rollout.approved:
        return Ruling(
            hold=HoldReason.APPROVAL,
            why=f"{share} % for {rollout.canary} waits for a person (approvals): `canary approve {rollout.service}`",
        )
    return None


def _progress(rollout: Rollout, seen: Observation, verdict: Verdict, now: float) -> Ruling:
    """Nothing is wrong: is it time to go on?"""
    pin = rollout.pin
    began = rollout.segments[-1].start if rollout.segments and rollout.segments[-1].end is None else None
    if began is None and rollout.share == 0 and seen.standing.mode is Mode.ACT:
        return _first_share(rollout, seen, now)
    if began is None:
        return Ruling(why=f"no traffic for {rollout.canary} is judged yet")
    if rollout.phase is Phase.WATCH:
        return _watched(rollout, now)
    spent = now - began
    last = rollout.step >= len(pin.steps) - 2
    proven, why = _good_enough(rollout, verdict)
    if proven and spent < pin.bake_seconds:
        return Ruling(why=f"{why}; baking for another {duration(pin.bake_seconds - spent)} (bake)")
    if proven:
        share = pin.steps[min(rollout.step + 1, len(pin.steps) - 1)]
        return _standing(rollout, seen, now, share=share) or Ruling(
            event=Event.PROVEN if last else Event.RAISED, why=why
        )
    return _deadline(rollout, why, now) or Ruling(why=why)


def _first_share(rollout: Rollout, seen: Observation, now: float) -> Ruling:
    """The gate was passed in a mode that leaves the weights to people, and the mode is `act` now."""
    if rollout.gate_successes < rollout.pin.gate.successes:
        return Ruling(why=_gate_waits(rollout, seen))
    return _standing(rollout, seen, now, share=rollout.pin.steps[0]) or Ruling(
        event=Event.RAISED, why=f"{rollout.canary} passed its gate before, and the mode is {Mode.ACT} now"
    )


def _watched(rollout: Rollout, now: float) -> Ruling:
    """The watch ends after its full time; the time in which it was held (blind, above all) was not watched."""
    start, watch = unheld_from(rollout, now), rollout.pin.watch_seconds
    spent = 0.0 if start is None else now - start
    if spent < watch:
        return Ruling(why=f"watching for another {duration(watch - spent)} (watch)")
    if rollout.pause is not None and now < rollout.pause.until:
        return Ruling(why=f"paused by {rollout.pause.actor}: {rollout.pause.reason}")
    return Ruling(event=Event.WATCHED, why=f"no harm in {duration(spent)} at 100 % (watch {duration(watch)})")


def unheld_from(rollout: Rollout, now: float) -> float | None:
    """From when the step or the watch is timed, held time left out (epoch seconds); None = no traffic has begun."""
    start, held = rollout.clock_from, rollout.hold
    if start is None or held is None:
        return start
    since = held.since if held.clocked_at is None else held.clocked_at
    return start + max(0.0, now - max(since, start))


def _good_enough(rollout: Rollout, verdict: Verdict) -> tuple[bool, str]:
    """Whether the verdict is what `promote_when` asks for, and the sentence that says so or what is missing."""
    pin = rollout.pin
    if verdict.kind is VerdictKind.SAFE:
        return True, verdict_sentence(verdict, pin)
    said = verdict_sentence(verdict, pin)
    if pin.promote_when != "unrefuted" or verdict.kind is not VerdictKind.UNDECIDED:
        return False, said
    rows = max((one.canary.requests for one in verdict.indicators), default=0)
    if rows < pin.min_requests:
        return False, f"{rows} of {pin.min_requests} canary requests (min_requests); {said}"
    rates = ", ".join(
        f"{one.name} {percent(one.canary.rate)} against {percent(one.baseline.rate)}" for one in verdict.indicators
    )
    return (
        True,
        f"no harm found in {rows} canary requests (promote_when: unrefuted, min_requests {pin.min_requests}): {rates}",
    )


def _deadline(rollout: Rollout, why: str, now: float) -> Ruling | None:
    pin, start = rollout.pin, unheld_from(rollout, now)
    if start is None or now - start <= pin.deadline_seconds:
        return None
    late = f"not proven within {duration(pin.deadline_seconds)} at {rollout.share} % (deadline): {why}"
    return Ruling(hold=HoldReason.DEADLINE, why=late) if pin.at_deadline == "hold" else _back(rollout, late)
