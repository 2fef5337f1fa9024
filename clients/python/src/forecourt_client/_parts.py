"""A file that is sent in parts, so that a line which breaks costs one part."""

from __future__ import annotations

import io
from typing import IO
from uuid import UUID

from forecourt_client._wire import Call, File, Method
from forecourt_client.errors import ConnectionLost, Problem, ServerFault
from forecourt_client.models import NewUpload
from forecourt_client.problems import UploadOffset

PART_BYTES = 4 * 1024 * 1024
"""What a house takes at once, at most."""
PART_TYPE = "application/offset+octet-stream"
PATCH = Method("PATCH", "/v1/uploads/{id}")
FAILURES = 5
"""How many parts in a row may break off."""


class Parts:
    """The state of one upload: what comes next, and when it is hopeless."""

    def __init__(self, file: File, part_bytes: int) -> None:
        if not 1 <= part_bytes <= PART_BYTES:
            raise ValueError(f"a part has 1 to {PART_BYTES} bytes")
        opened = file.opened()
        self._file: IO[bytes] = io.BytesIO(opened) if isinstance(opened, bytes) else opened
        self._ours = opened is not file.content
        self._name = file.shown
        self._part_bytes = part_bytes
        self._failures = 0
        self.size = self._file.seek(0, io.SEEK_END)

    def beginning(self, alt: str) -> NewUpload:
        return NewUpload(bytes=self.size, name=self._name, alt=alt)

    def part(self, upload_id: UUID, offset: int) -> tuple[Call[None], int]:
        """The part that begins at `offset`, and where the next one does."""
        self._file.seek(offset)
        content = self._file.read(self._part_bytes)
        headers = {"Content-Type": PART_TYPE, "Upload-Offset": str(offset)}
        return Call(PATCH, type(None), path={"id": upload_id}, headers=headers, content=content), offset + len(content)

    def arrived(self) -> None:
        self._failures = 0

    def broke(self, error: ConnectionLost | Problem) -> None:
        """Whether the house is asked where to go on; otherwise raises what went wrong."""
        self._failures += 1
        if self._failures >= FAILURES or not isinstance(error, ConnectionLost | ServerFault | UploadOffset):
            raise error

    def close(self) -> None:
        if self._ours:
            self._file.close()
