"""Questions: one booking, lists, free times, quotes. None of them asks another module on its way but for kept books."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.db import Lock, Plans
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Keyset, Page, Paged
from forecourt.kernel.period import MAX_CLAIM, Period
from forecourt.modules.booking import queries, rules
from forecourt.modules.booking.contract import BookingActor, BookingFigures, BookingOut, BookingStatus, NewQuote, Quote
from forecourt.modules.booking.queries import BookingRow, QuoteRow, TransitionRow, Window
from forecourt.modules.booking.service.alternatives import BusyAsked, read_busy, read_busy_of_many
from forecourt.modules.booking.service.base import READ_ANY, organisation, person, present, statuses
from forecourt.modules.booking.service.changing import Changing
from forecourt.modules.booking.service.pricing import Bill, plan, refuse_equipment
from forecourt.modules.booking.slots import Busy, availability_json, busy_window, check_window
from forecourt.modules.venues.contract import DurationMin, Location, People, Purpose, Resource, VenueBook
from forecourt.modules.venues.contract.terms import PlaceTerms, places_open

MAX_DAYS = 31
MAX_RESOURCES = 100
MAX_CLAIMABLE = 1_000
"""More things than a venue has, those it removed included."""
REARRANGING = timedelta(minutes=1)
"""So long after a decision on new parts nobody has a book any more that does not know of them: one is trusted for `FRESH_S`, and
no request lasts half as long. Should whoever decided die before the parts are written, the venue is booked again after that."""
MAX_VENUES = 20
MAX_LOOKED_AT = 300
MAX_ORGANISATIONS = 100
STANDING = (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS, BookingStatus.COMPLETED)
QUOTE_LIVES = timedelta(minutes=15)

_FIRST = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime(2200, 1, 1, tzinfo=UTC)
_NIL, _MAX = UUID(int=0), UUID(int=2**128 - 1)

MINE = Keyset("bookings of a person", tuple[datetime, UUID])
THEIRS = Keyset("bookings of an organisation", tuple[datetime, UUID])

Instant = Annotated[datetime, Meta(tz=True)]


class Free(msgspec.Struct, frozen=True):
    """A question for free times. Dates are the venue's."""

    from_date: date
    to_date: date
    duration_min: DurationMin
    team_size: People | None = None
    purpose: Purpose = Purpose.WORKOUT
    resource_id: UUID | None = None
    sport: str | None = None


class BookingsQuery(Paged, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Which of one's bookings. `soonest` lists from the earliest start on, otherwise the latest comes first."""

    status: Annotated[list[BookingStatus], Meta(max_length=10)] | None = None
    from_: Instant | None = None
    to: Instant | None = None
    soonest: bool = False


class OrgBookingsQuery(Paged, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """An organisation's bookings, earliest start first."""

    status: Annotated[list[BookingStatus], Meta(max_length=10)] | None = None
    from_: Instant | None = None
    to: Instant | None = None
    venue_id: UUID | None = None
    resource_id: UUID | None = None
    account_id: UUID | None = None


class Reading(Changing):
    # --- bookings

    async def booking(self, ctx: Context, booking_id: UUID) -> BookingOut:
        """One select for a person's own. Raises NotFound for what is absent or not theirs to see."""
        row, _ = await self.find(ctx, booking_id, READ_ANY)
        return present(row)

    async def bookings(self, ctx: Context, booking_ids: list[UUID]) -> list[BookingOut]:
        """In the order asked; those absent or not the actor's to see are left out. At most 100 at once."""
        wanted = booking_ids[:100]
        if self.find_actor(ctx, READ_ANY) is BookingActor.CUSTOMER:
            account_id = person(ctx)
            async with self.db.read(ctx.within(None)) as tx:
                found = await queries.bookings_among(tx, await self.guests.read(tx, account_id), wanted)
        else:
            async with self.db.read(ctx) as tx:
                found = await queries.bookings_among(tx, [organisation(ctx)], wanted)
        rows = {row.id: row for row in found}
        return [present(rows[i]) for i in wanted if i in rows]

    async def history(self, ctx: Context, booking_id: UUID) -> list[TransitionRow]:
        """Every step of a booking, the oldest first. Raises NotFound."""
        row, _ = await self.find(ctx, booking_id, READ_ANY)
        async with self.db.read(ctx.within(row.organisation_id)) as tx:
            return await queries.history(tx, row.organisation_id, row.id)

    async def my_bookings(self, ctx: Context, query: BookingsQuery) -> Page[BookingOut]:
        account_id = person(ctx)
        key = MINE.decode(query.cursor)
        w = _window(query.status, query.from_, query.to, key, query.limit, soonest=query.soonest)
        async with self.db.read(ctx.within(None)) as tx:
            among = await self.guests.read(tx, account_id)
            rows = await (queries.own_soonest if query.soonest else queries.own_latest)(tx, account_id, among, w)
        return MINE.page(rows, query.limit, _key).map(present)

    async def org_bookings(self, ctx: Context, query: OrgBookingsQuery) -> Page[BookingOut]:
        organisation_id = organisation(ctx)
        key = THEIRS.decode(query.cursor)
        w = _window(query.status, query.from_, query.to, key, query.limit, soonest=True)
        async with self.db.read(ctx) as tx:
            rows = await queries.of_organisation(tx, organisation_id, w, query.venue_id, query.resource_id, query.account_id)
        return THEIRS.page(rows, query.limit, _key).map(present)

    async def figures(self, ctx: Context, organisation_ids: list[UUID], period: Period) -> list[BookingFigures]:
        """Each organisation's rows are read as that organisation: row security lets no statement see two of them."""
        wanted = organisation_ids[:MAX_ORGANISATIONS]
        found: list[BookingFigures] = []
        async with self.db.read(ctx.within(None)) as tx:
            for id in wanted:
                await tx.become(self.db.role, id)
                found.append(await queries.figures(tx, id, period, STANDING))
        return found

    # --- free times

    async def availability(self, ctx: Context, venue_id: UUID, ask: Free) -> bytes:
        """The JSON of the free times at one venue: one read of the claims. Raises NotFound, Invalid."""
        _check_days(ask)
        asked = _busy_asked(await self.books.of_venue(venue_id), ask)
        busy = await read_busy(self.db, ctx, asked.book, asked.resources, asked.window, self.clock)
        return _answer(asked, ask, busy, self.clock.now())

    async def availabilities(self, ctx: Context, venue_ids: Sequence[UUID], ask: Free) -> bytes:
        """The same of several venues: `{"items": […]}`, unknown ones left out. At most MAX_VENUES."""
        if len(venue_ids) > MAX_VENUES:
            raise Invalid.field("venue_ids", f"at most {MAX_VENUES} venues at once")
        _check_days(ask)
        asked = [_busy_asked(book, ask) for book in await self.books.of_venues(list(dict.fromkeys(venue_ids)))]
        found = await read_busy_of_many(self.db, ctx, asked, self.clock)
        now = self.clock.now()
        answers = [_answer(a, ask, busy, now) for a, busy in zip(asked, found, strict=True)]
        return b'{"items":[' + b",".join(answers) + b"]}"

    async def availabilities_near(self, ctx: Context, point: Location, radius_km: float, ask: Free) -> bytes:
        """The same of the venues nearest to a point that have something for the sport asked for, nearest first."""
        return await self.availabilities(ctx, await self.venues.near(ctx, point, radius_km, ask.sport, MAX_VENUES), ask)

    async def busy(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], period: Period) -> dict[UUID, list[Period]]:
        """Claimed time, buffers included, per resource inside `period`. Raises NotFound, Invalid."""
        if period.end - period.start > 2 * MAX_CLAIM:
            raise Invalid.field("period", "is longer than 62 days")
        book = await self.books.of_venue(venue_id)
        resources = [r for r in (book.resource(i) for i in resource_ids[:MAX_RESOURCES]) if r is not None]
        if len(resources) < len(resource_ids):
            raise NotFound
        found = await read_busy(self.db, ctx, book, resources, period, self.clock)
        return {r: [Period(max(b, period.start), min(e, period.end)) for b, e in sorted(claims)] for r, claims in found.items()}

    async def free_venues(
        self, ctx: Context, venue_ids: list[UUID], start: datetime, duration_min: int, sport: str | None = None
    ) -> list[UUID]:
        """Those of the venues that have something (of the sport) free from `start` for so long, in the order asked.

        At most 300 are looked at, at two calls of venues and one read of the claims for all of them.
        """
        period = rules.requested_period(start, duration_min)
        now = self.clock.now()
        terms = await self.terms.of_venues(venue_ids[:MAX_LOOKED_AT])
        could = [(t, places) for t in terms if (places := places_open(t, period, sport, now))]
        asked = {
            queries.Within(t.organisation_id, id, place.claim(period))
            for t, places in could
            for place in places
            for id in place.claimed
        }
        if not asked:
            return []
        async with self.db.read(ctx.within(None)) as tx:
            claims = await queries.claims_among(tx, list(asked), now)
        taken: dict[UUID, list[Period]] = {}
        for claim in claims:
            taken.setdefault(claim.resource_id, []).append(Period(claim.starts_at, claim.ends_at))
        return [t.venue_id for t, places in could if any(_is_free(place, period, taken) for place in places)]

    async def claimed(self, ctx: Context, resource_ids: list[UUID]) -> list[UUID]:
        """Asked of the primary: whoever asks is about to change what a claim means."""
        async with self.db.tx(ctx) as tx:
            return await queries.claimed(tx, organisation(ctx), resource_ids[:MAX_CLAIMABLE], self.clock.now())

    async def rearrange(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], version: int) -> list[UUID]:
        """One decision, under the venue's lock: who claims something had it shared before, and is seen here, or has it after and
        sees what is written here."""
        now = self.clock.now()
        async with self.db.tx(ctx, lock=Lock.on(venue_id)) as tx:
            taken = await queries.claimed(tx, organisation(ctx), resource_ids[:MAX_CLAIMABLE], now)
            if not taken:
                await queries.keep_out(tx, organisation(ctx), venue_id, version, now + REARRANGING)
        self.books.drop(venue_id)
        return taken

    # --- quotes

    async def quote(self, ctx: Context, wish: NewQuote) -> Quote:
        """A price that holds for a quarter of an hour, for this person alone. Does not hold the place.

        Raises what `rules.check_request` raises, and PromoRejected.
        """
        account_id = person(ctx)
        refuse_equipment(wish.equipment)
        book, resource = await self.books.of_resource(wish.resource_id)
        planned = plan(book, resource, wish.start, wish.duration_min, wish.purpose, wish.team_size)
        now = self.clock.now()
        rules.check_request(book, resource, planned.period, wish.purpose, planned.team_size, now, 0)
        bill: Bill = planned.bill
        if wish.promo_code is not None:
            bill = await self.discount(ctx, planned, account_id, wish.promo_code)
        row = QuoteRow(
            id=ctx.idempotency_id or new_id(),
            account_id=account_id,
            resource_id=resource.id,
            starts_at=planned.period.start,
            duration_min=wish.duration_min,
            purpose=wish.purpose,
            team_size=planned.team_size,
            promo_code=wish.promo_code,
            currency=bill.total.currency,
            list_minor=planned.bill.total.amount,
            total_minor=bill.total.amount,
            lines=bill.lines,
            tax=bill.tax,
            expires_at=now + QUOTE_LIVES,
        )
        async with self.db.tx(ctx.within(book.venue.organisation_id), plans=Plans.KEPT) as tx:
            kept = await queries.add_quote(tx, book.venue.organisation_id, row)
        return Quote(kept.id, kept.lines, kept.tax, Money(kept.total_minor, kept.currency), kept.expires_at)


def _check_days(ask: Free) -> None:
    if len(check_window(ask.from_date, ask.to_date)) > MAX_DAYS:
        raise Invalid.field("to", f"is more than {MAX_DAYS} days of availability at once")


def _busy_asked(book: VenueBook, ask: Free) -> BusyAsked:
    resources = _asked(book, ask)
    return BusyAsked(book, resources, busy_window(book, resources, ask.from_date, ask.to_date, ask.duration_min))


def _answer(asked: BusyAsked, ask: Free, busy: Mapping[UUID, Busy], now: datetime) -> bytes:
    return availability_json(
        asked.book, asked.resources, ask.from_date, ask.to_date, ask.duration_min, ask.team_size, busy, now, ask.purpose
    )


def _asked(book: VenueBook, ask: Free) -> list[Resource]:
    if ask.resource_id is not None:
        resource = book.resource(ask.resource_id)
        if resource is None or resource.removed:
            raise NotFound
        return [resource]
    found = [r for r in book.resources if r.active and (ask.sport is None or r.sport == ask.sport)]
    if len(found) > MAX_RESOURCES:
        raise Invalid.field("resource_id", f"this venue has more than {MAX_RESOURCES} things; name one, or a sport")
    return found


def _is_free(place: PlaceTerms, period: Period, taken: Mapping[UUID, Sequence[Period]]) -> bool:
    claim = place.claim(period)
    return not any(claim.overlaps(other) for id in place.claimed for other in taken.get(id, ()))


def _key(row: BookingRow) -> tuple[datetime, UUID]:
    return row.starts_at, row.id


def _window(
    wanted: list[BookingStatus] | None,
    after: datetime | None,
    before: datetime | None,
    key: tuple[datetime, UUID] | None,
    limit: int,
    *,
    soonest: bool,
) -> Window:
    at, booking_id = key or ((_FIRST, _NIL) if soonest else (_LAST, _MAX))
    return Window(statuses(wanted), bounded(after, _FIRST), bounded(before, _LAST), at, booking_id, limit + 1)


def bounded(at: datetime | None, otherwise: datetime) -> datetime:
    """An instant of the calendar that the tables know."""
    return otherwise if at is None else min(max(at.astimezone(UTC), _FIRST), _LAST)
