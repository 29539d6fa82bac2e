"""What the Bicep promises a platform engineer: identity not keys, few roles, equal slots, traffic never moved."""

import json
import re
from typing import Any

import pytest

from tests.infrastructure.reading import BICEP, Source, source, sources

ROLES = {
    name: json.loads((BICEP / "roles.json").read_text())[name]
    for name in sorted(json.loads((BICEP / "roles.json").read_text()))
}
# Every role that anybody gets anywhere: (file, symbol) -> what is assigned. docs/infrastructure.md says why.
ASSIGNED = {
    ("modules/announcer-role.bicep", "announces"): "eventGridDataSender",
    ("modules/component-role.bicep", "assignment"): "monitoringMetricsPublisher",
    ("modules/dead-letter-role.bicep", "assignment"): "storageBlobDataContributor",
    ("modules/events.bicep", "analyzerSends"): "eventGridDataSender",
    ("modules/pipeline-roles.bicep", "deploysToBlue"): "websiteContributor",
    ("modules/pipeline-roles.bicep", "deploysToGreen"): "websiteContributor",
    ("modules/storage-roles.bicep", "assignments"): "roleId",
    ("modules/traffic-role.bicep", "analyzerMoves"): "role",
    ("modules/traffic-role.bicep", "operatorsMove"): "role",
    ("modules/vault.bicep", "readers"): "keyVaultSecretsUser",
    ("modules/workspace-role.bicep", "assignment"): "logAnalyticsDataReader",
}
BUILT_IN = {
    "eventGridDataSender": "d5a91429-5739-47e2-a06b-3470a27159e7",
    "keyVaultSecretsUser": "4633458b-17de-408a-b874-0445c86b69e6",
    "logAnalyticsDataReader": "3b03c2da-16b3-4a49-8834-0f8130efdd3b",
    "monitoringMetricsPublisher": "3913510d-42f4-4e42-8a64-420c390055eb",
    "storageBlobDataContributor": "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    "storageBlobDataOwner": "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    "storageQueueDataContributor": "974c5e8b-45b9-4653-ba55-5f855dd0fb88",
    "storageTableDataContributor": "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3",
    "websiteContributor": "de139f84-1756-47ae-9be6-808fbbe84772",
}


def found(kind: str) -> list[tuple[Source, str]]:
    """(file, symbol) of every deployed resource of exactly this type."""
    return [(one, symbol) for one in sources() for symbol, r in one.resources(kind).items() if r["type"] == kind]


def last_name(value: Any) -> str:
    """The last name of a chain: roles.x -> x; of a call: its last argument's."""
    if isinstance(value, dict) and "operator" in value:
        return last_name(value["operator"]["operands"]["operand_2"])
    if isinstance(value, dict) and "function" in value:
        return last_name([one for one in value["function"]["parameters"].values() if one is not None][-1])
    if isinstance(value, list):
        return last_name(value[-1])
    return str(value)


def test_the_custom_role_has_exactly_six_actions() -> None:
    """Pool and marker: read, write, and how a write went; on the one API Management service."""
    (bicep, symbol) = found("Microsoft.Authorization/roleDefinitions")[0]
    (permissions,) = bicep.body(symbol)["properties"]["permissions"]
    prefix = "Microsoft.ApiManagement/service"
    assert sorted(permissions["actions"]) == [
        f"{prefix}/backends/read",
        f"{prefix}/backends/write",
        f"{prefix}/namedValues/read",
        f"{prefix}/namedValues/write",
        f"{prefix}/operationresults/read",
        f"{prefix}/tenant/operationResults/read",
    ]
    assert permissions["notActions"] == permissions["dataActions"] == permissions["notDataActions"] == []
    assert len(found("Microsoft.Authorization/roleDefinitions")) == 1
    for assignment in ("analyzerMoves", "operatorsMove"):
        assert bicep.body(assignment)["scope"] == "service"


def test_every_role_assignment_is_on_the_list() -> None:
    """A new one must be written here, and into the document, before it exists."""
    every = {}
    for bicep, symbol in found("Microsoft.Authorization/roleAssignments"):
        role = last_name(bicep.body(symbol)["properties"]["roleDefinitionId"])
        every[bicep.name, symbol] = "role" if role == "id" else role
        assert "scope" in bicep.body(symbol), f"{symbol} reaches the whole resource group"
    assert every == ASSIGNED


@pytest.mark.parametrize("name", ["main.bicep", "adopt.bicep"])
def test_a_pipeline_may_announce_wherever_there_is_a_topic(name: str) -> None:
    """The topic takes no keys, so without the role nobody but the timer tells of a deployment."""
    given = source(name).body("announcerRole")["params"]
    assert given["pipelinePrincipalId"] == "pipelinePrincipalId"
    assert last_name(given["incomingTopicName"]) == "incomingTopicName"


def test_role_ids_are_the_published_ones() -> None:
    """A wrong digit would grant another role."""
    assert ROLES == BUILT_IN


@pytest.mark.parametrize(("name", "module"), [("analyzer.bicep", "storageRoles"), ("slot.bicep", "storageRoles")])
def test_data_roles_are_the_three_that_a_function_app_needs(name: str, module: str) -> None:
    """On its own storage account: blobs (package, locks), queues, tables."""
    given = [last_name(one) for one in source(name).body(module)["params"]["roleIds"]]
    assert given == ["storageBlobDataOwner", "storageQueueDataContributor", "storageTableDataContributor"]


def test_storage_has_no_keys_and_no_public_blobs() -> None:
    """Every account is this one module."""
    ((bicep, symbol),) = found("Microsoft.Storage/storageAccounts")
    properties = bicep.body(symbol)["properties"]
    assert properties["allowSharedKeyAccess"] is False
    assert properties["allowBlobPublicAccess"] is False
    assert properties["minimumTlsVersion"] == "TLS1_2"
    assert properties["supportsHttpsTrafficOnly"] is True
    for name, container in found("Microsoft.Storage/storageAccounts/blobServices/containers"):
        assert name.body(container)["properties"]["publicAccess"] == "None"


def test_topics_workspaces_and_telemetry_take_no_keys() -> None:
    """Local authentication is off wherever there is one."""
    for bicep, symbol in found("Microsoft.EventGrid/topics"):
        assert bicep.body(symbol)["properties"]["disableLocalAuth"] is True
        assert bicep.body(symbol)["properties"]["minimumTlsVersionAllowed"] == "1.2"
    for bicep, symbol in found("Microsoft.Insights/components"):
        assert bicep.body(symbol)["properties"]["DisableLocalAuth"] is True
    for bicep, symbol in found("Microsoft.OperationalInsights/workspaces"):
        assert bicep.body(symbol)["properties"]["features"]["disableLocalAuth"] is True
    for bicep, symbol in found("Microsoft.KeyVault/vaults"):
        assert bicep.body(symbol)["properties"]["enableRbacAuthorization"] is True
        assert bicep.body(symbol)["properties"]["enablePurgeProtection"] is True


def test_apps_reach_storage_and_telemetry_by_identity() -> None:
    """No connection string with a key among the settings; passwords for deployments are off."""
    bicep = source("modules/flex-app.bicep")
    settings = bicep.values["variables"]["hostSettings"]["value"]
    assert settings["AzureWebJobsStorage__credential"] == "managedidentity"
    assert "AzureWebJobsStorage" not in settings
    assert settings["APPLICATIONINSIGHTS_AUTHENTICATION_STRING"].endswith(";Authorization=AAD")
    storage = bicep.body("app")["properties"]["functionAppConfig"]["deployment"]["storage"]
    assert storage["authentication"]["type"] == "UserAssignedIdentity"
    assert bicep.body("app")["properties"]["httpsOnly"] is True
    assert bicep.body("app")["properties"]["siteConfig"]["minTlsVersion"] == "1.2"
    for policy in ("scmPasswords", "ftpPasswords"):
        assert bicep.body(policy)["properties"]["allow"] is False


def test_no_secret_leaves_by_an_output(bicep: Source) -> None:
    """outputs-should-not-contain-secrets: no key, no connection string, no secure parameter, no list call."""
    secure = {
        name
        for name, one in bicep.values.get("parameters", {}).items()
        if any(decorator["type"] == "secure" for decorator in one["decorators"])
    }
    for name, output in bicep.values.get("outputs", {}).items():
        value = json.dumps(output["value"])
        assert not re.search(r"(?i)secret|password|connectionstring|instrumentationkey|list_?keys|_key\b", name)
        assert not re.search(r"(?i)connectionstring|instrumentationkey|list_?keys|listvalue", value), name
        assert not any(parameter in value for parameter in secure), name


def test_only_newguid_is_the_default_of_a_secure_parameter(bicep: Source) -> None:
    """secure-parameter-default: a fixed value in a template is a published one."""
    for name, one in bicep.values.get("parameters", {}).items():
        if any(decorator["type"] == "secure" for decorator in one["decorators"]):
            assert one["type"] == "string", name
            assert one.get("default") in (None, {"function": {"type": "new_guid"}}), name


def test_parameters_that_hold_a_secret_are_secure(bicep: Source) -> None:
    """secure-secrets-in-params: by name, as the linter sees it."""
    for name, one in bicep.values.get("parameters", {}).items():
        if re.search(r"(?i)password|pwd|secret|accountkey|acctkey", name):
            assert any(decorator["type"] == "secure" for decorator in one["decorators"]), name


def test_a_key_stands_in_no_title_and_no_url(bicep: Source) -> None:
    """Named values with secret: true come from the Key Vault; backends name them in {{}}, and have no title."""
    for symbol, one in bicep.resources("Microsoft.ApiManagement/service/").items():
        properties = bicep.body(symbol)["properties"]
        if one["type"].endswith("/namedValues"):
            assert properties["secret"] is ("keyVault" in properties), symbol
            assert ("value" in properties) is not ("keyVault" in properties), symbol
        if one["type"].endswith("/backends"):
            assert "title" not in properties
            credentials = json.dumps(properties.get("credentials", {}))
            assert "listKeys" not in credentials and "code" not in credentials
            for key in re.findall(r'"x-functions-key": \["([^"]*)"', credentials):
                assert re.fullmatch(r"\{\{\$\{slot\.colour\}-function-key\}\}", key)


def test_webhook_urls_are_key_vault_references() -> None:
    """And so is the preview key; no other setting of the analyzer can hold a secret."""
    text = source("analyzer.bicep").text
    assert "'@Microsoft.KeyVault(VaultName=${vaultName};SecretName=${toLower(replace(setting, '_', '-'))})'" in text
    assert "PREVIEW_KEY: '@Microsoft.KeyVault(" in text
    assert "keyVaultReferenceIdentity: identity.id" in source("modules/flex-app.bicep").text


def test_both_slots_are_one_module_with_equal_settings() -> None:
    """They differ in name and colour only: whatever else differed would be judged as the version's doing."""
    main = source("main.bicep")
    blue, green = main.body("blue")["params"], main.body("green")["params"]
    assert {name for name in {*blue, *green} if blue.get(name) != green.get(name)} == {"name", "colour"}
    assert (blue["colour"], green["colour"]) == ("blue", "green")
    assert main.values["modules"]["blue"]["detail"] == main.values["modules"]["green"]["detail"]


def test_requests_are_never_sampled_in_a_slot() -> None:
    """The settings override whatever host.json a package brings, in both slots alike."""
    settings = source("slot.bicep").values["variables"]["telemetrySettings"]["value"]
    sampling = "AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__"
    assert settings[f"{sampling}excludedTypes"].split(";")[0] == "Request"
    ((bicep, symbol),) = found("Microsoft.Insights/components")
    assert bicep.body(symbol)["properties"]["SamplingPercentage"] == 100


def test_only_the_gateway_and_the_analyzer_may_call_a_slot() -> None:
    """Any identity of the tenant can get a token for the audience, so the callers are named."""
    validation = source("modules/authentication.bicep").body("settings")["properties"]["identityProviders"][
        "azureActiveDirectory"
    ]["validation"]
    assert validation["defaultAuthorizationPolicy"]["allowedPrincipals"]["identities"] == "callerPrincipalIds"
    for slot in ("blue", "green"):
        callers = source("main.bicep").body(slot)["params"]["callerPrincipalIds"]
        assert [one["operator"]["operands"]["operand_1"] for one in callers] == ["apiManagement", "analyzer"]


def test_no_slot_is_deployed_open_to_the_world() -> None:
    """Entra without a registration would leave App Service authentication off: the deployment fails instead."""
    main = source("main.bicep")
    assert re.search(r"var clientId = withEntra && empty\(slotsClientId\) \? fail\('[^']+'\) : ", main.text)
    assert "var withEntra = slotAuthentication == 'entra'\n" in main.text
    for module in ("blue", "green", "gateway"):
        assert main.body(module)["params"]["slotsClientId"] == "clientId", f"{module} gets what was not looked at"
    assert source("slot.bicep").values["modules"]["authentication"]["config"]["condition"]


PROTECTED = [
    ("modules/traffic.bicep", "pool", "createPool"),
    ("modules/traffic.bicep", "marker", "createMarker"),
]


@pytest.mark.parametrize(("name", "symbol", "switch"), PROTECTED)
def test_redeploying_never_writes_pool_or_marker(name: str, symbol: str, switch: str) -> None:
    """Two locks: a switch that is off unless the hook proved absence, and onlyIfNotExists."""
    bicep = source(name)
    one = bicep.values["resources"][symbol]
    assert [decorator["type"] for decorator in one["decorators"]] == ["onlyIfNotExists"]
    assert one["config"]["condition"] == switch
    assert source("main.bicep").values["parameters"][switch]["default"] is False
    for caller, module in (("gateway.bicep", "traffic"), ("main.bicep", "gateway")):
        assert source(caller).body(module)["params"][switch] == switch, f"{caller} hands on something else"


def test_nothing_else_that_azd_or_a_pipeline_deploys_writes_pool_or_marker() -> None:
    """Only traffic-shifting.bicep states weights, and nothing calls it."""
    stating = {
        bicep.name
        for bicep in sources()
        for symbol in bicep.resources("Microsoft.ApiManagement/service/")
        if "pool" in bicep.body(symbol)["properties"] or "markerName" in str(bicep.body(symbol)["name"])
    }
    assert stating == {"modules/traffic.bicep", "traffic-shifting.bicep"}
    callers = [one.name for one in sources() if "traffic-shifting.bicep'" in one.text]
    root = BICEP.parent
    scripts = [*(BICEP / "hooks").glob("*"), *(root / "pipelines").glob("*"), root / "azure.yaml"]
    assert not callers
    assert not [path.name for path in scripts if path.is_file() and "traffic-shifting" in path.read_text()]


def test_the_preview_key_is_made_once() -> None:
    """A new key in the middle of a rollout would close the gate to the analyzer."""
    (decorator,) = source("modules/preview-key.bicep").values["resources"]["secret"]["decorators"]
    assert decorator["type"] == "onlyIfNotExists"
    assert source("modules/vault.bicep").values["modules"]["previewSecret"]["config"]["condition"] == "createPreviewKey"
    for name in ("main.bicep", "adopt.bicep"):
        assert source(name).values["parameters"]["createPreviewKey"]["default"] is False


def test_the_declarative_shift_keeps_the_marker_behind_the_pool() -> None:
    """0 to 100, both weights from one parameter, the marker only at 100 and only after the pool."""
    bicep = source("traffic-shifting.bicep")
    limits = {one["type"]: one.get("argument") for one in bicep.values["parameters"]["share"]["decorators"]}
    assert (limits["min_value"], limits["max_value"]) == (0, 100)
    services = bicep.body("pool")["properties"]["pool"]["services"]
    assert services[0]["weight"] == "blueWeight"
    assert "100 - blueWeight" in bicep.text
    assert bicep.body("marker")["dependsOn"] == ["pool"]
    assert bicep.body("marker")["properties"]["value"] == "slot"
    assert re.search(r"resource marker .* = if \(share == 100\) \{", bicep.text)


def test_the_analyzers_alerts_do_not_stand_on_the_judged_workspace() -> None:
    """A daily cap there would blind the judge and whoever watches it at once."""
    rules = source("modules/alerts.bicep")
    assert rules.body("logs")["properties"]["scopes"] == ["analyzerWorkspaceId"]
    given = source("analyzer.bicep").body("alerts")["params"]["analyzerWorkspaceId"]
    assert given["operator"]["operands"]["operand_1"] == "monitoring"
    assert "judgedWorkspaceId" not in rules.text


def test_every_alert_goes_to_the_action_group() -> None:
    """An alert that nobody gets is a chart."""
    for kind in ("Microsoft.Insights/scheduledQueryRules", "Microsoft.Insights/metricAlerts"):
        for bicep, symbol in found(kind):
            assert bicep.body(symbol)["properties"]["actions"], f"{bicep.name}: {symbol}"
            assert bicep.body(symbol)["properties"]["enabled"] is True


def test_subscriptions_reach_the_trigger_and_keep_what_cannot_be_delivered() -> None:
    """In a phase of their own; the announcements and the packages with dead letters by identity."""
    bicep = source("subscriptions.bicep")
    assert bicep.body("onDeployment")["name"] == "on_deployment"
    for symbol in ("announcements", "newPackages", "siteWrites"):
        properties = bicep.body(symbol)["properties"]
        assert properties["destination"]["endpointType"] == "AzureFunction"
        assert properties["retryPolicy"] == "retryPolicy"
        dead = properties.get("deadLetterWithResourceIdentity")
        assert (dead is None) is (symbol == "siteWrites")
        assert "deadLetterDestination" not in properties  # without an identity it would need the account's key
    phase_one = [
        one.name for one in sources() if one.name != "subscriptions.bicep" and "/eventSubscriptions@" in one.text
    ]
    assert not phase_one


def test_our_own_writes_to_the_pool_wake_nobody() -> None:
    """ARM writes are let through for the two sites only, blobs for the two containers only."""
    bicep = source("subscriptions.bicep")
    for symbol, event in (
        ("newPackages", "Microsoft.Storage.BlobCreated"),
        ("siteWrites", "Microsoft.Resources.ResourceWriteSuccess"),
    ):
        chosen = bicep.body(symbol)["properties"]["filter"]
        assert chosen["includedEventTypes"] == [event]
        assert chosen["advancedFilters"][0]["operatorType"] == "StringBeginsWith"
        assert chosen["advancedFilters"][0]["key"] == "subject"
    for values in (
        "map(packageContainers, container => '/blobServices/default/containers/${container}/')",
        "map(siteNames, siteName => resourceId('Microsoft.Web/sites', siteName))",
    ):
        assert f"values: {values}\n" in bicep.text
    assert bicep.values["parameters"]["packageContainers"]["default"] == ["package-blue", "package-green"]


def test_queues_tables_and_containers_are_those_of_the_code() -> None:
    """function_app.py names the queues, the settings the table, host and Event Grid the containers."""
    params = source("analyzer.bicep").body("storage")["params"]
    assert params["queues"] == ["canary-ticks", "canary-ticks-poison"]
    assert params["tables"] == ["canary"]
    trigger = (BICEP.parent / "function_app.py").read_text()
    assert 'TICKS = "canary-ticks"' in trigger and "def on_deployment(" in trigger


def test_settings_of_the_analyzer_are_those_that_something_reads() -> None:
    """The function app by name, the host by its prefix, a channel by what the document says to write."""
    root = BICEP.parent
    readers = "".join((root / name).read_text() for name in ("controller/settings.py", "function_app.py"))
    document = (root / "docs/infrastructure.md").read_text()
    settings = re.search(
        r"settings: union\(channelReferences, \{(.*?)\n    \}\)", source("analyzer.bicep").text, re.DOTALL
    )
    assert settings is not None
    names = re.findall(r"^ {6}(\w+):", settings[1], re.MULTILINE)
    assert {"STATE_URL", "AZURE_CLIENT_ID", "TICK_SCHEDULE", "LOOKOUT_SCHEDULE"} <= set(names)
    for name in names:
        read = re.search(rf'"{name}"|%{name}%', readers) or f"url_setting: {name}}}" in document
        assert read or name.startswith("AzureFunctionsJobHost__"), f"nothing reads {name}"


def test_the_parameters_file_fits_the_template() -> None:
    """azd reads it: every name exists, and every parameter without a default is given."""
    given = json.loads((BICEP / "main.parameters.json").read_text())["parameters"]
    wanted = source("main.bicep").values["parameters"]
    assert set(given) <= set(wanted)
    assert {name for name, one in wanted.items() if one.get("default") is None} <= set(given)
    for switch in ("createPool", "createMarker", "createPreviewKey"):
        assert given[switch]["value"].endswith("=false}"), "off unless the hook says otherwise"
