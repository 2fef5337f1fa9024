"""The server's log in an encrypted archive (`stream.py` brings it there): opened for a replay, thrown away when it is too old."""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path

from forecourt.engines.gaps import LOOKS, TIMELINE_CHARS, Brought, Gap, gap, missing
from forecourt.engines.sealing import SUFFIX, Damaged, Identities
from forecourt.engines.stream import span

_OF_LOG = re.compile(rf"(?P<name>[0-9A-F]{{24}})(\.[0-9a-f]{{8}}-[0-9a-f]{{8}})?{re.escape(SUFFIX)}")
FILE_BYTES = 16 * 1024 * 1024
"""Of a file of the log, as initdb makes it."""


def clean_up(wal: Path, oldest: str) -> None:
    """Throw away what is older than the file `oldest`, as pg_archivecleanup does: whatever timeline it is of."""
    for file in list(wal.glob("*" + SUFFIX)):
        found = _OF_LOG.fullmatch(file.name)
        if found and found["name"][TIMELINE_CHARS:] < oldest[TIMELINE_CHARS:]:
            file.unlink(missing_ok=True)


def open_log(wal: Path, into: Path, first: str, keys: Identities, *, until_end: bool, brought: Brought | None = None) -> None:
    """Open the log from the file `first` on into a folder, where a server finds it.

    A file that is damaged or missing ends it; those that the whole copy has `brought` need not be there. With `until_end` that
    is an error; else what is before may reach as far as is wanted, and the server says when it does not.
    Raises EngineError, OSError.
    """
    for file in wal.glob("*.history" + SUFFIX):
        _open_file(file, into / file.name.removesuffix(SUFFIX), keys)
    names, lacking = _listed(wal, first, brought)
    try:
        for name in names:
            if lacking is not None and name > lacking:
                raise gap(f"{wal / (lacking + SUFFIX)}")
            if (whole := wal / (name + SUFFIX)).exists():
                _open_file(whole, into / name, keys)
            elif brought and name in brought.names:
                continue  # whole, and here there is only part of it
            elif name == names[-1]:
                _open_last(wal, name, into, keys)
            else:
                raise gap(f"{whole}")
    except (Damaged, Gap):
        if until_end:
            raise


def _listed(wal: Path, first: str, brought: Brought | None) -> tuple[list[str], str | None]:
    """The files of the log in the archive from `first` on, and the one that is missing before others.

    A house that goes on changes the folder while it is listed: what seems to be missing is looked for again.
    """
    names, lacking = list[str](), None
    for _ in range(LOOKS):
        found = (_OF_LOG.fullmatch(file.name) for file in wal.glob("*" + SUFFIX))
        names = sorted({one["name"] for one in found if one and one["name"] >= first})
        there, size = ({*names, *brought.names}, brought.file_bytes) if brought else ({*names}, FILE_BYTES)
        if (lacking := missing(there, first, size)) is None:
            break
    return names, lacking


def _open_file(sealed: Path, target: Path, keys: Identities) -> None:
    try:
        with target.open("wb") as file, keys.opened(sealed) as content:
            shutil.copyfileobj(content, file, 1 << 20)
    except BaseException:
        target.unlink(missing_ok=True)
        raise


def _open_last(wal: Path, name: str, into: Path, keys: Identities) -> None:
    """The file that was being written, whole or as far as it is there.

    A house that goes on, as in a drill, brings more meanwhile and throws away what that covers: then it is looked again.
    """
    whole, partial = wal / (name + SUFFIX), into / f"{name}.partial"
    for looks_left in range(LOOKS - 1, -1, -1):
        try:
            if whole.exists():
                _open_file(whole, into / name, keys)
                partial.unlink(missing_ok=True)
            else:
                _open_parts(wal, name, partial, keys)
        except (FileNotFoundError, Gap):
            if not looks_left:
                raise
        else:
            return


def _open_parts(wal: Path, name: str, target: Path, keys: Identities) -> None:
    """What there is of the file that was being written. Parts may overlap: a stream that begins anew brings its file again.

    Raises FileNotFoundError for one that is gone; Gap when parts do not go on from what comes before, which is opened.
    """
    parts = list(wal.glob(f"{name}.*-*{SUFFIX}"))
    if not parts:
        raise FileNotFoundError(f"{wal / name} is neither whole nor in parts")
    content = bytearray()
    while (best := _furthest(parts, len(content))) is not None:
        content[span(best)[0] :] = keys.content(best)
    target.write_bytes(content.ljust(FILE_BYTES, b"\0"))
    if any(span(part)[1] > len(content) for part in parts):
        raise gap(f"What follows byte {len(content)} of {wal / name}")


def _furthest(parts: Sequence[Path], at: int) -> Path | None:
    """The part that goes on from `at` and reaches furthest."""
    fit = [part for part in parts if span(part)[0] <= at < span(part)[1]]
    return max(fit, key=lambda part: span(part)[1], default=None)
