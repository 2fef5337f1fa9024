"""What the bookings of the demo world did to money: wallets, lots, charges, refunds, and a ledger that sums to zero.

It follows payments: credits are spent from granted lots first, then from those that expire first, then from the oldest; what
comes back goes to the lots it came from, the last spent first; what is paid at the desk is due until it is received.
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID, uuid5

from forecourt.demo.ids import id_at
from forecourt.demo.story import Booked
from forecourt.demo.world import World
from forecourt.modules.booking.contract import PayWith

PACKS = {"GBP": 10_000, "EUR": 10_000, "PKR": 5_000_000}
"""What a pack of credits costs and holds."""
WELCOME = {"GBP": 1_000, "EUR": 1_000, "PKR": 300_000}


@dataclass(slots=True)
class Lot:
    id: UUID
    organisation_id: UUID
    account_id: UUID
    currency: str
    kind: str
    amount: int
    reason: str
    at: datetime
    expires_at: datetime
    remaining: int

    @property
    def rank(self) -> tuple[bool, datetime, datetime, UUID]:
        """Spent in this order."""
        return (self.kind != "granted", self.expires_at, self.at, self.id)


Posting = tuple[str, int, UUID | None, UUID | None]
"""Account, amount, whose wallet, which lot."""


@dataclass(slots=True)
class Transfer:
    organisation_id: UUID
    id: UUID
    kind: str
    currency: str
    payment_id: UUID | None
    account_id: UUID | None
    reason: str
    at: datetime
    postings: list[Posting]


@dataclass(slots=True)
class Settled:
    """What one booking's payment came to."""

    booked: Booked
    refund_id: UUID | None = None
    to_credits: int = 0
    at_desk: int = 0
    waived: int = 0
    transfers: list[Transfer] = field(default_factory=list[Transfer])

    @property
    def back(self) -> int:
        return self.to_credits + self.at_desk + self.waived


@dataclass(slots=True)
class Books:
    """All of one organisation's money, in the order in which it moved."""

    lots: list[Lot] = field(default_factory=list[Lot])
    grants: list[Transfer] = field(default_factory=list[Transfer])
    settled: dict[UUID, Settled] = field(default_factory=dict[UUID, Settled])
    """By booking id."""


class Bookkeeper:
    """Keeps the books of one organisation."""

    def __init__(self, world: World, organisation_id: UUID, currency: str) -> None:
        self._world = world
        self._organisation_id = organisation_id
        self._currency = currency
        self._dice: random.Random = world.fate.dice("money", str(organisation_id))
        self._wallets: dict[UUID, list[Lot]] = {}
        self.books = Books()

    def keep(self, bookings: Iterable[Booked]) -> Books:
        """The books of these bookings."""
        moves: list[tuple[datetime, int, Booked]] = []
        for b in bookings:
            if b.confirmed_at is not None:
                moves.append((b.confirmed_at, 0, b))
                if b.returned is not None:
                    moves.append((b.returned[0], 1, b))
        for _, what, b in sorted(moves, key=lambda m: (m[0], m[1], m[2].id)):
            if what:
                self._give_back(self.books.settled[b.id])
            else:
                self._charge(b)
        self._gifts()
        self._stock_tom()
        return self.books

    # --- charging

    def _charge(self, b: Booked) -> None:
        settled = self.books.settled[b.id] = Settled(b)
        assert b.confirmed_at is not None  # noqa: S101 - told to the type checker
        if b.pay_with is PayWith.CREDITS and b.account_id is not None:
            postings: list[Posting] = [("revenue", b.price, None, None)]
            postings += self._spend(b.account_id, b.price, b.confirmed_at)
            settled.transfers.append(self._transfer(b, b.id, "charge", b.confirmed_at, postings, label(b)))
            return
        postings = [("revenue", b.price, None, None), ("desk_due", -b.price, None, None)]
        settled.transfers.append(self._transfer(b, b.id, "desk_charge", b.confirmed_at, postings, label(b)))
        if b.settled_at is not None:
            postings = [("desk", -b.price, None, None), ("desk_due", b.price, None, None)]
            id = id_at(self._dice, b.settled_at)
            settled.transfers.append(self._transfer(b, id, "desk_settle", b.settled_at, postings, ""))

    def _spend(self, account_id: UUID, amount: int, at: datetime) -> list[Posting]:
        """Takes `amount` from the person's lots; they buy a pack first when there is not enough."""
        lots = self._wallets.setdefault(account_id, [])
        while sum(lot.remaining for lot in lots) < amount:
            bought = at - timedelta(seconds=self._dice.randrange(60, 600))
            lots.append(self._give(account_id, "purchased", PACKS[self._currency], "Credit pack", bought, timedelta(days=365)))
        taken: list[Posting] = []
        for lot in sorted((lot for lot in lots if lot.remaining), key=lambda lot: lot.rank):
            part = min(lot.remaining, amount)
            if part:
                lot.remaining -= part
                amount -= part
                taken.append(("wallet", -part, account_id, lot.id))
        return taken

    def _give(self, account_id: UUID, kind: str, amount: int, reason: str, at: datetime, good_for: timedelta) -> Lot:
        at = at.replace(microsecond=0)
        id = id_at(self._dice, at)
        lot = Lot(id, self._organisation_id, account_id, self._currency, kind, amount, reason, at, at + good_for, amount)
        self.books.lots.append(lot)
        postings: list[Posting] = [("wallet", amount, account_id, id), (kind, -amount, None, None)]
        self.books.grants.append(
            Transfer(self._organisation_id, id, "grant", self._currency, None, account_id, reason, at, postings)
        )
        return lot

    def _gifts(self) -> None:
        """Some people were given something lately that they have not spent yet."""
        for account_id, lots in self._wallets.items():
            mahnoor = account_id == self._world.person("mahnoor@example.org").id
            if mahnoor or self._dice.random() < 0.12:
                at = self._world.now - timedelta(minutes=self._dice.randrange(1, 9))
                lots.append(
                    self._give(
                        account_id, "granted", WELCOME[self._currency], "With thanks from the house", at, timedelta(days=9)
                    )
                )

    def _stock_tom(self) -> None:
        """The tours of the READMEs have him pay with credits in London, whatever he has spent before."""
        if self._currency == "GBP":
            tom, at = self._world.person("tom@example.org").id, self._world.now - timedelta(minutes=5)
            pack = self._give(tom, "purchased", PACKS[self._currency], "Credit pack", at, timedelta(days=365))
            self._wallets.setdefault(tom, []).append(pack)

    # --- giving back

    def _give_back(self, settled: Settled) -> None:
        b = settled.booked
        assert b.returned is not None  # noqa: S101 - told to the type checker
        at, amount, why = b.returned
        settled.refund_id = uuid5(b.id, "cancel")
        back: list[Posting] = [("revenue", -amount, None, None)]
        if b.pay_with is PayWith.CREDITS:
            settled.to_credits = amount
            back += self._back_to_lots(settled.transfers[0].postings, amount)
        else:
            settled.waived = amount
            back.append(("desk_due", amount, None, None))
        settled.transfers.append(self._transfer(b, id_at(self._dice, at), "refund", at, back, why))

    def _back_to_lots(self, spent: list[Posting], amount: int) -> list[Posting]:
        lots = {lot.id: lot for owned in (self._wallets[p[2]] for p in spent[1:2] if p[2]) for lot in owned}
        back: list[Posting] = []
        for _, taken, account_id, lot_id in reversed(spent):
            part = min(-taken, amount)
            if lot_id is not None and part > 0:
                lots[lot_id].remaining += part
                amount -= part
                back.append(("wallet", part, account_id, lot_id))
        return back

    def _transfer(self, b: Booked, id: UUID, kind: str, at: datetime, postings: list[Posting], reason: str) -> Transfer:
        return Transfer(self._organisation_id, id, kind, self._currency, b.id, b.account_id, reason, at, postings)


def label(b: Booked) -> str:
    return f"{b.site.book.venue.name}, {b.resource.name}"
