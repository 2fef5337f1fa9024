"""One's profile as a page: edited, with a photo, and seen by others as its owner wishes."""

from __future__ import annotations

import html
import io
import json
import re
import zipfile
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from tests.journeys.reader import Reader, said_at
from tests.journeys.world import PASSWORD, Person, World
from tests.modules.media.samples import photo_with_a_place, picture, png_that_says

from forecourt.app import House


@pytest.fixture(scope="module")
async def ada(client: httpx.AsyncClient) -> Person:
    return await World(client).person("Ada")


@pytest.fixture(scope="module")
async def reader(house: House, ada: Person) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        await reader.sign_in(ada)
        await reader.look("/account/profile")
        yield reader


async def keep(reader: Reader, photo: tuple[str, bytes, str] | None = None, **form: Any) -> httpx.Response:
    """The form as a browser sends it: a file input that was left empty comes as a file without a name."""
    name, content, kind = photo or ("", b"", "application/octet-stream")
    fields = {"csrf_token": reader.csrf, "name": "Ada", **form}
    parts = [(key, str(value)) for key, given in fields.items() for value in (given if isinstance(given, list) else [given])]
    body = b"".join(f'--edge\r\nContent-Disposition: form-data; name="{key}"\r\n\r\n{value}\r\n'.encode() for key, value in parts)
    body += f'--edge\r\nContent-Disposition: form-data; name="photo"; filename="{name}"\r\nContent-Type: {kind}\r\n\r\n'.encode()
    body += content + b"\r\n--edge--\r\n"
    headers = {"Content-Type": "multipart/form-data; boundary=edge"}
    return await reader.http.post("/account/profile", content=body, headers=headers)


async def test_the_account_leads_to_everything_of_ones_own(reader: Reader, ada: Person) -> None:
    page = (await reader.look("/account")).text
    for path in ("/account/profile", "/account/notifications", "/chat/settings"):
        assert f'<a class="nav" href="{path}">' in page, "also where no bar leads to it"
        assert (await reader.look(path)).status_code == 200


async def test_what_is_kept_is_there_again_and_others_see_what_the_owner_shows(
    reader: Reader, ada: Person, house: House, world: World
) -> None:
    handle = f"ada_{ada.id.replace('-', '')[-12:]}"
    answer = await keep(
        reader, handle=f"@{handle}", bio="Left-handed.\r\nLikes <b>walls</b>.", city="Lahore", languages=["en", "ur"],
        sport_1="padel", level_1="3,5", frequency_1="weekly", sport_3="tennis", mon="18-21", sat="07:00–09:00, 18:30-20",
        see_city="public", see_sports="public", see_bio="private", see_preferred_times="members",
    )  # fmt: skip
    page = (await reader.follow(answer)).text
    for typed in (handle, "3.5", "18:00-21:00", "07:00-09:00, 18:30-20:00"):
        assert typed in page, typed
    mine = (await reader.http.get(f"/people/@{handle}")).text
    assert "Likes &lt;b&gt;walls&lt;/b&gt;" in mine
    assert "Level 3.5" in mine
    async with Reader.at(house) as stranger:
        seen = (await stranger.look(f"/people/{ada.id}")).text
        assert "Lahore" in seen
        assert "Padel" in seen
        assert "Left-handed" not in seen
        assert "Likes to play" not in seen
    other = await world.person("Rida")
    async with Reader.at(house) as member:
        await member.sign_in(other)
        seen = (await member.look(f"/people/{ada.id}")).text
        assert "18:30–20:00" in seen
        assert "Left-handed" not in seen


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ({"name": " "}, "Is needed"),
        ({"handle": "admin"}, "keeps for itself"),
        ({"handle": "no spaces here"}, "f-handle-about"),
        ({"sport_1": "padel", "level_1": "9"}, "from 0 to 7"),
        ({"sport_1": "padel", "level_1": "nan"}, "from 0 to 7"),
        ({"sport_1": "padel", "sport_2": "padel"}, "each sport once"),
        ({"wed": "evening"}, "write it like".capitalize()),
        ({"wed": "25-26"}, "write it like".capitalize()),
        ({"bio": "x" * 2001}, "f-bio-about"),
        ({"see_bio": "nobody"}, "f-see_bio-about"),
    ],
)
async def test_a_mistake_is_said_at_its_field_and_what_was_typed_stays(reader: Reader, typed: dict[str, str], said: str) -> None:
    answer = await keep(reader, city="Karachi", **typed)
    assert answer.status_code == 422, answer.text[:400]
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text or "no_show" in answer.text
    assert "Karachi" in answer.text


async def test_a_handle_of_somebody_else_is_refused_at_its_field(reader: Reader, ada: Person, house: House, world: World) -> None:
    handle = f"taken_{ada.id.replace('-', '')[-12:]}"
    assert (await keep(reader, handle=handle)).status_code == 303
    other = await world.person("Rida")
    async with Reader.at(house) as second:
        await second.sign_in(other)
        await second.look("/account/profile")
        answer = await keep(second, handle=handle.upper())
        assert answer.status_code == 409
        assert "Somebody has this handle already" in answer.text


async def test_two_windows_do_not_overwrite_each_other(reader: Reader) -> None:
    first = re.findall(r'name="version" value="(\d+)"', (await reader.look("/account/profile")).text)[0]
    assert (await keep(reader, version=first, city="Lahore")).status_code == 303
    late = await keep(reader, version=first, city="Karachi")
    assert late.status_code == 412
    now = re.findall(r'name="version" value="(\d+)"', (await reader.look("/account/profile")).text)[0]
    assert (await keep(reader, version=now, city="Karachi")).status_code == 303


async def test_a_photo_is_shown_replaced_and_removed(reader: Reader, ada: Person, house: House) -> None:
    assert (await keep(reader, ("me.jpg", photo_with_a_place(400, 300), "image/jpeg"))).status_code == 303
    first = photos((await reader.look(f"/people/{ada.id}")).text)
    assert (await reader.http.get(first)).status_code == 200
    assert (await keep(reader, ("me.png", picture(300, 300), "image/png"))).status_code == 303
    async with Reader.at(house) as stranger:
        second = photos((await stranger.look(f"/people/{ada.id}")).text)
        assert second != first
        assert (await stranger.http.get(second)).status_code == 200
        assert (await stranger.http.get(first)).status_code == 404
        assert (await keep(reader, see_photo="private")).status_code == 303
        assert "avatar--photo" not in (await stranger.look(f"/people/{ada.id}")).text
    assert (await keep(reader, remove_photo="1")).status_code == 303
    assert "avatar--photo" not in (await reader.look(f"/people/{ada.id}")).text


def photos(page: str) -> str:
    (found,) = re.findall(r'<img class="avatar avatar--photo" src="([^"]+)"', page)
    return found.replace("&amp;", "&")


@pytest.mark.parametrize(
    ("photo", "said"),
    [
        (("x.svg", b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "image/png"), "f-photo-about"),
        (("big.png", png_that_says(50_000, 50_000), "image/png"), "f-photo-about"),
        (("tiny.png", picture(20, 20), "image/png"), "64 × 64"),
        (("notes.pdf", b"%PDF-1.7\n1 0 obj\n<<>>\nendobj\ntrailer\n<<>>\n%%EOF\n", "image/png"), "f-photo-about"),
    ],
)
async def test_what_is_no_photo_is_refused_at_its_field(reader: Reader, photo: tuple[str, bytes, str], said: str) -> None:
    answer = await keep(reader, photo)
    assert answer.status_code == 422, answer.text[:400]
    assert said in answer.text
    assert 'aria-invalid="true"' in answer.text


async def test_somebody_elses_file_is_no_photo_of_mine(
    reader: Reader, client: httpx.AsyncClient, ada: Person, world: World
) -> None:
    other = await world.person("Rida")
    files = {"file": ("x.png", picture(200, 200), "image/png")}
    sent = await client.post("/v1/uploads", files=files, headers=other.headers)
    assert sent.status_code == 201, sent.text
    body = {"photo_id": sent.json()["id"]}
    refused = await client.patch("/v1/me/profile", json=body, headers=ada.headers)
    assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "photo_id")
    taken = await client.patch("/v1/me/profile", json=body, headers=other.headers)
    assert taken.status_code == 200
    assert taken.json()["photo"]["url"].startswith("/v1/media/")


async def test_nobody_is_not_found(reader: Reader) -> None:
    assert (await reader.look("/people/@nobody_at_all")).status_code == 404
    assert (await reader.look("/people/01900000-0000-7000-8000-000000000000")).status_code == 404


# --- taking one's data along ---------------------------------------------------------------------------------------------


async def test_whoever_knows_their_password_takes_everything_along_by_a_page(reader: Reader, ada: Person, world: World) -> None:
    other = await world.person("Rida")
    wrong = await reader.send("/account/data/download", password="another")
    assert (wrong.status_code, said_at(wrong, "password")) == (422, "Is not your password.")
    assert "my-forecourt-data" not in wrong.text and "/v1/me/export" not in wrong.text
    page = await reader.follow(await reader.send("/account/data/download", password=PASSWORD))
    (link,) = re.findall(r'href="(/v1/me/export[^"]+)"', page.text)
    link = html.unescape(link)
    answer = await reader.http.get(link)
    assert (answer.status_code, answer.headers["content-type"], answer.headers["cache-control"]) == (
        200,
        "application/zip",
        "no-store",
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="my-forecourt-data.zip"'
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        assert archive.testzip() is None
        kinds = {
            name.removesuffix(".json"): json.loads(archive.read(name)) for name in archive.namelist() if name.endswith(".json")
        }
        assert {"account", "profile", "bookings", "payments", "messages", "notifications", "files"} <= kinds.keys()
        assert all(isinstance(found, list) for found in kinds.values())
        assert ada.email in json.dumps(kinds["account"])
        everything = b"".join(archive.read(name) for name in archive.namelist())
    assert other.email.encode() not in everything and b"argon2" not in everything
    elsewhere = await other.get(link)
    assert (elsewhere.status_code, elsewhere.json()["code"]) == (403, "export_link_invalid")
    assert (await world.client.get(link)).status_code == 401


async def test_a_link_is_asked_for_by_programs_too_and_not_by_who_guesses_passwords(world: World) -> None:
    nina = await world.person("Nina")
    asked = await nina.post("/v1/me/export", {"password": PASSWORD})
    assert asked.status_code == 202
    taken = [(await nina.get(asked.json()["url"])).status_code for _ in range(6)]
    assert taken == [200] * 5 + [429], "five an hour"
    guesses = [(await nina.post("/v1/me/export", {"password": "another"})).json()["code"] for _ in range(11)]
    assert guesses == ["invalid"] * 10 + ["locked_out"]
    assert (await nina.post("/v1/me/export", {"password": PASSWORD})).status_code == 429
