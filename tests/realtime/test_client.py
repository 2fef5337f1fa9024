"""The npm client in Node, and the document, against a house that serves pages and sockets on one port."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from tests.journeys.world import Person, World
from tests.realtime.conftest import Node
from tests.realtime.wire import Socket, frame

from forecourt.realtime.client import BURST, MAX_TOPICS
from forecourt.realtime.frames import Close

ROOT = Path(__file__).resolve().parents[2]
CLIENT = ROOT / "clients/js/socket.js"
DOCUMENT = ROOT / "docs/api/socket.md"


@pytest.fixture(scope="session")
async def dora(world: World) -> Person:
    """Has shown that her address is hers, so she may write."""
    return await world.person("Dora")


async def make_room(person: Person) -> str:
    answer = await person.post("/v1/rooms", {"kind": "group", "name": "The socket's room"})
    assert answer.status_code == 201, answer.text
    return answer.json()["id"]


class Script:
    """A program in Node. `lines` gives what it prints, parsed."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def line(self) -> Any:
        assert self.process.stdout is not None
        async with asyncio.timeout(30):
            line = await self.process.stdout.readline()
        if not line:
            assert self.process.stderr is not None
            pytest.fail((await self.process.stderr.read()).decode())
        return json.loads(line)

    async def until(self, kind: str) -> Any:
        while True:
            found = await self.line()
            if found[0] == kind:
                return found[1]

    def tell(self, *words: Any) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(words).encode() + b"\n")

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.communicate()


SCRIPT = """
import readline from "node:readline";
import { Socket } from "./socket.js";
const out = (...words) => console.log(JSON.stringify(words));
const tokens = JSON.parse(process.env.TOKENS);
const socket = new Socket({
  url: process.env.SOCKET_URL,
  token: (renew) => (renew && tokens.length > 1 ? tokens.splice(0, 1) && tokens[0] : tokens[0]),
  onState: (state, code) => out("state", [state, code ?? null]),
});
const follow = (topic) => socket.follow(topic, {
  onReset: (position) => out("reset", position),
  onEvent: (event) => out("event", [event.seq ?? null, event.data.text ?? null]),
  onGone: (code) => out("gone", code),
});
readline.createInterface({ input: process.stdin }).on("line", async (line) => {
  const [word, ...rest] = JSON.parse(line);
  if (word === "follow") follow(rest[0]);
  if (word === "send") socket.send(rest[0], { text: rest[1] }, { clientId: rest[2] })
    .then((ack) => out("ack", ack.seq), (e) => out("refused", e.code));
  if (word === "close") socket.close();
});
"""


@pytest.fixture
async def node_js(tmp_path: Path) -> AsyncIterator[Callable[..., Awaitable[Script]]]:
    (tmp_path / "package.json").write_text('{"type":"module"}')
    (tmp_path / "socket.js").write_text(CLIENT.read_text())
    scripts: list[Script] = []

    async def start(source: str = SCRIPT, **environ: str) -> Script:
        (tmp_path / "script.js").write_text(source)
        process = await asyncio.create_subprocess_exec(
            "node",
            "--experimental-websocket",
            "--no-warnings",
            str(tmp_path / "script.js"),
            env={**os.environ, **environ},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        scripts.append(Script(process))
        return scripts[-1]

    yield start
    for script in scripts:
        await script.end()


def address(port: int) -> str:
    return f"ws://127.0.0.1:{port}/v1/socket"


async def test_the_client_loses_nothing_and_sends_once_whatever_happens_to_its_connection(
    node: Node, node_js: Callable[..., Awaitable[Script]], ada: Person
) -> None:
    topic = await node.diary.make(UUID(ada.id))
    script = await node_js(SOCKET_URL=address(node.port), TOKENS=json.dumps([ada.token]))
    script.tell("follow", topic)
    assert (await script.until("reset"))["seq"] == 0
    script.tell("send", topic, "one", "c1")
    assert await script.until("event") == [1, "one"]
    for n in range(3):
        [client] = [c for c in node.realtime._clients if c.account_id == UUID(ada.id)]
        client.cut()
        await node.diary.write(topic, f"missed {n}")
        script.tell("send", topic, f"offline {n}", f"offline {n}")
        heard = [await script.until("event") for _ in range(2)]
        assert [seq for seq, _ in heard] == [2 + 2 * n, 3 + 2 * n]
        assert {text for _, text in heard} == {f"missed {n}", f"offline {n}"}
    assert len((await node.diary.state(topic))[0]) == 7


async def test_a_client_with_much_to_say_comes_back_and_says_it_all(
    node: Node, node_js: Callable[..., Awaitable[Script]], ada: Person
) -> None:
    """As many topics as may be followed, and more messages than may be sent at once."""
    topics = await asyncio.gather(*(node.diary.make(UUID(ada.id)) for _ in range(MAX_TOPICS)))
    script = await node_js(SOCKET_URL=address(node.port), TOKENS=json.dumps([ada.token]))
    for topic in topics:
        script.tell("follow", topic)
    for _ in topics:
        await script.until("reset")
    [client] = [c for c in node.realtime._clients if c.account_id == UUID(ada.id)]
    client.cut()
    for topic in (topics[0], topics[-1]):
        await node.diary.write(topic, f"missed in {topic}")
    assert [(await script.until("event"))[1] for _ in range(2)] == [f"missed in {topic}" for topic in (topics[0], topics[-1])]
    [client] = [c for c in node.realtime._clients if c.account_id == UUID(ada.id)]
    assert set(client.channels) == set(topics)

    client.cut()
    for n in range(250):
        script.tell("send", topics[0], f"offline {n}", f"c{n}")
    heard: dict[str, list[Any]] = {"ack": [], "state": [], "refused": [], "event": []}
    while len(heard["ack"]) < 250:
        kind, what = await script.line()
        heard.setdefault(kind, []).append(what)
    assert heard["refused"] == []
    assert sorted(heard["ack"]) == list(range(2, 252)), "each once"
    assert {code for _, code in heard["state"]} <= {None, 1006}, "never 4429"


async def test_two_hundred_frames_at_once_are_heard(node: Node, ada: Person) -> None:
    """What a client without a window may do, and the control: it may not do more."""
    topics = [await node.diary.make(UUID(ada.id)) for _ in range(4)] * (BURST // 4)
    ws = await node.open(ada)
    ws.raw(b"".join(frame(json.dumps({"op": "subscribe", "topic": topic}).encode()) for topic in topics))
    heard = [await ws.recv() for _ in topics]
    assert [(f["op"], f["topic"]) for f in heard] == [("subscribed", topic) for topic in topics]
    ws.raw(frame(json.dumps({"op": "subscribe", "topic": topics[0]}).encode()) * (BURST * 4))
    assert await ws.closing() == Close.TOO_FAST


async def test_the_client_renews_its_token_and_says_what_may_not_be_followed(
    node: Node, node_js: Callable[..., Awaitable[Script]], ada: Person
) -> None:
    topic = await node.diary.make()
    script = await node_js(SOCKET_URL=address(node.port), TOKENS=json.dumps(["expired", ada.token]))
    script.tell("follow", topic)
    assert await script.until("gone") == "not_found"
    script.tell("send", topic, "not mine", "c1")
    assert await script.until("refused") == "not_found"
    refused = await node_js(SOCKET_URL=address(node.port), TOKENS=json.dumps(["nobody's"]))
    while (state := await refused.until("state"))[0] != "closed":
        assert state[0] in ("connecting", "open", "waiting")
    assert state == ["closed", 4401]


async def test_the_session_of_the_document_goes_as_written(port: int, dora: Person) -> None:
    room = await make_room(dora)
    [session] = re.findall(r"```session\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    ws = await Socket.open(port, headers={"Authorization": f"Bearer {dora.token}"})
    known = {"ROOM": room}
    waiting: list[Any] = []
    played = 0
    for line in session.strip().splitlines():
        arrow, _, text = line.partition(" ")
        text = text.replace(":SEQ", ':"SEQ"')
        for name, value in known.items():
            text = text.replace(f'"{name}"', json.dumps(value)).replace(name, str(value))
        wanted = json.loads(text)
        if arrow == "→":
            assert waiting == []
            ws.send(wanted)
            continue
        for _ in range(50):
            found = next((f for f in waiting if fits(wanted, f, known)), None)
            if found is not None:
                waiting.remove(found)
                break
            heard = await ws.recv()
            if heard.get("type") != "presence.changed":
                waiting.append(heard)
        else:
            pytest.fail(f"{line}: got {waiting}")
        if found["op"] == "subscribed" and "EPOCH" not in known:
            known |= {"EPOCH": found["epoch"], "SEQ": found["seq"]}
        played += 1
    assert played == session.count("←")


def fits(pattern: Any, value: Any, known: dict[str, Any]) -> bool:
    """`…` is anything; a name that is not known yet too."""
    if pattern == "…" or (pattern == "SEQ" and "SEQ" not in known):
        return True
    if isinstance(pattern, dict):
        return (
            isinstance(value, dict)
            and pattern.keys() == value.keys()
            and all(fits(v, value[k], known) for k, v in pattern.items())
        )
    return pattern == value


async def test_the_program_of_the_document_runs(port: int, node_js: Callable[..., Awaitable[Script]], dora: Person) -> None:
    [program] = re.findall(r"```js\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    source = program.replace('"@forecourt/client/socket"', '"./socket.js"')
    script = await node_js(source, SOCKET_URL=address(port), TOKEN=dora.token, ROOM=await make_room(dora))
    async with asyncio.timeout(30):
        out, wrong = await script.process.communicate()
    assert script.process.returncode == 0, wrong.decode()
    said = out.decode().splitlines()
    assert said[0].startswith("read the state")
    assert "message.created hello from Node" in said
    assert any(re.fullmatch(r"number \d+", line) for line in said)


def test_pages_and_package_have_the_same_client() -> None:
    assert CLIENT.read_bytes() == (ROOT / "src/forecourt/kernel/web/static/js/socket.js").read_bytes()
    exported = set(re.findall(r"^export class (\w+)", CLIENT.read_text(), re.MULTILINE))
    declared = set(re.findall(r"^export class (\w+)", (ROOT / "clients/js/socket.d.ts").read_text(), re.MULTILINE))
    assert exported == declared == {"Socket", "Refused"}
