"""Schemathesis sends what the document allows to every operation: never a 5xx, never an answer that is not documented."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import APIOperation
from schemathesis.specs.openapi.checks import content_type_conformance, response_schema_conformance, status_code_conformance
from tests.journeys.conftest import Server
from tests.journeys.world import World

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
# A part of an upload is bytes like any others.
schemathesis.serializer.alias(["application/offset+octet-stream"], "application/octet-stream")


@pytest.fixture
def examples() -> int:
    """How much is sent to each operation."""
    return 8


@pytest.fixture(scope="module")
def someone(server: Server) -> dict[str, str]:
    """Credentials of an owner, and the ids of what they own, to be put in place of invented ones."""

    async def make() -> dict[str, str]:
        async with httpx.AsyncClient(base_url=server.url, timeout=30) as client:
            club = await World(client).club()
            return {"token": club.owner.token, "org_id": club.id, "venue_id": club.venue, "resource_id": club.courts[0]}

    return asyncio.run(make())


def operations(server: Server) -> Iterator[APIOperation]:
    """Every operation of the document, but for those that would end the credentials that the other calls use."""
    loaded = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    for found in loaded.exclude(
        path_regex=r"^/v1/auth/(logout|change-password)|/me/sessions|/livez|/metrics"
    ).get_all_operations():
        yield found.ok()


def test_every_operation_answers_as_documented(server: Server, someone: dict[str, str], examples: int) -> None:
    wrong: list[str] = []
    tried = 0
    for operation in operations(server):
        tried += 1

        @given(case=operation.as_strategy())
        @settings(
            max_examples=examples,
            deadline=None,
            derandomize=True,
            database=None,
            phases=[Phase.explicit, Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        def ask(case: schemathesis.Case) -> None:
            for name in ("org_id", "venue_id"):
                if name in (case.path_parameters or {}):
                    case.path_parameters[name] = someone[name]
            case.call_and_validate(headers={"Authorization": f"Bearer {someone['token']}"}, checks=CHECKS, timeout=30)

        try:
            ask()
        except (Exception, BaseExceptionGroup) as e:  # failures come as groups that are no Exception
            wrong.append(f"{operation.label}: {e}")
    assert tried > 50
    assert not wrong, "\n\n".join(wrong)
