"""A front desk on the real engines: people, keys and cookies of the real identity, and operations that only tests need."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import httpx
import msgspec
from msgspec import Meta
from tests.modules.identity.conftest import ISSUER, PASSWORD, STRANGER
from tests.modules.identity.conftest import World as Accounts

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Conflict
from forecourt.kernel.http.dispatch import SESSION_COOKIE, VISIT_COOKIE, Door
from forecourt.kernel.http.gate import Gate
from forecourt.kernel.http.operation import (
    ADMIN,
    CONFIRMED,
    PUBLIC,
    Api,
    By,
    EventStream,
    Html,
    Keyed,
    Limit,
    Raw,
    Redirect,
    Reply,
    Request,
    Visit,
    action,
    delete,
    file,
    get,
    page,
    post,
    put,
    staff,
)
from forecourt.kernel.http.site import front, site
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.limits import Limiter
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.web.assets import Assets
from forecourt.kernel.web.render import Pages
from forecourt.kernel.web.surroundings import Surroundings
from forecourt.layout import template_folders

COOKIE = "a-browser-that-has-been-here"


class Room(msgspec.Struct, frozen=True):
    name: str
    version: int


class Seen(msgspec.Struct, frozen=True):
    """What an operation was told about the one who asks."""

    account: UUID | None
    key: UUID | None
    organisation: UUID | None
    permissions: list[str]
    confirmed: bool
    effect: UUID | None = None


def seen(ctx: Context) -> Seen:
    actor = ctx.actor
    return Seen(actor.account_id, actor.key_id, ctx.organisation_id, sorted(ctx.permissions), actor.confirmed, ctx.idempotency_id)


class Wish(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    name: Annotated[str, Meta(max_length=100)]


class Found(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    q: str = ""


class RoomFull(Conflict):
    code, title = "room_full_in_tests", "The room is full"


class Rooms(Api):
    """Counts how often work was done, and fails on order."""

    tag = "Rooms"

    def __init__(self) -> None:
        self.done: list[UUID | None] = []
        self.failures: list[BaseException] = []
        self.closed = asyncio.Event()

    @get("/v1/room", access=PUBLIC)
    async def room(self, ctx: Context) -> Room:
        """A thing with a version."""
        return Room("Blue", 3)

    @put("/v1/room", access=PUBLIC)
    async def repaint(self, ctx: Context, body: Wish, if_match: int | None) -> Reply[Room]:
        """The version that was named comes back."""
        return Reply(Room(body.name, if_match or 0), status=202, headers={"X-Painter": "Ada"})

    @delete("/v1/room", access=PUBLIC)
    async def demolish(self, ctx: Context) -> None:
        """Nothing comes back."""

    @get("/v1/search", access=PUBLIC)
    async def search(self, query: Found) -> list[str]:
        """What was asked."""
        return [query.q]

    @get("/v1/raw", access=PUBLIC)
    async def raw(self, request: Request) -> Raw:
        """Bytes; takes the request and so any parameter."""
        return Raw(request.scope["query_string"], "text/plain", status=203, headers={"X-Raw": "1"}, cookies=["a=b"])

    @get("/v1/me")
    async def me(self, ctx: Context) -> Seen:
        """Whoever is signed in."""
        return seen(ctx)

    @post("/v1/me")
    async def change_me(self, ctx: Context) -> Seen:
        """The same, as a change."""
        return seen(ctx)

    @get("/v1/anyone", access=PUBLIC)
    async def anyone(self, ctx: Context) -> Seen:
        """Nobody too."""
        return seen(ctx)

    @get("/v1/confirmed", access=CONFIRMED)
    async def confirmed(self, ctx: Context) -> Seen:
        """Whose address is verified."""
        return seen(ctx)

    @get("/v1/admin", access=ADMIN)
    async def admin(self, ctx: Context) -> Seen:
        """Administrators."""
        return seen(ctx)

    @get("/v1/orgs/{org_id}/rooms", access=staff("venues.edit"))
    async def rooms(self, ctx: Context, org_id: UUID) -> Seen:
        """Staff who may edit."""
        return seen(ctx)

    @get("/v1/clubs/{org_id}/rooms", access=staff("venues.edit"))
    async def rooms_by_name(self, ctx: Context, org_id: str) -> Seen:
        """Staff, with an organisation that is no id."""
        return seen(ctx)

    @get("/v1/named/{name}", access=PUBLIC)
    async def named(self, name: str) -> str:
        """What the path says."""
        return name

    @post("/v1/work", status=201, access=PUBLIC, keyed=Keyed.YES, problems=(RoomFull,))
    async def work(self, ctx: Context, body: Wish) -> Seen:
        """Something that must happen once."""
        self.done.append(ctx.idempotency_id)
        if self.failures:
            raise self.failures.pop()
        return seen(ctx)

    @post("/v1/endless", access=PUBLIC, keyed=Keyed.YES)
    async def endless(self, ctx: Context) -> EventStream:
        """A stream under a key, which cannot be."""
        return EventStream(_hum())

    @post("/v1/small", access=PUBLIC, max_body_bytes=1024)
    async def small(self, ctx: Context, request: Request) -> int:
        """How many bytes came."""
        return len(request.body)

    @get("/v1/rare", access=PUBLIC, limits=(Limit("2/hour", By.ADDRESS),))
    async def rare(self, ctx: Context) -> str:
        """Twice an hour from one address."""
        return "yes"

    @get("/v1/rare/mine", limits=(Limit("2/hour", By.ACCOUNT),))
    async def rarely_mine(self, ctx: Context) -> str:
        """Twice an hour by one account."""
        return "yes"

    @get("/v1/events", access=PUBLIC)
    async def events(self) -> EventStream:
        """Three, and then it is over."""

        async def three() -> AsyncIterator[bytes]:
            for n in range(3):
                yield b"data: %d\n\n" % n

        return EventStream(three())

    @get("/v1/hum", access=PUBLIC)
    async def hum(self) -> EventStream:
        """One event, and then nothing for ever."""

        async def forever() -> AsyncIterator[bytes]:
            try:
                yield b"data: hum\n\n"
                await asyncio.Event().wait()
            finally:
                self.closed.set()

        return EventStream(forever())

    @get("/v1/ticks", access=PUBLIC)
    async def ticks(self) -> EventStream:
        """From a source that has no end of its own to clean up."""
        return EventStream(Ticks())

    @file("/static/{name}")
    async def static(self, name: str) -> Raw:
        """The same for everyone."""
        return Raw(name.encode(), "text/plain")

    # --- pages ---

    @page("/show")
    async def show(self, visit: Visit) -> Html:
        """The visit, as JSON in a page."""
        return Html(msgspec.json.encode(visit).decode(), headers={"X-Page": "1"}, cookies=["seen=1"])

    @page("/long")
    async def long(self, query: Found) -> Html:
        """Long enough to be squeezed; may be kept."""
        return Html("word " * 1000, headers={"Cache-Control": "private"})

    @page("/named/{name}")
    async def named_page(self, name: str) -> Html:
        """What the path says."""
        return Html(name)

    @page("/gone")
    async def gone(self, visit: Visit) -> Html:
        """A page that says so itself."""
        return Html("gone", status=410)

    @page("/mine", access=CONFIRMED)
    async def mine(self, visit: Visit) -> Html:
        """For a person with a verified address."""
        return Html(str(visit.ctx.account_id))

    @page("/orgs/{org_id}/console", access=staff("venues.edit"))
    async def console(self, visit: Visit, org_id: UUID) -> Html:
        """For staff."""
        return Html(str(visit.ctx.organisation_id))

    @action("/act", access=PUBLIC, limits=(Limit("1000/hour", By.ADDRESS),))
    async def act(self, visit: Visit, form: Wish) -> Redirect:
        """Goes where the form says."""
        return Redirect(form.name, toast="Done", undo="/undo", cookies=["a=b"], headers={"X-Act": "1"})

    @action("/plain", access=PUBLIC)
    async def plain(self) -> Redirect:
        """Takes nothing and says nothing."""
        return Redirect("/show")

    @action("/mine", limits=(Limit("1/hour", By.ACCOUNT),))
    async def act_mine(self, visit: Visit) -> Redirect:
        """Once an hour."""
        return Redirect("/mine")

    @page("/broken")
    async def broken(self, visit: Visit) -> Html:
        """Fails on order."""
        raise self.failures.pop()


class Ticks:
    def __init__(self) -> None:
        self.left = 2

    def __aiter__(self) -> Ticks:
        return self

    async def __anext__(self) -> bytes:
        if not self.left:
            raise StopAsyncIteration
        self.left -= 1
        return b"tick\n\n"


async def _hum() -> AsyncIterator[bytes]:
    yield b""


class Desk:
    """The site of `Rooms`, reached as from outside."""

    def __init__(self, db: Database, database_url: str, valkey_url: str, *, production: bool = False) -> None:
        self.accounts = Accounts(db, database_url)
        self.clock = FixedClock(self.accounts.clock.now())
        self.gate = Gate(self.accounts.identity)
        self.limiter = Limiter(valkey_url, Metrics())
        surroundings = Surroundings(Pages(Assets(), template_folders(), reload=False), "dev", self.clock)
        self.door = Door(
            self.gate,
            Idempotency(db.module("kernel"), self.clock),
            self.limiter,
            secret=b"a secret of these tests",
            public_url=ISSUER,
            limit_addresses=production,
            secure_cookies=production,
            problem_page=surroundings.problem,
        )
        self.rooms = Rooms()
        inside = site(self.rooms.operations(), self.door)
        self.app: Any = front(inside, Metrics(), origins=[], proxies=["127.0.0.1"], strict_transport=False)
        transport = httpx.ASGITransport(app=self.app)
        self.client = httpx.AsyncClient(transport=transport, base_url=ISSUER, timeout=30)

    async def open(self) -> Desk:
        await self.gate.refresh()
        return self

    async def close(self) -> None:
        await self.client.aclose()
        await self.limiter.close()

    async def browser(self) -> str:
        """The session cookie of somebody new whose address is verified."""
        email = (await self.accounts.confirmed()).account.email
        return (await self.accounts.identity.persons.start_browser_session(STRANGER, email, PASSWORD))[0]

    async def api_key(self, *permissions: str, days: int = 1) -> tuple[UUID, str]:
        """An organisation, and a key to it."""
        _, boss = await self.accounts.owner()
        assert boss.organisation_id is not None
        until = self.accounts.clock.now() + timedelta(days=days)
        _, secret = await self.accounts.identity.staff.make_key(boss, "tests", list(permissions), until)
        return boss.organisation_id, secret

    def cookies(self, session: str = "", **more: str) -> dict[str, str]:
        """Headers of a browser that is signed in by `session`."""
        pairs = {VISIT_COOKIE: COOKIE} | ({SESSION_COOKIE: session} if session else {}) | more
        return {"Cookie": "; ".join(f"{k}={v}" for k, v in pairs.items())}

    @property
    def csrf(self) -> str:
        """Of a browser in which nobody is signed in."""
        return self.csrf_of("")

    def csrf_of(self, session: str) -> str:
        """Of the browser that is signed in by `session`."""
        return self.door.csrf_for({VISIT_COOKIE: COOKIE, SESSION_COOKIE: session})

    async def signed_in(self) -> dict[str, str]:
        """Headers of a browser of somebody new, with the token of its pages."""
        session = await self.browser()
        return self.cookies(session) | {"X-CSRF-Token": self.csrf_of(session)}

    async def raw(
        self,
        method: str,
        path: str,
        *parts: dict[str, Any],
        headers: list[tuple[bytes, bytes]] | None = None,
        then: Literal["leave", "silence"] = "leave",
    ) -> Any:
        """A request message by message, as a server hands it on, and what the client does then; all that is sent back."""
        sent: list[dict[str, Any]] = []
        queue = list(parts)

        async def receive() -> dict[str, Any]:
            if not queue and then == "silence":
                await asyncio.Event().wait()
            return queue.pop(0) if queue else {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope: dict[str, Any] = {
            "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": b"",
            "headers": headers or [], "client": ("127.0.0.1", 1), "server": ("house.test", 80), "scheme": "http",
            "http_version": "1.1", "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        await self.app(scope, receive, send)
        return sent
