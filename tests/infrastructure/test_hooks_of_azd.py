"""The shell around `azd up`, run for real with stand-ins for az, azd and curl: what is created, and what never."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from rollouts.observation import Slot
from rollouts.policy_file.parse import parse
from tests.infrastructure.reading import BICEP, ROOT, source
from tests.infrastructure.stand_in import put, run

# Stands for az, azd and curl: appends its call to the journal and answers what the table says. The longest pattern
# that the call contains wins; a pattern without an answer fails the call.
STAND_IN = """
import json, os, sys
call = " ".join([os.path.basename(sys.argv[0]), *sys.argv[1:]])
said = "" if os.path.basename(sys.argv[0]) != "curl" else sys.stdin.read()
body = next((open(one[1:]).read() for one in sys.argv if one.startswith("@")), "")
with open(os.environ["JOURNAL"], "a") as journal:
    journal.write(json.dumps({"call": call, "stdin": said, "body": body}) + "\\n")
answers = json.load(open(os.environ["ANSWERS"]))
for pattern in sorted(answers, key=len, reverse=True):
    if pattern in call:
        if answers[pattern] is None:
            sys.exit("ERROR: stand-in fails")
        print(answers[pattern])
        sys.exit(0)
sys.exit(0)
"""
SERVICE = "/subscriptions/s1/resourceGroups/rg-try/providers/Microsoft.ApiManagement/service/apim-1"
VAULT = "/subscriptions/s1/resourceGroups/rg-try/providers/Microsoft.KeyVault/vaults/kv-1"
NOTHING: dict[str, str | None] = {
    "az group exists": "false",
    "az ad app list": "",
    "az ad app create": "client-1",
    "az cloud show": "https://graph.example/",
}
POOL, MARKER, MARKER_VALUE = "'green-blue-pool'].id", "'current-slot-name'].id", "'current-slot-name'].properties.value"
BACKENDS = {colour: f"'{colour}-backend'].properties.url" for colour in ("blue", "green")}
EVERYTHING: dict[str, str | None] = {
    **NOTHING,
    **{BACKENDS[colour]: f"-\nhttps://checkout-{colour}-x1.azurewebsites.net" for colour in BACKENDS},
    **{
        f"starts_with(name, 'checkout-{colour}-')": f"/subscriptions/s1/resourceGroups/rg-try/providers/"
        f"Microsoft.Web/sites/checkout-{colour}-x1"
        for colour in BACKENDS
    },
    "az group exists": "true",
    "az resource list --resource-group rg-try --resource-type Microsoft.ApiManagement/service": SERVICE,
    "az resource list --resource-group rg-try --resource-type Microsoft.KeyVault/vaults": VAULT,
    POOL: f"-\n{SERVICE}/backends/green-blue-pool",
    MARKER: f"-\n{SERVICE}/namedValues/current-slot-name",
    MARKER_VALUE: "-\ngreen",
    "'canary-preview-key'].id": f"-\n{VAULT}/secrets/canary-preview-key",
}
OUTPUTS = {
    "AZURE_RESOURCE_GROUP": "rg-try",
    "ANALYZER_NAME": "func-canary",
    "ANALYZER_STORAGE_NAME": "stcanary",
    "DEAD_LETTER_IDENTITY_NAME": "id-dead",
    "INCOMING_TOPIC_NAME": "evgt",
    "STORAGE_TOPIC_NAME": "evgst-1",
    "RESOURCES_TOPIC_NAME": "evgst-2",
    "BLUE_NAME": "checkout-blue",
    "GREEN_NAME": "checkout-green",
    "BLUE_URL": "https://checkout-blue.azurewebsites.net",
    "GREEN_URL": "https://checkout-green.azurewebsites.net",
    "API_MANAGEMENT_ID": "/subscriptions/11111111-1111-1111-1111-111111111111/resourceGroups/rg-try/providers/"
    "Microsoft.ApiManagement/service/apim-1",
    "GATEWAY_URL": "https://apim-1.azure-api.net/checkout",
    "WORKSPACE_GUID": "22222222-2222-2222-2222-222222222222",
    "CANARY_SERVICE": "checkout",
    "CANARY_URL": "https://func-canary.azurewebsites.net",
}


class Ran:
    """One run of a hook: its end, and every call that it made."""

    def __init__(self, done: "subprocess.CompletedProcess[str]", lines: list[str]) -> None:
        self.code, self.error = done.returncode, done.stderr
        self.journal: list[dict[str, str]] = [json.loads(line) for line in lines]
        self.calls = [one["call"] for one in self.journal]
        settings = [call.split(" ", 4) for call in self.calls if call.startswith("azd env set ")]
        self.remembered = {one[3]: one[4] for one in settings}


@pytest.fixture
def hook(tmp_path: Path) -> Any:
    """Runs a hook with these answers and this azd environment."""
    put(tmp_path / "bin", ("az", "azd", "curl"), STAND_IN)
    azd = {"AZURE_ENV_NAME": "try", "AZURE_SUBSCRIPTION_ID": "11111111-1111-1111-1111-111111111111"}

    def of(name: str, answers: dict[str, str | None], **environment: str) -> Ran:
        script = BICEP / "hooks" / name
        return Ran(*run(script, folder=tmp_path, answers=answers, environment={**azd, **environment}))

    return of


def test_the_first_time_everything_is_created(hook: Any) -> None:
    """Nothing is there, and Azure said so."""
    ran = hook("preprovision.sh", NOTHING)
    assert ran.code == 0, ran.error
    assert ran.remembered == {
        "CREATE_POOL": "true",
        "FIRST_DEPLOYMENT": "true",
        "CREATE_MARKER": "true",
        "CREATE_PREVIEW_KEY": "true",
        "SLOTS_CLIENT_ID": "client-1",
    }


def test_the_second_time_nothing_is_created(hook: Any) -> None:
    """In the middle of a rollout as well: the hook reads names, never weights."""
    ran = hook("preprovision.sh", EVERYTHING, SLOTS_CLIENT_ID="client-1")
    assert ran.code == 0, ran.error
    assert ran.remembered == {
        "LIVE_SLOT": "green",
        "CREATE_POOL": "false",
        "CREATE_MARKER": "false",
        "CREATE_PREVIEW_KEY": "false",
    }
    assert not [call for call in ran.calls if "--method put" in call or "--method delete" in call]


@pytest.mark.parametrize(
    "unanswered",
    [
        "az group exists",
        "az account set",
        "az resource list --resource-group rg-try --resource-type Microsoft.ApiManagement/service",
        "az resource list --resource-group rg-try --resource-type Microsoft.KeyVault/vaults",
        POOL,
        MARKER,
        MARKER_VALUE,
        BACKENDS["green"],
        "starts_with(name, 'checkout-green-')",
        "'canary-preview-key'].id",
    ],
)
def test_when_azure_does_not_answer_nothing_is_guessed(hook: Any, unanswered: str) -> None:
    """No answer is not absence: the deployment stops, and no switch that depends on it is set."""
    ran = hook("preprovision.sh", {**EVERYTHING, unanswered: None}, SLOTS_CLIENT_ID="client-1")
    assert ran.code != 0
    assert ran.error.startswith(("preprovision:", "ERROR"))
    assert "true" not in ran.remembered.values()


def test_a_pool_on_the_second_page_is_found(hook: Any) -> None:
    """Lists come in pages; only the last one can say that something is not there."""
    second = "--url https://next.example/page2 --output tsv --query [nextLink || '-', join(',', value[?name==" + POOL
    paged = {**EVERYTHING, POOL: "https://next.example/page2\n", second: f"-\n{SERVICE}/backends/green-blue-pool"}
    ran = hook("preprovision.sh", paged, SLOTS_CLIENT_ID="client-1")
    assert ran.code == 0, ran.error
    assert any("page2" in call for call in ran.calls)
    assert ran.remembered["CREATE_POOL"] == "false"


def test_an_adopted_service_is_asked_by_its_name(hook: Any) -> None:
    """In its own resource group, which may be another one."""
    adopted = {
        **EVERYTHING,
        "az resource list --resource-group rg-try --resource-type Microsoft.ApiManagement/service": None,
    }
    ran = hook(
        "preprovision.sh",
        adopted,
        SLOTS_CLIENT_ID="client-1",
        API_MANAGEMENT_NAME="company",
        API_MANAGEMENT_RESOURCE_GROUP="rg-shared",
    )
    assert ran.code == 0, ran.error
    assert any(
        "/resourceGroups/rg-shared/providers/Microsoft.ApiManagement/service/company/backends" in call
        for call in ran.calls
    )


@pytest.mark.parametrize(
    ("answers", "environment"),
    [
        ({BACKENDS["blue"]: "-\nhttps://shop-v1.azurewebsites.net"}, {}),
        ({BACKENDS["green"]: "-\nhttps://checkout-green-x2.azurewebsites.net"}, {}),  # another environment's
        ({"starts_with(name, 'checkout-blue-')": ""}, {}),  # their name, none of our apps
        ({"az group exists": "false"}, {"API_MANAGEMENT_NAME": "company", "API_MANAGEMENT_RESOURCE_GROUP": "rg-g"}),
        ({}, {"CANARY_SERVICE": "shop"}),  # a pipeline that does not know what this service was called
    ],
)
def test_backends_of_somebody_else_stop_the_deployment(
    hook: Any, answers: dict[str, str | None], environment: dict[str, str]
) -> None:
    """They carry traffic, and main.bicep would point them at apps without code."""
    ran = hook("preprovision.sh", {**EVERYTHING, **answers}, SLOTS_CLIENT_ID="client-1", **environment)
    assert ran.code == 1
    assert "-backend of " in ran.error and "Nothing was changed" in ran.error
    assert ran.remembered == {}


def test_a_host_name_with_a_hash_is_still_ours(hook: Any) -> None:
    """Azure gives apps unique default host names where it is asked to."""
    hashed = {**EVERYTHING, BACKENDS["blue"]: "-\nhttps://checkout-blue-x1-d2c3.westeurope-01.azurewebsites.net"}
    assert hook("preprovision.sh", hashed, SLOTS_CLIENT_ID="client-1").code == 0


def test_an_api_of_somebody_else_stops_the_deployment(hook: Any) -> None:
    """Ours never exists without the backends beside it."""
    theirs: dict[str, str | None] = {**EVERYTHING, **dict.fromkeys(BACKENDS.values(), "-\n"), "'checkout'].id": "-\n"}
    assert hook("preprovision.sh", theirs, SLOTS_CLIENT_ID="client-1").code == 0
    theirs["'checkout'].id"] = f"-\n{SERVICE}/apis/checkout"
    ran = hook("preprovision.sh", theirs, SLOTS_CLIENT_ID="client-1")
    assert ran.code == 1
    assert "has an API checkout that this environment did not make" in ran.error
    assert ran.remembered == {}
    assert source("gateway.bicep").body("api")["dependsOn"] == ["backends"]


def test_a_marker_that_names_no_slot_stops_the_deployment(hook: Any) -> None:
    """Whichever slot were chosen, half of the choices would be wrong."""
    for value in ("purple", ""):
        ran = hook("preprovision.sh", {**EVERYTHING, MARKER_VALUE: f"-\n{value}"}, SLOTS_CLIENT_ID="client-1")
        assert ran.code == 1
        assert "set it to blue or green" in ran.error


def test_a_pool_without_a_marker_asks_a_person(hook: Any) -> None:
    """And takes the answer."""
    lost = {**EVERYTHING, MARKER: "-\n", MARKER_VALUE: "-\n"}
    ran = hook("preprovision.sh", lost, SLOTS_CLIENT_ID="client-1")
    assert ran.code == 1
    assert "azd env set LIVE_SLOT" in ran.error
    told = hook("preprovision.sh", lost, SLOTS_CLIENT_ID="client-1", LIVE_SLOT="green")
    assert told.code == 0
    assert (told.remembered["CREATE_POOL"], told.remembered["CREATE_MARKER"]) == ("false", "true")


def test_without_the_right_to_register_applications_it_says_what_to_ask_for(hook: Any) -> None:
    """The usual case in a company."""
    ran = hook("preprovision.sh", {**NOTHING, "az ad app create": None})
    assert ran.code == 1
    assert "azd env set SLOTS_CLIENT_ID" in ran.error and "SLOT_AUTHENTICATION keys" in ran.error


def test_function_keys_need_no_registration(hook: Any) -> None:
    """SLOT_AUTHENTICATION=keys."""
    ran = hook("preprovision.sh", NOTHING, SLOT_AUTHENTICATION="keys")
    assert ran.code == 0
    assert not [call for call in ran.calls if call.startswith("az ad ")]


FIRST: dict[str, str | None] = {
    "az functionapp function list": "0",
    "az functionapp keys list": "the-key",
    "curl": json.dumps({"version": 0, "source": "packaged"}),
}


@pytest.mark.parametrize("authentication", ["entra", "keys"])
def test_the_first_deployment_ends_with_a_policy_that_the_analyzer_takes(hook: Any, authentication: str) -> None:
    """What is sent parses, names both slots, and goes through the gateway where only keys would open the direct way."""
    ran = hook("postdeploy.sh", FIRST, **OUTPUTS, FIRST_DEPLOYMENT="true", SLOT_AUTHENTICATION=authentication)
    assert ran.code == 0, ran.error
    (sent,) = [one for one in ran.journal if "--request PUT" in one["call"]]
    policy = parse(yaml.safe_load(sent["body"]))
    assert set(policy.services["checkout"].pin.slots) == {Slot.BLUE, Slot.GREEN}
    assert policy.services["checkout"].pin.gate.via == ("direct" if authentication == "entra" else "gateway")
    assert ran.remembered == {"FIRST_DEPLOYMENT": "false"}
    packages = [call for call in ran.calls if "config-zip" in call]
    assert [name in packages[i] for i, name in enumerate(("checkout-blue", "checkout-green"))] == [True, True]


def test_the_function_key_is_in_no_argument(hook: Any) -> None:
    """Arguments of a process can be read by every other."""
    ran = hook("postdeploy.sh", FIRST, **OUTPUTS, FIRST_DEPLOYMENT="true")
    assert not [call for call in ran.calls if "the-key" in call]
    assert all("the-key" in one["stdin"] for one in ran.journal if one["call"].startswith("curl"))


def test_later_deployments_touch_neither_slots_nor_policy(hook: Any) -> None:
    """Only the subscriptions are written again."""
    ran = hook("postdeploy.sh", FIRST, **OUTPUTS, FIRST_DEPLOYMENT="false")
    assert ran.code == 0, ran.error
    written = [call for call in ran.calls if not call.startswith("az account set")]
    assert len(written) == 1 and "--template-file bicep/subscriptions.bicep" in written[0]


def test_a_repeated_first_deployment_overwrites_nothing(hook: Any) -> None:
    """It failed half-way, then the team deployed: their code and their policy stay."""
    busy = {**FIRST, "az functionapp function list": "7", "curl": json.dumps({"version": 3, "source": "pushed"})}
    ran = hook("postdeploy.sh", busy, **OUTPUTS, FIRST_DEPLOYMENT="true")
    assert ran.code == 0, ran.error
    assert not [call for call in ran.calls if "config-zip" in call or "--request PUT" in call]


def test_postdeploy_names_what_is_missing(hook: Any) -> None:
    """Run by hand, outside azd."""
    ran = hook("postdeploy.sh", FIRST, **{name: OUTPUTS[name] for name in OUTPUTS if name != "WORKSPACE_GUID"})
    assert ran.code == 1
    assert "WORKSPACE_GUID is not set" in ran.error


def test_azure_yaml_deploys_the_analyzer_alone() -> None:
    """`azd up` in the middle of a rollout must not put code onto a slot."""
    project = yaml.safe_load((ROOT / "azure.yaml").read_text())
    assert list(project["services"]) == ["analyzer"]
    assert project["infra"] == {"provider": "bicep", "path": "bicep", "module": "main"}
    for name in ("preprovision", "postdeploy", "predown"):
        command = project["hooks"][name]["run"].split()
        assert command[0] == "bash" and (ROOT / command[1]).is_file()
        assert project["hooks"][name]["continueOnError"] is False


def test_down_never_takes_an_adopted_service_along(hook: Any) -> None:
    """azd deletes every resource group that the deployment wrote into, whoever made it."""
    adopted = {"API_MANAGEMENT_NAME": "company", "API_MANAGEMENT_RESOURCE_GROUP": "rg-gateway"}
    ran = hook("predown.sh", {}, **adopted)
    assert (ran.code, ran.calls) == (1, [])
    assert "azd would delete the resource group rg-gateway with the adopted API Management service company" in ran.error
    assert "az group delete --name rg-try\n" in ran.error


@pytest.mark.parametrize("group", [{}, {"API_MANAGEMENT_RESOURCE_GROUP": "RG-Try"}])
def test_down_does_not_advise_to_delete_a_group_that_is_shared(hook: Any, group: dict[str, str]) -> None:
    ran = hook("predown.sh", {}, API_MANAGEMENT_NAME="company", **group)
    assert ran.code == 1
    assert "az group delete" not in ran.error
    assert "az resource list --tag azd-env-name=try" in ran.error


def test_down_removes_what_azd_made_alone(hook: Any) -> None:
    ran = hook("predown.sh", {})
    assert (ran.code, ran.error) == (0, "")
