"""Charts as SVG text, without a library: axes, lines, steps, dots. A chart has its own light ground."""

import math
from collections.abc import Iterable, Sequence
from html import escape
from typing import NamedTuple

FONT = "font-family=\"-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\""
DOT = 11  # pixels that a dot takes
INK, FAINT, GRID = "#1f2933", "#52606d", "#e4e7eb"
# Told apart by people who see colours differently, too (Okabe and Ito, "Color Universal Design", 2008).
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8c6d31")


class Axis(NamedTuple):
    """From `low` to `high`, with ticks and a title; `log` spaces decades alike (low above 0)."""

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    log: bool = False

    def part(self, value: float) -> float:
        """0 at the low end, 1 at the high one; clipped, so that a value beyond lies on the edge.

        >>> Axis("minutes", 1, 100, (1, 10, 100), log=True).part(10)
        0.5
        """
        low, high, at = (math.log(max(v, 1e-300)) if self.log else v for v in (self.low, self.high, value))
        return min(max((at - low) / (high - low), 0.0), 1.0)


class Panel:
    """One pair of axes inside a figure; coordinates in pixels from the figure's top left."""

    def __init__(self, at: tuple[int, int], size: tuple[int, int], x: Axis, y: Axis, title: str = "") -> None:
        (self._left, top), (self._width, self._height) = at, size
        self._bottom, self._x, self._y = top + self._height, x, y
        self.parts: list[str] = []
        self._dots: list[tuple[float, float]] = []
        for tick in x.ticks:
            self._grid(self._point(tick, y.low), self._point(tick, y.high))
            self.text(self._point(tick, y.low), _number(tick), move=(0, 16), anchor="middle", colour=FAINT)
        for tick in y.ticks:
            self._grid(self._point(x.low, tick), self._point(x.high, tick))
            self.text(self._point(x.low, tick), _number(tick), move=(-6, 4), anchor="end", colour=FAINT)
        self.text((self._left + self._width / 2, self._bottom), x.title, move=(0, 34), anchor="middle", colour=FAINT)
        turned = (self._left - 40, top + self._height / 2)
        self.parts.append(
            f'<text {FONT} font-size="12" fill="{FAINT}" text-anchor="middle" '
            f'transform="translate({_pixel(turned[0])} {_pixel(turned[1])}) rotate(-90)">{escape(y.title)}</text>'
        )
        if title:
            self.text((self._left, top), title, move=(0, -10), bold=True)

    def _point(self, x: float, y: float) -> tuple[float, float]:
        return self._left + self._x.part(x) * self._width, self._bottom - self._y.part(y) * self._height

    def _grid(self, a: tuple[float, float], b: tuple[float, float]) -> None:
        ends = f'x1="{_pixel(a[0])}" y1="{_pixel(a[1])}" x2="{_pixel(b[0])}" y2="{_pixel(b[1])}"'
        self.parts.append(f'<line {ends} stroke="{GRID}"/>')

    def text(
        self,
        at: tuple[float, float],
        text: str,
        *,
        move: tuple[float, float] = (0, 0),
        anchor: str = "start",
        bold: bool = False,
        colour: str = INK,
    ) -> None:
        """Text at a place in pixels, moved."""
        weight = ' font-weight="600"' if bold else ""
        self.parts.append(
            f'<text x="{_pixel(at[0] + move[0])}" y="{_pixel(at[1] + move[1])}" {FONT} font-size="12" fill="{colour}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
        )

    def line(self, points: Iterable[tuple[float, float]], colour: str, *, dashed: bool = False) -> None:
        """A line through values."""
        path = " ".join(f"{_pixel(x)},{_pixel(y)}" for x, y in (self._point(*one) for one in points))
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')

    def label(self, x: float, y: float, text: str, colour: str, lift: float = 4) -> None:
        """Text that ends at a value, `lift` pixels below it."""
        self.text(self._point(x, y), text, move=(-4, lift), anchor="end", colour=colour, bold=True)

    def dot(self, x: float, y: float, colour: str, label: str = "") -> None:
        """A dot at a value, with its label to the right (to the left in the right half), beside others."""
        at = self._point(x, y)
        while any(math.dist(at, other) < DOT for other in self._dots):
            at = (at[0] + (-DOT if self._x.part(x) > 0.5 else DOT), at[1])
        self._dots.append(at)
        self.parts.append(f'<circle cx="{_pixel(at[0])}" cy="{_pixel(at[1])}" r="5" fill="{colour}"/>')
        if label:
            left = self._x.part(x) > 0.5
            anchor = "end" if left else "start"
            self.text(at, label, move=(-9 if left else 9, 4), anchor=anchor, colour=colour, bold=True)


def figure(size: tuple[int, int], title: str, panels: Iterable[Panel], legend: Sequence[tuple[str, str]] = ()) -> str:
    """The finished picture; `legend` is (colour, text) along the bottom."""
    width, height = size
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
        f'role="img" aria-label="{escape(title)}">',
        f"<title>{escape(title)}</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        *(part for panel in panels for part in panel.parts),
    ]
    across = (width - 60) / max(1, math.ceil(len(legend) / max(1, math.ceil(len(legend) / 5))))
    rows = max(1, math.ceil(len(legend) / 5))
    for number, (colour, text) in enumerate(legend):
        row, column = divmod(number, math.ceil(len(legend) / rows))
        x, y = 30 + column * across, height - 20 * (rows - row) + 4
        parts.append(f'<circle cx="{_pixel(x)}" cy="{_pixel(y - 4)}" r="5" fill="{colour}"/>')
        parts.append(
            f'<text x="{_pixel(x + 10)}" y="{_pixel(y)}" {FONT} font-size="12" fill="{INK}">{escape(text)}</text>'
        )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _pixel(value: float) -> str:
    return f"{value:.1f}".removesuffix(".0")


def _number(value: float) -> str:
    return f"{value:,.10g}"
