"""Credits as a state machine: a model that counts on its fingers, beside the real service on the real database."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, ClassVar, TypeVar
from uuid import UUID

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyStrategyDefinition
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from tests.modules.payments.conftest import NOW, Club

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.db import Database
from forecourt.kernel.ids import new_id
from forecourt.modules.payments.contract import InsufficientCredits, LotKind, RefundExceedsPayment, Reversal

T = TypeVar("T")


class ModelLot(msgspec.Struct):
    id: UUID
    granted: bool
    remaining: int
    expires_day: int | None
    born: int

    def order(self) -> tuple[bool, float, int]:
        return (not self.granted, float("inf") if self.expires_day is None else self.expires_day, self.born)

    def live(self, day: int) -> bool:
        return self.remaining > 0 and (self.expires_day is None or self.expires_day > day)


class ModelPayment(msgspec.Struct):
    id: UUID
    taken: list[tuple[ModelLot, int]]
    """In the order of spending; amounts not yet given back."""

    @property
    def left(self) -> int:
        return sum(amount for _, amount in self.taken)


class Credits(RuleBasedStateMachine):
    loop: ClassVar[asyncio.AbstractEventLoop]
    database: ClassVar[Database]

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(30)

    @initialize()
    def open_the_till(self) -> None:
        self.clock = FixedClock(NOW)
        self.club = Club(self.database, self.clock)
        self.ana = new_id()
        self.day = 0
        self.born = 0
        self.lots: list[ModelLot] = []
        self.payments: list[ModelPayment] = []
        self.held: list[ModelPayment] = []

    @rule(amount=st.integers(1, 50), days=st.none() | st.integers(1, 20), kind=st.sampled_from(LotKind))
    def receive(self, amount: int, days: int | None, kind: LotKind) -> None:
        self.clock.advance(timedelta(microseconds=1))
        lot = self.wait(self.club.grant(self.ana, amount, days=days, kind=kind))
        self.born += 1
        # A lot made a microsecond later also expires later on the same day; whole days are what the model counts in.
        expires = None if days is None else self.day + days
        self.lots.append(ModelLot(lot.id, kind is LotKind.GRANTED, amount, expires, self.born))

    @rule(amount=st.integers(1, 80))
    def spend(self, amount: int) -> None:
        if not self.enough(amount):
            with pytest.raises(InsufficientCredits):
                self.wait(self.club.charge(self.ana, amount))
            return
        self.payments.append(self.taken(self.wait(self.club.charge(self.ana, amount)).payment_id, amount))

    @rule(amount=st.integers(1, 80))
    def set_aside(self, amount: int) -> None:
        if not self.enough(amount):
            with pytest.raises(InsufficientCredits):
                self.wait(self.club.authorise(self.ana, amount))
            return
        self.held.append(self.taken(self.wait(self.club.authorise(self.ana, amount, days=10_000)).payment_id, amount))

    @rule(which=st.integers(0, 50), agreed=st.booleans())
    def decide(self, which: int, agreed: bool) -> None:
        if not self.held:
            return
        payment = self.held.pop(which % len(self.held))
        self.clock.advance(timedelta(microseconds=1))
        if agreed:
            self.wait(self.club.capture(payment.id))
            self.payments.append(payment)
            return
        self.wait(self.club.release(payment.id))
        self.returned(payment, payment.left)

    def live(self) -> list[ModelLot]:
        return sorted((lot for lot in self.lots if lot.live(self.day)), key=ModelLot.order)

    def enough(self, amount: int) -> bool:
        return sum(lot.remaining for lot in self.live()) >= amount

    def taken(self, payment_id: UUID, amount: int) -> ModelPayment:
        payment = ModelPayment(payment_id, [])
        for lot in self.live():
            part = min(lot.remaining, amount)
            if part:
                lot.remaining -= part
                amount -= part
                payment.taken.append((lot, part))
        return payment

    def returned(self, payment: ModelPayment, amount: int) -> None:
        while amount:
            lot, taken = payment.taken.pop()
            part = min(taken, amount)
            amount -= part
            if taken > part:
                payment.taken.append((lot, taken - part))
            if lot.expires_day is not None and lot.expires_day <= self.day:
                lot.remaining = 0
                lot.expires_day = self.day + 30
            lot.remaining += part

    @rule(which=st.integers(0, 50), amount=st.integers(1, 80))
    def give_back(self, which: int, amount: int) -> None:
        if not self.payments:
            return
        payment = self.payments[which % len(self.payments)]
        if amount > payment.left:
            with pytest.raises(RefundExceedsPayment):
                self.wait(self.club.refund(payment.id, amount))
            return
        self.clock.advance(timedelta(microseconds=1))
        self.wait(self.club.refund(payment.id, amount))
        self.returned(payment, amount)

    @rule(days=st.integers(1, 10), sweep=st.booleans())
    def sleep(self, days: int, sweep: bool) -> None:
        # Each day is entered a little later than the one before: what was made on a day has expired on its last one.
        self.day += days
        self.clock.set(NOW + timedelta(days=self.day, seconds=self.day))
        if sweep:
            due = sum(lot.remaining > 0 and not lot.live(self.day) for lot in self.lots)
            assert self.wait(self.club.payments.expire_due(self.club.ctx, self.club.org)) == due
            for lot in self.lots:
                if not lot.live(self.day):
                    lot.remaining = 0

    @rule(which=st.integers(0, 50))
    def take_back(self, which: int) -> None:
        if not self.lots:
            return
        lot = self.lots[which % len(self.lots)]
        reversal = Reversal(reversal_id=new_id(), lot_id=lot.id, organisation_id=self.club.org, reason="mistake")
        assert self.wait(self.club.payments.reverse(self.club.ctx, reversal)).amount == lot.remaining
        lot.remaining = 0

    @invariant()
    def lots_hold_what_the_model_says(self) -> None:
        live = self.live()
        wallets = self.wait(self.club.payments.balance(self.club.ctx, self.ana))
        assert {lot.id: lot.remaining.amount for w in wallets for lot in w.lots} == {lot.id: lot.remaining for lot in live}
        assert sum(w.balance.amount for w in wallets) == sum(lot.remaining for lot in live)
        assert sum(w.reserved.amount for w in wallets) == sum(payment.left for payment in self.held)

    @invariant()
    def the_books_add_up(self) -> None:
        self.wait(self.club.proven())


async def test_credits_behave_like_their_model(db: Database) -> None:
    Credits.loop = asyncio.get_running_loop()
    Credits.database = db
    failure: list[BaseException] = []

    def machine(again: bool = True) -> None:
        try:
            run_state_machine_as_test(
                Credits,
                settings=settings(
                    max_examples=30,
                    stateful_step_count=25,
                    deadline=None,
                    database=None,
                    suppress_health_check=list(HealthCheck),
                ),
            )
        except FlakyStrategyDefinition as e:
            # Hypothesis says this of its own choices when a slow machine interrupts one; it says nothing of the credits.
            if again:
                machine(again=False)
            else:
                failure.append(e)
        except BaseException as e:
            failure.append(e)

    # The machine is synchronous; it drives this loop from a thread of its own.
    thread = threading.Thread(target=machine)
    thread.start()
    while thread.is_alive():
        await asyncio.sleep(0.01)
    if failure:
        raise failure[0]
