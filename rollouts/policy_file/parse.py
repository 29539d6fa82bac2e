"""From the tree of canary.yaml to a Policy, or a PolicyError with every problem of the file in one pass.

Pure: the text is loaded elsewhere (controller/config.py). Leaves convert single values, sections read single
mappings, this file puts them together, and relations.py holds what must be true between them.
"""

import math
from collections.abc import Mapping

from analyzers.judge.indicators import Indicator, IndicatorKind
from rollouts.errors import PolicyError
from rollouts.observation import Slot
from rollouts.policy import Channel, Gate, HoldLimits, Pin, Policy, PresetName, ServicePolicy, SlotConfig
from rollouts.policy_file import keys, leaves
from rollouts.policy_file.leaves import Path, duration_text, is_loopback, shown
from rollouts.policy_file.presets import PRESETS
from rollouts.policy_file.relations import Claims, check_pin, check_tolerance
from rollouts.policy_file.sections import WHOLE, Problems, Section, spelled

INGESTION_SECONDS = 180  # application telemetry is stored seconds to about 3 minutes late
LEAST_SETTLE_SECONDS = 240  # the default: ingestion, and a minute for the slowest request
WARM_UP_REQUESTS = 10  # a request for each instance that a young app starts with, and some

_NAMED_KINDS = {"failures": IndicatorKind.FAILURES, "rejected": IndicatorKind.REJECTED}
_KIND_KEYS = (keys.SLOWER_THAN, keys.QUANTILE, keys.QUERY)


def parse(tree: object, lines: Mapping[Path, int] | None = None, whole: str = WHOLE) -> Policy:
    """The policy that `tree` (mappings, lists, text, numbers) describes; PolicyError names every problem.

    `lines` maps paths to line numbers of the text that the tree was loaded from; `whole` names it.

    >>> parse({"services": {}})
    Traceback (most recent call last):
    ...
    rollouts.errors.PolicyError: services: got an empty mapping: describe at least one service
    """
    problems = Problems(lines or {}, whole)
    if not isinstance(tree, dict):
        raise PolicyError([f"{whole}: got {shown(tree)}: write a mapping with the keys channels and services"])
    root = Section(tree, (), problems)
    root.knows(("channels", "services"))
    channels = _channels(root.inner("channels"))
    services = _services(root.inner("services"), channels, required="services" not in tree)
    if said := problems.list():
        raise PolicyError(said)
    return Policy(services=services, channels=channels)


def _channels(section: Section) -> dict[str, Channel]:
    channels = {}
    if len(section.node) > keys.MAX_CHANNELS:
        advice = f"write at most {keys.MAX_CHANNELS}"
        section.problems.add(section.path, f"{len(section.node)} channels", advice)
        return {}
    for name in _names(section, leaves.NAME_PATTERN, "a letter, then letters, digits, _ and -, such as team"):
        one = section.inner(name)
        one.knows(key.name for key in keys.CHANNEL_KEYS)
        kind, setting = one.take(keys.KIND), one.take(keys.URL_SETTING)
        channels[name] = Channel(name=name, kind=kind, url_setting=setting)
    return channels


def _services(section: Section, channels: Mapping[str, Channel], *, required: bool) -> dict[str, ServicePolicy]:
    if required or (section.present and not section.node):
        got = "nothing" if required else "an empty mapping"
        section.problems.add(section.path, got, "describe at least one service")
    if len(section.node) > keys.MAX_SERVICES:
        advice = f"write at most {keys.MAX_SERVICES}; the others need a function app of their own"
        section.problems.add(section.path, f"{len(section.node)} services", advice)
        return {}
    advice = "a lower-case letter, then letters, digits and -, at most 50, such as checkout"
    claims = Claims()
    services = {}
    for name in _names(section, leaves.SERVICE_PATTERN, advice):
        services[name] = _service(name, section.inner(name), channels, claims)
    return services


def _names(section: Section, pattern: str, advice: str) -> list[str]:
    """The legal names among the keys of a mapping whose keys are the author's own."""
    leaf = leaves.text(pattern, what=advice, example="")
    legal = []
    for key in section.node:
        try:
            legal.append(leaf.read(key))
        except leaves.Unfit:
            where = key if isinstance(key, str) else shown(key)
            section.problems.add((*section.path, where), "a name that cannot be used", f"write {advice}")
    return legal


def _service(name: str, section: Section, channels: Mapping[str, Channel], claims: Claims) -> ServicePolicy:
    section.knows((*(key.name for key in keys.SERVICE_LEAVES), *keys.SERVICE_SECTIONS))
    preset = _preset(section)
    section.fallback = PRESETS[preset]
    slots = _slots(section.inner("slots"), claims, _claimed(section, claims))
    indicators = _indicators(section.inner("indicators"))
    gate, expert = section.inner("gate"), section.inner("expert")
    pin = _pin(section, expert, slots, indicators, _gate(gate))
    check_pin(section, gate, expert, pin)
    return ServicePolicy(
        name=name,
        preset=preset,
        mode=section.take(keys.MODE),
        approvals=_approvals(section),
        channels=_notify(section, channels),
        pin=pin,
        non_http=section.take(keys.NON_HTTP),
    )


def _notify(section: Section, channels: Mapping[str, Channel]) -> tuple[str, ...]:
    names = section.take(keys.NOTIFY)
    for position, name in enumerate(names if section.good(keys.NOTIFY) else ()):
        if name not in channels:
            known = f"write one of {', '.join(channels)}" if channels else "describe it under channels first"
            section.problems.add((*section.path, keys.NOTIFY.name, position), shown(name), known)
    return names


def _preset(section: Section) -> PresetName:
    section.fallback = {"preset": "standard"}
    return section.take(keys.PRESET)


def _claimed(section: Section, claims: Claims) -> tuple[str, str] | None:
    """Claim pool and marker; (API Management, workspace), or None where one of them was refused."""
    apim = section.take(keys.API_MANAGEMENT)
    pool, marker, workspace = section.take(keys.POOL), section.take(keys.MARKER), section.take(keys.WORKSPACE)
    if not section.good(keys.API_MANAGEMENT, keys.WORKSPACE):
        return None
    claims.claim(section, keys.POOL, (apim, pool), "two services on one pool would undo each other's shares")
    claims.claim(
        section,
        keys.MARKER,
        (apim, marker),
        "one marker names one live slot: give this service a named value of its own",
    )
    return apim, workspace


def _slots(section: Section, claims: Claims, scope: tuple[str, str] | None) -> dict[Slot, SlotConfig]:
    section.knows(slot.value for slot in Slot)
    slots = {}
    for slot in Slot:
        one = section.inner(slot.value)
        if slot.value not in section.node:
            needed = ", ".join(key.name for key in keys.SLOT_KEYS if key.required)
            one.refuse("nothing", f"describe this slot: {needed}")
        one.knows(key.name for key in keys.SLOT_KEYS)
        slots[slot] = SlotConfig(
            backend=one.take(keys.BACKEND),
            url=one.take(keys.URL),
            role_name=one.take(keys.ROLE_NAME),
            site=one.take(keys.SITE),
            deployment_container=one.take(keys.DEPLOYMENT_CONTAINER),
        )
        if not one.present:
            continue
        claims.claim(one, keys.URL, (slots[slot].url,), "each slot is a function app of its own")
        if scope is not None:
            claims.claim(one, keys.BACKEND, (scope[0], slots[slot].backend), "each slot needs a backend of its own")
            why = "their requests could not be told apart in the telemetry"
            claims.claim(one, keys.ROLE_NAME, (scope[1], slots[slot].role_name), why)
        if site := slots[slot].site:
            claims.claim(one, keys.SITE, (site,), "each slot is a function app of its own")
        if container := slots[slot].deployment_container:
            why = "an upload would not say which slot it is for"
            claims.claim(one, keys.DEPLOYMENT_CONTAINER, (spelled(section.path), container), why)
    return slots


def _indicators(section: Section) -> tuple[Indicator, ...]:
    """The preset's indicators with the file's changes, in the preset's order, new ones after them."""
    names = _names(section, leaves.NAME_PATTERN, "a letter, then letters, digits, _ and -, such as checkout-slo")
    off = {name for name in names if section.node[name] is False or section.node[name] == "off"}
    wanted = [name for name in dict.fromkeys((*section.fallback, *names)) if name not in off]
    for name in names:
        if name in off and name not in section.fallback:
            near = ", ".join(section.fallback)
            section.problems.add((*section.path, name), "off", f"the preset has no such indicator; it has {near}")
    if not wanted:
        section.problems.add(section.path, "no indicator", "leave at least one: without any, nothing is judged")
    if len(wanted) > keys.MAX_INDICATORS:
        advice = f"write at most {keys.MAX_INDICATORS}: they share alpha, and each is blunted by the others"
        section.problems.add(section.path, f"{len(wanted)} indicators", advice)
        wanted = wanted[: keys.MAX_INDICATORS]
    return tuple(_indicator(name, section) for name in wanted)


def _indicator(name: str, section: Section) -> Indicator:
    one = section.inner(name)
    one.knows(key.name for key in keys.INDICATOR_KEYS)
    kinds = [key for key in _KIND_KEYS if one.node.get(key.name) is not None]
    if kinds and name not in _NAMED_KINDS and not any(key.name in one.fallback for key in kinds):
        one.fallback = {}  # another kind: nothing of the preset's indicator is meant
    inherited = [key for key in _KIND_KEYS if key.name in one.fallback]
    kind = _kind(name, one, [key.name for key in (*kinds, *(k for k in inherited if k not in kinds))])
    latency = kind in (IndicatorKind.SLOWER_THAN, IndicatorKind.QUANTILE)
    warm_only = one.take(keys.WARM_ONLY)
    indicator = Indicator(
        name=name,
        kind=kind,
        points=one.take(keys.POINTS),
        ratio=one.take(keys.RATIO),
        ceiling=one.take(keys.CEILING),
        warm_only=latency if warm_only is None else warm_only,
        threshold_ms=one.take(keys.SLOWER_THAN),
        quantile=one.take(keys.QUANTILE),
        slowdown=one.take(keys.SLOWDOWN),
        query=one.take(keys.QUERY),
    )
    check_tolerance(one, indicator)
    return indicator


def _kind(name: str, one: Section, given: list[str]) -> IndicatorKind:
    named = _NAMED_KINDS.get(name)
    if named is not None:
        for key in given:
            advice = f"{name} counts result codes; give this indicator another name"
            one.problems.add((*one.path, key), "another kind", advice)
        return named
    choices = "slower_than: 800ms, quantile: 95% (with slowdown: 20%) or query: <KQL>"
    if len(given) != 1:
        one.problems.add(one.path, " and ".join(given) or "no kind", f"write exactly one of {choices}")
        return IndicatorKind.QUERY
    if given[0] == keys.QUANTILE.name:
        if keys.SLOWDOWN.name not in one.node and keys.SLOWDOWN.name not in one.fallback:
            one.trouble(keys.SLOWDOWN, "add slowdown: 20% (how much slower the canary may be)")
    elif one.node.get(keys.SLOWDOWN.name) is not None:
        one.trouble(keys.SLOWDOWN, "it belongs to quantile: remove it, or write quantile: 95%")
    return IndicatorKind(given[0])


def _gate(section: Section) -> Gate:
    section.knows((*(key.name for key in keys.GATE_LEAVES), "warm_up"))
    via, gateway_url = section.take(keys.VIA), section.take(keys.GATEWAY_URL)
    if section.good(keys.VIA, keys.GATEWAY_URL):
        if via == "gateway" and gateway_url is None:
            section.trouble(
                keys.GATEWAY_URL,
                "via: gateway probes through it: add gateway_url: https://<gateway>/<preview>",
            )
        if via == "direct" and gateway_url is not None:
            section.trouble(keys.GATEWAY_URL, "via: direct does not use it: write via: gateway, or remove it")
    warm_up = section.inner("warm_up") if section.node.get("warm_up") is not None else None
    warm_up_path, warm_up_requests = None, None
    if warm_up is not None and warm_up.present:
        warm_up.knows(key.name for key in keys.WARM_UP_KEYS)
        warm_up_path, warm_up_requests = warm_up.take(keys.WARM_UP_PATH), warm_up.take(keys.WARM_UP_REQUESTS)
    return Gate(
        path=section.take(keys.PATH),
        successes=section.take(keys.SUCCESSES),
        deadline_seconds=section.take(keys.GATE_DEADLINE),
        via=via,
        gateway_url=gateway_url,
        timeout_seconds=section.take(keys.TIMEOUT) / 1000,
        warm_up_path=warm_up_path,
        warm_up_requests=WARM_UP_REQUESTS if warm_up_requests is None else warm_up_requests,
    )


def _approvals(section: Section) -> tuple[int, ...]:
    approvals, steps = section.take(keys.APPROVALS), section.take(keys.STEPS)
    if section.good(keys.APPROVALS, keys.STEPS):
        for position, share in enumerate(approvals):
            if share not in steps:
                path = (*section.path, keys.APPROVALS.name, position)
                section.problems.add(path, str(share), f"write shares of steps: {', '.join(map(str, steps))}")
    return approvals


def _limits(section: Section) -> HoldLimits:
    section.knows(key.name for key in keys.LIMIT_KEYS)
    return HoldLimits(
        blind_seconds=section.take(keys.BLIND),
        at_blind=section.take(keys.AT_BLIND),
        unobserved_seconds=section.take(keys.UNOBSERVED),
        one_instance_seconds=section.take(keys.ONE_INSTANCE),
        approval_seconds=section.take(keys.APPROVAL),
        pause_seconds=section.take(keys.PAUSE),
    )


def _pin(
    section: Section,
    expert: Section,
    slots: dict[Slot, SlotConfig],
    indicators: tuple[Indicator, ...],
    gate: Gate,
) -> Pin:
    expert.knows(key.name for key in keys.EXPERT_KEYS)
    interval = expert.take(keys.INTERVAL)
    settle = _settle(expert, slots, indicators, interval)
    return Pin(
        api_management=section.take(keys.API_MANAGEMENT),
        pool=section.take(keys.POOL),
        marker=section.take(keys.MARKER),
        workspace=section.take(keys.WORKSPACE),
        slots=slots,
        steps=section.take(keys.STEPS),
        bake_seconds=section.take(keys.BAKE),
        deadline_seconds=section.take(keys.DEADLINE),
        watch_seconds=section.take(keys.WATCH),
        history_seconds=section.take(keys.HISTORY),
        indicators=indicators,
        gate=gate,
        limits=_limits(section.inner("limits")),
        promote_when=section.take(keys.PROMOTE_WHEN),
        min_requests=section.take(keys.MIN_REQUESTS),
        at_deadline=section.take(keys.AT_DEADLINE),
        rollback=section.take(keys.ROLLBACK),
        critical_operations=section.take(keys.CRITICAL_OPERATIONS),
        excluded_routes=section.take(keys.EXCLUDED_ROUTES),
        alpha=expert.take(keys.ALPHA),
        beta=expert.take(keys.BETA),
        interval_seconds=interval,
        settle_seconds=settle,
        propagation_seconds=expert.take(keys.PROPAGATION),
        cold_seconds=expert.take(keys.COLD),
        operations=expert.take(keys.OPERATIONS),
    )


def _settle(expert: Section, slots: dict[Slot, SlotConfig], indicators: tuple[Indicator, ...], interval: int) -> int:
    """Ingestion plus the slowest judged request; shorter, slow requests would be missing where they count."""
    slowest = max((one.threshold_ms or 0 for one in indicators), default=0)
    # Telemetry of a service on loopback is the lab's own: nothing has to be ingested.
    ingestion = 0 if all(is_loopback(slot.url) for slot in slots.values()) else INGESTION_SECONDS
    least = math.ceil(ingestion + slowest / 1000)
    written = expert.take(keys.SETTLE)
    if written is None:
        return max(LEAST_SETTLE_SECONDS, math.ceil(least / interval) * interval)
    if expert.good(keys.SETTLE) and written < least:
        parts = f"{duration_text(ingestion)} of ingestion and {slowest:g} ms of the slowest judged request"
        expert.trouble(keys.SETTLE, f"write {duration_text(least)} or more: {parts}")
    return written
