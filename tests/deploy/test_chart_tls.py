"""What the chart says of TLS in a pod's environment is what the database's driver goes by: it speaks to the right server only."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from tests.deploy.charting import named, render

SSL_REQUEST = bytes.fromhex("00000008 04d2162f")
LIMIT_S = 20


def authority(folder: Path, host: str) -> tuple[Path, Path]:
    """A certificate for `host` that vouches for itself, and its key."""
    certificate, key = folder / f"{host}.crt", folder / f"{host}.key"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    made += ["-subj", f"/CN={host}", "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate]
    subprocess.run(made, check=True, capture_output=True, timeout=60)
    return certificate, key


@contextlib.asynccontextmanager
async def database(identity: tuple[Path, Path] | None) -> AsyncIterator[tuple[int, list[bytes]]]:
    """Answers as PostgreSQL does until somebody says who they are: its port, and what it was told. No `identity`, no TLS."""
    told: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
            if await reader.readexactly(8) == SSL_REQUEST:
                writer.write(b"N" if identity is None else b"S")
                if identity is not None:
                    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                    context.load_cert_chain(*identity)
                    await writer.start_tls(context)
                told.append(await reader.readexactly(8))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], told


@pytest.mark.parametrize(
    ("shows", "trusts", "is_told"),
    [
        ("localhost", "localhost", True),
        ("elsewhere", "elsewhere", False),
        ("localhost", "elsewhere", False),
        (None, "localhost", False),
    ],
    ids=["right", "of another name", "of another authority", "without TLS"],
)
async def test_only_the_right_database_is_told_who_asks(
    shows: str | None, trusts: str, is_told: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pod,) = [
        m["spec"]["template"]["spec"]
        for m in named(render(postgres={"enabled": True, "backup": {"enabled": False}}), "Deployment")
        if m["metadata"]["name"] == "house-serve"
    ]
    environ = {v["name"]: v.get("value") for v in pod["containers"][0]["env"]}
    identities = {host: authority(tmp_path, host) for host in {shows, trusts} - {None}}
    monkeypatch.setenv("PGSSLMODE", environ["PGSSLMODE"])
    monkeypatch.setenv("PGSSLROOTCERT", str(identities[trusts][0]))
    async with database(identities[shows] if shows else None) as (port, told), asyncio.timeout(LIMIT_S):
        with pytest.raises((OSError, asyncpg.PostgresError, asyncpg.InterfaceError)):
            await asyncpg.connect(f"postgresql://forecourt_app:secret@localhost:{port}/forecourt")
    assert bool(told) is is_told
