"""The repository as its tests read it: the files that git holds or would take, and what each of them imports."""

import ast
import subprocess
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
DEPLOYED = ("analyzers", "controller", "notifying", "rollouts", "shifting", "storing")
OURS = {*DEPLOYED, "benchmarks", "cli", "function_app", "lab", "sample_function", "tests"}


@cache
def files() -> tuple[str, ...]:
    """Paths under the root; work that is not committed yet is held to the same rules."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return tuple(sorted(one for one in set(done.stdout.split("\0")) if one and (ROOT / one).is_file()))


def sources(*folders: str) -> list[str]:
    """The Python files, of all folders or of those named (function_app.py is a name, too)."""
    return [
        one
        for one in files()
        if one.endswith(".py") and (not folders or one.split("/")[0].removesuffix(".py") in folders)
    ]


@cache
def text(file: str) -> str:
    """Of one file; what is not text is empty."""
    try:
        return (ROOT / file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        return ""


@cache
def tree(file: str) -> ast.Module:
    """Of one Python file."""
    return ast.parse(text(file), file)


def imports(file: str) -> set[str]:
    """Full names of the modules that a file imports, at its top or inside a function."""
    found: set[str] = set()
    for node in ast.walk(tree(file)):
        if isinstance(node, ast.Import):
            found |= {one.name for one in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def dotted(node: ast.expr) -> str:
    """`a.b.c` of an attribute's or name's node; what hangs on a call or a subscript has no such name."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        return f"{dotted(node.value)}.{node.attr}"
    return ""
