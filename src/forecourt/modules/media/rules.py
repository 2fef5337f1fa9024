"""What a file is, judged by its bytes; which part of it is asked for; and addresses that open it. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Protocol, overload

from forecourt.kernel.errors import RangeNotSatisfiable
from forecourt.modules.media.contract import MediaKind

MIB = 1024 * 1024
MAX_BYTES = MappingProxyType(
    {MediaKind.IMAGE: 20 * MIB, MediaKind.DOCUMENT: 20 * MIB, MediaKind.AUDIO: 25 * MIB, MediaKind.VIDEO: 100 * MIB}
)
"""The largest file that is taken, by kind."""
IMAGES = MappingProxyType({"image/jpeg": "JPEG", "image/png": "PNG", "image/webp": "WEBP", "image/gif": "GIF"})
"""Images that are taken, and what their decoders are called."""
WITH_NOTES = frozenset({"video/mp4", "audio/mp4"})
"""Kept as they were sent, but for what they say of where and with what they were taken."""
TAKEN = "JPEG, PNG, WebP and GIF images, PDF, MP3, M4A, Ogg, WebM and MP4"

SIGNED_FOR_S = 1800
"""A signed address works for at least so long, and for less than twice as long."""
HEAD_BYTES = 256 * 1024
"""So much of the beginning of a WebM file is searched for its tracks."""
ARCHIVE_TAIL_BYTES = 65_536 + 22
"""An archive's directory ends at most so far before the end of the file."""
MAX_BOXES = 10_000


class Bytes(Protocol):
    """What can be looked at without being read as a whole: bytes, or a file mapped into memory."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int, /) -> int: ...
    @overload
    def __getitem__(self, at: slice, /) -> bytes: ...


def kind_of(type_: str) -> MediaKind:
    """The kind of a media type that `type_of` gives."""
    if type_ == "application/pdf":
        return MediaKind.DOCUMENT
    return MediaKind(type_.split("/", 1)[0])


def type_of(data: Bytes) -> str | None:  # noqa: PLR0911 - one return per format
    """The media type of a file, by what is in it; None for everything that is not taken."""
    head = data[:16]
    if head[:3] == b"\xff\xd8\xff":
        return "image/jpeg"
    if head[:8] == b"\x89PNG\r\n\x1a\n":
        return "image/png"
    if head[:6] in (b"GIF87a", b"GIF89a"):
        return "image/gif"
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    # The rest is kept as it was sent, so it must not be something else besides.
    if is_also_a_page(data[:1024]) or is_also_an_archive(data[-ARCHIVE_TAIL_BYTES:]):
        return None
    if head[:5] == b"%PDF-":
        return "application/pdf" if b"%%EOF" in data[-1024:] else None
    if head[:4] == b"OggS":
        return "audio/ogg" if b"OpusHead" in data[:256] or b"\x01vorbis" in data[:256] else None
    if head[:4] == b"\x1aE\xdf\xa3":
        return _webm(data[:HEAD_BYTES])
    if head[4:8] == b"ftyp":
        return _mp4(data)
    return "audio/mpeg" if _is_mp3(data) else None


def is_also_a_page(head: bytes) -> bool:
    """Whether a browser that guesses could take this beginning for a page or a script."""
    plain = head.lower()
    return any(mark in plain for mark in (b"<html", b"<script", b"<svg", b"<!doctype", b"<?php", b"<?xml"))


def is_also_an_archive(tail: bytes) -> bool:
    """Whether this end is that of a ZIP archive, which is read from its end."""
    return b"PK\x05\x06" in tail


def _webm(head: bytes) -> str | None:
    if b"webm" not in head[:64]:
        return None
    if any(codec in head for codec in (b"V_VP8", b"V_VP9", b"V_AV1")):
        return "video/webm"
    return "audio/webm" if b"A_OPUS" in head or b"A_VORBIS" in head else None


def _mp4(data: Bytes) -> str | None:
    """By its tracks: `video/mp4` when one is to be looked at, `audio/mp4` when all are to be heard."""
    if data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif", b"avis"):
        return None  # a picture in the same wrapping
    handlers: set[bytes] = set()
    for name, start, end in _boxes(data, 0, len(data)):
        if name == b"moov":
            handlers = set(_handlers(data, start, end))
            break
    if b"vide" in handlers:
        return "video/mp4"
    return "audio/mp4" if b"soun" in handlers else None


_NOTES = frozenset({b"udta", b"meta", b"uuid"})
_HOLD_NOTES = MappingProxyType({b"moov": frozenset({b"trak"}), b"trak": frozenset[bytes]()})
BLANK = b"free"
"""What a box is called that players pass over."""


def notes_of(data: Bytes) -> list[tuple[int, int, int]]:
    """Where an MP4 says where, when, with what and by whom it was made: place of the box's name, of its content and of its end.

    A player needs none of it. Made blank they keep their size, so that the tables that say where the frames lie stay right.
    """
    return list(_notes(data, 0, len(data), frozenset(_HOLD_NOTES) - {b"trak"}))


def _notes(data: Bytes, start: int, end: int, inside: frozenset[bytes]) -> Iterator[tuple[int, int, int]]:
    for name, at, stop in _boxes(data, start, end):
        if name in _NOTES and (inside or name != b"uuid"):  # a track's own may say how it is to be looked at
            yield (at - 4 if data[at - 4 : at] == name else at - 12), at, stop  # a long size stands behind the name
        elif name in inside:
            yield from _notes(data, at, stop, _HOLD_NOTES[name])


def _handlers(data: Bytes, start: int, end: int) -> Iterator[bytes]:
    """What the tracks of a `moov` box are for."""
    for track, track_start, track_end in _boxes(data, start, end):
        if track != b"trak":
            continue
        for media, media_start, media_end in _boxes(data, track_start, track_end):
            if media != b"mdia":
                continue
            for name, at, _ in _boxes(data, media_start, media_end):
                if name == b"hdlr":
                    yield data[at + 8 : at + 12]


def _boxes(data: Bytes, start: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """The boxes between two places: name, and where the content begins and ends. Stops at the first that cannot be."""
    for _ in range(MAX_BOXES):
        header = data[start : start + 16]
        if start >= end or len(header) < 8:
            return
        size, skip = int.from_bytes(header[:4], "big"), 8
        if size == 1:
            size, skip = int.from_bytes(header[8:16], "big"), 16
        elif size == 0:
            size = end - start
        if size < skip or start + size > end:
            return
        yield header[4:8], start + skip, start + size
        start += size


_BITRATES_KBPS = MappingProxyType(
    {
        1: (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
        2: (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
    }
)
_RATES_HZ = MappingProxyType({3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)})


def _is_mp3(data: Bytes) -> bool:
    """Two frames of MPEG layer III one after the other, after an ID3 tag if there is one."""
    at = 0
    if data[:3] == b"ID3":
        size = data[6:10]
        if len(size) < 4 or max(size) > 0x7F:
            return False
        at = 10 + (size[0] << 21 | size[1] << 14 | size[2] << 7 | size[3])
    length = _mp3_frame(data[at : at + 4])
    return length > 0 and _mp3_frame(data[at + length : at + length + 4]) > 0


def _mp3_frame(header: bytes) -> int:
    """How many bytes the frame of this header has; 0 for what is none."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return 0
    version, layer = header[1] >> 3 & 3, header[1] >> 1 & 3
    rate, hertz, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer != 1 or rate in (0, 15) or hertz == 3:
        return 0
    first = version == 3
    kbps = _BITRATES_KBPS[1 if first else 2][rate]
    return (144 if first else 72) * kbps * 1000 // _RATES_HZ[version][hertz] + padding


# --- parts of a file -----------------------------------------------------------------------------------------------------


def part_of(header: str, length: int) -> tuple[int, int] | None:
    """The half-open range of bytes that a `Range` header asks for; None for the whole (RFC 9110, section 14).

    Headers that are malformed or ask for several ranges are answered with the whole. Raises RangeNotSatisfiable.
    """
    unit, _, ranges = header.partition("=")
    first, dash, last = ranges.strip().partition("-")
    if unit.strip().lower() != "bytes" or not dash or not all(p == "" or _is_number(p) for p in (first, last)):
        return None
    if (not first and not last) or (first and last and int(last) < int(first)):
        return None
    start = int(first) if first else max(0, length - int(last))
    end = int(last) + 1 if first and last else length
    if start >= length:
        problem = RangeNotSatisfiable()
        problem.headers["Content-Range"] = f"bytes */{length}"
        raise problem
    return start, min(end, length)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


# --- addresses -----------------------------------------------------------------------------------------------------------


def expiry(now: datetime) -> datetime:
    """Until when an address that is made at `now` works: the same for half an hour, so that browsers keep what it opened."""
    return datetime.fromtimestamp((now.timestamp() // SIGNED_FOR_S + 2) * SIGNED_FOR_S, UTC)


# --- what a browser is told ----------------------------------------------------------------------------------------------

_ENDINGS = MappingProxyType(
    {
        "image/jpeg": (".jpg", ".jpeg"),
        "image/png": (".png",),
        "image/webp": (".webp",),
        "application/pdf": (".pdf",),
        "audio/mpeg": (".mp3",),
        "audio/ogg": (".ogg", ".oga", ".opus"),
        "audio/mp4": (".m4a", ".mp4"),
        "audio/webm": (".weba", ".webm"),
        "video/mp4": (".mp4", ".m4v", ".mov"),
        "video/webm": (".webm",),
    }
)


def file_name(name: str, type_: str) -> str:
    """The name under which a file is saved. Its ending says what it is, whatever its sender called it."""
    endings = _ENDINGS[type_]
    stem = name or "file"
    return stem if stem.lower().endswith(endings) else stem + endings[0]


def may_be_partial(if_range: str, tag: str) -> bool:
    """Whether a part may be sent: `If-Range` is absent or names this version."""
    return if_range.strip() in ("", f'"{tag}"')
