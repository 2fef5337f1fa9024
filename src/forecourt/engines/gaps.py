"""Which file of the server's log an archive lacks: a replay ends there, and later changes would be lost without a word."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from forecourt.engines.process import EngineError
from forecourt.engines.stream import next_name

LOOKS = 5
"""At the folder of a house that goes on meanwhile, as in a drill: files in it get other names between a look and the next."""
TIMELINE_CHARS = 8
NAME = re.compile(r"[0-9A-F]{24}")


class Gap(EngineError):
    """A file of the log is missing, or part of one, though later changes are there."""


@dataclass(frozen=True)
class Brought:
    """The files of the log that a whole copy brings: they need not be in the archive, which may begin only after them."""

    names: frozenset[str]
    file_bytes: int


def brought_by(log: Path) -> Brought | None:
    """Those in the folder of a copy's log; None: there are none. Raises OSError."""
    there = [file for file in log.iterdir() if NAME.fullmatch(file.name)]
    return Brought(frozenset(file.name for file in there), there[0].stat().st_size) if there else None


def gap(what: str) -> Gap:
    return Gap(
        f"{what} is missing, and later changes are there.",
        "Restore to a moment before it with --to, or from a later whole copy."
        " For the newest copy alone, without any change after it, move `wal` out of the archive.",
    )


def missing(names: Iterable[str], first: str, file_bytes: int) -> str | None:
    """The file of the log, from `first` on, that is not among `names` though a later one is; None when nothing is missing.

    Timelines are not told apart: where the server leaves one for the next, both have the same file.
    """
    timeline, expected = first[:TIMELINE_CHARS], first
    for number in sorted({name[TIMELINE_CHARS:] for name in names if name[TIMELINE_CHARS:] >= first[TIMELINE_CHARS:]}):
        if timeline + number != expected:
            return expected
        expected = next_name(expected, file_bytes)
    return None
