"""The nights on which clocks change, through the API: days of 23 and 25 hours, bookings across the change, local times."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from tests.journeys.world import Club, Person, World

HOUR = timedelta(hours=1)
ALWAYS = {day: [["00:00", "24:00"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
ZONES = ("Europe/London", "America/New_York")


def bounds(zone: str, day: date) -> tuple[datetime, datetime]:
    """Midnight and the next midnight of a place, as instants."""
    tz = ZoneInfo(zone)
    return (
        datetime.combine(day, time(), tz).astimezone(UTC),
        datetime.combine(day + timedelta(days=1), time(), tz).astimezone(UTC),
    )


def next_day_of(zone: str, hours: int) -> date:
    """The next day there, not today, that is so long."""
    day = datetime.now(UTC).date() + timedelta(days=3)
    for _ in range(400):
        start, end = bounds(zone, day)
        if end - start == hours * HOUR:
            return day
        day += timedelta(days=1)
    raise AssertionError(f"{zone} has no day of {hours} hours")


def change_on(zone: str, day: date) -> datetime:
    """The instant at which the clocks of a place change on `day`."""
    tz = ZoneInfo(zone)
    at, end = bounds(zone, day)
    while (at + HOUR).astimezone(tz).utcoffset() == at.astimezone(tz).utcoffset():
        at += HOUR
        assert at < end
    return at + HOUR


def z(at: datetime) -> str:
    return at.astimezone(UTC).isoformat().replace("+00:00", "Z")


async def night_club(world: World, zone: str) -> tuple[Club, Person]:
    """Open around the clock and bookable for two years, with a guest who can pay."""
    club = await world.club(courts=1, zone=zone)
    org = f"/v1/orgs/{club.id}"
    changes: list[tuple[str, dict[str, Any]]] = [
        (f"{org}/venues/{club.venue}", {"opening_hours": ALWAYS}),
        (f"{org}/venues/{club.venue}/resources/{club.courts[0]}", {"slot_min": 60, "durations_min": [60, 120]}),
        (f"{org}/policies", {"horizon_days": 730, "max_open_bookings": 50}),
    ]
    for path, body in changes:
        answer = await club.owner.send("PATCH", path, body)
        assert answer.status_code == 200, answer.text
    guest = await world.person("Nia")
    await world.credits(club, guest, 20_000)
    return club, guest


async def starts(guest: Person, club: Club, day: date, duration_min: int = 60) -> list[str]:
    answer = await guest.get(
        f"/v1/venues/{club.venue}/availability", **{"from": str(day), "to": str(day), "duration_min": duration_min}
    )
    assert answer.status_code == 200, answer.text
    found = answer.json()["days"]
    assert [d["date"] for d in found] == [str(day)]
    return [s["start"] for s in found[0]["resources"][0]["slots"]]


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hours", [23, 24, 25])
async def test_a_day_offers_each_of_its_hours_once(world: World, zone: str, hours: int) -> None:
    club, guest = await night_club(world, zone)
    day = next_day_of(zone, hours)
    first, end = bounds(zone, day)
    whole = [z(first + i * HOUR) for i in range(hours)]
    found = await starts(guest, club, day)
    assert found == whole
    assert first + len(found) * HOUR == end


@pytest.mark.parametrize("zone", ZONES)
@pytest.mark.parametrize("hours", [23, 25])
async def test_two_hours_across_the_change_are_two_hours(world: World, zone: str, hours: int) -> None:
    club, guest = await night_club(world, zone)
    day = next_day_of(zone, hours)
    change, tz = change_on(zone, day), ZoneInfo(zone)
    start = change - HOUR
    assert z(start) in await starts(guest, club, day, 120)
    wanted = {"resource_id": club.courts[0], "start": z(start), "duration_min": 120, "pay_with": "credits"}
    answer = await guest.post("/v1/bookings", wanted)
    assert answer.status_code == 201, answer.text
    booking = answer.json()
    assert (booking["start"], booking["end"]) == (z(start), z(start + 2 * HOUR))
    assert booking["price"] == {"amount": 4_000, "currency": "GBP"}
    local = datetime.fromisoformat(booking["local_start"])
    assert (local, local.utcoffset()) == (start, start.astimezone(tz).utcoffset())
    end = datetime.fromisoformat(booking["end"]).astimezone(tz)
    # On the wall three hours went by in spring, and one in autumn: the control that it is the night.
    assert end.replace(tzinfo=None) - local.replace(tzinfo=None) == (3 if hours == 23 else 1) * HOUR

    left = await starts(guest, club, day)
    first, _ = bounds(zone, day)
    assert left == [z(first + i * HOUR) for i in range(hours) if first + i * HOUR not in (start, change)]


@pytest.mark.parametrize("zone", ZONES)
async def test_the_hour_that_comes_twice_can_be_booked_twice(world: World, zone: str) -> None:
    club, guest = await night_club(world, zone)
    change = change_on(zone, next_day_of(zone, 25))
    walls: list[str] = []
    for start in (change - HOUR, change):
        wanted = {"resource_id": club.courts[0], "start": z(start), "duration_min": 60, "pay_with": "credits"}
        answer = await guest.post("/v1/bookings", wanted)
        assert answer.status_code == 201, answer.text
        walls.append(answer.json()["local_start"])
        again = await guest.post("/v1/bookings", wanted)
        assert (again.status_code, again.json()["code"]) == (409, "slot_taken")
    assert walls[0][:19] == walls[1][:19]
    assert walls[0] != walls[1]


@pytest.mark.parametrize("zone", ZONES)
async def test_the_hour_that_is_left_out_cannot_be_meant(world: World, zone: str) -> None:
    """A time without an offset would be a guess on such a night; it is refused on every day."""
    club, guest = await night_club(world, zone)
    day = next_day_of(zone, 23)
    bare = f"{day}T02:30:00"
    answer = await guest.post("/v1/bookings", {"resource_id": club.courts[0], "start": bare, "duration_min": 60})
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "start")
    change = change_on(zone, day)
    offset = change.astimezone(ZoneInfo(zone)).isoformat()
    answer = await guest.post("/v1/bookings", {"resource_id": club.courts[0], "start": offset, "duration_min": 60})
    assert answer.status_code == 201, answer.text
    assert answer.json()["start"] == z(change)
