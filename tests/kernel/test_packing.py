"""An archive that is made while it is sent."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime

from forecourt.kernel.packing import Packer

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)


def test_what_was_taken_in_pieces_is_an_archive_that_any_reader_opens() -> None:
    packer = Packer(NOON)
    sent: list[bytes] = []
    for name, parts in (("bookings.json", [b"[", b"]"]), ("files/🎾 é.jpg", [b"\xff" * 300_000, b"\x00"])):
        packer.begin(name)
        for part in parts:
            packer.write(part)
            sent.append(packer.take())
        packer.end()
    sent.append(packer.close())
    assert packer.take() == b""
    with zipfile.ZipFile(io.BytesIO(b"".join(sent))) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["bookings.json", "files/🎾 é.jpg"]
        assert archive.read("bookings.json") == b"[]"
        assert archive.read("files/🎾 é.jpg") == b"\xff" * 300_000 + b"\x00"
        assert archive.infolist()[0].date_time == (2026, 6, 1, 12, 0, 0)


def test_an_archive_that_is_abandoned_is_no_archive() -> None:
    packer = Packer(NOON)
    packer.begin("bookings.json")
    packer.write(b"[" * 100_000)
    sent = packer.take()
    packer.abandon()
    packer.abandon()
    assert not zipfile.is_zipfile(io.BytesIO(sent))
