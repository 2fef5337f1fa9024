"""From bookings and books to what guests read: words, prices and dates in the reader's language. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import cast
from uuid import UUID

import msgspec

from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.kernel.web import formats
from forecourt.kernel.web.render import Language, OrgNav, Pages
from forecourt.kernel.web.views import BackTier, Choice, DayView, Fact, GridView, Link, PriceLine, QuoteView, TaxLine
from forecourt.modules.booking.contract import BookingOut, BookingStatus, RefundPreview
from forecourt.modules.booking.rules import falls_away, needs_approval, short_number
from forecourt.modules.booking.service.pricing import Bill, Plan
from forecourt.modules.venues.contract import Policies, Resource, ResourceKind, VenueBook

COURT_ART = ("art/court-dusk.svg", "art/court-top.svg", "art/net.svg", "art/court-day.svg")
ROOM_ART = ("art/gym-arch.svg", "art/gym-room.svg")
AMENITY_ICONS = {
    "showers": "shower",
    "parking": "car",
    "cafe": "cup",
    "lockers": "lock",
    "wifi": "globe",
    "racket_hire": "racket",
    "lights": "bolt",
}
OUR_CHROMA, BRAND_CHROMA = 0.092, 0.11


class VenueLook(msgspec.Struct, frozen=True, kw_only=True):
    """What the picker draws. `here` is its own address; `lost` says that what was chosen went to somebody else,
    `own` that it is one's own, with the address of that booking."""

    here: str
    base: str
    day: str
    heading: str
    lengths: list[Choice]
    parts: list[Choice]
    sports: list[Choice]
    people: int
    most_people: int
    fields: list[Link]
    days: tuple[DayView, ...]
    grid: GridView
    lost: str = ""
    instead: list[Link] = []
    own: Link | None = None
    closed: str = ""
    full: str = ""
    next_free_text: str = ""
    next_free_label: str = ""
    next_free_href: str = ""


class Chosen(msgspec.Struct, frozen=True, kw_only=True):
    """The chosen start with its price and what its button does: a form of `fields` to `post`, or a link."""

    title: str
    when: str
    length: str
    quote: QuoteView
    action: str
    under: str
    near: list[Choice]
    href: str = ""
    form: str = ""
    post: str = ""
    fields: list[Link] = []
    note: str = ""


class What(msgspec.Struct, frozen=True, kw_only=True):
    """What is booked, in words, with its price."""

    place: str
    venue: str
    address: str
    when: str
    day: str
    length: str
    people: str
    quote: QuoteView
    picture: str
    under: str = ""


class InsteadView(msgspec.Struct, frozen=True, kw_only=True):
    """Another place or time, with what its form sends."""

    when: str
    place: str
    detail: str
    price: Money
    fields: list[Link]


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A booking in one's list."""

    id: UUID
    booking: BookingOut
    weekday: str
    number: str
    month: str
    when: str
    place: str
    venue: str


class NextUp(msgspec.Struct, frozen=True, kw_only=True):
    """The ticket on top of the list: what is on today. `code` is SVG made here."""

    away: str
    venue: str
    when: str
    place: str
    day: str
    href: str
    calendar_href: str
    code: str
    pin: str


class HeldRow(msgspec.Struct, frozen=True):
    """A place that waits for payment."""

    title: str
    text: str
    until: datetime
    href: str


class Amenity(msgspec.Struct, frozen=True):
    icon: str
    label: str


class Speaker:
    """Words in one language, about one venue's clock."""

    def __init__(self, pages: Pages, locale: str, tz: str) -> None:
        self.language: Language = cast("Language", locale)
        self._pages = pages
        self.tz = tz

    def t(self, key: str, /, **values: object) -> str:
        return self._pages.text(self.language, key, **values)

    def known(self, group: str, word: str) -> str:
        """`sport.padel` in the reader's language; a word nobody translated stands as it is written."""
        key = f"{group}.{word.replace('-', '_')}"
        return self.t(key) if self._pages.catalogue.has(key) else word.replace("_", " ").replace("-", " ").capitalize()

    def money(self, value: Money, *, tag: bool = False) -> str:
        return formats.money(self.language, value, tag=tag)

    def time(self, at: datetime) -> str:
        return formats.time(self.language, at, self.tz)

    def span(self, start: datetime, end: datetime) -> str:
        return formats.time_range(self.language, start, end, self.tz)

    def date(self, at: datetime | date, style: str = "long") -> str:
        return formats.date(self.language, at, self.tz, style)

    def moment(self, at: datetime) -> str:
        """`Wed 18 Nov, 19:30`."""
        return f"{self.date(at, 'day')}, {self.time(at)}"

    def length(self, minutes: int) -> str:
        return formats.duration(self.language, minutes)


# ----------------------------------------------------------------------------------------------------------------- parts


def org_nav(book: VenueBook) -> OrgNav:
    """The organisation as guests see it: its name and colour."""
    organisation = book.organisation
    hue = organisation.branding.hue
    if hue is None:
        return OrgNav(str(organisation.id), organisation.name, organisation.kind.value, chroma=OUR_CHROMA)
    return OrgNav(str(organisation.id), organisation.name, organisation.kind.value, hue=hue, chroma=BRAND_CHROMA)


def pictures_of(resources: Sequence[Resource]) -> tuple[str, ...]:
    return COURT_ART if any(r.kind is ResourceKind.COURT for r in resources) else ROOM_ART


def detail_of(say: Speaker, resource: Resource, others: Sequence[Resource]) -> str:
    """In few words what sets it apart from the others: `Indoor, clay`."""
    words: list[str] = []
    if resource.indoor is not None:
        words.append(say.t("place.indoor" if resource.indoor else "place.outdoor"))
    if resource.surface is not None and len({r.surface for r in others}) > 1:
        words.append(say.known("surface", resource.surface))
    if not words:
        words.append(say.t("place.people", n=resource.capacity))
    return ", ".join(words)


def quote_view(say: Speaker, bill: Bill) -> QuoteView:
    """A bill as it is shown: what the house named in the reader's language, what the owner named as it is."""
    return QuoteView(
        tuple(
            PriceLine(line.label if line.kind is None else say.t(f"line.{line.kind.value}"), line.amount) for line in bill.lines
        ),
        bill.total,
        tuple(TaxLine(tax.rate, tax.amount, tax.included) for tax in bill.tax if tax.amount),
    )


def what_of(
    say: Speaker, book: VenueBook, resource: Resource, period: Period, people: int, bill: Bill, *, under: str = ""
) -> What:
    return What(
        place=resource.name,
        venue=book.venue.name,
        address=book.venue.address,
        when=say.span(period.start, period.end),
        day=say.date(period.start),
        length=say.length(period.duration_min),
        people=say.t("book.people", n=people),
        quote=quote_view(say, bill),
        picture=pictures_of([resource])[0],
        under=under,
    )


def policy_facts(say: Speaker, policies: Policies, start: datetime | None, now: datetime) -> list[BackTier]:
    """What comes back until when: by the clock for a known start, else by hours before. Passed tiers are left out."""
    found: list[BackTier] = []
    for tier in policies.cancellation:
        if tier.refund_pct == 0:
            continue
        until = None if start is None else start - timedelta(hours=tier.before_h)
        if until is not None and until <= now:
            continue
        words = say.t("pay.until_before", n=tier.before_h) if tier.before_h else say.t("look.any_time")
        when = words if until is None else say.t("pay.until", when=say.moment(until))
        found.append(BackTier(say.t("pay.back", pct=tier.refund_pct), when, "all" if tier.refund_pct == 100 else "part"))
    if not found:
        return [BackTier(say.t("pay.back_none"), say.t("pay.always"), "none")]
    if policies.cancellation[-1].before_h > 0 or policies.cancellation[-1].refund_pct == 0:
        found.append(BackTier(say.t("pay.back_none"), say.t("pay.after"), "none"))
    return found


def free_until(say: Speaker, policies: Policies, start: datetime, now: datetime) -> str:
    """`Free to cancel until Wed 18 Nov, 19:30.`; empty when it is too late or never was."""
    full = [tier for tier in policies.cancellation if tier.refund_pct == 100]
    until = start - timedelta(hours=full[-1].before_h) if full else now
    return say.t("look.free_until", when=say.moment(until)) if until > now else ""


def venue_facts(
    say: Speaker,
    book: VenueBook,
    resources: Sequence[Resource],
    day: date,
    opened: Sequence[Period],
    today: date,
    lowest: Money | None,
) -> list[Fact]:
    """The strip under the pictures: hours of the day shown, price, places, free cancellation."""
    hours = ", ".join(say.span(p.start, p.end) for p in opened) or say.t("look.shut")
    heading = say.t("look.open_today") if day == today else say.t("look.open_on", day=say.date(day, "day"))
    facts = [Fact(heading, hours)]
    if lowest is not None:
        facts.append(Fact(say.t("look.price"), say.t("look.from_hour", price=say.money(lowest, tag=True))))
    courts = all(r.kind is ResourceKind.COURT for r in resources)
    sports = ", ".join(say.known("sport", s) for s in sorted({r.sport for r in resources if r.sport}))
    kind = "look.court_kind.court" if courts else "look.court_kind.other"
    facts.append(Fact(say.t("look.courts"), say.t(kind, n=len(resources)), sports))
    full = [tier for tier in book.policies.cancellation if tier.refund_pct == 100]
    if full:
        words = say.t("look.until_before", n=full[-1].before_h) if full[-1].before_h else say.t("look.any_time")
        facts.append(Fact(say.t("look.free_cancel"), words))
    return facts


def hold_words(say: Speaker, planned: Plan, now: datetime, *, signed_in: bool) -> str:
    """What stands under the button: how long it is held or who decides about it, and until when cancelling is free."""
    policies = planned.book.policies
    asks = needs_approval(policies, planned.purpose)
    first = say.t("look.under_approval") if asks else say.t("look.under", n=policies.hold_min)
    words = [first, free_until(say, policies, planned.period.start, now)]
    if not signed_in:
        words.append(say.t("look.under_sign_in"))
    return " ".join(word for word in words if word)


def hold_label(say: Speaker, resource: Resource) -> str:
    return say.t("look.hold" if resource.kind is ResourceKind.COURT else "look.hold_place")


PLAIN_WORDS = {
    BookingStatus.IN_PROGRESS: ("ticket.now_title", ""),
    BookingStatus.PENDING_APPROVAL: ("ticket.asked_title", "ticket.asked"),
    BookingStatus.COMPLETED: ("ticket.done_title", ""),
    BookingStatus.NO_SHOW: ("ticket.no_show_title", ""),
    BookingStatus.CANCELLED: ("ticket.cancelled_title", "ticket.cancelled"),
    BookingStatus.DECLINED: ("ticket.declined_title", "ticket.declined"),
    BookingStatus.EXPIRED: ("over.title", ""),
    BookingStatus.DRAFT: ("ticket.draft_title", ""),
    BookingStatus.PAYMENT_PENDING: ("ticket.draft_title", ""),
}
"""Headline and sentence of every state that needs no figures in them."""


def ticket_words(say: Speaker, booking: BookingOut) -> tuple[str, str]:
    """The headline of a booking's page and the sentence under it."""
    if booking.status is BookingStatus.UPCOMING:
        due = booking.price - booking.paid
        text = say.t("ticket.due", price=say.money(due)) if due.amount > 0 else say.t("ticket.paid")
        return say.t("ticket.see_you", day=say.date(booking.start)), text
    if booking.authorised is not None:
        return say.t("ticket.asked_title"), say.t("ticket.asked_paid", price=say.money(booking.authorised))
    headline, text = PLAIN_WORDS[booking.status]
    return say.t(headline), say.t(text) if text else ""


def ticket_facts(say: Speaker, booking: BookingOut, cancel: str) -> list[Fact]:
    facts = [Fact(say.t("ticket.players"), say.t("book.people", n=booking.team_size))]
    due = booking.price - booking.paid
    if booking.paid:
        facts.append(Fact(say.t("ticket.paid_fact"), say.money(booking.paid)))
    elif booking.authorised is not None:
        facts.append(Fact(say.t("ticket.authorised_fact"), say.money(booking.authorised)))
    elif booking.status not in (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS):
        facts.append(Fact(say.t("ticket.price"), say.money(booking.price)))
    if due.amount > 0 and booking.status in (BookingStatus.UPCOMING, BookingStatus.IN_PROGRESS):
        facts.append(Fact(say.t("ticket.due_fact"), say.money(due)))
    facts.append(Fact(say.t("ticket.number"), short_number(booking.id)))
    if booking.note:
        facts.append(Fact(say.t("ticket.note"), booking.note))
    if cancel:
        facts.append(Fact(say.t("ticket.cancel_fact"), cancel))
    return facts


def came_back(before: BookingOut, gone: BookingOut, preview: RefundPreview) -> Money | None:
    """What came back of a booking that was cancelled; None of one for which nothing was paid."""
    if gone.refund is None or not before.paid:
        return None
    return gone.refund - falls_away(gone.refund, preview.falls_away)


def fields_of(values: dict[str, str]) -> list[Link]:
    """Hidden fields of a form: name and value."""
    return [Link(name, value) for name, value in values.items()]
