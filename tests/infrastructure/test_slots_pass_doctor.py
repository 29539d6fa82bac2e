"""The app settings that Bicep gives to the two slots are ones that `canary doctor` finds equal and complete."""

from types import SimpleNamespace
from typing import Any

import pytest

from cli.doctor.sites import Both
from rollouts.errors import Refused
from rollouts.observation import Slot
from tests.infrastructure.reading import nodes, source, text_of


def settings(name: str, variable: str) -> dict[str, str]:
    """A variable of app settings: name -> the expression it is set to."""
    for node in source(name).tree.named_children:
        if node.type == "variable_declaration" and text_of(node.named_children[0]) == variable:
            body = next(nodes(node, "object"))
            pairs = [one for one in body.named_children if one.type == "object_property"]
            return {text_of(one.named_children[0]): text_of(one.named_children[1]).strip("'") for one in pairs}
    raise LookupError(f"{name} has no variable {variable}")


def deployed(slot: Slot) -> dict[str, str]:
    """As the app has them: its own identity in place of the expression, its own colour, all else as written."""
    written = settings("modules/flex-app.bicep", "hostSettings") | settings("slot.bicep", "telemetrySettings")
    own = {name: value.replace("identity.properties.clientId", f"id-of-{slot}") for name, value in written.items()}
    return own | {"SLOT_NAME": slot.value}


def both(found: dict[Slot, dict[str, str]]) -> Both:
    """Doctor's look at the two apps."""
    adapters: Any = SimpleNamespace(resources=SimpleNamespace(settings=lambda site: found[Slot(site)]))
    return Both({slot: slot.value for slot in Slot}, adapters)


def test_the_slots_settings_are_equal_and_keep_every_request() -> None:
    found = {slot: deployed(slot) for slot in Slot}
    assert both(found).alike().endswith("settings, the same in both")
    assert both(found).logging().startswith("no app setting drops")


def test_what_one_slot_alone_has_would_be_seen() -> None:
    """The same look, so that the test above can fail."""
    found = {Slot.BLUE: deployed(Slot.BLUE) | {"FLAG": "on"}, Slot.GREEN: deployed(Slot.GREEN)}
    with pytest.raises(Refused, match="in one slot only: FLAG"):
        both(found).alike()
