"""What one tick must look at for a rollout: the questions, before anything is seen."""

import math

import msgspec

from analyzers.judge.indicators import IndicatorKind
from rollouts import limits
from rollouts.observation import Scope
from rollouts.policy import Pin
from rollouts.rollout import Phase, Rollout

DAY = 86_400
SAME_HOURS_SECONDS = 6 * 3600  # of yesterday, at most: what a long rollout meets, within one query's rows


class Questions(msgspec.Struct, frozen=True, kw_only=True):
    """What to ask the telemetry, and whether to send the warm-up requests."""

    counts: Scope | None  # None = nothing to count in this tick
    quantiles: Scope | None  # None = every T is pinned, or none is needed
    same_hours: Scope | None  # the same hours of yesterday, both slots; None = nothing is judged yet
    levels: tuple[float, ...]  # the quantiles wanted: 0.95
    warm_up: bool


def floor(at: float, interval: int) -> int:
    """Start of the interval that holds `at`, epoch seconds."""
    return math.floor(at / interval) * interval


def ceil(at: float, interval: int) -> int:
    """Start of the first whole interval not before `at`, epoch seconds."""
    return math.ceil(at / interval) * interval


def history_start(rollout: Rollout) -> int:
    """Where the baseline's window before the rollout begins, epoch seconds."""
    return floor(rollout.started_at - rollout.pin.history_seconds, rollout.pin.interval_seconds)


def questions(rollout: Rollout, now: float) -> Questions:
    """The questions of this tick. T comes before the first counts: rows counted without T say nothing of it."""
    pin = rollout.pin
    if rollout.phase in (Phase.CLOSING, Phase.CLOSED):
        return Questions(counts=None, quantiles=None, same_hours=None, levels=(), warm_up=False)
    levels = tuple(
        sorted(
            {
                one.quantile
                for one in pin.indicators
                if one.kind is IndicatorKind.QUANTILE and one.quantile and one.name not in rollout.thresholds_ms
            }
        )
    )
    since = history_start(rollout) if rollout.settled_until is None else rollout.settled_until
    scope = Scope(
        rollout=rollout.id,
        canary_role=pin.slots[rollout.canary].role_name,
        baseline_role=pin.slots[rollout.baseline].role_name,
        since=since,
        until=floor(now, pin.interval_seconds) + pin.interval_seconds,
        interval_seconds=pin.interval_seconds,
        indicators=pin.indicators,
        thresholds_ms=rollout.thresholds_ms,
        critical_operations=pin.critical_operations,
        operations=pin.operations,
        excluded_routes=excluded_routes(pin),
        cold_seconds=pin.cold_seconds,
        instances={name: seen for name, seen in rollout.instances.items() if seen < since},
    )
    window = msgspec.structs.replace(scope, since=history_start(rollout), until=ceil(now, pin.interval_seconds))
    first_look = bool(levels) and not rollout.judged_from
    warm = rollout.phase is Phase.GATE and not rollout.warmed and rollout.gate_successes >= pin.gate.successes
    return Questions(
        counts=None if first_look else scope,
        quantiles=window if levels else None,
        same_hours=_yesterday(rollout, scope) if rollout.phase is not Phase.GATE else None,
        levels=levels,
        warm_up=warm and pin.gate.warm_up_path is not None,
    )


def _yesterday(rollout: Rollout, scope: Scope) -> Scope:
    """The hours that the rollout may take, one day earlier; T is pinned by then, or counts nothing."""
    pin = rollout.pin
    start = floor(rollout.started_at - DAY, pin.interval_seconds)
    most = min(SAME_HOURS_SECONDS, limits.SETTLE_INTERVALS * pin.interval_seconds)
    lasts = min(most, (len(pin.steps) - 1) * pin.deadline_seconds + pin.watch_seconds)
    return msgspec.structs.replace(scope, since=start, until=ceil(start + lasts, pin.interval_seconds), instances={})


def excluded_routes(pin: Pin) -> tuple[str, ...]:
    """Routes that are never judged: the gate's, the warm-up's and the policy's."""
    own = [pin.gate.path] + ([pin.gate.warm_up_path] if pin.gate.warm_up_path else [])
    return tuple(dict.fromkeys([*own, *pin.excluded_routes]))
