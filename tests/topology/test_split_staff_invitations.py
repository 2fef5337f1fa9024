"""The journeys of tests/journeys/test_staff_invitations.py in the split house."""

from __future__ import annotations

import pytest
from tests.journeys.test_staff_invitations import *  # noqa: F403 - the tests themselves

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
