"""What a command shows: beautiful in a terminal, plain when piped, one JSON object with --json.

Text from outside (versions, reasons, the server's sentences) is shown as text: no markup, no control
characters. Answers go to standard output; progress and errors to standard error.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import IO

from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

PIPE_WIDTH = 100_000  # of a console that wraps nothing
PROSE_WIDTH = 28  # below it a sentence is a column of single words

STYLES = {
    "promoted": "bold green",
    "safe": "green",
    "act": "green",
    "rolled_back": "bold red",
    "rejected": "bold red",
    "harmful": "bold red",
    "not_carried_out": "bold red",
    "alarm": "bold red",
    "aborted": "red",
    "superseded": "yellow",
    "held": "yellow",
    "off": "yellow",
    "blue": "blue",
    "green": "green",
}


def printable(value: object) -> str:
    """One line of printable text."""
    text = str(value)
    return "".join(one if one.isprintable() else " " for one in text)


def moment(at: object) -> str:
    """Epoch seconds or ISO text as UTC to the second; "-" for nothing."""
    if isinstance(at, int | float) and not isinstance(at, bool):
        try:
            return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
        except (OverflowError, ValueError, OSError):
            return str(at)
    return printable(at) if at else "-"


class Screen:
    """One command's two streams."""

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self._out = _console(sys.stdout)
        self._err = _console(sys.stderr)

    def result(self, value: object) -> None:
        """The machine's answer: one line of JSON. Only with --json."""
        sys.stdout.write(json.dumps(value, ensure_ascii=False, default=str) + "\n")
        sys.stdout.flush()

    def raw(self, text: str) -> None:
        """Text for a pipe or a file, exactly as it is."""
        sys.stdout.write(text if text.endswith("\n") else text + "\n")

    def line(self, text: str, *, style: str = "") -> None:
        """One line of the answer."""
        self._out.print(Text(printable(text), style=style))

    def aside(self, text: str, *, style: str = "dim") -> None:
        """One line beside the answer, to standard error: progress, what to do next."""
        self._err.print(Text(printable(text), style=style))

    def error(self, text: str, *, code: int, problems: Sequence[str] = ()) -> None:
        """What went wrong, one line each; with --json also as an object on standard output."""
        if self.as_json:
            said: dict[str, object] = {"error": text, "exit_code": int(code)}
            self.result(said | ({"problems": list(problems)} if problems else {}))
        for line in problems or text.splitlines() or ["no reason was given"]:
            self._err.print(Text.assemble(("error: ", "bold red"), printable(line)))

    def finding(self, state: str, names: Sequence[str], detail: str, *, command: str | None = None) -> None:
        """One check: how it is, padded names, what was seen, and the command that mends it.

        Piped it is one line. In a terminal a long detail keeps its column, and the command has a line of its own
        that is not broken, so that it can be copied.
        """
        style = {"ok": "green", "bad": "bold red"}.get(state, "yellow")
        cells = [Text(state.ljust(7), style=style), *(Text(printable(name)) for name in names)]
        if not self._out.is_terminal:
            whole = Text(" ").join([*cells, Text(printable(detail))])
            self._out.print(whole + Text(f": {printable(command)}") if command else whole)
            return
        grid = Table.grid(padding=(0, 1))
        for cell in cells:
            grid.add_column(no_wrap=True, width=cell.cell_len)
        grid.add_column(overflow="fold")
        grid.add_row(*cells, Text(printable(detail)))
        self._out.print(grid)
        if command:
            self._out.print(Text(f"    {printable(command)}", style="bold"), soft_wrap=True)

    def facts(self, facts: Mapping[str, object]) -> None:
        """Names and values, one a line; None is left out."""
        shown = {name: printable(value) for name, value in facts.items() if value is not None}
        width = max((len(name) for name in shown), default=0)
        for name, value in shown.items():
            self._out.print(Text.assemble((name.ljust(width), "dim"), "  ", (value, STYLES.get(value, ""))))

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str | None = None) -> None:
        """A table whose last column is prose; piped, it is aligned text with a heading and no frame.

        In a terminal nothing is cut, least of all an id that is typed next: where the columns do not fit side by side,
        each row is told as names and values.
        """
        cells = [["-" if cell is None else printable(cell) for cell in row] for row in rows]
        if not self._out.is_terminal:
            if title:
                self.raw(title)
            widths = [max(map(len, column)) for column in zip(columns, *cells, strict=True)]
            for row in (list(columns), *cells):
                self.raw("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
            return
        table = Table(title=title, box=box.SIMPLE_HEAD, title_justify="left", header_style="bold")
        for place, column in enumerate(zip(columns, *cells, strict=True), start=1):
            width = max(map(cell_len, column))
            prose = place == len(columns)
            table.add_column(column[0], no_wrap=not prose, min_width=min(width, PROSE_WIDTH) if prose else width)
        for row in cells:
            table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
        unlimited = self._out.options.update(max_width=PIPE_WIDTH)
        if Measurement.get(self._out, unlimited, table).minimum <= self._out.width:
            self._out.print(table)
            return
        if title:
            self.line(title, style="italic")
        for values in rows:
            self.facts({name: value for name, value in zip(columns, values, strict=True) if value != ""})
            self._out.print()


def _console(stream: IO[str]) -> Console:
    """A console that wraps nothing when it is piped: a line stays one line for grep."""
    console = Console(file=stream, highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console = Console(file=stream, highlight=False, markup=False, emoji=False, width=PIPE_WIDTH)
    return console
