"""`canary schema`: the JSON Schema of canary.yaml, for editors."""

import json
from pathlib import Path
from typing import Annotated

import typer

from cli.ending import BadInput, ends
from cli.screen import Screen
from rollouts.errors import Refused
from rollouts.policy_file.schema import schema as made


def schema_text() -> str:
    """The schema as docs/canary.schema.json holds it."""
    return json.dumps(made(), indent=2, ensure_ascii=False) + "\n"


@ends
def schema(
    check: Annotated[
        str | None, typer.Option("--check", metavar="FILE", help="Compare FILE with the schema; exit code 1 if stale.")
    ] = None,
) -> None:
    """Print the JSON Schema of canary.yaml, for editors."""
    screen = Screen(as_json=False)
    if check is None:
        screen.raw(schema_text())
        return
    try:
        held = Path(check).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise BadInput(f"{check}: cannot be read: write the path of the schema file") from error
    if held != schema_text():
        raise Refused(f"{check} is stale: run `canary schema > {check}`")
    screen.line(f"{check} is current", style="green")
