from __future__ import annotations

from pathlib import Path

import pytest

from forecourt.kernel.web.catalogue import LANGUAGES, OWN, Catalogue
from forecourt.modules import notifications
from forecourt.modules.booking.contract import Why
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import Channel, TemplateInvalid
from forecourt.modules.notifications.rules import KINDS
from forecourt.modules.notifications.service.addresses import NO_NAME
from forecourt.modules.notifications.wording import SAMPLES, Surround, Words

BOOKING = SAMPLES["booking.confirmed"]
HERE = Surround("en", "Baradari", "https://b.example.org/bookings/1")


@pytest.mark.parametrize(
    "source",
    [
        "{{ person() }}",
        "{{ person.__class__.__mro__ }}",
        "{{ person['x'] }}",
        "{% for a in person %}{{ a }}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 9 ** 99999999 }}",
        "{{ person ~ person }}",
        "{{ person | center(1000000000) }}",
        "{{ person | attr('upper') }}",
        "{% include 'en.toml' %}",
        "{% import 'x' as x %}",
        "{% set a = 1 %}",
        "{% macro a() %}{% endmacro %}",
        "{{ range(10) }}",
        "{{ cycler }}",
        "{{ self }}",
        "{{ nobody }}",
        "{{",
        "{% if %}",
        "{{ " + "(" * 3000 + ")" * 3000 + " }}",
    ],
)
def test_a_template_can_do_nothing_but_name_values_and_ask_if(source: str) -> None:
    with pytest.raises(TemplateInvalid) as e:
        wording.check(Words("fine", source), BOOKING)
    assert e.value.errors[0].path == "text"


def test_values_and_conditions_work() -> None:
    words = Words(
        "{{ place | upper }}",
        "{% if team_size == '4' and not (person | default('') | lower == 'x') %}four{% else %}more{% endif %}",
    )
    wording.check(words, BOOKING)
    content = wording.compose(Channel.PUSH, words, BOOKING, HERE)
    assert (content.subject, content.text) == ("COURT 3", "four")


def test_values_are_escaped_in_html_and_make_no_second_line_in_a_headline() -> None:
    values = {**BOOKING, "place": "<script>alert(1)</script>\r\nBcc: eve@example.org"}
    words = Words("{{ place }}", "{{ place }}", "<p>{{ place }}</p>")
    mail = wording.compose(Channel.EMAIL, words, values, HERE)
    assert "\n" not in mail.subject
    assert "\r" not in mail.subject
    assert "<script>" not in mail.html
    plain = wording.compose(Channel.EMAIL, Words("{{ place }}", "{{ place }}"), values, HERE)
    assert "<script>" not in plain.html
    assert "<script>" in plain.text, "text is text"


def test_a_message_is_never_longer_than_its_channel_takes() -> None:
    long = {**BOOKING, "place": "x" * 10_000}
    assert len(wording.compose(Channel.SMS, Words("", "{{ place }}"), long, HERE).text) == wording.MAX_SHORT
    assert len(wording.compose(Channel.EMAIL, Words("{{ place }}", "{{ place }}"), long, HERE).subject) == wording.MAX_SUBJECT
    huge = {**BOOKING, "place": "x" * 100_000}
    with pytest.raises(TemplateInvalid):
        wording.compose(Channel.EMAIL, Words("a", "{{ place }}" * 3), huge, HERE)


def test_the_nearest_language_there_is() -> None:
    assert wording.locale_for("pt-BR", "en") == "pt"
    assert wording.locale_for("fr", "ur-PK") == "ur"
    assert wording.locale_for(None, None) == "en"


@pytest.mark.parametrize("why", Why)
def test_what_the_house_notes_is_worded_in_each_language_and_nothing_else_is(why: Why) -> None:
    said = [wording.reason(locale, why.value) for locale in wording.LOCALES]
    assert len({*said, why.value}) == 4, "three languages, none of them the kind itself"
    for locale in wording.LOCALES:
        assert wording.reason(locale, "Rain") == "Rain", "what people wrote stays"
        assert wording.reason(locale, "") == ""


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_kind_of_message_has_a_name_for_who_rewords_it(language: str) -> None:
    """The page of an organisation's own words lists them all."""
    named = Catalogue((OWN, Path(notifications.__file__).parent / "messages")).keys(language)
    assert [kind for kind in KINDS if f"notif.kind.{kind}" not in named] == []


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("Ada Lind", True),
        ("J. R. Núñez-O'Brien", True),
        ("مہ نور", True),
        ("Win at spam.example", False),
        ("https: spam", False),
        ("www spam", False),
        ("ada@spam.example", False),
        ("spam/now", False),
    ],
)
def test_a_name_that_leads_somewhere_is_not_written_to_strangers(name: str, written: bool) -> None:
    assert (NO_NAME.search(name) is None) is written
