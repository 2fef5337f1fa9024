"""Files over HTTP: sent by those who may, judged by what is in them, fetched whole, in parts, or not at all."""

from __future__ import annotations

import asyncio
import io
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from PIL import Image
from tests.journeys.conftest import Server
from tests.journeys.world import PASSWORD, Club, Person, World
from tests.modules.media import samples

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.modules.media.contract import Audience, Media, MediaOwner


async def send(
    who: Person | None, client: httpx.AsyncClient, content: bytes, name: str = "a.png", type_: str = "image/png", **data: str
) -> httpx.Response:
    headers = who.headers if who is not None else {}
    return await client.post("/v1/uploads", headers=headers, files={"file": (name, content, type_)}, data=data)


async def sent(who: Person, client: httpx.AsyncClient, content: bytes, **more: Any) -> dict[str, Any]:
    answer = await send(who, client, content, **more)
    assert answer.status_code == 201, answer.text
    return answer.json()


async def photo_of(club: Club, house: House, content: bytes) -> dict[str, Any]:
    """A public photo of a club, attached as the module of venues does it."""
    files = {"file": ("court.png", content, "image/png")}
    answer = await club.owner.client.post(f"/v1/orgs/{club.id}/uploads", headers=club.owner.headers, files=files)
    assert answer.status_code == 201, answer.text
    ctx = service_context("tests", UUID(club.id))
    owner = MediaOwner("venues", "venue", UUID(club.venue))
    (card,) = await house.board.call(Media).attach(ctx, [UUID(answer.json()["id"])], owner, Audience.PUBLIC)
    return {"id": str(card.id), "url": card.url, "variants": [v.url for v in card.variants]}


# --- sending -------------------------------------------------------------------------------------------------------------


async def test_a_photo_is_sent_and_comes_back_without_the_place_it_was_taken(world: World, client: httpx.AsyncClient) -> None:
    ada = await world.person()
    card = await sent(ada, client, samples.photo_with_a_place(900, 600), name="../../Court 1.html", type_="text/html", alt="Us")
    assert (card["type"], card["name"], card["alt"], card["owner"]) == ("image/jpeg", "Court 1.html", "Us", None)
    assert (card["width"], card["height"]) == (600, 900)
    whole = await client.get(card["url"])
    assert (whole.status_code, whole.headers["content-type"]) == (200, "image/jpeg")
    assert not Image.open(io.BytesIO(whole.content)).getexif()
    assert whole.headers["content-disposition"].startswith('inline; filename="Court 1.html.jpg"')
    assert len(whole.content) == card["bytes"] == int(whole.headers["content-length"])
    (variant,) = card["variants"]
    small = await client.get(variant["url"])
    assert (small.headers["content-type"], len(small.content)) == ("image/webp", variant["bytes"])
    assert Image.open(io.BytesIO(small.content)).size == (320, 480)


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (samples.SVG, 415, "media_refused"),
        (samples.HTML, 415, "media_refused"),
        (samples.archive(), 415, "media_refused"),
        (samples.PDF + samples.archive(), 415, "media_refused"),
        (samples.picture()[:60], 415, "media_refused"),
        (samples.png_that_says(30_000, 30_000), 422, "media_too_large"),
        (samples.picture() + b"\0" * 21 * 1024 * 1024, 413, "too_large"),
        (b"", 422, "invalid"),
    ],
    ids=["svg", "html", "zip", "pdf and zip", "half", "bomb", "21 MiB", "nothing"],
)
async def test_what_is_not_taken_is_refused_whatever_it_is_called(
    world: World, client: httpx.AsyncClient, content: bytes, status: int, code: str
) -> None:
    answer = await send(await world.person(), client, content, name="court.png")
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


async def test_a_gif_that_is_a_script_too_comes_back_as_a_picture_alone(world: World, client: httpx.AsyncClient) -> None:
    card = await sent(await world.person(), client, samples.gif_and_script(), name="a.js", type_="text/javascript")
    back = await client.get(card["url"])
    assert back.headers["content-type"] == "image/png"
    assert back.headers["x-content-type-options"] == "nosniff"
    assert b"alert" not in back.content


async def test_ten_megabytes_are_taken_where_they_belong_and_nowhere_else(world: World, client: httpx.AsyncClient) -> None:
    ada, large = await world.person(), samples.mp3(frames=30_000)
    assert len(large) > 12_000_000
    card = await sent(ada, client, large)
    assert (card["type"], card["bytes"]) == ("audio/mpeg", len(large))
    part = await client.get(card["url"], headers={"Range": f"bytes={len(large) - 5}-"})
    assert (part.status_code, part.content) == (206, large[-5:])
    elsewhere = await client.post("/v1/bookings", headers=ada.headers, content=large)
    assert elsewhere.status_code in (413, 415)


async def test_too_large_a_body_is_refused_by_a_real_server_before_it_is_read(server: Server) -> None:
    async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
        ada = await World(client).person()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        head = {"Host": "x", "Content-Type": "multipart/form-data; boundary=x", "Content-Length": str(200 * 1024 * 1024)}
        lines = [f"{name}: {value}" for name, value in (head | ada.headers).items()]
        writer.write("\r\n".join(["POST /v1/uploads HTTP/1.1", *lines, "", "--x"]).encode())
        answer = await reader.read()  # to the end: nothing more is waited for
        writer.close()
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"at most 100 MiB" in answer
        assert (await sent(ada, client, samples.picture()))["type"] == "image/png"


async def test_an_upload_names_one_file_and_nothing_unknown(world: World, client: httpx.AsyncClient) -> None:
    ada, one = await world.person(), ("a.png", samples.picture(), "image/png")
    for files, data in (
        ([("file", one), ("file", one)], {}),
        ([("photo", one)], {}),
        ([("file", one)], {"alt": "x" * 501}),
        ([("file", one)], {"colour": "red"}),
    ):
        answer = await client.post("/v1/uploads", headers=ada.headers, files=files, data=data)
        assert answer.status_code == 422, answer.text
    assert (await ada.post("/v1/uploads", {"file": "a"})).status_code == 415
    assert (await send(None, client, samples.picture())).status_code == 401


async def test_a_broken_line_costs_one_part_and_not_the_whole(world: World, client: httpx.AsyncClient) -> None:
    ada, content = await world.person(), samples.mp3(frames=20)
    begun = await ada.post("/v1/uploads/resumable", {"bytes": len(content), "name": "voice.mp3"})
    assert begun.status_code == 201, begun.text
    where = begun.headers["location"]
    assert where == f"/v1/uploads/{begun.json()['id']}"
    part = {**ada.headers, "Content-Type": "application/offset+octet-stream", "Tus-Resumable": "1.0.0"}
    first = await client.patch(where, headers=part | {"Upload-Offset": "0"}, content=content[:5000])
    assert (first.status_code, first.headers["upload-offset"]) == (204, "5000")
    again = await client.patch(where, headers=part | {"Upload-Offset": "0"}, content=content[:5000])
    assert (again.status_code, again.json()["code"], again.json()["received"]) == (409, "upload_offset", 5000)
    head = await client.head(where, headers=ada.headers)
    assert (head.status_code, head.headers["upload-offset"], head.headers["upload-length"]) == (200, "5000", str(len(content)))
    assert (await ada.post(f"{where}/finish")).json()["code"] == "upload_incomplete"
    rest = await client.patch(where, headers=part | {"Upload-Offset": head.headers["upload-offset"]}, content=content[5000:])
    assert rest.headers["upload-offset"] == str(len(content))
    card = await ada.post(f"{where}/finish")
    assert (card.status_code, card.json()["id"]) == (201, begun.json()["id"])
    assert (await client.get(card.json()["url"])).content == content

    for headers, status in (
        (part, 422),
        (part | {"Upload-Offset": "-1"}, 422),
        (ada.headers | {"Upload-Offset": "0"}, 415),
        (part | {"Upload-Offset": "0"}, 404),  # it is a file now
    ):
        assert (await client.patch(where, headers=headers, content=b"x")).status_code == status
    eve = await world.person("Eve")
    assert (await eve.get(where)).status_code == 404
    large = part | {"Upload-Offset": "0"}
    assert (await client.patch(where, headers=large, content=b"x" * (4 * 1024 * 1024 + 1))).status_code == 413


async def test_a_browser_sends_with_its_cookie_and_the_token_of_its_page(world: World, client: httpx.AsyncClient) -> None:
    ada = await world.person()
    page = await client.get("/sign-in")
    token = page.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
    signed_in = await client.post("/sign-in", data={"email": ada.email, "password": PASSWORD, "csrf_token": token})
    assert signed_in.status_code == 303, signed_in.text
    page = await client.get("/account")
    former, token = token, page.text.split('name="csrf_token" value="', 1)[1].split('"', 1)[0]
    try:
        files = {"file": ("a.png", samples.picture(), "image/png")}
        assert (await client.post("/v1/uploads", files=files)).status_code == 403
        assert (await client.post("/v1/uploads", files=files, headers={"X-CSRF-Token": former})).status_code == 403
        card = (await client.post("/v1/uploads", files=files, headers={"X-CSRF-Token": token})).json()
        # Whoever sent it sees it in a page without a signed address; nobody else does.
        assert (await client.get(f"/v1/media/{card['id']}")).status_code == 200
    finally:
        client.cookies.clear()
    assert (await client.get(f"/v1/media/{card['id']}")).status_code == 404


# --- whose ---------------------------------------------------------------------------------------------------------------


async def test_what_others_sent_does_not_exist(world: World, client: httpx.AsyncClient) -> None:
    ada, eve = await world.person("Ada"), await world.person("Eve")
    card = await sent(ada, client, samples.picture())
    plain = f"/v1/media/{card['id']}"
    absent = await eve.get(f"/v1/media/{uuid4()}")
    for answer in (await eve.get(plain), await client.get(plain), await eve.send("DELETE", f"/v1/uploads/{card['id']}")):
        assert answer.status_code == absent.status_code == 404
        assert answer.json()["code"] == absent.json()["code"]
    assert (await ada.get(plain)).status_code == 200
    hers = await sent(eve, client, samples.picture())
    assert hers["id"] != card["id"]
    assert (await ada.send("DELETE", f"/v1/uploads/{card['id']}")).status_code == 204
    assert (await client.get(card["url"])).status_code == 404
    assert (await client.get(hers["url"])).status_code == 200  # the same bytes, but hers


async def test_an_address_that_expired_or_was_changed_opens_nothing(world: World, client: httpx.AsyncClient) -> None:
    card = await sent(await world.person(), client, samples.picture())
    url = httpx.URL(card["url"])
    assert (await client.get(url)).status_code == 200
    expires = int(url.params["expires"])
    for changed in (
        {"expires": str(expires + 1800)},
        {"expires": str(expires - 3600 * 24)},
        {"signature": "0" * 32},
    ):
        assert (await client.get(url.copy_merge_params(changed))).status_code == 404
    for malformed in ({"signature": "x"}, {"expires": "never"}, {"width": "5"}, {"colour": "red"}):
        assert (await client.get(url.copy_merge_params(malformed))).status_code == 422


async def test_staff_send_for_their_organisation_and_guests_do_not(world: World, client: httpx.AsyncClient, house: House) -> None:
    club, guest, other = await world.club(), await world.person("Pat"), await world.club()
    photo = await photo_of(club, house, samples.picture(700, 300))
    files = {"file": ("a.png", samples.picture(), "image/png")}
    for who in (guest, other.owner):
        answer = await client.post(f"/v1/orgs/{club.id}/uploads", headers=who.headers, files=files)
        assert answer.status_code == 404
    assert (await client.get(f"/v1/media/{photo['id']}")).status_code == 200
    assert (await club.owner.send("DELETE", f"/v1/uploads/{photo['id']}")).status_code == 404  # it is the organisation's now


# --- fetching ------------------------------------------------------------------------------------------------------------


async def test_a_public_photo_may_be_kept_for_a_year(world: World, client: httpx.AsyncClient, house: House) -> None:
    photo = await photo_of(await world.club(), house, samples.picture(700, 300))
    for url in (photo["url"], *photo["variants"]):
        answer = await client.get(url)
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        again = await client.get(url, headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == answer.headers["etag"]
    assert (await client.get(f"/v1/media/{photo['id']}")).headers["cache-control"] == "public, max-age=300"
    wider = await client.get(photo["url"] + "&width=1600")  # than it is: it comes as it is
    assert wider.headers["content-type"] == "image/png"


async def test_a_part_is_sent_when_one_is_asked_for(world: World, client: httpx.AsyncClient) -> None:
    content = samples.mp3(frames=10)
    url = (await sent(await world.person(), client, content))["url"]
    whole = await client.get(url)
    assert whole.headers["accept-ranges"] == "bytes"
    assert whole.headers["cache-control"].startswith("private, max-age=")
    part = await client.get(url, headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.content) == (206, content[100:200])
    assert part.headers["content-range"] == f"bytes 100-199/{len(content)}"
    assert part.headers["content-length"] == "100"
    beyond = await client.get(url, headers={"Range": f"bytes={len(content)}-"})
    assert (beyond.status_code, beyond.headers["content-range"]) == (416, f"bytes */{len(content)}")
    same = await client.get(url, headers={"Range": "bytes=0-9", "If-Range": whole.headers["etag"]})
    assert same.status_code == 206
    for headers in ({"Range": "bytes=0-9", "If-Range": '"another"'}, {"Range": "bytes=0-1,5-6"}):
        assert (await client.get(url, headers=headers)).content == content
    head = await client.head(url)
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(content)))


async def test_a_document_is_saved_and_not_shown_in_the_place_of_a_page(world: World, client: httpx.AsyncClient) -> None:
    card = await sent(await world.person(), client, samples.PDF, name='Tür "1" ☂.pdf', type_="application/pdf")
    answer = await client.get(card["url"])
    said = answer.headers["content-disposition"]
    assert said.startswith('attachment; filename="T_r 1 _.pdf"; filename*=UTF-8' + "''T%C3%BCr")
    policies = answer.headers.get_list("content-security-policy")
    assert any("sandbox" in policy for policy in policies)
    assert answer.headers["x-content-type-options"] == "nosniff"
    picture = await sent(await world.person(), client, samples.picture())
    shown = await client.get(picture["url"])
    assert not any("sandbox" in policy for policy in shown.headers.get_list("content-security-policy"))


async def test_what_happened_to_a_photo_is_in_the_record(world: World, house: House) -> None:
    club = await world.club()
    photo = await photo_of(club, house, samples.picture())
    async with asyncio.timeout(30):
        while not (entries := (await club.owner.get(f"/v1/orgs/{club.id}/audit", action="media.attached")).json()["items"]):
            await asyncio.sleep(0.05)
    assert [e["details"]["media_ids"] for e in entries] == [[photo["id"]]]
