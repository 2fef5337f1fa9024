"""One trace from the browser's header to the statement of a job that an event caused; and nothing at all when nobody asks."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from opentelemetry.sdk.trace import ReadableSpan
from tests.conftest import FreshDatabase
from tests.journeys.world import PASSWORD, World, at
from tests.observability.conftest import Collector
from tests.observability.traces import PARENT, attributes

from forecourt.kernel import telemetry
from forecourt.kernel.context import service_context
from forecourt.kernel.db import TracedTx, Tx
from forecourt.kernel.telemetry import title_of
from forecourt.process import Duty, name_of

pytestmark = pytest.mark.xdist_group("observed")


@pytest.fixture
def traced(collector: Collector, monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    """Traces of this process go to the collector; only those that a caller asks for."""
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "100")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    telemetry.start("forecourt", collector.url)
    yield collector
    telemetry.stop()


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({}, "forecourt-venues"),
        ({"OTEL_SERVICE_NAME": "club"}, "club"),
        ({"OTEL_RESOURCE_ATTRIBUTES": "service.name=house,service.namespace=padel"}, "house"),
    ],
)
def test_a_process_has_the_name_that_it_was_given_or_one_by_what_it_does(
    collector: Collector, monkeypatch: pytest.MonkeyPatch, environ: dict[str, str], name: str
) -> None:
    for variable, value in environ.items():
        monkeypatch.setenv(variable, value)
    own = name_of(Duty.SERVE | Duty.WORK, ("venues", "booking"))
    telemetry.start(own, collector.url, **{"deployment.environment.name": "test"})
    try:
        with telemetry.span("a span") as begun:
            assert isinstance(begun, ReadableSpan)
            told = begun.resource.attributes
    finally:
        telemetry.stop()
    assert (told["service.name"], told["deployment.environment.name"]) == (name, "test")


def test_each_role_has_a_name_of_its_own() -> None:
    names = [name_of(duty, ()) for duty in (Duty.SERVE | Duty.SOCKETS | Duty.WORK, Duty.SOCKETS, Duty.WORK)]
    assert names == ["forecourt", "forecourt-realtime", "forecourt-worker"]
    assert name_of(Duty.SERVE, ("people", "identity")) == "forecourt-people"


def header(trace_id: str) -> dict[str, str]:
    return {"traceparent": f"00-{trace_id}-{PARENT}-01"}


async def test_one_trace_joins_request_call_statement_event_and_job(world: World, traced: Collector) -> None:
    club, ada = await world.club(), await world.person("Ada")
    await world.credits(club, ada, 5_000)
    trace_id = secrets.token_hex(16)
    wanted = {"resource_id": club.courts[1], "start": at(9, 12), "duration_min": 60, "pay_with": "credits"}
    booked = await ada.post("/v1/bookings", wanted, **header(trace_id))
    assert booked.status_code == 201, booked.text
    found = await traced.whole(trace_id, "notifications.drain", "audit.trail")
    (request,) = found.named("POST /v1/bookings", Span.SPAN_KIND_SERVER)
    assert request.parent_span_id.hex() == PARENT
    said = attributes(request)
    assert (said["http.route"], said["http.response.status_code"]) == ("/v1/bookings", "201")
    charge = found.named("payments.Payments.charge")[0]
    assert found.line(charge)[-1] == "POST /v1/bookings"
    statements = [s for s in found.below(charge) if s.kind == Span.SPAN_KIND_CLIENT]
    assert statements and all(attributes(s)["db.query.text"] for s in statements)
    (job,) = found.named("notifications.drain", Span.SPAN_KIND_CONSUMER)[:1]
    line = found.line(job)
    assert line[0] == "notifications.drain" and line[-1] == "POST /v1/bookings"
    assert any(name.startswith("notifications.") for name in line[1:-1]), "the job hangs on the subscriber that enqueued it"
    assert any(s.kind == Span.SPAN_KIND_CLIENT for s in found.below(job)), "statements of the job"
    assert found.named("audit.trail", Span.SPAN_KIND_CONSUMER)


async def test_nothing_that_anybody_said_is_in_a_span(world: World, traced: Collector) -> None:
    trace_id = secrets.token_hex(16)
    email, name = f"quince.{trace_id[:8]}@example.org", "Quincunx Marmalade"
    answer = await world.client.post(
        "/v1/auth/register", json={"email": email, "password": PASSWORD, "name": name}, headers=header(trace_id)
    )
    assert answer.status_code == 201
    wrong = await world.client.post(
        "/v1/auth/login", json={"email": email, "password": "no" + PASSWORD}, headers=header(trace_id)
    )
    assert wrong.status_code == 401
    code = await world.code(email)
    found = await traced.whole(trace_id, "POST /v1/auth/login", "identity.write_letter")
    everything = "".join(str(s) for s in found.spans)
    assert "insert identity.account" in everything, "the control: something was written down"
    for secret in (email, name, PASSWORD, answer.json()["access_token"], code):
        assert secret not in everything
    (refused,) = found.named("POST /v1/auth/login")
    assert refused.status.code == 0, "a refusal is an answer, no failure"


async def test_a_trace_that_its_caller_does_not_record_is_recorded_nowhere(world: World, traced: Collector) -> None:
    silent, heard = secrets.token_hex(16), secrets.token_hex(16)
    for trace_id, flag in ((silent, "00"), (heard, "01")):
        await world.client.get("/v1/venues", headers={"traceparent": f"00-{trace_id}-{PARENT}-{flag}"})
    await traced.whole(heard, "GET /v1/venues")
    assert traced.trace(silent) == []


async def test_without_a_collector_a_transaction_is_the_plain_one(
    fresh_database: FreshDatabase, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernel = (await fresh_database.connect(2)).module("kernel")
    assert type(kernel.tx(service_context("x"))) is Tx and type(kernel.read(service_context("x"))) is Tx
    telemetry.start("forecourt", collector.url)
    try:
        assert type(kernel.tx(service_context("x"))) is TracedTx
    finally:
        telemetry.stop()


def test_without_a_collector_the_library_is_not_even_loaded() -> None:
    program = (
        "import sys, forecourt.app, forecourt.wiring\n"
        "from forecourt.kernel import telemetry\n"
        "telemetry.start('forecourt', None)\n"
        "with telemetry.span('x'), telemetry.statement('select 1'): assert telemetry.here() == ''\n"
        "assert not [m for m in sys.modules if m.startswith('opentelemetry.sdk') or m.startswith('opentelemetry.exporter')]\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("sql", "title"),
    [
        ("select a from booking.booking b where b.id = $1", "select booking.booking"),
        ("insert into kernel.event (id) values ($1)", "insert kernel.event"),
        ("with gone as (delete from booking.occupancy o returning 1) insert into booking.x select 1", "delete booking.occupancy"),
        ("with seen as (select e.xid from kernel.event e for update skip locked) select 1", "select kernel.event"),
        ("commit", "commit"),
        ("select 1", "select"),
    ],
)
def test_a_statement_is_called_by_what_it_does(sql: str, title: str) -> None:
    assert title_of(sql).replace("with ", "select ") == title
