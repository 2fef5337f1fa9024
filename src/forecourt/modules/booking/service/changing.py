"""Changes of a booking: cancel, move, extend, edit, approve, decline, and the strikes of those who did not come.

Money and place, and what happens to who dies on the way:

*Cheaper, the same, or not paid yet.* One transaction moves the booking and writes the errand of the difference; the errand is
carried out afterwards, by the keeper of time if need be.

*Dearer.* The errand `charge` is written first, with its due time. Then the difference is charged under the errand's id. Then
one transaction ends the errand, gives the old claims up and makes the new ones. When the new place is taken that transaction
rolls back as a whole: the old place was never lost. The errand then turns round and the difference goes back, at once or, if
everyone died, by the keeper, which asks payments whether it was ever taken.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from uuid import UUID

import asyncpg
import msgspec
from msgspec import UNSET

from forecourt.kernel.context import Context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import NotFound, Problem
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.booking import queries, rules
from forecourt.modules.booking.contract import (
    BookingAction,
    BookingActor,
    BookingDeclined,
    BookingHeld,
    BookingNoShow,
    BookingOut,
    BookingPatch,
    BookingRescheduled,
    BookingStatus,
    Cancel,
    Extend,
    InvalidTransition,
    LineKind,
    Overtaken,
    Pay,
    PayWith,
    PriceChanged,
    RefundChanged,
    RefundPreview,
    Reschedule,
    SlotTaken,
    Why,
)
from forecourt.modules.booking.queries import BookingRow, Errand, Move, Receipt
from forecourt.modules.booking.rules import Agreed, Repricing
from forecourt.modules.booking.service.base import (
    APPROVE,
    CANCEL_ANY,
    CHANGE_ANY,
    DECISIONS,
    READ_ANY,
    check_version,
    claiming,
    due_of,
    facts,
    is_authorised_first,
    natural_due,
    present,
    price_of,
    standing,
)
from forecourt.modules.booking.service.holding import (
    DEADLOCK_TRIES,
    UNSURE,
    Holding,
    charged_minor,
    emit_cancelled,
    release_errand,
)
from forecourt.modules.booking.service.pricing import Bill, Plan, plan, rebill, refuse_equipment
from forecourt.modules.booking.service.till import derived
from forecourt.modules.booking.slots import claimed_ids
from forecourt.modules.venues.contract import Resource, VenueBook

_S, _A, _W = BookingStatus, BookingAction, BookingActor


class Change(msgspec.Struct, frozen=True):
    """A change made exact: where to, what it means in money, and the bill from then on."""

    planned: Plan
    asked: Repricing
    bill: Bill


class _Taken(Exception):
    """The new place is somebody's. Leaves the transaction, so that the old one stays."""


class _TurnedBack(Exception):
    """The keeper of time gave up on this change and sends its money back."""


class Changing(Holding):
    # --- cancelling

    async def cancel(self, ctx: Context, booking_id: UUID, body: Cancel) -> BookingOut:
        """Gives the place back, and the money that the venue's policy gives back.

        `refund` in the answer is what the policy gives back; of it, what was still due falls away.
        Raises InvalidTransition for a booking that is past that, RefundChanged, NotFound.
        """
        row, actor = await self.find(ctx, booking_id, CANCEL_ANY)

        async def refund_of(row: BookingRow) -> Money:
            refund = await self._refund_by_policy(row)
            _refuse_less(refund + _set_aside(row), body.refund_at_least)
            return refund

        return await self._cancel(ctx, row, actor, body.reason or "", refund_of)

    async def release(self, ctx: Context, booking_id: UUID, reason: str) -> BookingOut:
        """The house gives the place back, and all that was paid. A second call changes nothing."""
        row, _ = await self.find(ctx, booking_id, CANCEL_ANY)
        if row.status is _S.CANCELLED:
            return present(row)
        return await self._cancel(ctx, row, _W.HOUSE, reason, _all_of)

    async def refund_preview(self, ctx: Context, booking_id: UUID) -> RefundPreview:
        """What cancelling would give back now. Raises NotFound, InvalidTransition."""
        row, actor = await self.find(ctx, booking_id, READ_ANY)
        rules.advance(row.status, _A.CANCEL, actor)
        charged, due = _charged(row), due_of(row)
        if row.status not in (_S.UPCOMING, _S.IN_PROGRESS):
            return RefundPreview(charged + _set_aside(row), 100, rules.falls_away(charged, due))
        book, _ = await self.place(row)
        return rules.refund_preview(book.policies, charged, due, row.starts_at, self.clock.now())

    async def _refund_by_policy(self, row: BookingRow) -> Money:
        if row.status not in (_S.UPCOMING, _S.IN_PROGRESS):
            return _charged(row)
        book, _ = await self.place(row)
        return rules.refund_due(book.policies, _charged(row), row.starts_at, self.clock.now())

    async def _cancel(
        self,
        ctx: Context,
        row: BookingRow,
        actor: BookingActor,
        reason: str,
        refund_of: Callable[[BookingRow], Awaitable[Money]],
    ) -> BookingOut:
        row = await self._money_arrived(ctx, row)
        for _ in range(DECISIONS):
            rules.advance(row.status, _A.CANCEL, actor)
            refund = await refund_of(row)
            after, errand = await self._leave_and_owe(ctx, row, _A.CANCEL, actor, reason, refund)
            if after is not None:
                if errand is not None:
                    await self.run_errand(ctx, after, errand)
                    after = await self.reread(ctx, after)
                return present(after, refund=refund + _set_aside(row))
            row = await self.reread(ctx, row)
        raise Overtaken

    async def _money_arrived(self, ctx: Context, row: BookingRow) -> BookingRow:
        """What an earlier change left on its way is carried out first, and what was given back past the booking is noted, so that
        nothing is counted twice."""
        async with self.db.read(ctx.within(row.organisation_id)) as tx:
            waiting = [e for e in await queries.errands(tx, row.organisation_id, row.id) if e.kind != "charge"]
        for errand in waiting:
            await self.run_errand(ctx, row, errand)
        return await self.square(ctx, await self.reread(ctx, row) if waiting else row)

    async def _leave_and_owe(
        self, ctx: Context, row: BookingRow, action: BookingAction, actor: BookingActor, reason: str, refund: Money
    ) -> tuple[BookingRow | None, Errand | None]:
        """One transaction: the step, the place, the errand of the refund and the event. None when overtaken."""
        owed = refund.amount > 0 or (row.promo_code is not None and _charged(row).amount == 0 and row.status is _S.UPCOMING)
        errand = None
        if is_authorised_first(row):
            owed, errand = True, release_errand(row)
        elif owed:
            # Why money goes back has kinds of its own (payments.Cause); what somebody wrote they read there too.
            why = action.value if not reason or reason in list(Why) else reason
            errand = Errand(derived(row.id, action.value), row.id, "refund", refund.amount, row.currency, why)
        step = self.step(ctx, row, action, actor, detail=reason, due_at=self.soon() if owed else None)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            after = await queries.leave(tx, step)
            if after is None:
                return None, None
            if errand is not None:
                await queries.add_errand(tx, after, errand, step.now)
            match action:
                case _A.DECLINE:
                    emit(tx, BookingDeclined(**facts(after), reason=reason))
                case _A.MARK_NO_SHOW:
                    emit(tx, BookingNoShow(**facts(after)))
                case _:
                    emit_cancelled(tx, after, refund, actor, reason)
            self.announce(tx, row.venue_id, row.timezone, (row.claim_starts_at, row.claim_ends_at))
        return after, errand

    # --- approving

    async def approve(self, ctx: Context, booking_id: UUID) -> BookingOut:
        """Staff say yes: what was set aside is taken. A request without that waits for payment, or is paid for at once when it
        said how. Raises InvalidTransition, Overtaken, NotFound."""
        row, actor = await self.find(ctx, booking_id, APPROVE)
        rules.advance(row.status, _A.APPROVE, actor)
        if is_authorised_first(row):
            receipt = await self.till.capture(ctx, row)
            if receipt is not None:
                return present(await self.confirm_paid(ctx, row, receipt, actor))
        book, _ = await self.place(row)
        now = self.clock.now()
        expires = rules.hold_expiry(book.policies, now)
        step = self.step(ctx, row, _A.APPROVE, actor, due_at=expires)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            after = await queries.advance(tx, step, expires)
            if after is None:
                raise Overtaken
            await queries.limit_claim(tx, after, expires)
            emit(tx, BookingHeld(**facts(after), hold_expires_at=expires))
        if row.pay_with is None:
            return present(after)
        try:
            return await self._pay(ctx, after, Pay(row.pay_with))
        except Problem as problem:
            if problem.status >= UNSURE:
                raise
            return present(await self.reread(ctx, after))  # the customer has the hold's time to pay in another way

    async def decline(self, ctx: Context, booking_id: UUID, reason: str) -> BookingOut:
        """Staff say no, and why. Raises InvalidTransition, NotFound."""
        row, actor = await self.find(ctx, booking_id, APPROVE)
        return await self.decline_row(ctx, row, actor, reason)

    async def decline_row(self, ctx: Context, row: BookingRow, actor: BookingActor, reason: str) -> BookingOut:
        after, errand = await self._leave_and_owe(ctx, row, _A.DECLINE, actor, reason, _charged(row))
        if after is None:
            raise Overtaken
        if errand is not None:
            await self.run_errand(ctx, after, errand)
        return present(after)

    async def no_show(self, ctx: Context, booking_id: UUID) -> BookingOut:
        """Nobody came. The place is free for the rest of its time; nothing goes back. Raises InvalidTransition, NotFound."""
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        book, _ = await self.place(row)
        rules.permit(standing(book, row), _A.MARK_NO_SHOW, actor, self.clock.now())
        after, _ = await self._leave_and_owe(ctx, row, _A.MARK_NO_SHOW, actor, "", Money.zero(row.currency))
        if after is None:
            raise Overtaken
        return present(after)

    # --- moving

    async def reschedule(self, ctx: Context, booking_id: UUID, body: Reschedule, if_match: int | None = None) -> BookingOut:
        """Another time or place, the difference in price and the fee of the venue's policy.

        The old place is kept until the new one is won. Raises SlotTaken, PriceChanged, InvalidTransition, PreconditionFailed,
        NotFound, what `rules.check_request` raises, and what `Payments.charge` raises.
        """
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        check_version(row, if_match)
        book, resource = await self._target(row, body.resource_id)
        duration_min = body.duration_min or row.period.duration_min
        planned = plan(book, resource, body.start, duration_min, row.purpose, row.team_size)
        return await self._change(ctx, row, actor, _A.RESCHEDULE, planned, body.price_at_most)

    async def move_preview(self, ctx: Context, booking_id: UUID, planned: Plan) -> Change:
        """What rescheduling to there would mean now, should nobody else be there. Raises as `reschedule`, and PromoRejected."""
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        self._check_change(row, actor, _A.RESCHEDULE, planned)
        return await self._priced(ctx, row, actor, _A.RESCHEDULE, planned)

    async def extend(self, ctx: Context, booking_id: UUID, body: Extend, if_match: int | None = None) -> BookingOut:
        """The same start and another length. Raises as `reschedule`, and InvalidTransition for an end that has passed."""
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        check_version(row, if_match)
        book, resource = await self._target(row, None)
        planned = plan(book, resource, row.starts_at, body.duration_min, row.purpose, row.team_size)
        return await self._change(ctx, row, actor, _A.EXTEND, planned, body.price_at_most)

    async def length_preview(self, ctx: Context, booking_id: UUID) -> Callable[[int], Awaitable[Change]]:
        """What other lengths in minutes would mean now: ask for each. Each raises as `extend`, and PromoRejected."""
        return await self._preview(ctx, booking_id, _A.EXTEND, lambda row, minutes: (minutes, row.team_size))

    async def edit(self, ctx: Context, booking_id: UUID, body: BookingPatch, if_match: int | None = None) -> BookingOut:
        """Purpose, party and note; what it costs follows. Raises CapacityExceeded, PriceChanged, PreconditionFailed;
        InvalidTransition also for a customer's change into what staff have to agree to."""
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        check_version(row, if_match)
        rules.advance(row.status, _A.EDIT, actor)  # also for who only changes the note
        if body.equipment is not UNSET:
            refuse_equipment(body.equipment)
        purpose = row.purpose if body.purpose is UNSET else body.purpose
        team_size = row.team_size if body.team_size is UNSET else body.team_size
        if purpose is not row.purpose:
            book, _ = await self._target(row, None)
            rules.check_purpose(book.policies, row.status, actor, purpose)
        if body.note is not UNSET:
            row = await self._note(ctx, row, body.note or None)
        if (purpose, team_size) == (row.purpose, row.team_size):
            return present(row)
        book, resource = await self._target(row, None)
        planned = plan(book, resource, row.starts_at, row.period.duration_min, purpose, team_size)
        return await self._change(ctx, row, actor, _A.EDIT, planned, body.price_at_most)

    async def party_preview(self, ctx: Context, booking_id: UUID) -> Callable[[int], Awaitable[Change]]:
        """What other numbers of people would mean now: ask for each. Each raises as `edit`, and PromoRejected."""
        return await self._preview(ctx, booking_id, _A.EDIT, lambda row, people: (row.period.duration_min, people))

    async def _preview(
        self, ctx: Context, booking_id: UUID, action: BookingAction, asked: Callable[[BookingRow, int], tuple[int, int]]
    ) -> Callable[[int], Awaitable[Change]]:
        """The booking is looked up once, however many numbers are asked for. `asked`: the length and the people of a number."""
        row, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        book, resource = await self._target(row, None)

        async def of(number: int) -> Change:
            duration_min, team_size = asked(row, number)
            planned = plan(book, resource, row.starts_at, duration_min, row.purpose, team_size)
            self._check_change(row, actor, action, planned)
            return await self._priced(ctx, row, actor, action, planned)

        return of

    async def _note(self, ctx: Context, row: BookingRow, note: str | None) -> BookingRow:
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            after = await queries.set_note(tx, row, note, self.clock.now())
        if after is None:
            raise Overtaken
        return after

    async def _target(self, row: BookingRow, resource_id: UUID | None) -> tuple[VenueBook, Resource]:
        if resource_id is None or resource_id == row.resource_id:
            return await self.place(row)
        book, resource = await self.books.of_resource(resource_id)
        if book.venue.organisation_id != row.organisation_id:
            raise NotFound  # another organisation's place is no place for this booking
        return book, resource

    async def _change(
        self, ctx: Context, row: BookingRow, actor: BookingActor, action: BookingAction, planned: Plan, at_most: Money | None
    ) -> BookingOut:
        rules.permit(standing(planned.book, row), action, actor, self.clock.now())
        if action is not _A.EDIT and (planned.resource.id, planned.period) == (row.resource_id, row.period):
            return present(row)  # it is there already: a retry, or a second click
        row = await self._money_arrived(ctx, row)
        self._check_change(row, actor, action, planned)
        change = await self._priced(ctx, row, actor, action, planned)
        asked = change.asked
        _refuse_dearer(asked.price, at_most)
        if is_authorised_first(row) and asked.price.amount != row.price_minor:
            raise InvalidTransition("Its price is set aside already: withdraw the request and ask again.")
        if asked.due.amount == 0:
            return await self._move(ctx, row, actor, action, change, None, Receipt(0, 0, 0, None))
        return await self._charge_and_move(ctx, row, actor, action, change)

    def _check_change(self, row: BookingRow, actor: BookingActor, action: BookingAction, planned: Plan) -> None:
        """Whether the actor may have that, apart from it being free and paid for."""
        now = self.clock.now()
        rules.permit(standing(planned.book, row), action, actor, now)
        if action is _A.RESCHEDULE and actor is _W.CUSTOMER:
            rules.check_request(planned.book, planned.resource, planned.period, planned.purpose, planned.team_size, now, 0)
        elif action is not _A.EDIT:
            rules.check_place(planned.book, planned.resource, planned.period, planned.purpose, planned.team_size)
        if rules.over_already(planned.period, now):
            raise InvalidTransition("That time is over already.")

    async def _priced(self, ctx: Context, row: BookingRow, actor: BookingActor, action: BookingAction, planned: Plan) -> Change:
        """What the change means in money. Raises PromoRejected when an unpaid booking's code does not hold there."""
        nothing = Money.zero(row.currency)
        waiting = row.status in (_S.PAYMENT_PENDING, _S.PENDING_APPROVAL)
        if waiting and row.promo_code is not None and not is_authorised_first(row):
            # The code is used when it is paid for, and takes off what it takes off there and then.
            discounted = await self.discount(ctx, planned, row.account_id, row.promo_code)
            return Change(planned, Repricing(discounted.total, nothing, nothing, nothing), discounted)
        was = Agreed(Money(row.list_minor, row.currency), price_of(row), nothing if waiting else _charged(row))
        fee = nothing
        if action is _A.RESCHEDULE and actor is _W.CUSTOMER and row.status is _S.UPCOMING:
            fee = rules.reschedule_fee(planned.book.policies, was.price)
        asked = rules.reprice(was, planned.bill.total, fee, self._less(row, actor, planned, was))
        if waiting or (was.charged.amount == 0 and row.price_minor > 0):
            # Nothing was taken that could be too little or too much.
            asked = Repricing(asked.price, fee, nothing, nothing)
        return Change(planned, asked, _bill_of(row, planned, asked))

    def _less(self, row: BookingRow, actor: BookingActor, planned: Plan, was: Agreed) -> Money:
        """What falls away of the price. Of what a customer gives up after paying, it is what cancelling would give back: the rest
        stays in the price, and does not come back with the next change either."""
        list_price = planned.bill.total
        if actor is not _W.CUSTOMER:
            return rules.fallen(was, list_price)
        given_up = rules.given_up(was, list_price)
        if row.status not in (_S.UPCOMING, _S.IN_PROGRESS):
            return given_up
        return rules.refund_due(planned.book.policies, given_up, row.starts_at, self.clock.now())

    async def _charge_and_move(
        self, ctx: Context, row: BookingRow, actor: BookingActor, action: BookingAction, change: Change
    ) -> BookingOut:
        asked = change.asked
        await self._check_free(ctx, row, change.planned)
        errand = Errand(new_id(), row.id, "charge", asked.due.amount, row.currency, action.value)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            await queries.add_errand(tx, row, errand, self.clock.now())
            await queries.set_due(tx, row.organisation_id, row.id, self.soon())
        try:
            result = await self.till.charge_more(ctx, row, asked.due.amount, row.pay_with or PayWith.CREDITS, errand.id)
            more = Receipt(asked.due.amount, result.paid.amount, result.due.amount, row.pay_with)
            return await self._move(ctx, row, actor, action, change, errand, more)
        except Problem as problem:
            if problem.status < UNSURE:
                await self.run_errand(ctx, row, errand)
            raise
        except _TurnedBack as e:
            raise Overtaken from e

    async def _check_free(self, ctx: Context, row: BookingRow, planned: Plan) -> None:
        """Spares the customer a charge that would only come back. What decides is the claim itself."""
        claimed = claimed_ids(planned.book, planned.resource)
        async with self.db.read(ctx.within(row.organisation_id)) as tx:
            there = await queries.claimants(tx, row.organisation_id, claimed, planned.claim, self.clock.now())
        if any(c.booking_id != row.id for c in there):
            raise SlotTaken.instead(await self.alternatives_to(ctx, planned))

    async def _move(
        self,
        ctx: Context,
        row: BookingRow,
        actor: BookingActor,
        action: BookingAction,
        change: Change,
        errand: Errand | None,
        more: Receipt,
    ) -> BookingOut:
        """One transaction; see the module's docstring. Raises SlotTaken, Overtaken."""
        asked = change.asked
        within = ctx.within(row.organisation_id)
        back = None
        if asked.back.amount > 0:
            name = f"{action.value} {row.version}"
            back = Errand(derived(row.id, name), row.id, "refund", asked.back.amount, row.currency, action.value)
        for attempt in range(DEADLOCK_TRIES):
            try:
                async with self.db.tx(within, lock=claiming(change.planned.book.venue.id)) as tx:
                    await self.check_current(tx, change.planned.book)
                    after = await self._write_move(tx, ctx, row, actor, action, change, errand, more, back)
                break
            except asyncpg.DeadlockDetectedError:
                if attempt == DEADLOCK_TRIES - 1:
                    raise
            except _Taken:
                raise SlotTaken.instead(await self.alternatives_to(within, change.planned)) from None
        else:
            raise Overtaken
        if back is not None:
            await self.run_errand(ctx, after, back)
            after = await self.reread(ctx, after)
        return present(after, refund=asked.back if back is not None else None)

    async def _write_move(
        self,
        tx: Tx,
        ctx: Context,
        row: BookingRow,
        actor: BookingActor,
        action: BookingAction,
        change: Change,
        errand: Errand | None,
        more: Receipt,
        back: Errand | None,
    ) -> BookingRow:
        planned, asked = change.planned, change.asked
        if errand is not None and not await queries.end_charge(tx, row.organisation_id, errand.id):
            raise _TurnedBack
        after = _moved(row, planned, asked, more)
        step = self.step(
            ctx,
            row,
            action,
            actor,
            detail=f"from {row.starts_at.isoformat()} on {row.resource_id}",
            due_at=self.soon() if back is not None else natural_due(after, row.status),
        )
        to = Move(
            venue_id=after.venue_id,
            resource_id=after.resource_id,
            period=planned.period,
            claimed=claimed_ids(planned.book, planned.resource),
            claim=planned.claim,
            timezone=after.timezone,
            purpose=after.purpose,
            team_size=after.team_size,
            list_minor=after.list_minor,
            price_minor=after.price_minor,
            paid_minor=after.paid_minor,
            due_minor=after.due_minor,
            lines=change.bill.lines,
            tax=change.bill.tax,
        )
        done = await queries.move(tx, step, to, row.hold_expires_at)
        if done is None:
            raise Overtaken
        if done.claims < len(to.claimed):
            raise _Taken
        if back is not None:
            await queries.add_errand(tx, row, back, step.now)
        after = msgspec.structs.replace(after, status=step.to, version=done.version, updated_at=step.now, claimed=to.claimed)
        emit(
            tx,
            BookingRescheduled(
                **facts(after),
                from_resource_id=row.resource_id,
                from_start=row.starts_at,
                from_end=row.ends_at,
                from_price=price_of(row),
                fee=asked.fee,
            ),
        )
        old, new = (row.claim_starts_at, row.claim_ends_at), (after.claim_starts_at, after.claim_ends_at)
        if after.venue_id == row.venue_id:
            self.announce(tx, row.venue_id, row.timezone, old, new)
        else:
            self.announce(tx, row.venue_id, row.timezone, old)
            self.announce(tx, after.venue_id, after.timezone, new)
        return after


# -------------------------------------------------------------------------------------------------------------------- values


def _refuse_dearer(price: Money, at_most: Money | None) -> None:
    """Raises PriceChanged when a booking would cost more than whoever asks was shown.

    What it costs in all says both: what is still to be paid for a change, and what goes back, are the rest of it. So whoever
    changes a booking on two pages at once does not pay twice for what each of them showed.
    """
    if at_most is not None and (price.currency != at_most.currency or price > at_most):
        raise PriceChanged.to(price)


def _refuse_less(refund: Money, at_least: Money | None) -> None:
    """Raises RefundChanged when less would come back than whoever cancels was shown."""
    if at_least is not None and (refund.currency != at_least.currency or refund < at_least):
        raise RefundChanged.to(refund)


async def _all_of(row: BookingRow) -> Money:
    return _charged(row)


def _set_aside(row: BookingRow) -> Money:
    return Money(row.authorised_minor, row.currency)


def _charged(row: BookingRow) -> Money:
    return Money(charged_minor(row), row.currency)


def _bill_of(row: BookingRow, planned: Plan, asked: Repricing) -> Bill:
    """The list's bill, with the fee and with what was agreed otherwise."""
    if asked.price == planned.bill.total and not asked.fee:
        return planned.bill
    lower = asked.price < planned.bill.total
    rest = (row.promo_code or LineKind.AGREED) if lower else LineKind.AGREED
    taxes = planned.book.organisation.tax
    return rebill(taxes, planned.bill.lines, asked.price, [(LineKind.MOVING, asked.fee)], rest)


def _moved(row: BookingRow, planned: Plan, asked: Repricing, more: Receipt) -> BookingRow:
    return msgspec.structs.replace(
        row,
        venue_id=planned.book.venue.id,
        resource_id=planned.resource.id,
        starts_at=planned.period.start,
        ends_at=planned.period.end,
        timezone=planned.book.venue.timezone,
        purpose=planned.purpose,
        team_size=planned.team_size,
        list_minor=planned.bill.total.amount,
        price_minor=asked.price.amount,
        paid_minor=row.paid_minor + more.paid_minor,
        due_minor=row.due_minor + more.due_minor,
        claim_starts_at=planned.claim.start,
        claim_ends_at=planned.claim.end,
    )
