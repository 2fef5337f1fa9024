"""`forecourt events rebuild`: the house's sums, made anew from what happened."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from msgspec import inspect
from tests.conftest import FreshDatabase
from tests.journeys.conftest import environ_for

from forecourt import tallies
from forecourt.app import House
from forecourt.engines import EngineError
from forecourt.eventlog import find, tell
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.events import Dispatcher, decode, emit, registered_events, wordless
from forecourt.kernel.jobs import Tidy, housekeeping
from forecourt.kernel.money import Money
from forecourt.kernel.rebuild import CannotRebuild, Rebuilt, rebuild
from forecourt.modules.booking.contract import BookingExpired, Purpose
from forecourt.modules.identity.contract import AccountRegistered, Change, SecurityKind, SecurityNoted, StaffLimited

SPOIL = "update kernel.tally set total = total + 1000"


async def test_the_sums_of_the_house_are_made_anew_by_a_command(
    house: House, house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path: Path
) -> None:
    async with house.database.module("kernel").tx(service_context("tests")) as tx:
        emit(tx, AccountRegistered(account_id=uuid4()))
    await Dispatcher(house.database, house_database_url, [tallies.subscription()]).drain()
    environ = environ_for(tmp_path, house_database_url, house_admin_url, valkey_url) | {"COLUMNS": "200"}
    command = [sys.executable, "-m", "forecourt", "events", "rebuild", tallies.SUBSCRIBER]
    done = await asyncio.to_thread(subprocess.run, command, env=environ, check=False, capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "kernel.tallies was made anew of" in done.stdout


def test_what_a_command_says_of_subscribers_and_of_what_it_did(house: House) -> None:
    assert find(house.subscriptions, tallies.SUBSCRIBER).state is not None
    with pytest.raises(EngineError, match="no subscriber called") as refused:
        find(house.subscriptions, "nobody.knows")
    assert refused.value.cure == "These can be rebuilt: kernel.tallies."
    at = datetime(2026, 5, 1, tzinfo=UTC)
    assert tell("a.b", Rebuilt(at, True, 12_000)) == "a.b was made anew of 12,000 events, from the beginning."
    assert tell("a.b", Rebuilt(at, False, 1)) == "a.b was made anew of 1 events, on the snapshot of 2026-05-01."


async def test_of_the_house_only_its_sums_are_made_of_events_alone_and_all_else_is_refused(house: House) -> None:
    """Whoever comes to keep a state is asked here whether it names anybody, and whether it does nothing else."""
    assert [s.subscriber for s in house.subscriptions if s.state is not None] == ["kernel.tallies"]
    acting = [s for s in house.subscriptions if s.state is None]
    assert {"audit.trail", "notifications.people", "booking.live"} <= {s.subscriber for s in acting}
    for subscription in acting:
        with pytest.raises(CannotRebuild, match="acts on events"):
            await rebuild(house.database, subscription)


ABOUT_A_PERSON = {
    "account.status_changed reason",
    "booking.cancelled reason",
    "booking.declined reason",
    "credits.granted reason",
    "credits.reversed reason",
    "payment.refunded reason",
    "security.noted detail",
    *(f"staff.limited changes {field}" for field in ("field", "before", "after")),
}
"""What somebody, or their browser, wrote of the person `account_id`: it is emptied in the log and in the record when that account
is erased (`Event.personal`)."""
ABOUT_A_PLACE = {
    "block.placed reason",
    "organisation.changed reason",
    "venue.closure_added closure reason",
    "venue.closure_removed closure reason",
}
"""What an organisation's people, or the platform's, wrote of a place or the organisation: it goes with its month, and stays in
the record. No state has it."""
CHANGED = (
    *("organisation.changed", "organisation.policies_changed", "resource.changed", "venue.changed", "venue.prices_changed"),
    "role.changed",
)
OF_ORGANISATIONS = {f"{event} changes {field}" for event in CHANGED for field in ("field", "before", "after")}
"""What an organisation says of itself and its places, rights and prices."""
WORDS_OF_OURS = {
    "account.registered language",
    "api_key.created permissions",
    "audit.exported about",
    "audit.exported by",
    "audit.exported action",
    "audit.exported head",
    "chat.moderated action",
    "chat.room_changed fields",
    "ledger.disagrees faults",
    "media.attached owner_module",
    "media.attached owner_kind",
    "media.removed owner_module",
    "media.removed owner_kind",
    "promo.changed code",
    "staff.invited role",
    "staff.joined role",
    "staff.role_changed role",
    "staff.role_changed before",
    "staff.uninvited role",
}
"""Kinds, ids and names that a house gives its own things."""


def texts(name: str, fields: type[msgspec.Struct]) -> set[str]:
    """The fields in which words may stand, at any depth. A currency is none."""
    found: set[str] = set()

    def look(kind: inspect.Type, path: str) -> None:
        match kind:
            case inspect.StrType() | inspect.AnyType() | inspect.DictType() | inspect.CustomType() | inspect.RawType():
                found.add(path)
            case inspect.StructType(fields=inner) if kind.cls is not Money:
                for field in inner:
                    look(field.type, f"{path} {field.name}")
            case inspect.UnionType(types=kinds):
                for each in kinds:
                    look(each, path)
            case inspect.ListType() | inspect.VarTupleType() | inspect.SetType() | inspect.FrozenSetType():
                look(kind.item_type, path)
            case inspect.TupleType(item_types=kinds):
                for each in kinds:
                    look(each, path)
            case _:  # numbers, times, ids and kinds
                pass

    look(inspect.type_info(fields), name)
    return found


class Told(msgspec.Struct):
    account_id: UUID
    email: str | None
    contacts: list[dict[str, str]]
    anything: Any


def test_what_is_emptied_of_an_event_can_still_be_read() -> None:
    """A subscriber may come to it after somebody is erased."""
    person, org = uuid4(), uuid4()
    noted = SecurityNoted(account_id=person, kind=SecurityKind.NEW_DEVICE, detail="Firefox on a train")
    limited = StaffLimited(organisation_id=org, account_id=person, changes=(Change("networks", "", "192.0.2.0/24"),))
    for event, emptied in ((noted, {"detail": ""}), (limited, {"changes": ()})):
        left = decode(type(event), 1, wordless(event.event_name, msgspec.json.encode(event)))
        assert left == msgspec.structs.replace(event, **emptied)


def test_no_event_carries_a_name_or_an_address_so_that_the_log_names_nobody_whose_account_is_erased(house: House) -> None:
    """Events name people by id; who that is stands in rows that can be erased. A new field with words is looked at here."""
    ours = {name: kind for name, kind in registered_events().items() if kind.__module__.startswith("forecourt.")}
    found = set().union(*(texts(name, kind) for name, kind in ours.items()))
    assert found == ABOUT_A_PERSON | ABOUT_A_PLACE | OF_ORGANISATIONS | WORDS_OF_OURS
    personal = {name: kind for name, kind in ours.items() if kind.personal}
    assert {" ".join(text.split()[:2]) for text in ABOUT_A_PERSON} == {
        f"{n} {f}" for n, k in personal.items() for f in k.personal
    }
    assert all("account_id" in kind.__struct_fields__ for kind in personal.values()), "whose words they are is found by it"
    assert texts("it", Told) == {"it email", "it contacts", "it anything"}, "the control"


async def test_a_snapshot_of_the_sums_names_nobody_and_the_months_it_stands_for_are_gone(fresh_database: FreshDatabase) -> None:
    database = await fresh_database.connect()
    link = await fresh_database.admin()
    subscription = tallies.subscription()
    person, org, place, now = uuid4(), uuid4(), uuid4(), datetime.now(UTC)
    expired = BookingExpired(
        organisation_id=org,
        venue_id=place,
        resource_id=place,
        booking_id=place,
        account_id=person,
        start=now,
        end=now + timedelta(hours=1),
        purpose=Purpose.WORKOUT,
        team_size=2,
        price=Money(2500, "EUR"),
    )
    try:
        async with database.module("kernel").tx(service_context("tests")) as tx:
            emit(tx, AccountRegistered(account_id=person))
            emit(tx, expired)
        await Dispatcher(database, fresh_database.url, [subscription]).drain()
        rows = [tuple(r) for r in await link.fetch("select name, label, total from kernel.tally order by 1, 2")]
        written = await link.fetchval("select string_agg(convert_from(payload, 'UTF8'), '') from kernel.event")
        assert all(str(id) in written for id in (person, org, place)), "the control"
        handler, _ = housekeeping(database, FixedClock(now + timedelta(days=365)), [subscription])
        await handler.run(service_context("kernel.tidy"), Tidy())
        left = await link.fetch("select e::text as row from kernel.event e union all select s::text from kernel.snapshot s")
        assert len(left) == 1
        assert "users_registered" in left[0]["row"]
        assert not any(str(id) in left[0]["row"] for id in (person, org, place))
        await link.execute(SPOIL)
        assert (await rebuild(database, subscription)).handled == 0
        assert [tuple(r) for r in await link.fetch("select name, label, total from kernel.tally order by 1, 2")] == rows
    finally:
        await link.close()
