"""Forms that bring files, and answers that are read as they are sent."""

from __future__ import annotations

import asyncio
import io
import socket
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import httpx
import msgspec
import pytest
import uvicorn
from msgspec import Meta
from tests.kernel.http.desk import COOKIE, Desk
from tests.modules.identity.conftest import ISSUER

from forecourt.kernel.errors import BadRequest, Problem, TooLarge, TooSlow, UnsupportedMedia
from forecourt.kernel.http import dispatch, sent
from forecourt.kernel.http.dispatch import VISIT_COOKIE
from forecourt.kernel.http.openapi import document
from forecourt.kernel.http.operation import PUBLIC, Api, Download, Html, Keyed, Request, SentFile, Streamed, action, get, post
from forecourt.kernel.http.sent import MAX_FIELDS, MAX_FIELDS_BYTES, MAX_FILES, Sent, Spool, plain_name, read_form
from forecourt.kernel.http.site import site

BOUNDARY = "----ours"
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def part(name: str, content: bytes, filename: str | None = None, type_: str = "image/png") -> bytes:
    said = f'Content-Disposition: form-data; name="{name}"'
    if filename is not None:
        said += f'; filename="{filename}"\r\nContent-Type: {type_}'
    return f"--{BOUNDARY}\r\n{said}\r\n\r\n".encode() + content + b"\r\n"


END = f"--{BOUNDARY}--\r\n".encode()


def request(*chunks: bytes, kind: str = FORM, length: int | None = None, then: str = "end") -> Request:
    """A request whose body comes in these chunks; `then` it ends, the client leaves, or nothing comes any more."""
    queue: list[dict[str, Any]] = [{"type": "http.request", "body": c, "more_body": True} for c in chunks]
    queue.append({"type": "http.request", "body": b"", "more_body": False} if then == "end" else {"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        if then == "silence" and len(queue) == 1:
            await asyncio.Event().wait()
        return queue.pop(0)

    headers = {b"content-type": kind.encode()} | ({} if length is None else {b"content-length": str(length).encode()})
    return Request({}, receive, headers, {}, "")


async def read(*chunks: bytes, limit: int = 10**6, spool: Spool | None = None, **more: Any) -> Sent:
    return await read_form(request(*chunks, **more), limit, spool or Spool())


# --- reading a form ------------------------------------------------------------------------------------------------------


async def test_a_form_brings_files_onto_the_disk_and_its_text_as_a_query_string(tmp_path: Path) -> None:
    content = bytes(range(256)) * 10_000  # more than is gathered before it is written
    body = part("alt", b"Ein Tennisplatz & mehr") + part("file", content, "court.png") + part("x", b"1") + END
    chunks = [body[at : at + 7_000] for at in range(0, len(body), 7_000)]
    got = await read(*chunks, limit=len(body), spool=Spool(folder=tmp_path))
    (file,) = got.files
    assert (file.field, file.name, file.type, file.size) == ("file", "court.png", "image/png", len(content))
    assert file.file.read() == content
    assert got.fields == b"alt=Ein+Tennisplatz+%26+mehr&x=1"
    assert list(tmp_path.iterdir()) == []  # it has no name: who dies leaves nothing behind
    got.close()
    assert file.file.closed


async def test_a_boundary_may_fall_between_any_two_chunks() -> None:
    body = part("a", b"1") + part("file", b"\r\n--", "f") + END
    for at in range(1, len(body)):
        got = await read(body[:at], body[at:])
        assert got.fields == b"a=1"
        assert got.files[0].file.read() == b"\r\n--"
        got.close()


async def test_a_file_input_that_was_left_empty_is_no_file() -> None:
    got = await read(part("file", b"", "") + part("other", b"", "empty.txt") + END)
    assert [f.field for f in got.files] == ["other"]
    got.close()


@pytest.mark.parametrize(
    ("said", "plain"),
    [
        ("court.png", "court.png"),
        ("../../etc/passwd", "passwd"),
        ("C:\\Users\\ada\\court.png", "court.png"),
        ("..", ""),
        ("/", ""),
        ("a\x00b\r\nc\x1b.png", "abc.png"),
        ("gnp.\u202egpj", "gnp.gpj"),
        ('<b>"x"|*?:.png', "bx.png"),
        ("e\u0301te\u0301.jpg", "été.jpg"),
        ("آ" * 300 + ".png", "آ" * 196 + ".png"),
    ],
)
def test_a_name_is_for_people_and_no_path(said: str, plain: str) -> None:
    assert plain_name(said) == plain


REFUSED: dict[str, tuple[list[bytes], type[Problem], dict[str, Any]]] = {
    "another type": ([b"{}"], UnsupportedMedia, {"kind": "application/json"}),
    "no boundary": ([b"x"], UnsupportedMedia, {"kind": "multipart/form-data"}),
    "no form at all": ([b"hello" * 100], BadRequest, {}),
    "cut short": ([part("file", b"x" * 100, "a")], BadRequest, {}),
    "nothing": ([], BadRequest, {}),
    "headers without end": ([f"--{BOUNDARY}\r\n".encode() + b"X: " + b"y" * 9000], BadRequest, {}),
    "text that is none": ([part("a", b"\xff\xfe") + END], BadRequest, {}),
    "said to be too large": ([part("file", b"", "a") + END], TooLarge, {"length": 10**6 + 1}),
    "too large": ([part("file", b"", "a")[:-2], *[b"x" * 10**5] * 11, b"\r\n" + END], TooLarge, {}),
    "too much text": ([part("a", b"x" * (MAX_FIELDS_BYTES + 1)) + END], TooLarge, {}),
    "too many fields": ([part("a", b"1") * (MAX_FIELDS + 1) + END], TooLarge, {}),
    "too many files": ([part("f", b"1", "a") * (MAX_FILES + 1) + END], TooLarge, {}),
    "too many of both": ([part("a", b"1") * MAX_FIELDS + part("f", b"1", "a") * (MAX_FILES + 1) + END], Problem, {}),
    "client left": ([part("file", b"x" * 100, "a")], BadRequest, {"then": "leave"}),
}


@pytest.mark.parametrize(("chunks", "problem", "more"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_form_or_too_much_is_refused_and_the_connection_ends(
    chunks: list[bytes], problem: type[Problem], more: dict[str, Any]
) -> None:
    with pytest.raises(problem) as refused:
        await read(*chunks, **more)
    assert refused.value.status < 500
    if problem is not UnsupportedMedia:
        assert refused.value.headers["Connection"] == "close"


async def test_as_much_as_is_allowed_is_allowed() -> None:
    text, fields, files = b"x" * MAX_FIELDS_BYTES, part("a", b"1") * MAX_FIELDS, part("f", b"1", "a") * MAX_FILES
    for body in (part("a", text) + END, fields + END, files + END):
        (await read(body, limit=len(body), length=len(body))).close()


async def test_whoever_falls_silent_or_dribbles_is_cut_off() -> None:
    begun = part("file", b"x" * 100, "a")
    with pytest.raises(TooSlow):
        await read(begun, then="silence", spool=Spool(idle_s=0.01))
    with pytest.raises(TooSlow):
        await read(begun, then="silence", spool=Spool(grace_s=0.01))

    async def drop() -> dict[str, Any]:
        await asyncio.sleep(0)
        return {"type": "http.request", "body": b"", "more_body": True}

    dribbling = request(begun)
    dribbling.receive = drop
    with pytest.raises(TooSlow):
        await read_form(dribbling, 10**6, Spool(grace_s=0.01, least_bytes_per_s=10**6))


async def test_after_a_refusal_only_so_much_is_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sent, "LINGER_BYTES", 1000)
    chunks = [b"x" * 500] * 100
    left = request(part("file", b"", "a"), *chunks)
    count = 0
    receive = left.receive

    async def counted() -> dict[str, Any]:
        nonlocal count
        count += 1
        return await receive()

    left.receive = counted
    with pytest.raises(TooLarge):
        await read_form(left, 600, Spool())
    assert 3 <= count < 10


async def test_a_fault_of_ours_lets_the_files_go(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[io.BytesIO] = []

    def unwilling(**_: object) -> io.BytesIO:
        class Full(io.BytesIO):
            def write(self, *_: object) -> int:
                raise OSError("no space left")

        opened.append(Full())
        return opened[0]

    monkeypatch.setattr(sent.tempfile, "TemporaryFile", unwilling)
    with pytest.raises(OSError, match="no space"):
        await read(part("file", b"x", "a") + END)
    assert opened[0].closed


# --- operations ----------------------------------------------------------------------------------------------------------


class Label(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    text: Annotated[str, Meta(max_length=20)] = ""


class Shelf(Api):
    """Takes files, and gives them back."""

    tag = "Shelf"

    def __init__(self) -> None:
        self.files: list[SentFile] = []
        self.closed = asyncio.Event()
        self.reached = asyncio.Event()

    def _took(self, files: list[SentFile]) -> list[tuple[str, str, int]]:
        self.files = files
        return [(f.field, f.file.read().decode(), f.size) for f in files]

    @post("/v1/shelf", status=201, access=PUBLIC, max_body_bytes=1000)
    async def put(self, form: Label, files: list[SentFile]) -> list[str]:
        """Takes a file and a label."""
        return [form.text, *(f"{field}: {text}, {size}" for field, text, size in self._took(files))]

    @post("/v1/shelf/plain", access=PUBLIC)
    async def put_plain(self, files: list[SentFile]) -> int:
        """Takes files alone."""
        return len(self._took(files))

    @action("/shelf", access=PUBLIC, max_body_bytes=1000)
    async def put_by_page(self, form: Label, files: list[SentFile]) -> Html:
        """The same from a page."""
        return Html(f"{form.text} {self._took(files)}")

    @get("/v1/shelf/{how}", access=PUBLIC, content_type="text/plain")
    async def fetch(self, how: str) -> Download:
        """Ten bytes, one way or another."""
        return Download(self._chunks(how), 10, "text/plain", 206 if how == "part" else 200, {"X-Shelf": how})

    @get("/v1/shelf/{how}/made", access=PUBLIC, content_type="text/plain, text/csv")
    async def make(self, how: str) -> Streamed:
        """The same ten bytes, when nobody knows that they are ten."""
        return Streamed(self._chunks(how), "text/csv; charset=utf-8", {"X-Shelf": how})

    @post("/v1/shelf/keyed", access=PUBLIC, keyed=Keyed.YES)
    async def keyed(self) -> Download:
        """A download under a key, which cannot be."""
        return Download(self._chunks("whole"), 10, "text/plain")

    async def _chunks(self, how: str) -> AsyncIterator[bytes]:
        try:
            yield b"01234"
            if how == "broken":
                raise OSError("the disk is gone")
            if how == "endless":
                self.reached.set()
                await asyncio.Event().wait()
            yield b"56789"
        finally:
            self.closed.set()


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.fixture
async def client(desk: Desk, shelf: Shelf) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=site(shelf.operations(), desk.door))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=ISSUER) as client:
        yield client


FILE = {"file": ("a.txt", b"hello", "text/plain")}


async def test_an_operation_gets_the_files_and_the_fields_and_the_files_end_with_it(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    answer = await client.post("/v1/shelf", files=FILE, data={"text": "red"})
    assert (answer.status_code, answer.json()) == (201, ["red", "file: hello, 5"])
    assert shelf.files[0].file.closed
    assert (await client.post("/v1/shelf/plain", files=FILE)).json() == 1


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"files": FILE, "data": {"text": "x" * 21}}, 422),
        ({"files": FILE, "data": {"colour": "red"}}, 422),
        ({"files": {"file": ("a", b"x" * 1001)}}, 413),
        ({"json": {"text": "red"}}, 415),
        ({"content": b"hello", "headers": {"content-type": FORM}}, 400),
    ],
)
async def test_a_form_with_files_is_checked_like_any_input(client: httpx.AsyncClient, sent: dict[str, Any], status: int) -> None:
    answer = await client.post("/v1/shelf", **sent)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")


async def test_a_pages_form_with_files_carries_the_pages_token(client: httpx.AsyncClient, desk: Desk) -> None:
    cookies = {"Cookie": f"{VISIT_COOKIE}={COOKIE}"}
    taken = await client.post("/shelf", files=FILE, data={"text": "red", "csrf_token": desk.csrf}, headers=cookies)
    assert (taken.status_code, "hello" in taken.text) == (200, True)
    for data in ({"text": "red"}, {"csrf_token": "0" * 40}):
        assert (await client.post("/shelf", files=FILE, data=data, headers=cookies)).status_code == 403
    assert (await client.post("/shelf", data={"csrf_token": desk.csrf}, headers=cookies)).status_code == 415


async def test_a_download_says_how_long_it_is_and_arrives_whole(client: httpx.AsyncClient, shelf: Shelf) -> None:
    answer = await client.get("/v1/shelf/whole")
    assert (answer.status_code, answer.text) == (200, "0123456789")
    assert (answer.headers["content-length"], answer.headers["x-shelf"]) == ("10", "whole")
    assert shelf.closed.is_set()
    assert (await client.get("/v1/shelf/part")).status_code == 206
    head = await client.head("/v1/shelf/whole")
    assert (head.content, head.headers["content-length"]) == (b"", "10")


async def test_a_download_that_breaks_is_not_taken_for_whole(client: httpx.AsyncClient, shelf: Shelf) -> None:
    with pytest.raises(OSError, match="disk is gone"):
        await client.get("/v1/shelf/broken")
    assert shelf.closed.is_set()


async def test_bytes_sent_as_they_are_made_have_no_length_and_break_when_their_source_does(
    client: httpx.AsyncClient, shelf: Shelf
) -> None:
    answer = await client.get("/v1/shelf/whole/made")
    assert (answer.content, answer.headers["x-shelf"]) == (b"0123456789", "whole")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert "content-length" not in answer.headers
    assert shelf.closed.is_set()
    with pytest.raises(OSError, match="the disk is gone"):
        await client.get("/v1/shelf/broken/made")
    head = await client.head("/v1/shelf/whole/made")
    assert (head.status_code, head.content) == (200, b"")


def test_the_document_names_every_type_that_made_bytes_may_have(shelf: Shelf) -> None:
    paths = document(shelf.operations(), version="1", server="http://x")["paths"]
    assert set(paths["/v1/shelf/{how}/made"]["get"]["responses"]["200"]["content"]) == {"text/plain", "text/csv"}
    assert "206" not in paths["/v1/shelf/{how}/made"]["get"]["responses"]
    assert "206" in paths["/v1/shelf/{how}"]["get"]["responses"], "which a file with a length has"


async def run(desk: Desk, shelf: Shelf, send: Any, receive: Any) -> None:
    scope: dict[str, Any] = {
        "type": "http", "method": "GET", "path": "/v1/shelf/endless", "raw_path": b"", "query_string": b"", "headers": [],
    }  # fmt: skip
    await site(shelf.operations(), desk.door)(scope, receive, send)  # type: ignore[arg-type]


async def test_a_client_that_leaves_or_stalls_frees_what_was_read_for_it(
    desk: Desk, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def leave() -> dict[str, Any]:
        await shelf.reached.wait()
        return {"type": "http.disconnect"}

    async def take(_: dict[str, Any]) -> None: ...

    await run(desk, shelf, take, leave)
    assert shelf.closed.is_set()

    async def never(*_: object) -> dict[str, Any]:
        return await asyncio.Event().wait()  # type: ignore[return-value]

    async def stall(message: dict[str, Any]) -> None:
        if message["type"] == "http.response.body":
            await never()

    shelf.closed.clear()
    monkeypatch.setattr(dispatch, "STALLED_S", 0.01)
    with pytest.raises(TimeoutError):
        await run(desk, shelf, stall, never)
    assert shelf.closed.is_set()


async def test_a_download_under_a_key_is_our_mistake(client: httpx.AsyncClient, shelf: Shelf) -> None:
    assert (await client.post("/v1/shelf/keyed", headers={"Idempotency-Key": "k1"})).status_code == 500


async def test_over_a_real_connection_the_answer_arrives_and_the_connection_ends(desk: Desk, shelf: Shelf) -> None:
    desk.door.spool = Spool(idle_s=0.05)
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    config = uvicorn.Config(site(shelf.operations(), desk.door), http="httptools", ws="none", lifespan="off", log_config=None)
    server = uvicorn.Server(config)
    serving = asyncio.create_task(server._serve([listener]))  # pyright: ignore[reportPrivateUsage]
    head = b"POST /v1/shelf HTTP/1.1\r\nHost: x\r\nContent-Type: " + FORM.encode() + b"\r\nContent-Length: 900\r\n\r\n"
    try:
        for sent_first, status in ((head + part("file", b"", "a"), b"408"), (head.replace(b"900", b"90000"), b"413")):
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            writer.write(sent_first)
            answer = await reader.read()  # to the end: whoever sends no more is not waited for
            assert answer.startswith(b"HTTP/1.1 " + status), answer
            assert b"connection: close" in answer
            writer.close()
    finally:
        server.should_exit = True
        await serving


def test_the_document_says_what_is_taken_and_what_comes_back(shelf: Shelf) -> None:
    doc = document(shelf.operations(), version="1", server="http://x")
    taken = doc["paths"]["/v1/shelf"]["post"]
    schema = taken["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(schema["properties"]) == {"file", "text"}
    assert schema["required"] == ["file"]
    assert {"201", "400", "408", "413", "415", "422"} <= set(taken["responses"])
    plain = doc["paths"]["/v1/shelf/plain"]["post"]["requestBody"]["content"]["multipart/form-data"]["schema"]
    assert set(plain["properties"]) == {"file"}
    fetched = doc["paths"]["/v1/shelf/{how}"]["get"]
    assert {"200", "206", "304", "416"} <= set(fetched["responses"])
    assert [p["name"] for p in fetched["parameters"]] == ["how", "Range"]
    assert "Label" not in doc["components"]["schemas"]
