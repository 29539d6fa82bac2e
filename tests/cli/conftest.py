"""A function app's API over real HTTP, scripted by the tests; and the command line against it."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from aiohttp import web
from typer.testing import CliRunner, Result

from cli.main import app
from lab.serving import Authority, Serving
from lab.tokens import Tokens

KEY = "a-function-key"


class Api:
    """Answers what a test has scripted, in turn, the last one for ever; keeps every request."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self._answers: dict[tuple[str, str], list[tuple[int, Any]]] = {}

    def answers(self, method: str, path: str, *answers: Any) -> None:
        """Script the answers of one address; a plain value is a 200, a pair is (status, value)."""
        made = [answer if isinstance(answer, tuple) else (200, answer) for answer in answers]
        self._answers[method, path] = made

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._answer)
        return app

    async def _answer(self, request: web.Request) -> web.Response:
        text = await request.text()
        body = json.loads(text) if request.content_type == "application/json" and text else text
        self.requests.append((request.method, request.path_qs, body))
        self.headers.append(dict(request.headers))
        scripted = self._answers.get((request.method, request.path))
        if scripted is None:
            return web.Response(status=404, text="not found")
        status, value = scripted.pop(0) if len(scripted) > 1 else scripted[0]
        if isinstance(value, dict):
            return web.json_response(value, status=status)
        return web.Response(status=status, text=str(value), headers={"Location": "/elsewhere"})


@pytest.fixture(scope="session")
def serving() -> Iterator[Serving]:
    with Serving() as serving:
        yield serving


@pytest.fixture
def api(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> Api:
    """A function app that the environment names, with a key."""
    api = Api()
    monkeypatch.setenv("CANARY_URL", serving.serve(api.app(), tls=False))
    monkeypatch.setenv("CANARY_KEY", KEY)
    monkeypatch.setenv("CANARY_ACTOR", "ada")
    return api


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="session")
def secure(authority: Authority) -> Iterator[Serving]:
    """https on loopback: Azure's clients send no token without."""
    with Serving(authority) as serving:
        yield serving


@pytest.fixture
def identity(secure: Serving, authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Tokens:
    """A machine with a managed identity, that trusts the lab's certificates."""
    tokens = Tokens()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    for name, value in tokens.environment(secure.serve(tokens.app(), tls=False)).items():
        monkeypatch.setenv(name, value)
    return tokens


Canary = Callable[..., Result]


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> Canary:
    """Run one command line in this process, piped."""
    for name in ("GITHUB_ACTOR", "GITHUB_RUN_ID", "BUILD_BUILDID", "BUILD_REQUESTEDFOR"):
        monkeypatch.delenv(name, raising=False)

    def run(*arguments: str) -> Result:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        assert KEY not in result.output
        return result

    return run
