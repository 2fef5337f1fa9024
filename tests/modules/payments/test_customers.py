"""A person's wallets and payments are looked for where they have any: that is noted with the first of them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import asyncpg
import pytest
from tests.modules.payments.conftest import Books, Club, gbp, guest_context

from forecourt.kernel.db import Database
from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.layout import ROOT
from forecourt.modules.payments.contract import Charge, InsufficientCredits, PayWith, PromoUse
from forecourt.modules.payments.service import PaymentsService


async def noted(db: Database, account_id: UUID) -> list[UUID]:
    """The organisations at which a person is known as a customer."""
    async with db.module("payments").read(guest_context(account_id)) as tx:
        return [r[0] for r in await tx.connection.fetch("select c.organisation_id from payments.customer c")]


def another_process(club: Club) -> PaymentsService:
    return PaymentsService(club.db.module("payments"), club.clock, Books(), club.people)  # type: ignore[arg-type]


async def test_credits_and_payments_of_several_organisations_are_found_by_whoever_knows_none_of_them(
    club: Club, other_club: Club, db: Database
) -> None:
    guest = new_id()
    await club.grant(guest, 5_000)
    there = await other_club.charge(guest, 1_000, PayWith.DESK)
    assert sorted(await noted(db, guest)) == sorted([club.org, other_club.org])
    reader = another_process(club)
    assert [w.organisation_id for w in await reader.own_wallets(guest_context(guest))] == [club.org]
    assert (await reader.own_payment(guest_context(guest), there.payment_id)).id == there.payment_id
    await other_club.grant(guest, 700)
    assert sum(w.balance.amount for w in await reader.own_wallets(guest_context(guest))) == 5_700


async def test_nobody_elses_payment_is_found_at_an_organisation_that_is_known(club: Club) -> None:
    guest, other = new_id(), new_id()
    theirs = await club.charge(guest, 1_000, PayWith.DESK)
    await club.charge(other, 1_000, PayWith.DESK)
    with pytest.raises(NotFound):
        await club.payments.own_payment(guest_context(other), theirs.payment_id)
    assert (await club.payments.own_payment(guest_context(guest), theirs.payment_id)).id == theirs.payment_id


async def test_a_charge_that_was_refused_notes_nobody(club: Club, db: Database) -> None:
    guest = new_id()
    with pytest.raises(InsufficientCredits):
        await club.charge(guest, 1_000)
    assert await noted(db, guest) == []
    await club.charge(guest, 1_000, PayWith.DESK)
    assert await noted(db, guest) == [club.org]


async def test_whoever_pays_nothing_with_credits_they_never_had_is_noted_and_finds_it(club: Club, db: Database) -> None:
    """A code that takes all of the price needs no wallet, and neither does a price of nothing."""
    guest, other = new_id(), new_id()
    code = await club.promo(value=100)
    free = await another_process(club).charge(club.ctx, charge_of(club, guest, 1_000, code.code))
    nothing = await another_process(club).charge(club.ctx, charge_of(club, other, 0, None))
    assert await noted(db, guest) == await noted(db, other) == [club.org]
    assert (await club.payments.own_payment(guest_context(guest), free.payment_id)).id == free.payment_id
    assert (await club.payments.own_payment(guest_context(other), nothing.payment_id)).id == nothing.payment_id


def charge_of(club: Club, guest: UUID, amount: int, code: str | None) -> Charge:
    promo = PromoUse(code, club.venue_id, club.clock.now(), 60) if code else None
    return Charge(
        payment_id=new_id(),
        organisation_id=club.org,
        account_id=guest,
        amount=gbp(amount),
        pay_with=PayWith.CREDITS,
        label="Court 1",
        promo=promo,
    )


@pytest.mark.parametrize("said", [False, True])
async def test_a_wallet_opened_by_hand_is_noted_unless_whoever_opens_it_says_that_they_do(
    club: Club, db: Database, admin_url: str, said: bool
) -> None:
    """What the release before this one does, and the control; what was left out then is filled in."""
    guest = new_id()
    async with db.module("payments").tx(club.ctx) as tx:
        await tx.connection.execute(f"set local forecourt.noted = '{guest if said else ''}'")
        await tx.connection.execute(
            "insert into payments.wallet (organisation_id, account_id, currency) values ($1, $2, 'GBP')", club.org, guest
        )
    assert await noted(db, guest) == ([] if said else [club.org])
    await fill_in(admin_url)
    assert await noted(db, guest) == [club.org]
    assert [w.organisation_id for w in await club.payments.own_wallets(guest_context(guest))] == [club.org]


async def fill_in(admin_url: str) -> Any:
    fill = (ROOT / "modules" / "payments" / "migrations" / "0006_fill_customers.sql").read_text()
    connection = await asyncpg.connect(admin_url)
    try:
        async with connection.transaction():
            await connection.execute(fill)
    finally:
        await connection.close()
