"""Geometry of the drawings the server makes: line chart, bars, sparkline, map. Pure; the macros only write it out.

Coordinates are SVG user units, origin at the upper corner where the axis starts. Charts keep their axis in every
reading direction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec

MAX_POINTS = 400
"""More than a drawing can show; the caller groups first."""


class XY(msgspec.Struct, frozen=True):
    x: float
    y: float


class Tick(msgspec.Struct, frozen=True):
    """A label at `at` along its axis."""

    at: float
    label: str
    anchor: str = "middle"


class LineGeometry(msgspec.Struct, frozen=True):
    width: int
    height: int
    plot_start: int
    plot_end: int
    base: float
    y_ticks: tuple[Tick, ...]
    x_ticks: tuple[Tick, ...]
    line: str
    area: str
    before: str
    mark: XY
    mark_anchor: str
    mark_x: float
    mark_y: float


class Bar(msgspec.Struct, frozen=True):
    x: float
    y: float
    width: float
    height: float
    centre: float


class MapPlace(msgspec.Struct, frozen=True):
    """A pin: the centre of its label, and the label's width."""

    x: float
    y: float
    width: float
    label: str
    name: str
    href: str
    id: str
    chosen: bool
    full: bool


class MapGeometry(msgspec.Struct, frozen=True):
    """The plane: pins, graticule lines, the reader, and a scale bar of `bar_km` that is `bar_width` long."""

    width: int
    height: int
    places: tuple[MapPlace, ...]
    rings: tuple[float, ...]
    meridians: tuple[float, ...]
    parallels: tuple[float, ...]
    here: XY | None
    bar_km: float
    bar_width: float


def nice_ceiling(value: float, steps: int = 4) -> float:
    """The smallest of 1, 2, 2.5, 4, 5, 6, 8 × 10ⁿ per step that `steps` steps reach `value` with; at least 1 per chart."""
    if value <= 0:
        return 1.0
    step = value / steps
    power = 10.0 ** math.floor(math.log10(step))
    for factor in (1, 2, 2.5, 4, 5, 6, 8, 10):
        if factor * power >= step * (1 - 1e-9):
            return factor * power * steps
    return 10 * power * steps


def line_geometry(
    values: Sequence[float], before: Sequence[float], labels: Sequence[str], width: int, height: int, ticks: Sequence[str]
) -> LineGeometry:
    """Where everything goes. `ticks` are the five labels of the value axis, from 0 up (see `axis_labels`)."""
    shown = list(values)[:MAX_POINTS]
    start, end, base, roof = 44, width - 8, height - 26.0, 12.0
    top = nice_ceiling(max([*shown, *before, 0]))

    def x(i: int, n: int) -> float:
        return round(start + (end - start) * (i / (n - 1) if n > 1 else 0.5), 1)

    def y(value: float) -> float:
        return round(base - (base - roof) * value / top, 1)

    points = [XY(x(i, len(shown)), y(v)) for i, v in enumerate(shown)]
    older = [f"{x(i, len(before))},{y(v)}" for i, v in enumerate(list(before)[:MAX_POINTS])]
    line = " ".join(f"{p.x},{p.y}" for p in points)
    mark = min(points, key=lambda p: p.y) if points else XY(start, base)
    after = mark.x < width * 0.3
    return LineGeometry(
        width=width,
        height=height,
        plot_start=start,
        plot_end=end,
        base=base,
        y_ticks=tuple(Tick(round(base - (base - roof) * i / (len(ticks) - 1), 1), text) for i, text in enumerate(ticks)),
        x_ticks=_x_ticks(labels, x, max(2, width // 150)),
        line=line,
        area=f"{points[0].x},{base} {line} {points[-1].x},{base}" if points else "",
        before=" ".join(older),
        mark=mark,
        mark_anchor="start" if after else "end",
        mark_x=mark.x + (9 if after else -9),
        mark_y=max(10.0, mark.y - 9),
    )


def _x_ticks(labels: Sequence[str], x: object, wanted: int) -> tuple[Tick, ...]:
    if not labels or not callable(x):
        return ()
    count = len(labels)
    if count == 1:
        return (Tick(float(str(x(0, 1))), labels[0]),)
    chosen = sorted({round(i * (count - 1) / (min(wanted, count) - 1)) for i in range(min(wanted, count))})
    last = count - 1
    return tuple(
        Tick(float(str(x(i, count))), labels[i], "start" if i == 0 else "end" if i == last else "middle") for i in chosen
    )


def bar_geometry(values: Sequence[float], width: int, height: int) -> tuple[Bar, ...]:
    """Bars side by side on a base 25 above the lower edge, 20 left free above for the figure."""
    if not values:
        return ()
    slot = width / len(values)
    base, room = height - 25, height - 45
    top = max([*values, 0]) or 1
    bars: list[Bar] = []
    for i, value in enumerate(values):
        tall = round(room * max(0.0, value) / top, 1)
        wide = round(min(44.0, slot * 0.62), 1)
        centre = round(slot * (i + 0.5), 1)
        bars.append(Bar(round(centre - wide / 2, 1), round(base - tall, 1), wide, tall, centre))
    return tuple(bars)


def spark_points(values: Sequence[float]) -> str:
    """`points` of a polyline in a 110 × 26 box."""
    if len(values) < 2:
        return "0,13 110,13"
    low, high = min(values), max(values)
    spread = (high - low) or 1
    last = len(values) - 1
    return " ".join(f"{round(110 * i / last, 1)},{round(24 - 22 * (v - low) / spread, 1)}" for i, v in enumerate(values))


def ring_dash(share: float, radius: float = 7) -> str:
    """`stroke-dasharray` of a ring that is `share` (0–1) full."""
    around = 2 * math.pi * radius
    return f"{round(around * min(1.0, max(0.0, share)), 2)} {round(around, 2)}"


def map_geometry(places: Sequence[object], here: object, width: int, height: int) -> MapGeometry:
    """Project places (`lat`, `lon`, `label`, `name`, `href`, `id`, `chosen`, `full`) on a plane.

    Local equirectangular: fine below some 200 km, exact enough to walk by. All places and the reader fit with a margin;
    a single place gets a frame of about two kilometres.
    """
    dots = [(_f(p, "lat"), _f(p, "lon")) for p in places]
    if here is not None:
        dots.append((_f(here, "lat"), _f(here, "lon")))
    if not dots:
        return MapGeometry(width, height, (), (), (), (), None, 1, width / 4)
    mid_lat = (min(d[0] for d in dots) + max(d[0] for d in dots)) / 2
    squeeze = max(0.05, math.cos(math.radians(mid_lat)))
    mid_lon = (min(d[1] for d in dots) + max(d[1] for d in dots)) / 2
    flat = [((lon - mid_lon) * 111.32 * squeeze, (mid_lat - lat) * 110.57) for lat, lon in dots]
    wide = max(2.0, 2 * max(abs(x) for x, _ in flat))
    tall = max(2.0, 2 * max(abs(y) for _, y in flat))
    scale = min((width - 120) / wide, (height - 110) / tall)  # user units per km

    def at(i: int) -> XY:
        return XY(round(width / 2 + flat[i][0] * scale, 1), round(height / 2 + flat[i][1] * scale, 1))

    step_km = _step(width / scale / 5)
    grid = step_km * scale
    me = at(len(dots) - 1) if here is not None else None
    return MapGeometry(
        width=width,
        height=height,
        places=_apart(
            [
                MapPlace(
                    x=at(i).x,
                    y=at(i).y,
                    width=round(22 + 8.0 * len(_s(p, "label")), 1),
                    label=_s(p, "label"),
                    name=_s(p, "name"),
                    href=_s(p, "href"),
                    id=_s(p, "id"),
                    chosen=bool(getattr(p, "chosen", False)),
                    full=bool(getattr(p, "full", False)),
                )
                for i, p in enumerate(places)
            ]
        ),
        rings=tuple(round(grid * n, 1) for n in (1, 2, 3)) if me else (),
        meridians=_lines(width, grid),
        parallels=_lines(height, grid),
        here=me,
        bar_km=step_km,
        bar_width=round(grid, 1),
    )


def _apart(places: list[MapPlace]) -> tuple[MapPlace, ...]:
    """Labels that would cover each other move down by their height; at most eight times, then they may touch."""
    placed: list[MapPlace] = []
    for place in sorted(places, key=lambda p: (p.y, p.x)):
        moved = place
        for _ in range(8):
            if not any(abs(moved.x - o.x) < (moved.width + o.width) / 2 + 4 and abs(moved.y - o.y) < 34 for o in placed):
                break
            moved = msgspec.structs.replace(moved, y=round(moved.y + 17, 1))
        placed.append(moved)
    return tuple(placed)


def _lines(length: int, step: float) -> tuple[float, ...]:
    # Lines go on beyond the frame, because the frame is fitted into a box of another shape.
    half = length / 2
    count = min(60, int(1.5 * length // step))
    return tuple(round(half + n * step, 1) for n in range(-count, count + 1))


def _step(km: float) -> float:
    power = 10.0 ** math.floor(math.log10(km))
    return max(f * power for f in (1.0, 2.0, 5.0) if f * power <= km * (1 + 1e-9))


def _f(thing: object, name: str) -> float:
    return float(getattr(thing, name))


def _s(thing: object, name: str) -> str:
    return str(getattr(thing, name))
