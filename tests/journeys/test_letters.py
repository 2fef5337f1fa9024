"""The house's own letters, from the form that causes one to the outbox: in the browser's language, then in the one chosen."""

from __future__ import annotations

import httpx
from tests.journeys.reader import Reader
from tests.journeys.world import PASSWORD, World


async def test_letters_speak_the_browsers_language_until_the_person_has_chosen_one(
    world: World, door: httpx.AsyncBaseTransport
) -> None:
    ada = await world.person("Ada")
    async with Reader(door) as reader:
        reader.http.headers["Accept-Language"] = "pt-BR,pt;q=0.9"
        await reader.send("/forgot", email=ada.email)
        first = (await world.mail(ada.email, 2))[0]
        assert first["subject"] == "Escolha uma nova palavra-passe"
        assert "Ada" in first["text"] and 'dir="ltr"' in first["html"]
        await reader.sign_in(ada)
        await reader.send("/account/preferences", language="ur", theme="system", timezone="")
    async with Reader(door) as elsewhere:
        elsewhere.http.headers["Accept-Language"] = "pt-BR,pt;q=0.9"
        await elsewhere.send("/forgot", email=ada.email)
        found = [mail for mail in await world.mail(ada.email, 3) if mail["subject"] == "نیا پاس ورڈ چنیں"]
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
