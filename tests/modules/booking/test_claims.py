"""What the tables themselves refuse, and whom they show what: with the service out of the way."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import pytest

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import NotFound
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import BookingStatus, Cancel, HoldExpired, NewBlock, NewQuote, Pay, PayWith

CLAIM = (
    "insert into booking.occupancy (organisation_id, resource_id, during, booking_id) values ($1, $2, $3::text::tstzrange, $4)"
)


async def insert(world: Any, during: str, booking_id: Any) -> None:
    about = service_context("tests", world.organisation_id)
    async with world.db.module("booking").tx(about) as tx:
        await tx.connection.execute(CLAIM, world.organisation_id, world.other_court.id, during, booking_id)


@pytest.mark.parametrize(
    ("during", "constraint"),
    [
        ("[2026-07-01 10:00+00, 2026-07-01 11:00+00]", "occupancy_is_half_open"),
        ("(2026-07-01 10:00+00, 2026-07-01 11:00+00)", "occupancy_is_half_open"),
        ("[2026-07-01 10:00+00,)", None),  # an end is not null
        ("[2026-07-01 10:00+00, infinity)", "occupancy_is_bounded"),
        ("[1990-07-01 10:00+00, 1990-07-01 11:00+00)", "occupancy_is_bounded"),
        ("[2026-07-01 10:00+00, 2026-08-01 10:00:01+00)", "occupancy_is_bounded"),
    ],
)
async def test_a_claim_is_half_open_finite_and_at_most_31_days(world: Any, during: str, constraint: str | None) -> None:
    held = await world.hold(world.newcomer())
    with pytest.raises(asyncpg.IntegrityConstraintViolationError) as refused:
        await insert(world, during, held.id)
    assert refused.value.constraint_name == constraint
    await insert(world, "[2026-07-01 10:00+00, 2026-08-01 10:00+00)", held.id)  # the longest there is


async def test_an_empty_claim_is_refused_by_the_key_itself(world: Any) -> None:
    held = await world.hold(world.newcomer())
    with pytest.raises(asyncpg.PostgresError):
        await insert(world, "empty", held.id)


async def test_two_claims_overlap_by_a_second_and_are_refused_and_touch_and_are_not(world: Any) -> None:
    held = await world.hold(world.newcomer())
    await insert(world, "[2026-07-01 10:00+00, 2026-07-01 11:00+00)", held.id)
    with pytest.raises(asyncpg.ExclusionViolationError):
        await insert(world, "[2026-07-01 10:59:59+00, 2026-07-01 12:00+00)", held.id)
    await insert(world, "[2026-07-01 11:00+00, 2026-07-01 12:00+00)", held.id)


async def test_a_claim_belongs_to_a_booking_of_the_same_organisation(world: Any) -> None:
    with pytest.raises(asyncpg.ForeignKeyViolationError):
        await insert(world, "[2026-07-01 10:00+00, 2026-07-01 11:00+00)", uuid4())


async def test_history_can_be_written_and_not_changed(world: Any) -> None:
    await world.hold(world.newcomer())
    assert await world.sql("select 1 from booking.transition where organisation_id = $1", world.organisation_id)
    # What was written about a step may be taken away, and nothing more (test_forgetting).
    refused = (asyncpg.InsufficientPrivilegeError, asyncpg.CheckViolationError)
    for field in ("detail = 'x'", "action = 'begin'", "at = now()", "account_id = null"):
        with pytest.raises(refused):
            await world.sql(f"update booking.transition set {field}")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await world.sql("delete from booking.transition")


async def test_a_hold_that_is_over_and_in_the_way_goes_without_a_sweeper(world: Any) -> None:
    first, second = world.newcomer("First"), world.newcomer("Second")
    await world.hold(first, resource_id=world.hall.id)
    world.clock.advance(timedelta(minutes=10))
    held = await world.hold(second, resource_id=world.left.id)
    assert held.status is BookingStatus.PAYMENT_PENDING
    # The rest of the old hold is still there, and in nobody's way either.
    assert (await world.hold(second, resource_id=world.right.id)).status is BookingStatus.PAYMENT_PENDING


async def test_a_hall_whose_half_was_lost_is_not_confirmed(world: Any) -> None:
    first, second = await world.rich("First", 10_000), world.newcomer("Second")
    held = await world.hold(first, resource_id=world.hall.id)
    row, _ = await world.service.find(first, held.id)
    receipt = await world.service.till.collect(first, row, Pay(PayWith.CREDITS))
    world.clock.advance(timedelta(minutes=10))
    await world.hold(second, resource_id=world.left.id)
    with pytest.raises(HoldExpired):
        await world.service.confirm_paid(first, row, receipt)
    assert await world.balance(first) == 10_000


async def test_nobody_reads_or_changes_another_organisations_bookings(world: Any, make_world: Callable[..., Any]) -> None:
    elsewhere = await make_world(world.db)
    guest = await world.rich()
    booked = await world.book(guest)
    block = await world.service.place_block(world.staff, NewBlock([world.other_court.id], booked.start, booked.end, "Repairs"))
    theirs = elsewhere.staff
    assert (await world.service.booking(world.staff, booked.id)).id == booked.id  # or the test proves nothing
    with pytest.raises(NotFound):
        await elsewhere.service.booking(theirs, booked.id)
    with pytest.raises(NotFound):
        await elsewhere.service.cancel(theirs, booked.id, Cancel())
    with pytest.raises(NotFound):
        await elsewhere.service.remove_block(theirs, block.id)
    with pytest.raises(NotFound):
        await elsewhere.service.day(theirs, world.venue_id, booked.start.date())
    with pytest.raises(NotFound):
        await elsewhere.service.place_block(theirs, NewBlock([world.court.id], booked.start, booked.end, "Mine"))
    assert await elsewhere.service.bookings(theirs, [booked.id]) == []


TABLES = ("booking", "block", "occupancy", "quote", "transition", "errand", "due", "feed")


async def rows_seen(database: Any, ctx: Context, table: str) -> int:
    async with database.module("booking").tx(ctx) as tx:
        return await tx.connection.fetchval(f"select count(*) from booking.{table}")


async def fill(world: Any) -> Context:
    """At least one row in every table that belongs to somebody; returns the person whose they are."""
    guest = await world.rich(amount=50_000)
    booked = await world.book(guest)
    await world.service.quote(guest, NewQuote(world.court.id, booked.end, 60))
    await world.service.place_block(world.staff, NewBlock([world.other_court.id], booked.start, booked.end, "Repairs"))
    await world.service.make_feed(guest)
    row, _ = await world.service.find(guest, booked.id)
    errand = queries.Errand(uuid4(), row.id, "refund", 1, "GBP", "")
    async with world.db.module("booking").tx(service_context("tests", world.organisation_id)) as tx:
        await queries.add_errand(tx, row, errand, world.clock.now())
    return guest


@pytest.mark.parametrize("table", [t for t in TABLES if t != "feed"])
async def test_each_policy_keeps_strangers_out_and_replaced_by_true_would_not(
    fresh_database: Any, make_world: Callable[..., Any], table: str
) -> None:
    database = await fresh_database.connect(10)
    world = await make_world(database)
    await fill(world)
    stranger = msgspec.structs.replace(world.newcomer("Stranger"), organisation_id=uuid4())
    assert await rows_seen(database, service_context("tests", world.organisation_id), table) > 0
    assert await rows_seen(database, stranger, table) == 0
    admin = await fresh_database.admin()
    await admin.execute(f"alter policy tenant on booking.{table} using (true)")
    await admin.close()
    assert await rows_seen(database, stranger, table) > 0


async def test_a_person_sees_their_own_bookings_without_an_organisation_and_nobody_elses(world: Any) -> None:
    guest, other = await world.rich(), world.newcomer("Other")
    booked = await world.book(guest)
    module = world.db.module("booking")
    async with module.tx(guest) as tx:
        assert await tx.connection.fetchval("select count(*) from booking.booking where id = $1", booked.id) == 1
        assert await tx.connection.fetchval("select count(*) from booking.occupancy") == 0
    async with module.tx(other) as tx:
        assert await tx.connection.fetchval("select count(*) from booking.booking where id = $1", booked.id) == 0
    async with module.tx(guest) as tx:  # seeing is not changing: a person's transaction without the organisation writes nothing
        assert await tx.connection.execute("update booking.booking set note = 'x' where id = $1", booked.id) == "UPDATE 0"


async def test_only_a_transaction_about_nobody_sees_what_is_due_everywhere(world: Any) -> None:
    await world.hold(world.newcomer())
    assert await rows_seen(world.db, service_context("tests"), "due") > 0
    assert await rows_seen(world.db, world.newcomer("Stranger"), "due") == 0
    assert await rows_seen(world.db, service_context("tests", uuid4()), "due") == 0


async def test_claims_are_read_through_their_bounds_however_many_there_are(
    fresh_database: Any, make_world: Callable[..., Any], words: Any
) -> None:
    world = await make_world(await fresh_database.connect(5))
    held = await world.hold(world.newcomer())
    admin = await fresh_database.admin()
    await admin.execute(
        "insert into booking.occupancy (organisation_id, resource_id, during, booking_id)"
        " select $1, $2, tstzrange(t, t + interval '1 hour'), $3"
        " from generate_series(timestamptz '2026-07-01', timestamptz '2027-06-30', interval '1 hour') as t",
        world.organisation_id,
        world.court.id,
        held.id,
    )
    await admin.execute("analyze booking.occupancy")
    await admin.close()
    about = service_context("tests", world.organisation_id)
    day = datetime(2026, 12, 1, tzinfo=UTC)
    question = (world.organisation_id, [world.court.id], day, day + timedelta(days=32), day + timedelta(days=1), words.NOW)
    async with world.db.module("booking").tx(about) as tx:
        plan = await tx.connection.fetch("explain (analyze, timing off) " + queries.BUSY.sql.replace("$7", "100"), *question)
    text = "\n".join(r[0] for r in plan)
    assert "occupancy_by_time" in text
    condition = next(line for line in text.splitlines() if "Index Cond" in line)
    assert "ends_at" in condition
    assert "organisation_id" in condition
