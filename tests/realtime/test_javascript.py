"""The API client for JavaScript: in Node against a house, and its types as TypeScript's own checker sees them."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.journeys.world import Person, World, at
from tests.realtime.scripted import HANG_UP, Scripted, answer

PACKAGE = Path(__file__).resolve().parents[2] / "clients" / "js"
DENO = Path(sys.executable).with_name("deno")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project that has the package installed."""
    shutil.copytree(PACKAGE, tmp_path / "node_modules" / "@forecourt" / "client")
    (tmp_path / "package.json").write_text('{"type": "module"}')
    return tmp_path


async def run(*command: str | Path, cwd: Path, **environ: str) -> tuple[int | None, str, str]:
    process = await asyncio.create_subprocess_exec(
        *command, cwd=cwd, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            out, wrong = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode, out.decode(), wrong.decode()


async def node(folder: Path, program: str, **environ: str) -> list[Any]:
    """What a program prints with `out(...)`."""
    (folder / "program.js").write_text(PRELUDE + program)
    code, out, wrong = await run("node", "program.js", cwd=folder, **environ)
    assert code == 0, wrong
    return [json.loads(line) for line in out.splitlines()]


PRELUDE = """
import { Api, ConnectionLost, Problem } from "@forecourt/client/api";
const out = (...words) => console.log(JSON.stringify(words));
const { HOUSE: url, TOKEN, COURT, START } = process.env;
const caught = (e) => (e instanceof Problem ? [e.status, e.code] : [e.name]);
"""

JOURNEY = """
let renewals = 0, lost = 0;
const keys = [];
const api = new Api({
  url,
  token: (renew) => { renewals += renew ? 1 : 0; return renew || renewals ? TOKEN : "not.a.token"; },
  // The house books; the first answer is lost on the way.
  fetch: async (address, options) => {
    const response = await fetch(address, options);
    if (options.method === "POST") keys.push(options.headers["Idempotency-Key"]);
    if (options.method === "POST" && response.status === 201 && lost++ === 0) throw new TypeError("fetch failed");
    return response;
  },
});
const [me, again] = await Promise.all([api.call("my_account_me"), api.call("my_account_me")]);
out("me", me.id === again.id, renewals);
const body = { resource_id: COURT, start: START, duration_min: 60 };
const booking = await api.call("booking_book", { body });
out("booked", booking.status, lost, keys.length, new Set(keys).size);
await api.call("booking_book", { body }).catch((e) => out("taken", ...caught(e), e.more.alternatives.length > 0));
await api.call("booking_book", { body: { ...body, duration_min: -1 } }).catch((e) => out("wrong", e.code, e.errors[0].path));
const calendar = await api.call("booking_calendar_file", { path: { id: booking.id } });
out("calendar", (await calendar.text()).slice(0, 15));
for (let n = 0; n < 5; n++) await api.call("chat_create", { body: { kind: "group", name: `Room ${n}` } });
const rooms = [], some = [];
for await (const room of api.every("chat_mine", {}, { pageSize: 2 })) rooms.push(room.id);
for await (const room of api.every("chat_mine", {}, { pageSize: 2, limit: 3 })) some.push(room.id);
out("rooms", new Set(rooms).size, rooms.length, some.length);
out("cancelled", (await api.call("booking_cancel", { path: { id: booking.id }, body: {} })).status);
"""


async def test_a_program_in_node_books_once_whatever_happens_to_its_line(port: int, world: World, folder: Path) -> None:
    club = await world.club(courts=2)
    jo: Person = await world.person("Jo")
    house = f"http://127.0.0.1:{port}"
    said = await node(folder, JOURNEY, HOUSE=house, TOKEN=jo.token, COURT=club.courts[0], START=at(12, 12))
    assert said == [
        ["me", True, 1],
        ["booked", "payment_pending", 2, 2, 1],
        ["taken", 409, "slot_taken", True],
        ["wrong", "invalid", "duration_min"],
        ["calendar", "BEGIN:VCALENDAR"],
        ["rooms", 5, 5, 3],
        ["cancelled", "cancelled"],
    ]


async def test_what_may_be_repeated_is_and_nothing_else(folder: Path) -> None:
    away = answer(503, {"status": 503, "code": "unavailable", "title": "…"})
    slow = answer(429, {"status": 429, "code": "rate_limited", "title": "…"}, Retry_After="3600")
    full = answer(503, {"status": 503, "code": "unavailable", "title": "…"}, Retry_After="3600")
    program = """
    const api = new Api({ url, random: () => 0 });
    await api.call("system_alive").then((it) => out("alive", it.status));
    await api.call("booking_make_feed").catch((e) => out(...caught(e)));
    await api.call("booking_make_feed").catch((e) => out(...caught(e)));
    await api.call("system_alive").catch((e) => out(...caught(e), e.retryAfterS));
    await api.call("system_alive").catch((e) => out(...caught(e), e.retryAfterS));
    await api.call("booking_read", { path: { id: "../../livez" } }).catch((e) => out(...caught(e)));
    """
    alive, page = answer(200, {"status": "ok"}), answer(200, b"<h1>Welcome</h1>")
    async with Scripted(HANG_UP, away, alive, HANG_UP, away, slow, full, page) as server:
        said = await node(folder, program, HOUSE=server.url)
        heads = [head.split(" ")[:2] for head in server.heard]
    told_to_wait = [[429, "rate_limited", 3600], [503, "unavailable", 3600]]
    assert said == [["alive", "ok"], ["ConnectionLost"], [503, "unavailable"], *told_to_wait, ["ConnectionLost"]]
    assert [head[0] for head in heads] == ["GET", "GET", "GET", "POST", "POST", "GET", "GET", "GET"]
    assert heads[-1][1] == "/v1/bookings/..%2F..%2Flivez", "what is put into an address does not lead elsewhere"


RIGHT = """
import { Api, Problem, type BookingOut } from "@forecourt/client/api";
import { Socket } from "@forecourt/client/socket";
const api = new Api({ url: "http://localhost:8000", token: (renew) => (renew ? "fresh" : null) });
const booking: BookingOut = await api.call("booking_book", { body: { resource_id: "r", start: "s", duration_min: 60 } });
const amount: number = booking.price.amount;
await api.call("system_alive");
for await (const venue of api.every("venues_search", { query: { near: "1,2" } }, { limit: 3 })) console.log(venue.name.length);
const calendar: Response = await api.call("booking_calendar_file", { path: { id: booking.id } });
await api.call("booking_edit", { path: { id: booking.id }, body: { note: null }, ifMatch: booking.version });
await api.call("media_send", { form: { file: new Blob(["x"]), alt: "x" } });
await api.call("booking_cancel", { path: { id: "b" } }).catch((e: unknown) => e instanceof Problem && e.errors[0].path);
new Socket({ url: "ws://localhost/v1/socket" }).close();
"""
WRONG = {
    'api.call("booking_bok", {});': "booking_bok",
    'api.call("booking_book");': "Expected 2 arguments",
    'api.call("booking_book", { body: { resource_id: "r", start: "s" } });': "duration_min",
    'api.call("booking_read", { path: { identity: "b" } });': "identity",
    "const wrong: number = booking.status;": "is not assignable to type 'number'",
    'api.every("booking_book", { body: { resource_id: "r", start: "s", duration_min: 60 } });': "is not assignable to parameter",
    'if (booking.status === "canceled") {}': "no overlap",
}


async def check(folder: Path, program: str) -> tuple[int | None, str]:
    """By the checker of TypeScript that Deno carries; it fetches nothing."""
    (folder / "program.ts").write_text(program)
    exports = json.loads((PACKAGE / "package.json").read_text())["exports"]
    types = {f"@forecourt/client{at[1:]}": f"./node_modules/@forecourt/client/{to['types'][2:]}" for at, to in exports.items()}
    (folder / "deno.json").write_text(json.dumps({"imports": types, "nodeModulesDir": "manual"}))
    offline = {"DENO_DIR": str(folder / "deno"), "DENO_NO_UPDATE_CHECK": "1", "NO_COLOR": "1"}
    code, _, wrong = await run(
        DENO, "check", "--no-remote", "--no-npm", "--node-modules-dir=manual", "program.ts", cwd=folder, **offline
    )
    return code, wrong


async def test_types_let_right_programs_pass_and_find_every_wrong_line(folder: Path) -> None:
    code, wrong = await check(folder, RIGHT + "\n".join(WRONG))
    assert code != 0
    assert f"Found {len(WRONG)} errors" in wrong, "one for each wrong line, and so none for the right ones: " + wrong
    for line, words in WRONG.items():
        assert words in wrong, (line, wrong)
