"""Contract calls: the same behaviour in one process and over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Protocol
from uuid import UUID

import asyncpg
import httpx
import msgspec
import pytest
import uvicorn
from structlog.testing import capture_logs

from forecourt.app import peer_client
from forecourt.kernel import contracts
from forecourt.kernel.clock import FixedClock
from forecourt.kernel.context import Actor, ActorKind, Context
from forecourt.kernel.contracts import (
    Breaker,
    ContractInTransaction,
    KeyRing,
    Switchboard,
    idempotent,
    local,
    remote,
    serve,
    stale_for,
)
from forecourt.kernel.db import Database
from forecourt.kernel.errors import (
    Conflict,
    DeadlineExceeded,
    FieldError,
    Internal,
    Invalid,
    NotFound,
    Problem,
    TooManyRequests,
    Unavailable,
)
from forecourt.kernel.ids import new_id
from forecourt.kernel.wire import Wire
from forecourt.modules.identity.contract import Identity
from forecourt.modules.payments.contract import Payments
from forecourt.modules.venues.contract import Venues

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
OLD, NEW = ("old", b"o" * 32), ("new", b"n" * 32)
CTX = Context(trace_id="a" * 32)


class CourtTaken(Conflict):
    code = "test_court_taken"
    title = "Taken"


class Card(msgspec.Struct, frozen=True):
    id: UUID
    names: list[str]


class Courts(Protocol):
    @idempotent
    async def cards(self, ctx: Context, ids: list[UUID], *, suffix: str = "!") -> list[Card]: ...

    async def fail(self, ctx: Context, how: str) -> None: ...


class House:
    def __init__(self) -> None:
        self.calls = 0
        self.contexts: list[Context] = []
        self.given: list[UUID] | None = None

    async def cards(self, ctx: Context, ids: list[UUID], *, suffix: str = "!") -> list[Card]:
        self.calls += 1
        self.contexts.append(ctx)
        self.given = ids
        return [Card(i, ["court" + suffix]) for i in ids]

    async def fail(self, ctx: Context, how: str) -> None:
        self.calls += 1
        match how:
            case "taken":
                raise CourtTaken("gone", errors=[FieldError("start", "taken")], alternatives=["18:00"])
            case "busy":
                raise TooManyRequests("slow", retry_after_s=7)
            case "sleep":
                await asyncio.sleep(30)
            case "database":
                raise asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation")
            case "broken":
                raise RuntimeError("the password is hunter2")
            case _:
                kind = Problem.registered(how)
                assert kind is not None
                raise kind("why")


class Server:
    def __init__(self) -> None:
        self.house = House()
        self.exchange = serve(Courts, self.house, KeyRing([NEW, OLD]))
        self.break_next = 0
        self.leaving = False

    async def app(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body"):
                break
        if self.break_next:
            self.break_next -= 1
            status, headers, answer = 503, {}, b"proxy says no"
        else:
            given = {k.decode(): v.decode() for k, v in scope["headers"]}
            status, headers, answer = await self.exchange.handle(scope["path"], given, body)
        if self.leaving:
            headers = {**headers, contracts.LEAVING: "1"}
        fields = [(k.encode(), v.encode()) for k, v in headers.items()]
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": answer})


@asynccontextmanager
async def serving(server: Server) -> AsyncIterator[str]:
    """Where it can be called."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        program = uvicorn.Server(uvicorn.Config(server.app, log_level="error", lifespan="off", interface="asgi3"))
        program.install_signal_handlers = lambda: None
        task = asyncio.create_task(program._serve(sockets=[s]))
        yield f"http://127.0.0.1:{s.getsockname()[1]}"
        program.should_exit = True
        await task


@pytest.fixture
async def served() -> AsyncIterator[tuple[Server, str, Wire]]:
    server = Server()
    async with serving(server) as url, peer_client() as client:
        yield server, url, client


class Pair:
    """Two processes that answer the same contract, and a board that knows both."""

    def __init__(self, servers: tuple[Server, Server], urls: tuple[str, str], client: Wire) -> None:
        self.one, self.other = servers
        self.urls = urls
        self.board = Switchboard({contracts.module_of(Courts): urls}, KeyRing([NEW]), client)
        self.courts = self.board.call(Courts)

    def calls(self) -> tuple[int, int]:
        return self.one.house.calls, self.other.house.calls


@pytest.fixture
async def pair() -> AsyncIterator[Pair]:
    one, other = Server(), Server()
    async with serving(one) as a, serving(other) as b, peer_client() as client:
        yield Pair((one, other), (a, b), client)


async def no_pause(_: float) -> None:
    await asyncio.sleep(0)


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("forecourt.modules.venues.contract", "venues.Courts"),
        ("forecourt.modules.venues.contract.calls", "venues.Courts"),
        ("forecourt.modules.contract.contract", "contract.Courts"),
        ("forecourt.modules.contracts", "contracts.Courts"),
        ("courts", "courts.Courts"),
    ],
)
def test_a_contract_is_named_after_its_module_wherever_in_the_contract_it_stands(file: str, name: str) -> None:
    assert contracts.contract_name(type("Courts", (), {"__module__": file})) == name


async def test_a_local_call_copies_what_it_carries() -> None:
    house, ids = House(), [new_id()]
    assert await local(Courts, house).cards(CTX, ids, suffix="?") == [Card(ids[0], ["court?"])]
    assert house.given == ids and house.given is not ids
    await house.cards(CTX, ids)
    assert house.given is ids  # the control: without the codec the list is shared


async def test_a_call_crosses_two_servers_with_its_context(served) -> None:
    server, url, client = served
    courts, ids = remote(Courts, url, KeyRing([NEW]), client), [new_id(), new_id()]
    assert await courts.cards(CTX, ids) == [Card(i, ["court!"]) for i in ids]
    assert server.house.contexts[0].trace_id == CTX.trace_id
    assert server.house.contexts[0].deadline is not None


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_problems_keep_their_class_and_members(served, where: str) -> None:
    server, url, client = served
    courts = local(Courts, server.house) if where == "local" else remote(Courts, url, KeyRing([NEW]), client)
    with pytest.raises(CourtTaken) as taken:
        await courts.fail(CTX, "taken")
    assert (taken.value.detail, taken.value.errors) == ("gone", [FieldError("start", "taken")])
    assert taken.value.extra == {"alternatives": ["18:00"]}
    with pytest.raises(TooManyRequests) as busy:
        await courts.fail(CTX, "busy")
    assert (busy.value.retry_after_s, busy.value.headers) == (7, {"Retry-After": "7"})
    kernel = [c for c in Problem.__subclasses__() if c.__module__ == Problem.__module__]
    assert len(kernel) > 12
    for kind in kernel:
        with pytest.raises(Problem) as caught:
            await courts.fail(CTX, kind.code)
        assert type(caught.value) is kind and caught.value.detail == "why"


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_an_unknown_error_tells_nothing(served, where: str) -> None:
    server, url, client = served
    courts = local(Courts, server.house) if where == "local" else remote(Courts, url, KeyRing([NEW]), client)
    with pytest.raises(Internal) as caught:
        await courts.fail(CTX, "broken")
    assert "hunter2" not in str(caught.value.document(""))


@pytest.mark.parametrize("where", ["local", "remote"])
async def test_a_database_that_went_away_is_no_fault_of_the_service(served, where: str) -> None:
    server, url, client = served
    courts = local(Courts, server.house) if where == "local" else remote(Courts, url, KeyRing([NEW]), client)
    with pytest.raises(Unavailable):
        await courts.fail(CTX, "database")


def test_a_problem_that_is_not_loaded_here_keeps_status_and_code() -> None:
    body = contracts.encode_problem(CourtTaken("x")).replace(b"test_court_taken", b"test_court_token")
    problem = contracts.decode_problem(body)
    assert type(problem) is Conflict
    assert (problem.document("")["code"], problem.status) == ("test_court_token", 409)


async def test_only_whole_fresh_and_signed_calls_reach_the_implementation() -> None:
    clock, house = FixedClock(NOW), House()
    exchange = serve(Courts, house, KeyRing([NEW, OLD]), clock)
    sent: list[httpx.Request] = []

    def take(request: httpx.Request) -> httpx.Response:
        sent.append(request)
        return httpx.Response(401)

    async with httpx.AsyncClient(transport=httpx.MockTransport(take)) as client:
        with pytest.raises(Internal):  # a refused key is our fault, not the person's
            await remote(Courts, "http://peer", KeyRing([OLD]), client, clock=clock).cards(CTX, [new_id()])
    path, headers, body = sent[0].url.path, dict(sent[0].headers), sent[0].content
    context = headers["x-forecourt-context"]
    for changed in (
        {"x-forecourt-signature": "0" * 64},
        {"x-forecourt-signature": ""},
        {"x-forecourt-key": "none"},
        {"x-forecourt-time": "nan"},
        {"x-forecourt-budget-ms": "99999"},
        {"x-forecourt-context": context[:-4] + "AAAA"},
    ):
        assert (await exchange.handle(path, headers | changed, body))[0] == 401
    assert (await exchange.handle(path, headers, body + b"\x00"))[0] == 401
    assert (await exchange.handle(path.replace("cards", "fail"), headers, body))[0] == 401
    assert (await exchange.handle(path, {}, body))[0] == 401
    clock.advance(timedelta(seconds=31))
    assert (await exchange.handle(path, headers, body))[0] == 401
    assert house.calls == 0
    clock.set(NOW)
    assert (await exchange.handle(path, headers, body))[0] == 200  # the control, with a rotated key
    assert house.calls == 1


@pytest.mark.parametrize(("apart_s", "said"), [(45.0, 45), (-400.0, 400), (0.0, None)])
async def test_of_what_is_not_taken_it_is_said_whether_clocks_or_keys_differ(served, apart_s: float, said: int | None) -> None:
    """Both are answered alike, and an operator who looks for keys does not find a clock."""
    server, url, client = served
    clock = FixedClock(datetime.now(UTC) + timedelta(seconds=apart_s))
    keys = KeyRing([NEW if said else ("new", b"not theirs" * 4)])
    with capture_logs() as logs, pytest.raises(Internal) as refused:
        await remote(Courts, url, keys, client, clock=clock).cards(CTX, [])
    assert server.house.calls == 0
    cause = refused.value.__cause__
    assert isinstance(cause, contracts.CallRefused) and cause.by_clock == (said is not None)
    (line,) = [line for line in logs if line["event"] == "contract_refused"]
    assert line["status"] == 401
    assert line.get("clocks_apart_s") is None if said is None else abs(line["clocks_apart_s"] - said) < 20


async def test_a_deadline_ends_a_call(served) -> None:
    server, url, client = served
    soon = msgspec.structs.replace(CTX, deadline=datetime.now(UTC) + timedelta(milliseconds=150))
    past = msgspec.structs.replace(CTX, deadline=datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(DeadlineExceeded):
        await local(Courts, server.house).fail(soon, "sleep")
    calls = server.house.calls
    for courts in (local(Courts, server.house), remote(Courts, url, KeyRing([NEW]), client)):
        with pytest.raises(DeadlineExceeded):
            await courts.cards(past, [])
    assert server.house.calls == calls


async def test_only_idempotent_methods_are_tried_again(served) -> None:
    server, url, client = served
    courts = remote(Courts, url, KeyRing([NEW]), client, pause=no_pause)
    server.break_next = 2
    assert await courts.cards(CTX, []) == []
    server.break_next = 1
    with pytest.raises(Unavailable):
        await courts.fail(CTX, "taken")
    server.break_next = 3
    with pytest.raises(Unavailable):
        await courts.cards(CTX, [])


class Plates(Protocol):
    @idempotent
    @stale_for(60)
    async def shown(self, ctx: Context, number: int) -> list[str]: ...

    @idempotent
    async def counted(self, ctx: Context, number: int) -> int: ...


class Wall:
    def __init__(self) -> None:
        self.calls = 0

    async def shown(self, ctx: Context, number: int) -> list[str]:
        self.calls += 1
        if number < 0:
            raise NotFound
        return [f"plate {number}, seen {self.calls}"]

    async def counted(self, ctx: Context, number: int) -> int:
        return number


async def test_while_nobody_answers_the_last_answer_stands_where_the_contract_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "MAX_KEPT", 2)
    clock, server, ring = FixedClock(NOW), Server(), KeyRing([NEW])
    server.exchange = serve(Plates, Wall(), ring, clock)
    ada, bob = (msgspec.structs.replace(CTX, actor=Actor(ActorKind.PERSON, new_id())) for _ in "ab")
    async with peer_client() as client:
        async with serving(server) as url:
            plates = remote(Plates, url, ring, client, clock=clock, pause=no_pause, breaker=Breaker(failures=1000))
            await plates.shown(ada, 0)
            await plates.shown(ada, 1)
            clock.advance(timedelta(seconds=1))
            assert await plates.shown(ada, 2) == ["plate 2, seen 3"]
            assert await plates.shown(ada, 2) == ["plate 2, seen 4"], "who answers is asked"
            assert await plates.counted(ada, 2) == 2
            with pytest.raises(NotFound):
                await plates.shown(ada, -1)
        # It is dead now.
        later = msgspec.structs.replace(ada, trace_id="b" * 32, address="192.0.2.1")
        said = await plates.shown(later, 2)
        assert said == ["plate 2, seen 4"]
        said.clear()
        assert await plates.shown(ada, 2) == ["plate 2, seen 4"], "nobody can change what is kept"
        unknown = [(ada, 3), (bob, 2), (ada.within(new_id()), 2), (ada, -1), (ada, 0)]  # the last made room for others
        for ctx, number in unknown:
            with pytest.raises(Unavailable):
                await plates.shown(ctx, number)
        with pytest.raises(Unavailable):
            await plates.counted(ada, 2)  # the control: nothing is marked there
        clock.advance(timedelta(seconds=60))
        assert await plates.shown(ada, 2) == ["plate 2, seen 4"]
        with pytest.raises(Unavailable):
            await plates.shown(ada, 1)  # a second older
        clock.advance(timedelta(seconds=1))
        with pytest.raises(Unavailable):
            await plates.shown(ada, 2)


def test_only_what_may_run_twice_may_be_answered_from_memory() -> None:
    class Tills(Protocol):
        @stale_for(60)
        async def charge(self, ctx: Context, amount: int) -> int: ...

    with pytest.raises(TypeError, match="must be idempotent"):
        contracts.methods_of(Tills)


def test_cards_of_accounts_and_venues_may_be_old_and_nothing_else() -> None:
    marked = [m.path for protocol in (Identity, Venues, Payments) for m in contracts.methods_of(protocol) if m.stale_for]
    assert marked == ["/_contract/identity.Identity/accounts", "/_contract/venues.Venues/cards"]


async def test_processes_that_answer_the_same_contract_are_called_in_turn(pair: Pair) -> None:
    for _ in range(4):
        await pair.courts.cards(CTX, [])
    assert pair.calls() == (2, 2)


async def test_one_that_does_not_answer_costs_nobody_a_call(pair: Pair) -> None:
    pair.one.break_next = 2
    for _ in range(6):
        assert await pair.courts.cards(CTX, []) == []
    assert sum(pair.calls()) == 6
    assert pair.one.house.calls > 0, "it is asked again"


async def test_one_that_said_it_leaves_is_left_alone(pair: Pair) -> None:
    pair.one.leaving = True
    for _ in range(6):
        await pair.courts.cards(CTX, [])
    assert pair.calls() == (1, 5), "the call in whose answer it said so was its last"


async def test_one_that_leaves_is_called_all_the_same_when_it_is_the_only_one(served) -> None:
    server, url, client = served
    server.leaving = True
    courts = remote(Courts, url, KeyRing([NEW]), client)
    for _ in range(3):
        assert await courts.cards(CTX, []) == []
    assert server.house.calls == 3


async def test_when_none_of_several_answers_the_call_ends_after_three_tries(pair: Pair) -> None:
    pair.one.break_next = pair.other.break_next = 10
    with pytest.raises(Unavailable):
        await pair.courts.cards(CTX, [])
    assert pair.one.break_next + pair.other.break_next == 20 - contracts.TRIES


async def test_a_call_that_may_have_arrived_is_not_sent_to_another_process(pair: Pair) -> None:
    pair.one.break_next = pair.other.break_next = 1
    with pytest.raises(Unavailable):
        await pair.courts.fail(CTX, "taken")
    assert pair.one.break_next + pair.other.break_next == 1


@pytest.mark.parametrize(("error", "opens"), [(httpx.PoolTimeout, False), (httpx.ReadTimeout, True)])
async def test_a_process_that_was_never_asked_is_not_taken_for_one_that_does_not_answer(
    error: type[httpx.TimeoutException], opens: bool
) -> None:
    """All our connections may be in use, by calls to another."""

    def fail(request: httpx.Request) -> httpx.Response:
        raise error("no answer in time", request=request)

    breaker = Breaker(failures=1)
    async with httpx.AsyncClient(transport=httpx.MockTransport(fail)) as client:
        with pytest.raises(Unavailable):
            await remote(Courts, "http://peer", KeyRing([NEW]), client, breaker=breaker, pause=no_pause).cards(CTX, [])
    assert breaker.open is opens


def test_a_breaker_opens_probes_and_closes() -> None:
    now = 0.0
    breaker = Breaker(failures=2, open_s=10, monotonic=lambda: now, first_s=2)
    breaker.failed()
    assert breaker.admit()
    breaker.failed()
    assert breaker.open and not breaker.admit()
    breaker.failed()  # one that went out before: it keeps nobody waiting for longer
    for waits_s in (2, 4, 8, 10, 10):
        now += waits_s - 0.1
        assert not breaker.admit()
        now += 0.2
        assert breaker.admit() and not breaker.admit()  # one probe
        breaker.failed()
        assert not breaker.admit()
    now += 10
    assert breaker.admit()
    breaker.succeeded()
    assert breaker.admit() and not breaker.open
    breaker.failed()
    breaker.failed()
    now += 2
    assert breaker.admit(), "it begins anew with a short wait"


async def test_a_call_inside_a_transaction_is_refused(db: Database) -> None:
    courts = local(Courts, House())
    async with db.module("kernel").tx(CTX):
        with pytest.raises(ContractInTransaction):
            await courts.cards(CTX, [])
    assert await courts.cards(CTX, []) == []


async def test_a_board_connects_late_and_says_who_is_missing() -> None:
    board = Switchboard()
    courts = board.call(Courts)
    assert board.missing() == ["test_contracts.Courts"] or board.missing()[0].endswith(".Courts")
    with pytest.raises(LookupError):
        await courts.cards(CTX, [])
    board.provide(Courts, House())
    assert board.missing() == [] and await courts.cards(CTX, []) == []
    with pytest.raises(TypeError, match="twice"):
        board.provide(Courts, House())


def test_an_implementation_that_differs_is_refused() -> None:
    class Wrong:
        async def cards(self, ctx: Context, idz: list[UUID]) -> list[Card]:
            return []

    with pytest.raises(TypeError, match=r"'ids' is missing.*fail is missing"):
        local(Courts, Wrong())  # type: ignore[arg-type]
    contracts.check_implementation(Courts, House())


def test_not_found_and_invalid_are_not_confused() -> None:
    assert type(contracts.decode_problem(contracts.encode_problem(NotFound()))) is NotFound
    assert type(contracts.decode_problem(contracts.encode_problem(Invalid.field("a", "b")))) is Invalid
