"""What may be done in a room and by whom; and how a client's picture of a room follows from what happens. No I/O, no clock.

The picture (`Scene`) is what HTTP answers about a room and its newest messages. Applying every numbered event after the
picture's position gives the picture of later: `after(scene, type, data)`. The page's `room.js` does the same.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, time, timedelta
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec

from forecourt.kernel.errors import Forbidden, Invalid, NotFound
from forecourt.kernel.period import began_on
from forecourt.modules.chat.contract import (
    MAX_CHANNEL,
    MAX_GROUP,
    MAX_MENTIONS,
    MAX_TEXT_BYTES,
    Banned,
    FixedMembership,
    LinkPreview,
    Member,
    Message,
    Muted,
    NotAMember,
    Notify,
    QuietHours,
    Reaction,
    RoomArchived,
    RoomKind,
    RoomRole,
    RoomSubject,
    SlowMode,
)

# ----------------------------------------------------------------------------------------------------------------- text

HANDLE = re.compile(r"@([A-Za-z][A-Za-z0-9_]{2,29})\b")
NAMED = re.compile(r"@\[([^\]\[\n]{1,100})\]\(([0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12})\)")
_UNSEEN = {"Cf", "Zs", "Zl", "Zp", "Cc"}
EXCERPT = 160


def checked_text(text: str, attachments: int) -> str:
    """The text as it is kept, without space around it. Raises Invalid: nothing to see, too long, or what cannot be stored."""
    if "\x00" in text:
        raise Invalid.field("text", "holds a character that cannot be kept")
    trimmed = text.strip()
    if len(trimmed.encode("utf-8", "surrogatepass")) > MAX_TEXT_BYTES:
        raise Invalid.field("text", f"at most {MAX_TEXT_BYTES} bytes")
    if not attachments and all(unicodedata.category(c) in _UNSEEN for c in trimmed):
        raise Invalid.field("text", "say something, or attach a file")
    return trimmed


def checked_emoji(emoji: str) -> str:
    """One reaction: symbols, no letters or markup. Raises Invalid."""
    joins = "\u200d\ufe0f\u20e3"
    if not 1 <= len(emoji) <= 16 or not all(
        c in joins or unicodedata.category(c) in ("So", "Sk", "Sm", "Mn", "Me") or (c in "0123456789#*" and "\u20e3" in emoji)
        or 0xE0020 <= ord(c) <= 0xE007F
        for c in emoji
    ) or all(c in joins for c in emoji):  # fmt: skip
        raise Invalid.field("emoji", "is not an emoji")
    return emoji


def handles_in(text: str) -> list[str]:
    """Handles that the text may mention, lower case, in order, each once."""
    return list(dict.fromkeys(h.lower() for h in HANDLE.findall(text)))[:MAX_MENTIONS]


def ids_in(text: str) -> list[UUID]:
    """Accounts that the text names as `@[name](id)`, in order, each once."""
    return list(dict.fromkeys(UUID(i) for _, i in NAMED.findall(text)))[:MAX_MENTIONS]


def without_name(text: str, html: str, account_id: UUID) -> tuple[str, str]:
    """A message without the name that the house drew into it where it mentions somebody: `@[name](id)` and the rendered mention.
    A handle is the writer's own word, and stays. The text grows by nothing: it may be as long as one can be."""
    bare = NAMED.sub(lambda found: f"@[-]({found[2]})" if UUID(found[2]) == account_id else found[0], text)
    drawn = re.compile(rf'(<span class="mention" data-account="{account_id}" dir="auto">@)[^<]*(?=</span>)')
    return bare, drawn.sub(r"\1—", html)


def plain(text: str) -> str:
    """The text without its marks, in one line, for previews and quotes."""
    without = NAMED.sub(lambda m: "@" + m[1], text)
    without = re.sub(r"!?\[([^\]]*)\]\([^)\s]*\)", r"\1", without)
    without = re.sub(r"(^|\n)\s*(>|[-*+]|\d+[.)])\s+", r"\1", without)
    without = re.sub(r"(\*\*|__|~~|`+)", "", without)
    return " ".join(without.split())


def excerpt(text: str, longest: int = EXCERPT) -> str:
    line = plain(text)
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


# ---------------------------------------------------------------------------------------------------------- what it is called

NAME_CHARS = 100


def group_name(names: list[str]) -> str:
    """For a group that was given none: the first names of its people."""
    return ", ".join(_first_names(names))[:NAME_CHARS] or "Group"


def group_name_without(name: str, names: list[str]) -> str:
    """What a group is called once somebody is erased of whom nothing is known any more. `names`: those of the people left.

    A list of single words, some of them first names of who is left, was made by `group_name`: those stay, the others go. Any
    other name was chosen, and stays.
    """
    parts, known = name.split(", "), set(_first_names(names))
    listed = len(parts) > 1 and all(parts) and not any(" " in part for part in parts)
    if not listed or not known.intersection(parts) or known.issuperset(parts):
        return name
    return ", ".join(part for part in parts if part in known)


def _first_names(names: list[str]) -> list[str]:
    return [name.split()[0] for name in names if name.split()]


# ------------------------------------------------------------------------------------------------------------------ who

_RANK = {RoomRole.MEMBER: 0, RoomRole.MODERATOR: 1, RoomRole.OWNER: 2}


class Part(msgspec.Struct, frozen=True):
    """In which part somebody acts in a room: their role (None for who is not a member), and what holds them back."""

    role: RoomRole | None
    muted_until: datetime | None = None
    last_sent_at: datetime | None = None
    banned: bool = False
    banned_until: datetime | None = None

    def is_banned(self, now: datetime) -> bool:
        return self.banned and (self.banned_until is None or self.banned_until > now)

    @property
    def moderates(self) -> bool:
        return self.role in (RoomRole.MODERATOR, RoomRole.OWNER)


class Standing(msgspec.Struct, frozen=True):
    """What of a room decides what may be done in it."""

    kind: RoomKind
    public: bool
    archived: bool
    slow_mode_s: int


def room_size(kind: RoomKind) -> int:
    """How many people a room of this kind holds."""
    match kind:
        case RoomKind.DIRECT:
            return 2
        case RoomKind.GROUP:
            return MAX_GROUP
        case RoomKind.CHANNEL:
            return MAX_CHANNEL
        case RoomKind.BOOKING:
            return 1_000


def member(standing: Standing, part: Part) -> RoomRole:
    """The role of who is in the room. Raises NotAMember where the room can be seen, otherwise NotFound."""
    if part.role is None:
        raise NotAMember if standing.public else NotFound
    return part.role


def writable(standing: Standing) -> None:
    """Raises RoomArchived."""
    if standing.archived:
        raise RoomArchived


def may_write(standing: Standing, part: Part, now: datetime) -> None:
    """Raises NotAMember, NotFound, RoomArchived, Muted, SlowMode. Slow mode and mutes do not bind who moderates."""
    member(standing, part)
    writable(standing)
    unmuted(part, now)
    if part.moderates:
        return
    if standing.slow_mode_s and part.last_sent_at is not None:
        free_at = part.last_sent_at + timedelta(seconds=standing.slow_mode_s)
        if free_at > now:
            raise SlowMode(
                f"One message every {standing.slow_mode_s} s.", retry_after_s=max(1, -int((now - free_at).total_seconds() // 1))
            )


def unmuted(part: Part, now: datetime) -> None:
    """Raises Muted. Who moderates is not bound."""
    if not part.moderates and part.muted_until is not None and part.muted_until > now:
        raise Muted(until=_stamp(part.muted_until))


def _stamp(at: datetime) -> str:
    return at.isoformat().replace("+00:00", "Z")


def may_moderate(standing: Standing, part: Part) -> None:
    """Raises NotFound or NotAMember for a stranger, Forbidden for a plain member."""
    member(standing, part)
    if not part.moderates:
        raise Forbidden("Moderators of the room do this.")


def may_own(standing: Standing, part: Part) -> None:
    """Raises as `may_moderate`; for owners alone."""
    if member(standing, part) is not RoomRole.OWNER:
        raise Forbidden("An owner of the room does this.")


def outranks(actor: RoomRole, other: RoomRole) -> None:
    """A moderator deals with members, an owner with anybody who owns nothing. Raises Forbidden."""
    if _RANK[actor] <= _RANK[other]:
        raise Forbidden("They have as much to say here as you.")


def may_join(standing: Standing, part: Part, now: datetime) -> None:
    """By oneself. Raises Banned, RoomArchived; NotFound for what is not public."""
    if standing.kind is not RoomKind.CHANNEL or not standing.public:
        raise NotFound
    if part.is_banned(now):
        raise Banned
    writable(standing)


def may_add(standing: Standing, part: Part) -> None:
    """Bringing others: any member of a group, moderators of a channel. Raises FixedMembership besides the usual."""
    member(standing, part)
    if standing.kind in (RoomKind.DIRECT, RoomKind.BOOKING):
        raise FixedMembership
    writable(standing)
    if standing.kind is RoomKind.CHANNEL:
        may_moderate(standing, part)


def may_leave(standing: Standing, part: Part) -> None:
    """Raises FixedMembership for a direct room."""
    member(standing, part)
    if standing.kind is RoomKind.DIRECT:
        raise FixedMembership


def told(kind: RoomKind, notify: Notify, *, mentioned: bool) -> bool:
    """Whether a message concerns a member who wants `notify`: channels tell of mentions alone."""
    if notify is Notify.NOTHING:
        return False
    return mentioned or (notify is Notify.ALL and kind is not RoomKind.CHANNEL)


# ------------------------------------------------------------------------------------------------- the picture of a room


class RoomFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What everybody in a room knows of it."""

    id: UUID
    kind: RoomKind
    organisation_id: UUID | None
    name: str
    about: str
    public: bool
    subject_id: UUID | None
    slow_mode_s: int
    retention_days: int | None
    archived: bool
    version: int
    subject: RoomSubject | None = None
    """What a room is called after that a booking names. `name` says it in the house's words, whoever reads."""


class Scene(msgspec.Struct):
    """A client's picture of a room: what HTTP says of it, and of its messages from the first that the client has read."""

    room: RoomFacts
    members: dict[UUID, Member]
    messages: dict[UUID, Message]
    pins: set[UUID]


class Created(msgspec.Struct, frozen=True):
    """`replies`: how many the thread has now that it is a reply in."""

    message: Message
    replies: int | None = None


class Edited(msgspec.Struct, frozen=True):
    id: UUID
    text: str
    html: str
    mentions: list[UUID]
    edited_at: datetime


class Deleted(msgspec.Struct, frozen=True):
    """`replies`: how many the thread has left that it was a reply in."""

    id: UUID
    thread_id: UUID | None = None
    replies: int | None = None


class Previewed(msgspec.Struct, frozen=True):
    """What stands behind the links of a message now; none when its sender took it away."""

    id: UUID
    previews: list[LinkPreview]


class Pinned(msgspec.Struct, frozen=True):
    id: UUID


class Reacted(msgspec.Struct, frozen=True):
    message_id: UUID
    emoji: str
    account_id: UUID


class MemberIs(msgspec.Struct, frozen=True):
    member: Member


class Gone(msgspec.Struct, frozen=True):
    account_id: UUID


class Forgotten(msgspec.Struct, frozen=True):
    """Somebody's account was erased: of the messages numbered above `after_seq` and up to `through_seq` theirs are deleted, and
    their reactions to the others are gone. `replies`: how many the threads have left that lost some; `unnamed`: messages of
    others that mention them, without the name now."""

    account_id: UUID
    after_seq: int
    through_seq: int
    replies: dict[UUID, int]
    unnamed: list[UUID]


class RoomIs(msgspec.Struct, frozen=True):
    room: RoomFacts


class Trimmed(msgspec.Struct, frozen=True):
    """Messages numbered below `before_seq` are gone."""

    before_seq: int


Happening = Created | Edited | Deleted | Previewed | Pinned | Reacted | MemberIs | Gone | Forgotten | RoomIs | Trimmed

SHAPES: dict[str, type[Happening]] = {
    "message.created": Created,
    "message.edited": Edited,
    "message.deleted": Deleted,
    "message.previewed": Previewed,
    "message.pinned": Pinned,
    "message.unpinned": Pinned,
    "reaction.added": Reacted,
    "reaction.removed": Reacted,
    "member.joined": MemberIs,
    "member.changed": MemberIs,
    "member.left": Gone,
    "member.forgotten": Forgotten,
    "room.changed": RoomIs,
    "history.trimmed": Trimmed,
}
"""Every numbered event of a room, and what it carries."""


def after(scene: Scene, kind: str, data: bytes) -> None:
    """Applies one event to the picture. Of messages the client never read, nothing is noted.

    Every event says how something is now, never by how much it changed: a picture that was read while things happened, and is
    given some of them once more, still ends as it should.
    """
    shape = msgspec.json.decode(data, type=SHAPES[kind])
    messages = scene.messages
    match shape:
        case Created(message, replies):
            messages[message.id] = message
            _change(messages, message.thread_id, replies=replies)
        case Edited() | Previewed():
            _change(messages, shape.id, **{f: getattr(shape, f) for f in shape.__struct_fields__ if f != "id"})
        case Deleted():
            if shape.id in messages:
                messages[shape.id] = without_words(messages[shape.id])
            scene.pins.discard(shape.id)
            _change(messages, shape.thread_id, replies=shape.replies)
        case Pinned(id):
            pinned = kind == "message.pinned"
            _change(messages, id, pinned=pinned)
            (scene.pins.add if pinned else scene.pins.discard)(id)
        case Reacted(id, emoji, account_id):
            if id in messages:
                step = with_reaction if kind == "reaction.added" else without_reaction
                _change(messages, id, reactions=step(messages[id].reactions, emoji, account_id))
        case MemberIs(one):
            scene.members[one.account_id] = one
        case Gone(account_id):
            scene.members.pop(account_id, None)
        case Forgotten():
            _forget(scene, shape)
        case RoomIs(room):
            scene.room = room
        case Trimmed(before_seq):
            _trim(scene, before_seq)


def _trim(scene: Scene, before_seq: int) -> None:
    for old in [m for m in scene.messages.values() if m.seq < before_seq]:
        del scene.messages[old.id]
        scene.pins.discard(old.id)


def _forget(scene: Scene, gone: Forgotten) -> None:
    for message in list(scene.messages.values()):
        if not gone.after_seq < message.seq <= gone.through_seq:
            continue
        if message.sender_id == gone.account_id:
            scene.messages[message.id] = without_words(message)
            scene.pins.discard(message.id)
        else:
            kept = without_person(message.reactions, gone.account_id)
            _change(scene.messages, message.id, reactions=kept)
    for id, replies in gone.replies.items():
        _change(scene.messages, id, replies=replies)
    for message in [scene.messages[id] for id in gone.unnamed if id in scene.messages]:
        text, html = without_name(message.text, message.html, gone.account_id)
        _change(scene.messages, message.id, text=text, html=html)


def _change(messages: dict[UUID, Message], id: UUID | None, **changes: object) -> None:
    if id is not None and id in messages:
        messages[id] = msgspec.structs.replace(messages[id], **changes)


def with_reaction(reactions: list[Reaction], emoji: str, account_id: UUID) -> list[Reaction]:
    """In the order in which the kinds first appeared, and within one, the people. One who is there is not there twice."""
    if any(r.emoji == emoji and account_id in r.account_ids for r in reactions):
        return reactions
    if not any(r.emoji == emoji for r in reactions):
        return [*reactions, Reaction(emoji, [account_id])]
    return [Reaction(r.emoji, [*r.account_ids, account_id]) if r.emoji == emoji else r for r in reactions]


def without_reaction(reactions: list[Reaction], emoji: str, account_id: UUID) -> list[Reaction]:
    rest = [Reaction(r.emoji, [a for a in r.account_ids if a != account_id]) if r.emoji == emoji else r for r in reactions]
    return [r for r in rest if r.account_ids]


def without_person(reactions: list[Reaction], account_id: UUID) -> list[Reaction]:
    rest = [Reaction(r.emoji, [a for a in r.account_ids if a != account_id]) for r in reactions]
    return [r for r in rest if r.account_ids]


def without_words(message: Message) -> Message:
    """What stays of a deleted message: its place, its sender and what hangs on it."""
    return msgspec.structs.replace(
        message,
        text="",
        html="",
        deleted=True,
        pinned=False,
        edited_at=None,
        mentions=[],
        reactions=[],
        attachments=[],
        previews=[],
    )


# ------------------------------------------------------------------------------------------------------- who is disturbed


def quiet_at(hours: QuietHours, moment: datetime) -> bool:
    """Whether somebody is not to be disturbed at `moment`, by the clock of their hours' zone; a weekday is that of the start.

    An hour that comes twice is quiet both times.
    """
    local = moment.astimezone(ZoneInfo(hours.timezone))
    began = began_on(time.fromisoformat(hours.start), time.fromisoformat(hours.end), local)
    return began is not None and (not hours.weekdays or began.weekday() in hours.weekdays)
