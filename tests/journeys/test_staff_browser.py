"""The day sheet in a real Chromium against a real server: keys, dragging, what others do meanwhile, a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.browser import CHROMIUM
from tests.journeys.conftest import Server
from tests.journeys.world import PASSWORD, Club, World

DAY = (datetime.now(UTC) + timedelta(days=1)).date()

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: the browser tests did not run"),
]


class Desk:
    """The owner's browser at the day sheet. Every complaint of a page is kept."""

    def __init__(self, browser: Any, url: str, club: Club) -> None:
        self.browser = browser
        self.url = url
        self.club = club
        self.complaints: list[str] = []

    async def open(self, *, width: int = 1440, touch: bool = False, language: str = "en") -> Any:
        context = await self.browser.new_context(
            viewport={"width": width, "height": 900}, has_touch=touch, locale="en-GB", base_url=self.url
        )
        await context.add_cookies([{"name": "fc_locale", "value": language, "url": self.url}])
        tab = await context.new_page()
        tab.on("pageerror", lambda e: self.complaints.append(str(e)))
        tab.on("console", lambda m: self.complaints.append(m.text) if "Content Security Policy" in m.text else None)
        await tab.goto(f"/sign-in?next=/orgs/{self.club.id}/day%3Fdate={DAY}")
        await tab.fill('[name="email"]', self.club.owner.email)
        await tab.fill('[name="password"]', PASSWORD)
        async with tab.expect_navigation():
            await tab.press('[name="password"]', "Enter")
        await tab.wait_for_selector(".day[data-lively], .day:not([data-move-url])")
        return tab

    async def book(self, who: str, hour: int, court: int = 0) -> str:
        answer = await self.club.owner.post(
            f"/v1/orgs/{self.club.id}/bookings",
            {
                "resource_id": self.club.courts[court],
                "start": f"{DAY}T{hour:02d}:00:00Z",
                "duration_min": 60,
                "name": who,
                "pay_with": "desk",
            },
        )
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]


def block(tab: Any, who: str) -> Any:
    return tab.locator(f'.bk:has-text("{who}")')


@pytest.fixture
async def desk(browser: Any, server: Server) -> AsyncIterator[Desk]:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        desk = Desk(browser, server.url, await World(client).club(zone="UTC"))
        yield desk
    for context in browser.contexts:
        await context.close()
    assert desk.complaints == []


async def test_a_booking_is_carried_with_the_keys_and_taken_back_with_z(desk: Desk) -> None:
    booking = await desk.book("Zainab", 10)
    tab = await desk.open()
    assert await tab.evaluate("document.querySelector('.pane__scroll').scrollLeft") == 0, "the first column is wholly there"
    named = await block(tab, "Zainab").get_attribute("aria-label")
    assert named == "Court 1, 10:00–11:00, Zainab, upcoming, 1 person, £20.00 due"
    await block(tab, "Zainab").focus()
    await tab.keyboard.press("m")
    await tab.keyboard.press("ArrowRight")
    await tab.keyboard.press("Shift+ArrowDown")
    assert await tab.inner_text(".bk--lift .bk__when") == "Court 2, 11:00"
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector('.toast:has-text("Court 2, 11:00–12:00")')
    saved = (await desk.club.owner.get(f"/v1/orgs/{desk.club.id}/bookings")).json()["items"][0]
    assert (saved["resource_id"], saved["start"][11:16]) == (desk.club.courts[1], "11:00")
    assert await tab.evaluate("document.activeElement.closest('.bk')?.value") == booking, "the focus stays with it"
    await tab.keyboard.press("z")
    await tab.wait_for_selector('.toast:has-text("As it was")')
    saved = (await desk.club.owner.get(f"/v1/orgs/{desk.club.id}/bookings")).json()["items"][0]
    assert (saved["resource_id"], saved["start"][11:16]) == (desk.club.courts[0], "10:00")


async def test_a_lift_that_is_left_with_escape_changes_nothing(desk: Desk) -> None:
    await desk.book("Zainab", 10)
    tab = await desk.open()
    await block(tab, "Zainab").focus()
    await tab.keyboard.press("m")
    await tab.keyboard.press("ArrowDown")
    await tab.keyboard.press("Escape")
    assert await tab.locator(".bk--lift, .day__drop").count() == 0
    assert (await desk.club.owner.get(f"/v1/orgs/{desk.club.id}/bookings")).json()["items"][0]["start"][11:16] == "10:00"


async def test_dragging_onto_a_taken_hour_shows_who_is_there_and_does_not_land(desk: Desk) -> None:
    await desk.book("Zainab", 10)
    await desk.book("Bilal", 12)
    tab = await desk.open()
    source, target = await block(tab, "Zainab").bounding_box(), await block(tab, "Bilal").bounding_box()
    await tab.mouse.move(source["x"] + 60, source["y"] + 20)
    await tab.mouse.down()
    await tab.mouse.move(target["x"] + 60, target["y"] + 20, steps=6)
    assert await tab.inner_text(".day__drop[data-bad]") == "Bilal"
    await tab.mouse.up()
    assert await block(tab, "Zainab").get_attribute("data-at") == "16"
    free = await tab.locator('.day__add[aria-label^="Court 2, 14:00"]').bounding_box()
    source = await block(tab, "Zainab").bounding_box()
    await tab.mouse.move(source["x"] + 60, source["y"] + 20)
    await tab.mouse.down()
    await tab.mouse.move(free["x"] + 60, free["y"] + 20, steps=6)
    await tab.mouse.up()
    await tab.wait_for_selector('.toast:has-text("Court 2, 14:00–15:00")')


async def test_n_books_by_keyboard_alone(desk: Desk) -> None:
    tab = await desk.open()
    await tab.keyboard.press("n")
    await tab.wait_for_selector("#panel form")
    await tab.wait_for_selector("[name='who']:focus", state="attached")
    await tab.keyboard.type("Zainab")
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector('.toast:has-text("Booked: Zainab")')
    assert await block(tab, "Zainab").get_attribute("aria-selected") == "true"
    await tab.keyboard.press("Escape")
    await tab.wait_for_selector('#panel:has-text("Nothing chosen")')


async def test_what_others_book_appears_on_a_sheet_that_is_open_and_other_days_do_not(desk: Desk) -> None:
    tab = await desk.open()
    assert await block(tab, "Zainab").count() == 0
    await tab.wait_for_timeout(500)  # the stream is open; nothing on the page says so
    await desk.book("Zainab", 15)
    await block(tab, "Zainab").wait_for(timeout=10_000)
    assert "£20" in await tab.inner_text("#day-figures")


async def test_on_a_phone_a_booking_opens_as_a_sheet_and_nothing_is_wider_than_the_screen(desk: Desk) -> None:
    await desk.book("Zainab", 10)
    tab = await desk.open(width=390, touch=True)
    assert not await tab.locator("#panel").is_visible()
    await block(tab, "Zainab").tap()
    await tab.wait_for_selector('#panel:has-text("Zainab")')
    assert "&booking=" in tab.url, "it can be reloaded and sent on"
    assert await tab.locator("#panel").is_visible()
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await tab.locator("#panel [aria-label=Close]").tap()
    await tab.locator("#panel").wait_for(state="hidden")


async def test_in_urdu_the_sheet_runs_from_right_to_left_and_a_lifted_booking_is_named_in_urdu(desk: Desk) -> None:
    await desk.book("Zainab", 10)
    tab = await desk.open(width=390, language="ur")
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth")
    await block(tab, "Zainab").focus()
    await tab.keyboard.press("m")
    assert await tab.inner_text(".bk--lift .bk__when") == "Court 1، 10:00"
    await tab.keyboard.press("ArrowLeft")
    assert await tab.inner_text(".bk--lift .bk__when") == "Court 2، 10:00", "the next column stands to the left"
    await tab.keyboard.press("Enter")
    await tab.wait_for_selector('.toast:has-text("Court 2، \u206610:00–11:00\u2069")')


@pytest.mark.parametrize(("width", "language"), [(320, "pt"), (320, "ur"), (1440, "en")])
async def test_pages_of_the_console_fit_and_obey_the_content_policy(desk: Desk, width: int, language: str) -> None:
    tab = await desk.open(width=width, language=language)
    assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), "the day sheet"
    names = await tab.eval_on_selector_all(
        ".day__head b", "all => all.map((b) => [b.textContent, b.scrollWidth <= b.clientWidth])"
    )
    assert names == [["Court 1", True], ["Court 2", True]], "no court's name is cut"
    org = f"/orgs/{desk.club.id}"
    place = f"{org}/places/{desk.club.venue}"
    paths = ["bookings", "places", "people", "keys", "settings", "audit", "more", "deliveries", "templates", "providers"]
    for path in [
        *(f"{org}/{p}" for p in (*paths, "day?new=1", "day?block=1")),
        place,
        *(f"{place}/{p}" for p in ("hours", "resources?new=1", "prices?rule=new")),
        "/account",
    ]:
        answer = await tab.goto(path)
        assert answer.status == 200, path
        assert await tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), path
        assert await tab.locator("h1").count() == 1, path


async def test_the_record_is_saved_whole_with_its_progress_and_a_broken_one_is_not_saved(desk: Desk) -> None:
    await desk.book("Zainab", 10)
    tab = await desk.open()
    page = f"/orgs/{desk.club.id}/audit"
    csv = tab.locator("[data-export]").first
    answer = await tab.goto(page)
    for _ in range(100):  # the record follows events
        if await csv.count():
            break
        answer = await tab.goto(page)
    assert answer.status == 200
    async with tab.expect_download() as saved:
        await csv.click()
    file = await saved.value
    lines = Path(await file.path()).read_text().splitlines()
    assert file.suggested_filename.endswith(".csv")
    assert lines[0].startswith("seq,at,action")
    await tab.wait_for_selector(f"#say:text-is('Saved: {len(lines) - 1} entries')", state="attached")

    # One that takes long shows how far it is, and can be stopped.
    await tab.evaluate(
        """() => { window.fetch = async (_, { signal }) => new Response(new ReadableStream({
            start(to) { to.enqueue(new TextEncoder().encode("seq\\n1\\n2\\n"));
                signal.addEventListener("abort", () => to.error(signal.reason)); } }),
            { headers: { "Content-Type": "text/csv", "X-Total-Count": "9" } }); }"""
    )
    await csv.click()
    await tab.wait_for_selector("[data-export-stop]:visible")
    assert await tab.locator("[data-export-state] progress").evaluate("bar => [bar.value, bar.max]") == [2, 9]
    await tab.click("[data-export-stop]")
    await tab.locator("[data-export-stop]").wait_for(state="hidden")
    assert await tab.inner_text("[data-export-fault]") == "", "who stops it knows"

    # One that breaks off is not saved.
    await tab.evaluate("""() => { window.fetch = async () => new Response(new ReadableStream({
        pull(to) { to.error(new Error("cut")); } }), { headers: { "Content-Type": "text/csv", "X-Total-Count": "9" } }); }""")
    files: list[object] = []
    tab.on("download", lambda file: files.append(file))  # noqa: PLW0108 - a bound method of a list takes no attributes
    await csv.click()
    await tab.wait_for_selector("[data-export-fault]:has-text('nothing was saved')", state="attached")
    assert files == []
