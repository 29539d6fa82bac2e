"""The marker: the named value that says which slot is live. Written with If-Match, waited for, read back."""

import json
from typing import IO, TYPE_CHECKING, Any, cast

from rollouts.errors import Misconfigured, Unavailable
from rollouts.observation import MarkerReading, Slot
from shifting.arm import ApiManagement, ArmClients, Asked, OperationFailed, Raw, keep_raw, translate

if TYPE_CHECKING:
    from azure.mgmt.core.polling.arm_polling import ARMPolling

READ = "Microsoft.ApiManagement/service/namedValues/read"
WRITE = "Microsoft.ApiManagement/service/namedValues/write"
# Which of the two an operation's URL needs is not documented: the definition's examples name the second.
POLL = (
    "Microsoft.ApiManagement/service/operationresults/read and "
    "Microsoft.ApiManagement/service/tenant/operationResults/read"
)
OPERATION_SECONDS = 30.0  # a named value is written in a few; the next tick looks again, and a tick has sixty
SHORTEST_POLL_SECONDS = 0.01  # a server may say Retry-After: 0; the count of polls must stay bounded
SHOWN_LENGTH = 40  # of an unknown value in a message: enough to recognise it


class Marker:
    """Reads and writes markers (controller.seams.MarkerShifter)."""

    def __init__(self, arm: ArmClients) -> None:
        self._arm = arm

    def read(self, api_management: str, marker: str) -> MarkerReading:
        """The live slot, with the ETag.

        Misconfigured unless the value is exactly `blue` or `green`, in lower case: the gateway's own policies
        compare it, too, and they do not fold case.
        """
        service = ApiManagement.parse(api_management)
        return _reading(
            self._arm.read(lambda: self._get(service, marker), _asked("read", READ, service, marker)), marker
        )

    def write(self, api_management: str, marker: str, live: Slot, etag: str) -> MarkerReading:
        """Set it if it is still at `etag`, wait for the operation; the answer is what was read back.

        Unavailable when the operation failed or does not end in time, Conflict when somebody wrote first.
        """
        service = ApiManagement.parse(api_management)
        asked = _asked("write", WRITE, service, marker)
        body = json.dumps({"properties": {"value": live.value}}).encode()
        return self._arm.write(
            lambda: self._patch(service, marker, body, etag, asked),
            lambda: _reading(self._get(service, marker), marker),
            asked,
            ours=lambda reading: reading.live is live,
            etag=etag,
        )

    def _get(self, service: ApiManagement, marker: str) -> Raw:
        operations = self._arm.client(service).named_value
        return cast(Raw, operations.get(service.resource_group, service.name, marker, cls=keep_raw))

    def _patch(self, service: ApiManagement, marker: str, body: bytes, etag: str, asked: Asked) -> None:
        """PATCH the value alone: tags, display name and whatever else it has are not sent, so they stay."""
        from azure.core.exceptions import AzureError

        operations = self._arm.client(service).named_value
        poller = operations.begin_update(
            service.resource_group,
            service.name,
            marker,
            etag,
            cast("IO[bytes]", body),  # typed as a stream; bytes are sent as they are
            polling=self._polling(asked.what),
        )
        try:
            poller.result()
        except AzureError as error:
            poll = Asked(f"{asked.what}: accepted; wait for the operation", POLL, asked.knob)
            failure = translate(error, poll, self._arm.now())
            retry_at = failure.retry_at if isinstance(failure, Unavailable) else None
            raise OperationFailed(str(failure), retry_at=retry_at) from error

    def _polling(self, what: str) -> "ARMPolling":
        """The SDK's polling, on our clock and with an end: the SDK itself would wait for ever.

        Only Location is followed: what Azure-AsyncOperation names has been seen to answer without a status, and the SDK
        takes that for a failure (Azure/azure-sdk-for-python issue 40909). An answer with neither is the end.
        """
        from azure.core.polling.base_polling import LocationPolling
        from azure.mgmt.core.polling.arm_polling import ARMPolling, BodyContentPolling

        sleep = self._arm.sleep

        class Bounded(ARMPolling):
            waited = 0.0

            def _delay(self) -> None:
                wait = max(self._extract_delay(), SHORTEST_POLL_SECONDS)
                self.waited += wait
                if self.waited > OPERATION_SECONDS:
                    raise OperationFailed(f"{what}: the operation still runs after {OPERATION_SECONDS:g} s")
                sleep(wait)

        ways: list[Any] = [LocationPolling(), BodyContentPolling()]  # typed for one of the SDK's two requests
        return Bounded(self._arm.poll_seconds, lro_algorithms=ways, lro_options={"final-state-via": "location"})


def _reading(raw: Raw, marker: str) -> MarkerReading:
    properties = raw.body.get("properties")
    if not isinstance(properties, dict):
        raise _mend(marker, "it cannot be read")
    if properties.get("secret") or properties.get("keyVault"):
        raise _mend(marker, "it is a secret, and a secret's value cannot be read back")
    value = properties.get("value")
    if value not in tuple(Slot):
        shown = "nothing" if value is None else repr(value)[:SHOWN_LENGTH]
        raise _mend(marker, f"it holds {shown}")
    if not raw.etag:
        raise _mend(marker, "ARM showed it without an ETag, so it cannot be written safely")
    return MarkerReading(live=Slot(value), etag=raw.etag)


def _mend(marker: str, wrong: str) -> Misconfigured:
    return Misconfigured(
        f"named value {marker!r}: {wrong}. In API Management, make it a plain named value (not a secret) "
        "that holds exactly 'blue' or 'green', in lower case: the slot that serves now"
    )


def _asked(verb: str, action: str, service: ApiManagement, marker: str) -> Asked:
    return Asked(f"{verb} the named value {marker!r} of API Management {service.name!r}", action, "marker")
