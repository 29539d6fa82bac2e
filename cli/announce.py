"""`canary announce`: tell Flex Canary that a deployment is complete, through Event Grid."""

import logging
import os
from collections.abc import Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from urllib.parse import urlsplit

import typer

from cli import certificates
from cli.credential import credential
from cli.ending import BadInput, ends
from cli.options import AsJson, service_name
from cli.screen import Screen
from cli.wait import wait_for
from rollouts.errors import CanaryError, Misconfigured, Unavailable
from rollouts.observation import Slot

if TYPE_CHECKING:
    from azure.core.exceptions import AzureError

EVENT_TYPE = "Canary.DeploymentCompleted"
TOPIC_SETTING, TOPIC_KEY_SETTING = "CANARY_TOPIC", "CANARY_TOPIC_KEY"
ATTEMPTS = 4  # over some ten seconds: a deployment must not fail for one lost packet
MAX_TEXT = 200  # of any value in the event: it travels on into cards


class Rollback(StrEnum):
    """May this version's rollout go back by itself?"""

    AUTO = "auto"
    ASK = "ask"


@ends
def announce(
    *,
    service: Annotated[str, typer.Option("--service", help="Name of the service.", callback=service_name)],
    version: Annotated[str, typer.Option("--version", help="The version that the slot's health URL answers now.")],
    slot: Annotated[Slot, typer.Option("--slot", help="The slot that was deployed to, from `canary target`.")],
    deployment_id: Annotated[
        str, typer.Option("--deployment-id", help="The run's id: the same id never starts a second rollout.")
    ],
    commit: Annotated[str | None, typer.Option("--commit", help="The commit that was built.")] = None,
    link: Annotated[str | None, typer.Option("--link", help="URL of the pipeline's run, for the card.")] = None,
    retry: Annotated[
        bool, typer.Option("--retry", help="Start it although it was live or rolled back before.")
    ] = False,
    rollback: Annotated[
        Rollback, typer.Option("--rollback", help="ask: page a person instead of going back (a migration).")
    ] = Rollback.AUTO,
    topic: Annotated[
        str | None, typer.Option("--topic", envvar=TOPIC_SETTING, help="Endpoint of the Event Grid topic.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish Canary.DeploymentCompleted (CloudEvents). Safe to repeat: the deployment id tells it apart.

    Signs in with the machine's identity or `az login` (role EventGrid Data Sender), or with CANARY_TOPIC_KEY.
    """
    endpoint = _endpoint(topic)
    for name, text in (("--version", version), ("--deployment-id", deployment_id), ("--commit", commit)):
        if text is not None and not (0 < len(text) <= MAX_TEXT and text.isprintable() and text == text.strip()):
            raise BadInput(f"{name}: write 1 to {MAX_TEXT} printable characters, with no space before or after")
    data = {
        "service": service,
        "slot": slot.value,
        "version": version,
        "deploymentId": deployment_id,
        "commit": commit,
        "link": _web(link),
        "retry": retry,
        "rollback": rollback.value,
    }
    event_id = f"{service}/{slot.value}/{deployment_id}"
    _publish(endpoint, event_id, data)
    screen = Screen(as_json=as_json)
    if as_json:
        screen.result({"id": event_id, "type": EVENT_TYPE, "data": data})
        return
    screen.line(f"announced: {version} on {slot.value} of {service}")
    screen.aside(f"follow it: {wait_for(service, version, deployment_id)}")


def _endpoint(topic: str | None) -> str:
    if not topic:
        raise BadInput(
            f"where is the topic? Write --topic https://<topic>.<region>-1.eventgrid.azure.net/api/events "
            f"or set {TOPIC_SETTING}"
        )
    parts = urlsplit(topic)
    if parts.scheme != "https" or not parts.hostname or parts.query or "@" in parts.netloc:
        raise BadInput("--topic is not a topic's endpoint: write https://..., without user, key or query")
    return topic


def _web(link: str | None) -> str | None:
    if link is not None and (not link.startswith(("https://", "http://")) or not link.isprintable()):
        raise BadInput("--link: write a URL that begins with https://")
    return link


def _publish(endpoint: str, event_id: str, data: Mapping[str, object]) -> None:
    from azure.core.credentials import AzureKeyCredential
    from azure.core.exceptions import AzureError
    from azure.core.messaging import CloudEvent
    from azure.eventgrid import EventGridPublisherClient

    certificates.must_be_there()
    # It warns that it does not know retry_total, and obeys it.
    logging.getLogger("azure.eventgrid._legacy").setLevel(logging.ERROR)
    key = os.environ.get(TOPIC_KEY_SETTING)
    signed: Any = AzureKeyCredential(key) if key else credential()
    subject = f"services/{data['service']}/slots/{data['slot']}"
    event = CloudEvent(source="/flex-canary/cli", type=EVENT_TYPE, subject=subject, data=dict(data), id=event_id)
    try:
        with EventGridPublisherClient(endpoint, signed) as client:
            client.send(event, retry_total=ATTEMPTS - 1)
    except AzureError as error:
        raise _translated(error) from error


def _translated(error: "AzureError") -> CanaryError:
    """What the topic said, by whose fault it is; the endpoint's path and the key are not repeated."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceNotFoundError

    status = error.status_code if isinstance(error, HttpResponseError) else None
    if isinstance(error, ResourceNotFoundError):  # the client raises it anew, without the answer
        status = 404
    match status:
        case 401 | 403:
            return Misconfigured(
                f"the topic refuses the sender ({status}): assign the role 'EventGrid Data Sender' on the topic to the "
                f"identity that runs this, or set {TOPIC_KEY_SETTING} to the topic's key"
            )
        case 404:
            return BadInput(f"there is no such topic: is {TOPIC_SETTING} the topic's endpoint, with /api/events?")
        case 400 | 413:
            return Misconfigured(f"the topic refuses the event ({status}): its input schema must be CloudEvents 1.0")
        case None if isinstance(error, ClientAuthenticationError):
            return Misconfigured("no sign-in for Azure: run `az login`, or set the topic's key in CANARY_TOPIC_KEY")
        case None:
            return Unavailable("the topic cannot be reached: is CANARY_TOPIC right, and the network up?")
        case _:
            return Unavailable(f"the topic cannot take the event now ({status}): run it again, it starts nothing twice")
