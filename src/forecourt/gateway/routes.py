"""The routing table: every path of the house and the module that answers it, taken from the operations themselves.

A path belongs to one module, whatever the method (`forecourt check` sees to it). What is in no module's table (health, static
files, the reference) is answered by every process alike.
"""

from __future__ import annotations

import re

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
