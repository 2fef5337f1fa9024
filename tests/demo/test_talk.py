"""What the demo world says is what chat itself would have written."""

from __future__ import annotations

import asyncpg
import pytest
from tests.demo.conftest import Filled

from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.modules.chat import queries

pytestmark = pytest.mark.xdist_group("demo")
"""One worker fills the database."""


async def test_somebody_looked_over_the_shoulder_has_something_to_read(filled: Filled, house: Database) -> None:
    mahnoor = filled.world.person("mahnoor@example.org").id
    me = Context(Actor(ActorKind.PERSON, account_id=mahnoor, confirmed=True))
    async with house.module("chat").read(me) as tx:
        rooms = {room.name: room for room in await queries.mine(tx, mahnoor, None, 100)}
        waiting = await queries.unread(tx, mahnoor)
    four = rooms["Thursday four"]
    assert (four.unread, four.mentions, four.last_seq) == (3, 1, 9)
    assert rooms["Women’s mornings"].unread == 0
    assert any(
        room.kind == "booking" and room.last_body == "Left the house. Somebody save me a karak." for room in rooms.values()
    )
    assert waiting.waiting >= 5


async def test_numbers_are_dense_and_nobody_speaks_who_is_not_there(rows: asyncpg.Connection) -> None:
    assert await rows.fetchval("select count(*) from chat.message") > 20
    wrong = await rows.fetch(
        "select p.room_id from chat.position p left join chat.message m on m.room_id = p.room_id group by p.room_id, p.last_seq"
        " having count(m.seq) <> p.last_seq or coalesce(max(m.seq), 0) <> p.last_seq"
    )
    assert wrong == []
    strangers = await rows.fetch(
        "select m.id from chat.message m where not exists"
        " (select from chat.member s where s.room_id = m.room_id and s.account_id = m.sender_id)"
    )
    assert strangers == []
