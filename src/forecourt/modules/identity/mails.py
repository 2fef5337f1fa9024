"""The letters that identity has written: what is in them and where they lead. Their words are notifications' own, by language.

`ctx` is the request that causes one: its language is the reader's as long as they have chosen none.
"""

from __future__ import annotations

from datetime import UTC, datetime
from urllib.parse import quote
from uuid import UUID

from forecourt.kernel.context import Context
from forecourt.kernel.ids import new_id
from forecourt.modules.identity.queries.accounts import AccountRow
from forecourt.modules.notifications.contract import Letter, LetterKind


def confirm_address(ctx: Context, account: AccountRow, code: str, url: str, token: str) -> Letter:
    link = f"{url}/verify?token={quote(token)}"
    return _to(ctx, account, LetterKind.CONFIRM_ADDRESS, link, person=account.called, code=code)


def reset_password(ctx: Context, account: AccountRow, url: str, token: str) -> Letter:
    return _to(ctx, account, LetterKind.RESET_PASSWORD, f"{url}/reset?token={quote(token)}", person=account.called)


def address_taken(ctx: Context, account: AccountRow, url: str) -> Letter:
    return _to(ctx, account, LetterKind.ADDRESS_TAKEN, f"{url}/sign-in", person=account.called, reset_link=f"{url}/forgot")


def password_changed(ctx: Context, account: AccountRow, url: str) -> Letter:
    return _to(ctx, account, LetterKind.PASSWORD_CHANGED, f"{url}/forgot", person=account.called)


def invite_staff(ctx: Context, to: str, account_id: UUID | None, role: str, url: str, token: str) -> Letter:
    """`account_id` is the address's, if it has an account."""
    link = f"{url}/staff-invitations/{quote(token)}"
    return Letter(new_id(), to, LetterKind.INVITE_STAFF, link, {"role": role}, account_id, ctx.language)


def added_to_staff(ctx: Context, account: AccountRow, role: str, url: str, token: str, organisation_id: UUID) -> Letter:
    link = f"{url}/staff-invitations/{quote(token)}"
    people = f"{url}/orgs/{organisation_id}/people"
    return _to(ctx, account, LetterKind.ADDED_TO_STAFF, link, person=account.name, role=role, people_link=people)


def erasure_asked(ctx: Context, account: AccountRow, url: str, due: datetime) -> Letter:
    return _to(ctx, account, LetterKind.ERASURE_ASKED, f"{url}/account/data", person=account.called, date=_day(due))


def erasure_near(ctx: Context, account: AccountRow, url: str, due: datetime) -> Letter:
    return _to(ctx, account, LetterKind.ERASURE_NEAR, f"{url}/account/data", person=account.called, date=_day(due))


def erased(account: AccountRow, url: str, language: str) -> Letter:
    """The last one. It names no account, which nobody could ask for its language any more."""
    return Letter(new_id(), account.email, LetterKind.ERASED, url, {"person": account.called}, None, language)


def kept_as_owner(ctx: Context, account: AccountRow, url: str) -> Letter:
    return _to(ctx, account, LetterKind.KEPT_AS_OWNER, f"{url}/account/data", person=account.called)


def kept_as_admin(ctx: Context, account: AccountRow, url: str) -> Letter:
    return _to(ctx, account, LetterKind.KEPT_AS_ADMIN, f"{url}/account/data", person=account.called)


def _day(moment: datetime) -> str:
    return moment.astimezone(UTC).date().isoformat()


def _to(ctx: Context, account: AccountRow, kind: LetterKind, link: str, **values: str) -> Letter:
    return Letter(new_id(), account.email, kind, link, values, account.id, ctx.language)
