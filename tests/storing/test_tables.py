"""What only Azure Tables can do to us: lost answers, refusals, a service that is away."""

from collections.abc import Iterator

import aiohttp
import pytest
from aiohttp import web
from azure.core.credentials import AccessToken
from azure.identity import ManagedIdentityCredential

from rollouts.errors import Conflict, Misconfigured, Unavailable
from storing.contract import ANY, Delete, Put
from storing.opening import open_store
from storing.tables import ATTEMPTS, TablesStore
from tests.storing.conftest import Azure, table_name, token

DROPPED = "dropped"  # the request was applied, its answer is lost


class Between:
    """Stands between the client and Azurite: one of `faults` for each request, then it passes on."""

    def __init__(self, azure: Azure) -> None:
        self.faults: list[int | str | None] = []
        self.requests: list[str] = []
        self._azurite = azure.url.removesuffix("/devstoreaccount1")
        self._trust = azure.authority.context
        app = web.Application(client_max_size=2**23)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        self.url = azure.serving.serve(app) + "/devstoreaccount1"

    async def _pass_on(self, request: web.Request) -> web.StreamResponse:
        fault = self.faults.pop(0) if self.faults else None
        self.requests.append(request.method)
        if isinstance(fault, int):
            return web.Response(status=fault)
        async with (
            aiohttp.ClientSession(auto_decompress=False) as session,
            session.request(
                request.method,
                self._azurite + request.raw_path,
                headers=request.headers,
                data=await request.read(),
                ssl=False,
            ) as answer,
        ):
            body = await answer.read()
            if fault == DROPPED:
                assert request.transport is not None
                request.transport.close()
            headers = {name: value for name, value in answer.headers.items() if name != "Transfer-Encoding"}
            return web.Response(status=answer.status, body=body, headers=headers)


@pytest.fixture
def between(in_azure: Azure) -> Between:
    return Between(in_azure)


@pytest.fixture
def tables(between: Between) -> Iterator[TablesStore]:
    store = TablesStore(between.url, table_name(), ManagedIdentityCredential())
    store.commit("p", [Put("old", b"old", None)])
    between.requests.clear()
    yield store
    store.close()


def test_the_table_is_made_at_the_first_write_and_missing_is_empty(in_azure: Azure) -> None:
    store = open_store(in_azure.url, table_name(), ManagedIdentityCredential)
    assert store.get("p", "a") is None
    assert store.scan("p") == []
    store.commit("p", [Put("a", b"one", None), Delete("b", ANY)])
    assert [one.body for one in store.scan("p")] == [b"one"]
    store.close()


@pytest.mark.parametrize("lost", [0, 1])
def test_a_commit_whose_answer_was_lost_is_not_taken_for_anothers(
    tables: TablesStore, between: Between, lost: int
) -> None:
    """It was applied; sent again it meets its own work, knows it, and answers with its ETags.

    With a removal of nothing the first request is refused, and the second is the one that is applied.
    """
    old = tables.get("p", "old")
    assert old is not None
    writes: list[Put | Delete] = [Put("new", b"mine", None), Put("old", b"mine", old.etag)]
    between.faults = [None] * lost + [DROPPED]
    between.requests.clear()
    etags = tables.commit("p", [*writes, Delete("nothing", ANY)] if lost else writes)
    assert between.requests == ["POST"] * (lost + 2) + ["GET"] * 2
    assert {one.key: one.etag for one in tables.scan("p")} == etags
    assert {one.body for one in tables.scan("p")} == {b"mine"}


def test_a_commit_that_was_not_applied_and_overtaken_is_a_conflict(tables: TablesStore, between: Between) -> None:
    tables.commit("p", [Put("new", b"theirs", None)])
    between.faults = [503]
    with pytest.raises(Conflict):
        tables.commit("p", [Put("new", b"mine", None)])
    assert [one.body for one in tables.scan("p", "new")] == [b"theirs"]


@pytest.mark.parametrize("status", [408, 429, 500, 503])
def test_what_passes_by_itself_is_tried_again(tables: TablesStore, between: Between, status: int) -> None:
    between.faults = [status] * (ATTEMPTS - 1)
    tables.commit("p", [Put("new", b"mine", None)])
    between.faults = [status] * (ATTEMPTS - 1)
    assert tables.get("p", "new") is not None
    between.faults = [status] * (ATTEMPTS - 1)
    assert len(tables.scan("p")) == 2


def test_a_service_that_is_away_is_unavailable_after_bounded_attempts(tables: TablesStore, between: Between) -> None:
    between.faults = [503] * 100
    with pytest.raises(Unavailable, match="503"):
        tables.commit("p", [Put("new", b"mine", None)])
    with pytest.raises(Unavailable, match="503"):
        tables.get("p", "old")
    with pytest.raises(Unavailable, match="503"):
        tables.scan("p")
    assert len(between.requests) == 3 * ATTEMPTS
    nobody = TablesStore("https://127.0.0.1:9/devstoreaccount1", "canary", ManagedIdentityCredential())
    with pytest.raises(Unavailable, match="does not answer"):
        nobody.get("p", "a")


def test_a_refusal_names_the_role_and_is_not_tried_again(tables: TablesStore, between: Between) -> None:
    between.faults = [403]
    with pytest.raises(Misconfigured, match="Storage Table Data Contributor"):
        tables.commit("p", [Put("new", b"mine", None)])
    assert len(between.requests) == 1


def test_azurite_checks_whom_the_token_is_for(in_azure: Azure) -> None:
    """The managed identity's path is the real one: a token for another service is refused."""

    class Elsewhere:
        def get_token(self, *scopes: str, **options: object) -> AccessToken:
            return AccessToken(token("https://management.azure.com"), 2**40)

    store = TablesStore(in_azure.url, table_name(), Elsewhere())  # type: ignore[arg-type]
    with pytest.raises(Misconfigured, match="Storage Table Data Contributor"):
        store.get("p", "a")


def test_without_a_managed_identity_it_is_said(in_azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_HEADER", "wrong")
    store = TablesStore(in_azure.url, table_name(), ManagedIdentityCredential())
    with pytest.raises(Misconfigured, match="identity"):
        store.get("p", "a")


@pytest.mark.parametrize("name", ["a", "1abc", "with-dash"])
def test_a_table_name_that_cannot_be_names_the_setting(in_azure: Azure, name: str) -> None:
    store = TablesStore(in_azure.url, name, ManagedIdentityCredential())
    with pytest.raises(Misconfigured, match="STATE_TABLE"):
        store.commit("p", [Put("a", b"", None)])
