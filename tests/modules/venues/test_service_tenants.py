"""One organisation's rows are no other's: through every operation, and under every operation in the database."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime

import asyncpg
import pytest
from tests.statements import counted

from forecourt.kernel.context import Context
from forecourt.kernel.errors import NotFound
from forecourt.kernel.ids import new_id
from forecourt.kernel.period import Period
from forecourt.modules.venues.contract import (
    NewClosure,
    OrganisationPatch,
    PoliciesPatch,
    PriceList,
    Purpose,
    ResourcePatch,
    VenuePatch,
)
from forecourt.modules.venues.service import VenuesService

HOUR = Period(datetime(2026, 12, 1, 11, tzinfo=UTC), datetime(2026, 12, 1, 12, tzinfo=UTC))
TENANT_TABLES = ("venue", "resource", "price_list", "closure")
DIRECTORY = ("organisation_card", "listing")


def operations_on_venue(venues: VenuesService, ctx: Context, venue_id: object, make) -> Iterator:
    """Every operation of staff on a venue, as `ctx`."""
    yield venues.fresh(ctx, venue_id)
    yield venues.edit_venue(ctx, venue_id, VenuePatch(name="Mine"), None)
    yield venues.add_resource(ctx, venue_id, make.court("Mine"))
    yield venues.resources(ctx, venue_id, 10, None)
    yield venues.prices(ctx, venue_id)
    yield venues.set_prices(ctx, venue_id, PriceList([]), None)
    yield venues.close(ctx, venue_id, NewClosure("Mine", holiday=True))
    yield venues.closures(ctx, venue_id)


def operations_in_venue(
    venues: VenuesService, ctx: Context, venue_id: object, resource_id: object, closure_id: object
) -> Iterator:
    """Every operation of staff on something in a venue, as `ctx`."""
    yield venues.resource(ctx, venue_id, resource_id)
    yield venues.edit_resource(ctx, venue_id, resource_id, ResourcePatch(name="Mine"), None)
    yield venues.preview_price(ctx, venue_id, resource_id, HOUR, purpose=Purpose.MATCH, team_size=2, member_tier=None)
    yield venues.reopen(ctx, venue_id, closure_id)
    yield venues.remove_resource(ctx, venue_id, resource_id)


async def test_another_organisations_things_look_absent_in_every_operation(venues: VenuesService, club, rival, make) -> None:
    closure = await venues.close(club.ctx, club.venue.id, NewClosure("Ours", holiday=True))
    venue_id, inside = club.venue.id, (club.courts[0].id, closure.id)
    before = await venues.fresh(club.ctx, venue_id)
    for refused in (
        operations_on_venue(venues, rival.ctx, venue_id, make),
        operations_on_venue(venues, club.ctx.within(None), venue_id, make),
        operations_on_venue(venues, club.ctx, new_id(), make),
        operations_in_venue(venues, rival.ctx, venue_id, *inside),
        operations_in_venue(venues, rival.ctx, rival.venue.id, *inside),
        operations_in_venue(venues, club.ctx, venue_id, new_id(), new_id()),
    ):
        for operation in refused:
            with pytest.raises(NotFound):
                await operation
    assert await venues.fresh(club.ctx, venue_id) == before
    for operation in operations_on_venue(venues, club.ctx, venue_id, make):  # or the test proves nothing
        await operation
    for operation in operations_in_venue(venues, club.ctx, venue_id, *inside):
        await operation


async def test_a_stranger_finds_no_organisation_to_edit(venues: VenuesService, club, make) -> None:
    nowhere = club.ctx.within(new_id())
    for operation in (
        venues.own(nowhere),
        venues.edit_organisation(nowhere, OrganisationPatch(name="Mine"), None),
        venues.edit_policies(nowhere, PoliciesPatch(lead_min=1), None),
        venues.create_venue(nowhere, make.padel()),
        venues.onboarding(nowhere),
    ):
        with pytest.raises(NotFound):
            await operation


async def faults(connection: asyncpg.Connection, own, other) -> list[str]:
    """What the module's role could see or do across the border, were the policies not there; none is the only good answer."""
    found: list[str] = []
    await connection.execute("set local role fc_venues")
    await connection.execute(f"set local forecourt.org = '{own.organisation.id}'")

    async def allowed(what: str, sql: str, *args: object) -> None:
        point = connection.transaction()
        await point.start()
        try:
            status = await connection.execute(sql, *args)
            if not status.endswith(" 0"):
                found.append(what)
        except asyncpg.InsufficientPrivilegeError:
            pass
        except asyncpg.PostgresError:  # past the policy, and only then refused
            found.append(what)
        finally:
            await point.rollback()

    org = other.organisation.id
    await allowed("see organisation", "select 1 from venues.organisation where id = $1", org)
    await allowed("add organisation", "insert into venues.organisation (id) values ($1)", new_id())
    await allowed("change organisation", "update venues.organisation set version = version where id = $1", org)
    for table in TENANT_TABLES:
        await allowed(f"see {table}", f"select 1 from venues.{table} where organisation_id = $1", org)
    for table in (*TENANT_TABLES, *DIRECTORY, "locator"):
        await allowed(f"add {table}", f"insert into venues.{table} (organisation_id) values ($1)", org)
    for table in ("venue", "resource", "price_list", *DIRECTORY):
        touch = f"update venues.{table} set organisation_id = organisation_id where organisation_id = $1"
        await allowed(f"change {table}", touch, org)
        give = f"update venues.{table} set organisation_id = $1 where organisation_id = $2"
        await allowed(f"give {table}", give, org, own.organisation.id)
        await allowed(f"take {table}", give, own.organisation.id, org)
    await allowed("remove closure", "delete from venues.closure where organisation_id = $1", org)
    await connection.execute("set local forecourt.org = ''")
    await allowed("add word without organisation", "insert into venues.search_word (form, word) values ('zz', 'zz')")
    await connection.execute("reset role")
    return found


async def test_each_policy_is_what_keeps_somebody_out(venues: VenuesService, club, rival, admin_url: str) -> None:
    await venues.close(rival.ctx, rival.venue.id, NewClosure("Theirs", holiday=True))
    connection = await asyncpg.connect(admin_url)
    try:
        policies = await connection.fetch(
            "select tablename, policyname, qual, with_check from pg_policies where schemaname = 'venues' order by 1, 2"
        )
        assert len(policies) == 16
        async with connection.transaction():
            assert await faults(connection, club, rival) == []
        for table, policy, using, check in policies:
            for clause, text in (("using", using), ("with check", check)):
                if text in (None, "true"):
                    continue
                change = connection.transaction()
                await change.start()
                await connection.execute(f"alter policy {policy} on venues.{table} {clause} (true)")
                assert await faults(connection, club, rival), f"{policy} on {table} {clause}"
                await change.rollback()
    finally:
        await connection.close()


async def test_every_table_forces_row_security(admin_url: str) -> None:
    connection = await asyncpg.connect(admin_url)
    tables = await connection.fetch(
        "select c.relname, c.relrowsecurity and c.relforcerowsecurity from pg_class c"
        " where c.relnamespace = 'venues'::regnamespace and c.relkind in ('r', 'p')"
    )
    await connection.close()
    assert len(tables) == 9
    assert all(forced for _, forced in tables)


async def test_the_public_reads_what_is_public_whatever_organisation_it_stands_in(venues: VenuesService, club, rival) -> None:
    assert (await venues.book(rival.ctx, club.venue.id)).venue == club.venue
    assert (await venues.cards(rival.ctx, [club.venue.id]))[0].id == club.venue.id
    assert await venues.organisation(rival.ctx, club.organisation.id) == club.organisation


@pytest.mark.parametrize(
    ("operation", "most"),
    [("book", 3), ("fresh", 1), ("edit", 5), ("cards", 1), ("book_version", 1), ("search", 1)],
)
async def test_operations_send_few_statements(venues: VenuesService, club, operation: str, most: int) -> None:
    from forecourt.modules.venues.queries import Wanted

    venues.cache.clear_local()
    ctx, id = club.ctx, club.venue.id
    with counted() as sent:
        await {
            "book": lambda: venues.book(ctx, id),
            "fresh": lambda: venues.fresh(ctx, id),
            "edit": lambda: venues.edit_venue(ctx, id, VenuePatch(name="New"), None),
            "cards": lambda: venues.cards(ctx, [id] * 50),
            "book_version": lambda: venues.book_version(ctx, [id] * 50),
            "search": lambda: venues.search(ctx, Wanted(sport="padel")),
        }[operation]()
    mine = [sql for sql in sent if "kernel." not in sql]
    assert 1 <= len(mine) <= most, mine
