"""A policy that names other places than the one before it says so, key by key."""

from typing import Any

import pytest
from msgspec.structs import replace

from rollouts.observation import Mode, Slot
from rollouts.places import moved
from rollouts.policy import Policy, ServicePolicy
from tests.storing.examples import pin


def policy(**changes: Any) -> Policy:
    service = ServicePolicy(
        name="checkout", preset="standard", mode=Mode.ACT, approvals=(), channels=(), pin=pin(**changes)
    )
    return Policy(services={"checkout": service}, channels={})


@pytest.mark.parametrize("key", ["api_management", "pool", "marker", "workspace"])
def test_another_place_is_told_with_both_names_and_the_key(key: str) -> None:
    was = getattr(pin(), key)
    told = moved(policy(), policy(**{key: f"{was}-2"}))
    assert told == {"checkout": [f"services.checkout.{key} is {was}-2; until now it was {was}"]}


@pytest.mark.parametrize("key", ["backend", "url", "role_name", "site"])
def test_another_app_is_told_by_its_slot(key: str) -> None:
    slots = pin().slots
    there = {**slots, Slot.GREEN: replace(slots[Slot.GREEN], **{key: "another"})}
    was = getattr(slots[Slot.GREEN], key) or "left out"
    told = moved(policy(), policy(slots=there))
    assert told == {"checkout": [f"services.checkout.slots.green.{key} is another; until now it was {was}"]}


def test_letter_case_and_what_is_tuned_are_no_other_place() -> None:
    """ARM writes resource ids in more than one case; steps and times are what a push is for."""
    assert moved(policy(), policy(api_management=pin().api_management.upper(), steps=(5, 100))) == {"checkout": []}


def test_a_service_that_comes_or_goes_was_at_no_other_place() -> None:
    assert moved(policy(), Policy(services={}, channels={})) == {}
    assert moved(Policy(services={}, channels={}), policy()) == {}
