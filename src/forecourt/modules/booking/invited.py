"""All SQL of invitations. Whoever writes has locked the booking before, so that a party is counted by one at a time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import LiteralString
from uuid import UUID

import msgspec

from forecourt.kernel.db import Query, Statement, Sweep, Tx
from forecourt.modules.booking.contract import MAX_INVITEES, InviteeStatus, NewInvitee

MOST_LISTED = 4 * MAX_INVITEES
"""Of one booking or one person, those taken back included."""
MOST_OVER = 500
MOST_ASKED = 3
"""So often somebody is asked to one booking, by its host and by staff together."""
FORGOTTEN, LEFT = "forgotten@erased.invalid", "left@erased.invalid"
"""In place of an address that is forgotten; the other when its owner was erased after they had said yes, so that whoever invited
them knows of the account. Nobody is written to there."""


class InvitationRow(msgspec.Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    booking_id: UUID
    account_id: UUID | None
    email: str | None
    address: bytes | None
    status: InviteeStatus
    salt: bytes
    told_at: datetime | None
    invited_by: UUID | None
    created_at: datetime
    answered_at: datetime | None
    asked: int

    @property
    def is_forgotten(self) -> bool:
        return self.email in (FORGOTTEN, LEFT)

    @property
    def may_ask_again(self) -> bool:
        return not self.takes_a_place and self.asked < MOST_ASKED

    @property
    def takes_a_place(self) -> bool:
        return self.status in (InviteeStatus.PENDING, InviteeStatus.ACCEPTED)

    @property
    def known_account(self) -> UUID | None:
        """Whose it is, as far as whoever invited them may know: an address says nothing about accounts."""
        return self.account_id if self.email in (None, LEFT) else self.in_the_party

    @property
    def in_the_party(self) -> UUID | None:
        """Who is of the party by this invitation. Whoever was invited by address is not before they said yes."""
        if self.email is None:
            return self.account_id if self.takes_a_place else None
        return self.account_id if self.status is InviteeStatus.ACCEPTED else None


class NewInvitation(msgspec.Struct, frozen=True):
    id: UUID
    account_id: UUID | None
    email: str | None
    address: bytes | None
    salt: bytes


class Noted(msgspec.Struct, frozen=True):
    """An address, by its digest, and where it is kept."""

    address: bytes
    organisation_id: UUID
    invitation_id: UUID


class Whereto(msgspec.Struct, frozen=True):
    """Where an invitation of an address lies."""

    organisation_id: UUID
    invitation_id: UUID


class Wished(msgspec.Struct, frozen=True):
    """Who was named when the booking was made, and by whom."""

    account_id: UUID | None
    invitees: list[NewInvitee]


_SELECT: LiteralString = (
    "select i.organisation_id, i.id, i.booking_id, i.account_id, i.email, i.address, i.status, i.salt, i.told_at, i.invited_by,"
    " i.created_at, i.answered_at, i.asked::int from booking.invitation i"
)
WISHED = Query(Wished, "select b.account_id, b.invitees from booking.booking b where b.organisation_id = $1 and b.id = $2")
OF_BOOKING = Query(
    InvitationRow, _SELECT + " where i.organisation_id = $1 and i.booking_id = $2 order by i.created_at, i.id limit $3"
)
ONE = Query(InvitationRow, _SELECT + " where i.organisation_id = $1 and i.id = $2")
SOME = Query(InvitationRow, _SELECT + " where i.organisation_id = $1 and i.id = any($2::uuid[]) limit 100")
LOCKED = Query(InvitationRow, _SELECT + " where i.organisation_id = $1 and i.id = $2 for update of i")
# A person's: by its own id, or by that of the booking.
OWN_AMONG = Query(
    InvitationRow,
    _SELECT + " where i.organisation_id = any($1::uuid[]) and i.account_id = $2 and (i.id = $3 or i.booking_id = $3)"
    " order by i.status = 'withdrawn', i.created_at desc, i.id limit 1",
)
OWN = Query(
    InvitationRow,
    _SELECT + " where i.organisation_id = any($1::uuid[]) and i.account_id = $2 and i.status in ('pending', 'accepted')"
    " order by i.created_at desc, i.id limit $3",
)
SENT_SINCE = Query(
    int,
    "select count(*)::int from booking.invitation i where i.organisation_id = $1 and i.invited_by = $2 and i.email is not null"
    " and i.created_at > $3",
)
ADD = Statement(
    "insert into booking.invitation (organisation_id, id, booking_id, account_id, email, address, status, salt, invited_by,"
    " created_at) select $1, n.id, $2, n.account_id, n.email, n.address, 'pending', n.salt, $8, $9"
    " from unnest($3::uuid[], $4::uuid[], $5::text[], $6::bytea[], $7::bytea[]) as n (id, account_id, email, address, salt)"
    " on conflict do nothing"
)
NOTE_GUEST = Statement("insert into booking.guest (account_id, organisation_id) values ($1, $2) on conflict do nothing")
ANSWER = Statement(
    "update booking.invitation set status = $3, account_id = $4, answered_at = $5 where organisation_id = $1 and id = $2"
)
REOPEN = Statement(
    "update booking.invitation set status = 'pending', salt = $3, told_at = null, answered_at = null, invited_by = $4,"
    " asked = asked + 1, account_id = case when email is null then account_id end where organisation_id = $1 and id = $2"
)
ASK_AGAIN = Statement(
    "update booking.invitation set status = 'pending', answered_at = null, invited_by = $3, asked = asked + 1"
    " where organisation_id = $1 and id = $2"
)
TELL = Statement(
    "update booking.invitation set told_at = coalesce(told_at, $4), account_id = $3 where organisation_id = $1 and id = $2"
)
NOTE_ADDRESS = Statement(
    "insert into booking.invited_address (address, organisation_id, invitation_id, until) values ($1, $2, $3, $4)"
    " on conflict do nothing"
)
AT_ADDRESS = Query(
    Whereto,
    "select a.organisation_id, a.invitation_id from booking.invited_address a where a.address = $1"
    " order by a.organisation_id, a.invitation_id limit $2",
)
OVER = Sweep(
    Noted,
    "select a.address, a.organisation_id, a.invitation_id from booking.invited_address a where a.until < $1"
    " order by a.until limit $2",
)
DROP_ADDRESS = Statement(
    "delete from booking.invited_address a where a.address = $1 and a.organisation_id = $2 and a.invitation_id = $3"
)


async def wished(tx: Tx, organisation_id: UUID, booking_id: UUID) -> Wished:
    """Raises NotFound."""
    return await tx.one(WISHED, organisation_id, booking_id)


async def of_booking(tx: Tx, organisation_id: UUID, booking_id: UUID) -> list[InvitationRow]:
    """The first to be invited first."""
    return await tx.all(OF_BOOKING, organisation_id, booking_id, MOST_LISTED)


async def one(tx: Tx, organisation_id: UUID, id: UUID) -> InvitationRow | None:
    return await tx.maybe(ONE, organisation_id, id)


async def some(tx: Tx, organisation_id: UUID, ids: Sequence[UUID]) -> list[InvitationRow]:
    """At most 100, in no order."""
    return await tx.all(SOME, organisation_id, list(ids))


async def locked(tx: Tx, organisation_id: UUID, id: UUID) -> InvitationRow:
    """Raises NotFound."""
    return await tx.one(LOCKED, organisation_id, id)


async def own_among(tx: Tx, among: Sequence[UUID], account_id: UUID, id: UUID) -> InvitationRow | None:
    """One's own by its id or its booking's."""
    return await tx.maybe(OWN_AMONG, list(among), account_id, id)


async def own(tx: Tx, among: Sequence[UUID], account_id: UUID) -> list[InvitationRow]:
    """One's own that are open or accepted, the newest first."""
    return await tx.all(OWN, list(among), account_id, MOST_LISTED)


async def sent_since(tx: Tx, organisation_id: UUID, inviter: UUID, since: datetime) -> int:
    """How many addresses somebody has invited there."""
    return await tx.one(SENT_SINCE, organisation_id, inviter, since)


async def add(
    tx: Tx,
    organisation_id: UUID,
    booking_id: UUID,
    until: datetime,
    new: Sequence[NewInvitation],
    inviter: UUID | None,
    at: datetime,
) -> None:
    """Those who are there already stay as they are. Accounts find what they are invited to where they have something; addresses
    are noted, or nobody would find them to forget them. `until`: the booking's end."""
    await tx.run(
        ADD,
        organisation_id,
        booking_id,
        [n.id for n in new],
        [n.account_id for n in new],
        [n.email for n in new],
        [n.address for n in new],
        [n.salt for n in new],
        inviter,
        at,
    )
    for account_id in sorted(n.account_id for n in new if n.account_id is not None):
        await tx.run(NOTE_GUEST, account_id, organisation_id)
    for address, id in sorted((n.address, n.id) for n in new if n.address is not None):
        await note_address(tx, Noted(address, organisation_id, id), until)


async def answer(tx: Tx, row: InvitationRow, status: InviteeStatus, account_id: UUID | None, at: datetime) -> None:
    await tx.run(ANSWER, row.organisation_id, row.id, status.value, account_id, at)


async def reopen(tx: Tx, row: InvitationRow, salt: bytes, inviter: UUID | None) -> None:
    """Invited anew: links of before open nothing, and whose the address is, is found out again."""
    await tx.run(REOPEN, row.organisation_id, row.id, salt, inviter)


async def ask_again(tx: Tx, row: InvitationRow, inviter: UUID | None) -> None:
    """Who said no is asked again, and the link they have still opens it."""
    await tx.run(ASK_AGAIN, row.organisation_id, row.id, inviter)


async def tell(tx: Tx, row: InvitationRow, account_id: UUID | None, at: datetime) -> None:
    """Notes that it was told, and whose it is."""
    await tx.run(TELL, row.organisation_id, row.id, account_id, at)


async def give(tx: Tx, row: InvitationRow, account_id: UUID) -> None:
    """Notes whose it is, and nothing else."""
    await tx.run(ANSWER, row.organisation_id, row.id, row.status.value, account_id, row.answered_at)


async def note_address(tx: Tx, noted: Noted, until: datetime) -> None:
    await tx.run(NOTE_ADDRESS, noted.address, noted.organisation_id, noted.invitation_id, until)


async def at_address(tx: Tx, address: bytes) -> list[Whereto]:
    return await tx.all(AT_ADDRESS, address, MOST_LISTED)


async def over(tx: Tx, before: datetime) -> list[Noted]:
    """Addresses whose bookings were over before then, at most MOST_OVER. `tx` is about nobody."""
    return await tx.all(OVER, before, MOST_OVER)


async def drop_address(tx: Tx, noted: Noted) -> None:
    """Whoever gets this address is not given the invitation. `tx` is about nobody."""
    await tx.run(DROP_ADDRESS, noted.address, noted.organisation_id, noted.invitation_id)
