"""The first booking, end to end: register, find, book with credits, hold the ticket; and the second person who came too late."""

from __future__ import annotations

import asyncio
from uuid import uuid4

import icalendar
from tests.journeys.world import World, at


async def test_a_stranger_registers_finds_a_court_pays_with_credits_and_holds_a_calendar_file(world: World) -> None:
    club = await world.club()
    ada = await world.person("Ada")
    await world.credits(club, ada, 5_000)

    found = (await ada.get("/v1/venues", near="51.5,-0.12", radius_km=5, limit=100)).json()
    assert club.venue in [v["id"] for v in found["items"]]
    start = at(3, 12)
    day = (
        await ada.get(f"/v1/venues/{club.venue}/availability", **{"from": start[:10], "to": start[:10], "duration_min": 60})
    ).json()
    free = [s["start"] for r in day["days"][0]["resources"] if r["resource_id"] == club.courts[0] for s in r["slots"]]
    assert start in free

    answer = await ada.post(
        "/v1/bookings", {"resource_id": club.courts[0], "start": start, "duration_min": 60, "pay_with": "credits"}
    )
    assert answer.status_code == 201, answer.text
    booking = answer.json()
    assert booking["status"] == "upcoming"
    assert booking["price"] == booking["paid"] == {"amount": 2000, "currency": "GBP"}
    assert await world.balance(club, ada) == 3_000

    calendar = await ada.get(f"/v1/bookings/{booking['id']}/calendar.ics")
    event = next(c for c in icalendar.Calendar.from_ical(calendar.content).walk("VEVENT"))
    assert event["DTSTART"].dt.isoformat().replace("+00:00", "Z") == start
    after = (
        await ada.get(f"/v1/venues/{club.venue}/availability", **{"from": start[:10], "to": start[:10], "duration_min": 60})
    ).json()
    free = [s["start"] for r in after["days"][0]["resources"] if r["resource_id"] == club.courts[0] for s in r["slots"]]
    assert start not in free


async def test_the_second_person_hears_what_is_free_instead(world: World) -> None:
    club = await world.club(courts=2)
    ada, ben = await world.person("Ada"), await world.person("Ben")
    wanted = {"resource_id": club.courts[0], "start": at(3, 18), "duration_min": 60}
    assert (await ada.post("/v1/bookings", wanted)).status_code == 201
    answer = await ben.post("/v1/bookings", wanted)
    assert answer.status_code == 409
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem["code"] == "slot_taken"
    assert problem["alternatives"]
    again = problem["alternatives"][0]
    retry = await ben.post("/v1/bookings", {"resource_id": again["resource_id"], "start": again["start"], "duration_min": 60})
    assert retry.status_code == 201, retry.text


async def test_an_account_without_a_verified_address_may_hold_but_not_pay(world: World) -> None:
    club = await world.club()
    ada = await world.person("Ada", verify=False)
    wanted = {"resource_id": club.courts[0], "start": at(4, 9), "duration_min": 60}
    held = await ada.post("/v1/bookings", wanted)
    assert held.status_code == 201, held.text
    assert held.json()["status"] == "payment_pending"
    answer = await ada.post(f"/v1/bookings/{held.json()['id']}/pay", {"pay_with": "credits"})
    assert (answer.status_code, answer.json()["code"]) == (403, "email_unconfirmed")


async def test_without_enough_credits_nothing_is_held(world: World) -> None:
    club = await world.club()
    ada, ben = await world.person("Ada"), await world.person("Ben")
    wanted = {"resource_id": club.courts[0], "start": at(4, 10), "duration_min": 60}
    answer = await ada.post("/v1/bookings", wanted | {"pay_with": "credits"})
    assert (answer.status_code, answer.json()["code"]) == (402, "insufficient_credits")
    assert (await ben.post("/v1/bookings", wanted)).status_code == 201


async def test_cancelling_gives_back_what_the_policy_says(world: World) -> None:
    club = await world.club()
    ada = await world.person("Ada")
    await world.credits(club, ada, 2_000)
    wanted = {"resource_id": club.courts[0], "start": at(5, 12), "duration_min": 60, "pay_with": "credits"}
    booking = (await ada.post("/v1/bookings", wanted)).json()
    preview = (await ada.get(f"/v1/bookings/{booking['id']}/refund-preview")).json()
    answer = await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})
    assert answer.status_code == 200, answer.text
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["refund"] == preview["refund"] == {"amount": 2000, "currency": "GBP"}
    assert await world.balance(club, ada) == 2_000
    again = await ada.post(f"/v1/bookings/{booking['id']}/cancel", {})
    assert again.status_code == 409
    assert await world.balance(club, ada) == 2_000


async def test_a_hundred_sendings_of_one_key_have_one_effect(world: World) -> None:
    club = await world.club()
    ada = await world.person("Ada")
    await world.credits(club, ada, 100_000)
    wanted = {"resource_id": club.courts[0], "start": at(6, 12), "duration_min": 60, "pay_with": "credits"}
    key = str(uuid4())
    answers = await asyncio.gather(*(ada.post("/v1/bookings", wanted, Idempotency_Key=key) for _ in range(100)))
    made = [a for a in answers if a.status_code == 201]
    assert made
    assert {a.json()["id"] for a in made} == {made[0].json()["id"]}
    assert all(a.json()["code"] == "idempotency_in_flight" for a in answers if a.status_code != 201)
    assert await world.balance(club, ada) == 98_000
    replay = await ada.post("/v1/bookings", wanted, Idempotency_Key=key)
    assert (replay.status_code, replay.headers.get("idempotent-replayed")) == (201, "true")
    other = await ada.post("/v1/bookings", wanted | {"duration_min": 90}, Idempotency_Key=key)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_mismatch")
    # The control: without a key the second sending is a second attempt.
    assert (await ada.post("/v1/bookings", wanted)).status_code == 409


async def test_two_hundred_people_and_one_slot(world: World) -> None:
    club = await world.club()
    people = [await world.person(f"P{i}", verify=False) for i in range(4)]
    wanted = {"resource_id": club.courts[0], "start": at(7, 12), "duration_min": 60}
    answers = await asyncio.gather(*(people[i % 4].post("/v1/bookings", wanted) for i in range(200)))
    codes = sorted(a.status_code for a in answers)
    assert codes == [201] + [409] * 199
    assert {a.json()["code"] for a in answers if a.status_code == 409} == {"slot_taken"}
