"""What `/metrics` tells: rates, errors and durations by route, queues, engines, and the house's business, each fact once."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from math import inf
from pathlib import Path
from typing import Any

import asyncpg
import httpx
import pytest
from tests.conftest import FreshDatabase
from tests.journeys.world import World, at
from tests.observability.conftest import Told, told

from forecourt import tallies
from forecourt.app import House
from forecourt.backups import NOTED
from forecourt.engines import machine
from forecourt.engines.archive import SLOT
from forecourt.kernel.context import service_context
from forecourt.kernel.events import Dispatcher, emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.metrics import MAX_CHILDREN, Metrics
from forecourt.kernel.money import Money
from forecourt.modules.identity.contract import AccountRegistered
from forecourt.modules.payments.contract import PaymentCaptured, PayWith
from forecourt.tallies import MAX_LABELS, Tally, families

pytestmark = pytest.mark.xdist_group("observed")

OF_A_PROCESS = {
    "http_requests_total": {"method", "route", "status"},
    "http_request_duration_seconds_bucket": {"method", "route", "le"},
    "db_pool_connections": {"pool"},
    "db_pool_idle_connections": {"pool"},
    "db_pool_limit": {"pool"},
    "db_pool_waiting": {"pool"},
    "db_pool_waits_total": {"pool"},
    "db_pool_refusals_total": {"pool"},
    "db_slow_statements_total": {"pool"},
    "cache_hits_total": {"tier", "name"},
    "cache_misses_total": {"tier", "name"},
    "cache_fetch_duration_seconds_bucket": {"found", "le"},
    "cache_kept_total": set[str](),
    "cache_bytes": set[str](),
    "cache_limit_bytes": set[str](),
    "cache_evictions_total": set[str](),
    "sockets_open": set[str](),
    "sockets_limit": set[str](),
    "process_resident_memory_bytes": set[str](),
    "process_cpu_seconds_total": set[str](),
    "machine_memory_used_bytes": set[str](),
    "machine_memory_limit_bytes": set[str](),
    "machine_cpu_seconds_total": set[str](),
    "machine_cpu_limit_cores": set[str](),
    "machine_disk_used_bytes": set[str](),
    "machine_disk_limit_bytes": set[str](),
    "forecourt_info": {"version"},
    "rate_limited_total": set[str](),
    "valkey_failures_total": set[str](),
}
OF_THE_HOUSE = {
    "event_lag_seconds": {"subscriber"},
    "event_waiting": {"subscriber"},
    "event_dead_letters": {"subscriber"},
    "events_handled_total": {"subscriber"},
    "job_runs_total": {"kind", "outcome"},
    "job_duration_seconds_bucket": {"kind", "le"},
    "database_size_bytes": set[str](),
    "database_connections": set[str](),
    "database_connections_limit": set[str](),
    "database_deadlocks_total": set[str](),
    "database_archive_failures_total": set[str](),
    "valkey_memory_used_bytes": set[str](),
    "valkey_memory_limit_bytes": set[str](),
    "valkey_evicted_keys_total": set[str](),
    "users_registered_total": set[str](),
    "bookings_held_total": set[str](),
    "bookings_created_total": set[str](),
    "bookings_cancelled_total": set[str](),
    "revenue_minor_total": {"currency"},
    "payments_captured_total": set[str](),
    "notification_deliveries_total": {"channel", "outcome"},
}


async def until(client: httpx.AsyncClient, house: House, seen: Callable[[Told], bool]) -> Told:
    async with asyncio.timeout(30):
        while not seen(found := await told(client, house)):
            await asyncio.sleep(0.05)
    return found


async def test_a_booking_that_is_paid_and_cancelled_is_counted_where_the_stable_names_say(
    world: World, client: httpx.AsyncClient, house: House
) -> None:
    before = await told(client, house)
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5_000)
    wanted = {"resource_id": club.courts[0], "start": at(8, 12), "duration_min": 60, "pay_with": "credits"}
    booked = await ada.post("/v1/bookings", wanted)
    assert booked.status_code == 201, booked.text
    assert (await ada.post(f"/v1/bookings/{booked.json()['id']}/cancel", {"reason": "rain"})).status_code == 200

    def grew(now: Told, name: str, **labels: str) -> float:
        return (now.value(name, **labels) or 0) - (before.value(name, **labels) or 0)

    after = await until(client, house, lambda now: grew(now, "bookings_cancelled_total") >= 1)
    assert grew(after, "users_registered_total") >= 2
    assert grew(after, "bookings_created_total") >= 1 and grew(after, "payments_captured_total") >= 1
    assert grew(after, "revenue_minor_total", currency="GBP") >= 2_000
    assert grew(after, "http_requests_total", method="POST", route="/v1/bookings", status="201") == 1
    assert grew(after, "http_request_duration_seconds_count", method="POST", route="/v1/bookings") == 1
    assert grew(after, "events_handled_total", subscriber=tallies.SUBSCRIBER) >= 4
    done = await until(client, house, lambda now: grew(now, "job_runs_total", kind="identity.write_letter", outcome="done") >= 2)
    assert done.value("job_duration_seconds_count", kind="identity.write_letter") is not None
    sent = await until(
        client, house, lambda now: grew(now, "notification_deliveries_total", channel="email", outcome="sent") >= 1
    )
    for names in (OF_A_PROCESS, OF_THE_HOUSE):
        for name, labels in names.items():
            assert name in sent.samples, name
            assert sent.labels(name) == labels, name


async def test_a_process_without_background_work_tells_nothing_of_the_house(
    house_database_url: str, house: House, client: httpx.AsyncClient
) -> None:
    """So that what every worker tells is not told by servers that know it less well."""
    other = await House.open(house.settings, house.at)
    try:
        transport = httpx.ASGITransport(app=other.app)  # type: ignore[arg-type]
        async with httpx.AsyncClient(transport=transport, base_url="http://house.test") as serving:
            found = Told((await serving.get("/metrics")).text)
    finally:
        await other.close()
    assert not {name for name in OF_THE_HOUSE if name in found.samples} - {"job_duration_seconds_bucket"}
    assert "db_pool_connections" in found.samples and "sockets_limit" not in found.samples
    assert set(OF_THE_HOUSE) <= set((await told(client, house)).samples), "the control: one that works tells them"


async def test_many_who_ask_at_once_cost_one_look(
    house: House, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    lag = Dispatcher.lag

    async def counted(self: Dispatcher) -> Any:
        nonlocal looks
        looks += 1
        return await lag(self)

    monkeypatch.setattr(Dispatcher, "lag", counted)
    house.figures.forget()
    await asyncio.gather(*(client.get("/metrics") for _ in range(20)))
    assert looks == 1
    await told(client, house)
    assert looks == 2


async def test_what_cannot_be_read_is_left_out_and_the_rest_is_told(
    house: House, client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Dispatcher) -> Any:
        raise ConnectionResetError

    monkeypatch.setattr(Dispatcher, "lag", broken)
    found = await told(client, house)
    assert "event_lag_seconds" not in found.samples and "users_registered_total" not in found.samples
    assert "valkey_memory_used_bytes" in found.samples and "http_requests_total" in found.samples
    assert (found.value("figures_unread_total") or 0) >= 1
    monkeypatch.undo()
    assert "event_lag_seconds" in (await told(client, house)).samples


async def test_an_archive_of_changes_and_the_last_whole_copy_are_told_when_there_are_any(
    house: House, client: httpx.AsyncClient, house_admin_url: str
) -> None:
    """The server's side of it. With the real stream of `forecourt up --archive` it is in tests/journeys/test_backups.py."""

    async def now() -> tuple[float | None, float | None, float | None]:
        found = await until(client, house, lambda told: told.value("database_size_bytes") is not None)
        kept = ("connected", "behind_bytes")
        connected, behind = (found.value(f"database_archive_{name}") for name in kept)
        return connected, behind, found.value("database_copy_age_seconds")

    assert await now() == (None, None, None), "without an archive nothing is missing"
    link = await asyncpg.connect(house_admin_url)
    try:
        await link.execute("select pg_create_physical_replication_slot($1, true)", SLOT)
        try:
            connected, behind, age = await now()
            assert (connected, age) == (0, inf), "nobody streams, and there is nothing to begin with"
            await link.execute("select pg_logical_emit_message(false, 'tests', repeat('x', 100000), true)")
            assert ((await now())[1] or 0) >= (behind or 0) + 100_000
        finally:
            await link.execute("select pg_drop_replication_slot($1)", SLOT)
        await link.execute(NOTED, datetime.now(UTC) - timedelta(hours=31), 1)
        assert 30 * 3600 < ((await now())[2] or 0) < 32 * 3600
        await link.execute("set role fc_kernel")  # as whoever makes copies elsewhere does
        await link.execute(NOTED, datetime.now(UTC), 2)
        assert ((await now())[2] or inf) < 600, "one row: the last"
    finally:
        await link.execute("reset role")
        await link.execute("delete from kernel.last_copy")
        await link.close()


def test_a_disk_is_told_as_much_as_may_be_filled(tmp_path: Path) -> None:
    found, same = machine.disk(tmp_path), machine.disk(tmp_path / "not" / "yet")
    assert found is not None and same is not None and same.limit_bytes == found.limit_bytes
    assert 0 < found.used_bytes <= found.limit_bytes <= shutil.disk_usage(tmp_path).total


# --- counted once --------------------------------------------------------------------------------------------------------


async def test_what_is_counted_survives_every_process_and_is_counted_by_one_of_them(fresh_database: FreshDatabase) -> None:
    db = await fresh_database.connect()
    kernel, org = db.module("kernel"), new_id()
    context = service_context("till", org)

    async def happen(times: int) -> None:
        async with db.module("payments").tx(context) as tx:
            for _ in range(times):
                paid = PaymentCaptured(
                    organisation_id=org,
                    payment_id=new_id(),
                    charge_id=new_id(),
                    account_id=None,
                    pay_with=PayWith.DESK,
                    amount=Money(250, "GBP"),
                    discount=Money(0, "GBP"),
                )
                emit(tx, paid)
            emit(tx, AccountRegistered(account_id=new_id()))

    async def sums() -> dict[tuple[str, str], int]:
        async with kernel.read(service_context("metrics")) as tx:
            return {(t.name, t.label): t.total for t in await tx.all(tallies.ALL)}

    await happen(3)
    workers = [Dispatcher(db, fresh_database.url, [tallies.subscription()]) for _ in range(2)]
    await asyncio.gather(*(worker.drain() for worker in workers))
    once = {("revenue_minor", "GBP"): 750, ("payments_captured", ""): 3, ("users_registered", ""): 1}
    assert await sums() == once
    await Dispatcher(db, fresh_database.url, [tallies.subscription()]).drain()
    assert await sums() == once, "a worker that begins anew counts nothing twice"
    await happen(1)
    await workers[0].drain()
    assert await sums() == {("revenue_minor", "GBP"): 1_000, ("payments_captured", ""): 4, ("users_registered", ""): 2}


def test_what_was_never_counted_is_nought_and_amounts_have_few_labels() -> None:
    kept = [Tally("revenue_minor", f"X{n:03}", 1) for n in range(MAX_LABELS + 50)]
    found = {f.name: f for f in families(kept)}
    assert [s.value for s in found["bookings_created"].samples] == [0]
    revenue = found["revenue_minor"].samples
    assert len(revenue) == MAX_LABELS + 1
    assert {s.labels["currency"]: s.value for s in revenue}["other"] == 50


# --- labels are few ------------------------------------------------------------------------------------------------------


def series(metrics: Metrics, name: str) -> int:
    return sum(s.name == name for family in metrics.registry.collect() for s in family.samples)


def test_methods_that_clients_make_up_share_one_label() -> None:
    metrics = Metrics()
    for n in range(50):
        metrics.answered(f"MADE{n}", "other", 405, 0.01)
    metrics.answered("GET", "/v1/venues", 200, 0.01)
    assert series(metrics, "http_requests_total") == 2
    assert b'http_requests_total{method="other",route="other",status="405"} 50.0' in metrics.render()


def test_beyond_a_limit_of_routes_everything_new_counts_together_and_what_was_known_goes_on() -> None:
    metrics = Metrics()
    for n in range(MAX_CHILDREN + 30):
        metrics.answered("GET", f"/v1/made/{n}", 200, 0.01)
    metrics.answered("GET", "/v1/made/0", 200, 0.01)
    assert series(metrics, "http_requests_total") == MAX_CHILDREN + 1
    told = metrics.render()
    assert b'http_requests_total{method="other",route="other",status="200"} 30.0' in told
    assert b'http_requests_total{method="GET",route="/v1/made/0",status="200"} 2.0' in told


async def test_paths_that_lead_nowhere_share_one_label(client: httpx.AsyncClient, house: House) -> None:
    before = len((await told(client, house)).samples["http_requests_total"])
    for n in range(20):
        assert (await client.get(f"/v1/nowhere/{n}")).status_code == 404
        assert (await client.get(f"/v1/venues/{new_id()}")).status_code == 404
    assert len((await told(client, house)).samples["http_requests_total"]) <= before + 3
