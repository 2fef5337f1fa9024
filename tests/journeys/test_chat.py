"""Chat through the front door: pages without a script, rooms of real bookings, files, and who may not."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import Person, World, at
from tests.modules.media.samples import picture

from forecourt.kernel.web import formats
from forecourt.kernel.web.catalogue import FALLBACK, LANGUAGES, Catalogue
from forecourt.layout import ROOT


@pytest.fixture
async def reader(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as reader:
        yield reader


async def group(owner: Person, *others: Person, name: str = "Thursday four") -> str:
    answer = await owner.post("/v1/rooms", {"kind": "group", "name": name, "member_ids": [o.id for o in others]})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


async def say(who: Person, room: str, words: str, **more: Any) -> dict[str, Any]:
    answer = await who.post(f"/v1/rooms/{room}/messages", {"client_id": str(uuid4()), "text": words, **more})
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_a_room_is_read_and_answered_without_a_script(reader: Reader, world: World) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    room = await group(ada, ben)
    await say(ada, room, "Court **3** at six?")
    await reader.sign_in(ben)
    rooms = await reader.look("/chat")
    assert "Thursday four" in text(rooms)
    assert "data-unread" in rooms.text
    seen = await reader.look(f"/chat/{room}")
    assert "<strong>3</strong>" in seen.text
    assert "New" in text(seen)
    refused = await reader.send(f"/chat/{room}", text="  ")
    assert refused.status_code == 422
    assert "Say something, or attach a file." in text(refused)
    back = await reader.follow(await reader.send(f"/chat/{room}", text="<b>Yes</b>", client_id="once"))
    assert "&lt;b&gt;Yes" in back.text
    await reader.send(f"/chat/{room}", text="<b>Yes</b>", client_id="once")
    said = (await ada.get(f"/v1/rooms/{room}/messages")).json()["items"]
    assert [m["text"] for m in said] == ["Court **3** at six?", "<b>Yes</b>"]
    assert "data-unread" not in (await reader.look("/chat")).text, "who answers has read"
    thread = await reader.look(f"/chat/{room}?thread={said[0]['id']}")
    assert 'id="thread-log"' in thread.text
    hits = await reader.look("/chat/find?q=court")
    assert "Court 3 at six?" in text(hits)


async def test_a_conversation_begins_with_a_handle(reader: Reader, world: World) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    handle = f"ben_{ben.id[-8:]}"
    assert (await ben.send("PATCH", "/v1/me/profile", {"handle": handle})).status_code == 200
    await reader.sign_in(ada)
    lost = await reader.send("/chat/new", handles="@nobody_here_at_all")
    assert lost.status_code == 422
    assert "Nobody is called @nobody_here_at_all" in text(lost)
    room = await reader.follow(await reader.send("/chat/new", handles=f"@{handle.upper()}"))
    assert "Say hello" in text(room)
    assert (await ben.get("/v1/rooms")).json()["items"][0]["title"] == "Ada"


async def test_a_stranger_is_answered_as_if_there_were_no_room(reader: Reader, world: World, client: httpx.AsyncClient) -> None:
    ada, ben, eve = await world.person("Ada"), await world.person("Ben"), await world.person("Eve")
    room = await group(ada, ben)
    message = (await say(ada, room, "Between us"))["id"]
    found = (await client.get("/openapi.json")).json()["paths"]
    tried = 0
    for path, methods in found.items():
        for method, operation in methods.items():
            if not path.startswith(("/v1/rooms/{", "/v1/messages/{")):
                continue
            mine = message if path.startswith("/v1/messages") else room
            bodies: dict[str, Any] = {
                "post": {"client_id": "1", "text": "x"} if path.endswith("messages") else {"action": "slow_mode", "seconds": 5},
                "put": {"seq": 1} if path.endswith("read") else {"notify": "all"},
                "patch": {"account_id": ada.id, "role": "owner"} if path.endswith("members") else {"name": "Mine"},
            }
            body = bodies.get(method) if "requestBody" in operation else None
            if path.endswith("/members") and method == "post":
                body = {}
            if path == "/v1/messages/{id}" and method == "patch":
                body = {"text": "Mine"}

            def filled(id: str, path: str = path) -> str:
                return (
                    path.replace("{id}", id)
                    .replace("{message_id}", message)
                    .replace("{file_id}", message)
                    .replace("{emoji}", "👍")
                )

            answer = await eve.send(method.upper(), filled(mine), body)
            absent = await eve.send(method.upper(), filled(str(uuid4())), body)
            assert answer.status_code == absent.status_code == 404, (method, path, answer.status_code, answer.text)
            tried += 1
    assert tried >= 20
    await reader.sign_in(eve)
    assert (await reader.look(f"/chat/{room}")).status_code == 404
    assert (await ben.get(f"/v1/rooms/{room}")).status_code == 200, "the control"
    assert (await client.get(f"/v1/rooms/{room}")).status_code == 401


async def test_who_is_not_confirmed_reads_and_says_nothing(world: World) -> None:
    ada, new = await world.person("Ada"), await world.person("New", verify=False)
    room = await group(ada, new)
    assert (await new.get(f"/v1/rooms/{room}")).status_code == 200
    refused = await new.post(f"/v1/rooms/{room}/messages", {"client_id": "1", "text": "x"})
    assert (refused.status_code, refused.json()["code"]) == (403, "email_unconfirmed")


async def test_a_booking_with_guests_has_its_room(world: World) -> None:
    club, ada, ben = await world.club(courts=1), await world.person("Ada"), await world.person("Ben")
    await world.credits(club, ada)
    wish = {"resource_id": club.courts[0], "start": at(5, 18), "duration_min": 60, "team_size": 4, "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wish | {"invitees": [{"account_id": ben.id}]})).json()

    async def rooms() -> list[dict[str, Any]]:
        return [r for r in (await ben.get("/v1/rooms")).json()["items"] if r["subject_id"] == booking["id"]]

    found = await until(rooms)
    assert found[0]["kind"] == "booking"
    assert found[0]["name"].startswith("Court 1, ")
    # Each reader is told what it is called in their language; what it is called after is there for those who word it themselves.
    path, subject = f"/v1/rooms/{found[0]['id']}", found[0]["subject"]
    assert (subject["resource"], datetime.fromisoformat(subject["start"])) == ("Court 1", datetime.fromisoformat(wish["start"]))
    for language in ("en", "pt", "ur"):
        told = (await ben.send("GET", path, accept_language=language)).json()["title"]
        assert told == formats.occasion(language, "Court 1", datetime.fromisoformat(wish["start"]), subject["timezone"])
    assert (await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})).status_code == 200

    async def archived() -> bool:
        return all(r["archived"] for r in await rooms())

    assert await until(archived)


async def until(ask: Any) -> Any:
    """What `ask` says once it says something: workers do it soon."""
    async with asyncio.timeout(60):
        while not (said := await ask()):
            await asyncio.sleep(0.05)
    return said


async def test_a_picture_is_seen_in_its_room_and_nowhere_else(reader: Reader, world: World, client: httpx.AsyncClient) -> None:
    ada, ben, eve = await world.person("Ada"), await world.person("Ben"), await world.person("Eve")
    room = await group(ada, ben)
    sent = await client.post("/v1/uploads", files={"file": ("court.png", picture(), "image/png")}, headers=ada.headers)
    assert sent.status_code == 201, sent.text
    file_id = sent.json()["id"]
    message = await say(ada, room, "", attachment_ids=[file_id])
    assert message["attachments"][0]["kind"] == "image"
    card = await ben.get(f"/v1/rooms/{room}/files/{file_id}")
    assert (await client.get(card.json()["url"])).status_code == 200
    assert (await eve.get(f"/v1/rooms/{room}/files/{file_id}")).status_code == 404
    await reader.sign_in(ben)
    assert f"/chat/{room}/files/{file_id}?width=800" in (await reader.look(f"/chat/{room}")).text
    shown = await reader.look(f"/chat/{room}/files/{file_id}?width=320")
    assert shown.status_code == 303
    assert (await ada.send("DELETE", f"/v1/messages/{message['id']}")).status_code == 204

    async def gone() -> bool:
        return (await ben.get(f"/v1/rooms/{room}/files/{file_id}")).status_code == 404

    assert await until(gone)


async def test_an_export_is_lines_of_json_and_says_where_to_go_on(world: World) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    room = await group(ada, ben)
    for n in range(3):
        await say(ben, room, f"{n}")
    first = await ada.get(f"/v1/rooms/{room}/export", limit=2)
    assert first.headers["content-type"].startswith("application/x-ndjson")
    assert len(first.text.splitlines()) == 2
    rest = await ada.get(f"/v1/rooms/{room}/export", after_seq=first.headers["x-last-seq"], limit=2)
    assert len(rest.text.splitlines()) == 1
    assert "x-last-seq" not in rest.headers
    assert (await ben.get(f"/v1/rooms/{room}/export")).status_code == 403


async def test_slow_mode_says_when_to_come_back(world: World) -> None:
    ada, ben = await world.person("Ada"), await world.person("Ben")
    room = await group(ada, ben)
    assert (await ada.post(f"/v1/rooms/{room}/moderation", {"action": "slow_mode", "seconds": 600})).status_code == 204
    await say(ben, room, "one")
    slow = await ben.post(f"/v1/rooms/{room}/messages", {"client_id": "2", "text": "two"})
    assert slow.status_code == 429
    assert 590 <= int(slow.headers["retry-after"]) <= 600


def test_every_sentence_of_chat_is_said_in_every_language() -> None:
    folder = ROOT / "modules" / "chat" / "messages"
    texts = {language: Catalogue((folder,)).keys(language) for language in LANGUAGES}
    assert len(texts[FALLBACK]) > 100
    assert all(keys == texts[FALLBACK] for keys in texts.values())
