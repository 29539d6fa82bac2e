"""Fixtures: a certificate authority for hosts of the sample function."""

import pytest

from lab.serving import Authority


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))
