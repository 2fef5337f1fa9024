"""The journeys of tests/journeys/test_guest_browser.py in the split house: pages, streams and forms of several services."""

from __future__ import annotations

import pytest
from tests.journeys.test_guest_browser import *  # noqa: F403 - the tests themselves

# How wide a page is, what its keys do, what its clock and its map say: that is the browser's own matter, the same in both houses,
# and takes as long as all the others together. What these pages ask of the house, the others ask too.
del test_a_court_is_found_held_paid_and_cancelled_with_the_keyboard_alone  # noqa: F821
del test_a_first_visit_weighs_less_than_150_kb_and_fetches_the_font_of_its_own_script  # noqa: F821
del test_a_menu_closes_by_escape_with_the_focus_back_and_by_a_press_elsewhere  # noqa: F821
del test_a_phone_shows_times_first_and_never_scrolls_sideways  # noqa: F821
del test_near_me_asks_where_and_searches_there  # noqa: F821
del test_on_a_phone_everything_is_as_large_as_a_finger  # noqa: F821
del test_on_a_phone_a_time_then_a_place_then_one_line_to_hold  # noqa: F821
del test_the_clock_of_a_hold_runs_down_and_ends_with_a_way_back  # noqa: F821
del test_who_does_not_say_where_is_offered_a_city_instead  # noqa: F821
del test_without_a_rival_the_same_press_wins_the_court  # noqa: F821

pytestmark = [pytest.mark.xdist_group("split"), pytest.mark.slow, pytest.mark.haproxy, pytest.mark.browser]
