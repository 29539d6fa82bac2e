"""STATE_URL chooses the store, and a wrong one is said."""

from pathlib import Path

import pytest
from azure.core.credentials import TokenCredential

from rollouts.errors import Misconfigured, Unavailable
from storing.contract import ANY, Put
from storing.opening import open_store
from storing.sqlite import SqliteStore


def no_credential() -> TokenCredential:
    raise AssertionError("SQLite asks for no credential")


@pytest.mark.parametrize(
    "url", ["", "sqlite:///", "sqlite://relative", "http://account.table.core.windows.net", "canary.db"]
)
def test_what_is_no_store_names_the_setting_and_both_forms(url: str) -> None:
    with pytest.raises(Misconfigured, match=r"STATE_URL.*sqlite:///"):
        open_store(url, "canary", no_credential)


def test_sqlite_makes_its_folder_and_keeps_tables_apart(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/new/a%20folder/state.db"
    one, other = open_store(url, "one", no_credential), open_store(url, "other", no_credential)
    one.commit("p", [Put("a", b"x", None)])
    assert (tmp_path / "new" / "a folder" / "state.db").exists()
    assert other.scan("p") == []
    one.close()
    other.close()


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    path.write_text("This is a text, and a long one: no database begins like this. " * 100)
    with pytest.raises(Misconfigured, match=r"state\.db.*STATE_URL"):
        open_store(f"sqlite:///{path}", "canary", no_credential)


def test_a_full_disk_is_said_and_what_is_stored_stays(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "state.db", "canary")
    store.commit("p", [Put("a", b"1", None)])
    store._connection.execute("pragma max_page_count = 1")  # what a disk without room comes to
    with pytest.raises(Unavailable, match="database or disk is full"):
        store.commit("p", [Put("b", bytes(100_000), None), Put("a", b"2", ANY)])
    store._connection.execute("pragma max_page_count = 1000000")
    assert store.get("p", "b") is None
    assert store.commit("p", [Put("c", b"3", None)]).keys() == {"c"}
    assert [record.body for record in store.scan("p")] == [b"1", b"3"]
    store.close()
