"""The house's own letters, from the form that causes one to the outbox: in the browser's language, then in the one chosen."""

from __future__ import annotations

import asyncio
import re
from urllib.parse import quote

import httpx
import pytest
from tests.journeys.reader import Reader
from tests.journeys.world import PASSWORD, World, at

CHOICE = "/venues/riverside-courts?date=2031-05-06&duration=90&resource=one&start=18:30#summary"


async def test_letters_speak_the_browsers_language_until_the_person_has_chosen_one(
    world: World, door: httpx.AsyncBaseTransport
) -> None:
    ada, bob = await world.person("Ada"), await world.person("Bob")
    async with Reader(door) as reader:
        reader.http.headers["Accept-Language"] = "pt-BR,pt;q=0.9"
        await reader.send("/forgot", email=ada.email)
        first = (await world.mail(ada.email, 2))[0]
        assert first["subject"] == "Escolha uma nova palavra-passe"
        assert "Ada" in first["text"] and 'dir="ltr"' in first["html"]
        await reader.sign_in(bob)  # another person: a second wish of the same one is none while the first is under way
        await reader.send("/account/preferences", language="ur", theme="system", timezone="")
    async with Reader(door) as elsewhere:
        elsewhere.http.headers["Accept-Language"] = "pt-BR,pt;q=0.9"
        await elsewhere.send("/forgot", email=bob.email)
        found = [mail for mail in await world.mail(bob.email, 2) if mail["subject"] == "نیا پاس ورڈ چنیں"]
        assert len(found) == 1, "what a person chose goes before what a browser says"
        assert 'lang="ur" dir="rtl"' in found[0]["html"]


async def test_who_makes_an_account_on_a_page_in_urdu_gets_the_code_in_urdu(world: World, door: httpx.AsyncBaseTransport) -> None:
    email = "ada.urdu@example.org"
    async with Reader(door) as reader:
        await reader.look("/sign-up?lang=ur")
        await reader.send("/sign-up", name="Ada", email=email, password=PASSWORD)
        (mail,) = await world.mail(email)
        assert "آپ کا کوڈ ہے" in mail["subject"]
        code = await world.code(email)
        assert (await reader.send("/verify", code=code)).status_code == 303


async def test_whoever_came_in_a_language_is_written_to_in_it_from_any_browser(
    world: World, door: httpx.AsyncBaseTransport
) -> None:
    email = "ada.came@example.org"
    async with Reader(door) as reader:
        await reader.look("/sign-up?lang=ur")
        await reader.send("/sign-up", name="Ada", email=email, password=PASSWORD)
        async with asyncio.timeout(30):
            while (await reader.http.get("/v1/me/preferences")).json()["locale"] is None:
                await asyncio.sleep(0.05)
    async with Reader(door) as elsewhere:
        elsewhere.http.headers["Accept-Language"] = "pt-BR,pt;q=0.9"
        await elsewhere.send("/forgot", email=email)
        assert "نیا پاس ورڈ چنیں" in [mail["subject"] for mail in await world.mail(email, 2)]
    ada = await world.person("Ada")
    assert (await ada.get("/v1/me/preferences")).json()["locale"] is None, "a program reads no page"


async def mailed(world: World, email: str, count: int = 1) -> str:
    """The newest mail's link."""
    text = (await world.mail(email, count))[0]["text"]
    found = re.search(r"https?://[^\s/]+(/verify\?token=\S+)", text)
    assert found, text
    return found[1]


async def test_the_link_of_the_first_mail_leads_back_to_what_the_visitor_had_chosen(
    world: World, door: httpx.AsyncBaseTransport
) -> None:
    email = "ada.chosen@example.org"
    async with Reader(door) as here, Reader(door) as phone:
        await here.send("/sign-up", name="Ada", email=email, password=PASSWORD, next=CHOICE)
        link = await mailed(world, email)
        assert "riverside" not in (await world.mail(email))[0]["html"], "nobody has the house write words of theirs"
        await here.look(link)
        landed = await here.send("/verify", token=link.partition("token=")[2])
        assert landed.headers["location"] == CHOICE, "the same browser: on with the booking"
        other = "ada.elsewhere@example.org"
        await here.http.aclose()
        async with Reader(door) as again:
            await again.send("/sign-up", name="Ada", email=other, password=PASSWORD, next=CHOICE)
        await mailed(world, other)  # which of two under way comes last, nobody can tell
        await phone.send("/verify/resend", email=other)
        second = await mailed(world, other, 2)
        await phone.look(second)
        elsewhere = await phone.send("/verify", token=second.partition("token=")[2])
        assert elsewhere.headers["location"] == f"/sign-in?next={quote(CHOICE)}", "another browser signs in first"
        await phone.look(elsewhere.headers["location"])
        assert (await phone.sign_in(other, next=CHOICE)).headers["location"] == CHOICE


@pytest.mark.parametrize(
    "evil", ["https://evil.example/", "//evil.example", "/\\evil.example", "/a\nb", "javascript:alert(1)", ""]
)
async def test_what_is_not_of_this_site_is_not_gone_on_to(world: World, door: httpx.AsyncBaseTransport, evil: str) -> None:
    email = f"ada.{abs(hash(evil))}@example.org"
    async with Reader(door) as reader:
        await reader.send("/sign-up", name="Ada", email=email, password=PASSWORD, next=evil)
        token = (await mailed(world, email)).partition("token=")[2]
        assert (await reader.send("/verify", token=token)).headers["location"] == "/discover"


async def test_what_the_house_noted_is_told_in_the_readers_language_and_what_staff_wrote_as_they_wrote_it(world: World) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada)
    assert (await ada.send("PUT", "/v1/me/preferences", {"locale": "pt"})).status_code == 200
    for court, reason, told in ((0, "not_possible", "O espaço não pode aceitar esta reserva"), (1, "Rain", "Rain")):
        wish = {"resource_id": club.courts[court], "start": at(3), "duration_min": 60, "pay_with": "credits"}
        booking = (await ada.post("/v1/bookings", wish)).json()["id"]
        where = f"/v1/orgs/{club.id}/bookings/{booking}/cancel"
        assert (await club.owner.post(where, {"reason": reason})).status_code == 200
        mail = await about(world, ada.email, f"Cancelado: Court {court + 1}")
        assert f"Motivo: {told}\n" in mail["text"]


async def about(world: World, email: str, subject: str) -> dict[str, str]:
    """The mail whose subject begins so, as soon as it is there."""
    for count in range(1, 12):
        found = [mail for mail in await world.mail(email, count) if mail["subject"].startswith(subject)]
        if found:
            return found[0]
    raise AssertionError(subject)
