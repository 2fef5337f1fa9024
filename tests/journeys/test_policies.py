"""Each row policy, replaced by `true`, is noticed.

Two organisations and two people with a row of every kind, made through the API. A probe then does, as each module's role,
what row security is there to refuse: look at, change, remove, add and hand over rows that are not one's own. What comes out is
held against what may come out, and once more with each policy opened; the two must differ.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from tests.conftest import FreshDatabase
from tests.journeys.conftest import settings_for
from tests.journeys.world import Club, Person, World, at
from tests.modules.media.samples import picture

from forecourt.app import Addresses, House
from forecourt.kernel.migrate import MODULES_ROLE
from forecourt.layout import module_names
from forecourt.spread import POLICIES_MENDED

KERNELS_OWN = "the machinery of events and jobs, which serves all organisations; no request reaches the kernel's role"
UNKNOWN_YET = "looked at before anybody is known, by the role of the module alone; holds digests and ids"
WHOLE_HOUSE = "counts over the whole house, of no organisation"
PUBLIC = "public by nature: what anybody finds in the directory"

OPEN_ON_PURPOSE = {
    "kernel.event read_by_the_kernel using": KERNELS_OWN,
    "kernel.event emptied_by_the_kernel using": KERNELS_OWN,
    "kernel.event emptied_by_the_kernel check": KERNELS_OWN,
    "kernel.cursor kernel_only using": KERNELS_OWN,
    "kernel.cursor kernel_only check": KERNELS_OWN,
    "kernel.dead_letter kernel_only using": KERNELS_OWN,
    "kernel.dead_letter kernel_only check": KERNELS_OWN,
    "kernel.inbox kernel_all using": KERNELS_OWN,
    "kernel.inbox kernel_all check": KERNELS_OWN,
    "kernel.job kernel_only using": KERNELS_OWN,
    "kernel.job kernel_only check": KERNELS_OWN,
    "kernel.job_log kernel_only using": KERNELS_OWN,
    "kernel.job_log kernel_only check": KERNELS_OWN,
    "kernel.job_statistics kernel_only using": KERNELS_OWN,
    "kernel.job_statistics kernel_only check": KERNELS_OWN,
    "kernel.dead_job kernel_only using": KERNELS_OWN,
    "kernel.dead_job kernel_only check": KERNELS_OWN,
    "kernel.schedule kernel_only using": KERNELS_OWN,
    "kernel.schedule kernel_only check": KERNELS_OWN,
    "kernel.tally counted_by_the_kernel using": WHOLE_HOUSE,
    "kernel.tally counted_by_the_kernel check": WHOLE_HOUSE,
    "kernel.snapshot kernel_only using": WHOLE_HOUSE,
    "kernel.snapshot kernel_only check": WHOLE_HOUSE,
    "kernel.last_copy noted_by_the_kernel using": "when the last whole copy was made, of no organisation",
    "kernel.last_copy noted_by_the_kernel check": "when the last whole copy was made, of no organisation",
    "identity.signing_key before_anybody_is_known using": UNKNOWN_YET,
    "identity.signing_key before_anybody_is_known check": UNKNOWN_YET,
    "identity.account before_anybody_is_known using": UNKNOWN_YET,
    "identity.account before_anybody_is_known check": UNKNOWN_YET,
    "identity.token before_anybody_is_known using": UNKNOWN_YET,
    "identity.token before_anybody_is_known check": UNKNOWN_YET,
    "identity.revocation before_anybody_is_known using": UNKNOWN_YET,
    "identity.revocation before_anybody_is_known check": UNKNOWN_YET,
    "identity.challenge before_anybody_is_known using": UNKNOWN_YET,
    "identity.challenge before_anybody_is_known check": UNKNOWN_YET,
    "identity.throttle before_anybody_is_known using": UNKNOWN_YET,
    "identity.throttle before_anybody_is_known check": UNKNOWN_YET,
    "identity.api_key_place before_anybody_is_known using": UNKNOWN_YET,
    "identity.api_key_place before_anybody_is_known check": UNKNOWN_YET,
    "notifications.outbox development_only using": "development's mailbox; production writes nothing there",
    "notifications.outbox development_only check": "development's mailbox; production writes nothing there",
    "chat.position numbers_alone using": "where each room's numbering is, for the server that forwards; numbers alone",
    "audit.chain every_chain using": "who verifies every chain asks which there are; an end says nothing about what happened",
    "booking.feed presented using": "a token opens its calendar to who presents it: whoever reads knows the digest already",
    "notifications.unwanted digests_alone using": "digests of addresses that want no mail: whose they are, nobody reads",
    "notifications.unwanted digests_alone check": "whoever has a link that was sent to an address may end its mails",
    "notifications.erased ids_alone using": "whom nobody writes to any more: ids that are nobody's",
    "notifications.erased ids_alone check": "whoever is told of an erasure notes it; ids that are nobody's",
    "booking.resource_feed presented using": "a token of staff opens its calendar to who presents it, knowing the digest",
    "payments.book known_to_all using": "which organisations keep books, for the sweeps; no tenant's data",
    "media.locator known_by_id using": "from an id to its holder, before that is known; ids are random",
    "people.profile anybody_may_look using": "profiles are looked at by everybody, field by field as `people.rules` decides",
    "venues.locator public_to_read using": PUBLIC,
    "venues.organisation_card public_to_read using": PUBLIC,
    "venues.listing public_to_read using": PUBLIC,
    "venues.search_word public_to_read using": PUBLIC,
}
"""Policies that are `true`, by table, name and clause, and why."""

NOBODY, ORGANISATION, PERSON = "nobody", "the organisation", "the person"
MAY = {
    ("kernel.event", NOBODY, "add"): "what happened to no organisation, or to one learned on the way",
    ("kernel.event", PERSON, "add"): "what happened to no organisation, or to one learned on the way",
    ("audit.chain", "*", "look"): OPEN_ON_PURPOSE["audit.chain every_chain using"],
    ("booking.due", NOBODY, "look"): "the keeper of time looks after everybody's bookings; ids and times alone",
    ("booking.feed", "*", "look"): OPEN_ON_PURPOSE["booking.feed presented using"],
    ("booking.invited_address", NOBODY, "look"): "the house asks which invitations an address has; digests and ids alone",
    ("booking.invited_address", NOBODY, "remove"): "the house lets those go whose bookings are over",
    **{
        ("notifications.unwanted", "*", deed): OPEN_ON_PURPOSE["notifications.unwanted digests_alone using"]
        for deed in ("look", "remove", "add")
    },
    ("booking.resource_feed", "*", "look"): OPEN_ON_PURPOSE["booking.resource_feed presented using"],
    ("payments.book", "*", "look"): OPEN_ON_PURPOSE["payments.book known_to_all using"],
    ("media.locator", "*", "look"): OPEN_ON_PURPOSE["media.locator known_by_id using"],
    ("media.doomed", NOBODY, "look"): "the sweeper looks after everybody's objects; ids and times alone",
    ("chat.position", "*", "look"): OPEN_ON_PURPOSE["chat.position numbers_alone using"],
    **{
        ("notifications.due", NOBODY, deed): "the keeper of the queue works for everybody; ids and times alone"
        for deed in ("look", "change", "remove", "add")
    },
    ("notifications.inbox", NOBODY, "look"): "the realtime server asks how far inboxes have come; ids and numbers alone",
    ("people.profile", "*", "look"): OPEN_ON_PURPOSE["people.profile anybody_may_look using"],
    ("venues.locator", "*", "look"): PUBLIC,
    ("venues.organisation_card", "*", "look"): PUBLIC,
    ("venues.listing", "*", "look"): PUBLIC,
    ("venues.search_word", "*", "look"): PUBLIC,
    ("venues.search_word", ORGANISATION, "add"): "words of names, of nobody's in particular",
}
"""What a probe may find although the row is not one's own: table, for whom, what is done."""

REFUSED = ("0 rows", "refused", "no right")


@dataclass
class Two:
    """Of whom the probe is (`mine`), and whose rows it goes for (`theirs`)."""

    org: str
    person: str
    their_org: str
    their_person: str
    rooms: str = ""
    """Of chat, in which the person is but they are not, as a list of SQL; `their_rooms` the other way about."""
    their_rooms: str = ""


@dataclass
class Table:
    name: str
    columns: list[str]
    """Those that a row is made of; generated ones are not."""

    def foreign(self, two: Two) -> str:
        """A condition: the row is not of `two.org` nor of `two.person`."""
        if self.name in ("kernel.job", "kernel.inbox"):
            return ("entrypoint" if self.name == "kernel.job" else "subscriber") + " like 'payments.%'"
        if self.name == "venues.organisation":
            return f"id = '{two.their_org}'"
        if self.name.startswith("chat.") and "room_id" in self.columns:
            return f"room_id in ({two.their_rooms})"
        if "organisation_id" in self.columns:
            return f"organisation_id = '{two.their_org}'"
        if "account_id" in self.columns:
            return f"account_id = '{two.their_person}'"
        if "holder_id" in self.columns:
            return f"holder_id in ('{two.their_org}', '{two.their_person}')"
        return "true"

    def give_away(self, two: Two) -> tuple[str, str] | None:
        """Of one's own row: what has to change so that it is theirs, and which row."""
        if self.name == "venues.organisation":
            return f"id = '{uuid4()}'", f"id = '{two.org}'"
        if self.name.startswith("chat.") and "room_id" in self.columns:
            return f"room_id = {two.their_rooms.split(',')[0]}", f"room_id in ({two.rooms})"
        if "organisation_id" in self.columns:
            return f"organisation_id = '{two.their_org}'", f"organisation_id = '{two.org}'"
        if "account_id" in self.columns:
            return f"account_id = '{two.their_person}'", f"account_id = '{two.person}'"
        if "holder_id" in self.columns:
            return f"holder_id = '{two.their_org}'", f"holder_id in ('{two.org}', '{two.person}')"
        return None


async def tables(connection: asyncpg.Connection) -> dict[str, Table]:
    found = await connection.fetch(
        "select n.nspname || '.' || c.relname as name, array_agg(a.attname::text order by a.attnum) as columns"
        " from pg_class c join pg_namespace n on n.oid = c.relnamespace join pg_attribute a on a.attrelid = c.oid"
        " where n.nspname = any($1) and c.relkind in ('r', 'p') and not c.relispartition and c.relrowsecurity"
        " and a.attnum > 0 and not a.attisdropped and a.attgenerated = '' and a.attidentity <> 'a' group by 1",
        ["kernel", *module_names()],
    )
    return {r["name"]: Table(r["name"], r["columns"]) for r in found}


async def policies(connection: asyncpg.Connection) -> list[asyncpg.Record]:
    return await connection.fetch(
        "select schemaname || '.' || tablename as table, policyname as name, roles::text[] as roles, cmd, qual, with_check,"
        " permissive from pg_policies where schemaname = any($1) order by 1, 2",
        ["kernel", *module_names()],
    )


Outcomes = dict[tuple[str, str], str]
"""For whom and what was done → what came of it."""


async def attempt(connection: asyncpg.Connection, role: str, org: str, person: str, room: str, sql: str) -> str:
    """What comes of a statement under these settings: rows, a refusal, or how far it got past row security."""
    step = connection.transaction()
    await step.start()
    try:
        await connection.execute(
            f"set local role {role}; set local forecourt.org = '{org}'; set local forecourt.account = '{person}';"
            f" set local forecourt.room = '{room}';"
            # What many servers are told besides: the person's own rooms, and who is in the one that is open.
            f" set local forecourt.rooms = '{room}'; set local forecourt.people = '{person}'; set local forecourt.house = '{org}'"
        )
        return (await connection.execute(sql)).rsplit(" ", 1)[-1] + " rows"
    except asyncpg.InsufficientPrivilegeError as e:
        return "refused" if "row-level security" in str(e) else "no right"
    except asyncpg.PostgresError as e:
        return f"got as far as {type(e).__name__}"
    finally:
        await step.rollback()


async def probe(connection: asyncpg.Connection, table: Table, role: str, two: Two) -> Outcomes:
    """Tries everything on rows that are not `two`'s own; inside a transaction of the caller."""
    foreign, first = table.foreign(two), table.columns[0]
    # A row like theirs: row security is asked before any key, so it is refused, or gets as far as the key.
    given = [("0" if (table.name, c) in HOLDINGS else f's."{c}"') for c in table.columns]
    names = ", ".join(f'"{c}"' for c in table.columns)
    await connection.execute("reset role")
    await connection.execute("drop table if exists pg_temp.theirs")
    await connection.execute(f"create temp table theirs as select * from {table.name} where {foreign} limit 1")
    assert await connection.fetchval("select count(*) from pg_temp.theirs") == 1, f"{table.name} has no row to go for"
    await connection.execute("grant select on pg_temp.theirs to public")
    changeable = [
        c
        for c in table.columns
        if await connection.fetchval("select has_column_privilege($1, $2, $3, 'update')", role, table.name, c)
    ]
    column = changeable[0] if changeable else first
    deeds = {
        "look": f"select 1 from {table.name} where {foreign}",
        "change": f'update {table.name} set "{column}" = "{column}" where {foreign}',
        "remove": f"delete from {table.name} where {foreign}",
        "add": f"insert into {table.name} ({names}) select {', '.join(given)} from pg_temp.theirs s",
    }
    handing = table.give_away(two)
    if handing is not None:
        deeds["hand over"] = f"update {table.name} set {handing[0]} where {handing[1]}"
    return {
        (who, what): await attempt(connection, role, org, person, room, sql)
        for who, org, person, room in (
            (NOBODY, "", "", ""),
            (ORGANISATION, two.org, "", ""),
            (PERSON, "", two.person, two.rooms.split(",")[0].strip("'")),
        )
        for what, sql in deeds.items()
    }


HOLDINGS = {("payments.wallet", "balance"), ("payments.lot", "remaining")}
"""Moved by the ledger's trigger alone, which would speak before row security does."""


def role_of(table: str) -> str:
    """Who is let at a table; for what modules write into the kernel's, one of the modules."""
    return "fc_booking" if table in ("kernel.event", "kernel.job", "kernel.inbox") else f"fc_{table.split('.', maxsplit=1)[0]}"


def deliberate(table: str, who: str, what: str) -> bool:
    return (table, who, what) in MAY or (table, "*", what) in MAY


# --- the world -----------------------------------------------------------------------------------------------------------


async def furnish(world: World, club: Club, guest: Person, word: str) -> None:
    """A row of every kind that the API makes for an organisation and a person."""
    owner, org = club.owner, f"/v1/orgs/{club.id}"

    async def made(answer: httpx.Response) -> dict[str, object]:
        assert answer.status_code in (200, 201, 204), (answer.request.url, answer.text)
        return answer.json() if answer.content else {}

    await world.credits(club, guest)
    await made(await owner.post(f"{org}/promo-codes", {"code": f"TEN{word}", "kind": "percent", "value": 10}))
    wish = {"resource_id": club.courts[0], "duration_min": 60}
    await made(
        await guest.post(
            "/v1/bookings", wish | {"start": at(3, 12), "pay_with": "credits", "promo_code": f"TEN{word}"}, Idempotency_Key=word
        )
    )
    party = wish | {"start": at(3, 20), "pay_with": "credits", "team_size": 2}
    await made(await guest.post("/v1/bookings", party | {"invitees": [{"email": f"guest.{word}@example.org"}]}))
    held = await made(await guest.post("/v1/bookings", wish | {"start": at(3, 14), "pay_with": "credits"}))
    await made(await guest.post(f"/v1/bookings/{held['id']}/cancel", {}))
    await made(await guest.post("/v1/bookings", wish | {"start": at(3, 18), "purpose": "content", "pay_with": "credits"}))
    await made(await guest.post("/v1/quotes", wish | {"start": at(3, 16)}))
    await made(await guest.post("/v1/me/calendar-feed"))
    await made(await owner.post(f"{org}/resources/{club.courts[0]}/calendar-feed"))
    await phone(world, guest, word)
    await made(await guest.send("PUT", "/v1/me/preferences", {}))
    await made(await guest.send("PATCH", "/v1/me/profile", {"bio": "Plays"}))
    block = {"resource_ids": [club.courts[1]], "start": at(4, 10), "end": at(4, 12), "reason": "Repairs"}
    await made(await owner.post(f"{org}/blocks", block))
    closure = {"reason": "Works", "dates": {"from": at(40)[:10], "to": at(41)[:10]}}
    await made(await owner.post(f"{org}/venues/{club.venue}/closures", closure))
    things = f"{org}/venues/{club.venue}/resources"
    whole = await made(await owner.post(things, {"name": "Full court", "kind": "court", "capacity": 8}))
    await made(await owner.send("PATCH", f"{things}/{whole['id']}", {"part_ids": club.courts}))
    await made(await owner.post(f"{org}/roles", {"name": "Caretaker", "permissions": ["booking.read_any"]}))
    await made(await owner.post(f"{org}/staff/invitations", {"email": f"{word}@example.org", "role": "viewer"}))
    await made(await owner.post(f"{org}/api-keys", {"name": "Door", "permissions": ["booking.read_any"]}))
    photo = {"file": ("court.png", picture(), "image/png")}
    await made(await world.client.post(f"{org}/uploads", headers=owner.headers, files=photo))
    await made(await world.client.post("/v1/uploads", headers=guest.headers, files=photo))
    channel = await made(await owner.post(f"{org}/channels", {"name": word, "public": False, "member_ids": [guest.id]}))
    room = f"/v1/rooms/{channel['id']}"
    first = await made(await guest.post(f"{room}/messages", {"client_id": word, "text": f"@[Them]({owner.id}) at six?"}))
    await made(await guest.send("PATCH", f"/v1/messages/{first['id']}", {"text": f"@[Them]({owner.id}) at seven?"}))
    await made(await owner.send("PUT", f"/v1/messages/{first['id']}/reactions/👍"))
    await made(await owner.post(f"{room}/moderation", {"action": "ban", "account_id": str(uuid4())}))
    await made(await guest.post("/v1/rooms", {"kind": "direct", "member_ids": [owner.id]}))
    await made(await guest.send("PUT", "/v1/me/chat", {"receipts": False}))
    await made(await owner.send("PUT", f"{org}/chat", {"previews": False}))
    begun = await made(await guest.post("/v1/uploads/resumable", {"bytes": 10}))
    part = guest.headers | {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "0"}
    await made(await world.client.patch(f"/v1/uploads/{begun['id']}", headers=part, content=b"hello"))
    # A person's own place as staff, and a log-in that fails.
    await made(await owner.post(f"{org}/staff", {"account_id": guest.id, "role": "viewer"}))
    await world.client.post("/v1/auth/login", json={"email": guest.email, "password": "not it, by far"})


async def phone(world: World, guest: Person, word: str) -> None:
    """A verified number, and another that waits for its code."""
    number = {"ONE": "+447700900111", "TWO": "+447700900222"}[word]
    assert (await guest.post("/v1/me/phone", {"phone": number})).status_code == 202
    assert (await guest.post("/v1/me/phone/verify", {"code": await world.code(number)})).status_code == 204
    assert (await guest.post("/v1/me/phone", {"phone": f"{number[:-1]}9"})).status_code == 202


MACHINERY = """
insert into booking.errand (organisation_id, id, booking_id, kind, amount_minor, currency, created_at)
    select organisation_id, id, id, 'refund', 0, 'GBP', now() from booking.booking;
insert into media.doomed (holder_id, content_id, due_at) select holder_id, id, now() from media.content;
insert into kernel.inbox (subscriber, event_id) values ('payments.heard', '{id}');
insert into notifications.notice (organisation_id, id, account_id, kind, key, facts, created_at)
    select id, id, id, 'booking.confirmed', 'machinery', '{}', now() from venues.organisation;
insert into notifications.due (organisation_id, id, what, due_at)
    select id, id, 'notice', now() + interval '1 day' from venues.organisation;
insert into notifications.delivery (organisation_id, id, notice_id, account_id, kind, topic, channel, recipient, locale, content,
    status, created_at, changed_at)
    select id, id, id, id, 'booking.confirmed', 'bookings', 'email', 'a@example.org', 'en', '{}', 'failed', now(), now()
    from venues.organisation;
insert into notifications.attempt (organisation_id, delivery_id, id, at, provider, taken)
    select id, id, id, now(), 'machinery', false from venues.organisation;
insert into notifications.callback (organisation_id, provider_id, id, delivery_id, said, at)
    select id, id, 'machinery', id, 'failed', now() from venues.organisation;
insert into notifications.provider (organisation_id, id, channel, name, place, enabled, sealed_url, sealed_callback_key, scheme,
    created_at)
    select id, id, 'sms', 'machinery', 0, false, decode(repeat('00', 40), 'hex'), decode(repeat('00', 40), 'hex'), 'sns', now()
    from venues.organisation;
insert into notifications.webhook_endpoint (organisation_id, id, url, events, sealed_key, enabled, created_at)
    select id, id, 'https://example.org/', '{*}', decode(repeat('00', 40), 'hex'), false, now() from venues.organisation;
insert into notifications.template (organisation_id, id, event, channel, locale, enabled, version, created_at)
    select id, id, 'booking.confirmed', 'email', 'en', false, 1, now() from venues.organisation;
insert into notifications.template_version (organisation_id, template_id, version, subject, body, created_at)
    select id, id, 1, 'machinery', 'machinery', now() from venues.organisation;
insert into notifications.inbox (account_id, epoch, seq, changed_at)
    select account_id, 'machinery', 1, now() from people.preferences on conflict do nothing;
insert into notifications.entry (account_id, id, seq, kind, topic, urgency, place_id, delivery_id, title, body, href, created_at)
    select account_id, account_id, 1, 'booking.confirmed', 'bookings', 'normal', account_id, account_id,
        'machinery', '', '', now()
    from people.preferences;
insert into notifications.inbox_event (account_id, seq, type, data, at)
    select account_id, 2000000, 'notification.created', '{}', now() from people.preferences;
insert into notifications.preference (account_id, chosen, updated_at)
    select account_id, '{}', now() from people.preferences on conflict do nothing;
insert into notifications.push_subscription (account_id, id, endpoint, p256dh, auth, agent, created_at)
    select account_id, account_id, 'https://push.example.org', repeat('x', 87), repeat('x', 22), '', now()
        from people.preferences;
insert into notifications.digest_item (account_id, id, topic, title, href, at)
    select account_id, account_id, 'payments', 'machinery', '', now() from people.preferences;
insert into kernel.job (entrypoint, payload) values ('payments.work', '');
"""
"""What stands in a table only between two steps of the house; the API never leaves it there to be seen."""


async def rooms(connection: asyncpg.Connection, person: str) -> str:
    found = await connection.fetch("select room_id from chat.member where account_id = $1::uuid", UUID(person))
    return ", ".join(f"'{r[0]}'" for r in found)


@pytest.fixture
async def two(fresh_database: FreshDatabase, valkey_url: str, tmp_path: Path) -> AsyncIterator[tuple[asyncpg.Connection, Two]]:
    house = await House.open(settings_for(tmp_path), Addresses(fresh_database.url, valkey_url))
    connection = await fresh_database.admin()
    try:
        await house.start_work()
        transport = httpx.ASGITransport(app=house.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
            world = World(client)
            clubs = [await world.club(), await world.club()]
            people = [await world.person("Pat"), await world.person("Quinn")]
            for club, guest, word in zip(clubs, people, ("ONE", "TWO"), strict=True):
                await furnish(world, club, guest, word)
            await house.dispatcher.drain()
        await house.close()
        await connection.execute(MACHINERY.replace("{id}", str(uuid4())))
        mine, theirs = [await rooms(connection, person.id) for person in people]
        yield connection, Two(clubs[0].id, people[0].id, clubs[1].id, people[1].id, mine, theirs)
    finally:
        await connection.close()
        await house.close()


# --- the tests -----------------------------------------------------------------------------------------------------------


async def test_nothing_of_another_tenant_is_reached_and_each_policy_that_opens_is_noticed(
    two: tuple[asyncpg.Connection, Two],
) -> None:
    connection, pair = two
    known, guards = await tables(connection), await policies(connection)

    async def probed(table: str, opening: str = "select") -> Outcomes:
        outer = connection.transaction()
        await outer.start()
        await connection.execute(opening)
        try:
            return await probe(connection, known[table], role_of(table), pair)
        finally:
            await outer.rollback()

    guarded = sorted({p["table"] for p in guards if not only_open(guards, p["table"])})
    before = {table: await probed(table) for table in guarded}
    leaks = [
        f"{role_of(table)} for {who} may {what} rows of others in {table}: {outcome}"
        for table, outcomes in before.items()
        for (who, what), outcome in outcomes.items()
        if outcome not in REFUSED and not deliberate(table, who, what)
    ]
    assert not leaks, "\n".join(leaks)

    # Who changes or removes a row must also see it: those policies show only where everything is seen.
    seen = {t: await probed(t, sight(guards, t)) for t in {p["table"] for p in guards if p["cmd"] in ("UPDATE", "DELETE")}}
    # A restrictive policy lets nobody in; what it keeps out has tests of its own.
    closed = [
        (p, c)
        for p in guards
        if p["permissive"] == "PERMISSIVE"
        for c in clauses(p)
        if f"{p['table']} {p['name']} {c}" not in OPEN_ON_PURPOSE
    ]
    unnoticed: list[str] = []
    for policy, clause in closed:
        table = policy["table"]
        opening = f"alter policy {policy['name']} on {table} {'using' if clause == 'using' else 'with check'} (true)"
        behind = policy["cmd"] in ("UPDATE", "DELETE")
        if (
            await probed(table, f"{sight(guards, table)}; {opening}" if behind else opening)
            == (seen if behind else before)[table]
        ):
            unnoticed.append(f"{table} {policy['name']} {clause}")
    assert not unnoticed, "\n".join(unnoticed)
    assert len(closed) > 60
    for name, mend in POLICIES_MENDED.items():  # what takes their place on many servers is no weaker, and no less needed
        table, policy = name.split()
        functions = "; ".join(line.rstrip(";") for m in POLICIES_MENDED.values() for line in m.instead if "policy" not in line)
        mended = "; ".join([functions, *(line.rstrip(";") for line in mend.instead if "policy" in line)])
        assert await probed(table, mended) == before[table], f"{name} as many servers have it"
        assert await probed(table, f"{mended}; alter policy {policy} on {table} using (true)") != before[table]


def clauses(policy: asyncpg.Record) -> list[str]:
    return [c for c, column in (("using", "qual"), ("check", "with_check")) if policy[column] is not None]


def sight(guards: list[asyncpg.Record], table: str) -> str:
    """Statements that open what decides who sees the table's rows."""
    return "; ".join(
        ["select"]
        + [f"alter policy {p['name']} on {table} using (true)" for p in guards if p["table"] == table and p["cmd"] == "SELECT"]
    )


def only_open(guards: list[asyncpg.Record], table: str) -> bool:
    """Whether all that guards a table is `true` on purpose."""
    return all(f"{p['table']} {p['name']} {c}" in OPEN_ON_PURPOSE for p in guards if p["table"] == table for c in clauses(p))


async def test_a_policy_that_is_true_is_one_of_those_with_a_reason(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    try:
        guards = await policies(connection)
    finally:
        await connection.close()
    true = {
        f"{p['table']} {p['name']} {clause}"
        for p in guards
        for clause in ("using", "check")
        if re.fullmatch(r"\(*true\)*", p["qual" if clause == "using" else "with_check"] or "")
    }
    assert true == set(OPEN_ON_PURPOSE)
    assert all(r == MODULES_ROLE or r.startswith("fc_") for p in guards for r in p["roles"]), "a policy for everybody"
