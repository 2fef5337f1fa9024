"""What is kept of an image was drawn by us: it shows the same, and says nothing else."""

from __future__ import annotations

import base64
import io

import pytest
from PIL import Image, ImageCms
from tests.modules.media import samples

from forecourt.modules.media import images
from forecourt.modules.media.contract import MediaRefused, MediaTooLarge


def made(content: bytes, type_: str) -> images.Made:
    return images.make(io.BytesIO(content), type_)


def seen(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


def test_the_place_and_the_camera_are_gone_and_the_picture_is_upright() -> None:
    sent = samples.photo_with_a_place(60, 40, orientation=6)
    before = seen(sent)
    assert before.getexif().get_ifd(samples.GPS_IFD)  # or the test proves nothing
    assert b"Telephone" in sent
    kept = made(sent, "image/jpeg").full
    after = seen(kept.content)
    assert not after.getexif()
    assert "comment" not in after.info
    assert b"Telephone" not in kept.content
    assert b"remark" not in kept.content
    assert (kept.width, kept.height) == after.size == (40, 60)
    # Turned a quarter clockwise: what was dark at the top of the sensor is now at the right.
    assert after.convert("L").getpixel((38, 30)) < after.convert("L").getpixel((1, 30))


def test_text_in_a_png_is_gone() -> None:
    from PIL.PngImagePlugin import PngInfo

    said = PngInfo()
    said.add_text("Location", "51.5 -0.12")
    sent = samples.picture(pnginfo=said)
    assert b"Location" in sent
    assert b"Location" not in made(sent, "image/png").full.content


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (12_000, 12_000), (40_000_001, 1), (2**31 - 1, 2**31 - 1)])
def test_a_bomb_is_refused_before_anything_is_decoded(width: int, height: int) -> None:
    bomb = samples.png_that_says(width, height)
    assert len(bomb) < 2000
    with pytest.raises(MediaTooLarge):
        images.pixels(io.BytesIO(bomb), "image/png")


def test_as_many_pixels_as_are_allowed_are_allowed() -> None:
    assert images.pixels(io.BytesIO(samples.png_that_says(8000, 5000)), "image/png") == images.MAX_PIXELS


def with_scans(count: int) -> bytes:
    """A progressive JPEG that says its last scan `count` times more."""
    plain = samples.picture(64, 64, "JPEG", progressive=True)
    last = plain.rindex(b"\xff\xda")
    return plain[:-2] + plain[last:-2] * count + plain[-2:]


def test_a_jpeg_of_endless_scans_is_refused_before_anything_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(images, "_opened")  # who opened it would fail
    for fill in (b"", b"\xff\xff", b"noise"):  # which a decoder passes over
        with pytest.raises(MediaRefused, match="scans"):
            images.make(io.BytesIO(with_scans(100).replace(b"\xff\xda", fill + b"\xff\xda")), "image/jpeg")


def test_a_progressive_jpeg_is_taken_also_with_a_film_behind_it() -> None:
    assert images.make(io.BytesIO(with_scans(20)), "image/jpeg").full.width == 64
    film = b"\xff\xda\x00\x02" * 500  # as telephones keep one behind the picture
    assert images.make(io.BytesIO(with_scans(0) + film), "image/jpeg").full.width == 64


def test_what_follows_the_end_of_an_image_is_gone() -> None:
    sent = samples.gif_and_script()
    assert b"alert" in sent
    kept = made(sent, "image/gif")
    assert kept.type == "image/png"
    assert b"alert" not in kept.full.content


@pytest.mark.parametrize("damage", ["half", "head", "script"])
def test_an_image_that_is_damaged_or_only_looks_like_one_is_refused(damage: str) -> None:
    whole = samples.picture(600, 400, "JPEG")
    content = {"half": whole[: len(whole) // 2], "head": whole[:40], "script": b"\xff\xd8\xff" + samples.HTML}[damage]
    with pytest.raises(MediaRefused):
        made(content, "image/jpeg")
    with pytest.raises(MediaRefused):
        images.pixels(io.BytesIO(samples.HTML), "image/png")


def test_a_type_is_decoded_as_that_type_alone() -> None:
    with pytest.raises(MediaRefused):
        made(samples.picture(form="PNG"), "image/jpeg")


def test_large_images_get_every_variant_and_small_ones_none() -> None:
    large = made(samples.picture(3000, 1500, "JPEG"), "image/jpeg")
    assert (large.full.width, large.full.height) == (2560, 1280)
    assert [(v.width, v.height) for v in large.variants] == [(320, 160), (800, 400), (1600, 800)]
    for variant in large.variants:
        assert (seen(variant.content).format, seen(variant.content).size) == ("WEBP", (variant.width, variant.height))
    assert made(samples.picture(320, 200), "image/png").variants == []
    assert [v.width for v in made(samples.picture(321, 3), "image/png").variants] == [320]


def test_a_line_stays_a_line() -> None:
    line = made(samples.picture(5000, 1), "image/png")
    assert (line.full.width, line.full.height) == (2560, 1)
    assert [v.height for v in line.variants] == [1, 1, 1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
def test_every_sort_of_png_is_drawn(mode: str) -> None:
    kept = made(samples.picture(40, 30, "PNG", mode) if mode != "I;16" else _deep(), "image/png")
    assert seen(kept.full.content).mode in ("RGB", "RGBA")


def _deep() -> bytes:
    out = io.BytesIO()
    Image.new("I;16", (40, 30), 20_000).save(out, "PNG")
    return out.getvalue()


def test_what_was_transparent_stays_transparent() -> None:
    image = Image.new("RGBA", (400, 400), (255, 0, 0, 0))
    out = io.BytesIO()
    image.save(out, "PNG")
    kept = made(out.getvalue(), "image/png")
    assert seen(kept.full.content).getpixel((5, 5))[3] == 0  # type: ignore[index]
    assert seen(kept.variants[0].content).convert("RGBA").getpixel((5, 5))[3] == 0  # type: ignore[index]


def test_print_colours_and_the_colours_of_a_profile_become_those_of_screens() -> None:
    assert seen(made(samples.picture(form="JPEG", mode="CMYK"), "image/jpeg").full.content).mode == "RGB"
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    kept = made(samples.picture(form="JPEG", icc_profile=profile), "image/jpeg").full
    assert "icc_profile" not in seen(kept.content).info
    nonsense = made(samples.picture(form="JPEG", icc_profile=b"nonsense"), "image/jpeg").full
    assert "icc_profile" not in seen(nonsense.content).info


def test_the_blurred_one_is_a_few_dozen_bytes_and_an_image() -> None:
    for content, type_ in ((samples.picture(3000, 1500, "JPEG"), "image/jpeg"), (samples.picture(1, 1), "image/png")):
        blur = made(content, type_).blur
        head, _, code = blur.partition(",")
        assert head == "data:image/webp;base64"
        assert max(seen(base64.b64decode(code)).size) <= 16
        assert len(blur) < 400
