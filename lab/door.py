"""A port on loopback behind which one handler answers every request; closed it refuses, and opens again where it was.

The gateway and the slots carry hundreds of requests a second: this is aiohttp's server without its router.
"""

from collections.abc import Awaitable, Callable
from types import TracebackType
from typing import Self

from aiohttp import web

from lab.serving import LOOPBACK, Authority, Serving

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
CLOSE_SECONDS = 0.5  # for requests that are being answered


class Door:
    """Opens at a free port, https when there is an authority. As a context manager it always closes."""

    def __init__(self, serving: Serving, handler: Handler, authority: Authority | None = None) -> None:
        self._serving = serving
        self._handler = handler
        self._authority = authority
        self._runner: web.ServerRunner | None = None  # None = closed
        self._port = 0

    def __enter__(self) -> Self:
        self.open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def url(self) -> str:
        """The same for its whole life, without a trailing slash."""
        return f"{'https' if self._authority else 'http'}://{LOOPBACK}:{self._port}"

    def open(self) -> str:
        """Answer from now on, at the port that it had before if there was one."""
        if self._runner is None:
            self._serving.run(self._open())
        return self.url

    def close(self) -> None:
        """Refuse connections and end those that are open; the port is free. Safe to call twice."""
        if self._runner is not None:
            self._serving.run(self._close())

    async def _open(self) -> None:
        server = web.Server(self._handler, access_log=None)
        runner = web.ServerRunner(server, shutdown_timeout=CLOSE_SECONDS)
        await runner.setup()
        context = self._authority.context() if self._authority else None
        await web.TCPSite(runner, LOOPBACK, self._port, ssl_context=context, backlog=1024).start()
        self._port = runner.addresses[0][1]
        self._runner = runner

    async def _close(self) -> None:
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
