"""The OpenAPI document as what clients need to know of it: operations by group, and schemas with readable names."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

Schema = dict[str, Any]
METHODS = ("get", "post", "put", "patch", "delete")
PROBLEM = "Problem"
MULTIPART = "multipart/form-data"
JSON = "application/json"

_CODES = re.compile(r"\((`\w+`(?:, `\w+`)*)\)\Z")
_MODULE = re.compile(r"forecourt\.(?:modules\.)?(\w+)\..*?(\w+)\Z")


class Surprise(Exception):
    """The document has a form that no generator knows; say there what it shall become."""


@dataclass(frozen=True)
class Parameter:
    name: str
    schema: Schema
    needed: bool
    says: str


@dataclass(frozen=True)
class Operation:
    """`group` and `name` make the operation's id: `booking` and `book`."""

    id: str
    group: str
    name: str
    verb: str
    path: str
    summary: str
    description: str
    permission: str
    public: bool
    in_path: list[Parameter]
    in_query: list[Parameter]
    keyed: bool
    takes_version: bool
    body: Schema | None
    body_needed: bool
    form: Schema | None
    raw_type: str
    """The media type of a body that is neither JSON nor a form; empty for none."""
    status: int
    answer: Schema | None
    """Of the JSON; None when there is none."""
    answer_types: list[str]
    """Media types of an answer without a schema."""
    partial: bool
    """Whether it answers ranges and knows If-None-Match."""
    codes: dict[int, list[str]]

    @property
    def paged(self) -> bool:
        return {"limit", "cursor"} <= {p.name for p in self.in_query}


@dataclass
class Model:
    """Everything in the document, in its order."""

    version: str
    server: str
    title: str
    tags: dict[str, str]
    """The heading of each group."""
    operations: list[Operation]
    schemas: dict[str, Schema]
    asked: set[str] = field(default_factory=set[str])
    """Names of schemas that stand somewhere in a request."""
    answered: set[str] = field(default_factory=set[str])
    """… in an answer."""

    def groups(self) -> dict[str, list[Operation]]:
        found: dict[str, list[Operation]] = {}
        for operation in sorted(self.operations, key=lambda o: (o.group, o.name)):
            found.setdefault(operation.group, []).append(operation)
        return found

    def codes(self) -> dict[str, int]:
        """Every code that an operation may answer with, and its status. Raises Surprise for one with two."""
        found: dict[str, int] = {}
        for operation in self.operations:
            for status, codes in operation.codes.items():
                for code in codes:
                    if found.setdefault(code, status) != status:
                        raise Surprise(f"{code} is answered with {found[code]} and with {status}")
        return dict(sorted(found.items()))


def read(document: Schema) -> Model:
    """Raises Surprise for what no client would know how to say."""
    names = _names(document["components"]["schemas"])
    named = _renamed(document, names)
    schemas = {names[n]: s for n, s in named["components"]["schemas"].items() if n != PROBLEM}
    operations = [
        _operation(path, verb, declared)
        for path, verbs in named["paths"].items()
        for verb, declared in verbs.items()
        if verb in METHODS
    ]
    model = Model(
        version=named["info"]["version"],
        server=named["servers"][0]["url"],
        title=named["info"]["title"],
        tags={_group(t["name"]): t["name"] for t in named["tags"]},
        operations=operations,
        schemas=schemas,
    )
    for operation in operations:
        for schema in (operation.body, operation.form, *(p.schema for p in operation.in_query)):
            _reach(schema, schemas, model.asked)
        _reach(operation.answer, schemas, model.answered)
    model.schemas = {n: s for n, s in schemas.items() if n in model.asked | model.answered}
    return model


def _names(schemas: Schema) -> dict[str, str]:
    """`forecourt.modules.booking.contract.PayWith`, which has a namesake, becomes `BookingPayWith`."""
    names: dict[str, str] = {}
    for full in schemas:
        match = _MODULE.match(full)
        short = f"{match[1].title().replace('_', '')}{match[2]}" if match else full
        if short in names.values():
            raise Surprise(f"two schemas would be called {short}")
        names[full] = short
    return names


def _renamed(node: Any, names: dict[str, str]) -> Any:
    match node:
        case {"$ref": str(ref), **rest}:
            return {"$ref": names[ref.rsplit("/", 1)[1]], **rest}
        case dict():
            return {k: _renamed(v, names) for k, v in node.items()}
        case list():
            return [_renamed(v, names) for v in node]
        case _:
            return node


def _group(tag: str) -> str:
    return tag.lower().replace(" ", "_")


def _operation(path: str, verb: str, declared: Schema) -> Operation:
    group = _group(declared["tags"][0])
    parameters = declared.get("parameters", [])
    headers = {p["name"] for p in parameters if p["in"] == "header"}
    if headers - {"Idempotency-Key", "If-Match", "Range"}:
        raise Surprise(f"{verb} {path} takes {sorted(headers)}")
    asked = declared.get("requestBody", {})
    content = asked.get("content", {})
    status, answer, types = _answer(declared["responses"])
    other = [t for t in content if t not in (JSON, MULTIPART)]
    return Operation(
        id=declared["operationId"],
        group=group,
        name=declared["operationId"].removeprefix(f"{group}_"),
        verb=verb.upper(),
        path=path,
        summary=declared["summary"],
        description=declared.get("description", ""),
        permission=declared.get("x-permission", ""),
        public={} in declared["security"],
        in_path=[_parameter(p) for p in parameters if p["in"] == "path"],
        in_query=[_parameter(p) for p in parameters if p["in"] == "query"],
        keyed="Idempotency-Key" in headers,
        takes_version="If-Match" in headers,
        body=content[JSON]["schema"] if JSON in content else None,
        body_needed=asked.get("required", False),
        form=content[MULTIPART]["schema"] if MULTIPART in content else None,
        raw_type=other[0] if other else "",
        status=status,
        answer=answer,
        answer_types=types,
        partial="206" in declared["responses"],
        codes=_codes(declared["responses"]),
    )


def _parameter(declared: Schema) -> Parameter:
    return Parameter(declared["name"], declared["schema"], declared["required"], declared.get("description", ""))


def _answer(responses: Schema) -> tuple[int, Schema | None, list[str]]:
    status = min(int(s) for s in responses if int(s) < 400)
    content = responses[str(status)].get("content", {})
    schema = content.get(JSON, {}).get("schema")
    return status, schema, [] if schema is not None else list(content)


def _codes(responses: Schema) -> dict[int, list[str]]:
    """By status, from the description: `That time was just taken (`slot_taken`)`."""
    found: dict[int, list[str]] = {}
    for status, response in responses.items():
        if int(status) < 400:
            continue
        match = _CODES.search(response["description"])
        if match is None:
            raise Surprise(f"{status} names no code: {response['description']}")
        found[int(status)] = re.findall(r"`(\w+)`", match[1])
    return found


def _reach(node: Any, schemas: dict[str, Schema], found: set[str]) -> None:
    """Adds the names of every schema that `node` leads to."""
    match node:
        case {"$ref": str(name)}:
            if name not in found:
                found.add(name)
                _reach(schemas[name], schemas, found)
        case dict():
            for value in node.values():
                _reach(value, schemas, found)
        case list():
            for value in node:
                _reach(value, schemas, found)
        case _:
            pass


# --- forms of schemas ------------------------------------------------------------------------------------------------


def variants(schema: Schema) -> tuple[list[Schema], bool]:
    """What a value may be, and whether it may be null."""
    inner = schema.get("anyOf", [schema])
    kept = [v for v in inner if v.get("type") != "null"]
    return kept, len(kept) < len(inner)


def page_of(name: str, schemas: dict[str, Schema]) -> str | None:
    """The schema of the entries when `name` is a page of a list. Raises Surprise for a page with more than that."""
    schema = schemas[name]
    if not name.startswith("Page_"):
        return None
    if set(schema["properties"]) != {"items", "next_cursor"}:
        raise Surprise(f"{name} is no page")
    return schema["properties"]["items"]["items"]["$ref"]
