"""Everything that the house keeps of a person, as one ZIP archive that is made while it is sent (PE-8).

Whoever is signed in and knows the password gets a link. It opens for an hour, and for that person alone: an address that
leaked opens nothing without the session, and a session that was left open opens nothing without the password.

What the archive holds is asked of each module portion by portion, as that person; the next portion is asked for when the
last one is on its way. What a module does not answer breaks the archive off, so that nobody takes a part for the whole.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Container, Sequence
from contextlib import aclosing
from datetime import UTC, datetime, timedelta
from itertools import count
from uuid import UUID

import msgspec
import structlog
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Internal, Invalid, NotFound, Problem, Unauthenticated, Unavailable
from forecourt.kernel.faults import as_problem
from forecourt.kernel.packing import Packer
from forecourt.kernel.records import PersonalRecords, Portion
from forecourt.kernel.signing import Signer
from forecourt.modules.identity.contract import BadCredentials, Identity
from forecourt.modules.media.contract import FILES, FileRecord, Media, MediaRecords
from forecourt.modules.people.contract import ExportLinkInvalid, People

log = structlog.get_logger("forecourt.people")

LINK_FOR = timedelta(hours=1)
UNDER_WAY = 20
"""Archives that one process sends at once: of each, a portion is in memory."""
PACKED_AT_ONCE = 2
"""Portions that one process compresses at once."""

BEGINS, FOLLOWS, ENDED, EMPTY = b"[\n", b",\n", b"\n]\n", b"[]\n"
"""Of a JSON array with a record on each line."""

Readme = Callable[[str, datetime, dict[str, int]], str]
"""What a reader is told first, in a language: when this was taken, and how many records are in which file."""


class ExportLink(Struct, frozen=True):
    """Where a person's data are fetched. A path of this site, for the person who asked alone."""

    url: str
    expires_at: datetime


class Exporting:
    def __init__(
        self,
        clock: Clock,
        people: People,
        identity: Identity,
        media: Media,
        sources: Sequence[PersonalRecords],
        files: MediaRecords,
        secret: bytes,
        readme: Readme,
    ) -> None:
        """`sources` in the order in which they are asked, those of media last: `files`, whose bytes are fetched as well."""
        self._clock = clock
        self._people = people
        self._identity = identity
        self._media = media
        self._sources = [*sources, files]
        self._files = files
        self._links = Signer(secret, "people exports")
        self._readme = readme
        self._packing = asyncio.Semaphore(PACKED_AT_ONCE)
        self._under_way = 0

    # --- the link ---

    async def ask(self, ctx: Context, password: str) -> ExportLink:
        """Raises Invalid (at `password`), LockedOut, Unauthenticated. A wrong password counts like a failed log-in."""
        me = _person(ctx)
        try:
            await self._identity.proves(ctx, password)
        except BadCredentials:
            raise Invalid.field("password", "is not your password") from None
        return self._link(me, int((self._clock.now() + LINK_FOR).timestamp()))

    def link(self, ctx: Context, expires: int | None, signature: str | None) -> ExportLink | None:
        """The link that was given to `ctx`'s person before; None when it opens nothing, or nothing any more."""
        me = _person(ctx)
        if expires is None or not self._links.opens(str(me), expires, signature, self._clock.now()):
            return None
        return self._link(me, expires)

    def _link(self, me: UUID, expires: int) -> ExportLink:
        signature = self._links.sign(str(me), expires)
        return ExportLink(f"/v1/me/export?expires={expires}&signature={signature}", datetime.fromtimestamp(expires, UTC))

    # --- the archive ---

    async def open(self, ctx: Context, expires: int | None, signature: str | None) -> AsyncGenerator[bytes]:
        """The archive of `ctx`'s person. Raises ExportLinkInvalid, and Unavailable while too many are under way."""
        if self.link(ctx, expires, signature) is None:
            raise ExportLinkInvalid
        if self._under_way >= UNDER_WAY:
            raise Unavailable("many people are downloading their data; try again in some minutes")
        chosen = (await self._people.my_preferences(ctx)).locale
        return self._archive(ctx.within(None), chosen or ctx.language)

    async def _archive(self, ctx: Context, language: str) -> AsyncGenerator[bytes]:
        packing = _Packing(self._clock.now(), self._packing)
        self._under_way += 1
        try:
            async with aclosing(self._made(packing, ctx, language)) as chunks:
                async for chunk in chunks:
                    if chunk:
                        yield chunk
        except Exception as e:
            log.error("export_broke_off", error=e.code if isinstance(e, Problem) else as_problem(e).code)
            raise
        finally:
            self._under_way -= 1
            await packing.let_go()

    async def _made(self, packing: _Packing, ctx: Context, language: str) -> AsyncGenerator[bytes]:
        counted: dict[str, int] = {}
        for source in self._sources:
            async with aclosing(_recorded(packing, _portions(source, ctx), counted)) as chunks:
                async for chunk in chunks:
                    yield chunk
        async with aclosing(self._fetched(packing, ctx)) as chunks:
            async for chunk in chunks:
                yield chunk
        yield await packing.whole("README.txt", self._readme(language, self._clock.now(), counted).encode())
        yield packing.close()

    async def _fetched(self, packing: _Packing, ctx: Context) -> AsyncGenerator[bytes]:
        """The bytes of every file that the person holds."""
        missing: list[str] = []
        async with aclosing(_portions(self._files, ctx)) as portions:
            async for portion in portions:
                for record in portion.records if portion.kind == FILES else ():
                    file = msgspec.json.decode(record, type=FileRecord)
                    async with aclosing(self._file(packing, ctx, file, missing)) as chunks:
                        async for chunk in chunks:
                            yield chunk
        if missing:
            yield await packing.whole("missing-files.json", msgspec.json.encode(missing))

    async def _file(self, packing: _Packing, ctx: Context, file: FileRecord, missing: list[str]) -> AsyncGenerator[bytes]:
        try:
            piece = await self._media.piece(ctx, file.id, 0)
        except NotFound:
            # Its owner let it go since it was listed. The rest is whole without it, and the archive says what is missing.
            missing.append(file.saved_as)
            return
        packing.begin(file.saved_as)
        sent = 0
        while piece:
            sent += len(piece)
            yield await packing.write([piece])
            piece = await self._media.piece(ctx, file.id, sent)
        if sent != file.bytes:
            raise Internal("a file ended before its end")
        packing.end()


async def _portions(source: PersonalRecords, ctx: Context) -> AsyncGenerator[Portion]:
    """Everything that a module tells. Raises Internal for one that leads nowhere."""
    after: str | None = None
    while True:
        portion = await source.records(ctx, after)
        yield portion
        if portion.after is None:
            return
        if portion.after == after:
            raise Internal(f"records of the kind {portion.kind} begin again where they began")
        after = portion.after


async def _recorded(packing: _Packing, portions: AsyncGenerator[Portion], counted: dict[str, int]) -> AsyncGenerator[bytes]:
    """A file for each kind, a JSON array; `counted` learns how many records each has."""
    kind = name = ""
    async with aclosing(portions):
        async for portion in portions:
            if portion.kind != kind:
                if kind:
                    yield await packing.write([ENDED if counted[name] else EMPTY])
                    packing.end()
                kind, name = portion.kind, _name_of(portion.kind, counted)
                counted[name] = 0
                packing.begin(name)
            lines = [
                part
                for place, record in enumerate(portion.records, counted[name])
                for part in (FOLLOWS if place else BEGINS, record)
            ]
            counted[name] += len(portion.records)
            yield await packing.write(lines)
    if kind:
        yield await packing.write([ENDED if counted[name] else EMPTY])
        packing.end()


def _name_of(kind: str, taken: Container[str]) -> str:
    """`bookings.json`; another name when two modules call something alike."""
    numbered = (f"{kind}.json" if n == 1 else f"{kind}-{n}.json" for n in count(1))
    return next(name for name in numbered if name not in taken)


class _Packing:
    """One archive, packed in threads in its turn."""

    def __init__(self, at: datetime, turns: asyncio.Semaphore) -> None:
        self._packer = Packer(at)
        self._turns = turns
        self._at_work: asyncio.Future[None] | None = None

    def begin(self, name: str) -> None:
        self._packer.begin(name)

    def end(self) -> None:
        self._packer.end()

    async def write(self, parts: list[bytes]) -> bytes:
        """What is ready to be sent then."""
        async with self._turns:
            self._at_work = asyncio.ensure_future(asyncio.to_thread(self._packer.write, *parts))
            await asyncio.shield(self._at_work)
        return self._packer.take()

    async def whole(self, name: str, content: bytes) -> bytes:
        self.begin(name)
        ready = await self.write([content])
        self.end()
        return ready

    def close(self) -> bytes:
        return self._packer.close()

    async def let_go(self) -> None:
        """Also in the middle: whoever was to read may have left while a thread was at work."""
        if self._at_work is not None:
            await asyncio.wait([self._at_work])
        self._packer.abandon()


def _person(ctx: Context) -> UUID:
    if ctx.account_id is None:
        raise Unauthenticated
    return ctx.account_id
