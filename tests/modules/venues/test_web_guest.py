"""The start page and finding a place, without scripts."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

import httpx
import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import Club, World

from forecourt.app import House

DAY = (datetime.now(UTC) + timedelta(days=2)).date()
_islands = itertools.count(1)


@dataclass(frozen=True)
class Far:
    """A club further from every other than a search reaches. `near` is where it is."""

    club: Club
    near: str

    @property
    def venue(self) -> str:
        return self.club.venue


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


@pytest.fixture
async def club(world: World) -> Far:
    """Two courts at the far end of the world, called as nobody else's."""
    club = await world.club(courts=2, zone="UTC")
    lat, lon = -60.0 + next(_islands), 174.5
    change = {
        "name": "Kowhai Courts",
        "city": "Kowhaitown",
        "location": {"lat": lat, "lon": lon},
        "amenities": ["showers", "bouldering_wall"],
    }
    answer = await club.owner.send("PATCH", f"/v1/orgs/{club.id}/venues/{club.venue}", change)
    assert answer.status_code == 200, answer.text
    return Far(club, f"{lat},{lon}")


def results(page_text: str) -> list[str]:
    """The places listed, by id."""
    return re.findall(r'data-shows-place="([^"]+)"', page_text)


async def test_the_start_page_says_what_is_free_next_and_leads_to_that_very_time(reader: Reader, club: Far) -> None:
    page = await reader.look("/?city=Kowhaitown")
    assert page.status_code == 200
    lines = re.findall(r'class="departures__row" href="([^"]+)"', page.text)
    assert lines
    assert all(f"/venues/{club.venue}?" in line for line in lines)
    chosen = await reader.look(lines[0].replace("&amp;", "&"))
    assert "slot--mine" in chosen.text


async def drawn_on(reader: Reader, path: str) -> tuple[httpx.Response, date]:
    """A page and its day: one that midnight fell upon is drawn again."""
    while True:
        day = datetime.now(UTC).date()
        page = await reader.look(path)
        if datetime.now(UTC).date() == day:
            return page, day


async def closed(club: Far, day: date) -> None:
    shut = {"reason": "Works", "dates": {"from": str(day), "to": str(day)}}
    answer = await club.club.owner.post(f"/v1/orgs/{club.club.id}/venues/{club.venue}/closures", shut)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("shut", [True, False], ids=["closed today", "open today"])
async def test_a_time_on_the_board_that_is_not_of_today_says_its_day(reader: Reader, club: Far, shut: bool) -> None:
    today, town = datetime.now(UTC).date(), f"Town{random.randrange(10**9)}"
    change = await club.club.owner.send("PATCH", f"/v1/orgs/{club.club.id}/venues/{club.venue}", {"city": town})
    assert change.status_code == 200
    if shut:
        await closed(club, today)
    page, day = await drawn_on(reader, f"/?city={town}")
    row = rf'departures__row" href="/venues/{club.venue}\?[^"]*start=(\d{{4}}-\d\d-\d\d)[^"]*"><time>(.*?)</time>'
    lines = re.findall(row, page.text)
    assert lines
    assert not shut or day != today or all(start == str(day + timedelta(days=1)) for start, _ in lines)
    for start, said in lines:
        assert ("Tomorrow, " in said) == (start != str(day)), (start, said)
    assert ('class="departures__day"' in page.text) == any(start != str(day) for start, _ in lines)


async def test_a_day_without_free_times_names_the_next_one_and_leads_to_it(reader: Reader, club: Far) -> None:
    await closed(club, DAY)
    page = await reader.look(f"/discover?near={club.near}&date={DAY}")
    row = page.text.partition(f'data-shows-place="{club.venue}"')[2].partition("</li>")[0]
    assert "Nothing free on this day." in row
    found = re.search(r'<a href="([^"]+)" class="num">Next free: ([^<]+)</a>', row)
    assert found, row
    assert f"start={DAY + timedelta(days=1)}" in found[1]
    assert "slot--mine" in (await reader.look(found[1].replace("&amp;", "&"))).text
    other = await reader.look(f"/discover?near={club.near}&date={DAY + timedelta(days=1)}")
    assert "Next free:" not in other.text.partition(f'data-shows-place="{club.venue}"')[2].partition("</li>")[0]


async def test_a_map_of_places_far_apart_shows_where_most_are_and_says_so(reader: Reader, world: World) -> None:
    word = "".join(random.choices("bcdfghjklmnpqrstvwz", k=12))
    venues: list[str] = []
    for lat, lon in ((40.0, -150.0), (55.0, -150.0), (55.1, -150.1)):
        club = await world.club(courts=1, zone="UTC")
        change = {"name": f"{word.capitalize()} {len(venues)}", "location": {"lat": lat, "lon": lon}}
        assert (await club.owner.send("PATCH", f"/v1/orgs/{club.id}/venues/{club.venue}", change)).status_code == 200
        venues.append(club.venue)
    page = await reader.look(f"/discover?q={word}&sort=name")
    assert results(page.text) == venues
    assert set(re.findall(r'data-place="([^"]+)"', page.text)) == set(venues[1:])
    assert "2 of 3 places are on this map." in text(page)
    assert "on this map" not in text(await reader.look(f"/discover?q={word}&near=55,-150"))


async def test_a_city_without_places_has_an_empty_board_and_a_way_on(reader: Reader, club: Far) -> None:
    page = await reader.look("/?city=Atlantis")
    assert "departures__row" not in page.text
    assert "Look at another day." in text(page)
    part = await reader.http.get("/?city=Atlantis", headers={"HX-Request": "true"})
    assert part.text.lstrip().startswith('<div class="departures"'), "the board refreshes alone"


async def test_near_a_point_the_nearest_is_listed_with_its_distance_and_drawn(reader: Reader, club: Far) -> None:
    page = await reader.look(f"/discover?near={club.near}&date={DAY}")
    assert results(page.text)[0] == club.venue
    assert "away" in text(page)
    assert f'data-place="{club.venue}"' in page.text
    elsewhere = await reader.look(f"/discover?near=10,10&date={DAY}")
    assert results(elsewhere.text) == []
    assert "No place fits all of that" in text(elsewhere)


async def test_times_are_shown_from_the_asked_hour_on_and_full_places_can_be_left_out(
    reader: Reader, club: Far, world: World
) -> None:
    asked = f"/discover?near={club.near}&date={DAY}&time=18:00&duration_min=60"
    page = await reader.look(asked)
    times = re.findall(r'class="timebtn"[^>]*><b><bdi>([\d:]+)</bdi>', page.text)
    assert times[:2] == ["18:00", "18:15"]
    assert club.venue in results((await reader.look(asked + "&free=true")).text)
    guest = await world.person("Ben")
    for court in club.club.courts:
        body = {"resource_id": court, "start": f"{DAY}T18:00:00Z", "duration_min": 60, "pay_with": "desk"}
        assert (await guest.post("/v1/bookings", body)).status_code == 201
    later = re.findall(r'class="timebtn"[^>]*><b><bdi>([\d:]+)</bdi>', (await reader.look(asked)).text)
    assert later[0] == "19:00"
    assert club.venue not in results((await reader.look(asked + "&free=true")).text)


async def test_filters_are_links_that_switch_on_and_off(reader: Reader, club: Far) -> None:
    page = await reader.look(f"/discover?near={club.near}")
    on = re.search(r'<a class="chip" href="([^"]+)" role="button" aria-pressed="false">Padel', page.text)
    assert on
    switched = await reader.look(on[1].replace("&amp;", "&"))
    assert re.search(r'aria-pressed="true">Padel', switched.text)
    assert club.venue in results(switched.text)
    assert results((await reader.look(f"/discover?near={club.near}&sport=squash")).text) == []
    assert club.venue in results((await reader.look(f"/discover?near={club.near}&amenities=showers,bouldering_wall")).text)
    assert results((await reader.look(f"/discover?near={club.near}&amenities=showers,wifi")).text) == []


async def test_words_find_a_place_even_with_a_slip(reader: Reader, club: Far) -> None:
    assert club.venue in results((await reader.look("/discover?q=kohwai")).text)
    assert results((await reader.look("/discover?q=zzyzx")).text) == []


@pytest.mark.parametrize("query", ["near=somewhere", "near=91,0", "time=25:00", "date=yesterday", "cursor=x", "sort=best"])
async def test_a_broken_search_is_said_to_be_broken(reader: Reader, query: str) -> None:
    assert (await reader.look(f"/discover?{query}")).status_code == 422


async def test_what_was_typed_comes_back_as_text(reader: Reader) -> None:
    page = await reader.look("/discover?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E")
    assert page.status_code == 200
    assert "<script>alert" not in page.text


async def test_the_language_is_chosen_with_a_form_and_kept(reader: Reader) -> None:
    assert 'lang="en"' in (await reader.look("/discover")).text
    page = await reader.follow(await reader.send("/language", language="ur", back="/discover?q=x"))
    assert '<html lang="ur" dir="rtl"' in page.text
    assert (await reader.send("/language", language="xx")).status_code == 422
    away = await reader.send("/language", language="en", back="https://example.com/")
    assert away.headers["location"] == "/"
