"""What a run looks like in a terminal: weights set and observed, counts, evidence against both limits, cards.

In a terminal the state is drawn live and cards scroll by above it; in a pipe each change is one line.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from lab.chat import shown
from lab.traffic import Answer
from lab.world import Lab
from rollouts.observation import Slot

BAR = 40  # characters of the weights' bar
OBSERVED_SECONDS = 3.0  # over which the observed share is counted
STYLES = {Slot.BLUE: "bright_blue", Slot.GREEN: "green"}


class Screen:
    """Draws one lab. `look` is the run's watch."""

    def __init__(self, console: Console, lab: Lab) -> None:
        self._console = console
        self._lab = lab
        self._live: Live | None = None
        self._cards = 0
        self._sentence = ""
        self._began = time.monotonic()
        self._counts: list[tuple[float, dict[Slot, int]]] = []

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Live while this lasts, where there is a terminal."""
        if not self._console.is_terminal:
            yield
            return
        with Live(console=self._console, refresh_per_second=4, transient=True) as self._live:
            yield
        self._live = None

    def say(self, text: str) -> None:
        """A line of the play: what the lab does."""
        self._console.print(f"[bold]{self._at()}[/bold] {text}")

    def look(self, found: dict[str, Any] | None) -> None:
        """One look at the newest rollout: new cards, the new sentence, the picture."""
        for post in self._lab.messages()[self._cards :]:
            self._cards += 1
            self._console.print(Panel(Text(shown(post)), title=f"card in {post.kind}", title_align="left", width=110))
        if found is not None and found["sentence"] != self._sentence:
            self._sentence = found["sentence"]
            if self._live is None:
                self._console.print(
                    f"{self._at()} {found['phase']} {found['share']} %: {self._sentence}", highlight=False
                )
        if self._live is not None:
            self._live.update(self._picture(found))

    def _at(self) -> str:
        return f"{time.monotonic() - self._began:5.1f} s"

    def _picture(self, found: dict[str, Any] | None) -> Group:
        parts: list[Any] = [self._weights(found)]
        if found is not None:
            detail = self._lab.ask("GET", f"rollouts/{found['id']}")["rollout"]
            if detail.get("verdict"):
                parts.append(evidence(detail["verdict"]))
            held = f"  [yellow]held: {found['hold']}[/yellow]" if found["hold"] else ""
            parts.append(Text.from_markup(f"[bold]{found['version']}[/bold] {found['phase']}{held}"))
            parts.append(Text(found["sentence"]))
        return Group(*parts)

    def _weights(self, found: dict[str, Any] | None) -> Table:
        weights, observed = self._lab.weights(), self._observed()
        table = Table(box=None, padding=(0, 1), title=f"{self._at()}   live: {self._lab.live()}", title_justify="left")
        for column in ("slot", "weight set", "share observed", ""):
            table.add_column(column, justify="right" if column else "left")
        for slot in Slot:
            share = weights.share(slot)
            role = f" ({'canary' if found['canary'] == slot else 'baseline'})" if found else ""
            bar = Text("█" * round(share / 100 * BAR), style=STYLES[slot])
            seen = "" if observed is None else f"{100 * observed.get(slot, 0.0):.1f} %"
            table.add_row(f"{slot}{role}", f"{share} %", seen, bar)
        return table

    def _observed(self) -> dict[Slot, float] | None:
        """Who answered in the last seconds; None before there is enough."""
        now = time.monotonic()
        totals: dict[Slot, int] = dict.fromkeys(Slot, 0)
        for answer, count in list(self._lab.traffic.answers.items()):
            if isinstance(answer, Answer) and answer.slot in tuple(Slot):
                totals[Slot(answer.slot)] += count
        self._counts.append((now, totals))
        self._counts = [one for one in self._counts if now - one[0] <= OBSERVED_SECONDS]
        before = self._counts[0][1]
        gained = {slot: totals[slot] - before[slot] for slot in Slot}
        every = sum(gained.values())
        return {slot: count / every for slot, count in gained.items()} if every else None


def evidence(verdict: dict[str, Any]) -> Table:
    """One line for each indicator: both counts, what is tolerated, evidence against both limits."""
    table = Table(title=f"verdict: {verdict['kind']}", title_justify="left", padding=(0, 1))
    for column in ("indicator", "canary", "baseline", "tolerated", "harm / limit", "safe / limit"):
        table.add_column(column, justify="right" if column != "indicator" else "left")
    for one in verdict["indicators"]:
        table.add_row(
            one["name"],
            side(one["canary"]),
            side(one["baseline"]),
            percent(one["boundary"]),
            against(one["harm"], one["harm_limit"], "red"),
            against(one["safe"], one["safe_limit"], "green"),
        )
    return table


def side(counts: dict[str, Any]) -> str:
    """Bad of all, and the rate."""
    return f"{counts['bad']}/{counts['requests']} {percent(counts['rate'])}"


def percent(fraction: float | None) -> str:
    """For a table: two digits."""
    return "-" if fraction is None else f"{100 * fraction:.2f} %"


def against(value: float | None, limit: float, style: str) -> Text:
    """Evidence of its limit, coloured once it is reached."""
    if value is None:
        return Text(f"- / {limit:.1f}")
    return Text(f"{value:.1f} / {limit:.1f}", style=style if value >= limit else "")
