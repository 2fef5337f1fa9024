"""The sockets of one process: letting clients in, doing what they ask, forwarding what happens, and the clockwork around it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog

from forecourt.kernel import telemetry
from forecourt.kernel.clock import JITTER, Clock
from forecourt.kernel.context import Actor, Context, service_context
from forecourt.kernel.errors import (
    BadRequest,
    FieldError,
    Internal,
    Invalid,
    NotFound,
    Problem,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
)
from forecourt.kernel.http.gate import AccountClosed, Gate, Pass
from forecourt.kernel.live import Hub, end
from forecourt.kernel.log import TRACE
from forecourt.kernel.metrics import Metrics
from forecourt.kernel.presence import State
from forecourt.kernel.replica import newest
from forecourt.kernel.topics import Subscription, TopicSource, well_written
from forecourt.realtime.channel import Channel
from forecourt.realtime.client import MAX_TOPICS, Client, Credentials
from forecourt.realtime.frames import PONG, Authenticated, Bye, Close, Op, acked, decode_op, failed, say
from forecourt.realtime.people import People, QuietHoursOf

log = structlog.get_logger("forecourt.realtime")

MAX_CLIENTS = 20_000
"""Of one process; beyond, handshakes are answered with 503."""
HANDSHAKE_S = 5.0
"""For saying who it is."""
IDLE_S = 25.0
"""A client that says nothing for so long is pinged …"""
LOST_S = 60.0
"""… and cut off when it still says nothing."""
TICK_S = 1.0
HEADS_S = 3.0
HEADS_AT_ONCE = 500
ALLOWED_S = 60.0
JUDGE_AT_ONCE = 50
JUDGES = 4
CALL_S = 5.0
DRAIN_SPREAD_MS = 5_000
DRAIN_S = 3.0
UNCHECKED_S = 30.0
"""How long sockets stay open while nobody can say whether their accounts still are."""


class TooManyTopics(TooManyRequests):
    code = "too_many_topics"
    title = "One socket follows at most 200 topics"


class Realtime:
    """The socket server of one process. `start`, hand `client_for` to the door, `drain` before the process ends, then `stop`."""

    def __init__(
        self,
        hub: Hub,
        gate: Gate,
        sources: Mapping[str, TopicSource],
        quiet_hours: QuietHoursOf,
        valkey_url: str,
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        """`sources` answer for topics by the name before the first colon; `quiet_hours` tells when nobody is to be disturbed."""
        self._hub = hub
        self._gate = gate
        self._sources = dict(sources)
        self._metrics = metrics
        self._clock = clock
        self.people = People(valkey_url, hub, quiet_hours, clock, _rfc3339)
        self._clients: set[Client] = set()
        self._channels: dict[str, Channel] = {}
        self.dirty_clients: list[Client] = []
        """Those for whom this turn of the loop has something."""
        self._speaking: list[Channel] = []
        self._flush_planned = False
        self._number = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._errands: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()
        self._draining = False
        self._empty = asyncio.Event()
        self._service = service_context("realtime")

    async def start(self) -> None:
        self._hub.attach(self)
        await self.people.start()
        self._tasks = [
            asyncio.create_task(self._ticking(), name="realtime-tick"),
            asyncio.create_task(self._comparing(), name="realtime-heads"),
        ]

    async def drain(self) -> None:
        """Says goodbye: each client is told when to come back, spread over five seconds, and closed."""
        self._draining = True
        for client in list(self._clients):
            client.close(Close.GOING, last=say(Bye(JITTER.randrange(DRAIN_SPREAD_MS))))
        try:
            async with asyncio.timeout(DRAIN_S):
                while self._clients:
                    self._empty.clear()
                    await self._empty.wait()
        except TimeoutError:
            for client in list(self._clients):
                client.cut()

    async def stop(self) -> None:
        self._draining = True
        for client in list(self._clients):
            client.cut()
        await end([*self._tasks, *self._errands])
        self._hub.detach(self)
        await self.people.stop()

    @property
    def open_sockets(self) -> int:
        return len(self._clients)

    @property
    def full(self) -> bool:
        return self._draining or len(self._clients) >= MAX_CLIENTS

    def context(self) -> Context:
        """The house itself asking, with time for one call."""
        return msgspec.structs.replace(self._service, deadline=self._clock.now() + timedelta(seconds=CALL_S))

    def _context_of(self, client: Client, actor: Actor) -> Context:
        return Context(
            actor=actor,
            trace_id=TRACE.get(),
            deadline=self._clock.now() + timedelta(seconds=CALL_S),
            address=client.address,
            agent="socket",
        )

    def spawn(self, errand: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(errand)
        self._errands.add(task)
        task.add_done_callback(self._errand_done)

    def _errand_done(self, task: asyncio.Task[None]) -> None:
        self._errands.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("errand_failed", exc_info=task.exception())

    # --- letting in

    def client_for(self, credentials: Credentials, address: str) -> Client:
        self._number += 1
        return Client(self, self._number, credentials, address)

    def opened(self, client: Client) -> None:
        self._clients.add(client)
        self._metrics.sockets.inc()
        credentials = client.credentials
        if credentials is not None and (credentials.token or credentials.cookie):
            self.spawn(self._admit(client, credentials))
        else:
            client.credentials = None

    def gone(self, client: Client) -> None:
        self._clients.discard(client)
        self._metrics.sockets.dec()
        for channel in list(client.channels.values()):
            channel.drop(client)
            self.left(channel, client)
        if client.account_id is not None:
            self.people.leave(client.account_id, client.id)
        if not self._clients:
            self._empty.set()

    def closed_with(self, code: Close) -> None:
        self._metrics.socket_closed(code.name.lower())

    async def _admit(self, client: Client, credentials: Credentials) -> None:
        try:
            held = await self._known(credentials)
        except AccountClosed:
            client.close(Close.SUSPENDED)
            return
        except Unavailable:
            client.close(Close.TRY_LATER)
            return
        except Problem:
            client.close(Close.BAD_TOKEN)
            return
        account_id = held.actor.account_id
        if account_id is None:
            client.close(Close.BAD_TOKEN)
            return
        if not await self.people.claim(account_id, client.id):
            client.close(Close.TOO_MANY)
            return
        if client.closing:
            self.people.leave(account_id, client.id)
            return
        client.account_id, client.held, client.credentials = account_id, held, None
        self._next(client)

    async def _known(self, credentials: Credentials) -> Pass:
        if credentials.token:
            return await self._gate.pass_of_token(credentials.token)
        return await self._gate.pass_of_session(credentials.cookie)

    def unknown_said(self, client: Client, message: bytes) -> None:
        """A client that has not said who it is may do so in its first frame."""
        if client.credentials is not None:
            return
        try:
            op = decode_op(message)
        except msgspec.MsgspecError:
            op = Op("")
        if op.op != "auth" or not op.token:
            client.close(Close.BAD_TOKEN)
            return
        client.credentials = Credentials(op.token)
        self.spawn(self._admit(client, client.credentials))

    # --- what clients say

    def said(self, client: Client, message: bytes) -> None:
        """One frame of a client that is known; the next is taken when this one is done."""
        client.begin()
        if not self._quick(client, message):
            self.spawn(self._work(client, message))
            return
        self._next(client)

    def _next(self, client: Client) -> None:
        while not client.closing:
            message = client.done()
            if message is None:
                return
            client.begin()
            if not self._quick(client, message):
                self.spawn(self._work(client, message))
                return

    def _quick(self, client: Client, message: bytes) -> bool:
        """What needs nobody else is done at once; False for the rest."""
        try:
            op = decode_op(message)
        except msgspec.MsgspecError:
            client.queue(failed(BadRequest("a frame is a JSON object with `op`"), None))
            return True
        match op.op:
            case "ping":
                client.queue(PONG)
            case "presence":
                self._show(client, op)
            case "unsubscribe":
                self._unsubscribe(client, op)
            case "subscribe" | "send" | "read" | "typing" | "auth":
                return False
            case _:
                client.queue(failed(_invalid("op", "there is no such operation"), op))
        return True

    async def _work(self, client: Client, message: bytes) -> None:
        op = decode_op(message)
        trace_id = uuid4().hex
        TRACE.set(trace_id)  # of this task alone
        try:
            with (
                newest(),  # whoever is on a socket was just told of something
                telemetry.span(f"socket {op.op}", side=telemetry.Side.SERVER, trace_id=trace_id),
            ):
                await self._do(client, op, message)
        except Problem as problem:
            client.queue(failed(problem, op))
        except Exception as e:
            log.error("op_failed", op=op.op, error=type(e).__name__, exc_info=e)
            client.queue(failed(Internal(), op))
        self._next(client)

    async def _do(self, client: Client, op: Op, message: bytes) -> None:
        held = client.held
        if held is None or client.closing:
            return
        if op.op == "auth":
            await self._renew(client, op)
            return
        try:
            actor = await self._gate.admit(held)
        except (AccountClosed, Unauthenticated):
            await self._recheck(client, held)
            return
        ctx = self._context_of(client, actor)
        if op.op == "subscribe":
            await self._subscribe(client, ctx, op)
            return
        source, topic = self._source_of(op.topic, client)
        passed_over = op.op == "typing" and not client.types(topic, time.monotonic())
        ack = None if passed_over else await source.perform(ctx, topic, op.op, message)
        if ack is not None or op.ref:
            client.queue(acked(op, ack))

    async def _renew(self, client: Client, op: Op) -> None:
        """A fresh token for the same account."""
        try:
            held = await self._gate.pass_of_token(op.token)
        except AccountClosed:
            client.close(Close.SUSPENDED)
            return
        except Unavailable:
            raise
        except Problem:
            client.close(Close.BAD_TOKEN)
            return
        if held.actor.account_id != client.account_id:
            client.close(Close.BAD_TOKEN)
            return
        client.held = held
        client.queue(say(Authenticated(max(0, int(held.expires - self._clock.now().timestamp())))))

    def _show(self, client: Client, op: Op) -> None:
        try:
            state = State(op.state)
        except ValueError:
            client.queue(failed(_invalid("state", f"one of {', '.join(State)}"), op))
            return
        if client.account_id is not None:
            self.people.show(client.account_id, client.id, state)

    # --- topics

    def _source_of(self, topic: str, client: Client) -> tuple[TopicSource, str]:
        """Who answers for a topic, and its canonical name. Raises NotFound, Invalid."""
        prefix, colon, _ = well_written(topic).partition(":")
        source = self._sources.get(prefix)
        if source is None:
            raise NotFound
        return source, topic if colon else f"{topic}:{client.account_id}"

    async def _subscribe(self, client: Client, ctx: Context, op: Op) -> None:
        source, topic = self._source_of(op.topic, client)
        if topic in client.channels:
            self._leave(client, client.channels[topic])
        if len(client.channels) >= MAX_TOPICS:
            raise TooManyTopics
        channel = self._channels.get(topic)
        if channel is None:
            shown = op.topic if ":" not in op.topic else topic
            channel = self._channels[topic] = Channel(self, topic, shown, source)
        channel.holds += 1
        try:
            await self._hub.follow(topic)
            # The announcements come first: what happens from now on is heard, what happened before is read.
            answer: Subscription = await source.follow(ctx, topic, op.since)
            if answer.topic != topic:
                raise NotFound
            await channel.join(client, answer, knew=op.since is not None)
        finally:
            if topic not in client.channels:
                self._release(channel)
        if channel.presence and client.account_id is not None and topic in client.channels:
            self.people.follows(client.account_id, topic)

    def _unsubscribe(self, client: Client, op: Op) -> None:
        try:
            _, topic = self._source_of(op.topic, client)
        except (NotFound, Invalid) as problem:
            client.queue(failed(problem, op))
            return
        channel = client.channels.get(topic)
        if channel is not None:
            channel.leave(client, None)

    def _leave(self, client: Client, channel: Channel) -> None:
        """Quietly, because the client is about to follow again."""
        channel.drop(client)
        self.left(channel, client)

    def left(self, channel: Channel, client: Client) -> None:
        """A client is not in the channel any more."""
        if channel.presence and client.account_id is not None:
            self.people.unfollows(client.account_id, channel.topic)
        self._release(channel)

    def _release(self, channel: Channel) -> None:
        self._hub.leave(channel.topic)
        channel.holds -= 1
        if channel.holds == 0:
            channel.ended = True
            if self._channels.get(channel.topic) is channel:
                del self._channels[channel.topic]

    # --- what the hub says

    def heard(self, topic: str, epoch: str, seq: int | None, frame: bytes) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            channel.heard(epoch, seq, frame)

    def revoked(self, topic: str, account_id: UUID) -> None:
        channel = self._channels.get(topic)
        if channel is not None and any(c.account_id == account_id for c in channel.clients):
            self.spawn(self._judge(channel, [account_id]))

    def exchanged(self, topic: str, account_id: UUID, frame: bytes) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            channel.exchanged(account_id, frame)

    def confided(self, topic: str, account_id: UUID, frame: bytes) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            channel.confided(account_id, frame)

    def turned(self, topic: str, account_id: UUID, *, discreet: bool) -> None:
        channel = self._channels.get(topic)
        if channel is not None:
            channel.turn(account_id, discreet=discreet)

    def missed(self) -> None:
        """Valkey was away: nothing may have been announced, and what it knew may be gone."""
        self._wake.set()
        self.people.rewrite()

    # --- out, once per turn of the loop

    def dirty(self, client: Client) -> None:
        self.dirty_clients.append(client)
        self._plan_flush()

    def speaking(self, channel: Channel) -> None:
        self._speaking.append(channel)
        self._plan_flush()

    def _plan_flush(self) -> None:
        if not self._flush_planned:
            self._flush_planned = True
            asyncio.get_running_loop().call_soon(self._flush)

    def _flush(self) -> None:
        self._flush_planned = False
        speaking, self._speaking = self._speaking, []
        if len(speaking) == 1:
            speaking[0].speak()
        else:
            for channel in speaking:
                channel.flush()
        dirty, self.dirty_clients = self.dirty_clients, []
        for client in dirty:
            client.flush()

    def delivered(self, count: int) -> None:
        self._metrics.socket_events.inc(count)

    # --- clockwork

    async def _ticking(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now, wall = time.monotonic(), self._clock.now().timestamp()
            if self._gate.silent_s > UNCHECKED_S:
                self._close_unchecked()
            for client in list(self._clients):
                self._look_at(client, now, wall)
            for channel in self._channels.values():
                channel.rest(now)
            await self._judge_some(now)

    def _close_unchecked(self) -> None:
        for client in list(self._clients):
            client.close(Close.TRY_LATER)

    def _look_at(self, client: Client, now: float, wall: float) -> None:
        if client.closing:
            return
        if client.held is None:
            if now - client.opened_at > HANDSHAKE_S:
                client.close(Close.IDLE_HANDSHAKE)
            return
        if now - client.heard_at > LOST_S:
            client.cut()
        elif now - client.heard_at > IDLE_S and not client.pinged:
            client.ping()
        if wall >= client.held.expires:
            client.close(Close.BAD_TOKEN)
        elif self._gate.doubts(client.held):
            self.spawn(self._recheck(client, client.held))

    async def _recheck(self, client: Client, held: Pass) -> None:
        try:
            await self._gate.admit(held)
        except AccountClosed:
            client.close(Close.SUSPENDED)
        except Unauthenticated:
            client.close(Close.BAD_TOKEN)
        except Unavailable:
            # Not now; the next tick asks again, and too long a silence ends every socket.
            return

    async def _judge_some(self, now: float) -> None:
        """Every minute each topic is asked who may still follow it, a few each second. One's own topic stays one's own."""
        due = [c for c in self._channels.values() if c.renamed is None and c.clients and now - c.checked_at > ALLOWED_S]
        for i in range(0, min(len(due), JUDGE_AT_ONCE), JUDGES):
            await asyncio.gather(*(self._judge(c, None) for c in due[i : i + JUDGES]))

    async def _judge(self, channel: Channel, account_ids: list[UUID] | None) -> None:
        wanted = account_ids or list({c.account_id for c in channel.clients if c.account_id is not None})
        try:
            for i in range(0, len(wanted), 1000):
                await channel.judge(wanted[i : i + 1000])
        except Problem as e:
            log.warning("followers_unchecked", topic=channel.topic, code=e.code)

    async def _comparing(self) -> None:
        """Finds what was announced to nobody: compares where topics are with how far they were forwarded."""
        while True:
            try:
                async with asyncio.timeout(HEADS_S * JITTER.uniform(0.8, 1.2)):
                    await self._wake.wait()
            except TimeoutError:
                pass
            self._wake.clear()
            by_source: dict[int, list[Channel]] = {}
            for channel in self._channels.values():
                if channel.position is not None:
                    by_source.setdefault(id(channel.source), []).append(channel)
            for channels in by_source.values():
                for i in range(0, len(channels), HEADS_AT_ONCE):
                    await self._compare(channels[i : i + HEADS_AT_ONCE])

    async def _compare(self, channels: list[Channel]) -> None:
        try:
            heads = await channels[0].source.heads(self.context(), [c.topic for c in channels])
        except Problem as e:
            log.warning("heads_unread", code=e.code)
            return
        found = {head.topic: head.position for head in heads}
        for channel in channels:
            head = found.get(channel.topic)
            if head is None:
                channel.end()
            else:
                channel.compare(head)


def _invalid(path: str, message: str) -> Invalid:
    return Invalid(errors=[FieldError(path, message)])


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
