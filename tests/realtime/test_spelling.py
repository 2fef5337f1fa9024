"""A topic has one name. Whoever writes it otherwise is told, whatever kind of topic it is: nobody follows and hears nothing."""

from __future__ import annotations

from collections.abc import Callable
from uuid import UUID, uuid4

import pytest
from tests.journeys.world import Person, World, at
from tests.realtime.wire import Socket

from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.topics import canonical, well_written

ID = "0190f3a2-7c11-7def-8abc-0123456789ab"
SPELLINGS: list[Callable[[str], str]] = [
    lambda id: id.replace("-", ""),
    lambda id: id.upper(),
    lambda id: id.replace("-", "", 1),
    lambda id: id.replace("-", "").upper(),
]


@pytest.mark.parametrize("spelled", SPELLINGS)
@pytest.mark.parametrize("name", ["room:{}", "inbox:{}", "booking:{}", "venue:{}:availability", "org:{}:desk"])
def test_a_name_written_otherwise_is_refused_and_the_right_one_is_said(name: str, spelled: Callable[[str], str]) -> None:
    right, wrong = name.format(ID), name.format(spelled(ID))
    assert canonical(wrong) == right
    with pytest.raises(Invalid, match=f"write it {right}"):
        well_written(wrong)
    assert well_written(right) == right == canonical(right)


@pytest.mark.parametrize("wrong", ["Inbox", "VENUE:{}:availability", "venue:{}:Availability"])
def test_words_of_a_name_are_lower_case(wrong: str) -> None:
    with pytest.raises(Invalid):
        well_written(wrong.format(ID))
    assert well_written(wrong.format(ID).lower())


@pytest.mark.parametrize(
    "none",
    ["", "room:", "room:7", f"room:urn:uuid:{ID}", f"room:{{{ID}}}", f"room:{ID}:", f"room:{ID} ", f"room:{ID}:a:b", "room:'"],
)
def test_what_names_nothing_is_not_found(none: str) -> None:
    with pytest.raises(NotFound):
        well_written(none)


@pytest.fixture(scope="session")
async def dora(world: World) -> Person:
    return await world.person("Dora")


async def test_every_kind_of_topic_of_the_house_refuses_other_spellings_and_is_heard_under_its_own(
    world: World, dora: Person, port: int
) -> None:
    club = await world.club(courts=1)
    await world.credits(club, dora)
    wish = {"resource_id": club.courts[0], "start": at(3), "duration_min": 60, "purpose": "workout", "pay_with": "credits"}
    room = (await dora.post("/v1/rooms", {"kind": "group", "name": "Spelling"})).json()["id"]
    ws = await Socket.open(port, dora.token)
    for before, id, rest in (
        ("room:", room, ""),
        ("inbox:", dora.id, ""),
        ("venue:", club.venue, ":availability"),
    ):
        for spelled in SPELLINGS:
            wrong = f"{before}{spelled(id)}{rest}"
            for op in ("subscribe", "read", "typing", "unsubscribe"):
                ws.send({"op": op, "topic": wrong, "seq": 1})
                answer = await ws.until("error")
                assert (answer["code"], answer["ref"]) == ("invalid", wrong)
                assert f"{before}{id}{rest}" in answer["detail"]
        ws.send({"op": "subscribe", "topic": f"{before}{id}{rest}"})
        assert await ws.until("subscribed", topic=f"{before}{id}{rest}"), "the control"
    ws.send({"op": "send", "topic": f"room:{room.upper()}", "client_id": "c", "text": "hello"})
    assert (await ws.until("error"))["code"] == "invalid"

    booking = (await dora.post("/v1/bookings", wish)).json()
    topic = f"booking:{booking['id']}"
    assert (await ws.until("event", topic=f"venue:{club.venue}:availability"))["type"] == "availability.changed"
    ws.send({"op": "subscribe", "topic": f"booking:{UUID(booking['id']).hex}"})
    assert (await ws.until("error"))["detail"] == f"write it {topic}"
    ws.send({"op": "subscribe", "topic": topic})
    assert await ws.until("subscribed", topic=topic)
    await dora.post(f"/v1/bookings/{booking['id']}/cancel", {})
    assert (await ws.until("event", topic=topic))["data"] == {"booking_id": booking["id"]}
    ws.send({"op": "subscribe", "topic": f"booking:{uuid4()}"})
    assert (await ws.until("error"))["code"] == "not_found", "what is well written and absent"
