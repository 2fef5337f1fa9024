"""What a file is, by its bytes; which part is asked for; addresses that open it."""

from __future__ import annotations

import mmap
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.modules.media import samples

from forecourt.kernel.errors import RangeNotSatisfiable
from forecourt.modules.media import rules
from forecourt.modules.media.contract import MediaKind

NOW = datetime(2026, 6, 1, 12, 10, tzinfo=UTC)

TAKEN = {
    "jpeg": (samples.picture(form="JPEG"), "image/jpeg"),
    "png": (samples.picture(), "image/png"),
    "gif": (samples.picture(form="GIF", mode="P"), "image/gif"),
    "webp": (samples.picture(form="WEBP"), "image/webp"),
    "pdf": (samples.PDF, "application/pdf"),
    "opus in ogg": (samples.ogg(), "audio/ogg"),
    "vorbis in ogg": (samples.ogg(b"\x01vorbis"), "audio/ogg"),
    "mp3 with a tag": (samples.mp3(), "audio/mpeg"),
    "mp3 without one": (samples.mp3(tag=False), "audio/mpeg"),
    "a voice in webm": (samples.webm(b"A_OPUS"), "audio/webm"),
    "an old voice in webm": (samples.webm(b"A_VORBIS"), "audio/webm"),
    "a film in webm": (samples.webm(b"V_VP9"), "video/webm"),
    "a film in mp4": (samples.mp4(b"soun", b"vide"), "video/mp4"),
    "a film that says where": (samples.film_with_places(), "video/mp4"),
    "a voice in mp4": (samples.mp4(b"soun", brand=b"M4A "), "audio/mp4"),
}

REFUSED = {
    "nothing": b"",
    "a letter": b"a",
    "svg": samples.SVG,
    "html": samples.HTML,
    "zip": samples.archive(),
    "gzip": b"\x1f\x8b\x08" + b"\0" * 100,
    "a program": b"\x7fELF" + b"\0" * 100,
    "text": b"hello " * 100,
    "bmp": b"BM" + b"\0" * 100,
    "tiff": b"II*\x00" + b"\0" * 100,
    "a sound in riff": b"RIFF\0\0\0\0WAVE" + b"\0" * 100,
    "pdf without an end": b"%PDF-1.4\n" + b"\0" * 5000,
    "pdf that is a page": b"%PDF-1.4 <script>alert(1)</script>\n%%EOF",
    "pdf that is an archive": samples.PDF + samples.archive() + b"%%EOF",
    "mp3 that is an archive": samples.mp3() + samples.archive(),
    "mp3 of one frame": samples.mp3(frames=1),
    "mp3 with a tag that is none": b"ID3\x04\x00\x00\xff\xff\xff\xff" + b"\0" * 100,
    "mp3 that ends in its tag": b"ID3\x04\x00",
    "ogg with something else": samples.ogg(b"fishead"),
    "matroska": samples.webm(b"V_VP9", b"matroska"),
    "webm without a track": samples.webm(b"S_TEXT"),
    "mp4 without a track": samples.mp4(),
    "mp4 with a track of text": samples.mp4(b"text"),
    "mp4 without moov": samples.box(b"ftyp", b"isom") + samples.box(b"mdat", b"x" * 50),
    "heic": samples.mp4(b"vide", brand=b"heic"),
    "avif": samples.mp4(b"vide", brand=b"avif"),
}


@pytest.mark.parametrize(("content", "type_"), TAKEN.values(), ids=TAKEN)
def test_a_file_is_what_its_bytes_say(content: bytes, type_: str) -> None:
    assert rules.type_of(content) == type_
    assert rules.kind_of(type_) in MediaKind


@pytest.mark.parametrize("content", REFUSED.values(), ids=REFUSED)
def test_what_is_none_of_them_or_two_things_at_once_is_nothing(content: bytes) -> None:
    assert rules.type_of(content) is None


@given(st.sampled_from([content for content, _ in TAKEN.values()]), st.data())
def test_no_damage_makes_looking_fail(content: bytes, data: st.DataObject) -> None:
    """A file from anywhere: cut short, or with bytes that were changed, is judged or refused, never an error."""
    broken = bytearray(content[: data.draw(st.integers(0, len(content)))])
    for _ in range(3):
        if broken:
            broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    assert rules.type_of(bytes(broken)) in {None, *(t for _, t in TAKEN.values())}
    assert all(4 <= name + 4 <= start <= end <= len(broken) for name, start, end in rules.notes_of(bytes(broken)))


def test_a_mapped_file_is_judged_like_bytes(tmp_path: Path) -> None:
    for content, type_ in TAKEN.values():
        (tmp_path / "x").write_bytes(content)
        with (tmp_path / "x").open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as view:
            assert rules.type_of(view) == type_  # type: ignore[arg-type]


def test_boxes_of_every_size_are_walked_and_none_for_ever() -> None:
    large = b"\0\0\0\1mdat" + (16 + 20).to_bytes(8, "big") + b"x" * 20
    track = samples.box(b"trak", samples.box(b"mdia", samples.box(b"hdlr", b"\0" * 8 + b"soun")))
    to_the_end = b"\0\0\0\0moov" + track
    assert rules.type_of(samples.box(b"ftyp", b"isom") + large + to_the_end) == "audio/mp4"
    backwards = samples.box(b"ftyp", b"isom") + b"\0\0\0\4moov" + track
    assert rules.type_of(backwards) is None
    endless = samples.box(b"ftyp", b"isom") + samples.box(b"free") * (rules.MAX_BOXES + 1) + samples.mp4(b"soun")
    assert rules.type_of(endless) is None
    many = samples.box(b"ftyp", b"isom") + samples.box(b"free") * 100 + samples.mp4(b"soun")
    assert rules.type_of(many) == "audio/mp4"


@pytest.mark.parametrize(
    ("header", "what"),
    [
        (b"\xff\xfb\x90\x00", 417),  # MPEG 1, 128 kbit/s, 44.1 kHz
        (b"\xff\xfb\x92\x00", 418),  # the same with padding
        (b"\xff\xf3\x80\x00", 208),  # MPEG 2, 64 kbit/s, 22.05 kHz
        (b"\xff\xe3\x80\x00", 417),  # MPEG 2.5, 64 kbit/s, 11.025 kHz
        (b"\xff\xfb\x00\x00", 0),  # free bitrate
        (b"\xff\xfb\xf0\x00", 0),  # no bitrate
        (b"\xff\xfb\x9c\x00", 0),  # no sampling rate
        (b"\xff\xeb\x90\x00", 0),  # no version
        (b"\xff\xfd\x90\x00", 0),  # layer II
        (b"\xfe\xfb\x90\x00", 0),
        (b"\xff\x1b\x90\x00", 0),
        (b"\xff\xfb\x90", 0),
    ],
)
def test_a_frame_of_an_mp3_says_how_long_it_is(header: bytes, what: int) -> None:
    assert rules._mp3_frame(header) == what  # pyright: ignore[reportPrivateUsage]


# --- parts ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "part"),
    [
        ("bytes=0-99", (0, 100)),
        ("bytes=900-", (900, 1000)),
        ("bytes=-1", (999, 1000)),
        ("bytes=-5000", (0, 1000)),
        ("bytes=999-5000", (999, 1000)),
        ("Bytes = 5-5", (5, 6)),
        ("", None),
        ("bytes=", None),
        ("bytes=-", None),
        ("bytes=5-4", None),
        ("bytes=a-b", None),
        ("bytes=0-1,5-6", None),
        ("bytes=²-", None),
        ("bytes=0-" + "9" * 30, None),
        ("lines=0-9", None),
    ],
)
def test_a_range_is_one_part_or_the_whole(header: str, part: tuple[int, int] | None) -> None:
    assert rules.part_of(header, 1000) == part


@pytest.mark.parametrize("header", ["bytes=1000-", "bytes=1000-1001", "bytes=-0"])
def test_a_part_that_is_not_there_is_told_how_long_the_whole_is(header: str) -> None:
    with pytest.raises(RangeNotSatisfiable) as refused:
        rules.part_of(header, 1000)
    assert refused.value.headers["Content-Range"] == "bytes */1000"


def test_a_part_is_sent_of_the_version_that_somebody_has_a_part_of() -> None:
    assert rules.may_be_partial("", "a")
    assert rules.may_be_partial('"a"', "a")
    assert not rules.may_be_partial('W/"a"', "a")
    assert not rules.may_be_partial("Sat, 21 Nov 2026 08:00:00 GMT", "a")


@pytest.mark.parametrize(
    ("name", "type_", "saved"),
    [
        ("court.jpg", "image/jpeg", "court.jpg"),
        ("Court.JPEG", "image/jpeg", "Court.JPEG"),
        ("page.html", "image/png", "page.html.png"),
        ("court.jpg", "image/webp", "court.jpg.webp"),
        ("", "application/pdf", "file.pdf"),
    ],
)
def test_the_ending_of_a_saved_file_says_what_it_is(name: str, type_: str, saved: str) -> None:
    assert rules.file_name(name, type_) == saved


def test_every_type_has_an_ending() -> None:
    for _, type_ in TAKEN.values():
        assert rules.file_name("", "image/png" if type_ == "image/gif" else type_)


# --- addresses -----------------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**7))
def test_an_address_works_for_half_an_hour_at_least_and_an_hour_at_most(later_s: int) -> None:
    now = NOW + timedelta(seconds=later_s)
    until = rules.expiry(now)
    assert timedelta(minutes=30) < until - now <= timedelta(hours=1)
