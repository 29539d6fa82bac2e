"""`canary announce` publishes one CloudEvent with the real Event Grid client, over https, to the lab's topic."""

import json

import pytest

from lab.event_grid import Topic
from lab.serving import Serving
from lab.tokens import Tokens
from tests.cli.conftest import Canary

LINE = ("--service", "checkout", "--version", "1.4.2", "--slot", "green", "--deployment-id", "run-7")
DATA = {
    "service": "checkout",
    "slot": "green",
    "version": "1.4.2",
    "deploymentId": "run-7",
    "commit": None,
    "link": None,
    "retry": False,
    "rollback": "auto",
}


@pytest.fixture
def topic(secure: Serving, identity: Tokens, monkeypatch: pytest.MonkeyPatch) -> Topic:
    """A topic that the environment names."""
    topic = Topic()
    monkeypatch.setenv("CANARY_TOPIC", f"{secure.serve(topic.app())}/api/events")
    monkeypatch.delenv("CANARY_TOPIC_KEY", raising=False)
    return topic


def test_the_event_is_the_documented_one(topic: Topic, canary: Canary, identity: Tokens) -> None:
    """CloudEvents 1.0, the pinned type and data, signed by the machine's identity."""
    result = canary("announce", *LINE)
    assert result.exit_code == 0
    (event,) = topic.events
    assert (event["specversion"], event["type"]) == ("1.0", "Canary.DeploymentCompleted")
    assert (event["id"], event["subject"]) == ("checkout/green/run-7", "services/checkout/slots/green")
    assert event["data"] == DATA
    assert identity.asked == [("https://eventgrid.azure.net", None)]
    assert "canary wait --service checkout --version 1.4.2 --deployment-id run-7" in result.stderr


def test_every_option_reaches_the_event(topic: Topic, canary: Canary) -> None:
    """Commit, link, retry and a migration that must not go back by itself."""
    more = ("--commit", "abc123", "--link", "https://ci.example/7", "--retry", "--rollback", "ask")
    told = json.loads(canary("announce", *LINE, *more, "--json").stdout)
    wanted = DATA | {"commit": "abc123", "link": "https://ci.example/7", "retry": True, "rollback": "ask"}
    assert topic.events[0]["data"] == told["data"] == wanted


def test_the_same_announcement_twice_has_the_same_id(topic: Topic, canary: Canary) -> None:
    """So that a repeated pipeline step can be told from a new deployment."""
    assert [canary("announce", *LINE).exit_code for _ in range(2)] == [0, 0]
    first, second = topic.events
    assert (first["id"], first["data"]) == (second["id"], second["data"])


def test_a_key_serves_where_there_is_no_identity(
    topic: Topic, canary: Canary, identity: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And it is in no message, also when it is refused."""
    monkeypatch.setenv("CANARY_TOPIC_KEY", topic.key)
    assert canary("announce", *LINE).exit_code == 0
    assert identity.asked == []
    monkeypatch.setenv("CANARY_TOPIC_KEY", "WRONG-KEY")
    result = canary("announce", *LINE)
    assert result.exit_code == 1
    assert "EventGrid Data Sender" in result.stderr
    assert "WRONG-KEY" not in result.output


@pytest.mark.parametrize(
    ("status", "code", "said"),
    [
        (403, 1, "EventGrid Data Sender"),
        (404, 2, "CANARY_TOPIC"),
        (400, 1, "CloudEvents"),
        (413, 1, "CloudEvents"),
    ],
)
def test_a_refusal_says_what_mends_it(topic: Topic, canary: Canary, status: int, code: int, said: str) -> None:
    """By whose fault it is."""
    topic.faults.append((status, {}))
    result = canary("announce", *LINE)
    assert said in result.stderr
    assert (result.exit_code, topic.events) == (code, [])


def test_one_lost_answer_is_asked_again(topic: Topic, canary: Canary) -> None:
    """A deployment does not fail for a busy topic."""
    topic.faults.append((503, {"Retry-After": "0"}))
    assert canary("announce", *LINE).exit_code == 0
    assert len(topic.events) == 1


def test_a_topic_that_stays_away_is_unreachable(topic: Topic, canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4."""
    monkeypatch.setattr("cli.announce.ATTEMPTS", 1)
    monkeypatch.setenv("CANARY_TOPIC", "https://127.0.0.1:9/api/events")
    assert canary("announce", *LINE).exit_code == 4


@pytest.mark.parametrize(
    "more",
    [
        ("--topic", "http://plain.example"),
        ("--topic", "https://topic.example?sig=SECRET"),
        ("--link", "javascript:alert(1)"),
        ("--version", ""),
        ("--version", "1\n2"),
        ("--version", "x" * 201),
        ("--deployment-id", " padded "),
        ("--slot", "red"),
        ("--rollback", "never"),
        ("--service", "Check out"),
    ],
    ids=str,
)
def test_what_cannot_be_announced_is_bad_input(topic: Topic, canary: Canary, more: tuple[str, str]) -> None:
    """Nothing is published, and a key in the topic's address is not repeated."""
    result = canary("announce", *LINE, *more)
    assert (result.exit_code, topic.events) == (2, [])
    assert "SECRET" not in result.output


def test_without_a_topic_it_says_which_setting(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 2."""
    monkeypatch.delenv("CANARY_TOPIC", raising=False)
    result = canary("announce", *LINE)
    assert result.exit_code == 2
    assert "CANARY_TOPIC" in result.stderr
