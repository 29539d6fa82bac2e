"""Who may import what. The layers among packages are .importlinter's; here are the modules and the outside."""

import subprocess
import sys

import pytest

from tests.repository.tree import DEPLOYED, OURS, ROOT, imports, sources

# Only these talk to the outside, each through its own library.
DOORS = {
    "azure": {
        *("analyzers/app_insights.py", "controller/wiring.py", "function_app.py", "notifying/event_grid.py"),
        *("notifying/channels.py", "shifting/arm.py", "shifting/marker.py", "storing/opening.py", "storing/tables.py"),
    },
    "requests": {"notifying/post.py", "shifting/health.py"},
    "urllib3": {"shifting/health.py"},
    "socket": {"shifting/health.py"},  # to cut an answer that takes too long
    "sqlite3": {"storing/sqlite.py"},
    "yaml": {"controller/config.py"},
    "tenacity": {"analyzers/app_insights.py", "shifting/arm.py", "storing/tables.py"},
}
ELSEWHERE = {"aiohttp", "http", "httpx", "urllib", "subprocess", "asyncio"}  # no door of the deployed code
ALLOWED_ELSEWHERE = {"urllib.parse"}  # text, not a connection
PURE_STANDARD_LIBRARY = {
    *("collections", "contextlib", "dataclasses", "datetime", "decimal", "difflib", "enum", "fractions", "functools"),
    *("hashlib", "heapq", "html", "itertools", "json", "math", "numbers", "operator", "re", "statistics", "string"),
    *("textwrap", "types", "typing", "unicodedata", "zlib", "base64", "copy", "bisect", "ipaddress", "urllib.parse"),
}
BLOCKED = ("azure", "requests", "yaml", "tenacity", "sqlite3", "logging", "socket", "subprocess", "time", "random")


def pure_sources() -> list[str]:
    return [one for one in sources("rollouts", "analyzers") if one.startswith(("rollouts/", "analyzers/judge/"))]


def root(module: str) -> str:
    return module.split(".", maxsplit=1)[0]


@pytest.mark.parametrize("library", DOORS)
def test_only_named_modules_have_a_door(library: str) -> None:
    found = {one for one in sources(*DEPLOYED, "function_app") if library in {root(name) for name in imports(one)}}
    assert found == DOORS[library]


def test_there_is_no_other_door() -> None:
    found = {
        one: names
        for one in sources(*DEPLOYED, "function_app")
        if (names := {name for name in imports(one) - ALLOWED_ELSEWHERE if root(name) in ELSEWHERE})
    }
    assert not found


def test_the_triggers_know_the_controller_only() -> None:
    """function_app.py stands between the lab and the controller; nobody that is deployed imports it."""
    known = {root(name) for name in imports("function_app.py")} - set(sys.stdlib_module_names)
    assert known == {"azure", "controller"}
    assert not [one for one in sources(*DEPLOYED) if "function_app" in imports(one)]


def test_the_pure_packages_import_nothing_that_acts() -> None:
    """The standard library's plain parts, msgspec, each other; numpy in the judge alone."""
    found = []
    for file in pure_sources():
        libraries = {"msgspec", "rollouts", "analyzers"} | ({"numpy"} if file.startswith("analyzers/judge/") else set())
        names = [one for one in imports(file) if not {root(one), one} & (libraries | PURE_STANDARD_LIBRARY)]
        found += [f"{file}: {one}" for one in names]
    assert not found


def test_the_judge_does_not_know_the_rollouts() -> None:
    assert not [one for one in pure_sources() if one.startswith("analyzers/") and "rollouts" in map(root, imports(one))]


def test_the_pure_packages_work_without_the_rest() -> None:
    """Imported in a process in which the rest does not exist; our own import of it is what is refused."""
    modules = [one.removesuffix(".py").removesuffix("/__init__").replace("/", ".") for one in pure_sources()]
    program = f"""
import builtins, sys
real = builtins.__import__
def guarded(name, globals=None, locals=None, fromlist=(), level=0):
    who = (globals or {{}}).get("__name__", "")
    if name.split(".")[0] in {BLOCKED!r} and who.split(".")[0] in {sorted(OURS)!r}:
        raise ImportError(f"{{who}} imports {{name}}")
    return real(name, globals, locals, fromlist, level)
builtins.__import__ = guarded
for name in {modules!r}:
    __import__(name)
print(sorted({{name.split(".")[0] for name in sys.modules}} & {{"azure", "requests", "yaml", "tenacity", "sqlite3"}}))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr


def test_what_decides_does_not_know_how_the_policy_is_written() -> None:
    """rollouts/policy_file makes a Policy out of a file; the state machine takes it from there."""
    core = [one for one in pure_sources() if one.startswith("rollouts/") and "policy_file" not in one]
    assert not [one for one in core if any(name.startswith("rollouts.policy_file") for name in imports(one))]
