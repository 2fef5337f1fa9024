"""What stands behind links: read from a real server on this machine, with everything that a stranger's page may try."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Sequence
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.chat.conftest import Town

from forecourt.kernel.context import service_context
from forecourt.kernel.egress import Egress
from forecourt.kernel.errors import Forbidden, NotFound
from forecourt.modules.chat import links as module
from forecourt.modules.chat.contract import LinkPreview
from forecourt.modules.chat.links import MAX_BYTES, Links, carries_secret, worth_asking
from forecourt.modules.chat.markup import render
from forecourt.modules.chat.service.membership import NewMembers
from forecourt.modules.chat.service.messages import HistoryQuery, MessageEdit
from forecourt.modules.chat.service.previewing import HouseRule, LookBehind
from forecourt.modules.chat.service.rooms import NewChannel

LOOPBACK = [ipaddress.ip_network("127.0.0.0/8")]
HOUSE = service_context("chat")
CLUB = (
    '<html><head><meta property="og:title" content="Riverside &amp; friends">'
    '<meta name=description content=\'Padel > tennis,\n all day\'><meta property="og:site_name" content="Riverside">'
    "<title>Not this</title></head><body><script>alert(1)</script></body></html>"
)


def answer(body: bytes, kind: str = "text/html; charset=utf-8", status: str = "200 OK", more: str = "") -> bytes:
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + body


class Site:
    """A web server with an answer for each path. It remembers what it was asked, and how much of an endless page was taken."""

    def __init__(self) -> None:
        self.pages: dict[str, bytes] = {"/club": answer(CLUB.encode())}
        self.asked: list[tuple[str, str]] = []
        self.port, self.written, self.gone = 0, 0, asyncio.Event()

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        path = head[0].split(" ")[1]
        self.asked.append((path, next(line[6:] for line in head if line.lower().startswith("host: "))))
        try:
            if path == "/endless":
                await self._endlessly(writer)
            elif path == "/silent":
                await reader.read()  # until who asked has gone
            else:
                writer.write(self.pages.get(path, answer(b"", status="404 Not Found")))
                await writer.drain()
        except ConnectionError:
            self.gone.set()
        finally:
            writer.close()

    async def _endlessly(self, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<title>Long</title>")
        while True:
            writer.write(b"<p>" * 10_000)
            await writer.drain()
            self.written += 30_000

    def at(self, path: str, host: str = "club.example.org") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    server = await asyncio.start_server(site.talk, "127.0.0.1", 0)
    site.port = server.sockets[0].getsockname()[1]
    yield site
    server.close()


async def resolve(host: str, port: int) -> Sequence[str]:
    return ["10.1.2.3"] if host.startswith("inside.") else ["127.0.0.1"]


@pytest.fixture
async def links() -> AsyncIterator[Links]:
    links = Links(Egress(LOOPBACK, plain_http=True, resolver=resolve, timeout_s=5.0))
    yield links
    await links.close()


# --- the page


async def test_a_page_says_what_it_is_and_is_asked_once(site: Site, links: Links) -> None:
    url = site.at("/club")
    expected = LinkPreview(url, "Riverside & friends", "Padel > tennis, all day", "Riverside · club.example.org")
    assert await links.look([url]) == [expected]
    assert await links.look([url]) == [expected]
    assert site.asked == [("/club", f"club.example.org:{site.port}")]


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (answer(b"<title>Plain</title>"), "Plain"),
        (answer("<title>قریب</title>".encode()), "قریب"),
        (answer("<meta charset=iso-8859-1><title>Ol\xe1</title>".encode("latin-1"), "text/html"), "Olá"),
        (answer(b"<title>a\xe2\x80\xaeb\x07 c</title>"), "ab c"),
        (answer(b"<title>" + b"x" * 1_000 + b"</title>"), "x" * 199 + "…"),
        (answer(b"<title>&lt;b&gt;bold</title>"), "<b>bold"),
        (answer(b"<title>Sheet</title>", "application/pdf"), None),
        (answer(b'{"title": 1}', "application/json"), None),
        (answer(b"<title>Packed</title>", more="Content-Encoding: gzip\r\n"), None),
        (answer(b"<title>Gone</title>", status="410 Gone"), None),
        (answer(b"<p>Nothing</p>"), None),
        (b"garbage\r\n\r\n", None),
    ],
)
async def test_only_a_pages_own_visible_words_are_taken(site: Site, links: Links, page: bytes, title: str | None) -> None:
    site.pages["/page"] = page
    assert [p.title for p in await links.look([site.at("/page")])] == ([title] if title else [])
    assert [path for path, _ in site.asked] == ["/page"]


async def test_an_endless_page_is_left_and_a_silent_one_is_not_waited_for(site: Site) -> None:
    links = Links(Egress(LOOPBACK, plain_http=True, resolver=resolve, timeout_s=5.0))
    assert [p.title for p in await links.look([site.at("/endless")])] == ["Long"]
    async with asyncio.timeout(20):
        await site.gone.wait()
    assert site.written < 40 * MAX_BYTES, "what the machine's buffers hold, no more"
    await links.close()
    hasty = Links(Egress(LOOPBACK, plain_http=True, resolver=resolve, timeout_s=0.2))
    async with asyncio.timeout(20):
        assert await hasty.look([site.at("/silent")]) == []
    assert site.asked[-1][0] == "/silent"
    await hasty.close()


async def test_redirects_are_followed_a_few_times_and_judged_each_time(site: Site, links: Links) -> None:
    def leads(path: str, to: str) -> None:
        site.pages[path] = answer(b"", status="302 Found", more=f"Location: {to}\r\n")

    leads("/moved", "/club")
    leads("/inside", site.at("/club", "inside.example.org"))
    leads("/number", f"http://10.0.0.8:{site.port}/club")
    leads("/file", "file:///etc/passwd")
    leads("/round", "/round")
    assert [p.title for p in await links.look([site.at("/moved")])] == ["Riverside & friends"]
    for path in ("/inside", "/number", "/file"):
        asked = len(site.asked)
        assert await links.look([site.at(path)]) == []
        assert [p for p, _ in site.asked[asked:]] == [path], "where it leads was never asked"
    asked = len(site.asked)
    assert await links.look([site.at("/round")]) == []
    assert len(site.asked) - asked == 1 + module.REDIRECTS


async def test_addresses_inside_are_never_asked_and_plain_http_is_not_for_the_house(site: Site, links: Links) -> None:
    inside = [site.at("/club", host) for host in ("inside.example.org", "10.0.0.8", "[::1]")]
    assert await links.look(inside) == []
    house = Links(Egress(LOOPBACK, resolver=resolve))
    assert await house.look([site.at("/club")]) == []
    strict = Links(Egress(plain_http=True, resolver=resolve))
    assert await strict.look([site.at("/club")]) == []
    assert site.asked == []
    assert await links.look([site.at("/club")]), "the control"
    await house.close()
    await strict.close()


async def test_a_site_is_not_asked_without_end(site: Site, links: Links) -> None:
    for n in range(module.HOST_PER_MIN + 3):
        await links.look([site.at(f"/{n}")])
    assert len(site.asked) == module.HOST_PER_MIN
    assert await links.look([site.at("/club", "other.example.org")]), "another site is"


def test_links_that_may_hold_a_secret_are_never_asked_for() -> None:
    for url in (
        "https://club.example/reset?token=abc",
        "https://club.example/x?a=1&Signature=zz",
        "https://ada:pw@club.example/",
        "https://docs.example/d/1BxiMVs0XRA5nFMdKvBdBZjgmUUqptlbs74OgvE2upms/edit",
        "https://meet.example/j/9f86d081884c7d659a2feaa0c55ad015",
    ):
        assert carries_secret(url), url
    for url in (
        "https://club.example/",
        "https://video.example/watch?v=dQw4w9WgXcQ&t=30",
        "https://news.example/2026/11/21/how-two-friends-from-karachi-won-the-padel-cup-2026",
    ):
        assert not carries_secret(url), url
    text = "https://club.example/a?b=1&c=2#part https://club.example/login?token=x <https://club.example/a?b=1&c=2> `https://code.example`"
    assert worth_asking(render(text).html) == ["https://club.example/a?b=1&c=2"]
    many = " ".join(f"https://club.example/{n}" for n in range(9))
    assert len(worth_asking(render(many).html)) == 3


# --- the message


URL = "https://club.example/open"
SHOWN = LinkPreview(URL, "Open day", "", "club.example")


async def wanted(admin_url: str, message_id: object) -> list[LookBehind]:
    """The jobs that wait for a message."""
    admin = await asyncpg.connect(admin_url)
    try:
        rows = await admin.fetch(
            "select convert_from(payload, 'utf8') as text from kernel.job where entrypoint = 'chat.look_behind'"
            " and position($1 in convert_from(payload, 'utf8')) > 0",
            str(message_id),
        )
    finally:
        await admin.close()
    found = [msgspec.json.decode(row["text"]) for row in rows]
    return [msgspec.convert(job.get("payload", job), LookBehind) for job in found]


async def test_a_preview_comes_is_told_follows_an_edit_and_goes_for_good(town: Town, admin_url: str) -> None:
    town.links.found[URL] = SHOWN
    room = await town.group(town.ben, town.cleo)
    message = await town.say(town.ben, room, f"Come: {URL}")
    (job,) = await wanted(admin_url, message.id)
    assert job.urls == [URL]
    assert await wanted(admin_url, (await town.say(town.ben, room, "Come")).id) == []
    for _ in range(2):
        await town.chat.look_behind(HOUSE, job)
    seen = next(m for m in (await town.chat.history(town.cleo, room, HistoryQuery())).items if m.id == message.id)
    assert seen.previews == [SHOWN]
    told = [e for e in town.wire.numbered(room) if e.type == "message.previewed"]
    assert len(told) == 1, "once"

    edited = await town.chat.edit(town.ben, message.id, MessageEdit(f"Do come: {URL}"))
    assert edited.previews == [SHOWN]
    with pytest.raises(Forbidden):
        await town.chat.take_previews_away(town.cleo, message.id)
    with pytest.raises(NotFound):
        await town.chat.take_previews_away(town.dan, message.id)
    await town.chat.take_previews_away(town.ben, message.id)
    await town.chat.look_behind(HOUSE, job)
    (after,) = await town.chat.some(town.cleo, room, [message.id])
    assert after.previews == []
    assert len(await wanted(admin_url, message.id)) == 1, "nothing more was asked for"


async def test_what_came_in_the_meantime_decides(town: Town, admin_url: str) -> None:
    town.links.found[URL] = SHOWN
    room = await town.group(town.ben)
    gone, changed = [await town.say(town.ben, room, f"{n} {URL}") for n in range(2)]
    await town.chat.delete(town.ben, gone.id)
    await town.chat.edit(town.ben, changed.id, MessageEdit("Never mind"))
    for message in (gone, changed):
        for job in await wanted(admin_url, message.id):
            await town.chat.look_behind(HOUSE, job)
    assert [m.previews for m in await town.chat.some(town.ben, room, [gone.id, changed.id])] == [[], []]


async def test_an_organisation_that_wants_no_previews_has_none_in_its_rooms(town: Town, admin_url: str) -> None:
    town.links.found[URL] = SHOWN
    org, other = uuid4(), uuid4()
    off = (await town.chat.create_channel(town.ada, org, NewChannel("News"))).id
    on = (await town.chat.create_channel(town.ada, other, NewChannel("News"))).id
    before = await town.say(town.ada, off, URL)
    await town.chat.set_house_rule(town.ada, org, HouseRule(previews=False))
    assert await town.chat.house_rule(town.ada, org) == HouseRule(previews=False)
    assert await town.chat.house_rule(town.ada, other) == HouseRule(previews=True)
    (job,) = await wanted(admin_url, before.id)
    await town.chat.look_behind(HOUSE, job)
    await town.chat.add(town.ben, off, NewMembers())
    after = await town.say(town.ben, off, URL)
    assert await wanted(admin_url, after.id) == []
    assert [m.previews for m in await town.chat.some(town.ben, off, [before.id, after.id])] == [[], []]
    kept = await town.say(town.ada, on, URL)
    assert len(await wanted(admin_url, kept.id)) == 1, "the control"
