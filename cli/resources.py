"""Resources in Azure that no rollout touches and `canary doctor` reads: function apps, and API Management's tier.

Read with the rights of whoever runs the command; what the traffic role of the function app covers is in shifting/.
Shapes: API Management's service (ApiManagementService_Get) and WebApps_Get, WebApps_ListFunctions and
WebApps_ListApplicationSettings of Microsoft.Web.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

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
FLEX = "flexconsumption"


class Site(msgspec.Struct, frozen=True):
    """A function app."""

    name: str
    flex: bool


class _Sku(msgspec.Struct):
    name: str


class _Service(msgspec.Struct):
    sku: _Sku


class _SiteProperties(msgspec.Struct, rename="camel"):
    sku: str | None = None  # None = this api-version's answer leaves it out
    function_app_config: dict[str, Any] | None = None


class _Site(msgspec.Struct):
    name: str
    properties: _SiteProperties


class _Binding(msgspec.Struct):
    type: str = ""


class _Config(msgspec.Struct):
    bindings: list[_Binding] = []


class _FunctionProperties(msgspec.Struct, rename="camel"):
    config: _Config | None = None
    is_disabled: bool | None = None


class _Function(msgspec.Struct):
    name: str  # <site>/<function>
    properties: _FunctionProperties


class _Functions(msgspec.Struct, rename="camel"):
    value: list[_Function]
    next_link: str | None = None


class _Settings(msgspec.Struct):
    properties: dict[str, str | None]


T = TypeVar("T")


class Resources:
    """GETs and lists, each asked once: a person is looking, and can look again."""

    def __init__(self, arm_url: str, credential: "Callable[[], TokenCredential]", now: Callable[[], float]) -> None:
        self._arm_url, self._credential, self._now = arm_url.rstrip("/"), credential, now
        self._made: ARMPipelineClient[Any, Any] | None = None

    def tier(self, api_management: str) -> str:
        """The name of the service's tier: Consumption, Developer, BasicV2 ..."""
        action = "Microsoft.ApiManagement/service/read"
        asked = Asked(f"read API Management {_name(api_management)}", action, "api_management")
        return self._ask(asked, f"{api_management}?api-version={API_VERSION}", _Service).sku.name

    def site(self, arm_id: str) -> Site:
        """The function app itself."""
        asked = Asked(f"read the function app {_name(arm_id)}", "Microsoft.Web/sites/read", "site")
        found = self._ask(asked, f"{arm_id}?api-version={WEB_API_VERSION}", _Site)
        told, sku = found.properties, found.properties.sku
        return Site(found.name, told.function_app_config is not None if sku is None else sku.lower() == FLEX)

    def triggers(self, arm_id: str) -> dict[str, str]:
        """The kind of trigger (httpTrigger, queueTrigger ...) by function; disabled functions are left out."""
        found: dict[str, str] = {}
        asked = Asked(f"list the functions of {_name(arm_id)}", "Microsoft.Web/sites/functions/read", "site")
        path = f"{arm_id}/functions?api-version={WEB_API_VERSION}"
        for _ in range(PAGES):
            page = self._ask(asked, path, _Functions)
            for one in page.value:
                if not one.properties.is_disabled:
                    found[one.name.rsplit("/", 1)[-1]] = _trigger(one.properties.config)
            if not page.next_link:
                return found
            if not page.next_link.lower().startswith(f"{self._arm_url}/".lower()):
                raise Misconfigured(f"{asked.what}: the next page is not at ARM_URL, and the token is not sent there")
            path = page.next_link[len(self._arm_url) :]
        raise Misconfigured(f"{asked.what}: more than {PAGES} pages: that is no function app")

    def settings(self, arm_id: str) -> dict[str, str]:
        """App settings with their values, which are secrets: never shown."""
        asked = Asked(f"list the app settings of {_name(arm_id)}", "Microsoft.Web/sites/config/list/action", "site")
        path = f"{arm_id}/config/appsettings/list?api-version={WEB_API_VERSION}"
        found = self._ask(asked, path, _Settings, method="POST").properties
        return {name: value or "" for name, value in found.items()}

    def _ask(self, asked: Asked, path: str, shape: type[T], *, method: str = "GET") -> T:
        from azure.core.exceptions import AzureError, HttpResponseError
        from azure.core.rest import HttpRequest

        try:
            response = self._client().send_request(HttpRequest(method, f"{self._arm_url}{path}"))
            response.raise_for_status()
            return msgspec.json.decode(response.read(), type=shape)
        except HttpResponseError as error:
            if error.status_code == 403:
                raise Forbidden(f"{asked.what}: 403, no right to do {asked.action}") from error
            raise translate(error, asked, self._now()) from error
        except AzureError as error:
            raise translate(error, asked, self._now()) from error
        except msgspec.DecodeError as error:  # its text names a field and a type, no value
            raise Misconfigured(f"{asked.what}: not the answer of ARM ({error}). Is ARM_URL its endpoint?") from error

    def _client(self) -> "ARMPipelineClient[Any, Any]":
        if self._made is None:
            from azure.core.pipeline.policies import BearerTokenCredentialPolicy, HeadersPolicy, RequestIdPolicy
            from azure.mgmt.core import ARMPipelineClient

            bearer = BearerTokenCredentialPolicy(self._credential(), SCOPE)
            times = {"connection_timeout": TIMEOUT_SECONDS, "read_timeout": TIMEOUT_SECONDS}
            policies = [RequestIdPolicy(), HeadersPolicy({"Accept": "application/json"}), bearer]
            self._made = ARMPipelineClient(self._arm_url, policies=policies, **times)
        return self._made


def _name(arm_id: str) -> str:
    return arm_id.rstrip("/").rsplit("/", 1)[-1]


def _trigger(config: _Config | None) -> str:
    kinds = [one.type for one in config.bindings] if config else []
    return next((kind for kind in kinds if kind.lower().endswith("trigger")), "unknown")
