"""Free times at several venues at once, named or near a point."""

from __future__ import annotations

import random

import pytest
from tests.journeys.world import World, at

DAY = at(3)[:10]


async def free(world: World, **query: object) -> tuple[int, dict[str, object]]:
    answer = await world.client.get("/v1/availability", params={"from": DAY, **query})  # type: ignore[arg-type]
    return answer.status_code, answer.json()


def venues(body: dict[str, object]) -> list[str]:
    items = body["items"]
    assert isinstance(items, list)
    return [item["venue_id"] for item in items]


async def test_the_nearest_venues_answer_and_those_further_off_do_not(world: World) -> None:
    lat, lon = round(random.uniform(-60, -40), 4), round(random.uniform(-170, -130), 4)  # the South Pacific: nobody plays there
    here, away = await world.club(), await world.club()
    for club, shift in ((here, 0.01), (away, 2)):
        change = {"location": {"lat": lat + shift, "lon": lon}}
        answer = await club.owner.send("PATCH", f"/v1/orgs/{club.id}/venues/{club.venue}", change)
        assert answer.status_code == 200, answer.text
    status, body = await free(world, near=f"{lat},{lon}", radius_km=5)
    assert (status, venues(body)) == (200, [here.venue])
    status, body = await free(world, near=f"{lat},{lon}", radius_km=400)
    assert (status, venues(body)) == (200, [here.venue, away.venue])
    status, body = await free(world, near=f"{lat},{lon}", radius_km=400, sport="chess")
    assert (status, venues(body)) == (200, [])
    named = await free(world, venue_ids=here.venue)
    assert named[1]["items"] == (await free(world, near=f"{lat},{lon}"))[1]["items"], "the same answer, however it is asked for"


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ({}, "venue_ids"),
        ({"radius_km": 5}, "radius_km"),
        ({"near": "somewhere"}, "near"),
        ({"near": "51.5,-0.12", "radius_km": 0}, "radius_km"),
        ({"near": "51.5,-0.12", "radius_km": 5000}, "radius_km"),
        ({"near": "51.5,-0.12", "venue_ids": "0193a000-0000-7000-8000-000000000000"}, "near"),
        ({"venue_ids": ",".join(f"0193a000-0000-7000-8000-{n:012}" for n in range(21))}, "venue_ids"),
    ],
)
async def test_where_is_said_once_and_within_bounds(world: World, query: dict[str, object], path: str) -> None:
    status, body = await free(world, **query)
    assert status == 422
    errors = body["errors"]
    assert isinstance(errors, list) and errors[0]["path"].startswith(path)
