"""What Teams, Slack and a webhook refuse: wrong shapes, and too much of anything."""

from collections.abc import Iterator
from typing import Any

TEAMS_BYTES = 28 * 1024
SLACK_BLOCKS = 50
SLACK_HEADER = 150  # characters
SLACK_SECTION = 3000  # characters
SLACK_FIELDS = 10
SLACK_FIELD = 2000  # characters
SLACK_TOTAL = 13_200  # characters of all blocks together
WEBHOOK_BYTES = 1024 * 1024
STYLES = {"default", "emphasis", "good", "attention", "warning", "accent"}


def teams_problem(raw: bytes, body: Any) -> tuple[int, str] | None:
    """Why Teams does not take it, with the status; None = it does."""
    if len(raw) > TEAMS_BYTES:
        return 413, f"RequestEntityTooLarge: {len(raw)} bytes, at most {TEAMS_BYTES}"
    if not isinstance(body, dict) or body.get("type") != "message":
        return 400, "type must be message"
    attachments = body.get("attachments")
    if not isinstance(attachments, list) or len(attachments) != 1:
        return 400, "attachments must hold one card"
    attachment = attachments[0]
    if attachment.get("contentType") != "application/vnd.microsoft.card.adaptive":
        return 400, "contentType must be application/vnd.microsoft.card.adaptive"
    card = attachment.get("content")
    if not isinstance(card, dict) or card.get("type") != "AdaptiveCard":
        return 400, "content must be an AdaptiveCard"
    if str(card.get("version")) not in ("1.2", "1.3", "1.4", "1.5"):
        return 400, f"version {card.get('version')} of Adaptive Cards is not shown"
    if not isinstance(card.get("body"), list) or not card["body"]:
        return 400, "body must hold elements"
    wrong = next((found for element in card["body"] for found in _element(element)), None)
    wrong = wrong or next((found for action in card.get("actions", []) for found in _action(action)), None)
    return (400, wrong) if wrong else None


def _element(element: Any) -> Iterator[str]:
    """Everything wrong with an element of an Adaptive Card."""
    kind = element.get("type") if isinstance(element, dict) else None
    if kind == "Container":
        if element.get("style", "default") not in STYLES:
            yield f"Container has the style {element['style']!r}"
        if not isinstance(element.get("items"), list) or not element["items"]:
            yield "Container without items"
        else:
            for item in element["items"]:
                yield from _element(item)
    elif kind == "RichTextBlock":
        for run in element.get("inlines") or [{}]:
            if run.get("type") != "TextRun" or not isinstance(run.get("text"), str):
                yield "RichTextBlock with something that is no TextRun"
    elif kind == "TextBlock":
        if not isinstance(element.get("text"), str):
            yield "TextBlock without text"
    else:
        yield f"element {kind!r} is not known"


def _action(action: Any) -> Iterator[str]:
    if not isinstance(action, dict) or action.get("type") != "Action.OpenUrl":
        yield "only Action.OpenUrl is possible in a webhook's card"
    elif not str(action.get("url", "")).startswith(("https://", "http://")):
        yield "Action.OpenUrl without a URL"


def slack_problem(_raw: bytes, body: Any) -> tuple[int, str] | None:
    """Why Slack does not take it, with the status; None = it does."""
    if not isinstance(body, dict):
        return 400, "invalid_payload"
    if not isinstance(body.get("text"), str) or not body["text"]:
        return 400, "no_text"
    blocks = body.get("blocks", [])
    if not isinstance(blocks, list) or len(blocks) > SLACK_BLOCKS:
        return 400, "invalid_blocks: at most 50 blocks"
    wrong = next((found for block in blocks for found in _block(block)), None)
    if wrong:
        return 400, f"invalid_blocks: {wrong}"
    if sum(len(one) for one in texts(blocks)) > SLACK_TOTAL:
        return 400, "msg_blocks_too_long"
    return None


def _block(block: Any) -> Iterator[str]:
    """Everything wrong with a block of Slack's."""
    kind = block.get("type") if isinstance(block, dict) else None
    if kind == "header":
        yield from _text(block.get("text"), SLACK_HEADER, ("plain_text",))
    elif kind == "section":
        fields = block.get("fields", [])
        if "text" not in block and not fields:
            yield "section without text and fields"
        if "text" in block:
            yield from _text(block["text"], SLACK_SECTION)
        if len(fields) > SLACK_FIELDS:
            yield f"section with {len(fields)} fields"
        for field in fields:
            yield from _text(field, SLACK_FIELD)
    elif kind == "context":
        for element in block.get("elements") or [None]:
            yield from _text(element, SLACK_SECTION)
    elif kind != "divider":
        yield f"block {kind!r} is not known"


def _text(text: Any, most: int, kinds: tuple[str, ...] = ("plain_text", "mrkdwn")) -> Iterator[str]:
    if not isinstance(text, dict) or text.get("type") not in kinds or not isinstance(text.get("text"), str):
        yield f"a text must be one of {', '.join(kinds)}"
    elif not 0 < len(text["text"]) <= most:
        yield f"a text of {len(text['text'])} characters, 1 to {most} are possible"


def webhook_problem(raw: bytes, body: Any) -> tuple[int, str] | None:
    """A receiver of our own takes any JSON object."""
    if len(raw) > WEBHOOK_BYTES:
        return 413, "too large"
    return None if isinstance(body, dict) else (400, "the body must be a JSON object")


def texts(value: Any) -> Iterator[str]:
    """All texts of a tree of blocks."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for one in value.values():
            yield from texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from texts(one)
