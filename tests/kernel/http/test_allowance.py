"""What a client is told about limits, through ASGI."""

from __future__ import annotations

from collections.abc import AsyncIterator
from uuid import uuid4

import httpx
import pytest

from forecourt.kernel.clock import SystemClock
from forecourt.kernel.context import Context
from forecourt.kernel.db import Database
from forecourt.kernel.errors import Conflict, Problem
from forecourt.kernel.http.dispatch import Door
from forecourt.kernel.http.gate import Doorkeeper, Gate
from forecourt.kernel.http.operation import PUBLIC, Api, By, Keyed, Limit, Visit, get, post
from forecourt.kernel.http.site import front, site
from forecourt.kernel.idempotency import Idempotency
from forecourt.kernel.limits import Limiter
from forecourt.kernel.metrics import Metrics


class Bell(Api):
    tag = "Bell"

    @get("/v1/bell", access=PUBLIC, limits=(Limit("2/hour", By.ADDRESS), Limit("100/day", By.ADDRESS)))
    async def ring(self, ctx: Context) -> str:
        """Twice an hour, a hundred times a day."""
        return "ding"

    @get("/v1/clapper", access=PUBLIC)
    async def swing(self, ctx: Context) -> str:
        """As often as one likes."""
        return "dong"

    @post("/v1/bell", access=PUBLIC, keyed=Keyed.YES, limits=(Limit("5/hour", By.ACCOUNT),))
    async def cast(self, ctx: Context) -> str:
        """Under a key."""
        return "cast"

    @post("/v1/crack", access=PUBLIC, limits=(Limit("5/hour", By.ACCOUNT),))
    async def crack(self, ctx: Context) -> str:
        """Never works."""
        raise Conflict


class Nobody:
    """Keeps no accounts: these requests carry no tokens."""

    async def unknown(self, *_: object) -> None:
        return None

    session = api_key = unknown


def page(problem: Problem, visit: Visit | None, trace_id: str) -> str:
    return problem.title


def client_of(db: Database, *, production: bool) -> httpx.AsyncClient:
    keeper: Doorkeeper = Nobody()  # type: ignore[assignment]
    door = Door(
        Gate(keeper, "https://house.test"),
        Idempotency(db.module("kernel"), SystemClock()),
        Limiter(None, Metrics()),
        secret=b"tests",
        public_url="https://house.test",
        limit_addresses=production,
        secure_cookies=False,
        problem_page=page,
    )
    app = front(site(Bell().operations(), door), Metrics(), origins=(), proxies=(), strict_transport=False)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="https://house.test")  # type: ignore[arg-type]


@pytest.fixture
async def client(db: Database) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(db, production=True) as client:
        yield client


async def test_an_answer_says_what_is_left_of_the_tightest_limit(client: httpx.AsyncClient) -> None:
    first, second = await client.get("/v1/bell"), await client.get("/v1/bell")
    assert [a.headers["ratelimit-policy"] for a in (first, second)] == ["2;w=3600"] * 2
    assert [a.headers["ratelimit"].split(", reset=")[0] for a in (first, second)] == [
        "limit=2, remaining=1",
        "limit=2, remaining=0",
    ]


async def test_a_refusal_says_when_to_come_back_and_which_limit_it_was(client: httpx.AsyncClient) -> None:
    for _ in range(2):
        assert (await client.get("/v1/bell")).status_code == 200
    refused = await client.get("/v1/bell")
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert refused.headers["ratelimit-policy"] == "2;w=3600"
    assert refused.headers["ratelimit"].startswith("limit=2, remaining=0, reset=")
    assert 1 <= int(refused.headers["retry-after"]) <= 7200


async def test_an_operation_without_limits_or_whose_limits_are_off_says_nothing(client: httpx.AsyncClient, db: Database) -> None:
    assert "ratelimit" not in (await client.get("/v1/clapper")).headers
    async with client_of(db, production=False) as development:
        answer = await development.get("/v1/bell")
    assert answer.status_code == 200 and "ratelimit" not in answer.headers


async def test_a_replayed_answer_tells_of_now_and_not_of_then(client: httpx.AsyncClient) -> None:
    key = {"Idempotency-Key": uuid4().hex}
    answers = [await client.post("/v1/bell", headers=key) for _ in range(2)]
    assert [a.headers.get("idempotent-replayed") for a in answers] == [None, "true"]
    assert [a.headers.get_list("ratelimit") != [] for a in answers] == [True, True]
    assert [a.headers["ratelimit"].split(", ")[1] for a in answers] == ["remaining=4", "remaining=3"]
    assert len(answers[1].headers.get_list("ratelimit-policy")) == 1


async def test_a_problem_of_the_operation_is_no_success_and_carries_no_allowance(client: httpx.AsyncClient) -> None:
    answer = await client.post("/v1/crack")
    assert answer.status_code == 409 and "ratelimit" not in answer.headers
