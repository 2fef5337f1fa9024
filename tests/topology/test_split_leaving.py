"""The journey of tests/journeys/test_leaving.py in the split house."""

from __future__ import annotations

import pytest
from tests.journeys.test_leaving import *  # noqa: F403 - the test itself

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
