"""The OpenAPI 3.1 document, read from the same declarations that are enforced."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, cast, get_args, get_origin
from uuid import UUID

import msgspec
from msgspec import inspect

from forecourt.kernel.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    Invalid,
    MethodNotAllowed,
    NotFound,
    PreconditionFailed,
    Problem,
    RangeNotSatisfiable,
    TooLarge,
    TooManyRequests,
    TooSlow,
    Unauthenticated,
    Unavailable,
    UnsupportedMedia,
)
from forecourt.kernel.http.decode import nothing_needed
from forecourt.kernel.http.operation import (
    AccessKind,
    Download,
    Html,
    Keyed,
    Kind,
    Operation,
    Raw,
    Redirect,
    Streamed,
    reply_body,
    shown_body,
)

MULTIPART = "multipart/form-data"
REF = "#/components/schemas/{name}"
Document = dict[str, Any]

_PATH_PARAM = re.compile(r"\{(\w+)\}")
_NAME = re.compile(r"[^A-Za-z0-9._-]+")


def document(operations: Sequence[Operation], *, version: str, server: str) -> Document:
    """The whole document. Schema names are class names; two classes of one name get their module in front."""
    api = [op for op in operations if op.declared.kind is Kind.API]
    types = _types(api)
    schemas, components = msgspec.json.schema_components([t for _, t in types], ref_template=REF)
    _name_times([t for _, t in types], components)
    by_type = {key: schema for (key, _), schema in zip(types, schemas, strict=True)}
    paths: dict[str, Any] = {}
    for op in sorted(api, key=lambda o: (o.path, o.method)):
        paths.setdefault(op.path, {})[op.method.lower()] = _operation(op, by_type, components)
    queries = {cast("type", kind).__name__ for op in api for kind in (op.query, op.form) if kind is not None}
    kept = {name: schema for name, schema in components.items() if name not in queries}
    doc: Document = {
        "openapi": "3.1.0",
        "info": {
            "title": "Forecourt",
            "version": version,
            "description": "Find, book and pay for places. Conventions: times are UTC, money is integer minor units, "
            "errors are RFC 9457 problems with a stable `code`, lists are paged by cursor.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": server}],
        "tags": [{"name": tag} for tag in sorted({op.tag for op in api if op.tag})],
        "paths": paths,
        "components": {
            "schemas": kept | {"Problem": _PROBLEM},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"},
                "api_key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
            },
        },
    }
    return _clean(doc)


_PROBLEM: Document = {
    "title": "Problem",
    "description": "RFC 9457 problem details. `code` is stable; `title` and `detail` are for people.",
    "type": "object",
    "required": ["type", "title", "status", "code"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string"},
        "status": {"type": "integer", "minimum": 400, "maximum": 599},
        "code": {"type": "string"},
        "detail": {"type": "string"},
        "trace_id": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["path", "message"],
                "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
            },
        },
    },
}


def _types(api: Sequence[Operation]) -> list[tuple[str, Any]]:
    found: dict[str, Any] = {}
    for op in api:
        for kind in (op.body, op.query, op.form, shown_body(op)):
            if (
                kind is not None
                and not any(kind is k for k in (Raw, Html, Redirect, Download, Streamed))
                and not _is_stream(kind)
            ):
                found.setdefault(_key(kind), kind)
    return list(found.items())


def _name_times(types: Sequence[Any], components: dict[str, Any]) -> None:
    """Says `date-time` of every field that is one. msgspec says it only where a time without an offset is refused, as it is in
    requests; what the house answers has one always."""
    waiting: list[Any] = list(inspect.multi_type_info(types))
    seen: set[type] = set()
    while waiting:
        info = waiting.pop()
        if isinstance(info, inspect.StructType) and info.cls not in seen:
            seen.add(info.cls)
            full = f"{info.cls.__module__}.{info.cls.__qualname__}"
            properties = components.get(full, components.get(info.cls.__name__, {})).get("properties", {})
            for field in info.fields:
                waiting.append(field.type)
                _name_time(properties.get(field.encode_name, {}), field.type)
        elif not isinstance(info, inspect.StructType):
            waiting += _inside(info)


def _name_time(schema: Document, info: inspect.Type) -> None:
    """In the schema of one field; what it refers to has a component of its own."""
    while isinstance(info, inspect.Metadata):
        info = info.type
    match info:
        case inspect.DateTimeType() if schema.get("type") == "string":
            schema["format"] = "date-time"
        case inspect.UnionType(types=types) if inspect.StrType not in {type(t) for t in types}:
            for kind in types:
                for variant in schema.get("anyOf", ()):
                    _name_time(variant, kind)
        case inspect.ListType(item_type=item) if schema.get("type") == "array":
            _name_time(schema.get("items", {}), item)
        case inspect.DictType(value_type=value) if isinstance(schema.get("additionalProperties"), dict):
            _name_time(schema["additionalProperties"], value)
        case _:
            pass


def _inside(info: inspect.Type) -> list[inspect.Type]:
    """The types that a type is made of."""
    match info:
        case inspect.Metadata(type=inner):
            return [inner]
        case inspect.UnionType(types=types):
            return list(types)
        case inspect.ListType(item_type=item) | inspect.VarTupleType(item_type=item):
            return [item]
        case inspect.TupleType(item_types=items):
            return list(items)
        case inspect.DictType(value_type=value):
            return [value]
        case _:
            return []


def _key(kind: object) -> str:
    return repr(kind)


def _is_stream(kind: object) -> bool:
    return getattr(kind, "__name__", "") == "EventStream"


def _operation(op: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> Document:
    declared = op.declared
    out: Document = {
        "operationId": f"{op.tag.lower().replace(' ', '_')}_{op.name}" if op.tag else op.name,
        "summary": op.summary,
        "tags": [op.tag] if op.tag else [],
        "responses": _responses(op, schemas),
    }
    if op.description:
        out["description"] = op.description
    parameters = [_path_parameter(name, op.path_types[name]) for name in _PATH_PARAM.findall(op.path)]
    if op.query is not None:
        parameters += _query_parameters(schemas[_key(op.query)], components)
    if declared.keyed is Keyed.YES:
        parameters.append(
            {
                "name": "Idempotency-Key",
                "in": "header",
                "required": False,
                "description": "Sent again with the same body, it replays the first answer for 24 hours",
                "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[\\x20-\\x7e]+$"},
            }
        )
    if shown_body(op) is Download:
        parameters.append(
            {
                "name": "Range",
                "in": "header",
                "required": False,
                "description": "One range of bytes, such as `bytes=0-1023`",
                "schema": {"type": "string", "maxLength": 100, "pattern": "^bytes=[0-9]*-[0-9]*$"},
            }
        )
    if "if_match" in op.wants:
        parameters.append(
            {
                "name": "If-Match",
                "in": "header",
                "required": False,
                "description": 'The `version` that was read, such as `"3"`',
                "schema": {"type": "string", "pattern": '^(W/)?"[0-9]{1,9}"$'},
            }
        )
    if parameters:
        out["parameters"] = parameters
    body = _body(op, schemas, components)
    if body is not None:
        out["requestBody"] = body
    kind = declared.access.kind
    if kind is AccessKind.PUBLIC:
        out["security"] = [{}, {"bearer": []}]
    elif kind is AccessKind.STAFF:
        out["security"] = [{"bearer": []}, {"api_key": []}]
        if declared.access.permission:
            out["x-permission"] = declared.access.permission
    else:
        out["security"] = [{"bearer": []}]
    return out


def _body(op: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> Document | None:
    """What a request carries: JSON, a form with files, or bytes; None for nothing."""
    if "files" in op.wants:
        return {"required": True, "content": {MULTIPART: {"schema": _form(op, schemas, components)}}}
    if op.declared.takes:
        return {"required": True, "content": {op.declared.takes: {"schema": {"type": "string", "format": "binary"}}}}
    if op.body is None:
        return None
    return {"required": not nothing_needed(op.body), "content": {"application/json": {"schema": schemas[_key(op.body)]}}}


def _form(op: Operation, schemas: dict[str, Any], components: dict[str, Any]) -> Document:
    """A form with files: the fields of its struct, and `file`."""
    file: Document = {"type": "string", "format": "binary", "contentMediaType": "application/octet-stream"}
    properties: Document = {"file": file}
    if op.form is not None:
        schema = schemas[_key(op.form)]
        if "$ref" in schema:
            schema = components[schema["$ref"].rsplit("/", 1)[1]]
        properties |= schema.get("properties", {})
    return {"type": "object", "properties": properties, "required": ["file"], "additionalProperties": False}


def _path_parameter(name: str, kind: type) -> Document:
    schema: Document = (
        {"type": "string", "format": "uuid"} if kind is UUID else {"type": "string", "minLength": 1, "maxLength": 200}
    )
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _query_parameters(schema: Document, components: dict[str, Any]) -> list[Document]:
    if "$ref" in schema:
        schema = components[schema["$ref"].rsplit("/", 1)[1]]
    required = set(schema.get("required", ()))
    parameters: list[Document] = []
    for name, inner in schema.get("properties", {}).items():
        bare = {k: v for k, v in inner.items() if k != "default" or v is not None}
        variants = [v for v in bare.get("anyOf", ()) if v != {"type": "null"}]
        if "anyOf" in bare and len(variants) == 1:
            bare = {k: v for k, v in bare.items() if k not in ("anyOf", "default")} | variants[0]
        parameter: Document = {"name": name, "in": "query", "required": name in required, "schema": bare}
        if "description" in bare:
            parameter["description"] = bare.pop("description")
        if bare.get("type") == "array":
            parameter |= {"style": "form", "explode": False}
        parameters.append(parameter)
    return parameters


def _responses(op: Operation, schemas: dict[str, Any]) -> Document:
    declared = op.declared
    kind = shown_body(op)
    status = declared.status
    out: Document = {}
    if kind is None or kind is type(None):
        out[str(204 if status == 200 else status)] = {"description": "Done"}
    elif kind is Streamed:
        out[str(status)] = {"description": "Done", "content": {media: {} for media in declared.content_type.split(", ")}}
    elif kind is Raw or kind is Html or _is_stream(kind):
        media = "text/event-stream" if _is_stream(kind) else declared.content_type
        out[str(status)] = {"description": "Done", "content": {media: {}}}
    elif kind is Download:
        out |= _download(declared.content_type)
    elif kind is Redirect:
        out["303"] = {"description": "Go there"}
    else:
        out[str(status)] = {"description": "Done", "content": {declared.content_type: {"schema": schemas[_key(kind)]}}}
    by_status: dict[int, list[type[Problem]]] = {}
    for problem in _problems(op):
        by_status.setdefault(problem.status, []).append(problem)
    for code, problems in sorted(by_status.items()):
        names = sorted({p.code for p in problems})
        out[str(code)] = {
            "description": f"{problems[0].title} (`{'`, `'.join(names)}`)",
            "content": {"application/problem+json": {"schema": {"$ref": REF.format(name="Problem")}}},
        }
    return out


def _download(content_type: str) -> Document:
    return {
        "200": {"description": "The whole", "content": {content_type: {}}},
        "206": {"description": "The part that `Range` asks for", "content": {content_type: {}}},
        "304": {"description": "It is what `If-None-Match` names"},
    }


def _problems(op: Operation) -> list[type[Problem]]:
    """Every problem the operation may answer: its own, and those that its declaration brings with it."""
    found: list[type[Problem]] = [*op.declared.problems, BadRequest, MethodNotAllowed, Invalid, Unavailable]
    kind = op.declared.access.kind
    found.append(Unauthenticated)
    if kind is not AccessKind.PUBLIC or op.declared.method != "GET":
        found.append(Forbidden)
    if op.path_types or op.body or op.query or kind in (AccessKind.STAFF, AccessKind.ADMIN):
        found.append(NotFound)  # ids come in paths, bodies and queries alike
    if shown_body(op) is Download:
        found.append(RangeNotSatisfiable)
    if op.declared.method != "GET":
        found += [TooLarge, TooSlow, UnsupportedMedia]
    if op.declared.limits:
        found.append(TooManyRequests)
    if op.declared.keyed is Keyed.YES:
        found.append(Conflict)
    if "if_match" in op.wants:
        found.append(PreconditionFailed)
    return found


def _clean(value: Any) -> Any:
    """Component names without the characters that generics put into them."""
    names: dict[str, str] = {}
    components = value["components"]["schemas"]
    for name in components:
        clean = _NAME.sub("_", name).strip("_")
        names[name] = clean
    value["components"]["schemas"] = {names[name]: schema for name, schema in components.items()}

    def walk(node: Any) -> Any:
        if isinstance(node, dict):
            ref = node.get("$ref")
            if isinstance(ref, str):
                name = ref.rsplit("/", 1)[1]
                return {**node, "$ref": REF.format(name=names.get(name, name))}
            return {k: walk(v) for k, v in node.items()}
        if isinstance(node, list):
            return [walk(v) for v in node]
        return node

    return portable(walk(value))


def portable(schemas: Any) -> Any:
    """With patterns as JSON Schema has them (ECMA-262), where `$` is the very end, and `\\Z` is nothing or a fault."""
    if isinstance(schemas, dict):
        members = cast("dict[str, Any]", schemas)
        return {k: _pattern(v) if k == "pattern" and isinstance(v, str) else portable(v) for k, v in members.items()}
    if isinstance(schemas, list):
        return [portable(v) for v in cast("list[Any]", schemas)]
    return schemas


def _pattern(python: str) -> str:
    return python.removesuffix("\\Z") + "$" if python.endswith("\\Z") else python


def answer_type(operation: Operation) -> object:
    """The type of an operation's answer, for tests."""
    returns = reply_body(operation.returns)
    return get_args(returns) if get_origin(returns) is not None else returns
