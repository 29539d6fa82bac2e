"""What the controller works with: the adapters, the records, the clock and the policy, as one value."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol, TypeVar

import msgspec

from controller.seams import MarkerShifter, PoolShifter, Prober, TelemetrySource
from notifying.outbox import Sender
from rollouts import limits
from rollouts.policy import Channel, Policy
from storing.records import Records

Item = TypeVar("Item")
Result = TypeVar("Result")


class Each(Protocol):
    """Does the same work on several things, at once or in order; the results are in their order."""

    def __call__(self, work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """One result for each item."""


def at_once(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """Results in order, worked on by threads: looks at the world wait on the network, not on each other."""
    things: Sequence[Item] = list(items)
    if len(things) < 2:
        return [work(thing) for thing in things]
    with ThreadPoolExecutor(min(limits.PROBE_WORKERS, len(things))) as threads:
        return list(threads.map(work, things))


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """The same, one after the other: for simulations that must replay."""
    return [work(thing) for thing in items]


class World(msgspec.Struct, frozen=True, kw_only=True):
    """Every effect that the controller can have goes through one of these."""

    now: Callable[[], float]  # epoch seconds
    records: Records
    policy: Callable[[], Policy]  # in force: pushed, else packaged; raises PolicyError when neither is good
    packaged: Callable[[], str]  # the text of the packaged policy
    telemetry: TelemetrySource
    pool: PoolShifter
    marker: MarkerShifter
    prober: Prober
    channel: Callable[[Channel], Sender]
    each: Each = at_once
