"""What other modules may know of identity: values, errors, events and the calls they may make."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Protocol
from uuid import UUID

from msgspec import Meta, Struct

from forecourt.kernel.context import Context
from forecourt.kernel.contracts import idempotent, stale_for
from forecourt.kernel.errors import Conflict, Invalid, Misconfigured, TooManyRequests, Unauthenticated
from forecourt.kernel.events import Event
from forecourt.kernel.http.dispatch import EmailUnconfirmed
from forecourt.kernel.http.gate import AccountClosed as AccountSuspended
from forecourt.kernel.reach import ANYWHERE, Reach
from forecourt.kernel.records import PersonalRecords

# --- words -----------------------------------------------------------------------------------------------------------

Email = Annotated[str, Meta(min_length=3, max_length=254, description="An e-mail address; case does not matter")]
Password = Annotated[str, Meta(min_length=1, max_length=128)]
PersonName = Annotated[str, Meta(min_length=1, max_length=100)]
Permission = Annotated[str, Meta(min_length=3, max_length=60, pattern=r"^[a-z_]+\.[a-z_]+$", description="`booking.cancel_any`")]
RoleName = Annotated[str, Meta(min_length=1, max_length=40)]
"""A built-in role (`owner`, `manager`, `agent`, `coach`, `viewer`) or the name of one of the organisation's own."""

MAX_PERMISSIONS = 100
CARDS_KEPT_S = 300
"""So old a card may be while identity is away (GW-3)."""
OWNER = "owner"


class AccountStatus(StrEnum):
    """`unconfirmed` may look, hold and edit itself (ID-1); `suspended` and `banned` may not sign in; `erased` is nobody."""

    UNCONFIRMED = "unconfirmed"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    BANNED = "banned"
    ERASED = "erased"

    @property
    def closed(self) -> bool:
        return self in (AccountStatus.SUSPENDED, AccountStatus.BANNED, AccountStatus.ERASED)


class SecurityKind(StrEnum):
    """What a security event tells its owner (ID-11)."""

    REGISTERED = "registered"
    LOGGED_IN = "logged_in"
    LOGIN_FAILED = "login_failed"
    LOCKED_OUT = "locked_out"
    NEW_DEVICE = "new_device"
    LOGGED_OUT_EVERYWHERE = "logged_out_everywhere"
    SESSION_ENDED = "session_ended"
    EMAIL_CONFIRMED = "email_confirmed"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - a word, not a password
    PASSWORD_RESET = "password_reset"  # noqa: S105
    TOKEN_REUSED = "token_reused"  # noqa: S105
    STATUS_CHANGED = "status_changed"
    KEY_CREATED = "key_created"
    PHONE_VERIFIED = "phone_verified"
    PHONE_REMOVED = "phone_removed"
    ERASURE_ASKED = "erasure_asked"
    ERASURE_TAKEN_BACK = "erasure_taken_back"
    ERASURE_OFF = "erasure_off"
    """The day came, and an organisation or the house had nobody else."""


# --- values ----------------------------------------------------------------------------------------------------------


class AccountCard(Struct, frozen=True):
    """An account as other modules show it."""

    id: UUID
    name: str
    email: str
    status: AccountStatus


class KeySet(Struct, frozen=True):
    """Public ES256 keys as a JWKS, each with its `kid`: the one that signs, the next one, and those whose tokens may live."""

    keys: list[dict[str, str]]


class AccountChange(Struct, frozen=True):
    """Tokens of the account issued before `revoked_before` are dead."""

    account_id: UUID
    at: datetime
    status: AccountStatus
    revoked_before: datetime | None


class RevokedSession(Struct, frozen=True):
    """No token of this session counts any more."""

    session_id: UUID
    at: datetime


class Revocations(Struct, frozen=True):
    """What ended or changed, up to `as_of`. With `more` it is a portion: ask again for what came after `as_of`."""

    changes: list[AccountChange]
    sessions: list[RevokedSession]
    as_of: datetime
    more: bool = False


class KnownKey(Struct, frozen=True):
    """A live API key and what it may do in its organisation. It counts within `limited_to` alone."""

    id: UUID
    organisation_id: UUID
    permissions: list[str]
    expires_at: datetime | None
    limited_to: Reach = ANYWHERE


class Standing(Struct, frozen=True):
    """What a person may do as staff, for a request that lies within every one of `limited_to`: their own and their role's."""

    permissions: list[str]
    limited_to: list[Reach]


class KnownSession(Struct, frozen=True):
    """A live browser session and whose it is."""

    session_id: UUID
    account_id: UUID
    name: str
    email: str
    status: AccountStatus
    platform_admin: bool
    expires_at: datetime
    erase_at: datetime | None = None
    """When the account will be erased, as its owner asked."""


# --- problems --------------------------------------------------------------------------------------------------------


class EmailTaken(Conflict):
    code = "email_taken"
    title = "There is already an account with this e-mail address"


class BadCredentials(Unauthenticated):
    """The same whether the account exists or not."""

    code = "bad_credentials"
    title = "E-mail address and password do not belong together"


class TokenReused(Unauthenticated):
    """A refresh token was used twice: one of the two was not its owner, so the whole session ends."""

    code = "token_reused"
    title = "This token was already used; sign in again"


class TokenInvalid(Unauthenticated):
    """A refresh token that is unknown, expired or whose session has ended."""

    code = "token_invalid"
    title = "This token is not valid; sign in again"


class LinkInvalid(Invalid):
    """A link's token that is unknown, used or expired."""

    code = "link_invalid"
    title = "This link was used or is too old; ask for a new one"


class CodeWrong(Invalid):
    """Wrong, expired, used or tried too often: which of them is not said."""

    code = "code_wrong"
    title = "This code is wrong or too old; ask for a new one"


class PhoneTaken(Conflict):
    """Said only to whoever has entered the code that went to the number."""

    code = "phone_taken"
    title = "This number belongs to another account; remove it there first"


class LockedOut(TooManyRequests):
    """Too many failed log-ins for this address, whether it has an account or not. `Retry-After` says when to come back."""

    code = "locked_out"
    title = "Too many failed attempts"


class SecretChanged(Misconfigured):
    """No signing key in the database opens with this process's FORECOURT_SECRET_KEY."""

    code = "secret_changed"
    title = "The signing keys in this database were sealed with another FORECOURT_SECRET_KEY"


class LastOwner(Conflict):
    code = "last_owner"
    title = "The last owner cannot leave; make somebody else owner first"


class LastAdmin(Conflict):
    code = "last_admin"
    title = "The last platform administrator cannot leave; make somebody else one first"


class RoleInUse(Conflict):
    code = "role_in_use"
    title = "Somebody still has this role"


class RoleNameTaken(Conflict):
    code = "role_name_taken"
    title = "There is already a role of this name"


class NotInvited(Conflict):
    """The invitation was sent to another address than the account's."""

    code = "not_invited"
    title = "This invitation is for another e-mail address"


# --- events: they carry ids, not addresses, names or secrets, because the log cannot forget -----------------------------


class Change(Struct, frozen=True):
    """One field before and after, as JSON text; empty where there was nothing, or is nothing any more. For audit."""

    field: str
    before: str
    after: str


class AccountRegistered(Event, frozen=True, name="account.registered"):
    account_id: UUID
    language: str = ""
    """What they read the pages in where they registered; empty when it was not on a page."""


class AccountConfirmed(Event, frozen=True, name="account.confirmed"):
    """The e-mail address is verified."""

    account_id: UUID


class AccountErased(Event, frozen=True, name="account.erased"):
    """Whoever asked to be erased is: 30 days have passed, and nobody has this id any more. Everybody forgets what they keep of
    them, but for numbers that must stay, which then belong to nobody (PE-8)."""

    account_id: UUID


class AccountStatusChanged(Event, frozen=True, name="account.status_changed"):
    account_id: UUID
    status: AccountStatus
    before: AccountStatus
    reason: str

    personal = ("reason",)


class SessionEnded(Event, frozen=True, name="account.session_ended"):
    """Log-out, revocation, theft or suspension. Sockets of the session close."""

    account_id: UUID
    session_id: UUID


class SecurityNoted(Event, frozen=True, name="security.noted"):
    """A security event was written; `detail` holds no secret."""

    account_id: UUID
    kind: SecurityKind
    detail: str = ""

    personal = ("detail",)


class PhoneVerified(Event, frozen=True, name="account.phone_verified"):
    """The person has shown that a phone number is theirs, the first or another one."""

    account_id: UUID


class PhoneRemoved(Event, frozen=True, name="account.phone_removed"):
    account_id: UUID


class StaffJoined(Event, frozen=True, name="staff.joined"):
    organisation_id: UUID
    account_id: UUID
    role: str


class StaffRoleChanged(Event, frozen=True, name="staff.role_changed"):
    organisation_id: UUID
    account_id: UUID
    role: str
    before: str


class StaffLimited(Event, frozen=True, name="staff.limited"):
    """The networks or hours that a member is limited to were changed."""

    organisation_id: UUID
    account_id: UUID
    changes: tuple[Change, ...] = ()

    personal = ("changes",)


class StaffLeft(Event, frozen=True, name="staff.left"):
    organisation_id: UUID
    account_id: UUID


class StaffInvited(Event, frozen=True, name="staff.invited"):
    organisation_id: UUID
    invitation_id: UUID
    role: str


class StaffUninvited(Event, frozen=True, name="staff.uninvited"):
    organisation_id: UUID
    invitation_id: UUID
    role: str


class RoleChanged(Event, frozen=True, name="role.changed"):
    """One of the organisation's own roles was made, edited or removed."""

    organisation_id: UUID
    role_id: UUID
    removed: bool = False
    changes: tuple[Change, ...] = ()


class ApiKeyCreated(Event, frozen=True, name="api_key.created"):
    organisation_id: UUID
    key_id: UUID
    permissions: list[str]


class ApiKeyRevoked(Event, frozen=True, name="api_key.revoked"):
    organisation_id: UUID
    key_id: UUID


# --- calls -----------------------------------------------------------------------------------------------------------


class AccountRecords(PersonalRecords, Protocol):
    """The account itself, its phone, sessions and security events, where the person is staff or invited to be, and the keys that
    they made."""


class Identity(Protocol):
    @idempotent
    async def key_set(self, ctx: Context) -> KeySet:
        """The keys that access tokens are checked with."""
        ...

    @idempotent
    async def revocations(self, ctx: Context, since: datetime | None) -> Revocations:
        """What ended after `since`; without it, or when it lies further back, within the last 20 minutes. The oldest first, in
        portions."""
        ...

    @idempotent
    async def api_key(self, ctx: Context, hashed: bytes) -> KnownKey | None:
        """The live key with this SHA-256. Notes its use, at most once a minute."""
        ...

    @idempotent
    async def session(self, ctx: Context, hashed: bytes) -> KnownSession | None:
        """The live browser session whose token has this SHA-256."""
        ...

    @idempotent
    async def standing(self, ctx: Context, account_id: UUID, organisation_id: UUID) -> Standing | None:
        """What the person may do there, and within which limits, which the caller judges; None for anyone who is not staff."""
        ...

    @idempotent
    async def workplaces(self, ctx: Context) -> list[UUID]:
        """The organisations that `ctx`'s person works for; at most 100. Raises Unauthenticated without a person."""
        ...

    @idempotent
    async def holders(self, ctx: Context, permission: str) -> list[UUID]:
        """Those of the staff of `ctx`'s organisation who hold the permission; at most 200. Asked by the house."""
        ...

    @idempotent
    async def status(self, ctx: Context, account_id: UUID) -> AccountStatus:
        """Raises NotFound."""
        ...

    @idempotent
    @stale_for(CARDS_KEPT_S)
    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        """In the order asked; unknown ids are left out, and so are erased accounts. At most 200 at once."""
        ...

    @idempotent
    async def account_by_email(self, ctx: Context, email: str) -> AccountCard | None:
        """For staff who book for somebody. The caller decides who may ask."""
        ...

    @idempotent
    async def phone(self, ctx: Context, account_id: UUID) -> str | None:
        """The person's verified number, E.164; None without one: texts go to no number that was not shown to be theirs (ID-1)."""
        ...

    async def proves(self, ctx: Context, password: str) -> None:
        """That `ctx`'s person knows their password, for what a session alone is not enough for.

        Raises BadCredentials, which counts like a failed log-in; LockedOut after too many; Unauthenticated without a person.
        """
        ...

    @idempotent
    async def adopt(self, ctx: Context, organisation_id: UUID) -> None:
        """Makes the person of `ctx` owner of an organisation that has no staff; otherwise does nothing.

        Raises Unauthenticated without a person.
        """
        ...


__all__ = [
    "MAX_PERMISSIONS",
    "OWNER",
    "AccountCard",
    "AccountChange",
    "AccountConfirmed",
    "AccountErased",
    "AccountRecords",
    "AccountRegistered",
    "AccountStatus",
    "AccountStatusChanged",
    "AccountSuspended",
    "ApiKeyCreated",
    "ApiKeyRevoked",
    "BadCredentials",
    "Change",
    "CodeWrong",
    "Email",
    "EmailTaken",
    "EmailUnconfirmed",
    "Identity",
    "KeySet",
    "KnownKey",
    "KnownSession",
    "LastAdmin",
    "LastOwner",
    "LinkInvalid",
    "LockedOut",
    "NotInvited",
    "Password",
    "Permission",
    "PersonName",
    "PhoneRemoved",
    "PhoneTaken",
    "PhoneVerified",
    "Reach",
    "Revocations",
    "RevokedSession",
    "RoleChanged",
    "RoleInUse",
    "RoleName",
    "RoleNameTaken",
    "SecretChanged",
    "SecurityKind",
    "SecurityNoted",
    "SessionEnded",
    "StaffInvited",
    "StaffJoined",
    "StaffLeft",
    "StaffLimited",
    "StaffRoleChanged",
    "StaffUninvited",
    "Standing",
    "TokenInvalid",
    "TokenReused",
]
