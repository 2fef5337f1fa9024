"""The same through the front door: statuses, bodies and headers as clients see them."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from uuid import UUID, uuid4

import asyncpg
import httpx
import pytest
from tests.at_work import at_work
from tests.journeys.conftest import environ_for
from tests.modules.identity.conftest import PASSWORD, SECRET
from tests.statements import counted, transactions

from forecourt.app import Addresses, House
from forecourt.kernel.context import Actor, ActorKind, Context, service_context
from forecourt.kernel.settings import Settings


@pytest.fixture(scope="module")
async def house(house_database_url: str, valkey_url: str, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    data = tmp_path_factory.mktemp("house")
    settings = Settings.read(
        {
            "FORECOURT_ENV": "dev",
            "FORECOURT_SECRET_KEY": SECRET,
            "FORECOURT_DATA": str(data),
            "FORECOURT_LOG_LEVEL": "error",
        }
    )
    house = await House.open(settings, Addresses(house_database_url, valkey_url))
    await house.start_work()
    async with at_work(house.database):
        yield house
    await house.close()


@pytest.fixture(scope="module")
async def client(house: House) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=house.app, raise_app_exceptions=False)  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://house.test", timeout=30) as client:
        yield client


async def register(client: httpx.AsyncClient) -> dict[str, object]:
    body = {"email": f"ada-{uuid4().hex[:12]}@example.org", "password": PASSWORD, "name": "Ada"}
    answer = await client.post("/v1/auth/register", json=body)
    assert answer.status_code == 201, answer.text
    return answer.json()


def bearer(tokens: dict[str, object]) -> dict[str, str]:
    return {"Authorization": f"Bearer {tokens['access_token']}"}


async def newest_mail(client: httpx.AsyncClient, email: str) -> str:
    for _ in range(200):
        items = (await client.get("/dev/outbox", params={"to": email}, headers={"Accept": "application/json"})).json()["items"]
        if items:
            return items[0]["text"]
        await asyncio.sleep(0.05)
    raise AssertionError("no mail came")


async def test_register_confirm_and_see_oneself(client: httpx.AsyncClient) -> None:
    tokens = await register(client)
    assert {"account", "access_token", "refresh_token", "token_type", "expires_in"} == tokens.keys()
    email = tokens["account"]["email"]  # type: ignore[index]
    code = re.findall(r"\b\d{6}\b", await newest_mail(client, email))[0]
    answer = await client.post("/v1/auth/verify-email", json={"email": email, "code": code})
    assert (answer.status_code, answer.content) == (204, b"")
    me = (await client.get("/v1/me", headers=bearer(tokens))).json()
    assert (me["email"], me["status"], me["roles"]) == (email, "active", [])
    sessions = (await client.get("/v1/me/sessions", headers=bearer(tokens))).json()["items"]
    assert [s["current"] for s in sessions] == [True]


async def test_who_i_am_is_one_question(client: httpx.AsyncClient, house: House) -> None:
    email = (await register(client))["account"]["email"]  # type: ignore[index]
    code = re.findall(r"\b\d{6}\b", await newest_mail(client, email))[0]
    await client.post("/v1/auth/verify-email", json={"email": email, "code": code})
    me = bearer((await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).json())
    await client.get("/v1/me", headers=me)  # the gate has met the token
    with transactions() as begun, counted() as asked:
        mine = (await client.get("/v1/me", headers=me)).json()
    assert (len(begun), len(asked), mine["roles"]) == (1, 1, [])
    ctx = Context(actor=Actor(kind=ActorKind.PERSON, account_id=UUID(mine["id"])))
    organisation = uuid4()
    await house.identity.adopt(ctx, organisation)
    with transactions() as begun, counted() as asked:
        mine = (await client.get("/v1/me", headers=me)).json()
    assert [(r["organisation_id"], r["role"]) for r in mine["roles"]] == [(str(organisation), "owner")]
    assert (len(begun), len(asked)) == (1, 3), "the control: another question and whose it is, for each place of work"


async def test_a_password_is_kept_hashed_in_full(client: httpx.AsyncClient, house_admin_url: str) -> None:
    account = (await register(client))["account"]
    connection = await asyncpg.connect(house_admin_url)
    kept = await connection.fetchval("select password_hash from identity.account where id = $1", account["id"])  # type: ignore[index]
    await connection.close()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


async def test_wrong_password_and_unknown_account_look_the_same(client: httpx.AsyncClient) -> None:
    email = (await register(client))["account"]["email"]  # type: ignore[index]
    answers = [await client.post("/v1/auth/login", json={"email": who, "password": "wrong"}) for who in (email, f"x-{email}")]
    bodies = [{k: v for k, v in a.json().items() if k != "trace_id"} for a in answers]
    assert [a.status_code for a in answers] == [401, 401] and bodies[0] == bodies[1]
    assert bodies[0]["code"] == "bad_credentials"
    for path in ("/v1/auth/forgot-password", "/v1/auth/verify-email/resend"):
        same = [await client.post(path, json={"email": who}) for who in (email, f"x-{email}")]
        assert [(a.status_code, a.content) for a in same] == [(202, same[0].content)] * 2


async def test_a_weak_password_names_its_field(client: httpx.AsyncClient) -> None:
    body = {"email": f"{uuid4().hex}@example.org", "password": "password1", "name": "Ada"}
    answer = await client.post("/v1/auth/register", json=body)
    assert answer.status_code == 422 and {e["path"] for e in answer.json()["errors"]} == {"password"}


async def test_a_stolen_refresh_token_ends_the_session_everywhere(client: httpx.AsyncClient) -> None:
    tokens = await register(client)
    again = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert again.status_code == 200
    stolen = await client.post("/v1/auth/refresh", json={"refresh_token": tokens["refresh_token"]})
    assert (stolen.status_code, stolen.json()["code"]) == (401, "token_reused")
    for _ in range(100):
        if (await client.get("/v1/me", headers=bearer(again.json()))).status_code == 401:
            break
        await asyncio.sleep(0.05)
    else:
        raise AssertionError("the access token of a stolen session still works after five seconds")


async def test_the_public_keys_show_nothing_private(client: httpx.AsyncClient) -> None:
    keys = (await client.get("/.well-known/jwks.json")).json()["keys"]
    assert keys and all({"kid", "kty", "crv", "x", "y"} <= k.keys() and "d" not in k for k in keys)


async def test_a_person_has_profile_and_preferences(client: httpx.AsyncClient) -> None:
    tokens = await register(client)
    handle = f"ada_{uuid4().hex[:8]}"
    answer = await client.patch("/v1/me/profile", json={"handle": handle, "city": "London"}, headers=bearer(tokens))
    assert answer.status_code == 200, answer.text
    seen = (await client.get(f"/v1/people/@{handle}")).json()
    assert (seen["name"], seen.get("city")) == ("Ada", None)
    seen = (await client.get(f"/v1/people/@{handle}", headers=bearer(await register(client)))).json()
    assert seen["city"] == "London"
    wrong = await client.put("/v1/me/preferences", json={"timezone": "Europe/Atlantis"}, headers=bearer(tokens))
    assert wrong.status_code == 422


async def test_serve_with_another_secret_says_so_in_plain_words_and_ends(
    client: httpx.AsyncClient,
    house_database_url: str,
    house_admin_url: str,
    valkey_url: str,
    tmp_path: Path,
    unused_tcp_port: int,
) -> None:
    await register(client)
    environ = environ_for(tmp_path, house_database_url, house_admin_url, valkey_url)
    environ["FORECOURT_SECRET_KEY"] = "not the secret that sealed the keys, but as long"
    command = (sys.executable, "-m", "forecourt", "serve", "--port", str(unused_tcp_port))
    process = await asyncio.create_subprocess_exec(*command, env=environ, stderr=asyncio.subprocess.PIPE)
    _, said = await asyncio.wait_for(process.communicate(), 60)
    text = said.decode()
    assert process.returncode == 78 and "The signing keys in this database were sealed with another FORECOURT_SECRET_KEY" in text
    assert "Traceback" not in text


async def test_security_events_of_others_are_for_platform_admins(client: httpx.AsyncClient, house: House) -> None:
    ada, boss = await register(client), await register(client)
    whose = ada["account"]["id"]  # type: ignore[index]
    query = {"account_id": whose, "kind": "registered", "from": "2020-01-01T00:00:00Z", "limit": 1}
    refused = await client.get("/v1/admin/security-events", params=query, headers=bearer(boss))
    assert refused.status_code == 404
    email = boss["account"]["email"]  # type: ignore[index]
    await house.identity.persons.make_admin(service_context("tests"), email)
    boss = (await client.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).json()
    page = (await client.get("/v1/admin/security-events", params=query, headers=bearer(boss))).json()
    assert [(e["account_id"], e["kind"]) for e in page["items"]] == [(whose, "registered")]
    wrong = await client.get("/v1/admin/security-events", params={"kind": "nonsense"}, headers=bearer(boss))
    assert wrong.status_code == 422


async def test_a_phone_is_given_verified_and_removed(client: httpx.AsyncClient) -> None:
    me, number = bearer(await register(client)), f"+4477{uuid4().int % 10**8:08}"

    async def phone() -> list[object]:
        body = (await client.get("/v1/me", headers=me)).json()
        return [body["phone"], body["phone_verified"], body["phone_waiting"]]

    assert await phone() == [None, False, None]
    assert (await client.post("/v1/me/phone", json={"phone": number}, headers=me | {"Accept-Language": "pt"})).status_code == 202
    assert await phone() == [number, False, number]
    text = await newest_mail(client, number)
    assert "código" in text
    wrong = await client.post("/v1/me/phone/verify", json={"code": "12345"}, headers=me)
    assert (wrong.status_code, wrong.json()["errors"][0]["path"]) == (422, "code")
    assert (await client.post("/v1/me/phone/verify", json={"code": text[:6]}, headers=me)).status_code == 204
    assert await phone() == [number, True, None]
    for _ in range(2):
        assert (await client.delete("/v1/me/phone", headers=me)).status_code == 204
    assert await phone() == [None, False, None]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [("POST", "/v1/me/phone", {"phone": "+447700900123"}), ("POST", "/v1/me/phone/verify", {"code": "123456"}),
     ("DELETE", "/v1/me/phone", None)],
)  # fmt: skip
async def test_a_phone_is_a_persons_own_affair(client: httpx.AsyncClient, method: str, path: str, body: object) -> None:
    assert (await client.request(method, path, json=body)).status_code == 401


async def test_a_phone_that_cannot_be_one_is_refused_at_its_field(client: httpx.AsyncClient) -> None:
    me = bearer(await register(client))
    for phone in ("", "0123", "+44", "x" * 41, "\U0001f4de", "+1 900 555 0123"):
        refused = await client.post("/v1/me/phone", json={"phone": phone}, headers=me)
        assert (refused.status_code, refused.json()["errors"][0]["path"]) == (422, "phone"), phone
    assert (await client.post("/v1/me/phone", json={"phone": 447700900123}, headers=me)).status_code == 422


async def test_one_asks_to_be_erased_and_takes_it_back_by_the_api(client: httpx.AsyncClient) -> None:
    tokens = await register(client)
    wrong = await client.post("/v1/me/erase", json={"password": "not it"}, headers=bearer(tokens))
    assert wrong.status_code == 422 and [e["path"] for e in wrong.json()["errors"]] == ["password"]
    answer = await client.post("/v1/me/erase", json={"password": PASSWORD}, headers=bearer(tokens))
    assert answer.status_code == 202, answer.text
    me = (await client.get("/v1/me", headers=bearer(tokens))).json()
    assert me["erase_at"] == answer.json()["erase_at"]
    assert (await client.delete("/v1/me/erase", headers=bearer(tokens))).status_code == 204
    assert (await client.get("/v1/me", headers=bearer(tokens))).json()["erase_at"] is None
    assert (await client.post("/v1/me/erase", json={"password": PASSWORD})).status_code == 401
