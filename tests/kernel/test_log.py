from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from forecourt.kernel.log import HIDDEN, bound, configure, get_logger, is_secret, redact


@pytest.fixture
def lines() -> Iterator[io.StringIO]:
    out, level = io.StringIO(), logging.getLogger().level
    configure("info", console=False, stream=out)
    yield out
    root = logging.getLogger()
    root.handlers = [h for h in root.handlers if not hasattr(h, "forecourt")]
    root.setLevel(level)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.mark.parametrize(
    "key",
    [
        "password",
        "accessToken",
        "refresh_token",
        "Authorization",
        "set-cookie",
        "pin",
        "health_form",
        "healthAnswers",
        "card_number",
        "client_secret",
    ],
)
def test_secret_names_are_hidden_at_any_depth(key: str) -> None:
    event = redact(None, "info", {"event": "x", key: "v", "body": [{key: {"deep": "v"}}]})
    assert event[key] == HIDDEN and event["body"] == [{key: HIDDEN}]


@pytest.mark.parametrize("key", ["pint", "spinning", "booking_id", "discard", "event", "status", "wellness"])
def test_plain_names_stay(key: str) -> None:
    assert not is_secret(key)


def test_values_that_look_like_credentials_are_hidden() -> None:
    event = redact(
        None,
        "info",
        {"a": "Bearer abcdef123456", "b": "got eyJhbGciOi.eyJzdWIi.sig", "c": "postgresql://u:pw@h/d", "d": "a plain text"},
    )
    assert event == {"a": HIDDEN, "b": f"got {HIDDEN}", "c": f"postgresql://{HIDDEN}@h/d", "d": "a plain text"}


def test_both_kinds_of_logging_come_out_as_json_with_the_trace(lines: io.StringIO) -> None:
    with bound(trace_id="t1"):
        get_logger("a").info("booked", count=1, token="x")
        logging.getLogger("b").warning("plain %s", "Bearer abcdef123456")
        try:
            raise ValueError("Bearer abcdef123456")
        except ValueError:
            get_logger("a").exception("failed")
    get_logger("a").debug("unheard")
    first, second, third = (json.loads(line) for line in lines.getvalue().splitlines())
    assert (first["event"], first["count"], first["token"], first["trace_id"], first["level"]) == (
        "booked",
        1,
        HIDDEN,
        "t1",
        "info",
    )
    assert (second["event"], second["trace_id"]) == (f"plain {HIDDEN}", "t1")
    assert "ValueError" in third["exception"] and "abcdef123456" not in third["exception"]
