"""Calls between modules: a `Protocol` in `contract.py`, answered in this process or in another; no caller knows which.

    class Venues(Protocol):
        @idempotent
        async def cards(self, ctx: Context, ids: list[UUID]) -> list[VenueCard]: ...

    board.provide(Venues, venues_service)
    venues = board.call(Venues)             # a Venues, bound at its first call
    await venues.cards(ctx, ids)

In one process arguments and results pass through the same codec as between two, so that splitting cannot break what worked.
Between processes a call is a POST of msgpack, signed with HMAC-SHA256 over everything that matters, with a deadline.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import inspect
import time
from base64 import b64decode, b64encode
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Generic, Protocol, TypeVar, cast, get_type_hints

import httpx
import msgspec
import structlog

from forecourt.kernel import telemetry
from forecourt.kernel.clock import Clock, SystemClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import in_transaction
from forecourt.kernel.errors import DeadlineExceeded, FieldError, Internal, Problem, Unavailable
from forecourt.kernel.faults import as_problem
from forecourt.kernel.log import TRACE
from forecourt.kernel.settings import ContractKey

P = TypeVar("P")
F = TypeVar("F", bound=Callable[..., object])

CALL_TIMEOUT_S = 5.0
TRIES = 3
BACKOFF_S = 0.1
BACKOFF_FACTOR = 1.5
SIGNATURE_WINDOW_S = 30.0
MAX_BODY_BYTES = 8 * 1024 * 1024
MAX_KEPT, MAX_KEPT_BYTES = 500, 32 * 1024
"""So many answers of a contract, and so large, are kept for when nobody answers."""
PREFIX = "/_contract/"

MSGPACK = "application/msgpack"
FAULT = "application/vnd.forecourt.fault+msgpack"
"""The media type of a Problem; an error of something in between, such as a proxy, does not carry it."""

_H_KEY, _H_TIME, _H_SIGNATURE = "x-forecourt-key", "x-forecourt-time", "x-forecourt-signature"
_H_CONTEXT, _H_BUDGET, _H_TRACE = "x-forecourt-context", "x-forecourt-budget-ms", "traceparent"
LEAVING = "x-forecourt-leaving"
"""In the answers of a process that is about to end: callers who know another go there from now on."""
LEAVING_S = 15.0
"""So long they do; by then it has ended, or it is back."""

_log: structlog.stdlib.BoundLogger = structlog.get_logger("forecourt.contracts")
_encode = msgspec.msgpack.Encoder().encode
_decode_context = msgspec.msgpack.Decoder(Context).decode


class ContractInTransaction(RuntimeError):
    """A contract was called inside an open transaction. The call may wait on a network; move it before or after."""


def idempotent(method: F) -> F:
    """Marks a protocol's method that may safely run twice: a call that got no answer is tried again."""
    vars(method)["__contract_idempotent__"] = True
    return method


def stale_for(seconds: int) -> Callable[[F], F]:
    """Marks an idempotent method whose last good answer will do, at most so old, while nobody answers.

    For what may be some minutes old, such as names on cards. The same question of the same person (with the same organisation and
    permissions) is answered so, and nobody else's.
    """

    def mark(method: F) -> F:
        vars(method)["__contract_stale_for__"] = timedelta(seconds=seconds)
        return method

    return mark


# --- what a protocol says ----------------------------------------------------------------------------------------------


class Method:
    """One method of a protocol: how its arguments and its result travel."""

    def __init__(self, contract: str, name: str, function: Callable[..., object]) -> None:
        if not inspect.iscoroutinefunction(function):
            raise TypeError(f"{contract}.{name} must be an async method")
        hints = get_type_hints(function, include_extras=True)
        parameters = list(inspect.signature(function).parameters.values())[1:]
        if not parameters or hints.get(parameters[0].name) is not Context:
            raise TypeError(f"{contract}.{name} takes `ctx: Context` first")
        if "return" not in hints:
            raise TypeError(f"{contract}.{name} does not say what it returns")
        self.contract = contract
        self.name = name
        self.path = f"{PREFIX}{contract}/{name}"
        self.parameters = tuple(_parameter(contract, name, p) for p in parameters[1:])
        self.idempotent = bool(vars(function).get("__contract_idempotent__", False))
        self.stale_for: timedelta | None = vars(function).get("__contract_stale_for__")
        """So old an answer may be that is given while nobody answers; None: never."""
        if self.stale_for is not None and not self.idempotent:
            raise TypeError(f"{contract}.{name} must be idempotent: its last answer may stand for the next")
        fields = [
            (p.name, hints[p.name]) if p.default is inspect.Parameter.empty else (p.name, hints[p.name], p.default)
            for p in sorted(parameters[1:], key=lambda p: p.default is not inspect.Parameter.empty)
        ]
        self.arguments: type[msgspec.Struct] = msgspec.defstruct(f"{contract}.{name}", fields)
        self.decode_arguments = msgspec.msgpack.Decoder(self.arguments).decode
        self.decode_result = msgspec.msgpack.Decoder(hints["return"]).decode
        self.names = self.arguments.__struct_fields__


def _parameter(contract: str, name: str, parameter: inspect.Parameter) -> str:
    if parameter.kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
        raise TypeError(f"{contract}.{name}: {parameter.name} must be a plain parameter with a name")
    if parameter.annotation is inspect.Parameter.empty:
        raise TypeError(f"{contract}.{name}: {parameter.name} has no type")
    return parameter.name


_known: dict[type, tuple[Method, ...]] = {}


def methods_of(protocol: type) -> tuple[Method, ...]:
    """The methods of a protocol. Raises TypeError for what cannot travel."""
    found = _known.get(protocol)
    if found is None:
        if not getattr(protocol, "_is_protocol", False):
            raise TypeError(f"{protocol.__qualname__} is not a Protocol")
        contract = contract_name(protocol)
        functions: dict[str, Callable[..., object]] = {}
        for base in reversed(protocol.__mro__):
            if base not in (object, Protocol, Generic):
                functions |= {n: f for n, f in vars(base).items() if not n.startswith("_") and inspect.isfunction(f)}
        if not functions:
            raise TypeError(f"{contract} has no methods")
        found = _known[protocol] = tuple(Method(contract, name, f) for name, f in functions.items())
    return found


def contract_name(protocol: type) -> str:
    """`venues.Venues` for the protocol Venues of `forecourt.modules.venues.contract`."""
    return f"{module_of(protocol)}.{protocol.__name__}"


def module_of(protocol: type) -> str:
    """The module that answers a protocol: the name before `contract`, which is a file or a package; else the file's own."""
    above, contract, _ = f"{protocol.__module__}.".rpartition(".contract.")
    return (above if contract else protocol.__module__).split(".")[-1]


def check_implementation(protocol: type, implementation: object) -> None:
    """Raises TypeError that lists every method which is missing, not async or has other parameters than the protocol says."""
    faults: list[str] = []
    for method in methods_of(protocol):
        function = getattr(implementation, method.name, None)
        if function is None:
            faults.append(f"{method.name} is missing")
        elif not inspect.iscoroutinefunction(function):
            faults.append(f"{method.name} is not an async method")
        else:
            faults += [f"{method.name}: {fault}" for fault in _parameter_faults(method, function)]
    if faults:
        raise TypeError(f"{type(implementation).__qualname__} is not a {contract_name(protocol)}: {'; '.join(faults)}")


def _parameter_faults(method: Method, function: Callable[..., object]) -> list[str]:
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        return ["takes no ctx"]
    here = {p.name: p for p in parameters[1:]}
    faults = [f"parameter {name!r} is missing" for name in method.parameters if name not in here]
    for name, parameter in here.items():
        if name not in method.parameters and parameter.default is inspect.Parameter.empty:
            faults.append(f"parameter {name!r} is not in the protocol")
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            faults.append(f"parameter {name!r} cannot be given by name")
    if not faults and [n for n in here if n in method.parameters] != list(method.parameters):
        faults.append(f"parameters come in another order than {', '.join(method.parameters)}")
    return faults


# --- problems on the wire ----------------------------------------------------------------------------------------------


class Fault(msgspec.Struct, frozen=True):
    """A Problem between two processes."""

    code: str
    status: int
    title: str
    detail: str = ""
    errors: list[FieldError] = []
    extra: dict[str, Any] = {}
    headers: dict[str, str] = {}
    more: dict[str, Any] = {}
    """Attributes a class adds, such as `retry_after_s`."""


_decode_fault = msgspec.msgpack.Decoder(Fault).decode
_OWN = frozenset({"detail", "errors", "extra", "headers"})


def encode_problem(problem: Problem) -> bytes:
    more = {
        k: v for k, v in vars(problem).items() if k not in _OWN and isinstance(v, str | int | float | bool | list | dict | None)
    }
    return _encode(
        Fault(
            problem.code,
            problem.status,
            problem.title,
            problem.detail,
            problem.errors,
            problem.extra,
            problem.headers,
            more,
        )
    )


def decode_problem(body: bytes) -> Problem:
    """The problem as the class that was raised; as its kernel base with the same code when that class is not loaded here."""
    fault = _decode_fault(body)
    kind = Problem.registered(fault.code)
    if kind is not None:
        problem = kind.__new__(kind, fault.detail or fault.title)
    else:
        base = next(
            (c for c in Problem.__subclasses__() if c.status == fault.status and c.__module__ == Problem.__module__), Internal
        )
        problem = base.__new__(base, fault.detail or fault.title)
        vars(problem).update(code=fault.code, status=fault.status, title=fault.title)
    # Not through __init__: a subclass may have one of its own, and what it made of its arguments has travelled.
    vars(problem).update(fault.more, detail=fault.detail, errors=fault.errors, extra=fault.extra, headers=fault.headers)
    return problem


# --- carriers ----------------------------------------------------------------------------------------------------------


class _Carrier(Protocol):
    async def carry(self, method: Method, ctx: Context, arguments: msgspec.Struct) -> object: ...


class _Proxy:
    """Base of generated proxies; a subclass has one real method for each of its protocol's."""

    __slots__ = ("_carrier",)

    def __init__(self, carrier: _Carrier) -> None:
        self._carrier = carrier


_proxies: dict[type, type[_Proxy]] = {}


def _proxy(protocol: type[P], carrier: _Carrier) -> P:
    kind = _proxies.get(protocol)
    if kind is None:
        body: dict[str, object] = {"__slots__": (), "__module__": protocol.__module__, "__doc__": protocol.__doc__}
        for method in methods_of(protocol):
            body[method.name] = _real_method(method, getattr(protocol, method.name))
        kind = _proxies[protocol] = cast("type[_Proxy]", type(f"{protocol.__name__}Proxy", (_Proxy,), body))
    return cast("P", kind(carrier))


def _real_method(method: Method, declared: Callable[..., object]) -> Callable[..., Awaitable[object]]:
    pack = cast("Callable[..., msgspec.Struct]", method.arguments)
    names = method.parameters
    as_declared = method.names == names

    async def call(self: _Proxy, ctx: Context, *args: object, **named: object) -> object:
        if in_transaction():
            raise ContractInTransaction(f"{method.contract}.{method.name} was called inside an open transaction")
        if len(args) > len(names):
            raise TypeError(f"{method.contract}.{method.name} takes {len(names)} arguments after ctx")
        arguments = pack(*args, **named) if as_declared else pack(**dict(zip(names, args, strict=False)), **named)
        return await self._carrier.carry(method, ctx, arguments)  # pyright: ignore[reportPrivateUsage]

    call.__name__, call.__qualname__, call.__doc__ = method.name, f"{method.contract}.{method.name}", declared.__doc__
    vars(call)["__signature__"] = inspect.signature(declared)
    return call


class _Local:
    """Calls an implementation in this process, through the codec."""

    def __init__(self, protocol: type, implementation: object, clock: Clock) -> None:
        check_implementation(protocol, implementation)
        self._implementation = implementation
        self._clock = clock

    async def carry(self, method: Method, ctx: Context, arguments: msgspec.Struct) -> object:
        sent = method.decode_arguments(_encode(arguments))
        try:
            if telemetry.enabled():
                with telemetry.span(f"{method.contract}.{method.name}"):
                    result = await self.answer(method, ctx, sent)
            else:
                result = await self.answer(method, ctx, sent)
        except Problem as problem:
            raise decode_problem(encode_problem(problem)) from problem
        return method.decode_result(_encode(result))

    async def answer(self, method: Method, ctx: Context, arguments: msgspec.Struct) -> object:
        """Runs the method within `ctx`'s deadline. Raises Problems only: anything else is logged, and becomes one."""
        function: Callable[..., Awaitable[object]] = getattr(self._implementation, method.name)
        named = {name: getattr(arguments, name) for name in method.names}
        try:
            if ctx.deadline is None:
                return await function(ctx, **named)
            return await _within(ctx.deadline, self._clock, function(ctx, **named))
        except Problem:
            raise
        except Exception as e:
            _log.exception("contract_failed", contract=method.contract, method=method.name)
            raise as_problem(e) from e


async def _within(deadline: datetime, clock: Clock, work: Awaitable[object]) -> object:
    left_s = (deadline - clock.now()).total_seconds()
    if left_s <= 0:
        if inspect.iscoroutine(work):
            work.close()
        raise DeadlineExceeded
    limit = asyncio.timeout(left_s)
    try:
        async with limit:
            return await work
    except TimeoutError as e:
        if limit.expired():
            raise DeadlineExceeded from e
        raise


def local(protocol: type[P], implementation: P, *, clock: Clock | None = None) -> P:
    """The implementation behind the codec. Raises TypeError when it does not fit the protocol."""
    return _proxy(protocol, _Local(protocol, implementation, clock or SystemClock()))


# --- keys --------------------------------------------------------------------------------------------------------------


class KeyRing:
    """Keys that sign calls. The first signs, all verify: add the new one at the end everywhere, then move it to the front."""

    def __init__(self, keys: Sequence[tuple[str, bytes]]) -> None:
        if not keys:
            raise ValueError("calls between processes need at least one key (FORECOURT_CONTRACT_KEYS)")
        self._keys = dict(keys)
        self._first = keys[0][0]

    @classmethod
    def of(cls, keys: Sequence[ContractKey]) -> KeyRing:
        return cls([(key.id, key.secret.reveal().encode()) for key in keys])

    def sign(self, message: bytes) -> tuple[str, str]:
        """The id of the key and the signature in hex."""
        return self._first, hmac.digest(self._keys[self._first], message, "sha256").hex()

    def knows(self, key_id: str) -> bool:
        return key_id in self._keys

    def verify(self, key_id: str, message: bytes, signature: str) -> bool:
        key = self._keys.get(key_id)
        if key is None:
            return False
        return hmac.compare_digest(hmac.digest(key, message, "sha256").hex().encode(), signature.encode())


def _message(path: str, headers: Mapping[str, str], body: bytes) -> bytes:
    # The context says who acts, so it is signed like the body. Lengths cannot be confused: no header holds a line feed.
    signed = "\n".join(("POST", path, *(headers.get(h, "") for h in (_H_TIME, _H_CONTEXT, _H_BUDGET, _H_TRACE))))
    return signed.encode() + b"\n" + hashlib.sha256(body).digest()


# --- breaker -----------------------------------------------------------------------------------------------------------


class Breaker:
    """Stops calling a target that does not answer: opens after `failures` in a row, and lets one probe through after `first_s`,
    then after twice that, and so on up to `open_s`. Most targets that are away are being started anew and are back in seconds:
    who waited ten for each of them would have the retries of jobs wait longer still."""

    def __init__(
        self,
        failures: int = 5,
        open_s: float = 10.0,
        monotonic: Callable[[], float] = time.monotonic,
        *,
        first_s: float = 0.5,
    ) -> None:
        self._limit = failures
        self._first_s = self._pause_s = first_s
        self._open_s = open_s
        self._monotonic = monotonic
        self._failures = 0
        self._opened_at: float | None = None
        self._probe_at: float | None = None

    @property
    def open(self) -> bool:
        return self._opened_at is not None

    def admit(self) -> bool:
        """True when a call may go out now."""
        if self._opened_at is None:
            return True
        now = self._monotonic()
        if now - self._opened_at < self._pause_s:
            return False
        # A probe that never reported (its task was cancelled) does not keep the breaker open for ever.
        if self._probe_at is not None and now - self._probe_at < self._open_s:
            return False
        self._probe_at = now
        return True

    def succeeded(self) -> None:
        self._failures = 0
        self._pause_s = self._first_s
        self._opened_at = self._probe_at = None

    def failed(self) -> None:
        self._failures += 1
        if self._opened_at is None:
            if self._failures >= self._limit:
                self._opened_at = self._monotonic()
        elif self._probe_at is not None:  # else a call that went out before it opened: nothing new
            self._opened_at, self._probe_at = self._monotonic(), None
            self._pause_s = min(2 * self._pause_s, self._open_s)


# --- remote ------------------------------------------------------------------------------------------------------------


class Target:
    """One process that answers calls: where it is, whether it answers, and whether it said that it leaves."""

    def __init__(self, base_url: str, breaker: Breaker | None = None, monotonic: Callable[[], float] = time.monotonic) -> None:
        self.base = base_url.rstrip("/")
        self.breaker = breaker or Breaker()
        self._monotonic = monotonic
        self._back_at = 0.0

    @property
    def leaving(self) -> bool:
        return self._monotonic() < self._back_at

    def leaves(self) -> None:
        """It said so in an answer."""
        self._back_at = self._monotonic() + LEAVING_S


def _question(method: Method, ctx: Context, body: bytes) -> bytes:
    """What is asked and by whom, as far as an answer may depend on it."""
    person = msgspec.structs.replace(ctx.actor, session_id=None, scopes=frozenset())
    who = (person, ctx.organisation_id, sorted(ctx.actor.scopes), sorted(ctx.permissions))
    return hashlib.sha256(_encode((method.path, who)) + body).digest()


class _Kept:
    """The last good answers, of the latest questions."""

    def __init__(self) -> None:
        self._answers: dict[bytes, tuple[datetime, bytes]] = {}

    def keep(self, question: bytes, at: datetime, answer: bytes) -> None:
        self._answers.pop(question, None)
        if len(answer) > MAX_KEPT_BYTES:
            return
        self._answers[question] = at, answer
        if len(self._answers) > MAX_KEPT:
            del self._answers[next(iter(self._answers))]

    def find(self, question: bytes, since: datetime) -> bytes | None:
        """One that is not older than `since`."""
        at, answer = self._answers.get(question, (None, b""))
        return answer if at is not None and at >= since else None


class Answered(Protocol):
    """An answer, whole."""

    @property
    def status_code(self) -> int: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


class Poster(Protocol):
    """What carries a call: `kernel/wire.py`, or a client of httpx, whose errors it raises. `timeout`: seconds, for all of it."""

    async def post(
        self,
        url: str,
        *,
        content: bytes,
        headers: dict[str, str],
        timeout: float,  # noqa: ASYNC109 - httpx calls it so
    ) -> Answered: ...


class _Remote:
    """Calls the processes that answer a protocol in turn; one that does not answer, or is about to leave, only when it must."""

    def __init__(
        self,
        targets: Sequence[Target],
        keys: KeyRing,
        client: Poster,
        clock: Clock,
        pause: Callable[[float], Awaitable[object]],
    ) -> None:
        self._targets = list(targets)
        self._turn = 0
        self._keys = keys
        self._client = client
        self._clock = clock
        self._pause = pause
        self._kept = _Kept()

    async def carry(self, method: Method, ctx: Context, arguments: msgspec.Struct) -> object:
        body = _encode(arguments)
        if method.stale_for is None:
            return self._result(method, await self._ask(method, ctx, body))
        question = _question(method, ctx, body)
        try:
            answer = await self._ask(method, ctx, body)
        except Unavailable:
            kept = self._kept.find(question, self._clock.now() - method.stale_for)
            if kept is None:
                raise
            _log.warning("contract_answer_stale", contract=method.contract, method=method.name)
            return method.decode_result(kept)
        result = self._result(method, answer)
        self._kept.keep(question, self._clock.now(), answer.content)
        return result

    async def _ask(self, method: Method, ctx: Context, body: bytes) -> Answered:
        """What one of the targets answers. Raises Unavailable when none does."""
        pause_s = BACKOFF_S
        tried: set[Target] = set()
        for tries_left in range(TRIES - 1, -1, -1):
            left_s = self._left_s(ctx)
            target = self._choose(tried)
            if target is None:
                raise Unavailable(f"{method.contract} does not answer")
            tried.add(target)
            # Whom nobody has asked yet may be asked at once.
            wait_s = pause_s if len(tried) == len(self._targets) else 0.0
            try:
                answer = await self._post(target, method, ctx, body, min(CALL_TIMEOUT_S, left_s))
            except _NoAnswer as e:
                may_retry = (method.idempotent or not e.sent) and tries_left > 0
                if self._left_s(ctx) <= wait_s or not may_retry:
                    raise Unavailable(f"{method.contract} does not answer") from e
            else:
                return answer
            if wait_s:
                await self._pause(pause_s)
                pause_s *= BACKOFF_FACTOR
        raise Unavailable(f"{method.contract} does not answer")

    def _choose(self, tried: set[Target]) -> Target | None:
        """Whom to call now, each in turn; None when nobody may be called."""
        if len(self._targets) == 1:
            only = self._targets[0]
            return only if only.breaker.admit() else None
        self._turn = (self._turn + 1) % len(self._targets)
        in_turn = self._targets[self._turn :] + self._targets[: self._turn]
        # Sorting keeps turns among those that are alike.
        in_turn.sort(key=lambda t: (t in tried, t.leaving))
        return next((t for t in in_turn if t.breaker.admit()), None)

    def _left_s(self, ctx: Context) -> float:
        if ctx.deadline is None:
            return CALL_TIMEOUT_S
        left_s = (ctx.deadline - self._clock.now()).total_seconds()
        if left_s <= 0:
            raise DeadlineExceeded
        return left_s

    async def _post(self, target: Target, method: Method, ctx: Context, body: bytes, timeout_s: float) -> Answered:
        if not telemetry.enabled():
            return await self._send(target, method, ctx, body, timeout_s)
        with telemetry.span(f"{method.contract}.{method.name}", side=telemetry.Side.CLIENT):
            return await self._send(target, method, ctx, body, timeout_s)

    async def _send(self, target: Target, method: Method, ctx: Context, body: bytes, timeout_s: float) -> Answered:
        headers = self._headers(method, ctx, body, timeout_s)
        try:
            answer = await self._client.post(target.base + method.path, content=body, headers=headers, timeout=timeout_s)
        except httpx.TimeoutException as e:
            # A caller in a hurry proves nothing about the target, nor does one for whom no connection was free.
            if timeout_s >= 1 and not isinstance(e, httpx.PoolTimeout):
                target.breaker.failed()
            raise _NoAnswer(sent=not isinstance(e, httpx.ConnectTimeout | httpx.PoolTimeout)) from e
        except httpx.TransportError as e:
            target.breaker.failed()
            raise _NoAnswer(sent=not isinstance(e, httpx.ConnectError)) from e
        if answer.status_code in (502, 503, 504) and answer.headers.get("content-type") != FAULT:
            target.breaker.failed()
            raise _NoAnswer(sent=True)
        target.breaker.succeeded()
        if LEAVING in answer.headers:
            target.leaves()
        return answer

    def _headers(self, method: Method, ctx: Context, body: bytes, timeout_s: float) -> dict[str, str]:
        headers = {
            "content-type": MSGPACK,
            _H_TIME: f"{self._clock.now().timestamp():.3f}",
            _H_CONTEXT: b64encode(_encode(ctx)).decode(),
            _H_BUDGET: str(max(1, int(timeout_s * 1000))),
            _H_TRACE: telemetry.traceparent(ctx.trace_id),
        }
        headers[_H_KEY], headers[_H_SIGNATURE] = self._keys.sign(_message(method.path, headers, body))
        return headers

    def _result(self, method: Method, answer: Answered) -> object:
        try:
            if answer.headers.get("content-type") == FAULT:
                raise decode_problem(answer.content)
            if answer.status_code == 200:
                return method.decode_result(answer.content)
        except msgspec.MsgspecError as e:
            _log.error("contract_answer_unreadable", contract=method.contract, method=method.name, error=str(e))
            raise Internal from e
        # Among them 401: our key is not theirs, or our clock. The person who asked has nothing to do with it.
        refused = CallRefused(answer.status_code, self._clocks_apart_s(answer))
        apart = {"clocks_apart_s": round(refused.clocks_apart_s)} if refused.by_clock else {}
        _log.error("contract_refused", contract=method.contract, method=method.name, status=answer.status_code, **apart)
        raise Internal from refused

    def _clocks_apart_s(self, answer: Answered) -> float:
        """As far as the answer tells; 0 when it does not."""
        try:
            return abs((self._clock.now() - parsedate_to_datetime(answer.headers.get("date", ""))).total_seconds())
        except (ValueError, TypeError):  # no time, or one without an offset
            return 0.0


class CallRefused(Exception):
    """Another process of the house does not take what we signed. Behind the Internal that the caller gets."""

    def __init__(self, status: int, clocks_apart_s: float) -> None:
        super().__init__(f"answered with {status}")
        self.clocks_apart_s = clocks_apart_s

    @property
    def by_clock(self) -> bool:
        """Whether our clocks differ by more than a signature lasts; else our keys do."""
        return self.clocks_apart_s > SIGNATURE_WINDOW_S


class _NoAnswer(Exception):
    """The target did not answer. `sent` is False when it cannot have seen the call."""

    def __init__(self, *, sent: bool) -> None:
        super().__init__()
        self.sent = sent


def remote(
    protocol: type[P],
    base_url: str,
    keys: KeyRing,
    client: Poster,
    *,
    breaker: Breaker | None = None,
    clock: Clock | None = None,
    pause: Callable[[float], Awaitable[object]] = asyncio.sleep,
) -> P:
    """The protocol as another process answers it.

    Calls raise the Problems that the implementation raises, Unavailable when nothing answers, DeadlineExceeded when `ctx`'s
    time is over. Give proxies of one target the same `breaker`.
    """
    return _proxy(protocol, _Remote([Target(base_url, breaker)], keys, client, clock or SystemClock(), pause))


# --- serving -----------------------------------------------------------------------------------------------------------

Answer = tuple[int, dict[str, str], bytes]


class Exchange:
    """Answers signed calls from other processes. An ASGI route hands it every POST below `/_contract/`."""

    def __init__(self, keys: KeyRing, clock: Clock | None = None) -> None:
        self._keys = keys
        self._clock: Clock = clock or SystemClock()
        self._targets: dict[str, tuple[Method, _Local]] = {}

    def add(self, protocol: type, implementation: object) -> None:
        """Raises TypeError when the implementation does not fit."""
        target = _Local(protocol, implementation, self._clock)
        for method in methods_of(protocol):
            self._targets[method.path] = (method, target)

    def route(self, path: str) -> str:
        """The path as a label of metrics: itself when it is one of ours."""
        return path if path in self._targets else f"{PREFIX}other"

    def plausible(self, headers: Mapping[str, str]) -> bool:
        """Whether a call with these headers may be one of ours, before its body is read: fresh, and by a key that we know."""
        return self._fresh(headers) and self._keys.knows(headers.get(_H_KEY, ""))

    async def handle(self, path: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """`headers` have lower-case names. 401 for what is unsigned, altered or old, before anything else is looked at."""
        if len(body) > MAX_BODY_BYTES:
            return 413, {}, b""
        if not self._signed(path, headers, body):
            return 401, {}, b""
        target = self._targets.get(path)
        if target is None:
            return 404, {}, b""
        method, implementation = target
        try:
            ctx = _decode_context(b64decode(headers.get(_H_CONTEXT, ""), validate=True))
            budget_ms = int(headers.get(_H_BUDGET, ""))
            arguments = method.decode_arguments(body)
        except (ValueError, msgspec.MsgspecError) as e:
            # Signed, so it comes from one of us with another idea of the contract.
            _log.error("contract_call_unreadable", contract=method.contract, method=method.name, error=str(e))
            return _faulty(Internal())
        # The caller sends how long it waits, not until when: two machines need not agree on the time to the millisecond.
        ctx = msgspec.structs.replace(ctx, deadline=self._clock.now() + timedelta(milliseconds=budget_ms))
        told = TRACE.set(ctx.trace_id)
        try:
            above = headers.get(_H_TRACE, "")
            with telemetry.span(f"{method.contract}.{method.name}", above, side=telemetry.Side.SERVER, trace_id=ctx.trace_id):
                result = await implementation.answer(method, ctx, arguments)
            return 200, {"content-type": MSGPACK}, _encode(result)
        except Problem as problem:
            return _faulty(problem)
        finally:
            TRACE.reset(told)

    def _signed(self, path: str, headers: Mapping[str, str], body: bytes) -> bool:
        if not self._fresh(headers):
            return False
        return self._keys.verify(headers.get(_H_KEY, ""), _message(path, headers, body), headers.get(_H_SIGNATURE, ""))

    def _fresh(self, headers: Mapping[str, str]) -> bool:
        try:
            age_s = abs(self._clock.now().timestamp() - float(headers.get(_H_TIME, "")))
        except ValueError:
            return False
        return age_s <= SIGNATURE_WINDOW_S  # not so for "nan"


def _faulty(problem: Problem) -> Answer:
    return problem.status, {"content-type": FAULT}, encode_problem(problem)


def serve(protocol: type[P], implementation: P, keys: KeyRing, clock: Clock | None = None) -> Exchange:
    """An exchange for one implementation."""
    exchange = Exchange(keys, clock)
    exchange.add(protocol, implementation)
    return exchange


# --- the board ---------------------------------------------------------------------------------------------------------


class Switchboard:
    """Who answers which protocol. `app.py` fills it; modules ask it in any order and are connected at their first call."""

    def __init__(
        self,
        peers: Mapping[str, Sequence[str]] | None = None,
        keys: KeyRing | None = None,
        client: Poster | None = None,
        clock: Clock | None = None,
    ) -> None:
        """`peers`: for each module that lives elsewhere the addresses of the processes that serve it."""
        if peers and (keys is None or client is None):
            raise ValueError("peers need keys and an HTTP client")
        self._peers = dict(peers or {})
        self._keys = keys
        self._client = client
        self._clock: Clock = clock or SystemClock()
        self._local: dict[type, _Local] = {}
        self._asked: dict[type, None] = {}
        self._targets: dict[str, Target] = {}
        self.exchange: Exchange | None = Exchange(keys, self._clock) if keys is not None else None
        """Answers other processes; None without keys."""

    def provide(self, protocol: type[P], implementation: P) -> None:
        """This process answers `protocol`. Raises TypeError when the implementation does not fit or another one is there."""
        if protocol in self._local:
            raise TypeError(f"{contract_name(protocol)} is provided twice")
        self._local[protocol] = _Local(protocol, implementation, self._clock)
        if self.exchange is not None:
            self.exchange.add(protocol, implementation)

    def call(self, protocol: type[P]) -> P:
        """The protocol, to be called once the board is filled."""
        self._asked[protocol] = None
        return _proxy(protocol, _Lazy(self, protocol))

    def missing(self) -> list[str]:
        """Protocols that were asked for and that nobody answers. Refuse to start unless this is empty."""
        return [contract_name(p) for p in self._asked if p not in self._local and module_of(p) not in self._peers]

    def carrier(self, protocol: type) -> _Carrier:
        found = self._local.get(protocol)
        if found is not None:
            return found
        urls = self._peers.get(module_of(protocol))
        if not urls or self._keys is None or self._client is None:
            raise LookupError(f"nobody answers {contract_name(protocol)}: provide it, or name its module in FORECOURT_PEERS")
        # One for all protocols: what one call finds out about a process, the others know.
        targets = [self._targets.setdefault(url, Target(url)) for url in urls]
        return _Remote(targets, self._keys, self._client, self._clock, asyncio.sleep)


class _Lazy:
    def __init__(self, board: Switchboard, protocol: type) -> None:
        self._board = board
        self._protocol = protocol
        self._found: _Carrier | None = None

    async def carry(self, method: Method, ctx: Context, arguments: msgspec.Struct) -> Any:
        if self._found is None:
            self._found = self._board.carrier(self._protocol)
        return await self._found.carry(method, ctx, arguments)
