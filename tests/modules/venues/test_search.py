"""Looking for venues among many, some of them not to be found. A database of its own: a search sees all organisations."""

from __future__ import annotations

import math
import random
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from uuid import UUID

import pytest

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.modules.venues import queries
from forecourt.modules.venues.contract import (
    Location,
    NewOrganisation,
    OrganisationKind,
    OrganisationStatus,
    PriceList,
    ResourcePatch,
    Venue,
    VenuePatch,
    read_point,
)
from forecourt.modules.venues.listing import one_typo_apart, words_of
from forecourt.modules.venues.queries import Wanted
from forecourt.modules.venues.service import VenuesService
from forecourt.modules.venues.service.search import FreeTime, Sort, SuggestionKind

GUEST = Context()
HERE = Location(51.5, -0.12)
SIX = datetime(2026, 12, 1, 18, tzinfo=UTC)


class Diary:
    """Booking, as far as a search asks: which venues have a place free. It counts how many it was asked about."""

    def __init__(self) -> None:
        self.free: set[UUID] = set()
        self.asked: list[UUID] = []

    async def free_venues(
        self, ctx: Context, venue_ids: list[UUID], start: datetime, duration_min: int, sport: str | None = None
    ) -> list[UUID]:
        self.asked += venue_ids
        return [id for id in venue_ids if id in self.free]

    async def rearrange(self, ctx: Context, venue_id: UUID, resource_ids: list[UUID], version: int) -> list[UUID]:
        return []


class Town:
    """An organisation to put venues into."""

    def __init__(self, venues: VenuesService, diary: Diary, ctx: Context) -> None:
        self.venues, self.diary, self.ctx = venues, diary, ctx

    async def venue(self, new: object, *courts: object, hourly: object | None = None) -> Venue:
        made = await self.venues.create_venue(self.ctx, new)
        for court in courts:
            await self.venues.add_resource(self.ctx, made.id, court)
        if hourly is not None:
            await self.venues.set_prices(self.ctx, made.id, PriceList([hourly]), None)
        return made

    async def found(self, wanted: Wanted | None = None, **more: object) -> list[UUID]:
        page = await self.venues.search(GUEST, wanted or Wanted(), **more)
        return [card.id for card in page.items]


@pytest.fixture
async def town(fresh_database, owners, make) -> AsyncIterator[Town]:
    database = await fresh_database.connect()
    diary = Diary()
    venues = VenuesService(database.module("venues"), SystemClock(), Cache(None, Metrics()), owners, diary)
    founder = make.person()
    founded = await venues.found(founder, NewOrganisation("Town", OrganisationKind.CLUB, "GB", "GBP", "Europe/London"))
    yield Town(venues, diary, founder.within(founded.id))


def kilometres(a: Location, b: Location) -> float:
    """Along the sphere that earthdistance uses (haversine)."""
    la, lb = math.radians(a.lat), math.radians(b.lat)
    h = math.sin((la - lb) / 2) ** 2 + math.cos(la) * math.cos(lb) * math.sin(math.radians(a.lon - b.lon) / 2) ** 2
    return 2 * 6378.168 * math.asin(math.sqrt(h))


async def test_nearest_first_and_within_the_radius_like_brute_force(town: Town, make) -> None:
    rng = random.Random(7)
    made = [
        await town.venue(make.padel(f"Club {i}", location=Location(51.5 + rng.gauss(0, 0.3), -0.12 + rng.gauss(0, 0.5))))
        for i in range(60)
    ]
    far = {v.id: kilometres(HERE, v.location) for v in made}
    expected = sorted((id for id in far if far[id] <= 30), key=lambda id: far[id])
    assert 5 < len(expected) < 55
    wanted = Wanted(near=HERE, radius_km=30)
    page = await town.venues.search(GUEST, wanted, limit=100)
    assert [card.id for card in page.items] == expected
    for card in page.items:
        assert card.distance_km == pytest.approx(far[card.id], abs=0.01)
    assert page.next_cursor is None
    seen: list[UUID] = []
    cursor = None
    while True:
        page = await town.venues.search(GUEST, wanted, limit=7, cursor=cursor)
        seen += [card.id for card in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == expected


async def test_the_nearest_that_others_ask_for_are_listed_have_the_sport_and_are_no_more_than_asked(town: Town, make) -> None:
    at = [Location(51.5 + step / 100, -0.12) for step in range(1, 6)]
    padel = [await town.venue(make.padel(f"Club {i}", location=where), make.court("Court")) for i, where in enumerate(at)]
    await town.venue(make.padel("Nothing to play on", location=HERE))
    hidden = await town.venue(make.padel("Hidden", location=HERE), make.court("Court"))
    await town.venues.edit_venue(town.ctx, hidden.id, VenuePatch(listed=False), None)
    assert await town.venues.near(GUEST, HERE, 100, "padel", 100) == [v.id for v in padel]
    assert await town.venues.near(GUEST, HERE, 100, "padel", 2) == [v.id for v in padel[:2]]
    assert await town.venues.near(GUEST, HERE, 2.5, "padel", 100) == [v.id for v in padel[:2]]
    assert await town.venues.near(GUEST, HERE, 100, "chess", 100) == []
    assert len(await town.venues.near(GUEST, HERE, 100, None, 100)) == 6
    assert await town.venues.near(GUEST, HERE, 100, None, -1) == []


@pytest.mark.parametrize("text", ["", "51.5", "91,0", "0,181", "a,b", "51.5,-0.12,3", "1e3,0", "٥١,٠", "nan,nan"])
def test_what_is_no_point_is_not_read_as_one(text: str) -> None:
    assert read_point("51.5, -0.12") == HERE, "or the test proves nothing"
    assert read_point(text) is None


async def test_the_date_line_and_the_poles_do_not_hide_what_is_near(town: Town, make) -> None:
    fiji = await town.venue(make.padel("East of the line", location=Location(-17, 179.99)))
    pole = await town.venue(make.padel("Pole", location=Location(89.99, 10)))
    assert await town.found(Wanted(near=Location(-17, -179.99), radius_km=5)) == [fiji.id]
    assert await town.found(Wanted(near=Location(89.99, -170), radius_km=5)) == [pole.id]


@pytest.mark.parametrize("sort", [Sort.DISTANCE, Sort.PRICE, Sort.NAME, Sort.RELEVANCE])
async def test_pages_neither_repeat_nor_miss_while_venues_are_added(town: Town, make, sort: Sort) -> None:
    wanted = Wanted(near=HERE)
    made = [
        await town.venue(
            make.padel(f"Club {i % 4}", location=Location(51.5, -0.12 + i % 3 / 100)), hourly=make.hourly(100 * (i % 3))
        )
        for i in range(9)
    ]
    seen: list[UUID] = []
    cursor = None
    for turn in range(20):
        page = await town.venues.search(GUEST, wanted, sort=sort, limit=2, cursor=cursor)
        seen += [card.id for card in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
        await town.venue(make.padel("Aaa", location=HERE), hourly=make.hourly(1)) if turn % 2 else None
    assert len(seen) == len(set(seen))
    assert {v.id for v in made} <= set(seen)


async def test_unlisted_venues_and_those_of_suspended_organisations_are_not_found(town: Town, make) -> None:
    open_ = await town.venue(make.padel("Open"))
    hidden = await town.venue(make.padel("Hidden", listed=False))
    assert await town.found() == [open_.id]
    assert await town.found(text="hidden") == []
    assert await town.venues.suggest(GUEST, "hid") == []
    cards = await town.venues.cards(GUEST, [hidden.id, new_id(), open_.id])
    assert [(c.id, c.listed) for c in cards] == [(hidden.id, False), (open_.id, True)]
    await town.venues.edit_venue(town.ctx, hidden.id, VenuePatch(listed=True), None)
    assert set(await town.found()) == {open_.id, hidden.id}
    organisation_id = town.ctx.organisation_id
    await town.venues.set_standing(GUEST, organisation_id, OrganisationStatus.SUSPENDED, "unpaid")
    assert await town.found() == []
    await town.venues.set_standing(GUEST, organisation_id, OrganisationStatus.ACTIVE, "paid")
    assert set(await town.found()) == {open_.id, hidden.id}


async def test_every_condition_narrows(town: Town, make) -> None:
    padel = await town.venue(
        make.padel("Padel", amenities=["parking", "showers"]), make.court(indoor=True), hourly=make.hourly(3000)
    )
    tennis = await town.venue(
        make.padel("Tennis", amenities=["parking"]), make.court(sport="tennis", indoor=False), hourly=make.hourly(1500)
    )
    bare = await town.venue(make.padel("Bare"))
    assert set(await town.found()) == {padel.id, tennis.id, bare.id}
    assert await town.found(Wanted(sport="padel")) == [padel.id]
    assert set(await town.found(Wanted(amenities=["parking"]))) == {padel.id, tennis.id}
    assert await town.found(Wanted(amenities=["parking", "showers"])) == [padel.id]
    assert await town.found(Wanted(indoor=True)) == [padel.id]
    assert await town.found(Wanted(outdoor=True)) == [tennis.id]
    assert await town.found(Wanted(max_minor=2000)) == [tennis.id]
    assert await town.found(Wanted(min_minor=2000)) == [padel.id]
    assert await town.found(Wanted(currency="EUR")) == []
    assert await town.found(Wanted(organisation_id=new_id())) == []
    assert await town.found(sort=Sort.PRICE) == [tennis.id, padel.id, bare.id]
    assert await town.found(sort=Sort.NAME) == [bare.id, padel.id, tennis.id]


async def test_a_court_that_is_switched_off_takes_its_sport_from_the_card(town: Town, make) -> None:
    venue = await town.venue(make.padel("Both"), make.court("A"), make.court("B", sport="squash"))
    (card,) = await town.venues.cards(GUEST, [venue.id])
    assert card.sports == ["padel", "squash"]
    squash = (await town.venues.book(GUEST, venue.id)).resources[1]
    await town.venues.edit_resource(town.ctx, venue.id, squash.id, ResourcePatch(active=False), None)
    (card,) = await town.venues.cards(GUEST, [venue.id])
    assert card.sports == ["padel"]
    assert await town.found(Wanted(sport="squash")) == []


@pytest.mark.parametrize(
    "typed", ["padel", "PADEL", "pad", "padle", "pabel", "padell", "paddel", "apdel", "river padle", "pad:*", "Ríver", "londen"]
)
async def test_beginnings_accents_and_one_typo_are_forgiven(town: Town, make, typed: str) -> None:
    river = await town.venue(make.padel("River Padel Club"))
    await town.venue(make.padel("Hill Tennis", address="9 High Street", city="Leeds"))
    assert await town.found(text=typed) == [river.id]


@pytest.mark.parametrize("typed", ["paedl x", "tennis river", "pzzel", "!!!", "'", "a & b", "\\"])
async def test_two_typos_and_words_of_two_venues_find_nothing(town: Town, make, typed: str) -> None:
    await town.venue(make.padel("River Padel Club"))
    await town.venue(make.padel("Hill Tennis", address="9 High Street", city="Leeds"))
    assert await town.found(text=typed) == []


async def test_a_place_is_found_by_the_words_of_its_address_and_by_nobody_elses(town: Town, make) -> None:
    alfama = make.padel("Casa Lioz", address="Rua do Limoeiro 27, Alfama, 1100-333 Lisboa", city="Lisboa")
    lioz = await town.venue(alfama, make.court("Court"))
    quay = await town.venue(make.padel("Sail Loft", address="18 Shad Thames, Bermondsey, London SE1 2YR"), make.court("Court"))
    typed = {
        lioz.id: ["Alfama", "alf", "Alfma", "Limoeiro", "rua do limoeiro 27", "1100-333", "Lisboa", "Lisbon", "padel, Alfama"],
        quay.id: ["Bermondsey", "bermondsay", "Shad Thames", "SE1 2YR", "London", "sail loft bermondsey"],
    }
    assert {text: await town.found(text=text) for texts in typed.values() for text in texts} == {
        text: [id] for id, texts in typed.items() for text in texts
    }
    assert await town.found(text="Chiado") == await town.found(text="Alfama London") == []


async def test_a_name_that_fits_comes_before_an_address_that_does(town: Town, make) -> None:
    street = await town.venue(make.padel("Club Alpha", address="1 River Street"))
    name = await town.venue(make.padel("Zulu River"))
    typo = await town.venue(make.padel("Rivers Edge"))
    assert await town.found(text="river") == [name.id, typo.id, street.id]


async def test_suggestions_begin_with_what_was_typed(town: Town, make) -> None:
    london = await town.venue(make.padel("London Padel"))
    other = await town.venue(make.padel("Padel London", city="Londres"))
    found = await town.venues.suggest(GUEST, "lon")
    assert [(s.kind, s.text) for s in found] == [
        (SuggestionKind.CITY, "London"),
        (SuggestionKind.CITY, "Londres"),
        (SuggestionKind.VENUE, "London Padel"),
        (SuggestionKind.VENUE, "Padel London"),
    ]
    assert [s.venue_id for s in found[2:]] == [london.id, other.id]
    assert [s.text for s in await town.venues.suggest(GUEST, "padle")] == ["London Padel", "Padel London"]
    assert await town.venues.suggest(GUEST, " !") == []


async def test_free_at_a_time_looks_on_until_the_page_is_full(town: Town, make, monkeypatch) -> None:
    monkeypatch.setattr("forecourt.modules.venues.service.search.BATCHES", (10, 20, 30))
    made = [await town.venue(make.padel(f"Club {i:03}")) for i in range(70)]
    free = [made[i].id for i in (3, 20, 21, 69)]
    town.diary.free = set(free)
    when = FreeTime(SIX, 60)
    page = await town.venues.search(GUEST, Wanted(), free=when, limit=2)
    assert [c.id for c in page.items] == free[:2]
    assert town.diary.asked == [v.id for v in made[:30]], "ten, then twenty; the third of them is the next page's"
    rest = await town.venues.search(GUEST, Wanted(), free=when, limit=2, cursor=page.next_cursor)
    assert [c.id for c in rest.items] == free[2:]
    assert rest.next_cursor is None


async def test_free_at_a_time_ends_after_a_bounded_number_of_candidates(town: Town, make, monkeypatch) -> None:
    monkeypatch.setattr("forecourt.modules.venues.service.search.BATCHES", (3, 5, 7))
    made = [await town.venue(make.padel(f"Club {i:03}")) for i in range(20)]
    town.diary.free = {made[19].id}
    page = await town.venues.search(GUEST, Wanted(), free=FreeTime(SIX, 60), limit=1)
    assert page.items == []
    assert len(town.diary.asked) == 15
    page = await town.venues.search(GUEST, Wanted(), free=FreeTime(SIX, 60), limit=1, cursor=page.next_cursor)
    assert [c.id for c in page.items] == [made[19].id]


async def test_a_search_that_makes_no_sense_is_refused(town: Town, make) -> None:
    await town.venue(make.padel())
    with pytest.raises(Invalid) as refused:
        await town.venues.search(GUEST, Wanted(), sort=Sort.DISTANCE)
    assert refused.value.errors[0].path == "sort"
    page = await town.venues.search(GUEST, Wanted(), sort=Sort.NAME, cursor=None)
    assert page.items
    with pytest.raises(Invalid):
        await town.venues.search(GUEST, Wanted(), cursor="AAAA")


async def test_a_search_uses_one_statement_and_its_index(town: Town, make, fresh_database) -> None:
    for i in range(30):
        await town.venue(make.padel(f"Club {i}"))
    connection = await fresh_database.admin()
    await connection.execute("analyze venues.listing")
    await connection.execute("set enable_seqscan = off; set plan_cache_mode = force_generic_plan; set role fc_venues")
    statement = await connection.prepare(queries.BY_DISTANCE.sql)
    plan = str(await statement.explain(*Wanted(near=HERE).parameters(), None, None, 21))
    await connection.close()
    assert "listing_by_point" in plan
    assert "Order By" in plan


def test_one_typo_is_one_typo() -> None:
    for other in ("padle", "pabel", "padell", "pdel", "padel", "apdel", "xpadel", "padem"):
        assert one_typo_apart("padel", other), other
        assert one_typo_apart(other, "padel"), other
    for other in ("pedal", "pad", "palde", "", "lepad", "paddle", "adlep"):
        assert not one_typo_apart("padel", other), other


def test_words_are_folded_and_bounded() -> None:
    assert words_of("Café  ÎLE-de_France 24h", "café") == ["cafe", "ile", "de", "france", "24h"]
    assert len(words_of(" ".join(map(str, range(500))))) == 60
    assert words_of("x" * 100) == ["x" * 40]
