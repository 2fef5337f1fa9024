from __future__ import annotations

from datetime import datetime, timedelta
from uuid import uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.identity.conftest import PASSWORD, STRANGER, World

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.errors import Invalid, NotFound, Unauthenticated
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import AccountStatus, BadCredentials, TokenInvalid
from forecourt.modules.identity.jobs import schedules
from forecourt.modules.identity.secrecy import digest
from forecourt.modules.identity.service import sessions
from forecourt.modules.identity.service.accounts import NewAccount
from forecourt.modules.identity.service.sessions import SessionKind, Tokens


async def test_a_page_registers_and_gets_a_cookie(world: World) -> None:
    new = NewAccount(world.address(), PASSWORD, "Ada")
    cookie, known = await world.identity.persons.register_browser(STRANGER, new)
    assert await world.identity.session(STRANGER, digest(cookie)) == known
    assert (known.email, known.status) == (new.email, AccountStatus.UNCONFIRMED)
    world.clock.advance(rules.BROWSER_TTL)
    assert await world.identity.session(STRANGER, digest(cookie)) is None


async def test_accounts_are_found_by_id_in_the_order_asked_and_by_address(world: World) -> None:
    ada, eve = (await world.register("ada")).account, (await world.register("eve")).account
    assert await world.identity.accounts(STRANGER, [eve.id, uuid4(), ada.id, eve.id]) == [eve, ada]
    assert await world.identity.account_by_email(STRANGER, ada.email.upper()) == ada
    assert await world.identity.account_by_email(STRANGER, world.address("nobody")) is None
    with pytest.raises(Invalid):
        await world.identity.accounts(STRANGER, [uuid4()] * 201)


async def test_admins_search_accounts_page_by_page(world: World) -> None:
    tag = uuid4().hex[:8]
    people = [(await world.register(email=f"{tag}-{n}@example.org")).account for n in range(3)]
    page = await world.identity.persons.list(STRANGER, tag.upper(), None, 2, None)
    assert [row.id for row in page.items] == [people[2].id, people[1].id]
    rest = await world.identity.persons.list(STRANGER, tag, AccountStatus.UNCONFIRMED, 2, page.next_cursor)
    assert [row.id for row in rest.items] == [people[0].id]
    assert (await world.identity.persons.list(STRANGER, tag, AccountStatus.BANNED, 2, None)).items == []
    assert (await world.identity.persons.list(STRANGER, f"%{tag[:3]}_", None, 2, None)).items == [], "no wild cards"


async def test_an_admin_is_made_by_name_and_its_next_token_says_so(world: World) -> None:
    tokens = await world.register()
    await world.identity.persons.make_admin(STRANGER, tokens.account.email.upper())
    again = await world.identity.persons.log_in(STRANGER, tokens.account.email, PASSWORD)
    assert ((await world.claims(tokens))["adm"], (await world.claims(again))["adm"]) == (False, True)
    with pytest.raises(NotFound):
        await world.identity.persons.make_admin(STRANGER, world.address("nobody"))


async def test_who_registers_an_admins_address_first_does_not_become_the_admin(world: World) -> None:
    persons, email = world.identity.persons, world.address("root")
    squatter = await world.register(email=email)
    assert await persons.appoint_admin(STRANGER, NewAccount(email, "what the operator typed 88", "Root"))
    with pytest.raises(BadCredentials):
        await persons.log_in(STRANGER, email, PASSWORD)
    with pytest.raises(TokenInvalid):
        await world.identity.sessions.refresh(STRANGER, squatter.refresh_token)
    root = await persons.log_in(STRANGER, email, "what the operator typed 88")
    assert (await world.claims(root))["adm"] is True


async def test_an_account_that_is_proven_becomes_admin_with_the_password_it_has(world: World) -> None:
    persons, ada = world.identity.persons, await world.confirmed()
    assert not await persons.appoint_admin(STRANGER, NewAccount(ada.account.email, "what the operator typed 88", "Ada"))
    again = await persons.log_in(STRANGER, ada.account.email, PASSWORD)
    assert (await world.claims(again))["adm"] is True
    assert await world.identity.sessions.refresh(STRANGER, ada.refresh_token)


async def test_that_somebody_was_made_admin_is_on_record(world: World) -> None:
    ada = await world.confirmed()
    before = await world.identity.sessions.security_events(await world.as_(ada), 50, None)
    await world.identity.persons.make_admin(STRANGER, ada.account.email)
    after = await world.identity.sessions.security_events(await world.as_(ada), 50, None)
    assert [(e.kind, e.detail) for e in after.items[: len(after.items) - len(before.items)]] == [
        ("status_changed", "platform administrator")
    ]


async def test_admins_do_not_suspend_themselves_nor_what_is_not_there(world: World) -> None:
    boss = await world.confirmed()
    ctx = await world.as_(boss)
    with pytest.raises(Invalid):
        await world.identity.persons.set_status(ctx, boss.account.id, AccountStatus.SUSPENDED, "oops")
    with pytest.raises(NotFound):
        await world.identity.persons.set_status(ctx, uuid4(), AccountStatus.SUSPENDED, "oops")


async def test_a_closed_account_is_sent_no_reset_link_and_an_active_one_no_code(world: World) -> None:
    boss, ada = await world.confirmed("boss"), await world.confirmed("ada")
    before = len(await world.letters(ada.account.email))
    await world.identity.persons.ask_for_code(STRANGER, ada.account.email)
    assert len(await world.letters(ada.account.email)) == before
    await world.identity.persons.set_status(await world.as_(boss), ada.account.id, AccountStatus.BANNED, "fraud")
    await world.identity.persons.ask_for_reset(STRANGER, ada.account.email)
    assert len(await world.letters(ada.account.email)) == before


async def test_a_reset_link_of_an_account_closed_meanwhile_opens_nothing(world: World) -> None:
    boss, ada = await world.confirmed("boss"), await world.confirmed("ada")
    await world.identity.persons.ask_for_reset(STRANGER, ada.account.email)
    link = await world.link(ada.account.email)
    await world.identity.persons.set_status(await world.as_(boss), ada.account.id, AccountStatus.SUSPENDED, "spam")
    with pytest.raises(Invalid) as refused:
        await world.identity.persons.reset_password(STRANGER, link, "a quite different phrase 77")
    assert refused.value.code == "link_invalid"
    assert await world.identity.status(STRANGER, ada.account.id) is AccountStatus.SUSPENDED


async def test_a_sign_in_from_another_device_is_noted(world: World) -> None:
    tokens = await world.register()
    elsewhere = msgspec.structs.replace(STRANGER, agent="another browser")
    for ctx in (STRANGER, elsewhere, elsewhere):
        await world.identity.persons.log_in(ctx, tokens.account.email, PASSWORD)
    events = (await world.identity.sessions.security_events(await world.as_(tokens), 50, None)).items
    assert [e.detail for e in events if e.kind == "new_device"] == ["another browser"]


async def test_sessions_are_bounded_and_the_one_not_used_for_longest_makes_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_SESSIONS", 3)
    first = await world.register()
    others = []
    for _ in range(3):
        world.clock.advance(timedelta(seconds=1))
        others.append(await world.identity.persons.log_in(STRANGER, first.account.email, PASSWORD))
    with pytest.raises(TokenInvalid):
        await world.identity.sessions.refresh(STRANGER, first.refresh_token)
    for tokens in others:
        assert await world.identity.sessions.refresh(STRANGER, tokens.refresh_token)


async def test_a_browser_that_is_in_use_is_not_the_one_not_used_for_longest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "MAX_SESSIONS", 2)
    persons, email = world.identity.persons, world.address()
    cookie, known = await persons.register_browser(STRANGER, NewAccount(email, PASSWORD, "Ada"))
    begun = world.clock.now()
    me = Context(Actor(ActorKind.PERSON, account_id=known.account_id, session_id=known.session_id))

    async def used() -> datetime:
        page = await world.identity.sessions.mine(me, 10, None)
        return next(s.used_at for s in page.items if s.id == known.session_id)

    world.clock.advance(timedelta(minutes=5))
    assert await world.identity.session(STRANGER, digest(cookie))
    assert await used() == begun, "not at every look"
    idle = await persons.log_in(STRANGER, email, PASSWORD)
    world.clock.advance(timedelta(days=3))
    assert await world.identity.session(STRANGER, digest(cookie))
    assert await used() == world.clock.now()
    await persons.log_in(STRANGER, email, PASSWORD)
    assert await world.identity.session(STRANGER, digest(cookie)), "it was used a moment ago"
    with pytest.raises(TokenInvalid):
        await world.identity.sessions.refresh(STRANGER, idle.refresh_token)


async def test_a_name_of_blanks_is_refused_and_nobody_has_no_sessions(world: World) -> None:
    for unseen in ("   ", "\u200b\u2066\ufeff"):
        with pytest.raises(Invalid) as refused:
            await world.identity.persons.register(STRANGER, NewAccount(world.address(), PASSWORD, unseen))
        assert refused.value.errors[0].path == "name"
    turned = await world.identity.persons.register(STRANGER, NewAccount(world.address(), PASSWORD, "\u202eAda\u202c  L"))
    assert turned.account.name == "Ada L"
    with pytest.raises(Unauthenticated):
        await world.identity.sessions.mine(STRANGER, 20, None)
    with pytest.raises(Unauthenticated):
        await world.identity.adopt(STRANGER, uuid4())


async def test_the_hourly_jobs_are_handled_and_forget_what_no_longer_matters(world: World, admin: asyncpg.Connection) -> None:
    tokens = await world.register()
    await world.identity.sessions.end_all(await world.as_(tokens))
    ended = (await world.claims(tokens))["sid"]
    count = "select count(*) from identity.revocation where session_id = $1::text::uuid"
    await world.identity.sessions.tidy(STRANGER)
    assert await admin.fetchval(count, ended) == 1, "tokens of the session may still live"
    world.clock.advance(timedelta(hours=1))
    await world.identity.sessions.tidy(STRANGER)
    assert await admin.fetchval(count, ended) == 0
    assert {s.kind.name for s in schedules()} == {"identity.rotate_keys", "identity.tidy", "identity.erase_due"}


# --- sessions that are long over ---


async def over_since(world: World, admin: asyncpg.Connection, tokens: Tokens, days: float) -> None:
    """Lets the time of the account's sessions have ended so long ago."""
    ended = world.clock.now() - timedelta(days=days)
    await admin.execute("update identity.session set expires_at = $2 where account_id = $1", tokens.account.id, ended)


async def kept(admin: asyncpg.Connection, *people: Tokens) -> list[bool]:
    rows = await admin.fetch(
        "select account_id from identity.session where account_id = any($1::uuid[])", [p.account.id for p in people]
    )
    there = {row["account_id"] for row in rows}
    return [p.account.id in there for p in people]


async def test_sessions_go_ninety_days_after_their_time_and_live_ones_stay(world: World, admin: asyncpg.Connection) -> None:
    old, younger, revoked, live = [await world.register() for _ in range(4)]
    await over_since(world, admin, old, 90.1)
    await over_since(world, admin, younger, 89.9)
    await world.identity.sessions.log_out(STRANGER, revoked.refresh_token, SessionKind.TOKEN)
    await world.identity.sessions.tidy(STRANGER)
    assert await kept(admin, old, younger, revoked, live) == [False, True, True, True]
    await over_since(world, admin, revoked, 91)
    await world.identity.sessions.tidy(STRANGER)
    assert await kept(admin, revoked, live) == [False, True]
    assert await world.identity.sessions.refresh(STRANGER, live.refresh_token)


async def test_a_run_forgets_so_many_and_the_next_goes_on(
    world: World, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.identity.sessions.tidy(STRANGER)  # what other tests have left
    people = [await world.register() for _ in range(5)]
    for number, one in enumerate(people):
        await over_since(world, admin, one, 200 - number)
    monkeypatch.setattr(sessions, "FORGOTTEN_AT_ONCE", 1)
    monkeypatch.setattr(sessions, "PORTIONS_A_RUN", 2)
    left = []
    for _ in range(3):
        await world.identity.sessions.tidy(STRANGER)
        left.append(sum(await kept(admin, *people)))
    assert left == [3, 1, 0]


async def test_nobody_removes_or_sees_a_session_of_somebody_else_by_way_of_the_forgetting(
    world: World, admin: asyncpg.Connection
) -> None:
    old, eve = await world.register(), await world.register("eve")
    await over_since(world, admin, old, 120)
    forget = "delete from identity.session where account_id = $1"
    async with world.db.module("identity").tx(await world.as_(eve)) as tx:
        assert await tx.connection.execute(forget, old.account.id) == "DELETE 0"
    async with world.db.module("identity").tx(STRANGER) as tx:
        assert await tx.connection.execute(forget, eve.account.id) == "DELETE 0", "alive"
        assert await tx.connection.execute(forget, old.account.id) == "DELETE 1"
