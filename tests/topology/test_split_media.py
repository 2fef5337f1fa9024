"""The journeys of tests/journeys/test_media.py in the split house."""

from __future__ import annotations

import pytest
from tests.journeys.test_media import *  # noqa: F403 - the tests themselves

# It speaks to one server over a bare connection: nothing of it is split.
del test_too_large_a_body_is_refused_by_a_real_server_before_it_is_read  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
