"""Azurite (Microsoft's emulator of Azure Tables) for the tests: installed from npm, started once a session.

Several pytest workers share one process: who comes first starts it, who leaves last ends it.
"""

import fcntl
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.serving import LOOPBACK, Authority
from tests.npm import installed

VERSION = "3.35.0"
START_SECONDS = 30
OPTIONS = [
    "--inMemoryPersistence",
    "--disableTelemetry",
    "--silent",
    "--skipApiVersionCheck",
    "--oauth",
    "basic",
]


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
    # Every user holds a shared lock; the keeper ends Azurite when it gets the lock for itself. So it ends
    # with its last user, even when that one is killed.
    with (folder / "users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with (folder / "state.json").open("a+") as state:
            fcntl.flock(state, fcntl.LOCK_EX)
            state.seek(0)
            port = int(state.read() or 0)
            if not _answers(port):
                port = _start(folder)
                state.truncate(0)
                state.write(str(port))
        yield f"https://{LOOPBACK}:{port}/devstoreaccount1"


KEEPER = """
import fcntl, subprocess, sys
azurite = subprocess.Popen(sys.argv[2:])
with open(sys.argv[1], "a") as users:
    fcntl.flock(users, fcntl.LOCK_EX)
    azurite.terminate()
    azurite.wait()
"""


def _answers(port: int) -> bool:
    try:
        socket.create_connection((LOOPBACK, port), 1).close()
    except OSError:
        return False
    return True


def _start(folder: Path) -> int:
    """Start Azurite and its keeper; the port."""
    if not (folder / "ca.pem").exists():
        Authority(folder)
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        port: int = probe.getsockname()[1]
    certificate = ["--cert", str(folder / "cert.pem"), "--key", str(folder / "key.pem")]
    program = installed("azurite", VERSION, "the tests of Azure Tables").parent / ".bin" / "azurite-table"
    azurite = [str(program), *OPTIONS, *certificate, "--tablePort", str(port)]
    with (folder / "azurite.log").open("wb") as log:
        keeper = subprocess.Popen(
            [sys.executable, "-c", KEEPER, str(folder / "users"), *azurite],
            stdout=log,
            stderr=log,
            cwd=folder,
            start_new_session=True,
        )
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until and keeper.poll() is None:
        if _answers(port):
            return port
        time.sleep(0.05)
    raise RuntimeError(f"Azurite did not start: {(folder / 'azurite.log').read_text()}")
