"""Ada, Ben, Cleo and Dan, who know each other, and rooms of theirs on the real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID, uuid4

import msgspec
import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database
from forecourt.kernel.topics import Position, TopicEvent
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import Message, RoomKind
from forecourt.modules.chat.names import Names
from forecourt.modules.chat.rules import RoomFacts, Scene
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.messages import HistoryQuery, NewMessage
from forecourt.modules.chat.service.rooms import NewRoom
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.people.service import PeopleService, ProfilePatch


class Directory:
    """The accounts of the tests: what people asks identity for."""

    def __init__(self) -> None:
        self.cards: dict[UUID, AccountCard] = {}

    def add(self, name: str) -> Context:
        card = AccountCard(uuid4(), name, f"{uuid4().hex}@example.org", AccountStatus.ACTIVE)
        self.cards[card.id] = card
        return Context(Actor(ActorKind.PERSON, account_id=card.id, confirmed=True))

    async def accounts(self, ctx: Context, ids: list[UUID]) -> list[AccountCard]:
        return [self.cards[id] for id in ids if id in self.cards]


@dataclass
class Wire:
    """What was announced after commits, in order."""

    frames: list[tuple[str, str, TopicEvent]] = field(default_factory=list)
    revoked: list[tuple[str, UUID]] = field(default_factory=list)

    def announce(self, topic: str, data: bytes, type: str = "changed") -> None:
        raise AssertionError("chat has no topics of that kind")

    def publish(self, topic: str, epoch: str, event: TopicEvent) -> None:
        self.frames.append((topic, epoch, event))

    def revoke(self, topic: str, account_id: UUID) -> None:
        self.revoked.append((topic, account_id))

    def numbered(self, room_id: UUID) -> list[TopicEvent]:
        return [e for topic, _, e in self.frames if topic == f"room:{room_id}" and e.seq is not None]

    def whispers(self, topic: str) -> list[tuple[str, dict[str, object]]]:
        return [(e.type, msgspec.json.decode(e.data)) for t, _, e in self.frames if t == topic and e.seq is None]


def id_of(ctx: Context) -> UUID:
    assert ctx.account_id is not None
    return ctx.account_id


class Town:
    """The people, and shortcuts to what they do."""

    def __init__(self, chat: ChatService, directory: Directory, people: PeopleService, wire: Wire, clock: FixedClock) -> None:
        self.chat, self.directory, self.people, self.wire, self.clock = chat, directory, people, wire, clock
        self.ada, self.ben, self.cleo, self.dan = (directory.add(n) for n in ("Ada Lind", "Ben Oduya", "Cleo Marsh", "Dan Wu"))

    async def group(self, *others: Context, owner: Context | None = None, name: str = "Thursday four") -> UUID:
        """Owned by Ada, or by `owner`."""
        new = NewRoom(RoomKind.GROUP, name, [id_of(o) for o in others])
        return (await self.chat.create(owner or self.ada, new)).room.id

    async def say(self, who: Context, room_id: UUID, text: str, reply_to: UUID | None = None) -> Message:
        return await self.chat.send(who, room_id, NewMessage(uuid4().hex, text, reply_to=reply_to))

    async def handle(self, who: Context, handle: str) -> None:
        await self.people.edit(who, ProfilePatch(handle=handle), None)

    async def scene(self, who: Context, room_id: UUID) -> tuple[Scene, Position]:
        """What `who` sees of a room by HTTP, whole."""
        detail = await self.chat.look(who, room_id)
        facts = {f: getattr(detail, f) for f in RoomFacts.__struct_fields__}
        members = (await self.chat.members(who, room_id, 100, None)).items
        history = await self.chat.history(who, room_id, HistoryQuery(after_seq=0, limit=100))
        assert not history.more
        scene = Scene(RoomFacts(**facts), {m.account_id: m for m in members}, {m.id: m for m in history.items}, set(detail.pins))
        return scene, Position(detail.epoch, detail.last_seq)

    async def caught_up(self, who: Context, room_id: UUID, scene: Scene, since: Position) -> Scene:
        """An older picture, with what happened since applied to it."""
        found = await self.chat.follow(who, f"room:{room_id}", since)
        assert found.recovered
        assert [e.seq for e in found.events] == list(range(since.seq + 1, found.position.seq + 1))
        for event in found.events:
            rules.after(scene, event.type, bytes(event.data))
        return scene


@pytest.fixture
def town(db: Database) -> Town:
    directory, wire, clock = Directory(), Wire(), FixedClock(datetime.now(UTC))
    people = PeopleService(db.module("people"), clock, directory)  # type: ignore[arg-type]
    return Town(ChatService(db.module("chat"), clock, wire, Names(people)), directory, people, wire, clock)
