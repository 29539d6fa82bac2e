"""The simulated world with the lab's tolerances, and a good or bad version on its way."""

from collections.abc import Callable

import pytest

from lab.simulation import Behaviour, Simulation
from rollouts.observation import Slot

SUBSCRIPTION = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers"
POLICY = f"""
channels:
  team: {{kind: teams, url_setting: TEAMS_WEBHOOK_URL}}
services:
  checkout:
    preset: standard
    mode: act
    api_management: {SUBSCRIPTION}/Microsoft.ApiManagement/service/apim
    pool: green-blue-pool
    workspace: 11111111-1111-1111-1111-111111111111
    slots:
      blue:
        backend: blue-backend
        url: https://127.0.0.1:1/blue
        role_name: checkout-blue
        site: {SUBSCRIPTION}/Microsoft.Web/sites/checkout-blue
        deployment_container: blue-packages
      green:
        backend: green-backend
        url: https://127.0.0.1:1/green
        role_name: checkout-green
        site: {SUBSCRIPTION}/Microsoft.Web/sites/checkout-green
        deployment_container: green-packages
    bake: 3s
    deadline: 60s
    watch: 15s
    history: 20s
    gate: {{path: /api/health, successes: 3, deadline: 30s, warm_up: {{path: /api/hello, requests: 5}}}}
    critical_operations: [POST /pay]
    indicators:
      failures: {{points: 2, ratio: 1.25}}
      rejected: {{points: 2, ratio: 1.5}}
      p95: {{quantile: 95%, slowdown: 20%, points: 2, ratio: 1.0}}
    limits: {{blind: 10s, unobserved: 10s, one_instance: 10s}}
    notify: [team]
    expert: {{interval: 1s, settle: 2s, propagation: 1s, cold: 1s}}
"""


@pytest.fixture
def policy() -> str:
    """The text of the policy, to be changed by a test."""
    return POLICY


Started = Callable[..., Simulation]


@pytest.fixture
def begun(tmp_path) -> Started:
    """A function that makes a simulation in which version 1.1 was just announced on green."""

    def begin(
        behaviour: Behaviour | None = None, *, seed: int = 7, policy: str = POLICY, rate: float = 300
    ) -> Simulation:
        simulation = Simulation(policy, seed=seed, rate=rate, folder=tmp_path)
        print(f"seed {seed}")
        simulation.run(25)
        simulation.deploy(Slot.GREEN, "1.1", behaviour)
        simulation.announce("1.1", slot=Slot.GREEN)
        return simulation

    return begin
