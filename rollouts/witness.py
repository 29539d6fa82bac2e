"""Taking in what was seen: the rollout after a look, before any judgement. No decision is made here."""

from msgspec.structs import replace

from analyzers.judge.counts import Counts, Role, Rows, Segment
from analyzers.judge.indicators import IndicatorKind
from rollouts import limits
from rollouts.ask import ceil, floor, history_start
from rollouts.observation import Counted, Failed, MarkerReading, Mode, Observation, PoolReading, Quantiles
from rollouts.rollout import JUDGED, Phase, Rollout


def witness(rollout: Rollout, seen: Observation, now: float) -> Rollout:
    """The rollout with probes, pool, marker, T and instances as they were seen at `now` (epoch seconds)."""
    rollout = replace(rollout, standing=replace(seen.standing, off=False, storm=""))
    rollout = _probes(rollout, seen)
    rollout = _thresholds(rollout, seen.quantiles, now)
    if isinstance(seen.pool, PoolReading):
        if seen.standing.mode is not Mode.ACT and rollout.phase in JUDGED:
            # Nothing is ours to move: what people set is the share, never drift.
            share = seen.pool.weights.share(rollout.canary)
            if share != rollout.share:  # what waited to be told of our own write did not happen
                rollout = replace(rollout, pending=())
            rollout = replace(rollout, share=share, step=nearest_step(rollout.pin.steps, share), pool_seen=seen.pool)
        rollout = read_pool(rollout, seen.pool, now)
    if isinstance(seen.marker, MarkerReading):
        unfinished = seen.marker.live is rollout.canary and rollout.share == 0  # a person's switch, marker first
        unfinished |= rollout.phase is Phase.SWITCH and rollout.share == 100  # ours, weights first
        if seen.standing.mode is not Mode.ACT and not unfinished:
            rollout = replace(rollout, marker=seen.marker.live)
        rollout = read_marker(rollout, seen.marker)
    if seen.warmed is not None:
        rollout = replace(rollout, warmed=seen.warmed)
    if isinstance(seen.telemetry, Counted):
        rollout = _settle(rollout, seen.telemetry, asked_at(seen, now))
    return rollout


def read_pool(rollout: Rollout, pool: PoolReading, now: float) -> Rollout:
    """Follow the weights as they are: the share's history, the judged spans, and whether our write is there."""
    share = pool.weights.share(rollout.canary)
    if "pool" in rollout.unread:
        rollout = replace(rollout, attempted=(*rollout.attempted, share), unread=_without(rollout.unread, "pool"))
    last = rollout.shares[-1] if rollout.shares else 0
    if share != last and rollout.phase is not Phase.GATE:
        rollout = replace(rollout, shares=(*rollout.shares, share)[-limits.MAX_SHARES_KEPT :])
    rollout = _follow(rollout, share, now)
    if pool.weights != rollout.weights:
        return rollout
    attempted = rollout.attempted if rollout.late_write_seconds(now) else ()
    return replace(rollout, pool_seen=pool, attempted=attempted)


def read_marker(rollout: Rollout, marker: MarkerReading) -> Rollout:
    """Remember the marker where it says what it should, or was not known when the end was decided."""
    if "marker" in rollout.unread:
        return replace(rollout, marker_seen=marker, unread=_without(rollout.unread, "marker"))
    return replace(rollout, marker_seen=marker) if marker.live is rollout.marker else rollout


def _without(names: tuple[str, ...], name: str) -> tuple[str, ...]:
    return tuple(one for one in names if one != name)


def _follow(rollout: Rollout, share: int, now: float) -> Rollout:
    """Close and open judged spans so that none mixes two shares: the paired comparison rests on that."""
    interval = rollout.pin.interval_seconds
    now = max(now, rollout.looked_at or now)  # instances' clocks differ: no span begins before the last one ended
    spans = list(rollout.segments)
    if spans and spans[-1].end is None:
        if spans[-1].share == share:
            return replace(rollout, looked_at=now)
        end = floor(rollout.looked_at if rollout.looked_at is not None else now, interval)
        closed = spans.pop()
        if end > closed.start:
            spans.append(replace(closed, end=end))
    if share > 0 and rollout.phase in JUDGED:
        start = ceil(now + rollout.pin.propagation_seconds, interval)
        visit = spans[-1].step + 1 if spans else 0
        spans.append(Segment(start=start, end=None, share=share, step=visit))
        rollout = replace(rollout, clock_from=float(start))
    return replace(rollout, segments=tuple(spans[-limits.MAX_SEGMENTS_KEPT :]), looked_at=now)


def nearest_step(steps: tuple[int, ...], share: int) -> int:
    """The index of the judged step that `share` stands for: the last one not above it; -1 = it is below the first.

    >>> [nearest_step((10, 50, 100), share) for share in (5, 10, 30, 70)]
    [-1, 0, 0, 1]
    """
    return sum(one <= share for one in steps[:-1]) - 1


def _probes(rollout: Rollout, seen: Observation) -> Rollout:
    canary, baseline = seen.probes.get(rollout.canary), seen.probes.get(rollout.baseline)
    if canary is None or baseline is None:
        return rollout
    right = canary.healthy and canary.version == rollout.version
    changes: dict[str, object] = {
        "arrived": rollout.arrived or right,
        "gate_successes": rollout.gate_successes + 1 if right and baseline.healthy else 0,
        "baseline_failures": 0 if baseline.healthy else rollout.baseline_failures + 1,
    }
    if canary.healthy:
        changes["canary_failures"] = 0
    elif baseline.healthy:
        changes["canary_failures"] = rollout.canary_failures + 1
    if rollout.baseline_version is None and baseline.healthy:
        changes["baseline_version"] = baseline.version
    return replace(rollout, **changes)


def _thresholds(rollout: Rollout, quantiles: Quantiles | Failed | None, now: float) -> Rollout:
    """Pin T where the baseline has shown enough; until then its indicator is not judged."""
    start = history_start(rollout)
    waiting = [one for one in rollout.pin.indicators if one.kind is IndicatorKind.QUANTILE]
    if not waiting and not rollout.judged_from:
        return replace(rollout, judged_from=tuple(start for _ in rollout.pin.indicators))
    if not isinstance(quantiles, Quantiles):
        return rollout
    thresholds = dict(rollout.thresholds_ms)
    if quantiles.requests >= limits.T_REQUESTS:
        for one in waiting:
            found = quantiles.milliseconds.get(one.quantile or 0.0)
            if found is not None and found > 0:
                thresholds.setdefault(one.name, found)
    first = not rollout.judged_from
    fresh = start if first else ceil(now, rollout.pin.interval_seconds)
    before = rollout.judged_from or tuple(
        None if one.kind is IndicatorKind.QUANTILE else start for one in rollout.pin.indicators
    )
    judged = tuple(
        fresh if was is None and one.name in thresholds else was
        for one, was in zip(rollout.pin.indicators, before, strict=True)
    )
    return replace(rollout, thresholds_ms=thresholds, judged_from=judged)


def asked_at(seen: Observation, now: float) -> float:
    """When the telemetry was asked (epoch seconds); rows that came in later in this look are not in its answer."""
    return now if seen.asked_at is None else min(seen.asked_at, now)


def _settle(rollout: Rollout, counted: Counted, asked: float) -> Rollout:
    instances = {**counted.first_seen, **rollout.instances}
    if len(instances) > limits.MAX_INSTANCES_KEPT:
        newest = sorted(instances, key=instances.__getitem__)[-limits.MAX_INSTANCES_KEPT :]
        instances = {name: instances[name] for name in newest}
    start, interval = rollout.settled_until or history_start(rollout), rollout.pin.interval_seconds
    final = floor(asked - rollout.pin.settle_seconds, interval)
    settled = max(start, min(final, start + limits.SETTLE_INTERVALS * interval))
    return replace(rollout, instances=instances, settled_until=settled)


def past_baseline(rows: Rows, indicators: int) -> Rows:
    """Rows of past days as the baseline's: those of the slot that served then, which is the one with more rows."""
    found = rows.list()
    served = {role: sum(one.rows for one in found if one.role is role) for role in Role}
    live = max(served, key=served.__getitem__)
    kept = [replace(one, role=Role.BASELINE) for one in found if one.role is live]
    return Rows.of(kept, indicators)


def newly_settled(before: Rollout, after: Rollout, seen: Observation) -> Rows | None:
    """The rows of the tail that became final in this tick; None = none."""
    if not isinstance(seen.telemetry, Counted) or after.settled_until is None:
        return None
    start = before.settled_until if before.settled_until is not None else history_start(before)
    rows = seen.telemetry.rows.between(start, after.settled_until)
    return rows if len(rows) else None


def counts(rollout: Rollout, seen: Observation, now: float) -> Counts:
    """The judge's input: settled rows from the store, the tail as just read, the judged spans."""
    none = Rows.empty(len(rollout.pin.indicators))
    rows = seen.stored if seen.stored is not None else none
    unavailable = None
    match seen.telemetry:
        case Counted():
            rows = rows + seen.telemetry.rows
        case Failed():
            unavailable = seen.telemetry.detail
        case None:
            unavailable = "the telemetry was not asked"
    first = rollout.segments[0].start if rollout.segments else ceil(now, rollout.pin.interval_seconds)
    start, asked = history_start(rollout), asked_at(seen, now)
    return Counts(
        interval_seconds=rollout.pin.interval_seconds,
        now=int(asked),
        settled_until=floor(asked - rollout.pin.settle_seconds, rollout.pin.interval_seconds),
        rows=rows.between(first, int(asked) + rollout.pin.interval_seconds),
        history=rows.between(start, first),
        same_hours=seen.same_hours if seen.same_hours is not None else none,
        segments=rollout.segments,
        judged_from=rollout.judged_from or tuple(None for _ in rollout.pin.indicators),
        unavailable=unavailable,
    )
