"""Every event that is published is the published REST definition's: the notices' and the pipeline's.

Source: Azure REST API specifications (github.com/Azure/azure-rest-api-specs, MIT licence),
specification/eventgrid/data-plane/Microsoft.EventGrid/stable/2018-01-01/EventGrid.json, operation
PublishCloudEventEvents: the part that Flex Canary uses, as JSON Schema. Custom attributes are allowed there; ours has
none. The definition leaves authentication out: a token, or the topic's key in aeg-sas-key.
"""

import pytest
from jsonschema import Draft202012Validator
from typer.testing import CliRunner

from cli.main import app as command_line
from lab.event_grid import Topic
from lab.serving import Serving
from notifying.channels import open_channel
from rollouts.errors import CanaryError
from rollouts.policy import Channel
from tests.notifying.conftest import identity, notice
from tests.recording import Exchange, recorded

PATH = "/api/events"
QUERY = {"api-version": "2018-01-01"}
CONTENT_TYPE = "application/cloudevents-batch+json; charset=utf-8"
EVENTS = {
    "type": "array",
    "minItems": 1,
    "items": {
        "type": "object",
        "required": ["type", "specversion", "source", "id"],
        "properties": {
            "id": {"type": "string", "minLength": 1},
            "source": {"type": "string", "minLength": 1},
            "type": {"type": "string", "minLength": 1},
            "specversion": {"const": "1.0"},
            "subject": {"type": "string", "minLength": 1},
            "time": {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d"},  # RFC 3339
            "data": {"type": "object"},
            "dataschema": {"type": "string"},
            "datacontenttype": {"type": "string"},
        },
        "additionalProperties": False,
    },
}
NO_ERROR = {"error": {"code": "none", "message": "none"}}
ERROR = {  # the definition says which statuses; their shape is ARM's
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {"code": {"type": "string"}, "message": {"type": "string"}, "details": {"type": "array"}},
            "additionalProperties": False,
        }
    },
}


def problems(one: Exchange) -> list[str]:
    """What about an exchange is not as published."""
    published = (one.method, one.path, one.query) == ("POST", PATH, QUERY)
    found = [] if published else [f"{one.method} {one.path} {one.query}"]
    found += [] if one.content_type == CONTENT_TYPE else [f"content type {one.content_type!r}"]
    found += [] if {"authorization", "aeg-sas-key"} & one.headers.keys() else ["neither token nor key"]
    found += [] if (one.status == 200) is (one.answer is None) else [f"{one.status} with {one.answer}"]
    found += [error.message for error in Draft202012Validator(ERROR).iter_errors(one.answer or NO_ERROR)]
    return found + [error.message for error in Draft202012Validator(EVENTS).iter_errors(one.body)]


@pytest.fixture
def topic(serving: Serving) -> tuple[str, Topic, list[Exchange]]:
    """Its endpoint, itself, and what went over the wire."""
    made = Topic()
    app = made.app()
    kept = recorded(app)
    return f"{serving.serve(app)}{PATH}", made, kept


def test_a_notice_is_published_as_it_should_be(topic: tuple[str, Topic, list[Exchange]]) -> None:
    url, _, kept = topic
    channel = Channel(name="team", kind="event_grid", url_setting="TOPIC_URL")
    open_channel(channel, {"TOPIC_URL": url}, identity).send(notice())
    (one,) = kept
    assert (one.status, problems(one)) == (200, [])
    one.body[0]["time"] = "yesterday"
    del one.body[0]["source"]
    assert len(problems(one)) == 2


def test_an_announcement_is_published_as_it_should_be(
    topic: tuple[str, Topic, list[Exchange]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, made, kept = topic
    monkeypatch.setenv("CANARY_TOPIC", url)
    monkeypatch.setenv("CANARY_TOPIC_KEY", made.key)
    line = ["announce", "--service", "checkout", "--version", "1.4.2", "--slot", "green", "--deployment-id", "81"]
    result = CliRunner().invoke(command_line, [*line, "--commit", "abc", "--link", "https://run.example/81", "--retry"])
    assert result.exit_code == 0, result.output
    (one,) = kept
    assert (one.status, problems(one)) == (200, [])


@pytest.mark.parametrize("told", [401, 429, 503])
def test_what_goes_wrong_is_said_as_published(topic: tuple[str, Topic, list[Exchange]], told: int) -> None:
    """The definition's error responses: no right, too many, an outage."""
    url, made, kept = topic
    settings = {"TOPIC_URL": url} | ({"TOPIC_URL_KEY": "another"} if told == 401 else {})
    made.faults += [(told, {"Retry-After": "7"})] if told != 401 else []
    channel = Channel(name="team", kind="event_grid", url_setting="TOPIC_URL")
    with pytest.raises(CanaryError):
        open_channel(channel, settings, identity).send(notice())
    (one,) = kept
    assert (one.status, problems(one)) == (told, [])
