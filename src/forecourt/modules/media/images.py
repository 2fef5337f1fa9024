"""Images made safe and small: decoded, turned the right way up, and encoded anew. Runs in threads; Pillow lets go of the GIL.

What comes out was drawn by us: no place, no camera, no script, nothing after the end.
"""

from __future__ import annotations

import base64
import io
import re
from typing import BinaryIO, cast

import structlog
from msgspec import Struct
from PIL import Image, ImageCms, ImageOps

from forecourt.modules.media.contract import MediaRefused, MediaTooLarge
from forecourt.modules.media.rules import IMAGES

log = structlog.get_logger("forecourt.media")

MAX_PIXELS = 40_000_000
"""A camera's largest everyday picture. Decoding takes up to 8 bytes a pixel for as long as it lasts."""
LARGE_PIXELS = 12_000_000
"""Of images above this one is decoded at a time."""
MAX_SCANS = 64
"""A progressive JPEG has about ten. Each may be twenty bytes long and costs as much as looking at the whole picture once: a file
of a megabyte could keep a thread for an hour."""
MAX_SIDE = 2560
"""What is kept is made to fit a square of this side."""
WIDTHS = (320, 800, 1600)
BLUR_SIDE = 16

_MARKER = re.compile(rb"\xff+[\x01-\xcf\xd8-\xfe]")
"""What begins a segment of a JPEG. A zero behind 0xff is data, and 0xd0 to 0xd7 stand in the middle of it."""
_NOTHING_FOLLOWS, _SCAN, _END = (0x01, 0xD8), 0xDA, 0xD9

# Pillow only warns at its own limit, and raises at twice that; ours is asked before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


class Picture(Struct, frozen=True):
    """An encoded image."""

    width: int
    height: int
    content: bytes


class Made(Struct, frozen=True):
    """What is kept of an image: itself as `type`, smaller variants as WebP, and a blurred one of a few dozen bytes."""

    type: str
    full: Picture
    variants: list[Picture]
    blur: str


def pixels(file: BinaryIO, type_: str) -> int:
    """How many pixels an image says it has, from its header. Raises MediaRefused, MediaTooLarge."""
    count = _width_times_height(file, type_)
    if count > MAX_PIXELS:
        raise MediaTooLarge(f"at most {MAX_PIXELS // 1_000_000} million pixels")
    return count


def _width_times_height(file: BinaryIO, type_: str) -> int:
    try:
        with _opened(file, type_) as image:
            return image.width * image.height
    except Exception as e:  # Pillow raises whatever a file leads it to
        raise _refused(e) from None


def make(file: BinaryIO, type_: str) -> Made:
    """Raises MediaRefused for what cannot be decoded to the end, or takes too much work."""
    if type_ == "image/jpeg" and _has_too_many_scans(file):
        raise MediaRefused(f"a JPEG of at most {MAX_SCANS} scans is taken; save the image anew")
    try:
        with _opened(file, type_) as image:
            if type_ == "image/jpeg":
                # The decoder skips what would only be thrown away: a quarter of the memory for twice the side.
                image.draft("RGB", (MAX_SIDE, MAX_SIDE))
            return _encoded(_upright(image), type_)
    except Exception as e:  # Pillow raises whatever a file leads it to
        raise _refused(e) from None


def _has_too_many_scans(file: BinaryIO) -> bool:
    """By the segments, as a decoder walks along them."""
    file.seek(0)
    data, at, scans = file.read(), 0, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)) is not None:
        at, marker = found.end(), data[found.end() - 1]
        if marker == _END:
            return False
        if marker not in _NOTHING_FOLLOWS:
            at += max(2, int.from_bytes(data[at : at + 2], "big"))
        scans += marker == _SCAN
    return scans > MAX_SCANS


def _refused(error: Exception) -> MediaRefused:
    log.info("image_refused", error=type(error).__name__, reason=str(error)[:200])
    return MediaRefused("the image is damaged, or is none")


def _opened(file: BinaryIO, type_: str) -> Image.Image:
    file.seek(0)
    return Image.open(file, formats=[IMAGES[type_]])


def _upright(image: Image.Image) -> Image.Image:
    """The first frame in plain colours, the way up that the camera noted."""
    image.load()
    profile = cast("bytes | None", image.info.get("icc_profile"))
    turned = ImageOps.exif_transpose(image)
    plain = turned.convert("RGBA" if turned.has_transparency_data else "RGB")
    plain.thumbnail((MAX_SIDE, MAX_SIDE), Image.Resampling.LANCZOS, reducing_gap=3.0)
    plain.info.clear()
    return _as_srgb(plain, profile) if profile else plain


def _as_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours of another profile as those that every screen takes for granted; as they are when it cannot be read."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        # Without `inPlace` it always returns an image.
        converted = cast(
            "Image.Image",
            ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=image.mode),
        )
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image
    converted.info.clear()
    return converted


def _encoded(image: Image.Image, type_: str) -> Made:
    kept = {"image/jpeg": "image/jpeg", "image/webp": "image/webp"}.get(type_, "image/png")
    return Made(
        kept,
        _picture(image, kept),
        [_picture(_narrowed(image, width), "image/webp") for width in WIDTHS if width < image.width],
        _blur(image),
    )


def _picture(image: Image.Image, type_: str) -> Picture:
    out = io.BytesIO()
    match type_:
        case "image/jpeg":
            image.convert("RGB").save(out, "JPEG", quality=90)
        case "image/webp":
            image.save(out, "WEBP", quality=82, method=3)
        case _:
            image.save(out, "PNG", compress_level=6)
    return Picture(image.width, image.height, out.getvalue())


def _narrowed(image: Image.Image, width: int) -> Image.Image:
    height = max(1, round(image.height * width / image.width))
    return image.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3.0)


def _blur(image: Image.Image) -> str:
    tiny = image.copy()
    tiny.thumbnail((BLUR_SIDE, BLUR_SIDE), Image.Resampling.BILINEAR, reducing_gap=2.0)
    out = io.BytesIO()
    tiny.save(out, "WEBP", quality=20, method=6)
    return "data:image/webp;base64," + base64.b64encode(out.getvalue()).decode()
