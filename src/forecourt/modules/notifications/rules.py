"""What is told about what, by which channel, and when. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from types import MappingProxyType
from zoneinfo import ZoneInfo

import msgspec

from forecourt.kernel.period import began_on
from forecourt.modules.notifications.contract import Channel, DeliveryStatus, Digest, Topic, Urgency

INVITED = "booking.invited"
"""Of those who are in the party of a booking and not its owner."""
INVITED_BY_ADDRESS = "booking.invited_by_address"
"""The same, as it is worded for an address that has no account."""
UNINVITED = "booking.uninvited"
ANSWERED = "booking.guest_answered"
"""Tells whose booking it is that a guest comes, or does not."""
ANSWER_PAUSE = timedelta(minutes=5)
"""A first answer is told at once; who thinks better of it, and better again, is told of once in so long."""
NOISE = "booking.noise_warning"
"""Asks for quiet before a booking in the quiet hours of its house, at the venues that the house names (VE-8)."""
TOMORROW, SOON = "booking.in_24_hours", "booking.in_2_hours"
REMINDERS: Mapping[str, timedelta] = MappingProxyType(
    {TOMORROW: timedelta(hours=24), SOON: timedelta(hours=2), NOISE: timedelta(minutes=30)}
)
"""How long before a booking each is said."""
TRIES = 5
FIRST_PAUSE_S = 10.0
PAUSE_FACTOR = 6.0
"""10 s, 1 min, 6 min, 36 min: four pauses between five tries."""
DIGEST_HOUR = 8
DIGEST_WEEKDAY = 0
"""Monday."""


# --- kinds ---------------------------------------------------------------------------------------------------------------


class Weight(Enum):
    """How a kind of message treats what people chose."""

    ORDINARY = "ordinary"
    """Waits for the end of quiet hours, and for the digest of who wants one."""
    TIMELY = "timely"
    """Waits for the end of quiet hours, but never for a digest: it would come too late."""
    CRITICAL = "critical"
    """Passes everything (NO-3)."""


class Kind(msgspec.Struct, frozen=True):
    """A kind of notification: what it is about, how it weighs, and the channels it can go through."""

    name: str
    topic: Topic
    weight: Weight = Weight.ORDINARY
    urgency: Urgency = Urgency.NORMAL
    calendar: bool = False
    """Whether its mail brings a calendar file."""
    channels: tuple[Channel, ...] = (
        Channel.IN_APP,
        Channel.EMAIL,
        Channel.SMS,
        Channel.WHATSAPP,
        Channel.PUSH,
        Channel.WEB_PUSH,
    )


_TIMELY, _CRITICAL, _HIGH, _LOW = Weight.TIMELY, Weight.CRITICAL, Urgency.HIGH, Urgency.LOW
_SHORT = (Channel.IN_APP, Channel.SMS, Channel.WHATSAPP, Channel.PUSH, Channel.WEB_PUSH)
_ALL = (
    Kind("booking.confirmed", Topic.BOOKINGS, _TIMELY, calendar=True),
    Kind("booking.cancelled", Topic.BOOKINGS, _TIMELY, _HIGH, calendar=True),
    Kind("booking.moved", Topic.BOOKINGS, _TIMELY, _HIGH, calendar=True),
    Kind("booking.invited", Topic.BOOKINGS, _TIMELY, calendar=True),
    Kind("booking.invited_by_address", Topic.BOOKINGS, _TIMELY, calendar=True, channels=(Channel.EMAIL,)),
    Kind("booking.uninvited", Topic.BOOKINGS, _TIMELY, _HIGH),
    Kind(ANSWERED, Topic.BOOKINGS, _TIMELY),
    Kind("booking.approval_asked", Topic.BOOKINGS, _TIMELY),
    Kind("booking.approved", Topic.BOOKINGS, _TIMELY, _HIGH),
    Kind("booking.declined", Topic.BOOKINGS, _TIMELY, _HIGH),
    Kind(TOMORROW, Topic.REMINDERS, _TIMELY, calendar=True),
    Kind(SOON, Topic.REMINDERS, _TIMELY, _HIGH, channels=_SHORT),
    Kind(NOISE, Topic.REMINDERS, _TIMELY, _HIGH, channels=_SHORT),
    Kind("payment.due", Topic.PAYMENTS, channels=_SHORT),
    Kind("payment.refunded", Topic.PAYMENTS, channels=_SHORT),
    Kind("chat.message", Topic.MESSAGES, urgency=_LOW),
    Kind("chat.mention", Topic.MENTIONS),
    Kind("staff.joined", Topic.TEAM),
    Kind("booking.approval_waits", Topic.TEAM, _TIMELY, _HIGH),
    Kind("security.noted", Topic.SECURITY, _CRITICAL, _HIGH),
)
KINDS: Mapping[str, Kind] = MappingProxyType({kind.name: kind for kind in _ALL})


# --- what people choose --------------------------------------------------------------------------------------------------

DEFAULTS: Mapping[Topic, frozenset[Channel]] = MappingProxyType(
    {
        Topic.BOOKINGS: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH, Channel.PUSH}),
        Topic.REMINDERS: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH, Channel.PUSH}),
        Topic.PAYMENTS: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH}),
        Topic.MESSAGES: frozenset({Channel.WEB_PUSH, Channel.PUSH}),
        Topic.MENTIONS: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH, Channel.PUSH}),
        Topic.TEAM: frozenset({Channel.IN_APP, Channel.EMAIL}),
        Topic.SECURITY: frozenset({Channel.IN_APP, Channel.EMAIL, Channel.WEB_PUSH}),
    }
)
"""Texts and WhatsApp cost somebody money or peace: nobody gets them without asking."""


def wanted(kind: Kind, chosen: Mapping[Topic, frozenset[Channel]], digest: Digest = Digest.OFF) -> list[Channel]:
    """The channels by which `kind` goes to a person who chose so, in the order of the kind's own.

    What is critical goes by its default channels whatever was chosen, and by the chosen ones besides.
    """
    by_default = DEFAULTS[kind.topic]
    picked = chosen.get(kind.topic, by_default)
    if kind.weight is Weight.CRITICAL:
        picked |= by_default
    if kind.weight is Weight.ORDINARY and digest is Digest.NEVER:
        picked -= {Channel.EMAIL}
    return [channel for channel in kind.channels if channel in picked]


def in_digest(kind: Kind, digest: Digest) -> bool:
    """Whether the mail of `kind` waits for the digest."""
    return digest in (Digest.DAILY, Digest.WEEKLY) and kind.weight is Weight.ORDINARY


# --- when ----------------------------------------------------------------------------------------------------------------


class Quiet(msgspec.Struct, frozen=True):
    """A time of day, on the person's clock, without interruptions; `end` at or before `start` runs past midnight."""

    start: time
    end: time


def send_at(kind: Kind, channel: Channel, quiet: Quiet | None, tz: ZoneInfo, now: datetime) -> datetime:
    """When a message may leave: now, or when the person's quiet hours are over. The inbox interrupts nobody."""
    if quiet is None or channel is Channel.IN_APP or kind.weight is Weight.CRITICAL:
        return now
    return quiet_until(quiet, tz, now) or now


def quiet_until(quiet: Quiet, tz: ZoneInfo, now: datetime) -> datetime | None:
    """The instant at which the quiet that reigns at `now` ends, in UTC; None when it is not quiet."""
    began = began_on(quiet.start, quiet.end, now.astimezone(tz))
    if began is None:
        return None
    return wall_clock(began if quiet.start < quiet.end else began + timedelta(days=1), quiet.end, tz)


def wall_clock(day: date, clock: time, tz: ZoneInfo) -> datetime:
    """The last instant at which the clock in `tz` shows this time; where it is skipped, the first instant after the gap.

    The last, because an hour that comes twice is quiet both times.
    """
    late = datetime.combine(day, clock, tz).replace(fold=1)
    instant = late.astimezone(UTC)
    if instant.astimezone(tz).replace(tzinfo=None, fold=0) == late.replace(tzinfo=None, fold=0):
        return instant
    # Skipped: the two readings lie on both sides of the change, which is where the offset jumps.
    before, after = sorted((instant, late.replace(fold=0).astimezone(UTC)))
    new = after.astimezone(tz).utcoffset()
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) / 2
        if middle.astimezone(tz).utcoffset() == new:
            after = middle
        else:
            before = middle
    return after.replace(microsecond=0)


def in_quiet_hours(hours: tuple[str, str], start: datetime, end: datetime, tz: ZoneInfo) -> bool:
    """Whether any of the time between two instants lies in a house's quiet hours, which come each day: `("22:00", "07:00")`."""
    begins, ends = hours
    quiet = Quiet(time.fromisoformat(begins), time() if ends == "24:00" else time.fromisoformat(ends))
    if quiet_until(quiet, tz, start) is not None:
        return True
    first = start.astimezone(tz).date()
    days = (end.astimezone(tz).date() - first).days
    return any(start < wall_clock(first + timedelta(days=n), quiet.start, tz) < end for n in range(days + 1))


def next_digest(digest: Digest, tz: ZoneInfo, now: datetime) -> datetime:
    """The next morning (daily) or Monday morning (weekly) at eight on the person's clock, after `now`."""
    day = now.astimezone(tz).date()
    for ahead in range(9):
        candidate = day + timedelta(days=ahead)
        if digest is Digest.WEEKLY and candidate.weekday() != DIGEST_WEEKDAY:
            continue
        at = wall_clock(candidate, time(DIGEST_HOUR), tz)
        if at > now:
            return at
    raise AssertionError("a week has every weekday")  # pragma: no cover - nine days hold a Monday after any instant


def pause_after(tries: int, chance: float) -> timedelta | None:
    """How long to wait after try number `tries` failed; None after the last. `chance` in [0, 1) spreads failures by a half."""
    if tries >= TRIES:
        return None
    return timedelta(seconds=FIRST_PAUSE_S * PAUSE_FACTOR ** (tries - 1) * (1 + chance / 2))


# --- how a delivery stands -----------------------------------------------------------------------------------------------

_RANK = {DeliveryStatus.QUEUED: 0, DeliveryStatus.SENT: 1, DeliveryStatus.DELIVERED: 2, DeliveryStatus.OPENED: 3}


def heard(status: DeliveryStatus, said: DeliveryStatus) -> DeliveryStatus:
    """The status after a provider said `said`. Callbacks come late and in any order: what is further on stays."""
    if said is DeliveryStatus.FAILED:
        return said if status in (DeliveryStatus.QUEUED, DeliveryStatus.SENT) else status
    if status is DeliveryStatus.FAILED:
        return said if said in (DeliveryStatus.DELIVERED, DeliveryStatus.OPENED) else status
    return max(status, said, key=lambda s: _RANK[s])


def masked(channel: Channel, recipient: str) -> str:
    """Enough to recognise an address, not enough to use it."""
    match channel:
        case Channel.EMAIL:
            name, _, host = recipient.rpartition("@")
            return f"{name[:2]}…@{host}"
        case Channel.SMS | Channel.WHATSAPP:
            return f"{recipient[:4]}…{recipient[-2:]}"
        case Channel.PUSH:
            return f"{recipient[:3]}…"
        case Channel.IN_APP | Channel.WEB_PUSH | Channel.WEBHOOK:
            return f"…{recipient[-6:]}"
