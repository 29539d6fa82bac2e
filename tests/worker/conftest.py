"""The deployable tree as .funcignore leaves it, and a Python 3.13 with requirements.txt and nothing else."""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / ".tools" / "worker"
DEPLOYED = "3.13"  # the Python that the function app runs on
ENGINE = ["azure-functions-runtime==1.3.0", "azurefunctions-extensions-base==1.2.0"]  # what Azure adds to the app


def git_files(*options: str) -> set[str]:
    done = subprocess.run(["git", "ls-files", "-z", *options], cwd=ROOT, check=True, capture_output=True, text=True)
    return {one for one in done.stdout.split("\0") if one and (ROOT / one).is_file()}


def shipped() -> set[str]:
    """What is deployed: every file of the repository that .funcignore does not name."""
    ignored = git_files("--cached", "--others", "--ignored", "--exclude-from=.funcignore")
    return git_files("--cached", "--others", "--exclude-standard") - ignored


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The deployable tree, in a folder of its own."""
    folder = tmp_path_factory.mktemp("package")
    for one in shipped():
        (folder / one).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / one, folder / one)
    return folder


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """One pytest worker at a time."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _python() -> str:
    """Python 3.13; without it the check is not run, or fails where everything must run."""
    found = subprocess.run([str(ROOT / ".ci" / "find-python"), DEPLOYED], capture_output=True, text=True, check=False)
    if found.returncode:
        message = f"the worker engine was not run: {found.stderr.strip()}; install Python {DEPLOYED}"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(f"NOT RUN: {message}")
    return found.stdout.strip()


class Deployed:
    """Python as the deployed app has it, and the folder of the engine."""

    def __init__(self, folder: Path) -> None:
        self.python = folder / "app" / "bin" / "python"
        self.engine = folder / "engine"

    def install(self, python: str) -> None:
        """The app's packages from requirements.txt alone, at their locked versions; the engine apart from them."""
        pip = [str(self.python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
        locked = ["--constraint", str(ROOT / "requirements" / "lock.txt")]
        subprocess.run([python, "-m", "venv", "--clear", str(self.python.parents[1])], check=True)
        subprocess.run([*pip, "--requirement", str(ROOT / "requirements.txt"), *locked], check=True)
        subprocess.run([*pip, "--no-deps", "--upgrade", "--target", str(self.engine), *ENGINE], check=True)

    def run(self, arguments: list[str], *, given: str = "", environment: dict[str, str], folder: Path) -> str:
        """Standard output of Python with `arguments`, in an environment of its own."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        done = subprocess.run(
            [str(self.python), *arguments],
            input=given,
            env=kept | environment,
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
        return done.stdout

    def work(self, package: Path, calls: list[dict[str, Any]], environment: dict[str, str]) -> str:
        """The driver's JSON."""
        driver = Path(__file__).with_name("driver.py")
        arguments = [str(driver), str(self.engine), str(package)]
        return self.run(arguments, given=json.dumps(calls), environment=environment, folder=package).splitlines()[-1]


@pytest.fixture(scope="session")
def deployed() -> Deployed:
    """Made once for each set of requirements (half a minute), then kept under .tools."""
    python = _python()
    sources = [python.encode(), *ENGINE]
    files = [ROOT / "requirements.txt", ROOT / "requirements" / "lock.txt"]
    joined = b"\0".join(
        [one.encode() if isinstance(one, str) else one for one in sources] + [f.read_bytes() for f in files]
    )
    folder = FOLDER / hashlib.sha256(joined).hexdigest()[:12]
    made = Deployed(folder)
    with alone(FOLDER):
        if not (folder / "complete").exists():
            made.install(python)
            (folder / "complete").touch()
    return made
