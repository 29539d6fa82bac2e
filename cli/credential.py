"""Who the CLI is to Azure: the machine's managed identity where there is one, else the `az login` of a person
or of a pipeline's OIDC step."""

import base64
import json
import logging
import os
from typing import TYPE_CHECKING, Any

from cli import certificates
from rollouts.errors import Unavailable

if TYPE_CHECKING:
    from azure.core.credentials import AccessToken, TokenCredential

IDENTITY_SETTING = "IDENTITY_ENDPOINT"  # set by the platform where a managed identity is
REASON_LENGTH = 160  # of the library's own words

# Each failure would be a line on standard error beside ours.
logging.getLogger("azure.identity").setLevel(logging.ERROR)


class NotSignedIn(Unavailable):
    """There is no token for Azure: nothing was asked. Says how to get one."""


class SignedIn:
    """A credential whose failure says what to type, to a person rather than to a function app."""

    def __init__(self, inner: "TokenCredential", mend: str) -> None:
        self._inner, self._mend = inner, mend

    def get_token(self, *scopes: str, **options: Any) -> "AccessToken":
        """The token; NotSignedIn where there is none."""
        from azure.core.exceptions import ClientAuthenticationError

        try:
            return self._inner.get_token(*scopes, **options)
        except ClientAuthenticationError as error:
            lines = str(error.message or "").strip().splitlines() or ["no reason was given"]
            raise NotSignedIn(f"no token for Azure ({lines[0][:REASON_LENGTH]}): {self._mend}") from error


def credential() -> SignedIn:
    """A credential; which one is settled by the environment alone, so nothing is probed and nothing hangs."""
    from azure.identity import AzureCliCredential, ManagedIdentityCredential

    certificates.must_be_there()
    if os.environ.get(IDENTITY_SETTING):
        mend = "switch this machine's managed identity on; for a user-assigned one set AZURE_CLIENT_ID to its client id"
        return SignedIn(ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID")), mend)
    mend = "install the Azure CLI, then az login (in a pipeline: its Azure login step, with OIDC)"
    return SignedIn(AzureCliCredential(), mend)


def claims(token: str) -> dict[str, Any]:
    """What an Entra token says of its owner (oid, tid, upn ...), unchecked: for words on a screen, not for trust.

    Empty where it is no JWT.
    """
    try:
        part = token.split(".")[1]
        found = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    except (ValueError, IndexError):
        return {}
    return found if isinstance(found, dict) else {}
