"""Who the CLI is to Azure: the machine's managed identity where there is one, else the `az login` of a person
or of a pipeline's OIDC step."""

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential


def credential() -> "TokenCredential":
    """A credential; which one is settled by the environment alone, so nothing is probed and nothing hangs."""
    from azure.identity import AzureCliCredential, ManagedIdentityCredential

    if os.environ.get("IDENTITY_ENDPOINT"):
        return ManagedIdentityCredential(client_id=os.environ.get("AZURE_CLIENT_ID"))
    return AzureCliCredential()
