"""Rooms looked after on their pages, without a script: who may do what, what is said when it goes wrong. And who follows what."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from tests.journeys.reader import Reader, hidden, said_at, text, toast
from tests.journeys.test_chat import group
from tests.journeys.world import Person, World, at

from forecourt.app import House
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking.contract import BookingTopics


@pytest.fixture
async def reader(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as reader:
        yield reader


@pytest.fixture
async def other(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as other:
        yield other


async def handle(who: Person) -> str:
    handle = f"{who.id[-8:]}_x" if who.id[-8].isalpha() else f"x_{who.id[-8:]}"
    assert (await who.send("PATCH", "/v1/me/profile", {"handle": handle})).status_code == 200
    return handle


async def test_an_owner_changes_a_room_and_its_people_on_one_page(reader: Reader, other: Reader, world: World) -> None:
    ada, ben, cleo = await world.person("Ada"), await world.person("Ben"), await world.person("Cleo")
    room = await group(ada, ben)
    here = f"/chat/{room}/settings"
    await reader.sign_in(ada)
    await other.sign_in(ben)
    page = await reader.look(here)
    version = hidden(page, "version")
    saved = await reader.follow(await reader.send(here, version=version, name="Friday four", about="Court 2", keep="30"))
    assert toast(saved) == "Saved"
    found = (await ben.get(f"/v1/rooms/{room}")).json()
    assert (found["name"], found["about"], found["retention_days"]) == ("Friday four", "Court 2", 30)

    stale = await reader.send(here, version=version, name="Saturday four")
    assert stale.status_code == 412
    assert "Someone else changed this in the meantime" in text(stale)
    bad = await reader.send(here, version="2", name="x" * 101)
    assert (bad.status_code, said_at(bad, "name")) == (422, "Between 1 and 100 characters.")
    assert (await ben.get(f"/v1/rooms/{room}")).json()["name"] == "Friday four"

    nobody = await reader.send(f"/chat/{room}/members", handles="@nobody_at_all_here")
    assert (nobody.status_code, said_at(nobody, "handles")) == (422, "Nobody is called @nobody_at_all_here.")
    came = await reader.follow(await reader.send(f"/chat/{room}/members", handles=f"@{await handle(cleo)}"))
    assert toast(came) == "1 person came in"
    for act in ("moderator", "mute-hour"):
        await reader.follow(await reader.send(f"/chat/{room}/members/{cleo.id}", act=act))
    member = next(m for m in (await ada.get(f"/v1/rooms/{room}/members")).json()["items"] if m["account_id"] == cleo.id)
    assert member["role"] == "moderator"
    assert member["muted_until"] is not None
    await reader.follow(await reader.send(f"/chat/{room}/slow", seconds="60"))
    await reader.follow(await reader.send(f"/chat/{room}/members/{cleo.id}", act="ban"))
    assert "Lift the ban" in text(await reader.look(here))
    assert (await cleo.get(f"/v1/rooms/{room}")).status_code == 404
    await reader.follow(await reader.send(f"/chat/{room}/unban", account_id=cleo.id))
    assert "Nobody is banned" in text(await reader.look(here))

    # Who is a plain member sees what there is, and changes nothing.
    seen = await other.look(here)
    assert "Court 2" in text(seen)
    assert all(name not in seen.text for name in ('name="keep"', 'name="seconds"', 'name="act"', 'name="archived"'))
    refused = await other.send(here, version=hidden(page, "version"), name="Mine")
    assert (refused.status_code, "An owner of the room does this." in text(refused)) == (403, True)
    forms: dict[str, dict[str, Any]] = {
        "archive": {"archived": "true"},
        "slow": {"seconds": "0"},
        f"members/{ada.id}": {"act": "ban"},
    }
    for path, form in forms.items():
        told = toast(await other.follow(await other.send(f"/chat/{room}/{path}", **form)))
        assert told in ("An owner of the room does this.", "Moderators of the room do this."), path
    found = (await ada.get(f"/v1/rooms/{room}")).json()
    assert (found["name"], found["archived"], found["slow_mode_s"]) == ("Friday four", False, 60)

    closed = await reader.follow(await reader.send(f"/chat/{room}/archive", archived="true"))
    assert toast(closed) == "The room is archived"
    assert "This room is archived" in text(await other.look(f"/chat/{room}"))
    await reader.follow(await reader.send(f"/chat/{room}/archive", archived="false"))
    assert (await ada.get(f"/v1/rooms/{room}")).json()["archived"] is False


async def test_a_stranger_finds_no_settings_of_a_private_room(reader: Reader, world: World) -> None:
    ada, ben, eve = await world.person("Ada"), await world.person("Ben"), await world.person("Eve")
    room = await group(ada, ben)
    await reader.sign_in(eve)
    assert (await reader.look(f"/chat/{room}/settings")).status_code == 404
    forms: dict[str, dict[str, Any]] = {"settings": {"version": "1", "name": "x"}, "members": {"handles": "@ada"}, "leave": {}}
    for path, form in forms.items():
        assert (await reader.send(f"/chat/{room}/{path}", **form)).status_code == 404, path
    assert (await ada.get(f"/v1/rooms/{room}")).json()["name"] == "Thursday four"


async def test_staff_make_a_channel_that_a_guest_finds_and_joins(reader: Reader, other: Reader, world: World) -> None:
    club, guest = await world.club(courts=1), await world.person("Guest")
    here, name = f"/orgs/{club.id}/channels", f"News {club.id[-6:]}"
    await reader.sign_in(club.owner)
    await other.sign_in(guest)
    assert "No channels yet" in text(await reader.look(here))
    empty = await reader.send(here, name="  ", public="true")
    assert (empty.status_code, said_at(empty, "name")) == (422, "Between 1 and 100 characters.")
    made = await reader.follow(await reader.send(here, name=name, about="What is on", public="true"))
    await reader.follow(await reader.send(here, name="Staff only"))
    assert (await other.look(here)).status_code in (403, 404), "a guest makes none"

    nothing = await other.look(f"/chat/channels?org={club.id}&q=nothing_like_it")
    assert "No channel has “nothing_like_it”" in text(nothing)
    found = await other.look(f"/chat/channels?org={club.id}&q={name[:7].lower()}")
    assert name in text(found)
    assert "Staff only" not in text(await other.look(f"/chat/channels?org={club.id}"))
    room = made.url.path.rpartition("/")[2]
    inside = await other.follow(await other.send(f"/chat/{room}/join"))
    assert 'id="compose"' in inside.text
    assert "You are in" in text(await other.look(f"/chat/channels?org={club.id}"))
    kept = await reader.follow(await reader.send(f"/chat/{room}/leave"))
    assert toast(kept) == "Make somebody else owner of the room first."
    left = await other.follow(await other.send(f"/chat/{room}/leave"))
    assert toast(left) == f"You left {name}"


async def test_hours_in_which_one_is_not_to_be_disturbed_are_chosen_by_ones_own_clock(reader: Reader, world: World) -> None:
    ada = await world.person("Ada")
    await reader.sign_in(ada)
    half = await reader.send("/chat/settings", start="22:00", timezone="Asia/Karachi", receipts="true")
    assert (half.status_code, said_at(half, "end")) == (422, "Is needed with the other one.")
    nowhere = await reader.send("/chat/settings", start="22:00", end="07:00", timezone="Mars/Base", receipts="true")
    assert (nowhere.status_code, said_at(nowhere, "timezone")) == (422, "Is not an IANA time zone.")
    wish: dict[str, Any] = {"start": "22:00", "end": "07:00", "timezone": "Asia/Karachi", "receipts": "true", "days": ["0", "4"]}
    assert toast(await reader.follow(await reader.send("/chat/settings", **wish))) == "Saved"
    chosen = (await ada.get("/v1/me/chat")).json()
    quiet = {"start": "22:00", "end": "07:00", "timezone": "Asia/Karachi", "weekdays": [0, 4]}
    assert chosen == {"receipts": True, "quiet": quiet}
    await reader.follow(await reader.send("/chat/settings", timezone="Asia/Karachi"))
    assert (await ada.get("/v1/me/chat")).json() == {"receipts": False, "quiet": None}


async def test_staff_who_may_see_a_booking_follow_it_and_others_do_not(house: House, world: World) -> None:
    club, other = await world.club(courts=1), await world.club(courts=1)
    guest, desk, accountant = await world.person("Guest"), await world.person("Desk"), await world.person("Sums")
    await world.credits(club, guest)
    org = f"/v1/orgs/{club.id}"
    role = {"name": "Sums", "permissions": ["analytics.read"]}
    assert (await club.owner.post(f"{org}/roles", role)).status_code == 201
    for account, name in ((desk, "viewer"), (accountant, "Sums")):
        assert (await club.owner.post(f"{org}/staff", {"account_id": account.id, "role": name})).status_code in (200, 201)
    wish = {"resource_id": club.courts[0], "start": at(5, 18), "duration_min": 60, "pay_with": "credits"}
    booking = (await guest.post("/v1/bookings", wish)).json()["id"]
    topics, topic = house.board.call(BookingTopics), f"booking:{booking}"

    def seen_by(person: Person) -> Context:
        return Context(Actor(ActorKind.PERSON, account_id=UUID(person.id), confirmed=True))

    for person in (guest, club.owner, desk):
        assert (await topics.follow(seen_by(person), topic, None)).topic == topic
    for person in (other.owner, accountant):
        with pytest.raises(NotFound):
            await topics.follow(seen_by(person), topic, None)
    everybody = [UUID(p.id) for p in (guest, club.owner, desk, other.owner, accountant)]
    assert await topics.allowed(service_context("realtime"), topic, everybody) == everybody[:3]
