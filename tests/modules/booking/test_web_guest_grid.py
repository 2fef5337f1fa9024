"""The grid of a day, the parts of a day, and addresses: pure, so on made-up venues."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.kernel.period import Period
from forecourt.kernel.web.views import GridCell, GridView, SlotState
from forecourt.modules.booking.contract import Slot
from forecourt.modules.booking.grid import (
    Drawing,
    Look,
    Part,
    Taken,
    grid_view,
    length_to_show,
    lengths_offered,
    part_to_show,
    parts_of_day,
    starts_near,
)
from forecourt.modules.booking.slots import free_slots
from forecourt.modules.venues.contract import (
    Location,
    OpeningHours,
    Organisation,
    OrganisationKind,
    OrganisationStatus,
    Per,
    Policies,
    PriceRule,
    Resource,
    ResourceKind,
    Venue,
    VenueBook,
)

DAY = date(2026, 11, 19)
MORNING_BEFORE = datetime(2026, 11, 18, 8, tzinfo=UTC)
ORG, VENUE = new_id(), new_id()


def court(name: str = "Court 1", **more: object) -> Resource:
    fields = {"id": new_id(), "venue_id": VENUE, "name": name, "kind": ResourceKind.COURT, "capacity": 4} | more
    return Resource(**fields)  # type: ignore[arg-type]


def book_of(*courts: Resource, hours: tuple[str, str] = ("09:00", "21:00"), timezone: str = "UTC") -> VenueBook:
    organisation = Organisation(
        id=ORG,
        name="Club",
        kind=OrganisationKind.CLUB,
        country="GB",
        currency="GBP",
        timezone=timezone,
        locale="en",
        slug="club",
        status=OrganisationStatus.ACTIVE,
        created_at=MORNING_BEFORE,
        version=1,
    )
    venue = Venue(
        id=VENUE,
        organisation_id=ORG,
        name="Club",
        slug="club",
        address="1 Quay",
        location=Location(51.5, 0),
        timezone=timezone,
        opening_hours=OpeningHours(*[[hours]] * 7),
        version=1,
    )
    rules = [PriceRule(Per.HOUR, Money(2000, "GBP"))]
    version = hash((hours, timezone, tuple(c.id for c in courts)))
    return VenueBook(
        version=version, organisation=organisation, policies=Policies(), venue=venue, resources=list(courts), rules=rules
    )


def at(hour: int, minute: int = 0) -> datetime:
    return datetime(2026, 11, 19, hour, minute, tzinfo=UTC)


def drawn(
    book: VenueBook,
    taken: list[Taken],
    *,
    length_min: int = 60,
    now: datetime = MORNING_BEFORE,
    chosen: tuple[UUID, datetime] | None = None,
    slots: list[Slot] | None = None,
) -> GridView:
    resource = book.resources[0]
    busy = [(t.start, t.end) for t in taken]
    free = slots if slots is not None else free_slots(book, resource, DAY, duration_min=length_min, busy=busy, now=now)
    window = parts_of_day(book, DAY, now)[Part.DAY]
    drawing = Drawing(book, window, length_min, now, chosen, lambda r, start: f"{r}@{start:%H:%M}")
    return grid_view(
        drawing, book.resources[:1], {resource.id: free}, taken, label="", length="", details={}, say_rate=lambda m: str(m.amount)
    )


def states(grid: GridView) -> dict[str, SlotState]:
    return {cell.start: cell.state for cell in grid.rows[0].cells}


def cell_at(grid: GridView, start: str) -> GridCell:
    return next(cell for cell in grid.rows[0].cells if cell.start == start)


def test_a_booking_is_one_cell_and_what_is_too_short_before_it_is_shade() -> None:
    book = book_of(court())
    grid = drawn(book, [Taken(book.resources[0].id, at(12), at(13, 30), SlotState.TAKEN)])
    found = cell_at(grid, "12:00")
    assert (found.state, found.len, found.end) == (SlotState.TAKEN, 3, "13:30")
    assert states(grid)["11:00"] is SlotState.FREE
    assert states(grid)["11:30"] is SlotState.SHORT, "an hour does not fit before twelve"
    assert states(grid)["13:30"] is SlotState.FREE


def test_without_the_booking_the_same_starts_are_free() -> None:
    assert states(drawn(book_of(court()), []))["11:30"] is SlotState.FREE


def test_a_claim_of_another_court_does_not_shade_this_one() -> None:
    book = book_of(court())
    free = free_slots(book, book.resources[0], DAY, duration_min=60, busy=[], now=MORNING_BEFORE)
    claim = Taken(new_id(), at(12), at(13), SlotState.TAKEN)
    assert SlotState.TAKEN not in states(drawn(book, [claim], slots=free)).values()
    own = msgspec.structs.replace(claim, resource_id=book.resources[0].id)
    fewer = [s for s in free if s.end <= at(12) or s.start >= at(13)]
    assert states(drawn(book, [own], slots=fewer))["12:00"] is SlotState.TAKEN


def test_columns_cover_the_whole_window_without_a_gap_or_an_overlap() -> None:
    book = book_of(court(), hours=("07:00", "01:00"))
    claims = [
        Taken(book.resources[0].id, at(8, 15), at(9, 45), SlotState.HELD),
        Taken(book.resources[0].id, at(20), at(21), SlotState.CLOSED),
    ]
    grid = drawn(book, claims, length_min=90)
    reached = 0
    for cell in grid.rows[0].cells:
        assert cell.at == reached
        reached += cell.len
    assert reached == grid.steps == 36


def test_a_start_off_the_half_hour_stands_in_its_column_and_says_when_it_is() -> None:
    book = book_of(court())
    grid = drawn(book, [Taken(book.resources[0].id, at(12), at(13, 15), SlotState.TAKEN)])
    off = next(c for c in grid.rows[0].cells if c.at == int((at(13) - at(9)) / timedelta(minutes=30)))
    assert (off.state, off.start, off.label) == (SlotState.FREE, "13:15", "13:15")
    assert cell_at(grid, "13:30").label == "", "a start at its column needs no word"


def test_the_choice_spans_its_length_and_only_when_it_is_free() -> None:
    book = book_of(court())
    mine = (book.resources[0].id, at(15, 15))
    grid = drawn(book, [], length_min=90, chosen=mine)
    found = cell_at(grid, "15:15")
    assert (found.state, found.len, found.end) == (SlotState.MINE, 3, "16:45")
    gone = drawn(book, [Taken(mine[0], at(15), at(16), SlotState.HELD)], length_min=90, chosen=mine)
    assert SlotState.MINE not in states(gone).values()


def test_what_is_past_is_not_offered_and_the_grid_begins_at_the_present_hour() -> None:
    book = book_of(court())
    grid = drawn(book, [], now=at(14, 40))
    assert grid.rows[0].cells[0].start == "14:00"
    assert states(grid)["14:00"] is SlotState.SHORT
    assert "09:00" not in states(grid)
    assert grid.now_at == 1


def test_one_price_per_hour_stands_under_the_columns_and_mixed_prices_do_not() -> None:
    assert [band.label for band in drawn(book_of(court()), []).bands] == ["2000"]
    cheap = book_of(court())
    dear = msgspec.structs.replace(cheap, version=7, rules=[PriceRule(Per.BOOKING, Money(2000, "GBP"))])
    assert drawn(dear, []).bands == ()


@pytest.mark.parametrize(
    ("hours", "parts"),
    [
        (("09:00", "21:00"), {Part.MORNING, Part.AFTERNOON, Part.EVENING, Part.DAY}),
        (("18:00", "02:00"), {Part.EVENING, Part.DAY}),
        (("06:00", "11:00"), {Part.MORNING, Part.DAY}),
    ],
)
def test_a_day_has_the_parts_it_is_open_in(hours: tuple[str, str], parts: set[Part]) -> None:
    assert set(parts_of_day(book_of(court(), hours=hours), DAY, MORNING_BEFORE)) == parts


def test_a_day_that_is_over_has_no_parts() -> None:
    assert parts_of_day(book_of(court()), DAY, at(21)) == {}


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 10, 25), 25), (date(2026, 3, 29), 23)])
def test_the_nights_the_clocks_change_have_an_hour_more_or_less(day: date, hours: int) -> None:
    book = book_of(court(), hours=("00:00", "24:00"), timezone="Europe/London")
    whole = parts_of_day(book, day, datetime(2026, 1, 1, tzinfo=UTC))[Part.DAY]
    assert whole.end - whole.start == timedelta(hours=hours)


def test_the_part_shown_is_the_wanted_one_then_the_choices_then_one_with_a_choice() -> None:
    parts = parts_of_day(book_of(court()), DAY, MORNING_BEFORE)
    afternoon = [at(13), at(13, 15), at(13, 30), at(13, 45)]
    assert part_to_show(parts, Part.DAY, at(18), afternoon) is Part.DAY
    assert part_to_show(parts, None, at(18), afternoon) is Part.EVENING
    assert part_to_show(parts, None, None, afternoon) is Part.AFTERNOON
    assert part_to_show(parts, None, None, afternoon[:1]) is Part.DAY
    assert part_to_show({Part.DAY: Period(at(9), at(10))}, Part.MORNING, None, []) is Part.DAY


def test_lengths_are_few_usual_and_contain_the_chosen_one() -> None:
    many = [court(durations_min=list(range(60, 181, 15)))]
    assert lengths_offered(many, None) == [60, 90, 120, 180]
    assert 105 in lengths_offered(many, 105)
    assert 50 not in lengths_offered(many, 50)
    assert length_to_show([court(sport="padel")], None) == 90
    assert length_to_show([court(sport="gym")], None) == 60
    assert length_to_show([court(durations_min=[45])], 90) == 45


def test_starts_nearby_are_those_within_the_half_hour() -> None:
    slots = free_slots(book_of(court()), court(), DAY, duration_min=60, busy=[], now=MORNING_BEFORE)
    assert [f"{s.start:%H:%M}" for s in starts_near(slots, at(12))] == ["11:45", "12:00", "12:15"]


def test_a_look_survives_its_own_address() -> None:
    look = Look(date=DAY, duration_min=90, part=Part.EVENING, start=at(18), resource_id=ORG)
    address = look.address("/venues/x")
    assert address == f"/venues/x?date=2026-11-19&duration_min=90&part=evening&resource_id={ORG}&start=2026-11-19T18%3A00%3A00Z"
    assert "start" not in look.address("/venues/x", start=None)
    assert Look().address("/venues/x") == "/venues/x"
