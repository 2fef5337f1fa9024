"""`forecourt org export` and `import`: one organisation taken from an installation to another, and the proof that all of it came.

A file is gzip of sections, each a line of JSON, then pieces with their length before them and an empty one at the end, then a
line of JSON that says how many rows or bytes there were and their SHA-256. The last line holds the digest of all before it.
Rows are what PostgreSQL's COPY writes of them, ordered by key. Memory does not grow with what is moved.

Everything is read in one snapshot. Everything is written in one transaction, which ends only when the database, asked the same
questions, gives the same rows, counts and sums as the first one did. Files are written before it, as ones that are to be
removed in a day unless the transaction spares them.
"""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import os
import re
import tempfile
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, BinaryIO, Protocol, TypeVar
from uuid import UUID

import asyncpg
import msgspec

from forecourt.engines.process import EngineError
from forecourt.modules.media.contract import ORIGINAL
from forecourt.spread import TableFacts, in_order, tables

Connection = Any  # asyncpg.Connection[asyncpg.Record], whose stubs do not know all of COPY

FORMAT = "forecourt organisation 1"
_BEGINS = b'{"format":"forecourt organisation'
NAME_ONE = "Name the file that `forecourt org export` wrote."
MAX_PIECE_BYTES = 4 * 1024 * 1024
MAX_LINE_BYTES = 1024 * 1024
WRITING_FOR = timedelta(days=1)
MAX_NAMED = 20
"""People in whose way somebody stands, told at most."""

STAYS = {
    "kernel.event": "what was told here was told here; what it led to is in the rows",
    "kernel.dead_letter": "this installation's",
    "notifications.provider": "sealed with this installation's secret: to be entered again",
    "notifications.webhook_endpoint": "sealed with this installation's secret: to be entered again",
    "notifications.callback": "of providers that stay here",
    "media.doomed": "files that go",
    "media.upload": "files on their way in",
    "media.part": "files on their way in",
    "booking.invited_address": "follows from the invitations that come",
    "booking.guest": "follows from the bookings that come",
    "payments.customer": "follows from the wallets and payments that come",
    "chat.seat": "follows from the members of rooms who come",
    "chat.trace": "follows from what was said in rooms that come, and who is banned from them",
}
"""Tables with an organisation's rows that are not moved, and why. Those of persons and of the house are none."""

WHEREABOUTS = (
    "insert into booking.guest (account_id, organisation_id) select distinct b.account_id, b.organisation_id"
    " from booking.booking b where b.organisation_id = $1 and b.account_id is not null"
    " union select i.account_id, i.organisation_id from booking.invitation i where i.organisation_id = $1"
    " and i.account_id is not null on conflict do nothing",
    # Nobody is found by them here, but they are forgotten when their time has come.
    "insert into booking.invited_address (address, organisation_id, invitation_id, until)"
    " select i.address, i.organisation_id, i.id, b.ends_at from booking.invitation i join booking.booking b"
    " on b.organisation_id = i.organisation_id and b.id = i.booking_id where i.organisation_id = $1 and i.address is not null"
    " on conflict do nothing",
    "insert into payments.customer (account_id, organisation_id)"
    " select w.account_id, w.organisation_id from payments.wallet w where w.organisation_id = $1"
    " union select p.account_id, p.organisation_id from payments.payment p where p.organisation_id = $1"
    " and p.account_id is not null on conflict do nothing",
    "insert into chat.seat (account_id, room_id) select m.account_id, m.room_id from chat.member m"
    " join chat.room r on r.id = m.room_id where r.organisation_id = $1 on conflict do nothing",
    "insert into chat.trace (account_id, room_id) select f.account_id, f.room_id from chat.room r cross join lateral ("
    " select m.sender_id as account_id, m.room_id from chat.message m where m.room_id = r.id and m.deleted_at is null"
    " union select e.account_id, e.room_id from chat.reaction e where e.room_id = r.id"
    " union select n.account_id, n.room_id from chat.mention n where n.room_id = r.id"
    " union select b.account_id, b.room_id from chat.ban b where b.room_id = r.id) f"
    " where r.organisation_id = $1 and not exists"
    " (select from chat.member i where i.room_id = f.room_id and i.account_id = f.account_id) on conflict do nothing",
)
"""Where people and their rooms are found, once their rows have come (`kernel/whereabouts.py`)."""

OF_ROOMS = (
    "chat.position",
    "chat.member",
    "chat.ban",
    "chat.message",
    "chat.edit",
    "chat.reaction",
    "chat.mention",
    "chat.event",
)

FOLLOWING = {"payments.wallet": "balance", "payments.lot": "remaining"}
"""Columns that are not written but follow from the ledger's entries; the proof compares them all the same."""

ACCOUNT = ("id", "email", "email_key", "name", "password_hash", "status", "created_at", "erase_at", "erased_at")
"""What of an account is carried: also that somebody asked to be erased, or was. Rights over the house are not."""
PROFILE = (
    *("account_id", "display_name", "handle", "handle_key", "bio", "city", "sports", "preferred_times", "languages"),
    *("visibility", "version", "updated_at"),
)

SESSION = {
    # What COPY writes must not depend on who asks.
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
    "intervalstyle": "iso_8601",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "statement_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "application_name": "forecourt org",
}

LEDGER = (
    "select e.currency, e.account, count(*) as entries, sum(e.amount)::text as total from payments.entry e"
    " where e.organisation_id = $1 group by e.currency, e.account order by e.currency, e.account"
)


class Objects(Protocol):
    """Where the files of the media module lie, as far as moving needs it."""

    async def put(self, key: str, content: BinaryIO) -> None: ...
    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]: ...


class Head(msgspec.Struct, frozen=True):
    format: str
    organisation_id: UUID
    name: str
    taken_at: datetime
    migrations: dict[str, str]
    """`module number` and the file's checksum."""


class Section(msgspec.Struct, frozen=True):
    kind: str
    """`object`, `shared` or `table`."""
    name: str
    columns: list[str] = []


class Proof(msgspec.Struct, frozen=True):
    """Of a section: rows, or bytes of an object, and the SHA-256 of what was written."""

    size: int
    sha256: str


class Sum(msgspec.Struct, frozen=True):
    currency: str
    account: str
    entries: int
    total: str


class Tail(msgspec.Struct, frozen=True):
    """What the whole of it adds up to."""

    ledger: list[Sum]
    proofs: dict[str, Proof]
    """By table, of all columns: what the other side has to have afterwards."""


class Moved(msgspec.Struct, frozen=True):
    organisation_id: UUID
    name: str
    rows: int
    objects: int
    people: int
    digest: str
    ledger: list[Sum]


# --- which rows are an organisation's --------------------------------------------------------------------------------------


def rooms(org: UUID) -> str:
    return f"select r.id from chat.room r where r.organisation_id = '{org}'"  # noqa: S608 - a UUID


def files(org: UUID, f: str) -> str:
    """The organisation's files, and those that people attached in its rooms."""
    attached = f"{f}.owner_module = 'chat' and {f}.owner_kind = 'room' and {f}.owner_id in ({rooms(org)})"
    return f"({f}.holder_id = '{org}' or ({attached}))"


def condition(table: TableFacts, org: UUID) -> str | None:
    """Which rows `t` of a table are the organisation's; None for a table that has none or stays behind.

    Raises LookupError when nobody has said.
    """
    named = f"select f.{{}} from media.file f where {files(org, 'f')}"  # noqa: S608 - a UUID
    special = {
        **dict.fromkeys(STAYS),
        **dict.fromkeys(OF_ROOMS, f"t.room_id in ({rooms(org)})"),
        "chat.pair": None,  # of two people, who have no organisation
        "venues.organisation": f"t.id = '{org}'",
        "media.holding": f"t.holder_id = '{org}'",
        "media.content": f"t.holder_id = '{org}' or (t.holder_id, t.id) in ({named.format('holder_id, f.content_id')})",
        "media.file": files(org, "t"),
        "media.locator": f"t.id in ({named.format('id')})",
    }
    if table.name in special:
        return special[table.name]
    if {"room_id", "holder_id"} & set(table.columns):
        raise LookupError(f"say in forecourt/moving.py which rows of {table.name} are an organisation's")
    return f"t.organisation_id = '{org}'" if "organisation_id" in table.columns else None


class Part(msgspec.Struct, frozen=True):
    """One table's share: what is written, and what is compared."""

    table: str
    columns: list[str]
    all_columns: list[str]
    where: str
    order: list[str]

    def written(self) -> str:
        return self._select(self.columns)

    def compared(self) -> str:
        return self._select(self.all_columns)

    def _select(self, columns: list[str]) -> str:
        named = ", ".join(f't."{column}"' for column in columns)
        order = ", ".join(f't."{column}"' for column in self.order)
        return f"select {named} from {self.table} t where ({self.where}) order by {order}"  # noqa: S608 - names of the catalogue


async def parts(connection: Connection, org: UUID) -> list[Part]:
    """Every table that has rows of the organisation, those first that others point at."""
    made = {
        (r["name"], r["column"])
        for r in await connection.fetch(
            "select a.attrelid::regclass::text as name, a.attname::text as column from pg_attribute a"
            " where a.attgenerated <> '' and a.attnum > 0"
        )
    }
    found: list[Part] = []
    for table in in_order(await tables(connection)):
        where = condition(table, org)
        if where is None:
            continue
        every = [column for column in table.columns if (table.name, column) not in made]
        written = [column for column in every if column != FOLLOWING.get(table.name)]
        order = next(key.columns for key in table.keys if key.kind == "p")
        found.append(Part(table.name, written, every, where, order))
    return found


# --- people ----------------------------------------------------------------------------------------------------------------


async def gather_people(connection: Connection, found: list[Part]) -> int:
    """Notes in `pg_temp.person` every account that a moved row names, whatever the column is called. Returns how many."""
    await connection.execute("create temp table person (id uuid primary key) on commit drop")
    kinds = {
        (r["name"], r["column"]): r["kind"]
        for r in await connection.fetch(
            "select a.attrelid::regclass::text as name, a.attname::text as column, a.atttypid::regtype::text as kind"
            " from pg_attribute a where a.atttypid in ('uuid'::regtype, 'uuid[]'::regtype) and a.attnum > 0"
        )
    }
    for part in found:
        for column in part.columns:
            kind = kinds.get((part.table, column))
            if kind is not None and column != "organisation_id":
                value = f't."{column}"' if kind == "uuid" else f'unnest(t."{column}")'
                await _note_people(connection, f"select {value} as id from {part.table} t where {part.where}")  # noqa: S608
        if part.table == "booking.booking":
            invited = "jsonb_path_query(t.invitees, '$[*].account_id') #>> '{}'"
            await _note_people(connection, f"select ({invited})::uuid as id from booking.booking t where {part.where}")  # noqa: S608
    return await connection.fetchval("select count(*) from person")


async def _note_people(connection: Connection, ids: str) -> None:
    await connection.execute(
        f"insert into person select a.id from identity.account a where a.id in ({ids}) on conflict do nothing"  # noqa: S608
    )


SHARED = {
    "identity.account": (ACCOUNT, "select {} from identity.account t where t.id in (select id from person) order by t.id"),
    "people.profile": (
        PROFILE,
        "select {} from people.profile t where t.account_id in (select id from person) order by t.account_id",
    ),
    "venues.search_word": (
        ("form", "word"),
        "select {} from venues.search_word t where t.word in"
        " (select unnest(l.words) from venues.listing l where l.organisation_id = '{org}') order by t.form, t.word",
    ),
}
"""What an organisation's rows name and do not own: taken along, and added where it is not there yet."""


def shared_sql(name: str, org: UUID) -> str:
    columns, sql = SHARED[name]
    return sql.format(", ".join(f"t.{column}" for column in columns), org=org)


# --- the file --------------------------------------------------------------------------------------------------------------


class Writer:
    """Sections, one after another."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()
        self._section = hashlib.sha256()
        self._size = 0

    def line(self, what: msgspec.Struct) -> None:
        self._put(msgspec.json.encode(what) + b"\n")

    def begin(self, section: Section) -> None:
        self.line(section)
        self._section = hashlib.sha256()
        self._size = 0

    def piece(self, data: bytes, size: int) -> None:
        for start in range(0, len(data), MAX_PIECE_BYTES):
            some = data[start : start + MAX_PIECE_BYTES]
            self._put(len(some).to_bytes(4, "big"))
            self._put(some)
        self._section.update(data)
        self._size += size

    def end(self) -> Proof:
        self._put(bytes(4))
        proof = Proof(self._size, self._section.hexdigest())
        self.line(proof)
        return proof

    def close(self) -> str:
        digest = self._digest.hexdigest()
        self._file.write(digest.encode() + b"\n")
        return digest

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._file.write(data)


T = TypeVar("T", bound=msgspec.Struct)


class Reader:
    """Reads what a Writer wrote. Raises EngineError for whatever it would not have written."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def line(self, kind: type[T]) -> T:
        with readable():
            text = self._file.readline(MAX_LINE_BYTES)
        if not text.endswith(b"\n"):
            raise broken("it ends in the middle")
        self._digest.update(text)
        try:
            return msgspec.json.decode(text, type=kind)
        except msgspec.MsgspecError as e:
            raise broken("a line of it says something else") from e

    def pieces(self) -> Iterator[bytes]:
        """The pieces of a section, up to its empty one."""
        while True:
            length = int.from_bytes(self._take(4), "big")
            if length == 0:
                return
            if length > MAX_PIECE_BYTES:
                raise broken("a piece is longer than it may be")
            yield self._take(length)

    def close(self) -> str:
        """The digest of all that was read. Raises EngineError when the file says another."""
        digest = self._digest.hexdigest()
        with readable():
            end = self._file.read()
        if end != digest.encode() + b"\n":
            raise broken("what it says of itself at its end is not so")
        return digest

    def _take(self, length: int) -> bytes:
        with readable():
            data = self._file.read(length)
        if len(data) != length:
            raise broken("it ends in the middle")
        self._digest.update(data)
        return data


@contextlib.contextmanager
def readable() -> Generator[None]:
    """While bytes of the file are read. Raises EngineError when there are no more, or none that were ever packed."""
    try:
        yield
    except (EOFError, zlib.error, OSError) as e:
        raise broken(str(e) or "it ends in the middle") from e


def opened(source: Path) -> IO[bytes]:
    """A file as `take` writes it, unpacked as it is read. Raises EngineError when it cannot be opened."""
    try:
        return gzip.open(source, "rb")  # type: ignore[return-value]
    except FileNotFoundError:
        raise EngineError(f"{source} is not there.", NAME_ONE) from None
    except OSError as e:
        raise EngineError(f"{source} cannot be read: {e.strerror}.", NAME_ONE) from e


def refuse_no_export(source: Path) -> None:
    """Raises EngineError for a file that can be none, before anything is started for it. What comes through a pipe comes once."""
    with contextlib.suppress(OSError):  # who may not look is told so when it is opened
        if source.is_fifo():
            return
    with opened(source) as file:
        try:
            with readable():
                begins = file.read(len(_BEGINS))
        except EngineError as e:
            if not isinstance(e.__cause__, gzip.BadGzipFile):
                raise
            begins = b""
    if begins != _BEGINS:
        raise EngineError(f"{source} is no export of an organisation.", NAME_ONE)


def refuse_place(to: Path) -> None:
    """Raises EngineError for a place where no file can be written, before anything is started for it."""
    with contextlib.suppress(OSError):  # who may not look is told so when it is written
        if to.exists():
            raise EngineError(f"{to} is there already.", "Name another file with --to.")
    part = _part_of(to)
    _for_us_alone(part).close()
    part.unlink()


def broken(why: str) -> EngineError:
    return EngineError(f"The file is not whole: {why}.", "Export the organisation again, or copy the file again.")


# --- out -------------------------------------------------------------------------------------------------------------------


async def take(url: str, org: UUID, to: Path, store: Objects, say: Callable[[str], None]) -> Moved:
    """Writes the organisation to a file, which gets its name when it is whole. Raises EngineError."""
    part = _part_of(to)
    connection = await connect(url)
    try:
        # Not read only: the people are noted in a temporary table.
        async with connection.transaction(isolation="repeatable_read"):
            with _for_us_alone(part) as file, gzip.open(file, "wb", compresslevel=5) as packed:
                moved = await _write(connection, org, Writer(packed), store, say)  # type: ignore[arg-type]
        part.rename(to)
        return moved
    finally:
        part.unlink(missing_ok=True)
        await connection.close()


def _part_of(to: Path) -> Path:
    return to.with_name(to.name + ".part")


def _for_us_alone(part: Path) -> IO[bytes]:
    """A new file that nobody else on the machine can read. Raises EngineError."""
    try:
        part.unlink(missing_ok=True)
        return os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as e:
        raise EngineError(f"{part.with_suffix('')} cannot be written: {e.strerror}.", "Name another place with --to.") from e


async def _write(connection: Connection, org: UUID, writer: Writer, store: Objects, say: Callable[[str], None]) -> Moved:
    name = await connection.fetchval("select o.name from venues.organisation o where o.id = $1", org)
    if name is None:
        raise EngineError(f"There is no organisation {org} here.", "Look at its address in the console: /desk/<id>.")
    writer.line(Head(FORMAT, org, name, datetime.now(UTC), await migrations(connection)))
    found = await parts(connection, org)
    rows = objects = 0
    content = next(part for part in found if part.table == "media.content")
    async for row in connection.cursor(objects_sql(content) + " order by 1", prefetch=200):
        say(f"Writing files: {objects + 1:,}")
        await _object_out(writer, store, row["key"], row["bytes"])
        objects += 1
    say("Looking for its people")
    people = await gather_people(connection, found)
    for shared in SHARED:
        say(f"Writing {shared}")
        rows += (await _copy_out(connection, writer, Section("shared", shared), shared_sql(shared, org))).size
    proofs: dict[str, Proof] = {}
    for part in found:
        say(f"Writing {part.table}")
        proof = await _copy_out(connection, writer, Section("table", part.table, part.columns), part.written())
        rows += proof.size
        proofs[part.table] = proof if part.columns == part.all_columns else await proof_of(connection, part)
    writer.line(Section("end", ""))
    tail = Tail(await ledger(connection, org), proofs)
    writer.line(tail)
    return Moved(org, name, rows, objects, people, writer.close(), tail.ledger)


async def _copy_out(connection: Connection, writer: Writer, section: Section, sql: str) -> Proof:
    writer.begin(section)

    async def put(data: bytes) -> None:
        writer.piece(data, data.count(b"\n"))

    await connection.copy_from_query(sql, output=put)
    return writer.end()


async def _object_out(writer: Writer, store: Objects, key: str, size: int) -> None:
    writer.begin(Section("object", key))
    try:
        async for chunk in await store.read(key, 0, size):
            writer.piece(chunk, len(chunk))
    except FileNotFoundError as e:
        raise EngineError(
            f"The file {key} is not in the store.", "Restore it from a copy of the store, then export again."
        ) from e
    if writer.end().size != size:
        raise EngineError(f"The file {key} has another size than its row says.", "Restore it from a copy of the store.")


# --- in --------------------------------------------------------------------------------------------------------------------


async def bring(url: str, source: Path, store: Objects, digest: str, say: Callable[[str], None]) -> Moved:
    """Reads a file into an installation that has not got the organisation. All of it, or nothing. Raises EngineError."""
    connection = await connect(url)
    try:
        with opened(source) as file:
            return await _Bringing(connection, Reader(file), store, digest, say).all()
    finally:
        await connection.close()


class _Bringing:
    def __init__(self, connection: Connection, reader: Reader, store: Objects, digest: str, say: Callable[[str], None]) -> None:
        self._connection = connection
        self._reader = reader
        self._store = store
        self._digest = digest
        self._say = say
        self._copied: dict[str, int] = {}
        self._objects = self._people = 0

    async def all(self) -> Moved:
        head: Head = self._reader.line(Head)
        await self._refuse(head)
        org = head.organisation_id
        try:
            # Beside the transaction: what is written to the store is known, and removed in a day unless it is spared.
            section = await self._files()
            async with self._connection.transaction():
                section = await self._shared(section)
                tail = await self._tables(org, section)
                digest = self._reader.close()
                if self._digest and self._digest != digest:
                    raise EngineError(f"The file's digest is {digest}: it is not the one you named.", "Nothing of it was kept.")
                await self._prove(org, tail)
        except asyncpg.PostgresError as e:
            table = getattr(e, "table_name", None) or "The database"
            raise EngineError(f"{table} does not take what is in the file: {e}.", "Nothing of it was kept.") from e
        return Moved(org, head.name, sum(self._copied.values()), self._objects, self._people, digest, tail.ledger)

    async def _refuse(self, head: Head) -> None:
        if head.format != FORMAT:
            raise EngineError(
                f"The file is written in another form ({head.format}) than this release reads ({FORMAT}).",
                "Bring both installations to the same release, then export again.",
            )
        here = await migrations(self._connection)
        if head.migrations != here:
            other = sorted(dict(set(head.migrations.items()) ^ set(here.items())))
            raise EngineError(
                f"The two installations are not of one release: {', '.join(other[:MAX_NAMED])}.",
                "Bring both to the same release with `forecourt migrate`, then export again.",
            )
        if await self._connection.fetchval("select true from venues.organisation where id = $1", head.organisation_id):
            raise EngineError(f"{head.name} is here already.", "An import adds an organisation; it changes none.")

    # --- files

    async def _files(self) -> Section:
        """Puts every object into the store; returns the section after them."""
        await self._connection.execute("create temp table arrived (key text primary key, bytes bigint not null)")
        section: Section = self._reader.line(Section)
        while section.kind == "object":
            self._say(f"Reading files: {self._objects + 1:,}")
            named = _OBJECT.fullmatch(section.name)
            if named is None:
                raise broken("a file in it has a strange name")
            await self._doom(UUID(named[1]), UUID(named[2]))
            with tempfile.TemporaryFile() as aside:
                size = self._spool(aside)
                aside.seek(0)
                await self._store.put(section.name, aside)
            await self._connection.execute("insert into arrived values ($1, $2)", section.name, size)
            self._objects += 1
            section = self._reader.line(Section)
        return section

    async def _doom(self, holder: UUID, content: UUID) -> None:
        if await self._connection.fetchval("select true from media.content where holder_id = $1 and id = $2", holder, content):
            raise EngineError(f"The file {holder}/{content} is here already.", "An import replaces nothing.")
        await self._connection.execute(
            "insert into media.doomed (holder_id, content_id, due_at) values ($1, $2, $3)"
            " on conflict (holder_id, content_id) do update set due_at = excluded.due_at",
            *(holder, content, datetime.now(UTC) + WRITING_FOR),
        )

    def _spool(self, aside: IO[bytes]) -> int:
        digest, size = hashlib.sha256(), 0
        for piece in self._reader.pieces():
            aside.write(piece)
            digest.update(piece)
            size += len(piece)
        self._match(Proof(size, digest.hexdigest()))
        return size

    def _match(self, found: Proof) -> None:
        if self._reader.line(Proof) != found:
            raise broken("a part of it is not what was written")

    # --- what it names and does not own

    async def _shared(self, section: Section) -> Section:
        """Accounts, profiles and words, where they are not there yet; returns the section after them."""
        taken: dict[str, Callable[[], Awaitable[None]]] = {
            "identity.account": self._accounts,
            "people.profile": self._profiles,
            "venues.search_word": self._words,
        }
        for name, take_in in taken.items():
            columns = list(SHARED[name][0])
            self._expect(section, Section("shared", name))
            await self._connection.execute(
                f"create temp table incoming on commit drop as select {', '.join(columns)} from {name} with no data"  # noqa: S608
            )
            await self._copy_in("incoming", columns, name)
            await take_in()
            await self._connection.execute("drop table incoming")
            section = self._reader.line(Section)
        return section

    async def _accounts(self) -> None:
        others = await self._connection.fetch(
            "select i.email, i.id as there, a.id as here, a.email as email_here"
            " from incoming i join identity.account a on a.id = i.id where a.email_key <> i.email_key"
            " and a.status <> 'erased' and i.status <> 'erased'"
            " union all select i.email, i.id, a.id, a.email"
            " from incoming i join identity.account a on a.email_key = i.email_key where a.id <> i.id order by 1 limit $1",
            MAX_NAMED,
        )
        if others:
            named = "\n".join(
                f"  {r['email']}, {r['there']}: here it is " + (r["email_here"] if r["here"] == r["there"] else str(r["here"]))
                for r in others
            )
            raise EngineError(
                f"People of the organisation are other people here:\n{named}",
                "Give one of the two accounts another address, then export and import again.",
            )
        self._people = self._copied["identity.account"]
        # Who was erased here stays it, and what comes of them is forgotten within the hour (identity's `erase_due`).
        await self._connection.execute(
            "update identity.account a set erase_at = now() from incoming i where a.id = i.id and a.status = 'erased'"
        )
        await self._add("identity.account", ACCOUNT)

    async def _profiles(self) -> None:
        # A handle that somebody has here is not the newcomer's any more.
        await self._connection.execute(
            "update incoming i set handle = null, handle_key = null where exists"
            " (select from people.profile p where p.handle_key = i.handle_key and p.account_id <> i.account_id)"
        )
        await self._add("people.profile", PROFILE)

    async def _words(self) -> None:
        await self._add("venues.search_word", ("form", "word"))

    async def _add(self, table: str, columns: tuple[str, ...]) -> None:
        named = ", ".join(columns)
        await self._connection.execute(
            f"insert into {table} ({named}) select {named} from incoming order by 1, 2 on conflict do nothing"  # noqa: S608
        )

    # --- its own

    async def _tables(self, org: UUID, section: Section) -> Tail:
        # What the database has decides what is read, never the file.
        for part in await parts(self._connection, org):
            self._expect(section, Section("table", part.table, part.columns))
            await self._copy_in(part.table, part.columns, part.table)
            section = self._reader.line(Section)
        self._expect(section, Section("end", ""))
        await self._adopt_files(org)
        for note in WHEREABOUTS:
            await self._connection.execute(note, org)
        return self._reader.line(Tail)

    async def _adopt_files(self, org: UUID) -> None:
        """The files are spared, and who attached some of them in a room holds so much more."""
        ours = "arrived a join media.content c on a.key = c.holder_id || '/' || c.id || '/full'"
        await self._connection.execute(
            f"insert into media.holding (holder_id, bytes) select c.holder_id, sum(c.all_bytes) from {ours}"  # noqa: S608
            " where c.holder_id <> $1 group by c.holder_id"
            " on conflict (holder_id) do update set bytes = media.holding.bytes + excluded.bytes",
            org,
        )
        await self._connection.execute(
            f"delete from media.doomed d where (d.holder_id, d.content_id) in (select c.holder_id, c.id from {ours})"  # noqa: S608
        )

    def _expect(self, section: Section, wanted: Section) -> None:
        if section != wanted:
            raise broken(f"{wanted.name or 'its end'} was to come, and {section.name or 'its end'} came")

    async def _copy_in(self, table: str, columns: list[str], name: str) -> None:
        self._say(f"Reading {name}")
        digest, rows = hashlib.sha256(), 0

        async def pieces() -> AsyncIterator[bytes]:
            nonlocal rows
            for piece in self._reader.pieces():
                digest.update(piece)
                rows += piece.count(b"\n")
                yield piece

        schema, _, bare = table.rpartition(".")
        status: str = await self._connection.copy_to_table(bare, source=pieces(), columns=columns, schema_name=schema or None)
        self._match(Proof(rows, digest.hexdigest()))
        if status != f"COPY {rows}":
            raise broken(f"{name} has rows that are none")
        self._copied[name] = rows

    async def _prove(self, org: UUID, tail: Tail) -> None:
        """The database answers what the other one did. Raises EngineError."""
        self._say("Comparing")
        found = await parts(self._connection, org)
        for part in found:
            proof = await proof_of(self._connection, part)
            if proof != tail.proofs.get(part.table) or proof.size != self._copied[part.table]:
                raise EngineError(
                    f"{part.table} is not what it was in the other installation ({proof.size:,} rows).", "Nothing of it was kept."
                )
        if await ledger(self._connection, org) != tail.ledger:
            raise EngineError("The ledger does not add up to what it did.", "Nothing of it was kept.")
        content = next(part for part in found if part.table == "media.content")
        missing = await self._connection.fetchval(
            f"select w.key from ({objects_sql(content)}) w left join arrived a on a.key = w.key"  # noqa: S608
            " where a.bytes is distinct from w.bytes order by 1 limit 1"
        )
        if missing:
            raise EngineError(f"The file {missing} did not come along.", "Nothing of it was kept.")


# --- both ------------------------------------------------------------------------------------------------------------------

_OBJECT = re.compile(
    r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?:full|\d{1,5})"
)


def objects_sql(content: Part) -> str:
    """The objects of the contents that are moved: their names and sizes."""
    name = "t.holder_id || '/' || t.id || '/'"
    return (
        f"select {name} || '{ORIGINAL}' as key, t.bytes from media.content t where {content.where}"  # noqa: S608
        f" union all select {name} || (v ->> 'width'), (v ->> 'bytes')::bigint"
        f" from media.content t cross join lateral jsonb_array_elements(t.variants) v where {content.where}"
    )


async def connect(url: str) -> Connection:
    """A connection that sees every row. Raises EngineError for a login that does not."""
    connection: Connection = await asyncpg.connect(url, server_settings=SESSION)
    if not await connection.fetchval("select rolsuper or rolbypassrls from pg_roles where rolname = current_user"):
        await connection.close()
        raise EngineError(
            "This login sees only what row security shows it.",
            "Set DATABASE_ADMIN_URL to the owner's, which has to be a superuser or have bypassrls.",
        )
    return connection


async def migrations(connection: Connection) -> dict[str, str]:
    rows = await connection.fetch("select module, number, checksum from kernel.migration")
    return {f"{r['module']} {r['number']:04}": r["checksum"] for r in rows}


async def ledger(connection: Connection, org: UUID) -> list[Sum]:
    return [Sum(*r) for r in await connection.fetch(LEDGER, org)]


async def proof_of(connection: Connection, part: Part) -> Proof:
    """Rows and digest of a table's share as it is now."""
    digest, rows = hashlib.sha256(), 0

    async def hear(data: bytes) -> None:
        nonlocal rows
        digest.update(data)
        rows += data.count(b"\n")

    await connection.copy_from_query(part.compared(), output=hear)
    return Proof(rows, digest.hexdigest())
