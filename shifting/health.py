"""Looking at a slot through its URL: one GET with an end, whatever the other side does.

The time limit is over the whole answer. A socket's own limit starts anew with every byte, so a server that
drips would hold a tick for ever; here a thread asks, the caller waits, and at the limit the connection is cut.
"""

import codecs
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit, urlunsplit

import msgspec

from rollouts.observation import Probe, Slot

if TYPE_CHECKING:
    from requests import Response, Session

BODY_LIMIT = 64 * 1024  # bytes: a health answer is a line; a page of megabytes is something else
VERSION_LENGTH = 128  # a tag, a commit or a semantic version; longer is no version, and cards show it
WARM_UP_THREADS = 4  # enough to reach several instances, too few to be a load test
KEY_HEADER = "x-canary-preview"
SLOT_HEADER = "x-canary-slot"
VERSION_HEADER = "x-version"


class _Answer(msgspec.Struct, frozen=True):
    """What came back; or, where `status` is None, why nothing did."""

    status: int | None
    detail: str = ""
    headers: dict[str, str] = msgspec.field(default_factory=dict)
    body: bytes | None = b""  # None = longer than BODY_LIMIT
    seconds: float | None = None


class _Told(msgspec.Struct):
    """The JSON of a health answer. The version stays raw: whatever else is in there is never built."""

    version: msgspec.Raw = msgspec.Raw(b"null")


class Prober:
    """Probes and warms slots (controller.seams.Prober). Never raises: an unreachable slot is an answer.

    `timer` counts seconds and never goes back (time.monotonic). `preview_key` opens the preview route, None =
    there is no such route; `token` gives an Entra bearer token for apps that ask for one, None = they ask for
    none. Neither is sent over plain http, and neither appears in a Probe.
    """

    def __init__(
        self,
        *,
        timer: Callable[[], float],
        preview_key: str | None = None,
        token: Callable[[], str] | None = None,
    ) -> None:
        self._timer = timer
        self._preview_key = preview_key
        self._token = token

    def probe(self, url: str, path: str, timeout_seconds: float, *, preview: bool, slot: Slot | None = None) -> Probe:
        """One GET. Healthy is 200 with a JSON object or the header x-version; a redirect is not followed.

        `preview` adds the preview route's secret header and, as x-canary-slot, the `slot` it shall reach.
        """
        headers, refusal = self._headers(url, preview, slot)
        answer = _Answer(None, refusal) if refusal else self._get(_join(url, path), headers, timeout_seconds)
        if answer.status is None:
            return Probe(healthy=False, version=None, detail=answer.detail)
        healthy, version, detail = _judge(answer, _join(url, path))
        return Probe(healthy=healthy, version=version, detail=detail, seconds=answer.seconds)

    def warm_up(
        self,
        url: str,
        path: str,
        requests: int,
        timeout_seconds: float,
        *,
        preview: bool,
        slot: Slot | None = None,
    ) -> bool:
        """Send `requests` GETs, a few at a time; True when all were answered below 500.

        The first failure ends it. A redirect counts as an answer: warm-up is for the process behind the URL.
        """
        headers, refusal = self._headers(url, preview, slot)
        if refusal:
            return False
        target = _join(url, path)
        with ThreadPoolExecutor(WARM_UP_THREADS, thread_name_prefix="warm-up") as threads:
            asked = [threads.submit(self._get, target, headers, timeout_seconds) for _ in range(requests)]
            for done in as_completed(asked):
                status = done.result().status
                if status is None or status >= 500:
                    threads.shutdown(wait=False, cancel_futures=True)
                    return False
        return True

    def _headers(self, url: str, preview: bool, slot: Slot | None) -> tuple[dict[str, str], str]:
        """The request's headers, and why it must not be sent ("" = it may)."""
        headers = {"Accept": "application/json", "Accept-Encoding": "identity", "Cache-Control": "no-cache"}
        secret = preview or self._token is not None
        if secret and urlsplit(url).scheme.lower() != "https":
            return headers, "not asked: a key or a token is sent over https only; write the URL with https"
        if preview:
            if not self._preview_key:
                return headers, "not asked: gate.via is gateway and the app setting PREVIEW_KEY is not set"
            if slot is None:
                return headers, "not asked: the preview route needs a slot and none was named"
            headers |= {KEY_HEADER: self._preview_key, SLOT_HEADER: slot.value}
        if self._token is not None:
            try:
                headers["Authorization"] = f"Bearer {self._token()}"
            except Exception as error:  # noqa: BLE001  # any failure of any provider is an answer: not reachable
                return headers, f"not asked: no token for the slot ({type(error).__name__})"
        return headers, ""

    def _get(self, url: str, headers: dict[str, str], timeout_seconds: float) -> _Answer:
        """Ask in a thread and wait `timeout_seconds` at most; then cut the connection, which ends the thread."""
        connections: list[Any] = []
        answers: list[_Answer] = []
        started = self._timer()

        def ask() -> None:
            with _session(connections) as session:
                answers.append(_ask(session, url, headers, timeout_seconds))

        asking = threading.Thread(target=ask, name="probe", daemon=True)
        asking.start()
        asking.join(timeout_seconds)
        if asking.is_alive():
            _cut(connections)
            return _Answer(None, f"no answer in {timeout_seconds:g} s")
        return msgspec.structs.replace(answers[0], seconds=max(self._timer() - started, 0.0))


def _session(connections: list[Any]) -> "Session":
    """A session that follows nothing, adds no credentials of its own, and tells which sockets it opened."""
    import requests
    from requests.adapters import HTTPAdapter

    class Recording(HTTPAdapter):
        def get_connection_with_tls_context(self, *args: Any, **kwargs: Any) -> Any:
            pool: Any = super().get_connection_with_tls_context(*args, **kwargs)

            class Connection(pool.ConnectionCls):  # type: ignore[misc]  # http or https, as asked
                def connect(self) -> None:
                    super().connect()
                    connections.append(self.sock)

            pool.ConnectionCls = Connection
            return pool

    class NotFollowing(requests.Session):
        def get_redirect_target(self, _response: "Response") -> None:
            """None: otherwise a redirect's whole body is read, without limit, to prepare the next request."""

    session = NotFollowing()
    session.mount("https://", Recording())
    session.mount("http://", Recording())
    session.auth = lambda request: request  # otherwise requests takes a password from ~/.netrc
    return session


def _cut(connections: list[Any]) -> None:
    for connection in connections:
        try:
            connection.shutdown(socket.SHUT_RDWR)
        except OSError:
            continue  # it ended by itself in this moment


def _ask(session: "Session", url: str, headers: dict[str, str], timeout_seconds: float) -> _Answer:
    from requests import exceptions
    from urllib3.exceptions import HTTPError

    body = b""
    try:
        with session.get(url, headers=headers, timeout=timeout_seconds, stream=True, allow_redirects=False) as response:
            for chunk in response.iter_content(8192):
                body += chunk
                if len(body) > BODY_LIMIT:
                    break
            told = {name.lower(): value for name, value in response.headers.items()}
            return _Answer(response.status_code, headers=told, body=body if len(body) <= BODY_LIMIT else None)
    except exceptions.Timeout:
        return _Answer(None, f"no answer in {timeout_seconds:g} s")
    except exceptions.SSLError:
        return _Answer(None, "no connection: TLS failed or its certificate is not trusted")
    except exceptions.ConnectionError as error:
        cause = getattr(error.args[0] if error.args else None, "reason", None)
        return _Answer(None, f"no connection ({type(cause or error).__name__})")
    except (exceptions.InvalidURL, exceptions.InvalidSchema, exceptions.MissingSchema, UnicodeError):
        return _Answer(None, "not asked: its URL is not one; correct the slot's url in the policy")
    except (exceptions.RequestException, HTTPError, OSError, ValueError) as error:
        return _Answer(None, f"a broken answer ({type(error).__name__})")


def _judge(answer: _Answer, asked: str) -> tuple[bool, str | None, str]:
    """(healthy, version, detail) of an answer that came."""
    status = answer.status
    if status is not None and 300 <= status < 400:
        to = _public(asked, answer.headers.get("location", ""))
        return False, None, f"{status} to {to}: a health URL must answer itself; correct gate.path or url"
    if status != 200:
        return False, None, str(status)
    if answer.body is None:
        return False, None, f"200 with more than {BODY_LIMIT // 1024} KiB: not a health answer"
    kind = answer.headers.get("content-type", "").split(";")[0].strip().lower() or "no content type"
    if kind == "text/html":
        return False, None, "200 with HTML: a page, not a health answer; answer JSON with a version"
    version = answer.headers.get(VERSION_HEADER)
    if version is None:
        try:
            told = msgspec.json.decode(answer.body.removeprefix(codecs.BOM_UTF8), type=_Told)
        except msgspec.ValidationError:
            return False, None, "200 with JSON that is not an object: answer an object with a version"
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return False, None, f"200 with {kind} that is not JSON: answer JSON with a version"
        version = _text(told.version)
    if version is None or not version.strip():
        return True, None, "200 without a version: put it into the JSON as text, or into the header x-version"
    version = version.strip()
    if len(version) > VERSION_LENGTH or not version.isprintable():
        return True, None, f"200 with a version that is not {VERSION_LENGTH} or fewer printable characters"
    return True, version, f"200 version {version}"


def _text(raw: msgspec.Raw) -> str | None:
    """None = it is not text."""
    try:
        return msgspec.json.decode(raw, type=str)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None


def _join(url: str, path: str) -> str:
    """`path` below `url`: a URL with a path of its own (a gateway's API) keeps it.

    >>> _join("https://apim.example/checkout/", "/api/health")
    'https://apim.example/checkout/api/health'
    """
    return f"{url.rstrip('/')}/{path.lstrip('/')}"


def _public(asked: str, location: str) -> str:
    """Where a redirect goes, without what can be secret: query, fragment, user and password.

    >>> _public("https://a.example/health", "//me:word@login.example:8443/start?code=1#here")
    'https://login.example:8443/start'
    """
    try:
        parts = urlsplit(urljoin(asked, location))
    except ValueError:
        return "a place that is no URL"
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))[:200]
