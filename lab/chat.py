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

from lab.chat_shapes import WEBHOOK_BYTES, slack_problem, teams_problem, texts, webhook_problem

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
                for text in texts(post.body["blocks"])
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
