"""What the console does with input that no form of it makes, and whose address it does not show."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import pytest
from tests.house import world  # noqa: F401 - a fixture
from tests.journeys.reader import Reader, hidden, said_at, text
from tests.journeys.world import Club, World

from forecourt.app import House
from forecourt.kernel.http.operation import Keyed

DAY = (datetime.now(UTC) + timedelta(days=3)).date()


@pytest.fixture
async def club(world: World) -> Club:  # noqa: F811
    return await world.club(zone="Asia/Karachi")


@pytest.fixture
async def desk(house: House, club: Club) -> AsyncIterator[Reader]:
    """The owner, signed in."""
    async with Reader.at(house) as reader:
        await reader.sign_in(club.owner)
        yield reader


async def test_a_digit_that_is_no_number_and_a_year_without_a_calendar_are_said_at_their_fields(desk: Reader, club: Club) -> None:
    day = f"/orgs/{club.id}/day"
    block = {
        "venue_id": club.venue,
        "resource_ids": club.courts,
        "day": str(DAY),
        "at": "09:30",
        "until": "11",
        "reason": "Floor",
    }
    for field, odd in (("at", "²:00"), ("until", "1²"), ("weeks", "²")):
        bad = await desk.send(f"{day}/block", **(block | {field: odd}))
        assert (bad.status_code, said_at(bad, field) != "") == (422, True), field
    for far in ("9999-12-31", "0001-01-01"):
        for path, more in (("block", {"at": "24:00", "until": "09:00"}), ("new", {"resource_id": club.courts[0], "at": "24:00"})):
            bad = await desk.send(
                f"{day}/{path}", **(block | more | {"day": far, "duration_min": "60", "who": "Z", "purpose": "workout"})
            )
            assert bad.status_code == 422, (path, far)
    seen = await desk.look(f"{day}?venue_id={club.venue}&date={DAY}&block=1&at=%C2%B2%C2%B2")
    assert seen.status_code == 200 and "Floor" not in text(seen)
    good = await desk.follow(await desk.send(f"{day}/block", **(block | {"at": "٠٩:٣٠", "weeks": "٢"})))
    assert text(good).count("Floor") >= 2, "Urdu's digits are numbers"


async def test_things_and_prices_take_no_digit_that_is_no_number(desk: Reader, club: Club) -> None:
    place = f"/orgs/{club.id}/places/{club.venue}"
    thing = {"name": "Hall", "kind": "room", "capacity": "4"}
    assert said_at(await desk.send(f"{place}/resources", **thing, durations_min="6²"), "durations_min") != ""
    assert (await desk.send(f"{place}/resources", **thing, durations_min="60")).status_code == 303
    assert (await desk.look(f"{place}/prices?rule=²")).status_code == 200
    page = await desk.look(f"{place}/prices?rule=new")
    rule = {"per": "hour", "version": hidden(page, "version")}
    assert (await desk.send(f"{place}/prices", **rule, amount="5000", team_size="²")).status_code == 422
    assert (await desk.send(f"{place}/prices", **rule, amount="10000000000", place="²")).status_code == 422
    assert (await desk.send(f"{place}/prices", **rule, amount="5000", place="²")).status_code == 303


async def test_a_rule_of_blocks_that_ends_at_the_end_of_all_years_is_no_fault_of_the_house(club: Club) -> None:
    block = {"resource_ids": club.courts, "start": f"{DAY}T05:00:00Z", "end": f"{DAY}T06:00:00Z", "reason": "x"}
    for path in ("blocks/preview", "blocks"):
        for until, expected in (("00010101T000000Z", {422}), ("99991231T235959Z", {200, 201})):
            answer = await club.owner.post(f"/v1/orgs/{club.id}/{path}", block | {"rrule": f"FREQ=WEEKLY;UNTIL={until}"})
            assert answer.status_code in expected, (path, until, answer.text)


async def test_who_was_booked_for_or_employed_by_account_id_keeps_their_address_to_themselves(
    desk: Reader,
    club: Club,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person("Ada")
    org, sheet = f"/v1/orgs/{club.id}", f"/orgs/{club.id}/day?venue_id={club.venue}&date={DAY}"
    wish = {"resource_id": club.courts[0], "start": f"{DAY}T05:00:00Z", "duration_min": 60}
    booked = await club.owner.post(f"{org}/bookings", wish | {"account_id": ada.id})
    assert booked.status_code == 201, booked.text
    panel = await desk.look(f"{sheet}&booking={booked.json()['id']}")
    assert "Ada" in text(panel) and ada.email not in panel.text
    added = await club.owner.post(f"{org}/staff", {"account_id": ada.id, "role": "viewer"})
    assert (added.status_code, added.json()["email"]) == (201, "")
    for answer in (added, await club.owner.get(f"{org}/staff"), await desk.look(f"/orgs/{club.id}/people")):
        assert "Ada" in answer.text and ada.email not in answer.text
    mail = next(m["text"] for m in await world.mail(ada.email, 2) if "/staff-invitations/" in m["text"])
    assert f"/orgs/{club.id}/people" in mail, "where she leaves"
    token = re.search(r"/staff-invitations/(\S+)", mail)
    assert token and (await ada.post(f"/v1/staff-invitations/{token[1]}/accept")).status_code == 200
    assert ada.email in (await club.owner.get(f"{org}/staff")).text, "she agreed"
    mine = await ada.post("/v1/bookings", wish | {"resource_id": club.courts[1]})
    assert ada.email in (await desk.look(f"{sheet}&booking={mine.json()['id']}")).text, "she booked it herself"


async def test_a_decision_of_staff_under_a_key_is_made_once_and_answered_again(club: Club, world: World) -> None:  # noqa: F811
    ada = await world.person("Ada")
    for hour, path, body in (("05", "approve", None), ("07", "decline", {"reason": "Works"})):
        wish = {"resource_id": club.courts[0], "start": f"{DAY}T{hour}:00:00Z", "duration_min": 60, "purpose": "content"}
        asked = (await ada.post("/v1/bookings", wish)).json()
        assert asked["status"] == "pending_approval", asked
        decide = f"/v1/orgs/{club.id}/bookings/{asked['id']}/{path}"
        first, again = [await club.owner.post(decide, body, Idempotency_Key=f"{path}-{asked['id']}") for _ in range(2)]
        assert (first.status_code, again.json()) == (200, first.json())
        assert (await club.owner.post(decide, body, Idempotency_Key=f"another-{asked['id']}")).status_code == 409


def test_every_change_of_a_booking_is_made_under_a_key(house: House) -> None:
    paths = {
        op.path: op.declared.keyed for op in house.operations if op.method == "POST" and re.search(r"/bookings(/|$)", op.path)
    }
    assert {path for path, keyed in paths.items() if keyed is not Keyed.YES and path.startswith("/v1/")} == set()
    assert "/v1/orgs/{org_id}/bookings/{id}/no-show" in paths
