"""The text catalogue: `t("nav.find")`, whole sentences with placeholders, plural forms by CLDR.

`messages/en.json` is complete; other languages may lag behind and fall back to English sentence by sentence.
A module adds its own with `Catalogue(folders)`: `messages/<language>.json` in each.

What services say (problems and faults of a field) is English everywhere in the code, in the API and in logs. Pages translate it
by the sentence: keys that begin with `said.` hold the English sentence with its placeholders, and `said()` finds the one that
a text was made from. A sentence nobody translated stays English; a test holds that guests meet none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import msgspec

from forecourt.kernel.web import formats

OWN = Path(__file__).parent / "messages"
LANGUAGES = ("en", "pt", "ur")
FALLBACK = "en"

SAID = "said."
_PLACEHOLDER = re.compile(r"\{(\w+)\}")

Message = str | dict[str, str]


class Catalogue:
    """Every sentence by language and key; a later folder may add keys, and may not change those of an earlier one."""

    def __init__(self, folders: Sequence[Path] = (OWN,)) -> None:
        self._texts: dict[str, dict[str, Message]] = {language: {} for language in LANGUAGES}
        for folder in folders:
            for language in LANGUAGES:
                self._add(language, folder / f"{language}.json")

    def _add(self, language: str, file: Path) -> None:
        if not file.exists():
            return
        found = msgspec.json.decode(file.read_bytes(), type=dict[str, Message])
        twice = self._texts[language].keys() & found.keys()
        if twice:
            raise ValueError(f"{file}: already said elsewhere: {sorted(twice)}")
        self._texts[language].update(found)

    def keys(self, language: str) -> set[str]:
        return set(self._texts[language])

    def has(self, key: str) -> bool:
        return key in self._texts[FALLBACK]

    def said(self, language: str, english: str) -> str | None:
        """What a service said in English, in `language`; None for a sentence that is not in the catalogue."""
        for pattern, key in self._said:
            found = pattern.fullmatch(english)
            if found is not None:
                return self.say(language, key, found.groupdict())
        return None

    @cached_property
    def _said(self) -> list[tuple[re.Pattern[str], str]]:
        """English sentences of services as patterns; those with fewer placeholders, and then the longer ones, come first."""
        found: list[tuple[int, int, re.Pattern[str], str]] = []
        for key, message in self._texts[FALLBACK].items():
            if key.startswith(SAID) and isinstance(message, str):
                parts = _PLACEHOLDER.split(message)
                pattern = "".join(f"(?P<{part}>.+?)" if i % 2 else re.escape(part) for i, part in enumerate(parts))
                found.append((len(parts), -len(message), re.compile(pattern, re.DOTALL), key))
        return [(pattern, key) for _, _, pattern, key in sorted(found, key=lambda f: (f[0], f[1], f[3]))]

    def say(self, language: str, key: str, values: Mapping[str, object]) -> str:
        """The sentence for `key` with its placeholders filled; `n` chooses the plural form.

        Raises KeyError for a key that English lacks and for a placeholder without a value.
        """
        spoken = language if key in self._texts[language] else FALLBACK
        message = self._texts[spoken][key]
        if isinstance(message, str):
            return formats.fill(message, values)
        n = values["n"]
        if not isinstance(n, int):
            raise TypeError(f"{key}: n is a whole number")
        category: str = formats.locale_of(spoken).plural_form(n)
        return formats.fill(message.get(category, message["other"]), {**values, "n": formats.number(language, n)})
