"""The journeys of tests/journeys/test_staff_browser.py in the split house: pages, streams, moves and long answers."""

from __future__ import annotations

import pytest
from tests.journeys import test_staff_browser as alone
from tests.journeys.test_staff_browser import *  # noqa: F403 - the tests themselves

# What keys and fingers do on a sheet, and how wide it is, is the browser's own matter and the same in both houses. Of the pages,
# each is looked at once.
del test_a_lift_that_is_left_with_escape_changes_nothing  # noqa: F821
del test_dragging_onto_a_taken_hour_shows_who_is_there_and_does_not_land  # noqa: F821
del test_in_urdu_the_sheet_runs_from_right_to_left_and_a_lifted_booking_is_named_in_urdu  # noqa: F821
del test_on_a_phone_a_booking_opens_as_a_sheet_and_nothing_is_wider_than_the_screen  # noqa: F821
del test_pages_of_the_console_fit_and_obey_the_content_policy  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy, pytest.mark.browser]


async def test_every_page_of_the_console_is_there_and_obeys_the_content_policy(desk: alone.Desk) -> None:
    await alone.test_pages_of_the_console_fit_and_obey_the_content_policy(desk, 1440, "en")
