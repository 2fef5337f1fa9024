"""What a new user gets wrong, by hand: each answer says what is wrong and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import httpx
import pytest
from tests.journeys.conftest import Server
from tests.journeys.world import PASSWORD, Club, Person, World, at


@dataclass
class Case:
    name: str
    method: str
    path: str
    status: int
    code: str
    at: str | None = None
    """The path of the first fault; None: the problem has no faults."""
    body: Any = None
    params: dict[str, Any] = field(default_factory=dict)


BOOK: dict[str, Any] = {"resource_id": "{court}", "duration_min": 60}


def book(name: str, status: int, code: str, at: str | None = None, /, **more: Any) -> Case:
    return Case(name, "POST", "/v1/bookings", status, code, at, BOOK | {"start": "{noon}"} | more)


def register(name: str, code: str, at: str | None, /, **more: Any) -> Case:
    body = {"email": "new.{word}@example.org", "password": PASSWORD, "name": "Neo"} | more
    return Case(name, "POST", "/v1/auth/register", 422, code, at, body)


def free(name: str, at: str, /, **params: Any) -> Case:
    return Case(name, "GET", "/v1/venues/{venue}/availability", 422, "invalid", at, params={"from": "{day}"} | params)


def venue(name: str, at: str, /, **more: Any) -> Case:
    hours = {d: [["06:00", "23:00"]] for d in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
    body = {
        "name": "Annexe",
        "address": "2 Quay Street",
        "location": {"lat": 51.5, "lon": -0.12},
        "timezone": "Europe/London",
        "opening_hours": hours,
    }
    return Case(name, "POST", "/v1/orgs/{org}/venues", 422, "invalid", at, body | more)


CASES = [
    # times
    book("no start", 422, "invalid", "start", start=None),
    book("a date instead of a time", 422, "invalid", "start", start="2031-02-03"),
    book("the thirtieth of February", 422, "invalid", "start", start="2031-02-30T12:00:00Z"),
    book("a time without an offset", 422, "invalid", "start", start="2031-02-03T12:00:00"),
    book("words for a time", 422, "invalid", "start", start="tomorrow at noon"),
    book("a number for a time", 422, "invalid", "start", start=1_900_000_000),
    book("yesterday", 422, "invalid", "start", start="{past}"),
    book("in two hundred years", 422, "invalid", "start", start="2226-02-03T12:00:00Z"),
    book("in five years", 422, "outside_horizon", "start", start="{far}"),
    book("off the grid", 422, "invalid", "start", start="{odd}"),
    book("before opening", 409, "venue_closed", None, start="{night}"),
    # lengths
    book("seventeen minutes", 422, "invalid", "duration_min", duration_min=17),
    book("no time at all", 422, "invalid", "duration_min", duration_min=0),
    book("minus an hour", 422, "invalid", "duration_min", duration_min=-60),
    book("a million minutes", 422, "invalid", "duration_min", duration_min=1_000_000),
    book("half a minute", 422, "invalid", "duration_min", duration_min=60.5),
    book("a length in words", 422, "invalid", "duration_min", duration_min="1h"),
    book("a length beyond every integer", 422, "invalid", "duration_min", duration_min=10**30),
    # people, ways to pay, what does not exist
    book("nobody plays", 422, "invalid", "team_size", team_size=0),
    book("a bus load", 422, "capacity_exceeded", "team_size", team_size=40),
    book("a purpose of one's own", 422, "invalid", "purpose", purpose="party"),
    book("paying with shells", 422, "invalid", "pay_with", pay_with="shells"),
    book("a price of one's own", 422, "invalid", "price", price={"amount": 1, "currency": "GBP"}),
    book("paid already, says the guest", 422, "invalid", "status", status="upcoming"),
    book("another one's account", 422, "invalid", "account_id", account_id="{stranger}"),
    book("a court that is none", 404, "not_found", None, resource_id=str(uuid4())),
    book("a court by name", 422, "invalid", "resource_id", resource_id="Court 1"),
    book("the venue for a court", 404, "not_found", None, resource_id="{venue}"),
    book("somebody else's quote", 404, "not_found", None, quote_id=str(uuid4())),
    book("a note of a novel", 422, "invalid", "note", note="x" * 5_000),
    Case("a list for a booking", "POST", "/v1/bookings", 422, "invalid", "", body=[1, 2]),
    Case("a string for a booking", "POST", "/v1/bookings", 422, "invalid", "", body="please"),
    # other people's things
    Case("another one's booking", "GET", "/v1/bookings/{theirs}", 404, "not_found"),
    Case("cancelling another one's booking", "POST", "/v1/bookings/{theirs}/cancel", 404, "not_found", body={}),
    Case("another one's payment", "GET", "/v1/payments/{theirs}", 404, "not_found"),
    Case("the house's staff", "GET", "/v1/orgs/{other}/staff", 404, "not_found"),
    Case("an id that is none", "GET", "/v1/bookings/12", 404, "not_found"),
    Case("an id that climbs", "GET", "/v1/bookings/..%2f..%2fadmin", 404, "not_found"),
    # lists
    Case("a huge limit", "GET", "/v1/bookings", 422, "invalid", "limit", params={"limit": 1_000_000}),
    Case("a limit below one", "GET", "/v1/bookings", 422, "invalid", "limit", params={"limit": 0}),
    Case("a limit in words", "GET", "/v1/bookings", 422, "invalid", "limit", params={"limit": "all"}),
    Case("a cursor of one's own", "GET", "/v1/bookings", 422, "invalid", "cursor", params={"cursor": "AAAA"}),
    Case("a filter that is none", "GET", "/v1/bookings", 422, "invalid", "order_by", params={"order_by": "1;drop"}),
    # availability
    free("no such day", "from", **{"from": "2031-02-30"}),
    free("backwards", "to", to="2020-01-01"),
    free("ten years at once", "to", to="2040-01-01"),
    free("three minutes free", "duration_min", duration_min=3),
    # registering
    register("no address", "invalid", "email", email="not an address"),
    register("an address of emoji", "invalid", "email", email="😀@😀"),
    register("two lines in an address", "invalid", "email", email="a@example.org\nBcc: b@example.org"),
    register("a short password", "invalid", "password", password="abc"),
    register("the password of everybody", "invalid", "password", password="password1234"),
    register("no name", "invalid", "name", name=""),
    register("a blank name", "invalid", "name", name="   "),
    register("a name without an end", "invalid", "name", name="x" * 5_000),
    register("an administrator by wish", "invalid", "platform_admin", platform_admin=True),
    # venues
    venue("north of the pole", "location.lat", location={"lat": 95, "lon": 0}),
    venue("a place in words", "location", location="London"),
    venue("a zone that is none", "timezone", timezone="Mars/Base"),
    venue("a zone that climbs", "timezone", timezone="../../etc/passwd"),
    venue("twenty-five o'clock", "opening_hours.mon[0][1]", opening_hours={"mon": [["06:00", "25:00"]]}),
    venue("a name of nothing", "name", name=""),
    Case("another one's club", "POST", "/v1/orgs/{other}/venues", 404, "not_found", body={}),
    Case("a currency of one's own", "POST", "/v1/orgs", 422, "invalid", "currency", body={
        "name": "Mint", "kind": "club", "country": "GB", "currency": "gold", "timezone": "Europe/London"}),
    # addresses
    Case("an address that is none", "GET", "/v1/bookings-of-mine", 404, "not_found"),
    Case("a method that is none", "DELETE", "/v1/bookings", 405, "method_not_allowed"),
]  # fmt: skip


@dataclass
class Scene:
    club: Club
    guest: Person
    words: dict[str, str]

    def fill(self, value: Any) -> Any:
        if isinstance(value, str):
            for name, word in self.words.items():
                value = value.replace("{" + name + "}", word)
            return value
        if isinstance(value, dict):
            return {k: self.fill(v) for k, v in value.items()}
        return value


@pytest.fixture(scope="module")
async def scene(client: httpx.AsyncClient) -> Scene:
    world = World(client)
    club, other = await world.club(), await world.club()
    guest, stranger = await world.person("Neo"), await world.person("Sam")
    taken = await stranger.post("/v1/bookings", {"resource_id": club.courts[1], "start": at(3, 12), "duration_min": 60})
    assert taken.status_code == 201, taken.text
    words = {
        "court": club.courts[0],
        "venue": club.venue,
        "org": club.id,
        "other": other.id,
        "stranger": stranger.id,
        "theirs": taken.json()["id"],
        "noon": at(3, 12),
        "day": at(3)[:10],
        "past": at(-1, 12),
        "far": at(5 * 365, 12),
        "odd": at(3, 12, 7),
        "night": at(3, 2),
        "word": uuid4().hex,
    }
    return Scene(club, guest, words)


@pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
async def test_a_mistake_is_told_with_its_place(scene: Scene, case: Case) -> None:
    # Venues are the owner's to make; everything else is tried by the guest.
    who = scene.club.owner if case.path == "/v1/orgs/{org}/venues" else scene.guest
    answer = await who.client.request(
        case.method,
        scene.fill(case.path),
        json=scene.fill(case.body) if case.body is not None else None,
        params=scene.fill(case.params) or None,
        headers=who.headers,
    )
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    first = problem["errors"][0]["path"] if problem.get("errors") else None
    assert (answer.status_code, problem["code"], first) == (case.status, case.code, case.at), answer.text
    assert problem["title"]


async def test_the_same_requests_without_the_mistake_are_taken(scene: Scene) -> None:
    """The control."""
    guest, owner = scene.guest, scene.club.owner
    booked = await guest.post("/v1/bookings", scene.fill(book("", 0, "").body))
    assert booked.status_code == 201, booked.text
    assert (await guest.get(f"/v1/bookings/{booked.json()['id']}")).status_code == 200
    assert (await guest.get("/v1/bookings", limit=100)).status_code == 200
    free_times = free("", "")
    assert (await guest.get(scene.fill(free_times.path), **scene.fill(free_times.params))).status_code == 200
    assert (await owner.post(scene.fill("/v1/orgs/{org}/venues"), venue("", "").body)).status_code == 201
    assert (await guest.client.post("/v1/auth/register", json=scene.fill(register("", "", None).body))).status_code == 201


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("Zoë Çelik 🎾", "Zoë Çelik 🎾"),
        ("👩‍👩‍👧 Family", "👩‍👩‍👧 Family"),
        ("محمد علی", "محمد علی"),
        ("  Ada   Lovelace ", "Ada Lovelace"),
        ("Ada\r\nBcc: x@example.org", "Ada Bcc: x@example.org"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("Robert'); drop table account;--", "Robert'); drop table account;--"),
    ],
)
async def test_a_name_is_kept_as_people_write_it_on_one_line(client: httpx.AsyncClient, name: str, kept: str) -> None:
    body = {"email": f"{uuid4().hex}@example.org", "password": PASSWORD, "name": name}
    answer = await client.post("/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    token = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert (await client.get("/v1/me", headers=token)).json()["name"] == kept


@pytest.mark.parametrize(
    ("content", "kind", "status", "code"),
    [
        (b"{", "application/json", 400, "bad_request"),
        (b"", "application/json", 400, "bad_request"),
        (b"[" * 100_000, "application/json", 422, "invalid"),
        (b'{"invitees": ' + b"[" * 100_000, "application/json", 422, "invalid"),
        (b'{"note": "\xff"}', "application/json", 400, "bad_request"),
        (b"resource_id=1", "application/x-www-form-urlencoded", 415, "unsupported_media_type"),
        (b"<a/>", "text/xml", 415, "unsupported_media_type"),
        (b'{"note": "' + b"x" * 10_000_000 + b'"}', "application/json", 413, "too_large"),
    ],
    ids=["cut off", "empty", "nested", "nested further in", "no UTF-8", "a form", "XML", "ten megabytes"],
)
async def test_what_cannot_be_read_is_refused_as_such(scene: Scene, content: bytes, kind: str, status: int, code: str) -> None:
    headers = scene.guest.headers | {"Content-Type": kind}
    answer = await scene.guest.client.post("/v1/bookings", content=content, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text


def test_ten_megabytes_are_not_read_to_the_end(server: Server) -> None:
    """Over a real connection: the refusal comes, and the server goes on."""
    answer = httpx.post(f"{server.url}/v1/auth/login", content=b"x" * 10_000_000, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert httpx.get(f"{server.url}/livez").status_code == 200
