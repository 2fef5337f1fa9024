"""Settings follow the machine, within bounds, and never trade durability."""

import pytest

from forecourt.engines import machine
from forecourt.engines import valkey as vk
from forecourt.engines.postgres import settings_for

GIB = 1024**3


def megabytes(text: str) -> int:
    assert text.endswith("MB")
    return int(text.removesuffix("MB"))


@pytest.mark.parametrize(
    ("memory_bytes", "cores", "shared_buffers", "max_connections", "per_gather"),
    [
        (GIB // 4, 1, "32MB", "80", "0"),
        (4 * GIB, 2, "512MB", "100", "1"),
        (16 * GIB, 8, "2048MB", "200", "2"),
        (1024 * GIB, 128, "8192MB", "200", "2"),
    ],
)
def test_settings_follow_the_machine(
    memory_bytes: int, cores: int, shared_buffers: str, max_connections: str, per_gather: str
) -> None:
    settings = settings_for(memory_bytes, cores)
    assert settings["shared_buffers"] == shared_buffers
    assert settings["max_connections"] == max_connections
    assert settings["max_parallel_workers_per_gather"] == per_gather


@pytest.mark.parametrize("memory_bytes", [0, GIB // 2, GIB, 8 * GIB, 64 * GIB, 2048 * GIB])
@pytest.mark.parametrize("cores", [1, 2, 64])
def test_settings_are_durable_and_bounded_on_any_machine(memory_bytes: int, cores: int) -> None:
    settings = settings_for(memory_bytes, cores)
    assert settings["fsync"] == settings["synchronous_commit"] == settings["full_page_writes"] == "on"
    assert settings["transaction_timeout"] == "60s"
    assert settings["wal_level"] == "replica"
    assert 32 <= megabytes(settings["shared_buffers"]) <= 8192
    assert 4 <= megabytes(settings["work_mem"]) <= 32
    assert 512 <= megabytes(settings["max_wal_size"]) <= 4096
    assert int(settings["max_connections"]) <= 200


def test_more_memory_never_means_smaller_settings() -> None:
    sizes = [settings_for(gib * GIB, 4) for gib in (1, 2, 4, 8, 16, 32, 64, 128)]
    for name in ("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "max_wal_size"):
        values = [megabytes(settings[name]) for settings in sizes]
        assert values == sorted(values), name


@pytest.mark.parametrize(("memory_bytes", "limit_mib"), [(0, 64), (4 * GIB, 256), (512 * GIB, 1024)])
def test_valkey_takes_a_bounded_share_and_keeps_what_does_not_expire(memory_bytes: int, limit_mib: int) -> None:
    settings = vk.settings_for(memory_bytes)
    assert int(settings["maxmemory"]) == limit_mib * 1024**2
    assert settings["maxmemory-policy"] == "volatile-lru"
    assert settings["save"] == ""


def test_the_machine_has_memory_and_a_processor() -> None:
    assert machine.memory_bytes() > 64 * 1024**2
    assert machine.cores() >= 1
