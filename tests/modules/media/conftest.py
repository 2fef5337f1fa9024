"""Two people, two organisations, and a store in a folder, on the real database."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import asyncpg
import pytest
from tests.modules.media import samples

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.ids import new_id
from forecourt.modules.media.contract import Audience, MediaCard, MediaOwner
from forecourt.modules.media.service import Expire, MediaService, Opened, Quotas, Sent
from forecourt.modules.media.store import Folder, Store

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
SECRET = b"a secret of these tests"
PLENTY = Quotas(account_bytes=50 * 1024 * 1024, organisation_bytes=50 * 1024 * 1024)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


def person() -> Context:
    return Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id(), confirmed=True))


def staff_of(org: UUID) -> Context:
    return person().within(org)


class Album:
    """The service with a folder that a test can look into."""

    def __init__(self, db: Database, root: Path, store: Store | None = None, quotas: Quotas = PLENTY) -> None:
        self.db = db
        self.root = root
        self.clock = FixedClock(NOW)
        self.media = MediaService(db.module("media"), self.clock, store or Folder(root), quotas, SECRET)
        self.ada, self.eve = person(), person()
        self.org = new_id()
        self.staff = staff_of(self.org)
        self.venue = MediaOwner("venues", "venue", new_id())
        self.message = MediaOwner("chat", "message", new_id())

    async def send(self, content: bytes | None = None, ctx: Context | None = None, name: str = "", alt: str = "") -> MediaCard:
        """A person's file; a small picture unless told otherwise."""
        sent = Sent(io.BytesIO(samples.picture() if content is None else content), name, alt)
        return await self.media.take_for_person(ctx or self.ada, sent)

    async def send_for_organisation(self, content: bytes | None = None, ctx: Context | None = None) -> MediaCard:
        sent = Sent(io.BytesIO(samples.picture() if content is None else content))
        return await self.media.take_for_organisation(ctx or self.staff, sent)

    async def photo(self, content: bytes | None = None) -> MediaCard:
        """A public one of the organisation's venue."""
        card = await self.send_for_organisation(content)
        (shown,) = await self.media.attach(self.staff, [card.id], self.venue, Audience.PUBLIC)
        return shown

    async def attachment(self, content: bytes | None = None) -> MediaCard:
        """A private one of a message of Ada's."""
        card = await self.send(content)
        (shown,) = await self.media.attach(self.ada, [card.id], self.message, Audience.PRIVATE)
        return shown

    async def expire(self, card: MediaCard, holder: UUID, kind: str = "account") -> None:
        await self.media.expire(service_context("media.expire"), Expire(card.id, holder, kind))

    async def sweep(self) -> int:
        return await self.media.sweep(service_context("media.sweep"))

    async def bytes_of(self, opened: Opened, start: int = 0, end: int | None = None) -> bytes:
        chunks = await self.media.read(opened, start, opened.bytes if end is None else end)
        return b"".join([chunk async for chunk in chunks])

    def objects(self) -> list[str]:
        """What lies in the folder, by key."""
        found = [p.relative_to(self.root) for p in self.root.rglob("*") if p.is_file()]
        return sorted(str(p) for p in found)


@pytest.fixture
async def admin(admin_url: str, database_url: str) -> AsyncIterator[asyncpg.Connection]:
    """A superuser's connection, which sees every row."""
    connection = await asyncpg.connect(admin_url)
    yield connection
    await connection.close()


@pytest.fixture
def album(db: Database, tmp_path: Path) -> Iterator[Album]:
    album = Album(db, tmp_path / "media")
    yield album
    album.media.close()
