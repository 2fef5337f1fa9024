"""Who can be logged in as. One password for all of them: it is printed, so it protects nothing and should not try to."""

from __future__ import annotations

from dataclasses import dataclass

PASSWORD = "open-forecourt"  # noqa: S105 - printed on purpose
"""The password of every account of the demo world."""


@dataclass(frozen=True)
class LogIn:
    """An account worth looking through: its address, and whose eyes it lends."""

    email: str
    what: str


LOG_INS: list[LogIn] = [
    LogIn("mahnoor@example.org", "a player in Karachi, with credits and bookings"),
    LogIn("tom@example.org", "a player in London"),
    LogIn("rida@baradari.example", "manager of the padel clubs, Karachi"),
    LogIn("adeel@baradari.example", "front desk of the padel clubs"),
    LogIn("danyal@baradari.example", "padel coach"),
    LogIn("grace@counterweight.example", "owner of the London gyms"),
    LogIn("ines@casalioz.example", "front desk of the hotel in Lisbon"),
    LogIn("admin@forecourt.example", "platform administrator"),
]
