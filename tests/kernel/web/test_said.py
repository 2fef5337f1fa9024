"""What services say in English is said to guests in their language, and no message lacks one."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import pytest
from msgspec import Meta
from zxcvbn import zxcvbn

import forecourt
from forecourt.kernel.errors import FieldError, Invalid, Problem
from forecourt.kernel.web.catalogue import LANGUAGES, OWN, SAID, Catalogue
from forecourt.kernel.web.forms import faults, read, sentence
from forecourt.modules.booking.contract import BookingAction, LineKind
from forecourt.modules.booking.service.holding import LATE
from forecourt.modules.identity.addresses import read_address
from forecourt.modules.payments.contract import Cause

HOUSE = Path(forecourt.__file__).parent
GUESTS_MODULES = ("booking", "identity", "payments", "people", "venues")
PLACEHOLDER = re.compile(r"\{(\w+)\}")


def catalogue() -> Catalogue:
    return Catalogue((OWN, *sorted(HOUSE.glob("modules/*/messages"))))


@pytest.fixture(scope="module")
def messages() -> Catalogue:
    return catalogue()


# --- every message in every language -------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", [language for language in LANGUAGES if language != "en"])
def test_no_message_lacks_a_language(messages: Catalogue, language: str) -> None:
    assert sorted(messages.keys("en") - messages.keys(language)) == []
    assert not messages.keys(language) - messages.keys("en"), "said in no other language"


def test_a_message_that_lacks_a_language_would_be_seen(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text('{"new.word": "Not translated yet"}')
    with_it = Catalogue((OWN, tmp_path))
    assert with_it.keys("en") - with_it.keys("pt") == {"new.word"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_message_asks_for_no_value_that_english_does_not_give(messages: Catalogue, language: str) -> None:
    for key in messages.keys(language):
        english, said = messages._texts["en"][key], messages._texts[language][key]
        given = set(PLACEHOLDER.findall(str(english)))
        assert set(PLACEHOLDER.findall(str(said))) <= given, key


LATIN_STOP = re.compile(r"[\u0600-\u06ff][^A-Za-z0-9}]*\.(\s|$)")
"""A full stop of the Latin script after an Urdu word."""


def forms_of(message: str | dict[str, str]) -> list[str]:
    """The sentence, or its plural forms."""
    return [message] if isinstance(message, str) else list(message.values())


def test_no_urdu_message_ends_with_a_latin_full_stop(messages: Catalogue) -> None:
    urdu = [(key, said) for key, message in messages._texts["ur"].items() for said in forms_of(message)]
    assert len(urdu) > 1_000
    assert [key for key, said in urdu if LATIN_STOP.search(said) or said.endswith(".")] == []
    # What services say is made a sentence where it is shown, and their sentences are begun with all kinds of values.
    for value in ("7", "Court 2", "عدالت"):
        filled = [PLACEHOLDER.sub(value, said) for key, said in urdu if key.startswith(SAID)]
        assert [s for s in (sentence(s, "ur") for s in filled) if s.endswith(".")] == []


def test_a_sentence_ends_as_its_own_language_ends_sentences(messages: Catalogue) -> None:
    assert LATIN_STOP.search("جگہ لے لی گئی.") and not LATIN_STOP.search("جگہ لے لی گئی۔")
    assert sentence("is needed", "en") == "Is needed."
    assert sentence("is not open at عدالت", "en") == "Is not open at عدالت."
    assert sentence(messages.said("pt", "must not be empty") or "", "pt").endswith("vazio.")
    assert sentence("Court 2 درکار ہے", "ur") == "Court 2 درکار ہے۔"
    assert sentence("never translated", "ur") == "Never translated."
    assert sentence("درکار ہے۔", "ur") == "درکار ہے۔" and sentence("Who?", "en") == "Who?"
    problem = Invalid("x", errors=[FieldError("name", "must not be empty")])
    shown = faults(problem, say=lambda english: messages.said("ur", english) or english, language="ur")
    assert shown("name").endswith("۔")


def test_what_the_house_notes_about_money_has_words(messages: Catalogue) -> None:
    noted = {*(f"line.{kind.value}" for kind in LineKind), *(f"credits.why.{cause.name.lower()}" for cause in Cause)}
    assert noted <= messages.keys("ur") and "line.rain" not in messages.keys("ur")
    # What gives money back notes its own name when nobody wrote why.
    deeds = (BookingAction.CANCEL, BookingAction.DECLINE, BookingAction.RESCHEDULE, BookingAction.EXTEND, BookingAction.EDIT)
    assert {*(deed.value for deed in deeds), LATE} <= {cause.value for cause in Cause}


# --- what services say ---------------------------------------------------------------------------------------------------


def test_a_sentence_is_found_with_what_was_put_into_it(messages: Catalogue) -> None:
    english = "Court 2 is booked for 60, 90 minutes"
    assert messages.said("pt", english) == "Court 2 reserva-se por 60, 90 minutos"
    assert messages.said("en", english) == english
    assert messages.said("ur", "at most 200 characters") == "زیادہ سے زیادہ 200 حروف", "the longer sentence is meant"
    assert messages.said("pt", "nobody ever said this") is None


def test_a_form_shows_faults_in_the_readers_language_and_what_nobody_translated_in_english(messages: Catalogue) -> None:
    problem = Invalid("x", errors=[FieldError("name", "must not be empty"), FieldError("odd", "never said before")])
    shown = faults(problem, say=lambda english: messages.said("pt", english) or english)
    assert (shown("name"), shown("odd")) == ("Não pode ficar vazio.", "Never said before.")


TECHNICAL = frozenset(
    "idempotency_mismatch idempotency_in_flight token_expired token_refused token_reused token_invalid key_out_of_reach"
    " misconfigured secret_changed range_not_satisfiable quote_mismatch refund_mismatch grant_mismatch refund_exceeds_payment"
    " promo_code_taken slug_taken resource_in_use role_in_use role_name_taken handle_taken charge_mismatch"
    " address_refused".split()
)
"""Problems that no page of a guest can meet: of programs, of operators, of staff."""


def the_houses_problems() -> Iterator[type[Problem]]:
    """Problems of the kernel and of the modules that guests meet."""
    for name in ("http.dispatch", "idempotency", "limits"):
        import_module(f"forecourt.kernel.{name}")
    for module in GUESTS_MODULES:
        import_module(f"forecourt.modules.{module}.contract")
    ours = re.compile(rf"^forecourt\.(kernel\.(errors|idempotency|limits|http)|modules\.({'|'.join(GUESTS_MODULES)})\.)")
    for kind in Problem._by_code.values():
        if ours.match(kind.__module__) and kind.code not in TECHNICAL:
            yield kind


def test_every_problem_that_guests_meet_has_its_title_in_every_language(messages: Catalogue) -> None:
    kinds = list(the_houses_problems())
    assert len(kinds) > 30
    assert sorted(f"{k.code}: {k.title}" for k in kinds if messages.said("ur", k.title) in (None, k.title)) == []


GUESTS_WAYS = (
    *(f"modules/booking/service/{name}.py" for name in ("holding", "till", "keeping")),
    "modules/booking/rules.py",
    "modules/identity/addresses.py",
    "modules/identity/passwords.py",
    "modules/identity/phones.py",
    "modules/identity/service/phones.py",
)
PROGRAMS_ONLY = frozenset({"name an account or an e-mail address, one of the two"})


def sentences(file: Path) -> Iterator[str]:
    """What a file says in problems, with `x` where a value stands."""
    for node in ast.walk(ast.parse(file.read_text())):
        if not isinstance(node, ast.Call):
            continue
        name = ast.unparse(node.func).removesuffix(".field")
        known = name == "FieldError" or any(kind.__name__ == name for kind in Problem._by_code.values())
        said = node.args[1:2] if "field" in ast.unparse(node.func).lower() else node.args[:1]
        for argument in said if known else ():
            if isinstance(argument, ast.Constant) and isinstance(argument.value, str):
                yield argument.value
            elif isinstance(argument, ast.JoinedStr):
                yield "".join(str(v.value) if isinstance(v, ast.Constant) else "x" for v in argument.values)


@pytest.mark.parametrize("way", GUESTS_WAYS)
def test_what_services_say_to_guests_is_said_in_every_language(messages: Catalogue, way: str) -> None:
    list(the_houses_problems())
    lacking = [s for s in sentences(HOUSE / way) if s not in PROGRAMS_ONLY and messages.said("ur", s) in (None, s)]
    assert lacking == []


def test_the_sentences_are_really_looked_for() -> None:
    assert "x is not open for the whole of that time." in set(sentences(HOUSE / "modules/booking/rules.py"))
    assert catalogue().said("ur", "x opens when it likes.") is None


def test_why_a_password_is_weak_is_said_in_every_language(messages: Catalogue) -> None:
    source = inspect.getsource(import_module("zxcvbn.feedback"))
    texts = {"".join(ast.literal_eval(p) for p in parts) for parts in _called(source)}
    assert len(texts) > 20 and "Avoid sequences." in texts
    assert sorted(text for text in texts if messages.said("pt", text) in (None, text)) == []
    for password in ("password1", "aaaaaaaa", "qwerty", "1999", "ada", "abcabcabc"):
        found = zxcvbn(password)["feedback"]
        for text in (found["warning"], *found["suggestions"]):
            assert not text or messages.said("ur", str(text)), text


@pytest.mark.parametrize(
    "email", ["nobody", "@example.org", "ada@", "ada@@x", "a b@example.org", "ada..l@example.org", "ada@x", "ada@exa mple.org",
              ".ada@example.org", "ada@-x.org", "ada@example..org"],
)  # fmt: skip
def test_what_is_wrong_with_an_address_is_said_in_every_language(messages: Catalogue, email: str) -> None:
    with pytest.raises(Invalid) as refused:
        read_address(email)
    english = refused.value.errors[0].message
    assert messages.said("ur", english) not in (None, english), english


def _called(source: str) -> Iterator[list[str]]:
    """The arguments of gettext's `_()` in zxcvbn, in pieces as they are written."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "_" and isinstance(node.args[0], ast.Constant):
            yield [repr(node.args[0].value)]


def test_only_the_catalogues_own_keys_begin_with_said(messages: Catalogue) -> None:
    ours = [key for key in messages.keys("en") if key.startswith(SAID)]
    assert len(ours) > 100
    for key in ours:
        english = str(messages._texts["en"][key])
        values = dict.fromkeys(PLACEHOLDER.findall(english), "7")
        said = messages.say("en", key, values)
        assert messages.said("en", said) == said, key


class Asked(msgspec.Struct, forbid_unknown_fields=True):
    people: Annotated[int, Meta(ge=1, le=4)]
    day: date
    name: Annotated[str, Meta(max_length=5)]
    kind: Literal["a", "b"] = "a"
    tags: Annotated[list[Annotated[str, Meta(max_length=3)]], Meta(max_length=2)] = []


def test_a_form_that_is_read_names_every_field_that_is_wrong() -> None:
    with pytest.raises(Invalid) as e:
        read(Asked, {"people": "9", "day": "", "name": "too long a name", "kind": "c", "tags": ["ok", "long"]})
    assert [error.path for error in e.value.errors] == ["people", "day", "name", "kind", "tags[1]"]
    assert e.value.errors[1].message == "is needed" and e.value.errors[0].message == "at most 4"
    with pytest.raises(Invalid) as e:
        read(Asked, {"people": "4", "day": "2031-01-01", "name": "Ada", "other": "x"})
    assert [error.path for error in e.value.errors] == ["other"], "what no field has is said, too"
    assert read(Asked, {"people": "4", "day": "2031-01-01", "name": "Ada"}) == Asked(4, date(2031, 1, 1), "Ada")
