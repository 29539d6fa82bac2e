"""The pictures of docs/pictures as SVG text, drawn from the code where the code knows: the states from their table.

A picture has its own light ground, so that it reads the same on a light and on a dark page.
"""

from collections.abc import Iterable
from html import escape

from rollouts.rollout import Outcome, Phase
from rollouts.states import TABLE, Event

FONT = "font-family=\"-apple-system, 'Segoe UI', Roboto, Helvetica, Arial, sans-serif\""
INK, FAINT, LINE = "#1f2933", "#52606d", "#52606d"
PLAIN, BLUE, GREEN, OURS, END = "#f5f7fa", "#d6e6fb", "#d5f2de", "#fff3cf", "#f9dcdc"
ROW = 17  # pixels from one line of text to the next


class Sheet:
    """One picture in the making; coordinates in pixels from the top left."""

    def __init__(self, width: int, height: int, title: str) -> None:
        self._parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" '
            f'height="{height}" role="img" aria-label="{escape(title)}">',
            f"<title>{escape(title)}</title>",
            '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="10" markerHeight="10" '
            'markerUnits="userSpaceOnUse" orient="auto-start-reverse">'
            f'<path d="M0 0 L10 5 L0 10 z" fill="{LINE}"/></marker></defs>',
            f'<rect width="{width}" height="{height}" rx="8" fill="#ffffff"/>',
        ]

    def box(self, at: tuple[int, int], size: tuple[int, int], fill: str, lines: Iterable[str]) -> None:
        """A rounded box; the first line is bold."""
        (x, y), (width, height), texts = at, size, list(lines)
        self._parts.append(
            f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="{LINE}"/>'
        )
        top = y + height / 2 - (len(texts) - 1) * ROW / 2 + 5
        for number, text in enumerate(texts):
            self.text((x + width // 2, round(top + number * ROW)), text, bold=number == 0, anchor="middle")

    def text(
        self, at: tuple[int, int], text: str, *, bold: bool = False, anchor: str = "start", faint: bool = False
    ) -> None:
        """One line of text; `at` is its base line."""
        weight = ' font-weight="600"' if bold else ""
        self._parts.append(
            f'<text x="{at[0]}" y="{at[1]}" {FONT} font-size="13" fill="{FAINT if faint else INK}" '
            f'text-anchor="{anchor}"{weight}>{escape(text)}</text>'
        )

    def arrow(self, path: str, *, width: float = 1.5, dashed: bool = False) -> None:
        """A line along an SVG path, with a tip at its end."""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self._parts.append(
            f'<path d="{path}" fill="none" stroke="{LINE}" stroke-width="{width}"{dash} marker-end="url(#tip)"/>'
        )

    def svg(self) -> str:
        """The finished text."""
        return "\n".join([*self._parts, "</svg>"]) + "\n"


def flow() -> str:
    """What talks to what: users, gateway and slots above, the analyzer and what it reads and writes below."""
    sheet = Sheet(900, 450, "How Flex Canary works: traffic above, the analyzer below")
    sheet.box((20, 60), (110, 60), PLAIN, ["users"])
    sheet.box((220, 40), (210, 100), PLAIN, ["API Management", "pool: blue 90, green 10", "current-slot-name: blue"])
    sheet.box((560, 20), (150, 56), BLUE, ["blue", "1.0.0 (baseline)"])
    sheet.box((560, 104), (150, 56), GREEN, ["green", "1.1.0 (canary)"])
    sheet.box((560, 210), (150, 56), PLAIN, ["Application Insights", "requests of both"])
    sheet.box((20, 210), (110, 56), PLAIN, ["pipeline"])
    sheet.box((220, 210), (210, 220), OURS, ["Flex Canary", "observe", "decide", "save", "converge", "announce"])
    sheet.box((560, 292), (150, 56), PLAIN, ["state", "Azure Tables"])
    sheet.box((560, 374), (150, 56), PLAIN, ["chat, webhook", "Event Grid"])
    sheet.arrow("M130 90 H216")
    sheet.arrow("M430 66 L556 48", width=4)
    sheet.arrow("M430 114 L556 132")
    sheet.text((470, 42), "90 %", bold=True)
    sheet.text((470, 140), "10 %", bold=True)
    sheet.arrow("M710 48 H760 V238 H714", dashed=True)
    sheet.arrow("M710 132 H760", dashed=True)
    sheet.text((770, 132), "one row for", faint=True)
    sheet.text((770, 149), "each request", faint=True)
    sheet.arrow("M556 238 H434")
    sheet.text((495, 230), "counts", anchor="middle")
    sheet.arrow("M130 238 H216")
    sheet.text((20, 290), "deploys to the idle slot,", faint=True)
    sheet.text((20, 307), "publishes DeploymentCompleted", faint=True)
    sheet.arrow("M300 206 V144")
    sheet.text((290, 170), "weights, marker", anchor="end")
    sheet.text((290, 187), "(read back)", anchor="end", faint=True)
    sheet.arrow("M400 206 C400 170 470 172 556 146", dashed=True)
    sheet.text((450, 190), "probes of both", faint=True)
    sheet.arrow("M430 320 H556")
    sheet.text((495, 312), "each decision", anchor="middle")
    sheet.arrow("M430 402 H556")
    sheet.text((495, 394), "why", anchor="middle")
    return sheet.svg()


_TOP = {Phase.GATE: 30, Phase.STEP: 250, Phase.SWITCH: 490, Phase.WATCH: 720}
_WIDE, _TALL, _ABOVE, _BELOW = 110, 48, 120, 350


def states() -> str:
    """The state machine, drawn from rollouts/states.py: every row of the table is an arrow or a line beside one."""
    sheet = Sheet(900, 500, "The state machine of a rollout")
    drawn = {phase: (x, _ABOVE) for phase, x in _TOP.items()}
    for phase, (x, y) in drawn.items():
        sheet.box((x, y), (_WIDE, _TALL), OURS, [phase])
    sheet.box((30, _BELOW), (800, _TALL), END, [Phase.CLOSING])
    sheet.box((390, _BELOW + 96), (_WIDE, 40), PLAIN, [Phase.CLOSED])
    for source, row in TABLE.items():
        for target in dict.fromkeys(phase for phase, _ in row.values()):
            labels = [_label(event, *moved) for event, moved in row.items() if moved[0] is target]
            _edge(sheet, source, target, labels)
    return sheet.svg()


def _label(event: Event, target: Phase, outcome: Outcome | None) -> str:
    return f"{event}: {outcome}" if target is Phase.CLOSING and outcome is not None else str(event)


def _edge(sheet: Sheet, source: Phase, target: Phase, labels: list[str]) -> None:
    """One arrow, with the events that take it."""
    middle = _ABOVE + _TALL // 2
    if source is Phase.CLOSING:
        if target is Phase.CLOSED:
            sheet.arrow(f"M445 {_BELOW + _TALL} V{_BELOW + 92}")
            place, anchor = (458, _BELOW + 76), "start"
        else:
            sheet.arrow(f"M830 {_BELOW + 12} H862 V{_BELOW + 36} H834")
            place, anchor = (862, _BELOW + 68), "end"
    elif target is Phase.CLOSING:
        x = _TOP[source] + 24
        sheet.arrow(f"M{x} {_ABOVE + _TALL} V{_BELOW - 4}")
        place, anchor = (x + 8, _ABOVE + _TALL + 24), "start"
    elif source is target:
        x = _TOP[source]
        sheet.arrow(f"M{x + 20} {_ABOVE} C{x} {_ABOVE - 46} {x + 76} {_ABOVE - 46} {x + 56} {_ABOVE - 4}")
        place, anchor = (x + 2, _ABOVE - 42 - ROW * (len(labels) - 1)), "start"
    elif _TOP[source] > _TOP[target]:
        apart, lift = _TOP[source], 40 if source is Phase.SWITCH else 84
        end = _TOP[target] + _WIDE - (8 if source is Phase.SWITCH else 24)
        sheet.arrow(f"M{apart + 40} {_ABOVE} V{_ABOVE - lift} H{end} V{_ABOVE - 4}")
        place, anchor = (apart + 32, _ABOVE - lift - 6 - ROW * (len(labels) - 1)), "end"
    else:
        sheet.arrow(f"M{_TOP[source] + _WIDE} {middle} H{_TOP[target] - 4}")
        place, anchor = ((_TOP[source] + _WIDE + _TOP[target]) // 2, middle - 8 - ROW * (len(labels) - 1)), "middle"
    for number, label in enumerate(labels):
        sheet.text((place[0], place[1] + number * ROW), label, anchor=anchor)
