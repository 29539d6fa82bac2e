"""The stand-in host as a child process: started, killed, restarted; it never outlives its parent."""

import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Self

from lab.serving import Authority
from lab.stopping import Stopping

ROOT = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 3.0
SHOWN_LINES = 20  # of the log, in an error


class HostStartError(Exception):
    """The host ended or kept silent before it was ready; holds the end of its log."""


class HostProcess(Stopping):
    """One app in one host process. As a context manager it is started and always ended.

    `environment` is everything that the app sees: the caller's own settings are not inherited, except PATH,
    HOME and what Python needs. `url` stays the same over `kill` and `start`.
    """

    def __init__(
        self,
        app: Path,
        authority: Authority,
        *,
        folder: Path,
        environment: Mapping[str, str],
        key: str | None = None,
        lease_seconds: float = 2.0,
    ) -> None:
        self._app = app
        self._authority = authority
        self._environment = dict(environment)
        self._key = key
        self._lease = lease_seconds
        self._process: subprocess.Popen[str] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.queue_file = folder / "queues.sqlite"
        self.log_file = folder / "host.log"
        self._url: str | None = None  # None = never started

    def __enter__(self) -> Self:
        self.start()
        return self

    @property
    def url(self) -> str:
        """Where it answers, without a trailing slash."""
        if self._url is None:
            raise RuntimeError(f"the host of {self._app} was never started")
        return self._url

    @property
    def pid(self) -> int | None:
        """None = it is not running."""
        process = self._process
        return process.pid if process is not None and process.poll() is None else None

    def start(self, timeout: float = START_SECONDS) -> str:
        """Start it, on the port that it had before if there was one, and return its URL when it is ready."""
        if self.pid is not None:
            raise RuntimeError(f"the host of {self._app} is running already: stop or kill it first")
        with self.log_file.open("ab") as log:
            self._process = subprocess.Popen(
                self._command(),
                stdin=subprocess.PIPE,  # held open by this process alone; its end is the host's end
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=self._settings(),
                start_new_session=True,  # Ctrl-C goes to the lab, and the lab ends its host
            )
        try:
            self._url = self._ready(self._process, timeout)
        except BaseException:
            self.kill()
            raise
        return self._url

    def stop(self) -> None:
        """End it cleanly; kill it when it does not end. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
        _reap(process)

    def kill(self) -> None:
        """SIGKILL: nothing is finished, nothing is said. From any thread, such as a server's that sees a request."""
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            _reap(process)

    def restart(self, timeout: float = START_SECONDS) -> str:
        """Kill it and start it again; its queues are as the killed one left them."""
        self.kill()
        return self.start(timeout)

    def log_tail(self, lines: int = SHOWN_LINES) -> str:
        """The end of the log of all its lives."""
        if not self.log_file.exists():
            return ""
        return "\n".join(self.log_file.read_text(errors="replace").splitlines()[-lines:])

    def _command(self) -> list[str]:
        port = self._url.rsplit(":", 1)[1] if self._url else "0"
        certificate = ["--cert", str(self._authority.cert_file), "--key", str(self._authority.key_file)]
        queue = ["--queue", str(self.queue_file), "--lease", str(self._lease)]
        return [
            sys.executable, "-m", "lab.host", "--app", str(self._app), "--port", port,
            *certificate, *queue, "--with-parent",
        ]  # fmt: skip

    def _settings(self) -> dict[str, str]:
        inherited = {k: os.environ[k] for k in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV") if k in os.environ}
        key = {"LAB_HOST_KEY": self._key} if self._key else {}
        # Not buffered, so that the log holds the last words of a killed host.
        return {**inherited, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1", **self._environment, **key}

    def _ready(self, process: "subprocess.Popen[str]", timeout: float) -> str:
        lines: SimpleQueue[str] = SimpleQueue()
        if process.stdout is None:
            raise RuntimeError("the host was started without a pipe for its standard output")
        stdout = process.stdout
        threading.Thread(target=lambda: lines.put(stdout.readline()), name="host-ready", daemon=True).start()
        try:
            line = lines.get(timeout=timeout)
        except Empty:
            raise HostStartError(
                f"the host of {self._app} was not ready in {timeout:g} s:\n{self.log_tail()}"
            ) from None
        if not line.startswith("READY "):
            raise HostStartError(f"the host of {self._app} ended before it was ready:\n{self.log_tail()}")
        return line.split()[1]


def _reap(process: "subprocess.Popen[str]") -> None:
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
