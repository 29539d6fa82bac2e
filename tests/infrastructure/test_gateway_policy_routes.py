"""The gateway's policy, interpreted: where a request goes, with which preview headers, in every variant."""

import re
from dataclasses import dataclass, field
from xml.etree import ElementTree as Xml

import pytest

from tests.infrastructure.reading import BICEP, source

KEY = "5a0c6f1e-1111-4222-8333-444455556666"
EXPRESSION = re.compile(
    r'@\((?:context\.Request\.Headers\.GetValueOrDefault\("(?P<header>[\w-]+)", ""\)|"(?P<text>[^"]*)") '
    r'(?P<sign>==|!=) "(?P<other>[^"]*)"\)'
)


@dataclass
class Request:
    """One request on its way through <inbound>."""

    headers: dict[str, str]
    backend: str | None = None
    status: int | None = None  # None = it goes on to the backend
    body: str = ""
    identity: str | None = None  # audience of the token that the gateway adds
    values: dict[str, str] = field(default_factory=dict)  # named values


def rendered(*, entra: bool = True, origins: tuple[str, ...] = ("https://shop.example.com",)) -> str:
    """What gateway.bicep makes of policy/api.xml."""
    text = (BICEP / "policy/api.xml").read_text()
    element = '<authentication-managed-identity resource="api://client" />' if entra else ""
    return (
        text.replace("__ALLOWED_ORIGINS__", "</origin><origin>".join(origins))
        .replace("__POOL__", "green-blue-pool")
        .replace("__MARKER__", "current-slot-name")
        .replace("<!-- authentication -->", element)
    )


def holds(expression: str, request: Request) -> bool:
    """The value of a condition; only the form that the policy uses is understood."""
    match = EXPRESSION.fullmatch(expression)
    assert match, f"not understood: {expression}"

    def filled(text: str) -> str:
        return re.sub(r"\{\{([\w-]+)\}\}", lambda named: request.values[named[1]], text)

    left = request.headers.get(match["header"], "") if match["header"] else filled(match["text"])
    return (left == filled(match["other"])) is (match["sign"] == "==")


def carry_out(elements: list[Xml.Element], request: Request) -> None:
    """The statements in their order; a returned response ends them."""
    for element in elements:
        if request.status is not None:
            return
        match element.tag:
            case "base" | "cors":
                pass
            case "choose":
                for branch in element:
                    if branch.tag == "otherwise" or holds(branch.attrib["condition"], request):
                        carry_out(list(branch), request)
                        break
            case "set-backend-service":
                request.backend = element.attrib["backend-id"]
            case "return-response":
                request.status = int(element.find("set-status").attrib["code"])  # type: ignore[union-attr]
                request.body = element.findtext("set-body") or ""
            case "set-header":
                assert element.attrib["exists-action"] == "delete"
                request.headers.pop(element.attrib["name"], None)
            case "authentication-managed-identity":
                request.identity = element.attrib["resource"]
            case other:
                raise AssertionError(f"not understood: {other}")


def send(live: str = "blue", *, entra: bool = True, **headers: str) -> Request:
    """One request; header names with _ for -."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(given, values={"current-slot-name": live, "canary-preview-key": KEY})
    inbound = Xml.fromstring(rendered(entra=entra)).find("inbound")  # noqa: S314  # our own file
    assert inbound is not None
    carry_out(list(inbound), request)
    return request


def test_the_policy_is_well_formed_in_every_variant() -> None:
    """With and without the token, with one origin and several."""
    for entra in (True, False):
        for origins in (("https://a.example",), ("https://a.example", "https://b.example")):
            root = Xml.fromstring(rendered(entra=entra, origins=origins))  # noqa: S314  # our own file
            assert [child.tag for child in root] == ["inbound", "backend", "outbound", "on-error"]
            assert [origin.text for origin in root.iter("origin")] == list(origins)
            assert all(section.find("base") is not None for section in root)


def test_bicep_fills_every_placeholder() -> None:
    """What rendered() does here, gateway.bicep does there."""
    text = source("gateway.bicep").text
    for placeholder in re.findall(r"__[A-Z_]+__|<!-- authentication -->", (BICEP / "policy/api.xml").read_text()):
        assert f"'{placeholder}'" in text
    assert "join(origins, '</origin><origin>')" in text
    assert "https://none.invalid" in text


def test_allowed_origins_are_a_parameter_and_credentials_are_not_allowed() -> None:
    """Cookies of a browser are nobody's proof here."""
    cors = Xml.fromstring(rendered()).find("inbound/cors")  # noqa: S314  # our own file
    assert cors is not None and cors.attrib["allow-credentials"] == "false"
    assert source("main.bicep").body("gateway")["params"]["allowedOrigins"] == "allowedOrigins"


@pytest.mark.parametrize("live", ["blue", "green"])
def test_an_ordinary_request_goes_to_the_pool(live: str) -> None:
    """And takes no preview header along, even when it names a slot."""
    assert send(live).backend == "green-blue-pool"
    asked = send(live, x_canary_slot="green")
    assert (asked.backend, asked.headers) == ("green-blue-pool", {})


@pytest.mark.parametrize(("live", "idle"), [("blue", "green-backend"), ("green", "blue-backend")])
def test_the_preview_key_opens_the_idle_slot(live: str, idle: str) -> None:
    """Past the weights; the key itself never reaches the slot."""
    request = send(live, x_canary_preview=KEY)
    assert (request.backend, request.headers) == (idle, {})


@pytest.mark.parametrize("slot", ["blue", "green"])
def test_the_preview_key_opens_the_slot_that_is_named(slot: str) -> None:
    """The analyzer probes both, whatever is live."""
    for live in ("blue", "green", "purple"):
        assert send(live, x_canary_preview=KEY, x_canary_slot=slot).backend == f"{slot}-backend"


def test_a_wrong_key_is_refused_and_goes_nowhere() -> None:
    """Served by the pool it would look like a test of the new version that passed."""
    for wrong in ("x", KEY + "0", "{{canary-preview-key}}"):
        request = send(x_canary_preview=wrong, x_canary_slot="green")
        assert (request.status, request.backend) == (403, None)
        assert KEY not in request.body


def test_bad_input_is_told_what_to_send() -> None:
    """An unknown slot, and a marker that names none."""
    unknown = send(x_canary_preview=KEY, x_canary_slot="purple")
    assert (unknown.status, unknown.backend) == (400, None)
    assert "blue or green" in unknown.body
    lost = send("purple", x_canary_preview=KEY)
    assert (lost.status, lost.backend) == (503, None)
    assert "current-slot-name" in lost.body


def test_the_gateway_proves_itself_by_its_identity_or_by_keys() -> None:
    """With Entra it sends a token; with keys the backend's credentials do it (backends.bicep)."""
    assert send().identity == "api://client"
    assert send(entra=False).identity is None
    assert "slotAuthentication == 'entra' ?" in source("gateway.bicep").text


def test_the_preview_key_is_a_secret_named_value_from_the_vault() -> None:
    """So it stands in no template, and API Management shows it to nobody who may only read."""
    properties = source("gateway.bicep").body("previewKey")["properties"]
    assert properties["secret"] is True
    assert properties["keyVault"]["secretIdentifier"] == "${vaultUri}secrets/${previewKeyName}"
    assert source("main.bicep").values["variables"]["previewKeyName"]["value"] == "canary-preview-key"
