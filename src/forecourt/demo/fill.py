"""Fills a house with the demo world, or finds out that there is one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from uuid import UUID

import argon2
import asyncpg
from argon2.low_level import Type, hash_secret

from forecourt.demo import news, pictures, record, talk, told, write
from forecourt.demo.cast import PASSWORD
from forecourt.demo.ids import Fate
from forecourt.demo.many import fill_bookings
from forecourt.demo.money import Bookkeeper, Books, Lot
from forecourt.demo.places import HOUSES
from forecourt.demo.record import bucket
from forecourt.demo.scenes import blocks
from forecourt.demo.show import Report
from forecourt.demo.story import Booked, Chronicle
from forecourt.demo.weather import Weather
from forecourt.demo.world import PAST_DAYS, World, build
from forecourt.demo.write import Connection
from forecourt.engines import EngineError
from forecourt.modules.media.contract import Media
from forecourt.modules.venues.contract import Organisation, VenueBook

LOCK = 0x44454D4F  # "DEMO": one fill at a time in a database
SUBSCRIBER = "demo.world-"
"""Under this name and the seed kernel.inbox remembers which parts of a world were written."""
PLACES = "Places and people"
HISTORY = "A year of bookings"
FIRST_HOUSE = "baradari"
"""Whose day sheet is full first: it is the one people are shown."""
ANALYZE = (
    "analyze venues.resource, venues.listing, identity.account, people.profile, booking.booking, booking.transition,"
    " booking.occupancy, booking.due, payments.payment, payments.charge, payments.transfer, payments.entry, payments.lot,"
    " payments.wallet"
)


class HouseInUse(EngineError):
    """Somebody lives in the house already; accounts with a public password have no place beside theirs."""

    def __init__(self) -> None:
        super().__init__(
            "There are organisations or accounts here that are not the demo's, so nothing was filled in.",
            "Use a data directory of its own: `forecourt up --data somewhere-new`.",
        )


class OtherSize(EngineError):
    def __init__(self) -> None:
        super().__init__(
            "There is a benchmark world of another size here already.",
            "Give the same --scale to go on with it, or use another data directory.",
        )


class MayNotFill(EngineError):
    """The login is bound by row security, which COPY does not go through."""

    def __init__(self) -> None:
        super().__init__(
            "This database login may not write past row security, so it cannot fill in the demo world.",
            "Give a login that may (superuser or BYPASSRLS) in DATABASE_ADMIN_URL.",
        )


@dataclass(frozen=True)
class Made:
    """What there is of the demo world."""

    organisations: int
    venues: int
    resources: int
    people: int
    bookings: int

    def summary(self) -> str:
        return (
            f"{self.organisations:,} organisations, {self.venues:,} venues with {self.resources:,} places to book,"
            f" {self.people:,} people, {self.bookings:,} bookings"
        )


COUNT = (
    "select (select count(*) from venues.organisation), (select count(*) from venues.venue),"
    " (select count(*) from venues.resource), (select count(*) from identity.account), (select count(*) from booking.booking)"
)
MAY_LOOK = (
    "select has_schema_privilege('venues', 'usage') and has_schema_privilege('identity', 'usage')"
    " and has_schema_privilege('kernel', 'usage')"
)
LIVED_IN = "select exists (select from venues.organisation) or exists (select from identity.account)"
DONE = "select i.event_id, i.at from kernel.inbox i where i.subscriber = $1"
INTERRUPTED = (
    "select exists (select from kernel.inbox b where b.subscriber like $1 || '%' and b.event_id = $2 and not exists"
    " (select from kernel.inbox f where f.subscriber = b.subscriber and f.event_id = $3))"
)
KNOWN = "select exists (select from venues.organisation o where o.id = $1)"
REMEMBER = "insert into kernel.inbox (subscriber, event_id, at) values ($1, $2, $3)"


class Progress:
    """Which parts of a world are written. They are remembered in the transaction that writes them.

    The kernel forgets such notes after three months; a world without notes is taken as finished.
    """

    def __init__(self, connection: Connection, seed: int, done: dict[UUID, datetime]) -> None:
        self._connection = connection
        self._subscriber = SUBSCRIBER + str(seed)
        self._done = done
        self.begun_at = done.get(_part("begun"))
        """The moment of the world that was begun."""

    @classmethod
    async def read(cls, connection: Connection, seed: int) -> Progress:
        done: dict[UUID, datetime] = {r["event_id"]: r["at"] for r in await connection.fetch(DONE, SUBSCRIBER + str(seed))}
        return cls(connection, seed, done)

    def at(self, part: str) -> datetime | None:
        """What was remembered with a part that is written."""
        return self._done.get(_part(part))

    def has(self, part: str) -> bool:
        return _part(part) in self._done

    async def remember(self, part: str, at: datetime) -> None:
        await self._connection.execute(REMEMBER, self._subscriber, _part(part), at)
        self._done[_part(part)] = at


def _part(name: str) -> UUID:
    return Fate(0).id("part", name)


async def begun(admin_url: str) -> bool:
    """True when there is nothing to fill: a world is there or being made, or somebody lives here.

    False for an empty house, and for a demo world that was interrupted: `fill` goes on with it. A login that may not look
    may not fill either.
    """
    connection = await asyncpg.connect(admin_url)
    try:
        if not await connection.fetchval(MAY_LOOK):
            return True
        if not await connection.fetchval(LIVED_IN):
            return False
        if not await connection.fetchval(INTERRUPTED, SUBSCRIBER, _part("begun"), _part("finished")):
            return True
        free = await connection.fetchval("select pg_try_advisory_lock($1)", LOCK)  # the session's end gives it back
        return not free
    finally:
        await connection.close()


async def fill(
    admin_url: str,
    *,
    seed: int,
    scale: int,
    report: Report,
    now: datetime | None = None,
    past_days: int = PAST_DAYS,
    media: Media | None = None,
) -> Made:
    """Makes the world of this seed as of `now`, goes on with one that was interrupted, or leaves a finished one alone.

    With a `scale`: about so many bookings for benchmarks instead. `past_days`: how far back the ordinary world goes.
    `media`: who keeps pictures of its places; without it they have none.
    Raises HouseInUse, MayNotFill, OtherSize.
    """
    connection = await asyncpg.connect(admin_url, server_settings={"application_name": "forecourt demo"})
    try:
        await connection.execute("select pg_advisory_lock($1)", LOCK)
        await connection.execute("set synchronous_commit = off; set statement_timeout = 0; set transaction_timeout = 0")
        if not await connection.fetchval("select rolsuper or rolbypassrls from pg_roles where rolname = current_user"):
            raise MayNotFill
        if scale:
            await _benchmark(connection, seed, scale, report, now or datetime.now(UTC))
        else:
            await _ordinary(connection, seed, report, now or datetime.now(UTC), past_days, media)
        return Made(*(await connection.fetchrow(COUNT) or ()))
    finally:
        await connection.close()


async def _benchmark(connection: Connection, seed: int, scale: int, report: Report, now: datetime) -> None:
    """Beside an ordinary demo world, or alone; never beside strangers."""
    progress = await Progress.read(connection, seed)
    ours = [Fate(seed).id("organisation", HOUSES[0].slug), Fate(seed).id("load", "organisation", 0)]
    known = [id for id in ours if await connection.fetchval(KNOWN, id)]
    if not known and await connection.fetchval(LIVED_IN):
        raise HouseInUse
    # The same moment when it goes on with what was interrupted, so that the same bookings come out.
    part = f"benchmark {scale}"
    begun_at = progress.at(part)
    if begun_at is None:
        if await connection.fetchval(KNOWN, ours[1]):
            raise OtherSize
        await progress.remember(part, now)
    await fill_bookings(connection, seed, scale, report, begun_at or now)


async def _ordinary(
    connection: Connection, seed: int, report: Report, now: datetime, past_days: int, media: Media | None
) -> None:
    progress = await Progress.read(connection, seed)
    if progress.begun_at is None:
        if await connection.fetchval(KNOWN, Fate(seed).id("organisation", HOUSES[0].slug)):
            return
        if await connection.fetchval(LIVED_IN):
            raise HouseInUse
    world = build(seed, progress.begun_at or now, past_days)
    if progress.begun_at is None:
        report(PLACES, 0, 1)
        books = write.site_books(world.sites)
        if media is not None:
            books = [await pictures.hang(media, world.fate, book) for book in books]
        await _places_and_people(connection, world, books, progress)
    report(PLACES, 1, 1)
    if not progress.has("finished"):
        await _history(connection, world, progress, report)


async def _places_and_people(connection: Connection, world: World, books: Sequence[VenueBook], progress: Progress) -> None:
    async with connection.transaction():
        founders = write.founders(world)
        await write.people(connection, world, password_hash(world.fate))
        await write.places(connection, books, founders)
        await write.promo_codes(connection, world)
        await write.calendars(connection, world, founders)
        await talk.talk(connection, world)
        for site in world.sites:
            await record.blocks(connection, site, blocks(world, site), founders[site.organisation_id], world.now)
        await progress.remember("begun", world.now)


async def _history(connection: Connection, world: World, progress: Progress, report: Report) -> None:
    """Organisation by organisation, month by month: every transaction is whole, and over within a second or two."""
    weather, busy_people = Weather(world.fate), set[tuple[UUID, date]]()
    houses = sorted(world.organisations, key=lambda b: b.organisation.slug != FIRST_HOUSE)
    for n, book in enumerate(houses):
        report(HISTORY, n, len(houses))
        o = book.organisation
        sites = [s for s in world.sites if s.organisation_id == o.id]
        bookings: list[Booked] = []
        for site in sites:
            bookings += await asyncio.to_thread(list, Chronicle(world, site, weather, busy_people).tell())
        if not progress.has(f"finished {o.slug}"):
            books = await asyncio.to_thread(Bookkeeper(world, o.id, o.currency).keep, bookings)
            await _months(connection, world, progress, o, bookings, books)
    report(HISTORY, len(houses), len(houses))
    await connection.execute(ANALYZE)
    await progress.remember("finished", datetime.now(UTC))


async def _months(
    connection: Connection, world: World, progress: Progress, o: Organisation, bookings: list[Booked], books: Books
) -> None:
    months: dict[int, tuple[list[Booked], list[Lot]]] = {}
    for b in bookings:
        months.setdefault(bucket(b.confirmed_at or b.created_at, world.opened_at), ([], []))[0].append(b)
    for lot in books.lots:
        months.setdefault(bucket(lot.at, world.opened_at), ([], []))[1].append(lot)
    people = {lot.account_id for lot in books.lots}
    for month in sorted(months):
        part = f"{o.slug} {month}"
        if progress.has(part):
            continue
        for last in (False, False, True):
            try:
                async with connection.transaction():
                    if month == min(months):
                        await record.wallets(connection, o.id, o.currency, people, world.opened_at)
                    await record.stretch(connection, *months[month], books)
                    await progress.remember(part, datetime.now(UTC))
                break
            except (asyncpg.ExclusionViolationError, asyncpg.DeadlockDetectedError):
                if last:  # somebody took a place at the same moment, three times over
                    raise
    async with connection.transaction():
        await news.tell(connection, bookings, world.fate.dice("news", o.slug))
        await told.tell_people(connection, world, bookings, world.fate.dice("told", o.slug))
        await talk.parties(connection, world, bookings)
        await progress.remember(f"finished {o.slug}", datetime.now(UTC))


def password_hash(fate: Fate) -> str:
    """One argon2id hash for everybody, with the library's parameters, which are identity's."""
    usual = argon2.PasswordHasher()
    salt = fate.secret("salt")[:16]
    hashed = hash_secret(PASSWORD.encode(), salt, usual.time_cost, usual.memory_cost, usual.parallelism, usual.hash_len, Type.ID)
    return hashed.decode()
