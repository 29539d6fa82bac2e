"""What the published REST definition of API Management (2024-05-01) refuses, and how its resources are shown."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

POOL_LIMIT = 30  # members of a pool


@dataclass
class Resource:
    """One stored resource."""

    path: str  # as it was written, with its letter case
    properties: dict[str, Any]
    etag: str


@dataclass
class RefusalError(Exception):
    """A request that is not carried out."""

    status: int
    code: str
    message: str
    headers: dict[str, str] = field(default_factory=dict)


def check_pool(service: str, properties: dict[str, Any], known: Mapping[str, Resource]) -> None:
    """Refuse what a pool of `service` may not hold; `known` are the resources that there are, by lower-case path."""
    for name in ("url", "protocol"):
        if name in properties:
            # The service refuses a value; that it refuses null as well is the lab's own caution.
            raise _invalid(f"{name.capitalize()} is not supported for backend pool.")
    inner = properties.get("pool")
    services = inner.get("services") if isinstance(inner, dict) else None
    if not isinstance(services, list) or not 1 <= len(services) <= POOL_LIMIT:
        raise _invalid("Invalid field 'pool.services' specified")
    for number, member in enumerate(services):
        given = member.get("id", "") if isinstance(member, dict) else ""
        found = known.get(str(given).lower())
        if found is None or not str(given).lower().startswith(f"{service}/backends/".lower()):
            raise _invalid(f"Invalid field 'pool.services[{number}].id' specified")
        if found.properties.get("type") == "Pool":
            raise _invalid(f"Backend pool cannot be a member of a pool: 'pool.services[{number}].id'")
        for name in ("weight", "priority"):
            if not _in_range(member.get(name)):
                raise _invalid(f"Invalid field 'pool.services[{number}].{name}' specified")


def check_version(request: web.Request, known: tuple[str, ...]) -> None:
    """Refuse a request without one of the `known` api-versions."""
    version = request.query.get("api-version")
    if not version:
        message = "The api-version query parameter (?api-version=) is required for all requests."
        raise RefusalError(400, "MissingApiVersionParameter", message)
    if version not in known:
        message = f"No registered resource provider for API version '{version}'."
        raise RefusalError(400, "NoRegisteredProviderFound", message)


def check_etag(if_match: str | None, found: Resource | None) -> None:
    """Refuse a write whose If-Match is missing or out of date."""
    if if_match is None and found is not None:
        # "Not required when creating an entity, but required when updating an entity" (If-Match, REST reference).
        raise _invalid("If-Match is required when updating an entity.")
    if if_match not in (None, "*") and (found is None or found.etag != if_match):
        raise RefusalError(412, "PreconditionFailed", "Resource was modified since last retrieval.")


def properties_of(text: str) -> dict[str, Any]:
    """The properties in the body of a write."""
    try:
        properties = json.loads(text)["properties"]
    except (ValueError, LookupError, TypeError):
        properties = None
    if not isinstance(properties, dict):
        raise _invalid("The request body is not valid.")
    return properties


def shown_as(resource: Resource) -> dict[str, Any]:
    """As a GET shows it: a pool's title, url and protocol are null, a secret's value is not shown."""
    properties = _public(resource.properties)
    kind = "namedValues" if "/namedvalues/" in resource.path.lower() else "backends"
    if properties.get("type") == "Pool":
        properties = {"title": None, "url": None, "protocol": None} | properties
    return {
        "id": resource.path,
        "type": f"Microsoft.ApiManagement/service/{kind}",
        "name": resource.path.rsplit("/", 1)[-1],
        "properties": properties,
    }


def _public(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in properties.items() if not (properties.get("secret") and name == "value")}


def _in_range(number: object) -> bool:
    return number is None or (type(number) is int and 0 <= number <= 100)


def _invalid(message: str) -> RefusalError:
    return RefusalError(400, "ValidationError", message)


def error_answer(refusal: RefusalError) -> web.Response:
    """The refusal as ARM words it."""
    body = {"error": {"code": refusal.code, "message": refusal.message}}
    return web.json_response(body, status=refusal.status, headers=refusal.headers)
