"""A person is told all that identity keeps of them, and nothing that opens a door."""

from __future__ import annotations

from uuid import uuid4

import msgspec
import pytest
from tests.modules.identity.conftest import PASSWORD, STRANGER, World

from forecourt.kernel import records as kernel_records
from forecourt.kernel.context import Context
from forecourt.kernel.errors import Unauthenticated
from forecourt.modules.identity import records as module
from forecourt.modules.identity.records import records
from forecourt.modules.identity.service.accounts import NewAccount


async def told(world: World, ctx: Context) -> dict[str, list[dict[str, object]]]:
    """Everything, by kind."""
    source, found, after = records(world.db.module("identity")), dict[str, list[dict[str, object]]](), None
    while True:
        portion = await source.records(ctx, after)
        assert len(portion.records) <= kernel_records.RECORDS_AT_ONCE
        found.setdefault(portion.kind, []).extend(msgspec.json.decode(record) for record in portion.records)
        if portion.after is None:
            return found
        after = portion.after


async def test_a_person_is_told_all_of_their_own_and_of_nobody_elses(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    _, boss = await world.owner()
    await world.identity.staff.define_role(boss, "Bar tender", ["booking.read_any"])
    ada, _ = await world.join(boss, "Bar tender", "ada")
    _, elsewhere = await world.owner("other")
    await world.identity.staff.invite(elsewhere, ada.account.email, "viewer")
    await world.identity.staff.invite(elsewhere, world.address("somebody"), "viewer")
    ctx = await world.as_(ada, boss.organisation_id)
    _, secret = await world.identity.staff.make_key(ctx, "my script", ["booking.read_any"], None)
    await world.identity.staff.make_key(boss, "not mine", ["booking.read_any"], None)
    number = f"+4479{uuid4().int % 10**8:08}"
    await world.identity.phones.ask_for_code(ctx, number, "en")
    for n in range(3):
        await world.identity.persons.log_in(msgspec.structs.replace(STRANGER, agent=f"device {n}"), ada.account.email, PASSWORD)
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 2)
    found = await told(world, ctx)
    assert list(found) == [
        "account", "phone_numbers", "sessions", "security_events", "staff", "staff_invitations", "api_keys_made",
    ]  # fmt: skip
    [account] = found["account"]
    assert (account["id"], account["email"]) == (str(ada.account.id), ada.account.email)
    assert [(row["number"], row["verified_at"]) for row in found["phone_numbers"]] == [(number, None)]
    assert {"device 0", "device 1", "device 2"} <= {row["agent"] for row in found["sessions"]}
    assert len({row["id"] for row in found["sessions"]}) == len(found["sessions"]) == 4, "none twice, none missed"
    assert {"registered", "email_confirmed", "logged_in", "key_created"} <= {row["kind"] for row in found["security_events"]}
    assert [(row["organisation_id"], row["role"]) for row in found["staff"]] == [(str(boss.organisation_id), "Bar tender")]
    assert {row["organisation_id"] for row in found["staff_invitations"]} == {
        str(boss.organisation_id), str(elsewhere.organisation_id)
    }  # fmt: skip
    assert {row["email"] for row in found["staff_invitations"]} == {ada.account.email}
    assert [row["name"] for row in found["api_keys_made"]] == ["my script"]
    everything = msgspec.json.encode(found).decode()
    assert secret[:12] not in everything and "hash" not in everything and "argon2" not in everything


async def test_who_only_typed_an_address_is_told_of_no_invitation_to_it(world: World) -> None:
    _, boss = await world.owner()
    email = world.address("typed")
    await world.identity.staff.invite(boss, email, "agent")
    typed = await world.identity.persons.register(STRANGER, NewAccount(email, PASSWORD, "Eve"))
    ctx = await world.as_(typed)
    assert (await told(world, ctx))["staff_invitations"] == []
    await world.identity.persons.confirm_by_code(STRANGER, email, await world.code(email))
    assert len((await told(world, ctx))["staff_invitations"]) == 1, "or the rest proves nothing"
    with pytest.raises(Unauthenticated):
        await told(world, STRANGER)
