"""Founding and editing: what is checked, what two people at once come to, what is said about it."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime

import msgspec
import pytest
from tests.modules.media import samples

from forecourt.kernel.cache import Cache
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database, Query
from forecourt.kernel.errors import Forbidden, Internal, Invalid, NotFound, PreconditionFailed, Unavailable
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import Worker
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.modules.venues import jobs
from forecourt.modules.venues.contract import (
    CapacityExceeded,
    DateRange,
    NewClosure,
    NewOrganisation,
    OpeningHours,
    OrganisationKind,
    OrganisationPatch,
    OrganisationStatus,
    PoliciesPatch,
    PriceList,
    Purpose,
    RefundTier,
    ResourceInUse,
    ResourcePatch,
    SlugTaken,
    VenuePatch,
)
from forecourt.modules.venues.service import VenuesService
from forecourt.modules.venues.service.organisations import Step

GUEST = Context()
CLUB = NewOrganisation("Café Padel", OrganisationKind.CLUB, "GB", "GBP", "Europe/London")
WRITTEN = Query(
    str,
    "select convert_from(e.payload, 'UTF8')::jsonb || jsonb_build_object('event', e.name) from kernel.event e"
    " where e.organisation_id = $1 order by e.xid, e.id",
)


async def written(db: Database, organisation_id: object) -> list[dict]:
    async with db.module("kernel").read(GUEST) as tx:
        return [msgspec.json.decode(text) for text in await tx.all(WRITTEN, organisation_id)]


def path_of(refused: pytest.ExceptionInfo[Invalid]) -> str:
    return refused.value.errors[0].path


# --- organisations


async def test_who_founds_an_organisation_becomes_its_owner(venues: VenuesService, owners, make, db) -> None:
    founder = make.person()
    founded = await venues.found(founder, CLUB)
    assert owners.of == {founded.id: founder.account_id}
    assert (founded.version, founded.status) == (1, OrganisationStatus.ACTIVE)
    assert await venues.organisation(GUEST, founded.id) == founded
    (event,) = await written(db, founded.id)
    assert (event["event"], event["owner_id"]) == ("organisation.created", str(founder.account_id))


async def test_an_organisation_finds_its_owner_later_when_identity_is_away(fresh_database, clock, owners, make) -> None:
    database = await fresh_database.connect()
    venues = VenuesService(database.module("venues"), clock, Cache(None, Metrics()), owners)
    owners.failure = Unavailable()
    founder = make.person()
    founded = await venues.found(founder, CLUB)
    assert owners.of == {}
    owners.failure = None
    worker = Worker(database, fresh_database.url, jobs.handlers(venues), [])
    running = asyncio.create_task(worker.run())
    async with asyncio.timeout(20):
        while not owners.of:
            await asyncio.sleep(0.05)
    await worker.stop()
    await running
    assert owners.of == {founded.id: founder.account_id}


async def test_a_fault_of_identity_is_not_hidden(venues: VenuesService, owners, make) -> None:
    founder = make.person()
    owners.failure = Internal()
    with pytest.raises(Internal):
        await venues.found(founder, CLUB)


async def test_nobody_founds_nothing(venues: VenuesService) -> None:
    with pytest.raises(Forbidden):
        await venues.found(GUEST, CLUB)


async def test_short_names_are_made_from_names_and_never_twice(venues: VenuesService, make) -> None:
    name = f"Café {new_id().hex[-8:]}"
    new = msgspec.structs.replace(CLUB, name=name)
    slugs = [(await venues.found(make.person(), new)).slug for _ in range(3)]
    base = slugs[0]
    assert base.startswith("cafe-")
    assert slugs == [base, f"{base}-2", f"{base}-3"]
    with pytest.raises(SlugTaken):
        await venues.found(make.person(), msgspec.structs.replace(CLUB, slug=base))
    assert (await venues.organisation_by_slug(GUEST, base)).slug == base
    with pytest.raises(NotFound):
        await venues.organisation_by_slug(GUEST, base + "-9")


async def test_an_organisation_takes_a_short_name_that_is_free_only(venues: VenuesService, club, rival) -> None:
    with pytest.raises(SlugTaken):
        await venues.edit_organisation(club.ctx, OrganisationPatch(slug=rival.organisation.slug), None)
    free = f"free-{new_id().hex[-8:]}"
    after = await venues.edit_organisation(club.ctx, OrganisationPatch(name="New", slug=free), None)
    assert (after.name, after.slug, after.version) == ("New", free, 2)
    (card,) = await venues.organisations(GUEST, [new_id(), club.organisation.id])
    assert (card.name, card.slug) == ("New", free)
    with pytest.raises(Invalid) as refused:
        await venues.edit_organisation(club.ctx, OrganisationPatch(timezone="Mars/Olympus"), None)
    assert path_of(refused) == "timezone"


@pytest.mark.parametrize("slug", [None, "same"])
async def test_venues_of_one_organisation_have_different_short_names(venues: VenuesService, club, rival, make, slug) -> None:
    first = await venues.create_venue(club.ctx, make.padel("Same", slug=slug))
    assert (await venues.create_venue(rival.ctx, make.padel("Same", slug=slug))).slug == first.slug == "same"
    if slug is None:
        assert (await venues.create_venue(club.ctx, make.padel("Same"))).slug == "same-2"
    else:
        with pytest.raises(SlugTaken):
            await venues.create_venue(club.ctx, make.padel("Same", slug=slug))
    with pytest.raises(SlugTaken):
        await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(slug="same"), None)
    assert (await venues.venue_by_slug(GUEST, club.organisation.slug, "same")).venue.id == first.id


async def test_policies_merge_and_are_checked(venues: VenuesService, club, rival) -> None:
    row = await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=60, weather_refund_pct=100), 1)
    assert (row.policies.lead_min, row.policies.weather_refund_pct, row.policies.hold_min) == (60, 100, 10)
    row = await venues.edit_policies(club.ctx, PoliciesPatch(weather_refund_pct=None), None)
    assert (row.policies.lead_min, row.policies.weather_refund_pct) == (60, None)
    with pytest.raises(Invalid) as refused:
        await venues.edit_policies(club.ctx, PoliciesPatch(cancellation=[RefundTier(2, 50), RefundTier(24, 100)]), None)
    assert path_of(refused) == "cancellation[1].before_h"
    with pytest.raises(Invalid) as refused:
        await venues.edit_policies(club.ctx, PoliciesPatch(noise_warning_venue_ids=[rival.venue.id]), None)
    assert path_of(refused) == "noise_warning_venue_ids"
    row = await venues.edit_policies(club.ctx, PoliciesPatch(noise_warning_venue_ids=[club.venue.id]), None)
    assert row.policies.noise_warning_venue_ids == [club.venue.id]


async def test_a_suspended_organisation_says_so_and_why(venues: VenuesService, club, db) -> None:
    await venues.set_standing(GUEST, club.organisation.id, OrganisationStatus.SUSPENDED, "unpaid")
    assert (await venues.book(GUEST, club.venue.id)).organisation.status is OrganisationStatus.SUSPENDED
    event = next(e for e in await written(db, club.organisation.id) if e["event"] == "organisation.changed")
    assert (event["status"], event["reason"]) == ("suspended", "unpaid")
    with pytest.raises(NotFound):
        await venues.set_standing(GUEST, new_id(), OrganisationStatus.SUSPENDED, "who")


async def test_a_franchise_has_one_level(venues: VenuesService, club, rival, make) -> None:
    active = OrganisationStatus.ACTIVE
    child = await venues.set_standing(GUEST, club.organisation.id, active, "joined", rival.organisation.id)
    assert child.parent_id == rival.organisation.id
    third = await venues.found(make.person(), CLUB)
    for parent_id in (club.organisation.id, third.id, new_id()):
        with pytest.raises(Invalid) as refused:
            await venues.set_standing(GUEST, third.id, active, "joined", parent_id)
        assert path_of(refused) == "parent_id"
    assert (await venues.set_standing(GUEST, club.organisation.id, active, "left", None)).parent_id is None


async def test_onboarding_shows_what_is_left(venues: VenuesService, club, make) -> None:
    founder = make.person()
    fresh = founder.within((await venues.found(founder, CLUB)).id)
    assert not any(step.done for step in await venues.onboarding(fresh))
    done = {step.step for step in await venues.onboarding(club.ctx) if step.done}
    assert done == {Step.VENUE, Step.RESOURCE, Step.PRICES, Step.LISTED}
    await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=5), None)
    photo = await venues.take_photo(club.ctx, samples.picture(), "court.png", "")
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(photo_ids=[photo]), None)
    assert all(step.done for step in await venues.onboarding(club.ctx))


async def test_the_platform_sees_who_cannot_be_booked(venues: VenuesService, club, rival, make) -> None:
    empty = await venues.found(make.person(), CLUB)
    await venues.set_standing(GUEST, rival.organisation.id, OrganisationStatus.SUSPENDED, "unpaid")
    seen, cursor = {}, None
    while True:
        page = await venues.needing_attention(GUEST, None, 3, cursor)
        seen |= {row.card_id: row for row in page.items}
        cursor = page.next_cursor
        if cursor is None:
            break
    assert club.organisation.id not in seen
    assert (seen[empty.id].status, seen[empty.id].listed_venues) == ("active", 0)
    assert seen[rival.organisation.id].status == "suspended"


# --- two people at once


async def test_of_two_edits_of_one_version_one_is_stale(venues: VenuesService, club) -> None:
    id, court = club.venue.id, club.courts[0]
    pairs = [
        [venues.edit_venue(club.ctx, id, VenuePatch(name=n), 1) for n in "AB"],
        [venues.edit_organisation(club.ctx, OrganisationPatch(name=n), 1) for n in "AB"],
        [venues.edit_policies(club.ctx, PoliciesPatch(lead_min=n), 2) for n in (1, 2)],
        [venues.edit_resource(club.ctx, id, court.id, ResourcePatch(name=n), 1) for n in "AB"],
        [venues.set_prices(club.ctx, id, PriceList([]), 2) for _ in "AB"],
    ]
    for pair in pairs:
        outcomes = await asyncio.gather(*pair, return_exceptions=True)
        assert sorted(type(o) is PreconditionFailed for o in outcomes) == [False, True], outcomes
        assert not any(isinstance(o, Exception) and not isinstance(o, PreconditionFailed) for o in outcomes)


async def test_edits_without_a_version_all_count(venues: VenuesService, club, make) -> None:
    before = (await venues.book_version(GUEST, [club.venue.id]))[club.venue.id]
    await asyncio.gather(*(venues.add_resource(club.ctx, club.venue.id, make.court(f"More {i}")) for i in range(8)))
    book = await venues.book(GUEST, club.venue.id)
    assert (len(book.resources), book.version) == (10, before + 8)


async def test_two_halves_cannot_become_each_others_part_at_once(venues: VenuesService, club) -> None:
    a, b = club.courts
    outcomes = await asyncio.gather(
        venues.edit_resource(club.ctx, club.venue.id, a.id, ResourcePatch(part_ids=[b.id]), None),
        venues.edit_resource(club.ctx, club.venue.id, b.id, ResourcePatch(part_ids=[a.id]), None),
        return_exceptions=True,
    )
    assert sorted(isinstance(o, Invalid) for o in outcomes) == [False, True]


async def test_edits_of_all_kinds_at_once_wait_for_each_other_and_none_is_lost(venues: VenuesService, club, make) -> None:
    before = (await venues.book_version(GUEST, [club.venue.id]))[club.venue.id]
    for n in range(5):
        await asyncio.gather(
            venues.edit_policies(club.ctx, PoliciesPatch(lead_min=n + 1), None),
            venues.edit_organisation(club.ctx, OrganisationPatch(name=f"Name {n}"), None),
            venues.add_resource(club.ctx, club.venue.id, make.court(f"Court {n}")),
            venues.edit_venue(club.ctx, club.venue.id, VenuePatch(name=f"Words {n} river padel"), None),
            venues.create_venue(club.ctx, make.padel(f"River padel words {n}")),
        )
    book = await venues.book(GUEST, club.venue.id)
    assert (book.version, len(book.resources), book.policies.lead_min) == (before + 20, 7, 5)
    assert (book.venue.name, book.organisation.name) == ("Words 4 river padel", "Name 4")


# --- venues and resources


@pytest.mark.parametrize(
    ("patch", "path"),
    [
        (VenuePatch(timezone="Mars/Olympus"), "timezone"),
        (VenuePatch(region="XX"), "region"),
        (VenuePatch(opening_hours=OpeningHours(mon=[("10:00", "12:00"), ("11:00", "13:00")])), "opening_hours.mon[1]"),
    ],
)
async def test_a_venue_is_checked_when_made_and_when_changed(venues: VenuesService, club, make, patch, path) -> None:
    with pytest.raises(Invalid) as refused:
        await venues.edit_venue(club.ctx, club.venue.id, patch, None)
    assert path_of(refused) == path
    stated = {f: v for f in patch.__struct_fields__ if (v := getattr(patch, f)) is not msgspec.UNSET}
    with pytest.raises(Invalid) as refused:
        await venues.create_venue(club.ctx, msgspec.structs.replace(make.padel(), **stated))
    assert path_of(refused) == path


async def test_a_resource_is_checked_when_made_and_when_changed(venues: VenuesService, club, rival, make) -> None:
    for part_ids in ([rival.courts[0].id], [new_id()]):
        with pytest.raises(Invalid) as refused:
            await venues.add_resource(club.ctx, club.venue.id, make.court("Whole", part_ids=part_ids))
        assert path_of(refused) == "part_ids"
    with pytest.raises(Invalid) as refused:
        await venues.edit_resource(club.ctx, club.venue.id, club.courts[0].id, ResourcePatch(slot_min=7), None)
    assert path_of(refused) == "slot_min"
    own = ResourcePatch(part_ids=[club.courts[0].id])
    with pytest.raises(Invalid):
        await venues.edit_resource(club.ctx, club.venue.id, club.courts[0].id, own, None)


async def test_every_field_of_a_resource_comes_back_as_it_was_given(venues: VenuesService, club, make) -> None:
    given = make.court(
        "Whole", surface="artificial_grass", people={Purpose.MATCH: (2, 4)}, slot_min=30, durations_min=[60, 90],
        buffer_before_min=5, buffer_after_min=10, lead_min=30, horizon_days=14, part_ids=[c.id for c in club.courts], position=9,
    )  # fmt: skip
    made = await venues.add_resource(club.ctx, club.venue.id, given)
    read = (await venues.book(GUEST, club.venue.id)).resource(made.id)
    assert read == made
    for field in given.__struct_fields__:
        assert getattr(read, field) == getattr(given, field)


async def test_a_removed_resource_leaves_lists_and_stays_in_the_book(venues: VenuesService, club, make) -> None:
    a, b = club.courts
    whole = await venues.add_resource(club.ctx, club.venue.id, make.court("Whole", part_ids=[a.id]))
    with pytest.raises(ResourceInUse):
        await venues.remove_resource(club.ctx, club.venue.id, a.id)
    await venues.remove_resource(club.ctx, club.venue.id, b.id)
    page = await venues.resources(club.ctx, club.venue.id, 10, None)
    assert [r.id for r in page.items] == [whole.id, a.id]
    gone = (await venues.book_of_resource(GUEST, b.id)).resource(b.id)
    assert (gone.active, gone.removed, gone.name) == (False, True, b.name)
    for again in (
        venues.remove_resource(club.ctx, club.venue.id, b.id),
        venues.edit_resource(club.ctx, club.venue.id, b.id, ResourcePatch(active=True), None),
        venues.resource(club.ctx, club.venue.id, b.id),
    ):
        with pytest.raises(NotFound):
            await again
    await venues.remove_resource(club.ctx, club.venue.id, whole.id)
    await venues.remove_resource(club.ctx, club.venue.id, a.id)


async def test_there_is_a_limit_to_everything(venues: VenuesService, club, make, monkeypatch) -> None:
    monkeypatch.setattr("forecourt.modules.venues.service.venues.MAX_RESOURCES", 2)
    monkeypatch.setattr("forecourt.modules.venues.service.venues.MAX_VENUES", 1)
    monkeypatch.setattr("forecourt.modules.venues.service.venues.MAX_CLOSURES", 0)
    for one_more in (
        venues.add_resource(club.ctx, club.venue.id, make.court("Third")),
        venues.create_venue(club.ctx, make.padel("Second")),
        venues.close(club.ctx, club.venue.id, NewClosure("Repairs", holiday=True)),
    ):
        with pytest.raises(Invalid, match="at most"):
            await one_more


async def test_lists_for_editors_page_without_gaps(venues: VenuesService, club, make) -> None:
    for name in ("B", "A", "B"):
        await venues.create_venue(club.ctx, make.padel(name, listed=False))
    names, cursor = [], None
    while True:
        page = await venues.venues(club.ctx, 2, cursor)
        names += [v.name for v in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert names == ["A", "B", "B", "River Padel Club"]
    first = await venues.resources(club.ctx, club.venue.id, 1, None)
    second = await venues.resources(club.ctx, club.venue.id, 1, first.next_cursor)
    assert [*first.items, *second.items] == club.courts
    assert second.next_cursor is None


# --- prices and closures


async def test_prices_are_checked_and_say_where(venues: VenuesService, club, rival, make) -> None:
    euros = msgspec.structs.replace(make.hourly(1), amount=Money(1, "EUR"))
    for rule, path in (
        (euros, "rules[1].amount.currency"),
        (make.hourly(1, resource_ids=[rival.courts[0].id]), "rules[1].resource_ids"),
    ):
        with pytest.raises(Invalid) as refused:
            await venues.set_prices(club.ctx, club.venue.id, PriceList([make.hourly(1), rule]), None)
        assert path_of(refused) == path
    assert (await venues.prices(club.ctx, club.venue.id)).version == 2


async def test_a_preview_says_which_rule_wins_when(venues: VenuesService, club) -> None:
    period = Period(datetime(2026, 12, 1, 11, tzinfo=UTC), datetime(2026, 12, 1, 13, tzinfo=UTC))
    court = club.courts[0].id

    async def preview(**more: object):
        asked = {"purpose": Purpose.MATCH, "team_size": 4, "member_tier": None} | more
        return await venues.preview_price(club.ctx, club.venue.id, court, period, **asked)

    found = await preview()
    assert found.total == Money(2500 + 4000, "GBP")
    assert [(s.rule, s.amount.amount, s.local_start.hour) for s in found.segments] == [(1, 2500, 11), (0, 4000, 12)]
    with pytest.raises(CapacityExceeded):
        await preview(team_size=5)


async def test_a_closure_enters_the_book_and_leaves_it(venues: VenuesService, club) -> None:
    repairs = await venues.close(
        club.ctx, club.venue.id, NewClosure("Repairs", DateRange(date(2026, 12, 24), date(2026, 12, 26)))
    )
    holidays = await venues.close(club.ctx, club.venue.id, NewClosure("Holidays", holiday=True))
    assert (await venues.book(GUEST, club.venue.id)).closures == [repairs, holidays]
    assert await venues.closures(club.ctx, club.venue.id) == [repairs, holidays]
    await venues.reopen(club.ctx, club.venue.id, repairs.id)
    assert (await venues.book(GUEST, club.venue.id)).closures == [holidays]
    with pytest.raises(NotFound):
        await venues.reopen(club.ctx, club.venue.id, repairs.id)
    with pytest.raises(Invalid):
        await venues.close(club.ctx, club.venue.id, NewClosure("Never"))


# --- what is said


async def test_every_edit_is_said_with_what_changed(venues: VenuesService, club, db, make) -> None:
    id, court = club.venue.id, club.courts[0]
    said = len(await written(db, club.organisation.id))

    async def news() -> list[dict]:
        nonlocal said
        all_ = await written(db, club.organisation.id)
        new, said = all_[said:], len(all_)
        return new

    await venues.edit_venue(club.ctx, id, VenuePatch(name="New", description="x" * 500), None)
    (changed,) = await news()
    book_version = (await venues.book_version(GUEST, [id]))[id]
    assert (changed["event"], changed["version"]) == ("venue.changed", book_version)
    assert changed["changes"][0] == {"field": "name", "before": '"River Padel Club"', "after": '"New"'}
    assert len(changed["changes"][1]["after"]) == 200

    await venues.edit_resource(club.ctx, id, court.id, ResourcePatch(active=False), None)
    assert [(e["event"], e.get("active")) for e in await news()] == [("venue.changed", None), ("resource.changed", False)]
    await venues.add_resource(club.ctx, id, make.court("New"))
    assert [e["event"] for e in await news()] == ["venue.changed", "resource.created", "resource.changed"]
    await venues.set_prices(club.ctx, id, PriceList([make.hourly(9)]), None)
    assert [e["event"] for e in await news()] == ["venue.changed", "venue.prices_changed"]
    closure = await venues.close(club.ctx, id, NewClosure("Holidays", holiday=True))
    await venues.reopen(club.ctx, id, closure.id)
    assert [e["event"] for e in await news() if e["event"] != "venue.changed"] == ["venue.closure_added", "venue.closure_removed"]
    await venues.edit_policies(club.ctx, PoliciesPatch(lead_min=7), None)
    events = await news()
    assert [e["event"] for e in events] == ["organisation.changed", "organisation.policies_changed", "venue.changed"]
    assert events[1]["changes"] == [{"field": "lead_min", "before": "0", "after": "7"}]


async def test_a_refused_edit_leaves_nothing_behind(venues: VenuesService, club, db) -> None:
    before = await written(db, club.organisation.id), await venues.book_version(GUEST, [club.venue.id])
    with pytest.raises(Invalid):
        await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(timezone="Mars/Olympus"), None)
    assert (await written(db, club.organisation.id), await venues.book_version(GUEST, [club.venue.id])) == before


async def test_without_a_store_of_files_a_photo_is_refused_and_everything_else_goes_on(db: Database, clock, owners, club) -> None:
    plain = VenuesService(db.module("venues"), clock, Cache(None, Metrics()), owners)
    with pytest.raises(Invalid) as refused:
        await plain.edit_venue(club.ctx, club.venue.id, VenuePatch(photo_ids=[new_id()]), None)
    assert refused.value.errors[0].path == "photo_ids"
    assert (await plain.edit_venue(club.ctx, club.venue.id, VenuePatch(name="New", photo_ids=[]), None)).name == "New"


async def test_a_photo_that_somebody_removed_meanwhile_is_not_shown_again(venues: VenuesService, club, monkeypatch) -> None:
    photo = await venues.take_photo(club.ctx, samples.picture(), "court.png", "")
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(photo_ids=[photo]), None)
    stale = await venues.fresh(club.ctx, club.venue.id)
    await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(photo_ids=[]), None)

    async def read_before(ctx: object, venue_id: object) -> object:
        return stale

    monkeypatch.setattr(venues, "fresh", read_before)
    with pytest.raises(Invalid) as refused:
        await venues.edit_venue(club.ctx, club.venue.id, VenuePatch(photo_ids=[photo]), None)
    assert refused.value.errors[0].path == "photo_ids"
