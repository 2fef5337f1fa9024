"""Addresses of pages with their query."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from urllib.parse import urlencode

MAX_INSIDE = 2_000


def inside(path: str) -> str:
    """`path` when it is one of this site, else nothing: where a visitor goes next is often said by a link, and anybody can write
    one."""
    plain = path.isprintable() and "\\" not in path and len(path) <= MAX_INSIDE
    return path if plain and path.startswith("/") and not path.startswith("//") else ""


def with_query(base: str, values: Mapping[str, object]) -> str:
    """`base` with the values that are not None; instants in UTC, truth as `true` and `false`."""
    pairs = [(name, _text(value)) for name, value in values.items() if value is not None]
    return f"{base}?{urlencode(pairs)}" if pairs else base


def _text(value: object) -> str:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.value if isinstance(value, StrEnum) else str(value)
