"""A ZIP archive that is made while it is sent: nothing of it is stored, and little of it is in memory.

    packer = Packer(clock.now())
    packer.begin("bookings.json")
    packer.write(b"[]")
    packer.end()
    yield packer.take()         # whenever something shall go on its way
    yield packer.close()        # the list of what is inside: an archive without it is visibly not whole

Writing compresses, and blocks: run it in a thread, and nothing beside it.
"""

from __future__ import annotations

import zipfile
from datetime import UTC, datetime
from typing import IO


class _Pipe:
    """Where the archive is written to: it cannot go back, so sizes stand behind what they are of."""

    def __init__(self) -> None:
        self._ready: list[bytes] = []

    def write(self, data: bytes) -> int:
        self._ready.append(bytes(data))
        return len(data)

    def flush(self) -> None:
        """Nothing waits here."""

    def take(self) -> bytes:
        ready, self._ready = b"".join(self._ready), []
        return ready


class Packer:
    """A file in it has less than 2 GiB: what comes in a stream says its size too late for more."""

    def __init__(self, at: datetime) -> None:
        self._at = at.astimezone(UTC).timetuple()[:6]
        self._pipe = _Pipe()
        self._archive = zipfile.ZipFile(self._pipe, "w")  # type: ignore[arg-type] - all that it needs of a file
        self._entry: IO[bytes] | None = None

    def begin(self, name: str) -> None:
        """A file of this name; `name` is a path of the archive, and no other file's."""
        info = zipfile.ZipInfo(name, self._at)
        # Also of what does not grow smaller: some readers open nothing else whose size comes behind it.
        info.compress_type = zipfile.ZIP_DEFLATED
        self._entry = self._archive.open(info, "w")

    def write(self, *parts: bytes) -> None:
        """Of the file that was begun last. Raises ValueError when that has ended."""
        if self._entry is None:
            raise ValueError("no file was begun")
        for part in parts:
            self._entry.write(part)

    def end(self) -> None:
        if self._entry is not None:
            self._entry.close()
            self._entry = None

    def take(self) -> bytes:
        """What is ready to be sent; may be empty."""
        return self._pipe.take()

    def close(self) -> bytes:
        """The end of the archive."""
        self._archive.close()
        return self._pipe.take()

    def abandon(self) -> None:
        """The archive is not finished, or was: what is held for it is let go."""
        self.end()
        self.close()


__all__ = ["Packer"]
