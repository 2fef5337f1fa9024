"""Several servers as one: what happens at one is heard at all, in order, whatever is lost in between."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID, uuid4

import pytest
from tests.journeys.world import Person
from tests.realtime.conftest import Node
from tests.realtime.proxy import Proxy
from tests.realtime.wire import Closed, Socket

from forecourt.kernel import live
from forecourt.kernel.context import Context
from forecourt.kernel.ephemeral import EphemeralTopics
from forecourt.kernel.live import frame_of
from forecourt.kernel.topics import Position, TopicEvent
from forecourt.realtime import server

Nodes = Callable[..., Awaitable[Node]]


async def hear(ws: Socket, count: int) -> list[tuple[int, str]]:
    """The next events, as (number, text)."""
    events = [await ws.until("event") for _ in range(count)]
    return [(e["seq"], e["data"]["text"]) for e in events]


async def test_what_is_written_at_one_server_is_heard_at_the_other(nodes: Nodes, ada: Person, ben: Person) -> None:
    one, two = await nodes(), await nodes()
    topic = await one.diary.make(UUID(ada.id), UUID(ben.id))
    here, there = await one.open(ada), await two.open(ben)
    for ws in (here, there):
        assert (await ws.ask({"op": "subscribe", "topic": topic}))["op"] == "subscribed"
    here.send({"op": "send", "topic": topic, "client_id": "c1", "text": "hello"})
    there.send({"op": "send", "topic": topic, "client_id": "c2", "text": "hello yourself"})
    heard = dict(await hear(here, 2))
    assert sorted(heard.values()) == ["hello", "hello yourself"]
    assert dict(await hear(there, 2)) == heard


async def test_a_send_is_acknowledged_once_however_often_it_is_sent(node: Node, ada: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    first = await ws.ask({"op": "send", "topic": topic, "client_id": "c1", "text": "hi"})
    again = await ws.ask({"op": "send", "topic": topic, "client_id": "c1", "text": "hi"})
    assert first == {"op": "ack", "client_id": "c1", "id": first["id"], "seq": 1}
    assert again == first
    assert (await node.diary.state(topic))[0] == ["hi"]


async def test_typing_passes_by_and_is_not_numbered(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    typing, watching = await node.open(ada), await node.open(ben)
    await watching.ask({"op": "subscribe", "topic": topic})
    typing.send({"op": "typing", "topic": topic})
    event = await watching.recv()
    assert event == {"op": "event", "topic": topic, "type": "typing", "data": {"account_id": ada.id}}


async def test_announcements_out_of_order_are_put_in_order_without_asking(nodes: Nodes, ada: Person) -> None:
    node = await nodes()
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    epoch = (await ws.ask({"op": "subscribe", "topic": topic}))["epoch"]
    node.diary.announces = False
    for n in range(4):
        await node.diary.write(topic, str(n))
    node.diary.asked.clear()
    for seq in (3, 2, 4, 1, 3):
        event = TopicEvent(seq, "entry.written", b'{"text":"%d"}' % (seq - 1))
        node.realtime.heard(topic, epoch, seq, frame_of(topic, epoch, event))
    assert await hear(ws, 4) == [(1, "0"), (2, "1"), (3, "2"), (4, "3")]
    assert "after" not in node.diary.asked


async def test_a_lost_announcement_is_read_from_the_source(node: Node, ada: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    await ws.ask({"op": "subscribe", "topic": topic})
    node.diary.announces = False
    await node.diary.write(topic, "lost")
    node.diary.announces = True
    await node.diary.write(topic, "heard")
    assert await hear(ws, 2) == [(1, "lost"), (2, "heard")]


async def test_an_announcement_that_nobody_made_is_found_by_comparing_heads(
    node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever wrote died between its commit and the announcement."""
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    await ws.ask({"op": "subscribe", "topic": topic})
    node.diary.announces = False
    for n in range(3):
        await node.diary.write(topic, str(n))
    assert await hear(ws, 3) == [(1, "0"), (2, "1"), (3, "2")]


async def test_numbers_that_begin_anew_are_a_reset_for_everybody(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    sockets = [await node.open(ada), await node.open(ben)]
    for ws in sockets:
        await ws.ask({"op": "subscribe", "topic": topic})
    await node.diary.write(topic, "old")
    await node.diary.begin_anew(topic)
    await node.diary.write(topic, "new")
    _, position = await node.diary.state(topic)
    for ws in sockets:
        assert await ws.until("reset") == {"op": "reset", "topic": topic, "epoch": position.epoch, "seq": 1}
    await node.diary.write(topic, "after")
    for ws in sockets:
        assert await hear(ws, 1) == [(2, "after")]


async def test_who_is_put_out_hears_no_more_and_the_others_do(nodes: Nodes, ada: Person, ben: Person) -> None:
    one, two = await nodes(), await nodes()
    topic = await one.diary.make(UUID(ada.id), UUID(ben.id))
    stays, goes = await one.open(ada), await two.open(ben)
    for ws in (stays, goes):
        await ws.ask({"op": "subscribe", "topic": topic})
    # A revocation of somebody who may still follow changes nothing.
    one.hub.revoke(topic, UUID(ada.id))
    await one.diary.put_out(topic, UUID(ben.id))
    assert await goes.recv() == {"op": "unsubscribed", "topic": topic, "code": "not_found"}
    await one.diary.write(topic, "among ourselves")
    assert await hear(stays, 1) == [(1, "among ourselves")]
    answer = await goes.ask({"op": "subscribe", "topic": topic})
    assert answer["code"] == "not_found"
    assert await goes.ask({"op": "ping"}) == {"op": "pong"}


async def test_a_revocation_that_was_lost_is_made_up_for(node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "ALLOWED_S", 0.5)
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    await ws.ask({"op": "subscribe", "topic": topic})
    await node.diary.pool.execute("delete from diary.reader where diary_id = $1", UUID(topic.split(":")[1]))
    assert await ws.recv() == {"op": "unsubscribed", "topic": topic, "code": "not_found"}


async def test_unsubscribing_and_the_end_of_a_topic(node: Node, ada: Person) -> None:
    topic, other = await node.diary.make(UUID(ada.id)), await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    for name in (topic, other):
        await ws.ask({"op": "subscribe", "topic": name})
    assert await ws.ask({"op": "unsubscribe", "topic": topic}) == {"op": "unsubscribed", "topic": topic}
    await node.diary.write(topic, "nobody listens")
    await node.diary.write(other, "heard")
    assert (await ws.recv())["topic"] == other
    await node.diary.pool.execute("delete from diary.diary where id = $1", UUID(other.split(":")[1]))
    assert await ws.recv() == {"op": "unsubscribed", "topic": other, "code": "not_found"}
    assert not node.realtime._channels
    assert not node.hub._follows


async def test_a_server_cut_off_from_valkey_makes_up_for_it(nodes: Nodes, valkey_url: str, ada: Person, ben: Person) -> None:
    """The network swallows everything without a word; the server notices the silence, and its clients miss nothing."""
    async with Proxy(valkey_url) as proxy:
        cut, other = await nodes(proxy.url), await nodes()
        topic = await cut.diary.make(UUID(ada.id), UUID(ben.id))
        here, there = await cut.open(ada), await other.open(ben)
        for ws in (here, there):
            await ws.ask({"op": "subscribe", "topic": topic})
        proxy.cut()
        await other.diary.write(topic, "one")
        there.send({"op": "send", "topic": topic, "client_id": "two", "text": "two"})
        assert await hear(there, 2) == [(1, "one"), (2, "two")]
        # Also while it is cut off: the heads say so.
        assert await hear(here, 2) == [(1, "one"), (2, "two")]
        here.send({"op": "send", "topic": topic, "client_id": "three", "text": "three"})
        assert await hear(here, 1) == [(3, "three")]
        assert await hear(there, 1) == [(3, "three")]
        proxy.heal()
        await other.diary.write(topic, "four")
        assert await hear(here, 1) == [(4, "four")]
        assert await hear(there, 1) == [(4, "four")]


class Weather(EphemeralTopics):
    """A topic that Valkey alone numbers, open to everybody."""

    async def admit(self, ctx: Context, topic: str) -> None:
        return

    async def allowed(self, ctx: Context, topic: str, account_ids: list[UUID]) -> list[UUID]:
        return account_ids


async def test_what_only_valkey_numbers_is_not_lost_at_a_server_that_is_cut_off_from_it(
    nodes: Nodes, valkey_url: str, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing would ever tell the other servers that something is missing."""
    async with Proxy(valkey_url) as proxy:
        cut, other = await nodes(proxy.url), await nodes()
        other.realtime._sources["weather"] = Weather(other.hub)
        calm, stormy = (f"weather:{uuid4()}" for _ in range(2))
        ws = await other.open(ben)
        told = {topic: await ws.ask({"op": "subscribe", "topic": topic}) for topic in (calm, stormy)}
        monkeypatch.setattr(live, "PENDING_EACH", 3)
        proxy.cut()
        cut.hub.announce(calm, b'{"text":"rain"}')
        for n in range(5):
            cut.hub.announce(stormy, b'{"text":"%d"}' % n)
        async with asyncio.timeout(15):
            while not cut.hub._away:
                await asyncio.sleep(0.01)
            proxy.heal()
            heard = {frame["op"]: frame for frame in [await ws.recv() for _ in range(2)]}
        assert heard["event"]["topic"] == calm
        assert (heard["event"]["epoch"], heard["event"]["seq"]) == (told[calm]["epoch"], 1)
        assert (heard["reset"]["topic"], heard["reset"]["seq"]) == (stormy, 0)
        assert heard["reset"]["epoch"] != told[stormy]["epoch"]


class Follower:
    """A client that loses its connection all the time and always says where it was."""

    def __init__(self, servers: list[Node], person: Person, topic: str, seed: int) -> None:
        self.servers, self.person, self.topic = servers, person, topic
        self.chance = random.Random(seed)
        self.known: list[str] = []
        self.position: Position | None = None
        self.resets = 0

    async def follow(self, until: asyncio.Event) -> None:
        while True:
            ws = await self.chance.choice(self.servers).open(self.person)
            try:
                await self._listen(ws, until)
                return
            except Closed as e:
                assert e.code in (None, 4409), e.code
            finally:
                ws.drop()

    async def _listen(self, ws: Socket, until: asyncio.Event) -> None:
        since = {} if self.position is None else {"since": {"epoch": self.position.epoch, "seq": self.position.seq}}
        ws.send({"op": "subscribe", "topic": self.topic, **since})
        left = self.chance.randrange(1, 12)
        while True:
            if until.is_set() and await self._complete():
                return
            try:
                async with asyncio.timeout(0.2):
                    frame = await ws.recv()
            except TimeoutError:
                continue
            await self._take(frame)
            left -= 1
            if left == 0 and not until.is_set():
                raise Closed(None)

    async def _take(self, frame: dict[str, Any]) -> None:
        match frame["op"]:
            case "subscribed" if self.position is None:
                await self._read()
            case "reset":
                self.resets += 1
                await self._read()
            case "error":
                raise AssertionError(frame)
            case "event":
                assert self.position is not None
                # What the state contained already is told again when it happened in between: it is passed over by its number.
                if frame["epoch"] == self.position.epoch and frame["seq"] > self.position.seq:
                    assert frame["seq"] == self.position.seq + 1, "a gap"
                    self.known.append(frame["data"]["text"])
                    self.position = Position(frame["epoch"], frame["seq"])

    async def _read(self) -> None:
        self.known, self.position = await self.servers[0].diary.state(self.topic)

    async def _complete(self) -> bool:
        _, position = await self.servers[0].diary.state(self.topic)
        return position == self.position


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_stale_state_and_events_make_the_fresh_state(nodes: Nodes, ada: Person, ben: Person, seed: int) -> None:
    """Random writers at two servers, lost announcements, followers that come and go: each ends with what is in the database."""
    one, two = await nodes(), await nodes()
    topic = await one.diary.make(UUID(ada.id), UUID(ben.id))
    chance = random.Random(seed)
    done = asyncio.Event()
    followers = [Follower([one, two], person, topic, seed * 100 + n) for n, person in enumerate((ada, ada, ben, ben))]
    following = [asyncio.ensure_future(f.follow(done)) for f in followers]

    async def write(name: str) -> None:
        for n in range(40):
            writer = chance.choice((one, two))
            writer.diary.announces = chance.random() > 0.2
            await writer.diary.write(topic, f"{name}{n}")
            await asyncio.sleep(chance.random() * 0.02)

    await asyncio.gather(write("a"), write("b"))
    one.diary.announces = two.diary.announces = True
    done.set()
    async with asyncio.timeout(60):
        await asyncio.gather(*following)
    fresh, position = await one.diary.state(topic)
    assert len(fresh) == 80
    for follower in followers:
        assert follower.known == fresh
        assert follower.position == position
        assert follower.resets == 0


class Regular:
    """A client that comes back wherever it is let in, with its position, and keeps what it heard."""

    def __init__(self, person: Person, topic: str) -> None:
        self.person, self.topic = person, topic
        self.ws: Socket | None = None
        self.position: dict[str, Any] | None = None
        self.heard: list[str] = []
        self.refused = 0

    async def come(self, node: Node) -> None:
        while True:
            try:
                self.ws = await node.open(self.person)
                since = {} if self.position is None else {"since": self.position}
                told = await self.ws.ask({"op": "subscribe", "topic": self.topic, **since})
                break
            except Closed as e:
                assert e.code == 4409, e.code  # five sockets are there already
                self.refused += 1
                await asyncio.sleep(0.05)
        assert told["op"] == "subscribed", told
        assert told["recovered"] == (self.position is not None)
        if self.position is None:
            self.position = {"epoch": told["epoch"], "seq": told["seq"]}

    async def hear(self, count: int) -> None:
        assert self.ws is not None
        assert self.position is not None
        while len(self.heard) < count:
            event = await self.ws.until("event")
            assert (event["epoch"], event["seq"]) == (self.position["epoch"], self.position["seq"] + 1), "a gap, or twice"
            self.position["seq"] = event["seq"]
            self.heard.append(event["data"]["text"])


async def test_when_a_server_dies_all_its_people_come_to_the_other_at_once_and_miss_nothing(
    nodes: Nodes, ada: Person, ben: Person, cleo: Person
) -> None:
    """A storm: as many sockets as their accounts may have, all lost in one moment, while others go on writing."""
    dying, other = await nodes(), await nodes()
    people = (ada, ben, cleo)
    topic = await dying.diary.make(*(UUID(p.id) for p in people))
    clients = [Regular(p, topic) for p in people for _ in range(5)]
    await asyncio.gather(*(c.come(dying) for c in clients))
    await other.diary.write(topic, "before")
    await asyncio.gather(*(c.hear(1) for c in clients))

    storm = [f"in the storm {n}" for n in range(20)]

    async def write() -> None:
        for text in storm:
            await other.diary.write(topic, text)

    async def leave() -> None:
        for c in clients:
            assert c.ws is not None
            c.ws.drop()
        await dying.stop()

    async with asyncio.timeout(60):
        await asyncio.gather(leave(), write(), *(c.come(other) for c in clients))
        await other.diary.write(topic, "after")
        await asyncio.gather(*(c.hear(22) for c in clients))
    assert all(c.heard == ["before", *storm, "after"] for c in clients)
    # All places are taken, by these and by none of the dead.
    with pytest.raises(Closed) as full:
        await (await other.open(ada)).recv()
    assert full.value.code == 4409
