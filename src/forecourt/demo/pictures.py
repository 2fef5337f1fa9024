"""Pictures of places that do not exist: courts from above and at dusk, rooms with light in them. Drawn, and the same for a seed.

Flat colours and soft edges, so that they are small: they are drawn twice as large and made smaller.
"""

from __future__ import annotations

import asyncio
import io
import math
import random
from collections import Counter
from collections.abc import Sequence

import msgspec
from PIL import Image, ImageDraw

from forecourt.demo.ids import Fate
from forecourt.kernel.context import service_context
from forecourt.modules.media.contract import Audience, Media, MediaOwner
from forecourt.modules.venues.contract import Photo, Resource, VenueBook

WIDTH, HEIGHT = 1200, 900
_SCALE = 2
_W, _H = WIDTH * _SCALE, HEIGHT * _SCALE

Point = tuple[float, float]
Colour = tuple[int, int, int]
Line = tuple[Point, Point]

BALL: Colour = (222, 233, 62)
CHALK: Colour = (247, 245, 236)
INK: Colour = (22, 34, 30)

COURTS: dict[str, tuple[float, float, list[Line]]] = {
    "padel": (10, 20, [((-5, 6.95), (5, 6.95)), ((-5, -6.95), (5, -6.95)), ((0, -6.95), (0, 6.95))]),
    "tennis": (
        10.97,
        23.77,
        [
            ((-4.1, -11.9), (-4.1, 11.9)), ((4.1, -11.9), (4.1, 11.9)), ((-4.1, 6.4), (4.1, 6.4)), ((-4.1, -6.4), (4.1, -6.4)),
            ((0, -6.4), (0, 6.4)),
        ],
    ),
    "badminton": (
        6.1,
        13.4,
        [
            ((-2.6, -6.7), (-2.6, 6.7)), ((2.6, -6.7), (2.6, 6.7)), ((-3, 2), (3, 2)), ((-3, -2), (3, -2)),
            ((0, 2), (0, 6.7)), ((0, -2), (0, -6.7)),
        ],
    ),
    "squash": (6.4, 9.75, [((-3.2, -0.6), (3.2, -0.6)), ((0, -0.6), (0, -4.9))]),
    "futsal": (20, 40, [((-10, 0), (10, 0)), ((-6, 20), (-6, 14)), ((6, 20), (6, 14)), ((-6, 14), (6, 14))]),
}  # fmt: skip
"""Width and length in metres, and the lines inside, from the middle."""
GROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((196, 106, 66), (141, 90, 60)),
    ((43, 104, 168), (27, 66, 110)),
    ((70, 128, 88), (42, 84, 66)),
    ((93, 88, 150), (58, 58, 104)),
    ((38, 122, 122), (24, 78, 84)),
)
"""A court and what lies around it."""
SKIES: tuple[tuple[Colour, Colour], ...] = (
    ((35, 52, 92), (238, 150, 104)),
    ((52, 74, 110), (244, 190, 140)),
    ((28, 40, 66), (196, 112, 128)),
    ((112, 152, 190), (240, 226, 200)),
)
WALLS: tuple[tuple[Colour, Colour], ...] = (
    ((226, 214, 196), (150, 120, 92)),
    ((200, 210, 204), (96, 110, 104)),
    ((214, 196, 188), (126, 88, 78)),
    ((190, 200, 214), (92, 98, 116)),
)


def picture(sport: str | None, view: int, dice: random.Random) -> bytes:
    """A JPEG of WIDTH by HEIGHT: of a court from above (view 0) or at dusk (1), or of a room where no court is played on."""
    image = Image.new("RGB", (_W, _H))
    if sport not in COURTS:
        _room(image, dice)
    elif view % 2 == 0:
        _from_above(image, sport, dice)
    else:
        _at_dusk(image, sport, dice)
    out = io.BytesIO()
    image.resize((WIDTH, HEIGHT), Image.Resampling.BOX).save(out, "JPEG", quality=84, optimize=True)
    return out.getvalue()


async def hang(media: Media, fate: Fate, book: VenueBook) -> VenueBook:
    """The book with two pictures of the venue and one of the first thing to book there; the files are media's."""
    sports = Counter(r.sport for r in book.resources)
    first = book.resources[0]
    venue, most = MediaOwner("venues", "venue", book.venue.id), sports.most_common(1)[0][0]
    shown = [await _hung(media, fate, book, venue, most, view) for view in (0, 1)]
    own = [await _hung(media, fate, book, MediaOwner("venues", "resource", first.id), first.sport, 2)]

    def pictured(resource: Resource) -> Resource:
        return msgspec.structs.replace(resource, photo_ids=[p.id for p in own], photos=own) if resource is first else resource

    return msgspec.structs.replace(
        book,
        venue=msgspec.structs.replace(book.venue, photo_ids=[p.id for p in shown], photos=shown),
        resources=[pictured(r) for r in book.resources],
    )


async def _hung(media: Media, fate: Fate, book: VenueBook, owner: MediaOwner, sport: str | None, view: int) -> Photo:
    ctx, slug = service_context("demo", book.organisation.id), book.venue.slug
    content = await asyncio.to_thread(picture, sport, view, fate.dice("picture", slug, view))
    card = await media.take(ctx, content, f"{slug}.jpg", words_for(sport, view))
    (card,) = await media.attach(ctx, [card.id], owner, Audience.PUBLIC)
    return Photo(card.id, card.url, WIDTH, HEIGHT, card.alt, card.blur, [v.width for v in card.variants])


def words_for(sport: str | None, view: int) -> str:
    """What a picture shows."""
    if sport not in COURTS:
        return "A room with tall windows and gear on the floor, drawn"
    return f"A {sport} court {'at dusk, under lights' if view % 2 else 'from above, in play'}, drawn"


# --- from above


def _from_above(image: Image.Image, sport: str, dice: random.Random) -> None:
    width, length, inside = COURTS[sport]
    court, around = dice.choice(GROUNDS)
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, 0, _W, _H), fill=around)
    turn = math.radians(dice.choice((-1, 1)) * dice.uniform(14, 34))
    size = _H / length * dice.uniform(1.15, 1.5)
    middle = (_W * dice.uniform(0.44, 0.56), _H * dice.uniform(0.44, 0.56))

    def at(p: Point) -> Point:
        x, y = p[0] * size, p[1] * size
        return (middle[0] + x * math.cos(turn) - y * math.sin(turn), middle[1] + x * math.sin(turn) + y * math.cos(turn))

    w, h = width / 2, length / 2
    thick = max(8, int(size * 0.14))
    draw.polygon([at(p) for p in ((-w, -h), (w, -h), (w, h), (-w, h))], fill=court)
    frame = [((-w, -h), (w, -h)), ((w, -h), (w, h)), ((w, h), (-w, h)), ((-w, h), (-w, -h))]
    for a, b in [*frame, *inside]:
        draw.line([at(a), at(b)], fill=CHALK, width=thick)
    if sport == "futsal":
        x, y = at((0, 0))
        draw.ellipse((x - 3 * size, y - 3 * size, x + 3 * size, y + 3 * size), outline=CHALK, width=thick)
    elif sport != "squash":
        shade = 0.5
        draw.line([at((-w - 0.6, shade)), at((w + 0.6, shade))], fill=(*INK, 70), width=thick * 2)
        draw.line([at((-w - 0.6, 0)), at((w + 0.6, 0))], fill=CHALK, width=thick)
    sun = dice.uniform(0, math.tau)
    for i in range(dice.choice((2, 4))):
        side = -1 if i % 2 else 1
        where = at((dice.uniform(-w * 0.7, w * 0.7), side * dice.uniform(h * 0.25, h * 0.8)))
        _player(draw, where, size * 0.5, sun, CHALK if side > 0 else INK)
    _player(draw, at((dice.uniform(-w * 0.6, w * 0.6), dice.uniform(-h * 0.3, h * 0.3))), size * 0.22, sun, BALL)


def _player(draw: ImageDraw.ImageDraw, where: Point, radius: float, sun: float, colour: Colour) -> None:
    """A dot with its long shadow."""
    x, y = where
    far = (x + math.cos(sun) * radius * 4, y + math.sin(sun) * radius * 4)
    draw.line([where, far], fill=(*INK, 80), width=int(radius * 1.7))
    end = radius * 0.85
    draw.ellipse((far[0] - end, far[1] - end, far[0] + end, far[1] + end), fill=(*INK, 50))
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=colour)


# --- at dusk


def _at_dusk(image: Image.Image, sport: str, dice: random.Random) -> None:
    width, length, inside = COURTS[sport]
    court, around = dice.choice(GROUNDS)
    above, below = dice.choice(SKIES)
    horizon = int(_H * dice.uniform(0.4, 0.5))
    draw = ImageDraw.Draw(image, "RGBA")
    _gradient(draw, 0, horizon, above, below)
    x, r = _W * dice.uniform(0.2, 0.8), _H * dice.uniform(0.07, 0.12)
    for grown, alpha in ((2.2, 26), (1.5, 44), (1.0, 255)):
        top, bottom = horizon - r * (grown + 0.7), horizon + r * (grown - 0.7)
        draw.ellipse((x - r * grown, top, x + r * grown, bottom), fill=(255, 228, 170, alpha))
    _houses(draw, horizon, dice)
    draw.rectangle((0, horizon, _W, _H), fill=_mixed(around, INK, 0.25))

    near, high = length * 0.66, 7.5
    focus = _H * 1.05

    def at(p: Point) -> Point:
        deep = p[1] + length / 2 + near
        return (_W / 2 + p[0] * focus / deep, horizon + high * focus / deep)

    w, h = width / 2, length / 2
    apron = ((-w * 1.35, -h * 1.2), (w * 1.35, -h * 1.2), (w * 1.35, h * 1.2), (-w * 1.35, h * 1.2))
    draw.polygon([at(p) for p in apron], fill=around)
    draw.polygon([at(p) for p in ((-w, -h), (w, -h), (w, h), (-w, h))], fill=court)
    for a, b in [((-w, -h), (w, -h)), ((w, -h), (w, h)), ((w, h), (-w, h)), ((-w, h), (-w, -h)), *inside]:
        draw.line([at(a), at(b)], fill=CHALK, width=10)
    left, right = at((-w - 0.5, 0)), at((w + 0.5, 0))
    tall = focus / (length / 2 + near)
    draw.polygon([left, right, (right[0], right[1] - tall), (left[0], left[1] - tall)], fill=(*INK, 90))
    draw.line([(left[0], left[1] - tall), (right[0], right[1] - tall)], fill=CHALK, width=12)
    for side in (-1, 1):
        foot = at((side * w * 1.45, h * 0.4))
        head = (foot[0], foot[1] - tall * 4.6)
        draw.line([foot, head], fill=INK, width=14)
        for grown, alpha in ((130, 22), (76, 44), (34, 255)):
            draw.ellipse((head[0] - grown, head[1] - grown, head[0] + grown, head[1] + grown), fill=(255, 246, 214, alpha))


def _houses(draw: ImageDraw.ImageDraw, horizon: int, dice: random.Random) -> None:
    x = -40.0
    while x < _W:
        wide, tall = _W * dice.uniform(0.03, 0.1), _H * dice.uniform(0.02, 0.11)
        draw.rectangle((x, horizon - tall, x + wide, horizon), fill=(*INK, 150))
        x += wide + dice.choice((0, 0, _W * 0.02))


# --- rooms


def _room(image: Image.Image, dice: random.Random) -> None:
    wall, floor = dice.choice(WALLS)
    edge = int(_H * dice.uniform(0.6, 0.68))
    draw = ImageDraw.Draw(image, "RGBA")
    _gradient(draw, 0, edge, _mixed(wall, CHALK, 0.25), wall)
    _gradient(draw, edge, _H, floor, _mixed(floor, INK, 0.25))
    count = dice.choice((2, 3, 4))
    wide = min(_W / (count * 1.7), _H * 0.3)
    above, below = dice.choice(SKIES)
    lean = dice.uniform(-0.9, 0.9)
    for i in range(count):
        x = (i + 0.5) * _W / count - wide / 2
        top, bottom = _H * 0.13, edge - _H * 0.1
        for grown, colour in ((22, _mixed(wall, INK, 0.35)), (0, _mixed(above, below, 0.75))):
            draw.ellipse((x - grown, top - grown, x + wide + grown, top + wide + grown), fill=colour)
            draw.rectangle((x - grown, top + wide / 2, x + wide + grown, bottom + grown), fill=colour)
        draw.line([(x + wide / 2, top), (x + wide / 2, bottom)], fill=_mixed(wall, INK, 0.35), width=12)
        shift = lean * _W * 0.22
        low = _H * 0.96
        light = [(x, edge + 30), (x + wide, edge + 30), (x + wide * 1.15 + shift, low), (x - wide * 0.15 + shift, low)]
        draw.polygon(light, fill=(255, 240, 205, 70))
    draw.rectangle((0, edge - 14, _W, edge + 6), fill=_mixed(floor, INK, 0.35))
    _gear(draw, edge, dice)


def _gear(draw: ImageDraw.ImageDraw, edge: int, dice: random.Random) -> None:
    """Mats, weights and a ball, on the floor."""
    colours: Sequence[Colour] = [court for court, _ in GROUNDS]
    x = _W * dice.uniform(0.06, 0.14)
    while x < _W * 0.9:
        kind, colour = dice.choice(("mat", "bell", "ball")), dice.choice(colours)
        y = edge + (_H - edge) * dice.uniform(0.35, 0.75)
        r = _H * dice.uniform(0.035, 0.06)
        draw.ellipse((x - r, y + r * 0.7, x + r * 3.2, y + r * 1.3), fill=(*INK, 60))
        if kind == "mat":
            draw.rounded_rectangle((x, y, x + r * 6, y + r * 0.9), radius=r * 0.45, fill=colour)
        elif kind == "ball":
            draw.ellipse((x, y - r * 1.6, x + r * 2.6, y + r), fill=colour)
        else:
            draw.line([(x, y), (x + r * 3, y)], fill=INK, width=int(r * 0.4))
            for end in (x, x + r * 3):
                plate = (end - r * 0.45, y - r, end + r * 0.45, y + r)
                draw.rounded_rectangle(plate, radius=r * 0.3, fill=_mixed(colour, INK, 0.4))
        x += r * dice.uniform(7, 12)


# --- colours


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    r, g, b = (round(a + (c - a) * share) for a, c in zip(one, other, strict=True))
    return (r, g, b)


def _gradient(draw: ImageDraw.ImageDraw, top: int, bottom: int, above: Colour, below: Colour) -> None:
    steps = 48  # bands are seen where a gradient is long; these are not, and they pack well
    for i in range(steps):
        y, end = top + (bottom - top) * i // steps, top + (bottom - top) * (i + 1) // steps
        draw.rectangle((0, y, _W, end), fill=_mixed(above, below, i / (steps - 1)))
