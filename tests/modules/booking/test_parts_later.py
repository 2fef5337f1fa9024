"""What is booked gets no more parts: a booking has claims on those that there were when it was made."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from forecourt.modules.booking.contract import Cancel, NewBlock, SlotTaken
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
