"""Payments over HTTP: a person's wallets and payments, and what staff do with credits, refunds, codes and the ledger."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, PreconditionFailed
from forecourt.kernel.http.operation import Api, By, Keyed, Limit, get, patch, post, staff
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Page, Paged
from forecourt.modules.payments.contract import (
    Code,
    DurationMin,
    Grant,
    GrantMismatch,
    Instant,
    Lot,
    NewPromoCode,
    PaymentState,
    PromoCode,
    PromoCodePatch,
    PromoCodeTaken,
    PromoDiscount,
    PromoRejected,
    PromoUse,
    Reason,
    Refund,
    RefundExceedsPayment,
    RefundMismatch,
    RefundResult,
    Reversal,
    Wallet,
)
from forecourt.modules.payments.queries import EntryRow, WalletEntry
from forecourt.modules.payments.service import PaymentsService, ProofLine


class GrantBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    account_id: UUID
    amount: Money
    reason: Reason
    expires_at: Instant | None = None


class ReverseBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    reason: Reason


class RefundBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Without `amount` everything that is left is given back."""

    reason: Reason
    amount: Money | None = None


class CheckBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    organisation_id: UUID
    code: Code
    venue_id: UUID
    start: Instant
    duration_min: DurationMin
    total: Money


class EntriesQuery(Paged, rename={"from_": "from"}):
    account: Annotated[str, Meta(max_length=60, description="revenue, wallet:<account id>, …")] | None = None
    from_: Instant | None = None
    to: Instant | None = None


class TakenBack(msgspec.Struct, frozen=True):
    amount: Money


class PaymentsApi(Api):
    tag = "Payments"

    def __init__(self, service: PaymentsService) -> None:
        self.service = service

    @get("/v1/wallets")
    async def wallets(self, ctx: Context) -> list[Wallet]:
        """Your credits at every organisation, lots in the order in which they are spent."""
        return await self.service.own_wallets(ctx)

    @get("/v1/wallets/{org_id}/history")
    async def history(self, ctx: Context, org_id: UUID, query: Paged) -> Page[WalletEntry]:
        """What happened to your credits at an organisation, newest first."""
        return await self.service.history(ctx, org_id, query.cursor, query.limit)

    @get("/v1/payments/{id}")
    async def payment(self, ctx: Context, id: UUID) -> PaymentState:
        """One of your payments: its charges, what was given back, what is due at the desk."""
        return await self.service.own_payment(ctx, id)

    @get("/v1/orgs/{org_id}/payments/{id}", access=staff("payments.read"))
    async def payment_for_staff(self, ctx: Context, org_id: UUID, id: UUID) -> PaymentState:
        """A payment made here."""
        return await self.service.payment(ctx, org_id, id)

    @post(
        "/v1/orgs/{org_id}/payments/{id}/refund",
        status=201,
        access=staff("payments.refund"),
        keyed=Keyed.YES,
        problems=(RefundExceedsPayment, RefundMismatch),
    )
    async def refund(self, ctx: Context, org_id: UUID, id: UUID, body: RefundBody) -> RefundResult:
        """Give back a payment or a part of it, to where it came from.

        Credits return to the lots they were spent from; one that has expired is good for 30 more days. What was received at the
        desk is handed back there; what is still due there is due no longer.
        """
        if body.amount is not None and body.amount.amount < 1:
            raise Invalid.field("amount.amount", "at least 1")
        refund_id = ctx.idempotency_id or new_id()
        return await self.service.refund(
            ctx, Refund(refund_id=refund_id, payment_id=id, organisation_id=org_id, amount=body.amount, reason=body.reason)
        )

    @post("/v1/orgs/{org_id}/payments/{id}/settle", access=staff("booking.check_in"), keyed=Keyed.YES)
    async def settle(self, ctx: Context, org_id: UUID, id: UUID) -> PaymentState:
        """Note that what is due was received, and what is owed was handed back, at the desk."""
        return await self.service.settle_desk(ctx, org_id, id)

    @post(
        "/v1/orgs/{org_id}/credits/grant",
        status=201,
        access=staff("payments.grant_credits"),
        keyed=Keyed.YES,
        problems=(GrantMismatch,),
    )
    async def grant(self, ctx: Context, org_id: UUID, body: GrantBody) -> Lot:
        """Give someone credits. An `account_id` that nobody has is refused."""
        return await self.service.grant_by_staff(
            ctx,
            Grant(
                lot_id=ctx.idempotency_id or new_id(),
                organisation_id=org_id,
                account_id=body.account_id,
                amount=body.amount,
                reason=body.reason,
                expires_at=body.expires_at,
            ),
        )

    @post("/v1/orgs/{org_id}/credits/{lot_id}/reverse", access=staff("payments.grant_credits"), keyed=Keyed.YES)
    async def reverse(self, ctx: Context, org_id: UUID, lot_id: UUID, body: ReverseBody) -> TakenBack:
        """Take back what is left of credits that should not have been given."""
        reversal_id = ctx.idempotency_id or new_id()
        return TakenBack(
            await self.service.reverse(
                ctx, Reversal(reversal_id=reversal_id, lot_id=lot_id, organisation_id=org_id, reason=body.reason)
            )
        )

    @get("/v1/orgs/{org_id}/promo-codes", access=staff("payments.manage"))
    async def promo_codes(self, ctx: Context, org_id: UUID, query: Paged) -> Page[PromoCode]:
        """Promo codes, by code."""
        return await self.service.promos(ctx, org_id, query.cursor, query.limit)

    @post(
        "/v1/orgs/{org_id}/promo-codes",
        status=201,
        access=staff("payments.manage"),
        keyed=Keyed.YES,
        problems=(PromoCodeTaken,),
    )
    async def make_promo_code(self, ctx: Context, org_id: UUID, body: NewPromoCode) -> PromoCode:
        """Make a promo code."""
        return await self.service.make_promo(ctx, org_id, body)

    @patch("/v1/orgs/{org_id}/promo-codes/{id}", access=staff("payments.manage"), problems=(PreconditionFailed,))
    async def change_promo_code(
        self, ctx: Context, org_id: UUID, id: UUID, body: PromoCodePatch, if_match: int | None
    ) -> PromoCode:
        """Change when, where and how often a promo code can be used, or switch it off."""
        return await self.service.change_promo(ctx, org_id, id, body, if_match)

    @post("/v1/promo-codes/check", problems=(PromoRejected,), limits=(Limit("30/minute", By.ACCOUNT),))
    async def check(self, ctx: Context, body: CheckBody) -> PromoDiscount:
        """What a promo code would take off. Reserves nothing."""
        use = PromoUse(body.code, body.venue_id, body.start, body.duration_min)
        return await self.service.price_promo(ctx, body.organisation_id, ctx.account_id, body.total, use)

    @get("/v1/orgs/{org_id}/ledger/entries", access=staff("payments.read"))
    async def entries(self, ctx: Context, org_id: UUID, query: EntriesQuery) -> Page[EntryRow]:
        """The ledger, oldest first; `from` is included, `to` is not.

        Positive amounts are what the organisation owes or has earned, negative ones what it holds or has given away.
        """
        return await self.service.entries(ctx, org_id, query.account, query.from_, query.to, query.cursor, query.limit)

    @get("/v1/orgs/{org_id}/ledger/proof", access=staff("payments.read"))
    async def proof(self, ctx: Context, org_id: UUID) -> dict[str, ProofLine]:
        """Whether the books add up, per currency."""
        return await self.service.proof(ctx, org_id)
