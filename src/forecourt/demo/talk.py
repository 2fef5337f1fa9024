"""What people of the demo world say to each other: a club's channels, a group of four, two conversations, a booking's room."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid5

from forecourt.demo.ids import id_at
from forecourt.demo.story import Booked
from forecourt.demo.world import World
from forecourt.demo.write import Connection, Row, copy
from forecourt.kernel.db import to_json
from forecourt.modules.booking.contract import OCCUPYING
from forecourt.modules.chat import markup
from forecourt.modules.chat.contract import LinkPreview, RoomKind, RoomRole, RoomSubject
from forecourt.modules.chat.queries import Called
from forecourt.modules.chat.service.keeping import room_of_booking

MAHNOOR, AYESHA, KWAME, HINA = (f"{name}@example.org" for name in ("mahnoor", "ayesha", "kwame", "hina"))
ZAINAB, NOOR, SARA, RIDA, DANYAL = (
    "zainab@example.org", "noor@example.org", "sara@example.org", "rida@baradari.example", "danyal@baradari.example",
)  # fmt: skip


@dataclass(frozen=True)
class Said:
    """`answers` is the place of another line in the room."""

    who: str
    min_ago: int
    text: str
    reactions: tuple[tuple[str, str], ...] = ()
    answers: int | None = None
    pinned: bool = False
    behind: tuple[LinkPreview, ...] = ()


@dataclass(frozen=True)
class Talk:
    kind: RoomKind
    name: str
    people: tuple[str, ...]
    """Whose room it is first."""
    lines: tuple[Said, ...]
    unread: dict[str, int] = field(default_factory=dict[str, int])
    """How many of the last lines somebody has not read; of who is not named, none."""
    about: str = ""
    house: str = ""
    """The organisation of a channel."""


TALKS = (
    Talk(
        RoomKind.GROUP,
        "Thursday four",
        (MAHNOOR, AYESHA, KWAME, HINA),
        (
            Said(
                AYESHA, 2900, "Who is bringing balls? The last tube was flat by the second set.", (("👍", MAHNOOR), ("🎾", KWAME))
            ),
            Said(AYESHA, 2899, "Also, Kwame, please **no more lobs** into the lights."),
            Said(
                KWAME,
                2880,
                "One lob. *One.* And it was in. https://www.padelrules.example/lob",
                (("😂", HINA), ("😂", AYESHA)),
                behind=(
                    LinkPreview(
                        "https://www.padelrules.example/lob",
                        "When a lob is in",
                        "The ball may touch the glass after it has bounced. Lights are not part of the court.",
                        "Padel rules · padelrules.example",
                    ),
                ),
            ),
            Said(
                MAHNOOR,
                2870,
                "I will get two tubes from the desk and add them to the booking. Rs 600, split four ways.",
                (("🙏", AYESHA),),
                pinned=True,
            ),
            Said(HINA, 2860, "In. My share is on its way."),
            Said(MAHNOOR, 74, "On my way. Court 3 is the second door after the pavilion."),
            Said(AYESHA, 42, "Bringing the new balls anyway. @mahnoor can you ask if the left-handed racket is in?"),
            Said(HINA, 20, "Rida says it is behind the desk with my name on it.", answers=6),
            Said(HINA, 19, "I am parking now, the lot is full so I am behind the tea bar."),
        ),
        {MAHNOOR: 3},
    ),
    Talk(
        RoomKind.DIRECT,
        "",
        (AYESHA, MAHNOOR),
        (
            Said(AYESHA, 4400, "Can you take my Saturday slot? My sister arrives from Lahore."),
            Said(MAHNOOR, 4390, "Gladly. 08:00 at Gulberg?"),
            Said(AYESHA, 4389, "Yes, court 2. Thank you!", (("❤️", MAHNOOR),)),
            Said(AYESHA, 62, "Bringing the new balls"),
        ),
        {MAHNOOR: 1},
    ),
    Talk(
        RoomKind.DIRECT,
        "",
        (DANYAL, MAHNOOR),
        (
            Said(
                DANYAL,
                1600,
                "Good session. For next week:\n\n- split step *before* they hit\n- second serve deeper\n- back glass: leave it",
            ),
            Said(MAHNOOR, 1590, "My backhand and I will think about it. Same time next week?"),
        ),
    ),
    Talk(
        RoomKind.CHANNEL,
        "Clifton announcements",
        (RIDA, DANYAL, MAHNOOR, AYESHA, HINA, ZAINAB, NOOR, SARA),
        (
            Said(
                RIDA,
                8700,
                "Winter hours begin on Monday: courts open at **06:30**, last start at 22:30.",
                (("👍", NOOR), ("👍", SARA)),
                pinned=True,
            ),
            Said(RIDA, 260, "Court 4 is closed until 18:00 today: the net post is being welded. Bookings were moved to Court 6."),
        ),
        {MAHNOOR: 1, AYESHA: 1},
        "News from the desk",
        "baradari",
    ),
    Talk(
        RoomKind.CHANNEL,
        "Women’s mornings",
        (ZAINAB, RIDA, MAHNOOR, AYESHA, HINA, NOOR, SARA),
        (
            Said(
                ZAINAB,
                4300,
                "Thursday 09:00, all levels, bring somebody new. Who is in?",
                (("🎾", HINA), ("🎾", SARA), ("🎾", NOOR)),
            ),
            Said(SARA, 4290, "In, with a colleague who has never held a racket.", answers=0),
            Said(RIDA, 4200, "18 signed up. Three courts are yours, the tea is ours.", (("❤️", ZAINAB),)),
        ),
        {},
        "Every Thursday, any level",
        "baradari",
    ),
)
PARTY = (
    Said(MAHNOOR, 95, "Court 3 is ours. Meet at the desk ten minutes before."),
    Said(KWAME, 90, "My flight landed, I come straight from the airport.", (("🎉", AYESHA),)),
    Said(AYESHA, 33, "Left the house. Somebody save me a karak."),
)


async def talk(connection: Connection, world: World) -> None:
    """The rooms that do not belong to a booking."""
    for n, told in enumerate(TALKS):
        room_id = world.fate.id("room", n)
        organisation_id = world.fate.id("organisation", told.house) if told.house else None
        begun = world.now - timedelta(minutes=told.lines[0].min_ago + 30)
        await _room(connection, world, room_id, told, organisation_id, None, begun)
        if told.kind is RoomKind.DIRECT:
            one, other = sorted(world.person(email).id for email in told.people)
            await copy(connection, "chat.pair", "one_id other_id room_id", [(one, other, room_id)])


async def parties(connection: Connection, world: World, bookings: Iterable[Booked]) -> None:
    """The rooms of live bookings that have guests."""
    emails = {p.id: p.email for p in world.people}
    for b in bookings:
        if b.status not in OCCUPYING or not b.invited or b.account_id is None:
            continue
        people = tuple(emails[i] for i in dict.fromkeys([b.account_id, *b.invited]))
        if MAHNOOR not in people:
            continue  # theirs are made as the events of their bookings are heard
        local = b.starts_at.astimezone(b.site.tz)
        lines = PARTY if {MAHNOOR, AYESHA, KWAME, HINA} <= set(people) else ()
        name = f"{b.resource.name}, {local:%d %b %H:%M}"
        told = Talk(RoomKind.BOOKING, name, people, lines, {MAHNOOR: 1} if lines else {})
        called = Called(name, RoomSubject(b.resource.name, b.starts_at.astimezone(UTC), b.site.tz.key))
        await _room(connection, world, room_of_booking(b.id), told, b.site.organisation_id, b.id, b.created_at, called)


async def _room(
    connection: Connection,
    world: World,
    id: UUID,
    told: Talk,
    organisation_id: UUID | None,
    subject_id: UUID | None,
    begun: datetime,
    called: Called | None = None,
) -> None:
    people = {email: world.person(email) for email in told.people}
    public, equal = told.kind is RoomKind.CHANNEL, told.kind is RoomKind.DIRECT
    owner = people[told.people[0]].id
    await copy(
        connection, "chat.room", "id organisation_id kind name about public subject_id created_by created_at called",
        [(id, organisation_id, told.kind.value, told.name, told.about, public, subject_id, owner, begun,
          None if called is None else to_json(called))],
    )  # fmt: skip
    await copy(connection, "chat.position", "room_id epoch last_seq", [(id, uuid5(id, "epoch"), len(told.lines))])
    await copy(
        connection, "chat.member", "room_id account_id role joined_at read_seq",
        [
            (id, p.id, (RoomRole.OWNER if p.id == owner and not equal else RoomRole.MEMBER).value, begun,
             len(told.lines) - told.unread.get(email, 0))
            for email, p in people.items()
        ],
    )  # fmt: skip
    await _lines(connection, world, id, told)


async def _lines(connection: Connection, world: World, room_id: UUID, told: Talk) -> None:
    people = {email: world.person(email) for email in told.people}
    names, handles = {p.id: p.name for p in people.values()}, {p.handle.lower(): p.id for p in people.values()}
    dice = world.fate.dice("talk", room_id)
    at = [world.now - timedelta(minutes=line.min_ago) for line in told.lines]
    ids = [id_at(dice, moment) for moment in at]
    messages: list[Row] = []
    mentions: list[Row] = []
    for n, line in enumerate(told.lines):
        text = line.text.replace("@mahnoor", f"@{world.person(MAHNOOR).handle}")
        drawn = markup.render(text, names, handles)
        answered = None if line.answers is None else ids[line.answers]
        messages.append(
            (room_id, n + 1, ids[n], people[line.who].id, f"demo-{n}", text, drawn.html, answered, answered,
             sum(other.answers == n for other in told.lines), to_json([]), drawn.mentioned, at[n],
             at[n] if line.pinned else None, people[line.who].id if line.pinned else None, to_json(list(line.behind)))
        )  # fmt: skip
        mentions += [(i, room_id, n + 1) for i in drawn.mentioned]
    await copy(
        connection, "chat.message",
        "room_id seq id sender_id client_id body html reply_to thread_id replies attachments mentioned created_at pinned_at"
        " pinned_by previews",
        messages,
    )  # fmt: skip
    await copy(connection, "chat.mention", "account_id room_id seq", mentions)
    await copy(
        connection, "chat.reaction", "room_id seq emoji account_id reacted_at",
        [(room_id, n + 1, emoji, world.person(who).id, at[n]) for n, emoji, who in _reactions(told.lines)],
    )  # fmt: skip


def _reactions(lines: Sequence[Said]) -> list[tuple[int, str, str]]:
    return [(n, emoji, who) for n, line in enumerate(lines) for emoji, who in line.reactions]
