"""Services that tick together: those of one workspace, at most GROUP_SERVICES, one queue message each group."""

import json
from collections.abc import Iterable

from rollouts import limits
from storing.records import Records


def messages(records: Records, services: Iterable[str], now: float) -> list[str]:
    """The queue messages that make `services` tick; services without anything to do are left out."""
    wanted = set(services)
    by_workspace: dict[str, list[str]] = {}
    for one in records.active_services() if wanted else ():
        if one.service in wanted:
            by_workspace.setdefault(one.workspace, []).append(one.service)
    return [
        json.dumps({"workspace": workspace, "services": names[start : start + limits.GROUP_SERVICES], "asked_at": now})
        for workspace, names in sorted(by_workspace.items())
        for start in range(0, len(names), limits.GROUP_SERVICES)
    ]
