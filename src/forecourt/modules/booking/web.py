"""What guests see of booking: a place and its free times, holding, paying, their bookings."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping
from datetime import date, datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
import segno
from markupsafe import Markup
from msgspec import Meta

from forecourt.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PaymentRequired, Problem, TooManyRequests
from forecourt.kernel.http.operation import PERSON, Api, EventStream, Html, Redirect, Visit, action, page
from forecourt.kernel.live import Hub, server_sent
from forecourt.kernel.money import Money
from forecourt.kernel.paging import Paged
from forecourt.kernel.period import Period
from forecourt.kernel.web import formats
from forecourt.kernel.web.addresses import with_query
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.kernel.web.views import Choice, Link
from forecourt.modules.booking.contract import (
    Alternative,
    BookingAction,
    BookingActor,
    BookingOut,
    BookingPatch,
    BookingStatus,
    Cancel,
    Extend,
    HoldExpired,
    Instant,
    InvalidTransition,
    NewBooking,
    NewInvitee,
    Note,
    Pay,
    PayWith,
    PriceChanged,
    RefundChanged,
    Reschedule,
    SlotTaken,
)
from forecourt.modules.booking.grid import Look
from forecourt.modules.booking.guest_views import (
    AMENITY_ICONS,
    Amenity,
    Chosen,
    HeldRow,
    InsteadView,
    NextUp,
    Row,
    Speaker,
    VenueLook,
    What,
    came_back,
    fields_of,
    free_until,
    hold_label,
    hold_words,
    org_nav,
    pictures_of,
    policy_facts,
    quote_view,
    ticket_facts,
    ticket_words,
    venue_facts,
    what_of,
)
from forecourt.modules.booking.guest_web import INVITING, Guests, GuestsView, NewGuest
from forecourt.modules.booking.picking import Picked, Picker, Target
from forecourt.modules.booking.rules import Repricing, needs_approval, party_limits, permitted
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.base import standing
from forecourt.modules.booking.service.changing import Change
from forecourt.modules.booking.service.pricing import Bill, Plan, plan
from forecourt.modules.booking.service.reading import BookingsQuery
from forecourt.modules.booking.showing import Showing, bookable
from forecourt.modules.booking.shown import ShownPrices, field_of, price_shown
from forecourt.modules.identity.contract import EmailUnconfirmed
from forecourt.modules.payments.contract import InsufficientCredits, MeansNotSetUp, Payments
from forecourt.modules.venues.contract import DurationMin, People, Purpose, Resource, VenueBook
from forecourt.modules.venues.contract.calendar import open_periods, zone
from forecourt.modules.venues.contract.tariff import from_price

RESET = b"event: reset\ndata: again\n\n"
SOON = timedelta(hours=12)
"""A booking so near stands on top of the list as a ticket."""
SHORTEST_MIN = 15
OPEN = (BookingStatus.PAYMENT_PENDING, BookingStatus.PENDING_APPROVAL, BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS)
GONE = (BookingStatus.CANCELLED, BookingStatus.DECLINED, BookingStatus.EXPIRED)
PAST = (BookingStatus.COMPLETED, BookingStatus.NO_SHOW)
CHANGEABLE = (BookingStatus.UPCOMING, BookingStatus.PENDING_APPROVAL)
MENDABLE = (Invalid, Conflict, PaymentRequired, Forbidden)
"""Problems of a form that its reader can do something about on the same page."""
INVITED_IN_VAIN = (*MENDABLE, TooManyRequests)
MORE_PEOPLE = 12
"""So many more are offered on a page."""


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A place and time somebody wants to hold. All optional, so that a half-lost address leads somewhere sensible."""

    resource_id: UUID | None = None
    start: Instant | None = None
    duration_min: DurationMin | None = None
    team_size: People | None = None
    purpose: Purpose = Purpose.WORKOUT
    note: Note = ""


class MorePeople(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`prices`, here and below, are what the reader was shown: more than that is shown again before it is done."""

    team_size: Annotated[int, Meta(ge=1, le=10_000)]
    prices: ShownPrices = []


class Longer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    duration_min: DurationMin
    prices: ShownPrices = []


class Paying(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pay_with: PayWith | None = None


class Cancelling(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`refund_minor` is what the reader was shown: less than that is shown again before it is done."""

    reason: Annotated[str, Meta(max_length=500)] = ""
    refund_minor: Annotated[int, Meta(ge=0, le=10**12)] = 0
    held: bool = False


class Moving(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    resource_id: UUID
    start: Instant
    duration_min: DurationMin
    prices: ShownPrices = []


class Mine(Paged, kw_only=True):
    show: Annotated[str, Meta(pattern="^(coming|past|cancelled)$")] = "coming"


class Found(msgspec.Struct, frozen=True):
    """A booking with the place it is at."""

    booking: BookingOut
    book: VenueBook
    resource: Resource
    say: Speaker
    what: What

    @property
    def period(self) -> Period:
        return Period(self.booking.start, self.booking.end)


class BookingPages(Api):
    tag = "Pages"

    def __init__(
        self, service: BookingService, showing: Showing, payments: Payments, pages: Surroundings, hub: Hub, public_url: str
    ) -> None:
        self.service = service
        self.showing = showing
        self.payments = payments
        self.pages = pages
        self.hub = hub
        self.public_url = public_url
        self.clock = service.clock
        self.picker = Picker(showing, service.clock)
        self.guests = Guests(service, pages)

    # ------------------------------------------------------------------------------------------------------------- looking

    @page("/venues/{id}")
    async def venue(self, visit: Visit, id: UUID, query: Look) -> Html:
        """A place, its free times, and what the chosen one costs."""
        book = await self.showing.venue(id)
        resources = bookable(book)
        say = self._speaker(visit, book)
        picked = await self.picker.pick(visit.ctx, say, Target(base=f"/venues/{id}", book=book, resources=resources), query)
        now = self.clock.now()
        start = picked.plan.period.start if picked.plan else None
        parts = {
            "look": await self._own_or_lost(visit, say, query, picked.look),
            "choice": self._choice(visit, say, picked, now),
            "policy": policy_facts(say, book.policies, start, now),
            "partial": visit.partial,
        }
        if visit.partial:
            return self._fragment(visit, say, book, parts, picked.plan)
        return self.pages.page(
            "booking/venue.html",
            visit,
            org=org_nav(book),
            live=f"/venues/{id}/live",
            values=parts,
            venue=book.venue,
            crumbs=_crumbs(say, book),
            pictures=pictures_of(resources),
            photos=[*book.venue.photos, *(photo for r in resources for photo in r.photos)],
            facts=venue_facts(say, book, resources, picked.day, open_periods(book, picked.day), picked.today, from_price(book)),
            amenities=[Amenity(AMENITY_ICONS.get(a, "check"), say.known("amenity", a)) for a in book.venue.amenities],
            rules=[line.strip() for line in book.venue.house_rules.splitlines() if line.strip()],
        )

    async def _own_or_lost(self, visit: Visit, say: Speaker, query: Look, look: VenueLook) -> VenueLook:
        """Whoever steps back after booking reads that the time is theirs, not that somebody took it."""
        if not look.lost or visit.person is None or query.resource_id is None or query.start is None:
            return look
        own = await self._own_at(visit, query.resource_id, query.start, query.duration_min or SHORTEST_MIN)
        if own is None:
            return look
        words = say.t("taken.own", day=say.date(query.start, "day"), when=say.time(query.start))
        return msgspec.structs.replace(look, lost="", instead=[], own=Link(words, f"/bookings/{own}"))

    @page("/venues/{id}/live")
    async def live(self, id: UUID) -> EventStream:
        """Which days of the place have other free times now, as it happens."""
        await self.showing.venue(id)
        return EventStream(server_sent(self.hub.listen(f"venue:{id}:availability"), reset=RESET))

    def _fragment(self, visit: Visit, say: Speaker, book: VenueBook, parts: Mapping[str, object], planned: Plan | None) -> Html:
        """The picker and the summary alone; what was chosen is said aloud."""
        html = self.pages.page("booking/picking.html", visit, org=org_nav(book), values=parts)
        if planned is None:
            return html
        words = say.t(
            "look.chosen",
            place=planned.resource.name,
            when=say.span(planned.period.start, planned.period.end),
            price=say.money(planned.bill.total),
        )
        # A header is ASCII; JSON can say everything in it.
        return msgspec.structs.replace(html, headers={"HX-Trigger": json.dumps({"say": {"text": words}})})

    def _choice(self, visit: Visit, say: Speaker, picked: Picked, now: datetime) -> Chosen | None:
        planned = picked.plan
        if planned is None:
            return None
        wish = _wish_fields(planned)
        signed_in = visit.person is not None
        return Chosen(
            title=f"{planned.resource.name}, {say.date(planned.period.start, 'day')}",
            when=say.span(planned.period.start, planned.period.end),
            length=say.length(planned.period.duration_min),
            quote=quote_view(say, planned.bill),
            action=hold_label(say, planned.resource),
            under=hold_words(say, planned, now, signed_in=signed_in),
            near=picked.near,
            href="" if signed_in else with_query("/book", wish),
            form="hold-form" if signed_in else "",
            post="/book",
            fields=fields_of(wish),
        )

    # ------------------------------------------------------------------------------------------------------------- holding

    @page("/book", access=PERSON)
    async def book(self, visit: Visit, query: Wish) -> Html | Redirect:
        """The last look before a place is held. This is where signing in leads back to."""
        if query.resource_id is None or query.start is None or query.duration_min is None:
            return Redirect("/discover")
        return await self._book_page(visit, query)

    async def _book_page(self, visit: Visit, wish: Wish, problem: Problem | None = None) -> Html:
        planned, say = await self._planned(visit, wish)
        now = self.clock.now()
        what = what_of(
            say,
            planned.book,
            planned.resource,
            planned.period,
            planned.team_size,
            planned.bill,
            under=hold_words(say, planned, now, signed_in=True),
        )
        return self.pages.page(
            "booking/book.html",
            visit,
            org=org_nav(planned.book),
            status=200 if problem is None else problem.status,
            what=what,
            fields=fields_of(_wish_fields(planned)),
            note=wish.note,
            back=_venue_href(planned),
            policy=policy_facts(say, planned.book.policies, planned.period.start, now),
            problem="" if problem is None else self.pages.words(visit, problem),
        )

    async def _planned(self, visit: Visit, wish: Wish) -> tuple[Plan, Speaker]:
        """Raises NotFound, and Invalid for what no calendar holds."""
        if wish.resource_id is None or wish.start is None or wish.duration_min is None:
            raise NotFound
        book, resource = await self.showing.resource(wish.resource_id)
        planned = plan(book, resource, wish.start, wish.duration_min, wish.purpose, wish.team_size)
        return planned, self._speaker(visit, book)

    @action("/book")
    async def hold(self, visit: Visit, form: Wish) -> Html | Redirect:
        """Holds a place. Who comes second sees what is free nearby."""
        if form.resource_id is None or form.start is None or form.duration_min is None:
            return Redirect("/discover")
        wish = NewBooking(
            form.resource_id,
            form.start,
            form.duration_min,
            purpose=form.purpose,
            team_size=form.team_size,
            note=form.note or None,
        )
        try:
            held = await self._held(visit, form, wish)
        except SlotTaken as taken:
            own = await self._own_at(visit, form.resource_id, form.start, form.duration_min)
            return Redirect(f"/bookings/{own}") if own else await self._taken_page(visit, form, taken)
        except MENDABLE as problem:
            return await self._book_page(visit, form, problem)
        return Redirect(f"/bookings/{held.id}")

    async def _held(self, visit: Visit, form: Wish, wish: NewBooking) -> BookingOut:
        """A place to pay for, or a request; when staff have to agree and one's credits cover it, they are set aside with it."""
        planned, _ = await self._planned(visit, form)
        person = visit.person
        if not needs_approval(planned.book.policies, planned.purpose) or person is None or not person.confirmed:
            return await self.service.hold(visit.ctx, wish)
        price, balance = planned.bill.total, await self._balance(visit, planned.book)
        if not price or balance < price:
            return await self.service.hold(visit.ctx, wish)
        return await self.service.book(visit.ctx, msgspec.structs.replace(wish, pay_with=PayWith.CREDITS))

    async def _balance(self, visit: Visit, book: VenueBook) -> Money:
        """One's credits at the organisation."""
        zero = Money.zero(book.organisation.currency)
        if visit.person is None:
            return zero
        wallets = await self.payments.balance(visit.ctx.within(None), visit.person.id)
        return next((w.balance for w in wallets if w.organisation_id == book.organisation.id), zero)

    async def _own_at(self, visit: Visit, resource_id: UUID, start: datetime, duration_min: int) -> UUID | None:
        """One's own booking of just that: a form that was sent twice, or a step back in the browser."""
        end = start + timedelta(minutes=duration_min)
        mine = await self.service.my_bookings(visit.ctx, BookingsQuery(status=list(OPEN), from_=start, to=end, soonest=True))
        return next((b.id for b in mine.items if b.resource_id == resource_id and b.start == start), None)

    async def _taken_page(self, visit: Visit, wish: Wish, taken: SlotTaken) -> Html:
        planned, say = await self._planned(visit, wish)
        found = msgspec.convert(taken.extra.get("alternatives", []), list[Alternative])
        options: list[InsteadView] = []
        for other in found:
            place = planned.book.resource(other.resource_id)
            if place is not None:
                options.append(
                    InsteadView(
                        when=say.time(other.start),
                        place=place.name,
                        detail=f"{say.span(other.start, other.end)}, {say.date(other.start, 'day')}",
                        price=other.price,
                        fields=fields_of(_wish_fields(planned, place.id, other.start)),
                    )
                )
        return self.pages.page(
            "booking/taken.html",
            visit,
            org=org_nav(planned.book),
            status=409,
            sentence=say.t("taken.sentence", place=planned.resource.name, when=say.time(planned.period.start)),
            options=options,
            venue_href=with_query(
                f"/venues/{planned.book.venue.id}",
                {"date": _day_of(planned), "duration_min": planned.period.duration_min},
            ),
        )

    # ------------------------------------------------------------------------------------------------------- one's booking

    @page("/bookings/{id}", access=PERSON)
    async def booking(self, visit: Visit, id: UUID) -> Html:
        """A booking: to pay while it is held, a ticket afterwards."""
        return await self._booking_page(visit, await self._found(visit, id))

    async def _booking_page(self, visit: Visit, found: Found, problem: Problem | None = None) -> Html:
        held_until = found.booking.hold_expires_at
        match found.booking.status:
            case BookingStatus.PAYMENT_PENDING if held_until is not None and held_until > self.clock.now():
                return await self._pay_page(visit, found, problem)
            case BookingStatus.PAYMENT_PENDING | BookingStatus.EXPIRED:
                return self._over_page(visit, found)
            case _:
                return await self._ticket_page(visit, found, problem, await self.guests.of(visit, found.say, found.booking))

    async def _pay_page(self, visit: Visit, found: Found, problem: Problem | None) -> Html:
        person = visit.person
        return self.pages.page(
            "booking/pay.html",
            _at(visit, found.booking),
            org=org_nav(found.book),
            status=200 if problem is None else problem.status,
            booking=found.booking,
            what=found.what,
            ways=await self._ways(visit, found),
            policy=policy_facts(found.say, found.book.policies, found.booking.start, self.clock.now()),
            problem="" if problem is None else self._pay_words(visit, found.say, problem),
            unconfirmed=person is not None and not person.confirmed,
            hold_s=found.book.policies.hold_min * 60,
            again_href=with_query("/book", _booked_fields(found)),
        )

    def _pay_words(self, visit: Visit, say: Speaker, problem: Problem) -> str:
        match problem:
            case EmailUnconfirmed():
                return ""  # the page says it itself, with the way to mend it
            case MeansNotSetUp():
                return say.t("pay.means")
            case _:
                return self.pages.words(visit, problem)

    async def _ways(self, visit: Visit, found: Found) -> list[Choice]:
        """Credits when there are enough, and the desk; what cannot be had says why."""
        say, price = found.say, found.booking.price
        balance = await self._balance(visit, found.book)
        enough = price <= balance
        if enough:
            hint, reason = say.t("pay.credits_stays", balance=say.money(balance), rest=say.money(balance - price)), ""
        elif balance:
            hint, reason = "", say.t("pay.credits_short", balance=say.money(balance), short=say.money(price - balance))
        else:
            hint, reason = "", say.t("pay.credits_none")
        return [
            Choice(
                label=say.t("pay.credits", org=found.book.organisation.name),
                value=PayWith.CREDITS.value,
                hint=hint,
                reason=reason,
                chosen=enough,
                disabled=not enough,
                price=price if enough else None,
            ),
            Choice(
                label=say.t("pay.desk"), value=PayWith.DESK.value, hint=say.t("pay.desk_hint"), chosen=not enough, price=price
            ),
        ]

    def _over_page(self, visit: Visit, found: Found) -> Html:
        return self.pages.page(
            "booking/over.html",
            visit,
            org=org_nav(found.book),
            what=found.what,
            fields=fields_of(_booked_fields(found)),
            venue_href=f"/venues/{found.book.venue.id}",
        )

    async def _ticket_page(self, visit: Visit, found: Found, problem: Problem | None, guests: GuestsView | None) -> Html:
        booking, say, now = found.booking, found.say, self.clock.now()
        headline, text = ticket_words(say, booking)
        valid = booking.status in (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS)
        lengths = await self._longer(visit, found) if self._may(found, BookingAction.EXTEND) else []
        where = found.book.venue.location
        return self.pages.page(
            "booking/ticket.html",
            _at(visit, booking),
            org=org_nav(found.book),
            status=200 if problem is None else problem.status,
            booking=booking,
            what=found.what,
            guests=guests,
            headline=headline,
            text=text,
            problem="" if problem is None else self.pages.words(visit, problem),
            facts=ticket_facts(say, booking, free_until(say, found.book.policies, booking.start, now) if valid else ""),
            code=self._code(booking) if valid else "",
            pin="" if booking.access is None else " ".join(booking.access.pin),
            calendar_href=f"/v1/bookings/{booking.id}/calendar.ics" if valid else "",
            directions_href=f"https://www.openstreetmap.org/directions?to={where.lat},{where.lon}",
            venue_href=f"/venues/{found.book.venue.id}",
            again_href=""
            if valid or booking.status in CHANGEABLE
            else with_query(f"/venues/{found.book.venue.id}", {"duration_min": found.period.duration_min}),
            people_href=f"/bookings/{booking.id}/people" if self._may_be_more(found) else "",
            can_change=booking.status in CHANGEABLE and booking.start > now,
            can_move=self._may(found, BookingAction.RESCHEDULE),
            can_cancel=self._may(found, BookingAction.CANCEL),
            lengths=lengths,
            prices=_prices_of(lengths),
            dearer=isinstance(problem, PriceChanged),
            policy=policy_facts(say, found.book.policies, booking.start, now),
        )

    def _may(self, found: Found, action: BookingAction) -> bool:
        """Whether the reader may do that to their booking now: what would be refused anyway is not offered."""
        return permitted(standing(found.book, found.booking), action, BookingActor.CUSTOMER, self.clock.now())

    def _code(self, booking: BookingOut) -> Markup:
        """The check-in code: the booking's address, drawn here."""
        drawn = segno.make(f"{self.public_url}/bookings/{booking.id}", error="m")
        return Markup(drawn.svg_inline(omitsize=True, border=0))  # noqa: S704 - drawn by us

    async def _longer(self, visit: Visit, found: Found) -> list[Choice]:
        """Each longer stay that may be had, should nobody come after, and what it means for the guest's purse."""
        longer = [m for m in sorted(found.resource.durations_min) if m > found.period.duration_min]
        if not longer:
            return []
        say, choices = found.say, list[Choice]()
        preview = await self.service.length_preview(visit.ctx, found.booking.id)
        for minutes in longer:
            try:
                asked = (await preview(minutes)).asked
            except MENDABLE:
                continue  # what would be refused anyway is not offered
            until = say.time(found.booking.start + timedelta(minutes=minutes))
            costs = _words_of(say, found.booking.price, asked) or say.money(asked.price)
            label = say.t("ticket.longer_option", until=until, length=say.length(minutes), price=costs)
            choices.append(Choice(label=label, value=str(minutes), price=asked.price))
        return choices

    # -------------------------------------------------------------------------------------------------------------- paying

    @action("/bookings/{id}/pay")
    async def pay(self, visit: Visit, id: UUID, form: Paying) -> Html | Redirect:
        """Pays for a held place with credits, or says that it is paid for at the desk."""
        found = await self._found(visit, id)
        if form.pay_with is None:
            return await self._booking_page(visit, found, Invalid(found.say.t("pay.choose")))
        try:
            if visit.person is None or not visit.person.confirmed:
                raise EmailUnconfirmed
            await self.service.pay(visit.ctx, id, Pay(form.pay_with))
        except HoldExpired:
            return self._over_page(visit, found)
        except InsufficientCredits as problem:
            return await self._pay_page(visit, found, problem)
        except MENDABLE as problem:
            return await self._booking_page(visit, await self._found(visit, id), problem)
        return Redirect(f"/bookings/{id}")

    # ---------------------------------------------------------------------------------------------------------- cancelling

    @page("/bookings/{id}/cancel", access=PERSON)
    async def cancel_page(self, visit: Visit, id: UUID) -> Html | Redirect:
        """What comes back, before anything is cancelled."""
        found = await self._found(visit, id)
        if not self._may(found, BookingAction.CANCEL):
            return Redirect(f"/bookings/{id}")
        return await self._cancel_page(visit, found, "", "")

    async def _cancel_page(self, visit: Visit, found: Found, reason: str, problem: str) -> Html:
        preview = await self.service.refund_preview(visit.ctx, found.booking.id)
        say = found.say
        if not found.booking.paid:
            sentence = say.t("cancel.unpaid")
        elif preview.falls_away:
            sentence = say.t("cancel.in_part")
        elif preview.refund_pct == 100:
            sentence = say.t("cancel.all")
        else:
            sentence = say.t("cancel.part", pct=preview.refund_pct) if preview.refund_pct else say.t("cancel.nothing")
        until = preview.until if preview.refund else None
        holds = "cancel.until" if found.booking.paid else "cancel.until_unpaid"
        return self.pages.page(
            "booking/cancel.html",
            visit,
            org=org_nav(found.book),
            status=409 if problem else 200,
            booking=found.booking,
            what=found.what,
            preview=preview,
            sentence=sentence,
            until="" if until is None else say.t(holds, when=say.moment(until)),
            reason=reason,
            problem=problem,
        )

    @action("/bookings/{id}/cancel")
    async def cancel(self, visit: Visit, id: UUID, form: Cancelling) -> Html | Redirect:
        """Cancels, or lets a held place go. When less would come back than was shown, it is shown again first."""
        found = await self._found(visit, id)
        say = found.say
        if found.booking.status not in OPEN:
            return Redirect(f"/bookings/{id}")
        preview = None if form.held else await self.service.refund_preview(visit.ctx, id)
        shown = None if preview is None else Money(form.refund_minor, preview.refund.currency)
        try:
            done = await self.service.cancel(visit.ctx, id, Cancel(form.reason or None, shown))
        except RefundChanged:
            return await self._cancel_page(visit, found, form.reason, say.t("cancel.changed"))
        except MENDABLE as problem:
            return await self._booking_page(visit, await self._found(visit, id), problem)
        if preview is None:
            venue = with_query(
                f"/venues/{found.book.venue.id}", {"date": _local_day(found), "duration_min": found.period.duration_min}
            )
            return Redirect(venue, toast=say.t("pay.released", place=found.what.place))
        back = came_back(found.booking, done, preview)
        toast = say.t("cancel.done", refund=say.money(back)) if back else say.t("cancel.done_plain")
        return Redirect("/bookings?show=cancelled", toast=toast)

    # ------------------------------------------------------------------------------------------------------------ changing

    @page("/bookings/{id}/reschedule", access=PERSON)
    async def move_page(self, visit: Visit, id: UUID, query: Look) -> Html | Redirect:
        """Another time for a booking; the old one is kept until the new one is won."""
        found = await self._found(visit, id)
        if not self._may(found, BookingAction.RESCHEDULE):
            return Redirect(f"/bookings/{id}")
        return await self._move_page(visit, found, query, None)

    async def _move_page(self, visit: Visit, found: Found, look: Look, problem: Problem | None) -> Html:
        resource, book = found.resource, found.book
        alike = [r for r in bookable(book) if r.kind is resource.kind and r.sport == resource.sport]
        base = f"/bookings/{found.booking.id}/reschedule"
        target = Target(
            base=base,
            book=book,
            resources=alike,
            purpose=found.booking.purpose,
            own=found.period.padded(resource.buffer_before_min, resource.buffer_after_min),
            opens_at=found.booking.start,
        )
        look = msgspec.structs.replace(
            look,
            duration_min=look.duration_min or found.period.duration_min,
            team_size=found.booking.team_size,
            date=look.date or (None if look.start else _local_day(found)),
        )
        picked = await self.picker.pick(visit.ctx, found.say, target, look)
        parts = {
            "look": msgspec.structs.replace(picked.look, most_people=1),
            "choice": await self._move_choice(visit, found, picked, base),
            "policy": [],
            "partial": visit.partial,
        }
        if visit.partial:
            return self._fragment(visit, found.say, book, parts, picked.plan)
        return self.pages.page(
            "booking/change.html",
            visit,
            org=org_nav(book),
            live=f"/venues/{book.venue.id}/live",
            status=200 if problem is None else problem.status,
            values=parts,
            what=found.what,
            problem="" if problem is None else self.pages.words(visit, problem),
            crumbs=[Link(found.say.t("nav.bookings"), "/bookings"), Link(found.what.place, f"/bookings/{found.booking.id}")],
        )

    async def _move_choice(self, visit: Visit, found: Found, picked: Picked, base: str) -> Chosen | None:
        planned = picked.plan
        same = planned is not None and (planned.resource.id, planned.period) == (found.resource.id, found.period)
        if planned is None or same:
            return None
        say, booking = found.say, found.booking
        try:
            change = await self.service.move_preview(visit.ctx, booking.id, planned)
        except MENDABLE as problem:
            bill, words = planned.bill, self.pages.words(visit, problem)
        else:
            bill, words = change.bill, _words_of(say, booking.price, change.asked)
        wish = {k: v for k, v in _wish_fields(planned).items() if k in ("resource_id", "start", "duration_min")}
        wish["prices"] = field_of(planned.period.duration_min, bill.total)
        return Chosen(
            title=f"{planned.resource.name}, {say.date(planned.period.start, 'day')}",
            when=say.span(planned.period.start, planned.period.end),
            length=say.length(planned.period.duration_min),
            quote=quote_view(say, bill),
            action=say.t("change.do"),
            under="",
            near=picked.near,
            form="move-form",
            post=base,
            fields=fields_of(wish),
            note=words,
        )

    @action("/bookings/{id}/reschedule")
    async def move(self, visit: Visit, id: UUID, form: Moving) -> Html | Redirect:
        """Moves a booking to another place or time."""
        found = await self._found(visit, id)
        at_most = price_shown(form.prices, form.duration_min)
        try:
            moved = await self.service.reschedule(
                visit.ctx, id, Reschedule(form.start, form.duration_min, form.resource_id, at_most)
            )
        except InvalidTransition as problem:
            return await self._booking_page(visit, await self._found(visit, id), problem)
        except MENDABLE as problem:
            look = Look(duration_min=form.duration_min, resource_id=form.resource_id, start=form.start)
            shown = None if isinstance(problem, SlotTaken) else problem
            html = await self._move_page(visit, found, look, shown)
            return msgspec.structs.replace(html, status=problem.status)
        toast = found.say.t("ticket.moved", when=found.say.span(moved.start, moved.end), day=found.say.date(moved.start, "day"))
        return Redirect(f"/bookings/{id}", toast=toast)

    @action("/bookings/{id}/extend")
    async def extend(self, visit: Visit, id: UUID, form: Longer) -> Html | Redirect:
        """The same start and a longer stay."""
        found = await self._found(visit, id)
        try:
            wish = Extend(form.duration_min, price_shown(form.prices, form.duration_min))
            longer = await self.service.extend(visit.ctx, id, wish)
        except MENDABLE as problem:
            return await self._booking_page(visit, found, problem)
        return Redirect(f"/bookings/{id}", toast=found.say.t("ticket.extended", until=found.say.time(longer.end)))

    # -------------------------------------------------------------------------------------------------------------- guests

    @page("/bookings/{id}/people", access=PERSON)
    async def people_page(self, visit: Visit, id: UUID) -> Html | Redirect:
        """How many may come, and what each number would cost."""
        found = await self._found(visit, id)
        if not self._may_be_more(found):
            return Redirect(f"/bookings/{id}")
        return await self._people_page(visit, found)

    def _may_be_more(self, found: Found) -> bool:
        _, most = party_limits(found.resource, found.booking.purpose)
        return self._may(found, BookingAction.EDIT) and found.booking.team_size < most

    async def _people_page(self, visit: Visit, found: Found, problem: Problem | None = None, wanted: int = 0) -> Html:
        _, most = party_limits(found.resource, found.booking.purpose)
        first = found.booking.team_size + 1
        preview = await self.service.party_preview(visit.ctx, found.booking.id)
        sizes = [await self._more(visit, found, preview, n) for n in range(first, min(most, first + MORE_PEOPLE - 1) + 1)]
        to_be_had = [size.value for size in sizes if not size.disabled]
        chosen = str(wanted) if str(wanted) in to_be_had else next(iter(to_be_had), "")
        return self.pages.page(
            "booking/people.html",
            visit,
            org=org_nav(found.book),
            status=200 if problem is None else problem.status,
            booking=found.booking,
            what=found.what,
            sizes=[msgspec.structs.replace(size, chosen=size.value == chosen) for size in sizes],
            prices=_prices_of(sizes),
            may_change=bool(to_be_had),
            problem="" if problem is None else await self._refusal(visit, found, problem, preview, wanted),
        )

    async def _refusal(
        self, visit: Visit, found: Found, problem: Problem, preview: Callable[[int], Awaitable[Change]], people: int
    ) -> str:
        """Why so many people cannot come; of credits, how many are missing."""
        words = self.pages.words(visit, problem)
        if not isinstance(problem, InsufficientCredits):
            return words
        say, balance = found.say, await self._balance(visit, found.book)
        short = (await preview(people)).asked.due - balance
        # Credits may have come since.
        return say.t("pay.credits_short", balance=say.money(balance), short=say.money(short)) if short.amount > 0 else words

    async def _more(self, visit: Visit, found: Found, preview: Callable[[int], Awaitable[Change]], people: int) -> Choice:
        """So many people, and what they mean for the guest's purse."""
        label, say = found.say.t("book.people", n=people), found.say
        try:
            asked = (await preview(people)).asked
        except MENDABLE as problem:
            return Choice(label=label, value=str(people), disabled=True, reason=self.pages.words(visit, problem))
        words = _words_of(say, found.booking.price, asked)
        return Choice(label=label, value=str(people), hint=words, price=asked.price)

    @action("/bookings/{id}/people")
    async def people(self, visit: Visit, id: UUID, form: MorePeople) -> Html | Redirect:
        """Changes how many come; what it costs follows, as the page has said."""
        found = await self._found(visit, id)
        try:
            at_most = price_shown(form.prices, form.team_size)
            changed = await self.service.edit(visit.ctx, id, BookingPatch(team_size=form.team_size, price_at_most=at_most))
        except MENDABLE as problem:
            return await self._people_page(visit, found, problem, form.team_size)
        return Redirect(f"/bookings/{id}#guests", toast=found.say.t("ticket.people_now", n=changed.team_size))

    @action("/bookings/{id}/invitees", limits=INVITING)
    async def invite(self, visit: Visit, id: UUID, form: NewGuest) -> Html | Redirect:
        """Invites one more by address; what is wrong with it is said at the field."""
        found = await self._found(visit, id)
        try:
            await self.service.invite(visit.ctx, id, NewInvitee(email=form.email.strip()))
        except INVITED_IN_VAIN as problem:
            return await self._uninvited(visit, found, problem, form.email)
        return Redirect(f"/bookings/{id}#guests", toast=found.say.t("guests.invited", email=form.email.strip()))

    @action("/bookings/{id}/invitees/{invitee_id}/ask", limits=INVITING)
    async def ask_again(self, visit: Visit, id: UUID, invitee_id: UUID) -> Html | Redirect:
        """Asks once more who said no or was taken off."""
        found = await self._found(visit, id)
        try:
            await self.service.ask_again(visit.ctx, id, invitee_id)
        except INVITED_IN_VAIN as problem:
            return await self._uninvited(visit, found, problem)
        return Redirect(f"/bookings/{id}#guests", toast=found.say.t("guests.asked_again"))

    async def _uninvited(self, visit: Visit, found: Found, problem: Problem, email: str = "") -> Html:
        """The booking's page with why somebody is not invited."""
        guests = await self.guests.of(visit, found.say, found.booking, problem, email)
        return msgspec.structs.replace(await self._ticket_page(visit, found, None, guests), status=problem.status)

    # ---------------------------------------------------------------------------------------------------------- my bookings

    @page("/bookings", access=PERSON)
    async def mine(self, visit: Visit, query: Mine) -> Html:
        """One's bookings: what comes up, what was, what was given up."""
        now = self.clock.now()
        wanted = {"coming": OPEN, "past": PAST, "cancelled": GONE}[query.show]
        listed = await self.service.my_bookings(
            visit.ctx,
            BookingsQuery(
                status=list(wanted),
                from_=now if query.show == "coming" else None,
                soonest=query.show == "coming",
                limit=query.limit,
                cursor=query.cursor,
            ),
        )
        found = [await self._about(visit, booking) for booking in listed.items]
        held = [f for f in found if f.booking.status is BookingStatus.PAYMENT_PENDING]
        shown = [f for f in found if f not in held]
        first = shown[0] if query.show == "coming" and query.cursor is None and shown else None
        up = (
            first
            if first is not None
            and first.booking.start - now <= SOON
            and first.booking.status in (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS)
            else None
        )
        say = self._speaker(visit, None)
        return self.pages.page(
            "booking/mine.html",
            visit,
            invitations=await self.guests.invitations(visit, say) if query.show == "coming" and query.cursor is None else [],
            tabs=[
                Choice(
                    label=say.t(f"mine.{show}"),
                    href=with_query("/bookings", {"show": None if show == "coming" else show}),
                    chosen=query.show == show,
                )
                for show in ("coming", "past", "cancelled")
            ],
            next_up=None if up is None else self._next_up(up, now),
            held=[self._held_row(f) for f in held if f.booking.hold_expires_at is not None and f.booking.hold_expires_at > now],
            rows=[_row(f) for f in shown if f is not up],
            next_href=""
            if listed.next_cursor is None
            else with_query("/bookings", {"show": query.show, "cursor": listed.next_cursor}),
            empty_title=say.t(f"mine.none_{query.show}"),
            empty_text=say.t(f"mine.none_{query.show}_how"),
        )

    def _next_up(self, found: Found, now: datetime) -> NextUp:
        say, booking = found.say, found.booking
        away = say.t("state.in_progress") if booking.start <= now else formats.relative(say.language, booking.start, now, say.tz)
        return NextUp(
            away=away,
            venue=found.book.venue.name,
            when=found.what.when,
            place=found.resource.name,
            day=found.what.day,
            href=f"/bookings/{booking.id}",
            calendar_href=f"/v1/bookings/{booking.id}/calendar.ics",
            code=self._code(booking),
            pin="" if booking.access is None else " ".join(booking.access.pin),
        )

    def _held_row(self, found: Found) -> HeldRow:
        until = found.booking.hold_expires_at or self.clock.now()
        text = f"{found.book.venue.name}, {found.what.day}, {found.what.when}. {found.say.money(found.booking.price)}"
        return HeldRow(found.say.t("mine.held", place=found.what.place), text, until, f"/bookings/{found.booking.id}")

    # --------------------------------------------------------------------------------------------------------------- shared

    async def _found(self, visit: Visit, booking_id: UUID) -> Found:
        """One's own booking with its place. Raises NotFound."""
        booking = await self.service.booking(visit.ctx, booking_id)
        return await self._about(visit, booking, await self.showing.bill(visit.ctx, booking))

    async def _about(self, visit: Visit, booking: BookingOut, bill: Bill | None = None) -> Found:
        """The booking and its place; a list needs no bill, only the price."""
        book = await self.showing.venue(booking.venue_id)
        resource = book.resource(booking.resource_id)
        if resource is None:
            raise NotFound
        say = self._speaker(visit, book)
        period = Period(booking.start, booking.end)
        what = what_of(say, book, resource, period, booking.team_size, bill or Bill([], [], booking.price))
        return Found(booking, book, resource, say, what)

    def _speaker(self, visit: Visit, book: VenueBook | None) -> Speaker:
        return Speaker(self.pages.pages, visit.locale, "UTC" if book is None else book.venue.timezone)


def _at(visit: Visit, booking: BookingOut) -> Visit:
    """The visit as one of the booking's own page, where a form's answer leads back to."""
    return msgspec.structs.replace(visit, path=f"/bookings/{booking.id}", query="")


def _words_of(say: Speaker, price: Money, asked: Repricing) -> str:
    """What a move means for the guest's purse."""
    words = say.t("change.same") if asked.price - asked.fee == price else ""
    if asked.due:
        words = say.t("change.more", price=say.money(asked.due))
    elif asked.back:
        words = say.t("change.less", price=say.money(asked.back))
    return f"{words} {say.t('change.fee', price=say.money(asked.fee))}" if asked.fee else words


def _prices_of(choices: Iterable[Choice]) -> list[str]:
    """What a page says that each of these numbers costs."""
    return [field_of(int(choice.value), choice.price) for choice in choices if choice.price is not None]


def _wish_fields(planned: Plan, resource_id: UUID | None = None, start: datetime | None = None) -> dict[str, str]:
    """What a form or an address needs to ask for this again, perhaps at another place or time."""
    at = start or planned.period.start
    fields = {
        "resource_id": str(resource_id or planned.resource.id),
        "start": at.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration_min": str(planned.period.duration_min),
        "team_size": str(planned.team_size),
    }
    return fields if planned.purpose is Purpose.WORKOUT else {**fields, "purpose": planned.purpose.value}


def _booked_fields(found: Found) -> dict[str, str]:
    return {
        "resource_id": str(found.resource.id),
        "start": found.booking.start.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "duration_min": str(found.period.duration_min),
        "team_size": str(found.booking.team_size),
    }


def _venue_href(planned: Plan) -> str:
    return with_query(
        f"/venues/{planned.book.venue.id}",
        {"duration_min": planned.period.duration_min, "resource_id": planned.resource.id, "start": planned.period.start},
    )


def _day_of(planned: Plan) -> str:
    return planned.period.start.astimezone(zone(planned.book.venue.timezone)).date().isoformat()


def _local_day(found: Found) -> date:
    return found.booking.start.astimezone(zone(found.book.venue.timezone)).date()


def _crumbs(say: Speaker, book: VenueBook) -> list[Link]:
    crumbs = [Link(say.t("nav.find"), "/discover")]
    if book.venue.city:
        crumbs.append(Link(book.venue.city, with_query("/discover", {"q": book.venue.city})))
    return crumbs


def _row(found: Found) -> Row:
    say, start = found.say, found.booking.start
    return Row(
        id=found.booking.id,
        booking=found.booking,
        weekday=say.date(start, "weekday"),
        number=say.date(start, "number"),
        month=say.date(start, "mon"),
        when=found.what.when,
        place=found.resource.name,
        venue=found.book.venue.name,
    )
