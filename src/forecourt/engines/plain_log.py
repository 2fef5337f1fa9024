"""The server's log in an archive that is not encrypted, as pg_receivewal writes it: looked through, or copied, for a replay.

A server that replays takes a file that is missing for the end of the log. So it is looked for before.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from forecourt.engines.gaps import LOOKS, TIMELINE_CHARS, Brought, Gap, gap, missing
from forecourt.engines.sealed_log import FILE_BYTES

_OF_LOG = re.compile(r"(?P<name>[0-9A-F]{24})(?P<partial>\.partial)?")
_HISTORY = re.compile(r"[0-9A-F]{8}\.history")


def refuse_gap(wal: Path, first: str, brought: Brought | None = None) -> None:
    """Raises Gap when a file from `first` on is missing, or only part of it is there, though later ones are; OSError.

    The file that is being written has another name until it is whole; a house that goes on changes both while they are listed.
    """
    for looks_left in range(LOOKS - 1, -1, -1):
        try:
            _look((file.name for file in wal.iterdir()), wal, first, brought)
        except Gap:
            if not looks_left:
                raise
        else:
            return


def copy(wal: Path, into: Path, first: str, *, until_end: bool, brought: Brought | None = None) -> None:
    """Copy the log from the file `first` on, of a house that may go on meanwhile.

    With `until_end` a file that is missing is an error. Raises Gap, OSError.
    """
    for looks_left in range(LOOKS - 1, -1, -1):
        try:
            _copy_new(wal, into, first)
            if until_end:
                _look((file.name for file in into.iterdir()), wal, first, brought)
        except (FileNotFoundError, Gap):
            if not looks_left:
                raise
        else:
            return


def _copy_new(wal: Path, into: Path, first: str) -> None:
    """Raises FileNotFoundError for a file that got another name since it was listed."""
    for file in sorted(wal.iterdir()):
        found = _OF_LOG.fullmatch(file.name)
        wanted = found["name"] >= first if found else _HISTORY.fullmatch(file.name)
        if wanted and not (into / file.name).exists():
            shutil.copyfile(file, into / file.name)


def _look(names: Iterable[str], wal: Path, first: str, brought: Brought | None) -> None:
    found = [one for one in map(_OF_LOG.fullmatch, names) if one and one["name"] >= first]
    there = {one["name"] for one in found}
    whole = {one["name"][TIMELINE_CHARS:] for one in found if not one["partial"]}
    last = max((name[TIMELINE_CHARS:] for name in there), default="")
    size, alone = (brought.file_bytes, brought.names) if brought else (FILE_BYTES, frozenset[str]())
    lacking = missing(there | alone, first, size)
    if lacking is None:  # only part of one, with later ones there, ends a replay as well
        lacking = min((name for name in there if last > name[TIMELINE_CHARS:] not in whole), default=None)
    if lacking is not None:
        raise gap(f"{wal / lacking}")
