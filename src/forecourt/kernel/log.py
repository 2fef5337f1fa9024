"""Logs: events with fields, one JSON object a line; a console in development. No secret, health answer or mail address gets in.

log = get_logger("forecourt.booking")
log.info("booking_confirmed", booking_id=booking.id)
"""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Generator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TextIO, cast

import msgspec
import structlog

HIDDEN = "[hidden]"
MAX_VALUE_CHARS = 4_000
MAX_DEPTH = 6

# Whole words of a key, so that `spinning` and `pint` stay readable while `access_pin` and `card_number` do not.
_KEY = re.compile(
    r"(?:^|[_\-. ])(?:pass(?:word|wd|phrase|code)?|secrets?|tokens?|authorization|cookies?|set-cookie|pin|pins|otp|totp|cvc|cvv"
    r"|cards?|iban|health[a-z]*|signature|credentials?|recovery[_-]codes?"
    r"|api[_-]?key|private[_-]?key|secret[_-]?key|forecourt[_-]gateway|csrf)(?:$|[_\-. ])",
    re.IGNORECASE,
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_GLUED = re.compile(r"password|secret|authorization|accesstoken|refreshtoken|apikey|healthform", re.IGNORECASE)
_VALUE = re.compile(
    r"eyJ[\w-]{5,}\.[\w-]+\.[\w-]*"  # a JWT
    r"|\b(?:Bearer|Basic)\s+[\w\-.~+/=]{6,}"
    r"|(?<=://)[^\s/@:]*:[^\s/@]+(?=@)"  # user:password in an address
    r"|\b(?:\d[ -]?){13,19}\b(?<=\d)"  # a card number
    r"|(?<![\w.+%/-])[\w.+%-]+@[\w-]+(?:\.[\w-]+)+"  # a mail address
    r"|(?:(?<=invitations/)|(?<=unsubscribe/))[\w=-]{40,}"  # the end of a private link; ids are shorter
    r"|(?<=[?&]token=)[^\s&\"']+",
    re.IGNORECASE,
)
_ROW = re.compile(r"(?<=\n)([\s|]*DETAIL:).*?(?=\n[\s|]*\n[\s|]*(?:The above|During handling)|\Z)", re.DOTALL)
"""What a database says behind its error: the key, or the whole row, that it did not take."""
TRACE: ContextVar[str] = ContextVar("trace", default="")
"""The trace of what is being done: every event logged meanwhile carries it as `trace_id`."""
_encoder = msgspec.json.Encoder(enc_hook=str)


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    return cast("structlog.stdlib.BoundLogger", structlog.get_logger(name))


def add_trace(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that says to which trace an event belongs."""
    trace_id = TRACE.get()
    if trace_id:
        event.setdefault("trace_id", trace_id)
    return event


def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """A structlog processor that hides what must not be written down, at any depth."""
    for key in list(event):
        event[key] = HIDDEN if is_secret(key) else _clean(event[key], 0)
    return event


def without_rows(text: str) -> str:
    """An error's text without what it quotes of a table."""
    return _ROW.sub(rf"\1 {HIDDEN}", text)


def is_secret(key: str) -> bool:
    """True for names whose values are never logged."""
    words = _CAMEL.sub("_", key)
    return _KEY.search(words) is not None or _GLUED.search(key) is not None


def _clean(value: object, depth: int) -> object:  # noqa: PLR0911 - one return per kind of value
    if isinstance(value, str):
        text = _VALUE.sub(HIDDEN, without_rows(value))
        return text if len(text) <= MAX_VALUE_CHARS else text[:MAX_VALUE_CHARS] + "…"
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, int):
        return HIDDEN if _VALUE.fullmatch(str(value)) and 10**12 <= value < 10**19 and _luhn(str(value)) else value
    if depth >= MAX_DEPTH:
        return "…"
    if isinstance(value, bytes | bytearray | memoryview):
        return f"{len(value)} bytes"
    if isinstance(value, msgspec.Struct):
        value = {name: getattr(value, name) for name in value.__struct_fields__}
    if isinstance(value, Mapping):
        pairs = cast("Mapping[object, object]", value).items()
        return {str(k): HIDDEN if is_secret(str(k)) else _clean(v, depth + 1) for k, v in pairs}
    if isinstance(value, list | tuple | set | frozenset):
        return [_clean(item, depth + 1) for item in cast("list[object]", value)]
    return _clean(str(value), depth)


def _luhn(digits: str) -> bool:
    """True for numbers with a card's check digit (ISO/IEC 7812-1): a time in microseconds is rarely one."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        n = int(digit) * (2 if place % 2 else 1)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def render_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    return _encoder.encode(event).decode()


def configure(level: str, *, console: bool | None = None, stream: TextIO | None = None) -> None:
    """Routes structlog and the standard library's logging to one stream. Called once, when a program starts.

    `console` None: people's format when the stream is a terminal, JSON otherwise.
    """
    out = stream if stream is not None else sys.stderr
    pretty = out.isatty() if console is None else console
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        add_trace,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    # Tracebacks become text before redaction: their last line quotes values.
    last: list[structlog.typing.Processor] = [structlog.processors.format_exc_info, redact]
    render: structlog.typing.Processor = structlog.dev.ConsoleRenderer(colors=True) if pretty else render_json
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *last, render],
        )
    )
    root = logging.getLogger()
    for old in list(root.handlers):
        if getattr(old, "forecourt", False):
            root.removeHandler(old)
    vars(handler)["forecourt"] = True
    root.addHandler(handler)
    root.setLevel(level.upper())
    for noisy in ("httpx", "httpcore", "asyncio", "uvicorn.access"):
        logging.getLogger(noisy).setLevel(max(logging.WARNING, root.level))
    logging.captureWarnings(capture=True)


@contextmanager
def bound(**fields: object) -> Generator[None, None, None]:
    """Adds `fields` (trace_id, request_id) to every event logged inside the block, by this task and those it starts."""
    with structlog.contextvars.bound_contextvars(**fields):
        yield
