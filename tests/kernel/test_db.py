from __future__ import annotations

import asyncio
import importlib
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.conftest import FreshDatabase
from tests.kernel.conftest import Scratch

from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.db import AskedEverywhere, Database, Query, Statement, TransactionLost, Tx, constraint_of, module_role
from forecourt.kernel.ids import new_id
from forecourt.layout import ROOT
from forecourt.modules.payments import queries as payments

SETTINGS = "select current_user::text as role, current_setting('forecourt.org', true) as org"
OURS = Query(str, "select note from probe.effect order by seq limit 100")
ADD = Statement("insert into probe.effect (organisation_id, note) values ($1, $2)")


class Court(msgspec.Struct, frozen=True):
    name: str
    lanes: int = 1


class NamedCourt(msgspec.Struct, frozen=True, kw_only=True):
    name: str


class LateCourt(Court, frozen=True, kw_only=True):
    surface: str


async def one_connection(scratch: Scratch) -> Database:
    return await scratch.fresh.connect(1)


async def test_nothing_of_a_transaction_stays_in_the_pooled_connection(scratch: Scratch) -> None:
    db = await one_connection(scratch)
    org = uuid4()
    async with db.module("probe").tx(service_context("test", org)) as tx:
        row = await tx.connection.fetchrow(SETTINGS)
        assert (row["role"], row["org"]) == ("fc_probe", str(org))
    connection = await db.primary.acquire()
    row = await connection.fetchrow(SETTINGS)
    assert (row["role"], row["org"] or "") == ("forecourt_app", "")
    # The control: a plain `set` does stay, and the next user would be its tenant.
    await connection.execute(f"set forecourt.org = '{org}'")
    await db.primary.release(connection)
    again = await db.primary.acquire()
    assert (await again.fetchrow(SETTINGS))["org"] == str(org)
    await db.primary.release(again)


@pytest.mark.parametrize("statement", ["select pg_sleep(30)", "select 1"])
async def test_a_cancelled_task_does_not_leak_its_tenant(scratch: Scratch, statement: str) -> None:
    db = await one_connection(scratch)
    inside = asyncio.Event()

    async def work() -> None:
        async with db.module("probe").tx(service_context("test", uuid4())) as tx:
            inside.set()
            await tx.connection.execute(statement)
            await asyncio.sleep(30)

    task = asyncio.create_task(work())
    await inside.wait()
    await asyncio.sleep(0.05)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    connection = await db.primary.acquire()
    assert not connection.is_in_transaction()
    row = await connection.fetchrow(SETTINGS)
    assert (row["role"], row["org"] or "") == ("forecourt_app", "")
    await db.primary.release(connection)


async def test_a_task_cancelled_while_it_begins_does_not_leak_either(scratch: Scratch) -> None:
    db = await one_connection(scratch)
    for turns in range(12):

        async def work() -> None:
            async with db.module("probe").tx(service_context("test", uuid4())):
                await asyncio.sleep(30)

        task = asyncio.create_task(work())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        connection = await db.primary.acquire()
        assert (await connection.fetchrow(SETTINGS))["role"] == "forecourt_app"
        await db.primary.release(connection)


async def test_without_a_context_there_are_no_rows_and_with_one_only_its_own(scratch: Scratch) -> None:
    mine, yours = uuid4(), uuid4()
    for org, note in ((mine, "mine"), (yours, "yours")):
        async with scratch.probe.tx(service_context("test", org)) as tx:
            await tx.run(ADD, org, note)
    async with scratch.probe.read(service_context("test")) as tx:
        assert await tx.all(OURS) == []
    async with scratch.probe.read(service_context("test", mine)) as tx:
        assert await tx.all(OURS) == ["mine"]
    assert sorted(await scratch.notes()) == ["mine", "yours"], "both are there, or this test proves nothing"
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.tx(service_context("test", mine)) as tx:
            await tx.run(ADD, yours, "smuggled")


ASKERS = [
    Context(),
    Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id())),
    Context(actor=Actor(kind=ActorKind.PERSON, account_id=new_id(), platform_admin=True)),
    Context(actor=Actor(kind=ActorKind.API_KEY, key_id=new_id())),
]


@pytest.mark.parametrize("ctx", ASKERS, ids=["a visitor", "a person", "an administrator", "an API key"])
async def test_what_goes_to_every_server_is_asked_for_no_request(db: Database, ctx: Context) -> None:
    asks = (Tx.all, Tx.maybe, Tx.one)
    for ask in asks:
        for begin in (db.module("payments").read, db.module("payments").tx):
            with pytest.raises(AskedEverywhere):
                async with begin(ctx) as tx:
                    await ask(tx, payments.BOOKS, new_id(), 1)
    async with db.module("payments").read(service_context("tests")) as tx:
        assert await tx.maybe(payments.BOOKS, UUID(int=2**128 - 1), 1) is None  # the control: the house may


async def test_a_role_cannot_read_another_modules_schema(scratch: Scratch) -> None:
    async with scratch.db.module("other").read(service_context("test")) as tx:
        assert await tx.connection.fetch("select id from other.thing") == []
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with scratch.probe.read(service_context("test")) as tx:
            await tx.connection.fetch("select id from other.thing")
    connection = await scratch.db.primary.acquire()
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.fetch("select id from other.thing")  # the login itself may nothing
    await scratch.db.primary.release(connection)


async def test_a_swallowed_error_cannot_pass_for_a_commit(scratch: Scratch) -> None:
    committed: list[bool] = []
    with pytest.raises(TransactionLost):
        async with scratch.probe.tx(service_context("test")) as tx:
            await tx.run(ADD, None, "lost")
            tx.after_commit(lambda: committed.append(True))
            with pytest.raises(asyncpg.PostgresError):
                await tx.connection.execute("select 1 / 0")
    assert committed == []
    assert await scratch.notes() == []


async def test_the_policy_functions_inline_so_that_an_index_serves_the_policy(scratch: Scratch) -> None:
    org = uuid4()
    await scratch.sql(
        "insert into probe.effect (organisation_id, note) select gen_random_uuid(), 'x' from generate_series(1, 5000)"
    )
    await scratch.sql("alter policy tenant on probe.effect using (organisation_id = kernel.current_org())")
    await scratch.sql("analyze probe.effect")
    async with scratch.probe.read(service_context("test", org)) as tx:
        plan = "\n".join(r[0] for r in await tx.connection.fetch("explain select note from probe.effect order by seq limit 10"))
    assert "effect_by_organisation" in plan
    assert "Index Cond" in plan
    assert "current_org" not in plan, "inlined"


async def test_an_idempotency_key_is_seen_by_its_account_alone(scratch: Scratch) -> None:
    kernel = scratch.db.module("kernel")
    me, you = (Context(actor=Actor(kind=ActorKind.PERSON, account_id=uuid4())) for _ in range(2))
    insert = (
        "insert into kernel.idempotency (account_id, key, fingerprint, effect_id, locked_until, expires_at)"
        " values ($1, 'k', '', gen_random_uuid(), now(), now())"
    )
    async with kernel.tx(me) as tx:
        await tx.connection.execute(insert, me.account_id)
    for who, rows in ((me, 1), (you, 0), (Context(), 0)):
        async with kernel.read(who) as tx:
            assert len(await tx.connection.fetch("select key from kernel.idempotency")) == rows
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with kernel.tx(you) as tx:
            await tx.connection.execute(insert, me.account_id)


# --- claims on one key: the trap and its cure --------------------------------------------------------------------------

CLAIM = "insert into probe.claim (resource, during) select r, $2 from unnest($1::int[]) as r"


async def claims(scratch: Scratch, statement: str, ordered: bool) -> tuple[int, int]:
    """Many claim the same two courts at once, half of them the other way round. Returns (winners, deadlocks)."""
    await scratch.sql("truncate probe.claim")
    during = asyncpg.Range(1, 2)
    start = asyncio.Event()
    won = deadlocks = 0

    async def claim(connection: asyncpg.Connection[Any], resources: list[int]) -> None:
        nonlocal won, deadlocks
        await start.wait()
        try:
            async with connection.transaction():
                for resource in sorted(resources) if ordered else resources:
                    if await connection.execute(statement, [resource], during) == "INSERT 0 0":
                        raise LookupError
            won += 1
        except asyncpg.DeadlockDetectedError:
            deadlocks += 1
        except (asyncpg.ExclusionViolationError, LookupError):
            pass

    connections = [await scratch.fresh.admin() for _ in range(12)]
    for connection in connections:
        await connection.execute("set deadlock_timeout = '20ms'")
    tasks = [asyncio.create_task(claim(c, [1, 2] if i % 2 else [2, 1])) for i, c in enumerate(connections)]
    start.set()
    await asyncio.gather(*tasks)
    for connection in connections:
        await connection.close()
    return won, deadlocks


async def test_plain_inserts_into_one_key_deadlock_and_sorted_ones_that_do_nothing_on_conflict_do_not(scratch: Scratch) -> None:
    connection = await scratch.fresh.admin()
    await connection.execute(
        "create extension if not exists btree_gist; create table probe.claim"
        " (resource int, during int4range, primary key (resource, during without overlaps))"
    )
    await connection.close()
    control = 0
    for _ in range(20):
        control += (await claims(scratch, CLAIM, ordered=False))[1]
        if control:
            break
    assert control, "the control never deadlocked, so this test proves nothing"
    for _ in range(10):
        assert await claims(scratch, f"{CLAIM} on conflict do nothing", ordered=True) == (1, 0)


# --- every query against the schema it is for ----------------------------------------------------------------------------

PYTHON_OF = {
    "UUID": {"uuid"},
    "str": {"text", "varchar", "citext", "name", "bpchar"},
    "int": {"int2", "int4", "int8", "xid8"},
    "float": {"float4", "float8"},
    "bool": {"bool"},
    "bytes": {"bytea"},
    "datetime": {"timestamptz"},
    "date": {"date"},
    "time": {"time"},
    "timedelta": {"interval"},
    "Decimal": {"numeric"},
}


def every_query() -> list[tuple[str, Query[Any] | Statement]]:
    """Every Query and Statement of the program with the module it belongs to."""
    found: list[tuple[str, Query[Any] | Statement]] = []
    for path in sorted((ROOT / "kernel").glob("**/*.py")) + sorted((ROOT / "modules").glob("**/*.py")):
        text = path.read_text()
        if "Query(" not in text and "Statement(" not in text:
            continue
        name = ".".join(["forecourt", *path.relative_to(ROOT).with_suffix("").parts]).removesuffix(".__init__")
        owner = path.relative_to(ROOT).parts[1] if path.relative_to(ROOT).parts[0] == "modules" else "kernel"
        module = importlib.import_module(name)
        found += [
            (f"{owner} {Path(path).stem}.{key}", value)
            for key, value in vars(module).items()
            if isinstance(value, Query | Statement) and f"\n{key} = " in text
        ]
    return found


def bare(annotation: Any) -> Any:
    """The type without Annotated, Optional and NewType."""
    while True:
        if get_origin(annotation) is Annotated:
            annotation = get_args(annotation)[0]
        elif get_origin(annotation) in (Union, UnionType):
            rest = [a for a in get_args(annotation) if a is not type(None)]
            if len(rest) != 1:
                return None
            annotation = rest[0]
        elif hasattr(annotation, "__supertype__"):
            annotation = annotation.__supertype__
        else:
            return annotation


def misfit(annotation: Any, column: asyncpg.Attribute) -> bool:
    """True when a column of that type cannot fill a field of this type."""
    kind = bare(annotation)
    allowed = PYTHON_OF.get(getattr(kind, "__name__", ""))
    return allowed is not None and column.type.name not in allowed


QUERIES = every_query()


@pytest.mark.parametrize(("name", "query"), QUERIES, ids=[n for n, _ in QUERIES])
async def test_every_query_fits_the_schema_and_the_struct_it_fills(
    db: Database, name: str, query: Query[Any] | Statement
) -> None:
    owner = name.split(maxsplit=1)[0]
    connection = await db.primary.acquire()
    try:
        async with connection.transaction():
            await connection.execute(f"set local role {module_role(owner)}")
            prepared = await connection.prepare(query.sql)
            if isinstance(query, Statement):
                return
            columns = prepared.get_attributes()
            if not (isinstance(query.row, type) and issubclass(query.row, msgspec.Struct)):
                assert len(columns) == 1
                assert not misfit(query.row, columns[0])
                return
            hints = get_type_hints(query.row, include_extras=True)
            assert len(columns) == len(query.fields)
            wrong = [(f, c.name, c.type.name) for f, c in zip(query.fields, columns, strict=True) if misfit(hints[f], c)]
            assert wrong == []
    finally:
        await db.primary.release(connection)


def test_the_check_of_queries_sees_the_kernels_own_and_would_notice_a_misfit() -> None:
    assert {"kernel events.WANTED", "kernel jobs.INSERT"} <= {n for n, _ in QUERIES}
    column = asyncpg.Attribute("n", asyncpg.Type(23, "int4", "scalar", "pg_catalog"))
    assert misfit(str, column)
    assert not misfit(int | None, column)


@pytest.mark.parametrize(("row", "field"), [(NamedCourt, "name"), (LateCourt, "surface")])
def test_a_query_refuses_a_struct_whose_fields_a_row_cannot_fill_by_position(row: type[msgspec.Struct], field: str) -> None:
    before = len(Query.registered)
    with pytest.raises(TypeError, match=f"{row.__name__} is kw_only.*: {field}\\."):
        Query(row, "select 'Centre'")
    assert len(Query.registered) == before, "what was refused is not among the queries of the program"


def test_a_query_takes_a_struct_with_positions_and_defaults() -> None:
    query = Query(Court, "select 'Centre', 2")
    Query.registered.remove(query)
    assert query.fields == ("name", "lanes")
    assert query.make(("Centre", 2)) == Court("Centre", 2)  # type: ignore[arg-type]


async def test_where_others_have_a_part_of_the_rows_a_block_sets_the_tenant(fresh_database: FreshDatabase) -> None:
    database = await fresh_database.connect(2)
    ctx = Context(Actor(ActorKind.PERSON, account_id=uuid4()), organisation_id=uuid4())
    said = "select current_user::text || ' ' || current_setting('forecourt.org') || ' ' || current_setting('forecourt.account')"
    rooms = "select coalesce(current_setting('forecourt.rooms', true), '')"
    ids = [uuid4(), uuid4()]
    for spread in (False, True):
        database.primary.spread = spread
        async with database.module("booking").tx(ctx) as tx:
            assert await tx.connection.fetchval(said) == f"fc_booking {ctx.organisation_id} {ctx.actor.account_id}"
            await tx.pass_on("forecourt.rooms", ids)
            assert await tx.connection.fetchval(rooms) == (f"{ids[0]},{ids[1]}" if spread else "")
            await tx.become("fc_chat", None, ids[0])
            assert await tx.connection.fetchval(said) == f"fc_chat  {ids[0]}"


def test_a_constraint_that_another_server_names_in_words_alone_is_known() -> None:
    refused = asyncpg.UniqueViolationError('duplicate key value violates unique constraint "template_once_102345"')
    assert constraint_of(refused) == "template_once"
    refused.constraint_name = "template_once"
    assert constraint_of(refused) == "template_once"
    assert constraint_of(asyncpg.UniqueViolationError("something else")) == ""
