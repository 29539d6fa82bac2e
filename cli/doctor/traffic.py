"""Pool, marker and health of one service, through the controller's own adapters."""

from collections.abc import Iterator
from functools import partial

from cli.adapters import Adapters
from cli.doctor.finding import Check, Skipped, assignment
from cli.doctor.whole import FunctionApp
from rollouts.errors import Forbidden, Refused
from rollouts.observation import Slot
from rollouts.policy import Pin, ServicePolicy
from rollouts.rollout import HoldReason
from shifting.arm import ApiManagement

# "Load-balanced backend pool" is in every column of the table of gateways: classic, v2 and Consumption tiers
# (learn.microsoft.com/azure/api-management/api-management-gateways-overview, Backend APIs).
WITH_POOLS = {
    *("consumption", "developer", "basic", "standard", "premium", "isolated"),
    *("basicv2", "standardv2", "premiumv2"),
}


def checks(service: ServicePolicy, adapters: Adapters, app: FunctionApp, *, read_only: bool) -> Iterator[Check]:
    """Tier, pool, the right to write it, marker, health of both slots."""
    name, pin = service.name, service.pin

    def right() -> str:
        role = f"Flex Canary traffic ({ApiManagement.parse(pin.api_management).name})"
        return assignment(adapters.object_id(), role, pin.api_management)

    yield Check(name, "tier", partial(_tier, pin, adapters))
    yield Check(name, "pool", partial(_pool, pin, adapters), right)
    yield Check(name, "pool write", partial(_write, service, adapters, app, read_only=read_only), right)
    yield Check(name, "marker", partial(_marker, pin, adapters), right)
    for slot in Slot:
        yield Check(name, f"health {slot}", partial(_health, pin, slot, adapters))


def _tier(pin: Pin, adapters: Adapters) -> str:
    try:
        tier = adapters.resources.tier(pin.api_management)
    except Forbidden as error:  # the traffic role does without; whoever runs this may have no more
        right = assignment(adapters.object_id(), "Reader", pin.api_management)
        raise Skipped(str(error), command=right) from error
    if tier.lower() not in WITH_POOLS:
        raise Refused(
            f"{tier} is not known to have backend pools: Flex Canary needs Developer, Basic, Standard, Premium, one of "
            "their v2 tiers, or Consumption"
        )
    return tier


def _pool(pin: Pin, adapters: Adapters) -> str:
    reading = adapters.pool.read(pin.api_management, pin.pool, pin.backends)
    if reading.session_affinity:
        raise Refused(
            f"{pin.pool} has session affinity, so clients and not requests are split, and the judge's promise does not "
            "hold: switch it off"
        )
    return f"blue {reading.weights.blue} / green {reading.weights.green}"


def _write(service: ServicePolicy, adapters: Adapters, app: FunctionApp, *, read_only: bool) -> str:
    """The pool as it is, with If-Match. Not in a rollout: the controller's own write would lose one tick to ours."""
    pin = service.pin
    if read_only:
        raise Skipped("--read-only: whether the pool may be written was not tried")
    if running := app.running(service.name):
        if running.get("hold") == HoldReason.CANNOT_WRITE:
            raise Refused(f"the rollout that runs tries, and cannot: {running.get('sentence')}")
        raise Skipped(f"a rollout runs (phase {running['phase']}): the pool is left to it, ask again when it has ended")
    before = adapters.pool.read(pin.api_management, pin.pool, pin.backends).weights
    after = adapters.pool.rewrite(pin.api_management, pin.pool, pin.backends).weights
    if after != before:
        raise Refused(
            f"{pin.pool} held blue {before.blue} / green {before.green} and now holds blue {after.blue} / green "
            f"{after.green}: somebody else writes to it; look, then run it again"
        )
    return "written with the weights that it had"


def _marker(pin: Pin, adapters: Adapters) -> str:
    live = adapters.marker.read(pin.api_management, pin.marker).live
    weights = adapters.pool.read(pin.api_management, pin.pool, pin.backends).weights
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
        raise Refused(f"{base}{gate.path}: {probe.detail}{_admission(probe.detail, adapters, preview=preview)}")
    if probe.version is None:
        raise Refused(f"{base}{gate.path} tells no version: answer JSON with `version`, or the header x-version")
    return f"version {probe.version}"


def _admission(detail: str, adapters: Adapters, *, preview: bool) -> str:
    """What mends a 401 or 403 of a health URL; empty for anything else."""
    if detail not in ("401", "403"):
        return ""
    if preview:
        return ": set PREVIEW_KEY to the gateway's, the vault's secret canary-preview-key"
    if adapters.settings.slot_audience is None:
        return ": it wants a token: set SLOT_AUDIENCE as the function app has it (api://<client id>)"
    return (
        f": its authentication does not admit {adapters.object_id()}: run doctor as the function app, or add "
        "this one to callerPrincipalIds (bicep/slot.bicep)"
    )
