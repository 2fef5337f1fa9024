"""Security events as platform admins see them, how long they are kept, and what audit learns of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
import pytest
from tests.conftest import FreshDatabase
from tests.modules.identity.conftest import PASSWORD, STRANGER, World

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, Unauthenticated
from forecourt.kernel.events import Dispatcher, registered_events
from forecourt.kernel.ids import new_id
from forecourt.modules.audit.contract import AuditEntry
from forecourt.modules.audit.reactions import subscriptions
from forecourt.modules.audit.service import AuditService
from forecourt.modules.identity.contract import BadCredentials, SecurityKind
from forecourt.modules.identity.queries.accounts import AdminSecurityRow, SecurityWanted
from forecourt.modules.identity.service.sessions import Tokens

YEAR = timedelta(days=365)


async def an_admin(world: World) -> Context:
    tokens = await world.confirmed("boss")
    await world.identity.persons.make_admin(STRANGER, tokens.account.email)
    return await world.as_(tokens)


async def seen(world: World, ctx: Context, limit: int = 50, **wanted: object) -> list[AdminSecurityRow]:
    page = await world.identity.sessions.all_security_events(ctx, SecurityWanted(**wanted), limit, None)  # type: ignore[arg-type]
    return page.items


async def happened(admin: asyncpg.Connection, tokens: Tokens, at: datetime) -> UUID:
    """An event of the past, put there by hand: the clock of the database cannot be turned back."""
    event = new_id()
    await admin.execute(
        "insert into identity.security_event (account_id, id, kind, at) values ($1, $2, 'logged_in', $3)",
        tokens.account.id,
        event,
        at,
    )
    return event


async def test_an_admin_sees_everybody_and_anybody_else_only_themselves(world: World) -> None:
    ada, eve = await world.confirmed("ada"), await world.confirmed("eve")
    boss = await an_admin(world)
    assert {ada.account.id, eve.account.id} <= {e.account_id for e in await seen(world, boss)}
    assert {e.account_id for e in await seen(world, await world.as_(eve))} == {eve.account.id}
    with pytest.raises(Unauthenticated):
        await seen(world, STRANGER)


async def test_events_are_found_by_account_kind_and_time(world: World) -> None:
    boss = await an_admin(world)
    ada = await world.confirmed("ada")
    world.clock.advance(timedelta(minutes=5))
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(STRANGER, ada.account.email, "wrong")
    now, whose = world.clock.now(), {"account_id": ada.account.id}
    everything = await seen(world, boss, **whose)
    assert {"registered", "email_confirmed", "login_failed"} <= {e.kind for e in everything}
    assert everything == sorted(everything, key=lambda e: (e.at, e.id), reverse=True)
    assert {(e.kind, e.email) for e in await seen(world, boss, kind=SecurityKind.LOGIN_FAILED, **whose)} == {
        ("login_failed", ada.account.email)
    }
    assert [e.kind for e in await seen(world, boss, start=now, **whose)] == ["login_failed"]
    assert "login_failed" not in [e.kind for e in await seen(world, boss, end=now, **whose)]
    assert await seen(world, boss, start=now, end=now, **whose) == []


async def test_pages_follow_each_other_without_gaps(world: World) -> None:
    boss, ada = await an_admin(world), await world.confirmed("ada")
    wanted = SecurityWanted(account_id=ada.account.id)
    whole, parts, cursor = await seen(world, boss, account_id=ada.account.id), list[AdminSecurityRow](), None
    while True:
        page = await world.identity.sessions.all_security_events(boss, wanted, 1, cursor)
        parts += page.items
        cursor = page.next_cursor
        if cursor is None:
            break
    assert parts == whole and len(parts) > 1
    with pytest.raises(Invalid):
        await world.identity.sessions.all_security_events(boss, wanted, 1, "invented")


async def test_events_are_kept_for_a_year_and_then_removed(world: World, admin: asyncpg.Connection) -> None:
    ada = await world.confirmed("ada")
    now = world.clock.now()
    old = await happened(admin, ada, now - YEAR - timedelta(hours=1))
    young = await happened(admin, ada, now - YEAR + timedelta(hours=1))
    count = "select count(*)::int from identity.security_event where id = $1"
    assert [await admin.fetchval(count, e) for e in (old, young)] == [1, 1]
    await world.identity.sessions.tidy(STRANGER)
    assert [await admin.fetchval(count, e) for e in (old, young)] == [0, 1]


async def test_nobody_removes_an_event_before_its_time_not_even_its_owner(world: World, admin: asyncpg.Connection) -> None:
    ada = await world.confirmed("ada")
    old = await happened(admin, ada, world.clock.now() - YEAR - timedelta(hours=1))
    removed: list[int] = []
    for account in (str(ada.account.id), ""):
        step = admin.transaction()
        await step.start()
        await admin.execute(f"set local role fc_identity; set local forecourt.account = '{account}'")
        answer = await admin.execute("delete from identity.security_event where account_id = $1", ada.account.id)
        removed.append(int(answer.removeprefix("DELETE ")))
        await step.rollback()
    assert removed == [0, 1], "the owner removes nothing; the house the one that is past its time"
    assert await admin.fetchval("select count(*)::int from identity.security_event where id = $1", old) == 1


async def test_audit_records_every_security_event_and_none_of_the_secrets(fresh_database: FreshDatabase) -> None:
    database = await fresh_database.connect(8)
    world = World(database, fresh_database.url)
    audit = AuditService(database.module("audit"), world.clock)
    dispatcher = Dispatcher(database, fresh_database.url, subscriptions(audit, registered_events().values()))
    tokens, boss = await world.owner()
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(STRANGER, tokens.account.email, "a wrong guess of mine")
    _, key = await world.identity.staff.make_key(boss, "Door", ["booking.read_any"], None)
    fresh = "seventeen purple otters juggle 4"
    await world.identity.persons.change_password(boss, PASSWORD, fresh)
    again = await world.identity.persons.log_in(STRANGER, tokens.account.email, fresh)
    await dispatcher.drain()
    entries: list[AuditEntry] = []
    for ctx in (STRANGER, boss):
        entries += (await audit.entries(ctx, action="security.noted", limit=100)).items
    recorded = b"".join(bytes(e.details) for e in entries).decode()
    mine = await world.identity.sessions.security_events(await world.as_(again), 50, None)
    assert {"login_failed", "key_created", "password_changed"} <= {e.kind for e in mine.items}
    assert all(f'"{e.kind}"' in recorded for e in mine.items)
    assert len(entries) == len(mine.items), "one entry for each"
    guessed = next(e for e in entries if b'"login_failed"' in bytes(e.details))
    assert (guessed.actor.kind, guessed.actor.account_id, guessed.address) == ("anonymous", None, STRANGER.address)
    assert str(tokens.account.id) in bytes(guessed.details).decode(), "whose account it was; who it was, nobody knows"
    secrets = (
        PASSWORD,
        fresh,
        "a wrong guess",
        key,
        tokens.access_token,
        tokens.refresh_token,
        again.refresh_token,
        tokens.account.email,
    )
    assert [s for s in secrets if s in recorded] == []
