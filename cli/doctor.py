"""`canary doctor`: is everything there that a rollout needs? One line a check, all of them, exit code 0 or 1.

It looks with the rights of whoever runs it, and writes nothing: pool, marker, health and telemetry are read by
the controller's own adapters, so what they refuse here they would refuse there.
"""

import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from functools import partial
from typing import Annotated

import msgspec
import typer

from analyzers.judge.counts import Role
from cli.adapters import Adapters
from cli.check import read_policy
from cli.ending import ends
from cli.options import AsJson, PolicyFile, SomeService, Url, duration, seconds
from cli.remote import KEY_SETTING, URL_SETTING, Remote
from cli.screen import Screen
from rollouts.errors import CanaryError, NotFound, Refused
from rollouts.observation import Counted, Failed, Scope, Slot
from rollouts.policy import Pin, ServicePolicy


class State(StrEnum):
    """What a check found."""

    OK = "ok"
    BAD = "bad"
    SKIPPED = "skipped"  # it could not be asked; says what to set


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One line."""

    service: str  # "-" = of the whole
    check: str
    state: State
    detail: str


Look = Callable[[], str]  # what was seen; a CanaryError says what is wrong and what mends it


@ends
def doctor(
    service: SomeService = None,
    *,
    window: Annotated[
        str, typer.Option("--window", help="How far back telemetry is looked for.", callback=duration)
    ] = "60m",
    policy: PolicyFile = "canary.yaml",
    url: Url = None,
    as_json: AsJson = False,
) -> None:
    """Check everything that a rollout needs, and write nothing.

    Configuration, the function app, pool, marker, health of both slots, and their telemetry.
    """
    text, read = read_policy(policy)
    if service is not None and service not in read.services:
        raise NotFound(f"{service}: {policy} has no such service; it has {', '.join(read.services)}")
    screen, found = Screen(as_json=as_json), list[Finding]()
    adapters = Adapters()
    looks = [*_whole(text, policy, url)]
    for one in read.services.values():
        if service in (None, one.name):
            looks += _of_service(one, adapters, seconds(window))
    for name, check, look in looks:
        finding = _looked(name, check, look)
        found.append(finding)
        if not as_json:
            screen.finding(finding.state.value, f"{name:<12} {check:<16} {finding.detail}")
    bad = [one for one in found if one.state is State.BAD]
    if as_json:
        screen.result({"ok": not bad, "checks": msgspec.to_builtins(found)})
        if bad:
            raise typer.Exit(1)
    elif bad:
        raise Refused(f"{len(bad)} of {len(found)} checks are bad")


def _looked(service: str, check: str, look: Look | None) -> Finding:
    if look is None:
        detail = f"set {URL_SETTING} and {KEY_SETTING} to ask the function app"
        return Finding(service=service, check=check, state=State.SKIPPED, detail=detail)
    try:
        return Finding(service=service, check=check, state=State.OK, detail=look())
    except CanaryError as error:
        return Finding(service=service, check=check, state=State.BAD, detail=str(error))


def _whole(text: str, file: str, url: str | None) -> Iterator[tuple[str, str, Look | None]]:
    yield "-", "policy", lambda: f"{file} is right"
    if not url:
        yield "-", "function app", None
        return
    yield "-", "function app", lambda: f"answers, version {Remote(url).get('health').get('version')}"

    def in_force() -> str:
        held = Remote(url).get("config")
        if held.get("yaml") != text:
            raise Refused(f"{file} is not what is in force ({held.get('source')}): canary config push {file}")
        return f"{held.get('source')}, the same as {file}"

    yield "-", "policy in force", in_force


def _of_service(service: ServicePolicy, adapters: Adapters, window: int) -> Iterator[tuple[str, str, Look]]:
    name, pin = service.name, service.pin
    yield name, "pool", lambda: _pool(pin, adapters)
    yield name, "marker", lambda: _marker(pin, adapters)
    for slot in Slot:
        yield name, f"health {slot}", partial(_health, pin, slot, adapters)
    yield name, "telemetry", lambda: _telemetry(pin, adapters, window)


def _pool(pin: Pin, adapters: Adapters) -> str:
    reading = adapters.pool.read(pin.api_management, pin.pool, _backends(pin))
    if reading.session_affinity:
        raise Refused(
            f"{pin.pool} has session affinity, so clients and not requests are split, and the judge's promise does not "
            "hold: switch it off"
        )
    return f"blue {reading.weights.blue} / green {reading.weights.green}"


def _marker(pin: Pin, adapters: Adapters) -> str:
    live = adapters.marker.read(pin.api_management, pin.marker).live
    weights = adapters.pool.read(pin.api_management, pin.pool, _backends(pin)).weights
    if weights.share(live) == 0:
        raise Refused(
            f"it says {live}, which gets 0 % of {pin.pool}: set the marker or the weights, so that they agree"
        )
    return f"{live} is live"


def _health(pin: Pin, slot: Slot, adapters: Adapters) -> str:
    gate = pin.gate
    preview = gate.via == "gateway"
    base = gate.gateway_url if preview and gate.gateway_url else pin.slots[slot].url
    probe = adapters.prober.probe(base, gate.path, gate.timeout_seconds, preview=preview, slot=slot)
    if not probe.healthy:
        raise Refused(f"{base}{gate.path}: {probe.detail}")
    if probe.version is None:
        raise Refused(f"{base}{gate.path} tells no version: answer JSON with `version`, or the header x-version")
    return f"version {probe.version}"


def _telemetry(pin: Pin, adapters: Adapters, window: int) -> str:
    """Rows of both slots, probes included: an idle slot has no others."""
    now = time.time()
    until = int(now) // pin.interval_seconds * pin.interval_seconds
    scope = Scope(
        rollout="doctor",
        canary_role=pin.slots[Slot.GREEN].role_name,
        baseline_role=pin.slots[Slot.BLUE].role_name,
        since=until - max(window, pin.interval_seconds),
        until=until,
        interval_seconds=pin.interval_seconds,
        indicators=pin.indicators,
        thresholds_ms={},
        critical_operations=pin.critical_operations,
        operations=pin.operations,
        excluded_routes=(),
        cold_seconds=pin.cold_seconds,
        instances={},
    )
    counted = adapters.telemetry.counts(pin.workspace, [scope], now)["doctor"]
    match counted:
        case Failed():
            raise Refused(counted.detail)
        case Counted():
            rows = dict.fromkeys(Role, 0)
            for row in counted.rows.list():
                rows[row.role] += row.rows
    seen = {Slot.BLUE: rows[Role.BASELINE], Slot.GREEN: rows[Role.CANARY]}
    if missing := [slot for slot in Slot if not seen[slot]]:
        names = " and ".join(f"{slot} (role_name {pin.slots[slot].role_name})" for slot in missing)
        raise Refused(
            f"no request of {names}: is the role name right, does the app send to this workspace, does its host.json "
            "keep successful requests (logLevel Host.Results: Information)?"
        )
    return f"blue {seen[Slot.BLUE]} / green {seen[Slot.GREEN]} rows"


def _backends(pin: Pin) -> dict[Slot, str]:
    return {slot: config.backend for slot, config in pin.slots.items()}
