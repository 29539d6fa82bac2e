"""A managed identity for one machine: App Service's token endpoint, and how a stand-in checks a token.

The tokens look like Microsoft Entra's (three parts, audience, issuer, expiry) and are signed by nobody: good
for stand-ins on loopback, refused everywhere else.
"""

import base64
import json
import secrets
import time
from typing import Any

from aiohttp import web

TENANT = "11111111-2222-3333-4444-555555555555"
PRINCIPAL = "66666666-7777-8888-9999-000000000000"
API_VERSION = "2019-08-01"
LIFE_SECONDS = 24 * 3600  # as a managed identity's; so a demo never meets an expiry by accident


class Tokens:
    """The endpoint that IDENTITY_ENDPOINT names. `asked` lists (resource, client id or None)."""

    def __init__(self) -> None:
        self.header = secrets.token_urlsafe(16)
        self.outage = False  # True: answers 503, as an identity endpoint that restarts
        self.asked: list[tuple[str, str | None]] = []

    def app(self) -> web.Application:
        """Serve it with `tls=False`: the real one is plain http inside the machine, too."""
        app = web.Application()
        app.router.add_get("/msi/token", self._token)
        return app

    def environment(self, url: str) -> dict[str, str]:
        """What the platform sets for a function app with an identity."""
        return {"IDENTITY_ENDPOINT": f"{url}/msi/token", "IDENTITY_HEADER": self.header}

    async def _token(self, request: web.Request) -> web.Response:
        if self.outage:
            return web.json_response({"statusCode": 503, "message": "restarting"}, status=503)
        if request.headers.get("X-IDENTITY-HEADER") != self.header:
            return web.json_response({"statusCode": 401, "message": "X-IDENTITY-HEADER is wrong"}, status=401)
        resource = request.query.get("resource")
        if request.query.get("api-version") != API_VERSION or not resource:
            message = f"resource and api-version={API_VERSION} are required"
            return web.json_response({"statusCode": 400, "message": message}, status=400)
        self.asked.append((resource, request.query.get("client_id")))
        expires = int(time.time()) + LIFE_SECONDS
        return web.json_response(
            {
                "access_token": make(resource, expires=expires),
                "expires_on": str(expires),
                "resource": resource,
                "token_type": "Bearer",
            }
        )


def make(audience: str, *, expires: int) -> str:
    """A token for `audience` that lasts until `expires` (epoch seconds)."""
    claims = {
        "aud": audience,
        "iss": f"https://sts.windows.net/{TENANT}/",
        "tid": TENANT,
        "oid": PRINCIPAL,
        "iat": expires - LIFE_SECONDS,
        "nbf": expires - LIFE_SECONDS,
        "exp": expires,
    }
    return ".".join((_encode({"alg": "none", "typ": "JWT"}), _encode(claims), "c2lnbmVkLWJ5LW5vYm9keQ"))


def wrong(authorization: str | None, audience: str) -> str | None:
    """Why a server for `audience` refuses this Authorization header; None = it does not."""
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        return "there is no bearer token"
    try:
        claims = _decode(token.split(".")[1])
        told, expires = claims["aud"], float(claims["exp"])
    except (ValueError, LookupError, TypeError):
        return "the bearer token is not a JWT"
    if str(told).rstrip("/") != audience.rstrip("/"):
        return f"the token is for the audience {told}, not {audience}"
    if expires <= time.time():
        return "the token has expired"
    return None


def _encode(part: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def _decode(part: str) -> dict[str, Any]:
    decoded: dict[str, Any] = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return decoded
