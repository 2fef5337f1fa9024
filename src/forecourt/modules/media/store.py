"""Where objects lie: a folder, or any S3-compatible store. Both through obstore; only writing to a folder is our own.

An object is written once under a name that nothing had before, and never changed. When `put` returns it is there, and stays
there through a loss of power: a row that names it may be committed.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
from collections.abc import AsyncIterator
from datetime import datetime
from pathlib import Path
from typing import BinaryIO, Protocol
from urllib.parse import urlsplit
from uuid import uuid4

import obstore
from obstore.store import LocalStore, ObjectStore, S3Store

CHUNK_BYTES = 256 * 1024
INCOMING = ".incoming"
"""In a folder, what is not yet complete lies here: no object's name begins with a dot."""
COPY_BYTES = 1024 * 1024


class Store(Protocol):
    async def put(self, key: str, content: BinaryIO) -> None:
        """Keeps what `content` has from its present place on."""
        ...

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        """The bytes `[start, end)` in chunks, as they are asked for. Raises FileNotFoundError."""
        ...

    async def remove_all(self, prefix: str) -> None:
        """Every object below `prefix`, which ends with a slash; none is fine."""
        ...

    async def tidy(self, before: datetime) -> None:
        """Removes what was begun before a time and never completed."""
        ...


class _Objects:
    """Reading and removing, which are the same everywhere."""

    def __init__(self, objects: ObjectStore) -> None:
        self._objects = objects

    async def read(self, key: str, start: int, end: int) -> AsyncIterator[bytes]:
        found = await obstore.get_async(self._objects, key, options={"range": (start, end)})

        async def chunks() -> AsyncIterator[bytes]:
            async for chunk in found.stream(min_chunk_size=CHUNK_BYTES):
                yield bytes(chunk)

        return chunks()

    async def remove_all(self, prefix: str) -> None:
        async for some in obstore.list(self._objects, prefix.rstrip("/")):
            with contextlib.suppress(FileNotFoundError):
                await obstore.delete_async(self._objects, [meta["path"] for meta in some])


class Folder(_Objects):
    """A folder of this machine."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._incoming = root / INCOMING
        self._incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        super().__init__(LocalStore(root, automatic_cleanup=True))

    async def put(self, key: str, content: BinaryIO) -> None:
        await asyncio.to_thread(self._put, key, content)

    def _put(self, key: str, content: BinaryIO) -> None:
        aside = self._incoming / uuid4().hex
        try:
            with aside.open("xb") as file:
                shutil.copyfileobj(content, file, COPY_BYTES)
                file.flush()
                os.fsync(file.fileno())
            self._place(aside, self._root / key)
        finally:
            aside.unlink(missing_ok=True)

    def _place(self, aside: Path, target: Path) -> None:
        # Emptied folders are cleared away by whoever removes the last object, perhaps at this moment.
        for attempt in range(3):
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                aside.rename(target)
                break
            except FileNotFoundError:
                if attempt == 2:
                    raise
        for folder in (target.parent, target.parent.parent, self._root):
            _sync(folder)

    async def tidy(self, before: datetime) -> None:
        await asyncio.to_thread(self._tidy, before.timestamp())

    def _tidy(self, before: float) -> None:
        for aside in self._incoming.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if aside.stat().st_mtime < before:
                    aside.unlink()


class Bucket(_Objects):
    """An S3-compatible store, which makes an object visible as a whole or not at all."""

    async def put(self, key: str, content: BinaryIO) -> None:
        await obstore.put_async(self._objects, key, content)

    async def tidy(self, before: datetime) -> None:
        """Parts of uploads that were broken off are cleared away by a rule of the bucket."""


def _sync(folder: Path) -> None:
    """Makes the names in a folder last."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def open_store(url: str | None, data: Path) -> Store:
    """`s3://bucket/prefix`, or the folder `media` of the data directory. Raises ValueError for another address.

    Keys, region and endpoint of a bucket come from the variables that S3 clients read: AWS_ACCESS_KEY_ID and the like.
    """
    if url is None:
        return Folder(data / "media")
    parts = urlsplit(url)
    if parts.scheme != "s3" or not parts.hostname:
        raise ValueError(f"{url!r} is not an address such as s3://bucket/prefix")
    return Bucket(S3Store(parts.netloc, prefix=parts.path.strip("/") or None))
