"""The AsyncAPI document has the socket, and nothing in it points nowhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import jsonschema_rs

from forecourt.realtime.document import HEARD, SENT
from forecourt.realtime.frames import decode_op
from tools.clients.source import read_document


async def test_the_document_has_the_socket_beside_the_events(client: httpx.AsyncClient) -> None:
    document: Any = (await client.get("/asyncapi.json")).json()
    assert "booking.confirmed.v1" in document["channels"]
    socket = document["channels"]["socket"]
    assert socket["address"] == "/v1/socket"
    assert all(f"`{p}`" in socket["description"] for p in ("room", "inbox", "booking", "venue"))
    assert len(socket["messages"]) == len(SENT) + len(HEARD)
    assert {m.rsplit(".", 1)[1] for m in socket["messages"]} >= {"subscribe", "send", "event", "reset", "bye"}
    for reference in _references(document):
        place = document
        for step in reference.removeprefix("#/").split("/"):
            place = place[step]
    assert len(document["operations"]["socket.hear"]["messages"]) == len(HEARD)


async def test_every_pattern_is_one_that_others_can_read(client: httpx.AsyncClient) -> None:
    """JSON Schema's patterns are ECMAScript's: where one is none, validators refuse the whole schema."""
    readable = jsonschema_rs.validator_for({"type": "string", "format": "regex"}, validate_formats=True)
    assert not readable.is_valid(r"^[A-Z]{3}\Z"), "the control: Python's own way to say the end"
    for place in ("/openapi.json", "/asyncapi.json"):
        patterns = list(_patterns((await client.get(place)).json()))
        assert patterns
        assert [pattern for pattern in patterns if not readable.is_valid(pattern)] == [], place


async def test_clients_are_made_from_the_document_that_a_house_answers(client: httpx.AsyncClient) -> None:
    answered: Any = (await client.get("/openapi.json")).json()
    made = read_document()
    assert {path: verbs for path, verbs in answered["paths"].items() if not path.startswith("/dev/")} == made["paths"]
    for name, schema in made["components"]["schemas"].items():
        assert answered["components"]["schemas"][name] == schema
    assert len(made["paths"]) > 100


def test_what_the_document_says_clients_send_is_understood() -> None:
    examples = {"topic": "room:x", "client_id": "c", "seq": 1, "state": "away", "token": "t"}
    for kind in SENT:
        frame = {"op": kind.__struct_config__.tag} | {f: examples[f] for f in kind.__struct_fields__ if f in examples}
        assert decode_op(json.dumps(frame)).op == kind.__struct_config__.tag


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        found = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        return found + [r for value in node.values() for r in _references(value)]
    return [r for value in node for r in _references(value)] if isinstance(node, list) else []


def _patterns(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "pattern" and isinstance(value, str):
                yield value
            else:
                yield from _patterns(value)
    elif isinstance(node, list):
        for value in node:
            yield from _patterns(value)
