"""The lab's chat is as strict as the real ones: it takes what they take, and refuses what they refuse."""

import json
from typing import Any

import pytest
import requests

from lab.chat import Chat, Kind
from lab.chat_shapes import slack_problem, teams_problem
from lab.serving import Serving
from notifying import card
from tests.notifying.conftest import notice


def good(kind: Kind) -> Any:
    return json.loads({Kind.TEAMS: card.teams, Kind.SLACK: card.slack, Kind.WEBHOOK: card.plain}[kind](notice()))


def teams(**changes: Any) -> Any:
    body = good(Kind.TEAMS)
    body["attachments"][0]["content"] |= changes
    return body


SECTION = {"type": "section", "text": {"type": "mrkdwn", "text": "x"}}


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"type": "message"},
        {"type": "message", "attachments": []},
        {"@type": "MessageCard", "text": "the old form"},
        good(Kind.TEAMS) | {"type": "Message"},
        teams(version="1.6"),
        teams(body=[]),
        teams(body=[{"type": "TextRun", "text": "x"}]),
        teams(body=[{"type": "Container", "items": []}]),
        teams(body=[{"type": "Container", "style": "red", "items": [{"type": "TextBlock", "text": "x"}]}]),
        teams(body=[{"type": "RichTextBlock", "inlines": ["x", {"type": "TextRun"}][1:]}]),
        teams(actions=[{"type": "Action.Submit"}]),
        teams(fallbackText="x" * 28 * 1024),
    ],
)
def test_teams_refuses(body: Any) -> None:
    assert teams_problem(json.dumps(body).encode(), body) is not None


@pytest.mark.parametrize(
    "body",
    [
        None,
        {},
        {"text": ""},
        {"text": "x", "blocks": {}},
        {"text": "x", "blocks": [SECTION] * 51},
        {"text": "x", "blocks": [{"type": "section"}]},
        {"text": "x", "blocks": [{"type": "section", "text": "x"}]},
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": ""}}]},
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 3001}}]},
        {"text": "x", "blocks": [{"type": "section", "fields": [SECTION["text"]] * 11}]},
        {"text": "x", "blocks": [{"type": "section", "fields": [{"type": "mrkdwn", "text": "x" * 2001}]}]},
        {"text": "x", "blocks": [{"type": "header", "text": {"type": "mrkdwn", "text": "x"}}]},
        {"text": "x", "blocks": [{"type": "header", "text": {"type": "plain_text", "text": "x" * 151}}]},
        {"text": "x", "blocks": [{"type": "AdaptiveCard"}]},
        {"text": "x", "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": "x" * 2900}}] * 5},
    ],
)
def test_slack_refuses(body: Any) -> None:
    assert slack_problem(b"", body) is not None


def test_it_answers_as_the_real_ones_and_shows_what_it_took(serving: Serving, chat: Chat) -> None:
    url = serving.serve(chat.app())
    urls = chat.urls(url)
    answers = {kind: requests.post(urls[kind], json=good(kind), timeout=5) for kind in Kind}
    assert {kind: answer.status_code for kind, answer in answers.items()} == {
        Kind.TEAMS: 202,
        Kind.SLACK: 200,
        Kind.WEBHOOK: 204,
    }
    assert answers[Kind.SLACK].text == "ok"
    shown = requests.get(f"{url}/messages", timeout=5).json()["messages"]
    assert [one["kind"] for one in shown] == ["teams", "slack", "webhook"]
    assert all("checkout 1.4.2: rolled back" in one["text"] for one in shown)


@pytest.mark.parametrize("kind", list(Kind))
def test_without_its_secret_and_with_junk_it_takes_nothing(serving: Serving, chat: Chat, kind: Kind) -> None:
    url = chat.urls(serving.serve(chat.app()))[kind]
    assert requests.post(url.replace(chat.secret, "guessed"), json=good(kind), timeout=5).status_code in (401, 404)
    assert requests.post(url, data=b"\xff not json", timeout=5).status_code == 400
    assert chat.taken() == []


def test_waiting_ends_when_the_message_is_there(serving: Serving, chat: Chat) -> None:
    assert chat.wait(1, 0.01) == []
    url = chat.urls(serving.serve(chat.app()))[Kind.WEBHOOK]
    requests.post(url, json=good(Kind.WEBHOOK), timeout=5)
    assert len(chat.wait(1, 5, Kind.WEBHOOK)) == 1
