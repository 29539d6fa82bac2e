"""The reference pages, made from the code: docs/cli.md from the commands, docs/policy.md from the keys.

python -m cli.reference          writes both
python -m cli.reference --check  exit code 1 when one is stale
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer

from cli.ending import MEANINGS
from cli.main import app
from rollouts.policy_file import keys
from rollouts.policy_file.keys import Key
from rollouts.policy_file.presets import PRESETS

DOCS = Path(__file__).resolve().parent.parent / "docs"
MADE = "<!-- Made by `python -m cli.reference`; edit the code, not this page. -->\n"
SECTIONS: tuple[tuple[str, str, Sequence[Key[Any]]], ...] = (
    ("channels.<name>", "Where notices go.", keys.CHANNEL_KEYS),
    ("services.<name>", "One pair of slots behind one pool, and its policy.", keys.SERVICE_LEAVES),
    ("services.<name>.slots.blue and .green", keys.SERVICE_SECTIONS["slots"], keys.SLOT_KEYS),
    ("services.<name>.indicators.<name>", keys.SERVICE_SECTIONS["indicators"], keys.INDICATOR_KEYS),
    ("services.<name>.gate", keys.SERVICE_SECTIONS["gate"], keys.GATE_LEAVES),
    ("services.<name>.gate.warm_up", "Requests that are sent before any traffic.", keys.WARM_UP_KEYS),
    ("services.<name>.limits", keys.SERVICE_SECTIONS["limits"], keys.LIMIT_KEYS),
    ("services.<name>.expert", keys.SERVICE_SECTIONS["expert"], keys.EXPERT_KEYS),
)


def pages() -> dict[str, str]:
    """Every page by its name under docs/."""
    return {"cli.md": cli_page(), "policy.md": policy_page()}


def cli_page() -> str:
    """Every command with its own help text."""
    codes = "\n".join(f"| {code.value} | {meaning} |" for code, meaning in MEANINGS.items())
    parts = [
        f"# `canary`, the command line\n\n{MADE}",
        "The commands speak HTTP to the function app: its address is `--url` or `CANARY_URL`, its key `CANARY_KEY`.\n",
        f"| exit code | meaning |\n|---|---|\n{codes}\n",
    ]
    for name, command in _commands(typer.main.get_command(app), "canary"):
        command.rich_markup_mode = None  # plain text, whatever terminal this runs in
        with typer.Context(command, info_name=name, terminal_width=100, max_content_width=100) as context:
            parts.append(f"## `{name}`\n\n```text\n{command.get_help(context).rstrip()}\n```\n")
    return "\n".join(parts)


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Every command below `command` (Typer's own class of groups and commands), by its full name."""
    inner: dict[str, Any] | None = getattr(command, "commands", None)
    if inner is None:
        yield name, command
        return
    for part, below in inner.items():
        yield from _commands(below, f"{name} {part}")


def policy_page() -> str:
    """Every key with what it means, what is legal and what each preset says."""
    parts = [
        f"# `canary.yaml`, key by key\n\n{MADE}",
        "`canary check` tells every mistake at once. What is left out comes from the service's `preset`; where a\n"
        "preset has no value, an example is shown. Durations: `500ms`, `90s`, `10m`, `2h`, `1d`. Percents with `%`.\n",
    ]
    for path, says, known in SECTIONS:
        rows = [_row(path, key) for key in known]
        heading = f"| key | what it is | {' | '.join(PRESETS)} |\n|---|---|{'---|' * len(PRESETS)}"
        parts.append(f"## `{path}`\n\n{says}\n\n{heading}\n" + "\n".join(rows) + "\n")
    parts.append("## The presets' indicators\n")
    parts.append("| preset | indicator | tolerance |\n|---|---|---|")
    for preset, values in PRESETS.items():
        for name, tolerance in _mapping(values["indicators"]).items():
            parts.append(f"| {preset} | `{name}` | `{_flow(tolerance)}` |")
    return "\n".join(parts) + "\n"


def _row(path: str, key: Key[Any]) -> str:
    part = path.split(".")[2] if path.count(".") == 2 else ""
    cells = []
    for preset in PRESETS.values():
        values = preset if path == "services.<name>" else _mapping(preset.get(part, {}))
        cells.append(f"`{_flow(values[key.name])}`" if key.name in values else "")
    if not any(cells):
        example = f"`{_flow(key.leaf.example)}`"
        cells = [f"{'required' if key.required else 'none'}, such as {example}"] + [""] * (len(PRESETS) - 1)
    return f"| `{key.name}` | {key.says} | {' | '.join(cells)} |"


def _mapping(value: object) -> dict[str, object]:
    return dict(value) if isinstance(value, dict) else {}


def _flow(value: object) -> str:
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(one)}" for key, one in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(_flow, value)) + "]"
        case bool():
            return "true" if value else "false"
        case _:
            return str(value).replace("|", "\\|")


def main() -> int:
    """Write the pages, or tell which are stale."""
    parser = argparse.ArgumentParser(prog="python -m cli.reference", description="Make docs/cli.md and docs/policy.md.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when a page is stale")
    check: bool = parser.parse_args().check
    stale = [name for name, text in pages().items() if not _holds(DOCS / name, text)]
    if check:
        for name in stale:
            print(f"docs/{name} is stale: run python -m cli.reference", file=sys.stderr)
        return 1 if stale else 0
    for name, text in pages().items():
        (DOCS / name).write_text(text, encoding="utf-8")
    return 0


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main())
