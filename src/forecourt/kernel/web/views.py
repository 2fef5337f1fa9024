"""What the macros draw: frozen structs between a page's code and its HTML. No logic that decides, only shape.

Times inside are what the reader sees (`19:30`), already on the venue's clock, because a grid mixes them with positions;
structs that carry moments (`start`, `now`) are aware and go with a `tz`.
"""

from __future__ import annotations

from datetime import date, datetime
from enum import StrEnum
from typing import Literal

import msgspec

from forecourt.kernel.money import Money


class Link(msgspec.Struct, frozen=True):
    """A label and where it leads."""

    label: str
    href: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One of several: a mode, a filter, a tab, a way to pay.

    `href` is the address with this choice made (segments, chips, tabs); `value` what a form sends (radio rows, select).
    `hint` says the consequence; `reason` why it cannot be had when `disabled`; `count` None hides the number.
    """

    label: str
    value: str = ""
    href: str = ""
    hint: str = ""
    chosen: bool = False
    disabled: bool = False
    reason: str = ""
    count: int | None = None
    price: Money | None = None
    icon: str = ""
    lang: str = ""
    """The label's language, when it is not the page's: the names of languages."""


class Who(msgspec.Struct, frozen=True):
    """A person as an avatar shows one. Empty initials are made from the name."""

    id: str
    name: str
    initials: str = ""


class Fact(msgspec.Struct, frozen=True):
    """A term and its value; `note` stands small under it."""

    label: str
    value: str
    note: str = ""


class BackTier(msgspec.Struct, frozen=True):
    """What comes back on cancelling (`label`), until when (`value`), and how much of it that is."""

    label: str
    value: str
    back: Literal["all", "part", "none"]


class PriceLine(msgspec.Struct, frozen=True):
    """One line of a quote, the same shape as the API's. `rule` says where it comes from."""

    label: str
    amount: Money
    rule: str = ""


class TaxLine(msgspec.Struct, frozen=True):
    """`rate` in per cent as people write it (`13`, `7.5`); `included` when the total holds it already."""

    rate: str
    amount: Money
    included: bool = True


class QuoteView(msgspec.Struct, frozen=True):
    """Lines and their total as the server summed them; the browser never adds."""

    lines: tuple[PriceLine, ...]
    total: Money
    tax: tuple[TaxLine, ...] = ()
    total_label: str = ""


class DayView(msgspec.Struct, frozen=True):
    """One day of a day strip. `fill`: 0 (nothing free) to 5 (all free)."""

    day: date
    href: str
    fill: int = 0
    chosen: bool = False
    closed: bool = False
    label: str = ""
    """Instead of the weekday: Today."""


class SlotState(StrEnum):
    """What a cell of the availability grid says. FREE and MINE can be pressed."""

    FREE = "free"
    MINE = "mine"
    SHORT = "short"
    TAKEN = "taken"
    HELD = "held"
    CLOSED = "closed"


class GridTime(msgspec.Struct, frozen=True):
    """A heading over the columns: `at` and `len` in steps of the grid."""

    label: str
    at: int
    len: int = 2


class GridCell(msgspec.Struct, frozen=True, kw_only=True):
    """A stretch of one resource's time. `at`, `len` in steps of the grid from its first column.

    A FREE cell is one step wide and stands for a start; its price is for the chosen length. `start`, `end` are read out.
    `label` is the word on a cell that is not free (`Booked`, `Ladder night`), or the start of one that is, when that is not
    where the column begins (`18:15`).
    """

    at: int
    start: str
    end: str
    state: SlotState
    len: int = 1
    price: Money | None = None
    href: str = ""
    label: str = ""
    hour: bool = False
    """A full hour begins here: a stronger line."""
    fresh: bool = False
    """Taken a moment ago: flashes once."""


class GridRow(msgspec.Struct, frozen=True):
    """A court, room, seat: `detail` in a few words."""

    id: str
    name: str
    detail: str
    cells: tuple[GridCell, ...]


class GridBand(msgspec.Struct, frozen=True):
    """A price that holds for some columns, under the grid."""

    label: str
    at: int
    len: int
    peak: bool = False


class GridView(msgspec.Struct, frozen=True, kw_only=True):
    """Availability of one day. `steps` columns of `step_min` minutes; `length` is the chosen duration in words, `dur` in steps.

    `target` (a selector) makes a press swap that part through htmx; without it, and without scripts, `href` is followed.
    """

    id: str
    label: str
    steps: int
    dur: int
    length: str
    times: tuple[GridTime, ...]
    rows: tuple[GridRow, ...]
    bands: tuple[GridBand, ...] = ()
    step_min: int = 30
    target: str = ""
    now_at: int | None = None

    def starts(self) -> list[TimeOption]:
        """The same grid by time first, for a phone: each start once, with the places free then, cheapest first."""
        found: dict[tuple[int, str], list[PlaceOption]] = {}
        for row in self.rows:
            for cell in row.cells:
                if cell.state in (SlotState.FREE, SlotState.MINE) and cell.price is not None:
                    place = PlaceOption(row.name, row.detail, cell.price, cell.href, cell.state is SlotState.MINE, cell.end)
                    found.setdefault((cell.at, cell.start), []).append(place)
        return [
            TimeOption(start, tuple(sorted(places, key=lambda p: (p.price.amount, p.name))))
            for (_, start), places in sorted(found.items(), key=lambda item: item[0])
        ]


class PlaceOption(msgspec.Struct, frozen=True):
    """A place free at one time."""

    name: str
    detail: str
    price: Money
    href: str
    mine: bool
    end: str


class TimeOption(msgspec.Struct, frozen=True):
    """A start and the places free then, cheapest first; never empty."""

    start: str
    places: tuple[PlaceOption, ...]

    @property
    def cheapest(self) -> Money:
        return self.places[0].price

    @property
    def mine(self) -> bool:
        return any(place.mine for place in self.places)


class DayResource(msgspec.Struct, frozen=True):
    """A column of the day sheet. `booked_pct` of its open time; None hides the bar."""

    id: str
    name: str
    detail: str = ""
    booked_pct: int | None = None
    open_at: int = 0
    """Steps before this and from `open_until` on are closed."""
    open_until: int = 0


DaySign = Literal["note", "wallet"]
"""What the style sheet draws on a block when told: a note, something to be paid. Other signs follow from the state."""


class DayBlock(msgspec.Struct, frozen=True, kw_only=True):
    """Something on the day sheet: a booking, a hold, a block. `at`, `len` in 15-minute steps from the sheet's first.

    One name, one line, at most three signs. `state` is a booking status, or `block`. `movable` blocks
    can be lifted. `when` is what is read (`19:30–21:00`); `state_label` the state in words for those who cannot see the colour.
    Pressed, it asks the sheet's `action` for `kind`=`id`: `booking` or `blocked`.
    """

    id: str
    resource_id: str
    at: int
    len: int
    state: str
    when: str
    name: str
    state_label: str
    line: str = ""
    signs: tuple[DaySign, ...] = ()
    kind: str = "booking"
    movable: bool = False
    selected: bool = False
    version: int = 1


class DayFree(msgspec.Struct, frozen=True):
    """A gap worth offering: pressing it begins a new booking there, with `spot` in the query: the place, `@`, `label`."""

    resource_id: str
    at: int
    len: int
    label: str


class DaySheetView(msgspec.Struct, frozen=True, kw_only=True):
    """One day of one venue. `steps` of 15 minutes from `first` (aware), shown on the clock of `tz`. `hours` label the rows.

    `move_url` takes a POST of booking_id, resource_id, start, version and answers with the changed fragments; empty
    means nobody may move here. `quote_url` is asked while dragging (`?booking_id&resource_id&start`) and answers
    `{"ok": bool, "text": "+ Rs 1,950 to pay"}`. Pressing something is a GET of `action` with `query` and what was pressed;
    `panel` (a selector) receives the answer.
    """

    id: str
    label: str
    steps: int
    first: datetime
    tz: str
    hours: tuple[GridTime, ...]
    resources: tuple[DayResource, ...]
    blocks: tuple[DayBlock, ...]
    free: tuple[DayFree, ...] = ()
    now_at: int | None = None
    now_label: str = ""
    move_url: str = ""
    quote_url: str = ""
    action: str = ""
    query: tuple[tuple[str, str], ...] = ()
    panel: str = ""


class Need(msgspec.Struct, frozen=True):
    """One entry of the strip that says what wants somebody now. `strong` is the part of the sentence `text` that stands out."""

    strong: str
    text: str
    href: str
    state: str
    icon: str


class Figure(msgspec.Struct, frozen=True):
    """A number with its change. `good` colours the change: True, False, None for neither."""

    label: str
    value: str
    change: str = ""
    good: bool | None = None
    trend: tuple[float, ...] = ()


class ChartPoint(msgspec.Struct, frozen=True):
    """`label` on the axis, `text` the value in words for the table and the mark."""

    label: str
    value: float
    text: str


class LineChart(msgspec.Struct, frozen=True, kw_only=True):
    """One series, and perhaps the one before it. `summary` says what the drawing shows; `axis` its five labels from 0 up."""

    id: str
    title: str
    summary: str
    points: tuple[ChartPoint, ...]
    before: tuple[ChartPoint, ...] = ()
    axis: tuple[str, ...] = ("", "", "", "", "")
    point_heading: str = ""
    value_heading: str = ""
    before_heading: str = ""


class HeatRow(msgspec.Struct, frozen=True):
    """`values` in per cent, one per column; None where closed."""

    label: str
    values: tuple[int | None, ...]


class HeatMap(msgspec.Struct, frozen=True):
    """Per cent by row and column."""

    title: str
    summary: str
    columns: tuple[str, ...]
    rows: tuple[HeatRow, ...]


class HBar(msgspec.Struct, frozen=True):
    """A bar with its name and figure; `share` 0–100 of the longest."""

    label: str
    share: int
    text: str


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A pin: `label` is a price or the next free time, `name` is read out."""

    id: str
    lat: float
    lon: float
    label: str
    name: str
    href: str
    chosen: bool = False
    full: bool = False


class Point(msgspec.Struct, frozen=True):
    """Where the reader is."""

    lat: float
    lon: float


class BookingView(msgspec.Struct, frozen=True, kw_only=True):
    """The fields of the API's booking that a card shows; a contract's own struct with these names serves as well."""

    id: str
    status: str
    start: datetime
    end: datetime
    price: Money
    paid: Money
    hold_expires_at: datetime | None = None
    purpose: str = ""
    team_size: int = 1
    place: str = ""
    venue: str = ""
    tz: str = "UTC"
    href: str = ""
    pin: str = ""


class MessageView(msgspec.Struct, frozen=True, kw_only=True):
    """A line of a thread. `receipt` in words (`Read by 2`); `first` shows the author, later ones of five minutes do not."""

    id: str
    author: Who
    text: str
    time: str
    mine: bool = False
    first: bool = True
    receipt: str = ""
    automatic: bool = False
    sources: tuple[Link, ...] = ()
