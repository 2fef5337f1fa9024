"""A PostgreSQL that somebody else keeps: the schema's owner may make roles, is no superuser, and is bound by policies."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import asyncpg
import pytest
from tests.conftest import as_user, at_database, drop

from forecourt.kernel.db import module_role
from forecourt.kernel.migrate import APP_ROLE, MODULES_ROLE, migrate
from forecourt.layout import ROOT, migration_folders

KERNEL = ("kernel", ROOT / "kernel" / "migrations")
BY_THE_KEEPER = ("cube", "earthdistance")
"""Extensions that a managed server's owner may make, and the embedded server's only as a superuser."""
UNGUARDED = "select c.oid::regclass::text from pg_class c where c.relrowsecurity and not c.relforcerowsecurity"


@dataclass(frozen=True)
class Managed:
    url: str
    """Of the owner."""
    keeper: asyncpg.Connection
    """The superuser, whom nobody but the server's keeper is."""
    module: str
    """A module's name that nobody else has."""


@pytest.fixture
async def managed(server_url: str) -> AsyncIterator[Managed]:
    name = f"m_{uuid4().hex[:12]}"
    root = await asyncpg.connect(server_url)
    await root.execute(f"create role {name} login createrole createdb")
    # Roles are the server's, and other tests' databases have made ours: as if the owner had, which it then may give to others.
    for role in (MODULES_ROLE, APP_ROLE, *(module_role(module) for module, _ in migration_folders())):
        await root.execute(f"grant {role} to {name} with admin true, inherit false, set false")
    await root.execute(f"create database {name} owner {name}")
    keeper = await asyncpg.connect(at_database(server_url, name))
    for extension in BY_THE_KEEPER:
        await keeper.execute(f"create extension {extension} with schema public")
    yield Managed(as_user(at_database(server_url, name), name), keeper, f"{name}_probe")
    await keeper.close()
    await drop(server_url, name)
    await root.execute(f"drop role if exists {module_role(f'{name}_probe')}")
    await root.execute(f"drop role {name}")
    await root.close()


async def test_an_owner_who_is_no_superuser_brings_the_database_up_to_date(managed: Managed) -> None:
    applied = await migrate(managed.url, migration_folders())
    assert {m.module for m in applied} == {module for module, _ in migration_folders()}
    assert await migrate(managed.url, migration_folders()) == []
    assert await managed.keeper.fetch(UNGUARDED) == []


@pytest.mark.parametrize(("says_so", "filled"), [(True, 1), (False, 0)])
async def test_a_migration_that_says_so_sees_the_rows_that_policies_hide_from_the_owner(
    says_so: bool, filled: int, managed: Managed, tmp_path: Path
) -> None:
    module = managed.module
    (tmp_path / "0001_things.sql").write_text(
        f"create table {module}.thing (id int primary key); create table {module}.other (id int primary key);"
        + "".join(
            f"alter table {module}.{table} enable row level security; alter table {module}.{table} force row level security;"
            for table in ("thing", "other")
        )
        + f"create policy all_of_them on {module}.other using (true)"
    )
    await migrate(managed.url, [KERNEL, (module, tmp_path)])
    await managed.keeper.execute(f"insert into {module}.thing values (7)")
    (tmp_path / "0002_fill.sql").write_text(
        ("set local row_security = off;\n" if says_so else "") + f"insert into {module}.other select id from {module}.thing"
    )
    assert [m.name for m in await migrate(managed.url, [KERNEL, (module, tmp_path)])] == ["fill"]
    assert await managed.keeper.fetchval(f"select count(*) from {module}.other") == filled
    assert await managed.keeper.fetch(UNGUARDED) == []


async def test_the_program_forgets_what_is_over_in_a_database_whose_owner_is_no_superuser(managed: Managed) -> None:
    await migrate(managed.url, [KERNEL])
    await managed.keeper.execute(
        "insert into kernel.idempotency (account_id, key, fingerprint, effect_id, locked_until, expires_at)"
        " select gen_random_uuid(), 'booking ' || n, '', gen_random_uuid(), now(), now() + n * interval '1 hour'"
        " from generate_series(-3, 3) n where n <> 0"
    )
    program = await asyncpg.connect(as_user(managed.url, APP_ROLE))
    try:
        await program.execute(f"set role {module_role('kernel')}")
        assert await program.fetchval("select kernel.forget_idempotency(now(), 2)") == 2
        assert await program.fetchval("select kernel.forget_idempotency(now(), 2)") == 1
        assert await program.fetchval("select kernel.forget_idempotency(now(), 2)") == 0
        assert await program.fetchval("select count(*) from kernel.idempotency") == 0, "nobody's keys are its own"
    finally:
        await program.close()
    assert await managed.keeper.fetchval("select array_agg(key order by key) from kernel.idempotency") == [
        "booking 1",
        "booking 2",
        "booking 3",
    ]
