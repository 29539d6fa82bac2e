"""Do the rows of both slots arrive, whole and alike? Asked with the controller's own query."""

import time
from collections.abc import Iterator
from functools import cached_property

import msgspec

from analyzers.judge.counts import Role
from analyzers.judge.indicators import Indicator, IndicatorKind
from cli.adapters import Adapters
from cli.doctor.finding import Check, Skipped, assignment
from rollouts.errors import Forbidden, Refused
from rollouts.observation import Counted, Failed, Scope, Slot
from rollouts.policy import Pin, ServicePolicy

FAILURES = Indicator(name="failures", kind=IndicatorKind.FAILURES, points=0.01, ratio=1.25)
ENOUGH = 20  # rows of a slot, before anything is said of how they are kept
ALIKE = 1.2  # a slot whose rows stand for 1.2 times the requests of the other's is sampled differently
ROLE_OF = {Slot.BLUE: Role.BASELINE, Slot.GREEN: Role.CANARY}


class Kept(msgspec.Struct):
    """Of one slot in the window."""

    rows: int = 0
    requests: int = 0  # that the rows stand for
    failed: int = 0
    operations: set[str] = set()


class Telemetry:
    """One service's rows, asked for once."""

    def __init__(self, pin: Pin, adapters: Adapters, window: int) -> None:
        self._pin, self._adapters, self._window = pin, adapters, window

    @cached_property
    def kept(self) -> dict[Slot, Kept]:
        """By slot; Refused when the telemetry does not answer."""
        now = time.time()
        counted = self._adapters.telemetry.counts(self._pin.workspace, [self._scope(now)], now)["doctor"]
        found = {slot: Kept() for slot in Slot}
        match counted:
            case Failed():
                forbidden = counted.permanent and "Log Analytics Data Reader" in counted.detail
                raise (Forbidden if forbidden else Refused)(counted.detail)
            case Counted():
                for row in counted.rows.list():
                    mine = found[next(slot for slot, role in ROLE_OF.items() if role is row.role)]
                    mine.rows += row.rows
                    mine.requests += row.requests
                    mine.failed += row.bad[0]
                    mine.operations.add(row.operation)
        return found

    def arriving(self) -> str:
        """Rows of both slots, probes included: an idle slot has no others."""
        kept = self.kept
        if missing := [slot for slot in Slot if not kept[slot].rows]:
            roles = {slot: self._pin.slots[slot].role_name for slot in missing}
            raise Refused(
                f"no request of {' and '.join(f'{slot} (role_name {role})' for slot, role in roles.items())}: is the "
                "role name right, does the app send to this workspace, does its host.json keep successful requests "
                "(logLevel Host.Results: Information)? An app that nobody called has just been called by `health`: "
                "look again in five minutes"
            )
        told = f"blue {kept[Slot.BLUE].rows} / green {kept[Slot.GREEN].rows} rows"
        seen = set().union(*(one.operations for one in kept.values()))
        if unseen := [one for one in self._pin.critical_operations if one not in seen]:
            told += (
                f"; none of the critical {', '.join(unseen)} (an operation of a function app is its function's name)"
            )
        return told

    def whole(self) -> str:
        """Successful requests are kept, and both slots are sampled alike."""
        kept = self.kept
        for slot, one in kept.items():
            if one.rows >= ENOUGH and one.failed == one.rows:
                raise Refused(
                    f"all {one.rows} rows of {slot} are failures: its host keeps no successful request, so every rate "
                    "is 100 %. Set logLevel Host.Results to Information in its host.json"
                )
        if few := [slot for slot, one in kept.items() if one.rows < ENOUGH]:
            raise Skipped(f"fewer than {ENOUGH} rows of {' and '.join(few)} in the window: look over a longer --window")
        factors = {slot: one.requests / one.rows for slot, one in kept.items()}
        if max(factors.values()) > ALIKE * min(factors.values()):
            raise Refused(
                f"a row of blue stands for {factors[Slot.BLUE]:.1f} requests, one of green for "
                f"{factors[Slot.GREEN]:.1f}: write excludedTypes: Request;Exception into samplingSettings of both"
            )
        return f"a row stands for {factors[Slot.BLUE]:.1f} (blue) and {factors[Slot.GREEN]:.1f} (green) requests"

    def _scope(self, now: float) -> Scope:
        pin = self._pin
        until = int(now) // pin.interval_seconds * pin.interval_seconds
        return Scope(
            rollout="doctor",
            canary_role=pin.slots[Slot.GREEN].role_name,
            baseline_role=pin.slots[Slot.BLUE].role_name,
            since=until - max(self._window, pin.interval_seconds),
            until=until,
            interval_seconds=pin.interval_seconds,
            indicators=(FAILURES, *(one for one in pin.indicators if one.kind is IndicatorKind.QUERY)),
            thresholds_ms={},
            critical_operations=pin.critical_operations,
            operations=pin.operations,
            excluded_routes=(),
            cold_seconds=pin.cold_seconds,
            instances={},
        )


def checks(service: ServicePolicy, adapters: Adapters, window: int) -> Iterator[Check]:
    """Rows arrive; they are whole."""
    telemetry = Telemetry(service.pin, adapters, window)
    found = (
        f"az monitor log-analytics workspace list --query \"[?customerId=='{service.pin.workspace}'].id\" --output tsv"
    )

    def right() -> str:
        return assignment(adapters.object_id(), "Log Analytics Data Reader", f"$({found})")

    yield Check(service.name, "telemetry", telemetry.arriving, right)
    yield Check(service.name, "kept requests", telemetry.whole, right)
