"""The day sheet and the list of bookings, without scripts and as its script asks, through the front door."""

from __future__ import annotations

import html
import json
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from tests.house import world  # noqa: F401 - a fixture
from tests.journeys.reader import Reader, hidden, said_at, text, toast, undo_of
from tests.journeys.world import Club, Person, World

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.modules.identity.queries import erasing

DAY = (datetime.now(UTC) + timedelta(days=3)).date()


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


@pytest.fixture
async def club(world: World) -> Club:  # noqa: F811
    return await world.club(zone="UTC")


@pytest.fixture
async def desk(reader: Reader, club: Club) -> Reader:
    """The owner, signed in."""
    await reader.sign_in(club.owner)
    return reader


def sheet(club: Club) -> str:
    return f"/orgs/{club.id}/day?venue_id={club.venue}&date={DAY}"


def wish(club: Club, **more: Any) -> dict[str, Any]:
    base = {"venue_id": club.venue, "resource_id": club.courts[0], "day": str(DAY), "at": "10:00", "duration_min": "60"}
    return base | {"who": "Zainab", "purpose": "workout", "pay_with": "desk"} | more


async def book(desk: Reader, club: Club, **more: Any) -> tuple[httpx.Response, str]:
    """Books by the form; the page that follows, and the booking's id."""
    page = await desk.follow(await desk.send(f"/orgs/{club.id}/day/new", **wish(club, **more)))
    found = re.search(r'data-booking-panel="([^"]+)"', page.text)
    assert found
    return page, found[1]


async def employ(club: Club, person: Person, role: str) -> None:
    added = await club.owner.post(f"/v1/orgs/{club.id}/staff", {"account_id": person.id, "role": role})
    assert added.status_code == 201, added.text


def blocks(page: httpx.Response) -> list[str]:
    """What the bookings and blocks on the sheet say."""
    found = re.findall(r'<button class="bk.*?>(.*?)</button>', page.text)
    return [", ".join(filter(None, re.split(r"<[^>]*>", html.unescape(said)))) for said in found]


def scripted(csrf: str) -> dict[str, str]:
    return {"HX-Request": "true", "X-CSRF-Token": csrf, "Accept": "text/html, application/problem+json"}


async def test_a_walk_in_is_booked_and_stands_on_the_sheet(desk: Reader, club: Club) -> None:
    assert blocks(await desk.look(sheet(club))) == []
    page, _ = await book(desk, club)
    assert toast(page) == "Booked: Zainab, 10:00–11:00"
    assert blocks(page) == ["10:00–11:00, Zainab, upcoming, 1 person, £20.00 due"]


async def test_who_is_to_pay_themselves_has_the_place_held_until_they_do(desk: Reader, club: Club, world: World) -> None:  # noqa: F811
    ada = await world.person("Ada")
    page = await desk.look(f"{sheet(club)}&new=1")
    (hold,) = re.findall(r'<option value="([^"]*)"[^>]*>Hold it; they pay themselves</option>', page.text)
    page, _ = await book(desk, club, who=ada.email, pay_with=hold)
    assert blocks(page) == ["10:00–11:00, Ada, not paid, 1 person, £20.00 due"]
    assert [b["status"] for b in (await ada.get("/v1/bookings")).json()["items"]] == ["payment_pending"]
    refused = await desk.send(f"/orgs/{club.id}/day/new", **wish(club, who="Zainab", pay_with=hold))
    assert refused.status_code == 409 and f'<option value="{hold}" selected' in refused.text, "what was chosen stays"


async def test_staff_see_who_comes_and_invite_and_take_back_as_they_may(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
    house: House,
) -> None:
    ada = await world.person("Ada")
    page, _ = await book(desk, club, who=ada.email, at="12:00")
    assert "Who comes" not in text(page), "nobody is invited to a party of one"
    page, id = await book(desk, club, who=ada.email, team_size="3")
    path, email = f"/orgs/{club.id}/day/{id}", "gil.guest@example.org"
    assert "1 of 3 come" in text(page) and "room for 2 more" in text(page)
    bad = await desk.send(f"{path}/invitees", email="nobody")
    assert bad.status_code == 422 and 'value="nobody"' in bad.text and said_at(bad, "email")
    page = await desk.follow(await desk.send(f"{path}/invitees", email=email))
    assert email in text(page) and "Has not answered" in text(page) and "room for 1 more" in text(page)
    (invited,) = (await ada.get(f"/v1/bookings/{id}/invitees")).json()["items"]

    viewer = await world.person("Vera")
    await employ(club, viewer, "viewer")
    async with Reader.at(house) as other:
        await other.sign_in(viewer)
        looked = await other.look(f"{sheet(club)}&booking={id}")
        assert email in text(looked) and f"{path}/invitees" not in looked.text, "seen, and not changed"
        assert (await other.send(f"{path}/invitees", email="more@example.org")).status_code == 403
        for deed in ("ask", "withdraw"):
            assert (await other.send(f"{path}/invitees/{invited['id']}/{deed}")).status_code == 403

    page = await desk.follow(await desk.send(f"{path}/invitees/{invited['id']}/withdraw"))
    assert "Taken back" in text(page) and toast(page) == "The invitation is taken back"
    assert f"Ask again: {email}" in page.text
    page = await desk.follow(await desk.send(f"{path}/invitees/{invited['id']}/ask"))
    assert "Has not answered" in text(page) and toast(page) == "They are asked again" and "Ask again" not in page.text
    taken = [await desk.send(f"{path}/invitees", email=f"{name}@example.org") for name in ("one", "another")]
    assert [answer.status_code for answer in taken] == [303, 422] and "A party of 3 has room for 2 guests" in text(taken[1])
    await club.owner.send("DELETE", f"/v1/orgs/{club.id}/bookings/{id}/invitees/{invited['id']}")
    await club.owner.post(f"/v1/orgs/{club.id}/bookings/{id}/invitees", {"email": "more@example.org"})
    full = await desk.send(f"{path}/invitees/{invited['id']}/ask")
    assert full.status_code == 422 and "A party of 3 has room for 2 guests" in text(full)
    refused = await club.owner.post(f"/v1/orgs/{club.id}/bookings/{id}/invitees/{invited['id']}/ask")
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid")


async def test_staff_ask_again_who_said_no_as_often_as_the_host_may_and_at_their_own_place_alone(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
    house: House,
) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    _, id = await book(desk, club, who=ada.email, team_size="2")
    _, other_id = await book(desk, club, who=ada.email, team_size="2", at="12:00")
    day, api = f"/orgs/{club.id}/day", f"/v1/orgs/{club.id}/bookings"
    invited = (await club.owner.post(f"{api}/{id}/invitees", {"account_id": ben.id})).json()["id"]

    async def refused() -> None:
        assert (await ben.post(f"/v1/invitations/{invited}/decline")).status_code == 200

    pressed = f'action="{day}/{id}/invitees/{invited}/ask"'
    assert pressed not in (await desk.look(f"{sheet(club)}&booking={id}")).text, "who has not answered is asked already"
    await refused()
    assert pressed in (await desk.look(f"{sheet(club)}&booking={id}")).text

    rival, viewer = await world.club(courts=1), await world.person("Vera")
    await employ(club, viewer, "viewer")
    for who, place, booking, status in (
        (rival.owner, rival.id, id, 404),
        (rival.owner, club.id, id, 404),
        (club.owner, club.id, other_id, 404),
        (viewer, club.id, id, 403),
    ):
        async with Reader.at(house) as other:
            await other.sign_in(who)
            assert (await other.send(f"/orgs/{place}/day/{booking}/invitees/{invited}/ask")).status_code == status
        assert (await who.post(f"/v1/orgs/{place}/bookings/{booking}/invitees/{invited}/ask")).status_code == status

    page = await desk.follow(await desk.send(f"{day}/{id}/invitees/{invited}/ask"))
    assert toast(page) == "They are asked again" and "Has not answered" in text(page) and pressed not in page.text
    await refused()
    once = {"Idempotency_Key": str(uuid4())}
    first, again = [await club.owner.post(f"{api}/{id}/invitees/{invited}/ask", **once) for _ in range(2)]
    assert first.status_code == 200 and first.json()["status"] == "pending" and first.json() == again.json()
    await refused()
    assert pressed not in (await desk.look(f"{sheet(club)}&booking={id}")).text, "three times in all"
    often = await desk.send(f"{day}/{id}/invitees/{invited}/ask")
    assert often.status_code == 409 and "asked as often as one may" in text(often)


async def test_a_guest_with_an_account_is_found_by_address_and_an_unknown_one_is_said_at_the_field(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    bad = await desk.send(f"/orgs/{club.id}/day/new", **wish(club, who="nobody.here@example.org"))
    assert bad.status_code == 422
    assert "Belongs to no account" in said_at(bad, "who")
    ada = await world.person("Ada")
    page, _ = await book(desk, club, who=ada.email)
    assert "10:00–11:00, Ada, upcoming" in blocks(page)[0]
    assert [b["start"][11:16] for b in (await ada.get("/v1/bookings")).json()["items"]] == ["10:00"]


async def test_a_taken_time_is_refused_with_what_is_free_nearby_and_the_form_keeps_what_was_typed(
    desk: Reader, club: Club
) -> None:
    await book(desk, club)
    bad = await desk.send(f"/orgs/{club.id}/day/new", **wish(club, who="Bilal", at="10.30"))
    assert bad.status_code == 409
    assert "That time is taken. Free nearby:" in text(bad)
    assert "Court 2" in text(bad)
    assert 'value="Bilal"' in bad.text
    odd = await desk.send(f"/orgs/{club.id}/day/new", **wish(club, at="noon"))
    assert said_at(odd, "at") == "Write the time like 18:30."


async def test_pressing_a_booking_or_a_free_hour_opens_it_beside_the_sheet_without_scripts(desk: Reader, club: Club) -> None:
    page, booking = await book(desk, club)
    form = re.search(r'<form class="dayform" method="get" action="([^"]+)"', page.text)
    assert form
    fixed = f"venue_id={hidden(page, 'venue_id')}&date={hidden(page, 'date')}"
    assert f'name="booking" value="{booking}"' in page.text
    opened = await desk.look(f"{form[1]}?{fixed}&booking={booking}")
    assert f'data-booking-panel="{booking}"' in opened.text
    assert re.search(rf'value="{booking}"[^>]*aria-selected="true"', opened.text)
    spot = f"{club.courts[1]}@14:00"
    assert f'name="spot" value="{spot}"' in page.text
    assert f'name="spot" value="{club.courts[0]}@10:00"' not in page.text, "taken"
    begun = await desk.look(f"{form[1]}?{fixed}&spot={spot}")
    assert re.search(r'name="at"[^>]*value="14:00"|value="14:00"[^>]*name="at"', begun.text)
    assert f'value="{club.courts[1]}" selected' in begun.text
    assert (await desk.look(f"{form[1]}?{fixed}&spot=somewhere")).status_code == 422


async def test_a_booking_adds_little_to_the_page(desk: Reader, club: Club) -> None:
    empty = (await desk.look(sheet(club))).text
    await book(desk, club)
    once = (await desk.look(sheet(club))).text
    assert "Zainab" in once and len(once.encode()) - len(empty.encode()) < 400, "what one booking adds, the figures included"


async def test_a_move_by_form_says_the_difference_and_can_be_undone(desk: Reader, club: Club) -> None:
    _, booking = await book(desk, club)
    page = await desk.look(f"{sheet(club)}&booking={booking}&act=move")
    form = {
        "booking_id": booking,
        "resource_id": club.courts[1],
        "version": hidden(page, "version"),
        "day": str(DAY),
        "at": "18:00",
    }
    moved = await desk.follow(await desk.send(f"/orgs/{club.id}/day/move", **form))
    assert toast(moved) == "Court 2, 18:00–19:00"
    assert blocks(moved)[0].startswith("18:00–19:00, Zainab")
    back = await desk.follow(await desk.send(undo_of(moved)))
    assert blocks(back)[0].startswith("10:00–11:00, Zainab")


async def test_a_move_by_form_that_costs_more_is_shown_first_and_going_back_costs_no_more_than_before(
    desk: Reader, club: Club
) -> None:
    cheap = {"per": "hour", "amount": {"amount": 2000, "currency": "GBP"}, "priority": 0}
    evening = {**cheap, "amount": {"amount": 3000, "currency": "GBP"}, "from": "18:00", "to": "22:00"}
    prices = f"/v1/orgs/{club.id}/venues/{club.venue}/prices"
    await club.owner.send("PUT", prices, {"rules": [cheap, evening]})
    _, booking = await book(desk, club)
    page = await desk.look(f"{sheet(club)}&booking={booking}&act=move")
    form = {"booking_id": booking, "resource_id": club.courts[1], "version": hidden(page, "version")}
    form |= {"day": str(DAY), "at": "18:00"}
    asked = await desk.send(f"/orgs/{club.id}/day/move", **form)
    assert asked.status_code == 409 and "This costs £10.00 more: £30.00 in all." in text(asked)
    assert blocks(asked)[0].startswith("10:00–11:00"), "nothing was moved"
    moved = await desk.follow(await desk.send(f"/orgs/{club.id}/day/move", **form, prices=hidden(asked, "prices")))
    assert toast(moved) == "Court 2, 18:00–19:00, + £10.00 to pay"
    way_back = undo_of(moved)
    await club.owner.send("PUT", prices, {"rules": [{**cheap, "amount": {"amount": 2500, "currency": "GBP"}}]})
    dearer = await desk.send(way_back)
    assert dearer.status_code == 409, "it cost £20.00 there"
    await club.owner.send("PUT", prices, {"rules": [cheap]})
    back = await desk.follow(await desk.send(way_back))
    assert blocks(back)[0].startswith("10:00–11:00")


async def test_a_stale_move_is_refused_and_changes_nothing(desk: Reader, club: Club) -> None:
    _, booking = await book(desk, club)
    form = {"booking_id": booking, "resource_id": club.courts[1], "version": "99", "day": str(DAY), "at": "18:00"}
    stale = await desk.send(f"/orgs/{club.id}/day/move", **form)
    assert stale.status_code == 412
    assert blocks(stale)[0].startswith("10:00–11:00")


async def test_a_drop_answers_its_script_with_parts_and_an_undo_or_with_the_reason(desk: Reader, club: Club) -> None:
    page, booking = await book(desk, club)
    await book(desk, club, resource_id=club.courts[1], at="12:00", who="Bilal")
    version = re.search(rf'value="{booking}"[^>]*data-move="(\d+)"', page.text)
    assert version
    drop = {"booking_id": booking, "resource_id": club.courts[1], "version": version[1]}
    refused = await desk.send(f"/orgs/{club.id}/day/move", headers=scripted(desk.csrf), start=f"{DAY}T12:30:00Z", **drop)
    assert refused.status_code == 409
    assert refused.headers["content-type"] == "application/problem+json"
    assert refused.json()["detail"].startswith("That time is taken.")
    taken = await desk.send(f"/orgs/{club.id}/day/move", headers=scripted(desk.csrf), start=f"{DAY}T14:00:00Z", **drop)
    assert taken.status_code == 200
    told = json.loads(taken.headers["hx-trigger"])["toast"]
    assert told["text"] == "Court 2, 14:00–15:00"
    assert "/back?" in told["undo"]
    assert 'id="day-figures"' in taken.text
    assert "<html" not in taken.text
    assert any(label.startswith("14:00–15:00, Zainab") for label in blocks(taken))


async def test_the_quote_of_a_lifted_block_knows_hours_and_prices(desk: Reader, club: Club) -> None:
    rules = [
        {"per": "hour", "amount": {"amount": 2000, "currency": "GBP"}, "priority": 0},
        {"per": "hour", "amount": {"amount": 3000, "currency": "GBP"}, "from": "18:00", "to": "22:00", "priority": 0},
    ]
    await club.owner.send("PUT", f"/v1/orgs/{club.id}/venues/{club.venue}/prices", {"rules": rules})
    _, booking = await book(desk, club)
    ask = f"/orgs/{club.id}/day/quote?booking_id={booking}&resource_id={club.courts[0]}&start={DAY}T"
    assert (await desk.look(ask + "18:00:00Z")).json() == {"ok": True, "text": "+ £10.00 to pay", "prices": "60:3000:GBP"}
    assert (await desk.look(ask + "11:00:00Z")).json() == {"ok": True, "text": "", "prices": "60:2000:GBP"}
    closed = (await desk.look(ask + "23:30:00Z")).json()
    assert closed["ok"] is False
    assert closed["text"] != ""


async def test_the_quote_of_a_lifted_block_is_what_the_drop_costs_also_where_guests_pay_for_moving(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    await club.owner.send("PATCH", f"/v1/orgs/{club.id}/policies", {"reschedule_fee_pct": 50})
    ada = await world.person("Ada")
    await world.credits(club, ada, 5000)
    wanted = {"resource_id": club.courts[0], "start": f"{DAY}T10:00:00Z", "duration_min": 60, "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wanted)).json()["id"]
    ask = f"/orgs/{club.id}/day/quote?booking_id={booking}&resource_id={club.courts[1]}&start={DAY}T14:00:00Z"
    assert (await desk.look(ask)).json() == {"ok": True, "text": "", "prices": "60:2000:GBP"}
    drop = {"booking_id": booking, "resource_id": club.courts[1], "version": "2", "start": f"{DAY}T14:00:00Z"}
    moved = await desk.send(f"/orgs/{club.id}/day/move", headers=scripted(desk.csrf), **drop)
    assert json.loads(moved.headers["hx-trigger"])["toast"]["text"] == "Court 2, 14:00–15:00"
    assert (await ada.get(f"/v1/bookings/{booking}")).json()["price"]["amount"] == 2000
    # The control: the guest's own move takes the fee.
    again = await ada.post(f"/v1/bookings/{booking}/reschedule", {"start": f"{DAY}T16:00:00Z"})
    assert again.json()["price"]["amount"] == 3000, again.text


async def test_an_extension_runs_longer_and_can_be_undone(desk: Reader, club: Club) -> None:
    _, booking = await book(desk, club)
    page = await desk.look(f"{sheet(club)}&booking={booking}&act=extend")
    version = hidden(page, "version")
    longer = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{booking}/extend", duration_min="90", version=version))
    assert toast(longer) == "Until 11:30, + £10.00 to pay"
    back = await desk.follow(await desk.send(undo_of(longer)))
    assert blocks(back)[0].startswith("10:00–11:00")


async def test_what_the_desk_was_shown_is_the_most_that_an_extension_or_a_drop_costs(desk: Reader, club: Club) -> None:
    _, booking = await book(desk, club)
    panel = f"{sheet(club)}&booking={booking}&act=extend"
    page = await desk.look(panel)
    assert "+ £10.00 to pay" in text(page)
    longer = {"duration_min": "90", "version": hidden(page, "version")}
    shown = re.findall('name="prices" value="([^"]+)"', page.text)
    drop = {"booking_id": booking, "resource_id": club.courts[1], "version": longer["version"], "start": f"{DAY}T14:00:00Z"}
    quote = f"/orgs/{club.id}/day/quote?booking_id={booking}&resource_id={club.courts[1]}&start={DAY}T14:00:00Z"
    drop["prices"] = (await desk.look(quote)).json()["prices"]
    dear = {"per": "hour", "priority": 0, "amount": {"amount": 2200, "currency": "GBP"}}
    put = await club.owner.send("PUT", f"/v1/orgs/{club.id}/venues/{club.venue}/prices", {"rules": [dear]})
    assert put.status_code == 200, put.text
    dropped = await desk.send(f"/orgs/{club.id}/day/move", headers=scripted(desk.csrf), **drop)
    assert dropped.status_code == 409 and dropped.json()["code"] == "price_changed", dropped.text
    refused = await desk.send(f"/orgs/{club.id}/day/{booking}/extend", **longer, prices=shown)
    assert refused.status_code == 409 and "higher now than it was shown" in text(refused)
    assert "+ £13.00 to pay" in text(refused) and "£20.00" in text(refused)
    # The controls: what is shown now may be had.
    assert (await desk.look(quote)).json()["prices"] == "60:2200:GBP"
    now = re.findall('name="prices" value="([^"]+)"', refused.text)
    done = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{booking}/extend", **longer, prices=now))
    assert toast(done) == "Until 11:30, + £13.00 to pay"


async def test_a_new_booking_is_taken_back_by_who_made_it_and_by_nobody_else(
    desk: Reader,
    club: Club,
    house: House,
    world: World,  # noqa: F811
) -> None:
    page, booking = await book(desk, club)
    ada = await world.person("Ada")
    await employ(club, ada, "agent")
    async with Reader.at(house) as other:
        await other.sign_in(ada)
        assert (await other.send(undo_of(page))).status_code == 409
    gone = await desk.follow(await desk.send(undo_of(page)))
    assert toast(gone) == "Taken back"
    assert blocks(gone) == []
    assert (await desk.send(f"/orgs/{club.id}/day/{booking}/cancel")).status_code == 409


async def test_a_cancellation_says_before_and_after_what_goes_back(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person("Ada")
    await world.credits(club, ada, 5000)
    _, booking = await book(desk, club, who=ada.email, pay_with="credits")
    asked = await desk.look(f"{sheet(club)}&booking={booking}&act=cancel")
    assert "£20.00 goes back, 100 % by the policy" in text(asked)
    refused = await desk.send(f"/orgs/{club.id}/day/{booking}/cancel", refund_minor="2001")
    assert refused.status_code == 409 and "Less comes back now than was shown" in text(refused)
    shown = hidden(refused, "refund_minor")
    gone = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{booking}/cancel", reason="Rain", refund_minor=shown))
    assert toast(gone) == "Cancelled, £20.00 goes back"
    assert blocks(gone) == []
    assert await world.balance(club, ada) == 5000
    _, booking = await book(desk, club, who=ada.email, pay_with="hold")
    in_part = await club.owner.post(f"/v1/orgs/{club.id}/bookings/{booking}/pay", {"pay_with": "desk", "credits_amount": 500})
    assert in_part.status_code == 200, in_part.text
    asked = await desk.look(f"{sheet(club)}&booking={booking}&act=cancel")
    assert "£15.00 of what is due falls away; £5.00 goes back" in text(asked)
    gone = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{booking}/cancel"))
    assert (toast(gone), await world.balance(club, ada)) == ("Cancelled, £5.00 goes back", 5000)


async def test_a_block_names_the_bookings_in_its_way_and_can_be_undone(desk: Reader, club: Club) -> None:
    await book(desk, club)
    form = {"venue_id": club.venue, "resource_ids": club.courts, "day": str(DAY), "at": "09:30", "until": "11:30"}
    unnamed = await desk.send(f"/orgs/{club.id}/day/block", **form)
    assert "staff and guests read it" in said_at(unnamed, "reason")
    hit = await desk.send(f"/orgs/{club.id}/day/block", reason="Floor", **form)
    assert hit.status_code == 409
    assert re.search(r"Bookings are in the way: Court 1 \d+ \w+ 10:00\.", text(hit))
    placed = await desk.follow(
        await desk.send(f"/orgs/{club.id}/day/block", reason="Floor", **(form | {"at": "14", "until": "16"}))
    )
    assert sum("Floor, blocked" in label for label in blocks(placed)) == 2
    await desk.follow(await desk.send(undo_of(placed)))
    assert not any("Floor" in label for label in blocks(await desk.look(sheet(club))))


async def test_who_only_looks_is_offered_nothing_and_may_do_nothing(
    desk: Reader,
    club: Club,
    house: House,
    world: World,  # noqa: F811
) -> None:
    page, booking = await book(desk, club)
    assert "New booking" in text(page), "or nobody is offered it"
    vera = await world.person("Vera")
    await employ(club, vera, "viewer")
    async with Reader.at(house) as viewer:
        await viewer.sign_in(vera)
        seen = await viewer.look(f"{sheet(club)}&booking={booking}")
        assert len(blocks(seen)) == 1
        for offered in ("New booking", "Move", "Extend", "Cancel booking"):
            assert offered not in text(seen)
        assert "data-move-url" not in seen.text
        assert (await viewer.send(f"/orgs/{club.id}/day/{booking}/cancel")).status_code == 403
        assert (await viewer.send(f"/orgs/{club.id}/day/new", **wish(club, at="15:00"))).status_code == 403


async def test_another_organisations_day_and_bookings_are_not_there(
    desk: Reader,
    club: Club,
    house: House,
    world: World,  # noqa: F811
) -> None:
    _, booking = await book(desk, club)
    rival = await world.club()
    async with Reader.at(house) as other:
        await other.sign_in(rival.owner)
        assert (await other.look(f"/orgs/{rival.id}/day?venue_id={club.venue}&date={DAY}")).status_code == 404
        assert (await other.look(f"/orgs/{rival.id}/day?booking={booking}")).status_code == 404
        assert (await other.send(f"/orgs/{rival.id}/day/{booking}/cancel")).status_code == 404
        assert (await other.look(f"/orgs/{rival.id}/day/parts?venue_id={club.venue}&date={DAY}")).status_code == 404


async def test_a_request_is_approved_on_the_sheet_or_declined(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person("Ada")
    for hour in (13, 15):
        answer = await ada.post(
            "/v1/bookings",
            {"resource_id": club.courts[0], "start": f"{DAY}T{hour}:00:00Z", "duration_min": 60, "purpose": "content"},
        )
        assert answer.json()["status"] == "pending_approval", answer.text
    page = await desk.look(sheet(club))
    assert "2 requests" in text(page)
    assert 'data-move="' not in page.text, "what is only asked for cannot be moved, and is not offered to be"
    first, second = sorted(
        re.findall(r'value="([0-9a-f-]+)" data-state="pending_approval" data-at="(\d+)"', page.text), key=lambda f: int(f[1])
    )
    waiting = (await desk.look(f"{sheet(club)}&booking={first[0]}")).text
    assert "/approve" in waiting and "act=cancel" in waiting and "act=move" not in waiting and "act=extend" not in waiting
    lifted = f"/orgs/{club.id}/day/quote?booking_id={first[0]}&resource_id={club.courts[1]}&start={DAY}T18:00:00Z"
    assert (await desk.look(lifted)).json()["ok"] is False
    approved = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{first[0]}/approve"))
    assert toast(approved) == "Approved"
    declined = await desk.follow(await desk.send(f"/orgs/{club.id}/day/{second[0]}/decline", reason="No filming"))
    assert "requests" not in text(declined)
    assert [label.split(",")[0] for label in blocks(declined)] == ["13:00–14:00"]


async def test_the_list_filters_by_state_person_and_day(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person("Ada")
    await book(desk, club, who=ada.email)
    await book(desk, club, at="12:00", who="Bilal")
    here = f"/orgs/{club.id}/bookings"
    both = text(await desk.look(here))
    assert "Ada" in both
    assert "Bilal" in both
    hers = text(await desk.look(f"{here}?who={ada.email}"))
    assert "12:00–13:00" not in hers
    assert "10:00–11:00" in hers
    assert "Nobody has this address" in text(await desk.look(f"{here}?who=nobody.here@example.org"))
    assert "No such bookings" in text(await desk.look(f"{here}?show=gone"))
    other_day = DAY + timedelta(days=1)
    assert "No such bookings" in text(await desk.look(f"{here}?show=all&from={other_day}"))


async def test_whoever_is_erased_is_a_deleted_account_on_the_sheet_in_the_list_and_among_guests(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
    house: House,
) -> None:
    ada, eve = await world.person("Ada"), await world.person("Eve")
    _, hers = await book(desk, club, who=ada.email)
    _, id = await book(desk, club, at="12:00", team_size="2")
    desk_page = f"/orgs/{club.id}/day"
    invited = await club.owner.post(f"/v1/orgs/{club.id}/bookings/{id}/invitees", {"account_id": eve.id})
    assert invited.status_code == 201, invited.text
    async with house.database.module("identity").tx(service_context("tests")) as tx:
        for person in (ada, eve):
            await tx.run(erasing.ERASE, UUID(person.id), datetime.now(UTC))
    page = await desk.look(f"{desk_page}?venue_id={club.venue}&date={DAY}&booking={hers}")
    assert blocks(page)[0].startswith("10:00–11:00, Deleted account, upcoming")
    assert text(page).count("Deleted account") > 1, "on the sheet and in the panel"
    assert "Deleted account" in text(await desk.look(f"/orgs/{club.id}/bookings"))
    guests = text(await desk.look(f"{desk_page}?venue_id={club.venue}&date={DAY}&booking={id}"))
    assert "Deleted account" in guests.split("Who comes")[1]
    for language, word in (("pt", "Conta apagada"), ("ur", "مٹایا گیا اکاؤنٹ")):
        desk.http.cookies.set("fc_locale", language)
        assert word in text(await desk.look(f"/orgs/{club.id}/bookings"))
    assert ada.id not in page.text and "erased" not in page.text


async def test_a_place_without_anything_to_book_says_what_to_do(reader: Reader, world: World) -> None:  # noqa: F811
    club = await world.club(courts=0)
    await reader.sign_in(club.owner)
    assert "Nothing to book here yet" in text(await reader.look(f"/orgs/{club.id}/day"))


async def test_a_day_can_be_far_away_and_on_a_clock_change(desk: Reader, world: World) -> None:  # noqa: F811
    london = await world.club(zone="Europe/London", owner=(await world.person("Olga")))
    await with_other(desk, london)


async def with_other(desk: Reader, london: Club) -> None:
    await desk.send("/sign-out")
    await desk.sign_in(london.owner)
    for day, hours in (("2027-03-28", 17), ("2027-10-31", 17), ("2099-12-31", 17)):
        page = await desk.look(f"/orgs/{london.id}/day?date={day}")
        assert page.status_code == 200
        rows = re.search(r'data-rows="(\d+)"', page.text)
        assert rows
        assert int(rows[1]) == hours * 4


async def test_a_court_has_a_calendar_address_that_is_shown_once_and_can_be_closed(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    here = f"/orgs/{club.id}/places/{club.venue}/resources/{club.courts[0]}/calendar"
    assert here in (await desk.look(f"/orgs/{club.id}/places/{club.venue}/resources?edit={club.courts[0]}")).text
    assert "Make an address" in text(await desk.look(here))
    made = await desk.send(here)
    path = re.search(r"/v1/resources/calendar\.ics\?token=[\w-]+", made.text)
    assert path is not None
    content = await world.client.get(path[0])
    assert (content.status_code, content.headers["content-type"]) == (200, "text/calendar; charset=utf-8")
    tag = content.headers["etag"]
    again = [await world.client.get(path[0], headers={"If-None-Match": told}) for told in (tag, f"W/{tag}", f'"{tag}"')]
    assert [one.status_code for one in again] == [304, 304, 200]
    assert {one.headers["cache-control"] for one in again} == {"private, no-cache"}
    assert path[0] not in (await desk.look(here)).text
    assert toast(await desk.follow(await desk.send(f"{here}/close"))) == "The address is closed"
    assert (await world.client.get(path[0])).status_code == 404


# --- in the reader's language


@pytest.mark.parametrize(
    ("language", "booked", "on_the_sheet", "written", "taken", "moved"),
    [
        (
            "pt",
            "Reservado: Zainab, 10:00–11:00",
            "10:00–11:00, Zainab, marcada, 1 pessoa, £20,00 por pagar",
            "Escreva a hora assim: 18:30.",
            "Esse horário está ocupado. Livre por perto: ",
            "Como estava",
        ),
        (
            "ur",
            "بک ہو گیا: Zainab، 10:00–11:00",
            "10:00–11:00, Zainab, آنے والی, 1 شخص، £20.00 باقی",
            "وقت یوں لکھیں: 18:30۔",
            "وہ وقت لیا جا چکا ہے۔ قریب میں خالی: ",
            "پہلے جیسا",
        ),
    ],
    ids=["pt", "ur"],
)
async def test_what_is_done_and_what_is_wrong_is_said_in_the_readers_language(
    desk: Reader, club: Club, language: str, booked: str, on_the_sheet: str, written: str, taken: str, moved: str
) -> None:
    desk.http.cookies.set("fc_locale", language)
    page, booking = await book(desk, club)
    assert plain(toast(page)) == booked
    assert [plain(label) for label in blocks(page)] == [on_the_sheet]
    assert said_at(await desk.send(f"/orgs/{club.id}/day/new", **wish(club, at="noon")), "at") == written
    refused = text(await desk.send(f"/orgs/{club.id}/day/new", **wish(club, who="Bilal")))
    assert taken in refused and "That time" not in refused
    form = {"booking_id": booking, "resource_id": club.courts[1], "version": hidden(await opened(desk, club, booking), "version")}
    there = await desk.follow(await desk.send(f"/orgs/{club.id}/day/move", **form, day=str(DAY), at="18:00"))
    assert toast(await desk.follow(await desk.send(undo_of(there)))) == moved
    desk.http.cookies.set("fc_locale", "en")
    assert "New booking" in text(await desk.look(sheet(club))), "the language is the reader's, not the house's"


def plain(said: str) -> str:
    """Without what keeps a price whole, on one line and in its direction."""
    return re.sub(r"[\u00a0\u2066\u2069]", "", said)


async def opened(desk: Reader, club: Club, booking: str) -> httpx.Response:
    return await desk.look(f"{sheet(club)}&booking={booking}&act=move")


TYPED = "Zainab Riverside Courts Court Olive"
NAMES = frozenset(f"Forecourt English Português Enter Esc Shift Apprise CSV JSON Lines API WhatsApp {TYPED}".split())
"""What Urdu pages write in Latin letters: names, keys, formats; not counted is what is data, by its markup."""
SHOWN = re.compile(r'(?:aria-label|title|placeholder|data-confirm|data-said-[a-z]+)="([^"]*)"')


def english(page: httpx.Response) -> set[str]:
    """Latin words that a page shows or reads out, other than names and what was typed."""
    foreign = r'(?s)<(code|pre|bdi|kbd|script|style|head|template|textarea)\b.*?</\1>|<p [^>]*\blang="en".*?</p>'
    markup = re.sub(foreign, " ", page.text)
    shown = " ".join([html.unescape(re.sub(r"<[^>]+>", " ", markup)), *map(html.unescape, SHOWN.findall(markup))])
    return set(re.findall(r"(?<![\w./:@{])[A-Za-z]{3,}(?![\w./:@}])", shown)) - NAMES


async def test_no_page_of_the_console_says_anything_in_english_to_who_reads_urdu(desk: Reader, club: Club) -> None:
    _, booking = await book(desk, club)
    org, day = f"/orgs/{club.id}", sheet(club)
    paths = [
        *(day, f"{day}&booking={booking}", f"{day}&new=1", f"{day}&block=1"),
        *(f"{day}&booking={booking}&act={act}" for act in ("move", "extend", "cancel")),
        *(f"{org}/bookings", f"{org}/bookings?show=gone", f"{org}/bookings?who=nobody@example.org"),
        f"{org}/places/{club.venue}/resources/{club.courts[0]}/calendar",
        *(f"{org}/{page}" for page in ("deliveries", "deliveries?status=failed", "templates", "providers", "audit")),
        "/credits",
    ]
    assert {"Book", "Purpose"} <= english(await desk.look(f"{day}&new=1")), "English would be seen"
    desk.http.cookies.set("fc_locale", "ur")
    found: dict[str, set[str]] = {}
    for path in paths:
        page = await desk.look(path)
        assert page.status_code == 200, path
        found[path] = english(page)
    assert {path: words for path, words in found.items() if words} == {}


async def test_a_provider_and_words_that_cannot_be_used_are_refused_in_the_readers_language(desk: Reader, club: Club) -> None:
    desk.http.cookies.set("fc_locale", "pt")
    org = f"/orgs/{club.id}"
    bad = await desk.send(f"{org}/providers", channel="sms", name="Ours", url="mailto://x", place="0")
    assert "gateway" in said_at(bad, "url") and said_at(bad, "url").startswith("Tem de ser")
    words = {"event": "booking.confirmed", "channel": "email", "locale": "en", "subject": "{{ nobody }}", "text": "x"}
    assert said_at(await desk.send(f"{org}/templates", **words), "subject").startswith("Nomeia 'nobody'; há ")
    saved = await desk.follow(await desk.send(f"{org}/templates", **(words | {"subject": "Yes"})))
    assert toast(saved) == "Guardado"
    assert "Os seus textos, versão 1." in text(saved)
    hooked = await desk.send(f"{org}/webhooks", url="https://hooks.example.com/in", events="booking.*")
    assert "https://hooks.example.com/in: assinado com esta chave" in text(hooked)
    assert "Verificar o registo" in text(await desk.look(f"{org}/audit"))
