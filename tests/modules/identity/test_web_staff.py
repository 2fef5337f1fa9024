"""The pages of an account and of staff, without scripts, through the front door."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.house import world  # noqa: F401 - a fixture
from tests.journeys.reader import Reader, said_at, text, toast, typed_in
from tests.journeys.world import PASSWORD, World

from forecourt.app import House


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


@pytest.fixture
async def other(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as other:
        yield other


async def test_a_weak_password_is_refused_at_its_field_with_reasons_and_what_was_typed_stays(reader: Reader) -> None:
    weak = await reader.send("/sign-up", name="Ada Lovelace", email="ada.weak@example.org", password="password1")
    assert weak.status_code == 422
    assert "common" in said_at(weak, "password")
    assert (typed_in(weak, "name"), typed_in(weak, "email")) == ("Ada Lovelace", "ada.weak@example.org")
    assert typed_in(weak, "password") == "", "a password is never sent back"
    assert not reader.signed_in
    strong = await reader.send("/sign-up", name="Ada Lovelace", email="ada.weak@example.org", password=PASSWORD)
    assert strong.headers["location"] == "/verify"
    assert reader.signed_in
    assert "HttpOnly" in strong.headers["set-cookie"]


async def test_a_form_names_everything_that_is_wrong_at_once_and_opens_at_the_first(reader: Reader) -> None:
    wrong = await reader.send("/sign-up", name=" ", email="ada at example", password="password1")
    assert wrong.status_code == 422
    assert "Enter your name" in said_at(wrong, "name")
    assert "@-sign" in said_at(wrong, "email") and "common" in said_at(wrong, "password")
    assert focused(wrong)[0] == "name"
    later = await reader.send("/sign-up", name="Ada", email="ada at example", password="")
    assert (said_at(later, "name"), focused(later)[0]) == ("", "email")
    assert "@-sign" in said_at(later, "email") and "Choose a password" in said_at(later, "password")
    empty = await reader.send("/sign-in", email="", password="")
    assert said_at(empty, "email") and said_at(empty, "password") and focused(empty)[0] == "email"
    half = await reader.send("/sign-in", email="ada@example.org", password="")
    assert focused(half)[0] == "password" and not said_at(half, "email")
    assert focused(await reader.look("/sign-up")) == ["name"], "a control: a fresh form opens at its beginning"


async def test_changing_a_password_says_what_is_wrong_with_both(reader: Reader, world: World) -> None:  # noqa: F811
    await reader.sign_in(await world.person("Ada"))
    wrong = await reader.send("/account/password", current_password="not-it", password="password1")
    assert "is not your password" in said_at(wrong, "current_password").lower() and "common" in said_at(wrong, "password")


def focused(answer: httpx.Response) -> list[str]:
    """Names of the fields that ask for the focus, in their order: a browser gives it to the first."""
    controls = [control for control in re.findall(r"<input[^>]*>", answer.text) if " autofocus" in control]
    return [found[1] for control in controls if (found := re.search(r'name="([^"]+)"', control))]


async def test_the_code_proves_the_address_and_a_wrong_one_says_so_at_the_field(
    reader: Reader,
    world: World,  # noqa: F811
) -> None:
    await reader.send("/sign-up", name="Ada", email="ada.code@example.org", password=PASSWORD, next="/account")
    wrong = await reader.send("/verify", code="000000")
    assert wrong.status_code == 422
    assert "wrong or too old" in said_at(wrong, "code")
    code = await world.code("ada.code@example.org")
    done = await reader.follow(await reader.send("/verify", code=f"{code[:3]} {code[3:]}", next="/account"))
    assert toast(done) == "Your address is verified"
    assert "not verified yet" not in text(done)


async def test_the_link_of_the_mail_proves_the_address_by_one_press_and_only_once(
    reader: Reader,
    other: Reader,
    world: World,  # noqa: F811
) -> None:
    await reader.send("/sign-up", name="Ada", email="ada.link@example.org", password=PASSWORD)
    mail = (await world.mail("ada.link@example.org"))[0]["text"]
    link = re.search(r"https?://\S+?(/verify\?token=\S+)", mail)
    assert link, mail
    page = await other.look(link[1])
    assert "One press" in text(page), "looking at a link, as mail scanners do, proves nothing"
    token = link[1].partition("token=")[2]
    assert toast(await other.follow(await other.send("/verify", token=token))) == "Your address is verified"
    again = await other.send("/verify", token=token)
    assert again.status_code == 422
    assert "used already" in text(again)


async def test_a_phone_is_proven_on_the_account_page_changed_and_removed(reader: Reader, world: World) -> None:  # noqa: F811
    await reader.sign_in(await world.person("Ada"))
    odd = await reader.send("/account/phone", phone="07700 900")
    assert odd.status_code == 422
    assert "country code" in said_at(odd, "phone") and typed_in(odd, "phone") == "07700 900"
    assert "Enter your phone number" in said_at(await reader.send("/account/phone", phone=" "), "phone")

    sent = await reader.follow(await reader.send("/account/phone", phone="+44 7911 123401"))
    assert toast(sent) == "A code is on its way to +44 7911 123401."
    assert "Remove" not in text(sent), "nothing is verified yet"
    code = await world.code("+447911123401")
    wrong = await reader.send("/account/phone/verify", code=f"{(int(code) + 1) % 1_000_000:06}")
    assert (wrong.status_code, "wrong or too old" in said_at(wrong, "code")) == (422, True)
    done = await reader.follow(await reader.send("/account/phone/verify", code=f"{code[:3]} {code[3:]}"))
    assert toast(done) == "Your number is verified"
    assert "Phone number verified" in text(done), "among what happened to the account"

    gone = await reader.follow(await reader.send("/account/phone/remove"))
    assert "+44 7911 123401" not in text(gone)
    for _ in range(4):
        await reader.send("/account/phone", phone="+44 7911 123401")
    often = await reader.send("/account/phone", phone="+44 7911 123402")
    assert (often.status_code, "in an hour" in text(often)) == (429, True)


async def test_a_number_of_another_account_is_refused_on_the_page(reader: Reader, other: Reader, world: World) -> None:  # noqa: F811
    for who, status in ((reader, 303), (other, 409)):
        await who.sign_in(await world.person("Ada"))
        await who.send("/account/phone", phone="+44 7911 123403")
        code = (await world.mail("+447911123403", 1 if who is reader else 2))[0]["text"][:6]
        answer = await who.send("/account/phone/verify", code=code)
        assert answer.status_code == status
    assert "another account" in said_at(answer, "code")


async def test_signing_in_says_the_same_for_a_wrong_password_and_for_nobody(reader: Reader, world: World) -> None:  # noqa: F811
    ada = await world.person()
    wrong = await reader.sign_in(ada, "not-the-password")
    nobody = await reader.sign_in("nobody.at.all@example.org", "not-the-password")
    assert (wrong.status_code, nobody.status_code) == (401, 401)
    says = [re.search(r'(?s)id="wrong".*?</div>', a.text) for a in (wrong, nobody)]
    assert says[0] and says[1] and says[0][0] == says[1][0]
    assert typed_in(wrong, "email") == ada.email
    right = await reader.sign_in(ada, next="/account")
    assert right.headers["location"] == "/account"


@pytest.mark.parametrize("outside", ["https://example.com/", "//example.com", "/\\example.com"])
async def test_signing_in_leads_to_no_other_site(reader: Reader, world: World, outside: str) -> None:  # noqa: F811
    answer = await reader.sign_in(await world.person(), next=outside)
    assert answer.headers["location"] == "/"


async def test_signing_out_needs_the_forms_token(reader: Reader, world: World) -> None:  # noqa: F811
    await reader.sign_in(await world.person())
    refused = await reader.send("/sign-out", forged="no such token")
    assert refused.status_code == 403
    assert (await reader.look("/account")).status_code == 200
    await reader.send("/sign-out")
    assert (await reader.look("/account")).headers["location"].startswith("/sign-in?next=")


async def test_who_comes_to_the_new_password_without_a_link_is_told_how_to_get_one(reader: Reader) -> None:
    bare = await reader.look("/reset")
    assert "A new password is chosen through the link in our mail." in text(bare)
    assert 'href="/forgot"' in bare.text
    assert "through the link in our mail" not in text(await reader.look("/reset?token=x"))


async def test_a_forgotten_password_is_chosen_anew_and_strangers_learn_nothing(
    reader: Reader,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person()
    known = await reader.send("/forgot", email=ada.email)
    unknown = await reader.send("/forgot", email="nobody.at.all@example.org")
    assert text(known).replace(ada.email, "…") == text(unknown).replace("nobody.at.all@example.org", "…")
    mail = next(m for m in await world.mail(ada.email, 2) if "/reset?token=" in m["text"])["text"]
    token = re.search(r"/reset\?token=(\S+)", mail)
    assert token
    weak = await reader.send("/reset", token=token[1], password="12345678")
    assert said_at(weak, "password") != ""
    await reader.follow(await reader.send("/reset", token=token[1], password="quiet-harbour-eats-31-plums"))
    assert (await reader.sign_in(ada)).status_code == 401
    assert (await reader.sign_in(ada, "quiet-harbour-eats-31-plums")).status_code == 303


async def test_a_device_that_is_revoked_is_signed_out_and_this_one_is_not(
    reader: Reader,
    other: Reader,
    world: World,  # noqa: F811
) -> None:
    ada = await world.person()
    await other.sign_in(ada)
    await reader.sign_in(ada)
    page = await reader.look("/account")
    ends = re.findall(r'id="session-([0-9a-f-]+)">(.*?)</li>', page.text, re.DOTALL)
    theirs = [id for id, body in ends if "This device" not in body and "App" not in body]
    assert len(theirs) == 1
    await reader.follow(await reader.send(f"/account/sessions/{theirs[0]}/end"))
    assert (await other.look("/account")).status_code == 303
    assert (await reader.look("/account")).status_code == 200


async def test_language_and_time_zone_are_kept_and_an_unknown_zone_is_refused(reader: Reader, world: World) -> None:  # noqa: F811
    await reader.sign_in(await world.person())
    bad = await reader.send("/account/preferences", language="en", theme="dark", timezone="Mars/Olympus")
    assert bad.status_code == 422
    assert "time zone" in said_at(bad, "timezone")
    page = await reader.follow(await reader.send("/account/preferences", language="ur", theme="dark", timezone="Asia/Karachi"))
    assert '<html lang="ur" dir="rtl" data-theme="dark"' in page.text
    assert typed_in(page, "timezone") == "Asia/Karachi"


async def test_the_language_in_an_address_is_remembered_and_taken_out_of_it(reader: Reader) -> None:
    answer = await reader.look("/sign-in?next=%2Faccount&lang=pt")
    assert answer.headers["location"] == "/sign-in?next=%2Faccount"
    assert 'lang="pt"' in (await reader.look("/sign-in")).text
    assert 'lang="pt"' in (await reader.look("/sign-in?lang=xx")).text, "what we do not speak changes nothing"


async def test_somebody_invited_joins_and_may_what_the_role_says_and_no_more(
    reader: Reader,
    other: Reader,
    world: World,  # noqa: F811
) -> None:
    club, ada, eve = await world.club(), await world.person("Ada"), await world.person("Eve")
    await reader.sign_in(club.owner)
    bad = await reader.send(f"/orgs/{club.id}/people", email="no address", role="agent")
    assert said_at(bad, "email") != ""
    await reader.follow(await reader.send(f"/orgs/{club.id}/people", email=ada.email, role="agent"))
    link = re.search(r"(/staff-invitations/\S+)", (await world.mail(ada.email, 2))[0]["text"])
    assert link
    await other.sign_in(eve)
    refused = await other.send(link[1])
    assert refused.status_code == 409, "the invitation is for another address"
    await other.send("/sign-out")
    await other.sign_in(ada)
    await other.follow(await other.send(link[1]))
    assert (await other.look(f"/orgs/{club.id}/day")).status_code == 200
    assert (await other.look(f"/orgs/{club.id}/keys")).status_code == 403
    assert "/keys" not in (await other.look(f"/orgs/{club.id}/day")).text, "what may not be opened is not offered"


async def test_who_opens_a_place_or_is_invited_is_spoken_to_in_their_language(reader: Reader, world: World) -> None:  # noqa: F811
    reader.http.cookies.set("fc_locale", "ur")
    await reader.sign_in(await world.person("Ada"))
    english = re.compile(r"\b(You|Open|Join|Country|Three letters|Sign in)\b")
    for path, words in (
        ("/orgs", "آپ ابھی کوئی جگہ نہیں چلاتے"),
        ("/orgs/new", "جم"),
        ("/staff-invitations/x", "عملے میں شامل ہوں"),
    ):
        page = await reader.look(path)
        assert words in page.text, path
        assert not english.search(text(page)), path


NAMES = set("Forecourt Riverside Olive Ada API Asia Karachi Till".split())
"""What stays as it is in every language: names and codes."""


async def test_the_pages_of_staff_and_keys_speak_the_readers_language(reader: Reader, world: World) -> None:  # noqa: F811
    club, ada = await world.club(), await world.person("Ada")
    assert (await club.owner.post(f"/v1/orgs/{club.id}/staff", {"account_id": ada.id, "role": "coach"})).status_code == 201
    reader.http.cookies.set("fc_locale", "pt")
    await reader.sign_in(club.owner)
    people = f"/orgs/{club.id}/people"
    page = await reader.look(people)
    assert "Treinador" in text(page) and 'aria-label="Limites de Ada"' in page.text
    given = await reader.follow(await reader.send(f"{people}/{ada.id}/role", role="viewer", version="1"))
    assert toast(given) == "Ada tem agora a função observador"
    refused = await reader.send(f"{people}/{ada.id}/limits", networks="casa", version="2")
    assert "Casa não é uma rede" in text(refused)
    reader.http.cookies.set("fc_locale", "ur")
    keys = await reader.send(f"/orgs/{club.id}/keys", name="Till", permissions=["booking.read_any"])
    assert "تمام بکنگز دیکھنا" in text(keys) and "1 اجازت" in text(keys)
    for page in (keys, *[await reader.look(path) for path in (people, f"{people}/{ada.id}/limits", "/orgs")]):
        said = re.sub(r"\S+@\S+|fc_\S+|\S+…", " ", text(page))
        assert set(re.findall(r"[A-Za-z]{3,}", said)) - NAMES == set(), page.url


async def test_a_member_is_limited_to_hours_and_networks_and_let_go_again(reader: Reader, other: Reader, world: World) -> None:  # noqa: F811
    club, ada = await world.club(), await world.person("Ada")
    assert (await club.owner.post(f"/v1/orgs/{club.id}/staff", {"account_id": ada.id, "role": "agent"})).status_code == 201
    await reader.sign_in(club.owner)
    form = f"/orgs/{club.id}/people/{ada.id}/limits"
    assert form in (await reader.look(f"/orgs/{club.id}/people")).text
    bad = await reader.send(form, networks="the office", mon="08:00–18:00", time_zone="Europe/London", version="1")
    assert (bad.status_code, "is not a network" in text(bad), typed_in(bad, "mon")) == (422, True, "08:00–18:00")
    done = await reader.follow(
        await reader.send(form, networks="192.0.2.0/24", mon="08:00–18:00", time_zone="Europe/London", version="1")
    )
    assert toast(done) == "Ada is limited now"
    assert "Limited" in text(done)
    kept = await reader.look(form)
    assert (typed_in(kept, "mon"), typed_in(kept, "tue"), "192.0.2.0/24" in kept.text) == ("08:00–18:00", "", True)
    await other.sign_in(ada)
    assert (await other.look(f"/orgs/{club.id}/day")).status_code == 403, "not from here"
    stale = await reader.send(form, version="1")
    assert stale.status_code == 412, "somebody changed it in the meantime"
    free = await reader.follow(await reader.send(form, version="2"))
    assert toast(free) == "Ada may work from anywhere, at any time"
    owner = await reader.send(f"/orgs/{club.id}/people/{club.owner.id}/limits", networks="192.0.2.0/24", version="1")
    assert (owner.status_code, "nobody changes their own limits" in text(owner).lower()) == (403, True)
    nobody = await reader.look(f"/orgs/{club.id}/people/01890000-0000-7000-8000-000000000000/limits")
    assert nobody.status_code == 404


async def test_strangers_find_no_console_and_visitors_are_asked_to_sign_in(reader: Reader, world: World) -> None:  # noqa: F811
    club = await world.club()
    pages = ("day", "bookings", "places", "people", "keys", "settings", "audit", "more")
    for name in pages:
        assert (await reader.look(f"/orgs/{club.id}/{name}")).headers["location"].startswith("/sign-in")
    await reader.sign_in(await world.person("Eve"))
    assert {(await reader.look(f"/orgs/{club.id}/{name}")).status_code for name in pages} == {404}
    await reader.send("/sign-out")
    await reader.sign_in(club.owner)
    assert {(await reader.look(f"/orgs/{club.id}/{name}")).status_code for name in pages} == {200}, (
        "or nothing is shown to anybody"
    )


async def test_the_last_owner_cannot_leave(reader: Reader, world: World) -> None:  # noqa: F811
    club = await world.club()
    await reader.sign_in(club.owner)
    refused = await reader.send(f"/orgs/{club.id}/people/{club.owner.id}/remove")
    assert refused.status_code == 409
    assert "last owner" in text(refused)


async def test_a_key_is_shown_once_and_works_until_it_is_revoked(
    reader: Reader,
    world: World,  # noqa: F811
    client: httpx.AsyncClient,
) -> None:
    club = await world.club()
    await reader.sign_in(club.owner)
    empty = await reader.send(f"/orgs/{club.id}/keys", name="Till")
    assert "Tick at least one." in text(empty)
    made = await reader.send(f"/orgs/{club.id}/keys", name="Till", permissions=["booking.read_any"])
    key = re.search(r'readonly value="([^"]+)"', made.text)
    assert key
    headers = {"X-API-Key": key[1]}
    assert (await client.get(f"/v1/orgs/{club.id}/bookings", headers=headers)).status_code == 200
    page = await reader.look(f"/orgs/{club.id}/keys")
    assert key[1] not in page.text
    id = re.search(rf"/orgs/{club.id}/keys/([0-9a-f-]+)/revoke", page.text)
    assert id
    await reader.follow(await reader.send(f"/orgs/{club.id}/keys/{id[1]}/revoke"))
    assert "Till" not in text(await reader.look(f"/orgs/{club.id}/keys"))


async def test_a_browser_sees_the_outbox_as_a_page_and_a_program_as_data(reader: Reader, world: World) -> None:  # noqa: F811
    ada = await world.person()
    page = await reader.look(f"/dev/outbox?to={ada.email}")
    assert "<h1>Outbox</h1>" in page.text
    assert re.search(r'<a href="https?://[^"]+/verify\?token=', page.text)
    assert (await world.mail(ada.email))[0]["to"] == ada.email


async def test_who_asks_on_the_page_to_be_erased_reads_it_on_every_page_until_they_keep_the_account(
    reader: Reader,
    world: World,  # noqa: F811
) -> None:
    await reader.sign_in(await world.person("Ada"))
    assert 'href="/account/data"' in (await reader.look("/account")).text
    wrong = await reader.send("/account/erase", password="not it")
    assert wrong.status_code == 422 and "Is not your password." in wrong.text
    empty = await reader.send("/account/erase", password="")
    assert empty.status_code == 422 and "Must not be empty." in empty.text
    page = await reader.look("/account/data")
    assert "Keep my account" not in page.text and "holdbar" not in page.text, "or the rest proves nothing"
    pending = await reader.follow(await reader.send("/account/erase", password=PASSWORD))
    assert "Your account will be erased on" in pending.text and "Keep my account" in pending.text
    bar = 'class="holdbar holdbar--erasing"'
    while bar not in (await reader.look("/")).text:  # who is signed in is remembered for two seconds
        await asyncio.sleep(0.05)
    for path in ("/bookings", "/discover", "/credits"):
        assert bar in (shown := await reader.look(path)).text and 'action="/account/erase/keep"' in shown.text, path
    assert "Asked to have the account erased" in (await reader.look("/account")).text
    kept = await reader.follow(await reader.send("/account/erase/keep"))
    assert toast(kept) == "Your account stays" and "Keep my account" not in kept.text


async def test_an_owner_reads_on_the_page_who_has_to_take_over_first(reader: Reader, world: World) -> None:  # noqa: F811
    boss = await world.person("Boss")
    club = {"name": "Only Mine & Sons", "kind": "club", "country": "GB", "currency": "GBP", "timezone": "Europe/London"}
    made = (await boss.post("/v1/orgs", club)).json()
    await reader.sign_in(boss)
    refused = await reader.send("/account/erase", password=PASSWORD)
    assert refused.status_code == 409
    assert f'href="/orgs/{made["id"]}/people"' in refused.text and "Only Mine &amp; Sons" in refused.text
