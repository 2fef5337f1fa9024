"""Who is here, in all realtime processes together: how many sockets each account has, and who hears of comings and goings.

In the hours in which somebody is not to be disturbed they are shown so, whatever their sockets say but that they are not here.
Each process writes what it has, whole, and anyone's death is noticed by the others: it stopped beating, so its sockets do not
count, and one of the others takes them away and tells those who followed. When Valkey was wiped each process writes again.
While Valkey is away the limit of sockets holds within each process, and nobody hears of comings and goings.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import msgspec
import structlog
from valkey.asyncio import Valkey
from valkey.exceptions import ValkeyError

from forecourt.kernel.clock import Clock
from forecourt.kernel.live import Announcer, end
from forecourt.kernel.presence import DEAD_S, NODES, SEEN_S, State, here_key, seen_key
from forecourt.kernel.topics import TopicEvent

log = structlog.get_logger("forecourt.people")

MAX_SOCKETS = 5
"""Of one account, over all processes."""
HERE_S = 120
"""What a process wrote is forgotten after so long, unless it wrote again."""
REWRITE_S = 30.0
BEAT_S = 1.0
GRACE_S = 3.0
"""Somebody who goes from page to page, or comes back after a lost connection, has not left."""
ANSWER_S = 1.0
BATCH = 100
FORGET_NODE_S = 600
HOURS_S = 300.0
"""How long a person's quiet hours are remembered; a new socket asks anew."""

Quiet = Callable[[datetime], bool]
"""Whether somebody is not to be disturbed at a moment."""
QuietHoursOf = Callable[[UUID], Awaitable[Quiet | None]]

# A state's rank, the fields of dead processes left out; tells the topics when the state is another than the one told last, and
# else the fresh ones, whose followers were told nothing of this person yet.
_SETTLE = """
local rank = {offline = 1, away = 2, online = 3, dnd = 4}
local function settle(key, seen, now, dead, topics, fresh)
  local best = 'offline'
  local fields = redis.call('hgetall', key)
  for i = 1, #fields, 2 do
    local kind, node, rest = string.match(fields[i], '^([st]):([^:]+):(.*)$')
    if kind and dead[node] then redis.call('hdel', key, fields[i]) end
    if kind == 't' then topics[rest] = true end
    if kind == 's' and not dead[node] and rank[fields[i + 1]] > rank[best] then best = fields[i + 1] end
  end
  local said = redis.call('hget', key, 'said') or 'offline'
  if best == said then
    if best == 'offline' or not fresh[1] then return {} end
    return {best, now, unpack(fresh)}
  end
  redis.call('hset', key, 'said', best)
  if best == 'offline' then redis.call('set', seen, now, 'ex', ARGV[1]) end
  local told = {best, now}
  for topic in pairs(topics) do told[#told + 1] = topic end
  return told
end
"""
# ARGV: seen ttl, here ttl, now, node, counts of dead / sockets / topics, then these.
_WRITE = f"""{_SETTLE}
local now, node = ARGV[3], ARGV[4]
local at = 7
local dead, topics, had, fresh = {{}}, {{}}, {{}}, {{}}
for i = 1, tonumber(ARGV[5]) do at = at + 1; dead[ARGV[at]] = true end
local fields = redis.call('hkeys', KEYS[1])
local mine = node .. ':'
for _, field in ipairs(fields) do
  local kind, whose, rest = string.match(field, '^([st]):([^:]+):(.*)$')
  if kind == 't' and not dead[whose] then had[rest] = true end
  if string.sub(field, 3, 2 + #mine) == mine then
    if string.sub(field, 1, 1) == 't' then topics[string.sub(field, 3 + #mine)] = true end
    redis.call('hdel', KEYS[1], field)
  end
end
for i = 1, tonumber(ARGV[6]) do
  redis.call('hset', KEYS[1], 's:' .. mine .. ARGV[at + 1], ARGV[at + 2])
  at = at + 2
end
for i = 1, tonumber(ARGV[7]) do
  at = at + 1
  redis.call('hset', KEYS[1], 't:' .. mine .. ARGV[at], '1')
  if not had[ARGV[at]] then fresh[#fresh + 1] = ARGV[at] end
end
local told = settle(KEYS[1], KEYS[2], now, dead, topics, fresh)
redis.call('expire', KEYS[1], ARGV[2])
return told
"""
_BURY = f"""{_SETTLE}
local dead = {{}}
dead[ARGV[3]] = true
return settle(KEYS[1], KEYS[2], ARGV[2], dead, {{}}, {{}})
"""
# A place among the account's sockets, unless those of living processes fill it.
_CLAIM = """
local dead, count = {}, 0
for i = 5, #ARGV do dead[ARGV[i]] = true end
local fields = redis.call('hkeys', KEYS[1])
for _, field in ipairs(fields) do
  local node = string.match(field, '^s:([^:]+):')
  if node and not dead[node] and field ~= ARGV[1] then count = count + 1 end
end
if count >= tonumber(ARGV[3]) then return 0 end
redis.call('hset', KEYS[1], ARGV[1], ARGV[2])
redis.call('expire', KEYS[1], ARGV[4])
return 1
"""
_BEAT = """
local time = redis.call('time')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local last = redis.call('zscore', KEYS[1], ARGV[1])
redis.call('zremrangebyscore', KEYS[1], '-inf', now - ARGV[3])
redis.call('zadd', KEYS[1], now, ARGV[1])
return {now, last or '0', redis.call('zrangebyscore', KEYS[1], '-inf', now - ARGV[2], 'withscores')}
"""


class Person:
    """One account in this process."""

    __slots__ = ("asked_at", "due", "left", "quiet", "sockets", "topics", "written_at")

    def __init__(self) -> None:
        self.sockets: dict[int, State] = {}
        self.topics: Counter[str] = Counter()
        self.left: dict[str, float] = {}
        """Topics no socket follows any more, and until when they count as followed: the next page may follow them again."""
        self.due: float | None = None
        """When what is here has to be written; None: it has been."""
        self.written_at = 0.0
        self.quiet: Quiet | None = None
        self.asked_at = -math.inf
        """When their quiet hours were asked for."""


class PresenceChanged(msgspec.Struct, frozen=True):
    account_id: UUID
    state: State
    last_seen: str | None


class People:
    """The accounts with a socket in this process."""

    def __init__(
        self, valkey_url: str, announcer: Announcer, quiet_hours: QuietHoursOf, clock: Clock, moment: Callable[[float], str]
    ) -> None:
        """`moment` writes seconds since the epoch as the API writes times."""
        self.node = uuid4().hex
        self._valkey = Valkey.from_url(valkey_url, socket_timeout=None, socket_connect_timeout=ANSWER_S)
        self._write = self._valkey.register_script(_WRITE)
        self._bury = self._valkey.register_script(_BURY)
        self._claim = self._valkey.register_script(_CLAIM)
        self._beat = self._valkey.register_script(_BEAT)
        self._announcer = announcer
        self._quiet_hours = quiet_hours
        self._clock = clock
        self._moment = moment
        self._people: dict[UUID, Person] = {}
        self._due: set[UUID] = set()
        self._dead: list[str] = []
        self._now_ms = 0
        self._now_at = 0.0
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self._try_beat()
        self._tasks = [
            asyncio.create_task(self._beating(), name="people-beat"),
            asyncio.create_task(self._writing(), name="people-write"),
        ]

    async def stop(self) -> None:
        """Dead from now on, by its own word: its sockets do not count. Whoever comes back elsewhere in time never left."""
        await end(self._tasks)
        try:
            async with asyncio.timeout(ANSWER_S):
                await self._valkey.zadd(NODES, {self.node: self._clock_ms() - DEAD_S * 1000 - 1})
        except (ValkeyError, OSError, TimeoutError) as e:
            log.warning("end_untold", error=type(e).__name__)
        await self._valkey.aclose()

    # --- sockets

    async def claim(self, account_id: UUID, socket: int) -> bool:
        """A place for one more socket; False when the account has five. Goes with `leave`."""
        person = self._people.get(account_id)
        if person is not None and len(person.sockets) >= MAX_SOCKETS:
            return False
        person = self._people.setdefault(account_id, Person())
        person.sockets[socket] = State.ONLINE
        person.asked_at = -math.inf
        try:
            async with asyncio.timeout(ANSWER_S):
                granted = await self._claim(
                    keys=[here_key(account_id)],
                    args=[f"s:{self.node}:{socket}", State.ONLINE.value, MAX_SOCKETS, HERE_S, *self._dead],
                )
        except (ValkeyError, OSError, TimeoutError):
            granted = 1
        if not granted:
            del person.sockets[socket]
        self._touch(account_id, person, 0.0)
        return bool(granted)

    def leave(self, account_id: UUID, socket: int) -> None:
        person = self._people.get(account_id)
        if person is not None and person.sockets.pop(socket, None) is not None:
            self._touch(account_id, person, 0.0 if person.sockets else GRACE_S)

    def show(self, account_id: UUID, socket: int, state: State) -> None:
        """What the person wants to be seen as, as far as this socket is concerned."""
        person = self._people.get(account_id)
        if person is not None and socket in person.sockets and person.sockets[socket] is not state:
            person.sockets[socket] = state
            self._touch(account_id, person, 0.0)

    def follows(self, account_id: UUID, topic: str) -> None:
        """The followers of `topic` are told when this person comes or goes. Goes with `unfollows`."""
        person = self._people.get(account_id)
        if person is not None:
            person.topics[topic] += 1
            if person.topics[topic] == 1 and person.left.pop(topic, None) is None:
                self._touch(account_id, person, 0.0)

    def unfollows(self, account_id: UUID, topic: str) -> None:
        person = self._people.get(account_id)
        if person is None or topic not in person.topics:
            return
        person.topics[topic] -= 1
        if not person.topics[topic]:
            del person.topics[topic]
            person.left[topic] = time.monotonic() + GRACE_S
            self._touch(account_id, person, GRACE_S)

    def rewrite(self) -> None:
        """Valkey may have been wiped: everything is written again."""
        for account_id, person in self._people.items():
            self._touch(account_id, person, 0.0)

    def _touch(self, account_id: UUID, person: Person, delay_s: float) -> None:
        at = time.monotonic() + delay_s
        # Whoever comes back before the grace is over is written at once; whoever leaves in stages, at the end.
        person.due = min(person.due, at) if person.sockets and person.due is not None else at
        self._due.add(account_id)

    # --- writing

    async def _writing(self) -> None:
        while True:
            asked = self._ready(self._due)
            await self._ask_hours(asked)
            # Looked at again: whoever left while that was asked has a grace. From here nothing is waited for until all are taken.
            ready = self._ready(asked)
            if not ready:
                await asyncio.sleep(0.05)
                continue
            self._due.difference_update(ready)
            try:
                async with asyncio.timeout(ANSWER_S):
                    await self._write_all(ready)
            except (ValkeyError, OSError, TimeoutError) as e:
                log.warning("people_unwritten", error=type(e).__name__, count=len(ready))
                self._due.update(a for a in ready if a in self._people)
                await asyncio.sleep(0.5)

    def _ready(self, among: Collection[UUID]) -> list[UUID]:
        now = time.monotonic()
        return [a for a in among if (self._people[a].due or 0.0) <= now][:BATCH]

    async def _ask_hours(self, account_ids: Sequence[UUID]) -> None:
        """What cannot be asked now stays as it was."""
        now = time.monotonic()
        wanted = [a for a in account_ids if self._people[a].sockets and self._people[a].asked_at + HOURS_S < now]
        if not wanted:
            return
        answers = await asyncio.gather(*map(self._quiet_of, wanted), return_exceptions=True)
        for account_id, answer in zip(wanted, answers, strict=True):
            if isinstance(answer, BaseException):
                log.warning("quiet_hours_unknown", error=type(answer).__name__)
            else:
                self._people[account_id].quiet = answer
            self._people[account_id].asked_at = now

    async def _quiet_of(self, account_id: UUID) -> Quiet | None:
        async with asyncio.timeout(ANSWER_S):
            return await self._quiet_hours(account_id)

    def _shown(self, person: Person) -> dict[int, State]:
        """What each of their sockets says, or that they are not to be disturbed."""
        if person.quiet is None or not person.quiet(self._clock.now()):
            return person.sockets
        return {socket: state if state is State.OFFLINE else State.DO_NOT_DISTURB for socket, state in person.sockets.items()}

    async def _write_all(self, account_ids: Sequence[UUID]) -> None:
        for i in range(0, len(account_ids), BATCH):
            await self._write_some(account_ids[i : i + BATCH])

    async def _write_some(self, account_ids: Sequence[UUID]) -> None:
        async with self._valkey.pipeline(transaction=False) as pipe:
            now_ms = self._clock_ms()
            for account_id in account_ids:
                person = self._people[account_id]
                person.due = None
                person.written_at = time.monotonic()
                sockets = [x for socket, state in self._shown(person).items() for x in (str(socket), state.value)]
                topics = self._topics_of(account_id, person)
                counts = [len(self._dead), len(person.sockets), len(topics)]
                await self._write(
                    keys=[here_key(account_id), seen_key(account_id)],
                    args=[SEEN_S, HERE_S, now_ms, self.node, *counts, *self._dead, *sockets, *topics],
                    client=pipe,
                )
            here = [str(a) for a in account_ids if self._people[a].sockets]
            gone = [str(a) for a in account_ids if not self._people[a].sockets]
            if here:
                pipe.sadd(_node_key(self.node), *here)
                pipe.expire(_node_key(self.node), FORGET_NODE_S)
            if gone:
                pipe.srem(_node_key(self.node), *gone)
            answers: list[Any] = await pipe.execute(raise_on_error=True)
        for account_id, told in zip(account_ids, answers[: len(account_ids)], strict=True):
            self._tell(account_id, told)
            person = self._people[account_id]
            if not person.sockets and person.due is None:
                del self._people[account_id]

    def _topics_of(self, account_id: UUID, person: Person) -> list[str]:
        """Those followed now or a moment ago; looked at again when the first of the latter is over."""
        if not person.sockets:
            person.left.clear()
            return []
        now = time.monotonic()
        person.left = {topic: until for topic, until in person.left.items() if until > now}
        if person.left:
            self._touch(account_id, person, min(person.left.values()) - now)
        return [*person.topics, *person.left]

    def _tell(self, account_id: UUID, told: list[bytes]) -> None:
        if not told:
            return
        state = State(told[0].decode())
        seen = self._moment(float(told[1]) / 1000) if state is State.OFFLINE else None
        data = msgspec.json.encode(PresenceChanged(account_id, state, seen))
        for topic in told[2:]:
            self._announcer.publish(topic.decode(), "", TopicEvent(None, "presence.changed", data))

    # --- living and dead processes

    async def _beating(self) -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await self._try_beat()
            late = time.monotonic() - REWRITE_S
            for account_id, person in self._people.items():
                if person.due is None and person.written_at < late:
                    self._touch(account_id, person, 0.0)

    async def _try_beat(self) -> None:
        try:
            async with asyncio.timeout(ANSWER_S):
                answer: Any = await self._beat(keys=[NODES], args=[self.node, int(DEAD_S * 1000), FORGET_NODE_S * 1000])
            now, last, dead = answer
            self._now_ms, self._now_at = int(now), time.monotonic()
            self._dead = [node.decode() for node in dead[::2]]
            if self._now_ms - float(last) > DEAD_S * 1000:
                # We were taken for dead, or Valkey was wiped: what we wrote may be gone.
                self.rewrite()
            for node, beat_ms in zip(self._dead, dead[1::2], strict=True):
                if self._now_ms - float(beat_ms) > (DEAD_S + GRACE_S) * 1000:
                    await self._bury_node(node)
        except (ValkeyError, OSError, TimeoutError) as e:
            log.warning("beat_failed", error=type(e).__name__)

    async def _bury_node(self, node: str) -> None:
        """Takes away what a dead process left, and tells those who followed its people; shared among those who noticed."""
        while True:
            async with asyncio.timeout(ANSWER_S):
                some: Any = await self._valkey.execute_command("SRANDMEMBER", _node_key(node), BATCH)
                if not some:
                    return
                left = [UUID(a.decode()) for a in some]
                async with self._valkey.pipeline(transaction=False) as pipe:
                    for account_id in left:
                        keys = [here_key(account_id), seen_key(account_id)]
                        await self._bury(keys=keys, args=[SEEN_S, self._clock_ms(), node], client=pipe)
                    told = await pipe.execute(raise_on_error=True)
                # Only now: should we die before, another one finds them again.
                await self._valkey.execute_command("SREM", _node_key(node), *some)
            for account_id, words in zip(left, told, strict=True):
                self._tell(account_id, words)

    def _clock_ms(self) -> int:
        """Valkey's clock, as of its last answer."""
        return self._now_ms + int((time.monotonic() - self._now_at) * 1000)


def _node_key(node: str) -> str:
    return f"forecourt:realtime:node:{node}"
