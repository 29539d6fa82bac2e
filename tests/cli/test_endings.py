"""Every way in which a command can end has its exit code and says what to do."""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cli.ending import MEANINGS
from cli.lab import PACKAGES
from cli.main import PANELS
from controller.api import VERSION
from tests.cli.conftest import Api, Canary

ROOT = Path(__file__).parents[2]
ANNOUNCED = ("--service", "checkout", "--version", "2", "--slot", "green", "--deployment-id", "d2")


@pytest.mark.parametrize(
    ("answer", "code", "said"),
    [
        ((400, {"error": "the request's body: minutes is negative"}), 2, "minutes is negative"),
        ((400, "no JSON"), 2, "without a reason"),
        ((401, ""), 2, "CANARY_KEY"),
        ((403, ""), 2, "CANARY_KEY"),
        ((404, {"error": "checkout has no rollout: there is nothing to pause"}), 2, "nothing to pause"),
        ((401, {"error": {"code": "AuthenticationFailed"}}), 2, "CANARY_KEY"),  # Azure's own words, not ours
        ((404, "not found"), 2, "is no address of Flex Canary (404): is CANARY_URL"),
        ((409, {"error": "the canary is HARMFUL: promote is refused"}), 1, "promote is refused"),
        ((429, ""), 4, "try again"),
        ((500, {"error": "a bug of ours, nothing was changed"}), 4, "a bug of ours"),
        ((500, "<html>"), 4, "log"),
        ((503, {"error": "state cannot be reached"}), 4, "state cannot be reached"),
        ((200, "<html>Sign in</html>"), 4, "CANARY_URL"),
        ((302, "moved"), 4, "CANARY_URL"),
    ],
)
def test_a_refusal_is_shown_as_it_is_with_its_code(api: Api, canary: Canary, answer: Any, code: int, said: str) -> None:
    """The server's words, not a paraphrase; with --json as an object."""
    api.answers("POST", "/api/services/checkout/pause", answer)
    result = canary("pause", "checkout")
    assert (result.exit_code, result.stdout) == (code, "")
    assert said in result.stderr
    told = json.loads(canary("pause", "checkout", "--json").stdout)
    assert (told["exit_code"], said in told["error"]) == (code, True)
    assert len(api.requests) == 2  # a redirect is not followed: the key would go with it


def test_nobody_there_is_unreachable(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """Exit code 4, and what to look at."""
    monkeypatch.setenv("CANARY_URL", "http://127.0.0.1:9")
    result = canary("status")
    assert result.exit_code == 4
    assert "Connection refused" in result.stderr
    assert "CANARY_URL" in result.stderr


@pytest.mark.parametrize("setting", ["REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("line", [("status",), ("announce", *ANNOUNCED), ("shift", "checkout", "0", "--direct")])
def test_certificates_that_are_gone_are_named(
    *, canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, setting: str, line: tuple[str, ...]
) -> None:
    """As after the end of a lab whose settings are still in the shell: a line, no traceback."""
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    for name, value in {
        setting: str(tmp_path / "ca.pem"),
        "CANARY_URL": "https://127.0.0.1:9",
        "CANARY_TOPIC": "https://127.0.0.1:9/api/events",
        "CANARY_TOPIC_KEY": "a-topic-key",
        "CANARY_POLICY": str(ROOT / "canary.yaml"),
        "CANARY_ACTOR": "ada",
    }.items():
        monkeypatch.setenv(name, value)
    result = canary(*line)
    assert (result.exit_code, result.stdout) == (2, "")
    assert f"{setting} names {tmp_path / 'ca.pem'}, which is not there" in result.stderr


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("", "where is the function app?"),
        ("canary.example", "not a URL"),
        ("http://canary.example", "in clear"),
        ("https://canary.example/api?code=SECRET", "CANARY_KEY"),
        ("https://me:SECRET@canary.example", "CANARY_KEY"),
        ("https://[", "not a URL"),
    ],
)
def test_an_address_that_cannot_be_used_is_bad_input(canary: Canary, monkeypatch: Any, url: str, said: str) -> None:
    """Nothing is sent, and a key in it is not repeated."""
    monkeypatch.delenv("CANARY_URL", raising=False)
    result = canary("status", "--url", url)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "SECRET" not in result.output


@pytest.mark.parametrize(
    "line",
    [
        ["status", "Check out"],
        ["show", "../x"],
        ["pause", "checkout", "--for", "10"],
        ["target", "checkout", "--for", "2d"],
        ["target", "checkout", "--for", "0s"],
        ["approve", "checkout", "--share", "101"],
        ["mode", "checkout", "auto"],
        ["start", "checkout"],
        ["start", "checkout", "1", "--slot", "red"],
        ["wait"],
        ["wait", "checkout-1", "--service", "checkout"],
        ["shift", "checkout", "101"],
        ["shift", "checkout", "101", "--direct"],
        ["shift", "checkout", "-1", "--direct"],
        ["nonsense"],
    ],
    ids=" ".join,
)
def test_what_cannot_be_meant_is_bad_input_and_sends_nothing(api: Api, canary: Canary, line: list[str]) -> None:
    """Names, numbers and words are checked here already."""
    result = canary(*line)
    assert (result.exit_code, api.requests) == (2, [])
    assert result.stderr


def test_it_says_its_version_and_knows_the_short_help(canary: Canary) -> None:
    """What one types first."""
    assert canary("--version").stdout == f"{VERSION}\n"
    assert canary("status", "-h").stdout == canary("status", "--help").stdout


def test_check_tells_every_problem_and_config_push_sends_no_bad_file(api: Api, canary: Canary, tmp_path: Path) -> None:
    """Exit code 2, one line a problem."""
    file = tmp_path / "bad.yaml"
    text = (ROOT / "canary.yaml").read_text(encoding="utf-8")
    file.write_text(text.replace("bake: 10m", "bake: 10").replace("mode: act", "mode: atc"), encoding="utf-8")
    for line in (["check", str(file)], ["config", "push", str(file)]):
        result = canary(*line)
        assert result.exit_code == 2
        assert [where for where in ("bake", "mode") if f"services.checkout.{where} (line" in result.stderr] == [
            "bake",
            "mode",
        ]
        assert len(json.loads(canary(*line, "--json").stdout)["problems"]) == 2
    assert api.requests == []


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"- services",
        b"services: &all {}",
        b"services: !x {}",
        b"a: 1\n---\nb: 2",
        b"a: \x00",
        b"[a]: b\nservices: {}",
    ],
    ids=["nothing", "list", "anchor", "tag", "second document", "character", "key"],
)
def test_what_is_wrong_with_no_key_is_told_by_the_name_of_the_file(canary: Canary, tmp_path: Path, text: bytes) -> None:
    """`plan` and `replay` read more than one; and the name may be any, such as one with \\1 in it."""
    file = tmp_path / r"the \1 file.yaml"
    file.write_bytes(text)
    problems = json.loads(canary("check", str(file), "--json").stdout)["problems"]
    assert [one for one in problems if one.startswith((f"{file}: got ", f"{file} (line "))] == problems[:1]
    assert not any("the file:" in one or "the file (" in one for one in problems)


def test_a_policy_that_the_server_refuses_is_told_line_by_line(api: Api, canary: Canary) -> None:
    """The function app may know more than this version of the CLI."""
    api.answers(
        "PUT", "/api/config", (400, {"error": "the policy has errors", "problems": ["a: got 1: write 2", "b: x"]})
    )
    result = canary("config", "push", str(ROOT / "canary.yaml"))
    assert result.exit_code == 2
    assert result.stderr.splitlines() == ["error: a: got 1: write 2", "error: b: x"]


@pytest.mark.parametrize("content", [None, b"\xff\xfe\x00", b"", b"- a"])
def test_check_of_an_unreadable_file_is_bad_input(canary: Canary, tmp_path: Path, content: bytes | None) -> None:
    """A missing file, bytes that are not UTF-8, nothing, another YAML."""
    file = tmp_path / "canary.yaml"
    if content is not None:
        file.write_bytes(content)
    result = canary("check", str(file))
    assert result.exit_code == 2
    assert result.stderr.startswith("error: ")


def test_check_and_schema_of_this_repository_pass(canary: Canary, tmp_path: Path) -> None:
    """The example is right, the schema in docs is current; a stale one is refused."""
    assert canary("check", str(ROOT / "canary.yaml")).exit_code == 0
    assert json.loads(canary("check", str(ROOT / "canary.yaml"), "--json").stdout)["services"] == ["checkout"]
    assert canary("schema", "--check", str(ROOT / "docs/canary.schema.json")).exit_code == 0
    stale = tmp_path / "schema.json"
    stale.write_text("{}", encoding="utf-8")
    assert canary("schema", "--check", str(stale)).exit_code == 1
    assert canary("schema").stdout == (ROOT / "docs/canary.schema.json").read_text(encoding="utf-8")


def test_help_documents_every_exit_code_and_names_no_key(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipeline's author needs no other page."""
    monkeypatch.setenv("CANARY_KEY", "the-key-itself")
    said = canary("--help").stdout
    assert all(f"{code.value}  {meaning}" in said for code, meaning in MEANINGS.items())
    for commands in PANELS.values():
        for command in commands:
            helped = canary(command.__name__, "--help").stdout
            assert "the-key-itself" not in helped
            assert ("--json" in helped) or command.__name__ == "schema"


def test_the_installed_entry_point_ends_with_the_code() -> None:
    """A real process, piped: plain text, no frame, no colour."""
    code = "from cli.main import run; run()"
    done = subprocess.run(
        [sys.executable, "-c", code, "check", "missing.yaml"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: missing.yaml: No such file or directory: write the path of a canary.yaml\n"


def test_the_lab_says_what_to_install(canary: Canary, monkeypatch: pytest.MonkeyPatch) -> None:
    """A plain `pip install` leaves the lab's packages out: a line and exit code 2, no traceback."""
    monkeypatch.setattr("cli.lab.find_spec", lambda name: None if name in {"duckdb", "trustme"} else object())
    result = canary("lab", "list")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "the lab needs duckdb, trustme" in result.stderr
    assert "pip install -e '.[lab]'" in result.stderr


def test_the_lab_wants_a_clone(canary: Canary, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """host.json and the sample function are no part of a wheel."""
    monkeypatch.setattr("cli.lab.ROOT", tmp_path)
    result = canary("lab", "list")
    assert result.exit_code == 2
    assert f"{tmp_path} has no host.json" in result.stderr


def test_the_lab_knows_what_it_needs() -> None:
    lines = (ROOT / "requirements/lab.txt").read_text().splitlines()
    wanted = [re.split(r"[<>=!]", line)[0].replace("-", "_") for line in lines if not line.startswith("#")]
    assert sorted(wanted) == sorted(PACKAGES)


@pytest.mark.usefixtures("api")
def test_a_command_that_is_stopped_by_the_keyboard_says_so_and_has_a_documented_code(
    canary: Canary, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C ends the waiting, not what was asked for."""

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cli.remote.Remote.get", stopped)
    result = canary("status")
    assert result.exit_code == 3
    assert "stopped by the keyboard; what was asked for before goes on" in result.stderr
    told = canary("--help").stdout
    assert "or stopped by the keyboard" in told
    assert "130  a lab was stopped by the keyboard" in told
