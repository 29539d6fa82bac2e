"""What is installed, declared and promised says the same everywhere."""

import configparser
import json
import re
import tomllib
from importlib.metadata import packages_distributions, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from analyzers.app_insights import READ_SECONDS
from controller import api
from rollouts import limits
from tests.repository.tree import DEPLOYED, OURS, ROOT, files, imports, sources, text

PROJECT = tomllib.loads(text("pyproject.toml"))
FILES = {
    "function": ["requirements.txt"],
    "cli": ["requirements.txt", "requirements/cli.txt"],
    "lab": ["requirements.txt", "requirements/cli.txt", "requirements/lab.txt"],
    "dev": ["requirements.txt", "requirements/cli.txt", "requirements/lab.txt", "requirements/dev.txt"],
}
READERS = {
    "function": (*DEPLOYED, "function_app", "sample_function"),
    "cli": ("cli",),
    "lab": ("lab",),
    "dev": ("benchmarks", "tests"),
}
LATE = {"cli": {"aiohttp", "trustme"}}  # imported inside a command that starts the lab, and says so when it is missing


def declared(*names: str) -> list[Requirement]:
    lines = [line.split("#")[0].strip() for name in names for line in text(name).splitlines()]
    return [Requirement(line) for line in lines if line]


def locked() -> list[Requirement]:
    return declared("requirements/lock.txt")


def brought(names: list[Requirement]) -> set[str]:
    """The distributions of these requirements and of what they require themselves."""
    todo, found = [one.name for one in names], set[str]()
    while todo:
        name = canonicalize_name(todo.pop())
        if name in found:
            continue
        found.add(name)
        wanted = [Requirement(one) for one in requires(name) or ()]
        todo += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def test_every_import_is_declared() -> None:
    """By the requirements of who imports it, or by a package that these bring."""
    by_module = packages_distributions()
    for reader, folders in READERS.items():
        allowed = brought(declared(*FILES[reader]))
        for file in sources(*folders):
            for module in {name.split(".")[0] for name in imports(file)} - OURS - LATE.get(reader, set()):
                found = {canonicalize_name(one) for one in by_module.get(module, ())}
                assert not found or found & allowed, f"{file} imports {module}, which {FILES[reader]} do not bring"


def test_the_lock_holds_what_is_declared_for_every_python() -> None:
    """`make lock` was run after the last change, and 3.11, 3.12 and 3.13 each find one version."""
    for wanted in declared(*FILES["dev"]):
        for python in ("3.11", "3.12", "3.13"):
            where = {"python_version": python, "python_full_version": f"{python}.0"}
            versions = [
                next(iter(one.specifier)).version
                for one in locked()
                if canonicalize_name(one.name) == canonicalize_name(wanted.name)
                and (one.marker is None or one.marker.evaluate(where))
            ]
            assert len(versions) == 1, f"{wanted} on {python}: {versions}: run `make lock`"
            assert wanted.specifier.contains(versions[0]), f"{wanted} is locked at {versions[0]}: run `make lock`"


def test_the_lock_names_versions_and_nothing_else() -> None:
    assert all(str(one.specifier).startswith("==") and one.url is None for one in locked())


def test_each_requirement_of_the_function_tells_its_import_seconds() -> None:
    lines = [line for line in text("requirements.txt").splitlines() if line and not line.startswith("#")]
    assert not [line for line in lines if not re.search(r">=\S+,<\d+\s+# \d+\.\d+\b", line)]


def test_one_version_everywhere() -> None:
    newest = re.search(r"^## (\S+)", text("CHANGELOG.md"), re.MULTILINE)
    assert newest is not None
    assert PROJECT["project"]["version"] == api.VERSION == newest.group(1)


def test_every_package_is_installed() -> None:
    found = {str(Path(one).parent).replace("/", ".") for one in files() if one.endswith("/__init__.py")}
    assert {one for one in found if not one.startswith(("tests", "benchmarks"))} == set(
        PROJECT["tool"]["setuptools"]["packages"]
    )


def test_every_package_has_a_layer() -> None:
    linter = configparser.ConfigParser()
    linter.read(ROOT / ".importlinter")
    held = set(linter["importlinter"]["root_packages"].split())
    assert held == {one.split(".")[0] for one in PROJECT["tool"]["setuptools"]["packages"]}


def test_strict_types_hold_for_all_that_is_installed() -> None:
    packages = {one.split(".")[0] for one in PROJECT["tool"]["setuptools"]["packages"]}
    assert packages | {"function_app.py"} == set(PROJECT["tool"]["mypy"]["files"])
    assert PROJECT["tool"]["mypy"]["strict"] is True


def test_requests_and_exceptions_are_never_sampled() -> None:
    """`excludedTypes` are those that sampling leaves alone: every one of them is kept."""
    for file in ("host.json", "sample_function/host.json"):
        logging = json.loads(text(file))["logging"]
        sampling = logging["applicationInsights"]["samplingSettings"]
        assert not sampling["isEnabled"] or "Request" in sampling["excludedTypes"].split(";"), file
        assert logging["logLevel"]["Host.Results"] == "Information", f"{file}: successful requests would leave no row"


def test_a_failing_tick_ends_in_the_poison_queue_within_a_minute() -> None:
    """The next timer comes then, and wakes its services anyway."""
    queues = json.loads(text("host.json"))["extensions"]["queues"]
    hours, minutes, seconds = map(int, queues["visibilityTimeout"].split(":"))
    assert 0 < (hours * 3600 + minutes * 60 + seconds) * (queues["maxDequeueCount"] - 1) < 60
    assert queues["messageEncoding"] == "base64"


def test_a_tick_whose_workspace_hangs_has_two_minutes_left_to_act() -> None:
    """The last look begins at TELEMETRY_SECONDS; then come the weights, which no telemetry may keep from being set."""
    hours, minutes, seconds = map(int, json.loads(text("host.json"))["functionTimeout"].split(":"))
    looks = limits.TELEMETRY_SECONDS + limits.LOOK_SECONDS
    assert hours * 3600 + minutes * 60 + seconds >= looks + 120
    assert limits.LOOK_SECONDS >= 2 * READ_SECONDS, "own queries have time, and the common one"


def test_the_example_of_local_settings_names_every_setting() -> None:
    """As controller/settings.py reads them, and the two schedules of function_app.py."""
    given = set(json.loads(text("local.settings.example.json"))["Values"])
    read = set(re.findall(r'"([A-Z_]{6,})"', text("controller/settings.py")))
    bound = set(re.findall(r"%([A-Z_]+)%", text("function_app.py")))
    assert read | bound <= given
