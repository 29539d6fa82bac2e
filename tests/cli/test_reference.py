"""The reference pages are made from the code and are current; everything is documented."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.main import app
from cli.reference import SECTIONS, pages
from rollouts.policy_file import keys
from rollouts.policy_file.keys import Key

DOCS = Path(__file__).parents[2] / "docs"


@pytest.mark.parametrize("name", ["cli.md", "policy.md"])
def test_a_page_is_current(name: str) -> None:
    """Whoever changes a command or a key makes the pages again: python -m cli.reference."""
    assert (DOCS / name).read_text(encoding="utf-8") == pages()[name], "stale: run python -m cli.reference"


@pytest.mark.parametrize("group", [[], ["config"], ["lab"]])
def test_the_list_of_commands_cuts_no_sentence(group: list[str]) -> None:
    """The first sentence of each command is what the list shows, on the narrowest terminal."""
    listed = CliRunner().invoke(app, [*group, "--help"], env={"COLUMNS": "80"}, prog_name="canary")
    assert listed.exit_code == 0
    assert "..." not in listed.output.split("Commands:")[1]


def test_every_key_of_the_policy_is_documented() -> None:
    """A key that was added to keys.py but to no mapping would be read by nobody and told to nobody."""
    known = [value for value in vars(keys).values() if isinstance(value, Key)]
    told = [key for _, _, section in SECTIONS for key in section]
    assert known
    assert [key.name for key in known if not any(key is one for one in told)] == []
