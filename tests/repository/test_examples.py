"""The examples in docstrings are true, in every room."""

import doctest
import importlib

import pytest

from tests.repository.tree import OURS, sources, text

WITH_EXAMPLES = [
    file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    for file in sources(*sorted(OURS - {"tests"}), "docs")
    if "    >>> " in text(file)
]


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0


def test_the_rooms_have_examples() -> None:
    """An empty list would pass above."""
    assert {name.split(".")[0] for name in WITH_EXAMPLES} > {"analyzers", "controller", "lab", "notifying", "rollouts"}
