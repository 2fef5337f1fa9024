"""Forms: what was typed, what is wrong with it and where, so that a page can show both again."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeVar

import msgspec

from forecourt.kernel.errors import Problem
from forecourt.kernel.http.decode import checker
from forecourt.kernel.http.faults import every_fault

T = TypeVar("T")

FORM = ""
"""Where a fault stands that belongs to no field."""
MENDABLE = frozenset({401, 402, 403, 409, 410, 412, 422, 429})


def read(kind: type[T], values: Mapping[str, object]) -> T:
    """`values` as a `kind`; text becomes numbers, dates and ids. Raises Invalid at the field.

    An empty text counts as absent, so that a default holds and a required field says that it is needed. Raised is every field's
    fault, not the first one's alone.
    """
    given = {name: value for name, value in values.items() if value not in ("", None)}
    try:
        result = msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as e:
        raise every_fault(e, kind, given, strict=False) from None
    check = checker(kind)
    if check is not None:
        check(result, "")
    return result


class Faults(msgspec.Struct, frozen=True):
    """What the server said about a form. `at` has a message by field name; FORM is the form as a whole."""

    status: int = 200
    code: str = ""
    at: dict[str, str] = {}

    def __call__(self, field: str) -> str:
        """The message at a field, or an empty string. A fault inside a list or map stands at its field."""
        found = self.at.get(field)
        if found is not None:
            return found
        return next((text for path, text in self.at.items() if path.startswith((f"{field}[", f"{field}."))), "")

    @property
    def whole(self) -> str:
        """What is said about the form as a whole."""
        return self.at.get(FORM, "")


NO_FAULTS = Faults()


def _as_it_is(english: str) -> str:
    return english


def faults(
    problem: Problem, fields: Mapping[str, str] | None = None, say: Callable[[str], str] = _as_it_is, language: str = "en"
) -> Faults:
    """What a problem means for a form. `fields` renames paths to the form's own names; `say` translates what services say into
    `language`.

    Raises the problem when nobody can mend it there.
    """
    if problem.status not in MENDABLE:
        raise problem
    if not problem.errors:
        return Faults(problem.status, problem.code, {FORM: say(problem.detail or problem.title)})
    at: dict[str, str] = {}
    for error in problem.errors:
        path = (fields or {}).get(error.path, error.path)
        message = sentence(say(error.message), language)
        at[path] = f"{at[path]} {message}" if path in at else message
    return Faults(problem.status, problem.code, at)


def sentence(text: str, language: str) -> str:
    """`is needed` → `Is needed.`, as a message beside a field reads; Urdu ends with a full stop of its own, and what nobody
    translated into Urdu does not."""
    text = text[:1].upper() + text[1:]
    if text.endswith((".", "!", "?", "۔", "؟")):
        return text
    return f"{text}۔" if language == "ur" and any("\u0600" <= c <= "\u06ff" for c in text) else f"{text}."
