"""From STATE_URL to a store."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

from rollouts.errors import Misconfigured
from storing.contract import Store

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

SQLITE = "sqlite:///"


def open_store(url: str, table: str, credential_factory: "Callable[[], TokenCredential]") -> Store:
    """The store behind `url`: `https://<account>.table.core.windows.net` or `sqlite:///<absolute path>`.

    Only Azure Tables asks for the credential, and only here the Azure packages are imported.
    """
    if url.startswith(SQLITE):
        from storing.sqlite import SqliteStore

        path = Path("/" + unquote(url.removeprefix(SQLITE)).lstrip("/"))
        if path == Path("/"):
            raise Misconfigured(f"STATE_URL is {url!r}: it names no file, write sqlite:///<absolute path>")
        return SqliteStore(path, table)
    if url.startswith("https://"):
        from storing.tables import TablesStore

        return TablesStore(url, table, credential_factory())
    raise Misconfigured(
        f"STATE_URL is {url!r}: write the storage account's table endpoint "
        "(https://<account>.table.core.windows.net) or sqlite:///<absolute path>"
    )
