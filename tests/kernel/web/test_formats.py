from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forecourt.kernel.money import MAX_MINOR, Money
from forecourt.kernel.web import formats
from forecourt.kernel.web.catalogue import FALLBACK, LANGUAGES, OWN, Catalogue

KHI = "Asia/Karachi"
MOMENT = datetime(2026, 11, 19, 14, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("language", "money", "tag", "text"),
    [
        ("en", Money(1_050_000, "PKR"), False, "Rs\u00a010,500"),
        ("en", Money(1_050_050, "PKR"), False, "Rs\u00a010,500.50"),
        ("en", Money(-105_000, "PKR"), False, "\u2212Rs\u00a01,050"),
        ("en", Money(2200, "GBP"), False, "£22.00"),
        ("en", Money(2200, "GBP"), True, "£22"),
        ("en", Money(1850, "GBP"), True, "£18.50"),
        ("en", Money(5, "EUR"), False, "€0.05"),
        ("en", Money(500, "JPY"), False, "¥500"),
        ("en", Money(1500, "BHD"), True, "BHD\u00a01.500"),
        ("pt", Money(123_456, "EUR"), False, "€\u00a01.234,56"),
        ("ur", Money(1_050_000, "PKR"), False, "Rs\u00a010,500"),
    ],
)
def test_money_reads_as_people_write_it(language: str, money: Money, tag: bool, text: str) -> None:
    assert formats.money(language, money, tag=tag) == text


@given(st.integers(-MAX_MINOR, MAX_MINOR), st.sampled_from(["GBP", "PKR", "JPY", "BHD"]), st.booleans())
def test_no_amount_is_ever_rounded(amount: int, currency: str, tag: bool) -> None:
    text = formats.amount("en", Money(amount, currency), tag=tag).replace(",", "").replace("\u2212", "-")
    whole, _, rest = text.partition(".")
    digits = formats.minor_digits(currency)
    assert abs(int(whole)) * 10**digits + int((rest or "0").ljust(digits, "0") or 0) == abs(amount)


def test_times_are_the_venues_and_ranges_take_an_en_dash() -> None:
    assert formats.time("en", MOMENT, KHI) == "19:30"
    assert formats.time("en", MOMENT, "UTC") == "14:30"
    assert formats.time_range("en", MOMENT, MOMENT + timedelta(minutes=90), KHI) == "19:30–21:00"


def test_a_time_without_an_offset_is_refused() -> None:
    with pytest.raises(ValueError, match="offset"):
        formats.time("en", datetime(2026, 11, 19, 19, 30), KHI)  # noqa: DTZ001  # the point of the test


def test_a_date_is_the_venues_date_not_ours() -> None:
    late = datetime(2026, 11, 19, 20, 30, tzinfo=UTC)
    assert formats.date("en", late, KHI) == "Fri 20 Nov"
    assert formats.date("en", late, "UTC") == "Thu 19 Nov"
    assert formats.date("en", date(2026, 11, 19), style="full") == "Thursday 19 November 2026"
    assert formats.date("pt", date(2026, 11, 19), style="long") == "quinta-feira, 19 de novembro"


@pytest.mark.parametrize(("language", "style"), [(lang, s) for lang in LANGUAGES for s in formats.DATE_PATTERNS["en"]])
def test_every_language_has_every_date_style(language: str, style: str) -> None:
    assert formats.date(language, date(2026, 11, 19), style=style)


@pytest.mark.parametrize(
    ("minutes", "text"), [(45, "45 min"), (90, "90 min"), (180, "180 min"), (240, "4 h"), (270, "4 h 30 min")]
)
def test_durations(minutes: int, text: str) -> None:
    assert formats.duration("en", minutes).replace("\u00a0", " ") == text


@pytest.mark.parametrize(("km", "text"), [(0.08, "80 m"), (0.4, "0.4 km"), (1.64, "1.6 km"), (12.2, "12 km"), (1234, "1,234 km")])
def test_distances(km: float, text: str) -> None:
    assert formats.distance("en", km).replace("\u00a0", " ") == text


@pytest.mark.parametrize(
    ("away_min", "text"),
    [
        (18, "in 18 minutes"),
        (-4, "4 minutes ago"),
        (1, "in 1 minute"),
        (0, "now"),
        (59, "in 59 minutes"),
        (60, "20:30"),
        (24 * 60, "Fri 20 Nov, 19:30"),
    ],
)
def test_relative_only_under_an_hour(away_min: int, text: str) -> None:
    assert formats.relative("en", MOMENT + timedelta(minutes=away_min), MOMENT, KHI) == text


def test_plurals_follow_cldr() -> None:
    forms = {"one": "{n} court", "other": "{n} courts"}
    assert [formats.plural("en", n, forms) for n in (0, 1, 2, 1234)] == ["0 courts", "1 court", "2 courts", "1,234 courts"]
    assert formats.plural("pt", 0, {"one": "{n} quadra", "other": "{n} quadras"}) == "0 quadra"


def test_a_value_cannot_smuggle_a_format_into_a_sentence() -> None:
    assert formats.fill("{name} waits", {"name": "{secret.__class__}"}) == "{secret.__class__} waits"
    with pytest.raises(KeyError):
        formats.fill("{name} waits", {})


def test_english_is_complete_and_the_others_say_nothing_else() -> None:
    catalogue = Catalogue()
    english = catalogue.keys(FALLBACK)
    assert len(english) > 100
    for language in LANGUAGES:
        assert catalogue.keys(language) <= english


def test_a_missing_translation_falls_back_sentence_by_sentence_and_a_missing_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"new.word": "Not translated yet"}')
    catalogue = Catalogue((OWN, tmp_path))
    assert catalogue.say("ur", "grid.free", {}) == "خالی"
    assert catalogue.say("ur", "new.word", {}) == "Not translated yet"
    assert catalogue.say("en", "times.places", {"n": 1}) == "1 place"
    assert catalogue.say("en", "times.places", {"n": 3}) == "3 places"
    with pytest.raises(KeyError):
        catalogue.say("en", "no.such.key", {})


class Named(dict[str, object]):
    """Every placeholder says its name."""

    def __missing__(self, name: str) -> str:
        return f"<{name}>"


def test_a_translation_has_the_placeholders_of_the_english_and_a_form_for_every_number() -> None:
    catalogue = Catalogue()
    for language in LANGUAGES:
        for key in sorted(catalogue.keys(language)):
            for n in (0, 1, 2, 5, 1_000_000):
                english = catalogue.say(FALLBACK, key, Named(n=n))
                spoken = catalogue.say(language, key, Named(n=n))
                assert sorted(re.findall("<[a-z]+>", spoken)) == sorted(re.findall("<[a-z]+>", english)), (language, key)


def test_every_language_says_everything() -> None:
    catalogue = Catalogue()
    for language in LANGUAGES:
        assert catalogue.keys(language) == catalogue.keys(FALLBACK)
