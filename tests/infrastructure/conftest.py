"""A test that asks for `bicep` runs once for each Bicep file."""

import pytest

from tests.infrastructure.reading import sources


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """One run a file, named by its path."""
    if "bicep" in metafunc.fixturenames:
        metafunc.parametrize("bicep", [pytest.param(one, id=one.name) for one in sources()])
