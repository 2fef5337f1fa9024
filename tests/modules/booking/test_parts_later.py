"""What is booked gets no more parts: a booking has claims on those that there were when it was made."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from forecourt.kernel.errors import PreconditionFailed
from forecourt.modules.booking import queries
from forecourt.modules.booking.contract import Cancel, NewBlock, Overtaken, Reschedule, SlotTaken
from forecourt.modules.booking.service import BookingService
from forecourt.modules.booking.service.books import Books
from forecourt.modules.booking.service.reading import REARRANGING
from forecourt.modules.venues.contract import Resource, ResourceInUse, ResourcePatch


async def give_parts(world: Any, whole: Resource, *parts: Resource) -> Resource:
    patch = ResourcePatch(part_ids=[part.id for part in parts])
    changed = await world.venues_service.edit_resource(world.owner, world.venue_id, whole.id, patch, None)
    world.service.books.drop(world.venue_id)
    return changed


async def test_what_is_booked_gets_no_parts_that_could_be_booked_at_the_same_time(world: Any, words: Any) -> None:
    guest = await world.rich()
    full = await world.add_resource("Full court")
    world.service.books.drop(world.venue_id)
    booked = await world.book(guest, resource_id=full.id)
    with pytest.raises(ResourceInUse) as refused:
        await give_parts(world, full, world.court, world.other_court)
    assert "Full court" in str(refused.value.detail)
    await world.book(guest, resource_id=world.court.id)  # it is a court of its own, as before
    await world.service.cancel(guest, booked.id, Cancel())
    assert (await give_parts(world, full, world.court, world.other_court)).part_ids == [world.court.id, world.other_court.id]
    with pytest.raises(SlotTaken):
        await world.book(guest, resource_id=full.id)
    later = words.TEN + timedelta(hours=2)
    await world.book(guest, resource_id=full.id, start=later)
    with pytest.raises(SlotTaken):
        await world.book(guest, resource_id=world.other_court.id, start=later)


async def test_a_part_of_what_is_booked_gets_no_parts_either(world: Any) -> None:
    guest = await world.rich()
    corner = await world.add_resource("Corner")
    world.service.books.drop(world.venue_id)
    booked = await world.book(guest, resource_id=world.hall.id)
    for whole in (world.left, world.hall):
        with pytest.raises(ResourceInUse):
            await give_parts(world, whole, *((world.left, world.right) if whole is world.hall else ()), corner)
    assert (await give_parts(world, world.hall, world.right, world.left)).version == 2, "the same parts are no more parts"
    assert (await give_parts(world, world.court, corner)).part_ids == [corner.id], "nobody has this court"
    await world.service.cancel(guest, booked.id, Cancel())
    assert (await give_parts(world, world.left, corner)).part_ids == [corner.id]


async def test_only_what_is_not_over_stands_in_the_way_of_more_parts(world: Any, words: Any) -> None:
    block = NewBlock([world.court.id], words.TEN, words.TEN + words.HOUR, "paint")
    placed = await world.service.place_block(world.staff, block)
    held = await world.hold(world.newcomer(), resource_id=world.other_court.id)
    asked = [world.court.id, world.other_court.id, world.hall.id]
    assert set(await world.service.claimed(world.owner, asked)) == set(asked[:2])
    assert await world.service.claimed(world.newcomer().within(world.newcomer().account_id), asked) == [], "another's"
    world.clock.set(held.hold_expires_at)
    assert await world.service.claimed(world.owner, asked) == [world.court.id], "the hold is over, the block is to come"
    await world.service.remove_block(world.staff, placed.id)
    assert await world.service.claimed(world.owner, asked) == []


# --- processes that do not know of the parts yet


async def trusting(world: Any) -> BookingService:
    """A process that has just read the book, and trusts it for ever until it is told."""
    other = world.another_process()
    other.books = Books(world.venues, lambda: 0.0)
    await other.books.of_venue(world.venue_id)
    return other


async def test_who_does_not_know_of_the_parts_yet_claims_nothing_and_then_all_of_it(world: Any, words: Any) -> None:
    guest = await world.rich()
    full = await world.add_resource("Full court")
    mine = await world.book(guest, resource_id=world.other_court.id)
    booking, moving, blocking = [await trusting(world) for _ in range(3)]
    await give_parts(world, full, world.court)
    whole = world.wish(resource_id=full.id)
    with pytest.raises(Overtaken, match="rearranged"):
        await booking.book(guest, whole)
    with pytest.raises(Overtaken, match="rearranged"):
        await moving.reschedule(guest, mine.id, Reschedule(words.TEN, None, full.id))
    with pytest.raises(Overtaken, match="rearranged"):
        await blocking.place_block(world.staff, NewBlock([full.id], words.TEN, words.TEN + words.HOUR, "paint"))
    assert await world.claims(full) == []
    assert (await world.service.booking(guest, mine.id)).resource_id == world.other_court.id
    # Told once, it has the new book: the whole is claimed with its part.
    await booking.book(guest, whole)
    with pytest.raises(SlotTaken):
        await world.book(guest, resource_id=world.court.id)
    assert len(await world.claims(world.court)) == 1


async def test_without_being_told_the_whole_and_its_part_are_booked_at_the_same_time(world: Any) -> None:
    """The control: a book is trusted for a while, and what keeps the old one out is what was written before the parts."""
    guest = await world.rich()
    full = await world.add_resource("Full court")
    other = await trusting(world)
    await give_parts(world, full, world.court)
    world.clock.advance(REARRANGING)
    await other.book(guest, world.wish(resource_id=full.id))
    await world.book(guest, resource_id=world.court.id)
    assert len(await world.claims(full)) == len(await world.claims(world.court)) == 1


async def test_between_the_decision_and_the_parts_nothing_is_claimed_there(world: Any) -> None:
    guest = await world.rich()
    book = await world.venues.book(world.owner, world.venue_id)
    assert await world.service.rearrange(world.owner, world.venue_id, [world.court.id], book.version) == []
    with pytest.raises(Overtaken):
        await world.book(guest)
    elsewhere = await world.add_venue("Europe/London")
    there = await world.add_resource("Court 9", venue_id=elsewhere)
    assert (await world.book(guest, resource_id=there.id)).resource_id == there.id, "the control: another venue"
    # Whoever decided and died keeps the venue closed for a moment and no longer.
    world.clock.advance(REARRANGING)
    assert (await world.book(guest)).resource_id == world.court.id


async def test_another_edit_in_between_is_not_passed_over(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    full = await world.add_resource("Full court")
    decide = world.service.rearrange

    async def and_then_somebody_edits(*args: Any, **named: Any) -> Any:
        taken = await decide(*args, **named)
        await world.price(2500)
        return taken

    monkeypatch.setattr(world.service, "rearrange", and_then_somebody_edits)
    with pytest.raises(PreconditionFailed):
        await give_parts(world, full, world.court)
    monkeypatch.undo()
    assert (await give_parts(world, full, world.court)).part_ids == [world.court.id]


async def test_a_claim_that_is_being_made_is_waited_for_and_seen(world: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    guest = await world.rich()
    full = await world.add_resource("Full court")
    other = await trusting(world)
    claimed, go_on = asyncio.Event(), asyncio.Event()
    hold = queries.hold

    async def slowly(*args: Any) -> Any:
        held = await hold(*args)
        claimed.set()
        await go_on.wait()
        return held

    monkeypatch.setattr(queries, "hold", slowly)
    async with asyncio.timeout(30):
        booking = asyncio.create_task(other.book(guest, world.wish(resource_id=full.id)))
        await claimed.wait()
        changing = asyncio.create_task(give_parts(world, full, world.court))
        waiting = (
            "select count(*) from pg_locks l join pg_database d on d.oid = l.database"
            " where d.datname = current_database() and l.locktype = 'advisory' and not l.granted"
        )
        while not (await world.sql(waiting))[0][0]:
            assert not changing.done()
            await asyncio.sleep(0.01)
        go_on.set()
        await booking
        with pytest.raises(ResourceInUse, match="Full court"):
            await changing
