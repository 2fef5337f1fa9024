"""The collection for Postman (format 2.1): every operation with an example, and a first journey that runs from top to bottom."""

from __future__ import annotations

import json
import re
from typing import Any, cast

from tools.clients.model import Model, Operation, Parameter, Schema, Surprise, variants

FORMAT = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
WHAT = """Find, book and pay for places. Made from the OpenAPI document of the house by `make clients`.

Start with the folder *A first journey*: it runs from top to bottom against a house in development, such as the one that `make up`
starts, and leaves `access_token` and the ids it met in the collection's variables. Every other folder has each operation of one
group; parameters that may be left out are there and switched off.

Requests are signed with `access_token`. A program of an organisation switches on the header `X-API-Key` instead and takes the
authorisation off."""
DEPTH = 6
"""So deep go the examples."""

Json = dict[str, Any]

SAID: dict[str, object] = {
    "permission": "booking.read_any",
    "email": "ada@example.org",
    "password": "brisk-otter-17-quinces",
    "current_password": "open-forecourt",
    "currency": "GBP",
    "country": "GB",
    "timezone": "Europe/London",
    "time_zone": "Europe/London",
    "locale": "en",
    "phone": "+44 20 7946 0958",
    "code": "123456",
    "near": "51.505,-0.086",
    "sport": "padel",
    "amount": 1250,
    "duration_min": 60,
    "bytes": 1048576,
    "lat": 51.505,
    "lon": -0.086,
    "url": "https://example.org/hooks/forecourt",
}
"""Examples by the name of a field; a value that its schema does not allow is passed over."""
TIME, DAY, ID = "2027-06-01T18:00:00Z", "2027-06-01", "01a1fe16-28c7-74f4-b878-1d689d616694"
PATTERNS = [
    ID,
    "0" * 64,
    "0" * 32,
    "2026-12-01",
    "09:00",
    "GBP",
    "GB",
    "123456",
    "en",
    "friendly-name",
    "0123456789abcdef",
    "1.25",
    "51.505,-0.086",
    "padel",
    "booking.confirmed",
]


def render(model: Model) -> dict[str, str]:
    """The one file of the collection."""
    variables: dict[str, str] = {
        "base_url": model.server,
        "access_token": "",
        "refresh_token": "",
        "api_key": "",
        "email": "",
        "password": "brisk-otter-17-quinces",
        "near": "51.505,-0.086",
    }
    folders = [_folder(model, group, operations) for group, operations in model.groups().items()]
    items = [{"name": "A first journey", "description": JOURNEY_SAYS, "item": _journey()}, *folders]
    for name in sorted(set(re.findall(r"\{\{(\w+)\}\}", json.dumps(items)))):
        variables.setdefault(name, "")
    collection: Json = {
        "info": {"name": model.title, "description": WHAT, "version": model.version, "schema": FORMAT},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{access_token}}", "type": "string"}]},
        "variable": [{"key": k, "value": v, "type": "string"} for k, v in variables.items()],
        "item": items,
    }
    return {"forecourt.postman_collection.json": json.dumps(collection, indent=1, ensure_ascii=False) + "\n"}


# --- every operation -------------------------------------------------------------------------------------------------


def _folder(model: Model, group: str, operations: list[Operation]) -> Json:
    return {"name": model.tags[group], "item": [_item(o, model) for o in operations]}


def _item(operation: Operation, model: Model) -> Json:
    request = _request(operation, model)
    item: Json = {"name": operation.summary.partition(". ")[0], "request": request}
    if operation.answer is not None:
        item["response"] = [
            {
                "name": str(operation.status),
                "originalRequest": {k: v for k, v in request.items() if k != "description"},
                "code": operation.status,
                "header": [{"key": "Content-Type", "value": "application/json"}],
                "body": _pretty(example(operation.answer, model, whole=True)),
            }
        ]
    return item


def _request(operation: Operation, model: Model) -> Json:
    request: Json = {"method": operation.verb, "header": _headers(operation), "url": _url(operation, model)}
    if operation.public:
        request["auth"] = {"type": "noauth"}
    body = _body(operation, model)
    if body is not None:
        request["body"] = body
    request["description"] = _words(operation, model)
    return request


def _headers(operation: Operation) -> list[Json]:
    found: list[Json] = []
    if operation.keyed:
        found.append({"key": "Idempotency-Key", "value": "{{$guid}}", "description": "Keep it while you repeat one intent"})
    if operation.takes_version:
        found.append({"key": "If-Match", "value": '"1"', "description": "The `version` that you read", "disabled": True})
    if operation.permission:
        found.append({"key": "X-API-Key", "value": "{{api_key}}", "disabled": True})
    if operation.body is not None:
        found.append({"key": "Content-Type", "value": "application/json"})
    if operation.raw_type:
        found += [{"key": "Content-Type", "value": operation.raw_type}, {"key": "Upload-Offset", "value": "0"}]
    return found


def _url(operation: Operation, model: Model) -> Json:
    path = re.sub(r"\{(\w+)\}", r":\1", operation.path)
    url: Json = {"raw": "{{base_url}}" + path, "host": ["{{base_url}}"], "path": path.strip("/").split("/")}
    if operation.in_path:
        url["variable"] = [{"key": p.name, "value": _place(p.name, operation.path)} for p in operation.in_path]
    if operation.in_query:
        url["query"] = [_queried(p, model) for p in operation.in_query]
        asked = "&".join(f"{q['key']}={q['value']}" for q in url["query"] if not q.get("disabled"))
        url["raw"] += f"?{asked}" if asked else ""
    return url


def _place(name: str, path: str) -> str:
    """The variable for a parameter of the path: `{id}` after `bookings` is the booking's."""
    if name == "emoji":
        return "👍"
    if name != "id":
        return f"{{{{{name}}}}}"
    before = path.split("/{id}", 1)[0].rsplit("/", 1)[-1].replace("-", "_")
    one = f"{before[:-3]}y" if before.endswith("ies") else before.removesuffix("s")
    return f"{{{{{one}_id}}}}"


def _queried(parameter: Parameter, model: Model) -> Json:
    value = example({k: v for k, v in parameter.schema.items() if k != "default"}, model, name=parameter.name)
    if isinstance(value, list):
        value = ",".join(str(v) for v in value)  # type: ignore[reportUnknownVariableType]
    text = f"{{{{{parameter.name}}}}}" if value == ID else str(value).lower() if isinstance(value, bool) else str(value)
    found: Json = {"key": parameter.name, "value": "" if parameter.name == "cursor" else text}
    if parameter.says:
        found["description"] = parameter.says
    return found if parameter.needed else found | {"disabled": True}


def _body(operation: Operation, model: Model) -> Json | None:
    if operation.body is not None:
        return {"mode": "raw", "raw": _pretty(_named(example(operation.body, model))), "options": {"raw": {"language": "json"}}}
    if operation.form is not None:
        fields = [_formed(n, s, operation.form) for n, s in operation.form["properties"].items()]
        return {"mode": "formdata", "formdata": fields}
    if operation.raw_type:
        return {"mode": "file", "file": {"src": None}}
    return None


def _formed(name: str, schema: Schema, form: Schema) -> Json:
    if schema.get("format") == "binary":
        return {"key": name, "type": "file", "src": None}
    return {"key": name, "type": "text", "value": "", "disabled": name not in form.get("required", ())}


def _named(value: Any) -> Any:
    """With variables for ids, so that the journey's are taken: `resource_id` is `{{resource_id}}`."""
    match value:
        case dict():
            found: Json = value
            return {k: f"{{{{{k}}}}}" if v == ID and k.endswith("_id") else _named(v) for k, v in found.items()}
        case list():
            return [_named(v) for v in value]  # type: ignore[reportUnknownVariableType]
        case _:
            return value


def _pretty(value: object) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False)


def _words(operation: Operation, model: Model) -> str:
    parts = [operation.description] if operation.description else []
    if operation.permission:
        parts.append(f"For staff with `{operation.permission}`.")
    if operation.body is not None and "$ref" in operation.body:
        schema = model.schemas[operation.body["$ref"]]
        more = [n for n in schema.get("properties", {}) if n not in schema.get("required", ())]
        if more:
            parts.append(f"It may also have {', '.join(f'`{n}`' for n in more)}.")
    codes = [f"{status} {', '.join(f'`{c}`' for c in codes)}" for status, codes in operation.codes.items()]
    return "\n\n".join([*parts, f"Problems: {'; '.join(codes)}."])


# --- examples --------------------------------------------------------------------------------------------------------


def example(  # noqa: PLR0911 - a table
    schema: Schema, model: Model, *, name: str = "", whole: bool = False, depth: int = 0
) -> Any:
    """A value that the schema allows. Of an object what it needs, or with `whole` everything."""
    inner, nullable = variants(schema)
    first = inner[0] if inner else {"type": "null"}
    if nullable and depth > DEPTH:
        return None
    match first:
        case {"$ref": str(target)}:
            if depth > 4 * DEPTH:
                raise Surprise(f"{target} has itself as a part that must be there")
            return example(model.schemas[target], model, name=name, whole=whole, depth=depth + 1)
        case {"enum": list(values)}:
            return schema["default"] if schema.get("default") in values and schema["default"] is not None else values[0]
        case {"type": "array", "prefixItems": list(items)}:
            ends = ["09:00", "18:00"]
            return [ends[n % 2] if i.get("type") == "string" else _plain(i, "", n) for n, i in enumerate(items)]
        case {"type": "array"}:
            if not first.get("minItems") and (depth > DEPTH or (depth and not whole)):
                return []
            return [
                example(cast("Schema", first.get("items", {})), model, name=name.removesuffix("s"), whole=whole, depth=depth + 1)
            ]
        case {"type": "object"}:
            return _object(first, model, whole=whole, depth=depth)
        case _:
            return _plain(first, name)


def _object(schema: Schema, model: Model, *, whole: bool, depth: int) -> Json:
    needed = set(schema.get("required", ()))
    return {
        name: example(inner, model, name=name, whole=whole, depth=depth + 1)
        for name, inner in schema.get("properties", {}).items()
        if whole or name in needed
    }


def _plain(schema: Schema, name: str, number: int = 0) -> Any:
    """A value without parts. Raises Surprise when none of those known here is allowed."""
    match schema.get("type"):
        case "boolean":
            return True
        case "integer" | "number":
            least = schema.get("minimum", schema.get("exclusiveMinimum", 0) + ("exclusiveMinimum" in schema))
            said = SAID.get(name)
            fits = isinstance(said, int | float) and least <= said <= schema.get("maximum", said)
            return said if fits else max(least, 1) + number if schema.get("maximum", 1) >= 1 else least
        case "string":
            return _text(schema, name)
        case _:
            return {}


def _text(schema: Schema, name: str) -> str:
    match schema.get("format"):
        case "uuid":
            return ID
        case "date-time":
            return TIME
        case "date":
            return DAY
        case _:
            pass
    one_of = re.findall(r"\A\^\((\w+)\|", schema.get("pattern", ""))
    tries = [
        SAID.get(name),
        *one_of,
        name.replace("_", " ").capitalize() or "Text",
        name,
        *PATTERNS,
        "x" * schema.get("minLength", 1),
    ]
    for text in tries:
        if isinstance(text, str) and _allowed(text, schema):
            return text
    raise Surprise(f"no example for {name}: {schema}")


def _allowed(text: str, schema: Schema) -> bool:
    fits = schema.get("minLength", 0) <= len(text) <= schema.get("maxLength", len(text))
    return fits and ("pattern" not in schema or re.search(schema["pattern"], text) is not None)


# --- the journey -----------------------------------------------------------------------------------------------------

JOURNEY_SAYS = """A stranger makes an account, proves the address, finds a place, sees what is free in three days, holds an
hour, is told that it is taken when asking for it again, and cancels. Run the folder. The code is read from `/dev/outbox`,
which a house in production has not."""


def _journey() -> list[Json]:
    hour = {"resource_id": "{{resource_id}}", "start": "{{start}}", "duration_min": 60}
    key = [{"key": "Idempotency-Key", "value": "{{$guid}}"}]
    return [
        _step(
            "Make an account",
            "POST",
            "/v1/auth/register",
            body={"email": "{{email}}", "password": "{{password}}", "name": "Ada"},
            public=True,
            before=[
                "const unique = `${Date.now()}.${Math.floor(Math.random() * 1e9)}`;",
                'pm.collectionVariables.set("email", `ada.${unique}@example.org`);',
                'pm.collectionVariables.set("asked", "0");',
            ],
            after=[*_expect(201), _keep("access_token", "it.access_token"), _keep("refresh_token", "it.refresh_token")],
        ),
        _step(
            "Read the code in the outbox",
            "GET",
            "/dev/outbox",
            query={"to": "{{email}}"},
            headers=[{"key": "Accept", "value": "application/json"}],
            public=True,
            before=["setTimeout(() => {}, 200);"],
            after=[
                *_expect(200),
                'const code = /\\b\\d{6}\\b/.exec(it.items[0]?.text ?? "")?.[0];',
                'const asked = Number(pm.collectionVariables.get("asked")) + 1;',
                'pm.collectionVariables.set("asked", String(asked));',
                'if (code) pm.collectionVariables.set("code", code);',
                'else if (asked < 50) postman.setNextRequest("Read the code in the outbox");',
                'else pm.test("the mail came", () => { throw new Error("no mail with a code"); });',
            ],
        ),
        _step(
            "Prove the address",
            "POST",
            "/v1/auth/verify-email",
            body={"email": "{{email}}", "code": "{{code}}"},
            public=True,
            after=_expect(204),
        ),
        _step(
            "Find a place",
            "GET",
            "/v1/venues",
            query={"near": "{{near}}", "radius_km": "5", "free_at": "{{day}}T12:00:00Z", "duration_min": "60", "limit": "1"},
            public=True,
            before=['pm.collectionVariables.set("day", new Date(Date.now() + 3 * 86400e3).toISOString().slice(0, 10));'],
            after=[*_expect(200), _keep("venue_id", "it.items[0].id")],
        ),
        _step(
            "See what is free",
            "GET",
            "/v1/venues/:venue_id/availability",
            variables={"venue_id": "{{venue_id}}"},
            query={"from": "{{day}}", "duration_min": "60"},
            public=True,
            after=[
                *_expect(200),
                "const free = it.days[0].resources.find((r) => r.slots.length);",
                _keep("resource_id", "free.resource_id"),
                _keep("start", "free.slots[0].start"),
            ],
        ),
        _step(
            "Ask for the price", "POST", "/v1/quotes", body=hour, headers=key, after=[*_expect(201), _keep("quote_id", "it.id")]
        ),
        _step(
            "Hold it",
            "POST",
            "/v1/bookings",
            body=hour | {"quote_id": "{{quote_id}}"},
            headers=key,
            after=[*_expect(201), _keep("booking_id", "it.id"), *_test("it is held", 'it.status === "payment_pending"')],
        ),
        _step(
            "Be told that it is taken",
            "POST",
            "/v1/bookings",
            body=hour,
            headers=key,
            after=[*_expect(409), *_test("the code says why", 'it.code === "slot_taken"')],
        ),
        _step(
            "Cancel",
            "POST",
            "/v1/bookings/:id/cancel",
            variables={"id": "{{booking_id}}"},
            body={"reason": "It was a tour"},
            headers=key,
            after=[*_expect(200), *_test("it is cancelled", 'it.status === "cancelled"')],
        ),
        _step("Log out", "POST", "/v1/auth/logout", body={"refresh_token": "{{refresh_token}}"}, public=True, after=_expect(204)),
    ]


def _step(
    name: str,
    method: str,
    path: str,
    *,
    body: Json | None = None,
    query: dict[str, str] | None = None,
    variables: dict[str, str] | None = None,
    headers: list[Json] | None = None,
    public: bool = False,
    before: list[str] | None = None,
    after: list[str] | None = None,
) -> Json:
    asked = "&".join(f"{k}={v}" for k, v in (query or {}).items())
    url: Json = {
        "raw": "{{base_url}}" + path + (f"?{asked}" if asked else ""),
        "host": ["{{base_url}}"],
        "path": path[1:].split("/"),
    }
    if query:
        url["query"] = [{"key": k, "value": v} for k, v in query.items()]
    if variables:
        url["variable"] = [{"key": k, "value": v} for k, v in variables.items()]
    request: Json = {"method": method, "header": list(headers or []), "url": url}
    if body is not None:
        request["header"].append({"key": "Content-Type", "value": "application/json"})
        request["body"] = {"mode": "raw", "raw": _pretty(body), "options": {"raw": {"language": "json"}}}
    if public:
        request["auth"] = {"type": "noauth"}
    events = [("prerequest", before), ("test", after)]
    return {
        "name": name,
        "event": [{"listen": on, "script": {"type": "text/javascript", "exec": lines}} for on, lines in events if lines],
        "request": request,
    }


def _expect(status: int) -> list[str]:
    read = [] if status == 204 else ["const it = pm.response.json();"]
    return [*_test(f"it is answered with {status}", f"pm.response.code === {status}", "pm.response.text()"), *read]


def _test(name: str, holds: str, otherwise: str = "JSON.stringify(it)") -> list[str]:
    return [f'pm.test("{name}", () => {{ if (!({holds})) throw new Error({otherwise}); }});']


def _keep(variable: str, value: str) -> str:
    return f'pm.collectionVariables.set("{variable}", {value});'
