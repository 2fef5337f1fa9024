"""The short way finds what is plain, with its parameters, and leaves everything unusual to Litestar."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

import httpx
import pytest

from forecourt.kernel.errors import NotFound
from forecourt.kernel.http.dispatch import Dispatcher, Door
from forecourt.kernel.http.operation import PUBLIC, Api, get, post
from forecourt.kernel.http.routes import Routes
from forecourt.kernel.http.site import site


class Places(Api):
    tag = "Places"

    @get("/", access=PUBLIC)
    async def home(self) -> str:
        """Home."""
        return "home"

    @get("/v1/places/nearest", access=PUBLIC)
    async def nearest(self) -> str:
        """The nearest."""
        return "nearest"

    @get("/v1/places/{place_id}", access=PUBLIC)
    async def read(self, place_id: UUID) -> str:
        """One."""
        return f"place {place_id}"

    @get("/v1/places/{place_id}/named/{name}", access=PUBLIC)
    async def named(self, place_id: UUID, name: str) -> str:
        """One by name."""
        return f"{place_id} {name}"

    @post("/v1/places", access=PUBLIC)
    async def add(self) -> str:
        """Another."""
        return "added"

    @get("/v1/days/{number}", access=PUBLIC)
    async def day(self, number: int) -> str:
        """By number."""
        return f"day {number}"


PLACE = UUID("0198c0de-0000-7000-8000-00000000000a")
OPERATIONS = Places().operations()


def routes() -> Routes:
    made = Routes()
    for op in OPERATIONS:
        made.add(op.path, op.path_types, Dispatcher(op.path, [op], cast("Door", None)))
    return made


@pytest.mark.parametrize(
    ("path", "found", "values"),
    [
        ("/", "/", {}),
        ("/v1/places/nearest", "/v1/places/nearest", {}),
        (f"/v1/places/{PLACE}", "/v1/places/{place_id}", {"p0": PLACE}),
        (f"/v1/places/{str(PLACE).upper()}", "/v1/places/{place_id}", {"p0": PLACE}),
        (f"/v1/places/{PLACE}/named/@ada", "/v1/places/{place_id}/named/{name}", {"p0": PLACE, "p1": "@ada"}),
    ],
)
def test_a_plain_path_is_found_with_its_parameters(path: str, found: str, values: dict[str, Any]) -> None:
    answer = routes().find("GET", path)
    assert answer is not None
    assert (answer[0].path, answer[1]) == (found, values)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/places/none"),
        ("GET", f"/v1/places/{PLACE.hex}"),
        ("GET", f"/v1/places/{PLACE}\n"),
        ("GET", f"/v1/places/{PLACE}/"),
        ("GET", f"/v1//places/{PLACE}"),
        ("GET", "/v1/places/" + "٣" * 8 + str(PLACE)[8:]),
        ("GET", "/v1"),
        ("GET", f"/v1/places/{PLACE}/named/"),
        ("GET", "/v1/days/3"),
        ("GET", "/v1/places"),
        ("DELETE", f"/v1/places/{PLACE}"),
        ("OPTIONS", f"/v1/places/{PLACE}"),
        ("GET", ""),
    ],
)
def test_what_is_unusual_is_left_to_litestar(method: str, path: str) -> None:
    assert routes().find(method, path) is None


class Open(Door):
    """A door without anybody: these operations are public."""

    def __init__(self) -> None:
        self.limit_addresses = False


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("HEAD", f"/v1/places/{PLACE}"),
        ("GET", "/v1/places/nearest"),
        ("GET", "/v1/places/nearest/"),
        ("GET", f"/v1/places/{PLACE}"),
        ("GET", f"/v1/places/{str(PLACE).upper()}"),
        ("GET", f"/v1/places/{PLACE.hex}"),
        ("GET", f"/v1/places/{PLACE}/"),
        ("GET", f"/v1/places//{PLACE}"),
        ("GET", f"/v1/places/{PLACE}/named/%40ada%20l"),
        ("GET", f"/v1/places/{PLACE}/named/a%2Fb"),
        ("GET", f"/v1/places/{PLACE}/named/%00"),
        ("GET", "/v1/places/none"),
        ("GET", "/v1/days/3"),
        ("POST", "/v1/places"),
        ("GET", "/v1/places"),
        ("DELETE", f"/v1/places/{PLACE}"),
        ("GET", "/nothing/here"),
    ],
)
async def test_both_ways_give_the_same_answer(method: str, path: str) -> None:
    app = site(OPERATIONS, Open())
    assert await ask(app, method, path, short=True) == await ask(app, method, path, short=False)


async def ask(app: Any, method: str, path: str, *, short: bool) -> tuple[int, bytes, str | None]:
    with pytest.MonkeyPatch.context() as patch:
        if not short:
            patch.setattr(Routes, "find", lambda *_: None)
        transport = httpx.ASGITransport(app=app)
        async with httpx.AsyncClient(transport=transport, base_url="http://house.test") as client:
            answer = await client.request(method, path)
    return answer.status_code, answer.content, answer.headers.get("allow")


async def test_the_comparison_would_notice_a_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    app = site(OPERATIONS, Open())
    expected = await ask(app, "GET", f"/v1/places/{PLACE}", short=False)

    def astray(self: Routes, method: str, path: str) -> Any:
        raise NotFound

    monkeypatch.setattr(Routes, "find", astray)
    with pytest.raises(NotFound):
        await ask(app, "GET", f"/v1/places/{PLACE}", short=True)
    assert expected[0] == 200
