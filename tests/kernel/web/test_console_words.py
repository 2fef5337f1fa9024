"""The pages of owners and staff say nothing that their messages do not hold in every language."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from html.parser import HTMLParser
from importlib import import_module
from pathlib import Path

import pytest
from jinja2 import Environment, nodes
from tests.kernel.web.test_said import HOUSE, catalogue, sentences

from forecourt.kernel.errors import AddressRefused, Problem
from forecourt.kernel.events import registered_events
from forecourt.kernel.web.catalogue import Catalogue
from forecourt.modules.audit.web import SUBJECTS
from forecourt.modules.booking import contract as booking
from forecourt.modules.booking.day_views import COUNTS
from forecourt.modules.booking.staff_web import SHOWS
from forecourt.modules.identity import contract as identity
from forecourt.modules.identity.rules import PERMISSIONS
from forecourt.modules.media import contract as media
from forecourt.modules.notifications import contract as notifications
from forecourt.modules.notifications.rules import KINDS
from forecourt.modules.venues import contract as venues

SPOKEN = ("audit", "booking", "identity", "notifications", "payments", "venues")
"""Modules all of whose templates and pages speak every language."""
NAMES = frozenset({"Forecourt"})
SHOWN = frozenset({"alt", "aria-label", "aria-description", "data-confirm", "data-done", "placeholder", "title"})
SAMPLES = frozenset({"padel", "artificial_grass"})
"""Words that are typed as they are, in every language: values of a placeholder."""
LETTERS = re.compile(r"[^\W\d_]{2,}")
SENTENCE = re.compile(r"^[A-ZÀ-Þ][^\W\d_]+(?![\w/.-])|[^\W\d_]{2,}[,.:]? [^\W\d_]+")


# --- templates -----------------------------------------------------------------------------------------------------------


class _Written(HTMLParser):
    """The words a template shows by itself: text, and attributes that are read or read out."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if name in SHOWN and value]

    def handle_data(self, data: str) -> None:
        self.found.append(data)


def written(source: str) -> Iterator[str]:
    """Words in the markup of a template."""
    shown = re.sub(r"{% block main_class %}.*?{% endblock %}", "", source)
    markup = re.sub(r"{#.*?#}|{%.*?%}|{{.*?}}", " ", shown, flags=re.DOTALL)
    reader = _Written()
    reader.feed(markup)
    reader.close()
    for text in reader.found:
        if any(word not in NAMES | SAMPLES for word in LETTERS.findall(text)):
            yield text.strip()


def spoken(source: str) -> Iterator[str]:
    """Sentences and names in the code of a template that are no key of a message."""
    tree = Environment(extensions=["jinja2.ext.do"]).parse(source)
    for constant in tree.find_all(nodes.Const):
        if isinstance(constant.value, str) and SENTENCE.search(constant.value):
            yield constant.value


TEMPLATES = sorted(file for module in SPOKEN for file in HOUSE.glob(f"modules/{module}/templates/**/*.html"))


@pytest.mark.parametrize("file", TEMPLATES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_template_of_these_modules_says_anything_by_itself(file: Path) -> None:
    source = file.read_text()
    assert [*written(source), *spoken(source)] == []


@pytest.mark.parametrize(
    ("planted", "found"),
    [
        ("<h1>{{ t('x.y') }} Places</h1>", ["Places"]),
        ('<nav aria-label="{{ t("x") }} of them">', ["of them"]),
        ('<input placeholder="Closed">', ["Closed"]),
        ("{{ n }} min", ["min"]),
        ('{{ ui.button("Save", "main", "s") }}', ["Save"]),
        ('{{ ui.field("name", t("x"), hint="as the policies say") }}', ["as the policies say"]),
        ('{{ ui.button(t("x"), attrs={"data-confirm": "Remove " ~ name ~ "?"}) }}', ["Remove "]),
        ('{{ ui.badge("on" if a else "Off") }}', ["Off"]),
        ('{{ ui.button("Set a price" if not form else "") }}', ["Set a price"]),
    ],
)
def test_text_in_a_template_is_found_wherever_it_stands(planted: str, found: list[str]) -> None:
    assert [*written(planted), *spoken(planted)] == found


def test_what_is_not_said_to_anybody_is_no_text() -> None:
    source = '{# Ours #}<title>{{ t("x") }} · Forecourt</title><p class="t14 dim">–</p>{{ ui.field("a", t("b"), key="N") }}'
    assert [*written(source), *spoken(source)] == []
    assert len(TEMPLATES) > 25


# --- pages ---------------------------------------------------------------------------------------------------------------


PAGES = sorted(file for module in SPOKEN for file in HOUSE.glob(f"modules/{module}/*web.py"))
WORDS_OF = {"toast": "Redirect", "label": "Choice", "hint": "Choice"}


def plain(source: str) -> Iterator[str]:
    """Toasts, labels and links that a page's code writes out."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        if any(k.arg == "lang" for k in node.keywords):
            continue  # a language is called by its own name
        given = [k.value for k in node.keywords if k.arg in WORDS_OF and called == WORDS_OF[k.arg]]
        given += node.args[:1] if called in ("Link", "Fact") else []
        for argument in given:
            yield from (text for text in _texts(argument) if LETTERS.search(text))


def _texts(argument: ast.expr) -> Iterator[str]:
    """Literals of an expression that are shown as they stand: not those handed to a function."""
    if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
        yield argument.value
    elif isinstance(argument, ast.IfExp):
        yield from (*_texts(argument.body), *_texts(argument.orelse))
    elif isinstance(argument, ast.BoolOp | ast.JoinedStr):
        for value in argument.values:
            yield from _texts(value)


@pytest.mark.parametrize("file", PAGES, ids=lambda file: f"{file.parent.name}/{file.name}")
def test_no_page_of_these_modules_writes_its_words_out(file: Path) -> None:
    assert list(plain(file.read_text())) == []


@pytest.mark.parametrize(
    "planted",
    [
        'Redirect("/", toast="Saved")',
        'Redirect("/", toast=f"{x} is saved")',
        'Choice(label="Any", value="")',
        'Link(name or "Places", "/")',
        'Redirect("/", toast="Yes" if x else y)',
    ],
)
def test_words_in_a_page_are_found_wherever_they_stand(planted: str) -> None:
    assert len(list(plain(planted))) == 1
    assert list(plain('Redirect("/", toast=self._say(visit, "venues.saved"))')) == []
    assert list(plain('Choice(label="Português", value="pt", lang="pt")')) == []
    assert len(PAGES) >= 5


# --- what services say ---------------------------------------------------------------------------------------------------


STAFF_WAYS = (
    "modules/venues/staff_forms.py",
    "modules/venues/staff_web.py",
    "modules/venues/rules.py",
    *(f"modules/venues/service/{name}.py" for name in ("venues", "photos")),
    "modules/identity/limits.py",
    "modules/identity/staff_web.py",
    "modules/identity/service/staff.py",
    "modules/media/images.py",
    "modules/booking/staff_web.py",
    *(f"modules/booking/service/{name}.py" for name in ("blocking", "changing", "desk")),
    "modules/notifications/channels/gateways.py",
    "modules/notifications/service/house.py",
    "modules/notifications/wording.py",
    "kernel/egress.py",
    "kernel/reach.py",
)


@pytest.fixture(scope="module")
def messages() -> Catalogue:
    return catalogue()


@pytest.mark.parametrize("way", STAFF_WAYS)
def test_what_services_say_to_staff_is_said_in_every_language(messages: Catalogue, way: str) -> None:
    lacking = [s for s in sentences(HOUSE / way) if messages.said("ur", s) in (None, s) or messages.said("pt", s) in (None, s)]
    assert lacking == []


def test_the_sentences_of_staff_are_really_looked_for(messages: Catalogue) -> None:
    assert "overlaps the interval before it" in set(sentences(HOUSE / "modules/venues/rules.py"))
    assert messages.said("pt", "'Karachi' is not a time zone; use an IANA name such as Europe/London") == (
        "'Karachi' não é um fuso horário; use um nome IANA como Europe/Lisbon"
    )


@pytest.mark.parametrize(
    "kind",
    [
        venues.SlugTaken,
        venues.ResourceInUse,
        identity.RoleInUse,
        identity.RoleNameTaken,
        identity.LastOwner,
        media.MediaRefused,
        media.MediaTooLarge,
        media.MediaQuotaFull,
        notifications.NotReplayable,
        notifications.TemplateExists,
        notifications.TemplateInvalid,
        AddressRefused,
    ],
)
def test_every_problem_that_staff_meets_has_its_title_in_every_language(messages: Catalogue, kind: type[Problem]) -> None:
    assert messages.said("ur", kind.title) not in (None, kind.title)
    assert messages.said("pt", kind.title) not in (None, kind.title)


def test_every_permission_is_explained_in_every_language(messages: Catalogue) -> None:
    for language in ("pt", "ur"):
        assert [p for p, english in PERMISSIONS.items() if messages.said(language, english) in (None, english)] == []


def the_houses_events() -> list[str]:
    """What the record can tell of: every event of every module."""
    for contract in sorted(HOUSE.glob("modules/*/contract*")):
        import_module(f"forecourt.modules.{contract.parent.name}.contract")
    return [name for name, event in registered_events().items() if event.__module__.startswith("forecourt.")]


@pytest.mark.parametrize(
    ("group", "words"),
    [
        ("venues.purpose", venues.Purpose),
        ("venues.rule", venues.Purpose),
        ("venues.kind", venues.ResourceKind),
        ("venues.per", venues.Per),
        ("venues.rate", venues.Per),
        ("venues.day", venues.WEEK),
        ("venues.short_day", venues.WEEK),
        ("orgkind", venues.OrganisationKind),
        ("orgs.status", venues.OrganisationStatus),
        ("venues.status", venues.OrganisationStatus),
        ("sheet.state", COUNTS | booking.OCCUPYING),
        ("sheet.story", booking.BookingAction),
        ("bookings.show", SHOWS),
        ("notif.channel", notifications.Channel),
        ("notif.status", notifications.DeliveryStatus),
        ("notif.kind", KINDS),
        ("audit.kind", SUBJECTS),
        ("audit.done", the_houses_events()),
    ],
)
def test_every_word_that_is_chosen_from_has_a_name(messages: Catalogue, group: str, words: Iterable[str]) -> None:
    assert len(list(words)) > 2
    assert [word for word in words if not messages.has(f"{group}.{word}")] == []
    assert not messages.has(f"{group}.nothing_like_it"), "or everything has a name"
