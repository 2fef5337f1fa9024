"""Who is named as a guest: by account or by an address, which is kept as its owner would write it."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from email_validator import EmailNotValidError, validate_email

from forecourt.kernel.errors import Invalid
from forecourt.modules.booking.contract import NewInvitee


def checked_invitees(invitees: Sequence[NewInvitee], team_size: int) -> list[NewInvitee]:
    """With their addresses as they are kept; each by account or by address, and no more than there are places beside the
    booker's. Raises Invalid."""
    checked = [checked_invitee(invitee, f"invitees[{i}].") for i, invitee in enumerate(invitees)]
    if checked and len(checked) >= max(team_size, 1):
        raise Invalid.field("invitees", f"a party of {team_size} has room for {team_size - 1} guests")
    return checked


def checked_invitee(wish: NewInvitee, path: str) -> NewInvitee:
    """Raises Invalid for neither or both of account and address, and for no full address. `path` ends in a dot, or is empty."""
    if (wish.email is None) == (wish.account_id is None):
        raise Invalid.field(path.rstrip(".") or "email", "name an account or an e-mail address, one of the two")
    if wish.email is None:
        return wish
    try:
        email = validate_email(wish.email.strip(), check_deliverability=False, globally_deliverable=False).normalized
    except EmailNotValidError as e:
        raise Invalid.field(f"{path}email", str(e)) from None
    if "." not in email.rpartition("@")[2] or len(email) > 254:
        raise Invalid.field(f"{path}email", "not a full e-mail address, such as ada@example.org")
    return NewInvitee(email=email)


def folded(email: str) -> str:
    """The same for every way of writing an address."""
    return unicodedata.normalize("NFKC", email.strip()).casefold()
