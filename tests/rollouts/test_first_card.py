"""The first card of a rollout says what weights do not govern."""

import yaml

from controller.config import load
from notifying.card import content
from rollouts.decide import FirstLook, begin
from rollouts.notice import Notice, NoticeKind
from rollouts.observation import MarkerReading, PoolReading, Slot, Weights
from rollouts.rollout import Announcement

APIM = (
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg/providers/Microsoft.ApiManagement/service/a"
)


def first(*, affinity: bool = False, **keys: str) -> Notice:
    """The notice of a rollout of 2.0.0 that begins on green."""
    slots = {
        slot.value: {"backend": f"{slot}-backend", "url": f"https://{slot}.example", "role_name": f"checkout-{slot}"}
        for slot in Slot
    }
    service = {"api_management": APIM, "pool": "pool", "workspace": "00000000-0000-0000-0000-000000000000"}
    channels = {"team": {"kind": "teams", "url_setting": "TEAMS_WEBHOOK_URL"}}
    tree = {"channels": channels, "services": {"checkout": {**service, "slots": slots, "notify": ["team"], **keys}}}
    look = FirstLook(
        canary=Slot.GREEN,
        marker=MarkerReading(live=Slot.BLUE, etag="1"),
        pool=PoolReading(weights=Weights.of(Slot.BLUE, 100), etag="1", session_affinity=affinity),
        now=1000.0,
    )
    told = Announcement(service="checkout", slot=Slot.GREEN, version="2.0.0", deployment_id="run-1", by="test")
    (notice,) = begin(told, load(yaml.safe_dump(tree)).services["checkout"], "checkout-1", look).notices
    assert notice.kind is NoticeKind.STARTED
    return notice


def test_queues_and_timers_that_the_policy_accepts_are_told() -> None:
    """They run in both slots from the moment of deployment."""
    assert "run in both slots already, whatever the weights say" in content(first(non_http="accepted")).text
    assert "non_http: accepted" in first(non_http="accepted").text


def test_a_service_of_http_alone_is_not_warned() -> None:
    for notice in (first(), first(non_http="refused")):
        assert "queues" not in notice.text


def test_session_affinity_is_told_beside_it() -> None:
    text = first(affinity=True, non_http="accepted").text
    assert "Session affinity is on in pool" in text
    assert "non_http: accepted" in text
