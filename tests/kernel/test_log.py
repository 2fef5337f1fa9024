from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import asyncpg
import pytest
import structlog

from forecourt.kernel.faults import describe
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


def test_mail_addresses_are_hidden_and_what_only_looks_like_one_stays() -> None:
    told = {
        "a": "550 <ida.b+c@post.example.org>: no such user",
        "b": "http://ida@host.example/x",
        "c": "weigh v1@50 and v2 @ noon",
    }
    assert redact(None, "info", dict(told)) == told | {"a": f"550 <{HIDDEN}>: no such user"}


def test_private_links_are_hidden_and_addresses_with_ids_stay() -> None:
    token, id = "Zx_-" * 11, "01941f29-7c00-7e77-ac4a-1c3786b96683"
    told = {
        "a": f"/v1/invitations/{token}/accept",
        "b": f"/staff-invitations/{token}",
        "c": f"/v1/unsubscribe/{token}=",
        "d": f"/v1/me/calendar.ics?x=1&token={token}&y=2",
        "e": f"/v1/invitations/{id}/accept",
    }
    assert redact(None, "info", dict(told)) == told | {
        "a": f"/v1/invitations/{HIDDEN}/accept",
        "b": f"/staff-invitations/{HIDDEN}",
        "c": f"/v1/unsubscribe/{HIDDEN}",
        "d": f"/v1/me/calendar.ics?x=1&token={HIDDEN}&y=2",
    }


async def test_a_row_that_the_database_did_not_take_is_in_no_log_and_no_record(database_url: str, lines: io.StringIO) -> None:
    """Behind its error PostgreSQL quotes the key, or the whole row: a mail address, a health answer."""
    link = await asyncpg.connect(database_url)
    try:
        await link.execute("create temp table form (id text primary key, answer text check (answer <> 'on\ninsulin'))")
        await link.execute("insert into form values ('ida', 'well')")
        for row, word in (("'ida', 'well'", "ida"), ("'mo', E'on\\ninsulin'", "insulin")):
            try:
                try:
                    await link.execute(f"insert into form values ({row})")
                except asyncpg.IntegrityConstraintViolationError as e:
                    assert word in str(e), "the control: it is told to us"
                    assert word not in describe(e) and "form" in describe(e)
                    get_logger("a").error("failed", exc_info=e, error=str(e))
                    raise RuntimeError("afterwards") from e
            except RuntimeError:
                get_logger("a").exception("failed")
    finally:
        await link.close()
    told = lines.getvalue()
    assert "insulin" not in told and "(ida)" not in told
    for violated in ("form_pkey", "form_answer_check", "afterwards"):
        assert violated in told


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
