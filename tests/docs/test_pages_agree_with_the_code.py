"""What the pages name exists, and what exists and must be documented is named."""

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import typer
import yaml

from analyzers.judge.verdict import VerdictKind
from cli.main import app
from docs import make
from lab.scenarios import SCENARIOS
from rollouts.notice import NoticeKind
from rollouts.policy_file import keys
from rollouts.rollout import HoldReason, Outcome, Phase
from rollouts.states import Event
from tests.docs.reading import PAGES, ROOT, anchors, canary, fences, inline, text, typed

DOCS = ROOT / "docs"
EACH = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
# Words that look like keys of canary.yaml in a sentence and are none: fields of the event, and of a channel.
OTHER_KEYS = {"retry", "rollback"}


ROOT_COMMAND = typer.main.get_command(app)


@EACH
def test_every_command_exists_with_its_options(page: Path) -> None:
    """`canary ...` as pages write it, in shell code and in sentences."""
    for line in typed(page):
        words = canary(line)
        if not words or words[0] in ("...", "<command>"):
            continue
        known = ROOT_COMMAND
        while words and getattr(known, "commands", None):
            assert words[0] in known.commands, f"{page.name}: {line}"
            known = known.commands[words.pop(0)]
        options = {name for parameter in known.params for name in (*parameter.opts, *parameter.secondary_opts)}
        asked = {word.partition("=")[0] for word in words if word.startswith("--")}
        assert asked <= options | {"--help"}, f"{page.name}: {line}"


@EACH
def test_every_make_target_exists(page: Path) -> None:
    """`make demo` and the like."""
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    asked = {found[1] for line in typed(page) if (found := re.match(r"make ([a-z]+)\b", line))}
    assert asked <= targets


SECTIONS = {
    "gate": keys.GATE_LEAVES,
    "limits": keys.LIMIT_KEYS,
    "expert": keys.EXPERT_KEYS,
    "indicators": keys.INDICATOR_KEYS,
    "warm_up": keys.WARM_UP_KEYS,
}
KNOWN = {key.name for section in (keys.SERVICE_LEAVES, keys.SLOT_KEYS, *SECTIONS.values()) for key in section} | {
    *("channels", "services", "slots", *SECTIONS),
    *("failures", "rejected", "p95", "checkout"),
}


@EACH
def test_every_policy_key_exists(page: Path) -> None:
    """In YAML, in `section.key`, and in `key: value`."""
    for code in inline(page):
        if found := re.fullmatch(r"(gate|limits|expert|indicators)\.(?:\w+\.)?(\w+)", code):
            assert found[2] in {key.name for key in SECTIONS[found[1]]}, f"{page.name}: {code}"
        elif re.fullmatch(r"[a-z_]+: [^:]+(, [a-z_]+: [^:]+)*", code) and "(" not in code:
            assert set(yaml.safe_load(f"{{{code}}}")) <= KNOWN | OTHER_KEYS, f"{page.name}: {code}"
    for code in fences(page, "yaml"):
        assert _names(yaml.safe_load(code)) <= KNOWN, page.name


def _names(value: object) -> set[str]:
    """Every key at any depth."""
    if isinstance(value, dict):
        return {str(key) for key in value}.union(*(_names(one) for one in value.values()))
    return set()


@pytest.mark.parametrize("reason", HoldReason)
def test_the_runbook_has_a_section_for_every_hold(reason: HoldReason) -> None:
    """What it means, what to type."""
    assert reason in anchors(DOCS / "runbook.md")


@pytest.mark.parametrize("kind", NoticeKind)
def test_the_runbook_tells_every_notice(kind: NoticeKind) -> None:
    """Each has a row."""
    assert f"| `{kind}` |" in text(DOCS / "runbook.md")


def test_the_runbook_tells_every_incident() -> None:
    """As the code records them."""
    sources = [ROOT / "function_app.py", *(ROOT / "controller").glob("*.py")]
    found = {kind for one in sources for kind in re.findall(r'record_incident\(\s*"(\w+)"', text(one))}
    assert found
    assert {kind for kind in found if f"`{kind}`" not in text(DOCS / "runbook.md")} == set()


def test_the_lab_page_has_every_scenario() -> None:
    """Name by name."""
    assert [name for name in SCENARIOS if f"| `{name}` |" not in text(DOCS / "lab.md")] == []


def test_the_glossary_has_every_phase_outcome_and_verdict() -> None:
    """One word for each thing."""
    page = text(DOCS / "glossary.md")
    words = [*Outcome, *VerdictKind, *(phase for phase in Phase)]
    assert [word for word in words if f"`{word}`" not in page and f"**{word}**" not in page] == []


def test_the_http_page_has_every_route() -> None:
    """As function_app.py declares them."""
    routes = re.findall(r'@app\.route\("([^"]+)", methods=\["(\w+)"\]', text(ROOT / "function_app.py"))
    assert len(routes) > 10
    assert [one for one in routes if f"{one[1]} `/{one[0]}`" not in text(DOCS / "api.md")] == []


def test_what_is_made_from_the_code_is_current() -> None:
    """`python -m docs.make` writes it."""
    assert [path.name for path in make.stale()] == []


def test_a_part_that_was_edited_by_hand_is_stale() -> None:
    """Whatever stands between the markers is replaced."""
    page = text(DOCS / "lab.md")
    assert make.made(page) == page
    assert make.made(page.replace("| `good` |", "| `better` |")) == page


def test_every_part_has_its_place() -> None:
    """No generator is written for nothing, and no marker names a part that there is not."""
    placed = {found["name"] for page in PAGES for found in make.PART.finditer(text(page))}
    assert placed == set(make.PARTS)


def test_the_picture_of_the_states_names_every_event() -> None:
    """Drawn from the table, and well-formed."""
    drawn = ElementTree.parse(DOCS / "pictures" / "states.svg").getroot()  # noqa: S314  # our own file
    words = {word for one in drawn.iter() if one.text for word in re.split(r"[^a-z_]+", one.text)}
    assert {str(one) for one in (*Event, *Phase, *Outcome)} <= words
