"""The book: complete, shared, and new after every edit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

import pytest

from forecourt.kernel.cache import Cache
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.contracts import Switchboard, check_implementation
from forecourt.kernel.db import Database, Query, Statement
from forecourt.kernel.errors import NotFound
from forecourt.kernel.events import Envelope
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.modules.venues import contract, queries, reactions
from forecourt.modules.venues.contract import (
    NewOrganisation,
    OrganisationKind,
    OrganisationStatus,
    Policies,
    PoliciesPatch,
    VenueChanged,
    VenuePatch,
)
from forecourt.modules.venues.service import VenuesService

GUEST = Context()


def test_the_service_is_what_the_contract_says(venues: VenuesService) -> None:
    check_implementation(contract.Venues, venues)


async def test_a_guest_reads_the_whole_book_of_a_venue(venues: VenuesService, club) -> None:
    book = await venues.book(GUEST, club.venue.id)
    assert book.organisation == club.organisation
    assert book.organisation.status is OrganisationStatus.ACTIVE
    assert book.policies == Policies()
    assert book.venue == club.venue
    assert book.resources == club.courts
    assert [r.amount.amount for r in book.rules] == [4000, 2500]
    assert book.closures == []


async def test_the_book_is_found_through_a_resource(venues: VenuesService, club) -> None:
    assert (await venues.book_of_resource(GUEST, club.courts[1].id)).venue == club.venue
    for id in (club.venue.id, club.organisation.id, new_id()):
        with pytest.raises(NotFound):
            await venues.book_of_resource(GUEST, id)


async def test_ids_that_are_no_venue_have_no_book(venues: VenuesService, club) -> None:
    for id in (club.courts[0].id, club.organisation.id, new_id()):
        with pytest.raises(NotFound):
            await venues.book(GUEST, id)


async def test_readers_share_one_decoded_book_until_it_changes(venues: VenuesService, club) -> None:
    first = await venues.book(GUEST, club.venue.id)
    assert await venues.book(club.ctx, club.venue.id) is first
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(name="River Club"), None)
    second = await venues.book(GUEST, club.venue.id)
    assert second.venue.name == "River Club"
    assert second.version > first.version


async def test_an_edit_of_policies_makes_every_book_of_the_organisation_new(venues: VenuesService, club, rival) -> None:
    before = await venues.book_version(GUEST, [club.venue.id, rival.venue.id])
    await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=30), None)
    after = await venues.book_version(GUEST, [club.venue.id, rival.venue.id, new_id()])
    assert after == {club.venue.id: before[club.venue.id] + 1, rival.venue.id: before[rival.venue.id]}
    book = await venues.book(GUEST, club.venue.id)
    assert (book.version, book.policies.lead_min) == (after[club.venue.id], 30)
    assert (await venues.book(GUEST, rival.venue.id)).policies.lead_min == 0


async def test_other_modules_get_the_same_through_the_contract(venues: VenuesService, club) -> None:
    board = Switchboard()
    board.provide(contract.Venues, venues)
    others = board.call(contract.Venues)
    assert await others.book(GUEST, club.venue.id) == await venues.book(GUEST, club.venue.id)
    assert await others.book_of_resource(GUEST, club.courts[0].id) == await venues.book(GUEST, club.venue.id)
    assert [b.venue.id for b in await others.books(GUEST, [new_id(), club.venue.id])] == [club.venue.id]
    assert await others.book_version(GUEST, [club.venue.id]) == await venues.book_version(GUEST, [club.venue.id])
    assert await others.cards(GUEST, [club.venue.id]) == await venues.cards(GUEST, [club.venue.id])
    assert await others.organisation(GUEST, club.organisation.id) == club.organisation
    (card,) = await others.organisations(GUEST, [club.organisation.id])
    assert card.slug == club.organisation.slug
    for lost in (others.book(GUEST, new_id()), others.organisation(GUEST, new_id())):
        with pytest.raises(NotFound):
            await lost


async def test_another_process_hears_that_a_book_changed(db: Database, clock, owners, valkey_url: str, make) -> None:
    caches = [Cache(valkey_url, Metrics()) for _ in range(2)]
    for cache in caches:
        await cache.start()
        await cache.listening()
    here, there = (VenuesService(db.module("venues"), clock, cache, owners) for cache in caches)
    founder = make.person()
    organisation = await here.found(founder, NewOrganisation("Two", OrganisationKind.GYM, "GB", "GBP", "Europe/London"))
    ctx = founder.within(organisation.id)
    venue = await here.create_venue(ctx, make.padel())
    assert (await there.book(GUEST, venue.id)).venue.name == "River Padel Club"
    await here.edit_venue(ctx, venue.id, VenuePatch(name="New"), None)
    async with asyncio.timeout(5):
        while (await there.book(GUEST, venue.id)).venue.name != "New":
            await asyncio.sleep(0.01)
    for cache in caches:
        await cache.close()


@pytest.fixture
async def pair(db: Database, clock, owners, valkey_url: str) -> AsyncIterator[tuple[VenuesService, VenuesService]]:
    """A process, and one that cannot say what it changed: as if it died each time it had committed."""
    cache = Cache(valkey_url, Metrics())
    await cache.start()
    await cache.listening()
    yield (
        VenuesService(db.module("venues"), clock, cache, owners),
        VenuesService(db.module("venues"), clock, Cache(None, Metrics()), owners),
    )
    await cache.close()


async def found_venue(venues: VenuesService, make) -> tuple[Context, UUID]:
    founder = make.person()
    organisation = await venues.found(founder, NewOrganisation("Two", OrganisationKind.GYM, "GB", "GBP", "Europe/London"))
    ctx = founder.within(organisation.id)
    return ctx, (await venues.create_venue(ctx, make.padel())).id


async def test_a_book_that_outlived_its_change_ends_when_versions_are_asked_for(pair, make) -> None:
    here, dying = pair
    ctx, venue_id = await found_venue(dying, make)  # what `here` announced would come back to it, and end what it has just read
    old = await here.book(GUEST, venue_id)
    assert await here.book_version(GUEST, [venue_id]) == {venue_id: old.version}
    assert await here.book(GUEST, venue_id) is old  # it is right, so it is kept
    await dying.edit_venue(ctx, venue_id, VenuePatch(name="New"), None)
    assert await here.book(GUEST, venue_id) is old  # or the test proves nothing
    await here.book_version(GUEST, [venue_id])
    assert (await here.book(GUEST, venue_id)).venue.name == "New"


async def test_the_event_of_a_change_ends_what_valkey_still_has(pair, db: Database, clock, owners, valkey_url: str, make) -> None:
    here, dying = pair
    ctx, venue_id = await found_venue(dying, make)  # what `here` announced would come back to it, and end what it has just read
    old = await here.book(GUEST, venue_id)
    await dying.edit_venue(ctx, venue_id, VenuePatch(name="New"), None)
    cache = Cache(valkey_url, Metrics())
    worker = VenuesService(db.module("venues"), clock, cache, owners)
    assert (await worker.book(GUEST, venue_id)).venue.name == "River Padel Club"  # Valkey has the old one

    def told(version: int) -> Envelope[VenueChanged]:
        event = VenueChanged(organisation_id=ctx.organisation_id, venue_id=venue_id, version=version, changes=())
        actor = Actor(kind=ActorKind.PERSON)
        return Envelope(new_id(), clock.now(), event.event_name, 1, ctx.organisation_id, actor, "", "", event)

    (subscription,) = reactions.subscriptions(worker)
    async with db.module("venues").tx(ctx) as tx:
        await subscription.handle(tx, [told(old.version)])
        assert (await worker.book(GUEST, venue_id)).version == old.version  # that one it has
        await subscription.handle(tx, [told(old.version + 1), told(old.version)])
    assert (await worker.book(GUEST, venue_id)).venue.name == "New"
    async with asyncio.timeout(5):
        while (await here.book(GUEST, venue_id)).venue.name != "New":
            await asyncio.sleep(0.01)
    await cache.close()


async def test_a_court_added_elsewhere_is_found_whatever_this_process_remembers(
    venues: VenuesService, club, db: Database, clock, owners, make
) -> None:
    deaf = VenuesService(db.module("venues"), clock, Cache(None, Metrics()), owners)
    old = await deaf.book(GUEST, club.venue.id)
    court = await venues.add_resource(club.ctx, club.venue.id, make.court("Third"))
    assert await deaf.book(GUEST, club.venue.id) is old  # or the test proves nothing
    assert (await deaf.book_of_resource(GUEST, court.id)).resource(court.id) == court


async def test_every_statement_fits_the_schema_and_its_struct(fresh_database) -> None:
    connection = await fresh_database.admin()
    await connection.execute("set role fc_venues")
    prepared = 0
    for value in vars(queries).values():
        if isinstance(value, Query | Statement):
            statement = await connection.prepare(value.sql)
            prepared += 1
            if isinstance(value, Query) and value.fields:
                assert len(statement.get_attributes()) == len(value.fields), value.sql
    await connection.close()
    assert prepared > 30
