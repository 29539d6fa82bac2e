"""The outbox is drained at least once, in order, and nothing waits for a dead channel."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab.chat import Chat, Fault, Kind, broken, shown, throttled
from notifying.channels import open_channel
from notifying.outbox import CLAIM_SECONDS, GIVE_UP_SECONDS, SENDS, Sender, drain
from rollouts.errors import Unavailable
from rollouts.notice import Notice
from rollouts.policy import Channel
from storing.entries import Outgoing
from storing.keys import partition
from storing.outbox import outgoing
from storing.records import Records
from storing.sqlite import SqliteStore
from tests.notifying.conftest import AT, identity, notice

CHANNELS = {
    "team": Channel(name="team", kind="teams", url_setting="TEAMS_WEBHOOK_URL"),
    "audit": Channel(name="audit", kind="slack", url_setting="SLACK_WEBHOOK_URL"),
}


@pytest.fixture
def records(tmp_path: Path) -> Iterator[Records]:
    records = Records(SqliteStore(tmp_path / "state.db", "canary"))
    yield records
    records.close()


def numbered(count: int, first: int = 0) -> list[Notice]:
    return [
        notice(id=f"n{number}", text=f"number {number}", channels=("team", "audit"))
        for number in range(first, first + count)
    ]


def seen(chat: Chat, kind: Kind) -> list[str]:
    """The numbers that people of one chat saw, in order."""
    return [part for post in chat.taken(kind) for part in shown(post).split("\n") if part.startswith("number ")]


@pytest.fixture
def opened(settings: dict[str, str]) -> Callable[[Channel], Sender]:
    return lambda channel: open_channel(channel, settings, identity)


class Drainer:
    """Drains as a tick does."""

    def __init__(self, records: Records, opened: Callable[[Channel], Sender]) -> None:
        self.records, self.opened, self.channels = records, opened, CHANNELS

    def __call__(self, now: float = AT) -> list[Outgoing]:
        return drain(self.records, "checkout", self.channels, self.opened, now)


def queue(records: Records, notices: list[Notice], at: float) -> None:
    """Notices in the outbox, as a decision puts them there."""
    records.store.commit(partition("checkout"), outgoing("checkout", notices, at))


@pytest.fixture
def tick(records: Records, opened: Callable[[Channel], Sender]) -> Drainer:
    return Drainer(records, opened)


def test_every_notice_is_sent_once_to_each_channel_in_order(tick: Drainer, records: Records, chat: Chat) -> None:
    queue(records, numbered(3), AT)
    sent = tick()
    assert len(sent) == 6
    for kind in (Kind.TEAMS, Kind.SLACK):
        assert seen(chat, kind) == ["number 0", "number 1", "number 2"]
    assert records.outbox_empty("checkout")
    assert {one.sent_at for one in records.notices("checkout", notice().rollout)} == {AT}
    assert tick() == []
    assert len(chat.posts) == 6


def test_one_channels_trouble_is_not_the_others(tick: Drainer, records: Records, chat: Chat) -> None:
    chat.play(Kind.TEAMS, broken())
    queue(records, numbered(3), AT)
    assert len(tick()) == 3
    assert seen(chat, Kind.TEAMS) == []
    assert seen(chat, Kind.SLACK) == ["number 0", "number 1", "number 2"]
    waiting = records.outbox("checkout")
    assert [(one.channel, one.attempts) for one in waiting] == [("team", 1), ("team", 0), ("team", 0)]
    assert "503" in str(waiting[0].error), "its error is there to be seen"


def test_a_failed_channel_keeps_its_order(tick: Drainer, records: Records, chat: Chat) -> None:
    chat.play(Kind.TEAMS, broken())
    queue(records, numbered(2), AT)
    tick()
    queue(records, numbered(1, first=2), AT + 1)
    tick(AT + 1)
    assert seen(chat, Kind.TEAMS) == [], "the first is not due, so the others wait"
    tick(AT + 60)
    assert seen(chat, Kind.TEAMS) == ["number 0", "number 1", "number 2"]


@pytest.mark.parametrize("status", [400, 413, 422])
def test_a_notice_that_is_not_taken_holds_up_none_of_the_others(
    tick: Drainer, records: Records, chat: Chat, status: int
) -> None:
    """A receiver with a schema of its own refused one kind of notice: a rollback waited behind it for a day."""
    chat.play(Kind.TEAMS, Fault(status=status, text="no such kind"))
    queue(records, numbered(2), AT)
    tick()
    assert seen(chat, Kind.TEAMS) == ["number 1"]
    (waiting,) = records.outbox("checkout")
    assert f"{status} (no such kind): it does not take this message" in str(waiting.error)
    tick(AT + 600)
    assert seen(chat, Kind.TEAMS) == ["number 1", "number 0"], "the receiver was mended"


def test_retry_after_is_honoured(tick: Drainer, records: Records, chat: Chat) -> None:
    chat.play(Kind.TEAMS, throttled("120"))
    queue(records, numbered(1), AT)
    for later in (0, 60, 119):
        tick(AT + later)
    assert len([post for post in chat.posts if post.kind is Kind.TEAMS]) == 1
    tick(AT + 120)
    assert seen(chat, Kind.TEAMS) == ["number 0"]


def test_attempts_become_rarer(tick: Drainer, records: Records, chat: Chat) -> None:
    chat.play(Kind.TEAMS, *[broken()] * 100)
    queue(records, numbered(1), AT)
    for minute in range(120):
        tick(AT + 60 * minute)
    attempts = [post for post in chat.posts if post.kind is Kind.TEAMS]
    assert 8 <= len(attempts) <= 16


def test_one_tick_sends_a_bounded_number(tick: Drainer, records: Records, chat: Chat) -> None:
    queue(records, numbered(SENDS + 2), AT)
    assert len(tick()) == 2 * SENDS
    assert len(tick()) == 2 * 2
    assert seen(chat, Kind.SLACK) == [f"number {number}" for number in range(SENDS + 2)]


def test_a_missing_setting_is_visible_and_mended_later(
    tick: Drainer, records: Records, chat: Chat, settings: dict[str, str]
) -> None:
    url = settings.pop("TEAMS_WEBHOOK_URL")
    queue(records, numbered(1), AT)
    tick()
    assert seen(chat, Kind.SLACK) == ["number 0"]
    assert "TEAMS_WEBHOOK_URL is not set" in str(records.outbox("checkout")[0].error)
    settings["TEAMS_WEBHOOK_URL"] = url
    tick(AT + 3600)
    assert seen(chat, Kind.TEAMS) == ["number 0"]


def test_a_dead_webhook_is_given_up_after_a_day(tick: Drainer, records: Records, chat: Chat) -> None:
    """So that a closed rollout does not keep its service awake for ever; the error stays visible."""
    chat.play(Kind.TEAMS, *[Fault(status=404)] * 1000)
    queue(records, numbered(2), AT)
    hours = 0
    while not records.outbox_empty("checkout"):
        tick(AT + 3600 * hours)
        hours += 1
        assert hours <= 26
    assert AT + 3600 * (hours - 1) >= AT + GIVE_UP_SECONDS
    lost = [one for one in records.notices("checkout", notice().rollout) if one.channel == "team"]
    assert [one.sent_at for one in lost] == [None, None]
    assert all("TEAMS_WEBHOOK_URL" in str(one.error) and one.failed_at for one in lost)


def test_a_late_first_attempt_is_still_made(tick: Drainer, records: Records, chat: Chat) -> None:
    queue(records, numbered(1), AT)
    tick(AT + 2 * GIVE_UP_SECONDS)
    assert seen(chat, Kind.TEAMS) == ["number 0"]


def test_a_channel_that_left_the_policy_is_given_up_at_once(tick: Drainer, records: Records, chat: Chat) -> None:
    tick.channels = {"audit": CHANNELS["audit"]}
    queue(records, numbered(2), AT)
    assert len(tick()) == 2
    assert records.outbox_empty("checkout")
    lost = [one for one in records.notices("checkout", notice().rollout) if one.channel == "team"]
    assert {one.error for one in lost} == {"channel team is not in the policy any more"}


def test_two_ticks_at_once_send_each_notice_once(
    records: Records, opened: Callable[[Channel], Sender], chat: Chat
) -> None:
    """The second tick runs while the first is in the middle of its first message."""
    queue(records, numbered(2), AT)

    class Overlapping:
        def __init__(self, inner: Sender) -> None:
            self.inner = inner

        def send(self, one: Notice) -> None:
            drain(records, "checkout", CHANNELS, opened, AT + 1)
            self.inner.send(one)

    drain(records, "checkout", CHANNELS, lambda channel: Overlapping(opened(channel)), AT)
    for kind in (Kind.TEAMS, Kind.SLACK):
        assert sorted(seen(chat, kind)) == ["number 0", "number 1"]


def test_a_process_that_dies_after_sending_sends_again(
    tick: Drainer, records: Records, chat: Chat, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At least once: never lost, and the claim of the dead is over after a minute."""
    queue(records, numbered(1), AT)

    class Killed(BaseException):
        pass

    def killed(*_: object) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(records, "sent", killed)
        with pytest.raises(Killed):
            tick()
    tick(AT + CLAIM_SECONDS - 1)
    assert seen(chat, Kind.TEAMS) == ["number 0"], "nobody knows yet that it died"
    tick(AT + CLAIM_SECONDS)
    assert seen(chat, Kind.TEAMS) == ["number 0", "number 0"]
    assert records.outbox_empty("checkout") is True


def test_a_bug_in_one_channel_silences_no_other(tick: Drainer, records: Records, chat: Chat) -> None:
    opened = tick.opened

    class Buggy:
        def send(self, one: Notice) -> None:
            raise KeyError("https://hooks.example/secret")

    tick.opened = lambda channel: Buggy() if channel.name == "team" else opened(channel)
    queue(records, numbered(1), AT)
    tick()
    assert seen(chat, Kind.SLACK) == ["number 0"]
    assert records.outbox("checkout")[0].error == "channel team: KeyError, a bug"


def test_a_state_that_is_away_is_not_hidden(tick: Drainer, records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    queue(records, numbered(1), AT)

    def away(*_: object) -> None:
        raise Unavailable("the state does not answer")

    monkeypatch.setattr(records, "claim", away)
    with pytest.raises(Unavailable, match="state"):
        tick()
