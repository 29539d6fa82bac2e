"""Who switched a service off, and who set its mode, is shown with the service."""

from pathlib import Path
from typing import Any

import pytest

from controller import requests, views
from controller.requests import Who
from lab.simulation import START, Simulation
from rollouts.observation import Mode


@pytest.fixture
def simulation(policy: str, tmp_path: Path) -> Simulation:
    return Simulation(policy, seed=1, folder=tmp_path)


def shown(simulation: Simulation) -> dict[str, Any]:
    """What the API says of the service's orders."""
    found = views.service(simulation.world, "checkout")
    return {key: found[key] for key in ("off", "off_set", "mode", "mode_set")}


def hand(order: dict[str, Any] | None) -> tuple[str, str] | None:
    """Actor and reason of an order."""
    return None if order is None else (order["actor"], order["reason"])


def test_a_service_that_nobody_touched_has_the_policys_mode_and_no_name(simulation):
    assert shown(simulation) == {"off": False, "off_set": None, "mode": Mode.ACT, "mode_set": None}


def test_the_switch_of_the_service_is_named_before_that_of_everything(simulation):
    requests.switch(simulation.world, None, Who(actor="ada", reason="storm"), off=True)
    assert hand(shown(simulation)["off_set"]) == ("ada", "storm")
    requests.switch(simulation.world, "checkout", Who(actor="bob", reason="night"), off=True)
    assert hand(shown(simulation)["off_set"]) == ("bob", "night")
    requests.switch(simulation.world, "checkout", Who(actor="bob"), off=False)
    assert hand(shown(simulation)["off_set"]) == ("ada", "storm"), "everything is off still"
    requests.switch(simulation.world, None, Who(actor="ada"), off=False)
    assert (shown(simulation)["off"], shown(simulation)["off_set"]) == (False, None)


def test_a_mode_set_by_hand_is_shown_with_the_hand(simulation):
    requests.set_mode(simulation.world, "checkout", Mode.OBSERVE, Who(actor="ada", reason="first week"))
    assert shown(simulation)["mode"] is Mode.OBSERVE
    assert shown(simulation)["mode_set"] == {"actor": "ada", "reason": "first week", "at": START}
