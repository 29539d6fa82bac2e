"""The card says what the notice says, within every format's limits, and nobody can write markup into it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.chat import Kind, Post, shown
from lab.chat_shapes import slack_problem, teams_problem
from notifying import card
from rollouts.notice import Line, Notice, NoticeKind
from rollouts.observation import Slot, Weights
from tests.notifying.conftest import line, notice

RENDERS = {Kind.TEAMS: card.teams, Kind.SLACK: card.slack}
PROBLEMS = {Kind.TEAMS: teams_problem, Kind.SLACK: slack_problem}


def text_of(kind: Kind, one: Notice) -> str:
    """What a reader sees of a card that the chat takes."""
    raw = RENDERS[kind](one)
    body = json.loads(raw)
    assert PROBLEMS[kind](raw, body) is None
    return shown(Post(kind=kind, at=0, status=200, taken=True, text="", body=body, raw=raw, headers={}))


@pytest.mark.parametrize("kind", list(RENDERS))
def test_a_card_holds_both_numbers_the_evidence_and_both_limits(kind: Kind) -> None:
    seen = text_of(kind, notice())
    for said in (
        "checkout 1.4.2: rolled back",
        "failures: canary 31/400 bad (7.8 %) against baseline 0.9 %. Share set to 0.",
        "canary 31/400 (7.8 %), baseline 38/4100 (0.9 %), tolerated 1.7 %",
        "evidence of harm 12.3 of 5.3, of safety -8.1 of 4.6",
        "green 0 %, blue 100 %",
        "checkout-20261124T052800-ab12cd",
        "2026-11-24 05:28:00 UTC",
        "canary show checkout-20261124T052800-ab12cd",
        "https://pipelines.example/run/81",
    ):
        assert said in seen


@pytest.mark.parametrize("kind", list(RENDERS))
def test_a_card_says_what_a_bad_request_is_where_the_name_does_not(kind: Kind) -> None:
    """ "p95: canary 1/56 (1.79 %)" says nothing of what the one request did."""
    seen = text_of(kind, notice(lines=(line("p95", bad="slower than 812 ms (canary 974 ms)"),)))
    assert "slower than 812 ms (canary 974 ms)" in seen


@pytest.mark.parametrize("kind", list(RENDERS))
@pytest.mark.parametrize("what", list(NoticeKind))
def test_every_kind_of_notice_has_its_own_words(kind: Kind, what: NoticeKind) -> None:
    assert card.headline(what)[0] in text_of(kind, notice(kind=what))
    assert len({card.headline(one)[0] for one in NoticeKind}) == len(NoticeKind)


def test_harm_and_what_was_not_carried_out_look_alarming() -> None:
    for kind in (NoticeKind.ROLLED_BACK, NoticeKind.NOT_CARRIED_OUT, NoticeKind.ALARM, NoticeKind.REJECTED):
        assert card.headline(kind)[1] is card.Tone.BAD
    assert [kind for kind in NoticeKind if card.headline(kind)[1] is card.Tone.GOOD] == [NoticeKind.PROMOTED]


@pytest.mark.parametrize("kind", list(RENDERS))
def test_unknown_is_said_as_unknown(kind: Kind) -> None:
    """Never as a share of 0 that nobody read back."""
    seen = text_of(kind, notice(weights=None, live=None, lines=(), link=None, command=None))
    assert seen.count("unknown") == 2
    assert " %, " not in seen.split("Traffic")[1]


@pytest.mark.parametrize("kind", list(RENDERS))
def test_what_does_not_fit_is_cut_and_the_cut_says_so(kind: Kind) -> None:
    seen = text_of(kind, notice(text="x" * 50_000, lines=tuple(line("é" * 500, canary="9" * 500) for _ in range(60))))
    assert "… (cut, 50000 characters in all: canary show checkout-20261124T052800-ab12cd)" in seen
    assert "more indicators: canary show checkout-20261124T052800-ab12cd" in seen


def test_the_most_indicators_of_a_policy_fit_without_a_cut() -> None:
    for kind in RENDERS:
        seen = text_of(kind, notice(lines=tuple(line(f"indicator-{number}") for number in range(20))))
        assert "indicator-19" in seen
        assert "more indicators" not in seen


def test_slack_cannot_be_made_to_call_everybody() -> None:
    body = json.loads(card.slack(notice(text="<!channel> <https://evil.example|here> & <@U1>", version="<!here>")))
    whole = json.dumps([*body["blocks"][1:], body["text"]])
    assert "<!" not in whole
    assert "<@" not in whole
    assert "&lt;!channel&gt;" in whole
    mrkdwn = [text for text in _texts(body) if text["type"] == "mrkdwn"]
    assert mrkdwn
    assert all(text["verbatim"] for text in mrkdwn)


def test_teams_knows_no_markup_in_what_it_is_given() -> None:
    """Text runs are shown as they are; a TextBlock or a FactSet would read Markdown in them."""
    body = card.teams(notice(text="[click](https://evil.example) **now** <at>all</at>", version="[x](y)"))
    assert b'"TextBlock"' not in body
    assert b'"FactSet"' not in body
    assert "[click](https://evil.example) **now** <at>all</at>" in text_of(
        Kind.TEAMS, notice(text="[click](https://evil.example) **now** <at>all</at>")
    )


@pytest.mark.parametrize(
    "link",
    [
        "javascript:alert(1)",
        "https://u:p@host/x",
        "https://a|b",
        "https://a b",
        "https://",
        "x",
        "https://[",
        "h" * 2000,
    ],
)
def test_a_link_that_is_none_is_left_out(link: str) -> None:
    for kind in RENDERS:
        assert "Pipeline run" not in text_of(kind, notice(link=link))


def test_the_plain_form_is_the_notice_with_its_title() -> None:
    body = json.loads(card.plain(notice()))
    assert body["title"] == "checkout 1.4.2: rolled back"
    assert body["id"] == notice().id
    assert body["weights"] == {"blue": 100, "green": 0}
    assert body["lines"][0]["harm"] == "12.3 of 5.3"


anything = st.text(max_size=40) | st.sampled_from(
    ["&" * 3000, "\U0001f600" * 3000, "é\n" * 2000, "<" * 119 + "\ud83d", " "]
)
notices = st.builds(
    Notice,
    id=anything,
    kind=st.sampled_from(NoticeKind),
    service=anything,
    rollout=anything,
    version=anything,
    canary=st.sampled_from(Slot),
    at=st.floats(0, 4e9),
    text=anything,
    channels=st.just(("team",)),
    weights=st.none() | st.integers(0, 100).map(lambda share: Weights.of(Slot.BLUE, share)),
    live=st.none() | st.sampled_from(Slot),
    lines=st.lists(st.builds(Line, **dict.fromkeys(Line.__struct_fields__, anything)), max_size=60).map(tuple),
    link=st.none() | anything,
    command=st.none() | anything,
)


@settings(max_examples=60, deadline=None)
@given(notices)
def test_whatever_a_notice_holds_every_chat_takes_its_card(one: Notice) -> None:
    for kind in RENDERS:
        assert text_of(kind, one)
    assert isinstance(json.loads(card.plain(one)), dict)


def _texts(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, list):
        return [found for one in value for found in _texts(one)]
    if not isinstance(value, dict):
        return []
    here = [value] if value.get("type") in ("mrkdwn", "plain_text") else []
    return here + [found for one in value.values() for found in _texts(one)]
