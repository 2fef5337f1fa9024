from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import msgspec
import pytest
from tests.modules.payments.conftest import NOW, Club, gbp

from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed
from forecourt.kernel.ids import new_id
from forecourt.modules.payments.contract import (
    ChargeStatus,
    InsufficientCredits,
    NewPromoCode,
    PayWith,
    PromoCodePatch,
    PromoCodeTaken,
    PromoFault,
    PromoKind,
    PromoRejected,
    PromoUse,
)


async def rejected(club: Club, who: UUID | None, code: str, amount: int = 100, **rest: Any) -> PromoFault:
    with pytest.raises(PromoRejected) as refusal:
        await club.charge(who, amount, PayWith.DESK, code=code, **rest)
    return PromoFault(refusal.value.extra["fault"])


@pytest.mark.parametrize(
    ("kind", "value", "price", "off"),
    [
        (PromoKind.PERCENT, 20, 1250, 250),
        (PromoKind.PERCENT, 100, 1250, 1250),
        (PromoKind.FIXED, 300, 1250, 300),
        (PromoKind.FIXED, 300, 200, 200),
        (PromoKind.FREE_MINUTES, 15, 1200, 300),
        (PromoKind.FREE_MINUTES, 90, 1200, 1200),
    ],
)
async def test_a_code_takes_off_what_it_says(club: Club, ana: UUID, kind: PromoKind, value: int, price: int, off: int) -> None:
    code = await club.promo(kind, value)
    use = PromoUse(code.code.lower(), club.venue_id, NOW, 60)
    preview = await club.payments.price_promo(club.ctx, club.org, ana, gbp(price), use)
    assert (preview.discount, preview.total) == (gbp(off), gbp(price - off))
    await club.grant(ana, 5000)
    result = await club.charge(ana, price, code=code.code.lower())
    assert (result.discount, result.paid, result.status) == (gbp(off), gbp(price - off), ChargeStatus.PAID)
    assert await club.balance(ana) == 5000 - price + off


async def test_reasons_why_a_code_does_not_hold(club: Club, ana: UUID) -> None:
    hour = timedelta(hours=1)
    assert await rejected(club, ana, "NOSUCH") is PromoFault.UNKNOWN
    assert await rejected(club, ana, (await club.promo(starts_at=NOW + hour)).code) is PromoFault.NOT_YET
    assert await rejected(club, ana, (await club.promo(ends_at=NOW)).code) is PromoFault.OVER
    assert await rejected(club, ana, (await club.promo(venue_ids=[new_id()])).code) is PromoFault.OTHER_VENUE
    assert await rejected(club, None, (await club.promo(person_limit=1)).code) is PromoFault.NEEDS_ACCOUNT
    off = await club.promo()
    await club.payments.change_promo(club.ctx, club.org, off.id, PromoCodePatch(active=False), None)
    assert await rejected(club, ana, off.code) is PromoFault.INACTIVE
    good = await club.promo(starts_at=NOW, ends_at=NOW + hour, venue_ids=[club.venue_id])
    assert (await club.charge(None, 100, PayWith.DESK, code=good.code)).due == gbp(80)


async def test_another_organisations_code_is_unknown(club: Club, other_club: Club, ana: UUID) -> None:
    code = await other_club.promo()
    assert await rejected(club, ana, code.code) is PromoFault.UNKNOWN


async def use_at_once(club: Club, people: list[UUID], code: str) -> int:
    async def one(who: UUID) -> bool:
        try:
            await club.charge(who, 100, PayWith.DESK, code=code)
        except PromoRejected:
            return False
        return True

    return sum(await asyncio.gather(*(one(who) for who in people)))


async def test_forty_people_at_once_use_a_code_for_five_five_times(club: Club) -> None:
    code = await club.promo(total_limit=5)
    assert await use_at_once(club, [new_id() for _ in range(40)], code.code) == 5
    free = await club.promo()
    assert await use_at_once(club, [new_id() for _ in range(40)], free.code) == 40


async def test_one_person_at_once_uses_a_code_as_often_as_one_person_may(club: Club, ana: UUID) -> None:
    code = await club.promo(person_limit=2)
    assert await use_at_once(club, [ana] * 20, code.code) == 2
    assert await rejected(club, ana, code.code) is PromoFault.USED_UP_BY_PERSON
    use = PromoUse(code.code, club.venue_id, NOW, 60)
    with pytest.raises(PromoRejected):
        await club.payments.price_promo(club.ctx, club.org, ana, gbp(100), use)
    assert await use_at_once(club, [new_id()], code.code) == 1


async def test_a_code_for_the_first_time_holds_once_and_not_after_another_booking(club: Club, ana: UUID, ben: UUID) -> None:
    code = await club.promo(first_time_only=True)
    await club.charge(ana, 100, PayWith.DESK)
    assert await rejected(club, ana, code.code) is PromoFault.NOT_FIRST_TIME
    assert await use_at_once(club, [ben] * 10, code.code) == 1


async def test_a_charge_with_the_last_use_of_a_code_can_be_repeated(club: Club, ana: UUID) -> None:
    code, payment_id = await club.promo(total_limit=1), new_id()
    results = await asyncio.gather(
        *(club.charge(ana, 100, PayWith.DESK, payment_id=payment_id, code=code.code) for _ in range(20))
    )
    assert all(r == results[0] for r in results)
    assert await rejected(club, ana, code.code) is PromoFault.USED_UP


async def test_a_charge_that_fails_uses_no_code(club: Club, ana: UUID) -> None:
    code = await club.promo(total_limit=1)
    with pytest.raises(InsufficientCredits):
        await club.charge(ana, 100, code=code.code)
    assert (await club.charge(ana, 100, PayWith.DESK, code=code.code)).due == gbp(80)


@pytest.mark.parametrize(("value", "back"), [(20, None), (100, 0)])
async def test_a_full_refund_frees_the_code_and_a_part_does_not(club: Club, ana: UUID, value: int, back: int | None) -> None:
    code = await club.promo(value=value, total_limit=1, person_limit=1)
    payment = await club.charge(ana, 100, PayWith.DESK, code=code.code)
    if value < 100:
        await club.refund(payment.payment_id, 30)
        assert await rejected(club, ana, code.code) is PromoFault.USED_UP
    await club.refund(payment.payment_id, back)
    await club.refund(payment.payment_id, None)
    assert (await club.charge(ana, 100, PayWith.DESK, code=code.code)).discount == gbp(value)
    assert await rejected(club, ana, code.code) is PromoFault.USED_UP


async def test_two_codes_on_one_payment_only_when_both_stack(club: Club, ana: UUID) -> None:
    alone, one, two = await club.promo(), await club.promo(stacks=True), await club.promo(stacks=True)

    async def pair(first: str, second: str) -> None:
        payment_id = (await club.charge(ana, 100, PayWith.DESK, code=first)).payment_id
        await club.charge(ana, 100, PayWith.DESK, payment_id=payment_id, charge_id=new_id(), code=second)

    await pair(one.code, two.code)
    for first, second in ((alone.code, one.code), (one.code, alone.code)):
        with pytest.raises(PromoRejected, match="together"):
            await pair(first, second)


async def test_codes_are_made_listed_and_changed(club: Club, other_club: Club) -> None:
    new = NewPromoCode(code="Summer-26", kind=PromoKind.PERCENT, value=10)
    made = await club.payments.make_promo(club.ctx, club.org, new)
    assert (made.code, made.currency, made.version, made.used) == ("SUMMER-26", "GBP", 1, 0)
    with pytest.raises(PromoCodeTaken):
        await club.payments.make_promo(club.ctx, club.org, NewPromoCode(code="SUMMER-26", kind=PromoKind.FIXED, value=1))
    await other_club.payments.make_promo(other_club.ctx, other_club.org, new)
    with pytest.raises(Invalid):
        await club.payments.make_promo(club.ctx, club.org, NewPromoCode(code="TOOMUCH", kind=PromoKind.PERCENT, value=101))
    changed = await club.payments.change_promo(club.ctx, club.org, made.id, PromoCodePatch(total_limit=3, ends_at=None), 1)
    assert (changed.total_limit, changed.version) == (3, 2)
    with pytest.raises(PreconditionFailed):
        await club.payments.change_promo(club.ctx, club.org, made.id, PromoCodePatch(total_limit=4), 1)
    with pytest.raises(Invalid):
        await club.payments.change_promo(club.ctx, club.org, made.id, PromoCodePatch(starts_at=NOW, ends_at=NOW), changed.version)
    with pytest.raises(NotFound):
        await other_club.payments.change_promo(other_club.ctx, other_club.org, made.id, PromoCodePatch(active=False), None)
    for _ in range(3):
        await club.promo()
    first = await club.payments.promos(club.ctx, club.org, None, 3)
    rest = await club.payments.promos(club.ctx, club.org, first.next_cursor, 3)
    assert (len(first.items), len(rest.items), rest.next_cursor) == (3, 1, None)


async def test_making_a_code_again_under_the_same_key_returns_what_was_made(club: Club) -> None:
    keyed = msgspec.structs.replace(club.ctx, idempotency_id=new_id())
    new = NewPromoCode(code="AUTUMN", kind=PromoKind.FIXED, value=500)
    made = await club.payments.make_promo(keyed, club.org, new)
    assert await club.payments.make_promo(keyed, club.org, new) == made
    with pytest.raises(PromoCodeTaken):
        await club.payments.make_promo(club.ctx, club.org, new)


async def test_a_preview_refuses_what_a_charge_would_refuse_and_uses_nothing(club: Club, ana: UUID) -> None:
    once, first = await club.promo(total_limit=1), await club.promo(first_time_only=True)

    async def preview(code: str, total: int = 100) -> int:
        use = PromoUse(code, club.venue_id, NOW, 60)
        return (await club.payments.price_promo(club.ctx, club.org, ana, gbp(total), use)).discount.amount

    assert [await preview(c.code) for c in (once, once, first)] == [20, 20, 20]
    with pytest.raises(Invalid):
        await preview(once.code, -1)
    await club.charge(ana, 100, PayWith.DESK, code=once.code)
    for code in (once, first):
        with pytest.raises(PromoRejected):
            await preview(code.code)
