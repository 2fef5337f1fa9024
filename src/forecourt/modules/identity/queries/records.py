"""SQL about all that identity keeps of one person, for that person. Digests and other secrets are left out."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from msgspec import Struct

from forecourt.kernel.db import Query
from forecourt.kernel.reach import Reach
from forecourt.modules.identity.queries.accounts import SecurityRow


class OwnAccount(Struct, frozen=True):
    id: UUID
    email: str
    name: str
    status: str
    status_reason: str
    platform_admin: bool
    created_at: datetime
    erase_at: datetime | None


class OwnNumber(Struct, frozen=True):
    """`verified_at` is null for a number that waits for its code."""

    number: str
    verified_at: datetime | None


class OwnSession(Struct, frozen=True):
    id: UUID
    kind: str
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    ended_at: datetime | None


class OwnPlace(Struct, frozen=True):
    organisation_id: UUID
    role: str
    joined_at: datetime
    agreed: bool
    limited_to: Reach


class OwnInvitation(Struct, frozen=True):
    """To the staff of an organisation."""

    organisation_id: UUID
    id: UUID
    email: str
    role: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


class OwnKey(Struct, frozen=True):
    organisation_id: UUID
    id: UUID
    name: str
    permissions: list[str]
    created_at: datetime
    expires_at: datetime | None
    used_at: datetime | None
    revoked_at: datetime | None


# Each: `$1` the person, `$2`… the key of the row before, null at first, and last how many.
OWN_ACCOUNT = Query(
    OwnAccount,
    "select a.id, a.email, a.name, a.status, a.status_reason, a.platform_admin, a.created_at, a.erase_at from identity.account a"
    " where a.id = $1 and a.status <> 'erased' and ($2::uuid is null or a.id > $2) order by a.id limit $3",
)
OWN_NUMBERS = Query(
    OwnNumber,
    "select n.number, n.verified_at from (select p.number, p.verified_at from identity.phone p where p.account_id = $1"
    " union all select c.number, null from identity.phone_challenge c where c.account_id = $1) n"
    " where ($2::text is null or n.number > $2) order by n.number limit $3",
)
OWN_SESSIONS = Query(
    OwnSession,
    "select s.id, s.kind, s.address, s.agent, s.created_at, s.used_at, s.expires_at, s.ended_at from identity.session s"
    " where s.account_id = $1 and ($2::uuid is null or s.id > $2) order by s.id limit $3",
)
OWN_EVENTS = Query(
    SecurityRow,
    "select e.id, e.kind, e.detail, e.address, e.agent, e.at from identity.security_event e"
    " where e.account_id = $1 and ($2::uuid is null or e.id > $2) order by e.id limit $3",
)
OWN_PLACES = Query(
    OwnPlace,
    "select s.organisation_id, coalesce(s.role, r.name, ''), s.joined_at, s.agreed, s.limited_to from identity.staff s"
    " left join identity.role r on r.organisation_id = s.organisation_id and r.id = s.role_id"
    " where s.account_id = $1 and ($2::uuid is null or s.organisation_id > $2) order by s.organisation_id limit $3",
)
# Row security shows the invitations to the address that the person has shown to be theirs.
OWN_INVITATIONS = Query(
    OwnInvitation,
    "select i.organisation_id, i.id, i.email, coalesce(i.role, r.name, ''), i.created_at, i.expires_at, i.accepted_at"
    " from identity.staff_invitation i join identity.account a on a.email_key = i.email_key"
    " left join identity.role r on r.organisation_id = i.organisation_id and r.id = i.role_id"
    " where a.id = $1 and ($2::uuid is null or (i.organisation_id, i.id) > ($2, $3::uuid))"
    " order by i.organisation_id, i.id limit $4",
)
OWN_KEYS = Query(
    OwnKey,
    "select k.organisation_id, k.id, k.name, k.permissions, k.created_at, k.expires_at, k.used_at, k.revoked_at"
    " from identity.api_key k where k.created_by = $1"
    " and ($2::uuid is null or (k.organisation_id, k.id) > ($2, $3::uuid)) order by k.organisation_id, k.id limit $4",
)
