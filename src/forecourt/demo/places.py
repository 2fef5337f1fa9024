"""The places of the demo world, as data: who they belong to, where they are, what can be booked there and for how much.

Amounts are in minor units. Prices of a venue are a list of `Rate`; a place names those of its tariff.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from forecourt.modules.venues.contract import OrganisationKind, Per, Purpose, ResourceKind

ROOM, COURT, STUDIO, POD, LANE, TABLE = (
    ResourceKind.ROOM,
    ResourceKind.COURT,
    ResourceKind.STUDIO,
    ResourceKind.POD,
    ResourceKind.LANE,
    ResourceKind.TABLE,
)
WORKDAYS = "mon tue wed thu fri"
WEEKEND = "sat sun"


@dataclass(frozen=True)
class Rate:
    """A price rule. `season` is a range of month-day pairs that is put into the present year."""

    label: str
    minor: int
    only: str = ""
    """The tariff it is for; all of the venue when empty."""
    days: str = ""
    between: tuple[str, str] | None = None
    season: tuple[str, str] | None = None
    holiday: bool | None = None
    purpose: Purpose | None = None
    team: tuple[int, int] | None = None
    multiplier: str | None = None
    per: Per = Per.HOUR
    priority: int = 0


@dataclass(frozen=True)
class Thing:
    """Something to book. `appeal` is how many bookings an ordinary day brings."""

    name: str
    kind: ResourceKind
    sport: str
    capacity: int
    appeal: float
    indoor: bool = True
    surface: str | None = None
    tariff: str = ""
    parts: tuple[str, ...] = ()
    durations: tuple[int, ...] = (60, 75, 90, 105, 120, 135, 150, 165, 180)
    usual: tuple[int, ...] = (60, 60, 90, 90, 90, 120)
    """The lengths people choose, as often as they stand here."""
    buffer_after: int = 0
    party: dict[Purpose, tuple[int, int]] = field(default_factory=dict[Purpose, tuple[int, int]])


@dataclass(frozen=True)
class Closing:
    """The venue is shut `days_from_now`, for so many days; or on public holidays."""

    reason: str
    days_from_now: int | None = None
    days: int = 1


@dataclass(frozen=True)
class Place:
    """A venue."""

    slug: str
    name: str
    address: str
    city: str
    lat: float
    lon: float
    region: str | None
    description: str
    rules: str
    amenities: tuple[str, ...]
    hours: tuple[str, str]
    weekend_hours: tuple[str, str]
    rates: tuple[Rate, ...]
    things: tuple[Thing, ...]
    closings: tuple[Closing, ...] = ()


@dataclass(frozen=True)
class House:
    """An organisation."""

    slug: str
    name: str
    kind: OrganisationKind
    country: str
    currency: str
    timezone: str
    locale: str
    hue: int
    tax: tuple[str, str]
    places: tuple[Place, ...]
    horizon_days: int = 60
    weather_refund: bool = False
    reschedule_fee_pct: int = 0
    quiet_hours: tuple[str, str] | None = None
    """In which guests of all its places are asked for quiet."""
    pay: tuple[str, ...] = ("credits",)
    """Ways people pay here, as often as they stand here."""


def london(off_peak: int, peak: int, *more: Rate) -> tuple[Rate, ...]:
    """The tariff of a gym: off-peak, peak on workdays, weekend mornings, public holidays, a quiet January, and larger groups."""
    return (
        Rate("Off-peak", off_peak),
        Rate("Early", off_peak + 200, days=WORKDAYS, between=("06:00", "09:00")),
        Rate("Peak", peak, days=WORKDAYS, between=("17:00", "21:00")),
        Rate("Weekend", (off_peak + peak) // 2, days=WEEKEND, between=("08:00", "14:00")),
        Rate("Public holiday", peak + 200, holiday=True),
        Rate("Quiet January", off_peak - 200, season=("01-02", "01-16")),
        Rate("Peak, 3 people or more", peak, days=WORKDAYS, between=("17:00", "21:00"), team=(3, 6), multiplier="1.25"),
        Rate("Shooting", peak * 2, purpose=Purpose.CONTENT, priority=10),
        *more,
    )


GYM_PARTY = {Purpose.WORKOUT: (1, 4), Purpose.TRAINING: (1, 4), Purpose.CONTENT: (1, 4)}
GYM_USUAL = (60, 60, 60, 60, 75, 90)


def gym(name: str, kind: ResourceKind, appeal: float, capacity: int = 4, tariff: str = "") -> Thing:
    party = {purpose: (low, min(high, capacity)) for purpose, (low, high) in GYM_PARTY.items()}
    return Thing(name, kind, "fitness", capacity, appeal, tariff=tariff, usual=GYM_USUAL, buffer_after=15, party=party)


def padel(
    name: str, appeal: float, *, indoor: bool, tariff: str = "", surface: str = "artificial_grass", capacity: int = 4
) -> Thing:
    party = {Purpose.MATCH: (2, capacity), Purpose.TRAINING: (1, capacity), Purpose.CONTENT: (1, capacity)}
    return Thing(name, COURT, "padel", capacity, appeal, indoor, surface, tariff, usual=(60, 90, 90, 90, 90, 120), party=party)


COUNTERWEIGHT = House(
    "counterweight",
    "Counterweight",
    OrganisationKind.GYM,
    "GB",
    "GBP",
    "Europe/London",
    "en-GB",
    150,
    ("20", "VAT"),
    (
        Place(
            "bermondsey",
            "Counterweight Bermondsey",
            "Arch 2, Druid Street, Bermondsey, London SE1 2EZ",
            "London",
            51.50077,
            -0.07636,
            "ENG",
            "A railway arch with one rack and no queue. You have the place to yourselves for the hour: one full rack, a rower,"
            " a sauna bench, and nobody waiting for the bar.",
            "Wipe the bench. Put the plates back where the numbers match. The door PIN works from ten minutes before.",
            ("squat-rack", "showers", "sauna", "step-free", "lockers"),
            ("06:00", "23:00"),
            ("07:00", "21:00"),
            london(1800, 2200, Rate("Sauna", 1200, only="sauna")),
            (
                gym("Arch 1", POD, 6.5),
                gym("Arch 2", POD, 7.5),
                gym("Mezzanine", STUDIO, 4.5),
                Thing("Sauna", ROOM, "recovery", 4, 3.5, tariff="sauna", durations=(30, 45, 60), usual=(45, 60), buffer_after=15),
            ),
            (Closing("Boiler exchanged", -62), Closing("Christmas and Boxing Day", 34, 2)),
        ),
        Place(
            "walworth",
            "Counterweight Walworth",
            "Rear yard, 218 East Street, Walworth, London SE17 2SS",
            "London",
            51.48893,
            -0.08812,
            "ENG",
            "Two platforms behind the market. Chalk is welcome, so is music, and the yard is yours when it is dry.",
            "Do not drop kettlebells in the yard after 21:00: there are neighbours.",
            ("platform", "chalk", "showers", "bike-store"),
            ("06:00", "22:00"),
            ("08:00", "20:00"),
            london(1700, 2000),
            (
                gym("Platform 1", POD, 6.0),
                gym("Platform 2", POD, 5.5),
                gym("Boxing ring", STUDIO, 3.5, 6),
                Thing("Yard", LANE, "fitness", 8, 2.0, indoor=False, surface="rubber", usual=GYM_USUAL),
            ),
            (Closing("Easter clean", -230),),
        ),
    ),
    pay=("credits", "credits", "credits", "credits", "desk"),
)
BREAD_ROOM = House(
    "the-bread-room",
    "The Bread Room",
    OrganisationKind.GYM,
    "GB",
    "GBP",
    "Europe/London",
    "en-GB",
    75,
    ("20", "VAT"),
    (
        Place(
            "maltby-street",
            "The Bread Room",
            "First floor, 41 Maltby Street, Bermondsey, London SE1 3PA",
            "London",
            51.49917,
            -0.07527,
            "ENG",
            "A daylight studio over the old bakery: dumbbells to 30 kg, mats, and north light until late in June.",
            "Shoes off on the mats. The last one out opens the window.",
            ("dumbbells", "mats", "daylight", "showers"),
            ("07:00", "22:00"),
            ("08:00", "19:00"),
            london(1600, 1900),
            (gym("Daylight studio", STUDIO, 6.0, 6), gym("Mat room", STUDIO, 4.5, 6), gym("Rack room", POD, 5.0)),
            (Closing("Public holidays"), Closing("Floor oiled", -120, 2)),
        ),
    ),
    pay=("credits", "credits", "desk"),
)
SAIL_LOFT = House(
    "sail-loft",
    "Sail Loft",
    OrganisationKind.GYM,
    "GB",
    "GBP",
    "Europe/London",
    "en-GB",
    230,
    ("20", "VAT"),
    (
        Place(
            "shad-thames",
            "Sail Loft",
            "Third floor, 18 Shad Thames, Bermondsey, London SE1 2YR",
            "London",
            51.50301,
            -0.07318,
            "ENG",
            "Reformers, rings and a river view, three floors up. There is a lift. Quiet after 20:00.",
            "No dropped weights after 20:00. Grip socks on the reformers.",
            ("reformer", "rings", "lift", "showers", "river-view"),
            ("06:30", "22:00"),
            ("08:00", "18:00"),
            london(1500, 1800),
            (
                gym("Reformer room", STUDIO, 5.5, 3),
                gym("Rings room", STUDIO, 3.5),
                gym("River room", STUDIO, 4.5, 6),
                gym("Quiet room", ROOM, 2.5, 2),
            ),
            (Closing("Public holidays"),),
        ),
    ),
    pay=("credits", "credits", "desk"),
)
BARADARI = House(
    "baradari",
    "Baradari Padel",
    OrganisationKind.CLUB,
    "PK",
    "PKR",
    "Asia/Karachi",
    "en-PK",
    200,
    ("13", "Sales tax"),
    (
        Place(
            "clifton",
            "Baradari Clifton",
            "12 Marine Promenade, Clifton Block 4, Karachi",
            "Karachi",
            24.80342,
            67.03017,
            None,
            "Four panoramic courts and a singles court, a short walk from the sea wall. Floodlit until one in the morning. The"
            " two roofed courts play in any weather; the open ones are drier after four.",
            "Arrive ten minutes before; the door PIN works from then on. Non-marking shoes. No glass bottles on court. Rain moves"
            " you to a roofed court when one is free, otherwise you are refunded in full.",
            ("showers", "lockers", "free-parking", "tea-bar", "racket-hire", "floodlights", "backup-power", "prayer-room"),
            ("07:00", "01:00"),
            ("07:00", "01:00"),
            (
                Rate("Before 17:00", 450_000),
                Rate("Peak", 700_000, between=("17:00", "22:00")),
                Rate("Late", 500_000, between=("22:00", "01:00")),
                Rate("Weekend morning", 550_000, days=WEEKEND, between=("07:00", "12:00")),
                Rate("Public holiday", 750_000, holiday=True),
                Rate("Singles", 340_000, only="singles"),
                Rate("Singles, peak", 455_000, only="singles", between=("17:00", "22:00")),
                Rate("Shooting", 1_200_000, purpose=Purpose.CONTENT, priority=10),
            ),
            (
                padel("Court 1", 8.0, indoor=False),
                padel("Court 2", 7.5, indoor=False),
                padel("Court 3", 8.5, indoor=True),
                padel("Court 4", 8.0, indoor=True),
                padel("Court 5", 5.0, indoor=False, tariff="singles", capacity=2),
            ),
            (Closing("Ashura", -140, 2),),
        ),
    ),
    quiet_hours=("21:00", "07:00"),
    weather_refund=True,
    reschedule_fee_pct=10,
    pay=("credits", "credits", "credits", "desk"),
)
GULBERG_GRASS = House(
    "gulberg-grass",
    "Gulberg Grass",
    OrganisationKind.CLUB,
    "PK",
    "PKR",
    "Asia/Karachi",
    "en-PK",
    130,
    ("16", "Sales tax"),
    (
        Place(
            "gulberg",
            "Gulberg Grass",
            "Behind the old cinema, 9 Ghalib Road, Gulberg III, Lahore",
            "Lahore",
            31.51634,
            74.34601,
            None,
            "Two open courts behind the old cinema, a practice wall and two tables under the trees. Lassi until midnight.",
            "Water the court after noon matches. Children under ten with a grown-up.",
            ("tea-bar", "floodlights", "racket-hire", "free-parking"),
            ("06:00", "24:00"),
            ("06:00", "24:00"),
            (
                Rate("Before 17:00", 380_000),
                Rate("Evening", 520_000, between=("17:00", "24:00")),
                Rate("Weekend", 480_000, days=WEEKEND, between=("06:00", "17:00")),
                Rate("Public holiday", 560_000, holiday=True),
                Rate("Wall", 90_000, only="wall"),
                Rate("Table", 60_000, only="table"),
                Rate("Shooting", 900_000, purpose=Purpose.CONTENT, priority=10),
            ),
            (
                padel("Court 1", 6.5, indoor=False),
                padel("Court 2", 6.0, indoor=False),
                Thing("Practice wall", LANE, "padel", 2, 2.5, False, "concrete", "wall", durations=(30, 45, 60), usual=(30, 60)),
                Thing(
                    "Table 1", TABLE, "table_tennis", 4, 3.0, False, None, "table", durations=(30, 45, 60, 90), usual=(30, 60, 60)
                ),
                Thing(
                    "Table 2", TABLE, "table_tennis", 4, 2.0, False, None, "table", durations=(30, 45, 60, 90), usual=(30, 60, 60)
                ),
            ),
        ),
    ),
    weather_refund=True,
    pay=("credits", "credits", "desk"),
)
MARGALLA = House(
    "margalla-padel",
    "Margalla Padel",
    OrganisationKind.CLUB,
    "PK",
    "PKR",
    "Asia/Karachi",
    "en-PK",
    280,
    ("15", "Sales tax"),
    (
        Place(
            "margalla-road",
            "Margalla Road",
            "Street 3, off Margalla Road, F-7/2, Islamabad",
            "Islamabad",
            33.72618,
            73.05571,
            None,
            "Four courts under the hills and a sports hall that is one full court or two halves. Cold in January, and worth it.",
            "Hall shoes in the hall. Monkeys are not fed.",
            ("showers", "cafe", "floodlights", "racket-hire", "free-parking", "sports-hall"),
            ("06:00", "23:00"),
            ("06:00", "24:00"),
            (
                Rate("Before 16:00", 400_000),
                Rate("Peak", 560_000, between=("16:00", "22:00")),
                Rate("Weekend morning", 480_000, days=WEEKEND, between=("06:00", "13:00")),
                Rate("Public holiday", 600_000, holiday=True),
                Rate("Half the hall", 300_000, only="half"),
                Rate("Half the hall, peak", 420_000, only="half", between=("16:00", "22:00")),
                Rate("The whole hall", 550_000, only="full"),
                Rate("The whole hall, peak", 780_000, only="full", between=("16:00", "22:00")),
                Rate("Shooting", 950_000, purpose=Purpose.CONTENT, priority=10),
            ),
            (
                padel("Court 1", 6.5, indoor=False),
                padel("Court 2", 6.5, indoor=False),
                padel("Court 3", 6.0, indoor=True),
                padel("Court 4", 5.5, indoor=True),
                Thing("Half court A", COURT, "futsal", 10, 3.0, True, "wood", "half", usual=(60, 60, 90)),
                Thing("Half court B", COURT, "futsal", 10, 2.6, True, "wood", "half", usual=(60, 60, 90)),
                Thing(
                    "Full court",
                    COURT,
                    "futsal",
                    22,
                    2.2,
                    True,
                    "wood",
                    "full",
                    ("Half court A", "Half court B"),
                    usual=(60, 90, 120),
                ),
            ),
            (Closing("Hall floor sanded", 24, 2),),
        ),
    ),
    weather_refund=True,
    pay=("credits", "credits", "credits", "desk"),
)
CASA_LIOZ = House(
    "casa-lioz",
    "Casa Lioz",
    OrganisationKind.HOTEL,
    "PT",
    "EUR",
    "Europe/Lisbon",
    "pt",
    55,
    ("23", "IVA"),
    (
        Place(
            "alfama",
            "Casa Lioz",
            "Rua do Limoeiro 27, Alfama, 1100-333 Lisboa",
            "Lisboa",
            38.71097,
            -9.13227,
            None,
            "Eleven rooms and a tiled front, two padel courts on the old tennis terrace, one clay court kept as it was, and a"
            " pool with three lanes before breakfast.",
            "Guests of the house play before 10:00. No shouting on the terrace after 22:00.",
            ("showers", "towels", "pool", "terrace", "bar", "racket-hire"),
            ("07:00", "22:00"),
            ("08:00", "22:00"),
            (
                Rate("Day", 2400),
                Rate("Evening", 3200, between=("17:00", "22:00")),
                Rate("Weekend", 2800, days=WEEKEND, between=("08:00", "17:00")),
                Rate("Public holiday", 3400, holiday=True),
                Rate("High summer", 3000, season=("07-01", "08-31")),
                Rate("Lane", 800, only="lane", per=Per.PERSON_HOUR),
                Rate("Gym and terrace", 1200, only="calm"),
                Rate("Tile room", 4500, only="meeting"),
                Rate("Shooting", 9000, purpose=Purpose.CONTENT, priority=10),
            ),
            (
                padel("Padel 1", 5.5, indoor=False),
                padel("Padel 2", 4.5, indoor=False),
                Thing("Clay court", COURT, "tennis", 4, 4.0, False, "clay", usual=(60, 60, 90)),
                Thing("Lane 1", LANE, "swimming", 2, 3.5, False, None, "lane", durations=(30, 45, 60), usual=(30, 45, 60)),
                Thing("Lane 2", LANE, "swimming", 2, 3.0, False, None, "lane", durations=(30, 45, 60), usual=(30, 45, 60)),
                Thing("Lane 3", LANE, "swimming", 2, 2.0, False, None, "lane", durations=(30, 45, 60), usual=(30, 45, 60)),
                Thing("Gym", ROOM, "fitness", 4, 3.0, True, None, "calm", usual=(60, 60, 90), buffer_after=15),
                Thing("Yoga terrace", STUDIO, "yoga", 8, 2.0, False, None, "calm", usual=(60, 75, 90)),
                Thing("Tile room", ROOM, "meeting", 12, 1.2, True, None, "meeting", usual=(60, 120, 180)),
            ),
            (Closing("Pool and courts in winter rest", -318, 10),),
        ),
    ),
    weather_refund=True,
    pay=("credits", "desk"),
)
HOUSES = (COUNTERWEIGHT, BREAD_ROOM, SAIL_LOFT, BARADARI, GULBERG_GRASS, MARGALLA, CASA_LIOZ)
