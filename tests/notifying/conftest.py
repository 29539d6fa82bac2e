"""A chat and an Event Grid topic over real HTTP, with the identity of a function app."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from azure.core.credentials import TokenCredential
from azure.identity import ManagedIdentityCredential

from lab.chat import Chat
from lab.event_grid import Topic
from lab.serving import Authority, Serving
from lab.tokens import Tokens
from notifying.channels import open_channel
from notifying.outbox import Sender
from rollouts.notice import Line, Notice, NoticeKind
from rollouts.observation import Slot, Weights
from rollouts.policy import Channel

AT = 1_795_498_080.0  # 2026-11-24 05:28:00 UTC
SETTINGS = {
    "teams": "TEAMS_WEBHOOK_URL",
    "slack": "SLACK_WEBHOOK_URL",
    "webhook": "WEBHOOK_URL",
    "event_grid": "TOPIC_URL",
}


def line(indicator: str = "failures", **changes: Any) -> Line:
    given = {
        "indicator": indicator,
        "canary": "31/400 (7.8 %)",
        "baseline": "38/4100 (0.9 %)",
        "tolerated": "1.7 %",
        "harm": "12.3 of 5.3",
        "safe": "-8.1 of 4.6",
    }
    return Line(**(given | changes))


def notice(**changes: Any) -> Notice:
    given: dict[str, Any] = {
        "id": "checkout-20261124T052800-ab12cd-7-rolled_back",
        "kind": NoticeKind.ROLLED_BACK,
        "service": "checkout",
        "rollout": "checkout-20261124T052800-ab12cd",
        "version": "1.4.2",
        "canary": Slot.GREEN,
        "at": AT,
        "text": "failures: canary 31/400 bad (7.8 %) against baseline 0.9 %. Share set to 0.",
        "channels": ("team",),
        "weights": Weights(100, 0),
        "live": Slot.BLUE,
        "lines": (line(),),
        "link": "https://pipelines.example/run/81",
        "command": "canary show checkout-20261124T052800-ab12cd",
    }
    return Notice(**(given | changes))


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def serving(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> Iterator[Serving]:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(authority.ca_file))
    with Serving(authority) as serving:
        tokens = Tokens()
        for name, value in tokens.environment(serving.serve(tokens.app(), tls=False)).items():
            monkeypatch.setenv(name, value)
        yield serving


@pytest.fixture
def chat() -> Chat:
    return Chat()


@pytest.fixture
def topic() -> Topic:
    return Topic()


@pytest.fixture
def settings(serving: Serving, chat: Chat, topic: Topic) -> dict[str, str]:
    """App settings that name the lab's endpoints."""
    return chat.environment(serving.serve(chat.app())) | {"TOPIC_URL": f"{serving.serve(topic.app())}/api/events"}


@pytest.fixture
def sender(settings: dict[str, str]) -> Callable[[str], Sender]:
    """Opens the channel of a kind, as the controller does."""

    def opened(kind: str) -> Sender:
        channel = Channel(name="team", kind=kind, url_setting=SETTINGS[kind])
        return open_channel(channel, settings, identity)

    return opened


def identity() -> TokenCredential:
    return ManagedIdentityCredential()
