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


def text(characters: int, kind: str = "mrkdwn") -> Any:
    return {"type": kind, "text": "x" * characters}


def slack(*blocks: Any) -> Any:
    return {"text": "x", "blocks": list(blocks)}


def section(characters: int = 1) -> Any:
    return {"type": "section", "text": text(characters)}


RED = {"type": "Container", "style": "red", "items": [{"type": "TextBlock", "text": "x"}]}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "type must be message"),
        ([], "type must be message"),
        ({}, "type must be message"),
        ({"type": "message"}, "attachments must hold one card"),
        ({"type": "message", "attachments": []}, "attachments must hold one card"),
        ({"@type": "MessageCard", "text": "the old form"}, "type must be message"),
        (good(Kind.TEAMS) | {"type": "Message"}, "type must be message"),
        (teams(version="1.6"), "version 1.6"),
        (teams(body=[]), "body must hold elements"),
        (teams(body=[{"type": "TextRun", "text": "x"}]), "element 'TextRun'"),
        (teams(body=[{"type": "Container", "items": []}]), "Container without items"),
        (teams(body=[RED]), "the style 'red'"),
        (teams(body=[{"type": "RichTextBlock", "inlines": ["x", {"type": "TextRun"}][1:]}]), "no TextRun"),
        (teams(actions=[{"type": "Action.Submit"}]), "only Action.OpenUrl"),
        (teams(fallbackText="x" * 28 * 1024), "RequestEntityTooLarge"),
    ],
)
def test_teams_says_why_it_refuses(body: Any, why: str) -> None:
    """For that reason and no other: a case that fails earlier would hide that its rule is gone."""
    refused = teams_problem(json.dumps(body).encode(), body)
    assert refused is not None
    assert why in refused[1]


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (None, "invalid_payload"),
        ({}, "no_text"),
        ({"text": ""}, "no_text"),
        ({"text": "x", "blocks": {}}, "at most 50 blocks"),
        (slack(*[section()] * 51), "at most 50 blocks"),
        (slack({"type": "section"}), "section without text"),
        (slack({"type": "section", "text": "x"}), "a text must be one of plain_text, mrkdwn"),
        (slack(section(0)), "a text of 0"),
        (slack(section(3001)), "a text of 3001"),
        (slack({"type": "section", "fields": [text(1)] * 11}), "section with 11 fields"),
        (slack({"type": "section", "fields": [text(2001)]}), "a text of 2001"),
        (slack({"type": "header", "text": text(1)}), "a text must be one of plain_text"),
        (slack({"type": "header", "text": text(151, "plain_text")}), "a text of 151"),
        (slack({"type": "AdaptiveCard"}), "block 'AdaptiveCard'"),
        (slack(*[section(2900)] * 5), "msg_blocks_too_long"),
    ],
)
def test_slack_says_why_it_refuses(body: Any, why: str) -> None:
    """For that reason and no other."""
    refused = slack_problem(b"", body)
    assert refused is not None
    assert why in refused[1]


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
