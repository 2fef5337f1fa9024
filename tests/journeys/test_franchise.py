"""A franchise parent sees what its children come to together; nobody else does, and a former child is no longer seen."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

import httpx
import pytest
from tests.journeys.world import PASSWORD, Club, Person, World, at

from forecourt.app import House
from forecourt.kernel.context import service_context
from forecourt.modules.venues.contract import Venues


@pytest.fixture
async def admin(world: World, house: House, client: httpx.AsyncClient) -> Person:
    person = await world.person("Root")
    await house.identity.persons.make_admin(service_context("tests"), person.email)
    answer = await client.post("/v1/auth/login", json={"email": person.email, "password": PASSWORD})
    person.token = answer.json()["access_token"]  # one that says so
    return person


async def adopt(admin: Person, child: Club, parent: str | None) -> httpx.Response:
    body = {"status": "active", "reason": "franchise", "parent_id": parent}
    return await admin.send("PATCH", f"/v1/admin/orgs/{child.id}", body)


async def report(parent: Club, **days: str) -> dict[str, object]:
    answer = await parent.owner.get(f"/v1/orgs/{parent.id}/franchise", **days)
    assert answer.status_code == 200, answer.text
    return answer.json()


def minutes(booking: dict[str, str]) -> float:
    return (datetime.fromisoformat(booking["end"]) - datetime.fromisoformat(booking["start"])).total_seconds() / 60


async def booked(world: World, club: Club, hour: int, currency: str) -> tuple[Person, str]:
    """Somebody with an hour at 20.00 of the club's currency, paid."""
    player = await world.person("Pat")
    await world.credits(club, player, 10_000, currency)
    wanted = {"resource_id": club.courts[0], "start": at(2, hour), "duration_min": 60, "pay_with": "credits"}
    answer = await player.post("/v1/bookings", wanted)
    assert answer.status_code == 201, answer.text
    return player, answer.json()["id"]


async def test_a_parent_sees_its_children_together_and_currencies_apart(world: World, admin: Person) -> None:
    parent, north, south, stranger = [await world.club(courts=1, zone="UTC", currency=c) for c in ("GBP", "GBP", "PKR", "GBP")]
    await booked(world, north, 10, "GBP")
    player, second = await booked(world, north, 12, "GBP")
    await booked(world, south, 10, "PKR")
    await booked(world, stranger, 10, "GBP")
    days = {"from": at(0)[:10], "to": at(3)[:10]}
    assert (await report(parent, **days))["children"] == [], "or the test proves nothing"
    for child in (north, south):
        assert (await adopt(admin, child, parent.id)).status_code == 200
    found = await report(parent, **days)
    figures = {c["organisation"]["id"]: c["figures"] for c in found["children"]}
    pounds, rupees = {"amount": 4000, "currency": "GBP"}, {"amount": 2000, "currency": "PKR"}
    assert figures == {
        north.id: {"bookings": 2, "minutes": 120, "cancelled": 0, "no_shows": 0, "revenue": [pounds]},
        south.id: {"bookings": 1, "minutes": 60, "cancelled": 0, "no_shows": 0, "revenue": [rupees]},
    }
    assert found["total"] == {"bookings": 3, "minutes": 180, "cancelled": 0, "no_shows": 0, "revenue": [pounds, rupees]}

    # The same as a count from each child's own rows.
    rows = [b for c in (north, south) for b in (await c.owner.get(f"/v1/orgs/{c.id}/bookings")).json()["items"]]
    assert (len(rows), sum(minutes(b) for b in rows)) == (3, 180)
    assert (await player.post(f"/v1/bookings/{second}/cancel", {})).status_code == 200
    total = (await report(parent, **days))["total"]
    assert (total["bookings"], total["cancelled"], total["revenue"][0]["amount"]) == (2, 1, 2000)
    assert (await report(parent, **(days | {"to": at(2)[:10]})))["total"]["bookings"] == 0, "the last day is not included"

    # A former child is not seen any more, and an organisation has one parent.
    assert (await adopt(admin, south, None)).status_code == 200
    assert [c["organisation"]["id"] for c in (await report(parent, **days))["children"]] == [north.id]
    assert (await adopt(admin, stranger, north.id)).status_code == 422, "a child is no parent"
    assert (await adopt(admin, parent, stranger.id)).status_code == 422, "a parent is no child"


async def test_children_are_seen_by_their_own_parents_staff_alone(world: World, admin: Person, house: House) -> None:
    parent, child, rival = [await world.club(courts=0, zone="UTC") for _ in range(3)]
    assert (await adopt(admin, child, parent.id)).status_code == 200
    for who in (child.owner, rival.owner, await world.person("Pat")):
        assert (await who.get(f"/v1/orgs/{parent.id}/franchise")).status_code == 404
    assert (await report(child))["children"] == (await report(rival))["children"] == []
    assert [c["organisation"]["id"] for c in (await report(parent))["children"]] == [child.id]
    for wrong in ({"from": at(0)[:10], "to": at(-1)[:10]}, {"from": "2020-01-01", "to": at(0)[:10]}, {"to": "soon"}):
        assert (await parent.owner.get(f"/v1/orgs/{parent.id}/franchise", **wrong)).status_code == 422
    # The parent reads the child's row and writes none of it.
    venues = house.database.module("venues")
    ctx = service_context("test", UUID(parent.id))
    async with venues.tx(ctx) as tx:
        seen = await tx.connection.fetchval("select name from venues.organisation where id = $1", UUID(child.id))
        changed = await tx.connection.execute("update venues.organisation set name = 'Mine' where id = $1", UUID(child.id))
    assert (seen, changed) == ("Riverside", "UPDATE 0")
    own = await house.board.call(Venues).organisation(ctx, UUID(child.id))
    assert own.name == "Riverside"


async def test_the_page_of_a_franchise_is_there_in_three_languages(
    world: World, admin: Person, door: httpx.AsyncBaseTransport
) -> None:
    parent, child = [await world.club(courts=0, zone="UTC") for _ in range(2)]
    async with httpx.AsyncClient(transport=door, base_url="http://house.test", timeout=30) as browser:
        form = await browser.get("/sign-in")
        token = form.text.split('name="csrf_token" value="')[1].split('"')[0]
        sent = {"email": parent.owner.email, "password": PASSWORD, "csrf_token": token}
        assert (await browser.post("/sign-in", data=sent)).status_code == 303
        page = f"/orgs/{parent.id}/franchise"
        assert "No organisations yet" in (await browser.get(page)).text
        assert "/franchise" not in (await browser.get(f"/orgs/{parent.id}/settings")).text
        assert (await adopt(admin, child, parent.id)).status_code == 200
        assert f'href="{page}"' in (await browser.get(f"/orgs/{parent.id}/settings")).text
        for language, word in (("en", "Together"), ("pt", "No total"), ("ur", "کل")):
            browser.cookies.set("fc_locale", language)
            shown = (await browser.get(page)).text
            assert word in shown
            assert shown.count("Riverside") >= 2, "the parent's bar and the child's line"
        wrong = await browser.get(page, params={"from": "2026-02-02", "to": "2026-02-01"})
        assert wrong.status_code == 200
        assert 'role="alert"' in wrong.text
