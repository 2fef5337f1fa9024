"""Sample structs for `/dev/ui`: `pages.render("dev/ui.html", page, **gallery(now))`.

The world is the one of the mock-ups: a padel club by the sea, a gym under an arch. Names are invented.
"""

from __future__ import annotations

from datetime import date, datetime, timedelta

import segno
from markupsafe import Markup

from forecourt.kernel.money import Money
from forecourt.kernel.web.views import (
    BackTier,
    BookingView,
    ChartPoint,
    Choice,
    DayBlock,
    DayFree,
    DayResource,
    DaySheetView,
    DaySign,
    DayView,
    Fact,
    Figure,
    GridBand,
    GridCell,
    GridRow,
    GridTime,
    GridView,
    HBar,
    HeatMap,
    HeatRow,
    LineChart,
    Link,
    MessageView,
    Need,
    Place,
    Point,
    PriceLine,
    QuoteView,
    SlotState,
    TaxLine,
    Who,
)

TZ = "Asia/Karachi"
STATES = (
    "draft",
    "hold",
    "payment_pending",
    "pending_approval",
    "upcoming",
    "in_progress",
    "completed",
    "no_show",
    "cancelled",
    "expired",
    "declined",
    "block",
)


def rupees(whole: int) -> Money:
    return Money(whole * 100, "PKR")


def pounds(whole: int) -> Money:
    return Money(whole * 100, "GBP")


def gallery(now: datetime) -> dict[str, object]:
    """Everything `dev/ui.html` shows, around `now` (aware)."""
    return {
        "quote": _quote(),
        "grid": _grid(),
        "full_grid": GridView(id="none", label="", steps=16, dur=3, length="90 min", times=(), rows=()),
        "days": _days(now.date()),
        "day": _day(now),
        "needs": _needs(),
        "keys": _keys(),
        "bookings": _bookings(now),
        "states": STATES,
        "people": _people(),
        "figures": _figures(),
        "line": _line(),
        "weekdays": _weekdays(),
        "heat": _heat(),
        "hbars": _hbars(),
        "places": _places(),
        "here": Point(51.4995, -0.0795),
        "messages": _messages(),
        "facts": _facts(),
        "policy": (
            BackTier("100 % back", "until Wed 18 Nov, 19:30", "all"),
            BackTier("50 % back", "until 17:30 on the day", "part"),
            BackTier("Nothing", "after that", "none"),
        ),
        "pay_ways": _pay_ways(),
        "lengths": tuple(Choice(label=f"{m} min", href=f"?length={m}", value=str(m), chosen=m == 90) for m in (60, 90, 120)),
        "filters": (
            Choice(label="Free at 18:00", href="?", chosen=True),
            Choice(label="Showers", href="?f=showers", count=9),
            Choice(label="Step-free", href="?f=step", count=4),
        ),
        "tabs": (
            Choice(label="Coming up", href="?", chosen=True, count=5),
            Choice(label="Past", href="?past", count=42),
            Choice(label="Cancelled", href="?cancelled"),
        ),
        "crumbs": (Link("Karachi", "/discover?near=karachi"), Link("Padel", "/discover?near=karachi&sport=padel")),
        "hold_until": now + timedelta(minutes=8, seconds=41),
        "prices": (pounds(22), Money(1850, "GBP"), rupees(10_500), Money(-105_000, "PKR"), Money(123_456_789, "EUR")),
        "code": Markup(segno.make("FORECOURT:4072", error="m").svg_inline(omitsize=True, border=0)),  # noqa: S704  # drawn by us
        "hostile": HOSTILE,
    }


HOSTILE = (
    Who("h1", "<script>alert(1)</script>"),
    Who("h2", 'Zoë "O\u2019Brien" & <b>Söhne</b>'),
    Who("h3", "\u202egnirts desrever\u202c"),
    Who("h4", "🏓🎾 Ana 🏆"),
    Who("h5", "Wolfeschlegelsteinhausenbergerdorff-Müller-Lüdenscheidt"),
    Who("h6", "عائشہ رحمان"),
)
"""Names that people do have or do try; every one must stay text, inside its box."""


def _people() -> tuple[Who, ...]:
    names = ("Mahnoor Tariq", "Ayesha Rahman", "Kwame Boateng", "Hina Baloch", "Zainab Haider", "Omar Farooqi", "Saad Mirza")
    return tuple(Who(f"p{i}", name) for i, name in enumerate(names))


def _quote() -> QuoteView:
    return QuoteView(
        lines=(
            PriceLine("90 min at Rs 7,000 an hour", rupees(10_500), "peak"),
            PriceLine("Club member, 10 %", rupees(-1_050)),
            PriceLine("2 rackets at Rs 300", rupees(600)),
        ),
        total=rupees(10_050),
        tax=(TaxLine("13", rupees(1_156)),),
    )


def _clock(first_min: int, step: int, step_min: int = 30) -> str:
    minute = first_min + step * step_min
    return f"{minute // 60 % 24:02d}:{minute % 60:02d}"


def _cells(court: str, taken: dict[int, tuple[int, SlotState, str]], prices: dict[int, int]) -> tuple[GridCell, ...]:
    """Sixteen half hours from 16:00; `taken` says at → (length, state, word), `prices` at → rupees for 90 minutes."""
    cells: list[GridCell] = []
    at = 0
    while at < 16:
        length, state, word = taken.get(at, (1, SlotState.FREE if at in prices else SlotState.SHORT, ""))
        span = 3 if state is SlotState.FREE else length
        cells.append(
            GridCell(
                at=at,
                len=length,
                start=_clock(960, at),
                end=_clock(960, at + span),
                state=state,
                price=rupees(prices[at]) if at in prices else None,
                href=f"?court={court}&at={_clock(960, at)}" if state in (SlotState.FREE, SlotState.MINE) else "",
                label=word,
                hour=at % 2 == 0,
                fresh=word == "Just taken",
            )
        )
        at += length
    return tuple(cells)


def _grid() -> GridView:
    taken, held, closed, mine = SlotState.TAKEN, SlotState.HELD, SlotState.CLOSED, SlotState.MINE
    rows = (
        GridRow(
            "c1",
            "Court 1",
            "Panoramic, open air",
            _cells(
                "c1",
                {0: (3, taken, "Booked"), 6: (3, taken, "Open match"), 10: (3, taken, "Booked")},
                {3: 10_500, 13: 8_500, 14: 7_500, 15: 7_500},
            ),
        ),
        GridRow(
            "c2",
            "Court 2",
            "Panoramic, open air",
            _cells("c2", {2: (3, taken, "Just taken"), 7: (3, held, "Held"), 12: (3, taken, "Booked")}, {15: 7_500}),
        ),
        GridRow(
            "c3",
            "Court 3",
            "Panoramic, roofed",
            _cells(
                "c3",
                {1: (3, taken, "Academy"), 7: (3, mine, ""), 13: (3, taken, "Booked")},
                {4: 10_500, 7: 10_500, 10: 10_500},
            ),
        ),
        GridRow(
            "c4",
            "Court 4",
            "Panoramic, roofed",
            _cells(
                "c4",
                {0: (4, closed, "Glass repair"), 5: (3, taken, "Booked"), 8: (3, taken, "Ladder night")},
                {11: 10_500, 12: 9_500, 13: 8_500, 14: 7_500, 15: 7_500},
            ),
        ),
        GridRow(
            "c5",
            "Court 5",
            "Singles, open air",
            _cells(
                "c5",
                {3: (2, taken, "Booked"), 8: (2, taken, "Booked")},
                {0: 5_200, 5: 6_800, 7: 6_800, 10: 6_800, 11: 6_800, 12: 6_200, 13: 5_500, 14: 4_900, 15: 4_900},
            ),
        ),
    )
    return GridView(
        id="avail",
        label="Free times on Thursday 19 November",
        steps=16,
        dur=3,
        length="90 min",
        times=tuple(GridTime(_clock(960, at), at) for at in range(0, 16, 2)),
        rows=rows,
        bands=(GridBand("4,500 / h", 0, 2), GridBand("Peak 7,000 / h", 2, 12, peak=True), GridBand("Late 5,000 / h", 14, 2)),
    )


def _days(today: date) -> tuple[DayView, ...]:
    fills = (4, 3, 4, 5, 0, 4, 2, 2, 3, 3, 4, 4, 2, 1)
    return tuple(
        DayView(
            today + timedelta(days=i),
            f"?day={today + timedelta(days=i)}",
            fill,
            chosen=i == 2,
            closed=i == 4,
            label="Today" if i == 0 else "",
        )
        for i, fill in enumerate(fills)
    )


def _block(
    ident: str,
    court: int,
    at: int,
    length: int,
    state: str,
    name: str,
    line: str,
    signs: tuple[DaySign, ...] = (),
    *,
    chosen: bool = False,
) -> DayBlock:
    return DayBlock(
        id=ident,
        resource_id=f"c{court}",
        at=at,
        len=length,
        state=state,
        when=f"{_clock(840, at, 15)}–{_clock(840, at + length, 15)}",
        name=name,
        line=line,
        signs=signs,
        state_label=state.replace("_", " "),
        kind="blocked" if state == "block" else "booking",
        movable=state in ("upcoming", "payment_pending"),
        selected=chosen,
    )


def _day(now: datetime) -> DaySheetView:
    first = now.replace(hour=9, minute=0, second=0, microsecond=0)  # 14:00 in Karachi
    blocks = (
        _block("b1", 1, 4, 6, "completed", "Nadia Jamil-Shah", "4 players, paid"),
        _block("b2", 1, 14, 6, "in_progress", "Khayaban Seniors", "4 of 4 in, 12 min over"),
        _block("b3", 1, 21, 6, "upcoming", "Zainab Haider", "Open match 3.0–3.5, 1 place free"),
        _block("b4", 1, 28, 6, "upcoming", "Omar Farooqi", "4 players, paid"),
        _block("b5", 2, 6, 6, "completed", "Coach Danyal, 3 pupils", "Training, paid by plan"),
        _block("b6", 2, 20, 6, "no_show", "Fahad Lodhi", "No-show at 19:10, Rs 10,500 kept", ("wallet",)),
        _block("b7", 2, 26, 4, "hold", "Held for Kamran J.", "Paying by card, 6:12 left"),
        _block("b8", 2, 32, 6, "upcoming", "Ladder: Rahman / Tariq", "vs Siddiqui / Baloch"),
        _block("b9", 3, 15, 6, "in_progress", "Noor Elahi", "3 of 4 in, ends in 3 min"),
        _block("b10", 3, 22, 6, "upcoming", "Mahnoor Tariq", "4 players, Rs 10,050 paid", ("note",), chosen=True),
        _block("b11", 4, 0, 16, "block", "Glass panel replaced", "North wall. Vendor on site until 18:00"),
        _block("b12", 4, 34, 6, "cancelled", "Sara Wahid", "Cancelled, refunded 100 %"),
        _block("b13", 4, 26, 5, "pending_approval", "Clifton Films", "Content shooting", ("note",)),
        _block("b14", 5, 22, 2, "payment_pending", "Saad Mirza", "5,250 due"),
        _block("b15", 5, 24, 6, "upcoming", "Bilal Qureshi", "2 players", ("wallet",)),
        _block("b16", 5, 32, 4, "upcoming", HOSTILE[0].name, HOSTILE[2].name),
    )
    return DaySheetView(
        id="day",
        label="Day sheet, Thursday 19 November",
        steps=40,
        first=first,
        tz=TZ,
        hours=tuple(GridTime(_clock(840, at, 15), at, 4) for at in range(0, 40, 4)),
        resources=tuple(
            DayResource(f"c{i}", f"Court {i}", kind, pct, open_until=40 if i < 5 else 38)
            for i, kind, pct in (
                (1, "Panoramic", 88),
                (2, "Panoramic", 76),
                (3, "Roofed", 82),
                (4, "Roofed", 58),
                (5, "Singles", 41),
            )
        ),
        blocks=blocks,
        free=(DayFree("c5", 16, 5, "18:00"),),
        now_at=20,
        now_label="19:12",
        move_url="/dev/ui",
        action="/dev/ui",
    )


def _needs() -> tuple[Need, ...]:
    return (
        Need("Court 1", "Court 1 12 min over, next party here", "?", "no_show", "clock"),
        Need("Saad Mirza", "Saad Mirza owes Rs 5,250, in 18 min", "?", "hold", "wallet"),
        Need("2", "2 requests", "?", "pending_approval", "check"),
        Need("3", "3 waiting for 20:00", "?", "upcoming", "users"),
    )


def _keys() -> tuple[Fact, ...]:
    return (Fact("place", "← →"), Fact("time", "↑ ↓"), Fact("check in", "C"), Fact("move", "M"), Fact("undo", "Z"))


def _bookings(now: datetime) -> tuple[BookingView, ...]:
    def one(i: int, status: str, name: str) -> BookingView:
        start = now + timedelta(days=i, minutes=18)
        return BookingView(
            id=f"bk{i}",
            status=status,
            start=start,
            end=start + timedelta(minutes=90),
            price=rupees(10_050),
            paid=rupees(0 if status == "hold" else 10_050),
            hold_expires_at=now + timedelta(minutes=6, seconds=12) if status == "hold" else None,
            place=name,
            venue="Baradari Clifton",
            tz=TZ,
            href=f"/bookings/bk{i}",
            team_size=4,
        )

    return (
        one(0, "upcoming", "Court 3"),
        one(1, "hold", "Court 2"),
        one(4, "pending_approval", "Court 5"),
        one(6, "cancelled", "Court 1"),
    )


def _figures() -> tuple[Figure, ...]:
    return (
        Figure("Revenue", "£43,180", "+10.4 %", True, (3, 4, 3.5, 5.5, 6.5, 6, 8, 9.5, 9, 11)),
        Figure("Hours sold", "2,214", "+6.1 %", True, (3, 4, 6, 5, 7, 8, 7, 9, 10, 11)),
        Figure("Booked of open hours", "61 %", "+3 points", None, (55, 57, 55, 61, 59, 63, 65, 63, 67, 67)),
        Figure("Cancelled", "4.8 %", "+0.9 points", False, (2, 3.5, 3, 4.5, 4, 5.5, 6, 6.5, 7, 8)),
    )


def _line() -> LineChart:
    values = (
        1580,
        1170,
        1235,
        1211,
        1174,
        1474,
        1650,
        1711,
        1223,
        1272,
        1341,
        1349,
        1491,
        1749,
        1655,
        1310,
        1218,
        1443,
        1289,
        1654,
    )
    labels = tuple(f"{1 + i} Nov" for i in range(len(values)))
    return LineChart(
        id="rev",
        title="Revenue per day, 1 to 20 November",
        summary="Between £1,170 and £1,749 a day; weekends are highest. The table below holds every value.",
        points=tuple(ChartPoint(label, value, f"£{value:,}") for label, value in zip(labels, values, strict=True)),
        before=tuple(
            ChartPoint(label, value * 0.86, f"£{round(value * 0.86):,}") for label, value in zip(labels, values, strict=True)
        ),
        axis=("0", "£0.5k", "£1.0k", "£1.5k", "£2.0k"),
        point_heading="Day",
        value_heading="Revenue",
        before_heading="Before",
    )


def _weekdays() -> tuple[ChartPoint, ...]:
    days = (("Mon", 52), ("Tue", 61), ("Wed", 58), ("Thu", 80), ("Fri", 92), ("Sat", 70), ("Sun", 44))
    return tuple(ChartPoint(label, value, str(value)) for label, value in days)


def _heat() -> HeatMap:
    evening = (45, 74, 47, 26, 19, 23, 19, 26, 24, 21, 35, 45, 77, 87, 78, 52, 22)
    return HeatMap(
        "How full, by hour",
        "Highest on weekday evenings from 18:00 to 20:00.",
        tuple(f"{hour:02d}" for hour in range(6, 23)),
        tuple(
            HeatRow(day, tuple(None if day == "Sun" and i < 2 else min(99, max(1, v + shift)) for i, v in enumerate(evening)))
            for day, shift in (("Thu", 0), ("Fri", 6), ("Sat", -4), ("Sun", -12))
        ),
    )


def _hbars() -> tuple[HBar, ...]:
    return (HBar("Bermondsey, Arch 2", 100, "16.40"), HBar("Dalston, Loft", 78, "12.80"), HBar("Walworth, Yard 2", 41, "6.70"))


def _places() -> tuple[Place, ...]:
    spots = (
        ("Counterweight Bermondsey", 51.4991, -0.0771, "£22"),
        ("The Bread Room", 51.5002, -0.0758, "£19"),
        ("Sail Loft", 51.5036, -0.0735, "21:00"),
        ("Counterweight Walworth", 51.4915, -0.0935, "£20"),
        ("Old Kent Road, Yard 1", 51.4868, -0.0725, "£17"),
        ("Surrey Docks", 51.4946, -0.0487, "£24"),
    )
    return tuple(
        Place(
            id=f"pl{i}",
            lat=lat,
            lon=lon,
            label=label,
            name=name,
            href=f"/venues/{i}",
            chosen=i == 0,
            full=not label.startswith("£"),
        )
        for i, (name, lat, lon, label) in enumerate(spots)
    )


def _messages() -> tuple[MessageView, ...]:
    ayesha = Who("p1", "Ayesha Rahman")
    desk = Who("auto", "Lido", "L")
    return (
        MessageView(id="m1", author=ayesha, text="Bringing the new balls.", time="18:47"),
        MessageView(id="m2", author=ayesha, text="On my way.", time="18:50", mine=True, receipt="Read by 2"),
        MessageView(
            id="m3",
            author=desk,
            text="Late check-out until 14:00 costs £25.",
            time="18:52",
            automatic=True,
            sources=(Link("House rules, late check-out", "/articles/late"),),
        ),
        MessageView(id="m4", author=HOSTILE[0], text="<img src=x onerror=alert(1)> \u202eolleh", time="18:53"),
    )


def _facts() -> tuple[Fact, ...]:
    return (
        Fact("Rating", "4.8", "312 reviews"),
        Fact("Open today", "07:00–01:00", "Rain plan: roofed courts"),
        Fact("From", "Rs 4,500 / h", "before 17:00"),
        Fact("Cancel free", "24 h before", "half price back until 2 h"),
    )


def _pay_ways() -> tuple[Choice, ...]:
    return (
        Choice(
            label="Credits at Baradari",
            value="credits",
            hint="You have Rs 12,400. Rs 2,350 stays.",
            chosen=True,
            price=rupees(10_050),
        ),
        Choice(label="Card ending 4291", value="card", hint="Expires 08/28", icon="card"),
        Choice(label="Mobile wallet", value="wallet", hint="You confirm in the wallet’s app", icon="wallet"),
        Choice(label="At the desk", value="desk", disabled=True, reason="Only for bookings within two hours"),
    )
