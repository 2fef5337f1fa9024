"""Bookings and their money as rows, a stretch of time at a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from uuid import UUID, uuid5

import asyncpg

from forecourt.demo.money import Books, Lot, Settled, Transfer, label
from forecourt.demo.scenes import Block
from forecourt.demo.story import Booked
from forecourt.demo.world import Site
from forecourt.demo.write import Connection, Row, copy, to_json
from forecourt.kernel.money import Money
from forecourt.modules.booking.contract import OCCUPYING, BookingStatus, NewInvitee, PayWith, QuoteLine, TaxLine

_S = BookingStatus

TAKEN = (
    "select o.resource_id, o.starts_at, o.ends_at from booking.occupancy o"
    " where o.organisation_id = $1 and o.resource_id = any($2::uuid[]) and o.ends_at > $3"
)


NOTE_GUEST = "insert into booking.guest (account_id, organisation_id) values ($1, $2) on conflict do nothing"


async def blocks(connection: Connection, site: Site, blocks: Sequence[Block], made_by: UUID, now: datetime) -> None:
    """What is closed off, and its claims."""
    if not blocks:
        return
    org, venue = site.organisation_id, site.book.venue.id
    await copy(
        connection,
        "booking.block",
        "organisation_id id venue_id resource_ids starts_at ends_at until reason rrule made_by created_at",
        [
            (org, b.id, venue, b.resource_ids, *b.times[0], b.times[-1][1], b.reason, b.rrule, made_by, min(now, b.times[0][0]))
            for b in blocks
        ],
    )
    await copy(
        connection,
        "booking.occupancy",
        "organisation_id resource_id during block_id",
        [(org, id, _range(*stretch), b.id) for b in blocks for id in b.resource_ids for stretch in b.times],
    )


async def stretch(connection: Connection, bookings: Sequence[Booked], lots: Sequence[Lot], books: Books) -> int:
    """Writes some bookings of one organisation with all that follows from them; returns how many.

    A place that somebody took while the world was being made stays theirs: the story gives way. Raises
    asyncpg.ExclusionViolationError when somebody takes one at this very moment; what was written is then rolled back.
    """
    taken = await _taken(connection, bookings)
    bookings = [b for b in bookings if b.status not in OCCUPYING or not _clashes(b, taken)]
    settled = {b.id: books.settled[b.id] for b in bookings if b.id in books.settled}
    grants = {lot.id for lot in lots}
    transfers = [t for t in books.grants if t.id in grants] + [t for s in settled.values() for t in s.transfers]
    await _bookings(connection, bookings, settled)
    await _payments(connection, list(settled.values()))
    await _ledger(connection, lots, transfers)
    return len(bookings)


async def wallets(connection: Connection, organisation_id: UUID, currency: str, people: Iterable[UUID], at: datetime) -> None:
    """Empty wallets, and the organisation's ledger."""
    await copy(connection, "payments.book", "organisation_id opened_at", [(organisation_id, at)])
    await copy(
        connection,
        "payments.wallet",
        "organisation_id account_id currency",
        [(organisation_id, person, currency) for person in sorted(people)],
    )


async def _taken(connection: Connection, bookings: Sequence[Booked]) -> dict[UUID, list[tuple[datetime, datetime]]]:
    live = [b for b in bookings if b.status in OCCUPYING]
    found: dict[UUID, list[tuple[datetime, datetime]]] = {}
    if live:
        resources = sorted({id for b in live for id in b.claimed})
        first = min(b.claim[0] for b in live)
        for r in await connection.fetch(TAKEN, live[0].site.organisation_id, resources, first):
            found.setdefault(r["resource_id"], []).append((r["starts_at"], r["ends_at"]))
    return found


def _clashes(b: Booked, taken: dict[UUID, list[tuple[datetime, datetime]]]) -> bool:
    first, last = b.claim
    return any(a < last and first < z for id in b.claimed for a, z in taken.get(id, ()))


# --- bookings


async def _bookings(connection: Connection, bookings: Sequence[Booked], settled: dict[UUID, Settled]) -> None:
    await copy(
        connection,
        "booking.booking",
        "organisation_id id venue_id resource_id account_id guest_name status starts_at ends_at timezone purpose team_size"
        " currency list_minor price_minor paid_minor due_minor refunded_minor lines tax pay_with note invitees hold_expires_at"
        " claimed claim_starts_at claim_ends_at made_by version created_at updated_at",
        [_booking(b, settled.get(b.id)) for b in bookings],
    )
    await copy(
        connection,
        "booking.transition",
        "organisation_id booking_id version at action from_status to_status actor account_id detail",
        [
            (
                b.site.organisation_id,
                b.id,
                version,
                s.at,
                s.action.value,
                s.before.value,
                s.after.value,
                s.actor.value,
                s.account_id,
                s.detail,
            )
            for b in bookings
            for version, s in enumerate(b.steps, 1)
        ],
    )
    live = [b for b in bookings if b.status in OCCUPYING]
    await copy(
        connection,
        "booking.occupancy",
        "organisation_id resource_id during booking_id expires_at",
        [
            (b.site.organisation_id, id, _range(*b.claim), b.id, b.hold_expires_at)
            for b, id in sorted(((b, id) for b in live for id in b.claimed), key=lambda pair: (pair[1], pair[0].starts_at))
        ],
    )
    await copy(
        connection,
        "booking.due",
        "organisation_id booking_id at",
        [(b.site.organisation_id, b.id, _due(b)) for b in live],
    )
    await _answers(connection, bookings)


async def _answers(connection: Connection, bookings: Sequence[Booked]) -> None:
    """Who has said whether they come. Of the others, and of other bookings, the program makes rows when somebody asks."""
    rows: list[Row] = [
        (
            b.site.organisation_id, uuid5(b.id, f"account {id}"), b.id, id, said.value, uuid5(b.id, f"salt {id}").bytes,
            b.person.id, b.created_at, b.created_at + timedelta(hours=3),
        )
        for b in bookings
        if b.person is not None
        for id, said in b.answers.items()
    ]  # fmt: skip
    if not rows:
        return
    await connection.executemany(NOTE_GUEST, [(row[3], row[0]) for row in rows])
    await copy(
        connection,
        "booking.invitation",
        "organisation_id id booking_id account_id status salt invited_by created_at answered_at",
        rows,
    )


def _booking(b: Booked, s: Settled | None) -> Row:
    v = b.site.book.venue
    paid, due, refunded = _paid(b, s)
    currency = b.site.book.organisation.currency
    return (
        b.site.organisation_id,
        b.id,
        v.id,
        b.resource.id,
        b.account_id,
        b.guest,
        b.status.value,
        b.starts_at,
        b.ends_at,
        v.timezone,
        b.purpose.value,
        b.team_size,
        currency,
        b.price,
        b.price,
        paid,
        due,
        refunded,
        _lines(currency, tuple(b.lines)),
        _tax(currency, *b.tax),
        None if b.pay_with is None else b.pay_with.value,
        b.note,
        "[]" if not b.invited and not b.addresses else to_json(_invitees(b)),
        b.hold_expires_at,
        b.claimed,
        *b.claim,
        b.made_by,
        len(b.steps),
        b.created_at,
        b.steps[-1].at,
    )


def _paid(b: Booked, s: Settled | None) -> tuple[int, int, int]:
    """What came in, what is due at the desk, and what of the former went back."""
    if s is None:
        return 0, 0, 0
    if b.pay_with is PayWith.CREDITS or b.settled_at is not None:
        return b.price, 0, s.to_credits + s.at_desk
    return 0, b.price - s.waived, 0


def _due(b: Booked) -> datetime | None:
    """When the house looks at the booking next."""
    match b.status:
        case _S.PAYMENT_PENDING:
            return b.hold_expires_at
        case _S.IN_PROGRESS:
            return b.ends_at
        case _:
            return b.starts_at


def _invitees(b: Booked) -> list[NewInvitee]:
    return [*(NewInvitee(account_id=id) for id in b.invited), *(NewInvitee(email=email) for email in b.addresses)]


@lru_cache(maxsize=20_000)
def _lines(currency: str, lines: tuple[tuple[str, int, str | None], ...]) -> str:
    return to_json([QuoteLine(text, Money(minor, currency), rule) for text, minor, rule in lines])


@lru_cache(maxsize=5_000)
def _tax(currency: str, rate: str, minor: int) -> str:
    return to_json([TaxLine(rate, Money(minor, currency), included=True)])


def _range(first: datetime, last: datetime) -> asyncpg.Range[datetime]:
    return asyncpg.Range(first, last, lower_inc=True, upper_inc=False)


# --- payments


async def _payments(connection: Connection, settled: Sequence[Settled]) -> None:
    rows = [(s, s.booked, s.booked.site.organisation_id, s.booked.site.book.organisation.currency) for s in settled]
    await copy(
        connection,
        "payments.payment",
        "organisation_id id account_id currency label created_at",
        [(org, b.id, b.account_id, currency, label(b), b.confirmed_at) for _, b, org, currency in rows],
    )
    await copy(
        connection,
        "payments.charge",
        "organisation_id id payment_id account_id pay_with currency price settled_at refunded waived created_at",
        [
            (
                org,
                b.id,
                b.id,
                b.account_id,
                b.pay_with.value if b.pay_with else PayWith.DESK.value,
                currency,
                b.price,
                b.confirmed_at if b.pay_with is PayWith.CREDITS else b.settled_at,
                s.back,
                s.waived,
                b.confirmed_at,
            )
            for s, b, org, currency in rows
        ],
    )
    await copy(
        connection,
        "payments.refund",
        "organisation_id id payment_id account_id currency asked to_credits at_desk waived reason created_at",
        [
            (
                org,
                s.refund_id,
                b.id,
                b.account_id,
                currency,
                s.back,
                s.to_credits,
                s.at_desk,
                s.waived,
                b.returned[2],
                b.returned[0],
            )
            for s, b, org, currency in rows
            if s.refund_id is not None and b.returned is not None
        ],
    )


async def _ledger(connection: Connection, lots: Sequence[Lot], transfers: Sequence[Transfer]) -> None:
    """Transfers go in whole: the ledger's trigger sees all their entries at once, and fills wallets and lots from them."""
    await copy(
        connection,
        "payments.lot",
        "organisation_id id account_id currency kind amount reason expires_at created_at",
        [(x.organisation_id, x.id, x.account_id, x.currency, x.kind, x.amount, x.reason, x.expires_at, x.at) for x in lots],
    )
    await copy(
        connection,
        "payments.transfer",
        "organisation_id id kind currency payment_id charge_id account_id reason at",
        [
            (t.organisation_id, t.id, t.kind, t.currency, t.payment_id, t.payment_id, t.account_id, t.reason, t.at)
            for t in transfers
        ],
    )
    await copy(
        connection,
        "payments.entry",
        "organisation_id transfer_id seq account account_id lot_id currency amount at",
        [
            (t.organisation_id, t.id, seq, account, account_id, lot_id, t.currency, amount, t.at)
            for t in transfers
            for seq, (account, amount, account_id, lot_id) in enumerate(t.postings, 1)
        ],
    )


def bucket(at: datetime, first: datetime, days: int = 30) -> int:
    """The number of the stretch of time that `at` lies in."""
    return max(0, (at - first) // timedelta(days=days))
