"""One client and the server: letting in, topics, what goes wrong. Over a real socket, on the real engines."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from tests.journeys.world import Person
from tests.realtime.conftest import Node
from tests.realtime.wire import Socket, frame

from forecourt.realtime import client


async def test_a_client_subscribes_and_hears_what_happens_in_order(node: Node, ada: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    answer = await ws.ask({"op": "subscribe", "topic": topic})
    assert answer == {"op": "subscribed", "topic": topic, "epoch": answer["epoch"], "seq": 0, "recovered": False}
    for text in ("one", "two"):
        await node.diary.write(topic, text)
    first, second = await ws.recv(), await ws.recv()
    assert first == {
        "op": "event",
        "topic": topic,
        "epoch": answer["epoch"],
        "seq": 1,
        "type": "entry.written",
        "data": {"text": "one"},
    }
    assert (second["seq"], second["data"]) == (2, {"text": "two"})
    await ws.leave()


async def test_who_comes_back_gets_everything_it_missed(node: Node, ada: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    for n in range(5):
        await node.diary.write(topic, str(n))
    _, position = await node.diary.state(topic)
    ws = await node.open(ada)
    since = {"epoch": position.epoch, "seq": 2}
    answer = await ws.ask({"op": "subscribe", "topic": topic, "since": since})
    assert answer == {"op": "subscribed", "topic": topic, "epoch": position.epoch, "seq": 5, "recovered": True}
    assert [(await ws.recv())["seq"] for _ in range(3)] == [3, 4, 5]
    await node.diary.write(topic, "live")
    assert (await ws.recv())["seq"] == 6
    await ws.leave()


async def test_what_cannot_be_recovered_is_a_reset(node: Node, ada: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    for n in range(5):
        await node.diary.write(topic, str(n))
    _, position = await node.diary.state(topic)
    node.diary.kept = 3
    ws = await node.open(ada)
    for since in ({"epoch": position.epoch, "seq": 1}, {"epoch": "another", "seq": 5}, {"epoch": position.epoch, "seq": 9}):
        answer = await ws.ask({"op": "subscribe", "topic": topic, "since": since})
        assert answer == {"op": "reset", "topic": topic, "epoch": position.epoch, "seq": 5}
    await node.diary.write(topic, "after the reset")
    assert (await ws.recv())["seq"] == 6
    await ws.leave()


async def test_that_somebody_types_is_told_once_in_a_while(node: Node, ada: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    topic, other = await node.diary.make(UUID(ada.id)), await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)

    async def heard() -> list[str]:
        for where in (topic, topic, topic, other):
            ws.send({"op": "typing", "topic": where, "ref": "t"})
        ws.send({"op": "send", "topic": topic, "text": "done"})
        found = [await ws.recv() for _ in range(4)]
        while found[-1].get("type") != "entry.written":
            found.append(await ws.recv())
        assert [f["op"] for f in found].count("error") == 0, "more is passed over"
        return [f["topic"] for f in found if f.get("type") == "typing"]

    for where in (topic, other):
        await ws.ask({"op": "subscribe", "topic": where})
    monkeypatch.setattr(client, "TYPING_S", 3600.0)
    assert await heard() == [topic, other]
    monkeypatch.setattr(client, "TYPING_S", 0.0)
    assert await heard() == [topic, topic, topic, other], "each, when there is no pause to keep"


async def test_a_frame_in_the_packet_of_the_handshake_is_heard(node: Node, ada: Person) -> None:
    ws = await Socket.open(node.port, ada.token, early=frame(b'{"op":"ping"}'))
    assert await ws.recv() == {"op": "pong"}
    await ws.leave()


async def test_a_topic_has_one_spelling(node: Node, ada: Person) -> None:
    """Whoever followed another would hear nothing."""
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ada)
    wrong = f"diary:{topic.removeprefix('diary:').upper()}"
    answer = await ws.ask({"op": "subscribe", "topic": wrong})
    assert (answer["code"], answer["detail"]) == ("invalid", f"write it {topic}")
    assert (await ws.ask({"op": "subscribe", "topic": topic}))["op"] == "subscribed"


async def test_a_stranger_cannot_follow_and_hears_the_same_as_for_what_is_absent(node: Node, ada: Person, ben: Person) -> None:
    topic = await node.diary.make(UUID(ada.id))
    ws = await node.open(ben)
    for name in (topic, f"diary:{uuid4()}", f"nowhere:{uuid4()}", "inbox", "diary:'; drop", ""):
        answer = await ws.ask({"op": "subscribe", "topic": name, "ref": "r"})
        assert (answer["op"], answer["code"], answer["ref"]) == ("error", "not_found", "r")
    await ws.leave()
