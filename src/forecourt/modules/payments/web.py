"""What a person sees of their credits: how much, of what, and where it went."""

from __future__ import annotations

from datetime import datetime
from typing import cast
from uuid import UUID

import msgspec

from forecourt.kernel.http.operation import PERSON, Api, Html, Visit, page
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Paged
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.render import Language
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.modules.payments.contract import Cause, Lot, Wallet
from forecourt.modules.payments.queries import WalletEntry
from forecourt.modules.payments.service import PaymentsService
from forecourt.modules.venues.contract import Venues

SHOWN = 20
_CAUSES = frozenset(cause.value for cause in Cause)


class Wanted(Paged, kw_only=True):
    """`at` is the organisation whose history is paged through."""

    at: UUID | None = None


class LotView(msgspec.Struct, frozen=True):
    kind: str
    until: str
    left: str
    amount: Money
    remaining: Money


class EntryView(msgspec.Struct, frozen=True):
    day: str
    what: str
    reason: str
    amount: Money
    href: str


class WalletView(msgspec.Struct, frozen=True):
    """Credits at one organisation. `reserved` is None when nothing is set aside; `next_href` leads to older movements."""

    id: UUID
    org: str
    balance: Money
    reserved: Money | None
    lots: list[LotView]
    entries: list[EntryView]
    next_href: str


class WalletPages(Api):
    tag = "Pages"

    def __init__(self, service: PaymentsService, venues: Venues, pages: Surroundings) -> None:
        self.service = service
        self.venues = venues
        self.pages = pages

    @page("/credits", access=PERSON)
    async def credits(self, visit: Visit, query: Wanted) -> Html:
        """One's credits at every place, what they consist of, and what happened to them."""
        wallets = await self.service.own_wallets(visit.ctx)
        cards = await self.venues.organisations(visit.ctx, [w.organisation_id for w in wallets])
        names = {card.id: card.name for card in cards}
        shown = [await self._wallet(visit, w, names.get(w.organisation_id, ""), query) for w in wallets]
        return self.pages.page("payments/credits.html", visit, wallets=shown)

    async def _wallet(self, visit: Visit, wallet: Wallet, org: str, query: Wanted) -> WalletView:
        cursor = query.cursor if query.at == wallet.organisation_id else None
        history = await self.service.history(visit.ctx, wallet.organisation_id, cursor, SHOWN)
        older = (
            ""
            if history.next_cursor is None
            else with_query("/credits", {"at": wallet.organisation_id, "cursor": history.next_cursor})
        )
        return WalletView(
            wallet.organisation_id,
            org,
            wallet.balance,
            wallet.reserved or None,
            [self._lot(visit, lot) for lot in wallet.lots],
            [self._entry(visit, entry) for entry in history.items],
            older,
        )

    def _lot(self, visit: Visit, lot: Lot) -> LotView:
        until = (
            self._t(visit, "credits.never")
            if lot.expires_at is None
            else self._t(visit, "credits.expires", day=self._day(visit, lot.expires_at))
        )
        left = self._t(visit, "credits.left", left=self._money(visit, lot.remaining), amount=self._money(visit, lot.amount))
        return LotView(self._t(visit, f"credits.kind.{lot.kind.value}"), until, left, lot.amount, lot.remaining)

    def _entry(self, visit: Visit, entry: WalletEntry) -> EntryView:
        href = "" if entry.payment_id is None else f"/bookings/{entry.payment_id}"
        what = self._t(visit, f"credits.entry.{entry.kind}")
        return EntryView(
            self._day(visit, entry.at), what, self._why(visit, entry.reason), Money(entry.amount, entry.currency), href
        )

    def _why(self, visit: Visit, reason: str) -> str:
        """What somebody wrote, as it is; what the house noted, in words."""
        return self._t(visit, f"credits.why.{Cause(reason).name.lower()}") if reason in _CAUSES else reason

    def _t(self, visit: Visit, key: str, /, **values: object) -> str:
        return self.pages.pages.text(cast("Language", visit.locale), key, **values)

    def _day(self, visit: Visit, at: datetime) -> str:
        return formats.date(visit.locale, at, style="date")

    def _money(self, visit: Visit, value: Money) -> str:
        return formats.money(visit.locale, value)
