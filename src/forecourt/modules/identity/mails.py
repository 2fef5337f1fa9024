"""The mails that identity sends, as finished text. What must be found by eye or program comes first: the code, then the link."""

from __future__ import annotations

from urllib.parse import quote
from uuid import UUID

from forecourt.kernel.ids import new_id
from forecourt.modules.notifications.contract import Mail


def hello(name: str) -> str:
    """`name` is empty for whom nobody knows yet: else whoever types an address has the house write their words to it."""
    return f"Hello {name}," if name else "Hello,"


def confirm_address(to: str, name: str, code: str, url: str, token: str) -> Mail:
    link = f"{url}/verify?token={quote(token)}"
    return Mail(
        new_id(),
        to,
        f"{code} is your code",
        f"{hello(name)}\n\nyour code is {code}\n\nEnter it within 30 minutes, or open this link:\n{link}\n\n"
        "If you did not make an account, leave this mail alone: nothing happens.\n",
    )


def reset_password(to: str, name: str, url: str, token: str) -> Mail:
    link = f"{url}/reset?token={quote(token)}"
    return Mail(
        new_id(),
        to,
        "Choose a new password",
        f"{hello(name)}\n\nchoose a new password within one hour:\n{link}\n\n"
        "If you did not ask for this, leave this mail alone: your password stays as it is.\n",
    )


def address_taken(to: str, name: str, url: str) -> Mail:
    return Mail(
        new_id(),
        to,
        "You already have an account",
        f"{hello(name)}\n\nsomebody, perhaps you, tried to make an account with this address. It has one already.\n"
        f"Sign in: {url}/sign-in\nNew password: {url}/forgot\n\nIf it was not you, there is nothing to do.\n",
    )


def password_changed(to: str, name: str, url: str) -> Mail:
    return Mail(
        new_id(),
        to,
        "Your password was changed",
        f"{hello(name)}\n\nyour password was changed and every other session has ended.\n"
        f"If it was not you, choose a new one now: {url}/forgot\n",
    )


def invite_staff(to: str, role: str, url: str, token: str) -> Mail:
    link = f"{url}/staff-invitations/{quote(token)}"
    return Mail(
        new_id(),
        to,
        "You are invited to join the staff",
        f"Hello,\n\nyou are invited to join as {role}. Accept within seven days, signed in with this address:\n{link}\n",
    )


def added_to_staff(to: str, name: str, role: str, url: str, token: str, organisation_id: UUID) -> Mail:
    link = f"{url}/staff-invitations/{quote(token)}"
    return Mail(
        new_id(),
        to,
        "You were added to the staff of an organisation",
        f"Hello {name},\n\nan organisation made you part of its staff as {role}. It sees your name and not your address.\n\n"
        f"If that is right, say so within seven days, signed in with this address; it sees your address then:\n{link}\n\n"
        f"If it is not, leave: {url}/orgs/{organisation_id}/people\n",
    )
