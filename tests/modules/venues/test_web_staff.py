"""Setting up a place by its pages, without scripts, through the front door."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import httpx
import pytest
from tests.journeys.reader import Reader, hidden, said_at, text, toast, typed_in
from tests.journeys.world import Club, World

from forecourt.app import House


@pytest.fixture
async def reader(house: House) -> AsyncIterator[Reader]:
    async with Reader.at(house) as reader:
        yield reader


@pytest.fixture
async def club(world: World) -> Club:
    return await world.club()


PLACE = {
    "name": "Baradari Clifton",
    "address": "Block 4",
    "city": "Karachi",
    "lat": "24.81",
    "lon": "67.03",
    "timezone": "Asia/Karachi",
    "amenities": ["parking", "showers"],
    "other_amenities": "Sauna, Ice bath",
    "open_from": "7",
    "open_to": "23:00",
}


async def test_somebody_opens_a_place_from_nothing_to_a_price(reader: Reader, world: World) -> None:
    await reader.sign_in(await world.person())
    bad = await reader.send("/orgs/new", name="Baradari", kind="club", country="PK", currency="PKR", timezone="Karachi")
    assert bad.status_code == 422
    assert said_at(bad, "timezone") != ""
    assert typed_in(bad, "name") == "Baradari"
    first = await reader.follow(
        await reader.send("/orgs/new", name="Baradari", kind="club", country="pk", currency="pkr", timezone="Asia/Karachi")
    )
    here = str(first.url.path)
    assert re.fullmatch(r"/orgs/[0-9a-f-]+/places/new", here)
    lost = await reader.send(here, **(PLACE | {"lat": "north"}))
    assert said_at(lost, "lat") == "Write degrees, such as 51.5072."
    added = await reader.follow(await reader.send(here, **PLACE))
    things = str(added.url.path)
    odd = await reader.send(things, name="Court 1", kind="court", capacity="4", durations_min="sixty")
    assert "whole minutes" in said_at(odd, "durations_min")
    court = await reader.follow(await reader.send(things, name="Court 1", kind="court", capacity="4", durations_min="60 90"))
    assert toast(court) == "Court 1 can be booked"
    prices = things.replace("/resources", "/prices")
    page = await reader.look(f"{prices}?rule=new")
    priced = await reader.follow(await reader.send(prices, amount="5,000", per="hour", version=hidden(page, "version")))
    assert "5,000 per hour" in text(priced)
    assert "Rs 5,000" in text(priced).replace("\u00a0", " "), "and the preview agrees"
    places = await reader.look(things.split("/places/", maxsplit=1)[0] + "/places")
    assert "07:00–23:00" in text(places)


async def test_a_number_that_is_emptied_is_not_another_one(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}/resources"
    new = await reader.look(f"{here}?new=1")
    assert (typed_in(new, "capacity"), typed_in(new, "durations_min")) == ("4", "60, 90, 120")
    told = {"name": "Hall", "kind": "room", "capacity": "30", "slot_min": "30", "durations_min": "120 240", "active": "1"}
    made = await reader.follow(await reader.send(here, **told))
    (id,) = {found for found in re.findall(r"/resources\?edit=([0-9a-f-]{36})", made.text) if found not in club.courts}
    page = await reader.look(f"{here}?edit={id}")
    emptied = told | {"capacity": "", "slot_min": "", "durations_min": "", "version": hidden(page, "version")}
    await reader.follow(await reader.send(f"{here}/{id}", **emptied))
    page = await reader.look(f"{here}?edit={id}")
    numbers = [typed_in(page, name) for name in ("capacity", "slot_min", "durations_min")]
    assert numbers == ["30", "30", "120, 240"]
    refused = await reader.send(here, **(told | {"name": "Hall 2", "capacity": ""}))
    assert refused.status_code == 422 and said_at(refused, "capacity") == "Is needed."


async def test_hours_are_read_as_people_write_them_and_a_wrong_day_says_so_at_the_day(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}/hours"
    page = await reader.look(here)
    assert typed_in(page, "mon") == "06:00–23:00"
    days = {
        "mon": "6-12, 14:00 to 22",
        "tue": "closed",
        "wed": "18:00–02:00",
        "thu": "late",
        "fri": "",
        "sat": "9-17",
        "sun": "9-17",
    }
    bad = await reader.send(here, version=hidden(page, "version"), **days)
    assert bad.status_code == 422
    assert "06:00–23:00" in said_at(bad, "thu")
    assert said_at(bad, "mon") == ""
    assert typed_in(bad, "mon") == "6-12, 14:00 to 22", "what was typed stays"
    good = await reader.follow(await reader.send(here, version=hidden(page, "version"), **(days | {"thu": "9-17"})))
    assert typed_in(good, "mon") == "06:00–12:00, 14:00–22:00"
    assert (typed_in(good, "tue"), typed_in(good, "wed")) == ("", "18:00–02:00")


async def test_an_address_is_written_in_its_own_direction_and_its_words_are_said_to_find_the_place(
    reader: Reader, club: Club
) -> None:
    await reader.sign_in(club.owner)
    page = await reader.look(f"/orgs/{club.id}/places/{club.venue}")
    for field in ("name", "address", "city"):
        found = re.search(rf'<input[^>]* name="{field}"[^>]*>', page.text)
        assert found and 'dir="auto"' in found[0], field
    assert "Guests find the place by each word of it" in text(page)


async def test_an_edit_of_what_somebody_else_changed_meanwhile_is_refused_once(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}"
    page = await reader.look(here)
    form = {n: typed_in(page, n) for n in ("name", "address", "city", "lat", "lon", "timezone")}
    patched = await club.owner.send("PATCH", f"/v1/orgs/{club.id}/venues/{club.venue}", {"name": "Riverside East"})
    assert patched.status_code == 200, patched.text
    stale = await reader.send(here, version=hidden(page, "version"), **(form | {"name": "Riverside West"}))
    assert stale.status_code == 412
    assert typed_in(stale, "name") == "Riverside West"
    again = await reader.follow(await reader.send(here, version=hidden(stale, "version"), **(form | {"name": "Riverside West"})))
    assert toast(again) == "Riverside West is saved"


async def test_a_closure_can_be_undone_and_its_days_must_be_in_order(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}"
    bad = await reader.send(f"{here}/closures", reason="Works", first="2027-02-03", last="2027-02-01")
    assert said_at(bad, "last") == "Lies before the first day."
    closed = await reader.follow(await reader.send(f"{here}/closures", reason="Works", first="2027-02-01", last="2027-02-03"))
    assert "Works" in text(closed)
    undo = re.search(r'action="([^"]+/remove)" class="toast__undo"', closed.text)
    assert undo
    open_again = await reader.follow(await reader.send(undo[1]))
    assert "None. The place follows its weekly hours" in text(open_again)


async def test_the_preview_says_which_price_wins(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}/prices"
    version = hidden(await reader.look(f"{here}?rule=new"), "version")
    evening = {"amount": "31.50", "per": "hour", "label": "Evening", "from": "18:00", "to": "22:00", "version": version}
    await reader.follow(await reader.send(here, **evening))
    page = await reader.look(f"{here}?day=2027-02-01&at=17:30&duration_min=60&team_size=2")
    said = text(page)
    assert "17:30–18:00 Any hour 10.00" in said
    assert "18:00–18:30 Evening 15.75" in said
    assert "£25.75" in said
    early = await reader.look(f"{here}?day=2027-02-01&at=09:00&duration_min=60&team_size=2")
    assert "£20.00" in text(early), "or the hour made no difference"


async def test_an_amount_with_too_many_decimals_is_refused_and_a_removed_price_is_gone(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}/prices"
    version = hidden(await reader.look(f"{here}?rule=new"), "version")
    bad = await reader.send(here, amount="10.005", per="hour", version=version)
    assert said_at(bad, "amount") == "GBP has 2 decimals."
    stale = await reader.send(here, amount="10", per="hour", version="99")
    assert stale.status_code == 412
    gone = await reader.follow(await reader.send(f"{here}/remove", place="0", version=version))
    assert "No price yet" in text(gone)


async def test_policies_are_saved_as_they_are_meant(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    page = await reader.look(f"/orgs/{club.id}/settings")
    form = {
        "tier_1_h": "48",
        "tier_1_pct": "100",
        "tier_2_h": "",
        "tier_2_pct": "",
        "hold_min": "15",
        "quiet_hours": "22-7",
        "approval_purposes": ["match"],
        "noise_warning_venue_ids": [club.venue],
        "version": hidden(page, "version"),
    }
    bad = await reader.send(f"/orgs/{club.id}/policies", **(form | {"tier_1_pct": "150"}))
    assert bad.status_code == 422
    assert "at most 100" in text(bad).lower()
    saved = await reader.follow(await reader.send(f"/orgs/{club.id}/policies", **form))
    assert typed_in(saved, "quiet_hours") == "22:00–07:00"
    policies = (await club.owner.get(f"/v1/orgs/{club.id}/policies")).json()
    assert policies["cancellation"] == [{"before_h": 48, "refund_pct": 100}]
    assert (policies["hold_min"], policies["approval_purposes"]) == (15, ["match"])
    assert (policies["quiet_hours"], policies["noise_warning_venue_ids"]) == (["22:00", "07:00"], [club.venue])
    assert re.search(rf'name="noise_warning_venue_ids" value="{club.venue}" checked', saved.text)
    strict = form | {"no_show_strikes": "0", "horizon_days": "30", "version": hidden(saved, "version")}
    saved = await reader.follow(await reader.send(f"/orgs/{club.id}/policies", **strict))
    emptied = form | {"no_show_strikes": "", "horizon_days": "", "version": hidden(saved, "version")}
    saved = await reader.follow(await reader.send(f"/orgs/{club.id}/policies", **emptied))
    assert (typed_in(saved, "no_show_strikes"), typed_in(saved, "horizon_days")) == ("0", "30"), "no number is not another one"
    not_yours = form | {"noise_warning_venue_ids": [club.id], "version": hidden(saved, "version")}
    assert (await reader.send(f"/orgs/{club.id}/policies", **not_yours)).status_code == 422


async def test_another_organisations_place_is_not_there(reader: Reader, club: Club, world: World) -> None:
    rival = await world.club()
    await reader.sign_in(rival.owner)
    assert (await reader.look(f"/orgs/{rival.id}/places/{club.venue}")).status_code == 404
    assert (await reader.send(f"/orgs/{rival.id}/places/{club.venue}/closures/{club.venue}/remove")).status_code == 404
    assert (await reader.look(f"/orgs/{rival.id}/places/{rival.venue}")).status_code == 200, "or nothing is there for anybody"


NAMES = set("Forecourt Riverside Courts Court Olive Quay Street London Any hour API GBP JPEG PNG WebP ENG sauna cr che".split())
"""What stays as it is in every language: names, what owners wrote, codes."""


def english(page: httpx.Response) -> set[str]:
    """Latin words of a page that are no names."""
    return set(re.findall(r"[A-Za-z]{3,}", text(page))) - NAMES


async def test_owners_are_spoken_to_in_their_language_on_every_page(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    places = f"/orgs/{club.id}/places"
    here = f"{places}/{club.venue}"
    assert {"Places", "Prices", "Today"} <= english(await reader.look(places)), "or nothing is proved"
    reader.http.cookies.set("fc_locale", "ur")
    evening = {"amount": "31.50", "per": "person_hour", "label": "Any hour", "weekdays": ["mon", "tue", "wed"], "holiday": "not"}
    evening |= {"from": "18:00", "to": "22:00", "purpose": "match", "people": "2–4", "multiplier": "1.5", "first": "2027-02-01"}
    version = hidden(await reader.look(f"{here}/prices?rule=new"), "version")
    priced = await reader.follow(await reader.send(f"{here}/prices", **evening, version=version))
    assert "31.50 فی شخص فی گھنٹہ × 1.5" in text(priced)
    assert "پیر تا بدھ، \u206618:00–22:00\u2069" in text(priced)
    assert "میچ، \u20662–4\u2069 لوگ" in text(priced)
    assert toast(priced) == "قیمت محفوظ ہو گئی اور ابھی سے لاگو ہے"
    assert english(priced) == set()
    parts = ("", "/photos", "/hours", "/resources", "/resources?new=1", f"/resources?edit={club.courts[0]}", "/prices?rule=0")
    for path in (places, f"{places}/new", *(here + part for part in parts), f"/orgs/{club.id}/settings", f"/orgs/{club.id}/more"):
        page = await reader.look(path)
        assert (page.status_code, english(page)) == (200, set()), path
    late = await reader.send(f"{here}/hours", version="1", mon="late")
    assert said_at(late, "mon").startswith("یوں لکھیں \u206606:00–23:00\u2069 یا \u206606:00–12:00, 14:00–23:00\u2069")
    assert english(late) == set()


async def test_a_day_is_closed_in_the_owners_own_word(reader: Reader, club: Club) -> None:
    await reader.sign_in(club.owner)
    here = f"/orgs/{club.id}/places/{club.venue}/hours"
    days = {"mon": "بند", "tue": "Fechado", "wed": "6-12", "thu": "", "fri": "", "sat": "", "sun": ""}
    saved = await reader.follow(await reader.send(here, version=hidden(await reader.look(here), "version"), **days))
    assert [typed_in(saved, day) for day in ("mon", "tue", "wed")] == ["", "", "06:00–12:00"]
