"""`forecourt gateway` as people start it: run, render, weight; with TLS; and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import functools
import os
import re
import signal
import ssl
import subprocess
import sys
import warnings
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs
from tests.gateway.conftest import Backend, until
from tests.gateway.figures import OF_THE_CERTIFICATE
from tests.ports import free_port

from forecourt.engines import EngineError
from forecourt.gateway import command
from forecourt.gateway.haproxy import Gateway
from forecourt.gateway.plan import Plan, Service
from forecourt.gateway.runtime import Runtime
from forecourt.kernel.settings import Settings, SettingsError
from forecourt.process import SET_UP_WRONGLY

pytestmark = [pytest.mark.haproxy, pytest.mark.xdist_group("gateway")]

LIMIT_S = 60


def certify(path: Path, name: str, days: int = 1) -> x509.Certificate:
    """A certificate for localhost that vouches for itself, with its key, as HAProxy reads them."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(who)
        .issuer_name(who)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(*form))
    return made


def trusting(*certificates: x509.Certificate) -> ssl.SSLContext:
    text = "".join(c.public_bytes(serialization.Encoding.PEM).decode() for c in certificates)
    return ssl.create_default_context(cadata=text)


class Started:
    """`forecourt gateway run` with two versions of one service, on TLS and beside it."""

    def __init__(self, data: Path, v1: Backend, v2: Backend) -> None:
        self.data = data
        self.tls, self.plain, self.internal = free_port(), free_port(), free_port()
        self.file = data / "gateway.toml"
        self.certificate = certify(data / "cert.pem", "first")
        self.file.write_text(
            f"""
            listen = "127.0.0.1:{self.tls}"
            redirect = "127.0.0.1:{self.plain}"
            certificate = "cert.pem"
            internal = "127.0.0.1:{self.internal}"

            [services.house]
            versions.v1 = ["{v1.url}"]
            versions.v2 = ["{v2.url}"]
            """
        )
        self.log = data / "log"
        self.keys = data / "keys"
        self.keys.write_text("first:shown-1f7c,next:known-8e2b\n")
        own = {name: value for name, value in os.environ.items() if not name.startswith("FORECOURT_")}
        self.environ = own | {"FORECOURT_GATEWAY_KEYS_FILE": str(self.keys)}
        self.process: asyncio.subprocess.Process

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command("run", self.file), env=self.environ, stdout=log, stderr=log
            )
        await until(lambda: self.process.returncode is not None or "The gateway is open" in self.log.read_text(), LIMIT_S)
        assert self.process.returncode is None, self.log.read_text()

    def command(self, *words: object) -> list[str]:
        return [sys.executable, "-m", "forecourt", "gateway", *map(str, words), "--data", str(self.data)]

    async def told(self, *words: object) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(
            subprocess.run, self.command(*words), env=self.environ, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )

    @property
    def runtime(self) -> Runtime:
        return Runtime(self.data / command.FOLDER)


@pytest.fixture(scope="module")
async def services() -> list[Backend]:
    return [await Backend("v1").start(), await Backend("v2").start()]


@pytest.fixture(scope="module")
async def started(tmp_path_factory: pytest.TempPathFactory, services: list[Backend]) -> AsyncIterator[Started]:
    v1, v2 = services
    gateway = Started(tmp_path_factory.mktemp("command"), v1, v2)
    try:
        await gateway.start()
        yield gateway
        if gateway.process.returncode is None:
            gateway.process.kill()
            await gateway.process.wait()
    finally:
        await v1.stop()
        await v2.stop()


async def test_with_a_certificate_people_are_sent_to_https_and_told_to_stay(started: Started) -> None:
    async with httpx.AsyncClient(verify=trusting(started.certificate)) as client:
        answer = await client.get(f"https://localhost:{started.tls}/v1/me")
        assert answer.json()["from"] == "v1"
        assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"
        sent = await client.get(f"http://localhost:{started.plain}/v1/me?a=b")
        assert (sent.status_code, sent.headers["location"]) == (308, f"https://localhost:{started.tls}/v1/me?a=b")
        assert "strict-transport-security" not in sent.headers
    assert "[WARNING]" not in started.log.read_text(), "HAProxy takes each rule where it stands"


async def test_a_certificate_of_somebody_else_is_noticed(started: Started) -> None:
    async with httpx.AsyncClient(verify=trusting()) as client:
        with pytest.raises(httpx.ConnectError, match="certificate"):
            await client.get(f"https://localhost:{started.tls}/v1/me")


async def test_old_tls_is_not_spoken(started: Started) -> None:
    for speaks, old in ((ssl.TLSVersion.TLSv1_2, False), (ssl.TLSVersion.TLSv1_1, True)):
        client = trusting(started.certificate)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # that is what this test is about
            client.minimum_version = client.maximum_version = speaks
        client.set_ciphers("DEFAULT:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError) if old else contextlib.nullcontext():
            _, writer = await asyncio.wait_for(asyncio.open_connection("localhost", started.tls, ssl=client), LIMIT_S)
            writer.close()


async def test_weights_are_changed_and_shown(started: Started, capsys: pytest.CaptureFixture[str]) -> None:
    weight = functools.partial(asyncio.to_thread, command.weight, data=started.data)
    await weight("house", "v2=25%")
    with pytest.raises(SystemExit, match="2"):
        await weight("house", "v2=60%", "v1=60%")
    assert "That makes 120%: percentages add up to 100" in capsys.readouterr().err
    with pytest.raises(EngineError, match=r"There is no service garage.\nThere is house."):
        await weight("garage", "v2=10%")
    shown = await started.told("weight", "house")
    assert [line.split()[:3] for line in shown.stdout.splitlines()[1:]] == [["v1", "75", "%"], ["v2", "25", "%"]], shown.stderr


async def test_render_prints_what_haproxy_would_be_given(
    started: Started, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await asyncio.to_thread(command.render, started.file, data=started.data)
    printed, running = capsys.readouterr().out, (started.data / command.FOLDER / "haproxy.cfg").read_text()
    by_hand = re.compile(r"weight \d+")  # those of the running one may have been changed since
    assert by_hand.sub("", printed) == by_hand.sub("", running)
    await asyncio.to_thread(command.render, started.file, data=started.data, into=tmp_path / "here")
    assert "is in order" in " ".join(capsys.readouterr().out.split())
    wanted = {"haproxy.cfg", "routes.map", "patterns.map", "limits.map", "certificate.prom"}
    assert {path.name for path in (tmp_path / "here").iterdir()} == wanted


async def test_a_plan_that_is_wrong_is_refused_with_words(started: Started, tmp_path: Path) -> None:
    (tmp_path / "wrong.toml").write_text("[services.house]\nversions.v1 = []")
    refused = await started.told("run", tmp_path / "wrong.toml")
    assert refused.returncode == SET_UP_WRONGLY
    assert "version v1 has no addresses" in refused.stderr and "Traceback" not in refused.stderr


async def test_sighup_takes_up_a_plan_and_nothing_from_one_that_is_wrong(started: Started) -> None:
    pid = await started.runtime.pid()
    good = started.file.read_text()
    started.file.write_text("listen = [")
    started.process.send_signal(signal.SIGHUP)
    await until(lambda: "gateway_not_reloaded" in started.log.read_text(), LIMIT_S)
    assert await started.runtime.pid() == pid
    started.file.write_text(good)
    started.process.send_signal(signal.SIGHUP)
    await until(lambda: "gateway_reloaded" in started.log.read_text(), LIMIT_S)
    assert await started.runtime.pid() != pid


async def test_a_certificate_that_was_renewed_is_shown_and_one_that_is_none_changes_nothing(
    services: list[Backend], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody has to remember a signal, in the night every sixty days."""
    monkeypatch.setattr("forecourt.gateway.haproxy.KEYS_EVERY_S", 0.05)
    monkeypatch.setattr("forecourt.gateway.haproxy.PAUSE_S", 0.05)
    file, port, inside = tmp_path / "cert.pem", free_port(), free_port()
    first = certify(file, "first")
    house = Service("house", (), {"v1": (services[0].url,)})
    at = {"listen": (f"127.0.0.1:{port}",), "internal": f"127.0.0.1:{inside}", "certificate": file}

    async def shown(certificate: x509.Certificate) -> int:
        async with httpx.AsyncClient(verify=trusting(certificate)) as client:
            return (await client.get(f"https://localhost:{port}/v1/me")).status_code

    def told(event: str) -> int:
        return sum(log["event"] == event for log in logs)

    with capture_logs() as logs:
        async with Gateway(Plan(services=(house,), **at).checked(), tmp_path / "gateway", output=tmp_path / "log"):
            assert await shown(first) == 200
            file.write_text("half of a cert")
            await until(lambda: told("gateway_trouble"), LIMIT_S)
            assert await shown(first) == 200
            fresh = certify(file, "second", days=90)
            await until(lambda: told("gateway_certificate_changed"), LIMIT_S)
            assert await shown(fresh) == 200
            with pytest.raises(httpx.ConnectError):
                await shown(first)
            assert await certificate_ends(inside) == int(fresh.not_valid_after_utc.timestamp())
    assert told("gateway_trouble") == 1, "said once"


async def certificate_ends(internal: int) -> float:
    async with httpx.AsyncClient() as client:
        answer = await client.get(f"http://127.0.0.1:{internal}/metrics/certificate")
    assert answer.status_code == 200 and answer.headers["content-type"] == "text/plain; version=0.0.4"
    ((found,),) = [family.samples for family in text_string_to_metric_families(answer.text)]
    assert found.name == OF_THE_CERTIFICATE and not found.labels
    return found.value


async def test_it_tells_when_its_certificate_ends_and_only_inside(started: Started) -> None:
    assert await certificate_ends(started.internal) == int(started.certificate.not_valid_after_utc.timestamp())
    async with httpx.AsyncClient(verify=trusting(started.certificate)) as client:
        assert OF_THE_CERTIFICATE not in (await client.get(f"https://localhost:{started.tls}/metrics/certificate")).text


async def test_it_shows_the_first_of_its_keys_and_takes_up_new_ones(started: Started, services: list[Backend]) -> None:
    async def shown() -> list[str]:
        async with httpx.AsyncClient(verify=trusting(started.certificate)) as client:
            assert (await client.get(f"https://localhost:{started.tls}/v1/me")).status_code == 200
        return [value for service in services for seen in service.seen[-1:] for value in seen.all("x-forecourt-gateway")]

    for service in services:
        service.seen.clear()
    assert await shown() == ["shown-1f7c"]
    started.keys.write_text("next:known-8e2b,first:shown-1f7c\n")
    started.log.write_text("")
    started.process.send_signal(signal.SIGHUP)
    await until(
        lambda: "gateway_reloaded" in started.log.read_text() or "gateway_proof_changed" in started.log.read_text(), LIMIT_S
    )
    for service in services:
        service.seen.clear()
    assert await shown() == ["known-8e2b"]
    assert "known-8e2b" not in started.log.read_text()


@pytest.mark.parametrize(
    ("told", "divided", "said"),
    [
        ({}, True, "FORECOURT_GATEWAY_KEYS is missing"),
        ({"FORECOURT_GATEWAY_KEYS": "short"}, False, "key 1 is too short"),
        ({"FORECOURT_GATEWAY_KEYS_FILE": "/nowhere/keys"}, True, "/nowhere/keys cannot be read"),
        ({}, False, ""),
        ({"FORECOURT_GATEWAY_KEYS": "a:mZr8Qk1vN0yTqLw7HsXb2Jd6MgPc9Ue4Ra5"}, True, ""),
    ],
)
def test_the_gateway_of_a_divided_house_has_a_key_in_production(
    told: dict[str, str], divided: bool, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("FORECOURT_GATEWAY_KEYS", "FORECOURT_GATEWAY_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in (told | {"FORECOURT_ENV": "production"}).items():
        monkeypatch.setenv(name, value)
    courts = Service("courts", ("booking",), {"v1": ("http://10.0.0.1:1",)})
    plan = Plan(services=((courts,) if divided else ()) + (Service("rest", (), {"v1": ("http://10.0.0.2:1",)}),)).checked()
    with pytest.raises(SettingsError, match=said) if said else contextlib.nullcontext():
        proof = command.read_proof(plan, tmp_path)
        assert (proof is not None) == bool(told)
    assert list(tmp_path.iterdir()) == [], "production makes no secrets"


def test_beside_services_of_the_same_folder_nobody_needs_to_be_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environ = {"FORECOURT_DATA": str(tmp_path), "FORECOURT_MODULES": "booking"}
    for name in ("FORECOURT_ENV", "FORECOURT_GATEWAY_KEYS", "FORECOURT_GATEWAY_KEYS_FILE"):
        monkeypatch.delenv(name, raising=False)
    plan = Plan.of_peers({"booking": ["http://10.0.0.1:1"], "identity": ["http://10.0.0.2:1"]}, ["booking", "identity"])
    proof = command.read_proof(plan, tmp_path)
    assert proof is not None and Settings.read(environ).secrets.gateway_keys == (proof,)


async def test_a_gateway_that_is_killed_leaves_no_haproxy_behind_and_starts_again(started: Started) -> None:
    pid = await started.runtime.pid()
    started.process.kill()
    await started.process.wait()
    await until(lambda: not alive(pid), LIMIT_S)
    started.log.write_text("")
    await started.start()
    assert [share.percent for share in await started.runtime.shares("house")] == [75.0, 25.0]


async def test_sigterm_ends_both_in_good_order(started: Started) -> None:
    pid = await started.runtime.pid()
    started.process.terminate()
    assert await asyncio.wait_for(started.process.wait(), LIMIT_S) == 0
    assert not alive(pid)
    with pytest.raises(EngineError, match="No gateway answers"):
        await started.runtime.pid()


def alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"
