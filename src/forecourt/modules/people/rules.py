"""Who sees what of a profile, and which handles nobody may have. No I/O, no clock."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from forecourt.modules.people.contract import ProfileField, Visibility

DEFAULT_VISIBILITY: Mapping[ProfileField, Visibility] = MappingProxyType(
    {
        ProfileField.BIO: Visibility.MEMBERS,
        ProfileField.PHOTO: Visibility.PUBLIC,
        ProfileField.CITY: Visibility.MEMBERS,
        ProfileField.SPORTS: Visibility.MEMBERS,
        ProfileField.PREFERRED_TIMES: Visibility.PRIVATE,
        ProfileField.LANGUAGES: Visibility.MEMBERS,
    }
)

# Words that a visitor would take for the house itself, or that are addresses of pages.
RESERVED_HANDLES = frozenset(
    """about account admin administrator api app auth billing blog book booking bookings contact desk dev everyone forecourt
    frontdesk help here home host info legal login logout mail me media moderator news nobody null official owner page payments
    people platform postmaster press privacy register root security settings signup staff status support system team terms
    test undefined user users venue venues webmaster www you""".split()
)


def handle_key(handle: str) -> str:
    """The same for every way of writing a handle."""
    return handle.lower()


def reserved(handle: str) -> bool:
    return handle_key(handle) in RESERVED_HANDLES


def full_visibility(chosen: Mapping[ProfileField, Visibility]) -> dict[ProfileField, Visibility]:
    """What was chosen, and the defaults for the rest."""
    return {**DEFAULT_VISIBILITY, **chosen}


def visible(chosen: Mapping[ProfileField, Visibility], *, signed_in: bool) -> frozenset[ProfileField]:
    """The fields that somebody other than the owner sees."""
    audiences = {Visibility.PUBLIC, Visibility.MEMBERS} if signed_in else {Visibility.PUBLIC}
    return frozenset(field for field, audience in full_visibility(chosen).items() if audience in audiences)
