"""How names and what people type are made comparable, and under which words a venue is found. Pure: values in, values out."""

from __future__ import annotations

import re
import unicodedata

from forecourt.modules.venues.contract.values import VenueBook

MAX_WORDS = 60
MAX_WORD_CHARS = 40
SHORTEST_WORD_WITH_TYPO = 3

_WORD = re.compile(r"\w+")


def fold(text: str) -> str:
    """Lower case, without accents: `Café Île` → `cafe ile`."""
    parts = unicodedata.normalize("NFKD", text.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c) and c != "\x00")


def words_of(*texts: str) -> list[str]:
    """The different words of the texts, folded, in order of appearance; bounded in number and length."""
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(fold(text).replace("_", " ")):
            found[word[:MAX_WORD_CHARS]] = None
    return list(found)[:MAX_WORDS]


def forms_of(word: str) -> list[str]:
    """The word and every form of it that lacks one letter; short words and numbers have no other forms."""
    if len(word) < SHORTEST_WORD_WITH_TYPO or word.isdigit():
        return [word]
    return list(dict.fromkeys([word, *(word[:i] + word[i + 1 :] for i in range(len(word)))]))


def sports_of(book: VenueBook) -> list[str]:
    """What can be played there at present."""
    return sorted({r.sport for r in book.resources if r.active and r.sport is not None})


def venue_words(book: VenueBook) -> list[str]:
    """The words under which the venue is found: of its name first, then of where it is and what it has."""
    venue = book.venue
    return words_of(venue.name, venue.city or "", *sports_of(book), venue.address, *venue.amenities)
