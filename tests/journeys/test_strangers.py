"""Another organisation's things look exactly like things that do not exist, in every operation of the document."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from typing import Any
from urllib.parse import urlencode
from uuid import uuid4

import httpx
import msgspec
import pytest
from tests.journeys.world import Club, Person, World, at

ABSENT = str(uuid4())
BODY_AT = re.compile(r"\{(\w+)\}")


def example(schema: dict[str, Any], components: dict[str, Any], depth: int = 0) -> Any:
    """A small valid value of a schema, so that a request reaches the check of whose object it is."""
    if "$ref" in schema:
        return example(components[schema["$ref"].rsplit("/", 1)[1]], components, depth + 1)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return example(next((s for s in schema[key] if s != {"type": "null"}), schema[key][0]), components, depth + 1)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    match schema.get("type"):
        case "object":
            return {
                n: example(s, components, depth + 1)
                for n, s in schema.get("properties", {}).items()
                if n in schema.get("required", [])
            }
        case "array":
            if "prefixItems" in schema:
                return [example(s, components, depth + 1) for s in schema["prefixItems"]]
            return [example(schema["items"], components, depth + 1) for _ in range(schema.get("minItems", 0))]
        case "integer" | "number":
            low = schema.get("minimum", 1)
            step = schema.get("multipleOf", 1)
            return max(low, step) if low <= step else low
        case "boolean":
            return True
    match schema.get("format"):
        case "uuid":
            return str(uuid4())
        case "date-time":
            return at(9, 12)
        case "date":
            return at(9)[:10]
    pattern = schema.get("pattern", "")
    known = {"GBP": r"^[A-Z]{3}", "GB": "ISO 3166", "06:00": "HH:MM", "1.5": "[0-9]{1,4}"}
    for value, mark in known.items():
        if mark in pattern or mark in schema.get("description", ""):
            return value
    return "x" * max(3, schema.get("minLength", 1)) if schema.get("maxLength", 99) >= 3 else "xx"[: schema["maxLength"]]


async def operations(client: httpx.AsyncClient) -> tuple[list[tuple[str, str, dict[str, Any]]], dict[str, Any]]:
    doc = (await client.get("/openapi.json")).json()
    found = [(m.upper(), p, op) for p, methods in doc["paths"].items() for m, op in methods.items()]
    return found, doc["components"]["schemas"]


async def things(world: World) -> tuple[Club, Person, dict[str, str]]:
    """A club with one of everything that has an id."""
    club = await world.club()
    player = await world.person("Pat")
    booking = (await player.post("/v1/bookings", {"resource_id": club.courts[0], "start": at(8, 12), "duration_min": 60})).json()
    return club, player, {"org_id": club.id, "venue_id": club.venue, "resource_id": club.courts[0], "booking_id": booking["id"]}


def body_of(op: dict[str, Any], components: dict[str, Any]) -> Any:
    """A small valid JSON body; None where none is taken, or a form with files, which is read after everything else is judged."""
    content = op.get("requestBody", {}).get("content", {})
    return example(content["application/json"]["schema"], components) if "application/json" in content else None


SELF = {"/v1/me", "/v1/auth", "/v1/admin", "/v1/people"}


async def test_another_organisations_address_is_a_404_in_every_staff_operation(world: World, client: httpx.AsyncClient) -> None:
    club, _, ids = await things(world)
    other = (await world.club()).owner
    found, components = await operations(client)
    tried = 0
    for method, path, op in found:
        if not path.startswith("/v1/orgs/{org_id}"):
            continue
        filled = path.replace("{org_id}", club.id).replace("{venue_id}", club.venue)
        filled = filled.replace("/venues/{id}", f"/venues/{club.venue}").replace(
            "/bookings/{id}", f"/bookings/{ids['booking_id']}"
        )
        filled = BODY_AT.sub(lambda _: str(uuid4()), filled)
        body = body_of(op, components)
        answer = await other.send(method, filled, body)
        absent = await other.send(method, filled.replace(club.id, str(uuid4())), body)
        assert answer.status_code == absent.status_code == 404, (method, path, answer.status_code, answer.text)
        assert {k: v for k, v in answer.json().items() if k != "trace_id"} == {
            k: v for k, v in absent.json().items() if k != "trace_id"
        }
        tried += 1
    assert tried > 30
    # The control: the owner is not answered 404 by the organisation's own address.
    assert (await club.owner.get(f"/v1/orgs/{club.id}")).status_code == 200


@pytest.mark.parametrize("who", ["another player", "the owner of another club"])
async def test_another_persons_booking_is_a_404_whatever_is_asked_of_it(
    world: World, client: httpx.AsyncClient, who: str
) -> None:
    _, player, ids = await things(world)
    stranger = await world.person("Sam") if who == "another player" else (await world.club()).owner
    found, components = await operations(client)
    tried = 0
    for method, path, op in found:
        if not path.startswith("/v1/bookings/{"):
            continue
        filled = path.replace("{id}", ids["booking_id"]).replace("{booking_id}", ids["booking_id"])
        if "{" in filled:
            continue
        body = body_of(op, components)
        answer = await stranger.send(method, filled, body)
        absent = await stranger.send(method, filled.replace(ids["booking_id"], str(uuid4())), body)
        assert answer.status_code == absent.status_code == 404, (method, path, answer.status_code, answer.text)
        tried += 1
    assert tried >= 6
    assert (await player.get(f"/v1/bookings/{ids['booking_id']}")).status_code == 200


async def one_of_everything(world: World) -> tuple[Person, dict[str, dict[str, str]]]:
    """A person, and by the beginning of its address the ids of what is theirs alone."""
    club = await world.club()
    pat = await world.person("Pat")
    await world.credits(club, pat, 5_000)
    wanted = {"resource_id": club.courts[0], "start": at(8, 12), "duration_min": 60, "pay_with": "credits"}
    booking = (await pat.post("/v1/bookings", wanted)).json()
    room = (await pat.post("/v1/rooms", {"kind": "group", "name": "Four on Friday", "member_ids": []})).json()
    said = (await pat.post(f"/v1/rooms/{room['id']}/messages", {"client_id": str(uuid4()), "text": "Who brings balls?"})).json()
    upload = (await pat.post("/v1/uploads/resumable", {"bytes": 1_000, "name": "court.jpg"})).json()
    session = (await pat.get("/v1/me/sessions")).json()["items"][0]
    async with asyncio.timeout(30):
        while not (news := (await pat.get("/v1/notifications")).json()["items"]):
            await asyncio.sleep(0.05)
    return pat, {
        "/v1/bookings/": {"id": booking["id"]},
        "/v1/payments/": {"id": booking["id"]},
        "/v1/rooms/": {"id": room["id"], "message_id": said["id"]},
        "/v1/messages/": {"id": said["id"], "emoji": "👍"},
        "/v1/uploads/": {"id": upload["id"]},
        "/v1/me/sessions/": {"id": session["id"]},
        "/v1/notifications/": {"id": news[0]["id"]},
    }


@pytest.mark.parametrize("who", ["another player", "the owner of another club"])
async def test_what_is_somebodys_own_is_answered_as_what_does_not_exist(
    world: World, client: httpx.AsyncClient, who: str
) -> None:
    """Every operation that takes the id of a person's own thing: word for word the answer that an absent id gets."""
    pat, theirs = await one_of_everything(world)
    stranger = await world.person("Sam") if who == "another player" else (await world.club()).owner
    found, components = await operations(client)
    statuses: Counter[tuple[str, int]] = Counter()
    for method, path, op in found:
        ids = next((ids for prefix, ids in theirs.items() if path.startswith(prefix + "{")), None)
        if ids is None or {} in op["security"]:
            continue

        def filled(values: dict[str, str], path: str = path) -> str:
            return BODY_AT.sub(lambda name: values.get(name[1], ABSENT), path)

        body = body_of(op, components)
        answer = await stranger.send(method, filled(ids), body)
        absent = await stranger.send(method, filled(ids | {"id": ABSENT}), body)
        assert answer.status_code == absent.status_code >= 400, (method, path, answer.text, absent.text)
        assert told(answer) == told(absent), (method, path)
        statuses[path.split("{")[0], answer.status_code] += 1
    assert {prefix for prefix, status in statuses if status == 404} == set(theirs), statuses
    assert sum(n for (_, status), n in statuses.items() if status == 404) >= 30, statuses
    # The control: it is all there, for whom it belongs to.
    for path in ("/v1/bookings/", "/v1/payments/", "/v1/rooms/", "/v1/uploads/"):
        assert (await pat.get(path + theirs[path]["id"])).status_code == 200, path


def told(answer: httpx.Response) -> dict[str, Any]:
    return {k: v for k, v in answer.json().items() if k != "trace_id"}


async def test_nobody_signed_in_is_told_to_sign_in(client: httpx.AsyncClient) -> None:
    found, components = await operations(client)
    tried = 0
    for method, path, op in found:
        if {} in op["security"] or not path.startswith("/v1/"):
            continue
        filled = BODY_AT.sub(lambda _: str(uuid4()), path)
        body = body_of(op, components)
        answer = await client.request(method, filled, json=body)
        assert answer.status_code == 401, (method, path, answer.status_code)
        assert answer.json()["code"] == "unauthenticated"
        tried += 1
    assert tried > 40


async def test_a_record_is_taken_out_by_who_may_read_it_and_by_nobody_else(world: World, client: httpx.AsyncClient) -> None:
    club, player, _ = await things(world)
    elsewhere = await world.club()
    rival = elsewhere.owner
    export = f"/v1/orgs/{club.id}/audit/export"
    key = {"name": "till", "permissions": ["booking.read_any"]}
    till = (await club.owner.post(f"/v1/orgs/{club.id}/api-keys", key)).json()["key"]
    for who in (player, rival):
        assert (await who.get(export)).status_code == 404
    assert (await client.get(export, headers={"X-API-Key": till})).status_code == 403
    async with asyncio.timeout(30):
        while (await club.owner.get(f"/v1/orgs/{club.id}/audit", action="booking")).json()["items"] == []:
            await asyncio.sleep(0.05)
    mine = await club.owner.get(export, format="jsonl", action="booking")
    assert (mine.status_code, mine.headers["content-type"]) == (200, "application/jsonl")
    entries = [msgspec.json.decode(line) for line in mine.content.splitlines()]
    assert {e["action"] for e in entries} >= {"booking.held"}
    assert mine.headers["x-total-count"] == str(len(entries))
    assert {e["details"]["organisation_id"] for e in entries} == {club.id}
    table = await club.owner.get(export)
    assert table.headers["content-disposition"].endswith('.csv"')
    assert table.text.startswith("seq,at,action,")
    assert club.id not in (await rival.get(f"/v1/orgs/{elsewhere.id}/audit/export")).text
    too_long = {"from": "2024-01-01T00:00:00Z", "to": at(0)}
    for wrong in ({"format": "xls"}, {"from": at(0), "to": at(-1)}, too_long, {"limit": "5"}):
        assert (await club.owner.send("GET", f"{export}?{urlencode(wrong)}")).status_code == 422
    assert (await club.owner.send("HEAD", export)).status_code == 405
