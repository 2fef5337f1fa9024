"""Presence: who is here, over all servers, and who hears of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID, uuid4

import pytest
from tests.journeys.world import Person, World
from tests.realtime.conftest import Node
from valkey.asyncio import Valkey

from forecourt.kernel.errors import Unavailable
from forecourt.kernel.presence import Presences, State, here_key, seen_key
from forecourt.realtime import people

Nodes = Callable[..., Awaitable[Node]]


@pytest.fixture
async def presences(valkey_url: str) -> AsyncIterator[Presences]:
    presences = Presences(valkey_url)
    yield presences
    await presences.close()


@pytest.fixture
async def ada(world: World) -> Person:
    """Nobody has seen her before."""
    return await world.person("Ada", verify=False)


@pytest.fixture
async def ben(world: World) -> Person:
    return await world.person("Ben", verify=False)


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(people, "GRACE_S", 0.3)


async def becomes(presences: Presences, person: Person, state: State) -> None:
    async with asyncio.timeout(20):
        while (await presences.of([UUID(person.id)]))[UUID(person.id)].state is not state:
            await asyncio.sleep(0.02)


async def test_followers_hear_who_comes_changes_and_goes_at_another_server(
    nodes: Nodes, presences: Presences, ada: Person, ben: Person
) -> None:
    one, two = await nodes(presence=True), await nodes(presence=True)
    topic = await one.diary.make(UUID(ada.id), UUID(ben.id))
    watching = await one.open(ada)
    await watching.ask({"op": "subscribe", "topic": topic})
    assert (await watching.recv())["data"] == {"account_id": ada.id, "state": "online", "last_seen": None}
    coming = await two.open(ben)
    await coming.ask({"op": "subscribe", "topic": topic})
    event = await watching.recv()
    if event["data"]["state"] == "offline":  # what was known of Ben before he came may be told first
        event = await watching.recv()
    assert event == {
        "op": "event",
        "topic": topic,
        "type": "presence.changed",
        "data": {"account_id": ben.id, "state": "online", "last_seen": None},
    }
    coming.send({"op": "presence", "state": "away"})
    assert (await watching.recv())["data"]["state"] == "away"
    # A second device that is there makes the person be there.
    second = await one.open(ben)
    assert (await watching.recv())["data"]["state"] == "online"
    second.send({"op": "presence", "state": "dnd"})
    assert (await watching.recv())["data"]["state"] == "dnd"
    await second.leave()
    assert (await watching.recv())["data"]["state"] == "away"
    coming.drop()
    gone = (await watching.recv())["data"]
    assert gone["state"] == "offline"
    assert gone["last_seen"].endswith("Z")
    found = await presences.of([UUID(ben.id), UUID(ada.id)])
    assert found[UUID(ben.id)].state is State.OFFLINE
    assert found[UUID(ben.id)].last_seen is not None
    assert found[UUID(ada.id)].state is State.ONLINE


async def test_in_their_quiet_hours_somebody_is_shown_so_whatever_their_client_says(
    nodes: Nodes, presences: Presences, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "REWRITE_S", 0.1)
    node, quiet = await nodes(presence=True), [True]
    node.quiet[UUID(ben.id)] = lambda moment: quiet[0] and moment.tzinfo is not None
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    watching = await node.open(ada)
    await watching.ask({"op": "subscribe", "topic": topic})
    assert (await watching.recv())["data"]["state"] == "online"
    coming = await node.open(ben)
    await coming.ask({"op": "subscribe", "topic": topic})
    while (heard := (await watching.recv())["data"])["state"] == "offline":
        """What was known of Ben before he came may be told first."""
    assert heard == {"account_id": ben.id, "state": "dnd", "last_seen": None}
    coming.send({"op": "presence", "state": "away"})
    coming.send({"op": "ping"})
    await coming.until("pong")
    quiet[0] = False  # the hours end while nobody does anything
    assert (await watching.recv())["data"]["state"] == "away"
    await becomes(presences, ben, State.AWAY)
    quiet[0] = True
    assert (await watching.recv())["data"]["state"] == "dnd"
    coming.send({"op": "presence", "state": "offline"})  # who wants to be unseen is unseen at night too
    assert (await watching.recv())["data"]["state"] == "offline"


async def test_who_is_here_is_known_while_nobody_can_tell_their_quiet_hours(
    nodes: Nodes, presences: Presences, ada: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = await nodes()

    async def away(account_id: UUID) -> people.Quiet | None:
        raise Unavailable("chat is away")

    monkeypatch.setattr(node.realtime.people, "_quiet_hours", away)
    ws = await node.open(ada)
    await becomes(presences, ada, State.ONLINE)
    assert await ws.ask({"op": "ping"}) == {"op": "pong"}


async def test_who_follows_nothing_in_common_hears_nothing(nodes: Nodes, presences: Presences, ada: Person, ben: Person) -> None:
    node = await nodes(presence=True)
    mine, theirs = await node.diary.make(UUID(ada.id)), await node.diary.make(UUID(ben.id))
    watching, other = await node.open(ada), await node.open(ben)
    await watching.ask({"op": "subscribe", "topic": mine})
    assert (await watching.recv())["data"]["account_id"] == ada.id
    await other.ask({"op": "subscribe", "topic": theirs})
    await becomes(presences, ben, State.ONLINE)
    other.send({"op": "presence", "state": "away"})
    await becomes(presences, ben, State.AWAY)
    await node.diary.write(mine, "nothing came before this")
    assert (await watching.recv())["type"] == "entry.written"


async def test_followers_hear_of_who_was_here_already(nodes: Nodes, presences: Presences, ada: Person, ben: Person) -> None:
    """Another page of theirs, or the same one a moment later, is where they follow: nothing changed but for these followers."""
    node = await nodes(presence=True)
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    watching, page = await node.open(ada), await node.open(ben)
    await becomes(presences, ben, State.ONLINE)
    await asyncio.sleep(0.3)  # by now it was written, and told to nobody
    await watching.ask({"op": "subscribe", "topic": topic})
    assert (await watching.recv())["data"]["account_id"] == ada.id
    await page.ask({"op": "subscribe", "topic": topic})
    assert (await watching.recv())["data"] == {"account_id": ben.id, "state": "online", "last_seen": None}
    # From page to page nobody is told again.
    await page.ask({"op": "unsubscribe", "topic": topic})
    await page.ask({"op": "subscribe", "topic": topic})
    await asyncio.sleep(0.2)
    await node.diary.write(topic, "nothing came before this")
    assert (await watching.recv())["type"] == "entry.written"


async def test_coming_back_within_the_grace_is_not_leaving(
    nodes: Nodes, ada: Person, ben: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "GRACE_S", 60)
    node = await nodes(presence=True)
    topic = await node.diary.make(UUID(ada.id), UUID(ben.id))
    watching, page = await node.open(ada), await node.open(ben)
    for ws in (watching, page):
        await ws.ask({"op": "subscribe", "topic": topic})
    async with asyncio.timeout(20):
        while (await watching.recv())["data"] != {"account_id": ben.id, "state": "online", "last_seen": None}:
            pass
    page.drop()
    page = await node.open(ben)
    await page.ask({"op": "subscribe", "topic": topic})
    page.send({"op": "presence", "state": "away"})
    while (heard := (await watching.recv())["data"]["state"]) == "online":
        """Somebody else's, or said twice; but never offline."""
    assert heard == "away"


async def test_a_wiped_valkey_learns_again_who_is_here(nodes: Nodes, presences: Presences, valkey_url: str, ada: Person) -> None:
    node = await nodes()
    ws = await node.open(ada)
    await becomes(presences, ada, State.ONLINE)
    async with Valkey.from_url(valkey_url) as valkey:
        await valkey.delete(here_key(UUID(ada.id)))
    await becomes(presences, ada, State.OFFLINE)
    node.realtime.missed()  # as the hub calls it when its connection is back
    await becomes(presences, ada, State.ONLINE)
    assert await ws.ask({"op": "ping"}) == {"op": "pong"}


async def test_nobody_can_say_is_offline(ada: Person) -> None:
    presences = Presences("unix:///nowhere/valkey.sock")
    found = await presences.of([UUID(ada.id)])
    assert found[UUID(ada.id)].state is State.OFFLINE
    assert await presences.of([]) == {}
    await presences.close()


async def test_of_who_is_erased_nobody_knows_when_they_were_here(presences: Presences, valkey_url: str) -> None:
    gone, other = uuid4(), uuid4()
    async with Valkey.from_url(valkey_url) as valkey:
        for account_id in (gone, other):
            await valkey.set(seen_key(account_id), 1_000)
        assert (await presences.of([gone]))[gone].last_seen is not None, "the control"
        await valkey.hset(here_key(gone), "s:node:socket", "online")
        await presences.forget(gone)
        assert not await valkey.exists(here_key(gone), seen_key(gone))
    assert (await presences.of([other]))[other].last_seen is not None
