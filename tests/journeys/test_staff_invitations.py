"""Open invitations to the staff: listed, sent again, taken back."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest
from tests.journeys.reader import Reader, text
from tests.journeys.world import World

TOKEN = re.compile(r"/staff-invitations/([A-Za-z0-9_=-]+)")


@pytest.fixture
async def reader(door: httpx.AsyncBaseTransport) -> AsyncIterator[Reader]:
    async with Reader(door) as reader:
        yield reader


async def token_of(world: World, email: str, count: int = 1) -> str:
    found = TOKEN.search((await world.mail(email, count))[0]["text"])
    assert found
    return found[1]


async def test_open_invitations_are_listed_sent_again_and_taken_back(world: World) -> None:
    club, bob = await world.club(courts=0), await world.person("Bob")
    path = f"/v1/orgs/{club.id}/staff/invitations"
    before = len(await world.mail(bob.email))
    made = (await club.owner.post(path, {"email": bob.email, "role": "agent"})).json()
    first = await token_of(world, bob.email, before + 1)
    assert [(i["id"], i["email"], i["role"]) for i in (await club.owner.get(path)).json()["items"]] == [
        (made["id"], bob.email, "agent")
    ]
    again = await club.owner.post(f"{path}/{made['id']}/resend")
    assert again.status_code == 200, again.text
    second = await token_of(world, bob.email, before + 2)
    assert first != second
    assert (await bob.post(f"/v1/staff-invitations/{first}/accept")).status_code != 200, "the new link takes its place"
    (only,) = (await club.owner.get(path)).json()["items"]
    assert (only["email"], only["role"]) == (bob.email, "agent")
    assert (await club.owner.send("DELETE", f"{path}/{only['id']}")).status_code == 204
    assert (await club.owner.get(path)).json()["items"] == []
    assert (await bob.post(f"/v1/staff-invitations/{second}/accept")).status_code != 200
    assert (await club.owner.send("DELETE", f"{path}/{only['id']}")).status_code == 404
    assert (await club.owner.post(f"{path}/{uuid4()}/resend")).status_code == 404


async def test_an_accepted_invitation_and_an_added_members_are_not_among_the_open_ones(world: World) -> None:
    club, bob, cleo = await world.club(courts=0), await world.person("Bob"), await world.person("Cleo")
    path = f"/v1/orgs/{club.id}/staff/invitations"
    before = len(await world.mail(bob.email))
    await club.owner.post(path, {"email": bob.email, "role": "manager"})
    token = await token_of(world, bob.email, before + 1)
    assert (await bob.post(f"/v1/staff-invitations/{token}/accept")).status_code == 200
    assert (await club.owner.post(f"/v1/orgs/{club.id}/staff", {"account_id": cleo.id, "role": "viewer"})).status_code == 201
    listed = await club.owner.get(path)
    assert listed.json()["items"] == [] and cleo.email not in listed.text, "an added member's address is their own still"
    # A manager deals with what a manager may give, and no more.
    owners = (await club.owner.post(path, {"email": f"{uuid4().hex[:9]}@example.org", "role": "owner"})).json()
    agents = (await bob.post(path, {"email": f"{uuid4().hex[:9]}@example.org", "role": "agent"})).json()
    assert (await bob.send("DELETE", f"{path}/{owners['id']}")).status_code == 403
    assert (await bob.post(f"{path}/{owners['id']}/resend")).status_code == 403
    assert (await bob.send("DELETE", f"{path}/{agents['id']}")).status_code == 204
    assert (await cleo.get(path)).status_code in (403, 404), "a viewer does not manage staff"


async def test_the_people_page_shows_who_has_not_answered_and_takes_invitations_back(world: World, reader: Reader) -> None:
    club, email = await world.club(courts=0), f"{uuid4().hex[:9]}@example.org"
    await reader.sign_in(club.owner)
    people = f"/orgs/{club.id}/people"
    assert "Not answered yet" not in text(await reader.look(people))
    page = await reader.follow(await reader.send(people, email=email, role="agent"))
    assert "Not answered yet" in text(page) and email in text(page)
    found = re.search(rf"{people}/invitations/([0-9a-f-]+)/resend", page.text)
    assert found
    page = await reader.follow(await reader.send(f"{people}/invitations/{found[1]}/resend"))
    found = re.search(rf"{people}/invitations/([0-9a-f-]+)/withdraw", page.text)
    assert found
    page = await reader.follow(await reader.send(f"{people}/invitations/{found[1]}/withdraw"))
    assert "Not answered yet" not in text(page)
