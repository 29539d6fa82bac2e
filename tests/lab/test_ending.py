"""However the lab ends, its ports are free afterwards and none of its processes is left."""

import os
import signal
import socket
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

APP = Path(__file__).parent / "apps" / "every_trigger"
ROOT = Path(__file__).parents[2]
LAB = f"""
import sys, time
from contextlib import ExitStack
from pathlib import Path
from lab.gateway import Backend, Gateway, Member
from lab.host_process import HostProcess
from lab.serving import Authority, Serving
from lab.slots import SlotApp
from lab.traffic import Traffic

here = Path(sys.argv[1])
authority = Authority(here / "ca")
settings = {{"SEEN": str(here / "seen"), "WORK_QUEUE": "work", "BEAT": "*/1 * * * * *"}}
with ExitStack() as stack:
    serving = stack.enter_context(Serving(authority))
    slot = stack.enter_context(SlotApp("blue", "checkout-blue", lambda row: None))
    slot.serve(serving)
    slot.deploy("1.0.0", SLOW_MS=500)
    gateway = stack.enter_context(Gateway(lambda: [Member("b", 100)], {{"b": Backend("blue", slot.url)}}))
    gateway.serve(serving)
    host = stack.enter_context(
        HostProcess(Path({str(APP)!r}), authority, folder=here / "host", environment=settings)
    )
    traffic = stack.enter_context(Traffic(gateway.url, rate=50))
    traffic.start(serving)
    while not traffic.answers:
        time.sleep(0.01)
    print(host.pid, slot.url, gateway.url, host.url, flush=True)
    if sys.argv[2] == "raise":
        raise RuntimeError("the scenario failed")
    time.sleep(60)
"""


@pytest.mark.parametrize("end", ["raise", "SIGINT", "SIGKILL"])
def test_nothing_is_left(
    tmp_path: Path, until: Callable[..., Any], is_running: Callable[[int], bool], end: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(LAB), str(tmp_path), end],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    ) as lab:
        assert lab.stdout is not None
        assert lab.stderr is not None
        host, *urls = lab.stdout.readline().split()
        if end != "raise":
            lab.send_signal(signal.Signals[end])
        lab.wait(10)
        said = lab.stderr.read()
    until(lambda: not is_running(int(host)), "the end of the host", 5)
    for url in urls:
        with socket.socket() as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # connections that end may linger
            free.bind(("127.0.0.1", int(url.rsplit(":", 1)[1])))
    expected = {"raise": "RuntimeError: the scenario failed", "SIGINT": "KeyboardInterrupt", "SIGKILL": ""}[end]
    assert said.strip().endswith(expected)
    assert "never awaited" not in said
    assert "Unclosed" not in said
