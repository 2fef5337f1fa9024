"""All SQL of the module. A row of a tenant's table is read under its organisation; the directory tables are public."""

from __future__ import annotations

from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.kernel.money import Money
from forecourt.modules.venues.contract import (
    Closure,
    Location,
    NewOrganisation,
    OpeningHours,
    Organisation,
    OrganisationCard,
    OrganisationStatus,
    Photo,
    Policies,
    PriceRule,
    Resource,
    Venue,
    VenueBook,
    VenueCard,
    parts_of,
)
from forecourt.modules.venues.contract.terms import PlaceTerms, ShutOn, VenueTerms

# -------------------------------------------------------------------------------------------------------- organisations

_ORGANISATION: LiteralString = "to_jsonb(o) - 'policies' - 'policies_set' - 'created_by'"


class OrganisationRow(msgspec.Struct, frozen=True):
    organisation: Organisation
    policies: Policies


ORGANISATION = Query(
    OrganisationRow,
    f"select {_ORGANISATION}, o.policies from venues.organisation o where o.id = $1",  # noqa: S608 - constants of this file
)
LOCK_ORGANISATION = Query(
    OrganisationRow,
    f"select {_ORGANISATION}, o.policies from venues.organisation o where o.id = $1 for no key update",  # noqa: S608
)
INSERT_ORGANISATION = Statement(
    "insert into venues.organisation"
    " (id, name, kind, country, currency, timezone, locale, slug, policies, created_by, created_at)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9::jsonb, $10, $11)"
)
INSERT_ORGANISATION_CARD = Statement(
    "insert into venues.organisation_card (organisation_id, slug, name, kind, status, country, currency, created_at)"
    " values ($1, $2, $3, $4, 'active', $5, $6, $7)"
)
UPDATE_ORGANISATION = Statement(
    "update venues.organisation set name = $2, kind = $3, timezone = $4, locale = $5, slug = $6, status = $7,"
    " branding = $8::jsonb, tax = $9::jsonb, policies = $10::jsonb,"
    " policies_set = policies_set or policies <> $10::jsonb, parent_id = $11, version = $12 where id = $1"
)
UPDATE_ORGANISATION_CARD = Statement(
    "update venues.organisation_card set slug = $2, name = $3, kind = $4, status = $5 where organisation_id = $1"
)
TAKEN_SLUGS = Query(
    str,
    "select c.slug from venues.organisation_card c where c.slug = any($1::text[])",
)
ORGANISATION_CARDS = Query(
    OrganisationCard,
    "select c.organisation_id, c.name, c.slug, c.kind, c.status, c.country, c.currency"
    " from venues.organisation_card c where c.organisation_id = any($1::uuid[])",
)
CHILDREN = Query(
    OrganisationCard,
    "select c.organisation_id, c.name, c.slug, c.kind, c.status, c.country, c.currency"
    " from venues.organisation o join venues.organisation_card c on c.organisation_id = o.id"
    " where o.parent_id = $1 order by c.name, c.organisation_id limit $2",
)
ORGANISATION_IDS = Query(
    UUID,
    "select c.organisation_id from venues.organisation_card c where $1::uuid is null or c.organisation_id > $1"
    " order by c.organisation_id limit $2",
)
ORGANISATION_BY_SLUG = Query(UUID, "select c.organisation_id from venues.organisation_card c where c.slug = $1")


async def organisation(tx: Tx, id: UUID) -> OrganisationRow:
    """Raises NotFound."""
    return await tx.one(ORGANISATION, id)


async def lock_organisation(tx: Tx, id: UUID) -> OrganisationRow:
    """The organisation, until the transaction ends held against other edits of it. Raises NotFound."""
    return await tx.one(LOCK_ORGANISATION, id)


async def insert_organisation(
    tx: Tx, id: UUID, new: NewOrganisation, slug: str, policies: Policies, owner_id: UUID, at: datetime
) -> None:
    await tx.run(
        INSERT_ORGANISATION,
        id,
        new.name,
        new.kind.value,
        new.country,
        new.currency,
        new.timezone,
        new.locale,
        slug,
        to_json(policies),
        owner_id,
        at,
    )
    await tx.run(INSERT_ORGANISATION_CARD, id, slug, new.name, new.kind.value, new.country, new.currency, at)


async def update_organisation(tx: Tx, o: Organisation, policies: Policies) -> None:
    await tx.run(
        UPDATE_ORGANISATION,
        o.id,
        o.name,
        o.kind.value,
        o.timezone,
        o.locale,
        o.slug,
        o.status.value,
        to_json(o.branding),
        to_json(o.tax),
        to_json(policies),
        o.parent_id,
        o.version,
    )
    await tx.run(UPDATE_ORGANISATION_CARD, o.id, o.slug, o.name, o.kind.value, o.status.value)


async def taken_slugs(tx: Tx, slugs: list[str]) -> set[str]:
    return set(await tx.all(TAKEN_SLUGS, slugs))


async def organisation_cards(tx: Tx, ids: list[UUID]) -> list[OrganisationCard]:
    return await tx.all(ORGANISATION_CARDS, ids)


async def organisation_ids(tx: Tx, after: UUID | None, limit: int) -> list[UUID]:
    return await tx.all(ORGANISATION_IDS, after, limit)


async def children(tx: Tx, parent_id: UUID, limit: int) -> list[OrganisationCard]:
    """The organisations that name this one as their parent, by name. Row security shows them to nobody else."""
    return await tx.all(CHILDREN, parent_id, limit)


async def organisation_by_slug(tx: Tx, slug: str) -> UUID:
    """Raises NotFound."""
    return await tx.one(ORGANISATION_BY_SLUG, slug)


class OrganisationsAfter(msgspec.Struct, frozen=True):
    """A row of the platform's list: the card, and what the organisation still lacks."""

    card_id: UUID
    name: str
    slug: str
    kind: str
    status: OrganisationStatus
    country: str
    currency: str
    created_at: datetime
    listed_venues: int
    priced_venues: int


NEEDING_ATTENTION = Query(
    OrganisationsAfter,
    "select c.organisation_id, c.name, c.slug, c.kind, c.status, c.country, c.currency, c.created_at, v.listed, v.priced"
    " from venues.organisation_card c cross join lateral ("
    " select count(*)::int as listed, count(l.from_price_minor)::int as priced from venues.listing l"
    " where l.organisation_id = c.organisation_id and l.listed) v"
    " where (c.status <> 'active' or v.priced = 0) and ($1::text is null or c.status = $1)"
    " and ($2::timestamptz is null or (c.created_at, c.organisation_id) > ($2, $3::uuid))"
    " order by c.created_at, c.organisation_id limit $4",
)


async def needing_attention(
    tx: Tx, status: OrganisationStatus | None, after: tuple[datetime, UUID] | None, limit: int
) -> list[OrganisationsAfter]:
    at, id = after or (None, None)
    return await tx.all(NEEDING_ATTENTION, status, at, id, limit)


class Progress(msgspec.Struct, frozen=True):
    """How far an organisation is on its way to the first booking."""

    venues: int
    resources: int
    priced: int
    photographed: int
    listed: int
    policies_set: bool


PROGRESS = Query(
    Progress,
    "select count(*)::int,"
    " (select count(*)::int from venues.resource r where r.organisation_id = $1 and r.active),"
    " (select count(*)::int from venues.price_list p where p.organisation_id = $1 and p.rules <> '[]'),"
    " (count(*) filter (where v.photo_ids <> '{}'))::int, (count(*) filter (where v.listed))::int,"
    " (select o.policies_set from venues.organisation o where o.id = $1)"
    " from venues.venue v where v.organisation_id = $1",
)


async def progress(tx: Tx, organisation_id: UUID) -> Progress:
    return await tx.one(PROGRESS, organisation_id)


# --------------------------------------------------------------------------------------------------------- where it is


class Place(msgspec.Struct, frozen=True):
    organisation_id: UUID
    venue_id: UUID


LOCATE = Query(Place, "select l.organisation_id, l.venue_id from venues.locator l where l.id = $1")
LOCATE_ALL = Query(Place, "select l.organisation_id, l.venue_id from venues.locator l where l.id = any($1::uuid[])")
INSERT_PLACE = Statement("insert into venues.locator (id, organisation_id, venue_id) values ($1, $2, $3)")


async def locate(tx: Tx, id: UUID) -> Place:
    """Where a venue or resource belongs. Raises NotFound."""
    return await tx.one(LOCATE, id)


async def locate_all(tx: Tx, ids: list[UUID]) -> list[Place]:
    return await tx.all(LOCATE_ALL, ids)


async def insert_place(tx: Tx, id: UUID, organisation_id: UUID, venue_id: UUID) -> None:
    await tx.run(INSERT_PLACE, id, organisation_id, venue_id)


# ------------------------------------------------------------------------------------------------------------- the book

_VENUE: LiteralString = "to_jsonb(v) || jsonb_build_object('location', jsonb_build_object('lat', v.lat, 'lon', v.lon))"


class BookRow(msgspec.Struct, frozen=True):
    book: VenueBook
    prices_version: int


BOOK = Query(BookRow, "select b.book, b.prices_version from venues.books_within($1, array[$2::uuid]) b")
BOOKS = Query(BookRow, "select b.book, b.prices_version from venues.books_of($1) b")
TOUCH = Query(
    int,
    "update venues.venue as v set book_version = v.book_version + 1 where v.organisation_id = $1 and v.id = $2"
    " returning v.book_version",
)


class Touched(msgspec.Struct, frozen=True):
    venue_id: UUID
    book_version: int


TOUCH_ALL = Query(
    Touched,
    "with touched as (update venues.venue as v set book_version = v.book_version + 1 where v.organisation_id = $1"
    " returning v.id, v.book_version, v.listed),"
    " shown as (update venues.listing as l set listed = t.listed and $2, book_version = t.book_version"
    " from touched t where l.organisation_id = $1 and l.venue_id = t.id)"
    " select t.id, t.book_version from touched t",
)


async def book(tx: Tx, organisation_id: UUID, venue_id: UUID) -> BookRow:
    """Raises NotFound."""
    return await tx.one(BOOK, organisation_id, venue_id)


async def books(tx: Tx, venue_ids: list[UUID]) -> list[VenueBook]:
    """Books of venues of any organisations, in no order; unknown ids are left out."""
    return [row.book for row in await tx.all(BOOKS, venue_ids)]


class PlaceRow(msgspec.Struct, frozen=True, array_like=True):
    id: UUID
    active: bool
    sport: str | None
    slot_min: int
    durations_min: list[int]
    buffer_before_min: int
    buffer_after_min: int
    lead_min: int
    horizon_days: int
    part_ids: list[UUID]


class TermsRow(msgspec.Struct, frozen=True):
    organisation_id: UUID
    venue_id: UUID
    version: int
    bookable: bool
    timezone: str
    country: str
    region: str | None
    opening_hours: OpeningHours
    closures: list[ShutOn]
    places: list[PlaceRow]


TERMS = Query(
    TermsRow,
    "select t.organisation_id, t.venue_id, t.version, t.bookable, t.timezone, t.country, t.region, t.opening_hours, t.closures,"
    " t.places from venues.terms_of($1) t",
)


async def terms(tx: Tx, venue_ids: list[UUID]) -> list[VenueTerms]:
    """What decides free time at venues of any organisations, in no order; unknown ids are left out."""
    return [_terms(row) for row in await tx.all(TERMS, venue_ids)]


def _terms(row: TermsRow) -> VenueTerms:
    by_id = {p.id: p for p in row.places}
    return VenueTerms(
        organisation_id=row.organisation_id,
        venue_id=row.venue_id,
        version=row.version,
        timezone=row.timezone,
        country=row.country,
        region=row.region,
        opening_hours=row.opening_hours,
        closures=row.closures,
        places=[
            PlaceTerms(
                p.id,
                p.sport,
                p.slot_min,
                p.durations_min,
                p.buffer_before_min,
                p.buffer_after_min,
                p.lead_min,
                p.horizon_days,
                sorted({p.id} | parts_of(p, by_id.get)),
            )
            for p in row.places
            if p.active and row.bookable
        ],
    )


async def touch(tx: Tx, organisation_id: UUID, venue_id: UUID) -> int:
    """Gives the book a new version and holds it against other edits until the transaction ends. Raises NotFound."""
    return await tx.one(TOUCH, organisation_id, venue_id)


async def touch_all(tx: Tx, organisation_id: UUID, active: bool) -> list[Touched]:
    """New versions for all books of the organisation; its venues are found by searches only while it is active."""
    return await tx.all(TOUCH_ALL, organisation_id, active)


# --------------------------------------------------------------------------------------------------------------- venues


class VenueRow(msgspec.Struct, frozen=True):
    venue: Venue


INSERT_VENUE = Statement(
    "insert into venues.venue (organisation_id, id, name, slug, address, city, region, lat, lon, timezone, opening_hours,"
    " amenities, description, house_rules, photo_ids, listed, photos)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::jsonb, $12, $13, $14, $15, $16, $17::jsonb)"
)
INSERT_PRICE_LIST = Statement("insert into venues.price_list (organisation_id, venue_id) values ($1, $2)")
UPDATE_VENUE = Statement(
    "update venues.venue set name = $3, slug = $4, address = $5, city = $6, region = $7, lat = $8, lon = $9, timezone = $10,"
    " opening_hours = $11::jsonb, amenities = $12, description = $13, house_rules = $14, photo_ids = $15, listed = $16,"
    " photos = $17::jsonb, version = $18 where organisation_id = $1 and id = $2"
)
VENUES = Query(
    VenueRow,
    f"select {_VENUE} from venues.venue v where v.organisation_id = $1"  # noqa: S608
    " and ($2::text is null or (v.name, v.id) > ($2, $3::uuid)) order by v.name, v.id limit $4",
)
VENUE_BY_SLUG = Query(UUID, "select v.id from venues.venue v where v.organisation_id = $1 and v.slug = $2")
VENUE_SLUGS = Query(str, "select v.slug from venues.venue v where v.organisation_id = $1 limit $2")
VENUE_IDS = Query(UUID, "select v.id from venues.venue v where v.organisation_id = $1 and v.id = any($2::uuid[])")


def _venue_columns(v: Venue) -> tuple[object, ...]:
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
        v.listed,
        to_json(v.photos),
    )


async def insert_venue(tx: Tx, venue: Venue) -> None:
    await tx.run(INSERT_VENUE, *_venue_columns(venue))
    await tx.run(INSERT_PRICE_LIST, venue.organisation_id, venue.id)
    await insert_place(tx, venue.id, venue.organisation_id, venue.id)


async def update_venue(tx: Tx, venue: Venue) -> None:
    await tx.run(UPDATE_VENUE, *_venue_columns(venue), venue.version)


async def venues(tx: Tx, organisation_id: UUID, after: tuple[str, UUID] | None, limit: int) -> list[Venue]:
    name, id = after or (None, None)
    return [row.venue for row in await tx.all(VENUES, organisation_id, name, id, limit)]


async def venue_by_slug(tx: Tx, organisation_id: UUID, slug: str) -> UUID:
    """Raises NotFound."""
    return await tx.one(VENUE_BY_SLUG, organisation_id, slug)


async def venue_slugs(tx: Tx, organisation_id: UUID, limit: int) -> list[str]:
    return await tx.all(VENUE_SLUGS, organisation_id, limit)


async def venue_ids(tx: Tx, organisation_id: UUID, ids: list[UUID]) -> set[UUID]:
    """Those of `ids` that are venues of the organisation."""
    return set(await tx.all(VENUE_IDS, organisation_id, ids))


# --------------------------------------------------------------------------------------- resources, prices and closures

INSERT_RESOURCE = Statement(
    "insert into venues.resource (organisation_id, venue_id, id, name, kind, sport, surface, indoor, capacity, people, slot_min,"
    " durations_min, buffer_before_min, buffer_after_min, lead_min, horizon_days, part_ids, position, active, photo_ids, photos)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::jsonb, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21::jsonb)"
)
UPDATE_RESOURCE = Statement(
    "update venues.resource set name = $4, kind = $5, sport = $6, surface = $7, indoor = $8, capacity = $9, people = $10::jsonb,"
    " slot_min = $11, durations_min = $12, buffer_before_min = $13, buffer_after_min = $14, lead_min = $15, horizon_days = $16,"
    " part_ids = $17, position = $18, active = $19, photo_ids = $20, photos = $21::jsonb, removed = $22, version = $23"
    " where organisation_id = $1 and venue_id = $2 and id = $3"
)
UPDATE_PRICES = Statement(
    "update venues.price_list set rules = $3::jsonb, version = $4 where organisation_id = $1 and venue_id = $2"
)
INSERT_CLOSURE = Statement(
    "insert into venues.closure (organisation_id, venue_id, id, reason, first_day, last_day, holiday)"
    " values ($1, $2, $3, $4, $5, $6, $7)"
)
DELETE_CLOSURE = Statement("delete from venues.closure where organisation_id = $1 and venue_id = $2 and id = $3")


def _resource_columns(organisation_id: UUID, r: Resource) -> tuple[object, ...]:
    return (
        organisation_id,
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
        r.lead_min,
        r.horizon_days,
        r.part_ids,
        r.position,
        r.active,
        r.photo_ids,
        to_json(r.photos),
    )


async def insert_resource(tx: Tx, organisation_id: UUID, resource: Resource) -> None:
    await tx.run(INSERT_RESOURCE, *_resource_columns(organisation_id, resource))
    await insert_place(tx, resource.id, organisation_id, resource.venue_id)


async def update_resource(tx: Tx, organisation_id: UUID, resource: Resource) -> None:
    await tx.run(UPDATE_RESOURCE, *_resource_columns(organisation_id, resource), resource.removed, resource.version)


async def update_prices(tx: Tx, organisation_id: UUID, venue_id: UUID, rules: list[PriceRule], version: int) -> None:
    await tx.run(UPDATE_PRICES, organisation_id, venue_id, to_json(rules), version)


async def insert_closure(tx: Tx, organisation_id: UUID, closure: Closure) -> None:
    first, last = (None, None) if closure.dates is None else (closure.dates.from_, closure.dates.to)
    await tx.run(INSERT_CLOSURE, organisation_id, closure.venue_id, closure.id, closure.reason, first, last, closure.holiday)


async def delete_closure(tx: Tx, organisation_id: UUID, closure: Closure) -> None:
    await tx.run(DELETE_CLOSURE, organisation_id, closure.venue_id, closure.id)


# -------------------------------------------------------------------------------------------------------- the directory


class Listing(msgspec.Struct, frozen=True):
    """What the directory keeps of a venue."""

    card: VenueCard
    indoor: bool
    outdoor: bool
    currency: str
    name_key: str
    city_key: str
    name_words: list[str]
    words: list[str]
    book_version: int


UPSERT_LISTING = Statement(
    "insert into venues.listing (organisation_id, venue_id, listed, name, slug, address, city, timezone, lat, lon, sports,"
    " amenities, indoor, outdoor, from_price_minor, currency, photo, name_key, city_key, words, name_lexemes, lexemes,"
    " book_version, cover) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,"
    " $20::text[], array_to_tsvector($21::text[]), array_to_tsvector($20::text[]), $22, $23::jsonb)"
    " on conflict (venue_id) do update set listed = excluded.listed, name = excluded.name, slug = excluded.slug,"
    " address = excluded.address, city = excluded.city, timezone = excluded.timezone, lat = excluded.lat, lon = excluded.lon,"
    " sports = excluded.sports, amenities = excluded.amenities, indoor = excluded.indoor, outdoor = excluded.outdoor,"
    " from_price_minor = excluded.from_price_minor, currency = excluded.currency, photo = excluded.photo,"
    " name_key = excluded.name_key, city_key = excluded.city_key, words = excluded.words,"
    " name_lexemes = excluded.name_lexemes, lexemes = excluded.lexemes, book_version = excluded.book_version,"
    " cover = excluded.cover"
)
INSERT_WORDS = Statement(
    "insert into venues.search_word (form, word) select w.form, w.word from unnest($1::text[], $2::text[]) as w (form, word)"
    " order by w.form, w.word on conflict do nothing"
)
BOOK_VERSIONS = Query(Touched, "select l.venue_id, l.book_version from venues.listing l where l.venue_id = any($1::uuid[])")


async def upsert_listing(tx: Tx, listing: Listing) -> None:
    card = listing.card
    await tx.run(
        UPSERT_LISTING,
        card.organisation_id,
        card.id,
        card.listed,
        card.name,
        card.slug,
        card.address,
        card.city,
        card.timezone,
        card.location.lat,
        card.location.lon,
        card.sports,
        card.amenities,
        listing.indoor,
        listing.outdoor,
        None if card.from_price is None else card.from_price.amount,
        listing.currency,
        card.photo,
        listing.name_key,
        listing.city_key,
        listing.words,
        listing.name_words,
        listing.book_version,
        None if card.cover is None else to_json(card.cover),
    )


async def insert_words(tx: Tx, forms: list[tuple[str, str]]) -> None:
    """`forms`: a form and the word it may be meant for."""
    if forms:
        await tx.run(INSERT_WORDS, [form for form, _ in forms], [word for _, word in forms])


async def book_versions(tx: Tx, venue_ids: list[UUID]) -> dict[UUID, int]:
    return {row.venue_id: row.book_version for row in await tx.all(BOOK_VERSIONS, venue_ids)}


# ------------------------------------------------------------------------------------------------------------ searching


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What a search asks for. Absent conditions are None."""

    near: Location | None = None
    radius_km: float | None = None
    sport: str | None = None
    amenities: list[str] | None = None
    indoor: bool | None = None
    outdoor: bool | None = None
    min_minor: int | None = None
    max_minor: int | None = None
    currency: str | None = None
    organisation_id: UUID | None = None
    exact: str | None = None
    """Text of a tsquery with the words as they were typed; with `lexemes` and for the order by relevance only."""
    lexemes: str | None = None
    """Text of a tsquery that decides: beginnings of words, typos repaired."""

    def parameters(self) -> tuple[object, ...]:
        return (
            None if self.near is None else self.near.lat,
            None if self.near is None else self.near.lon,
            self.radius_km,
            self.sport,
            self.amenities,
            self.indoor,
            self.outdoor,
            self.min_minor,
            self.max_minor,
            self.currency,
            self.organisation_id,
            self.lexemes,
            self.exact,
        )


class Found(msgspec.Struct, frozen=True):
    """A row of the directory, with what its place in each order depends on."""

    venue_id: UUID
    organisation_id: UUID
    name: str
    slug: str
    address: str
    city: str | None
    lat: float
    lon: float
    timezone: str
    sports: list[str]
    amenities: list[str]
    listed: bool
    from_price_minor: int | None
    currency: str
    photo: UUID | None
    cover: Photo | None
    name_key: str
    distance_m: float | None
    chord_m: float | None
    price_key: int
    miss: int
    """0 when every word is in the name as typed, then 1, 2, 3 as words only begin so, are elsewhere, or had a typo."""

    @property
    def card(self) -> VenueCard:
        return VenueCard(
            id=self.venue_id,
            organisation_id=self.organisation_id,
            name=self.name,
            slug=self.slug,
            address=self.address,
            city=self.city,
            location=Location(self.lat, self.lon),
            timezone=self.timezone,
            sports=self.sports,
            amenities=self.amenities,
            listed=self.listed,
            from_price=None if self.from_price_minor is None else Money(self.from_price_minor, self.currency),
            distance_km=None if self.distance_m is None else round(self.distance_m / 1000, 3),
            photo=self.photo,
            cover=self.cover,
        )


UNPRICED = 2**62
"""Where venues without a price come in the order by price: last."""

_CARD: LiteralString = (
    "select l.venue_id, l.organisation_id, l.name, l.slug, l.address, l.city, l.lat, l.lon, l.timezone, l.sports, l.amenities,"
    " l.listed, l.from_price_minor, l.currency, l.photo, l.cover, l.name_key"
)
# Chords of the sphere are in the order of the ways along it, and the index knows them.
_CHORD: LiteralString = "(l.point operator(public.<->) public.ll_to_earth($1::float8, $2::float8))"
_PRICE_KEY: LiteralString = "coalesce(l.from_price_minor, 4611686018427387904)"
_MISS: LiteralString = (
    "(case when $13::tsquery is null then 0 when l.name_lexemes @@ $13::tsquery then 0"
    " when l.name_lexemes @@ $12::tsquery then 1 when l.lexemes @@ $13::tsquery then 2 else 3 end)"
)
_MATCHING: LiteralString = (
    f", public.sec_to_gc{_CHORD}, {_CHORD}, {_PRICE_KEY}, {_MISS}"
    " from venues.listing l where l.listed"
    " and ($3::float8 is null or (public.earth_box(public.ll_to_earth($1::float8, $2::float8), $3 * 1000)"
    f" operator(public.@>) l.point and public.sec_to_gc{_CHORD} <= $3 * 1000))"
    " and ($4::text is null or $4 = any(l.sports))"
    " and ($5::text[] is null or l.amenities @> $5)"
    " and ($6::bool is null or l.indoor = $6) and ($7::bool is null or l.outdoor = $7)"
    " and ($8::bigint is null or l.from_price_minor >= $8) and ($9::bigint is null or l.from_price_minor <= $9)"
    " and ($10::text is null or l.currency = $10)"
    " and ($11::uuid is null or l.organisation_id = $11)"
    " and ($12::tsquery is null or l.lexemes @@ $12::tsquery)"
)

BY_DISTANCE = Query(
    Found,
    f"{_CARD} {_MATCHING} and ($14::float8 is null or ({_CHORD}, l.venue_id) > ($14, $15::uuid))"
    f" order by {_CHORD}, l.venue_id limit $16",
)
BY_PRICE = Query(
    Found,
    f"{_CARD} {_MATCHING} and ($14::bigint is null or ({_PRICE_KEY}, l.venue_id) > ($14, $15::uuid))"
    f" order by {_PRICE_KEY}, l.venue_id limit $16",
)
BY_NAME = Query(
    Found,
    f"{_CARD} {_MATCHING} and ($14::text is null or (l.name_key, l.venue_id) > ($14, $15::uuid))"
    " order by l.name_key, l.venue_id limit $16",
)
BY_RELEVANCE = Query(
    Found,
    f"{_CARD} {_MATCHING} and ($14::int is null or ({_MISS}, l.name_key, l.venue_id) > ($14, $15::text, $16::uuid))"
    f" order by {_MISS}, l.name_key, l.venue_id limit $17",
)
CARDS = Query(
    Found,
    f"{_CARD}, null::float8, null::float8, {_PRICE_KEY}, 0 from venues.listing l where l.venue_id = any($1::uuid[])",
)
UNKNOWN_WORDS = Query(
    str,
    "select t.word from unnest($1::text[]) as t (word) where not exists (select from venues.search_word w"
    " where w.form = w.word and w.word >= t.word and w.word < t.word || chr(1114111))",
)
WORDS_LIKE = Query(str, "select distinct w.word from venues.search_word w where w.form = any($1::text[]) limit 500")
NAMES_BEGINNING = Query(
    Found,
    f"{_CARD}, null::float8, null::float8, {_PRICE_KEY}, 0 from venues.listing l where l.listed"
    " and l.name_key >= $1 and l.name_key < $1 || chr(1114111) order by l.name_key, l.venue_id limit $2",
)
CITIES_BEGINNING = Query(
    str,
    "select distinct on (l.city_key) l.city from venues.listing l where l.listed"
    " and l.city_key >= $1 and l.city_key < $1 || chr(1114111) order by l.city_key, l.city limit $2",
)


async def by_distance(tx: Tx, wanted: Wanted, after: tuple[float, UUID] | None, limit: int) -> list[Found]:
    """Nearest first. `wanted.near` is given."""
    return await tx.all(BY_DISTANCE, *wanted.parameters(), *(after or (None, None)), limit)


async def by_price(tx: Tx, wanted: Wanted, after: tuple[int, UUID] | None, limit: int) -> list[Found]:
    return await tx.all(BY_PRICE, *wanted.parameters(), *(after or (None, None)), limit)


async def by_name(tx: Tx, wanted: Wanted, after: tuple[str, UUID] | None, limit: int) -> list[Found]:
    return await tx.all(BY_NAME, *wanted.parameters(), *(after or (None, None)), limit)


async def by_relevance(tx: Tx, wanted: Wanted, after: tuple[int, str, UUID] | None, limit: int) -> list[Found]:
    return await tx.all(BY_RELEVANCE, *wanted.parameters(), *(after or (None, None, None)), limit)


async def cards(tx: Tx, ids: list[UUID]) -> dict[UUID, VenueCard]:
    return {row.venue_id: row.card for row in await tx.all(CARDS, ids)}


async def unknown_words(tx: Tx, words: list[str]) -> list[str]:
    """Those that no word of the directory begins with."""
    return await tx.all(UNKNOWN_WORDS, words)


async def words_like(tx: Tx, forms: list[str]) -> list[str]:
    """Words of the directory that share a form; at most 500."""
    return await tx.all(WORDS_LIKE, forms)


async def names_beginning(tx: Tx, beginning: str, limit: int) -> list[VenueCard]:
    return [row.card for row in await tx.all(NAMES_BEGINNING, beginning, limit)]


async def cities_beginning(tx: Tx, beginning: str, limit: int) -> list[str]:
    return await tx.all(CITIES_BEGINNING, beginning, limit)
