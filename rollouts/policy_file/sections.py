"""Reading one mapping of canary.yaml: take its keys, remember everything that is wrong, go on.

A refused or missing value is replaced by a stand-in so that the rest of the file is checked too; a policy
with a single problem is never returned, so no stand-in ever leaves parsing.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import TypeVar

from rollouts.policy_file.keys import Key
from rollouts.policy_file.leaves import Path, Unfit, may_be_secret, shown

T = TypeVar("T")

WHOLE = "the file"
MAX_PROBLEMS = 200  # told at once: a file with more is another file
_TELLING = re.compile(r"[A-Za-z0-9 _./-]{1,60}")


def spelled(path: Path, whole: str = WHOLE) -> str:
    """A path as people write it; `whole` stands for the empty one.

    >>> spelled(("services", "checkout", "steps", 1))
    'services.checkout.steps[1]'
    """
    parts = []
    for part in path:
        if isinstance(part, int):
            parts.append(f"[{part}]")
        else:
            name = part if _TELLING.fullmatch(part) and not may_be_secret(part) else shown(part)
            parts.append(f".{name}" if parts else name)
    return "".join(parts) or whole


class Problems:
    """All that is wrong with one file, in the order of reading; `lines` tells where a path begins.

    `whole` names the file where a problem is that of no key in it.
    """

    def __init__(self, lines: Mapping[Path, int], whole: str = WHOLE) -> None:
        self._lines = lines
        self._whole = whole
        self._said: dict[str, None] = {}

    def add(self, path: Path, got: str, advice: str) -> None:
        """One line: path, what was got, what to write instead."""
        if len(self._said) < MAX_PROBLEMS:
            self._said[f"{spelled(path, self._whole)}{self._line(path)}: got {got}: {advice}"] = None

    def list(self) -> list[str]:
        """The lines, each once."""
        return list(self._said)

    def _line(self, path: Path) -> str:
        for length in range(len(path), 0, -1):
            if (line := self._lines.get(path[:length])) is not None:
                return f" (line {line})"
        return ""


class Section:
    """One mapping while it is read. `fallback` holds the preset's values of the same mapping."""

    def __init__(
        self, node: object, path: Path, problems: Problems, fallback: Mapping[str, object] | None = None
    ) -> None:
        self.path = path
        self.problems = problems
        self.fallback: Mapping[str, object] = fallback or {}
        self.present = isinstance(node, dict)
        self.node: dict[object, object] = node if isinstance(node, dict) else {}
        self._bad: set[str] = set()

    def knows(self, names: Iterable[str]) -> None:
        """Refuse every key that is not among `names`, with the nearest of them."""
        known = list(names)
        unknown = [key for key in self.node if not (isinstance(key, str) and key in known)]
        for key in unknown[:MAX_PROBLEMS]:
            near = difflib.get_close_matches(key.lower()[:100], known, n=1) if isinstance(key, str) else []
            advice = f"did you mean {near[0]}?" if near else f"remove it; known here: {', '.join(known)}"
            self.problems.add((*self.path, _key(key)), "an unknown key", advice)

    def take(self, key: Key[T]) -> T:
        """The value of `key`, else the preset's, else None where it is optional; a stand-in if refused."""
        if key.name not in self.node:
            if key.required and key.name not in self.fallback:
                self.trouble(key, f"add {key.name}: {self._example(key)}")
                return key.leaf.read(key.leaf.example)
            return key.leaf.read(self.fallback.get(key.name))
        value = self.node[key.name]
        try:
            return key.leaf.read(value)
        except Unfit as unfit:
            self._bad.add(key.name)
            for flaw in unfit.flaws:
                got = "a value that does not fit (not repeated)" if key.leaf.secret else flaw.got or shown(value)
                advice = flaw.advice if value is not None or key.required else f"{flaw.advice}; or remove the line"
                self.problems.add((*self.path, key.name, *flaw.at), "nothing" if value is None else got, advice)
            return key.leaf.read(self.fallback.get(key.name, key.leaf.example))

    def _example(self, key: Key[T]) -> object:
        """What to write: the examples are those of blue, and names that both slots have are refused."""
        example = key.leaf.example
        return str(example).replace("blue", "green") if self.path[-1:] == ("green",) else example

    def trouble(self, key: Key[object], advice: str, *, got: str | None = None) -> None:
        """A problem of `key` in its relation to others; values that came from the preset say so."""
        self._bad.add(key.name)
        if got is None:
            got = "nothing" if key.name not in self.node else shown(self.node[key.name])
            if key.name not in self.node and key.name in self.fallback:
                got = f"{shown(self.fallback[key.name])} (the preset's)"
        self.problems.add((*self.path, key.name), got, advice)

    def good(self, *keys: Key[object]) -> bool:
        """True when none of `keys` was refused: only then are they compared with each other."""
        return not any(key.name in self._bad for key in keys)

    def wrote(self, *keys: Key[object]) -> bool:
        """True when all of `keys` are in the file itself and were not refused."""
        return self.good(*keys) and all(key.name in self.node for key in keys)

    def inner(self, name: str) -> "Section":
        """The mapping under `name`; left out or null, it is empty and all its defaults hold."""
        node = self.node.get(name)
        fallback = self.fallback.get(name)
        fallback = fallback if isinstance(fallback, Mapping) else None
        section = Section(node, (*self.path, name), self.problems, fallback)
        if name in self.node and not isinstance(node, dict):
            remove = "" if node is not None else ", or remove the line"
            section.refuse(shown(node), f"write a mapping here (indented lines of `key: value`){remove}")
        return section

    def refuse(self, got: str, advice: str) -> None:
        """The whole mapping is wrong or missing: one problem, and no more about what would be in it."""
        self.problems.add(self.path, got, advice)
        self.problems = Problems({})


def _key(key: object) -> str:
    return key if isinstance(key, str) else shown(key)
