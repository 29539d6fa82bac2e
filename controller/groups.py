"""Services that tick together: those of one workspace, at most GROUP_SERVICES, one queue message each group."""

from collections.abc import Iterable

import msgspec

from rollouts import limits
from rollouts.errors import Refused
from storing.records import Records


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """One queue message: which services tick together, and when that was asked for."""

    workspace: str
    services: list[str]
    asked_at: float  # epoch seconds


def read(message: bytes) -> Asked:
    """What a queue message asks for; Refused when it is none of ours: no retry would make it one."""
    try:
        return msgspec.json.decode(message, type=Asked)
    except msgspec.DecodeError as error:
        shown = message[:200].decode("utf-8", "replace")
        raise Refused(f"a message in the tick queue cannot be read ({error}): {shown!r}") from error


def messages(records: Records, services: Iterable[str], now: float) -> list[str]:
    """The queue messages that make `services` tick; services without anything to do are left out."""
    wanted = set(services)
    by_workspace: dict[str, list[str]] = {}
    for one in records.active_services() if wanted else ():
        if one.service in wanted:
            by_workspace.setdefault(one.workspace, []).append(one.service)
    return [
        msgspec.json.encode(
            Asked(workspace=workspace, services=names[start : start + limits.GROUP_SERVICES], asked_at=now)
        ).decode()
        for workspace, names in sorted(by_workspace.items())
        for start in range(0, len(names), limits.GROUP_SERVICES)
    ]
