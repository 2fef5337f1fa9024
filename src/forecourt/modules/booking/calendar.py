"""Bookings as iCalendar (RFC 5545). Times are UTC, so that no calendar needs our idea of a time zone."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from icalendar import Calendar, Event

from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.venues.contract import Location

CONTENT_TYPE = "text/calendar; charset=utf-8"


class Entry(msgspec.Struct, frozen=True):
    """A booking with what its row does not know: the name of the place, and where that is."""

    row: BookingRow
    title: str
    address: str
    location: Location | None


def calendar(entries: Sequence[Entry]) -> bytes:
    """The bytes depend on nothing but the entries, so that an unchanged calendar keeps its tag."""
    made = Calendar()
    made.add("prodid", "-//Forecourt//Bookings//EN")
    made.add("version", "2.0")
    made.add("calscale", "GREGORIAN")
    made.add("method", "PUBLISH")
    for entry in entries:
        made.add_component(_event(entry))
    return made.to_ical()


def _event(entry: Entry) -> Event:
    row = entry.row
    event = Event()
    event.add("uid", f"{row.id}@forecourt")
    event.add("dtstamp", row.updated_at)
    event.add("last-modified", row.updated_at)
    event.add("dtstart", row.starts_at)
    event.add("dtend", row.ends_at)
    event.add("sequence", row.version)
    event.add("summary", entry.title)
    event.add("status", _status(row.status))
    event.add("transp", "TRANSPARENT" if row.status is BookingStatus.CANCELLED else "OPAQUE")
    if entry.address:
        event.add("location", entry.address)
    if entry.location is not None:
        event.add("geo", (entry.location.lat, entry.location.lon))
    return event


def _status(status: BookingStatus) -> str:
    match status:
        case BookingStatus.CANCELLED | BookingStatus.DECLINED | BookingStatus.EXPIRED:
            return "CANCELLED"
        case BookingStatus.DRAFT | BookingStatus.PENDING_APPROVAL | BookingStatus.PAYMENT_PENDING:
            return "TENTATIVE"
        case _:
            return "CONFIRMED"
