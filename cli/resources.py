"""Resources in Azure that no rollout touches and `canary doctor` reads: function apps, and API Management's tier.

Read with the rights of whoever runs the command; what the traffic role of the function app covers is in shifting/.
"""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from rollouts.errors import Forbidden, Misconfigured
from shifting.arm import API_VERSION, Asked, translate

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.mgmt.core import ARMPipelineClient

WEB_API_VERSION = "2024-04-01"  # of Microsoft.Web: with functionAppConfig, which Flex Consumption alone has
SCOPE = "https://management.azure.com/.default"
TIMEOUT_SECONDS = 10.0
PAGES = 20  # of a list of functions; an app has some dozens of functions


class Site(msgspec.Struct, frozen=True):
    """A function app."""

    name: str
    flex: bool


class Resources:
    """GETs and lists, each asked once: a person is looking, and can look again."""

    def __init__(self, arm_url: str, credential: "Callable[[], TokenCredential]", now: Callable[[], float]) -> None:
        self._arm_url, self._credential, self._now = arm_url, credential, now
        self._made: ARMPipelineClient[Any, Any] | None = None

    def tier(self, api_management: str) -> str:
        """The name of the service's tier: Consumption, Developer, BasicV2 ..."""
        body = self._ask("GET", api_management, API_VERSION, f"read API Management {_name(api_management)}")
        return str((body.get("sku") or {}).get("name"))

    def site(self, arm_id: str) -> Site:
        """The function app itself."""
        body = self._ask("GET", arm_id, WEB_API_VERSION, f"read the function app {_name(arm_id)}")
        properties = body.get("properties") or {}
        return Site(name=str(body.get("name")), flex=bool(properties.get("functionAppConfig")))

    def triggers(self, arm_id: str) -> dict[str, str]:
        """The kind of trigger (httpTrigger, queueTrigger ...) by function; disabled functions are left out."""
        found: dict[str, str] = {}
        url, what = f"{arm_id}/functions", f"list the functions of {_name(arm_id)}"
        for _ in range(PAGES):
            body = self._ask("GET", url, WEB_API_VERSION, what)
            for one in body.get("value") or []:
                properties = one.get("properties") or {}
                if not properties.get("isDisabled"):
                    found[str(one.get("name")).rsplit("/", 1)[-1]] = _trigger(properties.get("config") or {})
            if not (url := body.get("nextLink") or ""):
                return found
        raise Misconfigured(f"{what}: more than {PAGES} pages: that is no function app")

    def settings(self, arm_id: str) -> dict[str, str]:
        """App settings with their values, which are secrets: never shown."""
        what = f"list the app settings of {_name(arm_id)}"
        body = self._ask("POST", f"{arm_id}/config/appsettings/list", WEB_API_VERSION, what)
        return {str(name): str(value) for name, value in (body.get("properties") or {}).items()}

    def _ask(self, method: str, path: str, api_version: str, what: str) -> dict[str, Any]:
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.core.rest import HttpRequest

        url = path if path.startswith("https://") else f"{self._arm_url.rstrip('/')}{path}"
        request = HttpRequest(method, url, params={} if "api-version=" in url else {"api-version": api_version})
        try:
            response = self._client().send_request(request)
            response.raise_for_status()
            body = response.json()
        except HttpResponseError as error:
            if error.status_code == 403:
                raise Forbidden(f"{what}: 403") from error
            raise translate(error, _asked(what), self._now()) from error
        except AzureError as error:
            raise translate(error, _asked(what), self._now()) from error
        except ValueError as error:
            raise Misconfigured(f"{what}: the answer is not JSON. Is ARM_URL the management endpoint?") from error
        return body if isinstance(body, dict) else {}

    def _client(self) -> "ARMPipelineClient[Any, Any]":
        if self._made is None:
            from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy, RequestIdPolicy
            from azure.mgmt.core import ARMPipelineClient

            bearer = BearerTokenCredentialPolicy(self._credential(), SCOPE)
            times = {"connection_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS}
            policies = [RequestIdPolicy(), HeadersPolicy({"Accept": "application/json"}), bearer]
            self._made = ARMPipelineClient(self._arm_url, policies=policies, **times)
        return self._made


def _asked(what: str) -> Asked:
    return Asked(what, "", "site")


def _name(arm_id: str) -> str:
    return arm_id.rstrip("/").rsplit("/", 1)[-1]


def _trigger(config: Mapping[str, Any]) -> str:
    kinds = [str(one.get("type")) for one in config.get("bindings") or []]
    return next((kind for kind in kinds if kind.lower().endswith("trigger")), "unknown")
