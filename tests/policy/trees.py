"""A small legal policy tree, and a way to spoil it."""

import copy
from typing import Any

Tree = dict[str, Any]
GUID = "11111111-2222-3333-4444-555555555555"
APIM = f"/subscriptions/{GUID}/resourceGroups/rg/providers/Microsoft.ApiManagement/service/gateway"
REMOVED = object()


def service(name: str = "checkout", **more: Any) -> Tree:
    """A service with only what is required."""
    slots = {
        slot: {
            "backend": f"{name}-{slot}",
            "url": f"https://{name}-{slot}.azurewebsites.net",
            "role_name": f"{name}-{slot}",
        }
        for slot in ("blue", "green")
    }
    own = {"api_management": APIM, "pool": f"{name}-pool", "marker": f"{name}-live", "workspace": GUID, "slots": slots}
    return own | more


def spoiled(path: str, value: Any) -> Tree:
    """The legal tree with one value changed; `path` is dotted and begins below the service."""
    tree: Tree = {
        "channels": {"team": {"kind": "teams", "url_setting": "TEAMS_WEBHOOK_URL"}},
        "services": {"checkout": service()},
    }
    node = tree["services"]["checkout"]
    *parents, last = path.split(".")
    for part in parents:
        node = node.setdefault(part, {})
    if value is REMOVED:
        node.pop(last, None)
    else:
        node[last] = copy.deepcopy(value)
    return tree
