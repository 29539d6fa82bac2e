"""The two function apps, side by side: what differs between them would be judged as if the version had done it."""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from cli.adapters import Adapters
from cli.doctor.finding import Check, Lacking, Skipped, assignment
from rollouts.errors import Forbidden, Refused
from rollouts.observation import Slot
from rollouts.policy import ServicePolicy

HTTP = "httptrigger"
# Settings in which two slots may differ: colour and version, identities, the host's own storage, and what Azure
# writes for each app. bicep/slot.bicep and bicep/modules/flex-app.bicep set those of this template.
THEIR_OWN = re.compile(
    r"SLOT_NAME|APP_VERSION|AZURE_CLIENT_ID|.*__clientId|APPLICATIONINSIGHTS_AUTHENTICATION_STRING|"
    r"AzureWebJobsStorage(__.*)?|DEPLOYMENT_STORAGE_.*|WEBSITE_.*|MICROSOFT_PROVIDER_AUTHENTICATION_SECRET",
    re.IGNORECASE,
)
RESULTS_LEVEL = re.compile(r"AzureFunctionsJobHost__logging__logLevel__Host[._]+Results", re.IGNORECASE)
KEEPS = {"trace", "debug", "information"}  # levels at which the host writes the row of a successful request
SAMPLING = "AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__"
Found = TypeVar("Found")
NAMED = 10  # settings or functions, in one line


def checks(service: ServicePolicy, adapters: Adapters) -> Iterator[Check]:
    """Plan, triggers, settings, logging; each needs the slots' `site`."""
    both = Both({slot: config.site for slot, config in service.pin.slots.items()}, adapters)
    yield Check(service.name, "plan", both.plan)
    yield Check(service.name, "triggers", lambda: both.triggers(service.non_http))
    yield Check(service.name, "settings", both.alike)
    yield Check(service.name, "logging", both.logging)


class Both:
    """Looks at both apps, with the rights of whoever runs it: the analyzer itself needs none on them."""

    def __init__(self, sites: Mapping[Slot, str | None], adapters: Adapters) -> None:
        self._sites, self._adapters = sites, adapters
        self._resources = adapters.resources

    def plan(self) -> str:
        """Flex Consumption, both."""
        found = self._of_both(self._resources.site, "Reader")
        if others := [f"{slot} ({one.name})" for slot, one in found.items() if not one.flex]:
            raise Refused(f"not on the Flex Consumption plan: {' and '.join(others)}. Flex Canary is made for it alone")
        return " / ".join(f"{slot} {one.name}" for slot, one in found.items()) + ", Flex Consumption"

    def triggers(self, non_http: str) -> str:
        """HTTP only, or known about."""
        found = self._of_both(self._resources.triggers, "Reader")
        if empty := [slot for slot, one in found.items() if not one]:
            raise Refused(
                f"{' and '.join(empty)} lists no function: nothing is deployed there, or its triggers were not "
                "synchronised (deploy again, or restart the app)"
            )
        others = {
            slot: [f"{name} ({kind})" for name, kind in sorted(one.items()) if kind.lower() != HTTP]
            for slot, one in found.items()
        }
        said = "; ".join(f"{slot}: {_listed(names)}" for slot, names in others.items() if names)
        if said and non_http == "refused":
            raise Refused(
                f"{said}: they run in both slots, whatever the weights say, and nobody judges them. Move them to an "
                "app of their own, or write non_http: accepted"
            )
        counts = " / ".join(f"{slot} {len(one)}" for slot, one in found.items())
        return f"{counts} functions" + (f"; accepted (non_http): {said}" if said else ", all HTTP")

    def alike(self) -> str:
        """Names of settings that differ; never a value."""
        found = self._settings()
        blue, green = found[Slot.BLUE], found[Slot.GREEN]
        names = [name for name in sorted(blue.keys() | green.keys()) if not THEIR_OWN.fullmatch(name)]
        one_sided = [name for name in names if (name in blue) != (name in green)]
        differing = [name for name in names if name in blue and name in green and blue[name] != green[name]]
        if one_sided or differing:
            said = [f"differ: {_listed(differing)}"] if differing else []
            said += [f"in one slot only: {_listed(one_sided)}"] if one_sided else []
            raise Refused(f"{'; '.join(said)}. Give both slots the same: a difference is judged as the version's")
        return f"{len(names)} settings, the same in both"

    def logging(self) -> str:
        """App settings that override host.json keep every request."""
        found = self._settings()
        for slot, one in found.items():
            folded = {name.lower(): value for name, value in one.items()}
            levels = [value for name, value in one.items() if RESULTS_LEVEL.fullmatch(name)]
            if any(level.lower() not in KEEPS for level in levels):
                raise Refused(f"{slot}: the app settings set Host.Results above Information: successes are not kept")
            enabled = folded.get(f"{SAMPLING}isEnabled".lower(), "true").lower()  # the host's default
            excluded = folded.get(f"{SAMPLING}excludedTypes".lower())
            if enabled != "false" and excluded is not None and "request" not in excluded.lower().split(";"):
                raise Refused(f"{slot}: {SAMPLING}excludedTypes leaves Request out: requests would be sampled")
        return "no app setting drops or samples requests; host.json is judged by `kept requests`"

    def _settings(self) -> dict[Slot, dict[str, str]]:
        """Skipped without the right: it shows secrets, so many a person on call does not have it, and need not."""
        try:
            return self._of_both(self._resources.settings, "Website Contributor")
        except Lacking as error:
            raise Skipped(str(error), command=error.command) from error

    def _of_both(self, look: Callable[[str], Found], role: str) -> dict[Slot, Found]:
        missing = [f"slots.{slot}.site" for slot, site in self._sites.items() if not site]
        if missing:
            raise Skipped(f"write {' and '.join(missing)} (the app's ARM id) into the policy to look at the apps")
        found: dict[Slot, Found] = {}
        refused: dict[str, Forbidden] = {}
        for slot, site in self._sites.items():
            try:
                found[slot] = look(site or "")
            except Forbidden as error:
                refused[site or ""] = error
        if refused:
            who = self._adapters.object_id()
            commands = " && ".join(assignment(who, role, site) for site in refused)
            raise Lacking("; ".join(map(str, refused.values())), commands)
        return found


def _listed(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
