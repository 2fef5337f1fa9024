"""What roles may do, who may give which role, and when counters and keys change. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import msgspec

from forecourt.modules.identity.contract import OWNER, AccountStatus


class BuiltInRole(StrEnum):
    """Roles that every organisation has (ID-7)."""

    OWNER = OWNER
    MANAGER = "manager"
    AGENT = "agent"
    COACH = "coach"
    VIEWER = "viewer"


# Every permission there is, with what it allows. An operation may only ask for one of these (tests hold that).
PERMISSIONS: Mapping[str, str] = MappingProxyType(
    {
        "analytics.read": "See figures and reports",
        "audit.read": "Read the audit trail",
        "booking.approve": "Approve or decline bookings that need it",
        "booking.block": "Block places",
        "booking.cancel_any": "Cancel anybody's booking",
        "booking.check_in": "Check guests in and out, note who did not come",
        "booking.create_any": "Book for somebody else",
        "booking.read_any": "See all bookings",
        "booking.update_any": "Change anybody's booking",
        "chat.manage_channels": "Make the organisation's channels",
        "classes.manage": "Plan classes and their seats",
        "community.post": "Speak for the organisation",
        "frontdesk.answer": "Answer guests",
        "frontdesk.manage": "Set up the front desk and its approvals, budgets and goals",
        "frontdesk.read": "Read conversations",
        "keys.manage": "Make and revoke API keys",
        "memberships.manage": "Set up plans and groups",
        "memberships.read": "See members and subscriptions",
        "moderation.decide": "Decide on reports",
        "notifications.manage": "Edit templates, campaigns and deliveries",
        "payments.grant_credits": "Give credits",
        "payments.manage": "Set up credit packs, promo codes and providers",
        "payments.read": "See payments, invoices and the ledger",
        "payments.refund": "Refund payments",
        "people.clear_health": "Clear health answers that were flagged",
        "people.review_professionals": "Approve coaches and other professionals",
        "staff.manage": "Invite, change and remove staff, edit roles",
        "staff.manage_owners": "Make and unmake owners",
        "staff.read": "See who works here",
        "support.manage": "Edit articles",
        "support.escalate": "Take and move escalations",
        "tournaments.manage": "Run tournaments",
        "venues.edit": "Edit the organisation, its places, things, hours and prices",
        "venues.manage_access": "Give and take access, note inductions",
        "webhooks.manage": "Set up webhooks",
    }
)

_EVERYTHING = frozenset(PERMISSIONS)
_READING = frozenset({"analytics.read", "booking.read_any", "frontdesk.read", "memberships.read", "payments.read", "staff.read"})
_AGENT = _READING - {"analytics.read", "payments.read"} | {
    "booking.approve", "booking.block", "booking.cancel_any", "booking.check_in", "booking.create_any", "booking.update_any",
    "frontdesk.answer", "support.escalate", "venues.manage_access",
}  # fmt: skip
ROLE_PERMISSIONS: Mapping[BuiltInRole, frozenset[str]] = MappingProxyType(
    {
        BuiltInRole.OWNER: _EVERYTHING,
        BuiltInRole.MANAGER: _EVERYTHING - {"staff.manage_owners"},
        BuiltInRole.AGENT: _AGENT,
        BuiltInRole.COACH: frozenset({"booking.read_any", "booking.check_in", "classes.manage", "staff.read"}),
        BuiltInRole.VIEWER: _READING,
    }
)


def unknown_permissions(wanted: Iterable[str]) -> list[str]:
    """Those of `wanted` that do not exist."""
    return sorted(set(wanted) - _EVERYTHING)


def may_grant(own: frozenset[str], granted: Iterable[str]) -> bool:
    """Nobody gives, or takes away, more than they have."""
    return own >= frozenset(granted)


# --- log-in ----------------------------------------------------------------------------------------------------------

MAX_FAILURES = 10
FAILURE_WINDOW = timedelta(minutes=15)
CODE_TRIES = 5
CODE_TTL = timedelta(minutes=30)
RESET_TTL = timedelta(hours=1)
ACCESS_TTL = timedelta(minutes=15)
REFRESH_TTL = timedelta(days=7)
BROWSER_TTL = timedelta(days=14)
INVITATION_TTL = timedelta(days=7)
REVOCATIONS_KEPT = timedelta(minutes=20)
"""Longer than an access token lives, and some skew of clocks."""
REVOCATIONS_AT_ONCE = 10_000
"""Of accounts, and of sessions, in one portion."""
SECURITY_EVENTS_KEPT = timedelta(days=365)
"""Row security lets nothing younger be removed (migration 0003)."""
SESSIONS_KEPT = timedelta(days=90)
"""After the time at which a session would have ended at the latest: so long a device is known again. Row security lets nothing
younger be removed by the house (migration 0008)."""
MAX_SESSIONS = 200
"""Live sessions of one account; the one not used for longest makes room."""
NOTE_USE_EVERY = timedelta(minutes=15)
"""Of a browser's session; one of tokens is noted when it is refreshed, which is as often."""
MAILS_PER_HOUR = 5
GRACE = timedelta(days=30)
"""Between asking to be erased and being it."""
REMINDED_BEFORE = timedelta(days=3)
SWEPT_AFTER = timedelta(minutes=10)
"""Longer than a request takes: what one that was under way wrote of somebody just erased is removed after that."""
PHONE_CODE_TTL = timedelta(minutes=10)
TEXTS_PER_HOUR = 5


def locked(failures: int, until: datetime | None, now: datetime) -> int:
    """Whole seconds until log-in is possible again; 0 when it is."""
    if until is None or until <= now or failures < MAX_FAILURES:
        return 0
    return max(1, -int((now - until).total_seconds() // 1))


def status_after_proof(status: AccountStatus) -> AccountStatus:
    """What an account becomes when its owner has shown to read its mail."""
    return AccountStatus.ACTIVE if status is AccountStatus.UNCONFIRMED else status


# --- signing keys ----------------------------------------------------------------------------------------------------

SIGNS = timedelta(days=30)
PUBLISHED_AHEAD = timedelta(days=1)


class KeySpan(msgspec.Struct, frozen=True):
    """When a key signs, and until when tokens it signed may be alive."""

    signs_from: datetime
    signs_until: datetime
    verifies_until: datetime


def next_span(last_signs_until: datetime | None, now: datetime, *, signs_now: bool) -> KeySpan | None:
    """The span of the key to make now; None when the keys there are will do.

    `signs_now`: one of them signs at this moment. A key is published a day before it signs; without any that signs, one is
    made that signs at once.
    """
    if not signs_now or last_signs_until is None:
        begin = now
    elif last_signs_until - now > PUBLISHED_AHEAD:
        return None
    else:
        begin = last_signs_until
    return KeySpan(begin, begin + SIGNS, begin + SIGNS + 4 * ACCESS_TTL)
