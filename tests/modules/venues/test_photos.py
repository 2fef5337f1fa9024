"""Photos of venues and of what can be booked there: sent, shown in order, described, taken down; with the real store."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.journeys.reader import Reader, said_at, text, toast
from tests.journeys.world import Club, Person, World
from tests.modules.media import samples

from forecourt.app import House


@pytest.fixture
async def club(world: World) -> Club:
    return await world.club(zone="UTC")


@pytest.fixture
async def desk(house: House, club: Club) -> AsyncIterator[Reader]:
    """The owner, signed in."""
    async with Reader.at(house) as reader:
        await reader.sign_in(club.owner)
        yield reader


async def sent(club: Club, content: bytes | None = None, who: Person | None = None, name: str = "a.png") -> str:
    """A file for the club, sent by its owner; its id."""
    who = who or club.owner
    files = {"file": (name, content or samples.picture(900, 600), "image/png")}
    answer = await who.client.post(f"/v1/orgs/{club.id}/uploads", headers=who.headers, files=files)
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


def at(club: Club) -> str:
    return f"/v1/orgs/{club.id}/venues/{club.venue}"


async def show(club: Club, *ids: str) -> httpx.Response:
    return await club.owner.send("PATCH", at(club), {"photo_ids": list(ids)})


async def photos(club: Club) -> list[dict[str, Any]]:
    return (await club.owner.client.get(f"/v1/venues/{club.venue}")).json()["photos"]


# --- over HTTP


async def test_a_venues_photos_are_shown_in_their_order_and_the_first_in_lists(club: Club) -> None:
    assert await photos(club) == []
    first, second = await sent(club), await sent(club, samples.picture(400, 300))
    assert (await show(club, first, second)).status_code == 200
    shown = await photos(club)
    assert [p["id"] for p in shown] == [first, second]
    assert (shown[0]["width"], shown[0]["height"], shown[0]["widths"], shown[1]["widths"]) == (900, 600, [320, 800], [320])
    fetched = await club.owner.client.get(shown[0]["url"] + "&width=320")
    assert (fetched.status_code, fetched.headers["content-type"]) == (200, "image/webp"), "for everybody"
    assert (await show(club, second, first)).json()["photo_ids"] == [second, first]
    found = (await club.owner.client.get("/v1/venues", params={"organisation_id": club.id})).json()["items"]
    assert (found[0]["photo"], found[0]["cover"]["id"]) == (second, second)


async def test_a_photo_that_is_left_out_is_gone_for_good(club: Club) -> None:
    first, second = await sent(club), await sent(club, samples.picture(400, 300))
    await show(club, first, second)
    url = (await photos(club))[0]["url"]
    assert (await club.owner.client.get(url)).status_code == 200
    await show(club, second)
    assert [p["id"] for p in await photos(club)] == [second]
    assert (await club.owner.client.get(url)).status_code == 404
    again = await show(club, first, second)
    assert again.status_code == 422 and again.json()["errors"][0]["path"] == "photo_ids"


async def test_something_to_book_has_photos_of_its_own_which_go_with_it(club: Club) -> None:
    court = f"{at(club)}/resources/{club.courts[0]}"
    photo = await sent(club)
    assert (await club.owner.send("PATCH", court, {"photo_ids": [photo]})).json()["photos"][0]["id"] == photo
    listed = (await club.owner.client.get(f"/v1/venues/{club.venue}/resources")).json()["items"]
    assert [p["id"] for p in listed[0]["photos"]] == [photo]
    assert (await show(club, photo)).status_code == 422, "it belongs to the court"
    url = listed[0]["photos"][0]["url"]
    assert (await club.owner.send("DELETE", court)).status_code == 204
    assert (await club.owner.client.get(url)).status_code == 404


async def test_a_new_venue_and_a_new_court_may_come_with_photos(club: Club) -> None:
    mine, courts = await sent(club), await sent(club, samples.picture(400, 300))
    new = {
        "name": "Second", "address": "2 Road", "location": {"lat": 51.5, "lon": 0.1}, "timezone": "UTC", "opening_hours": {},
        "photo_ids": [mine],
    }  # fmt: skip
    made = await club.owner.post(f"/v1/orgs/{club.id}/venues", new)
    assert made.status_code == 201, made.text
    assert [p["id"] for p in made.json()["photos"]] == [mine]
    court = {"name": "Court", "kind": "court", "capacity": 4, "photo_ids": [courts]}
    added = await club.owner.post(f"/v1/orgs/{club.id}/venues/{made.json()['id']}/resources", court)
    assert [p["id"] for p in added.json()["photos"]] == [courts]


async def test_only_images_that_are_ones_own_are_shown(club: Club, world: World) -> None:
    other = await world.club()
    theirs = await sent(other)
    paper = await sent(club, samples.PDF, name="a.pdf")
    for wrong in (theirs, paper, str(uuid4())):
        answer = await show(club, wrong)
        assert answer.status_code == 422, answer.text
        assert answer.json()["errors"][0]["path"] == "photo_ids"
    assert await photos(club) == []
    mine = await sent(club)
    elsewhere = f"/v1/orgs/{club.id}/venues/{other.venue}"
    assert (await club.owner.send("PATCH", elsewhere, {"photo_ids": [mine]})).status_code == 404
    assert (await show(club, mine)).status_code == 200, "nothing was attached to the other's venue"


async def test_a_photo_is_described_by_those_who_may_edit(club: Club, world: World) -> None:
    photo, courts = await sent(club), await sent(club, samples.picture(400, 300))
    await show(club, photo)
    await club.owner.send("PATCH", f"{at(club)}/resources/{club.courts[0]}", {"photo_ids": [courts]})
    told = await club.owner.send("PUT", f"{at(club)}/photos/{photo}", {"alt": "Two courts under a roof"})
    assert told.json()["alt"] == "Two courts under a roof"
    assert (await photos(club))[0]["alt"] == "Two courts under a roof"
    assert (await club.owner.send("PUT", f"{at(club)}/photos/{courts}", {"alt": "Court 1"})).status_code == 200
    resource = (await club.owner.get(f"{at(club)}/resources/{club.courts[0]}")).json()
    assert (resource["photos"][0]["alt"], resource["version"]) == ("Court 1", 3)
    assert (await club.owner.send("PUT", f"{at(club)}/photos/{uuid4()}", {"alt": "x"})).status_code == 404
    stranger = await world.person()
    assert (await stranger.send("PUT", f"{at(club)}/photos/{photo}", {"alt": "x"})).status_code == 404


# --- on pages


def ids(page: httpx.Response) -> list[str]:
    return re.findall(r'id="photo-([0-9a-f-]{36})"', page.text)


async def test_owners_add_order_describe_and_remove_photos_without_scripts(desk: Reader, club: Club) -> None:
    here = f"/orgs/{club.id}/places/{club.venue}/photos"
    page = await desk.look(here)
    assert "None yet" in text(page)

    async def add(*pictures: bytes, **form: str) -> httpx.Response:
        files = [("photo", (f"{i}.png", content, "image/png")) for i, content in enumerate(pictures)]
        data = {"csrf_token": desk.csrf, "of": "", "alt": ""} | form
        return await desk.http.post(here, data=data, files=files)

    page = await desk.follow(await add(samples.picture(900, 600), samples.picture(400, 300), alt="Courts"))
    assert toast(page) == "2 photos are there"
    first, second = ids(page)
    page = await desk.follow(await desk.send(f"{here}/{second}/move", by="-1"))
    assert ids(page) == [second, first]
    page = await desk.follow(await desk.send(f"{here}/{first}", alt="The river"))
    assert 'alt="The river"' in page.text and 'alt="Courts"' in page.text
    page = await desk.follow(await add(samples.picture(500, 400), of=club.courts[1]))
    assert len(ids(page)) == 3 and "Court 2" in text(page)
    page = await desk.follow(await desk.send(f"{here}/{second}/remove"))
    assert second not in ids(page) and len(ids(page)) == 2

    parts = [f'name="{k}"\r\n\r\n{v}' for k, v in {"csrf_token": desk.csrf, "of": "", "alt": ""}.items()]
    parts.append('name="photo"; filename=""\r\nContent-Type: application/octet-stream\r\n\r\n')  # as browsers send no choice
    body = "".join(f"--x\r\nContent-Disposition: form-data; {part}\r\n" for part in parts) + "--x--\r\n"
    nothing = await desk.http.post(here, content=body, headers={"Content-Type": "multipart/form-data; boundary=x"})
    assert (nothing.status_code, said_at(nothing, "photo")) == (422, "Choose a picture first.")
    broken = await add(b"no picture at all")
    assert broken.status_code in (415, 422) and said_at(broken, "photo")
    assert (await add(samples.picture(300, 300), of=str(uuid4()))).status_code == 404


async def test_guests_see_photos_with_their_place_kept_free_and_a_drawing_without(
    desk: Reader,
    club: Club,
    world: World,
) -> None:
    plain = await desk.look(f"/venues/{(await world.club()).venue}")
    assert "/art/" in plain.text and "/v1/media/" not in plain.text
    photo = await sent(club)
    await show(club, photo)
    await club.owner.send("PUT", f"{at(club)}/photos/{photo}", {"alt": 'Two "courts" <b>'})
    name = f"Riverside {photo[-12:]}"  # many places here have the other name: a page of them need not show this one
    assert (await club.owner.send("PATCH", at(club), {"name": name})).status_code == 200
    for path in (f"/venues/{club.venue}", f"/discover?q={name}"):
        page = await desk.look(path)
        found = re.search(rf'<img src="/v1/media/{photo}[^>]*>', page.text)
        assert found, path
        image = found[0]
        assert 'width="' in image and 'height="' in image and "800w" in image and 'sizes="' in image
        assert 'alt="Two &#34;courts&#34; &lt;b&gt;"' in image
