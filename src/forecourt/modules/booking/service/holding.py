"""Hold, pay, confirm: small transactions with a way on from each.

    hold     begin with the person's lock · claim, booking, history, due time and event in one statement · commit
    charge   payments' own transaction, under the booking's id
    confirm  begin · booking, claims, history, due time and event in one statement · commit

That is 3 round trips each, so with the 3 of a charge from credits a paid booking is 9.

A request that staff have to agree to takes another way: hold (it waits for approval) · authorise (payments set the credits aside)
· note it on the booking. Approving captures and confirms; declining, withdrawing and the passing of its time release.

Recovery. Dead after *hold*: nobody paid, the hold runs out at its time. Dead after *charge*: `payment.captured` brings the
booking's due time forward (reactions), and the keeper of time asks payments and confirms, within a minute. When the place was
lost in between (the hold was over and somebody took it), the money goes back by an errand that is written before it moves.
Dead around *authorise*: the request is due within a minute; the keeper asks payments and notes what is set aside, or gives the
place back when nothing is. Dead around *capture*: `payment.captured` makes it due, and the keeper confirms. Whoever says no
writes an errand with their step, and it releases; should the money have been captured at the same moment, it goes back.
A retry with the same Idempotency-Key finds its own booking, whose id is the key's effect id, and goes on from where it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from uuid import UUID

import asyncpg
import msgspec

from forecourt.kernel.context import Context
from forecourt.kernel.db import Lock, Plans, Tx
from forecourt.kernel.errors import Problem
from forecourt.kernel.events import Event, emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.money import Money
from forecourt.modules.booking import guests, queries, rules
from forecourt.modules.booking.contract import (
    AdminCannotBook,
    Alternative,
    ApprovalAsked,
    BookingAction,
    BookingActor,
    BookingCancelled,
    BookingConfirmed,
    BookingExpired,
    BookingHeld,
    BookingOut,
    BookingStatus,
    HoldExpired,
    InvalidTransition,
    LineKind,
    NewBooking,
    Overtaken,
    Pay,
    QuoteExpired,
    QuoteMismatch,
    SlotTaken,
    TooManyOpenBookings,
    Why,
)
from forecourt.modules.booking.queries import BookingRow, Errand, NewRow, Receipt, Step
from forecourt.modules.booking.service.base import (
    CREATE_ANY,
    DECISIONS,
    SETTLE_AFTER,
    Base,
    claiming,
    due_of,
    facts,
    is_authorised_first,
    natural_due,
    paid_of,
    person,
    present,
    refuse_unconfirmed,
)
from forecourt.modules.booking.service.pricing import Bill, Plan, plan, rebill
from forecourt.modules.booking.service.till import Returned, derived, settled
from forecourt.modules.booking.slots import claimed_ids
from forecourt.modules.identity.contract import EmailUnconfirmed
from forecourt.modules.payments.contract import Authorisation, AuthorisationEnded, AuthorisationStatus, PromoUse
from forecourt.modules.venues.contract import VenueBook

DEADLOCK_TRIES = 4
NO_LIMIT = 1_000_000
UNSURE = 500
"""From this status on a failure says nothing about whether the money moved."""

_S, _A, _W = BookingStatus, BookingAction, BookingActor
UNKEPT = (_S.EXPIRED, _S.CANCELLED, _S.DECLINED)


class _Lost(Exception):
    """A claim was not won, or is no longer there. Leaves the transaction, so that it is rolled back."""


class _Changed(Exception):
    """Somebody else changed the booking first. Leaves the transaction, so that nothing is told."""


class Holding(Base):
    # --- customers

    async def book(self, ctx: Context, wish: NewBooking) -> BookingOut:
        """Holds the place and, when `pay_with` says how, pays and confirms. A refused payment gives the place back.

        Raises SlotTaken, what `rules.check_request` raises, QuoteExpired, QuoteMismatch, AdminCannotBook, EmailUnconfirmed,
        and what `Payments.charge` raises.
        """
        account_id = person(ctx)
        if ctx.actor.platform_admin:
            raise AdminCannotBook
        if wish.pay_with is not None and not ctx.actor.confirmed:
            raise EmailUnconfirmed
        booking_id = ctx.idempotency_id or new_id()
        row = await self._again(ctx, booking_id, lambda: self._hold_wish(ctx, booking_id, account_id, wish))
        if is_authorised_first(row):
            return present(await self._authorise_or_release(ctx, row))
        if wish.pay_with is None or row.status is not _S.PAYMENT_PENDING:
            return present(row)
        return await self._pay_or_release(ctx, row, Pay(wish.pay_with))

    async def hold(self, ctx: Context, wish: NewBooking) -> BookingOut:
        """Holds a place for the actor until it is paid for, whatever `pay_with` says."""
        account_id = person(ctx)
        if ctx.actor.platform_admin:
            raise AdminCannotBook
        booking_id = ctx.idempotency_id or new_id()
        wish = msgspec.structs.replace(wish, pay_with=None)
        return present(await self._again(ctx, booking_id, lambda: self._hold_wish(ctx, booking_id, account_id, wish)))

    async def _again(
        self, ctx: Context, booking_id: UUID, make: Callable[[], Awaitable[BookingRow]], *, staff_of: UUID | None = None
    ) -> BookingRow:
        """What `make` makes; on a retry, the booking that the first attempt made already: the actor's own, or one that they made
        as staff of an organisation."""
        try:
            return await make()
        except Problem:
            if ctx.idempotency_id is None:
                raise
            async with self.db.read(ctx.within(staff_of)) as tx:
                if staff_of is None:
                    found = await self.find_own(tx, person(ctx), booking_id)
                else:
                    found = await queries.booking_among(tx, [staff_of], booking_id)
            if found is None:
                raise
            return found

    async def _hold_wish(self, ctx: Context, booking_id: UUID, account_id: UUID, wish: NewBooking) -> BookingRow:
        book, resource = await self.books.of_resource(wish.resource_id)
        planned = plan(book, resource, wish.start, wish.duration_min, wish.purpose, wish.team_size)
        now = self.clock.now()
        rules.check_request(book, resource, planned.period, wish.purpose, planned.team_size, now, 0)
        wish = await self._with_guests(ctx, planned, account_id, wish)
        list_minor, bill, promo = await self._bill(ctx, planned, account_id, wish, now)
        return await self._hold(
            ctx,
            planned,
            booking_id,
            bill=bill,
            list_minor=list_minor,
            promo_code=promo,
            account_id=account_id,
            guest_name=None,
            wish=wish,
            actor=_W.CUSTOMER,
        )

    async def _with_guests(self, ctx: Context, planned: Plan, account_id: UUID, wish: NewBooking) -> NewBooking:
        """The wish with its guests' addresses as they are kept. Raises Invalid, EmailUnconfirmed, TooManyInvitations."""
        if not wish.invitees:
            return wish
        refuse_unconfirmed(ctx, _W.CUSTOMER, wish.invitees)
        invitees = guests.checked_invitees(wish.invitees, planned.team_size)
        organisation_id = planned.book.venue.organisation_id
        async with self.db.read(ctx.within(organisation_id)) as tx:
            await self.refuse_too_many(tx, organisation_id, account_id, invitees)
        return msgspec.structs.replace(wish, invitees=invitees)

    async def _bill(
        self, ctx: Context, planned: Plan, account_id: UUID, wish: NewBooking, now: datetime
    ) -> tuple[int, Bill, str | None]:
        """The price before a code, the bill after it, and the code. From the quote when there is one."""
        if wish.quote_id is not None:
            async with self.db.read(ctx.within(planned.book.venue.organisation_id)) as tx:
                quote = await queries.quote(tx, planned.book.venue.organisation_id, wish.quote_id, account_id)
            asked = (wish.resource_id, planned.period.start, wish.duration_min, wish.purpose, planned.team_size)
            if asked != (quote.resource_id, quote.starts_at, quote.duration_min, quote.purpose, quote.team_size):
                raise QuoteMismatch.field("quote_id", "was made for another place, time, purpose or party")
            if wish.promo_code is not None and wish.promo_code != quote.promo_code:
                raise QuoteMismatch.field("promo_code", "is not the one of the quote")
            if now >= quote.expires_at:
                raise QuoteExpired
            total = Money(quote.total_minor, quote.currency)
            return quote.list_minor, Bill(quote.lines, quote.tax, total), quote.promo_code
        if wish.promo_code is None:
            return planned.bill.total.amount, planned.bill, None
        discounted = await self.discount(ctx, planned, account_id, wish.promo_code)
        return planned.bill.total.amount, discounted, wish.promo_code

    async def discount(self, ctx: Context, planned: Plan, account_id: UUID | None, code: str) -> Bill:
        """The bill with a promo code taken off. Raises PromoRejected."""
        book = planned.book
        use = PromoUse(code, book.venue.id, planned.period.start, planned.period.duration_min)
        organisation_id = book.venue.organisation_id
        promo = await self.till.payments.price_promo(ctx, organisation_id, account_id, planned.bill.total, use)
        return rebill(book.organisation.tax, planned.bill.lines, promo.total, [], promo.label or promo.code)

    # --- the hold

    async def _hold(
        self,
        ctx: Context,
        planned: Plan,
        booking_id: UUID,
        *,
        bill: Bill,
        list_minor: int,
        promo_code: str | None,
        account_id: UUID | None,
        guest_name: str | None,
        wish: NewBooking,
        actor: BookingActor,
    ) -> BookingRow:
        """One transaction: see the module's docstring. Raises SlotTaken, TooManyOpenBookings."""
        book, resource = planned.book, planned.resource
        now = self.clock.now()
        status, action, hold_until = _first_step(book, planned, wish, bill, promo_code, actor, now)
        new = NewRow(
            organisation_id=book.venue.organisation_id,
            id=booking_id,
            venue_id=book.venue.id,
            resource_id=resource.id,
            account_id=account_id,
            guest_name=guest_name,
            status=status,
            period=planned.period,
            timezone=book.venue.timezone,
            purpose=planned.purpose,
            team_size=planned.team_size,
            currency=bill.total.currency,
            list_minor=list_minor,
            price_minor=bill.total.amount,
            lines=bill.lines,
            tax=bill.tax,
            pay_with=wish.pay_with,
            promo_code=promo_code,
            quote_id=wish.quote_id,
            note=wish.note,
            invitees=wish.invitees,
            hold_expires_at=hold_until,
            claimed=claimed_ids(book, resource),
            claim=planned.claim,
            made_by=ctx.account_id,
            action=action,
            actor=actor,
            due_at=planned.period.start if hold_until is None else hold_until,
            max_open=book.policies.max_open_bookings if actor is _W.CUSTOMER else NO_LIMIT,
            book_version=book.version,
        )
        row = _row(new, now)
        if is_authorised_first(row):
            new = msgspec.structs.replace(new, due_at=self.soon())  # should whoever asks die before anything is set aside
        within = ctx.within(new.organisation_id)
        for attempt in range(DEADLOCK_TRIES):
            try:
                await self._insert(within, new, row, now)
                return row
            except asyncpg.DeadlockDetectedError:
                if attempt == DEADLOCK_TRIES - 1:
                    raise
            except _Lost:
                break
        raise SlotTaken.instead(await self.alternatives_to(within, planned))

    async def _insert(self, ctx: Context, new: NewRow, row: BookingRow, now: datetime) -> None:
        lock = claiming(new.venue_id)
        if new.account_id is not None and new.actor is _W.CUSTOMER:
            # One person's bookings in one organisation are counted and made one after another.
            lock = Lock.on(new.organisation_id, new.account_id).and_then(lock)
        note = self.guests.note(new.account_id, new.organisation_id)
        async with self.db.tx(ctx, lock=lock, plans=Plans.KEPT, note=note) as tx:
            held = await queries.hold(tx, new, _said_of(row), now)
            if held.open >= new.max_open:
                raise TooManyOpenBookings(f"{new.max_open} open bookings are the most one person may have here.")
            if not held.current:
                raise self.rearranged(new.venue_id)
            if held.claims < len(new.claimed):
                raise _Lost
            if not held.booked:
                raise Overtaken  # a retry that came too late to find its own booking gone
            self.announce(tx, row.venue_id, row.timezone, (row.claim_starts_at, row.claim_ends_at))

    # --- paying

    async def pay(self, ctx: Context, booking_id: UUID, pay: Pay) -> BookingOut:
        """Pays for a held booking and confirms it. A refused payment leaves the hold.

        Raises HoldExpired, InvalidTransition, EmailUnconfirmed, NotFound, and what `Payments.charge` raises.
        """
        row, actor = await self.find(ctx, booking_id, CREATE_ANY)
        if actor is _W.CUSTOMER and not ctx.actor.confirmed:
            raise EmailUnconfirmed
        self._check_payable(row)
        return await self._pay(ctx, row, pay)

    async def paid(self, ctx: Context, booking_id: UUID, amount: Money) -> BookingOut:
        """`amount` in all has been paid; confirmed when that covers the price. Raises HoldExpired, InvalidTransition."""
        row, _ = await self.find(ctx, booking_id, CREATE_ANY)
        if row.status not in (_S.PAYMENT_PENDING, _S.UPCOMING):
            self._check_payable(row)
        if row.status is _S.PAYMENT_PENDING and amount.amount >= row.price_minor:
            receipt = Receipt(row.price_minor, amount.amount, 0, row.pay_with)
            return present(await self.confirm_paid(ctx, row, receipt))
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            after = await queries.set_paid(tx, row, amount.amount, self.clock.now())
        if after is None:
            raise Overtaken
        return present(after)

    def _check_payable(self, row: BookingRow) -> None:
        if row.status is _S.EXPIRED:
            raise HoldExpired
        if row.status is not _S.PAYMENT_PENDING:
            raise InvalidTransition(f"A booking that is {row.status.value.replace('_', ' ')} is not waiting for a payment.")
        if row.hold_expires_at is not None and rules.hold_is_over(row.hold_expires_at, self.clock.now()):
            raise HoldExpired

    async def _pay(self, ctx: Context, row: BookingRow, pay: Pay) -> BookingOut:
        try:
            receipt = await self.till.collect(ctx, row, pay)
        except Returned as e:
            await self._release_unpaid(ctx, row, Why.REST_UNPAID, refund=True)
            raise e.why from e
        return present(await self.confirm_paid(ctx, row, receipt))

    async def _pay_or_release(self, ctx: Context, row: BookingRow, pay: Pay) -> BookingOut:
        try:
            return await self._pay(ctx, row, pay)
        except (HoldExpired, InvalidTransition):
            raise
        except Problem as problem:
            if problem.status < UNSURE:
                await self._release_unpaid(ctx, row, Why.UNPAID, problem.code, refund=False)
            raise

    async def _release_unpaid(self, ctx: Context, row: BookingRow, why: Why, code: str = "", *, refund: bool) -> None:
        """Gives a held place back because it was not paid for; `refund` when a part was. The history says a problem's `code`."""
        for _ in range(DECISIONS):
            if row.status not in (_S.PAYMENT_PENDING, _S.PENDING_APPROVAL):
                return
            release = release_errand(row) if is_authorised_first(row) else None
            owed = refund or release is not None
            step = self.step(ctx, row, _A.CANCEL, _W.HOUSE, detail=code or why, due_at=self.soon() if owed else None)
            async with self.db.tx(ctx.within(row.organisation_id)) as tx:
                after = await queries.leave(tx, step)
                if after is not None:
                    if release is not None:
                        await queries.add_errand(tx, after, release, step.now)
                    emit_cancelled(tx, after, Money.zero(row.currency), _W.HOUSE, why)
                    self.announce(tx, row.venue_id, row.timezone, (row.claim_starts_at, row.claim_ends_at))
            if after is not None:
                if release is not None:
                    await self.run_errand(ctx, after, release)
                if refund:
                    await self.send_back(ctx, after)
                return
            row = await self.reread(ctx, row)
        raise Overtaken

    # --- asking

    async def _authorise_or_release(self, ctx: Context, row: BookingRow) -> BookingRow:
        """Sets aside what the request costs, until staff answer. Refused, the place is given back."""
        try:
            held = await self.till.authorise(ctx, row)
        except AuthorisationEnded:
            return await self._answered(ctx, row)
        except Problem as problem:
            if problem.status < UNSURE:
                await self._release_unpaid(ctx, row, Why.UNPAID, problem.code, refund=False)
            raise
        return await self.note_authorised(ctx, row, held)

    async def note_authorised(self, ctx: Context, row: BookingRow, held: Authorisation) -> BookingRow:
        """The booking says what is set aside for it. When somebody has answered it meanwhile, their answer stands."""
        for _ in range(DECISIONS):
            if row.status is not _S.PENDING_APPROVAL:
                return await self._answered(ctx, row)
            if held.amount and held.amount.amount == row.authorised_minor:
                return row  # a retry
            async with self.db.tx(ctx.within(row.organisation_id)) as tx:
                after = await queries.note_authorised(tx, row, held.amount.amount, self.clock.now())
            if after is not None:
                return after
            row = await self.reread(ctx, row)
        raise Overtaken

    async def _answered(self, ctx: Context, row: BookingRow) -> BookingRow:
        """The booking as it stands after somebody answered it while its money was on its way to be set aside."""
        row = await self.reread(ctx, row)
        if row.status is not _S.PENDING_APPROVAL:
            await self.till.release(ctx, row)
        if row.status in UNKEPT:
            raise InvalidTransition(f"The request is {row.status.value} already; nothing is set aside for it.")
        return row

    async def settle_request(self, ctx: Context, row: BookingRow) -> None:
        """What becomes of a request whose money was on its way, whoever died there. Idempotent."""
        if is_authorised_first(row):
            held = await self.till.authorised(ctx, row)
            if held is None:
                await self._release_unpaid(ctx, row, Why.NOT_SET_ASIDE, refund=False)
                return
            if held.status is AuthorisationStatus.CAPTURED:
                receipt = await self.till.capture(ctx, row)
                if receipt is not None:
                    await self.confirm_paid(ctx, row, receipt)
                return
            if held.status is AuthorisationStatus.HELD:
                row = await self.note_authorised(ctx, row, held)
        async with self.db.tx(ctx) as tx:
            await queries.set_due(tx, row.organisation_id, row.id, natural_due(row, row.status))

    # --- confirming

    async def confirm_paid(
        self, ctx: Context, row: BookingRow, receipt: Receipt, actor: BookingActor = BookingActor.HOUSE
    ) -> BookingRow:
        """The place becomes the customer's. When it cannot, what was paid goes back. Raises HoldExpired, InvalidTransition."""
        for _ in range(DECISIONS):
            match row.status:
                case _S.PAYMENT_PENDING | _S.PENDING_APPROVAL:
                    pass
                case _S.UPCOMING | _S.IN_PROGRESS | _S.COMPLETED | _S.NO_SHOW:
                    return row  # another request of the same moment confirmed it with the same money
                case _:
                    await self.send_back(ctx, row, receipt)
                    if row.status is _S.EXPIRED:
                        raise HoldExpired
                    raise InvalidTransition(f"The booking is {row.status.value}; what was paid goes back.")
            try:
                confirmed = await self._confirm(ctx, row, receipt, actor)
            except _Lost:
                if await self._expire(ctx, row, receipt):
                    raise HoldExpired from None
                row = await self.reread(ctx, row)
                continue
            if confirmed is not None:
                return confirmed
            row = await self.reread(ctx, row)
        raise Overtaken

    async def _confirm(self, ctx: Context, row: BookingRow, receipt: Receipt, actor: BookingActor) -> BookingRow | None:
        """Raises _Lost when the place is somebody's by now; None when the booking changed meanwhile."""
        step = self.step(ctx, row, _A.CONFIRM, actor)
        after = msgspec.structs.replace(
            row,
            status=step.to,
            version=row.version + 1,
            updated_at=step.now,
            hold_expires_at=None,
            authorised_minor=0,
            price_minor=receipt.price_minor,
            paid_minor=receipt.paid_minor,
            due_minor=receipt.due_minor,
            pay_with=receipt.pay_with,
        )
        said = BookingConfirmed(**facts(after), paid=paid_of(after))
        charged = await self._bill_of_receipt(ctx, row, receipt)
        try:
            async with self.db.tx(ctx.within(row.organisation_id), plans=Plans.KEPT) as tx:
                kept = await queries.confirm(tx, step, receipt, said)
                if kept is None:
                    raise _Changed
                if kept < len(row.claimed):
                    raise _Lost
                if charged is not None:
                    await queries.set_bill(tx, row, charged.lines, charged.tax)
        except _Changed:
            return None
        return after

    async def _bill_of_receipt(self, ctx: Context, row: BookingRow, receipt: Receipt) -> Bill | None:
        """The bill over what was charged; None where the booking says so already. A code that came with the payment differs."""
        if receipt.price_minor == row.price_minor:
            return None
        book, _ = await self.place(row)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            kept = await queries.lines_of(tx, row.organisation_id, row.id)
        return rebill(
            book.organisation.tax, kept.lines, Money(receipt.price_minor, row.currency), [], row.promo_code or LineKind.CODE
        )

    # --- the house settles

    async def settle_payment(self, ctx: Context, row: BookingRow) -> None:
        """What becomes of a booking that waits for payment, whoever died on the way. Idempotent."""
        state = await self.till.state(ctx, row)
        receipt = None if state is None else settled(state, row)
        try:
            if receipt is not None:
                await self.confirm_paid(ctx, row, receipt)
            elif row.hold_expires_at is not None and rules.hold_is_over(row.hold_expires_at, self.clock.now()):
                partly = None if state is None else Receipt(row.price_minor, state.paid.amount, state.due.amount, row.pay_with)
                await self._expire(ctx, row, partly)
            else:
                async with self.db.tx(ctx) as tx:
                    await queries.set_due(tx, row.organisation_id, row.id, row.hold_expires_at)
        except (HoldExpired, InvalidTransition):
            return  # settled: the place was lost and the money is on its way back

    async def _expire(self, ctx: Context, row: BookingRow, receipt: Receipt | None) -> bool:
        """The hold is over; money that came goes back. False when somebody else changed the booking first."""
        owed = receipt is not None and receipt.paid_minor + receipt.due_minor > 0
        step = self.step(ctx, row, _A.EXPIRE, _W.HOUSE, due_at=self.soon() if owed else None)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            after = await queries.leave(tx, step)
            if after is None:
                return False
            emit(tx, BookingExpired(**facts(after)))
            self.announce(tx, row.venue_id, row.timezone, (row.claim_starts_at, row.claim_ends_at))
        if owed:
            await self.send_back(ctx, after, receipt)
        return True

    async def send_back(self, ctx: Context, row: BookingRow, receipt: Receipt | None = None) -> None:
        """All that was taken for a booking which does not take place. Written down first, then carried out; one errand per
        booking, whoever finds the money. Nothing happens when there is none."""
        if receipt is None:
            state = await self.till.state(ctx, row)
            if state is None:
                return
            receipt = Receipt(row.price_minor, state.paid.amount, state.due.amount, row.pay_with)
        amount = receipt.paid_minor + receipt.due_minor
        if not amount:
            return
        errand = Errand(derived(row.id, LATE), row.id, "refund", amount, row.currency, LATE)
        now = self.clock.now()
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            fresh = await queries.lock_booking(tx, row.organisation_id, row.id)
            if fresh.paid_minor == 0 and fresh.due_minor == 0:
                await queries.note_paid(tx, fresh, receipt, now)
            elif fresh.paid_minor == fresh.refunded_minor and fresh.due_minor == 0:
                return  # it is back already
            await queries.add_errand(tx, row, errand, now)
            await queries.set_due(tx, row.organisation_id, row.id, now + SETTLE_AFTER)
        await self.run_errand(ctx, row, errand)

    async def run_errand(self, ctx: Context, row: BookingRow, errand: Errand) -> None:
        """Gives money back and notes it. Repeating it has one effect; whoever is interrupted leaves the rest to the keeper."""
        match errand.kind:
            case "release":
                ended = await self.till.release(ctx, row)
                if ended.status is AuthorisationStatus.CAPTURED:  # by somebody who approved at the same moment and came second
                    await self.send_back(ctx, row)
            case "refund":
                back, waived = await self.till.give_back(ctx, row, errand.id, errand.amount_minor, errand.reason)
                async with self.db.tx(ctx.within(row.organisation_id)) as tx:
                    locked = await queries.lock_booking(tx, row.organisation_id, row.id)
                    await queries.end_refund(tx, row.organisation_id, errand.id, back, waived)
                    await self.on_course(tx, locked)
                return
            case _:
                if not await self._turned_back(ctx, row, errand):
                    return
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            locked = await queries.lock_booking(tx, row.organisation_id, row.id)
            await queries.drop_errand(tx, row.organisation_id, errand.id)
            await self.on_course(tx, locked)

    async def _turned_back(self, ctx: Context, row: BookingRow, errand: Errand) -> bool:
        """What was charged for a change that does not happen goes back. False when the change did happen."""
        if errand.kind == "charge":
            async with self.db.tx(ctx.within(row.organisation_id)) as tx:
                if not await queries.turn_back(tx, row.organisation_id, errand.id):
                    return False
        state = await self.till.state(ctx, row)
        if state is not None and any(c.id == errand.id for c in state.charges):
            await self.till.give_back(ctx, row, derived(errand.id, "back"), errand.amount_minor, errand.reason)
        return True

    async def square(self, ctx: Context, row: BookingRow) -> BookingRow:
        """Holds the booking against its payment and notes what was given back past it: staff may refund a payment by itself.

        It compares and does not count, so repeating it has one effect. While money is on its way nothing is noted.
        """
        charged = charged_minor(row)
        state = await self.till.state(ctx, row) if charged > 0 else None
        if state is None:
            return row
        gone = min(charged - state.refundable.amount, state.refunded.amount)
        if gone <= 0:
            return row
        waived = min(gone, max(row.due_minor - state.due.amount, 0))
        back = min(gone - waived, row.paid_minor - row.refunded_minor)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            fresh = await queries.lock_booking(tx, row.organisation_id, row.id)
            if _money_of(fresh) != _money_of(row) or await queries.errands(tx, row.organisation_id, row.id):
                return fresh
            return await queries.note_given_back(tx, fresh, back, waived, self.clock.now()) or fresh

    async def on_course(self, tx: Tx, locked: BookingRow) -> None:
        """Back to what the booking's own course asks for, unless more money is on its way. The booking is locked: it comes before
        its errands and its due time, for everybody, so that nobody waits in a circle."""
        if await queries.errands(tx, locked.organisation_id, locked.id):
            return
        at = natural_due(locked, locked.status)
        if locked.status is _S.COMPLETED and locked.claim_ends_at > self.clock.now():
            at = locked.claim_ends_at  # its claims are swept then
        await queries.set_due(tx, locked.organisation_id, locked.id, at)

    # --- small things

    async def alternatives_to(self, ctx: Context, planned: Plan) -> list[Alternative]:
        return await self.alternatives.instead_of(ctx, planned)

    def soon(self) -> datetime:
        return self.clock.now() + SETTLE_AFTER

    async def reread(self, ctx: Context, row: BookingRow) -> BookingRow:
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            return await queries.booking_of(tx, row.organisation_id, row.id)

    def step(
        self,
        ctx: Context,
        row: BookingRow,
        action: BookingAction,
        actor: BookingActor,
        *,
        detail: str = "",
        due_at: datetime | None = None,
    ) -> Step:
        """The step `action` from where the booking is. Raises InvalidTransition. `due_at` None: the booking's own course."""
        to = rules.advance(row.status, action, actor)
        return Step(
            row=row,
            to=to,
            action=action,
            actor=actor,
            account_id=ctx.account_id,
            now=self.clock.now(),
            due_at=natural_due(row, to) if due_at is None else due_at,
            detail=detail[:1000],
        )


# -------------------------------------------------------------------------------------------------------------------- values


def _first_step(
    book: VenueBook,
    planned: Plan,
    wish: NewBooking,
    bill: Bill,
    promo_code: str | None,
    actor: BookingActor,
    now: datetime,
) -> tuple[BookingStatus, BookingAction, datetime | None]:
    """Where a new booking begins, and when its hold ends."""
    if actor is _W.CUSTOMER and rules.needs_approval(book.policies, planned.purpose):
        return rules.advance(_S.DRAFT, _A.REQUEST_APPROVAL, actor), _A.REQUEST_APPROVAL, None
    if wish.pay_with is not None and bill.total.amount == 0 and promo_code is None:
        return rules.advance(_S.DRAFT, _A.CONFIRM, _W.HOUSE), _A.CONFIRM, None  # nothing to pay
    return rules.advance(_S.DRAFT, _A.HOLD, actor), _A.HOLD, rules.hold_expiry(book.policies, now)


def _said_of(row: BookingRow) -> Event:
    """What a new booking is told as."""
    said = facts(row)
    match row.status:
        case _S.PENDING_APPROVAL:
            return ApprovalAsked(**said)
        case _S.PAYMENT_PENDING if row.hold_expires_at is not None:
            return BookingHeld(**said, hold_expires_at=row.hold_expires_at)
        case _:
            return BookingConfirmed(**said, paid=paid_of(row))


def _row(new: NewRow, now: datetime) -> BookingRow:
    """The row as it stands in the table after the hold."""
    return BookingRow(
        organisation_id=new.organisation_id,
        id=new.id,
        venue_id=new.venue_id,
        resource_id=new.resource_id,
        account_id=new.account_id,
        guest_name=new.guest_name,
        status=new.status,
        starts_at=new.period.start,
        ends_at=new.period.end,
        timezone=new.timezone,
        purpose=new.purpose,
        team_size=new.team_size,
        currency=new.currency,
        list_minor=new.list_minor,
        price_minor=new.price_minor,
        paid_minor=0,
        due_minor=0,
        refunded_minor=0,
        authorised_minor=0,
        pay_with=new.pay_with,
        promo_code=new.promo_code,
        quote_id=new.quote_id,
        note=new.note,
        hold_expires_at=new.hold_expires_at,
        claimed=new.claimed,
        claim_starts_at=new.claim.start,
        claim_ends_at=new.claim.end,
        version=1,
        created_at=now,
        updated_at=now,
    )


def charged_minor(row: BookingRow) -> int:
    """What the booking's payment holds: taken or due at the desk, and not given back."""
    return row.paid_minor + row.due_minor - row.refunded_minor


def _money_of(row: BookingRow) -> tuple[int, int, int]:
    return row.paid_minor, row.due_minor, row.refunded_minor


LATE = "late"
_OWN_REFUNDS = (_A.CANCEL.value, _A.DECLINE.value, LATE)


def is_own_refund(booking_id: UUID, refund_id: UUID) -> bool:
    """Whether the booking itself gave this back when it ended, and noted it with the errand. Of a change's refund it says no."""
    return any(derived(booking_id, name) == refund_id for name in _OWN_REFUNDS)


def release_errand(row: BookingRow) -> Errand:
    """What is set aside for a request, or is about to be, goes back."""
    return Errand(derived(row.id, "release"), row.id, "release", row.authorised_minor, row.currency, Why.NOT_KEPT)


def emit_cancelled(tx: Tx, row: BookingRow, refund: Money, by: BookingActor, reason: str) -> None:
    away = rules.falls_away(refund, due_of(row))
    emit(tx, BookingCancelled(**facts(row), refund=refund, by=by, reason=reason, paid=paid_of(row), falls_away=away))
