"""The world a measurement runs in: clubs made through the API, then people, credits and bookings in bulk.

Clubs and courts come through the API, so they are what the product makes of them. People, wallets and bookings are written by
the owner of the schema, set by set: a hundred thousand bookings take seconds. Venues keep UTC all year, so that the peers need
no calendar of time zones; prices are 20.00 an hour.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import msgspec
import uvloop

from bench.installation import Installation
from bench.load import Call
from bench.report import out
from forecourt.app import House
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import service_context
from forecourt.kernel.http.gate import ISSUER
from forecourt.modules.booking import queries as booking
from forecourt.modules.identity.secrecy import Vault
from forecourt.modules.identity.service.signing import Signing
from forecourt.modules.payments import queries as payments

ZONE = "Atlantic/Reykjavik"
OPENS_MIN, CLOSES_MIN = 6 * 60, 23 * 60
HOUR_MINOR = 2000
LABEL = "Any hour"
SLOT_MIN = 15
MAX_OPEN = 10_000
HORIZON_DAYS = 730
TOKEN_TTL = timedelta(hours=12)
CREDITS_MINOR = 1_000_000_000
HOURS = {day: [["06:00", "23:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
FREE_FROM_DAYS = 370
"""From this many days ahead on nothing is booked: where measurements book."""


class Shape(msgspec.Struct, frozen=True):
    """How large a world is. Bookings lie on the days from tomorrow on, 2.76 a court and day."""

    clubs: int = 10
    courts: int = 20
    people: int = 10_000
    bookers: int = 500
    days: int = 365


class Club(msgspec.Struct, frozen=True):
    organisation_id: UUID
    venue_id: UUID
    courts: list[UUID]


class Person(msgspec.Struct, frozen=True):
    account_id: UUID
    token: str


class World(msgspec.Struct):
    clubs: list[Club]
    owner: Person
    readers: list[tuple[UUID, str]]
    """Bookings, and the tokens of those whose they are."""
    bookers: list[Person]
    """Each has credits at every club, and no bookings yet."""
    days: int
    keys: list[dict[str, str]]
    issuer: str

    @property
    def tokens(self) -> list[str]:
        """Of everybody who will ask."""
        return [self.owner.token, *(token for _, token in self.readers), *(p.token for p in self.bookers)]

    # --- what is asked of it

    def read_one(self, count: int, dice: random.Random) -> list[Call]:
        return [Call(f"/v1/bookings/{id}", token) for id, token in dice.choices(self.readers, k=count)]

    def day_of_one_court(self, count: int, dice: random.Random) -> list[Call]:
        calls: list[Call] = []
        for _ in range(count):
            club = dice.choice(self.clubs)
            day = date.today() + timedelta(days=dice.randint(1, min(self.days, 360)))
            court = dice.choice(club.courts)
            path = f"/v1/venues/{club.venue_id}/availability?from={day}&to={day}&resource_id={court}&duration_min=60"
            calls.append(Call(path, dice.choice(self.readers)[1]))
        return calls

    def book(self, count: int) -> list[Call]:
        """Each books another hour that is free, never two neighbours of a court in a row."""
        courts = [court for club in self.clubs for court in club.courts]
        first = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=FREE_FROM_DAYS)
        hours = (CLOSES_MIN - OPENS_MIN) // 60
        calls: list[Call] = []
        for n in range(count):
            turn, court = divmod(n, len(courts))
            day, hour = divmod(turn, hours)
            start = first + timedelta(days=day, minutes=OPENS_MIN + 60 * hour)
            body = {"resource_id": str(courts[court]), "start": _z(start), "duration_min": 60, "pay_with": "credits"}
            calls.append(Call("/v1/bookings", self.bookers[n % len(self.bookers)].token, msgspec.json.encode(body), "POST"))
        return calls

    def for_peers(self, path: Path) -> None:
        """What the peers keep in memory, as the product keeps its books; and the product's statements."""
        clubs = [
            {
                "organisation_id": str(c.organisation_id),
                "venue_id": str(c.venue_id),
                "timezone": ZONE,
                "currency": "GBP",
                "opens_min": OPENS_MIN,
                "closes_min": CLOSES_MIN,
                "slot_min": SLOT_MIN,
                "hour_minor": HOUR_MINOR,
                "label": LABEL,
                "max_open": MAX_OPEN,
                "courts": [str(r) for r in c.courts],
            }
            for c in self.clubs
        ]
        from forecourt.kernel import events

        statements = {
            # They know no organisations; an index on the id alone is there for them.
            "booking": booking.BOOKING_AMONG.sql.replace("b.organisation_id = any($1::uuid[]) and b.id = $2", "b.id = $1"),
            "busy": booking.BUSY.sql,
            "lock_person": "select pg_advisory_xact_lock(hashtextextended($1, 0))",
            "hold": _alone(booking.HOLD.sql, booking.SAID_WITH_HOLD).replace("$46", "$35"),
            "hold_and_tell": booking.HOLD.sql,
            "confirm": _alone(booking.CONFIRM.sql, booking.SAID_WITH_CONFIRM),
            "confirm_and_tell": booking.CONFIRM.sql,
            "open_charge": payments.OPEN_CHARGE.sql,
            "spend": "select payments.spend($1, $2, $3, $4, $5, $6, $7, $8, $9)",
            "take_and_tell": payments.TAKE.sql,
            "event": events.INSERT.sql,
        }
        path.write_bytes(
            msgspec.json.encode({"clubs": clubs, "keys": self.keys, "issuer": self.issuer, "statements": statements})
        )


def _alone(sql: str, told: str) -> str:
    """A statement of the product without the event that travels in it: one writes that as a statement of its own."""
    if told not in sql:
        raise AssertionError(f"there is no {told!r} in the statement")
    return sql.replace(told, "")


def make(at: Installation, shape: Shape) -> World:
    """Fills an empty installation."""
    began = time.monotonic()
    world = uvloop.run(_make(at, shape))
    out.print(
        f"[dim]{len(world.clubs)} clubs, {shape.clubs * shape.courts} courts, {shape.people:,} people,"
        f" {len(world.clubs) * shape.courts * shape.days * 2.76:,.0f} bookings in {time.monotonic() - began:.0f} s[/]"
    )
    return world


async def _make(at: Installation, shape: Shape) -> World:
    house = await House.open(at.settings, at.at)
    owner_db = await asyncpg.connect(at.admin_url, server_settings={"transaction_timeout": "0", "jit": "off"})
    try:
        mint = Mint(house)
        people = [uuid4() for _ in range(shape.people)]
        await _accounts(owner_db, people)
        owner = Person(people[0], await mint.token(people[0]))
        clubs = await _clubs(house, owner, shape)
        bookers = people[1 : 1 + shape.bookers]
        await _credits(owner_db, clubs, bookers)
        tomorrow = date.today() + timedelta(days=1)
        await book_in_bulk(owner_db, clubs, people[1 + shape.bookers :], tomorrow, shape.days)
        readers = await _readers(owner_db, mint, 1_000)
        made = [Person(id, await mint.token(id)) for id in bookers]
        return World(clubs, owner, readers, made, shape.days, await mint.public_keys(), ISSUER)
    finally:
        await owner_db.close()
        await house.close()


class Mint:
    """Access tokens, signed with the house's own key as log-in signs them, and good for half a day."""

    def __init__(self, house: House) -> None:
        secret = house.settings.secrets.secret_key.reveal()
        db = house.database.module("identity")
        self._signing = Signing(db, SystemClock(), Vault(secret))

    async def token(self, account_id: UUID) -> str:
        now = datetime.now(UTC)
        claims: dict[str, object] = {
            "sub": str(account_id),
            "sid": str(uuid4()),
            "iat": int(now.timestamp()),
            "exp": int((now + TOKEN_TTL).timestamp()),
            "st": "active",
            "adm": False,
        }
        return await self._signing.sign(claims)

    async def public_keys(self) -> list[dict[str, str]]:
        return (await self._signing.public_keys(service_context("bench"))).keys


async def _accounts(db: asyncpg.Connection[asyncpg.Record], ids: Sequence[UUID]) -> None:
    now = datetime.now(UTC)
    rows = [(id, f"p{n}@example.org", f"p{n}@example.org", f"Person {n}", "active", now) for n, id in enumerate(ids)]
    columns = ["id", "email", "email_key", "name", "status", "created_at"]
    await db.copy_records_to_table("account", schema_name="identity", records=rows, columns=columns)


async def _clubs(house: House, owner: Person, shape: Shape) -> list[Club]:
    transport = httpx.ASGITransport(app=house.app)  # type: ignore[arg-type]
    headers = {"Authorization": f"Bearer {owner.token}"}
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30, headers=headers) as client:

        async def send(method: str, path: str, body: object) -> dict[str, str]:
            answer = await client.request(method, path, json=body)
            if answer.status_code >= 300:
                raise AssertionError(f"{method} {path}: {answer.status_code} {answer.text}")
            return answer.json()

        clubs: list[Club] = []
        for number in range(shape.clubs):
            made = await send(
                "POST",
                "/v1/orgs",
                {"name": f"Club {number}", "kind": "club", "country": "GB", "currency": "GBP", "timezone": ZONE},
            )
            org = made["id"]
            policies = {"max_open_bookings": MAX_OPEN, "horizon_days": HORIZON_DAYS}
            await send("PATCH", f"/v1/orgs/{org}/policies", policies)
            venue = await send(
                "POST",
                f"/v1/orgs/{org}/venues",
                {
                    "name": f"Courts {number}",
                    "address": f"{number + 1} Quay Street",
                    "location": {"lat": 64.1 + number / 100, "lon": -21.9},
                    "timezone": ZONE,
                    "opening_hours": HOURS,
                },
            )
            base = f"/v1/orgs/{org}/venues/{venue['id']}"
            courts = [
                (
                    await send(
                        "POST", f"{base}/resources", {"name": f"Court {n + 1}", "kind": "court", "sport": "padel", "capacity": 4}
                    )
                )["id"]
                for n in range(shape.courts)
            ]
            price = {"per": "hour", "amount": {"amount": HOUR_MINOR, "currency": "GBP"}, "label": LABEL, "priority": 0}
            await send("PUT", f"{base}/prices", {"rules": [price]})
            clubs.append(Club(UUID(org), UUID(venue["id"]), [UUID(c) for c in courts]))
        return clubs


async def _credits(db: asyncpg.Connection[asyncpg.Record], clubs: Sequence[Club], people: Sequence[UUID]) -> None:
    """One large lot for everybody everywhere, with the entries it follows from."""
    async with db.transaction():
        await db.execute(
            "create temp table given on commit drop as select o.id as org, a.id as person, uuidv7() as lot, uuidv7() as transfer"
            f" from unnest('{_array(c.organisation_id for c in clubs)}'::uuid[]) as o (id),"
            f" unnest('{_array(people)}'::uuid[]) as a (id)"
        )
        await db.execute(
            "insert into payments.wallet (organisation_id, account_id, currency) select g.org, g.person, 'GBP' from given g"
        )
        await db.execute(
            "insert into payments.lot (organisation_id, id, account_id, currency, kind, amount, reason, created_at)"
            f" select g.org, g.lot, g.person, 'GBP', 'granted', {CREDITS_MINOR}, 'to measure with', now() from given g"
        )
        await db.execute(
            "insert into payments.transfer (organisation_id, id, kind, currency, account_id, at)"
            " select g.org, g.transfer, 'grant', 'GBP', g.person, now() from given g"
        )
        await db.execute(
            "insert into payments.entry (organisation_id, transfer_id, seq, account, account_id, lot_id, currency, amount, at)"
            f" select g.org, g.transfer, 1, 'wallet', g.person, g.lot, 'GBP', {CREDITS_MINOR}, now() from given g union all"
            f" select g.org, g.transfer, 2, 'granted', null, null, 'GBP', -{CREDITS_MINOR}, now() from given g"
        )
    await db.execute("vacuum analyze payments.wallet, payments.lot, payments.entry, payments.transfer")


async def book_in_bulk(
    db: asyncpg.Connection[asyncpg.Record],
    clubs: Sequence[Club],
    people: Sequence[UUID],
    first: date,
    days: int,
    *,
    tidy: bool = True,
) -> None:
    """Six windows of 165 minutes on every court and day; each has a booking of one to two hours with probability 0.46.

    `tidy` leaves statistics behind.
    """
    status = "upcoming" if first > date.today() else "completed"
    places = ",".join(f"('{c.organisation_id}'::uuid, '{c.venue_id}'::uuid, '{r}'::uuid)" for c in clubs for r in c.courts)
    async with db.transaction():
        await db.execute("select setseed(0.5)")
        await db.execute(
            "create temp table person on commit drop as"
            f" select n::int, id from unnest('{_array(people)}'::uuid[]) with ordinality p (id, n)"
        )
        await db.execute("create index on person (n); analyze person")
        await db.execute(
            f"""
            create temp table made on commit drop as
            select p.org, p.venue, p.court, uuidv7() as id, s.at as starts_at,
                   s.at + s.quarters * interval '15 minutes' as ends_at, s.quarters,
                   (1 + floor(random() * {len(people)}))::int as n
              from (values {places}) as p (org, venue, court)
             cross join generate_series(0, {days - 1}) as d (day)
             cross join generate_series(0, 5) as w (slot)
             cross join lateral (
                select timestamptz '{first} 00:00+00' + make_interval(days => d.day, mins => {OPENS_MIN} + w.slot * 165)
                       + floor(random() * 3)::int * interval '15 minutes' as at,
                       (4 + floor(random() * 5))::int as quarters, p.court
             ) as s
             where random() < 0.46
            """
        )
        await db.execute(
            f"""
            insert into booking.booking
                (organisation_id, id, venue_id, resource_id, account_id, status, starts_at, ends_at, timezone, purpose, team_size,
                 currency, list_minor, price_minor, paid_minor, lines, tax, pay_with, claimed, claim_starts_at, claim_ends_at,
                 made_by, version, created_at, updated_at)
            select m.org, m.id, m.venue, m.court, p.id, '{status}', m.starts_at, m.ends_at, '{ZONE}', 'workout', 1, 'GBP',
                   m.quarters * {HOUR_MINOR // 4}, m.quarters * {HOUR_MINOR // 4}, m.quarters * {HOUR_MINOR // 4},
                   jsonb_build_array(jsonb_build_object('label', '{LABEL}', 'rule', '{LABEL}', 'amount',
                       jsonb_build_object('amount', m.quarters * {HOUR_MINOR // 4}, 'currency', 'GBP'))),
                   '[]', 'credits', array[m.court], m.starts_at, m.ends_at, p.id, 2, now(), now()
              from made m join person p on p.n = m.n
            """
        )
        await db.execute(
            "insert into booking.occupancy (organisation_id, resource_id, during, booking_id)"
            " select m.org, m.court, tstzrange(m.starts_at, m.ends_at, '[)'), m.id from made m order by m.court, m.starts_at"
        )
    if tidy:
        await db.execute("vacuum analyze booking.booking, booking.occupancy")


async def _readers(db: asyncpg.Connection[asyncpg.Record], mint: Mint, count: int) -> list[tuple[UUID, str]]:
    """Bookings of as many different people."""
    rows = await db.fetch(
        "select distinct on (b.account_id) b.account_id, b.id from booking.booking b where b.account_id is not null limit $1",
        count,
    )
    return [(r["id"], await mint.token(r["account_id"])) for r in rows]


def _array(ids: Iterable[UUID]) -> str:
    return "{" + ",".join(map(str, ids)) + "}"


def _z(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")
