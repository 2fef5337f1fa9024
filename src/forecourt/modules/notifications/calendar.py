"""A booking as a calendar file (RFC 5545) in a mail. The same uid and sequence as in the person's calendar feed."""

from __future__ import annotations

from datetime import datetime

from icalendar import Calendar, Event

from forecourt.modules.booking.contract import BookingOut, BookingStatus
from forecourt.modules.venues.contract import VenueBook

GONE = frozenset({BookingStatus.CANCELLED, BookingStatus.DECLINED, BookingStatus.EXPIRED})


def calendar_of(booking: BookingOut, book: VenueBook, title: str, now: datetime) -> str:
    """`title` names the event when its place has no name any more. A booking that is gone takes its event out of calendars."""
    gone = booking.status in GONE
    made = Calendar()
    made.add("prodid", "-//Forecourt//Bookings//EN")
    made.add("version", "2.0")
    made.add("calscale", "GREGORIAN")
    made.add("method", "CANCEL" if gone else "PUBLISH")
    event, resource = Event(), book.resource(booking.resource_id)
    event.add("uid", f"{booking.id}@forecourt")
    event.add("dtstamp", now)
    event.add("dtstart", booking.start)
    event.add("dtend", booking.end)
    event.add("sequence", booking.version)
    event.add("summary", f"{resource.name}, {book.venue.name}" if resource else title)
    event.add("status", "CANCELLED" if gone else "CONFIRMED")
    event.add("transp", "TRANSPARENT" if gone else "OPAQUE")
    event.add("location", book.venue.address)
    event.add("geo", (book.venue.location.lat, book.venue.location.lon))
    made.add_component(event)
    return made.to_ical().decode()
