"""The record: written by events, kept apart by organisation, and broken by whoever touches it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid
from forecourt.kernel.events import Dispatcher, Event, emit
from forecourt.kernel.ids import new_id
from forecourt.modules.audit.contract import HOUSE, AuditObject
from forecourt.modules.audit.reactions import subscriptions
from forecourt.modules.audit.service import AuditService


class LampSwitched(Event, name="lamp.switched", frozen=True, kw_only=True):
    """An event of the tests' own."""

    organisation_id: UUID
    lamp_id: UUID
    room_ids: tuple[UUID, ...] = ()
    on: bool = True


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
        self.dispatcher = Dispatcher(db, fresh.url, subscriptions(self.audit, [LampSwitched, DoorOpened]))

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
    await house.switch(1)
    module = house.db.module("audit")
    for sql in (
        "update audit.entry set name = 'x.y'",
        "delete from audit.entry",
        "truncate audit.entry",
        "delete from audit.chain",
    ):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            async with module.tx(house.ctx) as tx:
                await tx.connection.execute(sql)
    assert (await house.audit.verify(house.ctx)).entries == 1
