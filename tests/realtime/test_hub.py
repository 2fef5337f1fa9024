"""Announcements between two processes' hubs, over the real Valkey."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
from tests.realtime.proxy import Proxy
from valkey.asyncio import Valkey

from forecourt.kernel import live
from forecourt.kernel.live import Hub
from forecourt.kernel.topics import Position, TopicEvent


class Ears:
    """Everything a process hears, in order."""

    def __init__(self) -> None:
        self.said: asyncio.Queue[tuple[str, str, int | None, dict[str, object]]] = asyncio.Queue()
        self.gone: asyncio.Queue[tuple[str, UUID]] = asyncio.Queue()
        self.gaps: asyncio.Queue[None] = asyncio.Queue()

    def heard(self, topic: str, epoch: str, seq: int | None, frame: bytes) -> None:
        self.said.put_nowait((topic, epoch, seq, json.loads(frame)))

    def revoked(self, topic: str, account_id: UUID) -> None:
        self.gone.put_nowait((topic, account_id))

    def missed(self) -> None:
        self.gaps.put_nowait(None)


@pytest.fixture
def valkey_url(valkey_url: str) -> str:
    """A database of this worker's own: a test in which *all* topics begin anew means every one in the database, and beside it
    another worker's tests look at theirs."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    return f"{valkey_url.partition('?')[0]}?db={1 + worker % 15}"


@pytest.fixture
async def speaker(valkey_url: str) -> AsyncIterator[Hub]:
    hub = Hub(valkey_url)
    await hub.start()
    yield hub
    await hub.stop()


@pytest.fixture
async def listener(valkey_url: str) -> AsyncIterator[tuple[Hub, Ears]]:
    hub, ears = Hub(valkey_url), Ears()
    hub.attach(ears)
    await hub.start()
    await ears.gaps.get()
    yield hub, ears
    await hub.stop()


def room() -> str:
    return f"room:{uuid4()}"


async def test_what_one_process_publishes_another_hears_as_a_whole_frame(speaker: Hub, listener: tuple[Hub, Ears]) -> None:
    hub, ears = listener
    topic, other = room(), room()
    assert await hub.follow(topic)
    speaker.publish(other, "e1", TopicEvent(1, "message.created", b"{}"))
    speaker.publish(topic, "e1", TopicEvent(7, "message.created", b'{"text":"hi"}'))
    speaker.publish(topic, "e1", TopicEvent(None, "typing", b"{}"))
    # The other room was told of first and nobody here follows it: it is not heard at all.
    frame = {"op": "event", "topic": topic, "epoch": "e1", "seq": 7, "type": "message.created", "data": {"text": "hi"}}
    assert await ears.said.get() == (topic, "e1", 7, frame)
    assert await ears.said.get() == (topic, "", None, {"op": "event", "topic": topic, "type": "typing", "data": {}})
    assert ears.said.empty()


async def test_a_revocation_reaches_whoever_follows_the_topic(speaker: Hub, listener: tuple[Hub, Ears]) -> None:
    hub, ears = listener
    topic, account = room(), uuid4()
    await hub.follow(topic)
    speaker.revoke(topic, account)
    assert await ears.gone.get() == (topic, account)


async def test_a_topic_is_heard_until_the_last_who_follows_it_has_left(speaker: Hub, listener: tuple[Hub, Ears]) -> None:
    hub, ears = listener
    topic, end = room(), room()
    for name in (topic, topic, end):
        await hub.follow(name)
    hub.leave(topic)
    speaker.publish(topic, "e", TopicEvent(1, "a", b"1"))
    assert (await ears.said.get())[2] == 1
    hub.leave(topic)
    speaker.publish(topic, "e", TopicEvent(2, "a", b"1"))
    speaker.publish(end, "e", TopicEvent(3, "a", b"1"))
    assert (await ears.said.get())[2] == 3


async def test_an_ephemeral_topic_is_numbered_and_kept_until_valkey_is_wiped(
    speaker: Hub, listener: tuple[Hub, Ears], valkey_url: str
) -> None:
    hub, ears = listener
    topic = f"venue:{uuid4()}:availability"
    await hub.follow(topic)
    start, nothing = await hub.look(topic)
    assert (start.seq, nothing) == (0, None)
    for n in range(3):
        speaker.announce(topic, b'{"n":%d}' % n, "availability.changed")
    heard = [await ears.said.get() for _ in range(3)]
    assert [(h[1], h[2], h[3]["data"]) for h in heard] == [(start.epoch, n + 1, {"n": n}) for n in range(3)]
    assert await hub.look(topic, Position(start.epoch, 1)) == (
        Position(start.epoch, 3),
        [TopicEvent(2, "availability.changed", b'{"n":1}'), TopicEvent(3, "availability.changed", b'{"n":2}')],
    )
    assert await hub.look(topic, Position(start.epoch, 3)) == (Position(start.epoch, 3), [])
    assert (await hub.look(topic, Position("another", 1)))[1] is None
    assert (await hub.look(topic, Position(start.epoch, 9)))[1] is None
    async with Valkey.from_url(valkey_url) as valkey:
        await valkey.delete(f"forecourt:passing:{{{topic}}}", f"forecourt:passing:{{{topic}}}:log")
    [head] = await hub.heads([topic])
    assert head.position.seq == 0
    assert head.position.epoch != start.epoch


async def test_what_is_too_old_cannot_be_caught_up_with(speaker: Hub, listener: tuple[Hub, Ears]) -> None:
    hub, ears = listener
    topic = f"venue:{uuid4()}:availability"
    await hub.follow(topic)
    for _ in range(70):
        speaker.announce(topic, b"1")
    epoch = {(await ears.said.get())[1] for _ in range(70)}.pop()
    assert (await hub.look(topic, Position(epoch, 1)))[1] is None
    assert len((await hub.look(topic, Position(epoch, 6)))[1] or []) == 64


@pytest.fixture
async def far(valkey_url: str) -> AsyncIterator[tuple[Hub, Proxy]]:
    """A speaker whose way to Valkey can be cut."""
    async with Proxy(valkey_url) as proxy:
        hub = Hub(proxy.url)
        await hub.start()
        yield hub, proxy
        await hub.stop()


async def cut_off(far: tuple[Hub, Proxy], monkeypatch: pytest.MonkeyPatch) -> None:
    """Cuts the way and waits until the hub has found out, by a first announcement that it could not send. From then on it is
    patient: what is answered late would be sent twice, as it should, and counted twice here."""
    hub, proxy = far
    proxy.cut()
    hub.announce(f"venue:{uuid4()}:availability", b"0")
    async with asyncio.timeout(10):
        while not hub._away:
            await asyncio.sleep(0.01)
    monkeypatch.setattr(live, "SEND_S", 30)


async def test_what_was_announced_while_valkey_was_away_is_heard_when_it_is_back(
    far: tuple[Hub, Proxy], listener: tuple[Hub, Ears], monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, ears = listener
    topic = f"venue:{uuid4()}:availability"
    await hub.follow(topic)
    start, _ = await hub.look(topic)
    await cut_off(far, monkeypatch)
    for n in range(3):
        far[0].announce(topic, b"%d" % n)
    assert ears.said.empty()
    far[1].heal()
    far[0].announce(topic, b"3")
    async with asyncio.timeout(10):
        heard = [await ears.said.get() for _ in range(4)]
    assert [(h[1], h[2], h[3]["data"]) for h in heard] == [(start.epoch, n + 1, n) for n in range(4)]


async def test_a_topic_in_which_too_much_waits_begins_anew_and_the_others_do_not(
    far: tuple[Hub, Proxy], listener: tuple[Hub, Ears], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PENDING_EACH", 3)
    hub, ears = listener
    busy, calm = (f"venue:{uuid4()}:availability" for _ in range(2))
    for topic in (busy, calm):
        await hub.follow(topic)
    before = {head.topic: head.position.epoch for head in await hub.heads([busy, calm])}
    await cut_off(far, monkeypatch)
    far[0].announce(calm, b"1")
    for n in range(5):
        far[0].announce(busy, b"%d" % n)
    far[1].heal()
    async with asyncio.timeout(10):
        heard = {h[0]: h for h in [await ears.said.get() for _ in range(2)]}
    assert heard[calm][1:3] == (before[calm], 1)
    assert heard[busy][1] != before[busy]
    assert heard[busy][2] == 0
    assert await hub.look(busy, Position(before[busy], 0)) == (Position(heard[busy][1], 0), None)
    far[0].announce(busy, b"5")
    async with asyncio.timeout(10):
        assert (await ears.said.get())[2] == 1


async def test_more_topics_than_can_be_remembered_all_begin_anew(
    far: tuple[Hub, Proxy], listener: tuple[Hub, Ears], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "PENDING", 1)
    hub, ears = listener
    topics = [f"venue:{uuid4()}:availability" for _ in range(4)]
    for topic in topics:
        await hub.follow(topic)
    before = {head.topic: head.position.epoch for head in await hub.heads(topics)}
    await cut_off(far, monkeypatch)
    for topic in topics:
        far[0].announce(topic, b"1")
    far[1].heal()
    async with asyncio.timeout(10):
        heard = {}
        while set(heard) != set(topics):
            topic, epoch, seq, _ = await ears.said.get()
            heard[topic] = (epoch != before[topic], seq)
    assert set(heard.values()) == {(True, 0)}


async def test_an_announcement_that_cannot_be_read_is_passed_over(
    speaker: Hub, listener: tuple[Hub, Ears], valkey_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub, ears = listener
    topic = room()
    await hub.follow(topic)
    said: list[str] = []
    monkeypatch.setattr(live.log, "error", lambda event, **_: said.append(event), raising=False)
    async with Valkey.from_url(valkey_url) as valkey:
        for payload in (b"", b"R not an id", b"Ee x\n{}", b"\xff\xff", b"E\xff 1\n{}"):
            assert await valkey.publish(f"forecourt:topic:{topic}", payload) == 1
    speaker.publish(topic, "e", TopicEvent(1, "a", b"1"))
    async with asyncio.timeout(5):
        while (heard := await ears.said.get())[3]["op"] != "event":
            continue
    assert heard[:3] == (topic, "e", 1)
    assert set(said) == {"announcement_unreadable"}
    assert ears.gaps.empty(), "the line was lost and made anew"


async def test_a_page_listens_to_the_data_alone(speaker: Hub, listener: tuple[Hub, Ears]) -> None:
    hub, _ = listener
    topic = f"venue:{uuid4()}:availability"
    stream = hub.listen(topic)
    first = asyncio.ensure_future(anext(stream))
    while not hub.listeners:
        await asyncio.sleep(0)
    await hub.follow(topic)
    speaker.announce(topic, b'{"dates":[]}')
    assert await first == b'{"dates":[]}'
    await stream.aclose()
    assert hub.listeners == 0
