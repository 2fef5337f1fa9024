"""The journeys of tests/journeys/test_any_input.py in the split house: what the gateway says by itself is documented too."""

from __future__ import annotations

import pytest
from tests.journeys.test_any_input import *  # noqa: F403 - the tests themselves

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy]


@pytest.fixture
def examples() -> int:
    """One of every operation: what services judge is judged by the same code in both houses. A gateway's judgement is about
    paths, headers and lengths, and the same for all of an operation's bodies."""
    return 1
