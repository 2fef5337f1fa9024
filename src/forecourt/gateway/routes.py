"""The routing table: every path of the house and the module that answers it, taken from the operations themselves.

A path belongs to one module, whatever the method (`forecourt check` sees to it). What is in no module's table (health, static
files, the reference) is answered by every process alike.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import msgspec

from forecourt.kernel.http.operation import Api
from forecourt.survey import MODULES, every_api, load

_PARAMETER = re.compile(r"\{\w+\}")


class Route(msgspec.Struct, frozen=True):
    """A path as declared (`/v1/bookings/{id}`) and the module that answers it."""

    path: str
    module: str

    @property
    def pattern(self) -> str:
        """A regular expression for the whole path; a parameter is one part of it, whatever is written there."""
        literal = (re.escape(part) for part in _PARAMETER.split(self.path))
        return "^" + "[^/]+".join(literal) + "$"


def routing_table() -> list[Route]:
    """Every route, in the order a gateway tries them: where a word and a parameter compete for a place, the word first."""
    load()
    owners = {d.path: module_of(api) for api in every_api() if module_of(api) for _, d in api.declared()}
    return [Route(path, owners[path]) for path in sorted(owners, key=_rank)]


def module_of(api: type[Api]) -> str:
    """The module that a set of operations belongs to; empty for what belongs to none."""
    name = api.__module__
    return name.removeprefix(MODULES).split(".", 1)[0] if name.startswith(MODULES) else ""


def _rank(path: str) -> list[tuple[bool, str]]:
    return [(bool(_PARAMETER.fullmatch(part)), part) for part in path.split("/")]


# --- the same table, short ---------------------------------------------------------------------------------------------------

ASK_PATTERNS = "?"


class Table(msgspec.Struct, frozen=True):
    """The routes of a house by service, for a proxy that finds the longest beginning at once but tries patterns in turn.

    Both are about a path with a slash behind it. A beginning whose place is `ASK_PATTERNS` leads on to the patterns.
    """

    beginnings: dict[str, str]
    patterns: list[tuple[str, str]]
    """Regular expression and service, to be tried from the top."""

    def service(self, path: str) -> str | None:
        """Who answers a path; None when nobody claims it."""
        key = path + "/"
        begins = max((b for b in self.beginnings if key.startswith(b)), key=len, default="")
        found = self.beginnings.get(begins)
        if found != ASK_PATTERNS:
            return found
        return next((service for pattern, service in self.patterns if re.match(pattern, key)), None)


class _Place:
    """A place in the tree of paths."""

    def __init__(self) -> None:
        self.words: dict[str, _Place] = {}
        self.any: _Place | None = None
        """Where a parameter stands."""
        self.owner: str | None = None

    def at(self, path: str) -> _Place:
        place = self
        for part in path.split("/")[1:]:
            if not _PARAMETER.search(part):
                place = place.words.setdefault(part, _Place())
            else:
                place.any = place.any or _Place()
                place = place.any
        return place

    def below(self) -> set[str]:
        """Every service here and further down."""
        found = {self.owner} if self.owner else set[str]()
        for place in (*self.words.values(), *([self.any] if self.any else [])):
            found |= place.below()
        return found


def shortened(owners: Mapping[str, str]) -> Table:
    """The table of `owners`, path as declared → service. What belongs to one service as a whole is one line."""
    root = _Place()
    for path, service in owners.items():
        root.at(path).owner = service
    table = Table({}, [])
    for word, place in sorted(root.words.items()):
        _shorten(place, f"/{word}/", table)
    return table


def _shorten(place: _Place, begins: str, table: Table) -> None:
    if len(place.below()) == 1:
        table.beginnings[begins] = next(iter(place.below()))
        return
    for word, further in sorted(place.words.items()):
        _shorten(further, f"{begins}{word}/", table)
    own = ({place.owner} if place.owner else set[str]()) | (place.any.below() if place.any else set[str]())
    if len(own) == 1:
        table.beginnings[begins] = next(iter(own))
    elif own:
        table.beginnings[begins] = ASK_PATTERNS
        stem = "^" + re.escape(begins)
        if place.any is not None:
            table.patterns.extend(_patterns(place.any, stem + "[^/]+/"))
        if place.owner is not None:
            table.patterns.append((stem + "$", place.owner))


def _patterns(place: _Place, stem: str) -> list[tuple[str, str]]:
    if len(place.below()) == 1:
        return [(stem, next(iter(place.below())))]
    found: list[tuple[str, str]] = []
    together: dict[str, list[str]] = {}
    for word, further in sorted(place.words.items()):
        if len(further.below()) == 1:
            together.setdefault(next(iter(further.below())), []).append(re.escape(word))
        else:
            found += _patterns(further, f"{stem}{re.escape(word)}/")
    found += [(f"{stem}(?:{'|'.join(words)})/", service) for service, words in together.items()]
    if place.any is not None:
        found += _patterns(place.any, stem + "[^/]+/")
    if place.owner is not None:
        found.append((stem + "$", place.owner))
    return found
