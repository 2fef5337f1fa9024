"""What identity writes to people, in the language of its reader."""

from __future__ import annotations

import re

import msgspec
import pytest
from tests.modules.identity.conftest import ISSUER, PASSWORD, STRANGER, World

from forecourt.kernel.context import Context
from forecourt.modules.identity.contract import EmailTaken
from forecourt.modules.identity.service.accounts import NewAccount
from forecourt.modules.notifications import wording
from forecourt.modules.notifications.contract import Letter, LetterKind, Mail

LANGUAGES = ("en", "pt", "ur")
HELLO = {"en": "Hello", "pt": "Olá", "ur": "السلام علیکم"}
SUBJECTS = {
    "en": ("is your code", "You already have an account", "Choose a new password", "Your password was changed"),
    "pt": ("é o seu código", "Já tem conta", "Escolha uma nova palavra-passe", "A sua palavra-passe foi mudada"),
    "ur": ("آپ کا کوڈ ہے", "آپ کا اکاؤنٹ پہلے سے ہے", "نیا پاس ورڈ چنیں", "آپ کا پاس ورڈ بدل گیا"),
}
STAFF = {
    "en": ("You are invited to join the staff", "as agent", "You were added to the staff"),
    "pt": ("Foi convidado para a equipa", "como rececionista", "Foi acrescentado à equipa"),
    "ur": ("آپ کو عملے میں شامل ہونے کی دعوت ہے", "استقبالیہ کارکن", "آپ کو ایک ادارے کے عملے میں شامل کیا گیا"),
}


def speaking(language: str, ctx: Context = STRANGER) -> Context:
    return msgspec.structs.replace(ctx, language=language)


def right(mail: Mail, language: str) -> None:
    """A letter of that language, whole in text and HTML, and in no other."""
    html = mail.html or ""
    assert f'<html lang="{language}" dir="{"rtl" if language == "ur" else "ltr"}">' in html
    assert HELLO[language] in mail.text and HELLO[language] in html
    for other in LANGUAGES:
        assert other == language or HELLO[other] not in mail.text + html
    assert "{{" not in mail.text + html + mail.subject


@pytest.mark.parametrize("language", LANGUAGES)
async def test_an_account_is_written_to_in_the_language_it_was_made_in(world: World, language: str) -> None:
    ctx, email, persons = speaking(language), world.address(), world.identity.persons
    tokens = await persons.register(ctx, NewAccount(email, PASSWORD, "Ada Lovelace"))
    await persons.confirm_by_code(ctx, email, await world.code(email))
    with pytest.raises(EmailTaken):
        await persons.register(ctx, NewAccount(email, PASSWORD, "Eve"))
    await world.letters(email)
    await persons.ask_for_reset(ctx, email)
    token = await world.link(email)
    await persons.reset_password(ctx, token, PASSWORD + " anew")
    mails = await world.letters(email)
    assert [found for mail, found in zip(mails, SUBJECTS[language], strict=True) if found not in mail.subject] == []
    for mail in mails:
        right(mail, language)
    assert "Ada Lovelace" in mails[2].text and "Ada Lovelace" not in mails[0].text, "called by name once the address is theirs"
    assert f"{ISSUER}/reset?token={token}" in mails[2].text and f'href="{ISSUER}/reset?token={token}"' in (mails[2].html or "")
    assert re.findall(r"\b\d{6}\b", mails[0].subject) == re.findall(r"\b\d{6}\b", mails[0].text)
    assert tokens.account.email == email


@pytest.mark.parametrize("language", LANGUAGES)
async def test_staff_are_invited_and_added_in_the_language_of_who_asks_them(world: World, language: str) -> None:
    _, boss = await world.owner()
    stranger = world.address("guest")
    await world.identity.staff.invite(speaking(language, boss), stranger, "agent")
    bob = await world.confirmed("bob")
    await world.identity.staff.add(speaking(language, boss), bob.account.id, "agent")
    invited, added = (await world.letters(stranger))[-1], (await world.letters(bob.account.email))[-1]
    subject, role, welcome = STAFF[language]
    assert (subject in invited.subject, welcome in added.subject) == (True, True)
    for mail in (invited, added):
        right(mail, language)
        assert role in mail.text
        assert "/staff-invitations/" in mail.text
    assert "Ada Lovelace" in added.text
    assert f"/orgs/{boss.organisation_id}/people" in added.text


async def test_an_own_role_is_called_as_it_was_named(world: World) -> None:
    _, boss = await world.owner()
    await world.identity.staff.define_role(boss, "Bar tender", ["booking.read_any"])
    email = world.address()
    await world.identity.staff.invite(speaking("pt", boss), email, "Bar tender")
    assert "Bar tender" in (await world.letters(email))[-1].text


async def test_a_language_that_the_house_does_not_speak_is_answered_in_english(world: World) -> None:
    email = world.address()
    await world.identity.persons.register(speaking("fr"), NewAccount(email, PASSWORD, "Ada"))
    right((await world.letters(email))[-1], "en")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("kind", LetterKind)
def test_each_letter_has_words_of_its_own_in_each_language(kind: LetterKind, language: str) -> None:
    values = {name: f"<{name}>" for name in wording.LETTER_VALUES[kind]}
    letter = Letter("00000000-0000-0000-0000-000000000001", "a@example.org", kind, "https://f.example/x", values)  # type: ignore[arg-type]
    mail = wording.written(letter, language)
    for value in values.values():
        assert value in mail.text + mail.subject
    assert "<" + next(iter(values)) + ">" not in (mail.html or ""), "values are text, never markup"
    if language != "en":
        assert mail.subject != wording.written(letter, "en").subject
