"""Traffic for `canary plan`: as a stored rollout found it, or as the live slot's telemetry shows it now."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from analyzers.judge import Indicator, IndicatorKind, Role, Rows
from analyzers.judge.counts import CountsError, Row
from cli.adapters import Adapters
from cli.ending import BadInput
from cli.remote import Answer
from rollouts.ask import excluded_routes, floor
from rollouts.errors import Refused
from rollouts.observation import Counted, Failed, Scope, Slot
from rollouts.policy import Pin
from rollouts.policy_file.leaves import duration_text

ROLLOUT = "plan"  # what the query calls the question


class Traffic(msgspec.Struct, frozen=True, kw_only=True):
    """Requests a minute of both slots, and the baseline's rate of bad ones."""

    rpm: float
    rates: Mapping[str, float]  # fraction, per indicator
    assumed: tuple[str, ...] = ()  # indicators whose rate nobody gave


def from_rollout(answer: Answer, pin: Pin) -> Traffic:
    """What the baseline did before a stored rollout, while it had all of the traffic."""
    try:
        indicators = msgspec.convert(answer.get("indicators"), list[Indicator])
        rows = Rows.of(msgspec.convert(answer.get("history", []), list[Row]), len(indicators))
        seconds = int(msgspec.convert(answer.get("counted"), dict[str, Any])["interval_seconds"])
    except (msgspec.ValidationError, CountsError, KeyError) as error:
        raise BadInput(f"the function app's counts are not those of this version of canary: {error}") from error
    baseline = [row for row in rows.list() if row.role is Role.BASELINE]
    stored = sum(row.rows for row in baseline)
    if not stored:
        raise BadInput(f"rollout {answer.get('rollout')} has no history: write --rpm and --errors")
    intervals = len({row.interval for row in baseline})
    names = {one.name for one in pin.indicators}
    rates = {name: rate for name, rate in _rates(baseline, indicators).items() if name in names}
    return Traffic(rpm=stored / intervals * 60 / seconds, rates=rates)


def from_workspace(pin: Pin, adapters: Adapters, now: float) -> Traffic:
    """What the live slot did in the policy's `history`, up to the last settled interval before `now`.

    Asked with the controller's own query. Both slots' rows are the traffic, the live slot's are the rates: in a
    rollout, the canary's faults are not the baseline's. A quantile has none yet: T is pinned when a rollout starts.
    """
    live = adapters.marker.read(pin.api_management, pin.marker).live
    idle = Slot.GREEN if live is Slot.BLUE else Slot.BLUE
    scope = _scope(pin, live, idle, now)
    counted = adapters.telemetry.counts(pin.workspace, [scope], now)[ROLLOUT]
    match counted:
        case Failed():
            raise Refused(f"{counted.what}: {counted.detail}")
        case Counted():
            rows = counted.rows.list()
    baseline = [row for row in rows if row.role is Role.BASELINE]
    stored = sum(row.rows for row in rows)
    if not any(row.rows for row in baseline):
        raise Refused(
            f"no request of {live}, the live slot (role_name {pin.slots[live].role_name}), in"
            f" {duration_text(pin.history_seconds)}: write --rpm and --errors, or ask `canary doctor` why"
        )
    quantiles = {one.name for one in pin.indicators if one.kind is IndicatorKind.QUANTILE}
    rates = {name: rate for name, rate in _rates(baseline, pin.indicators).items() if name not in quantiles}
    return Traffic(rpm=stored * 60 / (scope.until - scope.since), rates=rates)


def _rates(baseline: Sequence[Row], indicators: Sequence[Indicator]) -> dict[str, float]:
    """Bad rows over judged rows (only warm ones, where the indicator asks for that); no rate without rows."""
    rates = {}
    for number, one in enumerate(indicators):
        judged = sum(row.rows - (row.cold if one.warm_only else 0) for row in baseline)
        if judged:
            rates[one.name] = sum(row.bad[number] for row in baseline) / judged
    return rates


def _scope(pin: Pin, live: Slot, idle: Slot, now: float) -> Scope:
    until = floor(now - pin.settle_seconds, pin.interval_seconds)
    return Scope(
        rollout=ROLLOUT,
        canary_role=pin.slots[idle].role_name,
        baseline_role=pin.slots[live].role_name,
        since=until - max(1, pin.history_seconds // pin.interval_seconds) * pin.interval_seconds,
        until=until,
        interval_seconds=pin.interval_seconds,
        indicators=pin.indicators,
        thresholds_ms={},
        critical_operations=pin.critical_operations,
        operations=pin.operations,
        excluded_routes=excluded_routes(pin),
        cold_seconds=pin.cold_seconds,
        instances={},
    )
