"""Who asks: the principal that App Service authentication put into the headers, where it is switched on."""

import os
from collections.abc import Mapping


def principal(headers: Mapping[str, str]) -> str | None:
    """The authenticated name; None = authentication is off, and such a header would be anybody's claim.

    With authentication on, App Service sets these headers itself and drops a caller's own; with it off they
    would pass through. WEBSITE_AUTH_ENABLED tells which it is.
    """
    if os.environ.get("WEBSITE_AUTH_ENABLED", "").casefold() != "true":
        return None
    return headers.get("x-ms-client-principal-name") or headers.get("x-ms-client-principal-id") or None
