"""What is said: numbers without gaps, one message per client id, exact counts, and nothing kept that was taken back."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.modules.chat.conftest import Town, id_of

from forecourt.kernel.context import service_context
from forecourt.kernel.db import Tx
from forecourt.kernel.errors import Forbidden, Invalid, NotFound, Problem, TooManyRequests
from forecourt.kernel.topics import MAX_CATCH_UP, Position
from forecourt.modules.chat import queries
from forecourt.modules.chat.contract import MAX_REACTION_KINDS, MessageDeleted, Notify, TooMany
from forecourt.modules.chat.queries import PositionRow
from forecourt.modules.chat.service.base import EVENTS_KEPT, TRIM_EVERY
from forecourt.modules.chat.service.membership import NewMembers
from forecourt.modules.chat.service.messages import HistoryQuery, MessageEdit, NewMessage, ThreadQuery
from forecourt.modules.chat.service.moderation import Moderation, ModerationAction
from forecourt.modules.chat.service.reading import SearchQuery, Setting
from forecourt.modules.chat.service.rooms import NewChannel, RoomPatch
from forecourt.modules.chat.service.topics import SENDING, SENT_TO

HOUSE = service_context("chat.tidy")


async def test_many_at_once_are_numbered_without_gap_or_repeat(town: Town) -> None:
    room = await town.group(town.ben, town.cleo)
    people = [town.ada, town.ben, town.cleo] * 10
    sent = await asyncio.gather(*(town.say(who, room, f"{n}") for n, who in enumerate(people)))
    assert sorted(m.seq for m in sent) == list(range(1, 31))
    assert [e.seq for e in sorted(town.wire.numbered(room), key=lambda e: e.seq or 0)] == list(range(1, 31))


async def test_without_the_rooms_lock_one_of_two_who_speak_at_once_is_refused(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control of the one above. Even so nothing is numbered twice: the key of messages refuses it."""
    room = await town.group(town.ben)
    both = asyncio.Barrier(2)

    async def look(tx: Tx, room_id: UUID) -> PositionRow:
        """Where the room is, without waiting for whoever is about to move it."""
        position = await queries.position(tx, room_id)
        async with asyncio.timeout(30):
            await both.wait()
        return position

    with monkeypatch.context() as unlocked:
        unlocked.setattr(queries, "lock", look)
        said = await asyncio.gather(town.say(town.ada, room, "one"), town.say(town.ben, room, "two"), return_exceptions=True)
    assert [isinstance(s, asyncpg.UniqueViolationError) for s in said].count(True) == 1, said
    (kept,) = (await town.chat.history(town.ada, room, HistoryQuery())).items
    assert kept.seq == 1
    assert (await town.say(town.ben, room, "three")).seq == 2, "with the lock it goes on"


async def test_a_message_handed_in_many_times_at_once_is_one_message(town: Town) -> None:
    room = await town.group(town.ben)
    new = NewMessage("the same", "Six?")
    sent = await asyncio.gather(*(town.chat.send(town.ben, room, new) for _ in range(12)))
    assert len({msgspec.json.encode(m) for m in sent}) == 1
    assert len((await town.chat.history(town.ada, room, HistoryQuery())).items) == 1
    assert len(town.wire.numbered(room)) == 1
    # Another person's id of the same name is another message.
    assert (await town.chat.send(town.ada, room, new)).id != sent[0].id


async def test_a_resend_is_answered_even_when_writing_was_forbidden_meanwhile(town: Town) -> None:
    room = await town.group(town.ben)
    first = await town.chat.send(town.ben, room, NewMessage("c1", "Six?"))
    await town.chat.change(town.ada, room, RoomPatch(archived=True), None)
    assert await town.chat.send(town.ben, room, NewMessage("c1", "Six?")) == first
    with pytest.raises(Problem):
        await town.chat.send(town.ben, room, NewMessage("c2", "Seven?"))


async def test_who_is_banned_first_says_nothing_after_and_who_speaks_first_was_heard(town: Town) -> None:
    for _ in range(6):
        room = await town.group(town.ben)

        async def speak(room: object = room) -> int | None:
            try:
                return (await town.say(town.ben, room, "x")).seq  # type: ignore[arg-type]
            except NotFound:
                return None

        ban = town.chat.moderate(town.ada, room, Moderation(ModerationAction.BAN, id_of(town.ben)))
        *spoken, _ = await asyncio.gather(*(speak() for _ in range(5)), ban)
        left = next(e.seq for e in town.wire.numbered(room) if e.type == "member.left")
        assert all(seq is None or seq < left for seq in spoken)
        assert len((await town.chat.history(town.ada, room, HistoryQuery())).items) == sum(seq is not None for seq in spoken)


async def test_who_joins_while_others_speak_has_unread_exactly_what_came_after(town: Town) -> None:
    channel = (await town.chat.create_channel(town.ada, uuid4(), NewChannel("News"))).id
    speaking = [town.say(town.ada, channel, f"{n}") for n in range(12)]
    await asyncio.gather(*speaking[:6], town.chat.add(town.ben, channel, NewMembers()), *speaking[6:])
    joined = next(e.seq for e in town.wire.numbered(channel) if e.type == "member.joined")
    after = sum(1 for e in town.wire.numbered(channel) if e.type == "message.created" and e.seq > joined)
    assert (await town.chat.look(town.ben, channel)).unread == after


async def test_counts_are_exact_whatever_was_read_deleted_or_said_by_oneself(town: Town) -> None:
    await town.handle(town.ben, f"ben_{uuid4().hex[:8]}")
    room = await town.group(town.ben)
    handle = (await town.people.cards(town.ben, [id_of(town.ben)]))[0].handle
    said = [
        await town.say(town.ada, room, t)
        for t in ("one", f"@{handle} two", "three", f"@{handle} four", f"@[x]({id_of(town.cleo)})")
    ]
    await town.say(town.ben, room, "mine")

    async def counts() -> tuple[int, int]:
        detail = await town.chat.look(town.ben, room)
        return detail.unread, detail.mentions

    assert await counts() == (5, 2)
    await town.chat.delete(town.ada, said[1].id)
    assert await counts() == (4, 1)
    read = await town.chat.read(town.ben, room, said[2].seq)
    assert (read.unread, read.mentions) == (2, 1) == await counts()
    assert (await town.chat.read(town.ben, room, 1)).read_seq == said[2].seq, "positions never go back"
    await town.chat.edit(town.ada, said[3].id, MessageEdit("nobody"))
    assert await counts() == (2, 0)
    assert (await town.chat.read(town.ben, room, 10**9)).unread == 0
    unread = await town.chat.unread(town.ben)
    assert (unread.messages, unread.mentions, unread.rooms) == (0, 0, 0)
    assert said[4].mentions == [], "who is not in the room cannot be mentioned"


async def test_whom_a_message_concerns_is_told_and_who_wants_nothing_is_not(town: Town, admin_url: str) -> None:
    room = await town.group(town.ben, town.cleo)
    await town.chat.notify(town.cleo, room, Notify.NOTHING)
    message = await town.say(town.ada, room, f"@[Ben]({id_of(town.ben)}) at six")
    assert ("chat.waiting", {"room_id": str(room), "seq": message.seq}) in town.wire.whispers(f"inbox:{id_of(town.ben)}")
    assert town.wire.whispers(f"inbox:{id_of(town.cleo)}") == []
    connection = await asyncpg.connect(admin_url)
    rows = await connection.fetch("select payload from kernel.event where name = 'chat.message_sent'")
    await connection.close()
    told = [e for row in rows if (e := msgspec.json.decode(row["payload"]))["message_id"] == str(message.id)]
    assert [(e["mentioned_ids"], e["notify_ids"]) for e in told] == [([str(id_of(town.ben))], [])]
    assert "six" not in str(told)
    preview = await town.chat.preview(HOUSE, room, message.id)
    assert preview is not None
    assert preview.excerpt == "@Ben at six"


async def test_edits_are_kept_and_deletion_takes_everything(town: Town) -> None:
    room = await town.group(town.ben)
    message = await town.say(town.ben, room, "Court 2")
    await town.chat.react(town.ada, message.id, "👍")
    await town.chat.edit(town.ben, message.id, MessageEdit("Court 3"))
    assert [e.body for e in await town.chat.edits(town.ada, message.id)] == ["Court 2"]
    with pytest.raises(Forbidden):
        await town.chat.edit(town.ada, message.id, MessageEdit("Court 4"))
    await town.chat.delete(town.ada, message.id)  # an owner may
    (gone,) = (await town.chat.history(town.ben, room, HistoryQuery())).items
    assert (gone.text, gone.html, gone.deleted, gone.reactions) == ("", "", True, [])
    assert await town.chat.edits(town.ada, message.id) == []
    with pytest.raises(MessageDeleted):
        await town.chat.edit(town.ben, message.id, MessageEdit("Court 3"))
    await town.chat.delete(town.ben, message.id)


async def test_a_reply_to_a_reply_is_in_the_same_thread(town: Town) -> None:
    room, other = await town.group(town.ben), await town.group(town.ben)
    first = await town.say(town.ada, room, "Who is in?")
    second = await town.say(town.ben, room, "Me", first.id)
    third = await town.say(town.ada, room, "Good", second.id)
    thread = await town.chat.thread(town.ben, third.id, ThreadQuery())
    assert thread.first is not None
    assert (thread.first.id, thread.first.replies) == (first.id, 2)
    assert [m.id for m in thread.items] == [second.id, third.id]
    with pytest.raises(Invalid):
        await town.say(town.ada, other, "lost", first.id)


async def test_reactions_are_sets_and_have_an_end(town: Town) -> None:
    room = await town.group(town.ben)
    message = await town.say(town.ada, room, "x")
    await town.chat.react(town.ben, message.id, "🎾")
    again = await town.chat.react(town.ben, message.id, "🎾")
    assert [(r.emoji, r.account_ids) for r in again.reactions] == [("🎾", [id_of(town.ben)])]
    assert (await town.chat.unreact(town.ben, message.id, "🎾")).reactions == []
    for n in range(MAX_REACTION_KINDS):
        await town.chat.react(town.ben, message.id, chr(0x1F600 + n))
    with pytest.raises(TooMany):
        await town.chat.react(town.ada, message.id, "🎾")


async def test_who_shows_no_receipts_sees_none(town: Town) -> None:
    room = await town.group(town.ben, town.cleo)
    message = await town.say(town.ada, room, "x")
    await town.chat.read(town.ben, room, message.seq)
    assert await town.chat.readers(town.ada, room, message.seq) == [id_of(town.ben)]
    await town.chat.choose(town.cleo, Setting(receipts=False))
    await town.chat.read(town.cleo, room, message.seq)
    assert await town.chat.readers(town.ada, room, message.seq) == [id_of(town.ben)]
    assert await town.chat.readers(town.cleo, room, message.seq) == []
    topic, ben, cleo = f"room:{room}", id_of(town.ben), id_of(town.cleo)
    assert (ben, message.seq) in town.wire.positions("exchange", topic)
    assert (cleo, message.seq) not in town.wire.positions("exchange", topic)
    assert (cleo, message.seq) in town.wire.positions("confide", topic), "her other devices hear of it"
    assert not [kind for kind, _ in town.wire.whispers(topic) if kind == "read"], "nothing goes to whoever follows"
    followers = [town.ada, town.ben, town.cleo]
    discreet = [(await town.chat.follow(who, topic, None)).discreet for who in followers]
    assert discreet == [False, False, True]
    assert await town.chat.discreet(service_context("test"), topic, [id_of(who) for who in followers]) == [cleo]


async def test_who_changes_their_mind_about_receipts_is_seen_or_no_longer_in_every_room(town: Town) -> None:
    room, other = await town.group(town.ben), await town.group(town.ben, town.cleo)
    ben, last = id_of(town.ben), await town.say(town.ada, room, "x")
    await town.chat.read(town.ben, room, last.seq)
    for shows, seqs in ((False, {room: 0, other: 0}), (True, {room: last.seq, other: 0})):
        town.wire.personal.clear()
        town.wire.turned.clear()
        await town.chat.choose(town.ben, Setting(receipts=shows))
        assert sorted(town.wire.turned) == sorted((f"room:{r}", ben, not shows) for r in (room, other))
        assert {r: town.wire.positions("exchange", f"room:{r}") for r in seqs} == {r: [(ben, seq)] for r, seq in seqs.items()}
        town.wire.turned.clear()
        await town.chat.choose(town.ben, Setting(receipts=shows))
        assert town.wire.turned == [], "nothing has changed"


async def test_search_finds_words_in_my_rooms_alone(town: Town) -> None:
    mine, others = await town.group(town.ben), await town.group(town.cleo, owner=town.dan)
    word = f"quince{uuid4().hex[:6]}"
    first = await town.say(town.ben, mine, f"The {word} jam")
    await town.say(town.dan, others, f"Their {word}")
    gone = await town.say(town.ben, mine, f"No {word}")
    await town.chat.delete(town.ben, gone.id)
    found = await town.chat.search(town.ada, SearchQuery(q=f"{word} -their"))
    assert [hit.id for hit in found.items] == [first.id]
    assert (await town.chat.search(town.cleo, SearchQuery(q=word))).items[0].room_id == others


async def test_export_is_for_who_looks_after_the_room(town: Town) -> None:
    room = await town.group(town.ben)
    said = [await town.say(town.ben, room, f"{n}") for n in range(5)]
    assert [m.id for m in await town.chat.export(town.ada, room, 0, 3)] == [m.id for m in said[:3]]
    assert [m.id for m in await town.chat.export(town.ada, room, said[2].seq, 9)] == [m.id for m in said[3:]]
    with pytest.raises(Forbidden):
        await town.chat.export(town.ben, room, 0, 3)


async def test_files_are_the_rooms_and_go_with_their_message(town: Town) -> None:
    room, other = await town.group(town.ben), await town.group(town.cleo)
    file_id = town.media.send(town.ben)
    message = await town.chat.send(town.ben, room, NewMessage("f", "", [file_id]))
    assert [a.id for a in message.attachments] == [file_id]
    assert await town.chat.send(town.ben, room, NewMessage("f", "", [file_id])) == message
    assert (await town.chat.file(town.ada, room, file_id)).id == file_id
    for who, where in ((town.cleo, room), (town.ada, other)):
        with pytest.raises(NotFound):
            await town.chat.file(who, where, file_id)
    with pytest.raises(Invalid):
        await town.chat.send(town.ada, room, NewMessage("g", "", [town.media.send(town.ben)]))
    with pytest.raises(Invalid):
        await town.chat.send(town.ada, room, NewMessage("h", ""))


async def test_old_words_go_with_their_events_and_a_client_learns_it(town: Town) -> None:
    room = await town.group(town.ben)
    old = [await town.say(town.ben, room, f"old {n}") for n in range(3)]
    await town.chat.change(town.ada, room, RoomPatch(retention_days=30), None)
    town.clock.advance(timedelta(days=31))
    fresh = await town.say(town.ben, room, "new")
    stale, since = await town.scene(town.ada, room)
    assert await town.chat.tidy(HOUSE) >= 1
    assert [m.id for m in (await town.chat.history(town.ada, room, HistoryQuery())).items] == [fresh.id]
    now, _ = await town.scene(town.ada, room)
    assert await town.caught_up(town.ada, room, stale, since) == now
    early = await town.chat.follow(town.ada, f"room:{room}", Position(since.epoch, old[0].seq))
    assert not early.recovered


async def test_who_missed_too_much_reads_again_and_who_missed_little_misses_nothing(town: Town, admin_url: str) -> None:
    room = await town.group(town.ben)
    await town.say(town.ben, room, "x")
    epoch = (await town.chat.look(town.ada, room)).epoch
    connection = await asyncpg.connect(admin_url)
    # As if a long time had passed: what is kept ends far before the present.
    await connection.execute("update chat.position set last_seq = $2 where room_id = $1", room, EVENTS_KEPT + 5 * TRIM_EVERY - 3)
    await connection.close()
    sent = [await town.say(town.ben, room, f"{n}") for n in range(6)]
    kept = await town.chat.follow(town.ada, f"room:{room}", Position(epoch, sent[0].seq))
    assert kept.recovered
    assert [e.seq for e in kept.events] == [m.seq for m in sent[1:]]
    for position in (
        Position(epoch, 0),
        Position(epoch, sent[0].seq - 5),
        Position(epoch, sent[-1].seq + 1),
        Position("another", 1),
    ):
        assert not (await town.chat.follow(town.ada, f"room:{room}", position)).recovered
    assert not (await town.chat.follow(town.ada, f"room:{room}", None)).recovered
    assert MAX_CATCH_UP < EVENTS_KEPT


async def test_the_server_asks_for_heads_gaps_and_who_may_stay(town: Town) -> None:
    room = await town.group(town.ben)
    message = await town.say(town.ben, room, "x")
    topic, house = f"room:{room}", service_context("realtime")
    (head,) = await town.chat.heads(house, [topic, f"room:{uuid4()}", "room:nonsense"])
    assert (head.topic, head.position.seq) == (topic, message.seq)
    filled = await town.chat.after(house, topic, Position(head.position.epoch, 0))
    assert [e.type for e in filled.events] == ["message.created"]
    wanted = [id_of(town.ada), id_of(town.dan)]
    assert await town.chat.allowed(house, topic, wanted) == [id_of(town.ada)]
    with pytest.raises(NotFound):
        await town.chat.after(house, f"room:{uuid4()}", Position("x", 0))


async def test_clients_send_read_and_type_on_the_socket_as_over_http(town: Town) -> None:
    room = await town.group(town.ben)
    topic = f"room:{room}"

    async def perform(op: str, **body: object) -> object:
        return await town.chat.perform(town.ben, topic, op, msgspec.Raw(msgspec.json.encode({"op": op, "topic": topic, **body})))

    ack = await perform("send", client_id="c1", text="hi")
    assert ack == await perform("send", client_id="c1", text="hi")
    assert await perform("typing") is None
    assert ("typing", {"account_id": str(id_of(town.ben))}) in town.wire.whispers(topic)
    await town.say(town.ada, room, "yes")
    await perform("read", seq=2)
    assert (await town.chat.look(town.ben, room)).unread == 0
    with pytest.raises(NotFound):
        await perform("dance")
    for body in ({"client_id": "", "text": "x"}, {"text": "x"}, {"client_id": "c2", "text": 5}, {"client_id": "c2", "text": " "}):
        with pytest.raises(Invalid):
            await perform("send", **body)
    for _ in range(600):
        with suppress(TooManyRequests):
            await town.chat.limiter.hit(SENDING, SENT_TO, id_of(town.ben))
    with pytest.raises(TooManyRequests):
        await perform("send", client_id="c3", text="one too many in a minute")
    await town.chat.perform(town.ada, topic, "send", msgspec.Raw(b'{"client_id":"c3","text":"I am not he"}'))
    unconfirmed = msgspec.structs.replace(town.ben, actor=msgspec.structs.replace(town.ben.actor, confirmed=False))
    with pytest.raises(Problem) as refused:
        await town.chat.perform(unconfirmed, topic, "send", msgspec.Raw(b'{"client_id":"c9","text":"x"}'))
    assert refused.value.code == "email_unconfirmed"
