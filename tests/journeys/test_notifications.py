"""A booking is told of in the inbox, live, and by a mail with a calendar file; what is cancelled or moved, too."""

from __future__ import annotations

import asyncio
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import asyncpg
import httpx
import icalendar
import msgspec
import pytest
from tests.journeys.reader import Reader
from tests.journeys.world import Club, Person, World, at

from forecourt.app import House
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.errors import NotFound
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.topics import Position
from forecourt.modules.notifications.channels.webhooks import signature
from forecourt.modules.notifications.contract import NOBODYS, InboxTopics, Topic
from forecourt.modules.notifications.jobs import DRAIN, FORGET, Drain, Forget
from forecourt.modules.notifications.sealing import Leave, Links


def of(person: Person) -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=UUID(person.id), confirmed=True))


async def booked(world: World, club: Club, person: Person, hour: int = 12, days: int = 3) -> dict[str, Any]:
    await world.credits(club, person)
    wish = {"resource_id": club.courts[0], "start": at(days, hour), "duration_min": 60, "pay_with": "credits"}
    answer = await person.post("/v1/bookings", wish)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def mails_about(world: World, person: Person, word: str) -> list[dict[str, Any]]:
    """Mails whose subject begins so, as soon as there is one."""
    for _ in range(400):
        answer = await world.client.get("/dev/outbox", params={"to": person.email}, headers={"Accept": "application/json"})
        found = [m for m in answer.json()["items"] if m["subject"].startswith(word)]
        if found:
            return found
        await asyncio.sleep(0.05)
    raise AssertionError(f"no mail {word!r}: {[m['subject'] for m in answer.json()['items']]}")


async def test_a_confirmed_booking_comes_as_a_mail_with_a_calendar_file_and_lies_in_the_inbox(world: World, house: House) -> None:
    club, ada = await world.club(), await world.person("Ada")
    topics = house.board.call(InboxTopics)
    before = await topics.follow(of(ada), "inbox", None)
    booking = await booked(world, club, ada)

    (mail,) = await mails_about(world, ada, "Booked: Court 1")
    assert "Riverside Courts" in mail["text"]
    assert "£20.00" in mail["text"]
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    event = next(c for c in icalendar.Calendar.from_ical(mail["calendar"]).walk("VEVENT"))
    assert event["UID"] == f"{booking['id']}@forecourt"
    assert event["DTSTART"].dt.isoformat().replace("+00:00", "Z") == booking["start"]

    missed = await topics.follow(of(ada), f"inbox:{ada.id}", before.position)
    assert missed.recovered
    assert [e.seq for e in missed.events] == list(range(before.position.seq + 1, missed.position.seq + 1))
    assert b"Booked: Court 1" in b"".join(e.data for e in missed.events)
    nowhere = await topics.follow(of(ada), "inbox", Position("another epoch", 0))
    assert not nowhere.recovered


async def test_a_cancelled_booking_is_told_with_what_goes_back_and_leaves_the_calendar(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    booking = await booked(world, club, ada)
    assert (await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})).status_code == 200
    (mail,) = await mails_about(world, ada, "Cancelled: Court 1")
    assert "£20.00 goes back to you" in mail["text"]
    calendar = icalendar.Calendar.from_ical(mail["calendar"])
    assert calendar["METHOD"] == "CANCEL"
    assert next(iter(calendar.walk("VEVENT")))["STATUS"] == "CANCELLED"


async def test_a_moved_booking_says_where_it_was(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    booking = await booked(world, club, ada, hour=12)
    answer = await ada.post(f"/v1/bookings/{booking['id']}/reschedule", {"start": at(3, 15)})
    assert answer.status_code == 200, answer.text
    (mail,) = await mails_about(world, ada, "Moved: Court 1")
    assert "Before: Court 1" in mail["text"]
    event = next(c for c in icalendar.Calendar.from_ical(mail["calendar"]).walk("VEVENT"))
    assert event["DTSTART"].dt.isoformat().replace("+00:00", "Z") == at(3, 15)


# --- choices ----------------------------------------------------------------------------------------------------------------


async def test_staff_who_may_answer_hear_that_a_booking_waits_and_others_do_not(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    desk, viewer, away = await world.person("Desk"), await world.person("Viewer"), await world.person("Away")
    org = f"/v1/orgs/{club.id}"
    for account, role in ((desk, "manager"), (viewer, "viewer"), (away, "manager")):
        assert (await club.owner.post(f"{org}/staff", {"account_id": account.id, "role": role})).status_code in (200, 201)
    mine = (await away.get("/v1/me/notification-preferences")).json()
    chosen = mine | {"channels": mine["channels"] | {"team": []}}
    assert (await away.send("PUT", "/v1/me/notification-preferences", chosen)).status_code == 200
    await world.credits(club, ada)
    wish = {"resource_id": club.courts[0], "start": at(4, 18), "duration_min": 60, "purpose": "content", "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wish)).json()
    assert booking["status"] == "pending_approval"
    for person in (club.owner, desk):
        (mail,) = await mails_about(world, person, "Waits for you: Court 1")
        assert f"/orgs/{club.id}/bookings?show=asks" in mail["text"]
    told = {p.id: (await p.get("/v1/notifications")).json()["items"] for p in (desk, viewer, away, ada)}
    kinds = {id: {n["kind"] for n in items} for id, items in told.items()}
    assert "booking.approval_waits" in kinds[desk.id]
    assert all("booking.approval_waits" not in kinds[p.id] for p in (viewer, away, ada)), kinds


async def test_who_is_invited_by_account_hears_of_it_and_of_what_becomes_of_it(world: World) -> None:
    club, ada, ben = await world.club(courts=1), await world.person("Ada"), await world.person("Ben")
    await world.credits(club, ada)
    wish = {"resource_id": club.courts[0], "start": at(5, 18), "duration_min": 60, "team_size": 4, "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wish | {"invitees": [{"account_id": ben.id}, {"email": "x@example.org"}]})).json()
    (mail,) = await mails_about(world, ben, "You are invited: Court 1")
    assert "Ada wants you there" in mail["text"]
    assert f"/invitations/{booking['id']}" in mail["text"]
    assert f"/bookings/{booking['id']}" not in mail["text"], "the booking's page is its owner's"
    moved = await ada.post(f"/v1/bookings/{booking['id']}/reschedule", {"start": at(6, 18)})
    assert moved.status_code == 200, moved.text
    await mails_about(world, ben, "Moved: Court 1")
    await ada.post(f"/v1/bookings/{booking['id']}/cancel", {"reason": "My own affair"})
    (mail,) = await mails_about(world, ben, "Cancelled: Court 1")
    assert "My own affair" not in mail["text"]
    assert "credit" not in mail["text"].lower(), "what goes back is between its owner and the club"
    kinds = [n["kind"] for n in (await ben.get("/v1/notifications")).json()["items"]]
    assert kinds == ["booking.cancelled", "booking.moved", "booking.invited"]
    assert "booking.invited" not in [n["kind"] for n in (await ada.get("/v1/notifications")).json()["items"]]


async def test_looking_at_an_unsubscribe_link_does_nothing_and_one_click_ends_mails_of_the_topic(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await booked(world, club, ada)
    (mail,) = await mails_about(world, ada, "Booked")
    path = "/v1/unsubscribe/" + mail["headers"]["List-Unsubscribe"].strip("<>").rsplit("/", 1)[1]
    for _ in range(3):
        assert (await world.client.get(path)).status_code == 200, "programs that look at mails open every link"
    chosen = (await ada.get("/v1/me/notification-preferences")).json()
    assert "email" in chosen["channels"]["bookings"]

    form = {"Content-Type": "application/x-www-form-urlencoded"}
    answer = await world.client.post(path, content=b"List-Unsubscribe=One-Click", headers=form)
    assert answer.status_code == 200
    chosen = (await ada.get("/v1/me/notification-preferences")).json()
    assert "email" not in chosen["channels"]["bookings"]
    assert "in_app" in chosen["channels"]["bookings"]
    assert "email" in chosen["channels"]["payments"], "the others go on"
    assert (await world.client.post(path[:-2] + "xx", headers=form)).status_code == 410


async def test_what_a_person_chose_is_kept_and_bad_choices_are_refused(world: World) -> None:
    ada = await world.person("Ada")
    wish = {
        "channels": {"bookings": ["in_app"], "security": []},
        "digest": "daily",
        "quiet_hours": {"start": "22:00", "end": "07:00"},
        "timezone": "Asia/Karachi",
    }
    kept = (await ada.send("PUT", "/v1/me/notification-preferences", wish)).json()
    assert kept["channels"]["bookings"] == ["in_app"]
    assert set(kept["channels"]["security"]) == {"in_app", "email", "web_push"}, "security always reaches"
    assert kept["quiet_hours"] == {"start": "22:00", "end": "07:00"}
    assert (await ada.get("/v1/me/preferences")).json()["timezone"] == "Asia/Karachi", "one clock for the whole house"
    for bad in (
        {"timezone": "Mars/Olympus"},
        {"digest": "hourly"},
        {"channels": {"bookings": ["webhook"]}},
        {"channels": {"x": []}},
    ):
        assert (await ada.send("PUT", "/v1/me/notification-preferences", bad)).status_code == 422, bad


async def test_a_browser_is_pushed_to_from_its_page_until_it_says_otherwise(world: World, door: httpx.AsyncBaseTransport) -> None:
    ada = await world.person("Ada")
    keys = {  # RFC 8291, section 5
        "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
        "auth": "BTBZMqHH6r4Tts7J_aSIgg",
    }
    endpoint = "https://push.example.net/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV"
    async with Reader(door) as reader:
        await reader.sign_in(ada)
        refused = await reader.send("/account/notifications/push", endpoint=endpoint, **keys | {"p256dh": "AAAA"})
        assert refused.status_code == 422
        assert (await ada.get("/v1/me/push-subscriptions")).json()["browsers"] == 0
        for _ in range(2):
            assert (await reader.send("/account/notifications/push", endpoint=endpoint, **keys)).status_code == 204
        assert (await ada.get("/v1/me/push-subscriptions")).json()["browsers"] == 1
        async with Reader(door) as other:
            await other.sign_in(ada)
            elsewhere = endpoint + "x"
            assert (await other.send("/account/notifications/push", endpoint=elsewhere, renew="yes", **keys)).status_code == 404
            assert (await other.send("/account/notifications/push", endpoint=elsewhere, **keys)).status_code == 204
            assert (await ada.get("/v1/me/push-subscriptions")).json()["browsers"] == 2
            await other.send("/sign-out")
        async with asyncio.timeout(30):  # pushes end with the session in which they were asked for, and no others
            while (await ada.get("/v1/me/push-subscriptions")).json()["browsers"] != 1:
                await asyncio.sleep(0.05)
        for known, status in ((endpoint, 204), (elsewhere, 404)):
            again = await reader.send("/account/notifications/push", endpoint=known, renew="yes", **keys)
            assert again.status_code == status
        assert (await reader.send("/account/notifications/push-off", endpoint=endpoint)).status_code == 204
        assert (await ada.get("/v1/me/push-subscriptions")).json()["browsers"] == 0


async def test_who_wants_no_mails_gets_none_and_reads_it_in_the_inbox(world: World, house: House) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await ada.send("PUT", "/v1/me/notification-preferences", {"channels": {"bookings": ["in_app"]}})
    await booked(world, club, ada)
    (entry,) = await entries(ada, 1)
    assert entry["title"].startswith("Booked: Court 1")
    log = (await club.owner.get(f"/v1/orgs/{club.id}/deliveries")).json()["items"]
    assert [d["channel"] for d in log if d["kind"] == "booking.confirmed"] == ["in_app"]


async def entries(person: Person, count: int) -> list[dict[str, Any]]:
    for _ in range(400):
        items = (await person.get("/v1/notifications")).json()["items"]
        if len(items) >= count:
            return items
        await asyncio.sleep(0.05)
    raise AssertionError(items)


async def test_the_inbox_and_its_topic_agree_whatever_is_done(world: World, house: House) -> None:
    """Stale state and the events since make the fresh state."""
    club, ada, eve = await world.club(), await world.person("Ada"), await world.person("Eve")
    topics = house.board.call(InboxTopics)
    start = (await topics.follow(of(ada), "inbox", None)).position
    for hour in (10, 12, 14):
        await booked(world, club, ada, hour)
    items = await entries(ada, 3)
    assert (await ada.post("/v1/notifications/read", {"ids": [items[0]["id"]]})).json() == {"unread": 2}
    assert (await ada.send("PATCH", f"/v1/notifications/{items[1]['id']}", {"archived": True})).status_code == 200
    assert (await ada.send("DELETE", f"/v1/notifications/{items[2]['id']}")).status_code == 204
    assert (await ada.send("PATCH", f"/v1/notifications/{items[0]['id']}", {"read": False})).json()["read_at"] is None
    assert (await ada.post("/v1/notifications/read", {"all": True})).json() == {"unread": 0}

    state: dict[str, dict[str, Any]] = {}
    missed = await topics.follow(of(ada), "inbox", start)
    assert missed.recovered
    for event in missed.events:
        data = msgspec.json.decode(event.data)
        match event.type:
            case "notification.created" | "notification.changed":
                state[data["notification"]["id"]] = data["notification"]
            case "notification.removed":
                del state[data["id"]]
            case "notification.all_read":
                for n in state.values():
                    n["read_at"] = n["read_at"] or ("now" if n["seq"] <= data["upto"] else None)
    fresh = {
        n["id"]: n for archived in (False, True) for n in (await ada.get("/v1/notifications", archived=archived)).json()["items"]
    }
    assert {(i, bool(n["read_at"]), bool(n["archived_at"])) for i, n in state.items()} == {
        (i, bool(n["read_at"]), bool(n["archived_at"])) for i, n in fresh.items()
    }
    # Another person's: as if it were not there.
    for method, path, body in (
        ("PATCH", f"/v1/notifications/{items[0]['id']}", {"read": True}),
        ("DELETE", f"/v1/notifications/{items[0]['id']}", None),
    ):
        assert (await eve.send(method, path, body)).status_code == 404
    with pytest.raises(NotFound):
        await topics.follow(of(eve), f"inbox:{ada.id}", None)
    assert (await eve.post("/v1/notifications/read", {"ids": [items[0]["id"]]})).json() == {"unread": 0}


# --- the organisation's side ------------------------------------------------------------------------------------------------


def signed(key: str, id: str, body: bytes, at: datetime | None = None) -> dict[str, str]:
    timestamp = int((at or datetime.now(UTC)).timestamp())
    return {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": signature(b64decode(key.removeprefix("whsec_")), id, timestamp, body),
    }


async def test_a_provider_is_sealed_and_its_callbacks_count_once_and_only_when_signed(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await booked(world, club, ada)
    await mails_about(world, ada, "Booked")
    org = f"/v1/orgs/{club.id}"
    secret = "smtps://user:hunter2@mail.example.org"
    made = (await club.owner.post(f"{org}/notification-providers", {"channel": "email", "name": "Ours", "url": secret})).json()
    key, path = made["callback_key"], "/v1/" + made["provider"]["callback_url"].split("/v1/")[1]
    listed = await club.owner.get(f"{org}/notification-providers")
    assert "hunter2" not in listed.text
    assert key not in listed.text

    log = (await club.owner.get(f"{org}/deliveries", channel="email")).json()["items"]
    (sent,) = [d for d in log if d["kind"] == "booking.confirmed"]
    assert sent["recipient"] != ada.email, "masked"

    async def status() -> str:
        return (await club.owner.get(f"{org}/deliveries/{sent['id']}")).json()["delivery"]["status"]

    body = msgspec.json.encode({"delivery_id": sent["id"], "status": "delivered"})
    forged = signed("whsec_" + b64encode(b"x" * 32).decode(), "1", body)
    old = signed(key, "1", body, datetime.now(UTC) - timedelta(minutes=6))
    altered = signed(key, "1", body) | {"webhook-id": "2"}
    for headers in (forged, old, altered, {"Content-Type": "application/json"}):
        assert (await world.client.post(path, content=body, headers=headers)).status_code == 401
    assert await status() == "sent"

    headers = signed(key, "1", body)
    for _ in range(2):
        assert (await world.client.post(path, content=body, headers=headers)).status_code == 204
    assert await status() == "delivered"
    late = msgspec.json.encode({"delivery_id": sent["id"], "status": "failed"})
    assert (await world.client.post(path, content=late, headers=signed(key, "2", late))).status_code == 204
    assert await status() == "delivered", "what arrived has arrived"
    elsewhere = msgspec.json.encode({"delivery_id": str(uuid4()), "status": "failed"})
    assert (await world.client.post(path, content=elsewhere, headers=signed(key, "3", elsewhere))).status_code == 404


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:1/", "https://2130706433/", "https://[::ffff:10.0.0.1]/", "https://localhost/"]
)
async def test_a_webhook_inside_our_network_is_refused(world: World, url: str) -> None:
    club = await world.club()
    answer = await club.owner.post(f"/v1/orgs/{club.id}/webhook-endpoints", {"url": url, "events": ["*"]})
    assert answer.status_code == 422, answer.text


async def test_an_organisations_own_words_are_used_from_then_on(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    org = f"/v1/orgs/{club.id}"
    found = (await club.owner.get(f"{org}/templates", event="booking.confirmed", channel="email", locale="en")).json()["items"]
    assert [t["shipped"] for t in found] == [True]
    preview = (await club.owner.post(f"{org}/templates/{found[0]['id']}/preview", {"subject": "{{ place }} it is"})).json()
    assert preview["subject"] == "Court 3 it is"
    wish = {
        "event": "booking.confirmed",
        "channel": "email",
        "locale": "en",
        "subject": "See you: {{ place }}",
        "text": "{{ when }}",
    }
    made = (await club.owner.post(f"{org}/templates", wish)).json()
    assert (await club.owner.post(f"{org}/templates", wish)).status_code == 409
    bad = await club.owner.send("PATCH", f"{org}/templates/{made['id']}", {"text": "{{ ''.__class__ }}"})
    assert (bad.status_code, bad.json()["code"]) == (422, "template_invalid")
    stale = await club.owner.send("PATCH", f"{org}/templates/{made['id']}", {"text": "x"}, If_Match='"7"')
    assert stale.status_code == 412
    await booked(world, club, ada)
    (mail,) = await mails_about(world, ada, "See you: Court 1")
    assert (await club.owner.post(f"{org}/templates/{made['id']}/test", {})).status_code == 202
    await mails_about(world, club.owner, "See you: Court 3")
    assert mail["headers"]["List-Unsubscribe"]


async def test_a_reminder_of_a_moved_or_cancelled_booking_is_taken_back(world: World, house: House) -> None:
    club, ada = await world.club(), await world.person("Ada")
    booking = await booked(world, club, ada, days=4)
    await mails_about(world, ada, "Booked")

    async def waiting() -> set[tuple[str, str]]:
        ctx = service_context("test", UUID(club.id))
        async with house.database.module("notifications").read(ctx) as tx:
            rows = await tx.connection.fetch(
                "select n.kind, d.due_at from notifications.notice n join notifications.due d using (organisation_id, id)"
                " where n.account_id = $1 and n.status = 'waiting' and starts_with(n.kind, 'booking.in_')",
                UUID(ada.id),
            )
        return {(r["kind"], r["due_at"].isoformat()[:16]) for r in rows}

    assert await waiting() == {("booking.in_24_hours", at(3)[:16]), ("booking.in_2_hours", at(4, 10)[:16])}
    await ada.post(f"/v1/bookings/{booking['id']}/reschedule", {"start": at(5, 9)})
    await mails_about(world, ada, "Moved")
    assert await waiting() == {("booking.in_24_hours", at(4, 9)[:16]), ("booking.in_2_hours", at(5, 7)[:16])}
    await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})
    await mails_about(world, ada, "Cancelled")
    assert await waiting() == set()


async def hurry(house: House, account_id: str) -> None:
    """The person's notices about chat are due now; returns when they were told, or came to nothing."""
    module, ctx = house.database.module("notifications"), service_context("test", NOBODYS)
    found = False
    for _ in range(400):
        async with module.tx(ctx) as tx:
            waiting = await tx.connection.execute(
                "update notifications.due d set due_at = now() - interval '1 second' from notifications.notice n"
                " where n.organisation_id = d.organisation_id and n.id = d.id and n.account_id = $1 and n.kind like 'chat.%'"
                " and d.lease is null",
                UUID(account_id),
            )
            left = await tx.connection.fetchval(
                "select count(*) from notifications.notice where account_id = $1 and status = 'waiting'", UUID(account_id)
            )
            if waiting != "UPDATE 0":
                found = True
                enqueue(tx, DRAIN, Drain())
        if found and left == 0:
            return
        await asyncio.sleep(0.05)
    raise AssertionError("nothing was told")


async def test_who_is_away_hears_of_a_message_and_who_has_read_it_does_not(world: World, house: House) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    for person in (ada, ben):
        wish = {"channels": {"messages": ["in_app"], "mentions": ["in_app"]}}
        assert (await person.send("PUT", "/v1/me/notification-preferences", wish)).status_code == 200
    room = (await ada.post("/v1/rooms", {"kind": "direct", "member_ids": [ben.id]})).json()["id"]
    sent = await ada.post(f"/v1/rooms/{room}/messages", {"client_id": "1", "text": "Court 3 at six?"})
    assert sent.status_code == 201, sent.text
    await hurry(house, ben.id)
    (entry,) = await entries(ben, 1)
    assert (entry["kind"], entry["title"], entry["body"]) == ("chat.message", "Ada wrote to you", "Court 3 at six?")
    assert (await ada.get("/v1/notifications")).json()["items"] == [], "nobody is told what they wrote"

    again = (await ben.post(f"/v1/rooms/{room}/messages", {"client_id": "2", "text": "Yes"})).json()
    await ada.send("PUT", f"/v1/rooms/{room}/read", {"seq": again["seq"]})
    await hurry(house, ada.id)
    assert (await ada.get("/v1/notifications")).json()["items"] == []

    # What she has read was not told: the next is, though it comes in the same few minutes.
    await ben.post(f"/v1/rooms/{room}/messages", {"client_id": "3", "text": "And bring balls"})
    await hurry(house, ada.id)
    assert [e["body"] for e in await entries(ada, 1)] == ["And bring balls"]


async def morning_comes(house: House, person: Person) -> None:
    """The digest of this person is due now."""
    async with house.database.module("notifications").tx(service_context("test", NOBODYS)) as tx:
        await tx.connection.execute("update notifications.due set due_at = now() where id = $1", UUID(person.id))
        enqueue(tx, DRAIN, Drain())


async def joins(person: Person, club: Club) -> None:
    body = {"account_id": person.id, "role": "viewer"}
    assert (await club.owner.post(f"/v1/orgs/{club.id}/staff", body)).status_code == 201


BOUNDED = b'--b\r\nContent-Disposition: form-data; name="List-Unsubscribe"\r\n\r\nOne-Click\r\n--b--\r\n'
ONE_CLICK = (
    (b"List-Unsubscribe=One-Click", "application/x-www-form-urlencoded"),
    (BOUNDED, "multipart/form-data; boundary=b"),
)
"""The two forms in which a mail program says it (RFC 8058, 3.2)."""


async def test_one_click_on_a_digest_ends_digests_and_nothing_that_cannot_wait(world: World, house: House) -> None:
    ada, olive = await world.person("Ada"), await world.person("Olive")
    clubs = [await world.club(courts=1, owner=olive) for _ in range(3)]
    assert (await ada.send("PUT", "/v1/me/preferences", {"locale": "pt"})).status_code == 200
    wish = {"digest": "weekly", "channels": {"team": ["email", "in_app"]}, "timezone": "Asia/Karachi"}
    assert (await ada.send("PUT", "/v1/me/notification-preferences", wish)).status_code == 200
    await joins(ada, clubs[0])
    await entries(ada, 1)
    await morning_comes(house, ada)
    (mail,) = await mails_about(world, ada, "O que aconteceu esta semana")
    assert mail["headers"]["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["headers"]["List-Unsubscribe"].strip("<>")
    assert link in mail["text"]
    path = "/v1/unsubscribe/" + link.rsplit("/", 1)[1]

    async def chosen() -> dict[str, Any]:
        return (await ada.get("/v1/me/notification-preferences")).json()

    before = await chosen()
    looked = await world.client.get(path)
    assert "Não quer mais estes resumos?" in looked.text
    assert await chosen() == before, "looking changes nothing"
    for body, kind in ONE_CLICK:
        assert await chosen() == before
        for _ in range(2):
            assert (await world.client.post(path, content=body, headers={"Content-Type": kind})).status_code == 200
            assert await chosen() == {**before, "digest": "never"}
        await world.client.post(f"{path}/undo")
    await world.client.post(path, content=ONE_CLICK[0][0], headers={"Content-Type": ONE_CLICK[0][1]})

    # Nothing that can wait comes by mail now, neither together nor alone; what cannot does.
    await joins(ada, clubs[1])
    await entries(ada, 2)
    await booked(world, clubs[1], ada)
    await mails_about(world, ada, "Reservado")
    waits = "select count(*) from notifications.digest_item where account_id = $1"
    async with house.database.module("notifications").tx(service_context("test", NOBODYS)) as tx:
        await tx.become("fc_notifications", NOBODYS, UUID(ada.id))
        assert await tx.connection.fetchval(waits, UUID(ada.id)) == 0
    sent = (await world.client.get("/dev/outbox", params={"to": ada.email}, headers={"Accept": "application/json"})).json()
    assert not [m for m in sent["items"] if m["subject"].startswith("Já trabalha")]

    # The page says what was done, and takes it back.
    page = (await world.client.get(path)).text
    assert "Acabaram os resumos por e-mail" in page
    assert f'action="{path}/undo"' in page
    back = await world.client.post(f"{path}/undo")
    assert "Os resumos vêm como antes" in back.text
    assert await chosen() == before
    await joins(ada, clubs[2])
    await entries(ada, 4)
    await morning_comes(house, ada)
    async with asyncio.timeout(30):
        while len(await mails_about(world, ada, "O que aconteceu esta semana")) < 2:
            await asyncio.sleep(0.05)


async def test_what_waits_for_a_digest_is_not_in_it_when_mails_of_its_topic_end_meanwhile(world: World, house: House) -> None:
    ada, club = await world.person("Ada"), await world.club(courts=1)
    await ada.send("PUT", "/v1/me/notification-preferences", {"digest": "daily", "channels": {"team": ["email", "in_app"]}})
    await joins(ada, club)
    await entries(ada, 1)
    wish = {"digest": "daily", "channels": {"team": ["in_app"], "mentions": ["email"]}}
    await ada.send("PUT", "/v1/me/notification-preferences", wish)
    ben = await world.person("Ben")
    room = (await ben.post("/v1/rooms", {"kind": "group", "name": "G", "member_ids": [ada.id]})).json()["id"]
    await ben.post(f"/v1/rooms/{room}/messages", {"client_id": "1", "text": f"@[Ada]({ada.id}) six?"})
    waits = "select count(*) from notifications.digest_item where account_id = $1"
    async with asyncio.timeout(30):
        while True:
            await hurry(house, ada.id)
            async with house.database.module("notifications").tx(service_context("test", NOBODYS)) as tx:
                await tx.become("fc_notifications", NOBODYS, UUID(ada.id))
                if await tx.connection.fetchval(waits, UUID(ada.id)) == 2:
                    break
            await asyncio.sleep(0.05)
    await morning_comes(house, ada)
    (mail,) = await mails_about(world, ada, "What happened since yesterday")
    assert "Ben" in mail["text"]
    assert "You work for" not in mail["text"]


@pytest.mark.parametrize(
    ("language", "ask", "done", "back"),
    [
        ("en", "No more mails about bookings?", "Mails about bookings end here", "Mails about bookings come as before"),
        (
            "pt",
            "Não quer mais e-mails sobre reservas?",
            "Os e-mails sobre reservas acabam aqui",
            "Os e-mails sobre reservas vêm como antes",
        ),
        (
            "ur",
            "بکنگ کے بارے میں اب ای میل نہ آئے؟",
            "بکنگ کے بارے میں ای میل یہاں ختم ہوتی ہے",
            "بکنگ کے بارے میں ای میل پہلے کی طرح آئے گی",
        ),
    ],
)
async def test_the_page_behind_a_link_speaks_the_readers_language_and_takes_back_what_it_did(
    world: World, house: House, language: str, ask: str, done: str, back: str
) -> None:
    ada = await world.person("Ada")
    links = Links(house.settings.secrets.secret_key.reveal().encode())
    path = f"/v1/unsubscribe/{links.token(Leave(UUID(ada.id), Topic.BOOKINGS))}"
    spoken = {"Accept-Language": language}
    before = (await ada.get("/v1/me/notification-preferences")).json()
    page = await world.client.get(path, headers=spoken)
    assert ask in page.text
    assert f'lang="{language}" dir="{"rtl" if language == "ur" else "ltr"}"' in page.text
    assert done in (await world.client.post(path, headers=spoken)).text
    assert done in (await world.client.get(path, headers=spoken)).text, "whoever comes back sees that it is done"
    assert back in (await world.client.post(f"{path}/undo", headers=spoken)).text
    assert (await ada.get("/v1/me/notification-preferences")).json() == before
    assert (await world.client.post(f"{path[:-2]}xx/undo")).status_code == 410


async def test_mails_that_can_wait_come_together_in_the_morning(world: World, house: House) -> None:
    ada, clubs = await world.person("Ada"), [await world.club(), await world.club()]
    wish = {"digest": "daily", "channels": {"team": ["email", "in_app"]}, "timezone": "Asia/Karachi"}
    assert (await ada.send("PUT", "/v1/me/notification-preferences", wish)).status_code == 200
    for club in clubs:
        assert (await club.owner.post(f"/v1/orgs/{club.id}/staff", {"account_id": ada.id, "role": "viewer"})).status_code == 201
    await entries(ada, 2)
    module, ctx = house.database.module("notifications"), service_context("test", NOBODYS)
    async with module.tx(ctx) as tx:
        morning = await tx.connection.fetchval(
            "select due_at from notifications.due where organisation_id = $1 and id = $2 and what = 'digest'",
            NOBODYS,
            UUID(ada.id),
        )
        assert morning.astimezone(ZoneInfo("Asia/Karachi")).strftime("%H:%M") == "08:00"
        await tx.connection.execute("update notifications.due set due_at = now() where id = $1", UUID(ada.id))
        enqueue(tx, DRAIN, Drain())
    (mail,) = await mails_about(world, ada, "What happened since yesterday")
    assert mail["text"].count("You work for Riverside now") == 2
    alone = (await world.client.get("/dev/outbox", params={"to": ada.email}, headers={"Accept": "application/json"})).json()
    assert not [m for m in alone["items"] if m["subject"].startswith("You work for")]


async def test_what_was_said_to_whom_a_year_ago_is_forgotten_and_that_it_was_said_is_not(
    world: World, house: House, door: httpx.AsyncBaseTransport, house_admin_url: str
) -> None:
    clubs = [await world.club(), await world.club()]
    ada = await world.person("Ada")
    for club in clubs:
        await booked(world, club, ada)
    await mails_about(world, ada, "Booked: Court 1")
    old, young = clubs

    async def log(club: Club) -> dict[str, dict[str, Any]]:
        items = (await club.owner.get(f"/v1/orgs/{club.id}/deliveries")).json()["items"]
        return {d["id"]: d for d in items}

    async def until(club: Club, status: str) -> dict[str, dict[str, Any]]:
        async with asyncio.timeout(30):
            while True:
                found = await log(club)
                mails = {d["status"] for d in found.values() if d["channel"] == "email"}
                if mails == {status} and all(d["status"] != "queued" for d in found.values()):
                    return found
                await asyncio.sleep(0.05)

    before, kept = await until(old, "sent"), await until(young, "sent")
    queued = next(iter(before))
    admin = await asyncpg.connect(house_admin_url)
    try:
        aged = "update notifications.delivery set created_at = created_at - interval '366 days' where organisation_id = $1"
        await admin.execute(aged, UUID(old.id))
        await admin.execute("update notifications.delivery set status = 'queued' where id = $1", UUID(queued))
        async with house.database.module("notifications").tx(service_context("tests")) as tx:
            enqueue(tx, FORGET, Forget())
        asked = "select count(*) from notifications.delivery where organisation_id = $1 and content <> '{}'"
        async with asyncio.timeout(30):
            while await admin.fetchval(asked, UUID(old.id)) != 1:
                await asyncio.sleep(0.05)
        left = await admin.fetch(
            "select id::text, recipient, content::text from notifications.delivery where organisation_id = $1", UUID(old.id)
        )
        facts = await admin.fetchval(
            "select count(*) from notifications.notice n join notifications.delivery d on d.organisation_id = n.organisation_id"
            " and d.notice_id = n.id where d.organisation_id = $1 and d.id <> $2 and d.id::text = d.recipient"
            " and n.facts <> '{}' and n.status <> 'waiting'",
            UUID(old.id),
            UUID(queued),
        )
        # Who would send it again sends nothing empty.
        failed = next(r["id"] for r in left if r["content"] == "{}")
        can = next(id for id, d in kept.items() if d["channel"] == "email")
        bad = "update notifications.delivery set status = 'failed' where id = any($1::uuid[])"
        await admin.execute(bad, [UUID(failed), UUID(can)])
    finally:
        await admin.close()
    assert {r["id"] for r in left} == set(before), "that they were sent is still known"
    assert len(before) > 1, "or the test proves nothing"
    for row in left:
        forgotten = (row["recipient"], row["content"]) == (row["id"], "{}")
        assert forgotten == (row["id"] != queued), "what is still on its way keeps its words"
    assert facts == 0
    assert ada.email not in str([r for r in left if r["id"] != queued])
    now = await log(young)
    assert {id: now[id] for id in kept if id != can} == {id: kept[id] for id in kept if id != can}
    sent = next(id for id in kept if id != can and kept[id]["status"] != "queued")
    for club, id, why in ((old, failed, "what it said is no longer kept"), (young, sent, "only what failed can be sent again")):
        again = await club.owner.post(f"/v1/orgs/{club.id}/deliveries/{id}/replay")
        assert (again.status_code, again.json()["code"], again.json()["detail"]) == (409, "not_replayable", why)
    await offers_to_send_again(door, old, failed, offered=False)
    await offers_to_send_again(door, young, can, offered=True)
    assert (await young.owner.post(f"/v1/orgs/{young.id}/deliveries/{can}/replay")).status_code == 202, "the control"


async def offers_to_send_again(door: httpx.AsyncBaseTransport, club: Club, id: str, *, offered: bool) -> None:
    """Whether the log and the message's page have a button that sends it again. Without one, who asks all the same hears why."""
    here = f"/orgs/{club.id}/deliveries"
    async with Reader(door) as browser:
        await browser.sign_in(club.owner)
        for path in (here, f"{here}/{id}"):
            page = await browser.look(path)
            assert page.status_code == 200
            assert (f'action="{here}/{id}/replay"' in page.text) is offered
        if not offered:
            answered = await browser.follow(await browser.send(f"{here}/{id}/replay"))
            assert "no longer kept" in answered.text
