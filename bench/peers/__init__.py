"""The peers: installed from their lock files, built, and started beside ours on the same database."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Generator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import msgspec

from bench.installation import Installation, Server, free_port, running

FOLDER = Path(__file__).resolve().parent
BUILD_LIMIT_S = 600


class Peer(msgspec.Struct, frozen=True):
    """`name` is what tables say, `folder` where its program is, `program` what node runs there."""

    name: str
    folder: str
    program: str
    tuned: bool = False


EXPRESS = Peer("Express + pg", "express", "app.js")
EXPRESS_TUNED = Peer("Express + pg, tuned", "express", "app.js", tuned=True)
NEST = Peer("NestJS + Prisma", "nest", "dist/main.js")
SOCKETIO = Peer("Socket.IO", "socketio", "sio.js")
PROXY = Peer("Express + http-proxy-middleware", "proxy", "gateway.js")


class PeerMissing(Exception):
    """A peer cannot be built here; the text says what is missing."""


def build(peer: Peer) -> None:
    """Installs what the lock file names and compiles, unless that was done. Raises PeerMissing."""
    folder = FOLDER / peer.folder
    if shutil.which("node") is None or shutil.which("npm") is None:
        raise PeerMissing("node and npm are not installed")
    environ = {**os.environ, "PRISMA_SCHEMA_ENGINE_BINARY": "/bin/true"}  # nothing is migrated: no engine is downloaded

    def run(*command: str) -> None:
        done = subprocess.run(
            command, cwd=folder, env=environ, capture_output=True, text=True, timeout=BUILD_LIMIT_S, check=False
        )
        if done.returncode != 0:
            raise PeerMissing(f"{peer.folder}: `{' '.join(command)}` failed: {(done.stderr or done.stdout).strip()[-300:]}")

    if not (folder / "node_modules").is_dir():
        run("npm", "ci", "--no-audit", "--no-fund")
    program = folder / peer.program
    if peer.folder == "nest" and _older(program, folder / "src" / "main.ts", folder / "prisma" / "schema.prisma"):
        run("npm", "run", "build")


def _older(made: Path, *sources: Path) -> bool:
    return not made.exists() or made.stat().st_mtime < max(s.stat().st_mtime for s in sources)


@contextlib.contextmanager
def serving(peer: Peer, at: Installation, world: Path) -> Generator[Server]:
    """The peer, as the program's own role, on the server's core."""
    parts = urlsplit(at.at.database_url)
    place = parse_qs(parts.query)
    port = free_port()
    environ = {
        **os.environ,
        "NODE_ENV": "production",
        "PORT": str(port),
        "POOL": "16",
        "BENCH_WORLD": str(world),
        "PGHOST": place["host"][0],
        "PGPORT": place["port"][0],
        "PGUSER": parts.username or "",
        "PGDATABASE": parts.path.lstrip("/"),
        "TUNED": "1" if peer.tuned else "0",
    }
    folder = FOLDER / peer.folder
    with running(peer.name, ["node", peer.program], port, environ, at.cores.server, "/readyz", folder) as server:
        yield server
