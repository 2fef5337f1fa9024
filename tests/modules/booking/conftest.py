"""A small world on the real database: a club with two courts and a hall made of halves, its staff, its guests and its till."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from forecourt.kernel.cache import Cache
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.contracts import local
from forecourt.kernel.db import Database
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.modules.booking import slots
from forecourt.modules.booking.contract import BookingOut, FreeAt, NewBooking, PayWith
from forecourt.modules.booking.service import BookingService
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.payments.contract import Grant, LotKind, Payments
from forecourt.modules.payments.service import PaymentsService
from forecourt.modules.venues.contract import (
    Location,
    NewOrganisation,
    NewResource,
    NewVenue,
    OpeningHours,
    OrganisationKind,
    Per,
    PoliciesPatch,
    PriceList,
    PriceRule,
    Purpose,
    Resource,
    ResourceKind,
    Venues,
)
from forecourt.modules.venues.service import VenuesService

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
TOMORROW_TEN = datetime(2026, 6, 2, 9, tzinfo=UTC)
"""10:00 in London."""
ALL_DAY = [("00:00", "24:00")]
STAFF = frozenset(
    {
        "booking.read_any",
        "booking.create_any",
        "booking.update_any",
        "booking.cancel_any",
        "booking.approve",
        "booking.block",
        "venues.edit",
    }
)


@pytest.fixture(autouse=True)
def no_plan_of_another_test() -> None:
    """Day plans are kept by venue and version; books made by hand here have the same ones, whatever their hours."""
    slots.plans.clear()


class People:
    """Accounts by id and address, as far as booking asks."""

    def __init__(self) -> None:
        self.cards: dict[UUID, AccountCard] = {}

    def add(self, name: str) -> UUID:
        account_id = new_id()
        self.cards[account_id] = AccountCard(account_id, name, f"{account_id}@example.org", AccountStatus.ACTIVE)
        return account_id

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [self.cards[i] for i in ids if i in self.cards]

    async def account_by_email(self, ctx: Context, email: str) -> AccountCard | None:
        return next((c for c in self.cards.values() if c.email == email), None)

    async def adopt(self, ctx: Context, organisation_id: UUID) -> None:
        return None


class Heard:
    """What was announced."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []

    def announce(self, topic: str, data: bytes, type: str = "changed") -> None:
        self.said.append((topic, msgspec.json.decode(data)))


class World:
    """`guest` and `friend` are people with credits; `staff` works at the club; `stranger` is staff elsewhere."""

    def __init__(self, db: Database, clock: FixedClock) -> None:
        self.db = db
        self.clock = clock
        self.people = People()
        self.heard = Heard()
        self.metrics = Metrics()
        self.venues_service = VenuesService(db.module("venues"), clock, Cache(None, self.metrics), self.people)  # type: ignore[arg-type]
        self.venues: Venues = local(Venues, self.venues_service)  # type: ignore[type-abstract]
        self.till = PaymentsService(db.module("payments"), clock, self.venues, self.people)  # type: ignore[arg-type]
        self.payments: Payments = local(Payments, self.till)  # type: ignore[type-abstract]
        self.service = self.another_process()
        self.venues_service.availability = local(FreeAt, self.service)  # type: ignore[type-abstract]
        self.organisation_id: UUID
        self.venue_id: UUID
        self.court: Resource
        self.other_court: Resource
        self.left: Resource
        self.right: Resource
        self.hall: Resource

    def another_process(self, payments: Payments | None = None) -> BookingService:
        return BookingService(
            self.db.module("booking"),
            self.clock,
            self.venues,
            payments or self.payments,
            self.people,  # type: ignore[arg-type]
            self.heard,
            b"secret",
        )

    # --- who

    def as_person(self, account_id: UUID, **more: Any) -> Context:
        return Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id, confirmed=True), **more)

    def newcomer(self, name: str = "Guest", **more: Any) -> Context:
        return self.as_person(self.people.add(name), **more)

    async def rich(self, name: str = "Guest", amount: int = 100_000) -> Context:
        ctx = self.newcomer(name)
        await self.give(ctx, amount)
        return ctx

    async def give(self, ctx: Context, amount: int) -> None:
        assert ctx.account_id is not None
        await self.payments.grant(
            service_context("tests", self.organisation_id),
            Grant(
                lot_id=new_id(),
                organisation_id=self.organisation_id,
                account_id=ctx.account_id,
                amount=Money(amount, "GBP"),
                kind=LotKind.GRANTED,
                reason="a gift",
            ),
        )

    @property
    def staff(self) -> Context:
        return msgspec.structs.replace(self.newcomer("Staff"), organisation_id=self.organisation_id, permissions=STAFF)

    async def balance(self, ctx: Context) -> int:
        assert ctx.account_id is not None
        wallets = await self.payments.balance(ctx.within(self.organisation_id), ctx.account_id)
        return sum(w.balance.amount for w in wallets)

    # --- building

    async def build(self) -> World:
        owner = self.newcomer("Owner")
        name = f"Club {uuid4().hex[:8]}"
        made = await self.venues_service.found(owner, NewOrganisation(name, OrganisationKind.CLUB, "GB", "GBP", "Europe/London"))
        self.organisation_id = made.id
        self.owner = msgspec.structs.replace(owner, organisation_id=made.id, permissions=STAFF)
        self.venue_id = await self.add_venue("Europe/London")
        self.court = await self.add_resource("Court 1")
        self.other_court = await self.add_resource("Court 2")
        self.left = await self.add_resource("Left half", ResourceKind.ROOM)
        self.right = await self.add_resource("Right half", ResourceKind.ROOM)
        self.hall = await self.add_resource("Hall", ResourceKind.ROOM, part_ids=[self.left.id, self.right.id])
        await self.price(2000)
        return self

    async def add_venue(self, timezone: str) -> UUID:
        hours = OpeningHours(*([ALL_DAY] * 7))
        new = NewVenue(f"Hall {uuid4().hex[:6]}", "1 Road", Location(51.5, -0.12), timezone, hours)
        return (await self.venues_service.create_venue(self.owner, new)).id

    async def add_resource(
        self, name: str, kind: ResourceKind = ResourceKind.COURT, venue_id: UUID | None = None, **more: Any
    ) -> Resource:
        new = NewResource(name, kind, 4, **more)
        return await self.venues_service.add_resource(self.owner, venue_id or self.venue_id, new)

    async def price(self, per_hour: int, venue_id: UUID | None = None, rules: list[PriceRule] | None = None) -> None:
        wanted = rules or [PriceRule(Per.HOUR, Money(per_hour, "GBP"))]
        await self.venues_service.set_prices(self.owner, venue_id or self.venue_id, PriceList(wanted), None)
        self.service.books.drop(venue_id or self.venue_id)

    async def policies(self, **fields: Any) -> None:
        await self.venues_service.edit_policies(self.owner, PoliciesPatch(**fields), None)
        self.service.books.drop(self.venue_id)

    # --- acting

    def wish(self, **more: Any) -> NewBooking:
        fields: dict[str, Any] = {"resource_id": self.court.id, "start": TOMORROW_TEN, "duration_min": 60}
        return NewBooking(**(fields | more))

    async def book(self, ctx: Context, **more: Any) -> BookingOut:
        return await self.service.book(ctx, self.wish(**({"pay_with": PayWith.CREDITS} | more)))

    async def hold(self, ctx: Context, **more: Any) -> BookingOut:
        return await self.service.book(ctx, self.wish(**more))

    async def keep_time(self, at: datetime | None = None) -> int:
        if at is not None:
            self.clock.set(at)
        return await self.service.keep_time(service_context("booking.keep_time"))

    # --- looking

    async def sql(self, statement: str, *args: object) -> list[Any]:
        """What the tables of this organisation hold, past the service."""
        about = service_context("tests", self.organisation_id)
        async with self.db.module("booking").tx(about) as tx:
            return await tx.connection.fetch(statement, *args)

    async def claims(self, resource: Resource | None = None) -> list[Any]:
        return await self.sql(
            "select resource_id, starts_at, ends_at, booking_id, block_id, expires_at from booking.occupancy"
            " where organisation_id = $1 and ($2::uuid is null or resource_id = $2) order by starts_at, resource_id",
            self.organisation_id,
            None if resource is None else resource.id,
        )

    async def overlaps(self) -> int:
        """Pairs of claims that share an instant on a resource, by brute force."""
        rows = await self.claims()
        return sum(
            a["resource_id"] == b["resource_id"] and a["starts_at"] < b["ends_at"] and b["starts_at"] < a["ends_at"]
            for i, a in enumerate(rows)
            for b in rows[i + 1 :]
        )


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def world(db: Database, clock: FixedClock) -> World:
    return await World(db, clock).build()


@pytest.fixture
async def make_world(clock: FixedClock) -> AsyncIterator[Callable[[Database], Any]]:
    """The same world on a database of the test's own."""

    async def make(database: Database) -> World:
        return await World(database, clock).build()

    yield make


@pytest.fixture
def words() -> SimpleNamespace:
    """Names that tests use often."""
    return SimpleNamespace(NOW=NOW, TEN=TOMORROW_TEN, HOUR=timedelta(hours=1), Purpose=Purpose)
