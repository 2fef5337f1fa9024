"""From templates to messages: what ships, what an organisation wrote instead, and the sandbox that renders both.

A template may name its event's values, ask `if`, and use a few filters. It cannot call, compute, import or loop, so that its
time is bounded by its length, and its size by its length times that of its values.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import cast

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template, TemplateError, nodes
from jinja2.sandbox import ImmutableSandboxedEnvironment
from markupsafe import Markup, escape
from msgspec import Struct

from forecourt.kernel.web import formats
from forecourt.modules.notifications.contract import Channel, Letter, LetterKind, Mail, TemplateInvalid
from forecourt.modules.notifications.queries.queue import Content

FOLDER = Path(__file__).parent / "shipped"
LOCALES = ("en", "pt", "ur")
FALLBACK = "en"
HOUSE = "Forecourt"
MAX_SUBJECT = 200
MAX_SHORT = 1_000
MAX_TEXT = 50_000
MAX_HTML = 200_000
COMPILED = 512

Values = Mapping[str, str]

_NODES = (
    nodes.Template,
    nodes.Output,
    nodes.TemplateData,
    nodes.Name,
    nodes.Const,
    nodes.If,
    nodes.Filter,
    nodes.Compare,
    nodes.Operand,
    nodes.And,
    nodes.Or,
    nodes.Not,
    nodes.CondExpr,
)
_FILTERS = frozenset({"upper", "lower", "capitalize", "trim", "default", "escape", "e"})


class Words(Struct, frozen=True):
    """A template: the headline, the text, and for mails perhaps an HTML body of its own."""

    subject: str
    body: str
    html: str | None = None


def _environment(*, autoescape: bool) -> Environment:
    env = ImmutableSandboxedEnvironment(autoescape=autoescape, undefined=StrictUndefined, cache_size=0)
    env.globals.clear()
    env.filters = {name: env.filters[name] for name in _FILTERS}
    env.tests = {}
    return env


_PLAIN = _environment(autoescape=False)
_HTML = _environment(autoescape=True)


def _letter_env() -> Environment:
    return Environment(
        loader=FileSystemLoader(str(FOLDER)), autoescape=True, undefined=StrictUndefined, trim_blocks=True, auto_reload=False
    )


_LETTER = _letter_env()
_compiled: dict[tuple[bool, str], Template] = {}


def check(words: Words, names: Values) -> None:
    """Raises TemplateInvalid, at `subject`, `text` or `html`, for what cannot be used with values of these names."""
    for field, source, html in (("subject", words.subject, False), ("text", words.body, False), ("html", words.html, True)):
        if source:
            _refuse_names(field, source, names)
            _render(field, source, names, html=html, most=MAX_HTML)


def render_text(field: str, source: str, values: Values, most: int) -> str:
    """Raises TemplateInvalid."""
    return _render(field, source, values, html=False, most=most)


def _render(field: str, source: str, values: Values, *, html: bool, most: int) -> str:
    try:
        text = _template(field, source, html=html).render(values)
    except TemplateInvalid:
        raise
    except TemplateError as e:
        raise TemplateInvalid.field(field, f"cannot be read: {e.message or type(e).__name__}") from None
    except (TypeError, ValueError) as e:
        raise TemplateInvalid.field(field, f"does not work: {e}") from None
    if len(text) > most:
        raise TemplateInvalid.field(field, f"becomes longer than {most} characters")
    return text


def _template(field: str, source: str, *, html: bool) -> Template:
    known = _compiled.get((html, source))
    if known is not None:
        return known
    env = _HTML if html else _PLAIN
    try:
        tree = env.parse(source)
    except RecursionError:
        raise TemplateInvalid.field(field, "is nested too deeply") from None
    _refuse(field, tree)
    made = env.from_string(source)
    if len(_compiled) >= COMPILED:
        _compiled.clear()
    _compiled[html, source] = made
    return made


def _refuse(field: str, tree: nodes.Node) -> None:
    """Raises TemplateInvalid for whatever is not on the list: calls, loops, sums, attributes, imports."""
    for node in tree.iter_child_nodes():
        if not isinstance(node, _NODES):
            raise TemplateInvalid.field(field, f"may not use {type(node).__name__.lower()}; name values and ask if, nothing else")
        if isinstance(node, nodes.Filter) and node.name not in _FILTERS:
            raise TemplateInvalid.field(field, f"has no filter {node.name!r}; there are {', '.join(sorted(_FILTERS))}")
        _refuse(field, node)


def _refuse_names(field: str, source: str, names: Values) -> None:
    """Raises TemplateInvalid for a name that this event has no value for, also where it would not be reached with the sample."""
    try:
        tree = _PLAIN.parse(source)
    except (TemplateError, RecursionError):
        return  # what cannot be read is said when it is rendered
    unknown = {node.name for node in tree.find_all(nodes.Name)} - names.keys()
    if unknown:
        raise TemplateInvalid.field(field, f"names {min(unknown)!r}; there are {', '.join(sorted(names))}")


# --- what ships ----------------------------------------------------------------------------------------------------------


@cache
def _shipped(locale: str) -> dict[str, dict[str, str]]:
    return cast("dict[str, dict[str, str]]", tomllib.loads((FOLDER / f"{locale}.toml").read_text()))


def word(locale: str, name: str, section: str = "words") -> str:
    """A fixed word of the letters, such as `open`."""
    return _shipped(locale)[section].get(name) or _shipped(FALLBACK)[section][name]


def shipped(event: str, channel: Channel, locale: str) -> Words:
    """What ships for an event. Raises KeyError for an event that has no words."""
    found = _shipped(locale).get(event) or _shipped(FALLBACK)[event]
    if channel is Channel.EMAIL:
        return Words(found["subject"], found["mail"].strip())
    if channel in (Channel.SMS, Channel.WHATSAPP):
        return Words(found["subject"], f"{found['subject']}. {found['short']} {{{{ link }}}}")
    return Words(found["subject"], found["short"])


def locale_for(*wishes: str | None) -> str:
    """The first of these languages that there are words in: `pt-BR` is Portuguese."""
    for wish in wishes:
        base = (wish or "").split("-")[0].lower()
        if base in LOCALES:
            return base
    return FALLBACK


# --- messages ------------------------------------------------------------------------------------------------------------


class Surround(Struct, frozen=True):
    """What stands around a mail's text."""

    locale: str
    organisation: str
    href: str = ""
    unsubscribe_url: str = ""
    choose_url: str = ""
    act: str = ""
    """On the button, in place of `open`."""
    foot: str = ""
    """Why this comes, in place of `footer`."""


def compose(channel: Channel, words: Words, values: Values, around: Surround) -> Content:
    """The message. A headline is one line, whatever its values hold. Raises TemplateInvalid."""
    subject = " ".join(_render("subject", words.subject, values, html=False, most=MAX_HTML).split())[:MAX_SUBJECT]
    most = MAX_TEXT if channel is Channel.EMAIL else MAX_SHORT
    text = _render("text", words.body, values, html=False, most=MAX_HTML).strip()[:most]
    if channel is not Channel.EMAIL:
        return Content(subject=subject, text=text, href=around.href)
    body_html = _render("html", words.html, values, html=True, most=MAX_HTML) if words.html else ""
    return letter(subject, text, around, body_html)


def letter(subject: str, text: str, around: Surround, body_html: str = "") -> Content:
    """A mail in both its forms."""
    html = _LETTER.get_template("letter.html").render(
        subject=subject,
        paragraphs=[part.split("\n") for part in text.split("\n\n") if part.strip()],
        body_html=Markup(body_html),  # noqa: S704 - rendered with escaping from what staff wrote; scripts do not run in mails
        href=around.href,
        locale=around.locale,
        direction="rtl" if around.locale == "ur" else "ltr",
        organisation=around.organisation,
        words={
            "open": around.act or word(around.locale, "open"),
            "footer": around.foot or word(around.locale, "footer"),
            "unsubscribe": word(around.locale, "unsubscribe"),
            "choose": word(around.locale, "choose"),
        },
        unsubscribe_url=around.unsubscribe_url,
        choose_url=around.choose_url,
    )
    plain = [text, *([around.href] if around.href else [])]
    if around.unsubscribe_url:
        plain.append(f"--\n{word(around.locale, 'unsubscribe')}: {around.unsubscribe_url}")
    return Content(subject=subject, text="\n\n".join(plain) + "\n", html=html, href=around.href, sender=around.organisation)


# --- the house's own letters -----------------------------------------------------------------------------------------------

LETTER_VALUES: Mapping[LetterKind, tuple[str, ...]] = {
    LetterKind.CONFIRM_ADDRESS: ("person", "code"),
    LetterKind.RESET_PASSWORD: ("person",),
    LetterKind.ADDRESS_TAKEN: ("person", "reset_link"),
    LetterKind.PASSWORD_CHANGED: ("person",),
    LetterKind.INVITE_STAFF: ("role",),
    LetterKind.ADDED_TO_STAFF: ("person", "role", "people_link"),
    LetterKind.ERASURE_ASKED: ("person", "date"),
    LetterKind.ERASURE_NEAR: ("person", "date"),
    LetterKind.ERASED: ("person",),
    LetterKind.KEPT_AS_OWNER: ("person",),
    LetterKind.KEPT_AS_ADMIN: ("person",),
}
"""What the words of a letter may name. `date` is a day (`2026-12-22`), which is put in words too. `person` is empty for whom
nobody knows yet: else whoever types an address has the house write their words to it."""


def written(letter: Letter, locale: str) -> Mail:
    """A letter in the words of `locale`."""
    name = f"letter.{letter.kind.value}"
    found = _shipped(locale).get(name) or _shipped(FALLBACK)[name]
    values = dict(letter.values)
    if "role" in values:
        values["role"] = role(locale, values["role"])
    if "date" in values:
        values["date"] = day(locale, values["date"])
    foot = word(locale, found.get("foot", "footer"))
    around = Surround(locale, HOUSE, letter.link, act=found["act"], foot=foot)
    content = compose(Channel.EMAIL, Words(found["subject"], found["mail"].strip()), values, around)
    return Mail(letter.id, letter.to, content.subject, content.text, content.html, letter.account_id)


def role(locale: str, name: str) -> str:
    """A role within a sentence; one of an organisation's own as it was named."""
    return _shipped(locale)["roles"].get(name, name)


def day(locale: str, text: str) -> str:
    """`2026-12-22` as the language writes a day; what is none as it came."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        return text
    return formats.date(locale, found, style="full")


def reason(locale: str, text: str) -> str:
    """Why a booking ended: what the house noted in words, what somebody wrote as they wrote it."""
    return _shipped(locale)["reasons"].get(text, text)


# --- samples -------------------------------------------------------------------------------------------------------------

_BOOKING = {
    "person": "Mahnoor",
    "organisation": "Baradari Padel",
    "venue": "Baradari Clifton",
    "place": "Court 3",
    "address": "Block 5, Clifton, Karachi",
    "date": "Sat 21 Nov",
    "time": "19:30–21:00",
    "when": "Sat 21 Nov, 19:30–21:00",
    "price": "Rs 10,500",
    "team_size": "4",
    "link": "https://book.example.org/b/1",
}
_PERSON = {"person": "Mahnoor", "organisation": "Baradari Padel", "link": "https://book.example.org/b/1"}
_CHAT = _PERSON | {"sender": "Ayesha", "room": "Ladies A", "text": "Practice moves to 18:00, see you there."}
SAMPLES: Mapping[str, Values] = {
    "booking.confirmed": _BOOKING,
    "booking.cancelled": _BOOKING | {"reason": "Rain", "refund": "Rs 10,500"},
    "booking.moved": _BOOKING | {"was": "Court 1, Fri 20 Nov, 18:00–19:30"},
    "booking.invited": _BOOKING | {"host": "Ayesha Rahman"},
    "booking.invited_by_address": _BOOKING | {"host": "Ayesha Rahman"},
    "booking.uninvited": _BOOKING,
    "booking.guest_answered": _BOOKING | {"guest": "Hina Malik", "comes": "yes"},
    "booking.approval_asked": _BOOKING,
    "booking.approved": _BOOKING,
    "booking.declined": _BOOKING | {"reason": "The court is being repaired"},
    "booking.in_24_hours": _BOOKING,
    "booking.in_2_hours": _BOOKING,
    "booking.noise_warning": _BOOKING,
    "payment.due": _PERSON | {"amount": "Rs 10,500"},
    "payment.refunded": _PERSON | {"amount": "Rs 10,500"},
    "chat.message": _CHAT,
    "chat.mention": _CHAT,
    "booking.approval_waits": _BOOKING,
    "staff.joined": _PERSON | {"role": "agent"},
    "security.noted": _PERSON | {"what": "Your account was used on a new device"},
}
"""The names each event's templates may use, with an example of each."""


def plain_html(text: str) -> str:
    """Text as HTML, for previews."""
    return "<br>".join(str(escape(line)) for line in text.split("\n"))
