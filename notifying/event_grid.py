"""An Event Grid topic: each notice becomes a CloudEvent of the type `Canary.Notice`."""

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from azure.core.credentials import AzureKeyCredential
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.core.messaging import CloudEvent
from azure.eventgrid import EventGridPublisherClient

from notifying.card import content, data
from notifying.post import CONNECT_SECONDS, READ_SECONDS, TRANSIENT, Target
from notifying.waiting import Throttled, seconds_to_wait
from rollouts.errors import CanaryError, Forbidden, Misconfigured, Unavailable
from rollouts.notice import Notice

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

TYPE = "Canary.Notice"

# The client warns of every option that is given for one call, which is the only place where it heeds them.
logging.getLogger("azure.eventgrid._legacy").setLevel(logging.ERROR)


class EventGridTopic:
    """One topic, whose endpoint is the target's URL; the credential is a key or an identity."""

    def __init__(self, target: Target, credential: "AzureKeyCredential | TokenCredential") -> None:
        self._target = target
        self._client = EventGridPublisherClient(target.url, credential)

    def send(self, notice: Notice) -> None:
        """Publish the notice; its id is the event's, so that a repeated one is recognised."""
        event = CloudEvent(
            id=notice.id,
            source=f"/flex-canary/{notice.service}",
            type=TYPE,
            subject=notice.rollout or notice.service,
            time=datetime.fromtimestamp(notice.at, UTC),
            data={**data(notice), "title": content(notice).title},
        )
        try:
            # Per call: the client throws away what its constructor is given.
            self._client.send(event, retry_total=0, connection_timeout=CONNECT_SECONDS, read_timeout=READ_SECONDS)
        except AzureError as error:
            raise self._translated(error) from None  # its text holds the endpoint

    def _translated(self, error: AzureError) -> CanaryError:
        name, setting = self._target.name, self._target.setting
        status = error.status_code if isinstance(error, HttpResponseError) else None
        if isinstance(error, ClientAuthenticationError) or status in (401, 403):
            return (Forbidden if status == 403 else Misconfigured)(
                f"{name} refuses the function app ({status or 'no token'}): give its identity the role "
                f"'EventGrid Data Sender' on the topic, or write the topic's key into {setting}_KEY"
            )
        if status == 429:
            headers = getattr(getattr(error, "response", None), "headers", {})
            return Throttled(f"{name} answered 429: too many events", seconds_to_wait(headers))
        if status in TRANSIENT or isinstance(error, ServiceRequestError | ServiceResponseError):
            return Unavailable(f"{name} does not answer ({status or type(error).__name__}); it is tried again")
        if status == 400:
            return Misconfigured(
                f"{name} refuses the event (400): the topic's input schema must be CloudEvents 1.0 (inputSchema: "
                f"CloudEventSchemaV1_0); let {setting} hold the endpoint of such a topic"
            )
        return Misconfigured(f"{name} answered {status}: check that {setting} holds the topic's endpoint")
