"""Where the bars lead. Kept in one place so that a page builder changes an address once.

Paths may hold `{org}`, the organisation the person is working in.
"""

from __future__ import annotations

import msgspec


class NavItem(msgspec.Struct, frozen=True):
    """One entry: `label` is a key of the text catalogue. `count` names the counter of PageContext.counts it shows.

    With a `permission` only those of the staff see it who hold it.
    """

    label: str
    path: str
    icon: str
    count: str = ""
    permission: str = ""


class NavSection(msgspec.Struct, frozen=True):
    """Entries under a label (a key of the catalogue, empty for none)."""

    label: str
    items: tuple[NavItem, ...]


class Navigation(msgspec.Struct, frozen=True):
    """The four bars: visitors' header, a signed-in person's side bar, the staff side bar, and the two phone tab bars."""

    site: tuple[NavItem, ...]
    person: tuple[NavSection, ...]
    staff: tuple[NavSection, ...]
    person_tabs: tuple[NavItem, ...]
    staff_tabs: tuple[NavItem, ...]


STANDARD = Navigation(
    site=(NavItem("nav.find", "/discover", "search"),),
    person=(
        NavSection(
            "",
            (
                NavItem("nav.find", "/discover", "search"),
                NavItem("nav.bookings", "/bookings", "calendar", "bookings"),
                NavItem("nav.chat", "/chat", "chat", "chat"),
                NavItem("nav.credits", "/credits", "wallet"),
                NavItem("nav.orgs", "/orgs", "court"),
            ),
        ),
    ),
    staff=(
        NavSection(
            "",
            (
                NavItem("nav.day", "/orgs/{org}/day", "calendar", permission="booking.read_any"),
                NavItem("nav.all_bookings", "/orgs/{org}/bookings", "receipt", permission="booking.read_any"),
            ),
        ),
        NavSection(
            "nav.run",
            (
                NavItem("nav.places", "/orgs/{org}/places", "court", permission="venues.edit"),
                NavItem("nav.channels", "/orgs/{org}/channels", "chat", permission="chat.manage_channels"),
                NavItem("nav.people", "/orgs/{org}/people", "users", permission="staff.read"),
                NavItem("nav.settings", "/orgs/{org}/settings", "settings", permission="venues.edit"),
                NavItem("nav.outgoing", "/orgs/{org}/deliveries", "send", permission="notifications.manage"),
                NavItem("nav.keys", "/orgs/{org}/keys", "key", permission="keys.manage"),
                NavItem("nav.audit", "/orgs/{org}/audit", "list", permission="audit.read"),
            ),
        ),
    ),
    person_tabs=(
        NavItem("tab.find", "/discover", "search"),
        NavItem("tab.bookings", "/bookings", "calendar", "bookings"),
        NavItem("nav.chat", "/chat", "chat", "chat"),
        NavItem("tab.credits", "/credits", "wallet"),
        NavItem("nav.me", "/account", "user"),
    ),
    staff_tabs=(
        NavItem("tab.day", "/orgs/{org}/day", "calendar", permission="booking.read_any"),
        NavItem("nav.all_bookings", "/orgs/{org}/bookings", "receipt", permission="booking.read_any"),
        NavItem("tab.places", "/orgs/{org}/places", "court", permission="venues.edit"),
        NavItem("nav.more", "/orgs/{org}/more", "more"),
    ),
)
