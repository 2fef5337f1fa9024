from __future__ import annotations

import asyncio

import argon2
import asyncpg
import pytest
from argon2.exceptions import VerifyMismatchError
from tests.modules.identity.conftest import CHEAP, PASSWORD, STRANGER, World

from forecourt.kernel.errors import Invalid, Problem
from forecourt.kernel.settings import Env
from forecourt.modules.identity.contract import AccountStatus, BadCredentials, EmailTaken
from forecourt.modules.identity.passwords import FULL, Passwords, hasher_for, nobodys
from forecourt.modules.identity.service.accounts import NewAccount


async def test_who_registers_is_signed_in_but_unconfirmed(world: World) -> None:
    tokens = await world.register()
    claims = await world.claims(tokens)
    assert tokens.account.status is AccountStatus.UNCONFIRMED
    assert (claims["sub"], claims["st"], claims["aud"]) == (str(tokens.account.id), "unconfirmed", "forecourt")
    assert tokens.expires_in == 900 == int(str(claims["exp"])) - int(str(claims["iat"]))


async def test_an_address_has_one_account_whatever_its_case(world: World) -> None:
    email = world.address("Grace")
    await world.register(email=email)
    with pytest.raises(EmailTaken):
        await world.register(email=email.upper())
    again = await world.identity.persons.log_in(STRANGER, f"  {email.swapcase()} ", PASSWORD)
    assert again.account.email == email
    assert [m.subject for m in await world.letters(email)][-1] == "You already have an account"


async def test_the_owner_of_a_taken_address_is_told_once_an_hour(world: World) -> None:
    email = world.address()
    await world.register(email=email)
    for _ in range(3):
        with pytest.raises(EmailTaken):
            await world.register(email=email)
    told = [m for m in await world.letters(email) if m.subject == "You already have an account"]
    assert len(told) == 1


async def test_nobody_has_the_house_write_their_words_to_a_stranger(world: World) -> None:
    persons, victim = world.identity.persons, world.address("victim")
    words = "You have won: evil.example"
    await persons.register(STRANGER, NewAccount(victim, PASSWORD, words))
    await persons.ask_for_code(STRANGER, victim)
    await persons.ask_for_reset(STRANGER, victim)
    with pytest.raises(EmailTaken):
        await persons.register(STRANGER, NewAccount(victim, PASSWORD, words))
    letters = await world.letters(victim)
    assert len(letters) == 4
    assert not any("evil" in letter.text for letter in letters)
    ada = await world.confirmed()
    await persons.ask_for_reset(STRANGER, ada.account.email)
    assert "Hello Ada Lovelace," in (await world.letters(ada.account.email))[-1].text  # who has shown that the address is theirs


async def test_of_many_who_register_one_address_at_once_one_wins_and_nobody_breaks(world: World) -> None:
    email = world.address()
    results = await asyncio.gather(*(world.register(email=email) for _ in range(12)), return_exceptions=True)
    lost = [r for r in results if isinstance(r, EmailTaken)]
    assert len(lost) == 11
    assert len(results) - len(lost) == 1


@pytest.mark.parametrize("password", ["password1", "aaaaaaaaaaaaaaa", "12345678", "ada lovelace"])
async def test_a_weak_password_is_refused_with_reasons(world: World, password: str) -> None:
    with pytest.raises(Invalid) as refused:
        await world.identity.persons.register(STRANGER, NewAccount(world.address(), password, "Ada Lovelace"))
    assert {e.path for e in refused.value.errors} == {"password"}
    assert all(e.message for e in refused.value.errors)


async def test_the_last_character_of_the_longest_password_counts(world: World) -> None:
    email, longest = world.address(), (PASSWORD * 6)[:127]
    await world.identity.persons.register(STRANGER, NewAccount(email, longest + "x", "Ada"))
    await world.identity.persons.log_in(STRANGER, email, longest + "x")
    with pytest.raises(BadCredentials):
        await world.identity.persons.log_in(STRANGER, email, longest + "y")
    with pytest.raises(Invalid):
        await world.identity.persons.register(STRANGER, NewAccount(world.address(), longest + "xy", "Ada"))


@pytest.mark.parametrize(
    "email", ["", "nobody", "a@b", "a b@example.org", "a@example.org\x00", "<a@example.org>", "@example.org"]
)
async def test_what_is_no_address_is_refused_and_cannot_sign_in(world: World, email: str) -> None:
    with pytest.raises(Invalid) as refused:
        await world.identity.persons.register(STRANGER, NewAccount(email, PASSWORD, "Ada"))
    assert refused.value.errors[0].path == "email"
    if "\x00" not in email:  # the door refuses those
        with pytest.raises(BadCredentials):
            await world.identity.persons.log_in(STRANGER, email, PASSWORD)


async def test_an_address_in_another_script_works(world: World) -> None:
    tokens = await world.register(email=f"jürgen-{world.address()}")
    assert tokens.account.email.startswith("jürgen")


async def test_no_password_or_token_is_stored_in_the_clear(world: World, admin: asyncpg.Connection) -> None:
    tokens = await world.register()
    code = await world.code(tokens.account.email)
    rows = await admin.fetch("select row_to_json(a)::text as t from identity.account a where id = $1", tokens.account.id)
    rows += await admin.fetch("select row_to_json(a)::text as t from identity.token a where account_id = $1", tokens.account.id)
    rows += await admin.fetch(
        "select row_to_json(a)::text as t from identity.challenge a where account_id = $1", tokens.account.id
    )
    text = " ".join(row["t"] for row in rows)
    assert len(rows) == 3 and "$argon2id$" in text
    assert PASSWORD not in text and tokens.refresh_token not in text
    log = await admin.fetch(
        "select convert_from(payload, 'utf8') as p from kernel.event where account_id = $1", tokens.account.id
    )
    assert log and not any(code in row["p"] or tokens.account.email in row["p"] for row in log)
    left = await admin.fetchval("select count(*) from kernel.job where position($1 in convert_from(payload, 'utf8')) > 0", code)
    assert left == 0, "the mail is sent; the job that carried the code is gone"


async def test_a_hash_made_with_older_parameters_is_renewed_at_log_in(world: World, admin: asyncpg.Connection) -> None:
    tokens = await world.register()
    old = argon2.PasswordHasher(time_cost=2, memory_cost=512, parallelism=1).hash(PASSWORD)
    await admin.execute("update identity.account set password_hash = $2 where id = $1", tokens.account.id, old)
    await world.identity.persons.log_in(STRANGER, tokens.account.email, PASSWORD)
    new = await admin.fetchval("select password_hash from identity.account where id = $1", tokens.account.id)
    assert new != old and "m=1024,t=1" in new
    await world.identity.persons.log_in(STRANGER, tokens.account.email, PASSWORD)


async def test_two_who_log_in_at_once_both_get_in_when_the_hash_is_older(world: World, admin: asyncpg.Connection) -> None:
    tokens = await world.register()
    old = argon2.PasswordHasher(time_cost=2, memory_cost=512, parallelism=1).hash(PASSWORD)
    await admin.execute("update identity.account set password_hash = $2 where id = $1", tokens.account.id, old)
    processes = [world.another_process() for _ in range(4)]
    both = asyncio.Barrier(4)
    for process in processes:  # all have checked the password before the first begins its session
        process.persons._passwords = Together(both)
    answers = await asyncio.gather(
        *(process.persons.log_in(STRANGER, tokens.account.email, PASSWORD) for process in processes), return_exceptions=True
    )
    assert [a for a in answers if isinstance(a, BaseException)] == []
    assert "m=1024,t=1" in await admin.fetchval("select password_hash from identity.account where id = $1", tokens.account.id)


class Together(Passwords):
    """Hands over what it hashed when as many others are as far."""

    def __init__(self, both: asyncio.Barrier) -> None:
        super().__init__(CHEAP)
        self._both = both

    async def hash(self, password: str) -> str:
        hashed = await super().hash(password)
        async with asyncio.timeout(20):
            await self._both.wait()
        return hashed


async def answer_of(world: World, email: str, password: str) -> tuple[object, ...]:
    try:
        await world.identity.persons.log_in(STRANGER, email, password)
    except Problem as problem:
        return type(problem), problem.status, problem.document(""), problem.headers.keys()
    return ("in",)


async def test_log_in_does_not_tell_whether_an_account_exists(world: World) -> None:
    tokens = await world.register()
    wrong = await answer_of(world, tokens.account.email, "not the password")
    nobody = await answer_of(world, world.address("nobody"), "not the password")
    assert wrong == nobody
    assert await answer_of(world, tokens.account.email, PASSWORD) == ("in",)


async def test_ten_failures_lock_an_address_with_and_without_an_account_alike(world: World) -> None:
    tokens = await world.register()
    for email in (tokens.account.email, world.address("nobody")):
        answers = [await answer_of(world, email, f"wrong {n}") for n in range(11)]
        assert [a[1] for a in answers] == [401] * 10 + [429]
        assert "Retry-After" in answers[-1][3]
    assert (await answer_of(world, tokens.account.email, PASSWORD))[1] == 429, "locked to whoever knows the password, too"
    world.clock.advance(__import__("datetime").timedelta(minutes=15, seconds=1))
    assert await answer_of(world, tokens.account.email, PASSWORD) == ("in",)


async def test_guesses_at_the_same_moment_are_locked_out_as_well(world: World) -> None:
    tokens = await world.register()
    answers = await asyncio.gather(*(answer_of(world, tokens.account.email, f"wrong {n}") for n in range(40)))
    tried = sum(a[1] == 401 for a in answers)
    assert 10 <= tried <= 11, "at most one guess more than allowed: two are checked at a time"
    assert sum(a[1] == 429 for a in answers) == 40 - tried


async def test_a_success_clears_the_count(world: World) -> None:
    tokens = await world.register()
    for _ in range(2):
        for n in range(9):
            assert (await answer_of(world, tokens.account.email, f"wrong {n}"))[1] == 401
        assert await answer_of(world, tokens.account.email, PASSWORD) == ("in",)


@pytest.mark.parametrize("env", Env)
def test_passwords_are_hashed_in_full_but_in_a_house_under_test(env: Env) -> None:
    hasher = hasher_for(env)
    costs = (hasher.time_cost, hasher.memory_cost, hasher.parallelism)
    assert (costs == (3, 65_536, 4)) is (env is not Env.TEST)


@pytest.mark.parametrize("hasher", [FULL, CHEAP])
def test_who_has_no_password_costs_as_much_as_who_has_one(hasher: argon2.PasswordHasher) -> None:
    real, made_up = hasher.hash(PASSWORD), nobodys(hasher)
    assert argon2.extract_parameters(made_up) == argon2.extract_parameters(real)
    assert hasher.verify(real, PASSWORD)
    with pytest.raises(VerifyMismatchError):  # it was computed and differs; a hash that cannot be read is another error
        hasher.verify(made_up, PASSWORD)
