"""Links of mails that were cut, are old or were used: whoever clicks one sees a page with a way on, in their language."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from uuid import UUID

import httpx
import pytest
from tests.journeys.reader import Reader, said_at, text, toast
from tests.journeys.world import PASSWORD, World

from forecourt.app import House
from forecourt.modules.notifications.contract import Topic
from forecourt.modules.notifications.sealing import Leave, Links

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
CUT = {
    "en": ("This link is not complete", "Choose what reaches you"),
    "pt": ("Esta ligação não está completa", "Escolher o que recebo"),
    "ur": ("یہ لنک پورا نہیں ہے", "چنیں کہ آپ تک کیا پہنچے"),
}


@pytest.fixture
async def reader(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as reader:
        yield reader


async def link(world: World, email: str, path: str) -> str:
    """The path of the newest mail's link that begins so, as soon as it is there."""
    for count in range(1, 5):
        for mail in await world.mail(email, count):
            found = re.search(rf"https?://[^\s/]+({re.escape(path)}\S+)", mail["text"])
            if found:
                return found[1]
    raise AssertionError(f"no link {path!r} to {email}")


@pytest.mark.parametrize("language", CUT)
@pytest.mark.parametrize("path", ["/v1/unsubscribe/AAAA", "/v1/unsubscribe/AAAA/undo", "/v1/unsubscribe", "/v1/unsubscribe/"])
async def test_a_cut_unsubscribe_link_is_a_page_that_says_what_to_do(world: World, language: str, path: str) -> None:
    method = "POST" if path.endswith("undo") else "GET"
    page = await world.client.request(method, path, headers={"Accept": BROWSER, "Accept-Language": language})
    said, way = CUT[language]
    assert page.status_code == 410
    assert page.headers["content-type"].startswith("text/html")
    assert f'lang="{language}" dir="{"rtl" if language == "ur" else "ltr"}"' in page.text
    assert said in text(page) and way in text(page)
    assert 'href="/account/notifications"' in page.text
    assert "unsubscribe_link_invalid" not in text(page), "codes are for programs"


@pytest.mark.parametrize("accept", ["application/json", "*/*", "application/json, text/html;q=0.1", "text/html;q=0, */*"])
async def test_a_program_gets_the_problem_of_a_cut_unsubscribe_link(world: World, accept: str) -> None:
    for method in ("GET", "POST"):
        answer = await world.client.request(method, "/v1/unsubscribe/AAAA", headers={"Accept": accept})
        assert answer.status_code == 410
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unsubscribe_link_invalid"


async def test_a_whole_unsubscribe_link_is_the_page_that_asks(world: World, house: House) -> None:
    ada = await world.person("Ada")
    links = Links(house.settings.secrets.secret_key.reveal().encode())
    whole = f"/v1/unsubscribe/{links.token(Leave(UUID(ada.id), Topic.BOOKINGS))}"
    page = await world.client.get(whole, headers={"Accept": BROWSER})
    assert page.status_code == 200 and "No more mails about" in text(page)
    for cut in (1, 5, 20):
        assert (await world.client.get(whole[:-cut], headers={"Accept": BROWSER})).status_code == 410


@pytest.mark.parametrize("path", ["/v1/me/calendar.ics", "/v1/resources/calendar.ics"])
async def test_a_calendar_address_that_is_closed_or_cut_is_a_page_to_people_and_a_problem_to_programs(
    world: World, path: str
) -> None:
    for query, status in (("?token=closed", 404), ("", 422)):
        page = await world.client.get(path + query, headers={"Accept": BROWSER, "Accept-Language": "pt"})
        assert (page.status_code, page.headers["content-type"]) == (status, "text/html; charset=utf-8")
        assert 'href="/"' in page.text and 'lang="pt"' in page.text
        program = await world.client.get(path + query, headers={"Accept": "text/calendar, */*;q=0.5"})
        assert (program.status_code, program.headers["content-type"]) == (status, "application/problem+json")
    ada = await world.person("Ada")
    feed = (await ada.post("/v1/me/calendar-feed")).json()["path"] if path.startswith("/v1/me") else ""
    if feed:
        assert (await world.client.get(feed, headers={"Accept": BROWSER})).text.startswith("BEGIN:VCALENDAR")


async def test_an_operation_of_json_stays_json_to_a_browser_too(world: World) -> None:
    answer = await world.client.get("/v1/venues/00000000-0000-0000-0000-000000000001", headers={"Accept": BROWSER})
    assert answer.status_code == 404 and answer.headers["content-type"] == "application/problem+json"


async def test_an_old_link_to_a_new_password_says_so_before_one_is_typed(reader: Reader, world: World) -> None:
    ada = await world.person("Ada")
    old = await reader.look("/reset?token=used-long-ago")
    assert old.status_code == 422
    assert "used already or is too old" in text(old) and 'href="/forgot"' in old.text
    assert 'name="password"' not in old.text, "nobody thinks of a password for nothing"
    cut = await reader.look("/reset")
    assert cut.status_code == 200 and 'href="/forgot"' in cut.text
    await reader.send("/forgot", email=ada.email)
    live = await link(world, ada.email, "/reset?token=")
    for _ in range(2):
        page = await reader.look(live)
        assert page.status_code == 200 and 'name="password"' in page.text, "looking does not use it"
    assert (await reader.send("/reset", token=live.partition("token=")[2], password=PASSWORD + "!")).status_code == 303
    assert (await reader.look(live)).status_code == 422


async def test_an_old_link_of_the_first_mail_says_so_at_once_and_another_comes_to_the_address_that_is_typed(
    reader: Reader, world: World
) -> None:
    ada = await world.person("Ada", verify=False)
    first = await link(world, ada.email, "/verify?token=")
    page = await reader.look(first)
    assert page.status_code == 200 and "One press" in text(page)
    old = await reader.look(first[:-4])
    assert old.status_code == 422
    assert "used already or is too old" in text(old) and "One press" not in text(old)
    nothing = await reader.send("/verify/resend", email=" ")
    assert nothing.status_code == 422 and "Enter your e-mail address" in said_at(nothing, "email")
    before = len(await world.mail(ada.email))
    sent = await reader.follow(await reader.send("/verify/resend", email=ada.email))
    assert toast(sent) == "Another code is on its way"
    await world.mail(ada.email, before + 1)


async def test_an_old_invitation_to_the_staff_says_so_before_anybody_signs_in(reader: Reader, world: World) -> None:
    club, bob = await world.club(), await world.person("Bob")
    wish = {"email": bob.email, "role": "viewer"}
    assert (await club.owner.post(f"/v1/orgs/{club.id}/staff/invitations", wish)).status_code in (200, 201)
    live = await link(world, bob.email, "/staff-invitations/")
    assert "Sign in, or make an account" in text(await reader.look(live))
    for bad in (live[:-3], "/staff-invitations/" + "x" * 30):
        page = await reader.look(bad)
        assert page.status_code == 422
        assert "ask who invited you" in text(page).lower() and 'action="/staff-invitations' not in page.text
    await reader.sign_in(bob)
    assert (await reader.send(live)).status_code == 303
    assert (await reader.look(live)).status_code == 422


async def test_a_cut_link_says_nothing_of_json(reader: Reader) -> None:
    for path in ("/verify?token=", "/reset?token=", "/staff-invitations/", "/bookings/12345", "/bookings/", "/chat/1"):
        page = await reader.look(path)
        assert page.headers.get("content-type", "text/html").startswith("text/html"), path
        with pytest.raises(json.JSONDecodeError):
            json.loads(page.text)
