"""Rows for the tables, written with COPY. Row security does not bind the login that writes: it owns the schema."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING
from uuid import UUID

import asyncpg
import msgspec

from forecourt.demo.crowd import LANGUAGES, LOCALES, MONEY, OWN_ROLES, PLAYERS, TIMEZONES, Person
from forecourt.demo.ids import Fate
from forecourt.demo.world import Site, World, owner_email
from forecourt.modules.people.contract import Preferences
from forecourt.modules.venues.contract import VenueBook
from forecourt.modules.venues.contract.folding import fold, forms_of, sports_of, venue_words, words_of
from forecourt.modules.venues.contract.tariff import from_price

if TYPE_CHECKING:
    Connection = asyncpg.Connection[asyncpg.Record]
else:
    Connection = asyncpg.Connection

Row = tuple[object, ...]

_encode = msgspec.json.Encoder().encode


def to_json(value: object) -> str:
    return _encode(value).decode()


async def copy(connection: Connection, table: str, columns: str, rows: Iterable[Row]) -> None:
    """Appends `rows` to `schema.table`; `columns` are separated by spaces."""
    schema, name = table.split(".")
    await connection.copy_records_to_table(name, schema_name=schema, columns=columns.split(), records=rows)


# --- places


async def places(
    connection: Connection, books: Sequence[VenueBook], created_by: dict[UUID, UUID], known: Collection[UUID] = ()
) -> None:
    """Organisations, venues and everything in their books, and their place in the directory; `known` organisations are there."""
    houses = {b.organisation.id: b for b in books if b.organisation.id not in known}
    await copy(
        connection,
        "venues.organisation",
        "id name kind country currency timezone locale slug branding tax policies created_by created_at",
        [_organisation(b, created_by[id]) for id, b in houses.items()],
    )
    await copy(
        connection,
        "venues.organisation_card",
        "organisation_id slug name kind status country currency created_at",
        [
            (o.id, o.slug, o.name, o.kind.value, o.status.value, o.country, o.currency, o.created_at)
            for o in (b.organisation for b in houses.values())
        ],
    )
    await copy(
        connection,
        "venues.venue",
        "organisation_id id name slug address city region lat lon timezone opening_hours amenities description house_rules"
        " photo_ids photos",
        [_venue(b) for b in books],
    )
    await copy(
        connection,
        "venues.resource",
        "organisation_id venue_id id name kind sport surface indoor capacity people slot_min durations_min buffer_before_min"
        " buffer_after_min part_ids position photo_ids photos",
        [row for b in books for row in _resources(b)],
    )
    await copy(
        connection,
        "venues.price_list",
        "organisation_id venue_id rules",
        [(b.organisation.id, b.venue.id, to_json(b.rules)) for b in books],
    )
    await copy(
        connection,
        "venues.closure",
        "organisation_id venue_id id reason first_day last_day holiday",
        [row for b in books for row in _closures(b)],
    )
    await copy(
        connection,
        "venues.locator",
        "id organisation_id venue_id",
        [(id, b.organisation.id, b.venue.id) for b in books for id in (b.venue.id, *(r.id for r in b.resources))],
    )
    await _list(connection, books)


def _organisation(book: VenueBook, created_by: UUID) -> Row:
    o = book.organisation
    return (
        o.id,
        o.name,
        o.kind.value,
        o.country,
        o.currency,
        o.timezone,
        o.locale,
        o.slug,
        to_json(o.branding),
        to_json(o.tax),
        to_json(book.policies),
        created_by,
        o.created_at,
    )


def _venue(book: VenueBook) -> Row:
    v = book.venue
    return (
        v.organisation_id,
        v.id,
        v.name,
        v.slug,
        v.address,
        v.city,
        v.region,
        v.location.lat,
        v.location.lon,
        v.timezone,
        to_json(v.opening_hours),
        v.amenities,
        v.description,
        v.house_rules,
        v.photo_ids,
        to_json(v.photos),
    )


def _resources(book: VenueBook) -> Iterable[Row]:
    for r in book.resources:
        yield (
            book.organisation.id,
            r.venue_id,
            r.id,
            r.name,
            r.kind.value,
            r.sport,
            r.surface,
            r.indoor,
            r.capacity,
            to_json(r.people),
            r.slot_min,
            r.durations_min,
            r.buffer_before_min,
            r.buffer_after_min,
            r.part_ids,
            r.position,
            r.photo_ids,
            to_json(r.photos),
        )


def _closures(book: VenueBook) -> Iterable[Row]:
    for c in book.closures:
        first, last = (None, None) if c.dates is None else (c.dates.from_, c.dates.to)
        yield (book.organisation.id, c.venue_id, c.id, c.reason, first, last, c.holiday)


LIST = (
    "insert into venues.listing (organisation_id, venue_id, listed, name, slug, address, city, timezone, lat, lon, sports,"
    " amenities, indoor, outdoor, from_price_minor, currency, name_key, city_key, words, name_lexemes, lexemes, book_version,"
    " photo, cover) values ($1, $2, true, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18::text[],"
    " array_to_tsvector($19::text[]), array_to_tsvector($18::text[]), 1, $20, $21::jsonb)"
)
ADD_WORDS = (
    "insert into venues.search_word (form, word) select w.form, w.word from unnest($1::text[], $2::text[]) as w (form, word)"
    " order by w.form, w.word on conflict do nothing"
)


async def _list(connection: Connection, books: Sequence[VenueBook]) -> None:
    rows: list[Row] = []
    words: dict[str, None] = {}
    for book in books:
        v, name_words, all_words = book.venue, words_of(book.venue.name), venue_words(book)
        price = from_price(book)
        words |= dict.fromkeys(all_words)
        rows.append(
            (
                v.organisation_id,
                v.id,
                v.name,
                v.slug,
                v.address,
                v.city,
                v.timezone,
                v.location.lat,
                v.location.lon,
                sports_of(book),
                v.amenities,
                any(r.indoor is True for r in book.resources),
                any(r.indoor is False for r in book.resources),
                None if price is None else price.amount,
                book.organisation.currency,
                " ".join(name_words),
                fold(v.city or ""),
                all_words,
                name_words,
                v.photo_ids[0] if v.photo_ids else None,
                to_json(v.photos[0]) if v.photos else None,
            )
        )
    await connection.executemany(LIST, rows)
    forms = [(form, word) for word in words for form in forms_of(word)]
    await connection.execute(ADD_WORDS, [form for form, _ in forms], [word for _, word in forms])


# --- people


async def people(connection: Connection, world: World, password_hash: str) -> None:
    """Accounts, profiles, preferences, roles, staff and an invitation that is still open."""
    joined = {p.id: joined_at(world, p) for p in world.people}
    await copy(
        connection,
        "identity.account",
        "id email email_key name password_hash status platform_admin created_at",
        [_account(p, password_hash, joined[p.id]) for p in world.people],
    )
    await copy(
        connection,
        "people.profile",
        "account_id display_name handle handle_key bio city sports preferred_times languages updated_at",
        [
            (
                p.id,
                p.name,
                p.handle,
                p.handle.lower(),
                p.bio,
                p.city,
                to_json(p.sports),
                to_json(p.times),
                LANGUAGES[p.city],
                joined[p.id],
            )
            for p in world.people
        ],
    )
    await copy(
        connection,
        "people.preferences",
        "account_id chosen updated_at",
        [(p.id, to_json(_preferences(p)), joined[p.id]) for p in world.people],
    )
    await copy(connection, "identity.phone", "account_id number verified_at", _phones(world, joined))
    await _staff(connection, world)


REACHED_BY_PHONE = 5
"""One in so many; staff and those with a part all are. The numbers are of the thousand that belong to nobody but stories."""
MAX_PHONES = 1000


def _phones(world: World, joined: dict[UUID, datetime]) -> list[Row]:
    reached = [p for n, p in enumerate(world.people) if p.staff or p.email in SPEAKING or n % REACHED_BY_PHONE == 0]
    confirmed = [p for p in reached if not p.unconfirmed]
    return [
        (p.id, f"+447700900{number:03}", joined[p.id] + timedelta(minutes=3)) for number, p in enumerate(confirmed[:MAX_PHONES])
    ]


def joined_at(world: World, person: Person) -> datetime:
    """Staff were there when their organisation opened; players came over the months before and after."""
    dice = world.fate.dice("joined", person.email)
    if person.staff or person.admin:
        return world.founded_at - timedelta(days=1)
    return world.founded_at + timedelta(minutes=dice.randrange(1, 44 * 1440))


def _account(person: Person, password_hash: str, joined: datetime) -> Row:
    status = "unconfirmed" if person.unconfirmed else "active"
    email = person.email
    return (person.id, email, email.casefold(), person.name, password_hash, status, person.admin, joined)


SPEAKING = frozenset(email for _, email, _ in PLAYERS)
"""Those with a part read English: who is shown around as one of them may not read Urdu."""


def _preferences(person: Person) -> Preferences:
    locale = "en" if person.staff or person.admin or person.email in SPEAKING else LOCALES[person.city]
    return Preferences(locale=locale, timezone=TIMEZONES[person.city], currency=MONEY[person.city])


async def _staff(connection: Connection, world: World) -> None:
    houses = {b.organisation.slug: b.organisation for b in world.organisations}
    fate: Fate = world.fate
    roles = {
        (slug, name): (houses[slug].id, fate.id("role", slug, name), name, name.casefold(), list(permissions))
        for slug, own in OWN_ROLES.items()
        for name, permissions in own
    }
    await copy(
        connection,
        "identity.role",
        "organisation_id id name name_key permissions created_at",
        [(*role, world.founded_at) for role in roles.values()],
    )
    staff: list[Row] = []
    for person in world.people:
        for slug, role in person.staff.roles if person.staff else ():
            own = roles[slug, role.removeprefix("own:")][1] if role.startswith("own:") else None
            staff.append((houses[slug].id, person.id, None if own else role, own, world.founded_at))
    await copy(connection, "identity.staff", "organisation_id account_id role role_id joined_at", staff)
    sohail = world.person(owner_email(world, "baradari"))
    invited = world.now - timedelta(hours=20)
    await copy(
        connection,
        "identity.staff_invitation",
        "organisation_id id email email_key role token_hash invited_by created_at expires_at",
        [
            (
                houses["baradari"].id,
                fate.id("invitation", "baradari"),
                "usman.khokhar@example.org",
                "usman.khokhar@example.org",
                "coach",
                fate.secret("invitation"),
                sohail.id,
                invited,
                invited + timedelta(days=7),
            )
        ],
    )


# --- calendars for staff


async def calendars(connection: Connection, world: World, founders: dict[UUID, UUID]) -> None:
    """Each venue's first place has a calendar address that somebody follows; its secret is nobody's."""
    first = [(site, site.book.resources[0]) for site in world.sites]
    await copy(
        connection,
        "booking.resource_feed",
        "organisation_id resource_id venue_id token_hash made_by created_at",
        [
            (
                site.organisation_id,
                resource.id,
                site.book.venue.id,
                world.fate.secret("calendar", site.place.slug),
                founders[site.organisation_id],
                world.founded_at + timedelta(days=2),
            )
            for site, resource in first
        ],
    )


# --- promo codes

PROMO_CODES = (
    # organisation, code, kind, value, label, how often in all, how often by one person, for a first booking only
    ("baradari", "SEHRI20", "percent", 20, "Early birds, 20 %", None, 5, False),
    ("gulberg-grass", "LASSI", "fixed", 50_000, "A glass of lassi off", 200, 2, False),
    ("counterweight", "FIRSTHOUR", "free_minutes", 30, "Half an hour to try it", None, None, True),
    ("casa-lioz", "TERRACE10", "percent", 10, "Guests of the house", None, None, False),
)


async def promo_codes(connection: Connection, world: World) -> None:
    houses = {b.organisation.slug: b.organisation for b in world.organisations}
    await copy(
        connection,
        "payments.promo_code",
        "organisation_id id code kind value label total_limit person_limit first_time_only currency starts_at ends_at created_at",
        [
            (
                houses[slug].id,
                world.fate.id("promo", code),
                code,
                *rest,
                houses[slug].currency,
                world.opened_at,
                world.now + timedelta(days=90),
                world.opened_at,
            )
            for slug, code, *rest in PROMO_CODES
        ],
    )


def founders(world: World) -> dict[UUID, UUID]:
    """Who founded which organisation."""
    return {b.organisation.id: world.person(owner_email(world, b.organisation.slug)).id for b in world.organisations}


def site_books(sites: Iterable[Site]) -> list[VenueBook]:
    return [s.book for s in sites]
