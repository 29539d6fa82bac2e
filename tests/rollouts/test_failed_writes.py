"""A write that failed: what is told of it, and what is kept."""

import pytest

from rollouts import limits
from rollouts.decide import write_failed
from rollouts.notice import NoticeKind
from rollouts.observation import Failed, MarkerReading, Mode, Observation, PoolReading, Slot, Standing, Weights
from rollouts.rollout import Outcome, Phase, Rollout
from tests.storing.examples import START, rollout

ROLLING_BACK: Rollout = rollout(
    phase=Phase.CLOSING, outcome=Outcome.ROLLED_BACK, share=0, shares=(10, 50), reason="checkout 1.4.2 is rolled back"
)


def seen(pool: PoolReading | Failed) -> Observation:
    standing = Standing(mode=Mode.ACT, channels=("team",))
    live = MarkerReading(live=Slot.BLUE, etag="1")
    return Observation(pool=pool, marker=live, telemetry=None, probes={}, standing=standing)


UNREAD = seen(Failed(what="pool", detail="503"))


def test_the_second_failure_is_told_with_what_users_have_and_no_other_is() -> None:
    """The share that was read last is the newest, not the first."""
    before, told = ROLLING_BACK, []
    for _ in range(4):
        decision = write_failed(before, UNREAD, "429 Too Many Requests", START)
        told.append(decision.notices)
        before = decision.rollout
    assert [len(one) for one in told] == [0, 1, 0, 0]
    assert told[1][0].kind is NoticeKind.NOT_CARRIED_OUT
    assert "green had 50 % when the pool was last read. 2 attempts failed: 429 Too Many Requests" in told[1][0].text
    assert before.write_failures == 4


@pytest.mark.parametrize("share", [0, 50])
def test_a_pool_that_was_read_needs_no_memory(share: int) -> None:
    read = seen(PoolReading(weights=Weights.of(Slot.GREEN, share), etag="1"))
    first = write_failed(ROLLING_BACK, read, "503", START).rollout
    [notice] = write_failed(first, read, "503", START).notices
    assert "when the pool was last read" not in notice.text
    assert notice.weights == Weights.of(Slot.GREEN, share)


def test_the_others_words_are_kept_as_short_as_any_text_from_outside() -> None:
    after = write_failed(ROLLING_BACK, UNREAD, "x" * 9000, START).rollout
    assert after.write_error == "x" * limits.DETAIL_CHARACTERS
