"""Who works for an organisation: invite, accept, change, leave; its own roles; its API keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import asyncpg
from msgspec import Struct

from forecourt.kernel.clock import Clock
from forecourt.kernel.context import ActorKind, Context
from forecourt.kernel.db import ModuleDatabase, Tx, constraint_of, to_json
from forecourt.kernel.errors import Conflict, FieldError, Forbidden, Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.kernel.events import emit
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import enqueue
from forecourt.kernel.paging import Keyset, Page
from forecourt.kernel.reach import ANYWHERE, Reach, faults
from forecourt.modules.identity import mails, rules
from forecourt.modules.identity.addresses import Address, fold, read_address
from forecourt.modules.identity.contract import (
    OWNER,
    AccountStatus,
    ApiKeyCreated,
    ApiKeyRevoked,
    Change,
    EmailUnconfirmed,
    KnownKey,
    LastOwner,
    LinkInvalid,
    NotInvited,
    RoleChanged,
    RoleInUse,
    RoleNameTaken,
    SecurityKind,
    StaffInvited,
    StaffJoined,
    StaffLeft,
    StaffLimited,
    StaffRoleChanged,
    StaffUninvited,
    Standing,
)
from forecourt.modules.identity.jobs import WRITE
from forecourt.modules.identity.queries import accounts as account_queries
from forecourt.modules.identity.queries import staff as queries
from forecourt.modules.identity.queries.accounts import AccountRow
from forecourt.modules.identity.queries.staff import ApiKeyRow, RoleRow, StaffRow
from forecourt.modules.identity.rules import BuiltInRole
from forecourt.modules.identity.secrecy import API_KEY_PREFIX, digest, new_api_key, new_placed_token, place_of_token
from forecourt.modules.identity.service.sessions import note, person_of

STAFF = Keyset("staff", tuple[UUID])
ROLES = Keyset("roles", tuple[UUID])
API_KEYS = Keyset("api keys", tuple[UUID])
STAMP_EVERY = timedelta(minutes=1)
MAX_KEYS = 100
HINT_CHARS = len(API_KEY_PREFIX) + 6


class Place(Struct, frozen=True):
    """Where a person works and as what."""

    organisation_id: UUID
    role: str
    permissions: list[str]


class Invited(Struct, frozen=True):
    """An invitation that was sent. Its token is in the mail alone."""

    id: UUID
    email: str
    role: str
    expires_at: datetime


class ChosenRole(Struct, frozen=True):
    """A role as somebody named it: built-in, or one of the organisation's own."""

    label: str
    role: str | None
    role_id: UUID | None
    permissions: frozenset[str]


def role_label(row: StaffRow) -> str:
    return row.role or row.role_name or ""


def permissions_of(row: StaffRow) -> frozenset[str]:
    """What a member may do. Permissions that no longer exist are left out."""
    if row.role is not None:
        return rules.ROLE_PERMISSIONS[BuiltInRole(row.role)]
    return frozenset(row.permissions or ()) & frozenset(rules.PERMISSIONS)


def limits_of(row: StaffRow) -> list[Reach]:
    """A member's own limits and those of the role, as far as there are any."""
    return [reach for reach in (row.limited_to, row.role_limited_to) if reach is not None and reach.limited]


def checked_reach(reach: Reach) -> Reach:
    """Raises Invalid at `limited_to` for networks, hours or a zone that do not exist."""
    found = faults(reach, "limited_to")
    if found:
        raise Invalid("these limits cannot be kept", errors=found)
    return reach


def reach_of_member(role: ChosenRole, reach: Reach) -> Reach:
    """Raises Invalid for an owner with limits."""
    if role.role == OWNER and reach.limited:
        raise Invalid.field("limited_to", "owners are not limited: somebody must be able to undo a mistake from anywhere")
    return checked_reach(reach)


def organisation_of(ctx: Context) -> UUID:
    """The organisation that the operation is about. Raises NotFound without one."""
    if ctx.organisation_id is None:
        raise NotFound
    return ctx.organisation_id


def refuse_unconfirmed(ctx: Context) -> None:
    """Raises EmailUnconfirmed for a person whose own address is not verified: the house writes to nobody for them."""
    if ctx.account_id is not None and not ctx.actor.confirmed:
        raise EmailUnconfirmed


def refuse_more_than_own(ctx: Context, permissions: frozenset[str] | list[str]) -> None:
    """Raises Forbidden when the actor would give or take what it does not have itself. What no longer exists nobody has."""
    if not rules.may_grant(ctx.permissions, frozenset(permissions) & frozenset(rules.PERMISSIONS)):
        raise Forbidden("this takes permissions that you do not have yourself")


STAFF_AT_ONCE = 200
MOST_TOLD = 200
MOST_INVITED = 200


class Staff:
    def __init__(self, db: ModuleDatabase, clock: Clock, public_url: str) -> None:
        self._db = db
        self._clock = clock
        self._url = public_url

    # --- who may what ---

    async def standing(self, ctx: Context, account_id: UUID, organisation_id: UUID) -> Standing | None:
        """Permissions sorted; None for anyone who is not staff there."""
        async with self._db.read(ctx.within(organisation_id)) as tx:
            row = await queries.member(tx, organisation_id, account_id)
        return None if row is None else Standing(sorted(permissions_of(row)), limits_of(row))

    async def places(self, ctx: Context) -> list[Place]:
        """Where the person of `ctx` works; at most 100 organisations."""
        me = person_of(ctx)
        async with self._db.read(ctx.within(None)) as tx:
            return await self.places_among(tx, me, await queries.places(tx, me))

    async def places_among(self, tx: Tx, me: UUID, organisations: list[UUID]) -> list[Place]:
        """What the person is there, last in a transaction: it looks under each organisation in turn."""
        found: list[Place] = []
        for organisation_id in organisations:
            await tx.become(self._db.role, organisation_id, me)
            row = await queries.member(tx, organisation_id, me)
            if row is not None:
                found.append(Place(organisation_id, role_label(row), sorted(permissions_of(row))))
        return found

    async def holders(self, ctx: Context, permission: str) -> list[UUID]:
        """By id; at most MOST_TOLD. Raises Forbidden for who is not the house."""
        if ctx.actor.kind is not ActorKind.SERVICE:
            raise Forbidden
        organisation, after, found = organisation_of(ctx), None, list[UUID]()
        async with self._db.read(ctx) as tx:
            while rows := await queries.staff(tx, organisation, after, STAFF_AT_ONCE):
                found += [row.account_id for row in rows if permission in permissions_of(row)]
                if len(rows) < STAFF_AT_ONCE or len(found) >= MOST_TOLD:
                    break
                after = rows[-1].account_id
        return found[:MOST_TOLD]

    async def adopt(self, ctx: Context, organisation_id: UUID) -> None:
        me, now = person_of(ctx), self._clock.now()
        async with self._db.tx(ctx.within(organisation_id)) as tx:
            await self._hold(tx, me)
            await queries.lock_organisation(tx, organisation_id)
            if await queries.adopt(tx, organisation_id, me, now):
                emit(tx, StaffJoined(organisation_id=organisation_id, account_id=me, role=OWNER))

    async def _hold(self, tx: Tx, account_id: UUID) -> AccountRow:
        """Somebody who becomes staff, held so that they are not erased meanwhile: first of all that is locked, as erasing does.

        Raises Unauthenticated for an account that was closed.
        """
        account = await account_queries.hold_account(tx, account_id)
        if account.status.closed:
            raise Unauthenticated
        return account

    # --- staff ---

    async def list(self, ctx: Context, limit: int, cursor: str | None) -> Page[StaffRow]:
        organisation = organisation_of(ctx)
        after = STAFF.decode(cursor)
        async with self._db.read(ctx) as tx:
            rows = await queries.staff(tx, organisation, after[0] if after else None, limit + 1)
        return STAFF.page(rows, limit, lambda row: (row.account_id,))

    async def invite(self, ctx: Context, email: str, role: str, limited_to: Reach = ANYWHERE) -> Invited:
        """Sends an invitation; a newer one for the same address replaces it.

        Raises Invalid, Forbidden, EmailUnconfirmed.
        """
        organisation = organisation_of(ctx)
        refuse_unconfirmed(ctx)
        address = read_address(email)
        token = new_placed_token(organisation)
        async with self._db.tx(ctx) as tx:
            chosen = await self._choose(tx, ctx, role)
            invited = await self._write_invitation(tx, ctx, address, chosen, reach_of_member(chosen, limited_to), token)
            emit(tx, StaffInvited(organisation_id=organisation, invitation_id=invited.id, role=chosen.label))
            known = await account_queries.account_by_key(tx, address.key)
            whose = None if known is None else known.id
            enqueue(tx, WRITE, mails.invite_staff(ctx, address.email, whose, chosen.label, self._url, token))
        return invited

    async def _write_invitation(
        self, tx: Tx, ctx: Context, address: Address, chosen: ChosenRole, reach: Reach, token: str
    ) -> Invited:
        organisation, now = organisation_of(ctx), self._clock.now()
        invited = Invited(new_id(), address.email, chosen.label, now + rules.INVITATION_TTL)
        await queries.replace_invitation(
            tx,
            organisation,
            invited.id,
            address.email,
            address.key,
            chosen.role,
            chosen.role_id,
            digest(token),
            ctx.account_id,
            reach,
            now,
            invited.expires_at,
        )
        return invited

    async def add(self, ctx: Context, account_id: UUID, role: str, limited_to: Reach = ANYWHERE) -> StaffRow:
        """Makes an account staff at once and tells the person, who may leave. Account ids are no secret, so the organisation sees
        the person's address only after they accepted.

        Raises NotFound, Invalid, Forbidden, EmailUnconfirmed, Conflict when it is already.
        """
        organisation, now = organisation_of(ctx), self._clock.now()
        refuse_unconfirmed(ctx)
        token = new_placed_token(organisation)
        async with self._db.tx(ctx) as tx:
            account = await account_queries.hold_account(tx, account_id)
            if account.status is not AccountStatus.ACTIVE:
                raise Conflict("the account's address is not verified, or the account is closed")
            chosen = await self._choose(tx, ctx, role)
            reach = reach_of_member(chosen, limited_to)
            who = (organisation, account_id, chosen.role, chosen.role_id)
            if not await queries.insert_staff(tx, *who, reach, now, agreed=False):
                raise Conflict("this person is on the staff already")
            await self._write_invitation(tx, ctx, Address(account.email, fold(account.email)), chosen, reach, token)
            emit(tx, StaffJoined(organisation_id=organisation, account_id=account_id, role=chosen.label))
            enqueue(tx, WRITE, mails.added_to_staff(ctx, account, chosen.label, self._url, token, organisation))
            return await self._member(tx, organisation, account_id)

    async def open_invitations(self, ctx: Context) -> Sequence[Invited]:
        """Those that somebody may still accept, the newest first; at most MOST_INVITED."""
        async with self._db.read(ctx) as tx:
            rows = await queries.open_invitations(tx, organisation_of(ctx), self._clock.now(), MOST_INVITED)
        return [Invited(row.id, row.email, row.role, row.expires_at) for row in rows]

    async def invite_again(self, ctx: Context, invitation_id: UUID) -> Invited:
        """Sends an open invitation anew, for as long as at first; the link of before opens nothing.

        Raises NotFound, Forbidden, EmailUnconfirmed.
        """
        async with self._db.read(ctx) as tx:
            row = await queries.invitation_still_open(tx, organisation_of(ctx), self._clock.now(), invitation_id)
        return await self.invite(ctx, row.email, row.role, row.limited_to)

    async def uninvite(self, ctx: Context, invitation_id: UUID) -> None:
        """Takes an open invitation back: its link opens nothing. Raises NotFound; Forbidden for a role beyond the actor's."""
        organisation = organisation_of(ctx)
        async with self._db.tx(ctx) as tx:
            row = await queries.invitation_still_open(tx, organisation, self._clock.now(), invitation_id)
            await self._choose(tx, ctx, row.role)
            await queries.drop_invitations(tx, organisation, row.email_key)
            emit(tx, StaffUninvited(organisation_id=organisation, invitation_id=row.id, role=row.role))

    async def look_at_invitation(self, ctx: Context, token: str) -> None:
        """Raises LinkInvalid for an invitation that nobody can accept any more. Looking uses nothing."""
        organisation = place_of_token(token)
        if organisation is None:
            raise LinkInvalid
        async with self._db.read(ctx.within(organisation)) as tx:
            if not await queries.is_open(tx, organisation, digest(token), self._clock.now()):
                raise LinkInvalid

    async def accept(self, ctx: Context, token: str) -> Place:
        """Joins the staff. Only the address that was invited can accept, and only while who invited it may still give the role.

        Raises LinkInvalid, NotInvited.
        """
        me, now = person_of(ctx), self._clock.now()
        organisation = place_of_token(token)
        if organisation is None:
            raise LinkInvalid
        async with self._db.tx(ctx.within(organisation)) as tx:
            account = await self._hold(tx, me)
            invitation = await queries.lock_invitation(tx, organisation, digest(token))
            if invitation is None or invitation.accepted_at is not None or invitation.expires_at <= now:
                raise LinkInvalid
            if fold(account.email) != invitation.email_key:
                raise NotInvited
            await queries.accept_invitation(tx, organisation, invitation.id, now)
            who = (organisation, me, invitation.role, invitation.role_id)
            joined = await queries.insert_staff(tx, *who, invitation.limited_to, now, agreed=True)
            if not joined:
                await queries.agree(tx, organisation, me)
            row = await queries.member(tx, organisation, me)
            if row is None:
                raise NotFound
            if joined:
                await self._refuse_if_taken_back(tx, organisation, invitation.invited_by, permissions_of(row))
                emit(tx, StaffJoined(organisation_id=organisation, account_id=me, role=role_label(row)))
        return Place(organisation, role_label(row), sorted(permissions_of(row)))

    async def _refuse_if_taken_back(self, tx: Tx, organisation_id: UUID, inviter: UUID | None, granted: frozenset[str]) -> None:
        """What somebody gave who was removed, closed or may less now is not given any more. Raises LinkInvalid."""
        if inviter is None:
            return  # a key's, or the house's
        row = await queries.member(tx, organisation_id, inviter)
        closed = (await account_queries.account(tx, inviter)).status.closed
        if row is None or closed or not rules.may_grant(permissions_of(row), granted):
            raise LinkInvalid

    async def member(self, ctx: Context, account_id: UUID) -> StaffRow:
        """One of the staff. Raises NotFound."""
        async with self._db.read(ctx) as tx:
            return await self._member(tx, organisation_of(ctx), account_id)

    async def change_role(
        self, ctx: Context, account_id: UUID, role: str | None, if_match: int | None, limited_to: Reach | None = None
    ) -> StaffRow:
        """Changes the role, the limits or both; None leaves what is. Whoever becomes owner loses their limits.

        Raises NotFound, LastOwner, Forbidden, Invalid, PreconditionFailed.
        """
        organisation = organisation_of(ctx)
        async with self._db.tx(ctx) as tx:
            owners = await queries.lock_owners(tx, organisation)
            row = await self._member(tx, organisation, account_id)
            if if_match is not None and if_match != row.version:
                raise PreconditionFailed
            refuse_more_than_own(ctx, permissions_of(row))
            chosen = await self._choose(tx, ctx, role_label(row) if role is None else role)
            if owners == [account_id] and chosen.role != OWNER:
                raise LastOwner
            if limited_to is None:
                limited_to = ANYWHERE if chosen.role == OWNER else row.limited_to
            elif account_id == ctx.account_id and limited_to != row.limited_to:
                raise Forbidden("nobody changes their own limits")
            reach = reach_of_member(chosen, limited_to)
            if not await queries.set_role(tx, organisation, account_id, chosen.role, chosen.role_id, reach, row.version):
                raise PreconditionFailed
            before = role_label(row)
            if role is not None:
                emit(tx, StaffRoleChanged(organisation_id=organisation, account_id=account_id, role=chosen.label, before=before))
            if reach != row.limited_to:
                changes = (Change("limited_to", to_json(row.limited_to), to_json(reach)),)
                emit(tx, StaffLimited(organisation_id=organisation, account_id=account_id, changes=changes))
            return await self._member(tx, organisation, account_id)

    async def remove(self, ctx: Context, account_id: UUID) -> None:
        """Removes somebody, or the person itself, which anyone on the staff may do. Raises NotFound, LastOwner, Forbidden."""
        organisation = organisation_of(ctx)
        async with self._db.tx(ctx) as tx:
            owners = await queries.lock_owners(tx, organisation)
            row = await self._member(tx, organisation, account_id)
            if account_id != ctx.account_id:
                if not ctx.may("staff.manage"):
                    raise Forbidden
                refuse_more_than_own(ctx, permissions_of(row))
            if owners == [account_id]:
                raise LastOwner
            if not await queries.delete_staff(tx, organisation, account_id):
                raise NotFound
            # Whoever was added has an invitation to agree by: it lets nobody in again.
            await queries.drop_invitations(tx, organisation, fold((await account_queries.account(tx, account_id)).email))
            emit(tx, StaffLeft(organisation_id=organisation, account_id=account_id))

    async def _member(self, tx: Tx, organisation_id: UUID, account_id: UUID) -> StaffRow:
        row = await queries.member(tx, organisation_id, account_id)
        if row is None:
            raise NotFound
        return row

    async def _choose(self, tx: Tx, ctx: Context, name: str) -> ChosenRole:
        """The role of that name, which the actor may give. Raises Invalid, Forbidden."""
        organisation = organisation_of(ctx)
        await self._refuse_limited(tx, ctx)
        built_in = next((role for role in BuiltInRole if role.value == fold(name)), None)
        if built_in is not None:
            chosen = ChosenRole(built_in.value, built_in.value, None, rules.ROLE_PERMISSIONS[built_in])
        else:
            own = await queries.role_by_name(tx, organisation, fold(name))
            if own is None:
                raise Invalid.field("role", "is neither a built-in role nor one of the organisation's own")
            chosen = ChosenRole(own.name, None, own.id, frozenset(own.permissions))
        refuse_more_than_own(ctx, chosen.permissions)
        return chosen

    async def _refuse_limited(self, tx: Tx, ctx: Context) -> None:
        """Whoever is limited hands out no rights: what they gave, to themselves too, would count where theirs does not.

        Raises Forbidden.
        """
        organisation, actor = organisation_of(ctx), ctx.actor
        limited = False
        if actor.account_id is not None:
            row = await queries.member(tx, organisation, actor.account_id)
            limited = row is not None and bool(limits_of(row))
        elif actor.key_id is not None:
            key = await queries.live_key(tx, organisation, actor.key_id, self._clock.now())
            limited = key is None or key.limited_to.limited
        if limited:
            raise Forbidden("your own rights are limited to networks or hours; such rights cannot be handed on")

    # --- roles ---

    async def roles(self, ctx: Context, limit: int, cursor: str | None) -> Page[RoleRow]:
        """The organisation's own roles, in the order they were made."""
        organisation = organisation_of(ctx)
        after = ROLES.decode(cursor)
        async with self._db.read(ctx) as tx:
            rows = await queries.roles(tx, organisation, after[0] if after else None, limit + 1)
        return ROLES.page(rows, limit, lambda row: (row.id,))

    async def define_role(self, ctx: Context, name: str, permissions: list[str], limited_to: Reach = ANYWHERE) -> RoleRow:
        """Raises RoleNameTaken, Invalid, Forbidden."""
        organisation = organisation_of(ctx)
        row = RoleRow(new_id(), role_name(name), checked_permissions(ctx, permissions), checked_reach(limited_to), 1)
        at = self._clock.now()
        try:
            async with self._db.tx(ctx) as tx:
                await self._refuse_limited(tx, ctx)
                await queries.insert_role(tx, organisation, row.id, row.name, fold(row.name), row.permissions, row.limited_to, at)
                emit(tx, RoleChanged(organisation_id=organisation, role_id=row.id, changes=changes_of_role(None, row)))
        except asyncpg.UniqueViolationError as e:
            raise name_taken(e) from None
        return row

    async def edit_role(
        self,
        ctx: Context,
        role_id: UUID,
        name: str | None,
        permissions: list[str] | None,
        if_match: int | None,
        limited_to: Reach | None = None,
    ) -> RoleRow:
        """None leaves what is. Raises NotFound, RoleNameTaken, Invalid, Forbidden, PreconditionFailed."""
        organisation = organisation_of(ctx)
        try:
            async with self._db.tx(ctx) as tx:
                before = await queries.lock_role(tx, organisation, role_id)
                if if_match is not None and if_match != before.version:
                    raise PreconditionFailed
                refuse_more_than_own(ctx, before.permissions)
                await self._refuse_limited(tx, ctx)
                row = RoleRow(
                    role_id,
                    before.name if name is None else role_name(name),
                    before.permissions if permissions is None else checked_permissions(ctx, permissions),
                    before.limited_to if limited_to is None else checked_reach(limited_to),
                    before.version + 1,
                )
                await queries.update_role(tx, organisation, role_id, row.name, fold(row.name), row.permissions, row.limited_to)
                emit(tx, RoleChanged(organisation_id=organisation, role_id=role_id, changes=changes_of_role(before, row)))
        except asyncpg.UniqueViolationError as e:
            raise name_taken(e) from None
        return row

    async def remove_role(self, ctx: Context, role_id: UUID) -> None:
        """Open invitations to the role end with it. Raises NotFound, RoleInUse, Forbidden."""
        organisation = organisation_of(ctx)
        try:
            async with self._db.tx(ctx) as tx:
                before = await queries.lock_role(tx, organisation, role_id)
                refuse_more_than_own(ctx, before.permissions)
                await queries.delete_role(tx, organisation, role_id)
                changes = changes_of_role(before, None)
                emit(tx, RoleChanged(organisation_id=organisation, role_id=role_id, removed=True, changes=changes))
        except asyncpg.ForeignKeyViolationError as e:
            if constraint_of(e) == "staff_role":
                raise RoleInUse from None
            raise

    # --- API keys ---

    async def known_key(self, ctx: Context, hashed: bytes) -> KnownKey | None:
        """The live key; its use is noted at most once a minute."""
        now = self._clock.now()
        async with self._db.tx(ctx.within(None)) as tx:
            place = await queries.place_of_key(tx, hashed)
            if place is None:
                return None
            await tx.become(self._db.role, place.organisation_id)
            row = await queries.live_key(tx, place.organisation_id, place.key_id, now)
            if row is None:
                return None
            if row.used_at is None or now - row.used_at >= STAMP_EVERY:
                await queries.stamp_key(tx, place.organisation_id, row.id, now, now - STAMP_EVERY)
        permissions = [p for p in row.permissions if p in rules.PERMISSIONS]
        return KnownKey(row.id, place.organisation_id, permissions, row.expires_at, row.limited_to)

    async def keys(self, ctx: Context, limit: int, cursor: str | None) -> Page[ApiKeyRow]:
        """Keys that were not revoked, newest first; never their secrets."""
        organisation = organisation_of(ctx)
        after = API_KEYS.decode(cursor)
        async with self._db.read(ctx) as tx:
            rows = await queries.keys(tx, organisation, after[0] if after else None, limit + 1)
        return API_KEYS.page(rows, limit, lambda row: (row.id,))

    async def make_key(
        self,
        ctx: Context,
        name: str,
        permissions: list[str],
        expires_at: datetime | None,
        limited_to: Reach = ANYWHERE,
    ) -> tuple[ApiKeyRow, str]:
        """A new key and its secret, which is shown once. Raises Invalid, Forbidden, Conflict beyond 100 keys."""
        organisation, now = organisation_of(ctx), self._clock.now()
        wanted = checked_permissions(ctx, permissions)
        if not wanted:
            raise Invalid.field("permissions", "a key that may nothing is of no use")
        if expires_at is not None and expires_at <= now:
            raise Invalid.field("expires_at", "lies in the past")
        reach = checked_reach(limited_to)
        secret = new_api_key()
        row = ApiKeyRow(new_id(), tidy_name(name), secret[:HINT_CHARS], wanted, ctx.account_id, now, expires_at, None, reach)
        async with self._db.tx(ctx) as tx:
            await self._refuse_limited(tx, ctx)
            await self._refuse_longer_than_own(tx, ctx, expires_at)
            await queries.lock_organisation(tx, organisation)
            if await queries.count_keys(tx, organisation) >= MAX_KEYS:
                raise Conflict(f"an organisation has at most {MAX_KEYS} keys; revoke one first")
            about = (row.name, row.hint, row.permissions, row.created_by)
            await queries.insert_key(tx, organisation, row.id, digest(secret), *about, now, expires_at, reach)
            emit(tx, ApiKeyCreated(organisation_id=organisation, key_id=row.id, permissions=wanted))
            if ctx.account_id is not None:
                await note(tx, ctx.account_id, SecurityKind.KEY_CREATED, now, row.name)
        return row, secret

    async def _refuse_longer_than_own(self, tx: Tx, ctx: Context, expires_at: datetime | None) -> None:
        """A key makes none that outlives it: else a day's right would be one for ever. Raises Invalid at `expires_at`."""
        if ctx.actor.key_id is None:
            return
        now = self._clock.now()
        own = await queries.live_key(tx, organisation_of(ctx), ctx.actor.key_id, now)
        end = now if own is None else own.expires_at
        if end is not None and (expires_at is None or expires_at > end):
            raise Invalid.field("expires_at", f"at the latest {end.isoformat()}, when the key that makes it expires")

    async def revoke_key(self, ctx: Context, key_id: UUID) -> None:
        """Raises NotFound."""
        organisation = organisation_of(ctx)
        async with self._db.tx(ctx) as tx:
            if not await queries.revoke_key(tx, organisation, key_id, self._clock.now()):
                raise NotFound
            emit(tx, ApiKeyRevoked(organisation_id=organisation, key_id=key_id))


def changes_of_role(before: RoleRow | None, after: RoleRow | None) -> tuple[Change, ...]:
    """What a role is called, may do and is limited to, as far as it changed; None where there is none."""

    def shown(row: RoleRow | None) -> dict[str, str]:
        if row is None:
            return {"name": "", "permissions": "", "limited_to": ""}
        limits = to_json(row.limited_to) if row.limited_to.limited else ""
        return {"name": to_json(row.name), "permissions": to_json(row.permissions), "limited_to": limits}

    was, now = shown(before), shown(after)
    return tuple(Change(field, was[field], now[field]) for field in was if was[field] != now[field])


def tidy_name(name: str) -> str:
    """Raises Invalid at `name` for one of blanks."""
    tidy = " ".join(name.split())
    if not tidy:
        raise Invalid.field("name", "must not be empty")
    return tidy


def role_name(name: str) -> str:
    """Raises Invalid at `name` for one of blanks, and for the name of a built-in role."""
    tidy = tidy_name(name)
    if fold(tidy) in [role.value for role in BuiltInRole]:
        raise Invalid.field("name", "is the name of a built-in role")
    return tidy


def checked_permissions(ctx: Context, permissions: list[str]) -> list[str]:
    """Sorted and without repetitions. Raises Invalid for unknown ones, Forbidden for more than the actor has."""
    unknown = rules.unknown_permissions(permissions)
    if unknown:
        faults = [FieldError("permissions", f"{name} is not a permission") for name in unknown[:5]]
        raise Invalid("there is no such permission", errors=faults)
    refuse_more_than_own(ctx, permissions)
    return sorted(set(permissions))


def name_taken(error: asyncpg.UniqueViolationError) -> Exception:
    """RoleNameTaken when that is what the constraint says; otherwise the error itself."""
    return RoleNameTaken() if constraint_of(error) == "role_name_key" else error
