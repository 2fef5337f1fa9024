"""What TypeScript knows of the API: a type for every schema, and what each operation asks and answers.

Written here rather than by an npm tool: the model that the Python client is made from has all it takes, and so neither making nor
checking the types needs a package from npm.
"""

from __future__ import annotations

import json
import textwrap
from typing import Any

from tools.clients.model import Model, Operation, Parameter, Schema, Surprise, page_of, variants

LINE = 130
HEAD = """// {says}
// Generated from the OpenAPI document by `make clients`; not to be edited.
"""
PAGE = """/** A part of a list, in its order. `next_cursor` is null on the last page. */
export interface Page<T> {
  items: T[];
  next_cursor: string | null;
}
"""


def render(model: Model) -> dict[str, str]:
    """File names in the package, and what is in them."""
    return {"schema.d.ts": _types(model), "operations.js": _table(model)}


def _table(model: Model) -> str:
    """What `api.js` needs while it runs: method, path, whether it takes a key, and the type of bytes that it takes."""
    rows = [f"  {o.id}: {json.dumps(_row(o))}," for o in sorted(model.operations, key=lambda o: o.id)]
    head = HEAD.format(
        says="Every operation of the house: method, path, whether it takes an Idempotency-Key, and the type of its bytes."
    )
    return "\n".join([head, "export const OPERATIONS = {", *rows, "};", ""])


def _row(operation: Operation) -> list[object]:
    row: list[object] = [operation.verb, operation.path]
    if operation.keyed or operation.raw_type:
        row.append(operation.keyed)
    if operation.raw_type:
        row.append(operation.raw_type)
    return row


def _types(model: Model) -> str:
    parts = [
        HEAD.format(says="What goes into requests and comes out of answers, and what each operation asks and answers."),
        PAGE,
    ]
    for name, schema in sorted(model.schemas.items()):
        if page_of(name, model.schemas) is None:
            parts.append(_declaration(name, schema, model))
    entries = [_entry(o, model) for o in sorted(model.operations, key=lambda o: o.id)]
    parts.append(
        "\n".join(
            [
                "/** By operation: what `Api.call` takes, and what it resolves with. */",
                "export interface Operations {",
                *entries,
                "}",
                "",
            ]
        )
    )
    return "\n".join(parts)


def _declaration(name: str, schema: Schema, model: Model) -> str:
    comment = _comment(schema.get("description", ""), 0)
    if "enum" in schema:
        return "\n".join([*comment, f"export type {name} = {_one(schema, model)};", ""])
    if schema.get("type") != "object":
        raise Surprise(f"{name}: {schema}")
    lines = [*comment, f"export interface {name} {{"]
    lines += _members(schema, model, always=name not in model.asked)
    return "\n".join([*lines, "}", ""])


def _members(schema: Schema, model: Model, *, always: bool) -> list[str]:
    """The fields. `always`: the house says every field that has a default, as it does in what is only answered."""
    needed = set(schema.get("required", ()))
    lines: list[str] = []
    for name, inner in schema.get("properties", {}).items():
        lines += _comment(_says(inner), 2)
        sure = name in needed or (always and ("default" in inner or inner.get("type") == "array"))
        lines.append(f"  {_key(name)}{'' if sure else '?'}: {type_of(inner, model)};")
    return lines


def _says(schema: Schema) -> str:
    inner, _ = variants(schema)
    return schema.get("description", "") or (inner[0].get("description", "") if len(inner) == 1 else "")


def _key(name: str) -> str:
    return name if name.isidentifier() else json.dumps(name)


def type_of(schema: Schema, model: Model) -> str:
    """A schema as a type."""
    inner, nullable = variants(schema)
    kinds = list(dict.fromkeys(_one(s, model) for s in inner))
    return " | ".join([*kinds, "null"] if nullable else kinds)


def _one(schema: Schema, model: Model) -> str:  # noqa: PLR0911 - a table
    match schema:
        case {"$ref": str(name)}:
            entries = page_of(name, model.schemas)
            return name if entries is None else f"Page<{entries}>"
        case {"enum": list(values)}:
            return " | ".join(json.dumps(v) for v in values)
        case {"type": "array", "prefixItems": list(items)}:
            return f"[{', '.join(type_of(i, model) for i in items)}]"
        case {"type": "array"}:
            inner = type_of(schema.get("items", {}), model)
            return f"({inner})[]" if " " in inner and not inner.startswith("[") else f"{inner}[]"
        case {"type": "object"}:
            values = schema.get("additionalProperties", {})
            return f"Record<string, {type_of(values, model) if isinstance(values, dict) else 'unknown'}>"
        case {"type": "string"}:
            return "string"
        case {"type": "integer"} | {"type": "number"}:
            return "number"
        case {"type": "boolean"}:
            return "boolean"
        case _ if not set(schema) - {"description", "default"}:
            return "unknown"
        case _:
            raise Surprise(f"no type for {schema}")


def _entry(operation: Operation, model: Model) -> str:
    lines = _comment(_words(operation), 2)
    asks = "; ".join(_asked(operation, model))
    return "\n".join(
        [*lines, f"  {operation.id}: {{ asks: {{ {asks} }}; answers: {_answer(operation, model)} }};".replace("{  }", "{}")]
    )


def _asked(operation: Operation, model: Model) -> list[str]:
    found: list[str] = []
    if operation.in_path:
        found.append(f"path: {{ {'; '.join(f'{_key(p.name)}: string' for p in operation.in_path)} }}")
    if operation.in_query:
        needed = any(p.needed for p in operation.in_query)
        found.append(f"query{'' if needed else '?'}: {{ {'; '.join(_queried(p, model) for p in operation.in_query)} }}")
    if operation.body is not None:
        found.append(f"body{'' if operation.body_needed else '?'}: {type_of(operation.body, model)}")
    if operation.form is not None:
        found.append(
            f"form: {{ {'; '.join(_formed(n, s, operation.form, model) for n, s in operation.form['properties'].items())} }}"
        )
    if operation.raw_type:
        found.append("content: BodyInit")
    if operation.keyed:
        found.append("idempotencyKey?: string")
    if operation.takes_version:
        found.append("ifMatch?: number")
    return found


def _queried(parameter: Parameter, model: Model) -> str:
    kind = type_of({k: v for k, v in parameter.schema.items() if k != "default"}, model)
    return f"{_key(parameter.name)}{'' if parameter.needed else '?'}: {kind}"


def _formed(name: str, schema: Schema, form: Schema, model: Model) -> str:
    kind = "Blob" if schema.get("format") == "binary" else type_of(schema, model)
    return f"{_key(name)}{'' if name in form.get('required', ()) else '?'}: {kind}"


def _answer(operation: Operation, model: Model) -> str:
    if operation.answer is not None:
        return type_of(operation.answer, model)
    return "Response" if operation.answer_types else "void"


def _words(operation: Operation) -> str:
    text = f"{operation.summary}."
    if operation.description:
        text += f"\n\n{operation.description}"
    if operation.permission:
        text += f"\n\nFor staff with `{operation.permission}`."
    codes: list[Any] = [
        code for status, found in operation.codes.items() if status in (402, 403, 409, 410, 422) for code in found
    ]
    return f"{text}\n\nProblems: {', '.join(f'`{c}`' for c in codes)}." if codes else text


def _comment(text: str, indent: int) -> list[str]:
    if not text:
        return []
    space = " " * indent
    lines: list[str] = []
    for number, paragraph in enumerate(text.replace("*/", "*\\/").split("\n\n")):
        if number:
            lines.append("")
        lines += textwrap.wrap(" ".join(paragraph.split()), LINE - indent - 7, break_long_words=False, break_on_hyphens=False)
    if len(lines) == 1:
        return [f"{space}/** {lines[0]} */"]
    return [f"{space}/**", *(f"{space} * {line}".rstrip() for line in lines), f"{space} */"]
