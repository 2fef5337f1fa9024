"""Under which key the shared cache has a venue's book: who keeps something of a venue hears by it that the book is another."""

from __future__ import annotations

from uuid import UUID

_BOOK = "venues:book:"


def book_key(venue_id: UUID) -> str:
    return f"{_BOOK}{venue_id}"


def venue_of(key: str) -> UUID | None:
    """The venue whose book is there; None for the key of something else."""
    return UUID(key[len(_BOOK) :]) if key.startswith(_BOOK) else None


__all__ = ["book_key", "venue_of"]
