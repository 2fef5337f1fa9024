"""Two clubs, their guests, and the till, on the real database."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.payments.contract import (
    Authorisation,
    Authorise,
    Charge,
    Grant,
    Lot,
    LotKind,
    NewPromoCode,
    PaymentResult,
    PayWith,
    PromoCode,
    PromoKind,
    PromoUse,
    Refund,
    RefundResult,
)
from forecourt.modules.payments.service import PaymentsService
from forecourt.modules.venues.contract import Organisation, OrganisationKind, OrganisationStatus

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)


class Books:
    """Venues, as far as this module asks: what currency an organisation counts in."""

    async def organisation(self, ctx: Context, id: UUID) -> Organisation:
        return Organisation(
            id=id,
            name="Club",
            kind=OrganisationKind.CLUB,
            country="GB",
            currency="GBP",
            timezone="Europe/London",
            locale="en",
            slug="club",
            status=OrganisationStatus.ACTIVE,
            created_at=NOW,
            version=1,
        )


class People:
    """Identity, as far as this module asks: everybody has an account, apart from `nobody`."""

    def __init__(self) -> None:
        self.nobody = new_id()

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [AccountCard(id, "Somebody", f"{id}@example.org", AccountStatus.ACTIVE) for id in ids if id != self.nobody]


def gbp(amount: int) -> Money:
    return Money(amount, "GBP")


def guest_context(account_id: UUID, organisation_id: UUID | None = None) -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=account_id, confirmed=True), organisation_id=organisation_id)


class Club:
    """An organisation's till."""

    def __init__(self, db: Database, clock: FixedClock) -> None:
        self.org = new_id()
        self.clock = clock
        self.db = db
        self.people = People()
        self.payments = PaymentsService(db.module("payments"), clock, Books(), self.people)  # type: ignore[arg-type]
        self.ctx = service_context("till", self.org)
        self.venue_id = new_id()

    async def grant(self, who: UUID, amount: int, *, days: int | None = None, kind: LotKind = LotKind.GRANTED) -> Lot:
        expires_at = None if days is None else self.clock.now() + timedelta(days=days)
        wish = Grant(
            lot_id=new_id(),
            organisation_id=self.org,
            account_id=who,
            amount=gbp(amount),
            kind=kind,
            reason="welcome",
            expires_at=expires_at,
        )
        return await self.payments.grant(self.ctx, wish)

    async def charge(
        self,
        who: UUID | None,
        amount: int,
        pay_with: PayWith = PayWith.CREDITS,
        *,
        payment_id: UUID | None = None,
        charge_id: UUID | None = None,
        code: str | None = None,
        duration_min: int = 60,
    ) -> PaymentResult:
        promo = PromoUse(code, self.venue_id, self.clock.now(), duration_min) if code else None
        return await self.payments.charge(
            self.ctx,
            Charge(
                payment_id=payment_id or new_id(),
                organisation_id=self.org,
                account_id=who,
                amount=gbp(amount),
                pay_with=pay_with,
                label="Court 1",
                promo=promo,
                charge_id=charge_id,
            ),
        )

    async def authorise(
        self, who: UUID | None, amount: int, *, id: UUID | None = None, code: str | None = None, days: int = 7
    ) -> Authorisation:
        promo = PromoUse(code, self.venue_id, self.clock.now(), 60) if code else None
        charge = Charge(
            payment_id=id or new_id(),
            organisation_id=self.org,
            account_id=who,
            amount=gbp(amount),
            pay_with=PayWith.CREDITS,
            label="Studio",
            promo=promo,
        )
        wish = Authorise(charge=charge, expires_at=self.clock.now() + timedelta(days=days))
        return await self.payments.authorise(self.ctx, wish)

    async def capture(self, authorisation_id: UUID) -> PaymentResult:
        return await self.payments.capture(self.ctx, self.org, authorisation_id)

    async def release(self, authorisation_id: UUID) -> Authorisation:
        return await self.payments.release(self.ctx, self.org, authorisation_id, "GBP")

    async def refund(self, payment_id: UUID, amount: int | None, refund_id: UUID | None = None) -> RefundResult:
        money = None if amount is None else gbp(amount)
        return await self.payments.refund(
            self.ctx,
            Refund(
                refund_id=refund_id or new_id(),
                payment_id=payment_id,
                organisation_id=self.org,
                amount=money,
                reason="cancelled",
            ),
        )

    async def promo(self, kind: PromoKind = PromoKind.PERCENT, value: int = 20, **rest: Any) -> PromoCode:
        new = NewPromoCode(code=f"C{uuid4().hex[:10]}", kind=kind, value=value, **rest)
        return await self.payments.make_promo(self.ctx, self.org, new)

    async def balance(self, who: UUID) -> int:
        return sum(w.balance.amount for w in await self.payments.balance(self.ctx, who))

    async def reserved(self, who: UUID) -> int:
        return sum(w.reserved.amount for w in await self.payments.balance(self.ctx, who))

    async def lots(self, who: UUID) -> dict[UUID, int]:
        return {lot.id: lot.remaining.amount for w in await self.payments.balance(self.ctx, who) for lot in w.lots}

    async def proven(self) -> None:
        """The books add up."""
        for line in (await self.payments.proof(self.ctx, self.org)).values():
            assert (line.sum, line.faults) == (0, [])


@pytest.fixture
def clock() -> FixedClock:
    return FixedClock(NOW)


@pytest.fixture
async def club(db: Database, clock: FixedClock) -> AsyncIterator[Club]:
    """Whatever a test does, the books add up afterwards."""
    club = Club(db, clock)
    yield club
    await club.proven()


@pytest.fixture
async def other_club(db: Database, clock: FixedClock) -> AsyncIterator[Club]:
    club = Club(db, clock)
    yield club
    await club.proven()


@pytest.fixture
def ana() -> Iterator[UUID]:
    yield new_id()


@pytest.fixture
def ben() -> Iterator[UUID]:
    yield new_id()


@pytest.fixture
async def admin(admin_url: str) -> AsyncIterator[Any]:
    """A superuser's connection: to arrange, and to try what even an owner may not do."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()
