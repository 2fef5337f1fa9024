"""The Python client's generated half: models, problems, and operations, sync and async."""

from __future__ import annotations

import keyword
import re
import textwrap
from typing import Any, Literal

from tools.clients.model import Model, Operation, Parameter, Schema, Surprise, page_of, variants

LINE = 130
HEAD = '''"""{says}

Generated from the OpenAPI document by `make clients`; not to be edited.
"""

from __future__ import annotations
'''
BASES = {
    "bad_request": "BadRequest",
    "unauthenticated": "Unauthenticated",
    "payment_required": "PaymentRequired",
    "forbidden": "Forbidden",
    "not_found": "NotFound",
    "method_not_allowed": "MethodNotAllowed",
    "request_timeout": "TooSlow",
    "conflict": "Conflict",
    "gone": "Gone",
    "version_stale": "PreconditionFailed",
    "too_large": "TooLarge",
    "unsupported_media_type": "UnsupportedMedia",
    "range_not_satisfiable": "RangeNotSatisfiable",
    "invalid": "Invalid",
    "rate_limited": "RateLimited",
    "internal": "ServerFault",
    "unavailable": "Unavailable",
    "deadline_exceeded": "DeadlineExceeded",
}
"""The codes whose classes are written by hand, in `errors.py`."""
BY_STATUS = {
    400: "BadRequest",
    401: "Unauthenticated",
    402: "PaymentRequired",
    403: "Forbidden",
    404: "NotFound",
    405: "MethodNotAllowed",
    408: "TooSlow",
    409: "Conflict",
    410: "Gone",
    412: "PreconditionFailed",
    413: "TooLarge",
    415: "UnsupportedMedia",
    416: "RangeNotSatisfiable",
    422: "Invalid",
    429: "RateLimited",
    500: "ServerFault",
    503: "Unavailable",
    504: "DeadlineExceeded",
}

MODELS = """What goes into requests and comes out of answers.

A request's field that is left out is not sent: the house takes its own default, and a change leaves it as it is."""
GROUP = '''class {name}:
    """{says}."""

    def __init__(self, door: {door}) -> None:
        self._door = door
'''
GROUPS = '''class Operations:
    """The groups."""

    def __init__(self, door: {door}) -> None:
        self._door = door
{groups}
'''

Mode = Literal["sync", "async"]


def render(model: Model) -> dict[str, str]:
    """File names in the package, and what is in them, before formatting."""
    return {
        "models.py": _models(model),
        "problems.py": _problems(model),
        "_sync.py": _operations(model, "sync"),
        "_async.py": _operations(model, "async"),
    }


# --- models ----------------------------------------------------------------------------------------------------------


def _models(model: Model) -> str:
    queries = {n for n in model.schemas if n not in model.answered | model.asked}
    enums, structs = [], []
    for name, schema in sorted(model.schemas.items()):
        if name in queries or page_of(name, model.schemas) is not None:
            continue
        if "enum" in schema:
            enums.append(_enum(name, schema))
        elif schema.get("type") == "object":
            structs.append(_struct(name, schema, model))
        else:
            raise Surprise(f"{name}: {schema}")
    return "\n\n".join(
        [
            HEAD.format(says=MODELS)
            + """
from datetime import date, datetime
from enum import IntEnum
from typing import Any, Literal
from uuid import UUID

import msgspec
from msgspec import UNSET, Struct, UnsetType

from forecourt_client._words import Word
""",
            *enums,
            *structs,
        ]
    )


def _enum(name: str, schema: Schema) -> str:
    values: list[Any] = schema["enum"]
    whole = all(isinstance(v, int) for v in values)
    lines = [f"class {name}({'IntEnum' if whole else 'Word'}):", *_doc(schema.get("description", ""), 4)]
    if len(lines) > 1:
        lines.append("")
    lines += [f"    {_member(v)} = {v!r}" for v in values]
    return "\n".join(lines) + "\n"


def _member(value: object) -> str:
    name = re.sub(r"\W+", "_", str(value)).strip("_").upper()
    return f"_{name}" if not name or name[0].isdigit() else name


def _struct(name: str, schema: Schema, model: Model) -> str:
    fields: Schema = schema.get("properties", {})
    needed = set(schema.get("required", ()))
    renamed = {field_name(f): f for f in fields if field_name(f) != f}
    rename = f", rename={renamed!r}" if renamed else ""
    lines = [
        f"class {name}(Struct, frozen=True, kw_only=True, omit_defaults=True{rename}):",
        *_doc(schema.get("description", ""), 4),
    ]
    if len(lines) > 1 and fields:
        lines.append("")
    for original, inner in fields.items():
        lines.append(f"    {_field(original, inner, original in needed, name in model.answered, model)}")
        lines += _doc(_says(inner), 4)
    if not fields and len(lines) == 1:
        lines.append("    pass")
    return "\n".join(lines) + "\n"


def _says(schema: Schema) -> str:
    """What a field means: its own words, or those of the one thing it may be."""
    inner, _ = variants(schema)
    found = schema.get("description", "")
    return found or (inner[0].get("description", "") if len(inner) == 1 else "")


def field_name(name: str) -> str:
    return f"{name}_" if keyword.iskeyword(name) else name


def _field(original: str, schema: Schema, needed: bool, answered: bool, model: Model) -> str:
    name, kind = field_name(original), type_of(schema, model)
    if needed:
        return f"{name}: {kind}"
    if "default" in schema:
        return f"{name}: {kind} = {_default(schema, model)}"
    # Of an answer that leaves a list out, the list is empty; in a request, left out and empty are two things.
    if answered and schema.get("type") == "array":
        return f"{name}: {kind} = []"
    bare = kind.removesuffix(" | None")
    return f"{name}: {bare} | UnsetType{kind[len(bare) :]} = UNSET"


def _default(schema: Schema, model: Model) -> str:
    value = schema["default"]
    inner, _ = variants(schema)
    target = model.schemas.get(inner[0].get("$ref", ""), {}) if len(inner) == 1 else {}
    if value is not None and "enum" in target:
        return f"{inner[0]['$ref']}.{_member(value)}"
    if isinstance(value, dict) and target:
        return (
            f"msgspec.field(default_factory=lambda: {inner[0]['$ref']}())  # noqa: PLW0108 - it may stand below"
            if _is_plain(value, target)
            else _unknown_default(schema)
        )
    return repr(value)


def _is_plain(value: Schema, schema: Schema) -> bool:
    """Whether the struct with every default is meant; a default list that is made anew does not stand in the document."""
    members = schema["properties"]
    return all(inner == members[name].get("default", []) for name, inner in value.items())


def _unknown_default(schema: Schema) -> str:
    raise Surprise(f"a default that is not written down here: {schema}")


def type_of(schema: Schema, model: Model, prefix: str = "") -> str:
    """A schema as an annotation. `prefix` stands before the names of models."""
    inner, nullable = variants(schema)
    kinds = list(dict.fromkeys(_one(s, model, prefix) for s in inner))
    return " | ".join([*kinds, "None"] if nullable else kinds)


def _one(schema: Schema, model: Model, prefix: str) -> str:  # noqa: PLR0911 - a table
    match schema:
        case {"$ref": str(name)}:
            entries = page_of(name, model.schemas)
            return f"{prefix}{name}" if entries is None else f"Page[{prefix}{entries}]"
        case {"enum": list(values)}:
            return f"Literal[{', '.join(repr(v) for v in values)}]"
        case {"type": "array", "prefixItems": list(items)}:
            return f"tuple[{', '.join(type_of(i, model, prefix) for i in items)}]"
        case {"type": "array"}:
            return f"list[{type_of(schema.get('items', {}), model, prefix)}]"
        case {"type": "object"}:
            values = schema.get("additionalProperties", {})
            return f"dict[str, {type_of(values, model, prefix) if isinstance(values, dict) else 'Any'}]"
        case {"type": "string"}:
            return {"uuid": "UUID", "date-time": "datetime", "date": "date"}.get(schema.get("format", ""), "str")
        case {"type": "integer"}:
            return "int"
        case {"type": "number"}:
            return "float"
        case {"type": "boolean"}:
            return "bool"
        case _ if not set(schema) - {"description", "default"}:
            return "Any"
        case _:
            raise Surprise(f"no type for {schema}")


def _doc(text: str, indent: int) -> list[str]:
    """A docstring, or nothing."""
    if not text:
        return []
    space = " " * indent
    text = text.replace("\\", "\\\\").replace('"""', "'''")
    paragraphs = [" ".join(p.split()) for p in text.split("\n\n")]
    lines: list[str] = []
    for number, paragraph in enumerate(paragraphs):
        if number:
            lines.append("")
        wrapped = textwrap.wrap(paragraph, LINE - indent - 6, break_long_words=False, break_on_hyphens=False)
        lines += [f"{space}{line}" for line in wrapped]
    if len(lines) == 1:
        closing = " " if lines[0].endswith('"') else ""
        return [f'{space}"""{lines[0].strip()}{closing}"""']
    return [f'{space}"""{lines[0].strip()}', *lines[1:], f'{space}"""']


# --- problems --------------------------------------------------------------------------------------------------------


def problem_name(code: str) -> str:
    return BASES.get(code) or "".join(part.title() for part in code.split("_"))


def _problems(model: Model) -> str:
    codes = {code: status for code, status in model.codes().items() if code not in BASES}
    names = [problem_name(code) for code in codes]
    clash = set(names) & {*BASES.values(), "Problem"}
    if clash:
        raise Surprise(f"{sorted(clash)} have classes of their own in errors.py")
    bases = sorted({BY_STATUS[status] for status in codes.values()})
    parts = [
        HEAD.format(says="A class for every code that the house's operations name, below the class of its status.")
        + f"\nfrom forecourt_client.errors import {', '.join(bases)}\n"
    ]
    for code, status in codes.items():
        parts.append(f'class {problem_name(code)}({BY_STATUS[status]}, code="{code}"):\n    """{status} `{code}`."""\n')
    return "\n\n".join(parts)


# --- operations ------------------------------------------------------------------------------------------------------


def _operations(model: Model, mode: Mode) -> str:
    door = "Door" if mode == "sync" else "AsyncDoor"
    iterator = "Iterator" if mode == "sync" else "AsyncIterator"
    classes = [_class(model, group, operations, mode, door) for group, operations in model.groups().items()]
    groups = "\n".join(f"        self.{group} = {_class_name(group)}(door)" for group in model.groups())
    return "\n\n".join(
        [
            HEAD.format(says=f"Every operation of the house, {'waiting for its answer' if mode == 'sync' else 'to be awaited'}.")
            + f"""
from collections.abc import {iterator}, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

from forecourt_client import models as m
from forecourt_client._door import {door}
from forecourt_client._wire import UNSET, Call, Content, File, Method, Page, Versioned, version_tag
""",
            *classes,
            GROUPS.format(door=door, groups=groups),
        ]
    )


def _class_name(group: str) -> str:
    return "".join(part.title() for part in group.split("_"))


def _class(model: Model, group: str, operations: list[Operation], mode: Mode, door: str) -> str:
    parts = [GROUP.format(name=_class_name(group), says=model.tags[group], door=door)]
    for operation in operations:
        parts.append(_method(operation, model, mode))
        if operation.paged:
            parts.append(_iterating(operation, model, mode))
    return "\n".join(parts)


def _arguments(operation: Operation, model: Model, *, paging: bool) -> tuple[list[str], list[str]]:
    """The parameters of a method: those that may be given by position, and those by name only."""
    first = [f"{field_name(p.name)}: {_path_type(p)}" for p in operation.in_path]
    if operation.body is not None:
        kind = type_of(operation.body, model, "m.")
        first.append(f"body: {kind}" if operation.body_needed else f"body: {kind} | None = None")
    if operation.form is not None:
        first.append("file: File")
    if operation.raw_type:
        first.append("content: bytes")
    named = [_query_argument(p, model) for p in operation.in_query if paging or p.name not in ("limit", "cursor")]
    for name, inner in (operation.form or {}).get("properties", {}).items():
        if name != "file":
            named.append(f"{field_name(name)}: {type_of({**inner}, model, 'm.')} | None = None".replace("None | None", "None"))
    if operation.takes_version:
        named.append("if_match: int | Versioned | None = None")
    if operation.keyed:
        named.append("idempotency_key: str | None = None")
    if operation.partial:
        named += ["range: str | None = None", "if_none_match: str | None = None"]
    named.sort(key=lambda a: "=" in a)
    return first, named


def _path_type(parameter: Parameter) -> str:
    return "UUID | str" if parameter.schema.get("format") == "uuid" else "str"


def _query_argument(parameter: Parameter, model: Model) -> str:
    kind = type_of({k: v for k, v in parameter.schema.items() if k != "default"}, model, "m.")
    kind = re.sub(r"^list\[", "Sequence[", kind).replace("UUID", "UUID | str")
    name = field_name(parameter.name)
    return f"{name}: {kind}" if parameter.needed else f"{name}: {kind.removesuffix(' | None')} | None = None"


def _call(operation: Operation, model: Model, *, paging: bool) -> str:
    method = f'Method("{operation.verb}", "{operation.path}"{", keyed=True" if operation.keyed else ""})'
    parts = [method, _answer(operation, model, as_value=True)]
    if operation.in_path:
        parts.append("path={" + ", ".join(f'"{p.name}": {field_name(p.name)}' for p in operation.in_path) + "}")
    asked = [p for p in operation.in_query if paging or p.name not in ("limit", "cursor")]
    if asked:
        parts.append("query={" + ", ".join(f'"{p.name}": {field_name(p.name)}' for p in asked) + "}")
    if operation.body is not None:
        parts.append("body=body" if operation.body_needed else "body=UNSET if body is None else body")
    headers = _headers(operation)
    if headers:
        parts.append("headers={" + ", ".join(headers) + "}")
    if operation.form is not None:
        fields = [n for n in operation.form["properties"] if n != "file"]
        parts += ["file=file", "form={" + ", ".join(f'"{n}": {field_name(n)}' for n in fields) + "}"]
    if operation.raw_type:
        parts.append("content=content")
    if operation.keyed:
        parts.append("key=idempotency_key")
    return f"Call({', '.join(parts)})"


def _headers(operation: Operation) -> list[str]:
    found: list[str] = []
    if operation.takes_version:
        found.append('"If-Match": version_tag(if_match)')
    if operation.partial:
        found += ['"Range": range', '"If-None-Match": if_none_match']
    if operation.raw_type:
        found.append(f'"Content-Type": "{operation.raw_type}"')
    return found


def _answer(operation: Operation, model: Model, *, as_value: bool) -> str:
    if operation.answer is not None:
        return type_of(operation.answer, model, "m.")
    if operation.answer_types:
        return "Content"
    return "type(None)" if as_value else "None"


def _method(operation: Operation, model: Model, mode: Mode) -> str:
    first, named = _arguments(operation, model, paging=True)
    arguments = ", ".join(["self", *first, *(["*", *named] if named else [])])
    word, wait = ("def", "") if mode == "sync" else ("async def", "await ")
    lines = [
        f"    {word} {operation.name}({arguments}) -> {_answer(operation, model, as_value=False)}:",
        *_doc(_words(operation), 8),
    ]
    lines.append(f"        return {wait}self._door.call({_call(operation, model, paging=True)})")
    return "\n".join(lines) + "\n"


def _iterating(operation: Operation, model: Model, mode: Mode) -> str:
    first, named = _arguments(operation, model, paging=False)
    named += ["limit: int | None = None", "page_size: int = 100"]
    iterator = "Iterator" if mode == "sync" else "AsyncIterator"
    answer = _answer(operation, model, as_value=False).removeprefix("Page[").removesuffix("]")
    says = f"{operation.summary}.\n\nEvery entry, or the first `limit`; pages are fetched as entries are taken."
    return (
        "\n".join(
            [
                f"    def iter_{operation.name}({', '.join(['self', *first, '*', *named])}) -> {iterator}[{answer}]:",
                *_doc(says, 8),
                f"        return self._door.pages({_call(operation, model, paging=False)}, limit, page_size)",
            ]
        )
        + "\n"
    )


def _words(operation: Operation) -> str:
    text = f"{operation.summary}."
    if operation.description:
        text += f"\n\n{operation.description}"
    if operation.permission:
        text += f"\n\nFor staff with `{operation.permission}`."
    named = [problem_name(code) for codes in operation.codes.values() for code in codes if code not in BASES]
    if named:
        text += f"\n\nRaises {', '.join(sorted(named))}."
    return text
