"""Both stores for the same tests: SQLite in a folder, Azure Tables through Azurite and a managed identity."""

import base64
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web
from azure.identity import ManagedIdentityCredential

from lab.serving import Serving
from storing.contract import Store
from storing.opening import open_store
from tests.npm import NpmMissingError, possible
from tests.storing.azurite import VERSION, FileAuthority, shared


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Without npm one test stands for all that need Azurite, and its one line says so; under CI all fail."""
    if possible("azurite", VERSION) or os.environ.get("CI") == "true":
        return
    _, *others = [item for item in items if _needs_azurite(item)] or [None]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item in items if item not in others]


def _needs_azurite(item: pytest.Item) -> bool:
    fixtures = getattr(item, "fixturenames", ())
    chosen = getattr(item, "callspec", None)
    return "azure" in fixtures or (chosen is not None and chosen.params.get("opened") == "tables")


def token(audience: str) -> str:
    """A token as Azurite takes it: right claims, no signature."""
    now = int(time.time())
    issuer = "https://sts.windows.net/00000000-0000-0000-0000-000000000000/"
    claims = {"aud": audience, "iss": issuer, "iat": now - 60, "nbf": now - 60, "exp": now + 3600}
    parts = [{"alg": "none", "typ": "JWT"}, claims]
    coded = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts]
    return ".".join([*coded, "unsigned"])


class Azure:
    """Azurite's URL, and a managed identity whose tokens it takes."""

    def __init__(self, url: str, authority: FileAuthority, serving: Serving, identity: str) -> None:
        self.url = url
        self.authority = authority
        self.serving = serving
        self.environment = {
            "REQUESTS_CA_BUNDLE": str(authority.ca_file),
            "IDENTITY_ENDPOINT": f"{identity}/msi/token",
            "IDENTITY_HEADER": "a-secret",
        }


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "azurite"

    async def issue(request: web.Request) -> web.Response:
        if request.headers["X-IDENTITY-HEADER"] != "a-secret":
            return web.json_response({"statusCode": 401, "message": "no such identity"}, status=401)
        body = {
            "access_token": token(request.query["resource"]),
            "expires_on": str(int(time.time()) + 3600),
            "resource": request.query["resource"],
            "token_type": "Bearer",
        }
        return web.json_response(body)

    try:
        with shared(folder) as url:
            authority = FileAuthority(folder)
            with Serving(authority) as serving:  # type: ignore[arg-type]  # the same certificate, from files
                app = web.Application()
                app.router.add_get("/msi/token", issue)
                yield Azure(url, authority, serving, serving.serve(app, tls=False))
    except NpmMissingError as missing:
        if os.environ.get("CI") == "true":
            raise
        pytest.skip(f"NOT RUN: {missing}")


@pytest.fixture
def in_azure(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> Azure:
    """The environment of a function app."""
    for name, value in azure.environment.items():
        monkeypatch.setenv(name, value)
    return azure


def table_name() -> str:
    return f"t{uuid4().hex}"


@pytest.fixture(params=["sqlite", "tables"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Store]]:
    """Opens one and the same store, each time with connections of its own."""
    table = table_name()
    url = f"sqlite:///{tmp_path}/state.db"
    if request.param == "tables":
        url = request.getfixturevalue("in_azure").url
    stores: list[Store] = []

    def again() -> Store:
        stores.append(open_store(url, table, ManagedIdentityCredential))
        return stores[-1]

    yield again
    for store in stores:
        store.close()


@pytest.fixture
def store(opened: Callable[[], Store]) -> Store:
    return opened()
