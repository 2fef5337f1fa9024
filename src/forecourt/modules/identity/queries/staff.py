"""SQL about staff, roles, invitations and API keys. Row security shows the organisation's rows, or where the person is staff."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query, Statement, Tx, to_json
from forecourt.kernel.reach import Reach

# --- staff -----------------------------------------------------------------------------------------------------------


class StaffRow(Struct, frozen=True):
    """`role`: a built-in role; otherwise what begins with `role_`, and `permissions`, are one of the organisation's own.

    `email` is empty for whom the organisation added and who has not agreed.
    """

    organisation_id: UUID
    account_id: UUID
    name: str
    email: str
    role: str | None
    role_id: UUID | None
    role_name: str | None
    permissions: list[str] | None
    joined_at: datetime
    version: int
    limited_to: Reach
    role_limited_to: Reach | None


LOCK_ORGANISATION = Statement("select pg_advisory_xact_lock(hashtextextended($1::uuid::text, 7310))")
ADOPT = Statement(
    "insert into identity.staff (organisation_id, account_id, role, joined_at) select $1, $2, 'owner', $3"
    " where not exists (select from identity.staff where organisation_id = $1)"
)
STAFF = Query(
    StaffRow,
    "select s.organisation_id, s.account_id, a.name, case when s.agreed then a.email else '' end, s.role, s.role_id, r.name,"
    " r.permissions, s.joined_at, s.version, s.limited_to, r.limited_to"
    " from identity.staff s join identity.account a on a.id = s.account_id"
    " left join identity.role r on r.organisation_id = s.organisation_id and r.id = s.role_id"
    " where s.organisation_id = $1 and ($2::uuid is null or s.account_id > $2) order by s.account_id limit $3",
)
MEMBER = Query(
    StaffRow,
    "select s.organisation_id, s.account_id, a.name, case when s.agreed then a.email else '' end, s.role, s.role_id, r.name,"
    " r.permissions, s.joined_at, s.version, s.limited_to, r.limited_to"
    " from identity.staff s join identity.account a on a.id = s.account_id"
    " left join identity.role r on r.organisation_id = s.organisation_id and r.id = s.role_id"
    " where s.organisation_id = $1 and s.account_id = $2",
)
# Where a person is staff. The names of an organisation's own roles are read under that organisation, one by one (MEMBER).
PLACES = Query(UUID, "select organisation_id from identity.staff where account_id = $1 order by organisation_id limit 100")
# Owners are locked in one order, so that of two who leave at the same time the second sees that the first is gone.
LOCK_OWNERS = Query(
    UUID,
    "select account_id from identity.staff where organisation_id = $1 and role = 'owner' order by account_id for update",
)
INSERT_STAFF = Statement(
    "insert into identity.staff (organisation_id, account_id, role, role_id, joined_at, limited_to, agreed)"
    " values ($1, $2, $3, $4, $5, $6::text::jsonb, $7)"
    " on conflict (organisation_id, account_id) do nothing"
)
AGREE = Statement("update identity.staff set agreed = true where organisation_id = $1 and account_id = $2")
SET_ROLE = Statement(
    "update identity.staff set role = $3, role_id = $4, limited_to = $6::text::jsonb, version = version + 1"
    " where organisation_id = $1 and account_id = $2 and version = $5"
)
DELETE_STAFF = Statement("delete from identity.staff where organisation_id = $1 and account_id = $2")


async def lock_organisation(tx: Tx, organisation_id: UUID) -> None:
    await tx.run(LOCK_ORGANISATION, organisation_id)


async def adopt(tx: Tx, organisation_id: UUID, account_id: UUID, at: datetime) -> bool:
    """False when there is staff already."""
    return await tx.run(ADOPT, organisation_id, account_id, at) == 1


async def staff(tx: Tx, organisation_id: UUID, after: UUID | None, limit: int) -> list[StaffRow]:
    return await tx.all(STAFF, organisation_id, after, limit)


async def member(tx: Tx, organisation_id: UUID, account_id: UUID) -> StaffRow | None:
    return await tx.maybe(MEMBER, organisation_id, account_id)


async def places(tx: Tx, account_id: UUID) -> list[UUID]:
    return await tx.all(PLACES, account_id)


async def lock_owners(tx: Tx, organisation_id: UUID) -> list[UUID]:
    return await tx.all(LOCK_OWNERS, organisation_id)


async def insert_staff(
    tx: Tx,
    organisation_id: UUID,
    account_id: UUID,
    role: str | None,
    role_id: UUID | None,
    limited_to: Reach,
    at: datetime,
    *,
    agreed: bool,
) -> bool:
    """`agreed`: whether the person had a say. False when they are staff already."""
    return await tx.run(INSERT_STAFF, organisation_id, account_id, role, role_id, at, to_json(limited_to), agreed) == 1


async def agree(tx: Tx, organisation_id: UUID, account_id: UUID) -> None:
    """From now on the organisation sees the person's address."""
    await tx.run(AGREE, organisation_id, account_id)


async def set_role(
    tx: Tx, organisation_id: UUID, account_id: UUID, role: str | None, role_id: UUID | None, limited_to: Reach, version: int
) -> bool:
    """False when somebody else changed the row since `version`."""
    return await tx.run(SET_ROLE, organisation_id, account_id, role, role_id, version, to_json(limited_to)) == 1


async def delete_staff(tx: Tx, organisation_id: UUID, account_id: UUID) -> bool:
    return await tx.run(DELETE_STAFF, organisation_id, account_id) == 1


# --- roles -----------------------------------------------------------------------------------------------------------


class RoleRow(Struct, frozen=True):
    id: UUID
    name: str
    permissions: list[str]
    limited_to: Reach
    version: int


INSERT_ROLE = Statement(
    "insert into identity.role (organisation_id, id, name, name_key, permissions, created_at, limited_to)"
    " values ($1, $2, $3, $4, $5, $6, $7::text::jsonb)"
)
ROLES = Query(
    RoleRow,
    "select id, name, permissions, limited_to, version from identity.role where organisation_id = $1"
    " and ($2::uuid is null or id > $2) order by id limit $3",
)
ROLE_BY_NAME = Query(
    RoleRow,
    "select id, name, permissions, limited_to, version from identity.role where organisation_id = $1 and name_key = $2 for share",
)
LOCK_ROLE = Query(
    RoleRow,
    "select id, name, permissions, limited_to, version from identity.role where organisation_id = $1 and id = $2 for update",
)
UPDATE_ROLE = Statement(
    "update identity.role set name = $3, name_key = $4, permissions = $5, limited_to = $6::text::jsonb, version = version + 1"
    " where organisation_id = $1 and id = $2"
)
DELETE_ROLE = Statement("delete from identity.role where organisation_id = $1 and id = $2")


async def insert_role(
    tx: Tx, organisation_id: UUID, id: UUID, name: str, name_key: str, permissions: list[str], limited_to: Reach, at: datetime
) -> None:
    await tx.run(INSERT_ROLE, organisation_id, id, name, name_key, permissions, at, to_json(limited_to))


async def roles(tx: Tx, organisation_id: UUID, after: UUID | None, limit: int) -> list[RoleRow]:
    return await tx.all(ROLES, organisation_id, after, limit)


async def role_by_name(tx: Tx, organisation_id: UUID, name_key: str) -> RoleRow | None:
    """The role, held so that it is not removed or widened while it is given to somebody."""
    return await tx.maybe(ROLE_BY_NAME, organisation_id, name_key)


async def lock_role(tx: Tx, organisation_id: UUID, id: UUID) -> RoleRow:
    return await tx.one(LOCK_ROLE, organisation_id, id)


async def update_role(
    tx: Tx, organisation_id: UUID, id: UUID, name: str, name_key: str, permissions: list[str], limited_to: Reach
) -> None:
    await tx.run(UPDATE_ROLE, organisation_id, id, name, name_key, permissions, to_json(limited_to))


async def delete_role(tx: Tx, organisation_id: UUID, id: UUID) -> None:
    await tx.run(DELETE_ROLE, organisation_id, id)


# --- invitations -----------------------------------------------------------------------------------------------------


class InvitationRow(Struct, frozen=True):
    id: UUID
    email: str
    email_key: str
    role: str | None
    role_id: UUID | None
    expires_at: datetime
    accepted_at: datetime | None
    limited_to: Reach
    invited_by: UUID | None


class OpenInvitation(Struct, frozen=True):
    """One that somebody may still accept; `role` as it is named."""

    id: UUID
    email: str
    email_key: str
    role: str
    expires_at: datetime
    limited_to: Reach


INSERT_INVITATION = Statement(
    "insert into identity.staff_invitation"
    " (organisation_id, id, email, email_key, role, role_id, token_hash, invited_by, created_at, expires_at, limited_to)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11::text::jsonb)"
)
DROP_INVITATIONS = Statement(
    "delete from identity.staff_invitation where organisation_id = $1 and email_key = $2 and accepted_at is null"
)
LOCK_INVITATION = Query(
    InvitationRow,
    "select id, email, email_key, role, role_id, expires_at, accepted_at, limited_to, invited_by from identity.staff_invitation"
    " where organisation_id = $1 and token_hash = $2 for update",
)
OPEN_INVITATION = Query(
    bool,
    "select exists (select 1 from identity.staff_invitation"
    " where organisation_id = $1 and token_hash = $2 and accepted_at is null and expires_at > $3)",
)
# Not those of whoever is on the staff: by theirs they agree, and until they do their address is not the organisation's to see.
_OPEN = (
    " where i.organisation_id = $1 and i.accepted_at is null and i.expires_at > $2 and not exists (select from identity.account a"
    " join identity.staff s on s.organisation_id = $1 and s.account_id = a.id where a.email_key = i.email_key)"
)
_OPEN_INVITATION = (
    "select i.id, i.email, i.email_key, coalesce(i.role, r.name), i.expires_at, i.limited_to from identity.staff_invitation i"
    " left join identity.role r on r.organisation_id = i.organisation_id and r.id = i.role_id"
)
OPEN_INVITATIONS = Query(OpenInvitation, _OPEN_INVITATION + _OPEN + " order by i.created_at desc, i.id limit $3")
INVITATION_STILL_OPEN = Query(OpenInvitation, _OPEN_INVITATION + _OPEN + " and i.id = $3")
ACCEPT_INVITATION = Statement("update identity.staff_invitation set accepted_at = $3 where organisation_id = $1 and id = $2")


async def replace_invitation(
    tx: Tx,
    organisation_id: UUID,
    id: UUID,
    email: str,
    email_key: str,
    role: str | None,
    role_id: UUID | None,
    token_hash: bytes,
    invited_by: UUID | None,
    limited_to: Reach,
    at: datetime,
    expires_at: datetime,
) -> None:
    """The newest invitation of an address replaces those before."""
    await tx.run(DROP_INVITATIONS, organisation_id, email_key)
    who = (email, email_key, role, role_id, token_hash, invited_by)
    await tx.run(INSERT_INVITATION, organisation_id, id, *who, at, expires_at, to_json(limited_to))


async def drop_invitations(tx: Tx, organisation_id: UUID, email_key: str) -> None:
    """Open ones only."""
    await tx.run(DROP_INVITATIONS, organisation_id, email_key)


async def open_invitations(tx: Tx, organisation_id: UUID, now: datetime, limit: int) -> list[OpenInvitation]:
    """The newest first."""
    return await tx.all(OPEN_INVITATIONS, organisation_id, now, limit)


async def invitation_still_open(tx: Tx, organisation_id: UUID, now: datetime, id: UUID) -> OpenInvitation:
    """Raises NotFound."""
    return await tx.one(INVITATION_STILL_OPEN, organisation_id, now, id)


async def lock_invitation(tx: Tx, organisation_id: UUID, token_hash: bytes) -> InvitationRow | None:
    return await tx.maybe(LOCK_INVITATION, organisation_id, token_hash)


async def is_open(tx: Tx, organisation_id: UUID, token_hash: bytes, now: datetime) -> bool:
    return await tx.one(OPEN_INVITATION, organisation_id, token_hash, now)


async def accept_invitation(tx: Tx, organisation_id: UUID, id: UUID, at: datetime) -> None:
    await tx.run(ACCEPT_INVITATION, organisation_id, id, at)


# --- API keys --------------------------------------------------------------------------------------------------------


class ApiKeyRow(Struct, frozen=True):
    id: UUID
    name: str
    hint: str
    permissions: list[str]
    created_by: UUID | None
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    limited_to: Reach


class KeyPlace(Struct, frozen=True):
    organisation_id: UUID
    key_id: UUID


INSERT_KEY = Statement(
    "insert into identity.api_key (organisation_id, id, name, hint, permissions, created_by, created_at, expires_at, limited_to)"
    " values ($1, $2, $3, $4, $5, $6, $7, $8, $9::text::jsonb)"
)
INSERT_PLACE = Statement("insert into identity.api_key_place (hash, organisation_id, key_id) values ($1, $2, $3)")
PLACE = Query(KeyPlace, "select organisation_id, key_id from identity.api_key_place where hash = $1")
LIVE_KEY = Query(
    ApiKeyRow,
    "select id, name, hint, permissions, created_by, created_at, expires_at, used_at, limited_to from identity.api_key"
    " where organisation_id = $1 and id = $2 and revoked_at is null and (expires_at is null or expires_at > $3)",
)
STAMP_KEY = Statement(
    "update identity.api_key set used_at = $3 where organisation_id = $1 and id = $2 and (used_at is null or used_at <= $4)"
)
KEYS = Query(
    ApiKeyRow,
    "select id, name, hint, permissions, created_by, created_at, expires_at, used_at, limited_to from identity.api_key"
    " where organisation_id = $1 and revoked_at is null and ($2::uuid is null or id < $2) order by id desc limit $3",
)
COUNT_KEYS = Query(int, "select count(*)::int from identity.api_key where organisation_id = $1 and revoked_at is null")
REVOKE_KEY = Statement(
    "update identity.api_key set revoked_at = $3 where organisation_id = $1 and id = $2 and revoked_at is null"
)
DELETE_PLACE = Statement("delete from identity.api_key_place where organisation_id = $1 and key_id = $2")


async def insert_key(
    tx: Tx,
    organisation_id: UUID,
    id: UUID,
    hashed: bytes,
    name: str,
    hint: str,
    permissions: list[str],
    created_by: UUID | None,
    at: datetime,
    expires_at: datetime | None,
    limited_to: Reach,
) -> None:
    await tx.run(INSERT_KEY, organisation_id, id, name, hint, permissions, created_by, at, expires_at, to_json(limited_to))
    await tx.run(INSERT_PLACE, hashed, organisation_id, id)


async def place_of_key(tx: Tx, hashed: bytes) -> KeyPlace | None:
    return await tx.maybe(PLACE, hashed)


async def live_key(tx: Tx, organisation_id: UUID, id: UUID, now: datetime) -> ApiKeyRow | None:
    return await tx.maybe(LIVE_KEY, organisation_id, id, now)


async def stamp_key(tx: Tx, organisation_id: UUID, id: UUID, at: datetime, unless_since: datetime) -> None:
    await tx.run(STAMP_KEY, organisation_id, id, at, unless_since)


async def keys(tx: Tx, organisation_id: UUID, after: UUID | None, limit: int) -> list[ApiKeyRow]:
    return await tx.all(KEYS, organisation_id, after, limit)


async def count_keys(tx: Tx, organisation_id: UUID) -> int:
    return await tx.one(COUNT_KEYS, organisation_id)


async def revoke_key(tx: Tx, organisation_id: UUID, id: UUID, at: datetime) -> bool:
    """False when there is no live key with this id."""
    if await tx.run(REVOKE_KEY, organisation_id, id, at) != 1:
        return False
    await tx.run(DELETE_PLACE, organisation_id, id)
    return True
