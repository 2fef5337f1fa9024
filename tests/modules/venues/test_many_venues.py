"""Books and terms of many venues at once: what the database puts together for several organisations in one statement."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import uuid4

import pytest
from tests.statements import counted

from forecourt.kernel.context import Context
from forecourt.kernel.db import Database, Tx
from forecourt.kernel.errors import Internal
from forecourt.kernel.period import Period
from forecourt.modules.venues.contract import (
    DateRange,
    NewClosure,
    OrganisationStatus,
    PoliciesPatch,
    Purpose,
    ResourcePatch,
    Venue,
    VenueBook,
    VenuePatch,
    VenueTerms,
)
from forecourt.modules.venues.contract.terms import ShutOn, places_open
from forecourt.modules.venues.service import VenuesService

GUEST = Context()
TEN = datetime(2026, 11, 3, 10, tzinfo=UTC)
"""A Tuesday; the clock of these tests shows the day before, 9:00."""


async def terms_of(venues: VenuesService, venue: Venue) -> VenueTerms:
    (found,) = await venues.terms(GUEST, {venue.id: 0})
    return found


def hour(start: datetime, minutes: int = 60) -> Period:
    return Period.of(start, minutes)


# --- books


async def test_books_of_two_organisations_come_with_one_statement_in_the_order_asked(venues, club, rival) -> None:
    one_by_one = [await venues.book(GUEST, id) for id in (rival.venue.id, club.venue.id)]
    venues.cache.clear_local()
    with counted() as sent:
        books = await venues.books(GUEST, [rival.venue.id, uuid4(), club.venue.id, club.courts[0].id, rival.venue.id])
    assert books == one_by_one, "what nobody knows and what is no venue is left out"
    assert len(sent) == 1
    with counted() as sent:
        assert await venues.books(GUEST, [rival.venue.id]) == one_by_one[:1]
    assert sent == [], "kept"


async def test_a_book_among_many_is_read_again_after_an_edit(venues, club, rival) -> None:
    before = await venues.books(GUEST, [club.venue.id, rival.venue.id])
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(name="New name"), None)
    after = await venues.books(GUEST, [club.venue.id, rival.venue.id])
    assert (before[0].venue.name, after[0].venue.name) == (club.venue.name, "New name")
    assert after[1] is before[1]


async def test_books_that_cannot_be_read_are_an_error_and_not_absent(venues, club, monkeypatch) -> None:
    async def fail(tx: Tx, ids: object) -> list[VenueBook]:
        raise Internal

    monkeypatch.setattr("forecourt.modules.venues.queries.books", fail)
    with pytest.raises(Internal):
        await venues.books(GUEST, [club.venue.id])
    monkeypatch.undo()
    assert len(await venues.books(GUEST, [club.venue.id])) == 1


@pytest.mark.parametrize("function", ["venues.books_of($1)", "venues.terms_of($1)"])
async def test_whoever_reads_many_stands_in_his_own_organisation_afterwards(db: Database, club, rival, function: str) -> None:
    async with db.module("venues").tx(rival.ctx) as tx:
        rows = await tx.connection.fetch(f"select * from {function}", [club.venue.id])
        assert len(rows) == 1
        assert await tx.connection.fetchval("select kernel.current_org()") == rival.organisation.id
        seen = await tx.connection.fetch("select v.organisation_id from venues.venue v")
        assert {r[0] for r in seen} == {rival.organisation.id}
    async with db.module("venues").tx(GUEST) as tx:
        await tx.connection.fetch(f"select * from {function}", [club.venue.id])
        assert await tx.connection.fetch("select v.organisation_id from venues.venue v") == []


async def test_no_other_modules_role_reads_many(db: Database, club) -> None:
    many = "select p.proname from pg_proc p where p.proname in ('books_of', 'terms_of')"
    may = many + " and has_function_privilege($1, p.oid, 'execute')"
    async with db.module("venues").tx(GUEST) as tx:
        assert len(await tx.connection.fetch(may, "fc_venues")) == 2
        assert await tx.connection.fetch(may, "fc_booking") == []


# --- terms


async def test_terms_are_what_the_book_says_about_free_time(venues, club, make) -> None:
    whole = await venues.add_resource(
        club.ctx,
        club.venue.id,
        make.court(
            "Both",
            position=9,
            part_ids=[c.id for c in club.courts],
            lead_min=30,
            horizon_days=7,
            slot_min=30,
            durations_min=[60, 90],
        ),
    )
    buffers = ResourcePatch(buffer_before_min=5, buffer_after_min=10, people={Purpose.MATCH: (2, 4)})
    await venues.edit_resource(club.ctx, club.venue.id, club.courts[0].id, buffers, None)
    await venues.edit_resource(club.ctx, club.venue.id, club.courts[1].id, ResourcePatch(active=False), None)
    await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=15, horizon_days=30), None)
    await venues.close(club.ctx, club.venue.id, NewClosure("Repairs", DateRange(date(2026, 12, 1), date(2026, 12, 3))))
    await venues.close(club.ctx, club.venue.id, NewClosure("Holidays", holiday=True))
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(region="SCT"), None)

    book = await venues.book(GUEST, club.venue.id)
    terms = await terms_of(venues, club.venue)
    assert (terms.organisation_id, terms.venue_id, terms.version) == (club.organisation.id, club.venue.id, book.version)
    assert (terms.timezone, terms.country, terms.region) == ("Europe/London", "GB", "SCT")
    assert terms.opening_hours == book.venue.opening_hours
    shut = [ShutOn(dates=DateRange(date(2026, 12, 1), date(2026, 12, 3))), ShutOn(holiday=True)]
    assert sorted(terms.closures, key=lambda c: c.holiday) == shut
    first, both = terms.places
    assert (first.id, both.id) == (club.courts[0].id, whole.id), "the other court takes no bookings"
    assert (first.buffer_before_min, first.buffer_after_min, first.lead_min, first.horizon_days) == (5, 10, 15, 30)
    assert (both.lead_min, both.horizon_days, both.slot_min, both.durations_min) == (30, 7, 30, [60, 90])
    assert first.claimed == [first.id]
    assert both.claimed == sorted([whole.id, *(c.id for c in club.courts)]), "a part that takes no bookings is a part"
    assert first.claim(hour(TEN)) == hour(TEN).padded(5, 10)


async def test_terms_of_a_known_version_are_not_sent_again(venues, club, rival) -> None:
    known = {t.venue_id: t.version for t in await venues.terms(GUEST, {club.venue.id: 0, rival.venue.id: 0, uuid4(): 0})}
    assert set(known) == {club.venue.id, rival.venue.id}
    with counted() as sent:
        assert await venues.terms(GUEST, known) == []
    assert len(sent) == 1
    await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=15), None)
    with counted() as sent:
        assert [(t.venue_id, t.places[0].lead_min) for t in await venues.terms(GUEST, known)] == [(club.venue.id, 15)]
    assert len(sent) == 2, "one for the versions, one for all terms"


async def test_a_suspended_organisation_has_no_places_to_offer(venues, club) -> None:
    assert len((await terms_of(venues, club.venue)).places) == 2
    await venues.set_standing(GUEST, club.organisation.id, OrganisationStatus.SUSPENDED, "unpaid")
    assert (await terms_of(venues, club.venue)).places == []


# --- what could be booked


async def places(venues: VenuesService, venue: Venue, period: Period, now: datetime, sport: str | None = None) -> int:
    return len(places_open(await terms_of(venues, venue), period, sport, now))


async def test_places_are_open_by_hours_length_sport_and_grid(venues, club, clock) -> None:
    now = clock.now()
    assert await places(venues, club.venue, hour(TEN), now) == 2
    assert await places(venues, club.venue, hour(TEN), now, "padel") == 2
    assert await places(venues, club.venue, hour(TEN), now, "chess") == 0
    assert await places(venues, club.venue, hour(TEN, 50), now) == 0, "no length of theirs"
    assert await places(venues, club.venue, hour(TEN + timedelta(minutes=15)), now) == 2
    assert await places(venues, club.venue, hour(TEN + timedelta(minutes=7)), now) == 0, "off the grid"
    assert await places(venues, club.venue, hour(TEN + timedelta(seconds=1)), now) == 0
    assert await places(venues, club.venue, hour(TEN + timedelta(microseconds=1)), now) == 0
    assert await places(venues, club.venue, hour(TEN.replace(hour=22)), now) == 2, "until 23:00"
    assert await places(venues, club.venue, hour(TEN.replace(hour=22, minute=15)), now) == 0


async def test_places_are_open_after_their_notice_and_before_their_horizon(venues, club, clock) -> None:
    await venues.edit_resource(club.ctx, club.venue.id, club.courts[0].id, ResourcePatch(lead_min=60, horizon_days=7), None)
    now = clock.now()
    assert await places(venues, club.venue, hour(now + timedelta(minutes=60)), now) == 2
    assert await places(venues, club.venue, hour(now + timedelta(minutes=45)), now) == 1
    assert await places(venues, club.venue, hour(now - timedelta(minutes=15)), now) == 0
    last = TEN + timedelta(days=6)
    assert await places(venues, club.venue, hour(last.replace(hour=22)), now) == 2
    assert await places(venues, club.venue, hour(last + timedelta(days=1)), now) == 1
