"""Somebody uses all of the house, takes a copy of what it knows of them, and leaves: nothing says any more who they were."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import httpx
import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import PASSWORD, Club, Person, World, at
from tests.modules.media.samples import picture
from tests.words import rows_that_say

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.kernel.jobs import enqueue
from forecourt.layout import module_names
from forecourt.modules.audit.contract import HOUSE
from forecourt.modules.audit.service import AuditService
from forecourt.modules.identity.jobs import ERASE_DUE, Tidy

SCHEMAS = ["kernel", *module_names()]
BROWSER = {"User-Agent": "zq7vxkwbrowser"}
PUSH: dict[str, Any] = {
    "endpoint": "https://push.example.net/zq7vxkwpush",
    # RFC 8291, section 5
    "p256dh": "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4",
    "auth": "BTBZMqHH6r4Tts7J_aSIgg",
}


@dataclass
class Leaving:
    """Who leaves, whom they leave behind, and every word by which one could tell who it was."""

    zubaida: Person
    ben: Person
    club: Club
    number: str
    room: str
    his: str
    """What Ben booked, and she was to come to."""
    photo: str
    file: str
    words: list[str] = field(default_factory=list)


async def done(answer: httpx.Response | Any, *statuses: int) -> Any:
    assert answer.status_code in (statuses or (200, 201, 202, 204)), (answer.request.url, answer.text)
    return answer.json() if answer.content and "json" in answer.headers["content-type"] else None


async def lives_here(world: World, door: httpx.AsyncBaseTransport) -> Leaving:
    """Something in every module."""
    club, ben, zubaida = await world.club(), await world.person("Ben"), await world.person("Zq7vxkwubaida")
    number = f"+4477009{Random().randrange(10**5):05d}"
    await done(await zubaida.post("/v1/me/phone", {"phone": number}))
    await done(await zubaida.post("/v1/me/phone/verify", {"code": await world.code(number)}))
    await world.client.post("/v1/auth/login", json={"email": zubaida.email, "password": PASSWORD}, headers=BROWSER)
    await world.client.post("/v1/auth/login", json={"email": zubaida.email, "password": "not it, by far"}, headers=BROWSER)
    photo, file = [
        await done(
            await world.client.post(
                "/v1/uploads", files={"file": (f"zq7vxkw{n}.png", picture(96, 96), "image/png")}, headers=zubaida.headers
            )
        )
        for n in ("face", "court")
    ]
    profile = {"bio": "zq7vxkwbio", "handle": f"zq7vxkwh{number[-5:]}", "city": "zq7vxkwcity", "photo_id": photo["id"]}
    await done(await zubaida.send("PATCH", "/v1/me/profile", profile))
    mine = (await zubaida.get("/v1/me/notification-preferences")).json()
    await done(await zubaida.send("PUT", "/v1/me/notification-preferences", mine))
    await done(await zubaida.post("/v1/me/calendar-feed"))
    async with Reader(door) as reader:
        await reader.sign_in(zubaida)
        await done(await reader.send("/account/notifications/push", **PUSH))
    room, his = await plays(world, club, zubaida, ben)
    said = {"client_id": "a", "text": "zq7vxkwhello, @[Ben](" + ben.id + ")", "attachment_ids": [file["id"]]}
    message = await done(await zubaida.post(f"/v1/rooms/{room}/messages", said))
    await done(await zubaida.send("PATCH", f"/v1/messages/{message['id']}", {"text": "zq7vxkwagain"}))
    await done(await ben.post(f"/v1/rooms/{room}/messages", {"client_id": "b", "text": f"@[Zq7vxkwubaida]({zubaida.id}), hello"}))
    return Leaving(
        zubaida,
        ben,
        club,
        number,
        room,
        his,
        photo["url"],
        file["url"],
        ["zq7vxkw", number[1:], "198.51.100.77", PUSH["p256dh"], PUSH["auth"]],
    )


async def plays(world: World, club: Club, zubaida: Person, ben: Person) -> tuple[str, str]:
    """Books and pays, invites and is invited, cancels with a reason, is written about; gives the room that the two have, and what
    he booked."""
    grant = {"account_id": zubaida.id, "amount": {"amount": 100_000, "currency": "GBP"}, "reason": "zq7vxkwgrant"}
    await done(await club.owner.post(f"/v1/orgs/{club.id}/credits/grant", grant))
    await world.credits(club, ben)
    wish = {"resource_id": club.courts[0], "duration_min": 60, "pay_with": "credits", "team_size": 3}
    hers = wish | {
        "start": at(5, 10),
        "note": "zq7vxkwnote",
        "invitees": [{"account_id": ben.id}, {"email": "somebody.else@example.org"}],
    }
    await done(await zubaida.post("/v1/bookings", hers, Idempotency_Key="zq7vxkwkey"))
    off = await done(await zubaida.post("/v1/bookings", wish | {"start": at(5, 14)}))
    await done(await zubaida.post(f"/v1/bookings/{off['id']}/cancel", {"reason": "zq7vxkwreason"}))
    desk = await done(await zubaida.post("/v1/bookings", wish | {"start": at(5, 16)}))
    await done(await club.owner.post(f"/v1/orgs/{club.id}/bookings/{desk['id']}/cancel", {"reason": "zq7vxkwdesk"}))
    await works_for_a_while(club, zubaida)
    his = await done(await ben.post("/v1/bookings", wish | {"start": at(6, 10), "invitees": [{"account_id": zubaida.id}]}))
    (invited,) = (await done(await ben.get(f"/v1/bookings/{his['id']}/invitees")))["items"]
    await done(await zubaida.post(f"/v1/invitations/{invited['id']}/accept"))
    return (await done(await zubaida.post("/v1/rooms", {"kind": "direct", "member_ids": [ben.id]})))["id"], his["id"]


async def works_for_a_while(club: Club, zubaida: Person) -> None:
    """As staff who may come in from one network alone."""
    staff = f"/v1/orgs/{club.id}/staff"
    await done(await club.owner.post(staff, {"account_id": zubaida.id, "role": "viewer"}))
    await done(
        await club.owner.send(
            "PATCH", f"{staff}/{zubaida.id}", {"role": "viewer", "limited_to": {"networks": ["198.51.100.77/32"]}}
        )
    )


SAY_IT = {
    "audit.entry", "booking.booking", "booking.transition", "chat.message", "chat.edit", "identity.account",
    "identity.security_event", "identity.session", "kernel.event", "kernel.idempotency", "media.file", "notifications.delivery",
    "notifications.entry", "notifications.push_subscription", "payments.lot", "people.profile",
}  # fmt: skip
"""Some of the tables that say who it is while they are here: the control of the search."""

KINDS = {
    "account", "bookings", "calendar", "charges", "credits", "files", "invitations_received", "invitations_sent", "message_edits",
    "messages", "notification_preferences", "notifications", "notifications_sent", "payments", "phone_numbers", "profile",
    "push_subscriptions", "refunds", "rooms", "security_events", "sessions", "wallet_entries", "wallets",
}  # fmt: skip
"""Of what her copy has records. Others have none here, such as keys that she made."""

LEFT = {"notifications.outbox": "development's mailbox: the letter that says that they are gone"}
"""What may still be found, and why."""

UNDER_WAY = """
select exists (select from identity.account where id = $1 and status <> 'erased')
    or exists (select from kernel.job j where j.execute_after <= now()
        and position(convert_to($1::text, 'UTF8') in j.payload) > 0)
    or exists (select from kernel.cursor c, kernel.event e where e.name = 'account.erased'
        and position(convert_to($1::text, 'UTF8') in e.payload) > 0 and (c.xid, c.id) < (e.xid, e.id))
"""


async def forgotten(house: House, superuser: asyncpg.Connection[asyncpg.Record], me: UUID) -> None:
    """Thirty days pass, and everybody does what is to be done then."""
    await superuser.execute("update identity.account set erase_at = now() - interval '1 minute' where id = $1", me)
    async with house.database.module("identity").tx(service_context("tests")) as tx:
        enqueue(tx, ERASE_DUE, Tidy())
    async with asyncio.timeout(60):
        while await superuser.fetchval(UNDER_WAY, me):
            await asyncio.sleep(0.1)


async def in_the_end(superuser: asyncpg.Connection[asyncpg.Record], words: list[str]) -> dict[str, str]:
    """The rows that still say one of the words when nothing is under way any more: a letter that could not be sent at once has
    its address until it is."""
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        found = {t: row for t, row in (await rows_that_say(superuser, SCHEMAS, words)).items() if t not in LEFT}
        if not found or asyncio.get_running_loop().time() > deadline:
            return found
        await asyncio.sleep(0.5)


OF_A_PERSON = """
select n.nspname || '.' || c.relname from pg_class c join pg_namespace n on n.oid = c.relnamespace
  join pg_attribute a on a.attrelid = c.oid
 where a.attname = 'account_id' and n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition
"""


async def from_where(superuser: asyncpg.Connection[asyncpg.Record], me: UUID, addresses: list[str]) -> list[str]:
    """The tables in which a row of the person says from which network address something was done."""
    return [
        table
        for (table,) in await superuser.fetch(OF_A_PERSON, SCHEMAS)
        if await superuser.fetchval(
            f"select exists (select from {table} t, unnest($2::text[]) as a (address)"
            " where t.account_id = $1 and position(a.address in t::text) > 0)",
            me,
            addresses,
        )
    ]


@pytest.fixture
async def superuser(house_admin_url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    connection = await asyncpg.connect(house_admin_url)
    yield connection
    await connection.close()


async def test_whoever_leaves_is_nowhere_to_be_found_and_what_is_left_still_adds_up(
    world: World, door: httpx.AsyncBaseTransport, house: House, superuser: asyncpg.Connection[asyncpg.Record]
) -> None:
    left = await lives_here(world, door)
    zubaida, me = left.zubaida, UUID(left.zubaida.id)
    seen: set[str] = set()
    async with asyncio.timeout(30):  # the control: all that was done here has been told, recorded and sent
        while not seen >= SAY_IT:
            seen = set(await rows_that_say(superuser, SCHEMAS, left.words))
    addresses = [r[0] for r in await superuser.fetch("select distinct address from audit.entry where account_id = $1", me)]
    assert {"audit.entry", "kernel.event"} <= set(await from_where(superuser, me, addresses)), "the control"

    await takes_a_copy(left)
    await asks_twice(zubaida, door)
    await forgotten(house, superuser, me)

    assert await in_the_end(superuser, left.words) == {}
    assert await from_where(superuser, me, addresses) == []
    await is_shut_out(world, left)
    await stands(left, house, superuser)
    await is_called_nobody(left, door)


async def takes_a_copy(left: Leaving) -> None:
    """Of everything, with a password; of others only what she sees of them anyway."""
    assert (await left.zubaida.post("/v1/me/export", {"password": "not it, by far"})).status_code == 422
    link = await done(await left.zubaida.post("/v1/me/export", {"password": PASSWORD}), 202)
    assert (await left.ben.get(link["url"])).status_code in (403, 404)
    sent = await left.zubaida.get(link["url"])
    assert sent.status_code == 200, sent.text
    with zipfile.ZipFile(io.BytesIO(sent.content)) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    full = {name.removesuffix(".json") for name, content in files.items() if name.endswith(".json") and len(content) > 3}
    assert full >= KINDS, KINDS - full
    assert {name.partition(" ")[2] for name in files if name.startswith("files/")} == {"zq7vxkwface.png", "zq7vxkwcourt.png"}
    whole = b"".join(files.values()).decode(errors="replace")
    for word in ("zq7vxkwbio", "zq7vxkwnote", "zq7vxkwreason", "zq7vxkwgrant", "zq7vxkwagain", "zq7vxkwbrowser", left.number):
        assert word in whole, word
    for secret in (left.ben.email, left.club.owner.email, PASSWORD, "argon2", PUSH["p256dh"], PUSH["auth"], left.zubaida.refresh):
        assert secret not in whole, secret


async def asks_twice(zubaida: Person, door: httpx.AsyncBaseTransport) -> None:
    """Asks to be erased, is told so on every page, keeps the account, and asks again."""
    assert (await zubaida.post("/v1/me/erase", {"password": "not it, by far"})).status_code == 422
    first = await done(await zubaida.post("/v1/me/erase", {"password": PASSWORD}), 202)
    assert (await done(await zubaida.get("/v1/me")))["erase_at"] == first["erase_at"]
    async with Reader(door) as reader:
        await reader.sign_in(zubaida)
        assert "Your account will be erased" in text(await reader.look("/"))
    await done(await zubaida.send("DELETE", "/v1/me/erase"), 204)
    assert (await done(await zubaida.get("/v1/me"))).get("erase_at") is None
    await done(await zubaida.post("/v1/me/erase", {"password": PASSWORD}), 202)


async def is_shut_out(world: World, left: Leaving) -> None:
    async with asyncio.timeout(30):  # every process hears of it within seconds
        while (await left.zubaida.get("/v1/me")).status_code != 401:
            await asyncio.sleep(0.1)
    login = {"email": left.zubaida.email, "password": PASSWORD}
    assert (await world.client.post("/v1/auth/login", json=login)).status_code == 401
    for url in (left.photo, left.file):
        assert (await world.client.get(url)).status_code == 404


async def stands(left: Leaving, house: House, superuser: asyncpg.Connection[asyncpg.Record]) -> None:
    """Money adds up, the place is free again, and what was recorded is as it was sealed."""
    sums = "select currency, sum(amount) from payments.entry where organisation_id = $1 group by 1"
    assert [tuple(r) for r in await superuser.fetch(sums, UUID(left.club.id))] == [("GBP", 0)]
    proof = await done(await left.club.owner.get(f"/v1/orgs/{left.club.id}/audit/proof"))
    assert (proof["intact"], proof["erased"] > 0) == (True, True), proof
    record = AuditService(house.database.module("audit"), house.clock)
    proof = await record.verify(service_context("tests", HOUSE))
    assert (proof.intact, proof.erased > 0) == (True, True), proof
    again = {"resource_id": left.club.courts[0], "duration_min": 60, "pay_with": "credits", "start": at(5, 10)}
    await done(await left.ben.post("/v1/bookings", again), 201)


async def is_called_nobody(left: Leaving, door: httpx.AsyncBaseTransport) -> None:
    """Others see that there was somebody."""
    async with Reader(door) as reader:
        await reader.sign_in(left.ben)
        assert "Deleted account" in text(await reader.look(f"/bookings/{left.his}"))
        assert "This message was deleted" in text(await reader.look(f"/chat/{left.room}"))
    async with Reader(door) as reader:
        await reader.sign_in(left.club.owner)
        assert "Deleted account" in text(await reader.look(f"/orgs/{left.club.id}/bookings?show=all"))
        assert "Deleted account" in text(await reader.look(f"/orgs/{left.club.id}/deliveries"))
        gone = next(
            d for d in (await done(await left.club.owner.get(f"/v1/orgs/{left.club.id}/deliveries")))["items"] if d["erased"]
        )
        assert (gone["recipient"], gone["account_id"]) == ("Deleted account", None)
        assert "What it said is not kept" in text(await reader.look(f"/orgs/{left.club.id}/deliveries/{gone['id']}"))
        record = text(await reader.look(f"/orgs/{left.club.id}/audit?actor={left.zubaida.id}"))
        assert "Deleted account" in record and "erased" in record
