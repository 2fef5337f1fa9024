"""One organisation of the demo world moves to another installation: all of it, nothing of anybody else, or nothing at all."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import io
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import as_user, clone, drop
from tests.demo.conftest import Filled

from forecourt import moving, organisations
from forecourt.engines import EngineError
from forecourt.kernel.ids import new_id
from forecourt.kernel.migrate import APP_ROLE
from forecourt.layout import module_names
from forecourt.modules.media.store import CHUNK_BYTES, Folder
from forecourt.spread import WRITES_ELSEWHERE, tables

pytestmark = pytest.mark.xdist_group("demo")
"""One worker fills the database."""

Connection = asyncpg.Connection
WORDS = b"%PDF-1.4 what the club agreed on\n" * 20_000


def unheard(_: str) -> None: ...


class There:
    """The installation that the organisation is in, and the file it was written to."""

    def __init__(self, url: str, org: UUID, store: Folder, file: Path, moved: moving.Moved) -> None:
        self.url = url
        self.org = org
        self.store = store
        self.file = file
        self.moved = moved

    def text(self) -> bytes:
        return gzip.decompress(self.file.read_bytes())


async def hold(link: Connection, store: Folder, holder: UUID, kind: str, room: UUID | None) -> UUID:
    """A file as media keeps it; attached in a room when one is given."""
    content, file = new_id(), new_id()
    digest = hashlib.sha256(content.bytes).digest()
    variants = '[{"width": 320, "height": 200, "bytes": 9}]' if room is None else "[]"
    await link.execute("insert into media.locator (id, holder_id, holder_kind) values ($1, $2, $3)", file, holder, kind)
    await link.execute(
        "insert into media.content (holder_id, id, sent_digest, digest, kind, type, bytes, all_bytes, variants, created_at)"
        " values ($1, $2, $3, $3, 'document', 'application/pdf', $4::bigint, $4::bigint + 9, $5, now())",
        *(holder, content, digest, len(WORDS), variants),
    )
    await link.execute(
        "insert into media.file (holder_id, id, content_id, name, alt, sent_at, audience, owner_module, owner_kind, owner_id,"
        " attached_at) values ($1, $2, $3, 'agreed.pdf', '', now(), 'private', $4, 'room', $5, now())",
        *(holder, file, content, "booking" if room is None else "chat", room or uuid4()),
    )
    await link.execute(
        "insert into media.holding (holder_id, bytes) values ($1, $2) on conflict (holder_id) do update"
        " set bytes = media.holding.bytes + excluded.bytes",
        *(holder, len(WORDS) + 9),
    )
    await store.put(f"{holder}/{content}/full", io.BytesIO(WORDS))
    if room is None:
        await store.put(f"{holder}/{content}/320", io.BytesIO(b"a picture"))
    return file


@pytest.fixture(scope="module")
def there(filled: Filled, tmp_path_factory: pytest.TempPathFactory) -> Iterator[There]:
    place = tmp_path_factory.mktemp("there")
    store = Folder(place / "media")

    async def arrange() -> tuple[UUID, moving.Moved, list[UUID]]:
        link = await asyncpg.connect(filled.admin_url)
        found = await link.fetchrow(
            "select r.organisation_id, r.id, m.account_id from chat.room r join chat.member m on m.room_id = r.id"
            " join chat.message s on s.room_id = r.id where r.organisation_id is not null"
            " order by (select count(*) from payments.entry e where e.organisation_id = r.organisation_id) desc, r.id limit 1"
        )
        assert found is not None
        org, room, member = found
        made = [
            await hold(link, store, org, "organisation", None),
            await hold(link, store, member, "account", room),
            await hold(link, store, member, "account", uuid4()),  # somebody else's room: it stays
        ]
        await link.execute(
            "insert into booking.invitation (organisation_id, id, booking_id, email, address, status, salt, created_at)"
            " select b.organisation_id, gen_random_uuid(), b.id, 'gil@example.org', sha256('gil'), 'pending',"
            " substring(sha256('gil') for 16), now() from booking.booking b where b.organisation_id = $1 limit 1",
            org,
        )
        await link.close()
        return org, await moving.take(filled.admin_url, org, place / "club.forecourt", store, unheard), made

    async def tidy(made: list[UUID]) -> None:
        link = await asyncpg.connect(filled.admin_url)
        for file in made:
            content = await link.fetchval("delete from media.file where id = $1 returning content_id", file)
            await link.execute("delete from media.content where id = $1", content)
            await link.execute("delete from media.locator where id = $1", file)
        await link.execute("delete from media.holding")
        await link.execute("delete from booking.invitation where email = 'gil@example.org'")
        await link.close()

    org, moved, made = asyncio.run(arrange())
    yield There(filled.admin_url, org, store, place / "club.forecourt", moved)
    asyncio.run(tidy(made))


class Here:
    """An installation with nobody in it."""

    def __init__(self, url: str, link: Connection, store: Folder, place: Path) -> None:
        self.url = url
        self.link = link
        self.store = store
        self.place = place

    async def bring(self, file: Path, digest: str = "") -> moving.Moved:
        return await moving.bring(self.url, file, self.store, digest, unheard)

    async def rows(self) -> dict[str, int]:
        """How many there are in every table that has some."""
        found = {t.name: await self.link.fetchval(f"select count(*) from {t.name}") for t in await tables(self.link)}
        return {name: n for name, n in found.items() if n}


@pytest.fixture
async def here(server_url: str, tmp_path: Path) -> AsyncIterator[Here]:
    name = f"m_{uuid4().hex[:12]}"
    url = await clone(server_url, name)
    link = await asyncpg.connect(url)
    yield Here(url, link, Folder(tmp_path / "media"), tmp_path)
    await link.close()
    await drop(server_url, name)


async def nothing_came(here: Here, before: dict[str, int]) -> None:
    """But for objects that are known to belong to nobody, and go."""
    after = await here.rows()
    after.pop("media.doomed", None)
    assert after == before


async def test_all_of_an_organisation_arrives(there: There, here: Here) -> None:
    for name in WRITES_ELSEWHERE:  # where people are found is not left to triggers, which many servers do not have
        table, trigger = name.split()
        await here.link.execute(f"alter table {table} disable trigger {trigger}")
    moved = await here.bring(there.file, there.moved.digest)
    assert moved == there.moved
    assert moved.objects == 3  # a document, its picture, and what somebody attached in a room of theirs
    assert {e.account for e in moved.ledger} >= {"wallet", "revenue"}
    source = await asyncpg.connect(there.url)
    for table in ("booking.guest", "payments.customer"):
        found = f"select t.account_id from {table} t where t.organisation_id = $1 order by 1"
        assert await here.link.fetch(found, there.org) == await source.fetch(found, there.org) != []
    found = "select a.invitation_id from booking.invited_address a where a.organisation_id = $1"
    assert len(await here.link.fetch(found, there.org)) == 1, "addresses are found when they have to be forgotten"
    found = (
        "select t.account_id, t.room_id from chat.{} t join chat.room r on r.id = t.room_id"
        " where r.organisation_id = $1 order by 1, 2"
    )
    seats, members = found.format("seat"), found.format("member")
    assert await here.link.fetch(seats, there.org) == await source.fetch(members, there.org) != []
    assert await source.fetch(seats, there.org) == await source.fetch(members, there.org)  # bulk leaves it to the trigger
    for part in await moving.parts(here.link, there.org):
        ours = await here.link.fetch(part.compared())
        theirs = await source.fetch(part.compared())
        assert ours == theirs, part.table
        assert theirs or part.table not in (
            "booking.booking",
            "payments.wallet",
            "payments.lot",
            "payments.entry",
            "chat.message",
        )
    await source.close()
    for key, size in await here.link.fetch("select c.holder_id || '/' || c.id || '/full', c.bytes from media.content c"):
        chunks = [chunk async for chunk in await here.store.read(key, 0, size)]
        assert b"".join(chunks) == WORDS
    assert len(WORDS) > CHUNK_BYTES
    assert await here.link.fetchval("select count(*) from media.doomed") == 0
    with pytest.raises(EngineError, match="is here already"):
        await here.bring(there.file)


async def test_its_people_can_come_in_and_have_no_rights_over_the_house(there: There, here: Here) -> None:
    await here.bring(there.file)
    carried = await here.link.fetch("select id, email, password_hash, platform_admin from identity.account")
    assert len(carried) == there.moved.people > 1
    assert not any(row["platform_admin"] for row in carried)
    source = await asyncpg.connect(there.url)
    known = {r["id"]: r["password_hash"] for r in await source.fetch("select id, password_hash from identity.account")}
    await source.close()
    assert all(known[row["id"]] == row["password_hash"] for row in carried)
    assert len(known) > len(carried)  # the control: there are people whom the organisation never met


async def test_no_row_of_another_organisation_is_in_the_file(there: There, here: Here) -> None:
    source = await asyncpg.connect(there.url)
    others = {str(r[0]).encode() for r in await source.fetch("select id from venues.organisation where id <> $1", there.org)}
    foreign = {
        str(r[0]).encode()
        for table in ("booking.booking", "payments.charge", "venues.venue", "notifications.delivery")
        for r in await source.fetch(f"select id from {table} where organisation_id <> $1", there.org)
    }
    secret = await source.fetch("select password_hash from identity.account")
    await source.close()
    ids = set(re.findall(rb"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", there.text()))
    assert len(others) > 3
    assert len(foreign) > 100
    assert not ids & (others | foreign)
    assert str(there.org).encode() in ids
    assert len(secret) > there.moved.people
    await here.bring(there.file)
    assert [r[0] for r in await here.link.fetch("select id from venues.organisation")] == [there.org]


def test_the_file_is_for_whoever_wrote_it_alone(there: There) -> None:
    """It has all that the organisation knows of people in it, and what their passwords are checked by."""
    assert there.file.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in there.file.parent.glob("club.*")] == [there.file.name]


HEAD = b'{"format":"forecourt organisation 1","organisation_id":"'
OTHER_FILES = {
    "missing": (None, "is not there"),
    "a folder": (None, "cannot be read: Is a directory"),
    "empty": (b"", "is no export"),
    "text": (b"hello", "is no export"),
    "packed text": (gzip.compress(b"hello"), "is no export"),
    "packed nothing": (gzip.compress(b""), "is no export"),
    "cut": (gzip.compress(HEAD)[:20], "is not whole"),
    "garbled": (gzip.compress(HEAD)[:10] + b"\xff" * 40, "is not whole"),
}


@pytest.mark.parametrize("kind", OTHER_FILES)
def test_a_file_that_is_no_export_is_called_that_before_anything_is_started_for_it(kind: str, tmp_path: Path) -> None:
    content, words = OTHER_FILES[kind]
    file = tmp_path if kind == "a folder" else tmp_path / "club.forecourt"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(EngineError, match=words) as refused:
        organisations.bring_in(file, data=tmp_path / "var")
    assert "Errno" not in str(refused.value)
    assert not (tmp_path / "var").exists()


def test_what_may_be_an_export_is_opened_for_a_closer_look(tmp_path: Path) -> None:
    (tmp_path / "club.forecourt").write_bytes(gzip.compress(HEAD))
    moving.refuse_no_export(tmp_path / "club.forecourt")


@pytest.mark.parametrize("place", ["nowhere/club.forecourt", "file/club.forecourt"])
def test_an_export_to_a_place_that_cannot_be_written_is_refused_before_anything_is_started_for_it(
    place: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=rf"{place} cannot be written: (No such file or|Not a) directory") as refused:
        organisations.export(uuid4(), to=tmp_path / place, data=tmp_path / "var")
    assert "--to" in str(refused.value)
    moving.refuse_place(tmp_path / "club.forecourt")  # the control
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


async def test_a_file_that_somebody_changed_leaves_nothing(there: There, here: Here) -> None:
    before, text = await here.rows(), there.text()
    name = there.moved.name.encode()
    middle = text.index(b'"table"')
    changed = {
        "a letter": text[:middle] + text[middle:].replace(name, name[:-1] + b"X", 1),
        "its digest": text[:-3] + b"00\n",
        "its end": text[: len(text) // 2],
        "an object's place": text.replace(b'"kind":"object","name":"', b'"kind":"object","name":"../', 1),
    }
    for data in changed.values():
        file = here.place / "changed"
        file.write_bytes(gzip.compress(data, 1))
        with pytest.raises(EngineError, match="not whole"):
            await here.bring(file)
        await nothing_came(here, before)
    (here.place / "cut").write_bytes(there.file.read_bytes()[:-40])
    with pytest.raises(EngineError, match="not whole"):
        await here.bring(here.place / "cut")
    with pytest.raises(EngineError, match="not the one you named"):
        await here.bring(there.file, "0" * 64)
    await nothing_came(here, before)
    assert not list(here.place.parent.rglob("..*/full"))


async def test_a_file_made_anew_cannot_add_to_another_organisation(there: There, here: Here) -> None:
    """Whoever can write the digests anew can still not bring rows that are not this organisation's."""
    data = there.text()
    start = data.index(b'{"kind":"table","name":"payments.book"')
    begin = data.index(b"\n", start) + 1
    length = int.from_bytes(data[begin : begin + 4], "big")
    rows = data[begin + 4 : begin + 4 + length]
    more = rows + str(uuid4()).encode() + rows[36:]
    proof = b'{"size":2,"sha256":"%s"}\n' % hashlib.sha256(more).hexdigest().encode()
    rest = data.index(b"\n", begin + 8 + length) + 1
    body = data[:begin] + len(more).to_bytes(4, "big") + more + bytes(4) + proof + data[rest:-65]
    file = here.place / "forged"
    file.write_bytes(gzip.compress(body + hashlib.sha256(body).hexdigest().encode() + b"\n", 1))
    before = await here.rows()
    with pytest.raises(EngineError, match=r"payments\.book is not what it was"):
        await here.bring(file)
    await nothing_came(here, before)


async def test_an_import_that_is_interrupted_leaves_nothing_and_can_be_done_again(there: There, here: Here) -> None:
    before = await here.rows()
    for moment in ("Reading files: 2", "Reading booking.booking", "Comparing"):

        def interrupt(what: str, moment: str = moment) -> None:
            if what == moment:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            await moving.bring(here.url, there.file, here.store, "", interrupt)
        await nothing_came(here, before)
        assert await here.link.fetchval("select count(*) from media.doomed") > 0
    assert (await here.bring(there.file)).rows == there.moved.rows
    assert await here.link.fetchval("select count(*) from media.doomed") == 0


async def test_people_who_are_here_already_stay_as_they_are_and_others_with_their_address_are_named(
    there: There, here: Here
) -> None:
    source = await asyncpg.connect(there.url)
    staff = "select a.id, a.email, a.email_key from identity.account a join identity.staff s on s.account_id = a.id"
    one, other = await source.fetch(staff + " where s.organisation_id = $1 order by a.id limit 2", there.org)
    await source.close()
    add = "insert into identity.account (id, email, email_key, name, created_at) values ($1, $2, $3, 'From here', now())"
    await here.link.execute(add, one["id"], one["email"], one["email_key"])
    await here.link.execute(add, mine := uuid4(), other["email"], other["email_key"])
    with pytest.raises(EngineError, match=f"(?s){re.escape(other['email'])}.*{mine}"):
        await here.bring(there.file)
    await here.link.execute("delete from identity.account where id = $1", mine)
    await here.bring(there.file)
    assert await here.link.fetchval("select name from identity.account where id = $1", one["id"]) == "From here"


async def test_whoever_was_erased_here_or_there_stays_it_and_is_forgotten_once_more(there: There, here: Here) -> None:
    source = await asyncpg.connect(there.url)
    guests = "select a.id, a.email, a.email_key from identity.account a join booking.guest g on g.account_id = a.id"
    one, other = await source.fetch(guests + " where g.organisation_id = $1 order by a.id limit 2", there.org)
    erase = (
        "update identity.account set status = 'erased', erased_at = now() - interval '1 day', email_key = 'erased ' || id,"
        " email = 'erased-' || id || '@erased.invalid', name = '—', password_hash = null, erase_at = null where id = $1"
    )
    all_of = "select status, email, email_key, name, password_hash from identity.account where id = $1"
    before = await source.fetchrow(all_of, other["id"])
    await source.execute(erase, other["id"])
    try:
        await moving.take(there.url, there.org, here.place / "again.forecourt", there.store, unheard)
    finally:
        restore = "update identity.account set status = $2, email = $3, email_key = $4, name = $5, password_hash = $6,"
        await source.execute(restore + " erased_at = null where id = $1", other["id"], *before)
        await source.close()
    add = "insert into identity.account (id, email, email_key, name, created_at) values ($1, $2, $3, 'From here', now())"
    await here.link.execute(add, one["id"], one["email"], one["email_key"])
    await here.link.execute(erase, one["id"])
    await here.bring(here.place / "again.forecourt")
    state = "select status, name, erase_at > erased_at from identity.account where id = $1"
    assert tuple(await here.link.fetchrow(state, one["id"])) == ("erased", "—", True), "due: what came is forgotten"
    assert tuple(await here.link.fetchrow(state, other["id"])) == ("erased", "—", None)


async def test_installations_of_two_releases_do_not_exchange(there: There, here: Here) -> None:
    await here.link.execute("update kernel.migration set checksum = 'another' where module = 'chat' and number = 1")
    with pytest.raises(EngineError, match=r"not of one release: chat 0001"):
        await here.bring(there.file)


async def test_who_does_not_see_all_rows_may_not_export(there: There, here: Here) -> None:
    with pytest.raises(EngineError, match="sees only what row security shows"):
        await moving.take(as_user(there.url, APP_ROLE), there.org, here.place / "x", there.store, unheard)
    with pytest.raises(EngineError, match="There is no organisation"):
        await moving.take(there.url, uuid4(), here.place / "x", there.store, unheard)
    assert list(here.place.glob("x*")) == []


async def test_every_table_is_either_moved_or_stays_for_a_reason(here: Here) -> None:
    found = await tables(here.link)
    org = uuid4()
    moved = {t.name for t in found if moving.condition(t, org) is not None}
    assert {t.name for t in found if "organisation_id" in t.columns} <= moved | set(moving.STAYS)
    assert set(moving.STAYS) <= {t.name for t in found}
    assert {name.partition(".")[0] for name in moved} >= set(module_names()) - {"people"}
    # The control: a new table of rooms has to be decided about.
    await here.link.execute("create table chat.loose (room_id uuid primary key)")
    with pytest.raises(LookupError, match=r"chat\.loose"):
        [moving.condition(t, org) for t in await tables(here.link)]
