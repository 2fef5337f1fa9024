"""Bodies, as long as they keep coming. Forms with files (`multipart/form-data`) are read as they arrive, onto disk and not into
memory.

A file lies in an unnamed temporary file until the operation has ended: a process that dies leaves nothing behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import unicodedata
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlencode

import msgspec
from multipart import MultipartError, MultipartSegment, PushMultipartParser, parse_options_header

from forecourt.kernel.errors import BadRequest, Problem, TooLarge, TooSlow, UnsupportedMedia
from forecourt.kernel.http.operation import Request, SentFile

MULTIPART = "multipart/form-data"
MAX_FILES = 10
MAX_FIELDS = 50
MAX_FIELDS_BYTES = 64 * 1024
"""All text fields of a form together."""
MAX_NAME_CHARS = 200
WRITE_BYTES = 1024 * 1024
"""So much is gathered before it goes to the disk, off the event loop."""
LINGER_BYTES = 8 * 1024 * 1024
LINGER_S = 3.0
"""After a refusal so much is still read and thrown away: a client that is cut off while it sends never sees the answer."""


class Spool(msgspec.Struct, frozen=True):
    """Where bodies wait, and how long for: a sender may pause for `idle_s`, and after `grace_s` keeps up `least_bytes_per_s`."""

    folder: Path | None = None
    """None: where the machine keeps temporary files."""
    idle_s: float = 20.0
    grace_s: float = 30.0
    least_bytes_per_s: int = 16 * 1024


class Sent(msgspec.Struct):
    """What a form brought: its text fields as a query string, and its files."""

    fields: bytes
    files: list[SentFile]

    def close(self) -> None:
        """Lets go of the files; their space is free again."""
        for file in self.files:
            file.file.close()


async def read_body(request: Request, limit: int, spool: Spool) -> bytes:
    """The whole body of a request, at most `limit` bytes.

    Raises TooLarge without reading on, TooSlow, and BadRequest when the client has left: what it sent counts as a whole or not.
    """
    if _declared(request) > limit:
        raise TooLarge(_at_most(limit))
    body = _Body(request, limit, spool)
    chunks: list[bytes] = []
    try:
        while chunk := await body.read():
            chunks.append(chunk)
    except TooSlow as e:
        raise _closing(e) from None
    return b"".join(chunks)


async def read_form(request: Request, limit: int, spool: Spool) -> Sent:
    """The form of a request whose body is at most `limit` bytes. The caller closes it.

    Raises UnsupportedMedia, BadRequest, TooLarge, TooSlow.
    """
    kind, options = parse_options_header(request.header("content-type"))
    if kind != MULTIPART or not options.get("boundary"):
        raise UnsupportedMedia(f"send {MULTIPART}")
    if _declared(request) > limit:
        raise _closing(TooLarge(_at_most(limit)))
    reading, body = _Reading(spool), _Body(request, limit, spool)
    try:
        # Not strict: what follows the last boundary, a line break as a rule, may come in a chunk of its own.
        with PushMultipartParser(options["boundary"], max_segment_count=MAX_FILES + MAX_FIELDS) as parser:
            while chunk := await body.read():
                for event in parser.parse(chunk):
                    await reading.take(event)
        return reading.finish()
    except BaseException as e:
        reading.sent.close()
        if not isinstance(e, Problem | MultipartError):
            raise
        await body.linger()
        raise _closing(BadRequest(f"the form cannot be read: {e}") if isinstance(e, MultipartError) else e) from None


class _Reading:
    """Takes the parser's events and keeps what they bring."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._part: MultipartSegment | None = None
        self._file: SentFile | None = None
        self._pending = bytearray()
        self._text = 0
        self._fields: list[tuple[str, bytes]] = []
        self.sent = Sent(b"", [])

    async def take(self, event: object) -> None:
        if isinstance(event, MultipartSegment):
            self._begin(event)
        elif event is None:
            await self._end()
        else:
            await self._more(cast("bytes", event))

    def _begin(self, part: MultipartSegment) -> None:
        self._part, self._file = part, None
        if part.filename is None:
            if len(self._fields) >= MAX_FIELDS:
                raise TooLarge(f"at most {MAX_FIELDS} fields")
            return
        if len(self.sent.files) >= MAX_FILES:
            raise TooLarge(f"at most {MAX_FILES} files")
        file = cast("BinaryIO", tempfile.TemporaryFile(dir=self._spool.folder))  # noqa: SIM115 - closed by `Sent.close`
        self._file = SentFile(part.name or "", plain_name(part.filename), part.content_type or "", 0, file)
        self.sent.files.append(self._file)

    async def _more(self, chunk: bytes) -> None:
        self._pending += chunk
        if self._file is None:
            self._text += len(chunk)
            if self._text > MAX_FIELDS_BYTES:
                raise TooLarge(_at_most(MAX_FIELDS_BYTES) + " of text")
        elif len(self._pending) >= WRITE_BYTES:
            await self._write(self._file)

    async def _write(self, file: SentFile) -> None:
        data = bytes(self._pending)
        self._pending.clear()
        file.size += len(data)
        await asyncio.to_thread(file.file.write, data)

    async def _end(self) -> None:
        if self._file is not None:
            await self._write(self._file)
            await asyncio.to_thread(self._file.file.seek, 0)
        elif self._part is not None:
            self._fields.append((self._part.name or "", bytes(self._pending)))
            self._pending.clear()

    def finish(self) -> Sent:
        """Raises BadRequest for text that is not UTF-8."""
        try:
            text = [(name, value.decode()) for name, value in self._fields]
        except UnicodeDecodeError:
            raise BadRequest("the form's text is not UTF-8") from None
        self.sent.fields = urlencode(text).encode()
        # A form's file input that was left empty is sent as a file without a name.
        for file in [f for f in self.sent.files if not f.name and not f.size]:
            file.file.close()
            self.sent.files.remove(file)
        return self.sent


def plain_name(name: str) -> str:
    """A file's name as its sender calls it, without folders and without what no name should have; may be empty."""
    last = name.replace("\\", "/").rpartition("/")[2]
    clean = "".join(c for c in unicodedata.normalize("NFC", last) if c.isprintable() and c not in '<>:"|?*')
    return clean.strip(" .")[-MAX_NAME_CHARS:]


class _Body:
    """A request's body, chunk by chunk, as long as it keeps coming."""

    def __init__(self, request: Request, limit: int, spool: Spool) -> None:
        self._receive = request.receive
        self._limit = limit
        self._spool = spool
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._received = 0
        self._more = True

    async def read(self) -> bytes:
        """The next chunk; empty at the end. Raises TooLarge, TooSlow, BadRequest when the client leaves."""
        while self._more:
            chunk = await self._next(self._patience_s())
            if self._received > self._limit:
                raise TooLarge(_at_most(self._limit))
            if chunk:
                return chunk
        return b""

    def _patience_s(self) -> float:
        spool = self._spool
        left_s = spool.grace_s + self._received / spool.least_bytes_per_s - (self._loop.time() - self._began)
        return max(0.0, min(spool.idle_s, left_s))

    async def _next(self, timeout_s: float) -> bytes:
        try:
            async with asyncio.timeout(timeout_s):
                message = await self._receive()
        except TimeoutError:
            self._more = False  # whoever is that slow is not waited for again
            raise TooSlow from None
        # The first message may say so as well: for a server a client that has left has sent nothing, whatever had arrived.
        if message["type"] == "http.disconnect":
            self._more = False
            raise BadRequest("the client left before the body was complete")
        chunk: bytes = message.get("body", b"")
        self._received += len(chunk)
        self._more = message.get("more_body", False)
        return chunk

    async def linger(self) -> None:
        """Reads on for a little while and forgets what it reads."""
        enough = self._received + LINGER_BYTES
        until = self._loop.time() + LINGER_S
        with contextlib.suppress(Problem):
            while self._more and self._received < enough:
                await self._next(max(0.0, until - self._loop.time()))


def _declared(request: Request) -> int:
    """The length that a request announces; 0 when it announces none."""
    length = request.headers.get(b"content-length", b"")
    return int(length) if length.isdigit() else 0


def _closing(problem: Problem) -> Problem:
    """The connection ends with the answer: what is still on its way is not waited for."""
    problem.headers["Connection"] = "close"
    return problem


def _at_most(limit: int) -> str:
    return f"at most {limit // (1024 * 1024)} MiB" if limit >= 1024 * 1024 else f"at most {limit // 1024} KiB"
