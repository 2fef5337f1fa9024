"""`forecourt up --split` as an operator meets it: many processes, one address, nobody left behind."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from tests.conftest import as_user, clone, drop
from tests.journeys.conftest import Server, environ_for
from tests.journeys.world import World, at

from forecourt import cli
from forecourt.engines import EngineError
from forecourt.gateway.plan import Plan
from forecourt.kernel.errors import Misconfigured
from forecourt.kernel.migrate import APP_ROLE
from forecourt.split import SplitHouse, groups_of, memory_bytes
from forecourt.wiring import MODULES

pytestmark = pytest.mark.xdist_group("split")

PATIENCE_S = 120
GROUPS = "identity+people+notifications+media+chat+audit,venues+booking"


@pytest.fixture
def server(server_url: str, valkey_url: str, tmp_path: Path) -> Iterator[Server]:
    """An installation of this test's own, and the port it is to have."""
    name = f"p_{uuid4().hex[:12]}"
    admin_url = asyncio.run(clone(server_url, name))
    server = Server(environ_for(tmp_path, as_user(admin_url, APP_ROLE), admin_url, valkey_url), tmp_path / "up.log")
    yield server
    for process in server.processes.values():
        process.kill()
        process.wait()
    asyncio.run(drop(server_url, name))


def up(server: Server, groups: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "forecourt", "up", "--split", "--groups", groups, "--no-demo", "--port", str(server.port)]
    with server.log.open("ab") as log:
        server.processes["serve"] = subprocess.Popen(command, env=server.environ, stdout=log, stderr=log, start_new_session=True)
    return server.processes["serve"]


def family(pid: int) -> dict[int, str]:
    """Everybody below a process, and what runs there."""
    found: dict[int, str] = {}
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):  # a thread, or a child, that has ended meanwhile
            for child in map(int, path.read_text().split()):
                found[child] = Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ").strip()
                found |= family(child)
    return found


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def eventually(holds: Callable[[], bool], what: str) -> None:
    until = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < until, f"it did not come to be: {what}"
        time.sleep(0.05)


def payments_process(pid: int) -> int:
    """The one that has the payments: its peers are all others."""
    found = [
        child
        for child, line in family(pid).items()
        if "forecourt serve" in line and b"FORECOURT_MODULES=payments\0" in Path(f"/proc/{child}/environ").read_bytes()
    ]
    return found[0] if len(found) == 1 else 0


async def journey(url: str, killed: Callable[[], None]) -> None:
    """A booking, during which the payments are killed; sent again with its key until it is answered."""
    async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as client:
        told = (await client.get("/api/status")).json()
        assert {s["name"]: s["status"] for s in told["services"]} == dict.fromkeys((*MODULES, "realtime", "worker"), "ok")
        world = World(client)
        club, ada = await world.club(courts=1), await world.person("Ada")
        await world.credits(club, ada, 5_000)
        wanted = {"resource_id": club.courts[0], "start": at(3, 12), "duration_min": 60, "pay_with": "credits"}
        killed()
        key = str(uuid4())
        async with asyncio.timeout(PATIENCE_S):
            while (answer := await ada.post("/v1/bookings", wanted, Idempotency_Key=key)).status_code == 503:
                await asyncio.sleep(0.2)
        assert (answer.status_code, answer.json()["status"]) == (201, "upcoming"), answer.text
        async with asyncio.timeout(PATIENCE_S):
            while (await ada.get("/v1/wallets")).status_code == 503:  # until the gateway has noticed that they are back
                await asyncio.sleep(0.2)
        assert await world.balance(club, ada) == 3_000


@pytest.mark.slow
@pytest.mark.haproxy
def test_a_split_house_opens_at_one_address_brings_back_who_died_and_ends_whole(server: Server) -> None:
    parent = up(server, GROUPS)
    eventually(lambda: parent.poll() is not None or "of memory" in server.log.read_text(), "the doors are open")
    words = server.log.read_text()
    assert parent.poll() is None, words
    assert f"http://localhost:{server.port}" in words and "6 processes take" in words
    for service in Plan.read(Path(server.environ["FORECOURT_DATA"]) / "gateway" / "gateway.toml").services:
        (url,) = service.versions["v1"]
        assert {httpx.get(url + path).status_code for path in ("/docs", "/api/status", "/v1/me")} == {401}, service.name
    first = payments_process(parent.pid)
    asyncio.run(journey(server.url, lambda: os.kill(first, signal.SIGKILL)))
    assert "payments was killed by signal 9 (Killed) and is started again in" in server.log.read_text()
    assert payments_process(parent.pid) not in (0, first)
    everybody = family(parent.pid)
    assert any("haproxy" in line for line in everybody.values()) and len(everybody) >= 7
    parent.send_signal(signal.SIGINT)
    assert parent.wait(PATIENCE_S) == 0, server.log.read_text()
    assert not [line for pid, line in everybody.items() if alive(pid)]
    words = server.log.read_text()
    assert "Stopping." in words and "Traceback" not in words, words
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{server.url}/livez")


@pytest.mark.slow
@pytest.mark.haproxy
def test_a_split_house_whose_parent_is_killed_leaves_nobody_behind(server: Server) -> None:
    """The guards see to it, from a child's first moment on."""
    parent = up(server, "+".join(MODULES))
    eventually(lambda: len([line for line in family(parent.pid).values() if " -m forecourt " in line]) == 3, "everybody starts")
    starting = family(parent.pid)
    parent.kill()
    parent.wait()
    eventually(lambda: not [pid for pid in starting if alive(pid)], "nobody is left of those who were starting")

    parent = up(server, "+".join(MODULES))
    eventually(lambda: parent.poll() is not None or "of memory" in server.log.read_text(), "the doors are open")
    assert parent.poll() is None, server.log.read_text()
    everybody = family(parent.pid)
    assert any("haproxy" in line for line in everybody.values())
    parent.kill()
    parent.wait()
    eventually(lambda: not [pid for pid in everybody if alive(pid)], "nobody is left")


def test_modules_that_no_group_names_have_a_process_of_their_own() -> None:
    groups = groups_of("venues+booking, identity+people")
    assert [g.modules for g in groups[:2]] == [("venues", "booking"), ("identity", "people")]
    assert sorted(m for g in groups for m in g.modules) == sorted(MODULES)
    assert all(len(g.modules) == 1 for g in groups[2:])
    assert [g.modules for g in groups_of("")] == [(m,) for m in MODULES]


@pytest.mark.parametrize(
    ("environ", "proxies", "origins"),
    [
        (
            {"FORECOURT_TRUSTED_PROXIES": "10.0.0.0/8, 192.0.2.7", "FORECOURT_CORS_ORIGINS": "https://app.example.org"},
            ("10.0.0.0/8", "192.0.2.7"),
            ("https://app.example.org",),
        ),
        ({}, (), ()),
    ],
    ids=["told", "not told"],
)
def test_the_gateway_believes_whom_the_house_was_told_to_believe(
    tmp_path: Path, environ: dict[str, str], proxies: tuple[str, ...], origins: tuple[str, ...]
) -> None:
    house = SplitHouse(groups_of(""), environ)
    try:
        house.gateway("127.0.0.1:8080", tmp_path)
        plan = Plan.read(tmp_path / "gateway.toml")
    finally:
        house.close()
    assert (plan.trusted_proxies, plan.cors_origins) == (proxies, origins)


def test_everybody_of_a_split_house_has_the_gateways_key_and_each_house_its_own(tmp_path: Path) -> None:
    made: list[str] = []
    for _ in range(2):
        house = SplitHouse(groups_of(""), {})
        try:
            crew = [*house.children(), house.gateway("127.0.0.1:8080", tmp_path)]
        finally:
            house.close()
        (key,) = {child.environ["FORECOURT_GATEWAY_KEYS"] for child in crew}
        assert len(key) == 64 and key not in (tmp_path / "gateway.toml").read_text()
        assert not any(key in part for child in crew for part in child.command)
        made.append(key)
    assert made[0] != made[1]


@pytest.mark.parametrize("name", ["FORECOURT_GATEWAY_KEYS", "FORECOURT_GATEWAY_KEYS_FILE"])
def test_keys_that_somebody_chose_are_left_as_they_are(name: str, tmp_path: Path) -> None:
    house = SplitHouse(groups_of(""), {name: "chosen"})
    try:
        crew = [*house.children(), house.gateway("127.0.0.1:8080", tmp_path)]
    finally:
        house.close()
    assert not any("FORECOURT_GATEWAY_KEYS" in variable for child in crew for variable in child.environ)


@pytest.mark.parametrize(
    ("text", "words"), [("venues+bookings", "no module 'bookings'"), ("venues,venues", "one process only"), ("+", "no module ''")]
)
def test_a_group_that_cannot_be_is_refused(text: str, words: str) -> None:
    with pytest.raises(Misconfigured, match=words):
        groups_of(text)


def test_without_haproxy_it_is_said_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda *_, **__: None)
    with pytest.raises(EngineError, match=r"(?s)HAProxy is not installed.*apt-get install haproxy.*without --split"):
        cli.require_haproxy()


def test_what_a_process_takes_is_counted_with_its_children() -> None:
    alone = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    two = subprocess.Popen(["/bin/sh", "-c", f"{sys.executable} -c 'input()' <&0; :"], stdin=subprocess.PIPE)
    try:
        eventually(lambda: len(family(two.pid)) == 1 and memory_bytes(two.pid) > memory_bytes(alone.pid) > 1_000_000, "they run")
    finally:
        for process in (alone, two):
            process.communicate(b"\n", timeout=30)
    assert memory_bytes(alone.pid) == 0
