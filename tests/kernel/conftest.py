"""Scratch modules for the kernel's tests: two schemas with their roles, made by the real migration run."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit, urlunsplit

import pytest
from tests.conftest import FreshDatabase
from tests.kernel.relay import Relay

from forecourt.kernel.db import Database
from forecourt.kernel.migrate import migrate
from forecourt.layout import ROOT

PROBE = """
create table probe.effect (seq bigint generated always as identity, organisation_id uuid, note text not null);
alter table probe.effect enable row level security;
alter table probe.effect force row level security;
grant select, insert on probe.effect to fc_probe;
create policy tenant on probe.effect to fc_probe
    using (organisation_id is not distinct from kernel.current_org())
    with check (organisation_id is not distinct from kernel.current_org());
create index effect_by_organisation on probe.effect (organisation_id, seq);
"""


class Scratch:
    """A database of the test's own with the modules `probe` and `other`."""

    def __init__(self, fresh: Any, db: Database) -> None:
        self.fresh = fresh
        self.db = db
        self.url: str = fresh.url
        self.probe = db.module("probe")

    async def notes(self) -> list[str]:
        """Every effect of every tenant, in the order in which it was written."""
        return [r["note"] for r in await self.sql("select note from probe.effect order by seq")]

    async def sql(self, statement: str, *args: object) -> list[Any]:
        """As the superuser."""
        connection = await self.fresh.admin()
        try:
            return await connection.fetch(statement, *args)
        finally:
            await connection.close()


@pytest.fixture
async def scratch(fresh_database: Any, tmp_path: Path) -> AsyncIterator[Scratch]:
    for name in ("probe", "other"):
        (tmp_path / name).mkdir()
    (tmp_path / "probe" / "0001_effects.sql").write_text(PROBE)
    (tmp_path / "other" / "0001_things.sql").write_text(
        "create table other.thing (id int primary key); grant select on other.thing to fc_other;"
    )
    folders = [("kernel", ROOT / "kernel" / "migrations"), ("probe", tmp_path / "probe"), ("other", tmp_path / "other")]
    await migrate(fresh_database.admin_url, folders)
    yield Scratch(fresh_database, await fresh_database.connect(20))


@pytest.fixture
async def relayed(fresh_database: FreshDatabase) -> AsyncIterator[tuple[str, Relay]]:
    """The database's address through a relay."""
    parts = urlsplit(fresh_database.url)
    folder = parse_qs(parts.query)["host"][0]
    with tempfile.TemporaryDirectory(prefix="fc-relay-", dir="/tmp") as place:
        relay = Relay(f"{folder}/.s.PGSQL.5432")
        server = await asyncio.start_unix_server(relay.meet, f"{place}/.s.PGSQL.5432")
        yield urlunsplit(parts._replace(query=f"host={quote(place)}")), relay
        server.close()
        await relay.close()
