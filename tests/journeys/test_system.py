"""Health, documents and the reference: they agree with what the house really answers."""

from __future__ import annotations

import httpx
import pytest

from forecourt.app import House
from forecourt.wiring import MODULES

HTML = {"Accept": "text/html"}


async def test_the_house_says_that_it_lives_and_what_it_needs(client: httpx.AsyncClient) -> None:
    assert (await client.get("/livez")).json() == {"status": "ok"}
    ready = await client.get("/readyz")
    assert ready.status_code == 200
    assert {d["name"]: d["ok"] for d in ready.json()["dependencies"]} == {"database": True, "valkey": True}


async def test_one_process_tells_everybody_how_each_of_its_modules_is(client: httpx.AsyncClient, house: House) -> None:
    answer = await client.get("/api/status")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "public, max-age=2")
    told = answer.json()
    assert told["status"] == "ok"
    assert {s["name"]: s["status"] for s in told["services"]} == dict.fromkeys(MODULES, "ok")
    assert {d["name"]: d["status"] for d in told["dependencies"]} == {"database": "ok", "valkey": "ok"}
    assert all(s["took_ms"] > 0 for s in told["services"])
    assert house.at.database_url not in answer.text and house.at.valkey_url not in answer.text
    document = (await client.get("/openapi.json")).json()
    shown = document["paths"]["/api/status"]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert shown == {"$ref": "#/components/schemas/HouseStatus"}


async def test_a_process_that_is_about_to_end_says_so(client: httpx.AsyncClient, house: House) -> None:
    house.draining = True
    try:
        leaving = await client.get("/readyz")
    finally:
        house.draining = False
    assert (leaving.status_code, leaving.json()["status"], leaving.headers["retry-after"]) == (503, "draining", "1")
    ready = await client.get("/readyz")
    assert (ready.json()["status"], "retry-after" in ready.headers) == ("ready", False)


async def test_requests_are_counted_by_route_and_not_by_path(client: httpx.AsyncClient) -> None:
    await client.get("/v1/venues/01a1fcc0-c4a5-7253-9344-54cc95d009c8")
    text = (await client.get("/metrics")).text
    assert 'http_requests_total{method="GET",route="/v1/venues/{id}",status="404"}' in text
    assert "01a1fcc0" not in text


async def test_every_chapter_of_the_reference_can_be_read(client: httpx.AsyncClient, house: House) -> None:
    document = (await client.get("/openapi.json")).json()
    front = await client.get("/docs", headers=HTML)
    assert front.status_code == 200
    shown = ""
    for tag in document["tags"]:
        page = await client.get(f"/docs/{tag['name'].lower().replace(' ', '-')}", headers=HTML)
        assert page.status_code == 200
        shown += page.text
    for methods in document["paths"].values():
        for operation in methods.values():
            assert f'id="{operation["operationId"]}"' in shown
    assert (await client.get("/docs/nothing", headers=HTML)).status_code == 404


SAID_BY_OTHERS = {"/v1/notifications/callbacks/{provider}"}
"""Bodies whose form is a provider's: it may add to them what it likes."""


async def test_every_object_of_the_document_refuses_unknown_members_and_every_operation_names_its_refusals(
    client: httpx.AsyncClient,
) -> None:
    document = (await client.get("/openapi.json")).json()
    schemas = document["components"]["schemas"]
    ids = [op["operationId"] for methods in document["paths"].values() for op in methods.values()]
    assert len(ids) == len(set(ids))
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert any(status.startswith("4") for status in operation["responses"]), (method, path)
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
            if body and "$ref" in body and path not in SAID_BY_OTHERS:
                assert schemas[body["$ref"].rsplit("/", 1)[1]].get("additionalProperties") is False, (method, path)
            for parameter in operation.get("parameters", ()):
                schema = parameter["schema"]
                if schema.get("type") == "string" and parameter["in"] == "query":
                    bounded = {"maxLength", "format", "enum", "pattern"} & set(schema)
                    assert bounded, (method, path, parameter["name"])
                if schema.get("type") == "integer":
                    assert {"minimum", "maximum"} <= set(schema), (method, path, parameter["name"])


@pytest.mark.parametrize("name", ["x-content-type-options", "content-security-policy", "referrer-policy", "x-request-id"])
@pytest.mark.parametrize("path", ["/", "/v1/venues", "/nowhere", "/openapi.json"])
async def test_every_answer_carries_the_security_headers(client: httpx.AsyncClient, path: str, name: str) -> None:
    assert name in (await client.get(path)).headers


async def test_a_wrong_method_names_the_right_ones(client: httpx.AsyncClient) -> None:
    answer = await client.request("DELETE", "/v1/venues")
    assert answer.status_code == 405
    assert answer.json()["code"] == "method_not_allowed"
    assert "GET" in answer.headers["allow"]


async def test_a_page_that_is_not_there_is_a_page_and_an_address_that_is_not_there_a_problem(client: httpx.AsyncClient) -> None:
    page = await client.get("/nowhere", headers=HTML)
    assert (page.status_code, page.headers["content-type"]) == (404, "text/html; charset=utf-8")
    problem = await client.get("/v1/nowhere", headers=HTML)
    assert (problem.status_code, problem.headers["content-type"]) == (404, "application/problem+json")


async def test_a_page_that_is_not_there_says_so_in_the_visitors_language(client: httpx.AsyncClient) -> None:
    for headers, language, words in (
        (HTML, "en", "There is nothing here for you"),
        (HTML | {"Cookie": "fc_locale=pt"}, "pt", "Aqui não há nada para si"),
        (HTML | {"Accept-Language": "ur,en;q=0.5"}, "ur", "یہاں آپ کے لیے کچھ نہیں"),
    ):
        page = await client.get("/nowhere", headers=headers)
        assert page.status_code == 404
        assert f'<html lang="{language}"' in page.text and words in page.text


async def test_what_others_add_to_a_pages_address_asks_nothing_of_it(client: httpx.AsyncClient) -> None:
    plain = await client.get("/discover", headers=HTML)
    measured = await client.get("/discover?utm_source=letter&fbclid=x&fbclid=y&city=Karachi", headers=HTML)
    assert (plain.status_code, measured.status_code) == (200, 200)
    program = await client.get("/v1/venues", params={"utm_source": "letter"})
    assert (program.status_code, program.json()["errors"][0]["path"]) == (422, "utm_source"), "programs are told of a slip"


async def test_a_page_says_what_in_its_address_cannot_be(client: httpx.AsyncClient) -> None:
    english = await client.get("/discover?near=nowhere", headers=HTML)
    assert english.status_code == 422
    assert "Near: is a latitude and a longitude" in english.text and "Some of this needs another look" in english.text
    urdu = await client.get("/discover?near=nowhere", headers=HTML | {"Cookie": "fc_locale=ur"})
    assert "ان میں سے کچھ دوبارہ دیکھیں" in urdu.text and "عرض بلد" in urdu.text


async def test_files_are_kept_for_a_year_under_their_hash(client: httpx.AsyncClient, house: House) -> None:
    answer = await client.get(house.assets("tokens.css"))
    assert "immutable" in answer.headers["cache-control"]
    again = await client.get(house.assets("tokens.css"), headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    for origin in ({}, {"Origin": "https://anywhere.example"}):  # fonts and scripts of another address are for all to read
        assert (await client.get(house.assets("tokens.css"), headers=origin)).headers["access-control-allow-origin"] == "*"
    assert "access-control-allow-origin" not in (await client.get("/livez", headers=origin)).headers
    assert "immutable" not in (await client.get("/favicon.ico")).headers["cache-control"], "its address stays when it changes"
    assert (await client.get("/static/abc/../../settings.py")).status_code == 404
