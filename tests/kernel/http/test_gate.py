"""Tokens, keys and cookies at the door: what is remembered, for how long, and what ends it at once."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.modules.identity.conftest import PASSWORD, STRANGER, World

from forecourt.kernel.context import ANONYMOUS
from forecourt.kernel.db import Database, Statement
from forecourt.kernel.errors import Misconfigured, Problem, Unavailable
from forecourt.kernel.http import gate as gates
from forecourt.kernel.http.gate import AccountClosed, Doorkeeper, Gate, TokenExpired, TokenRefused
from forecourt.modules.identity import rules
from forecourt.modules.identity.contract import AccountStatus
from forecourt.modules.identity.queries import accounts as queries


@pytest.fixture
def world(db: Database, database_url: str) -> World:
    return World(db, database_url)


@pytest.fixture
async def gate(world: World) -> Gate:
    gate = Gate(world.identity)
    await gate.refresh()
    return gate


@pytest.fixture
async def cut_off(database_url: str) -> AsyncIterator[World]:
    """An identity whose database can be taken away: `await world.db.close()`."""
    database = await Database.connect(database_url, None, 2, "forecourt tests")
    yield World(database, database_url)
    await database.close()


class Away:
    """Whoever keeps accounts, in a process that has not started yet."""

    def __init__(self, identity: Doorkeeper, refusal: Problem | None = None) -> None:
        self._identity = identity
        self._refusal = refusal or Unavailable("identity.Identity does not answer")
        self.here = False

    def __getattr__(self, name: str) -> Any:
        real = getattr(self._identity, name)

        async def answer(*args: Any) -> Any:
            if not self.here:
                raise self._refusal
            return await real(*args)

        return answer


async def signed(world: World, **changes: Any) -> str:
    """A token that the house itself signs."""
    claims = await world.claims(await world.confirmed()) | changes
    key = await world.identity.signing._current()
    return jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key)


# --- access tokens ----------------------------------------------------------------------------------------------------


async def test_a_remembered_token_expires_like_any_other_by_the_clock_of_the_house(world: World) -> None:
    gate = Gate(world.identity, world.clock)
    await gate.refresh()
    token = await signed(world)
    assert await gate.by_token(token)
    assert await gate.by_token(token)  # remembered, and still good
    world.clock.advance(timedelta(hours=1))
    with pytest.raises(TokenExpired):
        await gate.by_token(token)
    with pytest.raises(TokenExpired):  # forgotten, and refused on its own merits
        await gate.by_token(token)


async def test_the_memory_of_tokens_is_bounded(world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "KNOWN_TOKENS", 2)
    tokens = [await signed(world) for _ in range(3)]
    for token in tokens:
        await gate.by_token(token)
    assert list(gate._tokens) == tokens[1:]
    assert await gate.by_token(tokens[0])  # forgotten is not refused


async def test_a_token_longer_than_any_of_ours_is_not_even_read(world: World, gate: Gate) -> None:
    with pytest.raises(TokenRefused):
        await gate.by_token(await signed(world, pad="x" * 4096))
    assert await gate.by_token(await signed(world, pad="x" * 100))


@pytest.mark.parametrize("change", [{"sub": 7}, {"sid": "x"}, {"iat": None}, {"exp": [1]}])
async def test_claims_of_another_shape_are_refused(world: World, gate: Gate, change: dict[str, object]) -> None:
    with pytest.raises(TokenRefused):
        await gate.by_token(await signed(world, **change))
    assert await gate.by_token(await signed(world))


@pytest.mark.parametrize("change", [{"iss": "https://evil.example"}, {"aud": "other"}, {"iat": 4102444800, "exp": 4102448400}])
async def test_a_token_for_another_house_or_another_time_is_refused(world: World, gate: Gate, change: dict[str, object]) -> None:
    with pytest.raises(TokenRefused):
        await gate.by_token(await signed(world, **change))
    assert await gate.by_token(await signed(world))


async def test_a_claim_that_is_missing_is_refused(world: World, gate: Gate) -> None:
    claims = await world.claims(await world.confirmed())
    key = await world.identity.signing._current()
    del claims["st"]
    with pytest.raises(TokenRefused):
        await gate.by_token(jwt.encode({"alg": "ES256", "kid": key.kid}, claims, key))


async def test_a_gate_that_read_no_keys_yet_reads_them_for_the_first_token(world: World) -> None:
    gate = Gate(world.identity)
    assert (await gate.by_token(await signed(world))).confirmed


def unsigned(head: object) -> str:
    raw = head if isinstance(head, bytes) else json.dumps(head).encode()
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode() + ".e30.AAAA"


@pytest.mark.parametrize("head", [b"\xff\xfe", [], {"kid": 7}, {"alg": "ES256"}, "text"])
async def test_a_head_that_names_no_key_does_not_make_the_gate_ask(world: World, gate: Gate, head: object) -> None:
    before = gate._keys
    with pytest.raises(TokenRefused):
        await gate.by_token(unsigned(head))
    assert gate._keys is before


async def test_a_key_made_a_moment_ago_is_asked_for_once_a_second_at_most(world: World, gate: Gate) -> None:
    # The gate has keys that are not the house's any more, as a process has that slept through a rotation.
    other = ECKey.generate_key("P-256", {"kid": "yesterday", "alg": "ES256"}, private=True)
    mine = await signed(world)
    gate._keys = gates.JoseKeySet.import_key_set({"keys": [other.as_dict(private=False)]})
    gate._key_ids = frozenset({"yesterday"})
    assert (await gate.by_token(mine)).confirmed
    assert "yesterday" not in gate._key_ids

    gate._asked_keys = 0.0
    stale = gate._keys
    with pytest.raises(TokenRefused):
        await gate.by_token(unsigned({"alg": "ES256", "kid": "never-was"}))
    asked = gate._keys
    assert asked is not stale  # it asked, and nobody knew that key
    with pytest.raises(TokenRefused):
        await gate.by_token(unsigned({"alg": "ES256", "kid": "nor-was-this"}))
    assert gate._keys is asked


async def test_a_flood_of_invented_keys_does_not_keep_a_new_one_from_being_read(
    world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = ECKey.generate_key("P-256", {"kid": "yesterday", "alg": "ES256"}, private=True)
    mine = await signed(world)
    gate._keys = gates.JoseKeySet.import_key_set({"keys": [other.as_dict(private=False)]})
    gate._key_ids = frozenset({"yesterday"})
    gate._asked_keys = gate._heard = now = time.monotonic()
    for i in range(1, 5):  # twice a second, for two seconds
        monkeypatch.setattr(gates.time, "monotonic", lambda i=i: now + i / 2)
        with pytest.raises(TokenRefused):
            await gate.by_token(unsigned({"alg": "ES256", "kid": f"invented-{i}"}))
    assert (await gate.by_token(mine)).confirmed


async def test_a_gate_reads_the_keys_again_also_when_no_token_names_another(world: World) -> None:
    gate = Gate(world.identity, world.clock)
    await gate.refresh()
    gone = ECKey.generate_key("P-256", {"kid": "taken away", "alg": "ES256"}, private=True)
    gate._keys = gates.JoseKeySet.import_key_set({"keys": [gone.as_dict(private=False)]})
    gate._key_ids = frozenset({"taken away"})
    await gate.refresh()
    assert gate._key_ids == {"taken away"}  # not at every look
    gate._keys_read -= gates.KEYS_KEPT_S
    await gate.refresh()
    assert gate._key_ids and "taken away" not in gate._key_ids


async def test_what_was_committed_late_is_heard_of_all_the_same(world: World) -> None:
    gate = Gate(world.identity, world.clock)
    tokens = await world.confirmed()
    ctx = await world.as_(tokens)
    await gate.refresh()
    async with world.db.module("identity").tx(STRANGER) as tx:
        await queries.revoke(tx, [ctx.actor.session_id], world.clock.now())  # type: ignore[list-item]
        world.clock.advance(timedelta(seconds=60))  # as long as a transaction may take
        await gate.refresh()
        assert await gate.by_token(tokens.access_token)  # nobody can know of it yet
    await gate.refresh()
    with pytest.raises(TokenRefused):
        await gate.by_token(tokens.access_token)


async def test_a_new_password_ends_access_also_when_it_waited_long_for_its_turn(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = Gate(world.identity, world.clock)
    tokens = await world.confirmed()
    persons = world.identity.persons
    await persons.ask_for_reset(STRANGER, tokens.account.email)
    link = await world.link(tokens.account.email)
    hash_at_once = persons._passwords.hash

    async def hash_after_others(password: str) -> str:
        world.clock.advance(timedelta(minutes=2))
        await gate.refresh()
        return await hash_at_once(password)

    monkeypatch.setattr(persons._passwords, "hash", hash_after_others)
    await persons.reset_password(STRANGER, link, "a quite different phrase 77")
    await gate.refresh()
    with pytest.raises(TokenRefused):
        await gate.by_token(tokens.access_token)


async def test_a_session_that_ended_and_an_account_that_closed_have_no_token(world: World, gate: Gate) -> None:
    ada, eve, boss = await world.confirmed("ada"), await world.confirmed("eve"), await world.confirmed("boss")
    await world.identity.sessions.end(await world.as_(ada), (await world.as_(ada)).actor.session_id)  # type: ignore[arg-type]
    await world.identity.persons.set_status(await world.as_(boss), eve.account.id, AccountStatus.SUSPENDED, "spam")
    now = int(time.time())
    suspended = await signed(world, sub=str(eve.account.id), iat=now + 5)
    older = await signed(world, sub=str(eve.account.id), iat=now - 5)
    await gate.refresh()
    with pytest.raises(TokenRefused):
        await gate.by_token(ada.access_token)
    for before in (eve.access_token, older):
        with pytest.raises(TokenRefused):
            await gate.by_token(before)
    with pytest.raises(AccountClosed):  # and one from after it says why
        await gate.by_token(suspended)
    assert await gate.by_token(boss.access_token)


async def test_a_token_from_before_the_address_was_verified_grows_with_it(world: World, gate: Gate) -> None:
    young = await world.register()
    assert not (await gate.by_token(young.access_token)).confirmed
    code = await world.code(young.account.email)
    await world.identity.persons.confirm_by_code(STRANGER, young.account.email, code)
    await gate.refresh()
    grown = await gate.by_token(young.access_token)
    assert grown.confirmed and grown.account_id == young.account.id
    assert (await gate.by_token(young.access_token)).confirmed  # and stays so without being asked again


async def test_a_gate_that_has_heard_nothing_asks_and_without_an_answer_lets_nobody_in(cut_off: World) -> None:
    gate = Gate(cut_off.identity)
    await gate.refresh()
    token = await signed(cut_off)
    assert await gate.by_token(token)
    gate._heard -= 60
    assert await gate.by_token(token)  # it asked, and was told
    gate._heard -= 60
    await cut_off.db.close()
    with pytest.raises(Unavailable):
        await gate.by_token(token)


async def test_a_new_key_is_not_asked_for_while_nobody_answers(world: World, gate: Gate) -> None:
    gate._heard -= 60
    before = gate._keys
    with pytest.raises(TokenRefused):
        await gate.by_token(unsigned({"alg": "ES256", "kid": "new"}))
    assert gate._keys is before


async def test_another_day_of_the_house_is_no_other_day_of_its_tokens(world: World) -> None:
    """A house that stands on another day signs and checks by the same clock; one by the system's clock refuses what it signs."""
    world.clock.advance(timedelta(days=40))
    token = (await world.confirmed()).access_token
    assert await Gate(world.identity, world.clock).by_token(token)
    with pytest.raises(TokenRefused):  # issued in its future
        await Gate(world.identity).by_token(token)


async def test_a_gate_whose_source_does_not_answer_yet_opens_and_lets_nobody_in_until_it_does(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gates, "POLL_S", 0.02)
    source = Away(world.identity)
    gate = Gate(source)
    await gate.start()
    try:
        token = (await world.confirmed()).access_token
        with pytest.raises(Unavailable):
            await gate.by_token(token)
        source.here = True
        assert await gate.by_token(token)
    finally:
        await gate.stop()


async def test_a_gate_whose_source_is_set_up_wrongly_does_not_open(world: World) -> None:
    source = Away(world.identity, Misconfigured("the secret is another"))
    with pytest.raises(Misconfigured):
        await Gate(source).start()


# --- listening --------------------------------------------------------------------------------------------------------


async def test_a_started_gate_hears_at_once_when_it_is_told_to_look_again(world: World) -> None:
    gate = Gate(world.identity)
    await gate.start()
    try:
        ada = await world.confirmed()
        assert await gate.by_token(ada.access_token)
        await world.identity.sessions.end_all(await world.as_(ada))
        gate.look_again()
        async with asyncio.timeout(10):
            while True:
                try:
                    await gate.by_token(ada.access_token)
                except TokenRefused:
                    break
                await asyncio.sleep(0.01)
    finally:
        await gate.stop()


async def test_a_gate_goes_on_listening_when_its_source_fails(cut_off: World) -> None:
    gate = Gate(cut_off.identity)
    await gate.start()
    await cut_off.db.close()
    gate.look_again()
    await asyncio.sleep(0.1)
    assert gate._task is not None and not gate._task.done()
    await gate.stop()
    assert gate._task.done()
    await Gate(cut_off.identity).stop()  # one that never started has nothing to end


LEFT_BY_OTHERS = (
    Statement("delete from identity.revocation where at > $1"),
    Statement("update identity.account set changed_at = null where changed_at > $1"),
)


async def test_a_gate_that_opens_hears_the_newest_end_after_more_than_one_portion(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "REVOCATIONS_AT_ONCE", 3)
    ada, eve, zoe, boss = [await world.confirmed(name) for name in ("ada", "eve", "zoe", "boss")]
    async with world.identity._db.tx(STRANGER) as tx:
        for of_a_later_clock in LEFT_BY_OTHERS:
            await tx.run(of_a_later_clock, world.clock.now())
        for minutes in (4, 3, 2, 1):  # each time more than a portion at the same moment
            await queries.revoke(tx, [uuid4() for _ in range(4)], world.clock.now() - timedelta(minutes=minutes))
    world.clock.advance(timedelta(seconds=1))
    await world.identity.sessions.end(await world.as_(ada), (await world.as_(ada)).actor.session_id)  # type: ignore[arg-type]
    for other in [await world.confirmed("other") for _ in range(4)]:  # and accounts that change, the newest last
        await world.identity.persons.set_status(await world.as_(boss), other.account.id, AccountStatus.SUSPENDED, "spam")
    world.clock.advance(timedelta(seconds=1))
    await world.identity.persons.set_status(await world.as_(boss), eve.account.id, AccountStatus.SUSPENDED, "spam")
    first = await world.identity.revocations(STRANGER, None)
    assert first.more and len(first.sessions) >= 4 and first.as_of < world.clock.now()
    gate = Gate(world.identity)
    await gate.refresh()
    for ended in (ada, eve):
        with pytest.raises(TokenRefused):
            await gate.by_token(ended.access_token)
    assert await gate.by_token(zoe.access_token)
    assert not (await world.identity.revocations(STRANGER, world.clock.now())).more


async def test_sessions_that_ended_are_forgotten_when_their_tokens_are_dead(world: World, gate: Gate) -> None:
    long_ago = time.time() - 7200
    gate._ended = {uuid4(): long_ago for _ in range(10_001)}
    fresh = uuid4()
    gate._ended[fresh] = time.time()
    await gate.refresh()
    assert fresh in gate._ended and len(gate._ended) < 10_001


async def test_accounts_that_changed_are_forgotten_when_their_tokens_are_dead(world: World, gate: Gate) -> None:
    long_ago = time.time() - 7200
    accounts = [uuid4() for _ in range(10_001)]
    gate._status = dict.fromkeys(accounts, "active")
    gate._revoked_before = dict.fromkeys(accounts, long_ago)
    gate._changed = dict.fromkeys(accounts, long_ago)
    eve, boss = await world.confirmed("eve"), await world.confirmed("boss")
    await world.identity.persons.set_status(await world.as_(boss), eve.account.id, AccountStatus.SUSPENDED, "spam")
    await gate.refresh()
    assert gate._status.keys().isdisjoint(accounts) and gate._revoked_before.keys().isdisjoint(accounts)
    assert gate._status[eve.account.id] == "suspended" and eve.account.id in gate._revoked_before


# --- keys, browsers, staff --------------------------------------------------------------------------------------------


async def test_a_key_works_until_it_runs_out_or_is_revoked(world: World, gate: Gate) -> None:
    _, boss = await world.owner()
    soon = datetime.now(UTC) + timedelta(hours=1)
    row, secret = await world.identity.staff.make_key(boss, "till", ["venues.edit"], soon)
    actor, scopes = await gate.by_api_key(secret)
    assert (actor.key_id, actor.key_organisation_id, scopes) == (row.id, boss.organisation_id, {"venues.edit"})
    await world.identity.staff.revoke_key(boss, row.id)
    gate.look_again()
    with pytest.raises(TokenRefused):
        await gate.by_api_key(secret)


async def test_a_remembered_key_runs_out_on_time(world: World, gate: Gate) -> None:
    _, boss = await world.owner()
    soon = datetime.now(UTC) + timedelta(seconds=1)
    _, short = await world.identity.staff.make_key(boss, "short", ["venues.edit"], soon)
    _, endless = await world.identity.staff.make_key(boss, "endless", ["venues.edit"], None)
    assert await gate.by_api_key(short)
    await asyncio.sleep(1.1)
    with pytest.raises(TokenRefused):
        await gate.by_api_key(short)
    assert await gate.by_api_key(endless)


async def test_the_memory_of_keys_is_bounded(world: World, gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gates, "KNOWN_KEYS", 2)
    for name in ("a", "b", "c"):
        with pytest.raises(TokenRefused):
            await gate.by_api_key(name)
    assert list(gate._api_keys) == [hashlib.sha256(name.encode()).digest() for name in ("b", "c")]


@pytest.mark.parametrize("cookie", ["", "x" * 201, "no-such-session"])
async def test_a_cookie_of_nobody_is_nobody(gate: Gate, cookie: str) -> None:
    assert await gate.by_session(cookie) is None


async def test_a_browser_is_known_until_its_session_ends(world: World, gate: Gate) -> None:
    ada = await world.confirmed()
    cookie, session = await world.identity.persons.start_browser_session(STRANGER, ada.account.email, PASSWORD)
    known = await gate.by_session(cookie)
    assert known is not None and known.account_id == ada.account.id
    gate._ended[session.session_id] = time.time()  # heard from the source, while the visitor is still remembered
    assert await gate.by_session(cookie) is None
    del gate._ended[session.session_id]
    assert await gate.by_session(cookie) is not None
    await world.identity.persons.end_session(STRANGER, cookie)
    await gate.refresh()
    assert await gate.by_session(cookie) is None


async def test_a_remembered_visitor_who_was_suspended_or_whose_time_is_over_is_nobody(world: World, gate: Gate) -> None:
    ada = await world.confirmed()
    cookie, session = await world.identity.persons.start_browser_session(STRANGER, ada.account.email, PASSWORD)
    assert await gate.by_session(cookie) is not None
    hashed = hashlib.sha256(cookie.encode()).digest()
    from msgspec.structs import replace

    for change in (
        {"status": AccountStatus.SUSPENDED},
        {"status": AccountStatus.BANNED},
        {"status": AccountStatus.ERASED},
        {"expires_at": datetime.now(UTC) - timedelta(seconds=1)},
    ):
        gate._visitors[hashed] = (time.monotonic() + 60, replace(session, **change))
        assert await gate.by_session(cookie) is None
    gate._visitors[hashed] = (time.monotonic() + 60, session)
    assert await gate.by_session(cookie) is not None


async def test_what_staff_may_do_is_remembered_until_it_changes(world: World, gate: Gate) -> None:
    tokens, boss = await world.owner()
    org = boss.organisation_id
    assert org is not None
    actor = await gate.by_token(tokens.access_token)
    first = await gate.permissions(actor, org)
    assert first is not None and "venues.edit" in first and await gate.permissions(actor, org) is first
    bob, _ = await world.join(boss, "manager")
    staff = await gate.by_token(bob.access_token)
    assert await gate.permissions(staff, org)
    await world.identity.staff.remove(boss, bob.account.id)
    gate.look_again()
    assert await gate.permissions(staff, org) is None
    assert await gate.permissions(actor, uuid4()) is None
    assert await gate.permissions(ANONYMOUS, org) is None
