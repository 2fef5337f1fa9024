"""What the gateway does with what strangers send, asked of the real HAProxy. Each has a twin that shows the difference."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from opentelemetry.sdk.trace.sampling import TraceIdRatioBased
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from tests.gateway.conftest import (
    APP,
    CONNECTIONS,
    LONGEST_ROUTES,
    MAX_BODY,
    PER_ACCOUNT,
    PER_ADDRESS,
    PER_ORGANISATION,
    PER_ROUTE,
    TRUSTED,
    Backend,
    House,
    Signer,
    until,
)
from tests.gateway.figures import FIGURES
from tests.ports import free_port

from forecourt import cli
from forecourt.engines import EngineError
from forecourt.gateway.config import public_pem
from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.keys import KeySource
from forecourt.gateway.plan import Health, Plan, Service
from forecourt.gateway.runtime import NoSuchService
from forecourt.gateway.weights import WeightsWrong
from forecourt.kernel.settings import Secret, SettingsError

pytestmark = [pytest.mark.haproxy, pytest.mark.xdist_group("gateway")]
"""One worker starts HAProxy."""

Call = Callable[..., httpx.AsyncClient]


def problem(answer: httpx.Response) -> tuple[int, str]:
    """Status and code of a problem document in good form."""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body = answer.json()
    assert body["status"] == answer.status_code
    assert body["type"].endswith("/" + body["code"])
    assert len(body["trace_id"]) == 32
    return answer.status_code, body["code"]


def bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# --- the way to a service ------------------------------------------------------------------------------------------------


async def test_each_path_goes_to_the_service_of_its_module(house: House, anyone: httpx.AsyncClient) -> None:
    places = {
        "/v1/me": "guests",
        "/v1/me/calendar-feed": "courts v1",
        "/v1/bookings/1": "courts v1",
        "/v1/book%69ngs": "courts v1",
        "/v1/orgs/7/bookings?limit=3": "courts v1",
        "/v1/orgs/7/staff": "guests",
        "/v1/rooms/1/messages": "rest",
        "/static/app.css": "rest",
        "/nothing": "rest",
    }
    found = {path: (await anyone.get(path)).json()["from"] for path in places}
    assert found == places


@pytest.mark.parametrize(
    "path",
    ["/_contract/identity.Identity/status", "/_contract", "/%5fcontract/x", "/%5F%63ontract/x", "/_contract/%7a?a=b", "/metrics"],
)
async def test_the_side_door_and_the_figures_are_not_reached(house: House, anyone: httpx.AsyncClient, path: str) -> None:
    for answer in (await anyone.get(path), await anyone.post(path, content=b"\x80")):
        assert problem(answer) == (404, "not_found")
    assert house.seen == []
    assert (await anyone.get("/v1/contract")).status_code == 200


async def test_a_whole_address_in_the_request_is_no_way_round(house: House) -> None:
    for target, status in ((f"http://127.0.0.1:{house.port}/_contract/x", 404), (f"http://127.0.0.1:{house.port}/v1/me", 200)):
        asked = f"GET {target} HTTP/1.1\r\nhost: 127.0.0.1:{house.port}\r\nconnection: close\r\n\r\n"
        assert (await raw(house, asked)).status == status
    assert [seen.method for seen in house.seen] == ["GET"]


async def test_a_path_that_cannot_be_read_goes_nowhere(house: House) -> None:
    for path, status in (("/_contract/%zz", 400), ("/v1/me%zz", 400), ("/v1/me", 200)):
        assert (await raw(house, f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")).status == status
    assert len(house.seen) == 1


# --- access tokens ---------------------------------------------------------------------------------------------------------


def unsigned(head: dict[str, object], claims: dict[str, object], key: bytes | None = None) -> str:
    parts = [base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=") for part in (head, claims)]
    signed = b".".join(parts)
    tag = b"" if key is None else base64.urlsafe_b64encode(hmac.digest(key, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + tag).decode()


def claims_of(token: str) -> dict[str, object]:
    part = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


async def test_a_good_token_reaches_the_service(house: House, anyone: httpx.AsyncClient) -> None:
    for signer in (house.signer, house.next_signer):
        token = signer.token()
        for _ in range(2):  # the second time the signature is known
            assert (await anyone.get("/v1/me", headers=bearer(token))).status_code == 200
            assert house.guests.seen.pop().all("authorization") == [f"Bearer {token}"]


BAD = {
    "expired": lambda s: s.token(exp=int(time.time()) - 1),
    "without an end": lambda s: s.token(exp=None),
    "an end that is a word": lambda s: s.token(exp="never"),
    "of another house": lambda s: s.token(iss="elsewhere"),
    "for another audience": lambda s: s.token(aud="elsewhere"),
    "signed by another key of the same name": lambda s: Signer(s.kid).token(),
    "signed by an unknown key": lambda s: Signer().token(),
    "with other claims under the signature": lambda s: ".".join(
        [s.token().split(".")[0], s.token(adm=True).split(".")[1], s.token().split(".")[2]]
    ),
    "alg none": lambda s: unsigned({"alg": "none", "kid": s.kid}, claims_of(s.token())),
    "alg None": lambda s: unsigned({"alg": "None", "kid": s.kid}, claims_of(s.token())),
    "the public key as a secret": lambda s: unsigned(
        {"alg": "HS256", "kid": s.kid}, claims_of(s.token()), public_pem(s.public).encode()
    ),
    "without a key's name": lambda s: unsigned({"alg": "ES256"}, claims_of(s.token())),
    "without a signature": lambda s: s.token().rsplit(".", 1)[0] + ".",
    "two parts": lambda s: s.token().rsplit(".", 1)[0],
    "no token at all": lambda s: "abc",
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_bad_token_is_refused_before_any_service_sees_it(house: House, anyone: httpx.AsyncClient, kind: str) -> None:
    bad = BAD[kind](house.signer)
    for _ in range(2):  # whatever the gateway remembers of the first time
        answer = await anyone.get("/v1/me", headers=bearer(bad))
        assert problem(answer) == (401, "token_expired" if kind in ("expired", "an end that is a word") else "token_refused")
        assert answer.headers["www-authenticate"] == 'Bearer realm="forecourt"'
    assert house.seen == []


@pytest.mark.parametrize("headers", [{}, {"x-api-key": "k"}, {"authorization": "Basic YTpi"}, {"cookie": "fc_session=x"}])
async def test_whoever_shows_no_token_is_the_services_to_judge(
    house: House, anyone: httpx.AsyncClient, headers: dict[str, str]
) -> None:
    assert (await anyone.post("/v1/me", headers=headers)).status_code == 200
    for name, value in headers.items():
        assert house.guests.seen[0].all(name) == [value]


async def test_two_authorizations_are_one_too_many(house: House, anyone: httpx.AsyncClient) -> None:
    good = f"Bearer {house.signer.token()}"
    answer = await anyone.get("/v1/me", headers=[("authorization", good), ("authorization", "Bearer x")])
    assert problem(answer) == (400, "bad_request")
    assert (await anyone.get("/v1/me", headers=[("authorization", good)])).status_code == 200


async def test_a_signature_is_remembered_and_a_bad_one_is_not(house: House, anyone: httpx.AsyncClient) -> None:
    async def remembered() -> set[str]:
        return set(re.findall("key=([0-9A-F]{64})", await house.gateway.runtime.command("show table signatures")))

    good, bad = house.signer.token(), Signer(house.signer.kid).token()
    before = await remembered()
    for token in (good, good, bad):
        await anyone.get("/v1/me", headers=bearer(token))
    assert await remembered() - before == {hashlib.sha256(good.encode()).hexdigest().upper()}


async def test_a_token_whose_signature_is_known_ends_all_the_same(house: House, anyone: httpx.AsyncClient) -> None:
    async with asyncio.timeout(30):
        while True:  # until one arrives before its end, however busy the machine is
            token = house.signer.token(exp=int(time.time()) + 2)
            if (await anyone.get("/v1/me", headers=bearer(token))).status_code == 200:
                break
        while (answer := await anyone.get("/v1/me", headers=bearer(token))).status_code == 200:
            await asyncio.sleep(0.2)
    assert problem(answer) == (401, "token_expired")


async def test_keys_come_and_go_without_a_refused_request(house: House, anyone: httpx.AsyncClient) -> None:
    before, fresh = list(house.guests.keys), Signer()
    told, known = bearer(fresh.token()), bearer(house.signer.token())
    assert problem(await anyone.get("/v1/me", headers=told)) == (401, "token_refused")
    assert (await anyone.get("/v1/me", headers=known)).status_code == 200
    statuses: Counter[int] = Counter()
    done = asyncio.Event()

    async def keep_asking() -> None:
        while not done.is_set():
            async with httpx.AsyncClient() as new:  # a connection of its own each time
                statuses[(await new.get(f"http://127.0.0.1:{house.internal}/livez")).status_code] += 1

    asking = asyncio.create_task(keep_asking())
    try:
        house.guests.keys = [house.next_signer.public, fresh.public]
        pid = house.gateway.pid
        async with asyncio.timeout(20):  # its own watch may be the one that sees the change
            while not await house.gateway.refresh_keys() and house.gateway.pid == pid:
                await asyncio.sleep(0.02)
        assert (await anyone.get("/v1/me", headers=told)).status_code == 200
        assert problem(await anyone.get("/v1/me", headers=known)) == (401, "token_refused")
        assert (await anyone.get("/v1/me", headers=bearer(house.next_signer.token()))).status_code == 200
    finally:
        done.set()
        await asking
        house.guests.keys = before
        await house.gateway.refresh_keys()
    assert set(statuses) == {200}


async def test_a_gateway_that_nobody_told_the_keys_says_come_back(house: House, tmp_path: Path) -> None:
    away = f"http://127.0.0.1:{free_port()}"
    port = free_port()
    plan = Plan(
        services=(Service("guests", ("identity",), {"v1": (away,)}), Service("rest", (), {"v1": (house.rest.url,)})),
        listen=(f"127.0.0.1:{port}",),
        internal=f"127.0.0.1:{free_port()}",
    )
    async with Gateway(plan.checked(), tmp_path, output=tmp_path / "log"), httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{port}/v1/rooms", headers=bearer(house.signer.token()))
        assert problem(answer) == (503, "unavailable") and answer.headers["retry-after"] == "1"
        assert (await client.get(f"http://127.0.0.1:{port}/v1/rooms")).status_code == 200


# --- how much, how large, how slow -------------------------------------------------------------------------------------------


ORGANISATION = uuid4()


def assert_spent(answer: httpx.Response, limit: int) -> None:
    assert problem(answer) == (429, "rate_limited")
    assert answer.headers.get_list("retry-after") == ["60"]
    assert answer.headers["ratelimit"] == f"limit={limit}, remaining=0, reset=60"
    assert answer.headers["ratelimit-policy"] == f"{limit};w=60"


async def test_an_address_has_a_limit_of_its_own(house: House, call: Call) -> None:
    eager, other = call(), call()
    statuses = [(await eager.get("/v1/venues/1")).status_code for _ in range(PER_ADDRESS)]
    assert set(statuses) == {200}
    assert_spent(await eager.get("/v1/venues/1"), PER_ADDRESS)
    assert (await other.get("/v1/venues/1")).status_code == 200
    assert len(house.seen) == PER_ADDRESS + 1


async def test_a_network_of_ipv6_is_limited_as_one_address_and_one_of_ipv4_is_not(call: Call) -> None:
    proxy = call(TRUSTED)

    async def ask(address: str) -> int:
        return (await proxy.get("/v1/venues/1", headers={"X-Forwarded-For": address})).status_code

    assert {await ask(f"2001:db8:7:7:{n:x}::{n:x}") for n in range(PER_ADDRESS)} == {200}
    assert await ask("2001:db8:7:7:ffff::1") == 429
    assert await ask("2001:db8:7:8::1") == 200
    # Also where IPv4 is written as IPv6, which is the same address.
    assert {await ask(f"::ffff:198.51.100.{n}") for n in range(PER_ADDRESS + 1)} == {200}
    assert {await ask("::ffff:198.51.101.1") for _ in range(PER_ADDRESS // 2)} == {200}
    assert {await ask("198.51.101.1") for _ in range(PER_ADDRESS // 2)} == {200}
    assert await ask("::ffff:198.51.101.1") == 429


async def test_an_account_has_a_limit_wherever_it_is(house: House, call: Call) -> None:
    who = {"sub": "0190a000-0000-7000-8000-000000000001"}
    for n in range(PER_ACCOUNT):
        client = call() if n % 10 == 0 else client  # noqa: F821
        assert (await client.get("/v1/me", headers=bearer(house.signer.token(**who, n=n)))).status_code == 200
    assert_spent(await call().get("/v1/me", headers=bearer(house.signer.token(**who))), PER_ACCOUNT)
    assert (await call().get("/v1/me", headers=bearer(house.signer.token()))).status_code == 200


async def test_an_api_key_has_a_limit_like_an_account(house: House, call: Call) -> None:
    client = call()
    for _ in range(PER_ACCOUNT):
        assert (await client.get("/v1/orgs/1/bookings", headers={"x-api-key": "one"})).status_code == 200
    assert_spent(await client.get("/v1/orgs/1/bookings", headers={"x-api-key": "one"}), PER_ACCOUNT)
    assert (await client.get("/v1/orgs/1/bookings", headers={"x-api-key": "two"})).status_code == 200


async def test_an_organisation_has_a_limit_for_its_staff_and_its_keys_together(house: House, call: Call) -> None:
    house.guests.told = house.courts[0].told = {"x-forecourt-organisation": ORGANISATION.hex}
    staff = [bearer(house.signer.token()) for _ in range(3)]
    for someone in staff:  # a token's first request is not counted
        answer = await call().get(f"/v1/orgs/{ORGANISATION}/staff", headers=someone)
        assert answer.status_code == 200 and "x-forecourt-organisation" not in answer.headers
    for n in range(PER_ORGANISATION):
        path, who = (f"/v1/orgs/{ORGANISATION}/staff", staff[n % 3]) if n % 2 else ("/v1/bookings/1", {"x-api-key": f"{n}"})
        assert (await call().get(path, headers=who)).status_code == 200
    spelled = f"{ORGANISATION}".upper(), ORGANISATION.hex, f"%{ord(str(ORGANISATION)[0]):x}{str(ORGANISATION)[1:]}"
    for who in (staff[0], {"x-api-key": "new"}, {"cookie": "fc_session=x"}):
        for path in (f"/v1/orgs/{ORGANISATION}/staff", f"/orgs/{ORGANISATION}/people", *(f"/v1/orgs/{s}/staff" for s in spelled)):
            assert_spent(await call().get(path, headers=who), PER_ORGANISATION)
    house.guests.told = {}
    assert (await call().get(f"/v1/orgs/{ORGANISATION}/staff")).status_code == 200, "who shows nothing is the service's to judge"
    assert (await call().get("/v1/me", headers=staff[0])).status_code == 200
    assert (await call().get(f"/v1/orgs/{uuid4()}/staff", headers=staff[0])).status_code == 200


async def test_those_whom_an_organisation_does_not_let_in_use_nothing_of_its_limit_up(house: House, call: Call) -> None:
    path, mine = f"/v1/orgs/{uuid4()}/staff", bearer(house.signer.token())
    for n in range(2 * PER_ORGANISATION):
        lies = {"x-forecourt-organisation": "0", "x-api-key": f"{n}"}
        assert (await call().get(path, headers=lies)).status_code == 200
    assert (await call().get(path, headers=mine)).status_code == 200


async def test_a_route_has_a_limit_of_its_own(house: House, call: Call) -> None:
    eager, other = call(), call()
    for path in ("/v1/auth/login", "/v1/auth", "/v1/%61uth/register", "/v1/auth/login?a", "/v1/auth/"):
        assert (await eager.post(path)).status_code == 200
    for path in ("/v1/auth/login", "/v1/%61uth/login"):
        assert_spent(await eager.post(path), PER_ROUTE)
    assert {(await eager.post("/v1/auth/refresh")).status_code for _ in range(PER_ROUTE + 2)} == {200}, "a longer beginning"
    assert_spent(await eager.post("/v1/auth/refresh"), PER_ROUTE + 2)
    assert (await eager.get("/v1/authors")).status_code == 200, "that only begins alike"
    assert (await other.post("/v1/auth/login")).status_code == 200
    proxy = call(TRUSTED)
    for n in range(PER_ROUTE):
        assert (await proxy.post("/v1/auth/login", headers={"x-forwarded-for": f"2001:db8:9:9::{n}"})).status_code == 200
    assert_spent(await proxy.post("/v1/auth/login", headers={"x-forwarded-for": "2001:db8:9:9:ffff::1"}), PER_ROUTE)
    assert (await proxy.post("/v1/auth/login", headers={"x-forwarded-for": "2001:db8:9:a::1"})).status_code == 200


@pytest.mark.parametrize("client", ["2001:1db8:1111:1111:1111:1111:1111:1111", "::ffff:198.151.100.111"])
async def test_the_longest_routes_are_counted_each_by_itself_and_so_is_each_client(client: str, call: Call) -> None:
    proxy = call(TRUSTED)

    async def ask(path: str, client: str = client) -> httpx.Response:
        return await proxy.get(path, headers={"x-forwarded-for": client})

    one, other = LONGEST_ROUTES
    assert {(await ask(one)).status_code for _ in range(PER_ROUTE)} == {200}
    assert_spent(await ask(one), PER_ROUTE)
    assert {(await ask(other)).status_code for _ in range(PER_ROUTE)} == {200}
    assert_spent(await ask(other), PER_ROUTE)
    assert (await ask(one, client.replace("1:1111", "1:2222", 1).replace(".111", ".112"))).status_code == 200
    assert (await ask(one[:-1])).status_code == 200, "another path"


async def test_a_path_of_any_length_counts_for_the_route_that_it_begins_with(call: Call) -> None:
    eager = call()
    for n in range(PER_ROUTE):
        assert (await eager.post(f"/v1/auth/{'x' * 4000}{n}")).status_code == 200
    assert_spent(await eager.post(f"/v1/auth/{'x' * 8000}"), PER_ROUTE)
    assert_spent(await eager.post("/v1/auth/login"), PER_ROUTE)
    assert (await eager.get(f"/v1/authors{'x' * 8000}")).status_code == 200, "that only begins alike"


async def test_whoever_asks_nothing_holds_only_so_many_connections(house: House, anyone: httpx.AsyncClient) -> None:
    """They are in no count of requests, and each takes the place of somebody who would ask."""
    idle = contextlib.ExitStack()

    def hold(address: str) -> tuple[int, list[socket.socket]]:
        """One too many at once: how many were refused, and the others."""
        found = [idle.enter_context(socket.socket()) for _ in range(CONNECTIONS + 1)]
        for one in found:
            one.bind((address, 0))
            with contextlib.suppress(ConnectionResetError):
                one.connect(("127.0.0.1", house.port))
        asks = b"GET /v1/me HTTP/1.1\r\nHost: x\r\n\r\n"
        answered: list[socket.socket] = []
        for one in found:
            one.settimeout(10)
            with contextlib.suppress(ConnectionError):
                one.sendall(asks)
                if one.recv(9):
                    answered.append(one)
        return len(found) - len(answered), answered

    with idle:
        refused, held = await asyncio.to_thread(hold, "127.0.9.1")
        assert refused == 1
        assert (await anyone.get("/v1/me")).status_code == 200
        assert (await asyncio.to_thread(hold, TRUSTED))[0] == 0, "our own proxy speaks for many"
        held[0].close()
    assert (await anyone.get("/v1/me")).status_code == 200


async def test_a_body_that_is_too_large_is_refused_by_its_length(house: House, anyone: httpx.AsyncClient) -> None:
    assert problem(await anyone.post("/v1/me", content=b"x" * (MAX_BODY + 1))) == (413, "too_large")
    assert house.seen == []
    assert (await anyone.post("/v1/me", content=b"x" * MAX_BODY)).status_code == 200
    assert len(house.guests.seen[0].body) == MAX_BODY


async def test_a_service_that_takes_too_long_is_given_up(house: House, anyone: httpx.AsyncClient) -> None:
    house.rest.waits = asyncio.Event()
    try:
        late = await anyone.get("/v1/rooms")
        assert problem(late) == (504, "deadline_exceeded") and late.headers["retry-after"] == "1"
        assert (await anyone.get("/v1/me")).status_code == 200
    finally:
        house.rest.waits.set()
        house.rest.waits = None
    assert [seen.target for seen in house.rest.seen] == ["/v1/rooms"]  # and asked once: another would take as long


async def test_a_head_that_does_not_end_is_not_waited_for(house: House) -> None:
    assert (await raw(house, "GET /v1/me HTTP/1.1\r\nhost: a\r\n")).status == 408
    assert house.seen == []


@pytest.mark.parametrize(
    "text", ["NONSENSE\r\n\r\n", "GET /v1/me HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab"]
)
async def test_what_is_no_http_goes_nowhere(house: House, text: str) -> None:
    assert (await raw(house, text)).status == 400
    assert house.seen == []


# --- servers that fail -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def first_fails(house: House, how: str):
    setattr(house.pair[0], how, True)
    try:
        yield
    finally:
        setattr(house.pair[0], how, False)
        house.pair[0].ready = True
        await both_up(house)


async def both_up(house: House) -> None:
    await until_state(house, "pair", ["UP", "UP"])


async def until_state(house: House, service: str, states: list[str]) -> None:
    async with asyncio.timeout(20):
        while [s.status for share in await house.gateway.runtime.shares(service) for s in share.servers] != states:
            await asyncio.sleep(0.02)


async def test_a_read_that_got_no_answer_is_sent_to_the_next_server(house: House, anyone: httpx.AsyncClient) -> None:
    async with first_fails(house, "dies"):
        answers = [(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(4)]
    assert answers == ["second"] * 4
    assert house.pair[0].seen


async def test_a_write_that_got_no_answer_is_not_sent_again(house: House, call: Call) -> None:
    async with first_fails(house, "dies"):
        # On a connection that has had an answer before, HAProxy hands on what it saw: the connection ends.
        answers = [await call().post("/v1/venues", content=b"{}") for _ in range(4)]
    lost = [(*problem(answer), answer.headers["retry-after"]) for answer in answers if answer.status_code != 200]
    assert lost and set(lost) == {(502, "no_answer", "1")}
    assert len(lost) == len(house.pair[0].seen)
    assert len(house.seen) == 4


async def test_a_server_that_nobody_can_connect_to_costs_no_request_not_even_a_write(house: House, tmp_path: Path) -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    port = free_port()
    servers = (nobody, house.rest.url)
    plan = Plan(
        services=(Service("rest", (), {"v1": servers}),), listen=(f"127.0.0.1:{port}",), internal=f"127.0.0.1:{free_port()}"
    )
    async with Gateway(plan.checked(), tmp_path, output=tmp_path / "log"), httpx.AsyncClient() as client:
        for method in ("GET", "POST", "GET", "POST"):
            assert (await client.request(method, f"http://127.0.0.1:{port}/v1/rooms")).status_code == 200
    assert len(house.rest.seen) == 4


async def test_a_server_that_keeps_failing_has_its_turn_ended_until_it_is_well(house: House, anyone: httpx.AsyncClient) -> None:
    async with first_fails(house, "refuses"):
        house.pair[0].ready = False
        found = Counter([(await anyone.get("/v1/venues/1")).status_code for _ in range(30)])
        assert found[200] >= 20 and found[500] <= 5
        await until_state(house, "pair", ["DOWN", "UP"])
        house.pair[0].seen.clear()
        assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"second"}
    assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"first", "second"}


async def test_the_only_server_of_a_service_keeps_its_turn_while_some_of_its_answers_fail(
    house: House, anyone: httpx.AsyncClient
) -> None:
    """There is nobody to go to, and others may ask for what it can answer: only its health takes it out."""
    house.rest.refuses = True
    try:
        found = Counter([(await anyone.get("/v1/rooms")).status_code for _ in range(30)])
    finally:
        house.rest.refuses = False
    assert found == {500: 30}, "each is the service's own, and none is the gateway's"
    assert (await anyone.get("/v1/rooms")).json()["from"] == "rest"


async def test_a_service_without_a_server_is_unavailable_and_the_others_are_not(house: House, anyone: httpx.AsyncClient) -> None:
    house.rest.ready = False
    try:
        await until_state(house, "rest", ["DOWN"])
        before = await figures(house)
        answer = await anyone.get("/v1/rooms")
        assert problem(answer) == (503, "unavailable") and answer.headers["retry-after"] == "1"
        assert (await anyone.get("/v1/me")).status_code == 200
        # What every service has is asked of the next: how the house is, stylesheets.
        for path in ("/api/status", "/static/app.css", "/nothing"):
            assert (await anyone.get(path)).json()["from"] == "guests"
        after = await figures(house)
        assert after.made_here - before.made_here == 1, "what it answers itself is in no service's figures"
        assert (after.active["s_rest"], after.active["s_guests"]) == (0, 1)
        assert (await internal(house, "/readyz")).status_code == 200, "the others are reached, so the door stays open"
    finally:
        house.rest.ready = True
        await until_state(house, "rest", ["UP"])
    assert (await anyone.get("/api/status")).json()["from"] == "rest"


async def test_a_drained_server_gets_nothing_new(house: House, anyone: httpx.AsyncClient) -> None:
    await house.gateway.runtime.drain("pair", "v1.1")
    try:
        assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"second"}
    finally:
        await house.gateway.runtime.resume("pair", "v1.1")
        await both_up(house)
    assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"first", "second"}
    with pytest.raises(NoSuchService):
        await house.gateway.runtime.drain("pair", "v9.1")


async def test_a_server_is_followed_by_its_name(house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forecourt.gateway.haproxy.KEYS_EVERY_S", 0.1)
    stands_for: list[str] = []

    async def names(host: str) -> list[str]:
        assert host == "rest.test"
        return list(stands_for)

    elsewhere, port = Backend("elsewhere"), free_port()
    await elsewhere.start("127.0.0.3", int(house.rest.url.rsplit(":", 1)[1]))
    plan = Plan(
        services=(Service("rest", (), {"v1": (house.rest.url.replace("127.0.0.1", "rest.test"),)}),),
        listen=(f"127.0.0.1:{port}",),
        internal=f"127.0.0.1:{free_port()}",
        health=Health(every_ms=200),
    )

    async def answered(by: str) -> None:
        async with asyncio.timeout(20):
            while (answer := await client.get(f"http://127.0.0.1:{port}/v1/rooms")).is_error or answer.json()["from"] != by:
                await asyncio.sleep(0.02)

    try:
        async with (
            Gateway(plan.checked(), tmp_path, output=tmp_path / "log", names=names) as gateway,
            httpx.AsyncClient() as client,
        ):
            assert (await client.get(f"http://127.0.0.1:{port}/v1/rooms")).status_code == 503
            assert await open_door(client, plan.internal, False), "nobody is reached"
            stands_for[:] = ["127.0.0.1"]
            await answered("rest")
            assert await open_door(client, plan.internal, True)
            stands_for[:] = ["127.0.0.3", "127.0.0.1"]
            await gateway.reload()  # a new process is told as well, and what it knows of the name by itself is nothing
            await answered("elsewhere")
    finally:
        await elsewhere.stop()


async def open_door(client: httpx.AsyncClient, internal: str, wanted: bool) -> bool:
    """Whether the gateway comes to say that it is of use, or of none, as `wanted`."""
    async with asyncio.timeout(20):
        while (await client.get(f"http://{internal}/readyz")).is_success != wanted:
            await asyncio.sleep(0.02)
    return True


@pytest.mark.parametrize(("quick_s", "pause_s"), [(0, 3600), (3600, 0)])
async def test_haproxy_that_dies_is_brought_back_and_at_once_unless_it_had_just_begun(
    house: House, anyone: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, quick_s: float, pause_s: float
) -> None:
    """Nobody can connect meanwhile."""
    monkeypatch.setattr("forecourt.gateway.haproxy.QUICK_S", quick_s)
    monkeypatch.setattr("forecourt.gateway.haproxy.PAUSE_S", pause_s)
    pid = house.gateway.pid
    os.kill(pid, signal.SIGKILL)
    await until(lambda: house.gateway.pid != pid)
    assert (await anyone.get("/v1/me")).status_code == 200


async def test_haproxy_that_dies_while_it_is_looked_after_is_brought_back_at_once_too(
    house: House, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("KEYS_EVERY_S", 0.1), ("QUICK_S", 0), ("PAUSE_S", 3600)):
        monkeypatch.setattr(f"forecourt.gateway.haproxy.{name}", seconds)
    doomed: list[int] = []

    async def names(_host: str) -> list[str]:
        while doomed:
            os.kill(doomed.pop(), signal.SIGKILL)
        return ["127.0.0.1"]

    services = (Service("rest", (), {"v1": (house.rest.url.replace("127.0.0.1", "rest.test"),)}),)
    plan = Plan(services=services, listen=(f"127.0.0.1:{free_port()}",), internal=f"127.0.0.1:{free_port()}").checked()
    async with Gateway(plan, tmp_path, output=tmp_path / "log", names=names) as gateway, httpx.AsyncClient() as client:
        doomed.append(pid := gateway.pid)
        await until(lambda: gateway.pid != pid)
        assert await open_door(client, plan.internal, True)


# --- versions -----------------------------------------------------------------------------------------------------------------


async def test_a_version_gets_its_share_as_soon_as_it_is_told_and_keeps_it(house: House, call: Call) -> None:
    async def share_of_v2() -> int:
        client = call()
        found = [(await client.get("/v1/bookings/1")).json()["from"] for _ in range(50)]
        return found.count("courts v2")

    runtime = house.gateway.runtime
    try:
        assert await share_of_v2() == 0
        shares = await runtime.weigh("courts", ["v2=10%"])
        assert [(share.version, share.percent) for share in shares] == [("v1", 90.0), ("v2", 10.0)]
        assert 4 <= await share_of_v2() <= 6
        await house.gateway.reload()
        assert 4 <= await share_of_v2() <= 6
        await runtime.weigh("courts", ["v2=100%"])
        assert await share_of_v2() == 50
    finally:
        await runtime.weigh("courts", ["v1=100%"])


async def test_a_version_that_fails_more_than_the_one_beside_it_is_withdrawn(house: House, call: Call) -> None:
    new, runtime = house.courts[1], house.gateway.runtime
    try:
        await runtime.weigh("courts", ["v2=30%"])
        await house.gateway.withdraw_failing()  # counts begin here
        new.refuses = True
        async with asyncio.timeout(20):
            while runtime.weights()["courts"]["v2"]:
                client = call()
                assert {(await client.get("/v1/bookings/1")).status_code for _ in range(20)} <= {200, 500}
                await house.gateway.withdraw_failing()
        assert [share.percent for share in await runtime.shares("courts")] == [100, 0]
        new.refuses = False
        await until_state(house, "courts", ["UP", "UP"])
        client = call()
        assert {(await client.get("/v1/bookings/1")).json()["from"] for _ in range(6)} == {"courts v1"}, "until somebody says so"
        # The control: it is judged by what it does from then on.
        await runtime.weigh("courts", ["v2=50%"])
        assert await house.gateway.withdraw_failing() == []
        assert {(await client.get("/v1/bookings/1")).json()["from"] for _ in range(40)} == {"courts v1", "courts v2"}
    finally:
        new.refuses = False
        await runtime.weigh("courts", ["v1=100%"])


async def test_weights_that_cannot_be_change_nothing(house: House) -> None:
    runtime = house.gateway.runtime
    before = [(share.version, share.percent) for share in await runtime.shares("courts")]
    for wishes in (["v3=10%"], ["v1=60%", "v2=50%"], ["v1=60%", "v2=30%"], ["v2"], ["v2=10%", "v2=20%"]):
        with pytest.raises(WeightsWrong):
            await runtime.weigh("courts", wishes)
    with pytest.raises(NoSuchService, match="There is no service court"):
        await runtime.weigh("court", ["v2=10%"])
    assert [(share.version, share.percent) for share in await runtime.shares("courts")] == before


# --- sockets ------------------------------------------------------------------------------------------------------------------


async def test_a_websocket_goes_through_to_the_sockets(house: House) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    asked = "GET /v1/socket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
    # A token that is no good is for the realtime server to refuse, with a close code that a browser can read.
    asked += "sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer x\r\n\r\n"
    writer.write(asked.encode())
    async with asyncio.timeout(10):
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        assert head.startswith("http/1.1 101") and "s3pplmbitxaq9kygzzhzrbk+xoo=" in head
        for text in (b"hello", b"again"):
            writer.write(bytes([0x81, 0x80 | len(text), 0, 0, 0, 0]) + text)
            assert await reader.readexactly(2 + len(text)) == bytes([0x81, len(text)]) + text
    writer.close()
    assert [seen.target for seen in house.live.seen] == ["/v1/socket"]
    assert house.live.seen[0].all("x-forwarded-for") == ["127.0.0.1"]


async def test_a_websocket_lives_on_while_another_haproxy_takes_over(house: House, anyone: httpx.AsyncClient) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    asked = "GET /v1/socket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    writer.write(f"{asked}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode())
    async with asyncio.timeout(20):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 101")
        pid = house.gateway.pid
        await house.gateway.reload()
        assert house.gateway.pid != pid and (await anyone.get("/v1/me")).status_code == 200
        writer.write(bytes([0x81, 0x80 | 5, 0, 0, 0, 0]) + b"still")
        assert await reader.readexactly(7) == bytes([0x81, 5]) + b"still"
    writer.close()


async def test_what_does_not_ask_for_a_websocket_gets_none(house: House, anyone: httpx.AsyncClient) -> None:
    assert (await anyone.get("/v1/socket")).json()["from"] == "live"


# --- what strangers say of themselves -----------------------------------------------------------------------------------------


async def test_nobody_can_say_to_come_from_elsewhere(house: House, call: Call) -> None:
    lies = {
        "x-forwarded-for": "10.0.0.1",
        "X-FORWARDED-PROTO": "https",
        "x-forwarded-host": "evil.example",
        "x-forwarded-port": "1",
        "forwarded": "for=10.0.0.1",
        "x-real-ip": "10.0.0.1",
        "x-original-url": "/_contract/x",
        "x-forecourt-key": "k",
        "x-forecourt-context": "c",
    }
    await call("127.0.0.99").get("/v1/me", headers=lies)
    seen = house.guests.seen[0]
    assert seen.all("x-forwarded-for") == ["127.0.0.99"]
    assert seen.all("x-forwarded-proto") == ["http"]
    assert seen.all("x-forwarded-host") == [f"127.0.0.1:{house.port}"]
    for name in ("x-forwarded-port", "forwarded", "x-real-ip", "x-original-url", "x-forecourt-key", "x-forecourt-context"):
        assert seen.all(name) == []


PROOF = "x-forecourt-gateway"


async def test_services_are_shown_the_gateways_proof_and_never_a_clients(house: House, anyone: httpx.AsyncClient) -> None:
    assert house.proof is not None
    proof = house.proof.reveal()
    lies = [(PROOF, proof), ("X-FORECOURT-GATEWAY", "a"), ("X-Forecourt-Gateway", f"{proof}, a")]
    for headers in ([], lies[:1], lies[1:2], lies):
        for method in ("GET", "POST", "OPTIONS"):
            assert (await anyone.request(method, "/v1/me", headers=headers)).status_code == 200
            assert house.guests.seen.pop().all(PROOF) == [proof]
    await house.gateway.refresh_keys()
    assert house.guests.asked[-1].all(PROOF) == [proof], "the gateway's own question is let in as well"
    asked = "GET /v1/socket HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n"
    assert (await raw(house, f"{asked}sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{PROOF}: a\r\n\r\n", 12)).status == 101
    assert house.live.seen[0].all(PROOF) == [proof]


async def test_the_proof_is_in_no_file_and_on_no_command_line(house: House, anyone: httpx.AsyncClient) -> None:
    assert house.proof is not None
    await logged(house, anyone)
    files = [path for path in house.gateway.folder.rglob("*") if path.is_file()]
    assert {"haproxy.cfg", "haproxy.log", "routes.map"} <= {path.name for path in files}
    for path in [*files, Path(f"/proc/{house.gateway.pid}/cmdline")]:
        assert b"4b7e19c05a2d8f63" not in path.read_bytes(), path
    environ = Path(f"/proc/{house.gateway.pid}/environ").read_bytes()
    assert environ.count(b"4b7e19c05a2d8f63") == 1, "the control: it is there, where only the gateway's own user reads"


async def test_another_proof_is_taken_up_without_a_refused_request(
    house: House, anyone: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecourt.gateway.haproxy.KEYS_EVERY_S", 0.1)
    before = house.proof
    statuses: Counter[int] = Counter()
    shown: set[str] = set()
    done = asyncio.Event()

    async def keep_asking() -> None:
        while not done.is_set():
            async with httpx.AsyncClient() as new:  # a connection of its own each time
                statuses[(await new.get(f"http://127.0.0.1:{house.internal}/livez")).status_code] += 1

    async def shows(*proof: str) -> None:
        async with asyncio.timeout(20):
            while True:
                assert (await anyone.get("/v1/me", headers={PROOF: "a"})).status_code == 200
                shown.update(last := house.guests.seen.pop().all(PROOF))
                if last == [*proof]:
                    return
                await asyncio.sleep(0.02)

    asking = asyncio.create_task(keep_asking())
    try:
        house.proof = Secret("another-proof-2c9d")
        await house.gateway.refresh_proof()
        await shows("another-proof-2c9d")
        house.proof = None
        await house.gateway.refresh_proof()
        await shows()
    finally:
        done.set()
        await asking
        house.proof = before
        await house.gateway.refresh_proof()
    assert before is not None
    await shows(before.reveal())
    assert not await house.gateway.refresh_proof(), "what has not changed is no reason to start anew"
    assert set(statuses) == {200} and "a" not in shown


async def test_nobody_is_led_to_a_server_that_does_not_take_the_proof(house: House, anyone: httpx.AsyncClient) -> None:
    """Its 401 would tell people that they are not signed in."""
    assert house.proof is not None
    house.pair[0].takes = "another"
    try:
        await until_state(house, "pair", ["DOWN", "UP"])
        assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"second"}
        house.pair[0].takes = house.proof.reveal()
        await both_up(house)
        assert {(await anyone.get("/v1/venues/1")).json()["from"] for _ in range(6)} == {"first", "second"}
    finally:
        house.pair[0].takes = ""
        await both_up(house)


async def test_a_proof_that_cannot_be_read_changes_nothing(house: House, tmp_path: Path) -> None:
    port, wanted = free_port(), Secret("the-first-proof-71aa")
    readable = True
    plan = Plan(
        services=(Service("guests", (), {"v1": (house.guests.url,)}),),
        listen=(f"127.0.0.1:{port}",),
        internal=f"127.0.0.1:{free_port()}",
    )

    def read(_: Plan) -> Secret:
        if not readable:
            raise SettingsError(["FORECOURT_GATEWAY_KEYS_FILE: /gone cannot be read (FileNotFoundError)"])
        return wanted

    async with Gateway(plan.checked(), tmp_path, proof=read, output=tmp_path / "log") as gateway, httpx.AsyncClient() as client:
        pid, readable = gateway.pid, False
        for again in (gateway.reload, gateway.refresh_proof):
            with pytest.raises(SettingsError, match="cannot be read"):
                await again()
        assert gateway.pid == pid
        assert (await client.get(f"http://127.0.0.1:{port}/v1/me")).status_code == 200
        assert house.guests.seen[-1].all(PROOF) == [wanted.reveal()]


async def test_a_service_that_does_not_know_the_gateway_is_told_of(house: House, tmp_path: Path) -> None:
    port = free_port()

    async def stranger(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 401 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        writer.close()

    plan = Plan(services=(Service("guests", (), {"v1": (f"http://127.0.0.1:{port}",)}),)).checked()
    async with await asyncio.start_server(stranger, "127.0.0.1", port):
        with capture_logs() as logs:
            assert await KeySource(plan, tmp_path / "keys.json", house.proof).ask() is None
    (told,) = [entry for entry in logs if entry["event"] == "gateway_not_known"]
    assert "FORECOURT_GATEWAY_KEYS" in told["cure"] and "4b7e19c05a2d8f63" not in str(logs)


async def test_our_own_proxy_is_believed_about_the_last_address_it_names(house: House, call: Call) -> None:
    told = {"x-forwarded-for": "10.0.0.1, 203.0.113.9", "x-forwarded-proto": "https"}
    await call(TRUSTED).get("/v1/me", headers=told)
    assert house.guests.seen[0].all("x-forwarded-for") == ["203.0.113.9"]
    assert house.guests.seen[0].all("x-forwarded-proto") == ["https"]


async def test_a_trace_is_continued_when_it_is_one_and_begins_here_when_it_is_not(
    house: House, anyone: httpx.AsyncClient
) -> None:
    good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    for sent in ([good], ["00-zz-1-01"], [good, good], []):
        await anyone.get("/v1/me", headers=[*(("traceparent", value) for value in sent), ("tracestate", "a=b")])
    continued, *fresh = house.guests.seen
    assert continued.all("traceparent") == [good] and continued.all("tracestate") == ["a=b"]
    for seen in fresh:
        (made,) = seen.all("traceparent")
        assert [len(part) for part in made.split("-")] == [2, 32, 16, 2] and "0af7651916cd" not in made
        assert seen.all("tracestate") == []


async def test_of_the_traces_that_begin_here_any_share_can_be_sampled(house: House, anyone: httpx.AsyncClient) -> None:
    for _ in range(48):
        await anyone.get("/v1/me")
    ids = [seen.all("traceparent")[0].split("-")[1] for seen in house.guests.seen]
    assert len(set(ids)) == 48 and all(re.fullmatch("[0-9a-f]{32}", trace) for trace in ids)
    half = TraceIdRatioBased(0.5)
    taken = [half.should_sample(None, int(trace, 16), "GET /").decision.is_sampled() for trace in ids]
    assert 0 < sum(taken) < 48
    # The control: a UUID is no trace id of which half could be had.
    assert not any(half.should_sample(None, uuid4().int, "GET /").decision.is_sampled() for _ in ids)


async def test_a_request_id_is_the_clients_if_it_has_the_form_of_one(house: House, anyone: httpx.AsyncClient) -> None:
    for sent in (["mine.1"], ["not {mine}"], ["a", "b"], []):
        await anyone.get("/v1/me", headers=[("x-request-id", value) for value in sent])
    ids = [seen.all("x-request-id") for seen in house.guests.seen]
    assert ids[0] == ["mine.1"]
    assert all(len(found) == 1 and len(found[0]) == 32 for found in ids[1:])


# --- answers ------------------------------------------------------------------------------------------------------------------


async def test_an_app_elsewhere_may_read_what_the_gateway_refuses(house: House, anyone: httpx.AsyncClient) -> None:
    refused = await anyone.get("/v1/me", headers={**bearer("abc"), "origin": APP})
    assert refused.status_code == 401 and refused.headers["access-control-allow-origin"] == APP
    stranger = await anyone.get("/v1/me", headers={**bearer("abc"), "origin": "https://evil.example"})
    assert stranger.status_code == 401 and "access-control-allow-origin" not in stranger.headers
    # What services answer is for them to open: this one does not.
    answered = await anyone.get("/v1/me", headers={"origin": APP})
    assert answered.status_code == 200 and "access-control-allow-origin" not in answered.headers


async def test_text_is_compressed_for_those_who_take_it(house: House, anyone: httpx.AsyncClient) -> None:
    packed = await anyone.get("/v1/me", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip" and packed.json()["from"] == "guests"
    assert packed.headers["etag"] == 'W/"3"'
    await anyone.get("/v1/me", headers={"if-none-match": 'W/"3", "4", W/"5"'})
    assert re.findall('W?/?"."', ", ".join(house.guests.seen[-1].all("if-none-match"))) == ['"3"', '"4"', '"5"']
    plain = await anyone.get("/v1/me", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and plain.headers["etag"] == '"3"'
    house.guests.type = "text/event-stream"
    try:
        stream = await anyone.get("/v1/me", headers={"accept-encoding": "gzip"})
        assert "content-encoding" not in stream.headers
    finally:
        house.guests.type = "application/json"


async def internal(house: House, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{house.internal}{path}")


class Figures:
    """What HAProxy counts, as the alerts read it."""

    def __init__(self, text: str) -> None:
        samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
        self.labels = {name: {frozenset(s.labels) for s in samples if s.name == name} for name in FIGURES}
        self.active = {s.labels["proxy"]: s.value for s in samples if s.name == "haproxy_backend_active_servers"}
        failed = [s for s in samples if s.labels.get("code") == "5xx"]
        answered = sum(
            s.value for s in failed if s.name == "haproxy_frontend_http_responses_total" and s.labels["proxy"] == "public"
        )
        of_services = sum(s.value for s in failed if s.name == "haproxy_server_http_responses_total")
        self.made_here = answered - of_services


async def figures(house: House) -> Figures:
    return Figures((await internal(house, "/metrics")).text)


async def test_it_tells_what_alerts_and_runbooks_ask_for(house: House) -> None:
    assert (await figures(house)).labels == {name: {labels} for name, labels in FIGURES.items()}


async def test_failures_of_services_are_told_from_those_made_here(house: House, call: Call) -> None:
    before = await figures(house)
    house.guests.refuses = True
    try:
        assert (await call().get("/v1/me")).status_code == 500
    finally:
        house.guests.refuses = False
    of_a_service = await figures(house)
    assert of_a_service.made_here == before.made_here
    house.guests.dies = True
    try:
        assert (await call().get("/v1/me")).status_code == 502
    finally:
        house.guests.dies = False
    assert (await figures(house)).made_here == of_a_service.made_here + 1


async def test_figures_are_told_inside_only(house: House, anyone: httpx.AsyncClient) -> None:
    told = (await internal(house, "/metrics")).text
    for figure in ("haproxy_frontend_http_responses_total", 'haproxy_server_status{proxy="s_courts",server="v2.1"'):
        assert figure in told
    assert (await internal(house, "/livez")).status_code == 200
    assert (await internal(house, "/v1/me")).status_code == 404
    assert problem(await anyone.get("/metrics")) == (404, "not_found")


async def logged(house: House, anyone: httpx.AsyncClient) -> list[dict[str, object]]:
    """What the gateway logs of a request that fails, and of one that does not."""
    traces = [uuid4().hex, uuid4().hex]
    for trace, fails in zip(traces, (False, True), strict=True):
        told = {"traceparent": f"00-{trace}-00f067aa0ba902b7-01"}
        house.guests.refuses = fails
        try:
            assert (await anyone.get("/v1/me?secret=word", headers=told)).status_code == (500 if fails else 200)
        finally:
            house.guests.refuses = False
    await until(lambda: traces[1] in house.log.read_text())
    lines = [line for line in house.log.read_text().splitlines() if any(trace in line for trace in traces)]
    # HAProxy's own words, of a server that comes or goes, are written piece by piece and may stand before on the same line.
    return [json.JSONDecoder().raw_decode(line, line.index('{"event"'))[0] for line in lines]


async def test_what_fails_is_logged_with_its_trace_and_without_its_path(house: House, anyone: httpx.AsyncClient) -> None:
    (line,) = await logged(house, anyone)
    assert (line["event"], line["method"], line["status"], line["service"]) == ("gateway_request", "GET", 500, "s_guests")
    assert "/v1/me" not in house.log.read_text() and "secret=word" not in house.log.read_text()


async def test_a_plan_that_haproxy_cannot_run_is_refused_and_the_old_one_goes_on(house: House, anyone: httpx.AsyncClient) -> None:
    import msgspec

    taken = house.pair[0].url.removeprefix("http://")
    pid = house.gateway.pid
    with pytest.raises(EngineError, match="HAProxy"):
        await house.gateway.reload(msgspec.structs.replace(house.plan(), listen=(taken,)))
    assert house.gateway.pid == pid
    assert (await anyone.get("/v1/me")).status_code == 200


async def test_two_gateways_do_not_share_a_folder(
    house: House, anyone: httpx.AsyncClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("forecourt.gateway.runtime.GONE_WITHIN_S", 0.2)
    config = (house.gateway.folder / "haproxy.cfg").read_bytes()
    plan = Plan(services=(Service("rest", (), {"v1": (house.rest.url,)}),), listen=(f"127.0.0.1:{free_port()}",)).checked()
    with pytest.raises(EngineError, match=f"Another gateway runs over .* process {house.gateway.pid}"):
        await Gateway(plan, house.gateway.folder).start()
    (tmp_path / "gateway").symlink_to(house.gateway.folder)
    with pytest.raises(EngineError, match="Another gateway runs over"):
        await asyncio.to_thread(cli.up, split=True, data=tmp_path, port=free_port())
    assert (house.gateway.folder / "haproxy.cfg").read_bytes() == config
    assert (await anyone.get("/v1/me")).status_code == 200


# --- raw requests --------------------------------------------------------------------------------------------------------------


class Told:
    """An answer, read by hand."""

    def __init__(self, text: bytes) -> None:
        self.status = int(text.split(b" ", 2)[1])


async def raw(house: House, text: str, least: int = -1) -> Told:
    """The answer to the end of the connection, or as much of it as comes, when `least` bytes are enough."""
    reader, writer = await asyncio.open_connection("127.0.0.1", house.port)
    try:
        writer.write(text.encode())
        async with asyncio.timeout(10):
            return Told(await (reader.read(-1) if least < 0 else reader.readexactly(least)))
    finally:
        writer.close()
