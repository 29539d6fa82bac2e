"""What went over the wire: requests and answers of a stand-in, kept as they were for the tests of published shapes."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler

SECRETS = ("authorization", "aeg-sas-key")  # kept as what they are, never as what they say


@dataclass
class Exchange:
    """One request and its answer; bodies are parsed JSON, None where there was none; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any
    status: int
    answer: Any
    headers: dict[str, str] = field(default_factory=dict)  # of the request; a secret is its first word, or ""
    answer_headers: dict[str, str] = field(default_factory=dict)


def recorded(app: web.Application) -> list[Exchange]:
    """Keep every exchange of `app`, which is not served yet; the list grows."""
    kept: list[Exchange] = []

    @web.middleware
    async def keep(request: web.Request, handler: Handler) -> web.StreamResponse:
        raw = await request.read()
        response = await handler(request)
        answer = getattr(response, "body", None)
        kept.append(
            Exchange(
                method=request.method,
                path=request.path,
                query=dict(request.query),
                content_type=request.headers.get("Content-Type", ""),
                body=json.loads(raw) if raw else None,
                status=response.status,
                answer=json.loads(answer) if answer else None,
                headers=_lowered(request.headers),
                answer_headers=_lowered(response.headers),
            )
        )
        return response

    app.middlewares.append(keep)
    return kept


def _lowered(headers: Mapping[str, str]) -> dict[str, str]:
    found = {name.lower(): value for name, value in headers.items()}
    return {name: value.rpartition(" ")[0] if name in SECRETS else value for name, value in found.items()}
