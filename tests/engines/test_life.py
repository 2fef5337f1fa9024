"""Starting, serving, stopping; what outlives a stop and what does not."""

import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
import valkey
from tests.engines.conftest import processes_of

from forecourt.engines import EngineError, Engines, engines_running_in, start_engines


def names(data: Path) -> set[str]:
    return set(processes_of(data).values())


async def value(engines: Engines, sql: str) -> object:
    link = await asyncpg.connect(engines.database_url)
    try:
        return await link.fetchval(sql)
    finally:
        await link.close()


def cache(engines: Engines) -> valkey.Valkey:
    return valkey.Valkey.from_url(engines.valkey_url, decode_responses=True)


async def test_both_engines_serve_until_they_are_stopped(data: Path) -> None:
    with start_engines(data, database_url=None, valkey_url=None) as engines:
        assert await value(engines, "select current_setting('server_version_num')::int / 10000") == 18
        assert await value(engines, "select current_database() || '/' || current_user") == "forecourt/forecourt"
        with cache(engines) as link:
            assert link.ping()
        assert names(data) == {"postgres", "valkey-server"}
        assert engines.poll() == []
    assert names(data) == set()
    engines.stop()  # again, without effect


async def test_what_is_committed_outlives_a_stop_and_what_is_cached_does_not(data: Path) -> None:
    with start_engines(data) as engines:
        await value(engines, "create table kept as select 42 as answer")
        with cache(engines) as link:
            link.set("gone", "1")
            assert link.get("gone") == "1"
    with start_engines(data) as engines:
        assert await value(engines, "select answer from kept") == 42
        with cache(engines) as link:
            assert link.get("gone") is None


async def test_postgres_is_durable_bounded_and_deaf_to_the_network(made: Path) -> None:
    expected = {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "listen_addresses": "",
        "transaction_timeout": "1min",
        "jit": "off",
        "wal_compression": "pglz",
        "timezone": "UTC",
        "server_encoding": "UTF8",
        "shared_preload_libraries": "pg_stat_statements",
    }
    with start_engines(made, postgres_settings={"jit": "off"}) as engines:
        for name, wanted in expected.items():
            assert await value(engines, f"select current_setting('{name}')") == wanted, name
        assert (
            await value(engines, "select datlocprovider::text || datlocale from pg_database where datname = 'forecourt'")
            == "bC.UTF-8"
        )
        assert (
            await value(engines, "select upper('straße ñandú')") == "STRASSE ÑANDÚ"
            or await value(engines, "select upper('ñ')") == "Ñ"
        )


async def test_a_setting_can_be_overridden(made: Path) -> None:
    with start_engines(made, postgres_settings={"work_mem": "17MB"}) as engines:
        assert await value(engines, "select current_setting('work_mem')") == "17MB"


async def test_every_extension_the_modules_use_can_be_made(made: Path) -> None:
    extensions = ("btree_gist", "pg_trgm", "unaccent", "citext", "cube", "earthdistance", "vector", "pg_stat_statements")
    with start_engines(made) as engines:
        for extension in extensions:
            await value(engines, f"create extension {extension}")
        assert await value(engines, "select count(*) from pg_stat_statements") is not None


async def test_valkey_writes_nothing_and_evicts_only_what_expires(data: Path) -> None:
    with start_engines(data, database_url="postgresql://elsewhere/forecourt") as engines:
        with cache(engines) as link:
            assert link.config_get("save", "appendonly", "maxmemory-policy", "port") == {
                "save": "",
                "appendonly": "no",
                "maxmemory-policy": "volatile-lru",
                "port": "0",
            }
            link.set("k", "v")
        assert list((data / "valkey").iterdir()) == []


def test_an_engine_with_an_outside_address_is_not_started(data: Path) -> None:
    with start_engines(data, database_url="postgresql://elsewhere/forecourt") as engines:
        assert engines.database_url == "postgresql://elsewhere/forecourt"
        assert names(data) == {"valkey-server"}
    with start_engines(data / "none", database_url="postgresql://elsewhere/x", valkey_url="valkey://elsewhere") as engines:
        assert names(data) == set()
        assert engines.valkey_url == "valkey://elsewhere"
        assert engines.poll() == []
    assert not (data / "none").exists()


def test_a_second_start_is_refused_and_told_who_holds_the_directory(made: Path, run_program) -> None:
    first = run_program(made)
    database_url, valkey_url = first.addresses()
    with pytest.raises(EngineError, match=f"already in use by process {first.process.pid}"):
        start_engines(made)
    running = engines_running_in(made)
    assert running is not None
    assert (running.pid, running.database_url, running.valkey_url) == (first.process.pid, database_url, valkey_url)
    first.interrupt()
    assert engines_running_in(made) is None
    start_engines(made).stop()


def test_nobody_runs_in_a_directory_that_does_not_exist(data: Path) -> None:
    assert engines_running_in(data) is None


async def test_a_stop_in_a_forked_copy_leaves_the_engines_alone(made: Path) -> None:
    with start_engines(made) as engines:
        copied = Engines(
            engines.database_url,
            engines.valkey_url,
            made,
            engines._owned,
            engines._nursery,
            engines._leave,
            _owner_pid=engines._owner_pid + 1,
        )
        copied.stop()
        assert await value(engines, "select 1") == 1
        assert engines.poll() == []


async def test_an_engine_restarted_from_a_passing_thread_outlives_the_thread(made: Path) -> None:
    with start_engines(made) as engines:
        for name in ("postgres", "valkey"):
            passing = threading.Thread(target=engines.restart, args=(name,))
            passing.start()
            passing.join()
        assert await value(engines, "select 1") == 1
        with cache(engines) as link:
            assert link.ping()
        assert engines.poll() == []


def test_no_engine_is_restarted_after_a_stop(made: Path) -> None:
    engines = start_engines(made)
    engines.stop()
    with pytest.raises(EngineError, match="stopping"):
        engines.restart("valkey")
    assert engines.poll() == []


@pytest.fixture
def log_of_eleven_megabytes(data: Path) -> Iterator[Path]:
    log = data / "log" / "valkey.log"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"x" * 11 * 1024 * 1024)
    yield log


def test_a_log_is_moved_aside_before_it_fills_the_disk(data: Path, log_of_eleven_megabytes: Path) -> None:
    log = log_of_eleven_megabytes
    with start_engines(data, database_url="postgresql://elsewhere/forecourt") as engines:
        assert log.stat().st_size > 10 * 1024 * 1024
        engines.poll()
        assert log.stat().st_size < 1024 * 1024
        aside = log.with_name("valkey.log.1")
        assert aside.stat().st_size > 10 * 1024 * 1024
        engines.restart("valkey")
        assert b"Ready to accept connections" in log.read_bytes()  # it goes on writing to the emptied file


def test_the_data_directory_is_closed_to_other_users(made: Path) -> None:
    with start_engines(made):
        listing = subprocess.run(["find", made, "-maxdepth", "1", "-type", "d", "-perm", "/077"], capture_output=True, check=True)
        assert listing.stdout == b""
        assert (made / "lock").stat().st_mode & 0o077 == 0
