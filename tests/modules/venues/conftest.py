"""Two organisations with a club each, on the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.contracts import local
from forecourt.kernel.db import Database
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.modules.media.contract import Media
from forecourt.modules.media.service import MediaService, Quotas
from forecourt.modules.media.store import open_store
from forecourt.modules.venues.contract import (
    Location,
    NewOrganisation,
    NewResource,
    NewVenue,
    OpeningHours,
    Organisation,
    OrganisationKind,
    Per,
    PriceList,
    PriceRule,
    Resource,
    ResourceKind,
    Venue,
)
from forecourt.modules.venues.service import VenuesService

HOURS = OpeningHours(*[[("06:00", "23:00")]] * 7)


class Owners:
    """Identity, as far as this module asks: it remembers who was made owner of what."""

    def __init__(self) -> None:
        self.of: dict[UUID, UUID | None] = {}
        self.failure: Exception | None = None

    async def adopt(self, ctx: Context, organisation_id: UUID) -> None:
        if self.failure is not None:
            raise self.failure
        self.of[organisation_id] = ctx.account_id


class Club(msgspec.Struct):
    """An organisation with one venue of two courts, and its owner's context."""

    organisation: Organisation
    ctx: Context
    venue: Venue
    courts: list[Resource]


def person() -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id(), confirmed=True))


def padel(name: str = "River Padel Club", **more: object) -> NewVenue:
    fields = {"address": "1 Wharf Road, London", "city": "London", "location": Location(51.5, -0.12)} | more
    return NewVenue(name=name, timezone="Europe/London", opening_hours=HOURS, **fields)


def court(name: str = "Court 1", **more: object) -> NewResource:
    return NewResource(name, ResourceKind.COURT, **({"capacity": 4, "sport": "padel", "indoor": True} | more))


def hourly(pence: int, **more: object) -> PriceRule:
    return PriceRule(Per.HOUR, Money(pence, "GBP"), **more)


class Make:
    """Builds what tests are about. A fixture, because test files cannot import this one."""

    person = staticmethod(person)
    padel = staticmethod(padel)
    court = staticmethod(court)
    hourly = staticmethod(hourly)


@pytest.fixture
def make() -> Make:
    return Make()


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(datetime(2026, 11, 2, 9, tzinfo=UTC))


@pytest.fixture
def owners() -> Owners:
    return Owners()


@pytest.fixture
async def venues(db: Database, clock: FixedClock, owners: Owners, tmp_path: Path) -> AsyncIterator[VenuesService]:
    cache = Cache(None, Metrics())
    await cache.start()
    media = MediaService(db.module("media"), clock, open_store(None, tmp_path), Quotas(10**8, 10**8), b"secret")
    yield VenuesService(db.module("venues"), clock, cache, owners, media=local(Media, media))  # type: ignore[type-abstract]
    media.close()
    await cache.close()


async def found_club(venues: VenuesService, name: str = "River Padel") -> Club:
    founder = person()
    new = NewOrganisation(name, OrganisationKind.CLUB, "GB", "GBP", "Europe/London")
    organisation = await venues.found(founder, new)
    ctx = founder.within(organisation.id)
    venue = await venues.create_venue(ctx, padel())
    courts = [await venues.add_resource(ctx, venue.id, court(f"Court {i}", position=i)) for i in (1, 2)]
    await venues.set_prices(ctx, venue.id, PriceList([hourly(4000), hourly(2500, from_="06:00", to="12:00")]), None)
    return Club(organisation, ctx, venue, courts)


@pytest.fixture
async def club(venues: VenuesService) -> Club:
    return await found_club(venues)


@pytest.fixture
async def rival(venues: VenuesService) -> Club:
    return await found_club(venues, "Hill Tennis")
