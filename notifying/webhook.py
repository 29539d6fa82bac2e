"""Any other receiver: the notice as JSON, signed when a secret is set."""

import hashlib
import hmac

from notifying.card import plain
from notifying.post import Target, post
from rollouts.notice import Notice

SIGNATURE = "x-canary-signature"


class Webhook:
    """One receiver. `secret`: key of the signature; None = the messages are not signed."""

    def __init__(self, target: Target, secret: str | None) -> None:
        self._target = target
        self._secret = secret

    def send(self, notice: Notice) -> None:
        """Post the notice; receivers tell repeated ones by their id."""
        body = plain(notice)
        headers = {"x-canary-notice": notice.id.encode("ascii", "replace").decode()}
        if self._secret is not None:
            headers[SIGNATURE] = signature(self._secret, body)
        post(self._target, body, headers)


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the body as it is sent, in hexadecimal.

    >>> signature("key", b"{}")
    'sha256=a777724d943eb48dc69bca8a4a6d57a04db3f9ec7e1de4e581e860265bdf3032'
    """
    return "sha256=" + hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
