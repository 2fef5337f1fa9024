"""Who is invited to a booking: listed, added, told by mail where there is no account, answering by a link alone, taken off."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import icalendar
import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import Club, Person, World, at

REF = re.compile(r"/invitations/([A-Za-z0-9_-]+)")
LEAVE = re.compile(r"/v1/unsubscribe/([A-Za-z0-9_-]+)")


@pytest.fixture
async def reader(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as reader:
        yield reader


def stranger() -> str:
    return f"guest.{uuid4().hex[:12]}@example.org"


async def booked(world: World, club: Club, host: Person, *invitees: dict[str, str], days: int = 5) -> dict[str, Any]:
    await world.credits(club, host)
    wish = {"resource_id": club.courts[0], "start": at(days, 18), "duration_min": 60, "team_size": 4, "pay_with": "credits"}
    answer = await host.post("/v1/bookings", wish | {"invitees": list(invitees)})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def mail(world: World, to: str, subject: str) -> dict[str, Any]:
    """The newest mail to an address whose subject begins so, as soon as it is there."""
    items: list[dict[str, Any]] = []
    for _ in range(400):
        answer = await world.client.get("/dev/outbox", params={"to": to}, headers={"Accept": "application/json"})
        items = answer.json()["items"]
        if found := [m for m in items if m["subject"].startswith(subject)]:
            return found[0]
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail {subject!r} to {to}: {[m['subject'] for m in items]}")


async def link_of(world: World, to: str) -> str:
    found = REF.search((await mail(world, to, "You are invited"))["text"])
    assert found
    return found[1]


async def listed(host: Person, booking: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await host.get(f"/v1/bookings/{booking['id']}/invitees")
    assert answer.status_code == 200, answer.text
    return answer.json()["items"]


async def room_has(host: Person, booking: dict[str, Any], person: Person, *, there: bool) -> None:
    """Waits until the person is in the booking's room, or is not."""
    members: list[str] = []
    for _ in range(400):
        rooms = (await host.get("/v1/rooms")).json()["items"]
        room = next((r for r in rooms if r.get("subject_id") == booking["id"]), None)
        if room is not None:
            members = [m["account_id"] for m in (await host.get(f"/v1/rooms/{room['id']}/members")).json()["items"]]
            if (person.id in members) is there:
                return
        await asyncio.sleep(0.05)
    raise AssertionError(f"in the room: {members}")


async def kinds_of(person: Person, wanted: str) -> str:
    """The title of the newest notification of this kind, as soon as there is one."""
    kinds: list[str] = []
    for _ in range(400):
        items = (await person.get("/v1/notifications")).json()["items"]
        kinds = [n["kind"] for n in items]
        if wanted in kinds:
            return items[kinds.index(wanted)]["title"]
        await asyncio.sleep(0.05)
    raise AssertionError(kinds)


# --- by e-mail alone -----------------------------------------------------------------------------------------------------


async def test_who_is_invited_by_address_alone_gets_a_mail_and_answers_by_its_link_without_an_account(world: World) -> None:
    club, ada, to = await world.club(courts=1), await world.person("Ada"), stranger()
    booking = await booked(world, club, ada, {"email": to})
    letter = await mail(world, to, "You are invited: Court 1")
    assert "Ada" in letter["text"] and "Riverside Courts" in letter["text"] and "1 Quay Street" in letter["text"]
    event = next(iter(icalendar.Calendar.from_ical(letter["calendar"]).walk("VEVENT")))
    assert event["UID"] == f"{booking['id']}@forecourt"
    assert letter["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    token = await link_of(world, to)

    seen = await world.client.get(f"/v1/invitations/{token}")
    assert seen.status_code == 200, seen.text
    invitation = seen.json()
    assert (invitation["status"], invitation["host"], invitation["place"]) == ("pending", "Ada", "Court 1")
    assert booking["price"]["amount"] and "price" not in invitation, "what it costs is between host and club"
    assert [(i["status"], i["email"]) for i in await listed(ada, booking)] == [("pending", to)]

    for answer, status in (("accept", "accepted"), ("decline", "declined"), ("accept", "accepted")):
        said = await world.client.post(f"/v1/invitations/{token}/{answer}")
        assert (said.status_code, said.json()["status"]) == (200, status), said.text
        assert [i["status"] for i in await listed(ada, booking)] == [status]

    assert (await world.client.post(f"/v1/invitations/{token}/decline")).status_code == 200
    (declined,) = await listed(ada, booking)
    asked = await ada.post(f"/v1/bookings/{booking['id']}/invitees/{declined['id']}/ask")
    assert (asked.status_code, asked.json()["status"]) == (200, "pending"), asked.text
    assert (await world.client.post(f"/v1/invitations/{token}/accept")).json()["status"] == "accepted", "the link stays"

    for bad in (token[:-2], token[:-4] + "AAAA", "x" * 86, str(uuid4())):
        assert (await world.client.get(f"/v1/invitations/{bad}")).status_code == 404, bad
        assert (await world.client.post(f"/v1/invitations/{bad}/accept")).status_code == 404, bad


async def test_a_link_joins_whoever_signs_in_with_it_and_nobody_after_them(world: World) -> None:
    club, ada, to = await world.club(courts=1), await world.person("Ada"), stranger()
    ben, eve = await world.person("Ben"), await world.person("Eve")
    booking = await booked(world, club, ada, {"email": to})
    token = await link_of(world, to)
    joined = await ben.post(f"/v1/invitations/{token}/accept")
    assert (joined.status_code, joined.json()["status"]) == (200, "accepted"), joined.text
    await room_has(ada, booking, ben, there=True)
    assert (await kinds_of(ada, "booking.guest_answered")).startswith("Ben comes: Court 1")
    assert [i.get("account_id") for i in await listed(ada, booking)] == [ben.id]
    taken = await eve.post(f"/v1/invitations/{token}/accept")
    assert (taken.status_code, taken.json()["code"]) == (409, "invitation_taken")
    declined = await ben.post(f"/v1/invitations/{token}/decline")
    assert declined.status_code == 200
    await room_has(ada, booking, ben, there=False)


async def test_whoever_registers_with_the_address_later_has_the_invitation(world: World) -> None:
    club, ada = await world.club(courts=1), await world.person("Ada")
    to = stranger()
    booking = await booked(world, club, ada, {"email": to.upper()})
    await mail(world, to.upper(), "You are invited")
    answer = await world.client.post(
        "/v1/auth/register", json={"email": to, "password": "brisk-otter-lands-17-quinces", "name": "Gus"}
    )
    made = answer.json()
    gus = Person(made["account"]["id"], to, made["access_token"], made["refresh_token"], world.client)
    assert (await gus.get("/v1/me/invitations")).json()["items"] == [], "an address that is not verified is nobody's"
    assert (await world.client.post("/v1/auth/verify-email", json={"email": to, "code": await world.code(to)})).status_code == 204
    items: list[dict[str, Any]] = []
    for _ in range(400):
        items = (await gus.get("/v1/me/invitations")).json()["items"]
        if items:
            break
        await asyncio.sleep(0.05)
    assert [(i["status"], i["place"]) for i in items] == [("pending", "Court 1")]
    await kinds_of(gus, "booking.invited")
    assert "account_id" not in (await listed(ada, booking))[0], "who invites does not learn who has an account"
    assert (await gus.post(f"/v1/invitations/{items[0]['id']}/accept")).json()["status"] == "accepted"
    await room_has(ada, booking, gus, there=True)


async def test_who_has_an_account_with_the_address_is_told_as_an_account_and_the_host_does_not_learn_it(world: World) -> None:
    club, ada, ben = await world.club(courts=1), await world.person("Ada"), await world.person("Ben")
    booking = await booked(world, club, ada, {"email": ben.email})
    letter = await mail(world, ben.email, "You are invited: Court 1")
    assert "Hello Ben" in letter["text"]
    await kinds_of(ben, "booking.invited")
    (known,) = await listed(ada, booking)
    other = await booked(world, club, ada, {"email": stranger()}, days=6)
    (unknown,) = await listed(ada, other)
    assert known.keys() == unknown.keys(), "an account shows in nothing"
    (mine,) = (await ben.get("/v1/me/invitations")).json()["items"]
    assert (await (await world.person("Eve")).get(f"/v1/invitations/{mine['id']}")).status_code == 404
    assert (await ben.get(f"/v1/invitations/{mine['id']}")).json()["host"] == "Ada"


async def test_an_address_that_wants_no_mail_from_here_gets_none_until_it_takes_that_back(world: World) -> None:
    club, ada, to = await world.club(courts=1), await world.person("Ada"), stranger()
    await booked(world, club, ada, {"email": to})
    letter = await mail(world, to, "You are invited")
    found = LEAVE.search(letter["text"])
    assert found
    page = await world.client.get(f"/v1/unsubscribe/{found[1]}")
    assert page.status_code == 200 and to not in page.text
    assert (await world.client.post(f"/v1/unsubscribe/{found[1]}")).status_code == 200
    second = await booked(world, club, ada, {"email": to}, days=6)
    # A later mail to somebody else is there: what comes of the second is over by then.
    control = stranger()
    third = await booked(world, club, ada, {"email": control}, days=7)
    await mail(world, control, "You are invited")
    assert [i["status"] for i in await listed(ada, second)] == ["pending"], "nor does the host learn that"
    assert second["id"] not in await told_of(world, to)
    assert (await world.client.post(f"/v1/unsubscribe/{found[1]}/undo")).status_code == 200
    again = await ada.post(f"/v1/bookings/{third['id']}/invitees", {"email": to})
    assert again.status_code == 201, again.text
    for _ in range(400):
        if third["id"] in await told_of(world, to):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("mails that were taken back do not come again")


async def told_of(world: World, to: str) -> set[str]:
    """The bookings that an address was written to about."""
    answer = await world.client.get("/dev/outbox", params={"to": to}, headers={"Accept": "application/json"})
    files = [m["calendar"] for m in answer.json()["items"] if m["calendar"]]
    events = [event for file in files for event in icalendar.Calendar.from_ical(file).walk("VEVENT")]
    return {str(event["UID"]).partition("@")[0] for event in events}


# --- listed, added and taken off -----------------------------------------------------------------------------------------


async def test_invitations_are_added_and_taken_back_and_whoever_is_taken_off_hears_it_and_leaves_the_room(world: World) -> None:
    club, ada, ben, to = await world.club(courts=1), await world.person("Ada"), await world.person("Ben"), stranger()
    booking = await booked(world, club, ada)
    path = f"/v1/bookings/{booking['id']}/invitees"
    for wish in ({"account_id": ben.id}, {"email": to}):
        assert (await ada.post(path, wish)).status_code == 201
        assert (await ada.post(path, wish)).status_code == 201, "once more is the same"
    await room_has(ada, booking, ben, there=True)
    token = await link_of(world, to)
    items = await listed(ada, booking)
    assert len(items) == 2
    for item in items:
        assert (await ada.send("DELETE", f"{path}/{item['id']}")).status_code == 204
        assert (await ada.send("DELETE", f"{path}/{item['id']}")).status_code == 204
    await room_has(ada, booking, ben, there=False)
    await kinds_of(ben, "booking.uninvited")
    await mail(world, to, "No longer invited: Court 1")
    gone = await world.client.post(f"/v1/invitations/{token}/accept")
    assert (gone.status_code, gone.json()["code"]) == (410, "invitation_over")
    assert [i["status"] for i in await listed(ada, booking)] == ["withdrawn", "withdrawn"]
    # Invited anew: the link of before opens nothing.
    assert (await ada.post(path, {"email": to})).status_code == 201
    assert (await world.client.get(f"/v1/invitations/{token}")).status_code == 404


async def test_a_booking_that_is_cancelled_takes_its_invitations_along_and_says_so(world: World) -> None:
    club, ada, to = await world.club(courts=1), await world.person("Ada"), stranger()
    booking = await booked(world, club, ada, {"email": to})
    token = await link_of(world, to)
    moved = await ada.post(f"/v1/bookings/{booking['id']}/reschedule", {"start": at(6, 18)})
    assert moved.status_code == 200, moved.text
    assert "Hello" in (await mail(world, to, "Moved: Court 1"))["text"]
    assert (await ada.post(f"/v1/bookings/{booking['id']}/cancel", {"reason": "My own affair"})).status_code == 200
    letter = await mail(world, to, "Cancelled: Court 1")
    assert "My own affair" not in letter["text"]
    assert icalendar.Calendar.from_ical(letter["calendar"])["METHOD"] == "CANCEL"
    assert (await world.client.post(f"/v1/invitations/{token}/accept")).status_code == 410
    late = await ada.post(f"/v1/bookings/{booking['id']}/invitees", {"email": stranger()})
    assert late.status_code == 409, late.text


async def test_a_party_has_only_so_many_places_and_only_its_owner_fills_them(world: World) -> None:
    club, ada, eve = await world.club(courts=1), await world.person("Ada"), await world.person("Eve")
    booking = await booked(world, club, ada, {"email": stranger()}, {"email": stranger()})
    path = f"/v1/bookings/{booking['id']}/invitees"
    assert (await eve.get(path)).status_code == 404
    assert (await eve.post(path, {"email": stranger()})).status_code == 404
    assert (await ada.post(path, {"email": stranger()})).status_code == 201
    full = await ada.post(path, {"email": stranger()})
    assert full.status_code == 422, full.text
    assert (await ada.post(path, {"email": "not an address"})).status_code == 422
    assert (await ada.post(path, {"account_id": ada.id})).status_code == 422
    staff = await club.owner.get(f"/v1/orgs/{club.id}/bookings/{booking['id']}/invitees")
    assert len(staff.json()["items"]) == 3


async def test_an_account_that_is_not_confirmed_invites_nobody(world: World) -> None:
    club, cleo = await world.club(courts=1), await world.person("Cleo", verify=False)
    wish = {"resource_id": club.courts[0], "start": at(5, 18), "duration_min": 60, "team_size": 4}
    refused = await cleo.post("/v1/bookings", wish | {"invitees": [{"email": stranger()}]})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_unconfirmed")
    held: httpx.Response = await cleo.post("/v1/bookings", wish)
    assert held.status_code == 201, "holding alone is allowed"
    refused = await cleo.post(f"/v1/bookings/{held.json()['id']}/invitees", {"email": stranger()})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_unconfirmed")


# --- pages ---------------------------------------------------------------------------------------------------------------


async def test_a_guest_answers_on_the_page_of_the_link_without_an_account_and_in_their_language(
    world: World, reader: Reader
) -> None:
    club, ada, to = await world.club(courts=1), await world.person("Ada"), stranger()
    booking = await booked(world, club, ada, {"email": to})
    path = f"/invitations/{await link_of(world, to)}"
    page = await reader.look(path)
    assert "Ada invites you" in text(page) and "Riverside Courts" in text(page) and "£" not in text(page)
    assert f"/bookings/{booking['id']}" not in page.text
    page = await reader.follow(await reader.send(f"{path}/accept"))
    assert 'data-status="accepted"' in page.text and f"/sign-in?next={path}" in page.text
    page = await reader.follow(await reader.send(f"{path}/decline"))
    assert 'data-status="declined"' in page.text
    reader.http.headers["Accept-Language"] = "ur"
    urdu = await reader.look(path)
    assert 'dir="rtl"' in urdu.text and "آپ نہیں آ رہے" in text(urdu)
    assert "<bdi>Court 1</bdi>، " in urdu.text, "the day is not drawn into a name in Latin letters"
    assert (await reader.look(f"{path[:-2]}")).status_code == 404
    await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})
    assert (await reader.look(path)).status_code == 410


async def test_the_owner_sees_invites_and_takes_back_on_the_page_of_the_booking(
    world: World, reader: Reader, door: httpx.AsyncBaseTransport
) -> None:
    club, ada, ben, to = await world.club(courts=1), await world.person("Ada"), await world.person("Ben"), stranger()
    booking = await booked(world, club, ada, {"account_id": ben.id})
    await reader.sign_in(ada)
    path = f"/bookings/{booking['id']}"
    page = await reader.look(path)
    assert "Who comes" in text(page) and "Ben" in text(page) and "Room for 2 more" in text(page)
    wrong = await reader.send(f"{path}/invitees", email="nobody")
    assert wrong.status_code == 422 and "nobody" in wrong.text
    page = await reader.follow(await reader.send(f"{path}/invitees", email=to))
    assert to in text(page) and "Has not answered" in text(page)
    (_, mine) = await listed(ada, booking)
    page = await reader.follow(await reader.send(f"{path}/invitees/{mine['id']}/withdraw"))
    assert "Taken back" in text(page)
    page = await reader.follow(await reader.send(f"{path}/invitees/{mine['id']}/ask"))
    assert "Taken back" not in text(page) and "Has not answered" in text(page)
    async with Reader(door) as other:
        await other.sign_in(ben)
        mine_page = await other.look("/bookings")
        assert "Invitations" in text(mine_page) and "from Ada" in text(mine_page)
        assert (await other.look(path)).status_code == 404, "the booking's own page stays its owner's"
        found = REF.search(mine_page.text)
        assert found
        page = await other.follow(await other.send(f"/invitations/{found[1]}/accept"))
        assert 'data-status="accepted"' in page.text
