"""The parts of host.json that the stand-in host honours, with the real host's defaults."""

from pathlib import Path
from typing import Any

import msgspec


class HostConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Field = key of host.json; the defaults are those of the host's reference page."""

    route_prefix: str = "api"  # extensions.http.routePrefix
    batch_size: int = 16  # extensions.queues.batchSize: messages fetched at once
    new_batch_threshold: int = 8  # extensions.queues.newBatchThreshold: fetch again when no more are running
    max_dequeue_count: int = 5  # extensions.queues.maxDequeueCount: tries before the poison queue
    visibility_timeout: float = 0.0  # extensions.queues.visibilityTimeout: seconds between two tries
    max_polling_interval: float = 60.0  # extensions.queues.maxPollingInterval, seconds

    @classmethod
    def read(cls, folder: Path) -> "HostConfig":
        """From `folder`/host.json; a missing file is refused, as by the real host."""
        file = folder / "host.json"
        try:
            given = msgspec.json.decode(file.read_bytes(), type=dict[str, Any])
        except FileNotFoundError as error:
            raise ValueError(f'there is no {file}: a function app needs one, at least {{"version": "2.0"}}') from error
        except msgspec.DecodeError as error:
            raise ValueError(f"{file} is not JSON: {error}") from error
        if given.get("version") != "2.0":
            raise ValueError(f'{file}: version is {given.get("version")!r}; write "2.0"')
        extensions = given.get("extensions", {})
        queues = extensions.get("queues", {})
        batch = _within(queues, "batchSize", 16, 1, 32)
        return cls(
            route_prefix=extensions.get("http", {}).get("routePrefix", "api").strip("/"),
            batch_size=batch,
            new_batch_threshold=_within(queues, "newBatchThreshold", batch // 2, 0, 1000),
            max_dequeue_count=_within(queues, "maxDequeueCount", 5, 1, 1000),
            visibility_timeout=_seconds(queues.get("visibilityTimeout", "00:00:00"), "visibilityTimeout"),
            max_polling_interval=_seconds(queues.get("maxPollingInterval", "00:01:00"), "maxPollingInterval"),
        )


def _within(given: dict[str, Any], key: str, default: int, low: int, high: int) -> int:
    value = given.get(key, default)
    if not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"host.json: extensions.queues.{key} is {value!r}; write a whole number from {low} to {high}")
    return value


def _seconds(text: str, key: str) -> float:
    """Of a .NET time span without days.

    >>> _seconds("00:01:30.5", "visibilityTimeout")
    90.5
    """
    try:
        hours, minutes, seconds = str(text).split(":")
        return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
    except ValueError as error:
        raise ValueError(f"host.json: extensions.queues.{key} is {text!r}; write hh:mm:ss") from error
