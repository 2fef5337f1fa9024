"""The journeys of tests/journeys/test_media.py in the split house."""

from __future__ import annotations

import pytest
from tests.journeys.test_media import *  # noqa: F403 - the tests themselves

# It waits until a connection is closed that has told of more than it sent. A gateway refuses that in words of its own, or hands
# on the service's and leaves the rest to its own clock; test_split_bad_input.py sends it a body that is too large.
del test_too_large_a_body_is_refused_by_a_real_server_before_it_is_read  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow]
