"""How a venue looks in the directory, and how what people type is compared with it. Pure: values in, values out.

One typo is forgiven: a letter too few, too many, another one, or two swapped. Two such words share a *form*, which is a word
itself or the word without one letter, so that candidates are found by equality and an index; `one_typo_apart` then decides.
"""

from __future__ import annotations

import re

from forecourt.modules.venues.contract import OrganisationStatus, VenueBook, VenueCard
from forecourt.modules.venues.contract.folding import fold, forms_of, sports_of, venue_words, words_of
from forecourt.modules.venues.contract.tariff import from_price
from forecourt.modules.venues.queries import Listing

MAX_TYPED_WORDS = 8


def one_typo_apart(a: str, b: str) -> bool:
    """True for equal words and for words that one insertion, deletion, substitution or swap of neighbours makes equal."""
    if abs(len(a) - len(b)) > 1:
        return False
    short, long = sorted((a, b), key=len)
    start = 0
    while start < len(short) and short[start] == long[start]:
        start += 1
    rest_short, rest_long = short[start:], long[start:]
    if len(short) < len(long):
        return rest_short == rest_long[1:]
    if rest_short[1:] == rest_long[1:]:
        return True
    return rest_short[:2] == rest_long[1::-1] and rest_short[2:] == rest_long[2:]


def tsquery(alternatives: list[list[str]], *, prefix: bool) -> str:
    """Text of a tsquery that wants every word, in one of its spellings. Words have letters and digits only.

    The words are lexemes as they stand, so the text is cast to `tsquery` and never parsed as language.
    """
    mark = ":*" if prefix else ""
    return " & ".join("(" + " | ".join(f"'{word}'{mark}" for word in spellings) + ")" for spellings in alternatives)


def card_of(book: VenueBook) -> VenueCard:
    venue = book.venue
    return VenueCard(
        id=venue.id,
        organisation_id=venue.organisation_id,
        name=venue.name,
        slug=venue.slug,
        address=venue.address,
        city=venue.city,
        location=venue.location,
        timezone=venue.timezone,
        sports=sports_of(book),
        amenities=venue.amenities,
        listed=venue.listed and book.organisation.status is OrganisationStatus.ACTIVE,
        from_price=from_price(book),
        photo=venue.photo_ids[0] if venue.photo_ids else None,
        cover=venue.photos[0] if venue.photos else None,
    )


def listing_of(book: VenueBook) -> Listing:
    """What the directory keeps of the venue, from its book."""
    card = card_of(book)
    active = [r for r in book.resources if r.active]
    name_words = words_of(card.name)
    return Listing(
        card=card,
        indoor=any(r.indoor is True for r in active),
        outdoor=any(r.indoor is False for r in active),
        currency=book.organisation.currency,
        name_key=" ".join(name_words),
        city_key=fold(card.city or ""),
        name_words=name_words,
        words=venue_words(book),
        book_version=book.version,
    )


def slug_of(name: str) -> str:
    """A short name for addresses: `Café 1900!` → `cafe-1900`. Two to fifty characters; `place` when nothing is left."""
    slug = re.sub(r"[^a-z0-9]+", "-", fold(name).encode("ascii", "ignore").decode())[:50].strip("-")
    return slug if len(slug) >= 2 else "place"


__all__ = [
    "MAX_TYPED_WORDS",
    "card_of",
    "fold",
    "forms_of",
    "listing_of",
    "one_typo_apart",
    "slug_of",
    "tsquery",
    "words_of",
]
