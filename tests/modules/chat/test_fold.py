"""Stale state + events = fresh state, whatever people do in a room."""

from __future__ import annotations

import random
from uuid import UUID, uuid4

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.modules.chat.conftest import Town, id_of

from forecourt.kernel.context import service_context
from forecourt.kernel.errors import Problem
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import LinkPreview, Notify, RoomRole
from forecourt.modules.chat.service.membership import NewMembers, RoleChange
from forecourt.modules.chat.service.messages import HistoryQuery, MessageEdit, NewMessage
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.previewing import LookBehind
from forecourt.modules.chat.service.rooms import NewChannel, RoomPatch

COMMANDS = (
    "say", "reply", "edit", "delete", "react", "unreact", "pin", "unpin", "add", "remove", "leave", "role", "mute", "unmute",
    "slow", "ban", "unban", "rename", "archive", "retain", "read", "notify",
    "link", "look", "unlook", "attach", "join",
)  # fmt: skip
EMOJI = ("👍", "🎾", "❤️")


async def do(town: Town, room: UUID, command: str, dice: random.Random) -> None:
    """One command of somebody, allowed or not."""
    chat = town.chat
    everybody = [town.ada, town.ben, town.cleo, town.dan]
    who, other = dice.choice(everybody), id_of(dice.choice(everybody))
    said = (await chat.history(town.ada, room, HistoryQuery(after_seq=0, limit=100))).items
    one = dice.choice(said).id if said else room
    match command:
        case "say":
            await town.say(who, room, f"Court {dice.randint(1, 9)} at **six**")
        case "reply":
            await town.say(who, room, "Yes", reply_to=one)
        case "edit":
            await chat.edit(who, one, MessageEdit(f"Rather court {dice.randint(1, 9)}"))
        case "delete":
            await chat.delete(who, one)
        case "react":
            await chat.react(who, one, dice.choice(EMOJI))
        case "unreact":
            await chat.unreact(who, one, dice.choice(EMOJI))
        case "pin":
            await chat.pin(who, room, one)
        case "unpin":
            await chat.unpin(who, room, one)
        case "add":
            await chat.add(town.ada, room, NewMembers([id_of(o) for o in everybody[1:]]))
        case "remove":
            await chat.remove(town.ada, room, id_of(dice.choice(everybody[1:])))
        case "leave":
            await chat.leave(dice.choice(everybody[1:]), room)
        case "role":
            await chat.set_role(town.ada, room, RoleChange(id_of(dice.choice(everybody[1:])), dice.choice(list(RoomRole))))
        case "rename":
            await chat.change(who, room, RoomPatch(name=f"Thursday {dice.randint(1, 9)}"), None)
        case "archive":
            await chat.change(who, room, RoomPatch(archived=dice.random() < 0.3), None)
        case "retain":
            await chat.change(who, room, RoomPatch(retention_days=dice.choice([None, 30])), None)
        case "read":
            await chat.read(who, room, dice.randint(0, 20))
        case "notify":
            await chat.notify(who, room, dice.choice(list(Notify)))
        case "link":
            await chat.edit(who, one, MessageEdit(f"See https://club.example/{dice.randint(1, 2)}"))
        case "look":
            await chat.look_behind(service_context("chat"), LookBehind(room, one, list(town.links.found)))
        case "unlook":
            await chat.take_previews_away(who, one)
        case "attach":
            files = [town.media.send(dice.choice([who, who, town.dan])) for _ in range(dice.randint(1, 2))]
            await chat.send(who, room, NewMessage(uuid4().hex, dice.choice(["", "The draw"]), attachment_ids=files))
        case "join":
            await chat.add(who, room, NewMembers([]))
        case "slow":
            await chat.moderate(who, room, Moderation(ModerationAction.SLOW_MODE, seconds=dice.choice([0, 5])))
        case _:
            await chat.moderate(who, room, Moderation(ModerationAction(command), other, minutes=dice.choice([None, 5])))


async def channel(town: Town) -> UUID:
    """A public one of Ada's, with Ben and Cleo in it: Dan may look and join."""
    new = NewChannel("News", member_ids=[id_of(town.ben), id_of(town.cleo)])
    return (await town.chat.create_channel(town.ada, uuid4(), new)).id


@given(commands=st.lists(st.sampled_from(COMMANDS), min_size=4, max_size=14), seed=st.integers(0, 2**32), public=st.booleans())
@settings(
    max_examples=25, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_an_older_picture_and_what_happened_since_make_the_present_one(
    town: Town, commands: list[str], seed: int, public: bool
) -> None:
    dice = random.Random(seed)
    for url in ("https://club.example/1", "https://club.example/2"):
        town.links.found[url] = LinkPreview(url, "The club", "", "club.example")
    room = await (channel(town) if public else town.group(town.ben, town.cleo))
    for text in ("Who brings balls?", "I do, from https://club.example/1"):
        await town.say(town.ben, room, text)
    stale, since = await town.scene(town.ada, room)
    first, halfway = msgspec.json.decode(msgspec.json.encode(stale), type=rules.Scene), None
    for n, command in enumerate(commands):
        try:
            await do(town, room, command, dice)
        except Problem:
            assert True  # it was refused, and so nothing of it may be seen
        if n == len(commands) // 2:
            halfway = await town.scene(town.ada, room)
    fresh, position = await town.scene(town.ada, room)
    assert await town.caught_up(town.ada, room, stale, since) == fresh
    assert halfway is not None
    assert await town.caught_up(town.ada, room, *halfway) == fresh
    # Events that the picture holds already change nothing in the end.
    twice = await town.caught_up(town.ada, room, msgspec.json.decode(msgspec.json.encode(fresh), type=rules.Scene), since)
    assert twice == fresh
    # What followers were told as it happened is what the room keeps.
    told = [e for e in town.wire.numbered(room) if e.seq is not None and e.seq > since.seq]
    assert [e.seq for e in told] == list(range(since.seq + 1, position.seq + 1))
    assert told or first == fresh


async def test_who_joins_a_public_channel_and_what_they_attach_there_is_in_what_happened(town: Town) -> None:
    room = await channel(town)
    stale, since = await town.scene(town.ada, room)
    outside = await town.scene(town.dan, room)
    assert id_of(town.dan) not in stale.members, "the control: Dan is not there yet"
    await town.chat.add(town.dan, room, NewMembers([]))
    file_id = town.media.send(town.dan)
    sent = await town.chat.send(town.dan, room, NewMessage(uuid4().hex, "", attachment_ids=[file_id]))
    shown = await town.caught_up(town.ada, room, stale, since)
    assert id_of(town.dan) in shown.members
    assert [a.id for a in shown.messages[sent.id].attachments] == [file_id]
    assert shown == (await town.scene(town.ada, room))[0]
    assert await town.caught_up(town.dan, room, *outside) == shown, "whoever looked from outside sees the same"
    since = (await town.scene(town.ada, room))[1]
    await town.chat.delete(town.dan, sent.id)
    gone = await town.caught_up(town.ada, room, shown, since)
    assert gone.messages[sent.id].deleted and not gone.messages[sent.id].attachments
    assert gone == (await town.scene(town.ada, room))[0]


async def test_deleted_words_are_in_no_event_that_is_still_told(town: Town) -> None:
    room = await town.group(town.ben)
    stale, since = await town.scene(town.ada, room)
    message = await town.say(town.ben, room, "The word is quince")
    await town.chat.edit(town.ben, message.id, MessageEdit("The word is quinces"))
    kept = await town.chat.follow(town.ada, f"room:{room}", since)
    assert any(b"quince" in bytes(e.data) for e in kept.events), "the control"
    await town.chat.delete(town.ben, message.id)
    kept = await town.chat.follow(town.ada, f"room:{room}", since)
    assert kept.recovered
    assert len(kept.events) == 3
    assert not any(b"quince" in bytes(e.data) for e in kept.events)
    for event in kept.events:
        rules.after(stale, event.type, bytes(event.data))
    fresh, _ = await town.scene(town.ada, room)
    assert stale == fresh
