"""A whole copy of a running server as one stream, which is checked while it passes: it reaches no disk in plain."""

import contextlib
import hashlib
import json
import os
import subprocess
import tarfile
import threading
from collections.abc import Callable, Generator
from typing import IO

from forecourt.engines import postgres as pg
from forecourt.engines.process import EngineError
from forecourt.engines.sealing import Readable

MANIFEST = "backup_manifest"
LABEL = "backup_label"
SLOT_LIMIT_S = 10


def copy(database_url: str, put: Callable[[Readable], None]) -> str:
    """Have `put` read a whole copy (a tar archive, gzip) to its end. Returns the first file of the log that belongs to it.

    Raises EngineError when the copy is not what its manifest says.
    """
    server = pg.asked(database_url)
    command = [pg.program("pg_basebackup"), "--dbname", server.database_url, "--pgdata=-", "--format=tar", "--gzip"]
    command += ["--wal-method=fetch", "--checkpoint=fast", "--no-password", "--manifest-checksums=SHA256"]
    with (
        kept_log(database_url),
        subprocess.Popen(  # noqa: S603
            command, env=server.environ, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        ) as program,
    ):
        said = _Said(given(program.stderr))
        try:
            with _Witness() as witness:
                put(_Passing(given(program.stdout), witness.into))
        except BaseException:
            program.kill()
            raise
        finally:
            said.join()
        if program.wait() != 0:
            raise EngineError(f"pg_basebackup failed (exit status {program.returncode}).", said.text[-2000:])
    return witness.first_wal()


@contextlib.contextmanager
def kept_log(database_url: str) -> Generator[None, None, None]:
    """The server keeps its log from here on while the block lasts: the copy gets it last, and it must still be there."""
    server = pg.asked(database_url)
    command = [pg.program("psql"), "--no-psqlrc", "--no-password", "--quiet", "--no-align", "--tuples-only"]
    command += ["--set=ON_ERROR_STOP=1", "--dbname", server.database_url]
    wanted = f"select slot_name from pg_create_physical_replication_slot('forecourt_copy_{os.getpid()}', true, true);\n"  # noqa: S608
    with subprocess.Popen(  # noqa: S603
        command, env=server.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as session:
        ask = given(session.stdin)
        ask.write(wanted.encode())
        ask.flush()
        if not given(session.stdout).readline():
            raise EngineError("The database does not keep its log for a copy.", given(session.stderr).read().decode()[-2000:])
        try:
            yield
        finally:
            ask.close()  # and the slot goes with the session


def given(pipe: IO[bytes] | None) -> IO[bytes]:
    """A child's end of a pipe that was asked for."""
    if pipe is None:
        raise ValueError("no pipe was asked for")
    return pipe


class _Said(threading.Thread):
    """What a program says beside its output: read as it comes, or it would wait for us."""

    def __init__(self, stream: IO[bytes]) -> None:
        super().__init__(name="said", daemon=True)
        self._stream = stream
        self.text = ""
        self.start()

    def run(self) -> None:
        self.text = self._stream.read().decode(errors="replace").strip()


class _Passing:
    """A source of which somebody else sees every byte as well."""

    def __init__(self, source: IO[bytes], seen: IO[bytes]) -> None:
        self._source, self._seen = source, seen

    def read(self, size: int = -1, /) -> bytes:
        content = self._source.read(size)
        self._seen.write(content)
        return content


class _Witness:
    """Looks at a copy that passes, in a thread of its own, and holds it against its manifest."""

    def __init__(self) -> None:
        out, into = os.pipe()
        self.into = os.fdopen(into, "wb")
        self._out = os.fdopen(out, "rb")
        self._label = b""
        self._manifest = b""
        self._found: dict[str, tuple[int, str]] = {}
        self._trouble: Exception | None = None
        self._thread = threading.Thread(target=self._watch, name="witness", daemon=True)

    def __enter__(self) -> "_Witness":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.into.close()
        self._thread.join()
        self._out.close()

    def first_wal(self) -> str:
        """That of a copy that is what its manifest says. Its label says `START WAL LOCATION: 0/2000028 (file 0000…)`."""
        if self._trouble is not None or not self._manifest:
            raise EngineError(f"The copy cannot be read: {self._trouble or 'it ends too early'}.", "Try again.")
        for entry in json.loads(self._manifest)["Files"]:
            path = entry["Path"] if "Path" in entry else bytes.fromhex(entry["Encoded-Path"]).decode(errors="surrogateescape")
            if self._found.get(path) != (int(entry["Size"]), str(entry["Checksum"])):
                raise EngineError(f"The copy is not what its manifest says: {path}.", "Try again.")
        return self._label.splitlines()[0].decode().partition("(file ")[2].rstrip(")")

    def _watch(self) -> None:
        try:
            with tarfile.open(fileobj=self._out, mode="r|gz") as tar:
                for member in tar:
                    self._look(tar, member)
        except (tarfile.TarError, OSError, EOFError) as error:
            self._trouble = error
        finally:
            while self._out.read(1 << 20):  # whoever writes must not wait for ever
                pass

    def _look(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        content = tar.extractfile(member) if member.isfile() else None
        if content is None:
            return
        name = member.name.removeprefix("./")
        if name == MANIFEST:
            self._manifest = content.read()
            return
        kept = hashlib.sha256()
        while block := content.read(1 << 18):
            kept.update(block)
            if name == LABEL:
                self._label += block
        self._found[name] = member.size, kept.hexdigest()
