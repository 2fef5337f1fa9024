"""What all use cases stand on: holders, cards, and the transactions that are about a holder."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from typing import TypeVar
from uuid import UUID

import structlog
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.db import ModuleDatabase, Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.jobs import JobKind, enqueue
from forecourt.kernel.signing import Signer
from forecourt.modules.media import queries, rules
from forecourt.modules.media.contract import MAX_CARDS, Audience, MediaCard, Variant
from forecourt.modules.media.queries import FileRow, Place
from forecourt.modules.media.store import Store

log = structlog.get_logger("forecourt.media")

T = TypeVar("T")

UNATTACHED_FOR = timedelta(days=1)
"""So long an upload waits for somebody to attach it."""
WRITING_FOR = timedelta(hours=1)
"""Objects whose row has not been committed after so long never get one."""
MAX_ALT_CHARS = 500


class Sweep(Struct, frozen=True):
    """Nothing to say: what is doomed is written down."""


class Expire(Struct, frozen=True):
    """An upload, and who holds it."""

    id: UUID
    holder_id: UUID
    holder_kind: str


class Forget(Struct, frozen=True):
    """Whose files go."""

    account_id: UUID


SWEEP = JobKind("media.sweep", Sweep, timeout_s=120, attempts=5)
EXPIRE = JobKind("media.expire", Expire, timeout_s=30, attempts=8)
FORGET = JobKind("media.forget", Forget, timeout_s=300, attempts=10)
"""Enqueued with the news of an erased account. Another try goes on where this one was."""


class Quotas(Struct, frozen=True):
    """Bytes that are kept at most, variants included."""

    account_bytes: int
    organisation_bytes: int


class Holder(Struct, frozen=True):
    """Whom a file counts for: an organisation or a person."""

    id: UUID
    kind: str

    @property
    def organisation_id(self) -> UUID | None:
        return self.id if self.kind == "organisation" else None

    @property
    def account_id(self) -> UUID | None:
        return self.id if self.kind == "account" else None


class Base:
    def __init__(self, db: ModuleDatabase, clock: Clock, store: Store, quotas: Quotas, secret: bytes) -> None:
        self._db = db
        self._clock = clock
        self._store = store
        self._quotas = quotas
        self._links = Signer(secret, "media addresses")
        self._makers = ThreadPoolExecutor(2, thread_name_prefix="media")
        self._large = asyncio.Lock()

    def close(self) -> None:
        """Lets the threads that draw images end."""
        self._makers.shutdown(wait=False)

    async def _in_thread(self, work: Callable[..., T], *args: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._makers, work, *args)

    def _about(self, ctx: Context, holder: Holder) -> About:
        return About(self._db, ctx, holder)

    async def _end_upload(self, tx: Tx, holder: Holder, id: UUID) -> bool:
        """An upload in parts is over, whatever came of it, and its parts go. False when it was over already."""
        if not await queries.end_upload(tx, holder.id, id):
            return False
        await queries.doom(tx, holder.id, id, self._clock.now())
        enqueue(tx, SWEEP, Sweep(), at=self._clock.now(), key="now")
        return True

    def _limit(self, holder: Holder) -> int:
        return self._quotas.account_bytes if holder.account_id else self._quotas.organisation_bytes

    async def _places(self, ctx: Context, ids: list[UUID]) -> list[tuple[Holder, list[UUID]]]:
        """Who holds which of these files. Raises Invalid above 200."""
        if len(ids) > MAX_CARDS:
            raise Invalid.field("ids", f"at most {MAX_CARDS} at once")
        if not ids:
            return []
        async with self._db.read(ctx) as tx:
            return by_holder(await queries.locate(tx, list(dict.fromkeys(ids))))

    async def _found(self, ctx: Context, ids: list[UUID]) -> dict[UUID, FileRow]:
        """The files of these ids, whoever holds them. Raises Invalid above 200."""
        found: dict[UUID, FileRow] = {}
        places = await self._places(ctx, ids)
        if places:
            async with self._db.read(ctx) as tx:
                for holder, held in places:
                    await tx.become(self._db.role, holder.organisation_id, holder.account_id)
                    found |= {row.id: row for row in await queries.files(tx, holder.id, held)}
        return found

    @staticmethod
    def _is_mine(ctx: Context, row: FileRow) -> bool:
        """Whether the person holds the file, or sent it and nobody has attached it yet."""
        me = ctx.account_id
        return me is not None and (row.holder_id == me or (row.owner is None and row.sent_by == me))

    def _card(self, row: FileRow) -> MediaCard:
        expires_at: datetime | None = None
        query = f"v={version_of(row)}"
        if row.audience is not Audience.PUBLIC:
            expires_at = rules.expiry(self._clock.now())
            expires = int(expires_at.timestamp())
            query = f"expires={expires}&signature={self._links.sign(str(row.id), expires)}"
        url = f"/v1/media/{row.id}?{query}"
        return MediaCard(
            id=row.id,
            kind=row.kind,
            type=row.type,
            name=row.name,
            bytes=row.bytes,
            width=row.width,
            height=row.height,
            blur=row.blur,
            alt=row.alt,
            url=url,
            variants=[Variant(v.width, v.height, v.bytes, f"{url}&width={v.width}") for v in row.variants],
            expires_at=expires_at,
            owner=row.owner,
        )

    async def _remove(self, tx: Tx, holder: Holder, rows: list[FileRow]) -> None:
        now = self._clock.now()
        await queries.remove(tx, holder.id, rows, now)
        enqueue(tx, SWEEP, Sweep(), at=now, key="now")


class About:
    """A transaction about one holder, whoever acts."""

    def __init__(self, db: ModuleDatabase, ctx: Context, holder: Holder) -> None:
        self._db = db
        self._holder = holder
        self._tx = db.tx(ctx)

    async def __aenter__(self) -> Tx:
        tx = await self._tx.__aenter__()
        try:
            await tx.become(self._db.role, self._holder.organisation_id, self._holder.account_id)
        except BaseException as e:
            await self._tx.__aexit__(type(e), e, e.__traceback__)
            raise
        return tx

    async def __aexit__(self, *error: object) -> None:
        await self._tx.__aexit__(*error)  # type: ignore[arg-type]


def object_key(holder_id: UUID, content_id: UUID, name: str) -> str:
    return f"{holder_id}/{content_id}/{name}"


def by_holder(places: Sequence[Place]) -> list[tuple[Holder, list[UUID]]]:
    """Always in the same order, so that two who lock the same files do not wait for each other."""
    found: dict[Holder, list[UUID]] = {}
    for place in places:
        found.setdefault(Holder(place.holder_id, place.holder_kind), []).append(place.id)
    return sorted(found.items(), key=lambda place: place[0].id)


def version_of(row: FileRow) -> str:
    return row.digest.hex()[:16]
