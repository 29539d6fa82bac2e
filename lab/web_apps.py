"""Function apps as Azure Resource Manager shows them: the site, its functions, its settings, and nothing to write.

Shapes from the published definition of Microsoft.Web, api-version 2024-04-01 (WebApps.json): Site,
FunctionEnvelopeCollection, StringDictionary.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from yarl import URL

API_VERSIONS = ("2024-04-01",)
PATH = re.compile(
    r"(?P<site>/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft\.Web/sites/(?P<name>[^/]+))"
    r"(?P<rest>|/functions|/config/appsettings/list)",
    re.IGNORECASE,
)
HTTP = "httpTrigger"
SKIP = "$skipToken"


class WebApp(msgspec.Struct, kw_only=True):
    """One function app."""

    flex: bool = True
    sku: str | None = None  # None = the answer leaves it out, as older api-versions do
    page: int = 50  # functions in one answer
    elsewhere: str | None = None  # where it says the next page is; None = here
    functions: Mapping[str, str] = msgspec.field(default_factory=lambda: {"hello": HTTP, "health": HTTP})  # trigger
    disabled: frozenset[str] = frozenset()  # names of functions
    settings: dict[str, str] = msgspec.field(default_factory=dict)


class WebApps:
    """The sites by ARM id."""

    def __init__(self) -> None:
        self._apps: dict[str, WebApp] = {}

    def site(self, arm_id: str, app: WebApp | None = None) -> WebApp:
        """Make or replace a function app; what is returned may be changed."""
        self._apps[arm_id.lower()] = app or WebApp()
        return self._apps[arm_id.lower()]

    def answer(self, method: str, words: Mapping[str, str], url: URL) -> dict[str, Any] | None:
        """The body of a 200; None = there is no such site, or this is not asked so. `url` is the request's own."""
        app = self._apps.get(words["site"].lower())
        match (method, words["rest"].lower()):
            case _ if app is None:
                return None
            case ("GET", ""):
                return _shown(words, app)
            case ("GET", "/functions"):
                first = int(url.query.get(SKIP, "0"))
                last = first + app.page
                found = _functions(words, list(app.functions.items())[first:last], app.disabled)
                rest = app.elsewhere or str(url.update_query({SKIP: str(last)})) if last < len(app.functions) else None
                return {"value": found, "nextLink": rest}
            case ("POST", "/config/appsettings/list"):
                kind = "Microsoft.Web/sites/config"
                return {"id": f"{words['site']}/config/appsettings", "type": kind, "properties": app.settings}
            case _:
                return None


def _shown(words: Mapping[str, str], app: WebApp) -> dict[str, Any]:
    runtime = {"runtime": {"name": "python", "version": "3.13"}, "scaleAndConcurrency": {"instanceMemoryMB": 2048}}
    properties: dict[str, Any] = {"state": "Running", "functionAppConfig": runtime if app.flex else None}
    properties |= {} if app.sku is None else {"sku": app.sku}
    return {
        "id": words["site"],
        "name": words["name"],
        "type": "Microsoft.Web/sites",
        "kind": "functionapp,linux",
        "location": "West Europe",
        "properties": properties,
    }


def _functions(
    words: Mapping[str, str], functions: Iterable[tuple[str, str]], disabled: frozenset[str]
) -> list[dict[str, Any]]:
    return [
        {
            "id": f"{words['site']}/functions/{name}",
            "name": f"{words['name']}/{name}",
            "type": "Microsoft.Web/sites/functions",
            "properties": {
                "name": name,
                "language": "python",
                "isDisabled": name in disabled,
                "config": {
                    "name": name,
                    "scriptFile": "function_app.py",
                    "bindings": [
                        {"type": trigger, "direction": "IN", "name": "req"},
                        {"type": "http", "direction": "OUT", "name": "$return"},
                    ],
                },
            },
        }
        for name, trigger in functions
    ]
