"""What is wrong with the input: each fault with its place and the remedy, all that can be told at once."""

from __future__ import annotations

import re
import types
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Annotated, Union, cast, get_args, get_origin, get_type_hints

import msgspec

from forecourt.kernel.errors import FieldError, Invalid
from forecourt.kernel.http.choices import words_at

MOST = 20
"""More faults help nobody."""
MOST_ENTRIES = 100
"""Of a list, so many are looked at one by one: what it costs to refuse a body is bounded whatever is in it."""
DEEPEST = 8
"""So far down each thing is looked at by itself."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<where>[^`]*)`)?$", re.DOTALL)
_UNKNOWN = re.compile(r"unknown field `(?P<name>[^`]*)`")
_MISSING = re.compile(r"missing required field `(?P<name>[^`]*)`")
_PLAIN = [
    (re.compile(r"^Expected `int` >= (\S+)$"), r"at least \1"),
    (re.compile(r"^Expected `int` <= (\S+)$"), r"at most \1"),
    (re.compile(r"^Expected `int` that's a multiple of (\S+)$"), r"a multiple of \1"),
    (re.compile(r"^Expected `float` >= (\S+?)(?:\.0)?$"), r"at least \1"),
    (re.compile(r"^Expected `float` <= (\S+?)(?:\.0)?$"), r"at most \1"),
    (re.compile(r"^Expected `str` of length <= (\d+)$"), r"at most \1 characters"),
    (re.compile(r"^Expected `str` of length >= 1$"), r"must not be empty"),
    (re.compile(r"^Expected `str` of length >= (\d+)$"), r"at least \1 characters"),
    (re.compile(r"^Expected `array` of length <= (\d+)$"), r"at most \1 entries"),
    (re.compile(r"^Expected `array` of length >= (\d+)$"), r"at least \1 entries"),
    (re.compile(r"^Expected `datetime` with a timezone component$"), "a time needs an offset, such as 2026-12-01T18:00:00Z"),
    (re.compile(r"^Invalid RFC3339 encoded datetime$"), "not a time; write it like 2026-12-01T18:00:00Z"),
    (re.compile(r"^Invalid RFC3339 encoded date$"), "not a date; write it like 2026-12-01"),
    (re.compile(r"^Invalid UUID$"), "not an id"),
    (re.compile(r"^Expected `int(?: \| null)?`, got .*$"), "is a whole number"),
    (re.compile(r"^Expected `(?:float|int \| float|float \| int)(?: \| null)?`, got .*$"), "is a number"),
    (re.compile(r"^Expected `str(?: \| null)?`, got .*$"), "is text"),
    (re.compile(r"^Expected `bool(?: \| null)?`, got .*$"), "is true or false"),
    (re.compile(r"^Expected `array(?: \| null)?`, got .*$"), "is a list"),
    (re.compile(r"^Expected `object(?: \| null)?`, got .*$"), "is an object with named members"),
    (re.compile(r"^Expected `str` matching regex '(.*)'$"), r"is not written as it should be: \1"),
]
_NO_WORD = re.compile(r"^Invalid enum value (?P<word>.*)$", re.DOTALL)


def fault(error: msgspec.ValidationError, kind: object = None) -> Invalid:
    """A validation error as the answer to it. `kind` is what was decoded: of its closed sets the answer says the words."""
    match = _AT.match(str(error))
    what, where = (match["what"], match["where"] or "$") if match else (str(error), "$")
    path = where.removeprefix("$").lstrip(".")
    for pattern in (_UNKNOWN, _MISSING):
        named = pattern.search(what)
        if named:
            path = f"{path}.{named['name']}" if path else named["name"]
            what = "is not known here" if pattern is _UNKNOWN else "is needed"
            return Invalid.field(path, what)
    if _NO_WORD.match(what):
        words = words_at(kind, path)
        return Invalid.field(path, f"is one of {', '.join(words)}" if words else "is not a word that is known here")
    for pattern, plain in _PLAIN:
        if pattern.match(what):
            what = pattern.sub(plain, what)
            break
    return Invalid.field(path, what)


# --- all of them at once -------------------------------------------------------------------------------------------------


def every_fault(error: msgspec.ValidationError, kind: object, given: object, *, strict: bool) -> Invalid:
    """`error` and whatever else is wrong with what was `given` as a `kind`: reading ends at the first fault, so each member is
    looked at by itself. `strict` as msgspec means it: whether text is not read as a number."""
    first = fault(error, kind)
    found = {f.path: f for f in first.errors}
    for other in _faults(given, kind, "", strict, DEEPEST):
        if len(found) == MOST:
            break
        found.setdefault(other.path, other)
    return Invalid(first.errors[0].message, errors=list(found.values()))


def _faults(given: object, kind: object, path: str, strict: bool, depth: int) -> Iterator[FieldError]:
    try:
        msgspec.convert(given, kind, strict=strict, str_keys=True)  # type: ignore[type-var] - a type, if not always a class
    except msgspec.ValidationError as e:
        inside = False
        for one in _inside(given, kind, path, strict, depth - 1):
            inside = True
            yield one
        if not inside:
            yield from (FieldError(_joined(path, f.path), f.message) for f in fault(e, kind).errors)


def _inside(given: object, kind: object, path: str, strict: bool, depth: int) -> Iterator[FieldError]:
    """Of a struct's members and a list's first entries; of anything else nothing is known inside."""
    bare = _bare(kind) if depth else None
    if isinstance(bare, type) and issubclass(bare, msgspec.Struct) and isinstance(given, dict):
        yield from _members(cast("dict[str, object]", given), bare, path, strict, depth)
    elif get_origin(bare) is list and get_args(bare) and isinstance(given, list):
        for i, item in enumerate(cast("list[object]", given)[:MOST_ENTRIES]):
            yield from _faults(item, get_args(bare)[0], f"{path}[{i}]", strict, depth)


def _members(
    given: Mapping[str, object], kind: type[msgspec.Struct], path: str, strict: bool, depth: int
) -> Iterator[FieldError]:
    known = _hints(kind)
    for name, (hint, required) in known.items():
        if name in given:
            yield from _faults(given[name], hint, _joined(path, name), strict, depth)
        elif required:
            yield FieldError(_joined(path, name), "is needed")
    if kind.__struct_config__.forbid_unknown_fields:
        tag = kind.__struct_config__.tag_field
        yield from (FieldError(_joined(path, name), "is not known here") for name in given if name not in known and name != tag)


@lru_cache(maxsize=2000)
def _hints(kind: type[msgspec.Struct]) -> dict[str, tuple[object, bool]]:
    """By a member's name: its type, without that it may be unset, and whether it is needed."""
    hints = get_type_hints(kind, include_extras=True)
    return {f.encode_name: (_set(hints[f.name]), f.required) for f in msgspec.structs.fields(kind)}


def _set(hint: object) -> object:
    """msgspec knows of unset members, and of nothing else that may be so."""
    if get_origin(hint) not in (Union, types.UnionType):
        return hint
    return Union[tuple(a for a in get_args(hint) if a is not msgspec.UnsetType)]  # noqa: UP007 - made of a list


def _bare(kind: object) -> object:
    """Without annotations; of what may be null what it is otherwise."""
    while get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    if get_origin(kind) not in (Union, types.UnionType):
        return kind
    others = [a for a in get_args(kind) if a is not type(None)]
    return _bare(others[0]) if len(others) == 1 else kind


def _joined(path: str, rest: str) -> str:
    return f"{path}.{rest}" if path and rest and not rest.startswith("[") else path + rest
