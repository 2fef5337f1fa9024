"""Names of people as they type them, without what cannot be seen."""

from __future__ import annotations

import unicodedata

_UNSEEN = dict.fromkeys([0x200B, 0x2060, 0xFEFF, 0x00AD, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
"""Spaces of no width, and marks that turn the direction of what follows: they make two names look the same, or a page unreadable.
Joiners stay, which emoji and the scripts of India and Iran need."""


def tidy(name: str) -> str:
    """The name with single spaces, composed letters, and nothing that cannot be seen; empty when nothing is left."""
    seen = unicodedata.normalize("NFC", name).translate(_UNSEEN)
    spaced = "".join(" " if unicodedata.category(c) in ("Cc", "Zl", "Zp") else c for c in seen)
    return " ".join(spaced.split())
