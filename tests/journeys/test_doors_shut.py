"""What ends access ends it in every process: suspension, a revoked key, a log-out; and tokens that somebody made up."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any

import httpx
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey
from tests.journeys.conftest import Server, environ_for
from tests.journeys.world import PASSWORD, Person, World

from forecourt.app import House
from forecourt.kernel.http.gate import KEY_TTL_S, POLL_S, SILENCE_S, STAFF_TTL_S
from forecourt.wiring import create_platform_admin

pytestmark = pytest.mark.xdist_group("doors_shut")
"""One worker makes what these tests share."""

PATIENCE_S = 30.0
"""How long a test on a busy machine waits. That it is five seconds elsewhere follows from the gate's own figures."""


HALLS = ("/v1/me", "/v1/bookings", "/v1/rooms")
"""What is anybody's own, each served by another service where the house is split (tests/topology)."""
OFFICES = ("staff", "bookings", "audit")
"""The same of an organisation's."""


class Pair:
    """Two server processes over one database, or the one door of a split house; `ask` puts a question to all."""

    def __init__(self, urls: list[str]) -> None:
        self.clients = [httpx.AsyncClient(base_url=url, timeout=30) for url in urls]

    async def ask(self, token: str, paths: Sequence[str] = HALLS) -> set[int]:
        """Every answer that there was."""
        by = {"X-Api-Key": token} if "." not in token else {"Authorization": f"Bearer {token}"}
        return {(await c.get(path, headers=by)).status_code for c in self.clients for path in paths}

    async def answers_change(self, token: str, to: int, paths: Sequence[str] = HALLS) -> None:
        """All come to answer `to` in time."""
        until = time.monotonic() + PATIENCE_S
        while (told := await self.ask(token, paths)) != {to}:
            assert time.monotonic() < until, told


@pytest.fixture(scope="module")
async def pair(
    server: Server, house_database_url: str, house_admin_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Pair]:
    data = tmp_path_factory.mktemp("second")
    environ = environ_for(data, house_database_url, house_admin_url, valkey_url)
    # Behind one address, as they would be: tokens name it.
    environ["FORECOURT_PUBLIC_URL"] = f"http://localhost:{server.port}"
    second = Server(environ, data / "server.log")
    second.start("serve")
    pair = Pair([server.url, second.url])
    yield pair
    for client in pair.clients:
        await client.aclose()
    second.stop()


@pytest.fixture(scope="module")
async def admin(house: House, pair: Pair) -> Person:
    email = f"admin.{os.getpid()}@example.org"
    await create_platform_admin(house, email, "Administrator", PASSWORD)
    answer = await pair.clients[0].post("/v1/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status_code == 200, answer.text
    made = answer.json()
    return Person(made["account"]["id"], email, made["access_token"], made["refresh_token"], pair.clients[0])


def test_revocations_are_read_in_less_than_five_seconds() -> None:
    assert POLL_S < 5
    assert max(SILENCE_S, KEY_TTL_S, STAFF_TTL_S) <= 5


async def test_suspension_acts_in_every_process(pair: Pair, admin: Person) -> None:
    world = World(pair.clients[0])
    ada, ben = await world.person("Ada"), await world.person("Ben")
    assert await pair.ask(ada.token) == {200}
    answer = await admin.send("PATCH", f"/v1/admin/accounts/{ada.id}", {"status": "suspended", "reason": "a test"})
    assert answer.status_code == 200, answer.text
    await pair.answers_change(ada.token, 401)
    assert await pair.ask(ben.token) == {200}  # the control
    again = await pair.clients[-1].post("/v1/auth/refresh", json={"refresh_token": ada.refresh})
    assert again.status_code in (401, 403)


async def test_a_log_out_ends_the_session_everywhere(pair: Pair) -> None:
    world = World(pair.clients[0])
    ada = await world.person("Ada", verify=False)
    other = (await pair.clients[0].post("/v1/auth/login", json={"email": ada.email, "password": PASSWORD})).json()
    assert await pair.ask(ada.token) == {200}
    assert (await pair.clients[0].post("/v1/auth/logout", json={"refresh_token": ada.refresh})).status_code == 204
    await pair.answers_change(ada.token, 401)
    assert await pair.ask(other["access_token"]) == {200}  # the control: another session lives


async def test_a_revoked_key_opens_nothing_anywhere(pair: Pair) -> None:
    world = World(pair.clients[0])
    club = await world.club(courts=0)
    offices = [f"/v1/orgs/{club.id}/{name}" for name in OFFICES]
    may = ["staff.read", "booking.read_any", "audit.read"]
    keys: list[dict[str, Any]] = []
    for name in ("Door", "Desk"):
        made = await club.owner.post(f"/v1/orgs/{club.id}/api-keys", {"name": name, "permissions": may})
        assert made.status_code == 201, made.text
        keys.append(made.json())
    assert await pair.ask(keys[0]["key"], offices) == {200}
    gone = await club.owner.send("DELETE", f"/v1/orgs/{club.id}/api-keys/{keys[0]['id']}")
    assert gone.status_code == 204, gone.text
    await pair.answers_change(keys[0]["key"], 401, offices)
    assert await pair.ask(keys[1]["key"], offices) == {200}  # the control


# --- tokens that somebody made up ----------------------------------------------------------------------------------------


def parts(token: str) -> tuple[dict[str, Any], dict[str, Any]]:
    def read(part: str) -> dict[str, Any]:
        return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))

    head, claims, _ = token.split(".")
    return read(head), read(claims)


def written(value: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def unsigned(token: str, _: dict[str, Any]) -> str:
    head, claims = parts(token)
    return f"{written(head | {'alg': 'none'})}.{written(claims)}."


def signed_with_the_public_key(token: str, public: dict[str, Any]) -> str:
    """The old confusion: the public key taken for a shared secret."""
    head, claims = parts(token)
    signed = f"{written(head | {'alg': 'HS256'})}.{written(claims)}"
    secret = ECKey.import_key(public).as_pem(private=False)
    digest = hmac.new(secret, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"


def signed_by_a_stranger(token: str, _: dict[str, Any]) -> str:
    head, claims = parts(token)
    return jwt.encode({"alg": "ES256", "kid": head["kid"]}, claims, ECKey.generate_key("P-256"))


def bringing_its_own_key(token: str, _: dict[str, Any]) -> str:
    _, claims = parts(token)
    own = ECKey.generate_key("P-256")
    return jwt.encode({"alg": "ES256", "jwk": own.as_dict(private=False)}, claims, own)


def promoted(token: str, _: dict[str, Any]) -> str:
    head, _, signature = token.split(".")
    return f"{head}.{written(parts(token)[1] | {'adm': True})}.{signature}"


def cut_short(token: str, _: dict[str, Any]) -> str:
    return token[:-4]


def without_signature(token: str, _: dict[str, Any]) -> str:
    return ".".join(token.split(".")[:2]) + "."


FORGERS: list[Callable[[str, dict[str, Any]], str]] = [
    unsigned,
    signed_with_the_public_key,
    signed_by_a_stranger,
    bringing_its_own_key,
    promoted,
    cut_short,
    without_signature,
]


@pytest.mark.parametrize("forger", FORGERS, ids=lambda f: f.__name__)
async def test_a_token_that_the_house_did_not_sign_is_refused(pair: Pair, forger: Callable[..., str]) -> None:
    ada = await World(pair.clients[0]).person("Ada", verify=False)
    public = (await pair.clients[0].get("/.well-known/jwks.json")).json()["keys"]
    kid = parts(ada.token)[0]["kid"]
    forged = forger(ada.token, next(k for k in public if k["kid"] == kid))
    assert forged != ada.token
    for client in pair.clients:
        answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {forged}"})
        assert (answer.status_code, answer.json()["code"]) == (401, "token_refused"), answer.text
    assert await pair.ask(ada.token) == {200}  # the control


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"exp": 1_700_000_000}, "token_expired"),
        ({"aud": "elsewhere"}, "token_refused"),
        ({"aud": ["forecourt", "elsewhere"]}, "token_refused"),
        ({"iss": "https://elsewhere.example"}, "token_refused"),
        ({"iat": 4_000_000_000}, "token_refused"),
        ({"sub": "../admin"}, "token_refused"),
        ({"sid": None}, "token_refused"),
        ({}, None),
    ],
    ids=[
        "expired",
        "other audience",
        "two audiences",
        "other issuer",
        "from the future",
        "no account",
        "no session",
        "as it was",
    ],
)
async def test_a_token_signed_by_the_house_says_the_right_things(
    house: House, client: httpx.AsyncClient, change: dict[str, Any], code: str | None
) -> None:
    """Signed with the house's own key, so that it is the claims that are looked at; the last one is the control."""
    ada = await World(client).person("Ada", verify=False)
    _, claims = parts(ada.token)
    forged = await house.identity.signing.sign(claims | change)
    answer = await client.get("/v1/me", headers={"Authorization": f"Bearer {forged}"})
    assert answer.json().get("code") == code, answer.text
    assert answer.status_code == (401 if code else 200)
