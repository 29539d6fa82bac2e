"""Draining the outbox: every notice at least once to each channel, in order, without holding up anything.

A channel that fails keeps its order: its later notices wait. It never holds up another channel or the tick:
after one failure it is left alone until the retry is due. A notice that the receiver alone does not take is passed
over, so that it holds up none of those behind it for a day. Each entry is claimed before it is sent, so that
two ticks at once do not both send it; a process that dies after sending sends it again.
"""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol, TypeVar

from notifying.waiting import NotTaken, Throttled
from rollouts.errors import CanaryError, Conflict, Misconfigured, Unavailable
from rollouts.notice import Notice
from rollouts.policy import Channel

CLAIM_SECONDS = 60.0  # longer than a send can take: connection, answer, and a token for it
SENDS = 5  # to one channel in one tick: chats take about one a second
FIRST_RETRY_SECONDS = 15.0  # doubled with each attempt
LONGEST_RETRY_SECONDS = 900.0
MEND_SECONDS = 600.0  # until a channel that a person must mend is tried again
LONGEST_WAIT_SECONDS = 3600.0  # of what a channel may ask for
GIVE_UP_SECONDS = 24 * 3600.0  # a closed rollout does not wait for ever on a dead webhook
ERROR_CHARACTERS = 500

log = logging.getLogger(__name__)


class Entry(Protocol):
    """One notice for one channel, as the outbox holds it."""

    @property
    def channel(self) -> str:
        """Its name in the policy."""

    @property
    def notice(self) -> Notice:
        """What to send."""

    @property
    def queued_at(self) -> float:
        """Epoch seconds."""

    @property
    def attempts(self) -> int:
        """How often it was claimed."""

    @property
    def retry_at(self) -> float | None:
        """Epoch seconds before which nobody sends it; None = now."""


E = TypeVar("E", bound=Entry)


class Outbox(Protocol[E]):
    """Where entries wait. Every change raises Conflict when somebody else changed the entry first."""

    def outbox(self, service: str) -> list[E]:
        """Every entry that waits, in order."""

    def claim(self, entry: E, until: float) -> E:
        """Take it for sending until then; counts the attempt."""

    def sent(self, entry: E, at: float) -> None:
        """Delivered."""

    def failed(self, entry: E, error: str, retry_at: float) -> E:
        """Not delivered; to be tried again."""

    def gave_up(self, entry: E, error: str, at: float) -> None:
        """Not delivered, and not tried again."""


class Sender(Protocol):
    """Delivers one notice. Raises Unavailable (try later) or Misconfigured (a person must mend something)."""

    def send(self, notice: Notice) -> None:
        """At least once."""


def drain(
    outbox: Outbox[E],
    service: str,
    channels: Mapping[str, Channel],
    open_channel: Callable[[Channel], Sender],
    now: float,
) -> list[E]:
    """Send what is due, at most SENDS to each channel; what was sent."""
    waiting: dict[str, list[E]] = {}
    for entry in outbox.outbox(service):
        waiting.setdefault(entry.channel, []).append(entry)
    sent: list[E] = []
    for name, entries in waiting.items():
        channel = channels.get(name)
        if channel is None:
            _give_up_all(outbox, entries, f"channel {name} is not in the policy any more", now)
        else:
            sent += _drain_channel(outbox, entries[:SENDS], partial(open_channel, channel), now)
    return sent


def _drain_channel(outbox: Outbox[E], entries: list[E], open_sender: Callable[[], Sender], now: float) -> list[E]:
    """Send one channel's entries in order, up to the first that is not due or, but for NotTaken, not delivered."""
    sent: list[E] = []
    sender: Sender | None = None
    for entry in entries:
        if entry.retry_at is not None and entry.retry_at > now:
            break
        try:
            claimed = outbox.claim(entry, now + CLAIM_SECONDS)
            try:
                sender = sender or open_sender()
                sender.send(entry.notice)
            except Exception as error:  # noqa: BLE001  # a bug in one channel must not silence the others
                _failed(outbox, claimed, error, now)
                if isinstance(error, NotTaken):
                    continue
                break
            outbox.sent(claimed, now)
        except Conflict:  # another tick is at it
            break
        sent.append(claimed)
    return sent


def _failed(outbox: Outbox[E], entry: E, error: Exception, now: float) -> None:
    """Keep the error where people see it, and say when to try again, or that it is over."""
    # Only our own errors are known to hold no secret.
    told = str(error) if isinstance(error, CanaryError) else f"channel {entry.channel}: {type(error).__name__}, a bug"
    told = told[:ERROR_CHARACTERS]
    log.warning("notice %s was not delivered: %s", entry.notice.id, told)
    if now - entry.queued_at >= GIVE_UP_SECONDS:
        outbox.gave_up(entry, f"given up after {entry.attempts} attempts in 24 h: {told}", now)
    else:
        outbox.failed(entry, told, now + _wait(error, entry.attempts, now))


def _wait(error: Exception, attempts: int, now: float) -> float:
    """Seconds until the next attempt: what the channel asked for, else longer each time."""
    asked: float | None = None
    if isinstance(error, Throttled):
        asked = error.seconds
    elif isinstance(error, Unavailable) and error.retry_at is not None:
        asked = error.retry_at - now
    elif isinstance(error, Misconfigured):
        asked = MEND_SECONDS
    if asked is None:
        asked = min(LONGEST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(max(attempts - 1, 0), 10))
    return min(max(asked, 1.0), LONGEST_WAIT_SECONDS)


def _give_up_all(outbox: Outbox[E], entries: list[E], error: str, now: float) -> None:
    for entry in entries:
        try:
            outbox.gave_up(entry, error, now)
        except Conflict:  # another tick gave it up
            return
