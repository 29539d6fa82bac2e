"""Each channel delivers over real HTTP, tells later from never, and never tells its URL."""

import http.client
import json
import logging
import socket
import threading
import traceback
from collections.abc import Callable

import pytest

from lab.chat import Chat, Fault, Kind, broken, hidden, throttled
from lab.event_grid import CLOUD_EVENTS, EVENT_GRID, Topic
from lab.serving import Authority, Serving
from notifying.channels import open_channel
from notifying.outbox import Sender
from notifying.waiting import Throttled
from notifying.webhook import SIGNATURE, signature
from rollouts.errors import CanaryError, Misconfigured, Unavailable
from rollouts.policy import Channel
from tests.notifying.conftest import SETTINGS, identity, notice

Open = Callable[[str], Sender]
CHATS = [kind.value for kind in Kind]


@pytest.mark.parametrize("kind", CHATS)
def test_a_notice_arrives_as_the_chat_wants_it(sender: Open, chat: Chat, kind: str) -> None:
    sender(kind).send(notice())
    (post,) = chat.posts
    assert (post.kind, post.taken) == (kind, True)
    assert post.headers["content-type"] == "application/json"


def test_a_notice_becomes_an_event(sender: Open, topic: Topic) -> None:
    sender("event_grid").send(notice())
    (event,) = topic.events
    assert (event["type"], event["id"], event["specversion"]) == ("Canary.Notice", notice().id, "1.0")
    assert (event["source"], event["subject"]) == ("/flex-canary/checkout", notice().rollout)
    assert event["data"]["title"] == "checkout 1.4.2: rolled back"


def test_a_topic_takes_its_key_where_one_is_set(settings: dict[str, str], topic: Topic) -> None:
    channel = Channel(name="team", kind="event_grid", url_setting="TOPIC_URL")

    def nobody() -> None:
        raise AssertionError("the key is enough")

    open_channel(channel, settings | {"TOPIC_URL_KEY": topic.key}, nobody).send(notice())  # type: ignore[arg-type]
    assert len(topic.events) == 1
    with pytest.raises(Misconfigured, match=r"EventGrid Data Sender.*TOPIC_URL_KEY"):
        open_channel(channel, settings | {"TOPIC_URL_KEY": "wrong"}, identity).send(notice())


def test_the_webhooks_messages_are_signed_where_a_secret_is_set(
    sender: Open, chat: Chat, settings: dict[str, str]
) -> None:
    sender("webhook").send(notice())
    del settings["WEBHOOK_URL_SECRET"]
    sender("webhook").send(notice())
    signed, bare = chat.posts
    assert signed.headers[SIGNATURE] == signature(chat.signing_secret, signed.raw)
    assert SIGNATURE not in bare.headers
    assert json.loads(signed.raw)["id"] == signed.headers["x-canary-notice"] == notice().id


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize(("asked", "seconds"), [("7", 7.0), ("0.5", 0.5), (None, None), ("soon", None)])
def test_too_many_messages_wait_as_long_as_they_are_told(
    sender: Open, chat: Chat, kind: str, asked: str | None, seconds: float | None
) -> None:
    chat.play(Kind(kind), throttled(asked))
    with pytest.raises(Throttled, match="429") as caught:
        sender(kind).send(notice())
    assert caught.value.seconds == seconds
    assert chat.taken() == []


def test_a_429_that_old_teams_hides_in_a_200_is_seen(sender: Open, chat: Chat) -> None:
    chat.play(Kind.TEAMS, hidden(429), hidden(413))
    with pytest.raises(Throttled):
        sender("teams").send(notice())
    with pytest.raises(Misconfigured, match="413"):
        sender("teams").send(notice())


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("status", [408, 500, 502, 503, 504, 520])
def test_a_chat_that_is_not_well_is_tried_later(sender: Open, chat: Chat, kind: str, status: int) -> None:
    chat.play(Kind(kind), broken(status))
    with pytest.raises(Unavailable, match=f"team .*{status}") as caught:
        sender(kind).send(notice())
    assert not isinstance(caught.value, Throttled)
    assert len(chat.posts) == 1, "one request: the outbox decides about another"


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("status", [301, 400, 401, 403, 404, 410, 413])
def test_what_will_never_work_names_the_setting(sender: Open, chat: Chat, kind: str, status: int) -> None:
    chat.play(Kind(kind), Fault(status=status, text="no", headers={"Location": "/other"}))
    with pytest.raises(Misconfigured, match=f"{SETTINGS[kind]}.*{status}"):
        sender(kind).send(notice())
    assert len(chat.posts) == 1, "a redirect is not followed"


@pytest.mark.parametrize("kind", CHATS)
def test_a_chat_that_drops_the_connection_is_tried_later(sender: Open, chat: Chat, kind: str) -> None:
    chat.play(Kind(kind), Fault(refuse=True))
    with pytest.raises(Unavailable, match="does not answer"):
        sender(kind).send(notice())


@pytest.mark.parametrize("kind", CHATS)
def test_a_chat_that_is_slow_is_not_waited_for(
    sender: Open, chat: Chat, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("notifying.post.READ_SECONDS", 0.2)
    chat.play(Kind(kind), Fault(seconds=1.0))
    with pytest.raises(Unavailable, match="does not answer"):
        sender(kind).send(notice())


@pytest.mark.parametrize(
    ("status", "headers", "error", "said"),
    [
        (429, {"Retry-After": "9"}, Throttled, "429"),
        (503, {}, Unavailable, "503"),
        (500, {}, Unavailable, "500"),
        (404, {}, Misconfigured, "TOPIC_URL"),
        (403, {}, Misconfigured, "EventGrid Data Sender"),
    ],
)
def test_a_topic_that_says_no(
    sender: Open, topic: Topic, status: int, headers: dict[str, str], error: type[CanaryError], said: str
) -> None:
    topic.faults += [(status, headers)] * 3
    with pytest.raises(error, match=said) as caught:
        sender("event_grid").send(notice())
    assert len(topic.faults) == 2, "the client's own retries are off"
    if isinstance(caught.value, Throttled):
        assert caught.value.seconds == 9


def test_a_topic_of_the_other_schema_is_told_from_a_wrong_endpoint(sender: Open, topic: Topic) -> None:
    """Event Grid's own schema is what a topic gets where nobody chooses."""
    topic.takes = frozenset({EVENT_GRID})
    with pytest.raises(Misconfigured, match=r"TOPIC_URL.*400.*CloudEventSchemaV1_0"):
        sender("event_grid").send(notice())
    topic.takes = frozenset({CLOUD_EVENTS})
    sender("event_grid").send(notice())
    assert len(topic.events) == 1


FAULTS = [
    throttled(),
    broken(),
    hidden(),
    Fault(refuse=True),
    Fault(status=404, text="no_service"),
    Fault(status=302, headers={"Location": "/"}),
]


@pytest.mark.parametrize("kind", CHATS)
@pytest.mark.parametrize("fault", FAULTS)
def test_the_url_is_never_told(
    sender: Open, chat: Chat, kind: str, fault: Fault, caplog: pytest.LogCaptureFixture
) -> None:
    """Not in the message, not in the trace of what caused it, not in a log at any level."""
    caplog.set_level(logging.DEBUG)
    chat.play(Kind(kind), fault)
    with pytest.raises(CanaryError) as caught:
        sender(kind).send(notice())
    told = "".join(traceback.format_exception(caught.value)) + caplog.text + repr(vars(sender(kind)))
    assert chat.secret not in told
    assert "127.0.0.1" not in told
    assert SETTINGS[kind] in str(caught.value)


@pytest.mark.parametrize(
    "answer",
    [
        b"Content-Length: 40\r\n\r\nok",
        b"Transfer-Encoding: chunked\r\n\r\n40\r\nok",
        b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\nok",
        b"Content-Length: 2\r\nno header\r\n\r\nok",
    ],
)
def test_what_was_taken_is_not_sent_again_because_its_answer_is_broken(
    authority: Authority, serving: Serving, caplog: pytest.LogCaptureFixture, answer: bytes
) -> None:
    """Each time again for a day, the same card: nor does a malformed answer bring the URL into a log."""
    caplog.set_level(logging.DEBUG)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=answer_once, args=(authority, listening, answer), daemon=True).start()
        url = f"https://127.0.0.1:{listening.getsockname()[1]}/a-secret-path?sig=a-secret"
        channel = Channel(name="team", kind="teams", url_setting="TEAMS_WEBHOOK_URL")
        open_channel(channel, {"TEAMS_WEBHOOK_URL": url}, identity).send(notice())
    assert "a-secret" not in caplog.text


def answer_once(authority: Authority, listening: socket.socket, rest: bytes) -> None:
    """Take one request, whole, and answer 202 with `rest`."""
    connection, _ = listening.accept()
    with authority.context().wrap_socket(connection, server_side=True) as secured:
        reader = secured.makefile("rb")
        reader.readline()
        reader.read(int(http.client.parse_headers(reader)["content-length"]))
        secured.sendall(b"HTTP/1.1 202 Accepted\r\n" + rest)


@pytest.mark.parametrize("kind", CHATS)
def test_an_answer_that_repeats_the_url_is_cleaned(
    sender: Open, chat: Chat, kind: str, settings: dict[str, str]
) -> None:
    url = settings[SETTINGS[kind]]
    for text in (f"no route {url}", f"token {chat.secret} is unknown", "x" * 5000):
        chat.play(Kind(kind), Fault(status=400, text=text))
        with pytest.raises(Misconfigured) as caught:
            sender(kind).send(notice())
        assert chat.secret not in str(caught.value)
        assert len(str(caught.value)) < 400


@pytest.mark.parametrize("kind", SETTINGS)
@pytest.mark.parametrize(
    "value",
    [
        None,
        "",
        "  ",
        "hooks.example/secret",
        "http://hooks.example/secret",
        "https://",
        "https://[secret",
        "https://h:99999/secret",
        "https://h/se cret",
    ],
)
def test_a_missing_or_wrong_setting_is_named_and_not_shown(
    sender: Open, settings: dict[str, str], kind: str, value: str | None
) -> None:
    settings.pop(SETTINGS[kind])
    if value is not None:
        settings[SETTINGS[kind]] = value
    with pytest.raises(Misconfigured, match=f"channel team: {SETTINGS[kind]}") as caught:
        sender(kind)
    assert "secret" not in "".join(traceback.format_exception(caught.value)).replace("Misconfigured", "")


@pytest.mark.parametrize("url", ["https://127.0.0.1:9/a-secret-path?sig=a-secret", "https://a-secret.invalid/x"])
def test_nobody_at_the_other_end(url: str) -> None:
    for kind, setting in SETTINGS.items():
        channel = Channel(name="team", kind=kind, url_setting=setting)  # type: ignore[arg-type]
        target = {setting: url, f"{setting}_KEY": "a-secret"}
        with pytest.raises(Unavailable, match=f"channel team .{setting}. does not answer") as caught:
            open_channel(channel, target, identity).send(notice())
        assert "a-secret" not in "".join(traceback.format_exception(caught.value))
