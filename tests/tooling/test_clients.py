"""What is generated from the OpenAPI document says what the document says, and a difference is found."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from forecourt import survey
from forecourt.kernel.http.operation import Kind
from tools import generate_client
from tools.clients import model
from tools.clients.source import read_document

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "clients" / "python"
COLLECTION = ROOT / "clients" / "postman" / "forecourt.postman_collection.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return read_document()


def test_the_clients_say_what_the_document_says_and_a_difference_is_found(document: dict[str, Any]) -> None:
    assert generate_client.differences(generate_client.files(document)) == []

    changed = copy.deepcopy(document)
    del changed["paths"]["/v1/me"]
    different = {str(path) for path in generate_client.differences(generate_client.files(changed))}
    assert {"clients/js/operations.js", "clients/postman/forecourt.postman_collection.json"} < different
    assert "clients/python/src/forecourt_client/_sync.py" in different
    assert "clients/python/src/forecourt_client/problems.py" not in different


@pytest.mark.parametrize(("place", "schema"), [("Money", {"type": "mystery"}), ("Slot", {"oneOf": []})])
def test_a_form_that_no_generator_knows_is_refused(document: dict[str, Any], place: str, schema: dict[str, Any]) -> None:
    changed = copy.deepcopy(document)
    changed["components"]["schemas"][place]["properties"]["strange"] = schema
    with pytest.raises(model.Surprise):
        generate_client.files(changed)


def test_times_are_said_to_be_times(document: dict[str, Any]) -> None:
    booking = document["components"]["schemas"]["BookingOut"]["properties"]
    assert booking["start"] == {"type": "string", "format": "date-time"}
    assert {"type": "string", "format": "date-time"} in booking["hold_expires_at"]["anyOf"]
    assert booking["note"]["anyOf"][0] == {"type": "string"}


# --- the collection for Postman ------------------------------------------------------------------------------------------


class Strict(msgspec.Struct, forbid_unknown_fields=True):
    """Format 2.1 as far as the collection uses it."""


class Named(Strict):
    key: str
    value: str
    type: str = "string"
    description: str = ""
    disabled: bool = False


class Field(Strict):
    key: str
    type: str
    value: str = ""
    src: None = None
    disabled: bool = False


class Url(Strict):
    raw: str
    host: list[str]
    path: list[str]
    variable: list[Named] = []
    query: list[Named] = []


class Body(Strict):
    mode: str
    raw: str = ""
    options: dict[str, dict[str, str]] = {}
    formdata: list[Field] = []
    file: dict[str, None] = {}


class Auth(Strict):
    type: str
    bearer: list[Named] = []


class Request(Strict):
    method: str
    header: list[Named]
    url: Url
    body: Body | None = None
    auth: Auth | None = None
    description: str = ""


class Answer(Strict):
    name: str
    originalRequest: Request  # noqa: N815 - the format's word
    code: int
    header: list[Named]
    body: str


class Script(Strict):
    type: str
    exec: list[str]


class Listener(Strict):
    listen: str
    script: Script


class Item(Strict):
    name: str
    request: Request
    event: list[Listener] = []
    response: list[Answer] = []


class Folder(Strict):
    name: str
    item: list[Item]
    description: str = ""


class Info(Strict):
    name: str
    description: str
    version: str
    schema: str


class Collection(Strict):
    info: Info
    auth: Auth
    variable: list[Named]
    item: list[Folder]


@pytest.fixture(scope="module")
def collection() -> Collection:
    return msgspec.json.decode(COLLECTION.read_bytes(), type=Collection)


def routes() -> set[str]:
    """What the program answers, from its declarations: `POST /v1/bookings/:/cancel`."""
    survey.load()
    declared = [d for api in survey.every_api() if api.__module__.startswith("forecourt.") for _, d in api.declared()]
    return {f"{d.method} {re.sub(r'{.*?}', ':', d.path)}" for d in declared if d.kind is Kind.API}


def asked(request: Request) -> str:
    return f"{request.method} /{'/'.join(':' if step.startswith(':') else step for step in request.url.path)}"


def test_every_request_of_the_collection_is_a_route_and_every_route_has_one(collection: Collection) -> None:
    journey, *folders = collection.item
    known = routes()
    assert {asked(item.request) for item in journey.item} <= known
    requested = [asked(item.request) for folder in folders for item in folder.item]
    assert sorted(requested) == sorted(route for route in known if " /dev/" not in route)
    assert "POST /v1/bookings/:/undo" not in known


def test_everything_that_the_collection_refers_to_is_there(collection: Collection) -> None:
    text = COLLECTION.read_text()
    variables = {v.key for v in collection.variable}
    assert set(re.findall(r"\{\{(\w+)\}\}", text)) == variables
    for folder in collection.item:
        for item in folder.item:
            url = item.request.url
            assert [s[1:] for s in url.path if s.startswith(":")] == [v.key for v in url.variable]
            assert url.raw.split("?")[0] == f"{url.host[0]}/{'/'.join(url.path)}"
    names = {item.name for item in collection.item[0].item}
    assert set(re.findall(r'setNextRequest\(\\"(.*?)\\"\)', text)) <= names


def test_the_examples_are_what_the_document_allows(collection: Collection, document: dict[str, Any]) -> None:
    paths: dict[str, Any] = {}
    for path, verbs in document["paths"].items():
        for verb, declared in verbs.items():
            paths[f"{verb.upper()} {re.sub(r'{.*?}', ':', path)}"] = declared
    checked = 0
    for folder in collection.item[1:]:
        for item in folder.item:
            declared = paths[asked(item.request)]
            if item.request.body is not None and item.request.body.mode == "raw":
                schema = declared["requestBody"]["content"]["application/json"]["schema"]
                sent = re.sub(r"\{\{\w+\}\}", "01a1fe16-28c7-74f4-b878-1d689d616694", item.request.body.raw)
                assert faults(schema, sent, document) == [], item.name
                checked += 1
            for answer in item.response:
                schema = declared["responses"][str(answer.code)]["content"]["application/json"]["schema"]
                assert faults(schema, answer.body, document) == [], item.name
                checked += 1
    assert checked > 150
    new = {"$ref": "#/components/schemas/NewBooking"}
    assert faults(new, '{"resource_id": "here"}', document) != []


def faults(schema: dict[str, Any], text: str, document: dict[str, Any]) -> list[str]:
    whole = {**schema, "components": document["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    return [error.message for error in validator.iter_errors(json.loads(text))]


# --- the package ---------------------------------------------------------------------------------------------------------


def test_the_wheel_of_the_python_client_is_typed_licensed_and_whole(tmp_path: Path) -> None:
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "clients/python"]
    sources = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for name in sources:
        to = tmp_path / "source" / Path(name).relative_to("clients/python")
        to.parent.mkdir(parents=True, exist_ok=True)
        to.write_bytes((ROOT / name).read_bytes())
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(tmp_path)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path / "source", check=True, capture_output=True, timeout=120)
    (wheel,) = tmp_path.glob("forecourt_client-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        carried = set(archive.namelist())
    wanted = {
        path.relative_to(PACKAGE / "src").as_posix() for path in (PACKAGE / "src").rglob("*") if path.suffix in (".py", ".typed")
    }
    assert wanted <= carried
    assert "forecourt_client/py.typed" in carried
    assert any(name.endswith("/LICENSE") for name in carried)
    assert not any(name.startswith("forecourt/") for name in carried)
