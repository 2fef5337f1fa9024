"""The words of a closed set, found by the place where a wrong one stood: `status[0]`, `rules[2].per`."""

from __future__ import annotations

import re
import types
from enum import Enum
from typing import Annotated, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

MOST = 20
"""A longer list is no help in a sentence."""
_PARTS = re.compile(r"[^.\[\]]+|\.\.\.")


def words_at(kind: object, path: str) -> list[str]:
    """What may stand at `path` of a `kind`; empty for anything but a closed set, and for one of very many words."""
    hints = [kind]
    for part in _PARTS.findall(path):
        hints = [step for hint in hints for one in _alternatives(hint) for step in _steps(one, part)]
    words = [word for hint in hints for one in _alternatives(hint) for word in _words(one)]
    return words if len(words) <= MOST else []


def _alternatives(hint: object) -> list[object]:
    """A type without its annotations; those of a union one by one."""
    while get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    if get_origin(hint) in (Union, types.UnionType):
        return [one for argument in get_args(hint) for one in _alternatives(argument)]
    return [hint]


def _steps(hint: object, part: str) -> list[object]:
    """Where one part of a path leads from a type."""
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        named = {field.encode_name: field.name for field in msgspec.structs.fields(hint)}
        return [get_type_hints(hint, include_extras=True)[named[part]]] if part in named else []
    if get_origin(hint) in (list, tuple, set, frozenset, dict) and get_args(hint):
        return [get_args(hint)[-1 if get_origin(hint) is dict else 0]]
    return []


def _words(hint: object) -> list[str]:
    if isinstance(hint, type) and issubclass(hint, Enum):
        return [str(member.value) for member in hint]
    return [str(word) for word in get_args(hint)] if get_origin(hint) is Literal else []
