"""Files of every kind that is taken, and of some that are not, made here: small, and real to those who decode them."""

from __future__ import annotations

import io
import struct
import zipfile
import zlib

from PIL import Image

GPS_IFD, MAKE, ORIENTATION = 0x8825, 0x010F, 0x0112


def picture(width: int = 64, height: int = 48, form: str = "PNG", mode: str = "RGB", **more: object) -> bytes:
    """A gradient: no two sizes encode alike."""
    image = Image.linear_gradient("L").resize((width, height)).convert(mode)
    out = io.BytesIO()
    image.save(out, form, **more)
    return out.getvalue()


def photo_with_a_place(width: int = 60, height: int = 40, orientation: int = 6) -> bytes:
    """A JPEG as a telephone makes it: with a maker, a place, and lying on its side."""
    exif = Image.Exif()
    exif[MAKE] = "Telephone"
    exif[ORIENTATION] = orientation
    exif[GPS_IFD] = {1: "N", 2: (51.0, 30.0, 0.0), 3: "W", 4: (0.0, 7.0, 0.0)}
    return picture(width, height, "JPEG", exif=exif, comment=b"a remark of the camera")


def png_that_says(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims any size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    rows = zlib.compress(b"\x00" * 100_000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def gif_and_script() -> bytes:
    """A GIF whose size reads as the beginning of a comment in JavaScript, with a script after its end."""
    gif = bytearray(picture(form="GIF", mode="P"))
    return bytes(gif) + b"*/=1;alert(document.domain)//"


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<!doctype html><script>alert(1)</script>"
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"


def archive() -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        packed.writestr("a.txt", "hello")
    return out.getvalue()


def box(name: bytes, content: bytes = b"") -> bytes:
    return struct.pack(">I", 8 + len(content)) + name + content


def mp4(*handlers: bytes, brand: bytes = b"isom") -> bytes:
    """A container with a track for each handler, `vide` or `soun`, after its media data as cameras write it."""
    media = [box(b"mdia", box(b"mdhd", b"\0" * 24) + box(b"hdlr", b"\0" * 8 + handler + b"\0" * 12)) for handler in handlers]
    tracks = b"".join(box(b"trak", box(b"tkhd", b"\0" * 8) + track) for track in media)
    return box(b"ftyp", brand + b"\0\0\2\0") + box(b"mdat", b"\0" * 500) + box(b"moov", box(b"mvhd", b"\0" * 20) + tracks)


PLACE = b"+51.5074-000.1278/"
"""Where a film was taken, as telephones write it (ISO 6709)."""


def film_with_places() -> bytes:
    """A film that says in every usual spot where it was taken, before and behind what has to stay where it is."""
    user_data = box(b"udta", box(b"\xa9xyz", b"\x00\x12\x15\xc7" + PLACE))
    keys = box(b"meta", box(b"keys", b"com.apple.quicktime.location.ISO6709") + box(b"ilst", PLACE))
    media = box(b"mdia", box(b"mdhd", b"\0" * 24) + box(b"hdlr", b"\0" * 8 + b"vide" + b"\0" * 12))
    track = box(b"trak", box(b"tkhd", b"\0" * 8) + user_data + media + keys)
    moov = box(b"moov", box(b"mvhd", b"\0" * 20) + keys + track + user_data)
    large = struct.pack(">I4sQ", 1, b"udta", 16 + len(PLACE)) + PLACE
    return (
        box(b"ftyp", b"qt  \0\0\2\0") + user_data + moov + large + box(b"mdat", b"frames" * 80) + box(b"uuid", b"\1" * 16 + PLACE)
    )


def webm(codec: bytes, doctype: bytes = b"webm") -> bytes:
    header = b"\x1aE\xdf\xa3\x9fB\x86\x81\x01B\x82\x84" + doctype + b"\0" * 40
    return header + b"\x86" + bytes([0x80 + len(codec)]) + codec + b"\0" * 400


def ogg(codec: bytes = b"OpusHead") -> bytes:
    return b"OggS\x00\x02" + b"\0" * 20 + b"\x01\x13" + codec + b"\0" * 300


def mp3(*, tag: bool = True, frames: int = 3) -> bytes:
    """Frames of 128 kbit/s at 44.1 kHz: 417 bytes each."""
    frame = b"\xff\xfb\x90\x00" + b"\0" * 413
    return (b"ID3\x04\x00\x00\x00\x00\x01\x00" + b"\0" * 128 if tag else b"") + frame * frames
