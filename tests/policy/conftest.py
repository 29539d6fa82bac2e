"""What the tests of the policy share."""

from collections.abc import Callable

import pytest

from rollouts.errors import PolicyError
from rollouts.policy_file.parse import parse


@pytest.fixture
def refusal() -> Callable[[object], list[str]]:
    """The problems of a tree that must be refused."""

    def problems(tree: object) -> list[str]:
        with pytest.raises(PolicyError) as caught:
            parse(tree)
        return caught.value.problems

    return problems
