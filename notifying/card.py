"""From a notice to what a chat shows. Pure: the same notice, the same card.

One content for all formats: a title with its tone, the sentence, what was read back, and for each indicator
both numbers and the evidence against both limits. What does not fit is cut, and the cut says so and where
the rest is. Text from outside is never markup: Teams gets text runs, which know none; Slack's is escaped.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, assert_never
from urllib.parse import urlsplit

import msgspec
from msgspec.structs import replace

from rollouts.notice import Line, Notice, NoticeKind

TEAMS_BYTES = 20_000  # Teams refuses at about 28 KB, some flows from 21 KB on
SLACK_CHARACTERS = 12_000  # of all blocks together: Slack refuses at about 13,200
SLACK_BLOCKS = 50
SLACK_HEADER_CHARACTERS = 150
SLACK_SECTION_CHARACTERS = 3000
TEXT_CHARACTERS = 2000
SHORT_TEXT_CHARACTERS = 300  # where nothing else helps; also of what a device shows that knows no cards
NAME_CHARACTERS = 120  # of a service, a version, an id
LINE_CHARACTERS = 80  # of each of the seven texts of a line: even if every character is escaped, Slack takes them all
LINK_CHARACTERS = 500
CARD_VERSION = "1.4"  # of Adaptive Cards: what Teams shows on every device

Json = dict[str, Any]


class Tone(StrEnum):
    """How a card looks; the values are Adaptive Cards' container styles."""

    GOOD = "good"
    BAD = "attention"
    WARNING = "warning"
    PLAIN = "accent"


SIGNS: Mapping[Tone, str] = {Tone.GOOD: "✅", Tone.BAD: "🛑", Tone.WARNING: "⚠️", Tone.PLAIN: "🔷"}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What every format shows."""

    title: str
    tone: Tone
    text: str
    facts: tuple[tuple[str, str], ...]  # label, value
    lines: tuple[Line, ...]
    more: int  # lines that were left out
    link: str | None
    command: str | None
    rollout: str


def content(notice: Notice) -> Content:
    """The content of a card, cleaned and cut.

    A share is said only as it was read back; unknown is said as unknown.
    """
    weights, live = notice.weights, notice.live
    traffic = "unknown"
    if weights is not None:
        traffic = ", ".join(f"{slot} {weights.share(slot)} %" for slot in (notice.canary, notice.canary.other))
    at = datetime.fromtimestamp(notice.at, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    what, tone = headline(notice.kind)
    return Content(
        title=f"{_short(notice.service)} {_short(notice.version)}: {what}",
        tone=tone,
        text=cut(clean(notice.text).strip() or "(no text)", TEXT_CHARACTERS, notice.rollout),
        facts=(
            ("Traffic", traffic),
            ("Live", "unknown" if live is None else str(live)),
            ("Canary", str(notice.canary)),
            ("Rollout", _short(notice.rollout)),
            ("Time", at),
        ),
        lines=tuple(_clean_line(line) for line in notice.lines),
        more=0,
        link=_safe_link(notice.link),
        command=None if notice.command is None else _short(notice.command, 400),
        rollout=_short(notice.rollout),
    )


def headline(kind: NoticeKind) -> tuple[str, Tone]:  # noqa: PLR0911, PLR0912  # one row for each kind
    """What happened in a few words, and how it looks."""
    match kind:
        case NoticeKind.STARTED:
            return "rollout started", Tone.PLAIN
        case NoticeKind.RAISED:
            return "more traffic", Tone.PLAIN
        case NoticeKind.LOWERED:
            return "less traffic", Tone.WARNING
        case NoticeKind.SWITCHED:
            return "switched, now watched", Tone.PLAIN
        case NoticeKind.PROMOTED:
            return "promoted", Tone.GOOD
        case NoticeKind.ROLLED_BACK:
            return "rolled back", Tone.BAD
        case NoticeKind.REJECTED:
            return "rejected at its gate", Tone.BAD
        case NoticeKind.SUPERSEDED:
            return "superseded by a newer version", Tone.WARNING
        case NoticeKind.ABORTED:
            return "aborted", Tone.WARNING
        case NoticeKind.HELD:
            return "held", Tone.WARNING
        case NoticeKind.REMINDER:
            return "still held", Tone.WARNING
        case NoticeKind.RESUMED:
            return "resumed", Tone.PLAIN
        case NoticeKind.PAUSED:
            return "paused", Tone.WARNING
        case NoticeKind.NOT_CARRIED_OUT:
            return "decided, NOT carried out", Tone.BAD
        case NoticeKind.ALARM:
            return "look at this now", Tone.BAD
        case NoticeKind.ADVICE:
            return "advice", Tone.PLAIN
        case NoticeKind.RECORD:
            return "a person acted", Tone.PLAIN
        case _:
            assert_never(kind)


def teams(notice: Notice) -> bytes:
    """The body for a Teams webhook (Workflows): one Adaptive Card, at most TEAMS_BYTES."""
    return _fitted(content(notice), _teams_message, lambda _, body: len(body) <= TEAMS_BYTES)


def slack(notice: Notice) -> bytes:
    """The body for a Slack webhook: blocks within Slack's limits."""

    def fits(message: Json, _: bytes) -> bool:
        blocks = message["blocks"]
        return len(blocks) <= SLACK_BLOCKS and _characters(blocks) <= SLACK_CHARACTERS

    return _fitted(content(notice), _slack_message, fits)


def plain(notice: Notice) -> bytes:
    """The body for any other webhook: the notice as JSON, with its title."""
    what = content(notice)
    return _encode({**data(notice), "title": what.title})


def data(notice: Notice) -> Json:
    """The notice as plain JSON values."""
    built: Json = msgspec.to_builtins(notice)
    cleaned: Json = _cleaned(built)
    return cleaned


def clean(text: str) -> str:
    """Without what breaks a line or an encoder: control characters, lone surrogates, changes of direction.

    >>> clean("a\\x00b\\u202ec\\nd")
    'abc\\nd'
    """
    bare = text.encode("utf-8", "replace").decode()
    return "".join(one for one in bare if one == "\n" or unicodedata.category(one) not in ("Cc", "Cf"))


def cut(text: str, characters: int, rollout: str) -> str:
    """`text` in at most `characters`, saying what is missing and where it is.

    >>> cut("x" * 100, 60, "r1")
    'xxxxxxxxxxxxxx… (cut, 100 characters in all: canary show r1)'
    """
    if len(text) <= characters:
        return text
    told = f"… (cut, {len(text)} characters in all: canary show {_short(rollout)})"
    return text[: max(0, characters - len(told))] + told


def _fitted(whole: Content, render: Callable[[Content], Json], fits: Callable[[Json, bytes], bool]) -> bytes:
    """The richest message that fits: lines are left out from the end, then the text is cut short."""
    for kept in range(len(whole.lines), -1, -1):
        message = render(replace(whole, lines=whole.lines[:kept], more=len(whole.lines) - kept))
        body = _encode(message)
        if fits(message, body):
            return body
    text = cut(whole.text, SHORT_TEXT_CHARACTERS, whole.rollout)
    return _encode(render(replace(whole, lines=(), more=len(whole.lines), text=text, link=None)))


def _teams_message(one: Content) -> Json:
    body: list[Json] = [
        {
            "type": "Container",
            "style": str(one.tone),
            "bleed": True,
            "items": [_runs({"text": f"{SIGNS[one.tone]} {one.title}", "weight": "Bolder", "size": "Medium"})],
        },
        *(_runs({"text": line}) for line in one.text.split("\n")[:20] if line),
        *(_runs({"text": f"{label}  ", "weight": "Bolder"}, {"text": value}) for label, value in one.facts),
        *(_teams_line(line) for line in one.lines),
    ]
    if one.more:
        body.append(_runs({"text": _left_out(one), "isSubtle": True}))
    if one.command:
        body.append(_runs({"text": "Next  ", "weight": "Bolder"}, {"text": one.command, "fontType": "Monospace"}))
    card: Json = {
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": CARD_VERSION,
        "fallbackText": cut(f"{one.title}. {one.text}", SHORT_TEXT_CHARACTERS, one.rollout),
        "msteams": {"width": "Full"},
        "body": body,
    }
    if one.link:
        card["actions"] = [{"type": "Action.OpenUrl", "title": "Pipeline run", "url": one.link}]
    attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "contentUrl": None, "content": card}
    return {"type": "message", "attachments": [attachment]}


def _teams_line(line: Line) -> Json:
    return {
        "type": "Container",
        "separator": True,
        "items": [
            _runs({"text": line.indicator, "weight": "Bolder"}, *([{"text": f"  {line.bad}"}] if line.bad else [])),
            _runs({"text": _numbers(line)}),
            _runs({"text": _evidence(line), "isSubtle": True}),
        ],
    }


def _runs(*runs: Json) -> Json:
    """A block of text runs: unlike a TextBlock it knows no markup, so nobody can write any into it."""
    return {"type": "RichTextBlock", "inlines": [{"type": "TextRun", **run} for run in runs]}


def _slack_message(one: Content) -> Json:
    title = f"{SIGNS[one.tone]} {one.title}"
    blocks: list[Json] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": title[:SLACK_HEADER_CHARACTERS], "emoji": False},
        },
        _section(_escaped_text(one)),
        {
            "type": "section",
            "fields": [_mrkdwn(f"*{label}*\n{_escaped(value)}") for label, value in one.facts],
        },
        *(_slack_line(line) for line in one.lines),
    ]
    if one.more:
        blocks.append({"type": "context", "elements": [_mrkdwn(_escaped(_left_out(one)))]})
    if one.command:
        blocks.append(_section(f"*Next*\n```{_escaped(one.command.replace('`', chr(39)))}```"))
    if one.link:
        blocks.append(_section(f"<{_escaped(one.link)}|Pipeline run>"))
    return {"text": _escaped(f"{title}. {one.text}")[:SLACK_SECTION_CHARACTERS], "blocks": blocks}


def _slack_line(line: Line) -> Json:
    said = "\n".join(_escaped(text) for text in (line.bad, _numbers(line), _evidence(line)) if text)
    return _section(f"*{_escaped(line.indicator)}*\n{said}")


def _escaped_text(one: Content) -> str:
    """The sentence, escaped, in one section; escaping may make it five times as long."""
    room = len(one.text)
    while len(escaped := _escaped(cut(one.text, room, one.rollout))) > SLACK_SECTION_CHARACTERS:
        room = room * 3 // 4
    return escaped


def _section(text: str) -> Json:
    return {"type": "section", "text": _mrkdwn(text)}


def _mrkdwn(text: str) -> Json:
    """`verbatim`: Slack makes no links and no mentions of what it finds in it."""
    return {"type": "mrkdwn", "text": text, "verbatim": True}


def _escaped(text: str) -> str:
    """Slack's three special characters, escaped.

    >>> _escaped("<!channel> & co")
    '&lt;!channel&gt; &amp; co'
    """
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _numbers(line: Line) -> str:
    return f"canary {line.canary}, baseline {line.baseline}, tolerated {line.tolerated}"


def _evidence(line: Line) -> str:
    return f"evidence of harm {line.harm}, of safety {line.safe}"


def _left_out(one: Content) -> str:
    return f"{one.more} more indicators: canary show {one.rollout}"


def _clean_line(line: Line) -> Line:
    return Line(**{field: _short(getattr(line, field), LINE_CHARACTERS) for field in line.__struct_fields__})


def _short(text: str, characters: int = NAME_CHARACTERS) -> str:
    one_line = " ".join(clean(text).split())
    return one_line if len(one_line) <= characters else one_line[: characters - 1] + "…"


def _safe_link(link: str | None) -> str | None:
    """The link, if it is a short one to a web page; None otherwise: the card is whole without it."""
    if link is None or len(link) > LINK_CHARACTERS or clean(link) != link or set(link) & set(" \n<>|\"'`"):
        return None
    try:
        parts = urlsplit(link)
    except ValueError:
        return None
    return link if parts.scheme in ("https", "http") and parts.hostname and not parts.username else None


def _characters(value: object) -> int:
    """How many characters of text a tree holds."""
    if isinstance(value, str):
        return len(value)
    if isinstance(value, Mapping):
        return sum(_characters(one) for one in value.values())
    return sum(_characters(one) for one in value) if isinstance(value, Sequence) else 0


def _cleaned(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, dict):
        return {key: _cleaned(one) for key, one in value.items()}
    return [_cleaned(one) for one in value] if isinstance(value, list | tuple) else value


def _encode(value: Json) -> bytes:
    return msgspec.json.encode(value)
