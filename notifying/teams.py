"""Microsoft Teams, through a webhook of Workflows."""

from notifying.card import teams
from notifying.post import Target, post
from rollouts.notice import Notice


class Teams:
    """One Teams channel or chat."""

    def __init__(self, target: Target) -> None:
        self._target = target

    def send(self, notice: Notice) -> None:
        """Post the notice as an Adaptive Card."""
        post(self._target, teams(notice), {})
