"""What subscribers have made of the log outlives it, and can be made anew: the log's months go when all are done with them."""

from __future__ import annotations

import asyncio
import random
import signal
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import msgspec
import pytest
from tests.kernel.conftest import Scratch
from tests.kernel.test_events import NOTES, Counted, count, with_tests

from forecourt.kernel import rebuild as rebuilding
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Query, Statement, Tx
from forecourt.kernel.events import ATTEMPTS, Delivery, Dispatcher, Envelope, Subscription, Turn, emit, replay
from forecourt.kernel.ids import new_id
from forecourt.kernel.jobs import Tidy, housekeeping
from forecourt.kernel.rebuild import CannotRebuild, rebuild
from forecourt.kernel.snapshots import State

CHAINS = """
create table probe.chain (key text primary key, value bigint not null, events bigint not null);
alter table probe.chain enable row level security;
alter table probe.chain force row level security;
grant select, insert, update, delete on probe.chain to fc_probe;
create policy of_the_house on probe.chain to fc_probe using (true) with check (true);
"""
LINK = Statement(
    "insert into probe.chain as c (key, value, events) values ($1, $2, 1)"
    " on conflict (key) do update set value = (c.value * 31 + $2) % 1000003, events = c.events + 1"
)
SAVE = Query(str, "select coalesce(json_agg(c order by c.key), '[]')::text from probe.chain c")
CLEAR = Statement("delete from probe.chain")
RESTORE = Statement("insert into probe.chain select s.* from json_populate_recordset(null::probe.chain, $1::json) s")
TELL = """
insert into kernel.event (id, at, organisation_id, name, version, payload, actor_kind)
values ($1, $2, $3, 'probe.counted', 1, $4, 'service')
"""
SPOIL = "update probe.chain set value = -1, events = 0"


async def link(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
    """Depends on every event and on their order."""
    for e in envelopes:
        await tx.run(LINK, str(e.organisation_id), e.event.n)


async def save(tx: Tx) -> str:
    return await tx.one(SAVE)


async def restore(tx: Tx, saved: str) -> None:
    await tx.run(CLEAR)
    await tx.run(RESTORE, saved)


STATE = State(save, restore, "[]")
LINKS = Subscription("probe.links", "probe", (Counted,), link, state=STATE)


class Straight:
    """The same links, made in a straight run."""

    def __init__(self) -> None:
        self.chains: dict[str, tuple[int, int]] = {}

    def link(self, organisation_id: UUID | None, n: int) -> None:
        value, events = self.chains.get(str(organisation_id), (None, 0))
        self.chains[str(organisation_id)] = (n if value is None else (value * 31 + n) % 1000003, events + 1)


@pytest.fixture
async def chains(scratch: Scratch) -> Scratch:
    for statement in CHAINS.split(";\n"):
        await scratch.sql(statement)
    return scratch


async def made(scratch: Scratch) -> dict[str, tuple[int, int]]:
    return {r["key"]: (r["value"], r["events"]) for r in await scratch.sql("select key, value, events from probe.chain")}


async def happened(scratch: Scratch, at: datetime, *numbers: int, organisation_id: UUID | None = None) -> None:
    """Events of one transaction in the past."""
    connection = await scratch.fresh.admin()
    try:
        async with connection.transaction():
            for n in numbers:
                payload = msgspec.json.encode(Counted(organisation_id=organisation_id, n=n))
                await connection.execute(TELL, new_id(), at, organisation_id, payload)
    finally:
        await connection.close()


async def tidy(scratch: Scratch, now: datetime, *subscriptions: Subscription) -> None:
    handler, _ = housekeeping(scratch.db, FixedClock(now), subscriptions)
    await handler.run(service_context("kernel.tidy"), Tidy())


async def months(scratch: Scratch) -> list[str]:
    """Of the years before this century's twenty-first."""
    found = await scratch.sql(
        "select c.relname from pg_inherits i join pg_class c on c.oid = i.inhrelid"
        " where i.inhparent = 'kernel.event'::regclass and c.relname < 'event_2021' order by 1"
    )
    return [r["relname"] for r in found]


async def snapshots(scratch: Scratch) -> list[str]:
    return [r["state"] for r in await scratch.sql("select state from kernel.snapshot order by xid, id")]


JANUARY, FEBRUARY = datetime(2020, 1, 5, tzinfo=UTC), datetime(2020, 2, 5, tzinfo=UTC)
JUNE = datetime(2020, 6, 1, tzinfo=UTC)


class Walk:
    """A house that goes on from 2020 in steps of up to forty days, beside the straight run of what it handled."""

    def __init__(self, scratch: Scratch, chance: random.Random) -> None:
        self.scratch = scratch
        self.chance = chance
        self.clock = FixedClock(datetime(2020, 1, 1, tzinfo=UTC))
        self.straight = Straight()
        self.told = 0
        self.went = False
        self.poison: list[tuple[UUID | None, int]] = []
        self.links = Subscription("probe.links", "probe", (Counted,), self.handle, chance.choice(list(Delivery)), STATE)
        self.dispatcher = Dispatcher(scratch.db, scratch.url, [self.links], self.clock)
        self.orgs = [None, uuid4(), uuid4()]

    async def handle(self, tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        if {n for _, n in self.poison} & {e.event.n for e in envelopes}:
            raise ValueError("poison")
        await link(tx, envelopes)

    async def events(self) -> None:
        """Some transactions, now and then with an event that is set aside."""
        for _ in range(self.chance.randrange(1, 4)):
            org, numbers = (
                self.chance.choice(self.orgs),
                [self.chance.randrange(1000) for _ in range(self.chance.randrange(1, 9))],
            )
            for n in numbers:
                self.straight.link(org, n)
            if self.chance.random() < 0.1:
                self.poison.append((org, 10_000 + self.told))
                numbers.insert(self.chance.randrange(len(numbers)), self.poison[-1][1])
            self.told += len(numbers)
            await happened(self.scratch, self.clock.now(), *numbers, organisation_id=org)
        for _ in range(ATTEMPTS * len(self.poison)):
            await self.dispatcher.drain()
            self.clock.advance(timedelta(minutes=2))
        await self.dispatcher.drain()

    async def tidied(self) -> None:
        before = set(await months(self.scratch))
        await tidy(self.scratch, self.clock.now(), self.links)
        self.went = self.went or not before <= set(await months(self.scratch))

    async def raised_from_the_dead(self) -> None:
        cured, self.poison = self.poison, []
        assert await replay(self.scratch.db, self.links) == (len(cured), 0)
        for org, n in cured:
            self.straight.link(org, n)

    async def rebuilt(self, step_s: float) -> None:
        await self.scratch.sql(SPOIL)
        assert await made(self.scratch) != self.straight.chains
        await rebuild(self.scratch.db, self.links, step_s=step_s)
        assert await made(self.scratch) == self.straight.chains


@pytest.mark.parametrize("seed", range(2))
async def test_a_state_made_anew_is_that_of_a_straight_run_however_the_log_was_shortened(
    chains: Scratch, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SCAN", 7)
    monkeypatch.setattr(rebuilding, "PAUSE_S", 0)
    chance = random.Random(seed)
    walk = Walk(chains, chance)
    for _ in range(10):
        walk.clock.advance(timedelta(days=chance.randrange(40)))
        await walk.events()
        if chance.random() < 0.7:
            await walk.tidied()
        if walk.poison and chance.random() < 0.5:
            await walk.raised_from_the_dead()
        assert await made(chains) == walk.straight.chains
        if chance.random() < 0.5:
            await walk.rebuilt(chance.choice([0, 1]))
    assert walk.went, "the control: months went"
    assert len(await chains.sql("select id from kernel.event")) < walk.told
    await chains.sql("delete from kernel.snapshot")
    await chains.sql(
        "insert into kernel.snapshot (subscriber, xid, id, state) values ('probe.links', '0', $1, '[]')", UUID(int=0)
    )
    await rebuild(chains.db, walk.links)
    assert await made(chains) != walk.straight.chains, "the control: of the log alone it is not to be made"


# --- months go when everybody has done with them -----------------------------------------------------------------------------


async def two_months(scratch: Scratch) -> Dispatcher:
    """Events of January and February 2020, in their months, and read by nobody."""
    await happened(scratch, JANUARY, 1, 2)
    await happened(scratch, FEBRUARY, 3)
    await tidy(scratch, FEBRUARY)
    assert await months(scratch) == ["event_2020_01", "event_2020_02"]
    return Dispatcher(scratch.db, scratch.url, [LINKS])


async def test_a_month_goes_only_when_who_keeps_a_state_has_a_snapshot_of_it(chains: Scratch) -> None:
    dispatcher = await two_months(chains)
    await dispatcher._register()
    await tidy(chains, JUNE, LINKS)
    assert len(await months(chains)) == 2, "it is not read"
    await dispatcher.drain()
    await tidy(chains, JUNE)  # by a worker that does not know the subscriber
    assert len(await months(chains)) == 2, "it is read, and no snapshot has it"
    assert await snapshots(chains) == ["[]"]
    await tidy(chains, JUNE, LINKS)
    assert await months(chains) == []
    assert await chains.sql("select id from kernel.event") == [], "they are gone for real"
    (kept,) = await snapshots(chains)
    assert msgspec.json.decode(kept) == [{"key": "None", "value": (1 * 31 + 2) * 31 + 3, "events": 3}]


async def test_a_subscriber_that_acts_holds_a_month_back_until_it_is_read_and_no_longer(chains: Scratch) -> None:
    await two_months(chains)
    reader = Dispatcher(chains.db, chains.url, [NOTES])
    await reader._register()
    await tidy(chains, JUNE)
    assert len(await months(chains)) == 2
    await reader.drain()
    await tidy(chains, JUNE)
    assert await months(chains) == []
    assert await snapshots(chains) == []


async def test_each_month_is_kept_once_it_is_over_and_read_and_only_while_the_log_reaches_it(chains: Scratch) -> None:
    dispatcher = Dispatcher(chains.db, chains.url, [LINKS])
    kept: list[list[int]] = []
    for month in range(1, 7):
        await happened(chains, datetime(2020, month, 5, tzinfo=UTC), month)
        await tidy(chains, datetime(2020, month, 6, tzinfo=UTC), LINKS)  # the month before is read, this one is not
        await dispatcher.drain()
        for day in (7, 8):  # this month is read, and is not over
            await tidy(chains, datetime(2020, month, day, tzinfo=UTC), LINKS)
        kept.append([sum(c["events"] for c in msgspec.json.decode(state)) for state in await snapshots(chains)])
    assert kept == [[0], [0, 1], [0, 1, 2], [0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5]]
    assert await months(chains) == ["event_2020_03", "event_2020_04", "event_2020_05", "event_2020_06"]
    await chains.sql(SPOIL)
    assert (await rebuild(chains.db, LINKS)).handled == 4, "from the oldest"


async def test_who_comes_to_keep_a_state_later_is_kept_from_then_on(chains: Scratch) -> None:
    acting = Subscription("probe.links", "probe", (Counted,), link)
    await two_months(chains)
    await Dispatcher(chains.db, chains.url, [acting]).drain()
    with pytest.raises(CannotRebuild, match="no snapshot"):
        await rebuild(chains.db, LINKS)
    await Dispatcher(chains.db, chains.url, [LINKS])._register()
    await tidy(chains, JUNE)
    assert len(await months(chains)) == 2, "the control: without a snapshot the months stay"
    await tidy(chains, JUNE, LINKS)
    assert await months(chains) == []
    before = await made(chains)
    await chains.sql(SPOIL)
    assert (await rebuild(chains.db, LINKS)).handled == 0
    assert await made(chains) == before
    await Dispatcher(chains.db, chains.url, [acting])._register()  # a release that keeps it no longer is not waited for
    assert await chains.sql("select keeps_state from kernel.cursor") == [(False,)]


async def test_a_house_that_was_shut_for_long_gets_its_months_when_it_opens(scratch: Scratch) -> None:
    await happened(scratch, JANUARY, 1)
    await happened(scratch, FEBRUARY, 2)
    stray = "select id from kernel.event_default"
    assert len(await scratch.sql(stray)) == 2
    await tidy(scratch, FEBRUARY)
    assert await months(scratch) == ["event_2020_01", "event_2020_02"]
    assert (len(await scratch.sql(stray)), len(await scratch.sql("select id from kernel.event"))) == (0, 2)
    loose = "select relname from pg_class where relname ~ '^event_' and relkind = 'r' and not relforcerowsecurity"
    assert await scratch.sql(loose) == []
    await Dispatcher(scratch.db, scratch.url, [NOTES]).drain()
    assert await scratch.notes() == ["1", "2"]


async def test_an_owner_whom_row_security_holds_back_drops_nothing_unread_either(scratch: Scratch) -> None:
    """As where the server is somebody else's: there nobody is a superuser."""
    await happened(scratch, JANUARY, 1)
    await Dispatcher(scratch.db, scratch.url, [NOTES])._register()
    owner = f"plain_{uuid4().hex[:12]}"
    names = await scratch.sql(
        "select relname from pg_class where relkind in ('r', 'p')"
        " and (relname ~ '^event(_|$)' or relname in ('cursor', 'snapshot')) and relnamespace = 'kernel'::regnamespace"
    )
    await scratch.sql(f"create role {owner}")
    try:
        await scratch.sql(f"grant usage, create on schema kernel to {owner}")
        for (name,) in names:
            await scratch.sql(f"alter table kernel.{name} owner to {owner}")
        for function in ("make_event_partitions(int)", "drop_event_partition(text)", "drop_event_partitions(timestamptz)"):
            await scratch.sql(f"alter function kernel.{function} owner to {owner}")
        await tidy(scratch, JUNE)
        assert await months(scratch) == ["event_2020_01"]
        assert await Dispatcher(scratch.db, scratch.url, [NOTES]).drain() == 1
        await tidy(scratch, JUNE)
        assert await months(scratch) == []
    finally:
        await scratch.sql(f"reassign owned by {owner} to current_user")
        await scratch.sql(f"drop owned by {owner}")
        await scratch.sql(f"drop role {owner}")


# --- nothing is lost on the way ----------------------------------------------------------------------------------------------

KILLED = """
import asyncio, os, signal, sys
from datetime import datetime
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import service_context
from forecourt.kernel.db import Database
from forecourt.kernel.jobs import Housekeeper, Tidy, housekeeping
from tests.kernel.test_snapshots import JUNE, LINKS

async def drop(*_):
    os.kill(os.getpid(), signal.SIGKILL)

async def main():
    Housekeeper._drop_partitions = drop
    handler, _ = housekeeping(await Database.connect(sys.argv[1], None, 5), FixedClock(JUNE), [LINKS])
    await handler.run(service_context("kernel.tidy"), Tidy())

asyncio.run(main())
"""


async def test_a_worker_killed_between_snapshot_and_drop_loses_nothing(chains: Scratch) -> None:
    await (await two_months(chains)).drain()
    before = await made(chains)
    root = Path(__file__).parents[2]
    worker = await asyncio.create_subprocess_exec(sys.executable, "-c", KILLED, chains.url, cwd=root, env=with_tests(root))
    async with asyncio.timeout(60):
        assert await worker.wait() == -signal.SIGKILL
    assert (len(await snapshots(chains)), len(await months(chains))) == (2, 2)
    await tidy(chains, JUNE, LINKS)
    assert (len(await snapshots(chains)), await months(chains)) == (1, [])
    await chains.sql(SPOIL)
    await rebuild(chains.db, LINKS)
    assert await made(chains) == before


async def test_a_drop_that_fails_leaves_the_months_and_the_snapshots_that_need_them(chains: Scratch) -> None:
    await (await two_months(chains)).drain()
    await chains.sql("revoke execute on function kernel.drop_event_partition(text) from fc_kernel")
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await tidy(chains, JUNE, LINKS)
    assert (len(await snapshots(chains)), len(await months(chains))) == (2, 2)


async def test_a_state_that_cannot_be_kept_keeps_the_months_and_the_rest_is_done(chains: Scratch) -> None:
    async def fail(_: Tx) -> str:
        raise ValueError("no room")

    await (await two_months(chains)).drain()
    await chains.sql(
        "insert into kernel.idempotency (key, fingerprint, effect_id, locked_until, expires_at)"
        " values ('old', '', gen_random_uuid(), now(), '2020-01-01')"
    )
    with pytest.raises(ValueError, match="no room"):
        await tidy(chains, JUNE, msgspec.structs.replace(LINKS, state=State(fail, restore, "[]")))
    assert len(await months(chains)) == 2
    assert await chains.sql("select key from kernel.idempotency") == []


async def test_workers_that_tidy_at_once_do_it_once(chains: Scratch) -> None:
    await (await two_months(chains)).drain()
    async with asyncio.timeout(30):
        await asyncio.gather(*(tidy(chains, JUNE, LINKS) for _ in range(4)))
    assert (len(await snapshots(chains)), await months(chains)) == (1, [])


# --- a rebuild ---------------------------------------------------------------------------------------------------------------


async def test_who_acts_is_not_handed_old_events_again(scratch: Scratch) -> None:
    await count(scratch, 1, 2)
    await Dispatcher(scratch.db, scratch.url, [NOTES]).drain()
    with pytest.raises(CannotRebuild, match="acts on events"):
        await rebuild(scratch.db, NOTES)
    assert await Dispatcher(scratch.db, scratch.url, [NOTES]).drain() == 0
    assert await scratch.notes() == ["1", "2"]


async def test_a_state_that_was_wrong_is_mended_with_the_snapshots_of_it(chains: Scratch) -> None:
    async def wrongly(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        await link(tx, [*envelopes, envelopes[-1]])

    straight = Straight()
    for n in (1, 2, 3):
        straight.link(None, n)
    await two_months(chains)
    await Dispatcher(chains.db, chains.url, [msgspec.structs.replace(LINKS, handle=wrongly)]).drain()
    march = datetime(2020, 3, 2, tzinfo=UTC)
    await tidy(chains, march, LINKS)
    assert len(await snapshots(chains)) == 2
    done = await rebuild(chains.db, LINKS)
    assert (done.from_the_beginning, done.handled) == (True, 3)
    assert await made(chains) == straight.chains
    await tidy(chains, JUNE, LINKS)
    await chains.sql(SPOIL)
    assert not (await rebuild(chains.db, LINKS)).from_the_beginning
    assert await made(chains) == straight.chains


async def test_what_was_set_aside_stays_so_in_a_rebuild_and_is_handed_over_once(chains: Scratch) -> None:
    async def fail_over_13(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        if any(e.event.n == 13 for e in envelopes):
            raise ValueError("thirteen")
        await link(tx, envelopes)

    await count(chains, 1, 13, 2)
    clock = FixedClock(JANUARY)
    dispatcher = Dispatcher(chains.db, chains.url, [msgspec.structs.replace(LINKS, handle=fail_over_13)], clock)
    for _ in range(ATTEMPTS):
        await dispatcher.drain()
        clock.advance(timedelta(minutes=2))
    assert (await rebuild(chains.db, LINKS)).handled == 2
    straight = Straight()
    for n in (1, 2):
        straight.link(None, n)
    assert await made(chains) == straight.chains
    assert await replay(chains.db, LINKS) == (1, 0)
    straight.link(None, 13)
    await chains.sql(SPOIL)
    await rebuild(chains.db, LINKS)
    assert await made(chains) == straight.chains


async def test_nobody_moves_the_subscriber_while_its_state_is_saved_or_put_in_place(chains: Scratch) -> None:
    straight, turns = Straight(), list[Turn]()
    worker = Dispatcher(chains.db, chains.url, [LINKS])

    async def meanwhile() -> None:
        n = sum(events for _, events in straight.chains.values())
        await count(chains, n)
        straight.link(None, n)
        turns.extend([await worker._turn("probe.links") for _ in range(2)])  # that it begins, and what it does

    async def save_late(tx: Tx) -> str:
        await meanwhile()
        return await save(tx)

    async def restore_late(tx: Tx, saved: str) -> None:
        await meanwhile()
        await restore(tx, saved)

    late = msgspec.structs.replace(LINKS, state=State(save_late, restore_late, "[]"))
    await meanwhile()
    await worker.drain()
    turns.clear()
    await chains.sql("delete from kernel.snapshot")
    await tidy(chains, JUNE, late)
    assert await snapshots(chains) == ['[{"key":"None","value":0,"events":1}]']
    await worker.drain()
    await rebuild(chains.db, late)
    await worker.drain()
    assert await made(chains) == straight.chains
    assert turns == [Turn.BUSY] * 4
    await rebuild(chains.db, LINKS)
    assert await made(chains) == straight.chains


async def test_a_rebuild_in_which_an_event_fails_changes_nothing_and_says_over_which(chains: Scratch) -> None:
    await count(chains, 1, 2, 3)
    await Dispatcher(chains.db, chains.url, [LINKS]).drain()
    before = await made(chains)

    async def fail(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        await link(tx, envelopes)
        raise ValueError("it is another program now")

    with pytest.raises(CannotRebuild, match="another program") as told:
        await rebuild(chains.db, msgspec.structs.replace(LINKS, handle=fail))
    assert "probe.counted" in str(told.value)
    assert await made(chains) == before
    assert await snapshots(chains) == ["[]"]


@pytest.mark.parametrize("held", ["kernel.cursor", "probe.chain"])
async def test_a_rebuild_that_waits_too_long_for_somebody_else_says_for_whom_and_what_to_do(
    held: str, chains: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "PATIENCE_S", 0.05)
    await count(chains, 1, 2, 3)
    await Dispatcher(chains.db, chains.url, [LINKS]).drain()
    before = await made(chains)
    somebody = await chains.fresh.admin()
    try:
        async with somebody.transaction():
            await somebody.execute(f"lock table {held} in exclusive mode")
            with pytest.raises(CannotRebuild, match=r"probe\.links .* for 0\.05 s.* Start again"):
                await rebuild(chains.db, LINKS)
            assert await made(chains) == before
    finally:
        await somebody.close()
    assert (await rebuild(chains.db, LINKS)).handled == 3, "the control"


async def test_a_state_whose_handler_does_more_is_not_made_anew(chains: Scratch) -> None:
    async def chatter(tx: Tx, envelopes: list[Envelope[Any]]) -> None:
        await link(tx, envelopes)
        if len(envelopes) > 1:
            emit(tx, Counted(organisation_id=None, n=0))

    talkative = msgspec.structs.replace(LINKS, handle=chatter)
    await count(chains, 1, 2)
    await Dispatcher(chains.db, chains.url, [talkative]).drain()
    with pytest.raises(CannotRebuild, match="does more"):
        await rebuild(chains.db, talkative)
    assert len(await chains.sql("select id from kernel.event")) == 3


async def test_a_rebuild_whose_months_went_meanwhile_is_given_up(chains: Scratch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuilding, "SCAN", 1)
    await (await two_months(chains)).drain()
    before = await made(chains)
    real = rebuilding._Rebuilding.step

    async def step(self: Any) -> bool:
        done = await real(self)
        await tidy(chains, JUNE, LINKS)
        return done

    monkeypatch.setattr(rebuilding._Rebuilding, "step", step)
    with pytest.raises(CannotRebuild, match="shortened"):
        await rebuild(chains.db, LINKS, step_s=0)
    assert await months(chains) == []
    assert await made(chains) == before


async def test_a_house_goes_on_while_a_state_is_made_anew_and_nobody_sees_half_of_it(
    chains: Scratch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilding, "SCAN", 20)
    monkeypatch.setattr(rebuilding, "PAUSE_S", 0.02)
    await count(chains, *range(300))
    worker = Dispatcher(chains.db, chains.url, [LINKS])
    await worker.drain()
    running = asyncio.create_task(worker.run())
    written, seen, steps = 300, [0], 0

    async def write_and_look() -> None:
        nonlocal written
        while True:
            await count(chains, written)
            written += 1
            seen.extend(events for _, events in (await made(chains)).values())

    def told(_: rebuilding.Progress) -> None:
        nonlocal steps
        steps += 1

    async with asyncio.timeout(60):
        crowd = asyncio.create_task(write_and_look())
        try:
            done = await rebuild(chains.db, LINKS, told, step_s=0)
        finally:
            crowd.cancel()
            await asyncio.gather(crowd, return_exceptions=True)
        await worker.drain()
    await worker.stop()
    await running
    assert steps > 10, "the control: it was not done at once"
    assert done.handled >= 300
    assert seen[1:] and seen[1:] == sorted(seen[1:]) and seen[1] >= 300
    straight = Straight()
    for n in range(written):
        straight.link(None, n)
    assert await made(chains) in (straight.chains, _one_more(straight, written))


def _one_more(straight: Straight, n: int) -> dict[str, tuple[int, int]]:
    """A write that was cancelled may have happened."""
    more = Straight()
    more.chains = dict(straight.chains)
    more.link(None, n)
    return more.chains
