from __future__ import annotations

import asyncio
import base64
import hmac
import json
import time
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import pytest
from joserfc import jws, jwt
from joserfc.jwk import ECKey
from tests.conftest import FreshDatabase
from tests.modules.identity.conftest import PASSWORD, STRANGER, World

from forecourt.kernel.clock import SystemClock
from forecourt.kernel.errors import NotFound, Problem
from forecourt.kernel.http.gate import AccountClosed, Gate, TokenExpired, TokenRefused
from forecourt.modules.identity.contract import (
    AccountStatus,
    AccountSuspended,
    BadCredentials,
    LinkInvalid,
    SecretChanged,
    TokenInvalid,
    TokenReused,
)
from forecourt.modules.identity.secrecy import digest
from forecourt.modules.identity.service.sessions import SessionKind, Tokens


async def refresh(world: World, token: str) -> Tokens:
    return await world.identity.sessions.refresh(STRANGER, token)


async def kinds(world: World, tokens: Tokens) -> list[str]:
    page = await world.identity.sessions.security_events(await world.as_(tokens), 50, None)
    return [event.kind for event in page.items]


# --- refresh tokens ---


async def test_a_refresh_token_gives_new_tokens_of_the_same_session(world: World) -> None:
    first = await world.register()
    second = await refresh(world, first.refresh_token)
    third = await refresh(world, second.refresh_token)
    assert len({first.refresh_token, second.refresh_token, third.refresh_token}) == 3
    assert (await world.claims(first))["sid"] == (await world.claims(third))["sid"]


async def test_a_spent_token_ends_the_whole_session_and_is_noted(world: World) -> None:
    first = await world.register()
    other = await world.identity.persons.log_in(STRANGER, first.account.email, PASSWORD)
    second = await refresh(world, first.refresh_token)
    with pytest.raises(TokenReused):
        await refresh(world, first.refresh_token)
    with pytest.raises(TokenInvalid):
        await refresh(world, second.refresh_token)
    news = await world.identity.revocations(STRANGER, None)
    assert UUID(str((await world.claims(first))["sid"])) in {s.session_id for s in news.sessions}
    assert "token_reused" in await kinds(world, other)
    assert await refresh(world, other.refresh_token), "the other session lives on"


async def test_of_refreshes_at_the_same_moment_exactly_one_wins(world: World) -> None:
    first = await world.register()
    results = await asyncio.gather(*(refresh(world, first.refresh_token) for _ in range(10)), return_exceptions=True)
    won = [r for r in results if isinstance(r, Tokens)]
    assert len(won) == 1
    assert all(isinstance(r, Tokens | TokenReused | TokenInvalid) for r in results)
    with pytest.raises(TokenInvalid):  # strict: it was used twice, so its session is over
        await refresh(world, won[0].refresh_token)


@pytest.mark.parametrize("token", ["", "x", "ж" * 40, "a" * 200])
async def test_an_invented_refresh_token_is_invalid(world: World, token: str) -> None:
    with pytest.raises(TokenInvalid):
        await refresh(world, token)


async def test_a_refresh_token_lives_seven_days_from_its_last_use(world: World) -> None:
    tokens = await world.register()
    world.clock.advance(timedelta(days=6, hours=23))
    tokens = await refresh(world, tokens.refresh_token)
    world.clock.advance(timedelta(days=6, hours=23))
    tokens = await refresh(world, tokens.refresh_token)
    world.clock.advance(timedelta(days=7))
    with pytest.raises(TokenInvalid):
        await refresh(world, tokens.refresh_token)


async def test_a_browser_cookie_is_no_refresh_token_nor_the_other_way_round(world: World) -> None:
    tokens = await world.register()
    cookie, known = await world.identity.persons.start_browser_session(STRANGER, tokens.account.email, PASSWORD)
    assert await world.identity.session(STRANGER, digest(cookie)) == known
    assert await world.identity.session(STRANGER, digest(tokens.refresh_token)) is None
    with pytest.raises(TokenInvalid):
        await refresh(world, cookie)


# --- ending sessions ---


async def test_log_out_ends_one_session_and_log_out_everywhere_all(world: World) -> None:
    one, email = await world.register(), ""
    email = one.account.email
    two = await world.identity.persons.log_in(STRANGER, email, PASSWORD)
    cookie, _ = await world.identity.persons.start_browser_session(STRANGER, email, PASSWORD)
    await world.identity.sessions.log_out(STRANGER, one.refresh_token, SessionKind.TOKEN)
    with pytest.raises(TokenInvalid):
        await refresh(world, one.refresh_token)
    two = await refresh(world, two.refresh_token)
    await world.identity.sessions.end_all(await world.as_(two))
    with pytest.raises(TokenInvalid):
        await refresh(world, two.refresh_token)
    assert await world.identity.session(STRANGER, digest(cookie)) is None
    await world.identity.sessions.log_out(STRANGER, "unknown", SessionKind.TOKEN)


async def test_a_browser_session_ends_when_its_cookie_is_handed_in(world: World) -> None:
    tokens = await world.register()
    cookie, _ = await world.identity.persons.start_browser_session(STRANGER, tokens.account.email, PASSWORD)
    assert await world.identity.session(STRANGER, digest(cookie)) is not None
    await world.identity.persons.end_session(STRANGER, cookie)
    assert await world.identity.session(STRANGER, digest(cookie)) is None


async def test_a_person_lists_and_ends_its_own_sessions_only(world: World) -> None:
    ada, eve = await world.register("ada"), await world.register("eve")
    mine = await world.as_(ada)
    (session,) = (await world.identity.sessions.mine(mine, 20, None)).items
    assert session.id == mine.actor.session_id
    with pytest.raises(NotFound):
        await world.identity.sessions.end(await world.as_(eve), session.id)
    assert await refresh(world, ada.refresh_token)
    await world.identity.sessions.end(mine, session.id)
    assert (await world.identity.sessions.mine(mine, 20, None)).items == []
    with pytest.raises(NotFound):
        await world.identity.sessions.end(mine, session.id)


async def test_a_session_that_ends_while_it_is_refreshed_stays_ended(world: World) -> None:
    for _ in range(10):
        tokens = await world.register()
        ctx = await world.as_(tokens)
        results = await asyncio.gather(
            refresh(world, tokens.refresh_token), world.identity.sessions.end_all(ctx), return_exceptions=True
        )
        assert results[1] is None
        assert (await world.identity.sessions.mine(ctx, 20, None)).items == []
        if isinstance(results[0], Tokens):
            with pytest.raises(TokenInvalid):
                await refresh(world, results[0].refresh_token)


# --- passwords ---


async def test_a_reset_link_works_once_and_ends_every_session(world: World) -> None:
    tokens = await world.register()
    email, new = tokens.account.email, "a quite different phrase 77"
    await world.identity.persons.ask_for_reset(STRANGER, email.upper())
    link = await world.link(email)
    await world.identity.persons.reset_password(STRANGER, link, new)
    with pytest.raises(TokenInvalid):
        await refresh(world, tokens.refresh_token)
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(STRANGER, email, PASSWORD)
    again = await world.identity.persons.log_in(STRANGER, email, new)
    assert again.account.status is AccountStatus.ACTIVE, "who reads the mail has shown the address to be its own"
    with pytest.raises(Problem) as refused:
        await world.identity.persons.reset_password(STRANGER, link, "yet another phrase 88")
    assert refused.value.code == "link_invalid"


async def test_a_reset_link_lives_one_hour_and_a_newer_one_replaces_it(world: World) -> None:
    email = (await world.register()).account.email
    links: list[str] = []
    for _ in range(2):
        await world.identity.persons.ask_for_reset(STRANGER, email)
        links.append(await world.link(email))
    assert links[0] != links[1]
    with pytest.raises(Problem):
        await world.identity.persons.reset_password(STRANGER, links[0], "a quite different phrase 77")
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(Problem):
        await world.identity.persons.reset_password(STRANGER, links[1], "a quite different phrase 77")


async def test_one_reset_link_used_many_times_at_once_works_once(world: World) -> None:
    email = (await world.register()).account.email
    await world.identity.persons.ask_for_reset(STRANGER, email)
    link = await world.link(email)
    results = await asyncio.gather(
        *(world.identity.persons.reset_password(STRANGER, link, f"a quite different phrase {n}7") for n in range(6)),
        return_exceptions=True,
    )
    assert results.count(None) == 1
    assert {getattr(r, "code", None) for r in results if r is not None} == {"link_invalid"}


async def test_asking_for_a_reset_of_no_account_answers_the_same_and_sends_nothing(world: World) -> None:
    nobody = world.address("nobody")
    assert await world.identity.persons.ask_for_reset(STRANGER, nobody) is None
    assert await world.letters(nobody) == []


async def test_five_mails_an_hour_and_no_more(world: World) -> None:
    email = (await world.register()).account.email
    before = len(await world.letters(email))
    for _ in range(8):
        await world.identity.persons.ask_for_reset(STRANGER, email)
        await world.worker.drain()
    assert len(await world.letters(email)) == before + 5


async def test_changing_the_password_ends_the_other_sessions(world: World) -> None:
    here = await world.register()
    there = await world.identity.persons.log_in(STRANGER, here.account.email, PASSWORD)
    with pytest.raises(Problem) as refused:
        await world.identity.persons.change_password(await world.as_(here), "wrong", "a quite different phrase 77")
    assert refused.value.errors[0].path == "current_password"
    there = await refresh(world, there.refresh_token)
    await world.identity.persons.change_password(await world.as_(here), PASSWORD, "a quite different phrase 77")
    with pytest.raises(TokenInvalid):
        await refresh(world, there.refresh_token)
    assert await refresh(world, here.refresh_token)


async def test_changing_the_password_voids_a_reset_link_that_is_under_way(world: World) -> None:
    tokens = await world.register()
    persons = world.identity.persons
    await persons.ask_for_reset(STRANGER, tokens.account.email)
    link = await world.link(tokens.account.email)
    await persons.change_password(await world.as_(tokens), PASSWORD, "a quite different phrase 77")
    with pytest.raises(LinkInvalid):
        await persons.reset_password(STRANGER, link, "whoever read the mail 99")
    await persons.ask_for_reset(STRANGER, tokens.account.email)
    await persons.reset_password(STRANGER, await world.link(tokens.account.email), "and a third one here 55")


# --- confirming the address ---


async def test_the_code_in_the_mail_confirms_the_address_once(world: World) -> None:
    tokens = await world.register()
    email, code = tokens.account.email, await world.code(tokens.account.email)
    await world.identity.persons.confirm_by_code(STRANGER, email, code)
    assert await world.identity.status(STRANGER, tokens.account.id) is AccountStatus.ACTIVE
    with pytest.raises(Problem):
        await world.identity.persons.confirm_by_code(STRANGER, email, code)


async def test_the_link_in_the_mail_confirms_the_address_once(world: World) -> None:
    tokens = await world.register()
    link = await world.link(tokens.account.email)
    await world.identity.persons.confirm_by_link(STRANGER, link)
    assert await world.identity.status(STRANGER, tokens.account.id) is AccountStatus.ACTIVE
    with pytest.raises(Problem):
        await world.identity.persons.confirm_by_link(STRANGER, link)


def other_than(code: str, n: int) -> str:
    return f"{(int(code) + n + 1) % 1_000_000:06}"


async def test_after_five_wrong_codes_the_right_one_is_refused_even_when_tried_at_once(world: World) -> None:
    tokens = await world.register()
    email, code = tokens.account.email, await world.code(tokens.account.email)
    tries = [world.identity.persons.confirm_by_code(STRANGER, email, other_than(code, n)) for n in range(20)]
    assert all(isinstance(r, Problem) for r in await asyncio.gather(*tries, return_exceptions=True))
    with pytest.raises(Problem) as refused:
        await world.identity.persons.confirm_by_code(STRANGER, email, code)
    with pytest.raises(Problem) as nobody:
        await world.identity.persons.confirm_by_code(STRANGER, world.address("nobody"), code)
    assert refused.value.document("") == nobody.value.document("")
    await world.identity.persons.ask_for_code(STRANGER, email)
    await world.identity.persons.confirm_by_code(STRANGER, email, await world.code(email))


async def test_four_wrong_codes_leave_one_try(world: World) -> None:
    tokens = await world.register()
    email, code = tokens.account.email, await world.code(tokens.account.email)
    for n in range(4):
        with pytest.raises(Problem):
            await world.identity.persons.confirm_by_code(STRANGER, email, other_than(code, n))
    await world.identity.persons.confirm_by_code(STRANGER, email, code)


async def test_a_code_lives_thirty_minutes_and_a_newer_one_replaces_it(world: World) -> None:
    tokens = await world.register()
    email, first = tokens.account.email, await world.code(tokens.account.email)
    world.clock.advance(timedelta(minutes=30))
    with pytest.raises(Problem):
        await world.identity.persons.confirm_by_code(STRANGER, email, first)
    await world.identity.persons.ask_for_code(STRANGER, email)
    second = await world.code(email)
    await world.identity.persons.confirm_by_code(STRANGER, email, second)


# --- suspension ---


async def test_suspension_ends_sessions_refuses_log_in_and_can_be_undone(world: World) -> None:
    boss, ada = await world.confirmed("boss"), await world.confirmed("ada")
    cookie, _ = await world.identity.persons.start_browser_session(STRANGER, ada.account.email, PASSWORD)
    persons = world.identity.persons
    await persons.set_status(await world.as_(boss), ada.account.id, AccountStatus.SUSPENDED, "spam")
    with pytest.raises(TokenInvalid):
        await refresh(world, ada.refresh_token)
    with pytest.raises(AccountSuspended):
        await persons.log_in(STRANGER, ada.account.email, PASSWORD)
    with pytest.raises(BadCredentials):
        await persons.log_in(STRANGER, ada.account.email, "wrong")
    assert await world.identity.session(STRANGER, digest(cookie)) is None
    (change,) = [c for c in (await world.identity.revocations(STRANGER, None)).changes if c.account_id == ada.account.id]
    assert change.status is AccountStatus.SUSPENDED and change.revoked_before == world.clock.now()
    await persons.set_status(await world.as_(boss), ada.account.id, AccountStatus.ACTIVE, "it was not")
    assert await persons.log_in(STRANGER, ada.account.email, PASSWORD)


async def test_no_session_survives_a_suspension_that_comes_while_it_begins(world: World) -> None:
    boss = await world.confirmed("boss")
    for _ in range(5):
        ada = await world.confirmed("ada")
        persons = world.identity.persons
        results = await asyncio.gather(
            *(persons.log_in(STRANGER, ada.account.email, PASSWORD) for _ in range(3)),
            persons.set_status(await world.as_(boss), ada.account.id, AccountStatus.SUSPENDED, "spam"),
            return_exceptions=True,
        )
        assert not isinstance(results[-1], BaseException)
        for tokens in results[:-1]:
            if isinstance(tokens, Tokens):
                with pytest.raises(TokenInvalid):
                    await refresh(world, tokens.refresh_token)


# --- access tokens at the gate ---


@pytest.fixture
async def gate(world: World) -> Gate:
    gate = Gate(world.identity)
    await gate.refresh()
    return gate


def forged(head: dict[str, object], claims: dict[str, object], signature: bytes = b"") -> str:
    def part(value: object) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    return f"{part(head)}.{part(claims)}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


async def test_the_gate_knows_the_bearer_of_a_token(world: World, gate: Gate) -> None:
    tokens = await world.confirmed()
    actor = await gate.by_token((await refresh(world, tokens.refresh_token)).access_token)
    assert (actor.account_id, actor.confirmed, actor.platform_admin) == (tokens.account.id, True, False)


@pytest.mark.parametrize("alg", ["none", "None", "NONE", ""])
async def test_a_token_without_a_signature_is_refused(world: World, gate: Gate, alg: str) -> None:
    claims = await world.claims(await world.register())
    (key, *_) = (await world.identity.key_set(STRANGER)).keys
    with pytest.raises(TokenRefused):
        await gate.by_token(forged({"alg": alg, "kid": key["kid"]}, claims))


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(world: World, gate: Gate) -> None:
    claims = await world.claims(await world.register())
    (key, *_) = (await world.identity.key_set(STRANGER)).keys
    public = ECKey.import_key(dict(key))
    for secret in (public.as_pem(private=False), json.dumps(key).encode(), key["x"].encode()):
        head = {"alg": "HS256", "kid": key["kid"]}
        signed = forged(head, claims).rsplit(".", 1)[0]
        token = forged(head, claims, hmac.digest(secret, signed.encode(), "sha256"))
        with pytest.raises(TokenRefused):
            await gate.by_token(token)


async def test_a_token_of_another_key_issuer_audience_or_time_is_refused(world: World, gate: Gate) -> None:
    tokens = await world.register()
    claims = await world.claims(tokens)
    (key, *_) = (await world.identity.key_set(STRANGER)).keys
    own = await world.identity.signing._current()
    head = {"alg": "ES256", "kid": key["kid"]}
    now = int(time.time())
    assert await gate.by_token(jwt.encode(head, claims, own)), "or the test proves nothing"
    stranger = ECKey.generate_key("P-256", {"kid": key["kid"]}, private=True)
    with pytest.raises(TokenRefused):
        await gate.by_token(jwt.encode(head, claims, stranger))
    for change in ({"aud": "other"}, {"iss": "https://evil.example"}, {"sub": "x"}, {"iat": now + 3600}, {"exp": "soon"}):
        with pytest.raises(TokenRefused):
            await gate.by_token(jwt.encode(head, claims | change, own))
    with pytest.raises(TokenExpired):
        await gate.by_token(jwt.encode(head, claims | {"iat": now - 1000, "exp": now - 1}, own))


async def test_an_access_token_dies_with_its_session_and_its_account(world: World, gate: Gate) -> None:
    ada, eve, boss = await world.confirmed("ada"), await world.confirmed("eve"), await world.confirmed("boss")
    assert await gate.by_token(ada.access_token) and await gate.by_token(eve.access_token)
    await world.identity.sessions.end_all(await world.as_(ada))
    await world.identity.persons.set_status(await world.as_(boss), eve.account.id, AccountStatus.BANNED, "fraud")
    await gate.refresh()
    with pytest.raises(TokenRefused):
        await gate.by_token(ada.access_token)
    with pytest.raises((TokenRefused, AccountClosed)):
        await gate.by_token(eve.access_token)
    assert await gate.by_token(boss.access_token)


# --- signing keys ---


async def test_keys_survive_a_restart_and_are_shared(world: World) -> None:
    tokens = await world.register()
    restarted = world.another_process()
    again = await restarted.persons.log_in(STRANGER, tokens.account.email, PASSWORD)
    assert (
        jws.extract_compact(tokens.access_token.encode()).headers()["kid"]
        == jws.extract_compact(again.access_token.encode()).headers()["kid"]
    )


async def test_keys_rotate_with_overlap(fresh_database: FreshDatabase) -> None:
    world = World(await fresh_database.connect(), fresh_database.url)
    old = await world.register()
    before = {k["kid"] for k in (await world.identity.key_set(STRANGER)).keys}
    world.clock.advance(timedelta(days=29, hours=12))
    await world.identity.signing.prepare(STRANGER)
    published = {k["kid"] for k in (await world.identity.key_set(STRANGER)).keys}
    assert len(published - before) == 1, "the next key is known before it signs"
    late = await world.register()
    assert (await world.claims(late))["sub"]
    world.clock.advance(timedelta(hours=12, minutes=10))
    new = await world.register()
    kid = jws.extract_compact(new.access_token.encode()).headers()["kid"]
    assert kid in published - before
    assert jws.extract_compact(late.access_token.encode()).headers()["kid"] in {
        k["kid"] for k in (await world.identity.key_set(STRANGER)).keys
    }
    world.clock.advance(timedelta(hours=2))
    await world.identity.signing.prepare(STRANGER)
    assert jws.extract_compact(old.access_token.encode()).headers()["kid"] not in {
        k["kid"] for k in (await world.identity.key_set(STRANGER)).keys
    }


async def test_private_keys_are_sealed(world: World, admin: asyncpg.Connection) -> None:
    await world.register()
    for key in await admin.fetch("select public_key::text as p, sealed_private_key as s from identity.signing_key"):
        assert '"d"' not in key["p"] and b'"d"' not in key["s"]


async def test_a_process_with_another_secret_refuses_to_start_and_makes_no_keys(world: World) -> None:
    known = await world.identity.key_set(STRANGER)
    other = world.another_process("another secret, just as long as the first")
    for refused in (Gate(other).start(), other.signing.prepare(STRANGER), other.signing.sign({})):
        with pytest.raises(SecretChanged, match="sealed with another FORECOURT_SECRET_KEY"):
            await refused
    assert await world.identity.key_set(STRANGER) == known
    same = Gate(world.another_process())
    await same.start()
    await same.stop()


async def test_a_new_secret_works_once_the_old_keys_are_removed(fresh_database: FreshDatabase) -> None:
    world = World(await fresh_database.connect(), fresh_database.url)
    world.clock = SystemClock()  # type: ignore[assignment] - a clock that moves between making a key and using it
    tokens = await world.register()
    admin = await fresh_database.admin()
    await admin.execute("set role fc_identity")
    await admin.execute("delete from identity.signing_key")
    await admin.close()
    other = world.another_process("another secret, just as long as the first")
    again = await other.persons.log_in(STRANGER, tokens.account.email, PASSWORD)
    gate = Gate(other)
    assert (await gate.by_token(again.access_token)).account_id == tokens.account.id
    with pytest.raises(TokenRefused):
        await gate.by_token(tokens.access_token)


async def test_nobody_sees_the_security_events_of_another(world: World) -> None:
    ada, eve = await world.register("ada"), await world.register("eve")
    await world.identity.persons.log_in(STRANGER, ada.account.email, PASSWORD)
    assert await kinds(world, ada) == ["logged_in", "registered"]
    assert await kinds(world, eve) == ["registered"]


async def test_unknown_people_have_no_status(world: World) -> None:
    with pytest.raises(NotFound):
        await world.identity.status(STRANGER, uuid4())
