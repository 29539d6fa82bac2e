"""What is known of a version when its rollout begins stays with the rollout."""

from msgspec.structs import replace

from rollouts.decide import FirstLook, begin, settings
from rollouts.decision import Decision
from rollouts.observation import MarkerReading, Mode, PoolReading, Slot, Weights
from rollouts.policy import ServicePolicy
from rollouts.rollout import Announcement, HoldReason
from tests.storing.examples import START, pin

TOLD = Announcement(
    service="checkout",
    slot=Slot.GREEN,
    version="1.4.2",
    deployment_id="run-81",
    by="event:Canary.DeploymentCompleted",
    link="https://ci.example/81",
    commit="abc123",
    ask_before_rollback=True,
    at=START - 9,
)
CHECKOUT = ServicePolicy(
    name="checkout", preset="standard", mode=Mode.ACT, approvals=(50,), channels=("team",), pin=pin()
)


def begun(live: Slot) -> Decision:
    look = FirstLook(
        canary=Slot.GREEN,
        marker=MarkerReading(live=live, etag="7"),
        pool=PoolReading(weights=Weights.of(live, 100), etag="9"),
        now=START,
    )
    return begin(TOLD, CHECKOUT, "checkout-1", look)


def test_a_rollout_keeps_what_its_announcement_said() -> None:
    """Also that its way back must be asked about: the next tick knows the rollout alone, not the event."""
    decision = begun(Slot.BLUE)
    rollout = decision.rollout
    assert (rollout.service, rollout.version, rollout.deployment_id) == ("checkout", "1.4.2", "run-81")
    assert (rollout.started_by, rollout.announced_at, rollout.started_at) == (TOLD.by, TOLD.at, START)
    assert (rollout.link, rollout.commit, rollout.ask_before_rollback) == (TOLD.link, TOLD.commit, True)
    assert (rollout.share, rollout.marker, rollout.pin) == (0, Slot.BLUE, CHECKOUT.pin)
    assert rollout.marker_seen == MarkerReading(live=Slot.BLUE, etag="7")
    assert rollout.reason == decision.sentence == decision.notices[0].text
    assert decision.notices[0].link == TOLD.link
    assert decision.notices[0].id == f"checkout-1-{rollout.decisions}-started"


def test_on_the_live_slot_the_share_that_it_has_is_what_is_wanted() -> None:
    """Nothing else may ever be written for it: 0 would take every user away."""
    rollout = begun(Slot.GREEN).rollout
    assert (rollout.share, rollout.marker) == (100, Slot.GREEN)
    assert rollout.hold is not None
    assert rollout.hold.reason is HoldReason.DEPLOYED_TO_LIVE


def test_the_judge_is_asked_with_the_numbers_of_the_policy() -> None:
    """Each its own: alpha bounds false rollbacks, beta false promotions."""
    wanted = replace(pin(), alpha=0.02, beta=0.03, critical_operations=("POST /pay",), interval_seconds=10)
    asked = settings(wanted)
    assert (asked.alpha, asked.beta, asked.critical_operations) == (0.02, 0.03, ("POST /pay",))
    assert (asked.horizon, asked.stale_seconds) == ((2 * 7200 + 1800) // 10, 50)
