"""The store in Azure Tables (in tests: Azurite), through the real client.

A body is split over binary properties of 64 KiB. Every write is an entity-group transaction. Tenacity
decides what is tried again, the client's own retries are off. A transaction whose answer was lost may
have been applied: each entity carries a mark of its commit, so that a repeated one recognises itself
and does not take its own work for somebody else's.
"""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from azure.core import MatchConditions
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceExistsError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.data.tables import TableClient, TableTransactionError, UpdateMode
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from rollouts.errors import CanaryError, Conflict, Misconfigured, Unavailable
from storing.contract import ANY, Delete, Put, Record
from storing.limits import check_commit, check_key, end_of

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

PROPERTY_BYTES = 64 * 1024  # the most that one binary property holds
MARK = "mark"  # of the commit that wrote the entity
ATTEMPTS = 3  # a tick must not wait long for its store: the next tick tries again
CONNECT_SECONDS = 5
READ_SECONDS = 15
TRANSIENT = {408, 429, 500, 502, 503, 504}
PAGE = 1000  # the most that Azure answers at once

Operation = tuple[str, dict[str, Any], dict[str, Any]]
T = TypeVar("T")

logging.getLogger("azure.core.pipeline.policies.http_logging_policy").setLevel(logging.WARNING)


class TablesStore:
    """Records in the table `table` of the account at `url`; made at the first write when it is missing."""

    def __init__(self, url: str, table: str, credential: "TokenCredential") -> None:
        self._url = url.rstrip("/")
        self._client = TableClient(
            self._url,
            table,
            credential=credential,
            retry_total=0,
            connection_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
        )
        self._table = table

    def get(self, partition: str, key: str) -> Record | None:
        """The record, or None."""
        check_key(partition, "partition")
        check_key(key)
        try:
            return _record(self._tried(lambda: self._client.get_entity(partition, key)))
        except ResourceNotFoundError:
            return None
        except AzureError as error:
            raise self._translated(error) from error

    def scan(self, partition: str, prefix: str = "", *, after: str = "", limit: int | None = None) -> list[Record]:
        """Records whose key starts with `prefix` and sorts after `after`, in key order."""
        check_key(partition, "partition")
        asked = "PartitionKey eq @partition and RowKey ge @prefix and RowKey gt @after"
        values: dict[str, Any] = {"partition": partition, "prefix": prefix, "after": after}
        if end := end_of(prefix):
            asked += " and RowKey lt @end"
            values["end"] = end

        def read() -> list[Record]:
            page = PAGE if limit is None else max(1, min(limit, PAGE))
            found = self._client.query_entities(asked, parameters=values, results_per_page=page)
            return [_record(entity) for entity in islice(found, limit)]

        try:
            return self._tried(read)
        except ResourceNotFoundError:
            return []
        except AzureError as error:
            raise self._translated(error) from error

    def commit(self, partition: str, writes: Sequence[Put | Delete]) -> dict[str, str]:
        """All or nothing; the new ETag of every key put."""
        check_commit(partition, writes)
        if not writes:
            return {}
        mark = uuid4().hex
        left = list(writes)
        # A table that is missing is made once; each removal of what is not there (ANY) is dropped once.
        for _ in range(len(writes) + 2):
            try:
                return self._transact(partition, left, mark)
            except AzureError as error:
                if _code(error) == "TableNotFound":
                    self._create_table()
                elif (gone := _already_gone(error, left)) is not None:
                    del left[gone]
                    if not left:
                        return {}
                else:
                    raise self._translated(error) from error
        raise Unavailable(f"table {self._table} at {self._url} is still missing after it was made")

    def close(self) -> None:
        """Let go of connections."""
        self._client.close()

    def _transact(self, partition: str, writes: Sequence[Put | Delete], mark: str) -> dict[str, str]:
        operations = [_operation(partition, one, mark) for one in writes]
        lost_answer = False

        def send() -> dict[str, str]:
            nonlocal lost_answer
            try:
                answers = self._client.submit_transaction(operations)
            except AzureError as error:
                repeated = lost_answer and _is_conflict(error)
                if repeated and (ours := self._recognised(partition, writes, mark)):
                    return ours
                lost_answer = lost_answer or _is_transient(error)
                raise
            puts = zip(writes, answers, strict=True)
            return {one.key: str(answer["etag"]) for one, answer in puts if isinstance(one, Put)}

        return self._tried(send)

    def _recognised(self, partition: str, writes: Sequence[Put | Delete], mark: str) -> dict[str, str]:
        """The ETags of our own commit, if it was applied and nothing was written since; else empty."""
        etags: dict[str, str] = {}
        for write in writes:
            if isinstance(write, Put):
                try:
                    entity = self._client.get_entity(partition, write.key)
                except ResourceNotFoundError:
                    return {}
                if entity.get(MARK) != mark:
                    return {}
                etags[write.key] = str(entity.metadata["etag"])
        return etags

    def _create_table(self) -> None:
        try:
            self._tried(self._client.create_table)
        except ResourceExistsError:  # another process made it in the meantime
            return
        except AzureError as error:
            raise self._translated(error) from error

    def _tried(self, work: Callable[[], T]) -> T:
        """Try again what may pass by itself, twice, within about a second."""
        retrying = Retrying(
            retry=retry_if_exception(_is_transient),
            stop=stop_after_attempt(ATTEMPTS),
            wait=wait_exponential(multiplier=0.1, max=1.0) + wait_random(0, 0.1),
            reraise=True,
        )
        return retrying(work)

    def _translated(self, error: AzureError) -> CanaryError:
        where = f"table {self._table} at {self._url}"
        if isinstance(error, ClientAuthenticationError) or _status(error) in (401, 403):
            return Misconfigured(
                f"{where} refuses the function app ({_said(error)}): give its identity the role "
                "'Storage Table Data Contributor' on the storage account (STATE_URL)"
            )
        if _is_conflict(error):
            return Conflict(f"{where}: somebody wrote first ({_said(error)})")
        if isinstance(error, HttpResponseError) and not _is_transient(error):
            return Misconfigured(
                f"{where} refuses the request ({_said(error)}): check STATE_URL and STATE_TABLE "
                "(3 to 63 letters and digits, a letter first)"
            )
        return Unavailable(f"{where} does not answer ({_said(error)}); the next tick tries again")


def _record(entity: Any) -> Record:
    body = b"".join(entity[name] for name in _names(entity))
    return Record(entity["RowKey"], body, str(entity.metadata["etag"]))


def _names(entity: Mapping[str, Any]) -> Iterator[str]:
    return iter(sorted(name for name in entity if name.startswith("body")))


def _operation(partition: str, write: Put | Delete, mark: str) -> Operation:
    entity: dict[str, Any] = {"PartitionKey": partition, "RowKey": write.key}
    guard = {} if write.etag == ANY else {"etag": write.etag, "match_condition": MatchConditions.IfNotModified}
    if isinstance(write, Delete):
        return ("delete", entity, guard)
    entity[MARK] = mark
    for at in range(0, len(write.body), PROPERTY_BYTES):
        entity[f"body{at // PROPERTY_BYTES:02d}"] = write.body[at : at + PROPERTY_BYTES]
    if write.etag is None:
        return ("create", entity, {})
    if write.etag == ANY:
        return ("upsert", entity, {"mode": UpdateMode.REPLACE})
    return ("update", entity, {"mode": UpdateMode.REPLACE, **guard})


def _already_gone(error: AzureError, writes: Sequence[Put | Delete]) -> int | None:
    """Which removal of whatever is there met nothing; None = the error is another."""
    if not isinstance(error, TableTransactionError) or _status(error) != 404:
        return None
    index: int = error.index
    if 0 <= index < len(writes) and isinstance(writes[index], Delete) and writes[index].etag == ANY:
        return index
    return None


def _status(error: BaseException) -> int | None:
    return error.status_code if isinstance(error, HttpResponseError) else None


def _code(error: BaseException) -> str:
    """Azure's own word for the error: TableNotFound, UpdateConditionNotSatisfied, ..."""
    code = getattr(error, "error_code", None)
    return str(getattr(code, "value", code or ""))


def _said(error: BaseException) -> str:
    status = _status(error)
    return f"{status} {_code(error)}".strip() if status else type(error).__name__


def _is_conflict(error: BaseException) -> bool:
    return _status(error) in (409, 412) or (_status(error) == 404 and _code(error) != "TableNotFound")


def _is_transient(error: BaseException) -> bool:
    if isinstance(error, ClientAuthenticationError):
        return False
    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return True
    return _status(error) in TRANSIENT or _code(error) == "TableBeingDeleted"
