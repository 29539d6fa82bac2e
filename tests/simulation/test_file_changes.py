"""The policy changes while a rollout runs: what the file no longer says, the rollout remembers."""

import json

import msgspec
import pytest

from controller import api, requests, views
from controller.config import load
from controller.wiring import Wiring
from lab.simulation import Behaviour, Simulation
from rollouts.command import Command, CommandKind
from rollouts.errors import CanaryError, Misconfigured, PolicyError
from rollouts.observation import Mode, Slot, Weights
from rollouts.policy import Policy, standing_in
from rollouts.rollout import Outcome, Phase


def remove(simulation: Simulation) -> None:
    """The service leaves the file."""
    left = Policy(services={}, channels=simulation.policy.channels)
    simulation.world = msgspec.structs.replace(simulation.world, policy=lambda: left)


@pytest.mark.parametrize("mode", ["observe", "advise"])
def test_a_service_that_leaves_the_file_stays_in_the_mode_that_it_had(begun, policy, mode):
    simulation = begun(policy=policy.replace("mode: act", f"mode: {mode}"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.pool.set(Weights.of(Slot.GREEN, 10))
    simulation.run(3)
    remove(simulation)
    simulation.run(60)
    assert simulation.rollout.verdict.kind == "safe"
    assert simulation.pool.writes == []
    assert simulation.marker.writes == []


def test_a_service_that_leaves_the_file_still_tells_its_channels_how_it_ended(begun):
    simulation = begun(Behaviour(late_failures=0.11))
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    remove(simulation)
    simulation.run(100, simulation.closed)
    assert simulation.kinds()[-1] == "rolled_back"


def test_a_push_looks_at_what_is_new_in_it_with_the_rights_of_the_function_app(begun, policy):
    """At what was there already it does not look: tuning works while API Management does not answer."""
    simulation = begun()
    simulation.pool.unreadable_until = simulation.now + 1000

    def pushed(text):
        return requests.push_config(simulation.world, text, requests.Who(actor="ada"))

    first = pushed(policy)
    told = "services.checkout.pool cannot be read by the function app: the pool does not answer"
    assert (first.version, first.warnings) == (1, [told])
    tuned = pushed(policy.replace("bake: 3s", "bake: 4s"))
    assert (tuned.version, tuned.warnings) == (2, [])
    elsewhere = pushed(policy.replace("pool: green-blue-pool", "pool: another-pool"))
    assert elsewhere.warnings == ["services.checkout.pool is another-pool; until now it was green-blue-pool", told]
    assert simulation.world.records.policy().version == 3, "told, not refused: its roles may come after it"


UNREADABLE = PolicyError(["services.checkout.stpes (line 9): got a key that nobody knows: write steps"])
ABSENT = Misconfigured("the policy file canary.yaml cannot be read (No such file or directory)")


def spoil(simulation: Simulation, why: CanaryError = UNREADABLE) -> None:
    """Neither the pushed policy nor the packaged one can be read any more."""

    def broken() -> Policy:
        raise why

    simulation.world = msgspec.structs.replace(simulation.world, policy=broken)


def test_a_policy_that_cannot_be_read_keeps_no_harmful_version_in_service(begun):
    """What runs goes back as it is pinned; its card waits for the file, and is told then."""
    simulation = begun(Behaviour(late_failures=0.11))
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    readable = simulation.world.policy
    spoil(simulation)
    simulation.run(100, simulation.closed)
    assert simulation.rollout.outcome is Outcome.ROLLED_BACK
    assert simulation.pool.writes[-1].share(Slot.GREEN) == 0
    assert "rolled_back" not in simulation.kinds()
    simulation.world = msgspec.structs.replace(simulation.world, policy=readable)
    simulation.run(3)
    assert simulation.kinds()[-1] == "rolled_back"


@pytest.mark.parametrize("why", [UNREADABLE, ABSENT], ids=["unreadable", "absent"])
def test_a_policy_that_cannot_be_read_does_not_stop_an_abort(begun, why):
    simulation = begun()
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP and simulation.rollout.share == 10)
    spoil(simulation, why)
    requests.act(simulation.world, "checkout", Command(kind=CommandKind.ABORT, actor="ada"))
    simulation.run(5, simulation.closed)
    assert simulation.rollout.outcome is Outcome.ABORTED
    assert simulation.pool.writes[-1].share(Slot.GREEN) == 0


@pytest.fixture
def upgraded(policy, tmp_path) -> Wiring:
    """A function app that was upgraded, and cannot read the policy any more that was pushed before."""
    (tmp_path / "canary.yaml").write_text(policy, encoding="utf-8")
    wiring = Wiring({"STATE_URL": f"sqlite://{tmp_path}/state.sqlite"}, tmp_path)
    wiring.records.push_policy(policy.replace("mode: act", "mode: observe\n    stpes: [10, 100]"), "ada", 1.0)
    return wiring


def test_a_packaged_policy_that_stands_in_for_a_pushed_one_moves_nothing_and_says_so(upgraded):
    for _ in range(3):
        service = upgraded.policy().services["checkout"]
    assert service.mode is Mode.ADVISE
    [incident] = upgraded.records.incidents(5)
    assert incident.kind == "bad_policy"
    assert "(version 1) cannot be read by this version: services.checkout.stpes" in incident.detail
    assert service.stands_in == incident.detail
    request = api.Request(params={}, query={}, body=b"", principal=None)
    held = json.loads(api.config(upgraded.world, request).body)
    assert (held["source"], held["yaml"]) == ("packaged", upgraded.packaged())
    assert "pushed version 1: services.checkout.stpes" in held["refused"][0]
    upgraded.records.push_policy(upgraded.packaged(), "ada", 2.0)
    assert upgraded.policy().services["checkout"].mode is Mode.ACT
    assert json.loads(api.config(upgraded.world, request).body)["refused"] == []


def stand_in(simulation: Simulation) -> None:
    """The pushed policy cannot be read any more."""
    packaged = standing_in(simulation.policy, "version 3 cannot be read")
    simulation.world = msgspec.structs.replace(simulation.world, policy=lambda: packaged)


def test_what_begins_under_a_policy_that_stands_in_is_advised_on_and_its_first_card_says_why(begun):
    simulation = begun()
    stand_in(simulation)
    simulation.run(5, lambda: simulation.rollout.closed)
    simulation.run(400, simulation.closed)
    simulation.deploy(simulation.marker.live.other, "1.2")
    before = len(simulation.pool.writes)
    simulation.announce("1.2")
    simulation.run(60)
    [card] = [one for _, one in simulation.told if one.kind == "started" and one.version == "1.2"]
    assert card.text.endswith("version 3 cannot be read")
    assert len(simulation.pool.writes) == before
    assert simulation.rollout.phase is Phase.STEP


def test_a_mode_that_changed_in_the_file_is_shown_at_once(begun, policy):
    """Not that of the last look; under a stand-in, what runs keeps its own."""
    simulation = begun()
    simulation.run(2)
    for changed, shown in (("observe", "observe"), ("act", "act")):
        now = load(policy.replace("mode: act", f"mode: {changed}"))
        simulation.world = msgspec.structs.replace(simulation.world, policy=lambda now=now: now)
        assert views.service(simulation.world, "checkout")["mode"] == shown
    stand_in(simulation)
    assert views.service(simulation.world, "checkout")["mode"] == "act"


def test_what_runs_keeps_its_mode_under_a_policy_that_stands_in(begun):
    """Else a harmful version would keep its users until somebody mends a file."""
    simulation = begun(Behaviour(late_failures=0.11))
    simulation.run(60, lambda: simulation.rollout.phase is Phase.STEP)
    stand_in(simulation)
    assert views.service(simulation.world, "checkout")["mode"] is Mode.ACT
    simulation.run(100, simulation.closed)
    assert views.service(simulation.world, "checkout")["mode"] is Mode.ADVISE
    assert simulation.rollout.outcome is Outcome.ROLLED_BACK
    assert simulation.pool.writes[-1].share(Slot.GREEN) == 0
    assert simulation.kinds()[-1] == "rolled_back"


def test_a_rollout_that_began_under_advice_gets_its_first_share_when_the_mode_becomes_act(begun, policy):
    simulation = begun(policy=policy.replace("mode: act", "mode: advise"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.run(3)
    requests.set_mode(simulation.world, "checkout", Mode.ACT, requests.Who(actor="ada"))
    simulation.apps[Slot.GREEN].healthy = False
    simulation.run(2)
    assert simulation.pool.writes == [], "its gate must be good now, not an hour ago"
    simulation.apps[Slot.GREEN].healthy = True
    simulation.run(400, simulation.closed)
    assert simulation.rollout.outcome is Outcome.PROMOTED
    assert [one.share(Slot.GREEN) for one in simulation.pool.writes] == [10, 50, 100]


def test_a_person_who_moves_the_marker_before_the_weights_is_no_bug_of_ours(begun, policy):
    simulation = begun(policy=policy.replace("mode: act", "mode: observe"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.marker.live = Slot.GREEN
    simulation.run(3)
    simulation.pool.set(Weights.of(Slot.GREEN, 100))
    simulation.run(3, lambda: simulation.rollout.phase is Phase.WATCH)
    assert simulation.rollout.phase is Phase.WATCH, simulation.rollout.reason
    assert simulation.world.records.incidents(5) == []


def test_a_marker_that_was_left_on_an_empty_slot_is_drift_when_the_mode_becomes_act(begun, policy):
    simulation = begun(policy=policy.replace("mode: act", "mode: observe"))
    simulation.run(20, lambda: simulation.rollout.phase is Phase.STEP)
    simulation.marker.live = Slot.GREEN
    simulation.run(3)
    requests.set_mode(simulation.world, "checkout", Mode.ACT, requests.Who(actor="ada"))
    simulation.run(3)
    assert simulation.rollout.hold is not None, simulation.rollout.reason
    assert simulation.rollout.hold.reason == "drift"
    assert simulation.pool.writes == []
