"""What stands between a request and an operation: who asks, what they sent, what they get, and what went wrong."""

from __future__ import annotations

import asyncio
import base64
import gzip
import json
from typing import Any
from urllib.parse import quote, unquote
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from tests.kernel.http.desk import COOKIE, Desk, RoomFull, Rooms
from tests.modules.identity.conftest import ISSUER, PASSWORD, STRANGER

from forecourt.kernel import telemetry
from forecourt.kernel.errors import Internal, TooManyRequests
from forecourt.kernel.http.dispatch import Dispatcher, preferred_language, set_cookie
from forecourt.kernel.http.operation import Operation
from forecourt.kernel.http.sent import Spool

FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def code(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["code"]


# --- who asks ---------------------------------------------------------------------------------------------------------


async def test_a_bearer_is_known_and_nobody_is_sent_to_sign_in(desk: Desk) -> None:
    ada = await desk.accounts.confirmed()
    answer = await desk.client.get("/v1/me", headers=bearer(ada.access_token))
    assert (answer.status_code, answer.json()["account"]) == (200, str(ada.account.id))
    nobody = await desk.client.get("/v1/me")
    assert code(nobody) == (401, "unauthenticated")
    assert nobody.headers["www-authenticate"].startswith("Bearer")
    assert (await desk.client.get("/v1/anyone")).json()["account"] is None


DEEP = base64.urlsafe_b64encode(b"[" * 3000).decode()


@pytest.mark.parametrize(
    "value",
    ["Basic abc", "Bearer", "Bearer ", "Bearer nonsense", "Bearer a.b.c", f"Bearer {DEEP}.e30.A", f"Bearer e30.{DEEP}.A"],
)
async def test_an_authorization_that_is_none_is_refused_even_where_nobody_need_sign_in(desk: Desk, value: str) -> None:
    answer = await desk.client.get("/v1/anyone", headers={"Authorization": value})
    assert answer.status_code == 401
    assert (await desk.client.get("/v1/anyone")).status_code == 200


async def test_a_key_acts_for_its_organisation_alone_and_has_no_account(desk: Desk) -> None:
    org, secret = await desk.api_key("venues.edit")
    headers = {"X-API-Key": secret}
    told = (await desk.client.get(f"/v1/orgs/{org}/rooms", headers=headers)).json()
    assert (told["organisation"], told["permissions"], told["account"]) == (str(org), ["venues.edit"], None)
    assert told["key"] is not None
    assert code(await desk.client.get(f"/v1/orgs/{uuid4()}/rooms", headers=headers)) == (404, "not_found")
    assert (await desk.client.get("/v1/anyone", headers=headers)).json()["organisation"] == str(org)
    for path in ("/v1/me", "/v1/confirmed"):
        assert code(await desk.client.get(path, headers=headers)) == (403, "forbidden")
    assert (await desk.client.get("/v1/anyone", headers={"X-API-Key": "fk_invented"})).status_code == 401


async def test_a_key_without_the_permission_is_told_so_and_a_stranger_is_told_nothing(desk: Desk) -> None:
    org, secret = await desk.api_key("booking.read_any")
    path = f"/v1/orgs/{org}/rooms"
    assert code(await desk.client.get(path, headers={"X-API-Key": secret})) == (403, "forbidden")
    eve = await desk.accounts.confirmed("eve")
    assert code(await desk.client.get(path, headers=bearer(eve.access_token))) == (404, "not_found")
    assert code(await desk.client.get(path)) == (401, "unauthenticated")


async def test_an_organisation_that_is_no_id_is_nobodys(desk: Desk) -> None:
    _, secret = await desk.api_key("venues.edit")
    assert (await desk.client.get("/v1/clubs/riverside/rooms", headers={"X-API-Key": secret})).status_code == 404


async def test_an_unconfirmed_address_may_look_and_no_more(desk: Desk) -> None:
    fresh = await desk.accounts.register()
    headers = bearer(fresh.access_token)
    assert (await desk.client.get("/v1/me", headers=headers)).status_code == 200
    assert code(await desk.client.get("/v1/confirmed", headers=headers)) == (403, "email_unconfirmed")
    sure = await desk.accounts.confirmed()
    assert (await desk.client.get("/v1/confirmed", headers=bearer(sure.access_token))).status_code == 200


async def test_administration_does_not_exist_for_anyone_else(desk: Desk) -> None:
    ada = await desk.accounts.confirmed()
    assert code(await desk.client.get("/v1/admin", headers=bearer(ada.access_token))) == (404, "not_found")
    await desk.accounts.identity.persons.make_admin(STRANGER, ada.account.email)
    again = await desk.accounts.identity.persons.log_in(STRANGER, ada.account.email, PASSWORD)
    assert (await desk.client.get("/v1/admin", headers=bearer(again.access_token))).status_code == 200


async def test_a_session_cookie_reads_the_api_and_changes_only_with_the_token_of_its_page(desk: Desk) -> None:
    session = await desk.browser()
    headers = desk.cookies(session)
    assert (await desk.client.get("/v1/me", headers=headers)).status_code == 200
    assert code(await desk.client.post("/v1/me", headers=headers)) == (403, "csrf_refused")
    assert (await desk.client.post("/v1/me", headers=headers | {"X-CSRF-Token": desk.csrf_of(session)})).status_code == 200
    assert (await desk.client.get("/v1/me", headers=desk.cookies("no-such-session"))).status_code == 401


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ({}, 200),
        ({"Origin": ISSUER}, 200),
        ({"Origin": "null"}, 200),
        ({"Origin": "https://evil.example"}, 403),
        ({"Sec-Fetch-Site": "same-origin"}, 200),
        ({"Sec-Fetch-Site": "none"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Sec-Fetch-Site": "same-site"}, 403),
    ],
)
async def test_a_change_by_cookie_comes_from_our_own_pages(desk: Desk, more: dict[str, str], status: int) -> None:
    headers = await desk.signed_in()
    assert (await desk.client.post("/v1/me", headers=headers | more)).status_code == status


async def test_the_token_of_a_page_is_good_for_one_session_and_no_other(desk: Desk) -> None:
    mine, hers = await desk.browser(), await desk.browser()
    tokens = {session: desk.csrf_of(session) for session in ("", mine, hers)}
    assert len(set(tokens.values())) == 3
    for session, token in tokens.items():
        headers = desk.cookies(mine) | {"X-CSRF-Token": token}
        for answer in (await desk.client.post("/v1/me", headers=headers), await desk.client.post("/plain", headers=headers)):
            assert (answer.status_code == 403) == (session != mine)
    assert (await desk.client.post("/v1/me", headers=desk.cookies(mine) | {"X-CSRF-Token": tokens[mine]})).status_code == 200


async def test_who_planted_the_cookie_of_a_visit_knows_no_token_once_its_owner_has_signed_in(desk: Desk) -> None:
    planted = (await desk.client.get("/show", headers=desk.cookies())).json()["csrf"]
    by_the_thief = desk.cookies() | {"X-CSRF-Token": planted}
    assert (await desk.client.post("/plain", headers=by_the_thief)).status_code == 303, "a control: it is a token that works"
    session = await desk.browser()
    shown = (await desk.client.get("/show", headers=desk.cookies(session))).json()["csrf"]
    assert shown != planted, "signing in changes it, and the visit keeps its cookie"
    for path in ("/v1/me", "/plain"):
        answer = await desk.client.post(path, headers=desk.cookies(session) | {"X-CSRF-Token": planted})
        assert answer.status_code == 403
        assert (await desk.client.post(path, headers=desk.cookies(session) | {"X-CSRF-Token": shown})).status_code < 400
    assert (await desk.client.post("/plain", headers=desk.cookies() | {"X-CSRF-Token": shown})).status_code == 403, (
        "and out again"
    )


async def test_two_cookies_cannot_be_told_apart_as_one(desk: Desk) -> None:
    """What is signed is a pair: no value of one cookie makes the token of another pair."""
    pairs = [("ab", "c"), ("a", "bc"), ("abc", ""), ('a","b', "c"), ("", "abc")]
    assert len({desk.door.csrf_for({"fc_visit": visit, "fc_session": session}) for visit, session in pairs}) == len(pairs)


@pytest.mark.parametrize(
    "odd", ["{}", "a b=c", "bad name", "=", 'x={"a":1}', 'y="unclosed', "z=%ff", "caf\u00e9=1", "a@b=c", 'j="{"k":[1,2]}"', ","]
)
async def test_a_cookie_that_no_grammar_allows_signs_nobody_out(desk: Desk, odd: str) -> None:
    session = f"fc_session={await desk.browser()}"
    for cookies in (f"{odd}; {session}", f"{session}; {odd}", f"{odd};{session};{odd}", f"{session}; fc_session=another"):
        answer = await desk.client.get("/v1/me", headers={"Cookie": cookies.encode("latin-1")})
        assert answer.status_code == 200, cookies
    assert (await desk.client.get("/v1/me", headers={"Cookie": odd.encode("latin-1")})).status_code == 401


async def test_a_cookie_in_quotes_is_what_stands_between_them(desk: Desk) -> None:
    session = await desk.browser()
    assert (await desk.client.get("/v1/me", headers={"Cookie": f'fc_session="{session}"'})).status_code == 200
    assert (await desk.client.get("/v1/me", headers={"Cookie": f'fc_session="{session}'})).status_code == 401


@pytest.mark.parametrize("cookie", ["fc_session=" + "x" * 9000, "fc session", "=;=;;", "a@b=c"])
async def test_cookies_that_cannot_be_read_are_none(desk: Desk, cookie: str) -> None:
    assert (await desk.client.get("/v1/me", headers={"Cookie": cookie})).status_code == 401
    assert (await desk.client.get("/v1/anyone", headers={"Cookie": cookie})).status_code == 200


# --- what they sent ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 202),
        ("application/json", 202),
        ("application/json; charset=utf-8", 202),
        ("APPLICATION/JSON", 202),
        ("application/merge-patch+json", 202),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
    ],
)
async def test_a_body_is_json(desk: Desk, kind: str | None, status: int) -> None:
    headers = {} if kind is None else {"Content-Type": kind}
    answer = await desk.client.put("/v1/room", content=b'{"name": "Red"}', headers=headers)
    assert answer.status_code == status


@pytest.mark.parametrize(
    ("given", "version"),
    [(None, 0), ("*", 0), ('"7"', 7), ('W/"7"', 7), ("7", 7), ("seven", None), ('"1234567890"', None), ('"²"', None)],
)
async def test_if_match_names_a_version(desk: Desk, given: str | None, version: int | None) -> None:
    headers = {} if given is None else {"If-Match": given.encode("latin-1")}
    answer = await desk.client.put("/v1/room", json={"name": "Red"}, headers=headers)
    if version is None:
        assert answer.json()["errors"][0]["path"] == "If-Match"
    else:
        assert (answer.status_code, answer.json()["version"], answer.headers["x-painter"]) == (202, version, "Ada")


async def test_a_parameter_nobody_knows_is_named(desk: Desk) -> None:
    for path, name in [("/v1/room?colour=blue", "colour"), ("/v1/room?colour&x", "colour"), ("/v1/search?p=1", "p")]:
        answer = await desk.client.get(path)
        assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, name)
    assert (await desk.client.get("/v1/search?q=a")).json() == ["a"]
    # An operation that takes the whole request reads its parameters itself.
    raw = await desk.client.get("/v1/raw?anything=1")
    assert (raw.status_code, raw.content, raw.headers["x-raw"], raw.headers["set-cookie"]) == (203, b"anything=1", "1", "a=b")


async def test_a_name_in_the_path_is_short_and_has_no_nul(desk: Desk) -> None:
    assert (await desk.client.get("/v1/named/" + "a" * 200)).status_code == 200
    assert (await desk.client.get("/v1/named/" + "a" * 201)).status_code == 404
    assert (await desk.client.get("/v1/named/a%00b")).status_code == 404


async def test_a_body_has_a_size_whether_it_says_so_or_not(desk: Desk) -> None:
    assert (await desk.client.post("/v1/small", content=b"x" * 1024)).json() == 1024
    assert code(await desk.client.post("/v1/small", content=b"x" * 1025)) == (413, "too_large")

    async def drops(count: int) -> Any:
        for _ in range(count):
            yield b"x" * 512

    assert (await desk.client.post("/v1/small", content=drops(2))).json() == 1024
    assert code(await desk.client.post("/v1/small", content=drops(3))) == (413, "too_large")


async def test_a_length_that_is_announced_is_refused_before_a_byte_is_read(desk: Desk) -> None:
    sent = await desk.raw("POST", "/v1/small", headers=[(b"content-length", b"99999999")])
    assert sent[0]["status"] == 413


async def test_a_client_that_leaves_while_it_sends_has_sent_nothing(desk: Desk) -> None:
    part = {"type": "http.request", "body": b"x", "more_body": True}
    sent = await desk.raw("POST", "/v1/small", part, dict(part))
    assert sent[0]["status"] == 400
    sent = await desk.raw("POST", "/v1/small", part, {"type": "http.request", "body": b"y", "more_body": False})
    assert sent[1]["body"] == b"2"


async def test_a_client_that_left_before_its_body_was_read_has_asked_for_nothing(desk: Desk) -> None:
    body = json.dumps({"name": "Blue"}).encode()
    told = [(b"content-length", str(len(body)).encode()), (b"content-type", b"application/json")]
    keyed = [*told, (b"idempotency-key", str(uuid4()).encode())]
    # Not even what needs no body.
    for method, path, headers in (("POST", "/v1/small", told), ("POST", "/v1/work", keyed), ("DELETE", "/v1/room", [])):
        sent = await desk.raw(method, path, {"type": "http.disconnect"}, headers=headers)
        assert sent[0]["status"] == 400, path
    assert desk.rooms.done == []
    # The key is as good as new: the same client comes back with the whole body, and with no other one.
    whole = {"type": "http.request", "body": body, "more_body": False}
    for _ in range(2):
        sent = await desk.raw("POST", "/v1/work", whole, headers=keyed)
        assert sent[0]["status"] == 201
    assert len(desk.rooms.done) == 1
    other = {"type": "http.request", "body": b'{"name":"Red"}', "more_body": False}
    assert (await desk.raw("POST", "/v1/work", other, headers=keyed[1:]))[0]["status"] == 422


async def test_a_body_that_stops_coming_is_not_waited_for(desk: Desk) -> None:
    told = [(b"content-length", b"57"), (b"content-type", b"application/json"), (b"idempotency-key", str(uuid4()).encode())]
    parts = [{"type": "http.request", "body": b'{"name":', "more_body": True}, {"type": "http.request", "body": b'"Blue"}'}]
    desk.door.spool = Spool(idle_s=0.05)
    sent = await desk.raw("POST", "/v1/work", *parts[:1], headers=told, then="silence")
    assert sent[0]["status"] == 408
    assert (b"connection", b"close") in sent[0]["headers"]
    assert json.loads(sent[1]["body"])["code"] == "request_timeout"
    assert desk.rooms.done == []
    sent = await desk.raw("POST", "/v1/work", *parts, headers=told, then="silence")
    assert sent[0]["status"] == 201


# --- what they get ----------------------------------------------------------------------------------------------------


async def test_what_was_already_read_is_not_sent_again(desk: Desk) -> None:
    first = await desk.client.get("/v1/room")
    tag = first.headers["etag"]
    assert tag.startswith('"3-') and first.headers["cache-control"] == "private, no-cache"
    for told in (f'"1", {tag}', f'"1",{tag}', f"W/{tag}", "*"):
        same = await desk.client.get("/v1/room", headers={"If-None-Match": told})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert same.headers["cache-control"] == "private, no-cache" and "content-length" not in same.headers
    for told in ('"2"', '"3"', tag.strip('"'), f'"{tag}"'):
        assert (await desk.client.get("/v1/room", headers={"If-None-Match": told})).json() == first.json()


async def test_what_somebody_else_is_shown_at_the_same_address_is_sent(desk: Desk) -> None:
    ada, bob = await desk.accounts.confirmed(), await desk.accounts.confirmed()
    first = await desk.client.get("/v1/me", headers=bearer(ada.access_token))
    known = {"If-None-Match": first.headers["etag"]}
    assert (await desk.client.get("/v1/me", headers=bearer(ada.access_token) | known)).status_code == 304
    other = await desk.client.get("/v1/me", headers=bearer(bob.access_token) | known)
    assert (other.status_code, other.json()["account"]) == (200, str(bob.account.id))
    refused = await desk.client.get("/v1/me", headers={"If-None-Match": "*"})
    assert refused.status_code == 401 and "etag" not in refused.headers
    written = await desk.client.post("/v1/work", json={"name": "Blue"}, headers=bearer(ada.access_token) | known)
    assert written.status_code == 201


async def test_the_tag_of_a_read_names_its_version(desk: Desk) -> None:
    tag = (await desk.client.get("/v1/room")).headers["etag"]
    for told, version in ((tag, 3), (f"W/{tag}", 3), ('"4"', 4)):
        done = await desk.client.put("/v1/room", json={"name": "Red"}, headers={"If-Match": told})
        assert (done.json()["version"], done.headers["etag"]) == (version, f'"{version}"')
    assert (await desk.client.put("/v1/room", json={"name": "Red"}, headers={"If-Match": f"x{tag}"})).status_code == 422


async def test_for_whom_staff_and_keys_act_is_told_to_the_gateway(desk: Desk) -> None:
    organisation, key = await desk.api_key("venues.edit")
    let_in = await desk.client.get(f"/v1/orgs/{organisation}/rooms", headers={"X-Api-Key": key})
    assert let_in.headers["x-forecourt-organisation"] == organisation.hex
    stranger = bearer((await desk.accounts.confirmed()).access_token)
    for headers in ({}, stranger, {"X-Forecourt-Organisation": organisation.hex}):
        refused = await desk.client.get(f"/v1/orgs/{organisation}/rooms", headers=headers)
        assert refused.status_code in (401, 404) and "x-forecourt-organisation" not in refused.headers


async def test_head_is_get_without_a_body(desk: Desk) -> None:
    whole = await desk.client.get("/v1/room")
    head = await desk.client.head("/v1/room")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content)) == whole.headers["content-length"]


async def test_nothing_is_204_and_a_method_that_is_not_served_says_which_are(desk: Desk) -> None:
    gone = await desk.client.delete("/v1/room")
    assert (gone.status_code, gone.content) == (204, b"")
    answer = await desk.client.patch("/v1/room", json={})
    assert code(answer) == (405, "method_not_allowed")
    assert {m.strip() for m in answer.headers["allow"].split(",")} >= {"GET", "PUT", "DELETE"}


async def test_a_file_asks_nobody_who_they_are(desk: Desk) -> None:
    answer = await desk.client.get("/static/logo", headers={"Authorization": "Bearer nonsense"})
    assert (answer.status_code, answer.text) == (200, "logo")
    assert (await desk.client.get("/static/" + "x" * 300)).status_code == 404


async def test_a_stream_ends_when_its_source_does(desk: Desk) -> None:
    sent = await desk.raw("GET", "/v1/events", *[{"type": "http.request", "body": b"", "more_body": False}] * 1)
    assert sent[0]["status"] == 200 and (b"content-type", b"text/event-stream") in sent[0]["headers"]
    never_leaves = await streamed(desk, "/v1/events")
    assert never_leaves == [b"data: 0\n\n", b"data: 1\n\n", b"data: 2\n\n", b""]
    assert await streamed(desk, "/v1/ticks") == [b"tick\n\n", b"tick\n\n", b""]


async def streamed(desk: Desk, path: str) -> list[bytes]:
    """Every piece of the body, to a client that stays."""
    pieces: list[bytes] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()
        raise AssertionError("nobody comes")

    async def send(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            pieces.append(message["body"])

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b"", "headers": []}
    await desk.app(scope, receive, send)
    return pieces


async def test_a_stream_is_closed_when_the_client_leaves(desk: Desk) -> None:
    first = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await first.wait()
        return {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        if message.get("body"):
            first.set()

    scope = {"type": "http", "method": "GET", "path": "/v1/hum", "raw_path": b"/v1/hum", "query_string": b"", "headers": []}
    assert not desk.rooms.closed.is_set()
    await desk.app(scope, receive, send)
    assert desk.rooms.closed.is_set()


# --- what went wrong --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "answer"),
    [
        (RuntimeError("secret"), (500, "internal")),
        (asyncpg.ConnectionDoesNotExistError("gone"), (503, "unavailable")),
        (ConnectionResetError("gone"), (503, "unavailable")),
        (TimeoutError("slow"), (504, "deadline_exceeded")),
        (asyncpg.QueryCanceledError("slow"), (504, "deadline_exceeded")),
        (RoomFull("until nine"), (409, "room_full_in_tests")),
    ],
)
async def test_a_fault_is_named_and_its_words_stay_inside(desk: Desk, fault: Exception, answer: tuple[int, str]) -> None:
    desk.rooms.failures.append(fault)
    found = await desk.client.post("/v1/work", json={"name": "x"})
    assert code(found) == answer
    assert "secret" not in found.text and found.json()["trace_id"]
    desk.rooms.failures.append(fault)
    page = await desk.client.get("/broken")
    assert (page.status_code, page.headers["content-type"]) == (answer[0], "text/html; charset=utf-8")
    assert "secret" not in page.text


async def test_an_operation_runs_under_a_span_when_traces_are_sent(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    spans = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    await desk.client.get("/v1/anyone")
    assert not spans.get_finished_spans()
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("tests"))
    trace = "0af7651916cd43dd8448eb211c80319c"
    answer = await desk.client.get("/v1/anyone", headers={"traceparent": f"00-{trace}-b7ad6b7169203331-01"})
    (span,) = spans.get_finished_spans()
    assert (answer.status_code, span.name) == (200, "GET /v1/anyone")
    assert f"{span.context.trace_id:032x}" == trace


# --- once and only once -----------------------------------------------------------------------------------------------


async def work(desk: Desk, key: str, name: str = "x", **headers: str) -> httpx.Response:
    return await desk.client.post("/v1/work", json={"name": name}, headers={"Idempotency-Key": key, **headers})


async def test_a_key_runs_the_operation_once_and_replays_the_answer(desk: Desk) -> None:
    key = str(uuid4())
    first, again = await work(desk, key), await work(desk, key)
    assert first.status_code == again.status_code == 201
    assert first.content == again.content and UUID(first.json()["effect"]) == desk.rooms.done[0]
    assert "idempotent-replayed" not in first.headers and again.headers["idempotent-replayed"] == "true"
    assert len(desk.rooms.done) == 1
    await desk.client.post("/v1/work", json={"name": "x"})
    assert desk.rooms.done[1:] == [None]  # without a key it runs again: the control
    assert code(await work(desk, key, "another")) == (422, "idempotency_mismatch")


async def test_a_refusal_is_replayed_and_a_fault_of_ours_is_tried_again_with_the_same_effect(desk: Desk) -> None:
    refused = str(uuid4())
    desk.rooms.failures.append(RoomFull())
    assert code(await work(desk, refused)) == (409, "room_full_in_tests")
    replay = await work(desk, refused)
    assert code(replay) == (409, "room_full_in_tests") and replay.headers["idempotent-replayed"] == "true"
    assert len(desk.rooms.done) == 1

    for fault in (Internal(), RuntimeError("boom"), TooManyRequests()):
        desk.rooms.done.clear()
        key = str(uuid4())
        desk.rooms.failures.append(fault)
        assert (await work(desk, key)).status_code in (500, 429)
        answer = await work(desk, key)
        assert answer.status_code == 201 and "idempotent-replayed" not in answer.headers
        assert len(desk.rooms.done) == 2 and desk.rooms.done[0] == desk.rooms.done[1]


@pytest.mark.parametrize("key", ["", "x" * 256, "tab\there", "caf\u00e9"])
async def test_a_key_that_is_none_is_refused(desk: Desk, key: str) -> None:
    headers = [(b"idempotency-key", key.encode("latin-1")), (b"content-type", b"application/json")]
    answer = await desk.client.post("/v1/work", content=b'{"name": "x"}', headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["path"]) == (422, "Idempotency-Key")
    assert not desk.rooms.done
    assert (await work(desk, "x" * 216 + uuid4().hex)).status_code == 201


async def test_a_stream_cannot_be_replayed(desk: Desk) -> None:
    answer = await desk.client.post("/v1/endless", headers={"Idempotency-Key": str(uuid4())})
    assert answer.status_code == 500


# --- how often --------------------------------------------------------------------------------------------------------


def somewhere() -> dict[str, str]:
    """An address that nobody else has."""
    return {"X-Forwarded-For": f"{network()}::1"}


def network() -> str:
    """The first half of an address of IPv6."""
    number = uuid4().int
    return f"2001:db8:{number >> 16 & 0xFFFF:x}:{number >> 32 & 0xFFFF:x}"


async def test_an_address_has_its_share_in_production_and_any_number_in_development(production: Desk, desk: Desk) -> None:
    here = somewhere()
    codes = [(await production.client.get("/v1/rare", headers=here)).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    refused = await production.client.get("/v1/rare", headers=here)
    assert int(refused.headers["retry-after"]) > 0 and refused.headers["ratelimit"].startswith("limit=2")
    assert (await production.client.get("/v1/rare", headers=somewhere())).status_code == 200
    assert [(await desk.client.get("/v1/rare", headers=here)).status_code for _ in range(4)] == [200] * 4


async def test_a_network_of_one_client_is_counted_as_one_address(production: Desk) -> None:
    async def rare(address: str) -> int:
        return (await production.client.get("/v1/rare", headers={"X-Forwarded-For": address})).status_code

    here, next_door = network(), network()
    assert [await rare(f"{here}:{n:x}::{n:x}") for n in (1, 2, 3)] == [200, 200, 429]
    assert await rare(f"{next_door}::1") == 200
    one, another = (f"10.{n & 255}.{n >> 8 & 255}.{n >> 16 & 255}" for n in (uuid4().int, uuid4().int))
    assert [await rare(address) for address in (one, f"::ffff:{one}", one)] == [200, 200, 429]
    assert await rare(f"::ffff:{another}") == 200


async def test_an_account_has_its_share_wherever_it_is(desk: Desk) -> None:
    ada, bob = await desk.accounts.confirmed("ada"), await desk.accounts.confirmed("bob")
    codes = [(await desk.client.get("/v1/rare/mine", headers=bearer(ada.access_token))).status_code for _ in range(3)]
    assert codes == [200, 200, 429]
    assert (await desk.client.get("/v1/rare/mine", headers=bearer(bob.access_token))).status_code == 200


# --- pages ------------------------------------------------------------------------------------------------------------


async def visit(desk: Desk, path: str = "/show", **headers: str) -> dict[str, Any]:
    return json.loads((await desk.client.get(path, headers=headers)).text)


async def test_a_new_browser_gets_a_name_and_a_known_one_keeps_it(desk: Desk, production: Desk) -> None:
    new = await desk.client.get("/show")
    named = next(c for c in new.headers.get_list("set-cookie") if c.startswith("fc_visit="))
    assert "HttpOnly" in named and "SameSite=Lax" in named and "Secure" not in named
    secure = await production.client.get("/show")
    assert all("Secure" in c for c in secure.headers.get_list("set-cookie") if c.startswith("fc_visit="))
    known = await desk.client.get("/show", headers=desk.cookies())
    assert known.headers.get_list("set-cookie") == ["seen=1"]
    assert known.json()["csrf"] == desk.csrf
    desk.client.cookies.clear()
    odd = await desk.client.get("/show", headers={"Cookie": "fc_visit=short"})
    assert any(c.startswith("fc_visit=") for c in odd.headers.get_list("set-cookie"))


async def test_a_page_knows_its_visitor_language_theme_and_whether_a_part_is_wanted(desk: Desk) -> None:
    session = await desk.browser()
    mine = await visit(desk, **desk.cookies(session, fc_locale="pt", theme="dark"))
    assert (mine["person"]["confirmed"], mine["locale"], mine["theme"], mine["partial"]) == (True, "pt", "dark", False)
    plain = await visit(desk, **desk.cookies(fc_locale="xx", theme="pink"), **{"Accept-Language": "ur;q=0.9, de"})
    assert (plain["person"], plain["locale"], plain["theme"]) == (None, "ur", "system")
    assert (await visit(desk, **{"HX-Request": "true"}))["partial"] is True
    assert (await visit(desk, **{"HX-Request": "true", "HX-History-Restore-Request": "true"}))["partial"] is False


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", "en"),
        ("de, fr", "en"),
        ("pt-BR, en;q=0.8", "pt"),
        ("en;q=0.5, ur;q=0.9", "ur"),
        ("pt;q=zero, en;q=0.1", "en"),
        ("UR", "ur"),
    ],
)
def test_the_first_language_we_speak_is_spoken(header: str, language: str) -> None:
    assert preferred_language(header) == language


async def test_a_language_is_chosen_on_any_page_and_remembered(desk: Desk) -> None:
    answer = await desk.client.get("/show?a=1&lang=pt", headers=desk.cookies())
    assert (answer.status_code, answer.headers["location"]) == (303, "/show?a=1")
    assert any(c.startswith("fc_locale=pt") for c in answer.headers.get_list("set-cookie"))
    assert (await desk.client.get("/show?lang=pt", headers=desk.cookies())).headers["location"] == "/show"
    assert (await desk.client.get("/show?lang=klingon", headers=desk.cookies())).status_code == 200


@pytest.mark.parametrize("name", ["a%0D%0Ab", "a%3Fb%23c", "a%25b", "s%C3%A3o"])
async def test_a_page_is_the_same_in_another_language_whatever_its_address_holds(desk: Desk, name: str) -> None:
    answer = await desk.client.get(f"/named/{name}?lang=pt", headers=desk.cookies())
    assert (answer.status_code, answer.headers["location"]) == (303, f"/named/{name}")
    shown = await desk.client.get(answer.headers["location"], headers=desk.cookies())
    assert (shown.status_code, shown.text) == (200, unquote(name))


async def test_a_page_of_ones_own_sends_to_the_sign_in_and_back(desk: Desk) -> None:
    answer = await desk.client.get("/mine?a=1&b=2")
    assert (answer.status_code, answer.headers["location"]) == (303, "/sign-in?next=" + quote("/mine?a=1&b=2"))
    posted = await desk.client.post("/mine?a=1")
    assert posted.headers["location"] == "/sign-in?next=/mine"
    assert (await desk.client.get("/mine", headers=desk.cookies(await desk.browser()))).status_code == 200


async def test_a_page_for_staff_is_about_their_organisation(desk: Desk) -> None:
    tokens, boss = await desk.accounts.owner()
    session, _ = await desk.accounts.identity.persons.start_browser_session(STRANGER, tokens.account.email, PASSWORD)
    path = f"/orgs/{boss.organisation_id}/console"
    assert (await desk.client.get(path, headers=desk.cookies(session))).text == str(boss.organisation_id)
    stranger = await desk.client.get(path, headers=desk.cookies(await desk.browser()))
    assert (stranger.status_code, stranger.headers["content-type"]) == (404, "text/html; charset=utf-8")


async def test_a_page_is_squeezed_for_those_who_can_unpack_it(desk: Desk) -> None:
    plain = await desk.raw("GET", "/long")
    small = await desk.raw("GET", "/long", headers=[(b"accept-encoding", b"gzip, br")])
    assert gzip.decompress(small[1]["body"]) == plain[1]["body"]
    headers = dict(small[0]["headers"])
    assert headers[b"content-encoding"] == b"gzip" and headers[b"cache-control"] == b"private"
    short = await desk.client.get("/gone")
    assert (short.status_code, short.headers["cache-control"]) == (410, "no-store")
    assert "content-encoding" not in short.headers


def form(desk: Desk, name: str, token: str | None = None) -> bytes:
    return f"name={quote(name, safe='')}&csrf_token={desk.csrf if token is None else token}".encode()


@pytest.mark.parametrize(
    ("to", "lands"),
    [
        ("/bookings?x=1", "/bookings?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
        ("/\t/evil.example", "/%09/evil.example"),
        ("/a\r\nSet-Cookie: b=c", "/a%0D%0ASet-Cookie:%20b=c"),
        ("/venues/s%C3%A3o?q=a%20b", "/venues/s%C3%A3o?q=a%20b"),
        ("/venues/کراچی", "/venues/%DA%A9%D8%B1%D8%A7%DA%86%DB%8C"),
        ("", None),
    ],
)
async def test_a_redirect_never_leaves_the_site(desk: Desk, to: str, lands: str | None) -> None:
    answer = await desk.client.post("/act", content=form(desk, to), headers=FORM | desk.cookies())
    if lands is None:
        assert answer.status_code == 422  # an empty field counts as left out
        return
    assert (answer.status_code, answer.headers["location"], answer.headers["x-act"]) == (303, lands, "1")
    part = await desk.client.post("/act", content=form(desk, to), headers=FORM | desk.cookies() | {"HX-Request": "true"})
    assert (part.status_code, part.headers["hx-redirect"]) == (200, lands)


async def test_a_form_needs_the_token_of_its_page(desk: Desk) -> None:
    for token in ("", "0" * 40, desk.door.csrf_for({"fc_visit": "another-browser-altogether"})):
        answer = await desk.client.post("/act", content=form(desk, "/", token), headers=FORM | desk.cookies())
        assert answer.status_code == 403
    unreadable = await desk.client.post("/act", content=b"csrf_token=\xff\xfe", headers=FORM | desk.cookies())
    assert unreadable.status_code == 403
    assert (await desk.client.post("/act", content=form(desk, "/"), headers=FORM | desk.cookies())).status_code == 303
    by_header = await desk.client.post("/plain", headers=desk.cookies() | {"X-CSRF-Token": desk.csrf})
    assert by_header.status_code == 303 and "set-cookie" not in by_header.headers


async def test_a_form_is_a_form(desk: Desk, production: Desk) -> None:
    headers = desk.cookies() | {"X-CSRF-Token": desk.csrf, "Content-Type": "application/json"}
    assert (await desk.client.post("/act", content=b'{"name": "/"}', headers=headers)).status_code == 415
    counted = await production.client.post("/act", content=form(production, "/"), headers=FORM | production.cookies())
    assert counted.status_code == 303


async def test_a_form_has_its_share_per_account(desk: Desk) -> None:
    headers = await desk.signed_in()
    assert [(await desk.client.post("/mine", headers=headers)).status_code for _ in range(2)] == [303, 429]
    other = await desk.signed_in()
    assert (await desk.client.post("/mine", headers=other)).status_code == 303


async def test_what_was_done_is_said_once_on_the_next_page(desk: Desk) -> None:
    done = await desk.client.post("/act", content=form(desk, "/show"), headers=FORM | desk.cookies())
    cookie = next(c for c in done.headers.get_list("set-cookie") if c.startswith("fc_toast="))
    kept = cookie.split(";")[0].split("=", 1)[1]
    assert json.loads(unquote(kept)) == ["Done", "/undo"]
    desk.client.cookies.clear()
    part = await desk.client.get("/show", headers=desk.cookies(fc_toast=kept) | {"HX-Request": "true"})
    assert part.json()["toast"] == ""  # a fragment leaves it to the next whole page
    shown = await desk.client.get("/show", headers=desk.cookies(fc_toast=kept))
    assert (shown.json()["toast"], shown.json()["undo"]) == ("Done", "/undo")
    assert any(c.startswith("fc_toast=;") and "Max-Age=0" in c for c in shown.headers.get_list("set-cookie"))


@pytest.mark.parametrize(
    ("kept", "toast", "undo"),
    [
        ("not json", "", ""),
        ('["a"]', "", ""),
        ('["a", "https://evil.example"]', "a", ""),
        ('["a", "//evil.example"]', "a", ""),
        (json.dumps(["a", "/\\evil.example"]), "a", ""),
        (json.dumps(["x" * 400, "/undo"]), "x" * 300, "/undo"),
    ],
)
async def test_a_toast_that_somebody_made_up_says_little_and_leads_nowhere(desk: Desk, kept: str, toast: str, undo: str) -> None:
    found = await visit(desk, **desk.cookies(fc_toast=quote(kept, safe="")))
    assert (found["toast"], found["undo"]) == (toast, undo)


# --- what is refused when the program starts --------------------------------------------------------------------------


def test_a_method_is_declared_once_on_a_path(desk: Desk) -> None:
    (room,) = (op for op in Rooms().operations() if op.name == "room")
    operations: list[Operation] = [room, room]
    assert Dispatcher(room.path, operations[:1], desk.door).methods == ["GET", "HEAD"]
    with pytest.raises(TypeError, match="twice"):
        Dispatcher(room.path, operations, desk.door)


def test_a_cookie_says_how_long_it_lives_or_lives_as_long_as_the_browser() -> None:
    assert set_cookie("a", "b c", None, secure=False) == "a=b%20c; Path=/; HttpOnly; SameSite=Lax"
    assert set_cookie("a", "b", 60, secure=True).endswith("Max-Age=60; Secure")
    assert COOKIE.isascii()
