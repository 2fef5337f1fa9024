"""Ada, Ben, Cleo and Dan, who know each other, and rooms of theirs on the real database."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import msgspec
import pytest

from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.db import Database, in_transaction
from forecourt.kernel.errors import NotFound
from forecourt.kernel.limits import Limiter
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.money import Money
from forecourt.kernel.topics import Position, TopicEvent
from forecourt.modules.booking.contract import BookingOut, BookingStatus, Party, Purpose
from forecourt.modules.chat import rules
from forecourt.modules.chat.contract import LinkPreview, Message, RoomKind
from forecourt.modules.chat.names import Names
from forecourt.modules.chat.rules import RoomFacts, Scene
from forecourt.modules.chat.service import ChatService
from forecourt.modules.chat.service.messages import HistoryQuery, NewMessage
from forecourt.modules.chat.service.rooms import NewRoom
from forecourt.modules.identity.contract import AccountCard, AccountStatus
from forecourt.modules.media.contract import Audience, MediaCard, MediaInUse, MediaKind, MediaOwner
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
    personal: list[tuple[str, str, UUID, TopicEvent]] = field(default_factory=list)
    """What somebody told of themselves: how, where, who."""
    turned: list[tuple[str, UUID, bool]] = field(default_factory=list)

    def announce(self, topic: str, data: bytes, type: str = "changed") -> None:
        raise AssertionError("chat has no topics of that kind")

    def publish(self, topic: str, epoch: str, event: TopicEvent) -> None:
        self.frames.append((topic, epoch, event))

    def revoke(self, topic: str, account_id: UUID) -> None:
        self.revoked.append((topic, account_id))

    def exchange(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        self.personal.append(("exchange", topic, account_id, event))

    def confide(self, topic: str, account_id: UUID, event: TopicEvent) -> None:
        self.personal.append(("confide", topic, account_id, event))

    def turn(self, topic: str, account_id: UUID, *, discreet: bool) -> None:
        self.turned.append((topic, account_id, discreet))

    def positions(self, how: str, topic: str) -> list[tuple[UUID, int]]:
        """Who was told to have read how far, in order."""
        return [
            (who, msgspec.json.decode(e.data)["seq"])
            for kind, t, who, e in self.personal
            if (kind, t, e.type) == (how, topic, "read")
        ]

    def numbered(self, room_id: UUID) -> list[TopicEvent]:
        return [e for topic, _, e in self.frames if topic == f"room:{room_id}" and e.seq is not None]

    def whispers(self, topic: str) -> list[tuple[str, dict[str, object]]]:
        return [(e.type, msgspec.json.decode(e.data)) for t, _, e in self.frames if t == topic and e.seq is None]


class Files:
    """What media keeps for the tests: who sent what, and whose it is now. The real one is met in tests/journeys."""

    def __init__(self) -> None:
        self.sent: dict[UUID, UUID] = {}
        self.owners: dict[UUID, MediaOwner] = {}

    def send(self, who: Context) -> UUID:
        file_id = uuid4()
        self.sent[file_id] = id_of(who)
        return file_id

    def _card(self, id: UUID) -> MediaCard:
        kind, path = MediaKind.IMAGE, f"/v1/media/{id}"
        return MediaCard(id, kind, "image/png", "court.png", 9, 4, 3, None, "", path, [], None, self.owners.get(id))

    async def attach(self, ctx: Context, ids: list[UUID], owner: MediaOwner, audience: Audience) -> list[MediaCard]:
        for id in ids:
            if self.sent.get(id) != ctx.account_id:
                raise NotFound
            if self.owners.setdefault(id, owner) != owner:
                raise MediaInUse
        return [self._card(id) for id in ids]

    async def cards(self, ctx: Context, ids: list[UUID]) -> list[MediaCard]:
        return [self._card(id) for id in ids if id in self.owners]

    async def detach(self, ctx: Context, owner: MediaOwner, ids: list[UUID]) -> None:
        for id in ids:
            if self.owners.get(id) == owner:
                del self.owners[id]


@dataclass
class Named:
    """A resource or a venue."""

    name: str
    timezone: str = "Europe/London"


@dataclass
class Book:
    venue: Named

    def resource(self, id: UUID) -> Named:
        return Named("Court 3")


def refuse_in_transaction() -> None:
    """As the real contracts do: another module may be in another process."""
    assert not in_transaction(), "a contract was called inside a transaction"


class Books:
    """The bookings of the tests and their parties."""

    def __init__(self) -> None:
        self.parties: dict[UUID, list[UUID]] = {}
        self.kept: dict[UUID, BookingOut] = {}

    def put(self, organisation_id: UUID, *party: Context, status: BookingStatus = BookingStatus.UPCOMING) -> UUID:
        at, id, free = datetime(2026, 12, 3, 18, tzinfo=UTC), uuid4(), Money(0, "GBP")
        self.kept[id] = BookingOut(
            id=id, organisation_id=organisation_id, venue_id=uuid4(), resource_id=uuid4(), account_id=id_of(party[0]),
            status=status, start=at, end=at + timedelta(hours=1), local_start=at, purpose=Purpose.WORKOUT,
            team_size=4, price=free, paid=free, version=1,
        )  # fmt: skip
        self.parties[id] = [id_of(p) for p in party]
        return id

    def move(self, id: UUID, start: datetime, local_start: datetime) -> None:
        self.kept[id] = msgspec.structs.replace(self.kept[id], start=start, local_start=local_start)

    def become(self, id: UUID, status: BookingStatus) -> None:
        self.kept[id] = msgspec.structs.replace(self.kept[id], status=status)

    async def booking(self, ctx: Context, booking_id: UUID) -> BookingOut:
        refuse_in_transaction()
        if booking_id not in self.kept or ctx.organisation_id != self.kept[booking_id].organisation_id:
            raise NotFound
        return self.kept[booking_id]

    async def party(self, ctx: Context, booking_id: UUID) -> Party:
        refuse_in_transaction()
        return Party(self.parties[booking_id], [])

    async def book(self, ctx: Context, venue_id: UUID) -> Book:
        refuse_in_transaction()
        return Book(Named("Baradari"))


class Pages:
    """What stands behind links in these tests. The real ones are asked in test_previews.py."""

    def __init__(self) -> None:
        self.found: dict[str, LinkPreview] = {}

    async def look(self, urls: list[str]) -> list[LinkPreview]:
        refuse_in_transaction()
        return [self.found[url] for url in urls if url in self.found]


def id_of(ctx: Context) -> UUID:
    assert ctx.account_id is not None
    return ctx.account_id


class Town:
    """The people, and shortcuts to what they do."""

    def __init__(self, chat: ChatService, directory: Directory, people: PeopleService, wire: Wire, clock: FixedClock) -> None:
        self.chat, self.directory, self.people, self.wire, self.clock = chat, directory, people, wire, clock
        self.ada, self.ben, self.cleo, self.dan = (directory.add(n) for n in ("Ada Lind", "Ben Oduya", "Cleo Marsh", "Dan Wu"))

    media: Files
    books: Books
    links: Pages

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
    return town_on(db)


def town_on(db: Database) -> Town:
    """Everybody of the tests, in a database."""
    directory, wire, clock = Directory(), Wire(), FixedClock(datetime.now(UTC))
    media, books, links, limiter = Files(), Books(), Pages(), Limiter(None, Metrics())
    people = PeopleService(db.module("people"), clock, directory, media)  # type: ignore[arg-type]
    chat = ChatService(db.module("chat"), clock, wire, Names(people), media, books, books, links, limiter)  # type: ignore[arg-type]
    town = Town(chat, directory, people, wire, clock)
    town.media, town.books, town.links = media, books, links
    return town
