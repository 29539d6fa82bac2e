"""From a channel of the policy and the app settings to what delivers its notices."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, assert_never
from urllib.parse import urlsplit

from notifying.outbox import Sender
from notifying.post import Target
from rollouts.errors import Misconfigured
from rollouts.policy import Channel

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


def open_channel(
    channel: Channel, settings: Mapping[str, str], credential_factory: "Callable[[], TokenCredential]"
) -> Sender:
    """What delivers the notices of `channel`; Misconfigured names the setting that is missing or wrong."""
    target = Target(channel=channel.name, setting=channel.url_setting, url=_url(channel, settings))
    match channel.kind:
        case "teams":
            from notifying.teams import Teams

            return Teams(target)
        case "slack":
            from notifying.slack import Slack

            return Slack(target)
        case "webhook":
            from notifying.webhook import Webhook

            return Webhook(target, settings.get(f"{channel.url_setting}_SECRET") or None)
        case "event_grid":
            from azure.core.credentials import AzureKeyCredential

            from notifying.event_grid import EventGridTopic

            key = settings.get(f"{channel.url_setting}_KEY")
            return EventGridTopic(target, AzureKeyCredential(key) if key else credential_factory())
        case _:
            assert_never(channel.kind)


def _url(channel: Channel, settings: Mapping[str, str]) -> str:
    """The URL in the channel's setting; it is a secret, so not even a wrong one is shown."""
    url = settings.get(channel.url_setting, "").strip()
    what = "the topic's endpoint" if channel.kind == "event_grid" else "the webhook's URL"
    if not url:
        raise Misconfigured(
            f"channel {channel.name}: {channel.url_setting} is not set: write {what} into the app settings"
        )
    try:
        parts = urlsplit(url)
        port_is_good = parts.port is None or parts.port > 0
    except ValueError:
        parts, port_is_good = urlsplit(""), False
    if parts.scheme != "https" or not parts.hostname or not port_is_good or not url.isprintable() or " " in url:
        raise Misconfigured(
            f"channel {channel.name}: {channel.url_setting} holds no https:// URL: write {what} into the app settings"
        )
    return url
