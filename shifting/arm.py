"""Azure Resource Manager as the shifters use it: who is asked, how often, and what a refusal means.

Nothing is retried behind our back (`retry_total=0`): a write that was applied but answered 5xx, when it is
repeated blindly, fails with 412 against itself. Every failure leaves this file as Conflict, Unavailable or
Misconfigured; no body of a backend is ever put into a message, because it can carry credentials.
"""

import json
import re
import threading
from collections.abc import Callable
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar

import msgspec

from rollouts.errors import Conflict, Forbidden, Misconfigured, Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.core.exceptions import AzureError, HttpResponseError
    from azure.mgmt.apimanagement import ApiManagementClient
    from tenacity import RetryCallState, Retrying

T = TypeVar("T")

API_VERSION = "2024-05-01"  # the first with pools out of preview; pinned: an SDK update changes nothing
CALL_TIMEOUT_SECONDS = 10.0  # ARM answers in well under a second; ten are silence, and a tick has sixty
ATTEMPTS = 3  # as azure-core's own default; the next tick is the fourth
BUDGET_SECONDS = 20.0  # calls and waits of one operation together: a third of the shortest tick of one minute
FIRST_WAIT_SECONDS = 0.5  # doubled each time, where the answer named no Retry-After
LONGEST_RETRY_AFTER_SECONDS = 900.0  # an absurd header must not silence a rollback for a day
MESSAGE_LENGTH = 200  # of ARM's own explanation; longer ones repeat the request
# Codes of a service that is busy or being updated, whatever status they come with: a management endpoint that is not
# reached is 422 (Azure/apiops issue 497, and its own retry rule), and the write may have been applied.
BUSY = frozenset({"ManagementApiRequestFailed", "PreconditionFailed", "InternalServerError", "Timeout", "Conflict"})

ROLE = "the custom role 'Flex Canary traffic (<name>)' of that API Management service (or one with this action)"


class OperationFailed(Unavailable):
    """A long-running write ended badly or not in time: to send it again is the next tick's business."""


class Etagged(Protocol):
    """A reading that knows which state of the resource it shows."""

    @property
    def etag(self) -> str:
        """The state's tag, as If-Match wants it."""


R = TypeVar("R", bound=Etagged)


class ApiManagement(msgspec.Struct, frozen=True):
    """An API Management service, taken apart from its ARM id."""

    subscription: str
    resource_group: str
    name: str

    @classmethod
    def parse(cls, arm_id: str) -> Self:
        """Letter case of the fixed words does not matter, as in ARM itself.

        >>> ApiManagement.parse("/subscriptions/s/resourcegroups/rg/providers/microsoft.apimanagement/service/apim")
        ApiManagement(subscription='s', resource_group='rg', name='apim')
        """
        words = re.fullmatch(
            r"/subscriptions/([^/]+)/resourceGroups/([^/]+)/providers/Microsoft\.ApiManagement/service/([^/]+)/?",
            arm_id,
            re.IGNORECASE,
        )
        if words is None:
            raise Misconfigured(
                f"{arm_id!r} is not the ARM id of an API Management service: write api_management as "
                "/subscriptions/<id>/resourceGroups/<group>/providers/Microsoft.ApiManagement/service/<name>"
            )
        return cls(*words.groups())


class Asked(msgspec.Struct, frozen=True):
    """What was asked of whom: the half of an error message that the answer does not hold."""

    what: str  # "read the backend pool 'green-blue-pool' of API Management 'apim'"
    action: str  # the permission it needs: Microsoft.ApiManagement/service/backends/read
    knob: str  # the policy's key that names the resource: "pool"


class Raw(msgspec.Struct, frozen=True):
    """A resource as it came over the wire: fields that the SDK's models do not know are still there."""

    body: dict[str, Any]
    etag: str


class ArmClients:
    """The clients, one per subscription, made at the first use; and the rule for asking again.

    `now` tells epoch seconds and `sleep` waits: arguments, as everywhere.
    """

    def __init__(
        self,
        arm_url: str,
        credential: "Callable[[], TokenCredential]",
        *,
        now: Callable[[], float],
        sleep: Callable[[float], None],
        poll_seconds: float = 2.0,
        timeout_seconds: float = CALL_TIMEOUT_SECONDS,
    ) -> None:
        self.now = now
        self.sleep = sleep
        self.poll_seconds = poll_seconds
        self._arm_url = arm_url
        self._credential = credential
        self._timeout_seconds = timeout_seconds
        self._clients: dict[str, ApiManagementClient] = {}
        self._making = threading.Lock()

    def client(self, service: ApiManagement) -> "ApiManagementClient":
        """The subscription's client; the SDK is imported here, so an idle tick does not pay for it."""
        with self._making:
            if service.subscription not in self._clients:
                from azure.mgmt.apimanagement import ApiManagementClient

                self._clients[service.subscription] = ApiManagementClient(
                    self._credential(),
                    service.subscription,
                    base_url=self._arm_url,
                    api_version=API_VERSION,
                    retry_total=0,
                    raw_response_hook=_must_be_json,
                    connection_timeout=self._timeout_seconds,
                    read_timeout=self._timeout_seconds,
                )
            return self._clients[service.subscription]

    def once(self, ask: Callable[[], T], asked: Asked) -> T:
        """Ask one time; a failure is translated, its cause chained."""
        from azure.core.exceptions import AzureError, DeserializationError

        try:
            return ask()
        except AzureError as error:
            raise translate(error, asked, self.now()) from error
        except DeserializationError as error:
            raise Misconfigured(
                f"{asked.what}: a field has not the type of api-version {API_VERSION}. Correct the "
                f"resource that `{asked.knob}` names"
            ) from error

    def read(self, ask: Callable[[], T], asked: Asked) -> T:
        """Ask, and ask again while the other side is unavailable and the budget lasts."""
        return self._retrying()(lambda: self.once(ask, asked))

    def write(
        self,
        send: Callable[[], object],
        look: Callable[[], R],
        asked: Asked,
        *,
        ours: Callable[[R], bool],
        etag: str,
    ) -> R:
        """Send a write that carries If-Match `etag`; the answer is what `look` read back afterwards.

        A failed write may have been applied all the same. So after each failure the resource is read: if it
        shows what we wrote it was our own write; if its ETag is still `etag` the write is sent again, within
        the budget (an OperationFailed is not); otherwise somebody else wrote first (Conflict).
        """

        def attempt() -> R | None:
            try:
                self.once(send, asked)
            except (Conflict, Unavailable) as error:
                seen = self.once(look, asked)
                if ours(seen):
                    return seen
                if isinstance(error, Unavailable) and seen.etag == etag:
                    raise
                raise Conflict(f"{asked.what}: somebody else wrote first; read it again") from error
            return None

        seen = self._retrying()(attempt)
        return self.read(look, asked) if seen is None else seen

    def _retrying(self) -> "Retrying":
        from tenacity import Retrying, retry_if_exception

        started = self.now()

        def spent(state: "RetryCallState") -> bool:
            over = self.now() - started + state.upcoming_sleep > BUDGET_SECONDS
            return over or state.attempt_number >= ATTEMPTS

        def pause(state: "RetryCallState") -> float:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, Unavailable) and error.retry_at is not None:
                return max(error.retry_at - self.now(), 0.0)
            return float(FIRST_WAIT_SECONDS * 2 ** (state.attempt_number - 1))

        return Retrying(
            retry=retry_if_exception(lambda error: type(error) is Unavailable),  # not an OperationFailed
            wait=pause,
            stop=spent,
            sleep=self.sleep,
            reraise=True,
        )


def keep_raw(pipeline_response: Any, _model: object, headers: dict[str, str]) -> Raw:
    """The `cls` of a GET: the text itself and the ETag, which the SDK's models drop."""
    body = json.loads(pipeline_response.http_response.text())
    return Raw(body=body if isinstance(body, dict) else {}, etag=headers.get("ETag") or "")


def _must_be_json(pipeline_response: Any) -> None:
    """A page of HTML with status 200 comes from a proxy; the SDK would call it a field of a wrong type."""
    from azure.core.exceptions import DecodeError

    response = pipeline_response.http_response
    if response.status_code not in (200, 201) or response.request.method not in ("GET", "PUT"):
        return
    try:
        json.loads(response.text())
    except ValueError as error:
        raise DecodeError("not JSON", response=response) from error


def translate(error: "AzureError", asked: Asked, now: float) -> Conflict | Misconfigured | Unavailable:
    """The library's error as one of ours. Says what was asked, what came, and what a person can do."""
    from azure.core.exceptions import (
        ClientAuthenticationError,
        DecodeError,
        HttpResponseError,
        ServiceRequestError,
        ServiceResponseError,
    )

    match error:
        case ClientAuthenticationError() if error.status_code != 401:  # of azure-identity: ARM's own are 401
            return Unavailable(
                f"{asked.what}: no token. Switch the function app's managed identity on; for a user-assigned "
                "one set AZURE_CLIENT_ID to its client id"
            )
        case DecodeError():
            return Unavailable(f"{asked.what}: the answer is not JSON. Is ARM_URL the management endpoint?")
        case HttpResponseError() if error.response is not None:
            return _of_status(error, asked, now)
        case ServiceResponseError():
            return Unavailable(f"{asked.what}: the request was sent and no whole answer came")
        case ServiceRequestError():
            return Unavailable(f"{asked.what}: no connection to ARM (ARM_URL) or to the identity endpoint")
        case _:
            return Unavailable(f"{asked.what}: {type(error).__name__}")


def _of_status(error: "HttpResponseError", asked: Asked, now: float) -> Conflict | Misconfigured | Unavailable:
    status = error.status_code or 0
    said = _said(error)
    match status:
        case 412:
            return Conflict(f"{asked.what}: the ETag is not the current one any more (412)")
        case 401:
            return Misconfigured(
                f"{asked.what}: 401{said}. ARM refuses the identity's token: is the function app's identity "
                "in the subscription's tenant (a person: az login --tenant <its tenant>), and is ARM_URL this cloud's?"
            )
        case 403:
            return Forbidden(f"{asked.what}: 403{said}. The identity may not do {asked.action}: assign {ROLE} to it")
        case 404 if "SubscriptionNotFound" in said:
            return Misconfigured(
                f"{asked.what}: 404{said}. Correct the subscription in the policy's ARM ids (api_management, site), "
                "or sign in to its tenant: az login --tenant <its tenant>"
            )
        case 404:
            return Misconfigured(f"{asked.what}: 404{said}. Correct `{asked.knob}` in the policy")
        case 409 if "ScopeLocked" in said:
            return Misconfigured(f"{asked.what}: 409{said}. Remove the resource lock")
        case 200 | 201 | 202:
            return OperationFailed(f"{asked.what}: ARM accepted it, then the operation failed{said}")
        case 408 | 409 | 429:
            return Unavailable(f"{asked.what}: {status}{said}", retry_at=_retry_at(error, now))
        case _ if status >= 500 or getattr(error.error, "code", None) in BUSY:
            return Unavailable(f"{asked.what}: {status}{said}", retry_at=_retry_at(error, now))
        case _:
            return Misconfigured(f"{asked.what}: {status}{said}. Until that is mended ARM will say it again")


def _said(error: "HttpResponseError") -> str:
    """ARM's own code and message, in brackets; empty where it gave none."""
    code = getattr(error.error, "code", None)
    message = getattr(error.error, "message", None)
    words = ": ".join(" ".join(str(word).split()) for word in (code, message) if word)
    return f" ({words[:MESSAGE_LENGTH]})" if words else ""


def _retry_at(error: "HttpResponseError", now: float) -> float | None:
    header = getattr(error.response, "headers", {}).get("Retry-After")
    seconds = retry_after_seconds(header, now)
    return None if seconds is None else now + seconds


def retry_after_seconds(header: str | None, now: float) -> float | None:
    """Seconds until asking again makes sense; None = the header is absent or says nothing usable.

    >>> retry_after_seconds("7", 0), retry_after_seconds("Thu, 01 Jan 1970 00:01:00 GMT", 50)
    (7.0, 10.0)
    >>> retry_after_seconds("soon", 0), retry_after_seconds("999999", 0)
    (None, 900.0)
    """
    if header is None:
        return None
    text = header.strip()
    if re.fullmatch(r"\d{1,9}(\.\d+)?", text):
        seconds = float(text)
    else:
        try:
            seconds = parsedate_to_datetime(text).timestamp() - now
        except (ValueError, OverflowError):
            return None
    return min(max(seconds, 0.0), LONGEST_RETRY_AFTER_SECONDS)
