"""What an event is taken for: an announcement with all that it says, a nudge, or nothing of ours; and who ticks."""

import msgspec
import pytest

from controller import groups, signals
from controller.config import load
from rollouts import limits
from rollouts.errors import Refused
from rollouts.observation import Slot
from rollouts.rollout import Announcement
from storing.records import Records
from storing.sqlite import SqliteStore
from tests.simulation.conftest import POLICY, SUBSCRIPTION

GOOD = {"service": "checkout", "version": "1.4.2", "deploymentId": "run-81"}
SITE = f"{SUBSCRIPTION}/Microsoft.Web/sites/checkout-green"
BLOBS = "/blobServices/default/containers/green-packages"


def read(data: object, kind: str = signals.DEPLOYMENT_COMPLETED, subject: str = "checkout") -> object:
    return signals.read(signals.Arrived(type=kind, id="e-1", subject=subject, data=data, at=7.0), load(POLICY))


def test_an_announcement_says_all_that_its_pipeline_said():
    said = {"slot": "green", "retry": True, "rollback": "ask", "link": "https://ci/81", "commit": "abc"}
    assert read(GOOD | said) == Announcement(
        service="checkout",
        slot=Slot.GREEN,
        version="1.4.2",
        deployment_id="run-81",
        by="event:Canary.DeploymentCompleted",
        link="https://ci/81",
        commit="abc",
        retry=True,
        ask_before_rollback=True,
        at=7.0,
    )
    plain = read(GOOD | {"slot": None, "retry": None, "rollback": None, "link": 5, "commit": ""})
    assert (plain.slot, plain.retry, plain.ask_before_rollback, plain.link, plain.commit) == (
        None,
        False,
        False,
        None,
        None,
    )
    assert len(read(GOOD | {"link": "x" * 9000}).link) == limits.DETAIL_CHARACTERS


@pytest.mark.parametrize(
    ("field", "value", "advice"),
    [
        ("service", "basket", "name one of checkout"),
        ("service", None, "service is missing"),
        ("version", "1.4.2\n", "version is '1.4.2\\n'"),
        ("version", "", "letters, digits"),
        ("version", 1.4, "version is 1.4"),
        ("slot", "both", "write blue or green"),
        ("deploymentId", "", "the pipeline run's id"),
        ("deploymentId", "r" * 201, "at most 200"),
        ("retry", "yes", "write true or false"),
        ("rollback", "never", "write auto or ask"),
    ],
)
def test_a_wrong_field_is_named_with_what_to_write(field, value, advice):
    with pytest.raises(Refused) as refused:
        read(GOOD | {field: value})
    assert advice in str(refused.value)
    assert f"{field} is " in str(refused.value)


def test_all_that_is_wrong_is_said_at_once():
    with pytest.raises(Refused) as refused:
        read({"slot": "both"})
    assert [f"{name} is" in str(refused.value) for name in ("service", "version", "slot", "deploymentId")] == [True] * 4


@pytest.mark.parametrize(
    ("kind", "subject", "ours"),
    [
        (signals.ARM_WRITE, SITE, True),
        (signals.ARM_WRITE, SITE.upper(), True),
        (signals.ARM_WRITE, f"{SITE}/config/appsettings", True),
        (signals.ARM_WRITE, f"{SITE}-2", False),
        (signals.ARM_WRITE, SITE.removesuffix("-green"), False),
        (signals.BLOB_CREATED, f"{BLOBS}/blobs/released-package.zip", True),
        (signals.BLOB_CREATED, f"{BLOBS}-old/blobs/released-package.zip", False),
        (signals.BLOB_CREATED, SITE, False),
        ("Microsoft.Resources.ResourceDeleteSuccess", SITE, False),
    ],
)
def test_a_nudge_wakes_the_service_whose_slot_it_is_about_and_no_other(kind, subject, ours):
    found = read({"claims": "personal"}, kind, subject)
    assert found == signals.Wake(services=("checkout",)) if ours else isinstance(found, signals.Unknown)


class Unreadable:
    """An event as the worker hands it over, whose data is no JSON."""

    id, subject, event_type, event_time = "e-1", "checkout", signals.DEPLOYMENT_COMPLETED, None

    def get_json(self) -> object:
        raise ValueError("Expecting value")


def test_an_event_whose_data_is_no_object_is_refused_and_not_looped_on():
    for event in (signals.arrived(Unreadable()), msgspec.structs.replace(signals.arrived(Unreadable()), data="text")):
        with pytest.raises(Refused, match="send an object with service and version"):
            signals.read(event, load(POLICY))


def test_services_tick_in_groups_of_their_workspace_and_only_those_that_were_asked(tmp_path):
    records = Records(SqliteStore(tmp_path / "state.sqlite", "canary"))
    for number in range(limits.GROUP_SERVICES + 1):
        records.activate(f"s{number:02}", "w1")
    records.activate("alone", "w2")
    records.activate("not-asked", "w2")
    wanted = [one for one in records.active() if one != "not-asked"]
    sent = [msgspec.json.decode(one) for one in groups.messages(records, [*wanted, "at-rest"], 5.0)]
    assert [(one["workspace"], len(one["services"]), one["asked_at"]) for one in sent] == [
        ("w1", limits.GROUP_SERVICES, 5.0),
        ("w1", 1, 5.0),
        ("w2", 1, 5.0),
    ]
    assert sorted(name for one in sent for name in one["services"]) == sorted(wanted)
