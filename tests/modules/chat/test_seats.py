"""A person's rooms are looked for where they are: that is written with the membership, and goes with it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import pytest
from tests.conftest import FreshDatabase
from tests.modules.chat.conftest import Town, id_of, town_on
from tests.statements import counted

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.errors import NotFound
from forecourt.layout import ROOT
from forecourt.modules.booking.contract import BookingStatus
from forecourt.modules.chat import queries
from forecourt.modules.chat.contract import LastRoomOwner, RoomFull, RoomKind
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.keeping import room_of_booking
from forecourt.modules.chat.service.membership import NewMembers
from forecourt.modules.chat.service.messages import MessageEdit, ThreadQuery
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.reading import SearchQuery, Setting
from forecourt.modules.chat.service.rooms import NewChannel, NewRoom

FILL = (ROOT / "modules" / "chat" / "migrations" / "0005_fill_seats.sql").read_text()
BY_HAND = "insert into chat.member (room_id, account_id, role, joined_at) values ($1, $2, 'member', now())"
SEATS = "select s.room_id from chat.seat s where s.account_id = $1 order by 1"
WAITING = "select exists (select from pg_locks l where not l.granted and pg_backend_pid() = any(pg_blocking_pids(l.pid)))"
ROOMS = "select m.room_id from chat.member m where m.account_id = $1 order by 1"


async def seats(town: Town, who: Context) -> list[UUID]:
    """Where somebody sits; and that it is where they are a member."""
    async with town.chat.db.read(who) as tx:
        sits, member = [[r[0] for r in await tx.connection.fetch(sql, id_of(who))] for sql in (SEATS, ROOMS)]
    assert sits == member
    return sits


async def listed(town: Town, who: Context) -> list[UUID]:
    return [r.id for r in (await town.chat.mine(who, 100, None)).items]


@pytest.fixture
async def without_trigger(fresh_database: FreshDatabase) -> Town:
    """The town on a database that seats nobody by itself, as those of many servers."""
    connection = await fresh_database.admin()
    await connection.execute("drop trigger seat_follows on chat.member")
    await connection.close()
    return town_on(await fresh_database.connect())


# --- exact, whoever comes and goes


async def test_seats_are_what_the_memberships_are(town: Town) -> None:
    await come_and_go(town)


async def test_the_program_keeps_them_so_where_no_trigger_does(without_trigger: Town) -> None:
    await come_and_go(without_trigger)


async def come_and_go(town: Town) -> None:
    """Everything by which somebody gets into a room or out of it."""
    chat, ada, ben, cleo = town.chat, town.ada, town.ben, town.cleo
    direct = (await chat.create(ada, NewRoom(RoomKind.DIRECT, member_ids=[id_of(ben)]))).room.id
    group = await town.group(ben)
    for who in (ada, ben):
        assert await seats(town, who) == sorted([direct, group])
    assert (await seats(town, cleo), await listed(town, cleo)) == ([], [])

    await chat.add(ben, group, NewMembers([id_of(cleo), id_of(ada)]))  # Ada is there already
    assert await seats(town, cleo) == await listed(town, cleo) == [group]
    await chat.leave(cleo, group)
    assert await seats(town, cleo) == await listed(town, cleo) == []
    await chat.add(ada, group, NewMembers([id_of(cleo)]))
    await chat.remove(ada, group, id_of(cleo))
    assert await seats(town, cleo) == []
    await chat.add(ada, group, NewMembers([id_of(cleo)]))
    await chat.moderate(ada, group, Moderation(ModerationAction.BAN, id_of(cleo)))
    assert await seats(town, cleo) == []
    assert await seats(town, ben) == sorted([direct, group])  # the control: nobody else lost one

    public = (await chat.create_channel(ada, uuid4(), NewChannel("Everybody", public=True))).id
    await chat.add(cleo, public, NewMembers())
    assert await seats(town, cleo) == await listed(town, cleo) == [public]
    with pytest.raises(LastRoomOwner):
        await chat.leave(ada, public)
    assert public in await seats(town, ada)

    organisation = uuid4()
    booking = town.books.put(organisation, ada, ben, cleo)
    await chat.seat_party(service_context("tests", organisation), booking)
    party = room_of_booking(booking)
    assert await seats(town, cleo) == sorted([public, party])
    town.books.parties[booking] = [id_of(ada), id_of(ben)]
    await chat.seat_party(service_context("tests", organisation), booking)
    town.books.become(booking, BookingStatus.CANCELLED)
    await chat.seat_party(service_context("tests", organisation), booking)
    assert await seats(town, cleo) == [public]
    assert await seats(town, ada) == sorted([direct, group, public, party])


async def test_somebody_whom_two_add_at_once_has_one_seat(town: Town) -> None:
    group, adding = await town.group(town.ben), NewMembers([id_of(town.cleo)])
    joined = await asyncio.gather(*(town.chat.add(who, group, adding) for who in [town.ada, town.ben] * 3))
    assert sum(len(members) for members in joined) == 1
    assert await seats(town, town.cleo) == await listed(town, town.cleo) == [group]


async def test_who_did_not_get_in_has_no_seat(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    group = await town.group(town.ben)
    monkeypatch.setattr("forecourt.modules.chat.rules.room_size", lambda kind: 2)
    with pytest.raises(RoomFull):
        await town.chat.add(town.ada, group, NewMembers([id_of(town.cleo)]))
    assert await seats(town, town.cleo) == await listed(town, town.cleo) == []


# --- memberships that the program did not write: the release before this one, bulk


async def test_a_membership_of_a_program_that_does_not_know_of_seats_is_found(town: Town) -> None:
    group, stays = await town.group(town.ben), await town.group(town.ben)
    async with town.chat.db.tx(service_context("tests")) as tx:
        await queries.open_as_the_house(tx, group)
        await tx.connection.execute(BY_HAND, group, id_of(town.cleo))
    assert await seats(town, town.cleo) == await listed(town, town.cleo) == [group]
    async with town.chat.db.tx(service_context("tests")) as tx:
        await queries.open_as_the_house(tx, group)
        await tx.connection.execute("delete from chat.member where room_id = $1 and account_id <> $2", group, id_of(town.ada))
    assert await seats(town, town.cleo) == await listed(town, town.cleo) == []
    assert await seats(town, town.ben) == [stays]
    assert await seats(town, town.ada) == sorted([group, stays])


async def test_memberships_from_before_are_filled_in(without_trigger: Town, fresh_database: FreshDatabase) -> None:
    town = without_trigger
    group, other = await town.group(town.ben), await town.group(town.cleo)
    connection = await fresh_database.admin()
    try:
        await connection.execute("delete from chat.seat where account_id <> $1", id_of(town.cleo))
        assert (await listed(town, town.ada), await listed(town, town.cleo)) == ([], [other])
        async with connection.transaction():
            await connection.execute(FILL)
        async with connection.transaction():
            await connection.execute("set local role fc_chat")
            with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
                await connection.execute(FILL)  # whoever sees a part of the rows fills in nothing
    finally:
        await connection.close()
    assert await seats(town, town.ada) == sorted([group, other])
    assert (await seats(town, town.ben), await seats(town, town.cleo)) == ([group], [other])


async def waited_for(connection: Any, other: asyncio.Task[Any]) -> None:
    """Until `other` waits for what this connection's transaction holds, or need not and is done."""
    async with asyncio.timeout(20):
        while not other.done() and not await connection.fetchval(WAITING):
            await asyncio.sleep(0.01)


async def test_who_leaves_while_they_are_filled_in_has_none_afterwards(town: Town, admin_url: str) -> None:
    """The fill has read the membership and is not done: leaving waits for it, and takes along what it wrote."""
    group = await town.group(town.ben)
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("delete from chat.seat where room_id = $1", group)  # as before the fill
        async with connection.transaction():
            await connection.execute(FILL)
            leaving = asyncio.create_task(town.chat.leave(town.ben, group))
            await waited_for(connection, leaving)
        await leaving
    finally:
        await connection.close()
    assert await seats(town, town.ben) == await listed(town, town.ben) == []
    assert await seats(town, town.ada) == [group]  # the control: who stayed was filled in


async def test_who_was_leaving_when_they_are_filled_in_gets_none(town: Town, admin_url: str) -> None:
    group = await town.group(town.ben)
    connection = await asyncpg.connect(admin_url)
    try:
        await connection.execute("delete from chat.seat where room_id = $1", group)  # as before the fill
        async with town.chat.db.tx(service_context("tests")) as tx:
            await queries.open_as_the_house(tx, group)
            assert await queries.delete_member(tx, group, id_of(town.ben))
            filling = asyncio.create_task(filled(connection))
            await waited_for(tx.connection, filling)
        await filling
    finally:
        await connection.close()
    assert await seats(town, town.ben) == []
    assert await seats(town, town.ada) == [group]


async def filled(connection: Any) -> None:
    async with connection.transaction():
        await connection.execute(FILL)


# --- nobody else's


async def test_a_message_of_a_room_that_one_is_not_in_is_no_message(town: Town) -> None:
    group = await town.group(town.ben)
    mine = await town.group(town.dan, owner=town.cleo)
    message = await town.say(town.ben, group, "Between us")
    for who in (town.cleo, town.directory.add("Nobody Yet")):  # in another room, and in none
        with pytest.raises(NotFound):
            await town.chat.thread(who, message.id, ThreadQuery())
        with pytest.raises(NotFound):
            await town.chat.edit(who, message.id, MessageEdit("Mine"))
    assert (await town.chat.thread(town.ada, message.id, ThreadQuery())).first is not None  # the control
    await town.chat.leave(town.ben, group)
    with pytest.raises(NotFound):
        await town.chat.edit(town.ben, message.id, MessageEdit("I was there"))
    async with town.chat.db.read(town.cleo) as tx:
        assert [tuple(r) for r in await tx.connection.fetch("select s.account_id, s.room_id from chat.seat s")] == [
            (id_of(town.cleo), mine)
        ]


async def test_nobody_is_seated_in_a_room_that_is_not_opened(town: Town) -> None:
    group = await town.group(town.ben)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="row-level security"):
        async with town.chat.db.tx(town.cleo) as tx:
            await tx.connection.execute("insert into chat.seat values ($1, $2)", id_of(town.cleo), group)
    async with town.chat.db.tx(town.cleo) as tx:
        assert await tx.connection.execute("delete from chat.seat where room_id = $1", group) == "DELETE 0"
    assert await seats(town, town.ben) == [group]


# --- what it costs


async def test_lists_ask_where_the_person_sits_and_who_sits_nowhere_is_asked_no_further(town: Town) -> None:
    chat = town.chat
    room = await town.group(town.ben)
    message = await town.say(town.ben, room, "At six?")

    async def asked(who: Context) -> dict[str, int]:
        found: dict[str, int] = {}
        for what, doing in {
            "rooms": lambda: chat.mine(who, 10, None),
            "unread": lambda: chat.unread(who),
            "search": lambda: chat.search(who, SearchQuery(q="six")),
            "search in a room": lambda: chat.search(who, SearchQuery(q="six", room_id=room)),
            "channels": lambda: chat.channels_of(who, uuid4()),
            "open rooms": lambda: chat.open_rooms(who, uuid4(), "", 10, None),
            "a message": lambda: address(chat, who, message.id),
            "choosing": lambda: chat.choose(who, Setting(receipts=False)),
        }.items():
            with counted() as said:
                await doing()
            found[what] = len(said)
        return found

    assert await asked(town.ben) == {
        "rooms": 2,
        "unread": 2,
        "search": 2,
        "search in a room": 1,
        "channels": 2,
        "open rooms": 2,
        "a message": 2,
        "choosing": 4,
    }
    nobody = town.directory.add("Nobody Yet")
    assert await asked(nobody) == {
        "rooms": 1,
        "unread": 1,
        "search": 1,
        "search in a room": 1,
        "channels": 1,
        "open rooms": 2,
        "a message": 1,
        "choosing": 3,
    }
    with counted() as said:
        await chat.mine_one(town.ben, room)
    assert len(said) == 1, "a room that is named lies where it lies"


async def address(chat: ChatService, who: Context, message_id: UUID) -> None:
    with contextlib.suppress(NotFound):
        await chat.address(who, message_id)


async def test_the_people_of_direct_rooms_are_named_and_what_waits_is_counted(town: Town) -> None:
    """Lists say what they said before they asked for seats."""
    ada, ben = town.ada, town.ben
    direct = (await town.chat.create(ben, NewRoom(RoomKind.DIRECT, member_ids=[id_of(ada)]))).room.id
    group = await town.group(ben)
    await town.say(ada, direct, "Are you there?")
    await town.say(ada, group, f"@[Ben]({id_of(ben)}) at six?")
    rooms = {r.id: (r.title, r.other_id, r.unread, r.mentions) for r in (await town.chat.mine(ben, 10, None)).items}
    assert rooms == {direct: ("Ada Lind", id_of(ada), 1, 0), group: ("Thursday four", None, 1, 1)}
    assert [r.title for r in (await town.chat.mine(ada, 10, None)).items if r.id == direct] == ["Ben Oduya"]
    unread = await town.chat.unread(ben)
    assert (unread.messages, unread.mentions, unread.rooms) == (2, 1, 2)
    org, other = uuid4(), uuid4()
    near = (await town.chat.create_channel(ben, org, NewChannel("Near", public=True))).id
    far = (await town.chat.create_channel(ada, org, NewChannel("Next door", public=True))).id
    away = (await town.chat.create_channel(ada, other, NewChannel("Away", public=True))).id
    assert [c.id for c in await town.chat.channels_of(ben, org)] == [near]
    found = [(await town.chat.open_rooms(ben, o, "", 10, None)).items for o in (org, other)]
    assert [[(r.id, r.joined) for r in rooms] for rooms in found] == [[(near, True), (far, False)], [(away, False)]]
