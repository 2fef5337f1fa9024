"""Colour pairs of tokens.css, converted and compared: text 4.5 : 1, bars, borders and focus 3 : 1, heat-map numerals 4.6 : 1."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from forecourt.kernel.web import assets

TOKENS = (assets.OWN / "tokens.css").read_text()
STATES = ("hold", "approval", "upcoming", "live", "done", "bad", "block")
GROUNDS = ("canvas", "surface", "raised", "sunken")
BRANDS = {"pine": (161, 0.092), "azul": (252, 0.125), "port": (356, 0.105), "brick": (42, 0.115)}
THEMES = ("light", "dark")

TEXT: list[tuple[str, str]] = [
    *((ink, ground) for ink in ("ink", "ink-2", "ink-3", "accent", "bad-ink") for ground in GROUNDS),
    *((ink, "open") for ink in ("ink", "ink-2")),
    *((ink, "shut") for ink in ("ink", "ink-2")),
    ("act-ink", "act"),
    ("act-ink", "act-hover"),
    ("accent-fill-ink", "accent-fill"),
    ("accent", "accent-soft"),
    ("ink", "accent-soft"),
    ("ink-2", "accent-soft"),
    ("ball-ink", "ball"),
    ("ink", "ball-soft"),
    ("live-ink", "canvas"),
    ("live-ink", "surface"),
    *((f"{state}-ink", f"{state}-bg") for state in STATES),
    *(("ink", f"{state}-bg") for state in STATES),
]
SHAPES: list[tuple[str, str]] = [
    *((shape, ground) for shape in ("line-control", "focus") for ground in GROUNDS),
    *((f"{state}-bar", ground) for state in STATES for ground in ("canvas", "surface", "raised")),
    *(("accent-edge", ground) for ground in ("canvas", "surface")),
    *(("data-1", ground) for ground in ("canvas", "surface")),
]


@dataclass(frozen=True)
class Colour:
    lightness: float
    chroma: float
    hue: float

    def mix(self, other: Colour, share: float) -> Colour:
        """`color-mix(in oklch, self, other share)` of two colours of one hue."""
        assert self.hue == other.hue
        return Colour(
            self.lightness + (other.lightness - self.lightness) * share,
            self.chroma + (other.chroma - self.chroma) * share,
            self.hue,
        )

    def luminance(self) -> float:
        """Relative luminance (WCAG) of the colour as sRGB, out-of-gamut channels clipped as screens do."""
        a = self.chroma * math.cos(math.radians(self.hue))
        b = self.chroma * math.sin(math.radians(self.hue))
        long = (self.lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
        medium = (self.lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
        short = (self.lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
        red = 4.0767416621 * long - 3.3077115913 * medium + 0.2309699292 * short
        green = -1.2684380046 * long + 2.6097574011 * medium - 0.3413193965 * short
        blue = -0.0041960863 * long - 0.7034186147 * medium + 1.7076147010 * short
        r, g, b_ = (min(1.0, max(0.0, channel)) for channel in (red, green, blue))
        return 0.2126 * r + 0.7152 * g + 0.0722 * b_


def contrast(one: Colour, other: Colour) -> float:
    high, low = sorted((one.luminance(), other.luminance()), reverse=True)
    return (high + 0.05) / (low + 0.05)


def palette(theme: str, hue: float, chroma: float) -> dict[str, Colour]:
    found: dict[str, Colour] = {}
    body = TOKENS.split("@media (prefers-contrast")[0]
    for name, value in re.findall(r"--([\w-]+):\s*((?:light-dark|oklch)\([^;]+\));", body):
        pair = re.fullmatch(r"light-dark\((oklch\(.+\)), (oklch\(.+\))\)", value)
        chosen = value if pair is None else pair[1 if theme == "light" else 2]
        if "/" in chosen:
            continue
        found[name] = _colour(chosen, hue, chroma)
    return found


def _colour(text: str, hue: float, chroma: float) -> Colour:
    inner = text.removeprefix("oklch(").removesuffix(")")
    inner = inner.replace("var(--brand-h)", str(hue)).replace("var(--brand-c)", str(chroma))
    inner = re.sub(r"calc\(([\d.]+) \* ([\d.]+)\)", lambda m: str(float(m[1]) * float(m[2])), inner)
    lightness, c, h = (float(part) for part in inner.split())
    return Colour(lightness, c, h)


def test_the_conversion_is_right_where_the_answer_is_known() -> None:
    black, white, red = Colour(0, 0, 0), Colour(1, 0, 0), Colour(0.62796, 0.25768, 29.234)
    assert contrast(black, white) == pytest.approx(21, abs=0.01)
    assert contrast(red, white) == pytest.approx(3.998, abs=0.02)  # #f00 on white
    assert contrast(white, white) == 1


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("brand", BRANDS)
def test_text_and_shapes_keep_their_contrast(theme: str, brand: str) -> None:
    colours = palette(theme, *BRANDS[brand])
    faint = [f"{a} on {b}: {contrast(colours[a], colours[b]):.2f}" for a, b in TEXT if contrast(colours[a], colours[b]) < 4.5]
    faint += [f"{a} on {b}: {contrast(colours[a], colours[b]):.2f}" for a, b in SHAPES if contrast(colours[a], colours[b]) < 3]
    assert faint == []


@pytest.mark.parametrize("theme", THEMES)
def test_any_hue_an_organisation_may_choose_keeps_the_contrast(theme: str) -> None:
    branded_text = [(a, b) for a, b in TEXT if "accent" in a + b]
    branded_shapes = [(a, b) for a, b in SHAPES if a in ("accent-edge", "data-1")]
    faint: list[str] = []
    for hue in range(0, 360, 6):
        for chroma in (0.0, 0.06, 0.12, 0.15):
            if 15 <= hue <= 40 and chroma > 0.12:
                continue  # refused: too near the red of errors
            colours = palette(theme, hue, chroma)
            for pairs, least in ((branded_text, 4.5), (branded_shapes, 3.0)):
                faint += [f"{hue}/{chroma} {a} on {b}" for a, b in pairs if contrast(colours[a], colours[b]) < least]
    assert faint == []


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("brand", BRANDS)
def test_numerals_in_the_heat_map_can_be_read_on_every_step(theme: str, brand: str) -> None:
    colours = palette(theme, *BRANDS[brand])
    css = (assets.OWN / "forecourt.css").read_text()
    shares = {int(q): int(v) / 100 for q, v in re.findall(r'\[data-q="(\d)"\] \{ --qv: (\d+)%; \}', css)}
    assert sorted(shares) == list(range(1, 10))
    shares[0] = 0.0
    for q, share in shares.items():
        ground = colours["ramp-0"].mix(colours["ramp-hi"], share)
        numeral = colours["surface"] if q >= 6 else colours["ink"]
        assert contrast(numeral, ground) >= 4.6, f"step {q}"


def test_a_pair_that_is_too_faint_would_be_found() -> None:
    colours = palette("light", *BRANDS["pine"])
    assert contrast(colours["line"], colours["canvas"]) < 3
    assert contrast(colours["ball"], colours["canvas"]) < 4.5  # why the ball is a fill, never text


def test_css_knows_no_left_and_no_right() -> None:
    sided = re.compile(r"(?<![\w-])(?:left|right)(?![\w])|-(?:left|right)\b")
    assert sided.search("margin-left: 1px") is not None
    for file in sorted(Path(assets.OWN).rglob("*.css")):
        assert sided.search(file.read_text()) is None, file.name


def test_every_brand_number_a_page_may_write_has_its_rule() -> None:
    for hue in range(0, 360, 2):
        assert f'[data-hue="{hue}"]{{--brand-h:{hue}}}' in TOKENS
    for chroma in range(0, 151, 5):
        assert f'[data-chroma="{chroma}"]' in TOKENS


# --- letters


def letters_of(face: str) -> set[int]:
    """The code points that `tokens.css` fetches this typeface for."""
    (ranges,) = re.findall(rf'font-family: "{face}".*?unicode-range: ([^;]+);', TOKENS, re.DOTALL)
    found: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.strip().removeprefix("U+").partition("-")
        found |= set(range(int(first, 16), int(last or first, 16) + 1))
    return found


def test_every_letter_of_the_urdu_pages_has_its_typeface() -> None:
    folders = [assets.OWN.parent / "messages", *assets.OWN.parents[2].glob("modules/*/messages")]
    texts = "".join((folder / "ur.json").read_text() for folder in folders)
    arabic = {ord(c) for c in texts if "\u0600" <= c <= "\u08ff" or "\ufb50" <= c <= "\ufefc"}
    assert len(arabic) > 45, "or the test proves nothing"
    assert {chr(c) for c in arabic - letters_of("Vazirmatn")} == set()
    assert ord("ڀ") not in letters_of("Vazirmatn"), "a letter of Sindhi comes from the reader's system"
