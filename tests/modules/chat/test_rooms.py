"""Rooms and who is in them: what each role may do, and what nobody learns."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import uuid4

import pytest
from tests.modules.chat.conftest import Town, id_of

from forecourt.kernel.context import Context
from forecourt.kernel.errors import Forbidden, Invalid, NotFound, PreconditionFailed, Unauthenticated
from forecourt.modules.chat.contract import (
    Banned,
    FixedMembership,
    LastRoomOwner,
    Muted,
    NotAMember,
    RoomArchived,
    RoomKind,
    RoomRole,
    SlowMode,
)
from forecourt.modules.chat.service.membership import NewMembers, RoleChange
from forecourt.modules.chat.service.messages import HistoryQuery, MessageEdit, NewMessage, ThreadQuery
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.rooms import NewChannel, NewRoom, RoomPatch


async def test_two_people_have_one_direct_room_whoever_begins_and_however_often(town: Town) -> None:
    async def begin(who: Context, other: Context) -> object:
        return (await town.chat.create(who, NewRoom(RoomKind.DIRECT, member_ids=[id_of(other)]))).room.id

    rooms = await asyncio.gather(*(begin(*pair) for pair in [(town.ada, town.ben), (town.ben, town.ada)] * 5))
    assert len(set(rooms)) == 1
    assert await begin(town.ada, town.cleo) not in rooms
    again = await town.chat.create(town.ben, NewRoom(RoomKind.DIRECT, member_ids=[id_of(town.ada)]))
    assert not again.fresh
    assert again.room.title == "Ada Lind"
    with pytest.raises(FixedMembership):
        await town.chat.leave(town.ada, again.room.id)
    with pytest.raises(FixedMembership):
        await town.chat.add(town.ada, again.room.id, NewMembers([id_of(town.cleo)]))


@pytest.mark.parametrize("kind", [RoomKind.DIRECT, RoomKind.BOOKING, RoomKind.CHANNEL])
async def test_a_room_that_makes_no_sense_is_refused(town: Town, kind: RoomKind) -> None:
    with pytest.raises(Invalid):
        await town.chat.create(town.ada, NewRoom(kind))
    with pytest.raises(Invalid):
        await town.chat.create(town.ada, NewRoom(RoomKind.GROUP, "x", [uuid4()]))
    with pytest.raises(Unauthenticated):
        await town.chat.create(Context(), NewRoom(RoomKind.GROUP, "x"))


async def test_a_stranger_cannot_tell_a_private_room_from_one_that_does_not_exist(town: Town) -> None:
    room = await town.group(town.ben)
    message = await town.say(town.ada, room, "Between us")
    chat, stranger = town.chat, town.dan
    assert id_of(stranger) not in {m.account_id for m in (await chat.members(town.ada, room, 50, None)).items}
    for target, said in ((room, message.id), (uuid4(), uuid4())):
        attempts = [
            chat.look(stranger, target),
            chat.members(stranger, target, 10, None),
            chat.history(stranger, target, HistoryQuery()),
            chat.send(stranger, target, NewMessage("1", "hi")),
            chat.add(stranger, target, NewMembers()),
            chat.leave(stranger, target),
            chat.change(stranger, target, RoomPatch(name="mine"), None),
            chat.moderate(stranger, target, Moderation(ModerationAction.BAN, id_of(town.ada))),
            chat.read(stranger, target, 1),
            chat.pins(stranger, target),
            chat.pin(stranger, target, said),
            chat.thread(stranger, said, ThreadQuery()),
            chat.react(stranger, said, "👍"),
            chat.delete(stranger, said),
            chat.edits(stranger, said),
            chat.export(stranger, target, 0, 10),
            chat.follow(stranger, f"room:{target}", None),
            chat.typing(stranger, target),
        ]
        for attempt in attempts:
            with pytest.raises(NotFound):
                await attempt
    assert (await chat.history(town.ben, room, HistoryQuery())).items == [message]


async def test_a_public_channel_is_found_read_and_joined_and_a_ban_ends_that(town: Town) -> None:
    organisation = uuid4()
    channel = (await town.chat.create_channel(town.ada, organisation, NewChannel("News"))).id
    hidden = (await town.chat.create_channel(town.ada, organisation, NewChannel("Staff", public=False))).id
    found = (await town.chat.open_rooms(town.ben, organisation, "", 10, None)).items
    assert [r.id for r in found] == [channel]
    assert (await town.chat.look(town.ben, channel)).role is None
    with pytest.raises(NotAMember):
        await town.say(town.ben, channel, "hi")
    with pytest.raises(NotFound):
        await town.chat.add(town.ben, hidden, NewMembers())
    assert [m.account_id for m in await town.chat.add(town.ben, channel, NewMembers())] == [id_of(town.ben)]
    assert await town.chat.add(town.ben, channel, NewMembers()) == []
    await town.say(town.ben, channel, "hi")
    await town.chat.moderate(town.ada, channel, Moderation(ModerationAction.BAN, id_of(town.ben), minutes=10))
    assert (f"room:{channel}", id_of(town.ben)) in town.wire.revoked
    with pytest.raises(NotAMember):
        await town.say(town.ben, channel, "hi again")
    with pytest.raises(Banned):
        await town.chat.add(town.ben, channel, NewMembers())
    town.clock.advance(timedelta(minutes=11))
    assert len(await town.chat.add(town.ben, channel, NewMembers())) == 1


async def test_a_channel_is_called_something_that_can_be_read(town: Town) -> None:
    for unnamed in (NewRoom(RoomKind.CHANNEL), NewRoom(RoomKind.CHANNEL, "  ")):
        with pytest.raises(Invalid, match="needs a name"):
            await town.chat.create(town.ada, unnamed)
    with pytest.raises(Invalid, match="needs a name"):
        await town.chat.create_channel(town.ada, uuid4(), NewChannel("\u2003 "))
    assert (await town.chat.create_channel(town.ada, uuid4(), NewChannel(" News "))).name == "News"
    assert (await town.chat.create(town.ada, NewRoom(RoomKind.CHANNEL, " Old news "))).room.name == "Old news"
    group = await town.chat.create(town.ada, NewRoom(RoomKind.GROUP, "  ", [id_of(town.ben)]))
    assert group.room.name.strip(), "a group is called by its people then"


async def test_moderators_deal_with_members_and_owners_with_moderators(town: Town) -> None:
    room = await town.group(town.ben, town.cleo)
    said = await town.say(town.cleo, room, "well")
    mute = Moderation(ModerationAction.MUTE, id_of(town.cleo), minutes=5)
    with pytest.raises(Forbidden):
        await town.chat.moderate(town.ben, room, mute)
    await town.chat.set_role(town.ada, room, RoleChange(id_of(town.ben), RoomRole.MODERATOR))
    await town.chat.moderate(town.ben, room, mute)
    with pytest.raises(Muted):
        await town.say(town.cleo, room, "but")
    with pytest.raises(Muted):
        await town.chat.edit(town.cleo, said.id, MessageEdit("well, but"))
    with pytest.raises(Forbidden):
        await town.chat.moderate(town.ben, room, Moderation(ModerationAction.REMOVE, id_of(town.ada)))
    with pytest.raises(Forbidden):
        await town.chat.set_role(town.ben, room, RoleChange(id_of(town.ben), RoomRole.OWNER))
    town.clock.advance(timedelta(minutes=6))
    await town.say(town.cleo, room, "thank you")
    assert (await town.chat.edit(town.cleo, said.id, MessageEdit("well, but"))).text == "well, but"
    await town.chat.remove(town.ada, room, id_of(town.ben))
    with pytest.raises(NotFound):
        await town.chat.look(town.ben, room)


async def test_slow_mode_holds_members_and_not_moderators(town: Town) -> None:
    room = await town.group(town.ben)
    await town.chat.moderate(town.ada, room, Moderation(ModerationAction.SLOW_MODE, seconds=30))
    await town.say(town.ben, room, "one")
    town.clock.advance(timedelta(seconds=10))
    with pytest.raises(SlowMode) as slow:
        await town.say(town.ben, room, "two")
    assert slow.value.retry_after_s == 20
    await town.say(town.ada, room, "a")
    await town.say(town.ada, room, "b")
    town.clock.advance(timedelta(seconds=20))
    await town.say(town.ben, room, "two")


async def test_a_group_whose_owner_leaves_has_an_owner_and_a_channel_asks_for_one(town: Town) -> None:
    group = await town.group(town.ben, town.cleo)
    await town.chat.set_role(town.ada, group, RoleChange(id_of(town.cleo), RoomRole.MODERATOR))
    await town.chat.leave(town.ada, group)
    roles = {m.account_id: m.role for m in (await town.chat.members(town.ben, group, 10, None)).items}
    assert roles == {id_of(town.ben): RoomRole.MEMBER, id_of(town.cleo): RoomRole.OWNER}
    channel = (await town.chat.create_channel(town.ada, uuid4(), NewChannel("News", member_ids=[id_of(town.ben)]))).id
    with pytest.raises(LastRoomOwner):
        await town.chat.leave(town.ada, channel)
    with pytest.raises(LastRoomOwner):
        await town.chat.set_role(town.ada, channel, RoleChange(id_of(town.ada), RoomRole.MEMBER))
    await town.chat.set_role(town.ada, channel, RoleChange(id_of(town.ben), RoomRole.OWNER))
    await town.chat.leave(town.ada, channel)


async def test_an_archived_room_is_read_and_not_written(town: Town) -> None:
    room = await town.group(town.ben)
    message = await town.say(town.ben, room, "last words")
    changed = await town.chat.change(town.ada, room, RoomPatch(archived=True), None)
    for attempt in (
        town.say(town.ben, room, "more"),
        town.chat.react(town.ben, message.id, "👍"),
        town.chat.pin(town.ada, room, message.id),
    ):
        with pytest.raises(RoomArchived):
            await attempt
    assert (await town.chat.history(town.ben, room, HistoryQuery())).items == [message]
    with pytest.raises(PreconditionFailed):
        await town.chat.change(town.ada, room, RoomPatch(archived=False), changed.version - 1)
    await town.chat.change(town.ada, room, RoomPatch(archived=False), changed.version)
    await town.say(town.ben, room, "more")
