"""Two people in two browsers on two server processes, one of which dies in mid-conversation."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.browser import CHROMIUM, chromium
from tests.journeys.conftest import Server, environ_for
from tests.journeys.test_chat import group, say, until
from tests.journeys.world import PASSWORD, Person, World, at

from forecourt.kernel.web import formats

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="no Chromium at /usr/bin/chromium: the browser tests did not run"),
]
LONG_MS = 30_000


@pytest.fixture
def other(server: Server, house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Server]:
    """A second process on the same database, with a port of its own."""
    other = Server(environ_for(tmp_path, house_database_url, house_admin_url, valkey_url), tmp_path / "other.log")
    other.start("serve")
    yield other
    other.stop()


@pytest.fixture(scope="module")
async def beeping() -> AsyncIterator[Any]:
    """A browser with a microphone that beeps, given without asking; what plays needs no press."""
    microphone = ("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream")
    async with chromium(*microphone, "--autoplay-policy=no-user-gesture-required") as browser:
        yield browser


@pytest.fixture
async def browser(beeping: Any) -> AsyncIterator[Any]:
    yield beeping
    for context in beeping.contexts:
        await context.close()


class Tab:
    """One person's browser at one server, in one room."""

    def __init__(self, page: Any, server: Server) -> None:
        self.page, self.server, self.complaints = page, server, list[str]()
        page.on("pageerror", lambda e: self.complaints.append(str(e)))
        page.on("console", lambda m: self.complaints.append(m.text) if "Content Security Policy" in m.text else None)

    @classmethod
    async def open(cls, browser: Any, server: Server, who: Person, path: str, width: int = 1440) -> Tab:
        context = await browser.new_context(viewport={"width": width, "height": 900}, locale="en-GB", base_url=server.url)
        tab = cls(await context.new_page(), server)
        await tab.page.goto("/sign-in")
        await tab.page.fill('[name="email"]', who.email)
        await tab.page.fill('[name="password"]', PASSWORD)
        async with tab.page.expect_navigation():
            await tab.page.press('[name="password"]', "Enter")
        await tab.page.goto(path)
        await tab.page.wait_for_selector("html[data-chat=ready]", state="attached", timeout=LONG_MS)
        return tab

    async def write(self, words: str) -> None:
        await self.page.fill("#text", words)
        await self.page.press("#text", "Enter")

    async def loses_the_network(self) -> None:
        """And it is gone: the browser says so before it holds for what is asked next."""
        await self.page.context.set_offline(True)
        async with asyncio.timeout(LONG_MS / 1_000):
            while await self.page.evaluate("fetch('/livez', {cache: 'no-store'}).then(() => true, () => false)"):
                await asyncio.sleep(0.05)

    async def sees(self, words: str, *, state: str = "visible") -> None:
        await self.page.locator(".msg .said", has_text=words).last.wait_for(state=state, timeout=LONG_MS)

    async def arrived(self, words: str) -> None:
        """It has its number: the server has it."""
        await self.page.locator(".msg[data-seq]:not([data-state]) .said", has_text=words).wait_for(timeout=LONG_MS)

    async def said(self) -> list[str]:
        return [s.strip() for s in await self.page.locator("#log .msg .said").all_inner_texts()]


async def test_two_people_on_two_servers_talk_on_when_one_of_them_dies(server: Server, other: Server, browser: Any) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        ada, ben = await world.person("Ada"), await world.person("Ben")
        room = await group(ada, ben)
        await say(ada, room, "zero")
        a = await Tab.open(browser, server, ada, f"/chat/{room}")
        b = await Tab.open(browser, other, ben, f"/chat/{room}")

        await a.write("one")
        await b.sees("one")
        # Each sees the other typing, across processes, and who is here.
        await b.page.locator("#text").press_sequentially("tw")
        await a.page.locator("#typing", has_text="Ben is typing").wait_for(timeout=LONG_MS)
        await a.page.locator("#room-sub", has_text="2 here now").wait_for(timeout=LONG_MS)
        await b.write("two")
        await a.sees("two")
        await a.page.locator(".receipt", has_text="Read by 1").first.wait_for(timeout=LONG_MS)

        other.kill("serve")
        await b.page.locator("#offline:not([hidden])").wait_for(timeout=LONG_MS)
        await b.write("three, said into nothing")
        await b.page.locator('.msg[data-state="failed"]').wait_for(timeout=LONG_MS)
        for words in ("four", "five"):
            await a.write(words)
            await a.arrived(words)
        other.start("serve")
        await b.page.locator("#offline[hidden]").wait_for(state="attached", timeout=LONG_MS)
        await b.sees("five")
        await b.arrived("three, said into nothing")
        await a.sees("three, said into nothing")
        await b.write("six")
        await a.sees("six")

        expected = ["zero", "one", "two", "four", "five", "three, said into nothing", "six"]
        kept = (await ada.get(f"/v1/rooms/{room}/messages")).json()["items"]
        assert [m["text"] for m in kept] == expected
        assert await a.said() == expected
        assert await b.said() == expected
        assert a.complaints == b.complaints == []


async def test_what_is_written_without_a_network_is_sent_when_it_is_back(server: Server, browser: Any) -> None:
    """Also when the absence was so short that the socket outlived it."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        ada, ben = await world.person("Ada"), await world.person("Ben")
        room = await group(ada, ben)
        a = await Tab.open(browser, server, ada, f"/chat/{room}")
        await a.loses_the_network()
        for words in ("one", "two"):
            await a.write(words)
        await a.page.locator("#offline:not([hidden])").wait_for(timeout=LONG_MS)
        await a.page.locator('.msg[data-state="failed"]').nth(1).wait_for(timeout=LONG_MS)
        path = f"/v1/rooms/{room}/messages"
        assert (await ben.get(path)).json()["items"] == [], "the control"
        await a.page.context.set_offline(False)
        for words in ("one", "two"):
            await a.arrived(words)
        await a.page.locator("#offline[hidden]").wait_for(state="attached", timeout=LONG_MS)
        assert [m["text"] for m in (await ben.get(path)).json()["items"]] == ["one", "two"]


async def test_a_message_whose_announcement_was_lost_comes_by_itself(server: Server, other: Server, browser: Any) -> None:
    """A process that dies between its commit and the announcement: the row is there, nobody was told."""
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        ada, ben = await world.person("Ada"), await world.person("Ben")
        room = await group(ada, ben)
        a = await Tab.open(browser, server, ada, f"/chat/{room}")
        other.stop()
        # This process announces to a Valkey of nobody's, so what it writes is committed and never heard of.
        other.environ = other.environ | {"VALKEY_URL": "unix:///nowhere/valkey.sock"}
        other.start("serve")
        async with httpx.AsyncClient(base_url=other.url, timeout=30) as unheard:
            sent = await unheard.post(
                f"/v1/rooms/{room}/messages", json={"client_id": str(uuid4()), "text": "unheard"}, headers=ben.headers
            )
            assert sent.status_code == 201, sent.text
        await a.arrived("unheard")
        assert a.complaints == []


async def test_reading_is_noted_and_what_is_new_is_marked(server: Server, browser: Any) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        ada, ben = await world.person("Ada"), await world.person("Ben")
        room, aside = await group(ada, ben), await group(ada, ben, name="Elsewhere")
        for n in range(3):
            await say(ada, room, f"early {n}")
        b = await Tab.open(browser, server, ben, f"/chat/{room}", width=390)
        await b.page.locator("#new").wait_for(timeout=LONG_MS)

        async def unread(wanted: int) -> None:
            for _ in range(200):
                found = {r["id"]: r["unread"] for r in (await ben.get("/v1/rooms")).json()["items"]}
                if found[room] == wanted:
                    return
                await asyncio.sleep(0.05)
            raise AssertionError(found)

        await unread(0)
        # What comes elsewhere shows in the bar, live.
        await say(ada, aside, "over here")
        await b.page.locator('.tabbar a[href="/chat"] .count', has_text="1").wait_for(timeout=LONG_MS)
        # Reacting, answering, editing with ↑, deleting: each is seen at once.
        await b.page.locator(".msg", has_text="early 2").first.hover()
        await b.page.locator(".msg", has_text="early 2").locator("[data-act=react]").click()
        await b.page.locator(".picker button").first.click()
        await b.page.locator(".msg", has_text="early 2").locator('.react[aria-pressed="true"]').wait_for(timeout=LONG_MS)
        await b.write("mistke")
        await b.arrived("mistke")
        await b.page.press("#text", "ArrowUp")
        assert await b.page.input_value("#text") == "mistke"
        await b.write("mistake")
        await b.sees("mistake")
        await b.page.locator(".edited").wait_for(timeout=LONG_MS)
        kept = (await ada.get(f"/v1/rooms/{room}/messages")).json()["items"]
        assert [m["text"] for m in kept] == ["early 0", "early 1", "early 2", "mistake"]
        assert [r["emoji"] for r in kept[2]["reactions"]] == ["👍"]
        assert b.complaints == []


HEARD = """async audio => {
    if (audio.readyState < 1) await new Promise((done, fail) => {
        audio.onloadedmetadata = done;
        audio.onerror = () => fail(new Error(audio.error.message));
        audio.load();
    });
    const bytes = await (await fetch(audio.currentSrc)).arrayBuffer();
    const sound = await new OfflineAudioContext(1, 1, 48000).decodeAudioData(bytes);
    const loudest = sound.getChannelData(0).reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    return [sound.duration, loudest];
}"""
"""What the page's player is given, decoded: seconds, and how loud it gets of 1. It is not played in real time: whether a machine
without a loudspeaker moves the clock of a player is the machine's matter."""


async def test_a_voice_note_is_recorded_sent_and_heard_by_the_other(server: Server, browser: Any) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        ada, ben = await world.person("Ada"), await world.person("Ben")
        room = await group(ada, ben)
        a, b = await asyncio.gather(*(Tab.open(browser, server, who, f"/chat/{room}") for who in (ada, ben)))
        mic = a.page.locator('[data-act="record"]')
        assert await a.page.locator("audio").count() == 0, "or the test proves nothing"
        await mic.click()
        await a.page.locator('[data-act="record"][aria-pressed="true"]').wait_for(timeout=LONG_MS)
        await a.page.wait_for_timeout(1500)  # what is said takes its time
        await mic.click()
        await a.page.locator('[data-act="record"][aria-pressed="false"]').wait_for(timeout=LONG_MS)
        heard: list[tuple[float, float]] = []
        for tab in (a, b):
            note = tab.page.locator(".msg[data-seq]:not([data-state]) audio")
            await note.wait_for(timeout=LONG_MS)
            heard.append(tuple(await note.evaluate(HEARD)))
        assert heard[0] == heard[1], "both hear the same"
        assert 1.0 < heard[0][0] < LONG_MS / 1000 and heard[0][1] > 0.01, heard
        (kept,) = (await ben.get(f"/v1/rooms/{room}/messages")).json()["items"]
        assert [f["kind"] for f in kept["attachments"]] == ["audio"]
        assert kept["attachments"][0]["bytes"] > 1000
        # A microphone that is refused is said, and nothing is sent.
        await b.page.evaluate("() => { navigator.mediaDevices.getUserMedia = () => Promise.reject(new Error('No microphone')); }")
        await b.page.click('[data-act="record"]')
        await b.page.locator("#say-fault", has_text="No microphone").wait_for(timeout=LONG_MS)
        assert await b.page.locator("audio").count() == 1
        assert [*a.complaints, *b.complaints] == []


async def test_a_moved_booking_s_room_is_called_anew_before_each_reader_s_eyes_in_their_language(
    server: Server, browser: Any
) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        world = World(client)
        club, ada, ben = await world.club(courts=1), await world.person("Ada"), await world.person("Ben")
        await world.credits(club, ada)
        first, then = at(5, 18), at(6, 18)
        wish = {"resource_id": club.courts[0], "start": first, "duration_min": 60, "team_size": 4, "pay_with": "credits"}
        booking = (await ada.post("/v1/bookings", wish | {"invitees": [{"account_id": ben.id}]})).json()["id"]

        async def room_of_it() -> list[dict[str, Any]]:
            return [r for r in (await ben.get("/v1/rooms")).json()["items"] if r["subject_id"] == booking]

        room = (await until(room_of_it))[0]
        zone = room["subject"]["timezone"]
        a, b = await asyncio.gather(*(Tab.open(browser, server, who, f"/chat/{room['id']}") for who in (ada, ben)))
        await b.page.context.add_cookies([{"name": "fc_locale", "value": "ur", "url": server.url}])
        await b.page.reload()
        await b.page.wait_for_selector("html[data-chat=ready]", state="attached", timeout=LONG_MS)
        for start in (first, then):
            if start != first:
                moved = await ada.post(f"/v1/bookings/{booking}/reschedule", {"start": start})
                assert moved.status_code == 200, moved.text
            for tab, language in ((a, "en"), (b, "ur")):
                title = formats.occasion(language, "Court 1", datetime.fromisoformat(start), zone)
                for place in ("#room-title", f"#room-{room['id']} b"):
                    await tab.page.locator(place, has_text=title).wait_for(timeout=LONG_MS)
                await tab.page.locator(f'#text[placeholder*="{title}"]').wait_for(timeout=LONG_MS)
                assert re.match(rf"(\(\d+\) )?{re.escape(title)} · [^·]+$", await tab.page.title())
        assert [*a.complaints, *b.complaints] == []
