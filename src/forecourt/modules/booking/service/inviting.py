"""Who is invited to a booking (BK-8): listed, added, taken back; what a guest does with an invitation; what the house tells.

Whoever is named when a booking is made becomes an invitation when somebody first asks for them: making the booking is one
statement and stays so. The link of a letter carries the organisation, the invitation and a keyed digest of the two with the
row's salt. It is kept nowhere, neither itself nor its digest: a copy of the database opens no invitation.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Sequence
from typing import TypedDict
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Invalid, NotFound
from forecourt.kernel.events import emit
from forecourt.modules.booking import guests, invited, queries
from forecourt.modules.booking.contract import (
    Addressee,
    AskedOften,
    BookingActor,
    BookingStatus,
    GuestInvitation,
    GuestInvited,
    InvalidTransition,
    InvitationAnswered,
    InvitationDeclined,
    InvitationOver,
    InvitationTaken,
    InvitationWithdrawn,
    Invitee,
    Invitees,
    InviteeStatus,
    NewInvitee,
    Party,
)
from forecourt.modules.booking.invited import InvitationRow, NewInvitation, Noted
from forecourt.modules.booking.queries import BookingRow
from forecourt.modules.booking.service.base import CHANGE_ANY, READ_ANY, organisation, person, refuse_unconfirmed
from forecourt.modules.booking.service.feeds import Feeds
from forecourt.modules.identity.contract import AccountStatus

MAC_BYTES = 32
SALT_BYTES = 16
TOKEN_CHARS = 86
"""Of a link's token: two ids and the digest, as base64 without its padding."""

_S, _B = InviteeStatus, BookingStatus
STANDING = (_B.UPCOMING, _B.IN_PROGRESS)
"""A booking whose guests are told of it."""
OPEN = (_B.PENDING_APPROVAL, _B.PAYMENT_PENDING, *STANDING)
"""A booking that somebody can still be invited to."""


class Inviting(Feeds):
    # --- whoever looks after the booking

    async def invitees(self, ctx: Context, booking_id: UUID) -> Invitees:
        """Everybody who is or was invited. Raises NotFound."""
        row, _ = await self.find(ctx, booking_id, READ_ANY)
        async with self.db.tx(ctx.within(row.organisation_id)) as tx:
            rows = await self._settled(tx, row.organisation_id, row.id)
        return Invitees([shown(r) for r in rows], _places(row, rows))

    async def invite(self, ctx: Context, booking_id: UUID, wish: NewInvitee) -> Invitee:
        """Invites one more. Who is invited already stays so; who was taken off is invited anew.

        Raises NotFound, EmailUnconfirmed, InvalidTransition, InvitationDeclined, AskedOften, TooManyInvitations, Invalid.
        """
        found, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        refuse_unconfirmed(ctx, actor, [wish])
        new = self._new(booking_id, guests.checked_invitee(wish, ""))
        async with self.db.tx(ctx.within(found.organisation_id)) as tx:
            row = await self._inviting(tx, found, actor)
            if new.account_id is not None and new.account_id == row.account_id:
                raise Invalid.field("account_id", "is whose booking it is")
            rows = await self._settled(tx, row.organisation_id, row.id)
            known = next((r for r in rows if _same(r, new)), None)
            if known is not None and known.takes_a_place:
                return shown(known)
            if known is not None and known.status is _S.DECLINED and known.may_ask_again:
                raise InvitationDeclined
            inviter = _inviter(ctx, actor, row)
            await self._refuse_more(tx, row, rows, known, inviter, wish)
            if known is None:
                await invited.add(tx, row.organisation_id, row.id, row.ends_at, [new], inviter, self.clock.now())
            else:
                await invited.reopen(tx, known, new.salt, inviter)
            made = await self._invited(tx, row, new.id if known is None else known.id)
        return shown(made)

    async def ask_again(self, ctx: Context, booking_id: UUID, invitation_id: UUID) -> Invitee:
        """Asks once more who said no or was taken off. Who is invited stays so.

        Raises NotFound, EmailUnconfirmed, InvalidTransition, AskedOften, TooManyInvitations, Invalid.
        """
        found, actor = await self.find(ctx, booking_id, CHANGE_ANY)
        async with self.db.tx(ctx.within(found.organisation_id)) as tx:
            row = await self._inviting(tx, found, actor)
            rows = await self._settled(tx, row.organisation_id, row.id)
            known = next((r for r in rows if r.id == invitation_id), None)
            if known is None:
                raise NotFound
            wish = NewInvitee(email=known.email, account_id=None if known.email else known.account_id)
            refuse_unconfirmed(ctx, actor, [wish])
            if known.takes_a_place:
                return shown(known)
            inviter = _inviter(ctx, actor, row)
            await self._refuse_more(tx, row, rows, known, inviter, wish)
            if known.status is _S.DECLINED:
                await invited.ask_again(tx, known, inviter)
            else:
                await invited.reopen(tx, known, secrets.token_bytes(SALT_BYTES), inviter)
            made = await self._invited(tx, row, known.id)
        return shown(made)

    async def _inviting(self, tx: Tx, found: BookingRow, actor: BookingActor) -> BookingRow:
        """The booking, locked, to which this actor may invite. Raises InvalidTransition."""
        row = await queries.lock_booking(tx, found.organisation_id, found.id)
        # What staff do is on record: from when a booking stands, an invitation is an event.
        if row.status not in (STANDING if actor is BookingActor.STAFF else OPEN) or row.ends_at <= self.clock.now():
            raise InvalidTransition("Nobody can be invited to this booking any more.")
        return row

    async def _refuse_more(
        self,
        tx: Tx,
        row: BookingRow,
        rows: Sequence[InvitationRow],
        known: InvitationRow | None,
        inviter: UUID | None,
        wish: NewInvitee,
    ) -> None:
        """Raises AskedOften, Invalid when there is no place left, and TooManyInvitations."""
        if known is not None and not known.may_ask_again:
            raise AskedOften
        if _places(row, rows) < 1:
            raise Invalid.field("invitees", f"a party of {row.team_size} has room for {row.team_size - 1} guests")
        await self.refuse_too_many(tx, row.organisation_id, inviter, [wish])

    async def _invited(self, tx: Tx, row: BookingRow, invitation_id: UUID) -> InvitationRow:
        """The invitation as it is now, told to whom it concerns."""
        made = await invited.locked(tx, row.organisation_id, invitation_id)
        if row.status in STANDING:
            emit(tx, GuestInvited(**_facts(row, made), account_id=None if made.email else made.account_id))
        return made

    async def withdraw(self, ctx: Context, booking_id: UUID, invitation_id: UUID) -> None:
        """Takes an invitation back; a second time changes nothing. Raises NotFound."""
        found, _ = await self.find(ctx, booking_id, CHANGE_ANY)
        async with self.db.tx(ctx.within(found.organisation_id)) as tx:
            row = await queries.lock_booking(tx, found.organisation_id, booking_id)
            await self._settled(tx, row.organisation_id, row.id)
            invitation = await invited.locked(tx, row.organisation_id, invitation_id)
            if invitation.booking_id != booking_id:
                raise NotFound
            if invitation.status is _S.WITHDRAWN:
                return
            await invited.answer(tx, invitation, _S.WITHDRAWN, invitation.account_id, self.clock.now())
            known = invitation.in_the_party or (None if invitation.email else invitation.account_id)
            emit(tx, InvitationWithdrawn(**_facts(row, invitation), account_id=known))

    # --- whoever is invited

    async def invitation(self, ctx: Context, ref: str) -> GuestInvitation:
        """By the token of its link or, to whose it is, by its id or its booking's. Raises NotFound, InvitationOver."""
        row = await self._open(ctx, ref)
        return await self._seen(ctx, row, await self._standing(ctx, row))

    async def my_invitations(self, ctx: Context) -> list[GuestInvitation]:
        """The person's that are open or accepted and not over, the earliest start first."""
        account_id, now = person(ctx), self.clock.now()
        async with self.db.read(ctx.within(None)) as tx:
            rows = await invited.own(tx, await self.guests.read(tx, account_id), account_id)
        found: list[GuestInvitation] = []
        for organisation_id in dict.fromkeys(row.organisation_id for row in rows):
            here = {row.booking_id: row for row in reversed(rows) if row.organisation_id == organisation_id}
            house = service_context("booking.invitations", organisation_id, ctx.trace_id)
            async with self.db.read(house) as tx:
                bookings = await queries.bookings_among(tx, [organisation_id], list(here)[:100])
            live = [b for b in bookings if b.status in STANDING and b.ends_at > now and b.account_id != account_id]
            found += [await self._seen(ctx, here[b.id], b) for b in live]
        return sorted(found, key=lambda i: (i.start, i.id))

    async def accept_invitation(self, ctx: Context, ref: str) -> GuestInvitation:
        """Says yes. Signed in, the invitation becomes one's own and seats one in the booking's room.

        Raises NotFound, InvitationOver, InvitationTaken.
        """
        return await self._answer(ctx, ref, _S.ACCEPTED)

    async def decline_invitation(self, ctx: Context, ref: str) -> GuestInvitation:
        """Says no, also after a yes. Raises NotFound, InvitationOver, InvitationTaken."""
        return await self._answer(ctx, ref, _S.DECLINED)

    async def _answer(self, ctx: Context, ref: str, status: InviteeStatus) -> GuestInvitation:
        opened = await self._open(ctx, ref)
        note = self.guests.note(ctx.account_id, opened.organisation_id)
        house = service_context("booking.invitations", opened.organisation_id, ctx.trace_id)
        async with self.db.tx(house, note=note) as tx:
            booking = await queries.lock_booking(tx, opened.organisation_id, opened.booking_id)
            row = await invited.locked(tx, opened.organisation_id, opened.id)
            self._refuse_over(row, booking)
            if row.account_id is not None and ctx.account_id not in (None, row.account_id):
                raise InvitationTaken
            if ctx.account_id is not None and ctx.account_id == booking.account_id:
                raise InvitationTaken("The booking is your own.")
            whose = row.account_id if ctx.account_id is None else ctx.account_id
            if (row.status, row.account_id) != (status, whose):
                row = await self.answer_as(tx, booking, row, status, whose)
        return await self._seen(ctx, row, booking)

    async def answer_as(
        self, tx: Tx, booking: BookingRow, row: InvitationRow, status: InviteeStatus, whose: UUID | None
    ) -> InvitationRow:
        """The invitation as it is after this answer, which is told to whom it concerns. Both rows are locked."""
        await invited.answer(tx, row, status, whose, self.clock.now())
        known = whose if row.email is None or status is _S.ACCEPTED or row.in_the_party else None
        said = InvitationAnswered(
            **_facts(booking, row), account_id=known, status=status, was=row.status, host_id=booking.account_id
        )
        emit(tx, said)
        return await invited.locked(tx, row.organisation_id, row.id)

    async def _open(self, ctx: Context, ref: str) -> InvitationRow:
        """Raises NotFound: for a link that is altered or was replaced, and for what is not one's own."""
        if len(ref) == TOKEN_CHARS:
            return await self._by_token(ref)
        try:
            id = UUID(ref)
        except ValueError:
            raise NotFound from None
        if ctx.account_id is None:
            raise NotFound
        me = ctx.account_id
        async with self.db.read(ctx.within(None)) as tx:
            row = await self.guests.find(tx, me, lambda among: invited.own_among(tx, among, me, id))
        if row is None:
            raise NotFound
        return row

    async def _by_token(self, token: str) -> InvitationRow:
        try:
            raw = urlsafe_b64decode(token.encode("ascii") + b"==")
        except ValueError:
            raise NotFound from None
        if len(raw) != 32 + MAC_BYTES:
            raise NotFound
        place = UUID(bytes=raw[:16])
        async with self.db.read(service_context("booking.invitations", place)) as tx:
            row = await invited.one(tx, place, UUID(bytes=raw[16:32]))
        if row is None or not hmac.compare_digest(self._token(row), token):
            raise NotFound
        return row

    async def _standing(self, ctx: Context, row: InvitationRow) -> BookingRow:
        """The booking of an invitation that is not over. Raises InvitationOver."""
        house = service_context("booking.invitations", row.organisation_id, ctx.trace_id)
        async with self.db.read(house) as tx:
            booking = await queries.booking_of(tx, row.organisation_id, row.booking_id)
        self._refuse_over(row, booking)
        return booking

    def _refuse_over(self, row: InvitationRow, booking: BookingRow) -> None:
        if row.status is _S.WITHDRAWN or booking.status not in STANDING or booking.ends_at <= self.clock.now():
            raise InvitationOver

    async def _seen(self, ctx: Context, row: InvitationRow, booking: BookingRow) -> GuestInvitation:
        book, resource = await self.place(booking)
        house = service_context("booking.invitations", row.organisation_id, ctx.trace_id)
        cards = await self.identity.accounts(house, [i for i in (row.invited_by or booking.account_id,) if i is not None])
        return GuestInvitation(
            id=row.id,
            booking_id=row.booking_id,
            status=row.status,
            host=cards[0].name if cards else "",
            organisation=book.organisation.name,
            venue_id=book.venue.id,
            venue=book.venue.name,
            address=book.venue.address,
            resource_id=resource.id,
            place=resource.name,
            start=booking.starts_at,
            end=booking.ends_at,
            local_start=booking.starts_at.astimezone(ZoneInfo(booking.timezone)),
            timezone=booking.timezone,
            joined=row.account_id is not None and row.account_id == ctx.account_id,
        )

    # --- the house

    async def party(self, ctx: Context, booking_id: UUID) -> Party:
        self._refuse_others(ctx)
        async with self.db.tx(ctx) as tx:
            wished = await invited.wished(tx, organisation(ctx), booking_id)
            rows = await self._settled(tx, organisation(ctx), booking_id)
        accounts = dict.fromkeys(a for a in (wished.account_id, *(r.in_the_party for r in rows)) if a is not None)
        by_address = [r.id for r in rows if r.email is not None and r.takes_a_place and r.in_the_party is None]
        return Party(list(accounts), by_address)

    async def invitations(self, ctx: Context, invitation_ids: list[UUID]) -> list[Invitee]:
        self._refuse_others(ctx)
        wanted = invitation_ids[:100]
        # Not of a replica: what it does not know of yet would be told to nobody.
        async with self.db.tx(ctx) as tx:
            found = {row.id: row for row in await invited.some(tx, organisation(ctx), wanted)}
        return [shown(found[id]) for id in wanted if id in found]

    async def first_letter(self, ctx: Context, invitation_id: UUID) -> Addressee | None:
        self._refuse_others(ctx)
        async with self.db.read(ctx) as tx:
            row = await invited.one(tx, organisation(ctx), invitation_id)
        if row is None or row.email is None:
            return None
        card = await self.identity.account_by_email(ctx, row.email)
        whose = card.id if card is not None and card.status is AccountStatus.ACTIVE else None
        note = self.guests.note(whose, row.organisation_id)
        async with self.db.tx(ctx, note=note) as tx:
            booking = await queries.booking_of(tx, row.organisation_id, row.booking_id)
            row = await invited.locked(tx, row.organisation_id, invitation_id)
            if row.status is not _S.PENDING or booking.status not in STANDING or booking.ends_at <= self.clock.now():
                return None
            if whose is not None and whose == booking.account_id:
                await invited.give(tx, row, whose)
                return None  # their own booking
            await invited.tell(tx, row, row.account_id or whose, self.clock.now())
            if row.address is not None:  # the release before this one notes it here alone
                await invited.note_address(tx, Noted(row.address, row.organisation_id, row.id), booking.ends_at)
            row = await invited.locked(tx, row.organisation_id, invitation_id)
        return self._letter(row)

    async def letter(self, ctx: Context, invitation_id: UUID) -> Addressee | None:
        self._refuse_others(ctx)
        async with self.db.read(ctx) as tx:
            row = await invited.one(tx, organisation(ctx), invitation_id)
        return None if row is None or row.told_at is None or row.is_forgotten else self._letter(row)

    async def give_over(self, ctx: Context, account_id: UUID) -> None:
        """What was sent to an address is its owner's, once it is shown to be theirs. `ctx` is about nobody."""
        cards = await self.identity.accounts(ctx, [account_id])
        if not cards or cards[0].status is not AccountStatus.ACTIVE:
            return
        async with self.db.read(ctx.within(None)) as tx:
            places = await invited.at_address(tx, self._address(cards[0].email))
        for place in places:
            house = service_context("booking.invitations", place.organisation_id, ctx.trace_id)
            async with self.db.tx(house, note=self.guests.note(account_id, place.organisation_id)) as tx:
                row = await invited.locked(tx, place.organisation_id, place.invitation_id)
                if row.account_id is not None or row.told_at is None:
                    continue  # of what is told later is found then whose it is
                if row.status is _S.WITHDRAWN:
                    await invited.give(tx, row, account_id)  # nobody hears of it; it goes when they are erased
                    continue
                booking = await queries.booking_of(tx, row.organisation_id, row.booking_id)
                await invited.tell(tx, row, account_id, self.clock.now())
                if booking.status in STANDING and booking.ends_at > self.clock.now():
                    emit(tx, GuestInvited(**_facts(booking, row), account_id=account_id))

    def _refuse_others(self, ctx: Context) -> None:
        if self.find_actor(ctx, READ_ANY) is not BookingActor.HOUSE:
            raise NotFound

    # --- shared

    async def _settled(self, tx: Tx, organisation_id: UUID, booking_id: UUID) -> list[InvitationRow]:
        """Every invitation of a booking, whoever was named with it included. Raises NotFound."""
        wished = await invited.wished(tx, organisation_id, booking_id)
        rows = await invited.of_booking(tx, organisation_id, booking_id)
        named = [self._new(booking_id, w) for w in wished.invitees if w.account_id is None or w.account_id != wished.account_id]
        missing = [n for n in named if not any(_same(r, n) for r in rows)]
        if not missing:
            return rows
        # The booking comes before its invitations, for everybody, so that nobody waits in a circle: a new row locks it too.
        booking = await queries.lock_booking(tx, organisation_id, booking_id)
        await invited.add(tx, organisation_id, booking_id, booking.ends_at, missing, wished.account_id, self.clock.now())
        return await invited.of_booking(tx, organisation_id, booking_id)

    def _new(self, booking_id: UUID, wish: NewInvitee) -> NewInvitation:
        """Its id follows from whom it invites: two who make it at the same time make one."""
        address = None if wish.email is None else self._address(wish.email)
        id = uuid5(booking_id, address.hex() if address is not None else f"account {wish.account_id}")
        return NewInvitation(id, wish.account_id, wish.email, address, secrets.token_bytes(SALT_BYTES))

    def _letter(self, row: InvitationRow) -> Addressee:
        return Addressee(row.email or "", self._token(row), row.account_id, row.invited_by)

    def _address(self, email: str) -> bytes:
        return hmac.new(self.secret, b"booking.invited_address:" + guests.folded(email).encode(), hashlib.sha256).digest()

    def _token(self, row: InvitationRow) -> str:
        named = row.organisation_id.bytes + row.id.bytes
        mac = hmac.new(self.secret, b"booking.invitation:" + named + row.salt, hashlib.sha256).digest()
        return urlsafe_b64encode(named + mac).rstrip(b"=").decode()


def shown(row: InvitationRow) -> Invitee:
    return Invitee(
        id=row.id,
        status=row.status,
        email=None if row.is_forgotten else row.email,
        account_id=row.known_account,
        invited_at=row.created_at,
        answered_at=row.answered_at,
        may_ask_again=row.may_ask_again,
    )


def _inviter(ctx: Context, actor: BookingActor, row: BookingRow) -> UUID | None:
    """In whose name it is asked: staff ask for whose booking it is."""
    return row.account_id if actor is BookingActor.STAFF else ctx.account_id


def _same(row: InvitationRow, new: NewInvitation) -> bool:
    if new.email is not None:  # not by digest: that of an organisation that came from another installation is another
        return row.email is not None and guests.folded(row.email) == guests.folded(new.email)
    return row.email is None and row.account_id == new.account_id


def _places(row: BookingRow, rows: Sequence[InvitationRow]) -> int:
    return max(row.team_size - 1 - sum(r.takes_a_place for r in rows), 0)


class _Facts(TypedDict):
    organisation_id: UUID
    venue_id: UUID
    booking_id: UUID
    invitation_id: UUID


def _facts(row: BookingRow, invitation: InvitationRow) -> _Facts:
    return _Facts(organisation_id=row.organisation_id, venue_id=row.venue_id, booking_id=row.id, invitation_id=invitation.id)
