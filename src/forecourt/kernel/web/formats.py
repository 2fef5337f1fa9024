"""Money, time and words as people read them, by CLDR. Pure functions; the locale comes first.

House rules on top of CLDR (docs: the voice): 24-hour times, U+2212 for minus, an en dash without spaces between times,
a no-break space between a worded symbol or unit and its number, whole rupees.
"""

from __future__ import annotations

import datetime as dt
import re
import unicodedata
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_timedelta
from babel.numbers import format_decimal, get_currency_symbol

from forecourt.kernel.money import Money

NBSP = "\u00a0"
MINUS = "\u2212"
EN_DASH = "\u2013"
FSI, PDI, LRM, RLM = "\u2068", "\u2069", "\u200e", "\u200f"
COMMAS = {"ur": "،"}
"""Where the comma is another one."""

# ISO 4217 minor digits that are not two. CLDR's own table says 0 for PKR and others where ISO, and our ledger, say 2.
NO_MINOR = frozenset("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX VND VUV XAF XOF XPF".split())
THREE_MINOR = frozenset("BHD IQD JOD KWD LYD OMR TND".split())
WHOLE = frozenset({"PKR"})
"""Currencies whose minor unit is out of use: shown only when an amount really has some."""

# Where the language's CLDR data only knows the code, the sign people write.
SIGNS = {"PKR": "Rs", "LKR": "Rs", "NPR": "Rs", "CHF": "CHF", "SEK": "kr", "NOK": "kr", "DKK": "kr"}

DATE_PATTERNS: dict[str, dict[str, str]] = {
    "en": {
        "weekday": "EEE",
        "number": "d",
        "short": "d MMM",
        "day": "EEE d MMM",
        "long": "EEEE d MMMM",
        "full": "EEEE d MMMM y",
        "date": "d MMM y",
        "month": "MMMM y",
        "mon": "MMM",
    },
    "pt": {
        "weekday": "EEE",
        "number": "d",
        "short": "d 'de' MMM",
        "day": "EEE, d 'de' MMM",
        "long": "EEEE, d 'de' MMMM",
        "full": "EEEE, d 'de' MMMM 'de' y",
        "date": "d 'de' MMM 'de' y",
        "month": "MMMM 'de' y",
        "mon": "MMM",
    },
    "ur": {
        "weekday": "EEE",
        "number": "d",
        "short": "d MMM",
        "day": "EEE، d MMM",
        "long": "EEEE، d MMMM",
        "full": "EEEE، d MMMM، y",
        "date": "d MMM، y",
        "month": "MMMM y",
        "mon": "MMM",
    },
}
"""Styles of `date`: weekday, number, short, day, long, full (with year), date (short with year), month, mon."""

UNITS: dict[str, dict[str, str]] = {
    "en": {"min": "min", "h": "h", "km": "km", "m": "m"},
    "pt": {"min": "min", "h": "h", "km": "km", "m": "m"},
    "ur": {"min": "منٹ", "h": "گھنٹے", "km": "کلومیٹر", "m": "میٹر"},
}

NOW: dict[str, str] = {"en": "now", "pt": "agora", "ur": "ابھی"}

Forms = Mapping[str, str]
"""A sentence per CLDR plural category: one, few, many, other. `other` is always there."""


@lru_cache(maxsize=16)
def locale_of(language: str) -> Locale:
    return Locale.parse(language)


@lru_cache(maxsize=512)
def _zone(name: str) -> ZoneInfo:
    return ZoneInfo(name)


def local(moment: datetime, tz: str) -> datetime:
    """`moment` on the clock of `tz` (IANA name). Raises ValueError for a time without an offset."""
    if moment.tzinfo is None:
        raise ValueError("a time without an offset cannot be shown")
    return moment.astimezone(_zone(tz))


def minor_digits(currency: str) -> int:
    if currency in NO_MINOR:
        return 0
    return 3 if currency in THREE_MINOR else 2


def number(language: str, value: float, digits: int = 0) -> str:
    """`value` with the language's separators and exactly `digits` decimals; U+2212 before a negative."""
    pattern = "#,##0" + ("." + "0" * digits if digits else "")
    text = format_decimal(abs(value), format=pattern, locale=locale_of(language))
    return f"{MINUS}{text}" if value < 0 and text.strip("0.,") else text


def amount(language: str, money: Money, *, tag: bool = False) -> str:
    """The figure without its symbol, for columns whose total names the currency. `tag` drops empty decimals."""
    digits = minor_digits(money.currency)
    whole, rest = divmod(abs(money.amount), 10**digits)
    grouped = format_decimal(whole, format="#,##0", locale=locale_of(language))
    if rest or (digits and not tag and money.currency not in WHOLE):
        point = locale_of(language).number_symbols["latn"]["decimal"]
        grouped = f"{grouped}{point}{rest:0{digits}d}"
    return f"{MINUS}{grouped}" if money.amount < 0 else grouped


def money(language: str, value: Money, *, tag: bool = False) -> str:
    """`Rs 10,500`, `£22.00`, `−£4.50`; on a tag `£22`. Never rounds: paisa are shown when there are some."""
    locale = locale_of(language)
    symbol = get_currency_symbol(value.currency, locale=locale)
    if symbol == value.currency:
        symbol = SIGNS.get(value.currency, symbol)
    figure = amount(language, value, tag=tag)
    minus, figure = (MINUS, figure[1:]) if figure.startswith(MINUS) else ("", figure)
    pattern: str = locale.currency_formats["standard"].pattern
    positive, _, _ = pattern.partition(";")
    gap = NBSP if symbol[-1].isalpha() or NBSP in positive or " " in positive else ""
    if positive.endswith("¤"):
        return f"{minus}{figure}{NBSP}{symbol}"
    return f"{minus}{symbol}{gap}{figure}"


def time(_language: str, moment: datetime, tz: str) -> str:
    """`19:30` on the venue's clock."""
    return local(moment, tz).strftime("%H:%M")


def time_range(language: str, start: datetime, end: datetime, tz: str) -> str:
    """`19:30–21:00`."""
    return f"{time(language, start, tz)}{EN_DASH}{time(language, end, tz)}"


def date(language: str, moment: datetime | dt.date, tz: str = "UTC", style: str = "day") -> str:
    """A date in one of the styles of DATE_PATTERNS. A plain date has no zone. Raises KeyError for an unknown style."""
    day = local(moment, tz).date() if isinstance(moment, datetime) else moment
    pattern = DATE_PATTERNS[language][style]
    return format_date(day, format=pattern, locale=locale_of(language))


def occasion(language: str, place: str, start: datetime, tz: str) -> str:
    """`Court 3, 22 Nov, 19:30` on the venue's clock, to call something after it.

    A place whose script runs against the language's is set apart (FSI, PDI): the day would else be drawn into it. A mark before
    it (RLM, LRM) says which way the whole runs to pages that go by the first letter (`dir="auto"`), set apart or not.
    """
    around, mark = ("R", RLM) if locale_of(language).text_direction == "rtl" else ("L", LRM)
    if around != _runs(place, around):
        place = f"{mark}{FSI}{place}{PDI}"
    comma = COMMAS.get(language, ",")
    return f"{place}{comma} {date(language, start, tz, 'short')}{comma} {time(language, start, tz)}"


DELETED_ACCOUNT = {"en": "Deleted account", "pt": "Conta apagada", "ur": "مٹایا گیا اکاؤنٹ"}


def deleted_account(language: str) -> str:
    """What somebody is called who was erased, and of whom nothing but an id is left. Inside the house, in English."""
    return DELETED_ACCOUNT.get(language, DELETED_ACCOUNT["en"])


def _runs(text: str, otherwise: str) -> str:
    """`L` or `R`: the direction of the first letter of `text` that has one."""
    for one in text:
        if (kind := unicodedata.bidirectional(one)) in ("L", "R", "AL"):
            return "L" if kind == "L" else "R"
    return otherwise


def duration(language: str, minutes: int) -> str:
    """`90 min` up to three hours, then `3 h 30 min`, `8 h`."""
    unit = UNITS[language]
    if minutes <= 180:
        return f"{minutes}{NBSP}{unit['min']}"
    hours, rest = divmod(minutes, 60)
    text = f"{hours}{NBSP}{unit['h']}"
    return f"{text} {rest}{NBSP}{unit['min']}" if rest else text


def distance(language: str, km: float) -> str:
    """`80 m` to the nearest ten, then `1.6 km`, then `12 km`."""
    unit = UNITS[language]
    if km < 0.095:
        return f"{round(km * 100) * 10}{NBSP}{unit['m']}"
    return f"{number(language, km, 1 if km < 9.95 else 0)}{NBSP}{unit['km']}"


def relative(language: str, moment: datetime, now: datetime, tz: str = "UTC") -> str:
    """Under an hour `in 18 minutes` or `4 minutes ago`; the same day `19:30`; otherwise `Thu 19 Nov, 19:30`."""
    away = moment - now
    if abs(away) < timedelta(seconds=30):
        return NOW[language]
    if abs(away) < timedelta(minutes=59, seconds=30):
        rounded = timedelta(minutes=round(away.total_seconds() / 60))
        if rounded == timedelta():
            rounded = timedelta(minutes=1 if away > timedelta() else -1)
        return format_timedelta(rounded, granularity="minute", threshold=2, add_direction=True, locale=locale_of(language))
    clock = time(language, moment, tz)
    if local(moment, tz).date() == local(now, tz).date():
        return clock
    return f"{date(language, moment, tz)}, {clock}"


def clock_left(seconds: int) -> str:
    """`8:41`, minutes and seconds of a hold; never negative."""
    minutes, rest = divmod(max(0, seconds), 60)
    return f"{minutes}:{rest:02d}"


_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


def fill(text: str, values: Mapping[str, object]) -> str:
    """`text` with each `{name}` replaced. Only plain names: no attributes, no format codes. KeyError for a missing one."""
    replace: Callable[[re.Match[str]], str] = lambda found: str(values[found[1]])  # noqa: E731
    return _PLACEHOLDER.sub(replace, text)


def plural(language: str, n: int, forms: Forms) -> str:
    """The form CLDR wants for `n`, with `{n}` grouped: `plural("en", 3, {"one": "{n} court", "other": "{n} courts"})`."""
    category: str = locale_of(language).plural_form(n)
    return fill(forms.get(category, forms["other"]), {"n": number(language, n)})
