"""Many at once, and death in the middle: nothing half written, nothing lost, one winner."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rollouts.errors import Conflict
from storing.contract import ANY, Put, Store
from storing.sqlite import SqliteStore

COUNT = """
import sys
from pathlib import Path
from rollouts.errors import Conflict
from storing.contract import Put
from storing.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), "canary")
for _ in range(int(sys.argv[2])):
    while True:
        record = store.get("p", "counter")
        try:
            store.commit("p", [Put("counter", str(int(record.body) + 1).encode() if record else b"1",
                                   record.etag if record else None)])
            break
        except Conflict:
            pass
"""

PAIRS = """
import sys
from pathlib import Path
from storing.contract import ANY, Put
from storing.sqlite import SqliteStore
store = SqliteStore(Path(sys.argv[1]), "canary")
number = 0
while True:
    number += 1
    store.commit("p", [Put(key, str(number).encode() * 20000, ANY) for key in ("left", "right")])
    print(number, flush=True)
"""


def process(script: str, *arguments: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", script, *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[2])


def test_of_many_who_read_the_same_one_wins(opened: Callable[[], Store]) -> None:
    store = opened()
    etag = store.commit("p", [Put("a", b"", None)])["a"]
    stores = [opened() for _ in range(4)]

    def swap(number: int) -> bool:
        try:
            stores[number % 4].commit("p", [Put("a", str(number).encode(), etag), Put(f"w{number}", b"", None)])
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(swap, range(16)))
    assert sum(won) == 1
    assert [one.key for one in store.scan("p", "w")] == [f"w{won.index(True)}"]


def test_one_store_serves_several_threads(store: Store) -> None:
    def work(number: int) -> None:
        store.commit("p", [Put(f"{number:02d}", b"x", None)])
        assert store.get("p", f"{number:02d}") is not None

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(24)))
    assert len(store.scan("p")) == 24


def test_processes_on_one_file_lose_no_update(tmp_path: Path) -> None:
    """They also open it for the first time together."""
    path = tmp_path / "state.db"
    workers = [process(COUNT, str(path), "40") for _ in range(4)]
    assert [worker.wait(60) for worker in workers] == [0] * 4
    store = SqliteStore(path, "canary")
    record = store.get("p", "counter")
    store.close()
    assert record is not None
    assert record.body == b"160"


def test_a_process_killed_while_it_writes_leaves_whole_transactions(tmp_path: Path) -> None:
    path = tmp_path / "state.db"
    for _ in range(3):
        writer = process(PAIRS, str(path))
        assert writer.stdout is not None
        told = [writer.stdout.readline() for _ in range(5)]
        os.kill(writer.pid, signal.SIGKILL)
        told += writer.stdout.readlines()
        writer.wait(10)
        writer.stdout.close()
        store = SqliteStore(path, "canary")
        left, right = store.get("p", "left"), store.get("p", "right")
        assert left is not None
        assert right is not None
        assert left.body == right.body
        assert len(left.body) // 20000 >= len(told[-1].strip()), "what was answered is kept"
        store.commit("p", [Put("left", b"", ANY), Put("right", b"", ANY)])
        store.close()
