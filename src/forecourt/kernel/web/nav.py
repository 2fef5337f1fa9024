"""Where the bars lead. Kept in one place so that a page builder changes an address once.

Paths may hold `{org}`, the organisation the person is working in.
"""

from __future__ import annotations

import msgspec


class NavItem(msgspec.Struct, frozen=True):
    """One entry: `label` is a key of the text catalogue. `count` names the counter of PageContext.counts it shows."""

    label: str
    path: str
    icon: str
    count: str = ""


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
                NavItem("nav.credits", "/credits", "wallet"),
            ),
        ),
    ),
    staff=(
        NavSection(
            "",
            (
                NavItem("nav.day", "/orgs/{org}/day", "calendar"),
                NavItem("nav.all_bookings", "/orgs/{org}/bookings", "receipt"),
            ),
        ),
        NavSection(
            "nav.run",
            (
                NavItem("nav.people", "/orgs/{org}/people", "users"),
                NavItem("nav.places", "/orgs/{org}/places", "court"),
                NavItem("nav.settings", "/orgs/{org}/settings", "settings"),
                NavItem("nav.audit", "/orgs/{org}/audit", "list"),
            ),
        ),
    ),
    person_tabs=(
        NavItem("tab.find", "/discover", "search"),
        NavItem("tab.bookings", "/bookings", "calendar", "bookings"),
        NavItem("nav.credits", "/credits", "wallet"),
        NavItem("nav.me", "/account", "user"),
    ),
    staff_tabs=(
        NavItem("tab.day", "/orgs/{org}/day", "calendar"),
        NavItem("nav.all_bookings", "/orgs/{org}/bookings", "receipt"),
        NavItem("tab.places", "/orgs/{org}/places", "court"),
        NavItem("nav.people", "/orgs/{org}/people", "users"),
        NavItem("nav.settings", "/orgs/{org}/settings", "settings"),
    ),
)
