"""The parts of docs/ that are made from the code: pictures whole, tables between markers in pages.

python -m docs.make          writes what is stale
python -m docs.make --check  writes nothing; exit code 1 when something is stale
"""

import argparse
import ast
import re
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from docs import drawing, waiting
from lab.scenarios import SCENARIOS
from notifying.card import SIGNS, headline
from rollouts.explain import duration
from rollouts.holds import HOLDS, HoldRule, Then
from rollouts.notice import NoticeKind
from rollouts.policy_file.keys import LIMIT_KEYS
from rollouts.states import TABLE
from storing import keys

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PICTURES = {"flow.svg": drawing.flow, "states.svg": drawing.states}
PART = re.compile(r"(<!-- made: (?P<name>[a-z-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


NOTICES = {
    NoticeKind.STARTED: "A rollout begins at its gate; no traffic yet. Nothing to do.",
    NoticeKind.RAISED: "The pool was read back with the higher share. Nothing to do.",
    NoticeKind.LOWERED: "Suspicion at 100 %, or an outage of both soon after a raise: one share back, where both are "
    "compared. Nothing to do; look at the canary.",
    NoticeKind.SWITCHED: "All traffic on the new version, the marker says so, the watch begins. Nothing to do.",
    NoticeKind.PROMOTED: "The watch is over. The old version stays on the other slot: `canary rollback` still works.",
    NoticeKind.ROLLED_BACK: "Pool and marker were read back on the old version. Users are safe; mend the new one, "
    "and deploy it under another version.",
    NoticeKind.REJECTED: "The gate's deadline passed; we gave the version no traffic. The sentence says what was "
    "missing (health, version, warm-up, or the baseline's history), and whether another hand gave it some.",
    NoticeKind.SUPERSEDED: "A newer version is on the canary slot: share 0, its own gate begins. Nothing to do.",
    NoticeKind.ABORTED: "A person or a limit ended it, share 0; nothing was proven against the version.",
    NoticeKind.HELD: "It does not move on. The reason in brackets is a row below.",
    NoticeKind.REMINDER: "The same hold still lasts.",
    NoticeKind.RESUMED: "The hold is over. Nothing to do.",
    NoticeKind.PAUSED: "A person stopped raising until the time named. Harm is still acted on.",
    NoticeKind.NOT_CARRIED_OUT: "**The loudest one.** Decided, stored, and two attempts to write it failed: users "
    "still have the old weights. See [cannot write](#cannot_write).",
    NoticeKind.ALARM: "In the watch the other slot got another version: the version to go back to is gone. From now on "
    "a rollback is asked for, not done.",
    NoticeKind.ADVICE: "Mode `advise`, or `canary off`: what it would have done, with the command to do it by hand.",
    NoticeKind.RECORD: "A person acted: approved, adopted, reasserted, promoted without the proof.",
}


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A Markdown table.

    >>> print(table(["a", "b"], [["1", "x|y"]]))
    | a | b |
    |---|---|
    | 1 | x\\|y |
    """
    titles = list(head)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in line) for line in (titles, *rows)]
    return "\n".join([f"| {lines[0]} |", "|" + "---|" * len(titles), *(f"| {line} |" for line in lines[1:])])


def holds() -> str:
    """rollouts/holds.py: every reason, who ends it, when it is told, what then, what to type."""
    return table(
        ["reason", "ends", "told", "reminder", "limit, and then", "what a person types"],
        (
            [
                f"[`{reason}`](#{reason})",
                f"{row.ends}, or by proof" if row.proof_resumes else row.ends,
                _told(row),
                f"every {duration(row.reminder_seconds)}",
                _limit(row),
                ", or ".join(f"`{one.format(service='SERVICE', share='SHARE', slot='SLOT')}`" for one in row.person),
            ]
            for reason, row in HOLDS.items()
        ),
    )


def _told(row: HoldRule) -> str:
    if row.quiet_intervals is None:
        return "at its limit"
    return f"after {row.quiet_intervals} intervals" if row.quiet_intervals else "at once"


def _limit(row: HoldRule) -> str:
    if row.limit is None:
        return "none"
    knob = row.limit.removesuffix("_seconds")
    if knob not in {key.name for key in LIMIT_KEYS}:
        raise KeyError(f"holds.py names limits.{knob}, which canary.yaml does not have")
    then = {
        Then.STAYS: "stays held",
        Then.ROLLS_BACK: "rolled back",
        Then.GOES_TO_ZERO: "share 0, aborted",
        Then.AS_POLICY_SAYS: "`limits.at_blind`",
    }[row.then]
    return f"`limits.{knob}`, then {then}"


def notices() -> str:
    """rollouts/notice.py with the titles of notifying/card.py, and what each means."""
    titles = {kind: headline(kind) for kind in NoticeKind}
    return table(
        ["notice", "title of its card", "what it means, what to do"],
        ([f"`{kind}`", f"{SIGNS[tone]} {title}", NOTICES[kind]] for kind, (title, tone) in titles.items()),
    )


def moves() -> str:
    """rollouts/states.py: every legal move."""
    return table(
        ["phase", "event", "next phase", "outcome"],
        (
            [f"`{phase}`", f"`{event}`", f"`{target}`", f"`{outcome}`" if outcome else ""]
            for phase, row in TABLE.items()
            for event, (target, outcome) in row.items()
        ),
    )


def storage() -> str:
    """The table in the docstring of storing/keys.py."""
    text = keys.__doc__ or ""
    return "\n".join(line for line in text.splitlines() if line.startswith("|"))


def limits() -> str:
    """Every number of the files that hold limits, with its reason."""
    rows = []
    for name in ("rollouts/limits.py", "storing/contract.py"):
        source = (ROOT / name).read_text(encoding="utf-8").splitlines()
        for node in ast.parse("\n".join(source)).body:
            match node:
                case ast.Assign(targets=[ast.Name(id=constant)], value=value) if constant.isupper():
                    number = _number(value)
                    if number is None:
                        continue
                    reason = source[node.lineno - 1].partition("  # ")[2] or "see the line before"
                    rows.append([f"`{constant}`", f"{number:,}", reason, f"`{name}`"])
                case _:
                    pass
    return table(["limit", "value", "why", "in"], rows)


def _number(value: ast.expr) -> int | None:
    """The value of a product of numbers; None = it is something else."""
    match value:
        case ast.Constant(value=int(number)):
            return number
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            first, second = _number(left), _number(right)
            return None if first is None or second is None else first * second
        case _:
            return None


def scenarios() -> str:
    """lab/scenarios.py: what happens, and the state that the run ends in."""
    return table(
        ["scenario", "what happens", "ends"],
        ([f"`{one.name}`", one.about, one.ends.replace("_", " ")] for one in SCENARIOS.values()),
    )


def tolerances() -> str:
    """docs/waiting.py: minutes by baseline and `points`."""
    titles = ["baseline fails", "`points`", "tolerated", "proven when nothing is wrong"]
    return table([*titles, "a fault of 5 times is found", "of 20 times"], waiting.tolerances())


def traffic() -> str:
    """docs/waiting.py: minutes by traffic and share."""
    faults = ["5 times worse", "20 times worse"]
    return table(
        ["requests a minute, both slots", "at 10 %: proven", *faults, "at 50 %: proven", *faults], waiting.traffic()
    )


def low_traffic() -> str:
    """docs/waiting.py: minutes of a small service."""
    return table(["requests a minute, both slots", "proven", "5 times worse", "20 times worse"], waiting.low_traffic())


PARTS: dict[str, Callable[[], str]] = {
    "holds": holds,
    "notices": notices,
    "moves": moves,
    "storage": storage,
    "limits": limits,
    "scenarios": scenarios,
    "tolerances": tolerances,
    "traffic": traffic,
    "low-traffic": low_traffic,
}


def made(page: str) -> str:
    """The page with every part between `<!-- made: NAME -->` and `<!-- end -->` as the code says it now."""
    return PART.sub(lambda found: f"{found[1]}{PARTS[found['name']]()}\n{found[3]}", page)


def wanted() -> dict[Path, str]:
    """Every file that is made, whole or in part, as it should be."""
    pages = {path: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
    return {path: made(text) for path, text in pages.items() if PART.search(text)} | {
        DOCS / "pictures" / name: draw() for name, draw in PICTURES.items()
    }


def stale() -> dict[Path, str]:
    """The files that are not as they should be, with what they should be."""
    return {
        path: text for path, text in wanted().items() if not path.is_file() or path.read_text(encoding="utf-8") != text
    }


def main() -> int:
    """Write what is stale, or tell it."""
    parser = argparse.ArgumentParser(prog="python -m docs.make", description="Make the made parts of docs/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 when something is stale")
    check: bool = parser.parse_args().check
    found = stale()
    for path, text in found.items():
        name = path.relative_to(ROOT)
        if check:
            sys.stderr.write(f"{name} is stale: run python -m docs.make\n")
        else:
            path.write_text(text, encoding="utf-8")
            sys.stdout.write(f"wrote {name}\n")
    return 1 if check and found else 0


if __name__ == "__main__":
    sys.exit(main())
