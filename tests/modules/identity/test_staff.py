from __future__ import annotations

import asyncio
import json
import re
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.identity.conftest import STRANGER, World

import forecourt
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.errors import Conflict, Forbidden, Invalid, NotFound, PreconditionFailed, Problem
from forecourt.kernel.reach import ANYWHERE, Reach
from forecourt.modules.identity.contract import EmailUnconfirmed, LastOwner, LinkInvalid, NotInvited, RoleInUse, RoleNameTaken
from forecourt.modules.identity.rules import PERMISSIONS, ROLE_PERMISSIONS, BuiltInRole
from forecourt.modules.identity.secrecy import digest, new_placed_token


def test_every_permission_that_an_operation_asks_for_exists() -> None:
    source = Path(forecourt.__file__).parent
    asked = {p for file in source.glob("modules/**/*.py") for p in re.findall(r'\bstaff\("([a-z_.]+)"\)', file.read_text())}
    assert "staff.manage" in asked
    assert asked - PERMISSIONS.keys() == set(), "add them to rules.PERMISSIONS, or no owner can do this"


def test_built_in_roles_hold_known_permissions_and_only_owners_make_owners() -> None:
    for role in BuiltInRole:
        assert ROLE_PERMISSIONS[role] <= PERMISSIONS.keys()
    assert [r for r in BuiltInRole if "staff.manage_owners" in ROLE_PERMISSIONS[r]] == [BuiltInRole.OWNER]


async def test_the_first_to_adopt_an_organisation_owns_it_and_nobody_after(world: World) -> None:
    people = [await world.confirmed(f"p{n}") for n in range(4)]
    organisation = uuid4()
    contexts = [await world.as_(p) for p in people]
    await asyncio.gather(*(world.identity.adopt(ctx, organisation) for ctx in contexts))
    held = [await world.permissions(p, organisation) for p in people]
    assert sum(h is not None for h in held) == 1
    assert sorted(PERMISSIONS) in held


async def test_an_invitation_is_accepted_by_its_address_once(world: World) -> None:
    _, boss = await world.owner()
    bob, eve = await world.confirmed("bob"), await world.confirmed("eve")
    await world.identity.staff.invite(boss, bob.account.email.upper(), "agent")
    token = (
        (await world.letters(bob.account.email.split("@")[0].upper() + "@example.org"))[-1]
        .text.split("/staff-invitations/")[1]
        .split()[0]
    )
    with pytest.raises(NotInvited):
        await world.identity.staff.accept(await world.as_(eve), token)
    place = await world.identity.staff.accept(await world.as_(bob), token)
    assert (place.organisation_id, place.role) == (boss.organisation_id, "agent")
    with pytest.raises(Problem) as used:
        await world.identity.staff.accept(await world.as_(bob), token)
    assert used.value.code == "link_invalid"
    assert [p.role for p in await world.identity.staff.places(await world.as_(bob))] == ["agent"]
    assert await world.permissions(eve, place.organisation_id) is None


@pytest.mark.parametrize("token", ["x", "ж", "", "A" * 64])
async def test_an_invented_invitation_is_refused(world: World, token: str) -> None:
    ctx = await world.as_(await world.confirmed())
    for wrong in (token, new_placed_token(uuid4())):
        with pytest.raises(Problem) as refused:
            await world.identity.staff.accept(ctx, wrong)
        assert refused.value.code == "link_invalid"


async def test_an_invitation_expires_and_a_newer_one_replaces_it(world: World) -> None:
    _, boss = await world.owner()
    bob = await world.confirmed("bob")
    tokens: list[str] = []
    for role in ("viewer", "agent"):
        await world.identity.staff.invite(boss, bob.account.email, role)
        tokens.append((await world.letters(bob.account.email))[-1].text.split("/staff-invitations/")[1].split()[0])
    with pytest.raises(Problem):
        await world.identity.staff.accept(await world.as_(bob), tokens[0])
    world.clock.advance(timedelta(days=7))
    with pytest.raises(Problem):
        await world.identity.staff.accept(await world.as_(bob), tokens[1])


async def invited_by(world: World, inviter: Context, role: str) -> tuple[Context, str]:
    """Somebody who holds an invitation: who they are, and its token."""
    guest = await world.confirmed("guest")
    await world.identity.staff.invite(inviter, guest.account.email, role)
    letter = (await world.letters(guest.account.email))[-1].text
    return await world.as_(guest), letter.split("/staff-invitations/")[1].split()[0]


async def test_an_invitation_ends_with_the_right_to_give_what_it_gives(world: World) -> None:
    _, boss = await world.owner()
    fired, moved, stays = [await world.join(boss, "manager", name) for name in ("fired", "moved", "stays")]
    from_fired = await invited_by(world, fired[1], "manager")
    from_moved = await invited_by(world, moved[1], "manager")
    from_stays = await invited_by(world, stays[1], "manager")
    await world.identity.staff.remove(boss, fired[0].account.id)
    await world.identity.staff.change_role(boss, moved[0].account.id, "agent", None)
    for ctx, token in (from_fired, from_moved):
        with pytest.raises(LinkInvalid):
            await world.identity.staff.accept(ctx, token)
        assert await world.identity.staff.places(ctx) == []
    assert (await world.identity.staff.accept(*from_stays)).role == "manager"


async def test_an_unconfirmed_account_does_not_invite(world: World) -> None:
    tokens = await world.register()
    organisation = uuid4()
    await world.identity.adopt(await world.as_(tokens), organisation)
    with pytest.raises(EmailUnconfirmed):
        await world.identity.staff.invite(await world.as_(tokens, organisation), world.address("bob"), "agent")


async def test_the_last_owner_neither_leaves_nor_steps_down(world: World) -> None:
    owner, boss = await world.owner()
    second, _ = await world.join(boss, "owner", "second")
    await world.identity.staff.remove(boss, second.account.id)
    with pytest.raises(LastOwner):
        await world.identity.staff.remove(boss, owner.account.id)
    with pytest.raises(LastOwner):
        await world.identity.staff.change_role(boss, owner.account.id, "manager", None)


async def test_of_two_owners_who_leave_at_the_same_time_one_stays(world: World) -> None:
    for step_down in (False, True):
        owner, boss = await world.owner()
        second, mate = await world.join(boss, "owner", "second")

        async def leave(ctx: Context, account_id: UUID, step_down: bool = step_down) -> None:
            if step_down:
                await world.identity.staff.change_role(ctx, account_id, "viewer", None)
            else:
                await world.identity.staff.remove(ctx, account_id)

        results = await asyncio.gather(leave(boss, owner.account.id), leave(mate, second.account.id), return_exceptions=True)
        assert sorted(type(r).__name__ for r in results) == ["LastOwner", "NoneType"]
        members = (await world.identity.staff.list(boss, 20, None)).items
        assert [m.role for m in members].count("owner") == 1


async def test_a_manager_neither_makes_owners_nor_touches_one(world: World) -> None:
    owner, boss = await world.owner()
    _, manager = await world.join(boss, "manager", "manager")
    staff = world.identity.staff
    with pytest.raises(Forbidden):
        await staff.invite(manager, world.address(), "owner")
    with pytest.raises(Forbidden):
        await staff.change_role(manager, owner.account.id, "viewer", None)
    with pytest.raises(Forbidden):
        await staff.remove(manager, owner.account.id)
    with pytest.raises(Forbidden):
        await staff.define_role(manager, "boss", ["staff.manage_owners"])
    with pytest.raises(Forbidden):
        await staff.make_key(manager, "boss", ["staff.manage_owners"], None)
    assert (await staff.invite(manager, world.address(), "agent")).role == "agent"


async def test_an_agent_may_leave_but_not_remove(world: World) -> None:
    _, boss = await world.owner()
    agent, ctx = await world.join(boss, "agent", "agent")
    viewer, _ = await world.join(boss, "viewer", "viewer")
    with pytest.raises(Forbidden):
        await world.identity.staff.remove(ctx, viewer.account.id)
    await world.identity.staff.remove(ctx, agent.account.id)
    assert await world.permissions(agent, boss.organisation_id) is None


async def test_an_own_role_gives_its_permissions_until_it_is_edited(world: World) -> None:
    _, boss = await world.owner()
    staff = world.identity.staff
    role = await staff.define_role(boss, "Court keeper", ["booking.block", "booking.read_any"])
    keeper, ctx = await world.join(boss, "court KEEPER", "keeper")
    assert ctx.permissions == {"booking.block", "booking.read_any"}
    with pytest.raises(RoleInUse):
        await staff.remove_role(boss, role.id)
    with pytest.raises(PreconditionFailed):
        await staff.edit_role(boss, role.id, None, [], 7)
    await staff.edit_role(boss, role.id, None, ["booking.read_any"], 1)
    assert await world.permissions(keeper, boss.organisation_id) == ["booking.read_any"]
    await staff.change_role(boss, keeper.account.id, "viewer", None)
    await staff.remove_role(boss, role.id)
    with pytest.raises(NotFound):
        await staff.remove_role(boss, role.id)


async def test_a_role_with_a_right_that_no_longer_exists_is_given_edited_and_removed(
    world: World, admin: asyncpg.Connection
) -> None:
    _, boss = await world.owner()
    bob, _ = await world.join(boss, "agent")
    staff = world.identity.staff
    role = await staff.define_role(boss, "Greeter", ["booking.read_any"])
    await admin.execute("update identity.role set permissions = permissions || '{sauna.heat}' where id = $1", role.id)
    await staff.change_role(boss, bob.account.id, "Greeter", None)
    assert await world.permissions(bob, boss.organisation_id) == ["booking.read_any"]
    assert (await staff.edit_role(boss, role.id, "Host", None, None)).name == "Host"
    await staff.change_role(boss, bob.account.id, "agent", None)
    await staff.remove_role(boss, role.id)


async def told(admin: asyncpg.Connection, ctx: Context, name: str) -> list[list[tuple[str, object, object]]]:
    """What the events of that name say of each field before and after, for audit."""
    rows = await admin.fetch(
        "select payload from kernel.event where account_id = $1 and name = $2 order by id", ctx.account_id, name
    )

    def read(text: str) -> object:
        return json.loads(text) if text else None

    return [[(c["field"], read(c["before"]), read(c["after"])) for c in json.loads(row["payload"])["changes"]] for row in rows]


async def test_audit_learns_what_a_role_may_before_and_after(world: World, admin: asyncpg.Connection) -> None:
    _, boss = await world.owner()
    staff = world.identity.staff
    role = await staff.define_role(boss, "Greeter", ["booking.read_any"])
    await staff.edit_role(boss, role.id, None, ["booking.read_any", "payments.refund"], None)
    await staff.edit_role(boss, role.id, "Host", None, None)
    await staff.remove_role(boss, role.id)
    made, widened, renamed, removed = await told(admin, boss, "role.changed")
    assert {field: (before, after) for field, before, after in made} == {
        "name": (None, "Greeter"),
        "permissions": (None, ["booking.read_any"]),
    }
    assert widened == [("permissions", ["booking.read_any"], ["booking.read_any", "payments.refund"])]
    assert renamed == [("name", "Greeter", "Host")]
    assert ("permissions", ["booking.read_any", "payments.refund"], None) in removed


async def test_audit_learns_to_what_somebody_was_limited(world: World, admin: asyncpg.Connection) -> None:
    _, boss = await world.owner()
    bob, _ = await world.join(boss, "agent")
    office = Reach(networks=["192.0.2.0/24"])
    await world.identity.staff.change_role(boss, bob.account.id, None, None, office)
    await world.identity.staff.change_role(boss, bob.account.id, "coach", None)  # which limits nobody anew
    ((field, before, after),) = (await told(admin, boss, "staff.limited"))[0]
    assert (field, before, after) == ("limited_to", msgspec.to_builtins(ANYWHERE), msgspec.to_builtins(office))
    assert len(await told(admin, boss, "staff.limited")) == 1


async def test_role_names_are_unique_and_built_in_ones_are_taken(world: World) -> None:
    _, boss = await world.owner()
    await world.identity.staff.define_role(boss, "Keeper", [])
    other = await world.identity.staff.define_role(boss, "Cleaner", [])
    with pytest.raises(RoleNameTaken):
        await world.identity.staff.define_role(boss, "kEEPER ", [])
    with pytest.raises(RoleNameTaken):
        await world.identity.staff.edit_role(boss, other.id, "keeper", None, None)
    for name in ("Owner", "  "):
        with pytest.raises(Invalid):
            await world.identity.staff.define_role(boss, name, [])
    with pytest.raises(Invalid):
        await world.identity.staff.define_role(boss, "x", ["booking.fly"])


async def test_staff_is_added_at_once_when_the_account_is_confirmed(world: World) -> None:
    _, boss = await world.owner()
    bob, new = await world.confirmed("bob"), await world.register("new")
    assert (await world.identity.staff.add(boss, bob.account.id, "coach")).role == "coach"
    for account_id, problem in ((bob.account.id, Conflict), (new.account.id, Conflict), (uuid4(), NotFound)):
        with pytest.raises(problem):
            await world.identity.staff.add(boss, account_id, "coach")


async def test_a_stranger_who_adds_an_account_does_not_learn_its_address_until_it_agrees(world: World) -> None:
    _, boss = await world.owner()
    bob = await world.confirmed("bob")
    staff, address = world.identity.staff, bob.account.email
    assert (await staff.add(boss, bob.account.id, "coach")).email == ""
    changed = await staff.change_role(boss, bob.account.id, "agent", None)
    seen = [changed, await staff.member(boss, bob.account.id), *(await staff.list(boss, 20, None)).items]
    assert address not in {row.email for row in seen}
    letter = (await world.letters(address))[-1].text
    assert f"/orgs/{boss.organisation_id}/people" in letter, "where one leaves"
    place = await staff.accept(await world.as_(bob), letter.split("/staff-invitations/")[1].split()[0])
    assert place.role == "agent", "what was given since counts, not what the letter said"
    assert (await staff.member(boss, bob.account.id)).email == address
    invited, _ = await world.join(boss, "coach", "ann")
    assert (await staff.member(boss, invited.account.id)).email == invited.account.email


async def test_who_was_added_and_removed_does_not_come_back_by_the_letter(world: World) -> None:
    _, boss = await world.owner()
    for leaves in (False, True):
        bob = await world.confirmed("bob")
        await world.identity.staff.add(boss, bob.account.id, "coach")
        letter = (await world.letters(bob.account.email))[-1].text
        await world.identity.staff.remove(await world.as_(bob, boss.organisation_id) if leaves else boss, bob.account.id)
        with pytest.raises(Problem) as refused:
            await world.identity.staff.accept(await world.as_(bob), letter.split("/staff-invitations/")[1].split()[0])
        assert refused.value.code == "link_invalid"
        assert await world.permissions(bob, boss.organisation_id) is None


async def test_an_unconfirmed_account_adds_nobody(world: World) -> None:
    tokens, bob = await world.register(), await world.confirmed("bob")
    organisation = uuid4()
    await world.identity.adopt(await world.as_(tokens), organisation)
    with pytest.raises(EmailUnconfirmed):
        await world.identity.staff.add(await world.as_(tokens, organisation), bob.account.id, "coach")
    assert len(await world.letters(bob.account.email)) == 1, "the code alone"


# --- keys ---


async def test_a_key_is_shown_once_scoped_stamped_and_revoked(world: World, admin: asyncpg.Connection) -> None:
    _, boss = await world.owner()
    row, key = await world.identity.staff.make_key(boss, "till", ["booking.create_any", "booking.read_any"], None)
    assert key.startswith("fck_") and row.hint == key[: len(row.hint)]
    known = await world.identity.api_key(STRANGER, digest(key))
    assert known is not None
    assert (known.organisation_id, known.permissions) == (boss.organisation_id, ["booking.create_any", "booking.read_any"])
    stored = await admin.fetchval("select row_to_json(k)::text from identity.api_key k where id = $1", row.id)
    assert key not in stored and key[12:] not in stored
    first = world.clock.now()
    world.clock.advance(timedelta(seconds=59))
    await world.identity.api_key(STRANGER, digest(key))
    assert (await world.identity.staff.keys(boss, 20, None)).items[0].used_at == first
    world.clock.advance(timedelta(seconds=1))
    await world.identity.api_key(STRANGER, digest(key))
    assert (await world.identity.staff.keys(boss, 20, None)).items[0].used_at == world.clock.now()
    await world.identity.staff.revoke_key(boss, row.id)
    assert await world.identity.api_key(STRANGER, digest(key)) is None
    with pytest.raises(NotFound):
        await world.identity.staff.revoke_key(boss, row.id)
    assert await world.identity.api_key(STRANGER, digest("fck_invented")) is None


async def test_a_key_expires(world: World) -> None:
    _, boss = await world.owner()
    _, key = await world.identity.staff.make_key(boss, "till", ["booking.read_any"], world.clock.now() + timedelta(hours=1))
    assert await world.identity.api_key(STRANGER, digest(key)) is not None
    world.clock.advance(timedelta(hours=1))
    assert await world.identity.api_key(STRANGER, digest(key)) is None
    with pytest.raises(Invalid):
        await world.identity.staff.make_key(boss, "till", ["booking.read_any"], world.clock.now())


async def test_a_key_makes_no_key_that_may_more_than_itself(world: World) -> None:
    _, boss = await world.owner()
    scopes = frozenset({"keys.manage", "booking.read_any"})
    parent, _ = await world.identity.staff.make_key(boss, "parent", sorted(scopes), None)
    actor = Actor(ActorKind.API_KEY, key_id=parent.id, key_organisation_id=boss.organisation_id, scopes=scopes)
    ctx = Context(actor, boss.organisation_id, scopes)
    await world.identity.staff.make_key(ctx, "child", ["booking.read_any"], None)
    with pytest.raises(Forbidden):
        await world.identity.staff.make_key(ctx, "child", ["booking.cancel_any"], None)


async def test_a_key_that_expires_makes_no_key_that_outlives_it(world: World) -> None:
    _, boss = await world.owner()
    end = world.clock.now() + timedelta(hours=1)
    scopes = frozenset({"keys.manage", "booking.read_any"})
    parent, _ = await world.identity.staff.make_key(boss, "parent", sorted(scopes), end)
    actor = Actor(ActorKind.API_KEY, key_id=parent.id, key_organisation_id=boss.organisation_id, scopes=scopes)
    ctx = Context(actor, boss.organisation_id, scopes)
    for later in (None, end + timedelta(seconds=1)):
        with pytest.raises(Invalid) as refused:
            await world.identity.staff.make_key(ctx, "child", ["booking.read_any"], later)
        assert refused.value.errors[0].path == "expires_at"
    await world.identity.staff.make_key(ctx, "child", ["booking.read_any"], end)


# --- tenants: each row policy, so that one replaced by `true` fails here ---


async def test_another_organisation_sees_and_changes_nothing(world: World) -> None:
    _, boss = await world.owner("boss")
    _, rival = await world.owner("rival")
    staff = world.identity.staff
    bob, _ = await world.join(boss, "agent", "bob")
    role = await staff.define_role(boss, "Keeper", [])
    key, _ = await staff.make_key(boss, "till", ["booking.read_any"], None)
    assert len((await staff.list(boss, 20, None)).items) == 2
    assert len((await staff.list(rival, 20, None)).items) == 1
    assert (await staff.roles(rival, 20, None)).items == [] == (await staff.keys(rival, 20, None)).items
    for attempt in (
        staff.revoke_key(rival, key.id),
        staff.remove_role(rival, role.id),
        staff.edit_role(rival, role.id, "x", None, None),
        staff.change_role(rival, bob.account.id, "viewer", None),
        staff.remove(rival, bob.account.id),
    ):
        with pytest.raises(NotFound):
            await attempt


ORGANISATIONS_TABLES = ("role", "staff", "staff_invitation", "api_key")


@pytest.mark.parametrize("table", ORGANISATIONS_TABLES)
async def test_row_security_hides_and_guards_an_organisations_rows(world: World, table: str) -> None:
    _, boss = await world.owner()
    await world.identity.staff.define_role(boss, "Keeper", [])
    await world.identity.staff.invite(boss, world.address(), "viewer")
    await world.identity.staff.make_key(boss, "till", ["booking.read_any"], None)
    nobody = msgspec.structs.replace(boss, actor=Actor())
    door = world.db.module("identity")
    count = f"select count(*) from identity.{table} where organisation_id = $1"
    async with door.tx(nobody) as tx:
        assert await tx.connection.fetchval(count, boss.organisation_id) > 0
    for other in (uuid4(), None):
        async with door.tx(nobody.within(other)) as tx:
            assert await tx.connection.fetchval(count, boss.organisation_id) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with door.tx(nobody) as tx:
            await tx.connection.execute(
                f"insert into identity.{table}"
                " select (jsonb_populate_record(t, jsonb_build_object('organisation_id', $1::uuid))).*"
                f" from identity.{table} t limit 1",
                uuid4(),
            )


async def test_a_person_sees_where_it_works_and_not_where_others_do(world: World) -> None:
    owner, _ = await world.owner()
    eve = await world.confirmed("eve")
    door = world.db.module("identity")
    count = "select count(*) from identity.staff where account_id = $1"
    async with door.tx(await world.as_(owner)) as tx:
        assert await tx.connection.fetchval(count, owner.account.id) == 1
    async with door.tx(await world.as_(eve)) as tx:
        assert await tx.connection.fetchval(count, owner.account.id) == 0


@pytest.mark.parametrize("table", ["session", "security_event"])
async def test_row_security_hides_and_guards_a_persons_rows(world: World, table: str) -> None:
    ada, eve = await world.register("ada"), await world.register("eve")
    door = world.db.module("identity")
    count = f"select count(*) from identity.{table} where account_id = $1"
    async with door.tx(await world.as_(ada)) as tx:
        assert await tx.connection.fetchval(count, ada.account.id) == 1
    for ctx in (await world.as_(eve), STRANGER):
        async with door.tx(ctx) as tx:
            assert await tx.connection.fetchval(count, ada.account.id) == 0
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with door.tx(await world.as_(ada)) as tx:
            await tx.connection.execute(
                f"insert into identity.{table} select (jsonb_populate_record(t, jsonb_build_object('account_id', $1::uuid))).*"
                f" from identity.{table} t limit 1",
                eve.account.id,
            )


async def test_security_events_are_append_only(world: World) -> None:
    ada = await world.register()
    ctx = await world.as_(ada)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        async with world.db.module("identity").tx(ctx) as tx:
            await tx.connection.execute("update identity.security_event set detail = ''")
    mine = f"delete from identity.security_event where account_id = '{ada.account.id}'"
    for who in (ctx, STRANGER):  # the house removes those of a year ago, see test_security_review
        async with world.db.module("identity").tx(who) as tx:
            assert await tx.connection.execute(mine) == "DELETE 0"
    assert (await world.identity.sessions.security_events(ctx, 1, None)).items
