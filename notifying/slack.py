"""Slack, through an incoming webhook."""

from notifying.card import slack
from notifying.post import Target, post
from rollouts.notice import Notice


class Slack:
    """One Slack channel."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def send(self, notice: Notice) -> None:
        """Post the notice as blocks."""
        post(self._target, slack(notice), {})
