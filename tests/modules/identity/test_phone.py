"""A phone number is a person's once a code has shown it (ID-1)."""

from __future__ import annotations

import asyncio
import re
from datetime import timedelta
from uuid import uuid4

import asyncpg
import pytest
from tests.modules.identity.conftest import STRANGER, World

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, TooManyRequests, Unauthenticated
from forecourt.modules.identity.contract import CodeWrong, PhoneTaken
from forecourt.modules.identity.phones import read_number, shown
from forecourt.modules.identity.queries.phones import NumberRow
from forecourt.modules.identity.rules import PHONE_CODE_TTL


def a_number() -> str:
    return f"+4477{uuid4().int % 10**8:08}"


async def newest(world: World, number: str) -> str:
    """The code of the newest text to a number."""
    await world.worker.drain()
    texts = [t.text for t in world.box.texts if t.to == number]
    assert texts, "no text was sent"
    return re.findall(r"\d{6}", texts[-1])[0]


def another(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06}"


async def asked(world: World, number: str) -> tuple[Context, str]:
    """Somebody who gave a number, and the code that went there."""
    me = await world.as_(await world.confirmed())
    await world.identity.phones.ask_for_code(me, number, "en")
    return me, await newest(world, number)


async def with_number(world: World, number: str) -> Context:
    me, code = await asked(world, number)
    await world.identity.phones.confirm(me, code)
    return me


# --- the number ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("typed", "number"),
    [
        ("+44 7700 900123", "+447700900123"),
        (" +44 (0)7700-900 123 ", "+447700900123"),
        ("+92 300 1234567", "+923001234567"),
        ("\uff0b\u0664\u0664\u0667\u0667\u0660\u0660\u0669\u0660\u0660\u0661\u0662\u0663", "+447700900123"),
        ("+351912345678", "+351912345678"),
    ],
)
def test_a_number_is_read_however_it_is_spaced(typed: str, number: str) -> None:
    assert read_number(typed) == number


@pytest.mark.parametrize(
    "typed",
    ["", "+", "07700900123", "+1", "+4477", "+447700900123456789", "+999123456", "ada", "+44 7700 900123 ext 5",
     "+44 909 879 0000", "+800 1234 5678", "\U0001f4de", "+44\x007700900123"],
)  # fmt: skip
def test_what_takes_no_texts_is_refused_at_the_field(typed: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_number(typed)
    assert [e.path for e in refused.value.errors] == ["phone"]


def test_a_number_is_shown_as_people_read_it() -> None:
    assert (shown("+447911123456"), shown("")) == ("+44 7911 123456", "")


# --- the code ------------------------------------------------------------------------------------------------------------


async def test_a_number_is_the_persons_once_its_code_is_entered_and_not_before(world: World) -> None:
    number = a_number()
    me, code = await asked(world, number)
    account = me.account_id
    assert account is not None
    assert await world.identity.phones.mine(me) == NumberRow(None, number)
    assert await world.identity.phone(STRANGER, account) is None, "texts go to no number that nobody has confirmed"
    await world.identity.phones.confirm(me, code)
    assert await world.identity.phones.mine(me) == NumberRow(number, None)
    assert await world.identity.phone(STRANGER, account) == number
    with pytest.raises(CodeWrong):
        await world.identity.phones.confirm(me, code)


async def test_a_code_is_of_use_to_nobody_else(world: World) -> None:
    me, code = await asked(world, a_number())
    other = await world.as_(await world.confirmed("eve"))
    with pytest.raises(CodeWrong):
        await world.identity.phones.confirm(other, code)
    with pytest.raises(Unauthenticated):
        await world.identity.phones.confirm(STRANGER, code)
    await world.identity.phones.confirm(me, code)


async def test_five_wrong_guesses_void_a_code_also_when_a_hundred_come_at_once(world: World) -> None:
    me, code = await asked(world, a_number())
    guesses = [f"{(int(code) + 1 + n) % 1_000_000:06}" for n in range(99)]
    tried = await asyncio.gather(*(world.identity.phones.confirm(me, g) for g in guesses), return_exceptions=True)
    assert all(isinstance(t, CodeWrong) for t in tried)
    with pytest.raises(CodeWrong):
        await world.identity.phones.confirm(me, code)
    assert (await world.identity.phones.mine(me)).verified is None


async def test_four_wrong_guesses_leave_one_that_is_right(world: World) -> None:
    me, code = await asked(world, a_number())
    for _ in range(4):
        with pytest.raises(CodeWrong):
            await world.identity.phones.confirm(me, another(code))
    await world.identity.phones.confirm(me, code)


async def test_a_code_is_good_for_ten_minutes(world: World) -> None:
    me, code = await asked(world, a_number())
    world.clock.advance(PHONE_CODE_TTL)
    with pytest.raises(CodeWrong):
        await world.identity.phones.confirm(me, code)
    assert await world.identity.phones.mine(me) == NumberRow(None, None)

    other, code = await asked(world, a_number())
    world.clock.advance(PHONE_CODE_TTL - timedelta(seconds=1))
    await world.identity.phones.confirm(other, code)


async def test_another_code_voids_the_one_before(world: World) -> None:
    number = a_number()
    me, first = await asked(world, number)
    await world.identity.phones.ask_for_code(me, number, "en")
    second = await newest(world, number)
    if first != second:
        with pytest.raises(CodeWrong):
            await world.identity.phones.confirm(me, first)
    await world.identity.phones.confirm(me, second)


async def test_texts_are_limited_for_a_person_and_begin_again_after_an_hour(world: World) -> None:
    me = await world.as_(await world.confirmed())
    for _ in range(5):
        await world.identity.phones.ask_for_code(me, a_number(), "en")
    with pytest.raises(TooManyRequests) as refused:
        await world.identity.phones.ask_for_code(me, a_number(), "en")
    assert 3500 < refused.value.retry_after_s <= 3600
    world.clock.advance(timedelta(hours=1))
    await world.identity.phones.ask_for_code(me, a_number(), "en")


async def test_texts_to_one_number_are_limited_whoever_asks(world: World) -> None:
    number = a_number()
    people = [await world.as_(await world.confirmed()) for _ in range(6)]
    for me in people[:5]:
        await world.identity.phones.ask_for_code(me, number, "en")
    with pytest.raises(TooManyRequests):
        await world.identity.phones.ask_for_code(people[5], number, "en")
    await world.identity.phones.ask_for_code(people[5], a_number(), "en")
    await world.worker.drain()
    assert len([t for t in world.box.texts if t.to == number]) == 5


async def test_the_text_speaks_the_persons_language(world: World) -> None:
    me = await world.as_(await world.confirmed())
    number = a_number()
    for language, word in (("ur", "کوڈ"), ("pt", "código"), ("xx", "code")):
        await world.identity.phones.ask_for_code(me, number, language)
        code = await newest(world, number)
        assert world.box.texts[-1].text.startswith(code) and word in world.box.texts[-1].text


# --- one number, one person ----------------------------------------------------------------------------------------------


async def test_of_two_who_prove_one_number_at_once_one_has_it(world: World) -> None:
    for _ in range(5):
        number = a_number()
        both = [await asked(world, number) for _ in range(2)]
        ends = await asyncio.gather(*(world.identity.phones.confirm(me, code) for me, code in both), return_exceptions=True)
        assert sorted(type(e).__name__ for e in ends) == ["NoneType", "PhoneTaken"]
        assert sorted([(await world.identity.phones.mine(me)).verified or "" for me, _ in both]) == ["", number]


async def test_a_taken_number_is_said_to_be_taken_only_to_whoever_holds_the_phone(world: World) -> None:
    number = a_number()
    holder = await with_number(world, number)
    eve, code = await asked(world, number)
    with pytest.raises(CodeWrong):
        await world.identity.phones.confirm(eve, another(code))
    with pytest.raises(PhoneTaken):
        await world.identity.phones.confirm(eve, code)
    await world.identity.phones.remove(holder)
    await world.identity.phones.confirm(eve, code)
    assert (await world.identity.phones.mine(eve)).verified == number


async def test_the_constraint_decides(world: World, admin: asyncpg.Connection) -> None:
    """The control: without it two people do end up with one number."""
    number = a_number()
    await with_number(world, number)
    eve, code = await asked(world, number)
    await admin.execute("alter table identity.phone drop constraint phone_number_key")
    try:
        await world.identity.phones.confirm(eve, code)
        assert await admin.fetchval("select count(*) from identity.phone where number = $1", number) == 2
    finally:
        await admin.execute("delete from identity.phone where number = $1", number)
        await admin.execute("alter table identity.phone add constraint phone_number_key unique (number)")


async def test_the_old_number_stays_until_the_new_one_is_proven_and_is_free_then(world: World) -> None:
    old, new = a_number(), a_number()
    me = await with_number(world, old)
    await world.identity.phones.ask_for_code(me, new, "en")
    assert await world.identity.phones.mine(me) == NumberRow(old, new)
    await world.identity.phones.confirm(me, await newest(world, new))
    assert await world.identity.phones.mine(me) == NumberRow(new, None)
    await with_number(world, old)


async def test_a_number_is_removed_with_what_waits_and_removing_nothing_is_no_event(world: World) -> None:
    number = a_number()
    me = await with_number(world, number)
    await world.identity.phones.ask_for_code(me, a_number(), "en")
    for _ in range(2):
        await world.identity.phones.remove(me)
    assert await world.identity.phones.mine(me) == NumberRow(None, None)
    events = (await world.identity.sessions.security_events(me, 50, None)).items
    kinds = [e.kind for e in events if e.kind.startswith("phone")]
    assert kinds == ["phone_removed", "phone_verified"]


# --- what is kept --------------------------------------------------------------------------------------------------------


async def test_no_code_is_kept_in_the_clear_and_no_number_in_the_log(world: World, admin: asyncpg.Connection) -> None:
    number = a_number()
    me, code = await asked(world, number)
    kept = await admin.fetchval(
        "select row_to_json(c)::text from identity.phone_challenge c where c.account_id = $1", me.account_id
    )
    assert number in kept and code not in kept.replace(number, "")
    await world.identity.phones.confirm(me, code)
    log = await admin.fetch(
        "select name, convert_from(payload, 'utf8') as p from kernel.event where account_id = $1", me.account_id
    )
    assert {"account.phone_verified", "security.noted"} <= {row["name"] for row in log}
    assert not any(code in row["p"] or number in row["p"] for row in log)
    left = await admin.fetchval("select count(*) from kernel.job where position($1 in convert_from(payload, 'utf8')) > 0", number)
    assert left == 0, "the text is sent; the job that carried the code is gone"


async def test_numbers_that_were_never_proven_are_forgotten(world: World, admin: asyncpg.Connection) -> None:
    (old, _), (fresh, _) = [await asked(world, a_number()) for _ in range(2)]
    await admin.execute(
        "update identity.phone_challenge set expires_at = $2 where account_id = $1",
        old.account_id,
        world.clock.now() - timedelta(seconds=1),
    )
    await world.identity.sessions.tidy(STRANGER)
    left = await admin.fetch(
        "select account_id from identity.phone_challenge where account_id = any($1)", [old.account_id, fresh.account_id]
    )
    assert [row["account_id"] for row in left] == [fresh.account_id]


async def test_a_phone_of_who_typed_the_address_first_goes_when_its_owner_takes_the_account(world: World) -> None:
    squatter = await world.register()
    proven = await world.confirmed()
    for tokens in (squatter, proven):
        ctx, number = await world.as_(tokens), a_number()
        await world.identity.phones.ask_for_code(ctx, number, "en")
        await world.identity.phones.confirm(ctx, await newest(world, number))
        await world.identity.persons.ask_for_reset(STRANGER, tokens.account.email)
        await world.identity.persons.reset_password(
            STRANGER, await world.link(tokens.account.email), "a quite different phrase 77"
        )
    assert await world.identity.phone(STRANGER, squatter.account.id) is None
    assert await world.identity.phone(STRANGER, proven.account.id) is not None  # whose address was theirs all along


# --- what a person is told of themselves ------------------------------------------------------------------------------------


async def test_who_i_am_tells_my_own_numbers_and_places_and_nobody_elses(world: World) -> None:
    number, wanted = a_number(), a_number()
    boss, _ = await world.owner()
    me, other = await world.as_(boss), await with_number(world, a_number())
    alone = await world.identity.oneself(me)
    assert alone.numbers == NumberRow(None, None)
    await world.identity.phones.ask_for_code(me, number, "en")
    await world.identity.phones.confirm(me, await newest(world, number))
    await world.identity.phones.ask_for_code(me, wanted, "en")
    mine, theirs = await world.identity.oneself(me), await world.identity.oneself(other)
    assert mine.card == (await world.identity.accounts(STRANGER, [boss.account.id]))[0]
    assert mine.numbers == NumberRow(number, wanted) == await world.identity.phones.mine(me)
    assert mine.places == alone.places == await world.identity.staff.places(me)
    assert [place.role for place in mine.places] == ["owner"]
    assert theirs.places == [] and theirs.numbers.verified not in (None, number)
    world.clock.advance(PHONE_CODE_TTL + timedelta(seconds=1))
    assert (await world.identity.oneself(me)).numbers == NumberRow(number, None), "the code is too old to wait for"
    with pytest.raises(Unauthenticated):
        await world.identity.oneself(STRANGER)
