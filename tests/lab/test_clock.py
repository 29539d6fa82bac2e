"""A virtual clock moves only when told to, and calls what was due on the way at its own time."""

import pytest

from lab.clock import VirtualClock


def test_calls_come_at_their_time_and_in_order_even_those_asked_for_on_the_way() -> None:
    clock = VirtualClock(0.0)
    seen: list[tuple[str, float]] = []

    def tick() -> None:
        seen.append(("tick", clock()))
        clock.at(clock() + 2, tick)

    clock.at(2, tick)
    clock.at(3, lambda: seen.append(("once", clock())))
    clock.at(4, lambda: seen.append(("same time, asked first", clock())))
    clock.advance(5)
    assert seen == [("tick", 2), ("once", 3), ("same time, asked first", 4), ("tick", 4)]
    assert clock() == 5


def test_it_does_not_go_back() -> None:
    with pytest.raises(ValueError, match="cannot go back"):
        VirtualClock(0.0).advance(-1)
