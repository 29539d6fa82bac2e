"""What went over the wire: requests and answers of a stand-in, kept as they were for the tests of published shapes."""

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Handler


@dataclass
class Exchange:
    """One request and its answer; bodies are parsed JSON, None where there was none."""

    method: str
    path: str
    query: dict[str, str]
    content_type: str
    body: Any
    status: int
    answer: Any


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
            )
        )
        return response

    app.middlewares.append(keep)
    return kept
