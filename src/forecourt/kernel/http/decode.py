"""From bytes to checked values: bodies, query strings and forms, with faults that say where and what to do."""

from __future__ import annotations

import types
from collections.abc import Callable
from datetime import date, datetime
from functools import lru_cache
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints
from urllib.parse import parse_qsl

import msgspec

from forecourt.kernel.errors import BadRequest, FieldError, Invalid
from forecourt.kernel.http.faults import every_fault, fault

MAX_PARAMETERS = 200
FIRST_YEAR, LAST_YEAR = 2000, 2100
"""Times outside are refused at the door: nobody books there, and offsets cannot push them past what a date can hold."""


class BodyDecoder:
    """JSON bytes into one type. Raises BadRequest for what is not JSON, Invalid for what breaks rules."""

    def __init__(self, kind: object) -> None:
        self._decode = msgspec.json.Decoder(kind).decode  # type: ignore[arg-type]
        self._kind = kind
        self._check = checker(kind)
        self.optional = nothing_needed(kind)
        """True when every member may be left out: then the body may be, too."""

    def __call__(self, body: bytes) -> object:
        if not body:
            if not self.optional:
                raise BadRequest("the body is empty")
            body = b"{}"
        try:
            value = self._decode(body)
        except msgspec.ValidationError as e:
            raise self._refusal(e, body) from None
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        except msgspec.DecodeError as e:
            raise BadRequest(f"not JSON: {e}") from None
        except RecursionError:
            raise BadRequest("nested too deeply") from None
        if self._check is not None:
            self._check(value, "")
        return value

    def _refusal(self, error: msgspec.ValidationError, body: bytes) -> Invalid:
        try:
            return every_fault(error, self._kind, msgspec.json.decode(body), strict=True)
        except (ValueError, RecursionError):  # after its first fault it is no JSON at all, or nested too deeply
            return fault(error, self._kind)


def nothing_needed(kind: object) -> bool:
    """True for a struct whose fields all have a default."""
    if not (isinstance(kind, type) and issubclass(kind, msgspec.Struct)):
        return False
    return not any(field.required for field in msgspec.structs.fields(kind))


class QueryDecoder:
    """A query string or a form into a struct; values are read from text. Unknown names are refused.

    A list field takes repeated names and comma-separated values. Empty values count as absent.
    """

    def __init__(self, kind: type[msgspec.Struct], *, ignore: frozenset[str] = frozenset()) -> None:
        hints = get_type_hints(kind, include_extras=True)
        names = {f.encode_name: hints[f.name] for f in msgspec.structs.fields(kind)}
        self._lists = {name for name, hint in names.items() if _is_list(hint)}
        self._kind = kind
        self._ignore = ignore
        self._names = frozenset(names)
        self._check = _fields(kind)

    def __call__(self, text: bytes) -> msgspec.Struct:
        try:
            pairs = parse_qsl(
                text.decode("ascii" if text.isascii() else "utf-8"),
                keep_blank_values=True,
                max_num_fields=MAX_PARAMETERS,
                errors="strict",
            )
        except (ValueError, UnicodeDecodeError) as e:
            raise BadRequest(f"the parameters cannot be read: {e}") from None
        values: dict[str, object] = {}
        lists: dict[str, list[str]] = {}
        for name, value in pairs:
            if name in self._ignore or self._passes_over(name):
                continue
            if name in self._lists:
                lists.setdefault(name, []).extend(v for v in value.split(",") if v)
            elif name in values:
                raise Invalid.field(name, "is given twice")
            elif value != "":
                values[name] = value
            else:
                values.setdefault(name, "")
        given = {name: value for name, value in values.items() if value != "" or name not in self._names}
        try:
            result = msgspec.convert(given | lists, self._kind, strict=False)
        except msgspec.ValidationError as e:
            raise fault(e, self._kind) from None
        self._check(result, "")
        return result

    def _passes_over(self, name: str) -> bool:
        return False


class PageQueryDecoder(QueryDecoder):
    """A page's query. Names that the page does not know are passed over: whoever shares a link, or measures a campaign, adds
    some of their own, and none of them asks anything of the page."""

    def _passes_over(self, name: str) -> bool:
        return name not in self._names


def _is_list(hint: object) -> bool:
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return any(_is_list(a) for a in get_args(hint))
    return get_origin(hint) is list


# --- rules that no type says: times within bounds, no NUL in text -------------------------------------------------------

Check = Callable[[Any, str], None]


def _text(value: object, path: str) -> None:
    if isinstance(value, str) and "\x00" in value:
        raise Invalid.field(path, "contains a NUL character")


def _time(value: object, path: str) -> None:
    if isinstance(value, datetime) and value.tzinfo is None:
        raise Invalid.field(path, "a time needs an offset, such as 2026-12-01T18:00:00Z")
    if isinstance(value, date) and not FIRST_YEAR <= value.year <= LAST_YEAR:
        raise Invalid.field(path, f"lies outside the years {FIRST_YEAR} to {LAST_YEAR}")


@lru_cache(maxsize=2000)
def _struct_checks(kind: type[msgspec.Struct]) -> tuple[tuple[str, str, Check], ...]:
    hints = get_type_hints(kind, include_extras=True)
    found: list[tuple[str, str, Check]] = []
    for field in msgspec.structs.fields(kind):
        check = checker(hints[field.name], (kind,))
        if check is not None:
            found.append((field.name, field.encode_name, check))
    return tuple(found)


def checker(hint: object, seen: tuple[type, ...] = ()) -> Check | None:  # noqa: PLR0911 - one return per shape of type
    """A function that checks a decoded value of type `hint`; None when there is nothing to check."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if hint is str:
        return _text
    if hint is datetime or hint is date:
        return _time
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        checks = [c for a in get_args(hint) if a is not type(None) and (c := checker(a, seen)) is not None]
        if not checks:
            return None

        def optional(value: object, path: str) -> None:
            if value is not None:
                for check in checks:
                    check(value, path)

        return optional
    if origin in (list, tuple, set, frozenset):
        inner = checker(get_args(hint)[0], seen) if get_args(hint) else None
        return None if inner is None else _each(inner)
    if origin is dict:
        key, inner = checker(get_args(hint)[0], seen), checker(get_args(hint)[1], seen)

        def entries(value: object, path: str) -> None:
            if isinstance(value, dict):
                for k, v in value.items():
                    if key is not None:
                        key(k, path)
                    if inner is not None:
                        inner(v, f"{path}.{k}")

        return entries
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return None if hint in seen else _fields(hint)
    return None


def _fields(kind: type[msgspec.Struct]) -> Check:
    def fields(value: object, path: str) -> None:
        if isinstance(value, kind):
            for name, encoded, check in _struct_checks(kind):
                check(getattr(value, name), f"{path}.{encoded}" if path else encoded)

    return fields


def _each(inner: Check) -> Check:
    def each(value: object, path: str) -> None:
        if isinstance(value, list | tuple | set | frozenset):
            for i, item in enumerate(value):
                inner(item, f"{path}[{i}]")

    return each


def single(errors: list[FieldError]) -> None:
    """Raises Invalid when there are faults."""
    if errors:
        raise Invalid(errors[0].message, errors=errors)
