"""The record: written by events, kept apart by organisation, and broken by whoever touches it."""

from __future__ import annotations

import csv
import io
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import msgspec
import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database, Tx
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import Dispatcher, Event, emit
from forecourt.kernel.http.operation import By
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import Worker
from forecourt.modules.audit import jobs, queries
from forecourt.modules.audit import service as audit_service
from forecourt.modules.audit.contract import (
    HOUSE,
    AuditExported,
    AuditObject,
    Erasable,
    ExportedEntry,
    ExportFormat,
    ExportTooLarge,
)
from forecourt.modules.audit.http import AuditApi
from forecourt.modules.audit.leaving import COLUMNS, file_name, written
from forecourt.modules.audit.reactions import subscriptions
from forecourt.modules.audit.rules import Entry, link
from forecourt.modules.audit.service import AuditService
from forecourt.modules.audit.web import AuditPages
from forecourt.modules.identity.contract import AccountErased


class LampSwitched(Event, name="lamp.switched", frozen=True, kw_only=True):
    """An event of the tests' own."""

    organisation_id: UUID
    lamp_id: UUID
    room_ids: tuple[UUID, ...] = ()
    on: bool = True
    word: str = ""


class LampLent(Event, name="lamp.lent", frozen=True, kw_only=True):
    """One in which somebody writes about a person."""

    organisation_id: UUID
    account_id: UUID
    lamp_id: UUID
    note: str

    personal = ("note",)


class DoorOpened(Event, name="door.opened", frozen=True, kw_only=True):
    """One that belongs to no organisation."""

    door_id: UUID


class House:
    """An organisation, somebody who acts in it, and the audit of a database of their own."""

    def __init__(self, db: Database, fresh: Any) -> None:
        self.db = db
        self.fresh = fresh
        self.audit = AuditService(db.module("audit"), FixedClock(datetime(2026, 11, 2, tzinfo=UTC)))
        self.org = new_id()
        self.rival = new_id()
        self.person = new_id()
        kinds = [LampSwitched, LampLent, DoorOpened, AuditExported, AccountErased]
        self.dispatcher = Dispatcher(db, fresh.url, subscriptions(self.audit, kinds))
        self.worker = Worker(db, fresh.url, jobs.handlers(self.audit))

    @property
    def ctx(self) -> Context:
        return self.of(self.org)

    def of(self, organisation_id: UUID | None) -> Context:
        actor = Actor(kind=ActorKind.PERSON, account_id=self.person)
        return Context(actor=actor, organisation_id=organisation_id, address="192.0.2.7", trace_id="t1")

    async def switch(self, times: int = 1, lamp: UUID | None = None, org: UUID | None = None) -> None:
        async with self.db.module("audit").tx(self.of(org or self.org)) as tx:
            for _ in range(times):
                emit(tx, LampSwitched(organisation_id=org or self.org, lamp_id=lamp or new_id(), room_ids=(new_id(),)))
        await self.dispatcher.drain()

    async def lend(self, to: UUID, note: str, org: UUID | None = None) -> None:
        """The house's person lends somebody a lamp, and writes why."""
        async with self.db.module("audit").tx(self.of(org or self.org)) as tx:
            emit(tx, LampLent(organisation_id=org or self.org, account_id=to, lamp_id=new_id(), note=note))
        await self.dispatcher.drain()

    async def erase(self, account_id: UUID) -> None:
        async with self.db.module("audit").tx(service_context("tests")) as tx:
            emit(tx, AccountErased(account_id=account_id))
        await self.dispatcher.drain()
        assert await self.worker.drain(within=timedelta(days=2)) == 2, "at once, and again when what was late has come in"

    async def ask(self, sql: str, *args: object) -> list[asyncpg.Record]:
        """As the superuser, whom no policy stops."""
        connection = await self.fresh.admin()
        try:
            return await connection.fetch(sql, *args)
        finally:
            await connection.close()

    async def exported(self, org: UUID | None = None, **asked: Any) -> list[ExportedEntry]:
        """The whole of an export, as it leaves."""
        export = await self.audit.export(self.of(org or self.org), ExportFormat.JSONL, **asked)
        lines = b"".join([part async for part in written(export, ExportFormat.JSONL)])
        entries = msgspec.json.Decoder(ExportedEntry).decode_lines(lines)
        assert len(entries) == export.entries, "what was announced is what came"
        return entries

    async def tamper(self, statement: str, *args: object) -> None:
        """As the superuser, whom no policy stops."""
        connection = await self.fresh.admin()
        try:
            await connection.execute(statement, *args)
        finally:
            await connection.close()


@pytest.fixture
async def house(fresh_database: Any) -> AsyncIterator[House]:
    yield House(await fresh_database.connect(8), fresh_database)


async def test_an_event_becomes_an_entry_that_says_who_did_what_from_where(house: House) -> None:
    lamp = new_id()
    await house.switch(lamp=lamp)
    (entry,) = (await house.audit.entries(house.ctx, limit=10)).items
    assert (entry.action, entry.object, entry.actor.account_id) == ("lamp.switched", AuditObject("lamp", lamp), house.person)
    assert (entry.address, entry.trace_id, entry.seq) == ("192.0.2.7", "t1", 1)
    assert str(lamp) in bytes(entry.details).decode()


async def test_organisations_have_chains_of_their_own_and_do_not_see_each_other(house: House) -> None:
    await house.switch(3)
    await house.switch(2, org=house.rival)
    mine = (await house.audit.entries(house.ctx, limit=10)).items
    theirs = (await house.audit.entries(house.of(house.rival), limit=10)).items
    assert [e.seq for e in mine] == [3, 2, 1]
    assert [e.seq for e in theirs] == [2, 1]
    assert (await house.audit.entries(house.of(new_id()), limit=10)).items == []


async def test_what_belongs_to_no_organisation_goes_to_the_chain_of_the_house(house: House) -> None:
    async with house.db.module("audit").tx(house.of(None)) as tx:
        emit(tx, DoorOpened(door_id=new_id()))
    await house.dispatcher.drain()
    proof = await house.audit.verify(service_context("test"))
    assert (proof.organisation_id, proof.entries, proof.intact) == (HOUSE, 1, True)
    assert (await house.audit.entries(house.ctx, limit=10)).items == []


async def test_entries_are_found_by_object_actor_action_and_time(house: House) -> None:
    lamp = new_id()
    await house.switch(2)
    await house.switch(lamp=lamp)
    audit, ctx = house.audit, house.ctx
    (found,) = (await audit.entries(ctx, about=AuditObject("", lamp), limit=10)).items
    assert found.seq == 3
    assert (await audit.entries(ctx, about=AuditObject("door", lamp), limit=10)).items == []
    assert len((await audit.entries(ctx, actor=house.person, limit=10)).items) == 3
    assert (await audit.entries(ctx, actor=new_id(), limit=10)).items == []
    assert len((await audit.entries(ctx, action="lamp", limit=10)).items) == 3
    assert (await audit.entries(ctx, action="lam", limit=10)).items == []
    assert (await audit.entries(ctx, end=found.at, limit=10)).items != (await audit.entries(ctx, limit=10)).items
    assert (await audit.entries(ctx, start=found.at + timedelta(hours=1), limit=10)).items == []


async def test_pages_follow_one_another_and_a_made_up_cursor_is_refused(house: House) -> None:
    await house.switch(5)
    first = await house.audit.entries(house.ctx, limit=2)
    second = await house.audit.entries(house.ctx, limit=2, cursor=first.next_cursor)
    last = await house.audit.entries(house.ctx, limit=2, cursor=second.next_cursor)
    assert [e.seq for p in (first, second, last) for e in p.items] == [5, 4, 3, 2, 1]
    assert last.next_cursor is None
    with pytest.raises(Invalid):
        await house.audit.entries(house.ctx, limit=2, cursor="AAAA")


async def test_an_untouched_chain_is_intact_and_grows_without_breaking(house: House) -> None:
    await house.switch(4)
    before = await house.audit.verify(house.ctx)
    await house.switch(3)
    after = await house.audit.verify(house.ctx, noted=before.head)
    assert before.intact and after.intact
    assert (before.entries, after.entries) == (4, 7)


@pytest.mark.parametrize(
    ("what", "seq"),
    [
        ("update audit.entry set details = replace(details, 'true', 'false') where seq = 3 and organisation_id = $1", 3),
        ("update audit.entry set account_id = gen_random_uuid() where seq = 2 and organisation_id = $1", 2),
        ("update audit.entry set at = at + interval '1 microsecond' where seq = 4 and organisation_id = $1", 4),
        ("delete from audit.entry where seq = 3 and organisation_id = $1", 3),
        ("delete from audit.entry where seq = 5 and organisation_id = $1", 5),
        ("update audit.entry set hash = sha256('x') where seq = 1 and organisation_id = $1", 1),
        ("update audit.chain set seq = 4 where organisation_id = $1", 4),
        ("update audit.entry set address = '192.0.2.8' where seq = 2 and organisation_id = $1", 2),
        ("update audit.entry set address = '' where seq = 2 and organisation_id = $1", 2),
        ("update audit.entry set address_salt = null where seq = 3 and organisation_id = $1", 3),
        ("update audit.entry set address_digest = sha256('x') where seq = 3 and organisation_id = $1", 3),
        ("update audit.entry set address_digest = null where seq = 3 and organisation_id = $1", 3),
        ("update audit.entry set words = '{}' where seq = 4 and organisation_id = $1", 4),
        ("update audit.entry set address = '', address_salt = null, name = 'x.y' where seq = 4 and organisation_id = $1", 4),
        ("delete from audit.mention where seq = 3 and object_kind = 'lamp' and organisation_id = $1", 3),
        ("update audit.mention set at = at - interval '1 day' where seq = 4 and organisation_id = $1", 4),
        (
            "insert into audit.entry select organisation_id, 6, at, gen_random_uuid(), name, version, actor_kind, account_id,"
            " key_id, service, address, trace_id, object_kind, object_id, details, hash from audit.entry"
            " where seq = 5 and organisation_id = $1",
            6,
        ),
    ],
)
async def test_whatever_is_changed_taken_or_added_is_found(house: House, what: str, seq: int) -> None:
    await house.switch(5)
    assert (await house.audit.verify(house.ctx)).intact, "or the test proves nothing"
    await house.tamper(what, house.org)
    proof = await house.audit.verify(house.ctx)
    assert not proof.intact
    assert proof.fault is not None
    assert proof.fault.seq == seq


def test_nobody_makes_the_house_read_whole_chains_without_end() -> None:
    apis = (AuditApi(None), AuditPages(None, None, None, None))  # type: ignore[arg-type]
    operations = {op.path: op.declared.limits for api in apis for op in api.operations()}
    reading = {path for path in operations if path.endswith(("/proof", "/verify", "/export"))}
    assert len(reading) == 3
    assert all(any(limit.by is By.ACCOUNT for limit in operations[path]) for path in reading)


async def test_a_chain_written_anew_is_found_by_the_head_somebody_noted(house: House) -> None:
    await house.switch(2)
    noted = (await house.audit.verify(house.ctx)).head
    for table in ("entry", "mention", "chain"):
        await house.tamper(f"delete from audit.{table} where organisation_id = $1", house.org)
    await house.switch(2)
    assert (await house.audit.verify(house.ctx)).intact, "by itself the new chain is sound"
    assert not (await house.audit.verify(house.ctx, noted=noted)).intact


async def test_every_chain_is_verified_by_the_command(house: House) -> None:
    await house.switch(2)
    await house.switch(2, org=house.rival)
    await house.tamper("update audit.entry set name = 'lamp.smashed' where seq = 2 and organisation_id = $1", house.rival)
    proofs = {p.organisation_id: p.intact async for p in house.audit.verify_all()}
    assert proofs == {HOUSE: True, house.org: True, house.rival: False}


async def test_events_that_come_twice_are_recorded_once(house: House) -> None:
    await house.switch(3)
    await house.tamper("update kernel.cursor set xid = '0', id = $1 where subscriber = 'audit.trail'", UUID(int=0))
    await house.switch(1)
    proof = await house.audit.verify(house.ctx)
    assert (proof.entries, proof.intact) == (4, True)


async def test_the_programs_own_role_can_neither_change_nor_remove_an_entry(house: House) -> None:
    await house.lend(new_id(), "for her brother")
    module = house.db.module("audit")
    for sql in (
        "update audit.entry set name = 'x.y'",
        "delete from audit.entry",
        "truncate audit.entry",
        "delete from audit.chain",
        "update audit.entry set address_digest = sha256('x')",
        "update audit.entry set words_digest = sha256('x')",
        "update audit.entry set details = '{}'",
        "update audit.entry set address = '192.0.2.8'",
        "update audit.entry set address = '192.0.2.8', address_salt = null",
        "update audit.entry set address = ''",
        "update audit.entry set address_salt = '\\x00'",
        "update audit.entry set address_salt = null",
        'update audit.entry set words = \'{"note": "nothing"}\'',
        "update audit.entry set words = null",
        "update audit.entry set words = null, words_salt = '\\x00'",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with module.tx(house.ctx) as tx:
                await tx.connection.execute(sql)
    assert (await house.audit.verify(house.ctx)).entries == 1
    async with module.tx(house.ctx) as tx:
        emptied = await tx.connection.execute("update audit.entry set address = '', address_salt = null")
    proof = await house.audit.verify(house.ctx)
    assert (emptied, proof.intact, proof.erased) == ("UPDATE 1", True, 1), "what it may do, and the control"


# --- forgotten


async def test_who_is_erased_leaves_every_chain_whole_without_an_address_and_without_what_was_written_of_them(
    house: House,
) -> None:
    them, other = new_id(), house.person
    await house.lend(them, "for her brother")
    await house.lend(other, "for the bar")
    house.person = them
    await house.switch(3)
    await house.switch(2, org=house.rival)
    async with house.db.module("audit").tx(house.of(None)) as tx:
        emit(tx, DoorOpened(door_id=new_id()))
    await house.dispatcher.drain()
    before = {org: await house.audit.verify(house.of(org)) for org in (house.org, house.rival, None)}
    assert all(proof.intact and proof.erased == 0 for proof in before.values()), "or the test proves nothing"

    await house.erase(them)
    after = {org: await house.audit.verify(house.of(org), noted=proof.head) for org, proof in before.items()}
    assert [(p.intact, p.fault, p.erased) for p in after.values()] == [(True, None, 4), (True, None, 2), (True, None, 1)]
    left = [str(row) for row in await house.ask("select e::text from audit.entry e union all select e::text from kernel.event e")]
    payloads = [row[0] for row in await house.ask("select convert_from(payload, 'UTF8') from kernel.event")]
    assert not [row for row in left + payloads if "brother" in row]
    assert len([row for row in left if "192.0.2.7" in row]) == 4, "the other's two, in the record and in the log"
    assert len([row for row in payloads if "for the bar" in row]) == 1

    first, second, third, *_ = await house.exported(start=datetime(2026, 1, 1, tzinfo=UTC))
    assert all(entry.intact for entry in (first, second, third))
    assert (first.address, first.erased, "brother" in str(first.details)) == ("192.0.2.7", [Erasable.WORDS], False)
    assert (second.address, second.erased, "for the bar" in bytes(second.details).decode()) == ("192.0.2.7", [], True)
    assert (third.address, third.erased, third.actor.account_id) == ("", [Erasable.ADDRESS], them)


async def test_forgetting_that_was_cut_off_goes_on_and_begins_no_portion_that_is_too_large(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_service, "FORGOTTEN_AT_ONCE", 2)
    await house.switch(5)
    empty_addresses, portions = queries.empty_addresses, list[int]()

    async def cut_off_at_the_second(tx: Tx, organisation_id: UUID, account_id: UUID, numbers: list[int]) -> None:
        portions.append(len(numbers))
        await empty_addresses(tx, organisation_id, account_id, numbers)
        if len(portions) == 2:
            raise ConnectionError("the worker dies here")

    monkeypatch.setattr(queries, "empty_addresses", cut_off_at_the_second)
    with pytest.raises(ConnectionError):
        await house.audit.forget(service_context("audit.forget"), house.person)
    assert (await house.audit.verify(house.ctx)).erased == 2, "the portion before stands, the one that was cut off does not"
    await house.audit.forget(service_context("audit.forget"), house.person)
    await house.audit.forget(service_context("audit.forget"), house.person)
    proof = await house.audit.verify(house.ctx)
    assert (proof.intact, proof.erased) == (True, 5)
    assert max(portions) == 2


async def test_entries_of_the_release_before_keep_their_place_and_their_seal(house: House) -> None:
    """As it writes them: without a digest, the address in the seal, and words where they were."""
    await house.switch(2)
    old = Entry(
        house.org, 3, datetime.now(UTC), new_id(), "lamp.lent", 1, "person", house.person, None, "", "192.0.2.7", "t1", "lamp",
        None, '{"note":"for her brother"}',
    )  # fmt: skip
    async with house.db.module("audit").tx(house.ctx) as tx:
        head = await queries.hold_chain(tx, house.org)
        (entry,) = link([old], head.hash)
        await queries.append(tx, house.org, [entry], [])
    await house.switch(1)
    await house.erase(house.person)
    proof = await house.audit.verify(house.ctx)
    assert (proof.intact, proof.entries, proof.erased) == (True, 4, 3)
    (shown, *_) = (await house.audit.entries(house.ctx, action="lamp.lent", limit=9)).items
    assert (shown.address, shown.erased, "brother" in bytes(shown.details).decode()) == ("192.0.2.7", [], True)


# --- taken out


async def test_an_export_is_the_organisations_own_record_in_the_order_of_the_chain(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audit_service, "STRETCH", 2)  # several portions
    await house.switch(5)
    await house.switch(2, org=house.rival)
    entries = await house.exported()
    assert [e.seq for e in entries] == [1, 2, 3, 4, 5]
    assert all(e.intact for e in entries)
    read = {e.seq: e.hash for e in (await house.audit.entries(house.ctx, limit=10)).items}
    assert {e.seq: e.hash for e in entries} == read, "the same entries as on the page"
    assert [e.seq for e in await house.exported(house.rival)] == [1, 2]
    assert await house.exported(new_id()) == []


async def test_an_export_is_recorded_itself_with_what_was_asked_for(house: House) -> None:
    await house.switch(2)
    head = (await house.audit.verify(house.ctx)).head
    await house.exported(action="lamp", actor=house.person)
    await house.dispatcher.drain()
    newest = (await house.audit.entries(house.ctx, limit=1)).items[0]
    assert (newest.action, newest.actor.account_id) == ("audit.exported", house.person)
    told = msgspec.json.decode(bytes(newest.details), type=AuditExported)
    assert (told.entries, told.action, told.by, told.head) == (2, "lamp", str(house.person), head)
    assert (await house.audit.entries(house.of(house.rival), limit=5)).items == []


async def test_an_export_takes_the_filters_of_the_page(house: House) -> None:
    lamp = new_id()
    await house.switch(2)
    await house.switch(lamp=lamp)
    (found,) = await house.exported(about=AuditObject("lamp", lamp))
    assert (found.seq, found.intact) == (3, True), "its seal is checked although the entry before it is not asked for"
    assert await house.exported(about=AuditObject("door", lamp)) == []
    assert await house.exported(actor=new_id()) == []
    assert await house.exported(action="lam") == []
    assert [e.seq for e in await house.exported(end=found.at, start=found.at - timedelta(days=1), action="lamp")] == [1, 2]


async def test_an_export_that_is_too_long_is_refused_and_not_recorded(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    await house.switch(3)
    now = datetime.now(UTC)
    for start, end in ((now, now), (now - timedelta(days=367), now)):
        with pytest.raises(Invalid):
            await house.exported(start=start, end=end)
    monkeypatch.setattr(audit_service, "MAX_EXPORTED", 2)
    with pytest.raises(ExportTooLarge):
        await house.exported()
    await house.dispatcher.drain()
    assert (await house.audit.entries(house.ctx, action="audit", limit=5)).items == []
    monkeypatch.setattr(audit_service, "MAX_EXPORTED", 3)
    assert len(await house.exported()) == 3


@pytest.mark.parametrize(
    ("what", "kept", "broken"),
    [
        ("update audit.entry set details = replace(details, 'true', 'false') where seq = 3 and organisation_id = $1", 5, {3}),
        ("delete from audit.entry where seq = 3 and organisation_id = $1", 4, {4}),
        ("update audit.entry set hash = sha256('x') where seq = 2 and organisation_id = $1", 5, {2, 3}),
        ("update audit.chain set seq = 4 where organisation_id = $1", 5, {5}),
    ],
)
async def test_an_export_says_which_entries_were_tampered_with(house: House, what: str, kept: int, broken: set[int]) -> None:
    await house.switch(5)
    assert all(e.intact for e in await house.exported(action="lamp")), "or the test proves nothing"
    await house.tamper(what, house.org)
    entries = await house.exported(action="lamp")
    assert len(entries) == kept
    assert {e.seq for e in entries if not e.intact} == broken


async def test_a_csv_export_has_a_row_for_each_entry_and_no_cell_that_a_spreadsheet_runs(house: House) -> None:
    formula = '=HYPERLINK("http://evil.example/","click")'
    bad = Actor(kind=ActorKind.SERVICE, scopes=frozenset({formula}))
    async with house.db.module("audit").tx(msgspec.structs.replace(house.ctx, actor=bad)) as tx:
        emit(tx, LampSwitched(organisation_id=house.org, lamp_id=new_id(), word='a "quoted",\nline'))
    await house.dispatcher.drain()
    export = await house.audit.export(house.ctx, ExportFormat.CSV)
    text = b"".join([part async for part in written(export, ExportFormat.CSV)]).decode()
    head, row = csv.reader(io.StringIO(text, newline=""))
    assert tuple(head) == COLUMNS
    cells = dict(zip(head, row, strict=True))
    assert cells["actor_service"] == f"'{formula}"
    assert msgspec.json.decode(cells["details"])["word"] == 'a "quoted",\nline'
    assert (cells["seq"], cells["action"], cells["intact"]) == ("1", "lamp.switched", "yes")
    assert not [cell for cell in row if cell[:1] in {"=", "+", "-", "@", "\t", "\r"}]
    assert file_name(export, ExportFormat.CSV) == "audit-2025-11-01-to-2026-11-02.csv"
