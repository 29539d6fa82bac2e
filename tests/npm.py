"""Packages from npm that tests run beside Python, installed once under `.tools`."""

import json
import shutil
import subprocess
from pathlib import Path

TOOLS = Path(__file__).parents[1] / ".tools"


class NpmMissingError(Exception):
    """npm is not there, so what comes from it cannot be."""


def possible(package: str, version: str) -> bool:
    """True when the package is there or can be installed."""
    return _has(package, version) or shutil.which("npm") is not None


def installed(package: str, version: str, needed_by: str) -> Path:
    """The folder of the installed package; the first time some 15 seconds. NpmMissingError says what needs it."""
    if not _has(package, version):
        npm = shutil.which("npm")
        if npm is None:
            raise NpmMissingError(f"{needed_by} need {package}, which comes from npm: install Node.js 20")
        folder = _folder(package)
        folder.mkdir(parents=True, exist_ok=True)
        command = [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", f"{package}@{version}"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)
    return _folder(package) / "node_modules" / package


def _has(package: str, version: str) -> bool:
    manifest = _folder(package) / "node_modules" / package / "package.json"
    return manifest.exists() and json.loads(manifest.read_text(encoding="utf-8"))["version"] == version


def _folder(package: str) -> Path:
    return TOOLS / package.rpartition("/")[2]
