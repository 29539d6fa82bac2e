"""docs/infrastructure.md says what is there."""

import json
import re

from tests.infrastructure.reading import BICEP, ROOT, source

TEXT = (ROOT / "docs/infrastructure.md").read_text()
NAMES = {
    "eventGridDataSender": "EventGrid Data Sender",
    "keyVaultSecretsUser": "Key Vault Secrets User",
    "logAnalyticsDataReader": "Log Analytics Data Reader",
    "monitoringMetricsPublisher": "Monitoring Metrics Publisher",
    "storageBlobDataContributor": "Storage Blob Data Contributor",
    "storageBlobDataOwner": "Storage Blob Data Owner",
    "storageQueueDataContributor": "Storage Queue Data Contributor",
    "storageTableDataContributor": "Storage Table Data Contributor",
    "websiteContributor": "Website Contributor",
}


def test_every_role_is_explained() -> None:
    """In the table of roles."""
    table = TEXT[TEXT.index("## Roles, and why") : TEXT.index("## Who may call a slot")]
    assert set(NAMES) == set(json.loads((BICEP / "roles.json").read_text()))
    assert not [name for name in NAMES.values() if name not in table]


def test_files_that_are_named_exist() -> None:
    """A path in backticks that begins with a folder of ours."""
    for path in re.findall(r"`((?:bicep|pipelines|tests|\.github)/[\w./-]+)`", TEXT):
        assert (ROOT / path).exists(), path


def test_variables_outputs_and_parameters_that_are_named_exist() -> None:
    """azd variables are those of main.parameters.json or the hooks; azd env get-value reads outputs."""
    parameters = (BICEP / "main.parameters.json").read_text()
    table = TEXT[TEXT.index("| azd variable") : TEXT.index("Webhook URLs are secrets")]
    for name in re.findall(r"`([A-Z][A-Z_]+)`", table):
        assert name in parameters or name == "TEAMS_WEBHOOK_URL", name
    for name in re.findall(r"azd env get-value (\w+)", TEXT):
        assert name in source("main.bicep").values["outputs"] or name in parameters, name
    for given in re.findall(r"bicep/adopt\.bicep --parameters(.*?)#", TEXT, re.DOTALL):
        assert set(re.findall(r"(\w+)=", given)) <= set(source("adopt.bicep").values["parameters"])


def test_every_alert_is_in_the_table() -> None:
    """By its name."""
    table = TEXT[TEXT.index("| alert |") : TEXT.index("They read the names of the functions")]
    alerts = source("modules/alerts.bicep").values["variables"]["logAlerts"]["value"]
    metrics = source("modules/lost-events.bicep").values["variables"]["metrics"]["value"]
    assert not [name for name in [*(one["name"] for one in alerts), *metrics] if name not in table]


def test_it_says_what_was_not_verified() -> None:
    """In one plain sentence, at the top."""
    assert "Nothing of it has been deployed from this repository" in TEXT.split("##")[0]
