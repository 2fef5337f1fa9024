"""A venue's day as the day sheet draws it. Pure: from the day, the book, the bookings and the time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec

from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.views import DayBlock, DayFree, DayResource, DaySheetView, DaySign, GridTime, Need
from forecourt.modules.booking.contract import BookingAction, BookingActor, BookingOut, BookingStatus, DaySheet, SheetEntry
from forecourt.modules.booking.guest_views import Speaker
from forecourt.modules.booking.rules import permitted
from forecourt.modules.booking.service.base import standing
from forecourt.modules.booking.slots import claimed_ids
from forecourt.modules.venues.contract import Resource, VenueBook
from forecourt.modules.venues.contract.calendar import local

STEP = timedelta(minutes=15)
HOUR = timedelta(hours=1)
SHORTEST_STEPS = 32
MOST_STEPS = 120
SOON = timedelta(minutes=30)
ROOM_FOR_TWO = 4
"""A shorter block shows time and name only."""
COUNTS = frozenset({BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS, BookingStatus.COMPLETED, BookingStatus.NO_SHOW})


class Seen(msgspec.Struct, frozen=True, kw_only=True):
    """Everything the day sheet is drawn from. `base` is its address without a query."""

    sheet: DaySheet
    book: VenueBook
    details: Mapping[UUID, BookingOut]
    now: datetime
    base: str
    say: Speaker
    chosen: UUID | None = None
    may_move: bool = False
    may_book: bool = False

    @property
    def locale(self) -> str:
        return self.say.language

    @property
    def tz(self) -> str:
        return self.sheet.timezone

    @property
    def resources(self) -> list[Resource]:
        """Those that can be booked, and those that are switched off or removed but have something on this day."""
        used = {entry.resource_id for entry in self.sheet.entries}
        return [r for r in self.book.resources if (r.active and not r.removed) or r.id in used]

    def href(self, **values: object) -> str:
        """The sheet of this day with something opened beside it."""
        return with_query(self.base, {"venue_id": self.sheet.venue_id, "date": self.sheet.date, **values})

    def span(self) -> Period:
        """The hours that are shown: open ones and whatever lies outside them, full hours, eight at least."""
        starts = [p.start for p in self.sheet.open] + [max(e.start, self.sheet.start) for e in self.sheet.entries]
        ends = [p.end for p in self.sheet.open] + [min(e.end, self.sheet.end + 6 * HOUR) for e in self.sheet.entries]
        if not starts:
            eight = local(self.book, self.sheet.start + timedelta(hours=8)).replace(minute=0).astimezone(UTC)
            return Period(eight, eight + SHORTEST_STEPS * STEP)
        first = local(self.book, min(starts)).replace(minute=0, second=0, microsecond=0).astimezone(UTC)
        last = max([*ends, first + SHORTEST_STEPS * STEP])
        steps = min(-(-(last - first) // HOUR) * 4, MOST_STEPS)
        return Period(first, first + steps * STEP)


def day_view(seen: Seen) -> DaySheetView:
    """The whole sheet."""
    span = seen.span()
    steps = int((span.end - span.start) / STEP)
    resources = seen.resources
    shown = {r.id for r in resources}
    blocks = [b for entry in seen.sheet.entries if entry.resource_id in shown for b in _blocks(seen, entry, span, shown)]
    now_at = int((seen.now - span.start) / STEP) if span.start <= seen.now < span.end else None
    return DaySheetView(
        id="day",
        label=seen.say.t("sheet.label", venue=seen.book.venue.name, day=formats.date(seen.locale, seen.sheet.date, style="long")),
        steps=steps,
        first=span.start,
        tz=seen.tz,
        hours=tuple(
            GridTime(
                formats.time(seen.locale, span.start + at * STEP, seen.tz) if now_at is None or abs(now_at - at) > 1 else "",
                at,
                4,
            )
            for at in range(0, steps, 4)
        ),
        resources=tuple(_column(seen, r, span, steps) for r in resources),
        blocks=tuple(blocks),
        free=tuple(gap for r in resources for gap in _gaps(seen, r, blocks, span)) if seen.may_book else (),
        now_at=now_at,
        now_label="" if now_at is None else formats.time(seen.locale, seen.now, seen.tz),
        move_url=f"{seen.base}/move" if seen.may_move else "",
        quote_url=f"{seen.base}/quote" if seen.may_move else "",
        action=seen.base,
        query=(("venue_id", str(seen.sheet.venue_id)), ("date", seen.sheet.date.isoformat())),
        panel="#panel",
    )


def booked_pct(seen: Seen, resource_ids: Sequence[UUID]) -> int | None:
    """Share of the open time that bookings take; None when nothing is open."""
    open_min = sum(p.duration_min for p in seen.sheet.open) * len(resource_ids)
    if not open_min:
        return None
    wanted = set(resource_ids)
    taken = sum(
        Period(e.start, e.end).duration_min
        for e in seen.sheet.entries
        if e.status in COUNTS | {BookingStatus.PAYMENT_PENDING} and e.resource_id in wanted
    )
    return min(100, round(100 * taken / open_min))


def takings(seen: Seen) -> Money:
    """What the day's bookings come to."""
    prices = [d.price for d in seen.details.values() if d.status in COUNTS]
    return Money.total(prices, seen.book.organisation.currency)


def needs(seen: Seen) -> list[Need]:
    """What wants somebody now: unpaid within half an hour, requests."""
    found: list[Need] = []
    asking = [e for e in seen.sheet.entries if e.status is BookingStatus.PENDING_APPROVAL]
    for entry in sorted(seen.sheet.entries, key=lambda e: e.start):
        detail = seen.details.get(entry.booking_id) if entry.booking_id else None
        if detail is None or detail.status not in (BookingStatus.UPCOMING, BookingStatus.PAYMENT_PENDING):
            continue
        due, away = detail.price - detail.paid, entry.start - seen.now
        if due.amount > 0 and timedelta() <= away <= SOON:
            when = formats.relative(seen.locale, entry.start, seen.now, seen.tz)
            who = _title(seen, entry)
            text = seen.say.t("sheet.owes", who=who, due=seen.say.money(due), when=when)
            found.append(Need(who, text, seen.href(booking=entry.booking_id), "hold", "wallet"))
    if asking:
        n = len(asking)
        text = seen.say.t("sheet.requests", n=n)
        found.append(
            Need(formats.number(seen.locale, n), text, seen.href(booking=asking[0].booking_id), "pending_approval", "check")
        )
    return found[:6]


# --- pieces


def _column(seen: Seen, resource: Resource, span: Period, steps: int) -> DayResource:
    opened = seen.sheet.open
    detail = _surface(seen, resource)
    if not opened:
        return DayResource(str(resource.id), resource.name, detail, None, steps, 0)
    first = max(0, int((opened[0].start - span.start) / STEP))
    last = min(steps, -(-(opened[-1].end - span.start) // STEP))
    return DayResource(str(resource.id), resource.name, detail, booked_pct(seen, [resource.id]), first, last)


def _surface(seen: Seen, resource: Resource) -> str:
    """In few words: what it is made of, and whether it is switched off."""
    made_of = seen.say.known("sheet.surface", resource.surface).lower() if resource.surface else ""
    if resource.active:
        return made_of
    return seen.say.t("sheet.detail_off", detail=made_of) if made_of else seen.say.t("sheet.off")


def _title(seen: Seen, entry: SheetEntry) -> str:
    """The guest's name; where nobody has it any more, that; else what the booking is for."""
    detail = seen.details.get(entry.booking_id) if entry.booking_id else None
    if detail is None or detail.guest_name or entry.title != detail.purpose.value:
        return entry.title
    if detail.account_id is not None:
        return seen.say.t("guests.deleted")
    return seen.say.known("venues.purpose", detail.purpose.value).lower()


def _blocks(seen: Seen, entry: SheetEntry, span: Period, shown: set[UUID]) -> list[DayBlock]:
    """The entry in its column, and its shadow in those that it takes away: parts, or the whole."""
    start, end = max(entry.start, span.start), min(entry.end, span.end)
    at, until = int((start - span.start) / STEP), -(-(end - span.start) // STEP)
    if until <= at:
        return []
    block = _block(seen, entry, at, until - at)
    resource = seen.book.resource(entry.resource_id)
    others = [i for i in claimed_ids(seen.book, resource) if i != entry.resource_id and i in shown] if resource else []
    if entry.block_id is not None or resource is None:
        return [block]
    shadows = [
        msgspec.structs.replace(
            block,
            resource_id=str(other),
            state="block",
            state_label=seen.say.t("sheet.state.taken"),
            line=seen.say.t("sheet.taken_by", place=resource.name),
            signs=(),
            movable=False,
            selected=False,
        )
        for other in others
    ]
    return [block, *shadows]


def _block(seen: Seen, entry: SheetEntry, at: int, length: int) -> DayBlock:
    when = formats.time_range(seen.locale, entry.start, entry.end, seen.tz)
    if entry.block_id is not None or entry.booking_id is None or entry.status is None:
        return DayBlock(
            id=str(entry.block_id),
            kind="blocked",
            resource_id=str(entry.resource_id),
            at=at,
            len=length,
            state="block",
            when=when,
            name=entry.title,
            state_label=seen.say.t("sheet.state.block"),
        )
    detail = seen.details.get(entry.booking_id)
    return DayBlock(
        id=str(entry.booking_id),
        resource_id=str(entry.resource_id),
        at=at,
        len=length,
        state=entry.status.value,
        when=when,
        name=_title(seen, entry),
        state_label=seen.say.t(f"sheet.state.{entry.status.value}"),
        line=_line(seen, detail) if length >= ROOM_FOR_TWO else "",
        signs=_signs(detail),
        movable=seen.may_move and _movable(seen, detail),
        selected=entry.booking_id == seen.chosen,
        version=entry.version,
    )


def _movable(seen: Seen, detail: BookingOut | None) -> bool:
    """Whether staff may take it elsewhere."""
    if detail is None:
        return False
    return permitted(standing(seen.book, detail), BookingAction.RESCHEDULE, BookingActor.STAFF, seen.now)


def _line(seen: Seen, detail: BookingOut | None) -> str:
    if detail is None:
        return ""
    due = detail.price - detail.paid
    if detail.status is BookingStatus.COMPLETED and due.amount <= 0:
        return ""  # nothing is left to do: the normal is quiet
    if due.amount > 0:
        return seen.say.t("sheet.line_due", n=detail.team_size, due=seen.say.money(due))
    return seen.say.t("sheet.line_paid" if detail.paid else "book.people", n=detail.team_size)


def _signs(detail: BookingOut | None) -> tuple[DaySign, ...]:
    if detail is None:
        return ()
    signs: list[DaySign] = []
    if (detail.price - detail.paid).amount > 0 and detail.status in (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS):
        signs.append("wallet")
    if detail.note:
        signs.append("note")
    return tuple(signs)


def _gaps(seen: Seen, resource: Resource, blocks: Sequence[DayBlock], span: Period) -> list[DayFree]:
    """Free time of a column in stretches of an hour at most, so that arrows walk it; what has passed is left out."""
    if not resource.active or resource.removed:
        return []
    taken = sorted((b.at, b.at + b.len) for b in blocks if b.resource_id == str(resource.id))
    found: list[DayFree] = []
    for opened in seen.sheet.open:
        at = max(int((opened.start - span.start) / STEP), -(-(seen.now - span.start) // STEP), 0)
        end = int((opened.end - span.start) / STEP)
        while at < end:
            hit = next(((s, e) for s, e in taken if s <= at < e), None)
            if hit is not None:
                at = hit[1]
                continue
            stop = min([end, at - at % 4 + 4, *(s for s, _ in taken if s > at)])
            start = span.start + at * STEP
            label = formats.time(seen.locale, start, seen.tz)
            found.append(DayFree(str(resource.id), at, stop - at, label))
            at = stop
    return found


def neighbour(day: date, days: int) -> date:
    """The day so many days from `day`, inside the years the calendar knows."""
    try:
        return min(max(day + timedelta(days=days), date(2000, 1, 1)), date(2100, 12, 31))
    except OverflowError:
        return day
