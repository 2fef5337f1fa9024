"""The book: complete, shared, and new after every edit."""

from __future__ import annotations

import pytest

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import check_implementation
from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.modules.venues import contract
from forecourt.modules.venues.contract import OrganisationStatus, Policies, PoliciesPatch, VenuePatch
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
