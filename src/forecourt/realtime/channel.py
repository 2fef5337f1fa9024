"""One topic in this process: who follows it here, and up to which number it has been forwarded.

Everybody in the channel knows everything up to its position. A number that is too high waits `REORDER_S` for those before it,
because two processes may announce out of order; then what is missing is read from the topic's source. Whoever joins is first
brought to where the channel is, or the channel to where they are.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING
from uuid import UUID

import structlog
from msgspec import UNSET

from forecourt.kernel.errors import NotFound, Problem, Unavailable
from forecourt.kernel.live import frame_of
from forecourt.kernel.topics import Position, Subscription, TopicEvent, TopicSource
from forecourt.realtime.client import Client, write_all
from forecourt.realtime.frames import Reset, Subscribed, Unsubscribed, framed, say

if TYPE_CHECKING:
    from forecourt.realtime.server import Realtime

log = structlog.get_logger("forecourt.realtime")

REORDER_S = 0.05
AHEAD = 500
"""Frames that wait for those before them."""
RECENT = 32
"""Frames kept for somebody who joins while they are being sent."""
RECENT_S = 10.0
JOIN_TRIES = 10


class Channel:
    __slots__ = (
        "_ahead",
        "_catching",
        "_lock",
        "_now",
        "_now_discreet",
        "_recent",
        "_server",
        "_spoken_at",
        "_stirred",
        "_timer",
        "checked_at",
        "clients",
        "discreet",
        "ended",
        "holds",
        "mutual",
        "position",
        "presence",
        "renamed",
        "shown",
        "source",
        "topic",
    )

    def __init__(self, server: Realtime, topic: str, shown: str, source: TopicSource) -> None:
        self.topic = topic
        self.shown = shown
        """What clients call it: `inbox` for `inbox:<account>`."""
        self.source = source
        self.clients: set[Client] = set()
        self.mutual = False
        """Whether followers tell of themselves here."""
        self.discreet: set[Client] | None = None
        """Those who tell nothing of themselves, and hear nothing of it from others; None while there are none."""
        self.position: Position | None = None
        """Forwarded up to here; None until the first has joined."""
        self.holds = 0
        """Who follows, and who is about to."""
        self.presence = False
        self.ended = False
        self.checked_at = time.monotonic()
        self.renamed = (b'"topic":"%s"' % topic.encode(), b'"topic":"%s"' % shown.encode()) if shown != topic else None
        self._server = server
        self._lock = asyncio.Lock()
        self._ahead: dict[int, bytes] = {}
        self._catching = False
        self._timer: asyncio.TimerHandle | None = None
        self._now: list[bytes] = []
        """Frames of this turn of the loop."""
        self._now_discreet: list[bytes] | None = None
        """The same for the discreet; None while there is no difference."""
        self._recent: deque[tuple[int, bytes]] | None = None
        self._spoken_at = 0.0
        self._stirred = False

    # --- what is announced

    def heard(self, epoch: str, seq: int | None, frame: bytes) -> None:
        if self.renamed is not None:
            frame = frame.replace(*self.renamed, 1)
        if seq is None:
            self._forward(framed(frame))
            return
        here = self.position
        if here is None:
            # The first is about to join and may have read just before this was committed.
            self._stirred = True
            return
        if epoch == here.epoch and seq <= here.seq:
            return
        if epoch != here.epoch:
            self.look()
        elif seq == here.seq + 1 and not self._catching:
            self._advance(seq, framed(frame))
            self._close_ranks()
        elif len(self._ahead) < AHEAD:
            self._ahead[seq] = framed(frame)
            if not self._catching:
                self.look(REORDER_S)

    # What people tell of themselves is not numbered: it may come a little before or after what is.

    def exchanged(self, account_id: UUID, frame: bytes) -> None:
        """Something that one person tells those who tell such things too."""
        frame = framed(frame)
        if self.discreet:
            for client in self.discreet:
                if client.account_id == account_id:
                    client.queue(frame)
            if self._now_discreet is None:
                self._now_discreet = list(self._now)
        if not self._now:
            self._server.speaking(self)
        self._now.append(frame)

    def confided(self, account_id: UUID, frame: bytes) -> None:
        """Something that a person's own sockets hear and nobody else."""
        frame = framed(frame)
        for client in self.clients:
            if client.account_id == account_id:
                client.queue(frame)

    def turn(self, account_id: UUID, *, discreet: bool) -> None:
        """A person is discreet now, or no longer."""
        self.flush()
        for client in self.clients:
            if client.account_id == account_id:
                self._become(client, discreet=discreet)

    def _become(self, client: Client, *, discreet: bool) -> None:
        """What a socket knows of others is another thing from now on: it has to be read again."""
        here, known = self.position, self.discreet or set()
        if here is None or not self.mutual or (client in known) == discreet:
            return
        (known.add if discreet else known.discard)(client)
        self.discreet = known or None
        client.queue(say(Reset(self.shown, here.epoch, here.seq)))

    def _advance(self, seq: int, frame: bytes) -> None:
        assert self.position is not None  # noqa: S101 - only who has joined advances
        self.position = Position(self.position.epoch, seq)
        self._forward(frame)
        if self._recent is None:
            self._recent = deque(maxlen=RECENT)
        self._recent.append((seq, frame))

    def _close_ranks(self) -> None:
        """Forwards what waited and has its turn now."""
        while self._ahead and self.position is not None:
            seq = self.position.seq + 1
            frame = self._ahead.pop(seq, None)
            if frame is None:
                break
            self._advance(seq, frame)
        if not self._ahead and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forward(self, frame: bytes) -> None:
        if not self._now:
            self._server.speaking(self)
        self._now.append(frame)
        if self._now_discreet is not None:
            self._now_discreet.append(frame)

    def flush(self) -> None:
        """Hands this turn's frames, joined once, to everybody's queue."""
        self._share_out(self._queue)

    def speak(self) -> None:
        """Writes them at once, for a turn in which nobody else speaks: there is nothing that they could be joined with."""
        self._share_out(write_all)

    def _share_out(self, hand: Callable[[bytes, set[Client]], None]) -> None:
        frames, self._now = self._now, []
        fewer, self._now_discreet = self._now_discreet, None
        if not frames:
            return
        self._spoken_at = time.monotonic()
        if fewer is None or not self.discreet:
            self._hand(frames, self.clients, hand)
        else:
            self._hand(frames, self.clients - self.discreet, hand)
            self._hand(fewer, self.discreet, hand)

    def _hand(self, frames: list[bytes], clients: set[Client], hand: Callable[[bytes, set[Client]], None]) -> None:
        if frames:
            hand(frames[0] if len(frames) == 1 else b"".join(frames), clients)
            self._server.delivered(len(frames) * len(clients))

    def _queue(self, frames: bytes, clients: set[Client]) -> None:
        dirty = self._server.dirty_clients
        for client in clients:
            if not client.closing:
                if client.out:
                    client.out += frames
                else:
                    dirty.append(client)
                    client.out = frames

    def rest(self, now: float) -> None:
        """A channel in which nothing happens keeps nothing."""
        if self._recent is not None and now - self._spoken_at > RECENT_S:
            self._recent = None

    # --- what is missing

    def look(self, delay_s: float = 0.0) -> None:
        """Asks the source what is missing, unless that is already planned."""
        if self._timer is None and not self._catching and not self.ended:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._look)

    def _look(self) -> None:
        self._timer = None
        self._server.spawn(self._catch_up_alone())

    async def _catch_up_alone(self) -> None:
        async with self._lock:
            await self._catch_up()

    async def _catch_up(self) -> None:
        """Brings everybody to where the topic is. Under the lock."""
        here = self.position
        if here is None or self.ended:
            return
        self._catching = True
        try:
            answer = await self.source.after(self._server.context(), self.topic, here)
        except NotFound:
            self.end()
            return
        except Problem as e:
            # The heads are compared every few seconds, and then it is asked again.
            log.warning("catch_up_failed", topic=self.topic, code=e.code)
            return
        finally:
            self._catching = False
        if answer.recovered and answer.position.epoch == here.epoch:
            for event in answer.events:
                self._take(event)
        else:
            self._reset(answer.position)
        reached = self._seq
        self._ahead = {seq: frame for seq, frame in self._ahead.items() if seq > reached}
        self._close_ranks()

    @property
    def _seq(self) -> int:
        return self.position.seq if self.position is not None else 0

    def _take(self, event: TopicEvent) -> None:
        if event.seq is not None and event.seq == self._seq + 1:
            self._advance(event.seq, self._frame(event))

    def _frame(self, event: TopicEvent) -> bytes:
        epoch = self.position.epoch if self.position is not None else ""
        return framed(frame_of(self.shown, epoch, event))

    def _reset(self, to: Position) -> None:
        self.position = to
        self._ahead.clear()
        self._recent = None
        self._forward(say(Reset(self.shown, to.epoch, to.seq)))

    def compare(self, head: Position) -> None:
        """Where the source says that the topic is."""
        here = self.position
        if here is None or (head.epoch == here.epoch and head.seq <= here.seq):
            return
        # What was committed a moment ago may be on its way.
        self.look(REORDER_S if head.epoch == here.epoch else 0.0)

    # --- coming and going

    async def join(self, client: Client, answer: Subscription, *, knew: bool) -> None:
        """Lets the client in where the channel is: it gets everything after what it `knew`, nothing twice, or a `reset`.

        Raises Problem when the source does not answer.
        """
        async with self._lock:
            if self.position is None:
                self._begin(answer.position)
            else:
                await self._reach(answer.position)
            missed = await self._missed(answer) if knew and answer.recovered else None
            here = self.position
            if client.closing or self.ended or here is None:
                return
            self.flush()  # what this turn has for the others is among what was missed
            if not knew:
                client.queue(say(Subscribed(self.shown, here.epoch, here.seq, recovered=False)))
            elif missed is None:
                client.queue(say(Reset(self.shown, here.epoch, here.seq)))
            else:
                # The position is the one after the missed events, which follow.
                client.queue(say(Subscribed(self.shown, here.epoch, here.seq, recovered=True)))
                if missed:
                    client.queue(b"".join(missed))
            self.presence = answer.presence
            self.clients.add(client)
            self.mutual = answer.discreet is not None
            if answer.discreet:
                self.discreet = self.discreet or set()
                self.discreet.add(client)
            client.channels[self.topic] = self

    def _begin(self, at: Position) -> None:
        self.position = at
        if self._stirred:
            self._stirred = False
            self.look()

    async def _reach(self, at: Position) -> None:
        """Brings the channel at least to `at`, which its source has just named. Raises Unavailable."""
        if self._behind(at):
            await self._catch_up()
        if self._behind(at):
            raise Unavailable("this topic cannot be read right now")

    def _behind(self, at: Position) -> bool:
        return self.position is not None and (self.position.epoch != at.epoch or self.position.seq < at.seq)

    async def _missed(self, answer: Subscription) -> list[bytes] | None:
        """Frames of everything between what a client knew and where the channel is; None when that cannot be told any more."""
        frames = [self._frame(event) for event in answer.events]
        at = answer.position
        for _ in range(JOIN_TRIES):
            recent = self._recent_after(at)
            if recent is not None:
                return [*frames, *recent]
            more = await self.source.after(self._server.context(), self.topic, at)
            if not more.recovered:
                return None
            frames += [self._frame(event) for event in more.events]
            at = more.position
            await self._reach(at)
        return None

    def _recent_after(self, at: Position) -> list[bytes] | None:
        here = self.position
        if here is None or here.epoch != at.epoch:
            return None
        if here.seq == at.seq:
            return []
        if self._recent and self._recent[0][0] <= at.seq + 1:
            return [frame for seq, frame in self._recent if seq > at.seq]
        return None

    def leave(self, client: Client, code: str | None) -> None:
        """The client follows no longer; `code` says why when it did not ask for it."""
        if self.drop(client):
            client.queue(say(Unsubscribed(self.shown, UNSET if code is None else code)))
            self._server.left(self, client)

    def drop(self, client: Client) -> bool:
        """Without a word; False for who did not follow."""
        self.clients.discard(client)
        if self.discreet is not None:
            self.discreet.discard(client)
        return client.channels.pop(self.topic, None) is not None

    def end(self) -> None:
        """There is no such topic any more."""
        self.ended = True
        self.flush()
        for client in list(self.clients):
            self.leave(client, "not_found")

    # --- who may

    async def judge(self, account_ids: list[UUID]) -> None:
        """Puts out who may follow no longer, and finds who is discreet. Raises Problem when the source does not answer."""
        self.checked_at = time.monotonic()
        still = set(await self.source.allowed(self._server.context(), self.topic, account_ids))
        gone = {a for a in account_ids if a not in still}
        self.flush()
        for client in [c for c in self.clients if c.account_id in gone]:
            self.leave(client, "not_found")
        if not self.mutual or not still:
            return
        quiet = set(await self.source.discreet(self._server.context(), self.topic, sorted(still)))
        self.flush()
        for client in self.clients:
            if client.account_id in still:
                self._become(client, discreet=client.account_id in quiet)
