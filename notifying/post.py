"""One POST to a webhook whose URL is a secret: its answer is understood here, the URL is never told.

An error names the channel and the setting that holds the URL. The HTTP library's own error is not chained:
its text holds the URL.
"""

import logging
import re
from collections.abc import Mapping
from urllib.parse import unquote

import msgspec
import requests

from notifying.waiting import NotTaken, Throttled, seconds_to_wait
from rollouts.errors import CanaryError, Misconfigured, Unavailable

CONNECT_SECONDS = 3.05
READ_SECONDS = 10.0
ANSWER_BYTES = 4096  # of an answer that are looked at
TOLD_CHARACTERS = 100  # of an answer that go into an error
TRANSIENT = {408, 425, 429, 500, 502, 503, 504}
HIDDEN_STATUS = re.compile(r"HTTP error (\d{3})")

# urllib3 writes the path of a request, which is the secret: of each at level DEBUG, and as a warning where an answer's
# headers are malformed.
logging.getLogger("urllib3.connectionpool").setLevel(logging.INFO)
logging.getLogger("urllib3.connection").setLevel(logging.ERROR)


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """Where to post. Its repr is that of the setting, not of the URL."""

    channel: str
    setting: str
    url: str

    def __repr__(self) -> str:
        return f"Target(channel={self.channel!r}, setting={self.setting!r})"

    @property
    def name(self) -> str:
        """How errors call it."""
        return f"channel {self.channel} ({self.setting})"


def post(target: Target, body: bytes, headers: Mapping[str, str]) -> None:
    """Deliver `body` as JSON. Unavailable or Throttled: try later. Misconfigured: mend the setting."""
    try:
        with requests.post(
            target.url,
            data=body,
            headers={"content-type": "application/json", **headers},
            timeout=(CONNECT_SECONDS, READ_SECONDS),
            allow_redirects=False,
            stream=True,
        ) as answer:
            text = _legible(answer)
            status, told = answer.status_code, dict(answer.headers)
    except (requests.exceptions.InvalidURL, requests.exceptions.InvalidSchema, UnicodeError):
        raise Misconfigured(f"{target.name}: the setting holds no URL that can be called; write it anew") from None
    except (OSError, requests.RequestException) as error:
        what = type(error).__name__
        raise Unavailable(f"{target.name} does not answer ({what}); it is tried again") from None
    # The old Teams webhooks answered 200 and wrote the real status into the text.
    if status == 200 and (hidden := HIDDEN_STATUS.search(text)):
        status = int(hidden[1])
    if not 200 <= status < 300:
        raise _error(target, status, _without_url(target, text), told)


def _legible(answer: requests.Response) -> str:
    """The beginning of the body. One that breaks off says nothing: whether it was taken, the status has said."""
    try:
        beginning: bytes = next(answer.iter_content(ANSWER_BYTES), b"")
    except (OSError, requests.RequestException):
        return ""
    return beginning.decode("utf-8", "replace")


def _error(target: Target, status: int, text: str, headers: Mapping[str, str]) -> CanaryError:
    said = f"{target.name} answered {status}" + (f" ({text})" if text else "")
    wait = seconds_to_wait(headers)
    if status == 429 or (status == 503 and wait is not None):
        return Throttled(f"{said}: too many messages", wait)
    if status in TRANSIENT or status > 504:
        return Unavailable(f"{said}; it is tried again")
    if 300 <= status < 400:
        return Misconfigured(f"{said}: redirects are not followed, write the final URL into {target.setting}")
    if status in (401, 403, 404, 405, 410):
        return Misconfigured(f"{said}: the webhook is gone or refuses; write a working URL into {target.setting}")
    return NotTaken(f"{said}: it does not take this message; check that {target.setting} fits the channel's kind")


def _without_url(target: Target, text: str) -> str:
    """The beginning of an answer in one line, without the URL or any long part of it."""
    forms = {target.url, unquote(target.url)}
    parts = {part for form in forms for part in re.split(r"[/?&=:]+", form) if len(part) >= 8} | forms
    for part in sorted(parts, key=len, reverse=True):
        text = text.replace(part, f"<{target.setting}>")
    return " ".join("".join(one if one.isprintable() else " " for one in text).split())[:TOLD_CHARACTERS]
