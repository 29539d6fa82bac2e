"""The Bicep files, read twice: by pycep as values, by tree-sitter as a syntax tree with every identifier in it."""

import functools
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import tree_sitter_bicep
from pycep import BicepParser
from tree_sitter import Language, Node, Parser

ROOT = Path(__file__).resolve().parents[2]
BICEP = ROOT / "bicep"
FILES = sorted(BICEP.rglob("*.bicep"))


class Source(NamedTuple):
    """One Bicep file."""

    name: str  # path below bicep/
    text: str
    values: dict[str, Any]  # as pycep reads it
    tree: Node  # as tree-sitter reads it

    def resources(self, kind: str = "") -> dict[str, dict[str, Any]]:
        """Declared resources whose type begins with `kind`, by symbol."""
        return {
            symbol: one
            for symbol, one in self.values.get("resources", {}).items()
            if one["type"].startswith(kind) and not one["existing"]
        }

    def body(self, symbol: str) -> dict[str, Any]:
        """What a resource or module is made of, without its condition or loop."""
        one = {**self.values.get("resources", {}), **self.values.get("modules", {})}[symbol]
        config: dict[str, Any] = one["config"]
        while "loop_type" in config or "condition" in config:
            config = config["config"]
        return config


def nodes(tree: Node, *kinds: str) -> Iterator[Node]:
    """Every node of these kinds, in the order of the text."""
    if not kinds or tree.type in kinds:
        yield tree
    for child in tree.children:
        yield from nodes(child, *kinds)


def text_of(node: Node) -> str:
    """The text that a node stands for."""
    return (node.text or b"").decode()


def parsed(name: str, text: str) -> Source:
    """A text as if it were the file of this name."""
    tree = Parser(Language(tree_sitter_bicep.language())).parse(text.encode()).root_node
    return Source(name, text, BicepParser().parse(text=text), tree)


@functools.cache
def source(name: str) -> Source:
    """One file by its path below bicep/."""
    return parsed(name, (BICEP / name).read_text())


@functools.cache
def sources() -> tuple[Source, ...]:
    """Every file."""
    return tuple(source(str(path.relative_to(BICEP))) for path in FILES)
