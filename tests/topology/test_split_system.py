"""The journeys of tests/journeys/test_system.py in the split house."""

from __future__ import annotations

import pytest
from tests.journeys.test_system import *  # noqa: F403 - the tests themselves

# One process is asked about itself there: the gateway answers for whoever is well, and shows nobody a process's own figures.
del test_a_process_that_is_about_to_end_says_so  # noqa: F821
del test_requests_are_counted_by_route_and_not_by_path  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
