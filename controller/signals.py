"""What woke us: an Event Grid event in either schema, read into a closed set of signals. Pure parsing.

Only `Canary.DeploymentCompleted` says something; every other event is a nudge to look, and says nothing.
Personal data that ARM events carry (`claims`) is never read.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from rollouts import limits
from rollouts.errors import Refused
from rollouts.observation import Slot
from rollouts.policy import Policy
from rollouts.rollout import Announcement

DEPLOYMENT_COMPLETED = "Canary.DeploymentCompleted"
BLOB_CREATED = "Microsoft.Storage.BlobCreated"
ARM_WRITE = "Microsoft.Resources.ResourceWriteSuccess"
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z._+\-]{0,127}")
VERSION_ADVICE = "write letters, digits and . _ + - (at most 128)"


class Arrived(msgspec.Struct, frozen=True, kw_only=True):
    """An event as both schemas carry it."""

    type: str
    id: str
    subject: str
    data: Any  # what the event's data decoded to: a mapping for every event that we know
    at: float | None = None  # epoch seconds at which it was published; None = it does not say


class Wake(msgspec.Struct, frozen=True, kw_only=True):
    """Look at these services: something may have changed."""

    services: tuple[str, ...]


class Unknown(msgspec.Struct, frozen=True, kw_only=True):
    """Not ours, or not understood: recorded, not looped on."""

    why: str


def read(event: Arrived, policy: Policy) -> Announcement | Wake | Unknown:
    """The signal that an event is. Refused: it means to be an announcement and is not a good one."""
    if event.type == DEPLOYMENT_COMPLETED:
        return announcement(event, policy)
    if event.type == BLOB_CREATED:
        return _woken(event, _containers(policy), "no service has this deployment_container")
    if event.type == ARM_WRITE:
        return _woken(event, _sites(policy), "no service has this site")
    return Unknown(why=f"event type {event.type[:100]!r} is not one that we know")


def announcement(event: Arrived, policy: Policy) -> Announcement:
    """A deployment told by its pipeline; Refused names every field that is missing or wrong."""
    if not isinstance(event.data, Mapping):
        raise Refused(f"event {event.id}: data is {type(event.data).__name__}: send an object with service and version")
    data, wrong = event.data, []
    service, version, slot = data.get("service"), data.get("version"), data.get("slot")
    deployment = data.get("deploymentId")
    if not isinstance(service, str) or service not in policy.services:
        wrong.append(
            f"service is {_shown(service)}: name one of {', '.join(sorted(policy.services)) or 'no service yet'}"
        )
    if not isinstance(version, str) or not VERSION.fullmatch(version):
        wrong.append(f"version is {_shown(version)}: {VERSION_ADVICE}")
    if slot is not None and slot not in tuple(Slot):
        wrong.append(f"slot is {_shown(slot)}: write blue or green, one of them")
    if not isinstance(deployment, str) or not 0 < len(deployment) <= 200:
        wrong.append(f"deploymentId is {_shown(deployment)}: write the pipeline run's id (at most 200 characters)")
    rollback = data.get("rollback") or "auto"
    if rollback not in ("auto", "ask"):
        wrong.append(f"rollback is {_shown(rollback)}: write auto or ask")
    if not isinstance(data.get("retry") or False, bool):
        wrong.append(f"retry is {_shown(data.get('retry'))}: write true or false")
    if wrong:
        raise Refused(f"event {event.id[:100]}: " + "; ".join(wrong))
    return Announcement(
        service=str(service),
        slot=Slot(slot) if slot is not None else None,
        version=str(version),
        deployment_id=str(deployment),
        by=f"event:{DEPLOYMENT_COMPLETED}",
        link=_text(data.get("link")),
        commit=_text(data.get("commit")),
        retry=bool(data.get("retry")),
        ask_before_rollback=rollback == "ask",
        at=event.at,
    )


def _woken(event: Arrived, known: dict[str, str], otherwise: str) -> Wake | Unknown:
    """Subjects and resource ids differ in letter case: compared without it."""
    subject = event.subject.casefold()
    services = {service for key, service in known.items() if subject == key or subject.startswith(f"{key}/")}
    return Wake(services=tuple(sorted(services))) if services else Unknown(why=f"{event.subject[:200]!r}: {otherwise}")


def _containers(policy: Policy) -> dict[str, str]:
    return {
        f"/blobservices/default/containers/{slot.deployment_container}".casefold(): name
        for name, service in policy.services.items()
        for slot in service.pin.slots.values()
        if slot.deployment_container
    }


def _sites(policy: Policy) -> dict[str, str]:
    return {
        slot.site.casefold(): name
        for name, service in policy.services.items()
        for slot in service.pin.slots.values()
        if slot.site
    }


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:80]


def _text(value: object) -> str | None:
    return value[: limits.DETAIL_CHARACTERS] if isinstance(value, str) and value else None


def arrived(event: Any) -> Arrived:
    """From what the Functions worker hands over: the payload, not the annotation, picks its class.

    An Event Grid event has `event_type`, a CloudEvent has `type`; both have `get_json()`.
    """
    kind = getattr(event, "event_type", None) or getattr(event, "type", None)
    try:
        data = event.get_json()
    except (ValueError, TypeError):
        data = None
    at = getattr(event, "event_time", None) or getattr(event, "time", None)
    return Arrived(
        type=str(kind),
        id=str(event.id),
        subject=str(event.subject or ""),
        data=data,
        at=at.timestamp() if isinstance(at, datetime) else None,
    )
