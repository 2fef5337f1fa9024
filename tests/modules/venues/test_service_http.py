"""The HTTP surface without a server: documented bodies are understood, answers are what the document says."""

from __future__ import annotations

import msgspec
import pytest

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Invalid, NotFound, PreconditionFailed
from forecourt.kernel.http.decode import BodyDecoder, QueryDecoder
from forecourt.kernel.http.operation import AccessKind, reply_body
from forecourt.kernel.ids import new_id
from forecourt.modules.venues.contract import (
    NewClosure,
    NewOrganisation,
    NewResource,
    NewVenue,
    OrganisationPatch,
    OrganisationStatus,
    PoliciesPatch,
    PriceList,
    ResourcePatch,
    VenuePatch,
)
from forecourt.modules.venues.http import AttentionQuery, PreviewQuery, SearchQuery, Standing, VenuesApi
from forecourt.modules.venues.service import VenuesService

GUEST = Context()


@pytest.fixture
def api(venues: VenuesService) -> VenuesApi:
    return VenuesApi(venues)


def body(kind: type, text: str) -> object:
    return BodyDecoder(kind)(text.encode())


def query(kind: type, text: str) -> object:
    return QueryDecoder(kind)(text.encode())


async def test_an_owner_builds_a_venue_from_documented_bodies(api: VenuesApi, make) -> None:
    founder = make.person()
    new = '{"name":"Padel & Co","kind":"club","country":"GB","currency":"GBP","timezone":"Europe/London"}'
    org = await api.found(founder, body(NewOrganisation, new))
    ctx = founder.within(org.id)
    new = (
        '{"name":"River","address":"1 Wharf Rd","location":{"lat":51.5,"lon":-0.12},"timezone":"Europe/London",'
        '"opening_hours":{"mon":[["06:00","23:00"]],"fri":[["18:00","02:00"]]},"amenities":["parking"]}'
    )
    venue = await api.create(ctx, org.id, body(NewVenue, new))
    new = '{"name":"Court 1","kind":"court","sport":"padel","capacity":4,"people":{"match":[2,4]},"slot_min":15}'
    court = await api.add_resource(ctx, org.id, venue.id, body(NewResource, new))
    rules = (
        f'{{"rules":[{{"resource_ids":["{court.id}"],"weekdays":["mon"],"from":"18:00","to":"22:00","team_size":[2,4],'
        '"per":"hour","amount":{"amount":2000,"currency":"GBP"},"multiplier":"1.25","label":"Peak","priority":5},'
        '{"dates":{"from":"2026-12-24","to":"2026-12-26"},"holiday":true,"per":"person_hour","amount":{"amount":500,"currency":"GBP"}}]}'
    )
    prices = await api.set_prices(ctx, org.id, venue.id, body(PriceList, rules))
    assert prices.version == 2
    assert (await api.prices(ctx, org.id, venue.id)) == prices
    policies = await api.edit_policies(ctx, org.id, body(PoliciesPatch, '{"quiet_hours":["22:00","07:00"],"lead_min":5}'), 1)
    assert (policies.version, policies.lead_min, policies.quiet_hours) == (2, 5, ("22:00", "07:00"))
    preview = await api.preview_price(
        ctx,
        org.id,
        venue.id,
        query(PreviewQuery, f"resource_id={court.id}&start=2026-12-07T18:30:00Z&duration_min=90&team_size=4"),
    )
    assert msgspec.to_builtins(preview)["total"] == {"amount": 3750, "currency": "GBP"}
    assert [(s.rule, s.label) for s in preview.segments] == [(0, "Peak")]

    shown = msgspec.json.decode(msgspec.json.encode(await api.read(GUEST, venue.id)))
    assert shown["location"] == {"lat": 51.5, "lon": -0.12}
    assert shown["opening_hours"] == {"mon": [["06:00", "23:00"]], "fri": [["18:00", "02:00"]]}
    assert (shown["organisation"]["name"], shown["sports"], shown["policies"]["lead_min"]) == ("Padel & Co", ["padel"], 5)
    listed = await api.public_resources(GUEST, venue.id, query(SearchQuery, ""))
    assert [r.id for r in listed.items] == [court.id]
    page = await api.search(GUEST, query(SearchQuery, f"near=51.5,-0.12&radius_km=10&organisation_id={org.id}&indoor=&q=riv"))
    (card,) = msgspec.to_builtins(page)["items"]
    assert (card["from_price"], card["distance_km"]) == ({"amount": 2500, "currency": "GBP"}, 0.0)
    assert (await api.suggest(GUEST, query(SearchQuery, "q=river"))).items


async def test_a_deactivated_organisation_is_no_more_and_a_suspended_one_still_to_be_seen(api: VenuesApi, venues, club) -> None:
    for status in (OrganisationStatus.SUSPENDED, OrganisationStatus.DEACTIVATED):
        await venues.set_standing(GUEST, club.organisation.id, status, "unpaid")
        looks = (api.read(GUEST, club.venue.id), api.public_resources(GUEST, club.venue.id, query(SearchQuery, "")))
        for look in looks:
            if status is OrganisationStatus.SUSPENDED:
                await look
            else:
                with pytest.raises(NotFound):
                    await look


async def test_owners_read_change_and_remove(api: VenuesApi, club) -> None:
    ctx, org, venue, court = club.ctx, club.organisation.id, club.venue.id, club.courts[0].id
    assert await api.organisation(ctx, org) == club.organisation
    renamed = await api.edit_organisation(ctx, org, body(OrganisationPatch, '{"name":"New"}'), 1)
    assert (renamed.name, renamed.version) == ("New", 2)
    assert (await api.policies(ctx, org)).version == 2
    assert [step.done for step in (await api.onboarding(ctx, org)).steps] == [True, True, True, False, False, True]
    assert [v.id for v in (await api.venues(ctx, org, query(SearchQuery, ""))).items] == [venue]
    assert await api.venue(ctx, org, venue) == club.venue
    changed = await api.edit(ctx, org, venue, body(VenuePatch, '{"city":null,"listed":false}'), 1)
    assert (changed.city, changed.listed, changed.version) == (None, False, 2)
    with pytest.raises(PreconditionFailed):
        await api.edit(ctx, org, venue, body(VenuePatch, '{"city":"Bath"}'), 1)
    assert await api.resource(ctx, org, venue, court) == club.courts[0]
    assert not (await api.edit_resource(ctx, org, venue, court, body(ResourcePatch, '{"active":false}'))).active
    assert [r.id for r in (await api.public_resources(GUEST, venue, query(SearchQuery, ""))).items] == [club.courts[1].id]
    assert len((await api.resources(ctx, org, venue, query(SearchQuery, ""))).items) == 2
    await api.remove_resource(ctx, org, venue, court)
    assert len((await api.resources(ctx, org, venue, query(SearchQuery, ""))).items) == 1
    closure = await api.close(ctx, org, venue, body(NewClosure, '{"reason":"Holidays","holiday":true}'))
    assert (await api.closures(ctx, org, venue)).items == [closure]
    await api.reopen(ctx, org, venue, closure.id)
    assert (await api.closures(ctx, org, venue)).items == []
    standing = await api.set_standing(GUEST, org, body(Standing, '{"status":"suspended","reason":"unpaid"}'))
    assert standing.status is OrganisationStatus.SUSPENDED
    assert (await api.needing_attention(GUEST, query(AttentionQuery, "limit=1&status=suspended"))).items


@pytest.mark.parametrize("text", ['{"nickname":"x"}', '{"name":""}', '{"name":null}', '{"capacity":0}', '{"name":"a\\u0000b"}'])
def test_a_body_that_cannot_be_understood_is_refused(text: str) -> None:
    assert body(ResourcePatch, '{"name":"ab"}')
    with pytest.raises(Invalid):
        body(ResourcePatch, text)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("near=51.5", "near"),
        ("near=91,0", "near"),
        ("near=1e1,0", "near"),
        ("near=0,181", "near"),
        ("radius_km=5", "radius_km"),
        ("near=1,1&radius_km=0", "radius_km"),
        ("near=1,1&radius_km=nan", "radius_km"),
        ("duration_min=60", "duration_min"),
        ("free_at=2026-12-01T18:00:00", "free_at"),
        ("sort=distance", "sort"),
        ("sort=best", "sort"),
        ("sport=Padel Club", "sport"),
        ("limit=101", "limit"),
        ("colour=red", "colour"),
        ("cursor=abc", "cursor"),
    ],
)
async def test_a_search_that_cannot_be_understood_says_where(api: VenuesApi, text: str, path: str) -> None:
    with pytest.raises(Invalid) as refused:
        await api.search(GUEST, query(SearchQuery, text))
    assert refused.value.errors[0].path == path


def test_every_operation_says_who_may_what_it_answers_and_what_it_is_about(api: VenuesApi) -> None:
    for operation in api.operations():
        access = operation.declared.access
        assert operation.summary
        assert reply_body(operation.returns) is not None or operation.declared.status == 204 or operation.returns is type(None)
        if "{org_id}" in operation.path:
            assert access.kind is AccessKind.STAFF
            assert access.permission == ("" if operation.method == "GET" else "venues.edit")
        elif "/admin/" in operation.path:
            assert access.kind is AccessKind.ADMIN
        else:
            assert access.kind is (AccessKind.CONFIRMED if operation.method == "POST" else AccessKind.PUBLIC)


async def test_an_unknown_venue_is_not_found(api: VenuesApi) -> None:
    with pytest.raises(NotFound):
        await api.read(GUEST, new_id())
