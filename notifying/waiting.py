"""How long a channel wants to be left alone."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from rollouts.errors import Misconfigured, Unavailable


class Throttled(Unavailable):
    """Too many messages: come back in `seconds`; None = it did not say."""

    def __init__(self, message: str, seconds: float | None) -> None:
        super().__init__(message)
        self.seconds = seconds


class NotTaken(Misconfigured):
    """The receiver refuses this message; another one it may take."""


def seconds_to_wait(headers: Mapping[str, str]) -> float | None:
    """What Retry-After asks for, as seconds or as a date; None = nothing that can be understood.

    >>> seconds_to_wait({"retry-after": "7"})
    7.0
    >>> date = {"date": "Tue, 24 Nov 2026 05:28:00 GMT", "retry-after": "Tue, 24 Nov 2026 05:28:30 GMT"}
    >>> seconds_to_wait(date)
    30.0
    """
    lower = {name.lower(): value.strip() for name, value in headers.items()}
    asked = lower.get("retry-after", "")
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,9})?", asked):
        return float(asked)
    try:
        until, now = parsedate_to_datetime(asked), parsedate_to_datetime(lower.get("date", ""))
        return max(0.0, (until - now).total_seconds())
    except (ValueError, TypeError):
        return None
