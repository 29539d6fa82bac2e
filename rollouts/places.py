"""Where a policy looks and writes: what is another place than in the policy before it, in the words of the file."""

from rollouts.observation import Slot
from rollouts.policy import Pin, Policy


def moved(before: Policy, after: Policy) -> dict[str, list[str]]:
    """By service of both policies, one line for every key that names another place; letter case makes none."""
    return {
        name: [
            f"services.{name}.{key} is {now or 'left out'}; until now it was {was or 'left out'}"
            for (key, was), (_, now) in zip(
                _places(before.services[name].pin), _places(after.services[name].pin), strict=True
            )
            if (was or "").casefold() != (now or "").casefold()
        ]
        for name in sorted(before.services.keys() & after.services.keys())
    }


def _places(pin: Pin) -> list[tuple[str, str | None]]:
    """Key of canary.yaml, and what it names."""
    places: list[tuple[str, str | None]] = [
        ("api_management", pin.api_management),
        ("pool", pin.pool),
        ("marker", pin.marker),
        ("workspace", pin.workspace),
    ]
    for slot in Slot:
        config = pin.slots[slot]
        named = {"backend": config.backend, "url": config.url, "role_name": config.role_name, "site": config.site}
        places += [(f"slots.{slot}.{key}", value) for key, value in named.items()]
    return places
