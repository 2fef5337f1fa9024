"""A person's credits as a page."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import World, at

from forecourt.app import House


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


async def test_credits_show_balance_lots_and_what_they_went_to(reader: Reader, world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5000)
    body = {"resource_id": club.courts[0], "start": at(), "duration_min": 60, "pay_with": "credits"}
    booked = await ada.post("/v1/bookings", body)
    assert booked.status_code == 201, booked.text
    await reader.sign_in(ada)
    page = await reader.look("/credits")
    words = text(page)
    assert "Riverside" in words
    assert "£30.00 of £50.00 left" in words
    assert "a welcome" in words
    assert "−£20.00" in words
    assert f'href="/bookings/{booked.json()["id"]}"' in page.text


async def test_somebody_without_credits_is_told_where_they_come_from(reader: Reader, world: World) -> None:
    await reader.sign_in(await world.person("Ben"))
    assert "No credits yet" in text(await reader.look("/credits"))


async def test_credits_are_for_their_owner_alone(reader: Reader, world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 7777)
    assert (await reader.look("/credits")).headers["location"].startswith("/sign-in?next=")
    await reader.sign_in(await world.person("Ben"))
    assert "£77.77" not in text(await reader.look("/credits"))


async def test_a_broken_cursor_is_said_to_be_broken(reader: Reader, world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5000)
    await reader.sign_in(ada)
    assert (await reader.look(f"/credits?at={club.id}&cursor=nonsense")).status_code == 422
    assert (await reader.look(f"/credits?at={club.id}")).status_code == 200
