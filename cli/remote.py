"""The function app as the commands see it: its HTTP API, and what each of its refusals means."""

import os
import re
from typing import Any
from urllib.parse import quote, urlsplit

from cli import certificates
from cli.ending import BadInput
from rollouts.errors import NotFound, PolicyError, Refused, Unavailable
from rollouts.policy_file.leaves import is_loopback

CONNECT_SECONDS = 10.0  # a Flex instance answers the handshake at once; the host name resolves or does not
ANSWER_SECONDS = 100.0  # a cold start, and a preempting `target` that waits for the pool's read-back
URL_SETTING, KEY_SETTING = "CANARY_URL", "CANARY_KEY"
Answer = dict[str, Any]


class Remote:
    """Requests to one function app. The key travels in a header and is in no message."""

    def __init__(self, url: str | None) -> None:
        self._base = base_url(url)
        self._key = os.environ.get(KEY_SETTING, "")
        if re.search(r"[^\x21-\x7e]", self._key):
            raise BadInput(f"{KEY_SETTING} holds a space or a character that no key has: copy it again")

    def get(self, *path: str, **query: object) -> Answer:
        """Ask; the answer is a JSON object."""
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return self._send("GET", path, query=asked)

    def post(self, *path: str, **body: object) -> Answer:
        """Ask for an act; what is None is not sent."""
        return self._send("POST", path, json={name: value for name, value in body.items() if value is not None})

    def put_text(self, *path: str, text: str, **query: object) -> Answer:
        """Put a text in force."""
        asked = {name: str(value) for name, value in query.items() if value is not None}
        return self._send("PUT", path, query=asked, data=text.encode())

    def _send(
        self,
        method: str,
        path: tuple[str, ...],
        *,
        query: dict[str, str] | None = None,
        json: Answer | None = None,
        data: bytes | None = None,
    ) -> Answer:
        import requests

        certificates.must_be_there()
        headers = {"Accept": "application/json"}
        if self._key:
            headers["x-functions-key"] = self._key
        if data is not None:
            headers["Content-Type"] = "application/yaml; charset=utf-8"
        url = "/".join((self._base, *(quote(part, safe="") for part in path)))
        try:
            # A redirect would carry the key to another host: it is an error, not a way.
            response = requests.request(
                method,
                url,
                params=query,
                json=json,
                data=data,
                headers=headers,
                timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
                allow_redirects=False,
            )
        except requests.exceptions.SSLError as error:
            raise Unavailable(
                f"{self._base}: its certificate is not trusted: is {URL_SETTING} right? A certificate of your own"
                " network: name its file in REQUESTS_CA_BUNDLE"
            ) from error
        except requests.exceptions.Timeout as error:
            raise Unavailable(f"{self._base} does not answer in {ANSWER_SECONDS:g} s: try again") from error
        except requests.exceptions.RequestException as error:
            raise Unavailable(
                f"{self._base} cannot be reached ({_reason(error)}): is {URL_SETTING} right, is the app running?"
            ) from error
        return self._read(response)

    def _read(self, response: Any) -> Answer:
        try:
            answer = response.json()
        except ValueError:
            answer = None
        said = answer.get("error") if isinstance(answer, dict) else None
        said = said if isinstance(said, str) else None  # an object is what Azure itself says
        status = response.status_code
        match status:
            case 200 | 201 | 202 if isinstance(answer, dict):
                return answer
            case 400 if isinstance(answer, dict) and answer.get("problems"):
                raise PolicyError([str(problem) for problem in answer["problems"]])
            case 400:
                raise BadInput(said or f"{self._base} answered 400 without a reason")
            case 401 | 403:
                raise BadInput(
                    said or f"{self._base} refuses the key ({status}): set {KEY_SETTING} to a function key of the app"
                )
            case 404 if said:
                raise NotFound(said)
            case 404:
                raise BadInput(
                    f"{self._base} is no address of Flex Canary (404): is {URL_SETTING} https://<app>.azurewebsites.net?"
                )
            case 409:
                raise Refused(said or "refused without a reason")
            case 429 | 503:
                raise Unavailable(said or f"{self._base} cannot answer now ({status}): try again in a minute")
            case _ if status >= 500:
                raise Unavailable(said or f"{self._base} failed ({status}): look at its log, then try again")
            case _:
                raise Unavailable(f"{self._base} answered {status}; Flex Canary never does: is {URL_SETTING} right?")


def base_url(url: str | None) -> str:
    """The API's address; a bare host gets /api, where every function app has it.

    >>> base_url("https://canary.azurewebsites.net/")
    'https://canary.azurewebsites.net/api'
    """
    if not url:
        raise BadInput(f"where is the function app? Write --url https://<app>.azurewebsites.net or set {URL_SETTING}")
    try:
        parts = urlsplit(url)
        usable = bool(parts.hostname) and parts.scheme in {"http", "https"} and (parts.port or 1) > 0
    except ValueError:
        usable = False
    if not usable:
        raise BadInput(f"{URL_SETTING} or --url is not a URL: write https://<app>.azurewebsites.net")
    if parts.query or "@" in parts.netloc or parts.fragment:
        raise BadInput(f"the URL carries more than an address: write it without, and the key into {KEY_SETTING}")
    if parts.scheme == "http" and not is_loopback(url):
        raise BadInput("the URL is plain http, and the key would travel in clear: write https://")
    return f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/') or '/api'}"


def _reason(error: Exception) -> str:
    """The innermost cause in its own words: "Connection refused", not the whole chain."""
    words = str(error)
    found = re.findall(r"\] ([A-Z][a-z][A-Za-z ]+)", words)
    return str(found[-1]).strip() if found else type(error).__name__
