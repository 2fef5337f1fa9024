"""Scenes with a script: a full day at Baradari Clifton, questions that wait for an answer, and what is closed off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import Enum
from uuid import UUID

from forecourt.demo.world import Site, World
from forecourt.modules.booking.contract import PayWith
from forecourt.modules.venues.contract import Purpose


class Ending(Enum):
    """How a booking ends, or is meant to."""

    PLAYED = "played"
    NO_SHOW = "no show"
    CANCELLED = "cancelled"
    RAINED_OFF = "rained off"
    EXPIRED = "never paid"
    HELD = "held for somebody who is paying"
    ASKING = "waits for approval"
    DECLINED = "declined"
    OWES = "played and has not paid at the desk"


@dataclass(frozen=True)
class Scene:
    place: str
    start: int
    """Minutes after the local midnight."""
    duration: int
    email: str | None = None
    guest: str | None = None
    purpose: Purpose = Purpose.MATCH
    team: int = 4
    ending: Ending = Ending.PLAYED
    note: str | None = None
    pay_with: PayWith | None = None
    invited: tuple[str, ...] = ()
    addresses: tuple[str, ...] = ()
    """Of guests without an account."""
    comes: tuple[str, ...] = ()
    """Of those who are invited, who has said yes."""
    stays_away: tuple[str, ...] = ()
    booked_h_before: int = 46


@dataclass(frozen=True)
class Block:
    """A closed-off stretch; `times` are all its occurrences in UTC."""

    id: UUID
    resource_ids: list[UUID]
    times: list[tuple[datetime, datetime]]
    reason: str
    rrule: str | None = None


def _at(hour: int, minute: int = 0) -> int:
    return hour * 60 + minute


_TRAINING, _CONTENT = Purpose.TRAINING, Purpose.CONTENT
CLIFTON_TODAY = (
    Scene("Court 1", _at(7), 90, "sara@example.org", note="Women’s morning"),
    Scene("Court 1", _at(9), 90, "chloe@example.org"),
    Scene("Court 1", _at(13), 90, guest="Asif, walk-in", team=2),
    Scene("Court 1", _at(15), 90, "nadia@example.org"),
    Scene("Court 1", _at(17, 30), 90, guest="Khayaban Seniors"),
    Scene("Court 1", _at(19, 15), 90, "zainab@example.org", team=3, note="One place free, level 3.0–3.5"),
    Scene("Court 1", _at(21), 90, "omar@example.org"),
    Scene(
        "Court 1",
        _at(22, 45),
        60,
        "kamran@example.org",
        purpose=_CONTENT,
        team=3,
        ending=Ending.ASKING,
        note="Clifton Films, two cameras",
    ),
    Scene("Court 2", _at(7, 30), 90, "imran@example.org", team=2),
    Scene("Court 2", _at(15, 30), 90, guest="Coach Danyal, 3 pupils", purpose=_TRAINING, team=4),
    Scene("Court 2", _at(17, 30), 75, "priya@example.org"),
    Scene("Court 2", _at(19), 90, "fahad@example.org", ending=Ending.NO_SHOW),
    Scene("Court 2", _at(20, 30), 60, "kamran@example.org", ending=Ending.HELD),
    Scene("Court 2", _at(22), 90, "hina@example.org", note="Ladder: Rahman and Tariq against Siddiqui and Baloch"),
    Scene(
        "Court 3", _at(16), 90, guest="Junior academy", purpose=_TRAINING, team=4, note="12 pupils in three groups, Coach Danyal"
    ),
    Scene("Court 3", _at(17, 45), 90, "noor@example.org"),
    Scene(
        "Court 3",
        _at(19, 30),
        90,
        "mahnoor@example.org",
        note="Left-handed racket kept behind the desk",
        pay_with=PayWith.CREDITS,
        invited=("ayesha@example.org", "kwame@example.org", "hina@example.org"),
        comes=("kwame@example.org",),
        stays_away=("hina@example.org",),
    ),
    Scene("Court 3", _at(21, 15), 90, "ayesha@example.org", note="Baradari Ladies A, team practice"),
    Scene("Court 4", _at(18, 30), 90, "hamza@example.org", note="One tube of balls"),
    Scene("Court 4", _at(20, 30), 90, "bilal@example.org", team=2, pay_with=PayWith.DESK),
    Scene("Court 4", _at(22, 30), 60, "sara@example.org", ending=Ending.CANCELLED, pay_with=PayWith.CREDITS),
    Scene("Court 5", _at(17), 60, "jonas@example.org", team=2),
    Scene("Court 5", _at(19, 30), 90, "saad@example.org", team=2, pay_with=PayWith.DESK, ending=Ending.OWES),
    Scene("Court 5", _at(22), 60, guest="Tom, pays at the desk", team=2),
)
# Elsewhere: a question for staff at each house, today or tomorrow.
ASKED = {
    "bermondsey": Scene(
        "Mezzanine", _at(14), 120, "priya@example.org", None, _CONTENT, 3, Ending.ASKING, "Shoe campaign, no flash"
    ),
    "maltby-street": Scene("Daylight studio", _at(13), 90, "tom@example.org", None, _CONTENT, 2, Ending.ASKING, "Portraits"),
    "margalla-road": Scene("Court 3", _at(11), 60, "hamza@example.org", None, _CONTENT, 2, Ending.ASKING, "Racket review"),
    "alfama": Scene("Padel 1", _at(15), 60, "duarte@example.org", None, _CONTENT, 2, Ending.ASKING, "Hotel film, morning light"),
}
MAHNOOR_TOMORROW = Scene(
    "Court 1",
    _at(19),
    90,
    "mahnoor@example.org",
    note="Every week until it is too cold",
    booked_h_before=70,
    invited=("ayesha@example.org",),
    addresses=("sana.qureshi@example.net",),
)


def scenes(world: World, site: Site, day: date, n: int) -> Sequence[Scene]:
    """The scripted scenes of a venue, today (`n` 0) or tomorrow (`n` 1)."""
    slug = site.place.slug
    if slug == "clifton" and n == 0:
        return CLIFTON_TODAY
    if slug == "clifton":
        return (
            Scene(
                "Court 4", _at(16), 60, "kamran@example.org", purpose=_CONTENT, team=2, ending=Ending.ASKING, note="Racket test"
            ),
        )
    if slug == "gulberg" and n == 1:
        return (MAHNOOR_TOMORROW,)
    if n == 1 and slug in ASKED:
        return (ASKED[slug],)
    return ()


def blocks(world: World, site: Site) -> list[Block]:
    """What is closed off at a venue."""
    today = world.now.astimezone(site.tz).date()
    by_name = {r.name: r.id for r in site.book.resources}

    def block(name: str, days: Sequence[int], hours: tuple[int, int], reason: str, rrule: str | None = None) -> Block:
        times = [_stretch(site, today + timedelta(days=n), hours) for n in days]
        return Block(world.fate.id("block", site.place.slug, reason), [by_name[name]], times, reason, rrule)

    match site.place.slug:
        case "clifton":
            return [
                block("Court 4", (0,), (14, 18), "Glass panel replaced, north wall"),
                block("Court 3", range(-28, 57, 7), (10, 12), "Turf brushing", "FREQ=WEEKLY;COUNT=13"),
            ]
        case "bermondsey":
            return [block("Arch 1", (1,), (11, 15), "Rack inspection")]
        case "margalla-road":
            return [block("Court 1", (0, 1, 2), (6, 10), "Lights re-aimed", "FREQ=DAILY;COUNT=3")]
        case "alfama":
            return [block("Tile room", (0,), (12, 17), "Wedding breakfast")]
        case _:
            return []


def _stretch(site: Site, day: date, hours: tuple[int, int]) -> tuple[datetime, datetime]:
    first, last = (datetime.combine(day, time(hour), site.tz).astimezone(UTC) for hour in hours)
    return first, last
