"""Availability against an oracle that knows nothing of plans, runs or bytes: it walks every minute."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forecourt.kernel.errors import Invalid
from forecourt.kernel.money import Money
from forecourt.modules.booking import slots
from forecourt.modules.venues.contract import (
    Closure,
    DateRange,
    Location,
    OpeningHours,
    Organisation,
    OrganisationKind,
    OrganisationStatus,
    Per,
    Policies,
    PriceRule,
    Purpose,
    Resource,
    ResourceKind,
    Venue,
    VenueBook,
)

ID = UUID(int=1)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def court(n: int = 10, **changes: object) -> Resource:
    plain = Resource(id=UUID(int=n), venue_id=ID, name=f"Court {n}", kind=ResourceKind.COURT, sport="padel", capacity=4)
    return msgspec.structs.replace(plain, **changes)


def make_book(tz: str, hours: list[tuple[str, str]], resources: list[Resource], **changes: object) -> VenueBook:
    organisation = Organisation(
        id=ID, name="Club", kind=OrganisationKind.CLUB, country="GB", currency="GBP", timezone=tz, locale="en", slug="club",
        status=OrganisationStatus.ACTIVE, created_at=LONG_AGO, version=1,
    )  # fmt: skip
    venue = Venue(
        id=ID, organisation_id=ID, name="Club", slug="club", address="1 Road", location=Location(51.5, 0.0), timezone=tz,
        opening_hours=OpeningHours(*[hours] * 7), version=1,
    )  # fmt: skip
    rules = [
        PriceRule(per=Per.HOUR, amount=Money(2000, "GBP")),
        PriceRule(per=Per.HOUR, amount=Money(3000, "GBP"), from_="17:00", to="22:00", label="Peak"),
    ]
    plain = VenueBook(version=1, organisation=organisation, policies=Policies(), venue=venue, resources=resources, rules=rules)
    return msgspec.structs.replace(plain, **changes)


def open_at(book: VenueBook, instant: datetime) -> bool:
    """Whether the clock on the wall shows an open time. Right for hours whose ends are not inside a change of clocks."""
    wall = instant.astimezone(ZoneInfo(book.venue.timezone))

    def shut(day: date) -> bool:
        return any(c.dates is not None and c.dates.from_ <= day <= c.dates.to for c in book.closures)

    shown = f"{wall:%H:%M}"
    yesterday = wall.date() - timedelta(days=1)
    by_today = any(o <= shown and (shown < c or c <= o) for o, c in book.venue.opening_hours.on(wall.date()))
    by_yesterday = any(c <= o and shown < c for o, c in book.venue.opening_hours.on(yesterday))
    return not shut(wall.date()) and (by_today or (by_yesterday and not shut(yesterday)))


def oracle(book: VenueBook, resource: Resource, day: date, duration_min: int, busy: slots.Busy, now: datetime) -> list[datetime]:
    tz = ZoneInfo(book.venue.timezone)
    minute = timedelta(minutes=1)
    at = datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(hours=16)
    found = []
    for i in range(60 * 56):
        start = at + i * minute
        wall = start.astimezone(tz)
        if wall.date() != day or (wall.hour * 60 + wall.minute) % resource.slot_min or start < now:
            continue
        begin, end = start - resource.buffer_before_min * minute, start + (duration_min + resource.buffer_after_min) * minute
        clash = any(b < end and begin < e for b, e in busy)
        if not clash and all(open_at(book, start + k * minute) for k in range(duration_min)):
            found.append(start)
    return found


NIGHTS = [
    ("Europe/London", date(2026, 3, 29)),
    ("Europe/London", date(2026, 10, 25)),
    ("America/New_York", date(2026, 3, 8)),
    ("America/New_York", date(2026, 11, 1)),
    ("Australia/Lord_Howe", date(2026, 4, 5)),
    ("Australia/Lord_Howe", date(2026, 10, 4)),
    ("Asia/Karachi", date(2026, 6, 1)),
]
HOURS = [
    [("06:00", "23:00")],
    [("00:00", "24:00")],
    [("18:00", "04:00")],
    [("07:30", "12:00"), ("12:00", "13:15"), ("16:00", "21:00")],
]


@settings(max_examples=60, deadline=None)
@given(
    night=st.sampled_from(NIGHTS),
    hours=st.sampled_from(HOURS),
    slot_min=st.sampled_from([15, 30, 60, 90]),
    lengths=st.sampled_from([1, 2, 3]),
    buffers=st.tuples(st.sampled_from([0, 7, 15]), st.sampled_from([0, 10, 20])),
    claims=st.lists(st.tuples(st.integers(-600, 2000), st.integers(1, 400)), max_size=8),
    lead=st.integers(0, 1800),
    closed=st.sampled_from([None, -1, 0, 1]),
)
def test_free_starts_are_those_a_minute_by_minute_walk_finds(night, hours, slot_min, lengths, buffers, claims, lead, closed):  # type: ignore[no-untyped-def]
    tz, day = night
    duration_min = slot_min * lengths
    resource = court(slot_min=slot_min, durations_min=[duration_min], buffer_before_min=buffers[0], buffer_after_min=buffers[1])
    closures = []
    if closed is not None:
        shut = day + timedelta(days=closed)
        closures = [Closure(ID, ID, "shut", DateRange(shut, shut))]
    book = make_book(tz, hours, [resource], closures=closures)
    midnight = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(tz)).astimezone(UTC)
    busy = [(midnight + timedelta(minutes=a), midnight + timedelta(minutes=a + n)) for a, n in claims]
    now = midnight - timedelta(minutes=900) + timedelta(minutes=lead)
    slots.plans.clear()  # one book after another with the same version
    found = slots.free_slots(book, resource, day, duration_min=duration_min, busy=busy, now=now)
    assert [s.start for s in found] == oracle(book, resource, day, duration_min, busy, now)
    # Through UTC: Python calls two zones' times unequal inside the hour that comes twice (PEP 495).
    assert all(s.end - s.start == timedelta(minutes=duration_min) and s.local_start.astimezone(UTC) == s.start for s in found)


@pytest.mark.parametrize(("tz", "day", "quarters"), [(*NIGHTS[0], 92), (*NIGHTS[1], 100), (*NIGHTS[4], 98), (*NIGHTS[6], 96)])
def test_a_day_has_as_many_quarters_as_the_clocks_leave_it(tz: str, day: date, quarters: int) -> None:
    book = make_book(tz, [("00:00", "24:00")], [court()])
    assert len(slots.free_slots(book, court(), day, duration_min=60, busy=[], now=day_before(day))) == quarters


def day_before(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC) - timedelta(days=2)


def test_bytes_and_objects_say_the_same_for_every_way_a_resource_can_be() -> None:
    start = datetime(2026, 10, 24, 9, tzinfo=UTC)
    courts = [
        court(10),
        court(11),
        court(12, active=False),
        court(13, durations_min=[90]),
        court(14, people={Purpose.WORKOUT: (2, 4)}),
    ]
    book = make_book("Europe/London", [("06:00", "23:00")], courts)
    busy = {
        courts[0].id: [
            (start, start + timedelta(hours=1)),
            (start, start + timedelta(minutes=30)),
            (start, start + timedelta(hours=2)),
        ],
        courts[1].id: [(start - timedelta(days=2), start + timedelta(days=9))],
    }
    args = (book, courts, date(2026, 10, 24), date(2026, 10, 26), 60)
    for size in (None, 1, 9):
        objects = slots.availability(*args, size, busy, day_before(date(2026, 10, 24)))
        assert msgspec.json.encode(objects) == slots.availability_json(*args, size, busy, day_before(date(2026, 10, 24)))
    free = [len(r.slots) for r in slots.availability(*args, None, busy, day_before(date(2026, 10, 24))).days[0].resources]
    assert free[0] > 0 and free[1:4] == [0, 0, 0] and free[4] > free[0]  # or the comparison is of empty lists


def test_ranges_that_no_calendar_page_has_are_refused() -> None:
    assert len(slots.check_window(date(2026, 1, 1), date(2026, 1, 31))) == 31
    for first, last in [
        ((2026, 2, 1), (2026, 1, 1)),
        ((2026, 1, 1), (2026, 12, 1)),
        ((1, 1, 1), (1, 1, 2)),
        ((9999, 12, 30), (9999, 12, 31)),
    ]:
        with pytest.raises(Invalid):
            slots.check_window(date(*first), date(*last))


def test_a_suspended_organisation_has_no_free_slot() -> None:
    book = make_book("Asia/Karachi", [("06:00", "23:00")], [court()])
    suspended = msgspec.structs.replace(
        book, organisation=msgspec.structs.replace(book.organisation, status=OrganisationStatus.SUSPENDED)
    )
    day = date(2026, 6, 1)
    assert slots.free_slots(book, court(), day, duration_min=60, busy=[], now=day_before(day))
    assert slots.free_slots(suspended, court(), day, duration_min=60, busy=[], now=day_before(day)) == []


def test_a_whole_is_claimed_with_all_its_parts_and_a_part_alone() -> None:
    half, other, whole = court(21), court(22), court(20, part_ids=[UUID(int=22), UUID(int=21)])
    both = court(19, part_ids=[whole.id])
    book = make_book("Europe/London", [("06:00", "23:00")], [half, other, whole, both])
    assert slots.claimed_ids(book, both) == [UUID(int=n) for n in (19, 20, 21, 22)]
    assert slots.claimed_ids(book, half) == [half.id]


def test_the_cache_of_plans_stays_within_its_budget_and_forgets_the_least_used() -> None:
    plan = slots.DayPlan((1.0,), (Money(1, "GBP"),), b"{},", (0, 3))
    small = slots._Plans(slots.size_of(plan) * 2)
    for key in ("a", "b"):
        small.keep((key,), plan)
    assert small.get(("a",)) is plan
    small.keep(("c",), plan)
    small.keep(("c",), plan)
    assert [small.get((k,)) is plan for k in ("a", "b", "c")] == [True, False, True]
    small.clear()
    assert small.get(("a",)) is None
