from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from forecourt.kernel.migrate import MigrationError, migrate, pending, read_migrations
from forecourt.layout import ROOT, migration_folders

KERNEL = ("kernel", ROOT / "kernel" / "migrations")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "0001_first.sql").write_text("create table probe.first (id int primary key);")
    (tmp_path / "0002_second.sql").write_text("create table probe.second (id int primary key);")
    return tmp_path


async def tables(fresh: Any) -> set[str]:
    connection: asyncpg.Connection[Any] = await fresh.admin()
    rows = await connection.fetch("select tablename from pg_tables where schemaname = 'probe'")
    await connection.close()
    return {r["tablename"] for r in rows}


async def test_migrations_are_applied_once_in_order(fresh_database: Any, folder: Path) -> None:
    modules = [KERNEL, ("probe", folder)]
    assert [m.number for m in await pending(fresh_database.admin_url, modules)] == [1, 2]
    assert [m.name for m in await migrate(fresh_database.admin_url, modules)] == ["first", "second"]
    assert await migrate(fresh_database.admin_url, modules) == []
    assert await pending(fresh_database.admin_url, modules) == []
    assert await tables(fresh_database) == {"first", "second"}


async def test_a_changed_file_is_refused(fresh_database: Any, folder: Path) -> None:
    modules = [KERNEL, ("probe", folder)]
    await migrate(fresh_database.admin_url, modules)
    (folder / "0001_first.sql").write_text("create table probe.other (id int primary key);")
    with pytest.raises(MigrationError, match="probe 0001 was changed"):
        await migrate(fresh_database.admin_url, modules)


def test_a_gap_a_double_and_a_bad_name_are_refused(folder: Path) -> None:
    assert len(read_migrations("probe", folder)) == 2
    (folder / "0004_fourth.sql").write_text("select 1")
    with pytest.raises(MigrationError, match="0003 is missing"):
        read_migrations("probe", folder)
    (folder / "0004_fourth.sql").rename(folder / "0002_again.sql")
    with pytest.raises(MigrationError, match="0003 is missing or 0002 is there twice"):
        read_migrations("probe", folder)
    (folder / "0002_again.sql").rename(folder / "three.sql")
    with pytest.raises(MigrationError, match=r"three\.sql"):
        read_migrations("probe", folder)


async def test_runs_at_the_same_time_apply_everything_once(fresh_database: Any, folder: Path) -> None:
    modules = [KERNEL, ("probe", folder)]
    runs = await asyncio.gather(*(migrate(fresh_database.admin_url, modules) for _ in range(4)))
    assert sorted(len(applied) for applied in runs) == [0, 0, 0, 2]


async def test_a_failed_file_leaves_nothing_and_can_be_corrected(fresh_database: Any, folder: Path) -> None:
    modules = [KERNEL, ("probe", folder)]
    (folder / "0002_second.sql").write_text("create table probe.second (id int primary key); select 1 / 0;")
    with pytest.raises(MigrationError, match="probe 0002 second: division by zero"):
        await migrate(fresh_database.admin_url, modules)
    assert await tables(fresh_database) == {"first"}
    (folder / "0002_second.sql").write_text("create table probe.second (id int primary key);")
    assert [m.number for m in await migrate(fresh_database.admin_url, modules)] == [2]


def test_the_kernels_folder_comes_first() -> None:
    names = [name for name, _ in migration_folders()]
    assert names[0] == "kernel"
    assert names[1:] == sorted(names[1:])
