"""The chat of the lab: takes what Teams, Slack and any webhook would take, keeps it, and can show it.

It is as strict as the real ones: wrong shapes and too much of anything are refused. Its URLs hold a secret,
as the real ones do, and it fails on request.
"""

import asyncio
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

TEAMS_BYTES = 28 * 1024
SLACK_BLOCKS = 50
SLACK_HEADER = 150
SLACK_SECTION = 3000
SLACK_FIELDS = 10
SLACK_FIELD = 2000
SLACK_TOTAL = 13_200
WEBHOOK_BYTES = 1024 * 1024
STYLES = {"default", "emphasis", "good", "attention", "warning", "accent"}

Json = dict[str, Any]


class Kind(StrEnum):
    """Whose webhook it is."""

    TEAMS = "teams"
    SLACK = "slack"
    WEBHOOK = "webhook"


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """What happens to one request instead of, or before, being taken."""

    status: int | None = None  # answered instead; None = the request is taken after all
    text: str = ""
    headers: dict[str, str] = {}
    seconds: float = 0.0  # waited before
    refuse: bool = False  # the connection is dropped without an answer
    after_taking: bool = False  # it was taken, and the answer is still this fault


def throttled(retry_after: str | None = "1") -> Fault:
    """429, with or without Retry-After."""
    return Fault(status=429, text="rate_limited", headers={"Retry-After": retry_after} if retry_after else {})


def hidden(status: int = 429) -> Fault:
    """As the old Teams webhooks did: 200, and the real status in the text."""
    text = f"Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error {status}"
    return Fault(status=200, text=f"{text} with ContextId MS-CV=abc.")


def broken(status: int = 503) -> Fault:
    """A server that is not well."""
    return Fault(status=status, text="The service is unavailable.")


class Post(msgspec.Struct, frozen=True, kw_only=True):
    """One request that came."""

    kind: Kind
    at: float  # epoch seconds
    status: int  # answered; 0 = the connection was dropped
    taken: bool  # kept as a message that people see
    text: str  # answered
    body: Any  # decoded; None = it was no JSON
    raw: bytes
    headers: dict[str, str]


class Chat:
    """The server behind all three webhooks. `posts` holds every request, in order."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self.secret = secrets.token_urlsafe(24)
        self.signing_secret = secrets.token_urlsafe(24)
        self.posts: list[Post] = []
        self._clock = clock
        self._faults: dict[Kind, list[Fault]] = {kind: [] for kind in Kind}
        self._arrived = threading.Condition()

    def app(self) -> web.Application:
        """Serve it with https: the secret is in the URL."""
        app = web.Application(client_max_size=4 * WEBHOOK_BYTES)
        app.router.add_post("/workflows/{flow}/triggers/manual/paths/invoke", self._teams)
        app.router.add_post("/services/{team}/{app}/{secret}", self._slack)
        app.router.add_post("/hooks/{secret}", self._webhook)
        app.router.add_get("/messages", self._messages)
        return app

    def urls(self, url: str) -> dict[Kind, str]:
        """The three webhooks of a server at `url`."""
        asked = {"api-version": "2016-06-01", "sp": "/triggers/manual/run", "sv": "1.0", "sig": self.secret}
        return {
            Kind.TEAMS: f"{url}/workflows/0a1b2c/triggers/manual/paths/invoke?{urlencode(asked)}",
            Kind.SLACK: f"{url}/services/T0LAB/B0LAB/{self.secret}",
            Kind.WEBHOOK: f"{url}/hooks/{self.secret}",
        }

    def environment(self, url: str) -> dict[str, str]:
        """App settings that name the three, and the key that signs what the webhook gets."""
        settings = {f"{kind.upper()}_WEBHOOK_URL": one for kind, one in self.urls(url).items()}
        settings["WEBHOOK_URL"] = settings.pop("WEBHOOK_WEBHOOK_URL")
        return settings | {"WEBHOOK_URL_SECRET": self.signing_secret}

    def play(self, kind: Kind, *faults: Fault) -> None:
        """The next requests of this kind meet these faults, one each."""
        self._faults[kind].extend(faults)

    def taken(self, kind: Kind | None = None) -> list[Post]:
        """Messages that people see, in order."""
        return [post for post in self.posts if post.taken and kind in (None, post.kind)]

    def wait(self, count: int, seconds: float, kind: Kind | None = None) -> list[Post]:
        """The messages, once there are `count` of them or the time is over."""
        with self._arrived:
            self._arrived.wait_for(lambda: len(self.taken(kind)) >= count, seconds)
        return self.taken(kind)

    async def _teams(self, request: web.Request) -> web.StreamResponse:
        if request.query.get("sig") != self.secret:
            return web.json_response({"error": {"code": "DirectApiAuthorizationRequired"}}, status=401)
        return await self._take(request, Kind.TEAMS, teams_problem, (202, ""))

    async def _slack(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["secret"] != self.secret:
            return web.Response(status=404, text="no_service")
        return await self._take(request, Kind.SLACK, slack_problem, (200, "ok"))

    async def _webhook(self, request: web.Request) -> web.StreamResponse:
        if request.match_info["secret"] != self.secret:
            return web.Response(status=404)
        return await self._take(request, Kind.WEBHOOK, webhook_problem, (204, ""))

    async def _take(
        self,
        request: web.Request,
        kind: Kind,
        problem: Callable[[bytes, Any], tuple[int, str] | None],
        good: tuple[int, str],
    ) -> web.StreamResponse:
        raw = await request.read()
        fault = self._faults[kind].pop(0) if self._faults[kind] else None
        if fault and fault.seconds:
            await asyncio.sleep(fault.seconds)
        try:
            body = json.loads(raw)
        except ValueError:
            body = None
        wrong = problem(raw, body)
        status, text = wrong or good
        instead = fault is not None and (fault.status is not None or fault.refuse)
        taken = wrong is None and (not instead or (fault is not None and fault.after_taking))
        if fault and fault.status is not None:
            status, text = fault.status, fault.text
        if fault and fault.refuse:
            status = 0
        post = Post(
            kind=kind,
            at=self._clock(),
            status=status,
            taken=taken,
            text=text,
            body=body,
            raw=raw,
            headers={name.lower(): value for name, value in request.headers.items()},
        )
        with self._arrived:
            self.posts.append(post)
            self._arrived.notify_all()
        if fault and fault.refuse and request.transport is not None:
            request.transport.abort()
        return web.Response(status=status or 500, text=text or None, headers=fault.headers if fault else {})

    async def _messages(self, _: web.Request) -> web.Response:
        """What people see, as JSON: kind, time, the text of the card."""
        seen = [{"kind": one.kind, "at": one.at, "text": shown(one)} for one in self.taken()]
        return web.json_response({"messages": seen})


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


def slack_problem(raw: bytes, body: Any) -> tuple[int, str] | None:
    """Why Slack does not take it, with the status; None = it does."""
    del raw
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
    if sum(len(text) for text in _texts(blocks)) > SLACK_TOTAL:
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


def shown(post: Post) -> str:
    """The message as text, one line for each of the card's."""
    match post.kind:
        case Kind.TEAMS:
            card = post.body["attachments"][0]["content"]
            lines = [line for element in card["body"] for line in _lines(element)]
            lines += [f"[{action['title']}] {action['url']}" for action in card.get("actions", [])]
        case Kind.SLACK:
            lines = [
                text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
                for text in _texts(post.body["blocks"])
            ]
        case Kind.WEBHOOK:
            lines = [str(post.body.get("title", "")), str(post.body.get("text", ""))]
    return "\n".join(lines)


def _lines(element: Json) -> Iterator[str]:
    if element["type"] == "Container":
        for item in element["items"]:
            yield from _lines(item)
    elif element["type"] == "RichTextBlock":
        yield "".join(run["text"] for run in element["inlines"])
    else:
        yield element["text"]


def _texts(value: Any) -> Iterator[str]:
    """All texts of a tree of blocks."""
    if isinstance(value, dict):
        if isinstance(value.get("text"), str):
            yield value["text"]
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)
