"""Pages as the server makes them, in the demo world: time until the last byte, processor time of our process and of PostgreSQL.

One visitor at a time asks, over one connection, as a browser that has styles, scripts and pictures already.
"""

from __future__ import annotations

import re
import subprocess
import sys

import httpx
import msgspec

from bench.installation import Installation, Server, forecourt, free_port, installation
from bench.load import HOST, Call, Client
from bench.machine import postgres_cpu_us
from bench.report import Options, Report, below, out, rows
from forecourt.demo import PASSWORD

TARGET = below(100)
VISITOR, MANAGER = "mahnoor@example.org", "rida@baradari.example"
FILL_LIMIT_S = 900


class Page(msgspec.Struct, frozen=True):
    name: str
    path: str
    cookie: str = ""


class Made(msgspec.Struct, frozen=True):
    """Times in ms, `ours` and `database` of a processor; the size as it is sent without compression."""

    name: str
    p50: float
    p95: float
    ours: float
    database: float
    kib: float


def measure(options: Options) -> None:
    report = Report.begin("pages", "Pages of the demo world, one visitor at a time", options)
    times = 60 if options.quick else 300
    with installation() as at:
        fill(at)
        with forecourt(at) as server:
            made = [_made(server, page, times) for page in pages(server)]
    rows(
        ["", "p50 ms", "p95 ms", "our CPU ms", "database ms", "KiB"],
        [[m.name, *(f"{v:.1f}" for v in (m.p50, m.p95, m.ours, m.database)), f"{m.kib:.0f}"] for m in made],
    )
    slowest = max(made, key=lambda m: m.p95)
    report.add("slowest page", slowest.p95, "ms p95", TARGET, slowest.name)
    report.add("a page, on average", sum(m.ours for m in made) / len(made), "ms of our CPU")
    report.add("a page, on average", sum(m.database for m in made) / len(made), "ms of PostgreSQL's CPU")
    report.details = {"pages": made}
    report.finish()


def fill(at: Installation) -> None:
    """The demo world, whole."""
    out.print("[dim]filling the demo world …[/]")
    command = [sys.executable, "-m", "forecourt", "demo"]
    subprocess.run(command, env=at.environ(free_port()), check=True, timeout=FILL_LIMIT_S, stdout=subprocess.DEVNULL)


def pages(server: Server) -> list[Page]:
    """What a visitor and a manager open most. Ids are found as they would find them: by following links."""
    visitor, manager = _signed_in(server, VISITOR), _signed_in(server, MANAGER)
    mine, theirs = f"fc_session={visitor.cookies['fc_session']}", f"fc_session={manager.cookies['fc_session']}"
    venue = _link(visitor, "/discover?q=padel", r"/venues/[0-9a-f-]{36}")
    booking = _link(visitor, "/bookings", r"/bookings/[0-9a-f-]{36}")
    room = _link(visitor, "/chat", r"/chat/[0-9a-f-]{36}")
    org = _link(manager, "/orgs", r"/orgs/[0-9a-f-]{36}")
    return [
        Page("front page, nobody signed in", "/"),
        Page("discover", "/discover", mine),
        Page("discover: words", "/discover?q=padel", mine),
        Page("a venue with its day", venue, mine),
        Page("my bookings", "/bookings", mine),
        Page("a booking", booking, mine),
        Page("credits", "/credits", mine),
        Page("chat: a room", room, mine),
        Page("notifications", "/notifications", mine),
        Page("console: day sheet", f"{org}/day", theirs),
        Page("console: bookings", f"{org}/bookings", theirs),
        Page("console: places", f"{org}/places", theirs),
        Page("console: people", f"{org}/people", theirs),
        Page("console: deliveries", f"{org}/deliveries", theirs),
    ]


def _signed_in(server: Server, email: str) -> httpx.Client:
    client = httpx.Client(base_url=f"http://{HOST}:{server.port}", timeout=30)
    found = re.search(r'name="csrf_token" value="([^"]+)"', client.get("/sign-in").text)
    assert found is not None
    form = {"email": email, "password": PASSWORD, "csrf_token": found.group(1)}
    assert client.post("/sign-in", data=form).status_code == 303, f"{email} could not sign in"
    return client


def _link(client: httpx.Client, path: str, pattern: str) -> str:
    found = re.search(rf'href="({pattern})', client.get(path).raise_for_status().text)
    assert found is not None, f"{path} leads to no {pattern}"
    return found.group(1)


def _made(server: Server, page: Page, times: int) -> Made:
    call = Call(page.path, cookie=page.cookie, accept="text/html")
    Client(server.port, 1).run([call] * 5).only(200)
    ours, database = server.used().cpu_us, postgres_cpu_us()
    told = Client(server.port, 1).run([call] * times).only(200)
    spent = sum(used - database.get(pid, 0.0) for pid, used in postgres_cpu_us().items())
    return Made(
        page.name,
        told.ms(50),
        told.ms(95),
        (server.used().cpu_us - ours) / times / 1000,
        spent / times / 1000,
        len(told.bodies[-1]) / 1024,
    )
