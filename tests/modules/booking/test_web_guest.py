# ruff: noqa: F811 - fixtures are imported by name
"""A guest's pages without scripts, through the front door: look, hold, pay, change, cancel, and what goes wrong on the way."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode
from uuid import UUID

import httpx
import msgspec
import pytest
from tests.house import world  # noqa: F401 - a fixture
from tests.journeys.reader import Reader, hidden, text, toast
from tests.journeys.world import Club, Person, World

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.kernel.errors import Unavailable
from forecourt.kernel.money import Money
from forecourt.kernel.web import formats
from forecourt.kernel.web.catalogue import FALLBACK, LANGUAGES, Catalogue
from forecourt.layout import ROOT
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import LineKind
from forecourt.modules.booking.guest_views import Speaker, quote_view
from forecourt.modules.booking.onward import Onward
from forecourt.modules.booking.service.pricing import Bill
from forecourt.modules.venues.rules import MAX_PRICE

TOMORROW = (datetime.now(UTC) + timedelta(days=2)).date()


def at(hour: int, minute: int = 0) -> str:
    return datetime(TOMORROW.year, TOMORROW.month, TOMORROW.day, hour, minute, tzinfo=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


@pytest.fixture
async def rival(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as rival:
        yield rival


@pytest.fixture
async def club(world: World) -> Club:
    return await world.club(courts=2, zone="UTC")


@pytest.fixture
async def ada(reader: Reader, world: World, club: Club) -> Person:
    """Signed in at `reader`, with 50.00 to spend at the club."""
    ada = await world.person("Ada")
    await world.credits(club, ada, 5000)
    await reader.sign_in(ada)
    return ada


def wish(club: Club, court: int = 0, hour: int = 18, minute: int = 0, duration_min: int = 60, **more: Any) -> dict[str, Any]:
    return {"resource_id": club.courts[court], "start": at(hour, minute), "duration_min": duration_min, **more}


async def held(reader: Reader, club: Club, **more: Any) -> str:
    """The path of a place just held."""
    answer = await reader.send("/book", **wish(club, **more))
    assert answer.status_code == 303, text(answer)
    assert answer.headers["location"].startswith("/bookings/")
    return str(answer.headers["location"])


async def paid(reader: Reader, club: Club, pay_with: str = "credits", **more: Any) -> str:
    path = await held(reader, club, **more)
    answer = await reader.send(f"{path}/pay", pay_with=pay_with)
    assert answer.status_code == 303, text(answer)
    return path


# ------------------------------------------------------------------------------------------------------------- looking


async def test_anybody_may_look_and_sees_the_price_of_the_chosen_time(reader: Reader, club: Club) -> None:
    page = await reader.look(f"/venues/{club.venue}?resource_id={club.courts[1]}&start={at(18)}&duration_min=90")
    assert page.status_code == 200
    assert "Court 2" in text(page)
    assert "18:00–19:30" in text(page)
    assert "£30.00" in text(page)
    assert re.search(r'href="/book\?[^"]*start=', page.text), "holding leads through signing in"
    assert 'action="/book"' not in page.text


@pytest.mark.parametrize(
    "query",
    ["date=2026-13-01", "duration_min=0", "part=midnight", "start=2026-11-19T18:00", "resource_id=x"],
)
async def test_a_broken_address_is_said_to_be_broken(reader: Reader, club: Club, query: str) -> None:
    assert (await reader.look(f"/venues/{club.venue}?{query}")).status_code == 422


async def test_a_length_that_is_not_offered_is_said_in_the_visitors_language(reader: Reader, ada: Person, club: Club) -> None:
    reader.http.cookies.set("fc_locale", "pt")
    answer = await reader.send("/book", **(wish(club) | {"duration_min": 17}))
    assert answer.status_code == 422
    assert "Duração: Court 1 reserva-se por 60" in text(answer)
    reader.http.cookies.set("fc_locale", "ur")
    assert "دورانیہ: Court 1 کی بکنگ 60" in text(await reader.send("/book", **(wish(club) | {"duration_min": 17})))


async def test_what_others_add_to_the_address_is_passed_over(reader: Reader, club: Club) -> None:
    assert (await reader.look(f"/venues/{club.venue}?utm_source=letter&fbclid=1&date=2026-11-30")).status_code == 200


async def test_an_unknown_place_is_nothing_here(reader: Reader) -> None:
    for path in ("", "/live"):
        assert (await reader.look(f"/venues/01890000-0000-7000-8000-000000000000{path}")).status_code == 404


async def test_htmx_gets_the_picker_and_the_summary_alone_and_the_choice_is_said(reader: Reader, club: Club) -> None:
    url = f"/venues/{club.venue}?resource_id={club.courts[1]}&start={at(18)}&duration_min=60"
    part = await reader.http.get(url, headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div id="picking"')
    assert "<html" not in part.text
    assert 'id="summary"' in part.text
    assert 'hx-swap-oob="true"' in part.text
    said = json.loads(part.headers["hx-trigger"])["say"]["text"]
    assert said == "Court 2, 18:00–19:00, £20.00"
    whole = await reader.look(url)
    assert "hx-swap-oob" not in whole.text
    assert "<html" in whole.text


async def test_a_time_that_is_too_long_for_this_place_is_not_offered(reader: Reader, club: Club) -> None:
    page = await reader.look(f"/venues/{club.venue}?date={TOMORROW}&duration_min=600")
    assert page.status_code == 200
    assert 'aria-current="true"><bdi>90' in page.text, "an unknown length becomes the usual one"


async def test_a_booking_is_shade_and_its_owner_stays_unknown(
    reader: Reader, rival: Reader, world: World, club: Club, ada: Person
) -> None:
    await paid(reader, club)
    seen = await rival.look(f"/venues/{club.venue}?date={TOMORROW}&part=evening&duration_min=60")
    assert "18:00 to 19:00" in seen.text
    assert re.search(r'slot--taken" title="booked, 18:00 to 19:00"', seen.text)
    assert "Ada" not in seen.text
    assert ada.id not in seen.text


# ------------------------------------------------------------------------------------------------------------- holding


async def test_a_stranger_is_sent_to_sign_in_with_the_choice_in_the_address(reader: Reader, club: Club, world: World) -> None:
    asked = f"/book?resource_id={club.courts[0]}&start={at(18)}&duration_min=60"
    away = await reader.look(asked)
    assert away.status_code == 303
    assert away.headers["location"].startswith("/sign-in?next=")
    back = await reader.sign_in(await world.person(), next=asked)
    assert back.headers["location"] == asked
    assert "Hold Court 1?" in text(await reader.look(back.headers["location"]))


ABOUT = "You are about to book"


async def test_who_signs_in_to_book_reads_what_is_about_to_be_booked(reader: Reader, club: Club, world: World) -> None:
    asked = f"/book?resource_id={club.courts[1]}&start={at(18)}&duration_min=90&team_size=3"
    to = {"next": asked}
    for page in (
        await reader.look(f"/sign-in?{urlencode(to)}"),
        await reader.sign_in("nobody@example.org", next=asked),
        await reader.look(f"/sign-up?{urlencode(to)}"),
        await reader.send("/sign-up", name="", email="", password="", next=asked),
        await reader.look(f"/verify?{urlencode(to)}"),
    ):
        said = text(page)
        assert ABOUT in said and "Riverside Courts" in said and "Court 2" in said and "18:00–19:30" in said, page.url
        assert formats.date("en", TOMORROW, style="long") in said and "3 people" in said and "£30.00" in said
    reader.http.headers["Accept-Language"] = "ur"
    urdu = await reader.look(f"/sign-in?{urlencode(to)}")
    assert 'id="aboutto"' in urdu.text and ABOUT not in text(urdu) and "3 لوگ" in text(urdu)
    assert 'id="aboutto"' not in (await reader.look("/sign-in")).text


async def test_what_cannot_be_booked_is_not_announced_and_one_signs_in_all_the_same(reader: Reader, club: Club) -> None:
    changes: list[dict[str, Any]] = [
        {"resource_id": "0190a6c2-0000-7000-8000-000000000000"},
        {"resource_id": "<b>Court 1</b>"},
        {"resource_id": None},
        {"start": "2020-01-01T18:00:00Z"},
        {"start": "2999-01-01T18:00:00Z"},
        {"start": "at six"},
        {"start": at(3)},
        {"start": at(18, 7)},
        {"duration_min": 7},
        {"team_size": 40},
        {"purpose": "burglary"},
        {"note": "x" * 1200},
    ]
    for change in changes:
        asked = {name: value for name, value in (wish(club) | change).items() if value is not None}
        page = await reader.look(f"/sign-in?{urlencode({'next': f'/book?{urlencode(asked)}'})}")
        assert page.status_code == 200 and 'name="password"' in page.text and ABOUT not in text(page), change
    assert ABOUT in text(await reader.look(f"/sign-in?{urlencode({'next': f'/book?{urlencode(wish(club))}'})}"))


async def test_only_the_houses_own_way_to_a_booking_is_announced_in_the_houses_own_words(
    reader: Reader, rival: Reader, world: World, club: Club
) -> None:
    asked = urlencode(wish(club))

    async def said(onward: str) -> str:
        return text(await reader.look(f"/sign-in?{urlencode({'next': onward})}"))

    assert ABOUT in await said(f"/book?{asked}"), "or the test proves nothing"
    for onward in (
        f"//evil.example/book?{asked}",
        f"https://evil.example/book?{asked}",
        f"/\\evil.example/book?{asked}",
        f"/bookings?{asked}",
        f"/venues/{club.venue}?{asked}",
        f"/book/../bookings?{asked}",
        f"book?{asked}",
    ):
        assert ABOUT not in await said(onward), onward
    typed = await said(f"/book?{asked}&note=Wire+the+money&place=Court+9&price=0&utm_source=Pay+here")
    assert ABOUT in typed and "£20.00" in typed
    assert not any(words in typed for words in ("Wire", "Court 9", "Pay here"))
    await rival.sign_in(await world.person("Ben"))
    await held(rival, club)
    assert ABOUT not in await said(f"/book?{asked}"), "somebody else holds it"


async def test_one_signs_in_also_while_nobody_knows_what_is_about_to_be_booked(
    reader: Reader, club: Club, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def silent(*_: object, **__: object) -> None:
        raise Unavailable("nobody answers")

    asked = urlencode({"next": f"/book?{urlencode(wish(club))}"})
    assert ABOUT in text(await reader.look(f"/sign-in?{asked}")), "or the test proves nothing"
    monkeypatch.setattr(Onward, "proposed", silent)
    page = await reader.look(f"/sign-in?{asked}")
    assert page.status_code == 200 and 'name="password"' in page.text and ABOUT not in text(page)


@pytest.mark.parametrize(("size", "said", "other"), [(1, "1 person", "4 people"), (4, "4 people", "1 person")])
async def test_the_last_look_and_the_held_place_say_for_how_many_it_is(
    reader: Reader, ada: Person, club: Club, size: int, said: str, other: str
) -> None:
    asked = f"/book?resource_id={club.courts[0]}&start={at(18)}&duration_min=60&team_size={size}"
    before = text(await reader.look(asked))
    for page in (before, text(await reader.look(await held(reader, club, team_size=size)))):
        assert "18:00–19:00" in page and said in page and other not in page


async def test_looking_at_the_last_page_holds_nothing(
    reader: Reader, rival: Reader, ada: Person, world: World, club: Club
) -> None:
    await reader.look(f"/book?resource_id={club.courts[0]}&start={at(18)}&duration_min=60")
    await rival.sign_in(await world.person("Ben"))
    assert await held(rival, club)


async def test_a_step_back_after_booking_says_that_the_time_is_ones_own(
    reader: Reader, rival: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await paid(reader, club)
    back = f"/venues/{club.venue}?resource_id={club.courts[0]}&start={at(18)}&duration_min=60"
    mine = await reader.look(back)
    assert "at 18:00 is yours." in text(mine)
    assert f'href="{path}"' in mine.text
    assert "was just taken" not in text(mine)
    await rival.sign_in(await world.person("Ben"))
    theirs = await rival.look(back)
    assert "Court 1 at 18:00 was just taken." in text(theirs)
    assert "is yours" not in text(theirs)
    assert path not in theirs.text


async def test_what_comes_back_is_coloured_by_how_much_it_is(reader: Reader, club: Club) -> None:
    tiers = re.findall(r'<p data-back="(\w+)"><b>([^<]+)</b>', (await reader.look(f"/venues/{club.venue}")).text)
    assert tiers
    assert {"all": "100 % back", "none": "Nothing"}.items() <= dict(tiers).items()
    assert all(kind == "part" for kind, words in tiers if words not in ("100 % back", "Nothing"))


async def test_one_of_many_who_press_at_once_wins_and_the_others_see_what_is_free(house: House, world: World, club: Club) -> None:
    people = [await world.person(f"P{i}") for i in range(6)]
    readers = [Reader.at(house) for _ in people]
    for reader, person in zip(readers, people, strict=True):
        await reader.sign_in(person)
    answers = await asyncio.gather(*(r.send("/book", **wish(club)) for r in readers))
    assert sorted(a.status_code for a in answers) == [303, 409, 409, 409, 409, 409]
    loser = next(r for r, a in zip(readers, answers, strict=True) if a.status_code == 409)
    told = next(a for a in answers if a.status_code == 409)
    assert "Court 1 at 18:00 was just taken." in text(told)
    forms = re.findall(r'(?s)<form method="post" action="/book">(.*?)</form>', told.text)
    assert forms
    offered = dict(re.findall(r'name="(resource_id|start|duration_min)" value="([^"]+)"', forms[0]))
    assert offered["resource_id"] == club.courts[1], "the same time on the other court comes first"
    assert (await loser.send("/book", **offered)).headers["location"].startswith("/bookings/")
    for reader in readers:
        await reader.http.aclose()


async def test_the_same_form_sent_twice_leads_to_the_booking_it_made(reader: Reader, ada: Person, club: Club) -> None:
    first = await held(reader, club)
    assert (await reader.send("/book", **wish(club))).headers["location"] == first


@pytest.mark.parametrize(
    ("change", "status", "words"),
    [
        ({"duration_min": 65}, 422, "is booked for"),
        ({"start": at(3)}, 409, "is not open"),
        ({"start": "2020-01-01T18:00:00Z"}, 422, "is in the past"),
        ({"team_size": 40}, 422, "takes 1 to 4 people"),
    ],
)
async def test_what_cannot_be_held_says_why(
    reader: Reader, ada: Person, club: Club, change: dict[str, Any], status: int, words: str
) -> None:
    answer = await reader.send("/book", **(wish(club) | change))
    assert answer.status_code == status
    assert words in text(answer)


async def test_what_was_typed_stays_when_the_place_refuses(reader: Reader, ada: Person, club: Club) -> None:
    answer = await reader.send("/book", **(wish(club) | {"start": at(3)}), note="We bring a <b>cake</b>")
    assert answer.status_code == 409
    assert "We bring a &lt;b&gt;cake&lt;/b&gt;" in answer.text


async def test_a_half_lost_address_leads_to_finding_a_place(reader: Reader, ada: Person) -> None:
    assert (await reader.look("/book")).headers["location"] == "/discover"
    assert (await reader.send("/book")).headers["location"] == "/discover"


# -------------------------------------------------------------------------------------------------------------- paying


async def test_credits_pay_and_the_ticket_carries_code_and_calendar(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await held(reader, club)
    page = await reader.look(path)
    assert "You have £50.00. £30.00 stays." in text(page)
    assert 'data-countdown="' in page.text
    ticket = await reader.follow(await reader.send(f"{path}/pay", pay_with="credits"))
    assert "Booked and paid." in text(ticket)
    assert 'class="qrbox"' in ticket.text
    assert f"/v1{path}/calendar.ics" in ticket.text
    assert await world.balance(club, ada) == 3000


async def test_who_booked_alone_makes_room_for_others_and_reads_before_what_that_costs(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    pounds = {"per": "hour", "priority": 0, "amount": {"amount": 2000, "currency": "GBP"}}
    for_three = {"per": "hour", "priority": 9, "team_size": 3, "amount": {"amount": 2600, "currency": "GBP"}}
    put = await club.owner.send("PUT", f"/v1/orgs/{club.id}/venues/{club.venue}/prices", {"rules": [pounds, for_three]})
    assert put.status_code == 200, put.text
    path = await paid(reader, club, team_size="1")
    ticket = await reader.look(path)
    assert "You booked for yourself alone" in text(ticket) and f'href="{path}/people"' in ticket.text
    page = await reader.look(f"{path}/people")
    assert "2 people" in text(page) and "3 people" in text(page) and "£6.00" in text(page) and "£26.00" in text(page)
    assert (await reader.send(f"{path}/people", team_size="5")).status_code == 422, "there is room for four"
    ticket = await reader.follow(await reader.send(f"{path}/people", team_size="3"))
    assert toast(ticket) == "Booked for 3 people now." and "Room for 2 more" in text(ticket)
    assert await world.balance(club, ada) == 5000 - 2600
    await reader.follow(await reader.send(f"{path}/people", team_size="4"))
    assert f'href="{path}/people"' not in (await reader.look(path)).text
    assert (await reader.look(f"{path}/people")).status_code == 303, "nobody else fits"


def offered(page: httpx.Response) -> dict[str, str]:
    """Each number of people that a page offers, with `checked`, `disabled` or nothing."""
    return {n: mark.strip() for n, mark in re.findall(r'name="team_size" value="(\d+)"( checked| disabled)?', page.text)}


async def test_more_people_than_one_can_pay_for_are_refused_with_why_and_the_choice_stays(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    pounds = {"per": "person_hour", "priority": 0, "amount": {"amount": 2000, "currency": "GBP"}}
    put = await club.owner.send("PUT", f"/v1/orgs/{club.id}/venues/{club.venue}/prices", {"rules": [pounds]})
    assert put.status_code == 200, put.text
    path = await paid(reader, club, team_size="1")
    page = await reader.look(f"{path}/people")
    assert "Riverside Courts" in text(page) and "Court 1" in text(page) and "18:00–19:00" in text(page)
    assert offered(page) == {"2": "checked", "3": "", "4": ""}
    refused = await reader.send(f"{path}/people", team_size="4")
    assert refused.status_code == 402 and 'id="problem"' in refused.text
    assert "You have £30.00, which is £30.00 too little" in text(refused)
    assert offered(refused) == {"2": "", "3": "", "4": "checked"}
    assert await world.balance(club, ada) == 3000


async def test_a_number_that_cannot_be_had_is_not_chosen_beforehand_and_where_none_can_there_is_nothing_to_press(
    reader: Reader, ada: Person, club: Club
) -> None:
    at_venue = f"/v1/orgs/{club.id}/venues/{club.venue}"
    wide = await club.owner.send("PATCH", f"{at_venue}/resources/{club.courts[0]}", {"capacity": 200})
    assert wide.status_code == 200, wide.text
    path = await paid(reader, club, team_size="117")
    for dear, marks in (([118, 119], {"disabled", "", "checked"}), ([118, 200], {"disabled"})):
        pounds = {"per": "hour", "priority": 0, "amount": {"amount": 2000, "currency": "GBP"}}
        most = {"per": "person_hour", "priority": 9, "team_size": dear, "amount": {"amount": MAX_PRICE, "currency": "GBP"}}
        put = await club.owner.send("PUT", f"{at_venue}/prices", {"rules": [pounds, most]})
        assert put.status_code == 200, put.text
        page = await reader.look(f"{path}/people")
        found = offered(page)
        assert set(found.values()) == marks and found["118"] == "disabled" and "charged at once" in text(page)
        assert ("Change it" in text(page)) == ("checked" in marks)
        assert "checked" not in marks or found["120"] == "checked", "the first that can be had"


async def test_too_few_credits_are_not_offered_and_not_taken(reader: Reader, ada: Person, world: World, club: Club) -> None:
    path = await held(reader, club, duration_min=180)
    page = await reader.look(path)
    assert "which is £10.00 too little" in text(page)
    refused = await reader.send(f"{path}/pay", pay_with="credits")
    assert refused.status_code == 402
    assert await world.balance(club, ada) == 5000
    assert "You pay £60.00 at the desk" in text(await reader.follow(await reader.send(f"{path}/pay", pay_with="desk")))


async def test_paying_without_saying_how_or_by_what_is_not_there_is_mended_on_the_page(
    reader: Reader, ada: Person, club: Club
) -> None:
    path = await held(reader, club)
    assert "Choose how to pay." in text(await reader.send(f"{path}/pay"))
    card = await reader.send(f"{path}/pay", pay_with="card")
    assert card.status_code == 422
    assert "does not take that way of paying" in text(card)
    assert 'action="' + path + "/pay" in card.text, "the place is still held"


async def test_an_unverified_address_may_hold_but_not_pay(reader: Reader, world: World, club: Club) -> None:
    await reader.sign_in(await world.person("Zoe", verify=False))
    path = await held(reader, club)
    refused = await reader.send(f"{path}/pay", pay_with="desk")
    assert refused.status_code == 403
    assert "Verify your e-mail address first." in text(refused)
    assert f'href="/verify?next={path}"' in refused.text
    assert f'action="{path}/pay"' in refused.text, "the place stays held"


async def test_a_held_place_that_is_let_go_is_free_for_the_next(
    reader: Reader,
    rival: Reader,
    ada: Person,
    world: World,
    club: Club,
) -> None:
    path = await held(reader, club)
    page = await reader.follow(await reader.send(f"{path}/cancel", held="1"))
    assert toast(page) == "Court 1 is free again. You paid nothing."
    await rival.sign_in(await world.person("Ben"))
    assert await held(rival, club)


async def test_somebody_elses_booking_is_nothing_here(
    reader: Reader, rival: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await paid(reader, club)
    await rival.sign_in(await world.person("Ben"))
    for tail in ("", "/cancel", "/reschedule"):
        assert (await rival.look(path + tail)).status_code == 404
    for tail, form in (("/pay", {"pay_with": "desk"}), ("/cancel", {}), ("/extend", {"duration_min": "120"})):
        assert (await rival.send(path + tail, **form)).status_code == 404
    assert (await reader.look(path)).status_code == 200


# ------------------------------------------------------------------------------------------------- cancelling, changing


async def test_cancelling_says_first_what_comes_back_and_then_gives_it_back(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await paid(reader, club)
    ask = await reader.look(f"{path}/cancel")
    assert "£20.00" in text(ask)
    assert "All of what you paid" in text(ask)
    assert await world.balance(club, ada) == 3000, "asking cancels nothing"
    done = await reader.follow(await reader.send(f"{path}/cancel", refund_minor=hidden(ask, "refund_minor"), reason="Rain"))
    assert toast(done) == "Cancelled. £20.00 comes back to you."
    assert await world.balance(club, ada) == 5000
    assert (await reader.look(f"{path}/cancel")).headers["location"] == path, "it cannot be cancelled twice"


async def test_cancelling_what_is_paid_in_part_says_what_comes_back_and_what_falls_away(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await held(reader, club)
    paid_in_part = await ada.post(f"/v1{path}/pay", {"pay_with": "desk", "credits_amount": 500})
    assert paid_in_part.status_code == 200, paid_in_part.text
    ask = await reader.look(f"{path}/cancel")
    assert re.search("Comes back to you £5.00 .*first.* Falls away £15.00", text(ask)), text(ask)
    done = await reader.follow(await reader.send(f"{path}/cancel", refund_minor=hidden(ask, "refund_minor")))
    assert toast(done) == "Cancelled. £5.00 comes back to you."
    assert await world.balance(club, ada) == 5000


async def test_when_less_comes_back_than_was_shown_it_is_shown_again_first(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await paid(reader, club)
    again = await reader.send(f"{path}/cancel", refund_minor="999999")
    assert again.status_code == 409
    assert "the time for the larger refund passed" in text(again)
    assert await world.balance(club, ada) == 3000


async def test_a_booking_moves_to_another_court_and_costs_what_that_costs(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    path = await paid(reader, club)
    look = await reader.look(f"{path}/reschedule?resource_id={club.courts[1]}&start={at(19)}&duration_min=120")
    assert "£20.00 more to pay" in text(look)
    moved = await reader.follow(await reader.send(f"{path}/reschedule", **wish(club, court=1, hour=19, duration_min=120)))
    assert "Court 2" in text(moved)
    assert "19:00–21:00" in text(moved)
    assert await world.balance(club, ada) == 1000


async def test_what_the_house_names_on_a_bill_is_worded_for_its_reader_and_what_the_owner_named_is_not(
    reader: Reader, ada: Person, world: World, club: Club, house: House
) -> None:
    await club.owner.send("PATCH", f"/v1/orgs/{club.id}/policies", {"reschedule_fee_pct": 50})
    path = await paid(reader, club)
    english, portuguese, urdu = "Fee for moving", "Taxa de alteração", "تبدیلی کی فیس"
    reader.http.cookies.set("fc_locale", "ur")
    look = text(await reader.look(f"{path}/reschedule?resource_id={club.courts[1]}&start={at(19)}&duration_min=60"))
    assert urdu in look and english not in look and "Any hour" in look
    assert (await reader.send(f"{path}/reschedule", **wish(club, court=1, hour=19))).status_code == 303
    # What is stored is what the line is; only a line of before this was so is its text.
    about = service_context("tests", UUID(club.id))
    async with house.database.module("booking").tx(about) as tx:
        kept = await queries.lines_of(tx, UUID(club.id), UUID(path.rpartition("/")[2]))
    assert [(line.label, line.kind) for line in kept.lines] == [("Any hour, 19:00–20:00", None), (english, LineKind.MOVING)]
    old = [msgspec.structs.replace(line, kind=None) for line in kept.lines]
    for language, words in (("pt", portuguese), ("ur", urdu), ("en", english)):
        say = Speaker(house.pages, language, "UTC")
        for lines, fee in ((kept.lines, words), (old, english)):
            shown = quote_view(say, Bill(lines, kept.tax, Money(3000, "GBP")))
            assert [line.label for line in shown.lines] == ["Any hour, 19:00–20:00", fee]
    reader.http.cookies.set("fc_locale", "pt")
    look = text(await reader.look(f"{path}/reschedule?resource_id={club.courts[0]}&start={at(19)}&duration_min=60"))
    assert portuguese in look and "Acordado antes" in look and "Agreed before" not in look


async def test_why_credits_came_back_is_worded_for_its_reader_and_what_somebody_wrote_is_not(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    for reason in ("", "Rain"):
        path = await paid(reader, club)
        ask = await reader.look(f"{path}/cancel")
        gone = await reader.send(f"{path}/cancel", refund_minor=hidden(ask, "refund_minor"), reason=reason)
        assert gone.status_code == 303
    for language, words in (("en", "The booking was cancelled"), ("pt", "A reserva foi cancelada"), ("ur", "بکنگ منسوخ ہوئی")):
        reader.http.cookies.set("fc_locale", language)
        shown = text(await reader.look("/credits"))
        assert words in shown and "Rain" in shown and " cancel " not in shown


async def test_what_staff_agreed_to_offers_no_other_time_and_says_how_to_get_one(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    asked = (await ada.post("/v1/bookings", wish(club, purpose="content", pay_with="credits"))).json()
    path = f"/bookings/{asked['id']}"
    say = "Another time has to be asked for"
    for _ in range(2):
        ticket = await reader.look(path)
        assert "/reschedule" not in ticket.text and "/extend" not in ticket.text and say in text(ticket)
        assert f"{path}/cancel" in ticket.text
        assert (await reader.look(f"{path}/reschedule")).headers["location"] == path
        await club.owner.post(f"/v1/orgs/{club.id}/bookings/{asked['id']}/approve")
    refused = await reader.send(f"{path}/reschedule", **wish(club, hour=20))
    assert refused.status_code == 409 and "Staff have to agree to this" in text(refused)
    assert (await reader.send(f"{path}/extend", duration_min="120")).status_code == 409
    assert "18:00–19:00" in text(await reader.look(path))
    # The control: what nobody had to agree to offers both.
    ticket = await reader.look(await paid(reader, club, court=1))
    assert "/reschedule" in ticket.text and "/extend" in ticket.text and say not in text(ticket)


async def test_a_booking_does_not_stand_in_its_own_way(reader: Reader, ada: Person, club: Club) -> None:
    path = await paid(reader, club)
    look = await reader.look(f"{path}/reschedule?resource_id={club.courts[0]}&start={at(18, 30)}&duration_min=60")
    assert "18:30–19:30" in text(look)
    moved = await reader.follow(await reader.send(f"{path}/reschedule", **wish(club, hour=18, minute=30)))
    assert "18:30–19:30" in text(moved)


async def test_a_move_to_a_time_somebody_took_keeps_the_booking_and_offers_others(
    reader: Reader,
    rival: Reader,
    ada: Person,
    world: World,
    club: Club,
) -> None:
    path = await paid(reader, club)
    await rival.sign_in(await world.person("Ben"))
    await held(rival, club, court=1, hour=20)
    refused = await reader.send(f"{path}/reschedule", **wish(club, court=1, hour=20))
    assert refused.status_code == 409
    assert "Court 2 at 20:00 was just taken." in text(refused)
    assert "18:00–19:00" in text(await reader.look(path))


async def test_staying_longer_costs_more_and_is_refused_when_somebody_comes_after(
    reader: Reader,
    rival: Reader,
    ada: Person,
    world: World,
    club: Club,
) -> None:
    path = await paid(reader, club)
    longer = await reader.follow(await reader.send(f"{path}/extend", duration_min="90"))
    assert toast(longer) == "Yours until 19:30 now."
    assert await world.balance(club, ada) == 2000
    await rival.sign_in(await world.person("Ben"))
    await held(rival, club, hour=20)
    assert (await reader.send(f"{path}/extend", duration_min="180")).status_code == 409
    assert "18:00–19:30" in text(await reader.look(path))


# ------------------------------------------------------------------------------------- what was shown, and what is charged


def prices_in(page: httpx.Response) -> list[str]:
    """What a page's form says that its choices cost."""
    return re.findall(r'name="prices" value="([^"]+)"', page.text)


async def costs(club: Club, minor: int) -> None:
    """The owner edits the list: so much per person and hour."""
    rule = {"per": "person_hour", "priority": 0, "amount": {"amount": minor, "currency": "GBP"}}
    put = await club.owner.send("PUT", f"/v1/orgs/{club.id}/venues/{club.venue}/prices", {"rules": [rule]})
    assert put.status_code == 200, put.text


CHANGES: list[tuple[str, str, dict[str, Any], str]] = [
    ("/people", "/people", {"team_size": "2"}, "£10.00 more to pay"),
    ("", "/extend", {"duration_min": "120"}, "£10.00 more to pay"),
    (
        "/reschedule?start={at}&resource_id={court}&duration_min=120",
        "/reschedule",
        {"start": at(19), "resource_id": "{court}", "duration_min": "120"},
        "£10.00 more to pay",
    ),
]


@pytest.mark.parametrize(("page", "press", "form", "said"), CHANGES, ids=["more people", "a longer stay", "another time"])
async def test_a_change_whose_price_rose_after_it_was_shown_is_shown_again_and_nothing_is_charged(
    reader: Reader, ada: Person, world: World, club: Club, page: str, press: str, form: dict[str, Any], said: str
) -> None:
    await costs(club, 1000)
    path = await paid(reader, club, team_size="1")
    page = path + page.format(at=at(19), court=club.courts[1])
    form = {name: value.format(court=club.courts[1]) for name, value in form.items()}
    before = await reader.look(page)
    assert said in text(before)
    await costs(club, 1500)
    refused = await reader.send(path + press, **form, prices=prices_in(before))
    assert refused.status_code == 409 and 'role="alert"' in refused.text
    assert "higher now than it was shown" in text(refused) and "£20.00 more to pay" in text(refused)
    assert await world.balance(club, ada) == 4000
    assert (await ada.get(f"/v1{path}")).json()["price"]["amount"] == 1000
    # The controls: what is shown now may be had, also when the price has fallen since.
    assert prices_in(refused) != prices_in(before)
    await costs(club, 1200)
    await reader.follow(await reader.send(path + press, **form, prices=prices_in(refused)))
    assert await world.balance(club, ada) == 5000 - 2400


async def test_of_two_moves_pressed_at_once_one_is_charged_as_its_page_showed_and_the_other_is_shown_again(
    reader: Reader, ada: Person, world: World, club: Club
) -> None:
    await club.owner.send("PATCH", f"/v1/orgs/{club.id}/policies", {"reschedule_fee_pct": 50})
    path = await paid(reader, club)
    pressed: list[dict[str, Any]] = []
    for court, hour in ((1, 19), (0, 21)):
        page = await reader.look(f"{path}/reschedule?resource_id={club.courts[court]}&start={at(hour)}&duration_min=60")
        pressed.append({**wish(club, court=court, hour=hour), "prices": prices_in(page)})
        assert pressed[-1]["prices"] == ["60:3000:GBP"]
    answers = await asyncio.gather(*(reader.send(f"{path}/reschedule", **form) for form in pressed))
    assert sorted(answer.status_code for answer in answers) == [303, 409]
    assert await world.balance(club, ada) == 2000
    # Overtaken or not: pressed again, the other page still shows one fee, and there would be one on top of the other.
    behind = next(form for form, answer in zip(pressed, answers, strict=True) if answer.status_code == 409)
    again = await reader.send(f"{path}/reschedule", **behind)
    assert again.status_code == 409 and "higher now than it was shown" in text(again)
    assert await world.balance(club, ada) == 2000


async def test_the_interface_refuses_a_change_that_costs_more_than_may_be_and_says_what_it_costs(
    ada: Person, world: World, club: Club
) -> None:
    await costs(club, 1000)
    wanted = wish(club, team_size=1, pay_with="credits")
    booking = (await ada.post("/v1/bookings", wanted)).json()["id"]
    mine, desk = f"/v1/bookings/{booking}", f"/v1/orgs/{club.id}/bookings/{booking}"
    changes: list[tuple[str, str, dict[str, Any]]] = [("PATCH", "", {"team_size": 2}), ("POST", "/extend", {"duration_min": 120})]
    changes.append(("POST", "/reschedule", {"start": at(19), "duration_min": 120}))
    less, pounds = {"amount": 1999, "currency": "GBP"}, {"amount": 2000, "currency": "GBP"}
    for who, at_booking in ((ada, mine), (club.owner, desk)):
        for method, tail, body in changes:
            for at_most in (less, {"amount": 2000, "currency": "EUR"}):
                refused = await who.send(method, at_booking + tail, {**body, "price_at_most": at_most})
                assert refused.status_code == 409, refused.text
                assert refused.json()["code"] == "price_changed" and refused.json()["price"] == pounds
    assert await world.balance(club, ada) == 4000
    # The control: what it costs may be charged.
    done = await ada.send("PATCH", mine, {"team_size": 2, "price_at_most": pounds})
    assert done.status_code == 200 and done.json()["price"] == pounds, done.text
    # A part of what is given up stays in the price: less would go back than was shown.
    await club.owner.send("PATCH", f"/v1/orgs/{club.id}/policies", {"cancellation": [{"before_h": 0, "refund_pct": 50}]})
    shown = {"amount": 1000, "currency": "GBP"}
    refused = await ada.send("PATCH", mine, {"team_size": 1, "price_at_most": shown})
    assert refused.status_code == 409 and refused.json()["price"]["amount"] == 1500, refused.text
    assert await world.balance(club, ada) == 3000
    # Nor is it cancelled for less than was shown.
    for who, at_booking in ((ada, mine), (club.owner, desk)):
        for at_least in ({"amount": 1001, "currency": "GBP"}, {"amount": 1000, "currency": "EUR"}):
            refused = await who.post(f"{at_booking}/cancel", {"refund_at_least": at_least})
            assert refused.status_code == 409, refused.text
            assert refused.json()["code"] == "refund_changed" and refused.json()["refund"] == shown
    assert await world.balance(club, ada) == 3000
    gone = await ada.post(f"{mine}/cancel", {"refund_at_least": shown})
    assert gone.status_code == 200 and await world.balance(club, ada) == 4000, gone.text


# ---------------------------------------------------------------------------------------------------------- my bookings


async def test_my_bookings_are_sorted_by_what_they_are(reader: Reader, ada: Person, club: Club) -> None:
    empty = await reader.look("/bookings")
    assert "No bookings yet" in text(empty)
    kept = await paid(reader, club)
    dropped = await paid(reader, club, court=1)
    await reader.send(f"{dropped}/cancel")
    waiting = await held(reader, club, hour=12)
    coming = await reader.look("/bookings")
    assert kept in coming.text
    assert dropped not in coming.text
    assert "Court 1 is held for you." in text(coming)
    assert waiting in coming.text
    cancelled = await reader.look("/bookings?show=cancelled")
    assert dropped in cancelled.text
    assert kept not in cancelled.text
    assert (await reader.look("/bookings?show=everything")).status_code == 422


async def test_a_hostile_note_stays_text_on_the_ticket(reader: Reader, ada: Person, club: Club) -> None:
    answer = await reader.send("/book", **wish(club), note='<script>alert("x")</script>')
    await reader.send(f"{answer.headers['location']}/pay", pay_with="desk")
    ticket = await reader.look(answer.headers["location"])
    assert "<script>alert" not in ticket.text
    assert "&lt;script&gt;alert" in ticket.text


@pytest.mark.parametrize("language", ["pt", "ur"])
async def test_the_pages_speak_the_chosen_language_and_hold_their_direction(
    reader: Reader, ada: Person, club: Club, language: str
) -> None:
    answer = await reader.send("/language", language=language, back=f"/venues/{club.venue}")
    page = await reader.follow(answer)
    assert f'<html lang="{language}" dir="{"rtl" if language == "ur" else "ltr"}"' in page.text
    assert {"pt": "Escolha um horário", "ur": "وقت چنیں"}[language] in text(page)
    path = await held(reader, club)
    assert {"pt": "Como quer pagar?", "ur": "آپ ادائیگی کیسے کریں گے؟"}[language] in text(await reader.look(path))


async def test_in_urdu_a_name_in_latin_letters_draws_nothing_beside_it_to_the_left(
    reader: Reader, ada: Person, club: Club
) -> None:
    reader.http.headers["Accept-Language"] = "ur"
    path = await held(reader, club)
    apart = "<bdi>Riverside Courts</bdi>، <bdi>Court 1</bdi>"
    assert apart in (await reader.look(path)).text
    await reader.send(f"{path}/pay", pay_with="credits")
    assert apart in (await reader.look(f"{path}/people")).text
    ticket = (await reader.look(path)).text
    day = formats.date("ur", TOMORROW, style="long")
    assert f"<bdi>Court 1</bdi>، {day}" in ticket and "<bdi>Riverside Courts</bdi></a>" in ticket
    way = urlencode({"next": f"/book?{urlencode(wish(club, court=1))}"})
    await reader.send("/sign-out")
    assert apart.replace("1", "2") in (await reader.look(f"/sign-in?{way}")).text


@pytest.mark.parametrize("module", ["booking", "venues", "payments"])
def test_the_texts_of_guests_are_complete_in_all_languages_with_the_same_gaps(module: str) -> None:
    catalogue = Catalogue([ROOT / "modules" / module / "messages"])
    english = catalogue.keys(FALLBACK)
    assert english
    guests = {k for k in english if k.split(".")[0] in GUEST_GROUPS}
    gaps = {name: f"<{name}>" for name in GAPS}
    for language in LANGUAGES:
        assert guests <= catalogue.keys(language), (language, guests - catalogue.keys(language))
        for key in guests:
            for n in (0, 1, 2, 5, 1_000_000):
                first = catalogue.say(FALLBACK, key, {**gaps, "n": n})
                said = catalogue.say(language, key, {**gaps, "n": n})
                assert sorted(re.findall("<[a-z]+>", said)) == sorted(re.findall("<[a-z]+>", first)), (language, key)


GUEST_GROUPS = set("look taken book pay over ticket cancel change mine home find sport amenity surface place credits".split())
GAPS = (
    "place where day price length when org balance rest short pct email until refund city time km court left amount fee total"
).split()


# ------------------------------------------------------------------------------------------------------------- requests


async def test_a_request_reserves_credits_and_says_so_in_the_wallet_and_on_its_page(
    reader: Reader, world: World, club: Club, ada: Person
) -> None:
    look = await reader.look(f"/book?resource_id={club.courts[0]}&start={at(18)}&duration_min=60&purpose=content")
    assert "The place decides about this" in text(look)
    path = await held(reader, club, purpose="content")
    page = await reader.look(path)
    assert "Waiting for an answer" in text(page)
    assert "£20.00 of your credits are reserved" in text(page)
    wallet = text(await reader.look("/credits"))
    assert "Reserved for a request" in wallet
    assert "Set aside for requests" in wallet
    assert await world.balance(club, ada) == 3000
    asked = (await ada.get(f"/v1{path}")).json()
    assert asked["authorised"] == {"amount": 2000, "currency": "GBP"}
    (mine,) = (await ada.get("/v1/wallets")).json()
    assert (mine["balance"]["amount"], mine["reserved"]["amount"]) == (3000, 2000)
    approved = await club.owner.post(f"/v1/orgs/{club.id}/bookings/{asked['id']}/approve")
    assert approved.status_code == 200, approved.text
    assert (approved.json()["status"], "authorised" in approved.json()) == ("upcoming", False)
    assert "Booked and paid." in text(await reader.look(path))
    assert "Set aside for requests" not in text(await reader.look("/credits"))


async def test_a_request_without_enough_credits_is_paid_for_afterwards(reader: Reader, world: World, club: Club) -> None:
    ben = await world.person("Ben")
    await reader.sign_in(ben)
    path = await held(reader, club, purpose="content")
    assert "nothing is charged yet" in text(await reader.look(path))
    assert "authorised" not in (await ben.get(f"/v1{path}")).json()
    withdrawn = await ben.post(f"/v1{path}/cancel", {})
    assert withdrawn.json()["status"] == "cancelled"


async def test_who_withdraws_a_request_is_told_that_all_of_it_comes_back(
    reader: Reader, world: World, club: Club, ada: Person
) -> None:
    path = await held(reader, club, purpose="content")
    preview = (await ada.get(f"/v1{path}/refund-preview")).json()
    assert preview["refund"]["amount"] == 2000
    await ada.post(f"/v1{path}/cancel", {})
    assert await world.balance(club, ada) == 5000
