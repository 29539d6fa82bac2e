"""Azurite (Microsoft's emulator of Azure Tables) for the tests: installed from npm, started once a session.

Several pytest workers share one process: who comes first starts it, who leaves last ends it.
"""

import fcntl
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lab.serving import LOOPBACK, Authority

VERSION = "3.35.0"
FOLDER = Path(__file__).parents[2] / ".tools" / "azurite"
PROGRAM = FOLDER / "node_modules" / ".bin" / "azurite-table"
START_SECONDS = 30
OPTIONS = [
    "--inMemoryPersistence",
    "--disableTelemetry",
    "--silent",
    "--skipApiVersionCheck",
    "--oauth",
    "basic",
]


class AzuriteMissingError(Exception):
    """npm is not there, so Azurite cannot be."""


def install() -> None:
    """Have Azurite under `.tools`; once, some 15 seconds."""
    if PROGRAM.exists():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise AzuriteMissingError("the tests of Azure Tables need Azurite, which comes from npm: install Node.js 20")
    FOLDER.mkdir(parents=True, exist_ok=True)
    command = [npm, "install", "--prefix", str(FOLDER), "--no-audit", "--no-fund", f"azurite@{VERSION}"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, timeout=300)


class FileAuthority:
    """A certificate that another process made."""

    def __init__(self, folder: Path) -> None:
        self.ca_file = folder / "ca.pem"
        self._folder = folder

    def context(self) -> ssl.SSLContext:
        """For a server on loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._folder / "cert.pem", self._folder / "key.pem")
        return context


@contextmanager
def shared(folder: Path) -> Iterator[str]:
    """The URL of the session's one Azurite, whose certificate files lie in `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with _state(folder) as state:
        if not state.get("users"):
            install()
            state.update(_start(folder))
        state["users"] = state.get("users", 0) + 1
        url = str(state["url"])
    try:
        yield url
    finally:
        with _state(folder) as state:
            state["users"] -= 1
            if not state["users"]:
                os.kill(state["pid"], signal.SIGTERM)


@contextmanager
def _state(folder: Path) -> Iterator[dict[str, Any]]:
    """What the workers share, under a lock."""
    with (folder / "state.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        state = json.loads(file.read() or "{}")
        yield state
        file.seek(0)
        file.truncate()
        file.write(json.dumps(state))


def _start(folder: Path) -> dict[str, Any]:
    Authority(folder)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port = probe.getsockname()[1]
    certificate = ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
    with (folder / "azurite.log").open("wb") as log:
        process = subprocess.Popen(
            [str(PROGRAM), *OPTIONS, *certificate, "--tablePort", str(port)],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and process.poll() is None:
        try:
            socket.create_connection((LOOPBACK, port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return {"pid": process.pid, "url": f"https://{LOOPBACK}:{port}/devstoreaccount1"}
    process.kill()
    raise RuntimeError(f"Azurite did not start: {(folder / 'azurite.log').read_text()}")
