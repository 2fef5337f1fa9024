"""The OpenAPI document as values for reading: what the pages at `/docs` show."""

from __future__ import annotations

from typing import Any

import msgspec

from forecourt.kernel.http.openapi import Document

DEPTH = 4
"""So far a body's parts are spelled out; deeper ones are named."""


class Field(msgspec.Struct, frozen=True):
    """A parameter, or one member of a body. `depth` 0 is the outermost."""

    name: str
    kind: str
    needed: bool
    says: str
    depth: int = 0


class Answer(msgspec.Struct, frozen=True):
    status: str
    says: str
    fields: list[Field] = []


class Entry(msgspec.Struct, frozen=True):
    """One operation. `anchor` is unique on its page."""

    anchor: str
    method: str
    path: str
    summary: str
    description: str
    access: str
    parameters: list[Field]
    body: list[Field]
    answers: list[Answer]


class Chapter(msgspec.Struct, frozen=True):
    """The operations of one tag. `slug` is its address below /docs."""

    title: str
    slug: str
    entries: list[Entry]


def chapters(doc: Document) -> list[Chapter]:
    """By tag, in the document's order."""
    schemas: dict[str, Any] = doc["components"]["schemas"]
    found: dict[str, list[Entry]] = {}
    for path, methods in doc["paths"].items():
        for method, op in methods.items():
            tag = op["tags"][0] if op["tags"] else "System"
            found.setdefault(tag, []).append(_entry(method.upper(), path, op, schemas))
    return [Chapter(tag, tag.lower().replace(" ", "-"), entries) for tag, entries in sorted(found.items())]


def _entry(method: str, path: str, op: Document, schemas: dict[str, Any]) -> Entry:
    security = op["security"]
    if {} in security:
        access = "anyone"
    elif "x-permission" in op:
        access = f"staff with {op['x-permission']}"
    else:
        access = "staff" if len(security) > 1 else "signed in"
    content = op.get("requestBody", {}).get("content", {})
    return Entry(
        anchor=op["operationId"],
        method=method,
        path=path,
        summary=op["summary"].replace("`", ""),
        description=op.get("description", "").replace("`", ""),
        access=access,
        parameters=[
            Field(
                p["name"],
                f"{kind_of(p['schema'], schemas)} in {p['in']}",
                p["required"],
                says_of(p["schema"], p.get("description", "")),
            )
            for p in op.get("parameters", ())
        ],
        body=[f for media in content.values() for f in fields_of(media["schema"], schemas)],
        answers=[_answer(status, response, schemas) for status, response in op["responses"].items()],
    )


def _answer(status: str, response: Document, schemas: dict[str, Any]) -> Answer:
    fields: list[Field] = []
    if status < "400":
        fields = [
            f for media in response.get("content", {}).values() if "schema" in media for f in fields_of(media["schema"], schemas)
        ]
    return Answer(status, response["description"].replace("`", ""), fields)


def fields_of(schema: Document, schemas: dict[str, Any], depth: int = 0) -> list[Field]:
    """The members of an object, parts indented below it."""
    schema = _resolved(schema, schemas)
    if schema.get("type") == "array":
        items = schema.get("items")  # false after `prefixItems`: a list of fixed length
        return fields_of(items, schemas, depth) if isinstance(items, dict) and depth < DEPTH else []
    out: list[Field] = []
    needed = set(schema.get("required", ()))
    for name, inner in schema.get("properties", {}).items():
        out.append(Field(name, kind_of(inner, schemas), name in needed, says_of(inner), depth))
        part = _part(inner, schemas)
        if part is not None and depth + 1 < DEPTH:
            out += fields_of(part, schemas, depth + 1)
    return out


def _part(schema: Document, schemas: dict[str, Any]) -> Document | None:
    """The object inside a member: itself, an array's item, the one thing that is not null."""
    schema = _resolved(schema, schemas)
    if "anyOf" in schema:
        rest = [s for s in schema["anyOf"] if s != {"type": "null"}]
        return _part(rest[0], schemas) if len(rest) == 1 else None
    if isinstance(schema.get("items"), dict):
        return _part(schema["items"], schemas)
    return schema if "properties" in schema else None


def _resolved(schema: Document, schemas: dict[str, Any]) -> Document:
    while "$ref" in schema:
        schema = schemas[schema["$ref"].rsplit("/", 1)[1]]
    return schema


def kind_of(schema: Document, schemas: dict[str, Any]) -> str:  # noqa: PLR0911 - one return per shape
    """A schema in a word or two: `uuid`, `list of Slot`, `one of active, suspended`, `integer or null`."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        resolved = schemas[name]
        return kind_of(resolved, schemas) if "enum" in resolved else name
    if "anyOf" in schema:
        return " or ".join(kind_of(s, schemas) for s in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(str(v) for v in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    kind = schema.get("type", "any")
    if kind == "array":
        if "prefixItems" in schema:
            return "list of " + str(len(schema["prefixItems"]))
        return "list of " + kind_of(schema["items"], schemas) if isinstance(schema.get("items"), dict) else "list"
    return schema.get("format", kind) if kind == "string" else str(kind)


def says_of(schema: Document, description: str = "") -> str:
    """Bounds and default in words, after the description."""
    parts = [description or schema.get("description", "")]
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and high is not None:
        parts.append(f"{low} to {high}")
    elif low is not None:
        parts.append(f"at least {low}")
    if "multipleOf" in schema:
        parts.append(f"in steps of {schema['multipleOf']}")
    if "maxLength" in schema:
        parts.append(f"at most {schema['maxLength']} characters")
    if "maxItems" in schema:
        parts.append(f"at most {schema['maxItems']} entries")
    if schema.get("default") not in (None, [], {}, ""):
        parts.append(f"default {schema['default']}")
    return "; ".join(p for p in parts if p).replace("`", "")
