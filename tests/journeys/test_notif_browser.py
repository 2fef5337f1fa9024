"""The bell in a real Chromium against a real server: what happens is counted without looking again, and read without scripts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.browser import CHROMIUM
from tests.journeys.conftest import Server
from tests.journeys.test_guest_browser import Guests
from tests.journeys.world import World, at

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: the browser tests did not run"),
]


@pytest.fixture
async def guests(browser: Any, server: Server) -> AsyncIterator[Guests]:
    guests = Guests(browser, server.url)
    yield guests
    for context in browser.contexts:
        await context.close()
    assert not guests.complaints


async def test_a_booking_rings_the_bell_of_an_open_page_and_is_read_in_the_inbox(guests: Guests, server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        club, ada = await world.club(), await world.person("Ada")
        await world.credits(club, ada)
        tab = await guests.open("/bookings", who=ada)
        # A browser that signs in for the first time is told of; that much is read first.
        await tab.wait_for_selector("[data-bell-count][data-unread='1']", state="attached")
        assert (await ada.post("/v1/notifications/read", {"all": True})).json() == {"unread": 0}
        await tab.wait_for_selector("[data-bell-count][data-unread='0']", state="attached")

        wish = {"resource_id": club.courts[0], "start": at(3, 12), "duration_min": 60, "pay_with": "credits"}
        assert (await ada.post("/v1/bookings", wish)).status_code == 201
        await tab.wait_for_selector(".side [data-bell-count] .count", timeout=30_000)
        assert await tab.get_attribute(".side [data-bell]", "aria-label") == "Notifications, 1 unread"

        plain = await guests.open("/notifications", who=ada, scripts=False, width=390)
        row = plain.locator(".notice").first
        assert (await row.locator("b").inner_text()).startswith("Booked: Court 1")
        await row.get_by_role("button", name="Mark as read").click()
        assert await plain.locator(".notice[data-unread]").count() == 0
        await tab.wait_for_selector(".side [data-bell-count][data-unread='0']", state="attached", timeout=30_000)
        await plain.locator(".notice").first.get_by_role("button", name="Remove").click()
        assert await plain.get_by_text("Booked: Court 1").count() == 0


@pytest.mark.parametrize("scripts", [True, False])
async def test_choices_are_made_on_a_phone_with_and_without_scripts(guests: Guests, server: Server, scripts: bool) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        ada = await World(client).person("Ada")
        tab = await guests.open("/account/notifications", who=ada, scripts=scripts, width=390)
        await tab.get_by_label("bookings by E-mail").uncheck()
        await tab.get_by_label("From").fill("22:00")
        await tab.get_by_label("To", exact=True).fill("07:00")
        await tab.get_by_role("button", name="Save").click()
        await tab.wait_for_load_state()
        chosen = (await ada.get("/v1/me/notification-preferences")).json()
        assert "email" not in chosen["channels"]["bookings"]
        assert chosen["quiet_hours"] == {"start": "22:00", "end": "07:00"}
        assert await tab.get_by_label("security by E-mail").is_disabled()
