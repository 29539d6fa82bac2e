"""`canary shift --direct`, the break-glass path, over https against the lab's ARM, as when the analyzer is dead."""

import json
from pathlib import Path

import pytest

from lab.arm import Arm, Break, Fault
from lab.serving import Serving
from lab.tokens import Tokens
from tests.cli.conftest import Canary

ROOT = Path(__file__).parents[2]
APIM = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/checkout"
    "/providers/Microsoft.ApiManagement/service/checkout-gateway"
)
POOL, MARKER = f"{APIM}/backends/green-blue-pool", f"{APIM}/namedValues/current-slot-name"


@pytest.fixture
def arm(secure: Serving, identity: Tokens, monkeypatch: pytest.MonkeyPatch) -> Arm:
    """API Management with canary.yaml's pool, all on blue, which is live; nothing else answers."""
    arm = Arm()
    for slot in ("blue", "green"):
        arm.backend(APIM, f"{slot}-backend")
    arm.pool(APIM, "green-blue-pool", {"blue-backend": 100, "green-backend": 0})
    arm.named_value(APIM, "current-slot-name", "blue")
    monkeypatch.setenv("ARM_URL", secure.serve(arm.app()))
    monkeypatch.setenv("ARM_POLL_SECONDS", "0.02")
    monkeypatch.setenv("CANARY_POLICY", str(ROOT / "canary.yaml"))
    return arm


def shift(canary: Canary, share: int, *more: str) -> int:
    return canary("shift", "checkout", str(share), "--direct", *more).exit_code


def state(arm: Arm) -> tuple[int | None, int | None, str]:
    weights = arm.weights(POOL)
    return weights["blue-backend"], weights["green-backend"], arm.value(MARKER)


def writes(arm: Arm) -> list[str]:
    return [one.path.rsplit("/", 1)[1] for one in arm.requests() if one.method in ("PUT", "PATCH")]


def test_shares_below_100_move_the_pool_alone(arm: Arm, canary: Canary) -> None:
    """Without --slot it is the share of the slot that is not live."""
    assert [shift(canary, 10), state(arm)] == [0, (90, 10, "blue")]
    assert [shift(canary, 50), state(arm)] == [0, (50, 50, "blue")]
    assert [shift(canary, 0), state(arm)] == [0, (100, 0, "blue")]


def test_at_100_the_marker_follows_the_pool(arm: Arm, canary: Canary) -> None:
    """Pool first, marker second, and nothing a third time."""
    shift(canary, 50)
    assert [shift(canary, 100), state(arm)] == [0, (0, 100, "green")]
    assert writes(arm) == ["green-blue-pool", "green-blue-pool", "current-slot-name"]


@pytest.mark.parametrize("slot", ["blue", "green"])
@pytest.mark.parametrize("share", [0, 1, 50, 99, 100])
def test_it_may_be_repeated(arm: Arm, canary: Canary, slot: str, share: int) -> None:
    """The second time finds it so, writes nothing and ends well: a pipeline may retry."""
    assert shift(canary, share, "--slot", slot) == 0
    before, count = state(arm), len(writes(arm))
    assert shift(canary, share, "--slot", slot) == 0
    assert (state(arm), len(writes(arm))) == (before, count)


def test_back_to_the_old_slot_after_100(arm: Arm, canary: Canary) -> None:
    """0 for the slot that went live: all to the other one, then the marker back to it."""
    shift(canary, 100, "--slot", "green")
    assert [shift(canary, 0, "--slot", "green"), state(arm)] == [0, (100, 0, "blue")]
    assert writes(arm)[-2:] == ["green-blue-pool", "current-slot-name"]


def test_in_the_other_direction(arm: Arm, canary: Canary) -> None:
    """With green live, it is blue's share."""
    shift(canary, 100, "--slot", "green")
    assert [shift(canary, 10), state(arm)] == [0, (10, 90, "green")]


def test_100_from_rest_must_name_the_slot(arm: Arm, canary: Canary) -> None:
    """Without a name a retry of a finished switch would be a switch back."""
    result = canary("shift", "checkout", "100", "--direct")
    assert (result.exit_code, writes(arm)) == (2, [])
    assert "--slot green" in result.stderr


@pytest.mark.parametrize("kind", [Break.STATUS, Break.DROP])
def test_when_the_pool_cannot_be_written_the_marker_does_not_move(arm: Arm, canary: Canary, kind: Break) -> None:
    """Exit code 4; the next try finishes."""
    broken = arm.break_with(Fault(kind=kind, method="PUT", path="backends", status=503, retry_after="0"))
    assert [shift(canary, 100, "--slot", "green"), state(arm)] == [4, (100, 0, "blue")]
    arm.mend(broken)
    assert [shift(canary, 100, "--slot", "green"), state(arm)] == [0, (0, 100, "green")]


def test_when_the_pool_reads_back_as_something_else_the_marker_does_not_move(arm: Arm, canary: Canary) -> None:
    """Somebody else writes at the same time: 100 was not reached, so nothing is switched."""

    def meddle() -> None:
        if arm.weights(POOL)["green-backend"] == 100:
            arm.set_weights(POOL, {"blue-backend": 70, "green-backend": 30})

    arm.break_with(Fault(kind=Break.MEDDLE, method="GET", path="backends", meddle=meddle))
    result = canary("shift", "checkout", "100", "--slot", "green", "--direct")
    assert (result.exit_code, state(arm)) == (1, (70, 30, "blue"))
    assert "read back as blue 70 / green 30" in result.stderr


def test_when_the_marker_cannot_be_written_a_repetition_finishes(arm: Arm, canary: Canary) -> None:
    """The pool is at 100 already: only the marker is written."""
    broken = arm.break_with(Fault(kind=Break.OPERATION, method="PATCH", path="namedValues"))
    assert [shift(canary, 100, "--slot", "green"), state(arm)] == [4, (0, 100, "blue")]
    arm.mend(broken)
    assert [shift(canary, 100, "--slot", "green"), state(arm)] == [0, (0, 100, "green")]


def test_a_missing_role_is_told(arm: Arm, canary: Canary) -> None:
    """The exact permission, exit code 1."""
    arm.break_with(Fault(kind=Break.STATUS, method="PUT", path="backends", status=403, code="AuthorizationFailed"))
    result = canary("shift", "checkout", "10", "--direct")
    assert result.exit_code == 1
    assert "Microsoft.ApiManagement/service/backends/write" in result.stderr


@pytest.mark.parametrize("share", [0, 10, 100])
def test_the_pool_of_a_named_slot_does_not_wait_for_the_marker(arm: Arm, canary: Canary, share: int) -> None:
    """Users come first; what is done and what is not is said, and a repetition finishes."""
    arm.set_weights(POOL, {"blue-backend": 50, "green-backend": 50})
    arm.set_value(MARKER, "purple")
    result = canary("shift", "checkout", str(share), "--slot", "green", "--direct")
    assert (result.exit_code, state(arm)) == (1, (100 - share, share, "purple"))
    assert f"the pool gives blue {100 - share} / green {share} now" in result.stderr
    assert "'purple'" in result.stderr
    arm.set_value(MARKER, "blue")
    assert shift(canary, share, "--slot", "green") == 0


def test_what_comes_next_is_said_and_never_how_to_bring_it_back(arm: Arm, canary: Canary) -> None:
    """After 0 for the bad version the last command on the screen must not give it all the traffic."""
    arm.set_weights(POOL, {"blue-backend": 90, "green-backend": 10})
    taken_out = canary("shift", "checkout", "0", "--slot", "green", "--direct").stderr
    assert "ends as aborted when its canary is at 0" in taken_out
    assert "--direct" not in taken_out
    given = canary("shift", "checkout", "10", "--slot", "green", "--direct").stderr
    assert "canary shift checkout 0 --slot green --direct" in given


def test_an_unknown_marker_stops_everything_where_no_slot_is_named(arm: Arm, canary: Canary) -> None:
    """Which slot is live is not guessed."""
    arm.set_value(MARKER, "purple")
    result = canary("shift", "checkout", "10", "--direct")
    assert (result.exit_code, writes(arm)) == (1, [])
    assert "'purple'" in result.stderr


def test_a_service_that_the_policy_does_not_have_is_bad_input(arm: Arm, canary: Canary) -> None:
    """With the names that it has."""
    result = canary("shift", "basket", "10", "--direct")
    assert (result.exit_code, arm.requests()) == (2, [])
    assert "it has checkout" in result.stderr


def test_json_tells_what_was_read_back(arm: Arm, canary: Canary) -> None:
    """Weights, marker, and what was written."""
    told = json.loads(canary("shift", "checkout", "100", "--slot", "green", "--direct", "--json").stdout)
    assert told == {
        "service": "checkout",
        "slot": "green",
        "weights": {"blue": 0, "green": 100},
        "marker": "green",
        "wrote": ["pool", "marker"],
    }
