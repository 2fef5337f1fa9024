"""How a venue stands in the public directory.

The venues module writes these rows when a venue is edited; it lets nobody else do it, and a demo world of it through the
service would take too long. tests/demo holds what is made here against the module's own.
"""

from __future__ import annotations

import re
import unicodedata

from forecourt.modules.venues.contract import VenueBook

_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Lower case, without accents."""
    return "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))


def words_of(*texts: str) -> list[str]:
    """The different words of the texts in order of appearance."""
    found = {word[:40]: None for text in texts for word in _WORD.findall(fold(text).replace("_", " "))}
    return list(found)[:60]


def forms_of(word: str) -> list[str]:
    """The word, and the word without each of its letters."""
    if len(word) < 3 or word.isdigit():
        return [word]
    return list(dict.fromkeys([word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]))


def venue_words(book: VenueBook) -> list[str]:
    venue = book.venue
    return words_of(venue.name, venue.city or "", *sports(book), venue.address, *venue.amenities)


def sports(book: VenueBook) -> list[str]:
    return sorted({r.sport for r in book.resources if r.sport is not None})
