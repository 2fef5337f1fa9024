"""Roles and keys that count from some networks and at some hours alone: kept, shown, and judged at each request."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import httpx
import msgspec
import pytest
from tests.modules.identity.conftest import ISSUER, STRANGER, World

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.errors import Forbidden, Invalid
from forecourt.kernel.http.dispatch import Door
from forecourt.kernel.http.gate import Gate, KeyOutOfReach, OutOfReach
from forecourt.kernel.http.site import front, site
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.limits import Limiter
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.reach import ANYWHERE, Reach, Window
from forecourt.modules.identity.http import StaffApi

OFFICE = Reach(networks=["192.0.2.0/24", "2001:db8::/32"])
DAYTIME = Reach(hours=[Window(["mon", "tue", "wed", "thu", "fri"], "09:00", "17:00")], time_zone="Europe/London")
INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"
NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday


@pytest.fixture
def wall() -> FixedClock:
    return FixedClock(NOON)


@pytest.fixture
async def gate(world: World, wall: FixedClock) -> Gate:
    gate = Gate(world.identity, wall)
    await gate.refresh()
    return gate


async def test_a_member_limited_to_networks_may_nothing_from_elsewhere(world: World, gate: Gate) -> None:
    _, boss = await world.owner()
    bob, ctx = await world.join(boss, "agent")
    organisation = boss.organisation_id
    assert organisation is not None
    assert await gate.permissions(ctx.actor, organisation, OUTSIDE), "or the test proves nothing"
    await world.identity.staff.change_role(boss, bob.account.id, None, None, OFFICE)
    gate.look_again()
    for address in (INSIDE, "2001:db8::7", f"::ffff:{INSIDE}"):
        assert "booking.check_in" in (await gate.permissions(ctx.actor, organisation, address) or ())
    for address in (OUTSIDE, "2001:db9::7", ""):
        with pytest.raises(OutOfReach):
            await gate.permissions(ctx.actor, organisation, address)
    await world.identity.staff.change_role(boss, bob.account.id, None, None, ANYWHERE)
    gate.look_again()
    assert await gate.permissions(ctx.actor, organisation, OUTSIDE)


async def test_what_is_remembered_of_a_member_is_judged_anew_when_the_hour_is_over(
    world: World, gate: Gate, wall: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, boss = await world.owner()
    role = await world.identity.staff.define_role(boss, "Day shift", ["booking.read_any"], DAYTIME)
    _, ctx = await world.join(boss, role.name)
    organisation = boss.organisation_id
    assert organisation is not None
    assert await gate.permissions(ctx.actor, organisation, OUTSIDE)

    async def unasked(*_: object) -> None:
        raise AssertionError("this was not remembered")

    monkeypatch.setattr(world.identity, "standing", unasked)
    wall.advance(timedelta(hours=4, minutes=59))
    assert await gate.permissions(ctx.actor, organisation, OUTSIDE)
    wall.advance(timedelta(minutes=1))
    with pytest.raises(OutOfReach):
        await gate.permissions(ctx.actor, organisation, OUTSIDE)


async def test_the_limits_of_member_and_role_both_count(world: World, gate: Gate, wall: FixedClock) -> None:
    _, boss = await world.owner()
    role = await world.identity.staff.define_role(boss, "Day shift", ["booking.read_any"], DAYTIME)
    bob, ctx = await world.join(boss, role.name)
    await world.identity.staff.change_role(boss, bob.account.id, None, None, OFFICE)
    organisation = boss.organisation_id
    assert organisation is not None
    assert await gate.permissions(ctx.actor, organisation, INSIDE)
    with pytest.raises(OutOfReach):
        await gate.permissions(ctx.actor, organisation, OUTSIDE)
    wall.advance(timedelta(hours=8))
    with pytest.raises(OutOfReach):
        await gate.permissions(ctx.actor, organisation, INSIDE)


async def test_a_key_is_refused_from_elsewhere_and_after_hours_though_it_is_remembered(
    world: World, gate: Gate, wall: FixedClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, boss = await world.owner()
    limits = msgspec.structs.replace(OFFICE, hours=DAYTIME.hours, time_zone=DAYTIME.time_zone)
    _, key = await world.identity.staff.make_key(boss, "Door", ["booking.read_any"], None, limits)
    _, free = await world.identity.staff.make_key(boss, "Free", ["booking.read_any"], None)
    assert (await gate.by_api_key(key, INSIDE))[1] == {"booking.read_any"}
    assert await gate.by_api_key(free, OUTSIDE)

    async def unasked(*_: object) -> None:
        raise AssertionError("this was not remembered")

    monkeypatch.setattr(world.identity, "api_key", unasked)
    with pytest.raises(KeyOutOfReach):
        await gate.by_api_key(key, OUTSIDE)
    wall.advance(timedelta(hours=5))
    with pytest.raises(KeyOutOfReach):
        await gate.by_api_key(key, INSIDE)


async def test_an_invitation_carries_its_limits_to_the_member(world: World) -> None:
    _, boss = await world.owner()
    bob = await world.confirmed("bob")
    await world.identity.staff.invite(boss, bob.account.email, "agent", OFFICE)
    letter = (await world.letters(bob.account.email))[-1].text
    await world.identity.staff.accept(await world.as_(bob), letter.split("/staff-invitations/")[1].split()[0])
    assert boss.organisation_id is not None
    standing = await world.identity.standing(STRANGER, bob.account.id, boss.organisation_id)
    assert standing is not None and standing.limited_to == [OFFICE]


async def test_an_owner_is_not_limited_and_whoever_becomes_one_is_free(world: World) -> None:
    owner, boss = await world.owner()
    bob, _ = await world.join(boss, "agent")
    staff = world.identity.staff
    second, mate = await world.join(boss, "owner", "second")
    for who, ctx in ((owner, mate), (second, boss)):
        with pytest.raises(Invalid):
            await staff.change_role(ctx, who.account.id, None, None, OFFICE)
    assert (await staff.change_role(boss, bob.account.id, None, None, OFFICE)).limited_to == OFFICE
    assert (await staff.change_role(boss, bob.account.id, "coach", None)).limited_to == OFFICE, "another role keeps them"
    assert (await staff.change_role(boss, bob.account.id, "owner", None)).limited_to == ANYWHERE


async def test_whoever_is_limited_hands_out_no_rights_and_does_not_lift_limits(world: World) -> None:
    _, boss = await world.owner()
    staff = world.identity.staff
    bob, ctx = await world.join(boss, "manager")
    eve, _ = await world.join(boss, "agent", "eve")
    await staff.make_key(ctx, "Before", ["booking.read_any"], None)
    with pytest.raises(Forbidden):
        await staff.change_role(ctx, bob.account.id, None, None, OFFICE)  # one's own limits
    await staff.change_role(boss, bob.account.id, None, None, OFFICE)
    scopes = frozenset({"keys.manage"})
    row, _ = await staff.make_key(boss, "Limited", sorted(scopes), None, OFFICE)
    key = Context(
        Actor(ActorKind.API_KEY, key_id=row.id, key_organisation_id=boss.organisation_id, scopes=scopes),
        boss.organisation_id,
        scopes,
    )
    for escape in (
        staff.make_key(ctx, "Way out", ["booking.read_any"], None),
        staff.make_key(key, "Way out", ["keys.manage"], None),
        staff.define_role(ctx, "Free", ["booking.read_any"]),
        staff.change_role(ctx, bob.account.id, None, None, ANYWHERE),
        staff.change_role(ctx, eve.account.id, "manager", None),
        staff.invite(ctx, world.address("mallory"), "manager"),
    ):
        with pytest.raises(Forbidden):
            await escape


async def test_limits_that_make_no_sense_are_refused_wherever_they_come_in(world: World) -> None:
    _, boss = await world.owner()
    staff = world.identity.staff
    bob, _ = await world.join(boss, "agent")
    bad = Reach(networks=["the office"])
    for attempt in (
        staff.change_role(boss, bob.account.id, None, None, bad),
        staff.invite(boss, world.address("x"), "agent", bad),
        staff.define_role(boss, "Bad", [], bad),
        staff.make_key(boss, "Bad", ["booking.read_any"], None, bad),
    ):
        with pytest.raises(Invalid) as refused:
            await attempt
        assert [e.path for e in refused.value.errors] == ["limited_to.networks[0]"]


# --- through the door, behind a proxy ---


@pytest.fixture
async def client(world: World) -> AsyncIterator[httpx.AsyncClient]:
    door = Door(
        Gate(world.identity, world.clock),  # tokens are made and judged by one clock
        Idempotency(world.db.module("kernel"), world.clock),
        Limiter(None, world.metrics),
        secret=b"tests",
        public_url=ISSUER,
        limit_addresses=False,
        secure_cookies=False,
        problem_page=lambda problem, _visit, _trace: problem.title,
    )
    app = front(
        site(StaffApi(world.identity).operations(), door), Metrics(), origins=(), proxies=["10.0.0.0/8"], strict_transport=False
    )
    transport = httpx.ASGITransport(app=app, client=("10.0.0.1", 1))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
        yield client


async def test_behind_a_trusted_proxy_the_address_of_the_client_counts(world: World, client: httpx.AsyncClient) -> None:
    owner, boss = await world.owner()
    bob, _ = await world.join(boss, "manager")
    org = f"/v1/orgs/{boss.organisation_id}"
    as_owner, as_bob = ({"Authorization": f"Bearer {t.access_token}"} for t in (owner, bob))
    limits = {"networks": ["192.0.2.0/24"]}
    changed = await client.patch(f"{org}/staff/{bob.account.id}", json={"limited_to": limits}, headers=as_owner)
    assert (changed.status_code, changed.json()["limited_to"]["networks"]) == (200, limits["networks"]), changed.text
    made = await client.post(
        f"{org}/api-keys", json={"name": "Door", "permissions": ["staff.read"], "limited_to": limits}, headers=as_owner
    )
    assert made.status_code == 201 and made.json()["limited_to"]["networks"] == limits["networks"]
    as_key = {"X-Api-Key": made.json()["key"]}

    async def asked(who: dict[str, str], forwarded: str) -> tuple[int, str]:
        answer = await client.get(f"{org}/staff", headers={**who, "X-Forwarded-For": forwarded})
        return answer.status_code, answer.json().get("code", "")

    assert await asked(as_bob, INSIDE) == (200, "")
    assert await asked(as_key, INSIDE) == (200, "")
    for forwarded in (OUTSIDE, f"{INSIDE}, {OUTSIDE}", "10.0.0.9"):  # what the client itself says comes first and does not count
        assert await asked(as_bob, forwarded) == (403, "out_of_reach")
        assert await asked(as_key, forwarded) == (401, "key_out_of_reach")
    assert await asked(as_owner, OUTSIDE) == (200, "")
    wrong = await client.patch(f"{org}/staff/{bob.account.id}", json={"limited_to": {"networks": ["x" * 9]}}, headers=as_owner)
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "limited_to.networks[0]")
    lifted = await client.patch(f"{org}/staff/{bob.account.id}", json={"limited_to": {}}, headers=as_owner)
    assert (lifted.status_code, lifted.json()["limited_to"]["networks"]) == (200, [])
