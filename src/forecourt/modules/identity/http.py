"""Identity over HTTP: signing in, one's own account, staff of an organisation, platform admins."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated
from uuid import UUID

from msgspec import UNSET, Meta, Struct, UnsetType

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, TooManyRequests
from forecourt.kernel.http.dispatch import preferred_language
from forecourt.kernel.http.operation import (
    ADMIN,
    ANY_STAFF,
    CONFIRMED,
    PERSON,
    PUBLIC,
    Api,
    By,
    Limit,
    Reply,
    Request,
    delete,
    get,
    patch,
    post,
    staff,
)
from forecourt.kernel.paging import Page, Paged
from forecourt.kernel.reach import ANYWHERE, Reach
from forecourt.modules.identity.contract import (
    MAX_PERMISSIONS,
    AccountStatus,
    AccountSuspended,
    BadCredentials,
    CodeWrong,
    Email,
    EmailTaken,
    EmailUnconfirmed,
    KeySet,
    LastAdmin,
    LastOwner,
    LinkInvalid,
    LockedOut,
    NotInvited,
    Password,
    Permission,
    PersonName,
    PhoneTaken,
    RoleInUse,
    RoleName,
    RoleNameTaken,
    SecurityKind,
    TokenInvalid,
    TokenReused,
)
from forecourt.modules.identity.queries.accounts import AdminRow, AdminSecurityRow, SecurityRow, SecurityWanted, SessionRow
from forecourt.modules.identity.queries.staff import ApiKeyRow, RoleRow, StaffRow
from forecourt.modules.identity.rules import ROLE_PERMISSIONS, BuiltInRole
from forecourt.modules.identity.service import IdentityService
from forecourt.modules.identity.service.accounts import NewAccount
from forecourt.modules.identity.service.sessions import SessionKind, Tokens
from forecourt.modules.identity.service.staff import Invited, Place, permissions_of, role_label

Token = Annotated[str, Meta(min_length=1, max_length=200)]
Permissions = Annotated[list[Permission], Meta(max_length=MAX_PERMISSIONS)]
KeyName = Annotated[str, Meta(min_length=1, max_length=80)]

GUESSES = (Limit("30/minute", By.ADDRESS),)
MAILS = (Limit("10/minute", By.ADDRESS),)
REGISTRATIONS = (Limit("10/minute", By.ADDRESS), Limit("60/hour", By.ADDRESS))
TEXTS = (Limit("10/minute", By.ADDRESS),)
ERASURES = (Limit("10/minute", By.ACCOUNT),)
CODES = (Limit("20/minute", By.ACCOUNT),)
JWKS_MAX_AGE_S = 300


# --- what comes in ---------------------------------------------------------------------------------------------------


class Registration(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    password: Password
    name: PersonName


class Login(Struct, frozen=True, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=1, max_length=254)]
    password: Password


class RefreshToken(Struct, frozen=True, forbid_unknown_fields=True):
    refresh_token: Token


class Confirmation(Struct, frozen=True, forbid_unknown_fields=True):
    """Either the link's token, or the address and the code that was sent to it."""

    token: Token | None = None
    email: Annotated[str, Meta(min_length=1, max_length=254)] | None = None
    code: Annotated[str, Meta(min_length=6, max_length=6, pattern="^[0-9]{6}$")] | None = None


class NewPhone(Struct, frozen=True, forbid_unknown_fields=True):
    phone: Annotated[str, Meta(min_length=1, max_length=40, description="With + and the country code; spaces do not matter")]


class PhoneCode(Struct, frozen=True, forbid_unknown_fields=True):
    code: Annotated[str, Meta(min_length=6, max_length=6, pattern="^[0-9]{6}$")]


class Asking(Struct, frozen=True, forbid_unknown_fields=True):
    email: Annotated[str, Meta(min_length=1, max_length=254)]


class NewPassword(Struct, frozen=True, forbid_unknown_fields=True):
    token: Token
    password: Password


class ChangedPassword(Struct, frozen=True, forbid_unknown_fields=True):
    current_password: Password
    password: Password


class Erasure(Struct, frozen=True, forbid_unknown_fields=True):
    password: Password


class NewMember(Struct, frozen=True, forbid_unknown_fields=True):
    account_id: UUID
    role: RoleName
    limited_to: Reach = ANYWHERE


class OpenInvitations(Struct, frozen=True):
    items: list[Invited]


class Invitation(Struct, frozen=True, forbid_unknown_fields=True):
    email: Email
    role: RoleName
    limited_to: Reach = ANYWHERE


class MemberPatch(Struct, frozen=True, forbid_unknown_fields=True):
    role: RoleName | UnsetType = UNSET
    limited_to: Reach | UnsetType = UNSET


class NewRole(Struct, frozen=True, forbid_unknown_fields=True):
    name: RoleName
    permissions: Permissions
    limited_to: Reach = ANYWHERE


class RolePatch(Struct, frozen=True, forbid_unknown_fields=True):
    name: RoleName | UnsetType = UNSET
    permissions: Permissions | UnsetType = UNSET
    limited_to: Reach | UnsetType = UNSET


class NewKey(Struct, frozen=True, forbid_unknown_fields=True):
    name: KeyName
    permissions: Annotated[list[Permission], Meta(min_length=1, max_length=MAX_PERMISSIONS)]
    expires_at: Annotated[datetime, Meta(tz=True)] | None = None
    limited_to: Reach = ANYWHERE


class AccountsQuery(Paged, forbid_unknown_fields=True, kw_only=True):
    q: Annotated[str, Meta(max_length=100, description="Part of an address or a name")] | None = None
    status: AccountStatus | None = None


class SecurityQuery(Paged, forbid_unknown_fields=True, kw_only=True, rename={"from_": "from"}):
    """Times are half-open: from `from` until just before `to`."""

    account_id: UUID | None = None
    kind: SecurityKind | None = None
    from_: Annotated[datetime, Meta(tz=True)] | None = None
    to: Annotated[datetime, Meta(tz=True)] | None = None


class StatusPatch(Struct, frozen=True, forbid_unknown_fields=True):
    status: AccountStatus
    reason: Annotated[str, Meta(min_length=1, max_length=500)]


# --- what goes out ---------------------------------------------------------------------------------------------------


class Me(Struct, frozen=True):
    """The person and where it works.

    `phone` is the verified number, or without one the number that waits for its code; `phone_waiting` is a number that
    waits, a first one or another one.
    """

    id: UUID
    email: str
    name: str
    status: AccountStatus
    platform_admin: bool
    roles: list[Place]
    phone: str | None
    phone_verified: bool
    phone_waiting: str | None
    erase_at: datetime | None
    """When the account will be erased, as they asked."""


class ErasureView(Struct, frozen=True):
    erase_at: datetime
    """Until then it can be taken back."""


class SessionView(Struct, frozen=True):
    id: UUID
    kind: SessionKind
    address: str
    agent: str
    created_at: datetime
    used_at: datetime
    expires_at: datetime
    current: bool
    """True for the session that asks."""


class MemberView(Struct, frozen=True):
    """`limited_to` is the member's own; a role may have limits too, and both count.

    `email` is empty for who was added by account and has not accepted.
    """

    account_id: UUID
    name: str
    email: str
    role: str
    permissions: list[str]
    limited_to: Reach
    joined_at: datetime
    version: int


class RoleView(Struct, frozen=True):
    """`id` is null for built-in roles, which cannot be edited."""

    id: UUID | None
    name: str
    permissions: list[str]
    limited_to: Reach
    version: int


class NewKeyView(Struct, frozen=True):
    """A key just made. `key` is shown this once."""

    id: UUID
    name: str
    hint: str
    permissions: list[str]
    limited_to: Reach
    created_at: datetime
    expires_at: datetime | None
    key: str


def session_view(row: SessionRow, current: UUID | None) -> SessionView:
    return SessionView(
        row.id,
        SessionKind(row.kind),
        row.address,
        row.agent,
        row.created_at,
        row.used_at,
        row.expires_at,
        row.id == current,
    )


def member_view(row: StaffRow) -> MemberView:
    permissions = sorted(permissions_of(row))
    return MemberView(
        row.account_id, row.name, row.email, role_label(row), permissions, row.limited_to, row.joined_at, row.version
    )


def role_view(row: RoleRow) -> RoleView:
    return RoleView(row.id, row.name, row.permissions, row.limited_to, row.version)


BUILT_IN = [RoleView(None, role.value, sorted(ROLE_PERMISSIONS[role]), ANYWHERE, 1) for role in BuiltInRole]


# --- operations ------------------------------------------------------------------------------------------------------


class AuthApi(Api):
    tag = "Signing in"

    def __init__(self, service: IdentityService) -> None:
        self._service = service

    @post("/v1/auth/register", status=201, access=PUBLIC, limits=REGISTRATIONS, problems=(EmailTaken,))
    async def register(self, ctx: Context, body: Registration) -> Tokens:
        """Make an account and sign in.

        The account is `unconfirmed` until its address is verified by the code or the link in the mail.
        """
        return await self._service.persons.register(ctx, NewAccount(body.email, body.password, body.name))

    @post("/v1/auth/login", access=PUBLIC, limits=GUESSES, problems=(BadCredentials, LockedOut, AccountSuspended))
    async def log_in(self, ctx: Context, body: Login) -> Tokens:
        """Sign in.

        The answer to a wrong password is the same whether the account exists or not. Ten failures lock for 15 minutes.
        """
        return await self._service.persons.log_in(ctx, body.email, body.password)

    @post("/v1/auth/refresh", access=PUBLIC, limits=(Limit("120/minute", By.ADDRESS),), problems=(TokenReused, TokenInvalid))
    async def refresh(self, ctx: Context, body: RefreshToken) -> Tokens:
        """New tokens for a refresh token, which is spent by this.

        A refresh token that comes a second time ends its session: refresh once, and share the answer.
        """
        return await self._service.sessions.refresh(ctx, body.refresh_token)

    @post("/v1/auth/logout", status=204, access=PUBLIC)
    async def log_out(self, ctx: Context, body: RefreshToken) -> None:
        """End the session of a refresh token."""
        await self._service.sessions.log_out(ctx, body.refresh_token, SessionKind.TOKEN)

    @post("/v1/auth/logout-all", status=204, access=PERSON)
    async def log_out_everywhere(self, ctx: Context) -> None:
        """End every session of the account, this one included."""
        await self._service.sessions.end_all(ctx)

    @post("/v1/auth/verify-email", status=204, access=PUBLIC, limits=GUESSES, problems=(LinkInvalid, CodeWrong))
    async def confirm(self, ctx: Context, body: Confirmation) -> None:
        """Verify an address by the link's token, or by address and code."""
        match body:
            case Confirmation(token=str(token), email=None, code=None):
                await self._service.persons.confirm_by_link(ctx, token)
            case Confirmation(token=None, email=str(email), code=str(code)):
                await self._service.persons.confirm_by_code(ctx, email, code)
            case _:
                raise Invalid.field("token", "give either token, or email and code")

    @post("/v1/auth/verify-email/resend", status=202, access=PUBLIC, limits=MAILS)
    async def ask_for_code(self, ctx: Context, body: Asking) -> None:
        """Send a new code. Always 202."""
        await self._service.persons.ask_for_code(ctx, body.email)

    @post("/v1/auth/forgot-password", status=202, access=PUBLIC, limits=MAILS)
    async def ask_for_reset(self, ctx: Context, body: Asking) -> None:
        """Send a link to choose a new password. Always 202."""
        await self._service.persons.ask_for_reset(ctx, body.email)

    @post("/v1/auth/reset-password", status=204, access=PUBLIC, limits=GUESSES, problems=(LinkInvalid,))
    async def reset_password(self, ctx: Context, body: NewPassword) -> None:
        """Choose a new password by the link's token. Every session ends."""
        await self._service.persons.reset_password(ctx, body.token, body.password)

    @post("/v1/auth/change-password", status=204, limits=(Limit("10/minute", By.ACCOUNT),), problems=(LockedOut,))
    async def change_password(self, ctx: Context, body: ChangedPassword) -> None:
        """Change the password. Every other session ends."""
        await self._service.persons.change_password(ctx, body.current_password, body.password)

    @get("/.well-known/jwks.json", access=PUBLIC)
    async def keys(self, ctx: Context) -> Reply[KeySet]:
        """Public keys that access tokens are signed with."""
        found = await self._service.key_set(ctx)
        return Reply(found, headers={"Cache-Control": f"public, max-age={JWKS_MAX_AGE_S}"})


class MeApi(Api):
    tag = "My account"

    def __init__(self, service: IdentityService) -> None:
        self._service = service

    @get("/v1/me")
    async def me(self, ctx: Context) -> Me:
        """The account, and its roles per organisation."""
        mine = await self._service.oneself(ctx)
        card, phone = mine.card, mine.numbers
        return Me(
            card.id,
            card.email,
            card.name,
            card.status,
            ctx.actor.platform_admin,
            mine.places,
            phone.verified or phone.waiting,
            phone.verified is not None,
            phone.waiting,
            mine.erase_at,
        )

    @post("/v1/me/phone", status=202, limits=TEXTS, problems=(TooManyRequests,))
    async def give_phone(self, ctx: Context, body: NewPhone, request: Request) -> None:
        """Give a phone number, or ask for another code.

        A six-digit code goes there as a text and works for 10 minutes; one sent before is void. A number that is verified
        stays until the new one is. At most five texts an hour.
        """
        await self._service.phones.ask_for_code(ctx, body.phone, preferred_language(request.header("accept-language")))

    @post("/v1/me/phone/verify", status=204, limits=CODES, problems=(CodeWrong, PhoneTaken))
    async def verify_phone(self, ctx: Context, body: PhoneCode) -> None:
        """Show by the code that the number is one's own. A code is good for five tries; a number belongs to one account."""
        await self._service.phones.confirm(ctx, body.code)

    @delete("/v1/me/phone", status=204)
    async def remove_phone(self, ctx: Context) -> None:
        """Remove the number, and one that waits for its code. Without a number there is nothing to do."""
        await self._service.phones.remove(ctx)

    @post("/v1/me/erase", status=202, limits=ERASURES, problems=(LockedOut, LastOwner, LastAdmin))
    async def ask_for_erasure(self, ctx: Context, body: Erasure) -> ErasureView:
        """Ask to be erased, thirty days from now; asked again, the day stays.

        Until then the account works as before, and the wish can be taken back. On the day upcoming bookings are cancelled by the
        rules of their places, credits are lost, and what says who the person was is removed; figures stay without a name.

        A wrong password counts like a failed log-in. `last_owner` carries `organisation_ids`: somebody else has to be made owner
        of these first.
        """
        return ErasureView(await self._service.erasing.ask(ctx, body.password))

    @delete("/v1/me/erase", status=204)
    async def keep_account(self, ctx: Context) -> None:
        """Keep the account after all. Without a wish there is nothing to do."""
        await self._service.erasing.take_back(ctx)

    @get("/v1/me/sessions")
    async def sessions(self, ctx: Context, query: Paged) -> Page[SessionView]:
        """Where the account is signed in, newest first."""
        page = await self._service.sessions.mine(ctx, query.limit, query.cursor)
        return page.map(lambda row: session_view(row, ctx.actor.session_id))

    @delete("/v1/me/sessions/{id}", status=204, problems=(NotFound,))
    async def end_session(self, ctx: Context, id: UUID) -> None:
        """End one session. Its tokens stop working within seconds."""
        await self._service.sessions.end(ctx, id)

    @get("/v1/me/security-events")
    async def security_events(self, ctx: Context, query: Paged) -> Page[SecurityRow]:
        """What happened to the account's security, newest first."""
        return await self._service.sessions.security_events(ctx, query.limit, query.cursor)


class StaffApi(Api):
    tag = "Staff and keys"

    def __init__(self, service: IdentityService) -> None:
        self._staff = service.staff

    @get("/v1/orgs/{org_id}/staff", access=staff("staff.read"))
    async def members(self, ctx: Context, org_id: UUID, query: Paged) -> Page[MemberView]:
        """Who works here."""
        return (await self._staff.list(ctx, query.limit, query.cursor)).map(member_view)

    @post(
        "/v1/orgs/{org_id}/staff",
        status=201,
        access=staff("staff.manage"),
        limits=(Limit("60/hour", By.ACCOUNT),),
        problems=(Conflict, Forbidden, NotFound, EmailUnconfirmed),
    )
    async def add(self, ctx: Context, org_id: UUID, body: NewMember) -> MemberView:
        """Add an account to the staff at once. To invite somebody by e-mail, use invitations.

        The person is told by mail, and may leave. Their `email` stays empty until they accepted by the link in it.
        """
        return member_view(await self._staff.add(ctx, body.account_id, body.role, body.limited_to))

    @post(
        "/v1/orgs/{org_id}/staff/invitations",
        status=201,
        access=staff("staff.manage"),
        limits=(Limit("60/hour", By.ACCOUNT),),
        problems=(Forbidden, EmailUnconfirmed),
    )
    async def invite(self, ctx: Context, org_id: UUID, body: Invitation) -> Invited:
        """Invite somebody by e-mail. The link works for seven days, for that address."""
        return await self._staff.invite(ctx, body.email, body.role, body.limited_to)

    @get("/v1/orgs/{org_id}/staff/invitations", access=staff("staff.manage"))
    async def invitations(self, ctx: Context, org_id: UUID) -> OpenInvitations:
        """The invitations that somebody may still accept, the newest first."""
        return OpenInvitations(list(await self._staff.open_invitations(ctx)))

    @post(
        "/v1/orgs/{org_id}/staff/invitations/{invitation_id}/resend",
        access=staff("staff.manage"),
        limits=(Limit("60/hour", By.ACCOUNT),),
        problems=(Forbidden, NotFound, EmailUnconfirmed),
    )
    async def invite_again(self, ctx: Context, org_id: UUID, invitation_id: UUID) -> Invited:
        """Send an open invitation anew. It has another id and another link, for seven days; the link of before opens nothing."""
        return await self._staff.invite_again(ctx, invitation_id)

    @delete(
        "/v1/orgs/{org_id}/staff/invitations/{invitation_id}",
        status=204,
        access=staff("staff.manage"),
        problems=(Forbidden, NotFound),
    )
    async def uninvite(self, ctx: Context, org_id: UUID, invitation_id: UUID) -> None:
        """Take an open invitation back: its link opens nothing any more."""
        await self._staff.uninvite(ctx, invitation_id)

    @post("/v1/staff-invitations/{token}/accept", access=CONFIRMED, problems=(LinkInvalid, NotInvited))
    async def accept(self, ctx: Context, token: str) -> Place:
        """Join the staff by the token of an invitation to one's own address."""
        return await self._staff.accept(ctx, token)

    @patch(
        "/v1/orgs/{org_id}/staff/{account_id}",
        access=staff("staff.manage"),
        problems=(LastOwner, Forbidden, NotFound, PreconditionFailed),
    )
    async def change_role(
        self, ctx: Context, org_id: UUID, account_id: UUID, body: MemberPatch, if_match: int | None
    ) -> MemberView:
        """Give somebody another role, or other limits: networks and hours to which the role is limited; `{}` lifts them.

        Nobody gives or takes more than they have themselves, changes their own limits, or gives anything while limited.
        """
        role = None if body.role is UNSET else body.role
        limited_to = None if body.limited_to is UNSET else body.limited_to
        return member_view(await self._staff.change_role(ctx, account_id, role, if_match, limited_to))

    @delete("/v1/orgs/{org_id}/staff/{account_id}", status=204, access=ANY_STAFF, problems=(LastOwner, Forbidden, NotFound))
    async def remove(self, ctx: Context, org_id: UUID, account_id: UUID) -> None:
        """Remove somebody from the staff, or leave. The last owner cannot leave."""
        await self._staff.remove(ctx, account_id)

    @get("/v1/orgs/{org_id}/roles", access=staff("staff.read"))
    async def roles(self, ctx: Context, org_id: UUID, query: Paged) -> Page[RoleView]:
        """Roles that can be given.

        The first page begins with the built-in ones, on top of `limit` of the organisation's own.
        """
        page = (await self._staff.roles(ctx, query.limit, query.cursor)).map(role_view)
        return page if query.cursor else Page([*BUILT_IN, *page.items], page.next_cursor)

    @post("/v1/orgs/{org_id}/roles", status=201, access=staff("staff.manage"), problems=(RoleNameTaken, Forbidden))
    async def define_role(self, ctx: Context, org_id: UUID, body: NewRole) -> RoleView:
        """Define a role of the organisation's own, if wanted limited to networks and hours."""
        return role_view(await self._staff.define_role(ctx, body.name, body.permissions, body.limited_to))

    @patch(
        "/v1/orgs/{org_id}/roles/{id}",
        access=staff("staff.manage"),
        problems=(RoleNameTaken, Forbidden, NotFound, PreconditionFailed),
    )
    async def edit_role(self, ctx: Context, org_id: UUID, id: UUID, body: RolePatch, if_match: int | None) -> RoleView:
        """Edit a role; everybody who has it is affected at once."""
        name = None if body.name is UNSET else body.name
        permissions = None if body.permissions is UNSET else body.permissions
        limited_to = None if body.limited_to is UNSET else body.limited_to
        return role_view(await self._staff.edit_role(ctx, id, name, permissions, if_match, limited_to))

    @delete("/v1/orgs/{org_id}/roles/{id}", status=204, access=staff("staff.manage"), problems=(RoleInUse, Forbidden, NotFound))
    async def remove_role(self, ctx: Context, org_id: UUID, id: UUID) -> None:
        """Remove a role that nobody has."""
        await self._staff.remove_role(ctx, id)

    @get("/v1/orgs/{org_id}/api-keys", access=staff("keys.manage"))
    async def api_keys(self, ctx: Context, org_id: UUID, query: Paged) -> Page[ApiKeyRow]:
        """Keys in use, newest first."""
        return await self._staff.keys(ctx, query.limit, query.cursor)

    @post("/v1/orgs/{org_id}/api-keys", status=201, access=staff("keys.manage"), problems=(Forbidden, Conflict))
    async def make_key(self, ctx: Context, org_id: UUID, body: NewKey) -> NewKeyView:
        """Make a key. It is shown once, and may at most what its maker may; outside its limits it is refused with 401."""
        row, key = await self._staff.make_key(ctx, body.name, body.permissions, body.expires_at, body.limited_to)
        return NewKeyView(row.id, row.name, row.hint, row.permissions, row.limited_to, row.created_at, row.expires_at, key)

    @delete("/v1/orgs/{org_id}/api-keys/{id}", status=204, access=staff("keys.manage"), problems=(NotFound,))
    async def revoke_key(self, ctx: Context, org_id: UUID, id: UUID) -> None:
        """Revoke a key. It stops working within seconds."""
        await self._staff.revoke_key(ctx, id)


class AccountsAdminApi(Api):
    tag = "Platform"

    def __init__(self, service: IdentityService) -> None:
        self._service = service

    @get("/v1/admin/accounts", access=ADMIN)
    async def accounts(self, ctx: Context, query: AccountsQuery) -> Page[AdminRow]:
        """Accounts, newest first."""
        return await self._service.persons.list(ctx, query.q, query.status, query.limit, query.cursor)

    @patch("/v1/admin/accounts/{id}", access=ADMIN, problems=(NotFound, Conflict))
    async def set_status(self, ctx: Context, id: UUID, body: StatusPatch) -> AdminRow:
        """Suspend, ban or reinstate an account. Suspension ends its sessions and sockets within seconds.

        What was erased stays it, and nobody erases but the person: `erased` is no status to set.
        """
        return await self._service.persons.set_status(ctx, id, body.status, body.reason)

    @get("/v1/admin/security-events", access=ADMIN)
    async def security_events(self, ctx: Context, query: SecurityQuery) -> Page[AdminSecurityRow]:
        """What happened to the security of accounts in the last year, newest first."""
        wanted = SecurityWanted(account_id=query.account_id, kind=query.kind, start=query.from_, end=query.to)
        return await self._service.sessions.all_security_events(ctx, wanted, query.limit, query.cursor)


__all__ = ["AccountsAdminApi", "AuthApi", "MeApi", "StaffApi"]
