"""Whoever asks to be erased is, after thirty days: what is left of them is an id that nobody has."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.identity.conftest import PASSWORD, STRANGER, World
from tests.words import rows_that_say

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import Conflict, Invalid, NotFound, Problem, Unauthenticated
from forecourt.kernel.http.gate import Gate, TokenRefused
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import (
    AccountStatus,
    BadCredentials,
    LastAdmin,
    LastOwner,
    LockedOut,
    TokenInvalid,
)
from forecourt.modules.identity.jobs import ERASE_DUE, Tidy
from forecourt.modules.identity.secrecy import digest
from forecourt.modules.identity.service.sessions import Tokens

HOUSE = service_context("tests")


async def run(world: World) -> None:
    """What the worker does every hour."""
    handler = next(h for h in world.handlers if h.kind is ERASE_DUE)
    await handler.run(HOUSE, Tidy())


async def asked(world: World, admin: asyncpg.Connection, tokens: Tokens) -> Context:
    """Somebody who asked thirty days ago."""
    ctx = await world.as_(tokens)
    await world.identity.erasing.ask(ctx, PASSWORD)
    await come(world, admin, tokens)
    return ctx


async def come(world: World, admin: asyncpg.Connection, tokens: Tokens) -> None:
    """The day that was said is now; the clocks of the tokens go on."""
    await admin.execute("update identity.account set erase_at = $2 where id = $1", tokens.account.id, world.clock.now())


async def status(world: World, tokens: Tokens) -> AccountStatus:
    return await world.identity.status(STRANGER, tokens.account.id)


async def events(admin: asyncpg.Connection, name: str, account_id: UUID) -> list[str]:
    """From where each of them was caused."""
    about = "convert_from(payload, 'utf8')::jsonb ->> 'account_id' = $2"
    rows = await admin.fetch(f"select address from kernel.event where name = $1 and {about}", name, str(account_id))
    return [row["address"] or "" for row in rows]


async def kinds(world: World, ctx: Context) -> list[str]:
    return [row.kind for row in (await world.identity.sessions.security_events(ctx, 50, None)).items]


# --- asking, and taking back -------------------------------------------------------------------------------------------------


async def test_who_asks_has_thirty_days_and_can_take_it_back(world: World) -> None:
    ada = await world.confirmed()
    ctx = await world.as_(ada)
    assert (await world.identity.oneself(ctx)).erase_at is None
    due = await world.identity.erasing.ask(ctx, PASSWORD)
    assert due == world.clock.now() + timedelta(days=30)
    cookie, _ = await world.identity.persons.start_browser_session(STRANGER, ada.account.email, PASSWORD)
    seen = await world.identity.session(STRANGER, digest(cookie))
    assert seen is not None and seen.erase_at == due, "signing in goes on as before, and every page says it"
    world.clock.advance(timedelta(days=1))
    assert await world.identity.erasing.ask(ctx, PASSWORD) == due, "the day that was said first"
    assert (await world.identity.oneself(ctx)).erase_at == due
    await world.identity.erasing.take_back(ctx)
    await world.identity.erasing.take_back(ctx)
    assert (await world.identity.oneself(ctx)).erase_at is None
    found = await kinds(world, ctx)
    assert (found.count("erasure_asked"), found.count("erasure_taken_back")) == (1, 1)
    world.clock.advance(rules.GRACE)
    await run(world)
    assert await status(world, ada) is AccountStatus.ACTIVE


async def test_a_wrong_password_counts_like_a_failed_log_in(world: World) -> None:
    ada = await world.confirmed()
    ctx = await world.as_(ada)
    for _ in range(rules.MAX_FAILURES):
        with pytest.raises(Invalid) as refused:
            await world.identity.erasing.ask(ctx, "not my password at all")
        assert [e.path for e in refused.value.errors] == ["password"]
    with pytest.raises(LockedOut):
        await world.identity.erasing.ask(ctx, PASSWORD)
    with pytest.raises(LockedOut):
        await world.identity.persons.log_in(STRANGER, ada.account.email, PASSWORD)
    assert (await world.identity.oneself(ctx)).erase_at is None
    with pytest.raises(Unauthenticated):
        await world.identity.erasing.ask(STRANGER, PASSWORD)


async def test_the_last_owner_is_told_of_which_organisations(world: World) -> None:
    tokens, boss = await world.owner()
    another = uuid4()
    await world.identity.adopt(await world.as_(tokens), another)
    ctx = await world.as_(tokens)
    with pytest.raises(LastOwner) as refused:
        await world.identity.erasing.ask(ctx, PASSWORD)
    assert set(refused.value.extra["organisation_ids"]) == {str(boss.organisation_id), str(another)}  # type: ignore[arg-type]
    for organisation in (boss.organisation_id, another):
        await world.join(msgspec.structs.replace(boss, organisation_id=organisation), "owner")
    assert await world.identity.erasing.ask(ctx, PASSWORD)


async def test_the_last_administrator_of_the_house_stays(world: World, admin: asyncpg.Connection) -> None:
    await admin.execute("update identity.account set platform_admin = false")
    boss = await world.confirmed("boss")
    await world.identity.persons.make_admin(STRANGER, boss.account.email)
    with pytest.raises(LastAdmin):
        await world.identity.erasing.ask(await world.as_(boss), PASSWORD)
    second = await world.confirmed("second")
    await world.identity.persons.make_admin(STRANGER, second.account.email)
    for one in (boss, second):
        await asked(world, admin, one)
    await asyncio.gather(run(world), run(world))
    stay = [one for one in (boss, second) if await status(world, one) is AccountStatus.ACTIVE]
    assert len(stay) == 1, "of two who go at once the second is the last"
    assert (await world.identity.oneself(await world.as_(stay[0]))).erase_at is None
    assert "administrator" in (await world.letters(stay[0].account.email))[-1].text
    await admin.execute("update identity.account set platform_admin = false")


# --- the day ---------------------------------------------------------------------------------------------------------------


async def test_nothing_of_an_erased_person_is_left_in_the_schema(world: World, admin: asyncpg.Connection) -> None:
    _, boss = await world.owner()
    name, address, agent = f"Zuleikha{uuid4().hex[:8]}", "198.51.100.77", f"agent {uuid4().hex}"
    ada, _ = await world.join(boss, "agent", "zuleikha")
    email = ada.account.email
    number, waiting = (f"+4478{uuid4().int % 10**8:08}" for _ in range(2))
    await admin.execute("update identity.account set name = $2 where id = $1", ada.account.id, name)
    here = msgspec.structs.replace(STRANGER, address=address, agent=agent)
    ctx = msgspec.structs.replace(await world.as_(ada), address=address, agent=agent)
    await world.identity.phones.ask_for_code(ctx, number, "en")
    await world.worker.drain()
    await world.identity.phones.confirm(ctx, world.box.texts[-1].text[:6])
    await world.identity.phones.ask_for_code(ctx, waiting, "en")
    await world.identity.persons.log_in(here, email, PASSWORD)
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(here, email, "something else 12345")
    await world.identity.persons.ask_for_reset(here, email)
    another = msgspec.structs.replace(boss, organisation_id=uuid4())
    await world.identity.adopt(another, another.organisation_id or uuid4())
    await world.identity.staff.invite(another, email, "viewer")
    await world.worker.drain()
    words = [email, name, number, waiting, address, agent]
    assert len(await rows_that_say(admin, ["identity"], words)) >= 6, "or the rest proves nothing"
    world.box.languages[ada.account.id] = "pt"
    await asked(world, admin, ada)
    await run(world)
    assert await rows_that_say(admin, ["identity"], words) == {}
    assert await status(world, ada) is AccountStatus.ERASED
    row = await admin.fetchrow("select * from identity.account where id = $1", ada.account.id)
    assert row is not None and row["password_hash"] is None and row["erased_at"] == world.clock.now()
    assert await world.permissions(ada, boss.organisation_id) is None
    left = await admin.fetch("select account_id from identity.staff where account_id = $1", ada.account.id)
    left += await admin.fetch("select account_id from identity.session where account_id = $1", ada.account.id)
    assert left == []
    for told in ("account.erased", "staff.left"):
        assert await events(admin, told, ada.account.id) == [""], "once, and by the house"
    last = (await world.letters(email))[-1]
    assert last.subject == "A sua conta foi apagada"


async def test_the_token_and_the_sessions_of_an_erased_account_are_dead_at_once(world: World, admin: asyncpg.Connection) -> None:
    ada = await world.confirmed()
    cookie, _ = await world.identity.persons.start_browser_session(STRANGER, ada.account.email, PASSWORD)
    ctx, gate = await asked(world, admin, ada), Gate(world.identity, world.clock)
    await gate.refresh()
    held = await gate.pass_of_token(ada.access_token)
    assert await gate.by_token(ada.access_token) and await gate.by_session(cookie), "or the rest proves nothing"
    world.clock.advance(timedelta(seconds=1))
    await run(world)
    await gate.refresh()
    with pytest.raises(TokenRefused):
        await gate.by_token(ada.access_token)
    with pytest.raises(TokenRefused):
        await gate.admit(held)
    assert gate.doubts(held) and await gate.by_session(cookie) is None
    with pytest.raises(TokenInvalid):
        await world.identity.sessions.refresh(STRANGER, ada.refresh_token)
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(STRANGER, ada.account.email, PASSWORD)
    with pytest.raises(Unauthenticated):
        await world.identity.erasing.take_back(ctx)
    with pytest.raises(Unauthenticated):
        await world.identity.adopt(ctx, uuid4())


async def test_an_address_that_was_let_go_can_be_registered_anew(world: World, admin: asyncpg.Connection) -> None:
    ada = await world.register()  # one who never showed that the address is theirs may go too
    await asked(world, admin, ada)
    await run(world)
    again = await world.register(email=ada.account.email)
    assert again.account.id != ada.account.id
    await come(world, admin, ada)
    await run(world)
    assert await status(world, again) is AccountStatus.UNCONFIRMED, "whoever came after is somebody else"


async def test_many_are_due_at_once_and_each_is_erased_once_whoever_else_works(world: World, admin: asyncpg.Connection) -> None:
    people = [await world.confirmed() for _ in range(4)]
    for one in people:
        await asked(world, admin, one)
    await asyncio.gather(*(run(world) for _ in range(3)))
    await run(world)
    for one in people:
        assert await status(world, one) is AccountStatus.ERASED
        assert len(await events(admin, "account.erased", one.account.id)) == 1
        assert len([m for m in await world.letters(one.account.email) if "is erased" in m.subject]) == 1


async def test_one_who_cannot_be_erased_keeps_nobody_else_from_it(
    world: World, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, ada = await world.confirmed("stuck"), await world.confirmed()
    for one in (stuck, ada):
        await asked(world, admin, one)
    forget = world.identity.erasing._forget

    async def dies(tx: object, account: object, *more: object) -> None:
        await forget(tx, account, *more)  # type: ignore[arg-type]
        if account.id == stuck.account.id:  # type: ignore[attr-defined]
            raise NotFound("the last line was never reached")

    monkeypatch.setattr(world.identity.erasing, "_forget", dies)
    with pytest.raises(NotFound):
        await run(world)
    assert (await status(world, stuck), await status(world, ada)) == (AccountStatus.ACTIVE, AccountStatus.ERASED)
    assert await world.identity.persons.log_in(STRANGER, stuck.account.email, PASSWORD), "all of it or nothing"
    monkeypatch.undo()
    await run(world)
    assert await status(world, stuck) is AccountStatus.ERASED


@pytest.mark.parametrize("attempt", range(3))
async def test_what_happens_at_the_same_moment_comes_before_or_after(
    world: World, admin: asyncpg.Connection, attempt: int
) -> None:
    """Signing in, taking back, joining a staff: none leaves a session or a place of somebody who is nobody."""
    _, boss = await world.owner()
    ada = await world.confirmed()
    await world.identity.staff.invite(boss, ada.account.email, "agent")
    token = (await world.letters(ada.account.email))[-1].text.split("/staff-invitations/")[1].split()[0]
    ctx = await asked(world, admin, ada)
    results = await asyncio.gather(
        world.identity.persons.log_in(STRANGER, ada.account.email, PASSWORD),
        world.identity.staff.accept(ctx, token),
        *([world.identity.erasing.take_back(ctx)] if attempt else []),
        run(world),
        return_exceptions=True,
    )
    assert all(r is None or not isinstance(r, Exception) or isinstance(r, Problem) for r in results), results
    erased = await status(world, ada) is AccountStatus.ERASED
    rows = [
        await admin.fetchval(f"select count(*) from identity.{table} where account_id = $1", ada.account.id)
        for table in ("session", "staff", "token")
    ]
    assert (rows == [0, 0, 0]) if erased else (rows[0] > 0)
    assert attempt or erased


async def test_who_became_the_only_owner_meanwhile_stays_and_hears_why(world: World, admin: asyncpg.Connection) -> None:
    first, boss = await world.owner()
    second, _ = await world.join(boss, "owner", "second")
    ctx = await asked(world, admin, second)
    await world.identity.staff.remove(await world.as_(first, boss.organisation_id), first.account.id)
    world.box.languages[second.account.id] = "ur"
    await run(world)
    assert await status(world, second) is AccountStatus.ACTIVE
    assert (await world.identity.oneself(ctx)).erase_at is None, "nothing is done at the next hour either"
    assert (await kinds(world, ctx))[0] == "erasure_off"
    assert "مالک" in (await world.letters(second.account.email))[-1].subject


async def test_a_reminder_comes_once_three_days_before(world: World) -> None:
    ada = await world.confirmed()
    ctx = await world.as_(ada)
    world.box.languages[ada.account.id] = "pt"
    due = await world.identity.erasing.ask(ctx, PASSWORD)
    first = (await world.letters(ada.account.email))[-1]
    assert f"de {due.year}" in first.subject and "/account/data" in first.text
    world.clock.advance(timedelta(days=26, hours=23))
    await run(world)
    before = len(await world.letters(ada.account.email))
    world.clock.advance(timedelta(hours=1))
    await run(world)
    await run(world)
    letters = await world.letters(ada.account.email)
    assert len(letters) == before + 1 and letters[-1].subject.startswith("Dentro de poucos dias")
    await world.identity.erasing.take_back(ctx)


async def test_what_a_request_wrote_after_its_person_was_erased_goes_as_well(world: World, admin: asyncpg.Connection) -> None:
    ada = await world.confirmed()
    await asked(world, admin, ada)
    await run(world)
    late = "insert into identity.security_event (account_id, id, kind, address, at) values ($1, $2, 'login_failed', $3, now())"
    await admin.execute(late, ada.account.id, uuid4(), "198.51.100.99")
    world.clock.advance(rules.SWEPT_AFTER)
    await run(world)
    assert await rows_that_say(admin, ["identity"], ["198.51.100.99"]) == {}
    assert await admin.fetchval("select erase_at is null from identity.account where id = $1", ada.account.id)
    world.clock.advance(timedelta(hours=1))
    await run(world)
    assert len(await events(admin, "account.erased", ada.account.id)) == 1, "the others are told once"
    await come(world, admin, ada)  # as an organisation that is brought from another installation says it
    world.clock.advance(rules.SWEPT_AFTER)
    await run(world)
    await run(world)
    assert len(await events(admin, "account.erased", ada.account.id)) == 2, "and once more"


async def test_an_erased_account_is_unknown_to_other_modules_and_no_admin_brings_it_back(
    world: World, admin: asyncpg.Connection
) -> None:
    boss, ada = await world.confirmed("boss"), await world.confirmed("ada")
    as_boss, persons = await world.as_(boss), world.identity.persons
    with pytest.raises(Invalid):
        await persons.set_status(as_boss, ada.account.id, AccountStatus.ERASED, "gone")
    assert await world.identity.accounts(STRANGER, [ada.account.id]), "or the rest proves nothing"
    await asked(world, admin, ada)
    await run(world)
    assert await world.identity.accounts(STRANGER, [ada.account.id, boss.account.id]) == [
        (await world.identity.account_by_email(STRANGER, boss.account.email))
    ]
    assert await world.identity.account_by_email(STRANGER, ada.account.email) is None
    assert await world.identity.account_by_email(STRANGER, f"erased {ada.account.id}") is None
    with pytest.raises(Invalid):
        await world.register(email=f"erased-{ada.account.id}@erased.invalid")
    with pytest.raises(Conflict):
        await persons.set_status(as_boss, ada.account.id, AccountStatus.ACTIVE, "a mistake")
    with pytest.raises(asyncpg.CheckViolationError):
        await admin.execute("update identity.account set status = 'active' where id = $1", ada.account.id)
