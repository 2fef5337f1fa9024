"""Hold, pay, confirm, read, cancel: what a person meets."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from forecourt.kernel.errors import NotFound
from forecourt.modules.booking.contract import BookingStatus, Cancel, Pay, PayWith


async def test_a_hold_is_paid_for_confirmed_read_and_cancelled_with_its_money_back(world: Any, words: Any) -> None:
    guest = await world.rich(amount=5_000)
    held = await world.hold(guest)
    assert held.status is BookingStatus.PAYMENT_PENDING
    assert held.hold_expires_at == words.NOW + timedelta(minutes=10)
    assert (held.price.amount, held.paid.amount) == (2000, 0)
    paid = await world.service.pay(guest, held.id, Pay(PayWith.CREDITS))
    assert (paid.status, paid.paid.amount, paid.hold_expires_at) == (BookingStatus.UPCOMING, 2000, None)
    assert await world.service.booking(guest, held.id) == paid
    assert await world.balance(guest) == 3_000
    assert [c["expires_at"] for c in await world.claims()] == [None]
    gone = await world.service.cancel(guest, held.id, Cancel("rain"))
    assert gone.status is BookingStatus.CANCELLED
    assert gone.refund is not None
    assert gone.refund.amount == 1000 or gone.refund.amount == 2000
    assert await world.balance(guest) == 3_000 + gone.refund.amount
    assert await world.claims() == []


async def test_a_booking_that_is_paid_at_once_is_confirmed_and_a_stranger_cannot_read_it(world: Any) -> None:
    guest, stranger = await world.rich(), world.newcomer("Stranger")
    booked = await world.book(guest)
    assert booked.status is BookingStatus.UPCOMING
    assert (await world.service.booking(guest, booked.id)).id == booked.id
    with pytest.raises(NotFound):
        await world.service.booking(stranger, booked.id)
