"""What a question reads depends on what it asks about, not on how long the club has been there."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from tests.conftest import FreshDatabase

from forecourt.kernel.db import Database, Query
from forecourt.modules.booking import queries

DAYS = 200
A_DAY = 24
"""Bookings of each day: one an hour."""
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)
NIL = UUID(int=0)
MAKE = """
insert into booking.booking
    (organisation_id, id, venue_id, resource_id, account_id, status, starts_at, ends_at, timezone, purpose, team_size, currency,
     list_minor, price_minor, lines, tax, claimed, claim_starts_at, claim_ends_at, created_at, updated_at)
select $1, uuidv7(), $2, $3, $4, 'completed', s.at, s.at + interval '1 hour', 'UTC', 'workout', 1, 'GBP', 2000, 2000, '[]', '[]',
       array[$3::uuid], s.at, s.at + interval '1 hour', s.at, s.at
  from generate_series($5::timestamptz, $5::timestamptz + make_interval(hours => $6), interval '1 hour') as s (at)
"""


@pytest.fixture
async def old_club(fresh_database: FreshDatabase, make_world: Callable[[Database], Any]) -> Any:
    """A club that has been booked every hour for more than half a year, always by the same person. In a database of its own.

    Which index is read is the planner's choice, and that hangs on the statistics of whole tables: beside thousands of others with
    one claim each, a new club's claims are looked for by their organisation alone (`occupancy_pkey`), and all of them are read,
    until the next `analyze`. The server analyses a table when it comes to it, and the program's own roles may not.
    """
    world = await make_world(await fresh_database.connect())
    guest = world.newcomer()
    args = (world.organisation_id, world.venue_id, world.court.id, guest.account_id, FIRST, DAYS * A_DAY - 1)
    await world.sql(MAKE, *args)
    await analyze(fresh_database, "booking.booking")
    world.guest = guest
    return world


async def analyze(fresh: FreshDatabase, table: str) -> None:
    """As the owner of the table: asked by anybody else it warns, and does nothing."""
    admin = await fresh.admin()
    try:
        await admin.execute(f"analyze {table}")
        known = await admin.fetchval("select reltuples::int from pg_class where oid = $1::text::regclass", table)
        assert known >= DAYS * A_DAY, "the statistics know of these rows"
    finally:
        await admin.close()


class RowsRead(int):
    """A number that says where it comes from when it is too large."""

    plan: object = None

    def __repr__(self) -> str:
        return f"{int(self)} rows read by {json.dumps(self.plan)}"


async def rows_read(world: Any, sql: str, *args: object) -> RowsRead:
    """Rows that the statement's scans looked at, whether or not they were of use. Under row security, with the general plan."""
    about = world.guest.within(world.organisation_id)
    async with world.db.module("booking").tx(about) as tx:
        await tx.connection.execute("set local plan_cache_mode = force_generic_plan")
        # A table of a few thousand rows may well be read whole: what is asked here is how an index would be read.
        await tx.connection.execute("set local enable_seqscan = off")
        found = await tx.connection.fetchval(f"explain (analyze, format json, timing off) {sql}", *args)
    plan = json.loads(found)[0]["Plan"]
    read = RowsRead(_scanned(plan))
    read.plan = plan
    return read


def _scanned(node: dict[str, Any]) -> int:
    here = 0
    if "Scan" in node["Node Type"]:
        here = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0)) * node["Actual Loops"]
    return int(here) + sum(_scanned(child) for child in node.get("Plans", []))


def without_the_bound(query: Query[Any]) -> str:
    """The same question when only the end of a booking is bounded from below."""
    bound = " and b.starts_at > $3::timestamptz - interval '1 day'"
    assert bound in query.sql
    return query.sql.replace(bound, "")


def of_the_club(world: Any, day: datetime) -> tuple[object, ...]:
    end = day + timedelta(days=1)
    return (world.organisation_id, None, day, end, LONG_AGO, NIL, None, None, None, 200)


def of_the_guest(world: Any, day: datetime) -> tuple[object, ...]:
    return (world.guest.account_id, None, day, day + timedelta(days=1), LONG_AGO, NIL, 200, [world.organisation_id])


@pytest.mark.parametrize("days_in", [3, DAYS - 3])
async def test_a_day_of_the_club_reads_two_days_at_most(old_club: Any, days_in: int) -> None:
    day = FIRST + timedelta(days=days_in)
    assert await rows_read(old_club, queries.OF_ORGANISATION.sql, *of_the_club(old_club, day)) <= 2 * A_DAY + 1
    assert await rows_read(old_club, queries.OWN_SOONEST.sql, *of_the_guest(old_club, day)) <= 2 * A_DAY + 1
    sheet = (old_club.organisation_id, old_club.venue_id, day, day + timedelta(days=1), ["completed"], 5_000)
    assert await rows_read(old_club, queries.OF_VENUE.sql, *sheet) <= 2 * A_DAY + 1


async def test_without_a_bound_on_the_start_a_late_day_reads_all_that_came_before(old_club: Any) -> None:
    """The control: the bound is what holds."""
    late = FIRST + timedelta(days=DAYS - 3)
    assert await rows_read(old_club, without_the_bound(queries.OF_ORGANISATION), *of_the_club(old_club, late)) > 100 * A_DAY
    assert await rows_read(old_club, without_the_bound(queries.OWN_SOONEST), *of_the_guest(old_club, late)) > 100 * A_DAY


async def test_what_is_taken_on_a_day_is_read_from_that_day_on(old_club: Any, fresh_database: FreshDatabase) -> None:
    """Claims of later days are never older than 31 days: the index is left there."""
    await old_club.sql(
        "insert into booking.occupancy (organisation_id, resource_id, during, booking_id)"
        " select b.organisation_id, b.resource_id, tstzrange(b.starts_at, b.ends_at, '[)'), b.id from booking.booking b"
        " where b.organisation_id = $1",
        old_club.organisation_id,
    )
    await analyze(fresh_database, "booking.occupancy")
    for days_in in (3, DAYS - 40):
        day = FIRST + timedelta(days=days_in)
        end = day + timedelta(days=1)
        args = (old_club.organisation_id, [old_club.court.id], day, end + timedelta(days=31), end, old_club.clock.now(), 50_000)
        assert await rows_read(old_club, queries.BUSY.sql, *args) <= 33 * A_DAY
