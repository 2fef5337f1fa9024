"""The lint of what a database of many servers needs: keys, statements, and the statements for Citus."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from tests.conftest import FreshDatabase

from forecourt.layout import ROOT
from forecourt.spread import (
    TRIGGERS_MENDED,
    TableFacts,
    at_home,
    distribution,
    faults,
    in_order,
    quiet_functions,
    spread_by,
    tables,
)

PLACE = ROOT.parents[1] / "tools" / "lint_distribution.py"


def tool() -> Any:
    """The lint as a module: tools are no part of what is installed."""
    spec = importlib.util.spec_from_file_location("lint_distribution", PLACE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


lint = tool()


@pytest.fixture
async def found(admin_url: str) -> AsyncIterator[list[TableFacts]]:
    connection = await asyncpg.connect(admin_url)
    yield await tables(connection)
    await connection.close()


async def test_the_house_could_be_spread(found: list[TableFacts]) -> None:
    assert lint.check(found, lint.statements(), lint.TARGET.read_text()) == []
    by = {table.name: spread_by(table) for table in found}
    assert by["booking.occupancy"] == by["payments.entry"] == "organisation_id"
    assert by["chat.message"] == "room_id"
    assert by["booking.guest"] == by["payments.customer"] == by["chat.seat"] == "account_id"
    assert by["identity.account"] is None


BROKEN = [
    ("alter table booking.quote add constraint loose unique (id)", "booking.quote loose does not contain organisation_id"),
    ("create unique index loose on booking.quote (account_id)", "loose does not contain organisation_id"),
    ("alter table chat.edit add constraint loose unique (edited_at)", "chat.edit loose does not contain room_id"),
    (
        "alter table booking.block add constraint loose exclude using gist (venue_id with =)",
        "booking.block loose does not contain organisation_id",
    ),
    (
        "alter table booking.due add constraint crossed foreign key (booking_id, organisation_id)"
        " references booking.booking (organisation_id, id)",
        "booking.due crossed does not lead from organisation_id",
    ),
    (
        "alter table notifications.notice add constraint home foreign key (organisation_id) references venues.organisation (id)",
        "notifications.notice home points at venues.organisation, which stays at home",
    ),
    ("create table payments.loose (id uuid primary key)", "payments.loose has none of"),
    ("alter table chat.message drop constraint message_id", "chat.message message_id is mended"),
    (
        "drop trigger guest_is_noted on booking.booking",
        "booking.booking guest_is_noted is named in",
    ),
    ("drop trigger seat_follows on chat.member", "chat.member seat_follows is named in"),
    ("alter table chat.seat add constraint loose unique (room_id)", "chat.seat loose does not contain account_id"),
    (
        "alter table booking.block add column during tstzrange not null default 'empty';"
        " alter table booking.block add constraint lost unique (organisation_id, id, during without overlaps)",
        "booking.block lost is a key without overlaps",
    ),
    (
        "alter table booking.occupancy drop constraint occupancy_pkey",
        "booking.occupancy occupancy_pkey is mended in forecourt/spread.py and is no key",
    ),
    ("alter table booking.feed rename to fodder", "booking.feed is named in forecourt/spread.py and is not there"),
    (
        "create policy asking on booking.quote to fc_booking using (exists (select from booking.due))",
        "booking.quote asking is a policy with a sub-select",
    ),
    (
        "create policy asking on chat.pair for update to fc_chat with check (room_id in (select r.id from chat.room r))",
        "chat.pair asking is a policy with a sub-select",
    ),
    ("drop policy seen_by_members on chat.message", "chat.message seen_by_members is mended in forecourt/spread.py and needs"),
    (
        "revoke update (receipts, quiet, updated_at), delete on chat.setting from fc_chat",
        "chat.setting fc_chat may add to a copied table",
    ),
    ("drop trigger keep_the_books on payments.entry", "payments.entry keep_the_books is named in forecourt/spread.py and is no"),
    ("grant delete on chat.pair to fc_chat", "chat.pair fc_chat is mended in forecourt/spread.py and needs it not"),
]


async def test_a_key_that_keeps_a_table_on_one_server_is_told(fresh_database: FreshDatabase) -> None:
    connection = await fresh_database.admin()
    try:
        for statement, fault in BROKEN:
            broken = connection.transaction()
            await broken.start()
            await connection.execute(statement)
            told = faults(await tables(connection))
            await broken.rollback()
            assert any(fault in line for line in told), (statement, told)
        assert faults(await tables(connection)) == []
    finally:
        await connection.close()


ORG, OTHER, ME, LOT, GIFT, SALE = (f"'{n}0000000-0000-7000-8000-000000000000'::uuid" for n in range(1, 7))
ENTRIES = (
    "insert into payments.entry (organisation_id, transfer_id, seq, account, account_id, lot_id, currency, amount, at) values "
)
BOOKS = f"""
insert into payments.wallet (organisation_id, account_id, currency) values ({ORG}, {ME}, 'GBP'), ({OTHER}, {ME}, 'GBP');
insert into payments.lot (organisation_id, id, account_id, currency, kind, amount, reason, created_at)
    select o, {LOT}, {ME}, 'GBP', 'granted', 100, 'gift', now() from unnest(array[{ORG}, {OTHER}]) o;
insert into payments.transfer (organisation_id, id, kind, currency, at)
    select o, t, 'grant', 'GBP', now() from unnest(array[{ORG}, {OTHER}]) o, unnest(array[{GIFT}, {SALE}]) t;
"""


def entry(org: str, transfer: str, seq: int, amount: int, currency: str = "GBP", lot: bool = False) -> str:
    whose = f"'wallet', {ME}, {LOT}" if lot else "'revenue', null, null"
    return f"({org}, {transfer}, {seq}, {whose}, '{currency}', {amount}, now())"


async def test_the_ledger_of_many_servers_keeps_the_same_books(fresh_database: FreshDatabase) -> None:
    """The trigger that takes the place of the one server's, which cannot run there."""
    gift = [entry(org, GIFT, 0, 100, lot=True) + ", " + entry(org, GIFT, 1, -100) for org in (ORG, OTHER)]
    tried = [
        ENTRIES + ", ".join(gift),
        ENTRIES + ", ".join(gift) + ", " + entry(ORG, SALE, 0, -30, lot=True) + ", " + entry(ORG, SALE, 1, 30),
        ENTRIES + entry(ORG, GIFT, 0, 100, lot=True) + ", " + entry(ORG, GIFT, 1, -99),
        ENTRIES + entry(ORG, GIFT, 0, 5) + ", " + entry(ORG, SALE, 0, -5),
        ENTRIES + entry(ORG, GIFT, 0, 5, "EUR") + ", " + entry(ORG, GIFT, 1, -5, "EUR"),
        ENTRIES + entry(ORG, GIFT, 0, 5, "EUR") + ", " + entry(ORG, GIFT, 1, -5),
        ENTRIES + entry(ORG, GIFT, 0, 200, lot=True) + ", " + entry(ORG, GIFT, 1, -200),
        "update payments.wallet set balance = 5",
    ]
    connection = await fresh_database.admin()
    try:
        await connection.execute(BOOKS)
        one = [await held_after(connection, statement) for statement in tried]
        for line in (line for mend in TRIGGERS_MENDED.values() for line in mend.instead):
            await connection.execute(line)
        assert [await held_after(connection, statement) for statement in tried] == one
        assert [type(came) for came in one] == [list, list, *[str] * 6]
    finally:
        await connection.close()


async def held_after(connection: asyncpg.Connection, statement: str) -> object:
    """What wallets and lots hold when a statement is done, or what refused it; it is taken back."""
    step = connection.transaction()
    await step.start()
    try:
        await connection.execute(statement)
        holdings = "select w.balance, l.remaining from payments.wallet w join payments.lot l using (organisation_id, account_id)"
        return [tuple(r) for r in await connection.fetch(holdings + " order by organisation_id")]
    except asyncpg.CheckViolationError as e:
        return e.constraint_name
    finally:
        await step.rollback()


async def test_a_function_that_whispers_a_tenant_is_told(fresh_database: FreshDatabase) -> None:
    connection = await fresh_database.admin()
    try:
        assert await quiet_functions(connection) == []
        whisper = "returns void language sql as $$ select set_config('forecourt.org', '', true) $$"
        await connection.execute(f"create function booking.whisper() {whisper}; create function venues.whisper() {whisper}")
        assert await quiet_functions(connection) == ["booking.whisper()"], "venues lie on the first server"
        found = await tables(connection)
        told = lint.check(found, [], distribution(found), await quiet_functions(connection))
        assert "booking.whisper() sets a tenant with set_config, of which no other server hears: `set local`" in told
    finally:
        await connection.close()


BY = {"booking.booking": "organisation_id", "booking.due": "organisation_id"}
TIED = [
    "select b.id from booking.booking b where b.organisation_id = $1 and b.id = $2",
    "select booking.id from booking.booking where organisation_id = $1",
    "select b.id from booking.booking b where (b.organisation_id, b.id) in (select * from unnest($1::uuid[], $2::uuid[]))",
    "select b.id from booking.booking b join booking.due d on d.organisation_id = b.organisation_id where b.organisation_id = $1",
    "insert into booking.due (organisation_id, booking_id, at) values ($1, $2, $3)",
    "select w.id from unnest($1::uuid[]) w (id) join booking.due d on (d.organisation_id, d.booking_id) = ($2, w.id)",
    "update booking.due d set at = $3 where d.organisation_id = $1 and d.booking_id = $2",
    "select b.id from booking.booking b where b.organisation_id = any($1::uuid[]) and b.account_id = $2",
    "select b.id from booking.booking b where b.organisation_id in ($1, $2)",
    "select d.at from (values ($1::uuid)) a (id) left join booking.due d on d.organisation_id = a.id",
    "with gone as (delete from booking.due d where d.organisation_id = $1 returning d.*)"
    " update booking.booking b set version = 1 from gone g where b.organisation_id = g.organisation_id and b.id = g.booking_id",
    "with mine as (select $1::uuid as org) select b.id from mine m join booking.booking b on b.organisation_id = m.org",
    "select b.id, (select d.at from booking.due d where d.organisation_id = b.organisation_id) from booking.booking b"
    " where b.organisation_id = $1",
    "select b.id from booking.booking b join booking.due d using (organisation_id) where d.organisation_id = $1",
]
LOOSE = [
    ("select b.id from booking.booking b where b.id = $1", ["booking.booking"]),
    ("select b.id from booking.booking b where b.organisation_id > $1", ["booking.booking"]),
    (
        "select b.id from booking.booking b join booking.due d on d.booking_id = b.id where b.organisation_id = $1",
        ["booking.due"],
    ),
    ("insert into booking.due (booking_id, at) values ($1, $2)", ["booking.due"]),
    ("delete from booking.due", ["booking.due"]),
    (
        "select b.id from booking.booking b join booking.due d on d.organisation_id = b.organisation_id where b.account_id = $1",
        ["booking.booking", "booking.due"],
    ),
    ("select b.id from booking.booking b where $1::uuid is null or b.organisation_id = $1", ["booking.booking"]),
    ("select b.id from booking.booking b where not b.organisation_id = $1", ["booking.booking"]),
    ("select b.id from booking.booking b where b.organisation_id = kernel.current_org()", ["booking.booking"]),
    ("select b.id from booking.booking b where b.organisation_id in ($1, b.venue_id)", ["booking.booking"]),
    (
        "select b.id from booking.booking b where b.organisation_id in (select d.organisation_id from booking.due d)",
        ["booking.booking", "booking.due"],
    ),
    ("select $1::uuid, (select count(*) from booking.due d where d.at < $1)", ["booking.due"]),
    (
        "select b.id from booking.booking b where b.organisation_id = $1 union select d.booking_id from booking.due d",
        ["booking.due"],
    ),
    (
        "with late as (select d.organisation_id from booking.due d where d.at < $1)"
        " delete from booking.booking b using late l where b.organisation_id = l.organisation_id",
        ["booking.booking", "booking.due"],
    ),
    (
        "select b.id from booking.booking b where exists (select from booking.due b where b.organisation_id = $1)",
        ["booking.booking"],
    ),
]


@pytest.mark.parametrize("sql", TIED)
def test_a_statement_that_says_which_rows_it_means_is_fine(sql: str) -> None:
    assert lint.loose_tables(sql, BY) == []


@pytest.mark.parametrize(("sql", "tables"), LOOSE)
def test_one_that_asks_everybody_is_told(sql: str, tables: list[str]) -> None:
    assert lint.loose_tables(sql, BY) == tables


SPREAD = {"booking.booking", "booking.due"}
REFUSED = [
    "insert into booking.due (organisation_id, booking_id, at) select $1, b.id, $2 from unnest($3::uuid[]) as b (id)",
    "with b as (insert into booking.due (organisation_id, booking_id, at) select $1, $2, $3 where $4) select 1",
    "select case b.status when 'completed' then 1 else 2 end from booking.booking b where b.organisation_id = $1",
]
TAKEN = [
    "insert into booking.due (organisation_id, booking_id, at) select $1, b.id, $2 from unnest($3::uuid[]) as b (id) returning 1",
    "insert into booking.due (organisation_id, booking_id, at) select $1, $2, $3 where $4 on conflict do nothing",
    "insert into booking.due (organisation_id, booking_id, at) values ($1, $2, $3)",
    "insert into kernel.event (id, name) select e.id, e.name from unnest($1::uuid[], $2::text[]) as e (id, name)",
    "select case when b.status = 'completed' then 1 else 2 end from booking.booking b where b.organisation_id = $1",
    "select case v.kind when 'club' then 1 else 2 end from venues.venue v",
]


@pytest.mark.parametrize("sql", REFUSED)
def test_a_statement_that_citus_refuses_is_told(sql: str) -> None:
    assert len(lint.refusals(sql, SPREAD)) == 1


@pytest.mark.parametrize("sql", TAKEN)
def test_one_that_it_takes_is_fine(sql: str) -> None:
    assert lint.refusals(sql, SPREAD) == []


async def test_locking_what_is_found_on_every_server_is_told(found: list[TableFacts], monkeypatch: pytest.MonkeyPatch) -> None:
    claims = [q.sql for q in lint.Query.registered if isinstance(q, lint.LockingSweep)]
    assert claims
    assert lint.refused_statements(found, claims) == []
    locking = "select q.id from notifications.due q where q.due_at < $1 for update skip locked"
    monkeypatch.setattr(lint, "sweeps", lambda: {locking})
    assert lint.refused_statements(found, [locking]) == [f"locks rows on every server and is no LockingSweep: {locking}"]


async def test_what_asks_everybody_is_told_unless_only_the_house_may_ask_it(found: list[TableFacts]) -> None:
    loose, swept = lint.loose_statements(found, lint.statements()), lint.sweeps()
    assert lint.statement_faults(loose, swept) == []
    asks = "select count(*) from booking.booking b"
    assert lint.statement_faults(loose | {asks: ["booking.booking"]}, swept) == [
        f"does not say which rows of booking.booking it means: {asks}"
    ]
    assert lint.statement_faults(loose | {asks: ["booking.booking"]}, swept | {asks}) == []


async def test_no_request_asks_every_server(found: list[TableFacts]) -> None:
    """What is left to be asked everywhere only the house may ask, and a request is refused by the kernel."""
    assert set(lint.loose_statements(found, lint.statements())) == lint.sweeps()
    tied = "select b.id from booking.booking b where b.organisation_id = $1"
    loose, swept = lint.loose_statements(found, lint.statements()), lint.sweeps()
    assert lint.statement_faults(loose, swept | {tied}) == [f"says which rows it means and need be no sweep: {tied}"]


async def test_the_statements_for_citus_follow_from_the_catalogue(found: list[TableFacts]) -> None:
    text = distribution(found)
    assert all(f"('{table.name}'" in text for table in found if not at_home(table.name))
    assert not any(f"('{table.name}'" in text for table in found if at_home(table.name))
    assert text.index("'booking.booking'") < text.index("'booking.occupancy'")
    assert lint.check(found, lint.statements(), text.replace("'payments.lot', 'organisation_id'", "'payments.lot', 'id'")) != []
    assert [t.name for t in in_order(found)] != [t.name for t in found]
