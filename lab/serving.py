"""Serving on loopback: one event loop in a thread, https by a certificate made for this run.

Every stand-in of the lab is an aiohttp application; this file gives it a port, a certificate and an end.
"""

import asyncio
import ssl
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import trustme
from aiohttp import web

from lab.stopping import Stopping

T = TypeVar("T")
LOOPBACK = "127.0.0.1"


class Authority:
    """A certificate authority of one run: `ca_file` is what clients must trust (REQUESTS_CA_BUNDLE)."""

    def __init__(self, folder: Path) -> None:
        self._ca = trustme.CA()
        self._server = self._ca.issue_cert(LOOPBACK, "localhost")
        self.ca_file = folder / "ca.pem"
        self.cert_file = folder / "cert.pem"
        self.key_file = folder / "key.pem"
        folder.mkdir(parents=True, exist_ok=True)
        self._ca.cert_pem.write_to_path(str(self.ca_file))
        self._server.cert_chain_pems[0].write_to_path(str(self.cert_file))
        self._server.private_key_pem.write_to_path(str(self.key_file))

    def context(self) -> ssl.SSLContext:
        """For a server on loopback."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._server.configure_cert(context)
        return context


class Serving(Stopping):
    """A loop in a thread that serves applications until `stop`; as a context manager it always stops."""

    def __init__(self, authority: Authority | None = None) -> None:
        self._authority = authority
        self._loop = asyncio.new_event_loop()
        self._runners: list[web.AppRunner] = []
        self._thread = threading.Thread(target=self._loop.run_forever, name="lab-serving", daemon=True)
        self._thread.start()

    def run(self, work: Coroutine[Any, Any, T], timeout: float | None = 30) -> T:
        """Run a coroutine on the loop from another thread and wait for its result."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout)

    def serve(self, app: web.Application, *, tls: bool = True, port: int = 0) -> str:
        """Serve `app` and return its URL without a trailing slash; port 0 takes a free one."""
        if tls and self._authority is None:
            raise ValueError("serving https needs an Authority")

        async def start() -> str:
            runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
            await runner.setup()
            context = self._authority.context() if tls and self._authority else None
            site = web.TCPSite(runner, LOOPBACK, port, ssl_context=context)
            await site.start()
            self._runners.append(runner)
            bound = runner.addresses[0][1]
            return f"{'https' if tls else 'http'}://{LOOPBACK}:{bound}"

        return self.run(start())

    def stop(self) -> None:
        """Close every server and the loop; ports are free afterwards. Safe to call twice."""
        if self._loop.is_closed():
            return

        async def close() -> None:
            for runner in reversed(self._runners):
                await runner.cleanup()
            self._runners.clear()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        self.run(close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()
