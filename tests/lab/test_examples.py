"""The examples in the docstrings of the lab's moving parts and of the sample function are true."""

import doctest
import importlib

import pytest

MODULES = [
    "lab.clock",
    "lab.gateway",
    "lab.host_config",
    "lab.host_http",
    "lab.schedules",
    "sample_function.function_app",
]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name: str) -> None:
    result = doctest.testmod(importlib.import_module(name))
    assert result.attempted > 0
    assert result.failed == 0
