"""The jobs that make room ahead of time and let go of what is past its keeping, run as the worker runs them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from tests.conftest import FreshDatabase

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.jobs import KEEP_EVENTS_DAYS, Tidy, housekeeping
from forecourt.modules.audit.jobs import MakeRoom, handlers, schedules
from forecourt.modules.audit.service import AuditService

PARTITIONS = "select i.inhrelid::regclass::text from pg_inherits i where i.inhparent = $1::text::regclass order by 1"
TELL = "insert into kernel.event (id, at, name, version, payload, actor_kind) values ($1, $2, 'probe', 1, '{}', 'service')"


async def test_the_hourly_job_makes_months_ahead_and_drops_those_past_their_keeping(fresh_database: FreshDatabase) -> None:
    database = await fresh_database.connect()
    link = await fresh_database.admin()
    now = datetime.now(UTC)
    try:
        made = [r[0] for r in await link.fetch(PARTITIONS, "kernel.event")]
        ahead = f"kernel.event_{now + timedelta(days=62):%Y_%m}"
        assert ahead in made
        await link.execute(f"drop table {ahead}")
        await link.execute(
            "create table kernel.event_2020_01 partition of kernel.event"
            " for values from ('2020-01-01 00:00+00') to ('2020-02-01 00:00+00')"
        )
        for at in (datetime(2020, 1, 5, tzinfo=UTC), now):
            await link.execute(TELL, uuid4(), at)
        handler, schedule = housekeeping(database, FixedClock(now))
        assert schedule.kind.name == "kernel.tidy"
        await handler.run(service_context("kernel.tidy"), Tidy())
        left = [r[0] for r in await link.fetch(PARTITIONS, "kernel.event")]
        assert ahead in left
        assert "kernel.event_2020_01" not in left
        assert await link.fetchval("select count(*) from kernel.event") == 1  # the control: what is young stays
        # A year later this month is past its keeping too, but for a subscriber who has not read it.
        await link.execute("insert into kernel.cursor (subscriber) values ('probe.slow')")
        later, _ = housekeeping(database, FixedClock(now + timedelta(days=KEEP_EVENTS_DAYS + 62)))
        await later.run(service_context("kernel.tidy"), Tidy())
        assert await link.fetchval("select count(*) from kernel.event") == 1
        await link.execute("delete from kernel.cursor where subscriber = 'probe.slow'")
        await later.run(service_context("kernel.tidy"), Tidy())
        assert await link.fetchval("select count(*) from kernel.event") == 0
    finally:
        await link.close()


async def test_the_daily_job_of_the_record_makes_next_year_and_drops_nothing(fresh_database: FreshDatabase) -> None:
    database = await fresh_database.connect()
    link = await fresh_database.admin()
    try:
        await link.execute(f"drop table audit.entry_{datetime.now(UTC).year + 1}")
        await link.execute(
            "create table audit.entry_2010 partition of audit.entry"
            " for values from ('2010-01-01 00:00+00') to ('2011-01-01 00:00+00')"
        )
        handler = handlers(AuditService(database.module("audit"), FixedClock(datetime.now(UTC))))[0]
        assert [s.kind.name for s in schedules()] == [handler.kind.name]
        await handler.run(service_context("audit.make_room"), MakeRoom())
        left = [r[0] for r in await link.fetch(PARTITIONS, "audit.entry")]
        assert f"audit.entry_{datetime.now(UTC).year + 1}" in left
        assert "audit.entry_2010" in left
    finally:
        await link.close()
