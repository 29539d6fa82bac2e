"""The lab's clocks: production code takes `now` as an argument, and this is where the lab makes it.

A `Clock` is anything that tells epoch seconds. `wall` is the machine's; `VirtualClock` moves only when told.
"""

import heapq
import itertools
import time
from collections.abc import Callable

Clock = Callable[[], float]


def wall() -> float:
    """Epoch seconds of this machine."""
    return time.time()


class VirtualClock:
    """Epoch seconds that pass only in `advance`; what was due on the way is called at its own time, in order.

    >>> clock = VirtualClock(100.0)
    >>> seen = []
    >>> clock.at(103.0, lambda: seen.append(clock()))
    >>> clock.advance(5)
    >>> clock(), seen
    (105.0, [103.0])
    """

    def __init__(self, start: float) -> None:
        self._now = start
        self._order = itertools.count()  # equal times are called in the order in which they were asked for
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self._now

    def at(self, when: float, call: Callable[[], None]) -> None:
        """Call when the clock reaches `when`; a time in the past is called by the next `advance`."""
        heapq.heappush(self._due, (when, next(self._order), call))

    def advance(self, seconds: float) -> None:
        """Let `seconds` pass. A call may ask for further ones: those that fall in between are called too."""
        if seconds < 0:
            raise ValueError(f"a clock cannot go back ({seconds:g} s): give a number that is not negative")
        until = self._now + seconds
        while self._due and self._due[0][0] <= until:
            when, _, call = heapq.heappop(self._due)
            self._now = max(self._now, when)
            call()
        self._now = until
