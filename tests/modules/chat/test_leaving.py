"""Whoever is erased is forgotten: what they wrote is gone, what others wrote and read is as it was. And who asks is told all."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
from tests.conftest import FreshDatabase
from tests.modules.chat.conftest import Town, id_of, town_on
from tests.told import everything

from forecourt.kernel.context import Context, service_context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Invalid, NotFound, Unauthenticated
from forecourt.kernel.events import Envelope
from forecourt.kernel.records import Records
from forecourt.kernel.topics import Position
from forecourt.layout import ROOT
from forecourt.modules.chat import markup, rules
from forecourt.modules.chat import records as chat_records
from forecourt.modules.chat.contract import Notify, QuietHours, RoomArchived, RoomKind, RoomRole
from forecourt.modules.chat.reactions import subscriptions
from forecourt.modules.chat.records import records
from forecourt.modules.chat.service import forgetting
from forecourt.modules.chat.service.keeping import room_of_booking
from forecourt.modules.chat.service.membership import NewMembers
from forecourt.modules.chat.service.messages import HistoryQuery, MessageEdit, NewMessage
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.reading import Setting
from forecourt.modules.chat.service.rooms import NewChannel, NewRoom
from forecourt.modules.identity.contract import AccountErased

HOUSE = service_context("chat.forget")
FILL = (ROOT / "modules" / "chat" / "migrations" / "0009_fill_traces.sql").read_text()
WORD = "quince"
"""In everything that Ada writes, and in nothing else."""
NAME = "Lind"


@dataclass
class Rooms:
    """Where Ada was heard."""

    group: UUID
    unnamed: UUID
    channel: UUID
    direct: UUID
    left: UUID
    booking: UUID
    organisation: UUID
    file: UUID


async def everywhere(town: Town) -> Rooms:
    """Ada does in every kind of room what can be done, and others answer her."""
    chat, ada, ben, cleo, dan = town.chat, town.ada, town.ben, town.cleo, town.dan
    handle = f"a{uuid4().hex[:10]}"
    await town.handle(ada, handle)
    news = NewChannel("News", public=False, member_ids=[id_of(ben), id_of(cleo)])
    rooms = Rooms(
        group=await town.group(ben, cleo),
        unnamed=(await chat.create(ada, NewRoom(RoomKind.GROUP, None, [id_of(ben), id_of(dan)]))).room.id,
        channel=(await chat.create_channel(ada, uuid4(), news)).id,
        direct=(await chat.create(ada, NewRoom(RoomKind.DIRECT, member_ids=[id_of(ben)]))).room.id,
        left=await town.group(ada, cleo, owner=ben),
        booking=UUID(int=0),
        organisation=uuid4(),
        file=town.media.send(ada),
    )
    booking = town.books.put(rooms.organisation, ada, ben, cleo)
    await chat.seat_party(service_context("tests", rooms.organisation), booking)
    rooms.booking = room_of_booking(booking)
    for room in (rooms.group, rooms.unnamed, rooms.channel, rooms.direct, rooms.left, rooms.booking):
        asked = await town.say(ben, room, "Who plays on Thursday?")
        await chat.react(ada, asked.id, "👍")
        answer = await town.say(ada, room, f"I do, with a {WORD}", reply_to=asked.id)
        await chat.edit(ada, answer.id, MessageEdit(f"I do, with two {WORD}s"))
        await chat.react(ben, answer.id, "🎾")
        await town.say(ben, room, "Good", reply_to=answer.id)
        named = await town.say(ben, room, f"@[Ada Lind]({id_of(ada)}) plays")
        await chat.edit(ben, named.id, MessageEdit(f"Both @{handle} and @[Ada Lind]({id_of(ada)}) play"))
        await chat.read(ben, room, 4)
    await chat.send(ada, rooms.group, NewMessage(uuid4().hex, WORD, attachment_ids=[rooms.file]))
    pinned = await town.say(ada, rooms.group, f"The {WORD} is in the locker")
    await chat.pin(ben, rooms.group, pinned.id)
    await chat.choose(ada, Setting(receipts=False, quiet=QuietHours("22:00", "07:00", "Europe/London")))
    await chat.leave(ada, rooms.left)
    return rooms


async def erased(town: Town, who: Context, times: int = 1) -> None:
    """The account is no more for the rest of the house, and chat's job has run."""
    town.directory.cards.pop(id_of(who), None)
    async with town.people._db.tx(who) as tx:
        await tx.connection.execute("delete from people.profile where account_id = $1", id_of(who))
    town.chat.names._known.clear()
    for _ in range(times):
        await town.chat.forget(HOUSE, id_of(who))


async def columns_with(connection: Any, schema: str, word: str) -> list[str]:
    """The columns of a schema in which a word stands, whatever they are made of."""
    columns = await connection.fetch(
        "select table_name, column_name, data_type from information_schema.columns where table_schema = $1 order by 1, 2", schema
    )
    found: list[str] = []
    for table, column, kind in columns:
        text = f"convert_from({column}, 'latin1')" if kind == "bytea" else f"{column}::text"
        sql = f"select exists (select from {schema}.{table} where strpos({text}, $1) > 0)"
        if await connection.fetchval(sql, word):
            found.append(f"{table}.{column}")
    return found


async def others_say(town: Town, who: Context, room: UUID) -> list[Any]:
    """What others wrote, but for the reactions of and answers to who goes, and for the name in a mention."""
    said = (await town.chat.history(who, room, HistoryQuery(after_seq=0, limit=100))).items
    bare = {m.id: rules.without_name(m.text, m.html, id_of(town.ada)) for m in said}
    return [
        msgspec.structs.replace(m, reactions=[], replies=0, text=bare[m.id][0], html=bare[m.id][1])
        for m in said
        if m.sender_id != id_of(town.ada)
    ]


# --- forgetting


async def test_nothing_of_what_they_wrote_is_left_and_what_others_wrote_is_as_it_was(fresh_database: FreshDatabase) -> None:
    town = town_on(await fresh_database.connect())
    rooms = await everywhere(town)
    connection = await fresh_database.admin()
    try:
        before = await columns_with(connection, "chat", WORD)
        assert {"edit.body", "event.data", "message.body", "message.html", "message.words"} <= set(before), "the control"
        assert "room.name" in await columns_with(connection, "chat", "Ada"), "the control"
        assert {"edit.body", "message.body", "message.html"} <= set(await columns_with(connection, "chat", NAME)), "the control"
        await town.say(town.cleo, rooms.group, "I bring balls")
        said = {room: await others_say(town, town.ben, room) for room in (rooms.group, rooms.channel, rooms.direct, rooms.left)}
        waits = await town.chat.unread(town.ben)

        await erased(town, town.ada)
        assert await columns_with(connection, "chat", WORD) == []
        assert await columns_with(connection, "chat", NAME) == []
        assert await columns_with(connection, "chat", "Ada") == []
        assert await connection.fetchval("select count(*) from chat.reaction where account_id = $1", id_of(town.ada)) == 0
        for table in ("member", "seat", "setting", "ban", "mention"):
            sql = f"select count(*) from chat.{table} where account_id = $1"
            assert await connection.fetchval(sql, id_of(town.ada)) == 0, table
        # The files are let go through media, as with any deleted message.
        let_go = "select count(*) from kernel.job where entrypoint = 'chat.let_go' and convert_from(payload, 'utf8') like $1"
        assert await connection.fetchval(let_go, f"%{rooms.file}%") == 1
    finally:
        await connection.close()

    for room, words in said.items():
        assert await others_say(town, town.ben, room) == words
        history = (await town.chat.history(town.ben, room, HistoryQuery(after_seq=0, limit=100))).items
        assert [m.deleted for m in history] == [m.sender_id == id_of(town.ada) for m in history]
        text = history[-1].text if room != rooms.group else history[3].text
        assert text.startswith("Both @a") and text.endswith(f"and @[-]({id_of(town.ada)}) play"), "the handle is Ben's word"
        assert history[0].replies == 1, "what Ben answered stays in the thread, what she did is gone from it"
        assert not history[0].reactions
    # What waits for Ben is what Cleo said, in the list and in the sum.
    rows = {r.id: r.unread for r in (await town.chat.mine(town.ben, 100, None)).items if r.unread}
    assert rows == {rooms.group: 1}
    assert (await town.chat.unread(town.ben)).messages == 1 < waits.messages, "the control: more waited"


async def test_rooms_go_on_without_them(town: Town) -> None:
    rooms = await everywhere(town)
    await erased(town, town.ada)
    chat, ben = town.chat, town.ben
    group = await chat.look(ben, rooms.group)
    assert (group.member_count, group.pins, group.name) == (2, [], "Thursday four")
    for room in (group, await chat.look(ben, rooms.channel)):
        assert sorted(m.role for m in room.members) == [RoomRole.MEMBER, RoomRole.OWNER], "of a channel too somebody is owner"
    assert (await chat.look(ben, rooms.unnamed)).name == "Ben, Dan", "it was called Ada, Ben, Dan by the house"
    assert (await chat.look(ben, rooms.booking)).member_count == 2
    for room in (rooms.group, rooms.channel, rooms.unnamed, rooms.booking):
        await town.say(ben, room, "And now?")

    direct = await chat.look(ben, rooms.direct)
    assert (direct.other_id, direct.member_count, direct.archived) == (id_of(town.ada), 1, True)
    said = (await chat.history(ben, rooms.direct, HistoryQuery())).items
    assert [m.text for m in said][:3] == ["Who plays on Thursday?", "", "Good"]
    with pytest.raises(RoomArchived):
        await town.say(ben, rooms.direct, "Anybody there?")
    for language, name in (
        ("en", "Deleted account"),
        ("pt", "Conta apagada"),
        ("ur", "مٹایا گیا اکاؤنٹ"),
        ("", "Deleted account"),
    ):
        reader = msgspec.structs.replace(ben, language=language)
        assert (await chat.look(reader, rooms.direct)).title == name
        assert (await chat.mine_one(reader, rooms.direct)).title == name
        assert {r.title for r in (await chat.mine(reader, 100, None)).items if r.id == rooms.direct} == {name}
    with pytest.raises(Invalid):
        await chat.create(ben, NewRoom(RoomKind.DIRECT, member_ids=[id_of(town.ada)]))


async def test_the_party_of_a_booking_is_seated_without_them(town: Town) -> None:
    """The booking keeps an id that is nobody's."""
    organisation = uuid4()
    booking = town.books.put(organisation, town.ada, town.ben, town.cleo)
    await town.chat.seat_party(service_context("tests", organisation), booking)
    await erased(town, town.ada)
    await town.chat.seat_party(service_context("tests", organisation), booking)
    members = (await town.chat.look(town.ben, room_of_booking(booking))).members
    assert {m.account_id for m in members} == {id_of(town.ben), id_of(town.cleo)}


class Killed(Exception):
    pass


async def picture(town: Town, room: UUID) -> Any:
    return (await town.scene(town.ben, room))[0]


def folded(town: Town, room: UUID, scene: Any, since: int) -> Any:
    """An older picture with what was announced since."""
    scene = msgspec.json.decode(msgspec.json.encode(scene), type=rules.Scene)
    told = [e for e in town.wire.numbered(room) if e.seq is not None and e.seq > since]
    assert [e.seq for e in told] == list(range(since + 1, since + 1 + len(told)))
    for event in told:
        rules.after(scene, event.type, bytes(event.data))
    return scene


async def test_killed_anywhere_it_goes_on_and_whoever_follows_sees_what_is(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "WORDS_AT_ONCE", 2)
    monkeypatch.setattr(forgetting, "STRETCH", 3)
    rooms = await everywhere(town)
    followed = {room: await town.scene(town.ben, room) for room in (rooms.group, rooms.channel, rooms.direct, rooms.left)}
    begun = deaths = 0

    def killing(after: int) -> Callable[..., Any]:
        @asynccontextmanager
        async def tx(ctx: Context, **more: Any) -> AsyncGenerator[Any, None]:
            nonlocal begun
            async with real(ctx, **more) as one:
                yield one
                begun += 1
                if begun == after:
                    raise Killed  # before the commit: nothing of it is so

        return tx

    real = town.chat.db.tx
    for deaths in range(1, 100):
        begun = 0
        monkeypatch.setattr(town.chat.db, "tx", killing(deaths))
        try:
            await erased(town, town.ada)
        except Killed:
            assert begun == deaths
        else:
            break
        finally:
            monkeypatch.setattr(town.chat.db, "tx", real)
        for room, (stale, since) in followed.items():
            assert folded(town, room, stale, since.seq) == await picture(town, room)
    assert deaths > 5, "or it was never killed in the middle"
    for room, (stale, since) in followed.items():
        fresh = await picture(town, room)
        assert folded(town, room, stale, since.seq) == fresh
        assert not any(m.text for m in fresh.messages.values() if m.sender_id == id_of(town.ada))
        before_all = await town.chat.follow(town.ben, f"room:{room}", Position(since.epoch, 0))
        assert not before_all.recovered, "who comes back from before is told to read again"

    told = len(town.wire.frames)
    await erased(town, town.ada)
    assert len(town.wire.frames) == told, "once more changes nothing"


async def test_two_workers_at_once_tell_it_once(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "WORDS_AT_ONCE", 2)
    rooms = await everywhere(town)
    stale, since = await town.scene(town.ben, rooms.group)
    town.directory.cards.pop(id_of(town.ada))
    await asyncio.gather(*(town.chat.forget(HOUSE, id_of(town.ada)) for _ in range(3)))
    assert folded(town, rooms.group, stale, since.seq) == await picture(town, rooms.group)
    kinds = [e.type for e in town.wire.numbered(rooms.group) if e.seq is not None and e.seq > since.seq]
    assert kinds.count("member.left") == 1
    assert 2 <= kinds.count("member.forgotten") <= 4, "three messages and a reaction, two at a time at most, none twice"


async def test_thousands_of_messages_are_few_events(town: Town) -> None:
    room = await town.group(town.ben, name="The long one")
    async with town.chat.db.tx(town.ada) as tx:
        await tx.connection.execute("select set_config('forecourt.room', $1, true)", str(room))
        await tx.connection.execute(
            "insert into chat.message (room_id, seq, id, sender_id, client_id, body, html, created_at)"
            " select $1, n, gen_random_uuid(), $2, n::text, 'x', 'x', now() from generate_series(1, 1200) n",
            room,
            id_of(town.ada),
        )
        await tx.connection.execute("update chat.position set last_seq = 1200 where room_id = $1", room)
    assert (await town.chat.unread(town.ben)).messages == 1200
    await erased(town, town.ada)
    assert (await town.chat.unread(town.ben)).messages == 0
    kinds = [e.type for e in town.wire.numbered(room)]
    assert kinds.count("member.forgotten") == 3
    assert len(kinds) < 10
    # The list that shows the last of them is asked for again, once.
    assert town.wire.whispers(f"inbox:{id_of(town.ben)}") == [("chat.waiting", {"room_id": str(room), "seq": 1200})]


async def test_it_is_done_at_once_and_once_more_when_nothing_can_be_on_its_way(town: Town, db: Database) -> None:
    account_id = uuid4()
    forgets = next(s for s in subscriptions(town.chat) if s.subscriber == "chat.forgetting")
    event = AccountErased(account_id)
    async with db.module("chat").tx(HOUSE) as tx:
        await forgets.handle(tx, [Envelope(uuid4(), town.clock.now(), event.event_name, 1, None, HOUSE.actor, "", "", event)])
    async with db.module("kernel").read(HOUSE) as tx:
        sql = "select execute_after from kernel.job where entrypoint = 'chat.forget' and convert_from(payload, 'utf8') like $1"
        due = sorted(r[0] for r in await tx.connection.fetch(f"{sql} order by 1", f"%{account_id}%"))
    assert len(due) == 2
    assert due[1] - town.clock.now() == timedelta(minutes=10)


# --- traces: where they were


async def test_who_leaves_or_is_banned_leaves_a_trace(town: Town, fresh_database: FreshDatabase) -> None:
    town = town_on(await fresh_database.connect())
    chat, ada, ben, cleo = town.chat, town.ada, town.ben, town.cleo
    left, banned, stays = await town.group(ben), await town.group(ben), await town.group(ben)
    await town.say(ben, left, "I go")
    await chat.leave(ben, left)
    for who in (ben, cleo):  # Cleo was never there
        await chat.moderate(ada, banned, Moderation(ModerationAction.BAN, id_of(who)))
    connection = await fresh_database.admin()
    try:

        async def traces() -> set[tuple[UUID, UUID]]:
            return {(r[0], r[1]) for r in await connection.fetch("select account_id, room_id from chat.trace")}

        expected = {(id_of(ben), left), (id_of(ben), banned), (id_of(cleo), banned)}
        assert await traces() == expected
        # Those of before are filled in: all but rooms in which they left nothing.
        await connection.execute("delete from chat.trace")
        await connection.execute(FILL)
        assert await traces() == expected
        # A program that does not know of them lets somebody out: the trigger notes it.
        await connection.execute("delete from chat.member where room_id = $1 and account_id = $2", stays, id_of(ben))
        assert (id_of(ben), stays) in await traces()
    finally:
        await connection.close()


# --- being told


async def told_to(town: Town, who: Context) -> dict[str, list[dict[str, Any]]]:
    return await everything(town_records(town), who)


def town_records(town: Town) -> Records:
    return records(town.chat.db, town.chat.names)


async def test_everything_of_theirs_is_told_and_nothing_of_others(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    rooms = await everywhere(town)
    await town.chat.notify(town.ada, rooms.group, Notify.MENTIONS)
    await town.chat.add(town.ada, rooms.group, NewMembers([id_of(town.dan)]))
    whole = await told_to(town, town.ada)
    assert list(whole) == ["rooms", "messages", "message_edits", "reactions", "room_bans", "chat_settings"]
    assert {r["name"] for r in whole["rooms"] if r["id"] == str(rooms.direct)} == {"Ben Oduya"}
    assert {UUID(r["id"]) for r in whole["rooms"]} == {
        rooms.group, rooms.unnamed, rooms.channel, rooms.direct, rooms.booking
    }  # fmt: skip
    group = next(r for r in whole["rooms"] if r["id"] == str(rooms.group))
    assert (group["role"], group["notify"], group["kind"], group["name"]) == ("owner", "mentions", "group", "Thursday four")
    assert len(whole["messages"]) == 6 + 2, "also of the room that she left"
    assert all(WORD in m["text"] for m in whole["messages"])
    assert [m["file_ids"] for m in whole["messages"] if m["file_ids"]] == [[str(rooms.file)]]
    assert [e["text"] for e in whole["message_edits"]] == [f"I do, with a {WORD}"] * 6
    assert [r["emoji"] for r in whole["reactions"]] == ["👍"] * 6
    assert whole["chat_settings"] == [
        {"receipts": False, "quiet": {"start": "22:00", "end": "07:00", "timezone": "Europe/London", "weekdays": []}}
    ]
    assert b"Thursday?" not in msgspec.json.encode(whole), "not what Ben asked"

    # In small portions that look at little it is the same, in the same order.
    for name in ("MESSAGES_AT_ONCE", "LOOKS", "STRETCH", "RECORDS_AT_ONCE"):
        monkeypatch.setattr(chat_records, name, 2)
    assert await told_to(town, town.ada) == whole

    theirs = await told_to(town, town.cleo)
    assert {UUID(r["id"]) for r in theirs["rooms"]} == {rooms.group, rooms.channel, rooms.left, rooms.booking}
    assert not theirs["messages"] and not theirs["reactions"]


async def test_bans_are_told_to_whom_they_concern(town: Town) -> None:
    room = await town.group(town.ben, town.cleo)
    await town.chat.moderate(town.ada, room, Moderation(ModerationAction.BAN, id_of(town.ben), minutes=60))
    (ban,) = (await told_to(town, town.ben))["room_bans"]
    assert (ban["room_id"], set(ban)) == (str(room), {"room_id", "banned_at", "until"}), "not by whom"
    assert (await told_to(town, town.ada))["room_bans"] == []


async def test_what_was_never_a_place_is_none(town: Town) -> None:
    secret = await town.group(town.ben)
    await town.say(town.ben, secret, "Ours alone")
    reader = town_records(town)
    for after in ("messages nonsense", f"messages {secret}", f"messages {secret} x ", "nothing ", f"message_edits {secret} 1 x"):
        with pytest.raises(Invalid):
            await reader.records(town.ben, after)
    # A room that is not theirs has nothing for them.
    portion = await reader.records(town.dan, f"messages {secret} 0 ")
    assert portion.records == []
    with pytest.raises(Unauthenticated):
        await reader.records(HOUSE, None)


async def test_the_erased_have_no_rooms_any_more(town: Town) -> None:
    rooms = await everywhere(town)
    await erased(town, town.ada, times=2)
    assert (await town.chat.mine(town.ada, 100, None)).items == []
    with pytest.raises(NotFound):
        await town.chat.look(town.ada, rooms.group)
    whole = await told_to(town, town.ada)
    assert not any(whole[kind] for kind in ("rooms", "messages", "message_edits", "reactions", "room_bans"))


# --- names


@pytest.mark.parametrize(
    ("name", "left", "becomes"),
    [
        ("Ada, Ben, Dan", ["Ben Oduya", "Dan Wu"], "Ben, Dan"),
        ("Ada, Ben", ["Ben Oduya", "Cleo Marsh"], "Ben"),
        ("Ben, Dan", ["Dan Wu", "Ben Oduya"], "Ben, Dan"),
        ("Thursday four", ["Ben Oduya"], "Thursday four"),
        ("Balls, rackets, shoes", ["Ben Oduya"], "Balls, rackets, shoes"),
        ("Ben, and the others", ["Ben Oduya"], "Ben, and the others"),
        ("Ada", ["Ben Oduya"], "Ada"),
    ],
)
def test_a_group_that_nobody_named_is_called_by_who_is_left(name: str, left: list[str], becomes: str) -> None:
    assert rules.group_name_without(name, left) == becomes


def test_a_mention_loses_the_name_and_nothing_else() -> None:
    ada, ben = uuid4(), uuid4()
    text = f"@[Ada Lind]({str(ada).upper()}), @[Ben]({ben}), @ada: Lind plays"
    html = markup.render(text, {ada: "Ada & Co", ben: "Ben"}, {"ada": ada}).html
    bare, drawn = rules.without_name(text, html, ada)
    assert bare == f"@[-]({str(ada).upper()}), @[Ben]({ben}), @ada: Lind plays"
    assert drawn.count(">@—</span>") == 2 and "Ada" not in drawn and ">@Ben</span>" in drawn
    assert len(bare.encode()) <= len(text.encode())
    assert rules.without_name(bare, drawn, ada) == (bare, drawn), "once more changes nothing"
