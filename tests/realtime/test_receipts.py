"""How far people have read, as it happens: who shows it sees it, and who does not hears only of themselves. And a picture of a
room's readers that was kept by events alone is the one that HTTP gives.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from tests.journeys.world import Person, World
from tests.realtime.conftest import Node
from tests.realtime.wire import Socket

from forecourt.app import House
from forecourt.realtime import people, server
from forecourt.wiring import topics

Nodes = Callable[..., Awaitable[Node]]


async def following(node: Node, topic: str, *people: Person) -> list[Socket]:
    sockets = [await node.open(p) for p in people]
    for ws in sockets:
        ws.send({"op": "subscribe", "topic": topic})
        await ws.until("subscribed")
    return sockets


async def until_fence(ws: Socket) -> list[tuple[str, int]]:
    """(who, how far) of every `read` before the next entry of the diary; a `reset` as (“reset”, where)."""
    heard: list[tuple[str, int]] = []
    while True:
        frame = await ws.recv()
        if frame.get("type") == "entry.written":
            return heard
        if frame["op"] == "reset":
            heard.append(("reset", frame["seq"]))
        elif frame.get("type") == "read":
            heard.append((frame["data"]["account_id"], frame["data"]["seq"]))


async def test_what_one_tells_of_oneself_reaches_those_who_tell_too_on_every_server(
    nodes: Nodes, ada: Person, ben: Person, cleo: Person
) -> None:
    one, two = await nodes(), await nodes()
    topic = await one.diary.make(UUID(ada.id), UUID(ben.id), UUID(cleo.id))
    for node in (one, two):
        node.diary.hidden = {UUID(cleo.id)}
    here, there = await following(one, topic, ada, cleo), await following(two, topic, ada, ben, cleo)
    for person, seq in ((ada, 1), (cleo, 2), (ben, 3)):
        two.diary.tell_reading(topic, UUID(person.id), seq)
    await two.diary.write(topic, "fence")
    heard = [await until_fence(ws) for ws in (*here, *there)]
    shown = [(ada.id, 1), (ben.id, 3)]
    assert heard == [shown, [(cleo.id, 2)], shown, shown, [(cleo.id, 2)]]


async def test_who_becomes_discreet_is_told_to_read_again_and_hears_no_more(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    node.diary.hidden = set()
    mine, others = await following(node, topic, ada, ben)
    for hidden, bens in ((True, []), (False, [(ben.id, 2)])):
        node.diary.hidden = {UUID(ada.id)} if hidden else set()
        node.hub.turn(topic, UUID(ada.id), discreet=hidden)
        node.diary.tell_reading(topic, UUID(ben.id), 2)
        seq = (await node.diary.write(topic, "fence")).seq
        assert await until_fence(mine) == [("reset", seq - 1), *bens]
        assert await until_fence(others) == [(ben.id, 2)], "nothing has changed for him"


async def test_a_change_of_which_nobody_heard_is_found_when_followers_are_looked_at(
    node: Node, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    node.diary.hidden = set()
    mine, others = await following(node, topic, ada, ben)
    node.diary.hidden = {UUID(ada.id)}
    node.diary.tell_reading(topic, UUID(ben.id), 1)
    await node.diary.write(topic, "fence")
    assert await until_fence(mine) == [(ben.id, 1)], "the control: nobody said that she is discreet now"
    monkeypatch.setattr(server, "ALLOWED_S", 0.0)
    assert (await mine.recv())["op"] == "reset"
    node.diary.tell_reading(topic, UUID(ben.id), 2)
    await node.diary.write(topic, "fence")
    assert await until_fence(mine) == []
    await until_fence(others)
    assert await until_fence(others) == [(ben.id, 2)]


async def test_a_turn_of_the_loop_is_joined_once_for_each_of_the_two_kinds(node: Node, ada: Person, ben: Person) -> None:
    """However much is told in it: not once for each follower."""
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    node.diary.hidden = {UUID(ben.id)}
    await following(node, topic, ada, ada, ben, ben)
    channel = node.realtime._channels[topic]  # pyright: ignore[reportPrivateUsage]
    epoch = channel.position.epoch if channel.position else ""
    for seq in range(1, 21):
        channel.exchanged(UUID(ada.id), b'{"n":%d}' % seq)
        channel.heard(epoch, None, b'{"t":%d}' % seq)
    by_kind: dict[bool, set[int]] = {True: set(), False: set()}
    channel.flush()
    for client in channel.clients:
        assert channel.discreet is not None
        by_kind[client in channel.discreet].add(id(client.out))
    assert [len(ids) for ids in by_kind.values()] == [1, 1]


# --- the picture


class Picture:
    """What one socket of a person knows of a room's readers: read once, kept by events."""

    def __init__(self, person: Person, node: Node | int, room: str) -> None:
        self.person, self.room = person, room
        self.port = node if isinstance(node, int) else node.port
        self.readers: dict[str, int] = {}
        self.read_seq = 0

    async def open(self) -> None:
        self.ws = await Socket.open(self.port, self.person.token)
        self.ws.send({"op": "subscribe", "topic": f"room:{self.room}"})
        await self.ws.until("subscribed")
        self.readers, self.read_seq = await self.fresh()

    async def fresh(self) -> tuple[dict[str, int], int]:
        """As HTTP has it; who has read nothing is nobody."""
        room = (await self.person.get(f"/v1/rooms/{self.room}")).json()
        return {
            r["account_id"]: r["read_seq"] for r in room["readers"] if r["account_id"] != self.person.id and r["read_seq"]
        }, room["read_seq"]

    async def hear(self, until: str) -> None:
        """Everything up to the message with this id."""
        while True:
            frame = await self.ws.recv()
            if frame["op"] == "reset":
                self.readers, self.read_seq = await self.fresh()
            elif frame.get("type") == "read":
                self._take(frame["data"]["account_id"], frame["data"]["seq"])
            elif frame.get("type") == "message.created" and frame["data"]["message"]["id"] == until:
                return

    def _take(self, who: str, seq: int) -> None:
        if who == self.person.id:
            self.read_seq = max(self.read_seq, seq)
        elif seq:
            self.readers[who] = max(self.readers.get(who, 0), seq)
        else:
            self.readers.pop(who, None)


@pytest.mark.parametrize("seed", range(4))
async def test_an_older_picture_of_the_readers_and_what_happened_since_make_the_present_one(
    house: House, world: World, port: int, nodes: Nodes, friends: list[Person], seed: int
) -> None:
    dice, (ada, ben, cleo) = random.Random(seed), friends
    for person, shows in ((ada, True), (ben, True), (cleo, False)):
        assert (await person.send("PUT", "/v1/me/chat", {"receipts": shows})).status_code == 200
    other = await nodes()
    other.realtime._sources["room"] = topics(house)["room"]  # pyright: ignore[reportPrivateUsage]
    made = await ada.post("/v1/rooms", {"kind": "group", "name": "Readers", "member_ids": [ben.id, cleo.id]})
    room, shows = made.json()["id"], {ada.id: True, ben.id: True, cleo.id: False}
    pictures = [Picture(p, n, room) for p, n in ((ada, port), (ada, other), (ben, other), (cleo, port), (cleo, other))]

    async def say() -> str:
        body = {"client_id": uuid4().hex, "text": "Six?"}
        return str((await ada.post(f"/v1/rooms/{room}/messages", body)).json()["id"])

    await say()
    for who in friends:
        await who.send("PUT", f"/v1/rooms/{room}/read", {"seq": 1})
    for picture in pictures:
        await picture.open()
    assert [set(p.readers) for p in pictures] == [{ben.id}, {ben.id}, {ada.id}, set(), set()], "the control"

    for _ in range(12):
        who = dice.choice(friends)
        match dice.choice(("say", "read", "read", "read", "toggle", "gone")):
            case "say":
                await say()
            case "read":
                await who.send("PUT", f"/v1/rooms/{room}/read", {"seq": dice.randint(1, 12)})
            case "toggle":
                shows[who.id] = not shows[who.id]
                await who.send("PUT", "/v1/me/chat", {"receipts": shows[who.id]})
            case _:
                away = dice.choice(pictures)
                away.ws.drop()
                await away.open()
    fence = await say()
    for picture in pictures:
        await picture.hear(fence)
        assert (picture.readers, picture.read_seq) == await picture.fresh()
        assert shows[picture.person.id] or not picture.readers


async def test_members_read_who_is_here_and_when_others_last_were_and_strangers_do_not(
    world: World, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "GRACE_S", 0.3)
    # People of its own: of others a server that another test stopped may count as one where they are, for a while.
    ada, ben, cleo = [await world.person(name) for name in ("Ada", "Ben", "Cleo")]
    made = await ada.post("/v1/rooms", {"kind": "group", "name": "Here", "member_ids": [ben.id]})
    path, topic = f"/v1/rooms/{made.json()['id']}/presence", f"room:{made.json()['id']}"

    async def here(who: Person) -> tuple[str, bool]:
        items = {one["account_id"]: one for one in (await ada.get(path)).json()["items"]}
        assert set(items) == {ada.id, ben.id}
        return items[who.id]["state"], items[who.id]["last_seen"] is not None

    watching = await Socket.open(port, ada.token)
    watching.send({"op": "subscribe", "topic": topic})
    await watching.until("subscribed")
    page = await Socket.open(port, ben.token)
    page.send({"op": "subscribe", "topic": topic})

    async def hears(state: str) -> dict[str, object]:
        while True:
            data = (await watching.until("event", type="presence.changed"))["data"]
            if data["account_id"] == ben.id and data["state"] == state:
                return data

    await hears("online")
    assert await here(ben) == ("online", False)
    page.send({"op": "presence", "state": "dnd"})
    await hears("dnd")
    assert await here(ben) == ("dnd", False)
    page.send({"op": "presence", "state": "online"})
    await hears("online")
    # Hours that are the whole day; a page opens a socket of its own, as after saving them.
    hours = {"start": "00:00", "end": "00:00", "timezone": "Asia/Karachi"}
    assert (await ben.send("PUT", "/v1/me/chat", {"receipts": True, "quiet": hours})).status_code == 200
    another = await Socket.open(port, ben.token)
    await hears("dnd")
    assert await here(ben) == ("dnd", False)
    await another.leave()
    await page.leave()
    left = await hears("offline")
    assert await here(ben) == ("offline", True)
    assert left["last_seen"] is not None
    assert (await cleo.get(path)).status_code == 404


@pytest.fixture(scope="session")
async def friends(world: World) -> list[Person]:
    return [await world.person(name) for name in ("Ada", "Ben", "Cleo")]
