"""The JSON Schema of canary.yaml, for editors: made from the same keys that parse.py reads.

It says what single values may be. What must be true between values (a bake within its deadline, one pool
for one service) is known to `canary check` alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from rollouts.policy_file import keys, leaves
from rollouts.policy_file.keys import Key
from rollouts.policy_file.leaves import Schema
from rollouts.policy_file.presets import PRESETS, STANDARD


def schema() -> Schema:
    """A JSON Schema, draft 2020-12; defaults are those of the preset `standard`."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "canary.yaml: the policy of Flex Canary",
        "description": f"Defaults come from the preset: {', '.join(PRESETS)}. Check it with `canary check`.",
        "type": "object",
        "additionalProperties": False,
        "required": ["services"],
        "properties": {
            "channels": _named(
                _mapping(keys.CHANNEL_KEYS), leaves.NAME_PATTERN, keys.MAX_CHANNELS, "Where notices go."
            ),
            "services": _named(_service(), leaves.SERVICE_PATTERN, keys.MAX_SERVICES, "What is looked after.")
            | {"minProperties": 1},
        },
    }


def _service() -> Schema:
    made = _mapping(keys.SERVICE_LEAVES, STANDARD)
    made["properties"] |= {name: part | {"description": keys.SERVICE_SECTIONS[name]} for name, part in _parts().items()}
    made["required"] = [*made["required"], "slots"]
    return made


def _parts() -> dict[str, Schema]:
    slot = _mapping(keys.SLOT_KEYS)
    slots = _object(dict.fromkeys(("blue", "green"), slot), required=["blue", "green"])
    indicator = _mapping(keys.INDICATOR_KEYS)
    indicator["required"] = []  # what is left out is the preset's of the same name
    one = {"anyOf": [{"const": "off"}, indicator]}
    gate = _mapping(keys.GATE_LEAVES, _part("gate"))
    gate["properties"]["warm_up"] = {
        "anyOf": [_mapping(keys.WARM_UP_KEYS), {"type": "null"}],
        "description": "Requests that are sent before any traffic.",
    }
    return {
        "slots": slots,
        "indicators": _named(one, leaves.NAME_PATTERN, keys.MAX_INDICATORS, ""),
        "gate": gate,
        "limits": _mapping(keys.LIMIT_KEYS, _part("limits")),
        "expert": _mapping(keys.EXPERT_KEYS, _part("expert")),
    }


def _part(name: str) -> Mapping[str, object]:
    part = STANDARD[name]
    return part if isinstance(part, Mapping) else {}


def _mapping(known: Sequence[Key[Any]], defaults: Mapping[str, object] | None = None) -> Schema:
    """An object of these keys, each with its sentence, its default or an example."""
    properties = {}
    for key in known:
        properties[key.name] = key.leaf.schema | {"description": key.says}
        if defaults and key.name in defaults:
            properties[key.name]["default"] = defaults[key.name]
        else:
            properties[key.name]["examples"] = [key.leaf.example]
    return _object(properties, required=[key.name for key in known if key.required])


def _object(properties: dict[str, Any], *, required: list[str]) -> Schema:
    return {"type": "object", "additionalProperties": False, "required": required, "properties": properties}


def _named(one: Schema, pattern: str, cap: int, says: str) -> Schema:
    """An object whose keys are the author's own names."""
    made: Schema = {
        "type": "object",
        "additionalProperties": False,
        "maxProperties": cap,
        "patternProperties": {f"^(?:{pattern})$": one},
    }
    return made | ({"description": says} if says else {})
