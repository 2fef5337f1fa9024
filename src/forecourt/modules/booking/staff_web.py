"""What staff see of booking: the day sheet, what is done on it, and the list of all bookings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from typing import Annotated, cast
from uuid import UUID

import msgspec
from msgspec import Meta

from forecourt.kernel.errors import Conflict, Forbidden, Invalid, NotFound, Problem
from forecourt.kernel.http.operation import Api, EventStream, Html, Raw, Redirect, Visit, action, page, staff
from forecourt.kernel.live import Hub, server_sent
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Paged
from forecourt.kernel.period import Period
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.forms import NO_FAULTS, Faults, read
from forecourt.kernel.web.surroundings import Surroundings, staff_bar
from forecourt.kernel.web.views import Choice, Fact
from forecourt.modules.booking.announcements import AvailabilityChanged, availability_topic
from forecourt.modules.booking.contract import (
    Block,
    BookingAction,
    BookingActor,
    BookingOut,
    BookingStatus,
    Cancel,
    Extend,
    InvalidTransition,
    NewBlock,
    NewInvitee,
    PayWith,
    PlaceBlocked,
    PriceChanged,
    RefundPreview,
    Reschedule,
    SlotTaken,
    StaffBooking,
    Why,
)
from forecourt.modules.booking.day_views import Seen, booked_pct, day_view, needs, neighbour, takings
from forecourt.modules.booking.guest_views import Speaker, came_back
from forecourt.modules.booking.guest_web import INVITING, Guests, GuestsView, NewGuest
from forecourt.modules.booking.queries import TransitionRow
from forecourt.modules.booking.rules import permitted
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import APPROVE as APPROVE_ANY
from forecourt.modules.booking.service.base import CANCEL_ANY, CHANGE_ANY, standing
from forecourt.modules.booking.service.blocking import BlocksQuery
from forecourt.modules.booking.service.pricing import Plan, plan
from forecourt.modules.booking.service.reading import OrgBookingsQuery
from forecourt.modules.booking.shown import ShownPrices, field_of, price_shown
from forecourt.modules.identity.contract import Identity
from forecourt.modules.venues.contract import Organisation, Purpose, Resource, Venue, VenueBook, Venues
from forecourt.modules.venues.contract.calendar import local, minutes_of, wall, zone

READ = staff("booking.read_any")
CREATE = staff("booking.create_any")
CHANGE = staff("booking.update_any")
CANCEL = staff("booking.cancel_any")
APPROVE = staff("booking.approve")
BLOCK = staff("booking.block")
RESET = b"event: reset\ndata: again\n\n"
MAX_VENUES = 100
AT_ONCE = 100
UNDO_FOR = timedelta(minutes=10)
EXTEND_STEPS = (15, 30, 45, 60, 90, 120)
HOLD = "hold"
"""Chosen instead of a way to pay. Not an empty value: a form that says nothing of a field leaves it as it was."""
PROBLEM_JSON = "application/problem+json"

OPEN_STATES = frozenset(
    {BookingStatus.PENDING_APPROVAL, BookingStatus.PAYMENT_PENDING, BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS}
)

Clock = Annotated[str, Meta(max_length=5)]
Line = Annotated[str, Meta(max_length=254)]
Short = Annotated[str, Meta(max_length=40)]


class DayQuery(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Which day of which venue, and what is open beside it: a booking, a block, or a form for something new."""

    venue_id: UUID | None = None
    date: date | None = None
    booking: UUID | None = None
    blocked: UUID | None = None
    act: Annotated[str, Meta(pattern="^(move|extend|cancel)?$")] = ""
    new: Annotated[str, Meta(max_length=1)] = ""
    block: Annotated[str, Meta(max_length=1)] = ""
    resource_id: UUID | None = None
    at: Clock = ""
    spot: Annotated[str, Meta(max_length=42, pattern="^([0-9a-f-]{36}@[0-9]{2}:[0-9]{2})?$")] = ""
    """A free hour that was pressed: the place and the time, for a new booking."""


class PartsQuery(msgspec.Struct, forbid_unknown_fields=True):
    venue_id: UUID
    date: date


class QuoteQuery(msgspec.Struct, forbid_unknown_fields=True):
    booking_id: UUID
    resource_id: UUID
    start: Annotated[datetime, Meta(tz=True)]


class Back(msgspec.Struct, forbid_unknown_fields=True):
    """Where a booking was before it was moved."""

    resource_id: UUID
    start: Annotated[datetime, Meta(tz=True)]
    duration_min: Annotated[int, Meta(ge=5, le=1440)]
    prices: ShownPrices = []
    """What it cost there: going back costs no more."""


class MoveForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """From dragging: `start`. From the form: `day` and `at` on the venue's clock. `prices` is what was said of the price; a move
    of which nothing was said costs nothing more, or is shown first."""

    booking_id: UUID
    resource_id: UUID
    version: int
    start: Annotated[datetime, Meta(tz=True)] | None = None
    prices: ShownPrices = []
    day: Short = ""
    at: Clock = ""


class NewForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    venue_id: UUID
    resource_id: Short = ""
    day: Short = ""
    at: Clock = ""
    duration_min: Short = "60"
    who: Line = ""
    purpose: Short = Purpose.WORKOUT.value
    team_size: Short = ""
    pay_with: Short = PayWith.DESK.value
    note: Annotated[str, Meta(max_length=1000)] = ""


class BlockForm(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    venue_id: UUID
    resource_ids: Annotated[list[Short], Meta(max_length=100)] = []
    day: Short = ""
    at: Clock = ""
    until: Clock = ""
    reason: Line = ""
    weeks: Short = ""


class ExtendForm(msgspec.Struct, forbid_unknown_fields=True):
    """`prices` are what the panel showed: more than that is shown again before it is done."""

    duration_min: Annotated[int, Meta(ge=5, le=1440)]
    version: int
    prices: ShownPrices = []


class CancelForm(msgspec.Struct, forbid_unknown_fields=True):
    """`refund_minor` is what the panel showed: less than that is shown again before it is done."""

    reason: Annotated[str, Meta(max_length=500)] = ""
    refund_minor: Annotated[int, Meta(ge=0, le=10**12)] = 0


class DeclineForm(msgspec.Struct, forbid_unknown_fields=True):
    reason: Annotated[str, Meta(max_length=500)] = ""


class ListQuery(Paged, kw_only=True, rename={"from_": "from"}):
    show: Annotated[str, Meta(pattern="^(open|asks|unpaid|done|gone|all)$")] = "open"
    venue_id: UUID | None = None
    from_: date | None = None
    to: date | None = None
    who: Line = ""


class Step(msgspec.Struct, frozen=True):
    """One line of a booking's story."""

    text: str
    at: datetime


class Opened(msgspec.Struct, frozen=True, kw_only=True):
    """The booking in the panel."""

    booking: BookingOut
    resource: Resource
    who: str
    email: str
    facts: list[Fact]
    due: Money
    steps: list[Step]
    refund: RefundPreview | None
    lengths: list[Choice]
    prices: list[str]
    may: frozenset[str]
    guests: GuestsView | None


class Panel(msgspec.Struct, frozen=True, kw_only=True):
    """What stands beside the sheet: at most one of these."""

    opened: Opened | None = None
    block: Block | None = None
    new: NewForm | None = None
    blocking: BlockForm | None = None
    act: str = ""
    wrong: Faults = NO_FAULTS
    move: MoveForm | None = None
    email: str = ""
    """Whom somebody tried to invite."""


class Listed(msgspec.Struct, frozen=True):
    """A row of the list."""

    booking: BookingOut
    place: str
    venue: str
    tz: str
    who: str
    due: Money
    href: str


class StaffBookingPages(Api):
    tag = "Console"

    def __init__(self, service: BookingService, venues: Venues, identity: Identity, pages: Surroundings, hub: Hub) -> None:
        self._service = service
        self._venues = venues
        self._identity = identity
        self._pages = pages
        self._hub = hub
        self._clock = service.clock
        self._guests = Guests(service, pages)

    # --- the sheet

    @page("/orgs/{org_id}/day", access=READ)
    async def day(self, visit: Visit, org_id: UUID, query: DayQuery) -> Html | Redirect:
        """A venue's day."""
        venues = (await self._venues.venues(visit.ctx, MAX_VENUES, None)).items
        venue = next((v for v in venues if v.id == query.venue_id), None) or (venues[0] if venues else None)
        if query.venue_id is not None and (venue is None or venue.id != query.venue_id):
            raise NotFound
        if venue is None:
            organisation = await self._venues.organisation(visit.ctx, org_id)
            return self._pages.page("booking/staff_no_venue.html", visit, org=staff_bar(organisation, visit.ctx))
        day = query.date or local(await self._venues.book(visit.ctx, venue.id), self._clock.now()).date()
        seen = await self._seen(visit, org_id, venue.id, day, query.booking)
        panel = await self._panel(visit, seen, query)
        if visit.partial:
            return self._page(visit, "booking/staff_panel.html", seen, panel, {})
        return self._sheet(visit, seen, panel, venues)

    async def _seen(self, visit: Visit, org_id: UUID, venue_id: UUID, day: date, chosen: UUID | None = None) -> Seen:
        sheet = await self._service.day(visit.ctx, venue_id, day)
        ids = [e.booking_id for e in sheet.entries if e.booking_id is not None]
        details: dict[UUID, BookingOut] = {}
        for i in range(0, len(ids), AT_ONCE):
            details |= {b.id: b for b in await self._service.bookings(visit.ctx, ids[i : i + AT_ONCE])}
        book = await self._venues.book(visit.ctx, venue_id)
        return Seen(
            sheet=sheet,
            book=book,
            details=details,
            now=self._clock.now(),
            base=f"/orgs/{org_id}/day",
            say=self._speaker(visit, book),
            chosen=chosen,
            may_move=visit.ctx.may("booking.update_any"),
            may_book=visit.ctx.may("booking.create_any"),
        )

    def _sheet(self, visit: Visit, seen: Seen, panel: Panel, venues: list[Venue]) -> Html:
        day, today = seen.sheet.date, local(seen.book, seen.now).date()
        at = {"venue_id": seen.sheet.venue_id, "date": day}
        values: dict[str, object] = {
            "venues": [
                Choice(label=v.name, value=str(v.id), href=with_query(seen.base, {"venue_id": v.id, "date": day})) for v in venues
            ],
            "day": day,
            "is_today": day == today,
            "earlier": with_query(seen.base, at | {"date": neighbour(day, -1)}),
            "later": with_query(seen.base, at | {"date": neighbour(day, 1)}),
            "today": with_query(seen.base, {"venue_id": seen.sheet.venue_id}),
            "list_href": with_query(
                seen.base.removesuffix("/day") + "/bookings",
                {"venue_id": seen.sheet.venue_id, "from": day, "to": day, "show": "all"},
            ),
            "parts_url": with_query(f"{seen.base}/parts", at),
        }
        live = with_query(f"{seen.base}/live", at)
        return self._page(visit, "booking/staff_day.html", seen, panel, values | self._changing(seen), live=live)

    def _changing(self, seen: Seen) -> dict[str, object]:
        """The parts of the page that live updates replace."""
        return {
            "sheet": day_view(seen),
            "needs": needs(seen),
            "pct": booked_pct(seen, [r.id for r in seen.resources if r.active]),
            "takings": takings(seen),
        }

    def _page(
        self, visit: Visit, template: str, seen: Seen, panel: Panel, values: Mapping[str, object], *, live: str = ""
    ) -> Html:
        return self._pages.page(
            template,
            visit,
            org=staff_bar(seen.book.organisation, visit.ctx, seen.book.venue.name),
            live=live,
            status=panel.wrong.status,
            values=values,
            seen=seen,
            panel=panel,
            venue=seen.book.venue,
            resources=[r for r in seen.book.resources if r.active and not r.removed],
            purposes=[Choice(label=seen.say.known("venues.purpose", p.value), value=p.value) for p in Purpose],
            pays=[
                Choice(label=seen.say.t("sheet.pay.desk"), value=PayWith.DESK.value),
                Choice(label=seen.say.t("sheet.pay.credits"), value=PayWith.CREDITS.value),
                Choice(label=seen.say.t("sheet.pay.hold"), value=HOLD),
            ],
            closed_href=seen.href(),
        )

    @page("/orgs/{org_id}/day/parts", access=READ)
    async def parts(self, visit: Visit, org_id: UUID, query: PartsQuery) -> Html:
        """The parts of the sheet that change, for live updates."""
        seen = await self._seen(visit, org_id, query.venue_id, query.date)
        return self._fragments(visit, seen)

    def _fragments(self, visit: Visit, seen: Seen, toast: str = "", undo: str = "") -> Html:
        html = self._page(visit, "booking/staff_parts.html", seen, Panel(), self._changing(seen))
        if toast:
            # A header is ASCII; JSON can say everything in it.
            html.headers["HX-Trigger"] = json.dumps({"toast": {"text": toast, "undo": undo}})
        return html

    @page("/orgs/{org_id}/day/live", access=READ)
    async def live(self, visit: Visit, org_id: UUID, query: PartsQuery) -> EventStream:
        """Says when the day is another than it was."""
        book = await self._venues.book(visit.ctx, query.venue_id)
        if book.organisation.id != org_id:
            raise NotFound
        again = msgspec.json.encode(
            {"reload": with_query(f"/orgs/{org_id}/day/parts", {"venue_id": query.venue_id, "date": query.date})}
        )
        return EventStream(server_sent(self._of_day(query, again), reset=RESET))

    async def _of_day(self, query: PartsQuery, again: bytes) -> AsyncIterator[bytes | None]:
        """The venue's announcements that are about this day, each as the order to read it again."""
        async for data in self._hub.listen(availability_topic(query.venue_id)):
            if data is None:
                yield None
            elif query.date in msgspec.json.decode(data, type=AvailabilityChanged).dates:
                yield again

    # --- beside the sheet

    async def _panel(self, visit: Visit, seen: Seen, query: DayQuery) -> Panel:
        if query.booking is not None:
            return Panel(opened=await self._opened(visit, seen, query.booking), act=query.act)
        if query.blocked is not None:
            return Panel(block=await self._block(visit, seen, query.blocked))
        place, _, time = query.spot.partition("@")
        at = query.at or time or self._next_hour(seen)
        resource_id = place if query.resource_id is None else str(query.resource_id)
        day = seen.sheet.date.isoformat()
        if (query.new or query.spot) and visit.ctx.may("booking.create_any"):
            return Panel(new=NewForm(venue_id=seen.sheet.venue_id, resource_id=resource_id, day=day, at=at))
        if query.block and visit.ctx.may("booking.block"):
            ids = [resource_id] if resource_id else []
            until = f"{min(int(at[:2]) + 1, 24):02d}:{at[3:]}" if at[:2].isdecimal() else ""
            return Panel(blocking=BlockForm(venue_id=seen.sheet.venue_id, resource_ids=ids, day=day, at=at, until=until))
        return Panel()

    def _next_hour(self, seen: Seen) -> str:
        """The next full hour today; on other days when the venue opens."""
        today = local(seen.book, seen.now)
        if seen.sheet.date == today.date():
            return f"{min(today.hour + 1, 23):02d}:00"
        return formats.time(seen.locale, seen.sheet.open[0].start, seen.tz) if seen.sheet.open else "09:00"

    async def _opened(self, visit: Visit, seen: Seen, booking_id: UUID) -> Opened:
        ctx = visit.ctx
        booking = await self._service.booking(ctx, booking_id)
        resource = seen.book.resource(booking.resource_id)
        if resource is None:
            raise NotFound
        cards = await self._identity.accounts(ctx, [booking.account_id]) if booking.account_id else []
        steps = await self._service.history(ctx, booking_id)
        # Account ids are no secret: whom staff booked for by theirs has not shown them an address.
        own = bool(steps) and steps[0].account_id == booking.account_id
        minutes = Period(booking.start, booking.end).duration_min
        lengths = [m for m in resource.durations_min if m > minutes] or [minutes + m for m in EXTEND_STEPS]
        may = _may(visit, seen.book, booking, seen.now)
        lengths = await self._lengths(visit, seen, booking, lengths[:8]) if "extend" in may else []
        refund = None
        if ctx.may("booking.cancel_any") and booking.status in OPEN_STATES:
            refund = await self._refund(visit, booking_id)
        return Opened(
            booking=booking,
            resource=resource,
            who=_who(seen.say, booking, {card.id: card.name for card in cards}) or seen.say.t("sheet.guest"),
            email=cards[0].email if cards and own else "",
            facts=[
                Fact(seen.say.t("panel.fact.for"), seen.say.known("venues.purpose", booking.purpose.value)),
                Fact(seen.say.t("panel.fact.people"), str(booking.team_size)),
                Fact(seen.say.t("panel.fact.price"), seen.say.money(booking.price)),
                Fact(seen.say.t("panel.fact.paid"), seen.say.money(booking.paid)),
            ],
            due=booking.price - booking.paid,
            steps=[_step(seen.say, row) for row in steps],
            refund=refund,
            lengths=lengths,
            prices=[field_of(int(choice.value), choice.price) for choice in lengths if choice.price is not None],
            may=may,
            guests=await self._guests.at_the_desk(visit, seen.say, booking),
        )

    async def _lengths(self, visit: Visit, seen: Seen, booking: BookingOut, minutes: Sequence[int]) -> list[Choice]:
        """Longer stays, with what they change in the price where they may be had."""
        preview, choices = await self._service.length_preview(visit.ctx, booking.id), list[Choice]()
        for m in minutes:
            label, price = formats.duration(visit.locale, m), None
            with suppress(Invalid, Conflict, Forbidden):  # why it cannot be had is said when it is asked for
                price = (await preview(m)).asked.price
                costs = _with_price(seen.say, "sheet.difference", price - booking.price)
                label = seen.say.t("panel.longer_option", length=label, price=costs) if costs else label
            choices.append(Choice(label=label, value=str(m), price=price))
        return choices

    async def _refund(self, visit: Visit, booking_id: UUID) -> RefundPreview | None:
        try:
            return await self._service.refund_preview(visit.ctx, booking_id)
        except InvalidTransition:
            return None

    async def _block(self, visit: Visit, seen: Seen, block_id: UUID) -> Block:
        found = await self._service.blocks(
            visit.ctx, BlocksQuery(venue_id=seen.sheet.venue_id, from_=seen.sheet.start - timedelta(days=31), limit=AT_ONCE)
        )
        block = next((b for b in found.items if b.id == block_id), None)
        if block is None:
            raise NotFound
        return block

    # --- what is done

    @action("/orgs/{org_id}/day/new", access=CREATE)
    async def book(self, visit: Visit, org_id: UUID, form: NewForm) -> Html | Redirect:
        """Books for a guest or a walk-in."""
        book = await self._own_book(visit, org_id, form.venue_id)
        day = _day(form.day) or local(book, self._clock.now()).date()
        say = self._speaker(visit, book)
        who = form.who.strip() or say.t("sheet.walk_in")
        try:
            made = await self._service.book_for(visit.ctx, self._wish(book, day, form, who))
        except Problem as problem:
            seen = await self._seen(visit, org_id, form.venue_id, day)
            fields = {"start": "at", "email": "who", "name": "who", "account_id": "who"}
            wrong = self._pages.faults(visit, _instead(problem, book, say), fields)
            return await self._again(visit, seen, Panel(new=form, wrong=wrong))
        here = with_query(f"/orgs/{org_id}/day", {"venue_id": form.venue_id, "date": day, "booking": made.id})
        text = say.t("sheet.toast.booked", who=who, when=say.span(made.start, made.end))
        return Redirect(here, toast=text, undo=f"/orgs/{org_id}/day/{made.id}/undo")

    @staticmethod
    def _wish(book: VenueBook, day: date, form: NewForm, who: str) -> StaffBooking:
        given: dict[str, object] = {
            "resource_id": form.resource_id,
            "start": _instant(book, day, form.at, "at"),
            "duration_min": form.duration_min,
            "purpose": form.purpose,
            "team_size": form.team_size,
            "pay_with": "" if form.pay_with == HOLD else form.pay_with,
            "note": form.note.strip(),
            "email" if "@" in who else "name": who,
        }
        return read(StaffBooking, given)

    @action("/orgs/{org_id}/day/move", access=CHANGE)
    async def move(self, visit: Visit, org_id: UUID, form: MoveForm) -> Html | Redirect | Raw:
        """Moves a booking, by drag or by form."""
        before = await self._service.booking(visit.ctx, form.booking_id)
        book = await self._own_book(visit, org_id, before.venue_id)
        day = _day(form.day) or local(book, form.start or before.start).date()
        say = self._speaker(visit, book)
        minutes = Period(before.start, before.end).duration_min
        try:
            start = form.start or _instant(book, day, form.at, "at")
            at_most = price_shown(form.prices, minutes) or before.price
            moved = await self._service.reschedule(
                visit.ctx, form.booking_id, Reschedule(start, None, form.resource_id, at_most), form.version
            )
        except Problem as problem:
            problem = _instead(problem, book, say)
            if isinstance(problem, PriceChanged) and form.start is None:
                costs = msgspec.convert(problem.extra["price"], Money)
                form = msgspec.structs.replace(form, prices=[field_of(minutes, costs)])
                problem = PriceChanged(say.t("sheet.move_costs", more=say.money(costs - before.price), price=say.money(costs)))
            if visit.partial:
                return self._refused(visit, problem)
            seen = await self._seen(visit, org_id, book.venue.id, local(book, before.start).date(), before.id)
            opened = await self._opened(visit, seen, before.id)
            wrong = self._pages.faults(visit, problem, {"start": "at"})
            return await self._again(visit, seen, Panel(opened=opened, act="move", move=form, wrong=wrong))
        return await self._done(visit, org_id, book, moved, _moved_text(say, book, before, moved), _way_back(org_id, before))

    @action("/orgs/{org_id}/day/{booking_id}/back", access=CHANGE)
    async def back(self, visit: Visit, org_id: UUID, booking_id: UUID, query: Back) -> Html | Redirect | Raw:
        """Undoes a move or an extension."""
        try:
            at_most = price_shown(query.prices, query.duration_min)
            moved = await self._service.reschedule(
                visit.ctx, booking_id, Reschedule(query.start, query.duration_min, query.resource_id, at_most)
            )
        except Problem as problem:
            if visit.partial:
                return self._refused(visit, problem)
            raise
        book = await self._own_book(visit, org_id, moved.venue_id)
        return await self._done(visit, org_id, book, moved, self._say(visit, "sheet.toast.as_it_was"), "")

    @page("/orgs/{org_id}/day/quote", access=CHANGE)
    async def quote(self, visit: Visit, org_id: UUID, query: QuoteQuery) -> Raw:
        """What a booking would cost at another place or time, while it is dragged."""
        booking = await self._service.booking(visit.ctx, query.booking_id)
        book = await self._own_book(visit, org_id, booking.venue_id)
        resource = book.resource(query.resource_id)
        if resource is None:
            raise NotFound
        try:
            minutes = Period(booking.start, booking.end).duration_min
            planned = plan(book, resource, query.start, minutes, booking.purpose, booking.team_size)
            change = await self._difference(visit, booking, planned)
        except Problem as problem:
            if problem.status >= 500:
                raise
            return _json({"ok": False, "text": self._pages.said(visit)(problem.detail or problem.title)})
        text = _with_price(self._speaker(visit, book), "sheet.difference", change)
        return _json({"ok": True, "text": text, "prices": field_of(minutes, booking.price + change)})

    async def _difference(self, visit: Visit, booking: BookingOut, planned: Plan) -> Money:
        """By how much a move to there changes the price; back where it is, by nothing."""
        if (planned.resource.id, planned.period.start) == (booking.resource_id, booking.start):
            return Money.zero(booking.price.currency)
        moved = await self._service.move_preview(visit.ctx, booking.id, planned)
        return moved.asked.price - booking.price

    @action("/orgs/{org_id}/day/{booking_id}/extend", access=CHANGE)
    async def extend(self, visit: Visit, org_id: UUID, booking_id: UUID, form: ExtendForm) -> Html | Redirect:
        """A longer stay."""
        before = await self._service.booking(visit.ctx, booking_id)
        book = await self._own_book(visit, org_id, before.venue_id)
        say = self._speaker(visit, book)
        try:
            wish = Extend(form.duration_min, price_shown(form.prices, form.duration_min))
            longer = await self._service.extend(visit.ctx, booking_id, wish, form.version)
        except Problem as problem:
            problem = _instead(problem, book, say)
            seen = await self._seen(visit, org_id, book.venue.id, local(book, before.start).date(), before.id)
            opened = await self._opened(visit, seen, before.id)
            return await self._again(visit, seen, Panel(opened=opened, act="extend", wrong=self._pages.faults(visit, problem)))
        may = _may(visit, book, longer, self._clock.now())
        text = _with_price(say, "sheet.toast.until", longer.price - before.price, until=say.time(longer.end))
        return await self._done(visit, org_id, book, longer, text, _way_back(org_id, before) if "move" in may else "")

    @action("/orgs/{org_id}/day/{booking_id}/cancel", access=CANCEL)
    async def cancel(self, visit: Visit, org_id: UUID, booking_id: UUID, form: CancelForm) -> Html | Redirect | Raw:
        """Gives the place back, and the money that the policy gives back."""
        before = await self._service.booking(visit.ctx, booking_id)
        preview = await self._refund(visit, booking_id)
        try:
            shown = Money(form.refund_minor, before.price.currency)
            gone = await self._service.cancel(visit.ctx, booking_id, Cancel(form.reason.strip() or None, shown))
        except Problem as problem:
            if visit.partial:
                return self._refused(visit, problem)
            book = await self._own_book(visit, org_id, before.venue_id)
            seen = await self._seen(visit, org_id, book.venue.id, local(book, before.start).date(), before.id)
            opened = await self._opened(visit, seen, before.id)
            return await self._again(visit, seen, Panel(opened=opened, act="cancel", wrong=self._pages.faults(visit, problem)))
        book = await self._own_book(visit, org_id, gone.venue_id)
        say = self._speaker(visit, book)
        text = say.t("sheet.toast.cancelled")
        if preview is not None and (back := came_back(before, gone, preview)):
            text = say.t("sheet.toast.cancelled_back", refund=say.money(back))
        return await self._done(visit, org_id, book, gone, text, "", chosen=False)

    @action("/orgs/{org_id}/day/{booking_id}/undo", access=CREATE)
    async def undo(self, visit: Visit, org_id: UUID, booking_id: UUID) -> Html | Redirect:
        """Takes back a booking that the visitor made a moment ago: as if it had never been, so everything goes back."""
        steps = await self._service.history(visit.ctx, booking_id)
        mine = bool(steps) and steps[0].account_id == visit.ctx.account_id
        if not mine or self._clock.now() - steps[0].at > UNDO_FOR:
            raise InvalidTransition("It was made too long ago, or by somebody else. Cancel it instead.")
        gone = await self._service.release(visit.ctx, booking_id, "undone")
        book = await self._own_book(visit, org_id, gone.venue_id)
        return await self._done(visit, org_id, book, gone, self._say(visit, "sheet.toast.taken_back"), "", chosen=False)

    @action("/orgs/{org_id}/day/{booking_id}/approve", access=APPROVE)
    async def approve(self, visit: Visit, org_id: UUID, booking_id: UUID) -> Html | Redirect:
        """Says yes."""
        return await self._decided(visit, org_id, await self._service.approve(visit.ctx, booking_id), "sheet.toast.approved")

    @action("/orgs/{org_id}/day/{booking_id}/decline", access=APPROVE)
    async def decline(self, visit: Visit, org_id: UUID, booking_id: UUID, form: DeclineForm) -> Html | Redirect:
        """Says no, and why."""
        reason = form.reason.strip() or Why.NOT_POSSIBLE
        declined = await self._service.decline(visit.ctx, booking_id, reason)
        return await self._decided(visit, org_id, declined, "sheet.toast.declined")

    @action("/orgs/{org_id}/day/{booking_id}/no-show", access=CHANGE)
    async def no_show(self, visit: Visit, org_id: UUID, booking_id: UUID) -> Html | Redirect:
        """Nobody came."""
        return await self._decided(visit, org_id, await self._service.no_show(visit.ctx, booking_id), "sheet.toast.no_show")

    async def _decided(self, visit: Visit, org_id: UUID, booking: BookingOut, key: str) -> Html | Redirect:
        book = await self._own_book(visit, org_id, booking.venue_id)
        return await self._done(visit, org_id, book, booking, self._say(visit, key), "", chosen=booking.status in OPEN_STATES)

    # --- guests

    @action("/orgs/{org_id}/day/{booking_id}/invitees", access=CHANGE, limits=INVITING)
    async def invite(self, visit: Visit, org_id: UUID, booking_id: UUID, form: NewGuest) -> Html | Redirect:
        """Invites one more in the name of whose booking it is."""
        email = form.email.strip()
        wish = NewInvitee(email=email)
        booking = await self._service.booking(visit.ctx, booking_id)
        book = await self._own_book(visit, org_id, booking.venue_id)
        try:
            await self._service.invite(visit.ctx, booking_id, wish)
        except Problem as problem:
            return await self._uninvited(visit, org_id, book, booking, problem, email)
        return await self._done(visit, org_id, book, booking, self._say(visit, "guests.invited", email=email), "")

    @action("/orgs/{org_id}/day/{booking_id}/invitees/{invitee_id}/ask", access=CHANGE, limits=INVITING)
    async def ask_again(self, visit: Visit, org_id: UUID, booking_id: UUID, invitee_id: UUID) -> Html | Redirect:
        """Asks once more who said no or was taken off, in the name of whose booking it is."""
        booking = await self._service.booking(visit.ctx, booking_id)
        book = await self._own_book(visit, org_id, booking.venue_id)
        try:
            await self._service.ask_again(visit.ctx, booking_id, invitee_id)
        except Problem as problem:
            return await self._uninvited(visit, org_id, book, booking, problem, "")
        return await self._done(visit, org_id, book, booking, self._say(visit, "guests.asked_again"), "")

    async def _uninvited(
        self, visit: Visit, org_id: UUID, book: VenueBook, booking: BookingOut, problem: Problem, email: str
    ) -> Html:
        """The day with the booking beside it, and why somebody is not invited."""
        wrong = self._pages.faults(visit, problem, {"invitees": "email"})
        seen = await self._seen(visit, org_id, book.venue.id, local(book, booking.start).date(), booking.id)
        return await self._again(visit, seen, Panel(opened=await self._opened(visit, seen, booking.id), wrong=wrong, email=email))

    @action("/orgs/{org_id}/day/{booking_id}/invitees/{invitee_id}/withdraw", access=CHANGE)
    async def withdraw(self, visit: Visit, org_id: UUID, booking_id: UUID, invitee_id: UUID) -> Html | Redirect:
        """Takes an invitation back; the page has asked before."""
        booking = await self._service.booking(visit.ctx, booking_id)
        book = await self._own_book(visit, org_id, booking.venue_id)
        await self._service.withdraw(visit.ctx, booking_id, invitee_id)
        return await self._done(visit, org_id, book, booking, self._say(visit, "guests.withdrawn"), "")

    # --- blocks

    @action("/orgs/{org_id}/day/block", access=BLOCK)
    async def place_block(self, visit: Visit, org_id: UUID, form: BlockForm) -> Html | Redirect:
        """Takes time out."""
        book = await self._own_book(visit, org_id, form.venue_id)
        day = _day(form.day) or local(book, self._clock.now()).date()
        try:
            block = await self._service.place_block(visit.ctx, self._new_block(book, day, form))
        except Problem as problem:
            seen = await self._seen(visit, org_id, form.venue_id, day)
            problem = _hits(problem, book, seen.say)
            wrong = self._pages.faults(visit, problem, {"start": "at", "end": "until"})
            return await self._again(visit, seen, Panel(blocking=form, wrong=wrong))
        here = with_query(f"/orgs/{org_id}/day", {"venue_id": form.venue_id, "date": day})
        text = self._say(visit, "sheet.toast.blocked", reason=block.reason)
        return Redirect(here, toast=text, undo=f"/orgs/{org_id}/day/blocks/{block.id}/remove")

    @staticmethod
    def _new_block(book: VenueBook, day: date, form: BlockForm) -> NewBlock:
        if not form.resource_ids:
            raise Invalid.field("resource_ids", "tick at least one")
        if not form.reason.strip():
            raise Invalid.field("reason", "is needed: staff and guests read it")
        start, end = _instant(book, day, form.at, "at"), _instant(book, day, form.until, "until")
        if end <= start:
            end = _instant(book, day + timedelta(days=1), form.until, "until")
        rule = f"FREQ=WEEKLY;COUNT={int(form.weeks)}" if form.weeks.isdecimal() and 1 < int(form.weeks) <= 52 else None
        if form.weeks.strip() not in ("", "0", "1") and rule is None:
            raise Invalid.field("weeks", "2 to 52 weeks, or empty for once")
        return NewBlock([read(_Id, {"id": i}).id for i in form.resource_ids], start, end, form.reason.strip(), rule)

    @action("/orgs/{org_id}/day/blocks/{block_id}/remove", access=BLOCK)
    async def remove_block(self, visit: Visit, org_id: UUID, block_id: UUID) -> Redirect:
        """Gives the time back."""
        await self._service.remove_block(visit.ctx, block_id)
        return Redirect(f"/orgs/{org_id}/day", toast=self._say(visit, "sheet.toast.unblocked"))

    # --- the list

    @page("/orgs/{org_id}/bookings", access=READ)
    async def bookings(self, visit: Visit, org_id: UUID, query: ListQuery) -> Html:
        """All bookings, with filters."""
        organisation = await self._venues.organisation(visit.ctx, org_id)
        venues = (await self._venues.venues(visit.ctx, MAX_VENUES, None)).items
        account, nobody = None, False
        if query.who.strip():
            card = await self._identity.account_by_email(visit.ctx, query.who.strip())
            account, nobody = (card.id if card else None), card is None
        asked = self._asked(organisation, query, account)
        found = await self._service.org_bookings(visit.ctx, asked)
        items = [] if nobody else found.items
        return self._pages.page(
            "booking/staff_bookings.html",
            visit,
            org=staff_bar(organisation, visit.ctx),
            rows=await self._rows(visit, org_id, items),
            query=query,
            nobody=nobody,
            venues=venues,
            shows=[
                Choice(
                    label=self._say(visit, f"bookings.show.{name}"),
                    value=name,
                    href=_list_href(org_id, query, show=name),
                    chosen=query.show == name,
                )
                for name in SHOWS
            ],
            next_href=_list_href(org_id, query, cursor=found.next_cursor) if found.next_cursor and not nobody else "",
            first_href=_list_href(org_id, query) if query.cursor else "",
            clear_href=f"/orgs/{org_id}/bookings",
        )

    def _asked(self, organisation: Organisation, query: ListQuery, account_id: UUID | None) -> OrgBookingsQuery:
        tz = zone(organisation.timezone)
        now = self._clock.now()
        start = wall(tz, query.from_, 0) if query.from_ else (now - timedelta(hours=12) if query.show == "open" else None)
        end = wall(tz, query.to + timedelta(days=1), 0) if query.to else None
        return OrgBookingsQuery(
            status=list(SHOWS[query.show]) or None,
            from_=start,
            to=end,
            venue_id=query.venue_id,
            account_id=account_id,
            limit=query.limit if query.limit != Paged().limit else 50,
            cursor=query.cursor,
        )

    async def _rows(self, visit: Visit, org_id: UUID, items: list[BookingOut]) -> list[Listed]:
        books = {b.venue.id: b for b in await self._venues.books(visit.ctx, list({i.venue_id for i in items}))}
        ids = list({i.account_id for i in items if i.account_id})
        names = {card.id: card.name for card in await self._identity.accounts(visit.ctx, ids)} if ids else {}
        say = Speaker(self._pages.pages, visit.locale, "UTC")
        rows: list[Listed] = []
        for item in items:
            book = books.get(item.venue_id)
            if book is None:
                continue
            resource = book.resource(item.resource_id)
            day = local(book, item.start).date()
            rows.append(
                Listed(
                    item,
                    resource.name if resource else "",
                    book.venue.name,
                    book.venue.timezone,
                    _who(say, item, names),
                    item.price - item.paid,
                    with_query(f"/orgs/{org_id}/day", {"venue_id": item.venue_id, "date": day, "booking": item.id}),
                )
            )
        return rows

    # --- shared

    def _speaker(self, visit: Visit, book: VenueBook) -> Speaker:
        """Words in the visitor's language, times on the venue's clock."""
        return Speaker(self._pages.pages, visit.locale, book.venue.timezone)

    def _say(self, visit: Visit, key: str, /, **values: object) -> str:
        return self._pages.text(visit, key, **values)

    def _refused(self, visit: Visit, problem: Problem) -> Raw:
        """A problem for a script of the page, which shows it where the block was dropped."""
        if problem.status >= 500:
            raise problem
        said = self._pages.said(visit)
        title, detail = said(problem.title), said(problem.detail or problem.title)
        body = {"title": title, "detail": detail, "status": problem.status, "code": problem.code}
        return Raw(msgspec.json.encode(body), PROBLEM_JSON, problem.status)

    async def _own_book(self, visit: Visit, org_id: UUID, venue_id: UUID) -> VenueBook:
        book = await self._venues.book(visit.ctx, venue_id)
        if book.organisation.id != org_id:
            raise NotFound
        return book

    async def _done(
        self, visit: Visit, org_id: UUID, book: VenueBook, booking: BookingOut, text: str, undo: str, *, chosen: bool = True
    ) -> Html | Redirect:
        """What changed: its parts for scripts, otherwise the day with a toast."""
        day = local(book, booking.start).date()
        if visit.partial:
            seen = await self._seen(visit, org_id, book.venue.id, day, booking.id if chosen else None)
            return self._fragments(visit, seen, text, undo)
        opened = booking.id if chosen else None
        here = with_query(f"/orgs/{org_id}/day", {"venue_id": book.venue.id, "date": day, "booking": opened})
        return Redirect(here, toast=text, undo=undo)

    async def _again(self, visit: Visit, seen: Seen, panel: Panel) -> Html:
        """The page with the form as it was filled in, and what is wrong with it."""
        venues = (await self._venues.venues(visit.ctx, MAX_VENUES, None)).items
        return self._sheet(visit, seen, panel, venues)


SHOWS: dict[str, tuple[BookingStatus, ...]] = {
    "open": (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS),
    "asks": (BookingStatus.PENDING_APPROVAL,),
    "unpaid": (BookingStatus.PAYMENT_PENDING,),
    "done": (BookingStatus.COMPLETED, BookingStatus.NO_SHOW),
    "gone": (BookingStatus.CANCELLED, BookingStatus.DECLINED, BookingStatus.EXPIRED),
    "all": (),
}


class _Id(msgspec.Struct):
    id: UUID


_DEEDS = {
    "move": (BookingAction.RESCHEDULE, CHANGE_ANY),
    "extend": (BookingAction.EXTEND, CHANGE_ANY),
    "no_show": (BookingAction.MARK_NO_SHOW, CHANGE_ANY),
    "cancel": (BookingAction.CANCEL, CANCEL_ANY),
    "approve": (BookingAction.APPROVE, APPROVE_ANY),
}
"""What the panel offers, by the names of its template: what the rules call it, and the permission it takes."""


def _may(visit: Visit, book: VenueBook, booking: BookingOut, now: datetime) -> frozenset[str]:
    """What the visitor may do to this booking as it stands; what would be refused anyway is not offered."""
    stands = standing(book, booking)
    return frozenset(
        name
        for name, (deed, permission) in _DEEDS.items()
        if visit.ctx.may(permission) and permitted(stands, deed, BookingActor.STAFF, now)
    )


def _day(text: str) -> date | None:
    """None for what is no date. Raises Invalid for years that the calendar of bookings does not have."""
    try:
        day = date.fromisoformat(text.strip())
    except ValueError:
        return None
    if not 2000 <= day.year <= 2199:
        raise Invalid.field("day", "is not between the years 2000 and 2199")
    return day


def _instant(book: VenueBook, day: date, at: str, path: str) -> datetime:
    """A clock time of the venue on a day. Raises Invalid at `path`."""
    digits = at.strip().replace(".", ":")
    hours, _, minutes = digits.partition(":")
    if not hours.isdecimal() or not (minutes or "0").isdecimal() or int(hours) > 24 or int(minutes or 0) > 59:
        raise Invalid.field(path, "write the time like 18:30")
    return wall(zone(book.venue.timezone), day, minutes_of(f"{int(hours):02d}:{int(minutes or 0):02d}"))


def _instead(problem: Problem, book: VenueBook, say: Speaker) -> Problem:
    """A taken time with what is free nearby, in words."""
    if not isinstance(problem, SlotTaken):
        return problem
    offered = cast("list[dict[str, str]]", problem.extra.get("alternatives") or [])[:3]
    words: list[str] = []
    for one in offered:
        resource = book.resource(UUID(one["resource_id"]))
        time = say.time(datetime.fromisoformat(one["start"]))
        words.append(say.t("sheet.time_on", time=time, place=resource.name if resource else say.t("sheet.another")))
    return SlotTaken(say.t("sheet.taken_nearby", times=_listed(say, words)) if words else say.t("sheet.taken"))


def _hits(problem: Problem, book: VenueBook, say: Speaker) -> Problem:
    """The bookings in a block's way, in words."""
    if not isinstance(problem, PlaceBlocked):
        return problem
    hits = cast("list[dict[str, dict[str, str]]]", problem.extra.get("hits") or [])
    words: list[str] = []
    for hit in hits[:4]:
        booking = hit["booking"]
        resource = book.resource(UUID(booking["resource_id"]))
        at = datetime.fromisoformat(booking["start"])
        place = resource.name if resource else ""
        words.append(say.t("sheet.hit", place=place, day=say.date(at, "short"), time=say.time(at)).strip())
    if not words:
        return problem
    bookings, more = _listed(say, words), len(hits) - len(words)
    if more:
        return PlaceBlocked(say.t("sheet.in_the_way_more", bookings=bookings, n=more))
    return PlaceBlocked(say.t("sheet.in_the_way", bookings=bookings))


def _listed(say: Speaker, words: list[str]) -> str:
    return say.t("sheet.comma").join(words)


def _with_price(say: Speaker, key: str, change: Money, **values: object) -> str:
    """The sentence of `key`, or of `key_more` or `key_less` when the price changes; no difference alone says nothing."""
    if change.amount > 0:
        return say.t(f"{key}_more", price=say.money(change), **values)
    if change.amount < 0:
        return say.t(f"{key}_less", price=say.money(-change), **values)
    return say.t(key, **values) if values else ""


def _way_back(org_id: UUID, before: BookingOut) -> str:
    """The address that undoes a change: back to where and how long the booking was."""
    minutes = Period(before.start, before.end).duration_min
    cost = field_of(minutes, before.price)
    was = {"resource_id": before.resource_id, "start": before.start, "duration_min": minutes, "prices": cost}
    return with_query(f"/orgs/{org_id}/day/{before.id}/back", was)


def _moved_text(say: Speaker, book: VenueBook, before: BookingOut, moved: BookingOut) -> str:
    resource = book.resource(moved.resource_id)
    place, when = resource.name if resource else "", say.span(moved.start, moved.end)
    return _with_price(say, "sheet.toast.moved", moved.price - before.price, place=place, when=when)


def _who(say: Speaker, booking: BookingOut, names: Mapping[UUID, str]) -> str:
    """Whose it is; empty for who has no name here. `names`: of every account that is one."""
    if booking.account_id is None:
        return booking.guest_name or ""
    return names.get(booking.account_id) or say.t("guests.deleted")


def _step(say: Speaker, row: TransitionRow) -> Step:
    deed = say.known("sheet.story", row.action)
    if row.actor is not BookingActor.HOUSE:
        deed = say.t(f"sheet.story_by.{row.actor.value}", deed=deed)
    return Step(deed, row.at.astimezone(UTC))


def _list_href(org_id: UUID, query: ListQuery, *, show: str | None = None, cursor: str | None = None) -> str:
    values = {
        "show": show or query.show,
        "venue_id": query.venue_id,
        "from": query.from_,
        "to": query.to,
        "who": query.who or None,
    }
    return with_query(f"/orgs/{org_id}/bookings", {**values, "cursor": cursor})


def _json(body: object) -> Raw:
    return Raw(msgspec.json.encode(body), "application/json", headers={"Cache-Control": "no-store"})
